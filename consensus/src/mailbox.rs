//! The bounded queue from the engine to the application.
//!
//! The engine calls synchronously and must never block or wait, so a full queue has to give something up.
//! A plain channel would give up whatever comes last, which may be the one request that matters. This mailbox
//! keeps one small queue per kind and gives up by kind:
//!
//! | kind | bound | when full |
//! | --- | --- | --- |
//! | propose, validate | 1 | the older one goes: the engine has at most one open, so the older is cancelled |
//! | available | [`AVAILABLE_QUEUE`] | cancelled ones go, then the lowest view (stays uncertified here, is skipped) |
//! | finalized | [`FINALIZED_QUEUE`] | the lowest view goes; the newest finalization always arrives |
//! | disseminate | [`DISSEMINATE_QUEUE`] | the oldest goes; best effort by contract |
//! | evidence | [`EVIDENCE_QUEUE`] | the new one goes; the first proof of a fault is worth the most |
//!
//! Everything given up is counted. Requests leave in a fixed order of kinds (what others wait for first), so
//! equal runs see equal sequences. Cancelled questions are dropped silently on the way out.

use crate::counters::{Meters, count};
use crate::request::{Evidence, Recipients, Reply, Request, Slot};
use commonware_utils::sync::Mutex;
use futures::task::AtomicWaker;
use ledger::proofs::FinalityProof;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Availability questions kept: views that a quorum voted for and no finalization has passed yet.
pub const AVAILABLE_QUEUE: usize = 256;
/// Finality reports kept; a restart replays up to the view retention (256) of them in one burst.
pub const FINALIZED_QUEUE: usize = 64;
/// Dissemination requests kept; one per view, an older view needs it less.
pub const DISSEMINATE_QUEUE: usize = 64;
/// Evidence kept until the application takes it.
pub const EVIDENCE_QUEUE: usize = 64;

/// The application's end of the mailbox.
#[derive(Debug)]
pub struct Requests {
    shared: Arc<Shared>,
}

