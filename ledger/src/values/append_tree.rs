//! An append-only Merkle tree (a mountain range): complete subtrees over the entries from the left, the largest first.
//!
//! ```text
//! leaf = H(0x00, bytes)      node = H(0x01, level, left, right)      root = H(0x03, count, peaks…)
//! ```
//!
//! The peaks are all that must be kept to go on: one hash for each bit of the count. The root commits to the count and to every
//! entry at its place, so whoever holds a root and is shown peaks, entries and the subtrees after them can tell that the
//! entries stand where they are said to stand. Source of the idea: Crosby and Wallach, "Efficient Data Structures for
//! Tamper-Evident Logging", 2009; Todd, "Merkle Mountain Ranges", 2012.

use wincode::{SchemaRead, SchemaWrite};

use super::codec::{CodecError, check_count};
use super::hash::{Hash, Hasher};

/// Most subtrees between two counts: up a side of the tree and down again.
pub const SUBTREES_MAX: usize = 2 * u64::BITS as usize;

/// The peaks of an append-only tree.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct AppendTree {
    /// Entries appended.
    pub count: u64,
    /// Roots of the complete subtrees, the largest first: one for each bit of `count`.
    pub peaks: Vec<Hash>,
}

impl AppendTree {
    /// Most bytes of its encoding.
    pub const BYTES_MAX: usize = 8 + 8 + 32 * u64::BITS as usize;

    /// Refuses another number of peaks than the count has bits.
    ///
    /// # Errors
    /// [`CodecError::Count`] naming `field`.
    pub const fn check(&self, field: &'static str) -> Result<(), CodecError> {
        let bits = self.count.count_ones() as usize;
        check_count(field, self.peaks.len(), bits, bits)
    }

    /// The hash of an entry.
    #[must_use]
    pub fn leaf(tag: &'static str, bytes: &[u8]) -> Hash {
        Hasher::new(tag).bytes(&[0x00]).bytes(bytes).finish()
    }

    /// Appends an entry hashed by [`Self::leaf`] under the same tag; false (and unchanged) where no more fit.
    #[must_use]
    pub fn append(&mut self, tag: &'static str, leaf: Hash) -> bool {
        self.append_subtree(tag, 0, leaf)
    }

    /// Appends a complete subtree of 2^`level` entries; false (and unchanged) where it would not be aligned or not fit.
    #[must_use]
    pub fn append_subtree(&mut self, tag: &'static str, level: u32, hash: Hash) -> bool {
        let Some(entries) = 1_u64.checked_shl(level) else { return false };
        let Some(count) = self.count.checked_add(entries) else { return false };
        if self.count.trailing_zeros() < level || self.peaks.len() != self.count.count_ones() as usize {
            return false;
        }
        let (mut hash, mut level) = (hash, level);
        while self.count.checked_shr(level).is_some_and(|rest| rest & 1 == 1) {
            let Some(left) = self.peaks.pop() else { break };
            level = level.saturating_add(1);
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            hash = Hasher::new(tag).bytes(&[0x01, level]).bytes(&left.0).bytes(&hash.0).finish();
        }
        self.peaks.push(hash);
        self.count = count;
        true
    }

    /// The root.
    #[must_use]
    pub fn root(&self, tag: &'static str) -> Hash {
        let over = Hasher::new(tag).bytes(&[0x03]).number(self.count);
        self.peaks.iter().fold(over, |over, peak| over.bytes(&peak.0)).finish()
    }
}

/// The largest aligned complete subtrees that lead from `count` entries to `until`, in order: where each begins, and its level.
#[must_use]
pub fn subtrees(count: u64, until: u64) -> Vec<(u64, u32)> {
    let (mut at, mut subtrees) = (count, Vec::new());
    while let Some(left) = until.checked_sub(at).filter(|left| *left > 0) {
        let level = at.trailing_zeros().min(left.ilog2());
        subtrees.push((at, level));
        at = at.saturating_add(1_u64.checked_shl(level).unwrap_or(u64::MAX));
    }
    subtrees
}
