//! The comparison across chains, when each one alone fits: every receipt was sent once and executed once, in its order, and no
//! money was made or lost on the way (PROTOCOL rules 21 and 22).
//!
//! - A chain's own replay has shown that each bundle is proved by a certified result of its source, and stands on the receipts
//!   that were executed before it. Where the outbox root of that result is also the one that the source's replay computed, the
//!   executed receipts are the first ones that the source has sent, each once.
//! - Chains are read one after another and end at different heights. Totals are compared at the highest *cut* at which no chain
//!   has executed a bundle of a height above its source's. What lies above the cut is replayed, but its sources were not read so far.
//! - Only chains that were replayed are compared; a currency is, where all its chains were.

use std::collections::BTreeMap;

use ledger::records::{Counter, GenesisSpec, SupplyTerms};
use ledger::values::{Amount, ChainId, Currency, Height};

use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::journal::{Arrival, Journal};
use crate::report::Report;

/// Chains that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Across {
    /// The height of each chain in the cut, ascending by chain.
    pub cut: BTreeMap<ChainId, Height>,
    /// Pairs of chains that were both replayed and have exchanged receipts.
    pub pairs: Vec<Pair>,
    /// Every currency of the network.
    pub currencies: Vec<CurrencySupply>,
}

/// What one chain has sent to another, at the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Who sent.
    pub source: ChainId,
    /// To whom.
    pub destination: ChainId,
    /// Sent.
    pub sent: Counter,
    /// Received.
    pub received: Counter,
}

/// A currency at the cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrencySupply {
    /// The currency.
    pub currency: Currency,
    /// Its chains that were replayed.
    pub chains: Vec<ChainId>,
    /// Its chains that were not. Where there are any, nothing was compared.
    pub missing: Vec<ChainId>,
    /// Ever issued, in fen, on the replayed chains, as everything below.
    pub issued: u128,
    /// Ever redeemed.
    pub redeemed: u128,
    /// Held.
    pub holdings: u128,
    /// Sent less received: between the chains.
    pub under_way: i128,
}

/// Compares chains that were replayed, each once.
///
/// # Errors
/// The first [`Difference`] as [`AuditError::Different`]: receipts by chain and height, then pairs, then currencies.
pub fn compare_across<'a>(
    spec: &GenesisSpec,
    reports: impl IntoIterator<Item = &'a Report>,
) -> Result<Across, AuditError> {
    compare(spec, &reports.into_iter().map(|report| (report.chain, &report.journal)).collect())
}

/// As [`compare_across`], of journals that were kept while the chains ran: each chain's heights in order, from 0, none left out.
///
/// # Errors
/// As [`compare_across`].
pub fn compare_journals<'a>(
    spec: &GenesisSpec,
    journals: impl IntoIterator<Item = (ChainId, &'a Journal)>,
) -> Result<Across, AuditError> {
    compare(spec, &journals.into_iter().collect())
}

type Journals<'a> = BTreeMap<ChainId, &'a Journal>;

fn compare(spec: &GenesisSpec, journals: &Journals<'_>) -> Result<Across, AuditError> {
    for (chain, journal) in journals {
        for arrival in journal.arrivals() {
            check_arrival(*chain, arrival, journals)?;
        }
    }
    let cut = highest_cut(journals);
    let supply: BTreeMap<ChainId, SupplyTerms> = journals
        .iter()
        .filter_map(|(chain, journal)| Some((*chain, journal.supply(*cut.get(chain)?))))
        .collect();
    let pairs = pairs(&supply);
    let end = |chain: &ChainId| cut.get(chain).copied().unwrap_or_default();
    for pair in &pairs {
        let Pair { source, destination, sent, received } = *pair;
        let is_all = received.count == sent.count;
        let is_within = if is_all { received == sent } else { received.total <= sent.total };
        if received.count > sent.count || !is_within {
            let finding = Finding::Pair { source_chain: source, sent, received };
            return Err(Difference { chain: destination, height: end(&destination), finding }.into());
        }
    }
    let mut listed: Vec<Currency> = spec.chains.iter().map(|chain| chain.currency).collect();
    listed.sort_unstable();
    listed.dedup();
    let mut currencies = Vec::with_capacity(listed.len());
    for currency in listed {
        let sums = CurrencySupply::sum(spec, currency, &supply);
        let (held, issued) = (sums.held(), sums.outstanding());
        if let (true, true, Some(chain)) = (sums.missing.is_empty(), held != issued, sums.chains.first()) {
            let finding = Finding::Supply { currency, held, issued };
            return Err(Difference { chain: *chain, height: end(chain), finding }.into());
        }
        currencies.push(sums);
    }
    Ok(Across { cut, pairs, currencies })
}

