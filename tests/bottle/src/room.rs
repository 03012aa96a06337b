//! How much room a machine's disk has: the bounds of production's `node::disk`, looked at before every step.

use chain::Room;

use crate::plan::RESERVE_KIB;

const RESERVE_BYTES: u64 = RESERVE_KIB * 1_024;
/// A bound must be passed by this much on the way up.
const RESUME_PERCENT: u64 = 110;

/// Watches one disk.
pub(crate) struct RoomWatch {
    room: Room,
}

impl RoomWatch {
    pub(crate) const fn new() -> Self {
        Self { room: Room::Enough }
    }

    /// Takes in what is free now; answers the room where it changed.
    pub(crate) fn look(&mut self, free_bytes: u64) -> Option<Room> {
        let is_above = |bound_bytes: u64, was_above: bool| {
            free_bytes >= bound_bytes / 100 * if was_above { 100 } else { RESUME_PERCENT }
        };
        let room = if is_above(RESERVE_BYTES, self.room == Room::Enough) {
            Room::Enough
        } else if is_above(RESERVE_BYTES / 2, self.room != Room::None) {
            Room::Low
        } else {
            Room::None
        };
        let has_changed = room != self.room;
        self.room = room;
        has_changed.then_some(room)
    }
}
