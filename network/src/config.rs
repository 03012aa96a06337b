//! What a node gives to start its network: who it is, where it listens, whom it knows, and its lanes.
//!
//! Rules (checked by [`NetworkConfig::validate`] and again at each change of the registry): indices and
//! keys are unique; the entry with our own index, if given, carries our own key and is then left out;
//! addresses are `host:port`; lane names are unique, `a-z 0-9 - /`, and outside `link/`, which this crate
//! keeps for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use zeroize::Zeroizing;

use crate::error::NetworkError;
use crate::identity;
use crate::limits::{FRAME_BYTES_MAX, LANE_NAME_BYTES_MAX, LANES_MAX, PEERS_MAX, QUEUE_FRAMES_MAX};

/// Prefix of the lane names that this crate uses itself.
pub(crate) const RESERVED_PREFIX: &str = "link/";

/// Everything [`crate::Network::start`] needs.
#[derive(Debug)]
pub struct NetworkConfig {
    /// Our network key's secret half.
    pub secret: NetworkSecret,
    /// `host:port` to listen on; port 0 lets the system choose, read it back with `listen_address`.
    pub listen: String,
    /// Genesis hash. It is part of every protocol name, so a foreign network opens no protocol here.
    pub network: [u8; 32],
    /// Our index in the registry.
    pub own: u16,
    /// The registry; our own entry may be in it.
    pub peers: Vec<Peer>,
    /// The lanes, in the order of the receivers that `start` returns.
    pub lanes: Vec<Lane>,
}

/// One entry of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its index, the name it has in this crate's face.
    pub index: u16,
    /// Its ed25519 network public key.
    pub network_key: [u8; 32],
    /// `host:port`; a name is resolved anew at each dial.
    pub address: String,
}

/// A kind of frame with its own stream, queues and bounds, per peer and direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Part of the protocol name, for example `chain/0/epoch/0/vote`. Put into it whatever must agree on both
    /// sides, such as the epoch.
    pub name: String,
    /// Bytes of the largest frame, in and out.
    pub frame_bytes_max: usize,
    /// Frames waiting to be sent to one peer.
    pub outbound_frames_max: usize,
    /// Bytes waiting to be sent to one peer.
    pub outbound_bytes_max: usize,
    /// Frames received from one peer and not yet taken by the receiver; its stream is not read above that.
    pub inbound_frames_max: usize,
    /// What it may wait behind.
    pub priority: Priority,
}

/// How urgent a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Votes, certificates and the bodies that voting waits for.
    Consensus,
    /// Small requests, acknowledgements.
    Control,
    /// Batches, catch-up, snapshots.
    Bulk,
}

/// The 32-byte seed of a network key. Zeroized when dropped, never printed.
#[derive(Clone)]
pub struct NetworkSecret(Zeroizing<[u8; 32]>);

impl NetworkSecret {
    /// Takes the seed. The caller zeroizes its own copy.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The ed25519 public key that the registry must name for this node.
    pub fn network_key(&self) -> Result<[u8; 32], NetworkError> {
        identity::network_key(&identity::keypair(self)?)
    }

    /// A copy of the seed that also zeroizes itself.
    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NetworkSecret(hidden)")
    }
}

impl NetworkConfig {
    /// Checks everything that can be checked without a socket.
    pub fn validate(&self) -> Result<(), NetworkError> {
        validate_address(&self.listen)?;
        validate_lanes(&self.lanes)?;
        registry(self.own, &self.secret.network_key()?, &self.peers).map(drop)
    }
}

/// The registry without ourselves, by index.
pub(crate) fn registry(
    own: u16,
    own_key: &[u8; 32],
    peers: &[Peer],
) -> Result<BTreeMap<u16, Peer>, NetworkError> {
    if peers.len() > PEERS_MAX {
        return Err(NetworkError::TooManyPeers { count: peers.len(), max: PEERS_MAX });
    }
    let mut by_index = BTreeMap::new();
    let mut by_key = BTreeMap::from([(*own_key, own)]);
    for peer in peers {
        if peer.index == own {
            if peer.network_key != *own_key {
                return Err(NetworkError::ForeignSecret { index: own });
            }
            continue;
        }
        identity::peer_id(peer)?;
        validate_address(&peer.address)?;
        if let Some(first) = by_key.insert(peer.network_key, peer.index)
            && first != peer.index
        {
            return Err(NetworkError::DuplicateKey { first, second: peer.index });
        }
        if by_index.insert(peer.index, peer.clone()).is_some() {
            return Err(NetworkError::DuplicatePeer { index: peer.index });
        }
    }
    Ok(by_index)
}

