//! `bench table`: ours beside PostgreSQL and beside the limit, from what the three measurements of one run have printed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Least payments for each transfer of PostgreSQL.
const GOAL_POSTGRES: f64 = 2.0;

/// Options of `bench table`.
#[derive(Debug, Args)]
pub(crate) struct Table {
    /// What `bench load` printed.
    #[arg(long, value_name = "FILE")]
    load: PathBuf,
    /// What `bench signatures` printed.
    #[arg(long, value_name = "FILE")]
    signatures: PathBuf,
    /// What `benches/peers/postgres/run` printed; without it that column is missing.
    #[arg(long, value_name = "FILE")]
    postgres: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Load {
    banks: usize,
    missed: u64,
    steady_per_second: f64,
    cpu_us_per_payment: f64,
    to_certified: Quantiles,
}

#[derive(Debug, Deserialize)]
struct Quantiles {
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Signatures {
    us_per_signature: f64,
    validators: usize,
    limit_per_second: f64,
}

#[derive(Debug, Deserialize)]
struct Postgres {
    version: String,
    transfers_per_second: f64,
    server_cpu_us_per_transfer: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Table {
    pub(crate) fn run(&self) {
        let postgres = self.postgres.as_deref().map(read::<Postgres>);
        print!("{}", text(&read(&self.load), &read(&self.signatures), postgres.as_ref()));
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn text(load: &Load, signatures: &Signatures, postgres: Option<&Postgres>) -> String {
    let row = |cells: [String; 4]| format!("| {} |\n", cells.join(" | "));
    // Of every payment, each validator checks one signature.
    let limit_us = signatures.us_per_signature * signatures.validators as f64;
    let mut lines = row(["what".into(), "a second".into(), "CPU µs each".into(), "p50 / p99 ms".into()]);
    lines += "| --- | --- | --- | --- |\n";
    lines += &row([
        format!("payments, {} banks (to certified; {} missed)", load.banks, load.missed),
        format!("{:.0}", load.steady_per_second),
        format!("{:.0}", load.cpu_us_per_payment),
        format!("{:.0} / {:.0}", load.to_certified.p50_ms, load.to_certified.p99_ms),
    ]);
    if let Some(postgres) = postgres {
        lines += &row([
            format!("transfers, one PostgreSQL {}", postgres.version),
            format!("{:.0}", postgres.transfers_per_second),
            format!("{:.0}", postgres.server_cpu_us_per_transfer),
            format!("{:.1} / {:.1}", postgres.p50_ms, postgres.p99_ms),
        ]);
        let ratio = load.steady_per_second / postgres.transfers_per_second.max(0.001);
        let verdict = if ratio >= GOAL_POSTGRES { "met" } else { "missed" };
        lines += &row([
            format!("ours : PostgreSQL (goal {GOAL_POSTGRES})"),
            format!("{ratio:.2}, {verdict}"),
            format!("{:.2}", load.cpu_us_per_payment / postgres.server_cpu_us_per_transfer.max(0.001)),
            String::new(),
        ]);
    }
    lines += &row([
        format!("limit: {} validators check each signature once, and nothing else", signatures.validators),
        format!("{:.0}", signatures.limit_per_second),
        format!("{limit_us:.1}"),
        String::new(),
    ]);
    lines += &row([
        "ours : limit".into(),
        format!("{:.2}", load.steady_per_second / signatures.limit_per_second.max(0.001)),
        format!("{:.2}", load.cpu_us_per_payment / limit_us.max(0.001)),
        String::new(),
    ]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_files() {
        let load: Load = serde_json::from_str(
            r#"{"banks":4,"missed":3,"steady_per_second":15000.0,"cpu_us_per_payment":100.0,
                "to_certified":{"p50_ms":200.4,"p99_ms":900.0,"max_ms":1.0},"pace_ms":100}"#,
        )
        .unwrap();
        let signatures: Signatures = serde_json::from_str(
            r#"{"us_per_signature":10.0,"validators":4,"limit_per_second":50000.0,"cores":2}"#,
        )
        .unwrap();
        let postgres: Postgres = serde_json::from_str(
            r#"{"version":"15.18","transfers_per_second":6000.0,"server_cpu_us_per_transfer":200.0,"p50_ms":1.1,"p99_ms":3.0}"#,
        )
        .unwrap();
        let all = text(&load, &signatures, Some(&postgres));
        for line in [
            "| payments, 4 banks (to certified; 3 missed) | 15000 | 100 | 200 / 900 |",
            "| transfers, one PostgreSQL 15.18 | 6000 | 200 | 1.1 / 3.0 |",
            "| ours : PostgreSQL (goal 2) | 2.50, met | 0.50 |  |",
            "| limit: 4 validators check each signature once, and nothing else | 50000 | 40.0 |  |",
            "| ours : limit | 0.30 | 2.50 |  |",
        ] {
            assert!(all.contains(line), "{line}\n{all}");
        }
        assert!(!text(&load, &signatures, None).contains("PostgreSQL"));
    }
}
