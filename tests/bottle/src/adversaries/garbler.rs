//! Sends garbage beside its true frames: random bytes, flipped bits, cut, longer than allowed, and lengths that no memory could hold;
//! on every channel of the engine and as every frame of the pipeline.

use std::collections::BTreeMap;

use bytes::Bytes;
use chain::Lane;
use consensus::{Channel, FRAME_HEADER_BYTES};

use super::{Arsenal, Conduct};
use crate::links::{Content, Parcel};

/// Tags of the pipeline's frames, and one that none has.
const TAGS: u8 = 11;
/// Every so many times ten milliseconds.
const EVERY: u64 = 5;
/// Ways to spoil a frame.
const WAYS: u64 = 6;

/// The garbler.
pub(super) struct Garbler {
    arsenal: Arsenal,
    /// A true frame of each tag.
    frames: BTreeMap<u8, Bytes>,
    /// A true frame of each channel.
    engine: BTreeMap<Channel, Bytes>,
    turn: u64,
}

impl Garbler {
    pub(super) const fn new(arsenal: Arsenal) -> Self {
        Self { arsenal, frames: BTreeMap::new(), engine: BTreeMap::new(), turn: 0 }
    }

    fn learn(&mut self, parcel: &Parcel) {
        match &parcel.content {
            Content::Engine { channel, bytes, .. } => {
                self.engine.insert(*channel, bytes.clone());
            }
            Content::Chain(bytes) => {
                self.frames.extend(bytes.first().map(|tag| (*tag, bytes.clone())));
            }
        }
    }

    /// A frame spoiled in one of the ways; what stands before `head` stays. One byte above `bytes_max` where it is to be too long.
    fn spoil(&mut self, frame: &[u8], head: usize, bytes_max: usize) -> Bytes {
        let mut spoiled = frame.to_vec();
        let body = spoiled.len().saturating_sub(head);
        let place = head + usize::try_from(self.arsenal.dice.below(body as u64)).unwrap_or(0);
        match self.arsenal.dice.below(WAYS) {
            0 => {
                if let Some(byte) = spoiled.get_mut(place) {
                    *byte ^= 1 << self.arsenal.dice.below(8);
                }
            }
            1 => spoiled.truncate(place),
            2 => {
                // A count or a length, wherever one may be.
                let length = if self.arsenal.dice.chance(500) { u64::MAX } else { 1 << 40 };
                let end = spoiled.len().min(place + 8);
                let bytes = length.to_le_bytes();
                spoiled.truncate(end);
                spoiled.splice(place.min(end).., bytes);
                spoiled.extend_from_slice(frame.get(end..).unwrap_or_default());
            }
            3 => spoiled.resize(bytes_max + 1, 0xff),
            4 => {
                spoiled.truncate(head);
                let length = usize::try_from(self.arsenal.dice.below(600)).unwrap_or(0);
                spoiled.extend(self.arsenal.noise(length));
            }
            _ => spoiled.push(0),
        }
        Bytes::from(spoiled)
    }
}

impl Conduct for Garbler {
    fn sends(&mut self, parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        self.learn(&parcel);
        out.push(parcel);
        0
    }

    fn hears(&mut self, parcel: &Parcel) {
        self.learn(parcel);
    }

    fn acts(&mut self, _now_ms: u64, out: &mut Vec<Parcel>) -> u64 {
        self.turn += 1;
        if !self.turn.is_multiple_of(EVERY) {
            return 0;
        }
        let before = out.len();
        let to = self.arsenal.dice.pick(&self.arsenal.peers.clone()).copied().unwrap_or(0);
        for channel in Channel::ALL {
            // Of epoch 0: what is of another one is not even read.
            let unknown = || Bytes::from_static(&[0; FRAME_HEADER_BYTES + 40]);
            let frame = self.engine.get(&channel).cloned().unwrap_or_else(unknown);
            let spoiled = self.spoil(&frame, FRAME_HEADER_BYTES, channel.frame_bytes_max());
            out.push(self.arsenal.engine_frame(to, channel, spoiled));
        }
        for tag in 0..TAGS {
            let unknown = || Bytes::from([[tag].as_slice(), &[1; 64]].concat());
            let frame = self.frames.get(&tag).cloned().unwrap_or_else(unknown);
            let spoiled = self.spoil(&frame, 1, Lane::Sync.frame_bytes_max());
            out.push(self.arsenal.frame(to, spoiled));
        }
        out.push(self.arsenal.frame(to, Bytes::new()));
        (out.len() - before) as u64
    }
}
