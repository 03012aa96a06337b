//! How much money a currency has, over chains that go on while they are looked at (PROTOCOL rule 21).
//!
//! Chains are read one after the other, so what the first had not sent yet when it was read, the second may have received by then: added
//! up, money would seem to come out of nothing. So a sum is told only of a *cut*: heights at which no chain has received what its source
//! has not sent. From the heights that were read, a chain that is ahead of its source is taken back to where it is not; heights only
//! fall, and heights that are certified stay so.
//!
//! At a cut, what the chains hold and what is under way between them is what was issued and not redeemed, to the fen; else this fails.

use std::collections::BTreeMap;

use api::chain::{CounterView, SupplyView};
use ledger::values::{ChainId, Height};
use serde::Serialize;

use crate::failure::{Answer, Failure};

/// Chains taken back until there is a cut: each step takes one back, and few are ahead of few.
const STEPS_MAX: usize = 1_024;

/// The money of a currency at a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Of every chain of the currency, by id.
    pub heights: Vec<PlaceInTime>,
    /// In wallets, pools and locks of all of them.
    pub held_fen: u64,
    /// In receipts between them that are not executed yet.
    pub under_way_fen: u64,
}

/// A certified height of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlaceInTime {
    /// The chain.
    pub chain: u32,
    /// The height.
    pub height: u64,
}

impl Cut {
    /// The newest cut at or below these heights of all chains of a currency. `terms` gives a chain's terms after a height.
    ///
    /// # Errors
    /// [`Failure`]: a height cannot be read, there is no cut above height 0, or the sums do not agree.
    pub fn below(
        newest: &[(ChainId, Height)],
        mut terms: impl FnMut(ChainId, Height) -> Answer<SupplyView>,
    ) -> Answer<Self> {
        let mut at: BTreeMap<u32, (Height, SupplyView)> = BTreeMap::new();
        for (chain, height) in newest {
            at.insert(chain.0, (*height, terms(*chain, *height)?));
        }
        for _ in 0..STEPS_MAX {
            let Some((chain, source, sent)) = ahead(&at) else { return Self::of(&at) };
            let Some((height, _)) = at.get(&chain) else { break };
            // Received only grows: the last height at which it had no more than was sent is found by halves.
            let (mut low, mut high, mut found) = (0, height.0, None);
            while high.saturating_sub(low) > 1 {
                let middle = low.saturating_add(high.saturating_sub(low) / 2);
                let then = terms(ChainId(chain), Height(middle))?;
                if pair(&then, source).1.count <= sent {
                    (low, found) = (middle, Some(then));
                } else {
                    high = middle;
                }
            }
            let Some(then) = found else { break };
            at.insert(chain, (Height(low), then));
        }
        Err(Failure::unreachable("no_cut", "the chains were read at no heights that fit each other")
            .mend("look at the supply of each by itself: jiaozi chain status --chain ID"))
    }

    fn of(at: &BTreeMap<u32, (Height, SupplyView)>) -> Answer<Self> {
        let (mut held, mut issued, mut redeemed) = (0_u128, 0_u128, 0_u128);
        let (mut sent, mut received) = (0_u128, 0_u128);
        for (_, supply) in at.values() {
            held = held.saturating_add(u128::from(supply.holdings_fen));
            issued = issued.saturating_add(u128::from(supply.issued_fen));
            redeemed = redeemed.saturating_add(u128::from(supply.redeemed_fen));
            for other in supply.pairs.iter().filter(|other| at.contains_key(&other.chain)) {
                sent = sent.saturating_add(other.sent.total_fen);
                received = received.saturating_add(other.received.total_fen);
            }
        }
        let under_way = sent.checked_sub(received);
        let there = under_way.map(|under_way| held.saturating_add(under_way));
        if there.is_none() || there != issued.checked_sub(redeemed) {
            let message = format!(
                "{held} fen are held, {sent} sent and {received} received, but {issued} were issued and {redeemed} redeemed"
            );
            return Err(Failure::refused("supply_differs", message)
                .mend("find the chain and the height: jiaozi audit replay --node URL"));
        }
        let fen =
            |sum: u128| u64::try_from(sum).map_err(|_| Failure::refused("supply_differs", "too much money"));
        let heights = at.iter().map(|(chain, (height, _))| PlaceInTime { chain: *chain, height: height.0 });
        Ok(Self {
            heights: heights.collect(),
            held_fen: fen(held)?,
            under_way_fen: fen(under_way.unwrap_or_default())?,
        })
    }

    /// All of it, held and under way.
    #[must_use]
    pub const fn sum_fen(&self) -> u64 {
        self.held_fen.saturating_add(self.under_way_fen)
    }

