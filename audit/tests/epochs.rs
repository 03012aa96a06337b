//! A chain whose operators change its validators: every certificate is judged by the set of its epoch, and whoever forges one, or
//! what is stored of the registry, is named.

mod support;

use audit::Finding;
use ledger::records::{Change, Registry};
use ledger::rules::BlockFault;
use ledger::values::{Canonical as _, Epoch, Height};
use storage::{Durability, MemoryStore, Reader as _, Store as _, Table, WriteSet, key};
use support::verdicts::{difference, replay_feed, replay_store, stored};
use support::{CHAIN, Forge};

/// Height of the block with the proposal: funding takes two blocks.
const GOVERNED: u64 = 3;

/// A chain that gives two validators new keys, one after the other, and a parameter a new value.
fn forge() -> (Forge, [Height; 2]) {
    let mut forge = Forge::new(3);
    assert_eq!(forge.blocks.len() as u64 + 1, GOVERNED);
    let seats = forge.network.spec.chains[0].validators.clone();
    let mut params = forge.network.spec.chains[0].params.clone();
    params.block_pace_ms = 75;
    let mut closes = [Height(0); 2];
    for (seat, close) in seats.iter().zip(&mut closes) {
        let (old, new) = (seat.consensus_key, forge.later_key());
        let rotate = Change::ReplaceConsensusKey { chain: CHAIN, old, new };
        let change = Change::SetParams { chain: CHAIN, params: params.clone() };
        let proposal = forge.govern(vec![rotate, change]);
        forge.make_block(vec![proposal]);
        *close = forge.run_to_close();
        let payment = forge.payment(0, 1, 5);
        forge.make_block(vec![payment]);
    }
    forge.make_block(Vec::new());
    (forge, closes)
}

#[test]
fn every_epoch_is_replayed_by_its_own_set() {
    let (forge, closes) = forge();
    let report = replay_store(&forge, &stored(&forge)).unwrap();
    assert_eq!((report.state, report.registry_version), (forge.state_root(), 2));
    assert_eq!(report.certified_block, report.height);
    let epochs: Vec<_> = report
        .epochs
        .iter()
        .map(|epoch| (epoch.epoch.0, epoch.first_height, epoch.last_height, epoch.validators.len()))
        .collect();
    let expected = [
        (0, Height(1), Some(closes[0]), 4),
        (1, closes[0].next(), Some(closes[1]), 4),
        (2, closes[1].next(), None, 4),
    ];
    assert_eq!(epochs, expected);
    // Genesis, and each proposal with the schedule that follows from it at once.
    assert_eq!(report.stored.unwrap().registries, 3);
    let from_feed = replay_feed(&forge).unwrap();
    assert_eq!((from_feed.state, from_feed.epochs), (report.state, report.epochs));
}

#[test]
fn a_certificate_of_validators_that_have_left_is_named() {
    let (mut forge, [close, _]) = forge();
    let place = usize::try_from(close.0).unwrap();
    let header = forge.blocks[place].block.header.clone();
    assert_eq!((header.height, header.epoch), (close.next(), Epoch(1)));
    forge.blocks[place].certificate = forge.certify_by(&header, Epoch(0));
    let found = difference(replay_feed(&forge));
    assert!(matches!(found.finding, Finding::Certificate(_)) && found.height == close.next(), "{found}");
    forge.blocks[place].certificate = forge.certify_by(&header, Epoch(1));
    assert!(replay_feed(&forge).is_ok());
}

#[test]
fn a_block_of_an_epoch_that_is_over_is_named() {
    let mut forge = Forge::new(3);
    let (old, new) = (forge.network.spec.chains[0].validators[0].consensus_key, forge.later_key());
    let proposal = forge.govern(vec![Change::ReplaceConsensusKey { chain: CHAIN, old, new }]);
    forge.make_block(vec![proposal]);
    let close = forge.run_to_close();
    forge.forced_epoch = Some(Epoch(0));
    forge.make_block(Vec::new());
    let found = difference(replay_feed(&forge));
    assert_eq!(found.height, close.next());
    let fault = BlockFault::EpochNotOpen { epoch: Epoch(0), height: close.next() };
    assert_eq!(found.finding, Finding::Block(fault));
}

#[test]
fn the_last_blocks_of_an_epoch_order_nothing() {
    let mut forge = Forge::new(3);
    let (old, new) = (forge.network.spec.chains[0].validators[0].consensus_key, forge.later_key());
    let proposal = forge.govern(vec![Change::ReplaceConsensusKey { chain: CHAIN, old, new }]);
    forge.make_block(vec![proposal]);
    let scheduled = forge.blocks.len() as u64;
    while (forge.blocks.len() as u64) < scheduled + 40 {
        forge.make_block(Vec::new());
    }
    let payment = forge.payment(0, 1, 5);
    forge.make_block(vec![payment]);
    let found = difference(replay_feed(&forge));
    assert_eq!(found.height, Height(scheduled + 41));
    assert!(matches!(found.finding, Finding::Block(BlockFault::CloseNotEmpty { .. })), "{found}");
}

#[test]
fn stored_registries_are_compared() {
    type Tamper = fn(&MemoryStore, Registry);
    let (forge, _) = forge();
    let put = |store: &MemoryStore, height: u64, bytes: Vec<u8>| {
        let mut set = WriteSet::new();
        set.put(Table::Registries, key::height(height), bytes);
        store.write(set, Durability::Synced).unwrap();
    };
    let cases: [(&str, u64, Tamper); 4] = [
        ("the registry, version: stored 9, computed 1", GOVERNED, |store, mut registry| {
            registry.version = 9;
            let mut set = WriteSet::new();
            set.put(Table::Registries, key::height(GOVERNED), registry.encode());
            store.write(set, Durability::Synced).unwrap();
        }),
        ("the registry, hash: stored ", GOVERNED, |store, mut registry| {
            registry.nodes[0].address.push('0');
            let mut set = WriteSet::new();
            set.put(Table::Registries, key::height(GOVERNED), registry.encode());
            store.write(set, Durability::Synced).unwrap();
        }),
        ("a row of table registries is missing", GOVERNED, |store, _| {
            let mut set = WriteSet::new();
            set.delete(Table::Registries, key::height(GOVERNED));
            store.write(set, Durability::Synced).unwrap();
        }),
        ("a row of table registries is missing", 0, |store, _| {
            let mut set = WriteSet::new();
            set.delete(Table::Registries, key::height(0));
            store.write(set, Durability::Synced).unwrap();
        }),
    ];
    for (expected, height, tamper) in cases {
        let store = stored(&forge);
        let bytes = store.get(Table::Registries, &key::height(GOVERNED)).unwrap().unwrap();
        tamper(&store, Registry::decode(&bytes).unwrap());
        let found = difference(replay_store(&forge, &store));
        assert_eq!(found.height, Height(height));
        assert!(found.to_string().contains(expected), "{found} lacks {expected:?}");
    }
    // One that no height made.
    let store = stored(&forge);
    put(&store, GOVERNED + 1, Registry::from_genesis(&forge.network.spec).encode());
    let found = difference(replay_store(&forge, &store));
    assert!(found.to_string().contains("table registries, rows: stored 4, computed 3"), "{found}");
}
