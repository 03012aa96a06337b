//! Which validators were heard a moment ago. Who hosts a chain tells every node its newest result again and again
//! ([`REPEAT_MS`](crate::config::REPEAT_MS)); one that is not heard is down, out of reach, or does not host the chain: from here
//! that looks alike.
//!
//! For people only: nothing of the protocol is decided by it.

use std::collections::BTreeMap;

use ledger::values::quorum::VALIDATORS_MAX;
use ledger::values::{NodeIndex, ValidatorIndex};

use crate::config::{ChainConfig, HEARD_WITHIN_MS};

/// Seats of one set of validators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeatSet(u128);

const _: () = assert!(VALIDATORS_MAX <= 128, "every seat has a bit");

impl SeatSet {
    /// Whether the seat is among them.
    #[must_use]
    pub fn contains(self, seat: ValidatorIndex) -> bool {
        self.0 & bit(seat) != 0
    }

    /// The same with one more.
    #[must_use]
    pub fn with(self, seat: ValidatorIndex) -> Self {
        Self(self.0 | bit(seat))
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// None of a seat that no set has.
fn bit(seat: ValidatorIndex) -> u128 {
    1_u128.checked_shl(u32::from(seat.0)).unwrap_or(0)
}

/// When the nodes of a chain were last heard. Only validators' are noted, so it is bounded by the registry.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    since_ms: Option<u64>,
    now_ms: u64,
    last_ms: BTreeMap<NodeIndex, u64>,
}

impl Heard {
    /// Time goes on.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        self.since_ms.get_or_insert(now_ms);
        self.now_ms = now_ms;
    }

    /// A validator's node said something.
    pub(crate) fn note(&mut self, node: NodeIndex, now_ms: u64) {
        self.last_ms.insert(node, now_ms);
    }

    /// The validators of the running epoch that were heard a moment ago, this node's own among them, and those that were not although
    /// this node has listened for long enough.
    pub(crate) fn seats(&self, config: &ChainConfig) -> (SeatSet, SeatSet) {
        let (mut heard, mut silent) = (SeatSet::default(), SeatSet::default());
        let is_recent = |moment: u64| self.now_ms.saturating_sub(moment) <= HEARD_WITHIN_MS;
        let has_listened = self.since_ms.is_some_and(|since| !is_recent(since));
        for (validator, seat) in config.validators().iter().zip((0_u16..).map(ValidatorIndex)) {
            let is_own = config.own_validator == Some(seat);
            if is_own || self.last_ms.get(&validator.node).is_some_and(|moment| is_recent(*moment)) {
                heard = heard.with(seat);
            } else if has_listened {
                silent = silent.with(seat);
            }
        }
        (heard, silent)
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::rules::ChainRules;
    use ledger::values::ChainId;

    use super::*;

    #[test]
    fn a_validator_is_heard_for_a_moment_and_missed_only_by_who_has_listened() {
        let network = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap();
        let rules = ChainRules::at_genesis(&network.spec, ChainId(0)).unwrap();
        let key = network.banks[1].validators[0].2.clone();
        let config = ChainConfig::first_epoch(rules, NodeIndex(1), Some(key));
        let seat = |node: u16| config.validator_of(NodeIndex(node)).unwrap();
        let mut heard = Heard::default();
        heard.tick(5_000);
        let (now, silent) = heard.seats(&config);
        assert_eq!((now.count(), now.contains(seat(1)), silent.count()), (1, true, 0), "the own one");
        heard.note(NodeIndex(0), 5_000);
        heard.note(NodeIndex(2), 5_001);
        heard.tick(5_000 + HEARD_WITHIN_MS);
        let (now, silent) = heard.seats(&config);
        assert_eq!((now.count(), silent.count()), (3, 0), "it has not listened for long enough");
        heard.tick(5_001 + HEARD_WITHIN_MS);
        let (now, silent) = heard.seats(&config);
        assert_eq!((now.count(), silent.count()), (2, 2));
        assert!(now.contains(seat(2)) && silent.contains(seat(0)) && silent.contains(seat(3)));
    }

    #[test]
    fn no_seat_is_without_a_place() {
        let last = ValidatorIndex(u16::try_from(VALIDATORS_MAX - 1).unwrap());
        let set = SeatSet::default().with(last).with(ValidatorIndex(0));
        assert!(set.contains(last) && set.contains(ValidatorIndex(0)) && !set.contains(ValidatorIndex(1)));
        assert_eq!((set.count(), SeatSet::default().with(ValidatorIndex(500)).count()), (2, 0));
    }
}
