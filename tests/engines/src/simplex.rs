//! The engine in use: the crate `consensus` as the node runs it (its default timeouts, a runtime thread and a synced journal on disk for each
//! validator), over channels instead of libp2p.

mod application;
mod attacks;
mod shelf;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PrivateKey;
use consensus::runtime::thread::{RuntimeThread, run_tokio};
use consensus::{Config, ConsensusSecret, Engine as Consensus, Floor, Role, Started, Timing};
use tempfile::TempDir;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::engine::{Digest, Engine, Final};
use shelf::{GENESIS, Shelf};
use wire::{Link, Wire};

/// What votes are signed under.
const NAMESPACE: &[u8] = b"engines-0";
/// The only epoch.
const EPOCH: u64 = 0;

/// Validators on `consensus`.
pub struct Simplex {
    keys: Vec<Key>,
    wire: Arc<Wire>,
    shelves: Arc<[Shelf]>,
    nodes: Vec<Option<Node>>,
    directory: TempDir,
}

/// A validator's key.
#[derive(Clone, Copy)]
struct Key {
    seed: [u8; 32],
    public: [u8; 32],
}

/// A running validator: its engine and what stands for the rest of a node.
struct Node {
    engine: RuntimeThread<()>,
    application: JoinHandle<()>,
}

impl Simplex {
    fn journal(&self, node: u16) -> PathBuf {
        self.directory.path().join(node.to_string())
    }

    fn config(&self, node: u16) -> Config {
        let secret = ConsensusSecret::new(Zeroizing::new(self.keys[usize::from(node)].seed));
        Config {
            chain: 0,
            epoch: EPOCH,
            namespace: NAMESPACE.to_vec(),
            validators: self.keys.iter().map(|key| key.public).collect(),
            role: Role::Voter { secret },
            floor: Floor::Genesis(GENESIS),
            timing: Timing::default(),
            partition: "engines".into(),
        }
    }

    fn size(&self) -> u16 {
        u16::try_from(self.keys.len()).expect("few validators")
    }
}

impl Engine for Simplex {
    fn start(size: u16) -> Self {
        let mut simplex = Self {
            keys: keys(size),
            wire: Arc::new(Wire::new(size)),
            shelves: (0..size).map(|_| Shelf::default()).collect(),
            nodes: (0..size).map(|_| None).collect(),
            directory: tempfile::tempdir().expect("a temporary directory"),
        };
        (0..size).for_each(|node| simplex.restart(node));
        simplex
    }

    fn spare(&mut self) -> u16 {
        self.size() - 1
    }

    fn stop(&mut self, node: u16) {
        self.wire.disconnect(node);
        if let Some(running) = self.nodes[usize::from(node)].take() {
            running.engine.stop_and_join();
            running.application.join().expect("the application does not panic");
        }
    }

    fn restart(&mut self, node: u16) {
        let config = self.config(node);
        let link = Link { own: node, wire: Arc::clone(&self.wire) };
        let (ready, started) = oneshot::channel();
        let engine = run_tokio(&self.journal(node), 1, move |context| async move {
            let Started { mut engine, requests, inbound } =
                Consensus::start(context, config, link).expect("a valid configuration");
            let _waited_for = ready.send((requests, inbound));
            engine.ended().await;
        });
        let engine = engine.expect("a runtime");
        let (requests, inbound) = started.blocking_recv().expect("the engine starts");
        self.wire.connect(node, inbound);
        let (shelves, wire) = (Arc::clone(&self.shelves), Arc::clone(&self.wire));
        let application = std::thread::spawn(move || application::run(node, requests, &shelves, &wire));
        self.nodes[usize::from(node)] = Some(Node { engine, application });
    }

    fn height(&self, node: u16) -> usize {
        self.shelves[usize::from(node)].height()
    }

    fn finals(&self, node: u16) -> Vec<Final> {
        self.shelves[usize::from(node)].finals()
    }

    fn path(&self, node: u16) -> Vec<Digest> {
        self.shelves[usize::from(node)].path()
    }

    fn regress_lock(&mut self, byzantine: u16) -> u64 {
        attacks::regress_lock(self, byzantine)
    }

    fn ask_for_everything(&mut self, byzantine: u16) {
        attacks::ask_for_everything(self, byzantine);
    }
}

impl Drop for Simplex {
    fn drop(&mut self) {
        (0..self.size()).for_each(|node| self.stop(node));
    }
}

/// Keys of `size` validators in the order of the set: by public key.
fn keys(size: u16) -> Vec<Key> {
    let key = |index: u16| {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&index.to_le_bytes());
        let public = private_key(&seed).public_key();
        Key { seed, public: public.as_ref().try_into().expect("32 bytes") }
    };
    let mut keys: Vec<_> = (0..size).map(key).collect();
    keys.sort_by_key(|key| key.public);
    keys
}

fn private_key(seed: &[u8; 32]) -> PrivateKey {
    PrivateKey::decode(Copying(seed)).expect("any 32 bytes are a seed")
}
