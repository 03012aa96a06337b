//! The pool: transactions that were admitted and wait to be sealed into a batch.
//!
//! | file | what it says |
//! | --- | --- |
//! | `pool.rs` | [`Pool`]: order, bounds and refusals |
//!
//! # Invariants
//!
//! 1. The pool is deterministic: it has no clock, no randomness and no iteration in hash order.
//! 2. Memory is bounded by [`POOL_BYTES_MAX`], and one wallet holds at most [`WALLET_TRANSACTIONS_MAX`] places.
//! 3. A wallet's nonce is held by one transaction at a time, so two versions of a payment never race.
//! 4. Whatever enters leaves once: taken, removed or expired.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod pool;

pub use pool::{POOL_BYTES_MAX, POOL_TRANSACTIONS_MAX, Pool, PoolRefusal, Pooled, WALLET_TRANSACTIONS_MAX};
