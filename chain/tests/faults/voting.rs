//! What an honest bank orders and votes for, and that it never does so before the disk has it.

use bytes::Bytes;
use chain::config::{BATCH_GRACE_MS, EARLY_HOLD_MS, FETCH_GRACE_MS, REPEAT_MS};
use chain::frame::{Digests, FinalBlocks};
use chain::{Answer, Archive, Effect, Frame, Input, Question, Report, Room, Turn};
use ledger::records::batch::BATCH_LIFE_MS_MAX;
use ledger::records::{Batch, Block, Claim};
use ledger::values::{
    BatchDigest, BundleDigest, Canonical as _, Epoch, Height, NodeIndex, ResultHash, TimestampMs, View,
};
use storage::Table;

use crate::rig::{Bank, FAULTY, HONEST, Seen};

fn acknowledge(bank: &mut Bank, from: usize, digest: BatchDigest) -> Seen {
    bank.frame(from, &Frame::Acknowledge(Digests { batches: vec![digest] }))
}

/// Asks the bank for a proposal on the final tip and gives it time; answers its batches.
fn proposed(bank: &mut Bank, view: u64) -> Vec<BatchDigest> {
    let turn = Turn { view: View(view), leader: bank.seat(HONEST), parent: bank.genesis_facts.digest };
    let (ticket, mut seen) = bank.ask(Question::Propose { turn });
    if seen.answer(ticket).is_none() {
        seen = bank.pass(500);
    }
    let Some(Answer::Proposal(digest)) = seen.answer(ticket) else { panic!("no proposal: {seen:?}") };
    Archive::new(bank.store.as_ref()).block(digest).unwrap().expect("a proposal is durable").body.batches
}

fn good_batch(bank: &Bank, sequence: u64) -> (BatchDigest, Batch) {
    bank.sealed(2, sequence, vec![bank.issue(sequence, 5)])
}

fn block_with(bank: &Bank, digest: BatchDigest, batch: &Batch) -> Block {
    bank.block(&bank.genesis_facts, &[(digest, batch.weight())])
}

#[test]
fn a_batch_is_ordered_only_with_a_quorum_of_acknowledgements() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    assert!(bank.batch(2, &batch).acknowledged(digest));
    assert!(proposed(&mut bank, 1).is_empty(), "own acknowledgement only");
    acknowledge(&mut bank, 2, digest);
    acknowledge(&mut bank, 2, digest);
    acknowledge(&mut bank, HONEST, digest);
    assert!(proposed(&mut bank, 2).is_empty(), "two different acknowledgements");
    bank.give(chain::Input::Frame {
        from: NodeIndex(77),
        bytes: Frame::Acknowledge(Digests { batches: vec![digest] }).encode(),
    });
    assert!(proposed(&mut bank, 3).is_empty(), "the third is no validator's");
    acknowledge(&mut bank, 3, digest);
    assert_eq!(proposed(&mut bank, 4), [digest]);
}

#[test]
fn acknowledgements_that_come_first_count() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    acknowledge(&mut bank, 2, digest);
    acknowledge(&mut bank, 3, digest);
    assert!(proposed(&mut bank, 1).is_empty(), "not held here");
    bank.batch(2, &batch);
    assert_eq!(proposed(&mut bank, 2), [digest]);
}

#[test]
fn a_life_that_is_over_or_too_long_is_refused() {
    for (case, expires_in) in [("over", -1_i64), ("too long", BATCH_LIFE_MS_MAX as i64 + 1)] {
        let mut bank = Bank::new();
        let mut content = bank.content(2, 1, vec![bank.issue(1, 5)]);
        content.expires = TimestampMs(bank.now.wall.0.checked_add_signed(expires_in).unwrap());
        let (digest, batch) = bank.seal(2, content);
        assert!(!bank.batch(2, &batch).acknowledged(digest), "{case}");
        assert_eq!((bank.chain.status().batches, bank.rows(Table::Batches).len()), (0, 0), "{case}");
        // Even fetched because a block names it, it makes the block invalid.
        let block = block_with(&bank, digest, &batch);
        let (ticket, seen) = bank.may_vote_for(&block);
        assert_eq!(seen.answer(ticket), None, "{case}: nothing is known yet");
        let seen = bank.batch(FAULTY, &batch);
        assert_eq!(seen.answer(ticket), Some(Answer::Verdict(false)), "{case}");
    }
}

