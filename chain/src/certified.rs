//! A result with a certificate that covers it, out of what is stored.

use ledger::proofs::certified::LINKS_MAX;
use ledger::proofs::{CertifiedResult, FinalityProof};
use ledger::records::{Block, HeightResult};
use ledger::values::{Canonical as _, Height};
use storage::{Reader, Table};

use crate::archive::Archive;
use crate::rows::RowFault;

/// Certificates looked through for a claim that reaches a height; claims lag by a few blocks.
pub(crate) const CLAIMS_LOOKED_THROUGH: usize = 256;

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The result of a height with a certificate that covers it; `None` while none is stored.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn certified_result(&self, height: Height) -> Result<Option<CertifiedResult>, RowFault> {
        let Some((block, certificate)) = self.claiming_block(height)? else { return Ok(None) };
        let Some(result) = self.result(height)? else { return Ok(None) };
        let finality = FinalityProof::decode(&certificate)
            .map_err(|fault| RowFault::Damaged { table: Table::Certificates, fault })?;
        let mut links = Vec::new();
        let mut above = height.next();
        while above <= block.header.claim.height && links.len() < LINKS_MAX {
            let content = self.result(above)?.as_ref().map(HeightResult::content_hash);
            links.push(content.ok_or(RowFault::Missing { table: Table::Results })?);
            above = above.next();
        }
        let complete = above > block.header.claim.height;
        Ok(complete.then_some(CertifiedResult { result, links, header: block.header, finality }))
    }

    /// The first block with a certificate of its own that claims `height` or more.
    fn claiming_block(&self, height: Height) -> Result<Option<(Block, Vec<u8>)>, RowFault> {
        let mut from = height.next();
        for _ in 0..CLAIMS_LOOKED_THROUGH {
            let Some((at, certificate)) = self.certified_from(from)? else { return Ok(None) };
            // A certificate may be stored before its block is final here.
            let Some(block) = self.block_at(at)? else { return Ok(None) };
            if block.header.claim.height >= height {
                return Ok(Some((block, certificate)));
            }
            from = at.next();
        }
        Ok(None)
    }
}
