//! The replay's own records: every wallet, lock and offer in memory, by slot. Nothing of what is audited gets in here.

use std::collections::BTreeMap;

use ledger::records::Record;
use ledger::state::{ReadFault, StateReader, StateWrites};
use ledger::values::{RecordId, Slot};

/// Records by slot. Slots count from 0 without gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    records: Vec<Record>,
    slots: BTreeMap<RecordId, Slot>,
}

impl Records {
    /// Takes in what a height writes; the ledger has checked that slots leave no gap.
    pub(crate) fn apply(&mut self, writes: StateWrites) {
        for (slot, record) in writes.records {
            match usize::try_from(slot.0).ok().and_then(|place| self.records.get_mut(place)) {
                Some(place) => *place = record,
                None => self.records.push(record),
            }
        }
        self.slots.extend(writes.opened);
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Record> {
        self.records.get(usize::try_from(slot.0).ok()?)
    }

    pub(crate) fn len(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn slot(&self, id: RecordId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// Records that have a name: all but the fee pool and the suspense record.
    pub(crate) fn named(&self) -> u64 {
        self.slots.len() as u64
    }

    pub(crate) fn wallets(&self) -> u64 {
        self.records.iter().filter(|record| matches!(record, Record::Wallet(_))).count() as u64
    }
}

impl StateReader for Records {
    fn find(&self, ids: &[RecordId]) -> Result<Vec<Option<(Slot, Record)>>, ReadFault> {
        let read = |id: &RecordId| match self.slots.get(id) {
            None => Ok(None),
            Some(slot) => match self.get(*slot) {
                Some(record) if record.id() == Some(*id) => Ok(Some((*slot, record.clone()))),
                _ => Err(ReadFault::Record { id: *id }),
            },
        };
        ids.iter().map(read).collect()
    }

    fn records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault> {
        Ok(slots.iter().map(|slot| self.get(*slot).cloned()).collect())
    }
}
