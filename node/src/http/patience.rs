//! Connections with bounds: how many, and how long one may refuse to take what it asked for.
//!
//! What a client is slow to *send* is bounded elsewhere (handshake, head and request deadlines). A client that does not
//! *read* keeps an answer in memory: its connection ends when nothing could be written for [`WRITE_STALL_MS`].

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use crate::telemetry::RestMetrics;

/// How long a write may make no progress.
pub(crate) const WRITE_STALL_MS: u64 = 10_000;

/// Accepts connections while there is room; closes the others at once.
#[derive(Clone)]
pub(crate) struct Bounded {
    room: Arc<Semaphore>,
    metrics: RestMetrics,
    write_stall: Duration,
}

impl Bounded {
    pub(crate) fn new(connections: u32, metrics: RestMetrics) -> Self {
        let room = Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(usize::MAX >> 3)));
        Self { room, metrics, write_stall: Duration::from_millis(WRITE_STALL_MS) }
    }
}

impl<S> Accept<TcpStream, S> for Bounded {
    type Stream = PatientStream;
    type Service = S;
    type Future = std::future::Ready<io::Result<(PatientStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            self.metrics.refused_connections.inc();
            return std::future::ready(Err(io::ErrorKind::ConnectionRefused.into()));
        };
        if let Err(error) = stream.set_nodelay(true) {
            return std::future::ready(Err(error));
        }
        self.metrics.open_connections.inc();
        let place = Place { metrics: self.metrics.clone(), _permit: permit };
        let stream = PatientStream { stream, stall: None, write_stall: self.write_stall, _place: place };
        std::future::ready(Ok((stream, service)))
    }
}

/// A place among the open connections, given back when dropped.
struct Place {
    metrics: RestMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.open_connections.dec();
    }
}

/// A connection that ends when its client does not read.
pub(crate) struct PatientStream {
    stream: TcpStream,
    stall: Option<Pin<Box<Sleep>>>,
    write_stall: Duration,
    _place: Place,
}

impl PatientStream {
    /// Passes progress on; without progress, ends the connection once patience is over.
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let write_stall = self.write_stall;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_stall)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::telemetry::Metrics;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn only_so_many_connections_are_open() {
        let metrics = Metrics::new();
        let bounded = Bounded::new(1, metrics.rest.clone());
        let (_one, server) = pair().await;
        let (mut two, refused) = pair().await;
        let (stream, ()) = bounded.accept(server, ()).await.unwrap();
        assert!(bounded.accept(refused, ()).await.is_err());
        assert_eq!(two.read(&mut [0; 1]).await.unwrap(), 0, "the second is closed");
        drop(stream);
        assert_eq!(metrics.rest.open_connections.get(), 0);
        assert_eq!(metrics.rest.refused_connections.get(), 1);
        let (_three, server) = pair().await;
        assert!(bounded.accept(server, ()).await.is_ok(), "a place came free");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let bounded =
            Bounded { write_stall: Duration::from_millis(50), ..Bounded::new(1, Metrics::new().rest) };
        let (_client, server) = pair().await;
        let (mut stream, ()) = bounded.accept(server, ()).await.unwrap();
        let piece = vec![0; 1 << 20];
        let written = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                if let Err(error) = stream.write_all(&piece).await {
                    return error.kind();
                }
            }
        });
        assert_eq!(written.await.unwrap(), io::ErrorKind::TimedOut);
    }
}
