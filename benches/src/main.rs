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
//! | `overload.rs` | three times what a network carries |
//! | `long.rs`, `drift.rs` | a steady load for long; what drifts meanwhile |
//! | `memory.rs` | what wallets and pending payments take in memory |
//! | `signatures.rs`, `table.rs` | the limit that signatures set; ours beside it and beside PostgreSQL |
//! | `profile.rs`, `stage.rs`, `perf.rs` | where processor time and allocations go, by stage; which stage a sample is of; Linux's `perf` |
//! | `open_loop.rs` | payments at a steady rate; latency to final, to certified and, across chains, to credited |
//! | `population.rs` | wallets: keys, opening, funding, pre-signed payments |
//! | `watch.rs` | when each height was seen final and certified at each bank |
//! | `usage.rs` | processor, memory and disk of the nodes |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement fails loudly")]

mod catch_up;
mod demo;
mod doubling;
mod drift;
mod fates;
mod faults;
mod flood;
mod forgeries;
mod load;
mod long;
mod memory;
mod model;
mod open_loop;
mod overload;
mod perf;
mod population;
mod profile;
mod rejoin;
mod scaling;
mod signatures;
mod stage;
mod standing;
mod table;
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
    /// A steady load for many minutes, a row for each, and what drifts; prints a table and one JSON object.
    Long(long::Long),
    /// What a million wallets and a thousand pending payments take in a node's memory; prints one JSON object.
    Memory(memory::Memory),
    /// The best rate, and three times that; prints one JSON object.
    Overload(overload::Overload),
    /// Processor time and allocations of a payment by stage, and a flame graph; prints a table and one JSON object.
    Profile(profile::Profile),
    /// The same load on 1, 2, 4 and 8 chains with 0, 10 and 50 % of it between them; prints a table, the goals, and a model.
    Scaling(scaling::Scaling),
    /// What checking one signature in a batch costs; prints one JSON object.
    Signatures(signatures::Signatures),
    /// One table of a load, PostgreSQL and the limit, from the files that they printed.
    Table(table::Table),
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match Arguments::parse().command {
        Command::Demo(demo) => runtime.block_on(demo.run()),
        Command::Faults(faults) => return runtime.block_on(faults.run()),
        Command::CatchUp(catch_up) => runtime.block_on(catch_up.run()),
        Command::Rejoin(rejoin) => runtime.block_on(rejoin.run()),
        Command::Load(load) => runtime.block_on(load.run()),
        Command::Long(long) => runtime.block_on(long.run()),
        Command::Memory(memory) => runtime.block_on(memory.run()),
        Command::Overload(overload) => runtime.block_on(overload.run()),
        Command::Profile(profile) => runtime.block_on(profile.run()),
        Command::Scaling(scaling) => runtime.block_on(scaling.run()),
        Command::Signatures(signatures) => signatures.run(),
        Command::Table(table) => table.run(),
    }
    ExitCode::SUCCESS
}
