//! The chain's face: what goes in, what comes out. No clock, socket, thread or disk of its own.
//!
//! ```text
//! engine questions ─┐                      ┌─ Reply   (to the engine)
//! peers' frames ────┤                      ├─ Send    (to peers)
//! completions ──────┼─► Chain::step(now) ──┼─ Persist (to disk, in order) ─────► Input::Persisted
//! wake-ups ─────────┘                      ├─ VerifySignatures, CheckBundle, Execute, Serve ► Input::…
//!                                          └─ WakeAt, Report
//! admitted payments ──► Chain::submit(now) ─► refusals
//! ```
//!
//! The driver performs effects in the order given; `Persist` effects of one chain reach the disk in that order, so a
//! synced one makes everything before it durable too.

use std::sync::Arc;

use bytes::Bytes;
use ledger::records::{Batch, Block, Bundle, Claim, Counter, NotExecuted};
use ledger::rules::{BundleFacts, ChainRules};
use ledger::values::{
    BatchDigest, BlockDigest, BundleDigest, ChainId, Epoch, Height, NodeIndex, TimestampMs, TransactionId,
    ValidatorIndex, View,
};
use storage::{Durability, WriteSet};

use crate::frame::{Frame, Lane, RequestedChunks, RequestedPiece};

/// The two clocks, as the driver reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, for block timestamps only.
    pub wall: TimestampMs,
    /// Monotonic milliseconds since any fixed moment, for everything that waits.
    pub elapsed_ms: u64,
}

/// Names a question of the consensus engine; the driver keeps the way to answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One turn of one leader, as the engine tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The view.
    pub view: View,
    /// Who leads it.
    pub leader: ValidatorIndex,
    /// The block to extend.
    pub parent: BlockDigest,
}

/// What the engine asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Propose a child of the turn's parent.
    Propose {
        /// Our turn.
        turn: Turn,
    },
    /// May we vote for this proposal?
    Validate {
        /// The leader's turn.
        turn: Turn,
        /// What was proposed.
        digest: BlockDigest,
    },
    /// Do we hold this block, its ancestors and all their batches, durably?
    Available {
        /// The view it was proposed in.
        view: View,
        /// The block.
        digest: BlockDigest,
    },
}

impl Question {
    /// The view it belongs to.
    #[must_use]
    pub const fn view(&self) -> View {
        match self {
            Self::Propose { turn } | Self::Validate { turn, .. } => turn.view,
            Self::Available { view, .. } => *view,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A peer sent a frame.
    Frame {
        /// Who.
        from: NodeIndex,
        /// The bytes.
        bytes: Bytes,
    },
    /// This node's relay has made a bundle for this chain.
    Relayed {
        /// The bundle, encoded.
        bundle: Bytes,
    },
    /// The engine asks.
    Asked {
        /// To answer by.
        ticket: Ticket,
        /// Of which epoch's engine; one that has ended is asking in vain.
        epoch: Epoch,
        /// What.
        question: Question,
    },
    /// The engine no longer wants to know.
    Cancelled(Ticket),
    /// The engine wants a block sent.
    Disseminate {
        /// Which.
        digest: BlockDigest,
        /// To whom; `None` for every validator.
        to: Option<Vec<ValidatorIndex>>,
    },
    /// The engine finalized a block and all its ancestors.
    Finalized {
        /// The epoch of the certificate.
        epoch: Epoch,
        /// The view of the certificate.
        view: View,
        /// The block.
        digest: BlockDigest,
        /// The certificate, as [`ledger::proofs::FinalityProof`] encodes it.
        certificate: Bytes,
    },
    /// The engine saw two contradicting votes.
    Misbehaved {
        /// In which epoch.
        epoch: Epoch,
        /// Whose.
        validator: ValidatorIndex,
        /// Both votes.
        evidence: Bytes,
    },
    /// A synced write is on disk.
    Persisted(BlockDigest),
    /// A batch's signatures were checked.
    SignaturesChecked {
        /// The batch.
        digest: BatchDigest,
        /// Position of the first transaction with a bad signature, if any.
        first_bad: Option<usize>,
    },
    /// A bundle's proof was checked.
    BundleChecked {
        /// The bundle.
        digest: BundleDigest,
        /// What a block needs to know of it; `None` where the proof does not hold.
        facts: Option<BundleFacts>,
    },
    /// A block was executed and committed.
    Executed(Executed),
    /// A request of a peer was served.
    Served {
        /// Whose.
        to: NodeIndex,
        /// On which lane.
        lane: Lane,
    },
    /// A wake-up that was asked for.
    Wake,
}

/// What execution says of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Its height and result.
    pub claim: Claim,
    /// The claim that the block carries.
    pub certified: Claim,
    /// Its batches.
    pub batches: Vec<BatchDigest>,
    /// Its bundles.
    pub bundles: Vec<BundleDigest>,
    /// Receipts received so far from each chain that any came from.
    pub received: Vec<(ChainId, Counter)>,
    /// Chains whose next receipts carry more money than can exist: they were passed over.
    pub unbacked: Vec<ChainId>,
    /// The rules from the next height on, where this one changed them.
    pub rules: Option<Box<ChainRules>>,
    /// Every transaction that the block ordered, executed or not: none of them needs to wait any longer.
    pub transactions: Vec<TransactionId>,
    /// Those of them that consumed no nonce, and why.
    pub skipped: Vec<(TransactionId, NotExecuted)>,
    /// How far wallets are on their way to a child.
    pub moved: Moved,
}

/// What a block did of moving wallets to a child, and what is left (PROTOCOL rule 25); nothing on a chain that moves none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Wallets that left.
    pub wallets: u64,
    /// Wallets that stay for now, because a lock or an offer names them.
    pub kept: u64,
    /// Slots that are still to be looked at.
    pub slots_left: u64,
}

