//! Batches on their way: received, checked, stored, acknowledged, ordered.
//!
//! Rules:
//! - A batch is acknowledged when its signatures are checked, once; an acknowledgement means *received and valid*.
//! - A leader orders only what a quorum acknowledged and what it holds itself.
//! - Fresh batches of one sealer are bounded in number and bytes; a batch that a block or a request asked for is let in
//!   beyond that, because the asking is bounded.
//! - Who sealed a wrong signature costs nobody another check for a while: nothing fresh of that sealer is looked at.
//! - A batch leaves memory when its block is executed or when it expired and nothing open names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ledger::records::{Batch, Nonce};
use ledger::rules::BatchFacts;
use ledger::values::{BatchDigest, Epoch, TimestampMs, ValidatorIndex, WalletId};

use crate::config::{
    BATCH_GRACE_MS, EARLY_ACKNOWLEDGEMENTS_PER_VALIDATOR_MAX, INVALID_BATCHES_MAX, OWN_WAITING_BATCHES_MAX,
    WAITING_BATCHES_PER_SEALER_MAX, WAITING_BYTES_PER_SEALER_MAX,
};

/// Validators as a bit set; 128 bits cover `VALIDATORS_MAX` = 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Voters(u128);

impl Voters {
    pub(crate) const fn insert(&mut self, validator: ValidatorIndex) {
        if validator.0 < 128 {
            self.0 |= 1 << validator.0;
        }
    }

    pub(crate) const fn contains(self, validator: ValidatorIndex) -> bool {
        validator.0 < 128 && self.0 & (1 << validator.0) != 0
    }

    pub(crate) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// A batch in memory.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) batch: Arc<Batch>,
    pub(crate) facts: BatchFacts,
    pub(crate) bytes: Bytes,
    pub(crate) valid: bool,
    pub(crate) acknowledged_by: Voters,
    pub(crate) arrival: u64,
    pub(crate) arrived_ms: u64,
    /// In a final block: no longer waits, kept until execution.
    pub(crate) is_final: bool,
    /// No final block named it when it came.
    pub(crate) was_fresh: bool,
}

impl Known {
    /// The nonces that it would consume.
    pub(crate) fn nonces(&self) -> impl Iterator<Item = (WalletId, Nonce)> {
        let contents = self.batch.content.transactions.iter().map(|transaction| &transaction.content);
        contents.map(|content| (content.wallet, content.nonce))
    }
}

/// Why a batch is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    /// A block names it, so its sealer's share does not count.
    pub(crate) wanted: bool,
    /// It can still be ordered, and no final block names it.
    pub(crate) is_fresh: bool,
}

/// Whether a batch was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// New; its signatures must be checked.
    New,
    /// Held already, known to be invalid, or above its sealer's share.
    No,
}

/// All batches that are not executed yet.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    known: BTreeMap<BatchDigest, Known>,
    order: BTreeMap<u64, BatchDigest>,
    /// Said of batches that are not here yet; each validator has a share of its own.
    early: BTreeMap<ValidatorIndex, BTreeSet<BatchDigest>>,
    invalid: BTreeSet<BatchDigest>,
    /// Who sealed a wrong signature, and until when nothing fresh of theirs is looked at.
    shunned: BTreeMap<ValidatorIndex, u64>,
    /// What waits of each sealer.
    waiting: BTreeMap<ValidatorIndex, Share>,
    next_arrival: u64,
}

/// Batches of one sealer that are in no final block.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    count: usize,
    bytes: usize,
}

impl Batches {
    pub(crate) fn get(&self, digest: &BatchDigest) -> Option<&Known> {
        self.known.get(digest)
    }

    pub(crate) fn is_valid(&self, digest: &BatchDigest) -> bool {
        self.known.get(digest).is_some_and(|known| known.valid)
    }

    pub(crate) fn is_invalid(&self, digest: &BatchDigest) -> bool {
        self.invalid.contains(digest)
    }

    /// Lets a batch in.
    pub(crate) fn admit(
        &mut self,
        digest: BatchDigest,
        batch: Arc<Batch>,
        bytes: Bytes,
        admission: Admission,
        now_ms: u64,
    ) -> Admitted {
        if self.known.contains_key(&digest) || self.is_invalid(&digest) {
            return Admitted::No;
        }
        if !admission.wanted && self.is_full(batch.content.sealer, bytes.len()) {
            return Admitted::No;
        }
        let share = self.waiting.entry(batch.content.sealer).or_default();
        share.count += 1;
        share.bytes += bytes.len();
        let known = Known {
            facts: BatchFacts::of(digest, &batch),
            batch,
            bytes,
            valid: false,
            acknowledged_by: self.take_early(&digest),
            arrival: self.next_arrival,
            arrived_ms: now_ms,
            is_final: false,
            was_fresh: admission.is_fresh,
        };
        self.order.insert(self.next_arrival, digest);
        self.next_arrival += 1;
        self.known.insert(digest, known);
        Admitted::New
    }

