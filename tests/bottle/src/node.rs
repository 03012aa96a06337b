//! The driver: performs what a chain decides, in virtual time.
//!
//! The other driver of `chain::Chain`; the one of production is `node::driver`. It performs the same effects, in the same
//! order, with the same grouping of synced writes, and delays where production has threads:
//!
//! | effect | here |
//! | --- | --- |
//! | `Persist` | what waits is written at once; a sync takes [`SYNC_MS`] to [`SYNC_MS`] + [`SYNC_JITTER_MS`], and longer on a slow disk; writes wait for it |
//! | `VerifySignatures`, `CheckBundle` | one batch or bundle after the other, [`VERIFY_MS`] each |
//! | `Execute` | committed after [`EXECUTE_MS`], known to the chain [`COMMIT_MS`] later |
//! | `Serve` | after [`SERVE_MS`] |
//!
//! Inputs that wait are taken together, as in production; how many of them at most, the seed decides for each step.
//!
//! So a crash falls between a write and its sync, and between a commit and the chain's knowledge of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use chain::rollback::{Divergence, Verdict};
use chain::{
    Answer, Archive, Chain, Effect, Executed, Executor, FinalBlock, Frame, Input, Lane, Now, Question,
    Report, Request, Snapshots, Ticket,
};
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::DeterministicContext;
use consensus::{Request as Asked, Requests};
use ledger::records::{Batch, Bundle, Claim, Transaction};
use ledger::rules::{ChainRules, check_bundle, check_signatures};
use ledger::values::{
    BatchDigest, BlockDigest, BundleDigest, ChainId, GenesisHash, Height, KeyCache, NodeIndex, Sequential,
    TimestampMs,
};
use seam::Questions;
use storage::{Durability, MemoryDisk, Store, WriteSet};
use tokio::sync::mpsc;

use crate::between::Crossing;
use crate::conditions::{Conditions, STOPPED_LOOK_MS};
use crate::dice::Dice;
use crate::door::{Answer as Answered, Door, Submission};
use crate::epochs::Engines;
use crate::links::Links;
use crate::plants::Planted;
use crate::room::RoomWatch;
use crate::witness::Shared;

/// Least time of a sync.
pub(crate) const SYNC_MS: u64 = 1;
/// At most this much more.
pub(crate) const SYNC_JITTER_MS: u64 = 6;
/// Checking the signatures of one batch.
const VERIFY_MS: u64 = 2;
/// Executing and committing one block.
const EXECUTE_MS: u64 = 4;
/// From the commit to the chain's knowledge of it.
const COMMIT_MS: u64 = 2;
/// Reading an answer from disk.
const SERVE_MS: u64 = 2;
/// Inputs that are taken together at most; how many, the seed decides anew for each step.
const INPUTS_PER_STEP_MAX: u64 = 16;

/// What a node works with.
pub(crate) struct Surroundings {
    pub(crate) index: u16,
    pub(crate) chain_id: ChainId,
    pub(crate) chain: Chain,
    pub(crate) executor: Executor<Sequential>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) disk: MemoryDisk,
    pub(crate) door: Door,
    pub(crate) genesis: GenesisHash,
    pub(crate) clock: DeterministicContext,
    pub(crate) links: Links,
    pub(crate) engines: Engines,
    pub(crate) witness: Shared,
    pub(crate) crossing: Crossing,
    pub(crate) planted: Planted,
    pub(crate) conditions: Conditions,
    /// Taken back at the start, and not passed yet.
    pub(crate) divergence: Option<Divergence>,
    pub(crate) dice: Dice,
    /// How many inputs are taken together.
    pub(crate) gathering: Dice,
}

/// What comes in from outside.
pub(crate) struct Mail {
    pub(crate) requests: Requests,
    pub(crate) frames: mpsc::Receiver<(NodeIndex, Bytes)>,
    pub(crate) submissions: mpsc::Receiver<Submission>,
    /// Of the machine's own relay.
    pub(crate) bundles: mpsc::Receiver<Bytes>,
}