fn validate_address(address: &str) -> Result<(), NetworkError> {
    let valid = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && host.len() <= 255 && port.parse::<u16>().is_ok());
    if valid { Ok(()) } else { Err(NetworkError::InvalidAddress { address: address.to_owned() }) }
}

fn validate_lanes(lanes: &[Lane]) -> Result<(), NetworkError> {
    if lanes.len() > LANES_MAX {
        return Err(NetworkError::TooManyLanes { count: lanes.len(), max: LANES_MAX });
    }
    let mut names = BTreeSet::new();
    for lane in lanes {
        let usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-/".contains(&byte);
        let named = !lane.name.is_empty()
            && lane.name.len() <= LANE_NAME_BYTES_MAX
            && lane.name.bytes().all(usual)
            && !lane.name.starts_with(RESERVED_PREFIX)
            && names.insert(lane.name.as_str());
        if !named {
            return Err(NetworkError::InvalidLaneName { name: lane.name.clone() });
        }
        let bounded = (1..=FRAME_BYTES_MAX).contains(&lane.frame_bytes_max)
            && (1..=QUEUE_FRAMES_MAX).contains(&lane.outbound_frames_max)
            && (1..=QUEUE_FRAMES_MAX).contains(&lane.inbound_frames_max)
            && lane.outbound_bytes_max >= lane.frame_bytes_max;
        if !bounded {
            return Err(NetworkError::InvalidLaneBound { name: lane.name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> [u8; 32] {
        NetworkSecret::new([seed; 32]).network_key().unwrap()
    }

    fn peer(index: u16, seed: u8) -> Peer {
        Peer { index, network_key: key(seed), address: "localhost:1".into() }
    }

    fn lane(name: &str) -> Lane {
        Lane {
            name: name.into(),
            frame_bytes_max: 10,
            outbound_frames_max: 1,
            outbound_bytes_max: 10,
            inbound_frames_max: 1,
            priority: Priority::Control,
        }
    }

    #[test]
    fn own_entry_is_checked_and_left_out() {
        let peers = [peer(0, 1), peer(1, 2)];
        let others = registry(0, &key(1), &peers).unwrap();
        assert_eq!(others.keys().copied().collect::<Vec<_>>(), [1]);
        let refused = registry(0, &key(9), &peers);
        assert!(matches!(refused, Err(NetworkError::ForeignSecret { index: 0 })));
    }

    #[test]
    fn registry_refuses_duplicates_bad_keys_and_bad_addresses() {
        let twice = registry(0, &key(1), &[peer(1, 2), peer(1, 2)]);
        assert!(matches!(twice, Err(NetworkError::DuplicatePeer { index: 1 })));
        let shared = registry(0, &key(1), &[peer(1, 2), peer(2, 2)]);
        assert!(matches!(shared, Err(NetworkError::DuplicateKey { first: 1, second: 2 })));
        let ours = registry(0, &key(1), &[peer(1, 1)]);
        assert!(matches!(ours, Err(NetworkError::DuplicateKey { first: 0, second: 1 })));
        // y = 2 is not on the curve.
        let mut network_key = [0; 32];
        network_key[0] = 2;
        let invalid = Peer { network_key, ..peer(3, 3) };
        assert!(matches!(registry(0, &key(1), &[invalid]), Err(NetworkError::InvalidKey { index: 3 })));
        for address in ["", "host", ":1", "host:", "host:65536"] {
            let wrong = Peer { address: address.into(), ..peer(1, 2) };
            let refused = registry(0, &key(1), &[wrong]);
            assert!(matches!(refused, Err(NetworkError::InvalidAddress { .. })), "{address}");
        }
    }

    #[test]
    fn lanes_are_named_and_bounded() {
        assert!(validate_lanes(&[lane("chain/0/epoch/0/vote"), lane("b")]).is_ok());
        for name in ["", "Vote", "link/x", "a b", "ä", &"x".repeat(97)] {
            let refused = validate_lanes(&[lane(name)]);
            assert!(matches!(refused, Err(NetworkError::InvalidLaneName { .. })), "{name}");
        }
        assert!(validate_lanes(&[lane("a"), lane("a")]).is_err());
        assert!(validate_lanes(&[Lane { outbound_bytes_max: 9, ..lane("a") }]).is_err());
        assert!(validate_lanes(&[Lane { inbound_frames_max: 0, ..lane("a") }]).is_err());
        assert!(validate_lanes(&[Lane { frame_bytes_max: FRAME_BYTES_MAX + 1, ..lane("a") }]).is_err());
    }

    #[test]
    fn secret_is_never_printed() {
        let text = format!("{:?}", NetworkSecret::new([0xab; 32]));
        assert_eq!(text, "NetworkSecret(hidden)");
    }
}
