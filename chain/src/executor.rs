//! Executes final blocks into the store: one atomic, synced batch per block.
//!
//! Runs beside the chain's state machine (its own thread in production, inline in the bottle). On an error nothing was
//! written and the node must stop: a block that a quorum ordered cannot be skipped.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use ledger::proofs::{ChainOrigin, OriginFault};
use ledger::records::{Claim, Counter, GenesisSpec, HeightResult, Receipt, Record, Registry};
use ledger::rules::ExecutionFault;
use ledger::state::{
    ChainState, Execution, GenesisFault, LoadFault, PassedOver, ReadFault, StateHead, StateReader,
    StateWrites,
};
use ledger::values::{Canonical, ChainId, Height, RecordId, Slot, Strategy};
use storage::{Durability, Page, Reader, StorageError, Store, Table, WriteSet, key};

use crate::archive::Archive;
use crate::joined;
use crate::legs::is_of_own_credit;
use crate::origins::keep_parts;
use crate::record_cache::RecordCache;
use crate::rows::{self, Outboxes, Outcomes, RowFault, SentRow};
use crate::snapshots::{Keeper, Snapshots};
use crate::step::{Executed, FinalBlock, Moved};

/// Why a final block could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorFault {
    /// The ledger found a broken invariant or a block that does not fit its state.
    #[error(transparent)]
    Execution(#[from] ExecutionFault),
    /// The store failed.
    #[error(transparent)]
    Rows(#[from] RowFault),
    /// The state of height 0 cannot be made.
    #[error(transparent)]
    Genesis(#[from] GenesisFault),
    /// Genesis does not name the chain, its store is empty, and nothing says what it begins with.
    #[error(
        "genesis has no chain {chain}, and its store is empty: it begins with an origin, and none was given"
    )]
    NoOrigin {
        /// The chain.
        chain: ChainId,
    },
    /// What the chain is to begin with is not proved.
    #[error("the origin of the chain is not proved: {0}")]
    Origin(#[from] OriginFault),
    /// The stored state does not add up.
    #[error(transparent)]
    Load(#[from] LoadFault),
}

impl ExecutorFault {
    /// Whether the store is to blame rather than the block.
    #[must_use]
    pub const fn is_storage(&self) -> bool {
        matches!(self, Self::Rows(_) | Self::Execution(ExecutionFault::Read(_)))
    }

    /// What the operator can do about it.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Rows(fault) => fault.mend(),
            Self::Genesis(_) => "use the genesis file that the network agreed on",
            Self::NoOrigin { .. } | Self::Origin(_) => {
                "fetch its origin from a node of chain 0, with `jiaozi gov origin`"
            }
            Self::Load(_) | Self::Execution(_) => {
                "keep the directory for the maintainers, and let the node rejoin with an empty one"
            }
        }
    }
}

impl From<StorageError> for ExecutorFault {
    fn from(fault: StorageError) -> Self {
        Self::Rows(RowFault::Storage(fault))
    }
}

/// The executor: the state in memory and the store under it.
pub struct Executor<S> {
    state: ChainState,
    store: Arc<dyn Store>,
    cache: Arc<RecordCache>,
    strategy: S,
    swept: Option<Swept>,
    keeper: Option<Keeper>,
}

/// Up to where leftovers are gone. A search from the start would walk over the remains of all that was ever deleted.
#[derive(Debug, Clone, Copy)]
struct Swept {
    proposals: Height,
    undo: Height,
}

impl<S: Strategy> Executor<S> {
    /// Loads the state of a chain, or writes its genesis into an empty store.
    ///
    /// # Errors
    /// [`ExecutorFault`]; the store is unchanged.
    pub fn open(
        spec: &GenesisSpec,
        chain: ChainId,
        store: Arc<dyn Store>,
        strategy: S,
    ) -> Result<Self, ExecutorFault> {
        Self::open_with(spec, chain, None, store, strategy)
    }

