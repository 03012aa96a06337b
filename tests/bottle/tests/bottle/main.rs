//! Whole networks on virtual time. Every test names its seed; `simulate` and [`bottle::run`] repeat it.

mod adversaries;
mod catch_up;
mod damage;
mod drawn;
mod epochs;
mod faults;
mod flood;
mod healthy;
mod join;
mod planted;
mod repeat;
mod reshard;
mod shards;

use bottle::{Outcome, Plan, run};

/// Runs a plan and prints its outcome, which a failing test shows.
fn show(plan: &Plan) -> Outcome {
    println!("seed {}: {:?}", plan.seed, plan.faults);
    let outcome = run(plan);
    println!("{outcome}");
    outcome
}

/// Runs a plan in which everything must hold.
fn green(plan: &Plan) -> Outcome {
    let outcome = show(plan);
    assert!(outcome.is_green(), "seed {}: {:?}", plan.seed, outcome.violations);
    outcome
}
