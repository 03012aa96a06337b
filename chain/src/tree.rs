//! Blocks that are not final yet, above the highest final one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::records::{Block, BlockHeader};
use ledger::rules::ParentFacts;
use ledger::values::{BatchDigest, BlockDigest, TimestampMs};

use crate::config::OPEN_BLOCKS_MAX;

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

/// What a child must know of a block with this digest.
pub(crate) const fn facts(digest: BlockDigest, header: &BlockHeader) -> ParentFacts {
    ParentFacts {
        digest,
        height: header.height,
        epoch: header.epoch,
        view: header.view,
        timestamp: header.timestamp,
        claim: header.claim,
    }
}

/// The open blocks and the final tip they stand on.
#[derive(Debug)]
pub(crate) struct Tree {
    open: BTreeMap<BlockDigest, OpenBlock>,
    tip: ParentFacts,
    /// Batches in final blocks that a later block could still name, with their expiry.
    ordered: BTreeMap<BatchDigest, TimestampMs>,
}

impl Tree {
    pub(crate) const fn new(tip: ParentFacts, ordered: BTreeMap<BatchDigest, TimestampMs>) -> Self {
        Self { open: BTreeMap::new(), tip, ordered }
    }

    /// The highest final block.
    pub(crate) const fn tip(&self) -> &ParentFacts {
        &self.tip
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
        if block.header.height <= self.tip.height || self.open.contains_key(&digest) {
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
    pub(crate) fn facts(&self, digest: &BlockDigest) -> Option<ParentFacts> {
        if *digest == self.tip.digest {
            return Some(self.tip);
        }
        self.open.get(digest).map(|open| facts(*digest, &open.block.header))
    }

    /// The blocks from just above the final tip up to `digest`, ascending.
    pub(crate) fn path(&self, digest: &BlockDigest) -> Result<Vec<(BlockDigest, Arc<Block>)>, Gap> {
        let mut path = Vec::new();
        let mut next = *digest;
        while next != self.tip.digest {
            let open = self.open.get(&next).ok_or(Gap::Missing(next))?;
            path.push((next, Arc::clone(&open.block)));
            if open.block.header.height.0 <= self.tip.height.0 + 1 && open.block.header.parent != self.tip.digest {
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
        self.tip = facts(digest, header);
        self.ordered.extend(expiries.iter().copied());
        self.ordered.retain(|_, expires| *expires >= header.timestamp);
        let height = header.height;
        self.open.retain(|_, open| open.block.header.height > height);
    }
}
