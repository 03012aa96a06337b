//! Exchanges between two chains: receipts and guards row by row. Random schedules of them are in `exchange_schedules.rs`.

use ledger::records::{
    Asked, Batch, Change, Counter, LockState, MovementKind, OfferState, Operation, PairCounters, Receipt,
    Record, Rejection, Tier, WalletStatus,
};
use ledger::rules::apply::BLOCK_SENT_MAX;
use ledger::rules::lock::{LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN};
use ledger::rules::{ExecutionFault, InvariantFault};
use ledger::state::head::GRACE_HEIGHTS;
use ledger::state::shares::{LOCKS_PER_BLOCK_MAX, Share};
use ledger::state::{ChainState, Execution, LoadFault, Outbox, StateHead, StateReader as _};
use ledger::values::{
    Amount, AppendTree, BundleDigest, ChainId, Hash, LockId, OperatorId, Sequential, TimestampMs, WalletId,
};

use crate::chains::{CUSTOMERS, FOREIGN, SHARDS, World};
use crate::governance::fifth_bank;
use crate::network::{Became, Signer, pay};

const ABROAD: usize = SHARDS as usize;
pub(crate) const FOREIGNERS: u64 = 4;

/// An exchange as its payer made it.
#[derive(Debug, Clone)]
pub(crate) struct Deal {
    pub(crate) lock: LockId,
    pub(crate) source: usize,
    pub(crate) decider: usize,
    pub(crate) payer: Signer,
    pub(crate) asked_payer: Signer,
    pub(crate) asked: Asked,
    pub(crate) amount: Amount,
    /// Who gets it.
    pub(crate) to: WalletId,
}

/// The town of `chains.rs`, with customers 0 to 3 abroad who have 1,000.00 each.
pub(crate) fn town() -> World {
    let mut world = World::town();
    let openings = (0..FOREIGNERS).map(|n| world.chains[ABROAD].opening(n, Tier::Three)).collect();
    let bank = world.chains[ABROAD].operator(1);
    let open = Operation::OpenWallets { wallets: openings };
    assert_eq!(world.act(ABROAD, &bank, open), Became::Applied);
    for number in 0..FOREIGNERS {
        let wallet = foreigner(&world, number).wallet;
        world.fund(ABROAD, &wallet, 100_000);
    }
    world
}

fn foreigner(world: &World, number: u64) -> Signer {
    world.chains[ABROAD].customer(number % FOREIGNERS)
}

/// A customer and another one of the same shard.
pub(crate) fn neighbours(world: &World, number: u64) -> (usize, Signer, Signer) {
    let (home, signer) = world.customer(number % CUSTOMERS);
    let other = (1..CUSTOMERS).map(|step| world.customer((number + step) % CUSTOMERS));
    let other = other.into_iter().find(|(there, _)| *there == home).map(|(_, other)| other);
    (home, signer, other.expect("two customers on every shard"))
}

/// Offers money of customer `who` for money of foreigner `with`, or the other way round.
pub(crate) fn offer(
    world: &mut World,
    outward: bool,
    who: u64,
    with: u64,
    fen: (u64, u64),
    ttl_ms: u64,
) -> Option<Deal> {
    let (home, customer, neighbour) = neighbours(world, who);
    let (stranger, friend) = (foreigner(world, with), foreigner(world, with + 1));
    let (source, decider, payer, payee, asked_payer, asked_payee) = match outward {
        true => (home, ABROAD, customer, neighbour, stranger, friend),
        false => (ABROAD, home, stranger, friend, customer, neighbour),
    };
    let amount = Amount::from_fen(fen.0);
    let asked =
        Asked { payer: asked_payer.wallet, payee: asked_payee.wallet, amount: Amount::from_fen(fen.1) };
    let deadline = TimestampMs(world.chains[source].next_timestamp().0 + ttl_ms);
    let operation =
        Operation::Exchange { payee: payee.wallet, amount, chain: ChainId(decider as u32), asked, deadline };
    let became = world.act(source, &payer, operation);
    let id = world.chains[source].heights.last()?.2.outcomes.first()?.id;
    let to = payee.wallet;
    let deal = Deal { lock: LockId::of(id), source, decider, payer, asked_payer, asked, amount, to };
    (became == Became::Applied).then_some(deal)
}

