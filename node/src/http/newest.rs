//! The newest registries that this node's chains hold: who takes part now. Read from the stores at most once a second, when
//! somebody asks for something; what is told from here (names, hosts, homes of operators' wallets) is for people and clients to find
//! their way, and nothing is decided by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger::records::{ChainRecord, GenesisSpec, Registry};
use ledger::values::{ChainId, GenesisHash};

use super::homes::Homes;

/// How old what was read may be.
pub(crate) const REGISTRY_AGE: Duration = Duration::from_secs(1);

/// What was read last.
pub(crate) struct Newest {
    genesis: GenesisHash,
    state: Mutex<State>,
}

struct State {
    /// When the last read began.
    read_at: Option<Instant>,
    /// The registry of each hosted chain.
    own: Vec<(ChainId, Arc<Registry>)>,
    /// The one of the highest version.
    highest: Arc<Registry>,
    homes: Arc<Homes>,
}

impl Newest {
    /// What genesis says, until something is read.
    pub(crate) fn new(spec: &GenesisSpec) -> Self {
        let highest = Arc::new(Registry::from_genesis(spec));
        let genesis = spec.hash();
        let homes = Arc::new(Homes::of_registry(genesis, &highest));
        Self { genesis, state: Mutex::new(State { read_at: None, own: Vec::new(), highest, homes }) }
    }

    /// Whether the caller should read the registries now: nobody has begun to for a while.
    pub(crate) fn is_due(&self) -> bool {
        self.with(|state| {
            let is_due = state.read_at.is_none_or(|read_at| read_at.elapsed() >= REGISTRY_AGE);
            if is_due {
                state.read_at = Some(Instant::now());
            }
            is_due
        })
    }

    /// Takes in what a chain's store holds.
    pub(crate) fn take_in(&self, chain: ChainId, registry: Registry) {
        let registry = Arc::new(registry);
        self.with(|state| {
            match state.own.iter_mut().find(|(known, _)| *known == chain) {
                Some((_, known)) => *known = Arc::clone(&registry),
                None => state.own.push((chain, Arc::clone(&registry))),
            }
            if registry.version > state.highest.version {
                state.homes = Arc::new(Homes::of_registry(self.genesis, &registry));
                state.highest = registry;
            }
        });
    }

    /// The registry of the highest version.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.with(|state| Arc::clone(&state.highest))
    }

    /// A chain as it knows itself where this node hosts it, else as another one knows it.
    pub(crate) fn chain(&self, chain: ChainId) -> Option<ChainRecord> {
        self.with(|state| {
            let own = state.own.iter().find(|(known, _)| *known == chain);
            own.map_or(&state.highest, |(_, registry)| registry).chain(chain).cloned()
        })
    }

    /// Where wallets are at home.
    pub(crate) fn homes(&self) -> Arc<Homes> {
        self.with(|state| Arc::clone(&state.homes))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // Nothing in here can be left half done.
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::Change;
    use ledger::rules::apply_change;
    use ledger::values::OperatorId;

    use super::*;

    #[test]
    fn the_highest_version_tells_who_takes_part_and_each_chain_tells_of_itself() {
        let network = localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap();
        let newest = Newest::new(&network.spec);
        assert!(newest.is_due() && !newest.is_due());
        let genesis = newest.registry();
        let mut joining = genesis.operators[1].clone();
        joining.key = network.banks[0].network_key.public_key();
        let mut after = apply_change(&genesis, &Change::AddOperator(joining)).unwrap();
        after.version = 1;
        after.chains[0].epochs[0].last_height = Some(ledger::values::Height(70));
        let own =
            after.operator_wallet(network.spec.hash(), after.chains[0].currency, OperatorId(5)).unwrap();
        assert!(newest.registry().operators.len() == 5);
        newest.take_in(ChainId(0), after.clone());
        assert_eq!(newest.registry().operators.len(), 6);
        assert_eq!(newest.chain(ChainId(0)), after.chains.first().cloned());
        assert_eq!(newest.homes().of(&own), [ChainId(0)]);
        // What a chain knows that lags behind is its own affair.
        newest.take_in(ChainId(1), Registry::clone(&genesis));
        assert_eq!(newest.registry().version, 1);
    }
}
