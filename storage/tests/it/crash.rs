//! What survives: a prefix, and everything that was synced.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use storage::{
    CrashPlan, CrashPoint, Durability, Fault, MemoryDisk, Reader, RocksStore, StorageError, Store, Survival,
    Table,
};

use crate::model::{
    IDENTITY, Model, after, contents, copy_directory, newest_file, numbered, open, write_set,
};

fn write(store: &dyn Store, number: u64, durability: Durability) -> Result<(), StorageError> {
    store.write(write_set(&numbered(number)), durability)
}

/// How many numbered sets a store holds; fails when it holds anything else than a prefix of them.
fn prefix_length(reader: &dyn Reader) -> u64 {
    let held = contents(reader).unwrap();
    let count = reader.get(Table::Meta, b"tip").unwrap().map_or(0, |tip| {
        let tip: [u8; 8] = tip.try_into().unwrap();
        u64::from_be_bytes(tip) + 1
    });
    assert_eq!(held, after(count).without_empty_tables(), "not a prefix");
    count
}

#[test]
fn a_crash_of_the_twin_keeps_a_prefix_that_holds_everything_synced() {
    let mut kept_something = false;
    let mut lost_something = false;
    for seed in 0..200 {
        let disk = MemoryDisk::new(CrashPlan { seed, ..CrashPlan::default() });
        let store = disk.open(&IDENTITY).unwrap();
        let synced = seed % 7;
        for number in 0..12 {
            let durability = if number + 1 == synced { Durability::Synced } else { Durability::Buffered };
            write(&store, number, durability).unwrap();
        }
        let report = disk.crash();
        assert_eq!(store.get(Table::Meta, b"tip"), Err(StorageError::Crashed));
        assert_eq!(write(&store, 99, Durability::Synced), Err(StorageError::Crashed));
        let reopened = disk.open(&IDENTITY).unwrap();
        let held = prefix_length(&reopened);
        assert!(held >= synced && held <= 12);
        assert_eq!(report.kept as u64, held - synced);
        assert_eq!(report.lost as u64, 12 - held);
        kept_something |= held > synced;
        lost_something |= held < 12;
        // What survived is durable now, and the dead handle's end does not close the new one.
        drop(store);
        assert_eq!(disk.open(&IDENTITY).err(), Some(StorageError::Locked { path: "(memory)".into() }));
        disk.crash();
        assert_eq!(prefix_length(&disk.open(&IDENTITY).unwrap()), held);
    }
    assert!(kept_something && lost_something, "the draws must cover both");
}

#[test]
fn equal_seeds_crash_alike_and_survival_can_be_chosen() {
    let run = |plan: CrashPlan| {
        let disk = MemoryDisk::new(plan);
        let mut held = Vec::new();
        for _ in 0..5 {
            let store = disk.open(&IDENTITY).unwrap();
            let start = prefix_length(&store);
            for number in start..start + 10 {
                write(&store, number, Durability::Buffered).unwrap();
            }
            disk.crash();
            held.push(prefix_length(&disk.open(&IDENTITY).unwrap()));
        }
        held
    };
    let drawn = |seed| CrashPlan { seed, ..CrashPlan::default() };
    assert_eq!(run(drawn(5)), run(drawn(5)));
    assert_ne!(run(drawn(5)), run(drawn(6)));
    assert_eq!(run(CrashPlan { survival: Survival::Nothing, ..drawn(5) }), vec![0; 5]);
    assert_eq!(run(CrashPlan { survival: Survival::Everything, ..drawn(5) }), vec![10, 20, 30, 40, 50]);
}

#[test]
fn a_planned_crash_strikes_inside_the_call() {
    let mut survived = 0;
    for seed in 0..20 {
        let plan = CrashPlan { seed, crash_at: Some(CrashPoint::Write(3)), ..CrashPlan::default() };
        let disk = MemoryDisk::new(plan);
        let store = disk.open(&IDENTITY).unwrap();
        write(&store, 0, Durability::Synced).unwrap();
        write(&store, 1, Durability::Synced).unwrap();
        assert_eq!(write(&store, 2, Durability::Synced), Err(StorageError::Crashed));
        let held = prefix_length(&disk.open(&IDENTITY).unwrap());
        assert!(held == 2 || held == 3);
        survived += held - 2;
    }
    assert!(survived > 0 && survived < 20, "a set in flight sometimes survives: {survived}");

    let plan = CrashPlan {
        crash_at: Some(CrashPoint::Sync(1)),
        survival: Survival::Nothing,
        ..CrashPlan::default()
    };
    let disk = MemoryDisk::new(plan);
    let store = disk.open(&IDENTITY).unwrap();
    write(&store, 0, Durability::Buffered).unwrap();
    assert_eq!(store.sync(), Err(StorageError::Crashed));
    assert_eq!(prefix_length(&disk.open(&IDENTITY).unwrap()), 0);
}

