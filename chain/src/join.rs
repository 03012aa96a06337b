//! Joining by a snapshot: an empty node fetches the state of a certified height instead of replaying what led there, and trusts nobody.
//!
//! ```text
//! Seeking ─► Piecing ─► Fetching ─► Ending ─► Report::Joined: the node starts anew, see `joined.rs`
//!    ▲ offers   one peer's  chunks of all      │
//!    │          manifest    who offer the same ┘
//!    └── nobody has it any more
//! ```
//!
//! - Nothing is begun before a manifest is proved with the genesis spec; until then the chain goes on as ever, but asks for no final blocks.
//!   Where enough peers have nothing far ahead, or nobody answers for long, it replays.
//! - A chunk is judged when it comes. One that is wrong costs its sender its trust and nothing else: it is asked of another. A source that
//!   is silent is asked less and then no more, until it offers again.
//! - From the first write on the store holds no state, so the chain only fetches: it executes nothing, answers no question, takes no fresh
//!   data. It goes on after a crash where it stopped; another snapshot is begun only when nobody offers this one any longer.
//! - Bounded: one request of a peer at a time, of at most [`REQUEST_CHUNKS_MAX`] chunks; [`CHUNKS_UNWRITTEN_MAX`] chunks wait for the disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::proofs::snapshot::MANIFEST_BYTES_MAX;
use ledger::proofs::{Snapshot, SnapshotChunk, SnapshotManifest};
use ledger::records::GenesisSpec;
use ledger::values::{BlockDigest, Canonical as _, Height, NodeIndex};
use storage::{Durability, Table, WriteSet, key};

use crate::chain::Chain;
use crate::config::{
    CHUNKS_UNWRITTEN_MAX, JOIN_ANSWER_MS, JOIN_LOST_MS, JOIN_MANIFEST_MS, JOIN_OFFERS_MS, JOIN_PATIENCE_MS,
    JOIN_REPEAT_MS, JOIN_TICK_MS, JOIN_TIMEOUTS_MAX, PIECE_BYTES_MAX, REQUEST_CHUNKS_MAX,
};
use crate::frame::{Frame, Lane, ManifestPiece, Offer, Offers, RequestedChunks, RequestedPiece};
use crate::joined;
use crate::step::{Effect, Now, Report, Request, Room, SnapshotRequest};

/// How far a join is that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinProgress {
    /// The snapshot's height; height 0 while another one is looked for.
    pub height: Height,
    /// Its chunks.
    pub chunks: u64,
    /// Those that are here.
    pub fetched: u64,
    /// Those that came since the start of the process and were no part of it.
    pub refused: u64,
    /// Bytes of the chunks that were taken since then.
    pub bytes: u64,
    /// Peers that offer it, and are trusted.
    pub sources: u64,
}

/// A join under way.
#[derive(Debug)]
pub(crate) struct Join {
    spec: Arc<GenesisSpec>,
    stage: Stage,
    /// What peers say they have; those that have nothing are here too.
    offers: BTreeMap<NodeIndex, Vec<Offer>>,
    asked_offers_ms: Option<u64>,
    /// How often a peer did not give the manifest that it offers: others come first.
    silences: BTreeMap<NodeIndex, u32>,
    /// When this stage began, or when a source was last there.
    since_ms: Option<u64>,
    /// The records of height 0 are gone: there is no way back to replaying.
    is_begun: bool,
    /// Chunks that were no part of the snapshot.
    refused: u64,
    /// Bytes of those that were.
    bytes: u64,
}

#[derive(Debug)]
enum Stage {
    Seeking,
    Piecing { offer: Offer, from: NodeIndex, bytes: Vec<u8>, asked: Option<Asked> },
    Fetching(Box<Fetching>),
    Ending { block: BlockDigest, height: Height, chunks: u64 },
}

/// One request of one peer.
#[derive(Debug, Clone, Default)]
struct Asked {
    chunks: BTreeSet<u64>,
    until_ms: u64,
    timeouts: u32,
}

#[derive(Debug)]
struct Fetching {
    snapshot: Snapshot,
    missing: BTreeSet<u64>,
    /// On their way to the disk.
    unwritten: usize,
    sources: BTreeMap<NodeIndex, Asked>,
}

