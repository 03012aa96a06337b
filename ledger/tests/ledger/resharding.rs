//! Live resharding: rules row by row, in a network of two shards and a chain of another currency, where each shard gets a child. Random
//! schedules are in `resharding_schedules.rs`.

use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{
    Asked, Birth, Bundle, Change, Growth, LockState, MovementKind, NotExecuted, Operation, Origin, Receipt,
    Record, Rejection, Tier, ValidatorRecord, WalletRecord, WalletStatus,
};
use ledger::rules::lock::LOCK_TTL_MS_MAX;
use ledger::rules::moving::{MOVES_PER_BLOCK_MAX, SCAN_PER_BLOCK_MAX};
use ledger::state::{ChainState, Execution, LoadFault, Moving, PassedOver, StateReader as _};
use ledger::values::hash::sha256;
use ledger::values::{
    Amount, ChainId, Currency, LockId, NodeIndex, OperatorId, PolicyHash, Sequential, TimestampMs, WalletId,
};

use crate::chains::{CUSTOMERS, World, chains_spec};
use crate::epochs::govern;
use crate::network::{Became, Network, Signer, later_key, pay};

pub(crate) const ROOT: usize = 0;
/// The chain of the other currency.
pub(crate) const ABROAD: usize = 2;
/// The children of chains 0 and 1.
pub(crate) const CHILDREN: [(usize, usize); 2] = [(0, 3), (1, 4)];

/// Two shards and a chain abroad, with customers as in `chains.rs`.
pub(crate) fn city() -> World {
    let mut world = World::of(chains_spec(2));
    for number in 0..CUSTOMERS {
        let (home, signer) = world.customer(number);
        open(&mut world, home, number);
        world.fund(home, &signer.wallet, 100_000);
    }
    for number in 0..4 {
        open(&mut world, ABROAD, number);
        let wallet = world.chains[ABROAD].customer(number).wallet;
        world.fund(ABROAD, &wallet, 100_000);
    }
    world
}

pub(crate) fn open(world: &mut World, chain: usize, number: u64) -> Became {
    let wallets = vec![world.chains[chain].opening(number, Tier::Three)];
    let bank = world.chains[chain].operator(1);
    world.act(chain, &bank, Operation::OpenWallets { wallets })
}

/// The first set of a child.
fn first_set(child: usize) -> Vec<ValidatorRecord> {
    let seat = |place: u16| ValidatorRecord {
        operator: OperatorId(place + 1),
        node: NodeIndex(place),
        consensus_key: later_key(40 + child as u64 * 4 + u64::from(place)).public_key(),
    };
    let mut set: Vec<_> = (0..4).map(seat).collect();
    set.sort_by_key(|validator| validator.consensus_key);
    set
}

/// Adds both children, and starts them.
pub(crate) fn add_children(world: &mut World) {
    let add = |(parent, child): (usize, usize)| Change::AddChain {
        parent: ChainId(parent as u32),
        validators: first_set(child),
    };
    assert_eq!(govern(world, false, CHILDREN.map(add).to_vec()), Became::Applied);
    for _ in CHILDREN {
        world.start_child();
    }
}

pub(crate) fn reshard(world: &mut World) -> Became {
    govern(world, false, vec![Change::Reshard { currency: Currency(*b"CNY") }])
}

/// The receipts of one chain reach another, as many as one bundle holds; none where there are none.
pub(crate) fn relay(world: &mut World, source: usize, destination: usize) -> Option<Execution> {
    world.run(source, Vec::new(), Vec::new());
    world.run(source, Vec::new(), Vec::new());
    let bundle = next_bundle(world, source, destination)?;
    Some(world.run(destination, Vec::new(), vec![bundle]))
}

pub(crate) fn next_bundle(world: &World, source: usize, destination: usize) -> Option<Bundle> {
    let first = world.next(source, destination);
    let registry = &world.chains[destination].state.rules().registry;
    registry.chain(ChainId(source as u32))?;
    world.bundle(source, ChainId(destination as u32), first, 0, usize::MAX)
}

/// With both children ready, and the other shard knowing of them.
pub(crate) fn grown_up() -> World {
    let mut world = city();
    add_children(&mut world);
    relay(&mut world, ROOT, 1).unwrap();
    for (_, child) in CHILDREN {
        relay(&mut world, child, ROOT).unwrap();
    }
    world
}

