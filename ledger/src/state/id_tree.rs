//! The id tree: which wallet, lock or offer has which slot, and a proof where there is none (PROTOCOL rule 20).
//!
//! A binary radix tree without one-armed nodes (a crit-bit tree): an inner node names the first bit in which
//! the ids below it differ; ids with a 0 there are left. The shape follows from the set of ids alone, never
//! from the order in which they came.
//!
//! ```text
//! leaf = H(0x00, id, slot)      node = H(0x01, bit (u16), left, right)      empty tree = H(0x02)
//! ```
//!
//! Bits are numbered from 0, the highest bit of the id's first byte. Following an id's own bits leads to
//! exactly one leaf: its own, or that of another id, which proves that the id is absent.
//!
//! Cost: 40 bytes a record in a leaf, 44 in a node, 5 in a hash table, and what all three keep in reserve. The
//! table of positions answers "which slot": a walk down the tree misses the processor's caches at every level.

#![expect(
    clippy::indexing_slicing,
    reason = "links between nodes are this file's invariant; breaking it is a bug"
)]

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use wincode::{SchemaRead, SchemaWrite};

use crate::values::{Hash, Hasher, RecordId, Slot, Strategy};

const TAG: &str = "jiaozi/ids";
const LEAVES_PER_CHUNK: usize = 1_024;
/// Bits of an id, so also the most nodes above a leaf.
pub const ID_BITS: usize = 256;

/// A leaf: a record's name and its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct IdLeaf {
    /// The name.
    pub id: RecordId,
    /// Its slot.
    pub slot: Slot,
}

impl IdLeaf {
    fn hash(&self) -> Hash {
        Hasher::new(TAG).bytes(&[0x00]).bytes(&self.id.0).number(self.slot.0).finish()
    }
}

/// One step of a path, from the leaf upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct IdStep {
    /// The bit that the node names.
    pub bit: u16,
    /// The hash of the other side.
    pub sibling: Hash,
}

/// Where an id leads: the leaf there and the steps to the root, bits strictly descending.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct IdPath {
    /// The leaf; `None` in the empty tree.
    pub leaf: Option<IdLeaf>,
    /// The steps, at most [`ID_BITS`].
    pub steps: Vec<IdStep>,
}

/// A link to a leaf or an inner node: the top bit says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link(u32);

const LEAF: u32 = 1 << 31;

impl Link {
    /// Whether a position fits a link.
    const fn reaches(position: usize) -> bool {
        position < LEAF as usize
    }

    const fn to_leaf(position: usize) -> Self {
        Self(position as u32 | LEAF)
    }

    const fn to_inner(position: usize) -> Self {
        Self(position as u32)
    }

    const fn leaf(self) -> Option<usize> {
        if self.0 & LEAF == 0 { None } else { Some((self.0 & !LEAF) as usize) }
    }

