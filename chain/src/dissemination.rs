//! Spreading batches: seal the own pool, check what arrives, acknowledge what is valid.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ledger::records::batch::{BATCH_BYTES_MAX, BATCH_LIFE_MS_MAX, BATCH_TRANSACTIONS_MAX, BATCH_WEIGHT_MAX};
use ledger::records::block::CLAIM_LAG_MAX;
use ledger::records::{Batch, BatchContent};
use ledger::rules::weight::BATCH_HEADER_WEIGHT;
use ledger::rules::{BatchFault, check_batch, next_base_fee};
use ledger::values::{
    BatchDigest, Canonical, Epoch, FeeRate, Height, NodeIndex, TimestampMs, ValidatorIndex,
};
use mempool::TakeLimits;
use storage::{Durability, Table, WriteSet};

use crate::batches::{Admission, Admitted, Known};
use crate::catch_up::Want;
use crate::chain::Chain;
use crate::config::{
    BATCH_AGE_MS, BATCH_TTL_MS, DISTRUST_MS, HELD_BLOCKS, PRICED_BATCHES_MAX, REPEAT_MS, REQUEST_DIGESTS_MAX,
    SEAL_AHEAD_BLOCKS, SEAL_VALID_MS,
};
use crate::evidence::Misdeed;
use crate::frame::{Digests, Frame};
use crate::step::{Effect, Now, Report, Room};

/// Room for a batch's own fields beside its transactions.
const BATCH_FIELDS_BYTES: usize = 256;

impl Chain {
    /// When the oldest pooled transaction is due to be sealed: soon after a pause, else a pace after the last batch, because
    /// a batch costs everyone some work whatever is in it.
    pub(crate) fn seal_due(&self, _now: Now) -> Option<u64> {
        let oldest = self.oldest_pooled_ms.filter(|_| self.may_seal())?;
        let paced = self.last_seal_ms.map_or(0, |last| last.saturating_add(self.config.batch_pace_ms()));
        Some(oldest.saturating_add(BATCH_AGE_MS).max(paced).max(self.unpayable_until_ms))
    }

    fn may_seal(&self) -> bool {
        // A batch that nothing may order any more would only come back.
        let next = self.tree.tip().height.next();
        let is_closing =
            self.config.last_height().is_some_and(|last| next.0.saturating_add(CLAIM_LAG_MAX) > last.0);
        self.may_vote() && !is_closing && self.config.own_validator.is_some_and(|own| self.may_seal_by(own))
    }

    /// The base fee above the final tip, as far as this node knows the rules.
    pub(crate) fn base_fee_above_tip(&self) -> FeeRate {
        self.tree.tip().next_base_fee(&self.config.rules)
    }

    /// While weight has a price: nothing that no leader may order, and little ahead, as what waits long may cost more than it can pay.
    fn may_seal_by(&self, own: ValidatorIndex) -> bool {
        let base_fee = self.base_fee_above_tip();
        let is_timely = base_fee.is_zero() || self.batches.waiting_of(own) < PRICED_BATCHES_MAX;
        is_timely
            && self.config.rules.may_order(self.config.epoch, own, base_fee)
            && self.batches.may_seal(own)
    }

    pub(crate) fn seal(&mut self, now: Now) {
        while self.is_seal_due(now) {
            if !self.seal_one(now) {
                break;
            }
        }
    }

    fn is_seal_due(&self, now: Now) -> bool {
        let is_full = self.pool.len() >= BATCH_TRANSACTIONS_MAX
            || self.pool.bytes() >= BATCH_BYTES_MAX
            || self.pool.weight() >= BATCH_WEIGHT_MAX;
        let may_be_full = is_full && self.unpayable_until_ms <= now.elapsed_ms;
        (may_be_full && self.may_seal()) || self.seal_due(now).is_some_and(|due| due <= now.elapsed_ms)
    }

