//! `bench load`: what a network of banks on this machine carries, on one chain or on several.
//!
//! Open loop: every payment has a scheduled moment, and its latency counts from there, whether the network keeps up or
//! not. Payments are signed before the clock starts, one payee and one signature each, the payer uniform over all wallets, the
//! payee over those of its chain or, for the share of `--cross`, of the other chains. They are posted in bulk to all banks in turn;
//! final and certified are looked for at the bank after the one that was posted to. Refused and late payments count as misses.
//! What was applied and credited is read from the ledger's outcomes.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use genesis::dev::LocalnetPlan;
use ledger::records::ChainParams;
use ledger::values::{ChainId, Currency};
use serde::Serialize;
use system::{Cluster, jiaozi_binary};

use crate::open_loop::{Cross, Ended, Judged, Latency, OpenLoop};
use crate::population::{Population, Signed};
use crate::usage;

/// How long stragglers may take after the last payment was due.
const DRAIN_SECONDS: u64 = 20;
/// Most chains: a node hosts at most nine.
const CHAINS_MAX: u16 = 9;

/// Longest pace: an engine's leader has a second for a proposal, and it must be well in time.
const PACE_MS_MAX: u64 = 450;

/// Options of `bench load`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Payments offered each second, on all chains together.
    #[arg(long, default_value_t = 8_000)]
    pub(crate) rate: u64,
    /// Length of the measurement.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Wallets, all of which pay and are paid.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) wallets: usize,
    /// Banks, one process each, which runs all chains.
    #[arg(long, default_value_t = 4)]
    pub(crate) banks: usize,
    /// Chains: shards of one currency.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(CHAINS_MAX)))]
    pub(crate) chains: u16,
    /// Of 100 payments, how many go to a wallet on another chain.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) cross: u64,
    /// So many wallets of each chain are paid by everybody, 1 being the merchant whom all pay at once; all wallets by default.
    #[arg(long, value_name = "WALLETS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) merchants: Option<u64>,
    /// Least time between the blocks of a chain. Here all banks share the cores of one machine, so blocks come at half the pace of
    /// a network whose banks have their own (PROTOCOL rule 19).
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=PACE_MS_MAX))]
    pub(crate) pace_ms: u64,
    /// Folder for the network's files; a temporary one by default.
    #[arg(long)]
    pub(crate) directory: Option<std::path::PathBuf>,
    /// Measure the load only: neither the idle network before, nor a start after SIGKILL.
    #[arg(long)]
    pub(crate) brief: bool,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer {
    pub(crate) banks: usize,
    pub(crate) chains: u16,
    pub(crate) cross_percent: u64,
    wallets: usize,
    seconds: u64,
    offered: u64,
    pub(crate) offered_per_second: u64,
    pub(crate) pace_ms: u64,
    pub(crate) accepted: u64,
    pub(crate) applied: u64,
    pub(crate) missed: u64,
    /// From the moment of the first payment until the last was final.
    pub(crate) applied_per_second: f64,
    /// While payments were due, after the first quarter of that time.
    pub(crate) steady_per_second: f64,
    pub(crate) to_final: Latency,
    pub(crate) to_certified: Latency,
    pub(crate) cpu_us_per_payment: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_cores_idle_before: Option<f64>,
    pub(crate) rss_bytes_max: u64,
    pub(crate) disk_bytes_per_payment_and_node: f64,
    /// Of all chains, empty ones included.
    pub(crate) blocks: u64,
    pub(crate) blocks_per_second: f64,
    by_chain: Vec<OfChain>,
    /// Payments to other chains; missing where none was offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cross: Option<Cross>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_ready_after_a_kill: Option<f64>,
}

/// A chain's part.
#[derive(Debug, Clone, Serialize)]
struct OfChain {
    chain: u32,
    applied: u64,
    applied_per_second: f64,
    blocks: u64,
    blocks_per_second: f64,
}

/// What all nodes used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) cpu_us: u64,
    /// Of the largest node.
    pub(crate) rss_bytes_max: u64,
    pub(crate) disk_bytes: u64,
}

impl Load {
    pub(crate) async fn run(self) {
        println!("{}", serde_json::to_string_pretty(&self.measured().await).unwrap());
    }

    /// Runs a network and measures it.
    pub(crate) async fn measured(&self) -> Answer {
        let temporary = tempfile::tempdir().unwrap();
        let directory = self.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut cluster = self.spawned(&directory).await;
        let idle = if self.brief { None } else { Some(self.idle_cores(&cluster).await) };
        let mut population = self.populated(&cluster).await;
        eprintln!("signing {} payments", self.rate * self.seconds);
        let count = usize::try_from(self.rate * self.seconds).unwrap();
        let payments = population.payments(count, 1, self.cross);
        eprintln!("posting");
        let mut answer = self.measure(&cluster, &payments).await;
        answer.cpu_cores_idle_before = idle;
        if !self.brief {
            cluster.kill(0);
            let killed = Instant::now();
            cluster.spawn(0, &jiaozi_binary());
            cluster.wait_ready(0, Duration::from_secs(120)).await;
            answer.seconds_to_ready_after_a_kill = Some(killed.elapsed().as_secs_f64());
        }
        cluster.stop_all().await;
        answer
    }

