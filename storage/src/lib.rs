//! # storage: the key-value room
//!
//! One database per chain, fourteen tables, bytes in and bytes out. Two implementations stand behind one
//! small trait: [`RocksStore`] for production and [`MemoryStore`] for the bottle, whose disk loses unsynced
//! writes, fails and fills up on demand, bit for bit again from a seed. This crate is the only one that names
//! RocksDB, and no type of it is in the public face.
//!
//! ```text
//!                 Reader: get multi_get scan for_each
//!                    |
//!                 Store:  write sync snapshot reclaim statistics
//!                 /    \
//!        RocksStore     MemoryStore  --- MemoryDisk (what survives) --- CrashPlan (what goes wrong)
//!            |
//!        RocksReader (read only: an audit of a stopped node, a checkpoint, or a live node)
//! ```
//!
//! | file | what it says |
//! | --- | --- |
//! | `table.rs` | **the schema table**: every table, its key, its value, who writes it how |
//! | `key.rs` | builds and splits the big-endian keys |
//! | `write_set.rs` | [`WriteSet`]: what one atomic write holds, and its bounds |
//! | `store.rs` | the traits [`Reader`] and [`Store`], pages, durability, statistics |
//! | `pinned.rs` | [`Pinned`]: a view of one moment that outlives the call that made it |
//! | `identity.rs` | [`Identity`] of a database and the claim file `STORE` that carries it |
//! | `error.rs` | [`StorageError`] and the mend of each |
//! | `disk.rs` | free and used bytes of a directory |
//! | `memory/` | the twin: `disk.rs` (tables, crash), `plan.rs` (faults), `store.rs` (the face) |
//! | `rocks/` | `store.rs`, `reader.rs` (faces), `view.rs` (reading), `tuning.rs` (every option with its reason), `directory.rs` (claims and refusals), `log_file.rs` (checks of WAL and MANIFEST), `blob_file.rs`, `checksum.rs`, `fault.rs` |
//!
//! # Invariants
//!
//! 1. A [`WriteSet`] is applied as a whole or not at all, in memory, after a crash and in every reader's
//!    eyes.
//! 2. When `write(_, Synced)` or `sync()` answers `Ok`, everything written before it survives a loss of
//!    power.
//! 3. After a crash the store holds a *prefix* of the write sets in the order they were written: if a set
//!    survived, so did every earlier one, of every table.
//! 4. A byte that changed on disk is reported as [`StorageError::Corruption`] or changes no answer. It is
//!    never answered as other data, and never silently shortens history.
//! 5. After a write or a sync failed, the store refuses all further writes ([`StorageError::Stopped`]) until
//!    it is opened again: nobody can know what a failed `fdatasync` left behind, so nobody builds on it.
//! 6. A directory is opened only by the network, chain and schema that made it, and by one process at a time.
//! 7. Memory is bounded by [`RocksOptions`]; sets, values and pages by the constants beside them.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod disk;
mod error;
mod identity;
pub mod key;
mod memory;
mod pinned;
mod rocks;
mod store;
mod table;
mod write_set;

pub use disk::{directory_bytes, free_bytes, tree_bytes};
pub use error::{InvalidWrite, StorageError};
pub use identity::Identity;
pub use memory::{CrashPlan, CrashPoint, CrashReport, Fault, MemoryDisk, MemoryStore, Survival};
pub use pinned::Pinned;
pub use rocks::{RocksOptions, RocksReader, RocksStore, VerifyReport, database_files, read_identity};
pub use store::{
    Durability, Order, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Reader, Row, Store, StoreStatistics, Visit,
};
pub use table::{KeyLayout, SCHEMA, Table, TableSpec, WritePattern};
pub use write_set::{VALUE_BYTES_MAX, WRITE_SET_BYTES_MAX, WriteSet};
