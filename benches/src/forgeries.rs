//! Databases of a bank as an auditor gets them: an honest one, one with a flipped byte, one with a rewritten balance.

use std::path::{Path, PathBuf};
use std::process::Command;

use ledger::records::Record;
use ledger::values::{Amount, Canonical};
use storage::{Durability, Page, Reader, RocksOptions, RocksStore, Store, Table, WriteSet};

/// What a forger gives himself.
const FORGED_FEN: u64 = 100_000_000;
/// The store of the chain that is forged, in a bank's data directory.
const STORE: &str = "chain-0/store";

/// A bank's data directory, and where its copies go.
pub(crate) struct Forgeries {
    directory: PathBuf,
    honest: PathBuf,
}

impl Forgeries {
    /// Of a stopped bank's data directory.
    pub(crate) fn of(data: &Path, directory: &Path) -> Self {
        let honest = directory.join("honest");
        copy(data, &honest);
        Self { directory: directory.to_owned(), honest }
    }

    /// An untouched copy.
    pub(crate) fn honest(&self) -> &Path {
        &self.honest
    }

    /// A copy with one byte changed in the middle of the largest file that belongs to a table.
    pub(crate) fn flipped(&self) -> PathBuf {
        let copied = self.copied("flipped");
        flip_a_byte(&copied.join(STORE));
        copied
    }

    /// A copy in which a wallet has more money, and what the auditor must name: the wallet, what it had and what it has.
    pub(crate) fn rewritten(&self) -> (PathBuf, [String; 3]) {
        let copied = self.copied("rewritten");
        let named = rewrite_a_balance(&copied.join(STORE));
        (copied, named)
    }

    fn copied(&self, name: &str) -> PathBuf {
        let to = self.directory.join(name);
        copy(&self.honest, &to);
        to
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

/// Changes one byte in the middle of the largest file of a table. A young database is one log of all tables: its rows are moved into
/// their tables' files first.
fn flip_a_byte(store: &Path) {
    let identity = storage::read_identity(store).unwrap();
    let opened = RocksStore::open(store, &identity, RocksOptions::default()).unwrap();
    opened.flush().unwrap();
    drop(opened);
    let files = std::fs::read_dir(store).unwrap().flatten().map(|entry| entry.path());
    let data = files.filter(|path| path.extension().is_some_and(|kind| kind == "sst" || kind == "blob"));
    let largest = data.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
}

/// Gives the newest wallet more money through the storage layer itself: every checksum and index is right afterwards.
fn rewrite_a_balance(store: &Path) -> [String; 3] {
    let identity = storage::read_identity(store).unwrap();
    let store = RocksStore::open(store, &identity, RocksOptions::default()).unwrap();
    let rows = store.scan(Table::Records, Page::last(1_000)).unwrap();
    let newest = rows.iter().find_map(|(place, bytes)| match Record::decode(bytes).unwrap() {
        Record::Wallet(wallet) => Some((place.clone(), wallet)),
        _ => None,
    });
    let (place, mut wallet) = newest.unwrap();
    let before = wallet.balance;
    wallet.balance = before.plus(Amount::from_fen(FORGED_FEN)).unwrap();
    let named =
        [wallet.id.to_string(), format!("{} fen", before.fen()), format!("{} fen", wallet.balance.fen())];
    let mut set = WriteSet::new();
    set.put(Table::Records, place, Record::Wallet(wallet).encode());
    store.write(set, Durability::Synced).unwrap();
    named
}
