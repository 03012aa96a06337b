//! Peers that sent something provably wrong, cut off at once and for a limited time.
//!
//! The engine blocks on invalid signatures, undecodable messages, signer mismatches and equivocation. Ignoring
//! it stops finality under a flood of invalid certificates; blocking for ever would turn one bad moment (a
//! half-upgraded peer, a corrupt frame) into a lost validator. So a block acts in the same call and expires
//! after [`BLOCK_MS`] by the runtime's clock. A peer that goes on is blocked again with its first bad message.

use crate::counters::{Meters, count};
use crate::runtime::Runtime;
use crate::transport::Transport;
use crate::validators::Validators;
use commonware_actor::Feedback;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{BlockedSubscription, Blocker};
use commonware_utils::channel::ring;
use commonware_utils::ordered::Set;
use commonware_utils::sync::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a peer stays blocked.
pub const BLOCK_MS: u64 = 60_000;

/// One flag per validator, read on the path of every inbound frame.
#[derive(Debug)]
pub(crate) struct BlockFlags(Vec<AtomicBool>);

impl BlockFlags {
    pub(crate) fn new(validators: usize) -> Self {
        Self((0..validators).map(|_| AtomicBool::new(false)).collect())
    }

    pub(crate) fn is_blocked(&self, index: u16) -> bool {
        self.0.get(usize::from(index)).is_some_and(|flag| flag.load(Ordering::Acquire))
    }

    /// Sets a flag; returns what it was. An unknown index counts as blocked.
    fn replace(&self, index: u16, blocked: bool) -> bool {
        self.0.get(usize::from(index)).is_none_or(|flag| flag.swap(blocked, Ordering::AcqRel))
    }
}

/// The engine's blocker.
pub(crate) struct Blocklist<E, T> {
    shared: Arc<Shared<E, T>>,
}

struct Shared<E, T> {
    context: E,
    transport: T,
    validators: Arc<Validators>,
    flags: Arc<BlockFlags>,
    meters: Arc<Meters>,
    /// One per part of the engine that asked; closed ones go at the next change.
    subscribers: Mutex<Vec<ring::Sender<Set<PublicKey>>>>,
}

impl<E: Runtime, T: Transport> Blocklist<E, T> {
    pub(crate) fn new(
        context: E,
        transport: T,
        validators: Arc<Validators>,
        flags: Arc<BlockFlags>,
        meters: Arc<Meters>,
    ) -> Self {
        let subscribers = Mutex::new(Vec::new());
        Self { shared: Arc::new(Shared { context, transport, validators, flags, meters, subscribers }) }
    }
}

impl<E, T> Clone for Blocklist<E, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E: Runtime, T: Transport> Blocker for Blocklist<E, T> {
    type PublicKey = PublicKey;

    fn block(&mut self, peer: PublicKey) -> Feedback {
        let Some(index) = self.shared.validators.index(&peer) else { return Feedback::Ok };
        if self.shared.flags.replace(index, true) {
            return Feedback::Ok;
        }
        count(&self.shared.meters.blocks);
        self.shared.transport.block(index, BLOCK_MS);
        self.shared.publish();
        // At most one such task per validator: the flag was clear.
        let shared = Arc::clone(&self.shared);
        self.shared.context.child("unblock").spawn(move |context| async move {
            context.sleep(Duration::from_millis(BLOCK_MS)).await;
            shared.flags.replace(index, false);
            shared.publish();
        });
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        let (sender, receiver) = ring::channel(NonZeroUsize::MIN);
        sender.send_lossy(self.shared.blocked());
        self.shared.subscribers.lock().push(sender);
        receiver
    }
}

impl<E, T> Shared<E, T> {
    fn blocked(&self) -> Set<PublicKey> {
        let blocked = self.validators.others().filter(|index| self.flags.is_blocked(*index));
        Set::from_iter_dedup(blocked.filter_map(|index| self.validators.key(index).cloned()))
    }

    fn publish(&self) {
        let blocked = self.blocked();
        self.subscribers.lock().retain(|subscriber| subscriber.send_lossy(blocked.clone()));
    }
}
