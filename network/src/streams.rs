//! The libp2p behaviour that opens and accepts lane streams: one protocol per lane, nothing else.
//!
//! It does what `libp2p-stream` 0.5.0-alpha does and differs where that one breaks our rules: it forgets a
//! connection when it closes, it never drops a negotiated stream because its receiver was busy, and the
//! caller names the connection on which a stream opens (ADR 2).
//!
//! Bounds: streams being negotiated are bounded by the swarm's configuration, streams handed over by the
//! swarm's per-connection event buffer and [`STREAMS_UNACCEPTED_MAX`] here.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

use crate::limits::{OPEN_TIMEOUT, STREAMS_UNACCEPTED_MAX};

/// Opens lane streams on request and reports those that peers opened.
pub(crate) struct Streams {
    protocols: Arc<[StreamProtocol]>,
    pending: VecDeque<ToSwarm<Accepted, OpenStream>>,
}

/// A peer opened a lane.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Who.
    pub(crate) peer: PeerId,
    /// On which connection.
    pub(crate) connection: ConnectionId,
    /// Place in the list of protocols.
    pub(crate) lane: usize,
    /// Only they write, only we read.
    pub(crate) stream: Stream,
}

/// Why a stream did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenFailure {
    /// The peer does not speak this lane: another network, or another epoch.
    Unsupported,
    /// The connection broke or the peer did not answer.
    Broken,
}

/// The answer to a request to open a stream.
pub(crate) type Opened = oneshot::Sender<Result<Stream, OpenFailure>>;

/// A request to a connection's handler.
#[derive(Debug)]
pub(crate) struct OpenStream {
    protocol: StreamProtocol,
    reply: Opened,
}

impl Streams {
    /// Accepts exactly these protocols; their places are the lanes' numbers.
    pub(crate) fn new(protocols: Arc<[StreamProtocol]>) -> Self {
        Self { protocols, pending: VecDeque::new() }
    }

    /// Asks for a stream. If the connection or the lane is gone the reply is dropped. The swarm must be
    /// polled afterwards. Callers bound the number of requests.
    pub(crate) fn open(&mut self, peer_id: PeerId, connection: ConnectionId, lane: usize, reply: Opened) {
        let Some(protocol) = self.protocols.get(lane).cloned() else { return };
        let handler = NotifyHandler::One(connection);
        let event = OpenStream { protocol, reply };
        self.pending.push_back(ToSwarm::NotifyHandler { peer_id, handler, event });
    }

    fn handler(&self) -> Handler {
        Handler { protocols: self.protocols.clone(), requests: VecDeque::new(), accepted: VecDeque::new() }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Accepted;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        (lane, stream): THandlerOutEvent<Self>,
    ) {
        let accepted = Accepted { peer, connection, lane, stream };
        self.pending.push_back(ToSwarm::GenerateEvent(accepted));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Whatever fills `pending` runs on the task that polls the swarm, so no waker is needed.
        self.pending.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The part of [`Streams`] that lives with one connection.
pub(crate) struct Handler {
    protocols: Arc<[StreamProtocol]>,
    requests: VecDeque<OpenStream>,
    accepted: VecDeque<(usize, Stream)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenStream;
    type ToBehaviour = (usize, Stream);
    type InboundProtocol = LaneUpgrade;
    type OutboundProtocol = LaneUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<LaneUpgrade> {
        SubstreamProtocol::new(LaneUpgrade(self.protocols.clone()), ()).with_timeout(OPEN_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<LaneUpgrade, Opened, Self::ToBehaviour>> {
        if let Some(stream) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if let Some(OpenStream { protocol, reply }) = self.requests.pop_front() {
            let upgrade = LaneUpgrade(Arc::from([protocol]));
            let protocol = SubstreamProtocol::new(upgrade, reply).with_timeout(OPEN_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, request: OpenStream) {
        self.requests.push_back(request);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, LaneUpgrade, LaneUpgrade, (), Opened>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => {
                let lane = self.protocols.iter().position(|known| *known == protocol);
                if let Some(lane) = lane.filter(|_| self.accepted.len() < STREAMS_UNACCEPTED_MAX) {
                    self.accepted.push_back((lane, stream));
                }
            }
            // A writer that gave up dropped its receiver; the stream is then reset by being dropped.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info,
            }) => drop(info.send(Ok(stream))),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let failure = match error {
                    StreamUpgradeError::NegotiationFailed => OpenFailure::Unsupported,
                    StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => OpenFailure::Broken,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                drop(info.send(Err(failure)));
            }
            _ => {}
        }
    }
}

/// Negotiates one of the protocols and hands out the stream untouched.
#[derive(Debug, Clone)]
pub(crate) struct LaneUpgrade(Arc<[StreamProtocol]>);

impl UpgradeInfo for LaneUpgrade {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.to_vec()
    }
}

impl InboundUpgrade<Stream> for LaneUpgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for LaneUpgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
