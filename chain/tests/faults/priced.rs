//! What a faulty bank can do to the price of a block: another base fee, a batch that is too heavy, a batch that nobody pays for.

use std::collections::BTreeMap;

use chain::config::{BATCH_GRACE_MS, BATCH_TTL_MS, FIRST_CLAIM_MARGIN_MS, FIRST_CLAIM_STEPS_MAX};
use chain::frame::Digests;
use chain::{Answer, Archive, Frame, Question};
use ledger::records::batch::{BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, BATCH_WEIGHT_MAX};
use ledger::records::{Batch, Block, ChainParams, FeeParams, Operation, Payment, Transaction};
use ledger::rules::{ParentFacts, next_base_fee, transaction_weight};
use ledger::values::{Amount, BatchDigest, Canonical as _, ChainId, FeeRate, OperatorId};
use mempool::Pooled;
use storage::Table;

use crate::relayed::{own_turn, run};
use crate::rig::{Bank, FAULTY};

/// A fen for each unit of weight at the first step, and nothing that an operator may leave unpaid.
fn dear() -> FeeParams {
    FeeParams {
        weight_target: 10_000,
        step_min: FeeRate::from_micro_fen(1_000_000),
        quota: Amount::from_fen(1),
        ..ChainParams::default().fees
    }
}

/// More than a block may weigh before the next one has a base fee.
fn busy(bank: &Bank) -> Vec<Transaction> {
    let busy: Vec<Transaction> = (1..=40).map(|sequence| bank.issue(sequence, 5)).collect();
    let weight: u64 = busy.iter().map(transaction_weight).sum();
    assert!(weight > bank.rules.params.fees.weight_target, "{weight}");
    busy
}

/// A bank whose next block costs something, on its tip.
fn risen() -> (Bank, ParentFacts, u64) {
    let mut bank = Bank::priced(dear());
    let (mut tip, mut sequence) = (bank.genesis_facts, 0);
    let transactions = busy(&bank);
    run(&mut bank, &mut tip, &mut sequence, transactions);
    (bank, tip, sequence)
}

/// What the honest bank proposes on its tip, when it is its turn.
fn proposed(bank: &mut Bank, tip: &ParentFacts) -> Block {
    bank.pass(1_000);
    let turn = own_turn(bank, tip);
    let (ticket, mut seen) = bank.ask(Question::Propose { turn });
    if seen.answer(ticket).is_none() {
        seen = bank.pass(500);
    }
    let Some(Answer::Proposal(digest)) = seen.answer(ticket) else { panic!("no proposal: {seen:?}") };
    Archive::new(bank.store.as_ref()).block(digest).unwrap().expect("a proposal is durable")
}

/// A block on the tip that claims the newest result.
fn block(bank: &Bank, tip: &ParentFacts, batches: &[(BatchDigest, &Batch)]) -> Block {
    let batches: Vec<(BatchDigest, u64)> =
        batches.iter().map(|(digest, batch)| (*digest, batch.weight())).collect();
    let mut block = bank.block(tip, &batches);
    let head = bank.executor.state().head();
    block.header.claim = ledger::records::Claim { height: head.height, result: head.result };
    block
}

fn acknowledge(bank: &mut Bank, digest: BatchDigest) {
    for from in [2, 3] {
        bank.frame(from, &Frame::Acknowledge(Digests { batches: vec![digest] }));
    }
}

#[test]
fn another_base_fee_than_the_one_that_follows_gets_no_vote() {
    let mut bank = Bank::new();
    let mut early = bank.block(&bank.genesis_facts, &[]);
    early.header.base_fee = FeeRate::from_micro_fen(1);
    assert_eq!(bank.verdict(&early), Some(false), "nothing has raised it");

    let (mut bank, tip, _) = risen();
    let right = next_base_fee(&dear(), tip.base_fee, tip.weight);
    assert!(right >= dear().step_min);
    for (case, base_fee, expected) in [
        ("none at all", FeeRate::ZERO, Some(false)),
        ("less", FeeRate::from_micro_fen(right.micro_fen() - 1), Some(false)),
        ("more", FeeRate::from_micro_fen(right.micro_fen() + 1), Some(false)),
        ("the one that follows", right, Some(true)),
    ] {
        let mut block = block(&bank, &tip, &[]);
        assert_eq!(block.header.base_fee, right);
        block.header.base_fee = base_fee;
        assert_eq!(bank.verdict(&block), expected, "{case}");
    }
    let own = proposed(&mut bank, &tip);
    assert_eq!(own.header.base_fee, right, "the honest leader asks for it");
}

