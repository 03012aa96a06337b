//! `bench load`: what a network of banks on this machine carries.
//!
//! Open loop: every payment has a scheduled moment, and its latency counts from there, whether the network keeps up or
//! not. Payments are signed before the clock starts, one payee and one signature each, payer and payee uniform over all
//! wallets. They are posted in bulk to all banks in turn; final and certified are looked for at the bank after the one
//! that was posted to. Refused and late payments count as misses. Applied is read from the ledger's outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::bulk::encode_body;
use clap::Args;
use hdrhistogram::Histogram;
use ledger::values::{ChainId, Height, TransactionId};
use serde::Serialize;
use system::{Cluster, jiaozi_binary};

use crate::population::Population;
use crate::usage;
use crate::watch::{Seen, watch};

/// Interval at which payments that are due are posted.
const TICK_MS: u64 = 20;
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
    /// Folder for the network's files; a temporary one by default.
    #[arg(long)]
    directory: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Serialize)]
struct Answer {
    banks: usize,
    wallets: usize,
    seconds: u64,
    offered: u64,
    offered_per_second: u64,
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
}

impl Load {
    pub(crate) async fn run(self) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = self.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut cluster = Cluster::create(&directory, self.banks);
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
        let answer = self.measure(&cluster, &payments, idle).await;
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

    async fn measure(&self, cluster: &Cluster, payments: &[(Vec<u8>, TransactionId)], idle: f64) -> Answer {
        let stop = Arc::new(AtomicBool::new(false));
        let watchers: Vec<_> = (0..self.banks)
            .map(|bank| tokio::spawn(watch(cluster.client(bank), Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let first_height = self.height(cluster).await + 1;
        let (cpu_before, disk_before) = (self.cpu_us(cluster), self.disk(cluster));
        let start = Instant::now();
        let accepted = self.post(cluster, payments, start).await;
        let last_height = self.drain(cluster, first_height).await;
        let cpu = self.cpu_us(cluster) - cpu_before;
        let rss = self.processes(cluster).into_iter().map(|process| usage::read(process).rss_bytes).max();
        let disk = self.disk(cluster).saturating_sub(disk_before);
        stop.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for watcher in watchers {
            seen.push(watcher.await.unwrap());
        }
        let applied_at = self.applied(cluster, first_height, last_height).await;
        self.answer(
            payments,
            start,
            &seen,
            &applied_at,
            Totals { accepted, cpu, rss: rss.unwrap_or(0), disk, idle },
        )
    }

    async fn height(&self, cluster: &Cluster) -> u64 {
        let view = cluster.client(0).chains().await.unwrap();
        view.chains.first().and_then(|chain| chain.progress.as_ref()).map_or(0, |progress| progress.height)
    }

    /// Posts every payment at its moment; answers how many were accepted.
    async fn post(&self, cluster: &Cluster, payments: &[(Vec<u8>, TransactionId)], start: Instant) -> u64 {
        let accepted = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..self.banks).map(|bank| cluster.client(bank)).collect();
        let mut posted = 0_usize;
        let mut posts = tokio::task::JoinSet::new();
        let mut ticker = tokio::time::interval(Duration::from_millis(TICK_MS));
        let mut turn = 0_usize;
        while posted < payments.len() {
            ticker.tick().await;
            let due = usize::try_from(start.elapsed().as_micros() as u64 * self.rate / 1_000_000).unwrap();
            let due = due.min(payments.len());
            // Payment i goes to bank i % banks, so each bank's share of this tick is one body.
            for bank in 0..self.banks {
                let share: Vec<&[u8]> = (posted..due)
                    .filter(|index| index % self.banks == bank)
                    .map(|index| payments[index].0.as_slice())
                    .collect();
                if share.is_empty() {
                    continue;
                }
                let (body, count) = (encode_body(share.iter().copied()).unwrap(), share.len());
                let (client, accepted) = (clients[bank].clone(), Arc::clone(&accepted));
                posts.spawn(async move {
                    if let Ok(answers) = client.submit_bulk_body(body, count).await {
                        let taken = answers
                            .iter()
                            .filter(|answer| answer.status == api::SubmitStatus::Accepted)
                            .count();
                        accepted.fetch_add(taken as u64, Ordering::Relaxed);
                    }
                });
            }
            posted = due;
            turn += 1;
            while posts.try_join_next().is_some() {}
            if turn.is_multiple_of(500) {
                eprintln!("{posted} posted, {} accepted", accepted.load(Ordering::Relaxed));
            }
        }
        while posts.join_next().await.is_some() {}
        accepted.load(Ordering::Relaxed)
    }

    /// Waits until two blocks in a row are empty and certified, or the time is over; answers the height.
    async fn drain(&self, cluster: &Cluster, first_height: u64) -> u64 {
        let client = cluster.client(0);
        let end = Instant::now() + Duration::from_secs(DRAIN_SECONDS);
        let mut height = first_height;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(200)).await;
            height = self.height(cluster).await;
            let empty = match client.outcomes(ChainId(0), Height(height)).await {
                Ok(outcomes) => outcomes.is_empty(),
                Err(_) => false,
            };
            let pooled = client.chains().await.map_or(1, |view| {
                view.chains
                    .first()
                    .and_then(|chain| chain.progress.as_ref())
                    .map_or(1, |p| p.pooled_transactions)
            });
            if empty && pooled == 0 {
                tokio::time::sleep(Duration::from_millis(1_000)).await;
                return self.height(cluster).await;
            }
        }
        height
    }

