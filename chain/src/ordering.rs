//! The engine's questions: propose, validate, available.
//!
//! Rules (PROTOCOL 10, 12, 15, 16):
//! - A block is valid when its header fits its turn and its parent, its body fits its header, every batch that it
//!   names is valid, unexpired, and in no unfinalized or unexpired ancestor, and every bundle is valid; by the rules of the
//!   state that it claims, so not before that height is executed here.
//! - A leader may propose the parent itself once more, where no child may stand on it yet (`epochs.rs`).
//! - *Validate* waits while something is missing, late, or not executed yet; no is said only to what is wrong for ever. The header is judged
//!   first: nothing is asked for that only an invalid or early block names.
//! - A proposal that is ahead of this node's clock is waited for, for [`EARLY_HOLD_MS`]; where its leader alone is to blame, one that is further
//!   ahead is declined at once: its view is skipped, for the price of a few messages.
//! - *Available* looks at ancestry, completeness and durability only, never at a clock or a claim.
//! - A proposal is held for the pace; idle, for [`IDLE_HOLD_MS`]; work or an uncertified result ends the idle hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::records::batch::BATCH_LIFE_MS_MAX;
use ledger::records::block::{
    BLOCK_BATCHES_MAX, BLOCK_BUNDLES_MAX, BLOCK_BUNDLES_WEIGHT_MAX, BLOCK_RECEIPTS_MAX, CLAIM_LAG_MAX,
};
use ledger::records::{Block, BlockBody, BlockHeader, Claim};
use ledger::rules::block_validity::{check_body, check_contents, check_header, check_parent, check_sealers};
use ledger::rules::{BlockFault, ChainRules, ParentFacts};
use ledger::values::{BatchDigest, BlockDigest, Canonical, FeeRate, Height, NodeIndex, TimestampMs, View};
use storage::{Durability, Table, WriteSet, key};

use crate::batches::Known;
use crate::chain::Chain;
use crate::config::{EARLY_HOLD_MS, IDLE_HOLD_MS};
use crate::epochs::{Stretch, stretch};
use crate::rows::ProposalRow;
use crate::step::{Answer, Effect, Now, Question, Room, Ticket, Turn};
use crate::tree::{Gap, Written};
use crate::turns::Turns;

/// What is known of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Valid,
    Invalid,
    NotYet,
    /// Its leader's clock is so far ahead that the view is better skipped.
    TooEarly,
}

impl Chain {
    pub(crate) fn answer_questions(&mut self, now: Now) {
        let open: Vec<(Ticket, Question)> =
            self.questions.iter().map(|(ticket, question)| (*ticket, *question)).collect();
        for (ticket, question) in open {
            match question {
                Question::Propose { turn } => self.answer_propose(now, ticket, turn),
                Question::Validate { turn, digest } => self.answer_validate(now, ticket, turn, digest),
                Question::Available { digest, .. } => {
                    if self.may_vote() && self.is_available(&digest) {
                        self.reply(ticket, Answer::Verdict(true));
                    }
                }
            }
        }
    }

    pub(crate) fn block_arrived(&mut self, now: Now, from: NodeIndex, block: Block) {
        let header = &block.header;
        if header.chain != self.config.rules.chain || block.body.hash() != header.body {
            self.distrust(now, from, "a block that contradicts itself");
            return;
        }
        // Around the end of an epoch peers are not all in the same one.
        if header.epoch != self.config.epoch && header.epoch.0 != self.config.epoch.0.saturating_add(1) {
            return;
        }
        let digest = header.digest(self.config.rules.genesis);
        self.tree.insert(digest, Arc::new(block), Written::No, Some(from));
    }

    /// Remembers the highest block that moves something: until it is certified, a leader does not idle. Only for blocks
    /// that a vote or a certificate stands for; anybody can invent another.
    pub(crate) fn note_content(&mut self, block: &Block) {
        if !block.body.is_empty() {
            self.content_height = self.content_height.max(block.header.height);
        }
    }

    // ---- propose -------------------------------------------------------------------------------------------------

    /// When the open proposal is due, if there is one.
    pub(crate) fn propose_due(&self, _now: Now) -> Option<u64> {
        let turn = self.questions.values().find_map(|question| match question {
            Question::Propose { turn } => Some(*turn),
            _ => None,
        })?;
        let hold = match self.stretch_above(&turn.parent) {
            Stretch::Held => IDLE_HOLD_MS,
            Stretch::Closing => 0,
            Stretch::Open if self.has_work(&turn.parent) => self.config.rules.params.block_pace_ms,
            Stretch::Open => IDLE_HOLD_MS,
        };
        Some(self.last_block_ms.saturating_add(hold))
    }

