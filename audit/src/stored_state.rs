//! The end of a replay of a database: every stored record, index entry, count and the head against the replay's own.

use std::ops::ControlFlow;

use ledger::records::{Record, WalletRecord};
use ledger::state::StateHead;
use ledger::values::{Amount, Canonical, ChainId, Hash, Height, RecordId, Slot, WalletId};
use storage::{Reader, Table, key};

use crate::difference::{Difference, Finding, Place, Value};
use crate::error::AuditError;
use crate::records::Records;
use crate::report::StoredRows;
use crate::stored::COMPARED;

/// Name of the row of table `Meta` that holds the state head.
pub const HEAD_ROW: &[u8] = b"head";

/// Compares a database's state with the replay's.
pub(crate) struct StoredState<'a> {
    pub(crate) reader: &'a dyn Reader,
    pub(crate) chain: ChainId,
    pub(crate) head: &'a StateHead,
    pub(crate) records: &'a Records,
}

impl StoredState<'_> {
    /// Compares everything; `rows` is what the heights' comparison saw and is completed here.
    pub(crate) fn compare(&self, mut rows: StoredRows) -> Result<StoredRows, AuditError> {
        // Records before the head: where a balance was changed, its record names the wallet and the head only a root.
        self.compare_records()?;
        rows.records = self.records.len();
        self.compare_slots()?;
        rows.slots = self.records.named();
        self.compare_head()?;
        for table in COMPARED {
            // One row a height is all that the finalized order has.
            let computed = match rows.count_mut(table) {
                Some(rows) => *rows,
                None => self.head.height.0.saturating_add(1),
            };
            let stored = self.count(table)?;
            if stored != computed {
                return Err(self.value(
                    Place::Table(table),
                    "rows",
                    Value::Number(stored),
                    Value::Number(computed),
                ));
            }
        }
        Ok(rows)
    }

    fn compare_records(&self) -> Result<(), AuditError> {
        let mut expected = 0_u64;
        let found = self.visit(Table::Records, |place, bytes| {
            let Some(slot) = key::number(place).map(Slot) else {
                return Some(self.count_fault(Table::Records, expected));
            };
            if slot.0 > expected {
                return Some(self.record_difference(Slot(expected), None));
            }
            expected = expected.saturating_add(1);
            let own = self.records.get(slot);
            let is_same = own.is_some_and(|record| record.encode() == bytes);
            (!is_same).then(|| self.record_difference(slot, Some(bytes)))
        })?;
        match found {
            Some(fault) => Err(fault),
            None if expected < self.records.len() => Err(self.record_difference(Slot(expected), None)),
            None => Ok(()),
        }
    }

    fn compare_slots(&self) -> Result<(), AuditError> {
        let mut seen = 0_u64;
        let found = self.visit(Table::Slots, |place, bytes| {
            seen = seen.saturating_add(1);
            let id = RecordId(place.try_into().unwrap_or_default());
            let (stored, computed) = (key::number(bytes), self.records.slot(id).map(|slot| slot.0));
            let value = |slot: Option<u64>| slot.map_or(Value::Absent, Value::Number);
            let is_same = stored.is_some() && stored == computed;
            (!is_same).then(|| self.value(self.slot_place(id), "slot", value(stored), value(computed)))
        })?;
        match found {
            Some(fault) => Err(fault),
            None if seen != self.records.named() => Err(self.count_fault(Table::Slots, seen)),
            None => Ok(()),
        }
    }

    fn compare_head(&self) -> Result<(), AuditError> {
        let table = Table::Meta;
        let Some(bytes) = self.reader.get(table, HEAD_ROW)? else {
            return Err(self.found(Finding::RowMissing { table }));
        };
        let stored =
            StateHead::decode(&bytes).map_err(|fault| self.found(Finding::RowDamaged { table, fault }))?;
        let fields = |head: &StateHead| {
            [
                ("height", Value::Number(head.height.0)),
                ("state root", Value::Hash(Hash(head.state.0))),
                ("result", Value::Hash(Hash(head.result.0))),
                ("block", Value::Hash(Hash(head.block.0))),
                ("issued", Value::Money(head.supply.issued)),
                ("redeemed", Value::Money(head.supply.redeemed)),
                ("holdings", Value::Money(head.supply.holdings)),
                ("base fee", Value::Rate(head.base_fee)),
                ("owed by operators", Value::Money(owed(head))),
                ("records", Value::Number(head.records)),
                ("encoding", Value::Bytes(head.encode())),
            ]
        };
        for ((field, stored), (_, computed)) in fields(&stored).into_iter().zip(fields(self.head)) {
            if stored != computed {
                return Err(self.value(Place::Head, field, stored, computed));
            }
        }
        Ok(())
    }

    /// The first field of a record that differs: the balance before anything else.
    fn record_difference(&self, slot: Slot, stored: Option<&[u8]>) -> AuditError {
        let own = self.records.get(slot);
        let stored_record = match stored.map(Record::decode) {
            Some(Err(fault)) => return self.found(Finding::RowDamaged { table: Table::Records, fault }),
            Some(Ok(record)) => Some(record),
            None => None,
        };
        let place = match (own, &stored_record) {
            (Some(Record::Wallet(wallet)), _) | (None, Some(Record::Wallet(wallet))) => {
                Place::Wallet(wallet.id)
            }
            (Some(Record::Lock(lock)), _) | (None, Some(Record::Lock(lock))) => Place::Lock(lock.id),
            (Some(Record::Offer(offer)), _) | (None, Some(Record::Offer(offer))) => Place::Lock(offer.id),
            _ => Place::Record(slot),
        };
        let (field, stored, computed) = match (&stored_record, own) {
            (Some(stored), Some(own)) if stored.value() != own.value() => {
                ("balance", Value::Money(stored.value()), Value::Money(own.value()))
            }
            (Some(Record::Wallet(stored)), Some(Record::Wallet(own))) => wallet_difference(stored, own),
            (stored, own) => {
                let bytes = |record: Option<&Record>| {
                    record.map_or(Value::Absent, |record| Value::Bytes(record.encode()))
                };
                ("record", bytes(stored.as_ref()), bytes(own))
            }
        };
        self.value(place, field, stored, computed)
    }

    /// The place of an index entry: unless it is a lock's or an offer's, it is taken for a wallet's.
    fn slot_place(&self, id: RecordId) -> Place {
        match self.records.slot(id).and_then(|slot| self.records.get(slot)) {
            Some(Record::Lock(lock)) => Place::LockSlot(lock.id),
            Some(Record::Offer(offer)) => Place::LockSlot(offer.id),
            _ => Place::Slot(WalletId(id.0)),
        }
    }

    fn visit(
        &self,
        table: Table,
        mut check: impl FnMut(&[u8], &[u8]) -> Option<AuditError>,
    ) -> Result<Option<AuditError>, AuditError> {
        let mut found = None;
        self.reader.for_each(table, &mut |place, bytes| {
            found = check(place, bytes);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    fn count(&self, table: Table) -> Result<u64, AuditError> {
        let mut rows = 0_u64;
        self.visit(table, |_, _| {
            rows = rows.saturating_add(1);
            None
        })?;
        Ok(rows)
    }

    fn count_fault(&self, table: Table, stored: u64) -> AuditError {
        let computed = if table == Table::Slots { self.records.named() } else { self.records.len() };
        self.value(Place::Table(table), "rows", Value::Number(stored), Value::Number(computed))
    }

    fn value(&self, place: Place, field: &'static str, stored: Value, computed: Value) -> AuditError {
        self.found(Finding::Value { place, field, stored, computed })
    }

    fn found(&self, finding: Finding) -> AuditError {
        Difference { chain: self.chain, height: self.height(), finding }.into()
    }

    const fn height(&self) -> Height {
        self.head.height
    }
}

/// What all operators owe beyond their quotas.
fn owed(head: &StateHead) -> Amount {
    Amount::from_fen(head.quotas.iter().fold(0, |owed, quota| owed.saturating_add(quota.debt.fen())))
}

fn wallet_difference(stored: &WalletRecord, own: &WalletRecord) -> (&'static str, Value, Value) {
    let fields = |wallet: &WalletRecord| {
        [
            ("id", Value::Hash(Hash(wallet.id.0))),
            ("policy", Value::Hash(Hash(wallet.policy.0))),
            ("operator", Value::Number(u64::from(wallet.operator.0))),
            ("record", Value::Bytes(Record::Wallet(wallet.clone()).encode())),
        ]
    };
    let pairs = fields(stored).into_iter().zip(fields(own));
    let different = pairs.into_iter().find(|((_, stored), (_, computed))| stored != computed);
    let ((field, stored), (_, computed)) =
        different.unwrap_or((("record", Value::Absent), ("record", Value::Absent)));
    (field, stored, computed)
}
