//! What `jiaozi audit replay` prints: facts of one chain, or a table of chains and one of currencies.

use std::collections::BTreeSet;

use audit::{Across, CurrencySupply, Pair, Report, StoredRows};
use ledger::records::{Counter, EpochRecord, GenesisSpec};
use ledger::values::{Amount, ChainId};
use serde::Serialize;
use storage::VerifyReport;

use super::replay::ReplayedChain;
use crate::output::{Show, facts, grouped, table};

/// Fen of a unit of a currency.
const FEN: u128 = ledger::values::amount::FEN_PER_UNIT as u128;

/// What a replay found in order.
#[derive(Debug, Serialize)]
pub(super) struct Replayed {
    verdict: &'static str,
    genesis_hash: String,
    chains: Vec<ChainReplayed>,
    /// Chains of the network that were not replayed.
    missing: Vec<u32>,
    pairs: Vec<PairReplayed>,
    currencies: Vec<CurrencyReplayed>,
    threads: usize,
    elapsed_ms: u64,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(Default))]
struct ChainReplayed {
    chain: u32,
    currency: String,
    /// The chain whose wallets it took half of, where operators added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    height: u64,
    /// The height at which chains were compared with each other.
    cut: u64,
    certified_block: u64,
    certified_result: u64,
    state_root: String,
    result: String,
    blocks: u64,
    batches: u64,
    bundles: u64,
    certificates: u64,
    transactions: u64,
    signatures: u64,
    applied: u64,
    rejected: u64,
    skipped: u64,
    payments: u64,
    receipts_sent: u64,
    receipts_executed: u64,
    receipts_refused: u64,
    receipts_sent_on: u64,
    refunds: u64,
    /// Wallets that moved here from the parent.
    wallets_moved_in: u64,
    wallets: u64,
    registry_version: u64,
    /// Who decided which heights: the set of each epoch was certified by the one before.
    epochs: Vec<EpochReplayed>,
    issued_fen: u64,
    redeemed_fen: u64,
    holdings_fen: u64,
    elapsed_ms: u64,
    payments_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<StoredReplayed>,
}

/// An epoch of a chain.
#[derive(Debug, Serialize)]
struct EpochReplayed {
    epoch: u64,
    first_height: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_height: Option<u64>,
    validators: usize,
    /// Hash of the set: what the result before it names.
    set: String,
}

/// What was compared with a data directory.
#[derive(Debug, Serialize)]
struct StoredReplayed {
    checked_bytes: u64,
    checked_rows: u64,
    results: u64,
    outcomes: u64,
    transactions: u64,
    history: u64,
    receipts: u64,
    outboxes: u64,
    refunds: u64,
    registries: u64,
    records: u64,
    slots: u64,
    #[serde(skip)]
    total: u64,
}

/// What one chain has sent to another, at the cut.
#[derive(Debug, Serialize)]
struct PairReplayed {
    source: u32,
    destination: u32,
    sent: u64,
    sent_fen: u128,
    received: u64,
    received_fen: u128,
}

/// A currency at the cut.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(Default))]
struct CurrencyReplayed {
    currency: String,
    chains: Vec<u32>,
    /// Its chains that were not replayed: where there are any, nothing was compared.
    missing: Vec<u32>,
    issued_fen: u128,
    redeemed_fen: u128,
    holdings_fen: u128,
    under_way_fen: i128,
}

