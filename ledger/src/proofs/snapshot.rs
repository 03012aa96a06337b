//! A snapshot: the whole state of a certified height. Whoever has the genesis file believes it without replaying what led there.
//!
//! ```text
//! genesis ── sets ── certificate ══ claim ══ result of h ── state root ─┬─ head, registry, ordered digests     } the manifest
//!                                                │                     └─ summing tree ── chunks of records   } one by one
//!                                     block h ───┴── results and parts of the heights that later blocks may claim
//! ```
//!
//! The manifest is what a node must have besides the records to go on by final blocks: every byte of it is under the certificate. The id
//! tree is made of the records; its root, which the manifest names, is compared when they are all there ([`crate::state::ChainState::load`]).
//!
//! Rules, in the order of the checks: all of one chain; the certificate stands behind the result; the head is the result's, field by
//! field; head, registry and roots make the state root; the block is the one that was executed; what it claims and every height from
//! there on leads to the result, under the same registry; the digests make the hash chains of the window.

use wincode::{SchemaRead, SchemaWrite};

use super::certified::{CertifiedResult, ProofFault};
use super::sets::SetChain;
use super::snapshot_chunk::{ChunkFault, SnapshotChunk, chunks};
use crate::records::block::SET_CHANGE_MARGIN;
use crate::records::{Block, GenesisSpec, HeightResult, Registry};
use crate::state::head::{ORDERED_BUCKET_MS, ORDERED_BUCKETS_MAX};
use crate::state::{OrderedBucket, StateHead, StateParts};
use crate::values::codec::check_count;
use crate::values::{BatchDigest, Canonical, ChainId, CodecError, Height, TimestampMs};

/// Largest encoding of a manifest. A network that outgrows it makes no snapshots, and its nodes join by replay.
pub const MANIFEST_BYTES_MAX: usize = 24 * 1_024 * 1_024;
/// Most digests of unexpired batches in a manifest: a minute of full blocks, 34 a second.
pub const ORDERED_DIGESTS_MAX: usize = 1 << 19;
/// Most heights between the claim of a block and the block.
const BELOW_MAX: usize = SET_CHANGE_MARGIN as usize;

/// The result of a height and what its state root commits to.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct PartsOfHeight {
    /// The result.
    pub result: HeightResult,
    /// The parts.
    pub parts: StateParts,
}

/// The digests of the batches that were ordered and expire within one second, in the order in which they were ordered.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OrderedSecond {
    /// The second, as in [`OrderedBucket`].
    pub second: u64,
    /// The digests.
    pub digests: Vec<BatchDigest>,
}

/// Everything of a snapshot but its records, as a peer gives it: nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SnapshotManifest {
    /// Who decides, from the chain's beginning up to the certificate.
    pub sets: SetChain,
    /// The height's result, and why a quorum stands behind it.
    pub certified: CertifiedResult,
    /// What the state root commits to.
    pub parts: StateParts,
    /// The head after the height.
    pub head: StateHead,
    /// The registry after it, which has not changed since the height that `block` claims.
    pub registry: Registry,
    /// The block that was executed.
    pub block: Block,
    /// The heights from the one that `block` claims up to the one below it: what the next blocks may claim.
    pub below: Vec<PartsOfHeight>,
    /// The batches that may not be ordered again, ascending by second.
    pub ordered: Vec<OrderedSecond>,
}

/// A manifest that was checked: chunks are judged by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    manifest: SnapshotManifest,
}

/// Why a manifest proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// Of another chain.
    #[error("the snapshot is of chain {found}, not of chain {expected}")]
    OtherChain {
        /// In the manifest.
        found: ChainId,
        /// Asked for.
        expected: ChainId,
    },
    /// The result is not certified.
    #[error("the result of the snapshot is not certified: {0}")]
    Certified(#[from] ProofFault),
    /// The head says something else than the result or the block.
    #[error("the head of the snapshot is not that of height {height}")]
    Head {
        /// The height of the result.
        height: Height,
    },
    /// Head, registry and roots do not make the state root.
    #[error("the parts of the snapshot do not make the state root of height {height}")]
    State {
        /// The height of the result.
        height: Height,
    },
    /// Another block was executed.
    #[error("the block of the snapshot is not the one of height {height}")]
    Block {
        /// The height of the result.
        height: Height,
    },
    /// The heights below do not lead from the block's claim to the result, or the registry has changed among them.
    #[error("height {height} below the snapshot does not lead to it")]
    Below {
        /// The first one that does not.
        height: Height,
    },
    /// The digests are not those of the window.
    #[error("the digests of the snapshot are not those that were ordered")]
    Ordered,
}

impl OrderedSecond {
    /// What the head holds of it.
    #[must_use]
    pub fn bucket(&self) -> OrderedBucket {
        self.digests.iter().fold(OrderedBucket::empty(self.second), |bucket, digest| bucket.with(*digest))
    }

    /// The last moment at which one of its batches may expire.
    #[must_use]
    pub const fn until(&self) -> TimestampMs {
        let next = self.second.saturating_add(1).saturating_mul(ORDERED_BUCKET_MS);
        TimestampMs(next.saturating_sub(1))
    }
}

