//! Epochs: validator sets follow one another on several chains while money flows. Blocks are judged by the state that they claim;
//! bundles by the newest set that their destination knows; proofs from genesis through the set chain.

use ledger::proofs::{
    Fact, HeightRecord, Proof, ProofFault, ProofFile, Replay, SetChain, SetFault, SetLink, Sets,
};
use ledger::records::block::{CLAIM_LAG_MAX, EPOCH_MS_MIN, SET_CHANGE_MARGIN};
use ledger::records::{
    Block, BlockBody, Bundle, ChainParams, Change, EpochRecord, Operation, Receipt, Rejection, Tier,
};
use ledger::rules::block_validity::{check_header, is_closing};
use ledger::rules::{BlockFault, BundleFault, ChainRules, check_batch, check_bundle};
use ledger::state::{Execution, PassedOver};
use ledger::values::{
    Amount, BatchDigest, Canonical as _, ChainId, Epoch, Hash, Height, NodeIndex, OperatorId, PublicKey,
    Sequential, TimestampMs, ValidatorIndex,
};

use crate::chains::{CUSTOMERS, FOREIGN, SHARDS, World};
use crate::governance::{approved, fifth_bank, fifth_node, fifth_validator, proposal};
use crate::network::{Became, Network, consensus_keys, later_key, pay};

pub(crate) const ROOT: usize = 0;

/// A proposal of bank 1 on the root chain, approved by three of the council, or by four of five.
pub(crate) fn govern(world: &mut World, is_urgent: bool, changes: Vec<Change>) -> Became {
    let network = &world.chains[ROOT];
    let council = network.state.rules().registry.council(network.height().next());
    let approvers: Vec<u16> = council.iter().skip(1).map(|operator| operator.0).collect();
    let proposal = ledger::records::Proposal { is_urgent, ..proposal(network, changes) };
    let operation = approved(network.genesis, proposal, &approvers);
    let bank = network.operator(1);
    world.act(ROOT, &bank, operation)
}

pub(crate) fn replace(chain: u32, old: PublicKey, new: u64) -> Change {
    Change::ReplaceConsensusKey { chain: ChainId(chain), old, new: later_key(new).public_key() }
}

fn first_key() -> PublicKey {
    consensus_keys()[0].public_key()
}

/// Empty blocks up to a height.
fn run_to(world: &mut World, chain: usize, height: Height) {
    while world.chains[chain].height() < height {
        world.run(chain, Vec::new(), Vec::new());
    }
}

/// Runs a chain past the end of its epoch, where one is scheduled.
pub(crate) fn finish_epoch(world: &mut World, chain: usize) {
    let scheduled = world.chains[chain].epochs.last().unwrap().first_height;
    run_to(world, chain, scheduled);
}

/// What one chain has to tell another is told.
pub(crate) fn tell(world: &mut World, source: usize, destination: usize) -> Option<Execution> {
    world.run(source, Vec::new(), Vec::new());
    world.run(source, Vec::new(), Vec::new());
    let first = world.next(source, destination);
    let bundle = world.bundle(source, ChainId(destination as u32), first, 0, usize::MAX)?;
    Some(world.run(destination, Vec::new(), vec![bundle]))
}

pub(crate) fn is_closing_next(network: &Network) -> bool {
    is_closing(network.state.rules(), network.height().next())
}

/// Replays every chain from its beginning.
pub(crate) fn replay_all(world: &World) {
    for network in &world.chains {
        let mut replay = match network.spec.chain(network.chain) {
            Some(_) => Replay::new(&network.spec, network.chain, [1; 32]),
            None => Replay::of_child(&network.spec, network.born.clone(), network.chain, [1; 32]),
        }
        .unwrap();
        for ((block, batches, execution), bundles) in network.heights.iter().zip(&network.bundles) {
            let (result, outcomes) = (Some(&execution.result), Some(execution.outcomes.as_slice()));
            let record = HeightRecord { block, batches, bundles, result, outcomes };
            assert_eq!(&replay.step(record, &Sequential).unwrap(), execution);
        }
        assert_eq!(replay.records(), &network.records);
        assert_eq!(replay.state().rules(), network.state.rules());
    }
}

