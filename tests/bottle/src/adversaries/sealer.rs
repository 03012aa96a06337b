//! A bank that seals with its true key what no honest one would: wrong signatures, transactions of another chain, the same one twice,
//! payments that it cannot afford, and batches of the largest weight, count and length that the rules allow, and above.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::Frame;
use ledger::records::batch::{BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, BATCH_WEIGHT_MAX};
use ledger::records::operation::PAYMENTS_MAX;
use ledger::records::policy::POLICY_KEYS_MAX;
use ledger::records::{Batch, Payment, Policy, Transaction};
use ledger::rules::transaction_weight;
use ledger::values::{Amount, Canonical as _, ChainId, Hasher, SecretKey, WalletId};

use super::{Arsenal, Conduct};
use crate::links::{Content, Parcel};

/// Every so many times ten milliseconds.
const EVERY: u64 = 15;
/// Batches of the largest weight that it seals at once: more than a block takes.
const HEAVY: usize = 5;
/// Transactions of others that it seals again.
const HEARD_MAX: usize = 256;
/// More than any bank holds.
const TOO_MUCH: u64 = 1 << 50;

/// The sealer.
pub(super) struct Sealer {
    arsenal: Arsenal,
    /// Of batches that others sealed.
    heard: VecDeque<Transaction>,
    ticks: u64,
    turn: u64,
}

impl Sealer {
    pub(super) const fn new(arsenal: Arsenal) -> Self {
        Self { arsenal, heard: VecDeque::new(), ticks: 0, turn: 0 }
    }

    fn payment(&mut self) -> Payment {
        Payment { payee: WalletId(self.arsenal.digest()), amount: Amount::from_fen(1) }
    }

    fn seal(&mut self, now_ms: u64, transactions: Vec<Transaction>) -> Batch {
        let content = self.arsenal.batch(now_ms, transactions);
        content.seal(self.arsenal.rules.genesis, &self.arsenal.key).1
    }

    fn wrongly_signed(&mut self, now_ms: u64) -> Transaction {
        let payment = self.payment();
        let mut transaction = self.arsenal.own_transaction(now_ms, vec![payment]);
        for signature in &mut transaction.signatures {
            signature.signature.0[40] ^= 1;
        }
        transaction
    }

    fn of_another_chain(&mut self, now_ms: u64) -> Transaction {
        let payment = self.payment();
        let mut transaction = self.arsenal.own_transaction(now_ms, vec![payment]);
        transaction.content.chain = ChainId(9);
        transaction
    }

    fn unaffordable(&mut self, now_ms: u64) -> Transaction {
        let payment = self.payment();
        self.arsenal.own_transaction(now_ms, vec![Payment { amount: Amount::from_fen(TOO_MUCH), ..payment }])
    }

    /// What others sealed already, each twice.
    fn doubled(&mut self, now_ms: u64) -> Vec<Transaction> {
        let own = self.unaffordable(now_ms);
        let all = self.heard.iter().cloned().chain([own]);
        all.flat_map(|transaction| [transaction.clone(), transaction]).collect()
    }

    /// A transaction under a policy of as many keys as there may be, of which so many sign, by a wallet that nobody opened.
    fn of_many_keys(
        &mut self,
        now_ms: u64,
        secrets: &[SecretKey],
        threshold: usize,
        payees: usize,
    ) -> Transaction {
        let keys = secrets.iter().map(SecretKey::public_key).collect();
        let policy = Policy { threshold: u8::try_from(threshold).unwrap_or(u8::MAX), keys };
        let payments = (0..payees).map(|_| self.payment()).collect();
        let wallet = WalletId(self.arsenal.digest());
        let content = self.arsenal.content(now_ms, wallet, policy, payments);
        let genesis = self.arsenal.rules.genesis;
        let signing = secrets.iter().take(threshold).zip(0..);
        let signatures = signing.map(|(secret, key)| content.sign(genesis, key, secret)).collect();
        Transaction { content, signatures, sponsor_signatures: Vec::new() }
    }

    fn secrets(&mut self) -> Vec<SecretKey> {
        let number = self.arsenal.dice.next();
        let secret = |place: usize| {
            let hash = Hasher::new("jiaozi/bottle-sealer").number(number).number(place as u64).finish();
            SecretKey::from_seed(hash.0)
        };
        let mut secrets: Vec<SecretKey> = (0..POLICY_KEYS_MAX).map(secret).collect();
        secrets.sort_by_key(SecretKey::public_key);
        secrets
    }

