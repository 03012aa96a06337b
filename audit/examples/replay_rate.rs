//! How fast a replay is: makes a chain, stores it in RocksDB, replays it, prints one JSON object.
//!
//! `cargo run --example replay_rate -p audit -- PAYMENTS WALLETS`

#[path = "../tests/support/mod.rs"]
mod support;

use audit::{DatabaseSource, Replay};
use storage::{RocksOptions, RocksReader, RocksStore};
use support::{CHAIN, Forge};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().expect("a number"));
    let payments = arguments.next().unwrap_or(100_000);
    let wallets = arguments.next().unwrap_or(10_000);
    let mut forge = Forge::new(wallets);
    forge.pay_around(payments, 2_000);
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        RocksStore::open(folder.path(), &forge.identity(), RocksOptions::default()).expect("a database");
    forge.store(&store);
    store.flush().expect("flushed");
    drop(store);
    let reader =
        RocksReader::open(folder.path(), Some(&forge.identity()), RocksOptions::default()).expect("a reader");
    let replay = Replay { spec: &forge.network.spec, chain: CHAIN, threads: 0, progress: &|_| {} };
    for compare in [false, true] {
        let source = DatabaseSource::new(&reader, CHAIN).expect("a source");
        let stored: Option<&dyn storage::Reader> = if compare { Some(&reader) } else { None };
        let report = replay.run(Box::new(source), stored).expect("an honest chain");
        println!(
            "{{\"compared_rows\":{compare},\"payments\":{},\"wallets\":{},\"elapsed_ms\":{},\"payments_per_second\":{:.0},\"threads\":{}}}",
            report.tally.payments,
            report.wallets,
            report.elapsed.as_millis(),
            report.payments_per_second(),
            report.threads
        );
    }
}
