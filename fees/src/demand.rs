//! How much will arrive: what recent blocks say about the blocks to come.
//!
//! One path per way that demand may go on. Half of the paths carry what arrives now on by the ratios that past demand changed by;
//! the other half let it return to what past demand was. Both are quantiles over all stretches of the known blocks as long as the question
//! reaches, so trend and spread are in them. Weights are first brought to the base fee of now, for demand falls where it rises.

use crate::market::{BLOCKS_MAX, Market};
use crate::tuning::Tuning;

/// Ways that demand may go on.
pub(crate) const PATHS: usize = 24;
/// Fewer blocks say nothing.
pub(crate) const BLOCKS_MIN: usize = 16;

/// Demand is never changed by the base fee by more than this factor.
const ELASTIC_FACTOR_MAX: u64 = 4;
/// Rates below this are as good as free, so demand does not differ.
const RATE_NOTICED: u64 = 100;
/// Ratios are counted in parts of this.
const ONE: u64 = 1_024;
/// A block is full from this share on, in parts of [`ONE`].
const FULL: u64 = 960;
/// Blocks that say whether blocks are full.
const FULL_BLOCKS: usize = 4;

/// Weight that arrives per block and can pay the base fee of now, one entry per path. Never empty.
pub(crate) fn levels(market: &Market, horizon: u64, tuning: &Tuning) -> Vec<u64> {
    let skipped = market.blocks.len().saturating_sub(BLOCKS_MAX);
    let blocks = market.blocks.get(skipped..).unwrap_or_default();
    let target = market.params.weight_target.max(1);
    if blocks.len() < BLOCKS_MIN {
        // From nothing to full blocks.
        let full = market.block_weight_max;
        return vec![0, target / 2, target, target.saturating_mul(2).min(full), full];
    }
    let now = market.base_fee.micro_fen();
    let weights: Vec<u64> = blocks
        .iter()
        .map(|block| elastic(block.weight, block.base_fee.micro_fen(), now, tuning.elasticity_permille))
        .collect();
    let recent = tuning.recent.clamp(1, blocks.len() / 2);
    let reach = usize::try_from(horizon).unwrap_or(usize::MAX);
    let ahead = reach.min(tuning.ahead).min(blocks.len() / 4).max(1);
    let level = mean(weights.iter().rev().take(recent));
    // A ratio to next to nothing is no ratio.
    let least = target / 32;
    let mut means = Vec::new();
    let mut ratios = Vec::new();
    for stretch in weights.windows(recent.saturating_add(ahead)) {
        let before = mean(stretch.iter().take(recent)).max(least);
        let after = mean(stretch.iter().skip(recent));
        means.push(after);
        ratios.push(after.saturating_mul(ONE) / before.max(1));
    }
    let is_full = mean(blocks.iter().rev().take(FULL_BLOCKS).map(|block| &block.weight))
        >= market.block_weight_max.saturating_mul(FULL) / ONE;
    let overload = if is_full { tuning.overload_permille } else { 0 };
    let half = PATHS / 2;
    let returning = quantiles(&mut means, half);
    let going_on = quantiles(&mut ratios, half).into_iter().zip(1u64..).map(|(ratio, place)| {
        let level = level.max(least).saturating_mul(ratio) / ONE;
        // Full blocks do not show how much more there was.
        let more = overload.saturating_mul(place).checked_div(half as u64).unwrap_or(0);
        level.saturating_add(level.saturating_mul(more) / 1_000)
    });
    returning.into_iter().chain(going_on).collect()
}

/// What a weight that arrived at the base fee `from` would have been at `to`.
pub(crate) fn elastic(weight: u64, from: u64, to: u64, elasticity_permille: u64) -> u64 {
    let (from, to) = (octaves(from), octaves(to));
    let change = from.abs_diff(to).saturating_mul(elasticity_permille) / ONE;
    if to >= from {
        let left = 1_000u64.saturating_sub(change).max(1_000 / ELASTIC_FACTOR_MAX);
        weight.saturating_mul(left) / 1_000
    } else {
        let more = 1_000u64.saturating_add(change).min(1_000u64.saturating_mul(ELASTIC_FACTOR_MAX));
        weight.saturating_mul(more) / 1_000
    }
}

/// The logarithm of a rate to the base 2, in parts of [`ONE`]; between powers of two a straight line.
fn octaves(rate: u64) -> u64 {
    let rate = rate.max(RATE_NOTICED);
    let whole = rate.ilog2();
    let beyond = rate.saturating_sub(1u64.checked_shl(whole).unwrap_or(0));
    let part = u128::from(beyond).saturating_mul(u128::from(ONE)).checked_shr(whole).unwrap_or(0);
    u64::from(whole).saturating_mul(ONE).saturating_add(u64::try_from(part).unwrap_or(0))
}

fn mean<'a>(weights: impl Iterator<Item = &'a u64>) -> u64 {
    let (total, count) = weights.fold((0u64, 0u64), |(total, count), weight| {
        (total.saturating_add(*weight), count.saturating_add(1))
    });
    total.checked_div(count).unwrap_or(0)
}

/// The middles of `count` equal shares of the values in their order.
fn quantiles(values: &mut [u64], count: usize) -> Vec<u64> {
    values.sort_unstable();
    (0..count)
        .filter_map(|share| {
            let middle = share.saturating_mul(2).saturating_add(1);
            let place = values.len().saturating_mul(middle).checked_div(count.saturating_mul(2))?;
            values.get(place).copied()
        })
        .collect()
}