#[test]
fn a_set_follows_at_the_scheduled_height_and_is_proved_from_genesis() {
    let mut world = World::town();
    assert_eq!(govern(&mut world, true, vec![replace(0, first_key(), 1)]), Became::Applied);
    let network = &world.chains[ROOT];
    let (scheduled, next) = (network.height(), network.epochs[1].clone());
    let last = Height(scheduled.0 + SET_CHANGE_MARGIN);
    assert_eq!((network.epochs[0].last_height, next.first_height), (Some(last), last.next()));
    assert!(next.keys().contains(&later_key(1).public_key()) && !next.keys().contains(&first_key()));
    assert_eq!(network.heights.last().unwrap().2.result.next_set, next.set_hash(ChainId(0)));
    run_to(&mut world, ROOT, Height(last.0 + 3));
    let network = &world.chains[ROOT];
    for (block, _, execution) in &network.heights {
        let height = block.header.height;
        let is_named = height >= scheduled && height <= last;
        assert_eq!(execution.result.next_set != Hash::default(), is_named, "{height}");
        assert_eq!(block.header.epoch, Epoch(u64::from(height > last)), "{height}");
    }
    let sets = SetChain { origin: None, links: network.set_links() };
    assert_eq!(SetChain::decode(&sets.encode()), Ok(sets.clone()));
    let (old, new) = (network.certified(scheduled.0, scheduled.0 + 1), network.certified(last.0, last.0 + 2));
    let none = SetChain::default();
    let spec = &network.spec;
    // An old certificate stays good for ever; a new one needs the change of set; each has one form.
    assert_eq!(old.verify(spec, &none), Ok(()));
    assert_eq!(new.verify(spec, &sets), Ok(()));
    let length = |links, epoch| Err(ProofFault::Sets(SetFault::Length { links, epoch: Epoch(epoch) }));
    assert_eq!(new.verify(spec, &none), length(0, 1));
    assert_eq!(old.verify(spec, &sets), length(1, 0));
    let file = ProofFile { genesis: network.genesis, sets: sets.clone(), proof: Proof::Supply(new) };
    let proven = ProofFile::decode(&file.encode()).unwrap().verify(spec).unwrap();
    assert!(matches!(proven.fact, Fact::Supply { .. }));
    assert_eq!(proven.height, last);
    assert!(ProofFile { sets: none, ..file }.verify(spec).is_err());
    let sets = sets.verify(spec, ChainId(0)).unwrap();
    assert_eq!((sets.newest(), sets.epoch(Epoch(0)).unwrap().last_height), (&next, Some(last)));
    // The set of epoch 0 cannot speak about what is above its last height, nor the next one below.
    let mut late = network.certified(last.0, last.0 + 1);
    late.header.epoch = Epoch(0);
    late.finality = network.finality(&late.header);
    let above = ProofFault::NotInEpoch { epoch: Epoch(0), height: last.next() };
    assert_eq!(late.verify_by(network.genesis, &sets), Err(above));
}

