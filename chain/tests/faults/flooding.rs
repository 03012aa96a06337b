//! A faulty bank sends as much as it can: what an honest one holds stays within its bounds, and it goes on voting.

use std::collections::BTreeSet;

use bytes::Bytes;
use chain::config::{
    BATCH_AGE_MS, DISTRUST_MS, EVIDENCE_PER_KIND_MAX, FETCH_GRACE_MS, FETCH_RETRY_MS, FETCHES_MAX,
    IDLE_HOLD_MS, OPEN_BLOCKS_MAX, QUESTIONS_MAX, WAITING_BATCHES_PER_SEALER_MAX,
};
use chain::frame::Digests;
use chain::{Answer, Frame, Input, Lane, Question, Report, Request, Turn};
use ledger::records::Claim;
use ledger::values::{
    BatchDigest, BlockDigest, Canonical as _, ChainId, Epoch, Height, NodeIndex, ResultHash, View,
};
use storage::Table;

use crate::rig::{Bank, FAULTY, HONEST};

#[test]
fn a_sealer_gets_its_share_and_no_more() {
    let mut bank = Bank::new();
    let transaction = bank.issue(1, 5);
    let mut acknowledged = 0;
    for sequence in 0..WAITING_BATCHES_PER_SEALER_MAX as u64 + 40 {
        let (digest, batch) = bank.sealed(FAULTY, sequence, vec![transaction.clone()]);
        acknowledged += usize::from(bank.batch(FAULTY, &batch).acknowledged(digest));
    }
    assert_eq!(acknowledged, WAITING_BATCHES_PER_SEALER_MAX);
    assert_eq!(bank.chain.status().batches, WAITING_BATCHES_PER_SEALER_MAX);
    assert_eq!(bank.rows(Table::Batches).len(), WAITING_BATCHES_PER_SEALER_MAX);
    // Another sealer is not shut out, and neither is the own pool.
    let (digest, batch) = bank.sealed(2, 1, vec![transaction]);
    assert!(bank.batch(2, &batch).acknowledged(digest));
    let own = bank.pay(1, 5);
    let pooled = bank.pooled(own);
    assert_eq!(bank.chain.submit(bank.now, vec![pooled]), [Ok(())]);
    let seen = bank.pass(BATCH_AGE_MS);
    assert!(seen.sent.iter().any(|(_, frame)| matches!(frame, Frame::Batch(_))), "{seen:?}");
    assert_eq!(seen.reports, [Report::Sealed { transactions: 1 }]);
}

/// Numbers that look random and are the same every time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn hash(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.roll().to_le_bytes()));
        bytes
    }

    /// A frame of any kind: well-formed and meaningless, or not even well-formed.
    fn frame(&mut self, bank: &Bank) -> Bytes {
        match self.roll() % 8 {
            0 => Frame::Acknowledge(Digests { batches: (0..40).map(|_| BatchDigest(self.hash())).collect() })
                .encode(),
            1 => {
                let claim = Claim { height: Height(self.roll()), result: ResultHash(self.hash()) };
                Frame::Announce(claim).encode()
            }
            2 => Frame::RequestBatches(Digests { batches: vec![BatchDigest(self.hash())] }).encode(),
            3 => Frame::RequestBlock(BlockDigest(self.hash())).encode(),
            4 => Frame::RequestBlocks(Height(self.roll())).encode(),
            5 => {
                let mut parent = bank.genesis_facts;
                parent.digest = BlockDigest(self.hash());
                parent.height = Height(self.roll() % 1_000);
                Frame::Block(Box::new(bank.block(&parent, &[(BatchDigest(self.hash()), 1_000)]))).encode()
            }
            6 => {
                let mut bytes = vec![6];
                bytes.extend((0..20).flat_map(|_| self.hash()));
                bytes.into()
            }
            _ => (0..4).flat_map(|_| self.hash()).collect::<Vec<u8>>().into(),
        }
    }
}

