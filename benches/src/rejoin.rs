//! `bench rejoin`: a bank of four loses its disk; how long until it is ready again, by a snapshot and by replaying.
//!
//! The banks open the wallets and nothing else happens then: the others are idle while one comes back, so what is measured is the way back, not
//! its share of the processor. Ready means that it votes, which PROTOCOL rule 26 makes last some 20 s however it got its state; so the time
//! until it has the others' state is told beside it.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ledger::records::ChainParams;
use ledger::values::ChainId;
use node::config::{JoinBy, SnapshotsSection};
use serde::Serialize;
use system::{Cluster, jiaozi_binary};

use crate::population::Population;
use crate::standing::{drain, height};
use crate::usage;

const BANKS: usize = 4;
/// The bank that loses its disk.
const WIPED: usize = 3;
/// A bank this close to the others has their state.
const NEAR_BLOCKS: u64 = 5;
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(3_600);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Options of `bench rejoin`.
#[derive(Args)]
pub(crate) struct Rejoin {
    /// Wallets.
    #[arg(long, default_value_t = 100_000)]
    wallets: usize,
    /// The ways to measure, one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["snapshot", "replay"])]
    ways: Vec<Way>,
    /// Block time between two snapshots, which it waits for once before a bank is wiped.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1_000..=60_000))]
    snapshot_every_ms: u64,
    /// Least time between blocks.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=450))]
    pace_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Snapshot,
    Replay,
}

#[derive(Serialize)]
struct Answer {
    wallets: usize,
    seconds_to_set_up: f64,
    ways: Vec<Back>,
}

/// One way back.
#[derive(Serialize)]
struct Back {
    way: Way,
    /// Heights of the chain when the bank started with an empty disk.
    height: u64,
    /// The snapshot's height, where it took one.
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_height: Option<u64>,
    /// Until it has the state that the others have.
    seconds_to_state: f64,
    /// Until it votes and serves.
    seconds_to_ready: f64,
    /// What it then takes on its disk.
    disk_bytes: u64,
    /// What its process then has in memory.
    rss_bytes: u64,
}

impl Rejoin {
    pub(crate) async fn run(self) {
        let directory = tempfile::tempdir().unwrap();
        let params = ChainParams { block_pace_ms: self.pace_ms, ..ChainParams::default() };
        let mut cluster = Cluster::create_with(directory.path(), BANKS, params);
        for bank in 0..BANKS {
            self.configure(&cluster, bank, JoinBy::Replay);
            cluster.spawn(bank, &jiaozi_binary());
        }
        for bank in 0..BANKS {
            cluster.wait_ready(bank, LIMIT).await;
        }
        eprintln!("opening {} wallets", self.wallets);
        let started = Instant::now();
        Population::new(&cluster.localnet.spec, self.wallets).open(&cluster).await;
        drain(&cluster, LIMIT).await;
        let seconds_to_set_up = started.elapsed().as_secs_f64();
        let mut answer = Answer { wallets: self.wallets, seconds_to_set_up, ways: Vec::new() };
        for way in &self.ways {
            eprintln!("set up in {seconds_to_set_up:.1} s; by {way:?}");
            answer.ways.push(self.measure(&mut cluster, *way).await);
        }
        println!("{}", serde_json::to_string_pretty(&answer).unwrap());
        cluster.stop_all().await;
    }

    fn configure(&self, cluster: &Cluster, bank: usize, join: JoinBy) {
        // Any snapshot is worth it here: the chain is as short as its set-up.
        let snapshots = SnapshotsSection { every_ms: self.snapshot_every_ms, behind_blocks: 1 };
        cluster.configure(bank, |config| (config.snapshots, config.node.join) = (snapshots, join));
    }

    async fn measure(&self, cluster: &mut Cluster, way: Way) -> Back {
        // What the others keep then has all wallets.
        tokio::time::sleep(2 * Duration::from_millis(self.snapshot_every_ms)).await;
        cluster.kill(WIPED);
        std::fs::remove_dir_all(cluster.data_directory(WIPED)).unwrap();
        let join = match way {
            Way::Snapshot => JoinBy::Snapshot,
            Way::Replay => JoinBy::Replay,
        };
        self.configure(cluster, WIPED, join);
        let height_then = height(cluster, 0).await;
        let started = Instant::now();
        cluster.spawn(WIPED, &jiaozi_binary());
        while height(cluster, WIPED).await + NEAR_BLOCKS < height(cluster, 0).await {
            assert!(started.elapsed() < LIMIT, "no state: {}", cluster.log_tail(WIPED));
            tokio::time::sleep(LOOK).await;
        }
        let seconds_to_state = started.elapsed().as_secs_f64();
        eprintln!("it has the state after {seconds_to_state:.1} s");
        cluster.wait_ready(WIPED, LIMIT).await;
        let seconds_to_ready = started.elapsed().as_secs_f64();
        let progress = cluster.client(WIPED).chain(ChainId(0)).await.unwrap().progress;
        let joined_height = progress.and_then(|progress| progress.lowest_height);
        assert_eq!(joined_height.is_some(), way == Way::Snapshot, "{}", cluster.log_tail(WIPED));
        Back {
            way,
            height: height_then,
            joined_height,
            seconds_to_state,
            seconds_to_ready,
            disk_bytes: usage::disk_bytes(&cluster.data_directory(WIPED)),
            rss_bytes: cluster.process_id(WIPED).map(usage::read).unwrap_or_default().rss_bytes,
        }
    }
}
