//! `GET /v1/chains/{chain}/locks/{id}`: a lock, or the offer of an exchange, after one height. `GET /v1/wallets/{id}/locks`: the open
//! ones that name a wallet.
//!
//! An exchange has a record on each of its two chains, under one id: each is asked for on its own chain. What became of it is proved by
//! the record: `…/proof`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::code::ErrorCode;
use api::error::ApiError;
use api::lock::{
    LOCKS_PAGE_DEFAULT, LOCKS_PAGE_MAX, LockMoment, LockStateName, LockView, LocksPage, LocksQuery,
};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chain::{Archive, RowFault};
use ledger::records::{Record, Registry};
use ledger::state::StateHead;
use ledger::values::{ChainId, LockId, Slot, WalletId};
use storage::{Reader, Table};
use tokio::time::Instant;

use super::edge::{Edge, Moment};
use super::finding::find_wallet;
use super::parameters::{Ask, Place, limit};
use super::proofs::{PROOF_WAIT_MS, of_record};
use super::refusal::Refusal;

/// Shows a lock, or the offer of an exchange.
///
/// An exchange has one id on two chains: the lock where the money is, the offer where it is decided.
#[utoipa::path(
    get,
    path = api::path::LOCK,
    tag = "locks",
    params(
        ("chain" = u32, Path, description = "chain id"),
        ("id" = String, Path, description = "lock id, bech32m text starting with jzl1")
    ),
    responses(
        (status = 200, description = "the lock or offer after one height", body = LockView),
        (status = "4XX", description = "refused; 1412 when the chain has none under this id", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn lock(State(edge): State<Edge>, place: Place) -> Result<Json<LockView>, Refusal> {
    let (chain, id) = (edge.chain(place.get::<ChainId>("chain")?)?, place.get::<LockId>("id")?);
    let network = edge.registry();
    let chains = [chain];
    let found = edge.find(&chains, move |archive, at| Ok(view(archive, at, &network, id)?));
    found.await?.map(Json).ok_or_else(|| ApiError::from(ErrorCode::LockUnknown).at("id").into())
}

/// Proves what a lock or an offer is: open, or how it ended.
#[utoipa::path(
    get,
    path = api::path::LOCK_PROOF,
    tag = "locks",
    params(
        ("chain" = u32, Path, description = "chain id"),
        ("id" = String, Path, description = "lock id, bech32m text starting with jzl1")
    ),
    responses(
        (status = 200, description = "canonical bytes of a proof file", content(("application/octet-stream"))),
        (status = "4XX", description = "refused; 1409 when no certificate covers it in time", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn proof(State(edge): State<Edge>, place: Place) -> Result<Response, Refusal> {
    let (chain, id) = (edge.chain(place.get::<ChainId>("chain")?)?, place.get::<LockId>("id")?);
    let _place = Arc::clone(edge.waits()).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let until = Instant::now() + Duration::from_millis(PROOF_WAIT_MS.min(edge.parts().limits.wait_ms));
    if edge.read(chain, move |archive| Ok(archive.lock(id)?)).await?.is_none() {
        return Err(ApiError::from(ErrorCode::LockUnknown).at("id").into());
    }
    of_record(&edge, chain, id.into(), until).await
}

/// Lists the open locks and offers that name a wallet, on the chain where it is: what it has locked, what is locked for it, and what it
/// is asked to pay or would be paid. Oldest first.
#[utoipa::path(
    get,
    path = api::path::WALLET_LOCKS,
    tag = "wallets",
    params(("id" = String, Path, description = "wallet id, bech32m text starting with jz1"), LocksQuery),
    responses(
        (status = 200, description = "a page; go on with `from` = `next`", body = LocksPage),
        (status = "4XX", description = "refused; as for the wallet itself", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn of_wallet(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<LocksQuery>,
) -> Result<Json<LocksPage>, Refusal> {
    let wallet: WalletId = place.get("id")?;
    let rows = limit(query.limit, LOCKS_PAGE_DEFAULT, LOCKS_PAGE_MAX)?;
    let found = find_wallet(&edge, wallet, query.chain, move |_, at, _, _| Ok(at.chain())).await?;
    let chain = edge.chain(found.ok_or_else(|| edge.no_wallet(&wallet, query.chain))?)?;
    // Which ones is in the memory of the executor; what they are is read from the store, where some may be over meanwhile.
    let named = chain.wallets.locks(wallet, Slot(query.from.unwrap_or(0)), rows).await?;
    let (network, next) = (edge.registry(), named.next.map(|next| next.0));
    let locks = edge
        .find(&[chain], move |archive, at| {
            // The records before the head: what is written meanwhile must be among what the undo records tell.
            let mut records = Vec::with_capacity(named.slots.len());
            for slot in named.slots.iter().copied() {
                records.extend(archive.lock_at(slot)?.map(|record| (slot, record)));
            }
            let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
            let slots: BTreeSet<Slot> = records.iter().map(|(slot, _)| *slot).collect();
            let changed = archive.changed(&slots, at.certified_height, head.height)?;
            let mut locks = Vec::with_capacity(records.len());
            for (slot, record) in &records {
                let is_certified = changed.as_ref().is_some_and(|changed| !changed.contains(slot));
                let view = view_at(at, &head, is_certified, &network, record)?;
                locks.extend(view.filter(|view| view.state == LockStateName::Open));
            }
            Ok(Some(locks))
        })
        .await?;
    Ok(Json(LocksPage { wallet, chain: chain.chain().0, locks: locks.unwrap_or_default(), next }))
}

/// A lock or an offer as the chain has it.
pub(crate) fn view<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    at: &Moment,
    network: &Registry,
    id: LockId,
) -> Result<Option<LockView>, RowFault> {
    let Some((slot, record)) = archive.lock(id)? else { return Ok(None) };
    let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
    let is_certified = archive.is_unchanged(slot, at.certified_height, head.height)?;
    view_at(at, &head, is_certified, network, &record)
}

/// A record as it is after a height; `None` where it is neither lock nor offer.
fn view_at(
    at: &Moment,
    head: &StateHead,
    is_certified: bool,
    network: &Registry,
    record: &Record,
) -> Result<Option<LockView>, RowFault> {
    let moment =
        LockMoment { chain: at.chain(), height: head.height, timestamp: head.timestamp, is_certified };
    let currency = |chain: ChainId| network.currency(chain);
    let view = match record {
        Record::Lock(lock) => LockView::of_lock(moment, lock, currency),
        Record::Offer(offer) => LockView::of_offer(moment, offer, currency),
        _ => return Ok(None),
    };
    // Every chain that a record names was in the registry when the ledger took the record in, and none is ever taken out of it.
    view.map(Some).ok_or(RowFault::Missing { table: Table::Registries })
}
