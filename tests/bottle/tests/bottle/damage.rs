//! Disks, clocks and processes that misbehave, one kind at a time: what each does to a network, and that it is over afterwards.

use bottle::{Fault, FaultKind, Outcome, Plan};

use crate::green;

/// Faults on these nodes from 4 s to 9 s.
fn meanwhile(
    seed: u64,
    nodes: &[u16],
    begin: impl Fn(u16) -> Vec<Fault>,
    end: impl Fn(u16) -> Vec<Fault>,
) -> Outcome {
    let begins = nodes.iter().flat_map(|node| begin(*node)).map(|fault| (4_000, fault));
    let ends = nodes.iter().flat_map(|node| end(*node)).map(|fault| (9_000, fault));
    let faults: Vec<_> = begins.chain(ends).collect();
    green(&Plan::calm(seed, 16_000).with(faults))
}

/// Whether two of four stand still for `stall_ms` at least and one of four does not, and all go on when it is mended.
fn halts_two_and_not_one(
    kind: FaultKind,
    stall_ms: u64,
    begin: impl Fn(u16) -> Vec<Fault>,
    end: impl Fn(u16) -> Vec<Fault>,
) {
    let one = meanwhile(100, &[2], &begin, &end);
    assert!(one.report.longest_stall_ms < 3_500, "{one}");
    assert!(!one.report.fired[&kind].hit_quorum && one.report.fired[&kind].times == 1, "{one}");
    let two = meanwhile(101, &[1, 2], &begin, &end);
    assert!(two.report.longest_stall_ms > stall_ms, "no quorum, no block: {two}");
    assert!(two.report.fired[&kind].hit_quorum, "{two}");
    assert!(two.report.longest_healing_ms < bottle::properties::LIVE_WITHIN_MS, "{two}");
    assert!(two.nodes.iter().all(|node| node.is_up), "{two}");
}

#[test]
fn a_stopped_process_goes_on_where_it_stood() {
    halts_two_and_not_one(
        FaultKind::Stop,
        4_000,
        |node| vec![Fault::Stop { node }],
        |node| vec![Fault::GoOn { node }],
    );
}

#[test]
fn a_clock_that_is_late_costs_its_node_the_vote() {
    halts_two_and_not_one(
        FaultKind::WrongClock,
        // A late leader votes for its own block, so with the two others there is a quorum at its turns: the two turns between are lost.
        2_500,
        |node| vec![Fault::Clock { node, ahead_ms: -180_000 }],
        |node| vec![Fault::Clock { node, ahead_ms: 0 }],
    );
}

#[test]
fn a_clock_that_is_ahead_decides_no_time() {
    let outcome = meanwhile(
        102,
        &[1],
        |node| vec![Fault::Clock { node, ahead_ms: 600_000 }],
        |node| vec![Fault::Clock { node, ahead_ms: 0 }],
    );
    assert!(outcome.report.longest_stall_ms < 1_200, "the others wait for no timeout: {outcome}");
    assert!(outcome.report.applied > 200, "{outcome}");
}

#[test]
fn a_full_disk_costs_its_node_the_vote_until_it_has_room() {
    for left_kib in [1_500, 600] {
        halts_two_and_not_one(
            FaultKind::FullDisk,
            4_000,
            |node| vec![Fault::DiskFills { node, left_kib }],
            |node| vec![Fault::DiskHasRoom { node }],
        );
    }
}

#[test]
fn a_flipped_bit_is_never_truth_and_its_node_comes_back_repaired() {
    let begin = |number: u64| {
        move |node| vec![Fault::Crash { node }, Fault::BitFlip { node, number }, Fault::Restart { node }]
    };
    let end = |node| vec![Fault::Crash { node }, Fault::Repair { node }, Fault::Restart { node }];
    let (mut refused, mut hits) = (0, 0);
    for number in 0..12_u64 {
        let outcome = meanwhile(110 + number, &[2], begin(number * 0x1234_5678_9abc_def1), end);
        refused += outcome.report.starts_refused;
        hits += outcome.report.fired[&FaultKind::BitFlip].times;
        assert!(outcome.nodes.iter().all(|node| node.is_up), "{outcome}");
    }
    assert_eq!(hits, 12);
    assert!(refused > 0, "some of what a start reads was damaged");
}