impl Join {
    pub(crate) fn new(spec: Arc<GenesisSpec>) -> Self {
        let (offers, silences, stage) = (BTreeMap::new(), BTreeMap::new(), Stage::Seeking);
        Self {
            spec,
            stage,
            offers,
            asked_offers_ms: None,
            silences,
            since_ms: None,
            is_begun: false,
            refused: 0,
            bytes: 0,
        }
    }

    /// Goes on where a start finds it.
    pub(crate) fn begun(spec: Arc<GenesisSpec>, snapshot: Option<(Snapshot, BTreeSet<u64>)>) -> Self {
        let fetching =
            |(snapshot, missing)| Fetching { snapshot, missing, unwritten: 0, sources: BTreeMap::new() };
        let stage = snapshot.map_or(Stage::Seeking, |begun| Stage::Fetching(Box::new(fetching(begun))));
        Self { stage, is_begun: true, ..Self::new(spec) }
    }

    /// How far it is; `None` until the first write.
    pub(crate) fn progress(&self) -> Option<JoinProgress> {
        let (refused, bytes) = (self.refused, self.bytes);
        let none = JoinProgress { height: Height(0), chunks: 0, fetched: 0, refused, bytes, sources: 0 };
        let progress = match &self.stage {
            Stage::Fetching(fetching) => {
                let (height, chunks) = (fetching.snapshot.height(), fetching.snapshot.chunks());
                let fetched = chunks.saturating_sub(fetching.missing.len() as u64);
                JoinProgress { height, chunks, fetched, sources: fetching.sources.len() as u64, ..none }
            }
            Stage::Ending { height, chunks, .. } => {
                JoinProgress { height: *height, chunks: *chunks, fetched: *chunks, ..none }
            }
            Stage::Seeking | Stage::Piecing { .. } => none,
        };
        self.is_begun.then_some(progress)
    }

    /// Whether the chain does nothing else.
    const fn is_alone(&self) -> bool {
        self.is_begun
    }

    /// The newest of the offers that lie far enough ahead, of those that most peers make.
    fn best(&self, above: Height, behind_blocks: u64) -> Option<(NodeIndex, Offer)> {
        let is_far = |offer: &&Offer| {
            offer.height.0 >= above.0.saturating_add(behind_blocks)
                && (1..=MANIFEST_BYTES_MAX as u64).contains(&offer.manifest_bytes)
        };
        let offers =
            || self.offers.iter().flat_map(|(node, offers)| offers.iter().map(|offer| (*node, offer)));
        let same = |offer: &Offer| {
            offers().filter(|(_, other)| (other.height, other.state) == (offer.height, offer.state)).count()
        };
        let far = offers().filter(|(_, offer)| is_far(offer));
        let silences = |node: &NodeIndex| self.silences.get(node).copied().unwrap_or_default();
        let best = far
            .max_by_key(|(node, offer)| (same(offer), offer.height, Reverse(silences(node)), Reverse(*node)));
        best.map(|(node, offer)| (node, *offer))
    }

    /// Whether a peer offers the snapshot that is being fetched.
    fn has_it(offers: &[Offer], snapshot: &Snapshot) -> bool {
        let head = &snapshot.manifest().head;
        offers.iter().any(|offer| (offer.height, offer.state) == (head.height, head.state))
    }
}

impl Fetching {
    /// Chunks that nobody was asked for.
    fn open(&self) -> impl Iterator<Item = u64> + '_ {
        let is_asked = |index: &u64| self.sources.values().any(|asked| asked.chunks.contains(index));
        self.missing.iter().copied().filter(move |index| !is_asked(index))
    }
}

impl Chain {
    /// Whether the chain fetches a snapshot and does nothing else.
    pub(crate) fn is_joining(&self) -> bool {
        self.join.as_ref().is_some_and(Join::is_alone)
    }

    /// Whether it is not decided yet whether it joins by a snapshot: final blocks are not asked for meanwhile.
    pub(crate) const fn may_join(&self) -> bool {
        self.join.is_some()
    }

    /// When it wants to look at its clocks again.
    pub(crate) fn join_due(&self, now: Now) -> Option<u64> {
        self.join.as_ref().map(|_| now.elapsed_ms.saturating_add(JOIN_TICK_MS))
    }

