//! Performs what a chain decides: one task owns the state machine; threads beside it do what takes long.
//!
//! ```text
//!  engine ─ requests ─┐                     ┌─ storage thread   (writes in order, group sync)
//!  peers ── lanes ────┤                     ├─ verifier thread  (signatures of batches)
//!  clients ─ submit ──┼─► Driver: step() ──►├─ executor thread  (final blocks, one by one)
//!  threads ─ done ────┘                     ├─ server tasks     (answers to peers that catch up)
//!                                           └─ network, engine replies, metrics
//! ```
//!
//! The queues to the threads have no bound of their own: what can be in them is bounded by what the chain lets in
//! (batches per sealer, open blocks, one execution, one answer per peer).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chain::{
    Answer, Archive, Chain, ChainConfig, Effect, Executed, Executor, Frame, Input, Lane, Now, Question,
    Report, Request, Ticket, Turn,
};
use consensus::{Recipients, Reply, Request as Asked, Requests};
use ledger::records::{Batch, Transaction};
use ledger::rules::check_signatures;
use ledger::values::{
    BatchDigest, BlockDigest, Canonical, KeyCache, NodeIndex, TimestampMs, ValidatorIndex, View,
};
use network::{LaneReceiver, Network};
use storage::{Durability, Store, WriteSet};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::admission::{Admission, Submission, wall_clock};
use crate::handle::{HaltCode, Status, Voting};
use crate::questions::{ExecutorJob, ExecutorQueue, WalletQuestions, executor_queue};
use crate::standing::{Passage, StandingFiles};
use crate::strategy::Parallel;
use crate::telemetry::ChainMetrics;

/// How often the disk's free space is looked at.
const DISK_CHECK_MS: u64 = 1_000;
/// A disk below its reserve must have this much more before the node votes again, so that it does not flap.
const DISK_RESUME_PERCENT: u64 = 110;
/// Largest step between wall and monotonic clock that needs no word in the log.
const CLOCK_STEP_MS: i64 = 1_000;

/// Everything a driver works with.
pub(crate) struct Parts {
    pub(crate) chain: Chain,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: ChainConfig,
    pub(crate) strategy: Parallel,
    pub(crate) secret: [u8; 32],
    pub(crate) network: Network,
    /// The chain's lanes in the order of [`Lane::ALL`], and the network's number of the first.
    pub(crate) lanes: Vec<LaneReceiver>,
    pub(crate) first_lane: usize,
    pub(crate) requests: Requests,
    pub(crate) submissions: mpsc::Receiver<Submission>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) disk_reserve_bytes: u64,
    /// While the node rejoins: where the proof of passage goes.
    pub(crate) rejoining: Option<StandingFiles>,
    pub(crate) metrics: ChainMetrics,
}

/// How to answer the engine.
enum PendingReply {
    Proposal(Reply<[u8; 32]>),
    Verdict(Reply<bool>),
}

impl PendingReply {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Proposal(reply) => reply.is_cancelled(),
            Self::Verdict(reply) => reply.is_cancelled(),
        }
    }
}

/// What the threads report.
enum Done {
    Input(Input),
    Executed(Executed, Duration),
    Persisted(BlockDigest, Duration),
    Verified { digest: BatchDigest, first_bad: Option<usize>, transactions: usize, took: Duration },
    Halt(HaltCode, String),
}

enum StorageJob {
    Write { set: WriteSet, durability: Durability, then: Option<BlockDigest> },
}

/// One chain in motion.
pub(crate) struct Driver {
    parts: Parts,
    started: Instant,
    wall_offset_ms: i64,
    replies: BTreeMap<Ticket, PendingReply>,
    next_ticket: u64,
    wake: tokio::time::Instant,
    done: mpsc::UnboundedReceiver<Done>,
    done_sender: mpsc::UnboundedSender<Done>,
    to_storage: blocking::Sender<StorageJob>,
    to_verifier: blocking::Sender<(BatchDigest, Arc<Batch>)>,
    to_executor: ExecutorQueue,
    next_disk_check: tokio::time::Instant,
    end: Option<End>,
    free_bytes: u64,
    passage: Option<Passage>,
    executing: Option<(TimestampMs, Option<Bytes>)>,
}

/// Why a driver ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The chain halted.
    Halt(HaltCode),
    /// A rejoining node may vote again: it starts anew, as a voter.
    Rejoined,
}

