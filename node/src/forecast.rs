//! How many days the disk lasts, from what the last hours wrote.
//!
//! Rows of evenly spread heights of the window are read, with their batches, and their bytes summed: those that every block writes, whether
//! anything is paid or not, and those that come with each transaction. From these and a rate follow bytes a day.
//!
//! Where the policy in `[history]` keeps the newest blocks only, a chain grows until it holds so many and then no more; what of it is needed for
//! receipts to other chains and the state itself grow on, and are not counted.
//!
//! What it cannot know: how well the database compresses (so far the rows are counted as they are), how much room compaction takes for a while,
//! what wallets will be opened, and what others write on the device. It says so.

use std::path::Path;

use chain::{Archive, RowFault};
use genesis::GenesisFile;
use ledger::values::{ChainId, Height};
use storage::{Reader, RocksReader, StorageError, Table, key};

use crate::config::NodeConfig;
use crate::settings::{identity, store_directory, store_options};
use crate::start_error::{StartError, system};

/// Most heights whose rows are read.
const SAMPLES_MAX: u64 = 512;
/// Bytes of the rows that find a transaction again: its place (44), and a line of history for payer and payee (about 46 each).
const INDEX_BYTES: u64 = 136;
/// Bytes of the small rows of a height: order, undo and their keys.
const HEIGHT_BYTES: u64 = 64;
const MS_PER_DAY: u64 = 86_400_000;

/// What a chain wrote in the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The chain.
    pub chain: u32,
    /// Time between the first and the last block of the window.
    pub window_ms: u64,
    /// Blocks in it.
    pub blocks: u64,
    /// Transactions in the blocks that were read, scaled to all of them.
    pub transactions: u64,
    /// Blocks that are held in all.
    pub held_blocks: u64,
    /// Blocks that were read.
    pub sampled: u64,
    /// What a block writes without any transaction.
    pub bytes_per_block: u64,
    /// What a transaction adds; 0 where there was none.
    pub bytes_per_transaction: u64,
}

/// What is there, and how it grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes of the data directory.
    pub data_bytes: u64,
    /// Free on its device.
    pub free_bytes: u64,
    /// Kept free.
    pub reserve_bytes: u64,
    /// How large the data directory may become, if that is bounded.
    pub budget_bytes: Option<u64>,
    /// What may still be written before the node stops voting.
    pub left_bytes: u64,
    /// The newest blocks of each chain that are kept, where older ones are pruned.
    pub keep_blocks: Option<u64>,
    /// Each hosted chain that has blocks.
    pub chains: Vec<Growth>,
}

impl Growth {
    /// Blocks a day, at the pace of the window.
    #[must_use]
    pub fn blocks_per_day(&self) -> u64 {
        per_day(self.blocks, self.window_ms)
    }

    /// Transactions a day, at the pace of the window.
    #[must_use]
    pub fn transactions_per_day(&self) -> u64 {
        per_day(self.transactions, self.window_ms)
    }
}

impl Forecast {
    /// Bytes a day: at the pace of the window or, where given, at so many transactions a second on all chains together.
    #[must_use]
    pub fn bytes_per_day(&self, transactions_per_second: Option<u64>) -> u64 {
        let chains = u64::try_from(self.chains.len()).unwrap_or(u64::MAX).max(1);
        let of_chain = |growth: &Growth| {
            let transactions = match transactions_per_second {
                Some(rate) => rate.saturating_mul(MS_PER_DAY / 1_000) / chains,
                None => growth.transactions_per_day(),
            };
            let blocks = growth.blocks_per_day().saturating_mul(growth.bytes_per_block);
            blocks.saturating_add(transactions.saturating_mul(growth.bytes_per_transaction))
        };
        self.chains.iter().map(of_chain).fold(0, u64::saturating_add)
    }

