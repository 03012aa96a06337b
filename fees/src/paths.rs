//! The blocks to come, path by path: the governed rule, played forward over what waits and what arrives.

use ledger::rules::base_fee::next_base_fee;
use ledger::values::FeeRate;

use crate::backlog::{BACKLOG_BUCKETS_MAX, Waiting};
use crate::market::Market;

/// Most steps that a path is played for. Longer questions take several blocks in a step.
pub(crate) const STEPS_MAX: u64 = 64;
/// Most blocks in a step: the longest question that is played to its end has [`STEPS_MAX`] times as many blocks.
pub(crate) const STRIDE_MAX: u64 = 8;

/// A block to come, or the cheapest of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its base fee, in millionths of a fen per weight.
    pub(crate) base_fee: u64,
    /// Where it is full: the bid to beat.
    pub(crate) margin: Option<Margin>,
}

/// The bid that a full block takes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Margin {
    /// Its tip per weight.
    pub(crate) tip_rate: u64,
    /// Its ceiling per weight: at an equal tip a higher one goes first.
    pub(crate) fee_rate: u64,
}

/// One way that the market may go on.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// The steps, from the next block on.
    pub(crate) steps: Vec<Step>,
}

impl Path {
    /// Its beginning.
    pub(crate) fn first(&self, steps: u64) -> Self {
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        Self { steps: self.steps.iter().take(steps).copied().collect() }
    }
}

/// Most buckets that a path is played with.
const BUCKETS_MAX: usize = 48;

/// What waits and can pay the base fee of now, best bid first; neighbours together where they are many. What waits for a lower base fee
/// is not counted: recent blocks show already how it comes in as the base fee falls.
pub(crate) fn in_order(market: &Market) -> Vec<Waiting> {
    let could_pay = |bucket: &&Waiting| bucket.fee_rate >= market.base_fee && bucket.weight > 0;
    let known = market.backlog.waiting.iter().take(BACKLOG_BUCKETS_MAX);
    let mut waiting: Vec<Waiting> = known.filter(could_pay).copied().collect();
    waiting.sort_unstable_by_key(|bucket| std::cmp::Reverse((bucket.tip_rate, bucket.fee_rate)));
    waiting
        .chunks(waiting.len().div_ceil(BUCKETS_MAX).max(1))
        .filter_map(|alike| {
            let best = alike.first()?;
            let weight = alike.iter().fold(0u64, |sum, bucket| sum.saturating_add(bucket.weight));
            let fee_rate = alike.iter().map(|bucket| bucket.fee_rate).max()?;
            Some(Waiting { tip_rate: best.tip_rate, fee_rate, weight })
        })
        .collect()
}

/// Plays one path, at most [`STEPS_MAX`] × [`STRIDE_MAX`] blocks. What waits comes on top of what arrives for the next block, although a
/// part of that may wait already: a path errs towards a dearer one.
///
/// `waiting` is what [`in_order`] gives, `course` is the weight that arrives per block; a step is `stride` blocks.
pub(crate) fn play(market: &Market, waiting: &[Waiting], course: &[u64], steps: u64, stride: u64) -> Path {
    let mut queue = Queue::new(waiting);
    let mut base_fee = market.base_fee;
    let mut path = Path { steps: Vec::new() };
    // A course that is shorter begins again.
    let mut levels = course.iter().cycle();
    for _ in 0..steps {
        let mut cheapest: Option<Step> = None;
        for _ in 0..stride {
            let arriving = levels.next().copied().unwrap_or(0);
            let (weight, margin) = queue.serve(base_fee, arriving, market.block_weight_max);
            if cheapest.is_none_or(|step| base_fee.micro_fen() < step.base_fee) {
                cheapest = Some(Step { base_fee: base_fee.micro_fen(), margin });
            }
            base_fee = next_base_fee(&market.params, base_fee, weight);
        }
        path.steps.extend(cheapest);
    }
    path
}

/// What waits on a path.
struct Queue<'a> {
    /// As it was at first: what arrives bids as what waits.
    first: &'a [Waiting],
    left: Vec<Waiting>,
    ceiling_max: FeeRate,
}

impl<'a> Queue<'a> {
    fn new(first: &'a [Waiting]) -> Self {
        let mut queue = Self { first, left: first.to_vec(), ceiling_max: FeeRate::ZERO };
        queue.forget_empty();
        queue
    }

    fn forget_empty(&mut self) {
        self.left.retain(|bucket| bucket.weight > 0);
        self.ceiling_max = self.left.iter().map(|bucket| bucket.fee_rate).max().unwrap_or_default();
    }

    /// The weight that is taken, and the last bid taken where something that could pay found no room.
    fn serve(&mut self, base_fee: FeeRate, arriving: u64, room: u64) -> (u64, Option<Margin>) {
        if self.left.is_empty() || self.ceiling_max < base_fee {
            return self.serve_arrivals(arriving, room);
        }
        let could_pay = |bucket: &&Waiting| bucket.fee_rate >= base_fee;
        let waits =
            self.left.iter().filter(could_pay).fold(0u64, |sum, bucket| sum.saturating_add(bucket.weight));
        let wants = waits.saturating_add(arriving);
        if wants <= room {
            self.left.retain(|bucket| bucket.fee_rate < base_fee);
            self.forget_empty();
            return (wants, None);
        }
        self.spread(base_fee, arriving);
        let mut left = room;
        let mut margin = None;
        for bucket in self.left.iter_mut().filter(|bucket| bucket.fee_rate >= base_fee) {
            let taken = bucket.weight.min(left);
            bucket.weight = bucket.weight.saturating_sub(taken);
            left = left.saturating_sub(taken);
            if bucket.weight > 0 || left == 0 {
                margin = Some(Margin {
                    tip_rate: bucket.tip_rate.micro_fen(),
                    fee_rate: bucket.fee_rate.micro_fen(),
                });
                break;
            }
        }
        self.forget_empty();
        (room.saturating_sub(left), margin)
    }

    fn serve_arrivals(&self, arriving: u64, room: u64) -> (u64, Option<Margin>) {
        // Nothing is known of their bids: a higher ceiling than theirs is taken to be enough.
        let margin = (arriving > room).then_some(Margin { tip_rate: 0, fee_rate: 0 });
        (arriving.min(room), margin)
    }

    /// What arrives bids as what waited at first and can pay.
    fn spread(&mut self, base_fee: FeeRate, arriving: u64) {
        let could_pay = |bucket: &&Waiting| bucket.fee_rate >= base_fee;
        let total =
            self.first.iter().filter(could_pay).fold(0u64, |sum, bucket| sum.saturating_add(bucket.weight));
        if total == 0 {
            return;
        }
        let mut merged = Vec::new();
        let mut left = std::mem::take(&mut self.left).into_iter().peekable();
        for bucket in self.first {
            let key = (bucket.tip_rate, bucket.fee_rate);
            let mut weight = 0u64;
            while let Some(waits) = left.next_if(|waits| (waits.tip_rate, waits.fee_rate) >= key) {
                weight = weight.saturating_add(waits.weight);
            }
            if bucket.fee_rate >= base_fee {
                let share = u128::from(arriving)
                    .saturating_mul(u128::from(bucket.weight))
                    .checked_div(u128::from(total))
                    .unwrap_or(0);
                weight = weight.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
            }
            merged.push(Waiting { weight, ..*bucket });
        }
        self.left = merged;
    }
}