    fn share_of(&self, sealer: ValidatorIndex) -> Share {
        self.waiting.get(&sealer).copied().unwrap_or_default()
    }

    /// A batch waits no longer: it is final, or gone.
    fn settle(&mut self, sealer: ValidatorIndex, bytes: usize) {
        if let Some(share) = self.waiting.get_mut(&sealer) {
            share.count -= 1;
            share.bytes -= bytes;
            if share.count == 0 {
                self.waiting.remove(&sealer);
            }
        }
    }

    fn is_full(&self, sealer: ValidatorIndex, bytes: usize) -> bool {
        let share = self.share_of(sealer);
        share.count >= WAITING_BATCHES_PER_SEALER_MAX || share.bytes + bytes > WAITING_BYTES_PER_SEALER_MAX
    }

    /// How many batches of a sealer wait.
    pub(crate) fn waiting_of(&self, sealer: ValidatorIndex) -> usize {
        self.share_of(sealer).count
    }

    /// Whether the own batcher may seal another batch.
    pub(crate) fn may_seal(&self, own: ValidatorIndex) -> bool {
        let share = self.share_of(own);
        share.count < OWN_WAITING_BATCHES_MAX && share.bytes < WAITING_BYTES_PER_SEALER_MAX / 2
    }

    /// Records the verdict on a batch's signatures. Answers the batch if it is held.
    pub(crate) fn judged(&mut self, digest: BatchDigest, valid: bool) -> Option<&Known> {
        if valid {
            let known = self.known.get_mut(&digest)?;
            known.valid = true;
            return Some(known);
        }
        self.forget(&digest);
        if self.invalid.len() >= INVALID_BATCHES_MAX {
            self.invalid.pop_first();
        }
        self.invalid.insert(digest);
        None
    }

    pub(crate) fn acknowledge(&mut self, digest: BatchDigest, validator: ValidatorIndex) {
        if let Some(known) = self.known.get_mut(&digest) {
            known.acknowledged_by.insert(validator);
            return;
        }
        let said = self.early.entry(validator).or_default();
        if said.len() >= EARLY_ACKNOWLEDGEMENTS_PER_VALIDATOR_MAX && !said.contains(&digest) {
            said.pop_first();
        }
        said.insert(digest);
    }

    /// Who acknowledged a batch before it came.
    fn take_early(&mut self, digest: &BatchDigest) -> Voters {
        let mut voters = Voters::default();
        for (validator, said) in &mut self.early {
            if said.remove(digest) {
                voters.insert(*validator);
            }
        }
        voters
    }

    /// A sealer's guilt is proven: nothing fresh of it is looked at until then.
    pub(crate) fn shun(&mut self, sealer: ValidatorIndex, until_ms: u64) {
        self.shunned.insert(sealer, until_ms);
    }

    pub(crate) fn is_shunned(&self, sealer: ValidatorIndex, now_ms: u64) -> bool {
        self.shunned.get(&sealer).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Batches that a block of this epoch may order, oldest first.
    pub(crate) fn orderable(
        &self,
        epoch: Epoch,
        quorum: usize,
    ) -> impl Iterator<Item = (&BatchDigest, &Known)> {
        self.waiting()
            .filter(move |(_, known)| known.facts.epoch == epoch && known.acknowledged_by.len() >= quorum)
    }

    /// Valid batches that wait, oldest first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&BatchDigest, &Known)> {
        self.order
            .values()
            .filter_map(|digest| self.known.get(digest).map(|known| (digest, known)))
            .filter(|(_, known)| known.valid && !known.is_final)
    }

    /// Every valid batch, also of final blocks that are not executed yet.
    pub(crate) fn valid(&self) -> impl Iterator<Item = &Known> {
        self.known.values().filter(|known| known.valid)
    }

    /// Marks a batch as part of a final block.
    pub(crate) fn finalize(&mut self, digest: &BatchDigest) {
        if let Some(known) = self.known.get_mut(digest).filter(|known| !known.is_final) {
            known.is_final = true;
            let (sealer, bytes) = (known.batch.content.sealer, known.bytes.len());
            self.settle(sealer, bytes);
        }
    }

