//! Random schedules of exchanges and locks over all chains of a network. At every step money is conserved per currency; at the end both
//! halves of every exchange have happened, or neither, and every lock is over.

use ledger::proofs::{HeightRecord, Replay};
use ledger::records::{LockKind, LockState, OfferState, Operation, Record, Rejection};
use ledger::rules::lock::{LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN};
use ledger::state::ChainState;
use ledger::values::hash::sha256;
use ledger::values::{Amount, ChainId, LockId, Sequential, TimestampMs};
use proptest::prelude::*;

use crate::chains::{CUSTOMERS, SHARDS, World};
use crate::exchange::{
    Deal, FOREIGNERS, accept, later, lock_state, neighbours, offer, offer_state, record, town,
};
use crate::network::{Became, Signer, pay};

fn secret(number: u64) -> [u8; 32] {
    sha256(&number.to_le_bytes())
}

/// A step of a random schedule.
#[derive(Debug, Clone)]
enum Step {
    Pay {
        from: u64,
        to: u64,
        fen: u64,
    },
    Offer {
        outward: bool,
        who: u64,
        with: u64,
        fen: (u64, u64),
        ttl_ms: u64,
    },
    /// What is done about an exchange.
    Answer {
        deal: usize,
        how: u8,
    },
    Lock {
        from: u64,
        fen: u64,
        ttl_ms: u64,
    },
    Claim {
        lock: usize,
        is_right: bool,
    },
    Relay {
        source: usize,
        destination: usize,
        copies: usize,
    },
    /// The clock of a chain runs on, then some blocks follow.
    Time {
        chain: usize,
        ms: u64,
        blocks: usize,
    },
}

fn steps() -> impl proptest::strategy::Strategy<Value = Step> {
    let chain = || 0..SHARDS as usize + 1;
    let ttl = || prop_oneof![LOCK_TTL_MS_MIN..LOCK_TTL_MS_MIN + 5_000, Just(LOCK_TTL_MS_MAX), Just(1_u64)];
    prop_oneof![
        2 => (0..CUSTOMERS, 0..CUSTOMERS, 1_u64..50_000).prop_map(|(from, to, fen)| Step::Pay { from, to, fen }),
        5 => (any::<bool>(), 0..CUSTOMERS, 0..FOREIGNERS, (0_u64..60_000, 1_u64..60_000), ttl())
            .prop_map(|(outward, who, with, fen, ttl_ms)| Step::Offer { outward, who, with, fen, ttl_ms }),
        6 => (any::<usize>(), 0_u8..6).prop_map(|(deal, how)| Step::Answer { deal, how }),
        2 => (0..CUSTOMERS, 1_u64..50_000, ttl()).prop_map(|(from, fen, ttl_ms)| Step::Lock { from, fen, ttl_ms }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(lock, is_right)| Step::Claim { lock, is_right }),
        8 => (chain(), chain(), 1_usize..3)
            .prop_map(|(source, destination, copies)| Step::Relay { source, destination, copies }),
        2 => (chain(), 0_u64..20_000, 0_usize..40).prop_map(|(chain, ms, blocks)| Step::Time { chain, ms, blocks }),
    ]
}

/// What a schedule has made.
#[derive(Default)]
struct Made {
    deals: Vec<Deal>,
    locks: Vec<(usize, LockId, Signer, u64)>,
}