#[test]
fn a_batch_that_expired_while_it_waited_is_not_ordered_and_leaves() {
    let mut bank = Bank::new();
    let mut content = bank.content(2, 1, vec![bank.issue(1, 5)]);
    content.expires.0 = bank.now.wall.0 + 1_000;
    let (digest, batch) = bank.seal(2, content);
    bank.batch(2, &batch);
    acknowledge(&mut bank, 2, digest);
    acknowledge(&mut bank, 3, digest);
    bank.pass(1_001);
    assert!(proposed(&mut bank, 1).is_empty());
    let block = block_with(&bank, digest, &batch);
    assert_eq!(bank.verdict(&block), Some(false));
    // The bad block still names it, so it stays until something else is final.
    let empty = bank.block(&bank.genesis_facts, &[]);
    bank.verdict(&empty);
    bank.finalize(&empty);
    bank.pass(BATCH_GRACE_MS + 1_000);
    assert_eq!((bank.chain.status().batches, bank.rows(Table::Batches).len()), (0, 0));
}

#[test]
fn no_digest_is_ordered_twice() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    bank.batch(2, &batch);
    let twice = [(digest, batch.weight()), (digest, batch.weight())];
    let doubled = bank.block(&bank.genesis_facts, &twice);
    assert_eq!(bank.verdict(&doubled), Some(false), "twice in one block");

    let first = block_with(&bank, digest, &batch);
    assert_eq!(bank.verdict(&first), Some(true));
    let mut child = bank.block(&bank.facts(&first), &[(digest, batch.weight())]);
    assert_eq!(bank.verdict(&child), Some(false), "in an ancestor that is not final");
    bank.finalize(&first);
    child.header.view = View(child.header.view.0 + 1);
    assert_eq!(bank.verdict(&child), Some(false), "in a final ancestor");
}

#[test]
fn another_result_than_the_own_is_not_voted_for() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    bank.batch(2, &batch);
    let first = block_with(&bank, digest, &batch);
    assert_eq!(bank.verdict(&first), Some(true));
    bank.finalize(&first);
    let own = Archive::new(bank.store.as_ref()).result(Height(1)).unwrap().unwrap().hash(bank.genesis());
    for (case, height, result, expected) in [
        ("another result", 1, ResultHash([9; 32]), Some(false)),
        ("its own height", 2, own, Some(false)),
        ("another genesis result", 0, ResultHash([9; 32]), Some(false)),
        ("the own result", 1, own, Some(true)),
    ] {
        let mut block = bank.block(&bank.facts(&first), &[]);
        block.header.claim = Claim { height: Height(height), result };
        assert_eq!(bank.verdict(&block), expected, "{case}");
    }
}

#[test]
fn a_proposal_waits_for_a_missing_batch_and_for_the_disk() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    let block = block_with(&bank, digest, &batch);
    let (ticket, seen) = bank.may_vote_for(&block);
    assert_eq!(seen.answer(ticket), None);
    let seen = bank.pass(FETCH_GRACE_MS);
    let asks = |(_, frame): &(NodeIndex, Frame)| matches!(frame, Frame::RequestBatches(digests) if digests.batches == [digest]);
    assert!(seen.sent.iter().any(asks), "the missing batch is asked for: {seen:?}");
    assert_eq!(bank.pass(2_000).answer(ticket), None, "no is never said to what is only missing");

    bank.hold_disk = true;
    let seen = bank.batch(3, &batch);
    assert_eq!(seen.answer(ticket), None, "yes before the disk has it");
    assert_eq!(bank.pass(1_000).answer(ticket), None);
    assert_eq!(bank.release().answer(ticket), Some(Answer::Verdict(true)));
}

