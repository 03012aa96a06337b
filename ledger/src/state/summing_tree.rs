//! The dense summing tree (PROTOCOL rule 20): its root commits to every record and proves the sum of all
//! money.
//!
//! ```text
//!                 node(2)                     leaf    = H(0x00, slot, value, H(record))
//!          ┌─────────┴─────────┐              node(l) = H(0x01, l, sum L, hash L, sum R, hash R)
//!       node(1)             node(1)           empty   = H(0x02), sum 0
//!     ┌────┴────┐         ┌────┴────┐
//!   slot 0   slot 1     slot 2    empty
//! ```
//!
//! - Both children's sums are hashed: committing only to the total is the known flaw of proof-of-liabilities
//!   trees.
//! - The depth follows from the number of records: the least with 2^depth ≥ records. Slots are filled from
//!   the left and never reused, so growing by a level makes the old root the left child of the new one.
//! - Sums are checked u64; an overflow is refused before anything changes.
//! - Cost: 40 bytes a node, 80 a record; one hash per level for each touched slot, shared where paths meet.

#![expect(
    clippy::indexing_slicing,
    reason = "positions below a level's length are this file's invariant; breaking it is a bug"
)]

use wincode::{SchemaRead, SchemaWrite};

use crate::records::Record;
use crate::values::{Canonical, Hash, Hasher, Slot, Strategy};

/// Most levels above the leaves: 2⁴⁰ records are beyond any chain.
pub const DEPTH_MAX: usize = 40;
const TAG: &str = "jiaozi/tree";
/// What every hash under [`TAG`] begins with. An inner node is laid out by hand: it is the hottest hash of
/// the ledger.
const TAG_PREFIX: [u8; 19] = *b"\x0b\0\0\0\0\0\0\0jiaozi/tree";
const NODE_BYTES: usize = 19 + 2 + 2 * (8 + 32);
const NODES_PER_CHUNK: usize = 1_024;

/// A leaf or an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SumNode {
    /// Sum of the values below, in fen.
    pub sum: u64,
    /// Hash of what is below.
    pub hash: Hash,
}

impl SumNode {
    /// The leaf of a record.
    #[must_use]
    pub fn leaf(slot: Slot, record: &Record) -> Self {
        let content = Hasher::new("jiaozi/record").bytes(&record.encode()).finish();
        let value = record.value().fen();
        let hash = Hasher::new(TAG).bytes(&[0x00]).number(slot.0).number(value).bytes(&content.0).finish();
        Self { sum: value, hash }
    }

    fn empty_leaf() -> Self {
        Self { sum: 0, hash: Hasher::new(TAG).bytes(&[0x02]).finish() }
    }

    /// The parent of two nodes at `level` − 1; `None` when the sum does not fit.
    #[must_use]
    pub fn parent(level: u8, left: &Self, right: &Self) -> Option<Self> {
        let sum = left.sum.checked_add(right.sum)?;
        let mut bytes = [0; NODE_BYTES];
        bytes[..19].copy_from_slice(&TAG_PREFIX);
        bytes[19..21].copy_from_slice(&[0x01, level]);
        bytes[21..29].copy_from_slice(&left.sum.to_le_bytes());
        bytes[29..61].copy_from_slice(&left.hash.0);
        bytes[61..69].copy_from_slice(&right.sum.to_le_bytes());
        bytes[69..].copy_from_slice(&right.hash.0);
        let hash = Hash::of_tagged(&bytes);
        Some(Self { sum, hash })
    }
}

/// The values of all records add up to more than 2⁶⁴ − 1 fen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sum of all records is above 2^64 - 1 fen")]
pub struct SumOverflow;

/// The tree, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummingTree {
    /// `levels[0]` holds the leaves; each level is dense and half as long as the one below, rounded up.
    levels: Vec<Vec<SumNode>>,
    /// The empty subtree of each level.
    empty: Vec<SumNode>,
}

impl Default for SummingTree {
    fn default() -> Self {
        Self::new()
    }
}

/// Levels above the leaves for this many records.
#[must_use]
pub fn depth(records: u64) -> usize {
    records.checked_next_power_of_two().map_or(DEPTH_MAX, |width| width.trailing_zeros() as usize)
}

