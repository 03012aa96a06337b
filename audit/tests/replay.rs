//! A replay passes an honest chain and names what a forger changed.

mod support;

use audit::{AuditError, DatabaseSource, Difference, Finding, Place, Replay, Value};
use ledger::records::{Operation, Outcome, Record};
use ledger::values::{Amount, Canonical as _, Height, LockId, RecordId, TimestampMs};
use storage::{MemoryStore, Reader as _, RocksOptions, RocksReader, RocksStore, StorageError, Table, key};
use support::verdicts::{delete, difference, put, replay_feed, replay_with, stored};
use support::{CHAIN, FUNDS, Forge};

const WALLETS: usize = 150;
const PAYMENTS: usize = 900;

fn forge() -> Forge {
    let mut forge = Forge::new(WALLETS);
    forge.pay_around(PAYMENTS, 200);
    // A rejected transaction and one that is not executed.
    let rejected = forge.payment(0, 1, FUNDS.fen() * 2);
    let paid = forge.payment(1, 2, 5);
    forge.make_block(vec![rejected, paid.clone()]);
    forge.make_block(vec![paid]);
    forge
}

/// Changes a stored chain, replays it and gives what is found.
fn tampered(change: impl FnOnce(&Forge, &MemoryStore)) -> (Forge, Difference) {
    let forge = forge();
    let store = stored(&forge);
    change(&forge, &store);
    let found = difference(replay_with(&forge, &store, 2));
    assert_eq!(found.chain, CHAIN);
    (forge, found)
}

fn last(forge: &Forge) -> u64 {
    forge.blocks.len() as u64
}

#[test]
fn an_honest_chain_passes_with_any_number_of_threads() {
    let forge = forge();
    let store = stored(&forge);
    let one = replay_with(&forge, &store, 1).unwrap();
    let two = replay_with(&forge, &store, 2).unwrap();
    assert_eq!(
        (one.state, one.result, one.tally, one.stored),
        (two.state, two.result, two.tally, two.stored)
    );
    assert_eq!(one.state, forge.state_root());
    assert_eq!(one.height, Height(last(&forge)));
    assert_eq!(one.certified_block, one.height);
    assert_eq!(one.certified_result, Height(last(&forge) - 1));
    assert_eq!(one.tally.payments, (WALLETS + PAYMENTS + 1) as u64);
    assert_eq!((one.tally.rejected, one.tally.skipped), (1, 1));
    assert_eq!(one.tally.applied + 2, one.tally.transactions);
    assert_eq!(one.supply.holdings, Amount::from_fen(FUNDS.fen() * WALLETS as u64));
    let rows = one.stored.unwrap();
    assert_eq!(rows.records, one.wallets + 2);
    assert_eq!(rows.results, last(&forge) + 1);
    assert_eq!(rows.transactions, one.tally.applied + one.tally.rejected);
}

#[test]
fn an_honest_feed_passes_and_a_genesis_state_is_a_chain() {
    let forge = forge();
    let report = replay_feed(&forge).unwrap();
    assert_eq!((report.state, report.stored), (forge.state_root(), None));
    let mut empty = Forge::new(1);
    empty.blocks.clear();
    assert_eq!(replay_feed(&empty).unwrap().height, Height(0));
}

/// The forgery of the demo: a balance rewritten with valid checksums and matching indexes.
#[test]
fn a_rewritten_balance_is_named_with_height_wallet_and_both_values() {
    let mut forged = None;
    let (forge, found) = tampered(|forge, store| {
        let wallet = forge.wallets[7].1;
        let slot = store.get(Table::Slots, &wallet.0).unwrap().unwrap();
        let bytes = store.get(Table::Records, &slot).unwrap().unwrap();
        let Record::Wallet(mut record) = Record::decode(&bytes).unwrap() else { panic!("no wallet") };
        let before = record.balance;
        record.balance = before.plus(Amount::from_fen(1_000_000)).unwrap();
        forged = Some((wallet, before, record.balance));
        put(store, Table::Records, &slot, &Record::Wallet(record).encode());
    });
    let (wallet, before, after) = forged.unwrap();
    assert_eq!(found.height, Height(last(&forge)));
    let text = found.to_string();
    let Finding::Value { place, field, stored, computed } = found.finding else { panic!("{text}") };
    assert_eq!((place, field), (Place::Wallet(wallet), "balance"));
    assert_eq!((stored, computed), (Value::Money(after), Value::Money(before)));
    let fen = [before, after].map(|amount| format!("{} fen", amount.fen()));
    for part in [wallet.to_string(), fen[0].clone(), fen[1].clone(), format!("height {}", last(&forge))] {
        assert!(text.contains(&part), "{text} lacks {part}");
    }
}

