//! The threads beside a driver: what they are given, what they report, and what becomes of a panic.
//!
//! - The storage thread writes in order; several synced writes that wait together share the disk's wait.
//! - The executor's thread executes final blocks one by one, and answers questions about wallets in between.
//! - A thread that panics halts the node with [`HaltCode::Thread`]: nobody else does its work, and nobody can vouch for
//!   what it held in memory. The database holds whole heights only, so a start goes on from the last one.
//! - What a thread owns, its end of the queue first of all, is let go of after the panic is told: so the panic is what is
//!   heard first, not the queue without an end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain::{Executed, Executor, Lane, RowFault};
use ledger::rules::BundleFacts;
use ledger::values::{BlockDigest, BundleDigest, NodeIndex};
use storage::{Durability, Store, WriteSet};
use tokio::sync::mpsc;

use crate::handle::HaltCode;
use crate::questions::{ExecutorJob, ExecutorQueue, executor_queue};
use crate::strategy::Parallel;
use crate::verifier::Verified;

/// What the threads report to the driver.
pub(crate) enum Done {
    Served { to: NodeIndex, lane: Lane, fault: Option<RowFault> },
    Executed(Executed, Duration),
    Persisted(BlockDigest, Duration),
    Verified { verified: Vec<Verified>, transactions: usize, took: Duration },
    BundleChecked { digest: BundleDigest, facts: Option<BundleFacts> },
    Halt(HaltCode, String),
}

/// Where the threads report.
pub(crate) type DoneSender = mpsc::UnboundedSender<Done>;

/// A write, and the block that is durable after it.
pub(crate) struct StorageJob {
    pub(crate) set: WriteSet,
    pub(crate) durability: Durability,
    pub(crate) then: Option<BlockDigest>,
}

/// Starts a thread. Where its work panics, `panicked` is told which thread it was and what it said.
pub(crate) fn spawn(
    name: &'static str,
    panicked: impl FnOnce(String) + Send + 'static,
    mut work: impl FnMut() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        // Borrowed: what the work owns outlives the report. Nobody looks at it again.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(&mut work)) {
            panicked(format!("the thread \"{name}\" panicked: {}", words_of(&*payload)));
        }
    })
}

fn words_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(words) = payload.downcast_ref::<&str>() {
        return words;
    }
    payload.downcast_ref::<String>().map_or("it said nothing", String::as_str)
}

/// A panic halts the node.
pub(crate) fn halts(done: &DoneSender) -> impl FnOnce(String) + Send + use<> + 'static {
    let done = done.clone();
    move |cause| {
        let _stopping = done.send(Done::Halt(HaltCode::Thread, cause)).is_err();
    }
}

/// Starts the thread that writes.
pub(crate) fn spawn_storage(
    store: Arc<dyn Store>,
    done: DoneSender,
) -> std::io::Result<(blocking::Sender<StorageJob>, JoinHandle<()>)> {
    let (sender, receiver) = blocking::channel::<StorageJob>();
    let thread = spawn("storage", halts(&done), move || {
        while let Ok(first) = receiver.recv() {
            let started = Instant::now();
            let mut durable = Vec::new();
            let mut must_sync = false;
            for StorageJob { set, durability, then } in std::iter::once(first).chain(receiver.try_iter()) {
                if let Err(fault) = store.write(set, Durability::Buffered) {
                    let _stopping = done.send(Done::Halt(HaltCode::Store, fault.to_string())).is_err();
                    return;
                }
                must_sync |= durability == Durability::Synced;
                durable.extend(then);
            }
            if must_sync && let Err(fault) = store.sync() {
                let _stopping = done.send(Done::Halt(HaltCode::Store, fault.to_string())).is_err();
                return;
            }
            for digest in durable {
                let _stopping = done.send(Done::Persisted(digest, started.elapsed())).is_err();
            }
        }
    })?;
    Ok((sender, thread))
}

