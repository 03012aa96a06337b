//! From a plan to an outcome.
//!
//! A run is a row of worlds: each ends with a power cut of all nodes, or with the plan. What outlives a power cut is the
//! [`Estate`]: disks, journals (the runtime keeps those), cables, clients, and the witness, who is no part of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use chain::Archive;
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::{DeterministicContext, START_MS, World};
use genesis::dev::{LocalnetPlan, localnet};
use ledger::records::block::genesis_block_digest;
use ledger::values::{Hasher, Height, quorum};
use storage::Store;

use crate::client::{Client, Doors};
use crate::dice::Dice;
use crate::digest::digest;
use crate::links::{Cables, Links};
use crate::machine::{CHAIN, Machine, Network, Process};
use crate::outcome::{NodeState, Outcome, Report};
use crate::plan::{Fault, Plan, PowerCut};
use crate::plants::Planted;
use crate::proofs::outcome_proof;
use crate::properties::{self, Violation};
use crate::witness::Shared;

/// Virtual time after the load in which every running node must have what became final, and clients their outcomes.
pub(crate) const SETTLE_MS_MAX: u64 = 20_000;
/// How often clients act.
const TICK_MS: u64 = 10;
/// Chance of each byte of an unsynced journal write to survive a power cut, until the first that does not.
const JOURNAL_KEPT_PERCENT: u8 = 70;
/// Loss above which nobody can hope for progress in time.
const HOPEFUL_LOSS_PER_MILLE: u16 = 100;
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
    witness: Shared,
    planted: Planted,
    next_fault: usize,
    hopes: Vec<u64>,
    disturbances: Vec<u64>,
    loss_per_mille: u16,
    side: BTreeSet<u16>,
    /// Height that every running node must reach before the run ends.
    target: Option<Height>,
    report: Report,
    nodes: Vec<NodeState>,
    digest: String,
}

/// The nodes that run in one world.
struct Running {
    context: DeterministicContext,
    links: Links,
    processes: BTreeMap<u16, Process>,
}

/// One world: until all nodes lose power, or the plan is done.
async fn segment(context: DeterministicContext, mut estate: Estate) -> (Estate, bool) {
    let links = Links::start(&context, &estate.cables);
    let mut running = Running { context, links, processes: BTreeMap::new() };
    for index in estate.up.clone() {
        estate.start(&mut running, index);
    }
    if estate.hopes.is_empty() {
        estate.hopes.push(0);
    }
    let is_done = loop {
        let now_ms = running.now_ms();
        if estate.meet_faults(&mut running, now_ms).await {
            break false;
        }
        let is_paying = now_ms < estate.plan.duration_ms;
        let doors = running.doors();
        let witness = Arc::clone(&estate.witness);
        estate.client.tick(START_MS + now_ms, is_paying, &doors, &witness.lock());
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
        self.processes.iter().map(|(index, process)| (*index, process.submissions.clone())).collect()
    }
}

impl Estate {
    fn new(plan: Plan) -> Self {
        let seed = Hasher::new("jiaozi/bottle-seed").number(plan.seed).finish().0;
        let localnet =
            localnet(&LocalnetPlan::new(usize::from(plan.nodes)), &seed).expect("the plan has four banks");
        let network = Network::new(&localnet);
        let genesis = network.rules.genesis;
        let planted = Planted::new(&plan, genesis);
        let witness = Shared::default();
        witness.lock().begin(genesis_block_digest(genesis, CHAIN));
        Self {
            machines: localnet.banks.iter().map(|bank| Machine::new(&plan, bank, &planted)).collect(),
            up: (0..plan.nodes).collect(),
            cables: Cables::new(Dice::new(plan.seed, PURPOSE_LINKS), plan.links),
            client: Client::new(plan.seed, plan.load, &network, &localnet),
            network,
            witness,
            planted,
            next_fault: 0,
            hopes: Vec::new(),
            disturbances: Vec::new(),
            loss_per_mille: plan.links.loss_per_mille,
            side: BTreeSet::new(),
            target: None,
            report: Report::default(),
            nodes: Vec::new(),
            digest: String::new(),
            plan,
        }
    }