    /// Whole days until the node stops voting; `None` where nothing grows, or pruning ends the growth before.
    #[must_use]
    pub fn days_left(&self, bytes_per_day: u64) -> Option<u64> {
        let days = self.left_bytes.checked_div(bytes_per_day)?;
        Some(days).filter(|days| self.days_until_kept().is_none_or(|kept| *days < kept))
    }

    /// Days until every chain holds as many blocks as are kept; `None` where nothing is pruned.
    #[must_use]
    pub fn days_until_kept(&self) -> Option<u64> {
        let keep_blocks = self.keep_blocks?;
        let days = |growth: &Growth| {
            let missing = keep_blocks.saturating_sub(growth.held_blocks);
            if missing == 0 { 0 } else { missing.div_ceil(growth.blocks_per_day().max(1)) }
        };
        self.chains.iter().map(days).max()
    }
}

fn per_day(count: u64, window_ms: u64) -> u64 {
    let day = u128::from(count) * u128::from(MS_PER_DAY) / u128::from(window_ms.max(1));
    u64::try_from(day).unwrap_or(u64::MAX)
}

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The configuration or what it names.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Too little was written to say anything.
    #[error(
        "no hosted chain has two blocks in the window. Mend: let the node run for a while, then ask again"
    )]
    TooYoung,
}

impl From<RowFault> for ForecastError {
    fn from(fault: RowFault) -> Self {
        Self::Start(fault.into())
    }
}

impl From<StorageError> for ForecastError {
    fn from(fault: StorageError) -> Self {
        Self::Start(fault.into())
    }
}

/// Looks at the last `hours` of every chain, while the node runs or not. `scratch` is an empty folder for what following a live database
/// writes.
///
/// # Errors
/// [`ForecastError`].
pub fn forecast(config: &NodeConfig, hours: u64, scratch: &Path) -> Result<Forecast, ForecastError> {
    let spec = GenesisFile::load(&config.node.genesis).and_then(|file| file.spec());
    let spec = spec.map_err(StartError::from)?;
    let mut chains = Vec::new();
    for chain in config.node.chains.iter().copied().map(ChainId) {
        let (path, identity) = (store_directory(config, chain), identity(&spec, chain));
        let reader = match RocksReader::open(&path, Some(&identity), store_options(config)) {
            Err(StorageError::Locked { .. }) => {
                let scratch = scratch.join(format!("chain-{chain}"));
                std::fs::create_dir_all(&scratch).map_err(|fault| system("scratch folder", &fault))?;
                RocksReader::follow(&path, &scratch, Some(&identity), store_options(config))
            }
            Err(StorageError::Missing { .. }) => continue,
            opened => opened,
        };
        chains.extend(growth(&reader?, chain, hours.saturating_mul(3_600_000))?);
    }
    if chains.is_empty() {
        return Err(ForecastError::TooYoung);
    }
    let data = &config.node.data_directory;
    let (data_bytes, free_bytes) = (storage::tree_bytes(data)?, storage::free_bytes(data)?);
    let (reserve_bytes, budget_bytes) = (config.storage.disk_reserve_bytes, config.storage.disk_budget_bytes);
    let of_budget = budget_bytes.map_or(u64::MAX, |budget| budget.saturating_sub(data_bytes));
    let left_bytes = free_bytes.min(of_budget).saturating_sub(reserve_bytes);
    let keep_blocks = config.history.keep_blocks;
    Ok(Forecast { data_bytes, free_bytes, reserve_bytes, budget_bytes, left_bytes, keep_blocks, chains })
}

