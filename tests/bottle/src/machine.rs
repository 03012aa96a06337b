//! One node as the world sees it: a disk, and a process that comes and goes.

use std::sync::Arc;

use chain::rollback::Divergence;
use chain::{Chain, ChainConfig, Executor, Recovered};
use consensus::runtime::deterministic::DeterministicContext;
use consensus::runtime::{Runtime as _, Task};
use consensus::{Config, ConsensusSecret, Engine, Floor, Role, Started, Timing};
use genesis::dev::{BankSecrets, Localnet};
use ledger::proofs::consensus_namespace;
use ledger::records::GenesisSpec;
use ledger::records::block::genesis_block_digest;
use ledger::rules::ChainRules;
use ledger::values::{ChainId, NodeIndex, SecretKey, Sequential};
use storage::{CrashPlan, Identity, MemoryDisk, Store};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::dice::Dice;
use crate::door::{Door, Submission};
use crate::links::{FRAMES_WAITING_MAX, Links, Port, Wire};
use crate::node::{Mail, Node, Surroundings};
use crate::plan::Plan;
use crate::plants::Planted;
use crate::witness::Shared;

/// Submissions that wait at one node.
const SUBMISSIONS_WAITING_MAX: usize = 4_096;

/// What the chain of every bottle is.
pub(crate) const CHAIN: ChainId = ChainId(0);

/// What all machines share.
pub(crate) struct Network {
    pub(crate) spec: Arc<GenesisSpec>,
    pub(crate) rules: ChainRules,
    /// The node of each validator.
    pub(crate) seats: Arc<Vec<u16>>,
}

impl Network {
    pub(crate) fn new(localnet: &Localnet) -> Self {
        let spec = Arc::new(localnet.spec.clone());
        let rules = ChainRules::at_genesis(&spec, CHAIN).expect("the dev genesis has chain 0");
        let seats = spec.chains[0].validators.iter().map(|validator| validator.node.0).collect();
        Self { spec, rules, seats: Arc::new(seats) }
    }

    fn identity(&self) -> Identity {
        Identity { schema_version: 1, genesis: self.rules.genesis.0, chain: CHAIN.0 }
    }
}

/// A node's hardware, which outlives its process.
pub(crate) struct Machine {
    pub(crate) index: u16,
    pub(crate) disk: MemoryDisk,
    secret: SecretKey,
    starts: u64,
}

/// A node's process.
pub(crate) struct Process {
    engine: Engine,
    driver: Task<()>,
    pub(crate) submissions: mpsc::Sender<Submission>,
    pub(crate) store: Arc<dyn Store>,
}

impl Machine {
    pub(crate) fn new(plan: &Plan, bank: &BankSecrets, planted: &Planted) -> Self {
        let index = bank.node.0;
        let crash_plan = CrashPlan {
            seed: plan.seed.wrapping_add(u64::from(index)),
            survival: plan.power_cut.survival(),
            lying_sync: planted.loses_writes,
            ..CrashPlan::default()
        };
        let (_, _, secret) = &bank.validators[0];
        Self { index, disk: MemoryDisk::new(crash_plan), secret: secret.clone(), starts: 0 }
    }

    /// Starts the node from what its disk holds.
    pub(crate) fn start(
        &mut self,
        context: &DeterministicContext,
        network: &Network,
        links: &Links,
        witness: &Shared,
        planted: &Planted,
        plan: &Plan,
    ) -> Process {
        self.starts += 1;
        let place = context.scope("node", "index", self.index).scope("start", "count", self.starts);
        let store: Arc<dyn Store> = Arc::new(self.disk.open(&network.identity()).expect("the disk is free"));
        let divergence = Divergence::roll_back(store.as_ref()).expect("the store is whole");
        planted.started(self.index);
        let executor =
            Executor::open(&network.spec, CHAIN, Arc::clone(&store), Sequential).expect("the store is whole");
        let recovered = Recovered::read(&network.rules, store.as_ref()).expect("the store is whole");
        let node = NodeIndex(self.index);
        let config = ChainConfig::first_epoch(network.rules.clone(), node, Some(self.secret.clone()));
        let own = config.own_validator.expect("every bank has a seat");
        let wire = Wire {
            links: links.clone(),
            clock: Arc::new(place.scope("wire", "role", "clock")),
            node: self.index,
            validator: own.0,
            seats: Arc::clone(&network.seats),
        };
        let engine = Engine::start(place.scope("engine", "role", "engine"), self.engine(network), wire);
        let Started { engine, requests, inbound } = engine.expect("the configuration is valid");
        let (frames_in, frames) = mpsc::channel(FRAMES_WAITING_MAX);
        links.plug(self.index, Port { engine: inbound, frames: frames_in });
        let (submissions_in, submissions) = mpsc::channel(SUBMISSIONS_WAITING_MAX);
        let driver = Node::new(Surroundings {
            index: self.index,
            chain: Chain::new(config, recovered),
            executor,
            store: Arc::clone(&store),
            disk: self.disk.clone(),
            door: Door::new(network.rules.clone(), [self.index.to_le_bytes()[0]; 32]),
            genesis: network.rules.genesis,
            clock: place.scope("driver", "role", "clock"),
            links: links.clone(),
            witness: Arc::clone(witness),
            planted: planted.clone(),
            divergence,
            dice: Dice::new(plan.seed, 1_000 + u64::from(self.index) * 1_000 + self.starts),
            gathering: Dice::new(plan.seed, 1_000_000_000 + u64::from(self.index) * 1_000 + self.starts),
        });
        let driver = place.run("drive", driver.run(Mail { requests, frames, submissions }));
        Process { engine, driver, submissions: submissions_in, store }
    }

    fn engine(&self, network: &Network) -> Config {
        Config {
            chain: CHAIN.0,
            epoch: 0,
            namespace: consensus_namespace(network.rules.genesis, CHAIN),
            validators: network.spec.chains[0]
                .validators
                .iter()
                .map(|validator| validator.consensus_key.0)
                .collect(),
            role: Role::Voter { secret: ConsensusSecret::new(Zeroizing::new(*self.secret.seed())) },
            floor: Floor::Genesis(genesis_block_digest(network.rules.genesis, CHAIN).0),
            timing: Timing::default(),
            // One storage serves all journals of the world.
            partition: format!("bottle-n{}", self.index),
        }
    }
}

impl Process {
    /// Ends the process, as a loss of power does.
    pub(crate) async fn kill(self) {
        self.driver.abort();
        let _aborted = self.driver.await;
        self.engine.stop().await;
    }
}
