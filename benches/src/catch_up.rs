//! `bench catch-up`: a bank far behind, a source that lies, and what the others feel of it.
//!
//! Three banks go on without the fourth until it is the given number of blocks and payments behind. One of the three is
//! stopped and every second batch in its database is forged through the storage layer (a flipped byte in a signed
//! transaction, or in the seal), so that it serves lies with valid checksums. Then the fourth starts, under a steady load
//! whose latencies are compared with those just before.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ledger::records::{Batch, ChainParams};
use ledger::values::Canonical as _;
use serde::Serialize;
use storage::{Durability, Page, Reader, RocksOptions, RocksStore, Store, Table, WriteSet};
use system::{Cluster, jiaozi_binary};

use crate::fates::Fates;
use crate::open_loop::{Latency, OpenLoop};
use crate::population::{Population, Signed};
use crate::standing::{Standing, drain, height};
use crate::watch::watch;

/// The bank that falls behind.
const LATE: usize = 3;
/// The bank whose database lies.
const LIAR: usize = 1;
/// Those that serve clients.
const SERVING: [usize; 3] = [0, 1, 2];
/// A bank this close to the others has caught up.
const NEAR_BLOCKS: u64 = 5;
/// Rows read at a time while forging.
const PAGE_ROWS: usize = 256;
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Options of `bench catch-up`.
#[derive(Args)]
pub(crate) struct CatchUp {
    /// Blocks that the bank is behind at least.
    #[arg(long, default_value_t = 10_000)]
    blocks: u64,
    /// Payments that those blocks hold at least.
    #[arg(long, default_value_t = 200_000)]
    payments: u64,
    /// Payments each second while it falls behind.
    #[arg(long, default_value_t = 1_500)]
    rate_behind: u64,
    /// Payments each second while it catches up, and before for comparison.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Seconds of the comparison before.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Least time between blocks: short, so that ten thousand do not take long.
    #[arg(long, default_value_t = 10)]
    pace_ms: u64,
    /// Wallets.
    #[arg(long, default_value_t = 10_000)]
    wallets: usize,
}

#[derive(Serialize)]
struct Answer {
    blocks_behind: u64,
    payments_behind: u64,
    batches_forged: usize,
    seconds_to_catch_up: f64,
    blocks_per_second: f64,
    payments_per_second: f64,
    load_per_second: u64,
    others_before: Latency,
    others_meanwhile: Latency,
    p99_ratio: f64,
    missed_before: u64,
    missed_meanwhile: u64,
    peers_distrusted_by_the_late_bank: u64,
}

impl CatchUp {
    pub(crate) async fn run(self) {
        let directory = tempfile::tempdir().unwrap();
        let params = ChainParams { block_pace_ms: self.pace_ms, ..ChainParams::default() };
        let mut cluster = Cluster::create_with(directory.path(), 4, params);
        let jiaozi = jiaozi_binary();
        for bank in 0..4 {
            cluster.spawn(bank, &jiaozi);
        }
        for bank in 0..4 {
            cluster.wait_ready(bank, LIMIT).await;
        }
        eprintln!("opening and funding {} wallets", self.wallets);
        let mut population = Population::new(&cluster.localnet.spec, self.wallets);
        population.set_up(&cluster).await;
        let payments = population.payments(self.payments_max(), 1, 0);
        let (behind, rest) = payments.split_at(payments.len() / 2);
        cluster.kill(LATE);
        let stopped_at = height(&cluster, 0).await;
        eprintln!("bank {} is gone at height {stopped_at}", LATE + 1);
        let used = self.fall_behind(&cluster, behind, stopped_at).await;
        cluster.kill(LIAR);
        let forged = forge(&cluster.data_directory(LIAR).join("chain-0/store"));
        cluster.spawn(LIAR, &jiaozi);
        cluster.wait_ready(LIAR, LIMIT).await;
        eprintln!("bank {} has {forged} forged batches", LIAR + 1);

        let (before, meanwhile) = rest.split_at(usize::try_from(self.rate * self.seconds).unwrap());
        let (others_before, missed_before, _) = self.measure(&mut cluster, before, None, &jiaozi).await;
        let behind_by = height(&cluster, 0).await - stopped_at;
        let (others_meanwhile, missed_meanwhile, took) =
            self.measure(&mut cluster, meanwhile, Some(LATE), &jiaozi).await;
        let metrics = cluster.client(LATE).metrics().await.unwrap();
        let payments_behind = (used + before.len()) as u64;
        let answer = Answer {
            blocks_behind: behind_by,
            payments_behind,
            batches_forged: forged,
            seconds_to_catch_up: took.as_secs_f64(),
            blocks_per_second: behind_by as f64 / took.as_secs_f64(),
            payments_per_second: payments_behind as f64 / took.as_secs_f64(),
            load_per_second: self.rate,
            others_before,
            others_meanwhile,
            p99_ratio: others_meanwhile.p99_ms / others_before.p99_ms,
            missed_before,
            missed_meanwhile,
            peers_distrusted_by_the_late_bank: counter(&metrics, "distrusted_peers"),
        };
        println!("{}", serde_json::to_string_pretty(&answer).unwrap());
        cluster.stop_all().await;
    }