fn empty_subtrees() -> Vec<SumNode> {
    let mut empty = vec![SumNode::empty_leaf()];
    for level in 1..=DEPTH_MAX {
        let below = empty[level.saturating_sub(1)];
        empty.push(SumNode::parent(level as u8, &below, &below).unwrap_or(below));
    }
    empty
}

impl SummingTree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self { levels: vec![Vec::new()], empty: empty_subtrees() }
    }

    /// A tree over `leaves`, slot 0 first.
    ///
    /// # Errors
    /// [`SumOverflow`].
    pub fn from_leaves(leaves: Vec<SumNode>, strategy: &impl Strategy) -> Result<Self, SumOverflow> {
        let mut tree = Self { levels: vec![leaves], empty: empty_subtrees() };
        let positions: Vec<usize> = (0..tree.levels[0].len()).step_by(2).map(|leaf| leaf / 2).collect();
        tree.rehash(positions, strategy)?;
        Ok(tree)
    }

    /// Records in the tree.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The leaf of a slot.
    #[must_use]
    pub fn leaf(&self, slot: Slot) -> Option<SumNode> {
        self.levels[0].get(usize::try_from(slot.0).ok()?).copied()
    }

    /// Root hash and sum.
    #[must_use]
    pub fn root(&self) -> SumNode {
        let top = depth(self.len());
        self.node(top, 0)
    }

    /// Sets leaves: each slot once, ascending; new slots follow the last without a gap. On an overflow of the
    /// sum the tree is unchanged.
    ///
    /// # Errors
    /// [`SumOverflow`].
    pub fn update(
        &mut self,
        leaves: &[(Slot, SumNode)],
        strategy: &impl Strategy,
    ) -> Result<(), SumOverflow> {
        self.check_sum(leaves)?;
        let mut positions = Vec::with_capacity(leaves.len());
        for (slot, leaf) in leaves {
            let position = slot.0 as usize;
            if position == self.levels[0].len() {
                self.levels[0].push(*leaf);
            } else {
                self.levels[0][position] = *leaf;
            }
            if positions.last() != Some(&(position / 2)) {
                positions.push(position / 2);
            }
        }
        self.rehash(positions, strategy)
    }

    /// Forgets the records at and above `len`, then sets leaves: the way back.
    ///
    /// # Errors
    /// [`SumOverflow`], never when going back to a state that was.
    pub fn revert(
        &mut self,
        len: u64,
        leaves: &[(Slot, SumNode)],
        strategy: &impl Strategy,
    ) -> Result<(), SumOverflow> {
        let mut width = len as usize;
        for level in &mut self.levels {
            level.truncate(width);
            width = width.div_ceil(2);
        }
        self.levels.truncate(depth(len).saturating_add(1));
        // The last path lost its right neighbours: hash it again with the changed leaves.
        let mut changed = leaves.to_vec();
        if let Some(last) = self.levels[0].len().checked_sub(1)
            && changed.last().is_none_or(|(slot, _)| (slot.0 as usize) < last)
        {
            changed.push((Slot(last as u64), self.levels[0][last]));
        }
        self.update(&changed, strategy)
    }

    /// The siblings of a leaf, from the bottom; `None` when there is no such slot.
    #[must_use]
    pub fn path(&self, slot: Slot) -> Option<Vec<SumNode>> {
        if slot.0 >= self.len() {
            return None;
        }
        let position = slot.0 as usize;
        Some((0..depth(self.len())).map(|level| self.node(level, (position >> level) ^ 1)).collect())
    }

    /// A copy of the tree from `level` on.
    #[must_use]
    pub fn crown(&self, level: usize) -> Crown {
        let levels = self.levels.get(level..).map_or_else(Vec::new, <[_]>::to_vec);
        Crown { records: self.len(), level, levels }
    }

    fn node(&self, level: usize, position: usize) -> SumNode {
        self.levels.get(level).and_then(|nodes| nodes.get(position)).copied().unwrap_or(self.empty[level])
    }

    fn check_sum(&self, leaves: &[(Slot, SumNode)]) -> Result<(), SumOverflow> {
        let mut sum = u128::from(self.root().sum);
        for (slot, leaf) in leaves {
            let before = self.levels[0].get(slot.0 as usize).map_or(0, |node| node.sum);
            sum = sum.saturating_add(u128::from(leaf.sum)).saturating_sub(u128::from(before));
        }
        u64::try_from(sum).map(|_| ()).map_err(|_| SumOverflow)
    }

    /// Recomputes the parents at `positions` of level 1 and everything above them.
    fn rehash(&mut self, mut positions: Vec<usize>, strategy: &impl Strategy) -> Result<(), SumOverflow> {
        for level in 1..=depth(self.len()) {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let parents = strategy.map(&positions, NODES_PER_CHUNK, |position| {
                let left = position.saturating_mul(2);
                let below = level.saturating_sub(1);
                SumNode::parent(level as u8, &self.node(below, left), &self.node(below, left | 1))
            });
            let nodes = &mut self.levels[level];
            for (position, parent) in positions.iter().zip(parents) {
                let parent = parent.ok_or(SumOverflow)?;
                if *position == nodes.len() {
                    nodes.push(parent);
                } else {
                    nodes[*position] = parent;
                }
            }
            for position in &mut positions {
                *position /= 2;
            }
            positions.dedup();
        }
        Ok(())
    }
}

