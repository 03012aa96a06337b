//! The numbers that the estimator was tuned by.

/// What could be chosen otherwise. The defaults were chosen by `market tune` on seeds that are not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Blocks that say what demand is now.
    pub recent: usize,
    /// Most blocks over which demand to come is averaged.
    pub ahead: usize,
    /// By how many thousandths demand falls where the base fee doubles.
    pub elasticity_permille: u64,
    /// Of the paths that the asked confidence lets a bid miss, how many it may, in thousandths: what the model leaves out
    /// takes the others.
    pub misses_permille: u64,
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
            ahead: 48,
            elasticity_permille: 80,
            misses_permille: 500,
            ceiling_extra_permille: 20,
            overload_permille: 1_000,
            window_permille: 850,
        }
    }
}