#[test]
fn nothing_is_asked_for_that_only_a_wrong_or_early_block_names() {
    let asks = |seen: &Seen| {
        let is_request = |frame: &Frame| matches!(frame, Frame::RequestBatches(_) | Frame::RequestBundles(_));
        seen.sent.iter().any(|(_, frame)| is_request(frame))
    };
    let mut bank = Bank::new();
    let first = bank.block(&bank.genesis_facts, &[]);
    assert_eq!(bank.verdict(&first), Some(true));
    bank.finalize(&first);
    let naming = |bank: &Bank, number: u8| {
        let mut block = bank.block(&bank.facts(&first), &[(BatchDigest([number; 32]), 1_000)]);
        block.body.bundles = vec![BundleDigest([number; 32])];
        block.header.body = block.body.hash();
        block
    };
    let mut wrong = naming(&bank, 1);
    wrong.header.claim = Claim { height: Height(1), result: ResultHash([9; 32]) };
    assert_eq!(bank.verdict(&wrong), Some(false), "its claim alone says so");
    assert!(!asks(&bank.pass(FETCH_GRACE_MS)));

    let mut early = naming(&bank, 2);
    early.header.timestamp.0 = bank.now.wall.0 + bank.rules.params.clock_drift_ms_max + 500;
    assert_eq!(bank.verdict(&early), None);
    assert!(!asks(&bank.pass(2 * FETCH_GRACE_MS)), "not before its time");
    bank.pass(500);
    assert!(asks(&bank.pass(FETCH_GRACE_MS)), "then it may be voted for");

    // Without room nothing is judged, and nothing is asked for either.
    let mut bank = Bank::new();
    assert_eq!(bank.verdict(&first), Some(true));
    bank.finalize(&first);
    bank.chain.set_room(Room::Low);
    let mut wrong = naming(&bank, 3);
    wrong.header.claim = Claim { height: Height(1), result: ResultHash([9; 32]) };
    assert_eq!(bank.verdict(&wrong), None);
    assert!(!asks(&bank.pass(FETCH_GRACE_MS)));
}

#[test]
fn a_clock_far_ahead_loses_its_leader_the_turn_and_nobody_any_time() {
    let mut bank = Bank::new();
    let first = bank.block(&bank.genesis_facts, &[]);
    assert_eq!(bank.verdict(&first), Some(true));
    bank.finalize(&first);
    let latest_ms = bank.now.wall.0 + bank.rules.params.clock_drift_ms_max;
    let on = |bank: &Bank, parent: &Block, timestamp_ms: u64| {
        let mut block = bank.block(&bank.facts(parent), &[]);
        block.header.timestamp.0 = timestamp_ms;
        block
    };
    let early = on(&bank, &first, latest_ms + EARLY_HOLD_MS);
    let (waits, seen) = bank.may_vote_for(&early);
    assert_eq!(seen.answer(waits), None, "its time comes while the view lasts");
    let far = on(&bank, &first, latest_ms + EARLY_HOLD_MS + 1);
    let (declined, seen) = bank.may_vote_for(&far);
    assert_eq!(seen.answer(declined), Some(Answer::Decline), "that is not no");

    // Clocks that are right, too, may have made a quorum of votes: then no clock is asked.
    let digest = far.header.digest(bank.genesis());
    let (available, seen) = bank.ask(Question::Available { view: far.header.view, digest });
    assert_eq!(seen.answer(available), Some(Answer::Verdict(true)));
    // On such a parent no leader's block is earlier, so a vote for one waits.
    let child = on(&bank, &far, far.header.timestamp.0 + 1);
    let (child, seen) = bank.may_vote_for(&child);
    assert_eq!(seen.answer(child), None);

    let seen = bank.pass(EARLY_HOLD_MS);
    assert_eq!(seen.answer(waits), Some(Answer::Verdict(true)));
    assert_eq!(seen.answer(child), None);
    assert_eq!(bank.pass(2).answer(child), Some(Answer::Verdict(true)));
}

