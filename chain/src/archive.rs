//! Typed reads of what a chain has stored: for serving peers, clients and auditors.
//!
//! Every answer comes from one reader, so with a snapshot several answers belong to one height.

use bytes::Bytes;
use ledger::records::block::SET_CHANGE_MARGIN;
use ledger::records::receipt::receipt_id;
use ledger::records::{Batch, Block, Bundle, HeightResult, Movement, Outcome, Receipt, Record, Transaction};
use ledger::state::StateHead;
use ledger::values::{
    BatchDigest, BlockDigest, BundleDigest, Canonical, ChainId, GenesisHash, Height, Slot, TransactionId,
    WalletId,
};
use storage::{Order, Page, Reader, Table, key};

use crate::config::{SYNC_BLOCKS_MAX, SYNC_BYTES_MAX};
use crate::frame::{FinalBlocks, Frame};
use crate::rows::{self, HistoryRow, JoinedRow, Outcomes, RowFault};
use crate::set_links::SetLinks;
use crate::snapshots::Snapshots;
use crate::step::Request;

/// Certificates that may be stored before their blocks are executed: as many as blocks may run ahead of a claim.
const CERTIFICATES_AHEAD_MAX: usize = SET_CHANGE_MARGIN as usize;

/// Reads a chain's tables.
pub struct Archive<'a, R: Reader + ?Sized> {
    reader: &'a R,
    links: Option<&'a SetLinks>,
}

/// Where a transaction is, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The block.
    pub height: Height,
    /// The outcome.
    pub outcome: Outcome,
    /// Its place among the block's outcomes.
    pub leaf: usize,
    /// Outcomes of the block, for a proof.
    pub outcomes: Vec<Outcome>,
}

impl<'a, R: Reader + ?Sized> Archive<'a, R> {
    /// Reads through `reader`.
    pub const fn new(reader: &'a R) -> Self {
        Self { reader, links: None }
    }

    /// The same, with the changes of set that were read before; those that are read now are kept there.
    pub const fn with_links(reader: &'a R, links: Option<&'a SetLinks>) -> Self {
        Self { reader, links }
    }