#[test]
fn ten_thousand_random_frames_stay_within_bounds() {
    let mut bank = Bank::new();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..10_000_u32 {
        let bytes = dice.frame(&bank);
        let seen = bank.bytes(FAULTY, bytes);
        assert!(seen.sent.len() <= 64, "one frame is answered by {} frames", seen.sent.len());
        if round % 16 == 0 {
            bank.now.wall.0 += 1;
            bank.now.elapsed_ms += 1;
        }
    }
    let status = bank.chain.status();
    println!("{status:?}");
    assert_eq!((status.batches, status.final_waiting, status.halted), (0, 0, false));
    assert!(status.fetches <= FETCHES_MAX && status.open_questions <= QUESTIONS_MAX);
    let kept = bank.rows(Table::Evidence).len();
    assert!(kept <= 2 * EVIDENCE_PER_KIND_MAX, "two kinds came: {kept}");
    // It still takes part.
    let (digest, batch) = bank.sealed(2, 1, vec![bank.issue(1, 5)]);
    assert!(bank.batch(2, &batch).acknowledged(digest));
    let block = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
    assert_eq!(bank.verdict(&block), Some(true));
    bank.finalize(&block);
    assert_eq!(bank.chain.status().executed_height, Height(1));
}

#[test]
fn whoever_floods_with_rubbish_pushes_out_no_evidence_and_soon_writes_nothing() {
    let mut bank = Bank::new();
    let seat = bank.seat(2);
    let votes = |number: u8| Input::Misbehaved {
        epoch: Epoch(0),
        validator: seat,
        evidence: Bytes::from(vec![number; 100]),
    };
    assert_eq!(bank.give(votes(1)).evidence(), [(seat, "contradicting_votes")]);
    let again = bank.give(votes(1));
    assert!(again.evidence().is_empty(), "the same is kept once");
    assert_eq!(again.dropped_evidence(), [(seat, "contradicting_votes")], "and counted");
    let first = bank.rows(Table::Evidence);
    let (mut dice, mut shares, mut dropped) = (Dice(3), 0, 0);
    for round in 0..3_u64 {
        for sequence in 0..1_000 {
            let mut rubbish = dice.hash().to_vec();
            rubbish.insert(0, 6);
            let (_, mut invalid) = bank.sealed(FAULTY, 1_000 * round + sequence, vec![bank.issue(1, 5)]);
            invalid.content.chain = ChainId(7);
            for seen in [bank.bytes(FAULTY, rubbish.into()), bank.batch(FAULTY, &invalid)] {
                shares += seen.evidence().len();
                dropped += seen.dropped_evidence().len();
            }
        }
        let kept = bank.rows(Table::Evidence);
        assert_eq!((shares, kept.len()), (2 * EVIDENCE_PER_KIND_MAX, 1 + shares), "round {round}");
        assert_eq!(kept[..1], first, "what came before stays");
        bank.restart();
    }
    assert_eq!(shares + dropped, 2 * 3 * 1_000, "whatever is not kept is told");
    assert!(bank.give(votes(1)).evidence().is_empty(), "known over a restart");
    assert_eq!(bank.give(votes(2)).evidence().len(), 1, "another proof has its place");
}

#[test]
fn who_sealed_a_wrong_signature_costs_nobody_another_check() {
    let mut bank = Bank::new();
    let mut forged = bank.issue(1, 5);
    forged.signatures[0].signature.0[40] ^= 1;
    let (_, bad) = bank.sealed(FAULTY, 1, vec![forged]);
    assert_eq!(bank.batch(FAULTY, &bad).evidence(), [(bank.seat(FAULTY), "sealed_bad_signature")]);
    let (digest, good) = bank.sealed(FAULTY, 2, vec![bank.issue(1, 5)]);
    for from in [FAULTY, 2] {
        assert!(!bank.batch(from, &good).acknowledged(digest), "it is not looked at, whoever brings it");
    }
    let (other, batch) = bank.sealed(2, 1, vec![bank.issue(1, 5)]);
    assert!(bank.batch(2, &batch).acknowledged(other), "others are");
    let block = bank.block(&bank.genesis_facts, &[(digest, good.weight())]);
    bank.may_vote_for(&block);
    bank.pass(FETCH_GRACE_MS);
    assert!(bank.batch(2, &good).acknowledged(digest), "what a block names is");
    bank.pass(DISTRUST_MS);
    let (later, batch) = bank.sealed(FAULTY, 3, vec![bank.issue(1, 5)]);
    assert!(bank.batch(FAULTY, &batch).acknowledged(later), "and it is again after a while");
}