#[test]
fn nothing_is_promised_before_it_is_durable() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    bank.batch(2, &batch);
    let block = block_with(&bank, digest, &batch);
    bank.hold_disk = true;
    let (validate, seen) = bank.may_vote_for(&block);
    assert_eq!(seen.answer(validate), None);
    let digest = block.header.digest(bank.genesis());
    let (available, seen) = bank.ask(Question::Available { view: block.header.view, digest });
    assert_eq!(seen.answer(available), None);
    let turn = Turn { view: View(9), leader: bank.seat(HONEST), parent: bank.genesis_facts.digest };
    let (propose, seen) = bank.ask(Question::Propose { turn });
    assert_eq!(seen.answer(propose), None);
    let seen = bank.pass(1_000);
    assert!(seen.replies.is_empty(), "{seen:?}");

    let seen = bank.release();
    assert_eq!(seen.answer(validate), Some(Answer::Verdict(true)));
    assert_eq!(seen.answer(available), Some(Answer::Verdict(true)));
    assert!(matches!(seen.answer(propose), Some(Answer::Proposal(_))), "{seen:?}");
}

#[test]
fn a_bank_without_room_neither_votes_nor_proposes_nor_seals_and_resumes() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    bank.batch(2, &batch);
    bank.chain.set_room(Room::Low);
    let block = block_with(&bank, digest, &batch);
    let (ticket, seen) = bank.may_vote_for(&block);
    assert_eq!(seen.answer(ticket), None);
    let turn = Turn { view: View(9), leader: bank.seat(HONEST), parent: bank.genesis_facts.digest };
    let (propose, seen) = bank.ask(Question::Propose { turn });
    assert_eq!(seen.answer(propose), Some(Answer::Decline));
    bank.chain.set_room(Room::Enough);
    assert_eq!(bank.pass(1).answer(ticket), Some(Answer::Verdict(true)));
}

#[test]
fn a_bank_with_a_low_disk_follows_and_one_without_room_writes_nothing_until_there_is_some() {
    let mut bank = Bank::new();
    let (first, batch) = good_batch(&bank, 1);
    let block = block_with(&bank, first, &batch);
    bank.chain.set_room(Room::Low);
    assert!(bank.batch(2, &batch).acknowledged(first), "others' batches are acknowledged");
    bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
    bank.finalize(&block);
    assert_eq!(bank.chain.status().executed_height, Height(1), "it follows");

    bank.chain.set_room(Room::None);
    let (second, batch) = good_batch(&bank, 2);
    let mut child = bank.block(&bank.facts(&block), &[(second, batch.weight())]);
    child.header.timestamp.0 += 1;
    let before = bank.store.statistics().write_sets;
    let (ticket, _) = bank.may_vote_for(&child);
    let (available, _) = bank
        .ask(Question::Available { view: child.header.view, digest: child.header.digest(bank.genesis()) });
    assert!(!bank.batch(2, &batch).acknowledged(second));
    bank.finalize(&child);
    let seen = bank.pass(5_000);
    assert!(seen.wake_ms.is_none_or(|wake| wake > bank.now.elapsed_ms + 10), "it does not spin: {seen:?}");
    assert_eq!((seen.answer(ticket), seen.answer(available)), (None, None));
    assert_eq!(bank.store.statistics().write_sets, before, "nothing is written");
    assert_eq!(bank.chain.status().executed_height, Height(1));

    bank.chain.set_room(Room::Low);
    bank.frame(FAULTY, &Frame::Block(Box::new(child.clone())));
    bank.batch(2, &batch);
    assert_eq!(bank.chain.status().executed_height, Height(2), "it goes on");
}

