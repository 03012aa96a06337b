//! The name under which the id tree finds a record: of a wallet, a lock or an offer.
//!
//! A wallet's is its id, a hash that this chain computes itself. The name of an offer comes from another chain, as free bytes: hashed
//! with a tag of its own it can be no wallet's, whatever that chain says. An offer and a lock of one name share it; the rules refuse the
//! later one.

use std::fmt;

use wincode::{SchemaRead, SchemaWrite};

use super::hash::Hasher;
use super::id::WalletId;
use super::lock_id::LockId;

/// A record's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct RecordId(pub [u8; 32]);

impl From<WalletId> for RecordId {
    fn from(id: WalletId) -> Self {
        Self(id.0)
    }
}

impl From<LockId> for RecordId {
    fn from(id: LockId) -> Self {
        Self(Hasher::new("jiaozi/lock-record").bytes(&id.0).finish().0)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}