/// A lock is a record like a wallet: one that names another payee, and one that the index does not lead to, are named.
#[test]
fn a_rewritten_lock_is_named() {
    let mut forge = forge();
    let ((key, payer), (_, payee)) = (forge.wallets[0].clone(), forge.wallets[1].clone());
    let now = forge.blocks.last().unwrap().execution.head.timestamp;
    let (amount, deadline) = (Amount::from_fen(100), TimestampMs(now.0 + 86_400_000));
    let lock = forge.sign(&key, payer, Operation::Lock { payee, amount, hash: [1; 32], deadline });
    let id = LockId::of(lock.id(forge.genesis));
    forge.make_block(vec![lock]);
    assert!(forge.blocks.last().unwrap().execution.outcomes[0].is_applied());
    let store = stored(&forge);
    let report = replay_with(&forge, &store, 2).unwrap();
    assert_eq!(report.wallets + 1, report.stored.unwrap().slots, "wallets and the lock");

    let slot = store.get(Table::Slots, &RecordId::from(id).0).unwrap().unwrap();
    let bytes = store.get(Table::Records, &slot).unwrap().unwrap();
    let Record::Lock(mut record) = Record::decode(&bytes).unwrap() else { panic!("no lock") };
    record.payee = payer;
    put(&store, Table::Records, &slot, &Record::Lock(record).encode());
    let found = difference(replay_with(&forge, &store, 2));
    assert!(
        matches!(found.finding, Finding::Value { place: Place::Lock(found), field: "record", .. } if found == id),
        "{found}"
    );
    put(&store, Table::Records, &slot, &bytes);
    put(&store, Table::Slots, &RecordId::from(id).0, &key::slot(9));
    let found = difference(replay_with(&forge, &store, 2));
    assert!(
        matches!(found.finding, Finding::Value { place: Place::LockSlot(found), field: "slot", .. } if found == id),
        "{found}"
    );
}

#[test]
fn a_changed_outcome_names_its_transaction() {
    let height = 4;
    let (forge, found) = tampered(|_, store| {
        let row = key::height(height);
        let mut bytes = store.get(Table::Outcomes, &row).unwrap().unwrap();
        let length = <Outcome as ledger::values::Canonical>::BYTES_MAX;
        let place = 8 + 3 * length;
        let mut outcome = Outcome::decode(&bytes[place..place + length]).unwrap();
        outcome.code = 205;
        bytes[place..place + length].copy_from_slice(&outcome.encode());
        put(store, Table::Outcomes, &row, &bytes);
    });
    let id = forge.blocks[height as usize - 1].execution.outcomes[3].id;
    assert_eq!(found.height, Height(height));
    assert_eq!(
        found.finding,
        Finding::Value {
            place: Place::Outcome(id),
            field: "code",
            stored: Value::Number(205),
            computed: Value::Number(0)
        }
    );
}

#[test]
fn every_kind_of_stored_row_is_compared() {
    type Change = fn(&Forge, &MemoryStore);
    let cases: [(&str, Change); 12] = [
        ("the result, state root", |forge, store| {
            let mut result = forge.blocks[3].execution.result.clone();
            result.state.0[0] ^= 1;
            put(store, Table::Results, &key::height(4), &result.encode());
        }),
        ("table results is missing", |_, store| delete(store, Table::Results, &key::height(2))),
        ("the index of transaction", |forge, store| {
            delete(store, Table::Transactions, &forge.blocks[3].execution.outcomes[0].id.0);
        }),
        ("the index of transaction", |forge, store| {
            let id = forge.blocks[3].execution.outcomes[0].id.0;
            put(store, Table::Transactions, &id, &key::position(4, 77));
        }),
        ("table transactions, rows", |_, store| {
            put(store, Table::Transactions, &[3; 32], &key::position(1, 0))
        }),
        ("the history of wallet", |forge, store| {
            let entry = &forge.blocks[3].execution.history[0];
            delete(store, Table::History, &key::history(entry.slot.0, 4, entry.index, entry.part));
        }),
        ("table history, rows", |_, store| {
            put(store, Table::History, &key::history(5, 4, 9_999, 0), &[0; 44])
        }),
        ("the index of wallet", |forge, store| {
            put(store, Table::Slots, &forge.wallets[0].1.0, &key::slot(9))
        }),
        ("table slots, rows", |forge, store| delete(store, Table::Slots, &forge.wallets[0].1.0)),
        ("record: stored nothing", |_, store| delete(store, Table::Records, &key::slot(20))),
        ("the state head, records", |forge, store| {
            let mut head = forge.blocks.last().unwrap().execution.head.clone();
            head.records += 1;
            put(store, Table::Meta, audit::HEAD_ROW, &head.encode());
        }),
        ("table meta is missing", |_, store| delete(store, Table::Meta, audit::HEAD_ROW)),
    ];
    for (expected, change) in cases {
        let (_, found) = tampered(change);
        assert!(found.to_string().contains(expected), "{found} lacks {expected:?}");
    }
}

