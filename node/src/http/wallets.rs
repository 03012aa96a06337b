//! `GET /v1/wallets/{id}` and its history. All of an answer is read from one snapshot, so it belongs to one height.

use std::collections::BTreeMap;

use api::error::ApiError;
use api::wallet::{
    Between, Cursor, HISTORY_PAGE_DEFAULT, HISTORY_PAGE_MAX, HistoryEntry, HistoryPage, HistoryQuery,
    WalletMoment, WalletQuery, WalletState, WalletView,
};
use axum::Json;
use axum::extract::State;
use chain::rows::HistoryRow;
use chain::{Archive, RowFault};
use ledger::records::{ChainRecord, Outcome};
use ledger::values::{ChainId, Height, TransactionId, WalletId};
use storage::{Reader, Table};

use super::edge::Edge;
use super::finding::find_wallet;
use super::parameters::{Ask, Place, limit};
use super::refusal::{Refusal, pruned};

/// Outcomes that a history page may read to name its transactions; then it ends early and says where to go on.
pub(crate) const HISTORY_OUTCOMES_MAX: usize = 200_000;

/// Shows a wallet.
///
/// Without `chain` it is looked for from its home on: while shards double, also with the chain that it has not left yet and on the one
/// that it has moved to. With `chain`, that chain alone says what it has: of a wallet that has moved away, its tombstone (`moved_to`).
#[utoipa::path(
    get,
    path = api::path::WALLET,
    tag = "wallets",
    params(("id" = String, Path, description = "wallet id, bech32m text starting with jz1"), WalletQuery),
    responses(
        (status = 200, description = "the wallet after one height", body = WalletView),
        (status = "4XX", description = "refused; 1009 when it is on several chains, 1410 when it is elsewhere, 1415 between two chains", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn wallet(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<WalletQuery>,
) -> Result<Json<WalletView>, Refusal> {
    let id: WalletId = place.get("id")?;
    let found = find_wallet(&edge, id, query.chain, move |archive, at, _, wallet| {
        let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let (timestamp_ms, certified_height) = (head.timestamp.0, at.certified_height);
        let moment = WalletMoment { height: head.height, timestamp_ms, certified_height };
        let lanes = at.spec.params.tier(wallet.tier).lanes;
        Ok(WalletView::new((at.chain(), at.spec.currency), moment, wallet, lanes))
    });
    found.await?.map(Json).ok_or_else(|| edge.no_wallet(&id, query.chain))
}

/// Shows what happened to a wallet, newest first, on one chain. What happened before it moved is asked for with `chain`: an entry
/// `moved_in` names the chain that it came from, `moved_out` the one that it went to (`other_chain`).
#[utoipa::path(
    get,
    path = api::path::WALLET_HISTORY,
    tag = "wallets",
    params(("id" = String, Path, description = "wallet id, bech32m text starting with jz1"), HistoryQuery),
    responses(
        (status = 200, description = "a page; go on with `before` = `next`", body = HistoryPage),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn history(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<HistoryQuery>,
) -> Result<Json<HistoryPage>, Refusal> {
    let id: WalletId = place.get("id")?;
    let rows = limit(query.limit, HISTORY_PAGE_DEFAULT, HISTORY_PAGE_MAX)?;
    let before = query.before.map(|cursor| (cursor.height, cursor.index, cursor.part));
    let registry = edge.registry();
    let found = find_wallet(&edge, id, query.chain, move |archive, at, slot, wallet| {
        if let (Some((height, ..)), Some(lowest)) = (before, archive.pruned_below()?)
            && height < lowest
        {
            return Err(pruned("before", lowest));
        }
        // One more than asked for says whether there is a next page.
        let found = archive.history(slot, before, rows.saturating_add(1))?;
        let from = registry.chain(at.chain()).and_then(ChainRecord::parent);
        let (_, to) = WalletState::of(wallet.status);
        let between = Between { from, to: to.map(ChainId) };
        let (entries, next) = entries(archive, &found, rows, between)?;
        let (chain, currency, certified_height) = (at.chain().0, at.spec.currency, at.certified_height.0);
        Ok(HistoryPage { wallet: id, chain, currency, certified_height, entries, next })
    });
    found.await?.map(Json).ok_or_else(|| edge.no_wallet(&id, query.chain))
}

/// The entries of a page and the cursor of the next one.
fn entries<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    found: &[HistoryRow],
    rows: usize,
    between: Between,
) -> Result<(Vec<HistoryEntry>, Option<Cursor>), RowFault> {
    let mut blocks: BTreeMap<Height, BlockFacts> = BTreeMap::new();
    let (mut entries, mut outcomes_read) = (Vec::new(), 0_usize);
    let mut last = None;
    for row in found {
        if entries.len() == rows || outcomes_read > HISTORY_OUTCOMES_MAX {
            return Ok((entries, last));
        }
        if !blocks.contains_key(&row.height) {
            // Rows come by descending height, so earlier ones are not needed any more.
            blocks.clear();
            let facts = BlockFacts::read(archive, row.height)?;
            outcomes_read = outcomes_read.saturating_add(facts.outcomes.len());
            blocks.insert(row.height, facts);
        }
        let cursor = Cursor { height: row.height, index: row.index, part: row.part };
        let facts = blocks.get(&row.height);
        let timestamp_ms = facts.map_or(0, |facts| facts.timestamp_ms);
        let transaction = facts.and_then(|facts| facts.transaction(row.index));
        entries.push(HistoryEntry::new(cursor, timestamp_ms, transaction, &row.movement, between));
        last = Some(cursor);
    }
    Ok((entries, None))
}

/// What a block adds to the history entries of its height.
struct BlockFacts {
    timestamp_ms: u64,
    outcomes: Vec<Outcome>,
}

impl BlockFacts {
    fn read<R: Reader + ?Sized>(archive: &Archive<'_, R>, height: Height) -> Result<Self, RowFault> {
        let block = archive.block_at(height)?.ok_or(RowFault::Missing { table: Table::Blocks })?;
        let outcomes = archive.outcomes(height)?.unwrap_or_default();
        Ok(Self { timestamp_ms: block.header.timestamp.0, outcomes })
    }

    fn transaction(&self, index: u32) -> Option<TransactionId> {
        let place = self.outcomes.binary_search_by_key(&index, |outcome| outcome.index).ok()?;
        self.outcomes.get(place).map(|outcome| outcome.id)
    }
}
