//! One node as the world sees it: a disk for each chain that it hosts, and a process that comes and goes.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use chain::rollback::Divergence;
use chain::{Archive, Chain, ChainConfig, Executor, ExecutorFault, Recovered, Snapshots};
use consensus::runtime::deterministic::DeterministicContext;
use consensus::runtime::{Runtime as _, Task};
use genesis::dev::{BankSecrets, Localnet, LocalnetPlan, localnet};
use ledger::proofs::ChainOrigin;
use ledger::records::GenesisSpec;
use ledger::records::registry::ROOT_CHAIN;
use ledger::rules::ChainRules;
use ledger::values::{
    BlockDigest, ChainId, Currency, Epoch, GenesisHash, Hasher, Height, NodeIndex, SecretKey, Sequential,
};
use storage::{CrashPlan, Identity, MemoryDisk, Store};
use tokio::sync::mpsc;

use crate::between::Crossing;
use crate::conditions::Conditions;
use crate::dice::Dice;
use crate::door::{Door, Submission};
use crate::epochs::Engines;
use crate::governor::next_key;
use crate::links::{FRAMES_WAITING_MAX, Links, Port};
use crate::node::{Mail, Node, Surroundings};
use crate::plan::Plan;
use crate::plants::Planted;
use crate::relay::{RELAYED_MAX, Relay, Shore};
use crate::witness::Shared;

/// Submissions that wait at one node.
const SUBMISSIONS_WAITING_MAX: usize = 4_096;

/// No machine starts as often.
const TWIN_STARTS_FROM: u64 = 500;

/// What all machines share.
pub(crate) struct Network {
    pub(crate) spec: Arc<GenesisSpec>,
    pub(crate) genesis: GenesisHash,
    pub(crate) chains: BTreeMap<ChainId, ChainNetwork>,
    /// Chains that operators will add.
    pub(crate) children: BTreeMap<ChainId, Child>,
}

/// A chain that operators will add.
pub(crate) struct Child {
    pub(crate) parent: ChainId,
    /// The node of each of its first validators.
    pub(crate) seats: Vec<u16>,
}

/// One chain of the network, as it begins.
pub(crate) struct ChainNetwork {
    pub(crate) rules: ChainRules,
    /// The node of each of its first validators.
    pub(crate) seats: Vec<u16>,
}

/// What everybody on a machine sees and writes to.
pub(crate) struct Site<'a> {
    pub(crate) context: &'a DeterministicContext,
    pub(crate) network: &'a Network,
    pub(crate) links: &'a Links,
    pub(crate) witnesses: &'a BTreeMap<ChainId, Shared>,
    pub(crate) crossing: &'a Crossing,
    pub(crate) planted: &'a Planted,
    pub(crate) conditions: &'a Conditions,
    pub(crate) plan: &'a Plan,
    /// What other machines know of how added chains begin: what operators send each other.
    pub(crate) origins: &'a BTreeMap<ChainId, ChainOrigin>,
}

impl Network {
    /// The network that a plan describes, with everybody's secrets.
    pub(crate) fn new(plan: &Plan) -> (Self, Localnet) {
        let seed = Hasher::new("jiaozi/bottle-seed").number(plan.seed).finish().0;
        let mut shape = LocalnetPlan::new(usize::from(plan.nodes));
        shape.chains = plan.chains.iter().map(|chain| (chain.currency, chain.shard)).collect();
        shape.params.fees = plan.fees;
        let mut localnet = localnet(&shape, &seed).expect("the plan has four banks and good chains");
        for (chain, planned) in localnet.spec.chains.iter_mut().zip(&plan.chains) {
            chain.validators.retain(|validator| planned.hosts.contains(&validator.node.0));
        }
        let spec = Arc::new(localnet.spec.clone());
        let chain = |id: ChainId| {
            let rules = ChainRules::at_genesis(&spec, id).expect("the spec lists it");
            let validators = rules.registry.validators(id, Epoch(0));
            let seats = validators.iter().map(|validator| validator.node.0).collect();
            (id, ChainNetwork { rules, seats })
        };
        let chains = spec.chains.iter().map(|of_chain| chain(of_chain.chain)).collect();
        let first = u32::try_from(plan.chains.len()).expect("a plan has few chains");
        let children = (first..).map(ChainId).zip(&plan.children);
        let children = children
            .map(|(id, child)| (id, Child { parent: ChainId(child.parent), seats: child.hosts.clone() }));
        (Self { genesis: spec.hash(), chains, children: children.collect(), spec }, localnet)
    }

