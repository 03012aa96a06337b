//! What goes wrong in a world, and what is mended.

use std::collections::BTreeSet;

use consensus::runtime::Runtime as _;
use ledger::records::registry::ROOT_CHAIN;
use ledger::values::{ChainId, Height, quorum};

use super::{Estate, Running};
use crate::adversaries::Adversary;
use crate::between::Crossing;
use crate::kinds::FaultKind;
use crate::machine::{Network, Process, Site};
use crate::plan::{Fault, Plan, PowerCut, SetChange};
use crate::witness::Shared;

impl Estate {
    /// Lets happen what is due. Answers whether all nodes lose power.
    pub(super) async fn meet_faults(&mut self, running: &mut Running, now_ms: u64) -> bool {
        while let Some((_, fault)) =
            self.plan.faults.get(self.next_fault).filter(|(at_ms, _)| *at_ms <= now_ms)
        {
            let fault = fault.clone();
            self.next_fault += 1;
            self.disturbances.push(now_ms);
            let is_power_cut = fault == Fault::CrashAll;
            self.meet(running, fault).await;
            self.turned(now_ms);
            if is_power_cut {
                return true;
            }
        }
        self.meet_receipts(running, now_ms).await;
        let moving = if self.cuts_while_moving { self.crossing.lock().moving().len() } else { 0 };
        if moving > 0 {
            self.cuts_while_moving = false;
            self.report.moving_at_power_cut = moving as u64;
            self.trouble.meet(&Fault::CrashAll);
            self.disturbances.push(now_ms);
            self.turned(now_ms);
        }
        moving > 0
    }

    /// Ends the nodes that have just sent what they were waited for.
    async fn meet_receipts(&mut self, running: &mut Running, now_ms: u64) {
        for (node, before) in self.armed.clone() {
            let has_sent = |process: &Process| process.receipts_sent() > before;
            if running.processes.get(&node).is_some_and(has_sent) {
                self.armed.remove(&node);
                self.disturbances.push(now_ms);
                self.meet(running, Fault::Crash { node }).await;
                self.report.crashed_after_sending_ms.push(now_ms);
                self.turned(now_ms);
            }
        }
    }

    /// Something went wrong or was mended.
    pub(super) fn turned(&mut self, now_ms: u64) {
        let hopeful: Vec<ChainId> =
            self.network.chains.keys().copied().filter(|chain| self.can_hope(*chain)).collect();
        // What is for a child waits until a quorum has begun it.
        let mut children = self.network.children.keys();
        let is_calm = hopeful.len() == self.network.chains.len()
            && self.can_relay()
            && children.all(|child| self.can_hope(*child));
        self.turns.push((now_ms, is_calm));
        for chain in self.network.chains.keys().filter(|chain| !hopeful.contains(chain)) {
            self.lost.insert(*chain);
        }
        for chain in hopeful {
            self.hopes.entry(chain).or_default().push(now_ms);
            if self.lost.remove(&chain) {
                self.healings.entry(chain).or_default().push(now_ms);
            }
        }
    }

