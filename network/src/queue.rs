//! The frames waiting to be sent to one peer on one lane: bounded in frames and bytes, never waiting.
//!
//! The queue is shut while there is no link, so that nothing old is sent when a peer comes back.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::SendError;

/// A bounded queue with one consumer.
#[derive(Debug)]
pub(crate) struct OutboundQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    frames_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    open: bool,
}

impl OutboundQueue {
    /// An empty, shut queue.
    pub(crate) fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Notify::new(), frames_max, bytes_max }
    }

    /// Takes a frame or says why not, at once.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), SendError> {
        let mut waiting = self.lock();
        if !waiting.open {
            return Err(SendError::Disconnected);
        }
        let bytes = waiting.bytes.saturating_add(frame.len());
        if waiting.frames.len() >= self.frames_max || bytes > self.bytes_max {
            return Err(SendError::Full);
        }
        waiting.bytes = bytes;
        waiting.frames.push_back(frame);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next frame, once there is one. Safe to cancel.
    pub(crate) async fn pop(&self) -> Bytes {
        loop {
            if let Some(frame) = self.pop_within(usize::MAX) {
                return frame;
            }
            self.arrived.notified().await;
        }
    }

    /// The next frame if there is one of at most `bytes_max` bytes.
    pub(crate) fn pop_within(&self, bytes_max: usize) -> Option<Bytes> {
        let mut waiting = self.lock();
        if waiting.frames.front()?.len() > bytes_max {
            return None;
        }
        let frame = waiting.frames.pop_front()?;
        waiting.bytes -= frame.len();
        Some(frame)
    }

    /// Lets frames in.
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// Lets no more frames in and drops those waiting. Returns how many there were.
    pub(crate) fn shut(&self) -> usize {
        std::mem::take(&mut *self.lock()).frames.len()
    }

    /// Frames and bytes waiting.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.frames.len(), waiting.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    #[test]
    fn bounded_in_frames_and_bytes() {
        let queue = OutboundQueue::new(2, 10);
        assert_eq!(queue.push(frame(1)), Err(SendError::Disconnected));
        queue.open();
        assert_eq!(queue.push(frame(11)), Err(SendError::Full));
        assert_eq!(queue.push(frame(10)), Ok(()));
        assert_eq!(queue.push(frame(1)), Err(SendError::Full));
        assert_eq!(queue.push(frame(0)), Ok(()));
        assert_eq!(queue.push(frame(0)), Err(SendError::Full));
        assert_eq!(queue.depth(), (2, 10));
        assert_eq!(queue.pop_within(9), None);
        assert_eq!(queue.pop_within(10), Some(frame(10)));
        assert_eq!(queue.depth(), (1, 0));
    }

    #[tokio::test]
    async fn shut_drops_what_waits_and_pop_wakes_on_the_next() {
        let queue = OutboundQueue::new(2, 10);
        queue.open();
        queue.push(frame(3)).unwrap();
        assert_eq!(queue.shut(), 1);
        assert_eq!(queue.push(frame(1)), Err(SendError::Disconnected));
        queue.open();
        let (popped, pushed) = tokio::join!(queue.pop(), async { queue.push(frame(2)) });
        assert_eq!((popped, pushed), (frame(2), Ok(())));
    }
}
