//! One suite for both implementations: they must answer alike, whatever they are asked.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use proptest::prelude::*;
use storage::{
    Durability, InvalidWrite, MemoryStore, Order, PAGE_BYTES_MAX, Page, Reader, RocksStore, StorageError,
    Store, Table, VALUE_BYTES_MAX, WRITE_SET_BYTES_MAX, WriteSet, key,
};

use crate::model::{Change, IDENTITY, Model, numbered, open, write_set};

/// Runs `suite` on a fresh store of each kind.
fn on_both(suite: impl Fn(Arc<dyn Store>)) {
    suite(Arc::new(MemoryStore::fresh(&IDENTITY)));
    let directory = tempfile::tempdir().unwrap();
    suite(Arc::new(open(directory.path())));
}

fn put(store: &dyn Store, table: Table, key: &[u8], value: &[u8]) {
    let mut set = WriteSet::new();
    set.put(table, key, value);
    store.write(set, Durability::Buffered).unwrap();
}

#[test]
fn values_are_found_as_written_and_missing_ones_are_none() {
    on_both(|store| {
        assert_eq!(store.get(Table::Records, &key::slot(1)).unwrap(), None);
        put(&*store, Table::Records, &key::slot(1), b"one");
        put(&*store, Table::Records, &key::slot(2), b"");
        assert_eq!(store.get(Table::Records, &key::slot(1)).unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!(store.get(Table::Records, &key::slot(2)).unwrap().as_deref(), Some(b"".as_slice()));
        // The same key in another table is another row.
        assert_eq!(store.get(Table::Heights, &key::height(1)).unwrap(), None);
    });
}

#[test]
fn multi_get_answers_in_the_order_asked_with_repeats() {
    on_both(|store| {
        for slot in 0..5000 {
            put(&*store, Table::Records, &key::slot(slot * 2), &slot.to_be_bytes());
        }
        let keys: Vec<_> = (0..10_000_u64).rev().chain([4, 4]).map(key::slot).collect();
        let asked: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
        let found = store.multi_get(Table::Records, &asked).unwrap();
        assert_eq!(found.len(), keys.len());
        for (key, value) in keys.iter().zip(found) {
            let slot = key::number(key).unwrap();
            let expected = slot.is_multiple_of(2).then(|| (slot / 2).to_be_bytes().to_vec());
            assert_eq!(value, expected);
        }
        assert_eq!(store.multi_get(Table::Records, &[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
    });
}

#[test]
fn pages_turn_both_ways_without_gap_or_repeat() {
    on_both(|store| {
        for height in 0..25 {
            put(&*store, Table::History, &key::history(7, height, 1, 0), &height.to_be_bytes());
        }
        put(&*store, Table::History, &key::history(6, 99, 0, 0), b"before");
        put(&*store, Table::History, &key::history(8, 0, 0, 0), b"behind");
        let (first, until) = key::history_of(7);
        let until = until.unwrap();

        let mut forward = Vec::new();
        let mut from = Bound::Included(first.to_vec());
        loop {
            let page = Page {
                from: from.as_ref().map(Vec::as_slice),
                until: Some(&until),
                order: Order::Forward,
                rows: 4,
                bytes: PAGE_BYTES_MAX,
            };
            let rows = store.scan(Table::History, page).unwrap();
            let Some((last, _)) = rows.last() else { break };
            from = Bound::Excluded(last.clone());
            forward.extend(rows);
        }
        let heights: Vec<_> = forward.iter().map(|(key, _)| key::split_history(key).unwrap().1).collect();
        assert_eq!(heights, (0..25).collect::<Vec<_>>());

        let mut backward = Vec::new();
        let mut end = until.to_vec();
        loop {
            let page = Page {
                from: Bound::Included(&first),
                until: Some(&end),
                order: Order::Backward,
                rows: 4,
                bytes: PAGE_BYTES_MAX,
            };
            let rows = store.scan(Table::History, page).unwrap();
            let Some((last, _)) = rows.last() else { break };
            end = last.clone();
            backward.extend(rows);
        }
        backward.reverse();
        assert_eq!(backward, forward);
    });
}

#[test]
fn a_page_obeys_its_byte_limit_but_holds_at_least_one_row() {
    on_both(|store| {
        for slot in 0..10 {
            put(&*store, Table::Records, &key::slot(slot), &[0; 92]);
        }
        let page = |bytes| Page { bytes, ..Page::first(100) };
        assert_eq!(store.scan(Table::Records, page(300)).unwrap().len(), 3);
        assert_eq!(store.scan(Table::Records, page(299)).unwrap().len(), 2);
        assert_eq!(store.scan(Table::Records, page(0)).unwrap().len(), 1);
        assert_eq!(store.scan(Table::Records, Page::first(0)).unwrap().len(), 0);
        let last = store.scan(Table::Records, Page::last(1)).unwrap();
        assert_eq!(key::number(&last[0].0), Some(9));
    });
}

#[test]
fn empty_and_reversed_ranges_are_empty_pages() {
    on_both(|store| {
        put(&*store, Table::Records, &key::slot(5), b"x");
        let (five, nine) = (key::slot(5), key::slot(9));
        for order in [Order::Forward, Order::Backward] {
            for (from, until) in [
                (Bound::Included(&nine), &five),
                (Bound::Included(&five), &five),
                (Bound::Excluded(&five), &nine),
            ] {
                let from = from.map(<[u8; 8]>::as_slice);
                let page = Page { from, until: Some(until), order, ..Page::first(10) };
                assert_eq!(store.scan(Table::Records, page).unwrap(), Vec::new());
            }
        }
    });
}

#[test]
fn a_snapshot_stays_at_its_moment() {
    on_both(|store| {
        for number in 0..5 {
            store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
        }
        let snapshot = store.snapshot().unwrap();
        for number in 5..9 {
            store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
        }
        crate::model::after(5).assert_equals(&*snapshot);
        crate::model::after(9).assert_equals(&*store);
        let tip = snapshot.get(Table::Meta, b"tip").unwrap().unwrap();
        assert_eq!(tip, 4_u64.to_be_bytes());
        let last = snapshot.scan(Table::Heights, Page::last(1)).unwrap();
        assert_eq!(key::number(&last[0].0), Some(4));
    });
}

#[test]
fn a_visit_stops_where_it_is_told() {
    on_both(|store| {
        for slot in 0..10 {
            put(&*store, Table::Records, &key::slot(slot), b"x");
        }
        let mut seen = 0;
        store
            .for_each(Table::Records, &mut |_, _| {
                seen += 1;
                if seen == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        assert_eq!(seen, 4);
    });
}

#[test]
fn invalid_writes_are_refused_whole_and_the_store_lives_on() {
    on_both(|store| {
        let mut set = WriteSet::new();
        set.put(Table::Records, key::slot(1), b"fine");
        set.put(Table::Records, b"short", b"wrong key");
        let refused = store.write(set, Durability::Synced);
        assert!(matches!(refused, Err(StorageError::Invalid(InvalidWrite::Key { key_bytes: 5, .. }))));

        let mut set = WriteSet::new();
        set.put(Table::Batches, [1; 32], vec![0; VALUE_BYTES_MAX + 1]);
        let refused = store.write(set, Durability::Synced);
        assert!(matches!(refused, Err(StorageError::Invalid(InvalidWrite::ValueTooLarge { .. }))));

        let mut set = WriteSet::new();
        for number in 0..=(WRITE_SET_BYTES_MAX / VALUE_BYTES_MAX) as u8 {
            set.put(Table::Batches, [number; 32], vec![0; VALUE_BYTES_MAX]);
        }
        let refused = store.write(set, Durability::Synced);
        assert!(matches!(refused, Err(StorageError::Invalid(InvalidWrite::SetTooLarge { .. }))));

        Model::default().assert_equals(&*store);
        put(&*store, Table::Records, &key::slot(1), b"fine");
        assert!(store.get(Table::Records, &key::slot(1)).unwrap().is_some());
    });
}

#[test]
fn statistics_count_what_was_done() {
    on_both(|store| {
        let mut set = WriteSet::new();
        set.put(Table::Records, key::slot(1), vec![1; 100]);
        store.write(set.clone(), Durability::Synced).unwrap();
        store.write(set, Durability::Buffered).unwrap();
        store.sync().unwrap();
        store.get(Table::Records, &key::slot(1)).unwrap();
        store.multi_get(Table::Records, &[&key::slot(1), &key::slot(2)]).unwrap();
        let statistics = store.statistics();
        assert_eq!(statistics.write_sets, 2);
        assert_eq!(statistics.write_set_bytes, 216);
        assert_eq!(statistics.syncs, 2);
        assert_eq!(statistics.keys_read, 3);
        assert_eq!(statistics.background_errors, 0);
        assert!(store.bytes_on_disk().unwrap() >= 108);
        assert!(store.free_bytes().unwrap() > 0);
    });
}

#[test]
fn rocks_statistics_tell_where_bytes_went() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..100 {
        store.write(write_set(&numbered(number)), Durability::Buffered).unwrap();
    }
    assert!(store.statistics().wal_bytes > 300_000);
    assert!(store.statistics().write_buffer_bytes > 300_000);
    store.flush().unwrap();
    let statistics = store.statistics();
    assert!(statistics.blob_write_bytes >= 100 * 3000, "{statistics:?}");
    assert!(statistics.flush_bytes > 0, "{statistics:?}");
}

/// Keys from a small pool, so that operations meet.
fn change() -> impl Strategy<Value = Change> {
    let table_and_key = prop_oneof![
        (0..4_u8).prop_map(|name| (Table::Meta, vec![b'a' + name])),
        (0..6_u8).prop_map(|digest| (Table::Batches, vec![digest; 32])),
        (0..12_u64).prop_map(|slot| (Table::Records, key::slot(slot).to_vec())),
        (0..12_u64).prop_map(|height| (Table::Undo, key::height(height).to_vec())),
        (0..3_u64, 0..4_u64)
            .prop_map(|(slot, height)| (Table::History, key::history(slot, height, 0, 0).to_vec())),
    ];
    let size = prop_oneof![Just(0_usize), 1..200_usize, 2000..6000_usize];
    let put = (table_and_key.clone(), any::<u64>(), size)
        .prop_map(|((table, key), seed, size)| Change::Put(table, key, crate::model::noise(seed, size)));
    let range = (0..14_u64, 0..14_u64, any::<bool>()).prop_map(|(from, until, undo)| {
        let table = if undo { Table::Undo } else { Table::Records };
        Change::DeleteRange(table, key::slot(from).to_vec(), key::slot(until).to_vec())
    });
    prop_oneof![
        6 => put,
        2 => table_and_key.prop_map(|(table, key)| Change::Delete(table, key)),
        1 => range,
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>, bool),
    Scan(Table, u64, Option<u64>, bool, usize, usize),
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let table = prop_oneof![Just(Table::Records), Just(Table::Undo)];
    prop_oneof![
        8 => (prop::collection::vec(change(), 0..8), any::<bool>()).prop_map(|(set, synced)| Step::Write(set, synced)),
        4 => (table, 0..13_u64, prop::option::of(0..13_u64), any::<bool>(), 0..6_usize, 0..9000_usize)
            .prop_map(|(table, from, until, back, rows, bytes)| Step::Scan(table, from, until, back, rows, bytes)),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

fn compare_scan(stores: [&dyn Store; 2], model: &Model, step: &Step) {
    let Step::Scan(table, from, until, back, rows, bytes) = *step else { return };
    let (from, until) = (key::slot(from), until.map(key::slot));
    let bounds = [Bound::Unbounded, Bound::Included(from.as_slice()), Bound::Excluded(from.as_slice())];
    let order = if back { Order::Backward } else { Order::Forward };
    for from in bounds {
        let page = Page { from, until: until.as_ref().map(<[u8; 8]>::as_slice), order, rows, bytes };
        for store in stores {
            assert_eq!(store.scan(table, page).unwrap(), model.scan(table, page));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_do_what_the_plain_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let mut memory = MemoryStore::fresh(&IDENTITY);
        let mut rocks: RocksStore = open(directory.path());
        for step in &steps {
            match step {
                Step::Write(changes, synced) => {
                    let durability = if *synced { Durability::Synced } else { Durability::Buffered };
                    model.apply(changes);
                    memory.write(write_set(changes), durability).unwrap();
                    rocks.write(write_set(changes), durability).unwrap();
                }
                Step::Scan(..) => compare_scan([&memory, &rocks], &model, step),
                Step::Flush => rocks.flush().unwrap(),
                Step::Reopen => {
                    let disk = memory.disk();
                    drop(memory);
                    memory = disk.open(&IDENTITY).unwrap();
                    drop(rocks);
                    rocks = open(directory.path());
                }
            }
        }
        model.assert_equals(&memory);
        model.assert_equals(&rocks);
        for table in Table::ALL {
            for slot in 0..13_u64 {
                let key = key::slot(slot);
                prop_assert_eq!(rocks.get(table, &key).unwrap(), model.get(table, &key));
            }
        }
    }
}
