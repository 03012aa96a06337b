//! What must turn a run red, so that a green one means something.

use bottle::{Fault, Plan, Plant, PowerCut, Property};

use crate::{green, show};

#[test]
fn a_planted_fork_is_seen() {
    let outcome = show(&Plan::calm(30, 6_000).planted(Plant::Fork { node: 2, height: 20 }));
    assert!(outcome.violates(Property::Agreement));
}

/// A node whose memory fails this often, and which is started again some seconds later.
fn with_wrong_executions(seed: u64, times: u8) -> Plan {
    let faults = [(5_000, Fault::Crash { node: 2 }), (5_020, Fault::Restart { node: 2 })];
    Plan::calm(seed, 9_000).planted(Plant::WrongExecution { node: 2, height: 20, times }).with(faults)
}

#[test]
fn a_wrong_execution_is_taken_back_and_done_again() {
    let outcome = green(&with_wrong_executions(33, 1));
    let [(2, stood_at)] = outcome.report.restarts[..] else { panic!("{:?}", outcome.report.restarts) };
    assert!((10..40).contains(&stood_at), "taken back to below the wrong height: {stood_at}");
    let top = outcome.report.top_at_last_restart;
    assert!(top > stood_at + 3, "the others went on: {stood_at}, {top}");
    let states: Vec<_> = outcome.nodes.iter().map(|node| (node.is_up, &node.state)).collect();
    assert!(states.iter().all(|state| *state == (true, &outcome.nodes[0].state)), "{states:?}");
}

#[test]
fn a_second_wrong_execution_halts() {
    let outcome = show(&with_wrong_executions(33, 2));
    assert!(outcome.violates(Property::KeepsRunning));
    assert!(!outcome.nodes[2].is_up);
}

#[test]
fn planted_lost_writes_are_seen() {
    let mut plan = Plan::calm(31, 6_000).with([(4_000, Fault::CrashAll)]).planted(Plant::LostWrites);
    plan.power_cut = PowerCut::LosesAll;
    let outcome = show(&plan);
    assert!(outcome.violates(Property::DurableBeforeVote), "seen at the vote");
    assert!(outcome.violates(Property::NothingFinalIsLost), "seen after the power cut");
}

#[test]
fn a_planted_double_credit_is_seen() {
    let outcome = show(&Plan::calm(32, 6_000).planted(Plant::DoubleCredit { node: 1, height: 20 }));
    assert!(outcome.violates(Property::SupplyEquation));
}
