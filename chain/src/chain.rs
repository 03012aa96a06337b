//! One chain on one node: everything that decides, as a state machine.
//!
//! `step` takes one input and answers effects. The parts are `impl Chain` blocks, one idea per file:
//! `dissemination.rs` (batches and acknowledgements), `bundles.rs` (receipts of other chains), `ordering.rs` (the engine's questions), `finality.rs` (final
//! blocks, execution, certified results), `epochs.rs` (one set of validators after another), `catch_up.rs` (what is missing and whom to
//! ask), `join.rs` (the state of a certified height instead of all that led there).
//!
//! # Invariants
//!
//! 1. `Validate` and `Available` are answered with yes only for a block that is durable with all its batches and bundles
//!    (PROTOCOL rule 15).
//! 2. The engine's questions are never answered with no because something is missing or late: they stay open.
//! 3. Blocks are executed in height order, each once, each only with a certificate on it or on a descendant.
//! 4. A claim is voted for only when this node computed the same result.
//! 5. After `Report::Diverged` the chain answers nothing more.
//! 6. A block is judged by the rules of the state that it claims, never by later knowledge.
//! 7. Nothing of an epoch's engine is answered or believed once the epoch has ended here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ledger::proofs::SnapshotManifest;
use ledger::records::{Block, Claim};
use ledger::values::{BatchDigest, BlockDigest, Epoch, Height, NodeIndex, ValidatorIndex, View};
use mempool::{Pool, PoolRefusal, Pooled};

use crate::batches::{Admission, Batches};
use crate::bundles::Bundles;
use crate::catch_up::{Fetches, Peers};
use crate::claims::Claims;
use crate::config::{ChainConfig, QUESTIONS_MAX, REPEAT_MS};
use crate::evidence::{EvidenceLog, Misdeed};
use crate::first_claim::FirstClaims;
use crate::frame::{Frame, Lane};
use crate::heard::{Heard, SeatSet};
use crate::join::{Join, JoinProgress};
use crate::recovery::Recovered;
use crate::rules::RulesByHeight;
use crate::step::{Answer, Effect, Input, Now, Question, Report, Room, SnapshotRequest, Ticket};
use crate::tree::{Tree, Written};

/// A chain on this node.
#[derive(Debug)]
pub struct Chain {
    pub(crate) config: ChainConfig,
    pub(crate) rules: RulesByHeight,
    pub(crate) pool: Pool,
    /// Up to which height the pool knows the nonces of all valid batches; `None` while nobody asks for them.
    pub(crate) nonces_held_until: Option<Height>,
    pub(crate) first_claims: FirstClaims,
    pub(crate) batches: Batches,
    pub(crate) bundles: Bundles,
    pub(crate) tree: Tree,
    pub(crate) claims: Claims,
    pub(crate) questions: BTreeMap<Ticket, Question>,
    /// Own proposals that wait for the disk.
    pub(crate) proposals: BTreeSet<Ticket>,
    pub(crate) final_waiting: VecDeque<Waiting>,
    pub(crate) executing: Option<(Height, Arc<Block>)>,
    pub(crate) newest_finality: Option<Finality>,
    pub(crate) content_height: Height,
    pub(crate) fetches: Fetches,
    pub(crate) peers: Peers,
    heard: Heard,
    /// A page of final blocks came whose set is in a result that is not executed yet.
    pub(crate) awaited_epoch: Option<Epoch>,
    /// Answers under way.
    pub(crate) serving: BTreeSet<(NodeIndex, Lane)>,
    pub(crate) next_sequence: u64,
    pub(crate) evidence: EvidenceLog,
    pub(crate) oldest_pooled_ms: Option<u64>,
    /// Until when the pool is not looked at: nothing in it could pay the base fee.
    pub(crate) unpayable_until_ms: u64,
    pub(crate) last_seal_ms: Option<u64>,
    pub(crate) last_block_ms: u64,
    pub(crate) last_repeat_ms: u64,
    pub(crate) wake_ms: Option<u64>,
    pub(crate) acknowledgements: Vec<BatchDigest>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) halted: bool,
    pub(crate) room: Room,
    /// Fetches the state of a certified height, where this node is empty.
    pub(crate) join: Option<Join>,
}

