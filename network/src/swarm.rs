//! Builds the libp2p swarm: TCP without delay, noise, bounded yamux; the registry as allow list, the
//! limits, and our streams, in this order: what the first refuses the last never sees.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::Multiaddr;
use libp2p::core::multiaddr::Protocol;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, noise, tcp};

use crate::config::{Lane, Priority, RESERVED_PREFIX};
use crate::error::NetworkError;
use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, HANDSHAKE_TIMEOUT, PENDING_INCOMING_MAX};
use crate::muxer::BoundedYamux;
use crate::streams::Streams;

/// All we speak.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    pub(crate) streams: Streams,
}

/// The lane that carries empty frames, so that a dead link is noticed. It follows the configuration's lanes.
pub(crate) fn keep_alive_lane() -> Lane {
    Lane {
        name: format!("{RESERVED_PREFIX}keep-alive"),
        frame_bytes_max: 0,
        outbound_frames_max: 2,
        outbound_bytes_max: 0,
        inbound_frames_max: 1,
        priority: Priority::Control,
    }
}

/// A swarm that does not listen yet and allows nobody.
pub(crate) fn build(
    keypair: Keypair,
    network: &[u8; 32],
    lanes: &[Lane],
) -> Result<Swarm<Behaviour>, NetworkError> {
    let names: Arc<[Arc<str>]> = lanes.iter().map(|lane| Arc::from(lane.name.as_str())).collect();
    let count = lanes.len();
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_INCOMING_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
        .with_max_established(Some(CONNECTIONS_MAX));
    let behaviour = Behaviour {
        allowed: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(limits),
        streams: Streams::new(protocol(network)?, names),
    };
    let builder = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, || BoundedYamux::new(count))
        .map_err(|_| NetworkError::UnusableSecret)?
        .with_behaviour(|_| behaviour);
    let Ok(builder) = builder;
    Ok(builder
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::MAX)
                .with_max_negotiating_inbound_streams(count + 1)
                .with_dial_concurrency_factor(NonZeroU8::MIN)
        })
        .with_connection_timeout(HANDSHAKE_TIMEOUT)
        .build())
}

/// `/jiaozi/<genesis hash>/lanes/1`; nothing in it can be refused.
fn protocol(network: &[u8; 32]) -> Result<StreamProtocol, NetworkError> {
    let network = network.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    StreamProtocol::try_from_owned(format!("/jiaozi/{network}/lanes/1"))
        .map_err(|_| NetworkError::InvalidLaneName { name: network })
}

/// From a socket address to libp2p's.
pub(crate) fn multiaddress(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// And back, for the addresses a TCP listener has.
pub(crate) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) => Some(SocketAddr::from((ip, port))),
        (Protocol::Ip6(ip), Protocol::Tcp(port)) => Some(SocketAddr::from((ip, port))),
        _ => None,
    }
}

/// Resolves `host:port`, with at least one address.
pub(crate) async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let lookup = tokio::net::lookup_host(address);
    let found = tokio::time::timeout(crate::limits::RESOLVE_TIMEOUT, lookup)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let found = found.take(crate::limits::ADDRESSES_PER_DIAL_MAX).collect::<Vec<_>>();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}
