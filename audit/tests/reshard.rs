//! A chain that operators added takes half of its parent's wallets: honest it fits, and every forgery on the way is named.

mod support;

use std::sync::Arc;

use audit::{
    AuditError, DatabaseSource, Difference, Finding, Place, Replay, Report, Value, beginning, compare_across,
    origin_parts_row,
};
use ledger::records::{Change, Receipt, Registry, WalletRecord, WalletStatus};
use ledger::values::{Amount, Canonical as _, ChainId, Currency, Height};
use storage::{MemoryStore, Table, WriteSet};
use support::Forge;

const ZERO: ChainId = ChainId(0);
const ONE: ChainId = ChainId(1);
const TWO: ChainId = ChainId(2);
const WALLETS: usize = 8;
const CNY: Currency = Currency(*b"CNY");

/// Chain 0 with a child that runs, as chain 0 was told.
fn with_child() -> [Forge; 2] {
    let mut root = Forge::new(WALLETS);
    add_chain(&mut root, ZERO);
    let mut child = Forge::child(&root, ONE);
    idle(&mut child, 2);
    root.order_bundles(vec![child.bundle(ZERO, 0)]);
    [root, child]
}

fn add_chain(root: &mut Forge, parent: ChainId) {
    let change = root.add_chain(parent);
    let proposal = root.govern(vec![change]);
    root.make_block(vec![proposal]);
}

fn idle(forge: &mut Forge, blocks: usize) {
    (0..blocks).for_each(|_| forge.make_block(Vec::new()));
}

/// From the decision on, chain 0 moves its wallets.
fn move_out(root: &mut Forge) {
    let proposal = root.govern(vec![Change::Reshard { currency: CNY }]);
    root.make_block(vec![proposal]);
    idle(root, 3);
}

/// Chain 0 moves its wallets to its child, which is grown in the end; then it pays to one of them, which is under way.
fn resharded() -> [Forge; 2] {
    let [mut root, mut child] = with_child();
    move_out(&mut root);
    child.order_bundles(vec![root.bundle(ONE, 0)]);
    idle(&mut child, 1);
    root.order_bundles(vec![child.bundle(ZERO, 1)]);
    let [stays, moves] = split(&root);
    let payment = root.payment_to(stays[0], root.wallets[moves[0]].1, 250);
    root.make_block(vec![payment]);
    idle(&mut root, 1);
    [root, child]
}

/// Wallets that are still on the chain, and those that are not, by index.
fn split(root: &Forge) -> [Vec<usize>; 2] {
    let is_here = |place: &usize| {
        let record = root.record(root.wallets[*place].1).unwrap();
        !matches!(record.status, WalletStatus::Moved { .. })
    };
    let (stays, moves): (Vec<usize>, Vec<usize>) = (0..WALLETS).partition(is_here);
    assert!(!stays.is_empty() && !moves.is_empty(), "{stays:?} {moves:?}");
    [stays, moves]
}

fn replay(forge: &Forge) -> Replay<'_> {
    Replay { spec: &forge.network.spec, chain: forge.chain, threads: 2, progress: &|_| {} }
}

fn replay_root(forge: &Forge) -> Report {
    replay(forge).run(Box::new(forge.source()), None).unwrap()
}

fn begins_with(root: &Report, chain: ChainId) -> Arc<Registry> {
    let child = root.children.iter().find(|child| child.chain == chain).unwrap();
    Arc::clone(&child.registry)
}

fn replay_child(forge: &Forge, registry: Arc<Registry>) -> Result<Report, AuditError> {
    replay(forge).run_child(registry, Box::new(forge.source()), None)
}

fn replay_stored_child(forge: &Forge, registry: Arc<Registry>) -> Result<Report, AuditError> {
    let store = MemoryStore::fresh(&forge.identity());
    forge.store(&store);
    let source = DatabaseSource::new(&store, forge.chain)?;
    replay(forge).run_child(registry, Box::new(source), Some(&store))
}

fn difference<T: std::fmt::Debug>(result: Result<T, AuditError>) -> Difference {
    match result {
        Err(AuditError::Different(difference)) => *difference,
        other => panic!("expected a difference, found {other:?}"),
    }
}

/// Everything that a chain sent to another one, in order.
fn sent(forge: &Forge, destination: ChainId) -> Vec<Receipt> {
    let sent = forge.blocks.iter().flat_map(|made| &made.execution.sent);
    sent.filter(|sent| sent.destination == destination).map(|sent| sent.receipt.clone()).collect()
}

fn moves(receipts: &[Receipt]) -> Vec<WalletRecord> {
    let wallet = |receipt: &Receipt| match receipt {
        Receipt::Move { wallet } => Some(wallet.clone()),
        _ => None,
    };
    receipts.iter().filter_map(wallet).collect()
}