    /// One look at the join: asks, gives up, goes on.
    pub(crate) fn join_next(&mut self, now: Now) {
        let Some(mut join) = self.join.take() else { return };
        if !join.is_begun && self.tree.tip().height > Height(0) {
            // It follows already.
            self.report_replay(&join);
            return;
        }
        join.since_ms.get_or_insert(now.elapsed_ms);
        if join.asked_offers_ms.is_none_or(|asked| now.elapsed_ms >= asked.saturating_add(JOIN_REPEAT_MS))
            && !matches!(join.stage, Stage::Ending { .. })
        {
            join.asked_offers_ms = Some(now.elapsed_ms);
            for peer in self.peers.trusted(now.elapsed_ms) {
                self.send(peer, &Frame::RequestOffers);
            }
        }
        match join.stage {
            Stage::Seeking => {
                if !self.seek(now, &mut join) {
                    self.report_replay(&join);
                    return;
                }
            }
            Stage::Piecing { .. } => self.piece(now, &mut join),
            Stage::Fetching(_) => self.fetch_chunks(now, &mut join),
            Stage::Ending { .. } => {}
        }
        self.join = Some(join);
    }

    fn report_replay(&mut self, join: &Join) {
        let newest = join.offers.values().flatten().map(|offer| offer.height).max();
        self.report(Report::Replays { peers: join.offers.len(), newest });
    }

    /// False where the chain replays instead.
    fn seek(&mut self, now: Now, join: &mut Join) -> bool {
        let waited_ms = now.elapsed_ms.saturating_sub(join.since_ms.unwrap_or(now.elapsed_ms));
        if waited_ms < JOIN_OFFERS_MS {
            return true;
        }
        if let Some((from, offer)) = join.best(self.tree.tip().height, self.config.snapshot_behind_blocks) {
            join.since_ms = Some(now.elapsed_ms);
            join.stage = Stage::Piecing { offer, from, bytes: Vec::new(), asked: None };
            self.piece(now, join);
            return true;
        }
        let has_nothing = join.offers.len() > self.config.faults_max();
        join.is_begun || (!has_nothing && waited_ms < JOIN_PATIENCE_MS)
    }

    /// Asks for the next piece of a manifest, or goes back to other offers where its owner is silent.
    fn piece(&mut self, now: Now, join: &mut Join) {
        let Stage::Piecing { offer, from, bytes, asked } = &mut join.stage else { return };
        let before = asked.take();
        let timeouts = match &before {
            Some(before) if before.until_ms > now.elapsed_ms => {
                *asked = Some(before.clone());
                return;
            }
            Some(before) => before.timeouts.saturating_add(1),
            None => 0,
        };
        // Pieces that trickle in are as good as none.
        let is_slow =
            join.since_ms.is_some_and(|since_ms| now.elapsed_ms.saturating_sub(since_ms) >= JOIN_MANIFEST_MS);
        if timeouts >= JOIN_TIMEOUTS_MAX || is_slow {
            let silent = join.silences.entry(*from).or_default();
            *silent = silent.saturating_add(1);
            join.offers.remove(&*from);
            join.stage = Stage::Seeking;
            return;
        }
        let piece = u32::try_from(bytes.len() / PIECE_BYTES_MAX).unwrap_or(u32::MAX);
        let until_ms = now.elapsed_ms.saturating_add(JOIN_ANSWER_MS);
        *asked = Some(Asked { chunks: BTreeSet::new(), until_ms, timeouts });
        let (to, height) = (*from, offer.height);
        self.send(to, &Frame::RequestPiece(RequestedPiece { height, piece }));
    }

    pub(crate) fn offers_arrived(&mut self, now: Now, from: NodeIndex, offers: Offers) {
        let is_trusted = self.peers.trusted(now.elapsed_ms).any(|peer| peer == from);
        if let Some(join) = self.join.as_mut().filter(|_| is_trusted) {
            join.offers.insert(from, offers.offers);
        }
    }