/// A final block that waits for its batches or its turn.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) digest: BlockDigest,
    pub(crate) block: Arc<Block>,
    pub(crate) certificate: Option<Bytes>,
    /// On disk with all its batches already.
    pub(crate) is_durable: bool,
}

/// The engine's newest word on what is final.
#[derive(Debug, Clone)]
pub(crate) struct Finality {
    pub(crate) view: View,
    pub(crate) digest: BlockDigest,
    pub(crate) certificate: Bytes,
}

impl Chain {
    /// A chain that goes on where the disk says it stopped.
    #[must_use]
    pub fn new(config: ChainConfig, recovered: Recovered) -> Self {
        let mut batches = Batches::default();
        let mut content_height = recovered.content_height;
        for (digest, batch, bytes) in recovered.batches {
            let is_fresh = !recovered.ordered.contains_key(&digest);
            batches.admit(digest, Arc::new(batch), bytes, Admission { wanted: true, is_fresh }, 0);
            batches.judged(digest, true);
            if let Some(own) = config.own_validator {
                batches.acknowledge(digest, own);
            }
        }
        let mut tree = Tree::new(recovered.tip, recovered.ordered);
        tree.remember_final(recovered.recent);
        let is_alive = |block: &Block| block.header.epoch >= config.epoch;
        for (digest, block) in recovered.open_blocks.into_iter().filter(|(_, block)| is_alive(block)) {
            if !block.body.is_empty() {
                content_height = content_height.max(block.header.height);
            }
            tree.insert(digest, Arc::new(block), Written::Durable, None);
        }
        let mut chain = Self {
            rules: recovered.rules,
            pool: Pool::default(),
            nonces_held_until: None,
            first_claims: FirstClaims::default(),
            batches,
            bundles: Bundles::new(recovered.received),
            tree,
            claims: Claims::new(recovered.certified, recovered.results),
            questions: BTreeMap::new(),
            proposals: BTreeSet::new(),
            final_waiting: VecDeque::new(),
            executing: None,
            newest_finality: None,
            content_height,
            fetches: Fetches::default(),
            peers: Peers::new(&config),
            heard: Heard::default(),
            awaited_epoch: None,
            serving: BTreeSet::new(),
            next_sequence: recovered.next_sequence,
            evidence: recovered.evidence,
            oldest_pooled_ms: None,
            unpayable_until_ms: 0,
            last_seal_ms: None,
            last_block_ms: 0,
            last_repeat_ms: 0,
            wake_ms: None,
            acknowledgements: Vec::new(),
            effects: Vec::new(),
            halted: false,
            room: Room::Enough,
            join: None,
            config,
        };
        chain.begin_join(recovered.joining);
        for (bundle, bytes) in recovered.bundles {
            chain.restore_bundle(bundle, bytes);
        }
        chain
    }

    /// Goes on with a join that was begun, or looks for a snapshot where nothing is executed yet.
    fn begin_join(&mut self, begun: Option<(Box<SnapshotManifest>, BTreeSet<u64>)>) {
        let is_empty = self.tree.tip().height == Height(0);
        self.join = match (self.config.join.clone(), begun) {
            (Some(spec), Some((manifest, missing))) => {
                let snapshot = manifest.verify(&spec, self.config.rules.chain).ok();
                Some(Join::begun(spec, snapshot.map(|snapshot| (snapshot, missing))))
            }
            (Some(spec), None) if is_empty => Some(Join::new(spec)),
            (Some(_), None) => None,
            (None, begun) => {
                // Without a state and without a way to one.
                self.halted = begun.is_some();
                None
            }
        };
    }

