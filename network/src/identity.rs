//! From our words for keys (32 bytes) to libp2p's, in one place, so that no other face of the crate needs
//! them.

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, ed25519};

use crate::config::{NetworkSecret, Peer};
use crate::error::NetworkError;

/// The key pair of a secret. The copy of the seed is zeroized by libp2p as it is taken.
pub(crate) fn keypair(secret: &NetworkSecret) -> Result<Keypair, NetworkError> {
    let mut seed = secret.seed();
    Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|_| NetworkError::UnusableSecret)
}

/// The public key's 32 bytes.
pub(crate) fn network_key(keypair: &Keypair) -> Result<[u8; 32], NetworkError> {
    let public = keypair.public().try_into_ed25519().map_err(|_| NetworkError::UnusableSecret)?;
    Ok(public.to_bytes())
}

/// The name libp2p gives to a peer of the registry.
pub(crate) fn peer_id(peer: &Peer) -> Result<PeerId, NetworkError> {
    let key = ed25519::PublicKey::try_from_bytes(&peer.network_key)
        .map_err(|_| NetworkError::InvalidKey { index: peer.index })?;
    Ok(PublicKey::from(key).to_peer_id())
}
