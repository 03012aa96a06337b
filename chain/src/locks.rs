//! Locks and offers, as clients ask for them.

use std::collections::BTreeSet;

use ledger::records::Record;
use ledger::records::block::CLAIM_LAG_MAX;
use ledger::state::Undo;
use ledger::values::{Height, LockId, RecordId, Slot};
use storage::{Reader, Table, key};

use crate::archive::Archive;
use crate::rows::{self, RowFault};

/// Heights above the certified one that are looked through: beyond them a block holds no transactions (PROTOCOL rule 12), so there are more only
/// where nothing was certified for long.
const UNCERTIFIED_MAX: u64 = CLAIM_LAG_MAX;

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The slot and the record of a lock or an offer.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn lock(&self, id: LockId) -> Result<Option<(Slot, Record)>, RowFault> {
        let reader = self.reader();
        let Some(slot) = reader.get(Table::Slots, &RecordId::from(id).0)? else { return Ok(None) };
        let slot = key::number(&slot).ok_or(RowFault::Missing { table: Table::Slots })?;
        let record = reader.get(Table::Records, &key::slot(slot))?;
        let record = record.ok_or(RowFault::Missing { table: Table::Records })?;
        match rows::decode::<Record>(Table::Records, &record)? {
            record @ (Record::Lock(_) | Record::Offer(_)) => Ok(Some((Slot(slot), record))),
            // No wallet's id is such a hash.
            _ => Ok(None),
        }
    }

    /// The lock or the offer at a slot; `None` where there is something else.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn lock_at(&self, slot: Slot) -> Result<Option<Record>, RowFault> {
        let Some(record) = self.reader().get(Table::Records, &key::slot(slot.0))? else { return Ok(None) };
        match rows::decode::<Record>(Table::Records, &record)? {
            record @ (Record::Lock(_) | Record::Offer(_)) => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Whether the record at a slot, after height `head`, is known to be what it was after height `certified`: no height between has
    /// written it. Undo records tell; they are kept until their height is certified. Where too much is not certified, it is not known.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn is_unchanged(&self, slot: Slot, certified: Height, head: Height) -> Result<bool, RowFault> {
        let changed = self.changed(&BTreeSet::from([slot]), certified, head)?;
        Ok(changed.is_some_and(|changed| changed.is_empty()))
    }

    /// Which of the records at these slots may be others, after height `head`, than after height `certified`; `None` where it is not known.
    /// As [`Self::is_unchanged`], with every undo record read once.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn changed(
        &self,
        slots: &BTreeSet<Slot>,
        certified: Height,
        head: Height,
    ) -> Result<Option<BTreeSet<Slot>>, RowFault> {
        if head.0.saturating_sub(certified.0) > UNCERTIFIED_MAX {
            return Ok(None);
        }
        let mut changed = BTreeSet::new();
        if slots.is_empty() {
            return Ok(Some(changed));
        }
        for height in certified.next().0..=head.0 {
            let Some(bytes) = self.reader().get(Table::Undo, &key::height(height))? else { continue };
            let damaged = |fault| RowFault::Damaged { table: Table::Undo, fault };
            changed.extend(Undo::touched(&bytes, slots).map_err(damaged)?);
        }
        Ok(Some(changed))
    }
}