#[test]
fn a_peer_gets_one_answer_at_a_time_on_each_lane_from_memory_too() {
    let mut bank = Bank::new();
    let (digest, batch) = bank.sealed(2, 1, vec![bank.issue(1, 5)]);
    bank.batch(2, &batch);
    let block = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
    bank.verdict(&block);
    let (absent, of_block) = (BatchDigest([9; 32]), block.header.digest(bank.genesis()));
    let batches = Frame::RequestBatches(Digests { batches: vec![digest, absent] });
    let frames = [batches, Frame::RequestBlock(of_block), Frame::RequestBlocks(Height(1))];
    let peer = |bank: usize| NodeIndex(bank as u16);
    let held =
        [vec![Frame::Batch(Bytes::from(batch.encode()))], vec![Frame::Block(Box::new(block))], Vec::new()];
    let from_disk = [Some(Request::Batches(vec![absent])), None, Some(Request::Blocks(Height(1)))];
    let lanes = [Lane::Sync, Lane::Block, Lane::Sync];
    for (((frame, held), from_disk), lane) in frames.iter().zip(held).zip(from_disk).zip(lanes) {
        let seen = bank.frame(FAULTY, frame);
        assert_eq!(seen.served, [(peer(FAULTY), lane, held, from_disk)]);
        let same_lane = frames.iter().zip(lanes).filter(|(_, other)| *other == lane);
        for (other, _) in same_lane.cycle().take(100) {
            let seen = bank.frame(FAULTY, other);
            assert!(seen.served.is_empty() && seen.sent.is_empty(), "{seen:?}");
        }
        assert_eq!(bank.frame(2, frame).served.len(), 1, "others are not kept waiting");
        for done in [FAULTY, 2] {
            bank.give(Input::Served { to: peer(done), lane });
        }
    }
}

#[test]
fn a_block_that_a_vote_may_wait_for_is_not_behind_bulk() {
    let mut bank = Bank::new();
    let block = bank.block(&bank.genesis_facts, &[]);
    bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
    let bulk = bank.frame(2, &Frame::RequestBlocks(Height(1)));
    assert_eq!(bulk.served.len(), 1, "an answer to catching up is under way");
    let seen = bank.frame(2, &Frame::RequestBlock(block.header.digest(bank.genesis())));
    let [(to, lane, held, None)] = &seen.served[..] else { panic!("{seen:?}") };
    assert_eq!((*to, *lane, held.len()), (NodeIndex(2), Lane::Block, 1));
    assert!(held[0].encode().len() <= lane.frame_bytes_max());
    let absent = bank.frame(3, &Frame::RequestBlock(BlockDigest([9; 32])));
    assert_eq!(absent.served[0].1, Lane::Block, "from disk too");
}

#[test]
fn what_is_missing_is_not_always_asked_of_the_same_peer_first() {
    let mut bank = Bank::new();
    let mut asked = BTreeSet::new();
    let missing = |bank: &mut Bank, number: u8| {
        let mut block = bank.block(&bank.genesis_facts, &[(BatchDigest([number; 32]), 100)]);
        block.header.view = View(u64::from(number));
        bank.may_vote_for(&block);
        bank.pass(FETCH_GRACE_MS).asked_for(BatchDigest([number; 32]))
    };
    for number in 1..=3 {
        let to = missing(&mut bank, number);
        assert_eq!(to.len(), 1, "{number}");
        asked.extend(to);
    }
    assert_eq!(asked.len(), 3, "each of the other three");
    assert_eq!(missing(&mut bank, 4), [], "all of them owe an answer, and give one at a time");
    let seen = bank.pass(FETCH_RETRY_MS);
    for number in 1..=4 {
        assert_eq!(
            seen.asked_for(BatchDigest([number; 32])).len(),
            1,
            "nobody is waited for longer: {seen:?}"
        );
    }
}

