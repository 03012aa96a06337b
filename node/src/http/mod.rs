//! The REST edge: what clients, banks' programs and auditors see of a node.
//!
//! | file | what it answers or keeps |
//! | --- | --- |
//! | `submit.rs` | `POST /v1/transactions` |
//! | `simulate.rs` | `POST /v1/transactions/simulate` |
//! | `transactions.rs`, `proofs.rs` | `GET /v1/transactions/{id}`, with waiting; `…/proof` |
//! | `wallets.rs`, `proofs.rs`, `locks.rs` | `GET /v1/wallets/{id}`, `…/history`; `…/proof`; `…/locks` |
//! | `chains.rs`, `blocks.rs`, `locks.rs` | `GET /v1/chains…`, `…/blocks/{height}`, `…/outcomes`, `…/locks/{id}`, `…/proof` |
//! | `fees.rs` | `GET /v1/fees/estimate`, `GET /v1/chains/{chain}/fees/history` |
//! | `estimates.rs`, `typical.rs` | estimates of fees, kept for a moment; what a typical transaction weighs |
//! | `registry.rs` | `…/registry`: who takes part and how chains are set up, proved |
//! | `proposals.rs` | `GET /v1/proposals/{version}`: which proposal changed a version of the registry |
//! | `origin.rs` | `…/origin`: what a chain that was added after genesis began with, proved |
//! | `feed.rs`, `evidence.rs` | for auditors: `…/feed`, `…/batches`, `…/bundles`, `GET /v1/evidence` |
//! | `why.rs` | `GET /v1/why`: why the node is stuck, and what to do next |
//! | `network.rs`, `health.rs`, `metrics.rs`, `openapi.rs` | `/v1/network`, `/healthz`, `/readyz`, `/metrics`, `/openapi.json` |
//! | `edge.rs` | [`Edge`]: what handlers share; the way to the disk |
//! | `homes.rs`, `finding.rs` | on which chains a wallet may be; from there to where it is, while shards double |
//! | `guard.rs` | trace, token, place and deadline of every request |
//! | `parameters.rs`, `refusal.rs` | what is asked; why it is not answered |
//! | `server.rs`, `patience.rs` | [`RestServer`]: sockets, TLS, bounds of connections |
//!
//! # Invariants
//! 1. Every answer of 400 and above that a route gives is an `ApiError`; `/readyz` alone answers 503 with its own body.
//! 2. An answer about a chain's state is read from one snapshot of its store and says its height.
//! 3. Nothing a client sends makes memory, threads or time grow without bound: connections, head, body, requests, waits,
//!    reads, page rows, page bytes and kept estimates each have a named bound.
//! 4. Nothing beyond loopback is served without TLS and a token (refused at start, [`crate::config`]).
//! 5. The router, the OpenAPI document and the scopes come from one table, `routes`.

mod blocks;
mod chains;
mod edge;
mod estimates;
mod evidence;
mod feed;
mod fees;
mod finding;
mod guard;
mod health;
mod homes;
mod legs;
mod locks;
mod metrics;
mod network;
mod openapi;
mod origin;
mod parameters;
mod patience;
mod proofs;
mod proposals;
mod refusal;
mod registry;
mod server;
mod simulate;
mod submit;
#[cfg(test)]
mod tests;
mod transactions;
mod typical;
mod wallets;
mod why;

pub use edge::{Edge, EdgeParts, READS_AT_ONCE};
pub use guard::TRACE_HEADER;
pub(crate) use server::bind;
pub use server::{RestError, RestServer};

use api::path;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use crate::tokens::Scope;
use guard::{Door, Guard};

/// One route: its path, its door and its one method.
struct Route {
    path: &'static str,
    door: Door,
    handler: MethodRouter<Edge>,
}

/// Every route of the edge.
fn routes() -> Vec<Route> {
    let route = |path, door, handler| Route { path, door, handler };
    let (read, audit) = (Door::Scope(Scope::Read), Door::Scope(Scope::Audit));
    vec![
        route(path::TRANSACTIONS, Door::Scope(Scope::Submit), post(submit::submit)),
        route(path::SIMULATE, read, post(simulate::simulate)),
        route(path::TRANSACTION, Door::Waiting(Scope::Read), get(transactions::status)),
        route(path::TRANSACTION_PROOF, read, get(proofs::transaction)),
        route(path::WALLET, read, get(wallets::wallet)),
        route(path::WALLET_HISTORY, read, get(wallets::history)),
        route(path::WALLET_PROOF, Door::Waiting(Scope::Read), get(proofs::wallet)),
        route(path::WALLET_LOCKS, read, get(locks::of_wallet)),
        route(path::CHAINS, read, get(chains::chains)),
        route(path::CHAIN, read, get(chains::chain)),
        route(path::FEE_ESTIMATE, read, get(fees::estimate)),
        route(path::FEE_HISTORY, read, get(fees::history)),
        route(path::REGISTRY, Door::Waiting(Scope::Read), get(registry::registry)),
        route(path::ORIGIN, read, get(origin::origin)),
        route(path::PROPOSAL, read, get(proposals::proposal)),
        route(path::BLOCK, read, get(blocks::block)),
        route(path::BLOCK_OUTCOMES, audit, get(blocks::outcomes)),
        route(path::LOCK, read, get(locks::lock)),
        route(path::LOCK_PROOF, Door::Waiting(Scope::Read), get(locks::proof)),
        route(path::FEED, audit, get(feed::feed)),
        route(path::BATCHES, audit, get(feed::batches)),
        route(path::BUNDLES, audit, get(feed::bundles)),
        route(path::EVIDENCE, audit, get(evidence::evidence)),
        route(path::NETWORK, read, get(network::network)),
        route(path::WHY, read, get(why::why)),
        route(path::HEALTH, Door::Open, get(health::health)),
        route(path::READY, Door::Open, get(health::ready)),
        route(path::METRICS, Door::Scope(Scope::Metrics), get(metrics::metrics)),
        route(path::OPENAPI, Door::Open, get(openapi::openapi)),
    ]
}

/// The edge as a service.
pub fn router(edge: &Edge) -> Router {
    let body_bytes = usize::try_from(edge.parts().limits.body_bytes).unwrap_or(usize::MAX);
    let mut router = Router::new();
    for Route { path, door, handler } in routes() {
        let guard = Guard { edge: edge.clone(), door };
        router = router.route(path, handler.route_layer(from_fn_with_state(guard, guard::guard)));
    }
    router
        .fallback(refusal::not_found)
        .method_not_allowed_fallback(refusal::method_not_allowed)
        .layer(DefaultBodyLimit::max(body_bytes))
        .layer(from_fn_with_state(edge.clone(), guard::trace))
        .with_state(edge.clone())
}
