//! More is paid than the chain is made for: what a place costs rises and comes back to nothing, at all nodes alike. That the fee pool holds
//! what was charged, and that no money was made or lost, is in `properties.rs`.

use bottle::{Fault, Outcome, Plan, scenes};

use crate::green;

/// Runs a flood in which everything must hold.
fn play(plan: &Plan) -> Outcome {
    let outcome = green(plan);
    let report = &outcome.report;
    let step_min = plan.fees.step_min.micro_fen();
    assert!(report.base_fee_max_micro_fen >= 3 * step_min, "it hardly rose: {outcome}");
    assert!(report.fees > 0 && report.applied > 300, "{outcome}");
    assert!(report.frames_lost > 100, "{outcome}");
    for node in &outcome.nodes {
        assert!(node.is_up, "{node:?}");
        assert_eq!(node.base_fee_micro_fen, 0, "it came back: {node:?}");
    }
    outcome
}

/// Nobody pays any more after the flood: empty blocks bring it back.
#[test]
fn a_flood_raises_the_base_fee_and_it_comes_back_to_zero() {
    play(&scenes::flood(91));
}

#[test]
fn a_node_that_sleeps_through_the_flood_finds_the_same_price() {
    let sleep = [(4_300, Fault::Crash { node: 2 }), (5_300, Fault::Restart { node: 2 })];
    let outcome = play(&scenes::flood(92).with(sleep));
    assert_eq!(outcome.report.restarts.len(), 1);
}
