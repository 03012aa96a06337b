//! A seed is a run.

use bottle::{Fault, Plan, run};

fn plan(seed: u64) -> Plan {
    let faults = [
        (2_000, Fault::Crash { node: 0 }),
        (3_000, Fault::Restart { node: 0 }),
        (4_000, Fault::CrashAll),
        (5_000, Fault::Loss { per_mille: 80 }),
        (6_000, Fault::Heal),
    ];
    Plan::calm(seed, 8_000).with(faults)
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    let (one, same, other) = (run(&plan(40)), run(&plan(40)), run(&plan(41)));
    assert!(one.is_green(), "{one}");
    assert_eq!(one, same, "everything that is reported is equal");
    assert_ne!(one.digest, other.digest);
    assert_ne!(one.trace, other.trace);
}

#[test]
fn a_drawn_plan_with_everything_in_it_is_the_same_run_again() {
    let everything = || {
        let plan = Plan::drawn(3);
        let faults = [
            (5_000, Fault::Stop { node: 1 }),
            (5_100, Fault::Clock { node: 2, ahead_ms: -90_000 }),
            (5_200, Fault::Reorder { up_to_ms: 300 }),
            (5_300, Fault::Duplicate { per_mille: 300 }),
            (5_400, Fault::Narrow { node: 3, kib_per_second: 64 }),
            (5_500, Fault::DiskSlows { node: 0, sync_ms: 300 }),
            (5_600, Fault::DiskFills { node: 2, left_kib: 900 }),
            (5_700, Fault::Mute { side: vec![0] }),
            (6_000, Fault::Crash { node: 3 }),
            (6_100, Fault::BitFlip { node: 3, number: 123_456_789 }),
            (6_200, Fault::Restart { node: 3 }),
            (9_000, Fault::CrashAll),
            (10_000, Fault::Crash { node: 3 }),
            (10_000, Fault::Repair { node: 3 }),
            (10_000, Fault::Restart { node: 3 }),
            (10_000, Fault::GoOn { node: 1 }),
            (10_000, Fault::Clock { node: 2, ahead_ms: 0 }),
            (10_000, Fault::DiskSlows { node: 0, sync_ms: 0 }),
            (10_000, Fault::DiskHasRoom { node: 2 }),
            (10_000, Fault::Heal),
        ];
        run(&plan.with(faults))
    };
    let (one, same) = (everything(), everything());
    assert!(one.is_green(), "{one}");
    assert!(one.report.fired.len() >= 10, "{one}");
    assert_eq!(one, same, "everything that is reported is equal");
}
