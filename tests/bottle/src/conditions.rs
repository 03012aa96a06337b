//! What a machine's surroundings do to its process: its wall clock, its disk's speed, and whether it is stopped.
//!
//! The world sets them, the machine's drivers and relay read them, and they outlive processes. A stopped process does nothing:
//! frames to and from it wait ([`crate::links`]), and it goes on where it stood. The consensus engine's own timers run on
//! meanwhile, as the runtime cannot hold them; what they send waits with the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often a stopped process looks whether it may go on.
pub(crate) const STOPPED_LOOK_MS: u64 = 5;

/// The conditions of all machines. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Conditions(Arc<Mutex<BTreeMap<u16, Condition>>>);

/// What one machine lives with; the default is a good one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// The wall clock's lead over the true time.
    pub(crate) wall_ahead_ms: i64,
    /// Added to the time of each sync.
    pub(crate) sync_ms: u64,
    /// Whether its process is stopped.
    pub(crate) is_stopped: bool,
}

impl Conditions {
    pub(crate) fn of(&self, node: u16) -> Condition {
        self.lock().get(&node).copied().unwrap_or_default()
    }

    pub(crate) fn set(&self, node: u16, change: impl FnOnce(&mut Condition)) {
        change(self.lock().entry(node).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, Condition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