    /// The nodes of a chain's first validators.
    pub(crate) fn seats(&self, chain: ChainId) -> Option<&[u16]> {
        let of_child = || self.children.get(&chain).map(|child| child.seats.as_slice());
        self.chains.get(&chain).map(|network| network.seats.as_slice()).or_else(of_child)
    }

    /// A chain's currency: a child's is that of its parent.
    pub(crate) fn currency(&self, chain: ChainId) -> Option<Currency> {
        let genesis = self.children.get(&chain).map_or(chain, |child| child.parent);
        self.chains.get(&genesis).map(|network| network.rules.currency)
    }

    /// All chains, also those that are added later.
    pub(crate) fn all(&self) -> impl Iterator<Item = ChainId> + '_ {
        self.chains.keys().chain(self.children.keys()).copied()
    }

    /// Pairs of chains between which money may pass.
    pub(crate) fn pairs(&self) -> Vec<(ChainId, ChainId)> {
        let ids = || self.all().map(|id| (id, self.currency(id)));
        ids()
            .flat_map(|(one, currency)| {
                ids()
                    .filter(move |(other, same)| *other > one && *same == currency)
                    .map(move |(other, _)| (one, other))
            })
            .collect()
    }
}

impl Site<'_> {
    fn identity(&self, chain: ChainId) -> Identity {
        Identity { schema_version: 1, genesis: self.network.genesis.0, chain: chain.0 }
    }
}

/// A node's hardware, which outlives its process.
pub(crate) struct Machine {
    pub(crate) index: u16,
    pub(crate) hosted: BTreeMap<ChainId, Hosted>,
    starts: u64,
    begun: BTreeSet<ChainId>,
}

/// What a machine has of a chain.
pub(crate) struct Hosted {
    pub(crate) disk: MemoryDisk,
    /// The consensus key, and the next one.
    secrets: Vec<SecretKey>,
    /// How often it lost everything.
    wipes: u64,
}

/// An empty disk.
fn disk(plan: &Plan, index: u16, chain: ChainId, planted: &Planted) -> MemoryDisk {
    let seed = plan.seed.wrapping_add(u64::from(index)).wrapping_add(u64::from(chain.0) << 16);
    let survival = plan.power_cut.survival();
    let lying_sync = planted.loses_writes;
    MemoryDisk::new(CrashPlan { seed, survival, lying_sync, ..CrashPlan::default() })
}

/// A node's process.
pub(crate) struct Process {
    pub(crate) parts: BTreeMap<ChainId, Part>,
    relay: Option<Task<()>>,
}

/// A chain in a node's process.
pub(crate) struct Part {
    engines: Engines,
    driver: Task<()>,
    pub(crate) submissions: mpsc::Sender<Submission>,
    pub(crate) store: Arc<dyn Store>,
    bundles: mpsc::Sender<Bytes>,
}

impl Machine {
    pub(crate) fn new(plan: &Plan, bank: &BankSecrets, planted: &Planted) -> Self {
        let index = bank.node.0;
        let hosts = |chain: ChainId| {
            let place = usize::try_from(chain.0).unwrap_or(usize::MAX);
            let planned = plan.chains.get(place);
            planned
                .is_some_and(|planned| planned.hosts.contains(&index) || planned.followers.contains(&index))
        };
        let disk = |chain: ChainId| disk(plan, index, chain, planted);
        let of_genesis = bank.validators.iter().filter(|(chain, ..)| hosts(*chain));
        let mut hosted: BTreeMap<ChainId, Hosted> = of_genesis
            .map(|(chain, _, secret)| {
                let secrets = vec![secret.clone(), next_key(plan.seed, index, *chain)];
                (*chain, Hosted { disk: disk(*chain), secrets, wipes: 0 })
            })
            .collect();
        let first = u32::try_from(plan.chains.len()).expect("a plan has few chains");
        let children = (first..).map(ChainId).zip(&plan.children);
        let own = children.filter(|(_, child)| child.hosts.contains(&index));
        hosted.extend(own.map(|(chain, _)| {
            let secrets = vec![next_key(plan.seed, index, chain)];
            (chain, Hosted { disk: disk(chain), secrets, wipes: 0 })
        }));
        let begun = BTreeSet::new();
        Self { index, hosted, starts: 0, begun }
    }

