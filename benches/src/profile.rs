//! `bench profile`: where a payment's processor time and allocations go, by stage, over all nodes together.
//!
//! The load of `bench load`. Once it is steady, the processor time of each node's threads is read at the beginning and at the end of a
//! while, exactly; Linux's `perf` samples the same threads meanwhile and says which stages the threads that serve several are busy with.
//! Then allocations are counted for a few seconds, which slows the nodes down, so it comes last. What is divided by are the payments that
//! the first bank executed in the same time. Without `perf` shared threads stay a row of their own each, and allocations are unknown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use ledger::values::{ChainId, Height};
use serde::Serialize;
use system::Cluster;

use crate::load::Load;
use crate::open_loop::{Latency, OpenLoop};
use crate::perf::{self, Allocations, Sample};
use crate::population::Signed;
use crate::stage::{Stage, kind};
use crate::standing::Standing;
use crate::usage;

/// Until the load is steady.
const START: Duration = Duration::from_secs(5);
/// How long allocations are counted.
const COUNTING: Duration = Duration::from_secs(2);
/// Between the two, and at the end.
const REST: Duration = Duration::from_secs(2);
/// Longest wait for what is under way at the end.
const DRAIN: Duration = Duration::from_secs(20);
/// What draws flame graphs; `cargo install inferno`.
const FLAME_GRAPH: &str = "inferno-flamegraph";

/// Options of `bench profile`. `--seconds` is the length of the load, of which all but about ten are looked at.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    #[command(flatten)]
    load: Load,
    /// Draw a flame graph here, where `perf` and `inferno-flamegraph` are installed.
    #[arg(long, value_name = "SVG")]
    flame_graph: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    offered_per_second: u64,
    applied_per_second: f64,
    to_certified: Latency,
    /// Those that the figures are of.
    payments: u64,
    cpu_us_per_payment: f64,
    /// By stage, or by the name of a thread that does several where `perf` says nothing.
    stages: BTreeMap<String, f64>,
    threads: BTreeMap<String, f64>,
    samples: usize,
    /// Missing where `perf` cannot count.
    allocations_per_payment: Option<f64>,
    /// Those of RocksDB.
    c_allocations_per_payment: Option<f64>,
}

/// What was seen while the load was steady.
struct Looked {
    payments: u64,
    cpu_us: u64,
    threads: BTreeMap<String, u64>,
    samples: Option<Vec<Sample>>,
    /// And the payments of the time in which they were counted.
    allocations: Option<(Allocations, u64)>,
}

impl Profile {
    pub(crate) async fn run(self) {
        let answer = self.measured().await;
        eprint!("{}", answer.table());
        println!("{}", serde_json::to_string_pretty(&answer).unwrap());
    }

    async fn measured(&self) -> Answer {
        let temporary = tempfile::tempdir().unwrap();
        let directory = self.load.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut cluster = self.load.spawned(&directory).await;
        let mut population = self.load.populated(&cluster).await;
        let count = usize::try_from(self.load.rate * self.load.seconds).unwrap();
        let payments = population.payments(count, 1, self.load.cross);
        let (applied_per_second, to_certified, looked) =
            self.under_load(&cluster, &payments, temporary.path()).await;
        if let (Some(svg), Some(samples)) = (&self.flame_graph, &looked.samples) {
            draw(svg, samples);
        }
        cluster.stop_all().await;
        looked.answer(self.load.rate, applied_per_second, to_certified)
    }

    async fn under_load(
        &self,
        cluster: &Cluster,
        payments: &[Signed],
        directory: &Path,
    ) -> (f64, Latency, Looked) {
        let banks: Vec<usize> = (0..self.load.banks).collect();
        let open_loop = OpenLoop { cluster, banks: &banks, rate: self.load.rate, payments };
        let started = Instant::now();
        let ((_, judged), looked) =
            tokio::join!(open_loop.run(DRAIN, || {}), self.looked(cluster, directory, started));
        (judged.steady_per_second, judged.to_certified, looked)
    }

