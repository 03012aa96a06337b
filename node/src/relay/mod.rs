//! Carries receipts from the chains that this node hosts to every other chain: a task for each chain that sends, and one for what comes in.
//!
//! - It reads stored, certified data. To a chain of this node it gives bundles as a peer would; to any other it sends them, over the one lane
//!   that all nodes have, to nodes that run its validators. Nothing depends on it running once, in order or at all: a bundle that brings
//!   nothing new is passed over.
//! - How far a chain elsewhere has come is asked of its nodes. Their answers are hints ([`hints`]); the proof is in the bundle.
//! - When what is given, and by which of several nodes, is [`chain::pace`].
//! - Changes of the source's validator set go along with the receipts; alone, where there are none to send.
//! - A destination that does not take what it is given, or cannot be read, holds up nobody else.
//! - Chains are added while nodes run: a relay begins a line to each one when it first hears of it. So the relays run in a network of one
//!   chain too.
//!
//! | file | what it says |
//! | --- | --- |
//! | `hints.rs` | how much of what others say is believed |
//! | `frame.rs`, `inbox.rs` | what nodes say to each other; who takes it in |

mod frame;
mod hints;
mod inbox;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chain::pace::STAGGER_MS;
use chain::{Archive, Input, Pace, Reached, RowFault, next_bundle, reached, running_epoch, sent_counts};
use ledger::records::Bundle;
use ledger::values::{Canonical as _, ChainId, Epoch, Height, NodeIndex};
use network::{LaneReceiver, Network};
use storage::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::handle::ChainHandle;
use crate::rarely::Rarely;
use crate::telemetry::{ChainMetrics, Metrics};

pub(crate) use frame::FRAME_BYTES_MAX;
pub use frame::RelayFrame;
use hints::{Hints, Seats};
use inbox::{CARRIED_MAX, Carried, Inbox};

/// Lanes of the network that the relays have, whatever a node hosts.
pub(crate) const RELAY_LANES: usize = 1;
/// Bundles of the own relays on their way to a chain's driver.
const RELAYED_MAX: usize = 16;
/// Bundles under way to a chain of this node: what it keeps of its own relay.
const UNDER_WAY_INSIDE_MAX: usize = chain::config::BUNDLES_PER_SOURCE_MAX;
/// Bundles under way to a chain elsewhere.
const UNDER_WAY_MAX: usize = 4;
const _: () =
    assert!(2 * UNDER_WAY_MAX <= chain::config::BUNDLES_PER_SOURCE_MAX, "two relays at a time find room");
const _: () =
    assert!(UNDER_WAY_INSIDE_MAX <= RELAYED_MAX, "what is under way fits into the line to the driver");
/// How often a chain is looked at while receipts wait and nothing tells that it moved.
const LOOK_MS: u64 = 200;
/// How often the nodes of a chain elsewhere are asked by a relay whose turn it is not.
const WATCH_MS: u64 = 1_000;
const _: () = assert!(2 * WATCH_MS <= STAGGER_MS, "who waits sees in time that another works");
/// Nodes that are given a bundle at a time, where a chain has as many; more where more may be faulty.
const FAN_OUT: usize = 4;

/// The ways of bundles into a chain's driver.
#[derive(Clone)]
pub(crate) struct Inlet {
    chain: ChainId,
    store: Arc<dyn Store>,
    bundles: mpsc::Sender<Bytes>,
    carried: mpsc::Sender<Carried>,
}

/// The other end: what the relays, the own ones and those of other nodes, have for a chain.
pub(crate) struct Outlet {
    bundles: mpsc::Receiver<Bytes>,
    carried: mpsc::Receiver<Carried>,
}

/// Both ends for a chain.
pub(crate) fn inlet(chain: ChainId, store: Arc<dyn Store>) -> (Inlet, Outlet) {
    let (bundles, own) = mpsc::channel(RELAYED_MAX);
    let (carried, others) = mpsc::channel(CARRIED_MAX);
    (Inlet { chain, store, bundles, carried }, Outlet { bundles: own, carried: others })
}

impl Outlet {
    /// The next one; `None` when nobody brings any more. Safe to cancel.
    pub(crate) async fn recv(&mut self) -> Option<Input> {
        tokio::select! {
            Some(bundle) = self.bundles.recv() => Some(Input::Relayed { bundle }),
            Some(carried) = self.carried.recv() => Some(carried.into_input()),
            else => None,
        }
    }

