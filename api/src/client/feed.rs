//! Reading a chain for an auditor: blocks in order, each with its batches and bundles.
//!
//! Memory is bounded by one feed page, one page of batches, one of bundles and those of one block. A node that
//! answers about another chain, skips heights or sends more than was asked for is refused; whether blocks,
//! certificates and results are *true* is the auditor's work.

use std::collections::VecDeque;
use std::fmt::Display;

use ledger::records::{Batch, Block, Bundle, HeightResult};
use ledger::values::{BatchDigest, BundleDigest, ChainId, Height};

use super::error::ClientError;
use super::transport::Transport;
use crate::feed::{
    DIGESTS_PER_REQUEST_MAX, DigestsQuery, FEED_BLOCKS_MAX, FeedEntry, FeedPage, PAGE_BYTES_MAX, PageError,
    decode_batches, decode_bundles,
};
use crate::path;

/// A block with everything that the feed has about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBlock {
    /// The block.
    pub block: Block,
    /// Its batches, in the order in which it lists them. The auditor compares their digests.
    pub batches: Vec<Batch>,
    /// Its bundles, in the order in which it lists them, likewise.
    pub bundles: Vec<Bundle>,
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
    /// Blocks whose batches and bundles are not complete yet.
    entries: VecDeque<FeedEntry>,
    /// Batches of the first entries, in order.
    batches: VecDeque<Batch>,
    /// Bundles of the first entries, in order.
    bundles: VecDeque<Bundle>,
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
            bundles: VecDeque::new(),
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
        let (batches, bundles) = (first.block.body.batches.len(), first.block.body.bundles.len());
        while self.batches.len() < batches {
            self.fetch_batches().await?;
        }
        while self.bundles.len() < bundles {
            self.fetch_bundles().await?;
        }
        let Some(entry) = self.entries.pop_front() else { return Ok(None) };
        let (batches, bundles) =
            (self.batches.drain(..batches).collect(), self.bundles.drain(..bundles).collect());
        let FeedEntry { block, certificate, result } = entry;
        Ok(Some(FeedBlock { block, batches, bundles, certificate, result }))
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
            listed.skip(self.batches.len()).take(DIGESTS_PER_REQUEST_MAX).copied().collect();
        let batches = self.fetch(path::batches(self.chain), &digests, decode_batches).await?;
        self.batches.extend(batches);
        Ok(())
    }

    /// The same for bundles.
    async fn fetch_bundles(&mut self) -> Result<(), ClientError> {
        let listed = self.entries.iter().flat_map(|entry| &entry.block.body.bundles);
        let digests: Vec<BundleDigest> =
            listed.skip(self.bundles.len()).take(DIGESTS_PER_REQUEST_MAX).copied().collect();
        let bundles = self.fetch(path::bundles(self.chain), &digests, decode_bundles).await?;
        self.bundles.extend(bundles);
        Ok(())
    }

    /// The first of what the digests name, at least one.
    async fn fetch<T>(
        &self,
        path: String,
        digests: &[impl Display],
        decode: fn(&[u8]) -> Result<Vec<T>, PageError>,
    ) -> Result<Vec<T>, ClientError> {
        let query = [("digests", DigestsQuery::new(digests).digests)];
        let (url, bytes) = self.transport.get_bytes(&path, &query, PAGE_BYTES_MAX).await?;
        let contents = decode(&bytes).map_err(|source| ClientError::Page { url: url.clone(), source })?;
        if contents.is_empty() || contents.len() > digests.len() {
            return Err(ClientError::OtherPage { url });
        }
        Ok(contents)
    }
}
