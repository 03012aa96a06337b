//! The second stage: everything that can be judged without state. Headers and their links, bodies, batches and their
//! seals, bundles and their proofs, every transaction signature, every certificate.
//!
//! What depends on the registry (who may propose, seal and certify, which base fee follows, and by which parameters) is judged by the newest
//! rules that the next stage has reached ([`NewestRules`]), which lie a few pages behind. They are almost always the right ones; where they
//! are not those of the height that a block claims, the next stage judges the block again ([`VerifiedBlock::judge_by`]). So the verdict
//! does not depend on which stage is how far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ledger::proofs::{FinalityProof, verify_finality};
use ledger::records::{Batch, Block, Bundle, Registry, Transaction};
use ledger::rules::block_validity::{check_body, check_contents, check_header, check_parent, check_sealers};
use ledger::rules::{
    BatchFacts, BatchFault, BlockFault, BundleFacts, BundleFault, ChainRules, ParentFacts, bundle_weight,
    check_batch, check_bundle, check_signatures,
};
use ledger::values::{BatchDigest, BlockDigest, Canonical, Height, KeyCache, Strategy as _, TimestampMs};

use crate::cores::Cores;
use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::source::AuditBlock;

/// Certificates worth handing to another core: each takes about 0.1 ms.
const CERTIFICATES_PER_CHUNK: usize = 4;

/// The rules that execution has reached.
pub(crate) struct NewestRules(Mutex<ChainRules>);

impl NewestRules {
    pub(crate) const fn new(rules: ChainRules) -> Self {
        Self(Mutex::new(rules))
    }

