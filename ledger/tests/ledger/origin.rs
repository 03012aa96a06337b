//! Where a chain that operators added comes from: what it begins with, and the proof of it that its certificates, its proof files and
//! its replay stand on. The root chain has changed its set before, changes it at that very height, and the child changes its own.

use std::sync::Arc;

use ledger::proofs::{
    BalanceProof, ChainOrigin, Difference, Fact, HeightRecord, OriginFault, Proof, ProofFault, ProofFile,
    RegistryProof, Replay, SetChain, SetFault,
};
use ledger::records::{Birth, Change, EpochRecord, Registry};
use ledger::rules::check_bundle;
use ledger::state::{ChainState, GenesisFault, StateParts};
use ledger::values::{Amount, Canonical as _, ChainId, Epoch, Height, OperatorId, Sequential};

use crate::chains::{FOREIGN, SHARDS, World};
use crate::epochs::{ROOT, finish_epoch, govern, replace, replay_all, tell};
use crate::growth::{add_chain, validators};
use crate::network::{Became, Network, consensus_keys, later_key};

const CHILD: ChainId = ChainId(SHARDS + 1);
const PLACE: usize = CHILD.0 as usize;

/// A world whose root chain has changed its set and then added a child of the foreign chain; with the root chain's state parts then.
fn born() -> (World, StateParts) {
    let mut world = World::new();
    let first = consensus_keys()[0].public_key();
    assert_eq!(govern(&mut world, true, vec![replace(0, first, 1)]), Became::Applied);
    finish_epoch(&mut world, ROOT);
    assert_eq!(govern(&mut world, false, vec![add_chain(FOREIGN, CHILD)]), Became::Applied);
    world.start_child();
    let parts = world.chains[ROOT].state.parts();
    for chain in [ROOT, PLACE, ROOT, PLACE] {
        world.run(chain, Vec::new(), Vec::new());
    }
    (world, parts)
}

/// The origin that a node which ran the root chain then can show.
fn origin(world: &World, parts: StateParts, height: Height) -> ChainOrigin {
    let root = &world.chains[ROOT];
    let certified = root.certified(height.0, height.0 + 1);
    let epoch = certified.header.epoch.0 as usize;
    let registry = root.heights[..height.0 as usize]
        .iter()
        .rev()
        .find_map(|(_, _, execution)| execution.registry.clone())
        .unwrap();
    let sets = root.set_links()[..epoch].to_vec();
    ChainOrigin { sets, registry: Registry::clone(&registry), parts, certified }
}

/// The height that added the child.
fn height_of_birth(world: &World) -> Height {
    let Birth::Child { height, .. } = world.chains[PLACE].born.chain(CHILD).unwrap().birth else {
        panic!("of genesis")
    };
    height
}

#[test]
fn a_chain_of_genesis_begins_with_the_registry_of_genesis() {
    let world = World::new();
    let spec = &world.chains[ROOT].spec;
    let registry = Arc::new(Registry::from_genesis(spec));
    for chain in &spec.chains {
        let (genesis, writes, result) = ChainState::genesis(spec, chain.chain).unwrap();
        let begun = ChainState::begin(spec.hash(), registry.clone(), chain.chain, spec.timestamp).unwrap();
        assert_eq!((begun.0.head(), begun.0.parts()), (genesis.head(), genesis.parts()));
        assert_eq!((begun.1, begun.2), (writes, result));
    }
    let unknown = Err(GenesisFault::ChainUnknown { chain: ChainId(9) });
    let begun = ChainState::begin(spec.hash(), registry.clone(), ChainId(9), spec.timestamp);
    assert_eq!(begun.map(|_| ()), unknown);
    assert_eq!(registry.of_child(FOREIGN), None, "no child");
    assert_eq!(registry.of_child(ChainId(9)), None, "no chain");
}

