//! Validators that agree, fail, come back and misbehave, on virtual time.

mod support;

use bytes::{BufMut as _, Bytes, BytesMut};
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::World;
use consensus::{
    BLOCK_MS, Channel, ConfigError, ConsensusSecret, Engine, EvidenceKind, Floor, LANE_FRAMES, Refused, Role,
};
use ledger::proofs::FinalityProof;
use std::sync::{Arc, Mutex};
use support::cluster::{Cluster, EPOCH, Log, Manner, config};
use zeroize::Zeroizing;

/// Virtual time after which a test has failed.
const LIMIT_MS: u64 = 300_000;

/// Runs four honest validators until each has finalized `blocks` blocks; returns the world's trace.
fn trace_of(seed: u64, blocks: usize) -> String {
    let ((), world) = World::new(seed, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| (0..4).all(|index| cluster.height(index) >= blocks)).await;
    });
    world.trace_digest()
}

#[test]
fn four_validators_finalize_fifty_digests() {
    World::new(1, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        let start_ms = cluster.context.now_ms();
        cluster.start_all();
        cluster.until(|cluster| (0..4).all(|index| cluster.height(index) >= 50)).await;
        let elapsed_ms = cluster.context.now_ms() - start_ms;
        cluster.assert_safe();
        assert!(elapsed_ms < 5_000, "50 blocks over 10 ms links took {elapsed_ms} ms");
        for index in 0..4 {
            let (asked, validated, disseminated) =
                cluster.log(index, |log| (log.asked, log.validated, log.disseminated));
            assert!(
                asked >= 12 && validated >= 30 && disseminated >= 12,
                "{asked} {validated} {disseminated}"
            );
            let counters = cluster.nodes[&index].engine.counters();
            assert!(counters.views_notarized >= 50 && counters.finalized_view >= 50, "{counters:?}");
            let lost =
                (counters.requests_dropped, counters.frames_unsent, counters.frames_refused, counters.blocks);
            assert_eq!(lost, (0, 0, 0, 0), "{counters:?}");
        }
    });
}

#[test]
fn equal_seeds_give_equal_runs() {
    let first = trace_of(42, 20);
    assert_eq!(first, trace_of(42, 20));
    assert_ne!(first, trace_of(43, 20));
}

#[test]
fn one_dead_of_four_costs_one_leader_timeout() {
    World::new(2, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| cluster.height(0) >= 20).await;
        cluster.kill(3).await;
        let died_ms = cluster.context.now_ms();
        cluster.context.sleep_ms(11_000).await;
        let at_first = cluster.longest_stall_ms(0, died_ms, died_ms + 5_000);
        let later = cluster.longest_stall_ms(0, died_ms + 5_000, died_ms + 11_000);
        println!("longest stall: {at_first} ms in the first 5 s, {later} ms in the next 6 s");
        assert!((1_000..1_300).contains(&at_first), "{at_first} ms: a dead leader costs the leader timeout");
        assert!(later < 250, "{later} ms: a leader known to be dead is skipped");
        cluster.assert_safe();
    });
}

#[test]
fn a_declined_proposal_is_skipped_at_once() {
    World::new(3, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        for index in 0..4 {
            cluster.start(index, Manner { declines: index == 2, ..Manner::default() });
        }
        let start_ms = cluster.context.now_ms();
        cluster.until(|cluster| cluster.height(0) >= 60).await;
        let declined = cluster.log(2, |log| log.asked);
        let stall = cluster.longest_stall_ms(0, start_ms, cluster.context.now_ms());
        println!("{declined} declined turns, longest stall {stall} ms");
        assert!(declined >= 15);
        assert!(stall < 250, "{stall} ms: declining must not cost the leader timeout of 1,000 ms");
        assert!(cluster.nodes[&0].engine.counters().views_nullified >= 15);
        cluster.assert_safe();
    });
}

#[test]
fn a_proposal_that_its_voters_let_go_is_skipped_at_once() {
    World::new(8, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        for index in 0..4 {
            cluster.start(index, Manner { lets_go_of: &[2], ..Manner::default() });
        }
        let start_ms = cluster.context.now_ms();
        cluster.until(|cluster| cluster.height(0) >= 60).await;
        let stall = cluster.longest_stall_ms(0, start_ms, cluster.context.now_ms());
        let nullified = cluster.nodes[&0].engine.counters().views_nullified;
        println!("{nullified} views skipped, longest stall {stall} ms");
        assert!(cluster.log(2, |log| log.asked) >= 15, "it went on proposing");
        assert!(nullified >= 15);
        assert!(stall < 250, "{stall} ms: letting go must not cost the certification timeout of 1,500 ms");
        cluster.assert_safe();
    });
}

