//! `Exchange`: the signer's money is locked until another chain, of another currency, has decided whether what is asked for it was
//! paid there ([`super::offers`]). This chain decides nothing (PROTOCOL rule 24).

use super::apply::{Acting, Working};
use super::lock::{afford, check_deadline, check_free, check_least, open};
use crate::records::{Asked, LockKind, Receipt, Rejection};
use crate::state::shares::Share;
use crate::values::{Amount, ChainId, LockId, TimestampMs, WalletId};

/// Applies an `Exchange`.
///
/// # Errors
/// The first guard that does not hold.
pub fn exchange(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    (payee, amount): (WalletId, Amount),
    (chain, asked): (ChainId, Asked),
    deadline: TimestampMs,
) -> Result<(), Rejection> {
    if amount.is_zero() || asked.amount.is_zero() {
        return Err(Rejection::AmountZero);
    }
    if payee == acting.wallet.id || asked.payee == asked.payer {
        return Err(Rejection::PayeeIsPayer);
    }
    let balance = afford(working, acting, payee, amount)?;
    if !working.has_room(chain, 1) {
        return Err(Rejection::OutboxFull);
    }
    // A child without wallets takes no offers, so it would decide nothing, perhaps for ever.
    let decides = working.rules.registry.chain(chain).filter(|record| record.is_home());
    let currency = decides.ok_or(Rejection::ChainUnknown)?.currency;
    if currency == working.rules.currency {
        return Err(Rejection::SameCurrency);
    }
    check_deadline(working, deadline)?;
    if !working.may_make(Share::Locks) {
        return Err(Rejection::TooManyOpen);
    }
    check_free(working, acting)?;
    check_least(amount)?;
    working.check_stays([acting.wallet.id, payee])?;
    // ---- nothing below this line can fail ----
    open(working, acting, balance, (payee, amount), deadline, LockKind::Exchange { chain, asked });
    let (lock, payer) = (LockId::of(acting.id), acting.wallet.id);
    working.send(chain, Receipt::Offer { lock, payer, payee, amount, asked, deadline });
    Ok(())
}
