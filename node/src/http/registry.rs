//! `GET /v1/chains/{chain}/registry`: who takes part and how the chains are set up, with a proof that a stranger checks with the
//! genesis file alone. Proposals are made from it and approved by it, so nobody has to trust the node that gave it.
//!
//! The parts of the state that its root commits to are those of the executed height, so they come from the executor, with the
//! answer about a wallet that every chain has; the rest is read when that height is certified.

use std::sync::Arc;
use std::time::Duration;

use api::bulk::BULK_CONTENT_TYPE;
use api::error::ApiError;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chain::RowFault;
use ledger::proofs::{AbsenceProof, BalanceProof, Proof, RegistryProof};
use ledger::values::{Canonical as _, ChainId, OperatorId};
use storage::Table;
use tokio::time::Instant;

use super::edge::Edge;
use super::parameters::Place;
use super::proofs::{PROOF_WAIT_MS, certificate_over, not_certified};
use super::refusal::Refusal;

/// Gives a chain's registry with its proof.
#[utoipa::path(
    get,
    path = api::path::REGISTRY,
    tag = "chains",
    params(("chain" = u32, Path, description = "chain id")),
    responses(
        (status = 200, description = "canonical bytes of the proof of a registry", content(("application/octet-stream"))),
        (status = "4XX", description = "refused; 1409 when no certificate covers it in time", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn registry(State(edge): State<Edge>, place: Place) -> Result<Response, Refusal> {
    let id: ChainId = place.get("chain")?;
    let chain = edge.chain(id)?;
    Refusal::without_state(&chain.now())?;
    let _place = Arc::clone(edge.waits()).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let patience = Duration::from_millis(PROOF_WAIT_MS.min(edge.parts().limits.wait_ms));
    let until = Instant::now() + patience;
    let genesis = edge.genesis();
    // The central bank's own wallet is on every chain; were it not, its absence would do as well.
    let known = chain.registry();
    let wallet = known.operator_wallet(genesis, chain.spec.currency, OperatorId(0)).unwrap_or_default();
    let wallet = chain.wallets.ask(wallet.into()).await?;
    let height = wallet.height;
    let certified = certificate_over(&edge, chain, height, until).await?;
    let (Proof::Balance(BalanceProof { parts, certified, .. })
    | Proof::Absence(AbsenceProof { parts, certified, .. })) = wallet.certify(certified)
    else {
        return Err(Refusal::stopping());
    };
    let epoch = certified.header.epoch;
    let read = edge.read(chain, move |archive| Ok((archive.registry_at(height)?, archive.set_chain(epoch)?)));
    let (registry, sets) = read.await?;
    let registry = registry.ok_or(RowFault::Missing { table: Table::Registries })?;
    let Some(sets) = sets else { return Err(not_certified(&edge, chain, height)) };
    let proof = RegistryProof { genesis, sets, registry, parts, certified };
    Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], proof.encode()).into_response())
}
