//! `bench scaling`: the same load on 1, 2, 4 and 8 chains, with 0, 10 and 50 % of the payments to other chains.
//!
//! The load and the blocks a second are equal in all cells: the block pace of a chain is stretched by the number of chains. One
//! more cell, two chains at the pace of one, tells what a block costs. The constants of [`crate::model`] are taken from three of
//! the cells, and the others show how far it is off.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::load::{Answer, Load};
use crate::model::{Cell, Model, Site};

/// Most processor time with the most chains, against one chain.
const GOAL_CHAINS: f64 = 1.25;
/// Most processor time of a payment to another chain, against one within a chain.
const GOAL_CROSS: f64 = 2.2;
/// Most block times until half of the payments to other chains are credited.
const GOAL_BLOCK_TIMES: f64 = 7.0;

/// Options of `bench scaling`.
#[derive(Debug, Args)]
pub(crate) struct Scaling {
    /// Payments offered each second, on all chains together.
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Length of each measurement.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// Wallets, on all chains together.
    #[arg(long, default_value_t = 8_000)]
    wallets: usize,
    /// Least time between blocks where there is one chain; of two chains, twice that on each, and so on.
    #[arg(long, default_value_t = 50)]
    pace_ms: u64,
    /// Numbers of chains.
    #[arg(long, value_delimiter = ',', default_values_t = [1_u16, 2, 4, 8])]
    chains: Vec<u16>,
    /// Percentages of payments to other chains.
    #[arg(long, value_delimiter = ',', default_values_t = [0_u64, 10, 50])]
    cross: Vec<u64>,
    /// Times that everything is measured; of each cell the run with the middle processor time counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// New file for the measured cells.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Measure nothing: show the cells of such a file.
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,
}

impl Answer {
    /// What the table needs.
    fn cell(&self) -> Cell {
        Cell {
            banks: self.banks,
            chains: self.chains,
            cross_percent: self.cross_percent,
            pace_ms: self.pace_ms,
            offered_per_second: self.offered_per_second,
            applied: self.applied,
            missed: self.missed,
            applied_per_second: self.applied_per_second,
            cpu_us_per_payment: self.cpu_us_per_payment,
            disk_bytes_per_payment_and_node: self.disk_bytes_per_payment_and_node,
            blocks: self.blocks,
            blocks_per_second: self.blocks_per_second,
            certified_p50_ms: self.to_certified.p50_ms,
            certified_p99_ms: self.to_certified.p99_ms,
            credited_p50_ms: self.cross.map(|cross| cross.to_credited.p50_ms),
            credited_p99_ms: self.cross.map(|cross| cross.to_credited.p99_ms),
        }
    }
}

impl Scaling {
    pub(crate) async fn run(self) {
        let cells = match &self.show {
            Some(file) => serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(),
            None => self.measured().await,
        };
        if let Some(file) = &self.save {
            save(file, &cells);
        }
        print!("{}", Table { cells: &cells }.text());
    }

    async fn measured(&self) -> Vec<Cell> {
        let mut runs: Vec<Vec<Cell>> = Vec::new();
        for round in 1..=self.rounds.max(1) {
            for (number, load) in self.loads().iter().enumerate() {
                let (chains, cross) = (load.chains, load.cross);
                eprintln!("round {round}: {chains} chains, {cross} % to others, pace {} ms", load.pace_ms);
                let cell = load.measured().await.cell();
                match runs.get_mut(number) {
                    Some(run) => run.push(cell),
                    None => runs.push(vec![cell]),
                }
            }
        }
        runs.into_iter().filter_map(middle).collect()
    }

    /// What is measured, in order. A single chain has no other to pay to.
    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for chains in self.chains.iter().copied() {
            for cross in self.cross.iter().copied().filter(|cross| chains > 1 || *cross == 0) {
                loads.push(self.load(chains, cross, self.pace_ms * u64::from(chains)));
            }
        }
        loads.push(self.load(2, 0, self.pace_ms));
        loads
    }

    fn load(&self, chains: u16, cross: u64, pace_ms: u64) -> Load {
        let (rate, seconds, wallets) = (self.rate, self.seconds, self.wallets);
        Load {
            rate,
            seconds,
            wallets,
            banks: 4,
            chains,
            cross,
            merchants: None,
            pace_ms,
            directory: None,
            brief: true,
        }
    }
}

/// The run with the middle processor time.
fn middle(mut runs: Vec<Cell>) -> Option<Cell> {
    runs.sort_by(|left, right| left.cpu_us_per_payment.total_cmp(&right.cpu_us_per_payment));
    let place = runs.len() / 2;
    runs.into_iter().nth(place)
}

fn save(file: &Path, cells: &[Cell]) {
    let out = std::fs::File::create_new(file).unwrap();
    serde_json::to_writer_pretty(out, cells).unwrap();
}

/// The cells as people read them.
struct Table<'a> {
    cells: &'a [Cell],
}