/// Starts the thread that executes.
pub(crate) fn spawn_executor(
    mut executor: Executor<Parallel>,
    done: DoneSender,
) -> std::io::Result<(ExecutorQueue, JoinHandle<()>)> {
    let (sender, receiver) = executor_queue();
    let thread = spawn("executor", halts(&done), move || {
        while let Ok(job) = receiver.recv() {
            let block = match job {
                ExecutorJob::Execute(block) => block,
                ExecutorJob::Wallet(question) => {
                    question.answer(|record| executor.wallet(record));
                    continue;
                }
                ExecutorJob::Locks(question) => {
                    question.answer(executor.state().pins());
                    continue;
                }
            };
            let started = Instant::now();
            match executor.execute(&block) {
                Ok(executed) => {
                    let _stopping = done.send(Done::Executed(executed, started.elapsed())).is_err();
                }
                Err(fault) => {
                    let code = if fault.is_storage() { HaltCode::Store } else { HaltCode::Execution };
                    let _stopping = done.send(Done::Halt(code, fault.to_string())).is_err();
                    return;
                }
            }
        }
    })?;
    Ok((sender, thread))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use chain::FinalBlock;
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::{Block, BlockBody, BlockHeader, Claim, GenesisSpec};
    use ledger::rules::ChainRules;
    use ledger::values::{ChainId, Epoch, FeeRate, TimestampMs, ValidatorIndex, View};
    use storage::{Identity, MemoryStore, Page, Reader, Row, StorageError, StoreStatistics, Table, Visit};

    use super::*;
    use crate::admission::{Admission, Refused};
    use crate::handle::Submitted;
    use crate::verifier::Verifier;

    /// A store that panics from some moment on, whatever it is asked.
    struct Fragile {
        inner: MemoryStore,
        is_broken: AtomicBool,
    }

    impl Fragile {
        fn inner(&self) -> &MemoryStore {
            assert!(!self.is_broken.load(Ordering::SeqCst), "this store is broken");
            &self.inner
        }
    }

    impl Reader for Fragile {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
            self.inner().get(table, key)
        }

        fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
            self.inner().multi_get(table, keys)
        }

        fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
            self.inner().scan(table, page)
        }

        fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
            self.inner().for_each(table, visit)
        }
    }

    impl Store for Fragile {
        fn write(&self, set: WriteSet, durability: Durability) -> Result<(), StorageError> {
            self.inner().write(set, durability)
        }

        fn sync(&self) -> Result<(), StorageError> {
            self.inner().sync()
        }

        fn snapshot(&self) -> Result<Box<dyn Reader + '_>, StorageError> {
            self.inner().snapshot()
        }

        fn bytes_on_disk(&self) -> Result<u64, StorageError> {
            self.inner().bytes_on_disk()
        }

        fn free_bytes(&self) -> Result<u64, StorageError> {
            self.inner().free_bytes()
        }

        fn statistics(&self) -> StoreStatistics {
            self.inner().statistics()
        }
    }

    fn fragile(spec: &GenesisSpec) -> Arc<Fragile> {
        let identity = Identity { schema_version: 1, genesis: spec.hash().0, chain: 0 };
        Arc::new(Fragile { inner: MemoryStore::fresh(&identity), is_broken: AtomicBool::new(false) })
    }

    fn spec() -> GenesisSpec {
        localnet(&LocalnetPlan::new(4), &[6; 32]).unwrap().spec
    }

    /// The first thing that is heard: a panic in this thread.
    fn assert_halts(done: &mut mpsc::UnboundedReceiver<Done>, thread: &str) {
        match done.blocking_recv() {
            Some(Done::Halt(HaltCode::Thread, cause)) => {
                assert!(cause.contains(thread) && cause.contains("this store is broken"), "{cause}");
            }
            Some(_) => panic!("something else was heard"),
            None => panic!("nothing was heard"),
        }
    }

    #[test]
    fn a_storage_thread_that_panics_halts_the_node() {
        let store = fragile(&spec());
        let (sender, mut done) = mpsc::unbounded_channel();
        let (to_storage, thread) = spawn_storage(Arc::clone(&store) as Arc<dyn Store>, sender).unwrap();
        let job = || StorageJob {
            set: WriteSet::new(),
            durability: Durability::Synced,
            then: Some(BlockDigest([1; 32])),
        };
        to_storage.send(job()).unwrap();
        assert!(matches!(done.blocking_recv(), Some(Done::Persisted(..))));
        store.is_broken.store(true, Ordering::SeqCst);
        to_storage.send(job()).unwrap();
        assert_halts(&mut done, "storage");
        thread.join().expect("the panic ends in the thread");
        assert!(to_storage.send(job()).is_err(), "nobody takes more");
    }

    #[test]
    fn an_executor_that_panics_halts_the_node() {
        let spec = spec();
        let store = fragile(&spec);
        let strategy = Parallel::new(1).unwrap();
        let executor =
            Executor::open(&spec, ChainId(0), Arc::clone(&store) as Arc<dyn Store>, strategy).unwrap();
        let (head, body) = (executor.state().head().clone(), BlockBody::default());
        let header = BlockHeader {
            chain: ChainId(0),
            epoch: Epoch(0),
            view: View(1),
            height: head.height.next(),
            parent: head.block,
            timestamp: TimestampMs(head.timestamp.0 + 1),
            proposer: ValidatorIndex(0),
            weight: 0,
            base_fee: FeeRate::ZERO,
            claim: Claim { height: head.height, result: head.result },
            body: body.hash(),
        };
        let digest = header.digest(spec.hash());
        let block = Arc::new(Block { header, body });
        let next = FinalBlock {
            digest,
            block,
            batches: Vec::new(),
            bundles: Vec::new(),
            certificate: None,
            is_durable: true,
        };
        let (sender, mut done) = mpsc::unbounded_channel();
        let (to_executor, thread) = spawn_executor(executor, sender).unwrap();
        store.is_broken.store(true, Ordering::SeqCst);
        assert!(to_executor.send(ExecutorJob::Execute(Box::new(next))).is_ok());
        assert_halts(&mut done, "executor");
        thread.join().expect("the panic ends in the thread");
    }

    #[tokio::test]
    async fn an_admission_thread_that_panics_is_seen_and_takes_nothing_in() {
        let spec = spec();
        let store = fragile(&spec);
        let rules = ChainRules::at_genesis(&spec, ChainId(0)).unwrap();
        let (submissions, _submitted) = mpsc::channel(1);
        let strategy = Parallel::new(1).unwrap();
        let verifier = Verifier { genesis: spec.hash(), secret: [3; 32], keys: Arc::default(), strategy };
        let cache = Arc::default();
        let dynamic = Arc::clone(&store) as Arc<dyn Store>;
        let admission = Admission::new((rules, None), dynamic, cache, submissions, verifier).unwrap();
        let refused = admission.submit(vec![b"no transaction".as_slice().into()]).await;
        assert!(matches!(refused[..], [Submitted::Refused(Refused::Codec(_))]), "{refused:?}");
        assert_eq!(admission.panicked(), None);
        store.is_broken.store(true, Ordering::SeqCst);
        for _again in 0..2 {
            let refused = admission.submit(vec![b"no transaction".as_slice().into()]).await;
            assert!(matches!(refused[..], [Submitted::Refused(Refused::Unavailable { .. })]), "{refused:?}");
        }
        let end = Instant::now() + Duration::from_secs(10);
        while admission.panicked().is_none() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let cause = admission.panicked().expect("it is told");
        assert!(cause.contains("admission") && cause.contains("this store is broken"), "{cause}");
    }

    #[test]
    fn the_words_of_a_panic_are_kept() {
        let cases: [(Box<dyn Any + Send>, &str); 3] = [
            (Box::new("plain"), "plain"),
            (Box::new("made".to_owned()), "made"),
            (Box::new(7_u8), "it said nothing"),
        ];
        for (payload, words) in cases {
            assert_eq!(words_of(&*payload), words);
        }
    }
}
