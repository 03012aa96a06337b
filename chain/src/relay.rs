//! The relay: makes bundles out of what a chain has stored and certified.
//!
//! - A bundle begins where its destination stands and ends at the last receipt that some certified result covers, at most
//!   [`BUNDLE_RECEIPTS_MAX`] further.
//! - Where the source's validator set has changed since the destination last heard, the changes go along; alone, if nothing else is to be
//!   sent, so that a certificate of validators that left is worthless everywhere soon.
//! - It needs the source's store only, and changes nothing: every node that hosts the source may run it, as often as it likes.

use std::ops::Bound;

use ledger::proofs::{CertifiedResult, SetLink};
use ledger::records::bundle::{BUNDLE_LINKS_MAX, BUNDLE_RECEIPTS_MAX};
use ledger::records::{Bundle, Pending, Receipt};
use ledger::state::Outbox;
use ledger::state::outbox::{RECEIPTS_TAG, receipt_leaf};
use ledger::values::{AppendTree, ChainId, Epoch, Height};
use storage::{Order, Page, Reader, Table, key};

use crate::archive::Archive;
use crate::rows::{self, Outboxes, RowFault, SentRow};

/// Receipts between the first of a bundle and the certified count it is proved against: what the bundle leaves out is shown as subtrees, made
/// of all of them. Above it the count after the first receipt's own height is taken, certified by the oldest set that may, and a height sends
/// at most [`ledger::rules::apply::BLOCK_SENT_MAX`] and its refunds. Only where the destination knows a newer set already, the whole backlog
/// is read for each bundle, a page at a time.
const RECEIPTS_READ_MAX: u64 = 16 * BUNDLE_RECEIPTS_MAX as u64;
/// Rows read at a time.
const ROWS_PER_PAGE: usize = 1_024;

/// The bundle for `destination` that begins at receipt `first`, with a certificate that covers a height up to `certified`. `known` is
/// the newest epoch of this chain that the destination's registry has: what came after it goes along, at most
/// [`BUNDLE_LINKS_MAX`] changes of set at a time, and the certificate is of the set that the destination then knows. `None` while nothing
/// certified is to be sent and no set has changed.
///
/// # Errors
/// [`RowFault`].
pub fn next_bundle<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    first: u64,
    certified: Height,
    known: Epoch,
) -> Result<Option<Bundle>, RowFault> {
    next_bundle_within(store, destination, first, certified, known, RECEIPTS_READ_MAX)
}

/// The same, where a backlog of more than `receipts_max` is gone through height by height, by the sets that decided then.
///
/// # Errors
/// [`RowFault`].
pub fn next_bundle_within<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    first: u64,
    certified: Height,
    known: Epoch,
    receipts_max: u64,
) -> Result<Option<Bundle>, RowFault> {
    let archive = Archive::new(store);
    let newest = outboxes_of(store, certified)?;
    let sent_last = tree_for(&newest, destination).map(|tree| tree.count).filter(|count| *count > first);
    if sent_last.is_none() && running_epoch(store, certified)? <= known {
        return Ok(None);
    }
    let row = match sent_last {
        Some(_) => sent_row(store, destination, first)?,
        None => None,
    };
    if sent_last.is_some() && row.is_none() && archive.joined_at()?.is_some() {
        // This node joined by a snapshot, which has no receipts that were sent before: others of the chain have them.
        return Ok(None);
    }
    let is_far = sent_last.is_some_and(|count| count > first.saturating_add(receipts_max));
    let height = row.as_ref().filter(|_| is_far).map_or(certified, |row| row.height);
    let Some((sets, certified)) = certified_for(&archive, known, height, is_far)? else { return Ok(None) };
    // The set may have certified another height than the wanted one.
    let height = certified.result.height;
    let outboxes = outboxes_of(store, height)?;
    let until = tree_for(&outboxes, destination).map_or(0, |tree| tree.count);
    let Some(row) = row.filter(|_| until > first) else {
        let none = Pending { before: &AppendTree::default(), total_before: 0, receipts: &[] };
        return Ok(Bundle::prove(destination, none, &[], certified, sets));
    };
    // The tree before the height that sent the first receipt, and what that height sent before it.
    let below = Height(row.height.0.saturating_sub(1));
    let mut tree = tree_for(&outboxes_of(store, below)?, destination).cloned().unwrap_or_default();
    let mut total_before =
        archive.result(below)?.map_or(0, |result| result.supply.pair(destination).sent.total);
    let mut rows = SentRows::new(store, destination, tree.count, until);
    let missing = || RowFault::Missing { table: Table::Receipts };
    while tree.count < first {
        let (_, row) = rows.next().ok_or_else(missing)??;
        if !tree.append(RECEIPTS_TAG, receipt_leaf(&row.receipt, total_before)) {
            return Err(missing());
        }
        total_before = total_before.saturating_add(u128::from(row.receipt.value().fen()));
    }
    let mut receipts = rows.map(|row| row.map(|(_, row)| row.receipt));
    let taken: Vec<Receipt> = receipts.by_ref().take(BUNDLE_RECEIPTS_MAX).collect::<Result<_, RowFault>>()?;
    let pending = Pending { before: &tree, total_before, receipts: &taken };
    Bundle::prove_paged(destination, pending, receipts, &outboxes, certified, sets)
}

