//! The fixed share of drawn plans: the same seeds at every commit.

use bottle::{Plan, Summary, run};

/// Seeds of one test; cargo runs the two side by side.
const SEEDS: u64 = 12;

/// Runs seeds from one on; all must be green.
fn share(first: u64) {
    let mut summary = Summary::new();
    for seed in first..first + SEEDS {
        let outcome = run(&Plan::drawn(seed));
        if !outcome.is_green() {
            println!("RED: make simulate SEED={seed}\n{outcome}");
        }
        summary.add(&outcome);
    }
    println!("{summary}");
    assert!(summary.is_green(), "replay with make simulate SEED=...: {:?}", summary.violated);
    assert!(summary.heights > 200 * SEEDS, "networks make progress: {} heights", summary.heights);
}

#[test]
fn the_first_share_of_seeds_is_green() {
    share(0);
}

#[test]
fn the_second_share_of_seeds_is_green() {
    share(1_000);
}
