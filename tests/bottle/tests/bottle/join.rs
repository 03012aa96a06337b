//! A node that lost its disk joins by a snapshot, whatever its sources and links do meanwhile.

use bottle::{Property, run, scenes};

use crate::green;

#[test]
fn a_wiped_node_joins_past_a_false_source_a_vanished_one_and_lost_frames() {
    let outcome = green(&scenes::join(90));
    let report = &outcome.report;
    let joined: Vec<u64> =
        report.joined.iter().filter(|(node, _)| *node == 4).map(|(_, height)| *height).collect();
    assert!(joined.first().is_some_and(|height| *height > 50), "it replayed: {:?}", report.joined);
    assert_eq!(report.joined.len(), joined.len(), "nobody else did: {:?}", report.joined);
    // What was false was seen, and cost its sender its trust alone.
    let (name, lies) = report.turned[&0];
    assert!(name == "falsifier" && lies > 0, "{:?}", report.turned);
    let by_it: Vec<u16> =
        report.distrusted.iter().filter(|(by, _)| *by == 4).map(|(_, distrusted)| *distrusted).collect();
    assert_eq!(by_it, [0]);
    assert!(
        report.distrust_reasons.contains("a chunk that is not part of the snapshot"),
        "{:?}",
        report.distrust_reasons
    );
    assert!(report.frames_lost > 50, "{} frames lost", report.frames_lost);
    // It went on from there like everybody else, with what was final when the load ended.
    let node = |index: u16| outcome.nodes.iter().find(|node| node.index == index).unwrap();
    assert!(node(4).is_up && node(4).final_height > joined[0] + 20, "{:?}", node(4));
    assert!(node(4).final_height + 5 > node(2).final_height, "{:?} {:?}", node(4), node(2));
}

#[test]
fn joins_of_other_seeds_hold_too_and_are_the_same_runs_again() {
    for seed in 91..93 {
        let outcome = green(&scenes::join(seed));
        assert!(!outcome.report.joined.is_empty(), "seed {seed} replayed");
        assert!(!outcome.violates(Property::ResultsEqual));
        if seed == 91 {
            assert_eq!(outcome, run(&scenes::join(seed)), "everything that is reported is equal");
        }
    }
}
