//! The task that owns the swarm: it dials, accepts, closes, opens streams and watches the clock.
//!
//! It is the only writer of a link's state. Senders and callers leave what they want (`Shared::wanted`, the
//! block time in a link) and wake it; it compares that with what is, so that nothing a caller does needs a
//! queue here.
//!
//! Rules of connections:
//! - Allowed are the peers of the registry that are not blocked. A stranger's handshake completes (only
//!   then is its key known) and its connection is closed before any protocol of ours is offered.
//! - One connection per peer is used, the newest. The side with the lower index closes the others at once,
//!   the other side after a grace time; both keep the newest, so a dead one never outlives its replacement.
//! - A link is up once the peer accepted the keep-alive lane: that proves the same network and a live
//!   process.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{PeerId, Swarm};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info};

use crate::config::{Lane, Peer};
use crate::identity;
use crate::limits::{DUPLICATE_GRACE, KEEP_ALIVE_INTERVAL, SILENCE_MAX, STOP_TIMEOUT, TICK_INTERVAL};
use crate::link::Link;
use crate::network::Shared;
use crate::reader::read_lane;
use crate::redial::Redial;
use crate::streams::{Accepted, Opened};
use crate::swarm::{Behaviour, BehaviourEvent, multiaddress, resolve};
use crate::writer::Writer;

/// What writers ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open a lane on a connection; the reply is dropped if that connection is gone.
    Open { peer: u16, connection: ConnectionId, lane: usize, reply: Opened },
    /// The peer accepted the keep-alive lane.
    Up { peer: u16, connection: ConnectionId },
    /// The peer does not know the keep-alive lane: it belongs to another network.
    Foreign { peer: u16, connection: ConnectionId },
}

/// The owner of the swarm.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    /// The configuration's lanes and the keep-alive lane.
    lanes: Vec<Lane>,
    peers: BTreeMap<u16, PeerState>,
    index_of: BTreeMap<PeerId, u16>,
    commands: mpsc::Receiver<Command>,
    commands_of_writers: mpsc::Sender<Command>,
    resolving: JoinSet<(u16, PeerId, io::Result<Vec<SocketAddr>>)>,
    tasks: JoinSet<()>,
    next_keep_alive: Instant,
}

struct PeerState {
    link: Arc<Link>,
    id: PeerId,
    address: String,
    allowed: bool,
    /// Established, oldest first.
    connections: Vec<Connection>,
    /// The newest of them, for the writers.
    current: watch::Sender<Option<ConnectionId>>,
    dialing: Dialing,
    redial: Redial,
    /// By lane, with the connection each reads from.
    readers: BTreeMap<usize, (ConnectionId, AbortHandle)>,
    writers: Vec<AbortHandle>,
}

struct Connection {
    id: ConnectionId,
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialing {
    No,
    Resolving,
    Connecting(ConnectionId),
}

impl Driver {
    /// A driver for a swarm that listens. Must be called inside the runtime.
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        lanes: Vec<Lane>,
        registry: BTreeMap<u16, Peer>,
    ) -> Self {
        let (commands_of_writers, commands) = mpsc::channel(crate::limits::COMMANDS_MAX);
        let mut driver = Self {
            swarm,
            shared,
            lanes,
            peers: BTreeMap::new(),
            index_of: BTreeMap::new(),
            commands,
            commands_of_writers,
            resolving: JoinSet::new(),
            tasks: JoinSet::new(),
            next_keep_alive: Instant::now(),
        };
        driver.adopt(registry);
        driver
    }

