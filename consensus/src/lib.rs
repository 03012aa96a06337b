//! # consensus: an engine that orders digests
//!
//! Validators of one chain agree on a sequence of 32-byte digests, and every agreed digest comes with a
//! certificate that a stranger can check with `ledger::proofs` alone (`tests/certificate.rs` judges that verifier
//! against the engine's). Bodies, heights, batches, catch-up and execution are not known here.
//! The engine is commonware's `simplex`, pinned exactly; this crate is the only one that names it
//! (`docs/adr/0001-consensus-engine.md` says why, and what else was tried).
//!
//! ```text
//!              Requests: Propose Validate Available Disseminate Finalized Evidence
//!   application <------------------------------------------------------+
//!        | Reply::send                                                 |
//!        +-----------------------------> engine <----------------------+
//!                                        |    ^
//!          Transport::try_send / block   |    |  InboundSender::try_deliver
//!   network <----------------------------+    +---------------------------- network
//! ```
//!
//! | file | rule it holds |
//! | --- | --- |
//! | `engine` | assembly: one chain, one epoch, one journal |
//! | `config` | everything is checked before anything starts; timeouts stand in order |
//! | `request` | what each question means, and what no answer means |
//! | `mailbox` | bounded towards the application; the newest finalization always arrives |
//! | `transport`, `inbound` | a frame carries its epoch; one bounded lane per peer and channel, round robin, rate limited |
//! | `journal` | what the library would take for a torn write and may be a lost vote is found before it opens the journal |
//! | `blocklist` | a bad peer is cut off at once and for a limited time |
//! | `automaton`, `validators` | translation to the engine's types |
//! | `runtime` | production thread, deterministic world; the only generics over a runtime |
//! | `counters` | whatever is given up is counted |
//!
//! Invariants:
//! - Two different digests are never finalized in one view while fewer than a third of the validators lie.
//! - A vote leaves only after it is synced to the journal; a restart with its journal never contradicts it.
//!   A validator that lost its journal, or whose journal is damaged ([`JournalDamage`]), must start as [`Role::Observer`].
//! - The engine never waits for the application or the network; every queue is bounded.
//! - An engine that ends, ends the node: it never goes on half.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod automaton;
mod blocklist;
mod config;
mod counters;
mod engine;
mod inbound;
mod journal;
mod mailbox;
mod request;
pub mod runtime;
mod transport;
mod validators;

pub use blocklist::BLOCK_MS;
pub use config::{
    CERTIFICATION_TIMEOUT_MS, Config, ConfigError, ConsensusSecret, FETCH_TIMEOUT_MS, Floor,
    LEADER_TIMEOUT_MS, NAMESPACE_BYTES_MAX, PARTITION_BYTES_MAX, RETRY_MS, Role, SKIP_MS, TIMING_MS_MAX,
    Timing, VIEW_RETENTION_MAX,
};
pub use counters::Counters;
pub use engine::{Engine, Started};
pub use inbound::{InboundSender, LANE_FRAMES, Refused};
pub use journal::JournalDamage;
pub use mailbox::{AVAILABLE_QUEUE, DISSEMINATE_QUEUE, EVIDENCE_QUEUE, FINALIZED_QUEUE, Requests};
pub use request::{Evidence, EvidenceKind, Recipients, Reply, Request, Slot};
pub use transport::{Channel, FRAME_HEADER_BYTES, Transport, frame_epoch};
