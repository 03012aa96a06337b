//! How fast blocks became final in a stretch of time.

use std::fmt;
use std::time::{Duration, Instant};

use crate::engine::Final;

/// Final blocks of one node between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Blocks in all.
    pub blocks: usize,
    /// Blocks per second.
    pub per_second: f64,
    /// Longest time without one; the edges count.
    pub stall: Duration,
}

impl Pace {
    /// Reads the pace of `finals` between `from` and `to`.
    pub fn of(finals: &[Final], from: Instant, to: Instant) -> Self {
        let moments: Vec<Instant> =
            finals.iter().map(|block| block.at).filter(|at| (from..to).contains(at)).collect();
        let starts = std::iter::once(from).chain(moments.iter().copied());
        let ends = moments.iter().copied().chain([to]);
        let stall = starts.zip(ends).map(|(start, end)| end - start).max().unwrap_or_default();
        let per_second = moments.len() as f64 / (to - from).as_secs_f64();
        Self { blocks: moments.len(), per_second, stall }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stall = self.stall.as_secs_f64();
        write!(formatter, "{:.1} blocks/s, longest stall {stall:.2} s", self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_count_as_stalls() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let finals: Vec<_> = [100, 200, 900].map(|ms| Final { at: at(ms), digest: [0; 32] }).into();
        let pace = Pace::of(&finals, at(150), at(2_150));
        assert_eq!(pace, Pace { blocks: 2, per_second: 1.0, stall: Duration::from_millis(1_250) });
        assert_eq!(Pace::of(&[], at(0), at(500)).stall, Duration::from_millis(500));
    }
}
