//! Two of seven validators die at once, as many as the rules allow, and they lead one after the other.

use std::time::Duration;

use super::one_dead::after_deaths;
use super::{Outcome, stuck};
use crate::engine::Engine;

/// Longest time without a final block: two dead turns in a row.
const STALL_MAX: Duration = Duration::from_secs(3);
/// Least blocks a second once the dead ones are known.
const PER_SECOND_MIN: f64 = 10.0;

/// Four seconds of health, fifteen with two dead.
pub fn run<E: Engine>() -> Outcome {
    let mut engine = E::start(7);
    if !engine.reaches(0, 20, Duration::from_secs(30)) {
        return stuck(engine.height(0));
    }
    after_deaths(&mut engine, &[5, 6], STALL_MAX, PER_SECOND_MIN)
}
