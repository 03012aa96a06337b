//! Rows that are deleted give their room back to the device.

use std::time::{Duration, Instant};

use storage::{Durability, MemoryStore, Store, Table, WriteSet, key, tree_bytes};

use crate::model::{IDENTITY, noise, open};

const HEIGHTS: u64 = 3_000;
const KEPT: u64 = 100;

fn digest(height: u64) -> Vec<u8> {
    noise(height, 32)
}

fn fill(store: &dyn Store) {
    for height in 1..=HEIGHTS {
        let mut set = WriteSet::new();
        set.put(Table::Batches, digest(height), noise(height, 20 << 10));
        set.put(Table::Outcomes, key::height(height), noise(height, 8 << 10));
        store.write(set, Durability::Buffered).unwrap();
    }
}

fn prune(store: &dyn Store) {
    let mut set = WriteSet::new();
    (1..=HEIGHTS - KEPT).for_each(|height| set.delete(Table::Batches, digest(height)));
    set.delete_range(Table::Outcomes, key::height(1), key::height(HEIGHTS - KEPT + 1));
    store.write(set, Durability::Synced).unwrap();
    store.reclaim(Table::Batches, None).unwrap();
    store.reclaim(Table::Outcomes, Some(&key::height(HEIGHTS - KEPT + 1))).unwrap();
}

fn holds_the_rest(store: &dyn Store) {
    for height in [1, HEIGHTS - KEPT] {
        assert_eq!(store.get(Table::Batches, &digest(height)).unwrap(), None);
        assert_eq!(store.get(Table::Outcomes, &key::height(height)).unwrap(), None);
    }
    for height in HEIGHTS - KEPT + 1..=HEIGHTS {
        assert_eq!(store.get(Table::Batches, &digest(height)).unwrap(), Some(noise(height, 20 << 10)));
        assert_eq!(store.get(Table::Outcomes, &key::height(height)).unwrap(), Some(noise(height, 8 << 10)));
    }
}

#[test]
fn the_directory_shrinks_when_old_heights_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    store.flush().unwrap();
    let before = tree_bytes(directory.path()).unwrap();
    assert!(before > HEIGHTS * (20 << 10), "{before}");
    prune(&store);
    // Files that nobody needs are deleted in the background, logs with the flush of what they cover.
    store.flush().unwrap();
    let (end, mut after) = (Instant::now() + Duration::from_secs(20), before);
    while after > before / 3 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        after = tree_bytes(directory.path()).unwrap();
    }
    assert!(after <= before / 3, "{before} bytes before, {after} after");
    holds_the_rest(&store);
    drop(store);
    holds_the_rest(&open(directory.path()));
}

#[test]
fn a_snapshot_still_sees_what_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    let view = store.snapshot().unwrap();
    prune(&store);
    holds_the_rest(&store);
    assert_eq!(view.get(Table::Batches, &digest(1)).unwrap(), Some(noise(1, 20 << 10)));
    assert_eq!(view.get(Table::Outcomes, &key::height(1)).unwrap(), Some(noise(1, 8 << 10)));
    let memory = MemoryStore::fresh(&IDENTITY);
    fill(&memory);
    prune(&memory);
    holds_the_rest(&memory);
}
