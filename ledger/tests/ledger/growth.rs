//! How a currency gets more shards, by what the registry says: one row per guard of the two changes and of the reports, on the root
//! chain and on the others, and the steps from the proposal that adds a child to the one that comes after it is grown.

use std::sync::Arc;

use ledger::records::genesis::CHAINS_MAX;
use ledger::records::{Birth, ChainRecord, Change, Growth, Receipt, Registry, Rejection, ValidatorRecord};
use ledger::rules::{ChangeFault, apply_change, apply_proposed, check_on_root};
use ledger::values::{Canonical as _, ChainId, Currency, Height, NodeIndex, OperatorId, PublicKey};

use crate::chains::{FOREIGN, SHARDS, World};
use crate::epochs::{ROOT, govern, tell};
use crate::governance::{fifth_bank, fifth_node, no_point};
use crate::network::{Became, later_key};

const CNY: Currency = Currency(*b"CNY");
const HKD: Currency = Currency(*b"HKD");
/// The chain that is added first to the world of the tests.
const CHILD: ChainId = ChainId(SHARDS + 1);

/// Validators of banks 1 to 4 under keys of their own, in the order of the set.
pub(crate) fn validators(chain: u32) -> Vec<ValidatorRecord> {
    let validator = |index: u16| ValidatorRecord {
        operator: OperatorId(index + 1),
        node: NodeIndex(index),
        consensus_key: later_key(u64::from(chain * 4) + u64::from(index)).public_key(),
    };
    let mut validators: Vec<_> = (0..4).map(validator).collect();
    validators.sort_by_key(|validator| validator.consensus_key);
    validators
}

/// A child of a chain under this id.
pub(crate) fn add_chain(parent: ChainId, child: ChainId) -> Change {
    Change::AddChain { parent, validators: validators(child.0) }
}

fn registry(world: &World, chain: usize) -> Arc<Registry> {
    world.chains[chain].state.rules().registry.clone()
}

fn growth(registry: &Registry, chain: ChainId) -> Growth {
    let Birth::Child { growth, .. } = registry.chain(chain).unwrap().birth else { panic!("of genesis") };
    growth
}

fn grow(registry: &mut Registry, chain: ChainId, to: Growth) {
    let record: &mut ChainRecord = registry.chains.iter_mut().find(|record| record.chain == chain).unwrap();
    let Birth::Child { growth, .. } = &mut record.birth else { panic!("of genesis") };
    *growth = to;
}

/// The registry of the world with a child of each of its three shards, as far as these say.
fn with_children(growths: [Growth; 3]) -> Registry {
    let mut registry = Registry::clone(&registry(&World::new(), ROOT));
    for (parent, to) in (0..SHARDS).zip(growths) {
        let child = ChainId(CHILD.0 + parent);
        registry = apply_change(&registry, &add_chain(ChainId(parent), child)).unwrap();
        grow(&mut registry, child, to);
    }
    registry
}

#[test]
fn a_child_is_like_its_parent_but_for_its_shard_and_set() {
    let before = Registry::clone(&registry(&World::new(), ROOT));
    let after = apply_change(&before, &add_chain(ChainId(1), CHILD)).unwrap();
    let (child, parent) = (after.chain(CHILD).unwrap(), after.chain(ChainId(1)).unwrap());
    assert_eq!((child.currency, child.shard, &child.params), (CNY, 1 + SHARDS as u16, &parent.params));
    assert_eq!(child.birth, Birth::Child { parent: ChainId(1), height: Height(0), growth: Growth::Added });
    assert_eq!((&child.wanted, child.is_urgent), (&validators(CHILD.0), false));
    let [epoch] = child.epochs.as_slice() else { panic!("one epoch") };
    assert_eq!((epoch.epoch.0, epoch.first_height, epoch.last_height), (0, Height(1), None));
    assert_eq!(epoch.validators, child.wanted);
    assert!(!child.is_home() && child.is_filling());
    assert_eq!(after.chains[..4], before.chains);
    // The chain of another currency has one shard.
    let foreign = apply_change(&before, &add_chain(FOREIGN, CHILD)).unwrap();
    let child = foreign.chain(CHILD).unwrap();
    assert_eq!((child.currency, child.shard), (HKD, 1));
}

