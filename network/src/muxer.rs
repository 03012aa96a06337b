//! yamux with bounds: libp2p's own wrapper lets the windows of one connection grow to 1 GiB and waits
//! without limit when it closes a connection whose other end is gone. This one differs in exactly four
//! things: the number of streams, the growth of windows, the number of streams not yet accepted, and the
//! time to close.
//!
//! The windows are also what keeps consensus ahead of bulk, see the crate's head.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use tokio::time::Sleep;
use yamux::{Connection, ConnectionError, Mode};

use crate::limits::{
    CLOSE_TIMEOUT, STREAM_WINDOW_BYTES, STREAMS_SPARE, STREAMS_UNACCEPTED_MAX, WINDOW_GROWTH_BYTES_MAX,
};

const _: () = assert!(STREAM_WINDOW_BYTES == yamux::DEFAULT_CREDIT as usize);

/// Upgrades a noise connection to a [`BoundedMuxer`].
#[derive(Debug, Clone)]
pub(crate) struct BoundedYamux(yamux::Config);

/// A yamux connection within the bounds.
pub(crate) struct BoundedMuxer<C> {
    connection: Connection<C>,
    unaccepted: VecDeque<yamux::Stream>,
    accept_waker: Option<Waker>,
    closing: Option<Pin<Box<Sleep>>>,
}

impl BoundedYamux {
    /// Room for one stream in each direction for each of `lanes`.
    pub(crate) fn new(lanes: usize) -> Self {
        let streams = 2 * lanes + STREAMS_SPARE;
        let mut config = yamux::Config::default();
        config.set_max_num_streams(streams);
        config
            .set_max_connection_receive_window(Some(streams * STREAM_WINDOW_BYTES + WINDOW_GROWTH_BYTES_MAX));
        Self(config)
    }

    fn muxer<C: AsyncRead + AsyncWrite + Unpin>(self, socket: C, mode: Mode) -> BoundedMuxer<C> {
        BoundedMuxer {
            connection: Connection::new(socket, self.0, mode),
            unaccepted: VecDeque::new(),
            accept_waker: None,
            closing: None,
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> BoundedMuxer<C> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<yamux::Stream, ConnectionError>> {
        self.connection.poll_next_inbound(context).map(|next| next.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for BoundedMuxer<C> {
    type Substream = yamux::Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.unaccepted.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(next) = self.poll_next(context) {
            return Poll::Ready(next);
        }
        self.accept_waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.connection.poll_new_outbound(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(end) = self.connection.poll_close(context) {
            return Poll::Ready(end);
        }
        let deadline = self.closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        deadline.poll_unpin(context).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        match self.poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            // Above the bound the stream is dropped, which resets it.
            Poll::Ready(Ok(stream)) if self.unaccepted.len() < STREAMS_UNACCEPTED_MAX => {
                self.unaccepted.push_back(stream);
                if let Some(waker) = self.accept_waker.take() {
                    waker.wake();
                }
            }
            Poll::Ready(Ok(_)) => {}
        }
        // There may be more; let other tasks run first.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl UpgradeInfo for BoundedYamux {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<C> for BoundedYamux {
    type Output = BoundedMuxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.muxer(socket, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<C> for BoundedYamux {
    type Output = BoundedMuxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(self.muxer(socket, Mode::Client)))
    }
}
