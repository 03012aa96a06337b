//! Snapshots: a stranger with the genesis spec believes a manifest and its chunks, and nothing else than the true ones.

use ledger::proofs::snapshot_chunk::{CHUNK_LEVEL, CHUNK_SLOTS, chunks, slots};
use ledger::proofs::{
    ChunkFault, OrderedSecond, PartsOfHeight, ProofFault, SetChain, SetFault, Snapshot, SnapshotChunk,
    SnapshotFault, SnapshotManifest,
};
use ledger::records::{Record, Tier};
use ledger::state::head::ORDERED_BUCKET_MS;
use ledger::state::{ChainState, Crown, MemoryReader, StateReader as _};
use ledger::values::{Amount, Canonical as _, ChainId, Epoch, Hash, Height, Sequential, Slot};

use crate::chains::World;
use crate::epochs::{ROOT, finish_epoch, govern, replace};
use crate::network::{Became, CHAIN, Network, consensus_keys, pay};

/// What a node keeps of a height to serve it later.
pub(crate) struct Kept {
    pub(crate) manifest: SnapshotManifest,
    crown: Crown,
    records: MemoryReader,
}

impl Kept {
    pub(crate) fn chunk(&self, index: u64) -> SnapshotChunk {
        let head = &self.manifest.head;
        let slots: Vec<Slot> = slots(head.records, index).map(Slot).collect();
        let records = self.records.records(&slots).unwrap().into_iter().map(Option::unwrap).collect();
        SnapshotChunk::of(head.height, index, records, &self.crown).unwrap()
    }
}

/// Runs one block with a payment of the first customer, keeps that height, and runs on until a certificate covers it.
pub(crate) fn keep(network: &mut Network) -> Kept {
    let below = PartsOfHeight {
        result: network.heights.last().unwrap().2.result.clone(),
        parts: network.state.parts(),
    };
    let payer = network.customer(0);
    let content = pay(&[(network.customer(1).wallet, 7)]);
    network.run(vec![network.transaction(&payer, network.next_sequence(&payer.wallet), content)]);
    let (state, records) = (network.state.clone(), network.records.clone());
    let (block, _, _) = network.heights.last().unwrap();
    let block = block.clone();
    network.run(Vec::new());
    let head = state.head();
    let mut ordered: Vec<OrderedSecond> = Vec::new();
    for bucket in &head.ordered {
        let of_second = network.heights[..head.height.0 as usize].iter().flat_map(|(block, batches, _)| {
            let expire = batches.iter().map(|batch| batch.content.expires.0 / ORDERED_BUCKET_MS);
            block.body.batches.iter().copied().zip(expire)
        });
        let digests = of_second.filter(|(_, second)| *second == bucket.second);
        let digests = digests.map(|(digest, _)| digest).collect();
        ordered.push(OrderedSecond { second: bucket.second, digests });
    }
    let manifest = SnapshotManifest {
        sets: SetChain { origin: None, links: network.set_links() },
        certified: network.certified(head.height.0, head.height.0 + 1),
        parts: state.parts(),
        head: head.clone(),
        registry: (*state.rules().registry).clone(),
        block,
        below: vec![below],
        ordered,
    };
    Kept { manifest, crown: state.crown(CHUNK_LEVEL), records }
}

/// A network of some customers, the first of whom has money.
pub(crate) fn town(customers: u64) -> Network {
    let mut network = Network::new();
    network.open(0..customers, Tier::One);
    network.fund(&network.customer(0).wallet, 10_000);
    network
}

fn verified(network: &Network, kept: &Kept) -> Snapshot {
    kept.manifest.clone().verify(&network.spec, CHAIN).unwrap()
}

