//! Blocks, batches, bundles and certificates from a node's feed. The results that the feed also carries are the node's word and are
//! not even looked at.

use api::Client;
use api::client::FeedReader;
use ledger::values::{Canonical as _, ChainId, Height};
use tokio::runtime::Runtime;

use crate::error::AuditError;
use crate::source::{AuditBlock, PAGE_BLOCKS_MAX, PAGE_BYTES, Source};

/// Blocks read above the height at which the node stood in the beginning, to end with a certified one. A node may have no
/// certificate for single heights; a live chain never ends by itself.
pub const BLOCKS_TO_CERTIFICATE_MAX: u64 = 4_096;

/// Reads a chain's final blocks from a node.
pub struct FeedSource {
    reader: FeedReader,
    runtime: Runtime,
    /// The node's final height when it was first asked.
    end: Option<Height>,
    is_done: bool,
}

impl FeedSource {
    /// A source over the feed of `client`'s node.
    ///
    /// # Errors
    /// [`AuditError::Threads`] when no runtime can be made. The node is not asked yet.
    pub fn new(client: &Client, chain: ChainId) -> Result<Self, AuditError> {
        Self::starting_at(client, chain, Height(1))
    }

    /// The same from a height on.
    ///
    /// # Errors
    /// As [`FeedSource::new`].
    pub fn starting_at(client: &Client, chain: ChainId, from: Height) -> Result<Self, AuditError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AuditError::Threads)?;
        Ok(Self { reader: client.feed(chain, from), runtime, end: None, is_done: false })
    }

    fn next_block(&mut self) -> Result<Option<AuditBlock>, AuditError> {
        if self.is_done {
            return Ok(None);
        }
        let Some(read) = self.runtime.block_on(self.reader.next())? else {
            self.is_done = true;
            return Ok(None);
        };
        let end = *self.end.get_or_insert(self.reader.final_height());
        let height = read.block.header.height;
        let beyond = height.0.saturating_sub(end.0);
        self.is_done = height >= end && (read.certificate.is_some() || beyond >= BLOCKS_TO_CERTIFICATE_MAX);
        Ok(Some(AuditBlock {
            filed: None,
            // Encoding again costs a thousandth of checking the signatures, and leaves one path for both sources.
            batches: read.batches.iter().map(|batch| batch.encode()).collect(),
            bundles: read.bundles.iter().map(|bundle| bundle.encode()).collect(),
            block: read.block,
            certificate: read.certificate,
        }))
    }
}

impl Source for FeedSource {
    fn next_page(&mut self) -> Result<Vec<AuditBlock>, AuditError> {
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        while page.len() < PAGE_BLOCKS_MAX && bytes < PAGE_BYTES {
            let Some(block) = self.next_block()? else { break };
            bytes = bytes.saturating_add(block.weight());
            page.push(block);
        }
        Ok(page)
    }

    fn height_hint(&self) -> Option<u64> {
        self.end.map(|end| end.0)
    }
}
