//! The pool: transactions that were admitted and wait to be sealed into a batch.
//!
//! | file | what it says |
//! | --- | --- |
//! | `pool.rs` | [`Pool`]: order, bounds and refusals |
//! | `queue.rs` | what waits of one operator's customers, best bid first |
//! | `bid.rs` | how bids are compared, and when one replaces another |
//! | `funds.rs` | what payers may owe for all that waits, beside what they have |
//! | `held.rs` | nonces that batches hold which may still be executed |
//!
//! # Order
//!
//! Operators have turns by weight (deficit round robin: Shreedhar and Varghese, 1995); within a turn the best bid per weight comes first, by tip, then by
//! maximal fee, then by arrival. What cannot pay the base fee waits until it can, or its time is up; so does, while there is a base fee,
//! what another bank's batch holds already.
//!
//! **A flood by one bank's customers delays another bank's by a bounded weight only:** as long as a customer's transaction is the best of its
//! operator's and weighs no more than [`QUANTUM_WEIGHT`], at most that weight + one transaction of each other operator comes before it. While all
//! have something waiting, none is ahead of another by more than [`QUANTUM_WEIGHT`] + two transactions. (Tested in `tests/model.rs`.)
//!
//! # Invariants
//!
//! 1. The pool is deterministic: it has no clock, no randomness and no iteration in hash order.
//! 2. Memory is bounded by [`POOL_BYTES_MAX`]; one wallet holds at most [`WALLET_TRANSACTIONS_MAX`] places, the customers of one operator
//!    [`OPERATOR_TRANSACTIONS_MAX`]. In a full pool the operator with the most weight gives way to others, and low bids to higher ones.
//! 3. A wallet's nonce is held by one transaction at a time, from its arrival until it was executed: what was sealed is remembered, so two
//!    versions of a payment never race through one pool, and what comes back has the place that it had.
//! 4. What waits and what was taken promises its payer's money once: what a payer has not, beside all of it, pays for no base fee.
//! 5. Whatever enters leaves once: taken, removed, replaced, evicted or expired. What was taken may be given back, and enters anew.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bid;
mod funds;
mod held;
mod pool;
mod queue;

pub use bid::highest_base_fee;
pub use funds::{Balance, KEPT_HEIGHTS_MAX};
pub use pool::{
    EVICTIONS_MAX, OPERATOR_TRANSACTIONS_MAX, POOL_BYTES_MAX, POOL_TRANSACTIONS_MAX, Pool, PoolRefusal,
    Pooled, QUANTUM_WEIGHT, TakeLimits, WALLET_TRANSACTIONS_MAX,
};
