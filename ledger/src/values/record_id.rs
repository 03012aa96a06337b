//! The name under which the id tree finds a record: of a wallet, a lock or an offer. All are hashes with a tag of their own, so no
//! two kinds of names meet.

use std::fmt;

use wincode::{SchemaRead, SchemaWrite};

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
        Self(id.0)
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
