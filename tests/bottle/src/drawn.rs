//! Plans that a seed draws.
//!
//! A drawn plan is a network (one chain of four to seven banks, two shards, a reshard, changes of the validators, or a flood that
//! costs), a load, links, and a row of *episodes*. In an episode several kinds of faults meet the same nodes: at most as many as the
//! smallest chain can bear, or more, so that a quorum is lost. Some seconds later all of them are mended at one moment, and the
//! network has [`CALM_MS`] and more to itself: bounded liveness after healing is judged there.
//!
//! Two assumptions of the protocol are kept. Clocks of fewer nodes than a quorum could follow are ahead: a quorum of clocks *is*
//! the time. And one node lies at a time, and one forges in a whole plan (others block it for longer than that): more than a chain
//! bears may halt it.

use ledger::records::FeeParams;
use ledger::values::FeeRate;

use crate::adversaries::Adversary;
use crate::dice::Dice;
use crate::kinds::FaultKind;
use crate::plan::{Fault, LinkModel, Plan, PowerCut, RESERVE_KIB, RESHARD_MS, SetChange, Surge};

const PURPOSE_PLAN: u64 = 1;
/// Least time between the mend of an episode and the next one: the bound on healing, and a second.
const CALM_MS: u64 = 6_000;
/// Virtual time under load.
const DURATION_MS: (u64, u64) = (40_000, 60_000);
/// Of 1,000 episodes, in how many a quorum is lost to one of the kinds.
const LOST_QUORUM_PER_MILLE: u64 = 450;
/// Kinds of one episode.
const KINDS_MAX: u64 = 3;
/// The kinds that episodes draw. Torn and lost writes come with losses of power; forgers forge where there are several chains.
const KINDS: [FaultKind; 15] = [
    FaultKind::Crash,
    FaultKind::PowerCut,
    FaultKind::Stop,
    FaultKind::Partition,
    FaultKind::OneWayPartition,
    FaultKind::Loss,
    FaultKind::Reorder,
    FaultKind::Duplicate,
    FaultKind::Narrow,
    FaultKind::WrongClock,
    FaultKind::SlowDisk,
    FaultKind::FullDisk,
    FaultKind::BitFlip,
    FaultKind::Lie,
    FaultKind::Forge,
];

impl Plan {
    /// The plan that a seed draws; the same for ever.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut dice = Dice::new(seed, PURPOSE_PLAN);
        let duration_ms = DURATION_MS.0 + dice.below(DURATION_MS.1 - DURATION_MS.0);
        let (mut plan, first_ms) = draw_network(&mut dice, Self::calm(seed, duration_ms));
        plan.links = LinkModel {
            delay_ms: 1 + dice.below(30),
            jitter_ms: dice.below(20),
            loss_per_mille: if dice.chance(500) { 0 } else { draw_u16(&mut dice, 1, 20) },
        };
        if dice.chance(500) {
            plan.power_cut = PowerCut::LosesAll;
        }
        let mut at_ms = first_ms + dice.below(3_000);
        let mut faults = Vec::new();
        loop {
            let lasts_ms = 1_500 + dice.below(8_500);
            if at_ms + lasts_ms + CALM_MS > duration_ms {
                break;
            }
            faults.extend(draw_episode(&mut dice, &plan, at_ms, at_ms + lasts_ms));
            at_ms += lasts_ms + CALM_MS + dice.below(3_000);
        }
        let mut forger = None;
        for (_, fault) in &mut faults {
            // A second one would be one more than four nodes bear: forgers stay blocked beyond the end.
            if let Fault::Turn { node, into: Adversary::Forger } = fault {
                *node = *forger.get_or_insert(*node);
            }
        }
        plan.with(faults)
    }
}

fn draw_u16(dice: &mut Dice, least: u16, most: u16) -> u16 {
    least + u16::try_from(dice.below(u64::from(most - least) + 1)).unwrap_or(0)
}