/// Brings the receipts of one chain to another.
fn relay(world: &mut World, source: usize, destination: usize) -> Execution {
    world.run(source, Vec::new(), Vec::new());
    let first = world.next(source, destination);
    let bundle = world.bundle(source, ChainId(destination as u32), first, 0, usize::MAX).unwrap();
    world.run(destination, Vec::new(), vec![bundle])
}

pub(crate) fn accept(deal: &Deal) -> Operation {
    let Asked { payee, amount, .. } = deal.asked;
    let source = ChainId(deal.source as u32);
    Operation::Accept { offer: deal.lock, payee, amount, receives: deal.amount, source, to: deal.to }
}

pub(crate) fn record(world: &World, chain: usize, id: LockId) -> Option<Record> {
    world.chains[chain].records.find(&[id.into()]).unwrap().remove(0).map(|(_, record)| record)
}

pub(crate) fn lock_state(world: &World, deal: &Deal) -> LockState {
    let Some(Record::Lock(lock)) = record(world, deal.source, deal.lock) else { panic!("no lock") };
    lock.state
}

pub(crate) fn offer_state(world: &World, deal: &Deal) -> OfferState {
    let Some(Record::Offer(offer)) = record(world, deal.decider, deal.lock) else { panic!("no offer") };
    offer.state
}

pub(crate) fn later(world: &mut World, chain: usize, ttl_ms: u64) {
    world.chains[chain].parent.timestamp.0 += ttl_ms;
    for _ in 0..=GRACE_HEIGHTS {
        world.run(chain, Vec::new(), Vec::new());
    }
}

