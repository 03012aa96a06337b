//! Validity of a block, split by what has to be known. Consensus decides on the conjunction; a voter answers
//! no for ever where one of these fails.
//!
//! | function | needs |
//! | --- | --- |
//! | [`check_header`] | the header and the rules of the state that it claims |
//! | [`check_parent`] | the parent's header, and the same rules |
//! | [`check_body`] | the body |
//! | [`check_contents`] | its batches' weights and expiries, its bundles' weights |
//! | [`check_sealers`] | who sealed its batches, and the rules of the state that it claims |
//!
//! **By which rules.** A header is judged by the registry of the state at the height that it claims, never by what a voter knows since:
//! so all judge alike (PROTOCOL rule 2). That state is recent enough to know of every closing height at or above which the block
//! may stand: a block is at most [`SET_CHANGE_MARGIN`] above its claim, and a closing height is that far above the height that
//! schedules it.
//!
//! **How an epoch ends.** The last [`CLAIM_LAG_MAX`] blocks order nothing, so whoever orders something has claimed a height that
//! knows of the end; the last block claims the height below it, so the set of the epoch certifies which set follows; what is above it is
//! the next epoch's (PROTOCOL rule 3).
//!
//! What remains to the chain: the claim is the result that this validator computed, the digests were not
//! ordered by an unexpired ancestor, the batches are valid, and everything is on disk.

use super::base_fee::next_base_fee;
use super::bundle_validity::BundleFacts;
use super::chain_rules::ChainRules;
use crate::records::batch::BATCH_LIFE_MS_MAX;
use crate::records::block::{
    BLOCK_BUNDLES_WEIGHT_MAX, BLOCK_RECEIPTS_MAX, CLAIM_LAG_MAX, SET_CHANGE_MARGIN, genesis_block_digest,
};
use crate::records::{Batch, BlockBody, BlockHeader, Claim};
use crate::values::codec::check_count;
use crate::values::{
    BatchDigest, BlockDigest, BodyHash, BundleDigest, Canonical, ChainId, CodecError, Epoch, FeeRate,
    GenesisHash, Height, OperatorId, ResultHash, TimestampMs, ValidatorIndex, View,
};

