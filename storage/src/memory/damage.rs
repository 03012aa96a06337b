//! Bits that changed on the device: which rows they are in, and what those rows were.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::Rows;
use crate::error::StorageError;
use crate::table::Table;

/// Damaged rows. A row that is written anew is whole again; one that a crash takes back is damaged again.
#[derive(Clone, Debug, Default)]
pub(super) struct Damage {
    rows: BTreeMap<(usize, Vec<u8>), Flipped>,
}

#[derive(Clone, Debug)]
struct Flipped {
    table: Table,
    /// What was written.
    written: Arc<[u8]>,
    /// What the device has instead: a row that holds this very allocation is damaged.
    found: Arc<[u8]>,
}

impl Damage {
    /// Flips a bit of a row, both drawn by `number`; answers the row's table. A row that is damaged already stays as it is.
    pub(super) fn flip(&mut self, tables: &mut [Rows; Table::COUNT], number: u64) -> Option<Table> {
        let count: usize = tables.iter().map(|rows| rows.len()).sum();
        let mut place = usize::try_from(number.checked_rem(count as u64)?).ok()?;
        let filled = Table::ALL.into_iter().find(|table| {
            let rows = tables[*table as usize].len();
            let is_here = place < rows;
            place -= if is_here { 0 } else { rows };
            is_here
        });
        let table = filled?;
        let (key, written) = tables[table as usize].iter().nth(place)?;
        let (key, written) = (key.clone(), Arc::clone(written));
        if self
            .rows
            .get(&(table as usize, key.clone()))
            .is_some_and(|flipped| Arc::ptr_eq(&flipped.found, &written))
        {
            return Some(table);
        }
        let mut bytes = written.to_vec();
        let bit = number / count as u64;
        // The checksum of an empty value breaks without a bit to show.
        if let Some(place) = usize::try_from(bit / 8).ok().and_then(|byte| byte.checked_rem(bytes.len())) {
            bytes[place] ^= 1_u8 << (bit % 8);
        }
        let found: Arc<[u8]> = Arc::from(bytes);
        Arc::make_mut(&mut tables[table as usize]).insert(key.clone(), Arc::clone(&found));
        self.rows.insert((table as usize, key), Flipped { table, written, found });
        Some(table)
    }

    /// Puts back what was written, wherever a row is still damaged.
    pub(super) fn repair(&mut self, tables: &mut [Rows; Table::COUNT]) {
        for ((table, key), flipped) in std::mem::take(&mut self.rows) {
            if flipped.is_in(&tables[table], &key) {
                Arc::make_mut(&mut tables[table]).insert(key, flipped.written);
            }
        }
    }

    /// Whether any row is damaged now.
    pub(super) fn is_any(&self, tables: &[Rows; Table::COUNT]) -> bool {
        self.rows.iter().any(|((table, key), flipped)| flipped.is_in(&tables[*table], key))
    }

    /// Refuses to read a damaged row of those that `is_read` names.
    ///
    /// # Errors
    /// [`StorageError::Corruption`].
    pub(super) fn check(
        &self,
        table: Table,
        rows: &Rows,
        is_read: impl Fn(&[u8]) -> bool,
    ) -> Result<(), StorageError> {
        let of_table =
            self.rows.iter().filter(|((damaged, key), _)| *damaged == table as usize && is_read(key));
        match of_table
            .map(|((_, key), flipped)| (key, flipped))
            .find(|(key, flipped)| flipped.is_in(rows, key))
        {
            None => Ok(()),
            Some((_, flipped)) => Err(StorageError::Corruption {
                table: Some(flipped.table),
                file: None,
                detail: "checksum mismatch".to_owned(),
            }),
        }
    }
}

impl Flipped {
    fn is_in(&self, rows: &Rows, key: &[u8]) -> bool {
        rows.get(key).is_some_and(|row| Arc::ptr_eq(row, &self.found))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use crate::store::{Durability, Page, Reader, Store};
    use crate::{CrashPlan, Identity, MemoryDisk, MemoryStore, StorageError, Survival, Table, WriteSet};

    const IDENTITY: Identity = Identity { schema_version: 1, genesis: [7; 32], chain: 0 };

    fn put(store: &MemoryStore, value: &[u8], durability: Durability) {
        let mut set = WriteSet::new();
        set.put(Table::Meta, *b"row", value);
        store.write(set, durability).unwrap();
    }

    fn is_corrupt<T: std::fmt::Debug>(answer: Result<T, StorageError>) -> bool {
        matches!(answer, Err(StorageError::Corruption { table: Some(Table::Meta), .. }))
    }

    #[test]
    fn a_damaged_row_is_refused_by_every_call_until_it_is_repaired() {
        for number in 0..64 {
            let disk = MemoryDisk::new(CrashPlan::default());
            let store = disk.open(&IDENTITY).unwrap();
            assert_eq!(disk.flip_bit(number), None, "there is no row");
            put(&store, b"value", Durability::Synced);
            assert_eq!(disk.flip_bit(number), Some(Table::Meta));
            assert_eq!(disk.flip_bit(number), Some(Table::Meta), "twice is once");
            let snapshot = store.snapshot().unwrap();
            for reader in [&store as &dyn Reader, snapshot.as_ref()] {
                assert!(is_corrupt(reader.get(Table::Meta, b"row")));
                assert!(is_corrupt(reader.multi_get(Table::Meta, &[&b"other"[..], &b"row"[..]])));
                assert!(is_corrupt(reader.scan(Table::Meta, Page::first(9))));
                assert!(is_corrupt(reader.for_each(Table::Meta, &mut |_, _| ControlFlow::Continue(()))));
                assert_eq!(reader.get(Table::Meta, b"other"), Ok(None), "others are whole");
            }
            disk.repair();
            assert!(!disk.is_damaged());
            assert_eq!(store.get(Table::Meta, b"row"), Ok(Some(b"value".to_vec())));
        }
    }

    #[test]
    fn a_row_that_is_written_anew_is_whole_unless_a_crash_takes_that_back() {
        let disk = MemoryDisk::new(CrashPlan { survival: Survival::Nothing, ..CrashPlan::default() });
        let store = disk.open(&IDENTITY).unwrap();
        put(&store, b"value", Durability::Synced);
        assert_eq!(disk.flip_bit(3), Some(Table::Meta));
        put(&store, b"newer", Durability::Buffered);
        assert_eq!(store.get(Table::Meta, b"row"), Ok(Some(b"newer".to_vec())));
        disk.crash();
        assert!(disk.is_damaged());
        disk.repair();
        let store = disk.open(&IDENTITY).unwrap();
        assert_eq!(store.get(Table::Meta, b"row"), Ok(Some(b"value".to_vec())));
    }

    #[test]
    fn a_limit_counts_from_what_is_there_and_can_be_lifted() {
        let disk = MemoryDisk::new(CrashPlan::default());
        let store = disk.open(&IDENTITY).unwrap();
        put(&store, b"value", Durability::Synced);
        disk.limit_free_bytes(Some(100));
        assert_eq!(store.free_bytes(), Ok(100));
        disk.limit_free_bytes(None);
        assert_eq!(store.free_bytes(), Ok(u64::MAX));
    }
}