impl Driver {
    /// Starts the threads. They end when the driver is dropped.
    pub(crate) fn new(mut parts: Parts, executor: Executor<Parallel>) -> std::io::Result<Self> {
        let (done_sender, done) = mpsc::unbounded_channel();
        let to_storage = spawn_storage(Arc::clone(&parts.store), done_sender.clone())?;
        let to_verifier = spawn_verifier(&parts, done_sender.clone())?;
        let to_executor = spawn_executor(executor, done_sender.clone())?;
        let started = Instant::now();
        let now = tokio::time::Instant::now();
        parts.lanes.truncate(Lane::ALL.len());
        let mut driver = Self {
            parts,
            started,
            wall_offset_ms: 0,
            replies: BTreeMap::new(),
            next_ticket: 0,
            wake: now,
            done,
            done_sender,
            to_storage,
            to_verifier,
            to_executor,
            next_disk_check: now,
            end: None,
            free_bytes: u64::MAX,
            passage: None,
            executing: None,
        };
        driver.wall_offset_ms = driver.wall_offset();
        driver.passage = driver.parts.rejoining.is_some().then(|| Passage::new(driver.now().elapsed_ms));
        Ok(driver)
    }

    /// The way to ask the executor about wallets.
    pub(crate) fn wallet_questions(&self) -> WalletQuestions {
        WalletQuestions::new(&self.to_executor)
    }

