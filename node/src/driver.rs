//! Performs what a chain decides: one task owns the state machine; threads beside it do what takes long.
//!
//! ```text
//!  engine ─ requests ─┐                     ┌─ storage thread   (writes in order, group sync)
//!  peers ── lanes ────┤                     ├─ verifier thread  (signatures of batches, proofs of bundles)
//!  clients ─ submit ──┼─► Driver: step() ──►├─ executor thread  (final blocks, one by one)
//!  threads ─ done ────┘                     ├─ server tasks     (answers to peers that catch up)
//!                                           └─ network, engine replies, metrics
//! ```
//!
//! Between two epochs there is no engine for a moment (`epochs.rs`); everything else goes on.
//!
//! Inputs that wait are taken together, by turns: whoever floods one way in delays nobody on another.
//!
//! The queues to the threads have no bound of their own: what can be in them is bounded by what the chain lets in
//! (batches per sealer, bundles per sender, open blocks, one execution, one answer per peer and lane).

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chain::{Archive, Chain, Effect, Executor, Frame, Input, Lane, Now, Report, Request, Room, Snapshots};
use consensus::Requests;
use ledger::rules::ChainRules;
use ledger::values::{BlockDigest, ChainId, NodeIndex, TimestampMs};
use network::{LaneReceiver, Network};
use seam::Questions;
use storage::Store;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::admission::{Admission, Submission, wall_clock};
use crate::departed::Reason;
use crate::disk::{DiskBudget, DiskWatch};
use crate::divergence::{Divergences, Next};
use crate::epochs::{Seat, Turn};
use crate::gather::by_turns;
use crate::handle::{HaltCode, Status, Voting};
use crate::market::{MarketBoard, MarketWatch};
use crate::questions::{ExecutorJob, ExecutorQueue, WalletQuestions};
use crate::rarely::Rarely;
use crate::relay::Outlet;
use crate::standing::{Passage, StandingFiles};
use crate::strategy::Parallel;
use crate::telemetry::ChainMetrics;
use crate::verifier::{CheckJob, Unverified, Verified, Verifier};
use crate::workers::{Done, DoneSender, StorageJob, halts, spawn_executor, spawn_storage};

/// How often clocks and statistics are looked at.
const LOOK_AROUND_MS: u64 = 1_000;
/// Largest step between wall and monotonic clock that needs no word in the log.
const CLOCK_STEP_MS: i64 = 1_000;

/// Everything a driver works with.
pub(crate) struct Parts {
    pub(crate) chain: Chain,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) id: ChainId,
    pub(crate) verifier: Verifier,
    pub(crate) network: Network,
    /// The chain's lanes in the order of [`Lane::ALL`], and the network's number of the first.
    pub(crate) lanes: Vec<LaneReceiver>,
    pub(crate) first_lane: usize,
    /// The engine of each epoch, once it has started.
    pub(crate) seats: mpsc::Receiver<Seat>,
    /// Says which epoch is to be run.
    pub(crate) turns: watch::Sender<Turn>,
    /// The rules of the next height, for whoever shows or follows them.
    pub(crate) rules: watch::Sender<ChainRules>,
    pub(crate) submissions: mpsc::Receiver<Submission>,
    /// Bundles that relays bring, this node's own and those of others.
    pub(crate) relayed: Outlet,
    pub(crate) admission: Arc<Admission>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) market: MarketBoard,
    pub(crate) disk_reserve_bytes: u64,
    pub(crate) disk_budget: DiskBudget,
    pub(crate) divergences: Divergences,
    /// What the executor keeps for nodes that join.
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) metrics: ChainMetrics,
}

/// One chain in motion.
pub(crate) struct Driver {
    parts: Parts,
    started: Instant,
    wall_offset_ms: i64,
    questions: Questions,
    wake: tokio::time::Instant,
    done: mpsc::UnboundedReceiver<Done>,
    done_sender: DoneSender,
    to_storage: blocking::Sender<StorageJob>,
    to_verifier: blocking::Sender<CheckJob>,
    to_executor: ExecutorQueue,
    disk: DiskWatch,
    next_disk_check: tokio::time::Instant,
    next_look_around: tokio::time::Instant,
    end: Option<End>,
    /// What the running engine asks; none while one epoch follows another.
    requests: Option<Requests>,
    /// While the node rejoins: where the proof of passage goes, and whether it is there.
    rejoining: Option<(StandingFiles, Passage)>,
    executing: Option<(TimestampMs, Option<Bytes>)>,
    threads: Vec<JoinHandle<()>>,
    rarely: Rarely,
    market: MarketWatch,
}