#[test]
fn a_forged_change_of_set_is_refused() {
    let mut world = World::town();
    govern(&mut world, true, vec![replace(0, first_key(), 1)]);
    finish_epoch(&mut world, ROOT);
    let second = vec![replace(0, later_key(1).public_key(), 2)];
    govern(&mut world, true, second);
    finish_epoch(&mut world, ROOT);
    let network = &world.chains[ROOT];
    let good = SetChain { origin: None, links: network.set_links() };
    assert_eq!(good.links.len(), 2);
    assert!(good.verify(&network.spec, ChainId(0)).is_ok());
    let code = |fault: SetFault| match fault {
        SetFault::ChainUnknown { .. } => "chain",
        SetFault::OriginMissing { .. } => "origin",
        SetFault::OriginNeedless { .. } => "needless origin",
        SetFault::Origin(_) => "forged origin",
        SetFault::OtherChain { .. } => "other chain",
        SetFault::NotNext { .. } => "next",
        SetFault::NotClosing { .. } => "closing",
        SetFault::OtherSet { .. } => "set",
        SetFault::Finality { .. } => "finality",
        SetFault::NotClaimed { .. } => "claim",
        SetFault::Length { .. } => "length",
    };
    let (first, last) = (network.epochs[1].first_height.0, network.epochs[0].last_height.unwrap().0);
    let resigned = |link: &mut SetLink| link.certified.finality = network.finality(&link.certified.header);
    let rows: Vec<(&str, Box<dyn Fn(&mut SetChain)>)> = vec![
        ("other chain", Box::new(|chain| chain.links[0].certified.result.chain = ChainId(1))),
        ("next", Box::new(|chain| drop(chain.links.remove(0)))),
        ("next", Box::new(|chain| chain.links.swap(0, 1))),
        ("next", Box::new(|chain| chain.links[0].set.epoch = Epoch(2))),
        ("closing", Box::new(|chain| chain.links[0].set.first_height = Height(first - 1))),
        ("closing", Box::new(move |chain| chain.links[0].certified.header.height = Height(last + 1))),
        ("closing", Box::new(move |chain| chain.links[0].certified.header.claim.height = Height(last - 2))),
        ("closing", Box::new(|chain| chain.links[0].certified.header.epoch = Epoch(1))),
        ("set", Box::new(|chain| chain.links[0].set.validators[0].consensus_key = later_key(9).public_key())),
        ("set", Box::new(|chain| chain.links[0].set.validators.truncate(3))),
        ("set", Box::new(|chain| chain.links[0].certified.result.next_set = Hash([1; 32]))),
        ("claim", Box::new(|chain| chain.links[0].certified.result.executed += 1)),
        ("claim", Box::new(|chain| chain.links[0].certified.header.timestamp.0 += 1)),
        ("finality", Box::new(|chain| *chain.links[0].certified.finality.bytes.last_mut().unwrap() ^= 1)),
        (
            "claim",
            Box::new(|chain| {
                // A quorum of the old set signs a block that claims another result than the one shown.
                chain.links[0].certified.header.claim.result.0[0] ^= 1;
                resigned(&mut chain.links[0]);
            }),
        ),
    ];
    for (expected, forge) in rows {
        let mut forged = good.clone();
        forge(&mut forged);
        assert_eq!(forged.verify(&network.spec, ChainId(0)).map_err(code).err(), Some(expected));
    }
    assert_eq!(good.verify(&network.spec, ChainId(9)).map_err(code).err(), Some("origin"));
    let one_form = |change: fn(&mut SetLink)| {
        let mut wrong = good.clone();
        change(&mut wrong.links[0]);
        SetChain::decode(&wrong.encode()).is_err()
    };
    assert!(one_form(|link| link.set.last_height = Some(Height(1_000))));
    assert!(one_form(|link| link.certified.links.push(Hash([0; 32]))));
    assert!(one_form(|link| link.set.validators.swap(0, 1)));
    assert!(one_form(|link| link.set.validators.truncate(3)));
}

