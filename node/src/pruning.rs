//! Prunes the chains of a node by the policy in `[history]`: beside the chain's own work, in small steps, never in its way.
//!
//! ```text
//! every 5 s: how far? ─ keep_blocks, certified, four minutes of block time (chain::pruning)
//!                     └ with archive_directory: no further than verified archives reach without a gap
//!    then: step, pause, step, pause, … ─► lines of history, page by page ─► room given back, table by table
//! ```
//!
//! - A step is one write of a bounded number of deletions on a thread that may block; between two there is a pause, so blocks go first.
//! - An archive is verified whole, with its certificates, once; again where its length or time of change is another. One that does not verify
//!   stops pruning below it and is told, once a minute at most.
//! - Room is given back after an eighth of `keep_blocks` was removed: each time costs about as much as is kept of keys, not of values.
//! - Below half the disk reserve nothing is written, here neither.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use audit::{ArchiveError, ArchiveRange, archives_in, verify_archive};
use chain::RowFault;
use chain::pruning::{RECLAIMED, prunable, prune_age_ms, prune_step, sweep_history};
use ledger::records::GenesisSpec;
use ledger::values::Height;
use storage::{StorageError, Store, key};
use tokio::task::JoinHandle;

use crate::config::NodeConfig;
use crate::handle::{ChainHandle, Voting};
use crate::telemetry::{ChainMetrics, Metrics};

/// How often is looked whether there is something to prune.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pause between two steps: the store's other writers come in between.
const STEP_PAUSE: Duration = Duration::from_millis(50);
/// Room is given back after this part of `keep_blocks` was removed.
const RECLAIM_PART: u64 = 8;
/// How often the same trouble is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What a node keeps of a chain.
#[derive(Debug, Clone)]
struct Policy {
    spec: Arc<GenesisSpec>,
    keep_blocks: u64,
    /// Block time within which nothing is pruned.
    age_ms: u64,
    archive_directory: Option<PathBuf>,
    reserve_bytes: u64,
}

/// Prunes one chain.
struct Pruner {
    policy: Policy,
    chain: ChainHandle,
    metrics: ChainMetrics,
    archives: Archives,
    /// Removed since room was given back.
    removed: u64,
    told: Option<Instant>,
}

/// Archives that were verified: their range under path, length and time of change.
#[derive(Debug, Default, Clone)]
struct Archives {
    verified: BTreeMap<(PathBuf, u64, Option<SystemTime>), ArchiveRange>,
}

