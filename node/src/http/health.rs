//! `GET /healthz` and `GET /readyz`: open to everyone, with nothing in them that is not for everyone.
//!
//! Ready means: executed to within a few heights of the newest announced result, connected to enough validators for a
//! quorum, disk above its reserve, not halted. An observer is ready when it follows.
//!
//! A node is ready when all its chains are that wallets are at home on. A child that was added and has no wallets yet is shown with its own
//! state and does not count, unless it halted or there is nothing else: the chains that carry money are well meanwhile. Chains on which
//! this node has a validator and that it does not host are listed; they do not count either.

use api::code::ErrorCode;
use api::error::ApiError;
use api::health::{ChainReady, HaltView, Health, JoiningView, NotReady, Ready};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chain::JoinProgress;
use ledger::values::{ChainId, quorum};

use super::edge::Edge;
use super::network::VERSION;
use super::refusal::NOT_READY_RETRY_MS;
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
    let hosted = edge.chains().iter().map(|chain| chain_ready(&edge, chain));
    let chains: Vec<ChainReady> =
        hosted.chain(edge.awaited().iter().map(|chain| awaited(&edge, *chain))).collect();
    let counts = |chain: &&ChainReady| chain.halt.is_some() || edge.is_home(ChainId(chain.chain));
    let is_ready = if chains.iter().any(|chain| counts(&chain)) {
        chains.iter().filter(counts).all(|chain| chain.is_ready)
    } else {
        !chains.is_empty() && chains.iter().all(|chain| chain.is_ready)
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let not_hosted = edge.not_hosted().into_iter().map(|chain| chain.0).collect();
    (status, Json(Ready { is_ready, chains, not_hosted }))
}

/// A chain of the configuration that cannot begin here yet.
fn awaited(edge: &Edge, chain: ChainId) -> ChainReady {
    let set = edge.registry().newest_epoch(chain).map_or(0, |epoch| epoch.validators.len());
    ChainReady {
        chain: chain.0,
        is_ready: false,
        reason: Some(NotReady::WaitingForOrigin),
        height: 0,
        certified_height: 0,
        announced_height: 0,
        validators: count(set),
        validators_heard: 0,
        silent_nodes: Vec::new(),
        not_running_nodes: Vec::new(),
        joining: None,
        is_voting: false,
        halt: None,
    }
}

fn chain_ready(edge: &Edge, chain: &ChainHandle) -> ChainReady {
    let status = chain.now();
    let reason = not_ready(&status, edge.parts().limits.ready_lag_heights, sees_quorum(edge, chain));
    let reason = match reason {
        None | Some(NotReady::TooFewPeers | NotReady::CatchingUp)
            if !hears_quorum(&status) && !edge.is_home(chain.chain()) =>
        {
            Some(NotReady::WaitingForValidators)
        }
        reason => reason,
    };
    ChainReady {
        chain: chain.chain().0,
        is_ready: reason.is_none(),
        reason,
        height: status.chain.executed_height.0,
        certified_height: status.chain.certified_height.0,
        announced_height: status.chain.highest_announced.unwrap_or_default().0,
        validators: count(status.chain.validators),
        validators_heard: count(status.chain.heard),
        silent_nodes: edge.silent(chain).into_iter().map(|node| node.0).collect(),
        not_running_nodes: edge.not_running(chain).into_iter().map(|node| node.0).collect(),
        joining: status.chain.joining.map(joining_view),
        is_voting: status.voting == Voting::Yes,
        halt: status.halt.map(|code| HaltView { code: code as u16, message: code.to_string() }),
    }
}

fn count(validators: usize) -> u32 {
    u32::try_from(validators).unwrap_or(u32::MAX)
}

/// How far a join by a snapshot is.
pub(super) const fn joining_view(joining: JoinProgress) -> JoiningView {
    JoiningView {
        height: joining.height.0,
        chunks: joining.chunks,
        chunks_fetched: joining.fetched,
        chunks_refused: joining.refused,
        bytes: joining.bytes,
        sources: joining.sources,
    }
}

/// Whether so many validators were heard a moment ago that they can decide.
fn hears_quorum(status: &Status) -> bool {
    status.chain.heard >= quorum(status.chain.validators)
}

/// Why a chain takes no transactions that has not begun: who of its validators is missing, as far as this node knows.
pub(crate) fn not_begun(edge: &Edge, chain: &ChainHandle) -> Option<ApiError> {
    let (status, id) = (chain.now(), chain.chain());
    let begins = edge.is_home(id) && sees_quorum(edge, chain);
    if status.chain.executed_height.0 > 0 || hears_quorum(&status) || begins {
        return None;
    }
    let (heard, all) = (status.chain.heard, status.chain.validators);
    let error = ApiError::from(ErrorCode::NotReady).at("chain").because(format_args!(
        "chain {id} has not begun: this node hears {heard} of its {all} validators, {} are needed{}",
        quorum(all),
        not_heard(edge, chain)
    ));
    let mend = "ask the operators of the nodes that are not heard whether they host the chain: jiaozi node add-chain --host, then a restart";
    Some(ApiError { mend: mend.to_owned(), ..error }.retry_after_ms(NOT_READY_RETRY_MS))
}

/// The nodes of validators that are not heard, as the end of a sentence.
pub(crate) fn not_heard(edge: &Edge, chain: &ChainHandle) -> String {
    let silent = edge.silent(chain);
    if silent.is_empty() { String::new() } else { format!("; not heard: the nodes {}", edge.named(&silent)) }
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
    } else if status.chain.joining.is_some() {
        Some(NotReady::Joining)
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
    let (registry, epoch) = (chain.registry(), chain.now().chain.epoch);
    let validators = registry.validators(chain.chain(), epoch);
    let seen = validators
        .iter()
        .filter(|validator| validator.node == parts.own_node || connected.contains(&validator.node.0))
        .count();
    !validators.is_empty() && seen >= quorum(validators.len())
}