/// Blocks around the end of an epoch, judged by the rules of the state that they claim.
#[test]
fn blocks_at_the_end_of_an_epoch_row_by_row() {
    let mut world = World::town();
    let mut known: Vec<ChainRules> = vec![world.chains[ROOT].state.rules().clone()];
    govern(&mut world, true, vec![replace(0, first_key(), 1)]);
    let scheduled = world.chains[ROOT].height();
    let last = Height(scheduled.0 + SET_CHANGE_MARGIN);
    run_to(&mut world, ROOT, Height(last.0 + 2));
    let network = &world.chains[ROOT];
    known.push(network.state.rules().clone());
    let by_claim = |block: &Block| {
        let knows = block.header.claim.height >= scheduled;
        check_header(&known[usize::from(knows)], &block.header)
    };
    let at = |height: Height, claim: Height, change: &dyn Fn(&mut Block)| {
        let mut block = network.heights[height.0 as usize - 1].0.clone();
        block.header.claim.height = claim;
        change(&mut block);
        by_claim(&block).err()
    };
    let with_batch = |block: &mut Block| {
        block.body = BlockBody { batches: vec![BatchDigest([1; 32])], bundles: Vec::new() };
        block.header.body = block.body.hash();
    };
    let with_weight = |block: &mut Block| block.header.weight = 1;
    let as_is = |_: &mut Block| {};
    let of_epoch = |epoch| move |block: &mut Block| block.header.epoch = Epoch(epoch);
    let below = |height: Height, by: u64| Height(height.0 - by);
    let above = last.next();
    let closed = |height| Some(BlockFault::CloseNotEmpty { height, last });
    let not_open = |epoch, height| Some(BlockFault::EpochNotOpen { epoch: Epoch(epoch), height });
    // The last block claims the one below it, and nothing else.
    assert_eq!(at(last, below(last, 1), &as_is), None);
    for by in [2, CLAIM_LAG_MAX, SET_CHANGE_MARGIN] {
        let claimed = below(last, by);
        assert_eq!(at(last, claimed, &as_is), Some(BlockFault::CloseClaim { height: last, claimed }));
    }
    // No block is further above its claim than the margin, so none above the last height can be ignorant of it.
    let before = below(last, 1);
    let far = below(before, SET_CHANGE_MARGIN + 1);
    assert_eq!(at(before, below(before, SET_CHANGE_MARGIN), &as_is), None);
    let fault = BlockFault::TooFarAboveClaim { height: before, claimed: far };
    assert_eq!(at(before, far, &as_is), Some(fault));
    // Above it only the next epoch decides, below only this one.
    assert_eq!(at(above, last, &as_is), None);
    assert_eq!(at(above, last, &of_epoch(0)), not_open(0, above));
    assert_eq!(at(above, below(above, SET_CHANGE_MARGIN), &of_epoch(0)), not_open(0, above));
    assert_eq!(at(last, before, &of_epoch(1)), not_open(1, last));
    assert_eq!(at(above, last, &of_epoch(2)), not_open(2, above));
    // The last blocks order nothing.
    let window = below(last, CLAIM_LAG_MAX - 1);
    for height in [window, before, last] {
        assert_eq!(at(height, below(height, 1), &with_batch), closed(height));
        assert_eq!(at(height, below(height, 1), &with_weight), closed(height));
        assert_eq!(at(height, below(height, 1), &as_is), None);
        assert!(is_closing(&known[1], height));
    }
    assert_eq!(at(below(window, 1), below(window, 2), &with_batch), None);
    assert_eq!(at(above, last, &with_batch), None);
    assert!(!is_closing(&known[1], below(window, 1)) && !is_closing(&known[1], above));
    // Whatever may order something is at most 32 above its claim, and so has claimed a height that knows of the end.
    assert!(window.0 - CLAIM_LAG_MAX >= scheduled.0);
    // A seat that the next set does not have.
    let fifth = |block: &mut Block| block.header.proposer = ValidatorIndex(4);
    let unknown = BlockFault::ProposerUnknown { epoch: Epoch(1), proposer: ValidatorIndex(4) };
    assert_eq!(at(above, last, &fifth), Some(unknown));
}

#[test]
fn a_batch_is_of_its_epoch() {
    let mut world = World::town();
    let transaction = |network: &Network| {
        network.transaction(&network.operator(1), 100, Operation::Redeem { amount: Amount::from_fen(1) })
    };
    let network = &mut world.chains[ROOT];
    let old = transaction(network);
    let (_, old) = network.seal(vec![old]);
    govern(&mut world, true, vec![replace(0, first_key(), 1)]);
    finish_epoch(&mut world, ROOT);
    let network = &mut world.chains[ROOT];
    let new = transaction(network);
    let (_, mut new) = network.seal(vec![new]);
    let rules = network.state.rules().clone();
    // The sets of both epochs are known: each judges its own.
    assert_eq!((old.content.epoch, new.content.epoch), (Epoch(0), Epoch(1)));
    assert!(check_batch(&rules, &old).is_ok() && check_batch(&rules, &new).is_ok());
    new.content.epoch = Epoch(0);
    assert_eq!(check_batch(&rules, &new).unwrap_err().code(), 504);
    new.content.epoch = Epoch(2);
    assert_eq!(check_batch(&rules, &new).unwrap_err().code(), 503);
}

