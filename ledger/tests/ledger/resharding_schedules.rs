//! Random schedules over pure ledgers while a currency gets twice its shards, and then twice as many again: payments, openings, issues, locks, exchanges, frozen and full
//! wallets, receipts in any order. After every block money is conserved (`chains.rs`) and no wallet is in two places; at rest every
//! payment was credited or refused once, every wallet is at home or held by a lock, and every height is taken back and executed
//! again exactly. proptest prints the seed of a schedule that fails, and replays it.

use std::collections::{BTreeMap, BTreeSet};

use ledger::records::outcome::APPLIED;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{
    Asked, Growth, LockState, MovementKind, OfferState, Operation, Receipt, Record, Rejection, WalletStatus,
};
use ledger::rules::lock::{LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN};
use ledger::state::{PassedOver, Undo};
use ledger::values::hash::sha256;
use ledger::values::{Amount, ChainId, LockId, Sequential, Slot, TimestampMs, TransactionId, WalletId};
use proptest::prelude::*;

use crate::chains::{CUSTOMERS, World};
use crate::epochs::{govern, replay_all};
use crate::exchange::later;
use crate::growth::add_chain;
use crate::network::{Became, Network, Signer, pay};
use crate::resharding::{
    ABROAD, CHILDREN, ROOT, add_children, city, growth, next_bundle, open, places, plant, relay, reshard,
    same_when_loaded, settle,
};

/// Customers that the schedule may open besides those that there are.
const FRESH: u64 = 12;
const FOREIGNERS: u64 = 4;

/// A step of a random schedule.
#[derive(Debug, Clone)]
enum Step {
    Pay {
        from: u64,
        to: Vec<(u64, u64)>,
    },
    /// A payment signed for a chain where the wallet may not be.
    Stray {
        from: u64,
        chain: usize,
    },
    Open {
        chain: usize,
        number: u64,
    },
    Issue {
        chain: usize,
        to: u64,
        fen: u64,
    },
    Lock {
        from: u64,
        to: u64,
        fen: u64,
        ttl_ms: u64,
    },
    Claim {
        lock: usize,
    },
    Offer {
        outward: bool,
        who: u64,
        with: u64,
        fen: (u64, u64),
    },
    Answer {
        deal: usize,
        how: u8,
    },
    Relay {
        source: usize,
        destination: usize,
        most: usize,
        copies: usize,
    },
    Idle {
        chain: usize,
        ms: u64,
    },
    /// The next step of the resharding itself.
    Grow,
}

/// Steps over so many chains.
fn steps(chains: usize) -> impl Strategy<Value = Step> {
    let chain = move || 0..chains;
    let who = || 0..CUSTOMERS + FRESH;
    let to = prop::collection::vec((who(), 1_u64..20_000), 1..4);
    let ttl = prop_oneof![LOCK_TTL_MS_MIN..LOCK_TTL_MS_MIN + 5_000, Just(LOCK_TTL_MS_MAX)];
    prop_oneof![
        8 => (who(), to).prop_map(|(from, to)| Step::Pay { from, to }),
        1 => (who(), chain()).prop_map(|(from, chain)| Step::Stray { from, chain }),
        3 => (chain(), CUSTOMERS..CUSTOMERS + FRESH).prop_map(|(chain, number)| Step::Open { chain, number }),
        2 => (chain(), who(), 1_u64..9_000).prop_map(|(chain, to, fen)| Step::Issue { chain, to, fen }),
        4 => (who(), who(), 100_u64..9_000, ttl)
            .prop_map(|(from, to, fen, ttl_ms)| Step::Lock { from, to, fen, ttl_ms }),
        2 => any::<usize>().prop_map(|lock| Step::Claim { lock }),
        4 => (any::<bool>(), who(), 0..FOREIGNERS, (100_u64..9_000, 1_u64..9_000))
            .prop_map(|(outward, who, with, fen)| Step::Offer { outward, who, with, fen }),
        4 => (any::<usize>(), 0_u8..4).prop_map(|(deal, how)| Step::Answer { deal, how }),
        14 => (chain(), chain(), prop_oneof![Just(usize::MAX), 1_usize..3], 1_usize..3)
            .prop_map(|(source, destination, most, copies)| Step::Relay { source, destination, most, copies }),
        3 => (chain(), 0_u64..9_000).prop_map(|(chain, ms)| Step::Idle { chain, ms }),
        4 => Just(Step::Grow),
    ]
}

