//! `simulate`: runs plans that seeds draw, or that of a scene, and says what happened; exit code 1 if a property failed.
//!
//! ```text
//! simulate --seed 7                    one seed, with its plan and its outcome
//! simulate --seed 7 --scene reshard    the same of a named plan
//! simulate --seeds 0..500              many seeds, and one table over all
//! simulate --soak --hours 8 --save D   random seeds on all cores until the time is over; what fails is kept in D
//! ```

use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bottle::{Outcome, Plan, Summary, run, scenes};
use clap::{ArgGroup, Parser};

/// Seeds of one call.
const SEEDS_MAX: u64 = 1_000_000;
/// How often a soak says how far it is.
const TELL_PAUSE: Duration = Duration::from_secs(300);

/// Runs whole networks in one process, on virtual time, and checks what must hold.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
#[command(group(ArgGroup::new("which").required(true).args(["seed", "seeds", "soak"])))]
struct Arguments {
    /// Decides the plan and every choice in it; the same seed gives the same run.
    #[arg(long)]
    seed: Option<u64>,
    /// Seeds from the first to the one before the last, as 0..500: one line each, and one table over all.
    #[arg(long, value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Random seeds, the first from the clock, until the time is over.
    #[arg(long, requires = "hours")]
    soak: bool,
    /// How long a soak takes; fractions are fine.
    #[arg(long, requires = "soak", value_parser = hours)]
    hours: Option<f64>,
    /// One of the named plans, instead of drawn ones.
    #[arg(long, value_parser = known_scene)]
    scene: Option<String>,
    /// Threads; as many as the machine has cores for a soak, else one.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// Where each failing seed leaves a file with its plan, its outcome and the command that replays it.
    #[arg(long)]
    save: Option<PathBuf>,
    /// The table for machines.
    #[arg(long)]
    json: bool,
}

fn known_scene(name: &str) -> Result<String, String> {
    let names: Vec<&str> = scenes::SCENES.iter().map(|(name, _)| *name).collect();
    if names.contains(&name) { Ok(name.to_owned()) } else { Err(format!("one of {}", names.join(", "))) }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    parsed
        .filter(|seeds: &Range<u64>| !seeds.is_empty() && seeds.end - seeds.start <= SEEDS_MAX)
        .ok_or_else(|| format!("two numbers, as 0..500, at most {SEEDS_MAX} apart"))
}

fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| "a number of hours".to_owned())?;
    if (0.001..=1_000.0).contains(&hours) { Ok(hours) } else { Err("from 0.001 to 1000".to_owned()) }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_green = match (arguments.seed, arguments.seeds.clone()) {
        (Some(seed), _) => show(&arguments, seed),
        (None, Some(seeds)) => {
            let threads = arguments.threads.map_or(1, NonZero::get);
            let next = AtomicU64::new(seeds.start);
            many(&arguments, threads, &|| {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                (seed < seeds.end).then_some(seed)
            })
        }
        (None, None) => soak(&arguments),
    };
    if is_green { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(arguments: &Arguments, seed: u64) -> Plan {
    let scene = arguments.scene.as_deref().and_then(|name| scenes::scene(name, seed));
    scene.unwrap_or_else(|| Plan::drawn(seed))
}

/// The command that runs a seed again.
fn replay(arguments: &Arguments, seed: u64) -> String {
    let scene = arguments.scene.as_ref().map_or(String::new(), |name| format!(" SCENE={name}"));
    format!("make simulate SEED={seed}{scene}")
}

/// One seed, in full.
fn show(arguments: &Arguments, seed: u64) -> bool {
    // First of all: a run that panics must still be repeatable.
    println!("{}", replay(arguments, seed));
    let plan = plan(arguments, seed);
    print!("{}", describe(&plan));
    let outcome = run(&plan);
    println!("{outcome}");
    if let Some(directory) = &arguments.save
        && !outcome.is_green()
    {
        keep(arguments, directory, &plan, &outcome.to_string());
    }
    outcome.is_green()
}

fn describe(plan: &Plan) -> String {
    let mut text = format!(
        "  {} nodes, {} ms, {:?}, {:?}, {:?}\n",
        plan.nodes, plan.duration_ms, plan.links, plan.load, plan.power_cut
    );
    for (chain, planned) in plan.chains.iter().enumerate() {
        text += &format!(
            "  chain {chain}: {} shard {}, hosts {:?}\n",
            planned.currency, planned.shard, planned.hosts
        );
    }
    for (child, chain) in plan.children.iter().zip(plan.chains.len()..) {
        text += &format!("  chain {chain}: child of chain {}, hosts {:?}\n", child.parent, child.hosts);
    }
    for (at_ms, change) in &plan.changes {
        text += &format!("  {at_ms:>7} ms  {change:?}\n");
    }
    for (at_ms, fault) in &plan.faults {
        text += &format!("  {at_ms:>7} ms  {fault:?}\n");
    }
    text
}

/// Random seeds until the time is over.
fn soak(arguments: &Arguments) -> bool {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let first = u64::try_from(nanoseconds / 1_000 % u128::from(u64::MAX / 2)).unwrap_or(0);
    eprintln!("first seed {first}");
    let ends = Instant::now() + Duration::from_secs_f64(3_600.0 * arguments.hours.unwrap_or(1.0));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(first);
    many(arguments, arguments.threads.map_or(cores, NonZero::get), &|| {
        (Instant::now() < ends).then(|| next.fetch_add(1, Ordering::Relaxed))
    })
}

/// Runs seeds until there is none left, prints a table, and says whether everything held.
fn many(arguments: &Arguments, threads: usize, next: &(dyn Fn() -> Option<u64> + Sync)) -> bool {
    let began = Instant::now();
    let state = Mutex::new((Summary::new(), began));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    let outcome = try_seed(arguments, seed);
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let (summary, told) = &mut *state;
                    match outcome {
                        Some(outcome) => summary.add(&outcome),
                        None => summary.add_panic(seed),
                    }
                    if told.elapsed() >= TELL_PAUSE {
                        *told = Instant::now();
                        let (seeds, heights) = (summary.seeds, summary.heights);
                        eprintln!("{seeds} seeds, {heights} heights, green so far: {}", summary.is_green());
                    }
                }
            });
        }
    });
    let (summary, _) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if arguments.json {
        println!("{}", summary.to_json());
    } else {
        println!("{summary}");
        println!("{:.0} s with {threads} threads", began.elapsed().as_secs_f64());
    }
    summary.is_green()
}

/// One seed of many; says something only where it fails. `None` where it panicked.
fn try_seed(arguments: &Arguments, seed: u64) -> Option<Outcome> {
    let plan = plan(arguments, seed);
    let outcome = catch_unwind(|| run(&plan)).ok();
    if outcome.as_ref().is_some_and(Outcome::is_green) {
        return outcome;
    }
    eprintln!("RED: {}", replay(arguments, seed));
    for (at_ms, violation) in outcome.iter().flat_map(|outcome| &outcome.violations) {
        eprintln!("  {at_ms} ms {:?}: {}", violation.property, violation.detail);
    }
    if let Some(directory) = &arguments.save {
        let said = outcome
            .as_ref()
            .map_or_else(|| "It panicked; the replay says where.\n".to_owned(), ToString::to_string);
        keep(arguments, directory, &plan, &said);
    }
    outcome
}

/// Leaves a file that says everything of a failing seed.
fn keep(arguments: &Arguments, directory: &Path, plan: &Plan, said: &str) {
    let file = directory.join(format!("seed-{}.txt", plan.seed));
    let text = format!("{}\n{}{said}", replay(arguments, plan.seed), describe(plan));
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(&file, text));
    match written {
        Ok(()) => eprintln!("  kept in {}", file.display()),
        Err(fault) => eprintln!("  cannot keep it in {}: {fault}", file.display()),
    }
}
