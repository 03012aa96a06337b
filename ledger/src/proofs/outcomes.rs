//! The root over the outcomes of one block, and paths to its leaves ([`Merkle`] under the tag `jiaozi/outcomes`).

use crate::records::Outcome;
use crate::values::{Canonical as _, Hash, Merkle, OutcomesRoot, Strategy};

const TREE: Merkle = Merkle { tag: "jiaozi/outcomes" };
const OUTCOMES_PER_CHUNK: usize = 1_024;
/// Most steps of a path.
pub const OUTCOME_PATH_MAX: usize = 32;

fn leaf(outcome: &Outcome) -> Hash {
    TREE.leaf(&outcome.encode())
}

/// The root over a block's outcomes, in execution order.
#[must_use]
pub fn outcomes_root(outcomes: &[Outcome], strategy: &impl Strategy) -> OutcomesRoot {
    TREE.root(strategy.map(outcomes, OUTCOMES_PER_CHUNK, leaf), strategy).into()
}

/// The siblings of the outcome at `position` (its place among the outcomes, not among all transactions), from
/// the bottom; `None` where there is none.
#[must_use]
pub fn outcome_path(outcomes: &[Outcome], position: u64, strategy: &impl Strategy) -> Option<Vec<Hash>> {
    TREE.path(strategy.map(outcomes, OUTCOMES_PER_CHUNK, leaf), position, strategy)
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
    TREE.verify(Hash(expected.0), count, position, leaf(outcome), path)
}