/// What the driver is to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "effects are made once and moved once")]
pub enum Effect {
    /// Send a frame to one node; it may be lost.
    Send {
        /// To whom.
        to: NodeIndex,
        /// On which stream.
        lane: Lane,
        /// The bytes.
        bytes: Bytes,
    },
    /// Write to disk, in order.
    Persist {
        /// What.
        set: WriteSet,
        /// Whether to wait for the disk.
        durability: Durability,
        /// Report `Persisted` with this block when done.
        then: Option<BlockDigest>,
    },
    /// Check every transaction signature of a batch.
    VerifySignatures {
        /// The batch.
        digest: BatchDigest,
        /// Its content.
        batch: Arc<Batch>,
    },
    /// Check the proof of a bundle ([`ledger::rules::check_bundle`]): a quorum of signatures.
    CheckBundle {
        /// The bundle.
        digest: BundleDigest,
        /// What it is judged by.
        rules: Box<ChainRules>,
        /// Its content.
        bundle: Arc<Bundle>,
    },
    /// Execute and commit the next final block.
    Execute(Box<FinalBlock>),
    /// Answer a peer, all of it on one lane, then report `Served`.
    Serve {
        /// Whom.
        to: NodeIndex,
        /// On which lane: [`Lane::Block`] for a block that somebody asked for by its digest, and [`Lane::Batch`] for bundles, because a
        /// vote may wait for them;
        /// [`Lane::Sync`] for everything else.
        lane: Lane,
        /// What was at hand.
        held: Vec<Frame>,
        /// What is to be read from disk.
        request: Option<Request>,
    },
    /// Answer a question of the engine.
    Reply {
        /// Which.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Call `step(Wake)` at this time at the latest; replaces earlier wishes.
    WakeAt {
        /// On the monotonic clock.
        elapsed_ms: u64,
    },
    /// Something that people and metrics should know.
    Report(Report),
}

/// How much room the disk has, as the driver judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The chain votes.
    Enough,
    /// It declines its turns and neither votes nor seals. It follows, which writes what the others decide, and
    /// acknowledges their batches.
    Low,
    /// It writes nothing any more: it takes in no block and no batch, executes nothing, keeps no evidence and deletes
    /// nothing. It serves what it has.
    None,
}

