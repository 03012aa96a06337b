//! Frames under way between nodes.
//!
//! Each frame is lost, or arrives after the model's delay and a drawn jitter; so frames overtake each other, which real
//! lanes never do: whoever stands this stands them. A frame to a node that crashed meanwhile is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::DeterministicContext;
use consensus::{Channel, InboundSender, Transport};
use ledger::values::{ChainId, NodeIndex};
use tokio::sync::{Notify, mpsc};

use crate::adversaries::{End, Turned};
use crate::dice::Dice;
use crate::plan::LinkModel;

/// Frames under way at once; more are lost.
const UNDER_WAY_MAX: usize = 262_144;
/// Frames that wait at one node for its driver; more are lost.
pub(crate) const FRAMES_WAITING_MAX: usize = 65_536;
/// A network without frames looks again after this time.
const IDLE_MS: u64 = 1_000;

/// All links. Clones are the same links.
#[derive(Clone)]
pub(crate) struct Links {
    state: Arc<Mutex<State>>,
    bell: Arc<Notify>,
    /// Nodes that do not send what they should.
    pub(crate) turned: Turned,
    /// Whose end of the links this is, where two nodes share a key.
    end: End,
}

/// Where frames for a node go in.
pub(crate) struct Port {
    pub(crate) engine: InboundSender,
    pub(crate) frames: mpsc::Sender<(NodeIndex, Bytes)>,
}

/// What links carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
}

struct State {
    dice: Dice,
    model: LinkModel,
    loss_per_mille: u16,
    side: BTreeSet<u16>,
    ports: BTreeMap<(u16, ChainId, End), Port>,
    turned: Turned,
    under_way: BTreeMap<(u64, u64), Parcel>,
    sequence: u64,
    carried: Carried,
}

/// A frame under way.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) chain: ChainId,
    pub(crate) from: u16,
    /// Which of the sender's nodes.
    pub(crate) end: End,
    pub(crate) to: u16,
    pub(crate) content: Content,
}

/// What is in it.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Engine { validator: u16, channel: Channel, bytes: Bytes },
    Chain(Bytes),
}

/// What of the links outlives a loss of power.
pub(crate) struct Cables {
    pub(crate) dice: Dice,
    pub(crate) model: LinkModel,
    pub(crate) loss_per_mille: u16,
    pub(crate) side: BTreeSet<u16>,
    pub(crate) carried: Carried,
    pub(crate) turned: Turned,
}

impl Cables {
    pub(crate) const fn new(dice: Dice, model: LinkModel, turned: Turned) -> Self {
        let carried = Carried { delivered: 0, lost: 0 };
        Self { dice, model, loss_per_mille: model.loss_per_mille, side: BTreeSet::new(), carried, turned }
    }
}

impl Links {
    /// Links with nothing under way, carried by a task of `context`.
    pub(crate) fn start(context: &DeterministicContext, cables: &Cables) -> Self {
        let state = State {
            dice: cables.dice.clone(),
            model: cables.model,
            loss_per_mille: cables.loss_per_mille,
            side: cables.side.clone(),
            ports: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sequence: 0,
            carried: cables.carried,
            turned: cables.turned.clone(),
        };
        let (turned, end) = (cables.turned.clone(), End::Own);
        let links = Self { state: Arc::new(Mutex::new(state)), bell: Arc::default(), turned, end };
        let carrier = links.clone();
        let clock = context.scope("links", "role", "clock");
        let place = context.scope("links", "role", "carrier");
        drop(place.run("carry", async move { carrier.carry(clock).await }));
        links
    }

    /// What goes on after a loss of power.
    pub(crate) fn cables(&self) -> Cables {
        let state = self.state();
        Cables {
            dice: state.dice.clone(),
            model: state.model,
            loss_per_mille: state.loss_per_mille,
            side: state.side.clone(),
            carried: state.carried,
            turned: self.turned.clone(),
        }
    }

    /// The same links for the second of two nodes that share a key.
    pub(crate) fn of_twin(&self) -> Self {
        Self { end: End::Twin, ..self.clone() }
    }

    /// Names the journals of a node's chain: twins have one each.
    pub(crate) fn journal(&self, node: u16, chain: ChainId) -> String {
        let twin = if self.end == End::Twin { "-twin" } else { "" };
        format!("bottle-n{node}{twin}-c{}", chain.0)
    }

