//! The ledger: a pure function of its inputs.
//!
//! No I/O, no clock, no threads, no floats, no hash order: the same input gives the same bytes on every machine.
//! Proposer, voter, auditor, simulator and client all call this one crate.
//!
//! | folder | what it holds |
//! | --- | --- |
//! | [`values`] | amounts, ids, hashes, keys and signatures, the codec, the quorum |
//! | [`records`] | what is signed, ordered, stored and proved: genesis, registry, transactions, batches, blocks, results |
//! | [`state`] | what a chain holds after a height: records behind point reads, two trees in memory, the head |
//! | [`rules`] | how records may change: validity, one file per operation, the execution of a block, invariants |
//! | [`proofs`] | files that a stranger checks offline |

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
