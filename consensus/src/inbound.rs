//! The inbound half of the seam to the network: one bounded lane per peer and channel.
//!
//! Lanes are drained round robin, so a peer that floods fills its own lane and nobody else's. A frame passes,
//! in this order: known peer, not blocked, size cap, own epoch, room in the lane (all at [`InboundSender`],
//! without waiting); then not blocked meanwhile, rate limit (when the engine drains, by the runtime's clock).
//! Only then does the engine decode it and verify signatures.
//!
//! The lanes stay open as long as the engine runs, whoever else drops the sender.

use crate::blocklist::BlockFlags;
use crate::counters::{Meters, count};
use crate::transport::{Channel, FRAME_HEADER_BYTES, frame_epoch};
use crate::validators::Validators;
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Message, Receiver};
use commonware_runtime::{Clock, IoBuf};
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;
use thiserror::Error;
use tokio::sync::mpsc;

/// Frames waiting in one lane. At the rate limit of votes this is an eighth of a second.
pub const LANE_FRAMES: usize = 256;

/// Seconds of a peer's rate that it may use at once.
const BURST_SECONDS: u64 = 2;

/// Gives frames from the network to the engine. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct InboundSender {
    shared: Arc<Lanes>,
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The sender is not another validator of this epoch.
    #[error("sender is not another validator of this epoch")]
    UnknownPeer,
    /// The sender is blocked for now.
    #[error("sender is blocked")]
    Blocked,
    /// The frame exceeds the channel's cap, or is too short for a header. Honest peers never send this.
    #[error("frame has {0} bytes")]
    Size(usize),
    /// The frame belongs to another epoch; normal around the border of two epochs.
    #[error("frame belongs to epoch {0}")]
    Epoch(u64),
    /// The peer's lane is full. The frame is lost; the engine repeats or fetches what matters.
    #[error("lane is full")]
    LaneFull,
    /// The engine has ended.
    #[error("engine has ended")]
    Ended,
}

#[derive(Debug)]
struct Lanes {
    epoch: u64,
    /// By channel, then by validator; none for the own index.
    senders: [Vec<Option<mpsc::Sender<Bytes>>>; 3],
    flags: Arc<BlockFlags>,
    meters: Arc<Meters>,
}

impl InboundSender {
    /// Hands over one frame of validator `from` without waiting.
    ///
    /// # Errors
    /// Why the frame was not taken. Only [`Refused::Size`] is the sender's fault for certain.
    pub fn try_deliver(&self, from: u16, channel: Channel, frame: Bytes) -> Result<(), Refused> {
        let outcome = self.deliver(from, channel, frame);
        count(if outcome.is_ok() {
            &self.shared.meters.frames_received
        } else {
            &self.shared.meters.frames_refused
        });
        outcome
    }

    fn deliver(&self, from: u16, channel: Channel, mut frame: Bytes) -> Result<(), Refused> {
        let lanes = self.shared.senders.get(channel.index()).ok_or(Refused::UnknownPeer)?;
        let lane = lanes.get(usize::from(from)).and_then(Option::as_ref).ok_or(Refused::UnknownPeer)?;
        if self.shared.flags.is_blocked(from) {
            return Err(Refused::Blocked);
        }
        let length = frame.len();
        if length > channel.frame_bytes_max() {
            return Err(Refused::Size(length));
        }
        let epoch = frame_epoch(&frame).ok_or(Refused::Size(length))?;
        if epoch != self.shared.epoch {
            return Err(Refused::Epoch(epoch));
        }
        let message = frame.split_off(FRAME_HEADER_BYTES);
        lane.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::LaneFull,
            mpsc::error::TrySendError::Closed(_) => Refused::Ended,
        })
    }
}

/// The engine's receiver for one channel.
pub(crate) struct Inbound<E> {
    lanes: Vec<Lane>,
    next: usize,
    clock: E,
    channel: Channel,
    flags: Arc<BlockFlags>,
    meters: Arc<Meters>,
    /// Keeps the lanes open.
    _open: InboundSender,
}

/// One peer's lane on one channel.
struct Lane {
    index: u16,
    key: PublicKey,
    frames: mpsc::Receiver<Bytes>,
    budget: Budget,
}

