//! `GET /metrics`: what Prometheus reads.

use api::error::ApiError;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::edge::Edge;
use super::refusal::Refusal;

/// The format's name, version and encoding.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Shows all metrics.
#[utoipa::path(
    get,
    path = api::path::METRICS,
    tag = "metrics",
    responses(
        (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
        (status = "4XX", description = "refused", body = ApiError),
    )
)]
pub(crate) async fn metrics(State(edge): State<Edge>) -> Result<Response, Refusal> {
    let parts = edge.parts();
    parts.metrics.host.connected_peers.set(parts.connections.borrow().len() as u64);
    parts.metrics.host.registered_peers.set(edge.registry().nodes.len().saturating_sub(1) as u64);
    parts.metrics.not_hosted.set(edge.not_hosted().len() as u64);
    for chain in edge.chains() {
        if let Some(metrics) = edge.chain_metrics(chain.chain()) {
            metrics.status(&chain.now());
            metrics.market(&chain.market());
            let not_running = edge.not_running(chain).len();
            metrics.silent(not_running, edge.silent(chain).len().saturating_sub(not_running));
        }
    }
    let page = parts.metrics.encode().map_err(Refusal::metrics)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response())
}
