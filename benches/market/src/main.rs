//! A simulated fee market: how well the estimator's promises hold, and what they cost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement fails loudly")]

mod weight;

use clap::Parser as _;

/// Measures what fees are made of.
#[derive(clap::Parser)]
enum Command {
    /// What every kind of transaction costs a node beside what it weighs; prints tables and the constants that would fit best.
    Weight(weight::Weight),
}

fn main() {
    match Command::parse() {
        Command::Weight(weight) => weight.run(),
    }
}
