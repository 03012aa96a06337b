//! What operators leave unpaid (PROTOCOL rule 17): what is due at the base fee of a transaction that nobody pays for (exempt, frozen,
//! unable to pay, not executed, a duplicate) is charged to the operator whose validator sealed it. So a flood costs the flooder's bank.
//!
//! ```text
//! charge ── up to the quota of the day ── used: free
//!     └──── beyond it ── debt ── own wallet, at the end of the block ── fee pool
//!                          └──── what it cannot pay ── barred, until a later block takes it
//! ```
//!
//! Rules: a charge is counted at once and moves no money. At the end of the block, after everything else that moves money, the own wallet
//! on this chain of each operator that owes pays what it can; only an active one pays. Who still owes then is barred by the registry of
//! this state, from which the rules of every block that claims it follow ([`super::block_validity::check_sealers`]).
//!
//! Invariants: what was ever charged = what own wallets paid here + what was used of quotas + debts; the own record of the chain bars exactly
//! the operators with a debt, so the registry changes only where one begins or ends to owe.
//!
//! Failure: nothing here fails. A sum that does not fit stays at the most that an [`Amount`] holds.

use super::apply::Working;
use super::chain_rules::ChainRules;
use super::transition::Prepared;
use crate::records::{MovementKind, Registry, Tier, WalletStatus};
use crate::state::OperatorQuota;
use crate::state::operator_quota::day_of;
use crate::values::{Amount, FeeRate, OperatorId, RecordId};

/// Charges `amount`, which is due at the base fee and paid by nobody, to the operator of the batch's sealer.
pub(super) fn charge(working: &mut Working<'_>, operator: OperatorId, amount: Amount) {
    if amount.is_zero() {
        return;
    }
    let (today, quota_max) = (day_of(working.now), working.rules.params.fees.quota);
    let found = working.quotas.binary_search_by_key(&operator, |quota| quota.operator);
    let place = found.unwrap_or_else(|place| {
        let (used, debt) = (Amount::ZERO, Amount::ZERO);
        working.quotas.insert(place, OperatorQuota { operator, day: today, used, debt });
        place
    });
    let Some(quota) = working.quotas.get_mut(place) else { return };
    let left = quota_max.minus(quota.used).unwrap_or(Amount::ZERO);
    let free = amount.min(left);
    quota.used = plus(quota.used, free);
    quota.debt = plus(quota.debt, amount.minus(free).unwrap_or(Amount::ZERO));
}

/// Whether somebody owes.
pub(super) fn has_debtor(quotas: &[OperatorQuota]) -> bool {
    debtors(quotas).next().is_some()
}

/// Names of the own wallets that [`settle`] may take from: of those that owe before the block, and where it has a base fee, of those
/// that its transactions may be charged to.
pub(super) fn touched(
    rules: &ChainRules,
    quotas: &[OperatorQuota],
    (prepared, base_fee): (&[Prepared], FeeRate),
    ids: &mut Vec<RecordId>,
) {
    let sealers = prepared.iter().filter(|_| !base_fee.is_zero()).filter_map(|prepared| prepared.sealer);
    let mut operators: Vec<OperatorId> = debtors(quotas).chain(sealers).collect();
    operators.sort_unstable();
    operators.dedup();
    let wallet = |operator| rules.registry.operator_wallet(rules.genesis, rules.currency, operator);
    ids.extend(operators.into_iter().filter_map(wallet).map(RecordId::from));
}

/// Takes what is owed from own wallets, as far as they can pay, and bars who still owes; `index` is the position after all that the block
/// executes.
pub(super) fn settle(working: &mut Working<'_>, index: u32) {
    let mut quotas = std::mem::take(&mut working.quotas);
    for quota in quotas.iter_mut().filter(|quota| !quota.debt.is_zero()) {
        let paid = take(working, quota.operator, quota.debt, index);
        quota.debt = quota.debt.minus(paid).unwrap_or(Amount::ZERO);
    }
    quotas.retain(OperatorQuota::says_something);
    bar(working, debtors(&quotas).collect());
    working.quotas = quotas;
}

/// Who owes, ascending.
fn debtors(quotas: &[OperatorQuota]) -> impl Iterator<Item = OperatorId> {
    quotas.iter().filter(|quota| !quota.debt.is_zero()).map(|quota| quota.operator)
}

/// Moves up to `debt` from an operator's own wallet to the fee pool; gives how much.
fn take(working: &mut Working<'_>, operator: OperatorId, debt: Amount, index: u32) -> Amount {
    let rules = working.rules;
    let id = rules.registry.operator_wallet(rules.genesis, rules.currency, operator);
    let found = id.and_then(|id| working.overlay.find(&id));
    let Some(place) = found else { return Amount::ZERO };
    // Under its name there may be what a dishonest parent has sent ([`super::govern`]).
    let Some(wallet) = working.overlay.wallet(place).filter(|wallet| wallet.tier == Tier::Operator) else {
        return Amount::ZERO;
    };
    let (id, paid) = (wallet.id, debt.min(wallet.balance));
    let left = wallet.balance.minus(paid).filter(|_| wallet.status == WalletStatus::Active);
    let Some(left) = left.filter(|_| !paid.is_zero()) else { return Amount::ZERO };
    working.set_balance(place, left);
    working.overlay.add_to_fee_pool(paid);
    working.note((index, 0), place, MovementKind::FeePaid, id, paid);
    paid
}

/// Bars exactly these operators, from the next height on.
fn bar(working: &mut Working<'_>, owing: Vec<OperatorId>) {
    let chain = working.rules.chain;
    if working.registry().chain(chain).is_none_or(|record| record.barred == owing) {
        return;
    }
    let mut registry = Registry::clone(working.registry());
    if let Some(record) = registry.chain_mut(chain) {
        record.barred = owing;
    }
    working.set_registry(registry);
}

/// The sum, or the most that there is.
fn plus(left: Amount, right: Amount) -> Amount {
    left.plus(right).unwrap_or(Amount::from_fen(u64::MAX))
}
