//! Results: what this node computed, what the others announced, what a leader may claim (PROTOCOL rule 12).
//!
//! A claim certifies every height up to its own, because each result commits to the one before. So a validator whose
//! announcement equals our result at any height stands behind all our results up to it.

use std::collections::BTreeMap;

use ledger::records::Claim;
use ledger::values::{Height, ResultHash, ValidatorIndex};

use crate::config::ANNOUNCEMENTS_PER_VALIDATOR_MAX;

/// Own and announced results above the certified height.
#[derive(Debug)]
pub(crate) struct Claims {
    own: BTreeMap<Height, ResultHash>,
    announced: BTreeMap<ValidatorIndex, BTreeMap<Height, ResultHash>>,
    /// The highest height that each validator ever announced.
    heard: BTreeMap<ValidatorIndex, Height>,
    certified: Claim,
}

impl Claims {
    /// Starts from the certified claim and this node's results from there on, which must include the certified one.
    pub(crate) fn new(certified: Claim, own: impl IntoIterator<Item = Claim>) -> Self {
        let mut results: BTreeMap<_, _> = own.into_iter().map(|claim| (claim.height, claim.result)).collect();
        results.insert(certified.height, certified.result);
        Self { own: results, announced: BTreeMap::new(), heard: BTreeMap::new(), certified }
    }

    pub(crate) const fn certified(&self) -> Claim {
        self.certified
    }

    /// This node's newest result.
    pub(crate) fn newest(&self) -> Claim {
        self.own
            .last_key_value()
            .map_or(self.certified, |(height, result)| Claim { height: *height, result: *result })
    }

    /// This node's result at a height, unless it is below the certified one.
    pub(crate) fn own(&self, height: Height) -> Option<ResultHash> {
        self.own.get(&height).copied()
    }

    pub(crate) fn executed(&mut self, claim: Claim) {
        self.own.insert(claim.height, claim.result);
    }

    pub(crate) fn announce(&mut self, validator: ValidatorIndex, claim: Claim) {
        let heard = self.heard.entry(validator).or_default();
        *heard = claim.height.max(*heard);
        if claim.height < self.certified.height {
            return;
        }
        let results = self.announced.entry(validator).or_default();
        results.insert(claim.height, claim.result);
        while results.len() > ANNOUNCEMENTS_PER_VALIDATOR_MAX {
            results.pop_first();
        }
    }

    /// Another set decides from now on: what its members announced at their old places is theirs still.
    pub(crate) fn reseat(&mut self, seat: impl Fn(ValidatorIndex) -> Option<ValidatorIndex>) {
        let announced = std::mem::take(&mut self.announced).into_iter();
        self.announced = announced.filter_map(|(old, results)| Some((seat(old)?, results))).collect();
        let heard = std::mem::take(&mut self.heard).into_iter();
        self.heard = heard.filter_map(|(old, height)| Some((seat(old)?, height))).collect();
    }

    /// The highest result that a quorum stands behind, this node included if it is a validator.
    pub(crate) fn claimable(&self, own_validator: Option<ValidatorIndex>, quorum: usize) -> Claim {
        let mut supported: Vec<Height> = self
            .announced
            .iter()
            .filter(|(validator, _)| Some(**validator) != own_validator)
            .filter_map(|(_, results)| {
                results
                    .iter()
                    .rev()
                    .find(|(height, result)| self.own(**height) == Some(**result))
                    .map(|(height, _)| *height)
            })
            .collect();
        if own_validator.is_some() {
            supported.push(self.newest().height);
        }
        supported.sort_unstable_by(|left, right| right.cmp(left));
        let height = quorum.checked_sub(1).and_then(|position| supported.get(position)).copied();
        height
            .filter(|height| *height > self.certified.height)
            .and_then(|height| self.own(height).map(|result| Claim { height, result }))
            .unwrap_or(self.certified)
    }

    /// Highest height that at least one honest validator announced, for knowing how far behind this node is: as many as
    /// may be faulty are not believed. `None` until enough were heard.
    pub(crate) fn highest_announced(&self, faults_max: usize) -> Option<Height> {
        let mut heights: Vec<Height> = self.heard.values().copied().collect();
        heights.sort_unstable_by(|left, right| right.cmp(left));
        heights.get(faults_max).copied()
    }

    /// A final block claims this. Answers whether the certified height rose.
    ///
    /// # Errors
    /// This node's own claim, where it differs.
    pub(crate) fn certify(&mut self, claim: Claim) -> Result<bool, Claim> {
        match self.own(claim.height) {
            Some(result) if result != claim.result => Err(Claim { height: claim.height, result }),
            Some(_) if claim.height > self.certified.height => {
                self.certified = claim;
                self.own = self.own.split_off(&claim.height);
                for results in self.announced.values_mut() {
                    *results = results.split_off(&claim.height);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(height: u64, result: u8) -> Claim {
        Claim { height: Height(height), result: ResultHash([result; 32]) }
    }

    fn claims() -> Claims {
        Claims::new(claim(0, 0), (1..=5).map(|height| claim(height, height as u8)))
    }

    #[test]
    fn a_quorum_stands_behind_what_it_announced_and_all_below() {
        let mut claims = claims();
        claims.announce(ValidatorIndex(1), claim(5, 5));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 3), claim(0, 0));
        claims.announce(ValidatorIndex(2), claim(3, 3));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 3), claim(3, 3));
        claims.announce(ValidatorIndex(3), claim(4, 4));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 3), claim(4, 4));
    }

    #[test]
    fn another_result_supports_nothing() {
        let mut claims = claims();
        claims.announce(ValidatorIndex(1), claim(5, 9));
        claims.announce(ValidatorIndex(2), claim(5, 9));
        claims.announce(ValidatorIndex(3), claim(5, 9));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 3), claim(0, 0));
    }

    #[test]
    fn what_members_of_the_next_set_announced_moves_with_them() {
        let mut claims = claims();
        claims.announce(ValidatorIndex(1), claim(5, 5));
        claims.announce(ValidatorIndex(2), claim(4, 4));
        claims.announce(ValidatorIndex(3), claim(3, 3));
        // 1 leaves, 2 and 3 go down by one.
        claims.reseat(|old| old.0.checked_sub(1).filter(|new| *new > 0).map(ValidatorIndex));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 2), claim(4, 4));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 3), claim(3, 3));
        assert_eq!(claims.claimable(Some(ValidatorIndex(0)), 4), claim(0, 0));
        assert_eq!(claims.highest_announced(0), Some(Height(4)));
    }

    #[test]
    fn certifying_forgets_what_is_below_and_refuses_another_result() {
        let mut claims = claims();
        assert_eq!(claims.certify(claim(3, 3)), Ok(true));
        assert_eq!(claims.certify(claim(3, 3)), Ok(false));
        assert_eq!(claims.own(Height(2)), None);
        assert_eq!(claims.certify(claim(4, 9)), Err(claim(4, 4)));
        assert_eq!(claims.certified(), claim(3, 3));
    }
}
