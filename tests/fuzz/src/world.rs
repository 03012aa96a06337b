//! The network of the frozen vectors: its records pass its rules, so that changes of them get past the first check.

use std::sync::LazyLock;

use genesis::dev::{Localnet, LocalnetPlan, localnet};
use ledger::proofs::Sets;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{EpochRecord, GenesisSpec};
use ledger::rules::ChainRules;
use ledger::values::{Canonical as _, GenesisHash, KeyCache, PublicKey};

use crate::seeds::vector;

/// What judges.
pub(crate) struct World {
    /// The genesis.
    pub(crate) spec: GenesisSpec,
    /// Its hash.
    pub(crate) genesis: GenesisHash,
    /// The root chain's rules at genesis.
    pub(crate) rules: ChainRules,
    /// The root chain's sets at genesis.
    pub(crate) sets: Sets,
    /// Another network, whose keys are known: files that people sign are for it.
    pub(crate) local: Localnet,
    /// Keys that were decompressed before.
    pub(crate) keys: KeyCache,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let spec = GenesisSpec::decode(&vector("genesis")).expect("the frozen genesis");
    let rules = ChainRules::at_genesis(&spec, ROOT_CHAIN).expect("a root chain");
    let sets = Sets::genesis(&spec, ROOT_CHAIN).expect("a root chain");
    let local = localnet(&LocalnetPlan::new(4), &[5; 32]).expect("four banks");
    World { genesis: spec.hash(), spec, rules, sets, local, keys: KeyCache::default() }
});

/// The world.
pub(crate) fn world() -> &'static World {
    &WORLD
}

impl World {
    /// The first epoch of the root chain.
    pub(crate) fn epoch(&self) -> &EpochRecord {
        self.sets.newest()
    }

    /// Who votes in it.
    pub(crate) fn validators(&self) -> Vec<PublicKey> {
        self.epoch().keys()
    }
}
