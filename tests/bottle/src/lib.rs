//! The network in a bottle: whole nodes with one chain or several in one process, on virtual time, decided by a seed.
//!
//! Every node runs the pipeline that production runs (`chain::Chain`, `chain::Executor`, `consensus::Engine`) over the
//! memory store; this crate is the other driver of it. Links delay, lose and part; disks lose what was not synced;
//! clients pay, repeat themselves and remember what they were told. While it runs, everything that a node calls final is
//! compared with everything that any node ever called final. The same plan gives the same run, bit for bit.
//!
//! ```text
//!  Plan ─► World ─┬─ Node 0..n  (driver: Chain::step_all, virtual delays) ──────────┬─ Engine ── Wire ─┐
//!                 ├─ Client     (wallets, payments, replays, answers)              ├─ Executor        ├─ Links
//!                 ├─ faults     (crash, restart, power cut, partition, loss, adversaries)  └─ MemoryDisk      │
//!                 └─ Witness  ◄──────────────── what nodes call final ────────────────────────────────┘
//!                        └─ properties: named functions that must hold ─► Outcome { digest, report }
//! ```
//!
//! | file | what it says |
//! | --- | --- |
//! | `plan.rs` | what is to happen: load, links, faults, planted faults |
//! | `drawn.rs` | plans that a seed draws |
//! | `kinds.rs` | the kinds of faults, as reports count them |
//! | `trouble.rs` | what is wrong now, and whether a quorum is left |
//! | `conditions.rs`, `room.rs` | a machine's clock, its disk's speed and room, a stopped process |
//! | `world.rs` | [`run`]: from a plan to an outcome |
//! | `world/faults.rs` | what goes wrong in it |
//! | `machine.rs` | one node as the world sees it: a disk for each chain, and a process that comes and goes |
//! | `node.rs` | the driver of one chain: performs what the chain decides, in virtual time |
//! | `relay.rs` | a node's relay between its chains |
//! | `door.rs` | admission at a node: the checks that production makes before the pool |
//! | `links.rs` | frames under way |
//! | `epochs.rs`, `governor.rs` | an engine for each epoch; who changes the validators |
//! | `client.rs` | who pays whom, and what they were told |
//! | `witness.rs` | what was ever called final, and what was seen on the way |
//! | `between.rs` | what passes between the chains |
//! | `properties.rs` | what must hold |
//! | `proofs.rs` | outcome proofs as a stranger would check them |
//! | `adversaries/` | nodes that do what a bank could do on purpose: [`Adversary`] |
//! | `plants.rs` | faults that must turn a run red; nothing of them is in production crates |
//! | `digest.rs` | one digest over all roots of all nodes |
//! | `scenes.rs` | plans by name: [`scenes::SCENES`] |
//! | `summary.rs` | one table over many runs |
//! | `dice.rs` | numbers from the seed |
//! | `outcome.rs` | what a run says at its end |
//! | `bin/simulate.rs` | one seed, many, or as many as fit into some hours, from the command line |
//!
//! Invariants: nothing here reads a clock, a thread id, a hash order or randomness that the seed does not decide; a
//! violation is recorded with its property and never stops the run, so that one run reports all it finds.

mod adversaries;
mod between;
mod client;
mod conditions;
mod dice;
mod digest;
mod door;
mod drawn;
mod epochs;
mod governor;
pub mod kinds;
mod links;
mod machine;
mod node;
pub mod outcome;
pub mod plan;
mod plants;
mod proofs;
pub mod properties;
mod relay;
mod room;
pub mod scenes;
pub mod summary;
mod trouble;
mod witness;
mod world;

pub use adversaries::Adversary;
pub use kinds::{FaultKind, Fired};
pub use outcome::{Held, NodeState, Outcome, Passed, Report};
pub use plan::{
    ChainPlan, ChildPlan, Fault, LinkModel, Load, Plan, Plant, PowerCut, SetChange, SnapshotPlan, Surge,
};
pub use properties::{Property, Violation};
pub use summary::Summary;
pub use world::run;
