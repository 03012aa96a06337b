//! How a currency gets more shards (PROTOCOL rule 25): a child is added, reports that it runs, is filled, and is grown.
//!
//! ```text
//! AddChain ─ Added ── report ─ Ready ── Reshard ─ Filling ── END of its parent, report ─ Grown
//!               └──── RemoveChain ─ Removed
//! ```
//!
//! Reports go to the root chain alone, which so knows more than the others: [`check_on_root`] holds back there what is too early,
//! and what passed it, every chain accepts (`add_chain`, `reshard`). The child itself goes from `Filling` to `Grown` by what its
//! parent tells it. A chain that has not heard of a report treats `Added` as `Ready` and `Filling` as `Grown`.
//!
//! A child that never reports is removed: a report and its removal are both decided on the root chain, so one of them comes first. It
//! holds nothing that anybody took: until wallets are at home there, the root chain alone hears it, and the report comes before
//! all else ([`super::ChainRules::takes_from`]).
//!
//! Invariant: on every chain the chains of a currency where wallets are at home are its shards from 0 on, without a gap.

use super::apply::Working;
use super::registry_changes::{ChangeFault, seat_all};
use crate::records::genesis::CHAINS_MAX;
use crate::records::registry::ROOT_CHAIN;
use crate::records::{Birth, ChainRecord, Change, EpochRecord, Growth, Registry, Rejection, ValidatorRecord};
use crate::values::{ChainId, Currency, Epoch, Height};

