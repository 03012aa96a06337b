//! Banks that mean harm: up to `f` of `n` nodes do what they can with their real keys, and everything holds. Honest nodes go on
//! certifying what their customers pay within [`HONEST_WITHIN_MS`], keep what proves the misbehaviour, and hold no more in memory than
//! they should. Every test asserts that its adversary acted.

use bottle::{Adversary, Fault, Outcome, Plan, Property};
use chain::config::{
    BUNDLES_PER_SOURCE_MAX, FETCHES_MAX, FINAL_BLOCKS_WAITING_MAX, QUESTIONS_MAX,
    WAITING_BATCHES_PER_SEALER_MAX,
};
use ledger::records::batch::BATCH_BYTES_MAX;

use crate::{green, show};

/// Of these networks.
const BLOCK_WEIGHT_MAX: u64 = 8 << 20;

/// Virtual time in which what an honest node took in is certified there on good links, and this much more for each node that was turned: a
/// leader whose block nobody can vote for costs the engine's certification timeout of 1.5 s, and then comes the next.
const HONEST_WITHIN_MS: u64 = 1_000;
/// For each that was turned.
const WITHIN_EACH_MS: u64 = 1_500;
/// Batches whose signatures a node checks in such a run: its own share of honest ones, and one burst of a sealer that is shunned then. The
/// flood brings more than three thousand.
const CHECKS_MAX: u64 = 1_000;
/// When a node is turned: wallets have their money by then.
const FROM_MS: u64 = 2_000;

/// A plan in which a node of four is turned until shortly before the end.
fn turned(seed: u64, duration_ms: u64, node: u16, into: Adversary) -> Plan {
    let turn = (FROM_MS, Fault::Turn { node, into });
    Plan::calm(seed, duration_ms).with([turn, (duration_ms - 300, Fault::Heal)])
}

/// Runs a plan with adversaries in which everything must hold for the others.
fn play(plan: &Plan) -> Outcome {
    let outcome = bear(plan);
    let turned = &outcome.report.turned;
    assert!(turned.values().all(|(_, deeds)| *deeds > 0), "they acted: {turned:?}");
    outcome
}

/// The same where an adversary may find no occasion.
fn bear(plan: &Plan) -> Outcome {
    let outcome = green(plan);
    let report = &outcome.report;
    assert!(!report.turned.is_empty());
    assert!(report.honest_certified > 100, "{outcome}");
    let within_ms = HONEST_WITHIN_MS + WITHIN_EACH_MS * report.turned.len() as u64;
    assert!(report.honest_wait_ms <= within_ms, "{} ms", report.honest_wait_ms);
    // Whom the dice led to an adversary's door each time may be told nothing true.
    let is_honest = |node: &u16| !report.turned.contains_key(node);
    let is_owed = |told: &[(u16, String)]| told.iter().any(|(node, _)| is_honest(node));
    assert!(!report.open.iter().any(|(_, told)| is_owed(told)), "every client was told: {outcome}");
    let held = report.held;
    assert!(held.batches <= usize::from(plan.nodes) * WAITING_BATCHES_PER_SEALER_MAX, "{held:?}");
    assert!(held.bundles <= 4 * BUNDLES_PER_SOURCE_MAX, "{held:?}");
    assert!(held.questions <= QUESTIONS_MAX && held.fetches <= FETCHES_MAX, "{held:?}");
    assert!(held.final_waiting <= FINAL_BLOCKS_WAITING_MAX, "{held:?}");
    let seats: Vec<u16> = report.evidence.iter().map(|(_, _, seat, _)| *seat).collect();
    assert!(seats.iter().all(|seat| seats[0] == *seat) || report.turned.len() > 1, "{:?}", report.evidence);
    outcome
}

/// The kinds of evidence that a node which was not turned keeps.
fn evidence_at(outcome: &Outcome, node: u16) -> Vec<&str> {
    outcome.report.evidence.iter().filter(|(by, ..)| *by == node).map(|(.., kind)| kind.as_str()).collect()
}

#[test]
fn a_double_voter_is_found_out_by_everybody() {
    let outcome = play(&turned(201, 8_000, 3, Adversary::Twin));
    for node in 0..3 {
        assert_eq!(evidence_at(&outcome, node), ["contradicting_votes"], "node {node}");
    }
}

#[test]
fn an_equivocating_leader_forks_nothing() {
    for seed in [203, 204, 205] {
        let turn = (1, Fault::Turn { node: 3, into: Adversary::Equivocator { first: vec![0] } });
        play(&Plan::calm(seed, 8_000).with([turn, (7_700, Fault::Heal)]));
    }
}