/// What a schedule has made.
#[derive(Default)]
struct Made {
    stage: u8,
    locks: Vec<(usize, LockId, Signer)>,
    deals: Vec<(usize, LockId, usize, Signer, Operation)>,
    /// Legs of payments that were applied.
    legs: BTreeMap<(TransactionId, u16), Amount>,
}

const SECRET: [u8; 32] = [3; 32];
/// Chains with the first children, and with the children of all of them.
const CHAINS: [usize; 2] = [ABROAD + 1 + CHILDREN.len(), ABROAD + 1 + 3 * CHILDREN.len()];
/// The second children, of every shard, by their parents.
const GRANDCHILDREN: [(usize, usize); 4] = [(0, 5), (1, 6), (3, 7), (4, 8)];
/// The stage at which the first children are filled, and the one at which the second are.
const FILLED: [u8; 2] = [4, 10];

/// A customer, and where its wallet is; none while it is on its way, or was never opened.
fn customer(world: &World, number: u64) -> (Option<usize>, Signer) {
    let signer = world.chains[0].customer(number);
    (places(world, &signer.wallet).first().copied(), signer)
}

fn last_id(world: &World, chain: usize) -> TransactionId {
    world.chains[chain].heights.last().unwrap().2.outcomes[0].id
}

fn pay_all(world: &mut World, made: &mut Made, from: u64, to: &[(u64, u64)]) {
    let (Some(chain), payer) = customer(world, from) else { return };
    let payees: Vec<_> =
        to.iter().map(|(number, fen)| (world.chains[0].customer(*number).wallet, *fen)).collect();
    if world.act(chain, &payer, pay(&payees)) == Became::Applied {
        let id = last_id(world, chain);
        made.legs.extend((0..).zip(&payees).map(|(part, (_, fen))| ((id, part), Amount::from_fen(*fen))));
    }
}

fn lock(world: &mut World, made: &mut Made, (from, to): (u64, u64), fen: u64, ttl_ms: u64) {
    let ((Some(chain), payer), (_, payee)) = (customer(world, from), customer(world, to)) else { return };
    let operation = Operation::Lock {
        payee: payee.wallet,
        amount: Amount::from_fen(fen),
        hash: sha256(&SECRET),
        deadline: TimestampMs(world.chains[chain].next_timestamp().0 + ttl_ms),
    };
    if world.act(chain, &payer, operation) == Became::Applied {
        made.locks.push((chain, LockId::of(last_id(world, chain)), payee));
    }
}

fn offer(world: &mut World, made: &mut Made, outward: bool, (who, with): (u64, u64), fen: (u64, u64)) {
    let (Some(home), one) = customer(world, who) else { return };
    let near = (1..CUSTOMERS).map(|step| customer(world, (who + step) % CUSTOMERS));
    let Some((_, other)) = { near }.find(|(there, _)| *there == Some(home)) else { return };
    let [stranger, friend] = [with, with + 1].map(|n| world.chains[ABROAD].customer(n % FOREIGNERS));
    let (source, decider, payer, payee, asked_payer, asked_payee) = match outward {
        true => (home, ABROAD, one, other, stranger, friend),
        false => (ABROAD, home, stranger, friend, one, other),
    };
    let (amount, asks) = (Amount::from_fen(fen.0), Amount::from_fen(fen.1));
    let asked = Asked { payer: asked_payer.wallet, payee: asked_payee.wallet, amount: asks };
    let deadline = TimestampMs(world.chains[source].next_timestamp().0 + LOCK_TTL_MS_MAX);
    let chain = ChainId(decider as u32);
    let operation = Operation::Exchange { payee: payee.wallet, amount, chain, asked, deadline };
    if world.act(source, &payer, operation) == Became::Applied {
        let lock = LockId::of(last_id(world, source));
        let accept = Operation::Accept {
            offer: lock,
            payee: asked.payee,
            amount: asks,
            receives: amount,
            source: ChainId(source as u32),
            to: payee.wallet,
        };
        made.deals.push((source, lock, decider, asked_payer, accept));
    }
}