#[test]
fn both_halves_of_an_accepted_exchange_happen() {
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    let (home, payer, payee) = neighbours(&world, 0);
    assert_eq!(world.chains[home].balance(&payer.wallet), 99_300);
    assert_eq!(lock_state(&world, &deal), LockState::Open);
    let made = world.chains[home].heights.last().unwrap().2.history[0].movement;
    assert_eq!((made.kind, made.counterparty), (MovementKind::Locked, payee.wallet));
    relay(&mut world, deal.source, deal.decider);
    assert_eq!(offer_state(&world, &deal), OfferState::Open);
    assert_eq!(world.act(ABROAD, &deal.asked_payer, accept(&deal)), Became::Applied);
    assert_eq!(world.chains[ABROAD].balance(&deal.asked.payer), 99_700);
    assert_eq!(world.chains[ABROAD].balance(&deal.asked.payee), 100_300);
    // The payee is frozen and full by now: what was locked for it is not refused.
    world.fund(home, &payee.wallet, 1_900_000);
    world.chains[home].plant(&payee.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    let execution = relay(&mut world, deal.decider, deal.source);
    assert_eq!(world.chains[home].balance(&payee.wallet), 2_000_700);
    assert_eq!(lock_state(&world, &deal), LockState::Settled { preimage: None });
    let movement = execution.history[0].movement;
    assert_eq!((movement.kind, movement.counterparty), (MovementKind::Settled, payer.wallet));
    // Nothing more can be done with either.
    let again = accept(&deal);
    assert_eq!(world.act(ABROAD, &deal.asked_payer, again), Became::Rejected(Rejection::OfferNotOpen));
    let withdraw = Operation::Withdraw { lock: deal.lock };
    assert_eq!(world.act(home, &deal.payer, withdraw), Became::Rejected(Rejection::LockNotOpen));
}

#[test]
fn accept_row_by_row() {
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    relay(&mut world, deal.source, deal.decider);
    let (asked_payer, other) = (deal.asked_payer.clone(), foreigner(&world, 1));
    let frozen = foreigner(&world, 3).wallet;
    world.chains[ABROAD].plant(&frozen, |wallet| wallet.status = WalletStatus::Frozen);
    let rejected = Became::Rejected;
    let from = |offer: LockId, payee: WalletId, fen: u64, receives: (u64, u32, WalletId)| Operation::Accept {
        offer,
        payee,
        amount: Amount::from_fen(fen),
        receives: Amount::from_fen(receives.0),
        source: ChainId(receives.1),
        to: receives.2,
    };
    let (source, to) = (deal.source as u32, deal.to);
    let of = |offer, payee, fen, receives| from(offer, payee, fen, (receives, source, to));
    let (payee, third) = (deal.asked.payee, foreigner(&world, 2).wallet);
    let lock = deal.lock;
    let rows = [
        ("nothing", &asked_payer, of(lock, payee, 0, 700), rejected(Rejection::AmountZero)),
        ("itself", &asked_payer, of(lock, asked_payer.wallet, 300, 700), rejected(Rejection::PayeeIsPayer)),
        ("a lot", &asked_payer, of(lock, payee, 500_001, 700), rejected(Rejection::PaymentAboveTierLimit)),
        ("funds", &asked_payer, of(lock, payee, 100_001, 700), rejected(Rejection::InsufficientFunds)),
        ("nobody", &asked_payer, of(lock, WalletId([1; 32]), 300, 700), rejected(Rejection::PayeeUnknown)),
        ("frozen", &asked_payer, of(lock, frozen, 300, 700), rejected(Rejection::PayeeNotActive)),
        ("no offer", &asked_payer, of(LockId([1; 32]), payee, 300, 700), rejected(Rejection::OfferUnknown)),
        ("another", &other, of(lock, third, 300, 700), rejected(Rejection::SignerNotAskedPayer)),
        ("another payee", &asked_payer, of(lock, third, 300, 700), rejected(Rejection::OfferDiffers)),
        ("less", &asked_payer, of(lock, payee, 299, 700), rejected(Rejection::OfferDiffers)),
        ("for more", &asked_payer, of(lock, payee, 300, 701), rejected(Rejection::OfferDiffers)),
        (
            "of another chain",
            &asked_payer,
            from(lock, payee, 300, (700, source + 1, to)),
            rejected(Rejection::OfferDiffers),
        ),
        (
            "for another",
            &asked_payer,
            from(lock, payee, 300, (700, source, deal.payer.wallet)),
            rejected(Rejection::OfferDiffers),
        ),
        (
            "declined by another",
            &other,
            Operation::Decline { offer: lock },
            rejected(Rejection::SignerNotAskedPayer),
        ),
        (
            "declined unseen",
            &other,
            Operation::Decline { offer: LockId([1; 32]) },
            rejected(Rejection::OfferUnknown),
        ),
        ("withdrawn there", &other, Operation::Withdraw { lock }, rejected(Rejection::LockUnknown)),
    ];
    for (name, signer, operation, expected) in rows {
        assert_eq!(world.act(ABROAD, signer, operation), expected, "{name}");
        assert_eq!(offer_state(&world, &deal), OfferState::Open, "{name}");
        assert!(world.chains[ABROAD].heights.last().unwrap().2.sent.is_empty(), "{name}");
    }
    let (home, other_customer, _) = neighbours(&world, 1);
    if home == deal.source {
        let withdraw = Operation::Withdraw { lock };
        let expected = rejected(Rejection::SignerNotLockPayer);
        assert_eq!(world.act(home, &other_customer, withdraw), expected);
    }
    let claim = Operation::Claim { lock, preimage: [0; 32] };
    assert_eq!(world.act(deal.source, &deal.payer, claim), rejected(Rejection::LockKindOther));
    world.fund(ABROAD, &payee, 1_899_701);
    let full = rejected(Rejection::PayeeBalanceAboveTierLimit);
    assert_eq!(world.act(ABROAD, &asked_payer, accept(&deal)), full);
    world.chains[ABROAD].plant(&payee, |wallet| wallet.balance = Amount::from_fen(1));
    // At the deadline to the block: the last one that takes it is 31 heights above the first that is past it.
    world.chains[ABROAD].parent.timestamp.0 += 2 * LOCK_TTL_MS_MAX;
    for _ in 0..GRACE_HEIGHTS {
        world.run(ABROAD, Vec::new(), Vec::new());
    }
    let late = world.act(ABROAD, &asked_payer, accept(&deal));
    assert_eq!(late, rejected(Rejection::OfferExpired));
    let code = Rejection::OfferExpired.code();
    assert_eq!(offer_state(&world, &deal), OfferState::Cancelled { code });
}

#[test]
fn what_is_declined_withdrawn_or_late_goes_back_to_a_frozen_payer() {
    let ways: [(Rejection, fn(&mut World, &Deal)); 3] = [
        (Rejection::OfferDeclined, |world, deal| {
            let decline = Operation::Decline { offer: deal.lock };
            assert_eq!(world.act(deal.decider, &deal.asked_payer, decline), Became::Applied);
        }),
        (Rejection::OfferWithdrawn, |world, deal| {
            for _ in 0..2 {
                let withdraw = Operation::Withdraw { lock: deal.lock };
                assert_eq!(world.act(deal.source, &deal.payer, withdraw), Became::Applied);
                assert_eq!(lock_state(world, deal), LockState::Open, "the other chain decides");
            }
            let execution = relay(world, deal.source, deal.decider);
            let codes: Vec<u16> = execution.received.iter().map(|received| received.code).collect();
            assert_eq!(codes, [0, Rejection::OfferNotOpen.code()], "the second one comes too late");
        }),
        (Rejection::OfferExpired, |world, deal| later(world, deal.decider, LOCK_TTL_MS_MAX)),
    ];
    for (reason, way) in ways {
        let mut world = town();
        let deal = offer(&mut world, false, 0, 0, (700, 300), LOCK_TTL_MS_MIN).unwrap();
        relay(&mut world, deal.source, deal.decider);
        way(&mut world, &deal);
        let code = reason.code();
        assert_eq!(offer_state(&world, &deal), OfferState::Cancelled { code });
        world.chains[deal.source].plant(&deal.payer.wallet, |wallet| wallet.status = WalletStatus::Frozen);
        let execution = relay(&mut world, deal.decider, deal.source);
        assert_eq!(lock_state(&world, &deal), LockState::Returned { code }, "{reason}");
        assert_eq!(world.chains[deal.source].balance(&deal.payer.wallet), 100_000);
        assert_eq!(execution.history[0].movement.kind, MovementKind::Returned);
    }
}

/// The lock of an exchange has no timeout of its own, however long the other chain is silent.
#[test]
fn the_source_decides_nothing() {
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MIN).unwrap();
    later(&mut world, deal.source, 2 * LOCK_TTL_MS_MAX);
    assert_eq!(lock_state(&world, &deal), LockState::Open);
    // By the clock of the deciding chain it is in time.
    relay(&mut world, deal.source, deal.decider);
    assert_eq!(offer_state(&world, &deal), OfferState::Open);
    assert_eq!(world.act(ABROAD, &deal.asked_payer, accept(&deal)), Became::Applied);
    relay(&mut world, deal.decider, deal.source);
    assert_eq!(lock_state(&world, &deal), LockState::Settled { preimage: None });
}

