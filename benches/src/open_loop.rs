//! An open loop: every payment has its moment, and its latency counts from there whether the network keeps up or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::bulk::encode_body;
use hdrhistogram::Histogram;
use ledger::values::{ChainId, Height, TransactionId};
use serde::Serialize;
use system::Cluster;

use crate::watch::Seen;

/// Interval at which payments that are due are posted.
const TICK_MS: u64 = 20;

/// A payment, signed and encoded.
pub(crate) type Signed = (Vec<u8>, TransactionId);

/// Payments on their way to some banks at a steady rate.
pub(crate) struct OpenLoop<'a> {
    pub(crate) cluster: &'a Cluster,
    /// The banks that are posted to, in turn.
    pub(crate) banks: &'a [usize],
    pub(crate) rate: u64,
    pub(crate) payments: &'a [Signed],
}

/// Quantiles of latencies.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// What became of the payments of an open loop.
pub(crate) struct Result {
    pub(crate) applied: u64,
    pub(crate) applied_per_second: f64,
    pub(crate) to_final: Latency,
    pub(crate) to_certified: Latency,
}

impl OpenLoop<'_> {
    /// Posts every payment at its moment after `start`; answers how many were accepted.
    pub(crate) async fn post(&self, start: Instant) -> u64 {
        let accepted = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = self.banks.iter().map(|bank| self.cluster.client(*bank)).collect();
        let mut posted = 0_usize;
        let mut posts = tokio::task::JoinSet::new();
        let mut ticker = tokio::time::interval(Duration::from_millis(TICK_MS));
        while posted < self.payments.len() {
            ticker.tick().await;
            let due = usize::try_from(start.elapsed().as_micros() as u64 * self.rate / 1_000_000).unwrap();
            let due = due.min(self.payments.len());
            // Payment i goes to one bank by its number, so each bank's share of this tick is one body.
            for (turn, client) in clients.iter().enumerate() {
                let share: Vec<&[u8]> = (posted..due)
                    .filter(|index| index % clients.len() == turn)
                    .map(|index| self.payments[index].0.as_slice())
                    .collect();
                if share.is_empty() {
                    continue;
                }
                let (body, count) = (encode_body(share.iter().copied()).unwrap(), share.len());
                let (client, accepted) = (client.clone(), Arc::clone(&accepted));
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
            while posts.try_join_next().is_some() {}
        }
        while posts.join_next().await.is_some() {}
        accepted.load(Ordering::Relaxed)
    }

    /// Latencies from each payment's moment until the bank after the one it was posted to showed its height. `seen` is by
    /// bank, `applied_at` has the height of every applied payment.
    pub(crate) fn judge(
        &self,
        start: Instant,
        seen: &BTreeMap<usize, Seen>,
        applied_at: &BTreeMap<TransactionId, u64>,
    ) -> Result {
        let mut to_final = Histogram::<u64>::new(3).unwrap();
        let mut to_certified = Histogram::<u64>::new(3).unwrap();
        let mut applied = 0_u64;
        let mut last = start;
        for (index, (_, id)) in self.payments.iter().enumerate() {
            let Some(height) = applied_at.get(id) else { continue };
            applied += 1;
            let scheduled = start + Duration::from_micros(index as u64 * 1_000_000 / self.rate);
            let other = &seen[&self.banks[(index + 1) % self.banks.len()]];
            if let Some(moment) = other.is_final.get(height) {
                to_final.record(moment.saturating_duration_since(scheduled).as_micros() as u64).unwrap();
                last = last.max(*moment);
            }
            if let Some(moment) = other.certified.get(height) {
                to_certified.record(moment.saturating_duration_since(scheduled).as_micros() as u64).unwrap();
            }
        }
        Result {
            applied,
            applied_per_second: applied as f64 / last.duration_since(start).as_secs_f64().max(0.001),
            to_final: latency(&to_final),
            to_certified: latency(&to_certified),
        }
    }
}

/// Height of every applied payment, from the ledger of a bank.
pub(crate) async fn applied(cluster: &Cluster, first: u64, last: u64) -> BTreeMap<TransactionId, u64> {
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

/// The executed height of a bank; 0 while it does not answer.
pub(crate) async fn height(cluster: &Cluster, bank: usize) -> u64 {
    let Ok(view) = cluster.client(bank).chains().await else { return 0 };
    view.chains.first().and_then(|chain| chain.progress.as_ref()).map_or(0, |progress| progress.height)
}

/// Waits until a block is empty and no bank's pool holds anything, or the time is over; answers the height.
pub(crate) async fn drain(cluster: &Cluster, limit: Duration) -> u64 {
    let client = cluster.client(0);
    let end = Instant::now() + limit;
    let mut newest = height(cluster, 0).await;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
        newest = height(cluster, 0).await;
        let outcomes = client.outcomes(ChainId(0), Height(newest)).await;
        let pooled = client.chains().await.map_or(1, |view| {
            let progress = view.chains.first().and_then(|chain| chain.progress.as_ref());
            progress.map_or(1, |progress| progress.pooled_transactions)
        });
        if outcomes.is_ok_and(|outcomes| outcomes.is_empty()) && pooled == 0 {
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            return height(cluster, 0).await;
        }
    }
    newest
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    Latency { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: histogram.max() as f64 / 1_000.0 }
}
