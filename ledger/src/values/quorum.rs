//! The one quorum function (PROTOCOL rule 1): `n − f` with `f = ⌊(n − 1) / 3⌋`, everywhere.

/// Least number of validators of a chain.
pub const VALIDATORS_MIN: usize = 4;
/// Most validators of a chain: certificates stay below 5 KB and one vote lane per peer stays affordable.
pub const VALIDATORS_MAX: usize = 100;

/// Faulty validators that `validators` can bear.
#[must_use]
pub const fn faults_max(validators: usize) -> usize {
    validators.saturating_sub(1) / 3
}

/// Votes that decide among `validators`.
#[must_use]
pub const fn quorum(validators: usize) -> usize {
    validators.saturating_sub(faults_max(validators))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two quorums always share an honest validator, and the honest alone can decide.
    #[test]
    fn quorums_intersect_in_an_honest_validator() {
        for validators in VALIDATORS_MIN..=VALIDATORS_MAX {
            let (faults, votes) = (faults_max(validators), quorum(validators));
            assert!(2 * votes > validators + faults, "n = {validators}");
            assert!(votes <= validators - faults, "n = {validators}");
        }
    }

    #[test]
    fn known_sizes() {
        for (validators, expected) in [(4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (16, 11), (30, 21), (100, 67)]
        {
            assert_eq!(quorum(validators), expected);
        }
    }
}
