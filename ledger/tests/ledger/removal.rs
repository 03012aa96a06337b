//! A child that never starts is given up: its parent may have another one, and nobody sends to it or takes anything from it, whatever
//! comes later.

use ledger::records::{
    Birth, ChainParams, Change, Growth, Operation, Receipt, Registry, Rejection, ValidatorRecord,
};
use ledger::rules::{ChangeFault, apply_change, apply_proposed, check_on_root};
use ledger::state::PassedOver;
use ledger::values::{Amount, Canonical as _, ChainId, Currency, Height, NodeIndex, OperatorId};

use crate::chains::{FOREIGN, SHARDS, World};
use crate::epochs::{ROOT, govern, replay_all, tell};
use crate::governance::{fifth_bank, fifth_node, fifth_validator};
use crate::growth::{add_chain, validators};
use crate::network::{Became, Network, later_key, pay};

const HKD: Currency = Currency(*b"HKD");
const CHILD: ChainId = ChainId(SHARDS + 1);
const SUCCESSOR: ChainId = ChainId(SHARDS + 2);

fn remove(chain: ChainId) -> Change {
    Change::RemoveChain { chain }
}

fn growth(network: &Network, chain: ChainId) -> Growth {
    let Birth::Child { growth, .. } = network.state.rules().registry.chain(chain).unwrap().birth else {
        panic!("of genesis")
    };
    growth
}

/// The registry of the world with a child of the chain of the other currency, as far as this says.
fn with_child(to: Growth) -> Registry {
    let before = Registry::clone(&World::new().chains[ROOT].state.rules().registry);
    let mut registry = apply_change(&before, &add_chain(FOREIGN, CHILD)).unwrap();
    registry.chains.last_mut().unwrap().birth =
        Birth::Child { parent: FOREIGN, height: Height(7), growth: to };
    registry
}

#[test]
fn guards_of_a_removal_row_by_row() {
    use ChangeFault::{ChainNoChild, ChainRuns, ChainUnknown};
    let rows = [
        // What the registry says; the chain; on the root chain; on every other.
        (Growth::Added, CHILD, Ok(()), Ok(())),
        (Growth::Ready, CHILD, Err(ChainRuns { chain: CHILD }), Ok(())),
        (Growth::Filling, CHILD, Err(ChainRuns { chain: CHILD }), Err(ChainRuns { chain: CHILD })),
        (Growth::Grown, CHILD, Err(ChainRuns { chain: CHILD }), Err(ChainRuns { chain: CHILD })),
        (Growth::Removed, CHILD, Err(ChainUnknown { chain: CHILD }), Err(ChainUnknown { chain: CHILD })),
        (Growth::Added, FOREIGN, Err(ChainNoChild { chain: FOREIGN }), Err(ChainNoChild { chain: FOREIGN })),
        (
            Growth::Added,
            SUCCESSOR,
            Err(ChainUnknown { chain: SUCCESSOR }),
            Err(ChainUnknown { chain: SUCCESSOR }),
        ),
    ];
    for (to, chain, on_root, elsewhere) in rows {
        let registry = with_child(to);
        let there = apply_change(&registry, &remove(chain)).map(drop);
        let here = check_on_root(&registry, &remove(chain)).and(there);
        assert_eq!((here, there), (on_root, elsewhere), "{to:?} {chain}");
        if let Err(fault) = on_root {
            let code = match fault {
                ChainNoChild { .. } => 829,
                ChainRuns { .. } => 830,
                _ => 818,
            };
            assert_eq!((fault.code(), fault.field()), (code, "chain"));
            assert!(!fault.mend().is_empty() && !fault.to_string().is_empty());
        }
    }
}

