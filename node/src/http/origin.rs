//! `GET /v1/chains/{chain}/origin`: what a chain that was added after genesis began with, proved by chain 0 to whoever has the genesis file.
//! A node begins such a chain with it, and a proof of that chain's state has it inside.

use api::bulk::BULK_CONTENT_TYPE;
use api::code::ErrorCode;
use api::error::ApiError;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use ledger::records::Birth;
use ledger::records::registry::ROOT_CHAIN;
use ledger::values::{Canonical as _, ChainId};

use super::edge::Edge;
use super::parameters::Place;
use super::refusal::{NOT_READY_RETRY_MS, Refusal};
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
        None => Err(not_here_yet(&edge, id).into()),
    }
}

/// Why there is no origin, and whether it may come: then with the time after which to ask again.
fn not_here_yet(edge: &Edge, chain: ChainId) -> ApiError {
    let error = ApiError::from(ErrorCode::ChainNotHereYet).at("chain");
    if edge.parts().spec.chain(chain).is_some() {
        return error.because(format_args!("genesis names chain {chain}: it begins with the genesis file"));
    }
    let known = |handle: &ChainHandle| handle.registry().chain(chain).map(|record| record.birth);
    match edge.chains().iter().find_map(known) {
        Some(Birth::Child { height, .. }) => error
            .because(format_args!(
                "height {height} of chain 0 added chain {chain}, and no certificate that is stored here covers that height yet"
            ))
            .retry_after_ms(NOT_READY_RETRY_MS),
        _ => error
            .because(format_args!("no height of chain 0 that was executed here has added chain {chain}"))
            .retry_after_ms(NOT_READY_RETRY_MS),
    }
}