#[test]
fn more_equivocators_than_may_fail_fork_the_chain_and_are_seen() {
    let first = vec![0];
    let plan = Plan::calm(203, 6_000).with([
        (1, Fault::Turn { node: 2, into: Adversary::Equivocator { first: first.clone() } }),
        (1, Fault::Turn { node: 3, into: Adversary::Equivocator { first } }),
        (1, Fault::Partition { side: vec![0] }),
    ]);
    let outcome = show(&plan);
    assert!(outcome.violates(Property::Agreement), "seed 203");
}

#[test]
fn what_a_withholder_seals_stalls_nobody() {
    let none = play(&turned(204, 8_000, 1, Adversary::Withholder { to: Vec::new() }));
    let few = play(&turned(205, 8_000, 1, Adversary::Withholder { to: vec![0, 2] }));
    assert!(few.report.applied > none.report.applied / 2);
}

#[test]
fn garbage_on_every_channel_costs_its_sender_its_trust() {
    let outcome = play(&turned(206, 8_000, 2, Adversary::Garbler));
    let distrusted = &outcome.report.distrusted;
    assert!((0..4).filter(|by| *by != 2).all(|by| distrusted.contains(&(by, 2))), "{distrusted:?}");
    assert!(distrusted.iter().all(|(_, node)| *node == 2), "nobody else: {distrusted:?}");
    assert!(outcome.report.distrust_reasons.contains("a frame that is not canonical"));
}

#[test]
fn a_flood_is_borne() {
    let outcome = play(&turned(207, 6_000, 2, Adversary::Flooder));
    let (_, deeds) = outcome.report.turned[&2];
    assert!(deeds > 10_000, "{deeds} frames");
    assert!(outcome.report.held.checks < CHECKS_MAX, "{:?}", outcome.report.held);
    for node in [0, 1, 3] {
        assert_eq!(evidence_at(&outcome, node), ["sealed_bad_signature"], "node {node}");
    }
}

#[test]
fn forged_certificates_and_pages_convince_nobody() {
    let outcome = play(&turned(208, 8_000, 2, Adversary::Forger));
    assert!(outcome.report.distrusted.iter().all(|(_, node)| *node == 2), "{:?}", outcome.report.distrusted);
}

#[test]
fn old_frames_change_nothing() {
    play(&turned(209, 8_000, 1, Adversary::Replayer));
}

#[test]
fn a_node_that_lags_finds_its_way_past_a_liar() {
    let plan = turned(210, 12_000, 0, Adversary::Liar { to: vec![3] })
        .with([(2_500, Fault::Crash { node: 3 }), (8_000, Fault::Restart { node: 3 })]);
    let outcome = play(&plan);
    assert!(outcome.report.distrusted.contains(&(3, 0)), "{:?}", outcome.report.distrusted);
}

#[test]
fn a_clock_an_hour_off_harms_its_own_bank_only() {
    for (seed, ahead_ms) in [(211, 3_600_000), (212, -3_600_000)] {
        let outcome = play(&turned(seed, 8_000, 2, Adversary::WrongClock { ahead_ms }));
        // Ahead, its views are let go at once: nobody waits for a timeout.
        assert!(outcome.report.honest_wait_ms <= HONEST_WITHIN_MS, "{} ms", outcome.report.honest_wait_ms);
    }
}

#[test]
fn whatever_a_bank_seals_the_rules_hold() {
    let mut plan = turned(213, 9_000, 3, Adversary::Sealer);
    // What it seals fills whole blocks, so a place costs something.
    plan.load.fee_max = 5_000;
    let outcome = play(&plan);
    let (weight, length) = (outcome.report.weight_max, outcome.report.batch_bytes_max);
    assert!(weight > 7 * BLOCK_WEIGHT_MAX / 8 && weight <= BLOCK_WEIGHT_MAX, "a full block: {weight}");
    assert!(length > BATCH_BYTES_MAX - 1_024 && length <= BATCH_BYTES_MAX, "a full batch: {length}");
    for node in 0..3 {
        let kinds = evidence_at(&outcome, node);
        for kind in ["invalid_batch", "malformed_batch", "sealed_bad_signature"] {
            assert!(kinds.contains(&kind), "node {node}: {kinds:?}");
        }
    }
}

#[test]
fn two_of_seven_mean_harm_together() {
    let mut plan = Plan::calm(214, 7_000).with([
        (FROM_MS, Fault::Turn { node: 5, into: Adversary::Equivocator { first: vec![0, 1, 2] } }),
        (FROM_MS, Fault::Turn { node: 6, into: Adversary::Withholder { to: vec![5] } }),
    ]);
    plan.nodes = 7;
    plan.chains[0].hosts = (0..7).collect();
    play(&plan);
}
