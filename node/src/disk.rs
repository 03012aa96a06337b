//! How much room the data device has, and what that means for the vote.
//!
//! | free | the chain |
//! | --- | --- |
//! | at least the reserve | votes |
//! | below the reserve | stops voting, and follows: what the others decide is written into the reserve |
//! | below half the reserve | writes nothing any more; the other half is for what the databases do by themselves |
//!
//! Going back up takes [`RESUME_PERCENT`] of the bound, so that a node does not flap. Asking the file system is cheap,
//! so a device that is near the reserve is asked often: what another program writes between two looks must fit into
//! the reserve, or a write fails and the node halts with code 2 or 4.

use std::time::Duration;

use chain::Room;

/// A bound must be passed by this much on the way up.
const RESUME_PERCENT: u64 = 110;
/// How often a device with plenty of room is looked at.
const RELAXED: Duration = Duration::from_secs(1);
/// How often one with less than [`NEAR_TIMES`] the reserve is.
const NEAR: Duration = Duration::from_millis(50);
/// See [`NEAR`].
const NEAR_TIMES: u64 = 4;

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
    fn a_device_near_its_reserve_is_looked_at_often() {
        let mut disk = DiskWatch::new(1_000);
        for (free, pause) in [(4_000, RELAXED), (3_999, NEAR), (0, NEAR)] {
            disk.look(free);
            assert_eq!(disk.pause(), pause, "{free}");
        }
    }
}
