//! Where the chains stand, as one bank shows it, and waiting until nothing is under way any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ledger::values::{ChainId, Height};
use system::Cluster;

/// A chain at a moment.
#[derive(Debug, Clone)]
pub(crate) struct ChainStanding {
    pub(crate) height: u64,
    /// The highest height under a certificate.
    certified: u64,
    /// Root of the state after it.
    pub(crate) state_root: String,
    /// Transactions that wait at the bank.
    pooled: u64,
    /// Receipts sent to each other chain, and received from it.
    pub(crate) pairs: BTreeMap<ChainId, (u64, u64)>,
}

/// The chains of a bank at a moment; without those of which it says nothing.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) at: Instant,
    pub(crate) chains: BTreeMap<ChainId, ChainStanding>,
}

impl Standing {
    /// What a bank says now; empty while it does not answer.
    pub(crate) async fn of(cluster: &Cluster, bank: usize) -> Self {
        let chains = cluster.client(bank).chains().await.map(|view| view.chains).unwrap_or_default();
        let standing = |chain: api::ChainView| {
            let progress = chain.progress?;
            let pairs = progress.supply.pairs.iter();
            let counts = pairs.map(|pair| (ChainId(pair.chain), (pair.sent.count, pair.received.count)));
            let standing = ChainStanding {
                height: progress.height,
                certified: progress.certified_height,
                state_root: progress.state_root.to_string(),
                pooled: progress.pooled_transactions,
                pairs: counts.collect(),
            };
            Some((ChainId(chain.chain), standing))
        };
        Self { at: Instant::now(), chains: chains.into_iter().filter_map(standing).collect() }
    }

    /// The height of a chain; 0 where the bank says nothing.
    pub(crate) fn height(&self, chain: ChainId) -> u64 {
        self.chains.get(&chain).map_or(0, |standing| standing.height)
    }

    /// Receipts that a chain has sent to another.
    pub(crate) fn sent(&self, source: ChainId, destination: ChainId) -> u64 {
        let pairs = self.chains.get(&source).map(|standing| &standing.pairs);
        pairs.and_then(|pairs| pairs.get(&destination)).map_or(0, |(sent, _)| *sent)
    }

    fn received(&self, destination: ChainId, source: ChainId) -> u64 {
        let pairs = self.chains.get(&destination).map(|standing| &standing.pairs);
        pairs.and_then(|pairs| pairs.get(&source)).map_or(0, |(_, received)| *received)
    }

    /// Whether every chain has certificates up to where it stood at another moment.
    fn certifies(&self, other: &Self) -> bool {
        let mut chains = other.chains.iter();
        chains.all(|(chain, then)| self.chains.get(chain).is_some_and(|now| now.certified >= then.height))
    }

    /// Whether no transaction waits and every receipt has arrived.
    fn is_quiet(&self) -> bool {
        let arrived = |(source, standing): (&ChainId, &ChainStanding)| {
            let mut pairs = standing.pairs.iter();
            standing.pooled == 0
                && pairs.all(|(destination, (sent, _))| self.received(*destination, *source) == *sent)
        };
        !self.chains.is_empty() && self.chains.iter().all(arrived)
    }
}

/// The executed height of a bank on the first chain; 0 while it does not answer.
pub(crate) async fn height(cluster: &Cluster, bank: usize) -> u64 {
    Standing::of(cluster, bank).await.height(ChainId(0))
}

/// Waits until the newest block of every chain is empty, nothing waits at the first bank, every receipt has arrived and all of that
/// is certified, or the time is over; answers where the chains stood before the certificates.
pub(crate) async fn drain(cluster: &Cluster, limit: Duration) -> Standing {
    let client = cluster.client(0);
    let end = Instant::now() + limit;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let standing = Standing::of(cluster, 0).await;
        let mut is_quiet = standing.is_quiet();
        for (chain, standing) in &standing.chains {
            let outcomes = client.outcomes(*chain, Height(standing.height)).await;
            is_quiet &= outcomes.is_ok_and(|outcomes| outcomes.is_empty());
        }
        if is_quiet {
            while Instant::now() < end && !Standing::of(cluster, 0).await.certifies(&standing) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // The other banks have them a little later.
            tokio::time::sleep(Duration::from_millis(500)).await;
            return standing;
        }
    }
    Standing::of(cluster, 0).await
}