/// Its record stays as it was, and nothing about it changes any more.
#[test]
fn what_is_removed_stays_as_a_record_alone() {
    let before = with_child(Growth::Added);
    let mut asked = before.clone();
    asked.chains.last_mut().unwrap().is_urgent = true;
    let after = apply_proposed(&asked, &remove(CHILD), true).unwrap();
    let mut expected = before;
    expected.chains.last_mut().unwrap().birth =
        Birth::Child { parent: FOREIGN, height: Height(7), growth: Growth::Removed };
    assert_eq!(after, expected);
    let record = after.chain(CHILD).unwrap();
    assert!(record.is_removed() && !record.is_home() && !record.is_filling());
    let (key, unknown) = (record.wanted[0].consensus_key, ChangeFault::ChainUnknown { chain: CHILD });
    let params = ChainParams::default();
    for change in [
        Change::SetParams { chain: CHILD, params },
        Change::RemoveValidator { chain: CHILD, consensus_key: key },
        Change::ReplaceConsensusKey { chain: CHILD, old: key, new: later_key(99).public_key() },
        remove(CHILD),
    ] {
        assert_eq!(apply_change(&after, &change), Err(unknown), "{change:?}");
    }
    let grandchild = add_chain(CHILD, SUCCESSOR);
    assert_eq!(apply_change(&after, &grandchild), Err(ChangeFault::ParentUnknown { chain: CHILD }));
    let reshard = Change::Reshard { currency: HKD };
    let not_ready = ChangeFault::ChainNotReady { currency: HKD, shard: 0 };
    assert_eq!(apply_change(&after, &reshard), Err(not_ready));
    // Another child has its shard, under the next id; only one of them is removed.
    assert_eq!(check_on_root(&after, &add_chain(FOREIGN, SUCCESSOR)), Ok(()));
    let mut next = apply_change(&after, &add_chain(FOREIGN, SUCCESSOR)).unwrap();
    let Birth::Child { height, .. } = &mut next.chains.last_mut().unwrap().birth else { panic!() };
    *height = Height(9);
    assert_eq!(next.chain(SUCCESSOR).unwrap().shard, next.chain(CHILD).unwrap().shard);
    assert_eq!(Registry::decode(&next.encode()), Ok(next.clone()));
    let mut two = next;
    two.chains[CHILD.0 as usize].birth =
        Birth::Child { parent: FOREIGN, height: Height(7), growth: Growth::Added };
    assert!(Registry::decode(&two.encode()).is_err(), "a shard twice");
}

/// Whoever was to run it is free to leave.
#[test]
fn what_is_removed_holds_neither_nodes_nor_operators() {
    let mut registry = Registry::clone(&World::new().chains[ROOT].state.rules().registry);
    for change in [Change::AddOperator(fifth_bank()), Change::AddNode(fifth_node())] {
        registry = apply_change(&registry, &change).unwrap();
    }
    let (operator, node) = (OperatorId(5), NodeIndex(4));
    let mut set = validators(CHILD.0);
    set[0] = ValidatorRecord { operator, node, ..set[0] };
    registry = apply_change(&registry, &Change::AddChain { parent: FOREIGN, validators: set }).unwrap();
    let in_use = ChangeFault::NodeInUse { node, chain: CHILD };
    assert_eq!(apply_change(&registry, &Change::RetireNode { node }), Err(in_use));
    let too_few = ChangeFault::TooFewValidators { chain: CHILD };
    assert_eq!(apply_change(&registry, &Change::RetireOperator { operator }), Err(too_few));
    let removed = apply_change(&registry, &remove(CHILD)).unwrap();
    let without = apply_change(&removed, &Change::RetireNode { node }).unwrap();
    assert!(!without.is_peer(node), "it serves nobody");
    let left = apply_change(&removed, &Change::RetireOperator { operator }).unwrap();
    assert_eq!(left.chain(CHILD), removed.chain(CHILD));
    assert!(apply_change(&removed, &fifth_validator(CHILD)).is_err());
}

