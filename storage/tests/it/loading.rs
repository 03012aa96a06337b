//! Loading a whole table at start.

use std::ops::ControlFlow;

use storage::{Durability, MemoryStore, Store, Table, WriteSet, key};

use crate::model::{IDENTITY, noise, open};

const RECORDS: u64 = 100_000;

fn fill(store: &dyn Store) {
    for chunk in 0..10 {
        let mut set = WriteSet::new();
        for slot in (0..RECORDS).filter(|slot| slot % 10 == chunk) {
            set.put(Table::Records, key::slot(slot), noise(slot, 120));
        }
        store.write(set, Durability::Buffered).unwrap();
    }
}

fn load(store: &dyn Store) {
    let mut next = 0;
    store
        .for_each(Table::Records, &mut |key, value| {
            assert_eq!(key::number(key), Some(next));
            assert_eq!(value, noise(next, 120));
            next += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(next, RECORDS);
}

#[test]
fn a_hundred_thousand_records_are_visited_in_order() {
    let memory = MemoryStore::fresh(&IDENTITY);
    fill(&memory);
    load(&memory);
    let directory = tempfile::tempdir().unwrap();
    let rocks = open(directory.path());
    fill(&rocks);
    load(&rocks);
    rocks.flush().unwrap();
    load(&rocks);
    rocks.compact().unwrap();
    load(&rocks);
}
