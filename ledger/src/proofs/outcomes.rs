//! The root over the outcomes of one block, and paths to its leaves.
//!
//! ```text
//! leaf = H(0x00, outcome)      node = H(0x01, level, left, right)
//! empty = H(0x02)              root = H(0x03, count, top)
//! ```
//!
//! The tree is padded with empty leaves to a power of two, never by repeating a leaf, and the root commits to
//! the count: no two lists of outcomes share a root.

use crate::records::Outcome;
use crate::state::summing_tree::{DEPTH_MAX, depth};
use crate::values::{Canonical, Hash, Hasher, OutcomesRoot, Strategy};

const TAG: &str = "jiaozi/outcomes";
const OUTCOMES_PER_CHUNK: usize = 256;
/// Most steps of a path.
pub const OUTCOME_PATH_MAX: usize = 32;
const _: () = assert!(OUTCOME_PATH_MAX <= DEPTH_MAX);

fn leaf(outcome: &Outcome) -> Hash {
    Hasher::new(TAG).bytes(&[0x00]).bytes(&outcome.encode()).finish()
}

fn node(level: u8, left: &Hash, right: &Hash) -> Hash {
    Hasher::new(TAG).bytes(&[0x01, level]).bytes(&left.0).bytes(&right.0).finish()
}

fn empty_leaf() -> Hash {
    Hasher::new(TAG).bytes(&[0x02]).finish()
}

fn root(count: u64, top: &Hash) -> OutcomesRoot {
    Hasher::new(TAG).bytes(&[0x03]).number(count).bytes(&top.0).finish().into()
}

/// All levels, leaves first, each padded with one empty subtree where its length is odd; the last holds the
/// top alone.
fn levels(outcomes: &[Outcome], strategy: &impl Strategy) -> Vec<Vec<Hash>> {
    let mut empty = empty_leaf();
    let mut nodes = strategy.map(outcomes, OUTCOMES_PER_CHUNK, leaf);
    if nodes.is_empty() {
        nodes.push(empty);
    }
    let mut levels = Vec::new();
    for level in 1_u8.. {
        if nodes.len() == 1 {
            break;
        }
        if nodes.len() % 2 == 1 {
            nodes.push(empty);
        }
        let pairs: Vec<[Hash; 2]> = nodes.as_chunks::<2>().0.to_vec();
        let parents = strategy.map(&pairs, OUTCOMES_PER_CHUNK, |[left, right]| node(level, left, right));
        levels.push(std::mem::replace(&mut nodes, parents));
        empty = node(level, &empty, &empty);
    }
    levels.push(nodes);
    levels
}

/// The root over a block's outcomes, in execution order.
#[must_use]
pub fn outcomes_root(outcomes: &[Outcome], strategy: &impl Strategy) -> OutcomesRoot {
    let levels = levels(outcomes, strategy);
    let top = levels.last().and_then(|level| level.first()).copied().unwrap_or_else(empty_leaf);
    root(outcomes.len() as u64, &top)
}

/// The siblings of the outcome at `position` (its place among the outcomes, not among all transactions), from
/// the bottom; `None` where there is none.
#[must_use]
pub fn outcome_path(outcomes: &[Outcome], position: u64, strategy: &impl Strategy) -> Option<Vec<Hash>> {
    let place = usize::try_from(position).ok().filter(|place| *place < outcomes.len())?;
    let levels = levels(outcomes, strategy);
    let (_, below_top) = levels.split_last()?;
    below_top.iter().enumerate().map(|(level, nodes)| nodes.get((place >> level) ^ 1).copied()).collect()
}

/// Whether `outcome` is the one at `position` of `count` under `expected`.
#[must_use]
pub fn verify_outcome(
    expected: OutcomesRoot,
    count: u64,
    position: u64,
    outcome: &Outcome,
    path: &[Hash],
) -> bool {
    if position >= count || path.len() != depth(count) {
        return false;
    }
    let mut hash = leaf(outcome);
    for ((step, sibling), level) in path.iter().enumerate().zip(1_u8..) {
        hash = match position >> step & 1 {
            0 => node(level, &hash, sibling),
            _ => node(level, sibling, &hash),
        };
    }
    root(count, &hash) == expected
}
