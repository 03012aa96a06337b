//! `bench long`: a steady load for many minutes, and whether anything drifts meanwhile.
//!
//! Every minute is an open loop of its own that begins where the one before ended, so its payments are judged while the next ones are
//! posted. The payments of a minute are signed during the minute before, by one thread and spread over it: the load generator takes
//! an even share of the machine. Memory and disk are read at the end of each minute, processor time from one end to the next.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use system::Cluster;

use crate::drift::Drift;
use crate::load::{Load, Used};
use crate::open_loop::{Judged, Latency, OpenLoop};
use crate::population::{Population, Signed};

const MINUTE: Duration = Duration::from_secs(60);
/// Payments of this many seconds are signed at a time.
const SIGNED_SECONDS: u64 = 2;
/// Of a minute, how long signing the next one's payments may take: what is left is for being late.
const SIGNING: Duration = Duration::from_secs(50);
/// How long after a minute its last payments may be final.
const TAIL: Duration = Duration::from_secs(10);
/// Before the first minute, once everything is set up.
const REST: Duration = Duration::from_secs(10);

/// Options of `bench long`. `--rate` is what the network carries at best; `--seconds` means nothing here.
#[derive(Debug, Args)]
pub(crate) struct Long {
    #[command(flatten)]
    load: Load,
    /// Length of the measurement.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Of 100 payments that the network carries, how many are offered.
    #[arg(long, default_value_t = 70, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=100))]
    share: u64,
}

/// A minute.
#[derive(Debug, Clone, Copy, Serialize)]
struct Minute {
    applied: u64,
    missed: u64,
    to_final: Latency,
    to_certified: Latency,
    cpu_us_per_payment: f64,
    /// Of the largest node.
    rss_bytes: u64,
    /// Of all nodes.
    disk_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    banks: usize,
    wallets: usize,
    offered_per_second: u64,
    minutes: Vec<Minute>,
    applied: u64,
    missed: u64,
    drift: Drifts,
    /// What memory grows by, of the largest node, and disk, of each.
    rss_bytes_per_payment: f64,
    disk_bytes_per_payment_and_node: f64,
}

/// Missing for less than three minutes.
#[derive(Debug, Serialize)]
struct Drifts {
    certified_p50_ms: Option<Drift>,
    certified_p99_ms: Option<Drift>,
    cpu_us_per_payment: Option<Drift>,
    rss_bytes: Option<Drift>,
    disk_bytes: Option<Drift>,
}

impl Long {
    pub(crate) async fn run(self) {
        let answer = self.measured().await;
        eprint!("{}", answer.table());
        println!("{}", serde_json::to_string_pretty(&answer).unwrap());
    }

    async fn measured(&self) -> Answer {
        let temporary = tempfile::tempdir().unwrap();
        let directory = self.load.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let rate = (self.load.rate * self.share / 100).max(1);
        let (mut cluster, minutes) = self.minutes(&directory, rate).await;
        cluster.stop_all().await;
        Answer::of(&self.load, rate, minutes)
    }

    async fn minutes(&self, directory: &Path, rate: u64) -> (Cluster, Vec<Minute>) {
        let cluster = Arc::new(self.load.spawned(directory).await);
        let population = self.load.populated(&cluster).await;
        let mut signer = Signer { population, rate, number: 0 };
        let mut next;
        (signer, next) = signer.minute(Duration::ZERO).await;
        tokio::time::sleep(REST).await;

        let (mut judging, mut used) = (Vec::new(), vec![self.load.used(&cluster)]);
        let start = Instant::now() + Duration::from_secs(1);
        for minute in 0..self.minutes {
            let begins = start + MINUTE * u32::try_from(minute).unwrap();
            // A little early, so that the watchers are there in time.
            tokio::time::sleep_until((begins - Duration::from_millis(500)).into()).await;
            judging.push(tokio::spawn(judged(Arc::clone(&cluster), self.load.banks, rate, next, begins)));
            let is_last = minute + 1 == self.minutes;
            next = Vec::new();
            if !is_last {
                (signer, next) = signer.minute(SIGNING).await;
            }
            tokio::time::sleep_until((begins + MINUTE).into()).await;
            used.push(self.load.used(&cluster));
            eprintln!("minute {} of {}", minute + 1, self.minutes);
        }
        let mut minutes = Vec::new();
        for (judged, used) in judging.into_iter().zip(used.windows(2)) {
            minutes.push(Minute::of(&judged.await.unwrap(), used[0], used[1], rate));
        }
        let cluster = Arc::into_inner(cluster).expect("nobody else holds the network once all is judged");
        (cluster, minutes)
    }
}

/// Posts the payments of a minute and says what became of them.
async fn judged(
    cluster: Arc<Cluster>,
    banks: usize,
    rate: u64,
    payments: Vec<Signed>,
    start: Instant,
) -> Judged {
    let banks: Vec<usize> = (0..banks).collect();
    let open_loop = OpenLoop { cluster: &cluster, banks: &banks, rate, payments: &payments };
    open_loop.run_at(start, TAIL, || {}).await.1
}

