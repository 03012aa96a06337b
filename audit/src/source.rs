//! Where blocks come from. Three sources: archives, a node's feed and a database.

use ledger::records::Block;
use ledger::values::BlockDigest;

use crate::error::AuditError;

/// Most blocks of a page.
pub const PAGE_BLOCKS_MAX: usize = 512;
/// A page ends with the block that reaches this many bytes of batches and bundles. About 16,000 payments: large groups for the
/// signature check, and with the pages on their way through the stages still a bounded part of memory.
pub const PAGE_BYTES: usize = 4 << 20;

/// A final block with everything that an auditor reads of it.
#[derive(Debug, Clone)]
pub struct AuditBlock {
    /// The digest under which the source files it, where it says so.
    pub filed: Option<BlockDigest>,
    /// The block.
    pub block: Block,
    /// Its batches, encoded, in the order of the body.
    pub batches: Vec<Vec<u8>>,
    /// Its bundles, likewise.
    pub bundles: Vec<Vec<u8>>,
    /// The certificate that makes exactly this block final, where the source has one.
    pub certificate: Option<Vec<u8>>,
}

impl AuditBlock {
    /// Bytes of its batches and bundles: what fills a page.
    pub(crate) fn weight(&self) -> usize {
        self.batches.iter().chain(&self.bundles).map(Vec::len).sum()
    }
}

/// Hands out final blocks, in order: from height 1 on, or from where archives end.
pub trait Source: Send {
    /// The next blocks, at most [`PAGE_BLOCKS_MAX`]; none at the end.
    ///
    /// # Errors
    /// [`AuditError`] when the source cannot be read or a row is missing.
    fn next_page(&mut self) -> Result<Vec<AuditBlock>, AuditError>;

    /// The height at which the source ends, as far as it knows: for progress only.
    fn height_hint(&self) -> Option<u64>;
}
