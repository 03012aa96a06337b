//! What comes in on the relays' lane: questions, answers, bundles for the chains of this node.
//!
//! - One task, frame by frame, the peers by turns; it waits for no disk. Questions cost one read of the state's head in a height, however often
//!   they are asked, and one read at a time.
//! - A bundle waits for its chain's driver. What waits of one peer is bounded, so whoever floods takes nobody's place; what finds none is
//!   dropped, and its sender gives it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chain::config::BUNDLES_UNDER_CHECK_MAX;
use chain::{Frame, Input, Reached, reached};
use ledger::values::{ChainId, Height, NodeIndex};
use network::{LaneReceiver, Network};
use storage::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::frame::RelayFrame;
use super::hints::{Hints, Seats};
use super::{Inlet, UNDER_WAY_MAX};
use crate::handle::{ChainHandle, Status};
use crate::rarely::Rarely;

/// Chains that one peer may carry from at a time.
const SOURCES_PER_PEER: usize = 4;
/// Bundles of one peer that wait for a chain's driver: what an honest relay of so many sources has under way, given once more before the first is
/// taken in. The chain checks [`BUNDLES_UNDER_CHECK_MAX`] of them at a time; what comes above that is given again.
const CARRIED_PER_PEER_MAX: usize = 2 * UNDER_WAY_MAX * SOURCES_PER_PEER;
const _: () =
    assert!(CARRIED_PER_PEER_MAX >= BUNDLES_UNDER_CHECK_MAX, "a peer's share of checks can be filled");
const _: () =
    assert!(2 * UNDER_WAY_MAX <= BUNDLES_UNDER_CHECK_MAX, "one source's bundles are checked together");
/// Bundles of all peers that wait for it.
pub(super) const CARRIED_MAX: usize = 256;
const _: () = assert!(CARRIED_MAX >= 8 * CARRIED_PER_PEER_MAX, "some peers that flood leave room for others");

/// A bundle that another node has sent.
pub(crate) struct Carried {
    from: NodeIndex,
    bundle: Bytes,
    /// Its sender's place, free again when the driver takes the bundle.
    _place: OwnedSemaphorePermit,
}

impl Carried {
    /// As the chain takes it: like any frame of a peer.
    pub(super) fn into_input(self) -> Input {
        Input::Frame { from: self.from, bytes: Frame::Bundle(self.bundle).encode() }
    }
}

/// The task.
pub(super) struct Inbox {
    lane: LaneReceiver,
    network: Network,
    lane_number: usize,
    chains: BTreeMap<ChainId, Hosted>,
    seats: watch::Receiver<Arc<Seats>>,
    hints: Arc<Mutex<Hints>>,
    rarely: Rarely,
}

/// A chain that this node hosts.
struct Hosted {
    store: Arc<dyn Store>,
    door: Door,
    status: watch::Receiver<Status>,
    /// What was read last, and after which height.
    reached: Arc<Mutex<Option<ReachedAt>>>,
    /// The place of the one read that is under way.
    reader: Arc<Semaphore>,
}

/// How far a chain had come with each other one, after a height.
type ReachedAt = (Height, Vec<(ChainId, Reached)>);

/// The way of an answer back.
struct Reply {
    network: Network,
    lane_number: usize,
    to: u16,
    pair: (ChainId, ChainId),
}

impl Reply {
    fn send(&self, found: &[(ChainId, Reached)]) {
        let (source, destination) = self.pair;
        let of_source = found.iter().find(|(of, _)| *of == source);
        let reached = of_source.map_or_else(Reached::default, |(_, reached)| *reached);
        let frame = RelayFrame::Received { source, destination, reached }.encode();
        // It asks again.
        let _lost = self.network.try_send(self.to, self.lane_number, frame).is_err();
    }
}

/// Where the bundles of other nodes come in.
struct Door {
    carried: mpsc::Sender<Carried>,
    /// Free places of each peer; as many as the registry has nodes.
    places: BTreeMap<u16, Arc<Semaphore>>,
}

impl Door {
    const fn new(carried: mpsc::Sender<Carried>) -> Self {
        Self { carried, places: BTreeMap::new() }
    }

    /// Whether there was a place.
    fn let_in(&mut self, from: u16, bundle: Bytes) -> bool {
        let places =
            self.places.entry(from).or_insert_with(|| Arc::new(Semaphore::new(CARRIED_PER_PEER_MAX)));
        let Ok(place) = Arc::clone(places).try_acquire_owned() else { return false };
        self.carried.try_send(Carried { from: NodeIndex(from), bundle, _place: place }).is_ok()
    }
}