/// Why a block is invalid: for ever, at every honest validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// A count is out of bounds.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// For another chain.
    #[error("the block is for chain {chain}")]
    WrongChain {
        /// Found.
        chain: ChainId,
    },
    /// The registry has no such epoch at that height.
    #[error("epoch {epoch} does not decide height {height}")]
    EpochNotOpen {
        /// Found.
        epoch: Epoch,
        /// The height.
        height: Height,
    },
    /// The epoch has no such validator.
    #[error("epoch {epoch} has no validator {proposer}")]
    ProposerUnknown {
        /// The epoch.
        epoch: Epoch,
        /// Found.
        proposer: ValidatorIndex,
    },
    /// Not the base fee that base fee and weight of its parent make (PROTOCOL rule 17).
    #[error("the base fee is {found}; after its parent it is {expected}")]
    BaseFee {
        /// Found.
        found: FeeRate,
        /// By the rules that judge the header.
        expected: FeeRate,
    },
    /// Heavier than the chain allows.
    #[error("the block weighs {weight}, {weight_max} is allowed")]
    TooHeavy {
        /// Found.
        weight: u64,
        /// Allowed.
        weight_max: u64,
    },
    /// A result is claimed that cannot exist yet.
    #[error("height {height} claims the result of height {claimed}")]
    ClaimNotBelow {
        /// The block's height.
        height: Height,
        /// The claimed one.
        claimed: Height,
    },
    /// Too far above its claim.
    #[error("a block is at most {SET_CHANGE_MARGIN} above its claim; {height} claims {claimed}")]
    TooFarAboveClaim {
        /// The block's height.
        height: Height,
        /// The claimed one.
        claimed: Height,
    },
    /// The last block of an epoch does not claim the height below it.
    #[error("the last block of its epoch, {height}, claims height {claimed} and not the one below it")]
    CloseClaim {
        /// The block's height.
        height: Height,
        /// The claimed one.
        claimed: Height,
    },
    /// One of the last blocks of an epoch orders something.
    #[error("the epoch ends at height {last}; the block at {height} may order nothing any more")]
    CloseNotEmpty {
        /// The block's height.
        height: Height,
        /// The epoch's last.
        last: Height,
    },
    /// Not one above its parent.
    #[error("height {height} on a parent at height {parent}")]
    HeightNotNext {
        /// Found.
        height: Height,
        /// The parent's.
        parent: Height,
    },
    /// Names another parent.
    #[error("the block's parent is {named}, not {parent}")]
    ParentDigest {
        /// In the header.
        named: BlockDigest,
        /// The parent given.
        parent: BlockDigest,
    },
    /// The epoch went back.
    #[error("epoch {epoch} after epoch {parent}")]
    EpochBack {
        /// Found.
        epoch: Epoch,
        /// The parent's.
        parent: Epoch,
    },
    /// Not a later round than its parent's.
    #[error("view {view} after view {parent} of the same epoch")]
    ViewNotLater {
        /// Found.
        view: View,
        /// The parent's.
        parent: View,
    },
    /// Not later than its parent (PROTOCOL rule 16).
    #[error("timestamp {timestamp} is not after the parent's {parent}")]
    TimestampNotLater {
        /// Found.
        timestamp: TimestampMs,
        /// The parent's.
        parent: TimestampMs,
    },
    /// The claim went back, or changed at the same height (PROTOCOL rule 12).
    #[error("the claim {claim:?} does not continue the parent's {parent:?}")]
    ClaimBack {
        /// Found.
        claim: Claim,
        /// The parent's.
        parent: Claim,
    },
    /// The header commits to another body.
    #[error("the header commits to body {committed}, this one is {body}")]
    Body {
        /// In the header.
        committed: BodyHash,
        /// Of the body.
        body: BodyHash,
    },
    /// A digest comes twice.
    #[error("the block orders {digest} twice")]
    DigestTwice {
        /// The digest.
        digest: BatchDigest,
    },
    /// A bundle comes twice.
    #[error("the block orders bundle {digest} twice")]
    BundleTwice {
        /// The digest.
        digest: BundleDigest,
    },
    /// Batches too far ahead of the last claim (PROTOCOL rule 12).
    #[error(
        "a block with batches or bundles is at most {CLAIM_LAG_MAX} above its claim; {height} claims {claimed}"
    )]
    TooFarAheadOfClaim {
        /// The block's height.
        height: Height,
        /// The claimed one.
        claimed: Height,
    },
    /// The batches are not those of the body.
    #[error("batch {position} is not the one that the body orders")]
    BatchMismatch {
        /// Position in the body.
        position: u32,
    },
    /// The bundles are not those of the body.
    #[error("bundle {position} is not the one that the body orders")]
    BundleMismatch {
        /// Position in the body.
        position: u32,
    },
    /// More receipts than a block may execute (PROTOCOL rule 18).
    #[error("the block executes {receipts} receipts, {BLOCK_RECEIPTS_MAX} are allowed")]
    TooManyReceipts {
        /// Found.
        receipts: u64,
    },
    /// A batch is of another epoch.
    #[error("batch {digest} is of epoch {epoch}")]
    BatchEpoch {
        /// The batch.
        digest: BatchDigest,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A batch had expired, or lives too long (PROTOCOL rule 10).
    #[error("batch {digest} expires at {expires}; a block at {timestamp} may not order it")]
    BatchExpiry {
        /// The batch.
        digest: BatchDigest,
        /// When it expires.
        expires: TimestampMs,
        /// The block's timestamp.
        timestamp: TimestampMs,
    },
    /// The weight is not the sum of the batches.
    #[error("the header says that the block weighs {claimed}, its batches weigh {counted}")]
    Weight {
        /// In the header.
        claimed: u64,
        /// Counted.
        counted: u64,
    },
    /// Its bundles are too heavy together.
    #[error("the block's bundles weigh {weight}, {BLOCK_BUNDLES_WEIGHT_MAX} is allowed")]
    BundlesTooHeavy {
        /// Found.
        weight: u64,
    },
    /// A batch was sealed for an operator that owes the network (PROTOCOL rule 17).
    #[error(
        "batch {digest} is sealed for operator {operator}, which owes for earlier ones; it may seal again once its own wallet on this \
         chain has paid, or in a block whose base fee is zero"
    )]
    SealerBarred {
        /// The batch.
        digest: BatchDigest,
        /// The operator.
        operator: OperatorId,
    },
}

