//! Weight: what an item costs the network, in units of about the CPU time that one byte of a payment takes. What is paid and what fits
//! into a block is measured by it.
//!
//! It is known before execution, from the item alone, and the same for everybody: bytes are spread, stored and hashed; signatures are
//! checked; records are read, written and hashed up two trees; a change copies the registry.
//!
//! The constants are fitted to what `market weight` measures (`docs/fees.md`, Weight): a unit takes a node about 35 ns, and every kind
//! of item between 0.75 and 1.33 times what it takes in a payment to one payee. So a full block takes about the same time whatever it
//! holds. A signature weighs somewhat more than where it was measured, for processors without wide vectors.

use crate::proofs::finality::CERTIFICATE_BYTES_MAX;
use crate::records::batch::BATCH_WEIGHT_MAX;
use crate::records::block::BLOCK_BUNDLES_WEIGHT_MAX;
use crate::records::bundle::{BUNDLE_LINKS_MAX, BUNDLE_RECEIPTS_MAX};
use crate::records::change::CHANGES_MAX;
use crate::records::operation::{OPENINGS_MAX, PAYMENTS_MAX};
use crate::records::policy::POLICY_KEYS_MAX;
use crate::records::transaction::TRANSACTION_BYTES_MAX;
use crate::records::{Batch, Bundle, Change, Operation, Receipt, Transaction, TransactionContent};
use crate::values::Canonical;
use crate::values::quorum::VALIDATORS_MAX;

/// Of a transaction by itself: its way through pool, batch, index and outcome.
pub const TRANSACTION_WEIGHT: u64 = 100;
/// Of a signature with its share of a batched check.
pub const SIGNATURE_WEIGHT: u64 = 230;
/// Of a signature that is checked alone: an approval of a proposal, a vote under a certificate, the seal of a batch.
pub const LONE_SIGNATURE_WEIGHT: u64 = 650;
/// Of a record that is read, and perhaps written, with its share of both trees and of what is stored.
pub const RECORD_WEIGHT: u64 = 180;
/// Of what a receipt does to one record, above its bytes.
pub const RECEIPT_WEIGHT: u64 = 180;
/// Of a batch without its transactions: a digest and a seal.
pub const BATCH_HEADER_WEIGHT: u64 = 1_000;
/// Of a change of the registry, in a proposal or in a receipt. (What it costs to tell many chains is bounded by
/// [`super::apply::BLOCK_SENT_MAX`] and [`super::govern::BLOCK_APPROVALS_MAX`] instead: nobody knows their number from the item alone.)
pub const CHANGE_WEIGHT: u64 = 400;

/// Encoded length of a signature of a policy.
const SIGNATURE_BYTES: u64 = 1 + 64;
/// Encoded length of the two counts before the signatures.
const COUNTS_BYTES: u64 = 8 + 8;
/// Encoded length of a vote in a certificate, which has less than one of them besides.
const VOTE_BYTES: usize = 64;

/// Two of the heaviest transactions fit a batch, so a sealer that stops before its bound never stops for one alone.
const _: () = assert!(
    2 * (TRANSACTION_WEIGHT
        + TRANSACTION_BYTES_MAX as u64
        + SIGNATURE_WEIGHT * 2 * POLICY_KEYS_MAX as u64
        + LONE_SIGNATURE_WEIGHT * VALIDATORS_MAX as u64
        + RECORD_WEIGHT * (3 + PAYMENTS_MAX + OPENINGS_MAX) as u64
        + CHANGE_WEIGHT * CHANGES_MAX as u64)
        + BATCH_HEADER_WEIGHT
        < BATCH_WEIGHT_MAX
);
/// Any bundle fits a block.
const _: () = assert!(
    Bundle::BYTES_MAX as u64
        + LONE_SIGNATURE_WEIGHT * ((1 + BUNDLE_LINKS_MAX) * (CERTIFICATE_BYTES_MAX / VOTE_BYTES)) as u64
        + (2 * RECEIPT_WEIGHT + CHANGE_WEIGHT) * BUNDLE_RECEIPTS_MAX as u64
        <= BLOCK_BUNDLES_WEIGHT_MAX
);

/// The weight of a signed transaction: its bytes, its signatures (the sponsor's among them), the records that it may touch, and the
/// approvals and changes of a proposal.
#[must_use]
pub fn transaction_weight(transaction: &Transaction) -> u64 {
    weight_of(transaction, wincode::serialized_size(transaction).unwrap_or(u64::MAX))
}

/// The same where the encoded length is known.
pub(super) fn weight_of(transaction: &Transaction, bytes: u64) -> u64 {
    let signatures = transaction.signatures.len().saturating_add(transaction.sponsor_signatures.len());
    weight(&transaction.content, bytes, count(signatures))
}