#[test]
fn chunks_in_any_order_make_the_certified_state() {
    let mut network = town(2 * CHUNK_SLOTS as u64 + 100);
    let kept = keep(&mut network);
    let manifest = SnapshotManifest::decode(&kept.manifest.encode()).unwrap();
    assert!(!manifest.ordered.is_empty(), "batches may not be ordered again");
    let snapshot = manifest.verify(&network.spec, CHAIN).unwrap();
    assert_eq!((snapshot.chunks(), snapshot.height()), (3, kept.manifest.head.height));
    let mut found: Vec<(Slot, Record)> = Vec::new();
    for index in [1, 2, 0] {
        let chunk = SnapshotChunk::decode(&kept.chunk(index).encode()).unwrap();
        assert_eq!(snapshot.check_chunk(&chunk), Ok(()));
        found.extend(chunk.slotted().map(|(slot, record)| (slot, record.clone())));
    }
    found.sort_by_key(|(slot, _)| *slot);
    let SnapshotManifest { registry, head, parts, .. } = snapshot.manifest().clone();
    let state = ChainState::load(&network.spec, registry.into(), head, found, &Sequential).unwrap();
    assert_eq!(state.parts(), parts);
}

/// The tree of a chain with fewer records than a chunk has slots is lower than a chunk.
#[test]
fn a_small_chain_is_one_chunk() {
    let mut network = town(2);
    let kept = keep(&mut network);
    let snapshot = verified(&network, &kept);
    assert_eq!((snapshot.chunks(), kept.chunk(0).path.len()), (1, 0));
    assert_eq!(snapshot.check_chunk(&kept.chunk(0)), Ok(()));
    assert_eq!((chunks(0), chunks(1), chunks(1_024), chunks(1_025)), (0, 1, 1, 2));
    assert_eq!((slots(1_030, 0), slots(1_030, 1), slots(1_030, 2)), (0..1_024, 1_024..1_030, 1_030..1_030));
}

#[test]
fn a_snapshot_of_a_later_epoch_is_proved_from_genesis() {
    let mut world = World::town();
    let first = consensus_keys()[0].public_key();
    assert_eq!(govern(&mut world, true, vec![replace(0, first, 1)]), Became::Applied);
    finish_epoch(&mut world, ROOT);
    let network = &mut world.chains[ROOT];
    let kept = keep(network);
    let snapshot = verified(network, &kept);
    assert_eq!(snapshot.manifest().registry.newest_epoch(CHAIN).map(|newest| newest.epoch), Some(Epoch(1)));
    let mut unlinked = kept.manifest;
    unlinked.sets.links.clear();
    let fault = SetFault::Length { links: 0, epoch: Epoch(1) };
    let found = unlinked.verify(&network.spec, CHAIN);
    assert_eq!(found, Err(SnapshotFault::Certified(ProofFault::Sets(fault))));
}

