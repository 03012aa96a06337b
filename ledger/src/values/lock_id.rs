//! A lock's name: a hash of the transaction that makes it, so its sender knows it before it is executed. The offer on another
//! chain that a lock belongs to has the same name.

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use wincode::{SchemaRead, SchemaWrite};

use super::hash::{Hasher, TransactionId};

/// A lock's name. Text: bech32m with the prefix `jzl`, so that it is not taken for a wallet's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct LockId(pub [u8; 32]);

/// Human-readable prefix of lock ids.
pub const LOCK_PREFIX: &str = "jzl";

impl LockId {
    /// The name of the lock that a transaction makes.
    #[must_use]
    pub fn of(transaction: TransactionId) -> Self {
        Self(Hasher::new("jiaozi/lock").bytes(&transaction.0).finish().0)
    }
}

impl fmt::Debug for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match bech32::encode::<Bech32m>(Hrp::parse_unchecked(LOCK_PREFIX), &self.0) {
            Ok(text) => f.write_str(&text),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Text is not a lock id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lock id: check for a mistyped character (they are bech32m text starting with jzl1)")]
pub struct LockIdError;

impl FromStr for LockId {
    type Err = LockIdError;

    fn from_str(text: &str) -> Result<Self, LockIdError> {
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| LockIdError)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let id = Self(bytes.try_into().map_err(|_| LockIdError)?);
        // Other prefixes, padding bits and capital letters would give one lock several texts.
        if id.to_string() == text { Ok(id) } else { Err(LockIdError) }
    }
}
