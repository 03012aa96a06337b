//! The fee estimator: what a transaction should bid to be final in the asked time, and what it will probably cost.
//!
//! | file | what it says |
//! | --- | --- |
//! | `estimate.rs` | [`estimate`]: the three bids, and why |
//! | `market.rs` | [`Market`]: what the estimator is told |
//! | `backlog.rs` | [`Backlog`]: what waits, as buckets of like bids; [`Tally`]: the same, kept up to date |
//!
//! # Rules
//!
//! 1. Pure: no clock, no randomness, no floats, no hash order. The same market gives the same estimates.
//! 2. A bid's ceiling (`fee_max`) is not charged; the tip is. So ceilings are generous and tips are not.
//! 3. An estimate below the asked confidence is not a promise, and says so by its probability.

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

mod backlog;
mod bid;
mod demand;
mod estimate;
mod market;
mod paths;
mod timing;
mod tuning;

pub use backlog::{BACKLOG_BUCKETS_MAX, Backlog, TALLY_BUCKETS_MAX, Tally, Waiting};
pub use estimate::{Ask, Estimate, Estimates, Why, estimate, estimate_with};
pub use market::{BLOCKS_MAX, BlockFacts, FINALITY_MAX, Market};
pub use tuning::Tuning;