    pub(crate) fn set(&self, rules: ChainRules) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    fn get(&self) -> ChainRules {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A block whose form and signatures are valid, with a judgement by some registry.
#[derive(Debug)]
pub(crate) struct VerifiedBlock {
    pub(crate) digest: BlockDigest,
    pub(crate) block: Block,
    pub(crate) batches: Vec<Batch>,
    pub(crate) bundles: Vec<Bundle>,
    /// What it stands on.
    parent: ParentFacts,
    /// Of its batches.
    facts: Vec<BatchFacts>,
    /// The certificate for exactly this block.
    certificate: Option<Vec<u8>>,
    /// The registry that it was judged by.
    judged_by: Arc<Registry>,
    /// What is wrong with it by that registry.
    judgement: Result<(), Box<Finding>>,
}

/// Batches and bundles of a block, each with its judgement, or why it is not even one.
struct Contents {
    batches: Vec<Result<(Batch, Result<BatchDigest, BatchFault>), BatchFault>>,
    bundles: Vec<Result<(Bundle, Result<BundleFacts, BundleFault>), BundleFault>>,
}

/// Verifies pages in order.
pub(crate) struct Verifier {
    newest: Arc<NewestRules>,
    /// Those of this page.
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
    pub(crate) fn new(
        newest: Arc<NewestRules>,
        parent: ParentFacts,
        cores: Arc<Cores>,
    ) -> Result<Self, AuditError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(AuditError::Randomness)?;
        let (rules, keys) = (newest.get(), KeyCache::default());
        Ok(Self { newest, rules, parent, ordered: BTreeMap::new(), keys, secret, cores })
    }

    /// Verifies a page. Blocks before the first fault are returned with it, so that execution may find an earlier one.
    pub(crate) fn verify(&mut self, page: Vec<AuditBlock>) -> VerifiedPage {
        self.rules = self.newest.get();
        let decoded = self.decode(&page);
        let mut verified: Vec<VerifiedBlock> = Vec::with_capacity(page.len());
        let mut first = None;
        for (source, contents) in page.into_iter().zip(decoded) {
            let height = source.block.header.height;
            match self.link(source, contents) {
                Ok(block) => verified.push(block),
                Err(finding) => {
                    first = Some((verified.len(), height, *finding));
                    break;
                }
            }
        }
        let bad_signature = self.bad_signature(&verified);
        self.judge_certificates(&mut verified);
        // Both faults of one page are known; the lowest block's is the one to report.
        match [first, bad_signature].into_iter().flatten().min_by_key(|(place, _, _)| *place) {
            None => (verified, None),
            Some((place, height, finding)) => {
                verified.truncate(place);
                let difference = Difference { chain: self.rules.chain, height, finding };
                (verified, Some(difference.into()))
            }
        }
    }

    /// Decodes and judges all batches and bundles of a page at once; the results are grouped by block.
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
    ///
    /// A block that fails here fails by any registry, so what its judgement says comes first only where it is known to be invalid
    /// anyway.
    fn link(&mut self, source: AuditBlock, contents: Contents) -> Result<VerifiedBlock, Box<Finding>> {
        let AuditBlock { filed, block, certificate, .. } = source;
        let (header, body) = (&block.header, &block.body);
        let digest = header.digest(self.rules.genesis);
        if let Some(filed) = filed.filter(|filed| *filed != digest) {
            return Err(Finding::BlockDigest { filed, digest }.into());
        }
        let mut judgement =
            check_header(&self.rules, header).map_err(|fault| Box::new(Finding::Block(fault)));
        match check_parent(&self.rules, header, &self.parent) {
            // By the parameters of another registry it may be the right one. It is checked last, so nothing else is wrong there.
            Err(fault @ BlockFault::BaseFee { .. }) => {
                judgement = judgement.and(Err(Finding::Block(fault).into()))
            }
            checked => checked.map_err(|fault| first_of(&judgement, Finding::Block(fault)))?,
        }
        check_body(header, body).map_err(|fault| first_of(&judgement, Finding::Block(fault)))?;
        let (mut batches, mut facts) = (Vec::new(), Vec::new());
        for (decoded, position) in contents.batches.into_iter().zip(0_u32..) {
            let (batch, judged) =
                decoded.map_err(|fault| first_of(&judgement, Finding::Batch { position, fault }))?;
            let digest = judged.unwrap_or_else(|fault| {
                judgement = judgement.clone().and(Err(Finding::Batch { position, fault }.into()));
                batch.content.digest(self.rules.genesis)
            });
            facts.push(BatchFacts::of(digest, &batch));
            batches.push(batch);
        }
        let (mut bundles, mut bundle_facts) = (Vec::new(), Vec::new());
        for (decoded, position) in contents.bundles.into_iter().zip(0_u32..) {
            let (bundle, judged) =
                decoded.map_err(|fault| first_of(&judgement, Finding::Bundle { position, fault }))?;
            bundle_facts.push(judged.unwrap_or_else(|fault| {
                judgement = judgement.clone().and(Err(Finding::Bundle { position, fault }.into()));
                unjudged(&self.rules, &bundle)
            }));
            bundles.push(bundle);
        }
        check_contents(header, body, &facts, &bundle_facts)
            .map_err(|fault| first_of(&judgement, Finding::Block(fault)))?;
        let sealers = check_sealers(&self.rules, header, &facts);
        judgement = judgement.and(sealers.map_err(|fault| Finding::Block(fault).into()));
        self.ordered.retain(|_, expires| *expires >= header.timestamp);
        for batch in &facts {
            if self.ordered.insert(batch.digest, batch.expires).is_some() {
                return Err(first_of(&judgement, Finding::BatchTwice { digest: batch.digest }));
            }
        }
        let parent = std::mem::replace(&mut self.parent, ParentFacts::of(header, self.rules.genesis));
        let judged_by = Arc::clone(&self.rules.registry);
        Ok(VerifiedBlock {
            digest,
            block,
            batches,
            bundles,
            parent,
            facts,
            certificate,
            judged_by,
            judgement,
        })
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

    /// Judges the certificates of all blocks at once.
    fn judge_certificates(&self, blocks: &mut [VerifiedBlock]) {
        let judged =
            self.cores.map(blocks, CERTIFICATES_PER_CHUNK, |block| block.check_certificate(&self.rules));
        for (block, judged) in blocks.iter_mut().zip(judged) {
            if block.judgement.is_ok() {
                block.judgement = judged;
            }
        }
    }
}

/// The judgement's finding where it has one, else this one.
fn first_of(judgement: &Result<(), Box<Finding>>, finding: Finding) -> Box<Finding> {
    match judgement {
        Err(judged) => judged.clone(),
        Ok(()) => Box::new(finding),
    }
}

/// The facts of a bundle that was not found valid: its form alone.
fn unjudged(rules: &ChainRules, bundle: &Bundle) -> BundleFacts {
    BundleFacts {
        digest: bundle.digest(rules.genesis),
        weight: bundle_weight(bundle),
        source: bundle.source(),
        first: bundle.before.count,
        receipts: u32::try_from(bundle.receipts.len()).unwrap_or(u32::MAX),
        judged_by: bundle.certified.header.epoch,
    }
}

fn decode_batch(
    rules: &ChainRules,
    bytes: &[u8],
) -> Result<(Batch, Result<BatchDigest, BatchFault>), BatchFault> {
    let batch = Batch::decode(bytes)?;
    let judged = check_batch(rules, &batch);
    Ok((batch, judged))
}

fn decode_bundle(
    rules: &ChainRules,
    bytes: &[u8],
) -> Result<(Bundle, Result<BundleFacts, BundleFault>), BundleFault> {
    let bundle = Bundle::decode(bytes)?;
    let judged = check_bundle(rules, &bundle);
    Ok((bundle, judged))
}

impl VerifiedBlock {
    /// Whether it came with a certificate of its own; a judgement without a finding says that it is valid.
    pub(crate) const fn is_certified(&self) -> bool {
        self.certificate.is_some()
    }

    /// What is wrong with it by these rules, which are those of the height that it claims.
    pub(crate) fn judge_by(&self, rules: &ChainRules, cores: &Cores) -> Result<(), Box<Finding>> {
        if Arc::ptr_eq(&self.judged_by, &rules.registry) || self.judged_by == rules.registry {
            return self.judgement.clone();
        }
        let header = &self.block.header;
        check_header(rules, header).map_err(Finding::Block)?;
        check_parent(rules, header, &self.parent).map_err(Finding::Block)?;
        let batches = cores.map(&self.batches, 1, |batch| check_batch(rules, batch));
        for (judged, position) in batches.into_iter().zip(0_u32..) {
            judged.map_err(|fault| Finding::Batch { position, fault })?;
        }
        let bundles = cores.map(&self.bundles, 1, |bundle| check_bundle(rules, bundle));
        for (judged, position) in bundles.into_iter().zip(0_u32..) {
            judged.map_err(|fault| Finding::Bundle { position, fault })?;
        }
        check_sealers(rules, header, &self.facts).map_err(Finding::Block)?;
        self.check_certificate(rules)
    }

    /// The certificate that came with it must be its own, by the set of its epoch.
    fn check_certificate(&self, rules: &ChainRules) -> Result<(), Box<Finding>> {
        let Some(bytes) = &self.certificate else { return Ok(()) };
        let proof = FinalityProof::decode(bytes).map_err(Finding::CertificateMalformed)?;
        let proved = verify_finality(&proof, rules.genesis, &rules.registry).map_err(Finding::Certificate)?;
        let epoch = self.block.header.epoch;
        if proved != self.digest || proof.chain != rules.chain || proof.epoch != epoch {
            let (proved_epoch, digest) = (proof.epoch, self.digest);
            return Err(Finding::CertificateOther { proved, proved_epoch, digest, epoch }.into());
        }
        Ok(())
    }

    /// All transactions in the order in which they execute.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.batches.iter().flat_map(|batch| batch.content.transactions.iter())
    }
}
