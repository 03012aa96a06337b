//! What is wrong now: which nodes each kind of fault has hold of, and whether a quorum is left.
//!
//! A node *works* while nothing has hold of it that keeps it from voting. A chain can hope while a quorum of its validators works on
//! one side, over links that carry enough; then [`crate::properties::liveness`] demands progress. Where a fault's strength
//! decides, the constants here do, on the careful side: less is demanded, never more.

use std::collections::{BTreeMap, BTreeSet};

use ledger::values::quorum;

use crate::adversaries::Adversary;
use crate::kinds::{FaultKind, Fired, FiredKinds};
use crate::links::Weather;
use crate::plan::Fault;

/// Loss above which nobody can hope for progress in time.
const HOPEFUL_LOSS_PER_MILLE: u16 = 100;
/// Delay of frames above which nobody can.
const HOPEFUL_REORDER_MS: u64 = 150;
/// A node whose line carries less does not work.
const WORKING_KIB_PER_SECOND: u32 = 256;
/// A node whose syncs take longer does not work.
const WORKING_SYNC_MS: u64 = 100;
/// A node whose clock is further off does not work: half of what voters allow a leader.
const WORKING_CLOCK_MS: u64 = 250;

/// What is wrong now.
pub(crate) struct Trouble {
    nodes: u16,
    /// The nodes of the validators of each chain, as they are at some time.
    boards: Vec<Vec<u16>>,
    held: BTreeMap<FaultKind, BTreeSet<u16>>,
    /// Nodes that something keeps from voting, by what.
    broken: BTreeMap<FaultKind, BTreeSet<u16>>,
    /// Nodes that forged: whoever noticed blocks them for [`consensus::BLOCK_MS`], longer than a plan lasts.
    blocked: BTreeSet<u16>,
    pub(crate) weather: Weather,
    pub(crate) fired: FiredKinds,
}

impl Trouble {
    pub(crate) const fn new(nodes: u16, boards: Vec<Vec<u16>>, weather: Weather) -> Self {
        let held = BTreeMap::new();
        let broken = BTreeMap::new();
        Self { nodes, boards, held, broken, blocked: BTreeSet::new(), weather, fired: BTreeMap::new() }
    }