#[test]
fn guards_of_a_new_chain_row_by_row() {
    use ChangeFault::*;
    let before = Registry::clone(&registry(&World::new(), ROOT));
    let of = |parent: ChainId, change: &dyn Fn(&mut Vec<ValidatorRecord>)| {
        let mut validators = validators(CHILD.0);
        change(&mut validators);
        Change::AddChain { parent, validators }
    };
    let one = ChainId(1);
    let key = |index: usize| validators(CHILD.0)[index].consensus_key;
    let moved = validators(CHILD.0)[0].node;
    let owner = OperatorId(moved.0 + 1);
    let other = OperatorId(if owner.0 == 1 { 2 } else { 1 });
    let rows: Vec<(&str, Change, ChangeFault, u16, &str)> = vec![
        ("no parent", of(ChainId(9), &|_| {}), ParentUnknown { chain: ChainId(9) }, 818, "parent"),
        (
            "nobody's validator",
            of(one, &|set| set[0].operator = OperatorId(9)),
            OperatorUnknown { operator: OperatorId(9) },
            811,
            "operator",
        ),
        (
            "no node",
            of(one, &|set| set[0].node = NodeIndex(9)),
            NodeUnknown { node: NodeIndex(9) },
            815,
            "node",
        ),
        (
            "another's node",
            of(one, &|set| set[0].operator = other),
            NotItsNode { node: moved, operator: owner },
            819,
            "validator.node",
        ),
        (
            "a key twice",
            of(one, &|set| set[1].consensus_key = key(0)),
            ConsensusKeyTaken { chain: CHILD },
            820,
            "consensus_key",
        ),
        (
            "a node twice",
            of(one, &|set| (set[1].node, set[1].operator) = (moved, owner)),
            NodeSeated { node: moved, chain: CHILD },
            825,
            "validator.node",
        ),
        (
            "no point",
            of(one, &|set| set[3].consensus_key = no_point()),
            KeyInvalid { key: no_point() },
            824,
            "key",
        ),
        ("three", of(one, &|set| set.truncate(3)), TooFewValidators { chain: CHILD }, 822, "validators"),
    ];
    for (name, change, fault, code, field) in rows {
        assert_eq!(apply_change(&before, &change), Err(fault), "{name}");
        assert_eq!((fault.code(), fault.field()), (code, field), "{name}");
        assert!(!fault.mend().is_empty() && !fault.to_string().is_empty(), "{name}");
    }
    // A node that was taken away, an operator that has left.
    let mut left = before.clone();
    left.retired_nodes = vec![moved];
    let fault = apply_change(&left, &add_chain(one, CHILD));
    assert_eq!(fault, Err(NodeUnknown { node: moved }));
    left.retired_operators = vec![owner];
    let fault = apply_change(&left, &add_chain(one, CHILD));
    assert_eq!(fault, Err(OperatorUnknown { operator: owner }));
    // More than a set may have: banks and nodes without end, each key a point.
    let keys = |n: u64| later_key(n).public_key();
    let mut many = before.clone();
    many.nodes = (0..101).map(|_| many.nodes[0].clone()).collect();
    let seats = |count: u16| -> Vec<ValidatorRecord> {
        let seat = |index: u16| ValidatorRecord {
            operator: OperatorId(1),
            node: NodeIndex(index),
            consensus_key: keys(1_000 + u64::from(index)),
        };
        (0..count).map(seat).collect()
    };
    let of_size = |count| apply_change(&many, &Change::AddChain { parent: one, validators: seats(count) });
    assert_eq!(of_size(101), Err(TooManyValidators { chain: CHILD }));
    assert!(of_size(100).is_ok());
    // As many chains as a network may have.
    let mut full = before;
    let template = full.chains[3].clone();
    let chains = (4..CHAINS_MAX).map(|id| ChainRecord { chain: ChainId(id as u32), ..template.clone() });
    full.chains.extend(chains);
    assert_eq!(apply_change(&full, &add_chain(one, CHILD)), Err(Full));
    assert!(Full.to_string().contains("256 chains"));
    full.chains.pop();
    assert!(apply_change(&full, &add_chain(one, CHILD)).is_ok());
}

