//! The outbound half of the seam to the network.
//!
//! A frame is the engine's epoch (u64, little endian) and the engine's message. The epoch stands in front
//! because the engine blocks whoever sends it a message of another epoch: at an epoch's border that would be
//! an honest peer. The receiving side drops such a frame before the engine sees it.
//!
//! Nothing here waits. A frame that the transport does not take is lost; votes and certificates are repeated
//! or fetched by the engine, so loss costs time only.

use crate::counters::{Meters, count};
use crate::validators::Validators;
use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients};
use commonware_runtime::IoBufs;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes in front of every engine message: the epoch.
pub const FRAME_HEADER_BYTES: usize = 8;

/// The epoch of a frame; `None` for one without a header. Whoever hands frames to one engine after another needs it.
#[must_use]
pub fn frame_epoch(frame: &[u8]) -> Option<u64> {
    frame.first_chunk::<FRAME_HEADER_BYTES>().map(|header| u64::from_le_bytes(*header))
}

/// Carries frames between validators. Implemented over libp2p by the node and simulated by the bottle.
pub trait Transport: Clone + Send + Sync + 'static {
    /// Queues one frame for one validator without waiting; false if it was not taken.
    fn try_send(&self, to: u16, channel: Channel, frame: Bytes) -> bool;

    /// This validator sent something provably wrong: cut it off now, for `duration_ms`.
    ///
    /// The engine's side refuses its frames for as long by itself; the transport should close the connection
    /// so that they cost no bandwidth either.
    fn block(&self, validator: u16, duration_ms: u64);
}

/// The three streams between two validators. Each needs its own lane: none may delay another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Single votes.
    Vote,
    /// Notarizations, nullifications and finalizations.
    Certificate,
    /// Requests for certificates and their answers.
    Resolver,
}

impl Channel {
    /// All channels, in the order of their [`Channel::index`].
    pub const ALL: [Self; 3] = [Self::Vote, Self::Certificate, Self::Resolver];

    /// Position in [`Channel::ALL`], a stable number for the wire.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Vote => 0,
            Self::Certificate => 1,
            Self::Resolver => 2,
        }
    }

    /// Largest frame, header included. A vote takes about 130 bytes, a certificate of 100 validators 5 KB.
    #[must_use]
    pub const fn frame_bytes_max(self) -> usize {
        match self {
            Self::Vote => 4 * 1024,
            Self::Certificate | Self::Resolver => 64 * 1024,
        }
    }

    /// Frames a second that one peer may put into the engine on this channel, with bursts of two seconds.
    ///
    /// The fastest run measured made 531 blocks a second, which is 1,062 votes and as many certificates from
    /// each peer; the limit is about twice that. The resolver answers single requests.
    #[must_use]
    pub const fn frames_per_second_max(self) -> u32 {
        match self {
            Self::Vote | Self::Certificate => 2_000,
            Self::Resolver => 500,
        }
    }
}

/// The engine's sender for one channel.
pub(crate) struct Outbound<T> {
    pub(crate) transport: T,
    pub(crate) channel: Channel,
    pub(crate) epoch: u64,
    pub(crate) validators: Arc<Validators>,
    pub(crate) meters: Arc<Meters>,
}

impl<T: Transport> Clone for Outbound<T> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            channel: self.channel,
            epoch: self.epoch,
            validators: Arc::clone(&self.validators),
            meters: Arc::clone(&self.meters),
        }
    }
}

impl<T: Transport> LimitedSender for Outbound<T> {
    type PublicKey = PublicKey;
    type Checked<'a> = Addressed<'a, T>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Addressed<'_, T>, SystemTime> {
        let others = |key: &PublicKey| {
            self.validators.index(key).filter(|index| Some(*index) != self.validators.own())
        };
        let to = match recipients {
            Recipients::All => self.validators.others().collect(),
            Recipients::Some(keys) => keys.iter().filter_map(others).collect(),
            Recipients::One(key) => others(&key).into_iter().collect(),
        };
        Ok(Addressed { outbound: self, to })
    }
}

/// A sender with its recipients; every recipient is within its limit, because the receiver limits.
pub(crate) struct Addressed<'a, T> {
    outbound: &'a Outbound<T>,
    to: Vec<u16>,
}

impl<T: Transport> CheckedSender for Addressed<'_, T> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.to.iter().filter_map(|index| self.outbound.validators.key(*index).cloned()).collect()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _priority: bool) -> Unreliable<Feedback> {
        let message: IoBufs = message.into();
        let message = message.coalesce();
        let message: &[u8] = message.as_ref();
        let length = message.len().saturating_add(FRAME_HEADER_BYTES);
        let outbound = self.outbound;
        if length > outbound.channel.frame_bytes_max() {
            count(&outbound.meters.frames_unsent);
            return Unreliable::rejected();
        }
        let mut frame = BytesMut::with_capacity(length);
        frame.put_u64_le(outbound.epoch);
        frame.put_slice(message);
        let frame = frame.freeze();
        for to in self.to {
            let taken = outbound.transport.try_send(to, outbound.channel, frame.clone());
            count(if taken { &outbound.meters.frames_sent } else { &outbound.meters.frames_unsent });
        }
        Unreliable::new(Feedback::Ok)
    }
}
