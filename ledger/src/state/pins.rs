//! Which wallets are held where they are: an open lock or offer names them. And which of those that are at home on a child, and were
//! kept for a lock, nothing holds any longer. In memory only: the leaves of the state tree say the same, and every start gathers
//! them anew.
//!
//! Invariants: `counts` is what `open` says. `free` holds exactly the wallets that are here, belong to a child, were passed
//! (`has_passed`) and have no count. A wallet that something pins is here: only what is free, or what the cursor finds unpinned,
//! moves.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::head::Moving;
use super::id_tree::IdTree;
use super::writes::{StateWrites, Undo};
use crate::records::{LockState, OfferState, Record, WalletRecord, WalletStatus};
use crate::rules::ChainRules;
use crate::values::{Slot, WalletId};

/// The pinned wallets of a chain, and those that may follow the others to a child.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// The parties of each open lock and offer, by its slot.
    open: BTreeMap<Slot, [WalletId; 2]>,
    /// How many of them name a wallet; none is zero.
    counts: BTreeMap<WalletId, u32>,
    /// Kept for a lock that is over.
    free: BTreeMap<Slot, WalletId>,
}

/// By what it is judged whether a wallet may leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) rules: &'a ChainRules,
    pub(crate) moving: Option<Moving>,
}

/// The wallets of this chain that a record holds, as long as it is open.
const fn parties(record: &Record) -> Option<[WalletId; 2]> {
    match record {
        Record::Lock(lock) => match lock.state {
            LockState::Open => Some([lock.payer, lock.payee]),
            LockState::Settled { .. } | LockState::Returned { .. } => None,
        },
        Record::Offer(offer) => match offer.state {
            OfferState::Open => Some([offer.asked.payer, offer.asked.payee]),
            OfferState::Accepted | OfferState::Cancelled { .. } => None,
        },
        Record::Wallet(_) | Record::FeePool { .. } | Record::Suspense { .. } => None,
    }
}

/// Whether a wallet's record is where the wallet is.
#[must_use]
pub(crate) const fn is_here(wallet: &WalletRecord) -> bool {
    match wallet.status {
        WalletStatus::Active | WalletStatus::Frozen | WalletStatus::Closed => true,
        WalletStatus::Moved { .. } => false,
    }
}

impl Ground<'_> {
    /// Whether the cursor that moves wallets will not come to this one (again), though it belongs to a child.
    fn has_passed(&self, slot: Slot, wallet: &WalletId) -> bool {
        let Some(child) = self.rules.child_of(wallet) else { return false };
        // Older children have been passed all of theirs; a younger one waits for its turn.
        self.moving.is_none_or(|moving| match child.cmp(&moving.to) {
            Ordering::Less => true,
            Ordering::Equal => slot.0 < moving.next || slot.0 >= moving.until,
            Ordering::Greater => false,
        })
    }
}

impl Pins {
    /// Whether an open lock or offer names the wallet.
    #[must_use]
    pub fn is_pinned(&self, wallet: &WalletId) -> bool {
        self.counts.contains_key(wallet)
    }

    /// The slots of open locks and offers that name a wallet, from one slot on: at most `found_max` of them, of at most `looked_max` that are
    /// looked at. The second is the slot to go on from; none where all were looked at.
    #[must_use]
    pub fn naming(
        &self,
        wallet: &WalletId,
        from: Slot,
        found_max: usize,
        looked_max: usize,
    ) -> (Vec<Slot>, Option<Slot>) {
        let mut found = Vec::new();
        if !self.is_pinned(wallet) {
            return (found, None);
        }
        for (looked, (slot, parties)) in self.open.range(from..).enumerate() {
            if looked >= looked_max || found.len() >= found_max {
                return (found, Some(*slot));
            }
            if parties.contains(wallet) {
                found.push(*slot);
            }
        }
        (found, None)
    }

    /// Wallets that were kept and that nothing holds any longer, in slot order.
    pub fn free(&self) -> impl Iterator<Item = WalletId> {
        self.free.values().copied()
    }

    /// Takes a record in that a store holds; [`Self::gathered`] follows the last one.
    pub(crate) fn gather(&mut self, slot: Slot, record: &Record, ground: Ground<'_>) {
        self.insert(slot, record, &mut BTreeSet::new());
        if let Record::Wallet(wallet) = record
            && is_here(wallet)
            && ground.has_passed(slot, &wallet.id)
        {
            self.free.insert(slot, wallet.id);
        }
    }

    /// All locks are known now.
    pub(crate) fn gathered(&mut self) {
        let Self { free, counts, .. } = self;
        free.retain(|_, wallet| !counts.contains_key(wallet));
    }

