//! The simulated device: tables, what is not yet durable, and the crash.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::damage::Damage;
use super::plan::{CrashPlan, CrashPoint, Fault, Survival};
use super::store::MemoryStore;
use crate::error::StorageError;
use crate::identity::Identity;
use crate::store::StoreStatistics;
use crate::table::Table;
use crate::write_set::TableWrites;

/// Rows of one table. Shared with snapshots; a write copies the map only while a snapshot holds it.
pub(super) type Rows = Arc<BTreeMap<Vec<u8>, Arc<[u8]>>>;

/// The rows that a set replaced, in the order of replacing; `None`: there was none.
type Undo = Vec<(Table, Vec<u8>, Option<Arc<[u8]>>)>;

/// A device that outlives the crashes of the process using it. Clones are the same device.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

/// What a crash did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// Write sets that were not synced and survived.
    pub kept: usize,
    /// Write sets that were not synced and are lost.
    pub lost: usize,
}

#[derive(Debug, Default)]
pub(super) struct State {
    identity: Option<Identity>,
    pub(super) tables: [Rows; Table::COUNT],
    /// For each set that is not durable, oldest first.
    unsynced: VecDeque<Undo>,
    /// Rows in which a bit changed.
    pub(super) damage: Damage,
    plan: CrashPlan,
    draws: u64,
    used_bytes: u64,
    /// Counts opens and crashes: a handle of an older generation is dead.
    pub(super) generation: u64,
    pub(super) open: bool,
    pub(super) stopped: bool,
    pub(super) statistics: StoreStatistics,
    writes: u64,
    syncs: u64,
}

impl MemoryDisk {
    /// An empty device.
    #[must_use]
    pub fn new(plan: CrashPlan) -> Self {
        let disk = Self::default();
        disk.state().plan = plan;
        disk
    }

    /// Opens the database on the device, making it if the device is empty.
    ///
    /// # Errors
    /// [`StorageError::Locked`] while another handle lives, [`StorageError::Foreign`] for another identity.
    pub fn open(&self, identity: &Identity) -> Result<MemoryStore, StorageError> {
        let mut state = self.state();
        if state.open {
            return Err(StorageError::Locked { path: place() });
        }
        match state.identity {
            Some(found) if found != *identity => {
                return Err(StorageError::Foreign { path: place(), expected: *identity, found });
            }
            _ => state.identity = Some(*identity),
        }
        state.generation += 1;
        state.open = true;
        state.stopped = false;
        Ok(MemoryStore::new(self.clone(), state.generation))
    }

    /// Power is lost now: a suffix of what was not synced is gone, and every handle is dead.
    pub fn crash(&self) -> CrashReport {
        self.state().crash()
    }

    /// Replaces the plan; counters and draws go on.
    pub fn set_plan(&self, plan: CrashPlan) {
        self.state().plan = plan;
    }

    /// From now on the device takes so many more key and value bytes; `None`: as many as anybody writes. Replaces the plan's capacity.
    pub fn limit_free_bytes(&self, free_bytes: Option<u64>) {
        let mut state = self.state();
        state.plan.capacity_bytes = free_bytes.map(|free_bytes| state.used_bytes.saturating_add(free_bytes));
    }

    /// A bit of a row changes on the device, row and bit by `number`. Answers the row's table; `None` on a device without rows.
    /// Whoever reads the row is answered [`StorageError::Corruption`], until it is written anew or [`Self::repair`]ed.
    #[must_use]
    pub fn flip_bit(&self, number: u64) -> Option<Table> {
        let mut state = self.state();
        let state = &mut *state;
        state.damage.flip(&mut state.tables, number)
    }

    /// Rows in which a bit changed are as they were written: a mirror of the device gave them back.
    pub fn repair(&self) {
        let mut state = self.state();
        let state = &mut *state;
        state.damage.repair(&mut state.tables);
    }

