//! What becomes of each receipt that a height executed (PROTOCOL rules 21, 23 and 25), checked beside the ledger: a credit is credited,
//! or refunded to whoever paid, or sent on with the place that it came from; a refund is given, or sent on as it is. Each leads to one
//! receipt at most, and no two lead to the same one.

use std::collections::BTreeMap;

use ledger::records::outcome::APPLIED;
use ledger::records::{Origin, Receipt, Rejection};
use ledger::state::{ReceivedReceipt, SentReceipt};
use ledger::values::{Amount, ChainId};

use crate::difference::Finding;

/// Checks what a height of `chain` executed against what it sent; `is_sibling` says of the state before it which chains had its currency.
///
/// # Errors
/// [`Finding::Unsettled`] of the first receipt that did not become what it must.
pub(crate) fn check_settled(
    chain: ChainId,
    is_sibling: &dyn Fn(ChainId) -> bool,
    received: &[ReceivedReceipt],
    sent: &[SentReceipt],
) -> Result<(), Box<Finding>> {
    let mut places: BTreeMap<(ChainId, u64), &Receipt> =
        sent.iter().map(|sent| ((sent.destination, sent.sequence), &sent.receipt)).collect();
    // Refusals are answered in their order, so what was sent to a chain is looked through once.
    let mut looked: BTreeMap<ChainId, usize> = BTreeMap::new();
    for receipt in received {
        let successor = successor(chain, is_sibling, receipt);
        let found = match (&successor, receipt.sent_on) {
            (None, None) => continue,
            (None, Some(_)) => return Err(unsettled(receipt, receipt.receipt.value(), None)),
            (Some(_), Some(place)) => places.remove(&place),
            (Some((Some(destination), expected)), None) => {
                let from = looked.entry(*destination).or_default();
                let is_it =
                    |sent: &SentReceipt| sent.destination == *destination && sent.receipt == *expected;
                let rest = sent.get(*from..).unwrap_or_default();
                let place = rest.iter().position(is_it);
                *from = place.map_or(sent.len(), |place| from.saturating_add(place).saturating_add(1));
                place.and_then(|place| rest.get(place)).map(|sent| &sent.receipt)
            }
            (Some((None, _)), None) => None,
        };
        let Some((_, expected)) = successor else { continue };
        if found != Some(&expected) {
            return Err(unsettled(receipt, expected.value(), found.map(Receipt::value)));
        }
    }
    Ok(())
}

fn unsettled(received: &ReceivedReceipt, expected: Amount, found: Option<Amount>) -> Box<Finding> {
    let (source_chain, sequence, code) = (received.source, received.sequence, received.code);
    Finding::Unsettled { source_chain, sequence, code, expected, found }.into()
}

