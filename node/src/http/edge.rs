//! What every handler shares: the chains, who may come in, the bounds, and the way to the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::code::ErrorCode;
use api::error::ApiError;
use api::network::ChainPlace;
use chain::{Archive, SetLinks};
use ledger::records::{ChainRecord, ChainSpec, GenesisSpec, Registry};
use ledger::values::{ChainId, GenesisHash, Height, NodeIndex, WalletId};
use storage::Reader;
use tokio::sync::{Semaphore, watch};

use super::estimates::EstimateCache;
use super::homes::Homes;
use super::refusal::Refusal;
use crate::config::RestLimits;
use crate::handle::{ChainHandle, Voting};
use crate::hosting::unhosted;
use crate::telemetry::{ChainMetrics, Metrics};
use crate::tokens::Tokens;
use crate::vigil::Vigil;

/// Store reads at one time. They block a thread each; RocksDB serves this many from two cores without a queue of its
/// own, and requests beyond wait their turn.
pub const READS_AT_ONCE: usize = 16;
/// Nodes that a refusal names; `/v1/network` lists all.
const NODES_NAMED_MAX: usize = 8;

/// What the REST edge is made of.
pub struct EdgeParts {
    /// The network.
    pub spec: Arc<GenesisSpec>,
    /// This node.
    pub own_node: NodeIndex,
    /// The chains it hosts.
    pub chains: Vec<ChainHandle>,
    /// Those of its configuration that cannot begin yet: nothing here says what they begin with.
    pub awaited: Vec<ChainId>,
    /// Nodes with an open connection, by index.
    pub connections: watch::Receiver<Vec<u16>>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Who may come in.
    pub tokens: Tokens,
    /// What the node remembers of how its chains went.
    pub vigil: Vigil,
    /// Bounds.
    pub limits: RestLimits,
}

/// The REST edge. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    parts: EdgeParts,
    genesis: GenesisHash,
    /// With the registry that they are of, itself: those of two chains may differ under one version.
    homes: Mutex<(Arc<Registry>, Arc<Homes>)>,
    chain_metrics: Vec<ChainMetrics>,
    /// Of each chain, what was estimated lately.
    estimates: BTreeMap<ChainId, Arc<EstimateCache>>,
    /// Of each chain, the changes of set that proofs have carried.
    set_links: BTreeMap<ChainId, Arc<SetLinks>>,
    requests: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// What [`Edge::find`] says of a chain beside its store, from just before the snapshot was taken.
pub(crate) struct Moment {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) certified_height: Height,
}

impl Moment {
    pub(crate) fn chain(&self) -> ChainId {
        self.spec.chain
    }
}