#[test]
fn what_only_the_root_chain_asks_row_by_row() {
    use Growth::{Added, Filling, Grown, Ready, Removed};
    let grandchild = |parent: ChainId| add_chain(parent, ChainId(CHILD.0 + 3));
    let child = |place: u32| ChainId(CHILD.0 + place);
    let has_child =
        |chain, child| Some(ChangeFault::ChainHasChild { chain: ChainId(chain), child: ChainId(child) });
    let not_grown = |place| Some(ChangeFault::ChainNotGrown { chain: child(place) });
    let not_ready = |shard| Some(ChangeFault::ChainNotReady { currency: CNY, shard });
    let first = ChainId(0);
    let rows = [
        // Each chain has one child at a time.
        ([Added; 3], grandchild(first), has_child(0, CHILD.0)),
        ([Ready; 3], grandchild(first), has_child(0, CHILD.0)),
        // While one is filled, none is added anywhere in the currency.
        ([Grown, Grown, Filling], grandchild(first), not_grown(2)),
        ([Grown; 3], grandchild(first), None),
        // A child is no parent before wallets are at home there.
        ([Added; 3], grandchild(child(1)), not_grown(1)),
        ([Ready; 3], grandchild(child(1)), not_grown(1)),
        ([Grown, Filling, Grown], grandchild(child(0)), not_grown(1)),
        ([Grown; 3], grandchild(child(1)), None),
        // One that was removed is no child any more, and no parent.
        ([Removed; 3], grandchild(first), None),
        ([Removed; 3], Change::Reshard { currency: CNY }, not_ready(0)),
        // Another currency's chains do not matter.
        ([Filling; 3], grandchild(FOREIGN), None),
        ([Ready; 3], Change::Reshard { currency: CNY }, None),
        ([Ready, Added, Ready], Change::Reshard { currency: CNY }, not_ready(1)),
        ([Ready, Ready, Added], Change::Reshard { currency: CNY }, not_ready(2)),
        ([Filling; 3], Change::Reshard { currency: CNY }, not_ready(0)),
        ([Grown; 3], Change::Reshard { currency: CNY }, not_ready(0)),
        (
            [Ready; 3],
            Change::Reshard { currency: HKD },
            Some(ChangeFault::ChainNotReady { currency: HKD, shard: 0 }),
        ),
        (
            [Ready; 3],
            Change::Reshard { currency: Currency(*b"XXX") },
            Some(ChangeFault::ChainNotReady { currency: Currency(*b"XXX"), shard: 0 }),
        ),
    ];
    for (growths, change, expected) in rows {
        let registry = with_children(growths);
        assert_eq!(check_on_root(&registry, &change).err(), expected, "{growths:?} {change:?}");
        if let Some(fault) = expected {
            let code = match fault {
                ChangeFault::ChainNotGrown { .. } => (826, "parent"),
                ChangeFault::ChainNotReady { .. } => (827, "currency"),
                _ => (828, "parent"),
            };
            assert_eq!((fault.code(), fault.field()), code);
        } else {
            assert!(apply_change(&registry, &change).is_ok(), "{growths:?} {change:?}");
        }
        // Who has not heard of reports accepts whatever the root chain has accepted.
        let unheard = with_children(growths.map(|growth| match growth {
            Added | Ready => Added,
            Filling | Grown => Filling,
            Removed => Removed,
        }));
        if expected.is_none() {
            let (heard, unheard) =
                (apply_change(&registry, &change).unwrap(), apply_change(&unheard, &change).unwrap());
            let homes = |registry: &Registry| -> Vec<(u16, bool)> {
                registry.chains.iter().map(|record| (record.shard, record.is_home())).collect()
            };
            assert_eq!(homes(&heard), homes(&unheard));
        }
    }
    // A shard without any child, and one with a child that is filled already, wherever the change is executed.
    let reshard = Change::Reshard { currency: CNY };
    let mut two = with_children([Added; 3]);
    two.chains.pop();
    let fault = Err(ChangeFault::ChainNotReady { currency: CNY, shard: 2 });
    assert_eq!(apply_change(&two, &reshard), fault);
    let fault = Err(ChangeFault::ChainNotReady { currency: CNY, shard: 0 });
    assert_eq!(apply_change(&with_children([Filling; 3]), &reshard), fault);
}