/// A bundle's result must be the one of its source, as far as the source was replayed.
fn check_arrival(chain: ChainId, arrival: &Arrival, journals: &Journals<'_>) -> Result<(), AuditError> {
    let Some(source) = journals.get(&arrival.source) else { return Ok(()) };
    match source.outbox(arrival.source_height) {
        Some(computed) if computed != arrival.outbox => {
            let finding = Finding::NotSent {
                source_chain: arrival.source,
                first: arrival.first,
                last: arrival.first.saturating_add(arrival.receipts).saturating_sub(1),
                source_height: arrival.source_height,
                shown: arrival.outbox,
                computed,
            };
            Err(Difference { chain, height: arrival.height, finding }.into())
        }
        _ => Ok(()),
    }
}

/// What a chain needs of another one: at each of its heights with bundles, the highest height of theirs so far.
struct Needs {
    chain: ChainId,
    source: ChainId,
    heights: Vec<(Height, Height)>,
}

impl Needs {
    /// The last height of the chain that needs no more than `source` of its source; `None` where all do.
    fn last_within(&self, source: Height) -> Option<Height> {
        let place = self.heights.partition_point(|(_, needed)| *needed <= source);
        self.heights.get(place).map(|(height, _)| Height(height.0.saturating_sub(1)))
    }
}

/// The highest heights at which no chain has executed a bundle of a height above its source's. Lowering one chain may lower those
/// that it sends to; each step goes below a bundle, so there are at most as many as bundles.
fn highest_cut(journals: &Journals<'_>) -> BTreeMap<ChainId, Height> {
    let mut needs: BTreeMap<(ChainId, ChainId), Needs> = BTreeMap::new();
    for (chain, journal) in journals {
        for arrival in journal.arrivals() {
            let (chain, source) = (*chain, arrival.source);
            let of_pair = || Needs { chain, source, heights: Vec::new() };
            let heights = &mut needs.entry((chain, source)).or_insert_with(of_pair).heights;
            let needed = heights.last().map_or(Height(0), |(_, needed)| *needed).max(arrival.source_height);
            heights.push((arrival.height, needed));
        }
    }
    let mut cut: BTreeMap<ChainId, Height> =
        journals.iter().map(|(chain, journal)| (*chain, journal.end())).collect();
    loop {
        let mut is_lowered = false;
        for needs in needs.values() {
            let Some(source) = cut.get(&needs.source).copied() else { continue };
            if let (Some(last), Some(height)) = (needs.last_within(source), cut.get_mut(&needs.chain))
                && last < *height
            {
                *height = last;
                is_lowered = true;
            }
        }
        if !is_lowered {
            return cut;
        }
    }
}

/// Pairs of replayed chains that have exchanged receipts.
fn pairs(supply: &BTreeMap<ChainId, SupplyTerms>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (source, of_source) in supply {
        for (destination, of_destination) in supply {
            let sent = of_source.pair(*destination).sent;
            let received = of_destination.pair(*source).received;
            if source != destination && (sent, received) != (Counter::default(), Counter::default()) {
                pairs.push(Pair { source: *source, destination: *destination, sent, received });
            }
        }
    }
    pairs
}