#[test]
fn views_do_not_spin_where_every_proposal_is_let_go() {
    World::new(9, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        for index in 0..4 {
            cluster.start(index, Manner { lets_go_of: &[0, 1, 2, 3], ..Manner::default() });
        }
        cluster.context.sleep_ms(15_000).await;
        let nullified = cluster.nodes[&0].engine.counters().views_nullified;
        println!("{nullified} views skipped in 15 s");
        // As many at once as there are validators, then one in a certification timeout: 14. Over these links 15 s have room for hundreds.
        assert!((4..30).contains(&nullified), "{nullified}");
        assert_eq!(cluster.height(0), 0);
        cluster.assert_safe();
    });
}

#[test]
fn a_restart_with_its_journal_never_contradicts_itself() {
    World::new(4, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        for round in 1..=20u8 {
            // A different moment of the view each time, and a different block each time it leads.
            let pause = 150 + u64::from(round) * 7 % 40;
            cluster.context.sleep_ms(pause).await;
            cluster.kill(1).await;
            cluster.start(1, Manner { salt: round, ..Manner::default() });
        }
        let before = cluster.tip(1);
        cluster.until(|cluster| cluster.tip(1) > before + 20).await;
        let state = cluster.wire.state.lock().unwrap();
        assert!(state.votes.keys().filter(|(from, _)| *from == 1).count() > 50);
        assert_eq!((0..4).map(|index| state.contradictions(index)).sum::<usize>(), 0);
        drop(state);
        assert!((0..4).all(|index| cluster.log(index, |log| log.evidence.is_empty())));
        cluster.assert_safe();
    });
}

#[test]
fn a_restart_without_its_journal_is_caught_contradicting_itself() {
    World::new(5, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| cluster.tip(0) >= 8).await;
        for index in 0..4 {
            cluster.kill(index).await;
        }
        // All lose their journals and propose other blocks: the record must show it, or the test above is blind.
        for index in 0..4 {
            cluster.start(index, Manner { salt: 1, partition: Some("wiped"), ..Manner::default() });
        }
        cluster.context.sleep_ms(500).await;
        let state = cluster.wire.state.lock().unwrap();
        assert!((0..4).map(|index| state.contradictions(index)).sum::<usize>() > 4);
    });
}

#[test]
fn all_lose_power_at_once_and_continue_without_contradiction() {
    let run = |world: World, salt: u8, blocks, votes| {
        world.run(move |context| async move {
            let mut cluster = Cluster::new(context, 4);
            cluster.blocks = blocks;
            cluster.wire.state.lock().unwrap().votes = votes;
            for index in 0..4 {
                cluster.start(index, Manner { salt, ..Manner::default() });
            }
            let first = cluster.context.now_ms();
            cluster.until(|cluster| cluster.context.now_ms() > first + 3_000 + 13 * u64::from(salt)).await;
            cluster.assert_safe();
            let state = cluster.wire.state.lock().unwrap();
            assert_eq!((0..4).map(|index| state.contradictions(index)).sum::<usize>(), 0);
            let height = cluster.height(0);
            (Arc::clone(&cluster.blocks), state.votes.clone(), height)
        })
    };
    let mut outcome = run(World::with_torn_writes(6, LIMIT_MS, 70), 0, Arc::default(), Default::default());
    for salt in 1..=4 {
        let ((blocks, votes, height), world) = outcome;
        outcome = run(world, salt, blocks, votes);
        assert!(outcome.0.2 > height + 10, "height {height}, then {}", outcome.0.2);
    }
}

#[test]
fn a_bad_peer_is_blocked_at_once_and_the_block_expires() {
    World::new(7, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| cluster.height(0) >= 5).await;
        let inbound = cluster.nodes[&0].inbound.clone();
        let mut garbage = BytesMut::new();
        garbage.put_u64_le(EPOCH);
        garbage.put_slice(&[0xff; 40]);
        let garbage = garbage.freeze();
        assert_eq!(inbound.try_deliver(3, Channel::Certificate, garbage.clone()), Ok(()));
        cluster.context.sleep_ms(5).await;
        assert_eq!(inbound.try_deliver(3, Channel::Vote, garbage.clone()), Err(Refused::Blocked));
        assert_eq!(cluster.wire.state.lock().unwrap().blocked, [(0, 3, BLOCK_MS)]);
        let before = cluster.height(0);
        cluster.context.sleep_ms(2_000).await;
        assert!(cluster.height(0) > before + 30, "the others go on");
        // Node 0 alone from here on: an idle minute is quick to simulate.
        for index in 1..4 {
            cluster.kill(index).await;
        }
        cluster.context.sleep_ms(BLOCK_MS - 2_100).await;
        assert_eq!(inbound.try_deliver(3, Channel::Vote, garbage.clone()), Err(Refused::Blocked));
        cluster.context.sleep_ms(200).await;
        assert_eq!(inbound.try_deliver(3, Channel::Vote, garbage), Ok(()));
        cluster.context.sleep_ms(5).await;
        assert_eq!(cluster.nodes[&0].engine.counters().blocks, 2, "it went on, so it is blocked again");
        cluster.assert_safe();
    });
}