/// Everything reaches everyone who takes it, until nothing is left.
pub(crate) fn settle(world: &mut World) {
    loop {
        let mut is_quiet = true;
        for source in 0..world.chains.len() {
            world.run(source, Vec::new(), Vec::new());
            world.run(source, Vec::new(), Vec::new());
            is_quiet &= world.chains[source].state.head().moving.is_none();
            is_quiet &= world.chains[source].state.pins().free().next().is_none();
            for destination in (0..world.chains.len()).filter(|destination| *destination != source) {
                let taken = world.chains[destination].state.rules().takes_from(ChainId(source as u32));
                let Some(bundle) = next_bundle(world, source, destination).filter(|_| taken) else {
                    continue;
                };
                is_quiet = false;
                let execution = world.run(destination, Vec::new(), vec![bundle]);
                assert_eq!(execution.passed_over, []);
            }
        }
        if is_quiet {
            return;
        }
    }
}

pub(crate) fn growth(network: &Network, chain: usize) -> Growth {
    match network.state.rules().registry.chain(ChainId(chain as u32)).unwrap().birth {
        Birth::Child { growth, .. } => growth,
        Birth::Genesis => panic!("a chain of genesis"),
    }
}

/// The chains where a wallet may act or be paid.
pub(crate) fn places(world: &World, wallet: &WalletId) -> Vec<usize> {
    let is_here = |chain: &usize| {
        let status = world.chains[*chain].wallet(wallet).map(|record| record.status);
        status.is_some_and(|status| !matches!(status, WalletStatus::Moved { .. }))
    };
    (0..world.chains.len()).filter(is_here).collect()
}

/// Customers of chain 0 whose wallets its child takes.
pub(crate) fn movers(world: &World) -> Vec<Signer> {
    let rules = world.chains[CHILDREN[0].1].state.rules();
    let all = (0..CUSTOMERS).map(|number| world.chains[0].customer(number));
    let movers: Vec<Signer> = all
        .filter(|signer| {
            world.chains[0].wallet(&signer.wallet).is_some()
                && signer.wallet.shard(4.try_into().unwrap()) == 2
        })
        .collect();
    assert!(movers.len() >= 2 && rules.chain == ChainId(3), "{}", movers.len());
    movers
}

/// Who pays from chain 1 and never moves: a bank.
pub(crate) fn banker(world: &mut World) -> Signer {
    let (central, bank) = (world.chains[1].operator(0), world.chains[1].operator(1));
    let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1_000) };
    assert_eq!(world.act(1, &central, issue), Became::Applied);
    bank
}

/// Replaces a wallet's record, and makes the state agree.
pub(crate) fn plant(network: &mut Network, id: &WalletId, change: impl FnOnce(&mut WalletRecord)) {
    network.plant(id, change);
    let mut head = network.state.head().clone();
    let load = |head| {
        let stored = network.records.iter().map(|(slot, record)| (slot, record.clone()));
        ChainState::load(&network.spec, network.state.rules().registry.clone(), head, stored, &Sequential)
    };
    let Err(LoadFault::Root { computed, .. }) = load(head.clone()) else { return };
    head.state = computed;
    network.state = load(head).unwrap();
}

