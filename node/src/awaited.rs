//! Chains of the configuration that cannot begin yet, because nothing here says what they begin with ([`crate::origins`]). They stop nobody:
//! the node runs its other chains, shows these as waiting, and looks again every [`LOOK_MS`].
//!
//! Once all is there, the node starts anew inside its process, with the chain. Rules:
//!
//! - All nodes learn of an origin in the same moment, and their other chains need a quorum meanwhile. So they start anew by turns, [`TURN_MS`] apart
//!   in the order of their indexes, and only while each chain on which this node votes hears a quorum without it. Where that does not come
//!   about the node goes on as it is, and says that the operator's restart begins the chain.
//! - What a start refuses (an origin that is not proved, a key that is another node's) is found out before it and told; it ends no running
//!   node.

use std::sync::Arc;
use std::time::Duration;

use ledger::records::GenesisSpec;
use ledger::records::registry::ROOT_CHAIN;
use ledger::rules::ChainRules;
use ledger::values::{ChainId, Height, NodeIndex, SecretKey, quorum};
use network::LaneReceiver;
use storage::{Reader, Store};
use tokio::sync::oneshot;

use crate::handle::{ChainHandle, Status, Voting};
use crate::origins::{OriginFiles, origin_of, proved};
use crate::rarely::Rarely;
use crate::settings::chain_config;
use crate::start_error::{StartError, system};

/// Pause between two looks.
const LOOK_MS: u64 = 5_000;
/// Time between the turns of two nodes.
const TURN_MS: u64 = 20_000;
const _: () = assert!(
    TURN_MS > chain::config::HEARD_WITHIN_MS,
    "at its turn a node knows whether the one before is back"
);

