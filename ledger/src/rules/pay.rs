//! `Pay`: 1 to 64 payments from the signer, all or none. Each guard looks at every payment before the next
//! guard runs.

use super::apply::{Acting, Working};
use crate::records::{MovementKind, Payment, Rejection, WalletStatus};
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
    let payees = payments.iter().map(|payment| working.overlay.find(&payment.payee));
    let payees: Vec<Place> = payees.collect::<Option<_>>().ok_or(Rejection::PayeeUnknown)?;
    let is_active = |place: &Place| {
        working.overlay.wallet(*place).is_some_and(|payee| payee.status == WalletStatus::Active)
    };
    if !payees.iter().all(is_active) {
        return Err(Rejection::PayeeNotActive);
    }
    let credited = credited(working, &payees, payments).ok_or(Rejection::PayeeBalanceAboveTierLimit)?;
    // ---- nothing below this line can fail ----
    working.set_balance(acting.signer, payer_after);
    for (place, balance) in credited {
        working.set_balance(place, balance);
    }
    for (part, (place, payment)) in payees.iter().zip(payments).enumerate() {
        let at = (acting.index, part);
        working.note(at, acting.signer, MovementKind::Paid, payment.payee, payment.amount);
        working.note(at, *place, MovementKind::Received, payer.id, payment.amount);
    }
    Ok(())
}

/// Each payee once, with its balance after all its payments; `None` when one rises above its tier's limit.
fn credited(working: &Working<'_>, payees: &[Place], payments: &[Payment]) -> Option<Vec<(Place, Amount)>> {
    let mut credits: Vec<(Place, Amount)> =
        payees.iter().zip(payments).map(|(place, payment)| (*place, payment.amount)).collect();
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