/// The root chain changes its set while a payment is under way to shard 1.
#[test]
fn keys_that_were_rotated_out_cannot_bring_a_bundle() {
    let mut world = World::town();
    let (payer, payee) = between(&world, 0, 1);
    let bundle = |world: &World| {
        let first = world.next(0, 1);
        world.bundle(0, ChainId(1), first, 0, usize::MAX).unwrap()
    };
    govern(&mut world, true, vec![replace(0, first_key(), 1)]);
    let pays = |world: &mut World| {
        let payment = pay(&[(payee.wallet, 100)]);
        assert_eq!(world.act(0, &payer, payment), Became::Applied);
        world.run(0, Vec::new(), Vec::new());
    };
    pays(&mut world);
    let old = bundle(&world);
    assert!(old.sets.is_empty());
    finish_epoch(&mut world, ROOT);
    let rules = world.chains[1].state.rules().clone();
    // Until shard 1 has heard of the change, the old certificate is as good as it was.
    assert!(check_bundle(&rules, &old).is_ok());
    let new = bundle(&world);
    assert_eq!((new.sets.len(), new.certified.header.epoch), (1, Epoch(1)));
    let facts = check_bundle(&rules, &new).unwrap();
    assert!(facts.stands(&rules));
    // Without the link the new set is nobody; with it the old set's certificate is stale.
    let bare = Bundle { sets: Vec::new(), ..new.clone() };
    assert_eq!(check_bundle(&rules, &bare).unwrap_err().code(), 705);
    let mixed = Bundle { sets: new.sets.clone(), ..old.clone() };
    let stale = BundleFault::StaleEpoch { epoch: Epoch(0), newest: Epoch(1) };
    assert_eq!(check_bundle(&rules, &mixed), Err(stale));
    let mut forged = new.clone();
    forged.sets[0].set.validators[0].consensus_key = later_key(9).public_key();
    assert_eq!(check_bundle(&rules, &forged).unwrap_err().code(), 708);
    // Shard 1 learns it, by a bundle that says nothing else.
    let none = Bundle::prove(
        ChainId(1),
        ledger::records::Pending { before: &Default::default(), total_before: 0, receipts: &[] },
        &[],
        new.certified.clone(),
        new.sets.clone(),
    );
    let execution = world.run(1, Vec::new(), vec![none.unwrap()]);
    assert!(execution.received.is_empty() && execution.passed_over.is_empty());
    let registry = world.chains[1].state.rules().registry.clone();
    let known = registry.newest_epoch(ChainId(0)).unwrap();
    assert_eq!((known.epoch, known.keys()), (Epoch(1), world.chains[0].epochs[1].keys()));
    // From now on the old certificate is invalid, and so is the bundle that repeats the link.
    let rules = world.chains[1].state.rules().clone();
    assert_eq!(check_bundle(&rules, &old), Err(stale));
    assert_eq!(check_bundle(&rules, &old).unwrap_err().code(), 709);
    assert_eq!(check_bundle(&rules, &new).unwrap_err().code(), 708);
    assert!(!facts.stands(&rules));
    // A block that claims a height from before may still order both; execution knows better.
    let execution = world.chains[1].run_with(Vec::new(), vec![old, new]);
    let passed = PassedOver::StaleEpoch { epoch: Epoch(0), newest: Epoch(1) };
    assert_eq!(execution.passed_over, [(0, passed)]);
    assert_eq!(execution.received.iter().filter(|one| one.code == 0).count(), execution.received.len());
    assert_eq!(world.chains[1].balance(&payee.wallet), 100_100);
    // What follows comes without links.
    pays(&mut world);
    let next = bundle(&world);
    assert!(next.sets.is_empty() && next.certified.header.epoch == Epoch(1));
}

/// A customer of one shard, and one of another.
fn between(world: &World, from: usize, to: usize) -> (crate::network::Signer, crate::network::Signer) {
    let at =
        |shard: usize| (0..CUSTOMERS).map(|n| world.customer(n)).find(|(home, _)| *home == shard).unwrap().1;
    (at(from), at(to))
}