    /// Height of every applied payment, from the ledger.
    async fn applied(&self, cluster: &Cluster, first: u64, last: u64) -> BTreeMap<TransactionId, u64> {
        let client = cluster.client(0);
        let mut applied = BTreeMap::new();
        for height in first..=last {
            let outcomes = client.outcomes(ChainId(0), Height(height)).await.unwrap();
            applied.extend(
                outcomes.iter().filter(|outcome| outcome.is_applied()).map(|outcome| (outcome.id, height)),
            );
        }
        applied
    }

    fn answer(
        &self,
        payments: &[(Vec<u8>, TransactionId)],
        start: Instant,
        seen: &[Seen],
        applied_at: &BTreeMap<TransactionId, u64>,
        totals: Totals,
    ) -> Answer {
        let mut to_final = Histogram::<u64>::new(3).unwrap();
        let mut to_certified = Histogram::<u64>::new(3).unwrap();
        let mut applied = 0_u64;
        let mut last = start;
        for (index, (_, id)) in payments.iter().enumerate() {
            let Some(height) = applied_at.get(id) else { continue };
            applied += 1;
            let scheduled = start + Duration::from_micros(index as u64 * 1_000_000 / self.rate);
            let other = &seen[(index + 1) % self.banks];
            if let Some(moment) = other.is_final.get(height) {
                to_final.record(moment.saturating_duration_since(scheduled).as_micros() as u64).unwrap();
                last = last.max(*moment);
            }
            if let Some(moment) = other.certified.get(height) {
                to_certified.record(moment.saturating_duration_since(scheduled).as_micros() as u64).unwrap();
            }
        }
        let offered = payments.len() as u64;
        let blocks: std::collections::BTreeSet<_> = applied_at.values().collect();
        Answer {
            banks: self.banks,
            wallets: self.wallets,
            seconds: self.seconds,
            offered,
            offered_per_second: self.rate,
            accepted: totals.accepted,
            applied,
            missed: offered - applied,
            applied_per_second: applied as f64 / last.duration_since(start).as_secs_f64().max(0.001),
            to_final: latency(&to_final),
            to_certified: latency(&to_certified),
            cpu_us_per_payment: totals.cpu as f64 / applied.max(1) as f64,
            cpu_cores_idle_before: totals.idle,
            rss_bytes_max: totals.rss,
            disk_bytes_per_payment_and_node: totals.disk as f64 / applied.max(1) as f64 / self.banks as f64,
            blocks: blocks.len(),
        }
    }
}

struct Totals {
    accepted: u64,
    cpu: u64,
    rss: u64,
    disk: u64,
    idle: f64,
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    Latency { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: histogram.max() as f64 / 1_000.0 }
}