#[test]
fn what_is_under_way_is_not_written_once_there_is_no_room() {
    let mut bank = Bank::new();
    let (digest, batch) = good_batch(&bank, 1);
    // The disk fills while signatures are checked.
    let bytes = Frame::Batch(Bytes::from(batch.encode())).encode();
    let effects = bank.chain.step(bank.now, Input::Frame { from: NodeIndex(2), bytes });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::VerifySignatures { .. })), "{effects:?}");
    let written = |bank: &Bank| bank.store.statistics().write_sets;
    bank.chain.set_room(Room::None);
    let before = written(&bank);
    let seen = bank.give(Input::SignaturesChecked { digest, first_bad: None });
    assert!(!seen.acknowledged(digest), "acknowledged is kept");
    assert_eq!((written(&bank), bank.chain.status().batches), (before, 0));
    let votes = Input::Misbehaved { epoch: Epoch(0), validator: bank.seat(2), evidence: bytes_of(9) };
    let seen = bank.give(votes);
    assert!(matches!(seen.reports[..], [Report::EvidenceDropped { .. }]), "{seen:?}");
    assert_eq!(written(&bank), before);

    bank.chain.set_room(Room::Low);
    assert!(bank.batch(2, &batch).acknowledged(digest), "it comes again");
    assert_eq!(bank.rows(Table::Batches).len(), 1);
    // What runs out of time is deleted, which is a write too.
    bank.chain.set_room(Room::None);
    let before = written(&bank);
    bank.pass(30_000 + BATCH_GRACE_MS + 1_000);
    assert_eq!((written(&bank), bank.rows(Table::Batches).len()), (before, 1));
    bank.chain.set_room(Room::Low);
    bank.pass(REPEAT_MS);
    assert_eq!((bank.chain.status().batches, bank.rows(Table::Batches).len()), (0, 0));
}

fn bytes_of(number: u8) -> Bytes {
    Bytes::from(vec![number; 100])
}

#[test]
fn a_page_of_final_blocks_without_proof_costs_trust_and_changes_nothing() {
    let honest_first = |bank: &Bank| bank.block(&bank.genesis_facts, &[]);
    let cases: [(&str, fn(&mut Block)); 3] = [
        ("a certificate that is none", |_| {}),
        ("no link to the own tip", |block| block.header.parent.0[0] ^= 1),
        ("a body that is not the header's", |block| block.body.batches.push(BatchDigest([3; 32]))),
    ];
    for (case, spoil) in cases {
        let mut bank = Bank::new();
        let mut block = honest_first(&bank);
        spoil(&mut block);
        let page = FinalBlocks { blocks: vec![block], certificate: vec![7; 100] };
        let seen = bank.frame(FAULTY, &Frame::FinalBlocks(page));
        assert!(seen.distrusts(FAULTY), "{case}: {seen:?}");
        assert_eq!(bank.chain.status().final_height, Height(0), "{case}");
        // For a minute it is asked for nothing: every request goes to the other two.
        let unknown = bank.block(&bank.genesis_facts, &[(BatchDigest([4; 32]), 100)]);
        bank.may_vote_for(&unknown);
        let mut asked = Vec::new();
        for _ in 0..12 {
            asked.extend(bank.pass(300).sent.into_iter().filter_map(|(to, frame)| match frame {
                Frame::RequestBatches(_) | Frame::RequestBlock(_) | Frame::RequestBlocks(_) => {
                    Some(usize::from(to.0))
                }
                _ => None,
            }));
        }
        assert!(!asked.is_empty() && !asked.contains(&FAULTY), "{case}: {asked:?}");
    }
}

#[test]
fn a_frame_that_is_not_canonical_costs_trust() {
    let mut bank = Bank::new();
    let mut trailing = Frame::RequestBlocks(Height(1)).encode().to_vec();
    trailing.push(0);
    for bytes in [Vec::new(), vec![200], trailing] {
        let seen = bank.bytes(FAULTY, bytes.clone().into());
        assert!(seen.distrusts(FAULTY), "{bytes:?}");
    }
    let block = bank.block(&bank.genesis_facts, &[]);
    let mut spoiled = block.clone();
    spoiled.body.batches.push(BatchDigest([1; 32]));
    assert!(Block::decode(&spoiled.encode()).is_ok());
    assert!(bank.frame(FAULTY, &Frame::Block(Box::new(spoiled))).distrusts(FAULTY));
    assert_eq!(bank.verdict(&block), Some(true), "a good block of the same bank is still judged for itself");
}