#[test]
fn a_change_waits_for_a_day_and_an_urgent_one_for_nothing() {
    let mut world = World::town();
    let epochs = |world: &World| world.chains[ROOT].epochs.len();
    assert_eq!(govern(&mut world, false, vec![replace(0, first_key(), 1)]), Became::Applied);
    let soon = Height(world.chains[ROOT].height().0 + 5);
    run_to(&mut world, ROOT, soon);
    assert_eq!(epochs(&world), 1, "the day of epoch 0 has not passed");
    // Changes of one day are merged.
    let second = consensus_keys()[1].public_key();
    assert_eq!(govern(&mut world, false, vec![replace(0, second, 2)]), Became::Applied);
    let started = world.chains[ROOT].heights[0].0.header.timestamp.0;
    world.chains[ROOT].parent.timestamp.0 = started + EPOCH_MS_MIN - 100;
    world.run(ROOT, Vec::new(), Vec::new());
    assert_eq!(epochs(&world), 1, "50 ms to go");
    world.run(ROOT, Vec::new(), Vec::new());
    assert_eq!(epochs(&world), 2);
    let keys = world.chains[ROOT].epochs[1].keys();
    assert!(!keys.contains(&first_key()) && !keys.contains(&second));
    // While one is scheduled, an urgent one waits until it has begun; then it waits for nothing.
    let third = consensus_keys()[2].public_key();
    assert_eq!(govern(&mut world, true, vec![replace(0, third, 3)]), Became::Applied);
    assert_eq!(epochs(&world), 2);
    let first = world.chains[ROOT].epochs[1].first_height;
    run_to(&mut world, ROOT, Height(first.0 - 1));
    assert_eq!(epochs(&world), 2);
    run_to(&mut world, ROOT, first);
    assert_eq!(epochs(&world), 3);
    let last = world.chains[ROOT].epochs[1].last_height;
    assert_eq!(last, Some(Height(first.0 + SET_CHANGE_MARGIN)));
    finish_epoch(&mut world, ROOT);
    assert_eq!(world.chains[ROOT].state.head().epoch_started, world.chains[ROOT].parent.timestamp);
    // What is not urgent waits for the day of the new epoch.
    let fourth = consensus_keys()[3].public_key();
    assert_eq!(govern(&mut world, false, vec![replace(0, fourth, 4)]), Became::Applied);
    let soon = Height(world.chains[ROOT].height().0 + 3);
    run_to(&mut world, ROOT, soon);
    assert_eq!(epochs(&world), 3);
    assert_eq!(world.chains[ROOT].set_links().len(), 2);
    let record = world.chains[ROOT].state.rules().registry.chain(ChainId(0)).unwrap().clone();
    let kept: Vec<Epoch> = record.epochs.iter().map(|epoch| epoch.epoch).collect();
    assert_eq!((kept, record.is_urgent), (vec![Epoch(0), Epoch(1), Epoch(2)], false));
    replay_all(&world);
}