    pub(crate) fn piece_arrived(&mut self, now: Now, from: NodeIndex, piece: ManifestPiece) {
        let Some(mut join) = self.join.take() else { return };
        self.take_piece(now, from, &piece, &mut join);
        self.join = Some(join);
    }

    fn take_piece(&mut self, now: Now, from: NodeIndex, piece: &ManifestPiece, join: &mut Join) {
        let Stage::Piecing { offer, from: owner, bytes, asked } = &mut join.stage else { return };
        let next = bytes.len() / PIECE_BYTES_MAX;
        if from != *owner || piece.height != offer.height || usize::try_from(piece.piece) != Ok(next) {
            return;
        }
        bytes.extend_from_slice(&piece.bytes);
        let (offer, all) = (*offer, usize::try_from(offer.manifest_bytes).unwrap_or(usize::MAX));
        if bytes.len() < all && piece.bytes.len() == PIECE_BYTES_MAX {
            *asked = None;
            self.piece(now, join);
            return;
        }
        let bytes = std::mem::take(bytes);
        let manifest = SnapshotManifest::decode(&bytes).ok();
        let snapshot =
            manifest.and_then(|manifest| manifest.verify(&join.spec, self.config.rules.chain).ok());
        let is_offered = |snapshot: &Snapshot| Join::has_it(&[offer], snapshot);
        match snapshot.filter(is_offered) {
            Some(snapshot) => self.begin_fetching(now, join, snapshot),
            None => {
                join.offers.remove(&from);
                join.stage = Stage::Seeking;
                self.distrust(now, from, "a snapshot's manifest that proves nothing");
            }
        }
    }

    fn begin_fetching(&mut self, now: Now, join: &mut Join, snapshot: Snapshot) {
        self.effects.push(Effect::Persist {
            set: joined::begin(snapshot.manifest()),
            durability: Durability::Synced,
            then: None,
        });
        let (height, chunks) = (snapshot.height(), snapshot.chunks());
        self.report(Report::Joining { height, chunks, missing: chunks });
        let missing: BTreeSet<u64> = (0..chunks).collect();
        join.is_begun = true;
        join.since_ms = Some(now.elapsed_ms);
        join.stage =
            Stage::Fetching(Box::new(Fetching { snapshot, missing, unwritten: 0, sources: BTreeMap::new() }));
        self.fetch_chunks(now, join);
    }

    /// Asks every free source for some chunks; ends where nothing is missing.
    fn fetch_chunks(&mut self, now: Now, join: &mut Join) {
        let Stage::Fetching(fetching) = &mut join.stage else { return };
        let fetching = &mut **fetching;
        let head = &fetching.snapshot.manifest().head;
        let (height, block) = (head.height, head.block);
        if fetching.missing.is_empty() && fetching.unwritten == 0 {
            // Behind all chunks in the line to the disk.
            let (set, durability) = (WriteSet::new(), Durability::Synced);
            self.effects.push(Effect::Persist { set, durability, then: Some(block) });
            let chunks = fetching.snapshot.chunks();
            join.stage = Stage::Ending { block, height, chunks };
            return;
        }
        let trusted: BTreeSet<NodeIndex> = self.peers.trusted(now.elapsed_ms).collect();
        for (node, offers) in &join.offers {
            if trusted.contains(node) && Join::has_it(offers, &fetching.snapshot) {
                fetching.sources.entry(*node).or_default();
            }
        }
        for (node, asked) in &mut fetching.sources {
            // Another may have given it meanwhile.
            asked.chunks.retain(|index| fetching.missing.contains(index));
            if !asked.chunks.is_empty() && asked.until_ms <= now.elapsed_ms {
                asked.chunks.clear();
                asked.timeouts = asked.timeouts.saturating_add(1);
                if asked.timeouts >= JOIN_TIMEOUTS_MAX {
                    join.offers.remove(node);
                }
            }
        }
        let offers = &join.offers;
        fetching.sources.retain(|node, _| {
            let has_it = |offers: &Vec<Offer>| Join::has_it(offers, &fetching.snapshot);
            trusted.contains(node) && offers.get(node).is_some_and(has_it)
        });
        if !fetching.sources.is_empty() {
            join.since_ms = Some(now.elapsed_ms);
        } else if now.elapsed_ms >= join.since_ms.unwrap_or(0).saturating_add(JOIN_LOST_MS) {
            join.since_ms = Some(now.elapsed_ms);
            join.stage = Stage::Seeking;
            self.report(Report::Joining { height: Height(0), chunks: 0, missing: 0 });
            return;
        }
        if self.room == Room::None {
            return;
        }
        // Those that answered last time come first.
        let idle = fetching.sources.iter().filter(|(_, asked)| asked.chunks.is_empty());
        let mut idle: Vec<(u32, NodeIndex)> = idle.map(|(node, asked)| (asked.timeouts, *node)).collect();
        idle.sort_unstable();
        for (_, node) in idle {
            let asked: usize = fetching.sources.values().map(|asked| asked.chunks.len()).sum();
            let room = CHUNKS_UNWRITTEN_MAX.saturating_sub(fetching.unwritten.saturating_add(asked));
            let indexes: Vec<u64> = fetching.open().take(REQUEST_CHUNKS_MAX.min(room)).collect();
            let Some(source) = fetching.sources.get_mut(&node).filter(|_| !indexes.is_empty()) else { break };
            source.chunks = indexes.iter().copied().collect();
            source.until_ms = now.elapsed_ms.saturating_add(JOIN_ANSWER_MS);
            self.send(node, &Frame::RequestChunks(RequestedChunks { height, indexes }));
        }
    }

