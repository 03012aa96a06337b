//! What every request passes before its handler: a name in the logs, a token, a place, a deadline.
//!
//! ```text
//! trace ─► head (431) ─► token (401, 403) ─► place (429) ─► deadline (408) ─► handler
//! ```
//!
//! Logs name trace, method, route, status, time and the token's owner; never a body, a query, a token or an address of a
//! wallet. Health pages pass without token and place, so they answer when everything else is full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;

use super::edge::Edge;
use super::refusal::Refusal;
use super::server::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::telemetry::{RequestLabel, StatusClass};
use crate::tokens::Scope;

/// Response header with the request's name in this node's logs.
pub const TRACE_HEADER: HeaderName = HeaderName::from_static("x-trace-id");

/// Who may come in at a route, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Anyone, always: health pages.
    Open,
    /// Whoever has the scope.
    Scope(Scope),
    /// Whoever has the scope; may wait for an outcome, and takes its own place for that.
    Waiting(Scope),
}

/// The state of [`guard`] at one route.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) edge: Edge,
    pub(crate) door: Door,
}

/// Names the request, logs and counts its answer.
pub(crate) async fn trace(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let trace = trace_id();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", trace, %method, route, client = tracing::field::Empty);
    let started = Instant::now();
    let rest = edge.parts().metrics.rest.clone();
    rest.open_requests.inc();
    let open = OnDrop(|| {
        rest.open_requests.dec();
    });
    let mut response = match head_too_large(&request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).instrument(span.clone()).await,
    };
    drop(open);
    let status = response.status();
    let label = RequestLabel { status: class(status.as_u16()) };
    rest.requests.get_or_create(&label).inc();
    rest.request_seconds.observe(started.elapsed().as_secs_f64());
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        if status.is_server_error() && status != axum::http::StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(status = status.as_u16(), took_ms, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), took_ms, "answered");
        }
    });
    if let Ok(value) = HeaderValue::from_str(&trace) {
        response.headers_mut().insert(TRACE_HEADER, value);
    }
    response
}

/// A refusal of a head above the bounds.
fn head_too_large(request: &Request) -> Option<Refusal> {
    // Each field comes with a colon, a space and the end of its line; the first line with a method and a version.
    const AROUND_A_FIELD: usize = 4;
    const AROUND_THE_PATH: usize = 24;
    let headers = request.headers();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND_A_FIELD);
    let bytes = fields.sum::<usize>() + path + AROUND_THE_PATH;
    let is_too_large = headers.len() > HEADERS_MAX || bytes > HEAD_BYTES_MAX;
    is_too_large.then(|| Refusal::head(headers.len(), bytes))
}

/// Lets a request in, or says why not.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Guard { edge, door } = guard;
    let (scope, may_wait) = match door {
        Door::Open => return next.run(request).await,
        Door::Scope(scope) => (scope, false),
        Door::Waiting(scope) => (scope, true),
    };
    match edge.parts().tokens.open(bearer(&request), scope) {
        Ok(client) => {
            tracing::Span::current().record("client", client);
        }
        Err(shut) => return Refusal::shut(shut).into_response(),
    }
    let Ok(_place) = std::sync::Arc::clone(edge.requests()).try_acquire_owned() else {
        return Refusal::busy().into_response();
    };
    let limits = &edge.parts().limits;
    let wait_ms = if may_wait { limits.wait_ms } else { 0 };
    let deadline = Duration::from_millis(limits.request_timeout_ms.saturating_add(wait_ms));
    match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::too_slow(limits.request_timeout_ms).into_response(),
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn class(status: u16) -> StatusClass {
    match status {
        429 => StatusClass::Busy,
        400..=499 => StatusClass::ClientError,
        500..=599 => StatusClass::ServerError,
        _ => StatusClass::Success,
    }
}

/// A name that is unlike all others of this process: the moment it started and a count.
fn trace_id() -> String {
    static STARTED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let started = *STARTED.get_or_init(|| crate::admission::wall_clock().0);
    format!("{started:x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Runs something when dropped: also when the client goes away in the middle.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
