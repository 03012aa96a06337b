//! `Issue`: the central bank puts new money into an operator's own wallet.

use super::apply::{Acting, Working};
use crate::records::genesis::CHAINS_MAX;
use crate::records::{MovementKind, Rejection, WalletStatus};
use crate::values::{Amount, WalletId};

/// Most that one chain may ever issue. All chains of a network together then stay below what an amount can hold, so that money
/// that moves between them never overflows where it arrives.
pub const ISSUED_MAX: Amount = Amount::from_fen(1 << 55);
const _: () = assert!((ISSUED_MAX.fen() as u128) * (CHAINS_MAX as u128) < 1 << 64);

/// Applies an `Issue`.
///
/// # Errors
/// The first guard that does not hold.
pub fn issue(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    to: &WalletId,
    amount: Amount,
) -> Result<(), Rejection> {
    if amount.is_zero() {
        return Err(Rejection::AmountZero);
    }
    let place = working.overlay.find(to).ok_or(Rejection::PayeeUnknown)?;
    let payee = working.overlay.wallet(place).ok_or(Rejection::PayeeUnknown)?;
    match payee.status {
        WalletStatus::Active => {}
        WalletStatus::Frozen | WalletStatus::Closed => return Err(Rejection::PayeeNotActive),
        // Operators' own wallets never move.
        WalletStatus::Moved { .. } => return Err(Rejection::PayeeMoved),
    }
    let balance_max = working.rules.params.tier(payee.tier).balance_max;
    let balance = payee.balance.plus(amount).filter(|balance| *balance <= balance_max);
    let balance = balance.ok_or(Rejection::PayeeBalanceAboveTierLimit)?;
    if !working.rules.is_central_bank(acting.wallet) {
        return Err(Rejection::SignerNotCentralBank);
    }
    if !working.rules.is_active_operator(payee) {
        return Err(Rejection::PayeeNotOperator);
    }
    let issued = working.supply.issued.plus(amount).filter(|issued| *issued <= ISSUED_MAX);
    let issued = issued.ok_or(Rejection::SupplyOverflow)?;
    // ---- nothing below this line can fail ----
    working.supply.issued = issued;
    working.set_balance(place, balance);
    working.note((acting.index, 0), place, MovementKind::Issued, acting.wallet.id, amount);
    Ok(())
}