#[test]
fn a_forged_manifest_is_refused_for_what_is_wrong_with_it() {
    let mut network = town(5);
    let kept = keep(&mut network);
    let height = kept.manifest.head.height;
    let head = SnapshotFault::Head { height };
    let state = SnapshotFault::State { height };
    let below = |height| SnapshotFault::Below { height: Height(height) };
    let rows: Vec<(&str, fn(&mut SnapshotManifest), SnapshotFault)> = vec![
        ("another supply", |forged| forged.head.supply.issued = Amount::from_fen(1), head),
        ("another timestamp", |forged| forged.head.timestamp.0 += 1, head),
        ("another height", |forged| forged.head.height.0 += 1, head),
        ("more records", |forged| forged.head.records += 1, state),
        (
            "another base fee",
            |forged| forged.head.base_fee = ledger::values::FeeRate::from_micro_fen(1),
            state,
        ),
        ("an earlier epoch start", |forged| forged.head.epoch_started.0 -= 1, state),
        ("no window", |forged| forged.head.ordered.clear(), state),
        ("another root of ids", |forged| forged.parts.ids = Hash([1; 32]), state),
        ("another registry", |forged| forged.registry.version += 1, state),
        ("another body", |forged| forged.block.body.batches.clear(), SnapshotFault::Block { height }),
        ("nothing below", |forged| forged.below.clear(), below(height.0 - 1)),
        (
            "another registry below",
            |forged| forged.below[0].parts.registry = Default::default(),
            below(height.0 - 1),
        ),
        ("the same twice", |forged| forged.below.push(forged.below[0].clone()), below(height.0)),
        ("no digests", |forged| forged.ordered.clear(), SnapshotFault::Ordered),
        ("digests swapped", |forged| forged.ordered[0].digests.reverse(), SnapshotFault::Ordered),
        ("a digest less", |forged| forged.ordered[0].digests.truncate(1), SnapshotFault::Ordered),
    ];
    for (name, forge, expected) in rows {
        let mut forged = kept.manifest.clone();
        forge(&mut forged);
        assert_eq!(forged.verify(&network.spec, CHAIN).map(|_| ()), Err(expected), "{name}");
    }
    let other = kept.manifest.clone().verify(&network.spec, ChainId(9)).map(|_| ());
    assert_eq!(other, Err(SnapshotFault::OtherChain { found: CHAIN, expected: ChainId(9) }));
    let mut uncertified = kept.manifest;
    *uncertified.certified.finality.bytes.last_mut().unwrap() ^= 1;
    let fault = uncertified.verify(&network.spec, CHAIN).unwrap_err();
    assert!(matches!(fault, SnapshotFault::Certified(ProofFault::Finality(_))), "{fault}");
}

#[test]
fn any_changed_byte_is_refused() {
    let mut network = town(5);
    let kept = keep(&mut network);
    let snapshot = verified(&network, &kept);
    let bytes = kept.manifest.encode();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        let is_believed = SnapshotManifest::decode(&changed)
            .is_ok_and(|manifest| manifest.verify(&network.spec, CHAIN).is_ok());
        assert!(!is_believed, "byte {place} of the manifest");
    }
    let bytes = kept.chunk(0).encode();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        let is_believed =
            SnapshotChunk::decode(&changed).is_ok_and(|chunk| snapshot.check_chunk(&chunk).is_ok());
        assert!(!is_believed, "byte {place} of the chunk");
    }
}

#[test]
fn a_forged_chunk_is_refused_and_the_others_stand() {
    let mut network = town(CHUNK_SLOTS as u64 + 50);
    let kept = keep(&mut network);
    let snapshot = verified(&network, &kept);
    let (good, other) = (kept.chunk(0), kept.chunk(1));
    let forged = |change: &dyn Fn(&mut SnapshotChunk)| {
        let mut chunk = good.clone();
        change(&mut chunk);
        snapshot.check_chunk(&chunk)
    };
    let records = Err(ChunkFault::Records { index: 0 });
    assert_eq!(forged(&|chunk| chunk.records[7] = chunk.records[8].clone()), records);
    assert_eq!(forged(&|chunk| chunk.records.swap(7, 8)), records);
    assert_eq!(forged(&|chunk| drop(chunk.records.pop())), records);
    assert_eq!(forged(&|chunk| chunk.path[0].sum += 1), records);
    assert_eq!(forged(&|chunk| chunk.path.clear()), records);
    assert_eq!(forged(&|chunk| chunk.index = 1), Err(ChunkFault::Records { index: 1 }));
    assert_eq!(forged(&|chunk| chunk.index = 2), Err(ChunkFault::Index { index: 2, chunks: 2 }));
    let expected = snapshot.height();
    assert_eq!(
        forged(&|chunk| chunk.height = Height(1)),
        Err(ChunkFault::Height { found: Height(1), expected })
    );
    assert_eq!((snapshot.check_chunk(&good), snapshot.check_chunk(&other)), (Ok(()), Ok(())));
    // What was true at another height is not true here.
    let later = keep(&mut network);
    let mut stale = later.chunk(0);
    stale.height = expected;
    assert_eq!(snapshot.check_chunk(&stale), records);
}
