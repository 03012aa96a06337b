//! `OpenWallets`: 1 to 64 wallets opened by an operator's own wallet, all or none.

use super::apply::{Acting, Working};
use crate::records::registry::is_operator_salt;
use crate::records::{MovementKind, Record, Rejection, Tier, WalletOpening, WalletRecord, WalletStatus};
use crate::values::Amount;

/// Applies an `OpenWallets`.
///
/// # Errors
/// The first guard that does not hold.
pub fn open_wallets(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    openings: &[WalletOpening],
) -> Result<(), Rejection> {
    if !working.rules.is_operator(acting.wallet) {
        return Err(Rejection::SignerNotOperator);
    }
    if openings.iter().any(|opening| opening.tier == Tier::Operator) {
        return Err(Rejection::TierNotAllowed);
    }
    let mut ids = acting.openings.to_vec();
    ids.sort_unstable();
    let is_doubled = ids.array_windows().any(|[left, right]| left == right);
    if is_doubled || ids.iter().any(|id| working.overlay.place((*id).into()).is_some()) {
        return Err(Rejection::WalletExists);
    }
    if ids.iter().any(|id| working.rules.home(id) != working.rules.chain) {
        return Err(Rejection::WalletElsewhere);
    }
    if !working.rules.is_active_operator(acting.wallet) {
        return Err(Rejection::OperatorRetired);
    }
    if openings.iter().any(|opening| is_operator_salt(&opening.salt)) {
        return Err(Rejection::SaltReserved);
    }
    // A wallet of this name may be on its way.
    if working.rules.is_filling() {
        return Err(Rejection::ChainFilling);
    }
    // ---- nothing below this line can fail ----
    for (part, (opening, id)) in openings.iter().zip(acting.openings).enumerate() {
        let place = working.overlay.open(Record::Wallet(WalletRecord {
            id: *id,
            policy: opening.policy,
            operator: acting.wallet.operator,
            tier: opening.tier,
            status: WalletStatus::Active,
            balance: Amount::ZERO,
            lanes: Vec::new(),
        }));
        if let Some(place) = place {
            working.note((acting.index, part), place, MovementKind::Opened, acting.wallet.id, Amount::ZERO);
        }
    }
    Ok(())
}