#[test]
fn a_failed_write_stops_the_store_until_it_is_opened_again() {
    let plan = CrashPlan { fail_at_write: Some((2, Fault::InputOutput)), ..CrashPlan::default() };
    let disk = MemoryDisk::new(plan);
    let store = disk.open(&IDENTITY).unwrap();
    write(&store, 0, Durability::Synced).unwrap();
    assert!(matches!(write(&store, 1, Durability::Synced), Err(StorageError::Io { .. })));
    assert_eq!(write(&store, 1, Durability::Synced), Err(StorageError::Stopped));
    assert_eq!(store.sync(), Err(StorageError::Stopped));
    assert_eq!(prefix_length(&store), 1);
    drop(store);
    let store = disk.open(&IDENTITY).unwrap();
    write(&store, 1, Durability::Synced).unwrap();
    assert_eq!(prefix_length(&store), 2);
}

#[test]
fn a_full_disk_says_so_before_and_when_a_write_fails() {
    let disk = MemoryDisk::new(CrashPlan { capacity_bytes: Some(8000), ..CrashPlan::default() });
    let store = disk.open(&IDENTITY).unwrap();
    write(&store, 0, Durability::Synced).unwrap();
    write(&store, 1, Durability::Synced).unwrap();
    assert!(store.free_bytes().unwrap() < 2000);
    assert_eq!(write(&store, 2, Durability::Synced), Err(StorageError::DiskFull));
    assert_eq!(prefix_length(&store), 2);
}

#[test]
fn a_lying_disk_loses_what_it_said_was_durable() {
    let plan = CrashPlan { lying_sync: true, survival: Survival::Nothing, ..CrashPlan::default() };
    let disk = MemoryDisk::new(plan);
    let store = disk.open(&IDENTITY).unwrap();
    write(&store, 0, Durability::Synced).unwrap();
    store.sync().unwrap();
    disk.crash();
    assert_eq!(prefix_length(&disk.open(&IDENTITY).unwrap()), 0);
}

#[test]
fn a_copy_of_a_running_database_holds_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("live"));
    for number in 0..50 {
        write(&store, number, Durability::Buffered).unwrap();
        if number == 20 {
            store.flush().unwrap();
        }
    }
    store.sync().unwrap();
    let copy = directory.path().join("copy");
    copy_directory(store.path(), &copy);
    assert_eq!(prefix_length(&open(&copy)), 50);
}

#[test]
fn a_torn_log_recovers_to_a_prefix_at_every_cut() {
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("live");
    let store = open(&live);
    for number in 0..20 {
        write(&store, number, Durability::Synced).unwrap();
    }
    let log = newest_file(&live, "log");
    let log_bytes = std::fs::metadata(&log).unwrap().len();
    let mut lengths = Vec::new();
    for cut in (0..log_bytes).step_by(1777).chain([log_bytes - 1, log_bytes]) {
        let copy = directory.path().join(format!("copy-{cut}"));
        copy_directory(&live, &copy);
        let torn = std::fs::File::options().write(true).open(copy.join(log.file_name().unwrap())).unwrap();
        torn.set_len(cut).unwrap();
        let store = open(&copy);
        lengths.push(prefix_length(&store));
        // It goes on from there, and a second start finds nothing torn any more.
        let next = lengths[lengths.len() - 1];
        write(&store, next, Durability::Synced).unwrap();
        drop(store);
        assert_eq!(prefix_length(&open(&copy)), next + 1);
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(lengths.is_sorted());
    assert_eq!(lengths.first(), Some(&0));
    assert_eq!(lengths[lengths.len() - 2..], [19, 20]);
}

const CHILD_DIRECTORY: &str = "STORAGE_TEST_CHILD_DIRECTORY";

/// Sets that the child acknowledges before it is killed.
const ACKNOWLEDGED: usize = 150;

#[test]
#[ignore = "the child of nothing_acknowledged_is_lost_when_a_process_is_killed"]
fn child_writes_until_it_is_killed() {
    let directory = std::env::var(CHILD_DIRECTORY).expect("started by its parent test");
    let store = open(Path::new(&directory));
    for number in 0..100_000 {
        // Every fifth set is synced; SIGKILL spares the others too, because the log went to the kernel.
        let durability = if number % 5 == 0 { Durability::Synced } else { Durability::Buffered };
        write(&store, number, durability).unwrap();
        println!("acknowledged {number}");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_a_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let data = directory.path().join(format!("data-{round}"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(CHILD_DIRECTORY, &data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = lines
            .map_while(Result::ok)
            .filter_map(|line| {
                line.split("acknowledged ").nth(1).and_then(|number| number.parse::<u64>().ok())
            })
            .take(ACKNOWLEDGED)
            .last();
        assert!(
            matches!(
                RocksStore::open(&data, &IDENTITY, crate::model::SMALL),
                Err(StorageError::Locked { .. })
            ),
            "the living child holds the directory"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let last = last.expect("the child acknowledged something");
        assert!(last + 1 >= ACKNOWLEDGED as u64);
        let held = prefix_length(&open(&data));
        assert!(held > last, "acknowledged {last}, but only {held} sets are there");
    }
}

#[test]
fn an_empty_model_is_a_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(prefix_length(&store), 0);
    Model::default().assert_equals(&store);
}