    /// The same of any chain: one that genesis does not name begins, in an empty store, with its origin, which is verified and kept there.
    /// Later starts need none.
    ///
    /// # Errors
    /// [`ExecutorFault`]; the store is unchanged.
    pub fn open_with(
        spec: &GenesisSpec,
        chain: ChainId,
        origin: Option<&ChainOrigin>,
        store: Arc<dyn Store>,
        strategy: S,
    ) -> Result<Self, ExecutorFault> {
        let state = match store.get(Table::Meta, rows::HEAD)? {
            Some(_) if Archive::new(store.as_ref()).is_joining()? => {
                joined::resume(spec, chain, store.as_ref(), &strategy)?
            }
            Some(head) => load(spec, &*store as &dyn Reader, rows::decode(Table::Meta, &head)?, &strategy)?,
            None if spec.chain(chain).is_some() => {
                write_first(store.as_ref(), WriteSet::new(), ChainState::genesis(spec, chain)?, None)?
            }
            None => {
                let origin = origin.ok_or(ExecutorFault::NoOrigin { chain })?;
                let registry = origin.verify(spec, chain)?;
                let first = ChainState::begin(spec.hash(), registry, chain, spec.timestamp)?;
                write_first(store.as_ref(), WriteSet::new(), first, Some(origin))?
            }
        };
        Ok(Self { state, store, cache: Arc::default(), strategy, swept: None, keeper: None })
    }

