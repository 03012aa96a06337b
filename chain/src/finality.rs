//! Final blocks: from the engine's word to the state.
//!
//! - The engine reports some final digests; ancestors follow by parent links, so heights come in order.
//! - Blocks are executed one at a time, when all their batches and bundles are here and valid.
//! - The rules of an executed height are those of the blocks that claim it.
//! - A final block's claim certifies this node's results up to it, or shows that this node diverged (PROTOCOL rule 14):
//!   then the chain stops before it answers anything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use ledger::records::batch::BATCH_LIFE_MS_MAX;
use ledger::records::{Block, Claim};
use ledger::values::{BatchDigest, BlockDigest, TimestampMs, TransactionId};

use crate::chain::{Chain, Finality, Waiting};
use crate::frame::Frame;
use crate::step::{Effect, Executed, FinalBlock, Now, Report, Room};
use crate::tree::Written;

impl Chain {
    pub(crate) fn finalized(&mut self, finality: Finality) {
        self.close_questions(finality.view);
        if self.newest_finality.as_ref().is_none_or(|newest| newest.view < finality.view) {
            self.newest_finality = Some(finality);
        }
    }

    /// Moves the final tip up to the newest final block, if the whole path is here. Not before it is decided whether this node joins by a snapshot: what it has executed it would not take back.
    pub(crate) fn advance_finality(&mut self, _now: Now) {
        if self.may_join() {
            return;
        }
        let Some(finality) = self.newest_finality.clone() else { return };
        if finality.digest == self.tree.tip().digest {
            self.newest_finality = None;
            return;
        }
        let Ok(path) = self.tree.path(&finality.digest) else { return };
        for (digest, block) in path {
            let certificate = (digest == finality.digest).then(|| finality.certificate.clone());
            self.push_final(digest, block, certificate);
            if self.halted {
                return;
            }
        }
        self.newest_finality = None;
    }

    /// Appends a block to the final chain; its parent is the tip.
    pub(crate) fn push_final(&mut self, digest: BlockDigest, block: Arc<Block>, certificate: Option<Bytes>) {
        self.note_content(&block);
        let expiries: Vec<(BatchDigest, TimestampMs)> = block
            .body
            .batches
            .iter()
            .map(|batch| {
                let known = self.batches.get(batch);
                // A batch that is still missing cannot have outlived the longest life from the block's timestamp.
                let latest = block.header.timestamp.0.saturating_add(BATCH_LIFE_MS_MAX);
                (*batch, known.map_or(TimestampMs(latest), |known| known.batch.content.expires))
            })
            .collect();
        for batch in &block.body.batches {
            self.batches.finalize(batch);
        }
        // Written for a vote, after all its batches. Everything else may still wait in the line to the disk.
        let is_durable = self.tree.get(&digest).is_some_and(|open| open.written == Written::Durable);
        self.tree.advance(digest, &block, &expiries);
        // Usually this node has executed the claimed height long ago; while it catches up, execution comes first.
        if self.claims.own(block.header.claim.height).is_some() {
            self.certify(block.header.claim);
        }
        self.final_waiting.push_back(Waiting { digest, block, certificate, is_durable });
    }

    /// Hands the next final block to execution once the one before is done and all batches are here.
    pub(crate) fn execute_next(&mut self) {
        if self.executing.is_some() || self.room == Room::None {
            return;
        }
        let Some(next) = self.final_waiting.front().cloned() else { return };
        let mut batches = Vec::with_capacity(next.block.body.batches.len());
        for digest in &next.block.body.batches {
            match self.batches.get(digest).filter(|known| known.valid) {
                Some(known) => batches.push(Arc::clone(&known.batch)),
                None => return,
            }
        }
        let bundles: Vec<_> = next
            .block
            .body
            .bundles
            .iter()
            .filter_map(|digest| Some(Arc::clone(&self.bundles.get(digest)?.bundle)))
            .collect();
        if bundles.len() < next.block.body.bundles.len() {
            return;
        }
        // Before execution, which drops the undo records up to the claim: a diverged node needs them.
        self.certify(next.block.header.claim);
        if self.halted {
            return;
        }
        let Some(next) = self.final_waiting.pop_front() else { return };
        self.executing = Some((next.block.header.height, Arc::clone(&next.block)));
        let Waiting { digest, block, certificate, is_durable } = next;
        for batch in &block.body.batches {
            self.batches.finalize(batch);
        }
        let next = FinalBlock { digest, block, batches, bundles, certificate, is_durable };
        self.effects.push(Effect::Execute(Box::new(next)));
    }

    pub(crate) fn executed(&mut self, now: Now, executed: Executed) {
        let Some((height, block)) = self.executing.take() else { return };
        if height != executed.claim.height {
            return;
        }
        for id in &executed.transactions {
            self.pool.settle(id, executed.claim.height);
        }
        self.forget_batches(&executed);
        if let Some(rules) = executed.rules {
            self.rules.changed(height, (*rules).clone());
            self.config.rules = *rules;
            self.peers.reseat(&self.config);
        }
        if self.pool.is_empty() {
            self.oldest_pooled_ms = None;
        }
        self.claims.executed(executed.claim);
        // What is named matters for bundles that are known; most blocks are executed without any.
        let named = if self.bundles.len() == 0 { BTreeSet::new() } else { self.named_bundles() };
        self.bundles.executed(&executed.received, &executed.unbacked, &executed.bundles, &named);
        self.bundles.forget_stale(&self.config.rules, &named);
        self.report(Report::Final { height: executed.claim.height });
        // What an honest validator has gone past is of no use to anybody; the newest one is repeated.
        if !self.is_behind() {
            self.send_to_all(&Frame::Announce(executed.claim));
        }
        self.certify(executed.certified);
        if !self.halted {
            // Not before: a final block that waits for a bundle may claim less than one above it.
            self.rules.certified(executed.certified.height);
        }
        self.end_epoch(now, &block);
    }

    /// Forgets the batches of an executed block. What waits with a nonce that another version has consumed never can: sealed, it would be
    /// charged to this node's bank.
    fn forget_batches(&mut self, executed: &Executed) {
        let skipped: BTreeSet<TransactionId> = executed.skipped.iter().map(|(id, _)| *id).collect();
        let mut outbid = Vec::new();
        for known in executed.batches.iter().filter_map(|digest| self.batches.forget(digest)) {
            if !known.valid {
                continue;
            }
            if self.nonces_held_until.is_some() {
                self.pool.free(known.nonces());
            }
            for transaction in &known.batch.content.transactions {
                let content = &transaction.content;
                let Some(waiting) = self.pool.waiting_with(content.wallet, content.nonce) else { continue };
                if !skipped.contains(&transaction.id(self.config.rules.genesis)) {
                    self.pool.remove(&waiting);
                    outbid.push(waiting);
                }
            }
        }
        if !outbid.is_empty() {
            self.report(Report::Outbid { transactions: outbid });
        }
    }

    /// A final, executed block carried this claim.
    fn certify(&mut self, claim: Claim) {
        // A divergence is told once: what follows stands on it.
        if self.halted {
            return;
        }
        match self.claims.certify(claim) {
            Ok(false) => {}
            Ok(true) => self.report(Report::Certified { height: claim.height }),
            Err(own) => {
                self.halted = true;
                let back_to = self.claims.certified().height;
                self.report(Report::Diverged { own, certified: claim, back_to });
            }
        }
    }
}
