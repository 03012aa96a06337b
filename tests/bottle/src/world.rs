//! From a plan to an outcome.
//!
//! A run is a row of worlds: each ends with a power cut of all nodes, or with the plan. What outlives a power cut is the
//! [`Estate`]: disks, journals (the runtime keeps those), cables, clients, and the witnesses, who are no part of the network.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use chain::{Archive, running_epoch};
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::{DeterministicContext, START_MS, World};
use genesis::dev::BankSecrets;
use ledger::proofs::ChainOrigin;
use ledger::records::block::genesis_block_digest;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{Record, Registry, WalletStatus};
use ledger::rules::ChainRules;
use ledger::values::{Canonical as _, ChainId, FeeRate, GenesisHash, Height, TransactionId, WalletId};
use storage::{Store, Table};

use crate::adversaries::{Arsenal, Turned, tally};
use crate::between::Crossing;
use crate::client::{Client, Doors};
use crate::conditions::Conditions;
use crate::dice::Dice;
use crate::digest::digest;
use crate::governor::Governor;
use crate::links::{Cables, Links, Weather};
use crate::machine::{Machine, Network, Process, Site};
use crate::outcome::{NodeState, Outcome, Report};
use crate::plan::{Fault, Plan, PowerCut};
use crate::plants::Planted;
use crate::proofs::outcome_proof;
use crate::properties::{self, Violation};
use crate::relay::certified_height;
use crate::trouble::Trouble;
use crate::witness::{Shared, Witness};

/// Virtual time after the load in which every running node must have what became final, and clients their outcomes.
pub(crate) const SETTLE_MS_MAX: u64 = 20_000;
/// How often clients act.
const TICK_MS: u64 = 10;
/// Chance of each byte of an unsynced journal write to survive a power cut, until the first that does not.
const JOURNAL_KEPT_PERCENT: u8 = 70;
/// How often it is looked where wallets are, while chains are added.
const PLACES_MS: u64 = 100;
/// Outcome proofs checked for each node.
const PROOFS_PER_NODE: usize = 24;

const PURPOSE_LINKS: u64 = 2;
const PURPOSE_SAMPLES: u64 = 4;

/// Runs a plan. Equal plans give equal outcomes.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let limit_ms = plan.duration_ms + 2 * SETTLE_MS_MAX;
    let mut world = match plan.power_cut {
        PowerCut::Drawn => World::with_torn_writes(plan.seed, limit_ms, JOURNAL_KEPT_PERCENT),
        PowerCut::LosesAll => World::new(plan.seed, limit_ms),
    };
    let mut estate = Estate::new(plan.clone());
    loop {
        let ((left, is_done), next) = world.run(|context| segment(context, estate));
        (estate, world) = (left, next);
        if is_done {
            return estate.outcome(world.trace_digest());
        }
        estate.lose_power();
    }
}

/// What outlives power cuts.
struct Estate {
    plan: Plan,
    network: Network,
    machines: Vec<Machine>,
    up: BTreeSet<u16>,
    cables: Cables,
    client: Client,
    governor: Governor,
    /// One for each chain.
    witnesses: BTreeMap<ChainId, Shared>,
    crossing: Crossing,
    planted: Planted,
    next_fault: usize,
    turned: Turned,
    /// What each bank could turn against the others.
    arsenals: BTreeMap<u16, Arsenal>,
    /// Second machines with the keys of the first, by node.
    twins: BTreeMap<u16, Machine>,
    /// When adversaries act next.
    next_act_ms: u64,
    /// When it is looked next where wallets are.
    next_look_ms: u64,
    /// Nodes that lose power once they have sent more receipts than this.
    armed: BTreeMap<u16, u64>,
    /// All nodes lose power once wallets are on their way.
    cuts_while_moving: bool,
    hopes: BTreeMap<ChainId, Vec<u64>>,
    /// Since when all chains and a relay between them can work, or cannot.
    turns: Vec<(u64, bool)>,
    disturbances: Vec<u64>,
    /// Chains that cannot hope now.
    lost: BTreeSet<ChainId>,
    /// When each chain could hope again.
    healings: BTreeMap<ChainId, Vec<u64>>,
    trouble: Trouble,
    conditions: Conditions,
    /// Height of each chain that every running node must reach before the run ends.
    targets: Option<BTreeMap<ChainId, Height>>,
    report: Report,
    nodes: Vec<NodeState>,
    digest: String,
}