/// A final block on its way into the state.
#[derive(Debug, Clone)]
pub struct FinalBlock {
    /// Its digest.
    pub digest: BlockDigest,
    /// The block.
    pub block: Arc<Block>,
    /// Its batches, in order.
    pub batches: Vec<Arc<Batch>>,
    /// Its bundles, in order.
    pub bundles: Vec<Arc<Bundle>>,
    /// The certificate, if one names exactly this block.
    pub certificate: Option<Bytes>,
    /// Whether it is on disk with all its batches and bundles already. Otherwise some may still wait in the line to the disk, which
    /// the executor's own write overtakes: then that write must bring them along.
    pub is_durable: bool,
}

/// What a peer may ask of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// These batches.
    Batches(Vec<BatchDigest>),
    /// These bundles.
    Bundles(Vec<BundleDigest>),
    /// This block.
    Block(BlockDigest),
    /// Final blocks from this height on, up to one with a certificate.
    Blocks(Height),
    /// Something of the snapshots that this node keeps.
    Snapshot(SnapshotRequest),
}

/// What a joining node may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRequest {
    /// Which snapshots there are.
    Offers,
    /// A piece of a manifest.
    Piece(RequestedPiece),
    /// Chunks.
    Chunks(RequestedChunks),
}

/// Answers to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Our proposal.
    Proposal(BlockDigest),
    /// Yes or no.
    Verdict(bool),
    /// We do not propose in this turn, or let the view go that a leader fills too early; nothing is said of its block.
    Decline,
}

/// News.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A block was executed; its transactions are final.
    Final {
        /// Its height.
        height: Height,
    },
    /// Results up to this height are under a quorum certificate.
    Certified {
        /// The height.
        height: Height,
    },
    /// This node sealed a batch.
    Sealed {
        /// How many transactions are in it.
        transactions: usize,
    },
    /// Pooled transactions ran out of time.
    Expired {
        /// Which.
        transactions: Vec<TransactionId>,
    },
    /// Pooled transactions lost their place to higher bids.
    Outbid {
        /// Which.
        transactions: Vec<TransactionId>,
    },
    /// A validator broke the rules; kept on disk.
    Evidence {
        /// Who.
        validator: ValidatorIndex,
        /// What, in one word.
        kind: &'static str,
    },
    /// A validator broke the rules, and that is not kept: its share is full or has the same already, or there is no room.
    EvidenceDropped {
        /// Who.
        validator: ValidatorIndex,
        /// What, in one word.
        kind: &'static str,
    },
    /// A peer sent something wrong and is not asked again for a while.
    Distrusted {
        /// Who.
        node: NodeIndex,
        /// Why.
        reason: &'static str,
    },
    /// The last block of an epoch is final and executed: the next set decides. The engine of the epoch is done; that of the next one
    /// begins above `last`.
    EpochEnded {
        /// The epoch that ended.
        epoch: Epoch,
        /// Its last height.
        height: Height,
        /// The block there.
        last: BlockDigest,
    },
    /// The node fetches the state of a height from its peers instead of replaying what led there: it has begun, or is so far now.
    Joining {
        /// The height; height 0 where nobody offers the one that was begun any longer.
        height: Height,
        /// Chunks of its records; none where nobody offers it.
        chunks: u64,
        /// Those that are still to be fetched.
        missing: u64,
    },
    /// No snapshot is far enough ahead of a node that would join by one: it replays.
    Replays {
        /// Peers that said what they have.
        peers: usize,
        /// The newest height that any of them offered.
        newest: Option<Height>,
    },
    /// This node is behind, and more peers than may lie have pruned the block that it needs next; none has given it so far.
    PrunedEverywhere {
        /// The height of that block.
        next: Height,
        /// The lowest height that one of them holds.
        below: Height,
    },
    /// The whole state of a height is on disk: the node must start anew, which puts it together and compares it with the state root.
    Joined {
        /// The height.
        height: Height,
    },
    /// A final claim contradicts this node's own result: it must stop (PROTOCOL rule 14; see [`crate::rollback`]).
    Diverged {
        /// What this node computed.
        own: Claim,
        /// What a quorum certified, for the same height.
        certified: Claim,
        /// The last height whose own result is the certified one.
        back_to: Height,
    },
}