#[test]
fn a_fifth_bank_joins_every_chain_and_another_leaves() {
    let mut world = World::town();
    let chains = SHARDS as usize + 1;
    let mut join = vec![Change::AddOperator(fifth_bank()), Change::AddNode(fifth_node())];
    join.extend((0..chains as u32).map(|chain| fifth_validator(ChainId(chain))));
    assert_eq!(govern(&mut world, true, join), Became::Applied);
    let to_all = |world: &mut World| {
        for chain in 1..chains {
            let told = tell(world, ROOT, chain).unwrap();
            assert!(told.received.iter().all(|received| received.code == 0));
        }
        for chain in 0..chains {
            finish_epoch(world, chain);
        }
        for source in 0..chains {
            for destination in (0..chains).filter(|destination| *destination != source) {
                tell(world, source, destination);
            }
        }
    };
    to_all(&mut world);
    let root = world.chains[ROOT].state.rules().registry.clone();
    for network in &world.chains {
        let registry = &network.state.rules().registry;
        assert_eq!((&registry.operators, &registry.nodes), (&root.operators, &root.nodes));
        assert_eq!((registry.version, registry.validators(network.chain, Epoch(1)).len()), (1, 5));
        let fifth = network.operator(5);
        assert_eq!(network.wallet(&fifth.wallet).unwrap().tier, Tier::Operator);
        for (record, other) in registry.chains.iter().zip(&world.chains) {
            assert_eq!(record.wanted.len(), 5);
            assert_eq!(record.epochs.last().unwrap().keys(), other.epochs[1].keys(), "all know of all");
        }
    }
    let council = root.council(world.chains[ROOT].height());
    assert_eq!(council, [1, 2, 3, 4, 5].map(OperatorId));
    // Money of the fifth bank moves between chains like any other: its wallet is at home on every one.
    let (_, payee) = between(&world, 0, 1);
    let fifth = world.chains[0].operator(5);
    let central = world.chains[0].operator(0);
    let issue = Operation::Issue { to: fifth.wallet, amount: Amount::from_fen(700) };
    assert_eq!(world.act(0, &central, issue), Became::Applied);
    assert_eq!(world.act(0, &fifth, pay(&[(payee.wallet, 700)])), Became::Applied);
    assert!(tell(&mut world, 0, 1).is_some());
    assert_eq!(world.chains[1].balance(&payee.wallet), 100_700);
    // Three of five are no quorum any more.
    let network = &world.chains[ROOT];
    let leave = || vec![Change::RetireOperator { operator: OperatorId(2) }];
    let few = approved(network.genesis, proposal(network, leave()), &[1, 3, 4]);
    let bank = network.operator(1);
    assert_eq!(world.act(ROOT, &bank, few), Became::Rejected(Rejection::ApprovalsBelowQuorum));
    assert_eq!(govern(&mut world, true, leave()), Became::Applied);
    // It has no vote from now on, although its validator serves to the end of the epoch.
    let registry = world.chains[ROOT].state.rules().registry.clone();
    assert_eq!(registry.council(world.chains[ROOT].height()), [1, 3, 4, 5].map(OperatorId));
    let node = NodeIndex(1);
    assert!(
        !registry.is_node_active(node) && registry.is_peer(node),
        "others stay connected to it till then"
    );
    assert!(!registry.is_peer(NodeIndex(9)));
    to_all(&mut world);
    let mut later = ledger::records::Registry::clone(&world.chains[ROOT].state.rules().registry);
    assert!(later.is_peer(node), "its last epoch is among the two newest");
    later.chains.iter_mut().for_each(|record| drop(record.epochs.drain(..record.epochs.len() - 1)));
    assert!(!later.is_peer(node));
    for network in &world.chains {
        let operators: Vec<u16> =
            network.epochs[2].validators.iter().map(|validator| validator.operator.0).collect();
        assert!(operators.len() == 4 && !operators.contains(&2), "{operators:?}");
        let sets = SetChain { origin: None, links: network.set_links() };
        let by = network.height().0;
        assert_eq!(network.certified(by - 1, by).verify(&network.spec, &sets), Ok(()));
    }
    replay_all(&world);
}

#[test]
fn parameters_reach_every_chain_at_their_next_height() {
    let mut world = World::town();
    let chain = FOREIGN.0 as usize;
    let mut params = ChainParams::default();
    params.block_weight_max /= 2;
    let change = Change::SetParams { chain: FOREIGN, params: params.clone() };
    assert_eq!(govern(&mut world, false, vec![change.clone()]), Became::Applied);
    let decided = world.chains[ROOT].height();
    let old = world.chains[chain].state.rules().clone();
    assert_eq!(old.params, ChainParams::default());
    let told = tell(&mut world, ROOT, chain).unwrap();
    let Receipt::Change { version, height, is_urgent, change: said } = &told.received[0].receipt else {
        panic!()
    };
    assert_eq!((*version, *is_urgent, said), (1, false, &change));
    assert_eq!(*height, decided, "the root chain's height");
    let new = world.chains[chain].state.rules().clone();
    assert_eq!(new.params, params);
    let mut header = world.chains[chain].block(&[]).header;
    header.weight = params.block_weight_max + 1;
    assert_eq!(check_header(&old, &header), Ok(()), "a block that claims a height from before");
    assert!(matches!(check_header(&new, &header), Err(BlockFault::TooHeavy { .. })));
    assert_eq!(world.chains[ROOT].state.rules().registry.chain(FOREIGN).unwrap().params, params);
    assert_eq!(world.chains[ROOT].state.rules().params, ChainParams::default());
}

