//! What an operator has left unpaid on a chain: what is due of transactions that nobody pays for is charged to the operator whose
//! validator sealed them ([`crate::rules::quota`]).
//!
//! Invariant: a head holds at most one entry per operator, and only of operators that have used something on the day of its timestamp
//! or owe something.

use wincode::{SchemaRead, SchemaWrite};

use crate::records::genesis::OPERATORS_MAX;
use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::{Amount, CodecError, OperatorId, TimestampMs};

/// Days are those of UTC+8, by the timestamps of blocks.
const DAY_OFFSET_MS: u64 = 8 * 3_600_000;
const DAY_MS: u64 = 86_400_000;

/// One operator's account of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OperatorQuota {
    /// The operator.
    pub operator: OperatorId,
    /// The day that `used` is of ([`day_of`]).
    pub day: u32,
    /// What it has left unpaid of that day, at most the quota that held when it did.
    pub used: Amount,
    /// What it owes beyond its quotas, of any day.
    pub debt: Amount,
}

/// The day of a moment: days since 1970-01-01 in UTC+8.
#[must_use]
pub fn day_of(moment: TimestampMs) -> u32 {
    u32::try_from(moment.0.saturating_add(DAY_OFFSET_MS) / DAY_MS).unwrap_or(u32::MAX)
}

/// The accounts as a block of that moment finds them: on a new day nothing is used, what is owed stays.
pub(crate) fn quotas_at(quotas: &[OperatorQuota], moment: TimestampMs) -> Vec<OperatorQuota> {
    let today = day_of(moment);
    let turned = |quota: &OperatorQuota| match quota.day == today {
        true => *quota,
        false => OperatorQuota { day: today, used: Amount::ZERO, ..*quota },
    };
    quotas.iter().map(turned).filter(OperatorQuota::says_something).collect()
}

impl OperatorQuota {
    /// Bytes of its encoding.
    pub const BYTES: usize = 2 + 4 + 8 + 8;

    /// Whether something is used or owed.
    pub(crate) const fn says_something(&self) -> bool {
        !self.used.is_zero() || !self.debt.is_zero()
    }
}

/// Checks the accounts of a head.
///
/// # Errors
/// Names the field.
pub(crate) fn check_quotas(quotas: &[OperatorQuota]) -> Result<(), CodecError> {
    check_count("head.quotas", quotas.len(), 0, OPERATORS_MAX)?;
    check_ascending("head.quotas", quotas.iter().map(|quota| quota.operator))?;
    // An entry that says nothing would give one state two encodings.
    let is_minimal = quotas.iter().all(OperatorQuota::says_something);
    check_range("head.quotas (each has something used or owed)", u64::from(is_minimal), 1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_in_utc_plus_eight() {
        let midnight = TimestampMs(1_699_977_600_000); // 2023-11-15 00:00 in UTC+8
        assert_eq!(day_of(midnight), 19_676);
        assert_eq!(day_of(TimestampMs(midnight.0 - 1)), 19_675);
        assert_eq!(day_of(TimestampMs(midnight.0 + DAY_MS - 1)), 19_676);
        assert_eq!(day_of(TimestampMs(0)), 0);
        assert_eq!(day_of(TimestampMs(u64::MAX)), u32::MAX);
    }
}
