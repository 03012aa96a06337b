//! What the tests of this crate share: keys, and a small network of validators on the deterministic runtime.
#![allow(dead_code, unreachable_pub, reason = "shared by test binaries that each use their part")]

pub mod cluster;
pub mod wire;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_utils::ordered::Set;

/// Namespace of the test chain.
pub const NAMESPACE: &[u8] = b"jiaozi-test-chain-0";

/// Seeds and public keys of `size` validators, in validator order.
pub fn keys(size: u8) -> Vec<([u8; 32], [u8; 32])> {
    let mut keys: Vec<_> = (1..=size)
        .map(|byte| {
            let seed = [byte; 32];
            let public: [u8; 32] = private_key(&seed).public_key().as_ref().try_into().unwrap();
            (seed, public)
        })
        .collect();
    keys.sort_by_key(|(_, public)| *public);
    keys
}

pub fn private_key(seed: &[u8; 32]) -> PrivateKey {
    PrivateKey::decode(Copying(seed)).unwrap()
}

pub fn public_keys(keys: &[([u8; 32], [u8; 32])]) -> Set<PublicKey> {
    Set::from_iter_dedup(keys.iter().map(|(_, public)| PublicKey::decode(Copying(public)).unwrap()))
}