fn bring(world: &mut World, source: usize, destination: usize, most: usize, copies: usize) {
    let started = world.chains.len();
    if source == destination || source.max(destination) >= started {
        return;
    }
    let registry = &world.chains[destination].state.rules().registry;
    if registry.chain(ChainId(source as u32)).is_none() {
        return;
    }
    let first = world.next(source, destination);
    let bundle = world.bundle(source, ChainId(destination as u32), first, 0, most);
    for copy in 0..copies {
        let Some(bundle) = bundle.clone() else { break };
        let is_taken = world.chains[destination].state.rules().takes_from(bundle.source());
        let execution = world.run(destination, Vec::new(), vec![bundle]);
        if !is_taken {
            let is_refused = matches!(
                execution.passed_over.as_slice(),
                [(0, PassedOver::Filling {} | PassedOver::NotHome {})]
            );
            assert!(is_refused, "{:?}", execution.passed_over);
        } else {
            assert_eq!(execution.passed_over.is_empty(), copy == 0, "{:?}", execution.passed_over);
        }
    }
}

/// The next step: adds the children, has them report, reshards; and once more, where all that are there have their wallets.
fn grow(world: &mut World, made: &mut Made) {
    match made.stage {
        0 => add_children(world),
        4 => {
            let add =
                |(parent, child): (usize, usize)| add_chain(ChainId(parent as u32), ChainId(child as u32));
            let became = govern(world, false, GRANDCHILDREN.map(add).to_vec());
            if became == Became::Rejected(Rejection::ChangeChainNotGrown) {
                return;
            }
            assert_eq!(became, Became::Applied);
            GRANDCHILDREN.iter().for_each(|_| world.start_child());
        }
        1..=3 => return double(world, made, (1, &CHILDREN), FILLED[0]),
        5..=9 => return double(world, made, (5, &GRANDCHILDREN), FILLED[1]),
        _ => return,
    }
    made.stage += 1;
}

/// Reshards; where a child has not reported, it does.
fn double(world: &mut World, made: &mut Made, (first, added): (u8, &[(usize, usize)]), filled: u8) {
    let became = reshard(world);
    if became == Became::Applied {
        made.stage = filled;
        return;
    }
    assert_eq!(became, Became::Rejected(Rejection::ChangeChainNotReady));
    let (_, child) = *added.get(usize::from(made.stage - first)).expect("all have reported");
    relay(world, child, ROOT);
    made.stage += 1;
}

fn take(world: &mut World, made: &mut Made, step: Step) {
    let started = world.chains.len();
    match step {
        Step::Pay { from, to } => pay_all(world, made, from, &to),
        Step::Stray { from, chain } => {
            let (place, payer) = customer(world, from);
            if chain < started && place != Some(chain) && chain != ABROAD {
                let became = world.act(chain, &payer, pay(&[(WalletId([1; 32]), 1)]));
                assert!(
                    matches!(became, Became::Skipped(reason) if matches!(reason.code(), 5 | 8)),
                    "{became:?}"
                );
            }
        }
        Step::Open { chain, number } if chain < started && chain != ABROAD => {
            let is_known = !places(world, &world.chains[0].customer(number).wallet).is_empty();
            let became = open(world, chain, number);
            assert!(!is_known || became != Became::Applied, "opened twice");
        }
        Step::Issue { chain, to, fen } if chain < started && chain != ABROAD => {
            let (central, bank) = (world.chains[chain].operator(0), world.chains[chain].operator(1));
            let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(fen) };
            assert_eq!(world.act(chain, &central, issue), Became::Applied);
            let payee = world.chains[0].customer(to).wallet;
            if world.act(chain, &bank, pay(&[(payee, fen)])) == Became::Applied {
                made.legs.insert((last_id(world, chain), 0), Amount::from_fen(fen));
            }
        }
        Step::Open { .. } | Step::Issue { .. } => {}
        Step::Lock { from, to, fen, ttl_ms } => lock(world, made, (from, to), fen, ttl_ms),
        Step::Claim { lock } => {
            let Some(place) = lock.checked_rem(made.locks.len()) else { return };
            let (chain, lock, payee) = made.locks[place].clone();
            world.act(chain, &payee, Operation::Claim { lock, preimage: SECRET });
        }
        Step::Offer { outward, who, with, fen } => offer(world, made, outward, (who, with), fen),
        Step::Answer { deal, how } => {
            let Some(place) = deal.checked_rem(made.deals.len()) else { return };
            let (_, lock, decider, signer, accept) = made.deals[place].clone();
            let operation = if how == 3 { Operation::Decline { offer: lock } } else { accept };
            world.act(decider, &signer, operation);
        }
        Step::Relay { source, destination, most, copies } => bring(world, source, destination, most, copies),
        Step::Idle { chain, ms } if chain < started => {
            world.chains[chain].parent.timestamp.0 += ms;
            world.run(chain, Vec::new(), Vec::new());
        }
        Step::Idle { .. } => {}
        Step::Grow => grow(world, made),
    }
}

