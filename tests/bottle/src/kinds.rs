//! The kinds of faults, and how the report counts them.

use std::collections::BTreeMap;
use std::fmt;

use crate::adversaries::Adversary;
use crate::plan::Fault;

/// A kind of fault, as tables count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// A node loses power.
    Crash,
    /// All nodes lose power at once.
    PowerCut,
    /// A power cut tears the writes of consensus journals.
    TornWrite,
    /// A loss of power takes back writes that were not synced.
    LostWrite,
    /// A process is stopped and goes on later.
    Stop,
    /// Two sides do not hear each other.
    Partition,
    /// One side hears the other, which does not hear it.
    OneWayPartition,
    /// Frames are lost.
    Loss,
    /// Frames overtake each other by far.
    Reorder,
    /// Frames arrive twice.
    Duplicate,
    /// A node's line carries little.
    Narrow,
    /// A node's wall clock is wrong.
    WrongClock,
    /// A node's disk syncs slowly.
    SlowDisk,
    /// A node's disk is full, or nearly.
    FullDisk,
    /// A bit changes on a node's disk.
    BitFlip,
    /// A node answers another one with garbage.
    Lie,
    /// A node's relay sends forged bundles.
    Forge,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::Crash,
        Self::PowerCut,
        Self::TornWrite,
        Self::LostWrite,
        Self::Stop,
        Self::Partition,
        Self::OneWayPartition,
        Self::Loss,
        Self::Reorder,
        Self::Duplicate,
        Self::Narrow,
        Self::WrongClock,
        Self::SlowDisk,
        Self::FullDisk,
        Self::BitFlip,
        Self::Lie,
        Self::Forge,
    ];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerCut => "power_cut",
            Self::TornWrite => "torn_write",
            Self::LostWrite => "lost_write",
            Self::Stop => "stop",
            Self::Partition => "partition",
            Self::OneWayPartition => "one_way_partition",
            Self::Loss => "loss",
            Self::Reorder => "reorder",
            Self::Duplicate => "duplicate",
            Self::Narrow => "narrow",
            Self::WrongClock => "wrong_clock",
            Self::SlowDisk => "slow_disk",
            Self::FullDisk => "full_disk",
            Self::BitFlip => "bit_flip",
            Self::Lie => "lie",
            Self::Forge => "forge",
        }
    }

    /// The kind of a fault; `None` for what mends one.
    #[must_use]
    pub const fn of(fault: &Fault) -> Option<Self> {
        Some(match fault {
            Fault::Crash { .. } | Fault::CrashAfterSending { .. } => Self::Crash,
            Fault::CrashAll | Fault::PowerCutWhileMoving => Self::PowerCut,
            Fault::Stop { .. } => Self::Stop,
            Fault::Partition { .. } => Self::Partition,
            Fault::Mute { .. } => Self::OneWayPartition,
            Fault::Loss { .. } => Self::Loss,
            Fault::Reorder { .. } => Self::Reorder,
            Fault::Duplicate { .. } => Self::Duplicate,
            Fault::Narrow { .. } => Self::Narrow,
            Fault::Clock { ahead_ms: 0, .. } | Fault::DiskSlows { sync_ms: 0, .. } => return None,
            Fault::Clock { .. } => Self::WrongClock,
            Fault::DiskSlows { .. } => Self::SlowDisk,
            Fault::DiskFills { .. } => Self::FullDisk,
            Fault::BitFlip { .. } => Self::BitFlip,
            Fault::Turn { into: Adversary::Liar { .. }, .. } => Self::Lie,
            Fault::Turn { into: Adversary::Forger, .. } => Self::Forge,
            // Other adversaries have tests of their own and are not drawn.
            Fault::Turn { .. }
            | Fault::Wipe { .. }
            | Fault::Restart { .. }
            | Fault::GoOn { .. }
            | Fault::DiskHasRoom { .. }
            | Fault::Repair { .. }
            | Fault::Heal => return None,
        })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// How often a kind of fault fired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fired {
    /// Times, each node by itself.
    pub times: u64,
    /// Whether at some moment too few nodes of some chain were free of it to make a quorum.
    pub hit_quorum: bool,
}

/// What fired in a run.
pub type FiredKinds = BTreeMap<FaultKind, Fired>;
