//! What nodes of other chains say they have received: hints, believed as far as an honest one stands behind them.
//!
//! - Only nodes that run a validator of the destination are heard, one number each, so what is kept is bounded by the registry.
//! - Of `n` seats at most `f` lie. The `f + 1`-th highest number is therefore at most what some honest node has executed, and it rises as soon
//!   as more than `f` of the honest ones have executed more: whoever lies can neither hide receipts as received nor hold the relay back.
//! - A wrong number costs a bundle that is sent once more, or later: never money.

use std::collections::{BTreeMap, BTreeSet};

use chain::Reached;
use ledger::records::{ChainSpec, GenesisSpec};
use ledger::values::{ChainId, Epoch, NodeIndex, faults_max};

/// The seats of each chain, by the node that runs them.
#[derive(Debug, Clone)]
pub(super) struct Seats(BTreeMap<ChainId, Vec<NodeIndex>>);

impl Seats {
    /// Those of every chain's first validators.
    pub(super) fn of(spec: &GenesisSpec) -> Self {
        let nodes =
            |chain: &ChainSpec| -> Vec<NodeIndex> { chain.validators.iter().map(|seat| seat.node).collect() };
        Self(spec.chains.iter().map(|chain| (chain.chain, nodes(chain))).collect())
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
        let seats = Seats::of(&localnet(&plan, &[1; 32]).unwrap().spec);
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
}
