//! `bench load`: what a network of banks on this machine carries.
//!
//! Open loop: every payment has a scheduled moment, and its latency counts from there, whether the network keeps up or
//! not. Payments are signed before the clock starts, one payee and one signature each, payer and payee uniform over all
//! wallets. They are posted in bulk to all banks in turn; final and certified are looked for at the bank after the one
//! that was posted to. Refused and late payments count as misses. Applied is read from the ledger's outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ledger::records::ChainParams;
use serde::Serialize;
use system::{Cluster, jiaozi_binary};

use crate::open_loop::{Latency, OpenLoop, Signed, applied, drain, height};
use crate::population::Population;
use crate::usage;
use crate::watch::watch;

/// How long stragglers may take after the last payment was due.
const DRAIN_SECONDS: u64 = 20;

/// Options of `bench load`.
#[derive(Args)]
pub(crate) struct Load {
    /// Payments offered each second.
    #[arg(long, default_value_t = 8_000)]
    rate: u64,
    /// Length of the measurement.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Wallets, all of which pay and are paid.
    #[arg(long, default_value_t = 100_000)]
    wallets: usize,
    /// Banks, one process each.
    #[arg(long, default_value_t = 4)]
    banks: usize,
    /// Least time between blocks. Here all banks share the cores of one machine, so blocks come at half the pace of a
    /// network whose banks have their own (PROTOCOL rule 19).
    #[arg(long, default_value_t = 100)]
    pace_ms: u64,
    /// Folder for the network's files; a temporary one by default.
    #[arg(long)]
    directory: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    banks: usize,
    wallets: usize,
    seconds: u64,
    offered: u64,
    offered_per_second: u64,
    pace_ms: u64,
    accepted: u64,
    applied: u64,
    missed: u64,
    applied_per_second: f64,
    to_final: Latency,
    to_certified: Latency,
    cpu_us_per_payment: f64,
    cpu_cores_idle_before: f64,
    rss_bytes_max: u64,
    disk_bytes_per_payment_and_node: f64,
    blocks: usize,
    seconds_to_ready_after_a_kill: f64,
}

impl Load {
    pub(crate) async fn run(self) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = self.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let params = ChainParams { block_pace_ms: self.pace_ms, ..ChainParams::default() };
        let mut cluster = Cluster::create_with(&directory, self.banks, params);
        let jiaozi = jiaozi_binary();
        for bank in 0..self.banks {
            cluster.spawn(bank, &jiaozi);
        }
        for bank in 0..self.banks {
            cluster.wait_ready(bank, Duration::from_secs(60)).await;
        }
        let idle = self.idle_cores(&cluster).await;
        eprintln!("opening and funding {} wallets", self.wallets);
        let population = Population::new(cluster.localnet.spec.hash(), self.wallets);
        let started = Instant::now();
        population.set_up(&cluster).await;
        eprintln!(
            "set up in {:.1} s; signing {} payments",
            started.elapsed().as_secs_f64(),
            self.rate * self.seconds
        );
        let payments = population.payments(usize::try_from(self.rate * self.seconds).unwrap(), 1);
        eprintln!("posting");
        let mut answer = self.measure(&cluster, &payments, idle).await;
        cluster.kill(0);
        let killed = Instant::now();
        cluster.spawn(0, &jiaozi);
        cluster.wait_ready(0, Duration::from_secs(120)).await;
        answer.seconds_to_ready_after_a_kill = killed.elapsed().as_secs_f64();
        println!("{}", serde_json::to_string_pretty(&answer).unwrap());
        cluster.stop_all().await;
    }

    /// Cores that the idle network uses.
    async fn idle_cores(&self, cluster: &Cluster) -> f64 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (before, started) = (self.cpu_us(cluster), Instant::now());
        tokio::time::sleep(Duration::from_secs(5)).await;
        (self.cpu_us(cluster) - before) as f64 / started.elapsed().as_micros() as f64
    }

    fn processes(&self, cluster: &Cluster) -> Vec<u32> {
        (0..self.banks).filter_map(|bank| cluster.process_id(bank)).collect()
    }

    fn cpu_us(&self, cluster: &Cluster) -> u64 {
        self.processes(cluster).into_iter().map(|process| usage::read(process).cpu_us).sum()
    }

    fn disk(&self, cluster: &Cluster) -> u64 {
        (0..self.banks).map(|bank| usage::disk_bytes(&cluster.data_directory(bank))).sum()
    }

    async fn measure(&self, cluster: &Cluster, payments: &[Signed], idle: f64) -> Answer {
        let stop = Arc::new(AtomicBool::new(false));
        let banks: Vec<usize> = (0..self.banks).collect();
        let watchers: Vec<_> =
            banks.iter().map(|bank| tokio::spawn(watch(cluster.client(*bank), Arc::clone(&stop)))).collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let first_height = height(cluster, 0).await + 1;
        let (cpu_before, disk_before) = (self.cpu_us(cluster), self.disk(cluster));
        let start = Instant::now();
        let open_loop = OpenLoop { cluster, banks: &banks, rate: self.rate, payments };
        let accepted = open_loop.post(start).await;
        let last_height = drain(cluster, Duration::from_secs(DRAIN_SECONDS)).await;
        let cpu = self.cpu_us(cluster) - cpu_before;
        let rss = self.processes(cluster).into_iter().map(|process| usage::read(process).rss_bytes).max();
        let disk = self.disk(cluster).saturating_sub(disk_before);
        stop.store(true, Ordering::Relaxed);
        let mut seen = BTreeMap::new();
        for (bank, watcher) in banks.iter().zip(watchers) {
            seen.insert(*bank, watcher.await.unwrap());
        }
        let applied_at = applied(cluster, first_height, last_height).await;
        let result = open_loop.judge(start, &seen, &applied_at);
        let blocks: std::collections::BTreeSet<_> = applied_at.values().collect();
        let offered = payments.len() as u64;
        Answer {
            banks: self.banks,
            wallets: self.wallets,
            seconds: self.seconds,
            offered,
            offered_per_second: self.rate,
            pace_ms: self.pace_ms,
            accepted,
            applied: result.applied,
            missed: offered - result.applied,
            applied_per_second: result.applied_per_second,
            to_final: result.to_final,
            to_certified: result.to_certified,
            cpu_us_per_payment: cpu as f64 / result.applied.max(1) as f64,
            cpu_cores_idle_before: idle,
            rss_bytes_max: rss.unwrap_or(0),
            disk_bytes_per_payment_and_node: disk as f64 / result.applied.max(1) as f64 / self.banks as f64,
            blocks: blocks.len(),
            seconds_to_ready_after_a_kill: 0.0,
        }
    }
}
