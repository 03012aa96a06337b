//! The comparison across chains, when each one alone fits: every receipt was sent once and executed once, in its order, and no
//! money was made or lost on the way (PROTOCOL rules 21 and 22).
//!
//! - A chain's own replay has shown that each bundle is proved by a certified result of its source, and stands on the receipts
//!   that were executed before it. Where the outbox root of that result is also the one that the source's replay computed, the
//!   executed receipts are the first ones that the source has sent, each once.
//! - Chains are read one after another and end at different heights. Totals are compared at the highest *cut* at which no chain
//!   has executed a bundle of a height above its source's. What lies above the cut is replayed, but its sources were not read so far.
//! - Only chains that were replayed are compared; a currency is, where all its chains were. A chain that operators added belongs to it as
//!   soon as money was sent there.
//! - A chain that operators added begins with the registry that the root chain's replay gave it. Every wallet arrives there as it left the
//!   parent, and all that left before the parent's last word have arrived with it (PROTOCOL rule 25).

use std::collections::{BTreeMap, BTreeSet};

use ledger::records::{Counter, GenesisSpec, PairCounters, SupplyTerms};
use ledger::values::{Amount, ChainId, Currency, Height};

use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::journal::{Arrival, Journal, Relocation};
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
/// The first [`Difference`] as [`AuditError::Different`]: what added chains began with, receipts by chain and height, wallets that moved,
/// then pairs, then currencies.
pub fn compare_across<'a>(
    spec: &GenesisSpec,
    reports: impl IntoIterator<Item = &'a Report>,
) -> Result<Across, AuditError> {
    let reports: Vec<&Report> = reports.into_iter().collect();
    for child in reports.iter().flat_map(|report| &report.children) {
        let replayed = reports.iter().find(|report| report.chain == child.chain);
        let Some(shown) = replayed.and_then(|report| report.beginning) else { continue };
        let computed = child.registry.hash();
        if shown != computed {
            let finding = Finding::Beginning { shown, computed };
            return Err(Difference { chain: child.chain, height: Height(0), finding }.into());
        }
    }
    compare(spec, &reports.iter().map(|report| (report.chain, &report.journal)).collect())
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
    for (chain, journal) in journals {
        check_moves(*chain, journal, journals, &cut)?;
    }
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
    let mut of_chains: BTreeMap<ChainId, Currency> =
        spec.chains.iter().map(|chain| (chain.chain, chain.currency)).collect();
    of_chains.extend(journals.values().flat_map(|journal| journal.children()));
    for currency in listed {
        let sums = CurrencySupply::sum((spec, &of_chains), currency, &supply);
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

/// The wallets of a child that its parent sent: each arrived as it left, and where the parent has ended, all have. As far as both were
/// replayed.
fn check_moves(
    chain: ChainId,
    journal: &Journal,
    journals: &Journals<'_>,
    cut: &BTreeMap<ChainId, Height>,
) -> Result<(), AuditError> {
    let within = |chain: &ChainId, height: Height| cut.get(chain).is_some_and(|end| height <= *end);
    let found = |height, finding| AuditError::from(Difference { chain, height, finding });
    for (wallet, arrived) in journal.arrived() {
        let Some(parent) = journals.get(&arrived.chain).filter(|_| within(&chain, arrived.height)) else {
            continue;
        };
        let left = parent.left().get(wallet).filter(|left| left.chain == chain);
        if left.map(|left| (left.sequence, left.balance)) != Some((arrived.sequence, arrived.balance)) {
            let (sent, received) = (left.map(|left| left.balance), Some(arrived.balance));
            let finding = Finding::Moved { wallet: *wallet, source_chain: arrived.chain, sent, received };
            return Err(found(arrived.height, finding));
        }
    }
    let Some((height, last)) = journal.filled().filter(|(height, _)| within(&chain, *height)) else {
        return Ok(());
    };
    for (source_chain, parent) in journals {
        let before = |left: &Relocation| left.chain == chain && left.sequence < last;
        let mut missing = parent.left().iter().filter(|(_, left)| before(left));
        if let Some((wallet, left)) = missing.find(|(wallet, _)| !journal.arrived().contains_key(*wallet)) {
            let (source_chain, sent) = (*source_chain, Some(left.balance));
            let finding = Finding::Moved { wallet: *wallet, source_chain, sent, received: None };
            return Err(found(height, finding));
        }
    }
    Ok(())
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
    /// `chains` are all of the network, with their currencies.
    fn sum(
        (spec, chains): (&GenesisSpec, &BTreeMap<ChainId, Currency>),
        currency: Currency,
        supply: &BTreeMap<ChainId, SupplyTerms>,
    ) -> Self {
        // Where nothing was sent to or from there, an added chain holds what it issued itself, if it runs at all.
        let has_passed = |pair: &PairCounters| pair.sent.total > 0 || pair.received.total > 0;
        let reached: BTreeSet<ChainId> = supply
            .values()
            .flat_map(|terms| &terms.pairs)
            .filter(|pair| has_passed(pair))
            .map(|pair| pair.chain)
            .collect();
        let is_part = |chain: &ChainId| {
            spec.chain(*chain).is_some() || supply.contains_key(chain) || reached.contains(chain)
        };
        let of_currency = chains.iter().filter(|(_, known)| **known == currency).map(|(chain, _)| *chain);
        let (chains, missing): (Vec<ChainId>, Vec<ChainId>) =
            of_currency.filter(is_part).partition(|chain| supply.contains_key(chain));
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
    use ledger::records::{Birth, Growth, HeightResult, Receipt, Registry};
    use ledger::values::{OutboxRoot, WalletId};

    use super::*;
    use crate::journal::tests::{moving, result};

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

    /// Chain 3, which operators added, begins empty; two wallets with 30 and 20 fen leave chain 0 for it at its height 4, then its last
    /// word. They arrive there at height 2.
    fn with_child() -> ([Journal; 3], Journal) {
        let ([mut zero, one, two], child) = (journals(), ChainId(3));
        let (first, second, end) = (moving(7, 30), moving(8, 20), Receipt::End {});
        let sent = [(child, 1, &first), (child, 2, &second), (child, 3, &end)];
        zero.note_moves(Height(4), None, sent, []).unwrap();
        zero.note(
            &moved(5, 2, (1_000, 1_000 - 40 - 50), &[(1, (4, 40), (0, 0)), (3, (4, 50), (0, 0))]),
            vec![],
        );
        zero.note_children(&with_chain_three());
        let mut three = Journal::default();
        three.note(&result(0, 0, 0, &[]), Vec::new());
        three.note(&result(1, 0, 0, &[]), Vec::new());
        three.note(&moved(2, 0, (0, 50), &[(0, (0, 0), (4, 50))]), vec![arrival(2, 0, 0, 5, 2)]);
        ([zero, one, two], three)
    }

    /// Genesis, and a child of chain 0.
    fn with_chain_three() -> Registry {
        let mut registry = Registry::from_genesis(&spec());
        let mut child = registry.chain(ChainId(0)).unwrap().clone();
        (child.chain, child.shard) = (ChainId(3), 2);
        child.birth = Birth::Child { parent: ChainId(0), height: Height(1), growth: Growth::Filling };
        registry.chains.push(child);
        registry
    }

    type PairOf = (u32, (u64, u128), (u64, u128));

    /// A result with these pairs: count and total of what was sent and received.
    fn moved(height: u64, outbox: u8, (issued, holdings): (u64, u64), pairs: &[PairOf]) -> HeightResult {
        let counter = |(count, total): (u64, u128)| Counter { count, total };
        let mut result = result(height, outbox, issued, &[]);
        let pair = |(chain, sent, received): &PairOf| PairCounters {
            chain: ChainId(*chain),
            sent: counter(*sent),
            received: counter(*received),
        };
        result.supply.pairs = pairs.iter().map(pair).collect();
        result.supply.holdings = Amount::from_fen(holdings);
        result
    }

    fn of_both(([zero, one, two], three): &([Journal; 3], Journal)) -> Result<Across, AuditError> {
        let mut journals = BTreeMap::from([(ChainId(0), zero), (ChainId(1), one), (ChainId(2), two)]);
        journals.insert(ChainId(3), three);
        compare(&spec(), &journals)
    }

    fn arrives(three: &mut Journal, receipts: &[(u64, Receipt)]) {
        let received = receipts.iter().map(|(sequence, receipt)| (ChainId(0), *sequence, receipt));
        three.note_moves(Height(2), Some(ChainId(0)), [], received).unwrap();
    }

    #[test]
    fn wallets_that_arrive_as_they_left_fit_and_a_child_belongs_to_its_currency() {
        let mut both = with_child();
        arrives(&mut both.1, &[(1, moving(7, 30)), (2, moving(8, 20)), (3, Receipt::End {})]);
        let across = of_both(&both).unwrap();
        assert_eq!(across.cut[&ChainId(3)], Height(2));
        let cny = &across.currencies[0];
        assert_eq!(cny.currency, Currency(*b"CNY"));
        assert_eq!(
            (cny.chains.as_slice(), cny.missing.len()),
            (&[ChainId(0), ChainId(1), ChainId(3)][..], 0)
        );
        assert_eq!((cny.issued, cny.holdings, cny.under_way), (1_000, 1_000, 0));
        // Without the child its money is missing, and nothing is held against anybody.
        let alone = compare(&spec(), &all(&both.0)).unwrap();
        assert_eq!(alone.currencies[0].missing, [ChainId(3)]);
    }

    #[test]
    fn a_child_that_nothing_was_sent_to_is_not_missed() {
        let mut journals = journals();
        journals[0].note_children(&with_chain_three());
        let across = compare(&spec(), &all(&journals)).unwrap();
        assert!(across.currencies[0].missing.is_empty());
    }

    #[test]
    fn a_wallet_that_arrives_with_another_balance_or_never_left_or_not_at_all_is_named_with_both() {
        let some = |fen| Some(Amount::from_fen(fen));
        let cases: [(u8, &[(u64, Receipt)], [Option<Amount>; 2]); 4] = [
            (7, &[(1, moving(7, 31)), (2, moving(8, 20))], [some(30), some(31)]),
            (9, &[(1, moving(7, 30)), (2, moving(9, 20))], [None, some(20)]),
            (8, &[(1, moving(7, 30)), (3, moving(8, 20))], [some(20), some(20)]),
            (8, &[(1, moving(7, 30)), (3, Receipt::End {})], [some(20), None]),
        ];
        for (wallet, receipts, [sent, received]) in cases {
            let mut both = with_child();
            arrives(&mut both.1, receipts);
            let Err(AuditError::Different(found)) = of_both(&both) else { panic!("{receipts:?} fits") };
            let (wallet, source_chain) = (WalletId([wallet; 32]), ChainId(0));
            assert_eq!((found.chain, found.height), (ChainId(3), Height(2)));
            assert_eq!(found.finding, Finding::Moved { wallet, source_chain, sent, received });
        }
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
