//! Plans by name: what tests run, and what `simulate --scene` repeats.
//!
//! One chain is flooded, one is joined by a snapshot. In all others money passes between two shards all the time, some of it to payees that cannot be credited: a wallet that nobody opened, and one
//! that holds all that its tier allows.

use ledger::records::FeeParams;
use ledger::values::FeeRate;

use crate::adversaries::Adversary;
use crate::plan::{Fault, Plan, PowerCut, RESHARD_MS, SnapshotPlan, Surge};

/// A plan by its name, from a seed.
pub type Scene = (&'static str, fn(u64) -> Plan);

/// All scenes.
pub const SCENES: [Scene; 14] = [
    ("flood", flood),
    ("join", join),
    ("two-shards", two_shards),
    ("source-dead", source_dead),
    ("destination-stalled", destination_stalled),
    ("relay-killed", relay_killed),
    ("forger", forger),
    ("power-lost", power_lost),
    ("reshard", reshard),
    ("reshard-calm", reshard_calm),
    ("reshard-power-lost", reshard_power_lost),
    ("reshard-node-dead", reshard_node_dead),
    ("reshard-loss", reshard_loss),
    ("reshard-child-stalled", reshard_child_stalled),
];

/// The plan of a scene.
#[must_use]
pub fn scene(name: &str, seed: u64) -> Option<Plan> {
    SCENES.iter().find(|(known, _)| *known == name).map(|(_, plan)| plan(seed))
}

/// One chain on links that lose every twentieth frame. At last its customers pay more than ten times as often: payments cost more from block
/// to block, and some blocks after the flood they cost nothing again.
#[must_use]
pub fn flood(seed: u64) -> Plan {
    let mut plan = Plan::calm(seed, 5_600);
    plan.links.loss_per_mille = 50;
    plan.fees = FeeParams {
        weight_target: 10_000,
        step_min: FeeRate::from_micro_fen(20_000),
        rate_max: FeeRate::from_micro_fen(400_000),
        ..plan.fees
    };
    // More than a payment ever owes: two payees weigh about a thousand.
    plan.load.fee_max = 2_000;
    plan.load.surge = Some(Surge { from_ms: 4_000, payments_per_second: 500 });
    plan
}

/// A follower loses its disk and joins by a snapshot, while every twentieth frame is lost: the source that is asked first gives false chunks,
/// and the next one has vanished since it offered the snapshot. The state has two chunks.
#[must_use]
pub fn join(seed: u64) -> Plan {
    let mut plan = Plan::calm(seed, 20_000).governed([]).with([
        (4_000, Fault::Crash { node: 4 }),
        (4_100, Fault::Wipe { node: 4 }),
        (11_900, Fault::Turn { node: 0, into: Adversary::Falsifier }),
        (11_950, Fault::Loss { per_mille: 50 }),
        (12_000, Fault::Restart { node: 4 }),
        (12_300, Fault::Crash { node: 1 }),
        (16_000, Fault::Restart { node: 1 }),
        (17_500, Fault::Heal),
    ]);
    plan.load.wallets = 1_100;
    plan.snapshots = Some(SnapshotPlan { every_ms: 4_000, behind_blocks: 50 });
    plan
}

/// Four nodes host both shards, and each relays: every bundle comes from four nodes. Nothing goes wrong.
#[must_use]
pub fn two_shards(seed: u64) -> Plan {
    Plan::calm(seed, 7_000).sharded([everyone(), everyone()])
}

/// A bank of the one shard dies for good, and the only node with both shards goes on.
#[must_use]
pub fn source_dead(seed: u64) -> Plan {
    bridged(seed, 7_000).with([(3_000, Fault::Crash { node: 1 })])
}

/// The second shard loses half of its nodes to crashes, comes back, and is then cut in two and healed. The first one goes on.
#[must_use]
pub fn destination_stalled(seed: u64) -> Plan {
    Plan::calm(seed, 9_000).sharded([everyone(), (2..6).collect()]).with([
        (2_500, Fault::Crash { node: 4 }),
        (2_500, Fault::Crash { node: 5 }),
        (4_500, Fault::Restart { node: 4 }),
        (4_500, Fault::Restart { node: 5 }),
        (6_000, Fault::Partition { side: vec![4, 5] }),
        (8_000, Fault::Heal),
    ])
}

/// The only node with both shards, and so the only relay, dies twice just after it has sent a receipt: between debit and credit.
#[must_use]
pub fn relay_killed(seed: u64) -> Plan {
    let kill = Fault::CrashAfterSending { node: 3 };
    let start = Fault::Restart { node: 3 };
    let faults = [(2_500, kill.clone()), (4_500, start.clone()), (6_000, kill), (7_500, start)];
    bridged(seed, 9_000).with(faults)
}

/// A node sends everyone bundles with more money in them, and bundles that nobody signed.
#[must_use]
pub fn forger(seed: u64) -> Plan {
    let faults = [(2_000, Fault::Turn { node: 2, into: Adversary::Forger }), (6_000, Fault::Heal)];
    Plan::calm(seed, 7_000).sharded([everyone(), everyone()]).with(faults)
}

/// All nodes lose power at once, three times, with receipts under way.
#[must_use]
pub fn power_lost(seed: u64) -> Plan {
    let cuts = [2_501, 4_013, 5_777].map(|at_ms| (at_ms, Fault::CrashAll));
    let mut plan = Plan::calm(seed, 7_500).sharded([everyone(), everyone()]).with(cuts);
    plan.power_cut = PowerCut::LosesAll;
    plan
}

/// One of the scenes below, by the seed.
#[must_use]
pub fn reshard(seed: u64) -> Plan {
    let scenes = [reshard_calm, reshard_power_lost, reshard_node_dead, reshard_loss, reshard_child_stalled];
    let drawn = usize::try_from(seed % scenes.len() as u64).unwrap_or(0);
    scenes[drawn](seed)
}

/// Two shards become four while money passes between all wallets: each shard has a child, which takes half of its wallets. Four nodes host
/// all chains; each starts again to begin the children. Nothing else goes wrong.
#[must_use]
pub fn reshard_calm(seed: u64) -> Plan {
    Plan::calm(seed, 17_000).sharded([everyone(), everyone()]).resharded(&everyone())
}

/// All nodes lose power while wallets are on their way, and once more soon after.
#[must_use]
pub fn reshard_power_lost(seed: u64) -> Plan {
    let cuts = [(RESHARD_MS, Fault::PowerCutWhileMoving), (RESHARD_MS + 4_000, Fault::CrashAll)];
    let mut plan = reshard_calm(seed).with(cuts);
    plan.power_cut = PowerCut::LosesAll;
    plan
}

/// A node is dead from before the decision until all wallets have moved.
#[must_use]
pub fn reshard_node_dead(seed: u64) -> Plan {
    let dead =
        [(RESHARD_MS - 500, Fault::Crash { node: 1 }), (RESHARD_MS + 5_000, Fault::Restart { node: 1 })];
    reshard_calm(seed).with(dead)
}

/// Links lose every twentieth frame while wallets move.
#[must_use]
pub fn reshard_loss(seed: u64) -> Plan {
    let loss = [(RESHARD_MS - 500, Fault::Loss { per_mille: 50 }), (RESHARD_MS + 5_000, Fault::Heal)];
    reshard_calm(seed).with(loss)
}

/// Children are hosted by two nodes of their parents and two that host nothing else: those two are gone when wallets begin to move, and for
/// three seconds nobody can certify a child's block.
#[must_use]
pub fn reshard_child_stalled(seed: u64) -> Plan {
    let gone = [4, 5].map(|node| (RESHARD_MS + 50, Fault::Crash { node }));
    let back = [4, 5].map(|node| (RESHARD_MS + 3_050, Fault::Restart { node }));
    let plan = Plan::calm(seed, 18_000).sharded([everyone(), everyone()]);
    plan.resharded(&[2, 3, 4, 5]).with(gone).with(back)
}

fn everyone() -> Vec<u16> {
    (0..4).collect()
}

/// Two shards with one node in common.
fn bridged(seed: u64, duration_ms: u64) -> Plan {
    Plan::calm(seed, duration_ms).sharded([everyone(), (3..7).collect()])
}
