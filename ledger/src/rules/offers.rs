//! Receipts of an exchange: the offer and its withdrawal where it is decided, the decision where the money is locked.
//!
//! | receipt | refused with, by code | otherwise |
//! | --- | --- | --- |
//! | offer | 514, 515, 516, 529, 532, 534: no record is made, the decision goes back at once | it waits, open |
//! | withdrawal | 525 unknown, 528 decided before: nothing changes | the offer is cancelled, the decision goes back |
//! | decision | 517, 518, 521, 527: nothing changes, as only a dishonest chain sends such | payee or payer is credited, never refused |

use super::apply::Working;
use super::lock::LOCK_TTL_MS_MAX;
use crate::records::{
    LockKind, LockState, MovementKind, OfferRecord, OfferState, Receipt, Record, Rejection,
};
use crate::state::shares::Share;
use crate::values::{ChainId, LockId, WalletId};

/// Takes in an offer.
///
/// # Errors
/// Why it cannot stand; the decision has been sent then.
pub(super) fn receive_offer(working: &mut Working<'_>, mut offer: OfferRecord) -> Result<(), Rejection> {
    if let Some(rejection) = refusal(working, &offer) {
        // The outcome of the receipt says as much as a record would, and nobody pays for one that stays for ever.
        offer.state = OfferState::Cancelled { code: rejection.code() };
        working.send(offer.source, decision(&offer));
        return Err(rejection);
    }
    // ---- nothing below this line can fail ----
    let share = Share::Offers(offer.source);
    working.open.add(share);
    working.made.add(share);
    let _place = working.overlay.open(Record::Offer(offer));
    Ok(())
}

fn refusal(working: &Working<'_>, offer: &OfferRecord) -> Option<Rejection> {
    // Twice what the source allows, as its clock may be another.
    let latest = working.now.0.saturating_add(LOCK_TTL_MS_MAX.saturating_mul(2));
    if offer.deadline.0 > latest {
        return Some(Rejection::DeadlineTooFar);
    }
    if !working.may_open(Share::Offers(offer.source)) {
        return Some(Rejection::TooManyOpen);
    }
    if working.overlay.place(offer.id.into()).is_some() {
        return Some(Rejection::LockExists);
    }
    if working.is_overdue(offer.deadline) {
        return Some(Rejection::OfferExpired);
    }
    if working.overlay.find(&offer.asked.payer).is_none() {
        return Some(Rejection::AskedPayerUnknown);
    }
    working.check_stays([offer.asked.payer, offer.asked.payee]).err()
}

/// What the lock's chain is told about an offer that is not open.
pub(super) fn decision(offer: &OfferRecord) -> Receipt {
    let (settled, code) = match offer.state {
        OfferState::Accepted => (true, 0),
        OfferState::Cancelled { code } => (false, code),
        // Never sent: nothing is decided yet.
        OfferState::Open => (false, 0),
    };
    Receipt::Decision { lock: offer.id, payer: offer.payer, payee: offer.payee, settled, code }
}

/// Cancels an offer for its payer.
///
/// # Errors
/// Why not.
pub(super) fn receive_withdrawal(
    working: &mut Working<'_>,
    source: ChainId,
    lock: LockId,
) -> Result<(), Rejection> {
    let found = working.overlay.find_offer(lock).filter(|(_, offer)| offer.source == source);
    let (place, offer) = found.ok_or(Rejection::OfferUnknown)?;
    if offer.state != OfferState::Open {
        return Err(Rejection::OfferNotOpen);
    }
    // ---- nothing below this line can fail ----
    working.decide(place, OfferState::Cancelled { code: Rejection::OfferWithdrawn.code() });
    Ok(())
}

/// Resolves a lock as the deciding chain says; `refused` is why it was not settled.
///
/// # Errors
/// Why this decision is not about an open lock of this chain.
pub(super) fn receive_decision(
    working: &mut Working<'_>,
    source: ChainId,
    id: LockId,
    (payer, payee): (WalletId, WalletId),
    refused: Option<u16>,
    index: u32,
) -> Result<(), Rejection> {
    let (place, lock) = working.overlay.find_lock(id).ok_or(Rejection::LockUnknown)?;
    if !matches!(lock.kind, LockKind::Exchange { chain, .. } if chain == source) {
        return Err(Rejection::LockKindOther);
    }
    if lock.state != LockState::Open {
        return Err(Rejection::LockNotOpen);
    }
    // Their wallets were read by these names.
    if (lock.payer, lock.payee) != (payer, payee) {
        return Err(Rejection::OfferDiffers);
    }
    let amount = lock.amount;
    // ---- nothing below this line can fail ----
    let at = (index, 0);
    if let Some(code) = refused {
        working.close_lock(place, LockState::Returned { code });
        working.give(at, payer, MovementKind::Returned, payee, amount);
    } else {
        working.close_lock(place, LockState::Settled { preimage: None });
        working.give(at, payee, MovementKind::Settled, payer, amount);
    }
    Ok(())
}
