//! The consensus engines of one chain, one after another: an epoch, an engine (PROTOCOL rule 3).
//!
//! ```text
//! driver ── Turn {config, last block} ──► supervisor: stop ─► where does the node stand ─► start
//!    ▲                                        │        └── Door ──► feeds (frames from the network)
//!    └──────────── Seat {requests} ───────────┘
//! ```
//!
//! - An engine is stopped only when the last block of its epoch is final and executed here: it has nothing more to say, and peers that
//!   miss the last certificate ask the chain for it.
//! - Only the newest turn counts: a node that catches up may pass epochs faster than engines start.
//! - An engine that ends by itself, or does not start, ends the node.

use std::sync::Arc;
use std::time::Duration;

use chain::ChainConfig;
use ledger::values::{BlockDigest, Epoch, View};
use network::Network;
use storage::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::assemble::random_secret;
use crate::config::ConsensusSection;
use crate::engine::{self, Door, EngineThread, Links, RunningEngine};
use crate::standing::{Passage, Standing, StandingFiles};
use crate::start_error::{StartError, system};

/// Seats on their way to the driver.
pub(crate) const SEATS: usize = 2;

/// An epoch to run.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    /// The node's part in it.
    pub(crate) config: ChainConfig,
    /// The last block of the epoch before; the genesis block's digest for the first.
    pub(crate) last: BlockDigest,
}

/// What the driver gets of an engine.
pub(crate) struct Seat {
    /// Its epoch.
    pub(crate) epoch: Epoch,
    /// What it asks.
    pub(crate) requests: consensus::Requests,
    /// While the node rejoins: where the proof of passage goes, and what proves it where that is known already.
    pub(crate) rejoining: Option<(StandingFiles, Option<Passage>)>,
}

/// What engines are started with.
pub(crate) struct Supervisor {
    pub(crate) files: StandingFiles,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) section: ConsensusSection,
    pub(crate) network: Network,
    /// The network's number of the chain's first consensus lane.
    pub(crate) first_lane: usize,
    pub(crate) doors: watch::Sender<Option<Arc<Door>>>,
    pub(crate) seats: mpsc::Sender<Seat>,
}

/// The engines of a chain while the node runs.
pub(crate) struct Epochs {
    task: JoinHandle<Option<String>>,
    stop: watch::Sender<bool>,
}

impl Epochs {
    /// Starts the first engine, and the task that starts the others.
    ///
    /// # Errors
    /// The first engine does not start.
    pub(crate) async fn start(
        supervisor: Supervisor,
        mut turns: watch::Receiver<Turn>,
    ) -> Result<Self, StartError> {
        let first = turns.borrow_and_update().clone();
        let engine = supervisor.begin(&first).await?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(supervisor.run(engine, turns, stopped));
        Ok(Self { task, stop })
    }

    /// Resolves with the cause when an engine ended by itself or did not start; never else.
    pub(crate) async fn failed(&mut self) -> String {
        match (&mut self.task).await {
            Ok(Some(cause)) => cause,
            Ok(None) => std::future::pending().await,
            Err(fault) => fault.to_string(),
        }
    }

    /// Stops the running engine and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if !self.task.is_finished() {
            let _ended = self.task.await;
        }
    }
}