impl Replayed {
    pub(super) fn new(spec: &GenesisSpec, chains: &[ReplayedChain], across: &Across) -> Self {
        let is_missing = |chain: &ChainId| chains.iter().all(|replayed| replayed.report.chain != *chain);
        // Of chains that were added, those that money reached.
        let added = across.currencies.iter().flat_map(|supply| supply.missing.iter().copied());
        let known: BTreeSet<ChainId> = spec.chains.iter().map(|chain| chain.chain).chain(added).collect();
        let missing = known.into_iter().filter(is_missing).map(|chain| chain.0);
        let rows: Vec<ChainReplayed> = chains.iter().map(|chain| ChainReplayed::new(chain, across)).collect();
        Self {
            verdict: "equal",
            genesis_hash: spec.hash().to_string(),
            missing: missing.collect(),
            pairs: across.pairs.iter().map(PairReplayed::new).collect(),
            currencies: across.currencies.iter().map(CurrencyReplayed::new).collect(),
            threads: chains.iter().map(|chain| chain.report.threads).max().unwrap_or(0),
            elapsed_ms: rows.iter().map(|chain| chain.elapsed_ms).sum(),
            chains: rows,
        }
    }
}

impl ChainReplayed {
    fn new(replayed: &ReplayedChain, across: &Across) -> Self {
        let report: &Report = &replayed.report;
        let (tally, supply) = (&report.tally, &report.supply);
        let record = report.registry.chain(report.chain);
        let currency = record.map(|record| record.currency.to_string());
        Self {
            chain: report.chain.0,
            currency: currency.unwrap_or_default(),
            parent: record.and_then(|record| record.parent()).map(|parent| parent.0),
            height: report.height.0,
            cut: across.cut.get(&report.chain).map_or(0, |height| height.0),
            certified_block: report.certified_block.0,
            certified_result: report.certified_result.0,
            state_root: report.state.to_string(),
            result: report.result.to_string(),
            blocks: tally.blocks,
            batches: tally.batches,
            bundles: tally.bundles,
            certificates: tally.certificates,
            transactions: tally.transactions,
            signatures: tally.signatures,
            applied: tally.applied,
            rejected: tally.rejected,
            skipped: tally.skipped,
            payments: tally.payments,
            receipts_sent: tally.sent,
            receipts_executed: tally.receipts,
            receipts_refused: tally.refused,
            receipts_sent_on: tally.sent_on,
            refunds: tally.refunds,
            wallets_moved_in: tally.moved,
            wallets: report.wallets,
            registry_version: report.registry_version,
            epochs: report.epochs.iter().map(|epoch| EpochReplayed::new(report.chain, epoch)).collect(),
            issued_fen: supply.issued.fen(),
            redeemed_fen: supply.redeemed.fen(),
            holdings_fen: supply.holdings.fen(),
            elapsed_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            payments_per_second: report.payments_per_second().round(),
            stored: replayed.stored.as_ref().map(|(checked, rows)| StoredReplayed::new(checked, rows)),
        }
    }

    fn uncertified(&self) -> String {
        match self.height - self.certified_block.min(self.height) {
            0 => String::new(),
            rest => format!("; the last {rest} blocks are not under a certificate yet"),
        }
    }

    /// Facts of the only chain that was replayed.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let money = |fen: u64| format!("{} {}", Amount::from_fen(fen), self.currency);
        let certified = format!(
            "{}, results certified up to height {}",
            grouped(self.certificates),
            self.certified_result
        );
        let mut lines = vec![
            ("chain", self.chain.to_string()),
            ("blocks", format!("{}{}", grouped(self.blocks), self.uncertified())),
            ("certificates", certified),
            ("transactions", grouped(self.transactions)),
            ("  applied", grouped(self.applied)),
            ("  rejected", grouped(self.rejected)),
            ("  not executed", grouped(self.skipped)),
            ("payments", grouped(self.payments)),
        ];
        if self.receipts_sent + self.bundles > 0 {
            lines.extend([
                ("receipts sent", grouped(self.receipts_sent)),
                ("receipts executed", grouped(self.receipts_executed)),
                ("  refused", grouped(self.receipts_refused)),
                ("  refunds", grouped(self.refunds)),
            ]);
        }
        if let Some(parent) = self.parent {
            let moved_in = format!("{} from chain {parent}", grouped(self.wallets_moved_in));
            lines.push(("moved in", moved_in));
        }
        if self.receipts_sent_on > 0 {
            lines.push(("sent on", grouped(self.receipts_sent_on)));
        }
        lines.extend([
            ("wallets", grouped(self.wallets)),
            ("issued", money(self.issued_fen)),
            ("redeemed", money(self.redeemed_fen)),
            ("holdings", money(self.holdings_fen)),
            ("state root", self.state_root.clone()),
        ]);
        if self.registry_version > 0 {
            lines.push(("registry", format!("version {}", self.registry_version)));
        }
        lines.extend(self.epoch_lines().into_iter().map(|line| ("epoch", line)));
        lines
    }

    /// Who decided which heights; nothing where the set of genesis still does.
    fn epoch_lines(&self) -> Vec<String> {
        if self.epochs.len() < 2 { Vec::new() } else { self.epochs.iter().map(EpochReplayed::line).collect() }
    }
}

