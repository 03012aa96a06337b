//! `jiaozi fee`: what a transaction should bid, and what the base fee was.

use api::fees::{FeeEstimate, FeeEstimateQuery, FeeEstimates, FeeHistory};
use clap::{Args, Subcommand, ValueEnum};
use ledger::values::{Amount, Currency, Money, TimestampMs};
use serde::Serialize;

use crate::clock;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts, grouped, table};

/// Most blocks of a history.
const HISTORY_BLOCKS_MAX: u64 = 1_024;

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
    /// What the transaction is to do, where its weight is not named.
    #[arg(long, value_name = "WHAT", default_value = "pay", conflicts_with = "weight")]
    operation: OperationChoice,
    /// Payees of a payment.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "weight")]
    payments: u32,
    /// Wallets that are opened.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "weight")]
    wallets: u32,
    /// What the transaction weighs.
    #[arg(long, value_name = "WEIGHT")]
    weight: Option<u64>,
    /// The chain of a payee, where it is another one: its part is told, too.
    #[arg(long, value_name = "ID")]
    to_chain: Option<u32>,
    /// How long it may take until it is final.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    within_s: f64,
    /// How sure it must be that it is final by then, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    confidence: f64,
    #[command(flatten)]
    node: NodeOptions,
}

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OperationChoice {
    /// Pays.
    Pay,
    /// Opens wallets.
    OpenWallets,
    /// Issues money.
    Issue,
    /// Takes money out of circulation.
    Redeem,
    /// Locks money under a hash.
    Lock,
    /// Claims a lock.
    Claim,
    /// Offers an exchange.
    Exchange,
    /// Accepts one.
    Accept,
}

#[derive(Debug, Args)]
struct HistoryArguments {
    /// The first height; the newest blocks if not given.
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,
    /// How many blocks.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=HISTORY_BLOCKS_MAX))]
    limit: u64,
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
        let row = |(name, estimate): (&str, &FeeEstimate)| {
            vec![
                name.to_owned(),
                money(estimate.expected_fee_fen),
                money(estimate.fee_max_fen),
                money(estimate.tip_fen),
                format!("{:.0} %", estimate.probability * 100.0),
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
            let (chain, fee) = (leg.to_chain, Amount::from_fen(leg.fee_fen));
            let (p50, p95) = (leg.credited_s_p50, leg.credited_s_p95);
            let text = format!("credited in about {p50:.1} s, 95 of 100 within {p95:.1} s, for {fee} more");
            ("there", format!("on chain {chain}: {text}"))
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
            let chain = node.chain_or_root();
            output.result(&Past(connection.wait(connection.client.fee_history(chain, from, Some(limit)))?))
        }
    }
}

fn estimate(arguments: &EstimateArguments, output: Output) -> Answer {
    let query = arguments.query()?;
    let connection = arguments.node.connect()?;
    let code = currency(&connection, query.chain)?;
    let estimates = connection.wait(connection.client.fee_estimate(&query))?;
    output.result(&Estimated { currency: code.to_string(), estimates, code })
}

/// The currency of a chain.
fn currency(connection: &Connection, chain: u32) -> Answer<Currency> {
    let network = connection.network(None)?;
    let place = network
        .chain(ledger::values::ChainId(chain))
        .ok_or_else(|| Failure::from(api::ApiError::from(api::ErrorCode::ChainUnknown)).at("--chain"))?;
    place.currency.parse().map_err(|fault| Failure::refused("currency", fault))
}
