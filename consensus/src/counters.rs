//! Counters of one engine, for metrics and for tests.
//!
//! Every place that gives something up (a full lane, a blocked peer, a full mailbox) counts it here, so that
//! nothing is lost in silence.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of an engine's counters; all count since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Views for which a quorum of votes was seen.
    pub views_notarized: u64,
    /// Views that a quorum skipped.
    pub views_nullified: u64,
    /// Highest finalized view.
    pub finalized_view: u64,
    /// Frames handed to the transport.
    pub frames_sent: u64,
    /// Frames that the transport did not take (queue full, not connected) or that exceed their cap.
    pub frames_unsent: u64,
    /// Frames given to the engine.
    pub frames_received: u64,
    /// Frames refused before they reached the engine, for any reason of `Refused`.
    pub frames_refused: u64,
    /// Frames discarded over a peer's rate limit, or queued by a peer that has since been blocked.
    pub frames_discarded: u64,
    /// Times a validator was blocked.
    pub blocks: u64,
    /// Requests that the application was too slow to take.
    pub requests_dropped: u64,
}

/// The live counters, shared by the parts of one engine.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    pub(crate) views_notarized: AtomicU64,
    pub(crate) views_nullified: AtomicU64,
    pub(crate) finalized_view: AtomicU64,
    pub(crate) frames_sent: AtomicU64,
    pub(crate) frames_unsent: AtomicU64,
    pub(crate) frames_received: AtomicU64,
    pub(crate) frames_refused: AtomicU64,
    pub(crate) frames_discarded: AtomicU64,
    pub(crate) blocks: AtomicU64,
    pub(crate) requests_dropped: AtomicU64,
}

impl Meters {
    pub(crate) fn finalized(&self, view: u64) {
        self.finalized_view.fetch_max(view, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            views_notarized: read(&self.views_notarized),
            views_nullified: read(&self.views_nullified),
            finalized_view: read(&self.finalized_view),
            frames_sent: read(&self.frames_sent),
            frames_unsent: read(&self.frames_unsent),
            frames_received: read(&self.frames_received),
            frames_refused: read(&self.frames_refused),
            frames_discarded: read(&self.frames_discarded),
            blocks: read(&self.blocks),
            requests_dropped: read(&self.requests_dropped),
        }
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
