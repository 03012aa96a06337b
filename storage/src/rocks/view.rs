//! Reading, the same for a store, a snapshot and a read-only database.

use std::ops::Bound;

use rocksdb::{ColumnFamily, DB, DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};

use super::fault::fault;
use crate::error::StorageError;
use crate::store::{Order, PAGE_BYTES_MAX, PAGE_ROWS_MAX, Page, Reader, Row, Visit};
use crate::table::Table;

/// Keys per batch of `multi_get`: bounds the blocks that are pinned at a time.
const KEYS_PER_BATCH: usize = 4096;

/// Readahead of whole-table visits: large enough for the device to stream.
const READAHEAD_BYTES: usize = 4 << 20;

/// A database at one moment: now, or that of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) database: &'a DB,
    pub(super) snapshot: Option<&'a Snapshot<'a>>,
}

/// What can be looked at through a [`View`]. Every one of them is a [`Reader`].
pub(super) trait Viewed: Send + Sync {
    fn view(&self) -> View<'_>;
}

impl<Source: Viewed> Reader for Source {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.view().get(table, key)
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        self.view().multi_get(table, keys)
    }

    fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
        self.view().scan(table, page)
    }

    fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.view().for_each(table, visit)
    }
}

/// A consistent view that lives on its own.
pub(super) struct RocksSnapshot<'a> {
    database: &'a DB,
    snapshot: Snapshot<'a>,
}

impl<'a> RocksSnapshot<'a> {
    pub(super) fn new(database: &'a DB) -> Self {
        Self { database, snapshot: database.snapshot() }
    }
}

impl Viewed for RocksSnapshot<'_> {
    fn view(&self) -> View<'_> {
        View { database: self.database, snapshot: Some(&self.snapshot) }
    }
}

/// The column family of a table. Opening creates them all, so a missing one is damage.
pub(super) fn family(database: &DB, table: Table) -> Result<&ColumnFamily, StorageError> {
    database.cf_handle(table.name()).ok_or_else(|| StorageError::Corruption {
        table: Some(table),
        file: None,
        detail: "the table does not exist".to_owned(),
    })
}

impl<'a> View<'a> {
    fn get(self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let family = family(self.database, table)?;
        let value = match self.snapshot {
            None => self.database.get_pinned_cf(family, key),
            Some(_) => self.database.get_pinned_cf_opt(family, key, &self.options()),
        };
        self.checked(table, value.map(|value| value.map(|bytes| bytes.to_vec())))
    }

    fn multi_get(self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        if keys.len() > KEYS_PER_BATCH && self.snapshot.is_none() {
            // Several batches must still be of one moment.
            let snapshot = self.database.snapshot();
            return View { database: self.database, snapshot: Some(&snapshot) }.multi_get(table, keys);
        }
        let family = family(self.database, table)?;
        let options = self.options();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by_key(|index| keys[*index]);
        let mut values = vec![None; keys.len()];
        for batch in order.chunks(KEYS_PER_BATCH) {
            let sorted = batch.iter().map(|index| keys[*index]);
            let found = self.database.batched_multi_get_cf_opt(family, sorted, true, &options);
            for (index, value) in batch.iter().zip(found) {
                let value: Option<DBPinnableSlice<'_>> = self.checked(table, value)?;
                values[*index] = value.map(|bytes| bytes.to_vec());
            }
        }
        Ok(values)
    }

    fn scan(self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
        let lower = match page.from {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key.to_vec(),
            // The smallest key above it.
            Bound::Excluded(key) => [key, &[0]].concat(),
        };
        let rows_max = page.rows.min(PAGE_ROWS_MAX);
        if rows_max == 0 || page.until.is_some_and(|until| until <= lower.as_slice()) {
            return Ok(Vec::new());
        }
        let mut options = self.options();
        options.set_iterate_lower_bound(lower);
        if let Some(until) = page.until {
            options.set_iterate_upper_bound(until);
        }
        let mut rows = self.database.raw_iterator_cf_opt(family(self.database, table)?, options);
        match page.order {
            Order::Forward => rows.seek_to_first(),
            Order::Backward => rows.seek_to_last(),
        }
        let taken = take_page(&mut rows, page.order, rows_max, page.bytes.min(PAGE_BYTES_MAX));
        self.checked(table, rows.status())?;
        Ok(taken)
    }

    fn for_each(self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut options = self.options();
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let mut rows = self.database.raw_iterator_cf_opt(family(self.database, table)?, options);
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            rows.next();
        }
        self.checked(table, rows.status())
    }

    fn options(self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }

    fn checked<Value>(
        self,
        table: Table,
        result: Result<Value, rocksdb::Error>,
    ) -> Result<Value, StorageError> {
        result.map_err(|error| fault(self.database.path(), Some(table), error))
    }
}

fn take_page(rows: &mut DBRawIterator<'_>, order: Order, rows_max: usize, bytes_max: usize) -> Vec<Row> {
    let mut taken: Vec<Row> = Vec::new();
    let mut bytes = 0_usize;
    while taken.len() < rows_max
        && let Some((key, value)) = rows.item()
    {
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        if bytes > bytes_max && !taken.is_empty() {
            break;
        }
        taken.push((key.to_vec(), value.to_vec()));
        match order {
            Order::Forward => rows.next(),
            Order::Backward => rows.prev(),
        }
    }
    taken
}