    /// Takes one input; answers what is to be done, in order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.step_all(now, [input])
    }

    /// Takes what came together and looks once at what follows: under load that is most of the work.
    pub fn step_all(&mut self, now: Now, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
        self.heard.tick(now.elapsed_ms);
        for input in inputs {
            if !self.halted {
                self.take(now, input);
            }
        }
        if !self.halted {
            self.join_next(now);
        }
        if !self.halted && self.is_joining() {
            self.set_wake(now);
            return std::mem::take(&mut self.effects);
        }
        if !self.halted {
            self.advance_finality(now);
        }
        if self.halted {
            return std::mem::take(&mut self.effects);
        }
        self.execute_next();
        if self.halted {
            return std::mem::take(&mut self.effects);
        }
        self.end_claims(now);
        self.seal(now);
        self.send_acknowledgements();
        self.answer_questions(now);
        self.fetch(now);
        self.repeat(now);
        self.set_wake(now);
        std::mem::take(&mut self.effects)
    }

    fn take(&mut self, now: Now, input: Input) {
        match input {
            Input::Frame { from, bytes } => self.frame(now, from, &bytes),
            Input::Relayed { bundle } => self.bundle_arrived(now, None, bundle),
            Input::Asked { ticket, epoch, question } => {
                if epoch == self.config.epoch {
                    self.asked(ticket, question);
                }
            }
            Input::Cancelled(ticket) => {
                self.questions.remove(&ticket);
                self.proposals.remove(&ticket);
            }
            Input::Disseminate { digest, to } => self.disseminate(digest, to),
            Input::Finalized { epoch, view, digest, certificate } => {
                if epoch == self.config.epoch {
                    self.finalized(Finality { view, digest, certificate });
                }
            }
            Input::Misbehaved { epoch, validator, evidence } => {
                self.keep_evidence(epoch, validator, Misdeed::ContradictingVotes, &evidence)
            }
            Input::Persisted(digest) => {
                self.join_written(digest);
                if let Some(open) = self.tree.get_mut(&digest) {
                    open.written = Written::Durable;
                }
            }
            Input::SignaturesChecked { digest, first_bad } => {
                self.signatures_checked(now, digest, first_bad);
            }
            Input::BundleChecked { digest, facts } => self.bundle_checked(now, &digest, facts),
            Input::Executed(executed) => self.executed(now, executed),
            Input::Served { to, lane } => {
                self.serving.remove(&(to, lane));
            }
            Input::Wake => {}
        }
    }

    fn frame(&mut self, now: Now, from: NodeIndex, bytes: &Bytes) {
        let Ok(frame) = Frame::decode(bytes) else {
            self.distrust(now, from, "a frame that is not canonical");
            return;
        };
        if self.room == Room::None
            && matches!(
                frame,
                Frame::Block(_)
                    | Frame::Batch(_)
                    | Frame::FinalBlocks(_)
                    | Frame::Bundle(_)
                    | Frame::ManifestPiece(_)
                    | Frame::Chunk(_)
            )
        {
            // It would have to be written; it is asked for when there is room.
            return;
        }
        if self.is_joining() {
            self.joining_frame(now, from, frame);
            return;
        }
        match frame {
            Frame::Acknowledge(digests) => self.acknowledged(from, &digests.batches),
            Frame::Announce(claim) => self.announced(now, from, claim),
            Frame::RequestBatches(digests) => self.serve_batches(from, digests.batches),
            Frame::RequestBlock(digest) => self.serve_block(from, digest),
            Frame::RequestBlocks(height) => self.serve_blocks(from, height),
            Frame::Block(block) => self.block_arrived(now, from, *block),
            Frame::Batch(bytes) => self.batch_arrived(now, from, bytes),
            Frame::FinalBlocks(page) => self.final_blocks_arrived(now, from, page),
            Frame::Pruned(lowest) => self.pruned_arrived(now, from, lowest),
            Frame::Bundle(bytes) => self.bundle_arrived(now, Some(from), bytes),
            Frame::RequestBundles(digests) => self.serve_bundles(from, &digests.bundles),
            Frame::RequestOffers => self.serve_snapshot(from, SnapshotRequest::Offers),
            Frame::RequestPiece(wanted) => self.serve_snapshot(from, SnapshotRequest::Piece(wanted)),
            Frame::RequestChunks(wanted) => self.serve_snapshot(from, SnapshotRequest::Chunks(wanted)),
            frame @ (Frame::Offers(_) | Frame::ManifestPiece(_) | Frame::Chunk(_)) => {
                self.joining_frame(now, from, frame);
            }
        }
    }

    /// What matters to a chain that has no state: only what it is to become.
    fn joining_frame(&mut self, now: Now, from: NodeIndex, frame: Frame) {
        match frame {
            Frame::Offers(offers) => self.offers_arrived(now, from, offers),
            Frame::ManifestPiece(piece) => self.piece_arrived(now, from, piece),
            Frame::Chunk(chunk) => self.chunk_arrived(now, from, &chunk),
            Frame::Announce(claim) => self.announced(now, from, claim),
            _ => {}
        }
    }

    fn announced(&mut self, now: Now, from: NodeIndex, claim: Claim) {
        if let Some(validator) = self.config.validator_of(from) {
            self.heard.note(from, now.elapsed_ms);
            self.claims.announce(validator, claim);
        }
    }

    /// Takes admitted transactions (decoded, signatures checked, trial-executed) into the pool; answers why each was
    /// not. Call `step` afterwards: a batch may be due.
    pub fn submit(&mut self, now: Now, pooled: Vec<Pooled>) -> Vec<Result<(), PoolRefusal>> {
        let claims = self.claims_before(&pooled);
        let mut outbid = Vec::new();
        let mut insert = |transaction| self.pool.insert(transaction).map(|left| outbid.extend(left));
        let answers: Vec<_> = pooled.into_iter().map(&mut insert).collect();
        self.hold_claims(now, claims, &answers);
        if !outbid.is_empty() {
            self.report(Report::Outbid { transactions: outbid });
        }
        if !self.pool.is_empty() {
            self.oldest_pooled_ms.get_or_insert(now.elapsed_ms);
        }
        answers
    }

    fn asked(&mut self, ticket: Ticket, question: Question) {
        if self.questions.len() >= QUESTIONS_MAX {
            // The engine cancels what it no longer needs; the oldest view is the least likely to matter.
            let oldest = self.questions.iter().min_by_key(|(ticket, question)| (question.view(), **ticket));
            if let Some(oldest) = oldest.map(|(ticket, _)| *ticket) {
                self.questions.remove(&oldest);
            }
        }
        self.questions.insert(ticket, question);
    }

    fn disseminate(&mut self, digest: BlockDigest, to: Option<Vec<ValidatorIndex>>) {
        let Some(open) = self.tree.get(&digest) else { return };
        let block = Arc::clone(&open.block);
        let frame = Frame::Block(Box::new((*block).clone()));
        match to {
            None => {
                // Each leader orders the bundles of its own relay: nobody else has these.
                let held = block.body.bundles.iter().filter_map(|digest| self.bundles.get(digest));
                let bundles: Vec<Frame> = held.map(|known| Frame::Bundle(known.bytes.clone())).collect();
                for bundle in bundles {
                    self.send_to_all(&bundle);
                }
                self.send_to_all(&frame);
            }
            Some(validators) => {
                let nodes: Vec<_> = validators
                    .iter()
                    .filter_map(|validator| self.config.validators().get(usize::from(validator.0)))
                    .map(|validator| validator.node)
                    .collect();
                for node in nodes {
                    self.send(node, &frame);
                }
            }
        }
    }

    /// Repeats what may have been lost: acknowledgements of waiting batches, the newest result, own batches.
    fn repeat(&mut self, now: Now) {
        if now.elapsed_ms < self.last_repeat_ms.saturating_add(REPEAT_MS) {
            return;
        }
        self.last_repeat_ms = now.elapsed_ms;
        self.repeat_dissemination(now);
        let newest = self.claims.newest();
        self.send_to_all(&Frame::Announce(newest));
        let expired = self.pool.expire(now.wall);
        if !expired.is_empty() {
            self.report(Report::Expired { transactions: expired });
        }
        // A deletion is a write too. What stays in memory meanwhile is bounded: nothing comes in either.
        if self.room != Room::None {
            self.expire_batches(now);
        }
    }

    fn set_wake(&mut self, now: Now) {
        let mut wake = self.last_repeat_ms.saturating_add(REPEAT_MS);
        for moment in [
            self.seal_due(now),
            self.propose_due(now),
            self.fetches.due(&self.peers, now.elapsed_ms),
            self.clock_due(now),
            self.join_due(now),
        ] {
            wake = wake.min(moment.unwrap_or(u64::MAX));
        }
        let wake = wake.max(now.elapsed_ms.saturating_add(1));
        if self.wake_ms != Some(wake) {
            self.wake_ms = Some(wake);
            self.effects.push(Effect::WakeAt { elapsed_ms: wake });
        }
    }

    pub(crate) fn send(&mut self, to: NodeIndex, frame: &Frame) {
        self.send_bytes(to, frame, frame.encode());
    }

    fn send_bytes(&mut self, to: NodeIndex, frame: &Frame, bytes: Bytes) {
        if to != self.config.own_node {
            self.effects.push(Effect::Send { to, lane: frame.lane(), bytes });
        }
    }

    pub(crate) fn send_to_all(&mut self, frame: &Frame) {
        let bytes = frame.encode();
        let peers: Vec<_> = self.config.peers().collect();
        for peer in peers {
            self.send_bytes(peer, frame, bytes.clone());
        }
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, answer: Answer) {
        self.questions.remove(&ticket);
        self.proposals.remove(&ticket);
        self.effects.push(Effect::Reply { ticket, answer });
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(report));
    }

    pub(crate) fn distrust(&mut self, now: Now, node: NodeIndex, reason: &'static str) {
        self.peers.distrust(node, now.elapsed_ms);
        self.report(Report::Distrusted { node, reason });
    }

    /// The chain as this node takes part in it now.
    #[must_use]
    pub const fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// The transactions that wait to be sealed.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Says how much room the disk has; see [`Room`] for what the chain then does. Call `step` afterwards.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    pub(crate) fn may_vote(&self) -> bool {
        self.room == Room::Enough
    }

    /// What operators watch.
    #[must_use]
    pub fn status(&self) -> ChainStatus {
        let (heard, silent) = self.heard.seats(&self.config);
        ChainStatus {
            epoch: self.config.epoch,
            last_height: self.config.last_height(),
            validators: self.config.validators().len(),
            heard: heard.count(),
            silent,
            is_validator: self.config.own_validator.is_some(),
            final_height: self.tree.tip().height,
            executed_height: self.claims.newest().height,
            certified_height: self.claims.certified().height,
            highest_announced: self.claims.highest_announced(self.config.faults_max()),
            pooled_transactions: self.pool.len(),
            pooled_bytes: self.pool.bytes(),
            batches: self.batches.len(),
            bundles: self.bundles.len(),
            open_questions: self.questions.len(),
            final_waiting: self.final_waiting.len(),
            fetches: self.fetches.len(),
            pruned_below: self.pruned_below(),
            joining: self.join.as_ref().and_then(Join::progress),
            may_vote: self.may_vote(),
            halted: self.halted,
        }
    }
}

