//! Ed25519 keys and signatures (RFC 8032). Signing by `ed25519-dalek`; verification by the ZIP-215 rules in
//! [`mod@super::verify`], for everyone.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signer as _, SigningKey};
use wincode::{SchemaRead, SchemaWrite};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::hash::{HexError, hash_types, parse_hex};

hash_types! {
    /// A compressed Ed25519 point. Any 32 bytes decode; a point that does not decompress fails verification.
    PublicKey;
}

use super::hash::Hash;

impl PublicKey {
    /// Whether the bytes are a point of the curve, so that something can be signed under them. The consensus engine and the network
    /// take no other key.
    #[must_use]
    pub fn is_point(&self) -> bool {
        CompressedEdwardsY(self.0).decompress().is_some()
    }
}

/// An Ed25519 signature: `R ‖ s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

/// A secret key: the 32-byte seed of RFC 8032. Zeroed when dropped; its `Debug` shows nothing.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey {
    seed: [u8; 32],
}

impl SecretKey {
    /// From a 32-byte seed.
    #[must_use]
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// The seed, for an encrypted keystore only.
    #[must_use]
    pub const fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(SigningKey::from_bytes(&self.seed).verifying_key().to_bytes())
    }

    /// Signs a domain-separated message. Crate-private: each purpose has its own method beside the thing that
    /// it signs.
    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature(SigningKey::from_bytes(&self.seed).sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl FromStr for SecretKey {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        parse_hex(text).map(Self::from_seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_all_bytes_are_a_point() {
        assert!(SecretKey::from_seed([1; 32]).public_key().is_point());
        // y = 2 is not on the curve.
        let mut key = PublicKey([0; 32]);
        key.0[0] = 2;
        assert!(!key.is_point());
    }
}
