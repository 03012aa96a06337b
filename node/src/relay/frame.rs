//! What relays of different nodes say to each other, on the one lane that every node has whatever it hosts.
//!
//! One tag byte, then numbers as little-endian; a bundle's bytes are the rest of its frame. Nothing in a frame is believed: an answer is a
//! hint ([`super::hints`]), and a bundle is judged on its proof by the chain that it is for.

use bytes::Bytes;
use chain::Reached;
use ledger::records::Bundle;
use ledger::values::{Canonical as _, ChainId, Epoch};

/// Tag and destination before a bundle's bytes.
const BUNDLE_HEAD_BYTES: usize = 5;
/// Largest frame.
pub(crate) const FRAME_BYTES_MAX: usize = BUNDLE_HEAD_BYTES + Bundle::BYTES_MAX;
const _: () = assert!(FRAME_BYTES_MAX <= network::limits::FRAME_BYTES_MAX);

/// One frame of the lane of relays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayFrame {
    /// "How many receipts of this chain has that one executed, and which of its epochs does it know?"
    Ask {
        /// That sent them.
        source: ChainId,
        /// That receives them.
        destination: ChainId,
    },
    /// "So many, and this one, here."
    Received {
        /// That sent them.
        source: ChainId,
        /// That receives them.
        destination: ChainId,
        /// How far it has come.
        reached: Reached,
    },
    /// An encoded bundle.
    Bundle {
        /// The chain that it is for.
        destination: ChainId,
        /// Its bytes, decoded by that chain.
        bytes: Bytes,
    },
}

impl RelayFrame {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut frame = Vec::with_capacity(25);
        match self {
            Self::Ask { source, destination } => {
                frame.push(0);
                frame.extend_from_slice(&source.0.to_le_bytes());
                frame.extend_from_slice(&destination.0.to_le_bytes());
            }
            Self::Received { source, destination, reached } => {
                frame.push(1);
                frame.extend_from_slice(&source.0.to_le_bytes());
                frame.extend_from_slice(&destination.0.to_le_bytes());
                frame.extend_from_slice(&reached.count.to_le_bytes());
                frame.extend_from_slice(&reached.epoch.0.to_le_bytes());
            }
            Self::Bundle { destination, bytes } => {
                frame.reserve(bytes.len());
                frame.push(2);
                frame.extend_from_slice(&destination.0.to_le_bytes());
                frame.extend_from_slice(bytes);
            }
        }
        Bytes::from(frame)
    }

    /// Reads a frame; `None` for anything that [`Self::encode`] does not make.
    #[must_use]
    pub fn decode(frame: &Bytes) -> Option<Self> {
        let (tag, body) = frame.split_first()?;
        let (first, rest) = body.split_first_chunk::<4>()?;
        let first = ChainId(u32::from_le_bytes(*first));
        match tag {
            0 => {
                let destination = ChainId(u32::from_le_bytes(rest.try_into().ok()?));
                Some(Self::Ask { source: first, destination })
            }
            1 => {
                let (destination, rest) = rest.split_first_chunk::<4>()?;
                let destination = ChainId(u32::from_le_bytes(*destination));
                let (count, epoch) = rest.split_first_chunk::<8>()?;
                let count = u64::from_le_bytes(*count);
                let epoch = Epoch(u64::from_le_bytes(epoch.try_into().ok()?));
                Some(Self::Received { source: first, destination, reached: Reached { count, epoch } })
            }
            2 if rest.len() <= Bundle::BYTES_MAX => {
                Some(Self::Bundle { destination: first, bytes: frame.slice(BUNDLE_HEAD_BYTES..) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_nothing_else_is() {
        let (source, destination) = (ChainId(3), ChainId(258));
        let frames = [
            RelayFrame::Ask { source, destination },
            RelayFrame::Received {
                source,
                destination,
                reached: Reached { count: u64::MAX - 1, epoch: Epoch(7) },
            },
            RelayFrame::Bundle { destination, bytes: Bytes::from_static(b"a bundle") },
        ];
        for frame in &frames {
            let bytes = frame.encode();
            assert_eq!(RelayFrame::decode(&bytes).as_ref(), Some(frame));
        }
        assert_eq!(frames[0].encode()[..], [0, 3, 0, 0, 0, 2, 1, 0, 0]);
        for fixed in &frames[..2] {
            let bytes = fixed.encode();
            assert_eq!(RelayFrame::decode(&bytes.slice(..bytes.len() - 1)), None, "cut short");
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            assert_eq!(RelayFrame::decode(&longer), None, "a trailing byte");
        }
        for wrong in [&b""[..], &[0], &[2, 1, 0, 0], &[3, 1, 0, 0, 0]] {
            assert_eq!(RelayFrame::decode(&Bytes::copy_from_slice(wrong)), None);
        }
        let large = RelayFrame::Bundle { destination, bytes: Bytes::from(vec![0; Bundle::BYTES_MAX + 1]) };
        assert_eq!(RelayFrame::decode(&large.encode()), None, "above the bound");
    }
}
