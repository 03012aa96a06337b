//! What can go wrong: a wrong configuration or a refused listener ([`NetworkError`]), and a frame that was
//! not taken ([`SendError`]). Faults of peers are neither: they are counted in the statistics.

use std::io;

use thiserror::Error;

/// Why the network did not start, or refused a new registry. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// More peers than [`crate::limits::PEERS_MAX`].
    #[error("{count} peers, at most {max} are allowed")]
    TooManyPeers {
        /// Peers given.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// Two peers have the same index.
    #[error("peer {index} is listed twice")]
    DuplicatePeer {
        /// The index.
        index: u16,
    },
    /// Two peers have the same network key.
    #[error("peers {first} and {second} have the same network key")]
    DuplicateKey {
        /// The lower place in the list.
        first: u16,
        /// The other.
        second: u16,
    },
    /// The registry's entry for this node has another key than our secret.
    #[error("the registry names another network key for this node (index {index}) than the secret gives")]
    ForeignSecret {
        /// Our index.
        index: u16,
    },
    /// Not the bytes of an ed25519 public key.
    #[error("the network key of peer {index} is not an ed25519 public key")]
    InvalidKey {
        /// The peer.
        index: u16,
    },
    /// Not `host:port`.
    #[error("the address {address:?} is not host:port")]
    InvalidAddress {
        /// As given.
        address: String,
    },
    /// More lanes than [`crate::limits::LANES_MAX`].
    #[error("{count} lanes, at most {max} are allowed")]
    TooManyLanes {
        /// Lanes given.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// A lane's name is empty, too long, reserved, used twice, or has other characters than `a-z 0-9 - /`.
    #[error("the lane name {name:?} is empty, too long, reserved, used twice or has unusual characters")]
    InvalidLaneName {
        /// As given.
        name: String,
    },
    /// A bound of a lane is zero or above what this crate allows, or a queue cannot hold one frame.
    #[error("a bound of lane {name:?} is zero, too large, or too small for one frame")]
    InvalidLaneBound {
        /// The lane.
        name: String,
    },
    /// The address could not be listened on.
    #[error("cannot listen on {address:?}")]
    Listen {
        /// As configured.
        address: String,
        /// From the system.
        #[source]
        source: io::Error,
    },
    /// The runtime shut down while the network started.
    #[error("the runtime ended before the network had started")]
    RuntimeEnded,
    /// Noise refused to make keys from the secret.
    #[error("the network secret cannot be used")]
    UnusableSecret,
}

/// Why a frame was not taken. Nothing of it will be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The lane's queue for this peer holds its maximum of frames or bytes.
    #[error("the lane is full")]
    Full,
    /// No link to the peer, or it is blocked.
    #[error("the peer is not connected")]
    Disconnected,
    /// The frame is larger than the lane allows.
    #[error("the frame is larger than the lane allows")]
    Oversize,
    /// No such peer in the registry.
    #[error("no such peer in the registry")]
    UnknownPeer,
    /// No such lane in the configuration.
    #[error("no such lane")]
    UnknownLane,
}
