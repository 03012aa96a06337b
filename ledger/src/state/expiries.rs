//! The open deadlines of a chain: of hash locks and of offers, in the order in which they come due. In memory only: the leaves of the
//! state tree say the same, and every start gathers them anew.

use std::collections::BTreeSet;

use super::writes::{StateWrites, Undo};
use crate::records::{LockKind, LockState, OfferState, Record};
use crate::values::{LockId, Slot, TimestampMs, WalletId};

/// Most open deadlines of a chain: bounds memory (some 100 bytes each).
pub const PENDING_MAX: usize = 1 << 20;
/// Most deadlines that one block brings to their end; the others follow in the next ones.
pub const EXPIRIES_PER_BLOCK_MAX: usize = 1_024;

/// Whether a chain with so many open deadlines takes one more.
#[must_use]
pub const fn has_room(pending: usize) -> bool {
    pending < PENDING_MAX
}

/// An open deadline. The order is that in which they come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// The deadline.
    pub deadline: TimestampMs,
    /// The lock or offer.
    pub id: LockId,
    /// Its slot.
    pub slot: Slot,
    /// Who gets a lock's money back; an offer holds none.
    pub payer: Option<WalletId>,
}

/// All open deadlines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiries(BTreeSet<Pending>);

impl Pending {
    /// The deadline that a record waits for. An exchange's lock has none: its offer has.
    #[must_use]
    pub const fn of(slot: Slot, record: &Record) -> Option<Self> {
        match record {
            Record::Lock(lock) => match (lock.kind, lock.state) {
                (LockKind::Hash { .. }, LockState::Open) => {
                    Some(Self { deadline: lock.deadline, id: lock.id, slot, payer: Some(lock.payer) })
                }
                _ => None,
            },
            Record::Offer(offer) => match offer.state {
                OfferState::Open => Some(Self { deadline: offer.deadline, id: offer.id, slot, payer: None }),
                OfferState::Accepted | OfferState::Cancelled { .. } => None,
            },
            Record::Wallet(_) | Record::FeePool { .. } | Record::Suspense { .. } => None,
        }
    }
}

impl Expiries {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of those that lie before `moment`, at most [`EXPIRIES_PER_BLOCK_MAX`].
    #[must_use]
    pub fn due(&self, moment: Option<TimestampMs>) -> Vec<Pending> {
        let is_due = |pending: &&Pending| moment.is_some_and(|moment| pending.deadline < moment);
        self.0.iter().take_while(is_due).take(EXPIRIES_PER_BLOCK_MAX).copied().collect()
    }

    /// Takes a record in that a store holds.
    pub(crate) fn gather(&mut self, slot: Slot, record: &Record) {
        self.0.extend(Pending::of(slot, record));
    }

    /// Follows what a height changed.
    pub(crate) fn apply(&mut self, writes: &StateWrites, undo: &Undo) {
        for pending in undo.records.iter().filter_map(|(slot, record)| Pending::of(*slot, record)) {
            self.0.remove(&pending);
        }
        for (slot, record) in &writes.records {
            self.gather(*slot, record);
        }
    }

    /// Takes the last height back. What is closed never opens again, so only new records can have come in.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        if !undo.opened.is_empty() {
            self.0.retain(|pending| pending.slot.0 < undo.head.records);
        }
        for (slot, record) in &undo.records {
            self.gather(*slot, record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Asked, OfferRecord};
    use crate::values::{Amount, ChainId};

    fn offer(number: u8, deadline: u64, state: OfferState) -> Record {
        let wallet = WalletId([number; 32]);
        Record::Offer(OfferRecord {
            id: LockId([number; 32]),
            source: ChainId(1),
            payer: wallet,
            payee: wallet,
            amount: Amount::from_fen(1),
            asked: Asked { payer: wallet, payee: wallet, amount: Amount::from_fen(1) },
            deadline: TimestampMs(deadline),
            state,
        })
    }

    #[test]
    fn deadlines_come_due_in_order_and_not_before_they_have_passed() {
        let mut expiries = Expiries::default();
        for (slot, (number, deadline)) in (0..).zip([(3, 20), (1, 20), (2, 10), (4, 21)]) {
            expiries.gather(Slot(slot), &offer(number, deadline, OfferState::Open));
        }
        expiries.gather(Slot(9), &offer(9, 1, OfferState::Accepted));
        let due = |moment: Option<u64>| -> Vec<u8> {
            expiries.due(moment.map(TimestampMs)).iter().map(|pending| pending.id.0[0]).collect()
        };
        let rows: [(Option<u64>, &[u8]); 6] = [
            (None, &[]),
            (Some(10), &[]),
            (Some(11), &[2]),
            (Some(20), &[2]),
            (Some(21), &[2, 1, 3]),
            (Some(u64::MAX), &[2, 1, 3, 4]),
        ];
        for (moment, expected) in rows {
            assert_eq!(due(moment), expected, "{moment:?}");
        }
    }

    #[test]
    fn a_chain_takes_no_more_open_deadlines_than_its_bound() {
        assert!(has_room(0) && has_room(PENDING_MAX - 1));
        assert!(!has_room(PENDING_MAX) && !has_room(usize::MAX));
    }
}
