//! What the estimator is told: the rule, recent blocks, what waits, how long payments took.

use ledger::records::FeeParams;
use ledger::values::FeeRate;

use crate::backlog::Backlog;

/// Most recent blocks that are looked at; older ones are passed over.
pub const BLOCKS_MAX: usize = 256;
/// Most recent times to finality that are looked at; older ones are passed over.
pub const FINALITY_MAX: usize = 256;

/// A chain's fee market as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Market {
    /// The governed rule of the base fee.
    pub params: FeeParams,
    /// Most weight of a block.
    pub block_weight_max: u64,
    /// Time between blocks while there is work, in milliseconds.
    pub pace_ms: u64,
    /// Base fee of the next block.
    pub base_fee: FeeRate,
    /// Recent blocks, oldest first; the last [`BLOCKS_MAX`] count.
    pub blocks: Vec<BlockFacts>,
    /// What waits now.
    pub backlog: Backlog,
    /// Recent times from admission to certified, in milliseconds, oldest first; the last [`FINALITY_MAX`] count.
    pub finality_ms: Vec<u64>,
}

/// What the estimator reads of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockFacts {
    /// Its timestamp, in milliseconds.
    pub timestamp_ms: u64,
    /// Its weight.
    pub weight: u64,
    /// Its base fee.
    pub base_fee: FeeRate,
}
