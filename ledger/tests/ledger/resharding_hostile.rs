//! Live resharding against schedules that nobody would make by accident, and against a chain whose quorum has gone bad: money is
//! neither lost nor doubled, and no block becomes one that nobody can execute.

use ledger::records::{
    Asked, Change, Operation, Origin, Receipt, Record, Rejection, Tier, WalletRecord, WalletStatus,
};
use ledger::rules::lock::LOCK_TTL_MS_MAX;
use ledger::state::{Moving, SentReceipt, StateReader as _};
use ledger::values::hash::sha256;
use ledger::values::{
    Amount, ChainId, Currency, LockId, OperatorId, PolicyHash, Slot, TimestampMs, TransactionId, WalletId,
};

use crate::chains::{FOREIGN, SHARDS, World};
use crate::epochs::govern;
use crate::governance::fifth_bank;
use crate::growth::add_chain;
use crate::network::{Became, Network, Signer, pay};
use crate::resharding::{
    ABROAD, ROOT, add_children, banker, city, grown_up, movers, next_bundle, open, places, relay, reshard,
    same_when_loaded, settle,
};

/// A customer of the chain of the other currency in `World::new`, of this shard among four.
fn customer(world: &World, shard: u16) -> (u64, Signer) {
    let of = |number: u64| world.chains[FOREIGN.0 as usize].customer(number);
    let number = (0..99).find(|number| of(*number).wallet.shard(4.try_into().unwrap()) == shard).unwrap();
    (number, of(number))
}

fn deadline(world: &World, chain: usize) -> TimestampMs {
    TimestampMs(world.chains[chain].next_timestamp().0 + LOCK_TTL_MS_MAX)
}

fn last_lock(world: &World, chain: usize) -> LockId {
    LockId::of(world.chains[chain].heights.last().unwrap().2.outcomes[0].id)
}

/// An offer to a child names a payee that the child does not know yet, because the parent keeps it for a lock. It must not pin the place
/// that is kept free: once over, a second resharding would move that instead of the wallet, whose money would have nowhere to go.
#[test]
fn a_place_that_is_kept_free_never_moves() {
    let mut world = World::new();
    let (foreign, child) = (FOREIGN.0 as usize, SHARDS as usize + 1);
    let hkd = Currency(*b"HKD");
    let (number, kept) = customer(&world, 3);
    let (other, payee) = customer(&world, 0);
    for number in [number, other] {
        assert_eq!(open(&mut world, foreign, number), Became::Applied);
    }
    world.fund(foreign, &kept.wallet, 100_000);
    let (hash, until) = (sha256(&[7; 32]), deadline(&world, foreign));
    let lock = Operation::Lock { payee: payee.wallet, amount: Amount::from_fen(500), hash, deadline: until };
    assert_eq!(world.act(foreign, &kept, lock), Became::Applied);
    let lock = last_lock(&world, foreign);
    let first = vec![add_chain(FOREIGN, ChainId(child as u32))];
    assert_eq!(govern(&mut world, false, first), Became::Applied);
    world.start_child();
    relay(&mut world, child, ROOT).unwrap();
    assert_eq!(govern(&mut world, false, vec![Change::Reshard { currency: hkd }]), Became::Applied);
    relay(&mut world, ROOT, child).unwrap();
    // The child is being filled, and has heard of no wallet so far.
    let (central, bank) = (world.chains[ROOT].operator(0), world.chains[ROOT].operator(1));
    let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1_000) };
    assert_eq!(world.act(ROOT, &central, issue), Became::Applied);
    let asker = world.chains[child].operator(1);
    let exchange = Operation::Exchange {
        payee: world.chains[ROOT].operator(2).wallet,
        amount: Amount::from_fen(700),
        chain: ChainId(child as u32),
        asked: Asked { payer: asker.wallet, payee: kept.wallet, amount: Amount::from_fen(300) },
        deadline: deadline(&world, ROOT),
    };
    assert_eq!(world.act(ROOT, &bank, exchange), Became::Applied);
    let offer = last_lock(&world, ROOT);
    let offered = relay(&mut world, ROOT, child).unwrap().received.last().unwrap().code;
    settle(&mut world);
    assert_eq!(places(&world, &kept.wallet), [foreign]);
    let next = child as u32 + 1;
    let both = vec![add_chain(FOREIGN, ChainId(next)), add_chain(ChainId(child as u32), ChainId(next + 1))];
    assert_eq!(govern(&mut world, false, both), Became::Applied);
    world.start_child();
    world.start_child();
    settle(&mut world);
    assert_eq!(govern(&mut world, false, vec![Change::Reshard { currency: hkd }]), Became::Applied);
    settle(&mut world);
    if offered == 0 {
        assert_eq!(world.act(child, &asker, Operation::Decline { offer }), Became::Applied);
        settle(&mut world);
    }
    let claim = Operation::Claim { lock, preimage: [7; 32] };
    assert_eq!(world.act(foreign, &payee, claim), Became::Applied);
    settle(&mut world);
    assert_eq!(places(&world, &kept.wallet), [next as usize + 1]);
    assert_eq!(world.chains[next as usize + 1].balance(&kept.wallet), 99_500);
    world.chains.iter().for_each(same_when_loaded);
    assert_eq!(offered, Rejection::PartyMoving.code());
}

