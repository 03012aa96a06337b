//! Moments for people: a date in UTC instead of milliseconds.

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// A moment in milliseconds since 1970 as `2026-11-22 13:05:00 UTC`; what lies beyond the year 9999 as milliseconds.
#[must_use]
pub fn utc(moment_ms: u64) -> String {
    /// 10000-01-01.
    const END_MS: u64 = 253_402_300_800_000;
    if moment_ms >= END_MS {
        return format!("{moment_ms} ms");
    }
    let (year, month, day) = date(moment_ms / DAY_MS);
    let second = moment_ms % DAY_MS / 1_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a number of days since 1970-01-01. Years begin in March here, so that a leap day is a year's last.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, in_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (moment_ms, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_767_225_599_999, "2025-12-31 23:59:59 UTC"),
            (1_767_225_600_000, "2026-01-01 00:00:00 UTC"),
            (1_795_352_700_000, "2026-11-22 13:05:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799_999, "9999-12-31 23:59:59 UTC"),
            (u64::MAX, "18446744073709551615 ms"),
        ] {
            assert_eq!(utc(moment_ms), expected);
        }
    }
}
