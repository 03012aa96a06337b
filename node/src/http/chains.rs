//! `GET /v1/chains` and `GET /v1/chains/{chain}`: which chains there are, and how far this node is on those it hosts.

use api::chain::{ChainView, ChainsView, ProgressView, SupplyView};
use api::error::ApiError;
use axum::Json;
use axum::extract::State;
use chain::RowFault;
use ledger::records::{ChainSpec, ValidatorRecord};
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
    for spec in &edge.parts().spec.chains {
        chains.push(view(&edge, spec).await?);
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
    let spec = edge.parts().spec.chain(chain).ok_or_else(|| Refusal::from(edge.no_chain(chain)))?;
    view(&edge, spec).await.map(Json)
}

async fn view(edge: &Edge, spec: &ChainSpec) -> Result<ChainView, Refusal> {
    match edge.hosted(spec.chain) {
        Some(handle) => {
            let (progress, validators) = progress(edge, handle).await?;
            Ok(ChainView::new(spec, &validators, Some(progress)))
        }
        None => {
            let known = edge.record(spec.chain).and_then(|record| record.epochs.last().cloned());
            let validators = known.map_or_else(|| spec.validators.clone(), |epoch| epoch.validators);
            Ok(ChainView::new(spec, &validators, None))
        }
    }
}

/// How far a chain is, and who decides its next height.
async fn progress(edge: &Edge, chain: &ChainHandle) -> Result<(ProgressView, Vec<ValidatorRecord>), Refusal> {
    let (status, id) = (*chain.status.borrow(), chain.chain());
    edge.read(chain, move |archive| {
        let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let missing = RowFault::Missing { table: Table::Registries };
        let registry = archive.registry_at(head.height)?.ok_or(missing)?;
        let missing = RowFault::Missing { table: Table::Registries };
        let epoch = registry.epoch_at(id, head.height.next()).ok_or(missing)?;
        let progress = ProgressView {
            epoch: epoch.epoch.0,
            epoch_first_height: epoch.first_height.0,
            closing_height: epoch.last_height.map(|last| last.0),
            registry_version: registry.version,
            height: head.height.0,
            timestamp_ms: head.timestamp.0,
            certified_height: status.chain.certified_height.0,
            state_root: head.state,
            result: head.result,
            records: head.records,
            supply: SupplyView::from(&head.supply),
            pooled_transactions: status.chain.pooled_transactions as u64,
            is_voting: status.voting == Voting::Yes,
        };
        Ok((progress, epoch.validators.clone()))
    })
    .await
}