/// A credit that says that it came from a chain that there is not, or of another currency. Its refund goes to whoever sent it: else the
/// pairs of a chain would become more than it can store, or money would stand before receipts of another currency for ever.
#[test]
fn a_forged_origin_leads_nowhere() {
    let mut world = city();
    let payer = banker(&mut world);
    let payee = world.customer((0..).find(|number| world.customer(*number).0 == 0).unwrap()).1.wallet;
    assert_eq!(world.act(1, &payer, pay(&[(payee, 5)])), Became::Applied);
    for _ in 0..2 {
        world.run(1, Vec::new(), Vec::new());
    }
    let mut bundle = next_bundle(&world, 1, 0).unwrap();
    let credit = |fen: u64, source: ChainId| Receipt::Credit {
        transaction: TransactionId([1; 32]),
        part: 0,
        payer: WalletId([4; 32]),
        payee: WalletId([9; 32]),
        amount: Amount::from_fen(fen),
        origin: Some(Origin { source, destination: ChainId(1), sequence: 7 }),
    };
    bundle.receipts = vec![credit(2, ChainId(77)), credit(3, ChainId(ABROAD as u32))];
    let execution = world.chains[0].run_with(Vec::new(), vec![bundle]);
    assert!(execution.received.iter().all(|received| received.code == Rejection::PayeeUnknown.code()));
    let sent: Vec<(ChainId, u64)> =
        execution.sent.iter().map(|sent| (sent.destination, sent.receipt.value().fen())).collect();
    assert_eq!(sent, [(ChainId(1), 2), (ChainId(1), 3)]);
}

/// A wallet as nobody opened it, of 5 fen.
fn forged(id: WalletId, tier: Tier) -> WalletRecord {
    WalletRecord {
        id,
        policy: PolicyHash::default(),
        operator: OperatorId(0),
        tier,
        status: WalletStatus::Active,
        balance: Amount::from_fen(5),
        lanes: Vec::new(),
    }
}

/// Chain 1, the parent of chain 4, sends this wallet instead of the 5 fen that it has sent.
fn send_forged(world: &mut World, wallet: WalletRecord) -> u16 {
    let payer = banker(world);
    let theirs = |number: &u64| world.chains[0].customer(*number).wallet.shard(4.try_into().unwrap()) == 3;
    let payee = world.chains[0].customer((0..99).find(theirs).unwrap()).wallet;
    assert_eq!(world.act(1, &payer, pay(&[(payee, 5)])), Became::Applied);
    for _ in 0..2 {
        world.run(1, Vec::new(), Vec::new());
    }
    let mut bundle = next_bundle(world, 1, 4).unwrap();
    bundle.receipts = vec![Receipt::Move { wallet }];
    world.chains[4].run_with(Vec::new(), vec![bundle]).received[0].code
}

