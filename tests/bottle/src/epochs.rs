//! The consensus engines of one chain of a node, one after another: what `node::epochs` is in production.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::ChainConfig;
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::DeterministicContext;
use consensus::{Config, ConsensusSecret, Engine, Floor, InboundSender, Requests, Role, Started, Timing};
use ledger::proofs::consensus_namespace;
use ledger::values::{BlockDigest, ValidatorIndex};
use zeroize::Zeroizing;

use crate::links::{Links, Wire};

/// The engines. Clones are the same.
#[derive(Clone)]
pub(crate) struct Engines {
    inner: Arc<Inner>,
}

struct Inner {
    place: DeterministicContext,
    links: Links,
    node: u16,
    /// How often the node lost its journals.
    wipes: u64,
    running: Mutex<Option<Engine>>,
}

impl Engines {
    /// Those of a node, which has lost its journals so often.
    pub(crate) fn new(place: DeterministicContext, links: Links, (node, wipes): (u16, u64)) -> Self {
        Self { inner: Arc::new(Inner { place, links, node, wipes, running: Mutex::default() }) }
    }

    /// Starts the engine of the first epoch that this process sees, above the last block before it.
    pub(crate) fn start(&self, config: &ChainConfig, last: BlockDigest) -> (Requests, InboundSender) {
        let Started { engine, requests, inbound } = self.begin(config, last);
        *self.running() = Some(engine);
        (requests, inbound)
    }

    /// Starts the engine of the next epoch, and ends the one before.
    pub(crate) async fn next(&self, config: &ChainConfig, last: BlockDigest) -> Requests {
        let Started { engine, requests, inbound } = self.begin(config, last);
        self.inner.links.switch(self.inner.node, config.rules.chain, inbound);
        let before = self.running().replace(engine);
        if let Some(before) = before {
            before.stop().await;
        }
        requests
    }

    /// Ends the running engine, as a loss of power does.
    pub(crate) async fn stop(&self) {
        let running = self.running().take();
        if let Some(engine) = running {
            engine.stop().await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Engine>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, config: &ChainConfig, last: BlockDigest) -> Started {
        let (inner, epoch) = (&self.inner, config.epoch.0);
        let wire = Wire {
            chain: config.rules.chain,
            links: inner.links.clone(),
            clock: Arc::new(inner.place.scope("wire", "epoch", epoch)),
            node: inner.node,
            // An observer's frames are nobody's.
            validator: config.own_validator.map_or(u16::MAX, |ValidatorIndex(index)| index),
            seats: Arc::new(config.validators().iter().map(|validator| validator.node.0).collect()),
        };
        let place = inner.place.scope("engine", "epoch", epoch);
        let mut journal = inner.links.journal(inner.node, config.rules.chain);
        if inner.wipes > 0 {
            // The runtime keeps what was written; a wiped node does not find it.
            journal = format!("{journal}-w{}", inner.wipes);
        }
        Engine::start(place, engine(config, last, journal), wire).expect("the configuration is valid")
    }
}

fn engine(config: &ChainConfig, last: BlockDigest, partition: String) -> Config {
    let (genesis, chain) = (config.rules.genesis, config.rules.chain);
    let role = match &config.sealing_key {
        Some(key) => Role::Voter { secret: ConsensusSecret::new(Zeroizing::new(*key.seed())) },
        None => Role::Observer { index: None },
    };
    Config {
        chain: chain.0,
        epoch: config.epoch.0,
        namespace: consensus_namespace(genesis, chain),
        validators: config.validators().iter().map(|validator| validator.consensus_key.0).collect(),
        role,
        floor: Floor::Genesis(last.0),
        timing: Timing::default(),
        // One storage serves all journals of the world; the engine adds the epoch.
        partition,
    }
}