    fn seal_one(&mut self, now: Now) -> bool {
        let (Some(own), Some(key)) = (self.config.own_validator, self.config.sealing_key.clone()) else {
            return false;
        };
        let base_fee = self.sealing_base_fee();
        self.hold_nonces(base_fee);
        let taken = self.pool.take(TakeLimits {
            count_max: BATCH_TRANSACTIONS_MAX,
            bytes_max: BATCH_BYTES_MAX - BATCH_FIELDS_BYTES,
            weight_max: BATCH_WEIGHT_MAX - BATCH_HEADER_WEIGHT,
            base_fee,
            valid_after: TimestampMs(now.wall.0.saturating_add(SEAL_VALID_MS)),
        });
        self.oldest_pooled_ms = if self.pool.is_empty() { None } else { Some(now.elapsed_ms) };
        if taken.is_empty() {
            self.unpayable_until_ms = now.elapsed_ms.saturating_add(self.config.batch_pace_ms());
            return false;
        }
        let content = BatchContent {
            chain: self.config.rules.chain,
            epoch: self.config.epoch,
            sealer: own,
            sequence: self.next_sequence.max(now.wall.0),
            expires: TimestampMs(now.wall.0.saturating_add(BATCH_TTL_MS)),
            transactions: taken.into_iter().map(|pooled| pooled.transaction).collect(),
        };
        self.next_sequence = content.sequence.saturating_add(1);
        self.report(Report::Sealed { transactions: content.transactions.len() });
        self.last_seal_ms = Some(now.elapsed_ms);
        let (digest, batch) = content.seal(self.config.rules.genesis, &key);
        let bytes = Bytes::from(batch.encode());
        let admission = Admission { wanted: true, is_fresh: true };
        self.batches.admit(digest, Arc::new(batch), bytes.clone(), admission, now.elapsed_ms);
        self.accept(digest);
        self.send_to_all(&Frame::Batch(bytes));
        true
    }

    /// What a transaction must be able to pay to be sealed: the base fee after a few more blocks like the last one. What finds a higher one
    /// in its block is charged to this node's bank.
    fn sealing_base_fee(&self) -> FeeRate {
        let (fees, weight) = (&self.config.rules.params.fees, self.tree.tip().weight);
        let next = self.base_fee_above_tip();
        let ahead = (0..SEAL_AHEAD_BLOCKS).fold(next, |base_fee, _| next_base_fee(fees, base_fee, weight));
        next.max(ahead)
    }

    /// While weight has a price, and for [`HELD_BLOCKS`] more, the pool knows the nonces of all valid batches. Otherwise nobody asks for
    /// them, and keeping them would cost every payment of every bank.
    fn hold_nonces(&mut self, base_fee: FeeRate) {
        let height = self.tree.tip().height;
        if !base_fee.is_zero() {
            if self.nonces_held_until.is_none() {
                for known in self.batches.valid() {
                    self.pool.hold(known.nonces());
                }
            }
            self.nonces_held_until = Some(Height(height.0.saturating_add(HELD_BLOCKS)));
        } else if self.nonces_held_until.is_some_and(|until| until < height) {
            self.nonces_held_until = None;
            self.pool.free_all();
            self.first_claims.forget();
        }
    }

    /// Stores a valid batch and acknowledges it. What it holds is not sealed here as well while the other copy would cost something.
    fn accept(&mut self, digest: BatchDigest) {
        let was_valid = self.batches.is_valid(&digest);
        let Some(known) = self.batches.judged(digest, true) else { return };
        if !was_valid && self.nonces_held_until.is_some() {
            self.pool.hold(known.nonces());
        }
        let (bytes, epoch) = (known.bytes.to_vec(), known.facts.epoch);
        let mut set = WriteSet::new();
        set.put(Table::Batches, digest.0, bytes);
        self.effects.push(Effect::Persist { set, durability: Durability::Buffered, then: None });
        if let Some(own) = self.config.own_validator.filter(|_| epoch == self.config.epoch) {
            self.batches.acknowledge(digest, own);
            self.acknowledgements.push(digest);
        }
    }

    pub(crate) fn send_acknowledgements(&mut self) {
        let fresh = std::mem::take(&mut self.acknowledgements);
        for batches in fresh.chunks(REQUEST_DIGESTS_MAX) {
            self.send_to_all(&Frame::Acknowledge(Digests { batches: batches.to_vec() }));
        }
    }

