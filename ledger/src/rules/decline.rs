//! `Decline`: the payer that an offer names cancels it.

use super::apply::{Acting, Working};
use crate::records::{OfferState, Rejection};
use crate::values::LockId;

/// Applies a `Decline`. One that is overdue may still be declined: it ends the same way.
///
/// # Errors
/// The first guard that does not hold.
pub fn decline(working: &mut Working<'_>, acting: Acting<'_>, id: LockId) -> Result<(), Rejection> {
    let found = working.overlay.find_offer(id);
    if found.is_some_and(|(_, offer)| !working.has_room(offer.source, 1)) {
        return Err(Rejection::OutboxFull);
    }
    let (place, offer) = found.ok_or(Rejection::OfferUnknown)?;
    if offer.asked.payer != acting.wallet.id {
        return Err(Rejection::SignerNotAskedPayer);
    }
    if offer.state != OfferState::Open {
        return Err(Rejection::OfferNotOpen);
    }
    // ---- nothing below this line can fail ----
    working.decide(place, OfferState::Cancelled { code: Rejection::OfferDeclined.code() });
    Ok(())
}
