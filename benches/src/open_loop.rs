//! An open loop: every payment has its moment, and its latency counts from there whether the network keeps up or not.
//!
//! A bank that refuses a whole body and says when to come back is left alone until then: what was due to it meanwhile is never sent and
//! counts as missed, as what was refused does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::bulk::{BULK_TRANSACTIONS_MAX, encode_body};
use api::{Client, ClientError};
use hdrhistogram::Histogram;
use ledger::values::ChainId;
use serde::Serialize;
use system::Cluster;

use crate::fates::Fates;
use crate::population::Signed;
use crate::standing::{Standing, drain};
use crate::watch::{Seen, watch};

/// Interval at which payments that are due are posted.
const TICK_MS: u64 = 20;
/// Of a loop's time, how much is left for the start before the applied payments are counted that make the steady rate.
const START_SHARE: u32 = 4;
/// How long the watchers have been asking before the first payment is due.
const WATCH_BEFORE: Duration = Duration::from_millis(300);

/// Payments on their way to some banks at a steady rate.
pub(crate) struct OpenLoop<'a> {
    pub(crate) cluster: &'a Cluster,
    /// The banks that are posted to, in turn.
    pub(crate) banks: &'a [usize],
    pub(crate) rate: u64,
    pub(crate) payments: &'a [Signed],
}

/// Quantiles of latencies.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// What became of the payments of an open loop.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) applied: u64,
    /// From the first moment to the last.
    pub(crate) applied_per_second: f64,
    /// While payments were due, after the first quarter of that time.
    pub(crate) steady_per_second: f64,
    pub(crate) to_final: Latency,
    pub(crate) to_certified: Latency,
    /// Applied payments by the payer's chain.
    pub(crate) by_chain: BTreeMap<u32, u64>,
    /// Those to other chains; none if none was offered.
    pub(crate) cross: Option<Cross>,
}

/// What became of payments to other chains.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cross {
    pub(crate) offered: u64,
    pub(crate) debited: u64,
    pub(crate) credited: u64,
    /// Of these, seen certified: those that the latencies are of.
    pub(crate) certified: u64,
    /// From the scheduled moment until another bank shows the credit's height as certified.
    pub(crate) to_credited: Latency,
}

/// Where one bank is posted to.
struct Door {
    client: Client,
    start: Instant,
    /// Until when the bank wants to be left alone, in microseconds after the start.
    closed_until_us: AtomicU64,
    accepted: AtomicU64,
}

impl Door {
    fn new(client: Client, start: Instant) -> Self {
        Self { client, start, closed_until_us: AtomicU64::new(0), accepted: AtomicU64::new(0) }
    }

    fn elapsed_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn is_open(&self) -> bool {
        self.elapsed_us() >= self.closed_until_us.load(Ordering::Relaxed)
    }

    /// Posts a body, once. What cannot be posted is missed.
    async fn post(self: Arc<Self>, body: Vec<u8>, count: usize) {
        match self.client.submit_bulk_body(body, count).await {
            Ok(answers) => {
                let taken = answers.iter().filter(|answer| answer.status == api::SubmitStatus::Accepted);
                self.accepted.fetch_add(taken.count() as u64, Ordering::Relaxed);
            }
            Err(ClientError::Refused(refusal)) => {
                if let Some(retry_after_ms) = refusal.retry_after_ms {
                    let until_us = self.elapsed_us() + 1_000 * retry_after_ms;
                    self.closed_until_us.fetch_max(until_us, Ordering::Relaxed);
                }
            }
            Err(_) => {}
        }
    }
}

/// An open loop that ended.
pub(crate) struct Ended {
    pub(crate) accepted: u64,
    /// Where the chains stood before and after.
    pub(crate) from: Standing,
    pub(crate) to: Standing,
}