    /// Runs until the node stops or the chain halts.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Option<End> {
        loop {
            let inputs = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return None,
                inputs = self.next() => inputs,
            };
            for input in inputs {
                self.step(input);
            }
            self.drop_cancelled();
            self.publish();
            if self.end.is_some() {
                return self.end;
            }
        }
    }

    /// Waits for something to happen.
    async fn next(&mut self) -> Vec<Input> {
        let wake = self.wake.min(self.next_disk_check);
        let [control, block, batch, sync] = self.parts.lanes.as_mut_slice() else { return Vec::new() };
        let frame = |(from, bytes): (u16, Bytes)| vec![Input::Frame { from: NodeIndex(from), bytes }];
        tokio::select! {
            Some(request) = self.parts.requests.recv() => self.asked(request),
            Some(done) = self.done.recv() => self.finished(done),
            Some(received) = control.recv() => frame(received),
            Some(received) = block.recv() => frame(received),
            Some(received) = batch.recv() => frame(received),
            Some(received) = sync.recv() => frame(received),
            Some(submission) = self.parts.submissions.recv() => self.submitted(submission),
            () = sleep_until(wake) => self.woken(),
        }
    }

    fn now(&self) -> Now {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall: wall_clock(), elapsed_ms }
    }

    fn step(&mut self, input: Input) {
        let now = self.now();
        for effect in self.parts.chain.step(now, input) {
            self.perform(effect);
        }
    }

    fn submitted(&mut self, submission: Submission) -> Vec<Input> {
        let answers = self.parts.chain.submit(self.now(), submission.pooled);
        // A client that went away does not need its answer.
        let _gone = submission.answers.send(answers).is_err();
        vec![Input::Wake]
    }

    fn woken(&mut self) -> Vec<Input> {
        if self.next_disk_check <= tokio::time::Instant::now() {
            self.check_surroundings();
        }
        vec![Input::Wake]
    }

    fn finished(&mut self, done: Done) -> Vec<Input> {
        match done {
            Done::Executed(executed, took) => {
                self.parts.metrics.executed(took, executed.transactions.len());
                let skipped = executed.skipped.iter().map(|(id, reason)| (id, Some(*reason)));
                self.parts.admission.depart(skipped);
                self.parts.admission.settle(&executed.transactions);
                self.look_for_passage();
                vec![Input::Executed(executed)]
            }
            Done::Persisted(digest, took) => {
                self.parts.metrics.persisted(took);
                vec![Input::Persisted(digest)]
            }
            Done::Verified { digest, first_bad, transactions, took } => {
                self.parts.metrics.verified(took, transactions);
                vec![Input::SignaturesChecked { digest, first_bad }]
            }
            Done::Input(input) => vec![input],
            Done::Halt(code, cause) => {
                self.halt_with(code, &cause);
                Vec::new()
            }
        }
    }

    // ---- the engine ----------------------------------------------------------------------------------------------

    fn asked(&mut self, request: Asked) -> Vec<Input> {
        match request {
            Asked::Propose { slot, parent, reply } => {
                let turn = turn(slot, parent);
                vec![self.ask(Question::Propose { turn }, PendingReply::Proposal(reply))]
            }
            Asked::Validate { slot, parent, digest, reply } => {
                let question = Question::Validate { turn: turn(slot, parent), digest: BlockDigest(digest) };
                vec![self.ask(question, PendingReply::Verdict(reply))]
            }
            Asked::Available { view, digest, reply, .. } => {
                let question = Question::Available { view: View(view), digest: BlockDigest(digest) };
                vec![self.ask(question, PendingReply::Verdict(reply))]
            }
            Asked::Disseminate { digest, to, .. } => {
                let to = match to {
                    Recipients::All => None,
                    Recipients::Some(validators) => {
                        Some(validators.into_iter().map(ValidatorIndex).collect())
                    }
                };
                vec![Input::Disseminate { digest: BlockDigest(digest), to }]
            }
            Asked::Finalized(proof) => vec![Input::Finalized {
                view: proof.view,
                digest: proof.digest,
                certificate: Bytes::from(proof.encode()),
            }],
            Asked::Evidence(evidence) => vec![Input::Misbehaved {
                validator: ValidatorIndex(evidence.validator),
                evidence: Bytes::from(evidence.bytes),
            }],
        }
    }

    fn ask(&mut self, question: Question, reply: PendingReply) -> Input {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.replies.insert(ticket, reply);
        Input::Asked { ticket, question }
    }

    fn drop_cancelled(&mut self) {
        let cancelled: Vec<_> = self
            .replies
            .iter()
            .filter(|(_, reply)| reply.is_cancelled())
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in cancelled {
            self.replies.remove(&ticket);
            self.step(Input::Cancelled(ticket));
        }
    }

    // ---- effects -------------------------------------------------------------------------------------------------

    fn perform(&mut self, effect: Effect) {
        match effect {
            // A full or missing link loses the frame: everything that matters is repeated or asked for.
            Effect::Send { to, lane, bytes } => {
                let _lost =
                    self.parts.network.try_send(to.0, self.parts.first_lane + lane.index(), bytes).is_err();
            }
            Effect::Persist { set, durability, then } => {
                self.hand(|driver| {
                    driver.to_storage.send(StorageJob::Write { set, durability, then }).is_ok()
                });
            }
            Effect::VerifySignatures { digest, batch } => {
                self.hand(|driver| driver.to_verifier.send((digest, batch)).is_ok());
            }
            Effect::Execute(block) => {
                self.executing = Some((block.block.header.timestamp, block.certificate.clone()));
                self.hand(|driver| driver.to_executor.send(ExecutorJob::Execute(block)).is_ok());
            }
            Effect::Serve { to, held, request } => self.serve(to, held, request),
            Effect::Reply { ticket, answer } => self.answer(ticket, answer),
            Effect::WakeAt { elapsed_ms } => {
                self.wake = tokio::time::Instant::from_std(self.started) + Duration::from_millis(elapsed_ms);
            }
            Effect::Report(report) => self.report(&report),
        }
    }

    /// A thread that is gone has reported why before; the halt is on its way.
    fn hand(&self, send: impl FnOnce(&Self) -> bool) {
        if !send(self) {
            let _stopping =
                self.done_sender.send(Done::Halt(HaltCode::Store, "a worker thread ended".into())).is_err();
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        match (self.replies.remove(&ticket), answer) {
            (Some(PendingReply::Proposal(reply)), Answer::Proposal(digest)) => {
                let _late = reply.send(digest.0);
            }
            (Some(PendingReply::Verdict(reply)), Answer::Verdict(verdict)) => {
                let _late = reply.send(verdict);
            }
            // Dropping the reply declines.
            _ => {}
        }
    }

    fn serve(&self, to: NodeIndex, held: Vec<Frame>, request: Option<Request>) {
        let (store, network) = (Arc::clone(&self.parts.store), self.parts.network.clone());
        let (lane, done) = (self.parts.first_lane + Lane::Sync.index(), self.done_sender.clone());
        tokio::task::spawn_blocking(move || {
            let read = request.map(|request| Archive::new(store.as_ref()).serve(&request));
            let read = read.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|fault| {
                tracing::warn!(peer = to.0, %fault, "could not serve a peer from disk");
                Vec::new()
            });
            for frame in held.into_iter().chain(read) {
                let _lost = network.try_send(to.0, lane, frame.encode()).is_err();
            }
            let _stopping = done.send(Done::Input(Input::Served(to))).is_err();
        });
    }

    fn report(&mut self, report: &Report) {
        let chain = self.parts.config.rules.chain.0;
        match report {
            Report::Final { height } => {
                tracing::trace!(chain, height = height.0, "final");
                if height.0 % EXPIRE_EVERY_BLOCKS == 0 {
                    self.parts.admission.expire(wall_clock());
                }
            }
            Report::Certified { height } => tracing::trace!(chain, height = height.0, "certified"),
            Report::Expired { transactions } => {
                self.parts.metrics.expired_transactions.inc_by(transactions.len() as u64);
                self.parts.admission.depart(transactions.iter().map(|id| (id, None)));
            }
            Report::Evidence { validator, kind } => {
                self.parts.metrics.evidence_records.inc();
                tracing::warn!(
                    chain,
                    validator = validator.0,
                    kind,
                    "a validator broke the rules; evidence kept"
                );
            }
            Report::Distrusted { node, reason } => {
                self.parts.metrics.distrusted_peers.inc();
                tracing::warn!(
                    chain,
                    node = node.0,
                    reason,
                    "a peer sent something wrong and is not asked for a while"
                );
            }
            Report::Diverged { height, own, certified } => {
                let cause = format!(
                    "at height {height} this node computed {} but the quorum certified {}",
                    own.result, certified.result
                );
                self.halt_with(HaltCode::Diverged, &cause);
            }
        }
    }

    fn halt_with(&mut self, code: HaltCode, cause: &str) {
        tracing::error!(chain = self.parts.config.rules.chain.0, code = code as u16, cause, "halted: {code}");
        self.end = Some(End::Halt(code));
    }

    /// A rejoining node votes again once it holds the certificate of a block from well after its start.
    fn look_for_passage(&mut self) {
        let now_ms = self.now().elapsed_ms;
        let (Some(passage), Some((timestamp, certificate))) = (&mut self.passage, self.executing.take())
        else {
            return;
        };
        let status = self.parts.chain.status();
        let is_behind = status.highest_announced.0 == 0
            || status.executed_height.0.saturating_add(BEHIND_HEIGHTS) < status.highest_announced.0;
        let is_proven = passage.is_proven_by(now_ms, timestamp, is_behind);
        let (Some(certificate), Some(files), true) = (certificate, &self.parts.rejoining, is_proven) else {
            return;
        };
        match files.pass(&certificate) {
            Ok(()) => {
                tracing::info!("proof of passage held: this node starts anew and votes again");
                self.end = Some(End::Rejoined);
            }
            Err(fault) => self.halt_with(HaltCode::Store, &fault.to_string()),
        }
    }

    // ---- surroundings --------------------------------------------------------------------------------------------

    /// Looks at the disk and at the clocks.
    fn check_surroundings(&mut self) {
        self.next_disk_check = tokio::time::Instant::now() + Duration::from_millis(DISK_CHECK_MS);
        let offset = self.wall_offset();
        let step = offset - self.wall_offset_ms;
        if step.abs() > CLOCK_STEP_MS {
            tracing::warn!(
                step_ms = step,
                "the wall clock was set; timeouts of the engine are off for that long"
            );
        }
        self.wall_offset_ms = offset;
        self.parts.metrics.store(&self.parts.store.statistics(), self.parts.store.bytes_on_disk().ok());
        let Ok(free) = self.parts.store.free_bytes() else { return };
        self.free_bytes = free;
        let reserve = self.parts.disk_reserve_bytes;
        let may_vote = self.parts.chain.status().may_vote;
        if may_vote && free < reserve {
            tracing::error!(
                free_bytes = free,
                reserve_bytes = reserve,
                "disk below its reserve: this node stops voting; free space and it resumes by itself"
            );
            self.parts.chain.set_may_vote(false);
        } else if !may_vote && free / 100 >= reserve / 100 * DISK_RESUME_PERCENT / 100 {
            tracing::info!(
                free_bytes = free,
                reserve_bytes = reserve,
                "disk above its reserve again: this node votes"
            );
            self.parts.chain.set_may_vote(true);
        }
    }

    /// Wall clock minus monotonic clock: constant unless somebody sets the wall clock.
    fn wall_offset(&self) -> i64 {
        let now = self.now();
        i64::try_from(now.wall.0)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(now.elapsed_ms).unwrap_or(i64::MAX))
    }

    fn publish(&self) {
        let chain = self.parts.chain.status();
        let halt = match self.end {
            Some(End::Halt(code)) => Some(code),
            _ => None,
        };
        let voting =
            match (halt, self.parts.config.own_validator.is_some(), self.passage.is_some(), chain.may_vote) {
                (Some(_), ..) => Voting::Halted,
                (None, false, ..) => Voting::Observer,
                (None, true, true, _) => Voting::Rejoining,
                (None, true, false, false) => Voting::DiskReserve,
                (None, true, false, true) => Voting::Yes,
            };
        let status = Status { chain, voting, disk_free_bytes: self.free_bytes, halt };
        self.parts.metrics.status(&status);
        self.parts.status.send_replace(status);
    }
}

