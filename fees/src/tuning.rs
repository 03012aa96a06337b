//! The numbers that the estimator was tuned by.

/// What could be chosen otherwise. The defaults were chosen by `market tune` on seeds that are not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Blocks that say what demand is now; at most 8.
    pub recent: usize,
    /// Paths that begin where demand was most like now.
    pub alike: usize,
    /// How many times rarer than on the paths it is that a bid is left out. Each path is noisier than what comes, since it is
    /// measured against a few blocks, so they miss more often than bids do.
    pub rarer: u64,
    /// By how many thousandths a ceiling that waits for a lower price lies above what the paths ask for.
    pub ceiling_extra_permille: u64,
    /// Where blocks are full: by how many thousandths more than a block arrives, on the highest path.
    pub overload_permille: u64,
    /// Of the blocks in the asked time, how many are counted on, in thousandths.
    pub window_permille: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            recent: 8,
            alike: 18,
            rarer: 6,
            ceiling_extra_permille: 80,
            overload_permille: 1_000,
            window_permille: 900,
        }
    }
}
