//! Pruning: heights that a node need not keep are removed, by its own policy. The state is never touched.
//!
//! | what | a network of one chain | of several |
//! | --- | --- | --- |
//! | batches, bundles, outcomes, places of transactions, history | removed | removed |
//! | blocks, order, certificates, results | removed | kept: proofs of receipts for other chains may need them |
//! | records, names, receipts sent, outboxes, refunds, registries, evidence | kept | kept |
//!
//! - How far ([`prunable`]): below the newest `keep_blocks`, below what is certified, and older than [`prune_age_ms`]: within that lies the
//!   window in which a batch may not be ordered again, and what follows the snapshots that a joining node may have begun with.
//! - A step ([`prune_step`]) is one write set: the row [`rows::PRUNED`] and the deletions, together or not at all. So after a crash the row
//!   says exactly what is there. Whoever reads looks at the row first.
//! - Lines of history lie by wallet, not by height. They are hidden at once, by the row, and removed by [`sweep_history`], page by page.
//! - The change of set that a removed block proved is kept as a row of its own, as after a join by snapshot, and the place of that block.

use std::ops::Bound;

use ledger::proofs::SetChain;
use ledger::records::batch::BATCH_LIFE_MS_MAX;
use ledger::state::head::ORDERED_BUCKET_MS;
use ledger::values::{Canonical as _, Epoch, Height};
use storage::{Durability, Page, Reader, Store, Table, WriteSet, key};

use crate::archive::Archive;
use crate::config::SNAPSHOTS_KEPT;
use crate::rows::{self, RowFault};

/// Block time within which nothing is pruned, whatever the policy, at a node that keeps a snapshot of every `snapshot_every_ms`: four minutes as these are
/// usually set.
#[must_use]
pub const fn prune_age_ms(snapshot_every_ms: u64) -> u64 {
    let snapshots_ms = snapshot_every_ms.saturating_mul(SNAPSHOTS_KEPT as u64 + 1);
    snapshots_ms.saturating_add(BATCH_LIFE_MS_MAX + ORDERED_BUCKET_MS)
}

/// Most heights of a step.
pub const PRUNE_HEIGHTS_MAX: u64 = 256;
/// A step ends with the height that reaches this many deletions. The heaviest block alone may have more.
pub const PRUNE_DELETIONS_MAX: usize = 8_192;
/// Lines of history that are looked at in a step of the sweep.
pub const SWEEP_ROWS_MAX: usize = 4_096;

/// Tables whose rows go with their height, where nothing else needs them.
const BY_HEIGHT: [Table; 3] = [Table::Heights, Table::Certificates, Table::Results];

/// Tables with rows of removed heights that are worth a [`Store::reclaim`], and whether their keys are heights.
pub const RECLAIMED: [(Table, bool); 7] = [
    (Table::Batches, false),
    (Table::Bundles, false),
    (Table::Blocks, false),
    (Table::Outcomes, true),
    (Table::Heights, true),
    (Table::Certificates, true),
    (Table::Results, true),
];

/// The height below which a store that keeps the newest `keep_blocks`, and all that is younger than `age_ms` of block time, may be pruned now; where it is pruned already, or less.
///
/// # Errors
/// [`RowFault`].
pub fn prunable<R: Reader + ?Sized>(store: &R, keep_blocks: u64, age_ms: u64) -> Result<Height, RowFault> {
    let archive = Archive::new(store);
    let lowest = archive.lowest_whole()?;
    let (Some(head), false) = (archive.head()?, archive.is_joining()?) else { return Ok(lowest) };
    let certified = archive.newest_certified()?.unwrap_or_default();
    let highest = certified.min(head.height).next().0.saturating_sub(keep_blocks);
    // A node whose results differ goes back to what is certified, and reads from there what may not be ordered again.
    let Some(newest) = archive.block_at(certified.min(head.height))? else { return Ok(lowest) };
    let young = newest.header.timestamp.0.saturating_sub(age_ms);
    // The first height that is too young: timestamps ascend.
    let (mut low, mut high) = (lowest.0, highest.max(lowest.0));
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low) / 2);
        let block = archive.block_at(Height(middle))?.ok_or(RowFault::Missing { table: Table::Blocks })?;
        if block.header.timestamp.0 < young {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    // A start reads back to the first block that is older: one of those stays.
    Ok(Height(low.saturating_sub(1)).max(lowest))
}