    async fn carry(self, clock: DeterministicContext) {
        loop {
            let now_ms = clock.now_ms();
            let next_ms = self.state().deliver(now_ms);
            let wait_ms = next_ms.map_or(IDLE_MS, |next_ms| next_ms.saturating_sub(now_ms).max(1));
            tokio::select! {
                biased;
                () = self.bell.notified() => {}
                () = clock.sleep_ms(wait_ms) => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn plug(&self, node: u16, chain: ChainId, port: Port) {
        self.state().ports.insert((node, chain, self.end), port);
    }

    /// Another engine of a node's chain takes its frames from now on.
    pub(crate) fn switch(&self, node: u16, chain: ChainId, engine: InboundSender) {
        if let Some(port) = self.state().ports.get_mut(&(node, chain, self.end)) {
            port.engine = engine;
        }
    }

    /// The node is gone, with everything under way to it.
    pub(crate) fn unplug(&self, node: u16) {
        let mut state = self.state();
        state.ports.retain(|(plugged, ..), _| *plugged != node);
        state.under_way.retain(|_, parcel| parcel.to != node);
    }

    pub(crate) fn part(&self, side: &[u16]) {
        self.state().side = side.iter().copied().collect();
    }

    pub(crate) fn lose(&self, per_mille: u16) {
        self.state().loss_per_mille = per_mille;
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.side.clear();
        state.loss_per_mille = state.model.loss_per_mille;
    }

    /// Sends a frame of a chain's pipeline.
    pub(crate) fn send(&self, now_ms: u64, chain: ChainId, from: u16, to: u16, bytes: Bytes) {
        self.post(now_ms, Parcel { chain, from, end: self.end, to, content: Content::Chain(bytes) });
    }

    /// Sends what adversaries send of their own accord.
    pub(crate) fn act(&self, now_ms: u64) {
        self.carry_off(now_ms, self.turned.acts(now_ms));
    }

    fn post(&self, now_ms: u64, parcel: Parcel) {
        self.carry_off(now_ms, self.turned.sends(parcel));
    }

    fn carry_off(&self, now_ms: u64, parcels: Vec<Parcel>) {
        let mut state = self.state();
        let rings = parcels.into_iter().fold(false, |rings, parcel| state.post(now_ms, parcel) || rings);
        drop(state);
        if rings {
            self.bell.notify_one();
        }
    }
}

impl State {
    /// Takes a frame; answers whether it is due before all others.
    fn post(&mut self, now_ms: u64, parcel: Parcel) -> bool {
        let is_cut =
            self.side.contains(&parcel.from) != self.side.contains(&parcel.to) && !self.side.is_empty();
        let is_cut = is_cut && !self.turned.is_bridge(&parcel);
        let is_lost = self.dice.chance(u64::from(self.loss_per_mille));
        let jitter_ms = self.dice.below(self.model.jitter_ms.saturating_add(1));
        if is_cut || is_lost || self.under_way.len() >= UNDER_WAY_MAX {
            self.carried.lost += 1;
            return false;
        }
        let due = (now_ms.saturating_add(self.model.delay_ms).saturating_add(jitter_ms), self.sequence);
        self.sequence += 1;
        let is_first = self.under_way.first_key_value().is_none_or(|(first, _)| due < *first);
        self.under_way.insert(due, parcel);
        is_first
    }

    /// Hands over what is due; answers when the next frame is.
    fn deliver(&mut self, now_ms: u64) -> Option<u64> {
        while let Some(first) = self.under_way.first_entry() {
            if first.key().0 > now_ms {
                return Some(first.key().0);
            }
            let parcel = first.remove();
            let ends = self.turned.delivers(&parcel);
            let ports = ends.iter().filter_map(|end| self.ports.get(&(parcel.to, parcel.chain, *end)));
            if ports.fold(false, |is_taken, port| port.take(parcel.clone()) || is_taken) {
                self.carried.delivered += 1;
            } else {
                self.carried.lost += 1;
            }
        }
        None
    }
}

impl Port {
    fn take(&self, parcel: Parcel) -> bool {
        match parcel.content {
            Content::Engine { validator, channel, bytes } => {
                self.engine.try_deliver(validator, channel, bytes).is_ok()
            }
            Content::Chain(bytes) => self.frames.try_send((NodeIndex(parcel.from), bytes)).is_ok(),
        }
    }
}

/// The consensus engine's end of the links of one chain on one node.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) chain: ChainId,
    pub(crate) links: Links,
    pub(crate) clock: Arc<DeterministicContext>,
    pub(crate) node: u16,
    pub(crate) validator: u16,
    /// The node of each validator.
    pub(crate) seats: Arc<Vec<u16>>,
}

impl Transport for Wire {
    fn try_send(&self, to: u16, channel: Channel, frame: Bytes) -> bool {
        let Some(node) = self.seats.get(usize::from(to)) else { return false };
        let content = Content::Engine { validator: self.validator, channel, bytes: frame };
        self.links.post(
            self.clock.now_ms(),
            Parcel { chain: self.chain, from: self.node, end: self.links.end, to: *node, content },
        );
        true
    }

    /// The engine refuses the peer's frames by itself; a simulated link has no connection to close.
    fn block(&self, _validator: u16, _duration_ms: u64) {}
}
