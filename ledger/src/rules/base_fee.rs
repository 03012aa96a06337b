//! The base fee: what a unit of weight costs in a block, made of the block before it (PROTOCOL rule 17). It rises while blocks are
//! heavier than the target, falls twice as fast while they are lighter, and is zero on a chain that has room.
//!
//! | weight of the parent | change |
//! | --- | --- |
//! | above the target | rises in proportion, by one part in `step_denominator` at twice the target or more; at least by `step_min` for each full target |
//! | at the target | falls by a quarter of such a part; at least by `step_min` |
//! | below the target | falls in proportion, by two such parts at weight zero; at least as at the target |
//!
//! Invariants: at or below the target zero stays zero; above it the rate rises strictly until it is `rate_max`, and is never higher;
//! with every block at or below the target it is zero after [`blocks_to_zero_max`] blocks at the latest.

use crate::records::FeeParams;
use crate::values::FeeRate;

/// The base fee of the block after one of this base fee and weight.
#[must_use]
pub fn next_base_fee(params: &FeeParams, parent: FeeRate, weight: u64) -> FeeRate {
    let (rate, target) = (u128::from(parent.micro_fen()), u128::from(params.weight_target));
    let (weight, denominator) = (u128::from(weight), u128::from(params.step_denominator));
    let step_min = u128::from(params.step_min.micro_fen());
    // `part` of the target in `of` parts, of the rate. No overflow within the ranges of the parameters.
    let share = |part: u128, of: u128| {
        rate.saturating_mul(part).checked_div(target.saturating_mul(of)).unwrap_or(u128::MAX)
    };
    let next = if weight > target {
        let excess = weight.saturating_sub(target).min(target);
        // A block of many times the target leaves zero as much faster: else full and light blocks in turn would be free for ever.
        let times = weight.checked_div(target).unwrap_or(1);
        rate.saturating_add(share(excess, denominator).max(step_min.saturating_mul(times)))
    } else {
        let short = target.saturating_sub(weight);
        let quarter = rate.checked_div(denominator.saturating_mul(4)).unwrap_or(u128::MAX);
        rate.saturating_sub(share(short.saturating_mul(2), denominator).max(quarter).max(step_min))
    };
    let next = u64::try_from(next).unwrap_or(u64::MAX);
    // A ceiling that operators lower holds at once.
    FeeRate::from_micro_fen(next.min(params.rate_max.micro_fen()))
}

/// Blocks after which a base fee of at most `rate_max` is zero, at the latest, where every block is at or below the target. A bound, not
/// the exact number: it counts each halving of the rate with the step at its lower end.
#[must_use]
pub fn blocks_to_zero_max(params: &FeeParams) -> u64 {
    let (mut rate, mut blocks) = (params.rate_max.micro_fen(), 0_u64);
    // Ends after 64 halvings.
    while rate > 0 {
        let half = rate / 2;
        let quarter = half.checked_div(params.step_denominator.saturating_mul(4)).unwrap_or(half);
        // Checked parameters have a step of at least one.
        let step = quarter.max(params.step_min.micro_fen()).max(1);
        blocks = blocks.saturating_add(rate.saturating_sub(half).div_ceil(step));
        rate = half;
    }
    blocks
}
