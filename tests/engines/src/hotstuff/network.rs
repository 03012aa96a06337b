//! Channels between the replicas of one process; messages travel encoded, as over a socket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use borsh::{BorshDeserialize as _, BorshSerialize as _};
use ed25519_dalek::VerifyingKey;
use hotstuff_rs::hotstuff::messages::HotStuffMessage;
use hotstuff_rs::networking::messages::{Message, ProgressMessage};
use hotstuff_rs::networking::network::Network;
use hotstuff_rs::types::update_sets::ValidatorSetUpdates;
use hotstuff_rs::types::validator_set::ValidatorSet;

/// How long a replica's poller sleeps at most when nothing comes: without it every poller spins.
const POLL: Duration = Duration::from_millis(10);

/// A message with its sender.
type Packet = (u16, Arc<[u8]>);

/// Connects all replicas.
pub struct Switch {
    keys: Vec<VerifyingKey>,
    lanes: Vec<Lane>,
}

struct Lane {
    sender: Sender<Packet>,
    receiver: Mutex<Receiver<Packet>>,
    is_connected: AtomicBool,
    withholds: AtomicBool,
}

/// One replica's place at the switch. `MENDED`: votes go to everyone.
#[derive(Clone)]
pub struct Port<const MENDED: bool> {
    /// Whose place.
    pub own: u16,
    /// The switch.
    pub switch: Arc<Switch>,
}

impl Switch {
    /// A switch for replicas with these keys, none of them connected.
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        let lane = |_: &VerifyingKey| {
            let (sender, receiver) = channel();
            let (is_connected, withholds) = (AtomicBool::new(false), AtomicBool::new(false));
            Lane { sender, receiver: Mutex::new(receiver), is_connected, withholds }
        };
        Self { lanes: keys.iter().map(lane).collect(), keys }
    }

    /// From now on messages reach `node`; what was left over from before is gone.
    pub fn connect(&self, node: u16) {
        let lane = &self.lanes[usize::from(node)];
        lane.receiver.lock().unwrap_or_else(PoisonError::into_inner).try_iter().for_each(drop);
        lane.is_connected.store(true, Ordering::SeqCst);
    }

    /// From now on `node` neither hears nor is heard.
    pub fn disconnect(&self, node: u16) {
        self.lanes[usize::from(node)].is_connected.store(false, Ordering::SeqCst);
    }

    /// While it withholds, `node` takes part in everything and its proposals go nowhere.
    pub fn withhold(&self, node: u16, withholds: bool) {
        self.lanes[usize::from(node)].withholds.store(withholds, Ordering::SeqCst);
    }

    /// Gives a message to `to` in the name of `from`.
    pub fn deliver(&self, from: u16, to: u16, message: &Message) {
        self.deliver_encoded(from, to, &encode(message));
    }

    fn deliver_encoded(&self, from: u16, to: u16, bytes: &Arc<[u8]>) {
        let lane = &self.lanes[usize::from(to)];
        if lane.is_connected.load(Ordering::SeqCst) {
            let _receiver_lives = lane.sender.send((from, Arc::clone(bytes)));
        }
    }

    fn nodes(&self) -> impl Iterator<Item = u16> {
        (0u16..).take(self.keys.len())
    }
}

impl<const MENDED: bool> Port<MENDED> {
    fn is_heard(&self) -> bool {
        self.switch.lanes[usize::from(self.own)].is_connected.load(Ordering::SeqCst)
    }

    fn withholds(&self, message: &Message) -> bool {
        self.switch.lanes[usize::from(self.own)].withholds.load(Ordering::SeqCst)
            && matches!(
                message,
                Message::ProgressMessage(ProgressMessage::HotStuffMessage(HotStuffMessage::Proposal(_)))
            )
    }
}

impl<const MENDED: bool> Network for Port<MENDED> {
    fn init_validator_set(&mut self, _: ValidatorSet) {}

    fn update_validator_set(&mut self, _: ValidatorSetUpdates) {}

    fn broadcast(&mut self, message: Message) {
        if self.is_heard() && !self.withholds(&message) {
            let bytes = encode(&message);
            self.switch.nodes().for_each(|to| self.switch.deliver_encoded(self.own, to, &bytes));
        }
    }

    fn send(&mut self, peer: VerifyingKey, message: Message) {
        let is_vote = matches!(
            message,
            Message::ProgressMessage(ProgressMessage::HotStuffMessage(HotStuffMessage::PhaseVote(_)))
        );
        if MENDED && is_vote {
            self.broadcast(message);
        } else if self.is_heard()
            && let Some(to) = self.switch.nodes().zip(&self.switch.keys).find(|(_, key)| **key == peer)
        {
            self.switch.deliver(self.own, to.0, &message);
        }
    }

    fn recv(&mut self) -> Option<(VerifyingKey, Message)> {
        let receiver = &self.switch.lanes[usize::from(self.own)].receiver;
        let packet = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(POLL);
        let (from, bytes) = packet.ok()?;
        let message = Message::try_from_slice(&bytes).ok()?;
        Some((self.switch.keys[usize::from(from)], message))
    }
}

fn encode(message: &Message) -> Arc<[u8]> {
    message.try_to_vec().expect("memory does not fail").into()
}
