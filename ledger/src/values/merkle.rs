//! Binary Merkle trees over a known list of leaves: the root commits to the number of leaves, and a path leads from one leaf
//! to it.
//!
//! ```text
//! leaf = H(0x00, bytes)      node = H(0x01, level, left, right)
//! empty = H(0x02)            root = H(0x03, count, top)
//! ```
//!
//! Padded with empty leaves to a power of two, never by repeating a leaf, so no two lists share a root. Every hash is under the
//! tree's own tag, so no leaf of one kind of tree is one of another.

use super::hash::{Hash, Hasher};
use super::strategy::Strategy;

/// Hashes handed to another core at a time.
const NODES_PER_CHUNK: usize = 1_024;

/// A kind of tree, known by its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merkle {
    /// The domain of its hashes.
    pub tag: &'static str,
}

impl Merkle {
    /// The hash of a leaf.
    #[must_use]
    pub fn leaf(self, bytes: &[u8]) -> Hash {
        Hasher::new(self.tag).bytes(&[0x00]).bytes(bytes).finish()
    }

    /// The root over leaves made by [`Self::leaf`].
    #[must_use]
    pub fn root(self, leaves: Vec<Hash>, strategy: &impl Strategy) -> Hash {
        let count = leaves.len() as u64;
        let levels = self.levels(leaves, strategy);
        let top = levels.last().and_then(|level| level.first()).copied().unwrap_or_else(|| self.empty());
        self.over(count, &top)
    }

    /// The siblings of the leaf at `position`, from the bottom; `None` where there is none.
    #[must_use]
    pub fn path(self, leaves: Vec<Hash>, position: u64, strategy: &impl Strategy) -> Option<Vec<Hash>> {
        let place = usize::try_from(position).ok().filter(|place| *place < leaves.len())?;
        let levels = self.levels(leaves, strategy);
        let (_, below_top) = levels.split_last()?;
        below_top.iter().enumerate().map(|(level, nodes)| nodes.get((place >> level) ^ 1).copied()).collect()
    }

    /// Whether `leaf` is the one at `position` of `count` under `root`.
    #[must_use]
    pub fn verify(self, root: Hash, count: u64, position: u64, leaf: Hash, path: &[Hash]) -> bool {
        if position >= count || path.len() != depth(count) {
            return false;
        }
        let mut hash = leaf;
        for ((step, sibling), level) in path.iter().enumerate().zip(1_u8..) {
            hash = match position >> step & 1 {
                0 => self.node(level, &hash, sibling),
                _ => self.node(level, sibling, &hash),
            };
        }
        self.over(count, &hash) == root
    }

    /// All levels, leaves first, each padded with one empty subtree where its length is odd; the last holds the top alone.
    fn levels(self, mut nodes: Vec<Hash>, strategy: &impl Strategy) -> Vec<Vec<Hash>> {
        let mut empty = self.empty();
        if nodes.is_empty() {
            nodes.push(empty);
        }
        let mut levels = Vec::new();
        for level in 1_u8.. {
            if nodes.len() == 1 {
                break;
            }
            if nodes.len() % 2 == 1 {
                nodes.push(empty);
            }
            let pairs: Vec<[Hash; 2]> = nodes.as_chunks::<2>().0.to_vec();
            let parents =
                strategy.map(&pairs, NODES_PER_CHUNK, |[left, right]| self.node(level, left, right));
            levels.push(std::mem::replace(&mut nodes, parents));
            empty = self.node(level, &empty, &empty);
        }
        levels.push(nodes);
        levels
    }

    fn node(self, level: u8, left: &Hash, right: &Hash) -> Hash {
        Hasher::new(self.tag).bytes(&[0x01, level]).bytes(&left.0).bytes(&right.0).finish()
    }

    fn empty(self) -> Hash {
        Hasher::new(self.tag).bytes(&[0x02]).finish()
    }

    fn over(self, count: u64, top: &Hash) -> Hash {
        Hasher::new(self.tag).bytes(&[0x03]).number(count).bytes(&top.0).finish()
    }
}

/// Levels above the leaves of a tree of `count` leaves.
const fn depth(count: u64) -> usize {
    match count.checked_next_power_of_two() {
        Some(width) => width.trailing_zeros() as usize,
        None => u64::BITS as usize,
    }
}
