//! One encoding per value: bincode's fixed-width little-endian layout, written by `wincode`.
//!
//! Rules:
//! - `decode` accepts exactly the bytes that `encode` writes: trailing bytes, unknown tags, booleans above 1
//!   and counts or ranges outside a value's documented bounds are refused, so decode ∘ encode is the
//!   identity.
//! - Every value has a size bound that is checked before its first byte is read.
//! - Only fixed-width fields, `Vec`, `String`, `Option` and enums with explicit order appear in signed bytes;
//!   no maps.

use wincode::config::{Configuration, DefaultConfig};
use wincode::{SchemaReadOwned, SchemaWrite};

/// A value with one canonical encoding.
pub trait Canonical: Sized + SchemaWrite<DefaultConfig, Src = Self> + SchemaReadOwned<DefaultConfig>
where
    Self: for<'de> wincode::SchemaRead<'de, DefaultConfig, Dst = Self>,
{
    /// The value's name in errors.
    const NAME: &'static str;
    /// Upper bound of the encoding in bytes.
    const BYTES_MAX: usize;

    /// Checks counts and ranges that the layout alone does not bound. Called on every decoded value.
    ///
    /// # Errors
    /// Names the offending field and its bound.
    fn check(&self) -> Result<(), CodecError> {
        Ok(())
    }

    /// The canonical bytes.
    fn encode(&self) -> Vec<u8> {
        let bytes = wincode::serialize(self);
        assert!(bytes.is_ok(), "a checked value always encodes");
        bytes.unwrap_or_default()
    }

    /// Decodes exactly `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are longer than the bound, not the canonical encoding, or hold a value
    /// out of range.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(CodecError::TooLong {
                value: Self::NAME,
                bytes: bytes.len(),
                bytes_max: Self::BYTES_MAX,
            });
        }
        let value: Self = wincode::config::deserialize_exact(bytes, Configuration::default())
            .map_err(|_| CodecError::Malformed { value: Self::NAME })?;
        value.check()?;
        Ok(value)
    }
}

/// Why bytes are not the canonical encoding of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the value can be.
    #[error("{value} has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLong {
        /// Name of the value.
        value: &'static str,
        /// Length found.
        bytes: usize,
        /// Length allowed.
        bytes_max: usize,
    },
    /// Not the layout: truncated, trailing bytes, an unknown tag or invalid text.
    #[error("{value} is not in its canonical encoding (truncated, trailing bytes or an unknown tag)")]
    Malformed {
        /// Name of the value.
        value: &'static str,
    },
    /// A count is outside its bounds.
    #[error("{field} has {count} entries; {min} to {max} are allowed")]
    Count {
        /// Name of the field.
        field: &'static str,
        /// Entries found.
        count: usize,
        /// Least allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// A number is outside its range.
    #[error("{field} is {value}; {min} to {max} is allowed")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// Value found.
        value: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// Entries are not strictly ascending, so the same set would have several encodings.
    #[error("{field} must be strictly ascending")]
    NotAscending {
        /// Name of the field.
        field: &'static str,
    },
}

/// Refuses a count outside `min..=max`.
///
/// # Errors
/// [`CodecError::Count`] naming the field.
pub const fn check_count(
    field: &'static str,
    count: usize,
    min: usize,
    max: usize,
) -> Result<(), CodecError> {
    if count < min || count > max { Err(CodecError::Count { field, count, min, max }) } else { Ok(()) }
}

/// Refuses a number outside `min..=max`.
///
/// # Errors
/// [`CodecError::Range`] naming the field.
pub const fn check_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), CodecError> {
    if value < min || value > max { Err(CodecError::Range { field, value, min, max }) } else { Ok(()) }
}

/// Refuses keys that are not strictly ascending.
///
/// # Errors
/// [`CodecError::NotAscending`] naming the field.
pub fn check_ascending<K: Ord>(
    field: &'static str,
    keys: impl IntoIterator<Item = K>,
) -> Result<(), CodecError> {
    let mut last: Option<K> = None;
    for key in keys {
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(CodecError::NotAscending { field });
        }
        last = Some(key);
    }
    Ok(())
}
