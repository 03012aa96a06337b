//! `Redeem`: an operator takes money of its own wallet out of circulation.

use super::apply::{Acting, Working};
use crate::records::{MovementKind, Rejection};
use crate::values::Amount;

/// Applies a `Redeem`.
///
/// # Errors
/// The first guard that does not hold.
pub fn redeem(working: &mut Working<'_>, acting: Acting<'_>, amount: Amount) -> Result<(), Rejection> {
    if amount.is_zero() {
        return Err(Rejection::AmountZero);
    }
    let balance = acting.wallet.balance.minus(amount).ok_or(Rejection::InsufficientFunds)?;
    if !working.rules.is_operator(acting.wallet) {
        return Err(Rejection::SignerNotOperator);
    }
    // Redeemed never exceeds issued, so this holds whenever the balance was really issued.
    let redeemed = working.supply.redeemed.plus(amount).ok_or(Rejection::SupplyOverflow)?;
    // ---- nothing below this line can fail ----
    working.supply.redeemed = redeemed;
    working.set_balance(acting.signer, balance);
    working.note((acting.index, 0), acting.signer, MovementKind::Redeemed, acting.wallet.id, amount);
    Ok(())
}