/// No wallet acts on two chains, and one that acts on none is on its way: once.
fn check_places(world: &World, known: &mut BTreeSet<WalletId>) {
    for number in 0..CUSTOMERS + FRESH {
        let wallet = world.chains[0].customer(number).wallet;
        let places = places(world, &wallet);
        assert!(places.len() <= 1, "{number}: on {places:?}");
        let is_move = |receipt: &&Receipt| matches!(receipt, Receipt::Move { wallet: on } if on.id == wallet);
        let lines = world.lines.iter().map(|((source, destination), line)| {
            let received = world.next(source.0 as usize, destination.0 as usize) as usize;
            line.receipts[received..].iter().filter(is_move).count()
        });
        let on_the_way: usize = lines.sum();
        if places.len() == 1 {
            known.insert(wallet);
        }
        assert_eq!(places.len() + on_the_way, usize::from(known.contains(&wallet)), "{number} is lost");
    }
}

/// Every leg of every payment was credited once, or refused once; and what was refused came back to its payer.
fn check_payments(world: &World, made: &Made) {
    let mut ends: BTreeMap<(TransactionId, u16), u32> = BTreeMap::new();
    let (mut refused, mut refunded) = (BTreeMap::new(), BTreeMap::new());
    for network in &world.chains {
        for (_, _, execution) in &network.heights {
            for received in &execution.received {
                if let Receipt::Credit { transaction, part, payer, amount, .. } = &received.receipt
                    && received.code != Rejection::SentOn.code()
                {
                    *ends.entry((*transaction, *part)).or_default() += 1;
                    if received.code != APPLIED {
                        *refused.entry(*payer).or_insert(0) += amount.fen();
                    }
                }
                assert_eq!(received.sent_on.is_some(), received.code == Rejection::SentOn.code());
                if let (Some((chain, number)), own) = (received.sent_on, network.chain) {
                    let sent = &world.lines[&(own, chain)].receipts[number as usize];
                    assert_eq!(sent.value(), received.receipt.value());
                }
            }
            for entry in
                execution.history.iter().filter(|entry| entry.movement.kind == MovementKind::Refunded)
            {
                *refunded.entry(owner(network, entry.slot)).or_insert(0) += entry.movement.amount.fen();
            }
        }
    }
    for (leg, count) in &ends {
        assert_eq!((made.legs.contains_key(leg), *count), (true, 1), "{leg:?}");
    }
    for (source, line) in &world.lines {
        for receipt in &line.receipts {
            if let Receipt::Credit { transaction, part, .. } = receipt {
                assert!(ends.contains_key(&(*transaction, *part)), "{source:?}: {receipt:?} has no end");
            }
        }
    }
    assert_eq!(refused, refunded);
}

fn owner(network: &Network, slot: Slot) -> WalletId {
    match network.records.iter().find(|(at, _)| *at == slot) {
        Some((_, Record::Wallet(wallet))) => wallet.id,
        other => panic!("no wallet: {other:?}"),
    }
}

/// What each wallet has is what its history says, over all chains.
fn check_balances(world: &World) {
    let (mut held, mut noted): (BTreeMap<WalletId, i128>, BTreeMap<WalletId, i128>) = Default::default();
    for network in &world.chains {
        for (_, record) in network.records.iter() {
            match record {
                Record::Wallet(wallet) => {
                    *held.entry(wallet.id).or_default() += i128::from(wallet.balance.fen());
                }
                Record::Suspense { balance } => assert_eq!(*balance, Amount::ZERO, "nobody's money"),
                _ => {}
            }
        }
        for (_, _, execution) in &network.heights {
            for entry in &execution.history {
                let fen = i128::from(entry.movement.amount.fen());
                let signed = match entry.movement.kind {
                    MovementKind::Paid | MovementKind::Locked | MovementKind::Redeemed => -fen,
                    MovementKind::MovedOut | MovementKind::MovedIn => 0,
                    _ => fen,
                };
                *noted.entry(owner(network, entry.slot)).or_default() += signed;
            }
        }
    }
    held.retain(|_, fen| *fen != 0);
    noted.retain(|_, fen| *fen != 0);
    assert_eq!(held, noted);
}

