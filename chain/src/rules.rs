//! The chain's rules by height. They change with the registry, from the height above the one that changed it; a block is judged by
//! those of the state that it claims, so that all voters judge it alike, however far each of them has executed.

use std::collections::BTreeMap;

use ledger::rules::ChainRules;
use ledger::values::{ChainId, Epoch, Height};

/// The rules of the state that the newest executed block claims, and of every later height that changed them.
#[derive(Debug)]
pub(crate) struct RulesByHeight {
    certified: ChainRules,
    later: BTreeMap<Height, ChainRules>,
}

impl RulesByHeight {
    /// `certified` are those of the certified state; `later` are those of heights above it.
    pub(crate) fn new(certified: ChainRules, later: impl IntoIterator<Item = (Height, ChainRules)>) -> Self {
        Self { certified, later: later.into_iter().collect() }
    }

    /// The rules of the state after a height, which is not below the certified one.
    pub(crate) fn at(&self, height: Height) -> &ChainRules {
        self.later.range(..=height).next_back().map_or(&self.certified, |(_, rules)| rules)
    }

    /// All that some block could still be judged by, the newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ChainRules> {
        self.later.values().rev().chain([&self.certified])
    }

    /// A height was executed that changed them.
    pub(crate) fn changed(&mut self, height: Height, rules: ChainRules) {
        self.later.insert(height, rules);
    }

    /// A block that claims this height is executed: none that is not claims a lower one.
    pub(crate) fn certified(&mut self, height: Height) {
        let above = self.later.split_off(&height.next());
        let below = std::mem::replace(&mut self.later, above);
        if let Some((_, newest)) = below.into_iter().next_back() {
            self.certified = newest;
        }
    }
}

/// The newest epoch that these rules know of another chain: bundles from there are judged from it on.
pub(crate) fn epoch_of(rules: &ChainRules, source: ChainId) -> Option<Epoch> {
    rules.registry.newest_epoch(source).map(|record| record.epoch)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};

    use super::*;

    #[test]
    fn a_height_has_the_rules_of_the_newest_change_at_or_below_it() {
        let spec = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap().spec;
        let first = ChainRules::at_genesis(&spec, ChainId(0)).unwrap();
        let with_pace = |pace_ms: u64| {
            let mut rules = first.clone();
            rules.params.block_pace_ms = pace_ms;
            rules
        };
        let mut rules = RulesByHeight::new(with_pace(1), [(Height(5), with_pace(5))]);
        rules.changed(Height(9), with_pace(9));
        let pace = |rules: &RulesByHeight, height| rules.at(Height(height)).params.block_pace_ms;
        assert_eq!([3, 4, 5, 8, 9, 99].map(|height| pace(&rules, height)), [1, 1, 5, 5, 9, 9]);
        assert_eq!(rules.all().map(|rules| rules.params.block_pace_ms).collect::<Vec<_>>(), [9, 5, 1]);
        rules.certified(Height(4));
        assert_eq!(pace(&rules, 4), 1);
        rules.certified(Height(8));
        assert_eq!([8, 9].map(|height| pace(&rules, height)), [5, 9]);
        assert_eq!(rules.all().count(), 2, "what no block can claim any more is forgotten");
        rules.certified(Height(9));
        assert_eq!((pace(&rules, 9), rules.all().count()), (9, 1));
    }
}
