//! What a network of many chains costs, as formulas: fitted to measured cells, compared with the others, and carried on to sites that
//! nobody here has. `docs/scaling.md` explains every term.
//!
//! Processor time of one node in a second, in microseconds, of `payments` a second of which the share `x` goes to another chain,
//! and `blocks` a second on all chains of the node together:
//!
//! ```text
//! cpu = payments · ((1 − x) · local + x · cross) + blocks · block
//! ```
//!
//! Every node hosts every chain here, so every node pays all of it. With more validators a block costs more, as more votes come in:
//! `block(n) = block(4) · n / 4`, which is the pessimistic end, since a part of it does not grow.

use serde::{Deserialize, Serialize};

/// A run of `bench scaling`: what was offered, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) banks: usize,
    pub(crate) chains: u16,
    /// Of 100 payments, those to another chain.
    pub(crate) cross_percent: u64,
    /// Least time between the blocks of a chain.
    pub(crate) pace_ms: u64,
    pub(crate) offered_per_second: u64,
    pub(crate) applied: u64,
    pub(crate) missed: u64,
    pub(crate) applied_per_second: f64,
    /// Of all nodes together.
    pub(crate) cpu_us_per_payment: f64,
    pub(crate) disk_bytes_per_payment_and_node: f64,
    /// Of all chains together, over the time that the processor time is of.
    pub(crate) blocks: u64,
    pub(crate) blocks_per_second: f64,
    pub(crate) certified_p50_ms: f64,
    pub(crate) certified_p99_ms: f64,
    /// Missing without payments to another chain.
    pub(crate) credited_p50_ms: Option<f64>,
    pub(crate) credited_p99_ms: Option<f64>,
}

impl Cell {
    fn share(&self) -> f64 {
        self.cross_percent as f64 / 100.0
    }

    fn blocks_per_payment(&self) -> f64 {
        self.blocks as f64 / self.applied.max(1) as f64
    }
}

/// Constants of one node, in microseconds of processor time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Model {
    /// A payment within a chain.
    pub(crate) local_us: f64,
    /// A payment to another chain: debit, receipt, bundle, proof, credit.
    pub(crate) cross_us: f64,
    /// A block of a chain with [`VALIDATORS`] validators.
    pub(crate) block_us: f64,
    /// Bytes on disk of a payment within a chain.
    pub(crate) local_bytes: f64,
    /// Bytes on disk of a payment to another chain.
    pub(crate) cross_bytes: f64,
}

/// Validators of the chains that the constants are of.
const VALIDATORS: f64 = 4.0;

impl Model {
    /// Solves the formula for the constants, from three cells: `base`, one with `more_blocks` and otherwise equal, and one with
    /// `crossing` payments. `None` where they do not tell the constants apart.
    pub(crate) fn fit(base: &Cell, more_blocks: &Cell, crossing: &Cell) -> Option<Self> {
        let nodes = base.banks as f64;
        let difference = more_blocks.blocks_per_payment() - base.blocks_per_payment();
        let share = crossing.share();
        if difference <= 0.0 || share <= 0.0 {
            return None;
        }
        let block = (more_blocks.cpu_us_per_payment - base.cpu_us_per_payment) / difference;
        // Noise may say that blocks give time back; they do not.
        let block = block.max(0.0);
        let local = base.cpu_us_per_payment - block * base.blocks_per_payment();
        let of_payments = crossing.cpu_us_per_payment - block * crossing.blocks_per_payment();
        let cross = (of_payments - (1.0 - share) * local) / share;
        let local_bytes = base.disk_bytes_per_payment_and_node;
        let all_bytes = crossing.disk_bytes_per_payment_and_node;
        Some(Self {
            local_us: local / nodes,
            cross_us: cross / nodes,
            block_us: block / nodes,
            local_bytes,
            cross_bytes: (all_bytes - (1.0 - share) * local_bytes) / share,
        })
    }

    /// A payment of a mix, on one node, blocks apart.
    fn payment_us(&self, share: f64) -> f64 {
        (1.0 - share) * self.local_us + share * self.cross_us
    }

    fn payment_bytes(&self, share: f64) -> f64 {
        (1.0 - share) * self.local_bytes + share * self.cross_bytes
    }

    /// What a cell should have cost, of all nodes together, for each payment.
    pub(crate) fn predicted_us(&self, cell: &Cell) -> f64 {
        let one = self.payment_us(cell.share()) + cell.blocks_per_payment() * self.block_us;
        one * cell.banks as f64
    }
}

/// Banks with equal nodes, all of which host all chains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Site {
    pub(crate) banks: usize,
    /// Of one bank.
    pub(crate) cores: f64,
    pub(crate) chains: u64,
    /// Of 100 payments, those to another chain.
    pub(crate) cross_percent: u64,
}

/// Of a bank's cores, what may be busy: the rest is for catching up, auditors and bad days.
pub(crate) const BUSY: f64 = 0.7;
/// Of a bank's cores, the most that its engines may use (PROTOCOL rule 19).
pub(crate) const ENGINES: f64 = 0.15;
/// Most blocks of a chain in a second: the pace of 50 ms.
pub(crate) const BLOCKS_PER_SECOND_MAX: f64 = 20.0;
/// Bytes of a payment on a link, once: 242 of the signed transaction, and its share of batch, seal and frame.
pub(crate) const LINK_BYTES_LOCAL: f64 = 250.0;
/// Bytes that a payment to another chain adds: 110 of its receipt, and its share of a bundle's proof and certificate where a bundle
/// has some twenty receipts.
pub(crate) const LINK_BYTES_RECEIPT: f64 = 180.0;

