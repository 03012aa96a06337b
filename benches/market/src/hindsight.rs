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

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks every 50 ms, certified 200 ms later.
    fn blocks(of: &[(u64, Option<(u64, u64)>)]) -> Vec<Made> {
        of.iter()
            .zip(1..)
            .map(|((base_fee, margin), number)| Made {
                at_ms: number * 50,
                certified_ms: number * 50 + 200,
                base_fee: *base_fee,
                weight: 0,
                margin: *margin,
                tip_p60: 0,
            })
            .collect()
    }

    fn question(within_ms: u64) -> Question {
        Question { at_ms: 0, block: 0, weight: 1_000, within_ms }
    }

    #[test]
    fn a_low_ceiling_waits_and_a_full_block_asks_for_more_than_its_last_bid() {
        let made = blocks(&[(9_000, None), (5_000, Some((2_000, 1_000_000))), (6_000, None)]);
        let bid = |fee_max, tip| {
            let fate = fate(&made, &question(1_000), Amount::from_fen(fee_max), Amount::from_fen(tip));
            fate.map(|fate| (fate.charged, fate.took_ms))
        };
        assert_eq!(bid(20, 0), Some((9, 250)));
        assert_eq!(bid(6, 0), Some((6, 350)));
        assert_eq!(bid(8, 3), Some((8, 300)));
        assert_eq!(bid(4, 0), None);
    }

    #[test]
    fn the_least_is_the_cheapest_block_in_time_with_the_tip_that_it_took() {
        let made = blocks(&[(9_000, None), (5_000, Some((2_000, 1_000_000))), (6_000, None)]);
        assert_eq!(least(&made, &question(249)), None);
        assert_eq!(least(&made, &question(250)), Some(9));
        assert_eq!(least(&made, &question(300)), Some(7));
        assert_eq!(least(&made, &question(350)), Some(6));
    }
}
