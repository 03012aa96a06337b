//! The test runtime: one thread, virtual time, and a seed that decides every choice.
//!
//! Equal seeds and equal code give equal runs, step by step; [`World::trace_digest`] compares two. A run ends
//! like a power cut of every node in it: what the storage had not synced is lost. The [`World`] it leaves
//! holds what survived, and a later run continues in it. To crash one node only, abort its tasks and start it
//! again: opening a journal shows only what was synced.

use commonware_runtime::deterministic::{
    Checkpoint, Config, Context, FaultConfig, PartialWriteMode, Runner, WriteConfig,
};
use commonware_utils::Probability;
use std::fmt;
use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};

/// Virtual time at which a world begins: 2026-01-01, so that timestamps look like those of a real chain.
pub const START_MS: u64 = 1_767_225_600_000;

/// The test context. Use it through [`Runtime`](super::Runtime) only.
pub type DeterministicContext = Context;

/// A deterministic world: before its first run, or what a run left of it.
pub struct World(Origin);

enum Origin {
    New(Config),
    Crashed(Checkpoint),
}

impl World {
    /// A new world. It panics when it is still running `limit_ms` of virtual time after its start, so that a
    /// test that makes no progress ends.
    #[must_use]
    pub fn new(seed: u64, limit_ms: u64) -> Self {
        let config = Config::new()
            .with_seed(seed)
            .with_start_time(UNIX_EPOCH + Duration::from_millis(START_MS))
            .with_timeout(Some(Duration::from_millis(limit_ms)));
        Self(Origin::New(config))
    }

    /// A new world in which a crash keeps a random prefix of each unsynced write: torn writes.
    ///
    /// `kept_percent` is the chance of each byte to survive until the first that does not.
    #[must_use]
    pub fn with_torn_writes(seed: u64, limit_ms: u64, kept_percent: u8) -> Self {
        let Self(origin) = Self::new(seed, limit_ms);
        let chance = |percent: u8| Probability::new(u64::from(percent.min(100)), 100);
        let origin = match (origin, chance(0), chance(kept_percent)) {
            (Origin::New(config), Some(failure_rate), Some(retention_rate)) => {
                let mode = PartialWriteMode::Prefix;
                let writes = WriteConfig { failure_rate, retention_rate, mode };
                Origin::New(config.with_storage_fault_config(FaultConfig::default().write(writes)))
            }
            (origin, ..) => origin,
        };
        Self(origin)
    }

    /// Runs `root` to its end, then cuts the power. Returns its output and what survived.
    ///
    /// A panic of any task is a panic here.
    pub fn run<F, Fut>(self, root: F) -> (Fut::Output, Self)
    where
        F: FnOnce(DeterministicContext) -> Fut,
        Fut: Future,
    {
        let runner = match self.0 {
            Origin::New(config) => Runner::new(config),
            Origin::Crashed(checkpoint) => Runner::from(checkpoint),
        };
        let (output, checkpoint) = runner.start_and_recover(root);
        (output, Self(Origin::Crashed(checkpoint)))
    }

    /// Digest over everything that happened so far: task order, time, storage. Empty before the first run.
    #[must_use]
    pub fn trace_digest(&self) -> String {
        match &self.0 {
            Origin::New(_) => String::new(),
            Origin::Crashed(checkpoint) => checkpoint.auditor().state(),
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("World").field(&self.trace_digest()).finish()
    }
}