/// A rejoining node this many heights below the newest announced result has not caught up.
const BEHIND_HEIGHTS: u64 = 5;
/// How often pending transactions that ran out of time are forgotten.
const EXPIRE_EVERY_BLOCKS: u64 = 64;

fn turn(slot: consensus::Slot, parent: [u8; 32]) -> Turn {
    Turn { view: View(slot.view), leader: ValidatorIndex(slot.leader), parent: BlockDigest(parent) }
}

/// Writes in order; several synced writes that wait together share the disk's wait.
fn spawn_storage(
    store: Arc<dyn Store>,
    done: mpsc::UnboundedSender<Done>,
) -> std::io::Result<blocking::Sender<StorageJob>> {
    let (sender, receiver) = blocking::channel::<StorageJob>();
    std::thread::Builder::new().name("storage".into()).spawn(move || {
        while let Ok(first) = receiver.recv() {
            let started = Instant::now();
            let mut durable = Vec::new();
            let mut must_sync = false;
            for StorageJob::Write { set, durability, then } in
                std::iter::once(first).chain(receiver.try_iter())
            {
                if let Err(fault) = store.write(set, Durability::Buffered) {
                    let _stopping = done.send(Done::Halt(HaltCode::Store, fault.to_string())).is_err();
                    return;
                }
                must_sync |= durability == Durability::Synced;
                durable.extend(then);
            }
            if must_sync && let Err(fault) = store.sync() {
                let _stopping = done.send(Done::Halt(HaltCode::Store, fault.to_string())).is_err();
                return;
            }
            for digest in durable {
                let _stopping = done.send(Done::Persisted(digest, started.elapsed())).is_err();
            }
        }
    })?;
    Ok(sender)
}

