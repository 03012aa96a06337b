//! `Govern`: a quorum of the council changes the registry, on the root chain (PROTOCOL rules 1 and 3). Every other chain is told by a
//! receipt for each change, in order; a chain that is added in this block begins with what the block decides, and one that is removed hears nothing more. Registry and parameters hold from the next height on, a new set from the epoch that the
//! chain schedules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::apply::{Acting, Working};
use super::fee;
use super::growth::check_on_root;
use super::registry_changes::apply_decided;
use crate::records::registry::ROOT_CHAIN;
use crate::records::{
    Approval, ChainRecord, Change, MovementKind, OperatorRecord, Proposal, Receipt, Registry, Rejection,
};
use crate::values::quorum::VALIDATORS_MAX;
use crate::values::{Amount, ChainId, Height, OperatorId, verify_governance};

/// Most approvals whose signatures a block checks: one takes as long as a payment. Eight proposals of the largest council.
pub const BLOCK_APPROVALS_MAX: usize = 8 * VALIDATORS_MAX;

/// What a block has spent on approvals.
#[derive(Debug, Default)]
pub struct Checked {
    /// Signatures checked.
    count: usize,
    /// Operators whose proposal failed after signatures had been checked: the block checks no more for them, so that nobody spends
    /// what is there for all.
    failed: BTreeSet<OperatorId>,
}

/// Applies a `Govern`.
///
/// # Errors
/// The first guard that does not hold.
pub fn govern(
    working: &mut Working<'_>,
    acting: Acting<'_>,
    proposal: &Proposal,
    approvals: &[Approval],
) -> Result<(), Rejection> {
    // As they were before this block: whoever is added by it begins with the registry after it.
    let kept = working.rules.registry.chains.iter().filter(|record| !record.is_removed());
    let others: Vec<ChainId> =
        kept.map(|record| record.chain).filter(|chain| *chain != working.rules.chain).collect();
    let receipts = proposal.changes.len();
    let total = receipts.saturating_mul(others.len());
    if others.iter().any(|chain| !working.has_room(*chain, receipts)) || !working.has_room_for(total) {
        return Err(Rejection::OutboxFull);
    }
    if !working.rules.is_active_operator(acting.wallet) {
        return Err(Rejection::SignerNotOperator);
    }
    if working.rules.chain != ROOT_CHAIN {
        return Err(Rejection::GovernElsewhere);
    }
    if proposal.valid_until < working.now {
        return Err(Rejection::ProposalExpired);
    }
    let registry = Arc::clone(working.registry());
    if proposal.version > registry.version {
        return Err(Rejection::ProposalVersionUnknown);
    }
    if proposal.version < registry.version {
        return Err(Rejection::ProposalStale);
    }
    check_council(working, &registry, approvals)?;
    let operator = acting.wallet.operator;
    let left = BLOCK_APPROVALS_MAX.saturating_sub(working.approvals.count);
    if approvals.len() > left || working.approvals.failed.contains(&operator) {
        return Err(Rejection::ProposalsFull);
    }
    let judged = check_signatures(working, &registry, proposal, approvals)
        .and_then(|()| registry_after(&registry, proposal, working.height));
    let mut after = match judged {
        Ok(after) => after,
        Err(rejection) => {
            working.approvals.failed.insert(operator);
            return Err(rejection);
        }
    };
    // ---- nothing below this line can fail ----
    let version = registry.version.saturating_add(1);
    after.version = version;
    let mut next = u16::try_from(registry.operators.len()).unwrap_or(u16::MAX);
    let is_told = |chain: &&ChainId| !after.chain(**chain).is_some_and(ChainRecord::is_removed);
    let told: Vec<ChainId> = others.iter().filter(is_told).copied().collect();
    working.set_registry(after);
    for (part, change) in proposal.changes.iter().enumerate() {
        fee::spend(working, change, (acting.index, part));
        if let Change::AddOperator(operator) = change {
            open_operator(working, OperatorId(next), operator, acting.index);
            next = next.saturating_add(1);
        }
        for chain in &told {
            let (height, is_urgent, change) = (working.height, proposal.is_urgent, change.clone());
            working.send(*chain, Receipt::Change { version, height, is_urgent, change });
        }
    }
    Ok(())
}

/// Approvals are ascending by operator, each once (checked with the transaction's form).
fn check_council(
    working: &Working<'_>,
    registry: &Registry,
    approvals: &[Approval],
) -> Result<(), Rejection> {
    let council = registry.council(working.height);
    if approvals.iter().any(|approval| council.binary_search(&approval.operator).is_err()) {
        return Err(Rejection::ApproverNotInCouncil);
    }
    if approvals.len() < registry.council_quorum(working.height) {
        return Err(Rejection::ApprovalsBelowQuorum);
    }
    Ok(())
}

/// Stops at the first signature that is not valid.
fn check_signatures(
    working: &mut Working<'_>,
    registry: &Registry,
    proposal: &Proposal,
    approvals: &[Approval],
) -> Result<(), Rejection> {
    let (genesis, hash) = (working.rules.genesis, proposal.hash(working.rules.genesis));
    let is_valid = |approval: &Approval| {
        registry
            .operator(approval.operator)
            .is_some_and(|operator| verify_governance(operator.key, genesis, &hash, approval.signature))
    };
    for approval in approvals {
        working.approvals.count = working.approvals.count.saturating_add(1);
        if !is_valid(approval) {
            return Err(Rejection::ApprovalInvalid);
        }
    }
    Ok(())
}

/// Every change in order, on a copy.
fn registry_after(registry: &Registry, proposal: &Proposal, height: Height) -> Result<Registry, Rejection> {
    let mut after = Registry::clone(registry);
    for change in &proposal.changes {
        after = check_on_root(&after, change)
            .and_then(|()| apply_decided(&after, change, proposal.is_urgent, height))
            .map_err(|fault| fault.rejection())?;
    }
    Ok(after)
}

/// Opens the own wallet of an operator that was admitted under this id. Only a dishonest parent can have sent a wallet of that name before:
/// it stays what it is, and the operator has none on this chain.
pub(super) fn open_operator(
    working: &mut Working<'_>,
    id: OperatorId,
    operator: &OperatorRecord,
    index: u32,
) {
    let wallet = operator.own_wallet(working.rules.genesis, working.rules.currency, id);
    let own = wallet.id;
    if working.names.is_some_and(|names| names.slot(&own.into()).is_some()) {
        return;
    }
    if let Some(place) = working.overlay.open_unread(wallet) {
        working.note((index, 0), place, MovementKind::Opened, own, Amount::ZERO);
    }
}