    /// Keeps snapshots for others from now on.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn keep_snapshots(&mut self, snapshots: Arc<Snapshots>) -> Result<(), RowFault> {
        let result = Archive::new(self.store.as_ref()).result(self.state.head().height)?;
        let result = result.ok_or(RowFault::Missing { table: Table::Results })?;
        self.keeper = Some(Keeper::new(snapshots, &self.state, result));
        Ok(())
    }

    /// The state after the last executed block.
    #[must_use]
    pub const fn state(&self) -> &ChainState {
        &self.state
    }

    /// The wallets that were written lately, for others who read this chain's store.
    #[must_use]
    pub fn cache(&self) -> Arc<RecordCache> {
        Arc::clone(&self.cache)
    }

    /// The store that it writes.
    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Executes and commits the next final block.
    ///
    /// # Errors
    /// [`ExecutorFault`]; nothing of the block was written, except where the store failed in the middle of a write, which
    /// it undoes or completes when it is opened again.
    pub fn execute(&mut self, next: &FinalBlock) -> Result<Executed, ExecutorFault> {
        let reader = RecordReader { store: self.store.as_ref(), cache: &self.cache };
        let execution =
            self.state.execute(&reader, &next.block, &next.batches, &next.bundles, &self.strategy)?;
        let (set, proposals) = self.writes(next, &execution)?;
        if let Err(fault) = self.store.write(set, Durability::Synced) {
            // The write's fault comes first: it is why the node stops.
            let _undone = self.state.undo(&execution.undo);
            return Err(fault.into());
        }
        self.cache.committed(&execution.writes.records);
        if let Some(keeper) = &mut self.keeper {
            keeper.executed(&self.state, &execution.result, &next.block, &self.store);
        }
        self.swept = Some(Swept { proposals, undo: next.block.header.claim.height });
        let skipped = execution.skipped.iter().map(|skipped| skipped.id);
        Ok(Executed {
            claim: Claim { height: execution.result.height, result: execution.result_hash },
            certified: next.block.header.claim,
            batches: next.block.body.batches.clone(),
            bundles: next.block.body.bundles.clone(),
            received: received(&execution.head),
            unbacked: unbacked(next, &execution),
            rules: execution.registry.is_some().then(|| Box::new(self.state.rules().clone())),
            transactions: execution.outcomes.iter().map(|outcome| outcome.id).chain(skipped).collect(),
            skipped: execution.skipped.iter().map(|skipped| (skipped.id, skipped.reason)).collect(),
            moved: moved(&execution),
        })
    }

    /// What a block writes, and up to where the proposals are then cleared.
    fn writes(&self, next: &FinalBlock, execution: &Execution) -> Result<(WriteSet, Height), ExecutorFault> {
        let height = execution.result.height;
        let row = key::height(height.0);
        let mut set = WriteSet::new();
        set.put(Table::Meta, rows::HEAD, execution.head.encode());
        set.put(Table::Blocks, next.digest.0, next.block.encode());
        set.put(Table::Heights, row, next.digest.0);
        set.put(Table::Results, row, execution.result.encode());
        set.put(Table::Outcomes, row, Outcomes { outcomes: execution.outcomes.clone() }.encode());
        set.put(Table::Undo, row, execution.undo.encode());
        if let Some(certificate) = &next.certificate {
            set.put(Table::Certificates, row, certificate);
        }
        if let Some(registry) = &execution.registry {
            set.put(Table::Registries, row, registry.encode());
            keep_parts(&mut set, (execution.head.chain, height), registry, || self.state.parts());
        }
        for outcome in &execution.outcomes {
            set.put(Table::Transactions, outcome.id.0, key::position(height.0, outcome.index));
        }
        self.put_contents(&mut set, next)?;
        self.put_receipts(&mut set, execution)?;
        put_state(&mut set, &execution.writes);
        for entry in &execution.history {
            let place = key::history(entry.slot.0, height.0, entry.index, entry.part);
            set.put(Table::History, place, entry.movement.encode());
        }
        let proposals = self.clear_proposals(&mut set, next, height)?;
        // Results up to the block's claim are certified, so their undo records have served.
        let certified = next.block.header.claim.height;
        match self.swept {
            None => set.delete_range(Table::Undo, key::height(0), key::height(certified.next().0)),
            Some(swept) => {
                for height in swept.undo.next().0..=certified.0 {
                    set.delete(Table::Undo, key::height(height));
                }
            }
        }
        Ok((set, proposals))
    }

    /// Bundles are on disk by themselves from here on. A batch that came late may still wait in the line to the disk; a height must never be
    /// on disk without it. Costs nothing for a block that this node voted for, one read for each batch of any other.
    fn put_contents(&self, set: &mut WriteSet, next: &FinalBlock) -> Result<(), ExecutorFault> {
        for (digest, bundle) in next.block.body.bundles.iter().zip(&next.bundles) {
            set.put(Table::Bundles, digest.0, bundle.encode());
        }
        if next.is_durable {
            return Ok(());
        }
        for (digest, batch) in next.block.body.batches.iter().zip(&next.batches) {
            if self.store.get(Table::Batches, &digest.0)?.is_none() {
                set.put(Table::Batches, digest.0, batch.encode());
            }
        }
        Ok(())
    }

    /// Receipts sent and refunds received, where the relay and clients find them.
    fn put_receipts(&self, set: &mut WriteSet, execution: &Execution) -> Result<(), ExecutorFault> {
        let height = execution.result.height;
        for sent in &execution.sent {
            let row = SentRow { height, receipt: sent.receipt.clone() };
            set.put(Table::Receipts, key::receipt(sent.destination.0, sent.sequence), row.encode());
        }
        if !execution.sent.is_empty() {
            let outboxes = Outboxes { outboxes: execution.head.outboxes.clone() };
            set.put(Table::Outboxes, key::height(height.0), outboxes.encode());
        }
        for received in &execution.received {
            if let Receipt::Refund { chain, credit, .. } = &received.receipt
                && is_of_own_credit(self.store.as_ref(), &received.receipt)?
            {
                let came_as = key::receipt(received.source.0, received.sequence);
                set.put(Table::Refunds, key::receipt(chain.0, *credit), came_as);
            }
        }
        Ok(())
    }

    /// Drops blocks that lost against a final one with their bundles, a page of them with each height; answers where the next page begins.
    fn clear_proposals(
        &self,
        set: &mut WriteSet,
        next: &FinalBlock,
        height: Height,
    ) -> Result<Height, ExecutorFault> {
        let until = height.next().0.to_be_bytes();
        let from = self.swept.map_or(Height(0), |swept| swept.proposals).0.to_be_bytes();
        let page = Page { from: Bound::Included(&from), until: Some(&until), ..Page::first(PROPOSALS_PAGE) };
        let rows = self.store.scan(Table::Proposals, page)?;
        // A full page may have left some of its last height.
        let last = rows.last().filter(|_| rows.len() >= PROPOSALS_PAGE);
        let reached = last.and_then(|(place, _)| key::split_proposal(place)).map(|(last, _)| Height(last));
        for (place, _) in rows {
            if let Some((proposed, digest)) = key::split_proposal(&place)
                && digest != next.digest.0
                && self
                    .store
                    .get(Table::Heights, &key::height(proposed))?
                    .is_none_or(|winner| winner != digest)
            {
                set.delete(Table::Blocks, digest);
            }
            set.delete(Table::Proposals, place);
        }
        Ok(reached.unwrap_or(height))
    }
}

