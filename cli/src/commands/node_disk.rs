//! `jiaozi node disk-forecast`: how many days the disk lasts.

use std::path::PathBuf;

use clap::Args;
use node::{Forecast, ForecastError, Growth};
use serde::Serialize;

use super::node::{load, refusal};
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts, grouped};

/// Arguments of `jiaozi node disk-forecast`.
#[derive(Debug, Args)]
pub(super) struct ForecastArguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also at this rate: transactions of one payment each, on all chains of the node together.
    #[arg(long, value_name = "N")]
    payments_per_second: Option<u32>,
    /// How much of the past is looked at.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=24 * 366))]
    hours: u32,
}

/// What `node disk-forecast` tells.
#[derive(Debug, Serialize)]
struct Told {
    data_bytes: u64,
    free_bytes: u64,
    reserve_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_bytes: Option<u64>,
    left_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_until_kept: Option<u64>,
    chains: Vec<ChainTold>,
    as_now: Days,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_rate: Option<Days>,
    not_known: &'static str,
}

#[derive(Debug, Serialize)]
struct ChainTold {
    chain: u32,
    window_ms: u64,
    blocks: u64,
    transactions: u64,
    sampled_blocks: u64,
    bytes_per_block: u64,
    bytes_per_payment: u64,
}

/// A rate, and how long the disk lasts at it.
#[derive(Debug, Serialize)]
struct Days {
    payments_per_second: f64,
    bytes_per_day: u64,
    /// Missing where nothing grows.
    days_left: Option<u64>,
}

const NOT_KNOWN: &str =
    "compression, room for compaction, wallets yet to open, what others write on the device";

impl Show for Told {
    fn text(&self) -> String {
        let mut lines = vec![
            ("data", format!("{} bytes", grouped(self.data_bytes))),
            ("free", format!("{} bytes, {} reserved", grouped(self.free_bytes), grouped(self.reserve_bytes))),
        ];
        if let Some(budget) = self.budget_bytes {
            lines.push(("budget", format!("{} bytes", grouped(budget))));
        }
        lines.push(("left", format!("{} bytes until it stops voting", grouped(self.left_bytes))));
        if let (Some(kept), Some(days)) = (self.keep_blocks, self.days_until_kept) {
            let then =
                if days == 0 { "as many are held".to_owned() } else { format!("in {} days", grouped(days)) };
            lines.push(("kept", format!("the newest {} blocks: {then}", grouped(kept))));
        }
        for chain in &self.chains {
            let (blocks, payments) = (grouped(chain.blocks), grouped(chain.transactions));
            let minutes = chain.window_ms / 60_000;
            lines.push((
                "looked at",
                format!("chain {}: {blocks} blocks, {payments} payments in {minutes} min", chain.chain),
            ));
            let (block, payment) = (grouped(chain.bytes_per_block), grouped(chain.bytes_per_payment));
            lines.push(("writes", format!("{block} bytes per block, {payment} per payment")));
        }
        lines.push(("as now", self.as_now.text()));
        if let Some(at_rate) = &self.at_rate {
            lines.push(("at the rate", at_rate.text()));
        }
        lines.push(("not known", self.not_known.to_owned()));
        facts(&lines)
    }
}

impl Days {
    fn new(forecast: &Forecast, rate: Option<u64>) -> Self {
        let bytes_per_day = forecast.bytes_per_day(rate);
        let today = forecast.chains.iter().map(Growth::transactions_per_day).fold(0, u64::saturating_add);
        Self {
            payments_per_second: rate.map_or(today as f64 / 86_400.0, |rate| rate as f64),
            bytes_per_day,
            days_left: forecast.days_left(bytes_per_day),
        }
    }

    fn text(&self) -> String {
        let Self { payments_per_second, bytes_per_day, days_left } = self;
        let days = days_left.map_or_else(|| "no end".to_owned(), |days| format!("{} days", grouped(days)));
        format!("{days}: {payments_per_second:.1} payments/s, {} bytes a day", grouped(*bytes_per_day))
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub(super) fn forecast(arguments: &ForecastArguments, output: Output) -> Answer {
    let config = load(&arguments.config)?;
    let scratch = Scratch::new()?;
    let forecast = node::forecast(&config, u64::from(arguments.hours), &scratch.0).map_err(refused)?;
    let chain = |growth: &Growth| ChainTold {
        chain: growth.chain,
        window_ms: growth.window_ms,
        blocks: growth.blocks,
        transactions: growth.transactions,
        sampled_blocks: growth.sampled,
        bytes_per_block: growth.bytes_per_block,
        bytes_per_payment: growth.bytes_per_transaction,
    };
    output.result(&Told {
        data_bytes: forecast.data_bytes,
        free_bytes: forecast.free_bytes,
        reserve_bytes: forecast.reserve_bytes,
        budget_bytes: forecast.budget_bytes,
        left_bytes: forecast.left_bytes,
        keep_blocks: forecast.keep_blocks,
        days_until_kept: forecast.days_until_kept(),
        chains: forecast.chains.iter().map(chain).collect(),
        as_now: Days::new(&forecast, None),
        at_rate: arguments.payments_per_second.map(|rate| Days::new(&forecast, Some(u64::from(rate)))),
        not_known: NOT_KNOWN,
    })
}

fn refused(fault: ForecastError) -> Failure {
    match fault {
        ForecastError::Start(fault) => refusal("disk_forecast", &fault),
        young @ ForecastError::TooYoung => Failure::refused("too_young", young).at("--hours"),
    }
}

/// A folder for what following a live database writes; removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Answer<Self> {
        let path = std::env::temp_dir().join(format!("jiaozi-forecast-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|fault| Failure::io("make", &path, &fault))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // In the system's folder for what is temporary: nothing is lost if it stays.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
