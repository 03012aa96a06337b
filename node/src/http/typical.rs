//! What a typical transaction weighs, for whoever asks for a fee before there is one: the weight that the ledger gives to sample content of
//! that shape, signed with one key, without a sponsor, with a tip. Bytes are fixed-width, so amounts and ids do not matter.

use api::fees::{FeeQuery, OperationName};
use ledger::records::batch::BATCH_WEIGHT_MAX;
use ledger::records::operation::{OPENINGS_MAX, PAYMENTS_MAX};
use ledger::records::{
    Asked, FeeBid, Nonce, Operation, Payment, Policy, Tier, TransactionContent, WalletOpening,
};
use ledger::rules::content_weight;
use ledger::values::{Amount, ChainId, LockId, OperatorId, PolicyHash, PublicKey, TimestampMs, WalletId};

use super::refusal::Refusal;

/// The weight that a question is about.
///
/// # Errors
/// The parameter that is out of bounds, or that does not belong to the others.
pub(crate) fn weight_of(query: &FeeQuery) -> Result<u64, Refusal> {
    let of_other = |name: &str| Refusal::parameter(name, "it belongs to another operation");
    if let Some(weight) = query.weight {
        if query.operation.is_some() {
            return Err(Refusal::parameter("operation", "its weight is given"));
        }
        if query.payments.is_some() {
            return Err(of_other("payments"));
        }
        if query.wallets.is_some() {
            return Err(of_other("wallets"));
        }
        if weight == 0 || weight > BATCH_WEIGHT_MAX {
            let reason = format_args!("{weight}; 1 to {BATCH_WEIGHT_MAX} are allowed");
            return Err(Refusal::parameter("weight", reason));
        }
        return Ok(weight);
    }
    let operation = query.operation.unwrap_or(OperationName::Pay);
    if operation != OperationName::Pay && query.payments.is_some() {
        return Err(of_other("payments"));
    }
    if operation != OperationName::OpenWallets && query.wallets.is_some() {
        return Err(of_other("wallets"));
    }
    let payments = count("payments", query.payments, PAYMENTS_MAX)?;
    let wallets = count("wallets", query.wallets, OPENINGS_MAX)?;
    Ok(content_weight(&sample(operation, payments, wallets)))
}

fn count(name: &str, asked: Option<u32>, max: usize) -> Result<usize, Refusal> {
    let count = asked.map_or(1, |count| usize::try_from(count).unwrap_or(usize::MAX));
    if count == 0 || count > max {
        return Err(Refusal::parameter(name, format_args!("{count}; 1 to {max} are allowed")));
    }
    Ok(count)
}

/// Content of a shape. What it says is of no matter: it is weighed and never signed.
fn sample(operation: OperationName, payments: usize, wallets: usize) -> TransactionContent {
    let (other, amount, lock) = (WalletId([1; 32]), Amount::from_fen(1), LockId([1; 32]));
    let (chain, deadline) = (ChainId(1), TimestampMs(1));
    let operation = match operation {
        OperationName::Pay => Operation::Pay { payments: vec![Payment { payee: other, amount }; payments] },
        OperationName::OpenWallets => {
            let opening = WalletOpening { policy: PolicyHash([1; 32]), salt: [1; 16], tier: Tier::Two };
            Operation::OpenWallets { wallets: vec![opening; wallets] }
        }
        OperationName::Issue => Operation::Issue { to: other, amount },
        OperationName::Redeem => Operation::Redeem { amount },
        OperationName::Lock => Operation::Lock { payee: other, amount, hash: [1; 32], deadline },
        OperationName::Claim => Operation::Claim { lock, preimage: [1; 32] },
        OperationName::Exchange => {
            let asked = Asked { payer: other, payee: other, amount };
            Operation::Exchange { payee: other, amount, chain, asked, deadline }
        }
        OperationName::Accept => {
            let (payee, receives) = (other, amount);
            Operation::Accept { offer: lock, payee, amount, receives, source: chain, to: other }
        }
        OperationName::Decline => Operation::Decline { offer: lock },
        OperationName::Withdraw => Operation::Withdraw { lock },
    };
    TransactionContent {
        network: [0; 4],
        chain: ChainId(0),
        wallet: WalletId([0; 32]),
        nonce: Nonce { lane: 0, sequence: 1 },
        valid_until: TimestampMs(1),
        fee: FeeBid { fee_max: amount, tip: amount, operator: OperatorId(0), sponsor: None },
        policy: Policy::single(PublicKey([1; 32])),
        operation,
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::Transaction;
    use ledger::rules::transaction_weight;
    use ledger::values::{Canonical as _, GenesisHash, SecretKey};

    use super::*;

    #[test]
    fn a_shape_weighs_what_a_signed_transaction_of_that_shape_weighs() {
        let secret = SecretKey::from_seed([7; 32]);
        for operation in OperationName::ALL {
            let query = FeeQuery { operation: Some(operation), ..FeeQuery::default() };
            let mut content = sample(operation, 1, 1);
            content.policy = Policy::single(secret.public_key());
            let signed: Transaction = content.signed_by(GenesisHash([1; 32]), &secret);
            assert!(signed.check().is_ok(), "{operation:?}");
            assert_eq!(weight_of(&query), Ok(transaction_weight(&signed)), "{operation:?}");
        }
    }

    #[test]
    fn more_payees_weigh_more_and_bounds_are_kept() {
        let of = |payments: Option<u32>| weight_of(&FeeQuery { payments, ..FeeQuery::default() });
        assert_eq!(of(None), of(Some(1)), "one payment unless said");
        assert!(of(Some(64)).unwrap() > of(Some(63)).unwrap());
        let given = FeeQuery { weight: Some(BATCH_WEIGHT_MAX), ..FeeQuery::default() };
        assert_eq!(weight_of(&given), Ok(BATCH_WEIGHT_MAX));
        let (pay, open) = (Some(OperationName::Pay), Some(OperationName::OpenWallets));
        let none = FeeQuery::default();
        for (query, field) in [
            (FeeQuery { payments: Some(0), ..none }, "payments"),
            (FeeQuery { payments: Some(65), ..none }, "payments"),
            (FeeQuery { operation: open, wallets: Some(65), ..none }, "wallets"),
            (FeeQuery { operation: open, payments: Some(1), ..none }, "payments"),
            (FeeQuery { operation: pay, wallets: Some(1), ..none }, "wallets"),
            (FeeQuery { weight: Some(0), ..none }, "weight"),
            (FeeQuery { weight: Some(BATCH_WEIGHT_MAX + 1), ..none }, "weight"),
            (FeeQuery { weight: Some(700), operation: pay, ..none }, "operation"),
            (FeeQuery { weight: Some(700), payments: Some(2), ..none }, "payments"),
            (FeeQuery { weight: Some(700), wallets: Some(2), ..none }, "wallets"),
        ] {
            let refusal = weight_of(&query).unwrap_err();
            assert_eq!((refusal.0.code, refusal.0.field.as_deref()), (1_002, Some(field)), "{query:?}");
        }
    }
}