    /// Enough for both halves: falling behind, and the two measurements.
    fn payments_max(&self) -> usize {
        let by_time = 3 * self.blocks * self.pace_ms * self.rate_behind / 1_000;
        2 * usize::try_from(by_time.max(self.payments + self.rate_behind).max(self.rate * 300)).unwrap()
    }

    /// Pays until the late bank is far enough behind; answers how many payments that took.
    async fn fall_behind(&self, cluster: &Cluster, payments: &[Signed], stopped_at: u64) -> usize {
        let started = Instant::now();
        let mut used = 0;
        for part in payments.chunks(usize::try_from(self.rate_behind * 10).unwrap()) {
            let open_loop = OpenLoop { cluster, banks: &SERVING, rate: self.rate_behind, payments: part };
            open_loop.post(Instant::now()).await;
            used += part.len();
            let behind = height(cluster, 0).await - stopped_at;
            eprintln!("{behind} blocks and {used} payments behind, {} s", started.elapsed().as_secs());
            if behind >= self.blocks && used as u64 >= self.payments {
                break;
            }
        }
        drain(cluster, LIMIT).await;
        used
    }

    /// Pays at the steady rate and measures. With a bank to start, until that bank has caught up.
    async fn measure(
        &self,
        cluster: &mut Cluster,
        payments: &[Signed],
        start_bank: Option<usize>,
        jiaozi: &Path,
    ) -> (Latency, u64, Duration) {
        let stop = Arc::new(AtomicBool::new(false));
        let watchers: Vec<_> = SERVING
            .iter()
            .map(|bank| tokio::spawn(watch(cluster.client(*bank), Arc::clone(&stop))))
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let from = Standing::of(cluster, 0).await;
        let started = Instant::now();
        let mut took = Duration::ZERO;
        let mut used = payments;
        if let Some(bank) = start_bank {
            cluster.spawn(bank, jiaozi);
        }
        let cluster: &Cluster = cluster;
        let open_loop = OpenLoop { cluster, banks: &SERVING, rate: self.rate, payments };
        match start_bank {
            None => {
                open_loop.post(started).await;
            }
            Some(bank) => {
                tokio::select! {
                    _ = open_loop.post(started) => panic!("bank {} did not catch up in time", bank + 1),
                    () = near(cluster, bank) => {}
                }
                took = started.elapsed();
                let posted = usize::try_from(took.as_millis() as u64 * self.rate / 1_000).unwrap();
                // The last tick may have been cut off in the middle.
                used = &payments[..posted.saturating_sub(usize::try_from(self.rate / 10).unwrap())];
            }
        }
        let to = drain(cluster, LIMIT).await;
        stop.store(true, Ordering::Relaxed);
        let mut seen = BTreeMap::new();
        for (bank, watcher) in SERVING.iter().zip(watchers) {
            seen.insert(*bank, watcher.await.unwrap());
        }
        let fates = Fates::read(cluster, &from, &to, used).await;
        let judged = OpenLoop { payments: used, ..open_loop }.judge(started, &seen, &fates);
        (judged.to_certified, used.len() as u64 - judged.applied, took)
    }
}

/// Waits until a bank is where the others are.
async fn near(cluster: &Cluster, bank: usize) {
    loop {
        let (late, other) = (height(cluster, bank).await, height(cluster, 0).await);
        if late > 0 && late + NEAR_BLOCKS >= other {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Forges every second batch, in its content and in its seal by turns; answers how many.
fn forge(store: &Path) -> usize {
    let identity = storage::read_identity(store).unwrap();
    let store = RocksStore::open(store, &identity, RocksOptions::default()).unwrap();
    let mut forged = 0;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let page = Page { from, ..Page::first(PAGE_ROWS) };
        let rows = store.scan(Table::Batches, page).unwrap();
        let Some((last, _)) = rows.last() else { return forged };
        after = Some(last.clone());
        let mut set = WriteSet::new();
        for (digest, bytes) in rows.into_iter().step_by(2) {
            let mut batch = Batch::decode(&bytes).unwrap();
            let first = batch.content.transactions.first_mut().and_then(|first| first.signatures.first_mut());
            let forgery = match first {
                Some(first) if forged % 2 == 0 => &mut first.signature,
                _ => &mut batch.signature,
            };
            forgery.0[0] ^= 1;
            set.put(Table::Batches, digest, batch.encode());
            forged += 1;
        }
        store.write(set, Durability::Synced).unwrap();
    }
}

/// The sum of a counter over its labels, from the text of `/metrics`.
fn counter(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter(|line| !line.starts_with('#') && line.contains(name));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}
