//! Bundles: consecutive receipts of one chain for another, with the proof that their chain has sent them at just that place.
//!
//! ```text
//! peaks before ─ receipts ─ subtrees after ══ outbox of the destination ── path ══ outbox root in a certified result
//! ```
//!
//! Before them may stand the changes of the source's validator set that the destination has not heard of; a bundle of these alone
//! is how a chain learns of a rotation when nothing else is sent.
//!
//! A bundle is judged by its bytes and the registry alone ([`crate::rules::bundle_validity`]), also where nobody hosts its source.

use wincode::{SchemaRead, SchemaWrite};

use super::receipt::Receipt;
use crate::proofs::{CertifiedResult, SetLink};
use crate::state::Outbox;
use crate::state::outbox::{RECEIPTS_TAG, outbox_path, receipt_leaf};
use crate::values::append_tree::{SUBTREES_MAX, subtrees};
use crate::values::codec::check_count;
use crate::values::{AppendTree, BundleDigest, Canonical, ChainId, CodecError, GenesisHash, Hash, Hasher};

/// Most receipts of a bundle.
pub const BUNDLE_RECEIPTS_MAX: usize = 1_024;
/// Most bytes of the receipts of a bundle: as many credits as there may be fit; changes of the registry are larger.
pub const BUNDLE_RECEIPT_BYTES_MAX: usize = 128 * 1_024;
/// Most changes of set that a bundle carries; a chain that missed more hears of them in several.
pub const BUNDLE_LINKS_MAX: usize = 4;
/// Most steps from an outbox to the outbox root.
pub const OUTBOX_PATH_MAX: usize = 16;

/// Consecutive receipts and why they are true.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Bundle {
    /// The chain that they are for.
    pub destination: ChainId,
    /// The source's outbox for the destination before the first of them; its count is the first one's number.
    pub before: AppendTree,
    /// What all receipts before the first add up to, in fen.
    pub total_before: u128,
    /// The receipts, in order; at least one, or a change of set.
    pub receipts: Vec<Receipt>,
    /// Roots of the subtrees ([`crate::values::append_tree::subtrees`]) after the last of them, up to the certified count.
    pub after: Vec<Hash>,
    /// From the outbox to the outbox root.
    pub path: Vec<Hash>,
    /// The source's changes of set since the epoch that the destination's registry has, in order; at most [`BUNDLE_LINKS_MAX`].
    pub sets: Vec<SetLink>,
    /// The source's result that commits to the outbox root, certified by the newest of these sets.
    pub certified: CertifiedResult,
}

impl Bundle {
    /// The chain that sent the receipts.
    #[must_use]
    pub const fn source(&self) -> ChainId {
        self.certified.result.chain
    }

    /// The digest that blocks order.
    #[must_use]
    pub fn digest(&self, genesis: GenesisHash) -> BundleDigest {
        Hasher::new("jiaozi/bundle").bytes(&genesis.0).bytes(&self.encode()).finish().into()
    }
}

/// What a chain shows of its receipts for another chain: the peaks of the tree before the first receipt of `pending`, and all
/// receipts from there up to the certified count.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    /// The tree before them.
    pub before: &'a AppendTree,
    /// What all receipts before them add up to, in fen.
    pub total_before: u128,
    /// The receipts, in order.
    pub receipts: &'a [Receipt],
}

impl Bundle {
    /// The bundle of the first receipts of `pending`, at most [`BUNDLE_RECEIPTS_MAX`]. `outboxes` are the source's at the height that
    /// `certified` is the result of.
    ///
    /// `None` where nothing is pending, or where it is not what the result certifies.
    #[must_use]
    pub fn prove(
        destination: ChainId,
        pending: Pending<'_>,
        outboxes: &[Outbox],
        certified: CertifiedResult,
    ) -> Option<Self> {
        let sent = certified.result.supply.pair(destination).sent.count;
        let path = outbox_path(outboxes, &certified.result.supply.pairs, destination)?;
        let taken = pending.receipts.len().min(BUNDLE_RECEIPTS_MAX);
        let (receipts, rest) = pending.receipts.split_at_checked(taken).filter(|_| taken > 0)?;
        let from = pending.before.count.checked_add(u64::try_from(taken).ok()?)?;
        let until = from.checked_add(u64::try_from(rest.len()).ok()?)?;
        if until != sent {
            return None;
        }
        let plus = |total: u128, receipt: &Receipt| total.checked_add(u128::from(receipt.value().fen()));
        let mut total = receipts.iter().try_fold(pending.total_before, plus)?;
        let mut rest = rest.iter();
        let subtree = |(_, level): (u64, u32)| {
            let mut tree = AppendTree::default();
            for _ in 0..1_u64.checked_shl(level)? {
                let receipt = rest.next()?;
                tree.append(RECEIPTS_TAG, receipt_leaf(receipt, total)).then_some(())?;
                total = plus(total, receipt)?;
            }
            tree.peaks.pop()
        };
        let after = subtrees(from, until).into_iter().map(subtree).collect::<Option<_>>()?;
        let (before, total_before) = (pending.before.clone(), pending.total_before);
        Some(Self { destination, before, total_before, receipts: receipts.to_vec(), after, path, certified })
    }
}

impl Canonical for Bundle {
    const NAME: &'static str = "bundle";
    const BYTES_MAX: usize = 4
        + AppendTree::BYTES_MAX
        + 16
        + 8
        + Receipt::BYTES_MAX * BUNDLE_RECEIPTS_MAX
        + 8
        + 32 * SUBTREES_MAX
        + 8
        + 32 * OUTBOX_PATH_MAX
        + CertifiedResult::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.before.check("bundle.before.peaks")?;
        check_count("bundle.receipts", self.receipts.len(), 1, BUNDLE_RECEIPTS_MAX)?;
        check_count("bundle.after", self.after.len(), 0, SUBTREES_MAX)?;
        check_count("bundle.path", self.path.len(), 0, OUTBOX_PATH_MAX)?;
        self.certified.check()
    }
}