/// What a chain wrote in the last `window_ms`; `None` where that is less than two blocks.
fn growth(reader: &dyn Reader, chain: ChainId, window_ms: u64) -> Result<Option<Growth>, ForecastError> {
    let archive = Archive::new(reader);
    let Some(head) = archive.head()? else { return Ok(None) };
    let timestamp = |height: u64| -> Result<u64, RowFault> {
        let missing = RowFault::Missing { table: Table::Blocks };
        Ok(archive.block_at(Height(height))?.ok_or(missing)?.header.timestamp.0)
    };
    let (last, end) = (head.height.0, head.timestamp.0);
    let from = end.saturating_sub(window_ms);
    // The first height of the window: timestamps ascend.
    let lowest = archive.joined_at()?.max(archive.pruned_below()?).map_or(1, |lowest| lowest.0);
    let (mut low, mut high) = (lowest, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if timestamp(middle)? < from { low = middle + 1 } else { high = middle }
    }
    let blocks = last.saturating_sub(low);
    if last == 0 || blocks == 0 {
        return Ok(None);
    }
    let step = blocks.div_ceil(SAMPLES_MAX).max(1);
    let (mut sampled, mut of_blocks, mut of_transactions, mut transactions) = (0_u64, 0_u64, 0_u64, 0_u64);
    for height in (low + 1..=last).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let row = key::height(height);
        let length = |table, place: &[u8]| -> Result<u64, StorageError> {
            Ok(reader.get(table, place)?.map_or(0, |bytes| (bytes.len() + place.len()) as u64))
        };
        let Some(digest) = archive.digest(Height(height))? else { continue };
        let Some(block) = archive.block(digest)? else { continue };
        sampled += 1;
        of_blocks += HEIGHT_BYTES + length(Table::Blocks, &digest.0)? + length(Table::Results, &row)?;
        of_blocks += length(Table::Certificates, &row)?;
        of_transactions += length(Table::Outcomes, &row)?;
        for batch in &block.body.batches {
            of_transactions += length(Table::Batches, &batch.0)?;
        }
        let executed = archive.result(Height(height))?.map_or(0, |result| u64::from(result.executed));
        of_transactions += executed * INDEX_BYTES;
        transactions += executed;
    }
    Ok(Some(Growth {
        chain: chain.0,
        window_ms: end.saturating_sub(timestamp(low)?),
        blocks,
        held_blocks: last.saturating_sub(lowest).saturating_add(1),
        transactions: transactions * blocks / sampled.max(1),
        sampled,
        bytes_per_block: of_blocks / sampled.max(1),
        bytes_per_transaction: of_transactions.checked_div(transactions).unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_from_rates_and_room() {
        let growth = Growth {
            chain: 0,
            window_ms: 3_600_000,
            blocks: 36_000,
            transactions: 360_000,
            held_blocks: 100_000,
            sampled: 512,
            bytes_per_block: 1_000,
            bytes_per_transaction: 500,
        };
        assert_eq!((growth.blocks_per_day(), growth.transactions_per_day()), (864_000, 8_640_000));
        let mut forecast = Forecast {
            data_bytes: 0,
            free_bytes: 0,
            reserve_bytes: 0,
            budget_bytes: None,
            left_bytes: 51_840_000_000,
            keep_blocks: None,
            chains: vec![growth],
        };
        let today = forecast.bytes_per_day(None);
        assert_eq!(today, 864_000_000 + 4_320_000_000);
        assert_eq!(forecast.days_left(today), Some(10));
        let at_rate = forecast.bytes_per_day(Some(1_000));
        assert_eq!(at_rate, 864_000_000 + 43_200_000_000);
        assert_eq!(forecast.days_left(at_rate), Some(1));
        assert_eq!(forecast.days_left(0), None, "nothing grows");
        // 864,000 blocks a day: after a day as many are held as are kept, and the disk lasts for ever; after eleven it is full before.
        for (keep_blocks, kept, left) in [(900_000, 1, None), (10_000, 0, None), (9_000_000, 11, Some(10))] {
            forecast.keep_blocks = Some(keep_blocks);
            assert_eq!((forecast.days_until_kept(), forecast.days_left(today)), (Some(kept), left));
        }
        forecast.keep_blocks = None;
        // The same rate on two chains together.
        forecast.chains.push(forecast.chains[0].clone());
        assert_eq!(forecast.bytes_per_day(Some(1_000)), 2 * 864_000_000 + 43_200_000_000);
    }
}
