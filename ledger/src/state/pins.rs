//! Which wallets are held where they are: an open lock or offer names them. And which of those that are at home on a child, and were
//! kept for a lock, nothing holds any longer. In memory only: the leaves of the state tree say the same, and every start gathers
//! them anew.
//!
//! Invariants: `counts` is what `open` says. `free` holds exactly the wallets that are here, belong to a child, were passed
//! ([`has_passed`]) and have no count. A wallet that something pins is here: only what is free, or what the cursor finds unpinned,
//! moves.

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
        self.moving.is_none_or(|moving| moving.to != child || slot.0 < moving.next || slot.0 >= moving.until)
    }
}

impl Pins {
    /// Whether an open lock or offer names the wallet.
    #[must_use]
    pub fn is_pinned(&self, wallet: &WalletId) -> bool {
        self.counts.contains_key(wallet)
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