impl Edge {
    /// The edge of a node.
    #[must_use]
    pub fn new(parts: EdgeParts) -> Self {
        let permits =
            |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX >> 3)));
        let genesis = parts.spec.hash();
        let registry = Arc::new(Registry::from_genesis(&parts.spec));
        let homes = Arc::new(Homes::new(genesis, &registry));
        Self(Arc::new(Inner {
            genesis,
            homes: Mutex::new((registry, homes)),
            chain_metrics: parts.chains.iter().map(|chain| parts.metrics.chain(chain.chain())).collect(),
            estimates: parts.chains.iter().map(|chain| (chain.chain(), Arc::default())).collect(),
            set_links: parts
                .chains
                .iter()
                .map(|chain| (chain.chain(), Arc::new(SetLinks::new(genesis))))
                .collect(),
            requests: permits(parts.limits.concurrent_requests),
            waits: permits(parts.limits.concurrent_waits),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            parts,
        }))
    }

    pub(crate) fn parts(&self) -> &EdgeParts {
        &self.0.parts
    }

    pub(crate) fn genesis(&self) -> GenesisHash {
        self.0.genesis
    }

    pub(crate) fn chains(&self) -> &[ChainHandle] {
        &self.0.parts.chains
    }

    /// Places for requests in work.
    pub(crate) fn requests(&self) -> &Arc<Semaphore> {
        &self.0.requests
    }

    /// Places for clients that wait.
    pub(crate) fn waits(&self) -> &Arc<Semaphore> {
        &self.0.waits
    }

    /// The newest registry of the chains here: changes reach one chain after another.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        let registries = self.chains().iter().map(ChainHandle::registry);
        let newest = registries.max_by_key(|registry| registry.version);
        newest.unwrap_or_else(|| Arc::new(Registry::from_genesis(&self.parts().spec)))
    }

    /// Where wallets are at home: with every operator that joins there is one more on several chains.
    fn homes(&self) -> Arc<Homes> {
        let registry = self.registry();
        // Nothing in here can be left half done.
        let mut known = self.0.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.0, &registry) {
            let homes = Arc::new(Homes::new(self.genesis(), &registry));
            *known = (registry, homes);
        }
        Arc::clone(&known.1)
    }

    /// A hosted chain.
    pub(crate) fn chain(&self, chain: ChainId) -> Result<&ChainHandle, Refusal> {
        self.hosted(chain).ok_or_else(|| self.no_chain(chain).into())
    }

    /// A chain, if this node hosts it.
    pub(crate) fn hosted(&self, chain: ChainId) -> Option<&ChainHandle> {
        self.chains().iter().find(|handle| handle.chain() == chain)
    }

    /// Chains of the configuration that cannot begin here yet.
    pub(crate) fn awaited(&self) -> &[ChainId] {
        &self.parts().awaited
    }

    /// Chains on which this node has a validator and that its configuration does not name.
    pub(crate) fn not_hosted(&self) -> Vec<ChainId> {
        let is_named = |chain| self.hosted(chain).is_some() || self.awaited().contains(&chain);
        unhosted(&self.registry(), self.parts().own_node, is_named)
    }

    /// Whether wallets are at home on a chain, as far as a chain of this node has heard.
    pub(crate) fn is_home(&self, chain: ChainId) -> bool {
        let is_home = |handle: &ChainHandle| handle.registry().chain(chain).is_some_and(ChainRecord::is_home);
        self.chains().iter().any(is_home)
    }

    /// The nodes of a hosted chain's validators that this node does not hear.
    pub(crate) fn silent(&self, chain: &ChainHandle) -> Vec<NodeIndex> {
        chain.silent()
    }

    /// Those of them to which a link is up. A process that hangs or is gone loses its link before it counts as silent, so these run, and do
    /// not run the chain.
    pub(crate) fn not_running(&self, chain: &ChainHandle) -> Vec<NodeIndex> {
        let connected = self.parts().connections.borrow().clone();
        let mut silent = chain.silent();
        silent.retain(|node| connected.contains(&node.0));
        silent
    }

    /// Nodes with their operators' names, the first few, for people.
    pub(crate) fn named(&self, nodes: &[NodeIndex]) -> String {
        let network = self.registry();
        let named = nodes.iter().take(NODES_NAMED_MAX).map(|node| {
            let operator = network.node(*node).and_then(|record| network.operator(record.operator));
            format!("{node} ({})", operator.map_or("?", |operator| operator.name.as_str()))
        });
        let named: Vec<String> = named.collect();
        named.join(", ") + if nodes.len() > NODES_NAMED_MAX { ", …" } else { "" }
    }

    /// Why there is nothing of a chain here: no such chain, or who hosts it.
    pub(crate) fn no_chain(&self, chain: ChainId) -> ApiError {
        match self.registry().chain(chain) {
            None => ApiError::from(ErrorCode::ChainUnknown).at("chain").because(chain),
            Some(_) => ApiError::from(ErrorCode::ChainElsewhere).at("chain").because(self.place(chain)),
        }
    }

    /// A chain and the nodes that run its validators, for people.
    fn place(&self, chain: ChainId) -> String {
        let network = self.registry();
        let Some(place) = network.chain(chain).map(ChainPlace::from) else {
            return chain.to_string();
        };
        let own_node = self.parts().own_node;
        // What this node does not host it does not name itself for.
        let (is_here, is_awaited) = (self.hosted(chain).is_some(), self.awaited().contains(&chain));
        let nodes = place.nodes.iter().copied().map(NodeIndex);
        let others: Vec<NodeIndex> = nodes.filter(|node| is_here || *node != own_node).collect();
        let missed = match (is_here, is_awaited, place.nodes.contains(&own_node.0)) {
            (false, true, _) => "; this node waits for what it begins with",
            (false, false, true) => "; not by this one, whose vote is missing there",
            _ => "",
        };
        let (chain, currency, shard) = (place.chain, &place.currency, place.shard);
        let named = self.named(&others);
        format!("chain {chain} ({currency} shard {shard}) is hosted by the nodes {named}{missed}")
    }

    /// The chains where a wallet may be at home, hosted here or not; of an operator's own, which is on several, one must be `asked` for.
    pub(crate) fn wallet_homes(&self, id: &WalletId, asked: Option<u32>) -> Result<Vec<ChainId>, Refusal> {
        let known = self.homes();
        let homes = known.of(id);
        if asked.is_none() && known.is_on_several(id) {
            let homes: Vec<String> = homes.iter().map(ToString::to_string).collect();
            let detail = format!("an operator's own, on the chains {}", homes.join(", "));
            return Err(ApiError::from(ErrorCode::ChainNeeded).at("chain").because(detail).into());
        }
        Ok(homes)
    }

    /// Who hosts a chain, for people.
    pub(crate) fn hosts(&self, chain: ChainId) -> String {
        self.place(chain)
    }

    /// A wallet is, or may be, on a chain that was not looked on.
    pub(crate) fn wallet_elsewhere(&self, chain: ChainId) -> Refusal {
        ApiError::from(ErrorCode::WalletElsewhere).at("id").because(self.place(chain)).into()
    }

    /// Why a wallet was not found where it is at home: there is none, or its home is elsewhere.
    pub(crate) fn no_wallet(&self, id: &WalletId, asked: Option<u32>) -> Refusal {
        let registry = self.registry();
        let homes = self.homes().of(id);
        let homes: Vec<&ChainRecord> = homes.into_iter().filter_map(|home| registry.chain(home)).collect();
        let elsewhere: Vec<&ChainRecord> = match asked.and_then(|chain| registry.chain(ChainId(chain))) {
            Some(asked) if homes.iter().any(|home| home.chain == asked.chain) => Vec::new(),
            Some(asked) => homes.into_iter().filter(|home| home.currency == asked.currency).collect(),
            None => homes.into_iter().filter(|home| self.hosted(home.chain).is_none()).collect(),
        };
        if elsewhere.is_empty() {
            return ApiError::from(ErrorCode::WalletUnknown).at("id").into();
        }
        let places: Vec<String> = elsewhere.into_iter().map(|home| self.place(home.chain)).collect();
        ApiError::from(ErrorCode::WalletElsewhere).at("id").because(places.join("; ")).into()
    }

    /// Metrics of a hosted chain.
    pub(crate) fn chain_metrics(&self, chain: ChainId) -> Option<&ChainMetrics> {
        let place = self.chains().iter().position(|handle| handle.chain() == chain)?;
        self.0.chain_metrics.get(place)
    }

    /// Estimates of fees on a hosted chain.
    pub(crate) fn estimates(&self, chain: ChainId) -> Option<Arc<EstimateCache>> {
        self.0.estimates.get(&chain).cloned()
    }

    /// Reads a chain's store on a blocking thread. Everything that `work` reads is of one moment.
    ///
    /// A read that started goes on when its request is given up, so its place is free only when it ends.
    pub(crate) async fn read<T, W>(&self, chain: &ChainHandle, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&Archive<'_, dyn Reader + '_>) -> Result<T, Refusal> + Send + 'static,
    {
        let links = self.0.set_links.get(&chain.chain()).cloned();
        self.read_store(chain, move |reader| work(&Archive::with_links(reader, links.as_deref()))).await
    }

    /// Reads chain after chain until `work` finds something.
    pub(crate) async fn find<T, W>(&self, chains: &[&ChainHandle], work: W) -> Result<Option<T>, Refusal>
    where
        T: Send + 'static,
        W: Fn(&Archive<'_, dyn Reader + '_>, &Moment) -> Result<Option<T>, Refusal> + Clone + Send + 'static,
    {
        for chain in chains {
            let certified_height = chain.now().chain.certified_height;
            let moment = Moment { spec: Arc::clone(&chain.spec), certified_height };
            let work = work.clone();
            if let Some(found) = self.read(chain, move |archive| work(archive, &moment)).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// [`Edge::read`] of rows that the archive does not type.
    pub(crate) async fn read_store<T, W>(&self, chain: &ChainHandle, work: W) -> Result<T, Refusal>
    where
        T: Send + 'static,
        W: FnOnce(&(dyn Reader + '_)) -> Result<T, Refusal> + Send + 'static,
    {
        if chain.now().voting == Voting::Halted {
            return Err(ErrorCode::Halted.into());
        }
        Refusal::without_state(&chain.now())?;
        let place = Arc::clone(&self.0.reads).acquire_owned().await.map_err(|_| Refusal::stopping())?;
        let store = Arc::clone(&chain.store);
        let read = tokio::task::spawn_blocking(move || {
            let snapshot = store.snapshot().map_err(Refusal::store)?;
            let answer = work(snapshot.as_ref());
            drop(snapshot);
            drop(place);
            answer
        });
        // A panic in a read is a defect of ours; the request says so and the node goes on.
        read.await.unwrap_or_else(|_| Err(Refusal::stopping()))
    }
}