/// One chain in a node's process.
pub(crate) struct Node {
    around: Surroundings,
    started_ms: u64,
    questions: Questions,
    wake_ms: u64,
    agenda: BTreeMap<(u64, u64), Job>,
    next_job: u64,
    writes: VecDeque<Write>,
    is_syncing: bool,
    room: RoomWatch,
    verifier_free_ms: u64,
    keys: KeyCache,
    /// The last block of an epoch that has ended: its engine is done.
    ended: Option<BlockDigest>,
    is_halted: bool,
}

struct Write {
    set: WriteSet,
    durability: Durability,
    then: Option<BlockDigest>,
}

/// What a thread of production would be busy with.
enum Job {
    Sync {
        durable: Vec<BlockDigest>,
    },
    /// Written and not synced, as was asked for.
    Written {
        written: Vec<BlockDigest>,
    },
    Verify {
        digest: BatchDigest,
        batch: Arc<Batch>,
    },
    CheckBundle {
        digest: BundleDigest,
        rules: Box<ChainRules>,
        bundle: Arc<Bundle>,
    },
    Execute(Box<FinalBlock>),
    Tell(Executed),
    Serve {
        to: NodeIndex,
        lane: Lane,
        held: Vec<Frame>,
        request: Option<Request>,
    },
}

impl Node {
    pub(crate) fn new(around: Surroundings) -> Self {
        let started_ms = around.clock.now_ms();
        Self {
            around,
            started_ms,
            questions: Questions::default(),
            wake_ms: started_ms,
            agenda: BTreeMap::new(),
            next_job: 0,
            writes: VecDeque::new(),
            is_syncing: false,
            room: RoomWatch::new(),
            verifier_free_ms: 0,
            keys: KeyCache::default(),
            ended: None,
            is_halted: false,
        }
    }

    /// Runs until it is killed or halts.
    pub(crate) async fn run(mut self, mut mail: Mail) {
        while !self.is_halted {
            self.while_stopped().await;
            let now_ms = self.around.clock.now_ms();
            let due_ms =
                self.agenda.first_key_value().map_or(self.wake_ms, |(due, _)| due.0.min(self.wake_ms));
            let mut inputs = if due_ms <= now_ms {
                self.work(now_ms)
            } else {
                tokio::select! {
                    biased;
                    request = mail.requests.recv() => match request {
                        Some(request) => self.asked(request),
                        None => self.halt("the engine ended"),
                    },
                    Some((from, bytes)) = mail.frames.recv() => vec![Input::Frame { from, bytes }],
                    Some(submission) = mail.submissions.recv() => self.submitted(submission),
                    Some(bundle) = mail.bundles.recv() => vec![Input::Relayed { bundle }],
                    () = self.around.clock.sleep_ms(due_ms - now_ms) => Vec::new(),
                }
            };
            self.while_stopped().await;
            self.gather(&mut mail, &mut inputs);
            inputs.extend(self.look_for_room());
            if !inputs.is_empty() {
                self.step(inputs);
            }
            self.drop_cancelled();
            if let Some(last) = self.ended.take() {
                self.questions.forget();
                let config = self.around.chain.config().clone();
                mail.requests = self.around.engines.next(&config, last).await;
            }
        }
    }

    /// Waits until the process may go on.
    async fn while_stopped(&mut self) {
        while self.around.conditions.of(self.around.index).is_stopped {
            self.around.clock.sleep_ms(STOPPED_LOOK_MS).await;
        }
    }

    /// Tells the chain how much room the disk has, where that changed.
    fn look_for_room(&mut self) -> Option<Input> {
        let room = self.room.look(self.around.store.free_bytes().ok()?)?;
        self.around.chain.set_room(room);
        Some(Input::Wake)
    }