#[test]
fn resharding_makes_twice_as_many_homes_and_keeps_every_other_byte() {
    let before = with_children([Growth::Added, Growth::Ready, Growth::Added]);
    let after = apply_change(&before, &Change::Reshard { currency: CNY }).unwrap();
    let homes: Vec<u16> = after
        .chains
        .iter()
        .filter(|record| record.currency == CNY && record.is_home())
        .map(|record| record.shard)
        .collect();
    assert_eq!(homes, [0, 1, 2, 3, 4, 5]);
    let mut expected = before;
    for place in 0..3 {
        grow(&mut expected, ChainId(CHILD.0 + place), Growth::Filling);
    }
    assert_eq!(after, expected);
    // An urgent proposal makes no chain urgent by it: no set changes.
    let urgent = apply_proposed(&after, &add_chain(FOREIGN, ChainId(CHILD.0 + 3)), true).unwrap();
    assert!(urgent.chains.iter().all(|record| !record.is_urgent));
}

/// The largest set that a chain may begin with reaches every chain.
#[test]
fn the_largest_child_fits_a_proposal_and_a_receipt() {
    let seat = |n: u16| {
        let mut key = [n as u8; 32];
        key[0] = 0xA0;
        ValidatorRecord { operator: OperatorId(n), node: NodeIndex(n), consensus_key: PublicKey(key) }
    };
    let of = |count| Change::AddChain { parent: ChainId(0), validators: (0..count).map(seat).collect() };
    let receipt =
        |count| Receipt::Change { version: 1, height: Height(1), is_urgent: true, change: of(count) };
    let proposal = |count| ledger::records::Proposal {
        changes: vec![of(count)],
        ..crate::governance::proposal(&World::new().chains[ROOT], Vec::new())
    };
    let (largest, carried) = (receipt(100), proposal(100));
    assert_eq!(Receipt::decode(&largest.encode()), Ok(largest));
    assert_eq!(ledger::records::Proposal::decode(&carried.encode()), Ok(carried.clone()));
    let approvals = [1, 2, 4].map(|id| {
        carried.approve(ledger::values::GenesisHash::default(), OperatorId(id), &crate::network::cold_key(id))
    });
    assert_eq!(ledger::records::change::check_govern(&carried, &approvals), Ok(()));
    for count in [101, 3] {
        assert!(Receipt::decode(&receipt(count).encode()).is_err(), "{count}");
        assert!(ledger::records::Proposal::decode(&proposal(count).encode()).is_err(), "{count}");
    }
}

