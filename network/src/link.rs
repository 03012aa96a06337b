//! What the parts of the crate share about one peer: its queues, its counters, whether it is up or blocked.
//!
//! The driver alone opens and shuts a link; senders, writers and readers only look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};

use crate::config::{Lane, Peer};
use crate::error::SendError;
use crate::inbound::InboundLane;
use crate::limits::BLOCK_MAX;
use crate::queue::OutboundQueue;
use crate::statistics::{LaneCounters, LaneStatistics, Moment, PeerCounters, PeerStatistics};

/// One peer of the registry, for as long as its index and key stay in it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: u16,
    pub(crate) network_key: [u8; 32],
    pub(crate) counters: PeerCounters,
    /// The configuration's lanes, then the keep-alive lane.
    pub(crate) lanes: Vec<LinkLane>,
    start: Instant,
    up: AtomicBool,
    heard: Moment,
    blocked_until: Mutex<Option<Instant>>,
}

/// One lane with that peer.
#[derive(Debug)]
pub(crate) struct LinkLane {
    pub(crate) queue: OutboundQueue,
    /// Free places in the inbound queue.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) counters: LaneCounters,
    pub(crate) frame_bytes_max: usize,
}

impl Link {
    /// A link that is down. `lanes` ends with the keep-alive lane; `start` is the network's.
    pub(crate) fn new(peer: &Peer, lanes: &[Lane], start: Instant) -> Self {
        let lanes = lanes.iter().map(|lane| LinkLane {
            queue: OutboundQueue::new(lane.outbound_frames_max, lane.outbound_bytes_max),
            room: Arc::new(Semaphore::new(lane.inbound_frames_max)),
            counters: LaneCounters::default(),
            frame_bytes_max: lane.frame_bytes_max,
        });
        Self {
            peer: peer.index,
            network_key: peer.network_key,
            counters: PeerCounters::default(),
            lanes: lanes.collect(),
            start,
            up: AtomicBool::new(false),
            heard: Moment::default(),
            blocked_until: Mutex::new(None),
        }
    }

    /// Queues a frame. `lane` exists.
    pub(crate) fn send(&self, lane: &LinkLane, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > lane.frame_bytes_max {
            return Err(SendError::Oversize);
        }
        let sent = lane.queue.push(frame);
        if sent == Err(SendError::Full) {
            lane.counters.refused_out.add(1);
        }
        sent
    }

    /// Lanes are open: let frames in.
    pub(crate) fn raise(&self) {
        self.up.store(true, Ordering::Release);
        for lane in &self.lanes {
            lane.queue.open();
        }
    }

    /// No connection is left, or the peer is blocked: let no frames in, drop those waiting.
    pub(crate) fn lower(&self) {
        self.up.store(false, Ordering::Release);
        for lane in &self.lanes {
            lane.counters.dropped_out.add(lane.queue.shut());
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Blocks from now on for `duration`, or until an earlier block ends if that is later.
    pub(crate) fn block(&self, duration: Duration) {
        let until = Instant::now() + duration.min(BLOCK_MAX);
        let mut blocked = self.blocked();
        *blocked = Some(blocked.map_or(until, |earlier| earlier.max(until)));
        drop(blocked);
        self.lower();
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked().is_some_and(|until| Instant::now() < until)
    }

    /// Bytes arrived.
    pub(crate) fn hear(&self) {
        self.heard.set(self.since_start_ms());
    }

    /// No connection: silence means nothing.
    pub(crate) fn clear_heard(&self) {
        self.heard.clear();
    }

    /// How long nothing arrived, with a connection.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.heard.age_ms(self.since_start_ms()).map(Duration::from_millis)
    }

    pub(crate) fn since_start_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// The numbers; `inbound` are the configuration's lanes, so the keep-alive lane is not shown.
    pub(crate) fn statistics(&self, inbound: &[Arc<InboundLane>]) -> PeerStatistics {
        let now = self.since_start_ms();
        let lanes = self.lanes.iter().zip(inbound);
        PeerStatistics {
            peer: self.peer,
            connected: self.is_up(),
            blocked: self.is_blocked(),
            silence_ms: self.heard.age_ms(now),
            connections: self.counters.connections.get(),
            denied_connections: self.counters.denied_connections.get(),
            dial_failures: self.counters.dial_failures.get(),
            wrong_keys: self.counters.wrong_keys.get(),
            silent_connections: self.counters.silent_connections.get(),
            foreign_connections: self.counters.foreign_connections.get(),
            lanes: lanes.map(|(lane, inbound)| lane.statistics(now, inbound.depth(self.peer))).collect(),
        }
    }

    fn blocked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinkLane {
    fn statistics(&self, now: u64, inbound_frames: usize) -> LaneStatistics {
        let counters = &self.counters;
        let (queued_frames, queued_bytes) = self.queue.depth();
        LaneStatistics {
            frames_in: counters.frames_in.get(),
            bytes_in: counters.bytes_in.get(),
            frames_out: counters.frames_out.get(),
            bytes_out: counters.bytes_out.get(),
            refused_out: counters.refused_out.get(),
            dropped_out: counters.dropped_out.get(),
            dropped_in: counters.dropped_in.get(),
            oversize_in: counters.oversize_in.get(),
            streams_opened: counters.streams_opened.get(),
            streams_accepted: counters.streams_accepted.get(),
            open_timeouts: counters.open_timeouts.get(),
            open_failures: counters.open_failures.get(),
            write_timeouts: counters.write_timeouts.get(),
            stream_age_ms: counters.stream_opened.age_ms(now),
            queued_frames: queued_frames as u64,
            queued_bytes: queued_bytes as u64,
            inbound_frames: inbound_frames as u64,
        }
    }
}