#[test]
fn missing_and_foreign_blocks_and_batches_are_named() {
    let (_, found) =
        tampered(|forge, store| delete(store, Table::Batches, &forge.blocks[4].block.body.batches[0].0));
    assert_eq!((found.height, found.finding), (Height(5), Finding::RowMissing { table: Table::Batches }));
    let (_, found) = tampered(|forge, store| delete(store, Table::Blocks, &forge.blocks[4].digest.0));
    assert_eq!((found.height, found.finding), (Height(5), Finding::RowMissing { table: Table::Blocks }));
    let (_, found) = tampered(|_, store| delete(store, Table::Heights, &key::height(3)));
    assert_eq!((found.height, found.finding), (Height(3), Finding::RowMissing { table: Table::Heights }));
    let (_, found) = tampered(|forge, store| {
        let (place, other) = (forge.blocks[4].digest, &forge.blocks[3].block);
        put(store, Table::Blocks, &place.0, &other.encode());
    });
    assert!(matches!(found.finding, Finding::BlockDigest { .. }), "{found}");
    let (_, found) = tampered(|forge, store| {
        let (place, other) = (forge.blocks[4].block.body.batches[0], &forge.blocks[3].batches[0]);
        put(store, Table::Batches, &place.0, &other.encode());
    });
    assert!(matches!(found.finding, Finding::Block(_)) && found.height == Height(5), "{found}");
}

#[test]
fn certificates_are_verified_and_needed() {
    let mut forge = forge();
    let honest = forge.blocks[5].certificate.clone();
    let length = honest.len();
    forge.blocks[5].certificate[length - 1] ^= 1;
    let found = difference(replay_feed(&forge));
    assert!(matches!(found.finding, Finding::Certificate(_)) && found.height == Height(6), "{found}");
    forge.blocks[5].certificate = forge.blocks[4].certificate.clone();
    let found = difference(replay_feed(&forge));
    assert!(matches!(found.finding, Finding::CertificateOther { .. }), "{found}");
    forge.blocks[5].certificate = vec![1, 2, 3];
    assert!(matches!(difference(replay_feed(&forge)).finding, Finding::CertificateMalformed(_)));
    let mut source = forge.source();
    source.blocks.iter_mut().for_each(|block| block.certificate = None);
    let replay = Replay { spec: &forge.network.spec, chain: CHAIN, threads: 2, progress: &|_| {} };
    assert_eq!(difference(replay.run(Box::new(source), None)).finding, Finding::NoCertificate);
}

/// A quorum of liars: certificates are valid, the claimed result is not.
#[test]
fn a_false_claim_is_named_with_both_results() {
    let mut forge = forge();
    forge.false_claim = true;
    forge.pay_around(10, 10);
    let found = difference(replay_feed(&forge));
    assert_eq!(found.height, Height(last(&forge)));
    let Finding::Claim { claimed_height, claimed, computed } = found.finding else { panic!("{found}") };
    assert_eq!(claimed_height, Height(last(&forge) - 1));
    assert_eq!(computed, forge.blocks[forge.blocks.len() - 2].execution.result_hash);
    assert_ne!(claimed, computed);
}

/// A faulty bank seals a payment that nobody signed; a quorum of liars orders it.
#[test]
fn an_unsigned_transaction_is_named() {
    let mut forge = forge();
    let mut stolen = forge.payment(3, 4, 1);
    let id = stolen.id(forge.genesis);
    stolen.signatures[0].signature.0[5] ^= 1;
    let honest = forge.payment(5, 6, 1);
    let batch = forge.seal(vec![honest, stolen]);
    forge.order(vec![batch]);
    let found = difference(replay_feed(&forge));
    assert_eq!((found.height, found.finding), (Height(last(&forge)), Finding::Signature { transaction: id }));
}

