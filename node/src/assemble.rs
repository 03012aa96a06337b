//! The composition root: a node from its configuration, part by part, in the order in which each needs the one before.
//!
//! keys → genesis → own place → network → for each chain: store, executor, recovery, engine, driver → REST.
//!
//! Chain 0 is opened first: it knows what a chain begins with that was added after genesis. A chain of which nobody here knows that yet
//! waits, and stops none of the others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chain::{Archive, Chain, ChainConfig, Executor, ExecutorFault, Recovered, RowFault, Snapshots, rows};
use consensus::Channel;
use genesis::GenesisFile;
use ledger::proofs::ChainOrigin;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{ChainSpec, GenesisSpec};
use ledger::values::{BlockDigest, ChainId, Height, NodeIndex, quorum};
use network::{LaneReceiver, Network};
use storage::{Reader, RocksStore, Store, Table};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::allowed;
use crate::awaited::{self, Awaited, AwaitedChain};
use crate::checkpoint;
use crate::config::{JoinBy, NodeConfig};
use crate::disk::DiskBudget;
use crate::divergence::Divergences;
use crate::driver::{Driver, End, Parts};
use crate::engine;
use crate::epochs::{Epochs, SEATS, Supervisor, Turn};
use crate::handle::{ChainHandle, HaltCode, Status, Voting};
use crate::held::Held;
use crate::hosting;
use crate::http::{Edge, EdgeParts, RestServer};
use crate::keys::{Keys, consensus_entries};
use crate::market::MarketBoard;
use crate::origins::{OriginFiles, origin_of};
use crate::pruning;
use crate::rarely::Rarely;
use crate::relay::{self, Inlet};
use crate::settings::{
    LANES_PER_CHAIN, chain_config, chain_directory, chain_spec, identity, network_settings, own_place,
    peers_of, store_directory, store_options,
};
use crate::standing::StandingFiles;
use crate::start_error::{StartError, system};
use crate::strategy::Parallel;
use crate::telemetry::{Metrics, start_logging};
use crate::tls;
use crate::tokens::Tokens;
use crate::verifier::Verifier;
use crate::vigil::{Own, OwnKey, Vigil};

/// Version of everything a chain keeps in its store. 6: births and growth of chains in the registry, what a parent moves in the head,
/// origins, refunds with the chain that they came from. 7: the bundles of a proposal in its own row.
pub const SCHEMA_VERSION: u32 = 7;
/// Submissions on their way to a chain's task.
const SUBMISSIONS: usize = 64;
/// How long the engine waits for a quorum of connections before it starts all the same.
const CONNECT_WAIT_MS: u64 = 10_000;

/// A running node.
pub struct Node {
    network: Network,
    rest: RestServer,
    chains: Vec<RunningChain>,
    relays: Vec<JoinHandle<()>>,
    watchers: Vec<JoinHandle<()>>,
    /// Says that a chain can begin which could not when the node started.
    anew: oneshot::Receiver<()>,
    stop: watch::Sender<bool>,
}

struct RunningChain {
    chain: ChainId,
    epochs: Epochs,
    driver: JoinHandle<Option<End>>,
    feeds: Vec<JoinHandle<()>>,
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// A chain halted.
    Halted(HaltCode),
    /// It must be started anew: to vote after it rejoined, to execute once more after it diverged, or to begin a chain.
    StartsAnew,
}

/// Runs a node until it is told to stop (SIGTERM, SIGINT) or a chain halts.
///
/// # Errors
/// [`StartError`], naming section and field of the configuration.
pub fn run(config: &NodeConfig) -> Result<Option<HaltCode>, StartError> {
    start_logging(&config.log)?;
    loop {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("node")
            .build()
            .map_err(|fault| system("threads", &fault))?;
        let stores = OpenStores::default();
        let ended = runtime.block_on(async {
            let node = Node::start_with(config, &stores).await?;
            Ok::<_, StartError>(node.run_until_stopped().await)
        });
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        stores.wait_until_closed(STORE_WAIT);
        match ended? {
            Ended::Stopped => return Ok(None),
            Ended::Halted(code) => return Ok(Some(code)),
            Ended::StartsAnew => tracing::info!("starting anew"),
        }
    }
}

