//! How much work is done at once. The ledger starts no thread of its own: whoever has cores passes a strategy
//! in.
//!
//! Rule: a strategy changes only the time taken. Results come back in the order of the items, so the bytes
//! are the same for every strategy.

/// Maps a function over items.
pub trait Strategy: Sync {
    /// The results of `work`, in the order of `items`. `chunk_min` is the fewest items worth handing to
    /// another core.
    fn map<T, R, W>(&self, items: &[T], chunk_min: usize, work: W) -> Vec<R>
    where
        T: Sync,
        R: Send,
        W: Fn(&T) -> R + Sync;
}

/// One item after the other, on the caller's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sequential;

impl Strategy for Sequential {
    fn map<T, R, W>(&self, items: &[T], _chunk_min: usize, work: W) -> Vec<R>
    where
        T: Sync,
        R: Send,
        W: Fn(&T) -> R + Sync,
    {
        items.iter().map(work).collect()
    }
}
