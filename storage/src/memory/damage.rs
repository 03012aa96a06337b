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
            bytes[place] ^= 1 << (bit % 8);
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
