//! One run of a market: blocks at a pace, the ledger's rule, the pool's order, and questions on the way.

use fees::{BLOCKS_MAX, BlockFacts, FINALITY_MAX, Market};
use ledger::records::FeeParams;
use ledger::rules::base_fee::next_base_fee;
use ledger::values::FeeRate;

use crate::demand::{Demand, Family};
use crate::queue::{Queue, Taken};
use crate::random::Random;

/// Blocks of a run.
pub(crate) const BLOCKS: u32 = 2_400;
/// Questions are asked from this block on: the methods have seen as much history as they want.
pub(crate) const ASKS_FROM: u32 = 300;
/// And up to this one: the longest question ends within the run.
pub(crate) const ASKS_TO: u32 = 2_000;
/// A question every so many blocks.
pub(crate) const ASKS_EVERY: u32 = 8;
/// Time between blocks, in milliseconds.
pub(crate) const PACE_MS: u64 = 50;

/// Weights that are asked about: a payment, three, a dozen, the opening of many wallets.
const ASK_WEIGHTS: [u64; 4] = [700, 1_200, 5_000, 30_000];
/// Times that are asked for.
pub(crate) const ASK_WITHIN_MS: [u64; 4] = [1_000, 2_000, 5_000, 15_000];

/// A block as it became.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    /// When it was made.
    pub(crate) at_ms: u64,
    /// When it was certified.
    pub(crate) certified_ms: u64,
    /// Its base fee.
    pub(crate) base_fee: u64,
    /// Its weight.
    pub(crate) weight: u64,
    /// The bid to beat, if it was full.
    pub(crate) margin: Option<(u64, u64)>,
    /// What the payment at 60 % of its weight tipped, lowest first.
    pub(crate) tip_p60: u64,
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// When it is asked, and the payment submitted.
    pub(crate) at_ms: u64,
    /// The next block.
    pub(crate) block: u32,
    /// Weight of the payment.
    pub(crate) weight: u64,
    /// Until when it must be certified, from `at_ms` on.
    pub(crate) within_ms: u64,
}

/// A market under way.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The governed rule.
    pub(crate) params: FeeParams,
    /// Most weight of a block.
    pub(crate) weight_max: u64,
    /// Blocks made.
    pub(crate) made: Vec<Made>,
    /// What waits.
    pub(crate) queue: Queue,
    /// Base fee of the next block.
    pub(crate) base_fee: u64,
    demand: Demand,
    random: Random,
    /// Share of what arrives before the next block that has arrived.
    arrived: f64,
    finality: Vec<(u64, u64)>,
}

impl World {
    /// The market of a family and a seed. On odd seeds a block holds eight targets, as by default; on even ones two.
    pub(crate) fn new(family: Family, seed: u64) -> Self {
        let params = FeeParams::default();
        let weight_max = params.weight_target * if seed % 2 == 1 { 8 } else { 2 };
        let rate_max = params.rate_max.micro_fen();
        let demand = Demand::new(family, seed, params.weight_target, weight_max, rate_max);
        Self {
            params,
            weight_max,
            made: Vec::new(),
            queue: Queue::default(),
            base_fee: 0,
            demand,
            random: Random::new(seed, 100 + family as u64),
            arrived: 0.0,
            finality: Vec::new(),
        }
    }

    /// The same market from this moment on with other chance; what has arrived for the next block is not drawn again.
    pub(crate) fn fork(&self, chance: u64) -> Self {
        let mut fork = self.clone();
        fork.random = Random::new(chance, 200);
        fork.demand.fork(chance);
        fork
    }

