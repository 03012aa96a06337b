//! `jiaozi fee`: what a transaction should bid, and what the base fee was.

use api::fees::{EstimateView, FEE_BLOCKS_MAX, FeeEstimates, FeeHistory, FeeQuery, OperationName};
use api::{ApiError, ErrorCode};
use clap::{Args, Subcommand};
use ledger::values::{ChainId, Currency, Height, Money, TimestampMs};
use serde::Serialize;

use crate::clock;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts, grouped, table};

/// Arguments of `jiaozi fee`.
#[derive(Debug, Args)]
pub struct FeeArguments {
    #[command(subcommand)]
    command: FeeCommand,
}

#[derive(Debug, Subcommand)]
enum FeeCommand {
    /// What to bid, what it will probably cost, and when it is final.
    #[command(after_help = "Examples:\n  \
        jiaozi fee estimate\n  \
        jiaozi fee estimate --chain 1 --operation pay --payments 10 --within-s 5 --confidence 0.99\n  \
        jiaozi fee estimate --weight 5000 --json\n\n\
        `jiaozi pay` and the other commands that send ask by themselves: --fee says how urgent it is.")]
    Estimate(EstimateArguments),
    /// Weight and base fee of a chain's blocks.
    #[command(after_help = "Examples:\n  \
        jiaozi fee history\n  \
        jiaozi fee history --chain 1 --limit 100\n  \
        jiaozi fee history --from 1000 --limit 50 --json")]
    History(HistoryArguments),
}

#[derive(Debug, Args)]
struct EstimateArguments {
    /// What the transaction is to do, where its weight is not named: pay, open-wallets, issue, redeem, lock, claim, exchange, accept,
    /// decline or withdraw; a payment unless said.
    #[arg(long, value_name = "WHAT", value_parser = operation, conflicts_with = "weight")]
    operation: Option<OperationName>,
    /// Payees of a payment; 1 unless said.
    #[arg(long, value_name = "N", conflicts_with = "weight")]
    payments: Option<u32>,
    /// Wallets that are opened; 1 unless said.
    #[arg(long, value_name = "N", conflicts_with = "weight")]
    wallets: Option<u32>,
    /// What the transaction weighs.
    #[arg(long, value_name = "WEIGHT")]
    weight: Option<u64>,
    /// The chain of a payee, where it is another one: when the money is there is told, too.
    #[arg(long, value_name = "ID")]
    to_chain: Option<u32>,
    /// How long it may take until it is final; 2 unless said.
    #[arg(long, value_name = "SECONDS")]
    within_s: Option<f64>,
    /// How sure it must be that it is final by then, 0.5 to 0.999; 0.95 unless said.
    #[arg(long, value_name = "SHARE")]
    confidence: Option<f64>,
    #[command(flatten)]
    node: NodeOptions,
}

/// An operation as REST names it, or with hyphens, as commands are written.
fn operation(text: &str) -> Result<OperationName, String> {
    let word = text.replace('-', "_");
    let known = OperationName::ALL.into_iter().find(|known| known.name() == word);
    known.ok_or_else(|| format!("name one of: {}", OperationName::ALL.map(OperationName::name).join(", ")))
}

#[derive(Debug, Args)]
struct HistoryArguments {
    /// The first height; the newest blocks if not given.
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,
    /// How many blocks.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(FEE_BLOCKS_MAX)))]
    limit: u32,
    #[command(flatten)]
    node: NodeOptions,
}

/// Three bids, and the currency that they are in.
#[derive(Debug, Serialize)]
struct Estimated {
    currency: String,
    #[serde(flatten)]
    estimates: FeeEstimates,
    #[serde(skip)]
    code: Currency,
}

impl Show for Estimated {
    fn text(&self) -> String {
        let estimates = &self.estimates;
        let money = |fen: u64| Money::from_fen(fen, self.code).to_string();
        let row = |(name, estimate): (&str, &EstimateView)| {
            vec![
                name.to_owned(),
                money(estimate.expected_fee_fen),
                money(estimate.fee_max_fen),
                money(estimate.tip_fen),
                format!("{:.1} %", estimate.probability * 100.0),
                format!("{:.1} s", estimate.final_s_p50),
                format!("{:.1} s", estimate.final_s_p95),
            ]
        };
        let named =
            [("economy", &estimates.economy), ("normal", &estimates.normal), ("urgent", &estimates.urgent)];
        let header = ["--fee", "about", "at most", "tip", "in time", "half within", "95 % within"];
        let rows = table(&header, named.map(row), &[1, 2, 3, 4, 5, 6]);
        let mut lines = vec![
            ("chain", format!("{} at height {}", estimates.chain, grouped(estimates.height))),
            ("weight", grouped(estimates.weight)),
            ("base fee", rate(estimates.base_fee_micro_fen)),
            ("why", estimates.normal.explanation.clone()),
        ];
        lines.extend(estimates.cross_chain.as_ref().map(|leg| {
            let when = match (leg.credited_s_p50, leg.credited_s_p95) {
                (Some(p50), Some(p95)) => {
                    format!("credited in about {p50:.1} s, 95 of 100 within {p95:.1} s")
                }
                _ => "the asked node does not host it, so it does not know when".to_owned(),
            };
            ("there", format!("chain {}: {when}; {} more", leg.to_chain, money(leg.fee_fen)))
        }));
        format!("{rows}\n\n{}", facts(&lines))
    }
}

