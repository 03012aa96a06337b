//! Random schedules of payments, relays, rotations and passing days over pure ledgers: what holds after each of them and at rest.
//! proptest prints the seed of a schedule that fails, and replays it.

use ledger::proofs::SetChain;
use ledger::records::block::EPOCH_MS_MIN;
use ledger::records::{ChainParams, Change};
use ledger::state::Undo;
use ledger::values::{ChainId, Sequential};
use proptest::prelude::*;

use crate::chains::{CUSTOMERS, SHARDS, World};
use crate::epochs::{ROOT, finish_epoch, govern, is_closing_next, replace, replay_all, tell};
use crate::network::{Became, Network, pay};

/// A step of a random schedule.
#[derive(Debug, Clone)]
enum Step {
    Pay { from: u64, to: Vec<(u64, u64)> },
    Relay { source: usize, destination: usize, back: u64 },
    Idle { chain: usize, blocks: u64 },
    Rotate { chain: u32, validator: usize, is_urgent: bool },
    Params { chain: u32 },
    DayPasses { chain: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    let chain = || 0..SHARDS as usize + 1;
    let to = prop::collection::vec((0..CUSTOMERS, 1_u64..20_000), 1..4);
    prop_oneof![
        5 => (0..CUSTOMERS, to).prop_map(|(from, to)| Step::Pay { from, to }),
        6 => (chain(), chain(), 0_u64..3)
            .prop_map(|(source, destination, back)| Step::Relay { source, destination, back }),
        3 => (chain(), prop_oneof![1_u64..4, 60_u64..80]).prop_map(|(chain, blocks)| Step::Idle { chain, blocks }),
        3 => (0..SHARDS + 1, 0_usize..4, any::<bool>())
            .prop_map(|(chain, validator, is_urgent)| Step::Rotate { chain, validator, is_urgent }),
        1 => (0..SHARDS + 1).prop_map(|chain| Step::Params { chain }),
        1 => chain().prop_map(|chain| Step::DayPasses { chain }),
    ]
}

/// What a step does; a chain that is closing its epoch only makes empty blocks.
fn take(world: &mut World, step: Step, fresh: &mut u64) {
    match step {
        Step::Pay { from, to } => {
            let (home, payer) = world.customer(from);
            if !is_closing_next(&world.chains[home]) {
                let payees: Vec<_> =
                    to.iter().map(|(number, fen)| (world.customer(*number).1.wallet, *fen)).collect();
                world.act(home, &payer, pay(&payees));
            }
        }
        Step::Relay { source, destination, back } => {
            if source == destination || is_closing_next(&world.chains[destination]) {
                return;
            }
            let first = world.next(source, destination);
            if let Some(bundle) = world.bundle(source, ChainId(destination as u32), first, back, usize::MAX) {
                let execution = world.run(destination, Vec::new(), vec![bundle]);
                assert!(execution.passed_over.is_empty());
            }
        }
        Step::Idle { chain, blocks } => {
            for _ in 0..blocks {
                world.run(chain, Vec::new(), Vec::new());
            }
        }
        Step::Rotate { chain, validator, is_urgent } => {
            if !is_closing_next(&world.chains[ROOT]) && *fresh < 60 {
                let wanted = &world.chains[ROOT].state.rules().registry.chain(ChainId(chain)).unwrap().wanted;
                let change = replace(chain, wanted[validator].consensus_key, *fresh);
                *fresh += 1;
                assert_eq!(govern(world, is_urgent, vec![change]), Became::Applied);
            }
        }
        Step::Params { chain } => {
            if !is_closing_next(&world.chains[ROOT]) {
                let mut params = ChainParams::default();
                params.block_pace_ms += u64::from(chain) + 1;
                let change = Change::SetParams { chain: ChainId(chain), params };
                assert_eq!(govern(world, false, vec![change]), Became::Applied);
            }
        }
        Step::DayPasses { chain } => world.chains[chain].parent.timestamp.0 += EPOCH_MS_MIN,
    }
}

/// Ends every epoch that is scheduled and delivers everything, until nothing is left to say.
fn come_to_rest(world: &mut World) {
    for _ in 0..3 {
        for chain in 0..world.chains.len() {
            finish_epoch(world, chain);
        }
        for source in 0..world.chains.len() {
            for destination in 0..world.chains.len() {
                if source != destination {
                    if is_closing_next(&world.chains[destination]) {
                        finish_epoch(world, destination);
                    }
                    tell(world, source, destination);
                }
            }
        }
    }
}

/// Takes the last height back and executes it again: exact, also where the registry changed.
fn back_and_forth(network: &mut Network) {
    let (block, batches, execution) = network.heights.last().unwrap().clone();
    let bundles = network.bundles.last().unwrap().clone();
    let after = (network.state.parts(), network.state.head().clone(), network.state.rules().clone());
    let undo = Undo::decode(&execution.undo.encode()).unwrap();
    network.state.undo(&undo).unwrap();
    network.records.undo(&undo);
    let again = network.state.execute(&network.records, &block, &batches, &bundles, &Sequential).unwrap();
    assert_eq!(again, execution);
    network.records.apply(&again.writes);
    let now = (network.state.parts(), network.state.head().clone(), network.state.rules().clone());
    assert_eq!(now, after);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::network::schedules(24)))]

    #[test]
    fn sets_change_while_money_flows(schedule in prop::collection::vec(steps(), 1..50)) {
        let mut world = World::town();
        let mut fresh = 0;
        for step in schedule {
            take(&mut world, step, &mut fresh);
            for network in &mut world.chains {
                if network.heights.last().is_some_and(|(_, _, execution)| execution.registry.is_some()) {
                    back_and_forth(network);
                }
            }
        }
        come_to_rest(&mut world);
        for ((source, destination), line) in &world.lines {
            prop_assert_eq!(
                world.next(source.0 as usize, destination.0 as usize),
                line.receipts.len() as u64
            );
        }
        for network in &world.chains {
            let sets = SetChain { origin: None, links: network.set_links() };
            let trusted = sets.verify(&network.spec, network.chain).unwrap();
            // Every certificate there ever was is good, from genesis through the set chain.
            for by in (2..=network.height().0).step_by(29) {
                let verdict = network.certified(by - 1, by).verify_by(network.genesis, &trusted);
                prop_assert_eq!(verdict, Ok(()));
            }
            for other in &world.chains {
                let known = other.state.rules().registry.newest_epoch(network.chain).unwrap().epoch;
                let own = &trusted.newest().epoch;
                prop_assert!(known == *own || other.chain == network.chain && known.0 <= own.0 + 1);
            }
        }
        replay_all(&world);
    }
}
