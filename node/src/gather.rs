//! Company for what is cheaper to do together: signatures cost a third as much in groups of hundreds, and one look at a
//! chain serves many inputs.

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

/// Takes by turns, one thing of each source in a round, until a round brings nothing or `enough` are there. Whoever floods one
/// source gets that source's turns and nobody else's.
pub(crate) fn by_turns<S: Copy, T>(
    sources: &[S],
    taken: &mut Vec<T>,
    enough: usize,
    mut take: impl FnMut(S) -> Option<Vec<T>>,
) {
    let mut is_something_left = true;
    while is_something_left {
        is_something_left = false;
        for source in sources {
            if taken.len() >= enough {
                return;
            }
            if let Some(more) = take(*source) {
                taken.extend(more);
                is_something_left = true;
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Takes from lines of these lengths; answers how many of each.
    fn taken_of(lengths: [usize; 4], enough: usize) -> Vec<usize> {
        let mut lines: Vec<VecDeque<usize>> = lengths.iter().map(|length| (0..*length).collect()).collect();
        let mut taken = Vec::new();
        by_turns(&[0_usize, 1, 2, 3], &mut taken, enough, |line| lines[line].pop_front().map(|_| vec![line]));
        assert!(taken.len() <= enough);
        (0..4).map(|line| taken.iter().filter(|one| **one == line).count()).collect()
    }

    #[test]
    fn a_flood_on_one_source_takes_no_other_sources_turn() {
        assert_eq!(taken_of([1_000, 30, 5, 0], 64), [30, 29, 5, 0]);
        assert_eq!(taken_of([1_000, 1_000, 1_000, 1_000], 64), [16, 16, 16, 16]);
        assert_eq!(taken_of([1_000, 0, 0, 1], 64), [63, 0, 0, 1], "what others leave is not wasted");
        assert_eq!(taken_of([3, 2, 0, 1], 64), [3, 2, 0, 1], "it ends when nothing is left");
    }
}
