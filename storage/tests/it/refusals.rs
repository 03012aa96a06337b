//! Directories that must not be opened, and what they are told.

use std::fs;
use std::path::Path;

use storage::{
    CrashPlan, Durability, Identity, MemoryDisk, Reader, RocksReader, RocksStore, StorageError, Store, Table,
    read_identity,
};

use crate::model::{IDENTITY, SMALL, after, copy_directory, numbered, open, write_set};

fn refused(path: &Path, identity: &Identity) -> StorageError {
    let error = RocksStore::open(path, identity, SMALL).expect_err("a refusal");
    assert!(!error.mend().is_empty());
    error
}

fn listing(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A closed database with ten sets, half of them flushed.
fn database(path: &Path) {
    let store = open(path);
    for number in 0..10 {
        store.write(write_set(&numbered(number)), Durability::Synced).unwrap();
        if number == 4 {
            store.flush().unwrap();
        }
    }
}

#[test]
fn another_network_chain_or_schema_is_refused_naming_both() {
    let directory = tempfile::tempdir().unwrap();
    database(directory.path());
    let others = [
        Identity { chain: 4, ..IDENTITY },
        Identity { genesis: [8; 32], ..IDENTITY },
        Identity { schema_version: 2, ..IDENTITY },
    ];
    let before = listing(directory.path());
    for other in others {
        let error = refused(directory.path(), &other);
        let expected =
            StorageError::Foreign { path: directory.path().to_owned(), expected: other, found: IDENTITY };
        assert_eq!(error, expected);
        assert!(error.is_refusal());
        let text = error.to_string();
        assert!(text.contains(&other.to_string()) && text.contains(&IDENTITY.to_string()), "{text}");
        let reader = RocksReader::open(directory.path(), Some(&other), SMALL);
        assert_eq!(reader.err(), Some(expected));
    }
    assert_eq!(listing(directory.path()), before, "a refused directory stays as it was");
    assert_eq!(read_identity(directory.path()), Ok(IDENTITY));
    let disk = MemoryDisk::new(CrashPlan::default());
    drop(disk.open(&IDENTITY).unwrap());
    assert!(matches!(disk.open(&others[0]), Err(StorageError::Foreign { .. })));
}

#[test]
fn somebody_elses_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "years of work").unwrap();
    let error = refused(directory.path(), &IDENTITY);
    let expected =
        StorageError::NotOurs { path: directory.path().to_owned(), entry: "thesis.txt".to_owned() };
    assert_eq!(error, expected);
    assert_eq!(listing(directory.path()), ["thesis.txt"]);
    assert!(matches!(read_identity(directory.path()), Err(StorageError::NotOurs { .. })));

    let file = directory.path().join("thesis.txt");
    assert!(matches!(RocksStore::open(&file, &IDENTITY, SMALL), Err(StorageError::Io { .. })));
}

#[test]
fn a_database_of_rocksdb_that_is_not_ours_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    database(directory.path());
    fs::remove_file(directory.path().join("STORE")).unwrap();
    assert!(matches!(refused(directory.path(), &IDENTITY), StorageError::NotOurs { .. }));
}

#[test]
fn a_database_in_use_is_locked_for_writers_and_readers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let locked = StorageError::Locked { path: directory.path().to_owned() };
    assert_eq!(refused(directory.path(), &IDENTITY), locked);
    let reader = RocksReader::open(directory.path(), None, SMALL);
    assert_eq!(reader.err(), Some(locked.clone()));
    drop(store);
    // Readers share, and keep writers out.
    let first = RocksReader::open(directory.path(), Some(&IDENTITY), SMALL).unwrap();
    let second = RocksReader::open(directory.path(), None, SMALL).unwrap();
    assert_eq!(refused(directory.path(), &IDENTITY), locked);
    drop((first, second));
    drop(open(directory.path()));
}

#[test]
fn a_crash_while_creating_leaves_a_directory_that_opens() {
    let directory = tempfile::tempdir().unwrap();
    database(&directory.path().join("whole"));
    let claim = fs::read(directory.path().join("whole/STORE")).unwrap();
    // Only the draft of the claim; only the claim; claim and what RocksDB makes before CURRENT.
    let stages: [&[(&str, &[u8])]; 3] = [
        &[("STORE.new", b"half a cl")],
        &[("STORE", &claim)],
        &[("STORE", &claim), ("LOCK", b""), ("IDENTITY", b"x"), ("MANIFEST-000001", b"")],
    ];
    for (number, files) in stages.into_iter().enumerate() {
        let path = directory.path().join(number.to_string());
        fs::create_dir(&path).unwrap();
        for (name, bytes) in files {
            fs::write(path.join(name), bytes).unwrap();
        }
        assert!(matches!(RocksReader::open(&path, None, SMALL), Err(StorageError::Missing { .. })));
        let store = open(&path);
        store.write(write_set(&numbered(0)), Durability::Synced).unwrap();
        after(1).assert_equals(&store);
    }
    // RocksDB has made its database, but not yet our tables in it.
    let path = directory.path().join("no-tables");
    drop(rocksdb::DB::open_default(&path).unwrap());
    fs::write(path.join("STORE"), &claim).unwrap();
    let store = open(&path);
    store.write(write_set(&numbered(0)), Durability::Synced).unwrap();
    after(1).assert_equals(&store);
}

