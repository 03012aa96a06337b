//! A node: an operator's process that hosts chains. Here the parts are joined, and nowhere else.
//!
//! ```text
//! clients ─ http/ ─► admission ─► driver ─► chain::Chain (decides)      peers ─ network lanes ─┐
//!                                   ▲  │                                                       │
//!                                   │  └─► storage, verifier, executor threads                 │
//!                                   └── engine (consensus on its own thread) ◄─────────────────┘
//! ```
//!
//! | file | what it says |
//! | --- | --- |
//! | `start_error.rs` | [`StartError`]: why a node does not start, with field and mend |
//! | `assemble.rs` | [`run`], [`Node`]: the composition root |
//! | `check.rs`, `outside.rs`, `settings.rs` | [`check()`]: what a start would refuse; a node that does not answer; what the parts start with |
//! | `origins.rs`, `awaited.rs` | what a chain that was added after genesis begins with; chains of which that is not known yet |
//! | `config.rs`, `keys.rs`, `next_key.rs`, `first_key.rs` | `node.toml`, the node's encrypted keys, the one that votes next, that of a chain to come |
//! | `driver.rs` | performs what a chain decides; clock steps |
//! | `divergence.rs` | a result that differs from the certified one: the report, the second execution, the halt |
//! | `backup/`, `checkpoint.rs` | backups of the databases; a checkpoint of a running node's |
//! | `database.rs` | is a database of a chain sound |
//! | `forecast.rs` | how many days the disk lasts |
//! | `held.rs`, `pruning.rs` | which heights are here; old ones are removed by the policy of `[history]` |
//! | `disk.rs` | how much room the data device has, and what that means for the vote |
//! | `engine.rs`, `epochs.rs` | the consensus engine's thread and its frames; an engine for each epoch |
//! | `standing.rs` | may this node vote in an epoch: its journal, its first start, or a proof of passage |
//! | `allowed.rs`, `hosting.rs` | who may connect follows the registry; chains that miss this node's vote |
//! | `admission.rs`, `budget.rs`, `departed.rs` | the only door for transactions; how much it takes in; those that left without an outcome |
//! | `handle.rs`, `questions.rs` | what the edges see of a chain and may ask its executor; halt codes |
//! | `vigil.rs`, `why.rs` | how the chains went so far; why the node is stuck, and what to do next |
//! | `market.rs`, `finality_times.rs` | what the fee estimator is told: blocks, what waits, how long payments take |
//! | `http/` | REST, one file per resource |
//! | `tls.rs`, `tokens.rs` | TLS 1.3, client tokens and scopes |
//! | `relay/` | receipts to every other chain, hosted here or not; bundles from other nodes |
//! | `telemetry.rs`, `rarely.rs` | logging and metrics; lines that others can provoke |
//! | `verifier.rs`, `gather.rs` | signatures of batches; company for what is checked together |
//! | `workers.rs` | the storage and executor threads; a thread that panics halts the node |
//! | `strategy.rs` | the ledger's work on all cores |
//!
//! # Invariants
//!
//! 1. Nothing reaches a pool but through `admission`.
//! 2. A vote leaves only after the block and its batches are durable: `driver` reports `Persisted` after the sync.
//! 3. Every halt has a code, a cause in the log and in `/readyz`, and a next action.
//! 4. REST beyond loopback has TLS and tokens, or the node does not start.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod admission;
mod allowed;
mod assemble;
mod awaited;
pub mod backup;
mod budget;
mod check;
mod checkpoint;
pub mod config;
mod database;
mod departed;
mod disk;
mod divergence;
mod driver;
mod engine;
mod epochs;
mod finality_times;
mod first_key;
mod forecast;
mod gather;
mod handle;
mod held;
mod hosting;
pub mod http;
mod keys;
mod market;
mod next_key;
mod origins;
mod outside;
mod pruning;
mod questions;
mod rarely;
mod relay;
mod settings;
mod standing;
mod start_error;
mod strategy;
pub mod telemetry;
pub mod tls;
pub mod tokens;
mod verifier;
mod vigil;
mod why;
mod workers;

pub use admission::Refused;
pub use assemble::{Ended, Node, SCHEMA_VERSION, init, init_chain, run};
pub use check::{CheckError, Look, check};
pub use config::NodeConfig;
pub use database::{DatabaseFault, SET_ASIDE, SoundDatabase, check_database, set_aside, stored_sets};
pub use engine::EngineError;
pub use first_key::{FirstKey, FirstKeyError, first_consensus_key, has_first_key};
pub use forecast::{Forecast, ForecastError, Growth, forecast};
pub use handle::{ChainHandle, HaltCode, OpenDivergence, Status, Submitted, Voting};
pub use held::Held;
pub use keys::KeysError;
pub use next_key::{NextKey, NextKeyError, next_consensus_key};
pub use origins::{OriginFileFault, OriginPlace, find_origin, keep_origin};
pub use outside::{Outside, look_outside, reachable};
pub use questions::WalletQuestions;
pub use relay::RelayFrame;
pub use start_error::StartError;
pub use vigil::Vigil;
