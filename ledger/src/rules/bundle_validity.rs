//! Validity of a bundle: decided by its bytes and the registry alone, the same for whoever hosts its source and for whoever does
//! not (PROTOCOL rules 2 and 22). Whether its receipts are the next ones is decided by execution ([`super::receive`]).

use super::chain_rules::ChainRules;
use super::weight::bundle_weight;
use crate::proofs::{ProofFault, SetFault, Sets};
use crate::records::Bundle;
use crate::state::Outbox;
use crate::state::outbox::{RECEIPTS_TAG, receipt_leaf, verify_outbox};
use crate::values::append_tree::subtrees;
use crate::values::{BundleDigest, Canonical as _, ChainId, CodecError, Currency, Epoch};

/// Why a bundle is invalid: for ever, at every honest validator of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// Not in its canonical form.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// For another chain.
    #[error("the bundle is for chain {chain}")]
    WrongChain {
        /// Found.
        chain: ChainId,
    },
    /// From a chain that the network does not have, or from the destination itself.
    #[error("no bundle comes from chain {source_chain}")]
    SourceUnknown {
        /// Found.
        source_chain: ChainId,
    },
    /// Value from a chain of another currency.
    #[error("a receipt carries value from a chain of currency {currency}")]
    Currency {
        /// The source's.
        currency: Currency,
    },
    /// The result is not certified.
    #[error("the result is not certified: {0}")]
    Certified(#[from] ProofFault),
    /// More receipts than the certified count.
    #[error("receipts up to number {until}, certified are {sent}")]
    NotSent {
        /// One above the last receipt's number.
        until: u64,
        /// Certified.
        sent: u64,
    },
    /// Sums and hashes do not lead to the certified outbox.
    #[error("the receipts are not those under the certified outbox root")]
    Receipts,
    /// The changes of set do not go on from the newest set that the registry has.
    #[error("the changes of the source's set are not proved: {0}")]
    Sets(#[from] SetFault),
    /// The certificate is of an epoch that has ended.
    #[error("the certificate is of epoch {epoch}, the source's newest set is that of epoch {newest}")]
    StaleEpoch {
        /// The epoch of the certificate.
        epoch: Epoch,
        /// The newest in the registry and the bundle.
        newest: Epoch,
    },
}

impl BundleFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 701,
            Self::WrongChain { .. } => 702,
            Self::SourceUnknown { .. } => 703,
            Self::Currency { .. } => 704,
            Self::Certified(_) => 705,
            Self::NotSent { .. } => 706,
            Self::Receipts => 707,
            Self::Sets(_) => 708,
            Self::StaleEpoch { .. } => 709,
        }
    }
}

/// What a block needs to know of a bundle; kept when the bundle was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleFacts {
    /// Its digest.
    pub digest: BundleDigest,
    /// Its weight ([`super::weight::bundle_weight`]).
    pub weight: u64,
    /// Where it comes from.
    pub source: ChainId,
    /// Number of its first receipt.
    pub first: u64,
    /// How many receipts.
    pub receipts: u32,
    /// The newest epoch of the source in the registry that judged it: what it was judged by.
    pub judged_by: Epoch,
}

impl BundleFacts {
    /// One above its last receipt's number.
    #[must_use]
    pub const fn until(&self) -> u64 {
        self.first.saturating_add(self.receipts as u64)
    }

    /// Whether `rules`, of the same chain, would judge the bundle as it was judged: they know the same set of its source.
    #[must_use]
    pub fn stands(&self, rules: &ChainRules) -> bool {
        rules.registry.newest_epoch(self.source).is_some_and(|newest| newest.epoch == self.judged_by)
    }
}

/// Checks a bundle by the rules of the state that its block claims: by the newest set that this state knows of the source, and the
/// changes of set that the bundle carries. What is certified by an older set is refused.
///
/// # Errors
/// The first fault.
pub fn check_bundle(rules: &ChainRules, bundle: &Bundle) -> Result<BundleFacts, BundleFault> {
    bundle.check()?;
    if bundle.destination != rules.chain {
        return Err(BundleFault::WrongChain { chain: bundle.destination });
    }
    let source = bundle.source();
    let unknown = BundleFault::SourceUnknown { source_chain: source };
    let currency = rules.currency_of(source).filter(|_| source != rules.chain).ok_or(unknown)?;
    if currency != rules.currency && bundle.receipts.iter().any(|receipt| !receipt.value().is_zero()) {
        return Err(BundleFault::Currency { currency });
    }
    let result = &bundle.certified.result;
    let sent = result.supply.pair(rules.chain).sent;
    let receipts = u32::try_from(bundle.receipts.len()).unwrap_or(u32::MAX);
    let until = bundle.before.count.saturating_add(u64::from(receipts));
    if until > sent.count {
        return Err(BundleFault::NotSent { until, sent: sent.count });
    }
    if receipts > 0 {
        let outbox = certified_outbox(bundle, sent.count).ok_or(BundleFault::Receipts)?;
        if !verify_outbox(result.outbox, &result.supply.pairs, &outbox, &bundle.path) {
            return Err(BundleFault::Receipts);
        }
    }
    let mut sets = Sets::of(&rules.registry, source)?;
    let judged_by = sets.newest().epoch;
    let newest = bundle.newest_set().map_or(judged_by, |set| set.epoch);
    let epoch = bundle.certified.header.epoch;
    if epoch < newest {
        return Err(BundleFault::StaleEpoch { epoch, newest });
    }
    // The dearest checks come last.
    bundle.sets.iter().try_for_each(|link| sets.extend(rules.genesis, link))?;
    bundle.certified.verify_by(rules.genesis, &sets)?;
    let weight = bundle_weight(bundle);
    Ok(BundleFacts {
        digest: bundle.digest(rules.genesis),
        weight,
        source,
        first: bundle.before.count,
        receipts,
        judged_by,
    })
}

/// The source's outbox at the certified count, from what the bundle shows of it.
fn certified_outbox(bundle: &Bundle, sent: u64) -> Option<Outbox> {
    let (mut tree, mut total) = (bundle.before.clone(), bundle.total_before);
    for receipt in &bundle.receipts {
        tree.append(RECEIPTS_TAG, receipt_leaf(receipt, total)).then_some(())?;
        total = total.checked_add(u128::from(receipt.value().fen()))?;
    }
    let after = subtrees(tree.count, sent);
    (after.len() == bundle.after.len()).then_some(())?;
    for ((_, level), hash) in after.into_iter().zip(&bundle.after) {
        tree.append_subtree(RECEIPTS_TAG, level, *hash).then_some(())?;
    }
    Some(Outbox { chain: bundle.destination, tree })
}
