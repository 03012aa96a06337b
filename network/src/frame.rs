//! Frames on a stream: a length (u32, big endian) and that many bytes.
//!
//! The length is checked before anything is reserved. The buffer then follows what was really received: it
//! starts at [`READ_STEP_BYTES`] and at most doubles, so announcing a megabyte costs the announcer a
//! megabyte.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::READ_STEP_BYTES;

/// Bytes of the length.
pub(crate) const LENGTH_BYTES: usize = 4;

/// What reading a frame came to.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadFrame {
    /// A whole frame.
    Frame(Bytes),
    /// The announced length is above the lane's maximum; nothing was reserved, the stream is of no more use.
    Oversize,
    /// The stream ended or broke.
    Ended,
}

/// Reads one frame of at most `frame_bytes_max` bytes. `heard` is called whenever bytes arrived.
pub async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    frame_bytes_max: usize,
    heard: impl Fn(),
) -> ReadFrame {
    let mut length = [0; LENGTH_BYTES];
    if stream.read_exact(&mut length).await.is_err() {
        return ReadFrame::Ended;
    }
    heard();
    let length = u32::from_be_bytes(length) as usize;
    if length > frame_bytes_max {
        return ReadFrame::Oversize;
    }
    let mut buffer = Vec::new();
    while buffer.len() < length {
        let received = buffer.len();
        let step = (length - received).min(received.max(READ_STEP_BYTES));
        buffer.reserve_exact(step);
        buffer.resize(received + step, 0);
        let mut filled = received;
        while filled < buffer.len() {
            match stream.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => return ReadFrame::Ended,
                Ok(count) => filled += count,
            }
            heard();
        }
    }
    ReadFrame::Frame(Bytes::from(buffer))
}

/// The length that goes before a frame. Frames are bounded far below what a u32 holds.
pub(crate) fn length_prefix(frame: &[u8]) -> [u8; LENGTH_BYTES] {
    u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Writes all of `bytes`. Fails with `TimedOut` when not a single byte was taken for `stall_max`.
pub(crate) async fn write_all(
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    stall_max: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match timeout(stall_max, stream.write(bytes)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Ok(count)) => bytes = &bytes[count..],
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    match timeout(stall_max, stream.flush()).await {
        Ok(flushed) => flushed,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    #[tokio::test]
    async fn frames_survive_the_trip() {
        let mut wire = Vec::new();
        let frames = [vec![], vec![1], vec![2; READ_STEP_BYTES], vec![3; 5 * READ_STEP_BYTES + 7]];
        for frame in &frames {
            wire.extend_from_slice(&length_prefix(frame));
            wire.extend_from_slice(frame);
        }
        let mut stream = Cursor::new(wire);
        for frame in frames {
            let read = read_frame(&mut stream, 1 << 20, || {}).await;
            assert_eq!(read, ReadFrame::Frame(frame.into()));
        }
        assert_eq!(read_frame(&mut stream, 1 << 20, || {}).await, ReadFrame::Ended);
    }

    #[tokio::test]
    async fn oversize_and_cut_frames_are_told_apart() {
        let mut wire = 11_u32.to_be_bytes().to_vec();
        wire.extend_from_slice(&[0; 9]);
        assert_eq!(read_frame(&mut Cursor::new(&wire), 10, || {}).await, ReadFrame::Oversize);
        assert_eq!(read_frame(&mut Cursor::new(&wire), 11, || {}).await, ReadFrame::Ended);
    }

    /// Announces a megabyte, gives `given` bytes, and notes the largest buffer it was offered.
    struct Announcer {
        wire: Vec<u8>,
        offset: usize,
        offered_max: AtomicUsize,
    }

    impl AsyncRead for Announcer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.offered_max.fetch_max(buffer.len(), Ordering::Relaxed);
            let count = buffer.len().min(self.wire.len() - self.offset).min(100);
            let offset = self.offset;
            buffer[..count].copy_from_slice(&self.wire[offset..offset + count]);
            self.offset += count;
            Poll::Ready(Ok(count))
        }
    }

    #[tokio::test]
    async fn buffer_follows_what_was_received() {
        for given in [0, 1, READ_STEP_BYTES, 10 * READ_STEP_BYTES] {
            let mut wire = (1_u32 << 20).to_be_bytes().to_vec();
            wire.resize(LENGTH_BYTES + given, 0);
            let mut announcer = Announcer { wire, offset: 0, offered_max: AtomicUsize::new(0) };
            assert_eq!(read_frame(&mut announcer, 1 << 20, || {}).await, ReadFrame::Ended);
            let offered = announcer.offered_max.into_inner();
            assert!(offered <= given.max(READ_STEP_BYTES), "offered {offered} after {given}");
        }
    }
}
