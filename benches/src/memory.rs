//! `bench memory`: what wallets and pending payments take in a node's memory.
//!
//! Two networks with a different number of wallets are set up and left alone; what their largest nodes differ by is due to the wallets. Then
//! two of the four banks of the second one are stopped, so that nothing is ordered any more, and one of the others takes in payments that
//! stay pending.

use std::time::Duration;

use api::SubmitStatus;
use api::bulk::encode_body;
use clap::Args;
use serde::Serialize;
use system::Cluster;

use crate::load::Load;
use crate::population::Population;
use crate::usage;

/// What a network is left alone for, before its memory is read.
const REST: Duration = Duration::from_secs(20);
/// Payments that are to be pending: below what a node takes in that passes nothing on.
const PENDING: usize = 4_000;
/// Payments of one body.
const BODY: usize = 500;
/// Times that a body is posted.
const POSTS_MAX: usize = 20;
/// The bank that takes them, and those that are stopped.
const TAKES: usize = 0;
const STOPPED: [usize; 2] = [2, 3];

/// Options of `bench memory`.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    /// Wallets of the first network.
    #[arg(long, default_value_t = 100_000)]
    few: usize,
    /// Wallets of the second network.
    #[arg(long, default_value_t = 400_000)]
    many: usize,
    /// Least time between blocks.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=450))]
    pace_ms: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    few: usize,
    many: usize,
    /// Of the largest node.
    rss_bytes_few: u64,
    rss_bytes_many: u64,
    bytes_per_million_wallets: f64,
    pending: usize,
    rss_bytes_before_pending: u64,
    rss_bytes_pending: u64,
    bytes_per_thousand_pending: f64,
}

impl Memory {
    pub(crate) async fn run(self) {
        println!("{}", serde_json::to_string_pretty(&self.measured().await).unwrap());
    }

    async fn measured(&self) -> Answer {
        assert!(self.few < self.many, "--few must be less than --many");
        let rss_bytes_few = {
            let directory = tempfile::tempdir().unwrap();
            let load = self.load(self.few);
            let mut cluster = load.spawned(directory.path()).await;
            load.populated(&cluster).await;
            tokio::time::sleep(REST).await;
            let rss_bytes = load.used(&cluster).rss_bytes_max;
            cluster.stop_all().await;
            rss_bytes
        };
        let directory = tempfile::tempdir().unwrap();
        let load = self.load(self.many);
        let mut cluster = load.spawned(directory.path()).await;
        let mut population = load.populated(&cluster).await;
        tokio::time::sleep(REST).await;
        let rss_bytes_many = load.used(&cluster).rss_bytes_max;
        for bank in STOPPED {
            cluster.kill(bank);
        }
        tokio::time::sleep(REST).await;
        let rss_bytes_before_pending = rss_bytes(&cluster);
        pend(&cluster, &mut population).await;
        let rss_bytes_pending = rss_bytes(&cluster);
        cluster.stop_all().await;

        let wallets = (self.many - self.few) as f64;
        let more = |after: u64, before: u64| after as f64 - before as f64;
        Answer {
            few: self.few,
            many: self.many,
            rss_bytes_few,
            rss_bytes_many,
            bytes_per_million_wallets: more(rss_bytes_many, rss_bytes_few) / wallets * 1e6,
            pending: PENDING,
            rss_bytes_before_pending,
            rss_bytes_pending,
            bytes_per_thousand_pending: more(rss_bytes_pending, rss_bytes_before_pending) / PENDING as f64
                * 1e3,
        }
    }

    const fn load(&self, wallets: usize) -> Load {
        Load {
            rate: 1,
            seconds: 1,
            wallets,
            banks: 4,
            chains: 1,
            merchants: None,
            cross: 0,
            pace_ms: self.pace_ms,
            directory: None,
            brief: true,
        }
    }
}

fn rss_bytes(cluster: &Cluster) -> u64 {
    usage::read(cluster.process_id(TAKES).unwrap()).rss_bytes
}

/// Posts payments to a bank until all of them are taken in.
async fn pend(cluster: &Cluster, population: &mut Population) {
    let (client, payments) = (cluster.client(TAKES), population.payments(PENDING, 1, 0));
    for body in payments.chunks(BODY) {
        let mut posts = 0;
        loop {
            let bytes = encode_body(body.iter().map(|payment| payment.bytes.as_slice())).unwrap();
            let answers = client.submit_bulk_body(bytes, body.len()).await;
            let taken = |answers: &Vec<api::bulk::BulkAnswer>| {
                answers.iter().all(|answer| answer.status != SubmitStatus::Refused)
            };
            if answers.as_ref().is_ok_and(taken) {
                break;
            }
            posts += 1;
            assert!(posts < POSTS_MAX, "the bank takes no more: {answers:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
