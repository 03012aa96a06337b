//! What nodes of other chains say they have received: hints, believed as far as an honest one stands behind them.
//!
//! - Only nodes that run a validator of the destination are heard, one number each, so what is kept is bounded by the registry.
//! - Of `n` seats at most `f` lie. The `f + 1`-th highest number is therefore at most what some honest node has executed, and it rises as soon
//!   as more than `f` of the honest ones have executed more: whoever lies can neither hide receipts as received nor hold the relay back.
//! - A wrong number costs a bundle that is sent once more, or later: never money.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chain::Reached;
use ledger::records::{EpochRecord, Registry};
use ledger::rules::ChainRules;
use ledger::values::{ChainId, Epoch, NodeIndex, faults_max};
use tokio::sync::watch;

/// The seats of each chain, by the node that runs them.
#[derive(Debug, Clone)]
pub(super) struct Seats(BTreeMap<ChainId, Vec<NodeIndex>>);

impl Seats {
    /// Those of every chain's newest epoch that one of these registries knows; none of a chain that one of them says was removed.
    pub(super) fn of(registries: &[Arc<Registry>]) -> Self {
        let records = || registries.iter().flat_map(|registry| &registry.chains);
        let removed: BTreeSet<ChainId> =
            records().filter(|record| record.is_removed()).map(|record| record.chain).collect();
        let mut newest: BTreeMap<ChainId, &EpochRecord> = BTreeMap::new();
        for record in records().filter(|record| !removed.contains(&record.chain)) {
            if let Some(set) = record.epochs.last() {
                let known = newest.entry(record.chain).or_insert(set);
                if known.epoch < set.epoch {
                    *known = set;
                }
            }
        }
        let nodes =
            |set: &EpochRecord| -> Vec<NodeIndex> { set.validators.iter().map(|seat| seat.node).collect() };
        Self(newest.into_iter().map(|(chain, set)| (chain, nodes(set))).collect())
    }

    /// As the registries of these chains have them now.
    pub(super) fn now(rules: &[watch::Receiver<ChainRules>]) -> Self {
        let registries: Vec<Arc<Registry>> =
            rules.iter().map(|rules| Arc::clone(&rules.borrow().registry)).collect();
        Self::of(&registries)
    }

    pub(super) fn chains(&self) -> impl Iterator<Item = ChainId> + '_ {
        self.0.keys().copied()
    }

    pub(super) fn seats(&self, chain: ChainId) -> &[NodeIndex] {
        self.0.get(&chain).map_or(&[], Vec::as_slice)
    }

    /// The nodes that run a validator of a chain, each once.
    pub(super) fn nodes(&self, chain: ChainId) -> BTreeSet<NodeIndex> {
        self.seats(chain).iter().copied().collect()
    }

    pub(super) fn faults_max(&self, chain: ChainId) -> usize {
        faults_max(self.seats(chain).len())
    }
}

