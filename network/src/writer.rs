//! The task that writes one lane to one peer: it opens the stream as soon as there is a connection, writes
//! what is queued, and opens the stream again when it breaks.
//!
//! Rules:
//! - A stream carries frames one way only. A byte from the other side, or its end, means: open again.
//! - At most [`WRITE_CHUNK_BYTES_MAX`] go to the multiplexer at once, then others get their turn.
//! - A stream that takes nothing for the stall time is dropped (a stuck stream must not outlive its
//!   frames).
//! - Frames being written when a stream breaks are lost and counted: at most once, in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use futures::AsyncReadExt;
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, sleep, timeout};

use crate::config::Priority;
use crate::driver::Command;
use crate::frame::{LENGTH_BYTES, length_prefix, write_all};
use crate::limits::{
    BULK_WRITE_TIMEOUT, OPEN_RETRY_MAX, OPEN_RETRY_MIN, OPEN_TIMEOUT, WRITE_CHUNK_BYTES_MAX, WRITE_TIMEOUT,
};
use crate::link::{Link, LinkLane};
use crate::streams::OpenFailure;

/// One lane's writer for one peer.
pub(crate) struct Writer {
    pub(crate) link: Arc<Link>,
    /// Place in `link.lanes`.
    pub(crate) lane: usize,
    pub(crate) priority: Priority,
    /// The keep-alive lane's writer tells the driver whether lanes open at all.
    pub(crate) announces: bool,
    /// The connection to open streams on.
    pub(crate) connection: watch::Receiver<Option<ConnectionId>>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Writer {
    /// Runs until the driver ends.
    pub(crate) async fn run(mut self) {
        let link = self.link.clone();
        let Some(lane) = link.lanes.get(self.lane) else { return };
        let mut retry = OPEN_RETRY_MIN;
        loop {
            let Ok(connection) = self.connection.wait_for(Option::is_some).await.map(|found| *found) else {
                return;
            };
            let Some(connection) = connection else { continue };
            match self.open(lane, connection).await {
                Ok(stream) => {
                    retry = OPEN_RETRY_MIN;
                    lane.counters.streams_opened.add(1);
                    lane.counters.stream_opened.set(self.link.since_start_ms());
                    let writing = AtomicUsize::new(0);
                    tokio::select! {
                        () = self.pump(lane, stream, &writing) => {}
                        () = self.moved(connection) => {}
                    }
                    lane.counters.dropped_out.add(writing.into_inner());
                    lane.counters.stream_opened.clear();
                }
                Err(failure) => {
                    if failure == OpenFailure::Unsupported && self.announces {
                        self.tell(Command::Foreign { peer: self.link.peer, connection }).await;
                    }
                    retry = (retry * 2).min(OPEN_RETRY_MAX);
                }
            }
            sleep(retry).await;
        }
    }

    /// Opens the lane on a connection and, on the keep-alive lane, tells the driver.
    async fn open(&self, lane: &LinkLane, connection: ConnectionId) -> Result<Stream, OpenFailure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Open { peer: self.link.peer, connection, lane: self.lane, reply }).await;
        match timeout(OPEN_TIMEOUT, answer).await {
            Ok(Ok(Ok(stream))) => {
                if self.announces {
                    self.tell(Command::Up { peer: self.link.peer, connection }).await;
                }
                Ok(stream)
            }
            Ok(Ok(Err(failure))) => {
                lane.counters.open_failures.add(1);
                Err(failure)
            }
            Ok(Err(_)) => {
                lane.counters.open_failures.add(1);
                Err(OpenFailure::Broken)
            }
            Err(_) => {
                lane.counters.open_timeouts.add(1);
                Err(OpenFailure::Broken)
            }
        }
    }

    async fn tell(&self, command: Command) {
        // The driver is gone only when the network stops, and then this task ends too.
        drop(self.commands.send(command).await);
    }

    /// Waits until `connection` is no longer the one to use. Needed because yamux wakes nobody who waits on a
    /// stream when this side closes the connection.
    async fn moved(&self, connection: ConnectionId) {
        let mut current = self.connection.clone();
        drop(current.wait_for(|current| *current != Some(connection)).await);
    }

    /// Writes queued frames until the stream breaks; `writing` is the number of frames at risk.
    async fn pump(&self, lane: &LinkLane, mut stream: Stream, writing: &AtomicUsize) {
        loop {
            let mut unexpected = [0];
            let frame = tokio::select! {
                frame = lane.queue.pop() => frame,
                _ = stream.read(&mut unexpected) => return,
            };
            if let Err(error) = self.write(lane, &mut stream, frame, writing).await {
                if error.kind() == io::ErrorKind::TimedOut {
                    lane.counters.write_timeouts.add(1);
                }
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Writes a frame, and with it as many of the next as fit a chunk.
    async fn write(
        &self,
        lane: &LinkLane,
        stream: &mut Stream,
        first: Bytes,
        writing: &AtomicUsize,
    ) -> io::Result<()> {
        let stall_max = self.stall_max();
        let (mut frames, mut bytes) = (1, first.len());
        writing.store(frames, Relaxed);
        if first.len() + LENGTH_BYTES > WRITE_CHUNK_BYTES_MAX {
            write_large(stream, &first, stall_max).await?;
        } else {
            let mut chunk = BytesMut::with_capacity(first.len() + LENGTH_BYTES);
            append(&mut chunk, &first);
            while let Some(frame) = (WRITE_CHUNK_BYTES_MAX - chunk.len())
                .checked_sub(LENGTH_BYTES)
                .and_then(|room| lane.queue.pop_within(room))
            {
                append(&mut chunk, &frame);
                frames += 1;
                bytes += frame.len();
            }
            writing.store(frames, Relaxed);
            write_all(stream, &chunk, stall_max).await?;
        }
        writing.store(0, Relaxed);
        lane.counters.frames_out.add(frames);
        lane.counters.bytes_out.add(bytes);
        Ok(())
    }

    fn stall_max(&self) -> Duration {
        match self.priority {
            Priority::Consensus | Priority::Control => WRITE_TIMEOUT,
            Priority::Bulk => BULK_WRITE_TIMEOUT,
        }
    }
}

fn append(chunk: &mut BytesMut, frame: &[u8]) {
    chunk.extend_from_slice(&length_prefix(frame));
    chunk.extend_from_slice(frame);
}

/// Writes one frame in chunks, without copying it.
async fn write_large(stream: &mut Stream, frame: &[u8], stall_max: Duration) -> io::Result<()> {
    write_all(stream, &length_prefix(frame), stall_max).await?;
    for chunk in frame.chunks(WRITE_CHUNK_BYTES_MAX) {
        write_all(stream, chunk, stall_max).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