    const fn inner(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    bit: u16,
    is_stale: bool,
    children: [Link; 2],
    hash: Hash,
}

/// The tree, in memory.
#[derive(Debug, Clone, Default)]
pub struct IdTree {
    root: Option<Link>,
    leaves: Vec<IdLeaf>,
    inner: Vec<Inner>,
    /// Positions of the leaves by id: never iterated, and keyed, because ids are chosen by those who open wallets and make locks.
    positions: HashTable<u32>,
    hasher: RandomState,
}

fn bit_of(id: &RecordId, bit: u16) -> usize {
    usize::from(id.0[usize::from(bit / 8)] >> (7_u16.saturating_sub(bit % 8)) & 1)
}

/// The first bit in which two ids differ.
fn first_difference(left: &RecordId, right: &RecordId) -> Option<u16> {
    let byte = left.0.iter().zip(&right.0).position(|(left, right)| left != right)?;
    let within = (left.0[byte] ^ right.0[byte]).leading_zeros();
    u16::try_from(byte.saturating_mul(8).saturating_add(within as usize)).ok()
}

fn node_hash(bit: u16, left: &Hash, right: &Hash) -> Hash {
    Hasher::new(TAG).bytes(&[0x01]).bytes(&bit.to_le_bytes()).bytes(&left.0).bytes(&right.0).finish()
}

fn empty_hash() -> Hash {
    Hasher::new(TAG).bytes(&[0x02]).finish()
}

impl IdTree {
    /// A tree over many ids, in any order; `None` when an id comes twice, or when there are more than links reach (2³¹).
    #[must_use]
    pub fn from_leaves(mut leaves: Vec<IdLeaf>, strategy: &impl Strategy) -> Option<Self> {
        if leaves.len().checked_sub(1).is_some_and(|last| !Link::reaches(last)) {
            return None;
        }
        leaves.sort_unstable_by_key(|leaf| leaf.id);
        let mut tree = Self {
            inner: Vec::with_capacity(leaves.len()),
            positions: HashTable::with_capacity(leaves.len()),
            leaves,
            ..Self::default()
        };
        for position in 0..tree.leaves.len() {
            tree.index(position);
        }
        let hashes = strategy.map(&tree.leaves, LEAVES_PER_CHUNK, IdLeaf::hash);
        // The right edge of the tree built so far: nodes that still lack their right side, bits ascending.
        let mut open: Vec<(u16, Link, Hash)> = Vec::new();
        for (position, mut hash) in hashes.into_iter().enumerate() {
            let mut link = Link::to_leaf(position);
            let next = tree.leaves.get(position.saturating_add(1));
            let bit = match next {
                Some(next) => Some(first_difference(&tree.leaves[position].id, &next.id)?),
                None => None,
            };
            while let Some((above, left, left_hash)) = open.last().copied()
                && bit.is_none_or(|bit| above > bit)
            {
                hash = node_hash(above, &left_hash, &hash);
                tree.inner.push(Inner { bit: above, is_stale: false, children: [left, link], hash });
                link = Link::to_inner(tree.inner.len().saturating_sub(1));
                open.pop();
            }
            match bit {
                Some(bit) => open.push((bit, link, hash)),
                None => tree.root = Some(link),
            }
        }
        Some(tree)
    }

    /// Wallets in the tree.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The slot of a record.
    #[must_use]
    pub fn slot(&self, id: &RecordId) -> Option<Slot> {
        let is_it = |position: &u32| self.leaves[*position as usize].id == *id;
        let position = self.positions.find(self.hasher.hash_one(id), is_it)?;
        Some(self.leaves[*position as usize].slot)
    }

    /// Takes the leaf at `position` into the table.
    fn index(&mut self, position: usize) {
        let Self { positions, hasher, leaves, .. } = self;
        let hash = hasher.hash_one(leaves[position].id);
        positions
            .insert_unique(hash, position as u32, |position| hasher.hash_one(leaves[*position as usize].id));
    }

    /// Position of the leaf that the id's bits lead to.
    fn nearest(&self, id: &RecordId) -> Option<usize> {
        let mut link = self.root?;
        loop {
            match link.leaf() {
                Some(position) => return Some(position),
                None => {
                    let node = &self.inner[link.inner()];
                    link = node.children[bit_of(id, node.bit)];
                }
            }
        }
    }

    /// Adds a record; false (and unchanged) where the id exists, or where no link reaches one more. Hashes are brought up to date by
    /// [`Self::rehash`].
    #[must_use]
    pub fn insert(&mut self, id: RecordId, slot: Slot) -> bool {
        let Some(nearest) = self.nearest(&id) else {
            self.leaves.push(IdLeaf { id, slot });
            self.index(0);
            self.root = Some(Link::to_leaf(0));
            return true;
        };
        if !Link::reaches(self.leaves.len()) {
            return false;
        }
        let Some(bit) = first_difference(&id, &self.leaves[nearest].id) else { return false };
        let leaf = Link::to_leaf(self.leaves.len());
        self.leaves.push(IdLeaf { id, slot });
        self.index(self.leaves.len().saturating_sub(1));
        let new = Link::to_inner(self.inner.len());
        let displaced = self.replace_below(&id, bit, new);
        let side = bit_of(&id, bit);
        let mut children = [displaced; 2];
        children[side] = leaf;
        self.inner.push(Inner { bit, is_stale: true, children, hash: Hash::default() });
        true
    }

    /// Walks `id`'s bits above `bit`, marks that path stale, puts `new` at its end and returns what was
    /// there.
    fn replace_below(&mut self, id: &RecordId, bit: u16, new: Link) -> Link {
        let mut parent: Option<(usize, usize)> = None;
        let mut link = self.root.unwrap_or(new);
        while link.leaf().is_none() {
            let position = link.inner();
            let node = &mut self.inner[position];
            if node.bit >= bit {
                break;
            }
            node.is_stale = true;
            let side = bit_of(id, node.bit);
            parent = Some((position, side));
            link = node.children[side];
        }
        match parent {
            Some((position, side)) => self.inner[position].children[side] = new,
            None => self.root = Some(new),
        }
        link
    }