    /// What a block on `parent` may be now.
    fn stretch_above(&self, parent: &BlockDigest) -> Stretch {
        let Some(parent) = self.tree.facts(parent) else { return Stretch::Open };
        let claimed = self.next_claim(&parent).height;
        if claimed > self.claims.newest().height {
            // The parent claims what this node has not executed: it does not know the rules.
            return Stretch::Held;
        }
        stretch(self.rules.at(claimed), self.config.epoch, parent.height.next(), claimed)
    }

    /// The claim of a block on `parent`.
    fn next_claim(&self, parent: &ParentFacts) -> Claim {
        let claimable = self.claims.claimable(self.config.own_validator, self.config.quorum());
        if claimable.height > parent.claim.height { claimable } else { parent.claim }
    }

    /// The base fee of a block on `parent`, as far as this node knows the rules.
    fn next_base_fee(&self, parent: &ParentFacts) -> FeeRate {
        parent.next_base_fee(self.rules.at(self.next_claim(parent).height))
    }

    /// Whether a block on `parent` would move something: batches to order, a result to certify, a base fee that has to come down, or an epoch to end.
    fn has_work(&self, parent: &BlockDigest) -> bool {
        if self.content_height > self.claims.certified().height || self.config.last_height().is_some() {
            return true;
        }
        if self.tree.facts(parent).is_some_and(|parent| !self.next_base_fee(&parent).is_zero()) {
            return true;
        }
        let Ok(path) = self.tree.path(parent) else { return false };
        let ancestors = ancestor_batches(&path);
        self.orderable().any(|(digest, _)| !ancestors.contains(digest))
            || !self.bundles.next(&self.config.rules, Height(0), &self.bodies_before(&path)).is_empty()
    }

    fn answer_propose(&mut self, now: Now, ticket: Ticket, turn: Turn) {
        if !self.may_vote() {
            self.reply(ticket, Answer::Decline);
            return;
        }
        if self.is_catching_up() && !self.knows_enough(&turn.parent) {
            // The others would wait for the leader timeout, in every turn until this node is where they are.
            self.reply(ticket, Answer::Decline);
            return;
        }
        if self.propose_due(now).is_some_and(|due| due > now.elapsed_ms) {
            return;
        }
        let (Some(parent), Ok(path)) = (self.tree.facts(&turn.parent), self.tree.path(&turn.parent)) else {
            return;
        };
        if self.stretch_above(&turn.parent) == Stretch::Held {
            self.propose_again(now, ticket, turn.parent);
            return;
        }
        let claim = self.next_claim(&parent);
        let rules = self.rules.at(claim.height).clone();
        let block = self.build(now, turn, parent, &path, claim, &rules);
        let digest = block.header.digest(self.config.rules.genesis);
        self.note_content(&block);
        self.tree.insert(digest, Arc::new(block), Written::No, None);
        self.last_block_ms = now.elapsed_ms;
        // The engine votes for its own proposal at once, so it must be durable first: the reply follows `Persisted`.
        if self.make_durable(&digest) {
            self.reply(ticket, Answer::Proposal(digest));
        } else {
            self.questions.insert(ticket, Question::Validate { turn, digest });
            self.proposals.insert(ticket);
        }
    }

    /// Whether a block can be built on `parent` now: it is here with its path, and what it claims is executed.
    fn knows_enough(&self, parent: &BlockDigest) -> bool {
        let is_here = self.tree.facts(parent).is_some() && self.tree.path(parent).is_ok();
        is_here && self.stretch_above(parent) != Stretch::Held
    }

    /// Nothing may stand on the parent yet, and waiting longer would cost the turn: proposed again, it can become final.
    fn propose_again(&mut self, now: Now, ticket: Ticket, parent: BlockDigest) {
        self.last_block_ms = now.elapsed_ms;
        if self.may_come_again(&parent) && self.is_available(&parent) {
            self.reply(ticket, Answer::Proposal(parent));
        }
    }

    /// Whether a block may be proposed on itself: it is of this epoch.
    fn may_come_again(&self, digest: &BlockDigest) -> bool {
        self.tree.facts(digest).is_some_and(|block| block.epoch == self.config.epoch)
    }