impl BlockFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 601,
            Self::WrongChain { .. } => 602,
            Self::EpochNotOpen { .. } => 603,
            Self::ProposerUnknown { .. } => 604,
            Self::BaseFee { .. } => 605,
            Self::TooHeavy { .. } => 606,
            Self::ClaimNotBelow { .. } => 607,
            Self::TooFarAboveClaim { .. } => 608,
            Self::CloseClaim { .. } => 609,
            Self::CloseNotEmpty { .. } => 610,
            Self::HeightNotNext { .. } => 611,
            Self::ParentDigest { .. } => 612,
            Self::EpochBack { .. } => 613,
            Self::ViewNotLater { .. } => 614,
            Self::TimestampNotLater { .. } => 615,
            Self::ClaimBack { .. } => 616,
            Self::Body { .. } => 621,
            Self::DigestTwice { .. } => 622,
            Self::BundleTwice { .. } => 623,
            Self::TooFarAheadOfClaim { .. } => 624,
            Self::BatchMismatch { .. } => 631,
            Self::BatchEpoch { .. } => 632,
            Self::BatchExpiry { .. } => 633,
            Self::Weight { .. } => 634,
            Self::BundleMismatch { .. } => 635,
            Self::TooManyReceipts { .. } => 636,
            Self::SealerBarred { .. } => 637,
            Self::BundlesTooHeavy { .. } => 638,
        }
    }
}

/// What a block is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentFacts {
    /// Its digest.
    pub digest: BlockDigest,
    /// Its height.
    pub height: Height,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its round.
    pub view: View,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// The claim it carries.
    pub claim: Claim,
    /// Its base fee.
    pub base_fee: FeeRate,
    /// Its weight.
    pub weight: u64,
}

impl ParentFacts {
    /// Of a header.
    #[must_use]
    pub fn of(header: &BlockHeader, genesis: GenesisHash) -> Self {
        Self::known(header.digest(genesis), header)
    }

    /// Of a header whose digest is known.
    #[must_use]
    pub const fn known(digest: BlockDigest, header: &BlockHeader) -> Self {
        Self {
            digest,
            height: header.height,
            epoch: header.epoch,
            view: header.view,
            timestamp: header.timestamp,
            claim: header.claim,
            base_fee: header.base_fee,
            weight: header.weight,
        }
    }

    /// Of genesis, the parent of height 1: `timestamp` is the genesis spec's, `result` that of height 0.
    #[must_use]
    pub fn genesis(rules: &ChainRules, timestamp: TimestampMs, result: ResultHash) -> Self {
        Self {
            digest: genesis_block_digest(rules.genesis, rules.chain),
            height: Height(0),
            epoch: Epoch(0),
            view: View(0),
            timestamp,
            claim: Claim { height: Height(0), result },
            base_fee: FeeRate::ZERO,
            weight: 0,
        }
    }
}

impl ParentFacts {
    /// The base fee of a block on this parent, where `rules` are those of the state that the block claims.
    #[must_use]
    pub fn next_base_fee(&self, rules: &ChainRules) -> FeeRate {
        next_base_fee(&rules.params.fees, self.base_fee, self.weight)
    }
}

/// What a block needs to know of a batch; kept when the batch was checked, so its bytes are not needed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFacts {
    /// Its digest.
    pub digest: BatchDigest,
    /// Its weight ([`super::weight::batch_weight`]).
    pub weight: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// Who sealed it.
    pub sealer: ValidatorIndex,
    /// When it expires.
    pub expires: TimestampMs,
}