/// The nodes that run in one world.
struct Running {
    context: DeterministicContext,
    links: Links,
    processes: BTreeMap<u16, Process>,
    /// Second processes of nodes that are two; they end with the world.
    twins: Vec<Process>,
}

/// One world: until all nodes lose power, or the plan is done.
async fn segment(context: DeterministicContext, mut estate: Estate) -> (Estate, bool) {
    let links = Links::start(&context, &estate.cables);
    let mut running = Running { context, links, processes: BTreeMap::new(), twins: Vec::new() };
    for index in estate.up.clone() {
        estate.start(&mut running, index);
    }
    if estate.turns.is_empty() {
        estate.turned(0);
    }
    let is_done = loop {
        let now_ms = running.now_ms();
        if estate.meet_faults(&mut running, now_ms).await {
            break false;
        }
        estate.start_joined(&mut running).await;
        if now_ms >= estate.next_look_ms {
            estate.next_look_ms = now_ms + PLACES_MS;
            estate.inspect_places(&running, now_ms, false);
        }
        let is_paying = now_ms < estate.plan.duration_ms;
        let doors = running.doors();
        let witnesses = &estate.witnesses;
        let heard = |chain: ChainId, id: &TransactionId| {
            let witness = witnesses.get(&chain)?.lock();
            witness.outcome(id).map(|(_, outcome)| outcome.is_applied())
        };
        let rate = if is_paying { estate.plan.load.rate_at(now_ms) } else { 0 };
        estate.client.tick(START_MS + now_ms, rate, &doors, &heard);
        estate.governor.tick(now_ms, START_MS + now_ms, &doors, &heard);
        if now_ms >= estate.next_act_ms {
            estate.next_act_ms = now_ms + TICK_MS;
            running.links.act(START_MS + now_ms);
        }
        if !is_paying && estate.is_settled(&running, now_ms) {
            estate.inspect(&running, now_ms);
            break true;
        }
        running.context.sleep_ms(estate.pause_ms(now_ms)).await;
    };
    estate.cables = running.links.cables();
    (estate, is_done)
}

impl Running {
    /// Virtual time since the first world began.
    fn now_ms(&self) -> u64 {
        self.context.now_ms().saturating_sub(START_MS)
    }

    fn doors(&self) -> Doors {
        let mut doors = Doors::new();
        for (index, process) in &self.processes {
            for (chain, part) in &process.parts {
                doors.entry(*chain).or_default().insert(*index, part.submissions.clone());
            }
        }
        doors
    }

    /// The store of each chain of each node.
    fn stores(&self) -> impl Iterator<Item = (u16, ChainId, &dyn Store)> {
        self.processes.iter().flat_map(|(index, process)| {
            process.parts.iter().map(move |(chain, part)| (*index, *chain, part.store.as_ref()))
        })
    }
}

