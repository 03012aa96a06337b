//! What must hold at every height, checked in every build by every validator and auditor. A violation means
//! that this program is broken: the height is not executed and the node must stop.
//!
//! Fees are within the supply equation: pool and wallets are leaves of one tree, so what a payer loses, pool and operator have gained.

use crate::records::{Counter, HeightResult, SupplyTerms};
use crate::state::StateHead;
use crate::state::writes::StateWrites;
use crate::values::{Amount, ChainId, Slot};

/// An invariant does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvariantFault {
    /// Holdings + sent − received differs from issued − redeemed (PROTOCOL rule 21).
    #[error("the supply equation does not hold: {terms:?}")]
    Supply {
        /// Its terms.
        terms: Box<SupplyTerms>,
    },
    /// The certified holdings are not the sum of the tree.
    #[error("holdings are {holdings:?}, the state tree sums to {tree} fen")]
    Holdings {
        /// In the supply terms.
        holdings: Amount,
        /// In the tree.
        tree: u64,
    },
    /// Issued or redeemed went down.
    #[error("issued or redeemed money went down")]
    SupplyWentBack,
    /// Writes are not strictly ascending by slot, or leave a gap.
    #[error("writes are out of order at slot {slot}")]
    WriteOrder {
        /// The slot.
        slot: Slot,
    },
    /// An outbox does not hold what its pair counters say.
    #[error("the outbox for chain {chain} holds {count} receipts, the counters say {sent}")]
    Outbox {
        /// The other chain.
        chain: ChainId,
        /// In the outbox.
        count: u64,
        /// In the counters.
        sent: u64,
    },
    /// A receipt could not be sent.
    #[error("a receipt for chain {chain} could not be sent")]
    Unsent {
        /// The other chain.
        chain: ChainId,
    },
    /// A transaction or a receipt has neither an outcome nor was skipped.
    #[error("{ordered} transactions and receipts were ordered, {counted} accounted for")]
    Transactions {
        /// In the batches and in the bundles that were next.
        ordered: usize,
        /// Executed and skipped.
        counted: u64,
    },
}

/// Checks the supply equation alone: holdings + Σ sent − Σ received = issued − redeemed.
///
/// # Errors
/// [`InvariantFault::Supply`].
pub fn check_supply(terms: &SupplyTerms) -> Result<(), InvariantFault> {
    let signed = |amount: Amount| i128::from(amount.fen());
    let mut left = signed(terms.holdings);
    let total = |counter: Counter| i128::try_from(counter.total).unwrap_or(i128::MAX);
    for pair in &terms.pairs {
        left = left.saturating_add(total(pair.sent)).saturating_sub(total(pair.received));
    }
    let right = signed(terms.issued).saturating_sub(signed(terms.redeemed));
    if left == right { Ok(()) } else { Err(InvariantFault::Supply { terms: Box::new(terms.clone()) }) }
}

/// Checks a height: `before` and `after` are the heads around it, `tree` the sum of the state tree after it.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check_height(
    before: &StateHead,
    after: &StateHead,
    tree: u64,
    writes: &StateWrites,
    result: &HeightResult,
    ordered: usize,
) -> Result<(), InvariantFault> {
    check_supply(&after.supply)?;
    let holdings = after.supply.holdings;
    if holdings.fen() != tree {
        return Err(InvariantFault::Holdings { holdings, tree });
    }
    if after.supply.issued < before.supply.issued || after.supply.redeemed < before.supply.redeemed {
        return Err(InvariantFault::SupplyWentBack);
    }
    for outbox in &after.outboxes {
        let (chain, count, sent) =
            (outbox.chain, outbox.tree.count, after.supply.pair(outbox.chain).sent.count);
        if count != sent {
            return Err(InvariantFault::Outbox { chain, count, sent });
        }
    }
    let mut next_new = before.records;
    let mut last = None;
    for (slot, _) in &writes.records {
        if last.is_some_and(|last| last >= *slot) || slot.0 > next_new {
            return Err(InvariantFault::WriteOrder { slot: *slot });
        }
        if slot.0 == next_new {
            next_new = next_new.saturating_add(1);
        }
        last = Some(*slot);
    }
    if next_new != after.records {
        return Err(InvariantFault::WriteOrder { slot: Slot(next_new) });
    }
    let counted = u64::from(result.executed).saturating_add(u64::from(result.skipped));
    if u64::try_from(ordered) != Ok(counted) {
        return Err(InvariantFault::Transactions { ordered, counted });
    }
    Ok(())
}