impl BatchFacts {
    /// Of a batch with this digest.
    #[must_use]
    pub fn of(digest: BatchDigest, batch: &Batch) -> Self {
        let content = &batch.content;
        let (epoch, sealer, expires) = (content.epoch, content.sealer, content.expires);
        Self { digest, weight: batch.weight(), epoch, sealer, expires }
    }
}

/// Checks what the header alone shows, by the rules of the state at the height that it claims.
///
/// # Errors
/// The first fault.
pub fn check_header(rules: &ChainRules, header: &BlockHeader) -> Result<(), BlockFault> {
    let (epoch, height, proposer) = (header.epoch, header.height, header.proposer);
    if header.chain != rules.chain {
        return Err(BlockFault::WrongChain { chain: header.chain });
    }
    let record = rules.registry.epoch(rules.chain, epoch);
    let record = record.filter(|record| record.decides(height));
    let record = record.ok_or(BlockFault::EpochNotOpen { epoch, height })?;
    if rules.registry.validator(rules.chain, epoch, proposer).is_none() {
        return Err(BlockFault::ProposerUnknown { epoch, proposer });
    }
    let weight_max = rules.params.block_weight_max;
    if header.weight > weight_max {
        return Err(BlockFault::TooHeavy { weight: header.weight, weight_max });
    }
    if header.claim.height >= height {
        return Err(BlockFault::ClaimNotBelow { height, claimed: header.claim.height });
    }
    let claimed = header.claim.height;
    if height.0.saturating_sub(claimed.0) > SET_CHANGE_MARGIN {
        return Err(BlockFault::TooFarAboveClaim { height, claimed });
    }
    let Some(last) = record.last_height else { return Ok(()) };
    if height == last && claimed.next() != height {
        return Err(BlockFault::CloseClaim { height, claimed });
    }
    let is_closing = height.0.saturating_add(CLAIM_LAG_MAX) > last.0;
    if is_closing && (header.weight > 0 || header.body != BlockBody::default().hash()) {
        return Err(BlockFault::CloseNotEmpty { height, last });
    }
    Ok(())
}

/// Whether a block at this height is one of the last of its epoch, which order nothing.
#[must_use]
pub fn is_closing(rules: &ChainRules, height: Height) -> bool {
    let last = rules.epoch_at(height).and_then(|record| record.last_height);
    last.is_some_and(|last| height.0.saturating_add(CLAIM_LAG_MAX) > last.0)
}

/// Checks a header against its parent, by the rules of the state at the height that it claims: they say how the base fee moves.
///
/// # Errors
/// The first fault.
pub fn check_parent(
    rules: &ChainRules,
    header: &BlockHeader,
    parent: &ParentFacts,
) -> Result<(), BlockFault> {
    if header.height != parent.height.next() {
        return Err(BlockFault::HeightNotNext { height: header.height, parent: parent.height });
    }
    if header.parent != parent.digest {
        return Err(BlockFault::ParentDigest { named: header.parent, parent: parent.digest });
    }
    if header.epoch < parent.epoch {
        return Err(BlockFault::EpochBack { epoch: header.epoch, parent: parent.epoch });
    }
    if header.epoch == parent.epoch && header.view <= parent.view {
        return Err(BlockFault::ViewNotLater { view: header.view, parent: parent.view });
    }
    if header.timestamp <= parent.timestamp {
        return Err(BlockFault::TimestampNotLater { timestamp: header.timestamp, parent: parent.timestamp });
    }
    let (claim, before) = (header.claim, parent.claim);
    if claim.height < before.height || (claim.height == before.height && claim.result != before.result) {
        return Err(BlockFault::ClaimBack { claim, parent: before });
    }
    let (found, expected) = (header.base_fee, parent.next_base_fee(rules));
    if found != expected {
        return Err(BlockFault::BaseFee { found, expected });
    }
    Ok(())
}

