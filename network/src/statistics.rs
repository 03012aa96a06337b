//! What the network has done so far. Counters only grow (rates are the reader's business); depths and ages
//! are of the moment. A metrics endpoint reads this; the crate itself exports nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// All of it, at one moment. The numbers of different lanes are not read at exactly the same instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkStatistics {
    /// Incoming connections from keys that are not in the registry, and those above the connection limits.
    pub denied_connections: u64,
    /// Incoming connections that did not finish their handshake.
    pub broken_handshakes: u64,
    /// One entry per peer of the registry, by index.
    pub peers: Vec<PeerStatistics>,
}

/// One peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerStatistics {
    /// Its index.
    pub peer: u16,
    /// Whether lanes are open to it.
    pub connected: bool,
    /// Whether it is blocked.
    pub blocked: bool,
    /// Milliseconds since its last byte; `None` without a connection.
    pub silence_ms: Option<u64>,
    /// Connections established with it.
    pub connections: u64,
    /// Its connections refused because it was blocked or had enough.
    pub denied_connections: u64,
    /// Dials that failed, a wrong key at its address included.
    pub dial_failures: u64,
    /// Dials that met another key at its address.
    pub wrong_keys: u64,
    /// Connections closed because it was silent.
    pub silent_connections: u64,
    /// Connections on which it turned out to speak for another network.
    pub foreign_connections: u64,
    /// One entry per lane, in the configuration's order.
    pub lanes: Vec<LaneStatistics>,
}

/// One lane with one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneStatistics {
    /// Frames received.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames written to the stream.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Frames not taken because the lane was full.
    pub refused_out: u64,
    /// Frames taken and then not written: the link was lost or the stream broke.
    pub dropped_out: u64,
    /// Frames received and then dropped because the peer was blocked.
    pub dropped_in: u64,
    /// Streams closed because the peer announced a frame above the lane's maximum.
    pub oversize_in: u64,
    /// Streams we opened.
    pub streams_opened: u64,
    /// Streams the peer opened; each replaces the one before.
    pub streams_accepted: u64,
    /// Attempts to open that got no answer in time.
    pub open_timeouts: u64,
    /// Attempts to open that failed otherwise: the connection broke, or the peer does not have the lane.
    pub open_failures: u64,
    /// Streams closed because they took no byte in time.
    pub write_timeouts: u64,
    /// Age of our outbound stream; `None` without one.
    pub stream_age_ms: Option<u64>,
    /// Frames waiting to be sent.
    pub queued_frames: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Frames received and not yet taken by the receiver.
    pub inbound_frames: u64,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A moment that may be absent, in ms since the network's start.
#[derive(Debug, Default)]
pub(crate) struct Moment(AtomicU64);

impl Moment {
    pub(crate) fn set(&self, since_start_ms: u64) {
        self.0.store(since_start_ms + 1, Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    /// Milliseconds from then to `since_start_ms`.
    pub(crate) fn age_ms(&self, since_start_ms: u64) -> Option<u64> {
        self.0.load(Relaxed).checked_sub(1).map(|then| since_start_ms.saturating_sub(then))
    }
}

/// The counters behind [`LaneStatistics`].
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    pub(crate) frames_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) refused_out: Counter,
    pub(crate) dropped_out: Counter,
    pub(crate) dropped_in: Counter,
    pub(crate) oversize_in: Counter,
    pub(crate) streams_opened: Counter,
    pub(crate) streams_accepted: Counter,
    pub(crate) open_timeouts: Counter,
    pub(crate) open_failures: Counter,
    pub(crate) write_timeouts: Counter,
    pub(crate) stream_opened: Moment,
}

/// The counters behind [`PeerStatistics`].
#[derive(Debug, Default)]
pub(crate) struct PeerCounters {
    pub(crate) connections: Counter,
    pub(crate) denied_connections: Counter,
    pub(crate) dial_failures: Counter,
    pub(crate) wrong_keys: Counter,
    pub(crate) silent_connections: Counter,
    pub(crate) foreign_connections: Counter,
}