    /// A second machine with the same keys: its disks are empty, and it draws from sequences of its own.
    pub(crate) fn twin(plan: &Plan, bank: &BankSecrets, planted: &Planted) -> Self {
        Self { starts: TWIN_STARTS_FROM, ..Self::new(plan, bank, planted) }
    }

    /// Whether it has begun a chain: one of genesis with its first start, another one with the first after it was added.
    pub(crate) fn has_begun(&self, chain: ChainId) -> bool {
        self.begun.contains(&chain)
    }

    /// Puts empty disks in the place of its own; journals are begun anew with them.
    pub(crate) fn wipe(&mut self, plan: &Plan, planted: &Planted) {
        for (chain, hosted) in &mut self.hosted {
            hosted.disk = disk(plan, self.index, *chain, planted);
            hosted.wipes += 1;
        }
    }

    /// Flips a bit on the disk of one of its chains, all drawn by `number`; answers which chain's.
    pub(crate) fn flip_bit(&self, number: u64) -> Option<ChainId> {
        let hosted = self.hosted.len() as u64;
        let (chain, hosted) = self.hosted.iter().nth(usize::try_from(number.checked_rem(hosted)?).ok()?)?;
        // Small numbers draw low rows only.
        hosted.disk.flip_bit(number.rotate_right(17)).map(|_| *chain)
    }

    /// Whether a bit has changed on the disk of a chain.
    pub(crate) fn is_damaged(&self, chain: ChainId) -> bool {
        self.hosted.get(&chain).is_some_and(|hosted| hosted.disk.is_damaged())
    }

    /// Whether what a start reads can be read. Only damage is a reason why not.
    fn is_readable(&self, site: &Site<'_>) -> bool {
        self.hosted.iter().all(|(chain, hosted)| {
            !hosted.disk.is_damaged()
                || read(site, (*chain, site.origins.get(chain)), hosted, self.index)
                    .is_ok_and(|read| read.is_some())
        })
    }

    /// Starts the node from what its disks hold. `None` where that is damaged, and production would exit.
    pub(crate) fn start(&mut self, site: &Site<'_>) -> Option<Process> {
        if !self.is_readable(site) {
            return None;
        }
        self.starts += 1;
        let place = site.context.scope("node", "index", self.index).scope("start", "count", self.starts);
        site.planted.started(self.index);
        let mut parts: BTreeMap<ChainId, Part> = BTreeMap::new();
        // By id: chain 0, which may know how another one begins, comes first.
        for (chain, hosted) in &self.hosted {
            let root = parts.get(&ROOT_CHAIN).map(|root| Arc::clone(&root.store));
            let of_root = root.and_then(|root| Archive::new(root.as_ref()).origin(*chain).ok().flatten());
            let origin = of_root.as_ref().or_else(|| site.origins.get(chain));
            let part = start_chain(site, &place, (self.index, self.starts), (*chain, origin), hosted);
            parts.extend(part.map(|part| (*chain, part)));
        }
        self.begun.extend(parts.keys());
        let shores: Vec<Shore> = parts
            .iter()
            .map(|(chain, part)| Shore::new(*chain, Arc::clone(&part.store), part.bundles.clone()))
            .collect();
        // One chain has nobody to talk to.
        let relay = (shores.len() > 1).then(|| {
            let clock = place.scope("relay", "role", "clock");
            let (links, conditions) = (site.links.clone(), site.conditions.clone());
            let relay = Relay::new(self.index, shores, clock, links, site.planted.clone(), conditions);
            place.run("ferry", relay.run(site.crossing.clone()))
        });
        Some(Process { parts, relay })
    }
}

/// What a chain of a node starts from.
struct Found {
    store: Arc<dyn Store>,
    divergence: Option<Divergence>,
    executor: Executor<Sequential>,
    config: ChainConfig,
    recovered: Recovered,
    snapshots: Arc<Snapshots>,
    /// The block on which the running epoch stands.
    last: BlockDigest,
}

