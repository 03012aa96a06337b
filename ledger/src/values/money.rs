//! Money as people read it.

use std::fmt;

use super::amount::Amount;
use super::id::Currency;

/// An amount with the currency that it is of. Inside a chain an [`Amount`] is enough, because a chain has one currency; wherever
/// people read it, it stands with its currency. Text: `12.34 HKD`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// From fen, the smallest unit of every currency.
    #[must_use]
    pub const fn from_fen(fen: u64, currency: Currency) -> Self {
        Self { amount: Amount::from_fen(fen), currency }
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}