impl Estate {
    fn new(plan: Plan) -> Self {
        let (network, localnet) = Network::new(&plan);
        let planted = Planted::new(&plan, network.genesis);
        let turned = Turned::default();
        let arsenal =
            |bank: &BankSecrets| Some((bank.node.0, Arsenal::new(plan.seed, &network, bank, plan.nodes)?));
        let arsenals = localnet.banks.iter().filter_map(arsenal).collect();
        let is_two = |node: u16| {
            let is_it = |fault: &Fault| matches!(fault, Fault::Turn { node: of, into } if *of == node && into.is_twin());
            plan.faults.iter().any(|(_, fault)| is_it(fault))
        };
        let two = localnet.banks.iter().filter(|bank| is_two(bank.node.0));
        let twins = two.map(|bank| (bank.node.0, Machine::twin(&plan, bank, &planted))).collect();
        let witness = |chain: ChainId| {
            let witness = Shared::default();
            witness.lock().begin(genesis_block_digest(network.genesis, chain));
            (chain, witness)
        };
        let boards = network.all().flat_map(|chain| faults::boards(&plan, &network, chain)).collect();
        let trouble = Trouble::new(plan.nodes, boards, Weather::fair(plan.links));
        Self {
            machines: localnet.banks.iter().map(|bank| Machine::new(&plan, bank, &planted)).collect(),
            up: (0..plan.nodes).collect(),
            cables: Cables::new(Dice::new(plan.seed, PURPOSE_LINKS), plan.links, turned.clone()),
            client: Client::new(plan.seed, plan.load, &network, &localnet),
            governor: Governor::new(&plan, &network, &localnet),
            witnesses: network.all().map(witness).collect(),
            crossing: Crossing::new(&network),
            network,
            planted,
            next_fault: 0,
            arsenals,
            turned,
            twins,
            next_act_ms: 0,
            next_look_ms: 0,
            armed: BTreeMap::new(),
            cuts_while_moving: false,
            hopes: BTreeMap::new(),
            turns: Vec::new(),
            disturbances: Vec::new(),
            lost: BTreeSet::new(),
            healings: BTreeMap::new(),
            trouble,
            conditions: Conditions::default(),
            targets: None,
            report: Report::default(),
            nodes: Vec::new(),
            digest: String::new(),
            plan,
        }
    }

    fn start(&mut self, running: &mut Running, index: u16) {
        let origins = self.origins(running);
        let Some(machine) = self.machines.get_mut(usize::from(index)) else { return };
        let process = machine.start(&Site {
            origins: &origins,
            context: &running.context,
            network: &self.network,
            links: &running.links,
            witnesses: &self.witnesses,
            crossing: &self.crossing,
            planted: &self.planted,
            conditions: &self.conditions,
            plan: &self.plan,
        });
        let Some(process) = process else {
            self.report.starts_refused += 1;
            self.up.remove(&index);
            return;
        };
        let now_ms = running.now_ms();
        for (chain, part) in &process.parts {
            let found = stored_height(part.store.as_ref());
            let joined = Archive::new(part.store.as_ref()).joined_at().ok().flatten();
            self.report.joined.extend(joined.map(|joined| (index, joined.0)));
            let Some(witness) = self.witnesses.get(chain) else { continue };
            let mut witness = witness.lock();
            if now_ms > 0 {
                self.report.restarts.push((index, found.0));
                self.report.top_at_last_restart = witness.top().0;
            }
            witness.started(now_ms, index, found);
        }
        running.processes.insert(index, process);
        self.up.insert(index);
    }

    /// How added chains begin, as far as any running node of chain 0 can prove.
    fn origins(&self, running: &Running) -> BTreeMap<ChainId, ChainOrigin> {
        let mut origins = BTreeMap::new();
        for (_, _, store) in running.stores().filter(|(_, chain, _)| *chain == ROOT_CHAIN) {
            for child in self.network.children.keys().copied() {
                if !origins.contains_key(&child) {
                    let origin = Archive::new(store).origin(child).ok().flatten();
                    origins.extend(origin.map(|origin| (child, origin)));
                }
            }
        }
        origins
    }

    /// Time until something is to be done here.
    fn pause_ms(&self, now_ms: u64) -> u64 {
        let next = self.plan.faults.get(self.next_fault).map_or(u64::MAX, |(at_ms, _)| *at_ms);
        let tick_ms = if self.armed.is_empty() && !self.cuts_while_moving { TICK_MS } else { 1 };
        next.saturating_sub(now_ms).clamp(1, tick_ms)
    }

    // ---- the end -------------------------------------------------------------------------------------------------

