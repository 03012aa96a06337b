//! One of four validators dies. Payments must go on: an ordinary day.

use std::time::{Duration, Instant};

use super::{Outcome, stuck};
use crate::engine::Engine;
use crate::pace::Pace;

/// Longest time without a final block.
const STALL_MAX: Duration = Duration::from_secs(2);
/// Least blocks a second once the dead one is known.
const PER_SECOND_MIN: f64 = 10.0;

/// Four seconds of health, fifteen with one dead.
pub fn run<E: Engine>() -> Outcome {
    let mut engine = E::start(4);
    if !engine.reaches(0, 20, Duration::from_secs(20)) {
        return stuck(engine.height(0));
    }
    after_deaths(&mut engine, &[3], STALL_MAX, PER_SECOND_MIN)
}

/// Measures health, stops `dead`, and measures again.
pub(super) fn after_deaths<E: Engine>(
    engine: &mut E,
    dead: &[u16],
    stall_max: Duration,
    per_second_min: f64,
) -> Outcome {
    let healthy_from = Instant::now();
    std::thread::sleep(Duration::from_secs(4));
    let died = Instant::now();
    for node in dead {
        engine.stop(*node);
    }
    let known = died + Duration::from_secs(5);
    let end = died + Duration::from_secs(15);
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let finals = engine.finals(0);
    let healthy = Pace::of(&finals, healthy_from, died);
    let all = Pace::of(&finals, died, end);
    let later = Pace::of(&finals, known, end);
    let figures = format!(
        "{:.1} blocks/s before; {} blocks in the 15 s after, longest stall {:.2} s; from the 5th second on {later}",
        healthy.per_second,
        all.blocks,
        all.stall.as_secs_f64(),
    );
    Outcome { holds: all.stall < stall_max && later.per_second >= per_second_min, figures }
}
