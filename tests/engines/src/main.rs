//! # engines: the same troubles for two engines
//!
//! `docs/adr/0001-consensus-engine.md` rests on this. Each scenario runs with the engine in use (crate `consensus`) and with
//! `hotstuff_rs` 0.4.0, once as published and once with what its user can mend from outside. Every trial has a process of its own, so
//! that one may die without the others, and memory is counted for it alone.
//!
//! `engines` runs all and prints the table; `engines SCENARIO ENGINE` runs one trial. The exit code is 1 when the engine in use misses a
//! bound. What the rival does is told, not judged: its row is marked by the same bounds.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `engine` | what a scenario may do with an engine |
//! | `scenarios` | the troubles and their bounds, one file each |
//! | `simplex` | the engine in use |
//! | `hotstuff` | the rival |
//! | `trial` | one trial in a process of its own, with a deadline |
//! | `pace`, `memory` | how figures are read |

mod engine;
mod hotstuff;
mod memory;
mod pace;
mod scenarios;
mod simplex;
mod trial;

use std::process::ExitCode;

use scenarios::Scenario;
use trial::{Contestant, Trial, Verdict};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match named[..] {
        [] => table(),
        [scenario, contestant] => match Trial::named(scenario, contestant) {
            Some(trial) => {
                trial.run_here();
                ExitCode::SUCCESS
            }
            None => usage(),
        },
        _ => usage(),
    }
}

/// Runs every trial and prints a row for each.
fn table() -> ExitCode {
    println!("| scenario | engine | bounds | measured | peak memory of all validators |");
    println!("| --- | --- | --- | --- | --- |");
    let mut is_good = true;
    for scenario in Scenario::ALL {
        for contestant in Contestant::ALL {
            let verdict = Trial { scenario, contestant }.run_apart();
            println!("| {} | {} | {verdict} |", scenario.title(), contestant.title());
            is_good &= contestant != Contestant::InUse || matches!(verdict, Verdict::Held { .. });
        }
    }
    if is_good {
        ExitCode::SUCCESS
    } else {
        eprintln!("engines: the engine in use missed a bound");
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    let scenarios = Scenario::ALL.map(Scenario::name).join(", ");
    let contestants = Contestant::ALL.map(Contestant::name).join(", ");
    eprintln!("usage: engines [SCENARIO ENGINE]\nscenarios: {scenarios}\nengines: {contestants}");
    ExitCode::from(2)
}