    pub(crate) fn acknowledged(&mut self, from: NodeIndex, batches: &[BatchDigest]) {
        let Some(validator) = self.config.validator_of(from) else { return };
        for digest in batches {
            if !self.tree.is_ordered(digest) {
                self.batches.acknowledge(*digest, validator);
            }
        }
    }

    pub(crate) fn batch_arrived(&mut self, now: Now, from: NodeIndex, bytes: Bytes) {
        let Ok(batch) = Batch::decode(&bytes) else {
            self.distrust(now, from, "a batch that is not canonical");
            self.keep_evidence_of_node(from, Misdeed::MalformedBatch, &bytes);
            return;
        };
        let digest = batch.content.digest(self.config.rules.genesis);
        self.fetches.gave(from, Want::Batch(digest));
        let wanted = self.fetches.wants_batch(&digest);
        let is_fresh = self.is_fresh(now, &digest, batch.content.expires);
        let is_judged = self.batches.get(&digest).is_some() || self.batches.is_invalid(&digest);
        if is_judged || !(wanted || is_fresh) {
            return;
        }
        // Each would cost a check of all its signatures. What a block names is asked for, and let in, all the same.
        if !wanted && self.batches.is_shunned(batch.content.sealer, now.elapsed_ms) {
            return;
        }
        // Around the end of an epoch peers are not all in the same one: what is of another is sent again, or asked for.
        if batch.content.epoch != self.config.epoch && !(wanted && self.knows_epoch(batch.content.epoch)) {
            return;
        }
        if let Err(fault) = check_batch(&self.config.rules, &batch) {
            // Without a valid seal nothing proves who made it: only the sender is to blame.
            self.distrust(now, from, "a batch that breaks a stateless rule");
            self.keep_evidence_of_node(from, Misdeed::InvalidBatch, &bytes);
            // The seal is no part of the digest: a broken one says nothing about the batch that others may hold.
            if !matches!(fault, BatchFault::SealInvalid { .. }) {
                self.batches.judged(digest, false);
            }
            return;
        }
        let batch = Arc::new(batch);
        let admission = Admission { wanted, is_fresh };
        if self.batches.admit(digest, Arc::clone(&batch), bytes, admission, now.elapsed_ms) == Admitted::New {
            self.effects.push(Effect::VerifySignatures { digest, batch });
        }
    }

    fn knows_epoch(&self, epoch: Epoch) -> bool {
        let rules = &self.config.rules;
        rules.registry.epoch(rules.chain, epoch).is_some()
    }

    /// Whether the batch can still be ordered and is in no final block: a final block's batch is remembered until the
    /// clock of the final tip passed its expiry.
    fn is_fresh(&self, now: Now, digest: &BatchDigest, expires: TimestampMs) -> bool {
        expires >= now.wall.max(self.tree.tip().timestamp)
            && expires.0 <= now.wall.0.saturating_add(BATCH_LIFE_MS_MAX)
            && !self.tree.is_ordered(digest)
    }

    pub(crate) fn signatures_checked(&mut self, now: Now, digest: BatchDigest, first_bad: Option<usize>) {
        if first_bad.is_none() && self.room == Room::None {
            // It would have to be written. Its sealer sends it again, and where a block names it, it is asked for.
            self.batches.forget(&digest);
            return;
        }
        if first_bad.is_none() {
            self.accept(digest);
            return;
        }
        let Some(known) = self.batches.get(&digest) else { return };
        let (content, bytes) = (&known.batch.content, known.bytes.clone());
        let (epoch, sealer) = (content.epoch, content.sealer);
        self.batches.judged(digest, false);
        if epoch == self.config.epoch {
            self.batches.shun(sealer, now.elapsed_ms.saturating_add(DISTRUST_MS));
        }
        self.keep_evidence(epoch, sealer, Misdeed::SealedBadSignature, &bytes);
    }

    fn keep_evidence_of_node(&mut self, node: NodeIndex, misdeed: Misdeed, bytes: &Bytes) {
        if let Some(validator) = self.config.validator_of(node) {
            self.keep_evidence(self.config.epoch, validator, misdeed, bytes);
        }
    }

