//! A changed byte anywhere is reported or harmless, and never other data.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use storage::{Durability, Reader, RocksReader, RocksStore, StorageError, Store, Table};

use crate::model::{IDENTITY, Model, SMALL, after, contents, copy_directory, numbered, open, write_set};

const SETS: u64 = 60;

/// A closed database with several files of each kind: tables on two levels, blobs, and a log that is not yet
/// flushed.
fn database(path: &Path) -> Model {
    let store = open(path);
    for number in 0..SETS {
        store.write(write_set(&numbered(number)), Durability::Synced).unwrap();
        match number {
            15 | 25 => store.flush().unwrap(),
            30 => {
                store.flush().unwrap();
                store.compact().unwrap();
            }
            _ => {}
        }
    }
    after(SETS)
}

/// Every file that RocksDB or we read, without the info log.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("LO"))
        .collect();
    files.sort();
    files
}

/// All offsets of a small file; of a large one its edges, where headers and footers are, and a sample
/// between.
fn offsets(bytes: usize) -> Vec<usize> {
    if bytes <= 160 {
        return (0..bytes).collect();
    }
    let mut offsets: Vec<usize> = (0..48).chain(bytes - 64..bytes).collect();
    offsets.extend((48..bytes - 64).step_by((bytes / 60).max(1)));
    offsets
}

/// Reads everything in every way; `Ok` only with exactly the data of the model.
fn check(path: &Path, model: &Model) -> Result<(), StorageError> {
    let reader = RocksReader::open(path, Some(&IDENTITY), SMALL)?;
    let found = contents(&reader)?;
    assert_eq!(found, model.without_empty_tables(), "other data");
    for (table, rows) in &model.tables {
        let keys: Vec<&[u8]> = rows.keys().map(Vec::as_slice).collect();
        let expected: Vec<_> = rows.values().cloned().map(Some).collect();
        let found = Reader::multi_get(&reader, *table, &keys)?;
        assert_eq!(found, expected, "other data in {table}");
    }
    reader.verify_all().map(|_| ())
}

#[test]
fn a_flipped_byte_in_any_file_is_reported_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let model = database(directory.path());
    check(directory.path(), &model).unwrap();
    let mut reported = std::collections::BTreeMap::<String, (usize, usize)>::new();
    for file in files(directory.path()) {
        let original = fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let kind = name.rsplit('.').next().unwrap().split('-').next().unwrap().to_owned();
        let counts = reported.entry(kind).or_default();
        for offset in offsets(original.len()) {
            let mut flipped = original.clone();
            flipped[offset] ^= 1 << (offset % 8);
            fs::write(&file, &flipped).unwrap();
            counts.0 += 1;
            match check(directory.path(), &model) {
                Ok(()) => {}
                Err(StorageError::Corruption { .. }) => counts.1 += 1,
                Err(other) => panic!("{name} byte {offset}: reported as {other:?}"),
            }
        }
        fs::write(&file, &original).unwrap();
    }
    check(directory.path(), &model).unwrap();
    println!("flips and reports by kind of file: {reported:?}");
    for kind in ["sst", "blob", "log", "MANIFEST", "STORE", "CURRENT"] {
        let (flips, reports) = reported[kind];
        assert!(flips > 10 && reports * 2 > flips, "{kind}: {reports} of {flips} flips reported");
    }
}

#[test]
fn a_flipped_byte_in_logs_and_roots_stops_a_node_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let model = database(&source);
    for file in files(&source) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let is_root = name == "STORE" || name == "CURRENT" || name.starts_with("MANIFEST");
        if !is_root && !name.ends_with(".log") {
            continue;
        }
        let original = fs::read(&file).unwrap();
        for offset in offsets(original.len()).into_iter().step_by(5) {
            let copy = directory.path().join("copy");
            copy_directory(&source, &copy);
            let mut flipped = original.clone();
            flipped[offset] ^= 0x10;
            fs::write(copy.join(&name), &flipped).unwrap();
            match RocksStore::open(&copy, &IDENTITY, SMALL) {
                Err(StorageError::Corruption { file: Some(_), .. }) => {}
                Err(other) => panic!("{name} byte {offset}: reported as {other:?}"),
                Ok(store) => model.assert_equals(&store),
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

#[test]
fn a_bad_block_is_reported_with_table_and_file_by_reads_and_by_the_full_check() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..SETS {
        store.write(write_set(&numbered(number)), Durability::Synced).unwrap();
    }
    store.flush().unwrap();
    drop(store);
    let (mut at_open, mut at_read) = (0, 0);
    for file in files(directory.path()) {
        if file.extension().is_none_or(|extension| extension != "sst" && extension != "blob") {
            continue;
        }
        let original = fs::read(&file).unwrap();
        let mut flipped = original.clone();
        flipped[40] ^= 1;
        fs::write(&file, &flipped).unwrap();
        match RocksStore::open(directory.path(), &IDENTITY, SMALL) {
            // In a file of a few rows, byte 40 is in its index, which is read at once.
            Err(error) => {
                assert_names(&error, &file);
                at_open += 1;
            }
            Ok(store) => {
                let error = store.verify_all().expect_err("a bad block");
                let table = assert_names(&error, &file).expect("a table");
                // A plain read names the table, and the file where RocksDB says it.
                let visited = Reader::for_each(&store, table, &mut |_, _| ControlFlow::Continue(()));
                assert!(
                    matches!(visited, Err(StorageError::Corruption { table: Some(same), .. }) if same == table)
                );
                at_read += 1;
            }
        }
        fs::write(&file, &original).unwrap();
    }
    assert!(at_read >= 6 && at_open + at_read >= 8, "{at_open} at open, {at_read} at reads");
}

/// Fails unless `error` is corruption of this file; answers the table.
fn assert_names(error: &StorageError, file: &Path) -> Option<Table> {
    let StorageError::Corruption { table, file: named, .. } = error else { panic!("{error:?}") };
    assert_eq!(named.as_deref(), Some(file), "{error}");
    *table
}