#[test]
fn an_offer_that_cannot_stand_goes_back_at_once() {
    let mut world = town();
    let (home, customer, neighbour) = neighbours(&world, 0);
    let elsewhere = (0..SHARDS as usize).find(|chain| *chain != home).unwrap();
    let stranger = foreigner(&world, 0);
    let asked = Asked { payer: customer.wallet, payee: neighbour.wallet, amount: Amount::from_fen(3) };
    let deadline = TimestampMs(world.chains[ABROAD].next_timestamp().0 + LOCK_TTL_MS_MIN);
    let to = |chain: usize| Operation::Exchange {
        payee: foreigner(&town(), 1).wallet,
        amount: Amount::from_fen(107),
        chain: ChainId(chain as u32),
        asked,
        deadline,
    };
    // To the wrong shard; then to the right one, where the deadline has passed already.
    later(&mut world, home, LOCK_TTL_MS_MAX);
    for (chain, reason) in [(elsewhere, Rejection::AskedPayerUnknown), (home, Rejection::OfferExpired)] {
        let operation = to(chain);
        world.chains[ABROAD].parent.timestamp = TimestampMs(deadline.0 - LOCK_TTL_MS_MIN - 500);
        assert_eq!(world.act(ABROAD, &stranger, operation), Became::Applied);
        let lock = LockId::of(world.chains[ABROAD].heights.last().unwrap().2.outcomes[0].id);
        let execution = relay(&mut world, ABROAD, chain);
        let code = reason.code();
        assert_eq!(execution.received[0].code, code);
        assert_eq!(record(&world, chain, lock), None, "the receipt's outcome says it all");
        assert!(execution.writes.opened.is_empty());
        assert!(matches!(execution.sent[0].receipt, Receipt::Decision { settled: false, .. }));
        let withdraw = Operation::Withdraw { lock };
        assert_eq!(world.act(ABROAD, &stranger, withdraw), Became::Applied);
        let execution = relay(&mut world, ABROAD, chain);
        assert_eq!(execution.received[0].code, Rejection::OfferUnknown.code(), "withdrawn too late");
        relay(&mut world, chain, ABROAD);
        assert_eq!(world.chains[ABROAD].balance(&stranger.wallet), 100_000);
    }
}

