//! `Lock`: the signer's money waits for whoever shows a secret in time ([`super::claim`]); else it comes back ([`super::expire`]).
//! And what every lock needs: guards on money, payee and deadline.

use super::apply::{Acting, Working};
use crate::records::{LockKind, LockRecord, LockState, MovementKind, Record, Rejection, WalletStatus};
use crate::state::head::GRACE_HEIGHTS;
use crate::state::shares::Share;
use crate::values::{Amount, LockId, TimestampMs, WalletId};

/// A deadline lies at least this far ahead; and at least as far as [`GRACE_HEIGHTS`] blocks at the chain's pace.
pub const LOCK_TTL_MS_MIN: u64 = 10_000;
/// A deadline lies at most this far ahead: 30 days.
pub const LOCK_TTL_MS_MAX: u64 = 30 * 24 * 3_600 * 1_000;
const _: () = assert!(LOCK_TTL_MS_MIN < LOCK_TTL_MS_MAX);
/// The least that is locked: 1.00. Every lock stays in the state for ever.
pub const LOCK_AMOUNT_MIN: Amount = Amount::from_fen(100);

/// Applies a `Lock`.
///
/// # Errors
/// The first guard that does not hold.
pub fn lock(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    (payee, amount): (WalletId, Amount),
    hash: [u8; 32],
    deadline: TimestampMs,
) -> Result<(), Rejection> {
    let balance = afford(working, acting, payee, amount)?;
    check_deadline(working, deadline)?;
    if !working.may_open(Share::Locks) {
        return Err(Rejection::TooManyOpen);
    }
    check_free(working, acting)?;
    check_least(amount)?;
    working.check_stays([acting.wallet.id, payee])?;
    // ---- nothing below this line can fail ----
    working.open.add(Share::Locks);
    open(working, acting, balance, (payee, amount), deadline, LockKind::Hash { hash });
    Ok(())
}

/// The guards on the money and its payee, 201 to 207 and 210, in their order; answers what the signer is left with.
pub(super) fn afford(
    working: &Working<'_>,
    acting: Acting<'_>,
    payee: WalletId,
    amount: Amount,
) -> Result<Amount, Rejection> {
    let payer = acting.wallet;
    if amount.is_zero() {
        return Err(Rejection::AmountZero);
    }
    if payee == payer.id {
        return Err(Rejection::PayeeIsPayer);
    }
    if amount > working.rules.params.tier(payer.tier).payment_max {
        return Err(Rejection::PaymentAboveTierLimit);
    }
    let balance = payer.balance.minus(amount).ok_or(Rejection::InsufficientFunds)?;
    let place = working.overlay.find(&payee).ok_or(Rejection::PayeeUnknown)?;
    let wallet = working.overlay.wallet(place).ok_or(Rejection::PayeeUnknown)?;
    match wallet.status {
        WalletStatus::Active => Ok(balance),
        WalletStatus::Frozen | WalletStatus::Closed => Err(Rejection::PayeeNotActive),
        WalletStatus::Moved { .. } => Err(Rejection::PayeeMoved),
    }
}

/// The guards on a deadline.
pub(super) fn check_deadline(working: &Working<'_>, deadline: TimestampMs) -> Result<(), Rejection> {
    let grace_ms = working.rules.params.block_pace_ms.saturating_mul(GRACE_HEIGHTS as u64);
    let ahead_ms = |ttl_ms: u64| working.now.0.saturating_add(ttl_ms);
    if deadline.0 < ahead_ms(LOCK_TTL_MS_MIN.max(grace_ms)) {
        return Err(Rejection::DeadlineTooNear);
    }
    if deadline.0 > ahead_ms(LOCK_TTL_MS_MAX) {
        return Err(Rejection::DeadlineTooFar);
    }
    Ok(())
}

/// The guard on the lock's name: another chain may have sent an offer of this name.
pub(super) fn check_free(working: &Working<'_>, acting: Acting<'_>) -> Result<(), Rejection> {
    match working.overlay.place(LockId::of(acting.id).into()) {
        Some(_) => Err(Rejection::LockExists),
        None => Ok(()),
    }
}

/// The guard on what a lock at least holds.
pub(super) fn check_least(amount: Amount) -> Result<(), Rejection> {
    if amount < LOCK_AMOUNT_MIN { Err(Rejection::LockAmountTooSmall) } else { Ok(()) }
}

/// Takes the money from the signer into a new lock; every guard has passed.
pub(super) fn open(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    balance: Amount,
    (payee, amount): (WalletId, Amount),
    deadline: TimestampMs,
    kind: LockKind,
) {
    let (id, payer) = (LockId::of(acting.id), acting.wallet.id);
    let record = LockRecord { id, payer, payee, amount, deadline, kind, state: LockState::Open };
    if working.overlay.open(Record::Lock(record)).is_some() {
        working.made.add(Share::Locks);
        working.set_balance(acting.signer, balance);
        working.note((acting.index, 0), acting.signer, MovementKind::Locked, payee, amount);
    }
}
