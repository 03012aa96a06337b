//! The rival, `hotstuff_rs` 0.4.0: its replicas over channels, each with a store in memory.
//!
//! It has no default settings; these are those of its own integration tests, but for two in its favour: its message buffer has 1 MiB
//! instead of 1,024 bytes, and its sync server advertises every second instead of every ten. The maximal view time stays at 2 s.

mod application;
mod attacks;
mod network;
mod store;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use hotstuff_rs::block_tree::accessors::public::BlockTreeCamera;
use hotstuff_rs::replica::{Configuration, Replica, ReplicaSpec};
use hotstuff_rs::types::data_types::{BufferSize, ChainID, EpochLength, Power};
use hotstuff_rs::types::update_sets::AppStateUpdates;
use hotstuff_rs::types::validator_set::{ValidatorSet, ValidatorSetState};

use crate::engine::{Digest, Engine, Final};
use application::Application;
use network::{Port, Switch};
use store::Store;

/// The only chain.
const CHAIN: u64 = 7;

/// The rival as published.
pub type Published = HotStuff<false>;
/// The rival with the two faults mended that its user can mend from outside: votes go to everyone instead of the next leader alone, and
/// the store gives out the data of a block (its provided method never does).
pub type Mended = HotStuff<true>;

/// Validators on `hotstuff_rs`, and one listener in the last place.
pub struct HotStuff<const MENDED: bool> {
    keys: Vec<SigningKey>,
    switch: Arc<Switch>,
    stores: Vec<Store<MENDED>>,
    finals: Vec<Arc<Mutex<Vec<Final>>>>,
    replicas: Vec<Option<Replica<Store<MENDED>>>>,
    /// Stopped replicas on their way out.
    ending: Vec<Option<JoinHandle<()>>>,
}

impl<const MENDED: bool> HotStuff<MENDED> {
    /// Number of validators.
    fn size(&self) -> u16 {
        u16::try_from(self.keys.len() - 1).expect("few validators")
    }

    fn configuration(&self, node: u16) -> Configuration {
        Configuration::builder()
            .me(self.keys[usize::from(node)].clone())
            .chain_id(ChainID::new(CHAIN))
            .block_sync_request_limit(10)
            .block_sync_server_advertise_time(Duration::from_secs(1))
            .block_sync_response_timeout(Duration::from_secs(3))
            .block_sync_blacklist_expiry_time(Duration::from_secs(10))
            .block_sync_trigger_min_view_difference(2)
            .block_sync_trigger_timeout(Duration::from_secs(60))
            .progress_msg_buffer_capacity(BufferSize::new(1024 * 1024))
            .epoch_length(EpochLength::new(50))
            .max_view_time(Duration::from_secs(2))
            .log_events(false)
            .build()
    }

    fn camera(&self, node: u16) -> BlockTreeCamera<Store<MENDED>> {
        BlockTreeCamera::new(self.stores[usize::from(node)].clone())
    }
}

impl<const MENDED: bool> Engine for HotStuff<MENDED> {
    fn start(size: u16) -> Self {
        let nodes = usize::from(size) + 1;
        let mut validators = keys(nodes);
        let listener = validators.pop().expect("one more than validators");
        validators.sort_by_key(|key| key.verifying_key().to_bytes());
        let mut set = ValidatorSet::new();
        for key in &validators {
            set.put(&key.verifying_key(), Power::new(1));
        }
        let stores: Vec<_> = (0..nodes).map(|_| Store::default()).collect();
        for store in &stores {
            let state = ValidatorSetState::new(set.clone(), set.clone(), None, true);
            Replica::initialize(store.clone(), AppStateUpdates::new(), state);
        }
        let keys: Vec<_> = validators.into_iter().chain([listener]).collect();
        let switch = Arc::new(Switch::new(keys.iter().map(SigningKey::verifying_key).collect()));
        let finals = (0..nodes).map(|_| Arc::default()).collect();
        let (replicas, ending) = ((0..nodes).map(|_| None).collect(), (0..nodes).map(|_| None).collect());
        let mut rival = Self { keys, switch, stores, finals, replicas, ending };
        (0..size).for_each(|node| rival.restart(node));
        rival
    }

    /// A listener: without one of four validators the others make no block.
    fn spare(&mut self) -> u16 {
        let listener = self.size();
        self.restart(listener);
        listener
    }

    fn stop(&mut self, node: u16) {
        self.switch.disconnect(node);
        let replica = self.replicas[usize::from(node)].take();
        // Its threads end when they next look; a death does not wait for that.
        self.ending[usize::from(node)] = Some(std::thread::spawn(move || drop(replica)));
    }

    fn restart(&mut self, node: u16) {
        let index = usize::from(node);
        if let Some(ending) = self.ending[index].take() {
            ending.join().expect("a replica ends in peace");
        }
        self.switch.connect(node);
        let finals = Arc::clone(&self.finals[index]);
        let replica = ReplicaSpec::builder()
            .app(Application::new(node))
            .network(Port::<MENDED> { own: node, switch: Arc::clone(&self.switch) })
            .kv_store(self.stores[index].clone())
            .configuration(self.configuration(node))
            .on_commit_block(move |event| {
                let block = Final { at: Instant::now(), digest: event.block.bytes() };
                finals.lock().unwrap_or_else(PoisonError::into_inner).push(block);
            })
            .build()
            .start();
        self.replicas[index] = Some(replica);
    }

    fn height(&self, node: u16) -> usize {
        self.finals[usize::from(node)].lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn finals(&self, node: u16) -> Vec<Final> {
        self.finals[usize::from(node)].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn path(&self, node: u16) -> Vec<Digest> {
        let camera = self.camera(node);
        let tree = camera.snapshot();
        let newest = tree.highest_committed_block().expect("a readable store");
        let parent = |block: &_| {
            let justify = tree.block_justify(block).expect("a stored block");
            (!justify.is_genesis_pc()).then_some(justify.block)
        };
        std::iter::successors(newest, parent).map(|block| block.bytes()).collect()
    }

    fn regress_lock(&mut self, byzantine: u16) -> u64 {
        attacks::regress_lock(self, byzantine)
    }

    fn ask_for_everything(&mut self, byzantine: u16) {
        attacks::ask_for_everything(self, byzantine);
    }
}

impl<const MENDED: bool> Drop for HotStuff<MENDED> {
    /// The process ends with the trial; waiting for the replicas would cost a view or more.
    fn drop(&mut self) {
        self.replicas.drain(..).for_each(std::mem::forget);
    }
}

fn keys(count: usize) -> Vec<SigningKey> {
    let key = |index: usize| {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&index.to_le_bytes());
        SigningKey::from_bytes(&seed)
    };
    (0..count).map(key).collect()
}
