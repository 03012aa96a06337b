//! What one atomic write holds.
//!
//! Operations take effect in the order they were added: the last word on a key wins, and a range deletion
//! removes what was put into the range before it, in this set too. Inside, the order is lost on purpose:
//! ranges go first, then the points sorted by key, because RocksDB inserts sorted keys about three times
//! faster than scattered ones. Both orders mean the same, since `delete_range` drops the points that it
//! covers when it is called.

use crate::error::{InvalidWrite, StorageError};
use crate::table::Table;

/// The largest value. Batches end at about 1 MB; outcomes and undo of the largest block stay far below.
pub const VALUE_BYTES_MAX: usize = 32 << 20;

/// The largest set, keys and values together. It bounds the memory of a write twice over (the set and its
/// copy in the write-ahead log) and the log's replay after a crash.
pub const WRITE_SET_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(VALUE_BYTES_MAX < WRITE_SET_BYTES_MAX);

/// Puts, deletions and range deletions that are applied together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    tables: [TableWrites; Table::COUNT],
    bytes: usize,
}

/// The part of a set that concerns one table. Ranges apply before points.
///
/// Keys and values lie behind each other in one buffer: a block writes thousands of small rows, and two allocations for each would
/// cost more than sorting them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableWrites {
    /// `from` inclusive, `until` exclusive.
    pub(crate) ranges: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: Vec<u8>,
    points: Vec<Point>,
}

/// Where a key and its value begin and end in the buffer of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    key_at: usize,
    value_at: usize,
    end: usize,
    is_deletion: bool,
}

impl TableWrites {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key_at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value_at = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let end = self.bytes.len();
        self.points.push(Point { key_at, value_at, end, is_deletion: value.is_none() });
    }

    /// Each key and its value; `None` deletes.
    pub(crate) fn points(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.points.iter().map(|point| (point.key(&self.bytes), point.value(&self.bytes)))
    }

    /// Sorts the points, and keeps the last word on each key.
    fn sort(&mut self) {
        let bytes = &self.bytes;
        // Stable, so equal keys stay in the order they were added and the last one is kept.
        self.points.sort_by(|left, right| left.key(bytes).cmp(right.key(bytes)));
        self.points.dedup_by(|later, earlier| {
            let same = later.key(bytes) == earlier.key(bytes);
            if same {
                *earlier = *later;
            }
            same
        });
    }
}

impl Point {
    fn key(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.key_at..self.value_at).unwrap_or_default()
    }

    fn value(self, bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(self.value_at..self.end).filter(|_| !self.is_deletion)
    }
}

impl WriteSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `value` under `key`.
    pub fn put(&mut self, table: Table, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.push(table, key.as_ref(), Some(value.as_ref()));
    }

    /// Removes `key`; a missing key is fine.
    pub fn delete(&mut self, table: Table, key: impl AsRef<[u8]>) {
        self.push(table, key.as_ref(), None);
    }

    fn push(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.map_or(0, <[u8]>::len));
        self.table(table).push(key, value);
    }

    /// Removes every key in `from..until`. An empty or reversed range removes nothing.
    ///
    /// Meant for thousands of keys (pruning): every range leaves a marker that readers of the table must look
    /// at until it is compacted away. For a few known keys use [`WriteSet::delete`].
    pub fn delete_range(&mut self, table: Table, from: impl Into<Vec<u8>>, until: impl Into<Vec<u8>>) {
        let (from, until) = (from.into(), until.into());
        if from >= until {
            return;
        }
        let writes = self.table(table);
        let (bytes, mut dropped) = (&writes.bytes, 0);
        writes.points.retain(|point| {
            let is_covered = (from.as_slice()..until.as_slice()).contains(&point.key(bytes));
            if is_covered {
                dropped += point.end - point.key_at;
            }
            !is_covered
        });
        let added = from.len() + until.len();
        writes.ranges.push((from, until));
        self.bytes = self.bytes.saturating_sub(dropped).saturating_add(added);
    }

    /// Adds the operations of `later` after those of this set.
    pub fn append(&mut self, later: Self) {
        for (table, writes) in Table::ALL.into_iter().zip(later.tables) {
            for (from, until) in writes.ranges {
                self.delete_range(table, from, until);
            }
            for point in &writes.points {
                self.push(table, point.key(&writes.bytes), point.value(&writes.bytes));
            }
        }
    }

    /// Key and value bytes added so far.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Operations added so far (those that a later range deletion dropped no longer count).
    #[must_use]
    pub fn operations(&self) -> usize {
        self.tables.iter().map(|writes| writes.ranges.len() + writes.points.len()).sum()
    }

    /// Whether the set does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations() == 0
    }

    /// Checks keys against the schema and sizes against the bounds, then hands out the tables that are
    /// written, each with its points sorted and the last word per key.
    pub(crate) fn into_sorted(self) -> Result<Vec<(Table, TableWrites)>, StorageError> {
        if self.bytes > WRITE_SET_BYTES_MAX {
            return Err(
                InvalidWrite::SetTooLarge { bytes: self.bytes, bytes_max: WRITE_SET_BYTES_MAX }.into()
            );
        }
        let mut sorted = Vec::new();
        for (table, mut writes) in Table::ALL.into_iter().zip(self.tables) {
            if writes.ranges.is_empty() && writes.points.is_empty() {
                continue;
            }
            for (key, value) in writes.points() {
                check(table, key, value)?;
            }
            writes.sort();
            sorted.push((table, writes));
        }
        Ok(sorted)
    }

    const fn table(&mut self, table: Table) -> &mut TableWrites {
        &mut self.tables[table as usize]
    }
}

