//! The working copy of a block: every record that it can touch, read at once, changed in memory, written once. A hot wallet costs
//! one read and one write per block.
//!
//! Invariants: `ids` is sorted and holds the name of every record that the block can touch; new records follow the read ones in slot
//! order.

use super::chain_state::{FEE_POOL_SLOT, SUSPENSE_SLOT};
use super::reader::ReadFault;
use crate::records::{LockRecord, OfferRecord, Record, WalletRecord};
use crate::values::{Amount, LockId, RecordId, Slot, WalletId};

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
    ids: Vec<(RecordId, Option<Place>)>,
    entries: Vec<Entry>,
    read: usize,
    next_slot: u64,
    /// The fee pool's balance, as it was and as it is; where it may be touched.
    fee_pool: Option<(Amount, Amount)>,
    /// The suspense record's, likewise.
    suspense: Option<(Amount, Amount)>,
}

/// Balances of the two records without a name, where a block may touch them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pots {
    /// Of the fee pool.
    pub fee_pool: Option<Amount>,
    /// Of the suspense record.
    pub suspense: Option<Amount>,
}

/// What an overlay changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Changed and new records, ascending by slot.
    pub records: Vec<(Slot, Record)>,
    /// The changed ones as they were, ascending by slot.
    pub before: Vec<(Slot, Record)>,
    /// New names, ascending by slot.
    pub opened: Vec<(RecordId, Slot)>,
}

impl Overlay {
    /// Over `ids` (sorted, each once) and the records found for them; `next_slot` is the first free one.
    ///
    /// # Errors
    /// [`ReadFault::Record`] when a record is not the one it was read for.
    pub fn new(
        ids: &[RecordId],
        found: Vec<Option<(Slot, Record)>>,
        next_slot: u64,
        pots: Pots,
    ) -> Result<Self, ReadFault> {
        let mut placed: Vec<(Slot, usize, Record)> = Vec::with_capacity(ids.len());
        for (position, (id, record)) in ids.iter().zip(found).enumerate() {
            if let Some((slot, record)) = record {
                if record.id() != Some(*id) || slot.0 >= next_slot {
                    return Err(ReadFault::Record { id: *id });
                }
                placed.push((slot, position, record));
            }
        }
        placed.sort_unstable_by_key(|(slot, ..)| *slot);
        let mut ids: Vec<_> = ids.iter().map(|id| (*id, None)).collect();
        let mut entries = Vec::with_capacity(placed.len());
        for (slot, position, record) in placed {
            if let Some((_, place)) = ids.get_mut(position) {
                *place = Some(Place(entries.len()));
            }
            entries.push(Entry { slot, now: record, before: None });
        }
        let as_read = |balance: Amount| (balance, balance);
        let (fee_pool, suspense) = (pots.fee_pool.map(as_read), pots.suspense.map(as_read));
        Ok(Self { ids, read: entries.len(), entries, next_slot, fee_pool, suspense })
    }

    /// Where the record of a name is; `None` where it does not exist (yet).
    #[must_use]
    pub fn place(&self, id: RecordId) -> Option<Place> {
        let position = self.ids.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        self.ids.get(position).and_then(|(_, place)| *place)
    }

    /// Where a wallet is; `None` where it does not exist (yet).
    #[must_use]
    pub fn find(&self, id: &WalletId) -> Option<Place> {
        self.place((*id).into()).filter(|place| self.wallet(*place).is_some())
    }

    /// Where a lock is, with its record; `None` where it does not exist (yet).
    #[must_use]
    pub fn find_lock(&self, id: LockId) -> Option<(Place, &LockRecord)> {
        let place = self.place(id.into())?;
        match self.record(place) {
            Some(Record::Lock(lock)) => Some((place, lock)),
            _ => None,
        }
    }

    /// Where an offer is, with its record; `None` where it does not exist (yet).
    #[must_use]
    pub fn find_offer(&self, id: LockId) -> Option<(Place, &OfferRecord)> {
        let place = self.place(id.into())?;
        match self.record(place) {
            Some(Record::Offer(offer)) => Some((place, offer)),
            _ => None,
        }
    }

