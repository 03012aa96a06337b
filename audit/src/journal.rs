//! What a replay keeps of a chain for the comparison with other chains ([`crate::across`]): supply and pair counters, the
//! outbox root, where bundles came from, and which wallets left and arrived, each by height.
//!
//! Only what changed is kept: about 100 bytes for each height and other chain with which receipts were exchanged there, and for each
//! wallet that moved. An idle chain costs nothing.

use std::collections::BTreeMap;

use ledger::records::{HeightResult, PairCounters, Receipt, Registry, SupplyTerms};
use ledger::values::{Amount, ChainId, Currency, Height, OutboxRoot, WalletId};

use crate::difference::Finding;

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

/// A wallet that left for a child, or that arrived from the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relocation {
    /// Where in this chain.
    pub height: Height,
    /// Number of the receipt among all from the parent to the child.
    pub sequence: u64,
    /// The other chain.
    pub chain: ChainId,
    /// With how much.
    pub balance: Amount,
}

/// The receipts between two chains at a height: the other chain, their numbers and what they say, in order.
pub type Numbered<'a> = (ChainId, u64, &'a Receipt);

/// A chain's side of what passes between chains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    end: Height,
    /// Issued, redeemed, holdings.
    money: Track<(Amount, Amount, Amount)>,
    outbox: Track<OutboxRoot>,
    pairs: BTreeMap<ChainId, Track<PairCounters>>,
    arrivals: Vec<Arrival>,
    /// Wallets that left for a child; each chain has each wallet once only.
    left: BTreeMap<WalletId, Relocation>,
    /// Wallets that arrived from the parent.
    arrived: BTreeMap<WalletId, Relocation>,
    /// Where the parent said that no more wallets would come, but those that it kept: the height and the number of its receipt.
    filled: Option<(Height, u64)>,
    /// Chains that operators added, as far as this one knows.
    children: BTreeMap<ChainId, Currency>,
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

    /// Takes in what the registry after a height says of chains that genesis does not name.
    pub fn note_children(&mut self, registry: &Registry) {
        let added = registry.chains.iter().filter(|record| record.parent().is_some());
        self.children.extend(added.map(|record| (record.chain, record.currency)));
    }

    /// Takes in the wallets that a height sent to children and took from the chain's parent.
    ///
    /// # Errors
    /// What does not fit: something that only a parent may send came from another chain, or a wallet moved a second time (PROTOCOL rule
    /// 25).
    pub fn note_moves<'a>(
        &mut self,
        height: Height,
        parent: Option<ChainId>,
        sent: impl IntoIterator<Item = Numbered<'a>>,
        received: impl IntoIterator<Item = Numbered<'a>>,
    ) -> Result<(), Box<Finding>> {
        for (chain, sequence, receipt) in sent {
            if let Receipt::Move { wallet } = receipt {
                let relocation = Relocation { height, sequence, chain, balance: wallet.balance };
                insert(&mut self.left, wallet.id, relocation, true)?;
            }
        }
        for (source_chain, sequence, receipt) in received {
            let wallet = match receipt {
                Receipt::Move { wallet } => Some(wallet.id),
                Receipt::Keep { wallet } => Some(*wallet),
                Receipt::End {} => None,
                _ => continue,
            };
            if parent != Some(source_chain) {
                let balance = receipt.value();
                return Err(Finding::NotParent { source_chain, sequence, wallet, balance, parent }.into());
            }
            match receipt {
                Receipt::Move { wallet } => {
                    let balance = wallet.balance;
                    let relocation = Relocation { height, sequence, chain: source_chain, balance };
                    insert(&mut self.arrived, wallet.id, relocation, false)?;
                }
                Receipt::End {} => self.filled = self.filled.or(Some((height, sequence))),
                _ => {}
            }
        }
        Ok(())
    }

    /// Wallets that left for children.
    pub(crate) const fn left(&self) -> &BTreeMap<WalletId, Relocation> {
        &self.left
    }

    /// Wallets that arrived from the parent.
    pub(crate) const fn arrived(&self) -> &BTreeMap<WalletId, Relocation> {
        &self.arrived
    }

    /// Where the parent's last word was executed: the height, and its number among the parent's receipts.
    pub(crate) const fn filled(&self) -> Option<(Height, u64)> {
        self.filled
    }

    /// Chains that operators added, with their currencies.
    pub(crate) const fn children(&self) -> &BTreeMap<ChainId, Currency> {
        &self.children
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

/// Notes a wallet, which must not have moved before.
fn insert(
    wallets: &mut BTreeMap<WalletId, Relocation>,
    wallet: WalletId,
    relocation: Relocation,
    has_left: bool,
) -> Result<(), Box<Finding>> {
    match wallets.insert(wallet, relocation) {
        None => Ok(()),
        Some(first) => Err(Finding::MovedTwice { wallet, has_left, first, again: relocation }.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ledger::records::{Counter, Tier, WalletRecord, WalletStatus};
    use ledger::values::{BlockDigest, OperatorId, OutcomesRoot, PolicyHash, ResultHash, StateRoot};

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
    /// A wallet on its way.
    pub(crate) fn moving(wallet: u8, fen: u64) -> Receipt {
        Receipt::Move {
            wallet: WalletRecord {
                id: WalletId([wallet; 32]),
                policy: PolicyHash([0; 32]),
                operator: OperatorId(1),
                tier: Tier::One,
                status: WalletStatus::Active,
                balance: Amount::from_fen(fen),
                lanes: Vec::new(),
            },
        }
    }

    const PARENT: ChainId = ChainId(0);
    const OTHER: ChainId = ChainId(2);

    #[test]
    fn a_wallet_arrives_from_the_parent_and_once() {
        let mut child = Journal::default();
        let (moved, end) = (moving(1, 70), Receipt::End {});
        let keep = Receipt::Keep { wallet: WalletId([2; 32]) };
        let first = [(PARENT, 0, &moved), (PARENT, 1, &keep), (PARENT, 2, &end)];
        child.note_moves(Height(4), Some(PARENT), [], first).unwrap();
        let relocation =
            Relocation { height: Height(4), sequence: 0, chain: PARENT, balance: Amount::from_fen(70) };
        assert_eq!(child.arrived().get(&WalletId([1; 32])), Some(&relocation));
        assert_eq!((child.arrived().len(), child.filled()), (1, Some((Height(4), 2))));

        let again = moving(1, 71);
        let found = child.note_moves(Height(5), Some(PARENT), [], [(PARENT, 3, &again)]).unwrap_err();
        let second =
            Relocation { height: Height(5), sequence: 3, balance: Amount::from_fen(71), ..relocation };
        let (wallet, has_left) = (WalletId([1; 32]), false);
        assert_eq!(*found, Finding::MovedTwice { wallet, has_left, first: relocation, again: second });
        let text = found.to_string();
        assert!(text.contains("70 fen at height 4") && text.contains("71 fen at height 5"), "{text}");
    }

    #[test]
    fn nobody_but_the_parent_moves_keeps_or_ends() {
        let receipts = [moving(1, 70), Receipt::Keep { wallet: WalletId([1; 32]) }, Receipt::End {}];
        for (parent, receipt) in [Some(PARENT), None]
            .into_iter()
            .flat_map(|parent| receipts.iter().map(move |receipt| (parent, receipt)))
        {
            let mut child = Journal::default();
            let found = child.note_moves(Height(4), parent, [], [(OTHER, 9, receipt)]).unwrap_err();
            let wallet = (*receipt != Receipt::End {}).then_some(WalletId([1; 32]));
            let (source_chain, balance) = (OTHER, receipt.value());
            assert_eq!(*found, Finding::NotParent { source_chain, sequence: 9, wallet, balance, parent });
            assert_eq!(child, Journal::default(), "nothing of it is believed");
        }
    }

    #[test]
    fn a_wallet_leaves_once() {
        let mut parent = Journal::default();
        let moved = moving(1, 70);
        parent.note_moves(Height(4), None, [(ChainId(1), 0, &moved)], []).unwrap();
        let found = parent.note_moves(Height(9), None, [(OTHER, 0, &moved)], []).unwrap_err();
        assert!(matches!(*found, Finding::MovedTwice { has_left: true, .. }), "{found}");
    }
}