    pub(crate) fn forget(&mut self, digest: &BatchDigest) -> Option<Known> {
        let known = self.known.remove(digest)?;
        self.order.remove(&known.arrival);
        if !known.is_final {
            self.settle(known.batch.content.sealer, known.bytes.len());
        }
        Some(known)
    }

    /// Forgets what expired and nothing open names; answers what was forgotten.
    pub(crate) fn expire(
        &mut self,
        now: TimestampMs,
        named: &BTreeSet<BatchDigest>,
    ) -> Vec<(BatchDigest, Known)> {
        let dead: Vec<_> = self
            .known
            .iter()
            .filter(|(digest, known)| {
                let end = known.batch.content.expires.0.saturating_add(BATCH_GRACE_MS);
                !known.is_final && end < now.0 && !named.contains(*digest)
            })
            .map(|(digest, _)| *digest)
            .collect();
        dead.into_iter().filter_map(|digest| self.forget(&digest).map(|known| (digest, known))).collect()
    }

    /// Another epoch decides: forgets what was sealed before it and is in no final block, and answers that. Acknowledgements are
    /// forgotten too: the places of the validators have changed.
    pub(crate) fn forget_before(&mut self, epoch: Epoch) -> Vec<(BatchDigest, Known)> {
        self.early.clear();
        self.shunned.clear();
        for known in self.known.values_mut() {
            known.acknowledged_by = Voters::default();
        }
        let old = |known: &Known| !known.is_final && known.facts.epoch < epoch;
        let old = self.known.iter().filter(|(_, known)| old(known)).map(|(digest, _)| *digest);
        let old: Vec<BatchDigest> = old.collect();
        old.into_iter().filter_map(|digest| self.forget(&digest).map(|known| (digest, known))).collect()
    }

    /// Batches in memory.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::BatchContent;
    use ledger::values::{Canonical as _, ChainId, GenesisHash, SecretKey};

    use super::*;

    fn digest(number: usize) -> BatchDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        BatchDigest(bytes)
    }

    #[test]
    fn what_a_liar_says_of_batches_that_never_come_is_bounded() {
        let mut batches = Batches::default();
        let (liar, honest) = (ValidatorIndex(1), ValidatorIndex(2));
        batches.acknowledge(digest(0), honest);
        for number in 1..2 * EARLY_ACKNOWLEDGEMENTS_PER_VALIDATOR_MAX {
            batches.acknowledge(digest(number), liar);
            assert!(batches.early[&liar].len() <= EARLY_ACKNOWLEDGEMENTS_PER_VALIDATOR_MAX);
        }
        assert!(
            batches.take_early(&digest(0)).contains(honest),
            "a liar pushes out nobody's word but its own"
        );
        for number in 0..2 * INVALID_BATCHES_MAX {
            assert!(batches.judged(digest(number), false).is_none());
            assert!(batches.invalid.len() <= INVALID_BATCHES_MAX);
        }
        assert_eq!(batches.len(), 0);
    }

    #[test]
    fn what_was_acknowledged_before_an_epoch_began_counts_for_nothing_in_it() {
        let mut batches = Batches::default();
        let key = SecretKey::from_seed([1; 32]);
        let mut sealed = |epoch: u64| {
            let content = BatchContent {
                chain: ChainId(0),
                epoch: Epoch(epoch),
                sealer: ValidatorIndex(0),
                sequence: 1,
                expires: TimestampMs(1_000),
                transactions: Vec::new(),
            };
            let (digest, batch) = content.seal(GenesisHash([1; 32]), &key);
            let bytes = Bytes::from(batch.encode());
            let admission = Admission { wanted: true, is_fresh: true };
            batches.admit(digest, Arc::new(batch), bytes, admission, 0);
            batches.judged(digest, true);
            for seat in 0..3 {
                batches.acknowledge(digest, ValidatorIndex(seat));
            }
            digest
        };
        let (old, next) = (sealed(0), sealed(1));
        let orderable = |batches: &Batches, epoch: u64| -> Vec<BatchDigest> {
            batches.orderable(Epoch(epoch), 3).map(|(digest, _)| *digest).collect()
        };
        assert_eq!(orderable(&batches, 0), [old], "a block orders batches of its own epoch");
        let gone = batches.forget_before(Epoch(1));
        assert_eq!(gone.iter().map(|(digest, _)| *digest).collect::<Vec<_>>(), [old]);
        assert!(orderable(&batches, 1).is_empty(), "said of other places");
        for seat in 0..3 {
            batches.acknowledge(next, ValidatorIndex(seat));
        }
        assert_eq!(orderable(&batches, 1), [next]);
    }
}