/// What a site carries, and what that takes of one bank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Capacity {
    pub(crate) payments_per_second: f64,
    pub(crate) blocks_per_second_and_chain: f64,
    /// Into one bank, and out of it, in Gbit/s.
    pub(crate) link_gbit: f64,
    /// Written by one bank.
    pub(crate) disk_mb_per_second: f64,
    /// Kept by one bank in a day without pruning.
    pub(crate) disk_tb_per_day: f64,
}

impl Site {
    fn share(&self) -> f64 {
        self.cross_percent as f64 / 100.0
    }

    fn block_us(&self, model: &Model) -> f64 {
        model.block_us * self.banks as f64 / VALIDATORS
    }

    /// Blocks of each chain in a second: as many as the engines' part of the cores bears.
    fn blocks_per_second_and_chain(&self, model: &Model) -> f64 {
        let all = ENGINES * self.cores * 1e6 / self.block_us(model).max(1.0);
        (all / self.chains as f64).min(BLOCKS_PER_SECOND_MAX)
    }

    /// What the processors of the site bear.
    pub(crate) fn capacity(&self, model: &Model) -> Capacity {
        let blocks = self.blocks_per_second_and_chain(model);
        let of_blocks = blocks * self.chains as f64 * self.block_us(model);
        let left_us = (BUSY * self.cores * 1e6 - of_blocks).max(0.0);
        self.at(left_us / model.payment_us(self.share()), model)
    }

    /// What a load takes of one bank, whether its processors bear it or not.
    pub(crate) fn at(&self, payments_per_second: f64, model: &Model) -> Capacity {
        let bytes = LINK_BYTES_LOCAL + self.share() * LINK_BYTES_RECEIPT;
        let written = payments_per_second * model.payment_bytes(self.share());
        Capacity {
            payments_per_second,
            blocks_per_second_and_chain: self.blocks_per_second_and_chain(model),
            // Each bank takes in every payment once, and sends its own part of them to every other bank: as much.
            link_gbit: payments_per_second * bytes * 8.0 / 1e9,
            disk_mb_per_second: written / 1e6,
            disk_tb_per_day: written * 86_400.0 / 1e12,
        }
    }

    /// Cores that each bank needs for a load.
    pub(crate) fn cores_for(&self, payments_per_second: f64, model: &Model) -> f64 {
        // Engines take their part of whatever there is, so the rest must bear the payments.
        payments_per_second * model.payment_us(self.share()) / 1e6 / (BUSY - ENGINES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(model: &Model, cross_percent: u64, blocks: u64) -> Cell {
        let mut cell = Cell {
            banks: 4,
            chains: 2,
            cross_percent,
            pace_ms: 100,
            offered_per_second: 1_000,
            applied: 10_000,
            missed: 0,
            applied_per_second: 1_000.0,
            cpu_us_per_payment: 0.0,
            disk_bytes_per_payment_and_node: model.payment_bytes(cross_percent as f64 / 100.0),
            blocks,
            blocks_per_second: blocks as f64 / 10.0,
            certified_p50_ms: 0.0,
            certified_p99_ms: 0.0,
            credited_p50_ms: None,
            credited_p99_ms: None,
        };
        cell.cpu_us_per_payment = model.predicted_us(&cell);
        cell
    }

    const MODEL: Model = Model {
        local_us: 70.0,
        cross_us: 140.0,
        block_us: 5_000.0,
        local_bytes: 600.0,
        cross_bytes: 1_000.0,
    };

    fn is_near(left: f64, right: f64) -> bool {
        (left - right).abs() <= right.abs() * 1e-9
    }

    #[test]
    fn the_constants_come_back_from_what_they_predict() {
        let (base, blocks, cross) = (cell(&MODEL, 0, 100), cell(&MODEL, 0, 200), cell(&MODEL, 50, 100));
        let found = Model::fit(&base, &blocks, &cross).unwrap();
        let pairs = [
            (found.local_us, MODEL.local_us),
            (found.cross_us, MODEL.cross_us),
            (found.block_us, MODEL.block_us),
            (found.local_bytes, MODEL.local_bytes),
            (found.cross_bytes, MODEL.cross_bytes),
        ];
        assert!(pairs.iter().all(|(found, expected)| is_near(*found, *expected)), "{found:?}");
        assert!(Model::fit(&base, &base, &cross).is_none() && Model::fit(&base, &blocks, &base).is_none());
    }

    #[test]
    fn a_site_uses_no_more_cores_than_it_may() {
        let site = Site { banks: 10, cores: 16.0, chains: 64, cross_percent: 50 };
        let capacity = site.capacity(&MODEL);
        let blocks = capacity.blocks_per_second_and_chain * 64.0 * 5_000.0 * 2.5;
        assert!(is_near(blocks, ENGINES * 16.0 * 1e6), "the engines have all of their part: {capacity:?}");
        assert!(is_near(blocks + capacity.payments_per_second * 105.0, BUSY * 16.0 * 1e6), "{capacity:?}");
        assert!(is_near(site.cores_for(capacity.payments_per_second, &MODEL), 16.0));
        let few = Site { chains: 1, ..site };
        assert!(is_near(few.capacity(&MODEL).blocks_per_second_and_chain, BLOCKS_PER_SECOND_MAX));
    }
}
