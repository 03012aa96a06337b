//! Snapshots that this node keeps for others: the state of a height, held still while the chain goes on.
//!
//! - A height is kept when it is the first one whose timestamp lies in another span of [`Snapshots::new`]'s length than the one before:
//!   so all nodes keep the same heights, and a joining node finds several sources. One whose registry has changed since the height that
//!   its block claims is passed over for the next: a manifest says one registry.
//! - Nothing pauses: the executor copies the upper part of a tree, and pins a view of the store. The manifest is put together when
//!   somebody asks for it and the height is certified, on the thread that serves.
//! - The newest [`SNAPSHOTS_KEPT`] are held, in memory only: a node has none right after its start. One under way at a joining node is
//!   there for as long as one span more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use ledger::proofs::snapshot::{MANIFEST_BYTES_MAX, ORDERED_DIGESTS_MAX};
use ledger::proofs::snapshot_chunk::{CHUNK_LEVEL, slots};
use ledger::proofs::{OrderedSecond, PartsOfHeight, SnapshotChunk, SnapshotManifest};
use ledger::records::block::SET_CHANGE_MARGIN;
use ledger::records::{Block, HeightResult, Record, Registry};
use ledger::state::head::ORDERED_BUCKET_MS;
use ledger::state::{ChainState, Crown, StateHead, StateParts};
use ledger::values::{BatchDigest, Canonical as _, Height, TimestampMs};
use storage::{Pinned, Reader, Store, Table, key};

use crate::archive::Archive;
use crate::config::{PIECE_BYTES_MAX, SNAPSHOTS_KEPT};
use crate::frame::{Frame, ManifestPiece, Offer, Offers};
use crate::recovery::ordered_digests;
use crate::rows::{self, RowFault};
use crate::step::SnapshotRequest;

/// Heights whose parts are remembered: as many as may lie between a block and its claim.
const BELOW_MAX: usize = SET_CHANGE_MARGIN as usize;

/// The snapshots of one chain.
#[derive(Debug)]
pub struct Snapshots {
    every_ms: u64,
    kept: Mutex<VecDeque<Arc<Kept>>>,
}

/// One height.
struct Kept {
    head: StateHead,
    parts: StateParts,
    registry: Arc<Registry>,
    block: Arc<Block>,
    below: Vec<PartsOfHeight>,
    crown: Crown,
    view: Pinned,
    /// Encoded, once the height is certified and somebody has asked.
    manifest: OnceLock<Bytes>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kept").field("height", &self.head.height).finish_non_exhaustive()
    }
}

/// What the executor remembers in order to keep a height.
#[derive(Debug)]
pub(crate) struct Keeper {
    snapshots: Arc<Snapshots>,
    below: VecDeque<PartsOfHeight>,
    last_span: Option<u64>,
}

impl Snapshots {
    /// None yet; one every `every_ms` of block time.
    #[must_use]
    pub const fn new(every_ms: u64) -> Self {
        Self { every_ms, kept: Mutex::new(VecDeque::new()) }
    }

    fn all(&self) -> Vec<Arc<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn keep(&self, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(Arc::new(kept));
        while all.len() > SNAPSHOTS_KEPT {
            all.pop_front();
        }
    }

    fn of_height(&self, height: Height) -> Option<Arc<Kept>> {
        self.all().into_iter().find(|kept| kept.head.height == height)
    }

    /// What this node has, the newest first. `store` knows of newer certificates than the views.
    ///
    /// # Errors
    /// [`RowFault`], as every method here.
    pub(crate) fn offers<R: Reader + ?Sized>(&self, store: &R) -> Result<Vec<Offer>, RowFault> {
        let mut offers = Vec::new();
        for kept in self.all().iter().rev() {
            if let Some(manifest) = kept.manifest(store)? {
                let (height, state) = (kept.head.height, kept.head.state);
                offers.push(Offer { height, state, manifest_bytes: manifest.len() as u64 });
            }
        }
        Ok(offers)
    }

    /// A piece of the manifest of a height; `None` where there is no such.
    pub(crate) fn piece<R: Reader + ?Sized>(
        &self,
        store: &R,
        height: Height,
        piece: u32,
    ) -> Result<Option<ManifestPiece>, RowFault> {
        let Some(kept) = self.of_height(height) else { return Ok(None) };
        let Some(manifest) = kept.manifest(store)? else { return Ok(None) };
        let bytes = manifest.chunks(PIECE_BYTES_MAX).nth(usize::try_from(piece).unwrap_or(usize::MAX));
        Ok(bytes.map(|bytes| ManifestPiece { height, piece, bytes: bytes.to_vec() }))
    }

    /// Frames that answer a peer; empty where this node has nothing to give.
    pub(crate) fn serve<R: Reader + ?Sized>(
        &self,
        store: &R,
        request: &SnapshotRequest,
    ) -> Result<Vec<Frame>, RowFault> {
        Ok(match request {
            SnapshotRequest::Offers => vec![Frame::Offers(Offers { offers: self.offers(store)? })],
            SnapshotRequest::Piece(wanted) => {
                let piece = self.piece(store, wanted.height, wanted.piece)?;
                piece.map(Frame::ManifestPiece).into_iter().collect()
            }
            SnapshotRequest::Chunks(wanted) => {
                let read = |index: &u64| self.chunk(wanted.height, *index).transpose();
                let chunks: Result<Vec<SnapshotChunk>, RowFault> =
                    wanted.indexes.iter().filter_map(read).collect();
                chunks?.into_iter().map(|chunk| Frame::Chunk(Box::new(chunk))).collect()
            }
        })
    }

