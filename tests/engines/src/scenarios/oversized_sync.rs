//! One byzantine validator of four asks the others, in one small message, for as much as the catch-up protocol lets anyone ask.

use std::time::{Duration, Instant};

use super::{Outcome, stuck};
use crate::engine::Engine;
use crate::memory::resident_mb;
use crate::pace::Pace;

/// Longest time without a final block afterwards.
const STALL_MAX: Duration = Duration::from_secs(2);
/// Most memory that the requests may cost all validators together.
const GROWTH_MB_MAX: u64 = 64;

/// An abort of the process is seen by the parent process.
pub fn run<E: Engine>() -> Outcome {
    let mut engine = E::start(4);
    if !engine.reaches(0, 40, Duration::from_secs(20)) {
        return stuck(engine.height(0));
    }
    let before_mb = resident_mb();
    let asked = Instant::now();
    engine.ask_for_everything(3);
    std::thread::sleep(Duration::from_secs(5));
    let pace = Pace::of(&engine.finals(0), asked, Instant::now());
    let growth_mb = resident_mb().saturating_sub(before_mb);
    let figures = format!("{pace} in the 5 s after; memory grew by {growth_mb} MB");
    Outcome { holds: pace.stall < STALL_MAX && growth_mb <= GROWTH_MB_MAX, figures }
}
