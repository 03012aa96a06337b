//! Sends old frames again: its own votes and certificates of views long gone, and blocks, batches, pages and acknowledgements that it
//! once sent or heard, as if they were its own.

use std::collections::VecDeque;

use super::{Arsenal, Conduct};
use crate::links::{Content, Parcel};

/// Frames that it remembers.
const KEPT_MAX: usize = 4_096;
/// Every so many frames, one is kept.
const KEPT_PER_MILLE: u64 = 300;
/// Frames that it sends every ten milliseconds.
const REPEATS: usize = 12;

/// The replayer.
pub(super) struct Replayer {
    arsenal: Arsenal,
    kept: VecDeque<Content>,
}

impl Replayer {
    pub(super) const fn new(arsenal: Arsenal) -> Self {
        Self { arsenal, kept: VecDeque::new() }
    }

    fn keep(&mut self, content: &Content) {
        if self.arsenal.dice.chance(KEPT_PER_MILLE) {
            self.kept.push_back(content.clone());
            // Old ones stay: half of the room is for what is oldest.
            if self.kept.len() > KEPT_MAX {
                self.kept.remove(KEPT_MAX / 2);
            }
        }
    }
}

impl Conduct for Replayer {
    fn sends(&mut self, parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        self.keep(&parcel.content);
        out.push(parcel);
        0
    }

    fn hears(&mut self, parcel: &Parcel) {
        // Votes of others under its own name would only be refused; see the garbler.
        if matches!(parcel.content, Content::Chain(_)) {
            self.keep(&parcel.content);
        }
    }

    fn acts(&mut self, _now_ms: u64, out: &mut Vec<Parcel>) -> u64 {
        let before = out.len();
        for _ in 0..REPEATS {
            let place = usize::try_from(self.arsenal.dice.below(self.kept.len() as u64)).unwrap_or(0);
            let Some(to) = self.arsenal.dice.pick(&self.arsenal.peers).copied() else { break };
            let Some(content) = self.kept.get(place).cloned() else { break };
            out.push(match content {
                Content::Chain(bytes) => self.arsenal.frame(to, bytes),
                Content::Engine { channel, bytes, .. } => self.arsenal.engine_frame(to, channel, bytes),
            });
        }
        (out.len() - before) as u64
    }
}