/// A quorum of another chain that has gone bad cannot govern.
#[test]
fn a_change_comes_from_the_root_chain_only() {
    let mut world = World::town();
    govern(&mut world, true, vec![Change::RetireOperator { operator: OperatorId(0) }]);
    let (payer, payee) = between(&world, 1, 2);
    world.act(1, &payer, pay(&[(payee.wallet, 100)]));
    world.run(1, Vec::new(), Vec::new());
    let mut bundle = world.bundle(1, ChainId(2), 0, 0, 1).unwrap();
    let change = Change::MoveNode { node: ledger::values::NodeIndex(0), address: "evil:1".into() };
    bundle.receipts = vec![Receipt::Change { version: 1, height: Height(1), is_urgent: false, change }];
    let before = world.chains[2].state.rules().clone();
    let execution = world.chains[2].run_with(Vec::new(), vec![bundle]);
    assert_eq!(execution.received[0].code, Rejection::GovernElsewhere.code());
    assert_eq!((execution.registry, world.chains[2].state.rules()), (None, &before));
}

#[test]
fn sets_are_consecutive() {
    let mut world = World::town();
    govern(&mut world, true, vec![replace(0, first_key(), 1)]);
    finish_epoch(&mut world, ROOT);
    let network = &world.chains[ROOT];
    let registry = network.state.rules().registry.clone();
    let sets = Sets::of(&registry, ChainId(0)).unwrap();
    assert_eq!(sets.chain(), ChainId(0));
    let known: Vec<Option<&EpochRecord>> = (0..3).map(|epoch| sets.epoch(Epoch(epoch))).collect();
    assert_eq!(known, [Some(&network.epochs[0]), Some(&network.epochs[1]), None]);
    assert_eq!(Sets::genesis(&network.spec, ChainId(0)).unwrap().newest().epoch, Epoch(0));
}

/// When the next set may come depends on when the running epoch began: a head that says another time is not this state's.
#[test]
fn the_state_root_commits_to_the_beginning_of_the_epoch() {
    let mut network = Network::new();
    network.run(Vec::new());
    let load = |head: ledger::state::StateHead| {
        let registry = network.state.rules().registry.clone();
        let records: Vec<_> = network.records.iter().map(|(slot, record)| (slot, record.clone())).collect();
        ledger::state::ChainState::load(&network.spec, registry, head, records, &Sequential)
    };
    let good = network.state.head().clone();
    assert_eq!(good.epoch_started, network.parent.timestamp);
    assert!(load(good.clone()).is_ok());
    let epoch_started = TimestampMs(good.epoch_started.0 - 1);
    assert!(load(ledger::state::StateHead { epoch_started, ..good }).is_err());
}

/// An urgent change that is taken back before its epoch could be scheduled leaves no urgency to the next change.
#[test]
fn urgency_goes_with_its_change() {
    let mut world = World::town();
    let is_urgent =
        |world: &World| world.chains[ROOT].state.rules().registry.chain(ChainId(0)).unwrap().is_urgent;
    let count = |world: &World| world.chains[ROOT].epochs.len();
    assert_eq!(govern(&mut world, true, vec![replace(0, first_key(), 1)]), Became::Applied);
    assert_eq!((count(&world), is_urgent(&world)), (2, false));
    // One is scheduled, so this one waits, and is taken back.
    let second = consensus_keys()[1].public_key();
    let changed = later_key(2).public_key();
    assert_eq!(govern(&mut world, true, vec![replace(0, second, 2)]), Became::Applied);
    assert!(is_urgent(&world));
    let back = Change::ReplaceConsensusKey { chain: ChainId(0), old: changed, new: second };
    assert_eq!(govern(&mut world, true, vec![back]), Became::Applied);
    assert!(!is_urgent(&world));
    finish_epoch(&mut world, ROOT);
    assert_eq!(govern(&mut world, false, vec![replace(0, second, 2)]), Became::Applied);
    assert_eq!(count(&world), 2, "it waits for its day");
}