/// Builds the lanes of one engine. `clock` is called once per channel.
pub(crate) fn lanes<E: Clock>(
    epoch: u64,
    validators: &Validators,
    flags: &Arc<BlockFlags>,
    meters: &Arc<Meters>,
    clock: impl Fn() -> E,
) -> (InboundSender, [Inbound<E>; 3]) {
    let mut senders = [const { Vec::new() }; 3];
    let mut receivers = [const { Vec::new() }; 3];
    for (channel, (senders, receivers)) in
        Channel::ALL.into_iter().zip(senders.iter_mut().zip(receivers.iter_mut()))
    {
        senders.resize_with(validators.len(), || None);
        for index in validators.others() {
            let Some(key) = validators.key(index) else { continue };
            let (sender, frames) = mpsc::channel(LANE_FRAMES);
            if let Some(slot) = senders.get_mut(usize::from(index)) {
                *slot = Some(sender);
            }
            receivers.push(Lane { index, key: key.clone(), frames, budget: Budget::new(channel) });
        }
    }
    let shared = Lanes { epoch, senders, flags: Arc::clone(flags), meters: Arc::clone(meters) };
    let sender = InboundSender { shared: Arc::new(shared) };
    let mut channels = Channel::ALL.into_iter();
    let inbound = receivers.map(|lanes| Inbound {
        lanes,
        next: 0,
        clock: clock(),
        channel: channels.next().unwrap_or(Channel::Resolver),
        flags: Arc::clone(flags),
        meters: Arc::clone(meters),
        _open: sender.clone(),
    });
    (sender, inbound)
}

impl<E: Clock> Inbound<E> {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Message<PublicKey>> {
        let count_lanes = self.lanes.len();
        for step in 0..count_lanes {
            let position = (self.next + step) % count_lanes;
            let Some(lane) = self.lanes.get_mut(position) else { continue };
            // Ends: a lane holds at most LANE_FRAMES, and what is discarded is not queued again.
            while let Poll::Ready(Some(frame)) = lane.frames.poll_recv(context) {
                let allowed = !self.flags.is_blocked(lane.index) && lane.budget.take(self.clock.current());
                if !allowed {
                    count(&self.meters.frames_discarded);
                    continue;
                }
                self.next = (position + 1) % count_lanes;
                return Poll::Ready((lane.key.clone(), IoBuf::from(frame)));
            }
        }
        Poll::Pending
    }
}

impl<E: Clock> Receiver for Inbound<E> {
    type Error = Infallible;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Infallible> {
        Ok(poll_fn(|context| self.poll_frame(context)).await)
    }

    fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(LANE_FRAMES.saturating_mul(self.lanes.len()).saturating_sub(1))
    }
}

impl<E> fmt::Debug for Inbound<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inbound").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// A token bucket in microseconds of the peer's time: a frame costs one interval.
struct Budget {
    interval_us: u64,
    credit_us: u64,
    last: Option<SystemTime>,
}

impl Budget {
    const CREDIT_US_MAX: u64 = BURST_SECONDS * 1_000_000;

    fn new(channel: Channel) -> Self {
        let interval_us = 1_000_000 / u64::from(channel.frames_per_second_max());
        Self { interval_us, credit_us: Self::CREDIT_US_MAX, last: None }
    }

    /// Pays for one frame; false if the peer is over its rate. A clock that steps back earns nothing.
    fn take(&mut self, now: SystemTime) -> bool {
        let elapsed = self.last.and_then(|last| now.duration_since(last).ok()).unwrap_or_default();
        let earned = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.credit_us = self.credit_us.saturating_add(earned).min(Self::CREDIT_US_MAX);
        self.last = Some(now);
        let Some(left) = self.credit_us.checked_sub(self.interval_us) else { return false };
        self.credit_us = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_peer_may_burst_and_then_gets_its_rate() {
        let start = SystemTime::UNIX_EPOCH;
        let mut budget = Budget::new(Channel::Vote);
        let taken = (0..10_000).filter(|_| budget.take(start)).count();
        assert_eq!(taken, 4_000, "two seconds at 2,000 a second");
        let later = start + Duration::from_millis(100);
        assert_eq!((0..1_000).filter(|_| budget.take(later)).count(), 200);
        assert!(!budget.take(start), "a step back earns nothing");
        assert!(budget.take(start + Duration::from_millis(1)));
    }
}
