//! A result with a certificate that covers it, out of what is stored.

use ledger::proofs::certified::LINKS_MAX;
use ledger::proofs::{CertifiedResult, FinalityProof};
use ledger::records::{Block, EpochRecord, HeightResult};
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
        let claiming = self.claiming_block(height, height.next())?;
        claiming.map_or(Ok(None), |(block, certificate)| self.certify(height, block, &certificate))
    }

    /// A result with a certificate of this epoch: that of `height`, or the nearest one that the epoch's set has certified. `None` while
    /// none is stored.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn certified_in(
        &self,
        set: &EpochRecord,
        height: Height,
    ) -> Result<Option<CertifiedResult>, RowFault> {
        // The first block of an epoch claims the height two below it or the one between; its last, the one below.
        let lowest = set.first_height.0.saturating_sub(2);
        let highest = set.last_height.map_or(u64::MAX, |last| last.0.saturating_sub(1));
        let height = Height(height.0.clamp(lowest, highest));
        let claiming = self.claiming_block(height, height.next().max(set.first_height))?;
        match claiming.filter(|(block, _)| block.header.epoch == set.epoch) {
            Some((block, certificate)) => self.certify(height, block, &certificate),
            None => Ok(None),
        }
    }

    fn certify(
        &self,
        height: Height,
        block: Block,
        certificate: &[u8],
    ) -> Result<Option<CertifiedResult>, RowFault> {
        let Some(result) = self.result(height)? else { return Ok(None) };
        let finality = FinalityProof::decode(certificate)
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

    /// The first block from `from` on with a certificate of its own that claims `height` or more.
    fn claiming_block(&self, height: Height, from: Height) -> Result<Option<(Block, Vec<u8>)>, RowFault> {
        let mut from = from;
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
