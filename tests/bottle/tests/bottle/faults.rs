//! Things go wrong, and everything holds.

use bottle::{Adversary, Fault, Plan, PowerCut};

use crate::green;

#[test]
fn one_of_four_is_dead() {
    let outcome = green(&Plan::calm(10, 15_000).with([(3_000, Fault::Crash { node: 2 })]));
    assert!(outcome.report.applied > 200, "{} applied", outcome.report.applied);
    assert!(!outcome.nodes[2].is_up);
    assert_eq!(outcome.report.unresolved, 0);
}

#[test]
fn a_node_crashes_and_returns_under_load() {
    let faults = [
        (2_500, Fault::Crash { node: 1 }),
        (5_000, Fault::Restart { node: 1 }),
        (7_000, Fault::Crash { node: 3 }),
        (7_050, Fault::Restart { node: 3 }),
    ];
    let outcome = green(&Plan::calm(11, 14_000).with(faults));
    assert_eq!(outcome.report.restarts.len(), 2);
    assert!(outcome.nodes.iter().all(|node| node.is_up));
    assert!(outcome.report.applied > 200, "{} applied", outcome.report.applied);
}

#[test]
fn all_lose_power_under_load_and_nothing_final_is_lost() {
    for (seed, power_cut) in [(12, PowerCut::LosesAll), (13, PowerCut::Drawn)] {
        let cuts = [3_001, 4_513, 7_777, 8_100].map(|at_ms| (at_ms, Fault::CrashAll));
        let mut plan = Plan::calm(seed, 14_000).with(cuts);
        plan.power_cut = power_cut;
        let outcome = green(&plan);
        assert_eq!(outcome.report.restarts.len(), 16);
        assert!(outcome.report.writes_lost > 0, "the cuts took unsynced writes away");
        assert!(outcome.report.applied > 150, "{} applied", outcome.report.applied);
    }
}

#[test]
fn a_tenth_of_all_frames_is_lost() {
    let mut plan = Plan::calm(14, 15_000);
    plan.links.loss_per_mille = 100;
    let outcome = green(&plan);
    assert!(outcome.report.frames_lost * 12 > outcome.report.frames_delivered);
    assert!(outcome.report.applied > 150, "{} applied", outcome.report.applied);
}

#[test]
fn two_against_two_stand_still_and_go_on_when_healed() {
    let faults = [(4_000, Fault::Partition { side: vec![0, 2] }), (10_000, Fault::Heal)];
    let outcome = green(&Plan::calm(15, 18_000).with(faults));
    assert!(outcome.report.longest_stall_ms > 5_000, "no half decides alone");
    assert!(outcome.report.applied > 200, "{} applied", outcome.report.applied);
}

#[test]
fn a_broken_seal_does_not_poison_the_batch_under_it() {
    // Whatever node 0 sends node 3 arrives with a broken seal; what blocks name must come from others then.
    let outcome = green(
        &Plan::calm(16, 10_000).with([(1, Fault::Turn { node: 0, into: Adversary::Liar { to: vec![3] } })]),
    );
    assert!(outcome.report.distrusted.contains(&(3, 0)));
    assert!(outcome.report.applied > 150, "{} applied", outcome.report.applied);
}
