//! The second stage: everything that can be judged without state. Headers and their links, bodies, batches and their
//! seals, bundles and their proofs, every transaction signature, every certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::proofs::{FinalityProof, verify_finality};
use ledger::records::{Batch, Block, Bundle, Transaction};
use ledger::rules::block_validity::{check_body, check_contents, check_header, check_parent};
use ledger::rules::{
    BatchFacts, BatchFault, BundleFacts, BundleFault, ChainRules, ParentFacts, check_batch, check_bundle,
    check_signatures,
};
use ledger::values::{BatchDigest, BlockDigest, Canonical, Height, KeyCache, Strategy as _, TimestampMs};

use crate::cores::Cores;
use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::source::AuditBlock;

/// Certificates worth handing to another core: each takes about 0.1 ms.
const CERTIFICATES_PER_CHUNK: usize = 4;

/// A block whose form and signatures are valid.
#[derive(Debug)]
pub(crate) struct VerifiedBlock {
    pub(crate) digest: BlockDigest,
    pub(crate) block: Block,
    pub(crate) batches: Vec<Batch>,
    pub(crate) bundles: Vec<Bundle>,
    /// Whether a certificate for exactly this block was verified.
    pub(crate) is_certified: bool,
}

/// Batches and bundles of a block, or what is wrong with each.
struct Contents {
    batches: Vec<Result<(BatchDigest, Batch), BatchFault>>,
    bundles: Vec<Result<(BundleFacts, Bundle), BundleFault>>,
}

/// Verifies pages in order.
pub(crate) struct Verifier {
    rules: ChainRules,
    parent: ParentFacts,
    /// Batches that a block may not order again, with their expiry (PROTOCOL rule 10).
    ordered: BTreeMap<BatchDigest, TimestampMs>,
    keys: KeyCache,
    secret: [u8; 32],
    cores: Arc<Cores>,
}

/// The valid blocks of a page, and what ended it.
pub(crate) type VerifiedPage = (Vec<VerifiedBlock>, Option<AuditError>);

