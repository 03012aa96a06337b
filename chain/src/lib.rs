//! The pipeline of one chain, without I/O: spread, order, execute, certify.
//!
//! The same code runs in production (tokio, libp2p, RocksDB) and in the bottle (deterministic runtime, simulated links,
//! crash-faulty store): a driver feeds [`Chain::step`] and performs its [`Effect`]s.
//!
//! | file | what it says |
//! | --- | --- |
//! | `step.rs` | the face: [`Input`], [`Effect`] and what they carry |
//! | `chain.rs` | [`Chain`]: the parts together, one step |
//! | `dissemination.rs`, `batches.rs` | batches: seal, check, acknowledge, keep |
//! | `first_claim.rs` | which bank seals first what a client posts to several |
//! | `bundles.rs`, `relay.rs` | receipts of other chains: check, keep, order; [`next_bundle`]: prove what this chain sent |
//! | `pace.rs` | [`Pace`]: what a relay gives a destination next, and when |
//! | `legs.rs`, `locks.rs` | [`Leg`]: a payment's payees on other chains; locks and offers, for clients |
//! | `evidence.rs` | proof of misbehaviour, a share for each validator |
//! | `ordering.rs`, `tree.rs`, `turns.rs` | the engine's questions, blocks that are not final, whose batch comes next |
//! | `finality.rs`, `claims.rs` | final blocks, results, certified results |
//! | `rules.rs`, `epochs.rs` | the rules by height; one set of validators after another |
//! | `catch_up.rs` | what is missing, whom to ask, whom not to trust |
//! | `snapshots.rs` | [`Snapshots`]: the state of a height, held still for nodes that join |
//! | `join.rs`, `joined.rs` | joining by such a snapshot: fetching it, and what the store says of it at a start |
//! | `pruning.rs` | old heights are removed: how far that may go, and one bounded step of it |
//! | `heard.rs` | which validators were heard a moment ago, for people |
//! | `executor.rs`, `wallet_state.rs` | [`Executor`]: final blocks into the store, one atomic write each; wallets with their paths |
//! | `record_cache.rs` | [`RecordCache`]: wallets that were written lately |
//! | `recovery.rs` | [`Recovered`]: where a chain goes on after a start |
//! | `rollback.rs` | a wrong result: taken back, executed once more (PROTOCOL rule 14) |
//! | `archive.rs`, `certified.rs`, `sets.rs`, `rows.rs` | [`Archive`]: typed reads, certified results, registries and changes of set; how values lie in the store |
//! | `set_links.rs` | [`SetLinks`]: changes of set that were read before |
//! | `origins.rs` | what a chain that was added after genesis begins with |
//! | `frame.rs` | what nodes say to each other |
//! | `config.rs` | who this node is, and every bound |
//!
//! Invariants are listed in `chain.rs`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod archive;
mod batches;
mod bundles;
mod catch_up;
mod certified;
mod chain;
mod claims;
pub mod config;
mod dissemination;
mod epochs;
mod evidence;
mod executor;
mod finality;
mod first_claim;
pub mod frame;
mod heard;
mod join;
mod joined;
mod legs;
mod locks;
mod ordering;
mod origins;
pub mod pace;
pub mod pruning;
mod record_cache;
mod recovery;
mod relay;
pub mod rollback;
pub mod rows;
mod rules;
pub mod set_links;
mod sets;
mod snapshots;
mod step;
mod tree;
mod turns;
mod wallet_state;

pub use archive::{Archive, Located};
pub use chain::{Chain, ChainStatus};
pub use config::ChainConfig;
pub use evidence::{EvidenceLog, EvidenceRow};
pub use executor::{Executor, ExecutorFault, RecordReader, check_state};
pub use frame::{Frame, Lane};
pub use heard::SeatSet;
pub use join::JoinProgress;
pub use legs::Leg;
pub use pace::Pace;
pub use record_cache::RecordCache;
pub use recovery::Recovered;
pub use relay::{Reached, next_bundle, next_bundle_within, reached, running_epoch, sent_counts};
pub use rows::RowFault;
pub use set_links::SetLinks;
pub use snapshots::Snapshots;
pub use step::{
    Answer, Effect, Executed, FinalBlock, Input, Moved, Now, Question, Report, Request, Room,
    SnapshotRequest, Ticket, Turn,
};
pub use wallet_state::UncertifiedWallet;