impl EpochReplayed {
    fn new(chain: ChainId, record: &EpochRecord) -> Self {
        Self {
            epoch: record.epoch.0,
            first_height: record.first_height.0,
            last_height: record.last_height.map(|last| last.0),
            validators: record.validators.len(),
            set: record.set_hash(chain).to_string(),
        }
    }

    fn line(&self) -> String {
        let Self { epoch, first_height, last_height, validators, set } = self;
        let last = last_height.map(|last| format!(" to {}", grouped(last))).unwrap_or_default();
        format!("{epoch}, from height {}{last}: {validators} validators, set {set}", grouped(*first_height))
    }
}

impl StoredReplayed {
    const fn new(checked: &VerifyReport, rows: &StoredRows) -> Self {
        Self {
            checked_bytes: checked.bytes,
            checked_rows: checked.rows,
            results: rows.results,
            outcomes: rows.outcomes,
            transactions: rows.transactions,
            history: rows.history,
            receipts: rows.receipts,
            outboxes: rows.outboxes,
            refunds: rows.refunds,
            registries: rows.registries,
            records: rows.records,
            slots: rows.slots,
            total: rows.total(),
        }
    }
}

impl PairReplayed {
    const fn new(pair: &Pair) -> Self {
        let (Counter { count: sent, total: sent_fen }, Counter { count: received, total: received_fen }) =
            (pair.sent, pair.received);
        let (source, destination) = (pair.source.0, pair.destination.0);
        Self { source, destination, sent, sent_fen, received, received_fen }
    }
}

impl CurrencyReplayed {
    fn new(supply: &CurrencySupply) -> Self {
        let ids = |chains: &[ChainId]| chains.iter().map(|chain| chain.0).collect();
        Self {
            currency: supply.currency.to_string(),
            chains: ids(&supply.chains),
            missing: ids(&supply.missing),
            issued_fen: supply.issued,
            redeemed_fen: supply.redeemed,
            holdings_fen: supply.holdings,
            under_way_fen: supply.under_way,
        }
    }

    fn row(&self) -> Vec<String> {
        let (under_way, note) = if self.missing.is_empty() {
            (decimal(self.under_way_fen.unsigned_abs()), "adds up".to_owned())
        } else {
            ("unknown".to_owned(), format!("not compared: {} not replayed", listed(&self.missing)))
        };
        let [issued, redeemed, holdings] =
            [self.issued_fen, self.redeemed_fen, self.holdings_fen].map(decimal);
        vec![self.currency.clone(), issued, redeemed, holdings, under_way, note]
    }
}

/// Money with two decimals.
fn decimal(fen: u128) -> String {
    format!("{}.{:02}", fen / FEN, fen % FEN)
}

/// `chain 1`, or `chains 1, 2`.
fn listed(chains: &[u32]) -> String {
    let word = if chains.len() == 1 { "chain" } else { "chains" };
    let ids: Vec<String> = chains.iter().map(u32::to_string).collect();
    format!("{word} {}", ids.join(", "))
}

