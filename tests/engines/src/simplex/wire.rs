//! Channels between the validators of one process: a frame goes straight into the receiver's lane.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use consensus::{Channel, InboundSender, Transport};

/// Certificate frames kept for a validator that turns byzantine.
const CERTIFICATES_KEPT: usize = 256;

/// Who is connected, and what went by.
pub struct Wire {
    inbound: Mutex<Vec<Option<InboundSender>>>,
    certificates: Mutex<VecDeque<Bytes>>,
}

/// One validator's end of the wire.
#[derive(Clone)]
pub struct Link {
    /// Whose end.
    pub own: u16,
    /// The wire.
    pub wire: Arc<Wire>,
}

impl Wire {
    /// A wire for `size` validators, none of them connected.
    pub fn new(size: u16) -> Self {
        Self { inbound: Mutex::new(vec![None; usize::from(size)]), certificates: Mutex::default() }
    }

    /// From now on frames reach `node`.
    pub fn connect(&self, node: u16, inbound: InboundSender) {
        self.lanes()[usize::from(node)] = Some(inbound);
    }

    /// From now on frames to `node` are lost.
    pub fn disconnect(&self, node: u16) {
        self.lanes()[usize::from(node)] = None;
    }

    /// Whether `node` is connected.
    pub fn is_connected(&self, node: u16) -> bool {
        self.lanes()[usize::from(node)].is_some()
    }

    /// Gives one frame to `to` in the name of `from`; false if it was refused.
    pub fn deliver(&self, from: u16, to: u16, channel: Channel, frame: Bytes) -> bool {
        let inbound = self.lanes()[usize::from(to)].clone();
        inbound.is_some_and(|inbound| inbound.try_deliver(from, channel, frame).is_ok())
    }

    /// The last certificates sent by anyone, oldest first.
    pub fn certificates(&self) -> Vec<Bytes> {
        let kept = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, Vec<Option<InboundSender>>> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Link {
    fn try_send(&self, to: u16, channel: Channel, frame: Bytes) -> bool {
        if channel == Channel::Certificate {
            let mut kept = self.wire.certificates.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == CERTIFICATES_KEPT {
                kept.pop_front();
            }
            kept.push_back(frame.clone());
        }
        self.wire.deliver(self.own, to, channel, frame)
    }

    /// Nothing to close: the receiving side of the engine refuses a blocked validator by itself.
    fn block(&self, _validator: u16, _duration_ms: u64) {}
}