/// Why a round ended early; the next one tries again.
#[derive(Debug, thiserror::Error)]
enum PruneFault {
    #[error(transparent)]
    Row(#[from] RowFault),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("a thread of it ended")]
    Thread,
}

impl From<StorageError> for PruneFault {
    fn from(fault: StorageError) -> Self {
        Self::Row(fault.into())
    }
}

/// Starts pruning where the configuration says so. The tasks end when they are aborted.
pub(crate) fn start(
    config: &NodeConfig,
    spec: &Arc<GenesisSpec>,
    chains: &[ChainHandle],
    metrics: &Metrics,
) -> Vec<JoinHandle<()>> {
    let pruner = |chain: &ChainHandle| {
        let metrics = metrics.chain(chain.chain());
        metrics.pruned_below(chain.held.pruned_below());
        let policy = Policy {
            spec: Arc::clone(spec),
            keep_blocks: config.history.keep_blocks?,
            age_ms: prune_age_ms(config.snapshots.every_ms),
            archive_directory: config.history.archive_directory.clone(),
            reserve_bytes: config.storage.disk_reserve_bytes,
        };
        let (chain, archives) = (chain.clone(), Archives::default());
        let pruner = Pruner { policy, chain, metrics, archives, removed: 0, told: None };
        Some(tokio::spawn(pruner.run()))
    };
    chains.iter().filter_map(pruner).collect()
}

impl Pruner {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let status = self.chain.now();
            if status.voting == Voting::Halted || status.disk_free_bytes < self.policy.reserve_bytes / 2 {
                continue;
            }
            if let Err(fault) = self.round().await
                && self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY)
            {
                self.told = Some(Instant::now());
                tracing::warn!(chain = self.chain.chain().0, %fault, "nothing is pruned for now");
            }
        }
    }

    /// Prunes as far as may be now.
    async fn round(&mut self) -> Result<(), PruneFault> {
        let before = self.chain.held.lowest_whole().unwrap_or(Height(1));
        let until = self.until().await?;
        let mut reached = before;
        while let Some(below) = self.on_thread(move |store| Ok(prune_step(store, until)?)).await? {
            reached = below;
            self.chain.held.prune(below);
            self.metrics.pruned_below(Some(below));
            tokio::time::sleep(STEP_PAUSE).await;
        }
        self.removed = self.removed.saturating_add(reached.0.saturating_sub(before.0));
        if self.removed == 0 || self.removed < self.policy.keep_blocks / RECLAIM_PART {
            return Ok(());
        }
        let mut after: Option<Vec<u8>> = None;
        loop {
            let from = after.take();
            let swept = move |store: &dyn Store| Ok(sweep_history(store, reached, from.as_deref())?);
            after = self.on_thread(swept).await?;
            if after.is_none() {
                break;
            }
            tokio::time::sleep(STEP_PAUSE).await;
        }
        for (table, is_by_height) in RECLAIMED {
            let until = is_by_height.then(|| key::height(reached.0));
            let room =
                move |store: &dyn Store| Ok(store.reclaim(table, until.as_ref().map(<[u8; 8]>::as_slice))?);
            self.on_thread(room).await?;
        }
        tracing::info!(
            chain = self.chain.chain().0,
            heights = self.removed,
            below = reached.0,
            "history is pruned"
        );
        self.removed = 0;
        Ok(())
    }

    /// The height below which is pruned now.
    async fn until(&mut self) -> Result<Height, PruneFault> {
        let (keep_blocks, age_ms) = (self.policy.keep_blocks, self.policy.age_ms);
        let allowed = self
            .on_thread(move |store| {
                let view = store.snapshot()?;
                Ok(prunable(view.as_ref(), keep_blocks, age_ms)?)
            })
            .await?;
        let Some(directory) = self.policy.archive_directory.clone() else { return Ok(allowed) };
        let lowest = self.chain.held.lowest_whole().unwrap_or(Height(1));
        if allowed <= lowest {
            return Ok(allowed);
        }
        let (spec, chain) = (Arc::clone(&self.policy.spec), self.chain.chain());
        let mut archives = std::mem::take(&mut self.archives);
        // Without the store: a start anew must not wait for an archive that is read whole.
        let verified = tokio::task::spawn_blocking(move || {
            let reach = archives.reach(&directory, &spec, chain, lowest);
            (archives, reach)
        });
        let (archives, reach) = verified.await.map_err(|_| PruneFault::Thread)?;
        self.archives = archives;
        Ok(allowed.min(reach?))
    }

    /// Work on the store, on a thread that may block.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, PruneFault> + Send + 'static,
    ) -> Result<T, PruneFault> {
        let store = Arc::clone(&self.chain.store);
        tokio::task::spawn_blocking(move || work(store.as_ref())).await.map_err(|_| PruneFault::Thread)?
    }
}

impl Archives {
    /// The height above the last one that archives hold from `lowest` on without a gap.
    fn reach(
        &mut self,
        directory: &Path,
        spec: &GenesisSpec,
        chain: ledger::values::ChainId,
        lowest: Height,
    ) -> Result<Height, PruneFault> {
        let mut reach = lowest;
        for found in archives_in(directory, spec, chain)? {
            let (path, range) = (found.path, found.range);
            // What is pruned already need not be looked at, and what is beyond a gap is of no use yet.
            if range.to < reach || range.from > reach {
                continue;
            }
            let entry = std::fs::metadata(&path).map_err(|fault| ArchiveError::io(&path, fault))?;
            let known = (path.clone(), entry.len(), entry.modified().ok());
            let verified = match self.verified.get(&known) {
                Some(range) => *range,
                None => {
                    let range = verify_archive(&path, spec)?.range;
                    self.verified.insert(known, range);
                    range
                }
            };
            reach = reach.max(verified.to.next());
        }
        Ok(reach)
    }
}
