//! Questions about wallets to the executor's thread, which alone has the trees under the state root.
//!
//! They wait in the queue of the blocks and are answered between two of them. At most [`WALLET_QUESTIONS_MAX`] wait; one
//! more is refused at once. Whoever asks does not keep the thread alive: it ends with the chain's driver.

use std::sync::mpsc as blocking;
use std::sync::{Arc, Weak};

use chain::{FinalBlock, RowFault, UncertifiedWallet};
use ledger::state::Pins;
use ledger::values::{RecordId, Slot, WalletId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Questions that may wait for the executor: each costs it a path of some 50 hashes and two reads, so a full line delays
/// the next block by few milliseconds.
pub(crate) const WALLET_QUESTIONS_MAX: usize = 32;

/// What the executor's thread is to do next.
pub(crate) enum ExecutorJob {
    /// Execute a block.
    Execute(Box<FinalBlock>),
    /// Say what a wallet, a lock or an offer is.
    Wallet(WalletQuestion),
    /// Say which open locks and offers name a wallet.
    Locks(LocksQuestion),
}

/// Open locks and offers that the executor looks at for one question about a wallet's. A block waits for a whole line of
/// [`WALLET_QUESTIONS_MAX`] at worst, so it is few; whoever asks goes on from there.
pub(crate) const LOCKS_LOOKED_MAX: usize = 8_192;

/// Open locks and offers that name a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedLocks {
    /// Their slots, ascending.
    pub(crate) slots: Vec<Slot>,
    /// The slot to go on from, if there may be more.
    pub(crate) next: Option<Slot>,
}

/// A question about the locks of a wallet, with its place in the line.
pub(crate) struct LocksQuestion {
    wallet: WalletId,
    from: Slot,
    found_max: usize,
    answer: oneshot::Sender<NamedLocks>,
    _place: OwnedSemaphorePermit,
}

impl LocksQuestion {
    /// Answers it, unless whoever asked went away.
    pub(crate) fn answer(self, pins: &Pins) {
        if !self.answer.is_closed() {
            let (slots, next) = pins.naming(&self.wallet, self.from, self.found_max, LOCKS_LOOKED_MAX);
            // It may still go away in between; nobody is left to tell.
            let _gone = self.answer.send(NamedLocks { slots, next }).is_err();
        }
    }
}

/// Where blocks and questions wait. The driver holds it; without it the thread ends.
pub(crate) type ExecutorQueue = Arc<blocking::Sender<ExecutorJob>>;

/// The queue of an executor's thread, and its end for the thread.
pub(crate) fn executor_queue() -> (ExecutorQueue, blocking::Receiver<ExecutorJob>) {
    let (sender, receiver) = blocking::channel();
    (Arc::new(sender), receiver)
}

/// One question, with its place in the line.
pub(crate) struct WalletQuestion {
    record: RecordId,
    answer: oneshot::Sender<Result<UncertifiedWallet, RowFault>>,
    _place: OwnedSemaphorePermit,
}

impl WalletQuestion {
    /// Answers it, unless whoever asked went away.
    pub(crate) fn answer(self, say: impl FnOnce(RecordId) -> Result<UncertifiedWallet, RowFault>) {
        if !self.answer.is_closed() {
            // It may still go away in between; nobody is left to tell.
            let _gone = self.answer.send(say(self.record)).is_err();
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The line is full.
    #[error("{WALLET_QUESTIONS_MAX} questions wait already")]
    Full,
    /// The chain is stopping.
    #[error("the chain is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Rows(#[from] RowFault),
}

/// Asks the executor of one chain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WalletQuestions {
    queue: Weak<blocking::Sender<ExecutorJob>>,
    places: Arc<Semaphore>,
}

impl WalletQuestions {
    pub(crate) fn new(queue: &ExecutorQueue) -> Self {
        Self { queue: Arc::downgrade(queue), places: Arc::new(Semaphore::new(WALLET_QUESTIONS_MAX)) }
    }

    /// The record of a name after the newest block that is executed when the question's turn comes.
    pub(crate) async fn ask(&self, record: RecordId) -> Result<UncertifiedWallet, Unanswered> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Unanswered::Full)?;
        let (answer, answered) = oneshot::channel();
        let question = WalletQuestion { record, answer, _place: place };
        let queue = self.queue.upgrade().ok_or(Unanswered::Stopping)?;
        queue.send(ExecutorJob::Wallet(question)).map_err(|_| Unanswered::Stopping)?;
        drop(queue);
        Ok(answered.await.map_err(|_| Unanswered::Stopping)??)
    }

    /// At most `found_max` of the open locks and offers that name a wallet, from one slot on.
    pub(crate) async fn locks(
        &self,
        wallet: WalletId,
        from: Slot,
        found_max: usize,
    ) -> Result<NamedLocks, Unanswered> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Unanswered::Full)?;
        let (answer, answered) = oneshot::channel();
        let question = LocksQuestion { wallet, from, found_max, answer, _place: place };
        let queue = self.queue.upgrade().ok_or(Unanswered::Stopping)?;
        queue.send(ExecutorJob::Locks(question)).map_err(|_| Unanswered::Stopping)?;
        drop(queue);
        answered.await.map_err(|_| Unanswered::Stopping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_line_is_bounded_and_ends_with_the_driver() {
        let (queue, jobs) = executor_queue();
        let questions = WalletQuestions::new(&queue);
        let ask = || {
            let questions = questions.clone();
            tokio::spawn(async move { questions.ask(RecordId([1; 32])).await })
        };
        let waiting: Vec<_> = (0..WALLET_QUESTIONS_MAX).map(|_| ask()).collect();
        while questions.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(ask().await.unwrap(), Err(Unanswered::Full)));
        // One that is given up keeps its place until its turn, and costs nothing then.
        waiting[0].abort();
        let Ok(ExecutorJob::Wallet(first)) = jobs.recv() else { panic!("no question") };
        tokio::task::yield_now().await;
        first.answer(|_| panic!("nobody waits for this answer"));
        assert_eq!(questions.places.available_permits(), 1);

        drop(queue);
        assert!(matches!(questions.ask(RecordId([1; 32])).await, Err(Unanswered::Stopping)));
        drop(jobs);
        for one in waiting.into_iter().skip(1) {
            assert!(matches!(one.await.unwrap(), Err(Unanswered::Stopping)));
        }
    }
}