/// Reads what a chain starts from. `None` where it was not added yet, as far as this machine was told.
fn read(
    site: &Site<'_>,
    (chain, origin): (ChainId, Option<&ChainOrigin>),
    hosted: &Hosted,
    index: u16,
) -> Result<Option<Found>, Box<dyn Error>> {
    let store: Arc<dyn Store> = Arc::new(hosted.disk.open(&site.identity(chain))?);
    let divergence = Divergence::roll_back(store.as_ref())?;
    let opened = Executor::open_with(&site.network.spec, chain, origin, Arc::clone(&store), Sequential);
    let mut executor = match opened {
        Err(ExecutorFault::NoOrigin { .. }) => return Ok(None),
        opened => opened?,
    };
    let kept = site.plan.snapshots;
    let snapshots = Arc::new(Snapshots::new(kept.map_or(0, |kept| kept.every_ms)));
    if kept.is_some() {
        executor.keep_snapshots(Arc::clone(&snapshots))?;
    }
    let (state, keys) = (executor.state(), hosted.secrets.clone());
    let mut config = ChainConfig::after(state.rules().clone(), state.head().height, NodeIndex(index), keys);
    if let Some(kept) = kept.filter(|_| hosted.wipes > 0) {
        config.join = Some(Arc::clone(&site.network.spec));
        config.snapshot_behind_blocks = kept.behind_blocks;
    }
    let recovered = Recovered::read(&config.rules, store.as_ref())?;
    let before = Height(config.first_height().0.saturating_sub(1));
    let last = Archive::new(store.as_ref()).digest(before)?.ok_or("every epoch stands on a block")?;
    Ok(Some(Found { store, divergence, executor, config, recovered, snapshots, last }))
}

/// Starts one chain of a node from what its disk holds; `starts` counts this start of the node, too. `None` where it was not added yet,
/// as far as this machine was told.
fn start_chain(
    site: &Site<'_>,
    place: &DeterministicContext,
    (index, starts): (u16, u64),
    (chain, origin): (ChainId, Option<&ChainOrigin>),
    hosted: &Hosted,
) -> Option<Part> {
    let place = place.scope("chain", "id", chain.0);
    let found = read(site, (chain, origin), hosted, index).expect("the disk is free and its store is whole");
    let Found { store, divergence, executor, config, recovered, snapshots, last } = found?;
    let owner = (index, hosted.wipes);
    let engines = Engines::new(place.scope("engines", "role", "engines"), site.links.clone(), owner);
    let (requests, inbound) = engines.start(&config, last);
    let rules = config.rules.clone();
    let (frames_in, frames) = mpsc::channel(FRAMES_WAITING_MAX);
    site.links.plug(index, chain, Port { engine: inbound, frames: frames_in });
    let (submissions_in, submissions) = mpsc::channel(SUBMISSIONS_WAITING_MAX);
    let (bundles_in, bundles) = mpsc::channel(RELAYED_MAX);
    let witness = site.witnesses.get(&chain).expect("every chain has a witness");
    // Chains of one machine draw from sequences of their own.
    let purpose = u64::from(chain.0) * 10_000_000_000 + u64::from(index) * 1_000 + starts;
    let driver = Node::new(Surroundings {
        index,
        chain_id: chain,
        chain: Chain::new(config, recovered),
        executor,
        snapshots,
        store: Arc::clone(&store),
        disk: hosted.disk.clone(),
        door: Door::new(rules.clone(), [index.to_le_bytes()[0]; 32]),
        genesis: rules.genesis,
        clock: place.scope("driver", "role", "clock"),
        links: site.links.clone(),
        engines: engines.clone(),
        witness: Arc::clone(witness),
        crossing: site.crossing.clone(),
        planted: site.planted.clone(),
        conditions: site.conditions.clone(),
        divergence,
        dice: Dice::new(site.plan.seed, 1_000 + purpose),
        gathering: Dice::new(site.plan.seed, 1_000_000_000 + purpose),
    });
    let driver = place.run("drive", driver.run(Mail { requests, frames, submissions, bundles }));
    Some(Part { engines, driver, submissions: submissions_in, store, bundles: bundles_in })
}

impl Process {
    /// Ends the process, as a loss of power does.
    pub(crate) async fn kill(self) {
        if let Some(relay) = self.relay {
            relay.abort();
            let _aborted = relay.await;
        }
        let mut engines = Vec::with_capacity(self.parts.len());
        for part in self.parts.into_values() {
            part.driver.abort();
            let _aborted = part.driver.await;
            engines.push(part.engines);
        }
        for engine in engines {
            engine.stop().await;
        }
    }

    /// Receipts that its chains have sent to others, as its disks have them.
    pub(crate) fn receipts_sent(&self) -> u64 {
        let head = |part: &Part| Archive::new(part.store.as_ref()).head().ok().flatten();
        let heads = self.parts.values().filter_map(head);
        heads.flat_map(|head| head.outboxes).map(|outbox| outbox.tree.count).sum()
    }
}