#[test]
fn a_batch_cannot_be_ordered_twice_and_headers_must_link() {
    let mut forge = forge();
    let again = forge.blocks.last().unwrap().batches.clone();
    let digest = forge.blocks.last().unwrap().block.body.batches[0];
    forge.order(again);
    assert_eq!(difference(replay_feed(&forge)).finding, Finding::BatchTwice { digest });
    let mut source = forge.source();
    source.blocks.remove(2);
    let replay = Replay { spec: &forge.network.spec, chain: CHAIN, threads: 2, progress: &|_| {} };
    let found = difference(replay.run(Box::new(source), None));
    assert!(matches!(found.finding, Finding::Block(_)) && found.height == Height(4), "{found}");
}

/// Two faults: the lower height is reported, although a later stage finds it.
#[test]
fn the_first_difference_by_height_wins() {
    let mut forge = forge();
    let last = forge.blocks.len() - 1;
    forge.blocks[last].certificate[100] ^= 1;
    let store = stored(&forge);
    let mut result = forge.blocks[1].execution.result.clone();
    result.state.0[0] ^= 1;
    put(&store, Table::Results, &key::height(2), &result.encode());
    assert_eq!(difference(replay_with(&forge, &store, 2)).height, Height(2));
}

#[test]
fn another_network_s_genesis_is_refused() {
    let forge = forge();
    let store = stored(&forge);
    let mut spec = forge.network.spec;
    spec.network.push('x');
    let replay = Replay { spec: &spec, chain: CHAIN, threads: 1, progress: &|_| {} };
    let source = DatabaseSource::new(&store, CHAIN).unwrap();
    assert!(replay.run(Box::new(source), Some(&store)).unwrap_err().is_verdict());
}

/// A node that joined by a snapshot has nothing to execute from genesis on: that is no finding, and no verdict.
#[test]
fn a_database_that_begins_with_a_snapshot_is_named_and_not_judged() {
    let store = stored(&forge());
    let mut joined = 7_u64.to_le_bytes().to_vec();
    joined.extend([0; 8]);
    put(&store, Table::Meta, b"joined", &joined);
    let Err(fault) = DatabaseSource::new(&store, CHAIN) else { panic!("it was read") };
    assert!(matches!(fault, AuditError::Pruned { chain: CHAIN, lowest: Height(8) }), "{fault}");
    assert!(!fault.is_verdict() && fault.mend().contains("--node"), "{fault}");
}

/// One flipped byte anywhere in a table, blob or log file of a database.
#[test]
fn a_flipped_byte_on_disk_is_refused_with_table_or_file() {
    let mut forge = Forge::new(80);
    forge.pay_around(2_000, 500);
    let folder = tempfile::tempdir().unwrap();
    let honest = folder.path().join("honest");
    let store = RocksStore::open(&honest, &forge.identity(), RocksOptions::default()).unwrap();
    forge.store(&store);
    store.flush().unwrap();
    drop(store);
    let reader = RocksReader::open(&honest, Some(&forge.identity()), RocksOptions::default()).unwrap();
    assert_eq!(replay_with(&forge, &reader, 2).unwrap().state, forge.state_root());
    drop(reader);
    let mut flipped = 0;
    for entry in std::fs::read_dir(&honest).unwrap() {
        let name = entry.unwrap().file_name();
        let extension = std::path::Path::new(&name).extension().map(|extension| extension.to_owned());
        if !extension.is_some_and(|extension| extension == "sst" || extension == "blob") {
            continue;
        }
        let copy = folder.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(&honest).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let path = copy.join(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let opened = RocksReader::open(&copy, Some(&forge.identity()), RocksOptions::default());
        let verdict = opened.and_then(|reader| reader.verify_all());
        match verdict {
            Err(StorageError::Corruption { table, file, .. }) => {
                assert!(table.is_some() || file.is_some(), "{name:?}")
            }
            other => panic!("{name:?}: {other:?}"),
        }
        std::fs::remove_dir_all(&copy).unwrap();
        flipped += 1;
    }
    assert!(flipped > 3, "only {flipped} files");
}