    /// A chunk of the records of a height; `None` where there is no such.
    pub(crate) fn chunk(&self, height: Height, index: u64) -> Result<Option<SnapshotChunk>, RowFault> {
        let Some(kept) = self.of_height(height) else { return Ok(None) };
        let slots = slots(kept.head.records, index);
        let keys: Vec<[u8; 8]> = slots.map(key::slot).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 8]>::as_slice).collect();
        let missing = RowFault::Missing { table: Table::Records };
        let rows = kept.view.multi_get(Table::Records, &keys)?;
        let rows: Option<Vec<Vec<u8>>> = rows.into_iter().collect();
        let records = rows.ok_or(missing)?.iter().map(|row| rows::decode(Table::Records, row)).collect();
        let records: Result<Vec<Record>, RowFault> = records;
        Ok(SnapshotChunk::of(height, index, records?, &kept.crown))
    }
}

impl Kept {
    /// The encoded manifest; `None` until a certificate covers the height, and where it would be too large.
    fn manifest<R: Reader + ?Sized>(&self, store: &R) -> Result<Option<Bytes>, RowFault> {
        if let Some(manifest) = self.manifest.get() {
            return Ok(Some(manifest.clone()));
        }
        let archive = Archive::new(store);
        let Some(certified) = archive.certified_result(self.head.height)? else { return Ok(None) };
        let Some(sets) = archive.set_chain(certified.header.epoch)? else { return Ok(None) };
        let ordered = window(&self.head, ordered_digests(&self.view, &self.head)?);
        let is_whole = ordered.iter().map(OrderedSecond::bucket).eq(self.head.ordered.iter().copied());
        let digests: usize = ordered.iter().map(|second| second.digests.len()).sum();
        if !is_whole || digests > ORDERED_DIGESTS_MAX {
            return Ok(None);
        }
        let manifest = SnapshotManifest {
            sets,
            certified,
            parts: self.parts,
            head: self.head.clone(),
            registry: (*self.registry).clone(),
            block: (*self.block).clone(),
            below: self.below.clone(),
            ordered,
        };
        let manifest = manifest.encode();
        if manifest.len() > MANIFEST_BYTES_MAX {
            return Ok(None);
        }
        Ok(Some(self.manifest.get_or_init(|| Bytes::from(manifest)).clone()))
    }
}

/// The digests of the head's window by the second of their expiry.
fn window(head: &StateHead, ordered: Vec<(BatchDigest, TimestampMs)>) -> Vec<OrderedSecond> {
    let mut seconds: Vec<OrderedSecond> = head
        .ordered
        .iter()
        .map(|bucket| OrderedSecond { second: bucket.second, digests: Vec::new() })
        .collect();
    for (digest, expires) in ordered {
        let second = expires.0 / ORDERED_BUCKET_MS;
        if let Ok(place) = seconds.binary_search_by_key(&second, |found| found.second)
            && let Some(found) = seconds.get_mut(place)
        {
            found.digests.push(digest);
        }
    }
    seconds
}

impl Keeper {
    /// Goes on from this state, whose height has this result.
    pub(crate) fn new(snapshots: Arc<Snapshots>, state: &ChainState, result: HeightResult) -> Self {
        let last_span = span(state.head(), snapshots.every_ms);
        Self { snapshots, below: VecDeque::from([PartsOfHeight { result, parts: state.parts() }]), last_span }
    }

    /// A height was executed into the store: keeps it where its turn has come. Where the store cannot be pinned, a later one is kept: that
    /// others can join is no reason to stop.
    pub(crate) fn executed(
        &mut self,
        state: &ChainState,
        result: &HeightResult,
        block: &Arc<Block>,
        store: &Arc<dyn Store>,
    ) {
        let parts = state.parts();
        let span = span(state.head(), self.snapshots.every_ms);
        if span != self.last_span
            && let Some(below) = self.below(block.header.claim.height, &parts)
            && let Ok(view) = Pinned::new(Arc::clone(store))
        {
            self.last_span = span;
            self.snapshots.keep(Kept {
                head: state.head().clone(),
                parts,
                registry: Arc::clone(&state.rules().registry),
                block: Arc::clone(block),
                below,
                crown: state.crown(CHUNK_LEVEL),
                view,
                manifest: OnceLock::new(),
            });
        }
        self.below.push_back(PartsOfHeight { result: result.clone(), parts });
        while self.below.len() > BELOW_MAX {
            self.below.pop_front();
        }
    }

    /// The heights from the claimed one on; `None` where some are not known here, or had another registry.
    fn below(&self, claimed: Height, parts: &StateParts) -> Option<Vec<PartsOfHeight>> {
        let below = self.below.iter().skip_while(|below| below.result.height < claimed);
        let below: Vec<PartsOfHeight> = below.cloned().collect();
        let is_whole = below.first().is_some_and(|first| first.result.height == claimed)
            && below.iter().all(|below| below.parts.registry == parts.registry);
        is_whole.then_some(below)
    }
}

/// Which span of block time a height lies in.
const fn span(head: &StateHead, every_ms: u64) -> Option<u64> {
    head.timestamp.0.checked_div(every_ms)
}