/// Proposals cleared with one block; what is left over goes with the next ones.
const PROPOSALS_PAGE: usize = 256;

fn put_state(set: &mut WriteSet, writes: &StateWrites) {
    for (slot, record) in &writes.records {
        set.put(Table::Records, key::slot(slot.0), record.encode());
    }
    for (id, slot) in &writes.opened {
        set.put(Table::Slots, id.0, key::slot(slot.0));
    }
}

/// Sources of the bundles that carried more money than can exist.
fn unbacked(next: &FinalBlock, execution: &Execution) -> Vec<ChainId> {
    let is_unbacked = |reason: &PassedOver| matches!(reason, PassedOver::Unbacked {});
    let passed_over = execution.passed_over.iter().filter(|(_, reason)| is_unbacked(reason));
    let source = |position: u32| Some(next.bundles.get(usize::try_from(position).ok()?)?.source());
    passed_over.filter_map(|(position, _)| source(*position)).collect()
}

/// Receipts received from each chain.
fn received(head: &StateHead) -> Vec<(ChainId, Counter)> {
    head.supply.pairs.iter().map(|pair| (pair.chain, pair.received)).collect()
}

/// What a height moved to a child.
fn moved(execution: &Execution) -> Moved {
    let count = |is_it: fn(&Receipt) -> bool| {
        execution.sent.iter().filter(|sent| is_it(&sent.receipt)).count() as u64
    };
    let moving = execution.head.moving.as_ref();
    Moved {
        wallets: count(|receipt| matches!(receipt, Receipt::Move { .. })),
        kept: count(|receipt| matches!(receipt, Receipt::Keep { .. })),
        slots_left: moving.map_or(0, |moving| moving.until.saturating_sub(moving.next)),
    }
}

/// Writes height 0 besides what `set` has, in one piece.
pub(crate) fn write_first(
    store: &dyn Store,
    mut set: WriteSet,
    (state, writes, result): (ChainState, StateWrites, HeightResult),
    origin: Option<&ChainOrigin>,
) -> Result<ChainState, ExecutorFault> {
    set.put(Table::Meta, rows::HEAD, state.head().encode());
    if let Some(origin) = origin {
        set.put(Table::Meta, rows::ORIGIN, origin.encode());
    }
    set.put(Table::Heights, key::height(0), state.head().block.0);
    set.put(Table::Results, key::height(0), result.encode());
    set.put(Table::Registries, key::height(0), state.rules().registry.encode());
    put_state(&mut set, &writes);
    store.write(set, Durability::Synced)?;
    Ok(state)
}

/// Reads every record of a chain's database, builds both trees over them and compares the roots with the head, as a start does; nothing is
/// written. Answers the head; `None` for a database that holds no chain yet.
///
/// # Errors
/// [`ExecutorFault`].
pub fn check_state<S: Strategy>(
    spec: &GenesisSpec,
    store: &dyn Reader,
    strategy: &S,
) -> Result<Option<StateHead>, ExecutorFault> {
    let Some(head) = store.get(Table::Meta, rows::HEAD)? else { return Ok(None) };
    let state = load(spec, store, rows::decode(Table::Meta, &head)?, strategy)?;
    Ok(Some(state.head().clone()))
}

fn load<S: Strategy>(
    spec: &GenesisSpec,
    store: &dyn Reader,
    head: StateHead,
    strategy: &S,
) -> Result<ChainState, ExecutorFault> {
    let missing = RowFault::Missing { table: Table::Registries };
    let registry = Archive::new(store).registry_at(head.height)?.ok_or(missing)?;
    load_with(spec, store, head, registry, strategy)
}