    /// Keeps proof of misbehaviour on disk, within the validator's share; nothing while there is no room.
    pub(crate) fn keep_evidence(
        &mut self,
        epoch: Epoch,
        validator: ValidatorIndex,
        misdeed: Misdeed,
        bytes: &Bytes,
    ) {
        let kind = misdeed.name();
        let kept = match self.room {
            Room::None => None,
            Room::Enough | Room::Low => self.evidence.admit(epoch, validator, misdeed, bytes),
        };
        let Some((place, row)) = kept else {
            self.report(Report::EvidenceDropped { validator, kind });
            return;
        };
        let mut set = WriteSet::new();
        set.put(Table::Evidence, place, row);
        self.effects.push(Effect::Persist { set, durability: Durability::Buffered, then: None });
        self.report(Report::Evidence { validator, kind });
    }

    /// Sends again what others may have missed.
    pub(crate) fn repeat_dissemination(&mut self, now: Now) {
        let old = |arrived_ms: u64| arrived_ms.saturating_add(REPEAT_MS) <= now.elapsed_ms;
        let Some(own) = self.config.own_validator else { return };
        let waiting: Vec<_> = self
            .batches
            .waiting()
            .filter(|(_, known)| old(known.arrived_ms))
            .map(|(digest, known)| {
                (*digest, known.batch.content.sealer, known.bytes.clone(), known.acknowledged_by)
            })
            .collect();
        self.acknowledgements.extend(waiting.iter().map(|(digest, ..)| *digest));
        self.send_acknowledgements();
        for (_, _, bytes, acknowledged_by) in waiting.into_iter().filter(|(_, sealer, ..)| *sealer == own) {
            let frame = Frame::Batch(bytes);
            let missing: Vec<_> = self
                .config
                .validators()
                .iter()
                .zip(0_u16..)
                .filter(|(_, index)| !acknowledged_by.contains(ValidatorIndex(*index)))
                .map(|(validator, _)| validator.node)
                .collect();
            for node in missing {
                self.send(node, &frame);
            }
        }
    }

    /// Drops batches that can no longer be ordered; the transactions of own ones wait in the pool again.
    pub(crate) fn expire_batches(&mut self, now: Now) {
        let mut named: BTreeSet<BatchDigest> = BTreeSet::new();
        for (_, open) in self.tree.iter() {
            named.extend(open.block.body.batches.iter().copied());
        }
        for waiting in &self.final_waiting {
            named.extend(waiting.block.body.batches.iter().copied());
        }
        let expired = self.batches.expire(now.wall, &named);
        self.return_batches(now, expired, self.config.own_validator);
    }

    /// These batches will never be ordered: the transactions of those that `own` sealed wait in the pool again.
    pub(crate) fn return_batches(
        &mut self,
        now: Now,
        batches: Vec<(BatchDigest, Known)>,
        own: Option<ValidatorIndex>,
    ) {
        let mut set = WriteSet::new();
        let (mut lost, mut outbid) = (Vec::new(), Vec::new());
        for (digest, known) in batches {
            if known.valid && self.nonces_held_until.is_some() {
                self.pool.free(known.nonces());
            }
            // A batch that came because it was asked for may be an executed one that an invalid block named again.
            if known.was_fresh {
                set.delete(Table::Batches, digest.0);
            }
            if Some(known.batch.content.sealer) == own {
                for transaction in &known.batch.content.transactions {
                    let id = transaction.id(self.config.rules.genesis);
                    match self.pool.give_back(id, transaction.clone()) {
                        Some(Ok(left)) => outbid.extend(left),
                        // No place: the client sees it expire and signs anew.
                        Some(Err(_)) => lost.push(id),
                        // Executed meanwhile; or sealed before this node was last started, and then nobody waits for it here.
                        None => {}
                    }
                }
            }
        }
        if !self.pool.is_empty() {
            self.oldest_pooled_ms.get_or_insert(now.elapsed_ms);
        }
        if !lost.is_empty() {
            self.report(Report::Expired { transactions: lost });
        }
        if !outbid.is_empty() {
            self.report(Report::Outbid { transactions: outbid });
        }
        if !set.is_empty() && self.room != Room::None {
            self.effects.push(Effect::Persist { set, durability: Durability::Buffered, then: None });
        }
    }
}
