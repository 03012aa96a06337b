//! Blocks that are not final yet, above the highest final one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ledger::records::Block;
use ledger::rules::ParentFacts;
use ledger::values::{BatchDigest, BlockDigest, Epoch, Height, NodeIndex, TimestampMs};

use crate::config::OPEN_BLOCKS_MAX;
use crate::config::RECENT_FINAL_MAX;

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
    /// Who sent it; `None` for an own proposal and for what was on disk.
    from: Option<NodeIndex>,
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
    tip: ParentFacts,
    /// Batches in final blocks that a later block could still name, with their expiry.
    ordered: BTreeMap<BatchDigest, TimestampMs>,
    /// Digests of the newest final blocks.
    recent: VecDeque<(BlockDigest, Height)>,
}

impl Tree {
    pub(crate) const fn new(tip: ParentFacts, ordered: BTreeMap<BatchDigest, TimestampMs>) -> Self {
        Self { open: BTreeMap::new(), tip, ordered, recent: VecDeque::new() }
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

    /// Takes in a block above the final tip. Full, one leaves (it can be fetched again): see [`Self::least_needed`].
    pub(crate) fn insert(
        &mut self,
        digest: BlockDigest,
        block: Arc<Block>,
        written: Written,
        from: Option<NodeIndex>,
    ) {
        if block.header.height <= self.tip.height || self.open.contains_key(&digest) {
            return;
        }
        if self.open.len() >= OPEN_BLOCKS_MAX
            && let Some(least) = self.least_needed()
        {
            self.open.remove(&least);
        }
        self.open.insert(digest, OpenBlock { block, written, from });
    }

    /// Of the sender with the most blocks that nobody asked to be written, the highest: so whoever floods pushes out its
    /// own. Without any such block, the lowest of all.
    fn least_needed(&self) -> Option<BlockDigest> {
        let mut sent: BTreeMap<NodeIndex, (usize, Height, BlockDigest)> = BTreeMap::new();
        for (digest, open) in self.open.iter().filter(|(_, open)| open.written == Written::No) {
            let Some(from) = open.from else { continue };
            let (count, height, highest) = sent.entry(from).or_insert((0, Height(0), *digest));
            *count += 1;
            if open.block.header.height >= *height {
                (*height, *highest) = (open.block.header.height, *digest);
            }
        }
        let most = sent.into_values().max_by_key(|(count, ..)| *count).map(|(.., digest)| digest);
        let lowest = || self.open.iter().min_by_key(|(digest, open)| (open.block.header.height, **digest));
        most.or_else(|| lowest().map(|(digest, _)| *digest))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// What a child of `digest` must know.
    pub(crate) fn facts(&self, digest: &BlockDigest) -> Option<ParentFacts> {
        if *digest == self.tip.digest {
            return Some(self.tip);
        }
        self.open.get(digest).map(|open| ParentFacts::known(*digest, &open.block.header))
    }

    /// The blocks from just above the final tip up to `digest`, ascending.
    pub(crate) fn path(&self, digest: &BlockDigest) -> Result<Vec<(BlockDigest, Arc<Block>)>, Gap> {
        let mut path = Vec::new();
        let mut next = *digest;
        while next != self.tip.digest {
            let open = self.open.get(&next).ok_or(Gap::Missing(next))?;
            path.push((next, Arc::clone(&open.block)));
            if open.block.header.height.0 <= self.tip.height.0 + 1
                && open.block.header.parent != self.tip.digest
            {
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
    pub(crate) fn advance(
        &mut self,
        digest: BlockDigest,
        block: &Block,
        expiries: &[(BatchDigest, TimestampMs)],
    ) {
        let header = &block.header;
        self.tip = ParentFacts::known(digest, header);
        self.ordered.extend(expiries.iter().copied());
        self.ordered.retain(|_, expires| *expires >= header.timestamp);
        let height = header.height;
        self.open.retain(|_, open| open.block.header.height > height);
        self.remember_final([(digest, height)]);
    }

    /// Another epoch decides: blocks of earlier ones that are not final never will be.
    pub(crate) fn forget_before(&mut self, epoch: Epoch) {
        self.open.retain(|_, open| open.block.header.epoch >= epoch);
    }

    /// Keeps digests of final blocks, ascending: the engine may ask again for one below the tip after a loss of power.
    pub(crate) fn remember_final(&mut self, blocks: impl IntoIterator<Item = (BlockDigest, Height)>) {
        self.recent.extend(blocks);
        while self.recent.len() > RECENT_FINAL_MAX {
            self.recent.pop_front();
        }
    }

    /// Height of a recent final block.
    pub(crate) fn recent_final(&self, digest: &BlockDigest) -> Option<Height> {
        self.recent.iter().rev().find(|(known, _)| known == digest).map(|(_, height)| *height)
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::{BlockBody, BlockHeader, Claim};
    use ledger::values::{ChainId, FeeRate, GenesisHash, ResultHash, ValidatorIndex, View};

    use super::*;

    fn block(height: u64, view: u64) -> (BlockDigest, Arc<Block>) {
        let body = BlockBody::default();
        let header = BlockHeader {
            chain: ChainId(0),
            epoch: Epoch(0),
            view: View(view),
            height: Height(height),
            parent: BlockDigest([1; 32]),
            timestamp: TimestampMs(1),
            proposer: ValidatorIndex(0),
            weight: 0,
            base_fee: FeeRate::ZERO,
            claim: Claim { height: Height(0), result: ResultHash([0; 32]) },
            body: body.hash(),
        };
        (header.digest(GenesisHash::default()), Arc::new(Block { header, body }))
    }

    #[test]
    fn a_flood_pushes_out_its_own_blocks_only() {
        let (tip, tip_block) = block(5, 0);
        let mut tree = Tree::new(ParentFacts::known(tip, &tip_block.header), BTreeMap::new());
        let (honest, honest_block) = block(6, 1);
        let (own, own_block) = block(6, 2);
        tree.insert(honest, honest_block, Written::No, Some(NodeIndex(1)));
        tree.insert(own, own_block, Written::Durable, None);
        for view in 3..4 * OPEN_BLOCKS_MAX as u64 {
            let (digest, forged) = block(6 + view % 2, view);
            tree.insert(digest, forged, Written::No, Some(NodeIndex(2)));
            assert!(tree.len() <= OPEN_BLOCKS_MAX);
        }
        assert_eq!(tree.len(), OPEN_BLOCKS_MAX);
        assert!(tree.get(&honest).is_some() && tree.get(&own).is_some());
        let (late, late_block) = block(6, 1_000_000);
        tree.insert(late, late_block, Written::No, Some(NodeIndex(3)));
        assert!(tree.get(&late).is_some(), "there is always room for another sender");
    }
}