/// Says who has the seats, whenever a registry changes, until a chain ends or the node stops.
pub(super) async fn follow(
    mut rules: Vec<watch::Receiver<ChainRules>>,
    seats: watch::Sender<Arc<Seats>>,
    mut stopped: watch::Receiver<bool>,
) {
    while !rules.is_empty() {
        rules.iter_mut().for_each(watch::Receiver::mark_unchanged);
        seats.send_replace(Arc::new(Seats::now(&rules)));
        let changes = rules.iter_mut().map(|rules| Box::pin(rules.changed()));
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            (changed, ..) = futures::future::select_all(changes) => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// What was heard, for every source that this node hosts.
#[derive(Debug, Default)]
pub(super) struct Hints(BTreeMap<(ChainId, ChainId), BTreeMap<NodeIndex, Reached>>);

impl Hints {
    /// A node of `destination` says how far it has come with `source`.
    pub(super) fn heard(
        &mut self,
        seats: &Seats,
        pair: (ChainId, ChainId),
        from: NodeIndex,
        reached: Reached,
    ) {
        if seats.seats(pair.1).contains(&from) {
            self.0.entry(pair).or_default().insert(from, reached);
        }
    }

    /// How far some honest node has come at least, in either number; `None` until enough were heard.
    pub(super) fn reached(&self, seats: &Seats, pair: (ChainId, ChainId)) -> Option<Reached> {
        let heard = self.0.get(&pair)?;
        let heard: Vec<Reached> =
            seats.seats(pair.1).iter().filter_map(|node| heard.get(node).copied()).collect();
        let believed = |number: fn(&Reached) -> u64| {
            let mut numbers: Vec<u64> = heard.iter().map(number).collect();
            numbers.sort_unstable_by(|one, other| other.cmp(one));
            numbers.get(seats.faults_max(pair.1)).copied()
        };
        let (count, epoch) = (believed(|reached| reached.count)?, believed(|reached| reached.epoch.0)?);
        Some(Reached { count, epoch: Epoch(epoch) })
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::Currency;

    use super::*;

    /// A node that knows an epoch for each receipt.
    fn so_far(count: u64) -> Reached {
        Reached { count, epoch: Epoch(count) }
    }

    #[test]
    fn a_liar_neither_hides_what_waits_nor_holds_it_back() {
        let mut plan = LocalnetPlan::new(4);
        plan.chains.push((Currency(*b"CNY"), 1));
        let registry = Registry::from_genesis(&localnet(&plan, &[1; 32]).unwrap().spec);
        let seats = Seats::of(&[Arc::new(registry)]);
        let pair = (ChainId(0), ChainId(1));
        let mut hints = Hints::default();
        assert_eq!(hints.reached(&seats, pair), None);
        hints.heard(&seats, pair, NodeIndex(3), so_far(1_000_000));
        assert_eq!(hints.reached(&seats, pair), None, "one of four may lie");
        hints.heard(&seats, pair, NodeIndex(9), so_far(1_000_000));
        hints.heard(&seats, (ChainId(0), ChainId(7)), NodeIndex(1), so_far(5));
        assert_eq!(hints.reached(&seats, pair), None, "it has no seat there");
        assert_eq!(hints.0.len(), 1, "nothing is kept of a chain that does not exist");
        hints.heard(&seats, pair, NodeIndex(0), so_far(10));
        hints.heard(&seats, pair, NodeIndex(1), so_far(12));
        assert_eq!(hints.reached(&seats, pair), Some(so_far(12)));
        hints.heard(&seats, pair, NodeIndex(3), so_far(0));
        assert_eq!(hints.reached(&seats, pair), Some(so_far(10)), "some honest node has so many");
        hints.heard(&seats, pair, NodeIndex(0), so_far(13));
        assert_eq!(hints.reached(&seats, pair), Some(so_far(12)));
        assert_eq!(seats.nodes(ChainId(1)).len(), 4);
    }

    #[test]
    fn seats_are_those_of_the_newest_epoch_that_a_registry_knows() {
        let mut plan = LocalnetPlan::new(5);
        plan.chains.push((Currency(*b"CNY"), 1));
        let first = Registry::from_genesis(&localnet(&plan, &[1; 32]).unwrap().spec);
        let mut second = first.clone();
        let mut set = second.chains[1].epochs[0].clone();
        set.epoch = Epoch(1);
        set.validators.retain(|seat| seat.node != NodeIndex(2));
        second.chains[1].epochs.push(set);
        let (first, second) = (Arc::new(first), Arc::new(second));
        for registries in [[Arc::clone(&first), Arc::clone(&second)], [second, first]] {
            let seats = Seats::of(&registries);
            assert_eq!((seats.nodes(ChainId(0)).len(), seats.nodes(ChainId(1)).len()), (5, 4));
            assert!(!seats.nodes(ChainId(1)).contains(&NodeIndex(2)), "it has left");
        }
    }
}