impl SnapshotManifest {
    /// Checks everything with the genesis spec alone.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(self, spec: &GenesisSpec, chain: ChainId) -> Result<Snapshot, SnapshotFault> {
        let found = self.certified.result.chain;
        if found != chain {
            return Err(SnapshotFault::OtherChain { found, expected: chain });
        }
        self.certified.verify(spec, &self.sets)?;
        self.check_head(spec)?;
        self.check_state()?;
        self.check_block(spec)?;
        self.check_below(spec)?;
        if self.ordered.iter().map(OrderedSecond::bucket).eq(self.head.ordered.iter().copied()) {
            Ok(Snapshot { manifest: self })
        } else {
            Err(SnapshotFault::Ordered)
        }
    }

    /// What the state root does not say of the head.
    fn check_head(&self, spec: &GenesisSpec) -> Result<(), SnapshotFault> {
        let (head, result) = (&self.head, &self.certified.result);
        let is_of_result = head.chain == result.chain
            && head.height == result.height
            && head.block == result.block
            && head.result == result.hash(spec.hash())
            && head.state == result.state
            && head.supply == result.supply;
        let timestamp = self.block.header.timestamp;
        // A chain that was sent nothing has no outbox.
        let is_sent = |chain: ChainId| {
            let pair = head.supply.pairs.iter().find(|pair| pair.chain == chain);
            pair.is_some_and(|pair| pair.sent.count > 0)
        };
        let is_whole = head.timestamp == timestamp
            && head.recent.last() == Some(&timestamp)
            && head.outboxes.iter().all(|outbox| is_sent(outbox.chain));
        if is_of_result && is_whole { Ok(()) } else { Err(SnapshotFault::Head { height: result.height }) }
    }

    fn check_state(&self) -> Result<(), SnapshotFault> {
        let (parts, head) = (&self.parts, &self.head);
        let computed = StateParts::new(head, parts.tree, parts.ids, self.registry.hash());
        let is_proved =
            computed == *parts && parts.root() == head.state && parts.tree.sum == head.supply.holdings.fen();
        if is_proved { Ok(()) } else { Err(SnapshotFault::State { height: head.height }) }
    }

    fn check_block(&self, spec: &GenesisSpec) -> Result<(), SnapshotFault> {
        let (block, head) = (&self.block, &self.head);
        let is_it = block.header.height == head.height
            && block.header.digest(spec.hash()) == head.block
            && block.body.hash() == block.header.body;
        if is_it { Ok(()) } else { Err(SnapshotFault::Block { height: head.height }) }
    }

    /// Every height from the claim on: linked by its result, and with the registry by which later blocks that claim it are judged.
    fn check_below(&self, spec: &GenesisSpec) -> Result<(), SnapshotFault> {
        let (genesis, claim) = (spec.hash(), self.block.header.claim);
        let (mut height, mut reached) = (claim.height, None);
        for below in &self.below {
            let result = &below.result;
            let is_linked = match reached {
                None => result.hash(genesis) == claim.result,
                Some(previous) => result.previous == previous,
            };
            let is_it = is_linked
                && (result.chain, result.height) == (self.head.chain, height)
                && below.parts.root() == result.state
                && below.parts.registry == self.parts.registry;
            if !is_it {
                return Err(SnapshotFault::Below { height });
            }
            reached = Some(result.hash(genesis));
            height = height.next();
        }
        if height == self.head.height && reached == Some(self.certified.result.previous) {
            Ok(())
        } else {
            Err(SnapshotFault::Below { height })
        }
    }
}

impl Snapshot {
    /// The manifest, all of which is proved.
    #[must_use]
    pub const fn manifest(&self) -> &SnapshotManifest {
        &self.manifest
    }

    /// The height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.manifest.head.height
    }

    /// How many chunks its records are in.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        chunks(self.manifest.head.records)
    }

    /// Whether a chunk is part of it.
    ///
    /// # Errors
    /// [`ChunkFault`].
    pub fn check_chunk(&self, chunk: &SnapshotChunk) -> Result<(), ChunkFault> {
        let (expected, index) = (self.height(), chunk.index);
        if chunk.height != expected {
            return Err(ChunkFault::Height { found: chunk.height, expected });
        }
        if index >= self.chunks() {
            return Err(ChunkFault::Index { index, chunks: self.chunks() });
        }
        if chunk.is_under(&self.manifest.parts.tree, self.manifest.head.records) {
            Ok(())
        } else {
            Err(ChunkFault::Records { index })
        }
    }
}

impl Canonical for SnapshotManifest {
    const NAME: &'static str = "snapshot manifest";
    const BYTES_MAX: usize = MANIFEST_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.sets.check()?;
        self.certified.check()?;
        self.head.check()?;
        self.registry.check()?;
        self.block.check()?;
        check_count("manifest.below", self.below.len(), 1, BELOW_MAX)?;
        self.below.iter().try_for_each(|below| below.result.check())?;
        check_count("manifest.ordered", self.ordered.len(), 0, ORDERED_BUCKETS_MAX)?;
        let digests = |sum: usize, second: &OrderedSecond| sum.saturating_add(second.digests.len());
        check_count("manifest.ordered.digests", self.ordered.iter().fold(0, digests), 0, ORDERED_DIGESTS_MAX)
    }
}
