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
