//! The troubles, one file each. A scenario drives an engine through its trouble, measures, and says whether its bounds held.

mod lock_regression;
mod one_dead;
mod oversized_sync;
mod rejoin;
mod two_dead;

use crate::engine::Engine;

/// What came out of one scenario with one engine.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every bound held.
    pub holds: bool,
    /// What was measured, in words.
    pub figures: String,
}

/// A trouble by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One validator of four stops.
    OneDead,
    /// Two validators of seven stop that lead one after the other.
    TwoDead,
    /// A node comes back after the others made 1,000 blocks.
    Rejoin,
    /// One byzantine leader tries to move the others' lock back.
    LockRegression,
    /// One byzantine validator asks for more than anyone can give.
    OversizedSync,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::OneDead, Self::TwoDead, Self::Rejoin, Self::LockRegression, Self::OversizedSync];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneDead => "one-dead",
            Self::TwoDead => "two-dead",
            Self::Rejoin => "rejoin",
            Self::LockRegression => "lock-regression",
            Self::OversizedSync => "oversized-sync",
        }
    }

    /// Its name in the table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::OneDead => "one dead of four",
            Self::TwoDead => "two dead of seven",
            Self::Rejoin => "rejoin after 1,000 blocks",
            Self::LockRegression => "lock regression by one byzantine leader of four",
            Self::OversizedSync => "oversized sync request",
        }
    }

    /// Runs it with a fresh chain of engine `E`.
    pub fn run<E: Engine>(self) -> Outcome {
        match self {
            Self::OneDead => one_dead::run::<E>(),
            Self::TwoDead => two_dead::run::<E>(),
            Self::Rejoin => rejoin::run::<E>(),
            Self::LockRegression => lock_regression::run::<E>(),
            Self::OversizedSync => oversized_sync::run::<E>(),
        }
    }
}

/// The chain did not even start.
fn stuck(blocks: usize) -> Outcome {
    Outcome { holds: false, figures: format!("stuck at {blocks} blocks with all validators alive") }
}
