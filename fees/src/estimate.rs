//! What a transaction should bid, and what to expect of it.

use std::fmt;

use ledger::rules::base_fee::next_base_fee;
use ledger::values::{Amount, FeeRate};

use crate::bid::{self, Bid, Fates};
use crate::demand;
use crate::market::Market;
use crate::paths::{self, Path, STEPS_MAX, STRIDE_MAX};
use crate::timing::Timing;
use crate::tuning::Tuning;

/// Three bids for one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimates {
    /// No tip and the lowest ceiling that is likely to do; may take longer than was asked, and says how likely not.
    pub economy: Estimate,
    /// The least that is expected to be final in the asked time with the asked confidence.
    pub normal: Estimate,
    /// The next block, whatever the base fee does: does not wait for a lower price.
    pub urgent: Estimate,
}

/// A bid and what to expect of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The bid's ceiling: base fee and tip together are never more. Not what is charged.
    pub fee_max: Amount,
    /// What the operator gets, at most.
    pub tip: Amount,
    /// What is probably charged: base fee and tip at inclusion.
    pub expected_fee: Amount,
    /// That it is final in the asked time, in thousandths. Below the asked confidence it is not a promise.
    pub probability_permille: u16,
    /// Half of such bids are final after this time from submission, in milliseconds.
    pub final_ms_p50: u64,
    /// 19 of 20 such bids are final after this time from submission, in milliseconds.
    pub final_ms_p95: u64,
    /// Why it costs this.
    pub why: Why,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Weight of the transaction.
    pub weight: u64,
    /// How sure it must be, in thousandths.
    pub confidence_permille: u16,
    /// From submission until it must be final, in milliseconds.
    pub within_ms: u64,
}

/// Why an estimate is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No congestion: it costs nothing.
    Free,
    /// The base fee is rising or steady above zero: the next block is the cheapest.
    Rising,
    /// The base fee is falling: waiting within the asked time is cheaper.
    Falling,
    /// More waits than a block holds: only a tip is in time.
    Backlog,
    /// The base fee may reach the governed ceiling.
    Ceiling,
    /// Too few blocks are known to say how sure it is.
    NoHistory,
}

impl Why {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Rising => "rising",
            Self::Falling => "falling",
            Self::Backlog => "backlog",
            Self::Ceiling => "ceiling",
            Self::NoHistory => "no_history",
        }
    }
}

/// A sentence for people.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "Blocks have room: the payment costs nothing.",
            Self::Rising => {
                "Blocks are fuller than their target: the next block is expected to be the cheapest."
            }
            Self::Falling => {
                "The base fee is falling: the bid waits for a lower price within the asked time."
            }
            Self::Backlog => "More is waiting than a block holds: a tip is needed to be in time.",
            Self::Ceiling => "The base fee is at, or may reach, the highest that the rules allow.",
            Self::NoHistory => "Too few blocks are known to say how sure this is.",
        })
    }
}

/// What a transaction should bid on this market.
#[must_use]
pub fn estimate(market: &Market, ask: &Ask) -> Estimates {
    estimate_with(market, ask, &Tuning::default())
}

/// The same with other numbers than the ones it was tuned to.
#[must_use]
pub fn estimate_with(market: &Market, ask: &Ask, tuning: &Tuning) -> Estimates {
    let outlook = Outlook::of(market, ask, tuning);
    Estimates { economy: outlook.economy(), normal: outlook.normal(), urgent: outlook.urgent() }
}

/// Blocks that headroom reaches at most: it has the base fee rise in all of them as fast as the rule lets it.
const HEADROOM_BLOCKS_MAX: u64 = 64;
/// And the fewest: a bank seals what can pay for some blocks more, and a chain that is slower than was asked is a reason to bid more, not less.
const HEADROOM_BLOCKS_MIN: u64 = 24;
/// The next block and the one after: what urgent means.
const URGENT_STEPS: u64 = 2;
/// Nothing is surer.
const PROBABILITY_MAX_PERMILLE: u64 = 995;
/// Without history nothing is promised.
const UNKNOWN_MAX_PERMILLE: u64 = 500;

/// The ways that the market may go on until the asked time is over.
struct Outlook<'a> {
    market: &'a Market,
    ask: &'a Ask,
    tuning: &'a Tuning,
    timing: Timing,
    /// Blocks per step.
    stride: u64,
    paths: Vec<Path>,
    /// The base fee that headroom reaches.
    headroom: u64,
}

