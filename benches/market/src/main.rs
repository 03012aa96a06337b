//! A simulated fee market: how well the estimator's promises hold, and what they cost.
//!
//! | file | what it says |
//! | --- | --- |
//! | `score.rs` | the table: our estimator beside two others, on seeds that nothing was tuned on |
//! | `tune.rs` | sweeps over the estimator's numbers, on other seeds |
//! | `bound.rs` | what is overpaid by whoever knows everything but the arrivals to come |
//! | `cost.rs` | what one call of the estimator takes |
//! | `curves.rs`, `plot.rs` | plots of the base fee beside EIP-1559's |
//! | `world.rs` | one run: blocks at a pace, the ledger's rule, the pool's order, questions on the way |
//! | `demand.rs` | seven families of demand |
//! | `queue.rs` | what waits |
//! | `hindsight.rs` | what became of a bid, and what would have been the best one |
//! | `percentile.rs` | percentile of history, the way of `eth_feeHistory` |
//! | `buckets.rs` | Bitcoin Core's method |
//! | `weight/` | what every kind of transaction costs a node, beside what it weighs |
//! | `random.rs` | random numbers that replay from a seed |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement fails loudly")]

mod bound;
mod buckets;
mod cost;
mod curves;
mod demand;
mod hindsight;
mod percentile;
mod plot;
mod queue;
mod random;
mod score;
mod tune;
mod weight;
mod world;

use std::path::Path;

fn main() {
    let command = std::env::args().nth(1).unwrap_or_default();
    match command.as_str() {
        "score" => score::score(),
        "tune" => tune::tune(),
        "bound" => bound::bound(),
        "cost" => cost::cost(),
        "curves" => {
            let directory = std::env::args().nth(2).unwrap_or_else(|| "docs/fees".to_owned());
            curves::curves(Path::new(&directory));
        }
        "weight" => weight::weight(),
        _ => {
            eprintln!("usage: market score | tune | bound | cost | curves [DIRECTORY] | weight");
            std::process::exit(2);
        }
    }
}
