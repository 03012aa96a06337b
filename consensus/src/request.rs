//! What the engine asks of the application, and what it tells it.
//!
//! The engine orders 32-byte digests; heights, bodies and their meaning belong to the application.
//! Each question carries a [`Reply`]. What an unanswered or dropped reply means differs by question and is
//! written on the variant: it decides between a lost view and a stuck one.

use ledger::proofs::FinalityProof;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// A question or a report of the engine, received from [`Requests`](crate::Requests).
#[derive(Debug)]
pub enum Request {
    /// This validator leads `slot`: propose a child of `parent`.
    ///
    /// Dropping the reply declines: the others skip the view at once. Holding it costs the leader timeout.
    /// A digest sent here must later validate and be available at this node. At most one is open.
    Propose {
        /// The slot to fill.
        slot: Slot,
        /// Digest of the parent, at `slot.parent_view`.
        parent: [u8; 32],
        /// Takes the digest of the proposed block.
        reply: Reply<[u8; 32]>,
    },
    /// Another leader proposed `digest`: may this node vote for it?
    ///
    /// `true` only when the block and everything it names is valid and durable. `false` means *invalid for
    /// ever* and votes the view down. For "not yet" keep the reply: the engine cancels it when the view ends.
    /// Dropping it also votes the view down, at once, and says nothing of the block: at shutdown, and for a proposal that cannot
    /// become valid while the view lasts. After as many views without a block as there are validators the engine
    /// waits for its timeouts again, so views never spin. At most one is open. Asked again
    /// after a restart if the vote was not yet durable.
    Validate {
        /// The slot that the leader filled.
        slot: Slot,
        /// Digest of the parent, at `slot.parent_view`.
        parent: [u8; 32],
        /// The proposed digest.
        digest: [u8; 32],
        /// Takes the verdict.
        reply: Reply<bool>,
    },
    /// A quorum voted for `digest`: does this node hold it completely and durably?
    ///
    /// The answer must be the same at every honest node: ancestry, completeness and durability only, never
    /// the clock. Keep the reply until the data is there. *Never drop it*: a dropped reply leaves the view
    /// uncertified at this node until it restarts. Several may be open; a later finalization cancels them.
    /// Asked again after a restart. Asked of observers too.
    Available {
        /// Epoch of the view.
        epoch: u64,
        /// View in which the digest was proposed.
        view: u64,
        /// The digest a quorum voted for.
        digest: [u8; 32],
        /// Takes the verdict.
        reply: Reply<bool>,
    },
    /// Send the block of `digest` to `to`; best effort.
    Disseminate {
        /// Epoch of the view.
        epoch: u64,
        /// View in which the digest was proposed.
        view: u64,
        /// Whose block to send.
        digest: [u8; 32],
        /// Who needs it.
        to: Recipients,
    },
    /// A digest is final, and so are all its ancestors. At least once, views may be skipped: walk parents.
    Finalized(FinalityProof),
    /// A validator provably broke the protocol.
    Evidence(Evidence),
}

/// One turn of one leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Epoch of the validator set.
    pub epoch: u64,
    /// View within the epoch; views start at 1 and may be skipped.
    pub view: u64,
    /// View of the parent; 0 is the epoch's floor digest.
    pub parent_view: u64,
    /// Index of the leader in the validator set, which is sorted by consensus key bytes.
    pub leader: u16,
}

/// Who should get a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every other validator.
    All,
    /// These validators.
    Some(Vec<u16>),
}

/// Two contradicting votes of one validator; both signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What was broken.
    pub kind: EvidenceKind,
    /// Epoch of the votes.
    pub epoch: u64,
    /// View of the votes.
    pub view: u64,
    /// Index of the validator that signed both.
    pub validator: u16,
    /// Both votes in the engine's encoding.
    pub bytes: Vec<u8>,
}

/// The ways in which votes contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKind {
    /// Two notarize votes for different proposals of one view.
    ConflictingNotarize,
    /// Two finalize votes for different proposals of one view.
    ConflictingFinalize,
    /// A nullify and a finalize vote in one view.
    NullifyFinalize,
}

/// The answer to one question. Dropping it declines; see the question for what that means.
pub struct Reply<T>(Box<dyn Answer<T>>);

impl<T: Send + 'static> Reply<T> {
    /// A reply and the receiver that the engine waits on.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<T>) {
        Self::channel_as(|value| value)
    }

    /// The same, where the engine waits for the answer in a type of its own.
    pub(crate) fn channel_as<W: Send + 'static>(
        convert: impl Fn(T) -> W + Send + 'static,
    ) -> (Self, oneshot::Receiver<W>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Box::new((sender, convert))), receiver)
    }

    /// Answers. Returns false if the engine no longer wants to know.
    pub fn send(self, value: T) -> bool {
        self.0.send(value)
    }

    /// Whether the engine gave the question up (the view ended, or the engine did).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Resolves when the engine gives the question up.
    pub async fn cancelled(&mut self) {
        poll_fn(|context| self.0.poll_cancelled(context)).await;
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// Hides the type in which the engine takes an answer.
trait Answer<T>: Send {
    fn send(self: Box<Self>, value: T) -> bool;
    fn is_cancelled(&self) -> bool;
    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

impl<T, W: Send, F: Fn(T) -> W + Send> Answer<T> for (oneshot::Sender<W>, F) {
    fn send(self: Box<Self>, value: T) -> bool {
        let (sender, convert) = *self;
        sender.send(convert(value)).is_ok()
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }

    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_closed(context)
    }
}