/// The chains that wait, and where their origins come from.
#[derive(Clone)]
pub(crate) struct Awaited {
    pub(crate) spec: Arc<GenesisSpec>,
    pub(crate) own_node: NodeIndex,
    /// The database of chain 0, if this node hosts it.
    pub(crate) root: Option<Arc<dyn Store>>,
    pub(crate) chains: Vec<AwaitedChain>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct AwaitedChain {
    pub(crate) chain: ChainId,
    pub(crate) files: OriginFiles,
    /// The keys that this node has for it.
    pub(crate) keys: Vec<SecretKey>,
}

/// What a look has found.
#[derive(Default)]
struct Looked {
    /// The chains that can begin, each with this node's place among its validators' nodes.
    ready: Vec<(ChainId, usize)>,
    /// What the start would refuse.
    faults: Vec<(ChainId, StartError)>,
}

impl Awaited {
    /// Waits until a chain can begin and it is this node's turn; then says so, once.
    pub(crate) async fn follow(self, handles: Vec<ChainHandle>, anew: oneshot::Sender<()>) {
        let mut rarely = Rarely::default();
        let (chain, turn) = loop {
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            let awaited = self.clone();
            let looked = tokio::task::spawn_blocking(move || awaited.look()).await;
            let looked = looked.unwrap_or_else(|fault| Looked {
                ready: Vec::new(),
                faults: vec![(ROOT_CHAIN, system("thread to look for an origin", &fault))],
            });
            for (chain, fault) in &looked.faults {
                if let Some(times) = rarely.count(u16::try_from(chain.0).unwrap_or(u16::MAX), "origin") {
                    tracing::error!(chain = chain.0, %fault, times, "a chain cannot begin; the others go on");
                }
            }
            if let Some(ready) = looked.ready.first().filter(|_| looked.faults.is_empty()) {
                break *ready;
            }
        };
        let wait_ms = TURN_MS.saturating_mul(u64::try_from(turn).unwrap_or(u64::MAX));
        tracing::info!(chain = chain.0, wait_ms, "a chain can begin now: the node starts anew at its turn");
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let is_spared = |handle: &ChainHandle| is_spared(&handle.now());
        while !handles.iter().all(is_spared) {
            if let Some(times) = rarely.count(0, "needed") {
                tracing::warn!(
                    chain = chain.0,
                    times,
                    "a chain can begin, and another one of this node hears no quorum without it: it goes on as it is. Mend: restart the node yourself, or wait until all validators are back"
                );
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        tracing::info!(chain = chain.0, "the node starts anew to begin a chain");
        let _stopping = anew.send(()).is_err();
    }

    /// Reads files and the database: on a thread that may block.
    fn look(&self) -> Looked {
        let root = self.root.as_ref().map(|root| &**root as &dyn Reader);
        let mut looked = Looked::default();
        for awaited in &self.chains {
            match self.judge(awaited, root) {
                Ok(place) => looked.ready.push((awaited.chain, place)),
                Err(fault) if fault.waits_for_origin() => {}
                Err(fault) => looked.faults.push((awaited.chain, fault)),
            }
        }
        looked
    }

    /// Whether a start would begin the chain; answers this node's place among its validators' nodes, or the one after them.
    fn judge(&self, awaited: &AwaitedChain, root: Option<&dyn Reader>) -> Result<usize, StartError> {
        let AwaitedChain { chain, files, keys } = awaited;
        let origin = origin_of(files, root, *chain)?;
        let registry = proved(&origin, &self.spec, *chain)?;
        let rules = ChainRules::new(self.spec.hash(), registry, *chain)
            .ok_or(StartError::NoSuchChain { chain: chain.0 })?;
        let config = chain_config(rules, Height(0), self.own_node, keys.clone())?;
        Ok(config.validators().iter().filter(|seat| seat.node < self.own_node).count())
    }
}

/// Takes what others send to a chain that waits, and forgets it: a lane that nobody empties would be opened again and again.
pub(crate) async fn drain(lanes: Vec<LaneReceiver>) {
    let drained = lanes.into_iter().map(|mut lane| async move { while lane.recv().await.is_some() {} });
    futures::future::join_all(drained).await;
}

/// Whether a chain goes on without this node, as far as it hears.
fn is_spared(status: &Status) -> bool {
    let others = status.chain.heard.saturating_sub(1);
    status.voting != Voting::Yes || others >= quorum(status.chain.validators)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::{Epoch, Sequential};
    use storage::{Identity, MemoryStore};

    use super::*;
    use crate::config::NodeConfig;

    /// Node 1 of four, which hosts chain 0 and waits for chain 7.
    fn awaited(folder: &std::path::Path) -> Awaited {
        let spec = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap().spec;
        let identity = Identity { schema_version: 1, genesis: spec.hash().0, chain: 0 };
        let root: Arc<dyn Store> = Arc::new(MemoryStore::fresh(&identity));
        chain::Executor::open(&spec, ChainId(0), Arc::clone(&root), Sequential).unwrap();
        let text = format!(
            "[node]\ngenesis = \"g\"\ndata_directory = {:?}\n[keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\"\n",
            folder.join("data")
        );
        let config = NodeConfig::parse(&text).unwrap();
        let chain = ChainId(7);
        let waits = AwaitedChain { chain, files: OriginFiles::of(&config, chain), keys: Vec::new() };
        Awaited { spec: Arc::new(spec), own_node: NodeIndex(1), root: Some(root), chains: vec![waits] }
    }

    #[test]
    fn a_chain_waits_while_nothing_says_what_it_begins_with_and_a_wrong_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let awaited = awaited(folder.path());
        let looked = awaited.look();
        assert!(looked.ready.is_empty() && looked.faults.is_empty());
        std::fs::create_dir_all(folder.path().join("data/chain-7")).unwrap();
        std::fs::write(folder.path().join("data/chain-7/origin"), "nonsense").unwrap();
        let looked = awaited.look();
        assert!(looked.ready.is_empty());
        assert!(matches!(looked.faults.as_slice(), [(ChainId(7), StartError::OriginFile { .. })]));
    }

    #[test]
    fn a_node_whose_vote_is_needed_goes_on() {
        let chain = chain::ChainStatus {
            epoch: Epoch(0),
            last_height: None,
            validators: 4,
            heard: 4,
            silent: chain::SeatSet::default(),
            is_validator: true,
            final_height: Height(5),
            executed_height: Height(5),
            certified_height: Height(4),
            highest_announced: Some(Height(5)),
            pooled_transactions: 0,
            pooled_bytes: 0,
            batches: 0,
            bundles: 0,
            open_questions: 0,
            final_waiting: 0,
            fetches: 0,
            joining: None,
            pruned_below: None,
            may_vote: true,
            halted: false,
        };
        let mut status =
            Status { chain, voting: Voting::Yes, disk_free_bytes: 1 << 40, halt: None, divergence: None };
        assert!(is_spared(&status), "three others are a quorum");
        status.chain.heard = 3;
        assert!(!is_spared(&status));
        status.voting = Voting::Rejoining;
        assert!(is_spared(&status), "it has no vote to miss");
    }
}
