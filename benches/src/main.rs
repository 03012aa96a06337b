//! Measurements of whole networks on this machine. `bench load --help` says more.
//!
//! | file | what it says |
//! | --- | --- |
//! | `demo.rs` | the demonstration: 20,000 payments on three chains, a crash, a refund, a reshard, a flood, a replay |
//! | `doubling.rs` | its reshard, under payments |
//! | `faults.rs` | what befalls banks under payments, and what their copies of the chain say afterwards |
//! | `flood.rs` | its flood: one bank's customers pay too much at once, another's pay urgently |
//! | `forgeries.rs` | its forged databases, which the auditor must refuse |
//! | `load.rs` | the load: what a network carries, and what it costs |
//! | `scaling.rs` | the same load on 1 to 8 chains; the table, the goals |
//! | `model.rs` | what a network of many chains costs, as formulas |
//! | `catch_up.rs` | a bank far behind, a source that lies, and what the others feel of it |
//! | `rejoin.rs` | a bank that lost its disk: how long until it votes again, by a snapshot and by replaying |
//! | `fates.rs` | what became of payments, read from the outcomes |
//! | `standing.rs` | where the chains stand; waiting until nothing is under way |
//! | `open_loop.rs` | payments at a steady rate; latency to final, to certified and, across chains, to credited |
//! | `population.rs` | wallets: keys, opening, funding, pre-signed payments |
//! | `watch.rs` | when each height was seen final and certified at each bank |
//! | `usage.rs` | processor, memory and disk of the nodes |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement fails loudly")]

mod catch_up;
mod demo;
mod doubling;
mod fates;
mod faults;
mod flood;
mod forgeries;
mod load;
mod model;
mod open_loop;
mod population;
mod rejoin;
mod scaling;
mod standing;
mod usage;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Jiaozi on this machine.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The main job on real input, on three chains, with a crash, a refund, a reshard to five chains, a flood that costs, a replay and
    /// two forgeries.
    Demo(demo::Demo),
    /// A bank ten thousand blocks behind catches up, with one source that lies; prints one JSON object.
    CatchUp(catch_up::CatchUp),
    /// Kills, pauses, restarts, wrong clocks and cut links under payments; prints one JSON object for each scenario.
    Faults(faults::Faults),
    /// A bank of four loses its disk: time until it is ready, by a snapshot and by replaying; prints one JSON object.
    Rejoin(rejoin::Rejoin),
    /// Four banks as processes, pre-signed payments in an open loop; prints one JSON object.
    Load(load::Load),
    /// The same load on 1, 2, 4 and 8 chains with 0, 10 and 50 % of it between them; prints a table, the goals, and a model.
    Scaling(scaling::Scaling),
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match Arguments::parse().command {
        Command::Demo(demo) => runtime.block_on(demo.run()),
        Command::Faults(faults) => return runtime.block_on(faults.run()),
        Command::CatchUp(catch_up) => runtime.block_on(catch_up.run()),
        Command::Rejoin(rejoin) => runtime.block_on(rejoin.run()),
        Command::Load(load) => runtime.block_on(load.run()),
        Command::Scaling(scaling) => runtime.block_on(scaling.run()),
    }
    ExitCode::SUCCESS
}
