//! `GET /openapi.json`: the contract, made from the handlers themselves.

use api::error::ApiError;
use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    blocks, chains, evidence, feed, fees, health, locks, metrics, network, origin, proofs, proposals,
    registry, simulate, submit, transactions, wallets, why,
};

/// The document. A test compares it with the router.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Jiaozi node",
        description = "Submit signed transactions and read the ledger. Errors are ApiError objects with a stable code, \
                       listed in x-error-codes; amounts are integer fen, 100 to a unit of the chain's currency, whose code stands \
                       beside them; prices of weight are integer millionths of a fen; ids and hashes are text."
    ),
    paths(
        submit::submit,
        simulate::simulate,
        transactions::status,
        proofs::transaction,
        wallets::wallet,
        wallets::history,
        proofs::wallet,
        chains::chains,
        chains::chain,
        fees::estimate,
        fees::history,
        registry::registry,
        origin::origin,
        proposals::proposal,
        blocks::block,
        blocks::outcomes,
        locks::lock,
        locks::proof,
        locks::of_wallet,
        feed::feed,
        feed::batches,
        feed::bundles,
        evidence::evidence,
        network::network,
        why::why,
        health::health,
        health::ready,
        metrics::metrics,
        openapi,
    ),
    security(("token" = [])),
    modifiers(&TokenScheme, &ErrorCodes)
)]
pub(crate) struct Document;

/// Says how clients present their token.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// Lists every refusal with its code: `x-error-codes`, a row for each.
struct ErrorCodes;

impl Modify for ErrorCodes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let row = |error: &ApiError| {
            serde_json::json!({
                "code": error.code,
                "name": error.name,
                "http_status": error.http_status(),
                "message": error.message,
                "field": error.field,
                "mend": error.mend,
                "is_transient": error.is_transient,
            })
        };
        let rows: Vec<serde_json::Value> = ApiError::every().iter().map(row).collect();
        let extensions = document.extensions.get_or_insert_default();
        extensions.insert("x-error-codes".to_owned(), rows.into());
    }
}

/// Gives this document.
#[utoipa::path(
    get,
    path = api::path::OPENAPI,
    tag = "health",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1"))
)]
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