impl OpenLoop<'_> {
    /// Posts all, waits until nothing is under way or `limit` has passed since the last was due, and reads what became of them.
    /// `at_end` is called when the load is over, before anything is read.
    pub(crate) async fn run(&self, limit: Duration, at_end: impl FnOnce()) -> (Ended, Judged) {
        self.run_at(Instant::now() + WATCH_BEFORE, limit, at_end).await
    }

    /// The same with the first payment due at `start`, which is to be a while from now.
    pub(crate) async fn run_at(
        &self,
        start: Instant,
        limit: Duration,
        at_end: impl FnOnce(),
    ) -> (Ended, Judged) {
        let stop = Arc::new(AtomicBool::new(false));
        let watchers: Vec<_> = self
            .banks
            .iter()
            .map(|bank| tokio::spawn(watch(self.cluster.client(*bank), Arc::clone(&stop))))
            .collect();
        let from = Standing::of(self.cluster, self.banks[0]).await;
        tokio::time::sleep_until(start.into()).await;
        let accepted = self.post(start).await;
        let to = drain(self.cluster, limit).await;
        at_end();
        stop.store(true, Ordering::Relaxed);
        let mut seen = BTreeMap::new();
        for (bank, watcher) in self.banks.iter().zip(watchers) {
            seen.insert(*bank, watcher.await.unwrap());
        }
        let fates = Fates::read(self.cluster, &from, &to, self.payments).await;
        let result = self.judge(start, &seen, &fates);
        (Ended { accepted, from, to }, result)
    }

    /// Posts every payment at its moment after `start`, but for those that a bank does not want; answers how many were accepted.
    pub(crate) async fn post(&self, start: Instant) -> u64 {
        let doors: Vec<Arc<Door>> =
            self.banks.iter().map(|bank| Arc::new(Door::new(self.cluster.client(*bank), start))).collect();
        let mut posted = 0_usize;
        let mut posts = tokio::task::JoinSet::new();
        let mut ticker = tokio::time::interval(Duration::from_millis(TICK_MS));
        while posted < self.payments.len() {
            ticker.tick().await;
            let due = usize::try_from(start.elapsed().as_micros() as u64 * self.rate / 1_000_000).unwrap();
            let due = due.min(self.payments.len());
            // Payment i goes to one bank by its number, so each bank's share of this tick is one body.
            for (turn, door) in doors.iter().enumerate() {
                let share: Vec<&[u8]> = (posted..due)
                    .filter(|index| index % doors.len() == turn)
                    .map(|index| self.payments[index].bytes.as_slice())
                    .collect();
                if share.is_empty() || !door.is_open() {
                    continue;
                }
                for part in share.chunks(BULK_TRANSACTIONS_MAX) {
                    let (body, count) = (encode_body(part.iter().copied()).unwrap(), part.len());
                    posts.spawn(Arc::clone(door).post(body, count));
                }
            }
            posted = due;
            while posts.try_join_next().is_some() {}
        }
        while posts.join_next().await.is_some() {}
        doors.iter().map(|door| door.accepted.load(Ordering::Relaxed)).sum()
    }

    /// Latencies from each payment's moment until the bank after the one it was posted to showed its height, and, where the payee
    /// is on another chain, that of the credit. `seen` is by bank.
    pub(crate) fn judge(&self, start: Instant, seen: &BTreeMap<usize, Seen>, fates: &Fates) -> Judged {
        let mut to_final = Histogram::<u64>::new(3).unwrap();
        let mut to_certified = Histogram::<u64>::new(3).unwrap();
        let mut to_credited = Histogram::<u64>::new(3).unwrap();
        let mut by_chain = BTreeMap::<u32, u64>::new();
        let mut last = start;
        let due_within = Duration::from_micros(self.payments.len() as u64 * 1_000_000 / self.rate);
        let (steady_from, steady_to) = (start + due_within / START_SHARE, start + due_within);
        let mut steady = 0_u64;
        for (index, payment) in self.payments.iter().enumerate() {
            let Some(fate) = fates.get(&payment.id) else { continue };
            *by_chain.entry(payment.chain.0).or_default() += 1;
            let scheduled = start + Duration::from_micros(index as u64 * 1_000_000 / self.rate);
            let other = &seen[&self.banks[(index + 1) % self.banks.len()]];
            let since = |moment: Instant| moment.saturating_duration_since(scheduled).as_micros() as u64;
            if let Some(moment) = other.is_final(fate.applied) {
                to_final.record(since(moment)).unwrap();
                last = last.max(moment);
                steady += u64::from((steady_from..steady_to).contains(&moment));
            }
            if let Some(moment) = other.certified(fate.applied) {
                to_certified.record(since(moment)).unwrap();
            }
            if let Some(moment) = fate.credited.and_then(|place| other.certified(place)) {
                to_credited.record(since(moment)).unwrap();
            }
        }
        let count = fates.count(self.payments);
        let offered = self.payments.iter().filter(|payment| payment.is_cross()).count() as u64;
        let cross = Cross {
            offered,
            debited: count.debited,
            credited: count.credited,
            certified: to_credited.len(),
            to_credited: latency(&to_credited),
        };
        Judged {
            applied: count.applied,
            applied_per_second: count.applied as f64 / last.duration_since(start).as_secs_f64().max(0.001),
            steady_per_second: steady as f64 / (steady_to - steady_from).as_secs_f64().max(0.001),
            to_final: latency(&to_final),
            to_certified: latency(&to_certified),
            by_chain,
            cross: Some(cross).filter(|cross| cross.offered > 0),
        }
    }
}

impl Ended {
    /// Blocks of a chain, empty ones included, and how many that were each second.
    pub(crate) fn blocks(&self, chain: ChainId) -> (u64, f64) {
        let blocks = self.to.height(chain).saturating_sub(self.from.height(chain));
        let seconds = self.to.at.duration_since(self.from.at).as_secs_f64();
        (blocks, blocks as f64 / seconds.max(0.001))
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    Latency { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: histogram.max() as f64 / 1_000.0 }
}