impl Verifier {
    /// A verifier that starts above `parent`, which is genesis.
    pub(crate) fn new(rules: ChainRules, parent: ParentFacts, cores: Arc<Cores>) -> Result<Self, AuditError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(AuditError::Randomness)?;
        Ok(Self { rules, parent, ordered: BTreeMap::new(), keys: KeyCache::default(), secret, cores })
    }

    /// Verifies a page. Blocks before the first fault are returned with it, so that execution may find an earlier one.
    pub(crate) fn verify(&mut self, page: Vec<AuditBlock>) -> VerifiedPage {
        let decoded = self.decode(&page);
        let mut verified: Vec<VerifiedBlock> = Vec::with_capacity(page.len());
        let mut certificates = Vec::new();
        let mut first = None;
        for (source, contents) in page.into_iter().zip(decoded) {
            let height = source.block.header.height;
            let certificate = source.certificate.clone();
            match self.link(source, contents) {
                Ok(block) => {
                    certificates.extend(certificate.map(|bytes| (verified.len(), block.digest, bytes)));
                    verified.push(block);
                }
                Err(finding) => {
                    first = Some((verified.len(), height, *finding));
                    break;
                }
            }
        }
        let faults = [first, self.bad_signature(&verified), self.bad_certificate(&verified, &certificates)];
        for (place, _, _) in &certificates {
            if let Some(block) = verified.get_mut(*place) {
                block.is_certified = true;
            }
        }
        // All faults of one page are known; the lowest block's is the one to report.
        match faults.into_iter().flatten().min_by_key(|(place, _, _)| *place) {
            None => (verified, None),
            Some((place, height, finding)) => {
                verified.truncate(place);
                let difference = Difference { chain: self.rules.chain, height, finding };
                (verified, Some(difference.into()))
            }
        }
    }

    /// Decodes and checks all batches and bundles of a page at once; the results are grouped by block.
    fn decode(&self, page: &[AuditBlock]) -> Vec<Contents> {
        let batches: Vec<&[u8]> =
            page.iter().flat_map(|block| block.batches.iter().map(Vec::as_slice)).collect();
        let bundles: Vec<&[u8]> =
            page.iter().flat_map(|block| block.bundles.iter().map(Vec::as_slice)).collect();
        let mut batches = self.cores.map(&batches, 1, |bytes| decode_batch(&self.rules, bytes)).into_iter();
        let mut bundles = self.cores.map(&bundles, 1, |bytes| decode_bundle(&self.rules, bytes)).into_iter();
        let contents = |block: &AuditBlock| Contents {
            batches: batches.by_ref().take(block.batches.len()).collect(),
            bundles: bundles.by_ref().take(block.bundles.len()).collect(),
        };
        page.iter().map(contents).collect()
    }

    /// Checks a block against its parent, its batches and its bundles, and makes it the next parent.
    fn link(&mut self, source: AuditBlock, contents: Contents) -> Result<VerifiedBlock, Box<Finding>> {
        let AuditBlock { filed, block, .. } = source;
        let (header, body) = (&block.header, &block.body);
        let digest = header.digest(self.rules.genesis);
        if let Some(filed) = filed.filter(|filed| *filed != digest) {
            return Err(Finding::BlockDigest { filed, digest }.into());
        }
        check_header(&self.rules, header).map_err(Finding::Block)?;
        check_parent(header, &self.parent).map_err(Finding::Block)?;
        check_body(header, body).map_err(Finding::Block)?;
        let (mut batches, mut facts) = (Vec::new(), Vec::new());
        for (batch, position) in contents.batches.into_iter().zip(0_u32..) {
            let (digest, batch) = batch.map_err(|fault| Finding::Batch { position, fault })?;
            facts.push(BatchFacts::of(digest, &batch));
            batches.push(batch);
        }
        let (mut bundles, mut bundle_facts) = (Vec::new(), Vec::new());
        for (bundle, position) in contents.bundles.into_iter().zip(0_u32..) {
            let (facts, bundle) = bundle.map_err(|fault| Finding::Bundle { position, fault })?;
            bundle_facts.push(facts);
            bundles.push(bundle);
        }
        check_contents(header, body, &facts, &bundle_facts).map_err(Finding::Block)?;
        self.ordered.retain(|_, expires| *expires >= header.timestamp);
        for batch in &facts {
            if self.ordered.insert(batch.digest, batch.expires).is_some() {
                return Err(Finding::BatchTwice { digest: batch.digest }.into());
            }
        }
        self.parent = ParentFacts::of(header, self.rules.genesis);
        Ok(VerifiedBlock { digest, block, batches, bundles, is_certified: false })
    }

    fn bad_signature(&mut self, blocks: &[VerifiedBlock]) -> Option<(usize, Height, Finding)> {
        let transactions: Vec<&Transaction> = blocks.iter().flat_map(VerifiedBlock::transactions).collect();
        let genesis = self.rules.genesis;
        let bad =
            check_signatures(&transactions, genesis, &self.secret, &self.keys, self.cores.as_ref()).err()?;
        let transaction = transactions.get(bad)?.id(genesis);
        let mut passed = 0_usize;
        let place = blocks.iter().position(|block| {
            passed = passed.saturating_add(block.transactions().count());
            passed > bad
        })?;
        let height = blocks.get(place)?.block.header.height;
        Some((place, height, Finding::Signature { transaction }))
    }

    fn bad_certificate(
        &self,
        blocks: &[VerifiedBlock],
        certificates: &[(usize, BlockDigest, Vec<u8>)],
    ) -> Option<(usize, Height, Finding)> {
        let verified = self.cores.map(
            certificates,
            CERTIFICATES_PER_CHUNK,
            |(place, digest, bytes)| -> Result<(), Box<Finding>> {
                let proof = FinalityProof::decode(bytes).map_err(Finding::CertificateMalformed)?;
                let proved = verify_finality(&proof, self.rules.genesis, &self.rules.registry);
                let proved = proved.map_err(Finding::Certificate)?;
                let epoch = blocks.get(*place).map_or(proof.epoch, |block| block.block.header.epoch);
                if proved != *digest || proof.chain != self.rules.chain || proof.epoch != epoch {
                    return Err(Finding::CertificateOther {
                        proved,
                        proved_epoch: proof.epoch,
                        digest: *digest,
                        epoch,
                    }
                    .into());
                }
                Ok(())
            },
        );
        let bad = certificates
            .iter()
            .zip(verified)
            .find_map(|((place, _, _), verified)| Some((*place, *verified.err()?)));
        let (place, finding) = bad?;
        Some((place, blocks.get(place)?.block.header.height, finding))
    }
}

fn decode_batch(rules: &ChainRules, bytes: &[u8]) -> Result<(BatchDigest, Batch), BatchFault> {
    let batch = Batch::decode(bytes)?;
    Ok((check_batch(rules, &batch)?, batch))
}

fn decode_bundle(rules: &ChainRules, bytes: &[u8]) -> Result<(BundleFacts, Bundle), BundleFault> {
    let bundle = Bundle::decode(bytes)?;
    Ok((check_bundle(rules, &bundle)?, bundle))
}

impl VerifiedBlock {
    /// All transactions in the order in which they execute.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.batches.iter().flat_map(|batch| batch.content.transactions.iter())
    }
}
