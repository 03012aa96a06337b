//! Genesis: how operators agree on the network they start, and the file that every node and client holds.
//!
//! No machine ever sees all keys: each operator contributes its public keys with proofs, anybody merges them,
//! and every operator approves the resulting hash with its cold key. The order of contributions does not
//! matter.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`mod@file`] | the genesis file: a `GenesisSpec` as JSON for people |
//! | [`chains`] | currencies and shards as people write them |
//! | [`template`] | what a ceremony starts from |
//! | [`contribution`] | what an operator brings, signed, with proofs of possession |
//! | [`merge`](mod@merge) | contributions into a genesis |
//! | [`approval`] | an operator accepts a hash |
//! | [`ceremony`] | the steps over a folder of these files |
//! | [`folder`] | the folder's layout; bounded reads, whole writes |
//! | [`show`](mod@show) | a genesis as text |
//! | [`governance`] | how operators change the network later: proposals, differences, approvals |
//! | [`dev`] | a ready network from one seed, for one machine and for tests |
//! | [`error`] | refusals: where, what, and the mend |
//!
//! Invariants: a file that loads converts to a spec and back without loss; the hash depends on nothing but
//! the spec; no file is overwritten; every read is bounded.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod approval;
pub mod ceremony;
pub mod chains;
pub mod contribution;
pub mod dev;
pub mod error;
pub mod file;
pub mod folder;
pub mod governance;
pub mod merge;
pub mod show;
pub mod template;
mod text;

#[cfg(test)]
mod test_support;

pub use approval::Approval;
pub use ceremony::{Ceremony, Verification};
pub use chains::ChainList;
pub use contribution::{Contribution, NodeOffer, OperatorOffer, ValidatorOffer};
pub use error::GenesisError;
pub use file::GenesisFile;
pub use merge::merge;
pub use show::show;
pub use template::Template;
