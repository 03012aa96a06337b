//! The cores a replay may use: the ledger's strategy over a thread pool of its own.

use ledger::values::Strategy;
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use crate::error::AuditError;

/// Most threads of a replay.
pub const THREADS_MAX: usize = 256;

/// A bounded pool. Several stages may use it at once; they share its threads.
pub(crate) struct Cores {
    pool: ThreadPool,
}

impl Cores {
    /// A pool of `threads` threads; 0 for one per core.
    pub(crate) fn new(threads: usize) -> Result<Self, AuditError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(THREADS_MAX))
            .thread_name(|number| format!("audit-{number}"))
            .build()
            .map_err(|fault| AuditError::Threads(std::io::Error::other(fault)))?;
        Ok(Self { pool })
    }

    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }
}

impl Strategy for Cores {
    fn map<T, R, W>(&self, items: &[T], chunk_min: usize, work: W) -> Vec<R>
    where
        T: Sync,
        R: Send,
        W: Fn(&T) -> R + Sync,
    {
        if items.len() <= chunk_min.max(1) {
            return items.iter().map(work).collect();
        }
        self.pool.install(|| items.par_iter().with_min_len(chunk_min.max(1)).map(&work).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_in_order_for_every_number_of_threads() {
        let items: Vec<u64> = (0..10_000).collect();
        for threads in 1..=3 {
            let cores = Cores::new(threads).unwrap();
            assert_eq!(cores.threads(), threads);
            for chunk in [0, 1, 7, 20_000] {
                let doubled = cores.map(&items, chunk, |item| item * 2);
                assert!(doubled.iter().zip(&items).all(|(doubled, item)| *doubled == item * 2));
                assert_eq!(doubled.len(), items.len());
            }
        }
    }
}
