//! The edge over a real chain: a memory store, the production executor, the production door, four validators' keys.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `bank.rs` | the network under test: signs transactions, executes blocks, makes certificates |
//! | `reads.rs` | what was executed is told truly, and every wrong question is refused |
//! | `auditing.rs` | proofs, feed, evidence |
//! | `chains.rs` | several chains: homes of wallets, the way of transactions, who hosts what |
//! | `finding.rs` | wallets while shards double |
//! | `locks.rs` | locks and offers, and the transactions about them |
//! | `submission.rs` | what is taken in and what is not, and waiting for it |
//! | `fees.rs` | what is estimated and what blocks cost |
//! | `simulation.rs` | what is tried out is what happens |
//! | `operation.rs` | health, readiness, metrics, the document |
//! | `doors.rs` | tokens, scopes and bounds, over the router and over sockets |
//! | `governing.rs` | registries with their proof, and what a change of them changes |
//! | `encryption.rs` | TLS |

mod auditing;
mod bank;
mod chains;
mod doors;
mod encryption;
mod fees;
mod finding;
mod governing;
mod locks;
mod operation;
mod reads;
mod simulation;
mod submission;

use api::error::ApiError;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

/// An answer, read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|reason| {
            panic!("{reason}: {} {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The error of a refusal, which must be complete.
    fn error(&self) -> ApiError {
        assert!(self.status.as_u16() >= 400, "{}", String::from_utf8_lossy(&self.body));
        let error: ApiError = self.json();
        assert_eq!(error.http_status(), self.status.as_u16(), "{error}");
        assert!(!error.mend.is_empty() && !error.message.is_empty() && !error.name.is_empty(), "{error}");
        error
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    assert!(parts.headers.contains_key(super::TRACE_HEADER), "every answer can be found in the log");
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

/// Posts to the path of submissions.
async fn post(router: &Router, content_type: &str, body: impl Into<Body>) -> Answer {
    post_to(router, api::path::TRANSACTIONS, content_type, body).await
}

async fn post_to(router: &Router, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
    send(router, request.body(body.into()).unwrap()).await
}

/// The one method of a route.
fn method_of(path: &str) -> Method {
    let posts = [api::path::TRANSACTIONS, api::path::SIMULATE];
    if posts.contains(&path) { Method::POST } else { Method::GET }
}

/// The code of a refusal.
async fn refusal(router: &Router, path: &str) -> (u32, Option<String>) {
    let error = get(router, path).await.error();
    (error.code, error.field)
}

async fn with_method(router: &Router, method: Method, path: &str) -> Answer {
    send(router, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}
