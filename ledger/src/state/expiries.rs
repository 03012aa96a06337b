//! The open deadlines of a chain: of hash locks and of offers, in the order in which they come due. In memory only: the leaves of the
//! state tree say the same, and every start gathers them anew.

use std::collections::BTreeSet;

use super::shares::{Share, Shares};
use super::writes::{StateWrites, Undo};
use crate::records::{LockKind, LockState, OfferState, Record};
use crate::values::{LockId, Slot, TimestampMs, WalletId};

/// Most deadlines that one block brings to their end; the others follow in the next ones.
pub const EXPIRIES_PER_BLOCK_MAX: usize = 1_024;

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
    /// What it counts among.
    pub share: Share,
}

/// All open deadlines, and how many of each share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiries {
    pending: BTreeSet<Pending>,
    shares: Shares,
}

impl Pending {
    /// The deadline that a record waits for. An exchange's lock has none: its offer has.
    #[must_use]
    pub const fn of(slot: Slot, record: &Record) -> Option<Self> {
        match record {
            Record::Lock(lock) => match (lock.kind, lock.state) {
                (LockKind::Hash { .. }, LockState::Open) => {
                    let (payer, share) = (Some(lock.payer), Share::Locks);
                    Some(Self { deadline: lock.deadline, id: lock.id, slot, payer, share })
                }
                _ => None,
            },
            Record::Offer(offer) => match offer.state {
                OfferState::Open => {
                    let share = Share::Offers(offer.source);
                    Some(Self { deadline: offer.deadline, id: offer.id, slot, payer: None, share })
                }
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
        self.pending.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many of each share.
    #[must_use]
    pub const fn shares(&self) -> &Shares {
        &self.shares
    }

    /// The first of those that lie before `moment`, at most [`EXPIRIES_PER_BLOCK_MAX`].
    #[must_use]
    pub fn due(&self, moment: Option<TimestampMs>) -> Vec<Pending> {
        let is_due = |pending: &&Pending| moment.is_some_and(|moment| pending.deadline < moment);
        self.pending.iter().take_while(is_due).take(EXPIRIES_PER_BLOCK_MAX).copied().collect()
    }

    /// Takes a record in that a store holds.
    pub(crate) fn gather(&mut self, slot: Slot, record: &Record) {
        if let Some(pending) = Pending::of(slot, record)
            && self.pending.insert(pending)
        {
            self.shares.add(pending.share);
        }
    }

    /// Follows what a height changed.
    pub(crate) fn apply(&mut self, writes: &StateWrites, undo: &Undo) {
        for pending in undo.records.iter().filter_map(|(slot, record)| Pending::of(*slot, record)) {
            if self.pending.remove(&pending) {
                self.shares.remove(pending.share);
            }
        }
        for (slot, record) in &writes.records {
            self.gather(*slot, record);
        }
    }

    /// Takes the last height back. What is closed never opens again, so only new records can have come in.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        if !undo.opened.is_empty() {
            let Self { pending, shares } = self;
            pending.retain(|pending| {
                let stays = pending.slot.0 < undo.head.records;
                if !stays {
                    shares.remove(pending.share);
                }
                stays
            });
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

    /// A deadline that is gathered twice counts once.
    #[test]
    fn what_is_open_is_counted_by_share() {
        let mut expiries = Expiries::default();
        for slot in [1, 2, 2] {
            expiries.gather(Slot(slot), &offer(slot as u8, 20, OfferState::Open));
        }
        expiries.gather(Slot(3), &offer(3, 20, OfferState::Accepted));
        let shares = expiries.shares();
        assert_eq!((expiries.len(), shares.count(Share::Offers(ChainId(1)))), (2, 2));
        assert_eq!((shares.count(Share::Offers(ChainId(2))), shares.count(Share::Locks)), (0, 0));
    }
}
