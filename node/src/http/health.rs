//! `GET /healthz` and `GET /readyz`: open to everyone, with nothing in them that is not for everyone.
//!
//! Ready means: executed to within a few heights of the newest announced result, connected to enough validators for a
//! quorum, disk above its reserve, not halted. An observer is ready when it follows.

use api::health::{ChainReady, HaltView, Health, NotReady, Ready};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ledger::values::quorum;

use super::edge::Edge;
use super::network::VERSION;
use crate::handle::{ChainHandle, Status, Voting};

/// Says that the process runs.
#[utoipa::path(
    get,
    path = api::path::HEALTH,
    tag = "health",
    security(()),
    responses((status = 200, description = "the process runs", body = Health))
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { is_alive: true, version: VERSION.to_owned() })
}

/// Says whether the node serves, and if not why.
#[utoipa::path(
    get,
    path = api::path::READY,
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "every chain of this node is ready", body = Ready),
        (status = 503, description = "some chain is not, with the reason", body = Ready),
    )
)]
pub(crate) async fn ready(State(edge): State<Edge>) -> (StatusCode, Json<Ready>) {
    let chains: Vec<ChainReady> = edge.chains().iter().map(|chain| chain_ready(&edge, chain)).collect();
    let is_ready = !chains.is_empty() && chains.iter().all(|chain| chain.is_ready);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { is_ready, chains }))
}

fn chain_ready(edge: &Edge, chain: &ChainHandle) -> ChainReady {
    let status = *chain.status.borrow();
    let reason = not_ready(&status, edge.parts().limits.ready_lag_heights, sees_quorum(edge, chain));
    ChainReady {
        chain: chain.chain().0,
        is_ready: reason.is_none(),
        reason,
        height: status.chain.executed_height.0,
        certified_height: status.chain.certified_height.0,
        announced_height: status.chain.highest_announced.unwrap_or_default().0,
        is_voting: status.voting == Voting::Yes,
        halt: status.halt.map(|code| HaltView { code: code as u16, message: code.to_string() }),
    }
}

/// Why a chain is not ready; the gravest reason first.
fn not_ready(status: &Status, lag_max: u64, sees_quorum: bool) -> Option<NotReady> {
    // Before enough others were heard nobody knows how far behind this node is.
    let is_near = status
        .chain
        .highest_announced
        .is_some_and(|announced| announced.0.saturating_sub(status.chain.executed_height.0) <= lag_max);
    if status.halt.is_some() || status.voting == Voting::Halted {
        Some(NotReady::Halted)
    } else if status.voting == Voting::DiskReserve {
        Some(NotReady::DiskReserve)
    } else if !sees_quorum {
        Some(NotReady::TooFewPeers)
    } else if status.voting == Voting::Rejoining {
        Some(NotReady::Rejoining)
    } else if !is_near {
        Some(NotReady::CatchingUp)
    } else {
        None
    }
}

/// Whether this node and those it is connected to are a quorum of the running epoch's validators.
pub(crate) fn sees_quorum(edge: &Edge, chain: &ChainHandle) -> bool {
    let parts = edge.parts();
    let connected = parts.connections.borrow();
    let (registry, epoch) = (chain.registry(), chain.status.borrow().chain.epoch);
    let validators = registry.validators(chain.chain(), epoch);
    let seen = validators
        .iter()
        .filter(|validator| validator.node == parts.own_node || connected.contains(&validator.node.0))
        .count();
    !validators.is_empty() && seen >= quorum(validators.len())
}