    fn build(
        &self,
        now: Now,
        turn: Turn,
        parent: ParentFacts,
        path: &[(BlockDigest, Arc<Block>)],
        claim: Claim,
        rules: &ChainRules,
    ) -> Block {
        let timestamp = TimestampMs(parent.timestamp.0.saturating_add(1).max(now.wall.0));
        let height = parent.height.next();
        let lag = height.0.saturating_sub(claim.height.0);
        let is_open = stretch(rules, self.config.epoch, height, claim.height) == Stretch::Open;
        let base_fee = parent.next_base_fee(rules);
        let (body, weight) = match is_open && lag <= CLAIM_LAG_MAX {
            true => self.fill((height, timestamp), path, rules, base_fee),
            false => (BlockBody::default(), 0),
        };
        let header = BlockHeader {
            chain: rules.chain,
            epoch: self.config.epoch,
            view: turn.view,
            height,
            parent: turn.parent,
            timestamp,
            proposer: turn.leader,
            weight,
            base_fee,
            claim,
            body: body.hash(),
        };
        Block { header, body }
    }

    /// Batches that a block of the running epoch may order, oldest first.
    fn orderable(&self) -> impl Iterator<Item = (&BatchDigest, &Known)> {
        self.batches.orderable(self.config.epoch, self.config.quorum())
    }

    /// What a block orders, and the weight of its batches.
    fn fill(
        &self,
        (height, timestamp): (Height, TimestampMs),
        path: &[(BlockDigest, Arc<Block>)],
        rules: &ChainRules,
        base_fee: FeeRate,
    ) -> (BlockBody, u64) {
        let ancestors = ancestor_batches(path);
        let weight_max = rules.params.block_weight_max;
        let mut body = BlockBody::default();
        let (mut receipts, mut bundled, mut full) = (0_u64, 0_u64, BTreeSet::new());
        let next = self.bundles.next(rules, height, &self.bodies_before(path));
        for known in next.into_iter().take(BLOCK_BUNDLES_MAX) {
            let next_weight = bundled.saturating_add(known.facts.weight);
            let next_receipts = receipts.saturating_add(u64::from(known.facts.receipts));
            let is_full = next_weight > BLOCK_BUNDLES_WEIGHT_MAX || next_receipts > BLOCK_RECEIPTS_MAX;
            if is_full || full.contains(&known.facts.source) {
                // What follows it of the same source would not be next.
                full.insert(known.facts.source);
                continue;
            }
            (bundled, receipts) = (next_weight, next_receipts);
            body.bundles.push(known.facts.digest);
        }
        let mut weight = 0_u64;
        let waiting = self.orderable().filter(|(digest, known)| {
            !ancestors.contains(*digest)
                && is_orderable_at(known.batch.content.expires, timestamp)
                && !self.tree.is_ordered(digest)
                && rules.may_order(known.facts.epoch, known.batch.content.sealer, base_fee)
        });
        let sealers = self.config.validators().len();
        let mut turns = Turns::new(height, sealers, weight_max, waiting.map(|(_, known)| known));
        while body.batches.len() < BLOCK_BATCHES_MAX
            && let Some(known) = turns.next(weight_max.saturating_sub(weight))
        {
            weight = weight.saturating_add(known.facts.weight);
            body.batches.push(known.facts.digest);
        }
        (body, weight)
    }

    /// Bodies of the blocks that come before a child of `path`'s end and are not executed, in order.
    fn bodies_before<'a>(&'a self, path: &'a [(BlockDigest, Arc<Block>)]) -> Vec<&'a BlockBody> {
        let waiting = self.executing.iter().map(|(_, block)| block);
        let waiting = waiting.chain(self.final_waiting.iter().map(|waiting| &waiting.block));
        waiting.chain(path.iter().map(|(_, block)| block)).map(|block| &block.body).collect()
    }

    // ---- validate ------------------------------------------------------------------------------------------------

    fn answer_validate(&mut self, now: Now, ticket: Ticket, turn: Turn, digest: BlockDigest) {
        let is_own = self.proposals.contains(&ticket);
        if !self.may_vote() && !is_own {
            return;
        }
        let verdict = if is_own { Verdict::Valid } else { self.judge(now, turn, &digest) };
        match verdict {
            Verdict::NotYet => {}
            Verdict::Invalid => self.reply(ticket, Answer::Verdict(false)),
            // Not no: others may be right to vote for it, and then it is available here as well.
            Verdict::TooEarly => self.reply(ticket, Answer::Decline),
            Verdict::Valid => {
                let is_again = digest == turn.parent;
                let is_durable =
                    if is_again { self.is_available(&digest) } else { self.make_durable(&digest) };
                if is_durable {
                    if !is_own {
                        self.last_block_ms = now.elapsed_ms;
                    }
                    self.reply(ticket, if is_own { Answer::Proposal(digest) } else { Answer::Verdict(true) });
                }
            }
        }
    }