/// What the root chain asks for besides what [`super::apply_change`] does, by the registry before the change: it alone is told how far
/// children are.
///
/// # Errors
/// [`ChangeFault`].
pub fn check_on_root(registry: &Registry, change: &Change) -> Result<(), ChangeFault> {
    match change {
        Change::AddChain { parent, .. } => {
            let parent = parent_of(registry, *parent)?;
            let is_filling = |record: &&ChainRecord| growth_of(record) == Some(Growth::Filling);
            if let Some(record) = of_currency(registry, parent.currency).find(is_filling) {
                return Err(ChangeFault::ChainNotGrown { chain: record.chain });
            }
            let chain = parent.chain;
            let is_child = |record: &&ChainRecord| record.parent() == Some(chain) && !record.is_removed();
            let mut children = registry.chains.iter().filter(is_child);
            let not_grown = children.find(|record| growth_of(record) != Some(Growth::Grown));
            not_grown.map_or(Ok(()), |child| Err(ChangeFault::ChainHasChild { chain, child: child.chain }))
        }
        Change::Reshard { currency } => {
            children_for_all(registry, *currency, |growth| growth == Growth::Ready)
        }
        Change::RemoveChain { chain } => match registry.chain(*chain).and_then(growth_of) {
            Some(Growth::Ready) => Err(ChangeFault::ChainRuns { chain: *chain }),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Adds a child under the next free id, without a wallet.
///
/// # Errors
/// [`ChangeFault`].
pub(super) fn add_chain(
    registry: &mut Registry,
    parent: ChainId,
    validators: &[ValidatorRecord],
) -> Result<(), ChangeFault> {
    let record = parent_of(registry, parent)?;
    let homes = of_currency(registry, record.currency).filter(|record| record.is_home()).count();
    let shard = u16::try_from(homes).ok().and_then(|homes| record.shard.checked_add(homes));
    let last = registry.chains.last().and_then(|last| last.chain.0.checked_add(1)).map(ChainId);
    let (Some(shard), Some(chain)) = (shard, last.filter(|_| registry.chains.len() < CHAINS_MAX)) else {
        return Err(ChangeFault::Full);
    };
    let child = ChainRecord {
        chain,
        currency: record.currency,
        shard,
        // Whoever knows the height that decides it says so ([`super::registry_changes::apply_decided`]).
        birth: Birth::Child { parent, height: Height(0), growth: Growth::Added },
        params: record.params.clone(),
        wanted: Vec::new(),
        is_urgent: false,
        epochs: Vec::new(),
        barred: Vec::new(),
    };
    registry.chains.push(child);
    seat_all(registry, chain, validators)?;
    if let Some(child) = registry.chains.last_mut() {
        let validators = child.wanted.clone();
        child.epochs =
            vec![EpochRecord { epoch: Epoch(0), first_height: Height(1), last_height: None, validators }];
    }
    Ok(())
}

/// Wallets are at home where twice as many shards say.
///
/// # Errors
/// [`ChangeFault::ChainNotReady`].
pub(super) fn reshard(registry: &mut Registry, currency: Currency) -> Result<(), ChangeFault> {
    let is_waiting = |growth| matches!(growth, Growth::Added | Growth::Ready);
    children_for_all(registry, currency, is_waiting)?;
    for record in registry.chains.iter_mut().filter(|record| record.currency == currency) {
        if let Birth::Child { growth, .. } = &mut record.birth
            && is_waiting(*growth)
        {
            *growth = Growth::Filling;
        }
    }
    Ok(())
}

/// Gives a child up. Whether it has reported, only the root chain knows.
///
/// # Errors
/// [`ChangeFault`].
pub(super) fn remove_chain(registry: &mut Registry, chain: ChainId) -> Result<(), ChangeFault> {
    let record = registry.chain_mut(chain).filter(|record| !record.is_removed());
    let record = record.ok_or(ChangeFault::ChainUnknown { chain })?;
    let Birth::Child { growth, .. } = &mut record.birth else {
        return Err(ChangeFault::ChainNoChild { chain });
    };
    if matches!(growth, Growth::Filling | Growth::Grown) {
        return Err(ChangeFault::ChainRuns { chain });
    }
    // Nothing will follow from what was wanted of it.
    (*growth, record.is_urgent) = (Growth::Removed, false);
    Ok(())
}

/// A child tells the root chain how far it is.
///
/// # Errors
/// 801 this is another chain; 818 the sender is no child; 827 it is as far already, or cannot be that far. Nothing changes.
pub(super) fn report(working: &mut Working<'_>, source: ChainId, is_filled: bool) -> Result<(), Rejection> {
    if working.rules.chain != ROOT_CHAIN {
        return Err(Rejection::GovernElsewhere);
    }
    let growth = working.registry().chain(source).and_then(growth_of).ok_or(Rejection::ChangeChainUnknown)?;
    let next = match (growth, is_filled) {
        (Growth::Added, false) => Growth::Ready,
        (Growth::Filling, true) => Growth::Grown,
        _ => return Err(Rejection::ChangeChainNotReady),
    };
    // ---- nothing below this line can fail ----
    grow(working, source, next);
    Ok(())
}

/// This chain was told of all wallets that are at home here.
pub(super) fn grown(working: &mut Working<'_>) {
    let own = working.rules.chain;
    if working.registry().chain(own).and_then(growth_of) == Some(Growth::Filling) {
        grow(working, own, Growth::Grown);
    }
}

fn grow(working: &mut Working<'_>, chain: ChainId, next: Growth) {
    let mut registry = Registry::clone(working.registry());
    if let Some(Birth::Child { growth, .. }) = registry.chain_mut(chain).map(|record| &mut record.birth) {
        *growth = next;
    }
    working.set_registry(registry);
}

/// How far a child is; none of a chain of genesis.
const fn growth_of(record: &ChainRecord) -> Option<Growth> {
    match record.birth {
        Birth::Genesis => None,
        Birth::Child { growth, .. } => Some(growth),
    }
}

fn of_currency(registry: &Registry, currency: Currency) -> impl Iterator<Item = &ChainRecord> {
    registry.chains.iter().filter(move |record| record.currency == currency)
}

/// A chain that may have a child: wallets are at home there.
fn parent_of(registry: &Registry, parent: ChainId) -> Result<&ChainRecord, ChangeFault> {
    let record = registry.chain(parent).filter(|record| !record.is_removed());
    let record = record.ok_or(ChangeFault::ParentUnknown { chain: parent })?;
    if record.is_home() { Ok(record) } else { Err(ChangeFault::ChainNotGrown { chain: parent }) }
}

/// Whether every shard of the currency has a child that is as far as this says.
fn children_for_all(
    registry: &Registry,
    currency: Currency,
    is_far: impl Fn(Growth) -> bool,
) -> Result<(), ChangeFault> {
    let mut shards = 0_u16;
    for home in of_currency(registry, currency).filter(|record| record.is_home()) {
        let is_ready = |record: &&ChainRecord| {
            record.parent() == Some(home.chain) && growth_of(record).is_some_and(&is_far)
        };
        if !registry.chains.iter().any(|record| is_ready(&record)) {
            return Err(ChangeFault::ChainNotReady { currency, shard: home.shard });
        }
        shards = shards.saturating_add(1);
    }
    if shards == 0 { Err(ChangeFault::ChainNotReady { currency, shard: 0 }) } else { Ok(()) }
}
