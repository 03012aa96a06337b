//! What a replay keeps of a chain for the comparison with other chains ([`crate::across`]): supply and pair counters, the
//! outbox root, and where bundles came from, each by height.
//!
//! Only what changed is kept: about 100 bytes for each height and other chain with which receipts were exchanged there. An
//! idle chain costs nothing.

use std::collections::BTreeMap;

use ledger::records::{HeightResult, PairCounters, SupplyTerms};
use ledger::values::{Amount, ChainId, Height, OutboxRoot};

/// A value by height, noted where it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Track<T>(Vec<(Height, T)>);

impl<T> Default for Track<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Track<T> {
    /// The value after `height`, which is above all noted before.
    fn note(&mut self, height: Height, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((height, value));
        }
    }

    /// The value after `height`; `None` below the first that was noted.
    fn at(&self, height: Height) -> Option<&T> {
        let above = self.0.partition_point(|(noted, _)| *noted <= height);
        self.0.get(above.checked_sub(1)?).map(|(_, value)| value)
    }
}

/// A bundle that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub height: Height,
    /// The chain that sent its receipts.
    pub source: ChainId,
    /// Number of its first receipt.
    pub first: u64,
    /// How many receipts; at least one.
    pub receipts: u64,
    /// The height of the source whose result proves it.
    pub source_height: Height,
    /// The outbox root of that result.
    pub outbox: OutboxRoot,
}

/// A chain's side of what passes between chains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    end: Height,
    /// Issued, redeemed, holdings.
    money: Track<(Amount, Amount, Amount)>,
    outbox: Track<OutboxRoot>,
    pairs: BTreeMap<ChainId, Track<PairCounters>>,
    arrivals: Vec<Arrival>,
}

impl Journal {
    /// Takes in the next height: its result, and the bundles that were executed there, in order.
    pub fn note(&mut self, result: &HeightResult, arrivals: Vec<Arrival>) {
        let (height, supply) = (result.height, &result.supply);
        self.end = height;
        self.money.note(height, (supply.issued, supply.redeemed, supply.holdings));
        self.outbox.note(height, result.outbox);
        for pair in &supply.pairs {
            self.pairs.entry(pair.chain).or_default().note(height, *pair);
        }
        self.arrivals.extend(arrivals);
    }

    /// The last height.
    pub(crate) const fn end(&self) -> Height {
        self.end
    }

    /// The supply terms after a height.
    pub(crate) fn supply(&self, height: Height) -> SupplyTerms {
        let (issued, redeemed, holdings) = self.money.at(height).copied().unwrap_or_default();
        let pairs = self.pairs.values().filter_map(|track| track.at(height).copied()).collect();
        SupplyTerms { issued, redeemed, holdings, pairs }
    }

    /// The outbox root after a height; `None` above the end.
    pub(crate) fn outbox(&self, height: Height) -> Option<OutboxRoot> {
        self.outbox.at(height).copied().filter(|_| height <= self.end)
    }

    /// The bundles that were executed, in order.
    pub(crate) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ledger::records::Counter;
    use ledger::values::{BlockDigest, OutcomesRoot, ResultHash, StateRoot};

    use super::*;

    /// A result as far as a journal reads it.
    pub(crate) fn result(height: u64, outbox: u8, issued: u64, pairs: &[(u32, u64, u64)]) -> HeightResult {
        let counter = |count: u64| Counter { count, total: u128::from(count) * 10 };
        let pairs: Vec<PairCounters> = pairs
            .iter()
            .map(|(chain, sent, received)| PairCounters {
                chain: ChainId(*chain),
                sent: counter(*sent),
                received: counter(*received),
            })
            .collect();
        let holdings =
            pairs.iter().fold(u128::from(issued), |held, pair| held + pair.received.total - pair.sent.total);
        HeightResult {
            chain: ChainId(0),
            height: Height(height),
            block: BlockDigest::default(),
            previous: ResultHash::default(),
            state: StateRoot::default(),
            outcomes: OutcomesRoot::default(),
            outbox: OutboxRoot([outbox; 32]),
            next_set: ledger::values::Hash::default(),
            executed: 0,
            skipped: 0,
            supply: SupplyTerms {
                issued: Amount::from_fen(issued),
                redeemed: Amount::ZERO,
                holdings: Amount::from_fen(u64::try_from(holdings).unwrap()),
                pairs,
            },
        }
    }

    #[test]
    fn every_height_is_answered_and_only_changes_are_kept() {
        let results = [
            result(0, 0, 0, &[]),
            result(1, 0, 500, &[]),
            result(2, 1, 500, &[(1, 2, 0)]),
            result(3, 1, 500, &[(1, 2, 0)]),
            result(4, 2, 900, &[(1, 2, 7), (3, 1, 0)]),
        ];
        let mut journal = Journal::default();
        for result in &results {
            journal.note(result, Vec::new());
        }
        for result in &results {
            assert_eq!(journal.supply(result.height), result.supply, "{}", result.height);
            assert_eq!(journal.outbox(result.height), Some(result.outbox));
        }
        assert_eq!((journal.end(), journal.outbox(Height(5))), (Height(4), None));
        assert_eq!((journal.outbox.0.len(), journal.pairs[&ChainId(1)].0.len()), (3, 2));
    }
}