/// A snapshot of a chain for operators and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainStatus {
    /// The epoch whose validators decide the next height to be executed.
    pub epoch: Epoch,
    /// Its last height, once that is scheduled.
    pub last_height: Option<Height>,
    /// How many validators it has.
    pub validators: usize,
    /// How many of them were heard a moment ago, this node's own included.
    pub heard: usize,
    /// Those that were not, once this node has listened for long enough.
    pub silent: SeatSet,
    /// Whether this node is one of them.
    pub is_validator: bool,
    /// Highest block that is final and complete here.
    pub final_height: Height,
    /// Highest block executed here.
    pub executed_height: Height,
    /// Highest height under a quorum certificate.
    pub certified_height: Height,
    /// Highest result that some honest validator announced: the distance to it is how far this node is behind. `None`
    /// until enough of them were heard.
    pub highest_announced: Option<Height>,
    /// Transactions waiting to be sealed.
    pub pooled_transactions: usize,
    /// Their bytes.
    pub pooled_bytes: usize,
    /// Batches in memory.
    pub batches: usize,
    /// Bundles in memory.
    pub bundles: usize,
    /// Questions of the engine without an answer.
    pub open_questions: usize,
    /// Final blocks that are not executed.
    pub final_waiting: usize,
    /// Things asked of peers.
    pub fetches: usize,
    /// Where this node is behind and its peers have pruned the block that it needs next: the lowest height that one of them holds.
    pub pruned_below: Option<Height>,
    /// How far it is with fetching a snapshot, while it has no state.
    pub joining: Option<JoinProgress>,
    /// Whether the node votes and seals.
    pub may_vote: bool,
    /// Whether the chain has stopped for good.
    pub halted: bool,
}
