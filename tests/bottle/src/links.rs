//! Frames under way between nodes.
//!
//! Each frame is lost, or arrives after the model's delay and a drawn jitter; so frames overtake each other, which real
//! lanes never do: whoever stands this stands them. A frame to a node that crashed meanwhile is lost. The [`Weather`] makes it
//! worse: sides that do not hear each other, lines that carry little (what leaves a node leaves one after the other, and what
//! would wait longer than [`NARROW_WAIT_MS_MAX`] is lost), frames that come late or twice. Frames from and to a stopped process
//! wait until it goes on.

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
/// Frames that wait for a stopped process, as its sockets hold them; more are lost.
const HELD_MAX: usize = 16_384;
/// What waits longer before a narrow line is lost.
const NARROW_WAIT_MS_MAX: u64 = 2_000;
/// Of 1,000 frames, how many come late while frames are reordered.
const REORDERED_PER_MILLE: u64 = 300;
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
    weather: Weather,
    /// When the line of each node that is narrow is free again, in microseconds.
    free_us: BTreeMap<u16, u64>,
    stopped: BTreeSet<u16>,
    /// What waits for stopped processes.
    held: Vec<Parcel>,
    ports: BTreeMap<(u16, ChainId, End), Port>,
    turned: Turned,
    under_way: BTreeMap<(u64, u64), Parcel>,
    sequence: u64,
    carried: Carried,
}

/// What is wrong with the links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weather {
    model_loss_per_mille: u16,
    pub(crate) loss_per_mille: u16,
    /// Those who hear only each other; the others, too.
    pub(crate) side: BTreeSet<u16>,
    /// Those whom the others do not hear.
    pub(crate) mute: BTreeSet<u16>,
    /// At most this much later, for some frames.
    pub(crate) reorder_ms: u64,
    pub(crate) duplicate_per_mille: u16,
    /// What the lines of some nodes carry outwards.
    pub(crate) narrow: BTreeMap<u16, u32>,
}

impl Weather {
    pub(crate) const fn fair(model: LinkModel) -> Self {
        Self {
            model_loss_per_mille: model.loss_per_mille,
            loss_per_mille: model.loss_per_mille,
            side: BTreeSet::new(),
            mute: BTreeSet::new(),
            reorder_ms: 0,
            duplicate_per_mille: 0,
            narrow: BTreeMap::new(),
        }
    }

    /// As the plan's model says.
    pub(crate) fn heal(&mut self) {
        self.side.clear();
        self.mute.clear();
        self.narrow.clear();
        (self.loss_per_mille, self.reorder_ms, self.duplicate_per_mille) = (self.model_loss_per_mille, 0, 0);
    }

    /// Whether two nodes hear each other.
    pub(crate) fn are_together(&self, one: u16, other: u16) -> bool {
        self.hears(one, other) && self.hears(other, one)
    }

