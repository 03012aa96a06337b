//! Deadlines that have passed: the ledger itself gives a hash lock's money back and cancels an offer, after the block's transactions
//! and receipts. Whether a deadline has passed is known before the block: [`StateHead::overdue_before`]. So a block that both claims
//! and expires a lock cannot be: what is overdue is expired for every guard.
//!
//! [`StateHead::overdue_before`]: crate::state::StateHead::overdue_before

use super::apply::Working;
use crate::records::lock::{expired_hash, expiry_id};
use crate::records::outcome::APPLIED;
use crate::records::{LockState, MovementKind, OfferState, Outcome, Record, Rejection};
use crate::state::expiries::Pending;
use crate::values::Amount;

/// Ends one overdue lock or offer; `index` is its position among all that the block executes. `None` where the block has ended it
/// before: declined or withdrawn.
pub(super) fn expire(working: &mut Working<'_>, pending: &Pending, index: u32) -> Option<Outcome> {
    let place = working.overlay.place(pending.id.into())?;
    match working.overlay.record(place)?.clone() {
        Record::Lock(lock) if lock.state == LockState::Open => {
            working.close_lock(place, LockState::Returned { code: Rejection::LockExpired.code() });
            working.give((index, 0), lock.payer, MovementKind::Returned, lock.payee, lock.amount);
        }
        Record::Offer(offer) if offer.state == OfferState::Open => {
            working.decide(place, OfferState::Cancelled { code: Rejection::OfferExpired.code() });
        }
        _ => return None,
    }
    let id = expiry_id(working.rules.genesis, working.rules.chain, pending.id);
    let transaction = expired_hash(working.overlay.record(place)?);
    Some(Outcome { id, transaction, index, code: APPLIED, fee: Amount::ZERO })
}