/// The plan on a drawn network, and when its first episode may begin.
fn draw_network(dice: &mut Dice, mut plan: Plan) -> (Plan, u64) {
    plan.load.payments_per_second = u32::from(draw_u16(dice, 10, 60));
    let everyone: Vec<u16> = (0..4).collect();
    match dice.below(20) {
        0..10 => {
            plan.nodes = draw_u16(dice, 4, 7);
            plan.chains[0].hosts = (0..plan.nodes).collect();
            (plan, 4_000)
        }
        10..14 => (plan.sharded([everyone.clone(), everyone]), 4_000),
        14 => (plan.sharded([everyone, (2..6).collect()]), 4_000),
        15 | 16 => (plan.sharded([everyone.clone(), everyone.clone()]).resharded(&everyone), RESHARD_MS),
        17 | 18 => {
            let changes = [(4_000, SetChange::Rotate { node: 2 }), (16_000, SetChange::Join { node: 4 })];
            (plan.governed(changes), 5_000)
        }
        _ => {
            plan.fees = FeeParams {
                weight_target: 10_000,
                step_min: FeeRate::from_micro_fen(20_000),
                rate_max: FeeRate::from_micro_fen(400_000),
                ..plan.fees
            };
            plan.load.fee_max = 2_000;
            plan.load.surge = Some(Surge { from_ms: plan.duration_ms - 4_000, payments_per_second: 300 });
            (plan, 4_000)
        }
    }
}

/// Faults from a moment to another, and what mends all of them then.
fn draw_episode(dice: &mut Dice, plan: &Plan, at_ms: u64, end_ms: u64) -> Vec<(u64, Fault)> {
    let bearable = plan.chains.iter().map(|chain| chain.hosts.len().saturating_sub(1) / 3).min().unwrap_or(1);
    let mut nodes: Vec<u16> = (0..plan.nodes).collect();
    for place in (1..nodes.len()).rev() {
        let other = usize::try_from(dice.below(place as u64 + 1)).unwrap_or(0);
        nodes.swap(place, other);
    }
    let few = 1 + usize::try_from(dice.below(bearable as u64)).unwrap_or(0);
    let more = bearable + 1 + usize::try_from(dice.below((nodes.len() - bearable) as u64)).unwrap_or(0);
    let loses_quorum = dice.chance(LOST_QUORUM_PER_MILLE);
    let kinds = 1 + dice.below(KINDS_MAX);
    let mut faults = vec![(end_ms, Fault::Heal)];
    for kind in 0..kinds {
        // One kind takes the quorum; others meet nodes among the same.
        let victims = &nodes[..if kind == 0 && loses_quorum { more } else { few }];
        let Some(kind) = dice.pick(&KINDS).copied() else { continue };
        draw_faults(dice, kind, (victims, &nodes[..], bearable), (at_ms, end_ms), &mut faults);
    }
    faults
}