impl Inbox {
    pub(super) fn new(
        (lane, network, lane_number): (LaneReceiver, Network, usize),
        (chains, inlets): (&[ChainHandle], &[Inlet]),
        seats: watch::Receiver<Arc<Seats>>,
        hints: Arc<Mutex<Hints>>,
    ) -> Self {
        let hosted = |(handle, inlet): (&ChainHandle, &Inlet)| {
            let hosted = Hosted {
                store: Arc::clone(&inlet.store),
                door: Door::new(inlet.carried.clone()),
                status: handle.status.clone(),
                reached: Arc::default(),
                reader: Arc::new(Semaphore::new(1)),
            };
            (inlet.chain, hosted)
        };
        let chains = chains.iter().zip(inlets).map(hosted).collect();
        Self { lane, network, lane_number, chains, seats, hints, rarely: Rarely::default() }
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let (from, bytes) = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                received = self.lane.recv() => match received {
                    Some(received) => received,
                    None => return,
                },
            };
            match RelayFrame::decode(&bytes) {
                Some(RelayFrame::Ask { source, destination }) => self.answer(from, source, destination),
                Some(RelayFrame::Received { source, destination, reached }) => {
                    self.hear((source, destination), NodeIndex(from), reached);
                }
                Some(RelayFrame::Bundle { destination, bytes }) => self.deliver(from, destination, bytes),
                None => self.tell(from, "a relay's frame that is none"),
            }
            // Whoever floods leaves the thread to others.
            tokio::task::yield_now().await;
        }
    }

    /// Answers from what was read at the newest height; else a read is begun, one at a time for each chain, and answers when it ends.
    fn answer(&self, from: u16, source: ChainId, destination: ChainId) {
        let Some(hosted) = self.chains.get(&destination) else { return };
        let reply = Reply {
            network: self.network.clone(),
            lane_number: self.lane_number,
            to: from,
            pair: (source, destination),
        };
        let executed = hosted.status.borrow().chain.executed_height;
        let known = hosted.reached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_old = known.as_ref().is_none_or(|(height, _)| *height != executed);
        if is_old && let Ok(place) = Arc::clone(&hosted.reader).try_acquire_owned() {
            let (store, cell) = (Arc::clone(&hosted.store), Arc::clone(&hosted.reached));
            let _detached = tokio::task::spawn_blocking(move || {
                match reached(store.as_ref()) {
                    Ok(found) => {
                        reply.send(&found);
                        *cell.lock().unwrap_or_else(PoisonError::into_inner) = Some((executed, found));
                    }
                    // The chain itself halts where its store fails.
                    Err(fault) => tracing::debug!(%fault, "a relay's question is not answered"),
                }
                drop(place);
            });
        } else if let Some((_, found)) = known {
            // Of a height before, while the newest is being read: a hint, and it asks again.
            reply.send(&found);
        }
    }

    fn hear(&self, pair: (ChainId, ChainId), from: NodeIndex, reached: Reached) {
        if self.chains.contains_key(&pair.0) {
            let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
            hints.heard(&self.seats.borrow(), pair, from, reached);
        }
    }

    fn deliver(&mut self, from: u16, destination: ChainId, bundle: Bytes) {
        if let Some(hosted) = self.chains.get_mut(&destination) {
            let _no_place = !hosted.door.let_in(from, bundle);
        }
    }

    /// Told when it begins, and then as its count doubles.
    fn tell(&mut self, from: u16, what: &'static str) {
        if let Some(times) = self.rarely.count(from, what) {
            tracing::warn!(peer = from, times, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_floods_takes_its_own_places_only() {
        let (sender, mut carried) = mpsc::channel(CARRIED_MAX);
        let mut door = Door::new(sender);
        let bundle = || Bytes::from_static(b"a bundle");
        for number in 0..1_000 {
            assert_eq!(door.let_in(1, bundle()), number < CARRIED_PER_PEER_MAX, "{number}");
        }
        assert!(door.let_in(2, bundle()), "another peer finds a place");
        let first = carried.try_recv().unwrap();
        assert!(!door.let_in(1, bundle()), "it is the driver's, and not taken in yet");
        let Input::Frame { from, bytes } = first.into_input() else { panic!("no frame") };
        assert_eq!((from, Frame::decode(&bytes)), (NodeIndex(1), Ok(Frame::Bundle(bundle()))));
        assert!(door.let_in(1, bundle()), "its place is free again");
        drop(carried);
        assert!(!door.let_in(3, bundle()), "the chain has stopped");
    }

    #[test]
    fn all_peers_together_are_bounded() {
        let (sender, _carried) = mpsc::channel(CARRIED_MAX);
        let mut door = Door::new(sender);
        let from_all = (0..4 * CARRIED_MAX).filter(|peer| door.let_in(*peer as u16, Bytes::new())).count();
        assert_eq!(from_all, CARRIED_MAX);
    }
}
