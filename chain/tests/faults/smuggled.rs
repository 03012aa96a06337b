//! A faulty bank seals what its own door would refuse.

use bytes::Bytes;
use chain::{Archive, Frame};
use ledger::records::outcome::APPLIED;
use ledger::records::{Batch, Policy, Rejection, Sponsor, Transaction};
use ledger::values::{Amount, Canonical as _, ChainId, Height, SecretKey, Signature, ValidatorIndex};
use storage::Table;

use crate::rig::{Bank, FAULTY};

/// A batch that no honest bank may take, in bytes.
struct Smuggled {
    case: &'static str,
    bytes: Vec<u8>,
    kind: &'static str,
}

fn smuggled(bank: &Bank) -> Vec<Smuggled> {
    let case = |case, kind, bytes| Smuggled { case, bytes, kind };
    let sealed =
        |sequence, transaction| bank.sealed(FAULTY, sequence, vec![bank.issue(1, 5), transaction]).1.encode();
    let good = sealed(1, bank.pay(1, 5));
    let mut trailing = good.clone();
    trailing.push(0);

    let stranger = SecretKey::from_seed([99; 32]);
    let mut forged = bank.pay(1, 5);
    forged.signatures = vec![forged.content.sign(bank.genesis(), 0, &stranger)];
    let mut unsigned = bank.pay(1, 5);
    unsigned.signatures[0].signature = Signature([0; 64]);
    let with = |change: &dyn Fn(&mut ledger::records::TransactionContent)| {
        let mut content = bank.pay(1, 5).content;
        change(&mut content);
        bank.sign(1, content)
    };
    let network = with(&|content| content.network[0] ^= 1);
    let chain = with(&|content| content.chain = ChainId(1));
    let tip =
        with(&|content| (content.fee.fee_max, content.fee.tip) = (Amount::from_fen(1), Amount::from_fen(2)));
    let (sponsor, _) = bank.operator(2);
    let sponsored = |key: &SecretKey| {
        let mut content = bank.pay(1, 5).content;
        let policy = Policy::single(bank.operator(2).1.public_key());
        content.fee.sponsor = Some(Sponsor { wallet: sponsor, policy });
        let signature = content.sign_as_sponsor(bank.genesis(), 0, key);
        Transaction { sponsor_signatures: vec![signature], ..bank.sign(1, content) }
    };
    let unsponsored = Transaction { sponsor_signatures: Vec::new(), ..sponsored(&stranger) };
    let itself = with(&|content| {
        content.fee.sponsor = Some(Sponsor { wallet: content.wallet, policy: content.policy.clone() });
    });
    let sequence = with(&|content| content.nonce.sequence = 0);

    let mut other_chain = bank.content(FAULTY, 8, vec![bank.pay(1, 5)]);
    other_chain.chain = ChainId(1);
    let mut no_sealer = bank.content(FAULTY, 9, vec![bank.pay(1, 5)]);
    no_sealer.sealer = ValidatorIndex(9);
    let (_, mut seal) = bank.sealed(FAULTY, 10, vec![bank.pay(1, 5)]);
    seal.signature = Signature([1; 64]);
    let empty = bank.sealed(FAULTY, 11, Vec::new()).1.encode();

    vec![
        case("garbage", "malformed_batch", vec![9; 300]),
        case("cut short", "malformed_batch", good[..good.len() - 1].to_vec()),
        case("a trailing byte", "malformed_batch", trailing),
        case("no transactions", "malformed_batch", empty),
        case("a nonce out of range", "malformed_batch", sealed(2, sequence)),
        case("signed by another key", "sealed_bad_signature", sealed(3, forged)),
        case("not signed at all", "sealed_bad_signature", sealed(4, unsigned)),
        case("for another network", "invalid_batch", sealed(5, network)),
        case("for another chain", "invalid_batch", sealed(6, chain)),
        case("a tip above the bid", "malformed_batch", sealed(7, tip)),
        case("a sponsor that did not sign", "malformed_batch", sealed(12, unsponsored)),
        case("a sponsor that is the payer", "malformed_batch", sealed(13, itself)),
        case("another's signature for a sponsor", "sealed_bad_signature", sealed(14, sponsored(&stranger))),
        case("a batch of another chain", "invalid_batch", bank.seal(FAULTY, other_chain).1.encode()),
        case("a sealer that does not exist", "invalid_batch", bank.seal(FAULTY, no_sealer).1.encode()),
        case("a forged seal", "invalid_batch", seal.encode()),
    ]
}