/// The weight of content that is not signed yet: its policies' thresholds say how many signatures will come.
#[must_use]
pub fn content_weight(content: &TransactionContent) -> u64 {
    let sponsor = content.fee.sponsor.as_ref().map_or(0, |sponsor| sponsor.policy.threshold);
    let signatures = u64::from(content.policy.threshold).saturating_add(u64::from(sponsor));
    let bytes = wincode::serialized_size(content).unwrap_or(u64::MAX);
    let bytes = bytes.saturating_add(COUNTS_BYTES).saturating_add(signatures.saturating_mul(SIGNATURE_BYTES));
    weight(content, bytes, signatures)
}

/// The weight of a batch: its header's and its transactions'.
#[must_use]
pub fn batch_weight(batch: &Batch) -> u64 {
    let transactions = batch.content.transactions.iter().map(transaction_weight);
    transactions.fold(BATCH_HEADER_WEIGHT, u64::saturating_add)
}

/// The weight of a bundle: its bytes, the votes under its certificates, and its receipts.
#[must_use]
pub fn bundle_weight(bundle: &Bundle) -> u64 {
    let bytes = wincode::serialized_size(bundle).unwrap_or(u64::MAX);
    let votes = votes_of(bundle).saturating_mul(LONE_SIGNATURE_WEIGHT);
    bundle.receipts.iter().map(receipt_weight).fold(bytes.saturating_add(votes), u64::saturating_add)
}

/// Signatures under the certificates of a bundle: as many as their bytes can hold.
fn votes_of(bundle: &Bundle) -> u64 {
    let links = bundle.sets.iter().map(|link| &link.certified);
    let certificates = links.chain([&bundle.certified]);
    let votes = certificates.map(|certified| count(certified.finality.bytes.len() / VOTE_BYTES));
    votes.fold(0, u64::saturating_add)
}

/// What a receipt does, above its bytes.
fn receipt_weight(receipt: &Receipt) -> u64 {
    match receipt {
        // A wallet, or a mark.
        Receipt::Credit { .. }
        | Receipt::Refund { .. }
        | Receipt::Withdrawal { .. }
        | Receipt::Keep { .. }
        | Receipt::End {}
        | Receipt::Report { .. } => RECEIPT_WEIGHT,
        // A name besides, or a wallet and a lock.
        Receipt::Offer { .. } | Receipt::Decision { .. } | Receipt::Move { .. } => {
            RECEIPT_WEIGHT.saturating_mul(2)
        }
        Receipt::Change { .. } => CHANGE_WEIGHT,
    }
}

fn weight(content: &TransactionContent, bytes: u64, signatures: u64) -> u64 {
    let (approvals, changes) = match &content.operation {
        Operation::Govern { proposal, approvals } => (count(approvals.len()), count(proposal.changes.len())),
        _ => (0, 0),
    };
    let parts = [
        (signatures, SIGNATURE_WEIGHT),
        (approvals, LONE_SIGNATURE_WEIGHT),
        (records_touched(content), RECORD_WEIGHT),
        (changes, CHANGE_WEIGHT),
    ];
    let parts = parts.map(|(count, weight)| count.saturating_mul(weight));
    parts.into_iter().fold(bytes.saturating_add(TRANSACTION_WEIGHT), u64::saturating_add)
}

/// How many records it may touch, at most: the signer's wallet, the sponsor's, that of the tip's operator, and the operation's.
#[must_use]
pub fn records_touched(content: &TransactionContent) -> u64 {
    let parties = 1_usize
        .saturating_add(usize::from(content.fee.sponsor.is_some()))
        .saturating_add(usize::from(!content.fee.tip.is_zero()));
    let others = match &content.operation {
        Operation::Pay { payments } => payments.len(),
        Operation::OpenWallets { wallets } => wallets.len(),
        Operation::Claim { .. } | Operation::Decline { .. } | Operation::Withdraw { .. } => 1,
        Operation::Lock { .. } | Operation::Exchange { .. } | Operation::Accept { .. } => 2,
        // Both wallets of an `Issue` are operators' own: one of few, which a block writes once however often they are named.
        Operation::Issue { .. } | Operation::Redeem { .. } => 0,
        // The wallets of operators that are admitted or given fees.
        Operation::Govern { proposal, .. } => {
            let touches =
                |change: &&Change| matches!(change, Change::AddOperator(_) | Change::SpendFees { .. });
            proposal.changes.iter().filter(touches).count()
        }
    };
    count(parties.saturating_add(others))
}

fn count(entries: usize) -> u64 {
    u64::try_from(entries).unwrap_or(u64::MAX)
}
