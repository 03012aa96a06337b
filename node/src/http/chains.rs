//! `GET /v1/chains` and `GET /v1/chains/{chain}`: which chains there are, and how far this node is on those it hosts.

use std::sync::Arc;

use api::chain::{ChainView, ChainsView, ProgressView, SupplyView};
use api::error::ApiError;
use axum::Json;
use axum::extract::State;
use chain::RowFault;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{ChainRecord, Registry};
use ledger::values::ChainId;
use storage::Table;

use super::edge::Edge;
use super::parameters::Place;
use super::refusal::Refusal;
use crate::handle::{ChainHandle, Voting};

/// Lists all chains of the network.
#[utoipa::path(
    get,
    path = api::path::CHAINS,
    tag = "chains",
    responses(
        (status = 200, description = "all chains, with progress where this node hosts them", body = ChainsView),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "a store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn chains(State(edge): State<Edge>) -> Result<Json<ChainsView>, Refusal> {
    let mut chains = Vec::new();
    let registry = known(&edge);
    for record in &registry.chains {
        chains.push(view(&edge, record).await?);
    }
    Ok(Json(ChainsView { chains }))
}

/// Shows one chain.
#[utoipa::path(
    get,
    path = api::path::CHAIN,
    tag = "chains",
    params(("chain" = u32, Path, description = "chain id")),
    responses(
        (status = 200, description = "the chain, with progress where this node hosts it", body = ChainView),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn chain(State(edge): State<Edge>, place: Place) -> Result<Json<ChainView>, Refusal> {
    let chain: ChainId = place.get("chain")?;
    let registry = known(&edge);
    let record = registry.chain(chain).ok_or_else(|| Refusal::from(edge.no_chain(chain)))?;
    view(&edge, record).await.map(Json)
}

/// The registry that knows most of how far children are: that of chain 0, where it is here.
fn known(edge: &Edge) -> Arc<Registry> {
    edge.hosted(ROOT_CHAIN).map_or_else(|| edge.registry(), ChainHandle::registry)
}

async fn view(edge: &Edge, record: &ChainRecord) -> Result<ChainView, Refusal> {
    let chain = record.chain;
    // One that fetches its state has nothing to show yet.
    let progress = match edge.hosted(chain).filter(|handle| handle.now().chain.joining.is_none()) {
        Some(handle) => Some(progress(edge, handle).await?),
        None => None,
    };
    // Of a chain that is elsewhere, the newest set that was proved here.
    let (registry, epoch) = match edge.hosted(chain) {
        Some(handle) => (handle.registry(), Some(handle.now().chain.epoch)),
        None => (edge.registry(), None),
    };
    let epoch = epoch.or_else(|| registry.newest_epoch(chain).map(|record| record.epoch));
    let validators = epoch.map_or(record.wanted.as_slice(), |epoch| registry.validators(chain, epoch));
    let view = ChainView::of(record, validators, progress);
    // Who is barred on a chain is in its own registry alone.
    let barred = registry.chain(chain).filter(|_| edge.hosted(chain).is_some()).map(|own| &own.barred);
    let barred_operators = barred.into_iter().flatten().map(|operator| operator.0).collect();
    Ok(ChainView { barred_operators, ..view })
}

async fn progress(edge: &Edge, chain: &ChainHandle) -> Result<ProgressView, Refusal> {
    let (status, id, held) = (chain.now(), chain.chain(), chain.held.clone());
    edge.read(chain, move |archive| {
        let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let registry = archive.registry_at(head.height)?;
        let registry = registry.ok_or(RowFault::Missing { table: Table::Registries })?;
        // An epoch that has begun is in the registry.
        let epoch = registry.epoch(id, status.chain.epoch);
        Ok(ProgressView {
            epoch: status.chain.epoch.0,
            epoch_first_height: epoch.map_or(1, |epoch| epoch.first_height.0),
            closing_height: epoch.and_then(|epoch| epoch.last_height).map(|last| last.0),
            registry_version: registry.version,
            lowest_height: held.lowest_block().map(|lowest| lowest.0),
            pruned_below: held.pruned_below().map(|below| below.0),
            height: head.height.0,
            timestamp_ms: head.timestamp.0,
            base_fee_micro_fen: head.base_fee.micro_fen(),
            certified_height: status.chain.certified_height.0,
            state_root: head.state,
            result: head.result,
            records: head.records,
            supply: SupplyView::from(&head.supply),
            pooled_transactions: status.chain.pooled_transactions as u64,
            is_voting: status.voting == Voting::Yes,
        })
    })
    .await
}