/// Signs what comes next.
struct Signer {
    population: Population,
    rate: u64,
    /// Of the pieces that were signed.
    number: u64,
}

impl Signer {
    /// The payments of a minute, signed by one thread within about `over`.
    async fn minute(mut self, over: Duration) -> (Self, Vec<Signed>) {
        let signing = move || {
            let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let pieces = u32::try_from(MINUTE.as_secs() / SIGNED_SECONDS).unwrap();
            let (begun, mut signed) = (Instant::now(), Vec::new());
            for piece in 1..=pieces {
                self.number += 1;
                let count = usize::try_from(self.rate * SIGNED_SECONDS).unwrap();
                signed.extend(one.install(|| self.population.payments(count, self.number, 0)));
                std::thread::sleep((over / pieces * piece).saturating_sub(begun.elapsed()));
            }
            (self, signed)
        };
        tokio::task::spawn_blocking(signing).await.unwrap()
    }
}

impl Minute {
    fn of(judged: &Judged, before: Used, after: Used, rate: u64) -> Self {
        Self {
            applied: judged.applied,
            missed: (rate * MINUTE.as_secs()).saturating_sub(judged.applied),
            to_final: judged.to_final,
            to_certified: judged.to_certified,
            cpu_us_per_payment: after.cpu_us.saturating_sub(before.cpu_us) as f64
                / judged.applied.max(1) as f64,
            rss_bytes: after.rss_bytes_max,
            disk_bytes: after.disk_bytes,
        }
    }
}

impl Answer {
    fn of(load: &Load, offered_per_second: u64, minutes: Vec<Minute>) -> Self {
        let drift =
            |figure: &dyn Fn(&Minute) -> f64| Drift::of(&minutes.iter().map(figure).collect::<Vec<f64>>());
        let drift = Drifts {
            certified_p50_ms: drift(&|minute| minute.to_certified.p50_ms),
            certified_p99_ms: drift(&|minute| minute.to_certified.p99_ms),
            cpu_us_per_payment: drift(&|minute| minute.cpu_us_per_payment),
            rss_bytes: drift(&|minute| minute.rss_bytes as f64),
            disk_bytes: drift(&|minute| minute.disk_bytes as f64),
        };
        let applied = minutes.iter().map(|minute| minute.applied).sum::<u64>();
        let per_payment = |drift: Option<Drift>| {
            let each_minute = applied as f64 / minutes.len().max(1) as f64;
            drift.map_or(0.0, |drift| drift.per_minute) / each_minute.max(1.0)
        };
        Self {
            banks: load.banks,
            wallets: load.wallets,
            offered_per_second,
            applied,
            missed: minutes.iter().map(|minute| minute.missed).sum(),
            rss_bytes_per_payment: per_payment(drift.rss_bytes),
            disk_bytes_per_payment_and_node: per_payment(drift.disk_bytes) / load.banks as f64,
            drift,
            minutes,
        }
    }

    fn table(&self) -> String {
        const MIB: f64 = 1_048_576.0;
        let mut lines = vec![
            "| minute | applied/s | missed | certified p50 / p99 ms | CPU µs | largest node MiB | disk MiB |"
                .to_owned(),
            "| --- | --- | --- | --- | --- | --- | --- |".to_owned(),
        ];
        for (number, minute) in self.minutes.iter().enumerate() {
            lines.push(format!(
                "| {} | {:.0} | {} | {:.0} / {:.0} | {:.0} | {:.0} | {:.0} |",
                number + 1,
                minute.applied as f64 / MINUTE.as_secs_f64(),
                minute.missed,
                minute.to_certified.p50_ms,
                minute.to_certified.p99_ms,
                minute.cpu_us_per_payment,
                minute.rss_bytes as f64 / MIB,
                minute.disk_bytes as f64 / MIB,
            ));
        }
        let drifts = [
            ("certified p50, ms", self.drift.certified_p50_ms, 1.0),
            ("certified p99, ms", self.drift.certified_p99_ms, 1.0),
            ("CPU, µs a payment", self.drift.cpu_us_per_payment, 1.0),
            ("largest node, MiB", self.drift.rss_bytes, MIB),
            ("disk of all, MiB", self.drift.disk_bytes, MIB),
        ];
        lines.push(String::new());
        lines.push("| figure | mean | change a minute | over the run | told from noise |".to_owned());
        lines.push("| --- | --- | --- | --- | --- |".to_owned());
        for (name, drift, unit) in drifts {
            let Some(drift) = drift else { continue };
            lines.push(format!(
                "| {name} | {:.1} | {:.3} ± {:.3} | {:.1} % | {} |",
                drift.mean / unit,
                drift.per_minute / unit,
                drift.per_minute_error / unit,
                drift.percent,
                if drift.is_told { "yes" } else { "no" },
            ));
        }
        lines.push(format!(
            "each payment: {:.0} B more memory of the largest node, {:.0} B more disk of each",
            self.rss_bytes_per_payment, self.disk_bytes_per_payment_and_node
        ));
        lines.join("\n") + "\n"
    }
}