    fn start(&mut self, running: &mut Running, index: u16) {
        let Some(machine) = self.machines.get_mut(usize::from(index)) else { return };
        let process = machine.start(
            &running.context,
            &self.network,
            &running.links,
            &self.witness,
            &self.planted,
            &self.plan,
        );
        let found = stored_height(process.store.as_ref());
        if running.now_ms() > 0 {
            self.report.restarts.push((index, found.0));
            self.report.top_at_last_restart = self.witness.lock().top().0;
        }
        self.witness.lock().started(running.now_ms(), index, found);
        running.processes.insert(index, process);
        self.up.insert(index);
    }

    /// Time until something is to be done here.
    fn pause_ms(&self, now_ms: u64) -> u64 {
        let next = self.plan.faults.get(self.next_fault).map_or(u64::MAX, |(at_ms, _)| *at_ms);
        next.saturating_sub(now_ms).clamp(1, TICK_MS)
    }

    // ---- faults --------------------------------------------------------------------------------------------------

    /// Lets happen what is due. Answers whether all nodes lose power.
    async fn meet_faults(&mut self, running: &mut Running, now_ms: u64) -> bool {
        while let Some((_, fault)) =
            self.plan.faults.get(self.next_fault).filter(|(at_ms, _)| *at_ms <= now_ms)
        {
            let fault = fault.clone();
            self.next_fault += 1;
            self.disturbances.push(now_ms);
            let is_power_cut = fault == Fault::CrashAll;
            self.meet(running, fault).await;
            if self.can_hope() {
                self.hopes.push(now_ms);
            }
            if is_power_cut {
                return true;
            }
        }
        false
    }

    async fn meet(&mut self, running: &mut Running, fault: Fault) {
        match fault {
            Fault::Crash { node } => {
                if let Some(process) = running.processes.remove(&node) {
                    running.links.unplug(node);
                    process.kill().await;
                    self.up.remove(&node);
                    self.crash_disk(node);
                }
            }
            Fault::Restart { node } => {
                if !running.processes.contains_key(&node) {
                    self.start(running, node);
                }
            }
            Fault::CrashAll => {}
            Fault::Partition { side } => {
                running.links.part(&side);
                self.side = side.into_iter().collect();
            }
            Fault::Heal => {
                running.links.heal();
                self.planted.stop_lying();
                self.side.clear();
                self.loss_per_mille = self.plan.links.loss_per_mille;
            }
            Fault::Loss { per_mille } => {
                running.links.lose(per_mille);
                self.loss_per_mille = per_mille;
            }
            Fault::Lie { node, to } => self.planted.lie(node, to),
        }
    }

    /// Whether a quorum runs, on one side, over links that carry enough.
    fn can_hope(&self) -> bool {
        let inside = self.up.intersection(&self.side).count();
        let largest = inside.max(self.up.len() - inside);
        largest >= quorum(usize::from(self.plan.nodes)) && self.loss_per_mille <= HOPEFUL_LOSS_PER_MILLE
    }

    /// All processes are gone; disks lose what they lose.
    fn lose_power(&mut self) {
        for index in self.up.clone() {
            self.crash_disk(index);
        }
        self.client.disconnected();
    }

    fn crash_disk(&mut self, index: u16) {
        if let Some(machine) = self.machines.get(usize::from(index)) {
            self.report.writes_lost += machine.disk.crash().lost as u64;
        }
    }

    // ---- the end -------------------------------------------------------------------------------------------------

    /// Whether clients have their outcomes and running nodes have what was final then, or time is over.
    fn is_settled(&mut self, running: &Running, now_ms: u64) -> bool {
        let is_over = now_ms >= self.plan.duration_ms + SETTLE_MS_MAX;
        let witness = self.witness.lock();
        if self.target.is_none()
            && (self.client.open() == 0 || now_ms >= self.plan.duration_ms + SETTLE_MS_MAX / 2)
        {
            self.target = Some(witness.top());
        }
        let Some(target) = self.target else { return is_over };
        let has = |index: &u16| witness.called_final.get(index).is_some_and(|height| *height >= target);
        let waits_for = |index: &&u16| !witness.halted.contains(*index);
        is_over || running.processes.keys().filter(waits_for).all(has)
    }