#[test]
fn every_wallet_moves_with_its_whole_record() {
    let mut world = grown_up();
    let movers = movers(&world);
    let before: Vec<WalletRecord> =
        movers.iter().map(|signer| world.chains[0].wallet(&signer.wallet).unwrap()).collect();
    assert_eq!(reshard(&mut world), Became::Applied);
    let records = world.chains[0].state.head().records;
    let moving = Moving { to: ChainId(3), next: 2, until: records };
    assert_eq!(world.chains[0].state.head().moving, Some(moving));
    assert_eq!(places(&world, &movers[0].wallet), [0], "not in the block that decides it");
    let execution = world.run(0, Vec::new(), Vec::new());
    assert_eq!(execution.head.moving, None, "few are moved at once");
    let moved: Vec<&WalletRecord> = execution
        .sent
        .iter()
        .filter_map(|sent| match &sent.receipt {
            Receipt::Move { wallet } => Some(wallet),
            _ => None,
        })
        .collect();
    assert_eq!(moved.len(), movers.len());
    assert!(before.iter().all(|record| moved.contains(&record)));
    assert_eq!(execution.sent.last().map(|sent| &sent.receipt), Some(&Receipt::End {}));
    assert!(execution.history.iter().all(|entry| entry.movement.kind == MovementKind::MovedOut));
    let tombstone = world.chains[0].wallet(&before[0].id).unwrap();
    let status = WalletStatus::Moved { to: ChainId(3) };
    assert_eq!(tombstone, WalletRecord { status, balance: Amount::ZERO, ..before[0].clone() });
    let execution = relay(&mut world, 0, 3).unwrap();
    assert!(execution.received.iter().all(|received| received.code == 0));
    let kinds: Vec<MovementKind> = execution.history.iter().map(|entry| entry.movement.kind).collect();
    assert_eq!(kinds, vec![MovementKind::MovedIn; movers.len()]);
    for record in before {
        assert_eq!(world.chains[3].wallet(&record.id), Some(record));
    }
    assert_eq!(growth(&world.chains[3], 3), Growth::Grown);
    assert_eq!(execution.sent.last().map(|sent| &sent.receipt), Some(&Receipt::Report { is_filled: true }));
    relay(&mut world, 3, ROOT).unwrap();
    assert_eq!(growth(&world.chains[ROOT], 3), Growth::Grown);
    // The tombstone refuses, and says where to go; there the wallet goes on.
    let payment = pay(&[(world.chains[0].operator(1).wallet, 1)]);
    let became = world.act(0, &movers[0], payment.clone());
    assert_eq!(became, Became::Skipped(NotExecuted::WalletMoved { to: ChainId(3) }));
    assert_eq!(world.act(3, &movers[0], payment), Became::Applied);
}

#[test]
fn a_wallet_that_a_lock_holds_stays_until_the_lock_is_over() {
    let mut world = grown_up();
    let movers = movers(&world);
    let (payer, payee) = (&movers[0], &movers[1]);
    let secret = [5; 32];
    let lock = Operation::Lock {
        payee: payee.wallet,
        amount: Amount::from_fen(500),
        hash: sha256(&secret),
        deadline: TimestampMs(world.chains[0].next_timestamp().0 + LOCK_TTL_MS_MAX),
    };
    assert_eq!(world.act(0, payer, lock.clone()), Became::Applied);
    let id = LockId::of(world.chains[0].heights.last().unwrap().2.outcomes[0].id);
    assert!(world.chains[0].state.pins().is_pinned(&payee.wallet));
    assert_eq!(reshard(&mut world), Became::Applied);
    // From here on nothing holds them anew.
    let expected = Became::Rejected(Rejection::PartyMoving);
    assert_eq!(world.act(0, payer, lock), expected);
    settle(&mut world);
    for signer in [payer, payee] {
        assert_eq!(places(&world, &signer.wallet), [0]);
        let kept = world.chains[3].wallet(&signer.wallet).unwrap();
        assert_eq!(kept.status, WalletStatus::Moved { to: ChainId(0) });
        let payment = pay(&[(movers[0].wallet, 1)]);
        let became = world.act(3, signer, payment);
        assert_eq!(became, Became::Skipped(NotExecuted::WalletMoved { to: ChainId(0) }));
    }
    // It pays and is paid where it is, from whichever chain.
    let other = banker(&mut world);
    assert_eq!(world.act(1, &other, pay(&[(payee.wallet, 70)])), Became::Applied);
    settle(&mut world);
    assert_eq!(world.chains[0].balance(&payee.wallet), 100_070);
    assert_eq!(world.act(0, payee, Operation::Claim { lock: id, preimage: secret }), Became::Applied);
    assert_eq!(world.chains[0].state.pins().free().count(), 2);
    assert_eq!(places(&world, &payee.wallet), [0], "kept in the block that sets it free");
    settle(&mut world);
    assert_eq!(world.chains[3].balance(&payee.wallet), 100_570);
    assert_eq!(world.chains[3].balance(&payer.wallet), 99_500);
    assert_eq!(places(&world, &payer.wallet), [3]);
    assert_eq!(world.chains[0].state.pins().free().count(), 0);
}

