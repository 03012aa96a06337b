//! `simulate --seed N`: draws a plan from the seed, runs it, says what happened; exit code 1 if a property failed.

use std::process::ExitCode;

use bottle::{Plan, run};
use clap::Parser;

/// Runs a whole network in one process, on virtual time, and checks what must hold.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// Decides the plan and every choice in it; the same seed gives the same run.
    #[arg(long)]
    seed: u64,
    /// Virtual minutes under load.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: u64,
    /// Consecutive seeds to run, from the given one on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    runs: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut all_green = true;
    for seed in (0..arguments.runs).map(|run| arguments.seed.wrapping_add(run)) {
        // First of all: a run that panics must still be repeatable.
        println!("simulate --seed {seed} --minutes {}", arguments.minutes);
        let plan = Plan::drawn(seed, arguments.minutes);
        for (at_ms, fault) in &plan.faults {
            println!("  {at_ms:>7} ms  {fault:?}");
        }
        let outcome = run(&plan);
        println!("{outcome}");
        all_green &= outcome.is_green();
    }
    if all_green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
