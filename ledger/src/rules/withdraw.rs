//! `Withdraw`: the payer of an exchange's lock asks the chain that decides to cancel. Here nothing changes until it has answered: it
//! may have been accepted already (PROTOCOL rule 24).

use super::apply::{Acting, Working};
use crate::records::{LockKind, LockState, Receipt, Rejection};
use crate::values::LockId;

/// Applies a `Withdraw`.
///
/// # Errors
/// The first guard that does not hold.
pub fn withdraw(working: &mut Working<'_>, acting: Acting<'_>, id: LockId) -> Result<(), Rejection> {
    let found = working.overlay.find_lock(id).map(|(_, lock)| lock);
    if let Some(LockKind::Exchange { chain, .. }) = found.map(|lock| lock.kind)
        && !working.has_room(chain, 1)
    {
        return Err(Rejection::OutboxFull);
    }
    let lock = found.ok_or(Rejection::LockUnknown)?;
    let LockKind::Exchange { chain, .. } = lock.kind else { return Err(Rejection::LockKindOther) };
    if lock.payer != acting.wallet.id {
        return Err(Rejection::SignerNotLockPayer);
    }
    if lock.state != LockState::Open {
        return Err(Rejection::LockNotOpen);
    }
    // ---- nothing below this line can fail ----
    working.send(chain, Receipt::Withdrawal { lock: id });
    Ok(())
}
