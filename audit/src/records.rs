//! The replay's own records: every wallet in memory, by slot. Nothing of what is audited gets in here.

use std::collections::BTreeMap;

use ledger::records::{Record, WalletRecord};
use ledger::state::{ReadFault, StateReader, StateWrites};
use ledger::values::{Slot, WalletId};

/// Records by slot. Slots count from 0 without gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    records: Vec<Record>,
    slots: BTreeMap<WalletId, Slot>,
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

    pub(crate) fn slot(&self, wallet: &WalletId) -> Option<Slot> {
        self.slots.get(wallet).copied()
    }

    pub(crate) fn wallets(&self) -> u64 {
        self.slots.len() as u64
    }
}

impl StateReader for Records {
    fn wallets(&self, ids: &[WalletId]) -> Result<Vec<Option<(Slot, WalletRecord)>>, ReadFault> {
        let read = |id: &WalletId| match self.slots.get(id) {
            None => Ok(None),
            Some(slot) => match self.get(*slot) {
                Some(Record::Wallet(wallet)) => Ok(Some((*slot, wallet.clone()))),
                _ => Err(ReadFault::Wallet { wallet: *id }),
            },
        };
        ids.iter().map(read).collect()
    }

    fn records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault> {
        Ok(slots.iter().map(|slot| self.get(*slot).cloned()).collect())
    }
}
