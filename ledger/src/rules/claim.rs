//! `Claim`: the payee of a lock shows the secret and is paid. The secret stays in the lock's record, where whoever waits for it on
//! another ledger reads it.

use super::apply::{Acting, Working};
use crate::records::{LockKind, LockState, MovementKind, Rejection};
use crate::values::LockId;
use crate::values::hash::sha256;

/// Applies a `Claim`.
///
/// # Errors
/// The first guard that does not hold.
pub fn claim(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    id: LockId,
    preimage: [u8; 32],
) -> Result<(), Rejection> {
    let (place, lock) = working.overlay.find_lock(id).ok_or(Rejection::LockUnknown)?;
    let LockKind::Hash { hash } = lock.kind else { return Err(Rejection::LockKindOther) };
    if lock.payee != acting.wallet.id {
        return Err(Rejection::SignerNotLockPayee);
    }
    if lock.state != LockState::Open {
        return Err(Rejection::LockNotOpen);
    }
    if working.is_overdue(lock.deadline) {
        return Err(Rejection::LockExpired);
    }
    if sha256(&preimage) != hash {
        return Err(Rejection::PreimageWrong);
    }
    // The secret is public from here on, and with it the payer is paid elsewhere: neither a tier's limit nor a freeze, which `apply` lets
    // pass for a claim alone, refuses what belongs to the payee.
    let balance = acting.wallet.balance.plus(lock.amount).ok_or(Rejection::OwnBalanceOverflow)?;
    let (payer, amount) = (lock.payer, lock.amount);
    // ---- nothing below this line can fail ----
    working.close_lock(place, LockState::Settled { preimage: Some(preimage) });
    working.set_balance(acting.signer, balance);
    working.note((acting.index, 0), acting.signer, MovementKind::Settled, payer, amount);
    Ok(())
}