fn check(table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
    if !table.spec().key.admits(key) {
        return Err(InvalidWrite::Key { table, layout: table.spec().key, key_bytes: key.len() }.into());
    }
    match value {
        Some(value) if value.len() > VALUE_BYTES_MAX => {
            Err(InvalidWrite::ValueTooLarge { table, bytes: value.len(), bytes_max: VALUE_BYTES_MAX }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;

    type Row = (Vec<u8>, Option<Vec<u8>>);

    fn sorted(set: WriteSet, table: Table) -> (Vec<(Vec<u8>, Vec<u8>)>, Vec<Row>) {
        let all = set.into_sorted().unwrap();
        let writes = all.into_iter().find(|(found, _)| *found == table).map(|(_, writes)| writes);
        let writes = writes.unwrap_or_default();
        let owned = |(key, value): (&[u8], Option<&[u8]>)| (key.to_vec(), value.map(<[u8]>::to_vec));
        let points = writes.points().map(owned).collect();
        (writes.ranges, points)
    }

    #[test]
    fn the_last_word_on_a_key_wins_and_keys_come_out_sorted() {
        let mut set = WriteSet::new();
        set.put(Table::Records, key::slot(2), b"old");
        set.put(Table::Records, key::slot(1), b"one");
        set.put(Table::Records, key::slot(2), b"new");
        set.delete(Table::Records, key::slot(1));
        let expected = vec![(key::slot(1).to_vec(), None), (key::slot(2).to_vec(), Some(b"new".to_vec()))];
        assert_eq!(sorted(set, Table::Records).1, expected);
    }

    #[test]
    fn a_range_deletion_removes_earlier_puts_and_spares_later_ones() {
        let mut set = WriteSet::new();
        set.put(Table::Undo, key::height(1), b"gone");
        set.put(Table::Undo, key::height(5), b"outside");
        let before = set.bytes();
        set.delete_range(Table::Undo, key::height(0), key::height(3));
        assert_eq!(set.bytes(), before - (8 + 4) + 16);
        set.put(Table::Undo, key::height(2), b"later");
        let keys: Vec<_> = sorted(set, Table::Undo).1.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, vec![key::height(2).to_vec(), key::height(5).to_vec()]);
    }

    #[test]
    fn empty_and_reversed_ranges_do_nothing() {
        let mut set = WriteSet::new();
        set.delete_range(Table::Undo, key::height(3), key::height(3));
        set.delete_range(Table::Undo, key::height(3), key::height(1));
        assert!(set.is_empty());
        assert_eq!(set.bytes(), 0);
    }

    #[test]
    fn appending_keeps_the_order_of_the_two_sets() {
        let mut first = WriteSet::new();
        first.put(Table::Meta, "a", b"1");
        first.put(Table::Meta, "b", b"1");
        let mut second = WriteSet::new();
        second.delete_range(Table::Meta, "a", "b");
        second.put(Table::Meta, "b", b"2");
        first.append(second);
        let (ranges, points) = sorted(first, Table::Meta);
        assert_eq!(points, vec![(b"b".to_vec(), Some(b"2".to_vec()))]);
        assert_eq!(ranges, vec![(b"a".to_vec(), b"b".to_vec())]);
    }

    #[test]
    fn keys_and_values_are_checked_against_the_schema() {
        let mut set = WriteSet::new();
        set.put(Table::Records, [0_u8; 9], b"x");
        let refused = set.into_sorted();
        assert!(matches!(
            refused,
            Err(StorageError::Invalid(InvalidWrite::Key { table: Table::Records, key_bytes: 9, .. }))
        ));
        let mut set = WriteSet::new();
        set.put(Table::Batches, [0_u8; 32], vec![0_u8; VALUE_BYTES_MAX + 1]);
        let refused = set.into_sorted();
        assert!(matches!(refused, Err(StorageError::Invalid(InvalidWrite::ValueTooLarge { .. }))));
    }
}
