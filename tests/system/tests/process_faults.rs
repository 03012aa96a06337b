//! A short share of the fault scenarios: every answer that customers got is on every bank's copy of the chain, whatever befell the banks.
//! The whole is `bench faults`.
//!
//! Bounds are several times what a quiet machine shows, because tests share theirs with compilers: they tell a network that heals from one
//! that does not. The goals are in `docs/reliability.md`.

use std::time::Duration;

use system::{Figures, faults};

/// Longest time between two final blocks while a quorum runs; the goal with one dead of four is 2 s.
const STALL_MAX: Duration = Duration::from_secs(8);
/// Half of the payments are final within this; the goal with one dead of four is 1 s.
const FINAL_P50_MAX: Duration = Duration::from_secs(3);
/// The first new block once two halves reach each other again, or all banks run again.
const HEALED_MAX: Duration = Duration::from_secs(20);
/// Longer than the eight seconds after which a silent link is closed.
const PAUSE: Duration = Duration::from_secs(9);
/// How long links are cut: longer than an engine's timeouts.
const CUT: Duration = Duration::from_secs(5);
/// How long a clock is wrong.
const WRONG: Duration = Duration::from_secs(5);
/// How long one bank is dead.
const DEAD: Duration = Duration::from_secs(10);
/// How long each of several banks is away, one after the other: its peers dial it in vain so long that pauses which only double would be
/// longer than it takes to come back.
const AWAY: Duration = Duration::from_secs(4);
/// Kills, and a seed whose first ones befall one bank, two, and all.
const KILLS: u64 = 8;
const SEED: u64 = 2;

/// Prints the line; nothing may be lost or done twice, and a quorum may not stand still.
fn judged(figures: Figures) -> Figures {
    println!("{figures}");
    assert!(figures.is_clean(), "{:#?}", figures.violations);
    assert!(figures.payments > 0 && figures.readings > 0, "nobody paid or looked");
    assert!(figures.longest_stall_ms < millis(STALL_MAX), "{figures}");
    figures
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

fn more(figures: &Figures, name: &str) -> u64 {
    *figures.more.get(name).unwrap_or_else(|| panic!("no {name} in {figures}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_are_killed_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::kills(directory.path(), KILLS, SEED).await);
    assert!(more(&figures, "kills") >= KILLS);
    for rounds in ["rounds_of_one", "rounds_of_two", "rounds_of_all"] {
        assert!(more(&figures, rounds) > 0, "{figures}");
    }
    assert!(more(&figures, "first_block_after_all_ready_ms") < millis(HEALED_MAX), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_stand_still_for_longer_than_timeouts() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::pauses(directory.path(), PAUSE).await);
    assert!(more(&figures, "first_block_after_all_ms") < millis(HEALED_MAX), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_are_restarted_one_after_the_other() {
    let directory = tempfile::tempdir().unwrap();
    judged(faults::rolling(directory.path(), 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_die_when_the_one_before_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::succession(directory.path(), AWAY, 2).await);
    assert_eq!(more(&figures, "kills"), 3, "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_four_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::one_dead(directory.path(), DEAD).await);
    assert!(figures.final_p50_ms < millis(FINAL_P50_MAX), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clocks_are_ten_years_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::clocks_ahead(directory.path(), WRONG).await);
    assert!(more(&figures, "days_ahead") > 3_600, "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_clock_is_five_minutes_off() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::clock_off(directory.path(), WRONG).await);
    for name in ["steps_told_ahead", "steps_told_behind", "steps_told_right_again"] {
        assert!(more(&figures, name) > 0, "the bank did not say that its clock was set: {figures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_cut_and_healed() {
    let directory = tempfile::tempdir().unwrap();
    let figures = judged(faults::partitions(directory.path(), CUT).await);
    assert_eq!(more(&figures, "certified_during_2_2"), 0, "{figures}");
    assert!(more(&figures, "first_block_after_2_2_ms") < millis(HEALED_MAX), "{figures}");
}
