//! How much room the data device has, and what that means for the vote.
//!
//! | free | the chain |
//! | --- | --- |
//! | at least the reserve | votes |
//! | below the reserve | stops voting, and follows: what the others decide is written into the reserve |
//! | below half the reserve | begins nothing that writes; the other half is for what goes on by itself |
//!
//! What goes on without room, and why it must:
//!
//! - *What was handed over before*: the writes in the line to the storage thread and one block at the executor. They are
//!   bounded, and a height that was begun must be whole.
//! - *The engine's journal*: a few hundred bytes a view, synced. The engine votes to skip views that it takes no other part in,
//!   and no vote may leave that the journal does not hold. Where that write fails the node halts with code 4.
//! - *A divergence*: its mark, its report, and what the start after it takes back. A node whose state is wrong must know it,
//!   and the report is the only witness. It fits into a quarter of the smallest reserve.
//! - *A start*: the pair of journal and database, and the genesis of an empty one. It comes before the first look.
//! - *The databases*: flushes and compactions of what was written before.
//!
//! Everything else is refused or put off: blocks, batches, evidence, execution and deletions in `chain`, the mark of a
//! divergence that passed and the proof of passage in `driver.rs`, submissions at the edge.
//!
//! Where the configuration has a budget, what is free is what the device has and the budget leaves, whichever is less: the data of all
//! chains, journals and checkpoints count. Files are counted at most once a second.
//!
//! Going back up takes [`RESUME_PERCENT`] of the bound, so that a node does not flap. Asking the file system is cheap,
//! so a device that is near the reserve is asked often: what another program writes between two looks must fit into
//! the reserve, or a write fails and the node halts with code 2 or 4.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chain::Room;
use chain::rollback::FINDINGS_BYTES_MAX;

use crate::config::{DISK_RESERVE_BYTES_BOUNDS, NodeConfig};

/// A bound must be passed by this much on the way up.
const RESUME_PERCENT: u64 = 110;
/// How often a device with plenty of room is looked at.
const RELAXED: Duration = Duration::from_secs(1);
/// How often one with less than [`NEAR_TIMES`] the reserve is.
const NEAR: Duration = Duration::from_millis(50);
/// See [`NEAR`].
const NEAR_TIMES: u64 = 4;

const _: () = assert!(
    FINDINGS_BYTES_MAX as u64 <= DISK_RESERVE_BYTES_BOUNDS.0 / 4,
    "the report of a divergence fits into what is left without room"
);

/// How long a count of the data directory serves: a terabyte is 30,000 files.
const COUNT_SERVES: Duration = RELAXED;

/// How much of a device a node may fill.
#[derive(Debug, Clone)]
pub(crate) struct DiskBudget {
    budget_bytes: Option<u64>,
    data_directory: PathBuf,
    counted: Option<(Instant, u64)>,
}

impl DiskBudget {
    pub(crate) fn of(config: &NodeConfig) -> Self {
        let (budget_bytes, data_directory) =
            (config.storage.disk_budget_bytes, config.node.data_directory.clone());
        Self { budget_bytes, data_directory, counted: None }
    }

    /// What the node may still write, of what is free on the device.
    pub(crate) fn within(&mut self, free_bytes: u64) -> u64 {
        let Some(budget_bytes) = self.budget_bytes else { return free_bytes };
        let used = match self.counted {
            Some((at, used)) if at.elapsed() < COUNT_SERVES => used,
            // A directory that cannot be listed holds nothing yet.
            _ => storage::tree_bytes(&self.data_directory).unwrap_or(0),
        };
        if self.counted.is_none_or(|(at, _)| at.elapsed() >= COUNT_SERVES) {
            self.counted = Some((Instant::now(), used));
        }
        free_bytes.min(budget_bytes.saturating_sub(used))
    }
}

/// Watches one device.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    reserve_bytes: u64,
    free_bytes: u64,
    room: Room,
}

impl DiskWatch {
    pub(crate) const fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, free_bytes: u64::MAX, room: Room::Enough }
    }

    /// Takes in what is free now; answers the room where it changed.
    pub(crate) fn look(&mut self, free_bytes: u64) -> Option<Room> {
        self.free_bytes = free_bytes;
        let room = if self.is_above(self.reserve_bytes, self.room == Room::Enough) {
            Room::Enough
        } else if self.is_above(self.reserve_bytes / 2, self.room != Room::None) {
            Room::Low
        } else {
            Room::None
        };
        let has_changed = room != self.room;
        self.room = room;
        has_changed.then_some(room)
    }

    fn is_above(&self, bound_bytes: u64, was_above: bool) -> bool {
        let percent = if was_above { 100 } else { RESUME_PERCENT };
        self.free_bytes >= bound_bytes / 100 * percent
    }

    /// Whether anything may be written that can wait.
    pub(crate) const fn may_write(&self) -> bool {
        !matches!(self.room, Room::None)
    }

    /// When to look again.
    pub(crate) const fn pause(&self) -> Duration {
        if self.free_bytes < self.reserve_bytes.saturating_mul(NEAR_TIMES) { NEAR } else { RELAXED }
    }

    pub(crate) const fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    pub(crate) const fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_falls_at_the_bounds_and_rises_above_them() {
        let mut disk = DiskWatch::new(1_000);
        assert_eq!(disk.pause(), NEAR.max(RELAXED), "nothing is known yet");
        for (free, expected) in [
            (1_000, None),
            (999, Some(Room::Low)),
            (1_099, None),
            (1_100, Some(Room::Enough)),
            (500, Some(Room::Low)),
            (499, Some(Room::None)),
            (549, None),
            (550, Some(Room::Low)),
            (499, Some(Room::None)),
            (1_099, Some(Room::Low)),
            (0, Some(Room::None)),
            (1_100, Some(Room::Enough)),
        ] {
            assert_eq!(disk.look(free), expected, "{free}");
        }
    }

    #[test]
    fn what_can_wait_is_not_written_below_half_the_reserve() {
        let mut disk = DiskWatch::new(1_000);
        assert!(disk.may_write(), "nothing is known yet");
        for (free, may_write) in [(999, true), (500, true), (499, false), (549, false), (550, true)] {
            disk.look(free);
            assert_eq!(disk.may_write(), may_write, "{free}");
        }
    }

    #[test]
    fn a_device_near_its_reserve_is_looked_at_often() {
        let mut disk = DiskWatch::new(1_000);
        for (free, pause) in [(4_000, RELAXED), (3_999, NEAR), (0, NEAR)] {
            disk.look(free);
            assert_eq!(disk.pause(), pause, "{free}");
        }
    }

    #[test]
    fn a_budget_is_a_smaller_disk() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("chain-0")).unwrap();
        std::fs::write(data.path().join("chain-0/file"), [0; 600]).unwrap();
        let budget =
            |budget_bytes| DiskBudget { budget_bytes, data_directory: data.path().to_owned(), counted: None };
        for (budget_bytes, free, left) in
            [(None, 5_000, 5_000), (Some(1_000), 5_000, 400), (Some(1_000), 300, 300), (Some(500), 5_000, 0)]
        {
            assert_eq!(budget(budget_bytes).within(free), left, "{budget_bytes:?} {free}");
        }
        let mut counted = budget(Some(1_000));
        assert_eq!(counted.within(5_000), 400);
        std::fs::write(data.path().join("more"), [0; 100]).unwrap();
        assert_eq!(counted.within(5_000), 400, "the count serves for a second");
    }
}
