//! `GET /v1/chains/{chain}/blocks/{height}` and its outcomes.

use api::bulk::BULK_CONTENT_TYPE;
use api::chain::{BlockView, ResultView};
use api::code::ErrorCode;
use api::error::ApiError;
use api::feed::encode_outcomes;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use ledger::values::{ChainId, Height};

use super::edge::Edge;
use super::parameters::Place;
use super::refusal::{Refusal, pruned};

/// Shows a final block.
#[utoipa::path(
    get,
    path = api::path::BLOCK,
    tag = "chains",
    params(("chain" = u32, Path, description = "chain id"), ("height" = u64, Path, description = "height, from 1")),
    responses(
        (status = 200, description = "the block and its result", body = BlockView),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn block(State(edge): State<Edge>, place: Place) -> Result<Json<BlockView>, Refusal> {
    let (chain, height) = (edge.chain(place.get::<ChainId>("chain")?)?, place.get::<Height>("height")?);
    let certified = chain.now().chain.certified_height;
    let (genesis, currency) = (edge.genesis(), chain.spec.currency);
    let held = chain.held.clone();
    // Of a pruned height the block may be left, and not what it orders: it is not shown.
    held.pruned_below()
        .filter(|lowest| height < *lowest)
        .map_or(Ok(()), |lowest| Err(pruned("height", lowest)))?;
    let read = edge.read(chain, move |archive| {
        let block = archive.block_at(height)?.ok_or_else(|| absent(height, held.lowest_block()))?;
        let result = archive.result(height)?;
        let result = result.map(|result| ResultView::new(&result, genesis, height <= certified));
        Ok(BlockView::new(&block, currency, genesis, result))
    });
    read.await.map(Json)
}

/// Gives the outcomes of a block: canonical, 78 bytes each, in execution order.
#[utoipa::path(
    get,
    path = api::path::BLOCK_OUTCOMES,
    tag = "chains",
    params(("chain" = u32, Path, description = "chain id"), ("height" = u64, Path, description = "height, from 1")),
    responses(
        (status = 200, description = "canonical outcomes", content(("application/octet-stream"))),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn outcomes(State(edge): State<Edge>, place: Place) -> Result<Response, Refusal> {
    let (chain, height) = (edge.chain(place.get::<ChainId>("chain")?)?, place.get::<Height>("height")?);
    // Of the snapshot's own height the block is here, and not what became of it.
    let first = chain.held.lowest_whole();
    let read = edge.read(chain, move |archive| {
        let outcomes = archive.outcomes(height)?.ok_or_else(|| absent(height, first))?;
        Ok(encode_outcomes(&outcomes))
    });
    Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], read.await?).into_response())
}

fn absent(height: Height, lowest: Option<Height>) -> Refusal {
    match lowest {
        Some(lowest) if height < lowest => pruned("height", lowest),
        _ => ApiError::from(ErrorCode::BlockUnknown).at("height").because(height).into(),
    }
}
