//! Parameters that every validator of a chain must agree on. They live in genesis and change by governance
//! only.

use wincode::{SchemaRead, SchemaWrite};

use super::batch::BATCH_BYTES_MAX;
use super::transaction::LANES_MAX;
use super::wallet::{TIERS, Tier};
use crate::values::codec::{check_count, check_range};
use crate::values::{Amount, CodecError};

/// Limits of a tier. Amounts in fen; [`UNLIMITED`] means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct TierParams {
    /// Nonce lanes, 1 to [`LANES_MAX`].
    pub lanes: u16,
    /// Most that one payment may carry.
    pub payment_max: Amount,
    /// Most that a wallet may hold after being paid.
    pub balance_max: Amount,
}

/// No limit.
pub const UNLIMITED: Amount = Amount::from_fen(u64::MAX);

/// Parameters of a chain.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ChainParams {
    /// Most weight (bytes of batches and bundles) of a block.
    pub block_weight_max: u64,
    /// Least time between blocks while there is work, in milliseconds.
    pub block_pace_ms: u64,
    /// `valid_until` lies at most this far ahead of the block that executes the transaction.
    pub transaction_ttl_ms_max: u64,
    /// A leader's timestamp may be this far ahead of a voter's clock.
    pub clock_drift_ms_max: u64,
    /// One entry per tier, in the order of [`TIERS`].
    pub tiers: Vec<TierParams>,
}

/// Bounds of `block_weight_max`.
pub const BLOCK_WEIGHT_MIN: u64 = BATCH_BYTES_MAX as u64;
/// Above this a block would take seconds to spread and execute.
pub const BLOCK_WEIGHT_MAX: u64 = 64 * 1_024 * 1_024;

impl Default for ChainParams {
    /// Public facts of the e-CNY pilot's tiers; each network states its own in genesis.
    fn default() -> Self {
        let tier = |lanes, payment_yuan: u64, balance_yuan: u64| TierParams {
            lanes,
            payment_max: Amount::from_fen(payment_yuan.saturating_mul(100)),
            balance_max: Amount::from_fen(balance_yuan.saturating_mul(100)),
        };
        let unlimited = |lanes| TierParams { lanes, payment_max: UNLIMITED, balance_max: UNLIMITED };
        Self {
            block_weight_max: 8 * 1_024 * 1_024,
            block_pace_ms: 50,
            transaction_ttl_ms_max: 3_600_000,
            clock_drift_ms_max: 500,
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
        let none = TierParams { lanes: 1, payment_max: Amount::ZERO, balance_max: Amount::ZERO };
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
        check_count("params.tiers", self.tiers.len(), TIERS.len(), TIERS.len())?;
        for tier in &self.tiers {
            check_range("params.tiers.lanes", u64::from(tier.lanes), 1, u64::from(LANES_MAX))?;
        }
        Ok(())
    }
}