#[test]
fn a_flooding_peer_fills_its_own_lane_only() {
    World::new(13, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| cluster.height(0) >= 5).await;
        let inbound = cluster.nodes[&0].inbound.clone();
        let start_ms = cluster.context.now_ms();
        // A vote repeated is no offence, so nothing but the lane and the rate limit stands against it.
        while cluster.context.now_ms() < start_ms + 4_000 {
            let vote = cluster.wire.state.lock().unwrap().last_vote[&3].clone();
            for _ in 0..LANE_FRAMES + 50 {
                let _refused_when_full = inbound.try_deliver(3, Channel::Vote, vote.clone());
            }
            cluster.context.sleep_ms(2).await;
        }
        let stall = cluster.longest_stall_ms(0, start_ms, cluster.context.now_ms());
        assert!(stall < 250, "{stall} ms");
        let counters = cluster.nodes[&0].engine.counters();
        assert!(counters.frames_refused > 10_000 && counters.frames_discarded > 10_000, "{counters:?}");
        assert_eq!(counters.blocks, 0);
        cluster.assert_safe();
    });
}

#[test]
fn frames_that_do_not_belong_are_refused_before_the_engine() {
    World::new(8, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        let inbound = cluster.nodes[&0].inbound.clone();
        let frame = |epoch: u64, length: usize| {
            let mut frame = BytesMut::new();
            frame.put_u64_le(epoch);
            frame.resize(length, 0xff);
            frame.freeze()
        };
        let deliver = |from, channel: Channel, frame| inbound.try_deliver(from, channel, frame);
        assert_eq!(
            deliver(0, Channel::Vote, frame(EPOCH, 60)),
            Err(Refused::UnknownPeer),
            "not from ourselves"
        );
        assert_eq!(deliver(4, Channel::Vote, frame(EPOCH, 60)), Err(Refused::UnknownPeer));
        assert_eq!(deliver(1, Channel::Vote, frame(EPOCH, 4_097)), Err(Refused::Size(4_097)));
        assert_eq!(deliver(1, Channel::Vote, Bytes::from_static(b"short")), Err(Refused::Size(5)));
        assert_eq!(deliver(1, Channel::Certificate, frame(EPOCH, 65_537)), Err(Refused::Size(65_537)));
        assert_eq!(deliver(1, Channel::Vote, frame(EPOCH + 1, 60)), Err(Refused::Epoch(EPOCH + 1)));
        for _ in 0..LANE_FRAMES {
            assert_eq!(deliver(1, Channel::Vote, frame(EPOCH, 60)), Ok(()));
        }
        assert_eq!(deliver(1, Channel::Vote, frame(EPOCH, 60)), Err(Refused::LaneFull));
        assert_eq!(deliver(2, Channel::Resolver, frame(EPOCH, 60)), Ok(()), "another lane has room");
        assert_eq!(cluster.nodes[&0].engine.counters().frames_refused, 7);
        cluster.kill(0).await;
        assert_eq!(deliver(2, Channel::Vote, frame(EPOCH, 60)), Err(Refused::Ended));
    });
}

#[test]
fn observers_follow_and_never_vote() {
    World::new(9, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        for index in 0..4 {
            cluster.start(index, Manner { observes: index == 3, ..Manner::default() });
        }
        let outsider_log = Arc::new(Mutex::new(Log::default()));
        let settings = config(&cluster.keys, Role::Observer { index: None });
        let link = cluster.wire.link(4);
        let outsider = cluster.start_config(settings, link, Manner::default(), Arc::clone(&outsider_log));
        cluster.wire.state.lock().unwrap().outsiders.push(outsider.inbound.clone());
        cluster
            .until(|cluster| cluster.height(3) >= 30 && outsider_log.lock().unwrap().finalized.len() >= 30)
            .await;
        cluster.assert_safe();
        let state = cluster.wire.state.lock().unwrap();
        assert!(state.votes.keys().all(|(from, _)| *from < 3), "observers sent votes");
        assert_eq!(cluster.log(3, |log| log.asked), 0);
        let outsider_log = outsider_log.lock().unwrap();
        let by_view = |view| {
            cluster.log(0, |log| log.finalized.iter().find(|entry| entry.1 == view).map(|entry| entry.2))
        };
        assert!(
            outsider_log
                .finalized
                .iter()
                .all(|entry| by_view(entry.1).is_none_or(|digest| digest == entry.2))
        );
    });
}