impl<'a> Outlook<'a> {
    fn of(market: &'a Market, ask: &'a Ask, tuning: &'a Tuning) -> Self {
        let timing = Timing::of(market);
        let left_ms = ask.within_ms.saturating_sub(timing.settle_ms_p95);
        let blocks =
            left_ms.checked_div(timing.block_ms).unwrap_or(0).saturating_mul(tuning.window_permille) / 1_000;
        let stride = blocks.div_ceil(STEPS_MAX).clamp(1, STRIDE_MAX);
        let steps = blocks.checked_div(stride).unwrap_or(1).clamp(1, STEPS_MAX);
        let waiting = paths::in_order(market);
        let courses = demand::courses(market, steps.saturating_mul(stride), tuning);
        let paths: Vec<Path> =
            courses.iter().map(|course| paths::play(market, &waiting, course, steps, stride)).collect();
        let is_crowded = paths.iter().flat_map(|path| &path.steps).any(|step| step.margin.is_some());
        let reach = steps.saturating_mul(stride).clamp(HEADROOM_BLOCKS_MIN, HEADROOM_BLOCKS_MAX);
        // In a full block the higher ceiling goes first, at equal tips.
        let headroom = if is_crowded { market.params.rate_max } else { highest(market, reach) };
        Self { market, ask, tuning, timing, stride, paths, headroom: headroom.micro_fen() }
    }

    /// Most paths that a bid may miss and still be as sure as asked.
    fn misses(&self) -> usize {
        let unsure = 1_000u64.saturating_sub(u64::from(self.ask.confidence_permille));
        let share = unsure.saturating_mul(self.tuning.rarer).min(500);
        usize::try_from((self.paths.len() as u64).saturating_mul(share) / 1_000).unwrap_or(0)
    }

    /// With room for what the paths do not know.
    fn with_extra(&self, limit: u64) -> u64 {
        limit.saturating_add(limit.saturating_mul(self.tuning.ceiling_extra_permille) / 1_000)
    }

    /// Of each tip the lowest limit that is sure enough; of these the cheapest. Where none is, the surest.
    fn normal(&self) -> Estimate {
        let confidence = u64::from(self.ask.confidence_permille);
        let mut best: Option<(Bid, Fates)> = None;
        for tip_rate in bid::tips(&self.paths, self.headroom) {
            let sure = (0..=self.misses()).rev().find_map(|misses| {
                let bid = self.waiting_bid(tip_rate, misses)?;
                let fates = bid.fates(&self.paths, self.headroom);
                (self.probability_permille(&fates) >= confidence).then_some((bid, fates))
            });
            let Some((bid, fates)) = sure else { continue };
            if best.as_ref().is_none_or(|(_, least)| fates.cost_rate < least.cost_rate) {
                best = Some((bid, fates));
            }
        }
        match best {
            Some((bid, fates)) => self.estimate(bid, &fates),
            None => self.urgent(),
        }
    }

    /// The bid with this tip that waits for the lowest base fee that all but `misses` paths come down to. Nothing if more paths have
    /// no room for such a tip.
    fn waiting_bid(&self, tip_rate: u64, misses: usize) -> Option<Bid> {
        let limit = self.with_extra(Bid::lowest_limit(&self.paths, tip_rate, self.headroom, misses)?);
        // What the next block asks for already needs no limit.
        Some(Bid { tip_rate, limit: (limit < self.market.base_fee.micro_fen()).then_some(limit) })
    }

    fn economy(&self) -> Estimate {
        let bid = self.waiting_bid(0, self.paths.len() / 2).unwrap_or(Bid { tip_rate: 0, limit: None });
        self.estimate(bid, &bid.fates(&self.paths, self.headroom))
    }

    fn urgent(&self) -> Estimate {
        let near: Vec<Path> = self.paths.iter().map(|path| path.first(URGENT_STEPS)).collect();
        let misses = self.misses();
        let tips = bid::tips(&near, self.headroom);
        let in_time = |tip_rate: &&u64| {
            let fates = Bid { tip_rate: **tip_rate, limit: None }.fates(&near, self.headroom);
            fates.steps.len().saturating_add(misses) >= near.len()
        };
        let tip_rate = tips.iter().find(in_time).or(tips.last()).copied().unwrap_or(0);
        let bid = Bid { tip_rate, limit: None };
        self.estimate(bid, &bid.fates(&self.paths, self.headroom))
    }