impl CurrencySupply {
    fn sum(spec: &GenesisSpec, currency: Currency, supply: &BTreeMap<ChainId, SupplyTerms>) -> Self {
        let (chains, missing): (Vec<ChainId>, Vec<ChainId>) =
            spec.shards(currency).into_iter().partition(|chain| supply.contains_key(chain));
        let (issued, redeemed, holdings, under_way) = (0, 0, 0, 0);
        let mut sums = Self { currency, chains, missing, issued, redeemed, holdings, under_way };
        let fen = |amount: Amount| u128::from(amount.fen());
        let signed = |total: u128| i128::try_from(total).unwrap_or(i128::MAX);
        for terms in sums.chains.iter().filter_map(|chain| supply.get(chain)) {
            sums.issued = sums.issued.saturating_add(fen(terms.issued));
            sums.redeemed = sums.redeemed.saturating_add(fen(terms.redeemed));
            sums.holdings = sums.holdings.saturating_add(fen(terms.holdings));
            for pair in &terms.pairs {
                let (sent, received) = (signed(pair.sent.total), signed(pair.received.total));
                sums.under_way = sums.under_way.saturating_add(sent).saturating_sub(received);
            }
        }
        sums
    }

    /// What is held and what is between the chains.
    fn held(&self) -> i128 {
        i128::try_from(self.holdings).unwrap_or(i128::MAX).saturating_add(self.under_way)
    }

    /// Issued and not redeemed.
    fn outstanding(&self) -> i128 {
        let signed = |fen: u128| i128::try_from(fen).unwrap_or(i128::MAX);
        signed(self.issued).saturating_sub(signed(self.redeemed))
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::OutboxRoot;

    use super::*;
    use crate::journal::tests::result;

    /// Chains 0 and 1 of one currency, chain 2 of another.
    fn spec() -> GenesisSpec {
        let mut plan = LocalnetPlan::new(4);
        let cny = Currency(*b"CNY");
        plan.chains = vec![(cny, 0), (cny, 1), (Currency(*b"HKD"), 0)];
        localnet(&plan, &[1; 32]).unwrap().spec
    }

    fn arrival(height: u64, source: u32, first: u64, source_height: u64, outbox: u8) -> Arrival {
        Arrival {
            height: Height(height),
            source: ChainId(source),
            first,
            receipts: 2,
            source_height: Height(source_height),
            outbox: OutboxRoot([outbox; 32]),
        }
    }

    /// Chain 0 sends two receipts at height 2 and two at height 4; chain 1 executes them at 3 and 6.
    fn journals() -> [Journal; 3] {
        let [mut zero, mut one, mut two] = [Journal::default(), Journal::default(), Journal::default()];
        for (height, outbox, sent) in [(0, 0, 0), (1, 0, 0), (2, 1, 2), (3, 1, 2), (4, 2, 4)] {
            zero.note(&result(height, outbox, 1_000, &[(1, sent, 0)]), Vec::new());
        }
        for (height, received) in [(0, 0), (1, 0), (2, 0), (3, 2), (4, 2), (5, 2), (6, 4)] {
            let arrivals = match height {
                3 => vec![arrival(3, 0, 0, 2, 1)],
                6 => vec![arrival(6, 0, 2, 4, 2)],
                _ => Vec::new(),
            };
            one.note(&result(height, 0, 0, &[(0, 0, received)]), arrivals);
        }
        two.note(&result(0, 0, 77, &[]), Vec::new());
        [zero, one, two]
    }

    fn all([zero, one, two]: &[Journal; 3]) -> Journals<'_> {
        BTreeMap::from([(ChainId(0), zero), (ChainId(1), one), (ChainId(2), two)])
    }

    fn finding(journals: &[Journal; 3]) -> Difference {
        match compare(&spec(), &all(journals)) {
            Err(AuditError::Different(difference)) => *difference,
            other => panic!("expected a difference, found {other:?}"),
        }
    }

