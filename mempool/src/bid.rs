//! What a transaction bids, as the pool compares it.

use std::cmp::Reverse;

use ledger::records::FeeBid;
use ledger::values::{Amount, FeeRate};

/// A bid per unit of weight. Whoever tips more comes first; among equals whoever may be charged more, as it can pay the base fee longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bid {
    /// Tip per weight.
    pub(crate) tip: FeeRate,
    /// The highest base fee that its payer can pay for it besides its whole tip; without limit for a wallet of an exempt tier.
    pub(crate) ceiling: FeeRate,
}

/// Place in a queue: the first is the smallest. A later arrival comes after an equal bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) bid: Reverse<Bid>,
    pub(crate) arrival: u64,
}

/// A bid replaces another of the same nonce when it offers a tenth more.
const REPLACEMENT_PERCENT: u128 = 110;

impl Bid {
    /// Of a transaction of this weight whose payer has `funds` for it, at most its `fee_max`.
    pub(crate) fn new(fee: &FeeBid, funds: Amount, weight: u64, is_exempt: bool) -> Self {
        let ceiling = match is_exempt {
            true => FeeRate::from_micro_fen(u64::MAX),
            false => FeeRate::of_bid(funds.minus(fee.tip).unwrap_or(Amount::ZERO), weight),
        };
        Self { tip: FeeRate::per_weight(fee.tip, weight), ceiling }
    }
}

/// The highest base fee that a bid can pay for this weight, besides its whole tip: whoever is placed by a tip pays it.
#[must_use]
pub fn highest_base_fee(fee: &FeeBid, weight: u64) -> FeeRate {
    FeeRate::of_bid(fee.fee_max.minus(fee.tip).unwrap_or(Amount::ZERO), weight)
}

/// Whether `new` may take the place of `old`, a transaction with the same nonce: it offers at least a tenth more as tip or at most, and
/// nothing less. So a sender cannot make every node check its transaction over and over for nothing.
pub(crate) fn replaces(new: &FeeBid, old: &FeeBid) -> bool {
    let is_raised = |new: Amount, old: Amount| {
        new > old && u128::from(new.fen()) * 100 >= u128::from(old.fen()) * REPLACEMENT_PERCENT
    };
    new.fee_max >= old.fee_max
        && new.tip >= old.tip
        && (is_raised(new.fee_max, old.fee_max) || is_raised(new.tip, old.tip))
}

#[cfg(test)]
mod tests {
    use ledger::values::OperatorId;

    use super::*;

    fn fee(fee_max: u64, tip: u64) -> FeeBid {
        let [fee_max, tip] = [fee_max, tip].map(Amount::from_fen);
        FeeBid { fee_max, tip, operator: OperatorId(0), sponsor: None }
    }

    #[test]
    fn tips_come_first_then_ceilings() {
        let bid =
            |fee_max, tip, weight| Bid::new(&fee(fee_max, tip), Amount::from_fen(fee_max), weight, false);
        let mut bids = [bid(9, 0, 100), bid(9, 2, 200), bid(3, 2, 100), bid(4, 2, 200), bid(0, 0, 100)];
        bids.sort_by_key(|bid| Reverse(*bid));
        assert_eq!(bids, [bid(3, 2, 100), bid(9, 2, 200), bid(4, 2, 200), bid(9, 0, 100), bid(0, 0, 100)]);
        assert_eq!(bid(0, 0, 100).tip, FeeRate::ZERO);
        assert!(Bid::new(&fee(0, 0), Amount::ZERO, 100, true).ceiling > bid(1_000_000, 0, 1).ceiling);
        // Whoever has less than it bids can pay no more than it has.
        let poor = Bid::new(&fee(9, 2), Amount::from_fen(5), 100, false);
        assert_eq!((poor.tip, poor.ceiling), (bid(9, 2, 100).tip, bid(5, 2, 100).ceiling));
        // What it can pay is what the ledger lets it pay.
        let ceiling = bid(9, 2, 333).ceiling;
        let above = FeeRate::from_micro_fen(ceiling.micro_fen() + 1);
        assert_eq!([ceiling, above].map(|rate| rate.due(333).fen()), [7, 8]);
    }

    #[test]
    fn a_tenth_more_replaces_and_nothing_may_fall() {
        let old = fee(100, 10);
        for (fee_max, tip, is_replaced) in [
            (110, 10, true),
            (100, 11, true),
            (109, 10, false),
            (100, 10, false),
            (200, 9, false),
            (99, 20, false),
            (200, 20, true),
        ] {
            assert_eq!(replaces(&fee(fee_max, tip), &old), is_replaced, "{fee_max} {tip}");
        }
        assert!(replaces(&fee(1, 0), &fee(0, 0)) && !replaces(&fee(0, 0), &fee(0, 0)));
    }
}