    fn estimate(&self, bid: Bid, fates: &Fates) -> Estimate {
        let weight = self.ask.weight;
        // Rounded up: what beats a bid by less than a fen beats it by one.
        let tip = match bid.tip_rate {
            0 => Amount::ZERO,
            rate => Amount::from_fen(FeeRate::from_micro_fen(rate).due(weight).fen().saturating_add(1)),
        };
        let ceiling = FeeRate::from_micro_fen(bid.limit.unwrap_or(self.headroom)).due(weight);
        let base = FeeRate::from_micro_fen(fates.cost_rate.saturating_sub(bid.tip_rate)).due(weight);
        let sum = |one: Amount, other: Amount| one.plus(other).unwrap_or(Amount::from_fen(u64::MAX));
        let after = |permille: u64, settle_ms: u64| {
            let place = (self.paths.len() as u64).saturating_mul(permille) / 1_000;
            let step = usize::try_from(place).ok().and_then(|place| fates.steps.get(place)).copied();
            // Where too few paths include it, it takes longer than was asked.
            let blocks = step.map_or(u64::MAX, |step| step.saturating_mul(self.stride));
            if blocks == u64::MAX {
                self.ask.within_ms.saturating_mul(2)
            } else {
                self.timing.after_ms(blocks, settle_ms)
            }
        };
        let final_ms_p50 = after(500, self.timing.settle_ms_p50);
        Estimate {
            fee_max: sum(ceiling, tip),
            tip,
            expected_fee: if fates.steps.is_empty() { sum(ceiling, tip) } else { sum(base, tip) },
            probability_permille: u16::try_from(self.probability_permille(fates)).unwrap_or(0),
            final_ms_p50,
            final_ms_p95: after(950, self.timing.settle_ms_p95).max(final_ms_p50),
            why: self.why(bid),
        }
    }

    fn probability_permille(&self, fates: &Fates) -> u64 {
        let paths = self.paths.len() as u64;
        let included = fates.steps.len() as u64;
        let in_time = fates.steps.iter().fold(0u64, |sum, step| {
            let blocks = step.saturating_mul(self.stride);
            sum.saturating_add(self.timing.in_time_permille(blocks, self.ask.within_ms))
        });
        let in_time = in_time.checked_div(included).unwrap_or(0);
        let missed = paths.saturating_sub(included).saturating_mul(1_000).checked_div(paths).unwrap_or(1_000);
        // Up to half of the paths misses are rarer than there; from there on down to never.
        let half = 500u64.checked_div(self.tuning.rarer).unwrap_or(500);
        let unsure = if missed <= 500 {
            missed.checked_div(self.tuning.rarer).unwrap_or(missed)
        } else {
            let beyond = missed.saturating_sub(500).saturating_mul(1_000u64.saturating_sub(half)) / 500;
            half.saturating_add(beyond)
        };
        let permille = in_time.saturating_mul(1_000u64.saturating_sub(unsure)) / 1_000;
        let is_known = self.market.blocks.len() >= demand::BLOCKS_MIN;
        permille.min(if is_known { PROBABILITY_MAX_PERMILLE } else { UNKNOWN_MAX_PERMILLE })
    }

    fn why(&self, bid: Bid) -> Why {
        let is_dear = self
            .paths
            .iter()
            .flat_map(|path| &path.steps)
            .any(|step| step.base_fee >= self.market.params.rate_max.micro_fen());
        if self.market.blocks.len() < demand::BLOCKS_MIN {
            Why::NoHistory
        } else if bid.tip_rate > 0 {
            Why::Backlog
        } else if bid.limit.is_some() {
            Why::Falling
        } else if self.market.base_fee.due(self.ask.weight).is_zero() {
            Why::Free
        } else if is_dear {
            Why::Ceiling
        } else {
            Why::Rising
        }
    }
}

/// The base fee after so many blocks that are all as full as raises it most.
fn highest(market: &Market, blocks: u64) -> FeeRate {
    let full = market.params.weight_target.saturating_mul(2).max(market.block_weight_max);
    (0..blocks).fold(market.base_fee, |base_fee, _| next_base_fee(&market.params, base_fee, full))
}
