//! Two shards of a currency and the relay between them. What must hold at every height and at the end is in `properties.rs`.

use bottle::{Outcome, Passed, Plant, Property, run, scenes};
use ledger::records::Rejection;

use crate::{green, show};

/// Runs a scene in which everything must hold, and in which every receipt has arrived at its end.
fn play(name: &str, seed: u64) -> Outcome {
    println!("make simulate SEED={seed} SCENE={name}");
    let plan = scenes::scene(name, seed).expect("a scene of this name");
    let outcome = green(&plan);
    let Passed { credited, refunded, under_way, ref refused, .. } = outcome.report.passed;
    assert_eq!(under_way, 0, "seed {seed}: receipts are under way");
    assert_eq!(refused.values().sum::<u64>(), refunded, "seed {seed}: what was refused came back");
    assert!(credited > 20, "seed {seed}: {credited} credited");
    assert!(refunded > 0, "seed {seed}: some payees cannot be credited");
    // What is final but was never told, because all lost power just then, clients still wait for.
    assert!(name == "power-lost" || outcome.report.unresolved == 0, "seed {seed}");
    outcome
}

#[test]
fn money_passes_between_shards_and_each_of_four_relays_brings_it() {
    let outcome = play("two-shards", 50);
    let passed = &outcome.report.passed;
    assert!(
        (0..4).all(|node| passed.bundles_given.get(&node).is_some_and(|given| *given > 10)),
        "{passed:?}"
    );
    assert!(passed.longest_ms < 5_000, "{passed:?}");
    let reasons = [Rejection::PayeeUnknown, Rejection::PayeeBalanceAboveTierLimit].map(Rejection::code);
    assert!(passed.refused.keys().copied().eq(reasons), "unknown payees and full ones: {passed:?}");
    assert_eq!(outcome.nodes.len(), 8, "two chains on each of four nodes");
    assert!(outcome.report.proofs > 40);
}

#[test]
fn a_source_bank_is_dead() {
    let outcome = play("source-dead", 51);
    assert!(outcome.nodes.iter().any(|node| node.index == 1 && !node.is_up));
}

#[test]
fn a_stalled_destination_gets_everything_when_it_is_back() {
    let outcome = play("destination-stalled", 52);
    assert_eq!(outcome.report.restarts.len(), 2);
    assert!(outcome.report.longest_stall_ms >= 1_500, "the destination stood still");
    assert!(outcome.report.passed.longest_ms >= 1_000, "receipts waited for it: {:?}", outcome.report.passed);
}

#[test]
fn the_only_relay_dies_between_debit_and_credit() {
    let outcome = play("relay-killed", 53);
    assert_eq!(outcome.report.crashed_after_sending_ms.len(), 2);
    assert_eq!(outcome.report.restarts.len(), 4, "both chains, twice");
    assert!(outcome.report.passed.longest_ms >= 1_000, "receipts waited for it: {:?}", outcome.report.passed);
    let given: Vec<u16> = outcome.report.passed.bundles_given.keys().copied().collect();
    assert_eq!(given, [3], "nobody else could bring them");
}

#[test]
fn forged_bundles_are_refused_and_their_sender_found_out() {
    let outcome = play("forger", 54);
    let report = &outcome.report;
    assert!(report.distrust_reasons.contains("a bundle whose proof does not hold"), "{report:?}");
    assert!(report.distrusted.iter().all(|(_, node)| *node == 2), "nobody else: {:?}", report.distrusted);
}

#[test]
fn all_lose_power_with_receipts_under_way() {
    let outcome = play("power-lost", 55);
    assert_eq!(outcome.report.restarts.len(), 24, "two chains on each of four nodes, three times");
    let under_way = &outcome.report.under_way_at_power_cuts;
    assert!(under_way.iter().any(|receipts| *receipts > 0), "{under_way:?}");
}

#[test]
fn a_receipt_that_is_executed_twice_is_seen() {
    let plan = scenes::two_shards(56).planted(Plant::ReceiptTwice { chain: 1, height: 20 });
    let outcome = show(&plan);
    assert!(outcome.violates(Property::ReceiptsInOrder), "seed 56");
    assert!(outcome.violates(Property::ReceiptsSettle), "seed 56: what follows never fits again");
    assert!(!outcome.violates(Property::ResultsEqual), "seed 56: each chain alone looks sound");
}

#[test]
fn a_receipt_that_is_dropped_is_seen() {
    let plan = scenes::two_shards(57).planted(Plant::ReceiptLost { chain: 0, height: 20 });
    let outcome = show(&plan);
    assert!(outcome.violates(Property::ReceiptsInOrder), "seed 57");
    assert!(outcome.violates(Property::ReceiptsSettle), "seed 57");
    assert!(!outcome.violates(Property::SupplyEquation), "seed 57: each chain alone looks sound");
}

#[test]
fn equal_seeds_give_equal_runs_over_all_chains() {
    let short = |seed| {
        let mut plan = scenes::relay_killed(seed);
        plan.duration_ms = 5_500;
        plan.faults.truncate(2);
        run(&plan)
    };
    let (one, same, other) = (short(58), short(58), short(59));
    assert!(one.is_green(), "seed 58: {one}");
    assert_eq!(one, same, "everything that is reported is equal");
    assert_ne!((&one.digest, &one.trace), (&other.digest, &other.trace));
}