    /// The same without waiting; the own relays' first, which are few.
    pub(crate) fn try_recv(&mut self) -> Option<Input> {
        if let Ok(bundle) = self.bundles.try_recv() {
            return Some(Input::Relayed { bundle });
        }
        self.carried.try_recv().ok().map(Carried::into_input)
    }
}

/// What the relays of a node work with.
pub(crate) struct Parts<'a> {
    pub(crate) own_node: NodeIndex,
    pub(crate) network: &'a Network,
    /// The relays' lane and its number.
    pub(crate) lane: LaneReceiver,
    pub(crate) lane_number: usize,
    /// The chains of this node, and the ways into them in the same order.
    pub(crate) chains: &'a [ChainHandle],
    pub(crate) inlets: &'a [Inlet],
    pub(crate) metrics: &'a Metrics,
    pub(crate) stopped: &'a watch::Receiver<bool>,
}

/// Starts a relay for each chain of this node, and what takes in the others' bundles; they end when the node stops.
pub(crate) fn start(parts: Parts<'_>) -> Vec<JoinHandle<()>> {
    let Parts { own_node, network, lane, lane_number, chains, inlets, metrics, stopped } = parts;
    let rules: Vec<_> = chains.iter().map(|chain| chain.rules.clone()).collect();
    let (seats_now, seats_seen) = watch::channel(Arc::new(Seats::now(&rules)));
    let hints = Arc::new(Mutex::new(Hints::default()));
    let carrier = Carrier {
        network: network.clone(),
        lane_number,
        own_node,
        seats: seats_seen.clone(),
        hints: Arc::clone(&hints),
    };
    let relay = |source: &ChainHandle| Relay {
        source: source.clone(),
        inlets: inlets.to_vec(),
        lines: Vec::new(),
        carrier: carrier.clone(),
        metrics: metrics.chain(source.chain()),
        started: Instant::now(),
        rarely: Rarely::default(),
    };
    let relays: Vec<Relay> = chains.iter().map(relay).collect();
    let inbox = Inbox::new((lane, network.clone(), lane_number), (chains, inlets), seats_seen, hints);
    let mut tasks = vec![
        tokio::spawn(inbox.run(stopped.clone())),
        tokio::spawn(hints::follow(rules, seats_now, stopped.clone())),
    ];
    tasks.extend(relays.into_iter().map(|relay| tokio::spawn(relay.run(stopped.clone()))));
    tasks
}

/// A node's place among those that carry from one chain to another. Nodes with both chains need no network and come first; the others follow
/// in an order that differs between pairs of chains, and those without a validator of the source come last.
fn rank(seats: &Seats, own: NodeIndex, source: ChainId, destination: ChainId) -> usize {
    let (senders, receivers) = (seats.nodes(source), seats.nodes(destination));
    let outside: Vec<NodeIndex> = senders.difference(&receivers).copied().collect();
    let insiders = usize::from(outside.len() < senders.len());
    let Some(place) = outside.iter().position(|node| *node == own) else {
        return insiders.saturating_add(outside.len());
    };
    let turn = usize::try_from(destination.0.wrapping_add(source.0))
        .unwrap_or(0)
        .checked_rem(outside.len())
        .unwrap_or(0);
    let place = place.saturating_add(outside.len()).saturating_sub(turn);
    insiders.saturating_add(place.checked_rem(outside.len()).unwrap_or(0))
}

/// The nodes that are given a bundle at an attempt: so many that an honest one is among them, and others each time.
fn receivers(nodes: &[NodeIndex], faults_max: usize, attempt: usize) -> Vec<NodeIndex> {
    let count = faults_max.saturating_add(1).max(FAN_OUT).min(nodes.len());
    let first = attempt.wrapping_mul(count).checked_rem(nodes.len()).unwrap_or(0);
    nodes.iter().cycle().skip(first).take(count).copied().collect()
}

/// The way to chains of other nodes.
#[derive(Clone)]
struct Carrier {
    network: Network,
    lane_number: usize,
    own_node: NodeIndex,
    seats: watch::Receiver<Arc<Seats>>,
    hints: Arc<Mutex<Hints>>,
}

impl Carrier {
    /// Who has the seats now.
    fn seats(&self) -> Arc<Seats> {
        Arc::clone(&self.seats.borrow())
    }

    fn nodes(&self, chain: ChainId) -> Vec<NodeIndex> {
        self.seats().nodes(chain).into_iter().filter(|node| *node != self.own_node).collect()
    }