/// A parent cannot give its child a wallet that issues money.
#[test]
fn no_operators_wallet_moves() {
    let mut world = grown_up();
    movers(&world);
    assert_eq!(reshard(&mut world), Became::Applied);
    settle(&mut world);
    let before = world.chains[4].state.head().records;
    let code = send_forged(&mut world, forged(WalletId([9; 32]), Tier::Operator));
    assert_eq!(code, Rejection::TierNotAllowed.code());
    assert_eq!(world.chains[4].state.head().records, before);
    let suspense = world.chains[4].records.records(&[Slot(1)]).unwrap().remove(0);
    assert_eq!(suspense, Some(Record::Suspense { balance: Amount::from_fen(5) }));
}

/// A parent that takes the name of a bank's wallet before the bank is admitted does not stop its child.
#[test]
fn a_name_that_was_taken_stops_no_chain() {
    let mut world = grown_up();
    assert_eq!(reshard(&mut world), Became::Applied);
    settle(&mut world);
    let (genesis, bank) = (world.chains[4].genesis, fifth_bank());
    let own = bank.own_wallet(genesis, Currency(*b"CNY"), OperatorId(5)).id;
    assert_eq!(send_forged(&mut world, forged(own, Tier::One)), 0);
    assert_eq!(govern(&mut world, false, vec![Change::AddOperator(bank)]), Became::Applied);
    let execution = relay(&mut world, ROOT, 4).unwrap();
    assert_eq!(execution.received.last().unwrap().code, 0);
    assert_eq!(world.chains[4].state.rules().registry.operators.len(), 6);
    assert_eq!(world.chains[4].wallet(&own).unwrap().tier, Tier::One);
    same_when_loaded(&world.chains[4]);
}

/// A child that nobody has started decides nothing, so nothing is locked for its decision.
#[test]
fn nothing_is_locked_for_a_chain_without_wallets() {
    let mut world = city();
    add_children(&mut world);
    relay(&mut world, ROOT, ABROAD).unwrap();
    let (payer, payee) = (world.chains[ABROAD].customer(0), world.chains[ABROAD].customer(1));
    let exchange = |world: &World| Operation::Exchange {
        payee: payee.wallet,
        amount: Amount::from_fen(700),
        chain: ChainId(3),
        asked: Asked {
            payer: world.chains[3].operator(1).wallet,
            payee: world.chains[3].operator(2).wallet,
            amount: Amount::from_fen(300),
        },
        deadline: deadline(world, ABROAD),
    };
    let early = exchange(&world);
    assert_eq!(world.act(ABROAD, &payer, early), Became::Rejected(Rejection::ChainUnknown));
    settle(&mut world);
    assert_eq!(reshard(&mut world), Became::Applied);
    settle(&mut world);
    let later = exchange(&world);
    assert_eq!(world.act(ABROAD, &payer, later), Became::Applied);
}

/// The receipts that tell chain 1 of a second resharding: every shard has a child, and they are filled.
fn second_resharding(world: &World) -> Vec<Receipt> {
    let registry = &world.chains[ROOT].state.rules().registry;
    let parents = [0, 1, 3, 4].map(ChainId).into_iter().zip((5..).map(ChainId));
    let added = parents.map(|(parent, child)| add_chain(parent, child));
    let reshard = Change::Reshard { currency: Currency(*b"CNY") };
    let receipt = |change| Receipt::Change {
        version: registry.version,
        height: world.chains[ROOT].height(),
        is_urgent: false,
        change,
    };
    added.chain([reshard]).map(receipt).collect()
}