    fn judge(&self, now: Now, turn: Turn, digest: &BlockDigest) -> Verdict {
        if *digest == turn.parent {
            return if self.may_come_again(digest) { Verdict::Valid } else { Verdict::NotYet };
        }
        let Some(open) = self.tree.get(digest) else { return Verdict::NotYet };
        match self.judge_header(turn, digest) {
            Verdict::Invalid => return Verdict::Invalid,
            _ if self.is_better_skipped(now, &open.block.header) => return Verdict::TooEarly,
            Verdict::Valid => {}
            other => return other,
        }
        let rules = self.rules.at(open.block.header.claim.height);
        match self.judge_contents(&open.block, rules) {
            Verdict::Valid if self.is_from_the_future(now, &open.block.header) => Verdict::NotYet,
            verdict => verdict,
        }
    }

    /// What can be said of a proposal before anything that it names is here.
    fn judge_header(&self, turn: Turn, digest: &BlockDigest) -> Verdict {
        let Some(open) = self.tree.get(digest) else { return Verdict::NotYet };
        let (header, body) = (&open.block.header, &open.block.body);
        if header.view != turn.view
            || header.proposer != turn.leader
            || header.parent != turn.parent
            || header.epoch != self.config.epoch
            || header.claim.height >= header.height
        {
            return Verdict::Invalid;
        }
        let Some(parent) = self.tree.facts(&turn.parent) else { return Verdict::NotYet };
        // By which rules the base fee is judged is known once the claimed height is executed.
        let fault = check_parent(self.rules.at(header.claim.height), header, &parent).err();
        let is_base_fee_wrong = matches!(fault, Some(BlockFault::BaseFee { .. }));
        if (fault.is_some() && !is_base_fee_wrong) || check_body(header, body).is_err() {
            return Verdict::Invalid;
        }
        // Claims never fall, so this one is not below the certified height.
        match self.claims.own(header.claim.height) {
            Some(result) if result != header.claim.result => return Verdict::Invalid,
            Some(_) => {}
            None => return Verdict::NotYet,
        }
        let is_valid = !is_base_fee_wrong && check_header(self.rules.at(header.claim.height), header).is_ok();
        if is_valid { Verdict::Valid } else { Verdict::Invalid }
    }

    /// Whether what a proposal names is worth asking for: not while its header alone makes it invalid or early.
    pub(crate) fn is_worth_fetching(&self, now: Now, turn: Turn, digest: &BlockDigest) -> bool {
        let Some(open) = self.tree.get(digest) else { return true };
        self.judge_header(turn, digest) != Verdict::Invalid
            && !self.is_from_the_future(now, &open.block.header)
    }

    fn is_from_the_future(&self, now: Now, header: &BlockHeader) -> bool {
        self.early_ms(now, header, header.timestamp) > 0
    }

    /// Whether waiting would cost everybody more than another leader's turn: the time is far ahead, and nothing but the leader's clock made
    /// it so. Where the parent's time already is as far ahead, as when all clocks were set back, no leader can do better.
    fn is_better_skipped(&self, now: Now, header: &BlockHeader) -> bool {
        let Some(parent) = self.tree.facts(&header.parent) else { return false };
        let least = TimestampMs(parent.timestamp.0.saturating_add(1));
        self.early_ms(now, header, header.timestamp) > EARLY_HOLD_MS
            && self.early_ms(now, header, least) <= EARLY_HOLD_MS
    }

    /// In how many milliseconds a block of this header may have this time, by the rules that it claims.
    fn early_ms(&self, now: Now, header: &BlockHeader, timestamp: TimestampMs) -> u64 {
        let drift_ms = self.rules.at(header.claim.height).params.clock_drift_ms_max;
        timestamp.0.saturating_sub(now.wall.0.saturating_add(drift_ms))
    }

