//! How much will arrive: recent blocks, played again from where they were most like now.
//!
//! A path is a stretch of the known blocks. What its blocks weighed against those just before it, the blocks to come weigh against
//! the last ones: so trend, spread and bursts are those of this chain. Most paths begin where demand was most like now, the others
//! anywhere, so that what is rare is not forgotten.

use crate::market::{BLOCKS_MAX, BlockFacts, Market};
use crate::tuning::Tuning;

/// Ways that demand may go on.
pub(crate) const PATHS: usize = 24;
/// Fewer blocks say nothing.
pub(crate) const BLOCKS_MIN: usize = 32;

/// Stretches that begin nearer to each other than this are one and the same.
const APART: usize = 3;
/// A stretch of the latest blocks is used although it is short: from this many blocks on.
const AHEAD_MIN: usize = 16;
/// A block is full from this share of the most weight on, in 64 parts.
const FULL_PARTS: u64 = 60;
/// Blocks that say whether blocks are full.
const FULL_BLOCKS: usize = 4;
/// A ratio to less than this part of the target is no ratio.
const LEAST_PART: u64 = 32;

/// Weight that arrives per block and can pay, block by block; one entry per path, each to be begun again where it is too short.
/// Neither the list nor an entry is empty.
pub(crate) fn courses(market: &Market, blocks_ahead: u64, tuning: &Tuning) -> Vec<Vec<u64>> {
    let skipped = market.blocks.len().saturating_sub(BLOCKS_MAX);
    let blocks = market.blocks.get(skipped..).unwrap_or_default();
    let target = market.params.weight_target.max(1);
    if blocks.len() < BLOCKS_MIN {
        // From nothing to full blocks.
        let full = market.block_weight_max;
        return vec![vec![0], vec![target], vec![target.saturating_mul(2).min(full)], vec![full]];
    }
    let weights: Vec<u64> = blocks.iter().map(|block| block.weight).collect();
    let least = target / LEAST_PART;
    let recent = tuning.recent.clamp(1, BLOCKS_MIN / 4);
    let reach = usize::try_from(blocks_ahead).unwrap_or(usize::MAX);
    let ahead = reach.clamp(1, blocks.len() / 2);
    let level = mean(weights.iter().rev().take(recent)).max(least);
    let overload = if are_full(market, blocks) { tuning.overload_permille } else { 0 };
    starts(&weights, recent, ahead, level, tuning)
        .into_iter()
        .zip(0u64..)
        .map(|(start, place)| {
            let stretch = weights.get(start..).unwrap_or_default();
            let before = mean(stretch.iter().take(recent)).max(least);
            // Full blocks do not show how much more there was: from nothing more on the first path to the most on the last.
            let more = overload.saturating_mul(place).checked_div(PATHS as u64).unwrap_or(0);
            let level = level.saturating_add(level.saturating_mul(more) / 1_000);
            let after = stretch.iter().skip(recent).take(ahead);
            after.map(|weight| scaled(*weight, level, before)).collect()
        })
        .collect()
}

/// Where the paths begin: at the place of the blocks before them.
fn starts(weights: &[u64], recent: usize, ahead: usize, level: u64, tuning: &Tuning) -> Vec<usize> {
    let window = recent.saturating_add(ahead.min(AHEAD_MIN));
    let mut likeness: Vec<(u64, usize)> = weights
        .windows(window)
        .zip(0usize..)
        .map(|(stretch, start)| (mean(stretch.iter().take(recent)).abs_diff(level), start))
        .collect();
    likeness.sort_unstable();
    let mut starts: Vec<usize> = Vec::with_capacity(PATHS);
    for (_, start) in likeness {
        if starts.len() >= tuning.alike.min(PATHS) {
            break;
        }
        if starts.iter().all(|other| other.abs_diff(start) >= APART) {
            starts.push(start);
        }
    }
    let last = weights.len().saturating_sub(recent).saturating_sub(ahead);
    let others = PATHS.saturating_sub(starts.len());
    let gaps = others.saturating_sub(1).max(1);
    starts.extend((0..others).filter_map(|place| last.saturating_mul(place).checked_div(gaps)));
    starts
}

fn are_full(market: &Market, blocks: &[BlockFacts]) -> bool {
    let latest = mean(blocks.iter().rev().take(FULL_BLOCKS).map(|block| &block.weight));
    latest >= (market.block_weight_max / 64).saturating_mul(FULL_PARTS)
}

/// `weight × level / before`.
fn scaled(weight: u64, level: u64, before: u64) -> u64 {
    let scaled = u128::from(weight).saturating_mul(u128::from(level)).checked_div(u128::from(before));
    u64::try_from(scaled.unwrap_or(0)).unwrap_or(u64::MAX)
}

fn mean<'a>(weights: impl Iterator<Item = &'a u64>) -> u64 {
    let (total, count) = weights.fold((0u64, 0u64), |(total, count), weight| {
        (total.saturating_add(*weight), count.saturating_add(1))
    });
    total.checked_div(count).unwrap_or(0)
}
