//! A simulated fee market: how well the estimator's promises hold, and what they cost.

fn main() {}
