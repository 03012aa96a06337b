//! Reading a chain for an auditor: blocks in order, each with its batches.
//!
//! Memory is bounded by one feed page, one batch page and the batches of one block. A node that answers about
//! another chain, skips heights or sends batches that were not asked for is refused; whether blocks,
//! certificates and results are *true* is the auditor's work.

use std::collections::VecDeque;

use ledger::records::{Batch, Block, HeightResult};
use ledger::values::{BatchDigest, ChainId, Height};

use super::error::ClientError;
use super::transport::Transport;
use crate::feed::{
    BATCHES_PER_REQUEST_MAX, BatchesQuery, FEED_BLOCKS_MAX, FeedEntry, FeedPage, PAGE_BYTES_MAX,
    decode_batches,
};
use crate::path;

/// A block with everything that the feed has about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBlock {
    /// The block.
    pub block: Block,
    /// Its batches, in the order in which it lists them. The auditor compares their digests.
    pub batches: Vec<Batch>,
    /// The certificate on exactly this block, if the node has one.
    pub certificate: Option<Vec<u8>>,
    /// The result that the node computed.
    pub result: Option<HeightResult>,
}

/// Reads the feed of one chain.
#[derive(Debug)]
pub struct FeedReader {
    transport: Transport,
    chain: ChainId,
    next: Height,
    /// Blocks whose batches are not complete yet.
    entries: VecDeque<FeedEntry>,
    /// Batches of the first entries, in order.
    batches: VecDeque<Batch>,
    final_height: Height,
    certified_height: Height,
}

impl FeedReader {
    pub(super) fn new(transport: Transport, chain: ChainId, from: Height) -> Self {
        Self {
            transport,
            chain,
            next: from,
            entries: VecDeque::new(),
            batches: VecDeque::new(),
            final_height: Height(0),
            certified_height: Height(0),
        }
    }

    /// Highest final height, as the node last said.
    #[must_use]
    pub const fn final_height(&self) -> Height {
        self.final_height
    }

    /// Highest certified height, as the node last said.
    #[must_use]
    pub const fn certified_height(&self) -> Height {
        self.certified_height
    }

    /// The next block, or `None` at the node's last final height. Called again later, it goes on.
    ///
    /// # Errors
    /// [`ClientError`]. After an error the reader may be called again and repeats what it asked for.
    pub async fn next(&mut self) -> Result<Option<FeedBlock>, ClientError> {
        if self.entries.is_empty() {
            self.fetch_page().await?;
        }
        let Some(first) = self.entries.front() else { return Ok(None) };
        let wanted = first.block.body.batches.len();
        while self.batches.len() < wanted {
            self.fetch_batches().await?;
        }
        let Some(entry) = self.entries.pop_front() else { return Ok(None) };
        let batches = self.batches.drain(..wanted).collect();
        let FeedEntry { block, certificate, result } = entry;
        Ok(Some(FeedBlock { block, batches, certificate, result }))
    }

    async fn fetch_page(&mut self) -> Result<(), ClientError> {
        let query = [("from", self.next.to_string()), ("limit", FEED_BLOCKS_MAX.to_string())];
        let (url, bytes) = self.transport.get_bytes(&path::feed(self.chain), &query, PAGE_BYTES_MAX).await?;
        let page =
            FeedPage::decode(&bytes).map_err(|source| ClientError::Page { url: url.clone(), source })?;
        let heights = (self.next.0..).zip(&page.entries);
        let follows = heights.into_iter().all(|(height, entry)| {
            entry.block.header.height.0 == height && entry.block.header.chain == self.chain
        });
        if page.chain != self.chain || page.from != self.next || !follows {
            return Err(ClientError::OtherPage { url });
        }
        self.next = Height(self.next.0.saturating_add(page.entries.len() as u64));
        self.final_height = page.final_height;
        self.certified_height = page.certified_height;
        self.entries = page.entries.into();
        Ok(())
    }

    /// Fetches the batches that follow those at hand, over as many blocks as one request may name.
    async fn fetch_batches(&mut self) -> Result<(), ClientError> {
        let listed = self.entries.iter().flat_map(|entry| &entry.block.body.batches);
        let digests: Vec<BatchDigest> =
            listed.skip(self.batches.len()).take(BATCHES_PER_REQUEST_MAX).copied().collect();
        let query = [("digests", BatchesQuery::new(&digests).digests)];
        let (url, bytes) =
            self.transport.get_bytes(&path::batches(self.chain), &query, PAGE_BYTES_MAX).await?;
        let batches =
            decode_batches(&bytes).map_err(|source| ClientError::Page { url: url.clone(), source })?;
        if batches.is_empty() || batches.len() > digests.len() {
            return Err(ClientError::OtherPage { url });
        }
        self.batches.extend(batches);
        Ok(())
    }
}