/// Every wallet is at home; or, where `with_pins`, a lock or an offer names it.
fn check_homes(world: &World, with_pins: bool) {
    for number in 0..CUSTOMERS + FRESH {
        let (place, signer) = customer(world, number);
        let Some(place) = place else { continue };
        let network = &world.chains[place];
        let is_home = network.state.rules().home(&signer.wallet).0 as usize == place;
        assert!(is_home || with_pins && network.state.pins().is_pinned(&signer.wallet), "{number}: {place}");
    }
}

/// Down to the height where the schedule began, and up again: every state on the way is the one that there was.
fn there_and_back(network: &mut Network, floor: usize) {
    let (end, records) = (network.state.clone(), network.records.clone());
    for (_, _, execution) in network.heights[floor..].iter().rev() {
        let undo = Undo::decode(&execution.undo.encode()).unwrap();
        assert_eq!(undo, execution.undo);
        network.state.undo(&undo).unwrap();
        network.records.undo(&undo);
        same_when_loaded(network);
    }
    for place in floor..network.heights.len() {
        let ((block, batches, execution), bundles) = (&network.heights[place], &network.bundles[place]);
        let again = network.state.execute(&network.records, block, batches, bundles, &Sequential).unwrap();
        assert_eq!(&again, execution);
        network.records.apply(&again.writes);
    }
    assert_eq!((network.state.parts(), network.state.head()), (end.parts(), end.head()));
    assert_eq!((network.state.pins(), network.state.expiries()), (end.pins(), end.expiries()));
    assert_eq!(network.records, records);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::network::schedules(16)))]

    #[test]
    fn wallets_move_while_money_flows(
        schedule in prop::collection::vec(steps(CHAINS[0]), 1..60),
        second in prop::collection::vec(steps(CHAINS[1]), 1..60),
        is_harsh in any::<bool>(),
    ) {
        let (mut world, mut made) = (city(), Made::default());
        if is_harsh {
            for number in [0, 1, 2, 3] {
                let (place, signer) = customer(&world, number);
                plant(&mut world.chains[place.unwrap()], &signer.wallet, |wallet| match number {
                    0 | 1 => wallet.status = WalletStatus::Frozen,
                    _ => {}
                });
            }
            for number in [4, 5] {
                let (place, signer) = customer(&world, number);
                world.fund(place.unwrap(), &signer.wallet, 1_899_000);
            }
        }
        let floors: Vec<usize> = world.chains.iter().map(|network| network.heights.len()).collect();
        let mut known = (0..CUSTOMERS).map(|number| world.chains[0].customer(number).wallet).collect();
        // Twice: the children have children.
        for (schedule, filled) in [schedule, second].into_iter().zip(FILLED) {
            for step in schedule {
                take(&mut world, &mut made, step);
                check_places(&world, &mut known);
                world.chains.iter().for_each(same_when_loaded);
            }
            while made.stage < filled {
                grow(&mut world, &mut made);
                check_places(&world, &mut known);
            }
            settle(&mut world);
            check_places(&world, &mut known);
            check_homes(&world, true);
        }
        for round in 0..2 {
            for chain in 0..world.chains.len() {
                later(&mut world, chain, (2 - round) * 2 * LOCK_TTL_MS_MAX);
            }
            settle(&mut world);
        }
        check_places(&world, &mut known);
        check_homes(&world, false);
        check_payments(&world, &made);
        check_balances(&world);
        for (_, child) in CHILDREN.into_iter().chain(GRANDCHILDREN) {
            let root = &world.chains[ROOT];
            prop_assert_eq!((growth(root, child), growth(&world.chains[child], child)), (Growth::Grown, Growth::Grown));
            prop_assert!(world.chains[child].state.rules().takes_from(ROOT_CHAIN));
        }
        for ((source, destination), line) in &world.lines {
            prop_assert_eq!(world.next(source.0 as usize, destination.0 as usize), line.receipts.len() as u64);
            prop_assert!(next_bundle(&world, source.0 as usize, destination.0 as usize).is_none());
        }
        for network in &world.chains {
            for (_, record) in network.records.iter() {
                let is_open = match record {
                    Record::Lock(lock) => lock.state == LockState::Open,
                    Record::Offer(offer) => offer.state == OfferState::Open,
                    _ => false,
                };
                prop_assert!(!is_open);
            }
        }
        if !is_harsh {
            replay_all(&world);
        }
        for (place, network) in world.chains.iter_mut().enumerate() {
            there_and_back(network, floors.get(place).copied().unwrap_or(0));
        }
    }
}
