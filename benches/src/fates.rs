//! What became of payments, read from the outcomes of the chains, receipts included.

use std::collections::BTreeMap;

use ledger::records::receipt::receipt_id;
use ledger::values::{ChainId, GenesisHash, Height, TransactionId};
use system::Cluster;

use crate::population::Signed;
use crate::standing::Standing;

/// A block of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) chain: ChainId,
    pub(crate) height: u64,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Where it was applied: paid, or, to another chain, debited.
    pub(crate) applied: Place,
    /// Where the payee on another chain was credited.
    pub(crate) credited: Option<Place>,
}

/// The fates of all payments that were applied between two moments.
pub(crate) struct Fates(BTreeMap<TransactionId, Fate>);

impl Fates {
    /// Reads them at the first bank. The payments must be all that left for other chains in that time: the receipts of two chains
    /// are counted from one moment to the other.
    ///
    /// # Panics
    /// When an outcome stands twice.
    pub(crate) async fn read(cluster: &Cluster, from: &Standing, to: &Standing, payments: &[Signed]) -> Self {
        let client = cluster.client(0);
        let mut applied: BTreeMap<TransactionId, (Place, u64)> = BTreeMap::new();
        let mut number = 0_u64;
        for chain in to.chains.keys().copied() {
            for height in from.height(chain) + 1..=to.height(chain) {
                let outcomes = client.outcomes(chain, Height(height)).await.unwrap();
                for outcome in outcomes.iter().filter(|outcome| outcome.is_applied()) {
                    number += 1;
                    let before = applied.insert(outcome.id, (Place { chain, height }, number));
                    assert!(before.is_none(), "{} was applied twice", outcome.id);
                }
            }
        }
        Self::of(cluster.localnet.spec.hash(), from, payments, &applied)
    }

    /// From the applied outcomes, numbered in the order of their chain.
    fn of(
        genesis: GenesisHash,
        from: &Standing,
        payments: &[Signed],
        applied: &BTreeMap<TransactionId, (Place, u64)>,
    ) -> Self {
        let mut done: Vec<(u64, Place, &Signed)> = payments
            .iter()
            .filter_map(|payment| applied.get(&payment.id).map(|(place, number)| (*number, *place, payment)))
            .collect();
        done.sort_unstable_by_key(|(number, ..)| *number);
        let mut sent: BTreeMap<(ChainId, ChainId), u64> = BTreeMap::new();
        let mut fates = BTreeMap::new();
        for (_, place, payment) in done {
            let mut credited = None;
            if payment.is_cross() {
                // A receipt's id is its place among those between the two chains.
                let pair = (payment.chain, payment.destination);
                let sequence = sent.entry(pair).or_insert_with(|| from.sent(pair.0, pair.1));
                let receipt = receipt_id(genesis, pair.0, pair.1, *sequence);
                *sequence += 1;
                credited = applied.get(&receipt).map(|(place, _)| *place);
            }
            fates.insert(payment.id, Fate { applied: place, credited });
        }
        Self(fates)
    }

    /// What became of a payment; nothing is known of one that was not applied.
    pub(crate) fn get(&self, id: &TransactionId) -> Option<Fate> {
        self.0.get(id).copied()
    }

    /// Those of these payments that were applied, and those of the others that are not credited.
    pub(crate) fn count(&self, payments: &[Signed]) -> Count {
        let mut count = Count::default();
        for payment in payments {
            let Some(fate) = self.get(&payment.id) else { continue };
            count.applied += 1;
            if payment.is_cross() {
                count.debited += 1;
                count.credited += u64::from(fate.credited.is_some());
            }
        }
        count
    }
}

/// How many of some payments got how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Applied on the payer's chain.
    pub(crate) applied: u64,
    /// Of these, with the payee on another chain.
    pub(crate) debited: u64,
    /// Of these, with the payee credited.
    pub(crate) credited: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn signed(byte: u8, chain: u32, destination: u32) -> Signed {
        let (chain, destination) = (ChainId(chain), ChainId(destination));
        Signed { bytes: Vec::new(), id: TransactionId([byte; 32]), chain, destination }
    }

    #[test]
    fn receipts_are_found_by_the_order_in_which_payments_left() {
        let genesis = GenesisHash([9; 32]);
        let (zero, one) = (ChainId(0), ChainId(1));
        let from = Standing { at: Instant::now(), chains: BTreeMap::new() };
        let payments = [signed(1, 0, 1), signed(2, 0, 0), signed(3, 0, 1), signed(4, 0, 1)];
        let place = |chain, height| Place { chain, height };
        // The third left before the first; the fourth was not applied; only the first receipt has arrived.
        let applied = BTreeMap::from([
            (payments[0].id, (place(zero, 7), 3)),
            (payments[1].id, (place(zero, 6), 2)),
            (payments[2].id, (place(zero, 5), 1)),
            (receipt_id(genesis, zero, one, 0), (place(one, 9), 4)),
        ]);
        let fates = Fates::of(genesis, &from, &payments, &applied);
        let credited = |index: usize| fates.get(&payments[index].id).map(|fate| fate.credited);
        assert_eq!(credited(0), Some(None));
        assert_eq!(credited(1), Some(None));
        assert_eq!(credited(2), Some(Some(place(one, 9))));
        assert_eq!(credited(3), None);
        assert_eq!(fates.count(&payments), Count { applied: 3, debited: 2, credited: 1 });
    }
}