/// From the first proposal to the second resharding, over chains that talk.
#[test]
fn a_currency_grows_twice() {
    let mut world = World::new();
    let foreign = FOREIGN.0 as usize;
    let reshard = || vec![Change::Reshard { currency: HKD }];
    assert_eq!(govern(&mut world, false, reshard()), Became::Rejected(Rejection::ChangeChainNotReady));
    let stranger = vec![add_chain(ChainId(9), CHILD)];
    assert_eq!(govern(&mut world, false, stranger), Became::Rejected(Rejection::ChangeChainUnknown));
    assert_eq!(govern(&mut world, false, vec![add_chain(FOREIGN, CHILD)]), Became::Applied);
    let born = world.chains[ROOT].height();
    world.start_child();
    let child = CHILD.0 as usize;
    // The proposal that adds a chain is told to every chain but it, with the height that decided it.
    let told =
        |world: &World, chain: ChainId| world.lines.get(&(ChainId(0), chain)).map(|line| line.receipts.len());
    assert_eq!((told(&world, CHILD), told(&world, FOREIGN)), (None, Some(1)));
    let Receipt::Change { height, .. } = world.lines[&(ChainId(0), FOREIGN)].receipts[0] else { panic!() };
    assert_eq!(height, born);
    tell(&mut world, ROOT, foreign).unwrap();
    for chain in [ROOT, foreign, child] {
        let record = registry(&world, chain).chain(CHILD).unwrap().clone();
        assert_eq!(record.birth, Birth::Child { parent: FOREIGN, height: born, growth: Growth::Added });
        assert_eq!(registry(&world, chain).version, 1);
    }
    // Before the child has reported, nothing is resharded and no second child is added.
    assert_eq!(govern(&mut world, false, reshard()), Became::Rejected(Rejection::ChangeChainNotReady));
    let second = || vec![add_chain(FOREIGN, ChainId(CHILD.0 + 1))];
    assert_eq!(govern(&mut world, false, second()), Became::Rejected(Rejection::ChangeChainHasChild));
    let reported = tell(&mut world, child, ROOT).unwrap();
    assert_eq!(reported.received[0].receipt, Receipt::Report { is_filled: false });
    assert_eq!(reported.received[0].code, 0);
    assert_eq!(growth(&registry(&world, ROOT), CHILD), Growth::Ready);
    assert_eq!(registry(&world, ROOT).version, 1, "a report is no proposal");
    assert_eq!(govern(&mut world, false, reshard()), Became::Applied);
    assert_eq!(growth(&registry(&world, ROOT), CHILD), Growth::Filling);
    // Later proposals are told to the child as well.
    tell(&mut world, ROOT, child).unwrap();
    assert_eq!(growth(&registry(&world, child), CHILD), Growth::Filling);
    assert_eq!(registry(&world, child).version, 2);
    assert_eq!(govern(&mut world, false, second()), Became::Rejected(Rejection::ChangeChainNotGrown));
    tell(&mut world, ROOT, foreign).unwrap();
    for _round in 0..4 {
        world.run(foreign, Vec::new(), Vec::new());
    }
    tell(&mut world, foreign, child).unwrap();
    assert_eq!(growth(&registry(&world, child), CHILD), Growth::Grown);
    assert_eq!(growth(&registry(&world, foreign), CHILD), Growth::Filling, "its parent is told nothing");
    let reported = tell(&mut world, child, ROOT).unwrap();
    assert_eq!(reported.received.last().unwrap().receipt, Receipt::Report { is_filled: true });
    assert_eq!(growth(&registry(&world, ROOT), CHILD), Growth::Grown);
    // Once more, from two shards to four: the child is a parent as well.
    let both = vec![add_chain(FOREIGN, ChainId(CHILD.0 + 1)), add_chain(CHILD, ChainId(CHILD.0 + 2))];
    assert_eq!(govern(&mut world, false, both), Became::Applied);
    world.start_child();
    world.start_child();
    for place in [1, 2] {
        let record = registry(&world, ROOT).chain(ChainId(CHILD.0 + place)).unwrap().clone();
        assert_eq!((record.shard, record.currency), (1 + place as u16, HKD));
        tell(&mut world, child + place as usize, ROOT).unwrap();
    }
    assert_eq!(govern(&mut world, false, reshard()), Became::Applied);
    let homes = registry(&world, ROOT)
        .chains
        .iter()
        .filter(|record| record.currency == HKD && record.is_home())
        .count();
    assert_eq!(homes, 4);
    // Every chain comes to the same homes, whatever it was told of reports.
    for chain in [1, 2, foreign, child, child + 1, child + 2] {
        tell(&mut world, ROOT, chain).unwrap();
        assert_eq!(world.chains[chain].state.rules().registry.version, 4);
        let shards = |chain: usize| -> Vec<(ChainId, bool)> {
            registry(&world, chain).chains.iter().map(|record| (record.chain, record.is_home())).collect()
        };
        assert_eq!(shards(chain), shards(ROOT), "{chain}");
    }
    crate::epochs::replay_all(&world);
}

