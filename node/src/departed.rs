//! Transactions that were taken in here and left without an outcome: what a client that asks is told.
//!
//! They ran out of time, were outbid, or were ordered and consumed no nonce. The newest [`DEPARTED_MAX`] are remembered, in memory only:
//! after a restart, and of older ones, the node knows no more than of a transaction that it never saw.

use std::collections::{BTreeMap, VecDeque};

use ledger::records::NotExecuted;
use ledger::values::{TimestampMs, TransactionId};

/// Transactions remembered after they left.
pub(crate) const DEPARTED_MAX: usize = 1 << 16;

/// Why a transaction left, where its time had not run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was ordered and consumed no nonce.
    NotExecuted(NotExecuted),
    /// It lost its place in the pool to another bid.
    Outbid,
}

/// A transaction that has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WithoutOutcome {
    /// The last block time at which it may execute.
    pub(crate) valid_until: TimestampMs,
    /// Whether it waits in the pool, in a batch or in a block.
    pub(crate) is_pending: bool,
    /// Why it left; none where its time ran out.
    pub(crate) reason: Option<Reason>,
}

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    left: BTreeMap<TransactionId, WithoutOutcome>,
    order: VecDeque<TransactionId>,
}

impl Departed {
    pub(crate) fn get(&self, id: &TransactionId) -> Option<WithoutOutcome> {
        self.left.get(id).copied()
    }

    /// Remembers one more, and forgets the oldest above the bound. A later reason replaces an earlier one.
    pub(crate) fn insert(&mut self, id: TransactionId, valid_until: TimestampMs, reason: Option<Reason>) {
        let earlier = self.left.insert(id, WithoutOutcome { valid_until, is_pending: false, reason });
        if earlier.is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > DEPARTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.left.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> TransactionId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        TransactionId(bytes)
    }

    #[test]
    fn the_newest_are_remembered_once_each() {
        let mut departed = Departed::default();
        let reason = Reason::NotExecuted(NotExecuted::WalletUnknown {});
        departed.insert(id(0), TimestampMs(5), None);
        departed.insert(id(0), TimestampMs(5), Some(reason));
        assert_eq!(departed.get(&id(0)).unwrap().reason, Some(reason));
        for number in 1..=DEPARTED_MAX {
            departed.insert(id(number), TimestampMs(5), None);
            assert!(departed.left.len() <= DEPARTED_MAX && departed.order.len() == departed.left.len());
        }
        assert_eq!((departed.get(&id(0)), departed.left.len()), (None, DEPARTED_MAX));
        assert!(departed.get(&id(1)).is_some() && departed.get(&id(DEPARTED_MAX)).is_some());
    }
}
