//! Results: what execution made of a height. Each commits to the one before, so one claim certifies all up to
//! it.

use wincode::{SchemaRead, SchemaWrite};

use super::genesis::CHAINS_MAX;
use crate::values::codec::{check_ascending, check_count};
use crate::values::{
    Amount, BlockDigest, Canonical, ChainId, CodecError, GenesisHash, Hash, Hasher, Height, OutboxRoot,
    OutcomesRoot, ResultHash, StateRoot,
};

/// Most other chains that a chain exchanges receipts with.
pub const PAIRS_MAX: usize = CHAINS_MAX;

/// Receipts and their total value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct Counter {
    /// How many.
    pub count: u64,
    /// Their sum in fen: over all time, so it may be more than any chain can hold.
    pub total: u128,
}

/// What a chain has sent to and received from one other chain (PROTOCOL rule 21).
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

impl Counter {
    /// With one more receipt; `None` where no more can be counted.
    #[must_use]
    pub fn plus(self, value: Amount) -> Option<Self> {
        let total = self.total.checked_add(u128::from(value.fen()))?;
        Some(Self { count: self.count.checked_add(1)?, total })
    }
}

impl SupplyTerms {
    /// The counters for another chain; zero before the first receipt.
    #[must_use]
    pub fn pair(&self, chain: ChainId) -> PairCounters {
        let none = PairCounters { chain, sent: Counter::default(), received: Counter::default() };
        self.pairs.iter().find(|pair| pair.chain == chain).copied().unwrap_or(none)
    }

    /// Sets the counters for another chain.
    pub(crate) fn set_pair(&mut self, counters: PairCounters) {
        match self.pairs.binary_search_by_key(&counters.chain, |pair| pair.chain) {
            Ok(place) => {
                if let Some(pair) = self.pairs.get_mut(place) {
                    *pair = counters;
                }
            }
            Err(place) => self.pairs.insert(place, counters),
        }
    }
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
    /// Hash of the next epoch's set ([`super::EpochRecord::set_hash`]) from the height that schedules it up to the last of the
    /// running epoch; zero else.
    pub next_set: Hash,
    /// Transactions and receipts with an outcome.
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
        link_result(genesis, self.previous, self.content_hash())
    }

    /// Hash of the result's own bytes: with the result before it, a link of the chain of results.
    #[must_use]
    pub fn content_hash(&self) -> Hash {
        Hasher::new("jiaozi/result-content").bytes(&self.encode()).finish()
    }
}

/// The hash of a result, from the hash of the one before it and its own content: a proof that one result
/// follows from another carries 32 bytes for each height between them.
#[must_use]
pub fn link_result(genesis: GenesisHash, previous: ResultHash, content: Hash) -> ResultHash {
    Hasher::new("jiaozi/result").bytes(&genesis.0).bytes(&previous.0).bytes(&content.0).finish().into()
}

impl Canonical for SupplyTerms {
    const NAME: &'static str = "supply terms";
    const BYTES_MAX: usize = 24 + 8 + 52 * PAIRS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("supply.pairs", self.pairs.len(), 0, PAIRS_MAX)?;
        check_ascending("supply.pairs", self.pairs.iter().map(|pair| pair.chain))
    }
}

impl Canonical for HeightResult {
    const NAME: &'static str = "result";
    const BYTES_MAX: usize = 4 + 8 + 32 * 6 + 8 + <SupplyTerms as Canonical>::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.supply.check()
    }
}