    /// Runs until `stop`, then closes everything.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let shared = self.shared.clone();
        let mut tick = interval(TICK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                _ = tick.tick() => self.look_at_clocks(),
                () = shared.wake.notified() => self.compare(),
                Some(command) = self.commands.recv() => self.obey(command),
                Some(resolved) = self.resolving.join_next() => {
                    if let Ok((index, id, addresses)) = resolved {
                        self.dial(index, id, addresses);
                    }
                }
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(_) = self.tasks.join_next() => {}
            }
        }
        self.end().await;
    }

    // ---- what callers want ----

    /// Compares registry and blocks with what is, and changes what is.
    fn compare(&mut self) {
        if let Some(registry) = self.shared.take_wanted() {
            self.adopt(registry);
        }
        let now = Instant::now();
        for peer in self.peers.values_mut() {
            match (peer.allowed, peer.link.is_blocked()) {
                (true, true) => {
                    info!(peer = peer.link.peer, "peer blocked");
                    peer.allowed = false;
                    peer.silence(&self.shared);
                    self.swarm.behaviour_mut().allowed.disallow_peer(peer.id);
                }
                (false, false) => {
                    info!(peer = peer.link.peer, "peer no longer blocked");
                    peer.allowed = true;
                    peer.redial = Redial::new(self.shared.own < peer.link.peer, now);
                    self.swarm.behaviour_mut().allowed.allow_peer(peer.id);
                }
                _ => {}
            }
        }
        self.publish();
    }

    /// Takes over a registry: a peer whose index and key stay keeps its link.
    fn adopt(&mut self, registry: BTreeMap<u16, Peer>) {
        let stays = |peer: &PeerState| {
            registry.get(&peer.link.peer).is_some_and(|new| new.network_key == peer.link.network_key)
        };
        let gone: Vec<u16> =
            self.peers.iter().filter(|(_, peer)| !stays(peer)).map(|(index, _)| *index).collect();
        for index in gone {
            let Some(mut peer) = self.peers.remove(&index) else { continue };
            peer.silence(&self.shared);
            peer.writers.iter().for_each(AbortHandle::abort);
            self.index_of.remove(&peer.id);
            self.swarm.behaviour_mut().allowed.disallow_peer(peer.id);
        }
        for (index, new) in registry {
            if let Some(peer) = self.peers.get_mut(&index) {
                peer.address = new.address;
            } else if let Ok(id) = identity::peer_id(&new) {
                self.welcome(id, new);
            }
        }
        self.shared.set_links(self.peers.values().map(|peer| (peer.link.peer, peer.link.clone())).collect());
    }

    fn welcome(&mut self, id: PeerId, peer: Peer) {
        let link = Arc::new(Link::new(&peer, &self.lanes, self.shared.start));
        let (current, connection) = watch::channel(None);
        let mut writers = Vec::new();
        for (lane, settings) in self.lanes.iter().enumerate() {
            let writer = Writer {
                link: link.clone(),
                lane,
                priority: settings.priority,
                announces: lane + 1 == self.lanes.len(),
                connection: connection.clone(),
                commands: self.commands_of_writers.clone(),
            };
            writers.push(self.tasks.spawn(writer.run()));
        }
        self.swarm.behaviour_mut().allowed.allow_peer(id);
        self.index_of.insert(id, peer.index);
        let state = PeerState {
            link,
            id,
            address: peer.address,
            allowed: true,
            connections: Vec::new(),
            current,
            dialing: Dialing::No,
            redial: Redial::new(self.shared.own < peer.index, Instant::now()),
            readers: BTreeMap::new(),
            writers,
        };
        self.peers.insert(peer.index, state);
    }

    // ---- what writers ask ----

    fn obey(&mut self, command: Command) {
        let (index, connection) = match &command {
            Command::Open { peer, connection, .. }
            | Command::Up { peer, connection }
            | Command::Foreign { peer, connection } => (*peer, *connection),
        };
        let Some(peer) = self.peers.get_mut(&index) else { return };
        if !peer.allowed {
            return;
        }
        let is_open = peer.connections.iter().any(|known| known.id == connection);
        match command {
            Command::Open { lane, reply, .. } if is_open => {
                self.swarm.behaviour_mut().streams.open(peer.id, connection, lane, reply);
            }
            Command::Up { .. } if is_open => {
                if !peer.link.is_up() {
                    info!(peer = index, "peer connected");
                    peer.link.raise();
                    self.publish();
                }
            }
            // Told in any case: the other side may have noticed first, and closed the connection.
            Command::Foreign { .. } => {
                info!(peer = index, "peer speaks for another network");
                peer.link.counters.foreign_connections.add(1);
                peer.redial.estranged(Instant::now());
                if is_open {
                    peer.close(&mut self.swarm, connection);
                }
            }
            Command::Open { .. } | Command::Up { .. } => {}
        }
    }

    // ---- what happens ----

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(accepted)) => self.on_stream(accepted),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                self.on_connected(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                debug!(%connection_id, ?cause, "connection closed");
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_failure(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { error, peer_id, .. } => {
                debug!(%error, "incoming connection refused or broken");
                let known = peer_id.and_then(|id| self.index_of.get(&id));
                let peer = known.and_then(|index| self.peers.get(index));
                match (error, peer) {
                    (ListenError::Denied { .. }, Some(peer)) => peer.link.counters.denied_connections.add(1),
                    (ListenError::Denied { .. }, None) => self.shared.denied_connections.add(1),
                    _ => self.shared.broken_handshakes.add(1),
                }
            }
            _ => {}
        }
    }

    fn on_stream(&mut self, accepted: Accepted) {
        let Some(index) = self.index_of.get(&accepted.peer) else { return };
        let Some(peer) = self.peers.get_mut(index) else { return };
        if !peer.allowed || peer.connections.iter().all(|known| known.id != accepted.connection) {
            return;
        }
        if let Some(lane) = peer.link.lanes.get(accepted.lane) {
            lane.counters.streams_accepted.add(1);
        }
        let inbound = self.shared.inbound.get(accepted.lane).cloned();
        let reader = read_lane(peer.link.clone(), accepted.lane, inbound, accepted.stream);
        let reader = self.tasks.spawn(reader);
        if let Some((_, old)) = peer.readers.insert(accepted.lane, (accepted.connection, reader)) {
            old.abort();
        }
    }

    fn on_connected(&mut self, id: PeerId, connection: ConnectionId) {
        let Some(peer) = self.index_of.get(&id).and_then(|index| self.peers.get_mut(index)) else {
            self.swarm.close_connection(connection);
            return;
        };
        debug!(peer = peer.link.peer, %connection, "connection established");
        if peer.dialing == Dialing::Connecting(connection) {
            peer.dialing = Dialing::No;
        }
        peer.link.counters.connections.add(1);
        peer.link.hear();
        peer.connections.push(Connection { id: connection, since: Instant::now() });
        peer.current.send_replace(Some(connection));
        if self.shared.own < peer.link.peer {
            peer.close_older(&mut self.swarm);
        }
    }

    fn on_closed(&mut self, id: PeerId, connection: ConnectionId) {
        let Some(peer) = self.index_of.get(&id).and_then(|index| self.peers.get_mut(index)) else { return };
        peer.connections.retain(|known| known.id != connection);
        let current = peer.connections.last().map(|known| known.id);
        peer.current.send_if_modified(|shown| std::mem::replace(shown, current) != current);
        if current.is_some() {
            return;
        }
        let now = Instant::now();
        if peer.link.is_up() {
            info!(peer = peer.link.peer, "peer disconnected");
            peer.redial.lost(now);
        } else {
            peer.redial.failed(now);
        }
        peer.link.lower();
        peer.link.clear_heard();
        self.publish();
    }

    fn on_dial_failure(&mut self, connection: ConnectionId, error: &DialError) {
        let dialed = self.peers.values_mut().find(|peer| peer.dialing == Dialing::Connecting(connection));
        let Some(peer) = dialed else { return };
        debug!(peer = peer.link.peer, %error, "dial failed");
        peer.dialing = Dialing::No;
        peer.redial.failed(Instant::now());
        peer.link.counters.dial_failures.add(1);
        if matches!(error, DialError::WrongPeerId { .. }) {
            peer.link.counters.wrong_keys.add(1);
        }
    }

    // ---- clocks ----

    fn look_at_clocks(&mut self) {
        self.compare();
        let now = Instant::now();
        let keep_alive = now >= self.next_keep_alive;
        if keep_alive {
            self.next_keep_alive = now + KEEP_ALIVE_INTERVAL;
        }
        for peer in self.peers.values_mut() {
            if keep_alive && let Some(lane) = peer.link.lanes.last() {
                // Full or shut: something is being written, or there is nobody to write to.
                let _ = peer.link.send(lane, Bytes::new());
            }
            if peer.link.silence().is_some_and(|silence| silence > SILENCE_MAX) {
                info!(peer = peer.link.peer, "peer silent, closing its connections");
                peer.link.counters.silent_connections.add(1);
                peer.link.hear();
                peer.close_all(&mut self.swarm);
            }
            let newest = peer.connections.last().map(|newest| newest.since);
            if newest.is_some_and(|since| now >= since + DUPLICATE_GRACE) {
                peer.close_older(&mut self.swarm);
            }
            let free = peer.allowed && peer.connections.is_empty() && peer.dialing == Dialing::No;
            if free && peer.redial.is_due(now) {
                peer.dialing = Dialing::Resolving;
                let (index, id, address) = (peer.link.peer, peer.id, peer.address.clone());
                self.resolving.spawn(async move { (index, id, resolve(&address).await) });
            }
        }
    }

    fn dial(&mut self, index: u16, id: PeerId, addresses: io::Result<Vec<SocketAddr>>) {
        let Some(peer) = self.peers.get_mut(&index).filter(|peer| peer.id == id) else { return };
        peer.dialing = Dialing::No;
        if !peer.allowed || !peer.connections.is_empty() {
            return;
        }
        let dialed = addresses.map_err(|_| ()).and_then(|addresses| {
            let options = DialOpts::peer_id(id)
                .condition(PeerCondition::Always)
                .addresses(addresses.into_iter().map(multiaddress).collect())
                // A port of its own: reusing the listener's meets TIME_WAIT after a restart.
                .allocate_new_port()
                .build();
            let connection = options.connection_id();
            self.swarm.dial(options).map(|()| connection).map_err(|_| ())
        });
        match dialed {
            Ok(connection) => peer.dialing = Dialing::Connecting(connection),
            Err(()) => {
                peer.redial.failed(Instant::now());
                peer.link.counters.dial_failures.add(1);
            }
        }
    }

    // ---- the rest ----

    fn publish(&self) {
        let up = |peer: &&PeerState| peer.link.is_up();
        let connected: Vec<u16> = self.peers.values().filter(up).map(|peer| peer.link.peer).collect();
        self.shared.connected.send_if_modified(|shown| {
            let changed = *shown != connected;
            if changed {
                *shown = connected;
            }
            changed
        });
    }

    async fn end(mut self) {
        self.resolving.abort_all();
        self.tasks.abort_all();
        for peer in self.peers.values_mut() {
            peer.link.lower();
            peer.close_all(&mut self.swarm);
        }
        self.publish();
        let mut open: usize = self.peers.values().map(|peer| peer.connections.len()).sum();
        let all_closed = async {
            while open > 0 {
                if let SwarmEvent::ConnectionClosed { .. } = self.swarm.select_next_some().await {
                    open -= 1;
                }
            }
        };
        drop(timeout(STOP_TIMEOUT, all_closed).await);
        for lane in &self.shared.inbound {
            lane.close();
        }
    }
}