    async fn meet(&mut self, running: &mut Running, fault: Fault) {
        let now_ms = running.context.now_ms();
        let runs = |node: &u16| running.processes.contains_key(node);
        // What does not apply does not count.
        let is_met = match &fault {
            Fault::Crash { node } => runs(node),
            Fault::Stop { node } => runs(node) && !self.conditions.of(*node).is_stopped,
            Fault::GoOn { node } => self.conditions.of(*node).is_stopped,
            Fault::Restart { node }
            | Fault::Wipe { node }
            | Fault::BitFlip { node, .. }
            | Fault::Repair { node } => !runs(node),
            _ => true,
        };
        if !is_met {
            return;
        }
        self.trouble.meet(&fault);
        running.links.set_weather(&self.trouble.weather);
        match fault {
            Fault::Crash { node } => {
                if let Some(process) = running.processes.remove(&node) {
                    running.links.unplug(node);
                    self.conditions.set(node, |condition| condition.is_stopped = false);
                    process.kill().await;
                    self.up.remove(&node);
                    self.crash_disks([node]);
                }
            }
            Fault::Restart { node } => self.start(running, node),
            Fault::Wipe { node } => self.wipe(node),
            Fault::CrashAfterSending { node } => {
                let sent = running.processes.get(&node).map_or(0, Process::receipts_sent);
                self.armed.insert(node, sent);
            }
            Fault::PowerCutWhileMoving => self.cuts_while_moving = true,
            Fault::Stop { node } => {
                self.conditions.set(node, |condition| condition.is_stopped = true);
                running.links.stop(node);
            }
            Fault::GoOn { node } => {
                self.conditions.set(node, |condition| condition.is_stopped = false);
                running.links.go_on(now_ms, node);
            }
            Fault::Clock { node, ahead_ms } => {
                self.conditions.set(node, |condition| condition.wall_ahead_ms = ahead_ms);
            }
            Fault::DiskSlows { node, sync_ms } => {
                self.conditions.set(node, |condition| condition.sync_ms = sync_ms);
            }
            Fault::DiskFills { node, left_kib } => self.limit_disks(node, Some(left_kib * 1_024)),
            Fault::DiskHasRoom { node } => self.limit_disks(node, None),
            Fault::BitFlip { node, number } => {
                let chain = self.machines.get(usize::from(node)).and_then(|machine| machine.flip_bit(number));
                if let Some(witness) = chain.and_then(|chain| self.witnesses.get(&chain)) {
                    witness.lock().damaged.insert(node);
                }
            }
            Fault::Repair { node } => self.repair(node),
            Fault::Turn { node, into } => self.turn(running, node, &into),
            Fault::Heal => self.turned.stop(),
            Fault::CrashAll
            | Fault::Partition { .. }
            | Fault::Mute { .. }
            | Fault::Loss { .. }
            | Fault::Reorder { .. }
            | Fault::Duplicate { .. }
            | Fault::Narrow { .. } => {}
        }
    }

    /// From now on, a node does what an adversary does. What its second machine says is no witness's business.
    fn turn(&mut self, running: &mut Running, node: u16, into: &Adversary) {
        let Some(arsenal) = self.arsenals.get(&node).cloned() else { return };
        self.turned.turn(node, into, arsenal);
        let origins = self.origins(running);
        let Some(twin) = self.twins.get_mut(&node).filter(|_| into.is_twin()) else { return };
        let unheard = self.witnesses.keys().map(|chain| (*chain, Shared::default())).collect();
        running.twins.extend(twin.start(&Site {
            origins: &origins,
            context: &running.context.scope("twin", "index", node),
            network: &self.network,
            links: &running.links.of_twin(),
            witnesses: &unheard,
            crossing: &Crossing::new(&self.network),
            planted: &self.planted,
            plan: &self.plan,
            conditions: &self.conditions,
        }));
    }

    /// A node loses all that it had; what it called final it may fetch again.
    fn wipe(&mut self, node: u16) {
        let Some(machine) = self.machines.get_mut(usize::from(node)) else { return };
        machine.wipe(&self.plan, &self.planted);
        for chain in machine.hosted.keys() {
            if let Some(witness) = self.witnesses.get(chain) {
                witness.lock().takes_back(node, Height(0));
            }
        }
    }

    /// Starts nodes anew that have fetched a snapshot, as production does; here with a loss of power, which is harsher.
    pub(super) async fn start_joined(&mut self, running: &mut Running) {
        let joined: BTreeSet<u16> =
            self.witnesses.values().flat_map(|witness| std::mem::take(&mut witness.lock().joined)).collect();
        for node in joined {
            let Some(process) = running.processes.remove(&node) else { continue };
            running.links.unplug(node);
            process.kill().await;
            self.crash_disks([node]);
            self.start(running, node);
        }
    }

    fn limit_disks(&self, node: u16, free_bytes: Option<u64>) {
        for hosted in
            self.machines.get(usize::from(node)).into_iter().flat_map(|machine| machine.hosted.values())
        {
            hosted.disk.limit_free_bytes(free_bytes);
        }
    }