/// Removes the next heights below `until`, which [`prunable`] gave, in one write; answers the height below which the store is pruned then, or
/// `None` where nothing is left to do.
///
/// # Errors
/// [`RowFault`]; nothing was removed then.
pub fn prune_step(store: &dyn Store, until: Height) -> Result<Option<Height>, RowFault> {
    let archive = Archive::new(store);
    let from = archive.lowest_whole()?;
    let Some(head) = archive.head()?.filter(|_| from < until) else { return Ok(None) };
    let registry = archive.registry_at(head.height)?;
    let registry = registry.ok_or(RowFault::Missing { table: Table::Registries })?;
    let is_alone = registry.chains.len() == 1;
    let mut set = WriteSet::new();
    let mut below = from;
    while below < until
        && below.0.saturating_sub(from.0) < PRUNE_HEIGHTS_MAX
        && set.operations() < PRUNE_DELETIONS_MAX
    {
        remove(&archive, below, is_alone, &mut set)?;
        below = below.next();
    }
    let (first, after) = (key::height(from.0), key::height(below.0));
    set.delete_range(Table::Outcomes, first, after);
    if is_alone {
        BY_HEIGHT.into_iter().for_each(|table| set.delete_range(table, first, after));
        keep_set_links(&archive, (from, below), &mut set)?;
    }
    set.put(Table::Meta, rows::PRUNED, after);
    store.write(set, Durability::Buffered)?;
    Ok(Some(below))
}

/// Removes what a height has under other keys than itself.
fn remove<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    height: Height,
    is_alone: bool,
    set: &mut WriteSet,
) -> Result<(), RowFault> {
    let digest = archive.digest(height)?.ok_or(RowFault::Missing { table: Table::Heights })?;
    let block = archive.block(digest)?.ok_or(RowFault::Missing { table: Table::Blocks })?;
    for batch in &block.body.batches {
        set.delete(Table::Batches, batch.0);
    }
    for bundle in &block.body.bundles {
        set.delete(Table::Bundles, bundle.0);
    }
    for outcome in archive.outcomes(height)?.unwrap_or_default() {
        set.delete(Table::Transactions, outcome.id.0);
    }
    if is_alone {
        set.delete(Table::Blocks, digest.0);
    }
    Ok(())
}

/// Keeps what removed blocks proved of changes of set. The last block of an epoch claims the height below it, so the one above the removed
/// heights counts too.
fn keep_set_links<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    (from, below): (Height, Height),
    set: &mut WriteSet,
) -> Result<(), RowFault> {
    let epoch = |height: Height| -> Result<Option<Epoch>, RowFault> {
        Ok(archive.block_at(height)?.map(|block| block.header.epoch))
    };
    let mut height = from;
    let mut own = epoch(height)?;
    while height <= below {
        let next = epoch(height.next())?;
        if let (Some(ended), Some(begun)) = (own, next)
            && ended != begun
        {
            let link = archive.set_link(begun)?.ok_or(RowFault::Missing { table: Table::Certificates })?;
            let only = SetChain { origin: None, links: vec![link] };
            set.put(Table::Meta, rows::set_link(begun), only.encode());
            if height < below {
                // The next epoch's engine begins above it.
                let digest = archive.digest(height)?.ok_or(RowFault::Missing { table: Table::Heights })?;
                set.put(Table::Heights, key::height(height.0), digest.0);
            }
        }
        (own, height) = (next, height.next());
    }
    Ok(())
}

/// Removes lines of history below a height, of one page after the key `after`; answers the key to go on after, or `None` at the end.
///
/// # Errors
/// [`RowFault`].
pub fn sweep_history(
    store: &dyn Store,
    below: Height,
    after: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, RowFault> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let rows = store.scan(Table::History, Page { from, ..Page::first(SWEEP_ROWS_MAX) })?;
    let mut set = WriteSet::new();
    for (place, _) in &rows {
        let (_, height, ..) = key::split_history(place).ok_or(RowFault::Missing { table: Table::History })?;
        if height < below.0 {
            set.delete(Table::History, place.as_slice());
        }
    }
    if !set.is_empty() {
        store.write(set, Durability::Buffered)?;
    }
    Ok(rows.into_iter().next_back().map(|(place, _)| place))
}