#[test]
fn a_batch_that_is_too_heavy_is_refused() {
    let mut bank = Bank::new();
    let payment = Payment { payee: bank.operator(2).0, amount: Amount::from_fen(1) };
    let heavy = bank.sign(1, bank.unsigned(1, 1, Operation::Pay { payments: vec![payment; 4] }));
    let fit = usize::try_from(BATCH_WEIGHT_MAX / transaction_weight(&heavy)).unwrap();
    assert!(fit < BATCH_TRANSACTIONS_MAX, "the weight is the bound that is met first");
    let (digest, batch) = bank.sealed(FAULTY, 1, vec![heavy; fit + 1]);
    assert!(batch.weight() > BATCH_WEIGHT_MAX && batch.encode().len() <= BATCH_BYTES_MAX);
    let seen = bank.batch(FAULTY, &batch);
    assert_eq!(seen.evidence(), [(bank.seat(FAULTY), "invalid_batch")]);
    assert!(!seen.acknowledged(digest));
    assert_eq!((bank.chain.status().batches, bank.rows(Table::Batches).len()), (0, 0));
    let naming = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
    assert_eq!(bank.verdict(&naming), Some(false));
}

/// The faulty bank's batch is full of what was executed before. Nobody pays for that, so its operator does; it cannot, and is shut out
/// from the next block on.
#[test]
fn a_batch_of_a_sealer_whose_operator_owes_is_neither_ordered_nor_voted_for() {
    let (mut bank, mut tip, mut sequence) = risen();
    let again = busy(&bank);
    run(&mut bank, &mut tip, &mut sequence, again);
    let barred = bank.executor.state().rules().registry.chain(ChainId(0)).unwrap().barred.clone();
    // The central bank is operator 0.
    assert_eq!(barred, [OperatorId(FAULTY as u16 + 1)]);

    let (of_debtor, debtors) = bank.sealed(FAULTY, 100, vec![bank.issue(100, 5)]);
    let (of_other, others) = bank.sealed(2, 1, vec![bank.issue(101, 5)]);
    bank.batch(FAULTY, &debtors);
    assert!(bank.batch(2, &others).acknowledged(of_other));
    acknowledge(&mut bank, of_debtor);
    acknowledge(&mut bank, of_other);
    // So the leader may claim the height that has barred it.
    let head = bank.executor.state().head();
    let newest = ledger::records::Claim { height: head.height, result: head.result };
    for from in [2, 3] {
        bank.frame(from, &Frame::Announce(newest));
    }
    assert_eq!(proposed(&mut bank, &tip).body.batches, [of_other], "a leader leaves it out");

    let wrong = block(&bank, &tip, &[(of_debtor, &debtors)]);
    let (ticket, seen) = bank.may_vote_for(&wrong);
    let answer = seen.answer(ticket).or_else(|| bank.batch(FAULTY, &debtors).answer(ticket));
    assert_eq!(answer, Some(Answer::Verdict(false)));
    let mut right = block(&bank, &tip, &[(of_other, &others)]);
    right.header.view.0 += 1;
    assert_eq!(bank.verdict(&right), Some(true));
}

/// A payment of the honest bank's operator that can pay whatever weight costs.
fn payment(bank: &Bank, sequence: u64, fen: u64) -> Transaction {
    let payments = vec![Payment { payee: bank.operator(2).0, amount: Amount::from_fen(fen) }];
    let mut content = bank.unsigned(1, sequence, Operation::Pay { payments });
    content.fee.fee_max = Amount::from_fen(1_000_000);
    bank.sign(1, content)
}

/// What the honest bank seals within so many milliseconds. (It sends again what nobody acknowledges.)
fn sealed_within(bank: &mut Bank, ms: u64) -> Vec<Transaction> {
    let mut batches = BTreeMap::new();
    for _pass in 0..ms.div_ceil(100) {
        for (_, frame) in bank.pass(100).sent {
            if let Frame::Batch(bytes) = frame {
                let content = Batch::decode(&bytes).unwrap().content;
                batches.insert(content.sequence, content.transactions);
            }
        }
    }
    batches.into_values().flatten().collect()
}