/// The changes of set after epoch `known`, and a result near `height` that the newest of these sets has certified. Where the backlog `is_far`
/// beyond a bundle, no more changes than lead to a set that certified `height` itself: every later one has certified all that was sent
/// before it in one piece.
fn certified_for<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    known: Epoch,
    height: Height,
    is_far: bool,
) -> Result<Option<(Vec<SetLink>, CertifiedResult)>, RowFault> {
    let mut sets = Vec::new();
    while sets.len() < BUNDLE_LINKS_MAX {
        let newest = Epoch(known.0.saturating_add(sets.len() as u64));
        if is_far && may_certify(archive, newest, height)? {
            break;
        }
        let Some(link) = archive.set_link(Epoch(newest.0.saturating_add(1)))? else { break };
        sets.push(link);
    }
    // The newest may have certified nothing yet.
    loop {
        let epoch = sets.last().map_or(known, |link: &SetLink| link.set.epoch);
        let certified = match archive.epoch(epoch)? {
            Some(set) => archive.certified_in(&set, height)?,
            None => None,
        };
        if let Some(certified) = certified {
            return Ok(Some((sets, certified)));
        }
        if sets.pop().is_none() {
            return Ok(None);
        }
    }
}

/// Whether a result of `height` or above may be certified in an epoch: its last block claims the height below itself.
fn may_certify<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    epoch: Epoch,
    height: Height,
) -> Result<bool, RowFault> {
    let set = archive.epoch(epoch)?;
    Ok(set.is_some_and(|set| set.last_height.is_none_or(|last| height < last)))
}

/// How far a chain has come with another one that sends to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Receipts that it has executed.
    pub count: u64,
    /// The newest epoch of the sender that it knows.
    pub epoch: Epoch,
}

/// How far the chain of this store has come with each other one.
///
/// # Errors
/// [`RowFault`].
pub fn reached<R: Reader + ?Sized>(store: &R) -> Result<Vec<(ChainId, Reached)>, RowFault> {
    let archive = Archive::new(store);
    let Some(head) = archive.head()? else { return Ok(Vec::new()) };
    let registry = archive.registry_at(head.height)?.ok_or(RowFault::Missing { table: Table::Registries })?;
    let others = registry.chains.iter().filter(|record| record.chain != head.chain);
    let reached = others.map(|record| {
        let count = head.supply.pair(record.chain).received.count;
        let epoch = record.epochs.last().map_or(Epoch(0), |newest| newest.epoch);
        (record.chain, Reached { count, epoch })
    });
    Ok(reached.collect())
}

/// The epoch of this chain that was running at a certified height: a destination that knows an older one is to be told.
///
/// # Errors
/// [`RowFault`].
pub fn running_epoch<R: Reader + ?Sized>(store: &R, certified: Height) -> Result<Epoch, RowFault> {
    let running = Archive::new(store).epoch_at(certified)?;
    Ok(running.map_or(Epoch(0), |record| record.epoch))
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

/// Receipts `from..until` for a chain with their numbers, in order; none is missing.
pub(crate) fn sent_rows<R: Reader + ?Sized>(
    store: &R,
    destination: ChainId,
    from: u64,
    until: u64,
) -> Result<Vec<(u64, SentRow)>, RowFault> {
    SentRows::new(store, destination, from, until).collect()
}

/// The same with a page in memory at a time. A fault ends it.
struct SentRows<'a, R: Reader + ?Sized> {
    store: &'a R,
    destination: ChainId,
    /// The next one to be read.
    at: u64,
    until: u64,
    page: std::vec::IntoIter<(u64, SentRow)>,
}

impl<'a, R: Reader + ?Sized> SentRows<'a, R> {
    fn new(store: &'a R, destination: ChainId, from: u64, until: u64) -> Self {
        Self { store, destination, at: from, until, page: Vec::new().into_iter() }
    }

    fn read_page(&mut self) -> Result<Vec<(u64, SentRow)>, RowFault> {
        let first = key::receipt(self.destination.0, self.at);
        let end = key::receipt(self.destination.0, self.until);
        let page = Page { from: Bound::Included(&first), until: Some(&end), ..Page::first(ROWS_PER_PAGE) };
        let mut found = Vec::new();
        for (place, bytes) in self.store.scan(Table::Receipts, page)? {
            if place != key::receipt(self.destination.0, self.at) {
                return Err(RowFault::Missing { table: Table::Receipts });
            }
            found.push((self.at, rows::decode(Table::Receipts, &bytes)?));
            self.at = self.at.saturating_add(1);
        }
        // A page without anything new would be asked for again for ever.
        if found.is_empty() {
            return Err(RowFault::Missing { table: Table::Receipts });
        }
        Ok(found)
    }
}

impl<R: Reader + ?Sized> Iterator for SentRows<'_, R> {
    type Item = Result<(u64, SentRow), RowFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.page.next() {
            return Some(Ok(row));
        }
        if self.at >= self.until {
            return None;
        }
        match self.read_page() {
            Ok(page) => {
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(fault) => {
                self.at = self.until;
                Some(Err(fault))
            }
        }
    }
}
