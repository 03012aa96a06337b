//! Which bid is in time on enough paths, and costs least.
//!
//! A bid has a tip and a ceiling. The ceiling works in two ways. High, it is headroom: the bid goes into the next block that has
//! room for its tip, whatever the base fee became. Low, it waits: the bid goes into the first block whose base fee came down
//! to it.

use crate::paths::{Margin, Path};

/// Most tips that are tried.
const TIPS_MAX: usize = 10;

/// A bid per weight, in millionths of a fen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bid {
    /// What it tips.
    pub(crate) tip_rate: u64,
    /// The base fee above which it waits; nothing if it never does.
    pub(crate) limit: Option<u64>,
}

/// What became of a bid on all paths.
#[derive(Debug, Clone)]
pub(crate) struct Fates {
    /// Steps until it is included, in order; shorter than the paths are many where some never include it.
    pub(crate) steps: Vec<u64>,
    /// Base fee and tip per weight, on average over the paths that include it.
    pub(crate) cost_rate: u64,
}

impl Bid {
    fn beats(&self, margin: Option<Margin>, ceiling: u64) -> bool {
        let ceiling = self.limit.unwrap_or(ceiling);
        margin.is_none_or(|margin| (self.tip_rate, ceiling) > (margin.tip_rate, margin.fee_rate))
    }

    /// What becomes of it; `ceiling` is the highest that headroom goes.
    pub(crate) fn fates(&self, paths: &[Path], ceiling: u64) -> Fates {
        let mut steps = Vec::with_capacity(paths.len());
        let mut total = 0u128;
        for path in paths {
            let included = path.steps.iter().zip(0u64..).find(|(step, _)| {
                self.limit.is_none_or(|limit| step.base_fee <= limit) && self.beats(step.margin, ceiling)
            });
            if let Some((step, number)) = included {
                steps.push(number);
                total = total.saturating_add(u128::from(step.base_fee.saturating_add(self.tip_rate)));
            }
        }
        steps.sort_unstable();
        let cost = total.checked_div(steps.len() as u128).unwrap_or(u128::MAX);
        Fates { steps, cost_rate: u64::try_from(cost).unwrap_or(u64::MAX) }
    }

    /// The lowest base fee that a bid with this tip may wait for so that at most `misses` paths leave it out; nothing if even
    /// without a limit more do.
    pub(crate) fn lowest_limit(paths: &[Path], tip_rate: u64, ceiling: u64, misses: usize) -> Option<u64> {
        let bid = Self { tip_rate, limit: None };
        let mut lowest: Vec<u64> = paths
            .iter()
            .map(|path| {
                let open = path.steps.iter().filter(|step| bid.beats(step.margin, ceiling));
                open.map(|step| step.base_fee).min().unwrap_or(u64::MAX)
            })
            .collect();
        lowest.sort_unstable();
        lowest.iter().rev().nth(misses).copied().filter(|limit| *limit < u64::MAX)
    }
}

/// Tips worth trying: none, and what beats the bids that full blocks take last, lowest first.
pub(crate) fn tips(paths: &[Path], ceiling: u64) -> Vec<u64> {
    let mut margins: Vec<u64> = paths
        .iter()
        .flat_map(|path| &path.steps)
        .filter_map(|step| step.margin)
        .map(|margin| margin.tip_rate.saturating_add(u64::from(margin.fee_rate >= ceiling)))
        .collect();
    margins.sort_unstable();
    margins.dedup();
    let mut tips = vec![0];
    // The highest is among them: some bid must be in time on every path.
    let count = margins.len().min(TIPS_MAX);
    tips.extend((1..=count).filter_map(|share| {
        let place = margins.len().saturating_mul(share).checked_div(count)?.checked_sub(1)?;
        margins.get(place).copied()
    }));
    tips.dedup();
    tips
}