    /// Whether any row is damaged now.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let state = self.state();
        state.damage.is_any(&state.tables)
    }

    /// Writes and syncs since the device was made: what [`CrashPoint`] counts.
    #[must_use]
    pub fn counters(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.syncs)
    }

    /// Whether a row is there and would survive the harshest loss of power now: for checks of "durable before".
    #[must_use]
    pub fn is_durable(&self, table: Table, key: &[u8]) -> bool {
        let state = self.state();
        let oldest =
            state.unsynced.iter().flatten().find(|(changed, row, _)| *changed == table && row == key);
        match oldest {
            Some((_, _, before)) => before.is_some(),
            None => state.tables[table as usize].contains_key(key),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // The state is changed by steps that do not panic; a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn write(
        &mut self,
        writes: Vec<(Table, TableWrites)>,
        bytes: usize,
        synced: bool,
    ) -> Result<(), StorageError> {
        self.writes += 1;
        if let Some((_, fault)) = self.plan.fail_at_write.filter(|(number, _)| *number == self.writes) {
            return Err(self.stop(fault));
        }
        let growth = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self
            .plan
            .capacity_bytes
            .is_some_and(|bytes_max| self.used_bytes.saturating_add(growth) > bytes_max)
        {
            return Err(self.stop(Fault::DiskFull));
        }
        let undo = self.apply(writes);
        self.unsynced.push_back(undo);
        self.statistics.write_sets += 1;
        self.statistics.write_set_bytes += growth;
        if self.plan.crash_at == Some(CrashPoint::Write(self.writes)) {
            self.crash();
            return Err(StorageError::Crashed);
        }
        if synced { self.sync() } else { Ok(()) }
    }

    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.syncs += 1;
        if self.plan.crash_at == Some(CrashPoint::Sync(self.syncs)) {
            self.crash();
            return Err(StorageError::Crashed);
        }
        self.statistics.syncs += 1;
        if !self.plan.lying_sync {
            self.unsynced.clear();
        }
        Ok(())
    }

    pub(super) const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.plan.capacity_bytes.map_or(u64::MAX, |bytes_max| bytes_max.saturating_sub(self.used_bytes))
    }

    fn stop(&mut self, fault: Fault) -> StorageError {
        self.stopped = true;
        match fault {
            Fault::DiskFull => StorageError::DiskFull,
            Fault::InputOutput => StorageError::io(&place(), &io::Error::other("injected")),
        }
    }

    /// Applies the set and answers how to take it back.
    fn apply(&mut self, writes: Vec<(Table, TableWrites)>) -> Undo {
        let mut undo = Vec::new();
        for (table, writes) in writes {
            for (from, until) in &writes.ranges {
                let covered = self.tables[table as usize].range(from.clone()..until.clone());
                let covered: Vec<_> = covered.map(|(key, _)| key.clone()).collect();
                for key in covered {
                    let old = self.replace(table, key.clone(), None);
                    undo.push((table, key, old));
                }
            }
            for (key, value) in writes.points() {
                let old = self.replace(table, key.to_vec(), value.map(Arc::from));
                undo.push((table, key.to_vec(), old));
            }
        }
        undo
    }

    fn replace(&mut self, table: Table, key: Vec<u8>, value: Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
        let key_bytes = key.len();
        let added = value.as_ref().map_or(0, |value| key_bytes + value.len()) as u64;
        let rows = Arc::make_mut(&mut self.tables[table as usize]);
        let old = match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
        let removed = old.as_ref().map_or(0, |old| key_bytes + old.len()) as u64;
        self.used_bytes = self.used_bytes.saturating_add(added).saturating_sub(removed);
        old
    }

    fn crash(&mut self) -> CrashReport {
        let unsynced = self.unsynced.len();
        let kept = match self.plan.survival {
            Survival::Nothing => 0,
            Survival::Everything => unsynced,
            Survival::Drawn => {
                self.draws += 1;
                let choices = unsynced as u64 + 1;
                usize::try_from(draw(self.plan.seed, self.draws) % choices).unwrap_or(unsynced)
            }
        };
        for undo in self.unsynced.split_off(kept).into_iter().rev() {
            for (table, key, old) in undo.into_iter().rev() {
                self.replace(table, key, old);
            }
        }
        self.unsynced.clear();
        self.generation += 1;
        self.open = false;
        self.stopped = false;
        CrashReport { kept, lost: unsynced - kept }
    }
}

/// The n-th number of a seed (SplitMix64).
const fn draw(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stands for a directory in errors.
fn place() -> PathBuf {
    Path::new("(memory)").to_owned()
}
