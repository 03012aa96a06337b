//! The relay: makes bundles out of what a chain has stored and certified.
//!
//! - A bundle begins where its destination stands and ends at the last receipt that some certified result covers, at most
//!   [`BUNDLE_RECEIPTS_MAX`] further.
//! - It needs the source's store only, and changes nothing: every node that hosts the source may run it, as often as it likes.

use std::ops::Bound;

use ledger::records::bundle::BUNDLE_RECEIPTS_MAX;
use ledger::records::{Bundle, Pending, Receipt};
use ledger::state::Outbox;
use ledger::state::outbox::{RECEIPTS_TAG, receipt_leaf};
use ledger::values::{AppendTree, ChainId, Height};
use storage::{Order, Page, Reader, Table, key};

use crate::archive::Archive;
use crate::rows::{self, Outboxes, RowFault, SentRow};

/// Receipts between the first of a bundle and the certified count it is proved against: what the bundle leaves out is shown as subtrees, made
/// of all of them. Above it the count after the first receipt's own height is taken, and a height sends at most
/// [`ledger::rules::apply::BLOCK_SENT_MAX`] and its refunds.
const RECEIPTS_READ_MAX: u64 = 16 * BUNDLE_RECEIPTS_MAX as u64;
/// Rows read at a time.
const ROWS_PER_PAGE: usize = 1_024;

/// The bundle for `destination` that begins at receipt `first`, with a certificate that covers a height up to `certified`. `None` while
/// nothing certified is to be sent.
///
/// # Errors
/// [`RowFault`].
pub fn next_bundle<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    first: u64,
    certified: Height,
) -> Result<Option<Bundle>, RowFault> {
    let archive = Archive::new(store);
    let newest = outboxes_of(store, certified)?;
    let Some(sent_last) = tree_for(&newest, destination).filter(|tree| tree.count > first) else {
        return Ok(None);
    };
    let Some(row) = sent_row(store, destination, first)? else { return Ok(None) };
    let is_far = sent_last.count > first.saturating_add(RECEIPTS_READ_MAX);
    let height = if is_far { row.height } else { certified };
    let Some(certified) = archive.certified_result(height)? else { return Ok(None) };
    let outboxes = if is_far { outboxes_of(store, height)? } else { newest };
    let Some(until) = tree_for(&outboxes, destination).map(|tree| tree.count) else { return Ok(None) };
    // The tree before the height that sent the first receipt, and what that height sent before it.
    let below = Height(row.height.0.saturating_sub(1));
    let mut tree = tree_for(&outboxes_of(store, below)?, destination).cloned().unwrap_or_default();
    let mut total_before =
        archive.result(below)?.map_or(0, |result| result.supply.pair(destination).sent.total);
    let mut receipts = receipts(store, destination, tree.count, until)?.into_iter();
    let missing = || RowFault::Missing { table: Table::Receipts };
    while tree.count < first {
        let receipt = receipts.next().ok_or_else(missing)?;
        if !tree.append(RECEIPTS_TAG, receipt_leaf(&receipt, total_before)) {
            return Err(missing());
        }
        total_before = total_before.saturating_add(u128::from(receipt.value().fen()));
    }
    let rest: Vec<Receipt> = receipts.collect();
    let pending = Pending { before: &tree, total_before, receipts: &rest };
    Ok(Bundle::prove(destination, pending, &outboxes, certified))
}

/// How many receipts a chain had sent to each other chain after a height.
///
/// # Errors
/// [`RowFault`].
pub fn sent_counts<R: Reader + ?Sized>(store: &R, height: Height) -> Result<Vec<(ChainId, u64)>, RowFault> {
    let outboxes = outboxes_of(store, height)?;
    Ok(outboxes.into_iter().map(|outbox| (outbox.chain, outbox.tree.count)).collect())
}

/// The outboxes after a height, and the last height that changed them; `None` where nothing was sent yet.
pub(crate) fn outboxes_at<R: Reader + ?Sized>(
    store: &R,
    height: Height,
) -> Result<Option<(Height, Vec<Outbox>)>, RowFault> {
    let until = key::height(height.next().0);
    let page = Page { until: Some(&until), order: Order::Backward, ..Page::first(1) };
    let Some((place, bytes)) = store.scan(Table::Outboxes, page)?.into_iter().next() else { return Ok(None) };
    let at = key::number(&place).ok_or(RowFault::Missing { table: Table::Outboxes })?;
    let outboxes: Outboxes = rows::decode(Table::Outboxes, &bytes)?;
    Ok(Some((Height(at), outboxes.outboxes)))
}

/// The same without the height; empty where nothing was sent yet.
fn outboxes_of<R: Reader + ?Sized>(store: &R, height: Height) -> Result<Vec<Outbox>, RowFault> {
    Ok(outboxes_at(store, height)?.map(|(_, outboxes)| outboxes).unwrap_or_default())
}

fn tree_for(outboxes: &[Outbox], destination: ChainId) -> Option<&AppendTree> {
    outboxes.iter().find(|outbox| outbox.chain == destination).map(|outbox| &outbox.tree)
}

pub(crate) fn sent_row<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    sequence: u64,
) -> Result<Option<SentRow>, RowFault> {
    let row = store.get(Table::Receipts, &key::receipt(destination.0, sequence))?;
    row.map(|bytes| rows::decode(Table::Receipts, &bytes)).transpose()
}

/// Receipts `from..until` for a chain, in order.
fn receipts<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    from: u64,
    until: u64,
) -> Result<Vec<Receipt>, RowFault> {
    let rows = sent_rows(store, destination, from, until)?;
    Ok(rows.into_iter().map(|(_, row)| row.receipt).collect())
}

/// Receipts `from..until` for a chain with their numbers, in order; none is missing.
pub(crate) fn sent_rows<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    from: u64,
    until: u64,
) -> Result<Vec<(u64, SentRow)>, RowFault> {
    let (mut found, mut at) = (Vec::new(), from);
    let end = key::receipt(destination.0, until);
    while at < until {
        let (first, before) = (key::receipt(destination.0, at), at);
        let page = Page { from: Bound::Included(&first), until: Some(&end), ..Page::first(ROWS_PER_PAGE) };
        for (place, bytes) in store.scan(Table::Receipts, page)? {
            if place != key::receipt(destination.0, at) {
                return Err(RowFault::Missing { table: Table::Receipts });
            }
            found.push((at, rows::decode(Table::Receipts, &bytes)?));
            at = at.saturating_add(1);
        }
        // A page without anything new would be asked for again for ever.
        if at == before {
            return Err(RowFault::Missing { table: Table::Receipts });
        }
    }
    Ok(found)
}