/// What only a dishonest chain sends changes nothing, and what it sends twice is decided once.
#[test]
fn receipts_of_a_dishonest_chain_move_no_money() {
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    relay(&mut world, deal.source, deal.decider);
    // Receipts are proved by hand here: the bundle's check is not in question, so execution alone is asked.
    world.run(deal.source, Vec::new(), Vec::new());
    let (home, payer, payee) = neighbours(&world, 0);
    let sent = offer(&mut world, true, 0, 0, (100, 1), LOCK_TTL_MS_MAX).unwrap();
    world.run(deal.source, Vec::new(), Vec::new());
    let mut bundle = world.bundle(deal.source, FOREIGN, 1, 0, usize::MAX).unwrap();
    let Receipt::Offer { payer: a, payee: b, amount, asked, deadline, .. } = bundle.receipts[0] else {
        panic!("no offer")
    };
    let again = Receipt::Offer { lock: deal.lock, payer: a, payee: b, amount, asked, deadline };
    bundle.receipts = vec![again, Receipt::Withdrawal { lock: sent.lock }];
    let execution = world.chains[ABROAD].run_with(Vec::new(), vec![bundle]);
    let codes: Vec<u16> = execution.received.iter().map(|received| received.code).collect();
    assert_eq!(codes, [Rejection::LockExists.code(), Rejection::OfferUnknown.code()]);
    assert_eq!(offer_state(&world, &deal), OfferState::Open, "what is there stays");
    // Decisions: about no lock, with other wallets, of another chain's lock, and a right one twice.
    let decision = |lock: LockId, payer: WalletId, payee: WalletId, settled: bool| Receipt::Decision {
        lock,
        payer,
        payee,
        settled,
        code: 0,
    };
    let mut other = town();
    let accepted = offer(&mut other, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    assert_eq!(accepted.lock, deal.lock, "the same schedule");
    relay(&mut other, accepted.source, accepted.decider);
    assert_eq!(other.act(ABROAD, &accepted.asked_payer, accept(&accepted)), Became::Applied);
    other.run(ABROAD, Vec::new(), Vec::new());
    let mut bundle = other.bundle(ABROAD, ChainId(home as u32), 0, 0, usize::MAX).unwrap();
    let good = decision(deal.lock, payer.wallet, payee.wallet, true);
    assert_eq!(bundle.receipts, std::slice::from_ref(&good));
    bundle.receipts = vec![
        decision(LockId([1; 32]), payer.wallet, payee.wallet, true),
        decision(deal.lock, payer.wallet, payer.wallet, true),
        good.clone(),
        good,
        decision(deal.lock, payer.wallet, payee.wallet, false),
    ];
    let execution = other.chains[home].run_with(Vec::new(), vec![bundle]);
    let codes: Vec<u16> = execution.received.iter().map(|received| received.code).collect();
    let [unknown, differs, closed] =
        [Rejection::LockUnknown, Rejection::OfferDiffers, Rejection::LockNotOpen].map(Rejection::code);
    assert_eq!(codes, [unknown, differs, 0, closed, closed]);
    assert_eq!(other.chains[home].balance(&payee.wallet), 100_700);
}

/// The name of an offer is free bytes of another chain: it may be the id that a wallet will have, and takes nothing from it.
#[test]
fn the_name_of_an_offer_is_no_wallets() {
    let mut world = town();
    let who = (0..CUSTOMERS).find(|number| neighbours(&world, *number).0 == 0).unwrap();
    for with in [0, 1, 2] {
        offer(&mut world, true, who, with, (100, 100), LOCK_TTL_MS_MAX).unwrap();
    }
    world.run(0, Vec::new(), Vec::new());
    let mut bundle = world.bundle(0, FOREIGN, 0, 0, usize::MAX).unwrap();
    let network = &world.chains[ABROAD];
    let rules = network.state.rules();
    let operator = OperatorId(rules.registry.operators.len() as u16);
    let banks = fifth_bank().own_wallet(network.genesis, rules.currency, operator).id;
    let customers = network.customer(FOREIGNERS).wallet;
    let holders = [banks, customers].map(|wallet| LockId(wallet.0));
    for (receipt, name) in bundle.receipts.iter_mut().zip(holders) {
        let Receipt::Offer { lock, .. } = receipt else { panic!("no offer") };
        *lock = name;
    }
    bundle.receipts[2] = Receipt::Change {
        version: 1,
        height: ledger::values::Height(1),
        is_urgent: false,
        change: Change::AddOperator(fifth_bank()),
    };
    let opening = network.opening(FOREIGNERS, Tier::Three);
    let execution = world.chains[ABROAD].run_with(Vec::new(), vec![bundle]);
    assert!(execution.received.iter().all(|received| received.code == 0), "{:?}", execution.received);
    let bank = world.chains[ABROAD].operator(1);
    let network = &mut world.chains[ABROAD];
    assert_eq!(network.act(&bank, Operation::OpenWallets { wallets: vec![opening] }), Became::Applied);
    for (wallet, name) in [banks, customers].into_iter().zip(holders) {
        assert_eq!(world.chains[ABROAD].wallet(&wallet).unwrap().id, wallet);
        assert!(matches!(record(&world, ABROAD, name), Some(Record::Offer(offer)) if offer.id == name));
    }
}

/// A lock is not made where another chain has sent an offer of its name, as a dishonest one may that saw the transaction before.
#[test]
fn a_name_that_is_taken_is_not_locked_under() {
    let mut world = town();
    let (home, payer, payee) = neighbours(&world, 0);
    let offered = offer(&mut world, false, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    world.run(ABROAD, Vec::new(), Vec::new());
    let network = &world.chains[home];
    let lock = |fen| Operation::Lock {
        payee: payee.wallet,
        amount: Amount::from_fen(fen),
        hash: [1; 32],
        deadline: TimestampMs(network.next_timestamp().0 + LOCK_TTL_MS_MAX),
    };
    let sequence = network.next_sequence(&payer.wallet);
    let taken = network.transaction(&payer, sequence, lock(105));
    let free = network.transaction(&payer, sequence + 1, lock(106));
    let id = LockId::of(taken.id(network.genesis));
    let mut bundle = world.bundle(ABROAD, ChainId(home as u32), 0, 0, usize::MAX).unwrap();
    let Receipt::Offer { lock, .. } = &mut bundle.receipts[0] else { panic!("no offer") };
    assert_eq!(*lock, offered.lock);
    *lock = id;
    world.chains[home].run_with(Vec::new(), vec![bundle]);
    let execution = world.chains[home].run(vec![taken, free]);
    let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [Rejection::LockExists.code(), 0]);
    assert_eq!(world.chains[home].balance(&payer.wallet), 100_000 - 106);
}

/// A block that has made all the payments to other chains that it may makes no offer, decision or withdrawal either.
#[test]
fn a_full_outbox_waits() {
    let mut world = town();
    let few = offer(&mut world, true, 0, 0, (99, 3), LOCK_TTL_MS_MAX);
    assert!(few.is_none(), "less than a lock holds");
    let outward = offer(&mut world, true, 0, 0, (107, 3), LOCK_TTL_MS_MAX).unwrap();
    let inward = offer(&mut world, false, 0, 0, (107, 3), LOCK_TTL_MS_MAX).unwrap();
    relay(&mut world, inward.source, inward.decider);
    let (home, first, second) = neighbours(&world, 0);
    assert_eq!((outward.source, inward.decider), (home, home));
    let elsewhere = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap().1;
    let network = &world.chains[home];
    let from = network.next_sequence(&second.wallet);
    let mut transactions: Vec<_> = (from..from + (BLOCK_SENT_MAX / 64) as u64)
        .map(|sequence| network.transaction(&second, sequence, pay(&[(elsewhere.wallet, 1); 64])))
        .collect();
    let deadline = TimestampMs(network.next_timestamp().0 + LOCK_TTL_MS_MAX);
    let (payee, chain, amount) = (second.wallet, FOREIGN, Amount::from_fen(1));
    let operations = [
        Operation::Exchange { payee, amount, chain, asked: outward.asked, deadline },
        Operation::Withdraw { lock: outward.lock },
        accept(&inward),
        Operation::Decline { offer: inward.lock },
    ];
    let from = network.next_sequence(&first.wallet);
    for (operation, sequence) in operations.into_iter().zip(from..) {
        transactions.push(network.transaction(&first, sequence, operation));
    }
    let execution = world.run(home, transactions, Vec::new());
    let full = [Rejection::OutboxFull.code(); 4];
    let codes: Vec<u16> = execution.outcomes.iter().rev().take(5).map(|outcome| outcome.code).collect();
    assert_eq!((&codes[..4], codes[4]), (&full[..], 0));
    assert_eq!(offer_state(&world, &inward), OfferState::Open);
    assert_eq!(world.act(home, &first, accept(&inward)), Became::Applied, "the next block has room");
}

/// A receipt without money that could not be sent would be missed by no equation: the block is not executed.
#[test]
fn a_block_that_loses_a_receipt_is_not_executed() {
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    world.run(deal.source, Vec::new(), Vec::new());
    let mut bundle = world.bundle(deal.source, FOREIGN, 0, 0, usize::MAX).unwrap();
    // An offer that is answered at once, on a chain that can send its source nothing more.
    let Receipt::Offer { asked, .. } = &mut bundle.receipts[0] else { panic!("no offer") };
    asked.payer = WalletId([1; 32]);
    let network = &mut world.chains[ABROAD];
    let full = Counter { count: u64::MAX, total: 0 };
    let mut head = network.state.head().clone();
    let source = ChainId(deal.source as u32);
    head.supply.pairs = vec![PairCounters { chain: source, sent: full, received: Counter::default() }];
    head.outboxes = vec![Outbox {
        chain: source,
        tree: AppendTree { count: u64::MAX, peaks: vec![Hash::default(); 64] },
    }];
    let load = |head: StateHead| {
        let stored = network.records.iter().map(|(slot, record)| (slot, record.clone()));
        ChainState::load(&network.spec, network.state.rules().registry.clone(), head, stored, &Sequential)
    };
    let Err(LoadFault::Root { computed, .. }) = load(head.clone()) else { panic!("the same root") };
    head.state = computed;
    let mut state = load(head).unwrap();
    world.run(ABROAD, Vec::new(), Vec::new());
    let network = &world.chains[ABROAD];
    let mut block = network.heights.last().unwrap().0.clone();
    block.body.bundles = vec![BundleDigest::default()];
    let (records, no_batches) = (&network.records, &[] as &[Batch]);
    let fault = state.execute(records, &block, no_batches, &[bundle], &Sequential).unwrap_err();
    assert!(
        matches!(fault, ExecutionFault::Invariant { fault: InvariantFault::Unsent { chain }, .. } if chain == source)
    );
}

/// A chain that sends offers without end fills neither memory nor the share of anybody else.
#[test]
fn a_block_takes_no_more_offers_of_a_chain_than_its_bound() {
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    world.run(deal.source, Vec::new(), Vec::new());
    let mut bundle = world.bundle(deal.source, FOREIGN, 0, 0, usize::MAX).unwrap();
    let first = bundle.receipts[0].clone();
    let named = |number: usize| {
        let mut receipt = first.clone();
        let Receipt::Offer { lock, .. } = &mut receipt else { panic!("no offer") };
        lock.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
        receipt
    };
    bundle.receipts = (0..=LOCKS_PER_BLOCK_MAX).map(named).collect();
    let network = &mut world.chains[ABROAD];
    let payer = network.customer(0);
    let lock = Operation::Lock {
        payee: network.customer(1).wallet,
        amount: Amount::from_fen(100),
        hash: [1; 32],
        deadline: TimestampMs(network.next_timestamp().0 + LOCK_TTL_MS_MAX),
    };
    let lock = network.transaction(&payer, network.next_sequence(&payer.wallet), lock);
    let before = network.state.expiries().clone();
    let execution = network.run_with(vec![lock], vec![bundle]);
    let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
    let (last, others) = codes.split_last().unwrap();
    assert!(others.iter().all(|code| *code == 0), "{others:?}");
    let code = Rejection::TooManyOpen.code();
    assert_eq!(*last, code);
    assert!(
        matches!(&execution.sent[0].receipt, Receipt::Decision { settled: false, code: why, .. } if *why == code)
    );
    assert_eq!(execution.writes.opened.len(), LOCKS_PER_BLOCK_MAX + 1);
    let shares = network.state.expiries().shares();
    let source = Share::Offers(ChainId(deal.source as u32));
    assert_eq!((shares.count(source), shares.count(Share::Locks)), (LOCKS_PER_BLOCK_MAX, 1));
    network.state.undo(&execution.undo).unwrap();
    assert_eq!(*network.state.expiries(), before);
}
