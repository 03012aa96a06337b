//! The libp2p behaviour that opens and accepts lane streams: one protocol, nothing else.
//!
//! Whoever opens a stream says which lane it is: a byte of length and the lane's name. The other side answers with a byte, [`ACCEPTED`] or
//! [`UNSUPPORTED`]. Lanes are not protocols of their own, because libp2p compares the whole list of protocols each time it looks at a connection: with
//! eight chains that was 4 % of a node's work.
//!
//! It does what `libp2p-stream` 0.5.0-alpha does and differs where that one breaks our rules: it forgets a
//! connection when it closes, it never drops a negotiated stream because its receiver was busy, and the
//! caller names the connection on which a stream opens (ADR 2).
//!
//! Bounds: streams being negotiated are bounded by the swarm's configuration, streams handed over by the
//! swarm's per-connection event buffer and [`STREAMS_UNACCEPTED_MAX`] here.

use std::collections::VecDeque;
use std::io;
use std::iter::{Once, once};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
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

use crate::limits::{LANE_NAME_BYTES_MAX, OPEN_TIMEOUT, STREAMS_UNACCEPTED_MAX};

/// The lane is ours too: frames follow.
const ACCEPTED: u8 = 1;
/// We have no such lane.
const UNSUPPORTED: u8 = 0;
const _: () = assert!(LANE_NAME_BYTES_MAX <= u8::MAX as usize, "the length of a name is one byte");

/// Opens lane streams on request and reports those that peers opened.
pub(crate) struct Streams {
    protocol: StreamProtocol,
    lanes: Arc<[Arc<str>]>,
    pending: VecDeque<ToSwarm<Accepted, OpenStream>>,
}

/// A peer opened a lane.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Who.
    pub(crate) peer: PeerId,
    /// On which connection.
    pub(crate) connection: ConnectionId,
    /// Place in the list of lanes.
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
    lane: Arc<str>,
    reply: Opened,
}

impl Streams {
    /// Speaks this protocol and accepts exactly these lanes; their places are their numbers.
    pub(crate) fn new(protocol: StreamProtocol, lanes: Arc<[Arc<str>]>) -> Self {
        Self { protocol, lanes, pending: VecDeque::new() }
    }

    /// Asks for a stream. If the connection or the lane is gone the reply is dropped. The swarm must be
    /// polled afterwards. Callers bound the number of requests.
    pub(crate) fn open(&mut self, peer_id: PeerId, connection: ConnectionId, lane: usize, reply: Opened) {
        let Some(lane) = self.lanes.get(lane).cloned() else { return };
        let handler = NotifyHandler::One(connection);
        let event = OpenStream { lane, reply };
        self.pending.push_back(ToSwarm::NotifyHandler { peer_id, handler, event });
    }

    fn handler(&self) -> Handler {
        let (protocol, lanes) = (self.protocol.clone(), self.lanes.clone());
        Handler { protocol, lanes, requests: VecDeque::new(), accepted: VecDeque::new() }
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
    protocol: StreamProtocol,
    lanes: Arc<[Arc<str>]>,
    requests: VecDeque<OpenStream>,
    accepted: VecDeque<(usize, Stream)>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenStream;
    type ToBehaviour = (usize, Stream);
    type InboundProtocol = Accept;
    type OutboundProtocol = Open;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<Accept> {
        let accept = Accept { protocol: self.protocol.clone(), lanes: self.lanes.clone() };
        SubstreamProtocol::new(accept, ()).with_timeout(OPEN_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Open, Opened, Self::ToBehaviour>> {
        if let Some(stream) = self.accepted.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if let Some(OpenStream { lane, reply }) = self.requests.pop_front() {
            let open = Open { protocol: self.protocol.clone(), lane };
            let protocol = SubstreamProtocol::new(open, reply).with_timeout(OPEN_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, request: OpenStream) {
        self.requests.push_back(request);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Accept, Open, (), Opened>) {
        match event {
            // What is beyond the bound is reset by being dropped, like any other event's.
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: accepted, ..
            }) if self.accepted.len() < STREAMS_UNACCEPTED_MAX => {
                self.accepted.push_back(accepted);
            }
            // A writer that gave up dropped its receiver; the stream is then reset by being dropped.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                drop(info.send(Ok(stream)))
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let failure = match error {
                    StreamUpgradeError::NegotiationFailed => OpenFailure::Unsupported,
                    StreamUpgradeError::Apply(fault) if fault.kind() == io::ErrorKind::Unsupported => {
                        OpenFailure::Unsupported
                    }
                    StreamUpgradeError::Timeout
                    | StreamUpgradeError::Io(_)
                    | StreamUpgradeError::Apply(_) => OpenFailure::Broken,
                };
                drop(info.send(Err(failure)));
            }
            _ => {}
        }
    }
}

/// Hears which lane a peer opens, and hands out the stream with its place.
#[derive(Debug, Clone)]
pub(crate) struct Accept {
    protocol: StreamProtocol,
    lanes: Arc<[Arc<str>]>,
}

/// Says which lane is opened.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    protocol: StreamProtocol,
    lane: Arc<str>,
}

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        once(self.protocol.clone())
    }
}

impl UpgradeInfo for Open {
    type Info = StreamProtocol;
    type InfoIter = Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        once(self.protocol.clone())
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = (usize, Stream);
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, mut stream: Stream, _: Self::Info) -> Self::Future {
        Box::pin(async move {
            let mut length = [0];
            stream.read_exact(&mut length).await?;
            let mut name = [0; u8::MAX as usize];
            let name = name.get_mut(..usize::from(length[0])).ok_or(io::ErrorKind::InvalidData)?;
            stream.read_exact(name).await?;
            let lane = self.lanes.iter().position(|known| known.as_bytes() == name);
            stream.write_all(&[if lane.is_some() { ACCEPTED } else { UNSUPPORTED }]).await?;
            stream.flush().await?;
            Ok((lane.ok_or(io::ErrorKind::Unsupported)?, stream))
        })
    }
}

impl OutboundUpgrade<Stream> for Open {
    type Output = Stream;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, mut stream: Stream, _: Self::Info) -> Self::Future {
        Box::pin(async move {
            // The configuration bounds the names of lanes.
            let length = u8::try_from(self.lane.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            stream.write_all(&[length]).await?;
            stream.write_all(self.lane.as_bytes()).await?;
            stream.flush().await?;
            let mut answer = [UNSUPPORTED];
            stream.read_exact(&mut answer).await?;
            if answer == [ACCEPTED] { Ok(stream) } else { Err(io::ErrorKind::Unsupported.into()) }
        })
    }
}