    /// Asks what a chain has received; the answers come in when they come.
    fn ask(&self, source: ChainId, destination: ChainId) {
        let frame = RelayFrame::Ask { source, destination }.encode();
        for node in self.nodes(destination) {
            let _lost = self.network.try_send(node.0, self.lane_number, frame.clone()).is_err();
        }
    }

    fn heard(&self, source: ChainId, destination: ChainId) -> Option<Reached> {
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        hints.reached(&self.seats(), (source, destination))
    }

    /// Sends a bundle. What no link takes is lost like any frame, and given again later: nothing is made anew while nobody is there.
    fn carry(&self, destination: ChainId, attempt: usize, bundle: Bytes) {
        let frame = RelayFrame::Bundle { destination, bytes: bundle }.encode();
        for node in receivers(&self.nodes(destination), self.seats().faults_max(destination), attempt) {
            let _lost = self.network.try_send(node.0, self.lane_number, frame.clone()).is_err();
        }
    }
}

struct Relay {
    source: ChainHandle,
    /// The ways into the chains that this node hosts.
    inlets: Vec<Inlet>,
    /// One for each other chain that is known, ascending.
    lines: Vec<Line>,
    carrier: Carrier,
    metrics: ChainMetrics,
    started: Instant,
    rarely: Rarely,
}

/// One destination.
#[derive(Clone)]
struct Line {
    chain: ChainId,
    /// The way into it where this node hosts it.
    inlet: Option<Inlet>,
    pace: Pace,
    /// How far it has come; `None` while nothing is known.
    heard: Option<Reached>,
    /// The running epoch of the chain that sends: whoever knows an older one is to be told.
    running: Epoch,
    /// When it is to be told of a change of set that no receipts take along.
    tell_ms: Option<u64>,
    rank: usize,
    /// When its nodes were last asked, or its store.
    asked_ms: Option<u64>,
}

