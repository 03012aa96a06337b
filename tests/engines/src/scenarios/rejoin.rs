//! A node is away while the others make 1,000 blocks, then it comes back with what it had stored.

use std::time::{Duration, Instant};

use super::{Outcome, stuck};
use crate::engine::Engine;

/// Blocks made without it.
const MISSED: usize = 1_000;
/// How long the others may take for them.
const MISSED_WITHIN: Duration = Duration::from_secs(60);
/// How long the node may take to be level again.
const LEVEL_WITHIN: Duration = Duration::from_secs(5);
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(30);

/// Level means: it holds every block that was final when it came back.
pub fn run<E: Engine>() -> Outcome {
    let mut engine = E::start(4);
    let away = engine.spare();
    if !engine.reaches(away, 20, Duration::from_secs(20)) {
        return stuck(engine.height(away));
    }
    engine.stop(away);
    let had = engine.height(away);
    let left = engine.height(0);
    let start = Instant::now();
    if !engine.reaches(0, left + MISSED, MISSED_WITHIN) {
        let made = engine.height(0) - left;
        let figures = format!("the others made {made} blocks in {} s without it", MISSED_WITHIN.as_secs());
        return Outcome { holds: false, figures };
    }
    let made_in = start.elapsed();
    let tip = engine.height(0);
    let back = Instant::now();
    engine.restart(away);
    let level = engine.reaches(away, tip, WATCHED);
    let took = back.elapsed();
    let missed = tip - had;
    let made = format!("{missed} blocks missed, made in {:.1} s", made_in.as_secs_f64());
    let figures = if level {
        format!("{made}; level after {:.2} s", took.as_secs_f64())
    } else {
        let got = engine.height(away) - had;
        format!("{made}; {got} of them fetched after {} s", WATCHED.as_secs())
    };
    Outcome { holds: level && took < LEVEL_WITHIN, figures }
}
