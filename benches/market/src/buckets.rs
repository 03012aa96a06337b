//! Bitcoin Core's method, implemented again for comparison: its `CBlockPolicyEstimator` without files and reorganisations.
//!
//! Payments fall into buckets by the fee rate they offered when they came, each 5 % above the one below. For each bucket and number
//! of blocks the estimator keeps, fading with every block, how many were confirmed within them; and how many were not, because
//! they left or wait still. It answers the lowest rate from which on at least 95 % were confirmed in time. Three memories fade at
//! different speeds; the fastest one that reaches as many blocks is asked.
//!
//! There a bid is charged in full. Here what it offers is base fee and tip together: the ceiling is its answer, the tip what lies
//! between that and the base fee now.

use ledger::values::{Amount, FeeRate};

use crate::queue::{Bid, Taken};
use crate::world::World;

const RATE_MIN: f64 = 10.0;
const RATE_MAX: f64 = 1e9;
const SPACING: f64 = 1.05;
/// Payments per block that a bucket must have seen, on average.
const SUFFICIENT: f64 = 0.1;
const SUFFICIENT_SHORT: f64 = 0.5;
const CONFIRMED: f64 = 0.95;

/// One memory: periods, blocks per period, what is left of it after a block.
const MEMORIES: [(usize, usize, f64, f64); 3] = [
    (12, 1, 0.962, SUFFICIENT_SHORT),
    (24, 2, 0.9952, SUFFICIENT),
    (42, 24, 0.999_31, SUFFICIENT),
];

/// The estimator.
pub(crate) struct Buckets {
    memories: Vec<Memory>,
}

struct Memory {
    periods: usize,
    scale: usize,
    decay: f64,
    sufficient: f64,
    /// What one payment counts now: it grows, so that what is old need not be multiplied at every block.
    one: f64,
    /// By period and bucket: confirmed in that period; by number of periods and bucket: left after so many.
    confirmed: Vec<Vec<f64>>,
    failed: Vec<Vec<f64>>,
    seen: Vec<f64>,
    rates: Vec<f64>,
}

fn count() -> usize {
    ((RATE_MAX / RATE_MIN).ln() / SPACING.ln()) as usize + 2
}

fn place(rate: u64) -> usize {
    let place = ((rate as f64).max(RATE_MIN) / RATE_MIN).ln() / SPACING.ln();
    (place as usize).min(count() - 1)
}

impl Buckets {
    /// Nothing seen.
    pub(crate) fn new() -> Self {
        let memory = |(periods, scale, decay, sufficient): (usize, usize, f64, f64)| Memory {
            periods,
            scale,
            decay,
            sufficient,
            one: 1.0,
            confirmed: vec![vec![0.0; count()]; periods],
            failed: vec![vec![0.0; count()]; periods + 1],
            seen: vec![0.0; count()],
            rates: vec![0.0; count()],
        };
        Self { memories: MEMORIES.into_iter().map(memory).collect() }
    }

    /// Counts what a block took and who left.
    pub(crate) fn observe(&mut self, block: u32, taken: &Taken) {
        for memory in &mut self.memories {
            memory.fade();
            for bid in &taken.included {
                memory.confirm(block, bid);
            }
            for bid in &taken.left {
                memory.fail(block, bid);
            }
        }
    }

    /// Ceiling and tip for a payment of this weight that must be in one of the next `blocks`; nothing where too little was seen.
    pub(crate) fn bid(&self, world: &World, weight: u64, blocks: u64) -> Option<(Amount, Amount)> {
        let blocks = blocks as usize;
        let memory = self.memories.iter().find(|memory| memory.periods * memory.scale >= blocks)?;
        let rate = memory.lowest(world, blocks)?;
        let ceiling = FeeRate::from_micro_fen(rate).due(weight);
        let due = FeeRate::from_micro_fen(world.base_fee).due(weight);
        Some((ceiling, ceiling.minus(due).unwrap_or(Amount::ZERO)))
    }
}

impl Memory {
    fn fade(&mut self) {
        self.one /= self.decay;
        if self.one > 1e12 {
            let all = self.confirmed.iter_mut().chain(&mut self.failed);
            for number in all.flatten().chain(&mut self.seen).chain(&mut self.rates) {
                *number /= self.one;
            }
            self.one = 1.0;
        }
    }

    fn confirm(&mut self, block: u32, bid: &Bid) {
        let bucket = place(bid.offered_rate);
        let period = (block - bid.entered) as usize / self.scale;
        if period < self.periods {
            self.confirmed[period][bucket] += self.one;
        }
        self.seen[bucket] += self.one;
        self.rates[bucket] += self.one * bid.offered_rate as f64;
    }

    fn fail(&mut self, block: u32, bid: &Bid) {
        let periods = ((block - bid.entered) as usize / self.scale).min(self.periods);
        self.failed[periods][place(bid.offered_rate)] += self.one;
    }

    /// The middle rate of the lowest run of buckets above which all runs are confirmed in time.
    fn lowest(&self, world: &World, blocks: usize) -> Option<u64> {
        let period = blocks.div_ceil(self.scale).clamp(1, self.periods) - 1;
        let mut waiting = vec![0.0; count()];
        let now = world.made.len() as u32;
        for bid in world.queue.bids().iter().filter(|bid| (now - bid.entered) as usize >= blocks) {
            waiting[place(bid.offered_rate)] += self.one;
        }
        let enough = self.one * self.sufficient / (1.0 - self.decay);
        let (mut confirmed, mut seen, mut lost) = (0.0, 0.0, 0.0);
        let (mut top, mut best) = (count() - 1, None);
        let mut has_begun = false;
        for bucket in (0..count()).rev() {
            if !has_begun {
                (top, has_begun) = (bucket, true);
            }
            confirmed += self.confirmed[..=period].iter().map(|periods| periods[bucket]).sum::<f64>();
            seen += self.seen[bucket];
            lost += self.failed[period + 1..].iter().map(|periods| periods[bucket]).sum::<f64>();
            lost += waiting[bucket];
            if seen < enough {
                continue;
            }
            if confirmed / (seen + lost) < CONFIRMED {
                // Not yet: lower buckets may only bring this run above the mark, as there.
                continue;
            }
            best = Some((bucket, top));
            (confirmed, seen, lost, has_begun) = (0.0, 0.0, 0.0, false);
        }
        let (low, high) = best?;
        let half = self.seen[low..=high].iter().sum::<f64>() / 2.0;
        let mut below = 0.0;
        (low..=high)
            .find(|bucket| {
                below += self.seen[*bucket];
                self.seen[*bucket] > 0.0 && below >= half
            })
            .map(|bucket| (self.rates[bucket] / self.seen[bucket]) as u64)
    }
}