#[test]
fn a_child_begins_with_own_wallets_and_the_newest_sets() {
    let (world, _) = born();
    let child = &world.chains[PLACE];
    assert_eq!(child.genesis_result.height, Height(0));
    assert_eq!(
        child.genesis_result.block,
        ledger::records::block::genesis_block_digest(child.genesis, CHILD)
    );
    for operator in 0..5 {
        let wallet = child.wallet(&child.operator(operator).wallet).unwrap();
        assert_eq!((wallet.operator, wallet.balance), (OperatorId(operator), Amount::ZERO));
    }
    let root = &world.chains[ROOT];
    let known = &child.born.chain(ChainId(0)).unwrap().epochs;
    assert_eq!(known, &[EpochRecord { last_height: None, ..root.epochs[1].clone() }]);
    let own = &child.born.chain(CHILD).unwrap().epochs;
    assert_eq!((own.len(), own[0].epoch, own[0].validators.clone()), (1, Epoch(0), validators(CHILD.0)));
    // Everything else is the root chain's.
    let mut registry = Registry::clone(&child.born);
    let height = height_of_birth(&world).0 as usize;
    let roots = root.heights[height - 1].2.registry.as_ref().unwrap();
    registry.chains.iter_mut().zip(&roots.chains).for_each(|(own, root)| own.epochs.clone_from(&root.epochs));
    assert_eq!(&registry, &**roots);
}

#[test]
fn an_origin_is_proved_with_the_genesis_spec_alone() {
    let (mut world, parts) = born();
    let height = height_of_birth(&world);
    let good = origin(&world, parts, height);
    assert_eq!(good.sets.len(), 1, "the root chain has changed its set");
    let good = ChainOrigin::decode(&good.encode()).unwrap();
    let (spec, born) = (world.chains[ROOT].spec.clone(), world.chains[PLACE].born.clone());
    assert_eq!(good.verify(&spec, CHILD), Ok(born.clone()));
    // A later certificate says the same.
    for _height in 0..3 {
        world.run(ROOT, Vec::new(), Vec::new());
    }
    let mut later = good;
    later.certified = world.chains[ROOT].certified(height.0, height.0 + 3);
    assert_eq!(later.verify(&spec, CHILD), Ok(born));
}

#[test]
fn a_forged_origin_is_refused() {
    let (world, parts) = born();
    let height = height_of_birth(&world);
    let root = &world.chains[ROOT];
    let good = origin(&world, parts, height);
    let spec = &root.spec;
    let rows: Vec<(&str, Box<dyn Fn(&mut ChainOrigin)>, fn(OriginFault) -> bool)> = vec![
        ("no links", Box::new(|origin| origin.sets.clear()), |fault| {
            fault == OriginFault::Length { links: 0, epoch: Epoch(1) }
        }),
        ("a link too many", Box::new(|origin| origin.sets.push(origin.sets[0].clone())), |fault| {
            fault == OriginFault::Length { links: 2, epoch: Epoch(1) }
        }),
        (
            "another set",
            Box::new(|origin| origin.sets[0].set.validators[0].consensus_key = later_key(9).public_key()),
            |fault| fault == OriginFault::Set { epoch: Epoch(1) },
        ),
        (
            "a certificate of fewer",
            Box::new(|origin| *origin.certified.finality.bytes.last_mut().unwrap() ^= 1),
            |fault| matches!(fault, OriginFault::Finality(_)),
        ),
        ("another result", Box::new(|origin| origin.certified.result.executed += 1), |fault| {
            matches!(fault, OriginFault::Result { .. })
        }),
        (
            "a result of another chain",
            Box::new(|origin| {
                origin.certified.result.chain = ChainId(1);
                origin.certified.header.chain = ChainId(1);
                origin.certified.finality.chain = ChainId(1);
            }),
            |fault| matches!(fault, OriginFault::Result { .. }),
        ),
        ("other parts", Box::new(|origin| origin.parts.records += 1), |fault| fault == OriginFault::State),
        (
            "another set of the child",
            Box::new(|origin| {
                origin.registry.chains[PLACE].epochs[0].validators[0].consensus_key =
                    later_key(9).public_key();
            }),
            |fault| fault == OriginFault::Registry,
        ),
        (
            "another registry with its hash",
            Box::new(|origin| {
                origin.registry.version += 1;
                origin.parts.registry = origin.registry.hash();
            }),
            |fault| fault == OriginFault::State,
        ),
        (
            "and the state root with it",
            Box::new(|origin| {
                origin.registry.version += 1;
                origin.parts.registry = origin.registry.hash();
                origin.certified.result.state = origin.parts.root();
            }),
            |fault| matches!(fault, OriginFault::Result { .. }),
        ),
    ];
    for (name, forge, expected) in rows {
        let mut forged = good.clone();
        forge(&mut forged);
        let fault = forged.verify(spec, CHILD).unwrap_err();
        assert!(expected(fault), "{name}: {fault}");
        let sets = SetChain { origin: Some(Box::new(forged)), links: Vec::new() };
        assert_eq!(sets.verify(spec, CHILD), Err(SetFault::Origin(fault)), "{name}");
    }
    let unknown = |chain| Err(OriginFault::ChainUnknown { chain });
    assert_eq!(good.verify(spec, ChainId(9)), unknown(ChainId(9)));
    assert_eq!(good.verify(spec, FOREIGN), unknown(FOREIGN), "a chain of genesis was not added");
    let mut other = spec.clone();
    other.network.push('2');
    assert!(good.verify(&other, CHILD).is_err(), "of another network");
    assert!(good.verify(spec, CHILD).is_ok());
}

