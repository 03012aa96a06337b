//! What the fee estimator is told of a chain: filled by the chain's driver, read by REST.
//!
//! Everything is bounded: the newest [`BLOCKS_MAX`] blocks and [`FINALITY_MAX`] times, the pool in buckets. A reader takes a copy and keeps
//! nobody waiting. After a restart the recent blocks come from the store; times come with the first payments.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::{Archive, RowFault};
use fees::{BLOCKS_MAX, Backlog, BlockFacts, FINALITY_MAX, Market};
use ledger::records::{BlockHeader, ChainParams};
use ledger::rules::next_base_fee;
use ledger::values::{FeeRate, Height, TransactionId};
use storage::Store;

use crate::finality_times::FinalityTimes;

/// How often the driver looks at all that waits in the pool.
const BACKLOG_EVERY_MS: u64 = 500;

/// The board of one chain. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct MarketBoard(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    blocks: VecDeque<BlockFacts>,
    /// Of the next block.
    base_fee: FeeRate,
    backlog: Backlog,
    finality_ms: VecDeque<u64>,
}

impl MarketBoard {
    /// A board with the newest blocks of the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn load(store: &dyn Store, params: &ChainParams) -> Result<Self, RowFault> {
        let board = Self::default();
        let archive = Archive::new(store);
        let newest = archive.head()?.map_or(0, |head| head.height.0);
        let kept = u64::try_from(BLOCKS_MAX).unwrap_or(u64::MAX);
        for height in newest.saturating_sub(kept).saturating_add(1)..=newest {
            // A chain that began with a copy of the state has no older blocks.
            if let Some(block) = archive.block_at(Height(height))? {
                board.add_block(&block.header, params);
            }
        }
        Ok(board)
    }

    /// The next block to execute: `params` are those of the next height, as far as they are known.
    pub(crate) fn add_block(&self, header: &BlockHeader, params: &ChainParams) {
        let mut board = self.board();
        push(
            &mut board.blocks,
            BlockFacts { timestamp_ms: header.timestamp.0, weight: header.weight, base_fee: header.base_fee },
            BLOCKS_MAX,
        );
        board.base_fee = next_base_fee(&params.fees, header.base_fee, header.weight);
    }

    /// When the newest block was proposed, by its proposer's clock.
    pub(crate) fn newest_timestamp_ms(&self) -> Option<u64> {
        self.board().blocks.back().map(|block| block.timestamp_ms)
    }

    fn set_backlog(&self, backlog: Backlog) {
        self.board().backlog = backlog;
    }

    fn add_finality(&self, took_ms: u64) {
        push(&mut self.board().finality_ms, took_ms, FINALITY_MAX);
    }

    /// The base fee of the next block.
    pub(crate) fn base_fee(&self) -> FeeRate {
        self.board().base_fee
    }

    /// A copy of all of it.
    pub(crate) fn market(&self, params: &ChainParams) -> Market {
        let board = self.board();
        Market {
            params: params.fees,
            block_weight_max: params.block_weight_max,
            pace_ms: params.block_pace_ms,
            base_fee: board.base_fee,
            blocks: board.blocks.iter().copied().collect(),
            backlog: board.backlog.clone(),
            finality_ms: board.finality_ms.iter().copied().collect(),
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(recent: &mut VecDeque<T>, one: T, max: usize) {
    recent.push_back(one);
    if recent.len() > max {
        recent.pop_front();
    }
}

/// The driver's side: how long payments take, and when to look at the pool.
#[derive(Debug)]
pub(crate) struct MarketWatch {
    board: MarketBoard,
    times: FinalityTimes,
    next_backlog_ms: u64,
}

impl MarketWatch {
    pub(crate) fn new(board: MarketBoard) -> Self {
        Self { board, times: FinalityTimes::default(), next_backlog_ms: 0 }
    }

    pub(crate) const fn board(&self) -> &MarketBoard {
        &self.board
    }

    /// A transaction came in.
    pub(crate) fn took_in(&mut self, id: TransactionId, now_ms: u64) {
        self.times.took_in(id, now_ms);
    }

    /// A height was executed with these.
    pub(crate) fn executed(&mut self, height: Height, transactions: &[TransactionId]) {
        self.times.executed(height, transactions);
    }

    /// A height is certified, and all below it.
    pub(crate) fn certified(&mut self, height: Height, now_ms: u64) {
        for took_ms in self.times.certified(height, now_ms) {
            self.board.add_finality(took_ms);
        }
    }

    /// Shows what waits, where it is time to look.
    pub(crate) fn look(&mut self, now_ms: u64, backlog: impl FnOnce() -> Backlog) {
        if now_ms >= self.next_backlog_ms {
            self.board.set_backlog(backlog());
            self.next_backlog_ms = now_ms.saturating_add(BACKLOG_EVERY_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_times_are_shown() {
        let mut watch = MarketWatch::new(MarketBoard::default());
        let shown = |watch: &MarketWatch| watch.board().market(&ChainParams::default()).finality_ms;
        for number in 0..2 * FINALITY_MAX as u64 {
            let (id, height) = (TransactionId([1; 32]), Height(number));
            watch.took_in(id, number * 1_000);
            watch.executed(height, &[id]);
            watch.certified(height, number * 1_000 + number);
        }
        let newest: Vec<u64> = (FINALITY_MAX as u64..2 * FINALITY_MAX as u64).collect();
        assert_eq!(shown(&watch), newest);
    }

    #[test]
    fn the_pool_is_looked_at_now_and_then() {
        let mut watch = MarketWatch::new(MarketBoard::default());
        let looks = (0..=1_000).filter(|now_ms| {
            let mut has_looked = false;
            watch.look(*now_ms, || {
                has_looked = true;
                Backlog::default()
            });
            has_looked
        });
        assert_eq!(looks.collect::<Vec<u64>>(), [0, 500, 1_000]);
    }
}