    /// A batch as long as the rules allow, to less than a transaction: many keys are long and light.
    fn longest(&mut self, now_ms: u64) -> Vec<u8> {
        let secrets = self.secrets();
        let first = self.of_many_keys(now_ms, &secrets, 1, 1);
        let (each, empty) = (first.encode().len(), self.seal(now_ms, Vec::new()).encode().len());
        let mut transactions = vec![first];
        while empty + (transactions.len() + 1) * each <= BATCH_BYTES_MAX {
            let next = self.of_many_keys(now_ms, &secrets, 1, 1);
            transactions.push(next);
        }
        self.seal(now_ms, transactions).encode()
    }

    /// A batch that is heavier than the rules allow: many keys that all sign, and many payees.
    fn too_heavy(&mut self, now_ms: u64) -> Vec<u8> {
        let secrets = self.secrets();
        let each = self.of_many_keys(now_ms, &secrets, POLICY_KEYS_MAX, PAYMENTS_MAX);
        let count = usize::try_from(BATCH_WEIGHT_MAX / transaction_weight(&each)).unwrap_or(0) + 1;
        self.seal(now_ms, vec![each; count]).encode()
    }

    /// As many payments as a batch may hold: the heaviest that customers make of themselves.
    fn heaviest(&mut self, now_ms: u64) -> Vec<Transaction> {
        let payment = self.payment();
        (0..BATCH_TRANSACTIONS_MAX).map(|_| self.arsenal.own_transaction(now_ms, vec![payment])).collect()
    }

    fn next(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        self.turn += 1;
        let transactions = match self.turn {
            3 => {
                let full: Vec<_> = (0..HEAVY).map(|_| self.heaviest(now_ms)).collect();
                return full.into_iter().map(|full| self.seal(now_ms, full).encode()).collect();
            }
            5 => return vec![self.longest(now_ms)],
            turn => match turn % 3 {
                1 => vec![self.unaffordable(now_ms)],
                _ => self.doubled(now_ms),
            },
        };
        vec![self.seal(now_ms, transactions).encode()]
    }

    /// What proves its guilt; only later, as nobody believes it then.
    fn provable(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        let wrongly_signed = self.wrongly_signed(now_ms);
        let of_another_chain = self.of_another_chain(now_ms);
        let wrongly_signed = self.seal(now_ms, vec![wrongly_signed]).encode();
        let of_another_chain = self.seal(now_ms, vec![of_another_chain]).encode();
        let empty = self.seal(now_ms, Vec::new()).encode();
        let mut too_long = self.longest(now_ms);
        too_long.resize(BATCH_BYTES_MAX + 1, 0);
        vec![too_long, self.too_heavy(now_ms), of_another_chain, empty, wrongly_signed]
    }
}

/// After so many turns it seals what proves its guilt.
const PROVABLE_FROM: u64 = 14;

impl Conduct for Sealer {
    fn hears(&mut self, parcel: &Parcel) {
        let Content::Chain(bytes) = &parcel.content else { return };
        let Ok(Frame::Batch(batch)) = Frame::decode(bytes) else { return };
        let Ok(batch) = Batch::decode(&batch) else { return };
        self.heard.extend(batch.content.transactions);
        let excess = self.heard.len().saturating_sub(HEARD_MAX);
        self.heard.drain(..excess);
    }

    fn acts(&mut self, now_ms: u64, out: &mut Vec<Parcel>) -> u64 {
        self.ticks += 1;
        if !self.ticks.is_multiple_of(EVERY) {
            return 0;
        }
        let batches = if self.turn == PROVABLE_FROM {
            self.turn += 1;
            self.provable(now_ms)
        } else {
            self.next(now_ms)
        };
        for batch in &batches {
            let frame = Frame::Batch(Bytes::from(batch.clone())).encode();
            out.extend(self.arsenal.to_all(&frame));
            // Its own node must hold them too, to order them as a leader.
            out.push(self.arsenal.frame(self.arsenal.node, frame));
        }
        batches.len() as u64
    }
}