/// The state of a head, whose registry this is, over the records of the store.
pub(crate) fn load_with<S: Strategy>(
    spec: &GenesisSpec,
    store: &dyn Reader,
    head: StateHead,
    registry: Registry,
    strategy: &S,
) -> Result<ChainState, ExecutorFault> {
    let mut records: Vec<(Slot, Record)> =
        Vec::with_capacity(usize::try_from(head.records).unwrap_or(0).min(RECORDS_HINT));
    let mut damaged = None;
    store.for_each(Table::Records, &mut |place, bytes| {
        let decoded = rows::decode::<Record>(Table::Records, bytes);
        match (key::number(place), decoded) {
            (Some(slot), Ok(record)) => records.push((Slot(slot), record)),
            (_, decoded) => {
                damaged = Some(decoded.err().unwrap_or(RowFault::Missing { table: Table::Records }));
                return std::ops::ControlFlow::Break(());
            }
        }
        std::ops::ControlFlow::Continue(())
    })?;
    if let Some(fault) = damaged {
        return Err(fault.into());
    }
    Ok(ChainState::load(spec, Arc::new(registry), head, records, strategy)?)
}

/// Room made before the first record is read; more is made as they come.
const RECORDS_HINT: usize = 1 << 20;

/// Point reads of the newest state records: what was written lately from memory, the rest from the store.
pub struct RecordReader<'a, R: Reader + ?Sized> {
    /// Where to read.
    pub store: &'a R,
    /// What its executor has written lately; an empty one where nobody executes.
    pub cache: &'a RecordCache,
}

impl<R: Reader + ?Sized> StateReader for RecordReader<'_, R> {
    fn find(&self, ids: &[RecordId]) -> Result<Vec<Option<(Slot, Record)>>, ReadFault> {
        let mut found = self.cache.find(ids);
        let missing: Vec<RecordId> =
            ids.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(id, _)| *id).collect();
        let stored = self.stored_by_id(&missing)?;
        for (id, record) in ids.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            *record = stored.get(id).cloned();
        }
        Ok(found)
    }

    fn records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault> {
        let mut found = self.cache.records(slots);
        let missing: Vec<Slot> =
            slots.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(slot, _)| *slot).collect();
        let mut stored = self.stored_records(&missing)?.into_iter();
        for record in found.iter_mut().filter(|found| found.is_none()) {
            *record = stored.next().flatten();
        }
        Ok(found)
    }
}

impl<R: Reader + ?Sized> RecordReader<'_, R> {
    fn stored_by_id(&self, ids: &[RecordId]) -> Result<BTreeMap<RecordId, (Slot, Record)>, ReadFault> {
        let keys: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        let slots = self.store.multi_get(Table::Slots, &keys).map_err(|_| ReadFault::Store)?;
        let mut found = BTreeMap::new();
        for (id, slot) in ids.iter().zip(&slots) {
            if let Some(slot) = slot {
                let slot = key::number(slot).ok_or(ReadFault::Record { id: *id })?;
                found.insert(Slot(slot), *id);
            }
        }
        let wanted: Vec<Slot> = found.keys().copied().collect();
        let records = self.stored_records(&wanted)?;
        let mut by_id = BTreeMap::new();
        for ((slot, id), record) in found.into_iter().zip(records) {
            match record {
                Some(record) if record.id() == Some(id) => by_id.insert(id, (slot, record)),
                _ => return Err(ReadFault::Record { id }),
            };
        }
        Ok(by_id)
    }

    fn stored_records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault> {
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<[u8; 8]> = slots.iter().map(|slot| key::slot(slot.0)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
        let rows = self.store.multi_get(Table::Records, &keys).map_err(|_| ReadFault::Store)?;
        let decode = |(slot, bytes): (&Slot, Option<Vec<u8>>)| match bytes {
            None => Ok(None),
            Some(bytes) => Record::decode(&bytes).map(Some).map_err(|_| ReadFault::Slot { slot: *slot }),
        };
        slots.iter().zip(rows).map(decode).collect()
    }
}
