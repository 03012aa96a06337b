//! What must hold: one function per property, over plain data, so that each can be read and tested alone.
//!
//! | property | when it is checked |
//! | --- | --- |
//! | agreement, no fork, results equal, supply equation, exactly once | whenever a node calls a height final |
//! | durable before vote | whenever a node answers the engine with yes |
//! | nothing final is lost | when a node starts again, and at the end |
//! | liveness, claims verify | at the end |
//! | keeps running | when a node halts |

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use chain::Archive;
use ledger::records::{HeightResult, Outcome, Record};
use ledger::rules::invariants::check_supply;
use ledger::values::{BlockDigest, Canonical as _, Height, TransactionId};
use storage::{MemoryDisk, Reader, Store, Table};

/// What a run is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// All nodes have the same final block at each height.
    Agreement,
    /// A final block's parent is the final block below it, and no view finalizes two blocks.
    NoFork,
    /// All nodes computed the same result and the same outcomes at each height.
    ResultsEqual,
    /// What the wallets hold is what was issued less what was redeemed.
    SupplyEquation,
    /// No transaction has two outcomes.
    ExactlyOnce,
    /// What any node ever called final is in every node's store in the end.
    NothingFinalIsLost,
    /// Some block becomes final within [`LIVE_WITHIN_MS`] once a quorum can talk.
    Liveness,
    /// Outcome proofs made by a node convince a stranger who holds the genesis spec only.
    ClaimsVerify,
    /// Yes is answered only for a block that is on disk with all its batches.
    DurableBeforeVote,
    /// No node halts.
    KeepsRunning,
}

/// Virtual time within which a network that can make progress must make some.
pub const LIVE_WITHIN_MS: u64 = 5_000;

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// Where and how, for people.
    pub detail: String,
}

/// A height as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The node.
    pub node: u16,
    /// The height.
    pub height: Height,
    /// Its final block.
    pub digest: BlockDigest,
    /// The block's parent.
    pub parent: BlockDigest,
    /// Its result.
    pub result: HeightResult,
    /// Its outcomes.
    pub outcomes: Vec<Outcome>,
}

impl Sighting {
    /// Reads a height from a node's store; `None` where anything of it is missing or damaged.
    #[must_use]
    pub fn read(node: u16, store: &dyn Store, height: Height) -> Option<Self> {
        let archive = Archive::new(store);
        let digest = archive.digest(height).ok()??;
        let parent = archive.block_at(height).ok()??.header.parent;
        let result = archive.result(height).ok()??;
        let outcomes = archive.outcomes(height).ok()??;
        Some(Self { node, height, digest, parent, result, outcomes })
    }
}

/// What a property's function answers.
pub type Verdict = Result<(), Violation>;

fn violated(property: Property, detail: impl fmt::Display) -> Verdict {
    Err(Violation { property, detail: detail.to_string() })
}

/// Both sightings are of one block.
///
/// # Errors
/// [`Property::Agreement`].
pub fn agreement(first: &Sighting, second: &Sighting) -> Verdict {
    if first.digest == second.digest {
        return Ok(());
    }
    let (height, one, other) = (first.height, first.node, second.node);
    let detail =
        format!("height {height}: node {one} has {}, node {other} has {}", first.digest, second.digest);
    violated(Property::Agreement, detail)
}

/// The block stands on the final block below it.
///
/// # Errors
/// [`Property::NoFork`].
pub fn no_fork(below: BlockDigest, above: &Sighting) -> Verdict {
    if above.parent == below {
        return Ok(());
    }
    let detail = format!("height {}: parent is {}, final below is {below}", above.height, above.parent);
    violated(Property::NoFork, detail)
}

/// A view finalized one block only.
///
/// # Errors
/// [`Property::NoFork`].
pub fn one_block_a_view(view: u64, first: BlockDigest, second: BlockDigest) -> Verdict {
    if first == second {
        Ok(())
    } else {
        violated(Property::NoFork, format!("view {view}: {first} and {second}"))
    }
}

/// Both sightings have the same result and outcomes.
///
/// # Errors
/// [`Property::ResultsEqual`].
pub fn results_equal(first: &Sighting, second: &Sighting) -> Verdict {
    if first.result == second.result && first.outcomes == second.outcomes {
        return Ok(());
    }
    let (one, other) = (first.node, second.node);
    let detail = format!(
        "height {}: node {one} has state {}, node {other} has state {}",
        first.height, first.result.state, second.result.state
    );
    violated(Property::ResultsEqual, detail)
}

/// The result's supply equation holds, and its holdings are the sum of the stored records.
///
/// `store` must stand at the result's height.
///
/// # Errors
/// [`Property::SupplyEquation`].
pub fn supply_equation(node: u16, result: &HeightResult, store: &dyn Store) -> Verdict {
    if let Err(fault) = check_supply(&result.supply) {
        return violated(Property::SupplyEquation, format!("height {}, node {node}: {fault}", result.height));
    }
    let mut sum = Some(0_u64);
    let visited = store.for_each(Table::Records, &mut |_, bytes| {
        let value = Record::decode(bytes).ok().map(|record| record.value().fen());
        sum = sum.zip(value).and_then(|(sum, value)| sum.checked_add(value));
        ControlFlow::Continue(())
    });
    if visited.is_ok() && sum == Some(result.supply.holdings.fen()) {
        return Ok(());
    }
    let detail = format!(
        "height {}, node {node}: records hold {sum:?} fen, the certified holdings are {}",
        result.height,
        result.supply.holdings.fen()
    );
    violated(Property::SupplyEquation, detail)
}