    /// Whether clients have their outcomes, receipts have arrived, running nodes have what was final then and nothing costs anything any more,
    /// or time is over.
    fn is_settled(&mut self, running: &Running, now_ms: u64) -> bool {
        let is_over = now_ms >= self.plan.duration_ms + SETTLE_MS_MAX;
        // A receipt that never arrives is waited for until time is over.
        let is_quiet = self.crossing.lock().under_way() == 0;
        let is_told = self.client.open() == 0 || now_ms >= self.plan.duration_ms + SETTLE_MS_MAX / 2;
        if self.targets.is_none() && is_quiet && is_told {
            let tops = self.witnesses.iter().map(|(chain, witness)| (*chain, witness.lock().top()));
            self.targets = Some(tops.collect());
        }
        let Some(targets) = &self.targets else { return is_over };
        is_over
            || self.witnesses.iter().all(|(chain, witness)| {
                let (witness, target) = (witness.lock(), targets.get(chain).copied().unwrap_or_default());
                let has =
                    |index: u16| witness.called_final.get(&index).is_some_and(|height| *height >= target);
                let of_chain = running.stores().filter(|(_, hosted, _)| hosted == chain);
                of_chain.filter(|(index, ..)| !witness.halted.contains(index)).all(|(index, ..)| has(index))
            }) && running.stores().all(|(.., store)| base_fee(store).is_zero())
    }

    /// Looks at everything once more.
    fn inspect(&mut self, running: &Running, now_ms: u64) {
        self.report.virtual_ms = now_ms;
        let first = running.stores().find(|(.., chain, _)| *chain == ChainId(0)).map(|(.., store)| store);
        let epoch = first.and_then(|store| running_epoch(store, stored_height(store)).ok());
        self.report.epoch = epoch.map_or(0, |epoch| epoch.0);
        let mut longest_ms = 0;
        for (chain, witness) in self.witnesses.clone() {
            let mut witness = witness.lock();
            self.report.heights += witness.top().0;
            let stall_ms = self.inspect_chain(running, now_ms, chain, &mut witness);
            longest_ms = longest_ms.max(stall_ms);
        }
        self.report.longest_stall_ms = longest_ms;
        for witness in self.witnesses.values() {
            let witness = witness.lock();
            let highest = witness.heights().map(|seen| seen.base_fee.micro_fen()).max().unwrap_or(0);
            self.report.base_fee_max_micro_fen = self.report.base_fee_max_micro_fen.max(highest);
            self.report.fees += witness.outcomes().map(|(_, (_, outcome))| outcome.fee.fen()).sum::<u64>();
        }
        tally(&mut self.report, &self.turned, running.stores(), &self.witnesses);
        self.crossing.lock().end(&self.turns, now_ms);
        self.inspect_places(running, now_ms, true);
        for machine in &self.machines {
            for chain in machine.hosted.keys() {
                let Some(witness) = self.witnesses.get(chain) else { continue };
                let parts = running.processes.get(&machine.index).map(|process| &process.parts);
                let store = parts.and_then(|parts| parts.get(chain)).map(|part| part.store.as_ref());
                self.nodes.push(node_state(machine.index, *chain, store, &witness.lock()));
            }
        }
        self.digest = digest(self.network.genesis, running.stores());
    }

    /// Where every wallet is, by the node of each chain that is furthest: on one chain, or on its way; at the end, at home.
    fn inspect_places(&mut self, running: &Running, now_ms: u64, is_end: bool) {
        if self.network.children.is_empty() {
            return;
        }
        let mut newest: BTreeMap<ChainId, (Height, &dyn Store)> = BTreeMap::new();
        for (_, chain, store) in running.stores().filter(|(node, chain, _)| !self.is_damaged(*node, *chain)) {
            let height = stored_height(store);
            if newest.get(&chain).is_none_or(|(known, _)| *known < height) {
                newest.insert(chain, (height, store));
            }
        }
        let root = newest.get(&ROOT_CHAIN).copied();
        let registry =
            root.and_then(|(height, store)| Archive::new(store).registry_at(height).ok().flatten());
        let Some(registry) = registry.map(Arc::new) else { return };
        let mut crossing = self.crossing.lock();
        // Only where what is stored is what was told of: after a crash the others may be behind for a moment.
        let stored = |chain: &ChainId| newest.get(chain).map_or(Height(0), |(height, _)| *height);
        let is_level = crossing.heights().all(|(chain, height)| stored(&chain) == height);
        if !is_level && !is_end {
            return;
        }
        let stores = newest.iter().map(|(chain, (_, store))| (*chain, *store));
        let places = places(self.network.genesis, &registry, stores);
        let moving = crossing.moving();
        crossing.note(START_MS + now_ms, properties::in_one_place(&places, &moving));
        self.report.looks += 1;
        let is_grown = self.network.children.keys().all(|child| {
            registry.chain(*child).is_some_and(|record| record.is_home() && !record.is_filling())
        });
        self.report.grown = is_grown;
        if is_end && is_grown {
            let rules = ChainRules::new(self.network.genesis, Arc::clone(&registry), ROOT_CHAIN);
            let home = |id: &WalletId| rules.as_ref().map_or(ROOT_CHAIN, |rules| rules.home(id));
            crossing.note(START_MS + now_ms, properties::at_home(&places, home));
            self.report.wallets_at_children =
                places.values().flatten().filter(|chain| self.network.children.contains_key(*chain)).count()
                    as u64;
        }
    }