impl Replayed {
    fn chain_table(&self) -> String {
        let row = |chain: &ChainReplayed| {
            let uncertified = chain.height - chain.certified_block.min(chain.height);
            let mut row = vec![chain.chain.to_string(), chain.currency.clone()];
            let numbers = [
                chain.height,
                uncertified,
                chain.cut,
                chain.transactions,
                chain.payments,
                chain.receipts_sent,
                chain.receipts_executed,
                chain.receipts_refused,
            ];
            row.extend(numbers.map(grouped));
            row.push(Amount::from_fen(chain.holdings_fen).to_string());
            row
        };
        let header = [
            "chain",
            "currency",
            "height",
            "uncertified",
            "cut",
            "transactions",
            "payments",
            "sent",
            "received",
            "refused",
            "holdings",
        ];
        table(&header, self.chains.iter().map(row), &[2, 3, 4, 5, 6, 7, 8, 9, 10])
    }

    fn currency_table(&self) -> String {
        let header = ["currency", "issued", "redeemed", "holdings", "under way", "supply"];
        table(&header, self.currencies.iter().map(CurrencyReplayed::row), &[1, 2, 3, 4])
    }
}

impl Show for Replayed {
    fn text(&self) -> String {
        let verdict = "equal: everything that was read is what the rules make of genesis".to_owned();
        let mut lines = vec![("verdict", verdict)];
        if let [chain] = self.chains.as_slice() {
            lines.extend(chain.lines());
        }
        if !self.missing.is_empty() {
            let missing =
                format!("{}; what came from there rests on their certificates alone", listed(&self.missing));
            lines.push(("not replayed", missing));
        }
        let stored = || self.chains.iter().filter_map(|chain| chain.stored.as_ref());
        if stored().next().is_some() {
            let (rows, bytes) = stored().fold((0_u64, 0_u64), |(rows, bytes), stored| {
                (rows.saturating_add(stored.total), bytes.saturating_add(stored.checked_bytes))
            });
            let compared = format!("{} compared, {} bytes checked", grouped(rows), grouped(bytes));
            lines.push(("stored rows", compared));
        }
        let (seconds, tenths) = (self.elapsed_ms / 1_000, self.elapsed_ms % 1_000 / 100);
        lines.push(("time", format!("{seconds}.{tenths} s on {} threads", self.threads)));
        let payments: u64 = self.chains.iter().map(|chain| chain.payments).sum();
        let rate = match self.chains.as_slice() {
            [chain] => chain.payments_per_second,
            _ => payments as f64 * 1_000.0 / self.elapsed_ms.max(1) as f64,
        };
        lines.push(("rate", format!("{rate:.0} payments/s")));
        let text = facts(&lines);
        if self.chains.len() == 1 {
            return text;
        }
        let mut parts = vec![text, self.chain_table(), self.currency_table()];
        let added = self.chains.iter().filter_map(|chain| Some((chain, chain.parent?)));
        parts.extend(added.map(|(chain, parent)| {
            let moved_in = grouped(chain.wallets_moved_in);
            format!("chain {} was added, {moved_in} wallets moved there from chain {parent}", chain.chain)
        }));
        let changed = self.chains.iter().filter(|chain| chain.epochs.len() > 1);
        parts.extend(changed.map(|chain| {
            let lines = chain.epoch_lines().into_iter().map(|line| format!("\n  epoch {line}"));
            format!(
                "chain {}, registry version {}{}",
                chain.chain,
                chain.registry_version,
                lines.collect::<String>()
            )
        }));
        parts.join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(chains: Vec<ChainReplayed>, currencies: Vec<CurrencyReplayed>) -> Replayed {
        Replayed {
            verdict: "equal",
            genesis_hash: String::new(),
            chains,
            missing: Vec::new(),
            pairs: Vec::new(),
            currencies,
            threads: 2,
            elapsed_ms: 1_500,
        }
    }

    fn chain(chain: u32, currency: &str) -> ChainReplayed {
        let currency = currency.to_owned();
        ChainReplayed { chain, currency, height: 1_200, cut: 1_100, payments: 30, ..ChainReplayed::default() }
    }

    #[test]
    fn several_chains_are_shown_in_tables() {
        let cny = CurrencyReplayed {
            currency: "CNY".to_owned(),
            issued_fen: 123_456,
            holdings_fen: 123_000,
            under_way_fen: 456,
            ..CurrencyReplayed::default()
        };
        let hkd = CurrencyReplayed {
            currency: "HKD".to_owned(),
            missing: vec![3, 4],
            ..CurrencyReplayed::default()
        };
        let text = replayed(vec![chain(0, "CNY"), chain(1, "CNY"), chain(2, "HKD")], vec![cny, hkd]).text();
        assert!(text.starts_with("verdict  equal"), "{text}");
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let row = |first: &str| rows.iter().find(|row| row.first() == Some(&first)).unwrap().clone();
        assert_eq!(row("1")[1..5], ["CNY", "1,200", "1,200", "1,100"]);
        assert_eq!(row("CNY")[1..], ["1234.56", "0.00", "1230.00", "4.56", "adds", "up"]);
        let compared = row("HKD")[4..].join(" ");
        assert_eq!(compared, "unknown not compared: chains 3, 4 not replayed");
        assert_eq!(row("rate")[1], "60");
    }

    #[test]
    fn a_single_chain_is_shown_as_facts_and_what_is_missing_is_named() {
        let mut one = replayed(vec![chain(1, "CNY")], Vec::new());
        one.missing = vec![0];
        let text = one.text();
        assert!(
            text.contains("blocks          0; the last 1200 blocks are not under a certificate yet"),
            "{text}"
        );
        assert!(text.contains("holdings        0.00 CNY"), "{text}");
        assert!(text.contains("not replayed    chain 0; what came from there rests on"), "{text}");
        assert!(!text.contains("receipts") && !text.contains("under way"), "{text}");
        one.chains[0].receipts_sent = 7;
        assert!(one.text().contains("receipts sent      7"), "{}", one.text());
    }

    #[test]
    fn a_chain_that_was_added_names_its_parent_and_what_moved_there() {
        let mut child = chain(2, "CNY");
        (child.parent, child.wallets_moved_in, child.receipts_sent_on) = (Some(0), 1_234, 5);
        let text = replayed(vec![child], Vec::new()).text();
        assert!(text.contains("1,234 from chain 0") && text.contains("sent on "), "{text}");
        let mut child = chain(2, "CNY");
        (child.parent, child.wallets_moved_in) = (Some(0), 1_234);
        let text = replayed(vec![chain(0, "CNY"), child], Vec::new()).text();
        assert!(
            text.contains("chain 2 was added, 1,234 wallets moved there from chain 0")
                && !text.contains("chain 0 was"),
            "{text}"
        );
    }

    #[test]
    fn a_change_of_validators_shows_every_epoch() {
        let epoch = |epoch: u64, first_height: u64, last_height: Option<u64>| EpochReplayed {
            epoch,
            first_height,
            last_height,
            validators: 4 + usize::try_from(epoch).unwrap(),
            set: format!("{epoch:064x}"),
        };
        let mut changed = chain(1, "CNY");
        changed.registry_version = 1;
        changed.epochs = vec![epoch(0, 1, Some(1_070)), epoch(1, 1_071, None)];
        let text = replayed(vec![changed], Vec::new()).text();
        assert!(
            text.contains("registry        version 1\nepoch           0, from height 1 to 1,070: 4 "),
            "{text}"
        );
        assert!(text.contains("epoch           1, from height 1,071: 5 validators, set 0000"), "{text}");
        let mut changed = chain(1, "CNY");
        changed.epochs = vec![epoch(0, 1, Some(1_070)), epoch(1, 1_071, None)];
        let text = replayed(vec![chain(0, "CNY"), changed], Vec::new()).text();
        assert!(text.contains("chain 1, registry version 0\n  epoch 0, from height 1 to 1,070"), "{text}");
        assert!(!text.contains("chain 0, registry"), "{text}");
    }
}