/// A credit that reaches the parent after its payee has left is sent on; refused there, it comes back to where it was paid.
#[test]
fn credits_follow_the_wallet_and_refunds_the_payer() {
    let mut world = grown_up();
    let movers = movers(&world);
    let (home, payer) = (0..CUSTOMERS).map(|n| world.customer(n)).find(|(home, _)| *home == 1).unwrap();
    let wallets = [movers[0].wallet, movers[1].wallet];
    plant(&mut world.chains[0], &wallets[1], |wallet| wallet.status = WalletStatus::Frozen);
    let unknown = (CUSTOMERS..).map(|n| world.chains[0].customer(n).wallet);
    let unknown = { unknown }.find(|id| id.shard(4.try_into().unwrap()) == 2).unwrap();
    let payees = [(wallets[0], 11), (wallets[1], 13), (unknown, 17)];
    // Chain 1 has not heard of it yet.
    assert_eq!(reshard(&mut world), Became::Applied);
    assert_eq!(world.act(home, &payer, pay(&payees)), Became::Applied);
    let first = world.lines[&(ChainId(1), ChainId(0))].receipts.len() as u64 - 3;
    world.run(0, Vec::new(), Vec::new());
    world.run(1, Vec::new(), Vec::new());
    let bundle = next_bundle(&world, 1, 0).unwrap();
    let execution = world.run(0, Vec::new(), vec![bundle]);
    let became: Vec<(u16, Option<(ChainId, u64)>)> = execution
        .received
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(|received| (received.code, received.sent_on))
        .collect();
    let sent_on = Rejection::SentOn.code();
    // After the change itself, the wallets, and the end.
    let number = movers.len() as u64 + 2;
    let on = |number: u64| (sent_on, Some((ChainId(3), number)));
    // Every wallet that is at home on the child has a tombstone; of the last one only the child can say.
    assert_eq!(became, [on(number), on(number + 1), on(number + 2)]);
    let Receipt::Credit { origin, .. } = execution.sent[0].receipt else { panic!("no credit") };
    let expected = Origin { source: ChainId(1), destination: ChainId(0), sequence: first };
    assert_eq!(origin, Some(expected));
    settle(&mut world);
    assert_eq!(world.chains[3].balance(&wallets[0]), 100_011);
    // The payer may have moved by then, too.
    let place = places(&world, &payer.wallet)[0];
    assert_eq!(world.chains[place].balance(&payer.wallet), 100_000 - 11);
    let refunds = &world.lines[&(ChainId(3), ChainId(1))].receipts;
    let codes = [Rejection::PayeeNotActive, Rejection::PayeeUnknown].map(Rejection::code);
    for ((refund, reason), sequence) in refunds.iter().zip(codes).zip(first + 1..) {
        let Receipt::Refund { chain, credit, code, .. } = refund else { panic!("{refund:?}") };
        assert_eq!((*chain, *credit, *code), (ChainId(0), sequence, reason));
    }
    assert_eq!(refunds.len(), 2);
}

