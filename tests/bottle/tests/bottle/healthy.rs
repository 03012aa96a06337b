//! Nothing goes wrong.

use bottle::Plan;

use crate::green;

#[test]
fn payments_become_final_and_provable() {
    let outcome = green(&Plan::calm(1, 12_000));
    let report = &outcome.report;
    assert!(report.applied > 300, "{} applied", report.applied);
    assert_eq!(report.unresolved, 0);
    assert_eq!(
        (report.fees, report.base_fee_max_micro_fen),
        (0, 0),
        "there is room, so nothing costs anything"
    );
    assert!(report.replays > 20 && report.answers["known"] > 10, "replays were answered as known");
    assert!(
        report.answers["refused insufficient_funds"] > 0,
        "underfunded payments were refused at the door"
    );
    assert!(report.proofs > 40 && report.votes > 100);
    assert!(report.inputs_max >= 3, "production takes inputs together; here at most {}", report.inputs_max);
    assert!(report.longest_stall_ms < 1_000, "stalled for {} ms", report.longest_stall_ms);
    for node in &outcome.nodes {
        assert!(node.certified_height + 8 > node.final_height, "results are certified soon: {node:?}");
    }
}

#[test]
fn an_idle_network_goes_on_slowly() {
    let mut plan = Plan::calm(2, 8_000);
    plan.load.payments_per_second = 0;
    let outcome = green(&plan);
    let height = outcome.nodes[0].final_height;
    assert!((8..40).contains(&height), "height {height}");
}
