//! Two shards become four while money passes: each child takes half of its parent's wallets. What must hold at every height and at the
//! end is in `properties.rs`.

use bottle::{Outcome, Plant, Property, run, scenes};

use crate::{green, show};

/// Runs a scene in which everything must hold, and at whose end every wallet is at home.
fn play(name: &str, seed: u64) -> Outcome {
    println!("make simulate SEED={seed} SCENE={name}");
    let plan = scenes::scene(name, seed).expect("a scene of this name");
    let outcome = green(&plan);
    let report = &outcome.report;
    assert_eq!(report.governed, 2, "seed {seed}: the children were added, and the shards doubled");
    assert!(report.grown, "seed {seed}: every child has all its wallets");
    assert_eq!(report.passed.under_way, 0, "seed {seed}: receipts are under way");
    assert!(report.passed.moved >= 4, "seed {seed}: {} wallets moved", report.passed.moved);
    assert_eq!(report.passed.moved, report.wallets_at_children, "seed {seed}: all that moved stayed there");
    assert!(report.followed > 0, "seed {seed}: owners went after their wallets");
    assert!(report.passed.credited > 50, "seed {seed}: {:?}", report.passed);
    assert!(report.looks > 20, "seed {seed}: looked {} times where wallets are", report.looks);
    assert!(report.proofs > 0, "seed {seed}");
    outcome
}

#[test]
fn wallets_move_to_their_new_homes_while_they_pay() {
    let outcome = play("reshard-calm", 70);
    assert_eq!(outcome.nodes.len(), 16, "four chains on each of four nodes");
    assert!(outcome.nodes.iter().all(|node| node.is_up && node.final_height > 0), "{:?}", outcome.nodes);
    assert_eq!(outcome.report.unresolved, 0, "no payment was lost with its wallet");
}

#[test]
fn all_lose_power_while_wallets_are_on_their_way() {
    let outcome = play("reshard-power-lost", 71);
    assert!(outcome.report.moving_at_power_cut > 0, "{:?}", outcome.report);
}

#[test]
fn a_node_is_dead_from_the_decision_until_all_have_moved() {
    let outcome = play("reshard-node-dead", 72);
    assert!(outcome.nodes.iter().all(|node| node.is_up), "it is back");
}

#[test]
fn frames_are_lost_while_wallets_move() {
    let outcome = play("reshard-loss", 73);
    assert!(outcome.report.frames_lost > 100);
}

#[test]
fn a_child_that_stands_still_gets_its_wallets_later() {
    let outcome = play("reshard-child-stalled", 74);
    assert!(outcome.report.passed.longest_ms >= 2_000, "wallets waited: {:?}", outcome.report.passed);
}

/// A fixed share of the scene that draws its fault from the seed: power is lost, and children stand still.
#[test]
fn drawn_reshards_hold() {
    for seed in [81, 84] {
        play("reshard", seed);
    }
}

#[test]
fn a_wallet_that_is_moved_twice_is_seen() {
    let outcome = show(&scenes::reshard_calm(75).planted(Plant::MoveTwice { chain: 2 }));
    assert!(outcome.violates(Property::ReceiptsInOrder), "seed 75");
    assert!(!outcome.violates(Property::ResultsEqual), "seed 75: each chain alone looks sound");
}

#[test]
fn a_credit_that_was_sent_on_and_is_executed_twice_is_seen() {
    let seen = [76, 77].map(|seed| {
        let outcome = show(&scenes::reshard_calm(seed).planted(Plant::SentOnTwice { chain: 2 }));
        (outcome.report.passed.sent_on > 0, outcome.violates(Property::ReceiptsInOrder))
    });
    assert!(seen.iter().any(|(_, is_red)| *is_red), "{seen:?}");
    assert!(seen.iter().all(|(was_sent_on, is_red)| *was_sent_on || !is_red), "{seen:?}");
}

#[test]
fn equal_seeds_give_equal_reshards() {
    let short = |seed| {
        let mut plan = scenes::reshard_calm(seed);
        plan.duration_ms = 12_500;
        run(&plan)
    };
    let [one, same, other] = [90, 90, 95].map(short);
    assert!(one.is_green(), "seed 90: {one}");
    assert!(one.report.passed.moved > 0, "seed 90: wallets moved");
    assert_eq!(one, same, "everything that is reported is equal");
    assert_ne!((&one.digest, &one.trace), (&other.digest, &other.trace));
}
