//! Validators with a small in-memory application, on the deterministic runtime.

use super::wire::{Link, Wire};
use super::{NAMESPACE, keys};
use commonware_cryptography::{Hasher as _, Sha256};
use consensus::runtime::deterministic::DeterministicContext;
use consensus::runtime::{Runtime, Task};
use consensus::{
    Config, ConsensusSecret, Engine, Evidence, Floor, InboundSender, Request, Requests, Role, Started, Timing,
};
use ledger::proofs::certificate::Finalized;
use ledger::proofs::{FinalityProof, verify_certificate};
use ledger::values::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

pub const GENESIS: [u8; 32] = [9; 32];
pub const EPOCH: u64 = 7;
pub const CHAIN: u32 = 3;

/// What one node saw; survives its restarts.
#[derive(Default)]
pub struct Log {
    /// Time, view and digest of each finalization reported.
    pub finalized: Vec<(u64, u64, [u8; 32])>,
    pub proofs: Vec<FinalityProof>,
    pub evidence: Vec<Evidence>,
    /// Proposals this node was asked for.
    pub asked: u64,
    pub validated: u64,
    pub disseminated: u64,
}

/// A block of the test chain, by its digest.
#[derive(Clone, Copy)]
pub struct Block {
    pub parent: [u8; 32],
    pub view: u64,
}

/// Blocks of all nodes: dissemination takes no time here.
pub type Blocks = Arc<Mutex<BTreeMap<[u8; 32], Block>>>;

/// How a node behaves; the default is honest.
#[derive(Clone, Default)]
pub struct Manner {
    /// Declines every proposal.
    pub declines: bool,
    /// Lets the proposals of these leaders go: votes their views down and says nothing of the blocks.
    pub lets_go_of: &'static [u16],
    /// Mixed into proposals: nodes with different salts propose different blocks in one slot.
    pub salt: u8,
    /// Journal prefix; another one is a lost journal.
    pub partition: Option<&'static str>,
    /// Does not vote.
    pub observes: bool,
    /// Where to start instead of genesis.
    pub floor: Option<FinalityProof>,
}

pub struct Node {
    pub engine: Engine,
    pub inbound: InboundSender,
    application: Task<()>,
}

pub struct Cluster {
    pub context: DeterministicContext,
    pub wire: Wire,
    pub blocks: Blocks,
    pub nodes: BTreeMap<u16, Node>,
    pub logs: Vec<Arc<Mutex<Log>>>,
    pub keys: Vec<([u8; 32], [u8; 32])>,
    /// Tells incarnations apart in metric labels.
    starts: u64,
}

pub fn config(keys: &[([u8; 32], [u8; 32])], role: Role) -> Config {
    Config {
        chain: CHAIN,
        epoch: EPOCH,
        namespace: NAMESPACE.to_vec(),
        validators: keys.iter().map(|(_, public)| *public).collect(),
        role,
        floor: Floor::Genesis(GENESIS),
        timing: Timing::default(),
        partition: "test".into(),
    }
}

impl Cluster {
    pub fn new(context: DeterministicContext, size: u8) -> Self {
        let wire = Wire::start(&context);
        let logs = (0..size).map(|_| Arc::default()).collect();
        let (blocks, nodes) = (Blocks::default(), BTreeMap::new());
        Self { context, wire, blocks, nodes, logs, keys: keys(size), starts: 0 }
    }

    /// Starts all validators as honest nodes.
    pub fn start_all(&mut self) {
        for index in 0..self.keys.len() {
            self.start(u16::try_from(index).unwrap(), Manner::default());
        }
    }

    pub fn start(&mut self, index: u16, manner: Manner) {
        let log = Arc::clone(&self.logs[usize::from(index)]);
        let node = self.start_apart(index, manner, log);
        self.wire.state.lock().unwrap().inbound.insert(index, vec![node.inbound.clone()]);
        self.nodes.insert(index, node);
    }

    /// Starts an engine in the name of `index` without connecting its inbound side.
    pub fn start_apart(&mut self, index: u16, manner: Manner, log: Arc<Mutex<Log>>) -> Node {
        let seed = self.keys[usize::from(index)].0;
        let role = if manner.observes {
            Role::Observer { index: Some(index) }
        } else {
            Role::Voter { secret: ConsensusSecret::new(Zeroizing::new(seed)) }
        };
        let mut config = config(&self.keys, role);
        // One storage serves all nodes here, and the twins of one key need journals of their own.
        config.partition = format!("{}-n{index}", manner.partition.unwrap_or("test"));
        if let Some(floor) = &manner.floor {
            config.floor = Floor::Finalized(floor.clone());
        }
        let link = self.wire.link(index);
        self.start_config(config, link, manner, log)
    }

    pub fn start_config(&mut self, config: Config, link: Link, manner: Manner, log: Arc<Mutex<Log>>) -> Node {
        self.starts += 1;
        let context = self.context.scope("node", "start", self.starts);
        let started = Engine::start(context.scope("engine", "start", self.starts), config, link);
        let Started { engine, requests, inbound } = started.unwrap();
        let blocks = Arc::clone(&self.blocks);
        let clock = context.scope("clock", "start", self.starts);
        let application = context.run("application", application(clock, requests, blocks, manner, log));
        Node { engine, inbound, application }
    }