    #[test]
    fn chains_that_fit_are_summed_at_their_ends() {
        let journals = journals();
        let across = compare(&spec(), &all(&journals)).unwrap();
        assert_eq!(compare_journals(&spec(), all(&journals)).unwrap(), across);
        let cut: Vec<u64> = across.cut.values().map(|height| height.0).collect();
        assert_eq!(cut, [4, 6, 0]);
        let four = Counter { count: 4, total: 40 };
        let pair = Pair { source: ChainId(0), destination: ChainId(1), sent: four, received: four };
        assert_eq!(across.pairs, [pair]);
        let [cny, hkd] = across.currencies.as_slice() else { panic!("{across:?}") };
        assert_eq!((cny.issued, cny.holdings, cny.under_way), (1_000, 1_000, 0));
        assert_eq!((hkd.issued, hkd.holdings), (77, 77));
        assert_eq!((cny.chains.len(), cny.missing.len()), (2, 0));
    }

    /// The source was read up to height 3 only: what its height 4 sent lies above the cut.
    #[test]
    fn a_source_that_was_read_less_far_lowers_the_cut() {
        let mut journals = journals();
        journals[0] = Journal::default();
        for (height, outbox, sent) in [(0, 0, 0), (2, 1, 2), (3, 2, 3)] {
            journals[0].note(&result(height, outbox, 1_000, &[(1, sent, 0)]), Vec::new());
        }
        let across = compare(&spec(), &all(&journals)).unwrap();
        let cut: Vec<u64> = across.cut.values().map(|height| height.0).collect();
        assert_eq!(cut, [3, 5, 0]);
        assert_eq!((across.pairs[0].sent.count, across.pairs[0].received.count), (3, 2));
        let cny = &across.currencies[0];
        assert_eq!((cny.holdings, cny.under_way), (990, 10));
    }

    #[test]
    fn a_chain_that_was_not_replayed_is_named_and_its_currency_not_compared() {
        let [zero, one, _] = &journals();
        let across = compare(&spec(), &BTreeMap::from([(ChainId(1), one)])).unwrap();
        assert_eq!(across.currencies[0].missing, [ChainId(0)]);
        assert_eq!(across.currencies[1].missing, [ChainId(2)]);
        assert!(across.pairs.is_empty());
        let across = compare(&spec(), &BTreeMap::from([(ChainId(0), zero), (ChainId(1), one)])).unwrap();
        assert_eq!((across.currencies[0].missing.len(), across.currencies[1].missing.len()), (0, 1));
    }

    #[test]
    fn receipts_that_the_source_did_not_send_are_named() {
        let mut journals = journals();
        journals[1].note(&result(7, 0, 0, &[(0, 0, 6)]), vec![arrival(7, 0, 4, 3, 9)]);
        let found = finding(&journals);
        assert_eq!((found.chain, found.height), (ChainId(1), Height(7)));
        let root = |byte| OutboxRoot([byte; 32]);
        let Finding::NotSent { first, last, shown, computed, .. } = found.finding else { panic!("{found}") };
        assert_eq!((first, last, shown, computed), (4, 5, root(9), root(1)));
    }

    #[test]
    fn more_received_than_sent_is_named_with_both_counts() {
        let mut journals = journals();
        journals[1].note(&result(7, 0, 0, &[(0, 0, 5)]), Vec::new());
        let found = finding(&journals);
        let Finding::Pair { source_chain, sent, received } = found.finding else { panic!("{found}") };
        assert_eq!((found.chain, source_chain), (ChainId(1), ChainId(0)));
        assert_eq!((sent.count, received.count), (4, 5));
    }

    #[test]
    fn money_that_was_never_issued_is_named_with_its_currency() {
        let mut journals = journals();
        let mut forged = result(1, 0, 77, &[]);
        forged.supply.holdings = Amount::from_fen(78);
        journals[2].note(&forged, Vec::new());
        let found = finding(&journals);
        assert_eq!(found.chain, ChainId(2));
        let expected = Finding::Supply { currency: Currency(*b"HKD"), held: 78, issued: 77 };
        assert_eq!(found.finding, expected);
    }
}
