//! One lane's received frames: a bounded queue per peer, drained round robin.
//!
//! A reader takes room before it reads a frame from its stream. A peer that sends faster than the receiver
//! takes fills its own queue and then its own stream; the others do not notice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// The receiving end of a lane, one per lane of the configuration and in its order.
#[derive(Debug)]
pub struct LaneReceiver {
    lane: Arc<InboundLane>,
}

impl LaneReceiver {
    pub(crate) fn new(lane: Arc<InboundLane>) -> Self {
        Self { lane }
    }

    /// The next frame and the index of the peer that sent it; peers with frames waiting take turns. `None`
    /// once the network has stopped and everything received before has been taken. Safe to cancel.
    pub async fn recv(&mut self) -> Option<(u16, Bytes)> {
        loop {
            match self.lane.take() {
                Taken::Frame(peer, frame) => return Some((peer, frame)),
                Taken::Closed => return None,
                Taken::Nothing => self.lane.arrived.notified().await,
            }
        }
    }

    /// The same without waiting: `None` if nothing is waiting now.
    pub fn try_recv(&mut self) -> Option<(u16, Bytes)> {
        match self.lane.take() {
            Taken::Frame(peer, frame) => Some((peer, frame)),
            Taken::Closed | Taken::Nothing => None,
        }
    }
}

impl Drop for LaneReceiver {
    fn drop(&mut self) {
        self.lane.close();
        self.lane.lock().peers.clear();
    }
}

/// A frame in a queue with its place in the peer's bound.
type Held = (Bytes, OwnedSemaphorePermit);

/// The state readers and the receiver share.
#[derive(Debug, Default)]
pub(crate) struct InboundLane {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Only peers with frames waiting.
    peers: BTreeMap<u16, VecDeque<Held>>,
    /// The same peers, in the order of their turns.
    turns: VecDeque<u16>,
    closed: bool,
}

enum Taken {
    Frame(u16, Bytes),
    Nothing,
    Closed,
}

impl InboundLane {
    /// Queues a frame for which `room` was taken. False if nobody will ever take it.
    pub(crate) fn push(&self, peer: u16, frame: Bytes, room: OwnedSemaphorePermit) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        let queue = state.peers.entry(peer).or_default();
        queue.push_back((frame, room));
        if queue.len() == 1 {
            state.turns.push_back(peer);
        }
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Drops what waits from a peer. Returns how many frames that were.
    pub(crate) fn forget(&self, peer: u16) -> usize {
        let mut state = self.lock();
        state.turns.retain(|waiting| *waiting != peer);
        state.peers.remove(&peer).map_or(0, |queue| queue.len())
    }

    /// Frames waiting from a peer.
    pub(crate) fn depth(&self, peer: u16) -> usize {
        self.lock().peers.get(&peer).map_or(0, VecDeque::len)
    }

    /// Lets no more frames in; the receiver still gets those waiting.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn take(&self) -> Taken {
        let mut state = self.lock();
        while let Some(peer) = state.turns.pop_front() {
            let Some(queue) = state.peers.get_mut(&peer) else { continue };
            let held = queue.pop_front();
            if queue.is_empty() {
                state.peers.remove(&peer);
            } else {
                state.turns.push_back(peer);
            }
            if let Some((frame, _room)) = held {
                return Taken::Frame(peer, frame);
            }
        }
        if state.closed { Taken::Closed } else { Taken::Nothing }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    fn push(lane: &InboundLane, room: &Arc<Semaphore>, peer: u16, byte: u8) -> bool {
        match room.clone().try_acquire_owned() {
            Ok(permit) => lane.push(peer, Bytes::from(vec![byte]), permit),
            Err(_) => false,
        }
    }

    #[tokio::test]
    async fn peers_take_turns_and_room_returns() {
        let lane = Arc::new(InboundLane::default());
        let mut receiver = LaneReceiver::new(lane.clone());
        let (flooder, quiet) = (Arc::new(Semaphore::new(3)), Arc::new(Semaphore::new(3)));
        for byte in 0..3 {
            assert!(push(&lane, &flooder, 1, byte));
        }
        assert!(!push(&lane, &flooder, 1, 9));
        assert!(push(&lane, &quiet, 2, 7));
        let mut order = Vec::new();
        while let Some((peer, frame)) = receiver.try_recv() {
            order.push((peer, frame[0]));
        }
        assert_eq!(order, [(1, 0), (2, 7), (1, 1), (1, 2)]);
        assert_eq!(flooder.available_permits(), 3);
    }

    #[tokio::test]
    async fn forget_drops_one_peer_and_close_ends_after_the_rest() {
        let lane = Arc::new(InboundLane::default());
        let mut receiver = LaneReceiver::new(lane.clone());
        let room = Arc::new(Semaphore::new(9));
        for peer in [1, 2, 1] {
            assert!(push(&lane, &room, peer, 0));
        }
        assert_eq!(lane.forget(1), 2);
        assert_eq!(room.available_permits(), 8);
        lane.close();
        assert!(!push(&lane, &room, 1, 0));
        assert_eq!(receiver.recv().await.map(|(peer, _)| peer), Some(2));
        assert_eq!(receiver.recv().await, None);
    }
}
