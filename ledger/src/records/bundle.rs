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
use super::result::Counter;
use crate::proofs::{CertifiedResult, SetLink};
use crate::state::Outbox;
use crate::state::outbox::{RECEIPTS_TAG, outbox_path, receipt_leaf};
use crate::values::append_tree::{SUBTREES_MAX, subtrees};
use crate::values::codec::{check_count, check_range};
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

    /// Its receipts from the next one on, where so much was received before; `None` where the next one is not among them, or what was
    /// received adds up to something else.
    #[must_use]
    pub fn rest(&self, received: Counter) -> Option<&[Receipt]> {
        let came = usize::try_from(received.count.checked_sub(self.before.count)?).ok()?;
        let (came, rest) = self.receipts.split_at_checked(came)?;
        let plus = |total: u128, receipt: &Receipt| total.checked_add(u128::from(receipt.value().fen()));
        let total = came.iter().try_fold(self.total_before, plus)?;
        (total == received.total && !rest.is_empty()).then_some(rest)
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
    /// The bundle of `sets` and of the first receipts of `pending`, at most [`BUNDLE_RECEIPTS_MAX`] and
    /// [`BUNDLE_RECEIPT_BYTES_MAX`]. `outboxes` are the source's at the height that `certified` is the result of.
    ///
    /// `None` where nothing is pending and no set has changed, or where it is not what the result certifies.
    #[must_use]
    pub fn prove(
        destination: ChainId,
        pending: Pending<'_>,
        outboxes: &[Outbox],
        certified: CertifiedResult,
        sets: Vec<SetLink>,
    ) -> Option<Self> {
        let nothing = std::iter::empty::<Result<Receipt, std::convert::Infallible>>();
        let proved = Self::prove_paged(destination, pending, nothing, outboxes, certified, sets);
        proved.unwrap_or_else(|never| match never {})
    }

    /// The same where receipts may be too many to hold at once: those of `pending` that fit go into the bundle, and `more` are all after
    /// them up to the certified count, taken one by one.
    ///
    /// # Errors
    /// The first that `more` gives.
    pub fn prove_paged<E>(
        destination: ChainId,
        pending: Pending<'_>,
        more: impl IntoIterator<Item = Result<Receipt, E>>,
        outboxes: &[Outbox],
        certified: CertifiedResult,
        sets: Vec<SetLink>,
    ) -> Result<Option<Self>, E> {
        if pending.receipts.is_empty() {
            return Ok((!sets.is_empty()).then(|| Self::of_sets(destination, certified, sets)));
        }
        let sent = certified.result.supply.pair(destination).sent.count;
        let path = outbox_path(outboxes, &certified.result.supply.pairs, destination);
        let parts = pending.receipts.split_at_checked(first_receipts(pending.receipts));
        let (Some(path), Some((receipts, rest))) = (path, parts) else { return Ok(None) };
        let from =
            u64::try_from(receipts.len()).ok().and_then(|count| pending.before.count.checked_add(count));
        let (Some(from), Some(total)) = (from, receipts.iter().try_fold(pending.total_before, plus)) else {
            return Ok(None);
        };
        let rest = rest.iter().cloned().map(Ok::<Receipt, E>).chain(more);
        let Some(after) = subtree_roots(from, sent, total, rest)? else { return Ok(None) };
        let (before, total_before) = (pending.before.clone(), pending.total_before);
        let receipts = receipts.to_vec();
        Ok(Some(Self { destination, before, total_before, receipts, after, path, sets, certified }))
    }

    /// A bundle without receipts, which tells of changes of set only.
    fn of_sets(destination: ChainId, certified: CertifiedResult, sets: Vec<SetLink>) -> Self {
        let (before, receipts, after, path) = (AppendTree::default(), Vec::new(), Vec::new(), Vec::new());
        Self { destination, before, total_before: 0, receipts, after, path, sets, certified }
    }

    /// The epoch that its certificate must be of: that of the newest of its sets, where it carries any.
    #[must_use]
    pub fn newest_set(&self) -> Option<&crate::records::EpochRecord> {
        self.sets.last().map(|link| &link.set)
    }
}

