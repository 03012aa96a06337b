//! How far chains are that operators added, as proposals and views ask for it.

use ledger::records::{Birth, ChainRecord, Growth, Registry};
use ledger::values::{ChainId, Currency};

/// The id of the next chain.
#[must_use]
pub fn next_chain(registry: &Registry) -> ChainId {
    let newest = registry.chains.iter().map(|record| record.chain.0).max();
    ChainId(newest.map_or(0, |newest| newest.saturating_add(1)))
}

/// How far a chain is; none of one that was there from the beginning.
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
        Growth::Removed => "removed",
    }
}

/// The shards of a currency where wallets are at home, by id.
pub fn homes(registry: &Registry, currency: Currency) -> impl Iterator<Item = &ChainRecord> {
    registry.chains.iter().filter(move |record| record.currency == currency && record.is_home())
}

/// The child of a chain that has not taken in its wallets yet and was not given up.
#[must_use]
pub fn child(registry: &Registry, parent: ChainId) -> Option<&ChainRecord> {
    let is_young = |record: &&ChainRecord| {
        growth(record).is_some_and(|growth| !matches!(growth, Growth::Grown | Growth::Removed))
    };
    registry.chains.iter().filter(|record| record.parent() == Some(parent)).find(is_young)
}