    /// Follows what a height changed. `ground` and `ids` are those after it.
    pub(crate) fn apply(&mut self, writes: &StateWrites, undo: &Undo, ground: Ground<'_>, ids: &IdTree) {
        let mut changed = BTreeSet::new();
        for (slot, _) in undo.records.iter().filter(|(_, record)| parties(record).is_some()) {
            self.remove(*slot, &mut changed);
        }
        for (slot, record) in &writes.records {
            self.insert(*slot, record, &mut changed);
        }
        self.judge(&writes.records, changed, ground, ids);
    }

    /// Takes the last height back. `ground` and `ids` are those before it. What is closed never opens again, so only new records can
    /// have come in.
    pub(crate) fn undo(&mut self, undo: &Undo, ground: Ground<'_>, ids: &IdTree) {
        let mut changed = BTreeSet::new();
        let first = Slot(undo.head.records);
        let opened: Vec<Slot> = self.open.range(first..).map(|(slot, _)| *slot).collect();
        for slot in opened {
            self.remove(slot, &mut changed);
        }
        self.free.split_off(&first);
        for (slot, record) in &undo.records {
            self.insert(*slot, record, &mut changed);
        }
        self.judge(&undo.records, changed, ground, ids);
    }

    fn insert(&mut self, slot: Slot, record: &Record, changed: &mut BTreeSet<WalletId>) {
        let Some(parties) = parties(record) else { return };
        if self.open.insert(slot, parties).is_none() {
            for wallet in parties {
                let count = self.counts.entry(wallet).or_default();
                *count = count.saturating_add(1);
                changed.insert(wallet);
            }
        }
    }

    fn remove(&mut self, slot: Slot, changed: &mut BTreeSet<WalletId>) {
        for wallet in self.open.remove(&slot).into_iter().flatten() {
            match self.counts.get_mut(&wallet) {
                Some(count) if *count > 1 => *count = count.saturating_sub(1),
                _ => {
                    self.counts.remove(&wallet);
                }
            }
            changed.insert(wallet);
        }
    }

    /// Says anew which are free, of the wallets among `records` and of those whose pins have `changed`.
    ///
    /// The records of the latter are not read. One that is not among `records` is where it was before the height, and something pins it
    /// before or after the height, so it is here: no lock or offer is made that names a wallet elsewhere
    /// (`Working::check_stays`), and what is pinned does not move.
    fn judge(
        &mut self,
        records: &[(Slot, Record)],
        changed: BTreeSet<WalletId>,
        ground: Ground<'_>,
        ids: &IdTree,
    ) {
        if self.free.is_empty() && !ground.rules.has_children() {
            return;
        }
        let placed = changed.into_iter().filter_map(|wallet| Some((ids.slot(&wallet.into())?, wallet, true)));
        let written = records.iter().filter_map(|(slot, record)| match record {
            Record::Wallet(wallet) => Some((*slot, wallet.id, is_here(wallet))),
            _ => None,
        });
        // What is known of a record that was written comes last.
        for (slot, wallet, is_here) in placed.chain(written) {
            if is_here && !self.is_pinned(&wallet) && ground.has_passed(slot, &wallet) {
                self.free.insert(slot, wallet);
            } else {
                self.free.remove(&slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{LockKind, LockRecord};
    use crate::values::{Amount, LockId, TimestampMs};

    #[test]
    fn locks_are_listed_by_wallet_in_bounded_steps() {
        let (one, two, three) = (WalletId([1; 32]), WalletId([2; 32]), WalletId([3; 32]));
        let lock = |payer: WalletId, payee: WalletId, state: LockState| {
            Record::Lock(LockRecord {
                id: LockId([9; 32]),
                payer,
                payee,
                amount: Amount::from_fen(1),
                deadline: TimestampMs(1),
                kind: LockKind::Hash { hash: [7; 32] },
                state,
            })
        };
        let mut pins = Pins::default();
        let mut changed = BTreeSet::new();
        let open = LockState::Open;
        let returned = LockState::Returned { code: 1 };
        for (slot, record) in (10_u64..).zip([
            lock(one, two, open),
            lock(two, three, open),
            lock(three, one, open),
            lock(one, two, returned),
            lock(two, one, open),
        ]) {
            pins.insert(Slot(slot), &record, &mut changed);
        }
        let slots = |slots: &[u64]| slots.iter().copied().map(Slot).collect::<Vec<_>>();
        assert_eq!(
            pins.naming(&one, Slot(0), 9, 9),
            (slots(&[10, 12, 14]), None),
            "what is over names nobody"
        );
        assert_eq!(pins.naming(&one, Slot(0), 2, 9), (slots(&[10, 12]), Some(Slot(14))));
        assert_eq!(pins.naming(&one, Slot(14), 2, 9), (slots(&[14]), None));
        assert_eq!(pins.naming(&one, Slot(0), 9, 2), (slots(&[10]), Some(Slot(12))), "looked at two");
        assert_eq!(pins.naming(&three, Slot(13), 9, 9), (slots(&[]), None));
        assert_eq!(pins.naming(&WalletId([4; 32]), Slot(0), 9, 0), (slots(&[]), None), "pinned by nothing");
    }
}