#[test]
fn a_child_is_replayed_from_what_the_root_chain_gave_it() {
    let [root, child] = resharded();
    let zero = replay_root(&root);
    assert_eq!(zero.children.len(), 1);
    let registry = begins_with(&zero, ONE);
    let one = replay_stored_child(&child, Arc::clone(&registry)).unwrap();
    assert_eq!(one.beginning, Some(registry.hash()));
    assert_eq!(one.state, child.state_root());
    assert_eq!(one.journal, replay_child(&child, registry).unwrap().journal, "a feed shows the same");
    let [_, moved] = split(&root);
    assert_eq!(one.tally.moved, moved.len() as u64);
    assert_eq!(one.supply.holdings, Amount::from_fen(support::FUNDS.fen() * moved.len() as u64));

    let across = compare_across(&root.network.spec, [&zero, &one]).unwrap();
    let [supply] = across.currencies.as_slice() else { panic!("{across:?}") };
    assert_eq!((supply.chains.as_slice(), supply.missing.len()), ([ZERO, ONE].as_slice(), 0));
    assert_eq!(supply.under_way, 250, "the payment to a wallet that has moved");
    assert_eq!(supply.holdings + 250, supply.issued - supply.redeemed);
    // The parent alone: its currency lacks what the child holds.
    let alone = compare_across(&root.network.spec, [&zero]).unwrap();
    assert_eq!(alone.currencies[0].missing, [ONE]);
}

#[test]
fn a_child_that_begins_with_another_registry_is_named() {
    let [root, honest] = with_child();
    let zero = replay_root(&root);
    let registry = begins_with(&zero, ONE);
    let mut forged = (*registry).clone();
    forged.version += 1;
    let mut child = Forge::child_of(&root, forged.clone(), ONE);
    idle(&mut child, 2);
    // By the root chain's registry its first block claims what nobody computes, and its database shows why.
    let found = difference(replay_child(&child, Arc::clone(&registry)));
    assert_eq!((found.chain, found.height), (ONE, Height(1)));
    assert!(matches!(found.finding, Finding::Claim { .. } | Finding::Block(_)), "{found}");
    let found = difference(replay_stored_child(&child, Arc::clone(&registry)));
    assert_eq!((found.chain, found.height), (ONE, Height(0)));
    let Finding::Value { place: Place::Registry, field, .. } = found.finding else { panic!("{found}") };
    assert_eq!(field, "version");
    // By its own it looks sound, until it meets the root chain.
    let (shown, computed) = (forged.hash(), registry.hash());
    let one = replay_child(&child, Arc::new(forged)).unwrap();
    let found = difference(compare_across(&root.network.spec, [&zero, &one]));
    let expected =
        Difference { chain: ONE, height: Height(0), finding: Finding::Beginning { shown, computed } };
    assert_eq!(found, expected);
    let one = replay_child(&honest, registry).unwrap();
    assert!(compare_across(&root.network.spec, [&zero, &one]).is_ok());
}

#[test]
fn an_origin_is_not_taken_on_trust() {
    let [root, child] = with_child();
    let zero = replay_root(&root);
    let (spec, replayed) = (&root.network.spec, &zero.children[0]);
    let given = beginning(spec, ONE, Some(replayed), None).unwrap();
    assert_eq!(given.as_ref(), Some(&replayed.registry));
    assert_eq!(beginning(spec, ONE, None, None).unwrap(), None);
    let found = difference(beginning(spec, ONE, Some(replayed), Some(&[1, 2, 3])));
    assert!(matches!(found.finding, Finding::OriginMalformed(_)), "{found}");
    // A chain that genesis names has no other beginning.
    let of_root = replay(&root).run_child(Arc::clone(&replayed.registry), Box::new(root.source()), None);
    assert!(matches!(of_root, Err(AuditError::ChainUnknown { chain: ZERO })));
    let of_child = replay(&child).run(Box::new(child.source()), None);
    assert!(matches!(of_child, Err(AuditError::ChainUnknown { chain: ONE })));
}

/// The whole set of chain 0 lies: after its last word to the child it moves a wallet again.
#[test]
fn a_wallet_that_moves_twice_is_named_with_both_balances() {
    let [mut root, mut child] = with_child();
    move_out(&mut root);
    let receipts = sent(&root, ONE);
    let mut again = moves(&receipts)[0].clone();
    let first = again.balance;
    again.balance = first.plus(Amount::from_fen(5)).unwrap();
    let forged = Receipt::Move { wallet: again.clone() };
    child.order_bundles(vec![root.forged_bundle(ONE, receipts.len(), &[forged])]);
    idle(&mut child, 1);
    // The child's own blocks show it, whoever else is replayed.
    let found = difference(replay_child(&child, begins_with(&replay_root(&root), ONE)));
    assert_eq!((found.chain, found.height), (ONE, Height(3)));
    let Finding::MovedTwice { wallet, has_left: false, first: was, again: now } = found.finding else {
        panic!("{found}")
    };
    assert_eq!((wallet, was.balance, now.balance), (again.id, first, again.balance));
    assert_eq!((now.chain, now.sequence), (ZERO, receipts.len() as u64));
}

