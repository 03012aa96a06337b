//! The face of the memory twin.

use std::ops::Bound;
use std::sync::{Arc, MutexGuard};

use super::damage::Damage;
use super::disk::{MemoryDisk, Rows, State};
use super::plan::CrashPlan;
use crate::error::StorageError;
use crate::identity::Identity;
use crate::store::{
    Durability, Order, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Reader, Row, Store, StoreStatistics, Visit,
};
use crate::table::Table;
use crate::write_set::WriteSet;

/// A handle on the database of a [`MemoryDisk`]. Dropping it closes the database (what was not synced stays
/// at risk); a crash of the disk kills it.
#[derive(Debug)]
pub struct MemoryStore {
    disk: MemoryDisk,
    generation: u64,
}

impl MemoryStore {
    /// A database on a new disk without faults.
    #[must_use]
    pub fn fresh(identity: &Identity) -> Self {
        let disk = MemoryDisk::new(CrashPlan::default());
        // Cannot be refused: nobody else knows this disk.
        disk.open(identity).unwrap_or_else(|_| Self::new(disk, 0))
    }

    pub(super) const fn new(disk: MemoryDisk, generation: u64) -> Self {
        Self { disk, generation }
    }

    /// The disk under this handle: crash it, then open it again.
    #[must_use]
    pub fn disk(&self) -> MemoryDisk {
        self.disk.clone()
    }

    fn live(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.disk.state();
        if state.generation == self.generation { Ok(state) } else { Err(StorageError::Crashed) }
    }

    fn writable(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.live()?;
        if state.stopped { Err(StorageError::Stopped) } else { Ok(state) }
    }

    /// The rows of a table and the damage among them.
    fn rows(&self, table: Table) -> Result<(Rows, Damage), StorageError> {
        let state = self.live()?;
        Ok((Arc::clone(&state.tables[table as usize]), state.damage.clone()))
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.open = false;
        }
    }
}

impl Reader for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let mut state = self.live()?;
        state.statistics.keys_read += 1;
        get(&state.tables[table as usize], &state.damage, table, key)
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let mut state = self.live()?;
        state.statistics.keys_read += keys.len() as u64;
        multi_get(&state.tables[table as usize], &state.damage, table, keys)
    }

    fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
        let (rows, damage) = self.rows(table)?;
        scan(&rows, &damage, table, page)
    }

    fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let (rows, damage) = self.rows(table)?;
        for_each(&rows, &damage, table, visit)
    }
}

impl Store for MemoryStore {
    fn write(&self, set: WriteSet, durability: Durability) -> Result<(), StorageError> {
        let bytes = set.bytes();
        let mut state = self.writable()?;
        let writes = set.into_sorted()?;
        state.write(writes, bytes, durability == Durability::Synced)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.writable()?.sync()
    }

    fn snapshot(&self) -> Result<Box<dyn Reader + '_>, StorageError> {
        let state = self.live()?;
        Ok(Box::new(MemorySnapshot { tables: state.tables.clone(), damage: state.damage.clone() }))
    }

    fn bytes_on_disk(&self) -> Result<u64, StorageError> {
        Ok(self.live()?.used_bytes())
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        Ok(self.live()?.free_bytes())
    }

    fn statistics(&self) -> StoreStatistics {
        self.disk.state().statistics
    }
}

/// The tables of one moment.
struct MemorySnapshot {
    tables: [Rows; Table::COUNT],
    damage: Damage,
}

impl Reader for MemorySnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        get(&self.tables[table as usize], &self.damage, table, key)
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        multi_get(&self.tables[table as usize], &self.damage, table, keys)
    }

    fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
        scan(&self.tables[table as usize], &self.damage, table, page)
    }

    fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for_each(&self.tables[table as usize], &self.damage, table, visit)
    }
}

fn get(rows: &Rows, damage: &Damage, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    damage.check(table, rows, |damaged| damaged == key)?;
    Ok(rows.get(key).map(|value| value.to_vec()))
}

fn multi_get(
    rows: &Rows,
    damage: &Damage,
    table: Table,
    keys: &[&[u8]],
) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    damage.check(table, rows, |damaged| keys.contains(&damaged))?;
    Ok(keys.iter().map(|key| rows.get(*key).map(|value| value.to_vec())).collect())
}

fn scan(rows: &Rows, damage: &Damage, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
    let until = page.until.map_or(Bound::Unbounded, Bound::Excluded);
    if is_empty(page.from, page.until) {
        return Ok(Vec::new());
    }
    let range = rows.range::<[u8], _>((page.from, until));
    let taken = match page.order {
        Order::Forward => take_page(range, page),
        Order::Backward => take_page(range.rev(), page),
    };
    damage.check(table, rows, |damaged| taken.iter().any(|(key, _)| key == damaged))?;
    Ok(taken)
}

/// Whether nothing can lie between the two ends; `BTreeMap::range` refuses such ranges.
fn is_empty(from: Bound<&[u8]>, until: Option<&[u8]>) -> bool {
    match (from, until) {
        (Bound::Included(from) | Bound::Excluded(from), Some(until)) => from >= until,
        (Bound::Unbounded, _) | (_, None) => false,
    }
}

fn take_page<'a>(range: impl Iterator<Item = (&'a Vec<u8>, &'a Arc<[u8]>)>, page: Page<'_>) -> Vec<Row> {
    let bytes_max = page.bytes.min(PAGE_BYTES_MAX);
    let mut bytes = 0_usize;
    let mut taken = Vec::new();
    for (key, value) in range.take(page.rows.min(PAGE_ROWS_MAX)) {
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        if bytes > bytes_max && !taken.is_empty() {
            break;
        }
        taken.push((key.clone(), value.to_vec()));
    }
    taken
}

fn for_each(rows: &Rows, damage: &Damage, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
    for (key, value) in rows.iter() {
        damage.check(table, rows, |damaged| damaged == key)?;
        if visit(key, value).is_break() {
            break;
        }
    }
    Ok(())
}