    pub(crate) fn chunk_arrived(&mut self, now: Now, from: NodeIndex, chunk: &SnapshotChunk) {
        let Some(mut join) = self.join.take() else { return };
        self.take_chunk(now, from, chunk, &mut join);
        self.join = Some(join);
    }

    fn take_chunk(&mut self, now: Now, from: NodeIndex, chunk: &SnapshotChunk, join: &mut Join) {
        let Stage::Fetching(fetching) = &mut join.stage else { return };
        // One of a snapshot that was left may come late.
        if chunk.height != fetching.snapshot.height() || !fetching.missing.contains(&chunk.index) {
            return;
        }
        if fetching.snapshot.check_chunk(chunk).is_err() {
            join.refused = join.refused.saturating_add(1);
            fetching.sources.remove(&from);
            join.offers.remove(&from);
            self.distrust(now, from, "a chunk that is not part of the snapshot");
            return;
        }
        let mut set = WriteSet::new();
        for (slot, record) in chunk.slotted() {
            let bytes = record.encode();
            join.bytes = join.bytes.saturating_add(bytes.len() as u64);
            set.put(Table::Records, key::slot(slot.0), bytes);
            if let Some(id) = record.id() {
                set.put(Table::Slots, id.0, key::slot(slot.0));
            }
        }
        fetching.missing.remove(&chunk.index);
        fetching.unwritten = fetching.unwritten.saturating_add(1);
        if let Some(asked) = fetching.sources.get_mut(&from) {
            asked.chunks.remove(&chunk.index);
            (asked.timeouts, asked.until_ms) = (0, now.elapsed_ms.saturating_add(JOIN_ANSWER_MS));
        }
        let head = &fetching.snapshot.manifest().head;
        let (height, then) = (head.height, Some(head.block));
        let (chunks, missing) = (fetching.snapshot.chunks(), fetching.missing.len() as u64);
        self.effects.push(Effect::Persist { set, durability: Durability::Buffered, then });
        self.report(Report::Joining { height, chunks, missing });
    }

    /// A write is on disk that may be one of the join.
    pub(crate) fn join_written(&mut self, digest: BlockDigest) {
        let Some(join) = &mut self.join else { return };
        match &mut join.stage {
            Stage::Fetching(fetching) if fetching.snapshot.manifest().head.block == digest => {
                fetching.unwritten = fetching.unwritten.saturating_sub(1);
            }
            Stage::Ending { block, height, .. } if *block == digest => {
                let height = *height;
                // Nothing more until the node has started anew.
                self.halted = true;
                self.report(Report::Joined { height });
            }
            _ => {}
        }
    }

    pub(crate) fn serve_snapshot(&mut self, to: NodeIndex, request: SnapshotRequest) {
        self.serve(to, Lane::Sync, Vec::new(), Some(Request::Snapshot(request)));
    }
}