/// Where inputs come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// What the consensus engine asks.
    Engine,
    /// What the threads report.
    Threads,
    /// Frames of a lane; in it the peers take turns.
    Peers(Lane),
    /// Submitted transactions.
    Clients,
    /// Receipts of other chains.
    Relays,
}

/// Why a driver ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The chain halted.
    Halt(HaltCode),
    /// It starts anew: a rejoining node as a voter, a diverged one at its last certified height.
    StartAnew,
}

impl Driver {
    /// Starts the threads. They end when the driver is dropped.
    pub(crate) fn new(mut parts: Parts, executor: Executor<Parallel>) -> std::io::Result<Self> {
        let (done_sender, done) = mpsc::unbounded_channel();
        let (to_storage, storage) = spawn_storage(Arc::clone(&parts.store), done_sender.clone())?;
        let to_driver = done_sender.clone();
        let report = move |verified, transactions, took| {
            let _stopping = to_driver.send(Done::Verified { verified, transactions, took }).is_err();
        };
        let to_driver = done_sender.clone();
        let checked = move |digest, facts| {
            let _stopping = to_driver.send(Done::BundleChecked { digest, facts }).is_err();
        };
        let (to_verifier, verifier) = parts.verifier.clone().spawn(halts(&done_sender), report, checked)?;
        let (to_executor, executor) = spawn_executor(executor, done_sender.clone())?;
        let started = Instant::now();
        let now = tokio::time::Instant::now();
        parts.lanes.truncate(Lane::ALL.len());
        let disk = DiskWatch::new(parts.disk_reserve_bytes);
        let market = MarketWatch::new(parts.market.clone());
        let mut driver = Self {
            parts,
            started,
            wall_offset_ms: 0,
            questions: Questions::default(),
            wake: now,
            done,
            done_sender,
            to_storage,
            to_verifier,
            to_executor,
            disk,
            next_disk_check: now,
            next_look_around: now,
            end: None,
            requests: None,
            rejoining: None,
            executing: None,
            threads: vec![storage, verifier, executor],
            rarely: Rarely::default(),
            market,
        };
        driver.wall_offset_ms = driver.wall_offset();
        Ok(driver)
    }

    /// The way to ask the executor about wallets.
    pub(crate) fn wallet_questions(&self) -> WalletQuestions {
        WalletQuestions::new(&self.to_executor)
    }

