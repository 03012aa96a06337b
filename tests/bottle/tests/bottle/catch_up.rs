//! A node is far behind.

use bottle::{Adversary, Fault, Plan, PowerCut};

use crate::green;

#[test]
fn a_node_hundreds_of_blocks_behind_catches_up_past_a_liar() {
    let faults = [
        (2_000, Fault::Crash { node: 3 }),
        (26_999, Fault::Turn { node: 0, into: Adversary::Liar { to: vec![3] } }),
        (27_000, Fault::Restart { node: 3 }),
        (31_000, Fault::Heal),
    ];
    let outcome = green(&Plan::calm(20, 33_000).with(faults));
    let (node, stood_at) = outcome.report.restarts[0];
    let behind = outcome.report.top_at_last_restart - stood_at;
    assert_eq!(node, 3);
    assert!(behind >= 300, "only {behind} blocks behind");
    assert!(
        outcome.report.distrusted.contains(&(3, 0)),
        "the liar was found out: {:?}",
        outcome.report.distrusted
    );
    assert!(!outcome.report.distrusted.contains(&(3, 1)), "nobody else was distrusted");
}

#[test]
fn a_node_that_loses_power_again_and_again_while_it_catches_up_has_no_holes() {
    // Every start finds what the one before had executed, whole: heights with blocks, batches, outcomes.
    let mut faults = vec![(2_000, Fault::Crash { node: 3 }), (12_000, Fault::Restart { node: 3 })];
    for crash in 0..16 {
        let at_ms = 12_071 + 113 * crash;
        faults.push((at_ms, Fault::Crash { node: 3 }));
        faults.push((at_ms + 20, Fault::Restart { node: 3 }));
    }
    let mut plan = Plan::calm(21, 16_000).with(faults);
    plan.power_cut = PowerCut::LosesAll;
    let outcome = green(&plan);
    assert_eq!(outcome.report.restarts.len(), 17);
}
