//! A clock far ahead or behind: its blocks bear its time, and its batches end by it.

use chain::Frame;

use super::{Arsenal, Conduct};
use crate::links::{Content, Parcel};

/// A node with a wrong clock.
pub(super) struct WrongClock {
    arsenal: Arsenal,
    ahead_ms: i64,
}

impl WrongClock {
    pub(super) const fn new(arsenal: Arsenal, ahead_ms: i64) -> Self {
        Self { arsenal, ahead_ms }
    }
}

impl Conduct for WrongClock {
    /// Counts the blocks that it proposes.
    fn sends(&mut self, parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        let is_own_block = match &parcel.content {
            Content::Chain(bytes) => matches!(
                Frame::decode(bytes),
                Ok(Frame::Block(block)) if block.header.proposer == self.arsenal.seat
            ),
            Content::Engine { .. } => false,
        };
        out.push(parcel);
        u64::from(is_own_block)
    }

    fn wall_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.ahead_ms)
    }
}
