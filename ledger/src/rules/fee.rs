//! Who is charged for a transaction, and who gets it (PROTOCOL rules 7 and 17). Charged once the nonce is consumed, whatever the
//! operation becomes: a rejected one took as much work.
//!
//! | | |
//! | --- | --- |
//! | base | weight × base fee, rounded down; nothing where the signer's tier is exempt |
//! | tip | what was bid, as far as `fee_max` has room for it above the base |
//! | who pays both | the sponsor, where there is one, else the signer |
//! | who gets the base | the fee pool |
//! | who gets the tip | the own wallet of the operator that the bid names; the fee pool where it has none here that is active |
//!
//! A frozen signer is charged nothing, and 101 comes before anything else. (The one thing that it may do is to claim; then nobody is
//! charged, or its sponsor.) A payer with less than base and tip is charged nothing either: 102. What is due and charged to nobody counts
//! against the quota of the operator that sealed the batch ([`super::quota`]).
//!
//! Invariants: the payer never pays more than `fee_max` or than it has; what it pays is what pool and operator gain, so the supply
//! equation holds ([`super::invariants`]).

use super::admission::Circumstances;
use super::apply::{Working, is_stopped};
use super::chain_rules::ChainRules;
use super::quota;
use super::transition::Prepared;
use crate::records::{Change, MovementKind, Rejection, TransactionContent, WalletRecord, WalletStatus};
use crate::state::overlay::Place;
use crate::values::{Amount, FeeRate, OperatorId, WalletId};

/// Where a transaction's fee stands in its payer's history: after all that the operation did.
const FEE_PART: usize = u16::MAX as usize;
/// Where its tip stands in the operator's.
const TIP_PART: usize = FEE_PART - 1;

/// The base fee that a signer owes for a transaction of this weight.
#[must_use]
pub fn base_due(rules: &ChainRules, signer: &WalletRecord, base_fee: FeeRate, weight: u64) -> Amount {
    if rules.params.tier(signer.tier).is_fee_exempt { Amount::ZERO } else { base_fee.due(weight) }
}

/// Charges for an admitted transaction whose nonce is consumed; gives what was charged. `payer` is the place of the sponsor where there
/// is one, else the signer's.
///
/// # Errors
/// 101 and 102: nothing was charged, and the operation is not applied.
pub(super) fn charge(
    working: &mut Working<'_>,
    content: &TransactionContent,
    prepared: &Prepared,
    (signer, payer): (Place, Place),
    index: u32,
    at: Circumstances,
) -> Result<Amount, Rejection> {
    let due = at.base_fee.due(prepared.weight);
    let unpaid = |working: &mut Working<'_>| leave_unpaid(working, prepared.sealer, due);
    // Both were there when it was admitted.
    let (Some(wallet), Some(source)) = (working.overlay.wallet(signer), working.overlay.wallet(payer)) else {
        unpaid(working);
        return Err(Rejection::FeeUnpaid);
    };
    if is_stopped(wallet, &content.operation) {
        unpaid(working);
        return Err(Rejection::WalletFrozen);
    }
    // The claim of a frozen wallet; admission has found a sponsor active.
    if source.status == WalletStatus::Frozen {
        unpaid(working);
        return Ok(Amount::ZERO);
    }
    let (payer_id, balance) = (source.id, source.balance);
    let base = base_due(working.rules, wallet, at.base_fee, prepared.weight);
    let room = content.fee.fee_max.minus(base).unwrap_or(Amount::ZERO);
    let tip = content.fee.tip.min(room);
    let after = base.plus(tip).and_then(|fee| Some((fee, balance.minus(fee)?)));
    let Some((fee, balance)) = after else {
        unpaid(working);
        return Err(Rejection::FeeUnpaid);
    };
    // ---- nothing below this line can fail ----
    if !fee.is_zero() {
        working.set_balance(payer, balance);
        working.note((index, FEE_PART), payer, MovementKind::FeePaid, content.wallet, fee);
        working.overlay.add_to_fee_pool(base);
        if !tip.is_zero() && !give_tip(working, prepared, tip, (payer_id, index)) {
            working.overlay.add_to_fee_pool(tip);
        }
    }
    if base < due {
        unpaid(working);
    }
    Ok(fee)
}

/// What is due and charged to nobody.
pub(super) fn leave_unpaid(working: &mut Working<'_>, sealer: Option<OperatorId>, due: Amount) {
    if let Some(sealer) = sealer.filter(|_| !due.is_zero()) {
        quota::charge(working, sealer, due);
    }
}

/// Whether the operator has a wallet that could take the tip.
fn give_tip(
    working: &mut Working<'_>,
    prepared: &Prepared,
    tip: Amount,
    (payer, index): (WalletId, u32),
) -> bool {
    let place = prepared.tip_wallet.and_then(|wallet| working.overlay.find(&wallet));
    let Some((place, balance)) = place.and_then(|place| Some((place, credited(working, place, tip)?))) else {
        return false;
    };
    working.set_balance(place, balance);
    working.note((index, TIP_PART), place, MovementKind::TipReceived, payer, tip);
    true
}

/// The balance of an operator's own active wallet with so much more; no tier's limit refuses it. (Under its name there may be what a
/// dishonest parent has sent: see [`super::govern`].)
fn credited(working: &Working<'_>, place: Place, amount: Amount) -> Option<Amount> {
    let wallet = working.overlay.wallet(place).filter(|wallet| working.rules.is_operator(wallet))?;
    if wallet.status == WalletStatus::Active { wallet.balance.plus(amount) } else { None }
}

/// Makes a [`Change::SpendFees`] of this chain: moves up to its amount from the fee pool to the operator's own wallet. Nothing moves
/// where it has none here. Other changes, and those of other chains, do nothing.
pub(super) fn spend(working: &mut Working<'_>, change: &Change, at: (u32, usize)) {
    let &Change::SpendFees { chain, operator, amount } = change else { return };
    let rules = working.rules;
    // By the registry as the block has changed it: it may have admitted the operator.
    let wallet = working.registry().operator_wallet(rules.genesis, rules.currency, operator);
    let place = wallet.filter(|_| chain == rules.chain).and_then(|wallet| working.overlay.find(&wallet));
    let Some(place) = place else { return };
    let spent = amount.min(working.overlay.fee_pool());
    let Some(balance) = credited(working, place, spent).filter(|_| !spent.is_zero()) else { return };
    let Some(own) = wallet else { return };
    working.overlay.take_from_fee_pool(spent);
    working.set_balance(place, balance);
    working.note(at, place, MovementKind::FeesSpent, own, spent);
}