    /// The record at a place.
    #[must_use]
    pub fn record(&self, place: Place) -> Option<&Record> {
        self.entries.get(place.0).map(|entry| &entry.now)
    }

    /// The wallet at a place.
    #[must_use]
    pub fn wallet(&self, place: Place) -> Option<&WalletRecord> {
        match self.record(place) {
            Some(Record::Wallet(wallet)) => Some(wallet),
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
        match self.record_mut(place) {
            Some(Record::Wallet(wallet)) => Some(wallet),
            _ => None,
        }
    }

    /// The record at a place, to be changed.
    pub fn record_mut(&mut self, place: Place) -> Option<&mut Record> {
        let is_read = place.0 < self.read;
        let entry = self.entries.get_mut(place.0)?;
        if is_read && entry.before.is_none() {
            entry.before = Some(entry.now.clone());
        }
        Some(&mut entry.now)
    }

    /// Adds a record at the next free slot. Its name must be among those the overlay was made for and must not exist.
    pub fn open(&mut self, record: Record) -> Option<Place> {
        let id = record.id()?;
        let position = self.ids.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        let (_, place) = self.ids.get_mut(position)?;
        if place.is_some() {
            return None;
        }
        let new = Place(self.entries.len());
        *place = Some(new);
        self.entries.push(Entry { slot: Slot(self.next_slot), now: record, before: None });
        self.next_slot = self.next_slot.saturating_add(1);
        Some(new)
    }

    /// Adds a wallet that the overlay was not made for; the rules see to it that it cannot exist before.
    pub fn open_unread(&mut self, wallet: WalletRecord) -> Option<Place> {
        let id = RecordId::from(wallet.id);
        if let Err(place) = self.ids.binary_search_by_key(&id, |(known, _)| *known) {
            self.ids.insert(place, (id, None));
        }
        self.open(Record::Wallet(wallet))
    }

    /// Puts money into the suspense record. (Were it not read, the supply equation would not hold and the block would not be
    /// executed.)
    pub fn add_to_suspense(&mut self, amount: Amount) {
        if let Some((_, balance)) = &mut self.suspense {
            *balance = balance.plus(amount).unwrap_or(*balance);
        }
    }

    /// Puts money into the fee pool; as with suspense, it has been read where that may be.
    pub fn add_to_fee_pool(&mut self, amount: Amount) {
        if let Some((_, balance)) = &mut self.fee_pool {
            *balance = balance.plus(amount).unwrap_or(*balance);
        }
    }

    /// Takes money out of the fee pool; at most [`Self::fee_pool`].
    pub fn take_from_fee_pool(&mut self, amount: Amount) {
        if let Some((_, balance)) = &mut self.fee_pool {
            *balance = balance.minus(amount).unwrap_or(*balance);
        }
    }

    /// What the fee pool holds; nothing where it was not read.
    #[must_use]
    pub fn fee_pool(&self) -> Amount {
        self.fee_pool.map_or(Amount::ZERO, |(_, balance)| balance)
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
        if let Some((before, now)) = self.fee_pool.filter(|(before, now)| before != now) {
            changes.before.push((FEE_POOL_SLOT, Record::FeePool { balance: before }));
            changes.records.push((FEE_POOL_SLOT, Record::FeePool { balance: now }));
        }
        if let Some((before, now)) = self.suspense.filter(|(before, now)| before != now) {
            changes.before.push((SUSPENSE_SLOT, Record::Suspense { balance: before }));
            changes.records.push((SUSPENSE_SLOT, Record::Suspense { balance: now }));
        }
        for (position, entry) in self.entries.into_iter().enumerate() {
            if position >= self.read {
                changes.opened.extend(entry.now.id().map(|id| (id, entry.slot)));
                changes.records.push((entry.slot, entry.now));
            } else if let Some(before) = entry.before {
                changes.before.push((entry.slot, before));
                changes.records.push((entry.slot, entry.now));
            }
        }
        changes
    }
}