impl Table<'_> {
    fn text(&self) -> String {
        let mut lines = vec![HEADER.to_owned()];
        lines.extend(self.cells.iter().map(|cell| self.row(cell)));
        lines.push(String::new());
        lines.extend(self.goals());
        lines.push(String::new());
        match self.model() {
            Some(model) => lines.extend(self.of_model(&model)),
            None => lines.push("the cells do not tell the model's constants apart".to_owned()),
        }
        lines.join("\n") + "\n"
    }

    /// The cell of a mix whose blocks are as many as those of one chain.
    fn cell(&self, chains: u16, cross_percent: u64) -> Option<&Cell> {
        let pace = self.cells.first()?.pace_ms / u64::from(self.cells.first()?.chains);
        let is_it = |cell: &&Cell| {
            cell.chains == chains
                && cell.cross_percent == cross_percent
                && cell.pace_ms == pace * u64::from(chains)
        };
        self.cells.iter().find(is_it)
    }

    /// The processor time of a payment to another chain against that of one within, from a mix and the same chains without it.
    fn cross_ratio(&self, cell: &Cell) -> Option<f64> {
        let local = self.cell(cell.chains, 0)?.cpu_us_per_payment;
        let share = cell.cross_percent as f64 / 100.0;
        let cross = (cell.cpu_us_per_payment - (1.0 - share) * local) / share;
        Some(cross / local).filter(|ratio| ratio.is_finite())
    }

    fn row(&self, cell: &Cell) -> String {
        let or_none = |number: Option<f64>, decimals: usize| {
            number.map_or_else(|| "-".to_owned(), |number| format!("{number:.decimals$}"))
        };
        let one = self.cell(1, 0).map(|one| cell.cpu_us_per_payment / one.cpu_us_per_payment);
        let model = self.model().map(|model| {
            let predicted = model.predicted_us(cell);
            100.0 * (predicted - cell.cpu_us_per_payment) / cell.cpu_us_per_payment
        });
        format!(
            "| {} | {} | {} | {:.0} | {} | {:.0} | {} | {} | {:.1} | {:.0} / {:.0} | {} / {} | {} | {} |",
            cell.chains,
            cell.cross_percent,
            cell.pace_ms,
            cell.applied_per_second,
            cell.missed,
            cell.cpu_us_per_payment,
            or_none(one, 2),
            or_none(self.cross_ratio(cell), 2),
            cell.blocks_per_second,
            cell.certified_p50_ms,
            cell.certified_p99_ms,
            or_none(cell.credited_p50_ms, 0),
            or_none(cell.credited_p99_ms, 0),
            or_none(block_times(cell), 1),
            or_none(model, 0),
        )
    }

    /// What was asked for, and whether it holds.
    fn goals(&self) -> Vec<String> {
        let goal = |what: String, found: Option<f64>, most: f64| {
            let verdict = match found {
                None => "not measured".to_owned(),
                Some(found) if found <= most => format!("{found:.2}, met"),
                Some(found) => format!("{found:.2}, missed"),
            };
            format!("{what} (goal {most}): {verdict}")
        };
        let most = self.cells.iter().map(|cell| cell.chains).max().unwrap_or(1);
        let of_one = self.cell(1, 0).map(|cell| cell.cpu_us_per_payment);
        let of_most = self.cell(most, 0).map(|cell| cell.cpu_us_per_payment);
        let chains = of_most.zip(of_one).map(|(most, one)| most / one);
        // Where most payments cross, noise counts least.
        let heaviest = self.cells.iter().map(|cell| cell.cross_percent).max().unwrap_or(0);
        let crossing = self.cells.iter().filter(|cell| cell.cross_percent == heaviest && heaviest > 0);
        let ratios: Vec<f64> = crossing.filter_map(|cell| self.cross_ratio(cell)).collect();
        let worst = |numbers: &[f64]| numbers.iter().copied().reduce(f64::max);
        let times: Vec<f64> = self.cells.iter().filter_map(block_times).collect();
        vec![
            goal(format!("processor time with {most} chains, of that with one"), chains, GOAL_CHAINS),
            goal(
                "a payment to another chain, of one within, at worst".to_owned(),
                worst(&ratios),
                GOAL_CROSS,
            ),
            goal("block times until half are credited, at worst".to_owned(), worst(&times), GOAL_BLOCK_TIMES),
        ]
    }

    /// The model, from the cells that tell its constants apart.
    fn model(&self) -> Option<Model> {
        let base = self.cell(1, 0)?;
        let more_blocks = self
            .cells
            .iter()
            .find(|cell| cell.cross_percent == 0 && cell.chains > 1 && cell.pace_ms == base.pace_ms)?;
        let is_crossing = |cell: &&Cell| cell.chains == 2 && cell.cross_percent > 0;
        let crossing = self.cells.iter().filter(is_crossing).max_by_key(|cell| cell.cross_percent)?;
        Model::fit(base, more_blocks, crossing)
    }

    /// The constants, and what sites that are not here would carry by them.
    fn of_model(&self, model: &Model) -> Vec<String> {
        let mut lines = vec![
            format!(
                "constants of one node: payment {:.0} µs, to another chain {:.0} µs, block {:.0} µs; on disk {:.0} and {:.0} B",
                model.local_us, model.cross_us, model.block_us, model.local_bytes, model.cross_bytes
            ),
            String::new(),
            "| banks, cores, chains | % to others | payments/s | blocks/s of a chain | link Gbit/s | disk MB/s | TB a day |"
                .to_owned(),
            "| --- | --- | --- | --- | --- | --- | --- |".to_owned(),
        ];
        for cross_percent in [0, 10, 50, 98] {
            let site = Site { banks: 10, cores: 16.0, chains: 64, cross_percent };
            let found = site.capacity(model);
            lines.push(format!(
                "| 10, 16, 64 | {cross_percent} | {:.0} | {:.1} | {:.2} | {:.0} | {:.1} |",
                found.payments_per_second,
                found.blocks_per_second_and_chain,
                found.link_gbit,
                found.disk_mb_per_second,
                found.disk_tb_per_day,
            ));
        }
        lines.extend([
            String::new(),
            "| payments/s | % to others | cores of each bank | link Gbit/s | disk MB/s | TB a day |"
                .to_owned(),
            "| --- | --- | --- | --- | --- | --- |".to_owned(),
        ]);
        for (payments, cross_percent) in
            [(300_000.0, 10), (300_000.0, 98), (1_000_000.0, 10), (1_000_000.0, 98)]
        {
            let site = Site { banks: 10, cores: 16.0, chains: 64, cross_percent };
            let found = site.at(payments, model);
            lines.push(format!(
                "| {payments:.0} | {cross_percent} | {:.0} | {:.2} | {:.0} | {:.1} |",
                site.cores_for(payments, model),
                found.link_gbit,
                found.disk_mb_per_second,
                found.disk_tb_per_day,
            ));
        }
        lines
    }
}

