//! Weight: what an item costs the network, in units of about the CPU time that one byte of a payment takes. What is paid and what fits
//! into a block is measured by it.
//!
//! It is known before execution, from the item alone, and the same for everybody: bytes are spread, stored and hashed; signatures are
//! checked; records are read, written and hashed up two trees; a proposal copies the registry.

use crate::records::batch::BATCH_WEIGHT_MAX;
use crate::records::bundle::BUNDLE_RECEIPTS_MAX;
use crate::records::operation::{OPENINGS_MAX, PAYMENTS_MAX};
use crate::records::params::BLOCK_WEIGHT_MIN;
use crate::records::policy::POLICY_KEYS_MAX;
use crate::records::transaction::TRANSACTION_BYTES_MAX;
use crate::records::{Batch, Bundle, Change, Operation, Transaction, TransactionContent};
use crate::values::Canonical;
use crate::values::quorum::VALIDATORS_MAX;

/// Of a signature with its share of a batched check, in units.
pub const SIGNATURE_WEIGHT: u64 = 400;
/// Of a record that is read, and perhaps written, in units.
pub const RECORD_WEIGHT: u64 = 60;
/// Of a receipt that is executed, above its bytes, in units.
pub const RECEIPT_WEIGHT: u64 = 300;
/// Of a batch without its transactions, in units.
pub const BATCH_HEADER_WEIGHT: u64 = 400;
/// Of a proposal, above its bytes and approvals, in units.
pub const GOVERN_WEIGHT: u64 = 20_000;

/// Two of the heaviest transactions fit a batch, so a sealer that stops before its bound never stops for one alone.
const _: () = assert!(
    2 * (TRANSACTION_BYTES_MAX as u64
        + SIGNATURE_WEIGHT * (2 * POLICY_KEYS_MAX + VALIDATORS_MAX) as u64
        + RECORD_WEIGHT * (3 + PAYMENTS_MAX + OPENINGS_MAX) as u64
        + GOVERN_WEIGHT)
        + BATCH_HEADER_WEIGHT
        < BATCH_WEIGHT_MAX
);
/// Any bundle fits a block.
const _: () =
    assert!(Bundle::BYTES_MAX as u64 + RECEIPT_WEIGHT * BUNDLE_RECEIPTS_MAX as u64 <= BLOCK_WEIGHT_MIN);

/// Encoded length of a signature of a policy.
const SIGNATURE_BYTES: u64 = 1 + 64;
/// Encoded length of the two counts before the signatures.
const COUNTS_BYTES: u64 = 8 + 8;

/// The weight of a signed transaction: its bytes, its signatures (the sponsor's and the approvals of a proposal among them), and the
/// records that it may touch.
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

/// The weight of a bundle: its bytes and its receipts.
#[must_use]
pub fn bundle_weight(bundle: &Bundle) -> u64 {
    let bytes = wincode::serialized_size(bundle).unwrap_or(u64::MAX);
    bytes.saturating_add(count(bundle.receipts.len()).saturating_mul(RECEIPT_WEIGHT))
}

fn weight(content: &TransactionContent, bytes: u64, signatures: u64) -> u64 {
    let (approvals, govern) = match &content.operation {
        Operation::Govern { approvals, .. } => (count(approvals.len()), GOVERN_WEIGHT),
        _ => (0, 0),
    };
    let signatures = signatures.saturating_add(approvals).saturating_mul(SIGNATURE_WEIGHT);
    let records = records(content).saturating_mul(RECORD_WEIGHT);
    bytes.saturating_add(signatures).saturating_add(records).saturating_add(govern)
}

/// How many records it may touch, at most: the signer's wallet, the sponsor's, that of the tip's operator, and the operation's.
fn records(content: &TransactionContent) -> u64 {
    let parties = 1_usize
        .saturating_add(usize::from(content.fee.sponsor.is_some()))
        .saturating_add(usize::from(!content.fee.tip.is_zero()));
    let others = match &content.operation {
        Operation::Pay { payments } => payments.len(),
        Operation::OpenWallets { wallets } => wallets.len(),
        Operation::Issue { .. }
        | Operation::Claim { .. }
        | Operation::Decline { .. }
        | Operation::Withdraw { .. } => 1,
        Operation::Lock { .. } | Operation::Exchange { .. } | Operation::Accept { .. } => 2,
        Operation::Redeem { .. } => 0,
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