/// What receipts add up to with one more.
fn plus(total: u128, receipt: &Receipt) -> Option<u128> {
    total.checked_add(u128::from(receipt.value().fen()))
}

/// Roots of the subtrees over the receipts numbered `from..until`, of which one is in memory at a time; `None` where these are not
/// just as many. `total` is what all before them add up to.
fn subtree_roots<E>(
    from: u64,
    until: u64,
    total: u128,
    mut receipts: impl Iterator<Item = Result<Receipt, E>>,
) -> Result<Option<Vec<Hash>>, E> {
    if until < from {
        return Ok(None);
    }
    let (mut total, mut roots) = (total, Vec::new());
    for (_, level) in subtrees(from, until) {
        let mut tree = AppendTree::default();
        for _ in 0..1_u64.checked_shl(level).unwrap_or(0) {
            let Some(receipt) = receipts.next().transpose()? else { return Ok(None) };
            let is_appended = tree.append(RECEIPTS_TAG, receipt_leaf(&receipt, total));
            let Some(sum) = plus(total, &receipt).filter(|_| is_appended) else { return Ok(None) };
            total = sum;
        }
        let Some(root) = tree.peaks.pop() else { return Ok(None) };
        roots.push(root);
    }
    Ok(receipts.next().transpose()?.is_none().then_some(roots))
}

/// Encoded length of a receipt.
fn bytes_of(receipt: &Receipt) -> usize {
    wincode::serialized_size(receipt).ok().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
}

/// How many of these receipts go into one bundle.
fn first_receipts(receipts: &[Receipt]) -> usize {
    let mut room = BUNDLE_RECEIPT_BYTES_MAX;
    let fits = |receipt: &&Receipt| {
        let left = room.checked_sub(bytes_of(receipt));
        room = left.unwrap_or(0);
        left.is_some()
    };
    receipts.iter().take(BUNDLE_RECEIPTS_MAX).take_while(fits).count()
}

/// Any receipt fits, and as many credits as a bundle may have.
const _: () = assert!(Receipt::BYTES_MAX < BUNDLE_RECEIPT_BYTES_MAX);
const _: () = assert!((4 + 32 + 2 + 32 + 32 + 8 + 1 + 16) * BUNDLE_RECEIPTS_MAX <= BUNDLE_RECEIPT_BYTES_MAX);

impl Canonical for Bundle {
    const NAME: &'static str = "bundle";
    const BYTES_MAX: usize = 4
        + AppendTree::BYTES_MAX
        + 16
        + 8
        + BUNDLE_RECEIPT_BYTES_MAX
        + 8
        + 32 * SUBTREES_MAX
        + 8
        + 32 * OUTBOX_PATH_MAX
        + 8
        + SetLink::BYTES_MAX * BUNDLE_LINKS_MAX
        + CertifiedResult::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.before.check("bundle.before.peaks")?;
        check_count("bundle.sets", self.sets.len(), 0, BUNDLE_LINKS_MAX)?;
        self.sets.iter().try_for_each(SetLink::check)?;
        let least = usize::from(self.sets.is_empty());
        check_count("bundle.receipts", self.receipts.len(), least, BUNDLE_RECEIPTS_MAX)?;
        self.receipts.iter().try_for_each(Canonical::check)?;
        let bytes =
            self.receipts.iter().fold(0, |bytes: usize, receipt| bytes.saturating_add(bytes_of(receipt)));
        check_count("bundle.receipts (bytes)", bytes, 0, BUNDLE_RECEIPT_BYTES_MAX)?;
        if self.receipts.is_empty() {
            // Nothing is said of the outbox then, in one form.
            let said = u128::from(self.before.count) | self.total_before;
            check_range("bundle.before (zero without receipts)", u64::from(said != 0), 0, 0)?;
            let hashes = self.after.len().saturating_add(self.path.len());
            check_count("bundle.after and bundle.path (empty without receipts)", hashes, 0, 0)?;
        }
        check_count("bundle.after", self.after.len(), 0, SUBTREES_MAX)?;
        check_count("bundle.path", self.path.len(), 0, OUTBOX_PATH_MAX)?;
        self.certified.check()
    }
}
