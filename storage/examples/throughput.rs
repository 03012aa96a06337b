//! Prints what the store costs on this machine: blocks of writes, random reads, loading at start.
//!
//! `cargo run --example throughput -p storage [-- WALLETS [DIRECTORY]]` (default one million wallets, in a
//! temporary directory that is removed). Takes less than a minute.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use storage::{Durability, Reader, RocksOptions, RocksStore, StorageError, Store, Table, WriteSet, key};

const RECORD_BYTES: usize = 120;
const HISTORY_BYTES: usize = 40;
const BATCH_BYTES: usize = 256 << 10;
const BLOCKS: u64 = 40;
const READS: u64 = 20;
const PAYMENTS_PER_BLOCK: u64 = 10_000;

fn main() -> Result<(), StorageError> {
    let mut arguments = std::env::args().skip(1);
    let wallets = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let given = arguments.next().map(PathBuf::from);
    let path = given
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("storage-throughput-{}", std::process::id())));
    let identity = storage::Identity { schema_version: 1, genesis: [0; 32], chain: 0 };
    let options = RocksOptions { cache_bytes: 256 << 20, ..RocksOptions::default() };
    let store = RocksStore::open(&path, &identity, options)?;
    load(&store, wallets)?;
    store.flush()?;
    blocks(&store, wallets)?;
    reads(&store, wallets)?;
    visits(&store)?;
    let started = Instant::now();
    let report = store.verify_all()?;
    println!("full check: {} rows, {} MB in {:.2?}", report.rows, report.bytes >> 20, started.elapsed());
    println!("on disk: {} MB, {:?}", store.bytes_on_disk()? >> 20, store.statistics());
    drop(store);
    let started = Instant::now();
    drop(RocksStore::open(&path, &identity, options)?);
    println!("closing and opening again: {:.2?}", started.elapsed());
    if given.is_none() {
        let _ = std::fs::remove_dir_all(&path);
    }
    Ok(())
}

fn load(store: &RocksStore, wallets: u64) -> Result<(), StorageError> {
    let started = Instant::now();
    let mut random = Random(1);
    for first in (0..wallets).step_by(50_000) {
        let mut set = WriteSet::new();
        for slot in first..(first + 50_000).min(wallets) {
            set.put(Table::Records, key::slot(slot), random.record());
        }
        store.write(set, Durability::Buffered)?;
    }
    store.sync()?;
    println!("{wallets} records loaded in {:.2?}", started.elapsed());
    Ok(())
}

/// One block: its batches and itself before the vote, then records, transactions and history after execution.
fn blocks(store: &RocksStore, wallets: u64) -> Result<(), StorageError> {
    let mut random = Random(2);
    let (mut before_vote, mut executed) = (Vec::new(), Vec::new());
    let before = store.bytes_on_disk()?;
    for height in 0..BLOCKS {
        let mut batches = WriteSet::new();
        for _ in 0..8 {
            batches.put(Table::Batches, random.bytes::<32>(), random.noise(BATCH_BYTES));
        }
        batches.put(Table::Blocks, random.bytes::<32>(), random.noise(600));
        let started = Instant::now();
        store.write(batches, Durability::Buffered)?;
        store.sync()?;
        before_vote.push(started.elapsed());

        let mut set = WriteSet::new();
        for index in 0..PAYMENTS_PER_BLOCK {
            let position = u32::try_from(index).unwrap_or(u32::MAX);
            set.put(Table::Transactions, random.bytes::<32>(), key::position(height, position));
            for _ in 0..2 {
                set.put(Table::Records, key::slot(random.next() % wallets), random.record());
            }
        }
        set.put(Table::Heights, key::height(height), random.bytes::<32>());
        let bytes = set.bytes();
        let started = Instant::now();
        store.write(set, Durability::Synced)?;
        executed.push((started.elapsed(), bytes));
    }
    let times: Vec<_> = executed.iter().map(|(time, _)| *time).collect();
    println!("8 batches of 256 KiB and a block, then one sync: {}", summary(before_vote));
    println!(
        "20,000 records and 10,000 transactions ({} KB), one synced write: {}",
        executed.first().map_or(0, |(_, bytes)| bytes >> 10),
        summary(times)
    );
    let grown = store.bytes_on_disk()?.saturating_sub(before);
    println!("the directory grew by {} MB in {BLOCKS} blocks", grown >> 20);

    let mut histories = Vec::new();
    for height in 0..BLOCKS / 4 {
        let mut set = WriteSet::new();
        for index in 0..2 * PAYMENTS_PER_BLOCK {
            let position = u32::try_from(index).unwrap_or(u32::MAX);
            let key = key::history(random.next() % wallets, height, position, 0);
            set.put(Table::History, key, random.noise(HISTORY_BYTES));
        }
        let started = Instant::now();
        store.write(set, Durability::Synced)?;
        histories.push(started.elapsed());
    }
    println!("20,000 history entries, one synced write: {}", summary(histories));
    Ok(())
}

fn reads(store: &RocksStore, wallets: u64) -> Result<(), StorageError> {
    for pass in ["first pass", "second pass"] {
        let mut random = Random(3);
        let mut times = Vec::new();
        for _ in 0..READS {
            let keys: Vec<_> = (0..20_000).map(|_| key::slot(random.next() % wallets)).collect();
            let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
            let started = Instant::now();
            let found = store.multi_get(Table::Records, &keys)?;
            times.push(started.elapsed());
            assert!(found.iter().all(Option::is_some), "every wallet is there");
        }
        println!("multi_get of 20,000 of {wallets} records, {pass}: {}", summary(times));
    }
    let mut random = Random(4);
    let started = Instant::now();
    for _ in 0..20_000 {
        assert!(store.get(Table::Records, &key::slot(random.next() % wallets))?.is_some());
    }
    println!("20,000 single gets: {:.2?}", started.elapsed());
    Ok(())
}

fn visits(store: &RocksStore) -> Result<(), StorageError> {
    for _ in 0..2 {
        let started = Instant::now();
        let mut rows = 0_u64;
        store.for_each(Table::Records, &mut |_, value| {
            assert_eq!(value.len(), RECORD_BYTES);
            rows += 1;
            ControlFlow::Continue(())
        })?;
        println!("for_each over {rows} records: {:.2?}", started.elapsed());
    }
    Ok(())
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| {
        times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
    };
    format!("median {:.2?}, 90 % {:.2?}, slowest {:.2?}", at(50), at(90), at(100))
}

/// XorShift: fast enough not to be measured.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn noise(&mut self, bytes: usize) -> Vec<u8> {
        let mut noise = Vec::with_capacity(bytes + 8);
        while noise.len() < bytes {
            noise.extend_from_slice(&self.next().to_be_bytes());
        }
        noise.truncate(bytes);
        noise
    }

    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        bytes.copy_from_slice(&self.noise(COUNT));
        bytes
    }

    /// Half random (ids, keys), half small numbers: about what a wallet looks like to a compressor.
    fn record(&mut self) -> Vec<u8> {
        let mut record = self.noise(RECORD_BYTES / 2);
        record.resize(RECORD_BYTES, 0);
        record
    }
}