    pub(crate) const fn links(&self) -> Option<&'a SetLinks> {
        self.links
    }

    pub(crate) const fn reader(&self) -> &'a R {
        self.reader
    }

    fn read<T: Canonical>(&self, table: Table, place: &[u8]) -> Result<Option<T>, RowFault> {
        self.reader.get(table, place)?.map(|bytes| rows::decode(table, &bytes)).transpose()
    }

    /// The state head.
    ///
    /// # Errors
    /// [`RowFault`], as every method here.
    pub fn head(&self) -> Result<Option<StateHead>, RowFault> {
        self.read(Table::Meta, rows::HEAD)
    }

    /// Whether a join by snapshot was begun and is not at its end: the store holds no state.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn is_joining(&self) -> Result<bool, RowFault> {
        Ok(self.reader.get(Table::Meta, rows::JOINING)?.is_some())
    }

    /// The lowest height that this node holds, where it joined by a snapshot of it: what is below it is pruned here.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn joined_at(&self) -> Result<Option<Height>, RowFault> {
        Ok(self.joined()?.map(|joined| joined.height))
    }

    /// The height below which this node has pruned by its policy; what is below is answered by none of these methods.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn pruned_below(&self) -> Result<Option<Height>, RowFault> {
        let Some(row) = self.reader.get(Table::Meta, rows::PRUNED)? else { return Ok(None) };
        Ok(Some(Height(key::number(&row).ok_or(RowFault::Missing { table: Table::Meta })?)))
    }

    /// The first height of which everything is here.
    pub(crate) fn lowest_whole(&self) -> Result<Height, RowFault> {
        let joined = self.joined_at()?.map_or(Height(1), Height::next);
        Ok(self.pruned_below()?.map_or(joined, |pruned| pruned.max(joined)))
    }

    pub(crate) fn joined(&self) -> Result<Option<JoinedRow>, RowFault> {
        self.read(Table::Meta, rows::JOINED)
    }

    /// Digest of the final block at a height.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn digest(&self, height: Height) -> Result<Option<BlockDigest>, RowFault> {
        let Some(bytes) = self.reader.get(Table::Heights, &key::height(height.0))? else { return Ok(None) };
        let digest = bytes.try_into().map_err(|_| RowFault::Missing { table: Table::Heights })?;
        Ok(Some(BlockDigest(digest)))
    }

    /// A block by its digest.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn block(&self, digest: BlockDigest) -> Result<Option<Block>, RowFault> {
        self.read(Table::Blocks, &digest.0)
    }

    /// The final block at a height; none at height 0.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn block_at(&self, height: Height) -> Result<Option<Block>, RowFault> {
        match self.digest(height)? {
            Some(digest) if height.0 > 0 => self.block(digest),
            _ => Ok(None),
        }
    }

    /// Encoded bytes of a batch.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn batch_bytes(&self, digest: BatchDigest) -> Result<Option<Vec<u8>>, RowFault> {
        Ok(self.reader.get(Table::Batches, &digest.0)?)
    }

    /// A batch.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn batch(&self, digest: BatchDigest) -> Result<Option<Batch>, RowFault> {
        self.read(Table::Batches, &digest.0)
    }

    /// A bundle.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn bundle(&self, digest: BundleDigest) -> Result<Option<Bundle>, RowFault> {
        self.read(Table::Bundles, &digest.0)
    }

    /// The certificate on exactly this height, if the node has one.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn certificate(&self, height: Height) -> Result<Option<Vec<u8>>, RowFault> {
        Ok(self.reader.get(Table::Certificates, &key::height(height.0))?)
    }

    /// The first height at or above `height` with a certificate.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn certified_from(&self, height: Height) -> Result<Option<(Height, Vec<u8>)>, RowFault> {
        let from = key::height(height.0);
        let page = Page { from: std::ops::Bound::Included(&from), ..Page::first(1) };
        let row = self.reader.scan(Table::Certificates, page)?.into_iter().next();
        Ok(row.and_then(|(place, certificate)| Some((Height(key::number(&place)?), certificate))))
    }

    /// The highest height whose result can be proved with what is stored: the claim of the newest executed block that has a certificate. The
    /// chain itself may know of a later one, whose block is not executed here yet.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn newest_certified(&self) -> Result<Option<Height>, RowFault> {
        let page = Page { order: Order::Backward, ..Page::first(CERTIFICATES_AHEAD_MAX) };
        for (place, _) in self.reader.scan(Table::Certificates, page)? {
            let height = key::number(&place).ok_or(RowFault::Missing { table: Table::Certificates })?;
            if let Some(block) = self.block_at(Height(height))? {
                return Ok(Some(block.header.claim.height));
            }
        }
        Ok(None)
    }

    /// The result of a height.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn result(&self, height: Height) -> Result<Option<HeightResult>, RowFault> {
        self.read(Table::Results, &key::height(height.0))
    }

    /// Outcomes of a height.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn outcomes(&self, height: Height) -> Result<Option<Vec<Outcome>>, RowFault> {
        let outcomes: Option<Outcomes> = self.read(Table::Outcomes, &key::height(height.0))?;
        Ok(outcomes.map(|outcomes| outcomes.outcomes))
    }

    /// Where a transaction was executed.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn locate(&self, id: TransactionId) -> Result<Option<Located>, RowFault> {
        let Some(place) = self.reader.get(Table::Transactions, &id.0)? else { return Ok(None) };
        let missing = |table| RowFault::Missing { table };
        let (height, index) = key::split_position(&place).ok_or(missing(Table::Transactions))?;
        let outcomes = self.outcomes(Height(height))?.ok_or(missing(Table::Outcomes))?;
        let leaf =
            outcomes.iter().position(|outcome| outcome.index == index).ok_or(missing(Table::Outcomes))?;
        let outcome = *outcomes.get(leaf).ok_or(missing(Table::Outcomes))?;
        Ok(Some(Located { height: Height(height), outcome, leaf, outcomes }))
    }

    /// The transaction at a position of a block.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn transaction(&self, height: Height, index: u32) -> Result<Option<Transaction>, RowFault> {
        let Some(block) = self.block_at(height)? else { return Ok(None) };
        let mut before = 0_usize;
        for digest in block.body.batches {
            let batch = self.batch(digest)?.ok_or(RowFault::Missing { table: Table::Batches })?;
            let transactions = batch.content.transactions;
            let position = usize::try_from(index).unwrap_or(usize::MAX).saturating_sub(before);
            if position < transactions.len() {
                return Ok(transactions.into_iter().nth(position));
            }
            before = before.saturating_add(transactions.len());
        }
        Ok(None)
    }

    /// The receipt that was executed under this id at a height: its source, its number and what it says.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn receipt(
        &self,
        genesis: GenesisHash,
        id: TransactionId,
        height: Height,
    ) -> Result<Option<(ChainId, u64, Receipt)>, RowFault> {
        let Some(block) = self.block_at(height)? else { return Ok(None) };
        for digest in block.body.bundles {
            let bundle = self.bundle(digest)?.ok_or(RowFault::Missing { table: Table::Bundles })?;
            let (source, destination) = (bundle.source(), bundle.destination);
            let is_it = |sequence: u64| receipt_id(genesis, source, destination, sequence) == id;
            let mut numbered = (bundle.before.count..).zip(bundle.receipts);
            if let Some((sequence, receipt)) = numbered.find(|(sequence, _)| is_it(*sequence)) {
                return Ok(Some((source, sequence, receipt)));
            }
        }
        Ok(None)
    }

    /// A wallet's slot and record.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn wallet(&self, id: WalletId) -> Result<Option<(Slot, Record)>, RowFault> {
        let Some(slot) = self.reader.get(Table::Slots, &id.0)? else { return Ok(None) };
        let slot = key::number(&slot).ok_or(RowFault::Missing { table: Table::Slots })?;
        let record = self
            .read(Table::Records, &key::slot(slot))?
            .ok_or(RowFault::Missing { table: Table::Records })?;
        Ok(Some((Slot(slot), record)))
    }

    /// A page of a wallet's history, newest first, below `before` (height, index, part).
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn history(
        &self,
        slot: Slot,
        before: Option<(Height, u32, u16)>,
        rows: usize,
    ) -> Result<Vec<HistoryRow>, RowFault> {
        let (_, after) = key::history_of(slot.0);
        // Rows of pruned heights go some time after their blocks.
        let lowest = self.pruned_below()?.unwrap_or_default();
        let first = key::history(slot.0, lowest.0, 0, 0);
        let cursor = before.map(|(height, index, part)| key::history(slot.0, height.0, index, part));
        let page = Page {
            from: std::ops::Bound::Included(&first),
            until: cursor.as_ref().or(after.as_ref()).map(<[u8; 22]>::as_slice),
            order: Order::Backward,
            ..Page::first(rows)
        };
        let mut found = Vec::new();
        for (place, bytes) in self.reader.scan(Table::History, page)? {
            let (_, height, index, part) =
                key::split_history(&place).ok_or(RowFault::Missing { table: Table::History })?;
            let movement: Movement = rows::decode(Table::History, &bytes)?;
            found.push(HistoryRow { height: Height(height), index, part, movement });
        }
        Ok(found)
    }

    /// Frames that answer a peer's request; empty when this node has nothing to give.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn serve(&self, request: &Request, snapshots: &Snapshots) -> Result<Vec<Frame>, RowFault> {
        match request {
            Request::Snapshot(request) => snapshots.serve(self.reader, request),
            Request::Batches(digests) => {
                let read = |digest: &BatchDigest| {
                    self.batch_bytes(*digest).map(|bytes| bytes.map(|bytes| Frame::Batch(Bytes::from(bytes))))
                };
                digests.iter().filter_map(|digest| read(digest).transpose()).collect()
            }
            Request::Bundles(digests) => {
                let read = |digest: &BundleDigest| {
                    let bytes = self.reader.get(Table::Bundles, &digest.0)?;
                    Ok(bytes.map(|bytes| Frame::Bundle(Bytes::from(bytes))))
                };
                digests.iter().filter_map(|digest| read(digest).transpose()).collect()
            }
            Request::Block(digest) => {
                Ok(self.block(*digest)?.map(|block| Frame::Block(Box::new(block))).into_iter().collect())
            }
            Request::Blocks(from) => {
                // Blocks may be left where batches are not: whoever asks finds another source.
                let lowest = self.lowest_whole()?;
                if *from < lowest {
                    return Ok(vec![Frame::Pruned(lowest)]);
                }
                Ok(self.final_blocks(*from)?.map(Frame::FinalBlocks).into_iter().collect())
            }
        }
    }

    /// Consecutive final blocks from `from` on, ending at the last one in reach that has a certificate.
    fn final_blocks(&self, from: Height) -> Result<Option<FinalBlocks>, RowFault> {
        let mut blocks = Vec::new();
        let mut proven: Option<(usize, Vec<u8>)> = None;
        let mut bytes = 0_usize;
        let mut height = from;
        while blocks.len() < SYNC_BLOCKS_MAX && bytes < SYNC_BYTES_MAX {
            let Some(block) = self.block_at(height)? else { break };
            // A page ends where an epoch does, so that everybody comes to have the certificate of its last block.
            let is_of_another = |first: &Block| first.header.epoch != block.header.epoch;
            if blocks.first().is_some_and(is_of_another) {
                break;
            }
            bytes = bytes.saturating_add(block.encode().len());
            if bytes > SYNC_BYTES_MAX && !blocks.is_empty() {
                break;
            }
            blocks.push(block);
            if let Some(certificate) = self.certificate(height)? {
                proven = Some((blocks.len(), certificate));
            }
            height = height.next();
        }
        Ok(proven.map(|(count, certificate)| {
            blocks.truncate(count);
            FinalBlocks { blocks, certificate }
        }))
    }
}
