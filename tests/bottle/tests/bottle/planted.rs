//! What must turn a run red, so that a green one means something.

use bottle::{Fault, Plan, Plant, PowerCut, Property};

use crate::show;

#[test]
fn a_planted_fork_is_seen() {
    let outcome = show(&Plan::calm(30, 6_000).planted(Plant::Fork { node: 2, height: 20 }));
    assert!(outcome.violates(Property::Agreement));
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