    /// All banks as processes, ready.
    pub(crate) async fn spawned(&self, directory: &Path) -> Cluster {
        let mut cluster = self.cluster(directory);
        for bank in 0..self.banks {
            cluster.spawn(bank, &jiaozi_binary());
        }
        for bank in 0..self.banks {
            cluster.wait_ready(bank, Duration::from_secs(60)).await;
        }
        cluster
    }

    /// The wallets, opened and funded.
    pub(crate) async fn populated(&self, cluster: &Cluster) -> Population {
        eprintln!("opening and funding {} wallets", self.wallets);
        let mut population = Population::new(&cluster.localnet.spec, self.wallets);
        population.merchants = self.merchants.and_then(|merchants| usize::try_from(merchants).ok());
        let started = Instant::now();
        population.set_up(cluster).await;
        eprintln!("set up in {:.1} s", started.elapsed().as_secs_f64());
        population
    }

    fn cluster(&self, directory: &Path) -> Cluster {
        assert!(self.pace_ms <= PACE_MS_MAX, "a pace of {} ms: at most {PACE_MS_MAX}", self.pace_ms);
        let params = ChainParams { block_pace_ms: self.pace_ms, ..ChainParams::default() };
        let chains = (0..self.chains).map(|shard| (Currency(*b"CNY"), shard)).collect();
        let plan = LocalnetPlan { params, chains, ..LocalnetPlan::new(self.banks) };
        Cluster::create_of(directory, plan, |_| (0..u32::from(self.chains)).collect())
    }

    /// Cores that the idle network uses.
    async fn idle_cores(&self, cluster: &Cluster) -> f64 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (before, started) = (self.used(cluster).cpu_us, Instant::now());
        tokio::time::sleep(Duration::from_secs(5)).await;
        (self.used(cluster).cpu_us - before) as f64 / started.elapsed().as_micros() as f64
    }

    /// What all nodes have used so far.
    pub(crate) fn used(&self, cluster: &Cluster) -> Used {
        let mut used = Used::default();
        for bank in 0..self.banks {
            let process = cluster.process_id(bank).map(usage::read).unwrap_or_default();
            used.cpu_us += process.cpu_us;
            used.rss_bytes_max = used.rss_bytes_max.max(process.rss_bytes);
            used.disk_bytes += usage::disk_bytes(&cluster.data_directory(bank));
        }
        used
    }

    /// Offers payments to a network that runs and measures it.
    pub(crate) async fn measure(&self, cluster: &Cluster, payments: &[Signed]) -> Answer {
        let banks: Vec<usize> = (0..self.banks).collect();
        let open_loop = OpenLoop { cluster, banks: &banks, rate: self.rate, payments };
        let before = self.used(cluster);
        let mut after = Used::default();
        let limit = Duration::from_secs(DRAIN_SECONDS);
        let (ended, result) = open_loop.run(limit, || after = self.used(cluster)).await;
        let offered = payments.len() as u64;
        let per_payment = |used: u64| used as f64 / result.applied.max(1) as f64;
        let by_chain = self.by_chain(&ended, &result);
        Answer {
            banks: self.banks,
            chains: self.chains,
            cross_percent: self.cross,
            wallets: self.wallets,
            seconds: self.seconds,
            offered,
            offered_per_second: self.rate,
            pace_ms: self.pace_ms,
            accepted: ended.accepted,
            applied: result.applied,
            missed: offered - result.applied,
            applied_per_second: result.applied_per_second,
            steady_per_second: result.steady_per_second,
            to_final: result.to_final,
            to_certified: result.to_certified,
            cpu_us_per_payment: per_payment(after.cpu_us - before.cpu_us),
            cpu_cores_idle_before: None,
            rss_bytes_max: after.rss_bytes_max,
            disk_bytes_per_payment_and_node: per_payment(after.disk_bytes.saturating_sub(before.disk_bytes))
                / self.banks as f64,
            blocks: by_chain.iter().map(|chain| chain.blocks).sum(),
            blocks_per_second: by_chain.iter().map(|chain| chain.blocks_per_second).sum(),
            by_chain,
            cross: result.cross,
            seconds_to_ready_after_a_kill: None,
        }
    }

    fn by_chain(&self, ended: &Ended, result: &Judged) -> Vec<OfChain> {
        let of_chain = |chain: u32| {
            let applied = result.by_chain.get(&chain).copied().unwrap_or(0);
            let share = applied as f64 / result.applied.max(1) as f64;
            let (blocks, blocks_per_second) = ended.blocks(ChainId(chain));
            let applied_per_second = share * result.applied_per_second;
            OfChain { chain, applied, applied_per_second, blocks, blocks_per_second }
        };
        (0..u32::from(self.chains)).map(of_chain).collect()
    }
}