/// The whole set of chain 0 lies: one of the wallets that it moved never reaches the child.
#[test]
fn a_move_that_was_dropped_is_named() {
    let [mut root, mut child] = with_child();
    move_out(&mut root);
    let honest = sent(&root, ONE);
    let is_move = |receipt: &Receipt| matches!(receipt, Receipt::Move { .. });
    let dropped = honest.iter().position(is_move).unwrap();
    child.order_bundles(vec![root.forged_bundle(ONE, dropped, &honest[dropped + 1..])]);
    idle(&mut child, 1);
    let zero = replay_root(&root);
    let one = replay_child(&child, begins_with(&zero, ONE)).unwrap();
    assert_eq!(one.tally.moved + 1, moves(&honest).len() as u64, "the child alone looks sound");
    let found = difference(compare_across(&root.network.spec, [&zero, &one]));
    assert_eq!((found.chain, found.height), (ONE, Height(3)));
    let Finding::NotSent { source_chain, first, shown, computed, .. } = found.finding else {
        panic!("{found}")
    };
    assert_eq!((source_chain, first), (ZERO, 0));
    assert_ne!(shown, computed);
}

/// The parent is chain 1; chain 0, from which a child takes receipts as well, sends a wallet.
#[test]
fn a_move_from_a_chain_that_is_not_the_parent_is_named() {
    let [mut zero, one] = Forge::shards(3);
    add_chain(&mut zero, ONE);
    idle(&mut zero, 1);
    let mut child = Forge::child(&zero, TWO);
    let stranger = one.record(one.wallets[0].1).unwrap();
    let (wallet, balance) = (stranger.id, stranger.balance);
    child.order_bundles(vec![zero.forged_bundle(TWO, 0, &[Receipt::Move { wallet: stranger }])]);
    idle(&mut child, 1);
    let found = difference(replay_child(&child, begins_with(&replay_root(&zero), TWO)));
    assert_eq!((found.chain, found.height), (TWO, Height(1)));
    let finding = Finding::NotParent {
        source_chain: ZERO,
        sequence: 0,
        wallet: Some(wallet),
        balance,
        parent: Some(ONE),
    };
    assert_eq!(found.finding, finding);
}

/// Rows of a child are compared as those of any chain, its first registry among them.
#[test]
fn a_stored_first_registry_is_compared() {
    let [root, child] = with_child();
    let registry = begins_with(&replay_root(&root), ONE);
    let store = MemoryStore::fresh(&child.identity());
    child.store(&store);
    let mut set = WriteSet::new();
    let genesis = Registry::from_genesis(&root.network.spec);
    set.put(Table::Registries, storage::key::height(0), genesis.encode());
    storage::Store::write(&store, set, storage::Durability::Synced).unwrap();
    let source = DatabaseSource::new(&store, ONE).unwrap();
    let found = difference(replay(&child).run_child(registry, Box::new(source), Some(&store)));
    assert_eq!((found.chain, found.height), (ONE, Height(0)));
    assert!(matches!(found.finding, Finding::Value { place: Place::Registry, .. }), "{found}");
}

/// What the origins of children are made of, as the root chain keeps it, is what its replay computes; a child's own rows have none.
#[test]
fn stored_parts_of_origins_are_compared() {
    let [root, _] = with_child();
    let row = origin_parts_row(ONE);
    let stored = |change: &dyn Fn(&mut WriteSet)| {
        let store = MemoryStore::fresh(&root.identity());
        root.store(&store);
        let mut set = WriteSet::new();
        change(&mut set);
        storage::Store::write(&store, set, storage::Durability::Synced).unwrap();
        let source = DatabaseSource::new(&store, ZERO).unwrap();
        replay(&root).run(Box::new(source), Some(&store))
    };
    let honest = stored(&|_| {}).unwrap();
    let added = honest.children[0].height;
    let before = root.blocks[added.0 as usize - 2].parts.clone();
    assert_ne!(before, root.blocks[added.0 as usize - 1].parts);
    let older: &dyn Fn(&mut WriteSet) = &|set| set.put(Table::Meta, row.clone(), before.clone());
    let none: &dyn Fn(&mut WriteSet) = &|set| set.delete(Table::Meta, row.clone());
    for (shown, change) in [(Value::Bytes(before.clone()), older), (Value::Absent, none)] {
        let found = difference(stored(change));
        assert_eq!((found.chain, found.height), (ZERO, added));
        let Finding::Value { place, stored, .. } = found.finding else { panic!("a value") };
        assert_eq!((place, stored), (Place::Origin(ONE), shown));
    }
}
