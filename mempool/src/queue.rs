//! What waits of one operator's customers, best bid first.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use ledger::values::{FeeRate, TimestampMs, TransactionId};

use crate::bid::Rank;

/// Its place in the queue, and what the turns need to know of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) id: TransactionId,
    pub(crate) weight: u64,
    pub(crate) bytes: usize,
    pub(crate) valid_until: TimestampMs,
    /// Whether a batch holds its nonce.
    pub(crate) is_held: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Rank, Waits>,
    weight: u64,
    /// Weight that it may still take of its turns; nothing is kept once it is empty.
    pub(crate) credit: u64,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Weight that waits.
    pub(crate) const fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn insert(&mut self, rank: Rank, waits: Waits) {
        self.weight = self.weight.saturating_add(waits.weight);
        self.waiting.insert(rank, waits);
    }

    pub(crate) fn remove(&mut self, rank: &Rank) {
        if let Some(waits) = self.waiting.remove(rank) {
            self.weight = self.weight.saturating_sub(waits.weight);
        }
    }

    pub(crate) fn mark(&mut self, rank: &Rank, is_held: bool) {
        if let Some(waits) = self.waiting.get_mut(rank) {
            waits.is_held = is_held;
        }
    }

    /// The best one after `last` that can pay the base fee; where there is one, not what is held or valid no longer than `valid_after`.
    pub(crate) fn next(
        &self,
        last: Option<Rank>,
        (base_fee, valid_after): (FeeRate, TimestampMs),
    ) -> Option<(Rank, Waits)> {
        let after = last.map_or(Unbounded, Excluded);
        let mut rest = self.waiting.range((after, Unbounded));
        let may_go =
            |waits: &Waits| base_fee.is_zero() || (!waits.is_held && waits.valid_until > valid_after);
        let next = rest.find(|(rank, waits)| rank.bid.0.ceiling >= base_fee && may_go(waits));
        next.map(|(rank, waits)| (*rank, *waits))
    }

    /// The lowest bids, the lowest first.
    pub(crate) fn lowest(&self) -> impl Iterator<Item = (&Rank, &Waits)> {
        self.waiting.iter().rev()
    }
}