#[test]
fn a_stateless_fault_refuses_the_whole_batch_and_is_kept() {
    for smuggled in smuggled(&Bank::new()) {
        let Smuggled { case, bytes, kind } = smuggled;
        let mut bank = Bank::new();
        let faulty = bank.seat(FAULTY);
        let seen = bank.frame(FAULTY, &Frame::Batch(Bytes::from(bytes.clone())));
        assert_eq!(seen.evidence(), [(faulty, kind)], "{case}");
        assert!(
            !seen.sent.iter().any(|(_, frame)| matches!(frame, Frame::Acknowledge(_))),
            "{case}: acknowledged"
        );
        assert_eq!(bank.chain.status().batches, 0, "{case}: held");
        assert!(bank.rows(Table::Batches).is_empty(), "{case}: stored");

        // Epoch 0, validator, kind, bytes.
        let mut record = 0_u64.to_le_bytes().to_vec();
        record.extend(faulty.0.to_le_bytes());
        record.push(kind.len() as u8);
        record.extend_from_slice(kind.as_bytes());
        record.extend_from_slice(&bytes);
        let kept: Vec<_> = bank.rows(Table::Evidence).into_iter().map(|(_, value)| value).collect();
        assert_eq!(kept, [record], "{case}: evidence");

        // A block of the same bank that names it gets no vote: no at once where the digest can be known, else nothing.
        let Ok(batch) = Batch::decode(&bytes) else { continue };
        let digest = batch.content.digest(bank.genesis());
        let block = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
        let expected = if case == "a forged seal" { None } else { Some(false) };
        assert_eq!(bank.verdict(&block), expected, "{case}: voted");
        // Sent again it stays refused, and a second record does not grow memory.
        bank.frame(FAULTY, &Frame::Batch(Bytes::from(bytes)));
        assert_eq!(bank.pass(5_000).answer(0), None, "{case}: voted later");
        assert_eq!(bank.chain.status().batches, 0, "{case}: held later");
    }
}

#[test]
fn a_forged_seal_does_not_shut_out_the_honest_batch() {
    let mut bank = Bank::new();
    let (digest, honest) = bank.sealed(2, 1, vec![bank.issue(1, 5)]);
    let forged = Batch { content: honest.content.clone(), signature: Signature([1; 64]) };
    let seen = bank.batch(FAULTY, &forged);
    assert_eq!(seen.evidence(), [(bank.seat(FAULTY), "invalid_batch")]);
    let seen = bank.batch(2, &honest);
    assert!(seen.acknowledged(digest), "the seal is not in the digest, so a forger must not spoil it");
    let block = bank.block(&bank.genesis_facts, &[(digest, honest.weight())]);
    assert_eq!(bank.verdict(&block), Some(true));
}

#[test]
fn a_stateful_fault_is_ordered_and_has_no_effect_but_its_outcome() {
    let mut bank = Bank::new();
    let mut expired = bank.pay(3, 5).content;
    expired.valid_until.0 = bank.now.wall.0 - 1;
    let expired = bank.sign(1, expired);
    let (paid, replayed) = (bank.pay(1, 300), bank.pay(1, 299));
    let underfunded = bank.pay(2, 5_000);
    let transactions = vec![
        bank.issue(1, 1_000),
        paid.clone(),
        underfunded.clone(),
        replayed,
        expired,
        paid,
        bank.pay(500, 5),
    ];
    let (digest, batch) = bank.sealed(FAULTY, 1, transactions);
    let seen = bank.batch(FAULTY, &batch);
    assert!(seen.acknowledged(digest) && seen.evidence().is_empty(), "{seen:?}");

    let block = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
    assert_eq!(bank.verdict(&block), Some(true));
    bank.finalize(&block);
    let outcomes = Archive::new(bank.store.as_ref()).outcomes(Height(1)).unwrap().unwrap();
    let codes: Vec<(u32, u16)> = outcomes.iter().map(|outcome| (outcome.index, outcome.code)).collect();
    assert_eq!(codes, [(0, APPLIED), (1, APPLIED), (2, Rejection::InsufficientFunds.code())]);
    assert_eq!((bank.balance(1), bank.balance(2)), (700, 300));
    assert_eq!(bank.chain.status().batches, 0, "executed batches leave memory");

    // The rejected one has used its nonce: it cannot come back when there is money.
    let (again, batch) = bank.sealed(FAULTY, 2, vec![bank.issue(2, 10_000), underfunded]);
    bank.batch(FAULTY, &batch);
    let parent = bank.facts(&block);
    let second = bank.block(&parent, &[(again, batch.weight())]);
    bank.now.wall.0 += 1_000;
    assert_eq!(bank.verdict(&second), Some(true));
    bank.finalize(&second);
    let outcomes = Archive::new(bank.store.as_ref()).outcomes(Height(2)).unwrap().unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.index).collect::<Vec<_>>(), [0]);
    assert_eq!((bank.balance(1), bank.balance(2)), (10_700, 300));
}
