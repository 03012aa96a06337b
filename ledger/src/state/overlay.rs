//! The working copy of a block: every record that its transactions can touch, read at once, changed in
//! memory, written once. A hot wallet costs one read and one write per block.
//!
//! Invariants: `ids` is sorted and holds every wallet id that the block names; records of new wallets follow
//! the read ones in slot order.

use super::chain_state::SUSPENSE_SLOT;
use super::reader::ReadFault;
use crate::records::{Record, WalletRecord};
use crate::values::{Amount, Slot, WalletId};

/// Place of a record in the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

#[derive(Debug, Clone)]
struct Entry {
    slot: Slot,
    now: Record,
    /// As it was; `None` until the first change. Never set for new records.
    before: Option<Record>,
}

/// Typed working copy of the touched records.
#[derive(Debug, Clone)]
pub struct Overlay {
    ids: Vec<(WalletId, Option<Place>)>,
    entries: Vec<Entry>,
    read: usize,
    next_slot: u64,
    /// The suspense record's balance, as it was and as it is; where it may be touched.
    suspense: Option<(Amount, Amount)>,
}

/// What an overlay changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Changed and new records, ascending by slot.
    pub records: Vec<(Slot, Record)>,
    /// The changed ones as they were, ascending by slot.
    pub before: Vec<(Slot, Record)>,
    /// New wallets, ascending by slot.
    pub opened: Vec<(WalletId, Slot)>,
}

impl Overlay {
    /// Over `ids` (sorted, each once) and the wallets found for them; `next_slot` is the first free one, `suspense` the balance
    /// of the suspense record where it may be touched.
    ///
    /// # Errors
    /// [`ReadFault::Wallet`] when a record is not that of the wallet it was read for.
    pub fn new(
        ids: &[WalletId],
        found: Vec<Option<(Slot, WalletRecord)>>,
        next_slot: u64,
        suspense: Option<Amount>,
    ) -> Result<Self, ReadFault> {
        let mut placed: Vec<(Slot, usize, WalletRecord)> = Vec::with_capacity(ids.len());
        for (position, (id, wallet)) in ids.iter().zip(found).enumerate() {
            if let Some((slot, wallet)) = wallet {
                if wallet.id != *id || slot.0 >= next_slot {
                    return Err(ReadFault::Wallet { wallet: *id });
                }
                placed.push((slot, position, wallet));
            }
        }
        placed.sort_unstable_by_key(|(slot, ..)| *slot);
        let mut ids: Vec<_> = ids.iter().map(|id| (*id, None)).collect();
        let mut entries = Vec::with_capacity(placed.len());
        for (slot, position, wallet) in placed {
            if let Some((_, place)) = ids.get_mut(position) {
                *place = Some(Place(entries.len()));
            }
            entries.push(Entry { slot, now: Record::Wallet(wallet), before: None });
        }
        let suspense = suspense.map(|balance| (balance, balance));
        Ok(Self { ids, read: entries.len(), entries, next_slot, suspense })
    }

    /// Where a wallet is; `None` where it does not exist (yet).
    #[must_use]
    pub fn find(&self, id: &WalletId) -> Option<Place> {
        let position = self.ids.binary_search_by_key(id, |(known, _)| *known).ok()?;
        self.ids.get(position).and_then(|(_, place)| *place)
    }

    /// The wallet at a place that [`Self::find`] or [`Self::open`] gave.
    #[must_use]
    pub fn wallet(&self, place: Place) -> Option<&WalletRecord> {
        match self.entries.get(place.0) {
            Some(Entry { now: Record::Wallet(wallet), .. }) => Some(wallet),
            _ => None,
        }
    }

    /// The slot of the record at a place.
    #[must_use]
    pub fn slot(&self, place: Place) -> Slot {
        self.entries.get(place.0).map_or(Slot(u64::MAX), |entry| entry.slot)
    }

    /// The wallet at a place, to be changed.
    pub fn wallet_mut(&mut self, place: Place) -> Option<&mut WalletRecord> {
        let is_read = place.0 < self.read;
        let entry = self.entries.get_mut(place.0)?;
        if is_read && entry.before.is_none() {
            entry.before = Some(entry.now.clone());
        }
        match &mut entry.now {
            Record::Wallet(wallet) => Some(wallet),
            Record::FeePool { .. } | Record::Suspense { .. } => None,
        }
    }

    /// Adds a wallet at the next free slot. Its id must be among those the overlay was made for and must not
    /// exist.
    pub fn open(&mut self, wallet: WalletRecord) -> Option<Place> {
        let position = self.ids.binary_search_by_key(&wallet.id, |(known, _)| *known).ok()?;
        let (_, place) = self.ids.get_mut(position)?;
        if place.is_some() {
            return None;
        }
        let new = Place(self.entries.len());
        *place = Some(new);
        self.entries.push(Entry { slot: Slot(self.next_slot), now: Record::Wallet(wallet), before: None });
        self.next_slot = self.next_slot.saturating_add(1);
        Some(new)
    }

    /// Adds a wallet that the overlay was not made for; the rules see to it that it cannot exist before.
    pub fn open_unread(&mut self, wallet: WalletRecord) -> Option<Place> {
        if let Err(place) = self.ids.binary_search_by_key(&wallet.id, |(known, _)| *known) {
            self.ids.insert(place, (wallet.id, None));
        }
        self.open(wallet)
    }

    /// Puts money into the suspense record. (Were it not read, the supply equation would not hold and the block would not be
    /// executed.)
    pub fn add_to_suspense(&mut self, amount: Amount) {
        if let Some((_, balance)) = &mut self.suspense {
            *balance = balance.plus(amount).unwrap_or(*balance);
        }
    }

    /// The first free slot.
    #[must_use]
    pub const fn next_slot(&self) -> u64 {
        self.next_slot
    }

    /// What changed. A record that was changed back to what it was still counts.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        let mut changes = Changes { records: Vec::new(), before: Vec::new(), opened: Vec::new() };
        if let Some((before, now)) = self.suspense.filter(|(before, now)| before != now) {
            changes.before.push((SUSPENSE_SLOT, Record::Suspense { balance: before }));
            changes.records.push((SUSPENSE_SLOT, Record::Suspense { balance: now }));
        }
        for (position, entry) in self.entries.into_iter().enumerate() {
            if position >= self.read {
                if let Record::Wallet(wallet) = &entry.now {
                    changes.opened.push((wallet.id, entry.slot));
                }
                changes.records.push((entry.slot, entry.now));
            } else if let Some(before) = entry.before {
                changes.before.push((entry.slot, before));
                changes.records.push((entry.slot, entry.now));
            }
        }
        changes
    }
}
