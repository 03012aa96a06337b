//! A chunk of a snapshot: the records of an aligned range of slots, and why they are those of the certified state.
//!
//! ```text
//! records of slots k·1024 … k·1024 + 1023 ── subtree of ten levels ── siblings up to the root ══ summing tree of the manifest
//! ```
//!
//! A chunk stands for itself: it is checked when it comes, in any order, from anybody. One that is wrong says nothing about the others.

use wincode::{SchemaRead, SchemaWrite};

use crate::records::Record;
use crate::state::Crown;
use crate::state::summing_tree::{DEPTH_MAX, SumNode, verify_subtree};
use crate::values::codec::check_count;
use crate::values::{Canonical, CodecError, Height, Slot};

/// The level of the summing tree whose nodes are chunks.
pub const CHUNK_LEVEL: usize = 10;
/// Slots of a chunk; the last one has fewer.
pub const CHUNK_SLOTS: usize = 1 << CHUNK_LEVEL;
/// Largest encoding of a chunk: what a link must carry in one piece.
pub const CHUNK_BYTES_MAX: usize =
    8 + 8 + 8 + <Record as Canonical>::BYTES_MAX * CHUNK_SLOTS + 8 + 40 * DEPTH_MAX;
const _: () = assert!(CHUNK_BYTES_MAX <= 512 * 1_024);

/// A range of records with its proof.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SnapshotChunk {
    /// The height of the snapshot.
    pub height: Height,
    /// Which chunk: its first slot is `index` · [`CHUNK_SLOTS`].
    pub index: u64,
    /// The records, in slot order.
    pub records: Vec<Record>,
    /// Siblings of the chunk's node, from the bottom of the summing tree's upper part.
    pub path: Vec<SumNode>,
}

/// Why a chunk is not part of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// Of another height.
    #[error("the chunk is of height {found}, the snapshot of height {expected}")]
    Height {
        /// Of the chunk.
        found: Height,
        /// Of the snapshot.
        expected: Height,
    },
    /// The snapshot has fewer chunks.
    #[error("there is no chunk {index}: the snapshot has {chunks}")]
    Index {
        /// Which.
        index: u64,
        /// How many there are.
        chunks: u64,
    },
    /// The records are not those of the certified state.
    #[error("the records of chunk {index} are not under the root of the summing tree")]
    Records {
        /// Which.
        index: u64,
    },
}

/// How many chunks hold this many records.
#[must_use]
pub const fn chunks(records: u64) -> u64 {
    records.div_ceil(CHUNK_SLOTS as u64)
}

/// The slots of a chunk of a state with `records` records; empty where there is no such chunk.
#[must_use]
pub fn slots(records: u64, index: u64) -> std::ops::Range<u64> {
    let first = index.saturating_mul(CHUNK_SLOTS as u64).min(records);
    first..first.saturating_add(CHUNK_SLOTS as u64).min(records)
}

impl SnapshotChunk {
    /// The chunk of these records; `crown` is the summing tree of that height from [`CHUNK_LEVEL`] on. `None` where it has no such chunk.
    #[must_use]
    pub fn of(height: Height, index: u64, records: Vec<Record>, crown: &Crown) -> Option<Self> {
        Some(Self { height, index, records, path: crown.path(index)? })
    }

    /// Its records with their slots.
    pub fn slotted(&self) -> impl Iterator<Item = (Slot, &Record)> {
        let first = self.index.saturating_mul(CHUNK_SLOTS as u64);
        (first..).map(Slot).zip(&self.records)
    }

    /// Whether the records are under the root of a summing tree of `records` records.
    pub(crate) fn is_under(&self, root: &SumNode, records: u64) -> bool {
        let leaves = self.slotted().map(|(slot, record)| SumNode::leaf(slot, record)).collect();
        verify_subtree(root, records, (CHUNK_LEVEL, self.index), leaves, &self.path)
    }
}

impl Canonical for SnapshotChunk {
    const NAME: &'static str = "snapshot chunk";
    const BYTES_MAX: usize = CHUNK_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("chunk.records", self.records.len(), 1, CHUNK_SLOTS)?;
        check_count("chunk.path", self.path.len(), 0, DEPTH_MAX)?;
        self.records.iter().try_for_each(Canonical::check)
    }
}
