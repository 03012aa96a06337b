//! What waits in the simulated market, in the pool's own order: tip per weight, then maximal fee per weight, then arrival.

use fees::{Backlog, Waiting};
use ledger::values::FeeRate;

/// Most bids that wait; the lowest go first.
pub(crate) const BIDS_MAX: usize = 20_000;

/// Payments that one bidder submits together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bid {
    /// Tip, millionths of a fen per weight.
    pub(crate) tip_rate: u64,
    /// Maximal fee, millionths of a fen per weight.
    pub(crate) fee_rate: u64,
    /// Weight.
    pub(crate) weight: u64,
    /// The block before which it came.
    pub(crate) entered: u32,
    /// It gives up before this block.
    pub(crate) leaves: u32,
    /// What it offered in all when it came: base fee then plus tip, at most its maximum.
    pub(crate) offered_rate: u64,
}

/// What happened to the queue at a block.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Bids in the block.
    pub(crate) included: Vec<Bid>,
    /// Bids that gave up, or found no place.
    pub(crate) left: Vec<Bid>,
    /// Weight of the block.
    pub(crate) weight: u64,
    /// Where a bid that could pay found no room: the last bid that did, tip and maximal fee.
    pub(crate) margin: Option<(u64, u64)>,
}

/// The queue, best bid first.
#[derive(Debug, Default, Clone)]
pub(crate) struct Queue {
    bids: Vec<Bid>,
}

impl Queue {
    /// Adds what arrived.
    pub(crate) fn add(&mut self, arrivals: &[Bid]) {
        self.bids.extend_from_slice(arrivals);
        // Stable: equal bids stay in the order of their arrival.
        self.bids.sort_by_key(|bid| std::cmp::Reverse((bid.tip_rate, bid.fee_rate)));
    }

    /// Fills a block: the best bids that can pay the base fee, until one finds no room.
    pub(crate) fn take(&mut self, block: u32, base_fee: u64, weight_max: u64) -> Taken {
        let mut taken = Taken::default();
        let mut last = (u64::MAX, u64::MAX);
        let mut position = 0;
        self.bids.retain(|bid| {
            position += 1;
            if bid.leaves <= block || position > BIDS_MAX {
                taken.left.push(*bid);
                return false;
            }
            if bid.fee_rate < base_fee || taken.margin.is_some() {
                return true;
            }
            if taken.weight + bid.weight > weight_max {
                taken.margin = Some(last);
                return true;
            }
            taken.weight += bid.weight;
            last = (bid.tip_rate, bid.fee_rate);
            taken.included.push(*bid);
            false
        });
        taken
    }

    /// What waits.
    pub(crate) fn bids(&self) -> &[Bid] {
        &self.bids
    }

    /// What the estimator is told.
    pub(crate) fn backlog(&self) -> Backlog {
        Backlog::of(self.bids.iter().map(|bid| Waiting {
            tip_rate: FeeRate::from_micro_fen(bid.tip_rate),
            fee_rate: FeeRate::from_micro_fen(bid.fee_rate),
            weight: bid.weight,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(tip_rate: u64, fee_rate: u64, entered: u32) -> Bid {
        Bid { tip_rate, fee_rate, weight: 10, entered, leaves: 9, offered_rate: tip_rate }
    }

    #[test]
    fn the_best_that_can_pay_go_first_and_the_last_of_them_is_the_margin() {
        let mut queue = Queue::default();
        let (rich, early, late) = (bid(0, 900, 0), bid(0, 500, 1), bid(0, 500, 2));
        queue.add(&[early, bid(7, 90, 0), late, rich]);
        let taken = queue.take(3, 100, 20);
        // The tip of 7 cannot pay a base fee of 100.
        assert_eq!(taken.included, [rich, early]);
        assert_eq!((taken.weight, taken.margin), (20, Some((0, 500))));
        let next = queue.take(4, 80, 20);
        assert_eq!((next.included, next.margin), (vec![bid(7, 90, 0), late], None));
    }

    #[test]
    fn who_has_no_patience_left_leaves() {
        let mut queue = Queue::default();
        queue.add(&[bid(0, 10, 0)]);
        assert!(queue.take(8, 100, 20).left.is_empty());
        assert_eq!(queue.take(9, 5, 20).left, [bid(0, 10, 0)]);
        assert!(queue.bids().is_empty());
    }
}
