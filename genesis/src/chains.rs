//! The chains of a network as people write them: `CNY:2,HKD:1`, each currency with its number of shards. Ids ascend in that order
//! from 0, which is the root chain.

use std::fmt;
use std::str::FromStr;

use ledger::records::genesis::CHAINS_MAX;
use ledger::values::Currency;

/// Currencies with their numbers of shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainList(Vec<(Currency, u16)>);

/// Text is no list of chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainListError {
    /// A part is not a currency and a number.
    #[error("chains are written as currencies with their numbers of shards, such as CNY:2,HKD:1")]
    Malformed,
    /// A currency stands there twice.
    #[error("{currency} is named twice; write it once, with all its shards")]
    Doubled {
        /// The currency.
        currency: Currency,
    },
    /// No chain, or too many.
    #[error("{count} chains; a network has 1 to {CHAINS_MAX}, and each currency at least one")]
    Count {
        /// How many.
        count: usize,
    },
}

impl ChainList {
    /// Currency and shard of each chain, by id.
    #[must_use]
    pub fn places(&self) -> Vec<(Currency, u16)> {
        self.0.iter().flat_map(|(currency, shards)| (0..*shards).map(|shard| (*currency, shard))).collect()
    }
}

/// One chain of `CNY`.
impl Default for ChainList {
    fn default() -> Self {
        Self(vec![(Currency(*b"CNY"), 1)])
    }
}

impl FromStr for ChainList {
    type Err = ChainListError;

    fn from_str(text: &str) -> Result<Self, ChainListError> {
        let mut list: Vec<(Currency, u16)> = Vec::new();
        for part in text.split(',') {
            let (currency, shards) = part.split_once(':').ok_or(ChainListError::Malformed)?;
            let currency: Currency = currency.parse().map_err(|_| ChainListError::Malformed)?;
            let is_number = shards.bytes().all(|byte| byte.is_ascii_digit());
            let shards: Option<u16> = if is_number { shards.parse().ok() } else { None };
            let shards = shards.ok_or(ChainListError::Malformed)?;
            if list.iter().any(|(known, _)| *known == currency) {
                return Err(ChainListError::Doubled { currency });
            }
            list.push((currency, shards));
        }
        let count: usize = list.iter().map(|(_, shards)| usize::from(*shards)).sum();
        if count > CHAINS_MAX || list.iter().any(|(_, shards)| *shards == 0) {
            return Err(ChainListError::Count { count });
        }
        Ok(Self(list))
    }
}

impl fmt::Display for ChainList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (currency, shards)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{currency}:{shards}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_by_currency_and_shard() {
        let (cny, hkd) = (Currency(*b"CNY"), Currency(*b"HKD"));
        let list: ChainList = "CNY:2,HKD:1".parse().unwrap();
        assert_eq!(list.places(), [(cny, 0), (cny, 1), (hkd, 0)]);
        assert_eq!(list.to_string(), "CNY:2,HKD:1");
        assert_eq!(ChainList::default().places(), [(cny, 0)]);
        assert_eq!("CNY:256".parse::<ChainList>().unwrap().places().len(), CHAINS_MAX);
    }

    #[test]
    fn other_texts_are_told_what_they_are() {
        for text in ["", "CNY", "CNY:", "CNY:x", "cny:1", "CNY:1,", "CNY:+1", "CNY:1;HKD:1", "CNY:70000"] {
            assert_eq!(text.parse::<ChainList>(), Err(ChainListError::Malformed), "{text}");
        }
        let currency = Currency(*b"CNY");
        assert_eq!("CNY:1,CNY:1".parse::<ChainList>(), Err(ChainListError::Doubled { currency }));
        assert_eq!("CNY:0".parse::<ChainList>(), Err(ChainListError::Count { count: 0 }));
        assert_eq!("CNY:1,HKD:0".parse::<ChainList>(), Err(ChainListError::Count { count: 1 }));
        assert_eq!("CNY:256,HKD:1".parse::<ChainList>(), Err(ChainListError::Count { count: 257 }));
    }
}
