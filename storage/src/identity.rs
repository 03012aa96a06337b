//! Whose database a directory holds, and the claim file `STORE` that says so.
//!
//! The claim is the first file written into an empty directory, synced before RocksDB makes any other, so a
//! directory is always either empty, ours, or foreign; a crash in between leaves it ours and empty. It is
//! text, for the operator who finds a disk in a drawer:
//!
//! ```text
//! jiaozi store
//! schema 1
//! chain 0
//! genesis 6a…(64 hex digits)
//! check 0badcafe        CRC-32C of all bytes before this line
//! ```
//!
//! Exactly one text is valid for an identity: decoding re-encodes and compares.

use std::fmt;

use crate::rocks::crc32c;

/// Network, chain and schema of a database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Version of [`crate::SCHEMA`] and of the encodings of the values under it.
    pub schema_version: u32,
    /// Hash of the genesis specification: the network.
    pub genesis: [u8; 32],
    /// The chain, within the network.
    pub chain: u32,
}

impl Identity {
    /// The claim file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = format!(
            "jiaozi store\nschema {}\nchain {}\ngenesis {}\n",
            self.schema_version,
            self.chain,
            const_hex::encode(self.genesis)
        );
        let check = crc32c(body.as_bytes());
        format!("{body}check {check:08x}\n").into_bytes()
    }

    /// Reads a claim file; `None` when it is not exactly what [`Identity::encode`] writes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        lines.next().filter(|line| *line == "jiaozi store")?;
        let schema_version = lines.next()?.strip_prefix("schema ")?.parse().ok()?;
        let chain = lines.next()?.strip_prefix("chain ")?.parse().ok()?;
        let genesis = const_hex::decode_to_array(lines.next()?.strip_prefix("genesis ")?).ok()?;
        let identity = Self { schema_version, genesis, chain };
        (identity.encode() == bytes).then_some(identity)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let genesis = const_hex::encode(self.genesis);
        write!(formatter, "chain {} of genesis {genesis}, schema {}", self.chain, self.schema_version)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_the_claim_is_noticed() {
        let identity = Identity { schema_version: 1, genesis: [0xa7; 32], chain: 12 };
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes), Some(identity));
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                assert_eq!(Identity::decode(&flipped), None, "byte {position} bit {bit}");
            }
        }
        assert_eq!(Identity::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Identity::decode(&[bytes.as_slice(), b"\n"].concat()), None);
    }
}