/// The receipt that must follow, and to which chain, where the rules leave no choice.
fn successor(
    chain: ChainId,
    is_sibling: &dyn Fn(ChainId) -> bool,
    received: &ReceivedReceipt,
) -> Option<(Option<ChainId>, Receipt)> {
    let is_sent_on = received.sent_on.is_some() || received.code == Rejection::SentOn.code();
    let here = Origin { source: received.source, destination: chain, sequence: received.sequence };
    match &received.receipt {
        Receipt::Credit { transaction, part, payer, payee, amount, origin } if is_sent_on => {
            let (transaction, part, payer, payee, amount) = (*transaction, *part, *payer, *payee, *amount);
            let origin = Some(origin.unwrap_or(here));
            Some((None, Receipt::Credit { transaction, part, payer, payee, amount, origin }))
        }
        Receipt::Credit { payer, payee, amount, origin, .. } if received.code != APPLIED => {
            let Origin { source, destination, sequence } = origin.unwrap_or(here);
            let refund = Receipt::Refund {
                chain: destination,
                credit: sequence,
                payer: *payer,
                payee: *payee,
                amount: *amount,
                code: received.code,
            };
            // Nobody pays on a chain of another currency: whoever sent the credit on has it back.
            let source = if is_sibling(source) { source } else { received.source };
            // What came from here is given at once.
            (source != chain).then_some((Some(source), refund))
        }
        refund @ Receipt::Refund { .. } if is_sent_on => Some((None, refund.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ledger::values::{TransactionId, WalletId};

    use super::*;

    const HERE: ChainId = ChainId(1);

    fn credit(fen: u64, origin: Option<Origin>) -> Receipt {
        Receipt::Credit {
            transaction: TransactionId([1; 32]),
            part: 0,
            payer: WalletId([2; 32]),
            payee: WalletId([3; 32]),
            amount: Amount::from_fen(fen),
            origin,
        }
    }

    fn refund(chain: u32, credit: u64, fen: u64) -> Receipt {
        Receipt::Refund {
            chain: ChainId(chain),
            credit,
            payer: WalletId([2; 32]),
            payee: WalletId([3; 32]),
            amount: Amount::from_fen(fen),
            code: Rejection::PayeeUnknown.code(),
        }
    }

    fn received(receipt: Receipt, code: u16, sent_on: Option<(ChainId, u64)>) -> ReceivedReceipt {
        ReceivedReceipt { source: ChainId(0), sequence: 7, receipt, code, sent_on }
    }

    fn sent(chain: u32, sequence: u64, receipt: Receipt) -> SentReceipt {
        SentReceipt { destination: ChainId(chain), sequence, receipt }
    }

    fn finding(received: &[ReceivedReceipt], sent: &[SentReceipt]) -> (u64, Option<u64>) {
        match check_settled(HERE, &|_| true, received, sent).map_err(|finding| *finding) {
            Err(Finding::Unsettled { expected, found, .. }) => (expected.fen(), found.map(Amount::fen)),
            other => panic!("expected a finding, found {other:?}"),
        }
    }

    #[test]
    fn a_credit_that_is_sent_on_keeps_the_place_that_it_came_from() {
        let (code, first) = (Rejection::SentOn.code(), (ChainId(2), 4));
        let here = Origin { source: ChainId(0), destination: HERE, sequence: 7 };
        let arrived = [received(credit(50, None), code, Some(first))];
        assert_eq!(check_settled(HERE, &|_| true, &arrived, &[sent(2, 4, credit(50, Some(here)))]), Ok(()));
        // Somebody else's place, another amount, none at all.
        let other = Origin { sequence: 8, ..here };
        assert_eq!(finding(&arrived, &[sent(2, 4, credit(50, Some(other)))]), (50, Some(50)));
        assert_eq!(finding(&arrived, &[sent(2, 4, credit(51, Some(here)))]), (50, Some(51)));
        assert_eq!(finding(&arrived, &[sent(2, 5, credit(50, Some(here)))]), (50, None));
        // On the second leg the first place stays.
        let twice = [received(credit(50, Some(other)), code, Some(first))];
        assert_eq!(check_settled(HERE, &|_| true, &twice, &[sent(2, 4, credit(50, Some(other)))]), Ok(()));
        assert_eq!(finding(&twice, &[sent(2, 4, credit(50, Some(here)))]), (50, Some(50)));
    }

    #[test]
    fn a_refused_credit_comes_back_to_where_it_was_paid_and_once() {
        let code = Rejection::PayeeUnknown.code();
        let arrived = [received(credit(50, None), code, None)];
        assert_eq!(check_settled(HERE, &|_| true, &arrived, &[sent(0, 3, refund(1, 7, 50))]), Ok(()));
        assert_eq!(finding(&arrived, &[sent(0, 3, refund(1, 7, 49))]), (50, None));
        assert_eq!(finding(&arrived, &[]), (50, None));
        let origin = Origin { source: ChainId(5), destination: ChainId(6), sequence: 9 };
        let passed = [received(credit(50, Some(origin)), code, None)];
        assert_eq!(check_settled(HERE, &|_| true, &passed, &[sent(5, 0, refund(6, 9, 50))]), Ok(()));
        assert_eq!(finding(&passed, &[sent(0, 0, refund(6, 9, 50))]), (50, None));
        // No chain of the currency: back to whoever sent it on.
        let settle = |sent: &[SentReceipt]| check_settled(HERE, &|chain| chain != ChainId(5), &passed, sent);
        assert_eq!(settle(&[sent(0, 0, refund(6, 9, 50))]), Ok(()));
        assert!(settle(&[sent(5, 0, refund(6, 9, 50))]).is_err());
        // One of this chain's own that came around is given at once.
        let own = Origin { source: HERE, ..origin };
        assert_eq!(
            check_settled(HERE, &|_| true, &[received(credit(50, Some(own)), code, None)], &[]),
            Ok(())
        );
        // Two that were refused need two refunds.
        let both = [arrived[0].clone(), arrived[0].clone()];
        assert_eq!(finding(&both, &[sent(0, 3, refund(1, 7, 50))]), (50, None));
    }

    #[test]
    fn a_refund_is_sent_on_as_it_is() {
        let code = Rejection::SentOn.code();
        let arrived = [received(refund(2, 4, 30), code, Some((ChainId(3), 0)))];
        assert_eq!(check_settled(HERE, &|_| true, &arrived, &[sent(3, 0, refund(2, 4, 30))]), Ok(()));
        assert_eq!(finding(&arrived, &[sent(3, 0, refund(2, 5, 30))]), (30, Some(30)));
        let taken = [arrived[0].clone(), arrived[0].clone()];
        assert_eq!(finding(&taken, &[sent(3, 0, refund(2, 4, 30))]), (30, None));
        assert_eq!(check_settled(HERE, &|_| true, &[received(refund(2, 4, 30), APPLIED, None)], &[]), Ok(()));
    }
}
