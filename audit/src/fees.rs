//! What each transaction is charged, checked beside the ledger: never more than its bid, and never more than the base fee of its block asks
//! for its weight and the tip on top. Less is in order: who is exempt, frozen or cannot pay is not charged, which the ledger decides.

use ledger::records::{Outcome, Transaction};
use ledger::rules::transaction_weight;
use ledger::values::{Amount, FeeRate};

use crate::difference::Finding;

/// Checks the outcomes of a height, in their order, whose block has this base fee and these transactions.
///
/// # Errors
/// [`Finding::Overcharged`] of the first transaction that was charged too much.
pub(crate) fn check_fees<'a>(
    base_fee: FeeRate,
    transactions: impl Iterator<Item = &'a Transaction>,
    outcomes: &[Outcome],
) -> Result<(), Box<Finding>> {
    let mut outcomes = outcomes.iter().peekable();
    for (transaction, index) in transactions.zip(0_u32..) {
        let Some(outcome) = outcomes.next_if(|outcome| outcome.index == index) else { continue };
        // Most are charged nothing, and then nothing has to be weighed.
        if outcome.fee.is_zero() {
            continue;
        }
        let most = most(base_fee, transaction);
        if outcome.fee > most {
            let (transaction, charged) = (outcome.id, outcome.fee);
            return Err(Finding::Overcharged { transaction, base_fee, charged, most }.into());
        }
    }
    Ok(())
}

/// The base fee due and the tip, within the bid.
fn most(base_fee: FeeRate, transaction: &Transaction) -> Amount {
    let (due, bid) = (base_fee.due(transaction_weight(transaction)), &transaction.content.fee);
    due.plus(bid.tip).map_or(bid.fee_max, |most| most.min(bid.fee_max))
}

#[cfg(test)]
mod tests {
    use ledger::records::{FeeBid, Nonce, Operation, Policy, TransactionContent};
    use ledger::values::{
        ChainId, GenesisHash, SecretKey, TimestampMs, TransactionHash, TransactionId, WalletId,
    };

    use super::*;

    const RATE: FeeRate = FeeRate::from_micro_fen(1_000_000);

    fn bid(fee_max: u64, tip: u64) -> Transaction {
        let key = SecretKey::from_seed([1; 32]);
        let content = TransactionContent {
            network: [0; 4],
            chain: ChainId(0),
            wallet: WalletId([1; 32]),
            nonce: Nonce { lane: 0, sequence: 1 },
            valid_until: TimestampMs(1),
            fee: FeeBid {
                fee_max: Amount::from_fen(fee_max),
                tip: Amount::from_fen(tip),
                ..FeeBid::default()
            },
            policy: Policy::single(key.public_key()),
            operation: Operation::Redeem { amount: Amount::from_fen(1) },
        };
        content.signed_by(GenesisHash([0; 32]), &key)
    }

    fn charged(transactions: &[Transaction], fees: &[(u32, u64)]) -> Result<(), Box<Finding>> {
        let outcome = |(index, fee): &(u32, u64)| Outcome {
            id: TransactionId([*index as u8; 32]),
            transaction: TransactionHash::default(),
            index: *index,
            code: 0,
            fee: Amount::from_fen(*fee),
        };
        let outcomes: Vec<Outcome> = fees.iter().map(outcome).collect();
        check_fees(RATE, transactions.iter(), &outcomes)
    }

    #[test]
    fn nobody_is_charged_more_than_due_and_tip_or_than_bid() {
        let weight = transaction_weight(&bid(1, 1));
        let due = RATE.due(weight).fen();
        assert_eq!(due, weight, "a fen for each unit");
        let all = [bid(due + 5, 5), bid(due + 5, 50), bid(due + 500, 5)];
        assert_eq!(charged(&all, &[(0, due + 5), (1, due + 5), (2, due + 5)]), Ok(()));
        assert_eq!(charged(&all, &[(1, 0), (2, 5)]), Ok(()), "the first was not executed");
        assert!(charged(&all, &[(0, due + 6)]).is_err(), "more than was bid");
        assert!(charged(&all, &[(1, due + 6)]).is_err(), "the tip gives way");
        let Err(finding) = charged(&all, &[(2, due + 6)]) else { panic!("more than is due") };
        let (charged, most) = (Amount::from_fen(due + 6), Amount::from_fen(due + 5));
        let transaction = TransactionId([2; 32]);
        assert_eq!(*finding, Finding::Overcharged { transaction, base_fee: RATE, charged, most });
    }
}
