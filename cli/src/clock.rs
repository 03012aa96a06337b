//! Moments as people read them: in the zone of this machine, and in UTC.
//!
//! UTC is computed here. The zone is asked of `date`, the program that every system has for it; without one, UTC stands alone.

use std::process::{Command, Stdio};

use ledger::values::TimestampMs;

const SECONDS_OF_DAY: u64 = 86_400;

/// A moment in the zone of this machine and in UTC, to the second: `2026-11-22 21:05:09 +0800 (2026-11-22 13:05:09 UTC)`.
#[must_use]
pub fn told(at: TimestampMs) -> String {
    match local(at) {
        Some(local) => format!("{local} ({})", utc(at)),
        None => utc(at),
    }
}

/// A moment in UTC, to the second: `2026-11-22 13:05:09 UTC`.
#[must_use]
pub fn utc(at: TimestampMs) -> String {
    let seconds = at.0 / 1_000;
    let (days, second) = (seconds / SECONDS_OF_DAY, seconds % SECONDS_OF_DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The same as a part of a file's name, which sorts by time: `20261122T130509Z`.
#[must_use]
pub fn stamp(at: TimestampMs) -> String {
    let digits: String = utc(at).chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(digits.len() - 6);
    format!("{day}T{time}Z")
}

/// Year, month and day of a day since 1970-01-01. Years are counted from March, so that a leap day is the last of its year, in
/// groups of 400 years, which are all alike.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (group, of_group) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (of_group - of_group / 1_460 + of_group / 36_524 - of_group / 146_096) / 365;
    let of_year = of_group - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = group * 400 + year + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// What `date` says of a moment; nothing where it does not know how.
fn local(at: TimestampMs) -> Option<String> {
    let moment = format!("@{}", at.0 / 1_000);
    let asked =
        Command::new("date").args(["-d", &moment, "+%Y-%m-%d %H:%M:%S %z"]).stdin(Stdio::null()).output();
    let said = asked.ok().filter(|said| said.status.success())?;
    let text = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    // 2026-11-22 21:05:09 +0800
    let is_time =
        text.len() == 25 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-: +".contains(&byte));
    is_time.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_709_164_800, "2024-02-29 00:00:00 UTC"),
            (1_767_225_600, "2026-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(TimestampMs(seconds * 1_000 + 999)), text);
        }
        assert_eq!(stamp(TimestampMs(951_782_399_000)), "20000228T235959Z");
    }

    #[test]
    fn a_moment_is_told_in_the_zone_of_the_machine_and_in_utc() {
        let told = told(TimestampMs(1_767_225_600_000));
        assert!(told.ends_with("2026-01-01 00:00:00 UTC)"), "{told}");
        let (local, _) = told.split_once(" (").unwrap();
        assert!(local.len() == 25 && local.starts_with("202"), "{told}");
    }
}
