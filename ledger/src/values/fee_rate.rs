//! The price of weight.

use std::fmt;

use wincode::{SchemaRead, SchemaWrite};

use super::amount::Amount;

/// Fee per unit of weight, in millionths of a fen: a fen is too coarse a step for a payment of some hundred units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct FeeRate(u64);

/// Millionths of a fen in one fen.
const MICRO_FEN_PER_FEN: u128 = 1_000_000;

impl FeeRate {
    /// Weight costs nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths of a fen per unit of weight.
    #[must_use]
    pub const fn from_micro_fen(micro_fen: u64) -> Self {
        Self(micro_fen)
    }

    /// In millionths of a fen per unit of weight.
    #[must_use]
    pub const fn micro_fen(self) -> u64 {
        self.0
    }

    /// Whether weight costs nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// What `weight` costs: rounded down to a fen, in the payer's favour, so that a short burst over the target costs nothing.
    /// Saturates at the largest amount.
    #[must_use]
    pub fn due(self, weight: u64) -> Amount {
        let micro_fen = u128::from(self.0).saturating_mul(u128::from(weight));
        let fen = micro_fen.checked_div(MICRO_FEN_PER_FEN).unwrap_or(0);
        Amount::from_fen(u64::try_from(fen).unwrap_or(u64::MAX))
    }

    /// What `amount` is per unit of `weight`, rounded down; a weight of zero counts as one. Saturates at the highest rate.
    #[must_use]
    pub fn per_weight(amount: Amount, weight: u64) -> Self {
        let micro_fen = u128::from(amount.fen()).saturating_mul(MICRO_FEN_PER_FEN);
        let rate = micro_fen.checked_div(u128::from(weight)).unwrap_or(micro_fen);
        Self(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// The highest rate whose due for `weight` is at most `fee`: what a bid is worth per weight. Saturates at the highest rate; so it
    /// is for a weight of zero.
    #[must_use]
    pub fn of_bid(fee: Amount, weight: u64) -> Self {
        // Due is at most `fee` as long as rate × weight stays below one fen more.
        let below = u128::from(fee.fen()).saturating_add(1).saturating_mul(MICRO_FEN_PER_FEN);
        let rate = below.saturating_sub(1).checked_div(u128::from(weight)).unwrap_or(u128::MAX);
        Self(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Such as `250 µfen`.
impl fmt::Display for FeeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µfen", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_per_weight_rounds_down_and_saturates() {
        for (fen, weight, micro_fen) in
            [(0, 7, 0), (1, 3, 333_333), (2, 1_000, 2_000), (5, 0, 5_000_000), (u64::MAX, 1, u64::MAX)]
        {
            let rate = FeeRate::per_weight(Amount::from_fen(fen), weight);
            assert_eq!(rate.micro_fen(), micro_fen, "{fen} {weight}");
        }
    }
}
