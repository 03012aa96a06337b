//! A result with a certificate that covers it, out of what is stored.

use ledger::proofs::certified::LINKS_MAX;
use ledger::proofs::{CertifiedResult, FinalityProof};
use ledger::records::{Block, EpochRecord, HeightResult};
use ledger::values::{Canonical as _, Height};
use storage::{Reader, Table};

use crate::archive::Archive;
use crate::rows::RowFault;

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The result of a height with a certificate that covers it; `None` while none is stored, or where the claim is more than
    /// [`LINKS_MAX`] heights further.
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
        let lowest = self.claiming_height(height)?.max(from);
        let Some((at, certificate)) = self.certified_from(lowest)? else { return Ok(None) };
        // A certificate may be stored before its block is final here.
        Ok(self.block_at(at)?.map(|block| (block, certificate)))
    }

    /// The lowest height whose block claims `height` or more, or just above the newest block where none does. Claims never fall from a block
    /// to the next (rule of [`ledger::rules::block_validity::check_parent`]), so it is found by steps that double and then by halves: at most 128
    /// blocks are read, and two where claims follow closely.
    fn claiming_height(&self, height: Height) -> Result<Height, RowFault> {
        let (mut below, mut step) = (height.0, 1_u64);
        while !self.claims_or_ends(below.saturating_add(step), height)? {
            below = below.saturating_add(step);
            step = step.saturating_mul(2);
        }
        let mut lowest = below.saturating_add(step);
        while lowest.saturating_sub(below) > 1 {
            let middle = below.saturating_add(lowest.saturating_sub(below) / 2);
            if self.claims_or_ends(middle, height)? {
                lowest = middle;
            } else {
                below = middle;
            }
        }
        Ok(Height(lowest))
    }

    /// Whether the block at a height claims `height` or more, or there is none.
    fn claims_or_ends(&self, at: u64, height: Height) -> Result<bool, RowFault> {
        Ok(self.block_at(Height(at))?.is_none_or(|block| block.header.claim.height >= height))
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::{BlockBody, BlockHeader, Claim};
    use ledger::state::ChainState;
    use ledger::values::{
        BlockDigest, ChainId, Epoch, FeeRate, GenesisHash, ResultHash, TimestampMs, ValidatorIndex, View,
    };
    use storage::{Durability, Identity, MemoryStore, Store, WriteSet, key};

    use super::*;

    /// Blocks 1 to `last` that claim what `claims` says, with a certificate on each that is `certified`.
    fn store(last: u64, claims: impl Fn(u64) -> u64, certified: impl Fn(u64) -> bool) -> MemoryStore {
        let spec = localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap().spec;
        let (_, _, result) = ChainState::genesis(&spec, ChainId(0)).unwrap();
        let store = MemoryStore::fresh(&Identity { schema_version: 1, genesis: [1; 32], chain: 0 });
        let mut set = WriteSet::new();
        for at in 1..=last {
            let (row, body) = (key::height(at), BlockBody::default());
            let header = BlockHeader {
                chain: ChainId(0),
                epoch: Epoch(0),
                view: View(at),
                height: Height(at),
                parent: BlockDigest([1; 32]),
                timestamp: TimestampMs(at),
                proposer: ValidatorIndex(0),
                weight: 0,
                base_fee: FeeRate::ZERO,
                claim: Claim { height: Height(claims(at)), result: ResultHash([2; 32]) },
                body: body.hash(),
            };
            let digest = header.digest(GenesisHash::default());
            set.put(Table::Blocks, digest.0, Block { header, body }.encode());
            set.put(Table::Heights, row, digest.0);
            set.put(Table::Results, row, HeightResult { height: Height(at), ..result.clone() }.encode());
            if certified(at) {
                let (chain, epoch) = (ChainId(0), Epoch(0));
                let (view, parent_view) = (View(at), View(at - 1));
                let proof = FinalityProof { chain, epoch, view, parent_view, digest, bytes: vec![1; 100] };
                set.put(Table::Certificates, row, proof.encode());
            }
        }
        store.write(set, Durability::Synced).unwrap();
        store
    }

    /// The height of the block that certifies a height, and the links to its claim.
    fn found(store: &MemoryStore, height: u64) -> Option<(u64, usize)> {
        let found = Archive::new(store).certified_result(Height(height)).unwrap()?;
        assert_eq!(found.result.height, Height(height));
        Some((found.header.height.0, found.links.len()))
    }

    #[test]
    fn one_certificate_in_a_thousand_heights_is_found_from_everywhere() {
        let sparse = store(3_000, |at| at - 1, |at| at.is_multiple_of(1_000));
        for (height, expected) in [
            (1, (1_000, 998)),
            (998, (1_000, 1)),
            (999, (1_000, 0)),
            (1_000, (2_000, 999)),
            (2_999, (3_000, 0)),
        ] {
            assert_eq!(found(&sparse, height), Some(expected), "{height}");
        }
        assert_eq!(found(&sparse, 3_000), None, "nothing claims it yet");
    }

    #[test]
    fn claims_that_stood_still_for_long_are_passed() {
        // No result was certified from height 10 on, for 2,000 blocks; then claims go on.
        let claims = |at: u64| if at <= 2_010 { (at - 1).min(9) } else { at - 2_000 };
        let stalled = store(2_100, claims, |_| true);
        assert_eq!(found(&stalled, 9), Some((10, 0)));
        assert_eq!(found(&stalled, 10), Some((2_011, 1)));
        assert_eq!(found(&stalled, 60), Some((2_060, 0)));
        assert_eq!(found(&stalled, 101), None);
    }

    #[test]
    fn what_can_be_proved_ends_at_the_claim_of_the_newest_executed_block() {
        let claims = |at: u64| at - 1;
        let newest = |store: &MemoryStore| Archive::new(store).newest_certified().unwrap();
        assert_eq!(newest(&store(0, claims, |_| true)), None);
        assert_eq!(newest(&store(9, claims, |_| true)), Some(Height(8)));
        assert_eq!(newest(&store(9, claims, |at| at < 6)), Some(Height(4)));
        // The certificate of a block that is not executed yet proves nothing here.
        let early = store(9, claims, |_| true);
        let mut set = WriteSet::new();
        set.delete(Table::Heights, key::height(9));
        early.write(set, Durability::Synced).unwrap();
        assert_eq!(newest(&early), Some(Height(7)));
        assert_eq!((found(&early, 7), found(&early, 8)), (Some((8, 0)), None));
    }

    #[test]
    fn every_height_has_the_first_certificate_that_covers_it() {
        let claims = |at: u64| (at - 1) / 3 * 2;
        let store = store(90, claims, |at| at % 4 != 1);
        for height in 1..=90 {
            let first = (1..=90).find(|at| at % 4 != 1 && claims(*at) >= height);
            let expected = first.map(|at| (at, usize::try_from(claims(at) - height).unwrap()));
            assert_eq!(found(&store, height), expected, "{height}");
        }
    }
}
