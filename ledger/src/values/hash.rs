//! SHA-256 with a domain tag per purpose, and one type per thing that is hashed.
//!
//! Rule: every hash starts with the length and bytes of its tag, so no two purposes can share a preimage.
//! Variable-length parts are the last part or length-prefixed by the caller's canonical encoding.

use sha2::{Digest as _, Sha256};
use wincode::{SchemaRead, SchemaWrite};

/// A bare SHA-256 value: an inner node of a tree, or a part of another hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// SHA-256 of bytes that already begin with the length and bytes of a tag: for hot paths that lay them
    /// out once.
    #[must_use]
    pub(crate) fn of_tagged(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

/// Bare SHA-256, without a tag: only where other ledgers have to compute the same.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Incremental tagged hash.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts a hash under `tag`, one tag per purpose.
    #[must_use]
    pub fn new(tag: &'static str) -> Self {
        let mut inner = Sha256::new();
        inner.update((tag.len() as u64).to_le_bytes());
        inner.update(tag.as_bytes());
        Self(inner)
    }

    /// Appends bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// Appends a number, little-endian.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The hash.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

/// Declares a 32-byte identifier with hexadecimal text.
macro_rules! hash_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
        #[repr(transparent)]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&const_hex::encode(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_hex(text).map(Self)
            }
        }

        impl From<Hash> for $name {
            fn from(hash: Hash) -> Self {
                Self(hash.0)
            }
        }
    )*};
}
pub(crate) use hash_types;

/// Text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits (32 bytes)")]
pub struct HexError;

/// Parses 64 hexadecimal digits.
pub(crate) fn parse_hex(text: &str) -> Result<[u8; 32], HexError> {
    let mut bytes = [0; 32];
    const_hex::decode_to_slice(text, &mut bytes).map_err(|_| HexError)?;
    Ok(bytes)
}

hash_types! {
    /// Hash of the genesis spec: the network's identity.
    GenesisHash;
    /// Hash of a transaction's signed content, with network, chain and domain tag (PROTOCOL rule 5); of a receipt, of its place
    /// between two chains.
    TransactionId;
    /// Hash of a transaction's full signed bytes, or of a receipt's bytes.
    TransactionHash;
    /// Hash of a batch with all its transactions and signatures.
    BatchDigest;
    /// Hash of a block header; what consensus orders.
    BlockDigest;
    /// Hash of a block's body (batch and bundle digests).
    BodyHash;
    /// Hash of an inbound bundle with its proof.
    BundleDigest;
    /// Hash of the result of a height, which commits to the result before it.
    ResultHash;
    /// Root of a chain's whole state at a height.
    StateRoot;
    /// Root over the outcomes of one block.
    OutcomesRoot;
    /// Root over the receipts a chain has sent to every other chain.
    OutboxRoot;
    /// Hash of a wallet's signing policy.
    PolicyHash;
    /// Hash of the registry as a chain's state holds it.
    RegistryHash;
}