fn take(world: &mut World, made: &mut Made, step: Step) {
    match step {
        Step::Pay { from, to, fen } => {
            let (home, payer) = world.customer(from);
            let payee = world.customer(to).1.wallet;
            world.act(home, &payer, pay(&[(payee, fen)]));
        }
        Step::Offer { outward, who, with, fen, ttl_ms } => {
            made.deals.extend(offer(world, outward, who, with, fen, ttl_ms));
        }
        Step::Answer { deal, how } => {
            let Some(deal) = deal.checked_rem(made.deals.len()).map(|place| made.deals[place].clone()) else {
                return;
            };
            let (chain, signer, operation) = match how {
                0..3 => (deal.decider, &deal.asked_payer, accept(&deal)),
                3 => (deal.decider, &deal.asked_payer, Operation::Decline { offer: deal.lock }),
                4 => (deal.source, &deal.payer, Operation::Withdraw { lock: deal.lock }),
                _ => (deal.decider, &deal.payer, accept(&deal)),
            };
            world.act(chain, signer, operation);
        }
        Step::Lock { from, fen, ttl_ms } => {
            let (home, payer, payee) = neighbours(world, from);
            let number = made.locks.len() as u64;
            let operation = Operation::Lock {
                payee: payee.wallet,
                amount: Amount::from_fen(fen),
                hash: sha256(&secret(number)),
                deadline: TimestampMs(world.chains[home].next_timestamp().0 + ttl_ms),
            };
            if world.act(home, &payer, operation) == Became::Applied {
                let id = LockId::of(world.chains[home].heights.last().unwrap().2.outcomes[0].id);
                made.locks.push((home, id, payee, number));
            }
        }
        Step::Claim { lock, is_right } => {
            let Some(place) = lock.checked_rem(made.locks.len()) else { return };
            let (home, lock, payee, number) = made.locks[place].clone();
            let preimage = if is_right { secret(number) } else { [0; 32] };
            world.act(home, &payee, Operation::Claim { lock, preimage });
        }
        Step::Relay { source, destination, copies } => {
            let first = world.next(source, destination);
            let bundle = world.bundle(source, ChainId(destination as u32), first, 0, usize::MAX);
            for copy in 0..copies {
                let Some(bundle) = bundle.clone().filter(|_| source != destination) else { break };
                let execution = world.run(destination, Vec::new(), vec![bundle]);
                assert_eq!(execution.passed_over.is_empty(), copy == 0);
            }
        }
        Step::Time { chain, ms, blocks } => {
            world.chains[chain].parent.timestamp.0 += ms;
            for _ in 0..blocks {
                world.run(chain, Vec::new(), Vec::new());
            }
        }
    }
}

/// Everything that is open at the end is brought to its end by time alone.
fn finish(world: &mut World) {
    world.settle();
    for chain in 0..world.chains.len() {
        later(world, chain, 2 * LOCK_TTL_MS_MAX);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::network::schedules(32)))]

    #[test]
    fn both_halves_of_an_exchange_happen_or_neither(schedule in prop::collection::vec(steps(), 1..50)) {
        let mut world = town();
        let mut made = Made::default();
        for step in schedule {
            take(&mut world, &mut made, step);
        }
        finish(&mut world);
        for deal in &made.deals {
            let offer = record(&world, deal.decider, deal.lock).map(|_| offer_state(&world, deal));
            match (lock_state(&world, deal), offer) {
                (LockState::Settled { preimage: None }, Some(OfferState::Accepted)) => {}
                (LockState::Returned { code: there }, Some(OfferState::Cancelled { code })) => prop_assert_eq!(there, code),
                (LockState::Returned { code }, None) => prop_assert_eq!(code, Rejection::OfferExpired.code()),
                other => prop_assert!(false, "{:?}: {:?}", deal, other),
            }
        }
        for (home, lock, ..) in &made.locks {
            let Some(Record::Lock(lock)) = record(&world, *home, *lock) else { panic!("no lock") };
            let is_over = matches!(lock.kind, LockKind::Hash { .. }) && lock.state != LockState::Open;
            prop_assert!(is_over);
        }
        for network in &world.chains {
            prop_assert!(network.state.expiries().is_empty());
            let in_wallets: u64 = network.records.iter().map(|(_, record)| match record {
                Record::Wallet(wallet) => wallet.balance.fen(),
                _ => 0,
            }).sum();
            prop_assert_eq!(in_wallets, network.state.head().supply.holdings.fen(), "no money stays locked");
            let stored = network.records.iter().map(|(slot, record)| (slot, record.clone()));
            let (registry, head) = (network.state.rules().registry.clone(), network.state.head().clone());
            prop_assert!(ChainState::load(&network.spec, registry, head, stored, &Sequential).is_ok());
            let mut replay = Replay::new(&network.spec, network.chain, [1; 32]).unwrap();
            for ((block, batches, execution), bundles) in network.heights.iter().zip(&network.bundles) {
                let (result, outcomes) = (Some(&execution.result), Some(execution.outcomes.as_slice()));
                let record = HeightRecord { block, batches, bundles, result, outcomes };
                prop_assert_eq!(&replay.step(record, &Sequential).unwrap(), execution);
            }
            prop_assert_eq!(replay.records(), &network.records);
        }
        // Taken back to genesis, height by height.
        for network in &mut world.chains {
            while let Some((_, _, execution)) = network.heights.pop() {
                network.state.undo(&execution.undo).unwrap();
                network.records.undo(&execution.undo);
            }
            prop_assert!(network.state.expiries().is_empty());
        }
    }
}
