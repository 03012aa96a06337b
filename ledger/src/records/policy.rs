//! Who may sign for a wallet: `threshold` of the listed keys. 1-of-1 is usual.

use wincode::{SchemaRead, SchemaWrite};

use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::{Canonical, CodecError, Hasher, PolicyHash, PublicKey};

/// Most keys of a policy.
pub const POLICY_KEYS_MAX: usize = 16;

/// An m-of-n policy. Keys are strictly ascending, so a set of keys has one encoding and no key counts twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, SchemaWrite, SchemaRead)]
pub struct Policy {
    /// Signatures needed, 1 to the number of keys.
    pub threshold: u8,
    /// The keys, strictly ascending, 1 to [`POLICY_KEYS_MAX`].
    pub keys: Vec<PublicKey>,
}

impl Policy {
    /// The usual policy: one key.
    #[must_use]
    pub fn single(key: PublicKey) -> Self {
        Self { threshold: 1, keys: vec![key] }
    }

    /// `threshold` of `keys`, in any order.
    ///
    /// # Errors
    /// [`CodecError`] when a key is doubled or a bound is broken.
    pub fn new(threshold: u8, mut keys: Vec<PublicKey>) -> Result<Self, CodecError> {
        keys.sort_unstable();
        let policy = Self { threshold, keys };
        policy.check()?;
        Ok(policy)
    }

    /// What a wallet record keeps of its policy.
    #[must_use]
    pub fn hash(&self) -> PolicyHash {
        Hasher::new("jiaozi/policy").bytes(&self.encode()).finish().into()
    }
}

impl Canonical for Policy {
    const NAME: &'static str = "policy";
    const BYTES_MAX: usize = 1 + 8 + 32 * POLICY_KEYS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("policy.keys", self.keys.len(), 1, POLICY_KEYS_MAX)?;
        check_range("policy.threshold", u64::from(self.threshold), 1, self.keys.len() as u64)?;
        check_ascending("policy.keys", &self.keys)
    }
}