    fn repair(&self, node: u16) {
        for (chain, hosted) in
            self.machines.get(usize::from(node)).into_iter().flat_map(|machine| &machine.hosted)
        {
            hosted.disk.repair();
            if let Some(witness) = self.witnesses.get(chain) {
                witness.lock().damaged.remove(&node);
            }
        }
    }

    /// Whether a quorum of a chain works, on one side, over links that carry enough.
    fn can_hope(&self, chain: ChainId) -> bool {
        self.up.iter().any(|node| self.reaches(*node, chain)) && self.trouble.is_hopeful()
    }

    /// Whether a quorum of a chain works on the side of a node that hosts it and works.
    fn reaches(&self, node: u16, chain: ChainId) -> bool {
        let works = |host: &u16| {
            let machine = self.machines.get(usize::from(*host));
            self.up.contains(host)
                && self.trouble.works(*host)
                && machine.is_some_and(|machine| machine.has_begun(chain))
        };
        let is_near = |host: &&u16| works(host) && self.trouble.weather.are_together(**host, node);
        let boards = boards(&self.plan, &self.network, chain);
        let is_board_near = |board: &Vec<u16>| board.iter().filter(is_near).count() >= quorum(board.len());
        let is_seated = self.network.seats(chain).is_some_and(|seats| seats.contains(&node));
        is_seated && works(&node) && boards.iter().all(is_board_near)
    }

    /// Whether, for any two chains between which money passes, a node runs that hosts both and reaches a quorum of each.
    fn can_relay(&self) -> bool {
        let pairs = self.network.pairs();
        pairs.iter().all(|(one, other)| {
            self.up.iter().any(|node| self.reaches(*node, *one) && self.reaches(*node, *other))
        })
    }

    /// All processes are gone; disks lose what they lose.
    pub(super) fn lose_power(&mut self) {
        let under_way = self.crossing.lock().under_way();
        self.report.under_way_at_power_cuts.push(under_way);
        if self.plan.power_cut == PowerCut::Drawn {
            self.trouble.pass(FaultKind::TornWrite, self.up.iter().copied());
        }
        for node in 0..self.plan.nodes {
            self.conditions.set(node, |condition| condition.is_stopped = false);
        }
        self.crash_disks(self.up.clone());
        self.client.disconnected();
    }

    fn crash_disks(&mut self, nodes: impl IntoIterator<Item = u16>) {
        let mut losers = BTreeSet::new();
        for machine in nodes.into_iter().filter_map(|node| self.machines.get(usize::from(node))) {
            let lost: usize = machine.hosted.values().map(|hosted| hosted.disk.crash().lost).sum();
            self.report.writes_lost += lost as u64;
            losers.extend((lost > 0).then_some(machine.index));
        }
        if !losers.is_empty() {
            self.trouble.pass(FaultKind::LostWrite, losers.into_iter());
        }
    }

    /// Whether a bit has changed on the disk of a node's chain.
    pub(super) fn is_damaged(&self, node: u16, chain: ChainId) -> bool {
        self.machines.get(usize::from(node)).is_some_and(|machine| machine.is_damaged(chain))
    }
}

/// The nodes of a chain's first validators, and of those that the plan's changes lead to: who lets one join lets it join any time.
pub(super) fn boards(plan: &Plan, network: &Network, chain: ChainId) -> Vec<Vec<u16>> {
    let Some(seats) = network.seats(chain) else { return Vec::new() };
    let mut grown = seats.to_vec();
    if chain == ROOT_CHAIN {
        grown.extend(plan.changes.iter().filter_map(|(_, change)| match change {
            SetChange::Join { node } => Some(*node),
            SetChange::Rotate { .. } | SetChange::AddChains | SetChange::Reshard => None,
        }));
    }
    if grown.len() == seats.len() { vec![grown] } else { vec![seats.to_vec(), grown] }
}