impl Relay {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut status = self.source.status.clone();
        let mut seen = None;
        loop {
            let executed = status.borrow_and_update().chain.executed_height;
            if seen != Some(executed) || self.lines.iter().any(|line| line.pace.is_waiting()) {
                seen = Some(executed);
                self.round().await;
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                moved = status.wait_for(|status| Some(status.chain.executed_height) != seen) => {
                    if moved.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn round(&mut self) {
        let (source, now_ms) = (self.source.chain(), self.now_ms());
        let seats = self.carrier.seats();
        for ended in end_lines(&mut self.lines, &seats, source) {
            self.metrics.relay(ended, 0, 0);
        }
        begin_lines(&mut self.lines, &seats, (self.carrier.own_node, source), &self.inlets, now_ms);
        if self.lines.is_empty() {
            return;
        }
        for line in self.lines.iter_mut().filter(|line| line.inlet.is_none()) {
            line.rank = rank(&seats, self.carrier.own_node, source, line.chain);
            line.pace.set_rank(line.rank);
        }
        let is_asked =
            |line: &&mut Line| line.inlet.is_none() && (line.pace.is_waiting() || line.is_untold());
        for line in self.lines.iter_mut().filter(is_asked) {
            line.heard = self.carrier.heard(source, line.chain);
            let pause_ms = if line.pace.is_active() { LOOK_MS } else { WATCH_MS };
            if line.asked_ms.is_none_or(|asked_ms| asked_ms.saturating_add(pause_ms) <= now_ms) {
                line.asked_ms = Some(now_ms);
                self.carrier.ask(source, line.chain);
            }
        }
        let (store, lines) = (Arc::clone(&self.source.store), self.lines.clone());
        let made = tokio::task::spawn_blocking(move || make(source, store.as_ref(), lines, now_ms)).await;
        match made {
            Ok(Ok(made)) => {
                let mut faults = Vec::new();
                for (line, made) in self.lines.iter_mut().zip(made) {
                    match made {
                        Ok((next, bundles)) => {
                            *line = next;
                            line.give(now_ms, &self.carrier, bundles);
                            line.show(now_ms, &self.metrics);
                        }
                        Err(fault) => faults.push(fault),
                    }
                }
                faults.iter().for_each(|fault| self.failed(fault));
            }
            Ok(Err(fault)) => self.failed(&fault),
            Err(fault) => self.failed(&fault),
        }
    }

    /// Told when it begins, and then as its count doubles.
    fn failed(&mut self, fault: &dyn std::fmt::Display) {
        let source = self.source.chain().0;
        if let Some(times) = self.rarely.count(0, "relay") {
            tracing::warn!(chain = source, %fault, times, "the relay could not read; it tries again");
        }
    }
}

/// A bundle, encoded, and how far it leads, unless it has no receipts.
type Made = (Option<u64>, Bytes);

/// The next bundles for each destination: up to the newest height that the store can prove. The chain knows of a later one as soon as a
/// final block claims it, which is before that block is executed and stored.
fn make(
    source: ChainId,
    store: &dyn Store,
    lines: Vec<Line>,
    now_ms: u64,
) -> Result<Vec<Result<(Line, Vec<Made>), RowFault>>, RowFault> {
    let certified = Archive::new(store).newest_certified()?.unwrap_or(Height(0));
    let (sent, running) = (sent_counts(store, certified)?, running_epoch(store, certified)?);
    let one = |mut line: Line| {
        line.running = running;
        let sent = sent.iter().find(|(to, _)| *to == line.chain).map_or(0, |(_, count)| *count);
        let bundles = line.make(source, store, (sent, certified), now_ms)?;
        Ok((line, bundles))
    };
    Ok(lines.into_iter().map(one).collect())
}

/// Ends the lines to chains that were removed, and all of one that was removed itself: nobody would take anything. Says which.
fn end_lines(lines: &mut Vec<Line>, seats: &Seats, source: ChainId) -> Vec<ChainId> {
    let is_there = |chain: ChainId| !seats.seats(chain).is_empty();
    let is_kept = |line: &Line| is_there(source) && is_there(line.chain);
    let ended = lines.iter().filter(|line| !is_kept(line)).map(|line| line.chain).collect();
    lines.retain(is_kept);
    ended
}

/// Begins a line to each chain that is new here.
fn begin_lines(
    lines: &mut Vec<Line>,
    seats: &Seats,
    (own_node, source): (NodeIndex, ChainId),
    inlets: &[Inlet],
    now_ms: u64,
) {
    if seats.seats(source).is_empty() {
        return;
    }
    let others: Vec<ChainId> = seats.chains().filter(|chain| *chain != source).collect();
    for chain in others {
        if let Err(place) = lines.binary_search_by_key(&chain, |line| line.chain) {
            let inlet = inlets.iter().find(|inlet| inlet.chain == chain).cloned();
            let rank = if inlet.is_some() { 0 } else { rank(seats, own_node, source, chain) };
            lines.insert(place, Line::new(chain, inlet, rank, now_ms));
        }
    }
}

impl Line {
    /// Nothing was given yet.
    fn new(chain: ChainId, inlet: Option<Inlet>, rank: usize, now_ms: u64) -> Self {
        let under_way_max = if inlet.is_some() { UNDER_WAY_INSIDE_MAX } else { UNDER_WAY_MAX };
        let pace = Pace::new(rank, under_way_max, now_ms);
        Self { chain, inlet, pace, heard: None, running: Epoch(0), tell_ms: None, rank, asked_ms: None }
    }

    /// Looks how far the destination is, and makes what it is to be given now.
    fn make(
        &mut self,
        source: ChainId,
        store: &dyn Store,
        (sent, certified): (u64, Height),
        now_ms: u64,
    ) -> Result<Vec<Made>, RowFault> {
        // Also while nothing waits, more rarely: a chain may take heights back.
        let is_due = self.asked_ms.is_none_or(|asked_ms| asked_ms.saturating_add(WATCH_MS) <= now_ms);
        let is_looked_at = is_due || sent > self.pace.received() || self.is_untold();
        if let Some(inlet) = self.inlet.as_ref().filter(|_| is_looked_at) {
            let found = reached(inlet.store.as_ref())?;
            self.asked_ms = Some(now_ms);
            self.heard = found.iter().find(|(of, _)| *of == source).map(|(_, reached)| *reached);
            self.pace.fell_back(now_ms, self.heard.unwrap_or_default().count);
        }
        self.pace.saw(now_ms, sent, self.heard.unwrap_or_default().count);
        // Nothing is given to a chain elsewhere before its nodes have said where it stands.
        let Some(Reached { count, epoch }) = self.heard else { return Ok(Vec::new()) };
        if sent <= count {
            if !self.is_time_to_tell(now_ms) {
                return Ok(Vec::new());
            }
            let bundle = next_bundle(store, self.chain, sent, certified, epoch)?;
            return Ok(bundle.map(|bundle| (None, Bytes::from(bundle.encode()))).into_iter().collect());
        }
        let bundles = self.pace.next_bundles(store, self.chain, certified, epoch, now_ms)?;
        // One without receipts moves nothing that the pace could see: it has a time of its own.
        let is_alone = |bundle: &Bundle| bundle.receipts.is_empty();
        let is_told = bundles.iter().any(|(_, bundle)| is_alone(bundle)) && self.is_time_to_tell(now_ms);
        let given = bundles.into_iter().filter(|(_, bundle)| is_told || !is_alone(bundle));
        let encoded = |(until, bundle): (u64, Bundle)| {
            (Some(until).filter(|_| !is_alone(&bundle)), Bytes::from(bundle.encode()))
        };
        Ok(given.map(encoded).collect())
    }

    /// Whether it does not know the running epoch, as last heard.
    fn is_untold(&self) -> bool {
        self.heard.unwrap_or_default().epoch < self.running
    }

    /// Whether it is to be told of a change of set now: the first of those who carry at once, the others if that does not help.
    fn is_time_to_tell(&mut self, now_ms: u64) -> bool {
        if !self.is_untold() {
            self.tell_ms = None;
            return false;
        }
        let wait_ms = STAGGER_MS.saturating_mul(self.rank as u64);
        let due_ms = *self.tell_ms.get_or_insert(now_ms.saturating_add(wait_ms));
        let is_due = due_ms <= now_ms;
        if is_due {
            self.tell_ms = Some(now_ms.saturating_add(STAGGER_MS));
        }
        is_due
    }

    fn give(&mut self, now_ms: u64, carrier: &Carrier, bundles: Vec<Made>) {
        for (until, bundle) in bundles {
            match &self.inlet {
                // Full, or stopped: it is given again.
                Some(inlet) if inlet.bundles.try_send(bundle.clone()).is_err() => return,
                Some(_) => {}
                None => carrier.carry(self.chain, self.pace.attempts(), bundle),
            }
            if let Some(until) = until {
                self.pace.gave(now_ms, until);
            }
        }
    }

    fn show(&self, now_ms: u64, metrics: &ChainMetrics) {
        if self.heard.is_some() {
            metrics.relay(self.chain, self.pace.waiting(), self.pace.age_ms(now_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::Registry;
    use ledger::values::Currency;

    use super::*;

    const HERE: ChainId = ChainId(0);
    const THERE: ChainId = ChainId(1);

    /// Two chains of eight nodes, the second with the validators of these alone.
    fn seats(there: impl Fn(u16) -> bool, here: impl Fn(u16) -> bool) -> Seats {
        let mut plan = LocalnetPlan::new(8);
        plan.chains.push((Currency(*b"CNY"), 1));
        let mut spec = localnet(&plan, &[1; 32]).unwrap().spec;
        spec.chains[0].validators.retain(|seat| here(seat.node.0));
        spec.chains[1].validators.retain(|seat| there(seat.node.0));
        Seats::of(&[Arc::new(Registry::from_genesis(&spec))])
    }

    fn ranks(seats: &Seats, nodes: std::ops::Range<u16>) -> Vec<usize> {
        nodes.map(|node| rank(seats, NodeIndex(node), HERE, THERE)).collect()
    }

    #[test]
    fn each_node_has_a_rank_and_one_is_first() {
        let disjoint = seats(|node| node >= 4, |node| node < 4);
        assert_eq!(ranks(&disjoint, 0..5), [3, 0, 1, 2, 4], "the last follows without a vote");
        let back: Vec<usize> = (4..8).map(|node| rank(&disjoint, NodeIndex(node), THERE, HERE)).collect();
        assert_eq!(back, [3, 0, 1, 2], "the turn is that of the pair, whichever way");
        let shared = seats(|node| node >= 2, |node| node < 4);
        assert_eq!(ranks(&shared, 0..2), [2, 1], "nodes with both chains come first");
        let same = seats(|_| true, |_| true);
        assert_eq!(ranks(&same, 0..1), [1]);
    }

    #[test]
    fn a_chain_that_is_added_has_a_line_from_then_on() {
        let begin = |lines: &mut Vec<Line>, seats: &Seats, now_ms| {
            begin_lines(lines, seats, (NodeIndex(1), THERE), &[], now_ms);
            lines.iter().map(|line| line.chain).collect::<Vec<_>>()
        };
        let mut lines = Vec::new();
        let one = Seats::of(&[Arc::new(Registry::from_genesis(
            &localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap().spec,
        ))]);
        begin_lines(&mut lines, &one, (NodeIndex(1), HERE), &[], 0);
        assert!(lines.is_empty(), "a network of one chain");
        let two = seats(|node| node < 4, |node| node < 4);
        assert_eq!(begin(&mut lines, &two, 10), [HERE]);
        lines[0].asked_ms = Some(11);
        let mut plan = LocalnetPlan::new(8);
        plan.chains.extend([(Currency(*b"CNY"), 1), (Currency(*b"CNY"), 2)]);
        let three = Seats::of(&[Arc::new(Registry::from_genesis(&localnet(&plan, &[1; 32]).unwrap().spec))]);
        assert_eq!(begin(&mut lines, &three, 20), [HERE, ChainId(2)]);
        assert_eq!((lines[0].asked_ms, lines[1].asked_ms), (Some(11), None), "the old one goes on");
        assert_eq!(begin(&mut lines, &three, 30).len(), 2);
    }

    /// One registry that says so is enough: the removed chain's own does not hear of it.
    #[test]
    fn a_chain_that_is_removed_has_no_line_from_then_on() {
        use ledger::records::{Birth, Growth};
        use ledger::values::Height;
        let mut plan = LocalnetPlan::new(4);
        plan.chains.extend([(Currency(*b"CNY"), 1), (Currency(*b"CNY"), 2)]);
        let with = |growth| {
            let spec = localnet(&plan, &[1; 32]).unwrap().spec;
            let mut registry = Registry::from_genesis(&spec);
            registry.chains[2].birth = Birth::Child { parent: HERE, height: Height(3), growth };
            Arc::new(registry)
        };
        let (added, removed, child) = (with(Growth::Added), with(Growth::Removed), ChainId(2));
        let mut lines = Vec::new();
        let seats = Seats::of(&[Arc::clone(&added)]);
        assert!(end_lines(&mut lines, &seats, HERE).is_empty());
        begin_lines(&mut lines, &seats, (NodeIndex(1), HERE), &[], 0);
        assert_eq!(lines.iter().map(|line| line.chain).collect::<Vec<_>>(), [THERE, child]);
        let mut own = Vec::new();
        begin_lines(&mut own, &seats, (NodeIndex(1), child), &[], 0);
        assert_eq!(own.len(), 2);
        for registries in [[Arc::clone(&added), Arc::clone(&removed)], [removed, added]] {
            let seats = Seats::of(&registries);
            let (mut lines, mut own) = (lines.clone(), own.clone());
            assert_eq!(end_lines(&mut lines, &seats, HERE), [child]);
            begin_lines(&mut lines, &seats, (NodeIndex(1), HERE), &[], 10);
            assert_eq!(lines.iter().map(|line| line.chain).collect::<Vec<_>>(), [THERE]);
            assert_eq!(end_lines(&mut own, &seats, child), [HERE, THERE]);
            begin_lines(&mut own, &seats, (NodeIndex(1), child), &[], 10);
            assert!(own.is_empty());
        }
    }

    #[test]
    fn a_bundle_goes_to_an_honest_node_and_to_every_node_in_time() {
        let nodes: Vec<NodeIndex> = (0..100).map(NodeIndex).collect();
        for (count, expected) in [(1, 1), (4, 4), (7, 4), (13, 5), (100, 34)] {
            let faults_max = ledger::values::faults_max(count);
            let attempts = (0..count).map(|attempt| receivers(&nodes[..count], faults_max, attempt));
            let mut reached = BTreeSet::new();
            for receivers in attempts {
                let each: BTreeSet<NodeIndex> = receivers.iter().copied().collect();
                assert_eq!((receivers.len(), each.len()), (expected, expected), "of {count}");
                reached.extend(each);
            }
            assert_eq!(reached.len(), count);
        }
        assert!(receivers(&[], 0, 3).is_empty());
    }

    #[tokio::test]
    async fn what_other_nodes_bring_waits_beside_what_the_own_relays_bring() {
        use storage::{Identity, MemoryStore};
        let identity = Identity { schema_version: 1, genesis: [1; 32], chain: 1 };
        let (inlet, mut outlet) = inlet(THERE, Arc::new(MemoryStore::fresh(&identity)));
        let own = Bytes::from_static(b"own");
        inlet.bundles.try_send(own.clone()).unwrap();
        let is_own = |input: Input| matches!(input, Input::Relayed { bundle } if bundle == own);
        assert!(outlet.recv().await.is_some_and(is_own));
        assert!(outlet.try_recv().is_none());
        drop(inlet);
        assert!(outlet.recv().await.is_none(), "nobody is left");
    }
}
