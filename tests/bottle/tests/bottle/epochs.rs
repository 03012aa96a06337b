//! Validators change while money flows.

use bottle::{Fault, Plan, SetChange};

use crate::green;

/// The second validator's key is replaced, then a fifth bank joins.
fn changing(seed: u64) -> Plan {
    let changes = [(6_000, SetChange::Rotate { node: 2 }), (18_000, SetChange::Join { node: 4 })];
    Plan::calm(seed, 34_000).governed(changes)
}

#[test]
fn a_key_is_replaced_and_a_fifth_bank_joins_under_load() {
    let outcome = green(&changing(31));
    let report = &outcome.report;
    assert_eq!((report.governed, report.epoch), (2, 2), "both changes made an epoch");
    assert_eq!(report.unresolved, 0, "no payment was lost between two epochs");
    assert!(report.applied > 800, "{} applied", report.applied);
    assert!(report.distrusted.is_empty(), "{:?}", report.distrust_reasons);
    assert!(report.longest_stall_ms < 2_000, "stalled for {} ms", report.longest_stall_ms);
    assert_eq!(outcome.nodes.len(), 5);
    for node in &outcome.nodes {
        assert!(node.certified_height + 8 > node.final_height, "results are certified soon: {node:?}");
    }
}

#[test]
fn a_node_that_sleeps_through_a_change_of_set_comes_back_into_the_next_epoch() {
    let sleep = [(6_500, Fault::Crash { node: 1 }), (15_000, Fault::Restart { node: 1 })];
    let outcome = green(&changing(32).with(sleep));
    assert_eq!((outcome.report.governed, outcome.report.epoch), (2, 2));
    assert!(outcome.nodes.iter().all(|node| node.is_up));
}

#[test]
fn a_loss_of_power_around_the_end_of_an_epoch_loses_nothing() {
    for (seed, at_ms) in [(33, 7_500), (34, 8_300), (35, 8_700), (36, 9_100)] {
        let outcome = green(&changing(seed).with([(at_ms, Fault::CrashAll)]));
        assert_eq!((outcome.report.governed, outcome.report.epoch), (2, 2), "seed {seed}");
    }
}