impl Requests {
    /// Waits for the next request; `None` once the engine has ended and the mailbox is empty.
    ///
    /// Cancel-safe: dropping the future loses nothing. Works on any async runtime.
    pub async fn recv(&mut self) -> Option<Request> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Takes the next request if one is there.
    pub fn try_recv(&mut self) -> Option<Request> {
        self.shared.queues.lock().pop()
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Request>> {
        self.shared.waker.register(context.waker());
        let mut queues = self.shared.queues.lock();
        match queues.pop() {
            Some(request) => Poll::Ready(Some(request)),
            None if queues.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// The engine's end; the mailbox closes when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct RequestSender {
    shared: Arc<Shared>,
    meters: Arc<Meters>,
    _open: Arc<OpenGuard>,
}

/// The two ends of a mailbox. The receiver resolves (with an error) when the engine's last end is gone.
pub(crate) fn mailbox(meters: Arc<Meters>) -> (RequestSender, Requests, oneshot::Receiver<()>) {
    let shared = Arc::new(Shared::default());
    let (alive, gone) = oneshot::channel();
    let guard = Arc::new(OpenGuard { shared: Arc::clone(&shared), _alive: alive });
    (RequestSender { shared: Arc::clone(&shared), meters, _open: guard }, Requests { shared }, gone)
}

impl RequestSender {
    pub(crate) fn propose(&self, slot: Slot, parent: [u8; 32], reply: Reply<[u8; 32]>) {
        self.put(|queues| {
            queues.propose.replace((slot, parent, reply)).is_some_and(|old| !old.2.is_cancelled())
        });
    }

    pub(crate) fn validate(&self, slot: Slot, parent: [u8; 32], digest: [u8; 32], reply: Reply<bool>) {
        self.put(|queues| {
            let old = queues.validate.replace((slot, parent, digest, reply));
            old.is_some_and(|old| !old.3.is_cancelled())
        });
    }

    pub(crate) fn available(&self, epoch: u64, view: u64, digest: [u8; 32], reply: Reply<bool>) {
        self.put(|queues| {
            if queues.available.len() >= AVAILABLE_QUEUE {
                queues.available.retain(|item| !item.3.is_cancelled());
            }
            queues.available.push_back((epoch, view, digest, reply));
            drop_lowest(&mut queues.available, AVAILABLE_QUEUE, |item| item.1)
        });
    }

    pub(crate) fn disseminate(&self, epoch: u64, view: u64, digest: [u8; 32], to: Recipients) {
        self.put(|queues| {
            queues.disseminate.push_back((epoch, view, digest, to));
            drop_lowest(&mut queues.disseminate, DISSEMINATE_QUEUE, |_| 0)
        });
    }

    pub(crate) fn finalized(&self, proof: FinalityProof) {
        self.put(|queues| {
            queues.finalized.push_back(proof);
            drop_lowest(&mut queues.finalized, FINALIZED_QUEUE, |item| item.view.0)
        });
    }

    pub(crate) fn evidence(&self, evidence: Evidence) {
        self.put(|queues| {
            let full = queues.evidence.len() >= EVIDENCE_QUEUE;
            if !full {
                queues.evidence.push_back(evidence);
            }
            full
        });
    }

    /// Changes the queues, counts a loss, wakes the application.
    fn put(&self, change: impl FnOnce(&mut Queues) -> bool) {
        let lost = change(&mut self.shared.queues.lock());
        if lost {
            count(&self.meters.requests_dropped);
        }
        self.shared.waker.wake();
    }
}

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<Queues>,
    waker: AtomicWaker,
}

/// Slot, parent, digest and reply of an open question.
type Validation = (Slot, [u8; 32], [u8; 32], Reply<bool>);

#[derive(Debug, Default)]
struct Queues {
    propose: Option<(Slot, [u8; 32], Reply<[u8; 32]>)>,
    validate: Option<Validation>,
    available: VecDeque<(u64, u64, [u8; 32], Reply<bool>)>,
    disseminate: VecDeque<(u64, u64, [u8; 32], Recipients)>,
    finalized: VecDeque<FinalityProof>,
    evidence: VecDeque<Evidence>,
    closed: bool,
}

impl Queues {
    fn pop(&mut self) -> Option<Request> {
        if let Some((epoch, view, digest, to)) = self.disseminate.pop_front() {
            return Some(Request::Disseminate { epoch, view, digest, to });
        }
        if let Some(proof) = self.finalized.pop_front() {
            return Some(Request::Finalized(proof));
        }
        while let Some((epoch, view, digest, reply)) = self.available.pop_front() {
            if !reply.is_cancelled() {
                return Some(Request::Available { epoch, view, digest, reply });
            }
        }
        if let Some((slot, parent, digest, reply)) =
            self.validate.take().filter(|item| !item.3.is_cancelled())
        {
            return Some(Request::Validate { slot, parent, digest, reply });
        }
        if let Some((slot, parent, reply)) = self.propose.take().filter(|item| !item.2.is_cancelled()) {
            return Some(Request::Propose { slot, parent, reply });
        }
        self.evidence.pop_front().map(Request::Evidence)
    }
}

/// Keeps a queue at its bound by dropping the item with the lowest rank (the first of equals).
fn drop_lowest<T>(queue: &mut VecDeque<T>, bound: usize, rank: impl Fn(&T) -> u64) -> bool {
    if queue.len() <= bound {
        return false;
    }
    let lowest = queue.iter().enumerate().min_by_key(|(_, item)| rank(item)).map(|(index, _)| index);
    lowest.and_then(|index| queue.remove(index)).is_some()
}

/// Closes the mailbox when the engine's last end goes.
struct OpenGuard {
    shared: Arc<Shared>,
    _alive: oneshot::Sender<()>,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.shared.queues.lock().closed = true;
        self.shared.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use ledger::values::{BlockDigest, ChainId, Epoch, View};

    fn proof(view: u64) -> FinalityProof {
        FinalityProof {
            chain: ChainId(0),
            epoch: Epoch(0),
            view: View(view),
            parent_view: View(0),
            digest: BlockDigest([0; 32]),
            bytes: Vec::new(),
        }
    }

    fn slot(view: u64) -> Slot {
        Slot { epoch: 0, view, parent_view: 0, leader: 0 }
    }

    #[test]
    fn the_newest_finalization_survives_an_application_that_does_not_read() {
        let meters = Arc::new(Meters::default());
        let (sender, mut requests, _gone) = mailbox(Arc::clone(&meters));
        for view in 1..=1_000 {
            sender.finalized(proof(view));
        }
        let mut views = Vec::new();
        while let Some(Request::Finalized(proof)) = requests.try_recv() {
            views.push(proof.view.0);
        }
        assert_eq!(views, (1_000 - FINALIZED_QUEUE as u64 + 1..=1_000).collect::<Vec<_>>());
        assert_eq!(meters.snapshot().requests_dropped, 1_000 - FINALIZED_QUEUE as u64);
    }

    #[test]
    fn a_newer_question_replaces_a_cancelled_one_without_counting_a_loss() {
        let meters = Arc::new(Meters::default());
        let (sender, mut requests, _gone) = mailbox(Arc::clone(&meters));
        let (first, gone) = Reply::channel();
        sender.validate(slot(1), [0; 32], [1; 32], first);
        drop(gone);
        let (second, mut answer) = Reply::channel();
        sender.validate(slot(2), [0; 32], [2; 32], second);
        assert_eq!(meters.snapshot().requests_dropped, 0);
        match requests.try_recv() {
            Some(Request::Validate { slot, reply, .. }) => {
                assert_eq!(slot.view, 2);
                assert!(reply.send(true));
            }
            other => panic!("unexpected {other:?}"),
        }
        assert_eq!(answer.try_recv(), Ok(true));
        assert!(requests.try_recv().is_none());
    }

    #[test]
    fn availability_questions_are_bounded_and_keep_the_newest_views() {
        let meters = Arc::new(Meters::default());
        let (sender, mut requests, _gone) = mailbox(Arc::clone(&meters));
        let mut open = Vec::new();
        for view in 0..AVAILABLE_QUEUE as u64 + 10 {
            let (reply, receiver) = Reply::channel();
            sender.available(0, view, [0; 32], reply);
            open.push(receiver);
        }
        assert_eq!(meters.snapshot().requests_dropped, 10);
        match requests.try_recv() {
            Some(Request::Available { view, .. }) => assert_eq!(view, 10),
            other => panic!("unexpected {other:?}"),
        }
        drop(open);
        assert!(requests.try_recv().is_none(), "cancelled questions do not reach the application");
    }

    #[test]
    fn the_mailbox_ends_with_the_engine() {
        let (sender, mut requests, gone) = mailbox(Arc::default());
        let other = sender.clone();
        drop(sender);
        assert!(requests.recv().now_or_never().is_none());
        other.finalized(proof(1));
        drop(other);
        assert!(gone.now_or_never().is_some());
        assert!(matches!(requests.recv().now_or_never(), Some(Some(Request::Finalized(_)))));
        assert!(matches!(requests.recv().now_or_never(), Some(None)));
    }
}
