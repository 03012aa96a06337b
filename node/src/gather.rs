//! Company for what is cheaper to do together: signatures cost a third as much in groups of hundreds.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Transactions that make a group: gathering stops there.
const GROUP_TRANSACTIONS: usize = 256;
/// Most items of a group, however small they are.
const GROUP_ITEMS_MAX: usize = 64;
/// How long a loaded first item waits for company.
const GATHER_MS: u64 = 10;
/// An item below this is not worth the wait.
const LOADED_TRANSACTIONS: usize = 16;

/// `first`, what waits behind it already, and, where it is loaded, what comes in time. `transactions` counts an item's.
pub(crate) fn gather<T>(first: T, line: &Receiver<T>, transactions: impl Fn(&T) -> usize) -> Vec<T> {
    let end = Instant::now() + Duration::from_millis(GATHER_MS);
    let mut gathered = transactions(&first);
    let is_loaded = gathered >= LOADED_TRANSACTIONS;
    let mut group = vec![first];
    while gathered < GROUP_TRANSACTIONS && group.len() < GROUP_ITEMS_MAX {
        let left = if is_loaded { end.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
        let Ok(next) = line.recv_timeout(left) else { break };
        gathered += transactions(&next);
        group.push(next);
    }
    group
}
