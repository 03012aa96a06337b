//! The end of a join by snapshot, and its middle after a crash: what the store says when it is opened.
//!
//! ```text
//! row `joining` {manifest} ── chunks written, each in one piece ── all there: records = state root? ─┬─ yes: head and what goes with it
//!                                    └─ some missing: genesis in memory, the rest is fetched         └─ no: genesis again, from nothing
//! ```
//!
//! - The first write of a join puts the row down and deletes all records with their names; so a record at a chunk's first slot says that the chunk is there.
//! - While the row is there the store holds no state: the chain executes nothing, and its state is that of height 0 in memory.
//! - What is below the height is not there, and never will be: blocks, batches, outcomes, history, receipts sent. [`JoinedRow`] says so.

use std::collections::BTreeSet;

use ledger::proofs::snapshot_chunk::{CHUNK_SLOTS, chunks};
use ledger::proofs::{SetChain, SnapshotManifest};
use ledger::records::GenesisSpec;
use ledger::state::ChainState;
use ledger::values::{Canonical as _, ChainId, Strategy};
use storage::{Durability, Reader, Store, Table, WriteSet, key};

use crate::archive::Archive;
use crate::executor::{ExecutorFault, load_with, write_first};
use crate::rows::{self, JoinedRow, Outboxes, RowFault};

/// The manifest of a begun join, and the chunks that are not on disk.
pub(crate) fn joining<R: Reader + ?Sized>(
    store: &R,
) -> Result<Option<(SnapshotManifest, BTreeSet<u64>)>, RowFault> {
    let Some(bytes) = store.get(Table::Meta, rows::JOINING)? else { return Ok(None) };
    let manifest: SnapshotManifest = rows::decode(Table::Meta, &bytes)?;
    let indexes: Vec<u64> = (0..chunks(manifest.head.records)).collect();
    let firsts: Vec<[u8; 8]> =
        indexes.iter().map(|index| key::slot(index.saturating_mul(CHUNK_SLOTS as u64))).collect();
    let firsts: Vec<&[u8]> = firsts.iter().map(<[u8; 8]>::as_slice).collect();
    let found = store.multi_get(Table::Records, &firsts)?;
    let missing = indexes.into_iter().zip(found).filter(|(_, row)| row.is_none());
    Ok(Some((manifest, missing.map(|(index, _)| index).collect())))
}

/// The first write of a join: from here on the store holds no state.
pub(crate) fn begin(manifest: &SnapshotManifest) -> WriteSet {
    let mut set = without_records();
    set.put(Table::Meta, rows::JOINING, manifest.encode());
    set
}

fn without_records() -> WriteSet {
    let mut set = WriteSet::new();
    set.delete_range(Table::Records, key::slot(0), key::slot(u64::MAX));
    set.delete_range(Table::Slots, [0_u8; 32], [u8::MAX; 32]);
    set
}

/// The state of a store in which a join was begun: that of the snapshot where everything is there, which is compared with the certified
/// root before the head is written; else that of height 0.
pub(crate) fn resume<S: Strategy>(
    spec: &GenesisSpec,
    chain: ChainId,
    store: &dyn Store,
    strategy: &S,
) -> Result<ChainState, ExecutorFault> {
    let (manifest, missing) = joining(store)?.ok_or(RowFault::Missing { table: Table::Meta })?;
    // The own disk is believed no more than a peer.
    let Ok(snapshot) = manifest.verify(spec, chain) else { return begin_anew(spec, chain, store) };
    if !missing.is_empty() {
        return Ok(first(spec, chain, store)?.0);
    }
    let manifest = snapshot.manifest();
    match load_with(spec, store, manifest.head.clone(), manifest.registry.clone(), strategy) {
        Ok(state) => {
            store.write(end(manifest), Durability::Synced)?;
            Ok(state)
        }
        Err(ExecutorFault::Load(_)) => begin_anew(spec, chain, store),
        Err(fault) => Err(fault),
    }
}

type First = (ChainState, ledger::state::StateWrites, ledger::records::HeightResult);

/// Height 0, as [`crate::Executor::open_with`] has written it before the join.
fn first(spec: &GenesisSpec, chain: ChainId, store: &dyn Store) -> Result<First, ExecutorFault> {
    if spec.chain(chain).is_some() {
        return Ok(ChainState::genesis(spec, chain)?);
    }
    let origin = Archive::new(store).own_origin()?.ok_or(ExecutorFault::NoOrigin { chain })?;
    let registry = origin.verify(spec, chain)?;
    Ok(ChainState::begin(spec.hash(), registry, chain, spec.timestamp)?)
}

/// What was fetched is not the certified state: the disk has changed it. Genesis again.
fn begin_anew(spec: &GenesisSpec, chain: ChainId, store: &dyn Store) -> Result<ChainState, ExecutorFault> {
    let mut set = without_records();
    set.delete(Table::Meta, rows::JOINING);
    write_first(store, set, first(spec, chain, store)?, None)
}

/// Everything of the height that is not a record; what was said of height 0 goes.
fn end(manifest: &SnapshotManifest) -> WriteSet {
    let SnapshotManifest { sets, certified, head, registry, block, below, ordered, .. } = manifest;
    let (mut set, height) = (WriteSet::new(), head.height);
    // The block of height 0 stays: the first epoch's engine stands on it.
    set.delete_range(Table::Heights, key::height(1), key::height(height.0));
    for table in [Table::Results, Table::Registries] {
        set.delete_range(table, key::height(0), key::height(height.0));
    }
    set.put(Table::Meta, rows::HEAD, head.encode());
    set.put(Table::Heights, key::height(height.0), head.block.0);
    set.put(Table::Blocks, head.block.0, block.encode());
    for below in below {
        set.put(Table::Results, key::height(below.result.height.0), below.result.encode());
    }
    set.put(Table::Results, key::height(height.0), certified.result.encode());
    let claimed = below.first().map_or(height, |below| below.result.height);
    set.put(Table::Registries, key::height(claimed.0), registry.encode());
    if !head.outboxes.is_empty() {
        let outboxes = Outboxes { outboxes: head.outboxes.clone() };
        set.put(Table::Outboxes, key::height(height.0), outboxes.encode());
    }
    for link in &sets.links {
        let only = SetChain { origin: None, links: vec![link.clone()] };
        set.put(Table::Meta, rows::set_link(link.set.epoch), only.encode());
        // The last block of each epoch: the next one's engine begins above it.
        let last = &link.certified.header;
        set.put(Table::Heights, key::height(last.height.0), link.certified.finality.digest.0);
    }
    let joined = JoinedRow { height, ordered: ordered.clone() };
    set.put(Table::Meta, rows::JOINED, joined.encode());
    set.delete(Table::Meta, rows::JOINING);
    set
}