/// A client that sends to every bank, and one whose other version went to another: of two copies one would be charged to its sealer.
#[test]
fn what_another_bank_has_sealed_is_not_sealed_again_while_weight_has_a_price() {
    let (mut bank, mut tip, mut sequence) = risen();
    let [everywhere, version, alone] =
        [(1, 5), (2, 5), (3, 5)].map(|(nonce, fen)| payment(&bank, nonce, fen));
    let (digest, batch) = bank.sealed(FAULTY, 100, vec![everywhere.clone(), payment(&bank, 2, 6)]);
    assert!(bank.batch(FAULTY, &batch).acknowledged(digest));
    let pooled = [&everywhere, &version, &alone].map(|one| bank.pooled(one.clone())).to_vec();
    assert_eq!(bank.chain.submit(bank.now, pooled), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(sealed_within(&mut bank, 1_000), [alone]);

    // A block orders another version of the first: nobody's bank is asked to seal what never can be executed.
    let other = payment(&bank, 1, 7);
    run(&mut bank, &mut tip, &mut sequence, vec![other]);
    assert!(!bank.chain.pool().contains(&everywhere.id(bank.genesis())), "its nonce is used");
    assert!(bank.chain.pool().contains(&version.id(bank.genesis())));
    // The batch that holds the other runs out, and so does the one that was sealed here and nobody has acknowledged.
    assert!(!sealed_within(&mut bank, BATCH_TTL_MS / 2).contains(&version));
    let sealed = sealed_within(&mut bank, BATCH_TTL_MS / 2 + BATCH_GRACE_MS + 2_000);
    assert!(sealed.contains(&version) && !sealed.contains(&everywhere), "{sealed:?}");
}

/// Where a duplicate costs nobody anything, a client that sends to every bank is as fast as the fastest of them.
#[test]
fn what_another_bank_has_sealed_is_sealed_again_while_weight_is_free() {
    let mut bank = Bank::new();
    let everywhere = payment(&bank, 1, 5);
    let (digest, batch) = bank.sealed(FAULTY, 100, vec![everywhere.clone()]);
    assert!(bank.batch(FAULTY, &batch).acknowledged(digest));
    let pooled = vec![bank.pooled(everywhere.clone())];
    assert_eq!(bank.chain.submit(bank.now, pooled), [Ok(())]);
    assert_eq!(sealed_within(&mut bank, 300), [everywhere]);
}

/// A customer of another bank posts to two banks within the time that a batch takes between them: this one lets the customer's own bank go
/// first, so its quota pays for no copy. Where that bank does not seal, this one does.
#[test]
fn what_a_customer_of_another_bank_posts_to_both_is_sealed_by_its_own() {
    let (mut bank, ..) = risen();
    let [both, here_alone, own] = [(1, 5), (2, 5), (3, 5)].map(|(nonce, fen)| payment(&bank, nonce, fen));
    let of_other =
        |one: &Transaction| Pooled { operator: OperatorId(FAULTY as u16 + 1), ..bank.pooled(one.clone()) };
    let pooled = vec![of_other(&both), of_other(&here_alone), bank.pooled(own.clone())];
    assert_eq!(bank.chain.submit(bank.now, pooled), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(sealed_within(&mut bank, 100), [own]);
    // The other's batch was on its way.
    let (digest, batch) = bank.sealed(FAULTY, 100, vec![both.clone()]);
    assert!(bank.batch(FAULTY, &batch).acknowledged(digest));
    let last_wait_ms = FIRST_CLAIM_STEPS_MAX * (bank.chain.config().batch_pace_ms() + FIRST_CLAIM_MARGIN_MS);
    let sealed = sealed_within(&mut bank, last_wait_ms + 200);
    assert!(sealed.contains(&here_alone) && !sealed.contains(&both), "{sealed:?}");
}

/// While weight is free nobody waits for anybody.
#[test]
fn a_customer_of_another_bank_is_served_at_once_while_weight_is_free() {
    let mut bank = Bank::new();
    let payment = payment(&bank, 1, 5);
    let of_other = Pooled { operator: OperatorId(FAULTY as u16 + 1), ..bank.pooled(payment.clone()) };
    assert_eq!(bank.chain.submit(bank.now, vec![of_other]), [Ok(())]);
    assert_eq!(sealed_within(&mut bank, 100), [payment]);
}

/// Each bank lets those before it go first: of four banks no two seal what was posted to both at the same moment.
#[test]
fn banks_let_one_another_go_first_step_by_step() {
    let (mut bank, ..) = risen();
    let others = [2, 3, 4].map(OperatorId);
    let payments = [(1, 5), (2, 5), (3, 5)].map(|(nonce, fen)| payment(&bank, nonce, fen));
    let posted = others.iter().zip(&payments);
    let pooled = posted.map(|(operator, one)| Pooled { operator: *operator, ..bank.pooled(one.clone()) });
    let pooled: Vec<Pooled> = pooled.collect();
    assert_eq!(bank.chain.submit(bank.now, pooled), [Ok(()), Ok(()), Ok(())]);
    let step_ms = bank.chain.config().batch_pace_ms() + FIRST_CLAIM_MARGIN_MS;
    let mut waited = BTreeMap::new();
    for passed_ms in (100..=2 * FIRST_CLAIM_STEPS_MAX * step_ms).step_by(100) {
        for sealed in sealed_within(&mut bank, 100) {
            let place = payments.iter().position(|one| *one == sealed).unwrap();
            waited.entry(place).or_insert(passed_ms);
        }
    }
    let mut waited: Vec<u64> = waited.into_values().collect();
    waited.sort_unstable();
    assert_eq!(waited, [1, 2, 3].map(|steps| steps * step_ms));
}