    fn hears(&self, from: u16, to: u16) -> bool {
        self.side.contains(&from) == self.side.contains(&to)
            && (!self.mute.contains(&from) || self.mute.contains(&to))
    }
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

impl Content {
    const fn len(&self) -> usize {
        match self {
            Self::Engine { bytes, .. } | Self::Chain(bytes) => bytes.len(),
        }
    }
}

/// What of the links outlives a loss of power.
pub(crate) struct Cables {
    pub(crate) dice: Dice,
    pub(crate) model: LinkModel,
    pub(crate) weather: Weather,
    pub(crate) carried: Carried,
    pub(crate) turned: Turned,
}

impl Cables {
    pub(crate) const fn new(dice: Dice, model: LinkModel, turned: Turned) -> Self {
        let carried = Carried { delivered: 0, lost: 0 };
        Self { dice, model, weather: Weather::fair(model), carried, turned }
    }
}

impl Links {
    /// Links with nothing under way, carried by a task of `context`.
    pub(crate) fn start(context: &DeterministicContext, cables: &Cables) -> Self {
        let state = State {
            dice: cables.dice.clone(),
            model: cables.model,
            weather: cables.weather.clone(),
            free_us: BTreeMap::new(),
            stopped: BTreeSet::new(),
            held: Vec::new(),
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
            weather: state.weather.clone(),
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
        state.held.retain(|parcel| parcel.to != node && parcel.from != node);
        state.stopped.remove(&node);
    }

    pub(crate) fn set_weather(&self, weather: &Weather) {
        let mut state = self.state();
        state.free_us.retain(|node, _| weather.narrow.contains_key(node));
        state.weather = weather.clone();
    }

    /// From now on, frames from and to a node wait.
    pub(crate) fn stop(&self, node: u16) {
        self.state().stopped.insert(node);
    }

    /// What waited for a node is under way again.
    pub(crate) fn go_on(&self, now_ms: u64, node: u16) {
        self.state().go_on(now_ms, node);
        self.bell.notify_one();
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
        let mut rings = false;
        for parcel in parcels {
            rings |= state.post(now_ms, parcel);
        }
        drop(state);
        if rings {
            self.bell.notify_one();
        }
    }
}

impl State {
    /// Takes a frame; answers whether it is due before all others.
    fn post(&mut self, now_ms: u64, parcel: Parcel) -> bool {
        let is_cut = !self.weather.hears(parcel.from, parcel.to) && !self.turned.is_bridge(&parcel);
        let is_lost = self.dice.chance(u64::from(self.weather.loss_per_mille));
        let jitter_ms = self.dice.below(self.model.jitter_ms.saturating_add(1));
        if is_cut || is_lost || self.under_way.len() >= UNDER_WAY_MAX {
            self.carried.lost += 1;
            return false;
        }
        if self.stopped.contains(&parcel.from) {
            self.hold(parcel);
            return false;
        }
        let Some(wait_ms) = self.wait_ms(now_ms, &parcel) else {
            self.carried.lost += 1;
            return false;
        };
        let mut delay_ms = wait_ms.saturating_add(self.model.delay_ms).saturating_add(jitter_ms);
        // Nothing is drawn in fair weather: a plan without these faults runs as it always did.
        if self.weather.reorder_ms > 0 && self.dice.chance(REORDERED_PER_MILLE) {
            delay_ms = delay_ms.saturating_add(self.dice.below(self.weather.reorder_ms + 1));
        }
        let copies = self.weather.duplicate_per_mille;
        let again_ms = (copies > 0 && self.dice.chance(u64::from(copies)))
            .then(|| delay_ms.saturating_add(self.dice.below(2 * self.model.delay_ms + 1)));
        let again = again_ms.map(|again_ms| (again_ms, parcel.clone()));
        let is_first = self.set_out(now_ms.saturating_add(delay_ms), parcel);
        if let Some((again_ms, copy)) = again {
            self.set_out(now_ms.saturating_add(again_ms), copy);
        }
        is_first
    }

    fn set_out(&mut self, due_ms: u64, parcel: Parcel) -> bool {
        let due = (due_ms, self.sequence);
        self.sequence += 1;
        let is_first = self.under_way.first_key_value().is_none_or(|(first, _)| due < *first);
        self.under_way.insert(due, parcel);
        is_first
    }

    /// How long a frame waits for and passes the line of its sender; `None` where that is too long.
    fn wait_ms(&mut self, now_ms: u64, parcel: &Parcel) -> Option<u64> {
        let Some(kib_per_second) = self.weather.narrow.get(&parcel.from) else { return Some(0) };
        let now_us = now_ms.saturating_mul(1_000);
        let free_us = self.free_us.entry(parcel.from).or_insert(now_us);
        let passes_us = (parcel.content.len() as u64).saturating_mul(1_000_000)
            / (u64::from(*kib_per_second).max(1) * 1_024);
        let through_us = (*free_us).max(now_us).saturating_add(passes_us);
        let wait_ms = (through_us - now_us) / 1_000;
        if wait_ms > NARROW_WAIT_MS_MAX {
            return None;
        }
        *free_us = through_us;
        Some(wait_ms)
    }

    fn hold(&mut self, parcel: Parcel) {
        if self.held.len() < HELD_MAX {
            self.held.push(parcel);
        } else {
            self.carried.lost += 1;
        }
    }

    fn go_on(&mut self, now_ms: u64, node: u16) {
        self.stopped.remove(&node);
        for parcel in std::mem::take(&mut self.held) {
            if parcel.from == node || parcel.to == node {
                self.set_out(now_ms.saturating_add(self.model.delay_ms), parcel);
            } else {
                self.held.push(parcel);
            }
        }
    }

    /// Hands over what is due; answers when the next frame is.
    fn deliver(&mut self, now_ms: u64) -> Option<u64> {
        while let Some(first) = self.under_way.first_entry() {
            if first.key().0 > now_ms {
                return Some(first.key().0);
            }
            let parcel = first.remove();
            if self.stopped.contains(&parcel.to) {
                self.hold(parcel);
                continue;
            }
            let ends = self.turned.delivers(&parcel);
            let mut is_taken = false;
            for port in ends.iter().filter_map(|end| self.ports.get(&(parcel.to, parcel.chain, *end))) {
                is_taken |= port.take(parcel.clone());
            }
            if is_taken {
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