/// Prepares the data directory of a validator that never voted: once, before a chain's first start. Chains that have data are left as
/// they are: a node may come to host one more.
///
/// # Errors
/// [`StartError::Initialised`] when all of them have data already.
pub fn init(config: &NodeConfig) -> Result<(), StartError> {
    let (mut is_prepared, mut with_data) = (false, None);
    for chain in &config.node.chains {
        match init_chain(config, ChainId(*chain)) {
            Ok(()) => is_prepared = true,
            Err(fault @ StartError::Initialised { .. }) => with_data = with_data.or(Some(fault)),
            Err(fault) => return Err(fault),
        }
    }
    match with_data {
        Some(fault) if !is_prepared => Err(fault),
        _ => Ok(()),
    }
}

/// The same for one chain that its validators have not started yet: before it is hosted.
///
/// # Errors
/// [`StartError::Initialised`] when there is data already.
pub fn init_chain(config: &NodeConfig, chain: ChainId) -> Result<(), StartError> {
    let directory = chain_directory(config, chain);
    StandingFiles::new(&directory).init().map_err(|fault| match fault.kind() {
        std::io::ErrorKind::AlreadyExists => StartError::Initialised { directory: directory.clone() },
        _ => system("data directory", &fault),
    })
}

impl Node {
    /// Starts every part.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: &NodeConfig) -> Result<Self, StartError> {
        Self::start_with(config, &OpenStores::default()).await
    }

    async fn start_with(config: &NodeConfig, stores: &OpenStores) -> Result<Self, StartError> {
        let keys = Keys::load(&config.keys)?;
        let spec = Arc::new(GenesisFile::load(&config.node.genesis)?.spec()?);
        let own_node = own_place(config, &spec, &keys.network)?;
        let strategy = Parallel::new(threads()).map_err(|fault| system("threads", &fault))?;
        let (network, mut lanes) = start_network(config, &spec, &keys, own_node).await?;
        let (stop, stopped) = watch::channel(false);
        let metrics = Arc::new(Metrics::new());
        let mut chains = Vec::new();
        let mut handles = Vec::new();
        let mut inlets = Vec::new();
        let mut idle = Vec::new();
        let wiring = Wiring {
            config,
            spec: &spec,
            keys: &keys,
            own_node,
            network: &network,
            strategy: &strategy,
            metrics: &metrics,
            stopped: &stopped,
            stores,
        };
        let Opening { opened, awaited } = wiring.open_chains().await?;
        let mut opened = opened.into_iter().peekable();
        for (place, chain) in config.node.chains.iter().enumerate() {
            let chain_lanes: Vec<_> = lanes.drain(..LANES_PER_CHAIN.min(lanes.len())).collect();
            let Some(opened) = opened.next_if(|opened| opened.id.0 == *chain) else {
                idle.extend(chain_lanes);
                continue;
            };
            let (running, handle, inlet) =
                wiring.start_chain(opened, place * LANES_PER_CHAIN, chain_lanes).await?;
            inlets.push(inlet);
            chains.push(running);
            handles.push(handle);
        }
        // The lane after those of all chains.
        let relays = lanes.pop().map_or_else(Vec::new, |lane| {
            relay::start(relay::Parts {
                own_node,
                network: &network,
                lane,
                lane_number: config.node.chains.len() * LANES_PER_CHAIN,
                chains: &handles,
                inlets: &inlets,
                metrics: &metrics,
                stopped: &stopped,
            })
        });
        let waits = awaited.chains.iter().map(|awaited| awaited.chain).collect();
        let (mut watchers, anew) = watch_registries(config, &network, awaited, &handles);
        watchers.push(tokio::spawn(awaited::drain(idle)));
        let vigil = Vigil::new(own_facts(config, &keys));
        watchers.push(tokio::spawn(vigil.clone().follow(handles.clone())));
        watchers.extend(pruning::start(config, &spec, &handles, &metrics));
        let (data, reserve_bytes) = (config.node.data_directory.clone(), config.storage.disk_reserve_bytes);
        watchers.push(tokio::spawn(checkpoint::serve(data, stores.clone(), reserve_bytes)));
        let edge = Edge::new(EdgeParts {
            spec: Arc::clone(&spec),
            own_node,
            chains: handles,
            awaited: waits,
            connections: network.connections_watch(),
            metrics,
            tokens: Tokens::new(&config.rest.tokens),
            vigil,
            limits: config.rest.limits,
        });
        let rest = RestServer::start(&edge, &config.rest)?;
        tracing::info!(network = %spec.hash(), node = own_node.0, "node started");
        Ok(Self { network, rest, chains, relays, watchers, anew, stop })
    }

    /// Where REST listens.
    #[must_use]
    pub const fn rest_address(&self) -> std::net::SocketAddr {
        self.rest.address()
    }

    /// Waits for a signal or a halt, then stops every part.
    pub async fn run_until_stopped(mut self) -> Ended {
        let ended = tokio::select! {
            () = signal() => Ended::Stopped,
            ended = first_end(&mut self.chains) => ended,
            Ok(()) = &mut self.anew => Ended::StartsAnew,
        };
        if let Ended::Halted(code) = ended {
            tracing::error!(code = code as u16, "the node stops: {code}");
        }
        self.stop().await;
        ended
    }

    /// Stops every part, the engines first: none must ask a driver that is gone.
    pub async fn stop(self) {
        let Self { network, rest, chains, relays, watchers, anew: _, stop } = self;
        for task in watchers.into_iter().chain(relays) {
            task.abort();
        }
        let stopped = chains.into_iter().map(|RunningChain { chain, epochs, driver, feeds }| async move {
            epochs.stop().await;
            (chain, driver, feeds)
        });
        let stopped = futures::future::join_all(stopped).await;
        stop.send_replace(true);
        for (chain, driver, feeds) in stopped {
            if !driver.is_finished() {
                let _ended = driver.await;
            }
            for feed in feeds {
                feed.abort();
            }
            tracing::info!(chain = chain.0, "chain stopped");
        }
        rest.stop().await;
        network.stop().await;
        tracing::info!("node stopped");
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
}