/// It runs, but its report never arrived: then it comes too late, and so does all that it ever sent.
#[test]
fn a_child_that_never_reported_makes_way_for_another() {
    let mut world = World::new();
    let (foreign, child, successor) = (FOREIGN.0 as usize, CHILD.0 as usize, SUCCESSOR.0 as usize);
    assert_eq!(govern(&mut world, false, vec![add_chain(FOREIGN, CHILD)]), Became::Applied);
    world.start_child();
    tell(&mut world, ROOT, foreign).unwrap();
    let again = vec![add_chain(FOREIGN, SUCCESSOR)];
    assert_eq!(govern(&mut world, false, again), Became::Rejected(Rejection::ChangeChainHasChild));
    // Its operators make money for themselves there, and pay with it to a chain that has heard of the child.
    let payee = world.chains[foreign].customer(0).wallet;
    let (central, bank) = (world.chains[child].operator(0), world.chains[child].operator(1));
    let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1_000) };
    assert_eq!(world.act(child, &central, issue), Became::Applied);
    assert_eq!(world.act(child, &bank, pay(&[(payee, 1_000)])), Became::Applied);
    let not_home = [(0, PassedOver::NotHome {})];
    assert_eq!(tell(&mut world, child, foreign).unwrap().passed_over, not_home);
    // Before it is removed, and with the very proposal that removes it, it is told of changes, then no more.
    let told = |world: &World, chain: ChainId| {
        world.lines.get(&(ChainId(0), chain)).map_or(0, |line| line.receipts.len())
    };
    let pace = |chain: u32| Change::SetParams { chain: ChainId(chain), params: ChainParams::default() };
    assert_eq!(govern(&mut world, false, vec![pace(1)]), Became::Applied);
    assert_eq!((told(&world, CHILD), told(&world, FOREIGN)), (1, 2));
    assert_eq!(govern(&mut world, false, vec![remove(CHILD), pace(2)]), Became::Applied);
    assert_eq!((told(&world, CHILD), told(&world, FOREIGN)), (1, 4));
    assert_eq!(growth(&world.chains[ROOT], CHILD), Growth::Removed);
    let twice = govern(&mut world, false, vec![remove(CHILD)]);
    assert_eq!(twice, Became::Rejected(Rejection::ChangeChainUnknown));
    let genesis = govern(&mut world, false, vec![remove(FOREIGN)]);
    assert_eq!(genesis, Became::Rejected(Rejection::ChangeChainNoChild));
    // Too late, on the root chain and wherever the removal was heard of.
    let late = tell(&mut world, child, ROOT).unwrap();
    assert_eq!((late.passed_over.as_slice(), late.received.len()), (not_home.as_slice(), 0));
    assert_eq!(growth(&world.chains[ROOT], CHILD), Growth::Removed);
    tell(&mut world, ROOT, foreign).unwrap();
    assert_eq!(growth(&world.chains[foreign], CHILD), Growth::Removed);
    assert_eq!(tell(&mut world, child, foreign).unwrap().passed_over, not_home);
    // Its parent has another child, which takes half of the wallets.
    let second = vec![add_chain(FOREIGN, SUCCESSOR)];
    assert_eq!(govern(&mut world, false, second), Became::Applied);
    world.start_child();
    let reported = tell(&mut world, successor, ROOT).unwrap();
    assert_eq!(reported.received[0].receipt, Receipt::Report { is_filled: false });
    let late = govern(&mut world, false, vec![remove(SUCCESSOR)]);
    assert_eq!(late, Became::Rejected(Rejection::ChangeChainRuns));
    let reshard = vec![Change::Reshard { currency: HKD }];
    assert_eq!(govern(&mut world, false, reshard), Became::Applied);
    for destination in [1, 2, foreign, successor] {
        tell(&mut world, ROOT, destination).unwrap();
        let rules = world.chains[destination].state.rules();
        let homes = rules.registry.chains.iter().filter(|record| record.currency == HKD && record.is_home());
        let homes: Vec<ChainId> = homes.map(|record| record.chain).collect();
        assert_eq!(homes, [FOREIGN, SUCCESSOR], "{destination}");
        assert!(!rules.takes_from(CHILD));
    }
    tell(&mut world, foreign, successor).unwrap();
    assert_eq!(growth(&world.chains[successor], SUCCESSOR), Growth::Grown);
    assert_eq!(told(&world, CHILD), 1);
    replay_all(&world);
}