    /// Adds what waits already, up to a number that the seed decides: production takes together what came together, and how
    /// much that is depends on its load.
    fn gather(&mut self, mail: &mut Mail, inputs: &mut Vec<Input>) {
        let most = 1 + usize::try_from(self.around.gathering.below(INPUTS_PER_STEP_MAX)).unwrap_or(0);
        let now_ms = self.around.clock.now_ms();
        while inputs.len() < most && !self.is_halted {
            if self.agenda.first_key_value().is_some_and(|(due, _)| due.0 <= now_ms) {
                inputs.extend(self.work(now_ms));
            } else if let Some(request) = mail.requests.try_recv() {
                inputs.extend(self.asked(request));
            } else if let Ok((from, bytes)) = mail.frames.try_recv() {
                inputs.push(Input::Frame { from, bytes });
            } else if let Ok(submission) = mail.submissions.try_recv() {
                inputs.extend(self.submitted(submission));
            } else if let Ok(bundle) = mail.bundles.try_recv() {
                inputs.push(Input::Relayed { bundle });
            } else {
                return;
            }
        }
    }

    fn now(&self) -> Now {
        let now_ms = self.around.clock.now_ms();
        let ahead_ms = self.around.conditions.of(self.around.index).wall_ahead_ms;
        let shown_ms = self.around.links.turned.wall_ms(self.around.index, now_ms);
        let wall = TimestampMs(shown_ms.saturating_add_signed(ahead_ms));
        Now { wall, elapsed_ms: now_ms.saturating_sub(self.started_ms) }
    }

    fn step(&mut self, inputs: Vec<Input>) {
        let now = self.now();
        self.around.witness.lock().stepped(inputs.len());
        for effect in self.around.chain.step_all(now, inputs) {
            self.perform(effect);
        }
        if self.around.links.turned.is_any() {
            self.around.witness.lock().held(self.around.index, &self.around.chain.status());
        }
    }

    /// Does the first thing that is due.
    fn work(&mut self, now_ms: u64) -> Vec<Input> {
        let Some(first) = self.agenda.first_entry().filter(|first| first.key().0 <= now_ms) else {
            return vec![Input::Wake];
        };
        match first.remove() {
            Job::Sync { durable } => self.sync(durable),
            Job::Written { written } => written.into_iter().map(Input::Persisted).collect(),
            Job::Verify { digest, batch } => {
                let transactions: Vec<&Transaction> = batch.content.transactions.iter().collect();
                let secret = [self.around.index.to_le_bytes()[0]; 32];
                let checked =
                    check_signatures(&transactions, self.around.genesis, &secret, &self.keys, &Sequential);
                vec![Input::SignaturesChecked { digest, first_bad: checked.err() }]
            }
            Job::CheckBundle { digest, rules, bundle } => {
                vec![Input::BundleChecked { digest, facts: check_bundle(&rules, &bundle).ok() }]
            }
            Job::Execute(block) => self.execute(*block),
            Job::Tell(executed) => {
                self.around.door.settle(&executed.transactions);
                if let Some(rules) = &executed.rules {
                    self.around.door.set_rules((**rules).clone());
                }
                vec![Input::Executed(executed)]
            }
            Job::Serve { to, lane, held, request } => self.serve(to, lane, held, request.as_ref()),
        }
    }

    fn later(&mut self, delay_ms: u64, job: Job) {
        self.at(self.around.clock.now_ms().saturating_add(delay_ms), job);
    }

    fn at(&mut self, due_ms: u64, job: Job) {
        self.agenda.insert((due_ms, self.next_job), job);
        self.next_job += 1;
    }

    fn halt(&mut self, cause: &str) -> Vec<Input> {
        self.is_halted = true;
        self.around.witness.lock().halted(self.around.clock.now_ms(), self.around.index, cause);
        Vec::new()
    }

    // ---- clients and the engine ----------------------------------------------------------------------------------

