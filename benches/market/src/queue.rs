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
#[derive(Debug, Default)]
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