    /// When a proposal with a timestamp ahead of the clock may become valid.
    pub(crate) fn clock_due(&self, now: Now) -> Option<u64> {
        let early = |question: &Question| match question {
            Question::Validate { digest, .. } => {
                let header = &self.tree.get(digest)?.block.header;
                Some(self.early_ms(now, header, header.timestamp)).filter(|early_ms| *early_ms > 0)
            }
            _ => None,
        };
        let ahead = self.questions.values().filter_map(early).min()?;
        Some(now.elapsed_ms.saturating_add(ahead))
    }

    fn judge_contents(&self, block: &Block, rules: &ChainRules) -> Verdict {
        let ancestors = match self.tree.path(&block.header.parent) {
            Ok(path) => ancestor_batches(&path),
            Err(Gap::Missing(_)) => return Verdict::NotYet,
            Err(Gap::Conflict) => return Verdict::Invalid,
        };
        let mut batches = Vec::with_capacity(block.body.batches.len());
        for digest in &block.body.batches {
            if ancestors.contains(digest) || self.tree.is_ordered(digest) || self.batches.is_invalid(digest) {
                return Verdict::Invalid;
            }
            let valid = self.batches.get(digest).filter(|known| known.valid);
            batches.extend(valid.map(|known| known.facts));
        }
        let mut bundles = Vec::with_capacity(block.body.bundles.len());
        for digest in &block.body.bundles {
            match self.bundles.judge(digest, rules) {
                Some(false) => return Verdict::Invalid,
                Some(true) => bundles.extend(self.bundles.get(digest).map(|known| known.facts)),
                None => {}
            }
        }
        if batches.len() < block.body.batches.len() || bundles.len() < block.body.bundles.len() {
            return Verdict::NotYet;
        }
        let checked = check_contents(&block.header, &block.body, &batches, &bundles)
            .and_then(|()| check_sealers(rules, &block.header, &batches));
        if checked.is_ok() { Verdict::Valid } else { Verdict::Invalid }
    }

    // ---- available -----------------------------------------------------------------------------------------------

    fn is_available(&mut self, digest: &BlockDigest) -> bool {
        if *digest == self.tree.tip().digest {
            // The final tip may have come from a certificate alone; executed, it is on disk with its batches.
            return self.claims.newest().height >= self.tree.tip().height;
        }
        if let Some(height) = self.tree.recent_final(digest) {
            return self.claims.newest().height >= height;
        }
        let Ok(path) = self.tree.path(digest) else { return false };
        let is_complete = path.iter().all(|(_, block)| {
            block.body.batches.iter().all(|batch| self.batches.is_valid(batch))
                && block.body.bundles.iter().all(|bundle| self.bundles.get(bundle).is_some())
        });
        is_complete && path.iter().fold(true, |durable, (ancestor, _)| self.make_durable(ancestor) && durable)
    }

    /// Starts the synced write of a block whose batches are written; true once it is durable.
    pub(crate) fn make_durable(&mut self, digest: &BlockDigest) -> bool {
        let Some(open) = self.tree.get_mut(digest) else { return false };
        if open.written == Written::No && self.room != Room::None {
            open.written = Written::Underway;
            let block = Arc::clone(&open.block);
            self.note_content(&block);
            let mut set = WriteSet::new();
            set.put(Table::Blocks, digest.0, block.encode());
            let known = block.body.bundles.iter().filter_map(|bundle| self.bundles.get(bundle));
            let row = ProposalRow { bundles: known.map(|known| known.bytes.to_vec()).collect() };
            set.put(Table::Proposals, key::proposal(block.header.height.0, &digest.0), row.encode());
            self.effects.push(Effect::Persist { set, durability: Durability::Synced, then: Some(*digest) });
            return false;
        }
        open.written == Written::Durable
    }

    /// Closes questions of views that are decided.
    pub(crate) fn close_questions(&mut self, view: View) {
        let stale: Vec<_> = self
            .questions
            .iter()
            .filter(|(_, question)| question.view() < view)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in stale {
            self.questions.remove(&ticket);
            self.proposals.remove(&ticket);
        }
    }
}

/// Batches in the open blocks of a path.
fn ancestor_batches(path: &[(BlockDigest, Arc<Block>)]) -> BTreeSet<BatchDigest> {
    path.iter().flat_map(|(_, block)| block.body.batches.iter().copied()).collect()
}

/// A batch may be ordered until it expires, and only by a block whose time is within the longest life before that: its
/// digest is remembered until then, and no longer.
fn is_orderable_at(expires: TimestampMs, timestamp: TimestampMs) -> bool {
    expires >= timestamp && expires.0 <= timestamp.0.saturating_add(BATCH_LIFE_MS_MAX)
}
