//! Blocks: a header, which consensus orders by its digest, and a body of batch digests.
//!
//! The header claims the result of an earlier height (PROTOCOL rule 12), so a quorum's certificate on a block
//! certifies results too. Header and body are small: transactions live in batches.

use wincode::{SchemaRead, SchemaWrite};

use crate::values::codec::check_count;
use crate::values::{
    BatchDigest, BlockDigest, BodyHash, BundleDigest, Canonical, ChainId, CodecError, Epoch, FeeRate,
    GenesisHash, Hasher, Height, ResultHash, TimestampMs, ValidatorIndex, View,
};

/// Most batches of a block.
pub const BLOCK_BATCHES_MAX: usize = 256;
/// Most inbound bundles of a block.
pub const BLOCK_BUNDLES_MAX: usize = 256;
/// Most receipts that a block executes (PROTOCOL rule 18); what waits comes in the next block.
pub const BLOCK_RECEIPTS_MAX: u64 = 8_192;
/// Most weight of a block's inbound bundles. They have room of their own: what other chains send takes none from those who pay here, and
/// moves no price that it does not pay.
pub const BLOCK_BUNDLES_WEIGHT_MAX: u64 = 4 * 1_024 * 1_024;
/// Blocks with batches may run at most this far ahead of the last claim in their ancestry (PROTOCOL rule 12).
pub const CLAIM_LAG_MAX: u64 = 32;
/// Any block is at most this far above its claim; a new set begins this far above the height that schedules it, so that
/// whoever may decide above the last height of an epoch has claimed that it ends there (PROTOCOL rule 3).
pub const SET_CHANGE_MARGIN: u64 = 2 * CLAIM_LAG_MAX;
/// Least time from the first block of an epoch to the scheduling of the next, unless it is urgent (PROTOCOL rule 3).
pub const EPOCH_MS_MIN: u64 = 86_400_000;

/// The result of a height, as a leader claims it and voters check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, SchemaWrite, SchemaRead)]
pub struct Claim {
    /// The height; never below the parent's claim.
    pub height: Height,
    /// Its result, which commits to every result before it.
    pub result: ResultHash,
}

/// What is ordered and signed.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct BlockHeader {
    /// The chain.
    pub chain: ChainId,
    /// The epoch whose validators decide it.
    pub epoch: Epoch,
    /// The consensus round it was proposed in.
    pub view: View,
    /// Parent's height + 1.
    pub height: Height,
    /// The block before it; the genesis block's digest at height 1.
    pub parent: BlockDigest,
    /// Above the parent's (PROTOCOL rule 16).
    pub timestamp: TimestampMs,
    /// Who proposed it.
    pub proposer: ValidatorIndex,
    /// The sum of its batches' weights ([`crate::rules::weight`]): what is paid for here. Bundles were paid for where they come from.
    pub weight: u64,
    /// Fee per unit of weight, as base fee and weight of the parent make it ([`crate::rules::base_fee`]).
    pub base_fee: FeeRate,
    /// The highest result a quorum announced.
    pub claim: Claim,
    /// Hash of the body.
    pub body: BodyHash,
}

/// What a block orders.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct BlockBody {
    /// Batches in the order they execute; no digest twice.
    pub batches: Vec<BatchDigest>,
    /// Inbound bundles, executed after the batches; no digest twice.
    pub bundles: Vec<BundleDigest>,
}

/// A block as it travels and is stored.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The body that the header commits to.
    pub body: BlockBody,
}

impl BlockHeader {
    /// The digest that consensus orders.
    #[must_use]
    pub fn digest(&self, genesis: GenesisHash) -> BlockDigest {
        Hasher::new("jiaozi/block").bytes(&genesis.0).bytes(&self.encode()).finish().into()
    }
}

/// The digest that stands for the genesis state of a chain: the parent of height 1.
#[must_use]
pub fn genesis_block_digest(genesis: GenesisHash, chain: ChainId) -> BlockDigest {
    Hasher::new("jiaozi/genesis-block").bytes(&genesis.0).number(u64::from(chain.0)).finish().into()
}

impl BlockBody {
    /// Whether it orders nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.bundles.is_empty()
    }

    /// The hash that the header carries.
    #[must_use]
    pub fn hash(&self) -> BodyHash {
        Hasher::new("jiaozi/block-body").bytes(&self.encode()).finish().into()
    }
}

impl Canonical for BlockHeader {
    const NAME: &'static str = "block header";
    const BYTES_MAX: usize = 4 + 8 + 8 + 8 + 32 + 8 + 2 + 8 + 8 + 40 + 32;
}

impl Canonical for BlockBody {
    const NAME: &'static str = "block body";
    const BYTES_MAX: usize = 8 + 32 * BLOCK_BATCHES_MAX + 8 + 32 * BLOCK_BUNDLES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("block.batches", self.batches.len(), 0, BLOCK_BATCHES_MAX)?;
        check_count("block.bundles", self.bundles.len(), 0, BLOCK_BUNDLES_MAX)
    }
}

impl Canonical for Block {
    const NAME: &'static str = "block";
    const BYTES_MAX: usize = BlockHeader::BYTES_MAX + BlockBody::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.body.check()
    }
}