/// Who reports what it cannot have come to is not heard, and neither is who is no child; no other chain hears reports at all.
#[test]
fn reports_row_by_row() {
    let mut world = World::new();
    assert_eq!(govern(&mut world, false, vec![add_chain(FOREIGN, CHILD)]), Became::Applied);
    world.start_child();
    let child = CHILD.0 as usize;
    for source in [1, 1, child, child] {
        world.run(source, Vec::new(), Vec::new());
    }
    let report = |world: &mut World, source: usize, destination: usize, is_filled: bool| {
        // By a quorum that has gone bad: the receipt alone decides what becomes of it.
        let mut bundle = world.bundle(child, ChainId(0), 0, 0, usize::MAX).unwrap();
        bundle.destination = ChainId(destination as u32);
        bundle.certified = world.chains[source].certified(1, 2);
        bundle.before.count = world.next(source, destination);
        bundle.receipts = vec![Receipt::Report { is_filled }];
        let before = world.chains[destination].state.rules().registry.clone();
        let execution = world.chains[destination].run_with(Vec::new(), vec![bundle]);
        let is_same = world.chains[destination].state.rules().registry == before;
        (execution.received[0].code, is_same)
    };
    let ignored = |rejection: Rejection| (rejection.code(), true);
    assert_eq!(report(&mut world, child, ROOT, true), ignored(Rejection::ChangeChainNotReady));
    assert_eq!(report(&mut world, 1, ROOT, false), ignored(Rejection::ChangeChainUnknown));
    assert_eq!(report(&mut world, child, 1, false), ignored(Rejection::GovernElsewhere));
    assert_eq!(report(&mut world, child, ROOT, false), (0, false));
    assert_eq!(report(&mut world, child, ROOT, false), ignored(Rejection::ChangeChainNotReady));
    assert_eq!(report(&mut world, child, ROOT, true), ignored(Rejection::ChangeChainNotReady));
    assert_eq!(growth(&registry(&world, ROOT), CHILD), Growth::Ready);
}

/// Two proposals in one block: the chain that the first one adds begins with what the second one changes, and is not told of it again.
#[test]
fn a_child_begins_with_all_that_its_block_decides() {
    let mut world = World::new();
    let network = &world.chains[ROOT];
    let propose = |version, changes| ledger::records::Proposal {
        version,
        ..crate::governance::proposal(network, changes)
    };
    let first = propose(0, vec![add_chain(FOREIGN, CHILD), Change::AddOperator(fifth_bank())]);
    let second = propose(1, vec![Change::AddNode(fifth_node())]);
    let bank = network.operator(1);
    let transactions = [first, second].into_iter().zip(1..).map(|(proposal, sequence)| {
        let operation = crate::governance::approved(network.genesis, proposal, &[1, 2, 4]);
        network.transaction(&bank, sequence, operation)
    });
    let transactions = transactions.collect();
    let execution = world.run(ROOT, transactions, Vec::new());
    assert!(execution.outcomes.iter().all(|outcome| outcome.code == 0));
    assert!(execution.sent.iter().all(|sent| sent.destination != CHILD));
    assert_eq!(execution.sent.len(), 3 * SHARDS as usize, "to the others each of the three changes");
    world.start_child();
    let child = registry(&world, CHILD.0 as usize);
    assert_eq!((child.version, child.operators.len(), child.nodes.len()), (2, 6, 5));
    // The bank that was admitted with it has its own wallet there from the beginning.
    let wallet = world.chains[CHILD.0 as usize].operator(5).wallet;
    assert!(world.chains[CHILD.0 as usize].wallet(&wallet).is_some());
}

#[test]
fn a_registry_with_an_impossible_birth_is_refused() {
    let good = with_children([Growth::Added; 3]);
    let is_good = |change: &dyn Fn(&mut Registry)| {
        let mut registry = good.clone();
        for record in &mut registry.chains {
            if let Birth::Child { height, .. } = &mut record.birth {
                *height = Height(7);
            }
        }
        change(&mut registry);
        Registry::decode(&registry.encode()).is_ok()
    };
    let birth = |registry: &mut Registry, parent: ChainId, height: u64| {
        registry.chains[4].birth = Birth::Child { parent, height: Height(height), growth: Growth::Added };
    };
    assert!(is_good(&|_| {}));
    assert!(is_good(&|registry| birth(registry, ChainId(1), 1)));
    assert!(!is_good(&|registry| birth(registry, ChainId(0), 0)), "before any block");
    assert!(!is_good(&|registry| birth(registry, ChainId(9), 1)), "of no chain");
    assert!(!is_good(&|registry| birth(registry, CHILD, 1)), "of itself");
    assert!(!is_good(&|registry| birth(registry, ChainId(5), 1)), "of a younger one");
    assert!(!is_good(&|registry| birth(registry, FOREIGN, 1)), "of another currency");
    assert!(!is_good(&|registry| registry.chains[4].shard = 1), "a shard twice");
}