/// The first chain that ends, by its driver or by its engine's end.
async fn first_end(chains: &mut [RunningChain]) -> Ended {
    let ends = chains.iter_mut().map(|running| {
        Box::pin(async {
            tokio::select! {
                end = &mut running.driver => match end {
                    Ok(Some(End::Halt(code))) => Ended::Halted(code),
                    Ok(Some(End::StartAnew)) => Ended::StartsAnew,
                    Ok(None) => Ended::Stopped,
                    Err(fault) => {
                        tracing::error!(chain = running.chain.0, %fault, "the chain's own task ended");
                        Ended::Halted(HaltCode::Thread)
                    }
                },
                cause = running.epochs.failed() => {
                    tracing::error!(chain = running.chain.0, %cause, "the consensus engine ended");
                    Ended::Halted(HaltCode::Engine)
                }
            }
        })
    });
    futures::future::select_all(ends).await.0
}

/// What the node knows of itself for whoever asks why it is stuck.
fn own_facts(config: &NodeConfig, keys: &Keys) -> Own {
    // Keys are read in the order of their files.
    let files = consensus_entries(&config.keys).into_iter().map(|entry| entry.keystore);
    let keys = keys.consensus.iter().zip(files);
    Own {
        reserve_bytes: config.storage.disk_reserve_bytes,
        keys: keys
            .map(|((chain, key), file)| OwnKey { chain: *chain, key: key.public_key(), file })
            .collect(),
        certificate_expires_ms: config.rest.tls.as_ref().and_then(tls::expires_ms),
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What follows the registries: who may connect, which chains are missed here, which can begin now.
fn watch_registries(
    config: &NodeConfig,
    network: &Network,
    awaited: Awaited,
    handles: &[ChainHandle],
) -> (Vec<JoinHandle<()>>, oneshot::Receiver<()>) {
    let rules = || handles.iter().map(|handle| handle.rules.clone()).collect();
    let own_node = awaited.own_node;
    let (anew, asked) = oneshot::channel();
    let mut watchers = vec![
        tokio::spawn(allowed::follow(network.clone(), own_node, rules())),
        tokio::spawn(hosting::follow(own_node, config.node.chains.clone(), rules())),
    ];
    if !awaited.chains.is_empty() {
        watchers.push(tokio::spawn(awaited.follow(handles.to_vec(), anew)));
    }
    (watchers, asked)
}

async fn start_network(
    config: &NodeConfig,
    spec: &GenesisSpec,
    keys: &Keys,
    own_node: NodeIndex,
) -> Result<(Network, Vec<LaneReceiver>), StartError> {
    let settings = network_settings(config, spec, &keys.network, own_node);
    Ok(Network::start(settings, tokio::runtime::Handle::current()).await?)
}

/// What a chain starts from.
struct Opened {
    id: ChainId,
    spec: ChainSpec,
    store: Arc<dyn Store>,
    executor: Executor<Parallel>,
    chain: Chain,
    divergences: Divergences,
    snapshots: Arc<Snapshots>,
    /// Which heights are in the store.
    held: Held,
    /// The last block before the running epoch.
    last: BlockDigest,
}

/// What of the configuration's chains has begun, in its order, and what waits.
struct Opening {
    opened: Vec<Opened>,
    awaited: Awaited,
}

/// The databases of a node. Its end is not over before they are closed: what holds one may be a thread that ends a moment
/// later.
#[derive(Clone, Default)]
pub(crate) struct OpenStores {
    stores: Arc<Mutex<Vec<OpenStore>>>,
}

struct OpenStore {
    chain: u32,
    life: Weak<()>,
    store: Weak<RocksStore>,
}

impl OpenStores {
    pub(crate) fn add(&self, chain: u32, store: &Arc<RocksStore>) {
        let open = OpenStore { chain, life: store.life(), store: Arc::downgrade(store) };
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(open);
    }

    /// Those that are open now, with their chains.
    pub(crate) fn open(&self) -> Vec<(u32, Arc<RocksStore>)> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().filter_map(|open| Some((open.chain, open.store.upgrade()?))).collect()
    }

    fn wait_until_closed(&self, limit: std::time::Duration) {
        let end = std::time::Instant::now() + limit;
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        while stores.iter().any(|open| open.life.strong_count() > 0) {
            if std::time::Instant::now() > end {
                tracing::warn!("a database is still in use at the end");
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// What a chain is wired to.
struct Wiring<'a> {
    config: &'a NodeConfig,
    spec: &'a Arc<GenesisSpec>,
    keys: &'a Keys,
    own_node: NodeIndex,
    network: &'a Network,
    strategy: &'a Parallel,
    metrics: &'a Arc<Metrics>,
    stopped: &'a watch::Receiver<bool>,
    stores: &'a OpenStores,
}

impl Wiring<'_> {
    /// Opens every chain that has begun or can begin, and lets in the peers that all their registries name.
    async fn open_chains(&self) -> Result<Opening, StartError> {
        let hosted = &self.config.node.chains;
        let mut chains: Vec<Opened> = Vec::with_capacity(hosted.len());
        let mut root: Option<Arc<dyn Store>> = None;
        let (mut awaited, mut first_fault) = (Vec::new(), None);
        let mut order: Vec<ChainId> = hosted.iter().copied().map(ChainId).collect();
        order.sort_by_key(|chain| *chain != ROOT_CHAIN);
        for chain in order {
            let opened = match self.open_chain(chain, root.clone()).await {
                Err(fault) if fault.waits_for_origin() => {
                    tracing::warn!(chain = chain.0, %fault, "a chain waits for its origin; the others go on");
                    let files = OriginFiles::of(self.config, chain);
                    awaited.push(AwaitedChain { chain, files, keys: self.keys.consensus(chain) });
                    first_fault.get_or_insert(fault);
                    continue;
                }
                opened => opened?,
            };
            if chain == ROOT_CHAIN {
                root = Some(Arc::clone(&opened.store));
            }
            chains.push(opened);
        }
        if let (true, Some(fault)) = (chains.is_empty(), first_fault) {
            // There is nothing to run.
            return Err(fault);
        }
        // The lanes are in the configuration's order.
        chains.sort_by_key(|opened| hosted.iter().position(|chain| *chain == opened.id.0));
        let registry = |opened: &Opened| Arc::clone(&opened.chain.config().rules.registry);
        let registries: Vec<_> = chains.iter().map(registry).collect();
        if registries.iter().any(|registry| registry.version > 0) {
            // Before the peers that genesis names are waited for in vain.
            let peers = peers_of(&registries);
            allowed::apply(self.network, self.own_node, peers, &mut Rarely::default());
        }
        let (spec, own_node) = (Arc::clone(self.spec), self.own_node);
        Ok(Opening { opened: chains, awaited: Awaited { spec, own_node, root, chains: awaited } })
    }

    async fn start_chain(
        &self,
        opened: Opened,
        first_lane: usize,
        lanes: Vec<LaneReceiver>,
    ) -> Result<(RunningChain, ChainHandle, Inlet), StartError> {
        let Opened { id, spec, store, executor, chain, divergences, snapshots, held, last } = opened;
        let config = chain.config().clone();
        let rules = config.rules.clone();
        self.wait_for_quorum(&config).await;
        let (doors, door) = watch::channel(None);
        let (seats, seated) = mpsc::channel(SEATS);
        let (turns, turn) = watch::channel(Turn { config, last });
        let supervisor = Supervisor {
            files: StandingFiles::new(&self.directory(id)),
            store: Arc::clone(&store),
            section: self.config.consensus,
            network: self.network.clone(),
            first_lane,
            doors,
            seats,
        };
        let epochs = Epochs::start(supervisor, turn).await?;
        let mut lanes = lanes.into_iter();
        let feeds = Channel::ALL
            .into_iter()
            .zip(lanes.by_ref())
            .map(|(channel, lane)| {
                tokio::spawn(engine::feed(lane, channel, door.clone(), self.network.clone()))
            })
            .collect();
        let (submissions, submitted) = mpsc::channel(SUBMISSIONS);
        let (inlet, relayed) = relay::inlet(id, Arc::clone(&store));
        let (rules_now, rules_seen) = watch::channel(rules.clone());
        let verifier = Verifier {
            genesis: rules.genesis,
            secret: random_secret()?,
            keys: Arc::default(),
            strategy: self.strategy.clone(),
        };
        let params = rules.params.clone();
        let own_node = rules.registry.nodes.get(usize::from(chain.config().own_node.0));
        let operator = own_node.map(|node| node.operator);
        let admission = Admission::new(
            (rules, operator),
            Arc::clone(&store),
            executor.cache(),
            submissions,
            verifier.clone(),
        );
        let admission = Arc::new(admission.map_err(|fault| system("threads", &fault))?);
        let market =
            MarketBoard::load(store.as_ref(), &params).map_err(|fault| system("the store", &fault))?;
        let (status, watched) = watch::channel(first_status(&chain));
        let driver = Driver::new(
            Parts {
                chain,
                store: Arc::clone(&store),
                id,
                verifier,
                network: self.network.clone(),
                lanes: lanes.collect(),
                first_lane: first_lane + Channel::ALL.len(),
                seats: seated,
                turns,
                rules: rules_now,
                submissions: submitted,
                relayed,
                admission: Arc::clone(&admission),
                status,
                market: market.clone(),
                divergences,
                snapshots,
                metrics: self.metrics.chain(id),
                disk_reserve_bytes: self.config.storage.disk_reserve_bytes,
                disk_budget: DiskBudget::of(self.config),
            },
            executor,
        )
        .map_err(|fault| system("threads", &fault))?;
        let wallets = driver.wallet_questions();
        let driver = tokio::spawn(driver.run(self.stopped.clone()));
        let genesis = self.spec.hash();
        let (spec, status, rules) = (Arc::new(spec), watched, rules_seen);
        let handle = ChainHandle { genesis, spec, store, status, rules, admission, wallets, market, held };
        Ok((RunningChain { chain: id, epochs, driver, feeds }, handle, inlet))
    }

    fn directory(&self, id: ChainId) -> PathBuf {
        chain_directory(self.config, id)
    }

    fn open_store(&self, id: ChainId) -> Result<Arc<dyn Store>, StartError> {
        let (identity, options) = (identity(self.spec, id), store_options(self.config));
        let path = store_directory(self.config, id);
        std::fs::create_dir_all(self.directory(id)).map_err(|fault| system("data directory", &fault))?;
        // After a start anew a read that began before may hold the store for a moment.
        let end = std::time::Instant::now() + STORE_WAIT;
        loop {
            match RocksStore::open(&path, &identity, options) {
                Err(storage::StorageError::Locked { .. }) if std::time::Instant::now() < end => {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                opened => {
                    let store = Arc::new(opened?);
                    self.stores.add(id.0, &store);
                    return Ok(store);
                }
            }
        }
    }

    /// Loads the state, which takes seconds with millions of wallets, on a thread that may block. `root` is the database of chain 0, if this
    /// node hosts it.
    async fn open_chain(&self, id: ChainId, root: Option<Arc<dyn Store>>) -> Result<Opened, StartError> {
        let files = OriginFiles::of(self.config, id);
        if self.spec.chain(id).is_none() && !store_directory(self.config, id).exists() {
            // What cannot begin leaves nothing behind: `init` takes an empty directory only.
            let root = root.as_ref().map(|root| &**root as &dyn Reader);
            let _found = origin_of(&files, root, id)?;
        }
        let store = self.open_store(id)?;
        let (directory, own_node, keys) = (self.directory(id), self.own_node, self.keys.consensus(id));
        let (spec, strategy) = (Arc::clone(self.spec), self.strategy.clone());
        let (joins, snapshots) = (self.config.node.join == JoinBy::Snapshot, self.config.snapshots);
        let opened = tokio::task::spawn_blocking(move || {
            let divergences = Divergences::open(&directory, Arc::clone(&store))?;
            let root = root.as_ref().map(|root| &**root as &dyn Reader);
            let origin = first_origin(&spec, id, store.as_ref(), || origin_of(&files, root, id))?;
            let executor = Executor::open_with(&spec, id, origin.as_ref(), Arc::clone(&store), strategy);
            let mut executor = executor.map_err(|fault| match (divergences.open_report(), fault) {
                (Some(report), fault @ ExecutorFault::Load(_)) => {
                    StartError::TakenBack { report, fault: Box::new(fault) }
                }
                (_, ExecutorFault::Origin(fault)) => StartError::OriginUnproved { chain: id.0, fault },
                (_, fault) => fault.into(),
            })?;
            let kept = Arc::new(Snapshots::new(snapshots.every_ms));
            executor.keep_snapshots(Arc::clone(&kept))?;
            let state = executor.state();
            let own_spec = chain_spec(&spec, state.rules())?;
            let mut config = chain_config(state.rules().clone(), state.head().height, own_node, keys)?;
            let archive = Archive::new(store.as_ref());
            let (is_joining, held) = (archive.is_joining()?, Held::read(&archive)?);
            // A join that was begun is brought to its end: there is no other state.
            config.join = (joins || is_joining).then(|| Arc::clone(&spec));
            config.snapshot_behind_blocks = snapshots.behind_blocks;
            let recovered = Recovered::read(&config.rules, store.as_ref())?;
            let before = Height(config.first_height().0.saturating_sub(1));
            let missing = RowFault::Missing { table: Table::Heights };
            let last = Archive::new(store.as_ref()).digest(before)?.ok_or(missing)?;
            let chain = Chain::new(config, recovered);
            Ok::<_, StartError>(Opened {
                id,
                spec: own_spec,
                store,
                executor,
                chain,
                divergences,
                snapshots: kept,
                held,
                last,
            })
        });
        let opened = opened.await.map_err(|fault| system("thread to load the state", &fault))??;
        self.metrics.chain(id).joined(opened.held.joined_at());
        let head = opened.executor.state().head();
        tracing::info!(chain = id.0, height = head.height.0, records = head.records, state = %head.state, "state loaded");
        Ok(opened)
    }

    /// A view that starts without a quorum of connections is lost to its timeout; waiting costs less.
    async fn wait_for_quorum(&self, config: &ChainConfig) {
        let needed = quorum(config.validators().len()).saturating_sub(1);
        // Nodes of other chains are connected too.
        let others: Vec<u16> = config
            .validators()
            .iter()
            .map(|seat| seat.node.0)
            .filter(|node| *node != self.own_node.0)
            .collect();
        let mut connections = self.network.connections_watch();
        let connected = connections
            .wait_for(|connected| others.iter().filter(|node| connected.contains(node)).count() >= needed);
        let wait = std::time::Duration::from_millis(CONNECT_WAIT_MS);
        if tokio::time::timeout(wait, connected).await.is_err() {
            tracing::warn!(
                needed,
                "fewer peers than a quorum are connected; consensus starts and waits for them"
            );
        }
    }
}

/// What a chain begins with at its first start here, where genesis does not name it; else none is looked for.
fn first_origin(
    spec: &GenesisSpec,
    chain: ChainId,
    store: &dyn Reader,
    find: impl FnOnce() -> Result<ChainOrigin, StartError>,
) -> Result<Option<ChainOrigin>, StartError> {
    let is_begun = spec.chain(chain).is_some() || store.get(Table::Meta, rows::HEAD)?.is_some();
    if is_begun { Ok(None) } else { find().map(Some) }
}

/// How long a start waits for a store that another holds, and an end for those that are still open.
const STORE_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
fn first_status(chain: &Chain) -> Status {
    let (voting, disk_free_bytes) = (Voting::Observer, u64::MAX);
    Status { chain: chain.status(), voting, disk_free_bytes, halt: None, divergence: None }
}

pub(crate) fn random_secret() -> Result<[u8; 32], StartError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|fault| system("randomness", &fault))?;
    Ok(secret)
}
