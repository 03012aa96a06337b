//! May a currency grow now? Only the root chain hears how far children are, so [`ledger::rules::apply_change`], which every chain runs,
//! does not judge that. A proposal is judged here as the root chain will do it, before anybody signs.

use ledger::records::{Birth, ChainRecord, Change, Growth, Registry};
use ledger::values::{ChainId, Currency};

use super::error::GovernanceError;

/// Refuses a child beside one that is not grown, and a doubling that a shard is not ready for. `registry` is the root chain's.
///
/// # Errors
/// [`GovernanceError`], naming the chain that is in the way.
pub(super) fn check(registry: &Registry, change: &Change) -> Result<(), GovernanceError> {
    match change {
        Change::AddChain { parent, .. } => check_child(registry, *parent),
        Change::Reshard { currency } => check_doubling(registry, *currency),
        _ => Ok(()),
    }
}

/// The id of the next chain.
#[must_use]
pub fn next_chain(registry: &Registry) -> ChainId {
    let newest = registry.chains.iter().map(|record| record.chain.0).max();
    ChainId(newest.map_or(0, |newest| newest.saturating_add(1)))
}

/// How far a chain is, if it was not there from the beginning.
#[must_use]
pub const fn growth(record: &ChainRecord) -> Option<Growth> {
    match record.birth {
        Birth::Genesis => None,
        Birth::Child { growth, .. } => Some(growth),
    }
}

/// A growth in a word.
#[must_use]
pub const fn growth_name(growth: Growth) -> &'static str {
    match growth {
        Growth::Added => "added",
        Growth::Ready => "ready",
        Growth::Filling => "filling",
        Growth::Grown => "grown",
    }
}

/// The shards of a currency where wallets are at home, by id.
pub fn homes(registry: &Registry, currency: Currency) -> impl Iterator<Item = &ChainRecord> {
    registry.chains.iter().filter(move |record| record.currency == currency && record.is_home())
}

/// The child of a chain that is not grown.
#[must_use]
pub fn child(registry: &Registry, parent: ChainId) -> Option<&ChainRecord> {
    let is_young = |record: &&ChainRecord| growth(record).is_some_and(|growth| growth != Growth::Grown);
    registry.chains.iter().filter(|record| record.parent() == Some(parent)).find(is_young)
}

fn check_child(registry: &Registry, parent: ChainId) -> Result<(), GovernanceError> {
    // That there is such a chain, the ledger judges.
    let Some(record) = registry.chain(parent) else { return Ok(()) };
    if let Some(child) = child(registry, parent) {
        return Err(GovernanceError::HasChild { parent, child: child.chain });
    }
    let mut fellows = registry.chains.iter().filter(|other| other.currency == record.currency);
    match fellows.find(|other| growth(other) == Some(Growth::Filling)) {
        Some(other) => Err(GovernanceError::NotGrown { chain: other.chain }),
        None => Ok(()),
    }
}

fn check_doubling(registry: &Registry, currency: Currency) -> Result<(), GovernanceError> {
    let mut shards = homes(registry, currency).peekable();
    if shards.peek().is_none() {
        return Err(GovernanceError::CurrencyUnknown { currency });
    }
    let is_ready = |shard: &ChainRecord| child(registry, shard.chain).and_then(growth) == Some(Growth::Ready);
    match shards.find(|shard| !is_ready(shard)) {
        Some(shard) => Err(GovernanceError::NoReadyChild { chain: shard.chain }),
        None => Ok(()),
    }
}