/// The payer leaves while the payment is under way, and is refused: the refund follows.
#[test]
fn a_refund_follows_its_payer() {
    let mut world = grown_up();
    let movers = movers(&world);
    let (away, frozen) = (0..CUSTOMERS).map(|n| world.customer(n)).find(|(home, _)| *home == 1).unwrap();
    plant(&mut world.chains[away], &frozen.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    assert_eq!(world.act(0, &movers[0], pay(&[(frozen.wallet, 900)])), Became::Applied);
    assert_eq!(reshard(&mut world), Became::Applied);
    world.run(0, Vec::new(), Vec::new());
    assert_eq!(world.chains[0].balance(&movers[0].wallet), 0);
    settle(&mut world);
    assert_eq!(world.chains[3].balance(&movers[0].wallet), 100_000);
    let refund = world.lines[&(ChainId(0), ChainId(3))].receipts.last().unwrap();
    assert!(matches!(refund, Receipt::Refund { chain: ChainId(1), .. }), "{refund:?}");
}

#[test]
fn a_child_opens_and_takes_nothing_before_it_is_filled() {
    let mut world = grown_up();
    let fresh = (CUSTOMERS..CUSTOMERS + 99)
        .find(|n| world.chains[0].customer(*n).wallet.shard(4.try_into().unwrap()) == 2)
        .unwrap();
    assert_eq!(open(&mut world, 3, fresh), Became::Rejected(Rejection::WalletElsewhere));
    let rules = |world: &World| world.chains[3].state.rules().clone();
    let takes = |world: &World| [0, 1, 2, 4].map(|source| rules(world).takes_from(ChainId(source)));
    assert_eq!(takes(&world), [true, false, false, false]);
    assert!(world.chains[4].state.rules().takes_from(ROOT_CHAIN));
    assert!(!world.chains[4].state.rules().takes_from(ChainId(1)), "the parent has to wait");
    assert_eq!(reshard(&mut world), Became::Applied);
    relay(&mut world, ROOT, 4).unwrap();
    assert!(world.chains[4].state.rules().takes_from(ChainId(1)));
    world.run(0, Vec::new(), Vec::new());
    world.run(0, Vec::new(), Vec::new());
    // Only the decision reaches it, not yet the wallets.
    let whole = next_bundle(&world, 0, 3).unwrap();
    let one = world.bundle(0, ChainId(3), whole.before.count, 0, 1).unwrap();
    world.run(3, Vec::new(), vec![one]);
    assert_eq!(growth(&world.chains[3], 3), Growth::Filling);
    assert_eq!(takes(&world), [true, false, false, false]);
    assert_eq!(open(&mut world, 3, fresh), Became::Rejected(Rejection::ChainFilling));
    assert_eq!(open(&mut world, 0, fresh), Became::Rejected(Rejection::WalletElsewhere));
    // From elsewhere, it is passed over, and comes again when the child is grown.
    relay(&mut world, ROOT, 1).unwrap();
    let mover = movers(&world)[0].clone();
    let payer = banker(&mut world);
    assert_eq!(world.act(1, &payer, pay(&[(mover.wallet, 5)])), Became::Applied);
    let early = relay(&mut world, 1, 3).unwrap();
    assert_eq!(early.passed_over, [(0, PassedOver::Filling {})]);
    assert!(early.received.is_empty());
    settle(&mut world);
    assert_eq!(takes(&world), [true; 4]);
    assert_eq!(world.chains[3].balance(&mover.wallet), 100_005);
    assert_eq!(open(&mut world, 3, fresh), Became::Applied);
}

/// What only a dishonest chain sends loses no money and opens nothing.
#[test]
fn wallets_come_from_the_parent_alone() {
    let mut world = grown_up();
    assert_eq!(reshard(&mut world), Became::Applied);
    settle(&mut world);
    let mover = movers(&world)[0].clone();
    let payer = banker(&mut world);
    assert_eq!(world.act(1, &payer, pay(&[(mover.wallet, 5)])), Became::Applied);
    world.run(1, Vec::new(), Vec::new());
    let mut bundle = next_bundle(&world, 1, 3).unwrap();
    let stranger = WalletRecord {
        id: WalletId([9; 32]),
        policy: PolicyHash::default(),
        operator: OperatorId(1),
        tier: Tier::One,
        status: WalletStatus::Active,
        balance: Amount::from_fen(5),
        lanes: Vec::new(),
    };
    // Execution alone is asked: the bundle's check is not in question. The money is what the source has really sent.
    bundle.receipts = vec![
        Receipt::Move { wallet: stranger },
        Receipt::Keep { wallet: WalletId([8; 32]) },
        Receipt::End {},
    ];
    let before = world.chains[3].state.head().records;
    let execution = world.chains[3].run_with(Vec::new(), vec![bundle]);
    let codes: Vec<u16> = execution.received.iter().map(|received| received.code).collect();
    assert_eq!(codes, [Rejection::WalletElsewhere.code(); 3]);
    assert_eq!(execution.head.records, before);
    let suspense = world.chains[3].records.records(&[ledger::values::Slot(1)]).unwrap().remove(0);
    assert_eq!(suspense, Some(Record::Suspense { balance: Amount::from_fen(5) }));
}

/// Offers too: one that names a wallet on its way is cancelled, one that was there before holds it.
#[test]
fn an_offer_holds_what_it_names_and_comes_too_late_for_what_leaves() {
    let mut world = grown_up();
    let movers = movers(&world);
    let (payer, payee) = (world.chains[ABROAD].customer(0), world.chains[ABROAD].customer(1));
    let mut made = Vec::new();
    for round in 0..2 {
        let asked = Asked {
            payer: movers[round].wallet,
            payee: movers[1 - round].wallet,
            amount: Amount::from_fen(300),
        };
        let operation = Operation::Exchange {
            payee: payee.wallet,
            amount: Amount::from_fen(700),
            chain: ChainId(0),
            asked,
            deadline: TimestampMs(world.chains[ABROAD].next_timestamp().0 + LOCK_TTL_MS_MAX),
        };
        assert_eq!(world.act(ABROAD, &payer, operation), Became::Applied);
        made.push(LockId::of(world.chains[ABROAD].heights.last().unwrap().2.outcomes[0].id));
        if round == 0 {
            relay(&mut world, ABROAD, 0).unwrap();
            assert_eq!(reshard(&mut world), Became::Applied);
        }
    }
    let execution = relay(&mut world, ABROAD, 0).unwrap();
    assert_eq!(execution.received[0].code, Rejection::PartyMoving.code());
    settle(&mut world);
    assert_eq!(places(&world, &movers[0].wallet), [0]);
    let accept = Operation::Accept {
        offer: made[0],
        payee: movers[1].wallet,
        amount: Amount::from_fen(300),
        receives: Amount::from_fen(700),
        source: ChainId(ABROAD as u32),
        to: payee.wallet,
    };
    assert_eq!(world.act(0, &movers[0], accept), Became::Applied);
    settle(&mut world);
    assert_eq!(world.chains[3].balance(&movers[0].wallet), 99_700);
    assert_eq!(world.chains[3].balance(&movers[1].wallet), 100_300);
    assert_eq!(world.chains[ABROAD].balance(&payee.wallet), 100_700);
    let lock = world.chains[ABROAD].records.find(&[made[1].into()]).unwrap().remove(0).unwrap().1;
    let code = Rejection::PartyMoving.code();
    assert!(matches!(lock, Record::Lock(lock) if lock.state == LockState::Returned { code }));
}

/// Many wallets take many blocks, each within its bounds, and the state that is loaded in between goes on alike.
#[test]
fn a_block_moves_no_more_than_its_bounds() {
    let mut world = World::of(chains_spec(2));
    let bank = world.chains[0].operator(1);
    let home = |world: &World, number: u64| world.customer(number).0;
    let mut wallets = Vec::new();
    for number in 0..8_000 {
        if home(&world, number) == 0 {
            wallets.push(world.chains[0].opening(number, Tier::Four));
        }
    }
    for wallets in wallets.chunks(64) {
        let wallets = wallets.to_vec();
        assert_eq!(world.act(0, &bank, Operation::OpenWallets { wallets }), Became::Applied);
    }
    add_children(&mut world);
    relay(&mut world, ROOT, 1).unwrap();
    for (_, child) in CHILDREN {
        relay(&mut world, child, ROOT).unwrap();
    }
    assert_eq!(reshard(&mut world), Became::Applied);
    let mut moved = 0;
    while let Some(before) = world.chains[0].state.head().moving {
        let execution = world.run(0, Vec::new(), Vec::new());
        let moves = execution.sent.iter().filter(|sent| matches!(sent.receipt, Receipt::Move { .. })).count();
        assert!(moves <= MOVES_PER_BLOCK_MAX);
        moved += moves;
        if let Some(after) = execution.head.moving {
            assert!(after.next - before.next <= SCAN_PER_BLOCK_MAX);
            assert!(moves == MOVES_PER_BLOCK_MAX || after.next - before.next == SCAN_PER_BLOCK_MAX);
        }
        same_when_loaded(&world.chains[0]);
    }
    assert!(moved > 3 * MOVES_PER_BLOCK_MAX, "{moved}");
    settle(&mut world);
    assert_eq!(growth(&world.chains[ROOT], 3), Growth::Grown);
}

/// What is loaded from the stored records is the running state.
pub(crate) fn same_when_loaded(network: &Network) {
    let stored = network.records.iter().map(|(slot, record)| (slot, record.clone()));
    let (registry, head) = (network.state.rules().registry.clone(), network.state.head().clone());
    let loaded = ChainState::load(&network.spec, registry, head, stored, &Sequential).unwrap();
    assert_eq!(loaded.pins(), network.state.pins());
    assert_eq!(loaded.expiries(), network.state.expiries());
    assert_eq!(loaded.parts(), network.state.parts());
}