    /// Runs until the node stops or the chain halts, and its threads have ended: they hold the store open.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Option<End> {
        let end = self.drive(&mut stop).await;
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        let join = move || threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        match tokio::task::spawn_blocking(join).await {
            Ok(0) => end,
            _ => end.or(Some(End::Halt(HaltCode::Thread))),
        }
    }

    async fn drive(&mut self, stop: &mut watch::Receiver<bool>) -> Option<End> {
        loop {
            let inputs = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return None,
                inputs = self.next() => inputs,
            };
            let inputs = self.gather(inputs);
            self.step(inputs);
            self.drop_cancelled();
            let (now_ms, pool) = (self.now().elapsed_ms, self.parts.chain.pool());
            self.market.look(now_ms, || pool.backlog());
            self.publish();
            if self.end.is_some() {
                return self.end;
            }
        }
    }

    /// Waits for something to happen.
    async fn next(&mut self) -> Vec<Input> {
        let wake = self.wake.min(self.next_disk_check).min(self.next_look_around);
        let [control, block, batch, sync] = self.parts.lanes.as_mut_slice() else { return Vec::new() };
        let frame = |(from, bytes): (u16, Bytes)| vec![Input::Frame { from: NodeIndex(from), bytes }];
        tokio::select! {
            Some(request) = next_request(&mut self.requests) => vec![self.questions.asked(request)],
            Some(seat) = self.parts.seats.recv() => self.seated(seat),
            Some(done) = self.done.recv() => self.finished(done),
            Some(received) = control.recv() => frame(received),
            Some(received) = block.recv() => frame(received),
            Some(received) = batch.recv() => frame(received),
            Some(received) = sync.recv() => frame(received),
            Some(submission) = self.parts.submissions.recv() => self.submitted(submission),
            Some(brought) = self.parts.relayed.recv() => vec![brought],
            () = sleep_until(wake) => self.woken(),
        }
    }

    /// Adds what waits already: under load one look at the chain serves many inputs.
    fn gather(&mut self, mut inputs: Vec<Input>) -> Vec<Input> {
        by_turns(&SOURCES, &mut inputs, INPUTS_PER_STEP_MAX, |source| self.take(source));
        inputs
    }

    /// The next thing of a source, if one waits.
    fn take(&mut self, source: Source) -> Option<Vec<Input>> {
        match source {
            Source::Engine => {
                let request = self.requests.as_mut()?.try_recv()?;
                Some(vec![self.questions.asked(request)])
            }
            Source::Threads => {
                let done = self.done.try_recv().ok()?;
                Some(self.finished(done))
            }
            Source::Peers(lane) => {
                let (from, bytes) = self.parts.lanes.get_mut(lane.index())?.try_recv()?;
                Some(vec![Input::Frame { from: NodeIndex(from), bytes }])
            }
            Source::Relays => Some(vec![self.parts.relayed.try_recv()?]),
            Source::Clients => {
                let submission = self.parts.submissions.try_recv().ok()?;
                Some(self.submitted(submission))
            }
        }
    }

    fn now(&self) -> Now {
        let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall: wall_clock(), elapsed_ms }
    }

    fn step(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let now = self.now();
        for effect in self.parts.chain.step_all(now, inputs) {
            self.perform(effect);
        }
    }

    /// An engine has started.
    fn seated(&mut self, Seat { epoch, requests, rejoining }: Seat) -> Vec<Input> {
        // Of an epoch that has ended meanwhile: the next one is on its way.
        if epoch == self.parts.chain.config().epoch {
            self.requests = Some(requests);
            let waiting = self.rejoining.take().map(|(_, passage)| passage);
            let waiting = waiting.filter(|passage| matches!(passage, Passage::Later(_)));
            let begun = || waiting.unwrap_or_else(|| Passage::new(self.now().elapsed_ms));
            self.rejoining = rejoining.map(|(files, passage)| (files, passage.unwrap_or_else(begun)));
        }
        vec![Input::Wake]
    }

    /// The chain has passed the end of an epoch: its engine is done.
    fn next_epoch(&mut self, last: BlockDigest) {
        self.requests = None;
        self.questions.forget();
        self.parts.turns.send_replace(Turn { config: self.parts.chain.config().clone(), last });
    }

    fn submitted(&mut self, submission: Submission) -> Vec<Input> {
        let now = self.now();
        let first = submission.pooled.first().map(|pooled| pooled.id);
        let answers = self.parts.chain.submit(now, submission.pooled);
        if let (Some(id), Some(Ok(()))) = (first, answers.first()) {
            self.market.took_in(id, now.elapsed_ms);
        }
        // A client that went away does not need its answer.
        let _gone = submission.answers.send(answers).is_err();
        vec![Input::Wake]
    }

    fn woken(&mut self) -> Vec<Input> {
        let now = tokio::time::Instant::now();
        if self.next_disk_check <= now {
            self.check_disk();
            self.next_disk_check = now + self.disk.pause();
        }
        if self.next_look_around <= now {
            self.look_around();
            self.next_look_around = now + Duration::from_millis(LOOK_AROUND_MS);
        }
        vec![Input::Wake]
    }

    fn finished(&mut self, done: Done) -> Vec<Input> {
        match done {
            Done::Executed(executed, took) => {
                self.parts.metrics.executed(took, executed.transactions.len());
                self.parts.metrics.moved(executed.moved);
                let skipped =
                    executed.skipped.iter().map(|(id, reason)| (id, Some(Reason::NotExecuted(*reason))));
                self.parts.admission.depart(skipped);
                self.parts.admission.settle(&executed.transactions);
                if let Some(rules) = &executed.rules {
                    self.parts.admission.set_rules((**rules).clone());
                    self.parts.rules.send_replace((**rules).clone());
                }
                self.market.executed(executed.claim.height, &executed.transactions);
                self.look_for_passage();
                vec![Input::Executed(executed)]
            }
            Done::Persisted(digest, took) => {
                self.parts.metrics.persisted(took);
                vec![Input::Persisted(digest)]
            }
            Done::Verified { verified, transactions, took } => {
                self.parts.metrics.verified(took, transactions);
                let checked = |Verified { digest, first_bad }| Input::SignaturesChecked { digest, first_bad };
                verified.into_iter().map(checked).collect()
            }
            Done::BundleChecked { digest, facts } => vec![Input::BundleChecked { digest, facts }],
            Done::Served { to, lane, fault } => {
                if let Some(fault) = fault
                    && let Some(times) = self.rarely.count(to.0, "unserved")
                {
                    tracing::warn!(peer = to.0, %fault, times, "could not serve a peer from disk");
                }
                vec![Input::Served { to, lane }]
            }
            Done::Halt(code, cause) => {
                self.halt_with(code, &cause);
                Vec::new()
            }
        }
    }

    /// Tells the chain what the engine gave up.
    fn drop_cancelled(&mut self) {
        let cancelled = self.questions.cancelled();
        if !cancelled.is_empty() {
            self.step(cancelled);
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
                self.hand(|driver| driver.to_storage.send(StorageJob { set, durability, then }).is_ok());
            }
            Effect::VerifySignatures { digest, batch } => {
                let job = CheckJob::Batch(Unverified { digest, batch });
                self.hand(|driver| driver.to_verifier.send(job).is_ok());
            }
            Effect::CheckBundle { digest, rules, bundle } => {
                let job = CheckJob::Bundle { digest, rules, bundle };
                self.hand(|driver| driver.to_verifier.send(job).is_ok());
            }
            Effect::Execute(block) => {
                let params = &self.parts.chain.config().rules.params;
                let board = self.market.board();
                board.add_block(&block.block.header, params);
                self.parts.metrics.base_fee(board.base_fee());
                self.executing = Some((block.block.header.timestamp, block.certificate.clone()));
                self.hand(|driver| driver.to_executor.send(ExecutorJob::Execute(block)).is_ok());
            }
            Effect::Serve { to, lane, held, request } => self.serve(to, lane, held, request),
            Effect::Reply { ticket, answer } => {
                let _question = self.questions.answer(ticket, answer);
            }
            Effect::WakeAt { elapsed_ms } => {
                self.wake = tokio::time::Instant::from_std(self.started) + Duration::from_millis(elapsed_ms);
            }
            Effect::Report(report) => self.report(&report),
        }
    }

    /// A thread that is gone has reported why before: that halt comes first.
    fn hand(&self, send: impl FnOnce(&Self) -> bool) {
        if !send(self) {
            let _stopping =
                self.done_sender.send(Done::Halt(HaltCode::Thread, "a thread has ended".into())).is_err();
        }
    }

    fn serve(&self, to: NodeIndex, lane: Lane, held: Vec<Frame>, request: Option<Request>) {
        let (store, network) = (Arc::clone(&self.parts.store), self.parts.network.clone());
        let (number, done) = (self.parts.first_lane + lane.index(), self.done_sender.clone());
        let snapshots = Arc::clone(&self.parts.snapshots);
        tokio::task::spawn_blocking(move || {
            let read = request.map(|request| Archive::new(store.as_ref()).serve(&request, &snapshots));
            let (read, fault) = match read {
                None => (Vec::new(), None),
                Some(Ok(frames)) => (frames, None),
                Some(Err(fault)) => (Vec::new(), Some(fault)),
            };
            for frame in held.into_iter().chain(read) {
                let _lost = network.try_send(to.0, number, frame.encode()).is_err();
            }
            let _stopping = done.send(Done::Served { to, lane, fault }).is_err();
        });
    }

    fn report(&mut self, report: &Report) {
        let chain = self.parts.id.0;
        self.parts.metrics.report(report);
        match report {
            Report::Final { height } => {
                tracing::trace!(chain, height = height.0, "final");
                if height.0 % EXPIRE_EVERY_BLOCKS == 0 {
                    self.parts.admission.expire(wall_clock());
                }
            }
            Report::Certified { height } => {
                tracing::trace!(chain, height = height.0, "certified");
                let now_ms = self.now().elapsed_ms;
                self.market.certified(*height, now_ms);
                // Where it can wait: a later height passes a divergence too.
                if self.disk.may_write()
                    && let Err(fault) = self.parts.divergences.certified(*height)
                {
                    self.halt_with(HaltCode::Store, &fault.to_string());
                }
            }
            Report::Sealed { transactions } => tracing::trace!(chain, transactions, "sealed"),
            Report::Expired { transactions } => {
                self.parts.admission.depart(transactions.iter().map(|id| (id, None)));
            }
            Report::Outbid { transactions } => {
                self.parts.admission.depart(transactions.iter().map(|id| (id, Some(Reason::Outbid))));
            }
            Report::Evidence { validator, kind } => {
                tracing::warn!(
                    chain,
                    validator = validator.0,
                    kind,
                    "a validator broke the rules; evidence kept"
                );
            }
            Report::EvidenceDropped { validator, kind } => {
                let kind = *kind;
                if let Some(times) = self.rarely.count(validator.0, kind) {
                    tracing::warn!(
                        chain,
                        validator = validator.0,
                        kind,
                        times,
                        "a validator broke the rules once more; not kept"
                    );
                }
            }
            Report::Distrusted { node, reason } => {
                let reason = *reason;
                if let Some(times) = self.rarely.count(node.0, reason) {
                    tracing::warn!(
                        chain,
                        node = node.0,
                        reason,
                        times,
                        "a peer sent something wrong and is not asked for a while"
                    );
                }
            }
            Report::EpochEnded { epoch, height, last } => {
                tracing::info!(chain, epoch = epoch.0, height = height.0, "epoch ended");
                self.next_epoch(*last);
            }
            Report::Joining { chunks: 0, .. } => {
                tracing::warn!(
                    chain,
                    "joining by a snapshot: nobody offers it any longer; another one is looked for"
                );
            }
            Report::Joining { chunks, missing, .. } => {
                if missing == chunks || missing % JOINING_LOGGED_EVERY == 0 {
                    self.log_joining("joining by a snapshot: this bank's state is fetched from its peers");
                }
            }
            Report::Replays { peers, newest } => {
                let newest = newest.map_or(0, |height| height.0);
                tracing::info!(
                    chain,
                    peers,
                    newest,
                    "no snapshot is far enough ahead to join by one: the node replays"
                );
            }
            Report::PrunedEverywhere { next, below } => {
                tracing::warn!(
                    chain,
                    next = next.0,
                    below = below.0,
                    "the peers have pruned what this node needs next: empty the chain's directory and join by a snapshot"
                );
            }
            Report::Joined { .. } => {
                self.log_joining("the snapshot is here: the node starts anew, compares it with the certified state, and follows");
                self.ends(End::StartAnew);
            }
            Report::Diverged { own, certified, back_to } => {
                // Nothing more is read from what is about to be taken back.
                self.publish();
                match self.parts.divergences.found(*own, *certified, *back_to) {
                    Ok(Next::StartAnew) => self.ends(End::StartAnew),
                    Ok(Next::Halt(cause)) => self.halt_with(HaltCode::Diverged, &cause),
                    Err(fault) => self.halt_with(HaltCode::Store, &fault.to_string()),
                }
            }
        }
    }

    fn log_joining(&self, message: &str) {
        let Some(joining) = self.parts.chain.status().joining else { return };
        let (height, chunks, fetched) = (joining.height.0, joining.chunks, joining.fetched);
        let (refused, bytes, sources) = (joining.refused, joining.bytes, joining.sources);
        let chain = self.parts.id.0;
        tracing::info!(chain, height, fetched, chunks, refused, bytes, sources, "{message}");
    }

    fn halt_with(&mut self, code: HaltCode, cause: &str) {
        tracing::error!(chain = self.parts.id.0, code = code as u16, cause, "halted: {code}");
        self.ends(End::Halt(code));
    }

    /// The first end is the cause.
    fn ends(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// A rejoining node votes again once it holds the certificate of a block that proves passage.
    fn look_for_passage(&mut self) {
        let now_ms = self.now().elapsed_ms;
        let (Some((files, passage)), Some((timestamp, certificate))) =
            (&mut self.rejoining, self.executing.take())
        else {
            return;
        };
        let status = self.parts.chain.status();
        let is_behind = status
            .highest_announced
            .is_none_or(|announced| status.executed_height.0.saturating_add(BEHIND_HEIGHTS) < announced.0);
        let is_proven = passage.is_proven_by(now_ms, timestamp, certificate.as_deref(), is_behind);
        let is_proven = is_proven && self.disk.may_write();
        let (Some(certificate), true) = (certificate, is_proven) else { return };
        match files.pass(&certificate) {
            Ok(()) => {
                tracing::info!("proof of passage held: this node starts anew and votes again");
                self.ends(End::StartAnew);
            }
            Err(fault) => self.halt_with(HaltCode::Store, &fault.to_string()),
        }
    }

    // ---- surroundings --------------------------------------------------------------------------------------------

    /// Looks at the clocks, at what the store counts, and at the one thread that does not report here.
    fn look_around(&mut self) {
        if let Some(cause) = self.parts.admission.panicked().map(str::to_owned) {
            self.halt_with(HaltCode::Thread, &cause);
        }
        let offset = self.wall_offset();
        let step = offset - self.wall_offset_ms;
        if step.abs() > CLOCK_STEP_MS {
            self.parts.metrics.clock_step();
            tracing::warn!(
                step_ms = step,
                "the wall clock was set; timeouts of the engine are off for that long"
            );
        }
        self.wall_offset_ms = offset;
        self.parts.metrics.store(&self.parts.store.statistics(), self.parts.store.bytes_on_disk().ok());
    }

    fn check_disk(&mut self) {
        let Ok(free) = self.parts.store.free_bytes() else { return };
        let free = self.parts.disk_budget.within(free);
        let Some(room) = self.disk.look(free) else { return };
        let reserve = self.disk.reserve_bytes();
        match room {
            Room::Enough => tracing::info!(
                free_bytes = free,
                reserve_bytes = reserve,
                "disk above its reserve again: this node votes"
            ),
            Room::Low => tracing::error!(
                free_bytes = free,
                reserve_bytes = reserve,
                "disk below its reserve: this node does not vote, and follows; free space and it resumes by itself"
            ),
            Room::None => tracing::error!(
                free_bytes = free,
                reserve_bytes = reserve,
                "disk below half its reserve: this node writes nothing; free space and it resumes by itself"
            ),
        }
        self.parts.chain.set_room(room);
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
        // A chain that has fetched its state has stopped too, until the node starts anew with it in a moment.
        let halted = halt.is_some() || (chain.halted && chain.joining.is_none());
        let voting = match (halted, chain.is_validator, self.rejoining.is_some(), chain.may_vote) {
            (true, ..) => Voting::Halted,
            (false, false, ..) => Voting::Observer,
            (false, true, true, _) => Voting::Rejoining,
            (false, true, false, false) => Voting::DiskReserve,
            (false, true, false, true) => Voting::Yes,
        };
        let divergence = self.parts.divergences.shown();
        let status = Status { chain, voting, disk_free_bytes: self.disk.free_bytes(), halt, divergence };
        let is_news = self.parts.status.send_if_modified(|shown| {
            let is_news = *shown != status;
            *shown = status;
            is_news
        });
        if is_news {
            self.parts.metrics.status(&status);
        }
    }
}