    /// Looks at one chain; answers its longest time without a new final height.
    fn inspect_chain(
        &mut self,
        running: &Running,
        now_ms: u64,
        chain: ChainId,
        witness: &mut Witness,
    ) -> u64 {
        let target = self.targets.as_ref().and_then(|targets| targets.get(&chain).copied());
        let target = target.unwrap_or_else(|| witness.top());
        let finals = witness.final_ms.iter().map(|at_ms| at_ms.saturating_sub(START_MS)).collect::<Vec<_>>();
        let hopes = self.hopes.get(&chain).cloned().unwrap_or_default();
        witness.note(START_MS + now_ms, properties::liveness(&hopes, &self.disturbances, &finals, now_ms));
        let healings = self.healings.get(&chain).map_or(&[][..], Vec::as_slice);
        let healing_ms = properties::longest_healing(healings, &self.disturbances, &finals);
        self.report.longest_healing_ms = self.report.longest_healing_ms.max(healing_ms);
        let ids: Vec<TransactionId> = witness.outcomes().map(|(id, _)| *id).collect();
        for (index, _, store) in running.stores().filter(|(_, hosted, _)| *hosted == chain) {
            // What is below a snapshot a node never had.
            let joined = Archive::new(store).joined_at().ok().flatten();
            let has = |height: Height| joined.is_none_or(|joined| height > joined);
            let final_heights =
                || witness.heights().take_while(|seen| seen.height <= target).filter(|seen| has(seen.height));
            if self.is_damaged(index, chain) {
                let served = final_heights()
                    .find_map(|seen| properties::damage_changes_nothing(index, store, seen).err());
                witness.note(START_MS + now_ms, served.map_or(Ok(()), Err));
                continue;
            }
            let lost =
                final_heights().find_map(|seen| properties::nothing_final_is_lost(index, store, seen).err());
            let fees = if joined.is_none() { properties::fees_kept(index, store) } else { Ok(()) };
            witness.note(START_MS + now_ms, fees);
            let unproved = self.check_proofs(index, store, &ids);
            for violation in lost.into_iter().chain(unproved) {
                witness.note(START_MS + now_ms, Err(violation));
            }
        }
        finals.array_windows().map(|[one, next]| next - one).max().unwrap_or(0)
    }

    /// Draws some transactions and receipts and checks what this node can prove of them, with nothing but the genesis spec.
    fn check_proofs(&mut self, node: u16, store: &dyn Store, ids: &[TransactionId]) -> Vec<Violation> {
        let mut dice = Dice::new(self.plan.seed, PURPOSE_SAMPLES);
        let mut violations = Vec::new();
        let certified = certified_height(store);
        for _ in 0..PROOFS_PER_NODE {
            let Some(id) = dice.pick(ids) else { break };
            let Ok(Some(located)) = Archive::new(store).locate(*id) else { continue };
            if located.height > certified {
                continue;
            }
            match outcome_proof(store, self.network.genesis, *id) {
                None => violations.push(properties::claims_verify(node, *id, &"no proof although certified")),
                Some(proof) => match proof.verify(&self.network.spec) {
                    Ok(_) => self.report.proofs += 1,
                    Err(fault) => violations.push(properties::claims_verify(node, *id, &fault)),
                },
            }
        }
        violations
    }

