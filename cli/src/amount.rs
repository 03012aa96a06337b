//! Amounts on the command line. They are in the currency of the wallet that acts; whoever names one, `12.34 HKD`, is held to it.

use std::fmt;
use std::str::FromStr;

use ledger::values::amount::AmountError;
use ledger::values::{Amount, Currency};

use crate::failure::{Answer, Failure};

/// An amount as somebody wrote it: `12.34`, `12.34 HKD` or `12.34HKD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenAmount {
    amount: Amount,
    /// The currency, where it was written.
    pub currency: Option<Currency>,
}

/// Text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenAmountError {
    /// Below zero.
    Negative,
    /// Not a number as money has it.
    Amount(AmountError),
}

impl fmt::Display for WrittenAmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative => {
                f.write_str("an amount is not negative; it is written as 12, 12.34 or 12.34 HKD")
            }
            Self::Amount(fault) => write!(f, "{fault}; its currency may follow, as in 12.34 HKD"),
        }
    }
}

impl std::error::Error for WrittenAmountError {}

impl From<AmountError> for WrittenAmountError {
    fn from(fault: AmountError) -> Self {
        Self::Amount(fault)
    }
}

impl From<Amount> for WrittenAmount {
    /// Without a currency.
    fn from(amount: Amount) -> Self {
        Self { amount, currency: None }
    }
}

impl FromStr for WrittenAmount {
    type Err = WrittenAmountError;

    fn from_str(text: &str) -> Result<Self, WrittenAmountError> {
        if text.starts_with('-') {
            return Err(WrittenAmountError::Negative);
        }
        let place = text.len().checked_sub(3).filter(|place| text.is_char_boundary(*place));
        let (number, code) = place.map_or((text, ""), |place| text.split_at(place));
        match code.parse() {
            Ok(currency) => {
                let number = number.strip_suffix(' ').unwrap_or(number);
                Ok(Self { amount: number.parse()?, currency: Some(currency) })
            }
            Err(_) => Ok(Self { amount: text.parse()?, currency: None }),
        }
    }
}

impl WrittenAmount {
    /// The amount, while the currency is not known.
    #[must_use]
    pub const fn in_any(self) -> Amount {
        self.amount
    }

    /// The amount, for a wallet of this currency.
    ///
    /// # Errors
    /// [`Failure`] when another currency was written.
    pub fn in_currency(self, currency: Currency) -> Answer<Amount> {
        match self.currency {
            Some(written) if written != currency => {
                let message = format!("the amount is in {written}, the wallet that acts holds {currency}");
                Err(Failure::usage("other_currency", message)
                    .at("--amount")
                    .mend("name a wallet of that currency, or leave the currency out"))
            }
            _ => Ok(self.amount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_and_without_a_currency() {
        let hkd = Currency(*b"HKD");
        let rows = [
            ("12.34", Ok((1_234, None))),
            ("500", Ok((50_000, None))),
            ("12.34 HKD", Ok((1_234, Some(hkd)))),
            ("12.34HKD", Ok((1_234, Some(hkd)))),
            ("-1", Err(WrittenAmountError::Negative)),
            ("-1 HKD", Err(WrittenAmountError::Negative)),
            ("HKD", Err(WrittenAmountError::Amount(AmountError::Malformed))),
            ("12 hkd", Err(WrittenAmountError::Amount(AmountError::Malformed))),
            ("12  HKD", Err(WrittenAmountError::Amount(AmountError::Malformed))),
            ("12 HKDX", Err(WrittenAmountError::Amount(AmountError::Malformed))),
            ("1.234 HKD", Err(WrittenAmountError::Amount(AmountError::TooManyDecimals))),
            ("1元元", Err(WrittenAmountError::Amount(AmountError::Malformed))),
            ("", Err(WrittenAmountError::Amount(AmountError::Malformed))),
        ];
        for (text, expected) in rows {
            let read = text.parse::<WrittenAmount>();
            assert_eq!(read.map(|read| (read.amount.fen(), read.currency)), expected, "{text:?}");
        }
    }

    #[test]
    fn a_written_currency_must_be_the_wallet_s() {
        let [cny, hkd] = [Currency(*b"CNY"), Currency(*b"HKD")];
        let read = |text: &str| text.parse::<WrittenAmount>().unwrap();
        for (text, currency) in [("5", cny), ("5", hkd), ("5 HKD", hkd)] {
            assert_eq!(read(text).in_currency(currency).unwrap(), Amount::from_fen(500));
        }
        let failure = read("5 HKD").in_currency(cny).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.field.as_deref()), ("other_currency", Some("--amount")));
        assert!(failure.message.contains("HKD") && failure.message.contains("CNY"), "{failure:?}");
    }
}
