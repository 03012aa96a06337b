//! `simulate --seed N`: draws a plan from the seed, or takes that of a scene, runs it, says what happened; exit code 1 if a
//! property failed.

use std::process::ExitCode;

use bottle::{Plan, run, scenes};
use clap::Parser;

/// Runs a whole network in one process, on virtual time, and checks what must hold.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// Decides the plan and every choice in it; the same seed gives the same run.
    #[arg(long)]
    seed: u64,
    /// One of the named plans, instead of a drawn one.
    #[arg(long, value_parser = known_scene)]
    scene: Option<String>,
    /// Virtual minutes under load; a scene has its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: u64,
    /// Consecutive seeds to run, from the given one on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    runs: u64,
}

fn known_scene(name: &str) -> Result<String, String> {
    let names: Vec<&str> = scenes::SCENES.iter().map(|(name, _)| *name).collect();
    if names.contains(&name) { Ok(name.to_owned()) } else { Err(format!("one of {}", names.join(", "))) }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut all_green = true;
    for seed in (0..arguments.runs).map(|run| arguments.seed.wrapping_add(run)) {
        // First of all: a run that panics must still be repeatable.
        let plan = match &arguments.scene {
            Some(name) => {
                println!("simulate --scene {name} --seed {seed}");
                scenes::scene(name, seed)
            }
            None => {
                println!("simulate --seed {seed} --minutes {}", arguments.minutes);
                Some(Plan::drawn(seed, arguments.minutes))
            }
        };
        let Some(plan) = plan else { return ExitCode::FAILURE };
        for (chain, planned) in plan.chains.iter().enumerate() {
            println!(
                "  chain {chain}: {} shard {}, hosts {:?}",
                planned.currency, planned.shard, planned.hosts
            );
        }
        for (child, chain) in plan.children.iter().zip(plan.chains.len()..) {
            println!("  chain {chain}: child of chain {}, hosts {:?}", child.parent, child.hosts);
        }
        for (at_ms, fault) in &plan.faults {
            println!("  {at_ms:>7} ms  {fault:?}");
        }
        let outcome = run(&plan);
        println!("{outcome}");
        all_green &= outcome.is_green();
    }
    if all_green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
