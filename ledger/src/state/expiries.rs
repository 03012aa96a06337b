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