/// The registry of a later height names the child's validators as well, but it is not what the child began with.
#[test]
fn an_origin_is_of_the_height_that_added_the_chain() {
    let (mut world, _) = born();
    let born = height_of_birth(&world);
    world.run(ROOT, Vec::new(), Vec::new());
    let (found, parts) = (world.chains[ROOT].height(), world.chains[ROOT].state.parts());
    world.run(ROOT, Vec::new(), Vec::new());
    let later = origin(&world, parts, found);
    let fault = later.verify(&world.chains[ROOT].spec, CHILD);
    assert_eq!(fault, Err(OriginFault::OtherHeight { chain: CHILD, born, found }));
}

#[test]
fn proofs_of_a_child_stand_on_its_origin_and_its_changes_of_set() {
    let (mut world, parts) = born();
    let origin = Some(Box::new(origin(&world, parts, height_of_birth(&world))));
    let spec = world.chains[ROOT].spec.clone();
    let proof = |network: &Network| {
        let (height, wallet) = (network.height().0, network.operator(1).wallet);
        let path = network.state.record_path(wallet).unwrap();
        let wallet = network.wallet(&wallet).unwrap();
        move |network: &Network| {
            let certified = network.certified(height, height + 1);
            let (wallet, slot, path, parts) = (wallet, path.slot, path.path, path.parts);
            Proof::Balance(BalanceProof { wallet, slot, path, parts, certified })
        }
    };
    let file = |world: &World, proof, origin: &Option<Box<ChainOrigin>>, links: usize| {
        let network = &world.chains[PLACE];
        let links = network.set_links()[..links].to_vec();
        let sets = SetChain { origin: origin.clone(), links };
        let file = ProofFile { genesis: network.genesis, sets, proof };
        ProofFile::decode(&file.encode()).unwrap()
    };
    let early = proof(&world.chains[PLACE]);
    world.run(PLACE, Vec::new(), Vec::new());
    let early = early(&world.chains[PLACE]);
    let proven = file(&world, early.clone(), &origin, 0).verify(&spec).unwrap();
    assert_eq!((proven.chain, proven.height), (CHILD, Height(2)));
    assert!(matches!(proven.fact, Fact::Wallet { wallet } if wallet.operator == OperatorId(1)));
    let missing = file(&world, early.clone(), &None, 0).verify(&spec);
    assert_eq!(missing, Err(ProofFault::Sets(SetFault::OriginMissing { chain: CHILD })));
    // The child changes its own set.
    let old = validators(CHILD.0)[0].consensus_key;
    let change = Change::ReplaceConsensusKey { chain: CHILD, old, new: later_key(2).public_key() };
    assert_eq!(govern(&mut world, true, vec![change]), Became::Applied);
    tell(&mut world, ROOT, PLACE).unwrap();
    finish_epoch(&mut world, PLACE);
    let late = proof(&world.chains[PLACE]);
    world.run(PLACE, Vec::new(), Vec::new());
    let late = late(&world.chains[PLACE]);
    assert!(file(&world, late.clone(), &origin, 1).verify(&spec).is_ok());
    assert!(file(&world, early, &origin, 0).verify(&spec).is_ok(), "old certificates stay good");
    let length = |links, epoch| Err(ProofFault::Sets(SetFault::Length { links, epoch: Epoch(epoch) }));
    assert_eq!(file(&world, late.clone(), &origin, 0).verify(&spec), length(0, 1));
    assert!(file(&world, late, &None, 1).verify(&spec).is_err());
    // Its registry is proved in the same way.
    let child = &world.chains[PLACE];
    let (height, parts) = (child.height().0, child.state.parts());
    let registry = Registry::clone(&child.state.rules().registry);
    world.run(PLACE, Vec::new(), Vec::new());
    let child = &world.chains[PLACE];
    let sets = SetChain { origin: origin.clone(), links: child.set_links() };
    let certified = child.certified(height, height + 1);
    let proof = RegistryProof { genesis: child.genesis, sets, registry, parts, certified };
    assert_eq!(RegistryProof::decode(&proof.encode()).unwrap().verify(&spec), Ok(()));
    // A chain of genesis has no origin, so that its proofs have one form.
    let root = &world.chains[ROOT];
    let sets = SetChain { origin, links: root.set_links() };
    let needless = Err(SetFault::OriginNeedless { chain: ChainId(0) });
    assert_eq!(sets.verify(&spec, ChainId(0)), needless);
    assert!(SetChain { origin: None, ..sets }.verify(&spec, ChainId(0)).is_ok());
    replay_all(&world);
}

