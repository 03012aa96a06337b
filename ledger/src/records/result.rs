//! Results: what execution made of a height. Each commits to the one before, so one claim certifies all up to it.

use wincode::{SchemaRead, SchemaWrite};

use crate::values::codec::{check_ascending, check_count};
use crate::values::{
    Amount, BlockDigest, Canonical, ChainId, CodecError, GenesisHash, Hasher, Height, OutboxRoot, OutcomesRoot,
    ResultHash, StateRoot,
};

/// Most other chains that a chain exchanges receipts with.
pub const PAIRS_MAX: usize = 1_024;

/// Receipts and their total value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct Counter {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub total: Amount,
}

/// What a chain has sent to and received from one other chain (PROTOCOL rule 21; none before chains talk).
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct PairCounters {
    /// The other chain.
    pub chain: ChainId,
    /// Sent to it.
    pub sent: Counter,
    /// Received from it.
    pub received: Counter,
}

/// The certified terms of the supply equation: holdings + Σ sent − Σ received = issued − redeemed.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct SupplyTerms {
    /// Ever issued on this chain.
    pub issued: Amount,
    /// Ever redeemed on this chain.
    pub redeemed: Amount,
    /// Sum over the state tree.
    pub holdings: Amount,
    /// Per other chain, ascending.
    pub pairs: Vec<PairCounters>,
}

/// The result of a height.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct HeightResult {
    /// The chain.
    pub chain: ChainId,
    /// The height.
    pub height: Height,
    /// The block that was executed.
    pub block: BlockDigest,
    /// The result of the height before; zero at height 0.
    pub previous: ResultHash,
    /// Root of the whole state after it.
    pub state: StateRoot,
    /// Root over the outcomes.
    pub outcomes: OutcomesRoot,
    /// Root over the receipts ever sent.
    pub outbox: OutboxRoot,
    /// Transactions with an outcome.
    pub executed: u32,
    /// Transactions that consumed no nonce and so have no outcome (PROTOCOL rule 7).
    pub skipped: u32,
    /// The supply equation's terms.
    pub supply: SupplyTerms,
}

impl HeightResult {
    /// The hash that blocks claim.
    #[must_use]
    pub fn hash(&self, genesis: GenesisHash) -> ResultHash {
        Hasher::new("jiaozi/result").bytes(&genesis.0).bytes(&self.encode()).finish().into()
    }
}

impl Canonical for HeightResult {
    const NAME: &'static str = "result";
    const BYTES_MAX: usize = 4 + 8 + 32 * 5 + 8 + 24 + 8 + 36 * PAIRS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("supply.pairs", self.supply.pairs.len(), 0, PAIRS_MAX)?;
        check_ascending("supply.pairs", self.supply.pairs.iter().map(|pair| pair.chain))
    }
}