    async fn looked(&self, cluster: &Cluster, directory: &Path, started: Instant) -> Looked {
        let processes: Vec<u32> = (0..self.load.banks).filter_map(|bank| cluster.process_id(bank)).collect();
        let around = START + REST + COUNTING + REST;
        let time = Duration::from_secs(self.load.seconds).saturating_sub(around);
        assert!(time >= Duration::from_secs(5), "--seconds must be at least {}", around.as_secs() + 5);
        tokio::time::sleep_until((started + START).into()).await;
        let (from, cpu_from, threads_from) =
            (Standing::of(cluster, 0).await, cpu_us(&processes), threads(&processes));
        let end = Instant::now() + time;
        let recording = {
            let (processes, directory) = (processes.clone(), directory.to_owned());
            tokio::task::spawn_blocking(move || perf::record(&processes, time, &directory))
        };
        tokio::time::sleep_until(end.into()).await;
        let (to, cpu_to, threads_to) =
            (Standing::of(cluster, 0).await, cpu_us(&processes), threads(&processes));
        tokio::time::sleep(REST).await;
        let counted_from = Standing::of(cluster, 0).await;
        let counting = processes.clone();
        let allocations = tokio::task::spawn_blocking(move || allocations(&counting)).await.unwrap();
        let counted_to = Standing::of(cluster, 0).await;
        let mut spent = BTreeMap::new();
        for (thread, cpu_us) in threads_to {
            let before = threads_from.get(&thread).copied().unwrap_or(0);
            *spent.entry(kind(&thread).to_owned()).or_default() += cpu_us.saturating_sub(before);
        }
        let counted = executed(cluster, &counted_from, &counted_to).await;
        Looked {
            payments: executed(cluster, &from, &to).await,
            cpu_us: cpu_to.saturating_sub(cpu_from),
            threads: spent,
            samples: recording.await.unwrap(),
            allocations: allocations.map(|allocations| (allocations, counted)),
        }
    }
}

fn cpu_us(processes: &[u32]) -> u64 {
    processes.iter().map(|process| usage::read(*process).cpu_us).sum()
}

/// Of all processes together, by name.
fn threads(processes: &[u32]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for process in processes {
        for (thread, cpu_us) in usage::cpu_us_by_thread(*process) {
            *all.entry(thread).or_default() += cpu_us;
        }
    }
    all
}

/// Counts at all nodes at the same time.
fn allocations(processes: &[u32]) -> Option<Allocations> {
    let counting: Vec<_> = processes.iter().map(|process| perf::allocations(*process, COUNTING)).collect();
    let mut all = Allocations::default();
    let ended: Vec<Option<Allocations>> =
        counting.into_iter().map(|counting| counting.and_then(perf::Counting::ended)).collect();
    for one in ended {
        let one = one?;
        all = Allocations { own: all.own + one.own, of_c: all.of_c + one.of_c };
    }
    Some(all)
}

/// Transactions that the first bank executed between two moments.
async fn executed(cluster: &Cluster, from: &Standing, to: &Standing) -> u64 {
    let client = cluster.client(0);
    let mut count = 0;
    for chain in to.chains.keys().copied().collect::<Vec<ChainId>>() {
        for height in from.height(chain) + 1..=to.height(chain) {
            count += client.outcomes(chain, Height(height)).await.unwrap().len() as u64;
        }
    }
    count
}

fn draw(svg: &Path, samples: &[Sample]) {
    let folded = svg.with_extension("folded");
    std::fs::write(&folded, perf::folded(samples)).unwrap();
    let title = "CPU of four banks under load, by thread";
    let drawn =
        Command::new(FLAME_GRAPH).args(["--title", title]).arg(&folded).stderr(Stdio::null()).output();
    match drawn {
        Ok(drawn) if drawn.status.success() => {
            std::fs::write(svg, drawn.stdout).unwrap();
            std::fs::remove_file(&folded).unwrap();
        }
        _ => eprintln!("no {FLAME_GRAPH} here: the stacks are in {}", folded.display()),
    }
}

impl Looked {
    fn answer(self, offered_per_second: u64, applied_per_second: f64, to_certified: Latency) -> Answer {
        let per_payment = |cpu_us: f64| cpu_us / self.payments.max(1) as f64;
        let stages = self.stages();
        let allocations = |of: fn(&Allocations) -> u64| {
            let (allocations, payments) = self.allocations.as_ref()?;
            Some(of(allocations) as f64 / (*payments).max(1) as f64)
        };
        Answer {
            offered_per_second,
            applied_per_second,
            to_certified,
            payments: self.payments,
            cpu_us_per_payment: per_payment(self.cpu_us as f64),
            stages: stages.into_iter().map(|(stage, cpu_us)| (stage, per_payment(cpu_us))).collect(),
            threads: self.threads.iter().map(|(name, us)| (name.clone(), per_payment(*us as f64))).collect(),
            samples: self.samples.as_ref().map_or(0, Vec::len),
            allocations_per_payment: allocations(|allocations| allocations.own),
            c_allocations_per_payment: allocations(|allocations| allocations.of_c),
        }
    }

