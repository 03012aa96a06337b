//! The cost of a passphrase: Argon2id. Parameters are in the file, so they are bounded before any memory is
//! taken.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::passphrase::Passphrase;

/// Least memory: the least that OWASP recommends.
pub const MEMORY_KIB_MIN: u32 = 19 * 1_024;
/// Most memory.
pub const MEMORY_KIB_MAX: u32 = 256 * 1_024;
/// Most passes over the memory.
pub const PASSES_MAX: u32 = 16;
/// Most memory times passes, which is the time it takes: about three seconds.
pub const WORK_KIB_MAX: u32 = 1_024 * 1_024;
/// Most lanes.
pub const LANES_MAX: u32 = 4;
const _: () = assert!(MEMORY_KIB_MIN * 2 <= WORK_KIB_MAX && MEMORY_KIB_MAX <= WORK_KIB_MAX);

/// Argon2id's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KdfParams {
    /// Memory, 19 to 256 MiB.
    pub memory_kib: u32,
    /// Passes, 1 to 16.
    pub passes: u32,
    /// Lanes, 1 to 4.
    pub lanes: u32,
}

impl Default for KdfParams {
    /// For passphrases that people choose.
    fn default() -> Self {
        Self { memory_kib: 64 * 1_024, passes: 3, lanes: 1 }
    }
}

/// Parameters out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}; {min} to {max} is allowed")]
pub struct KdfError {
    /// The parameter.
    pub field: &'static str,
    /// Found.
    pub value: u64,
    /// Least allowed.
    pub min: u64,
    /// Most allowed.
    pub max: u64,
}

impl KdfParams {
    /// For passphrases that are random themselves ([`Passphrase::generate`]): guessing them is hopeless at
    /// any cost.
    pub const FAST: Self = Self { memory_kib: MEMORY_KIB_MIN, passes: 1, lanes: 1 };

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`KdfError`] naming the parameter.
    pub fn check(&self) -> Result<(), KdfError> {
        check("kdf.memory_kib", self.memory_kib, MEMORY_KIB_MIN, MEMORY_KIB_MAX)?;
        check("kdf.passes", self.passes, 1, PASSES_MAX)?;
        check("kdf.lanes", self.lanes, 1, LANES_MAX)?;
        check("kdf.memory_kib times kdf.passes", self.memory_kib.saturating_mul(self.passes), 1, WORK_KIB_MAX)
    }

    /// The key that a passphrase makes with a salt.
    ///
    /// # Errors
    /// [`KdfError`] when the parameters are out of bounds.
    pub(crate) fn derive(
        &self,
        passphrase: &Passphrase,
        salt: &[u8; 16],
    ) -> Result<Zeroizing<[u8; 32]>, KdfError> {
        self.check()?;
        let mut key = Zeroizing::new([0; 32]);
        // Within the bounds above Argon2 accepts everything; an error would still leave no usable key.
        let refused = |_| KdfError { field: "kdf", value: 0, min: 1, max: 1 };
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(refused)?;
        let mut memory = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let derived = argon2.hash_password_into_with_memory(
            passphrase.bytes(),
            salt,
            key.as_mut(),
            memory.as_mut_slice(),
        );
        memory.iter_mut().for_each(Block::zeroize);
        derived.map_err(refused)?;
        Ok(key)
    }
}

const fn check(field: &'static str, value: u32, min: u32, max: u32) -> Result<(), KdfError> {
    if value < min || value > max {
        Err(KdfError { field, value: value as u64, min: min as u64, max: max as u64 })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_parameters_are_refused_before_memory_is_taken() {
        let good = KdfParams::default();
        for (bad, field) in [
            (KdfParams { memory_kib: u32::MAX, ..good }, "kdf.memory_kib"),
            (KdfParams { memory_kib: 8, ..good }, "kdf.memory_kib"),
            (KdfParams { passes: 0, ..good }, "kdf.passes"),
            (KdfParams { passes: u32::MAX, ..good }, "kdf.passes"),
            (KdfParams { lanes: 0, ..good }, "kdf.lanes"),
            (KdfParams { memory_kib: MEMORY_KIB_MAX, passes: 5, ..good }, "kdf.memory_kib times kdf.passes"),
        ] {
            let passphrase = Passphrase::new("correct horse").unwrap();
            assert_eq!(bad.derive(&passphrase, &[0; 16]).unwrap_err().field, field);
        }
        assert_eq!((good.check(), KdfParams::FAST.check()), (Ok(()), Ok(())));
    }

    #[test]
    fn keys_depend_on_passphrase_salt_and_parameters() {
        let (one, other) =
            (Passphrase::new("correct horse").unwrap(), Passphrase::new("battery staple").unwrap());
        let fast = KdfParams::FAST;
        let base = fast.derive(&one, &[0; 16]).unwrap();
        assert_eq!(base, fast.derive(&one, &[0; 16]).unwrap());
        assert_ne!(base, fast.derive(&other, &[0; 16]).unwrap());
        assert_ne!(base, fast.derive(&one, &[1; 16]).unwrap());
        assert_ne!(base, KdfParams { passes: 2, ..fast }.derive(&one, &[0; 16]).unwrap());
    }
}
