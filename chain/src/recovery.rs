//! Where a chain goes on after a start: what the disk says.
//!
//! The executor's last committed block is the final tip. Above it lie blocks that this node may have voted for; they were
//! durable with their batches before the vote, and they are here again, so nothing that a certificate could name is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ledger::proofs::SnapshotManifest;
use ledger::records::{Batch, Block, Bundle, Claim, Counter, HeightResult};
use ledger::rules::{ChainRules, ParentFacts};
use ledger::state::StateHead;
use ledger::state::head::ORDERED_BUCKET_MS;
use ledger::values::{BatchDigest, BlockDigest, ChainId, GenesisHash, Height, TimestampMs};
use storage::{Page, Reader, Table, key};

use crate::archive::Archive;
use crate::config::{OPEN_BLOCKS_MAX, RECENT_FINAL_MAX};
use crate::evidence::EvidenceLog;
use crate::joined::joining;
use crate::rows::{self, ProposalRow, RowFault};
use crate::rules::RulesByHeight;

/// What a chain starts from.
#[derive(Debug)]
pub struct Recovered {
    /// The last executed block.
    pub tip: ParentFacts,
    /// The highest certified claim: the one the tip carries.
    pub certified: Claim,
    /// This node's results from the certified height to the tip.
    pub results: Vec<Claim>,
    /// The rules of those heights.
    pub(crate) rules: RulesByHeight,
    /// Batches in final blocks that could still be repeated, with their expiry.
    pub ordered: BTreeMap<BatchDigest, TimestampMs>,
    /// The newest final blocks, ascending.
    pub recent: Vec<(BlockDigest, Height)>,
    /// Highest final block with batches.
    pub content_height: Height,
    /// Blocks above the tip that were written before a vote.
    pub open_blocks: Vec<(BlockDigest, Block)>,
    /// Their batches.
    pub batches: Vec<(BatchDigest, Batch, Bytes)>,
    /// Their bundles.
    pub bundles: Vec<(Bundle, Bytes)>,
    /// Receipts received so far from each chain.
    pub received: Vec<(ChainId, Counter)>,
    /// First sequence for own batches.
    pub next_sequence: u64,
    /// Evidence kept so far.
    pub evidence: EvidenceLog,
    /// A join by snapshot that was begun: its manifest, and the chunks that are not on disk.
    pub(crate) joining: Option<(Box<SnapshotManifest>, BTreeSet<u64>)>,
}

impl Recovered {
    /// Reads what a chain needs; the executor must have been opened on the store before. `rules` are those of any height of it.
    ///
    /// # Errors
    /// [`RowFault`] when the store fails or is damaged.
    pub fn read(rules: &ChainRules, store: &dyn Reader) -> Result<Self, RowFault> {
        let head = store.get(Table::Meta, rows::HEAD)?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let head: StateHead = rows::decode(Table::Meta, &head)?;
        let tip = match head.height {
            Height(0) => ParentFacts::genesis(rules, head.timestamp, head.result),
            _ => ParentFacts::known(head.block, &block_at(store, head.height)?.header),
        };
        let certified = tip.claim;
        let mut results = Vec::new();
        for height in certified.height.0..=head.height.0 {
            let bytes = store.get(Table::Results, &key::height(height))?;
            let result: HeightResult =
                rows::decode(Table::Results, &bytes.ok_or(RowFault::Missing { table: Table::Results })?)?;
            results.push(Claim { height: Height(height), result: result.hash(rules.genesis) });
        }
        let (ordered, content_height) = ordered_window(store, &head)?;
        let mut recovered = Self {
            tip,
            certified,
            results,
            rules: rules_between(rules.genesis, &head, certified.height, store)?,
            ordered,
            recent: recent_final(store)?,
            content_height,
            open_blocks: Vec::new(),
            batches: Vec::new(),
            bundles: Vec::new(),
            received: head.supply.pairs.iter().map(|pair| (pair.chain, pair.received)).collect(),
            next_sequence: 0,
            evidence: EvidenceLog::read(store)?,
            joining: joining(store)?.map(|(manifest, missing)| (Box::new(manifest), missing)),
        };
        recovered.read_open_blocks(store)?;
        Ok(recovered)
    }

    fn read_open_blocks(&mut self, store: &dyn Reader) -> Result<(), RowFault> {
        let from = self.tip.height.next().0.to_be_bytes();
        let page = Page { from: std::ops::Bound::Included(&from), ..Page::first(OPEN_BLOCKS_MAX) };
        for (place, row) in store.scan(Table::Proposals, page)? {
            let Some((_, digest)) = key::split_proposal(&place) else { continue };
            let Some(bytes) = store.get(Table::Blocks, &digest)? else { continue };
            let block: Block = rows::decode(Table::Blocks, &bytes)?;
            let mut batches = Vec::with_capacity(block.body.batches.len());
            for batch in &block.body.batches {
                let Some(bytes) = store.get(Table::Batches, &batch.0)? else { break };
                batches.push((*batch, rows::decode::<Batch>(Table::Batches, &bytes)?, Bytes::from(bytes)));
            }
            let row: ProposalRow = rows::decode(Table::Proposals, &row)?;
            let mut bundles = Vec::with_capacity(block.body.bundles.len());
            for bytes in row.bundles {
                bundles.push((rows::decode::<Bundle>(Table::Proposals, &bytes)?, Bytes::from(bytes)));
            }
            // A block without all its contents was never voted for by this node: peers have it if it matters.
            if batches.len() == block.body.batches.len() && bundles.len() == block.body.bundles.len() {
                self.batches.extend(batches);
                self.bundles.extend(bundles);
                self.open_blocks.push((BlockDigest(digest), block));
            }
        }
        Ok(())
    }
}