/// No outcome of the sighting is for a transaction that had one before, here or below.
///
/// # Errors
/// [`Property::ExactlyOnce`].
pub fn exactly_once(known: &BTreeMap<TransactionId, (Height, Outcome)>, seen: &Sighting) -> Verdict {
    let mut own = BTreeMap::new();
    for outcome in &seen.outcomes {
        let earlier = known.get(&outcome.id).map(|(height, _)| *height);
        if let Some(earlier) = earlier.or_else(|| own.insert(outcome.id, seen.height)) {
            let detail = format!("{} executed at heights {earlier} and {}", outcome.id, seen.height);
            return violated(Property::ExactlyOnce, detail);
        }
    }
    Ok(())
}

/// The node's store has the height as it was first called final.
///
/// # Errors
/// [`Property::NothingFinalIsLost`], or what differs.
pub fn nothing_final_is_lost(node: u16, store: &dyn Store, first: &Sighting) -> Verdict {
    let Some(found) = Sighting::read(node, store, first.height) else {
        let detail =
            format!("node {node} has lost height {}, which node {} called final", first.height, first.node);
        return violated(Property::NothingFinalIsLost, detail);
    };
    agreement(first, &found)?;
    results_equal(first, &found)?;
    let block = Archive::new(store).block_at(first.height).ok().flatten();
    let batches = block.map(|block| block.body.batches).unwrap_or_default();
    if let Some(batch) =
        batches.iter().find(|batch| !matches!(Archive::new(store).batch(**batch), Ok(Some(_))))
    {
        let detail = format!("node {node} has lost batch {batch} of height {}", first.height);
        return violated(Property::NothingFinalIsLost, detail);
    }
    for outcome in &first.outcomes {
        let located = Archive::new(store).locate(outcome.id).ok().flatten();
        if !located.is_some_and(|located| located.height == first.height && located.outcome == *outcome) {
            let detail = format!("node {node} has lost {} of height {}", outcome.id, first.height);
            return violated(Property::NothingFinalIsLost, detail);
        }
    }
    Ok(())
}

/// A node that starts again stands at least where it stood when it last called a height final.
///
/// # Errors
/// [`Property::NothingFinalIsLost`].
pub fn starts_where_it_stood(node: u16, called_final: Height, found: Height) -> Verdict {
    if found >= called_final {
        return Ok(());
    }
    let detail = format!("node {node} called height {called_final} final and starts again at {found}");
    violated(Property::NothingFinalIsLost, detail)
}

/// After each moment in `hopes` (a quorum can talk from then on) a height became final in time, unless something else
/// went wrong meanwhile or the run ended. Times in milliseconds.
///
/// # Errors
/// [`Property::Liveness`].
pub fn liveness(hopes: &[u64], disturbances: &[u64], finals: &[u64], end_ms: u64) -> Verdict {
    for hope in hopes {
        let until = hope.saturating_add(LIVE_WITHIN_MS);
        let within = |moment: &u64| *moment > *hope && *moment <= until;
        if until <= end_ms && !disturbances.iter().any(within) && !finals.iter().any(within) {
            return violated(
                Property::Liveness,
                format!("nothing became final from {hope} ms to {until} ms"),
            );
        }
    }
    Ok(())
}

/// The block and all its batches would survive the harshest loss of power now.
///
/// # Errors
/// [`Property::DurableBeforeVote`].
pub fn durable_before_vote(node: u16, disk: &MemoryDisk, store: &dyn Reader, digest: BlockDigest) -> Verdict {
    let missing = |what: &dyn fmt::Display| {
        violated(
            Property::DurableBeforeVote,
            format!("node {node} voted for {digest} without {what} on disk"),
        )
    };
    if !disk.is_durable(Table::Blocks, &digest.0) {
        return missing(&"the block");
    }
    let block = store.get(Table::Blocks, &digest.0).ok().flatten();
    let Some(block) = block.and_then(|bytes| ledger::records::Block::decode(&bytes).ok()) else {
        return missing(&"a readable block");
    };
    match block.body.batches.iter().find(|batch| !disk.is_durable(Table::Batches, &batch.0)) {
        Some(batch) => missing(&format_args!("batch {batch}")),
        None => Ok(()),
    }
}

/// A node halted.
#[must_use]
pub fn keeps_running(node: u16, cause: &str) -> Violation {
    Violation { property: Property::KeepsRunning, detail: format!("node {node} halted: {cause}") }
}

/// A proof did not convince.
#[must_use]
pub fn claims_verify(node: u16, id: TransactionId, fault: &dyn fmt::Display) -> Violation {
    Violation { property: Property::ClaimsVerify, detail: format!("node {node}, transaction {id}: {fault}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liveness_waits_out_disturbances_and_the_end() {
        assert_eq!(liveness(&[0], &[], &[4_000], 10_000), Ok(()));
        assert!(liveness(&[0], &[], &[5_001], 10_000).is_err());
        assert_eq!(liveness(&[0], &[3_000], &[], 10_000), Ok(()));
        assert_eq!(liveness(&[8_000], &[], &[], 10_000), Ok(()));
        assert!(liveness(&[0, 6_000], &[], &[100], 12_000).is_err());
    }

    #[test]
    fn a_node_may_be_ahead_of_what_it_called_final_and_never_behind() {
        assert_eq!(starts_where_it_stood(0, Height(7), Height(8)), Ok(()));
        assert!(starts_where_it_stood(0, Height(7), Height(6)).is_err());
    }
}