/// What the engine asks next; nothing while there is none.
async fn next_request(requests: &mut Option<Requests>) -> Option<consensus::Request> {
    match requests {
        Some(requests) => requests.recv().await,
        None => std::future::pending().await,
    }
}

/// A rejoining node this many heights below the newest announced result has not caught up.
const BEHIND_HEIGHTS: u64 = 5;
/// Inputs that are taken together.
const INPUTS_PER_STEP_MAX: usize = 64;
/// Each has its turn before any has its next one.
const SOURCES: [Source; 8] = [
    Source::Engine,
    Source::Threads,
    Source::Peers(Lane::Control),
    Source::Peers(Lane::Block),
    Source::Peers(Lane::Batch),
    Source::Peers(Lane::Sync),
    Source::Clients,
    Source::Relays,
];
const _: () = assert!(SOURCES.len() == 4 + Lane::ALL.len(), "no lane is forgotten");
const _: () = assert!(
    INPUTS_PER_STEP_MAX >= 8 * SOURCES.len(),
    "a source that has much to say has a share in each step"
);
/// How often pending transactions that ran out of time are forgotten.
const EXPIRE_EVERY_BLOCKS: u64 = 64;
/// Chunks of a snapshot between two lines of the log.
const JOINING_LOGGED_EVERY: u64 = 64;
