//! `GET /v1/chains/{chain}/origin`: what a chain that was added after genesis began with, proved by chain 0 to whoever has the genesis file.
//! A node begins such a chain with it, and a proof of that chain's state has it inside.

use api::bulk::BULK_CONTENT_TYPE;
use api::code::ErrorCode;
use api::error::ApiError;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use ledger::records::registry::ROOT_CHAIN;
use ledger::values::{Canonical as _, ChainId};

use super::edge::Edge;
use super::parameters::Place;
use super::refusal::Refusal;
use crate::handle::ChainHandle;

/// Gives the origin of a chain.
#[utoipa::path(
    get,
    path = api::path::ORIGIN,
    tag = "chains",
    params(("chain" = u32, Path, description = "chain id")),
    responses(
        (status = 200, description = "canonical bytes of the origin of a chain", content(("application/octet-stream"))),
        (status = "4XX", description = "refused; 1414 when genesis names the chain, or it is not known here that it was added", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn origin(State(edge): State<Edge>, place: Place) -> Result<Response, Refusal> {
    let id: ChainId = place.get("chain")?;
    // The chain itself has it, and so has chain 0.
    let known: Vec<&ChainHandle> =
        [id, ROOT_CHAIN].into_iter().filter_map(|chain| edge.hosted(chain)).collect();
    if known.is_empty() {
        return Err(edge.no_chain(id).into());
    }
    let found = edge.find(&known, move |archive, _| Ok(archive.origin(id)?.map(|origin| origin.encode())));
    match found.await? {
        Some(origin) => Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], origin).into_response()),
        None => Err(ApiError::from(ErrorCode::ChainNotHereYet).at("chain").because(id).into()),
    }
}
