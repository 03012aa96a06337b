//! Legs whose end is on chains that the node of the payer does not host: a node that does is asked for their receipts.
//!
//! What it says is that node's word, as everything that is not a proof: the proof is under the path that the leg then has, on that node.

use super::{Client, ClientError};
use crate::leg::{HopView, LegState, LegView};
use crate::transaction::{TransactionState, TransactionStatus};

/// Chains that a receipt is followed to.
pub const HOPS_MAX: usize = 8;

impl Client {
    /// Follows the legs of a payment, that another node gave, from where that node does not see them: to where they are credited or
    /// refused, as far as this node hosts those chains. What it does not know of stays as it is.
    ///
    /// # Errors
    /// [`ClientError`] when the node cannot be asked.
    pub async fn follow_legs(&self, status: &mut TransactionStatus) -> Result<(), ClientError> {
        for leg in status.legs.iter_mut().filter(|leg| leg.ask.is_some()) {
            for _ in 0..HOPS_MAX {
                let Some(hop) = leg.last() else { break };
                if !follow(leg, &self.transaction(hop.receipt).await?) {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Takes up what became of the last receipt of a leg; answers whether it was sent on again.
fn follow(leg: &mut LegView, receipt: &TransactionStatus) -> bool {
    let is_refund = leg.refund.is_some();
    if let Some(hop) = receipt.sent_on {
        let hops: &mut Vec<HopView> = if is_refund { &mut leg.refund_sent_on } else { &mut leg.sent_on };
        hops.push(hop);
        return hops.len() < HOPS_MAX;
    }
    let is_executed = matches!(receipt.status, TransactionState::Final | TransactionState::Certified);
    let Some(outcome) = receipt.outcome.clone().filter(|_| is_executed) else { return false };
    // Seen now: it waits for its certificate there, or for the refund at the payer's chain.
    leg.ask = leg.ask.take().filter(|_| !receipt.is_certified);
    if outcome.is_applied || is_refund {
        leg.status = if is_refund { LegState::Refunded } else { LegState::Credited };
        leg.is_certified = receipt.is_certified;
        leg.proof.clone_from(&receipt.proof);
    } else {
        leg.refusal = Some(outcome);
    }
    false
}

#[cfg(test)]
mod tests {
    use ledger::records::Rejection;
    use ledger::values::{ChainId, Currency, Money, TransactionId, WalletId};

    use super::*;
    use crate::transaction::OutcomeView;

    fn leg() -> LegView {
        let money = Money::from_fen(250, Currency(*b"CNY"));
        let leg = LegView::debited(0, WalletId([2; 32]), money, ChainId(1), TransactionId([3; 32]));
        LegView { is_certified: true, ask: Some("chain 1 is hosted by others".to_owned()), ..leg }
    }

    fn told(code: u16, is_certified: bool) -> TransactionStatus {
        let state = if is_certified { TransactionState::Certified } else { TransactionState::Final };
        let status = TransactionStatus::without_position(TransactionId([9; 32]), state, None);
        TransactionStatus { outcome: Some(OutcomeView::from_code(code)), is_certified, ..status }
    }

    #[test]
    fn a_leg_is_followed_to_its_last_chain() {
        let mut leg = leg();
        let unknown =
            TransactionStatus::without_position(TransactionId([9; 32]), TransactionState::Unknown, None);
        let before = leg.clone();
        assert!(!follow(&mut leg, &unknown) && leg == before, "not there yet");
        let hop = HopView { chain: 2, receipt: TransactionId([4; 32]) };
        let sent_on = TransactionStatus { sent_on: Some(hop), ..told(Rejection::SentOn.code(), true) };
        assert!(follow(&mut leg, &sent_on));
        assert_eq!((leg.last(), leg.status), (Some(hop), LegState::Debited));
        let mut refused = leg.clone();
        assert!(!follow(&mut leg, &told(0, false)));
        assert_eq!((leg.status, leg.is_over(), leg.ask.is_some()), (LegState::Credited, false, true));
        assert!(!follow(&mut leg, &told(0, true)) && leg.is_over() && leg.ask.is_none());

        assert!(!follow(&mut refused, &told(206, true)));
        assert_eq!((refused.status, refused.ask.clone()), (LegState::Debited, None), "it comes back");
        assert_eq!(refused.refusal.as_ref().map(|why| why.code), Some(206));
        // It came back to a payer who has moved.
        refused.refund = Some(TransactionId([5; 32]));
        assert_eq!(refused.last(), None);
        refused.refund_sent_on.push(HopView { chain: 3, receipt: TransactionId([6; 32]) });
        assert!(!follow(&mut refused, &told(0, true)));
        assert_eq!((refused.status, refused.is_over()), (LegState::Refunded, true));
    }

    #[test]
    fn a_way_that_never_ends_is_left() {
        let mut leg = leg();
        let hop = HopView { chain: 2, receipt: TransactionId([4; 32]) };
        let sent_on = TransactionStatus { sent_on: Some(hop), ..told(Rejection::SentOn.code(), true) };
        let followed = (0..HOPS_MAX).take_while(|_| follow(&mut leg, &sent_on)).count();
        assert_eq!((followed, leg.sent_on.len()), (HOPS_MAX - 1, HOPS_MAX));
    }
}
