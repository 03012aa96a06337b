//! The simulated network: fixed latency per link, dead nodes, and a record of every vote that was sent.

use bytes::Bytes;
use commonware_codec::{Copying, Decode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::Vote;
use commonware_consensus::{Viewable as _, simplex::types::Attributable as _};
use commonware_cryptography::sha256::Digest;
use consensus::runtime::Runtime;
use consensus::runtime::deterministic::DeterministicContext;
use consensus::{Channel, FRAME_HEADER_BYTES, InboundSender, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Latency of every link.
pub const LATENCY_MS: u64 = 10;
/// Frames under way at once in the whole network.
const UNDER_WAY: usize = 65_536;

/// Votes that one validator sent for one view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub notarize: BTreeSet<[u8; 32]>,
    pub finalize: BTreeSet<[u8; 32]>,
    pub nullify: bool,
}

impl Sent {
    /// Whether these votes prove that their sender equivocated.
    pub fn contradicts_itself(&self) -> bool {
        self.notarize.len() > 1 || self.finalize.len() > 1 || (self.nullify && !self.finalize.is_empty())
    }
}

/// What a test may look at and change while the network runs.
#[derive(Default)]
pub struct State {
    /// Receivers by node; a node may be several engines (twins), observers included.
    pub inbound: BTreeMap<u16, Vec<InboundSender>>,
    /// Engines outside the set: they get a copy of every certificate.
    pub outsiders: Vec<InboundSender>,
    /// Nodes that neither send nor receive.
    pub cut: BTreeSet<u16>,
    /// Votes by sender and view.
    pub votes: BTreeMap<(u16, u64), Sent>,
    /// The last vote frame of each sender.
    pub last_vote: BTreeMap<u16, Bytes>,
    /// Blocks asked of the transport: who blocked whom, for how long.
    pub blocked: Vec<(u16, u16, u64)>,
}

struct Frame {
    from: u16,
    to: u16,
    channel: Channel,
    bytes: Bytes,
}

/// The network; clones share it.
#[derive(Clone)]
pub struct Wire {
    pub state: Arc<Mutex<State>>,
    queue: mpsc::Sender<Frame>,
}

impl Wire {
    pub fn start(context: &DeterministicContext) -> Self {
        let (queue, mut frames) = mpsc::channel::<Frame>(UNDER_WAY);
        let state = Arc::new(Mutex::new(State::default()));
        let wire = Self { state: Arc::clone(&state), queue };
        let carrier = context.scope("wire", "role", "carrier");
        let tasks = context.scope("wire", "role", "frame");
        drop(carrier.run("carry", async move {
            while let Some(frame) = frames.recv().await {
                let sleep = tasks.sleep_ms(LATENCY_MS);
                let state = Arc::clone(&state);
                drop(tasks.run("deliver", async move {
                    sleep.await;
                    state.lock().unwrap().deliver(&frame);
                }));
            }
        }));
        wire
    }

    pub fn link(&self, own: u16) -> Link {
        Link { own, wire: self.clone() }
    }
}

impl State {
    fn deliver(&self, frame: &Frame) {
        if self.cut.contains(&frame.from) || self.cut.contains(&frame.to) {
            return;
        }
        for inbound in self.inbound.get(&frame.to).into_iter().flatten() {
            let _refused = inbound.try_deliver(frame.from, frame.channel, frame.bytes.clone());
        }
    }

    fn record(&mut self, from: u16, bytes: &[u8]) {
        let vote = Vote::<Scheme, Digest>::decode_cfg(Copying(&bytes[FRAME_HEADER_BYTES..]), &()).unwrap();
        let sent = self.votes.entry((from, vote.view().get())).or_default();
        match vote {
            Vote::Notarize(vote) => {
                assert_eq!(u16::try_from(usize::from(vote.signer())).unwrap(), from);
                sent.notarize.insert(vote.proposal.payload.0);
            }
            Vote::Nullify(_) => sent.nullify = true,
            Vote::Finalize(vote) => {
                sent.finalize.insert(vote.proposal.payload.0);
            }
        }
    }

    /// Views in which this validator contradicted itself.
    pub fn contradictions(&self, validator: u16) -> usize {
        self.votes.iter().filter(|((from, _), sent)| *from == validator && sent.contradicts_itself()).count()
    }
}

/// One node's end of the network.
#[derive(Clone)]
pub struct Link {
    own: u16,
    wire: Wire,
}

impl Transport for Link {
    fn try_send(&self, to: u16, channel: Channel, frame: Bytes) -> bool {
        let mut state = self.wire.state.lock().unwrap();
        if channel == Channel::Vote {
            state.record(self.own, &frame);
            state.last_vote.insert(self.own, frame.clone());
        }
        if channel == Channel::Certificate {
            for outsider in &state.outsiders {
                let _refused = outsider.try_deliver(self.own, channel, frame.clone());
            }
        }
        if state.cut.contains(&self.own) {
            return false;
        }
        drop(state);
        self.wire.queue.try_send(Frame { from: self.own, to, channel, bytes: frame }).is_ok()
    }

    fn block(&self, validator: u16, duration_ms: u64) {
        self.wire.state.lock().unwrap().blocked.push((self.own, validator, duration_ms));
    }
}