fn spawn_verifier(
    parts: &Parts,
    done: mpsc::UnboundedSender<Done>,
) -> std::io::Result<blocking::Sender<(BatchDigest, Arc<Batch>)>> {
    let (sender, receiver) = blocking::channel::<(BatchDigest, Arc<Batch>)>();
    let (genesis, secret, strategy) = (parts.config.rules.genesis, parts.secret, parts.strategy.clone());
    std::thread::Builder::new().name("verifier".into()).spawn(move || {
        let mut keys = KeyCache::default();
        while let Ok((digest, batch)) = receiver.recv() {
            let started = Instant::now();
            let transactions: Vec<&Transaction> = batch.content.transactions.iter().collect();
            let first_bad = check_signatures(&transactions, genesis, &secret, &mut keys, &strategy).err();
            let (transactions, took) = (transactions.len(), started.elapsed());
            let _stopping = done.send(Done::Verified { digest, first_bad, transactions, took }).is_err();
        }
    })?;
    Ok(sender)
}

fn spawn_executor(
    mut executor: Executor<Parallel>,
    done: mpsc::UnboundedSender<Done>,
) -> std::io::Result<ExecutorQueue> {
    let (sender, receiver) = executor_queue();
    std::thread::Builder::new().name("executor".into()).spawn(move || {
        while let Ok(job) = receiver.recv() {
            let block = match job {
                ExecutorJob::Execute(block) => block,
                ExecutorJob::Wallet(question) => {
                    question.answer(|wallet| executor.wallet(wallet));
                    continue;
                }
            };
            let started = Instant::now();
            match executor.execute(&block) {
                Ok(executed) => {
                    let _stopping = done.send(Done::Executed(executed, started.elapsed())).is_err();
                }
                Err(fault) => {
                    let code = if fault.is_storage() { HaltCode::Store } else { HaltCode::Execution };
                    let _stopping = done.send(Done::Halt(code, fault.to_string())).is_err();
                    return;
                }
            }
        }
    })?;
    Ok(sender)
}
