//! `GET /v1/network`: who takes part, as the newest registry of the chains here says, and whom this node sees.

use api::error::ApiError;
use api::network::NetworkView;
use axum::Json;
use axum::extract::State;

use super::edge::Edge;

/// This node's software version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Shows operators and nodes.
#[utoipa::path(
    get,
    path = api::path::NETWORK,
    tag = "network",
    responses(
        (status = 200, description = "operators and nodes of the registry", body = NetworkView),
        (status = "4XX", description = "refused", body = ApiError),
    )
)]
pub(crate) async fn network(State(edge): State<Edge>) -> Json<NetworkView> {
    let parts = edge.parts();
    let connected = parts.connections.borrow().clone();
    let is_connected = |node: ledger::values::NodeIndex| connected.contains(&node.0);
    let mut view = NetworkView::of(&parts.spec, &edge.registry(), parts.own_node, VERSION, is_connected);
    for chain in edge.chains() {
        if let Some(place) = view.chains.iter_mut().find(|place| place.chain == chain.chain().0) {
            place.not_running_nodes = edge.not_running(chain).into_iter().map(|node| node.0).collect();
        }
    }
    Json(view)
}
