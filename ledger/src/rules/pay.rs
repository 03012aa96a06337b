//! `Pay`: 1 to 64 payments from the signer, all or none. Each guard looks at every payment before the next
//! guard runs.
//!
//! A payee that is on another chain, at home there or moved, is paid by a receipt: the debit happens here, with all others or not at all; the credit happens there, or
//! comes back as a refund ([`super::receive`]).

use super::apply::{Acting, Working};
use super::whereabouts::Whereabouts;
use crate::records::{MovementKind, Payment, Receipt, Rejection, WalletStatus};
use crate::state::overlay::Place;
use crate::values::Amount;

/// Applies a `Pay`.
///
/// # Errors
/// The first guard that does not hold.
pub fn pay(working: &mut Working<'_>, acting: Acting<'_>, payments: &[Payment]) -> Result<(), Rejection> {
    let payer = acting.wallet;
    if payments.iter().any(|payment| payment.amount.is_zero()) {
        return Err(Rejection::AmountZero);
    }
    if payments.iter().any(|payment| payment.payee == payer.id) {
        return Err(Rejection::PayeeIsPayer);
    }
    let payment_max = working.rules.params.tier(payer.tier).payment_max;
    if payments.iter().any(|payment| payment.amount > payment_max) {
        return Err(Rejection::PaymentAboveTierLimit);
    }
    let total = payments.iter().try_fold(Amount::ZERO, |total, payment| total.plus(payment.amount));
    let total = total.ok_or(Rejection::TotalOverflow)?;
    let payer_after = payer.balance.minus(total).ok_or(Rejection::InsufficientFunds)?;
    let legs: Vec<Whereabouts> = payments.iter().map(|payment| working.whereabouts(&payment.payee)).collect();
    if legs.contains(&Whereabouts::Nowhere) {
        return Err(Rejection::PayeeUnknown);
    }
    let here: Vec<(Place, Amount)> = legs
        .iter()
        .zip(payments)
        .filter_map(|(leg, payment)| match leg {
            Whereabouts::Here(place) => Some((*place, payment.amount)),
            Whereabouts::There(_) | Whereabouts::Nowhere => None,
        })
        .collect();
    let is_active = |(place, _): &(Place, Amount)| {
        working.overlay.wallet(*place).is_some_and(|payee| payee.status == WalletStatus::Active)
    };
    if !here.iter().all(is_active) {
        return Err(Rejection::PayeeNotActive);
    }
    let credited = credited(working, here).ok_or(Rejection::PayeeBalanceAboveTierLimit)?;
    let has_room = |leg: &Whereabouts| match leg {
        Whereabouts::Here(_) | Whereabouts::Nowhere => true,
        Whereabouts::There(chain) => working.has_room(*chain, payments.len()),
    };
    if !legs.iter().all(has_room) {
        return Err(Rejection::OutboxFull);
    }
    // ---- nothing below this line can fail ----
    working.set_balance(acting.signer, payer_after);
    for (place, balance) in credited {
        working.set_balance(place, balance);
    }
    for ((leg, payment), part) in legs.iter().zip(payments).zip(0_u16..) {
        let (payee, amount) = (payment.payee, payment.amount);
        let at = (acting.index, usize::from(part));
        working.note(at, acting.signer, MovementKind::Paid, payee, amount);
        match leg {
            Whereabouts::Here(place) => working.note(at, *place, MovementKind::Received, payer.id, amount),
            Whereabouts::There(chain) => {
                let (transaction, payer) = (acting.id, payer.id);
                working
                    .send(*chain, Receipt::Credit { transaction, part, payer, payee, amount, origin: None });
            }
            // A guard has refused it.
            Whereabouts::Nowhere => {}
        }
    }
    Ok(())
}

/// Each payee once, with its balance after all its payments; `None` when one rises above its tier's limit.
fn credited(working: &Working<'_>, mut credits: Vec<(Place, Amount)>) -> Option<Vec<(Place, Amount)>> {
    credits.sort_unstable();
    let mut balances: Vec<(Place, Amount)> = Vec::with_capacity(credits.len());
    for (place, amount) in credits {
        let payee = working.overlay.wallet(place)?;
        let known = balances.last_mut().filter(|(last, _)| *last == place);
        let before = known.as_ref().map_or(payee.balance, |(_, balance)| *balance);
        let after = before.plus(amount)?;
        if after > working.rules.params.tier(payee.tier).balance_max {
            return None;
        }
        match known {
            Some((_, balance)) => *balance = after,
            None => balances.push((place, after)),
        }
    }
    Some(balances)
}