    /// Processor time of each stage: exactly of threads that do one thing, by the samples' shares of the others.
    fn stages(&self) -> BTreeMap<String, f64> {
        let mut stages: BTreeMap<String, f64> = BTreeMap::new();
        let mut told = 0_u64;
        for (thread, cpu_us) in &self.threads {
            told += cpu_us;
            let shares = self.shares(thread);
            if shares.is_empty() {
                let stage = Stage::of_thread(thread);
                let name = stage.map_or_else(|| thread.clone(), |stage| stage.name().to_owned());
                *stages.entry(name).or_default() += *cpu_us as f64;
            }
            for (stage, share) in shares {
                *stages.entry(stage.name().to_owned()).or_default() += share * *cpu_us as f64;
            }
        }
        // Of threads that have ended meanwhile.
        let rest = self.cpu_us.saturating_sub(told);
        *stages.entry(Stage::Other.name().to_owned()).or_default() += rest as f64;
        stages
    }

    /// How the samples of a kind of threads are shared among stages; empty where there are none.
    fn shares(&self, thread: &str) -> BTreeMap<Stage, f64> {
        let samples = self.samples.iter().flatten().filter(|sample| kind(&sample.thread) == thread);
        let mut counts: BTreeMap<Stage, u64> = BTreeMap::new();
        for sample in samples {
            *counts.entry(Stage::of_sample(&sample.thread, &sample.stack)).or_default() += 1;
        }
        let all = counts.values().sum::<u64>() as f64;
        counts.into_iter().map(|(stage, count)| (stage, count as f64 / all)).collect()
    }
}

impl Answer {
    fn table(&self) -> String {
        let mut text =
            String::from("| stage | CPU µs a payment, all nodes | of all |\n| --- | --- | --- |\n");
        let mut row = |name: &str, cpu_us: f64| {
            let percent = 100.0 * cpu_us / self.cpu_us_per_payment.max(f64::MIN_POSITIVE);
            text += &format!("| {name} | {cpu_us:.1} | {percent:.0} % |\n");
        };
        for stage in Stage::ALL {
            row(stage.name(), self.stages.get(stage.name()).copied().unwrap_or(0.0));
        }
        let is_stage = |name: &str| Stage::ALL.iter().any(|stage| stage.name() == name);
        for (thread, cpu_us) in self.stages.iter().filter(|(name, _)| !is_stage(name)) {
            row(&format!("thread {thread}"), *cpu_us);
        }
        row("all", self.cpu_us_per_payment);
        if let (Some(own), Some(of_c)) = (self.allocations_per_payment, self.c_allocations_per_payment) {
            text += &format!("allocations a payment, all nodes: {own:.0}, and {of_c:.0} of RocksDB\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_threads_are_split_by_samples_and_the_others_by_their_names() {
        let sample = |thread: &str, function: &str| Sample {
            thread: thread.to_owned(),
            stack: vec![function.to_owned()],
        };
        let threads = [("admission", 100), ("node", 400), ("work", 200), ("jiaozi", 20)];
        let mut looked = Looked {
            payments: 10,
            cpu_us: 800,
            threads: threads.map(|(name, cpu_us)| (name.to_owned(), cpu_us)).into(),
            samples: Some(vec![
                sample("node", "yamux::send"),
                sample("node", "yamux::send"),
                sample("node", "node::driver::step"),
                sample("node", "node::http::blocks"),
                sample("work-0", "curve25519_dalek::double"),
                sample("work-1", "ledger::state::tree"),
            ]),
            allocations: Some((Allocations { own: 1_000, of_c: 50 }, 20)),
        };
        let stages = looked.stages();
        let of = |stage: Stage| stages.get(stage.name()).copied();
        assert_eq!(of(Stage::Accept), Some(100.0));
        assert_eq!(
            (of(Stage::Disseminate), of(Stage::Order), of(Stage::Serve)),
            (Some(200.0), Some(100.0), Some(100.0))
        );
        assert_eq!((of(Stage::Verify), of(Stage::Execute)), (Some(100.0), Some(100.0)));
        // What ended meanwhile; the thread without samples keeps its name.
        assert_eq!((of(Stage::Other), stages.get("jiaozi")), (Some(80.0), Some(&20.0)));
        looked.samples = None;
        assert_eq!(looked.stages().get("node"), Some(&400.0));

        let answer = looked.answer(5, 5.0, Latency::default());
        assert_eq!((answer.cpu_us_per_payment, answer.allocations_per_payment), (80.0, Some(50.0)));
        let table = answer.table();
        assert!(
            table.contains("| accept | 10.0 | ") && table.contains("| thread node | 40.0 | 50 % |"),
            "{table}"
        );
        assert!(table.contains("all nodes: 50, and 2 of RocksDB"), "{table}");
    }
}
