//! Backups of a node's databases: made without a pause, checked, put back.
//!
//! ```text
//! running node ── checkpoint ─┐                              ┌─► verify: files, rows, roots
//! stopped node ── its files ──┴─► create ─► DIR: files by ───┤
//!                                           content, one     └─► restore ─► empty data directory ─► the node follows,
//!                                           manifest each                                           then votes (rule 26)
//! ```
//!
//! | file | what it says |
//! | --- | --- |
//! | `manifest.rs` | [`Manifest`]: what a backup holds, and its own checksum |
//! | `depot.rs` | the directory of backups: files by content, manifests, retention |
//! | `create.rs`, `verify.rs`, `restore.rs` | [`create()`], [`verify()`], [`Restoring`] |
//! | `error.rs` | [`BackupError`] with code, field and mend |
//!
//! # Invariants
//!
//! 1. A backup holds databases and the genesis file. It holds no secret key, no configuration, and no journal: a validator never votes
//!    from an old journal (`docs/adr/0007-rejoining.md`).
//! 2. A manifest is written when everything it names is on disk. A file is named by the SHA-256 of what is in it.
//! 3. Nothing is restored over anything, and nothing is in its place before every byte and both trees were checked.

mod create;
mod depot;
mod error;
mod manifest;
mod restore;
mod verify;

pub use create::{Created, Order, create};
pub use depot::list;
pub use error::BackupError;
pub use manifest::{ChainManifest, Manifest, StoredFile};
pub use restore::{Restored, Restoring};
pub use verify::{Verified, verify};

/// Told what is worked on, and how many bytes are done.
pub type Watch<'a> = dyn Fn(&str, u64) + 'a;
