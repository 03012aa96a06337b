//! Parameters that every validator of a chain must agree on. They live in genesis and change by governance
//! only.

use wincode::{SchemaRead, SchemaWrite};

use super::batch::BATCH_WEIGHT_MAX;
use super::transaction::LANES_MAX;
use super::wallet::{TIERS, Tier};
use crate::values::codec::{check_count, check_range};
use crate::values::{Amount, CodecError, FeeRate};

/// Limits of a tier. Amounts in fen; [`UNLIMITED`] means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct TierParams {
    /// Nonce lanes, 1 to [`LANES_MAX`].
    pub lanes: u16,
    /// Most that one payment may carry.
    pub payment_max: Amount,
    /// Most that a wallet may hold after being paid.
    pub balance_max: Amount,
    /// Whether its wallets owe no base fee; their operators' quota carries it.
    pub is_fee_exempt: bool,
}

/// How the base fee moves ([`crate::rules::base_fee`]), and what operators may leave unpaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct FeeParams {
    /// Weight of a block up to which the base fee falls; above it rises. 10,000 to `block_weight_max`.
    pub weight_target: u64,
    /// A block of twice the target or more raises the base fee by one part in so many; 2 to 1,024.
    pub step_denominator: u64,
    /// Least fall, and least rise for each full target that a block weighs, so that the base fee leaves zero and comes back to it; 1 to
    /// 1,000,000 millionths of a fen.
    pub step_min: FeeRate,
    /// The base fee is never above this; `step_min` to 1,000,000,000 millionths of a fen.
    pub rate_max: FeeRate,
    /// What an operator may leave unpaid a day (UTC+8) on this chain, in fen; more is taken from its own wallet.
    pub quota: Amount,
}

/// No limit.
pub const UNLIMITED: Amount = Amount::from_fen(u64::MAX);

/// Parameters of a chain.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ChainParams {
    /// Most weight of a block ([`crate::rules::weight`]).
    pub block_weight_max: u64,
    /// Least time between blocks while there is work, in milliseconds.
    pub block_pace_ms: u64,
    /// `valid_until` lies at most this far ahead of the block that executes the transaction.
    pub transaction_ttl_ms_max: u64,
    /// A leader's timestamp may be this far ahead of a voter's clock.
    pub clock_drift_ms_max: u64,
    /// The fee market.
    pub fees: FeeParams,
    /// One entry per tier, in the order of [`TIERS`].
    pub tiers: Vec<TierParams>,
}

/// Bounds of `block_weight_max`: any batch fits a block.
pub const BLOCK_WEIGHT_MIN: u64 = BATCH_WEIGHT_MAX;
/// Above this a block would take seconds to spread and execute.
pub const BLOCK_WEIGHT_MAX: u64 = 64 * 1_024 * 1_024;
/// Least `weight_target`: below it a single transaction would be a burst.
pub const WEIGHT_TARGET_MIN: u64 = 10_000;
/// Bounds of `step_denominator`: a step is at most half of the base fee.
pub const STEP_DENOMINATOR_MIN: u64 = 2;
/// Above this the base fee would not answer to load.
pub const STEP_DENOMINATOR_MAX: u64 = 1_024;
/// Most `step_min`: one fen per unit of weight.
pub const STEP_MIN_MAX: FeeRate = FeeRate::from_micro_fen(1_000_000);
/// Most `rate_max`: ten units of the currency per unit of weight.
pub const RATE_MAX_MAX: FeeRate = FeeRate::from_micro_fen(1_000_000_000);

impl Default for FeeParams {
    /// One eighth more at twice the target, as the base fee of EIP-1559; a payment to one payee costs a fen some blocks after a burst
    /// begins, and at most 94 yuan, at `rate_max`.
    fn default() -> Self {
        Self {
            weight_target: 1_048_576,
            step_denominator: 8,
            step_min: FeeRate::from_micro_fen(100),
            rate_max: FeeRate::from_micro_fen(10_000_000),
            quota: Amount::from_fen(1_000_000),
        }
    }
}

impl FeeParams {
    /// Checks ranges against the chain's `block_weight_max`.
    ///
    /// # Errors
    /// Names the field out of range.
    pub fn check(&self, block_weight_max: u64) -> Result<(), CodecError> {
        let (step_min, rate_max) = (self.step_min.micro_fen(), self.rate_max.micro_fen());
        check_range("params.fees.weight_target", self.weight_target, WEIGHT_TARGET_MIN, block_weight_max)?;
        let (least, most) = (STEP_DENOMINATOR_MIN, STEP_DENOMINATOR_MAX);
        check_range("params.fees.step_denominator", self.step_denominator, least, most)?;
        check_range("params.fees.step_min", step_min, 1, STEP_MIN_MAX.micro_fen())?;
        check_range("params.fees.rate_max", rate_max, step_min, RATE_MAX_MAX.micro_fen())
    }
}

impl Default for ChainParams {
    /// Public facts of the e-CNY pilot's tiers; each network states its own in genesis.
    fn default() -> Self {
        let tier = |lanes, payment_yuan: u64, balance_yuan: u64| TierParams {
            lanes,
            payment_max: Amount::from_fen(payment_yuan.saturating_mul(100)),
            balance_max: Amount::from_fen(balance_yuan.saturating_mul(100)),
            is_fee_exempt: false,
        };
        let (payment_max, balance_max, is_fee_exempt) = (UNLIMITED, UNLIMITED, false);
        let unlimited = |lanes| TierParams { lanes, payment_max, balance_max, is_fee_exempt };
        Self {
            block_weight_max: 8 * 1_024 * 1_024,
            block_pace_ms: 50,
            transaction_ttl_ms_max: 3_600_000,
            clock_drift_ms_max: 500,
            fees: FeeParams::default(),
            tiers: vec![
                unlimited(16),
                unlimited(4),
                tier(2, 50_000, 500_000),
                tier(2, 5_000, 20_000),
                tier(2, 2_000, 10_000),
            ],
        }
    }
}

impl ChainParams {
    /// The limits of a tier.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> TierParams {
        let position = TIERS.iter().position(|known| *known == tier).unwrap_or(0);
        let (payment_max, balance_max) = (Amount::ZERO, Amount::ZERO);
        let none = TierParams { lanes: 1, payment_max, balance_max, is_fee_exempt: false };
        self.tiers.get(position).copied().unwrap_or(none)
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// Names the field out of range.
    pub fn check(&self) -> Result<(), CodecError> {
        check_range("params.block_weight_max", self.block_weight_max, BLOCK_WEIGHT_MIN, BLOCK_WEIGHT_MAX)?;
        check_range("params.block_pace_ms", self.block_pace_ms, 1, 10_000)?;
        check_range("params.transaction_ttl_ms_max", self.transaction_ttl_ms_max, 1_000, 86_400_000)?;
        check_range("params.clock_drift_ms_max", self.clock_drift_ms_max, 10, 60_000)?;
        self.fees.check(self.block_weight_max)?;
        check_count("params.tiers", self.tiers.len(), TIERS.len(), TIERS.len())?;
        for tier in &self.tiers {
            check_range("params.tiers.lanes", u64::from(tier.lanes), 1, u64::from(LANES_MAX))?;
        }
        Ok(())
    }
}