#[test]
fn a_lost_root_file_is_corruption_and_never_a_fresh_start() {
    let directory = tempfile::tempdir().unwrap();
    for (number, name) in ["CURRENT", "MANIFEST"].into_iter().enumerate() {
        let path = directory.path().join(number.to_string());
        database(&path);
        let lost = listing(&path).into_iter().find(|file| file.starts_with(name)).unwrap();
        fs::remove_file(path.join(lost)).unwrap();
        let error = refused(&path, &IDENTITY);
        assert!(matches!(error, StorageError::Corruption { file: Some(_), .. }), "{error}");
        assert!(!error.is_refusal());
    }
}

#[test]
fn a_lost_table_file_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    database(directory.path());
    for name in listing(directory.path()) {
        if name.ends_with(".sst") || name.ends_with(".blob") {
            let copy = directory.path().join("copy");
            copy_directory_flat(directory.path(), &copy);
            fs::remove_file(copy.join(&name)).unwrap();
            let outcome = RocksReader::open(&copy, None, SMALL).and_then(|reader| reader.verify_all());
            assert!(outcome.is_err(), "{name} is gone and nobody noticed");
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

/// Like `copy_directory`, for a source that may hold the copy.
fn copy_directory_flat(from: &Path, to: &Path) {
    let files = tempfile::tempdir().unwrap();
    for name in listing(from) {
        if from.join(&name).is_file() {
            fs::copy(from.join(&name), files.path().join(&name)).unwrap();
        }
    }
    copy_directory(files.path(), to);
}

#[test]
fn readers_of_nothing_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    for path in [directory.path(), missing.as_path()] {
        let error = RocksReader::open(path, None, SMALL).expect_err("nothing there");
        assert_eq!(error, StorageError::Missing { path: path.to_owned() });
    }
    assert!(!missing.exists(), "a reader makes nothing");
}

#[test]
fn a_reader_reads_everything_and_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    database(directory.path());
    let before = listing(directory.path());
    let reader = RocksReader::open(directory.path(), None, SMALL).unwrap();
    assert_eq!(*reader.identity(), IDENTITY);
    after(10).assert_equals(&reader);
    let report = reader.verify_all().unwrap();
    let rows = after(10).tables.values().map(|rows| rows.len() as u64).sum::<u64>();
    assert_eq!(report.rows, rows);
    drop(reader);
    assert_eq!(listing(directory.path()), before);
}

#[test]
fn a_follower_reads_beside_a_running_store_and_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let store = open(&path);
    for number in 0..5 {
        store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
    }
    store.flush().unwrap();
    for number in 5..8 {
        store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
    }
    let scratch = directory.path().join("scratch");
    let follower = RocksReader::follow(&path, &scratch, Some(&IDENTITY), SMALL).unwrap();
    after(8).assert_equals(&follower);
    for number in 8..20 {
        store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
        if number % 4 == 0 {
            store.flush().unwrap();
        }
    }
    follower.catch_up().unwrap();
    after(20).assert_equals(&follower);
    after(20).assert_equals(&store);
}

#[test]
fn a_checkpoint_is_a_whole_database_of_its_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data"));
    for number in 0..10 {
        store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
    }
    let target = directory.path().join("checkpoint");
    store.checkpoint(&target).unwrap();
    assert!(matches!(store.checkpoint(&target), Err(StorageError::NotOurs { .. })));
    store.write(write_set(&numbered(10)), Durability::Buffered).unwrap();
    let reader = RocksReader::open(&target, Some(&IDENTITY), SMALL).unwrap();
    after(10).assert_equals(&reader);
    drop(reader);
    let restored = open(&target);
    after(10).assert_equals(&restored);
    assert_eq!(store.get(Table::Meta, b"tip").unwrap(), Some(10_u64.to_be_bytes().to_vec()));
    assert!(store.verify_all().unwrap().rows > 0);
}
