//! Blocks that are not final yet, above the highest final one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::records::{Block, Claim};
use ledger::values::{BatchDigest, BlockDigest, Height, TimestampMs};

use crate::config::OPEN_BLOCKS_MAX;

/// What a child must know of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The parent's height.
    pub height: Height,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// The claim it carries.
    pub claim: Claim,
}

/// How far a block is on its way to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    No,
    Underway,
    Durable,
}

/// A block that is not final.
#[derive(Debug, Clone)]
pub(crate) struct OpenBlock {
    pub(crate) block: Arc<Block>,
    pub(crate) written: Written,
}

/// Why a path to the final tip is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// This block is missing.
    Missing(BlockDigest),
    /// The path passes the final height beside the final block.
    Conflict,
}

/// The open blocks and the final tip they stand on.
#[derive(Debug)]
pub(crate) struct Tree {
    open: BTreeMap<BlockDigest, OpenBlock>,
    tip: BlockDigest,
    tip_place: Place,
    /// Batches in final blocks that a later block could still name, with their expiry.
    ordered: BTreeMap<BatchDigest, TimestampMs>,
}

impl Tree {
    pub(crate) const fn new(tip: BlockDigest, tip_place: Place, ordered: BTreeMap<BatchDigest, TimestampMs>) -> Self {
        Self { open: BTreeMap::new(), tip, tip_place, ordered }
    }

    pub(crate) const fn tip(&self) -> BlockDigest {
        self.tip
    }

    pub(crate) const fn tip_place(&self) -> Place {
        self.tip_place
    }

    pub(crate) fn get(&self, digest: &BlockDigest) -> Option<&OpenBlock> {
        self.open.get(digest)
    }

    pub(crate) fn get_mut(&mut self, digest: &BlockDigest) -> Option<&mut OpenBlock> {
        self.open.get_mut(digest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&BlockDigest, &OpenBlock)> {
        self.open.iter()
    }

    /// Takes in a block above the final tip; full, the lowest one leaves (it can be fetched again).
    pub(crate) fn insert(&mut self, digest: BlockDigest, block: Arc<Block>, written: Written) {
        if block.header.height <= self.tip_place.height || self.open.contains_key(&digest) {
            return;
        }
        if self.open.len() >= OPEN_BLOCKS_MAX {
            let lowest = self.open.iter().min_by_key(|(digest, open)| (open.block.header.height, **digest));
            if let Some(lowest) = lowest.map(|(digest, _)| *digest) {
                self.open.remove(&lowest);
            }
        }
        self.open.insert(digest, OpenBlock { block, written });
    }

    /// What a child of `digest` must know.
    pub(crate) fn place(&self, digest: &BlockDigest) -> Option<Place> {
        if *digest == self.tip {
            return Some(self.tip_place);
        }
        let header = &self.open.get(digest)?.block.header;
        Some(Place { height: header.height, timestamp: header.timestamp, claim: header.claim })
    }

    /// The blocks from just above the final tip up to `digest`, ascending.
    pub(crate) fn path(&self, digest: &BlockDigest) -> Result<Vec<(BlockDigest, Arc<Block>)>, Gap> {
        let mut path = Vec::new();
        let mut next = *digest;
        while next != self.tip {
            let open = self.open.get(&next).ok_or(Gap::Missing(next))?;
            path.push((next, Arc::clone(&open.block)));
            if open.block.header.height.0 <= self.tip_place.height.0 + 1 && open.block.header.parent != self.tip {
                return Err(Gap::Conflict);
            }
            next = open.block.header.parent;
        }
        path.reverse();
        Ok(path)
    }

    /// Whether a batch is in a final block that a later block could still repeat.
    pub(crate) fn is_ordered(&self, batch: &BatchDigest) -> bool {
        self.ordered.contains_key(batch)
    }

    /// Moves the tip up to a child of it. `expiries` are those of the block's batches.
    pub(crate) fn advance(&mut self, digest: BlockDigest, block: &Block, expiries: &[(BatchDigest, TimestampMs)]) {
        let header = &block.header;
        self.tip = digest;
        self.tip_place = Place { height: header.height, timestamp: header.timestamp, claim: header.claim };
        self.ordered.extend(expiries.iter().copied());
        self.ordered.retain(|_, expires| *expires >= header.timestamp);
        let height = header.height;
        self.open.retain(|_, open| open.block.header.height > height);
    }
}