    /// Takes the record that was added last out again; false where `id` is another.
    #[must_use]
    pub fn remove_last(&mut self, id: &RecordId) -> bool {
        if self.leaves.last().is_none_or(|leaf| leaf.id != *id) {
            return false;
        }
        let is_it = |position: &u32| self.leaves[*position as usize].id == *id;
        if let Ok(entry) = self.positions.find_entry(self.hasher.hash_one(id), is_it) {
            let _position = entry.remove();
        }
        self.leaves.pop();
        match self.inner.last().cloned() {
            None => self.root = None,
            Some(node) => {
                let sibling = node.children[1_usize.saturating_sub(bit_of(id, node.bit))];
                let _removed = self.replace_below(id, node.bit, sibling);
                self.inner.pop();
            }
        }
        true
    }

    /// Hashes what changed since the last time: once per changed node, however many wallets came in.
    pub fn rehash(&mut self) {
        if let Some(root) = self.root {
            self.rehash_below(root);
        }
    }

    /// Recursion is at most [`ID_BITS`] deep, as bits ascend along every path.
    fn rehash_below(&mut self, link: Link) -> Hash {
        if let Some(position) = link.leaf() {
            return self.leaves[position].hash();
        }
        let node = self.inner[link.inner()].clone();
        if !node.is_stale {
            return node.hash;
        }
        let [left, right] = node.children;
        let hash = node_hash(node.bit, &self.rehash_below(left), &self.rehash_below(right));
        let node = &mut self.inner[link.inner()];
        node.hash = hash;
        node.is_stale = false;
        hash
    }

    /// The root, as of the last [`Self::rehash`].
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root.map_or_else(empty_hash, |root| self.link_hash(root))
    }

    fn link_hash(&self, link: Link) -> Hash {
        link.leaf().map_or_else(|| self.inner[link.inner()].hash, |position| self.leaves[position].hash())
    }

    /// Where an id leads: proves its slot, or its absence.
    #[must_use]
    pub fn path(&self, id: &RecordId) -> IdPath {
        let mut steps = Vec::new();
        let Some(mut link) = self.root else { return IdPath { leaf: None, steps } };
        loop {
            if let Some(position) = link.leaf() {
                steps.reverse();
                return IdPath { leaf: Some(self.leaves[position]), steps };
            }
            let node = &self.inner[link.inner()];
            let side = bit_of(id, node.bit);
            let sibling = self.link_hash(node.children[1_usize.saturating_sub(side)]);
            steps.push(IdStep { bit: node.bit, sibling });
            link = node.children[side];
        }
    }
}

/// What a valid path proves about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdAnswer {
    /// The record exists at this slot.
    Present(Slot),
    /// There is no such record.
    Absent,
}

impl IdPath {
    /// What the path proves about `id` under `root`; `None` where it proves nothing.
    #[must_use]
    pub fn answer(&self, root: &Hash, id: &RecordId) -> Option<IdAnswer> {
        let Some(leaf) = &self.leaf else {
            return (self.steps.is_empty() && *root == empty_hash()).then_some(IdAnswer::Absent);
        };
        let mut hash = leaf.hash();
        let mut below = ID_BITS as u16;
        for step in &self.steps {
            if step.bit >= below || bit_of(id, step.bit) != bit_of(&leaf.id, step.bit) {
                return None;
            }
            below = step.bit;
            hash = match bit_of(id, step.bit) {
                0 => node_hash(step.bit, &hash, &step.sibling),
                _ => node_hash(step.bit, &step.sibling, &hash),
            };
        }
        if hash != *root {
            return None;
        }
        Some(if leaf.id == *id { IdAnswer::Present(leaf.slot) } else { IdAnswer::Absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One position further, a link to a leaf would be taken for another.
    #[test]
    fn no_link_goes_beyond_its_bits() {
        let last = LEAF as usize - 1;
        assert!(Link::reaches(0) && Link::reaches(last));
        assert!(!Link::reaches(LEAF as usize) && !Link::reaches(usize::MAX));
        assert_eq!(Link::to_leaf(last).leaf(), Some(last));
        assert_eq!(Link::to_inner(last).leaf(), None);
    }
}