/// Faults of one kind on some of all nodes, and what mends them.
fn draw_faults(
    dice: &mut Dice,
    kind: FaultKind,
    (victims, all, bearable): (&[u16], &[u16], usize),
    (at_ms, end_ms): (u64, u64),
    faults: &mut Vec<(u64, Fault)>,
) {
    let begin_ms = at_ms + dice.below(500);
    // What meets all nodes or a whole side.
    match kind {
        FaultKind::PowerCut => return faults.push((begin_ms, Fault::CrashAll)),
        FaultKind::Partition => {
            return faults.push((begin_ms, Fault::Partition { side: victims.to_vec() }));
        }
        FaultKind::OneWayPartition => {
            return faults.push((begin_ms, Fault::Mute { side: victims.to_vec() }));
        }
        FaultKind::Loss => {
            return faults.push((begin_ms, Fault::Loss { per_mille: draw_u16(dice, 30, 400) }));
        }
        FaultKind::Reorder => {
            return faults.push((begin_ms, Fault::Reorder { up_to_ms: 20 + dice.below(800) }));
        }
        FaultKind::Duplicate => {
            return faults.push((begin_ms, Fault::Duplicate { per_mille: draw_u16(dice, 50, 600) }));
        }
        FaultKind::Forge => {
            return faults.push((begin_ms, Fault::Turn { node: victims[0], into: Adversary::Forger }));
        }
        FaultKind::Lie => {
            // One liar, to as many as there are victims.
            let to = all.iter().skip(1).take(victims.len()).copied().collect();
            return faults.push((begin_ms, Fault::Turn { node: all[0], into: Adversary::Liar { to } }));
        }
        _ => {}
    }
    for (place, node) in victims.iter().copied().enumerate() {
        let from_ms = begin_ms + dice.below(300);
        match kind {
            FaultKind::Crash => {
                faults.push((from_ms, Fault::Crash { node }));
                faults.push((end_ms, Fault::Restart { node }));
            }
            FaultKind::Stop => {
                faults.push((from_ms, Fault::Stop { node }));
                faults.push((end_ms, Fault::GoOn { node }));
            }
            FaultKind::Narrow => {
                let kib_per_second = 4_u32 << dice.below(8);
                faults.push((from_ms, Fault::Narrow { node, kib_per_second }));
            }
            FaultKind::WrongClock => {
                let off_ms = i64::try_from(1_000 + dice.below(600_000)).unwrap_or(1_000);
                let ahead_ms = if place < bearable && dice.chance(500) { off_ms } else { -off_ms };
                faults.push((from_ms, Fault::Clock { node, ahead_ms }));
                faults.push((end_ms, Fault::Clock { node, ahead_ms: 0 }));
            }
            FaultKind::SlowDisk => {
                faults.push((from_ms, Fault::DiskSlows { node, sync_ms: 20 + dice.below(800) }));
                faults.push((end_ms, Fault::DiskSlows { node, sync_ms: 0 }));
            }
            FaultKind::FullDisk => {
                let left_kib = RESERVE_KIB / 4 + dice.below(RESERVE_KIB * 3 / 4);
                faults.push((from_ms, Fault::DiskFills { node, left_kib }));
                faults.push((end_ms, Fault::DiskHasRoom { node }));
            }
            FaultKind::BitFlip => {
                // It is down, comes back with the damage, and is mended while it is down again.
                faults.push((from_ms, Fault::Crash { node }));
                faults.push((from_ms + 100, Fault::BitFlip { node, number: dice.next() }));
                faults.push((from_ms + 200, Fault::Restart { node }));
                faults.push((end_ms, Fault::Crash { node }));
                faults.push((end_ms, Fault::Repair { node }));
                faults.push((end_ms, Fault::Restart { node }));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_draws_one_plan_and_many_seeds_draw_every_kind() {
        let text = |seed| format!("{:?}", Plan::drawn(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
        let drawn = (0..200).map(Plan::drawn);
        let kinds: BTreeSet<FaultKind> = drawn
            .flat_map(|plan| plan.faults.into_iter().filter_map(|(_, fault)| FaultKind::of(&fault)))
            .collect();
        assert!(KINDS.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    }

    #[test]
    fn one_node_forges_in_a_plan() {
        // Seed 154 once drew two of five: both stayed blocked, and a third that was cut off took the quorum.
        for plan in (0..200).map(Plan::drawn) {
            let forgers: BTreeSet<u16> = plan
                .faults
                .iter()
                .filter_map(|(_, fault)| match fault {
                    Fault::Turn { node, into: Adversary::Forger } => Some(*node),
                    _ => None,
                })
                .collect();
            assert!(forgers.len() <= 1, "seed {}: {forgers:?}", plan.seed);
        }
    }

    #[test]
    fn everything_is_mended_before_the_load_ends() {
        for plan in (0..200).map(Plan::drawn) {
            let last = plan.faults.last().map_or(0, |(at_ms, _)| *at_ms);
            assert!(last + CALM_MS <= plan.duration_ms, "seed {}", plan.seed);
            let bearable = (usize::from(plan.nodes) - 1) / 3;
            let mut ahead = BTreeSet::new();
            for (_, fault) in &plan.faults {
                match fault {
                    Fault::Clock { node, ahead_ms: 1.. } => ahead.insert(*node),
                    Fault::Clock { node, .. } => ahead.remove(node),
                    _ => continue,
                };
                assert!(ahead.len() <= bearable, "seed {}: a quorum of clocks is the time", plan.seed);
            }
        }
    }
}
