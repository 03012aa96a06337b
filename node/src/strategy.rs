//! The ledger's parallel strategy on a thread pool.

use std::sync::Arc;

use ledger::values::Strategy;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Maps over the threads of one pool, which all chains of a node share.
#[derive(Clone)]
pub(crate) struct Parallel {
    pool: Arc<ThreadPool>,
}

impl Parallel {
    /// A pool with this many threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("work-{index}"))
            .build()?;
        Ok(Self { pool: Arc::new(pool) })
    }
}

impl Strategy for Parallel {
    fn map<T, R, W>(&self, items: &[T], chunk_min: usize, work: W) -> Vec<R>
    where
        T: Sync,
        R: Send,
        W: Fn(&T) -> R + Sync,
    {
        if items.len() <= chunk_min {
            return items.iter().map(work).collect();
        }
        self.pool.install(|| items.par_iter().with_min_len(chunk_min.max(1)).map(&work).collect())
    }
}