#[test]
fn forged_blocks_do_not_push_out_the_one_that_waits_for_its_batch() {
    let mut bank = Bank::new();
    let (digest, batch) = bank.sealed(2, 1, vec![bank.issue(1, 5)]);
    let mut block = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
    block.header.proposer = bank.seat(2);
    let (ticket, _) = bank.may_vote_for(&block);
    let mut dice = Dice(7);
    for _ in 0..2 * OPEN_BLOCKS_MAX {
        let mut parent = bank.genesis_facts;
        parent.digest = BlockDigest(dice.hash());
        parent.height = Height(dice.roll() % 1_000);
        let forged = bank.block(&parent, &[]);
        bank.frame(FAULTY, &Frame::Block(Box::new(forged)));
    }
    let seen = bank.batch(2, &batch);
    assert_eq!(seen.answer(ticket), Some(chain::Answer::Verdict(true)), "{seen:?}");
}

#[test]
fn a_forged_block_does_not_keep_an_idle_network_busy() {
    let mut bank = Bank::new();
    let mut parent = bank.genesis_facts;
    parent.height = Height(u64::MAX - 1);
    let forged = bank.block(&parent, &[(BatchDigest([1; 32]), 100)]);
    bank.frame(FAULTY, &Frame::Block(Box::new(forged)));
    let turn = Turn { view: View(1), leader: bank.seat(HONEST), parent: bank.genesis_facts.digest };
    bank.now.elapsed_ms += IDLE_HOLD_MS;
    let (first, seen) = bank.ask(Question::Propose { turn });
    assert!(seen.answer(first).is_some());
    let (second, _) = bank.ask(Question::Propose { turn: Turn { view: View(2), ..turn } });
    assert_eq!(bank.pass(IDLE_HOLD_MS - 1).answer(second), None, "an idle leader holds its proposal");
    assert!(bank.pass(1).answer(second).is_some());
}

#[test]
fn one_liar_does_not_make_a_bank_think_that_it_is_behind() {
    let mut bank = Bank::new();
    let lie = Frame::Announce(Claim { height: Height(1_000_000), result: ResultHash([1; 32]) });
    bank.frame(FAULTY, &lie);
    assert_eq!(bank.chain.status().highest_announced, None, "one of four may lie");
    assert!(bank.pass(1_000).sent.iter().all(|(_, frame)| !matches!(frame, Frame::RequestBlocks(_))));
    bank.frame(2, &Frame::Announce(Claim { height: Height(40), result: ResultHash([1; 32]) }));
    assert_eq!(bank.chain.status().highest_announced, Some(Height(40)), "one of two is honest");
    assert!(bank.pass(1_000).sent.iter().any(|(_, frame)| matches!(frame, Frame::RequestBlocks(_))));
}

#[test]
fn a_bank_that_is_behind_gives_its_turn_away_at_once() {
    let mut bank = Bank::new();
    let ahead = Frame::Announce(Claim { height: Height(40), result: ResultHash([1; 32]) });
    let turn = Turn { view: View(41), leader: bank.seat(HONEST), parent: BlockDigest([9; 32]) };
    bank.frame(FAULTY, &ahead);
    let (waits, seen) = bank.ask(Question::Propose { turn });
    assert_eq!(seen.answer(waits), None, "one of four may lie: the parent may be on its way");
    assert_eq!(bank.frame(2, &ahead).answer(waits), Some(Answer::Decline));
    let (next, seen) = bank.ask(Question::Propose { turn: Turn { view: View(45), ..turn } });
    assert_eq!(seen.answer(next), Some(Answer::Decline));
    let turn = Turn { view: View(49), parent: bank.genesis_facts.digest, ..turn };
    let (known, seen) = bank.ask(Question::Propose { turn });
    assert!(matches!(seen.answer(known), Some(Answer::Proposal(_))), "it can build on that: {seen:?}");
}