    fn submitted(&mut self, submission: Submission) -> Vec<Input> {
        let now = self.now();
        let checked = self.around.door.check(self.around.store.as_ref(), &submission.bytes, now.wall);
        let answer = match checked {
            Err(answer) => answer,
            Ok(pooled) => {
                let (id, valid_until) = (pooled.id, pooled.transaction.content.valid_until);
                let verdict = self.around.chain.submit(now, vec![pooled]).pop();
                let answer = self.around.door.pooled(id, valid_until, verdict);
                if answer == Answered::Accepted {
                    let at_ms = self.around.clock.now_ms();
                    self.around.witness.lock().took_in(at_ms, self.around.index, id);
                }
                answer
            }
        };
        let _gone = submission.answer.send(answer).is_err();
        vec![Input::Wake]
    }

    fn asked(&mut self, request: Asked) -> Vec<Input> {
        let input = self.questions.asked(request);
        if let Input::Finalized { epoch, view, digest, .. } = &input {
            let at_ms = self.around.clock.now_ms();
            self.around.witness.lock().finalized(at_ms, *epoch, *view, *digest);
        }
        vec![input]
    }

    fn drop_cancelled(&mut self) {
        let cancelled = self.questions.cancelled();
        if !cancelled.is_empty() {
            self.step(cancelled);
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(question) = self.questions.answer(ticket, answer) else { return };
        let voted = match (answer, question) {
            (Answer::Proposal(digest), _) => digest,
            (
                Answer::Verdict(true),
                Question::Validate { digest, .. } | Question::Available { digest, .. },
            ) => digest,
            _ => return,
        };
        let at_ms = self.around.clock.now_ms();
        self.around.witness.lock().voted(
            at_ms,
            self.around.index,
            &self.around.disk,
            self.around.store.as_ref(),
            voted,
        );
    }

    // ---- effects -------------------------------------------------------------------------------------------------

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, bytes, .. } => self.send(to, bytes),
            Effect::Persist { set, durability, then } => {
                self.writes.push_back(Write { set, durability, then });
                self.write();
            }
            Effect::VerifySignatures { digest, batch } => {
                self.around.witness.lock().checks(self.around.index);
                self.verifier_free_ms = self.verifier_free_ms.max(self.around.clock.now_ms()) + VERIFY_MS;
                self.at(self.verifier_free_ms, Job::Verify { digest, batch });
            }
            Effect::CheckBundle { digest, rules, bundle } => {
                self.verifier_free_ms = self.verifier_free_ms.max(self.around.clock.now_ms()) + VERIFY_MS;
                self.at(self.verifier_free_ms, Job::CheckBundle { digest, rules, bundle });
            }
            Effect::Execute(block) => self.later(EXECUTE_MS, Job::Execute(block)),
            Effect::Serve { to, lane, held, request } => {
                self.later(SERVE_MS, Job::Serve { to, lane, held, request })
            }
            Effect::Reply { ticket, answer } => self.answer(ticket, answer),
            Effect::WakeAt { elapsed_ms } => self.wake_ms = self.started_ms.saturating_add(elapsed_ms),
            Effect::Report(report) => self.report(report),
        }
    }

    fn send(&self, to: NodeIndex, bytes: Bytes) {
        let (now_ms, chain) = (self.around.clock.now_ms(), self.around.chain_id);
        self.around.links.send(now_ms, chain, self.around.index, to.0, bytes);
    }

    /// Writes what waits, unless the disk is busy; several synced writes that wait together share one sync.
    fn write(&mut self) {
        if self.is_syncing {
            return;
        }
        let (mut durable, mut must_sync) = (Vec::new(), false);
        while let Some(Write { set, durability, then }) = self.writes.pop_front() {
            if let Err(fault) = self.around.store.write(set, Durability::Buffered) {
                self.halt(&fault.to_string());
                return;
            }
            must_sync |= durability == Durability::Synced;
            durable.extend(then);
        }
        if must_sync {
            self.is_syncing = true;
            let delay_ms = SYNC_MS + self.around.dice.below(SYNC_JITTER_MS + 1);
            let slow_ms = self.around.conditions.of(self.around.index).sync_ms;
            self.later(delay_ms + slow_ms, Job::Sync { durable });
        } else if !durable.is_empty() {
            self.later(0, Job::Written { written: durable });
        }
    }

    fn sync(&mut self, durable: Vec<BlockDigest>) -> Vec<Input> {
        if let Err(fault) = self.around.store.sync() {
            return self.halt(&fault.to_string());
        }
        self.is_syncing = false;
        self.write();
        durable.into_iter().map(Input::Persisted).collect()
    }

    fn execute(&mut self, block: FinalBlock) -> Vec<Input> {
        let block = self.around.planted.final_block(self.around.index, block);
        match self.around.executor.execute(&block) {
            Ok(executed) => {
                self.around.planted.executed(self.around.index, &block, self.around.store.as_ref());
                self.later(COMMIT_MS, Job::Tell(executed));
                Vec::new()
            }
            Err(fault) => self.halt(&fault.to_string()),
        }
    }

    fn serve(
        &mut self,
        to: NodeIndex,
        lane: Lane,
        held: Vec<Frame>,
        request: Option<&Request>,
    ) -> Vec<Input> {
        let archive = Archive::new(self.around.store.as_ref());
        let read = request.map(|request| archive.serve(request, &self.around.snapshots));
        match read.unwrap_or_else(|| Ok(Vec::new())) {
            Ok(read) => held.iter().chain(&read).for_each(|frame| self.send(to, Frame::encode(frame))),
            Err(fault) => return self.halt(&fault.to_string()),
        }
        vec![Input::Served { to, lane }]
    }

    /// Ends this process: the next one takes the heights back, unless that did not help before.
    fn diverged(&mut self, own: Claim, certified: Claim, back_to: Height) {
        let store = self.around.store.as_ref();
        let judged = Divergence::judge(store, own, certified, back_to).and_then(|verdict| match verdict {
            Verdict::RollBack(divergence) => divergence.begin(store).map(|()| true),
            Verdict::Halt(_) => Ok(false),
        });
        match judged {
            Ok(true) => {
                self.is_halted = true;
                self.around.witness.lock().takes_back(self.around.index, back_to);
            }
            Ok(false) => {
                let (height, own, certified) = (own.height, own.result, certified.result);
                self.halt(&format!("diverged again at {height}: own {own}, certified {certified}"));
            }
            Err(fault) => {
                self.halt(&fault.to_string());
            }
        }
    }

    fn report(&mut self, report: Report) {
        let (at_ms, index) = (self.around.clock.now_ms(), self.around.index);
        match report {
            Report::Final { height } => {
                self.around.door.expire(TimestampMs(at_ms));
                if self.around.planted.is_wrong(index) {
                    return;
                }
                let (chain, store) = (self.around.chain_id, self.around.store.as_ref());
                self.around.witness.lock().height_final(at_ms, index, store, height);
                self.around.crossing.lock().height_final(at_ms, chain, store, height);
            }
            Report::Certified { height } => {
                self.around.witness.lock().certified(at_ms, index, height);
                let store = self.around.store.as_ref();
                let passed = self.around.divergence.as_mut().map(|open| open.pass(store, height));
                if let Some(Err(fault)) = passed {
                    self.halt(&fault.to_string());
                }
            }
            Report::Expired { transactions } | Report::Outbid { transactions } => {
                self.around.door.settle(&transactions);
            }
            Report::Evidence { validator, kind } => {
                self.around.witness.lock().evidence(index, validator, kind)
            }
            Report::Sealed { .. }
            | Report::EvidenceDropped { .. }
            | Report::Joining { .. }
            | Report::Replays { .. }
            | Report::PrunedEverywhere { .. } => {}
            Report::Joined { .. } => {
                self.is_halted = true;
                self.around.witness.lock().joined.insert(index);
            }
            Report::EpochEnded { last, .. } => self.ended = Some(last),
            Report::Distrusted { node, reason } => self.around.witness.lock().distrusted(index, node, reason),
            Report::Diverged { own, certified, back_to } => self.diverged(own, certified, back_to),
        }
    }
}
