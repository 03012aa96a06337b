//! Money: an integer number of fen.

use std::fmt;
use std::str::FromStr;

use wincode::{SchemaRead, SchemaWrite};

/// An amount in fen, the smallest unit of every currency here: 100 of them are one yuan, one dollar, one of whatever the chain's
/// currency is. Arithmetic is checked: overflow is an outcome of the transaction, never a wrapped number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct Amount(u64);

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// From fen.
    #[must_use]
    pub const fn from_fen(fen: u64) -> Self {
        Self(fen)
    }

    /// In fen.
    #[must_use]
    pub const fn fen(self) -> u64 {
        self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above 2⁶⁴ − 1 fen.
    #[must_use]
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(fen) => Some(Self(fen)),
            None => None,
        }
    }

    /// The difference, or `None` below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(fen) => Some(Self(fen)),
            None => None,
        }
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fen", self.0)
    }
}

/// Decimal with two places and without the currency: `12.34`. With it: [`Money`](super::Money).
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, fen) = (self.0 / FEN_PER_UNIT, self.0 % FEN_PER_UNIT);
        write!(f, "{units}.{fen:02}")
    }
}

/// Fen in one unit of a currency, such as a yuan.
pub const FEN_PER_UNIT: u64 = 100;

/// Text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not digits with at most one point.
    #[error("an amount is a decimal number with at most two decimals, such as 12 or 12.34")]
    Malformed,
    /// More than two decimals would be fractions of a fen.
    #[error("an amount has at most two decimals: the fen is the smallest unit")]
    TooManyDecimals,
    /// Does not fit.
    #[error("an amount is at most 184467440737095516.15")]
    TooLarge,
}

/// Parses decimals (`12`, `12.3`, `12.34`); no sign, exponent, grouping or spaces.
impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units) || !digits(decimals) {
            return Err(AmountError::Malformed);
        }
        let tenths_only = match decimals.len() {
            1 => true,
            2 => false,
            _ => return Err(AmountError::TooManyDecimals),
        };
        let units: u64 = units.parse().map_err(|_| AmountError::TooLarge)?;
        let decimals: u64 = decimals.parse().map_err(|_| AmountError::Malformed)?;
        let fen = if tenths_only { decimals.saturating_mul(10) } else { decimals };
        units
            .checked_mul(FEN_PER_UNIT)
            .and_then(|whole| whole.checked_add(fen))
            .map(Self)
            .ok_or(AmountError::TooLarge)
    }
}