/// Checks a body against its header.
///
/// # Errors
/// The first fault.
pub fn check_body(header: &BlockHeader, body: &BlockBody) -> Result<(), BlockFault> {
    body.check()?;
    let hash = body.hash();
    if header.body != hash {
        return Err(BlockFault::Body { committed: header.body, body: hash });
    }
    let mut digests = body.batches.clone();
    digests.sort_unstable();
    if let Some([digest, _]) = digests.array_windows().find(|[left, right]| left == right) {
        return Err(BlockFault::DigestTwice { digest: *digest });
    }
    let mut bundles = body.bundles.clone();
    bundles.sort_unstable();
    if let Some([digest, _]) = bundles.array_windows().find(|[left, right]| left == right) {
        return Err(BlockFault::BundleTwice { digest: *digest });
    }
    let ahead = header.height.0.saturating_sub(header.claim.height.0);
    if !body.is_empty() && ahead > CLAIM_LAG_MAX {
        return Err(BlockFault::TooFarAheadOfClaim { height: header.height, claimed: header.claim.height });
    }
    Ok(())
}

/// Checks a block against the batches and bundles that it orders, given in that order.
///
/// # Errors
/// The first fault.
pub fn check_contents(
    header: &BlockHeader,
    body: &BlockBody,
    batches: &[BatchFacts],
    bundles: &[BundleFacts],
) -> Result<(), BlockFault> {
    check_count("batches of the block", batches.len(), body.batches.len(), body.batches.len())?;
    let mut counted = 0_u64;
    for ((batch, ordered), position) in batches.iter().zip(&body.batches).zip(0..=u32::MAX) {
        let digest = batch.digest;
        if digest != *ordered {
            return Err(BlockFault::BatchMismatch { position });
        }
        if batch.epoch != header.epoch {
            return Err(BlockFault::BatchEpoch { digest, epoch: batch.epoch });
        }
        let latest = header.timestamp.0.saturating_add(BATCH_LIFE_MS_MAX);
        if batch.expires < header.timestamp || batch.expires.0 > latest {
            return Err(BlockFault::BatchExpiry {
                digest,
                expires: batch.expires,
                timestamp: header.timestamp,
            });
        }
        counted = counted.saturating_add(batch.weight);
    }
    check_count("bundles of the block", bundles.len(), body.bundles.len(), body.bundles.len())?;
    let (mut receipts, mut bundled) = (0_u64, 0_u64);
    for ((bundle, ordered), position) in bundles.iter().zip(&body.bundles).zip(0..=u32::MAX) {
        if bundle.digest != *ordered {
            return Err(BlockFault::BundleMismatch { position });
        }
        bundled = bundled.saturating_add(bundle.weight);
        receipts = receipts.saturating_add(u64::from(bundle.receipts));
    }
    if receipts > BLOCK_RECEIPTS_MAX {
        return Err(BlockFault::TooManyReceipts { receipts });
    }
    if bundled > BLOCK_BUNDLES_WEIGHT_MAX {
        return Err(BlockFault::BundlesTooHeavy { weight: bundled });
    }
    if counted != header.weight {
        return Err(BlockFault::Weight { claimed: header.weight, counted });
    }
    Ok(())
}

/// Checks that no batch is of an operator that is barred, by the rules of the state at the height that the header claims. In a block
/// whose base fee is zero nobody is: what costs nothing, whoever owes may order too, its own payment first of all.
///
/// # Errors
/// [`BlockFault::SealerBarred`] of the first such batch.
pub fn check_sealers(
    rules: &ChainRules,
    header: &BlockHeader,
    batches: &[BatchFacts],
) -> Result<(), BlockFault> {
    if header.base_fee.is_zero() {
        return Ok(());
    }
    for batch in batches {
        if let Some(operator) = rules.barred_operator(batch.epoch, batch.sealer) {
            return Err(BlockFault::SealerBarred { digest: batch.digest, operator });
        }
    }
    Ok(())
}