/// Block times until half of the payments to other chains are credited.
fn block_times(cell: &Cell) -> Option<f64> {
    Some(cell.credited_p50_ms? / cell.pace_ms as f64)
}

const HEADER: &str = "\
| chains | % to others | pace ms | applied/s | missed | CPU µs | of one chain | cross / local | blocks/s | certified p50 / p99 ms | credited p50 / p99 ms | block times | model % off |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(chains: u16, cross_percent: u64, pace_ms: u64, cpu_us_per_payment: f64, blocks: u64) -> Cell {
        Cell {
            banks: 4,
            chains,
            cross_percent,
            pace_ms,
            offered_per_second: 2_000,
            applied: 20_000,
            missed: 0,
            applied_per_second: 2_000.0,
            cpu_us_per_payment,
            disk_bytes_per_payment_and_node: 600.0,
            blocks,
            blocks_per_second: blocks as f64 / 10.0,
            certified_p50_ms: 300.0,
            certified_p99_ms: 500.0,
            credited_p50_ms: Some(4.5 * pace_ms as f64).filter(|_| cross_percent > 0),
            credited_p99_ms: Some(9.0 * pace_ms as f64).filter(|_| cross_percent > 0),
        }
    }

    #[test]
    fn ratios_and_goals_are_those_of_the_cells() {
        let cells = [
            cell(1, 0, 100, 400.0, 100),
            cell(2, 0, 200, 410.0, 100),
            cell(2, 50, 200, 615.0, 100),
            cell(8, 0, 800, 520.0, 100),
            cell(2, 0, 100, 430.0, 200),
        ];
        let table = Table { cells: &cells };
        assert!((table.cross_ratio(&cells[2]).unwrap() - 2.0).abs() < 1e-9);
        let goals = table.goals();
        assert!(goals[0].starts_with("processor time with 8 chains") && goals[0].ends_with("1.30, missed"));
        assert!(goals[1].ends_with("2.00, met") && goals[2].ends_with("4.50, met"), "{goals:?}");
        let text = table.text();
        assert!(text.contains("| 2 | 50 | 200 | 2000 | 0 | 615 | 1.54 | 2.00 | 10.0 |"), "{text}");
        // 30 µs for 100 blocks more on 20,000 payments, by four nodes.
        assert!(text.contains("block 1500 µs"), "{text}");
        assert!(text.contains("| 10, 16, 64 | 50 |") && text.contains("| 1000000 | 98 |"), "{text}");
    }

    #[test]
    fn of_several_runs_the_middle_one_counts() {
        let runs = [430.0, 400.0, 900.0].map(|cpu| cell(1, 0, 100, cpu, 100)).to_vec();
        assert!((middle(runs).unwrap().cpu_us_per_payment - 430.0).abs() < 1e-9);
        assert!(middle(Vec::new()).is_none());
    }
}