/// The upper part of a tree as it was after one height: it proves whole ranges of slots when the tree itself has gone on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crown {
    records: u64,
    level: usize,
    /// The nodes of `level` and of every level above it.
    levels: Vec<Vec<SumNode>>,
}

impl Crown {
    /// The siblings of the node at `position` of the lowest level, from the bottom; `None` where nothing is below it. Empty where the whole
    /// tree is below the first one.
    #[must_use]
    pub fn path(&self, position: u64) -> Option<Vec<SumNode>> {
        let width = 1_u64.checked_shl(u32::try_from(self.level).ok()?)?;
        if position >= self.records.div_ceil(width) {
            return None;
        }
        let empty = empty_subtrees();
        let position = usize::try_from(position).ok()?;
        let sibling = |above: usize| {
            let nodes = self.levels.get(above)?;
            let sibling = nodes.get((position >> above) ^ 1).copied();
            sibling.or_else(|| empty.get(self.level.saturating_add(above)).copied())
        };
        (0..depth(self.records).saturating_sub(self.level)).map(sibling).collect()
    }
}

/// Whether `leaves` are all that is below the node at `position` of `level`, under `root` in a tree of `records` records. Checks their
/// number, depth, index bits and every addition.
#[must_use]
pub fn verify_subtree(
    root: &SumNode,
    records: u64,
    (level, position): (usize, u64),
    leaves: Vec<SumNode>,
    path: &[SumNode],
) -> bool {
    let Some(width) = u32::try_from(level).ok().and_then(|level| 1_u64.checked_shl(level)) else {
        return false;
    };
    let Some(left) = position.checked_mul(width).and_then(|first| records.checked_sub(first)) else {
        return false;
    };
    let levels = level.min(depth(records));
    if left == 0
        || leaves.len() as u64 != left.min(width)
        || path.len() != depth(records).saturating_sub(levels)
    {
        return false;
    }
    let (empty, mut nodes) = (empty_subtrees(), leaves);
    for above in 1..=levels {
        let missing = empty[above.saturating_sub(1)];
        let parent =
            |pair: &[SumNode]| SumNode::parent(above as u8, &pair[0], pair.get(1).unwrap_or(&missing));
        match nodes.chunks(2).map(parent).collect() {
            Some(parents) => nodes = parents,
            None => return false,
        }
    }
    let mut node = nodes[0];
    for (above, sibling) in path.iter().enumerate() {
        let is_right = position >> above & 1 == 1;
        let (left, right) = if is_right { (sibling, &node) } else { (&node, sibling) };
        match SumNode::parent(levels.saturating_add(above).saturating_add(1) as u8, left, right) {
            Some(parent) => node = parent,
            None => return false,
        }
    }
    node == *root
}

/// Whether `leaf` at `slot` is under `root` in a tree of `records` records. Checks depth, index bits and
/// every addition.
#[must_use]
pub fn verify_path(root: &SumNode, records: u64, slot: Slot, leaf: SumNode, path: &[SumNode]) -> bool {
    if slot.0 >= records || path.len() != depth(records) {
        return false;
    }
    let mut node = leaf;
    for (level, sibling) in path.iter().enumerate() {
        let is_right = slot.0 >> level & 1 == 1;
        let (left, right) = if is_right { (sibling, &node) } else { (&node, sibling) };
        match SumNode::parent(level.saturating_add(1) as u8, left, right) {
            Some(parent) => node = parent,
            None => return false,
        }
    }
    node == *root
}
