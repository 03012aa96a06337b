//! One byzantine leader of four shows the others old certificates and proposes on top of an old block. What was final must stay final.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Outcome, stuck};
use crate::engine::Engine;
use crate::pace::Pace;

/// The attacker: the last of four.
const BYZANTINE: u16 = 3;
/// Longest time without a final block under attack: the turns of the byzantine one.
const STALL_MAX: Duration = Duration::from_secs(3);

/// Counts the blocks that an honest validator once reported as final and that are not on its path any more.
pub fn run<E: Engine>() -> Outcome {
    let mut engine = E::start(4);
    if !engine.reaches(0, 40, Duration::from_secs(20)) {
        return stuck(engine.height(0));
    }
    let from = Instant::now();
    let attempts = engine.regress_lock(BYZANTINE);
    let attacked = engine.height(0);
    let goes_on = engine.reaches(0, attacked + 30, Duration::from_secs(30));
    let pace = Pace::of(&engine.finals(0), from, Instant::now());
    let reverted: Vec<usize> = (0..BYZANTINE).map(|node| reverted(&engine, node)).collect();
    let figures = format!(
        "{attempts} proposals on an old block; final blocks reverted at the honest three: {reverted:?}; {pace}{}",
        if goes_on { "" } else { "; did not make 30 more blocks in 30 s" },
    );
    let is_safe = reverted.iter().all(|blocks| *blocks == 0);
    Outcome { holds: attempts > 0 && is_safe && goes_on && pace.stall < STALL_MAX, figures }
}

/// Blocks reported as final by `node` that its newest final block does not descend from.
fn reverted<E: Engine>(engine: &E, node: u16) -> usize {
    // Reported first, walked second: the walk may only be longer.
    let finals = engine.finals(node);
    let path: HashSet<_> = engine.path(node).into_iter().collect();
    finals.iter().filter(|block| !path.contains(&block.digest)).count()
}