    /// Makes the next block. In the middle of what arrives before it a question may be asked.
    pub(crate) fn step(&mut self, ask: impl FnOnce(&Self, &Question)) -> Taken {
        let block = self.made.len() as u32;
        let before_ms = self.made.last().map_or(0, |made| made.at_ms);
        // One leader in a hundred is late.
        let late_ms = if self.random.happens(0.01) { self.random.whole(300, 1_000) } else { 0 };
        let gap_ms = PACE_MS + self.random.whole(0, 10) + late_ms;
        let arrivals = self.demand.arrivals(block, self.base_fee);
        let phase = self.random.unit();
        let arrivals = &arrivals[(arrivals.len() as f64 * self.arrived) as usize..];
        let (early, rest) = arrivals.split_at((arrivals.len() as f64 * phase) as usize);
        let is_asked =
            (ASKS_FROM..ASKS_TO).contains(&block) && self.random.happens(1.0 / f64::from(ASKS_EVERY));
        let question = Question {
            at_ms: before_ms + (gap_ms as f64 * phase) as u64,
            block,
            weight: self.random.one(&ASK_WEIGHTS),
            within_ms: self.random.one(&ASK_WITHIN_MS),
        };
        self.queue.add(early);
        if is_asked {
            self.arrived = phase;
            ask(self, &question);
        }
        self.arrived = 0.0;
        self.queue.add(rest);
        let taken = self.queue.take(block, self.base_fee, self.weight_max);
        self.close(before_ms + gap_ms, &taken);
        taken
    }

    fn close(&mut self, at_ms: u64, taken: &Taken) {
        let tail_ms = if self.random.happens(0.02) { self.random.whole(100, 600) } else { 0 };
        let certified_ms = at_ms + self.random.whole(120, 250) + tail_ms;
        // Of each block some payments are watched: from admission, somewhere in the interval before `entered`, to certified.
        let block = self.made.len() as u32;
        for bid in taken.included.iter().step_by(taken.included.len() / 8 + 1) {
            let opened_ms = bid
                .entered
                .checked_sub(1)
                .and_then(|before| self.made.get(before as usize))
                .map_or(0, |made| made.at_ms);
            let closed_ms = if bid.entered == block { at_ms } else { self.made[bid.entered as usize].at_ms };
            let admitted_ms = self.random.whole(opened_ms, closed_ms);
            self.finality.push((certified_ms, certified_ms - admitted_ms));
        }
        self.made.push(Made {
            at_ms,
            certified_ms,
            base_fee: self.base_fee,
            weight: taken.weight,
            margin: taken.margin,
            tip_p60: tip_percentile(taken, self.base_fee, 60),
        });
        let parent = FeeRate::from_micro_fen(self.base_fee);
        self.base_fee = next_base_fee(&self.params, parent, taken.weight).micro_fen();
    }

    /// What a node knows at this moment.
    pub(crate) fn market(&self, at_ms: u64) -> Market {
        let recent = self.made.len().saturating_sub(BLOCKS_MAX);
        let known: Vec<u64> = self
            .finality
            .iter()
            .rev()
            .filter(|(certified_ms, _)| *certified_ms <= at_ms)
            .take(FINALITY_MAX)
            .map(|(_, took_ms)| *took_ms)
            .collect();
        Market {
            params: self.params,
            block_weight_max: self.weight_max,
            pace_ms: PACE_MS,
            base_fee: FeeRate::from_micro_fen(self.base_fee),
            blocks: self.made[recent..]
                .iter()
                .map(|made| BlockFacts {
                    timestamp_ms: made.at_ms,
                    weight: made.weight,
                    base_fee: FeeRate::from_micro_fen(made.base_fee),
                })
                .collect(),
            backlog: self.queue.backlog(),
            finality_ms: known.into_iter().rev().collect(),
        }
    }
}

/// What was tipped per weight at this share of a block's weight, lowest first, as `eth_feeHistory` counts it.
fn tip_percentile(taken: &Taken, base_fee: u64, percent: u64) -> u64 {
    let mut tips: Vec<(u64, u64)> =
        taken.included.iter().map(|bid| (bid.tip_rate.min(bid.fee_rate - base_fee), bid.weight)).collect();
    tips.sort_unstable();
    let mut left = taken.weight * percent / 100;
    for (tip, weight) in tips {
        if left <= weight {
            return tip;
        }
        left -= weight;
    }
    0
}
