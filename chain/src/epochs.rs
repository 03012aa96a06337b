//! How an epoch ends and the next one begins (PROTOCOL rule 3).
//!
//! ```text
//! h ─ schedules C = h + 64 ─ … ─ C − 32 ┊ nothing is ordered, no pace ┊ C claims C − 1 ║ C + 1: the next set
//! ```
//!
//! - Nothing stands on the last block in its epoch, so it cannot become final by a descendant. A leader that may propose no child
//!   proposes its parent again: that orders nothing, and what was notarized becomes final with a later view. The same frees a chain
//!   whose blocks wait for a claim.
//! - The next set takes over where the last block is final *and executed*: by then this node knows that it is final, and what it
//!   decided. The engine of the epoch that ended is done; peers that lack the last certificate get it from the store.
//! - What this node sealed and nobody ordered waits in the pool again.

use ledger::records::Block;
use ledger::records::block::{CLAIM_LAG_MAX, SET_CHANGE_MARGIN};
use ledger::rules::ChainRules;
use ledger::values::{BatchDigest, Epoch, Height, NodeIndex, ValidatorIndex};

use crate::chain::Chain;
use crate::step::{Now, Report};

/// What may stand at a height, on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stretch {
    /// Any block.
    Open,
    /// An empty block: the epoch is about to end.
    Closing,
    /// None yet: too far above the claim, or the last block without the claim it needs; or none at all, above the last one.
    Held,
}

/// What an epoch's block at `height` may be that claims `claimed`, by the rules of that claim.
pub(crate) fn stretch(rules: &ChainRules, epoch: Epoch, height: Height, claimed: Height) -> Stretch {
    if height.0.saturating_sub(claimed.0) > SET_CHANGE_MARGIN {
        return Stretch::Held;
    }
    let record = rules.registry.epoch(rules.chain, epoch);
    let Some(last) = record.and_then(|record| record.last_height) else { return Stretch::Open };
    if height > last || (height == last && claimed.next() != last) {
        return Stretch::Held;
    }
    if height.0.saturating_add(CLAIM_LAG_MAX) > last.0 { Stretch::Closing } else { Stretch::Open }
}

impl Chain {
    /// A block was executed: where it is the last of its epoch, the next set takes over.
    pub(crate) fn end_epoch(&mut self, now: Now, block: &Block) {
        let height = block.header.height;
        if self.halted || self.config.last_height() != Some(height) {
            return;
        }
        let (ended, own) = (self.config.epoch, self.config.own_validator);
        let before: Vec<NodeIndex> =
            self.config.validators().iter().map(|validator| validator.node).collect();
        self.config.enter(Epoch(ended.0.saturating_add(1)));
        let config = &self.config;
        let seat = |old: ValidatorIndex| config.validator_of(*before.get(usize::from(old.0))?);
        self.claims.reseat(seat);
        self.peers.reseat(&self.config);
        self.questions.clear();
        self.proposals.clear();
        self.newest_finality = None;
        self.acknowledgements.clear();
        self.tree.forget_before(self.config.epoch);
        let unordered = self.batches.forget_before(self.config.epoch);
        self.return_batches(now, unordered, own);
        self.acknowledge_anew();
        let last = block.header.digest(self.config.rules.genesis);
        self.report(Report::EpochEnded { epoch: ended, height, last });
    }

    /// A batch of the epoch that begins may have come before: a block named it.
    fn acknowledge_anew(&mut self) {
        let Some(own) = self.config.own_validator else { return };
        let epoch = self.config.epoch;
        let held = self.batches.waiting().filter(|(_, known)| known.facts.epoch == epoch);
        let held: Vec<BatchDigest> = held.map(|(digest, _)| *digest).collect();
        for digest in held {
            self.batches.acknowledge(digest, own);
            self.acknowledgements.push(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::ChainId;

    use super::*;

    #[test]
    fn an_epoch_ends_step_by_step() {
        let spec = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap().spec;
        let mut rules = ChainRules::at_genesis(&spec, ChainId(0)).unwrap();
        let at =
            |rules: &ChainRules, height, claimed| stretch(rules, Epoch(0), Height(height), Height(claimed));
        assert_eq!(at(&rules, 64, 0), Stretch::Open);
        assert_eq!(at(&rules, 65, 0), Stretch::Held, "no block runs away from its claim");
        let mut registry = (*rules.registry).clone();
        registry.chains[0].epochs[0].last_height = Some(Height(100));
        rules.registry = Arc::new(registry);
        assert_eq!(at(&rules, 68, 60), Stretch::Open);
        assert_eq!(at(&rules, 69, 60), Stretch::Closing, "the last 32 and the last one order nothing");
        assert_eq!(at(&rules, 99, 60), Stretch::Closing);
        assert_eq!(at(&rules, 100, 98), Stretch::Held, "the last one claims the one before it");
        assert_eq!(at(&rules, 100, 99), Stretch::Closing);
        assert_eq!(at(&rules, 101, 99), Stretch::Held, "nothing stands on the last one");
    }
}
