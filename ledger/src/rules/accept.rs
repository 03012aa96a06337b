//! `Accept`: the payer that an offer names pays what is asked, and this chain decides that the lock is settled. Payment and decision
//! are one step, so either both halves of an exchange happen or neither.

use super::apply::{Acting, Working};
use super::lock::afford;
use crate::records::{MovementKind, OfferState, Rejection};
use crate::values::{Amount, ChainId, LockId, WalletId};

/// Applies an `Accept` of `offer`: `payee` is paid `amount`; the lock, on chain `source`, holds `receives` for `to`.
///
/// # Errors
/// The first guard that does not hold. The offer stays open.
pub fn accept(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    id: LockId,
    (payee, amount): (WalletId, Amount),
    (source, to, receives): (ChainId, WalletId, Amount),
) -> Result<(), Rejection> {
    let payer_after = afford(working, acting, payee, amount)?;
    let payee_place = working.overlay.find(&payee).ok_or(Rejection::PayeeUnknown)?;
    let wallet = working.overlay.wallet(payee_place).ok_or(Rejection::PayeeUnknown)?;
    let balance_max = working.rules.params.tier(wallet.tier).balance_max;
    let payee_after = wallet.balance.plus(amount).filter(|balance| *balance <= balance_max);
    let payee_after = payee_after.ok_or(Rejection::PayeeBalanceAboveTierLimit)?;
    let found = working.overlay.find_offer(id);
    if found.is_some_and(|(_, offer)| !working.has_room(offer.source, 1)) {
        return Err(Rejection::OutboxFull);
    }
    let (place, offer) = found.ok_or(Rejection::OfferUnknown)?;
    if offer.asked.payer != acting.wallet.id {
        return Err(Rejection::SignerNotAskedPayer);
    }
    let is_paid = (offer.asked.payee, offer.asked.amount) == (payee, amount);
    if !is_paid || (offer.source, offer.payee, offer.amount) != (source, to, receives) {
        return Err(Rejection::OfferDiffers);
    }
    if offer.state != OfferState::Open {
        return Err(Rejection::OfferNotOpen);
    }
    if working.is_overdue(offer.deadline) {
        return Err(Rejection::OfferExpired);
    }
    // ---- nothing below this line can fail ----
    let at = (acting.index, 0);
    working.set_balance(acting.signer, payer_after);
    working.set_balance(payee_place, payee_after);
    working.note(at, acting.signer, MovementKind::Paid, payee, amount);
    working.note(at, payee_place, MovementKind::Received, acting.wallet.id, amount);
    working.decide(place, OfferState::Accepted);
    Ok(())
}
