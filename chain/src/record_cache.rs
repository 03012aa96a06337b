//! Wallet records that were written lately, in memory: the executor and the door for transactions read them there
//! instead of searching the database's write buffers.
//!
//! Rules:
//! - Only the executor fills it, and only with what it has committed. So to the executor a record in here is always the
//!   newest one. Others may read one that is a height old, as from a snapshot. Who finds none asks the store.
//! - Wallets with more than [`LANES_MAX`] nonce lanes stay outside: they are few and large.
//! - Bounded: two generations of [`GENERATION_RECORDS`]; when the young one is full, the old one is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::records::{Record, WalletRecord};
use ledger::values::{RecordId, Slot};

/// Wallets of one generation; about 400 bytes each.
pub(crate) const GENERATION_RECORDS: usize = 65_536;

/// Most nonce lanes of a wallet in here.
pub(crate) const LANES_MAX: usize = 8;

/// The newest records of lately changed wallets.
#[derive(Debug, Default)]
pub struct RecordCache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    records: HashMap<Slot, WalletRecord>,
    slots: HashMap<RecordId, Slot>,
}

impl RecordCache {
    /// Takes in what a height wrote.
    pub(crate) fn committed(&self, written: &[(Slot, Record)]) {
        let mut generations = self.lock();
        for (slot, record) in written {
            if let Record::Wallet(wallet) = record {
                generations.put(*slot, wallet);
            }
        }
    }

    /// The record at each slot, where it is known.
    pub(crate) fn records(&self, slots: &[Slot]) -> Vec<Option<Record>> {
        let generations = self.lock();
        slots.iter().map(|slot| generations.record(*slot).cloned().map(Record::Wallet)).collect()
    }

    /// Slot and record of each name, where they are known: of wallets only.
    pub(crate) fn find(&self, ids: &[RecordId]) -> Vec<Option<(Slot, Record)>> {
        let generations = self.lock();
        let find = |id: &RecordId| {
            let slot = generations.slot(id)?;
            Some((slot, Record::Wallet(generations.record(slot)?.clone())))
        };
        ids.iter().map(find).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn put(&mut self, slot: Slot, wallet: &WalletRecord) {
        if wallet.lanes.len() > LANES_MAX {
            for generation in [&mut self.young, &mut self.old] {
                generation.records.remove(&slot);
                generation.slots.remove(&RecordId::from(wallet.id));
            }
            return;
        }
        if self.young.records.len() >= GENERATION_RECORDS && !self.young.records.contains_key(&slot) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.slots.insert(wallet.id.into(), slot);
        self.young.records.insert(slot, wallet.clone());
    }

    fn record(&self, slot: Slot) -> Option<&WalletRecord> {
        self.young.records.get(&slot).or_else(|| self.old.records.get(&slot))
    }

    fn slot(&self, id: &RecordId) -> Option<Slot> {
        self.young.slots.get(id).or_else(|| self.old.slots.get(id)).copied()
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::{Lane, Tier, WalletStatus};
    use ledger::values::{Amount, OperatorId, PolicyHash, WalletId};

    use super::*;

    fn wallet(number: u64, fen: u64) -> (Slot, Record) {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let wallet = WalletRecord {
            id: WalletId(id),
            policy: PolicyHash([1; 32]),
            operator: OperatorId(1),
            tier: Tier::Two,
            status: WalletStatus::Active,
            balance: Amount::from_fen(fen),
            lanes: Vec::new(),
        };
        (Slot(number), Record::Wallet(wallet))
    }

    fn balance(cache: &RecordCache, number: u64) -> Option<u64> {
        let (slot, record) = wallet(number, 0);
        let Record::Wallet(WalletRecord { id, .. }) = record else { return None };
        let by_id = cache.find(&[id.into()])[0].as_ref().map(|(_, record)| record.value().fen());
        let by_slot = match &cache.records(&[slot])[0] {
            Some(Record::Wallet(wallet)) => Some(wallet.balance.fen()),
            _ => None,
        };
        assert_eq!(by_id, by_slot);
        by_id
    }

    #[test]
    fn the_newest_record_wins_and_what_is_not_written_for_long_goes() {
        let cache = RecordCache::default();
        cache.committed(&[wallet(0, 1), wallet(1, 1)]);
        assert_eq!((balance(&cache, 0), balance(&cache, 7)), (Some(1), None));
        let generation = |first: u64| -> Vec<(Slot, Record)> {
            (first..first + GENERATION_RECORDS as u64).map(|number| wallet(number, 2)).collect()
        };
        cache.committed(&generation(100));
        assert_eq!(balance(&cache, 0), Some(1), "the old generation still knows it");
        cache.committed(&[wallet(0, 3)]);
        assert_eq!(balance(&cache, 0), Some(3), "the young one knows it better");
        cache.committed(&generation(1_000_000));
        cache.committed(&generation(2_000_000));
        assert_eq!((balance(&cache, 0), balance(&cache, 1)), (None, None));
        let (slot, mut grown) = wallet(2_000_000, 9);
        assert!(balance(&cache, 2_000_000).is_some());
        if let Record::Wallet(wallet) = &mut grown {
            wallet.lanes = vec![Lane::default(); LANES_MAX + 1];
        }
        cache.committed(&[(slot, grown)]);
        assert_eq!(balance(&cache, 2_000_000), None, "a stale record would be worse than none");
        let lock = cache.lock();
        assert!(lock.young.records.len() <= GENERATION_RECORDS);
        assert!(lock.old.records.len() <= GENERATION_RECORDS);
    }
}
