//! Locks and offers, as clients ask for them.

use std::ops::Bound;

use ledger::records::Record;
use ledger::state::Undo;
use ledger::values::{Height, LockId, Slot};
use storage::{Page, Reader, Table, key};

use crate::archive::Archive;
use crate::rows::{self, RowFault};

/// Heights that may be executed and not certified: with more a chain takes no transactions (PROTOCOL rule 12).
const UNCERTIFIED_MAX: usize = 64;

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The slot and the record of a lock or an offer.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn lock(&self, id: LockId) -> Result<Option<(Slot, Record)>, RowFault> {
        let reader = self.reader();
        let Some(slot) = reader.get(Table::Slots, &id.0)? else { return Ok(None) };
        let slot = key::number(&slot).ok_or(RowFault::Missing { table: Table::Slots })?;
        let record = reader.get(Table::Records, &key::slot(slot))?;
        let record = record.ok_or(RowFault::Missing { table: Table::Records })?;
        match rows::decode::<Record>(Table::Records, &record)? {
            record @ (Record::Lock(_) | Record::Offer(_)) => Ok(Some((Slot(slot), record))),
            // A wallet's id: it is no lock's.
            _ => Ok(None),
        }
    }

    /// Whether the record at a slot is what it was after height `certified`: no height above it has written it. Undo records are kept for
    /// just these heights.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn is_unchanged_since(&self, slot: Slot, certified: Height) -> Result<bool, RowFault> {
        let from = key::height(certified.next().0);
        let page = Page { from: Bound::Included(&from), ..Page::first(UNCERTIFIED_MAX) };
        for (_, bytes) in self.reader().scan(Table::Undo, page)? {
            let damaged = |fault| RowFault::Damaged { table: Table::Undo, fault };
            let undo = Undo::decode(&bytes).map_err(damaged)?;
            let is_written = undo.records.iter().any(|(written, _)| *written == slot);
            if is_written || undo.opened.iter().any(|(_, opened)| *opened == slot) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