    /// Looks at everything once more.
    fn inspect(&mut self, running: &Running, now_ms: u64) {
        self.report.virtual_ms = now_ms;
        let witness = Arc::clone(&self.witness);
        let mut witness = witness.lock();
        let target = self.target.unwrap_or_else(|| witness.top());
        let finals = witness.final_ms.iter().map(|at_ms| at_ms.saturating_sub(START_MS)).collect::<Vec<_>>();
        let liveness = properties::liveness(&self.hopes, &self.disturbances, &finals, now_ms);
        witness.note(START_MS + now_ms, liveness);
        self.report.longest_stall_ms =
            finals.array_windows().map(|[one, next]| next - one).max().unwrap_or(0);
        let mut verdicts = Vec::new();
        for (index, process) in &running.processes {
            let store = process.store.as_ref();
            let lost = witness
                .heights()
                .take_while(|seen| seen.height <= target)
                .find_map(|seen| properties::nothing_final_is_lost(*index, store, seen).err());
            verdicts.extend(lost);
            verdicts.extend(self.check_proofs(
                *index,
                store,
                &witness.outcomes().map(|(id, _)| *id).collect::<Vec<_>>(),
            ));
        }
        for violation in verdicts {
            witness.note(START_MS + now_ms, Err(violation));
        }
        for machine in &self.machines {
            let store = running.processes.get(&machine.index).map(|process| process.store.as_ref());
            self.nodes.push(node_state(machine.index, store, &witness));
        }
        let stores = running.processes.iter().map(|(index, process)| (*index, process.store.as_ref()));
        self.digest = digest(self.network.rules.genesis, stores);
    }

    /// Draws some transactions and checks what this node can prove of them, with nothing but the genesis spec.
    fn check_proofs(
        &mut self,
        node: u16,
        store: &dyn Store,
        ids: &[ledger::values::TransactionId],
    ) -> Vec<Violation> {
        let mut dice = Dice::new(self.plan.seed, PURPOSE_SAMPLES);
        let mut violations = Vec::new();
        let certified = certified_height(store);
        for _ in 0..PROOFS_PER_NODE {
            let Some(id) = dice.pick(ids) else { break };
            let Ok(Some(located)) = Archive::new(store).locate(*id) else { continue };
            if located.height > certified {
                continue;
            }
            match outcome_proof(store, self.network.rules.genesis, *id) {
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
        let witness = self.witness.lock();
        let told = &self.client.told;
        self.report.signed = told.signed;
        self.report.applied = told.applied;
        self.report.rejected = told.rejected;
        self.report.replays = told.replays;
        self.report.answers.clone_from(&told.answers);
        self.report.unresolved = self.client.open() as u64;
        self.report.votes = witness.votes;
        self.report.inputs_max = witness.inputs_max;
        self.report.frames_delivered = self.cables.carried.delivered;
        self.report.frames_lost = self.cables.carried.lost;
        self.report.distrusted.clone_from(&witness.distrusted);
        self.report.distrust_reasons.clone_from(&witness.reasons);
        let relative =
            |(at_ms, violation): &(u64, Violation)| (at_ms.saturating_sub(START_MS), violation.clone());
        Outcome {
            seed: self.plan.seed,
            digest: self.digest.clone(),
            trace,
            nodes: self.nodes.clone(),
            violations: witness.violations().iter().map(relative).collect(),
            report: self.report.clone(),
        }
    }
}

fn stored_height(store: &dyn Store) -> Height {
    Archive::new(store).head().ok().flatten().map_or(Height(0), |head| head.height)
}

/// The height that the highest stored block with a certificate claims.
fn certified_height(store: &dyn Store) -> Height {
    let archive = Archive::new(store);
    let mut height = stored_height(store);
    while height.0 > 0 {
        if let (Ok(Some(_)), Ok(Some(block))) = (archive.certificate(height), archive.block_at(height)) {
            return block.header.claim.height;
        }
        height = Height(height.0 - 1);
    }
    Height(0)
}

fn node_state(index: u16, store: Option<&dyn Store>, witness: &crate::witness::Witness) -> NodeState {
    let head = store.and_then(|store| Archive::new(store).head().ok().flatten());
    let mut state = String::new();
    for byte in head.as_ref().map(|head| head.state.0).unwrap_or_default() {
        // Writing to a string cannot fail.
        let _infallible = write!(state, "{byte:02x}");
    }
    NodeState {
        index,
        is_up: store.is_some() && !witness.halted.contains(&index),
        final_height: witness.called_final.get(&index).map_or(0, |height| height.0),
        certified_height: witness.certified.get(&index).map_or(0, |height| height.0),
        stored_height: head.map_or(0, |head| head.height.0),
        state,
    }
}
