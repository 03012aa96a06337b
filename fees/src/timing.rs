//! How long a block takes, and how long after its block a payment is certified.

use crate::market::{FINALITY_MAX, Market};

/// What blocks and certificates take, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Mean time between blocks.
    pub(crate) block_ms: u64,
    /// From admission to certified where nothing has to wait for room or price: half take less.
    pub(crate) settle_ms_p50: u64,
    /// The same: 19 of 20 take less.
    pub(crate) settle_ms_p95: u64,
}

/// Blocks that say how long one takes.
const INTERVALS_MAX: usize = 64;
/// A chain without work makes no blocks: longer intervals say nothing about one with work.
const BLOCK_PACES_MAX: u64 = 4;
/// Without any sample: a block, its certificate, and the block that carries its result.
const SETTLE_PACES: u64 = 6;

impl Timing {
    pub(crate) fn of(market: &Market) -> Self {
        let pace_ms = market.pace_ms.max(1);
        let longest_ms = pace_ms.saturating_mul(BLOCK_PACES_MAX);
        let times = market.blocks.iter().rev().take(INTERVALS_MAX).map(|block| block.timestamp_ms);
        let (mut total_ms, mut count) = (0u64, 0u64);
        for (later, earlier) in times.clone().zip(times.skip(1)) {
            let interval_ms = later.saturating_sub(earlier);
            // Late leaders count, idle pauses do not; both are cut off alike.
            total_ms = total_ms.saturating_add(interval_ms.clamp(pace_ms, longest_ms));
            count = count.saturating_add(1);
        }
        let block_ms = total_ms.checked_div(count).unwrap_or(pace_ms);
        let skipped = market.finality_ms.len().saturating_sub(FINALITY_MAX);
        let mut samples: Vec<u64> = market.finality_ms.iter().skip(skipped).copied().collect();
        samples.sort_unstable();
        let at = |percent: usize| {
            let place = samples.len().saturating_mul(percent) / 100;
            samples.get(place).copied().unwrap_or(pace_ms.saturating_mul(SETTLE_PACES))
        };
        // Who waited for room or price is in the samples too. Those that did not are the quickest.
        let quick_ms = at(25);
        let settle_ms_p50 = at(50).min(quick_ms.saturating_add(block_ms));
        let patient_ms = quick_ms.saturating_add(quick_ms / 2).saturating_add(block_ms);
        Self { block_ms, settle_ms_p50, settle_ms_p95: at(95).min(patient_ms).max(settle_ms_p50) }
    }

    /// That what is included `blocks` from now (0 is the next) is certified in time, in thousandths.
    pub(crate) fn in_time_permille(&self, blocks: u64, within_ms: u64) -> u64 {
        let p50 = self.after_ms(blocks, self.settle_ms_p50);
        let p95 = self.after_ms(blocks, self.settle_ms_p95);
        let spread = p95.saturating_sub(p50).max(1);
        // From `low` on, so many thousandths in all over the next `width`.
        let grown = |low: u64, part: u64, width: u64| {
            let beyond = within_ms.saturating_sub(low).min(width);
            beyond.saturating_mul(part).checked_div(width).unwrap_or(part)
        };
        if within_ms >= p95 {
            // As far out again as 95 % are from half: 99.5 %.
            grown(p95, 45, spread).saturating_add(950)
        } else if within_ms >= p50 {
            grown(p50, 450, spread).saturating_add(500)
        } else {
            // Sooner than half of them ever were.
            grown(0, 400, p50)
        }
    }

    /// From submission until what is included `blocks` from now is certified.
    pub(crate) fn after_ms(&self, blocks: u64, settle_ms: u64) -> u64 {
        blocks.saturating_mul(self.block_ms).saturating_add(settle_ms)
    }
}
