//! Point reads of state records. Two implementations: [`MemoryReader`] (tests, replay, the bottle) and the
//! database.

use std::collections::BTreeMap;

use super::writes::{StateWrites, Undo};
use crate::records::{Record, WalletRecord};
use crate::values::{RecordId, Slot, WalletId};

/// Reads records as they are after the last executed height.
pub trait StateReader {
    /// Slot and record of each name, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// [`ReadFault`] when the store cannot be read or holds something else.
    fn find(&self, ids: &[RecordId]) -> Result<Vec<Option<(Slot, Record)>>, ReadFault>;

    /// The record at each slot, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// [`ReadFault`] when the store cannot be read or holds something else.
    fn records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault>;

    /// Slot and record of each wallet, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// [`ReadFault`] when the store cannot be read or holds something else.
    fn wallets(&self, ids: &[WalletId]) -> Result<Vec<Option<(Slot, WalletRecord)>>, ReadFault> {
        let ids: Vec<RecordId> = ids.iter().map(|id| (*id).into()).collect();
        let wallet = |(found, id): (Option<(Slot, Record)>, &RecordId)| match found {
            None => Ok(None),
            Some((slot, Record::Wallet(wallet))) => Ok(Some((slot, wallet))),
            Some(_) => Err(ReadFault::Record { id: *id }),
        };
        self.find(&ids)?.into_iter().zip(&ids).map(wallet).collect()
    }
}

/// The store failed: "we are broken", never "the input is wrong".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// The store could not be read.
    #[error("the state could not be read from the store")]
    Store,
    /// The record at a slot does not decode, or is missing.
    #[error("the state record at slot {slot} is damaged or missing")]
    Slot {
        /// The slot.
        slot: Slot,
    },
    /// The index from an id to its slot is wrong.
    #[error("the state record of id {id} is damaged or missing")]
    Record {
        /// The id.
        id: RecordId,
    },
}

/// State records in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryReader {
    records: BTreeMap<Slot, Record>,
    slots: BTreeMap<RecordId, Slot>,
}

impl MemoryReader {
    /// Applies what a height writes.
    pub fn apply(&mut self, writes: &StateWrites) {
        self.records.extend(writes.records.iter().cloned());
        self.slots.extend(writes.opened.iter().copied());
    }

    /// Takes back what the last height wrote.
    pub fn undo(&mut self, undo: &Undo) {
        for (id, slot) in &undo.opened {
            self.slots.remove(id);
            self.records.remove(slot);
        }
        self.records.extend(undo.records.iter().cloned());
    }

    /// All records in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Record)> {
        self.records.iter().map(|(slot, record)| (*slot, record))
    }
}

impl StateReader for MemoryReader {
    fn find(&self, ids: &[RecordId]) -> Result<Vec<Option<(Slot, Record)>>, ReadFault> {
        let read = |id: &RecordId| match self.slots.get(id) {
            None => Ok(None),
            Some(slot) => match self.records.get(slot) {
                Some(record) if record.id() == Some(*id) => Ok(Some((*slot, record.clone()))),
                _ => Err(ReadFault::Record { id: *id }),
            },
        };
        ids.iter().map(read).collect()
    }

    fn records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault> {
        Ok(slots.iter().map(|slot| self.records.get(slot).cloned()).collect())
    }
}
