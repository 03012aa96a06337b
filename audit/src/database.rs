//! Blocks, batches, bundles and certificates out of a database, as [`storage::Reader`] shows it.

use std::collections::BTreeMap;
use std::ops::Bound;

use ledger::records::Block;
use ledger::values::{BlockDigest, Canonical, ChainId, CodecError, Height};
use storage::{Page, Reader, Table, key};

use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::source::{AuditBlock, PAGE_BLOCKS_MAX, PAGE_BYTES, Source};

/// Meta row of a node that joined by a snapshot. It begins with the height: the lowest one that the node holds.
const JOINED_ROW: &[u8] = b"joined";
/// Meta row of a node that prunes: the height below which it has.
pub const PRUNED_ROW: &[u8] = b"pruned";

/// Reads a chain's final blocks from its database.
pub struct DatabaseSource<'a> {
    reader: &'a dyn Reader,
    chain: ChainId,
    next: Height,
    end: Option<u64>,
    /// Blocks of the last scan that did not fit the page: digest and certificate by height.
    ahead: BTreeMap<Height, (BlockDigest, Option<Vec<u8>>)>,
}

impl<'a> DatabaseSource<'a> {
    /// A source over `reader`.
    ///
    /// # Errors
    /// [`AuditError::Storage`]; [`AuditError::Pruned`] where it does not begin with height 1.
    pub fn new(reader: &'a dyn Reader, chain: ChainId) -> Result<Self, AuditError> {
        Self::starting_at(reader, chain, Height(1))
    }

    /// The same from a height on.
    ///
    /// # Errors
    /// As [`DatabaseSource::new`].
    pub fn starting_at(reader: &'a dyn Reader, chain: ChainId, from: Height) -> Result<Self, AuditError> {
        let joined = reader.get(Table::Meta, JOINED_ROW)?;
        let joined = joined.map(|row| row.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
        // A joined node has the result of the height at which it joined, and the blocks above it.
        let joined = joined.map(|height| Height(height).next());
        let pruned = reader.get(Table::Meta, PRUNED_ROW)?.and_then(|row| key::number(&row)).map(Height);
        if let Some(lowest) = joined.max(pruned).filter(|lowest| from < *lowest) {
            return Err(AuditError::Pruned { chain, lowest });
        }
        let last = reader.scan(Table::Heights, Page::last(1))?;
        let end = last.first().and_then(|(place, _)| key::number(place));
        Ok(Self { reader, chain, next: from, end, ahead: BTreeMap::new() })
    }

    fn found(&self, height: Height, finding: Finding) -> AuditError {
        Difference { chain: self.chain, height, finding }.into()
    }

    fn missing(&self, height: Height, table: Table) -> AuditError {
        self.found(height, Finding::RowMissing { table })
    }

    /// Looks ahead: digests and certificates of the next heights.
    fn look_ahead(&mut self) -> Result<(), AuditError> {
        let from = key::height(self.next.0);
        let page = Page { from: Bound::Included(from.as_slice()), ..Page::first(PAGE_BLOCKS_MAX) };
        let mut expected = self.next;
        for (place, digest) in self.reader.scan(Table::Heights, page)? {
            if key::number(&place) != Some(expected.0) {
                return Err(self.missing(expected, Table::Heights));
            }
            let digest: [u8; 32] = digest.try_into().map_err(|_| {
                let fault = CodecError::Malformed { value: "block digest" };
                self.found(expected, Finding::RowDamaged { table: Table::Heights, fault })
            })?;
            self.ahead.insert(expected, (BlockDigest(digest), None));
            expected = expected.next();
        }
        let until = key::height(expected.0);
        let page = Page { until: Some(until.as_slice()), ..page };
        for (place, certificate) in self.reader.scan(Table::Certificates, page)? {
            let height = Height(key::number(&place).unwrap_or_default());
            if let Some((_, entry)) = self.ahead.get_mut(&height) {
                *entry = Some(certificate);
            }
        }
        Ok(())
    }

    fn read(
        &self,
        height: Height,
        digest: BlockDigest,
        certificate: Option<Vec<u8>>,
    ) -> Result<AuditBlock, AuditError> {
        let bytes = self.reader.get(Table::Blocks, &digest.0)?;
        let bytes = bytes.ok_or_else(|| self.missing(height, Table::Blocks))?;
        let block = Block::decode(&bytes)
            .map_err(|fault| self.found(height, Finding::RowDamaged { table: Table::Blocks, fault }))?;
        let contents = |table, keys: Vec<&[u8]>| -> Result<Vec<Vec<u8>>, AuditError> {
            let rows: Option<Vec<Vec<u8>>> = self.reader.multi_get(table, &keys)?.into_iter().collect();
            rows.ok_or_else(|| self.missing(height, table))
        };
        let body = &block.body;
        let batches =
            contents(Table::Batches, body.batches.iter().map(|digest| digest.0.as_slice()).collect())?;
        let bundles =
            contents(Table::Bundles, body.bundles.iter().map(|digest| digest.0.as_slice()).collect())?;
        Ok(AuditBlock { filed: Some(digest), block, batches, bundles, certificate })
    }
}

impl Source for DatabaseSource<'_> {
    fn next_page(&mut self) -> Result<Vec<AuditBlock>, AuditError> {
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        while bytes < PAGE_BYTES {
            let Some((height, (digest, certificate))) = self.ahead.pop_first() else { break };
            let block = self.read(height, digest, certificate)?;
            bytes = bytes.saturating_add(block.weight());
            self.next = height.next();
            page.push(block);
        }
        Ok(page)
    }

    fn height_hint(&self) -> Option<u64> {
        self.end
    }
}
