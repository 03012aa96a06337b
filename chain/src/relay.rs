//! The relay: makes bundles out of what a chain has stored and certified.
//!
//! - A bundle begins where its destination stands and ends at the last receipt that some certified result covers, at most
//!   [`BUNDLE_RECEIPTS_MAX`] further.
//! - It needs the source's store only, and changes nothing: every node that hosts the source may run it, as often as it likes.

use ledger::records::bundle::BUNDLE_RECEIPTS_MAX;
use ledger::records::{Bundle, Pending, Receipt};
use ledger::state::Outbox;
use ledger::state::outbox::{RECEIPTS_TAG, receipt_leaf};
use ledger::values::{AppendTree, ChainId, Height};
use storage::{Order, Page, Reader, Table, key};

use crate::archive::Archive;
use crate::rows::{self, Outboxes, RowFault, SentRow};

/// Heights below the newest certified one that are tried for a result whose receipts are few enough to be proved: a bundle shows what it
/// leaves out as subtrees, made of every receipt up to the certified count.
const RECEIPTS_READ_MAX: u64 = 16 * BUNDLE_RECEIPTS_MAX as u64;

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
    let Some((at, _)) = outboxes_at(store, certified)? else { return Ok(None) };
    if sent(store, at, destination)?.is_none_or(|tree| tree.count <= first) {
        return Ok(None);
    }
    // The lowest height that has sent enough: what lies between it and the newest need not be read.
    let Some(row) = sent_row(store, destination, first)? else { return Ok(None) };
    let enough = first.saturating_add(RECEIPTS_READ_MAX);
    let height = match sent(store, at, destination)? {
        Some(tree) if tree.count > enough => row.height,
        _ => at,
    };
    let Some(certified) = archive.certified_result(height)? else { return Ok(None) };
    let Some((_, outboxes)) = outboxes_at(store, height)? else { return Ok(None) };
    let Some(until) = sent(store, height, destination)?.map(|tree| tree.count) else { return Ok(None) };
    // The tree before the height that sent the first receipt, and what that height sent before it.
    let before = sent(store, Height(row.height.0.saturating_sub(1)), destination)?.unwrap_or_default();
    let total = archive.result(Height(row.height.0.saturating_sub(1)))?;
    let mut total_before = total.map_or(0, |result| result.supply.pair(destination).sent.total);
    let missing = RowFault::Missing { table: Table::Receipts };
    let mut receipts = receipts(store, destination, before.count, until)?.into_iter();
    let mut tree: AppendTree = before;
    while tree.count < first {
        let receipt = receipts.next().ok_or(RowFault::Missing { table: Table::Receipts })?;
        total_before = total_before.saturating_add(u128::from(receipt.value().fen()));
        if !tree.append(RECEIPTS_TAG, receipt_leaf(&receipt)) {
            return Err(missing);
        }
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
    let outboxes = outboxes_at(store, height)?.map(|(_, outboxes)| outboxes).unwrap_or_default();
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

fn sent<R: Reader + ?Sized>(
    store: &R,
    height: Height,
    destination: ChainId,
) -> Result<Option<AppendTree>, RowFault> {
    let outboxes = outboxes_at(store, height)?.map(|(_, outboxes)| outboxes).unwrap_or_default();
    Ok(outboxes.into_iter().find(|outbox| outbox.chain == destination).map(|outbox| outbox.tree))
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
    let missing = || RowFault::Missing { table: Table::Receipts };
    (from..until)
        .map(|sequence| Ok(sent_row(store, destination, sequence)?.ok_or_else(missing)?.receipt))
        .collect()
}