    /// Something happened, or was mended.
    pub(crate) fn meet(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash { node } => {
                self.release(FaultKind::Stop, *node);
                self.seize(FaultKind::Crash, *node, true);
            }
            Fault::Restart { node } => self.release(FaultKind::Crash, *node),
            Fault::CrashAll => {
                (0..self.nodes).for_each(|node| self.release(FaultKind::Stop, node));
                self.pass(FaultKind::PowerCut, 0..self.nodes);
            }
            Fault::Stop { node } => self.seize(FaultKind::Stop, *node, true),
            Fault::GoOn { node } => self.release(FaultKind::Stop, *node),
            Fault::Clock { node, ahead_ms } => {
                self.turn(FaultKind::WrongClock, *node, ahead_ms.unsigned_abs(), WORKING_CLOCK_MS);
            }
            Fault::DiskSlows { node, sync_ms } => {
                self.turn(FaultKind::SlowDisk, *node, *sync_ms, WORKING_SYNC_MS);
            }
            Fault::DiskFills { node, .. } => self.seize(FaultKind::FullDisk, *node, true),
            Fault::DiskHasRoom { node } => self.release(FaultKind::FullDisk, *node),
            Fault::BitFlip { node, .. } => self.seize(FaultKind::BitFlip, *node, true),
            Fault::Repair { node } => self.release(FaultKind::BitFlip, *node),
            Fault::Partition { side } => {
                self.weather.side = side.iter().copied().collect();
                self.split(FaultKind::Partition, side);
            }
            Fault::Mute { side } => {
                self.weather.mute = side.iter().copied().collect();
                self.split(FaultKind::OneWayPartition, side);
            }
            Fault::Loss { per_mille } => {
                self.weather.loss_per_mille = *per_mille;
                self.pass(FaultKind::Loss, 0..self.nodes);
            }
            Fault::Reorder { up_to_ms } => {
                self.weather.reorder_ms = *up_to_ms;
                self.pass(FaultKind::Reorder, 0..self.nodes);
            }
            Fault::Duplicate { per_mille } => {
                self.weather.duplicate_per_mille = *per_mille;
                self.pass(FaultKind::Duplicate, 0..self.nodes);
            }
            Fault::Narrow { node, kib_per_second } => {
                self.weather.narrow.insert(*node, *kib_per_second);
                self.seize(FaultKind::Narrow, *node, *kib_per_second < WORKING_KIB_PER_SECOND);
            }
            Fault::Turn { into: Adversary::Liar { to }, .. } => {
                to.iter().for_each(|node| self.seize(FaultKind::Lie, *node, false));
            }
            Fault::Turn { node: forger, into: Adversary::Forger } => {
                self.blocked.insert(*forger);
                self.pass(FaultKind::Forge, (0..self.nodes).filter(|node| node != forger));
            }
            Fault::Heal => {
                self.weather.heal();
                for kind in [FaultKind::Narrow, FaultKind::Lie] {
                    self.held.remove(&kind);
                    self.broken.remove(&kind);
                }
            }
            Fault::Turn { .. }
            | Fault::Wipe { .. }
            | Fault::CrashAfterSending { .. }
            | Fault::PowerCutWhileMoving => {}
        }
    }

    /// Whether nothing keeps a node from voting, and others listen to it.
    pub(crate) fn works(&self, node: u16) -> bool {
        !self.blocked.contains(&node) && !self.broken.values().any(|nodes| nodes.contains(&node))
    }

    /// Whether frames arrive, and in time.
    pub(crate) const fn is_hopeful(&self) -> bool {
        self.weather.loss_per_mille <= HOPEFUL_LOSS_PER_MILLE && self.weather.reorder_ms <= HOPEFUL_REORDER_MS
    }

    /// A fault that is over at once, or that the weather keeps, met these nodes together.
    pub(crate) fn pass(&mut self, kind: FaultKind, nodes: impl Iterator<Item = u16>) {
        let met: BTreeSet<u16> = nodes.collect();
        let hit = self.hits_quorum(&met);
        let fired = self.fired.entry(kind).or_default();
        fired.times += 1;
        fired.hit_quorum |= hit;
    }

    /// A fault takes hold of a node.
    fn seize(&mut self, kind: FaultKind, node: u16, breaks: bool) {
        self.held.entry(kind).or_default().insert(node);
        if breaks {
            self.broken.entry(kind).or_default().insert(node);
        }
        let hit = self.held.get(&kind).is_some_and(|held| self.hits_quorum(held));
        let Fired { times, hit_quorum } = self.fired.entry(kind).or_default();
        *times += 1;
        *hit_quorum |= hit;
    }

    fn release(&mut self, kind: FaultKind, node: u16) {
        for nodes in [&mut self.held, &mut self.broken] {
            if let Some(of_kind) = nodes.get_mut(&kind) {
                of_kind.remove(&node);
            }
        }
    }

    /// A fault of some strength; none at 0.
    fn turn(&mut self, kind: FaultKind, node: u16, strength: u64, working: u64) {
        self.release(kind, node);
        if strength > 0 {
            self.seize(kind, node, strength > working);
        }
    }

    fn split(&mut self, kind: FaultKind, side: &[u16]) {
        let has_quorum = |board: &Vec<u16>| {
            let inside = board.iter().filter(|node| side.contains(node)).count();
            inside.max(board.len() - inside) >= quorum(board.len())
        };
        let hit = !self.boards.iter().all(has_quorum);
        let fired = self.fired.entry(kind).or_default();
        fired.times += 1;
        fired.hit_quorum |= hit;
    }

    /// Whether some chain has no quorum without these nodes.
    fn hits_quorum(&self, nodes: &BTreeSet<u16>) -> bool {
        let is_hit = |board: &Vec<u16>| {
            board.iter().filter(|node| !nodes.contains(node)).count() < quorum(board.len())
        };
        self.boards.iter().any(is_hit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LinkModel;

    fn trouble() -> Trouble {
        let model = LinkModel { delay_ms: 5, jitter_ms: 0, loss_per_mille: 0 };
        Trouble::new(4, vec![(0..4).collect()], Weather::fair(model))
    }

    #[test]
    fn a_quorum_is_hit_when_two_of_four_are_held_at_once() {
        let mut trouble = trouble();
        trouble.meet(&Fault::Stop { node: 0 });
        trouble.meet(&Fault::GoOn { node: 0 });
        trouble.meet(&Fault::Stop { node: 1 });
        assert_eq!(trouble.fired[&FaultKind::Stop], Fired { times: 2, hit_quorum: false });
        assert!(trouble.works(0) && !trouble.works(1));
        trouble.meet(&Fault::Stop { node: 2 });
        assert_eq!(trouble.fired[&FaultKind::Stop], Fired { times: 3, hit_quorum: true });
    }

    #[test]
    fn a_side_of_one_leaves_a_quorum_and_a_side_of_two_none() {
        let mut trouble = trouble();
        trouble.meet(&Fault::Partition { side: vec![3] });
        assert!(!trouble.fired[&FaultKind::Partition].hit_quorum);
        trouble.meet(&Fault::Mute { side: vec![0, 1] });
        assert!(trouble.fired[&FaultKind::OneWayPartition].hit_quorum);
        trouble.meet(&Fault::Heal);
        assert!(trouble.weather.side.is_empty() && trouble.weather.mute.is_empty());
    }

    #[test]
    fn a_node_that_forged_is_not_listened_to_after_it_has_stopped() {
        let mut trouble = trouble();
        trouble.meet(&Fault::Turn { node: 3, into: Adversary::Forger });
        trouble.meet(&Fault::Heal);
        assert!(!trouble.works(3) && trouble.works(2));
    }

    #[test]
    fn a_clock_that_is_set_right_and_a_fast_disk_hold_nobody() {
        let mut trouble = trouble();
        trouble.meet(&Fault::Clock { node: 2, ahead_ms: -60_000 });
        trouble.meet(&Fault::DiskSlows { node: 3, sync_ms: 20 });
        assert!(!trouble.works(2) && trouble.works(3), "a little slower is no reason not to vote");
        trouble.meet(&Fault::Clock { node: 2, ahead_ms: 0 });
        assert!(trouble.works(2));
        assert_eq!(trouble.fired[&FaultKind::WrongClock].times, 1, "a mend is no fault");
    }
}
