//! What became of a bid, and what would have been the best one.
//!
//! A question's payment weighs next to nothing beside a block, so it changes nobody else's fate: what would have become of any
//! bid is read from the blocks as they were made.

use ledger::values::{Amount, FeeRate};

use crate::world::{Made, Question};

/// What a bid came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Base fee and tip that were charged, in fen.
    pub(crate) charged: u64,
    /// From submission to certified.
    pub(crate) took_ms: u64,
}

/// What becomes of a bid; nothing if no block of the run takes it.
pub(crate) fn fate(made: &[Made], question: &Question, fee_max: Amount, tip: Amount) -> Option<Fate> {
    let tip_rate = (u128::from(tip.fen()) * 1_000_000 / u128::from(question.weight)) as u64;
    let fee_rate = FeeRate::of_bid(fee_max, question.weight).micro_fen();
    made[question.block as usize..].iter().find_map(|block| {
        let due = FeeRate::from_micro_fen(block.base_fee).due(question.weight);
        let left = fee_max.minus(due)?;
        // Equal bids came before it.
        let has_room = block.margin.is_none_or(|margin| (tip_rate, fee_rate) > margin);
        has_room.then(|| Fate {
            charged: due.fen() + left.min(tip).fen(),
            took_ms: block.certified_ms - question.at_ms,
        })
    })
}

/// The least that would have been charged to be certified in time: the cheapest block of those in time, with no more tip than
/// it took to beat the last bid that found room there. Nothing if no block was in time.
pub(crate) fn least(made: &[Made], question: &Question) -> Option<u64> {
    made[question.block as usize..]
        .iter()
        .take_while(|block| block.at_ms <= question.at_ms + question.within_ms)
        .filter(|block| block.certified_ms <= question.at_ms + question.within_ms)
        .map(|block| {
            let due = FeeRate::from_micro_fen(block.base_fee).due(question.weight);
            // At an equal tip the higher ceiling wins, and a ceiling costs nothing.
            let tip = block.margin.map_or(0, |(tip_rate, _)| {
                (u128::from(tip_rate) * u128::from(question.weight)).div_ceil(1_000_000) as u64
            });
            due.fen() + tip
        })
        .min()
}