    /// Kills a node: nothing it had not synced survives.
    pub async fn kill(&mut self, index: u16) {
        self.wire.state.lock().unwrap().inbound.remove(&index);
        let node = self.nodes.remove(&index).unwrap();
        node.application.abort();
        node.engine.stop().await;
    }

    /// Waits until `done` holds, looking every 5 ms of virtual time.
    pub async fn until(&self, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            self.context.sleep_ms(5).await;
        }
    }

    /// Highest view that a node saw finalized.
    pub fn tip(&self, index: u16) -> u64 {
        self.log(index, |log| log.finalized.iter().map(|entry| entry.1).max().unwrap_or(0))
    }

    pub fn log<T>(&self, index: u16, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.logs[usize::from(index)].lock().unwrap())
    }

    /// Blocks on the path from genesis to the highest finalized view of a node.
    pub fn height(&self, index: u16) -> usize {
        let tip =
            self.log(index, |log| log.finalized.iter().max_by_key(|entry| entry.1).map(|entry| entry.2));
        tip.map_or(0, |tip| self.path(tip).len())
    }

    /// Digests from genesis (exclusive) to `tip`.
    pub fn path(&self, tip: [u8; 32]) -> Vec<[u8; 32]> {
        let blocks = self.blocks.lock().unwrap();
        let mut path = Vec::new();
        let mut digest = tip;
        while digest != GENESIS {
            path.push(digest);
            digest = blocks[&digest].parent;
        }
        path.reverse();
        path
    }

    /// Longest time without a finalization at a node between two moments.
    pub fn longest_stall_ms(&self, index: u16, from_ms: u64, to_ms: u64) -> u64 {
        self.log(index, |log| {
            let times = log.finalized.iter().map(|entry| entry.0).filter(|at| (from_ms..to_ms).contains(at));
            let mut last = from_ms;
            let mut longest = 0;
            for at in times.chain([to_ms]) {
                longest = longest.max(at - last);
                last = at;
            }
            longest
        })
    }

    /// No view has two finalized digests anywhere, all finalized digests lie on one path, all proofs hold.
    pub fn assert_safe(&self) {
        let mut by_view = BTreeMap::new();
        for log in &self.logs {
            let log = log.lock().unwrap();
            for (_, view, digest) in &log.finalized {
                assert_eq!(
                    by_view.entry(*view).or_insert(*digest),
                    digest,
                    "two digests final in view {view}"
                );
            }
            let validators: Vec<_> = self.keys.iter().map(|(_, public)| PublicKey(*public)).collect();
            for proof in log.proofs.iter().rev().take(20) {
                let FinalityProof { epoch, view, parent_view, digest, .. } = *proof;
                let said = verify_certificate(&proof.bytes, NAMESPACE, &validators).unwrap();
                assert_eq!(
                    said,
                    Finalized { epoch, view, parent_view, digest },
                    "fields beside the certificate"
                );
            }
        }
        let Some((_, tip)) = by_view.last_key_value() else { return };
        let path: BTreeSet<_> = self.path(*tip).into_iter().collect();
        assert!(
            by_view.values().all(|digest| path.contains(digest)),
            "a finalized digest is not an ancestor"
        );
    }
}

/// The application: a block is its parent, view and proposer's salt; everything known is valid and held.
async fn application(
    clock: DeterministicContext,
    mut requests: Requests,
    blocks: Blocks,
    manner: Manner,
    log: Arc<Mutex<Log>>,
) {
    while let Some(request) = requests.recv().await {
        let mut log = log.lock().unwrap();
        match request {
            Request::Propose { slot, parent, reply } => {
                log.asked += 1;
                if manner.declines {
                    continue;
                }
                let digest = Sha256::hash(&[&parent, &slot.view.to_be_bytes(), &[manner.salt]]).0;
                blocks.lock().unwrap().insert(digest, Block { parent, view: slot.view });
                reply.send(digest);
            }
            Request::Validate { slot, parent, digest, reply } => {
                log.validated += 1;
                if manner.lets_go_of.contains(&slot.leader) {
                    continue;
                }
                let known = blocks.lock().unwrap().get(&digest).copied();
                reply.send(known.is_some_and(|block| block.parent == parent && block.view == slot.view));
            }
            Request::Available { digest, reply, .. } => {
                reply.send(blocks.lock().unwrap().contains_key(&digest));
            }
            Request::Disseminate { .. } => log.disseminated += 1,
            Request::Finalized(proof) => {
                assert_eq!((proof.chain.0, proof.epoch.0), (CHAIN, EPOCH));
                log.finalized.push((clock.now_ms(), proof.view.0, proof.digest.0));
                log.proofs.push(proof);
            }
            Request::Evidence(evidence) => log.evidence.push(evidence),
        }
    }
}