/// A child says that it has all wallets before its parent has sent them, and so a second resharding is decided. The parent hears of it
/// while wallets still move to the first child, or even with the first resharding: it goes on with the first, and then begins with
/// the second. Nobody is passed by.
#[test]
fn a_child_that_is_said_to_be_filled_too_early_costs_its_parent_no_wallet() {
    for is_at_once in [true, false] {
        let mut world = grown_up();
        let bank = world.chains[1].operator(1);
        let of_chain_1 = |number: &u64| world.chains[0].customer(*number).wallet.shard(shards(2)) == 1;
        let fresh: Vec<u64> = (100..).filter(of_chain_1).take(1_408).collect();
        for numbers in fresh.chunks(64) {
            let opening = |number: &u64| world.chains[1].opening(*number, Tier::Four);
            let wallets = numbers.iter().map(opening).collect();
            assert_eq!(world.act(1, &bank, Operation::OpenWallets { wallets }), Became::Applied);
        }
        let ids: Vec<WalletId> =
            fresh.iter().map(|number| world.chains[1].customer(*number).wallet).collect();
        let shard = |wallet: &WalletId| wallet.shard(shards(8));
        let second = ids.iter().position(|wallet| shard(wallet) == 5).unwrap();
        let payer = world.chains[1].customer(fresh[second]);
        world.fund(1, &payer.wallet, 1_000);
        assert_eq!(reshard(&mut world), Became::Applied);
        world.run(ROOT, Vec::new(), Vec::new());
        world.run(ROOT, Vec::new(), Vec::new());
        // Execution alone is asked: what the root chain would decide on a false report.
        let whole = next_bundle(&world, ROOT, 1).unwrap();
        let (mut first, mut then) = (whole.clone(), whole);
        let later = second_resharding(&world);
        let network: &mut Network = &mut world.chains[1];
        let mut sent = Vec::new();
        if is_at_once {
            first.receipts.extend(later);
            network.run_with(Vec::new(), vec![first]);
        } else {
            then.before.count += first.receipts.len() as u64;
            network.run_with(Vec::new(), vec![first]);
            let until = network.state.head().moving.unwrap().until;
            then.receipts = later;
            sent.extend(network.run_with(Vec::new(), vec![then]).sent);
            let moving = network.state.head().moving.unwrap();
            assert_eq!((moving.to, moving.until), (ChainId(4), until), "the cursor is not lost");
        }
        assert_eq!(network.state.head().moving.map(|moving| moving.to), Some(ChainId(4)));
        // Who is touched meanwhile waits for its turn as well.
        assert_eq!(network.act(&payer, pay(&[(bank.wallet, 1)])), Became::Applied);
        sent.extend(network.heights.last().unwrap().2.sent.clone());
        while let Some(Moving { to, .. }) = network.state.head().moving {
            assert!([4, 6].contains(&to.0), "{to}");
            same_when_loaded(network);
            sent.extend(network.run_with(Vec::new(), Vec::new()).sent);
        }
        same_when_loaded(network);
        let moved = |child: u32| -> Vec<WalletId> {
            let of_child = sent.iter().filter(|sent| sent.destination == ChainId(child));
            let wallet = |sent: &SentReceipt| match &sent.receipt {
                Receipt::Move { wallet } => Some(wallet.id),
                _ => None,
            };
            of_child.filter_map(wallet).filter(|wallet| ids.contains(wallet)).collect()
        };
        let belong = |homes: [u16; 2]| -> Vec<WalletId> {
            ids.iter().filter(|wallet| homes.contains(&shard(wallet))).copied().collect()
        };
        assert_eq!(moved(4), belong([3, 7]));
        assert_eq!(moved(6), belong([5, 5]));
        let ends = sent.iter().filter(|sent| sent.receipt == Receipt::End {}).map(|sent| sent.destination);
        assert_eq!(ends.collect::<Vec<_>>(), [ChainId(4), ChainId(6)], "each after the last of its wallets");
    }
}

fn shards(count: u16) -> std::num::NonZeroU16 {
    count.try_into().unwrap()
}