/// The blocks of a chain.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Past(FeeHistory);

impl Show for Past {
    fn text(&self) -> String {
        let history = &self.0;
        let target = history.weight_target.max(1);
        let rows = history.blocks.iter().map(|block| {
            vec![
                grouped(block.height),
                clock::utc(TimestampMs(block.timestamp_ms)),
                grouped(block.weight),
                format!("{} %", grouped(block.weight.saturating_mul(100) / target)),
                grouped(block.base_fee_micro_fen),
            ]
        });
        let rows = table(&["height", "time", "weight", "of target", "base fee"], rows, &[0, 2, 3, 4]);
        let lines = facts(&[
            ("chain", history.chain.to_string()),
            ("target", grouped(history.weight_target)),
            ("most", grouped(history.weight_max)),
            ("next", rate(history.next_base_fee_micro_fen)),
        ]);
        format!("{rows}\n\n{lines}")
    }
}

/// A base fee in words.
fn rate(micro_fen: u64) -> String {
    format!("{} millionths of a fen a unit of weight", grouped(micro_fen))
}

/// Runs `jiaozi fee`.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: FeeArguments, output: Output) -> Answer {
    match arguments.command {
        FeeCommand::Estimate(arguments) => estimate(&arguments, output),
        FeeCommand::History(HistoryArguments { from, limit, node }) => {
            let connection = node.connect()?;
            let asked = connection.client.fee_history(node.chain_or_root(), from.map(Height), Some(limit));
            output.result(&Past(connection.wait(asked)?))
        }
    }
}

fn estimate(arguments: &EstimateArguments, output: Output) -> Answer {
    let EstimateArguments { operation, payments, wallets, weight, to_chain, within_s, confidence, node } =
        arguments;
    let (connection, chain) = (node.connect()?, node.chain_or_root());
    let code = currency(&connection, chain)?;
    let query = FeeQuery {
        chain: Some(chain.0),
        weight: *weight,
        operation: *operation,
        payments: *payments,
        wallets: *wallets,
        to_chain: *to_chain,
        confidence: *confidence,
        within_s: *within_s,
    };
    let estimates = connection.wait(connection.client.fee_estimate_with(&query))?;
    output.result(&Estimated { currency: code.to_string(), estimates, code })
}

/// The currency of a chain.
fn currency(connection: &Connection, chain: ChainId) -> Answer<Currency> {
    let network = connection.network(None)?;
    let unknown = || Failure::from(ApiError::from(ErrorCode::ChainUnknown)).at("--chain");
    let place = network.chain(chain).ok_or_else(unknown)?;
    place.currency.parse().map_err(|fault| Failure::refused("currency", fault))
}

#[cfg(test)]
mod tests {
    use api::fees::{CrossChainView, FeeBlock, WhyName};

    use super::*;

    #[test]
    fn operations_are_named_as_rest_or_as_commands_do() {
        assert_eq!(operation("open-wallets"), Ok(OperationName::OpenWallets));
        assert_eq!(operation("open_wallets"), Ok(OperationName::OpenWallets));
        assert!(operation("govern").unwrap_err().contains("open_wallets, issue"));
    }

    #[test]
    fn estimates_are_told_in_money_and_seconds() {
        let estimate = |fen: u64| EstimateView {
            fee_max_fen: 2 * fen,
            tip_fen: fen / 4,
            expected_fee_fen: fen,
            probability: 0.974,
            final_s_p50: 0.31,
            final_s_p95: 0.9,
            why: WhyName::Rising,
            explanation: "Blocks are full.".to_owned(),
        };
        let estimates = FeeEstimates {
            chain: 1,
            weight: 811,
            height: 12_345,
            base_fee_micro_fen: 25_000,
            economy: estimate(20),
            normal: estimate(40),
            urgent: estimate(80),
            cross_chain: Some(CrossChainView {
                to_chain: 2,
                fee_fen: 0,
                credited_s_p50: Some(0.6),
                credited_s_p95: Some(1.2),
            }),
        };
        let code = Currency(*b"HKD");
        let text = Estimated { currency: code.to_string(), estimates, code }.text();
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[2], "normal 0.40 HKD 0.80 HKD 0.10 HKD 97.4 % 0.3 s 0.9 s");
        for part in [
            "chain 1 at height 12,345",
            "base fee 25,000 millionths of a fen a unit of weight",
            "why Blocks are full.",
            "there chain 2: credited in about 0.6 s, 95 of 100 within 1.2 s; 0.00 HKD more",
        ] {
            assert!(lines.iter().any(|line| line == part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_history_is_a_row_for_each_block() {
        let block = |height, weight, base_fee_micro_fen| FeeBlock {
            height,
            timestamp_ms: 1_767_225_600_000,
            weight,
            base_fee_micro_fen,
        };
        let history = FeeHistory {
            chain: 0,
            blocks: vec![block(1_000, 75_000, 0), block(1_001, 0, 1_300)],
            weight_target: 50_000,
            weight_max: 8_388_608,
            next_base_fee_micro_fen: 975,
        };
        let text = Past(history).text();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["1,000", "2026-01-01", "00:00:00", "UTC", "75,000", "150", "%", "0"]);
        assert_eq!(rows[2].last(), Some(&"1,300"));
        assert!(text.ends_with("next    975 millionths of a fen a unit of weight"), "{text}");
    }
}