impl PeerState {
    /// Ends its readers and forgets what they read.
    fn silence(&mut self, shared: &Shared) {
        self.link.lower();
        for (lane, (_, reader)) in std::mem::take(&mut self.readers) {
            reader.abort();
            if let (Some(inbound), Some(link_lane)) = (shared.inbound.get(lane), self.link.lanes.get(lane)) {
                link_lane.counters.dropped_in.add(inbound.forget(self.link.peer));
            }
        }
    }

    /// Closes all connections but the newest.
    fn close_older(&mut self, swarm: &mut Swarm<Behaviour>) {
        let older = self.connections.len().saturating_sub(1);
        for place in 0..older {
            self.close(swarm, self.connections[place].id);
        }
    }

    fn close_all(&mut self, swarm: &mut Swarm<Behaviour>) {
        for place in 0..self.connections.len() {
            self.close(swarm, self.connections[place].id);
        }
    }

    /// Closes a connection and its readers: yamux does not wake who reads a stream when this side closes.
    /// (When the other side closes, readers first take what has arrived and then see the end.)
    fn close(&mut self, swarm: &mut Swarm<Behaviour>, connection: ConnectionId) {
        swarm.close_connection(connection);
        self.readers.retain(|_, (of, reader)| {
            let stays = *of != connection;
            if !stays {
                reader.abort();
            }
            stays
        });
    }
}
