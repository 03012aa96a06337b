//! The ledger: a pure function of its inputs.
//!
//! No I/O, no clock, no threads, no floats, no hash order: the same input gives the same bytes on every
//! machine. Proposer, voter, auditor, simulator and client all call this one crate.
//!
//! | folder | what it holds |
//! | --- | --- |
//! | [`values`] | amounts, ids, hashes, keys and signatures, the codec, the quorum |
//! | [`records`] | what is signed, ordered, stored and proved: layouts and their ranges |
//! | [`state`] | what a chain holds after a height: point reads, two trees in memory, the head |
//! | [`rules`] | how records may change: validity, one file per operation, execution, invariants |
//! | [`proofs`] | files that a stranger checks offline; the replay of a whole chain |
//!
//! Invariants, each with its home:
//! - decode ∘ encode is the identity for every record ([`values::codec`]);
//! - a transaction has one outcome or none, and one that was rejected never applies ([`rules::admission`]);
//! - the supply equation holds after every height ([`rules::invariants`]);
//! - a fee is never above what was bid, and is lost nowhere ([`rules::fee`]);
//! - a receipt is executed once, in its order, and what cannot be credited comes back ([`rules::receive`]);
//! - on an error nothing has changed, and an undo leads back exactly ([`rules::transition`]);
//! - the strategy never shows in the bytes ([`values::strategy`]).
//!
//! `docs/protocol.md` is the specification of every byte; `tests/vectors/` freezes them.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::float_arithmetic
    )
)]

pub mod proofs;
pub mod records;
pub mod rules;
pub mod state;
pub mod values;
