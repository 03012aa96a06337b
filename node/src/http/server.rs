//! Sockets: where the edge listens, with or without TLS, and the bounds of a connection.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::task::JoinHandle;

use super::edge::Edge;
use super::patience::Bounded;
use crate::config::RestSection;
use crate::tls::{TlsError, TlsServer};

/// How long a client may take for the handshake of TLS.
pub(crate) const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// How long a client may take to send the head of a request; also how long an idle connection stays open.
pub(crate) const HEAD_TIMEOUT_MS: u64 = 30_000;
/// Most bytes of a request's head: a request for 64 batches is about 4 KiB long.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most header fields of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// What is read of a head before the connection is given up, so that one above the bounds is refused in words: the HTTP
/// library answers 431 without a body.
const HEAD_BYTES_READ: usize = 2 * HEAD_BYTES_MAX;
/// As [`HEAD_BYTES_READ`], for header fields.
const HEADERS_READ: usize = 2 * HEADERS_MAX;
/// How long requests in work may take to end when the node stops.
pub(crate) const STOP_TIMEOUT_MS: u64 = 5_000;

/// A listening REST edge. Dropping it stops it at once.
#[derive(Debug)]
pub struct RestServer {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Why the edge cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// TLS is configured and cannot be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system refused.
    #[error("[rest] listen {listen}: {source}. Mend: choose a free port and an address of this machine")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl RestServer {
    /// Listens and serves on the current tokio runtime. The configuration has been checked.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn start(edge: &Edge, rest: &RestSection) -> Result<Self, RestError> {
        let tls = rest.tls.as_ref().map(TlsServer::load).transpose()?;
        let refused = |source| RestError::Listen { listen: rest.listen, source };
        let listener = bind(rest)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let handle = Handle::new();
        let bounded = Bounded::new(rest.limits.connections, edge.parts().metrics.rest.clone());
        let service = super::router(edge).into_make_service();
        let server = axum_server::from_tcp(listener).map_err(refused)?.handle(handle.clone());
        let task = match tls {
            None => tokio::spawn(bounds(server.acceptor(bounded)).serve(service)),
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls.config))
                    .handshake_timeout(Duration::from_millis(HANDSHAKE_TIMEOUT_MS))
                    .acceptor(bounded);
                tokio::spawn(bounds(server.acceptor(acceptor)).serve(service))
            }
        };
        tracing::info!(%address, tls = rest.tls.is_some(), tokens = rest.tokens.len(), "REST listens");
        Ok(Self { address, handle, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and lets requests in work end, for `STOP_TIMEOUT_MS` at most.
    pub async fn stop(mut self) {
        self.handle.graceful_shutdown(Some(Duration::from_millis(STOP_TIMEOUT_MS)));
        let grace = Duration::from_millis(STOP_TIMEOUT_MS.saturating_mul(2));
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            tracing::warn!("REST did not end in time; its connections are closed");
        }
    }
}

impl Drop for RestServer {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.task.abort();
    }
}

/// Takes the edge's address; nothing is served yet.
pub(crate) fn bind(rest: &RestSection) -> Result<TcpListener, RestError> {
    TcpListener::bind(rest.listen).map_err(|source| RestError::Listen { listen: rest.listen, source })
}

/// HTTP/1.1 only: one request at a time per connection, each with a bounded head that must arrive in time.
fn bounds<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server.http1_only();
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
        .max_buf_size(HEAD_BYTES_READ)
        .max_headers(HEADERS_READ);
    server
}