    fn outcome(mut self, trace: String) -> Outcome {
        let told = &self.client.told;
        self.report.signed = told.signed;
        self.report.applied = told.applied;
        self.report.rejected = told.rejected;
        self.report.replays = told.replays;
        self.report.followed = told.followed;
        self.report.governed = self.governor.applied;
        self.report.answers.clone_from(&told.answers);
        self.report.unresolved = self.client.open() as u64;
        self.report.open = self.client.open_ones();
        self.report.fired.clone_from(&self.trouble.fired);
        self.report.frames_delivered = self.cables.carried.delivered;
        self.report.frames_lost = self.cables.carried.lost;
        let crossing = self.crossing.lock();
        self.report.passed = crossing.passed();
        let relative =
            |(at_ms, violation): &(u64, Violation)| (at_ms.saturating_sub(START_MS), violation.clone());
        let mut violations: Vec<(u64, Violation)> = crossing.violations().iter().map(relative).collect();
        for (chain, witness) in &self.witnesses {
            let witness = witness.lock();
            self.report.votes += witness.votes;
            self.report.inputs_max = self.report.inputs_max.max(witness.inputs_max);
            self.report.distrusted.extend(&witness.distrusted);
            self.report.distrust_reasons.extend(&witness.reasons);
            let of_chain = witness.violations().iter().map(relative);
            violations.extend(of_chain.map(|(at_ms, Violation { property, detail })| {
                (at_ms, Violation { property, detail: format!("chain {chain}: {detail}") })
            }));
        }
        violations.sort_by_key(|(at_ms, _)| *at_ms);
        Outcome {
            seed: self.plan.seed,
            digest: self.digest.clone(),
            trace,
            nodes: self.nodes.clone(),
            violations,
            report: self.report.clone(),
        }
    }
}

/// The chains on which each wallet may act or holds money, operators' own left out: those are at home everywhere.
fn places<'a>(
    genesis: GenesisHash,
    registry: &Arc<Registry>,
    stores: impl Iterator<Item = (ChainId, &'a dyn Store)>,
) -> BTreeMap<WalletId, Vec<ChainId>> {
    let mut places: BTreeMap<WalletId, Vec<ChainId>> = BTreeMap::new();
    for (chain, store) in stores {
        let Some(rules) = ChainRules::new(genesis, Arc::clone(registry), chain) else { continue };
        let visited = store.for_each(Table::Records, &mut |_, bytes| {
            if let Ok(Record::Wallet(wallet)) = Record::decode(bytes)
                && !rules.is_operator(&wallet)
            {
                let of_wallet = places.entry(wallet.id).or_default();
                if !matches!(wallet.status, WalletStatus::Moved { .. }) {
                    of_wallet.push(chain);
                }
            }
            ControlFlow::Continue(())
        });
        // A store that cannot be read halts its driver, which says so.
        let _unread = visited.is_err();
    }
    places
}

/// What a unit of weight costs in the next block.
fn base_fee(store: &dyn Store) -> FeeRate {
    Archive::new(store).head().ok().flatten().map_or(FeeRate::ZERO, |head| head.base_fee)
}

fn stored_height(store: &dyn Store) -> Height {
    Archive::new(store).head().ok().flatten().map_or(Height(0), |head| head.height)
}

fn node_state(index: u16, chain: ChainId, store: Option<&dyn Store>, witness: &Witness) -> NodeState {
    let head = store.and_then(|store| Archive::new(store).head().ok().flatten());
    let mut state = String::new();
    for byte in head.as_ref().map(|head| head.state.0).unwrap_or_default() {
        // Writing to a string cannot fail.
        let _infallible = write!(state, "{byte:02x}");
    }
    NodeState {
        index,
        chain: chain.0,
        is_up: store.is_some() && !witness.halted.contains(&index),
        final_height: witness.called_final.get(&index).map_or(0, |height| height.0),
        certified_height: witness.certified.get(&index).map_or(0, |height| height.0),
        base_fee_micro_fen: head.as_ref().map_or(0, |head| head.base_fee.micro_fen()),
        stored_height: head.map_or(0, |head| head.height.0),
        state,
    }
}
