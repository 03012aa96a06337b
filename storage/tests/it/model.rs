//! A plain model of a store, and the few things every test needs.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use storage::{Identity, Order, Page, Reader, RocksOptions, RocksStore, Table, WriteSet, key};

/// What a store should hold: the obvious thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// One operation of a set, as the caller says it.
#[derive(Clone, Debug)]
pub enum Change {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

impl Model {
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change.clone() {
                Change::Put(table, key, value) => {
                    self.tables.entry(table).or_default().insert(key, value);
                }
                Change::Delete(table, key) => {
                    self.tables.entry(table).or_default().remove(&key);
                }
                Change::DeleteRange(table, from, until) => {
                    let rows = self.tables.entry(table).or_default();
                    rows.retain(|key, _| *key < from || *key >= until);
                }
            }
        }
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.get(&table).and_then(|rows| rows.get(key)).cloned()
    }

    pub fn scan(&self, table: Table, page: Page<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let above = |key: &[u8]| match page.from {
            Bound::Unbounded => true,
            Bound::Included(from) => key >= from,
            Bound::Excluded(from) => key > from,
        };
        let mut rows: Vec<_> = self.tables.get(&table).into_iter().flatten().collect();
        rows.retain(|(key, _)| above(key) && page.until.is_none_or(|until| key.as_slice() < until));
        if page.order == Order::Backward {
            rows.reverse();
        }
        let mut bytes = 0;
        let mut taken = Vec::new();
        for (key, value) in rows.into_iter().take(page.rows) {
            bytes += key.len() + value.len();
            if bytes > page.bytes && !taken.is_empty() {
                break;
            }
            taken.push((key.clone(), value.clone()));
        }
        taken
    }

    /// Fails unless `reader` holds exactly this, by visits and by keys.
    pub fn assert_equals(&self, reader: &dyn Reader) {
        assert_eq!(contents(reader).expect("a readable store"), self.without_empty_tables());
        for (table, rows) in &self.tables {
            let keys: Vec<&[u8]> = rows.keys().rev().map(Vec::as_slice).collect();
            let expected: Vec<_> = rows.values().rev().cloned().map(Some).collect();
            assert_eq!(reader.multi_get(*table, &keys).unwrap(), expected, "{table}");
        }
    }

    pub fn without_empty_tables(&self) -> Self {
        let mut model = self.clone();
        model.tables.retain(|_, rows| !rows.is_empty());
        model
    }
}

/// Everything in a store.
pub fn contents(reader: &dyn Reader) -> Result<Model, storage::StorageError> {
    let mut model = Model::default();
    for table in Table::ALL {
        let mut rows = BTreeMap::new();
        reader.for_each(table, &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })?;
        if !rows.is_empty() {
            model.tables.insert(table, rows);
        }
    }
    Ok(model)
}

pub fn write_set(changes: &[Change]) -> WriteSet {
    let mut set = WriteSet::new();
    for change in changes {
        match change.clone() {
            Change::Put(table, key, value) => set.put(table, key, value),
            Change::Delete(table, key) => set.delete(table, key),
            Change::DeleteRange(table, from, until) => set.delete_range(table, from, until),
        }
    }
    set
}

/// The n-th of a series of sets that touch several tables, so that a half-applied set shows.
pub fn numbered(number: u64) -> Vec<Change> {
    let digest = |salt: u8| {
        let mut digest = [salt; 32];
        digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        digest
    };
    let mut changes = vec![
        Change::Put(Table::Meta, b"tip".to_vec(), number.to_be_bytes().to_vec()),
        Change::Put(Table::Batches, digest(1).to_vec(), noise(number, 3000)),
        Change::Put(Table::Heights, key::height(number).to_vec(), digest(2).to_vec()),
        Change::Put(Table::Transactions, digest(3).to_vec(), key::position(number, 0).to_vec()),
        Change::Put(Table::Records, key::slot(number % 10).to_vec(), noise(number, 120)),
        Change::Put(Table::History, key::history(number % 10, number, 0, 0).to_vec(), noise(number, 20)),
        Change::Put(Table::Undo, key::height(number).to_vec(), noise(number, 200)),
    ];
    if let Some(old) = number.checked_sub(3) {
        changes.push(Change::Delete(Table::Undo, key::height(old).to_vec()));
    }
    changes
}

/// The model after the first `count` numbered sets.
pub fn after(count: u64) -> Model {
    let mut model = Model::default();
    for number in 0..count {
        model.apply(&numbered(number));
    }
    model
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_be_bytes());
    }
    noise.truncate(bytes);
    noise
}

pub const IDENTITY: Identity = Identity { schema_version: 1, genesis: [7; 32], chain: 3 };

pub const SMALL: RocksOptions =
    RocksOptions { cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20, open_files: 64 };

pub fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, &IDENTITY, SMALL).expect("a store that opens")
}

/// Copies the files of a database, as a machine that lost power would find them.
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The file of a database with this extension and the largest number.
pub fn newest_file(directory: &Path, extension: &str) -> std::path::PathBuf {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .max()
        .expect("a file with this extension")
}
