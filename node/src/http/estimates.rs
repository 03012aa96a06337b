//! Estimates of fees: made on a blocking thread of what a chain's market is now, and kept for whoever asks the same at the same height.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::fees::{EstimateView, WhyName};
use chain::RowFault;
use fees::{Ask, Estimate, Estimates, Market, Why, estimate};
use ledger::values::{FeeRate, Height};
use storage::Table;

use super::edge::Edge;
use super::refusal::Refusal;
use crate::handle::ChainHandle;

/// Estimates that are kept of one chain. More are made for whoever asks, and not kept.
pub(crate) const ESTIMATES_MAX: usize = 1_024;
/// How long an estimate is given again while no block comes: meanwhile more may wait.
pub(crate) const ESTIMATE_AGE_MAX: Duration = Duration::from_secs(1);

/// Estimates, and the state that they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimated {
    /// The height that was executed.
    pub(crate) height: Height,
    /// The base fee of the next block.
    pub(crate) base_fee: FeeRate,
    /// The bids.
    pub(crate) estimates: Estimates,
}

/// The newest estimates of one chain.
#[derive(Debug, Default)]
pub(crate) struct EstimateCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    height: Height,
    /// When the first one was kept.
    since: Option<Instant>,
    estimates: BTreeMap<Question, Estimates>,
}

/// An [`Ask`] in an order: weight, confidence, time.
type Question = (u64, u16, u64);

impl EstimateCache {
    /// What was estimated for that question at that height.
    fn get(&self, height: Height, ask: &Ask) -> Option<Estimates> {
        let mut kept = self.kept();
        let is_old = kept.since.is_some_and(|since| since.elapsed() > ESTIMATE_AGE_MAX);
        if kept.height != height || is_old {
            *kept = Kept { height, ..Kept::default() };
        }
        kept.estimates.get(&question(ask)).copied()
    }

    /// Keeps an estimate while there is room and the height is still the newest that was asked about.
    fn keep(&self, height: Height, ask: &Ask, estimates: Estimates) {
        let mut kept = self.kept();
        if kept.height == height && kept.estimates.len() < ESTIMATES_MAX {
            kept.since.get_or_insert_with(Instant::now);
            kept.estimates.insert(question(ask), estimates);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn question(ask: &Ask) -> Question {
    (ask.weight, ask.confidence_permille, ask.within_ms)
}

/// What a transaction should bid on a chain of this node. Height and base fee are of one snapshot.
pub(crate) async fn estimated(edge: &Edge, chain: &ChainHandle, ask: Ask) -> Result<Estimated, Refusal> {
    let (cache, handle) = (edge.estimates(chain.chain()), chain.clone());
    let read = edge.read(chain, move |archive| {
        let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let (height, base_fee) = (head.height, head.base_fee);
        let known = cache.as_ref().and_then(|cache| cache.get(height, &ask));
        let estimates = known.unwrap_or_else(|| {
            let estimates = estimate(&Market { base_fee, ..handle.market() }, &ask);
            if let Some(cache) = &cache {
                cache.keep(height, &ask, estimates);
            }
            estimates
        });
        Ok(Estimated { height, base_fee, estimates })
    });
    read.await
}

/// An estimate as the API shows it.
pub(crate) fn view(estimate: &Estimate) -> EstimateView {
    EstimateView {
        fee_max_fen: estimate.fee_max.fen(),
        tip_fen: estimate.tip.fen(),
        expected_fee_fen: estimate.expected_fee.fen(),
        probability: f64::from(estimate.probability_permille) / 1_000.0,
        final_s_p50: seconds(estimate.final_ms_p50),
        final_s_p95: seconds(estimate.final_ms_p95),
        why: why(estimate.why),
        explanation: estimate.why.to_string(),
    }
}

/// Milliseconds as seconds with a fraction.
pub(crate) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

const fn why(why: Why) -> WhyName {
    match why {
        Why::Free => WhyName::Free,
        Why::Rising => WhyName::Rising,
        Why::Falling => WhyName::Falling,
        Why::Backlog => WhyName::Backlog,
        Why::Ceiling => WhyName::Ceiling,
        Why::NoHistory => WhyName::NoHistory,
    }
}

#[cfg(test)]
mod tests {
    use fees::Backlog;
    use ledger::records::FeeParams;
    use ledger::values::Amount;

    use super::*;

    fn ask(weight: u64) -> Ask {
        Ask { weight, confidence_permille: 950, within_ms: 2_000 }
    }

    fn estimates() -> Estimates {
        let market = Market {
            params: FeeParams::default(),
            block_weight_max: 8_388_608,
            pace_ms: 50,
            base_fee: FeeRate::ZERO,
            blocks: Vec::new(),
            backlog: Backlog::default(),
            finality_ms: Vec::new(),
        };
        estimate(&market, &ask(700))
    }

    #[test]
    fn estimates_are_kept_for_their_height_and_question_and_no_longer() {
        let (cache, estimates) = (EstimateCache::default(), estimates());
        let (nine, ten) = (Height(9), Height(10));
        assert_eq!(cache.get(nine, &ask(700)), None);
        cache.keep(nine, &ask(700), estimates);
        assert_eq!(cache.get(nine, &ask(700)), Some(estimates));
        assert_eq!(cache.get(nine, &ask(701)), None);
        assert_eq!(cache.get(nine, &Ask { within_ms: 2_001, ..ask(700) }), None);
        assert_eq!(cache.get(nine, &Ask { confidence_permille: 951, ..ask(700) }), None);
        assert_eq!(cache.get(ten, &ask(700)), None, "the next height");
        cache.keep(nine, &ask(700), estimates);
        assert_eq!(cache.get(ten, &ask(700)), None, "made of a height that has passed");
        cache.keep(ten, &ask(700), estimates);
        cache.kept().since = Instant::now().checked_sub(ESTIMATE_AGE_MAX + Duration::from_millis(1));
        assert_eq!(cache.get(ten, &ask(700)), None, "too old");
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let (cache, estimates) = (EstimateCache::default(), estimates());
        assert_eq!(cache.get(Height(1), &ask(1)), None);
        for weight in 0..ESTIMATES_MAX as u64 + 5 {
            cache.keep(Height(1), &ask(weight), estimates);
        }
        assert_eq!(cache.kept().estimates.len(), ESTIMATES_MAX);
        assert_eq!(cache.get(Height(1), &ask(0)), Some(estimates));
        assert_eq!(cache.get(Height(1), &ask(ESTIMATES_MAX as u64)), None);
    }

    #[test]
    fn thousandths_become_fractions() {
        let estimate = Estimate {
            fee_max: Amount::from_fen(9),
            tip: Amount::from_fen(1),
            expected_fee: Amount::from_fen(8),
            probability_permille: 970,
            final_ms_p50: 300,
            final_ms_p95: 1_250,
            why: Why::Backlog,
        };
        let view = view(&estimate);
        assert_eq!((view.probability, view.final_s_p50, view.final_s_p95), (0.97, 0.3, 1.25));
        assert_eq!((view.fee_max_fen, view.tip_fen, view.expected_fee_fen), (9, 1, 8));
        assert_eq!((view.why, view.explanation), (WhyName::Backlog, Why::Backlog.to_string()));
    }
}
