//! What the fee estimator is told of a chain: filled by the chain's driver, read by REST.
//!
//! Everything is bounded: the newest [`BLOCKS_MAX`] blocks and [`FINALITY_MAX`] times, the pool in buckets. A reader takes a copy and keeps
//! nobody waiting. After a restart the recent blocks come from the store; times come with the first payments.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::{Archive, RowFault};
use fees::{BLOCKS_MAX, Backlog, BlockFacts, FINALITY_MAX, Market};
use ledger::records::{BlockHeader, ChainParams};
use ledger::rules::next_base_fee;
use ledger::values::{FeeRate, Height, TransactionId};
use storage::Store;

/// How often the driver looks at all that waits in the pool.
const BACKLOG_EVERY_MS: u64 = 500;
/// Transactions whose way to the certificate is timed at once.
const TIMED_MAX: usize = 64;
/// What takes longer is timed no more.
const TIMED_MS_MAX: u64 = 60_000;

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

/// The driver's side: times a few transactions from the door to the certificate, and says when to look at the pool.
#[derive(Debug)]
pub(crate) struct MarketWatch {
    board: MarketBoard,
    /// Taken in, with the time; executed, with the height.
    waiting: VecDeque<(TransactionId, u64)>,
    executed: VecDeque<(Height, u64)>,
    next_backlog_ms: u64,
}

impl MarketWatch {
    pub(crate) fn new(board: MarketBoard) -> Self {
        Self { board, waiting: VecDeque::new(), executed: VecDeque::new(), next_backlog_ms: 0 }
    }

    pub(crate) const fn board(&self) -> &MarketBoard {
        &self.board
    }

    /// A transaction came in. What is timed for too long may never execute, and is given up; else it is timed where there is a place.
    pub(crate) fn took_in(&mut self, id: TransactionId, now_ms: u64) {
        while self
            .waiting
            .front()
            .is_some_and(|(_, since_ms)| now_ms.saturating_sub(*since_ms) > TIMED_MS_MAX)
        {
            self.waiting.pop_front();
        }
        if self.waiting.len() < TIMED_MAX {
            self.waiting.push_back((id, now_ms));
        }
    }

    /// A height was executed with these.
    pub(crate) fn executed(&mut self, height: Height, transactions: &[TransactionId]) {
        if transactions.is_empty() || self.waiting.is_empty() {
            return;
        }
        // Few are timed, many are executed.
        let timed: BTreeSet<TransactionId> = self.waiting.iter().map(|(id, _)| *id).collect();
        let done: BTreeSet<TransactionId> =
            transactions.iter().filter(|id| timed.contains(id)).copied().collect();
        let (executed, waiting): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(id, _)| done.contains(id));
        self.waiting = waiting;
        for (_, since_ms) in executed {
            push(&mut self.executed, (height, since_ms), TIMED_MAX);
        }
    }

    /// A height is certified, and all below it.
    pub(crate) fn certified(&mut self, height: Height, now_ms: u64) {
        while let Some((executed, since_ms)) = self.executed.front().copied()
            && executed <= height
        {
            self.executed.pop_front();
            self.board.add_finality(now_ms.saturating_sub(since_ms));
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

    fn id(number: u8) -> TransactionId {
        TransactionId([number; 32])
    }

    #[test]
    fn payments_are_timed_from_the_door_to_the_certificate() {
        let mut watch = MarketWatch::new(MarketBoard::default());
        for (number, now_ms) in [(1, 100), (2, 150), (3, 200)] {
            watch.took_in(id(number), now_ms);
        }
        watch.executed(Height(5), &[id(2), id(9)]);
        watch.executed(Height(6), &[id(1)]);
        watch.certified(Height(4), 300);
        assert!(watch.board().market(&ChainParams::default()).finality_ms.is_empty());
        watch.certified(Height(5), 400);
        watch.certified(Height(9), 500);
        assert_eq!(watch.board().market(&ChainParams::default()).finality_ms, [250, 400]);
        for number in 0..=u8::MAX {
            watch.took_in(id(number), 1_000);
        }
        assert_eq!(watch.waiting.len(), TIMED_MAX);
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