    /// The heights, for people.
    #[must_use]
    pub fn told(&self) -> String {
        let places = self.heights.iter().map(|place| format!("{} of chain {}", place.height, place.chain));
        places.collect::<Vec<_>>().join(", ")
    }
}

/// A chain that has received more from a source than that has sent: the chain, the source, and how many it has sent.
fn ahead(at: &BTreeMap<u32, (Height, SupplyView)>) -> Option<(u32, u32, u64)> {
    at.iter().find_map(|(chain, (_, supply))| {
        supply.pairs.iter().find_map(|other| {
            let (_, source) = at.get(&other.chain)?;
            let sent = pair(source, *chain).0.count;
            (other.received.count > sent).then_some((*chain, other.chain, sent))
        })
    })
}

/// What a chain has sent to another one and received from it.
fn pair(supply: &SupplyView, other: u32) -> (CounterView, CounterView) {
    let none = CounterView { count: 0, total_fen: 0 };
    supply
        .pairs
        .iter()
        .find(|pair| pair.chain == other)
        .map_or((none, none), |pair| (pair.sent, pair.received))
}

#[cfg(test)]
mod tests {
    use api::chain::PairView;

    use super::*;

    const ISSUED: u64 = 1_000;

    /// A counter of so many receipts of 10 fen.
    fn counter(count: u64) -> CounterView {
        CounterView { count, total_fen: u128::from(count) * 10 }
    }

    /// Three chains. Chain 0 issues, and sends chain 1 a receipt at each height; chain 1 executes each two heights of its own later and
    /// sends it on to chain 2, which does the same without a further chain.
    fn terms(chain: ChainId, height: Height) -> Answer<SupplyView> {
        let height = height.0;
        let pair =
            |chain, sent, received| PairView { chain, sent: counter(sent), received: counter(received) };
        let come = height.saturating_sub(2);
        let (issued, held, pairs) = match chain.0 {
            0 => (ISSUED, ISSUED - 10 * height, vec![pair(1, height, 0)]),
            1 => (0, 0, vec![pair(0, 0, come), pair(2, come, 0)]),
            _ => (0, 10 * come, vec![pair(1, 0, come)]),
        };
        Ok(SupplyView { issued_fen: issued, redeemed_fen: 0, holdings_fen: held, pairs })
    }

    fn cut(heights: [u64; 3]) -> Answer<Cut> {
        let newest: Vec<_> = (0..).map(ChainId).zip(heights.map(Height)).collect();
        Cut::below(&newest, terms)
    }

    #[test]
    fn money_is_told_at_heights_that_fit_each_other() {
        let fitting = cut([10, 9, 8]).unwrap();
        assert_eq!(fitting.heights.iter().map(|place| place.height).collect::<Vec<_>>(), [10, 9, 8]);
        assert_eq!((fitting.held_fen, fitting.under_way_fen, fitting.sum_fen()), (960, 40, ISSUED));
        // Chain 0 was read long before the others: added up as it is, money would be there twice.
        let naive: u64 = [10, 40, 30]
            .into_iter()
            .zip(0..)
            .map(|(height, chain)| terms(ChainId(chain), Height(height)).unwrap().holdings_fen)
            .sum();
        assert!(naive > ISSUED);
        let taken_back = cut([10, 40, 30]).unwrap();
        assert_eq!(taken_back.heights.iter().map(|place| place.height).collect::<Vec<_>>(), [10, 12, 12]);
        assert_eq!((taken_back.held_fen, taken_back.under_way_fen), (1_000, 0));
        assert_eq!(taken_back.told(), "10 of chain 0, 12 of chain 1, 12 of chain 2");
    }

    #[test]
    fn sums_that_do_not_agree_are_refused_and_so_is_what_cannot_be_read() {
        let newest = [(ChainId(0), Height(10)), (ChainId(1), Height(9)), (ChainId(2), Height(8))];
        let created = Cut::below(&newest, |chain, height| {
            let mut found = terms(chain, height)?;
            found.holdings_fen += u64::from(chain == ChainId(2));
            Ok(found)
        });
        assert_eq!(created.unwrap_err().code, "supply_differs");
        // Chain 1 has received from the beginning what chain 0 never sent.
        let never = Cut::below(&newest, |chain, height| match chain.0 {
            0 => Ok(SupplyView { issued_fen: 0, redeemed_fen: 0, holdings_fen: 0, pairs: Vec::new() }),
            _ => {
                let mut found = terms(chain, height)?;
                found.pairs.iter_mut().for_each(|pair| pair.received = counter(5));
                Ok(found)
            }
        });
        assert_eq!(never.unwrap_err().code, "no_cut");
        let unread = Cut::below(&newest, |_, _| Err(Failure::unreachable("node_unreachable", "gone")));
        assert_eq!(unread.unwrap_err().code, "node_unreachable");
    }
}