/// The root chain schedules its next set at the very height that adds the child: the child knows that set as the newest one, and hears
/// the root chain once it speaks.
#[test]
fn a_child_of_a_height_that_ends_an_epoch() {
    let mut world = World::new();
    let first = consensus_keys()[0].public_key();
    let changes = vec![add_chain(FOREIGN, CHILD), replace(0, first, 1)];
    assert_eq!(govern(&mut world, true, changes), Became::Applied);
    world.start_child();
    let (born, parts) = (world.chains[ROOT].height(), world.chains[ROOT].state.parts());
    let root = &world.chains[PLACE].born.chain(ChainId(0)).unwrap().epochs;
    assert_eq!(root, &[world.chains[ROOT].epochs[1].clone()]);
    let move_node = Change::MoveNode { node: ledger::values::NodeIndex(0), address: "a:1".into() };
    assert_eq!(govern(&mut world, false, vec![move_node]), Became::Applied);
    world.run(ROOT, Vec::new(), Vec::new());
    let origin = origin(&world, parts, born);
    assert_eq!((origin.sets.len(), origin.certified.header.epoch), (0, Epoch(0)));
    let spec = world.chains[ROOT].spec.clone();
    assert_eq!(origin.verify(&spec, CHILD), Ok(world.chains[PLACE].born.clone()));
    // What the set before says the child does not take; what the next one says it does, without a link.
    assert!(tell(&mut world, ROOT, PLACE).is_none());
    finish_epoch(&mut world, ROOT);
    world.run(ROOT, Vec::new(), Vec::new());
    let bundle = world.bundle(ROOT, CHILD, 0, 0, usize::MAX).unwrap();
    assert!(bundle.sets.is_empty() && bundle.certified.header.epoch == Epoch(1));
    assert!(check_bundle(world.chains[PLACE].state.rules(), &bundle).is_ok());
    world.run(PLACE, Vec::new(), vec![bundle]);
    assert_eq!(world.chains[PLACE].state.rules().registry.version, 2);
    replay_all(&world);
}

#[test]
fn a_replay_from_another_registry_is_noticed_at_the_first_block() {
    let (world, _) = born();
    let child = &world.chains[PLACE];
    let step = |registry: Arc<Registry>| {
        let mut replay = Replay::of_child(&child.spec, registry, CHILD, [1; 32]).unwrap();
        let (block, batches, _) = &child.heights[0];
        let record = HeightRecord { block, batches, bundles: &[], result: None, outcomes: None };
        replay.step(record, &Sequential).map(|_| ()).map_err(|difference| *difference)
    };
    assert!(step(child.born.clone()).is_ok());
    let mut other = Registry::clone(&child.born);
    other.version += 1;
    let difference = step(Arc::new(other)).unwrap_err();
    assert!(matches!(difference, Difference::Block { height: Height(1), .. }), "{difference}");
    let unknown = Replay::new(&child.spec, CHILD, [1; 32]).map(|_| ());
    assert_eq!(unknown, Err(GenesisFault::ChainUnknown { chain: CHILD }), "genesis does not name it");
}