#[test]
fn a_wiped_node_resumes_from_a_finalized_floor() {
    World::new(10, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| cluster.tip(0) >= 30).await;
        cluster.kill(3).await;
        cluster.until(|cluster| cluster.tip(0) >= 400).await;
        let floor = cluster.log(0, |log| log.proofs.iter().max_by_key(|proof| proof.view).cloned().unwrap());
        let known = cluster.log(3, |log| log.finalized.len());
        let start_ms = cluster.context.now_ms();
        let manner = Manner {
            observes: true,
            partition: Some("wiped"),
            floor: Some(floor.clone()),
            ..Manner::default()
        };
        cluster.start(3, manner);
        cluster.until(|cluster| cluster.tip(3) > floor.view.0 + 5).await;
        println!("caught up in {} ms", cluster.context.now_ms() - start_ms);
        let first = cluster.log(3, |log| log.finalized.get(known).map(|entry| entry.1));
        assert_eq!(first, Some(floor.view.0), "the floor itself is reported first");
        cluster.assert_safe();
    });
}

#[test]
fn a_floor_or_key_that_does_not_hold_starts_nothing() {
    World::new(11, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        cluster.until(|cluster| cluster.tip(0) >= 5).await;
        let good = cluster.log(0, |log| log.proofs.last().cloned().unwrap());
        let refusal = |change: &dyn Fn(&mut consensus::Config)| {
            let mut settings = config(&cluster.keys, Role::Observer { index: Some(0) });
            settings.floor = Floor::Finalized(good.clone());
            change(&mut settings);
            let scope = cluster.context.scope("refused", "try", 0);
            Engine::start(scope, settings, cluster.wire.link(0)).err()
        };
        let with_floor = |change: &dyn Fn(&mut FinalityProof)| {
            let mut proof = good.clone();
            change(&mut proof);
            refusal(&|settings| settings.floor = Floor::Finalized(proof.clone()))
        };
        assert_eq!(with_floor(&|proof| proof.view.0 += 1), Some(ConfigError::FloorFields));
        assert_eq!(with_floor(&|proof| proof.bytes.truncate(60)), Some(ConfigError::FloorUndecodable));
        let last_byte = |proof: &mut FinalityProof| *proof.bytes.last_mut().unwrap() ^= 1;
        assert_eq!(with_floor(&last_byte), Some(ConfigError::FloorUnproven));
        let place = ConfigError::FloorPlace { chain: good.chain.0, epoch: EPOCH + 1, view: good.view.0 };
        assert_eq!(with_floor(&|proof| proof.epoch.0 += 1), Some(place));
        let stranger = ConsensusSecret::new(Zeroizing::new([77; 32]));
        let role = Role::Voter { secret: stranger };
        assert_eq!(refusal(&|settings| settings.role = role.clone()), Some(ConfigError::NotAValidator));
        // y = 2 is on no point of the curve; it sorts below every key here or the order check would say so.
        let mut off_curve = [0; 32];
        off_curve[0] = 2;
        let refused = refusal(&|settings| settings.validators[0] = off_curve);
        assert_eq!(refused, Some(ConfigError::ValidatorKey(0)));
    });
}

#[test]
fn twins_of_one_key_are_proven_guilty_and_fork_nothing() {
    World::new(12, LIMIT_MS).run(|context| async move {
        let mut cluster = Cluster::new(context, 4);
        cluster.start_all();
        let twin_manner = Manner { salt: 9, partition: Some("twin"), ..Manner::default() };
        let twin = cluster.start_apart(3, twin_manner, Arc::default());
        cluster.wire.state.lock().unwrap().inbound.get_mut(&3).unwrap().push(twin.inbound.clone());
        cluster.until(|cluster| cluster.height(0) >= 100).await;
        cluster.assert_safe();
        let evidence: Vec<_> =
            (0..3).flat_map(|index| cluster.log(index, |log| log.evidence.clone())).collect();
        assert!(evidence.iter().any(|found| found.kind == EvidenceKind::ConflictingNotarize));
        assert!(
            evidence
                .iter()
                .all(|found| found.validator == 3 && found.epoch == EPOCH && !found.bytes.is_empty())
        );
        assert!(cluster.wire.state.lock().unwrap().blocked.iter().all(|(_, validator, _)| *validator == 3));
    });
}