impl Supervisor {
    /// Runs engine after engine; answers why it could not go on, or nothing when it was stopped.
    async fn run(
        self,
        mut engine: EngineThread,
        mut turns: watch::Receiver<Turn>,
        mut stopped: watch::Receiver<bool>,
    ) -> Option<String> {
        loop {
            let next = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => None,
                exit = engine.ended() => return Some(format!("the engine ended: {exit:?}")),
                // A driver that is gone has ended, and the node with it.
                changed = turns.changed() => changed.ok().map(|()| turns.borrow_and_update().clone()),
            };
            engine.stop();
            let _ended = engine.ended().await;
            let turn = next?;
            match self.begin(&turn).await {
                Ok(begun) => engine = begun,
                Err(fault) => return Some(format!("epoch {}: {fault}", turn.config.epoch)),
            }
        }
    }

    /// Starts the engine of an epoch, as what the node may do in it.
    async fn begin(&self, turn: &Turn) -> Result<EngineThread, StartError> {
        let Turn { config, last } = turn;
        let (chain, epoch) = (config.rules.chain.0, config.epoch);
        let files = |fault: std::io::Error| system("data directory", &fault);
        let standing = self.files.read(self.store.as_ref(), epoch).map_err(files)?;
        let is_rejoining = config.own_validator.is_some() && !standing.may_vote();
        let is_voter = config.own_validator.is_some() && !is_rejoining;
        let journal = if is_voter {
            self.files.begin_voting(self.store.as_ref(), epoch, random_secret()?).map_err(files)?;
            self.files.journal(epoch)
        } else {
            // An observer votes nowhere: whatever an earlier one left says nothing.
            self.files.clear_observer_journal().map_err(files)?;
            self.files.observer_journal()
        };
        let mut passage = None;
        if let (true, Standing::Doubtful(damage)) = (is_rejoining, &standing) {
            passage = Some(Passage::Above(epoch, View(damage.newest_view)));
            tracing::warn!(
                chain,
                epoch = epoch.0,
                file = %damage.file.display(),
                at_byte = damage.at_byte,
                view = damage.newest_view,
                "the journal is damaged and may have lost votes: this validator follows and does not vote until that view is passed. Check the device"
            );
        } else if is_rejoining {
            tracing::warn!(
                chain,
                epoch = epoch.0,
                "no journal: this validator follows and does not vote until it cannot contradict an earlier vote"
            );
        }
        let links = Links::new(self.network.clone(), self.first_lane, config);
        let engine = engine::start(&journal, config, *last, &standing, &self.section, links).await?;
        let RunningEngine { thread, requests, inbound } = engine;
        self.doors.send_replace(Some(Arc::new(Door::new(config, inbound))));
        let rejoining = is_rejoining.then(|| (self.files.clone(), passage));
        // A driver that is gone has ended, and the node with it.
        let _gone = self.seats.send(Seat { epoch, requests, rejoining }).await.is_err();
        if is_voter {
            only_the_journal_speaks(&self.files, epoch, JOURNAL_WAIT_ATTEMPTS).await.map_err(files)?;
        }
        let validators = config.validators().len();
        tracing::info!(chain, epoch = epoch.0, validators, votes = is_voter, "epoch begun");
        Ok(thread)
    }
}

/// Waits until the engine has begun its journal, then takes back every other permission to vote. A crash in between
/// leaves both, which is harmless: the journal is synced before a vote leaves. An engine that votes without one is none to go on with.
async fn only_the_journal_speaks(
    files: &StandingFiles,
    epoch: Epoch,
    attempts: usize,
) -> std::io::Result<()> {
    for _attempt in 0..attempts {
        if files.has_journal(epoch)? {
            return files.votes(epoch);
        }
        tokio::time::sleep(Duration::from_millis(JOURNAL_WAIT_MS)).await;
    }
    Err(std::io::ErrorKind::TimedOut.into())
}

/// How often, and at what interval, a new journal is looked for.
const JOURNAL_WAIT_ATTEMPTS: usize = 1_500;
const JOURNAL_WAIT_MS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_without_a_journal_does_not_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let files = StandingFiles::new(&folder.path().join("chain-0"));
        files.init().unwrap();
        let ended = only_the_journal_speaks(&files, Epoch(0), 2).await;
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        let partition = files.journal(Epoch(0)).join("journal-c0-e0-00000000");
        std::fs::create_dir_all(&partition).unwrap();
        std::fs::write(partition.join("00"), b"header").unwrap();
        only_the_journal_speaks(&files, Epoch(0), 2).await.unwrap();
    }
}