fn block_at(store: &dyn Reader, height: Height) -> Result<Block, RowFault> {
    let digest = store
        .get(Table::Heights, &key::height(height.0))?
        .ok_or(RowFault::Missing { table: Table::Heights })?;
    let bytes = store.get(Table::Blocks, &digest)?.ok_or(RowFault::Missing { table: Table::Blocks })?;
    rows::decode(Table::Blocks, &bytes)
}

/// The rules after each height from the certified one to the head.
fn rules_between(
    genesis: GenesisHash,
    head: &StateHead,
    certified: Height,
    store: &dyn Reader,
) -> Result<RulesByHeight, RowFault> {
    let archive = Archive::new(store);
    let missing = || RowFault::Missing { table: Table::Registries };
    let rules = |registry| ChainRules::new(genesis, Arc::new(registry), head.chain).ok_or_else(missing);
    let first = rules(archive.registry_at(certified)?.ok_or_else(missing)?)?;
    let later = archive.registries(certified.next(), head.height)?.into_iter();
    let later = later.map(|(height, registry)| Ok((height, rules(registry)?)));
    Ok(RulesByHeight::new(first, later.collect::<Result<Vec<_>, RowFault>>()?))
}

/// Digests in final blocks whose batches could still be ordered again, and the highest block with batches.
fn ordered_window(
    store: &dyn Reader,
    head: &StateHead,
) -> Result<(BTreeMap<BatchDigest, TimestampMs>, Height), RowFault> {
    let mut content_height = Height(0);
    let ordered = ordered_since(store, head, |block| {
        if !block.body.is_empty() {
            content_height = content_height.max(block.header.height);
        }
    })?;
    Ok((ordered.into_iter().collect(), content_height))
}

/// The digests of [`StateHead::ordered`], in the order in which they were ordered, with a moment at which their batch has expired.
pub(crate) fn ordered_digests(
    store: &dyn Reader,
    head: &StateHead,
) -> Result<Vec<(BatchDigest, TimestampMs)>, RowFault> {
    ordered_since(store, head, |_| ())
}

/// Reads the final blocks back to where no batch can be unexpired, or to where this node joined: what was ordered up to there it was told.
fn ordered_since(
    store: &dyn Reader,
    head: &StateHead,
    mut look: impl FnMut(&Block),
) -> Result<Vec<(BatchDigest, TimestampMs)>, RowFault> {
    let joined = Archive::new(store).joined()?;
    let lowest = joined.as_ref().map_or(Height(0), |joined| joined.height);
    // A digest is forgotten with its second.
    let life_ms = ledger::records::batch::BATCH_LIFE_MS_MAX.saturating_add(ORDERED_BUCKET_MS);
    let oldest = head.timestamp.0.saturating_sub(life_ms);
    let (mut blocks, mut height) = (Vec::new(), head.height);
    while height.0 > 0 {
        let block = block_at(store, height)?;
        if block.header.timestamp.0 < oldest {
            break;
        }
        look(&block);
        if height <= lowest {
            break;
        }
        blocks.push(block);
        height = Height(height.0 - 1);
    }
    let told = joined.into_iter().flat_map(|joined| joined.ordered);
    let told = told.flat_map(|second| {
        let until = second.until();
        second.digests.into_iter().map(move |digest| (digest, until))
    });
    let mut ordered: Vec<(BatchDigest, TimestampMs)> = told.collect();
    for batch in blocks.into_iter().rev().flat_map(|block| block.body.batches) {
        if let Some(bytes) = store.get(Table::Batches, &batch.0)? {
            ordered.push((batch, rows::decode::<Batch>(Table::Batches, &bytes)?.content.expires));
        }
    }
    Ok(ordered)
}

/// Digests of the newest final blocks.
fn recent_final(store: &dyn Reader) -> Result<Vec<(BlockDigest, Height)>, RowFault> {
    let rows = store.scan(Table::Heights, Page::last(RECENT_FINAL_MAX))?;
    let read = |(place, digest): &(Vec<u8>, Vec<u8>)| {
        Some((BlockDigest(digest.as_slice().try_into().ok()?), Height(key::number(place)?)))
    };
    Ok(rows.iter().rev().filter_map(read).collect())
}
