//! Percentile of history: what wallets make of `eth_feeHistory`.
//!
//! The tip is the middle, over the last 20 blocks, of what the payment at 60 % of each block's weight tipped; the ceiling is
//! twice the base fee plus the tip. It promises always: it does not know how sure it is.

use ledger::values::{Amount, FeeRate};

use crate::world::World;

const BLOCKS: usize = 20;

/// Ceiling and tip for a payment of this weight.
pub(crate) fn bid(world: &World, weight: u64) -> (Amount, Amount) {
    let mut tips: Vec<u64> = world.made.iter().rev().take(BLOCKS).map(|made| made.tip_p60).collect();
    tips.sort_unstable();
    let tip_rate = tips.get(tips.len() / 2).copied().unwrap_or(0);
    // Rounded up: a tip of a part of a fen is one.
    let tip = Amount::from_fen((u128::from(tip_rate) * u128::from(weight)).div_ceil(1_000_000) as u64);
    let ceiling = FeeRate::from_micro_fen(2 * world.base_fee + tip_rate).due(weight);
    (Amount::from_fen(ceiling.fen().max(tip.fen())), tip)
}
