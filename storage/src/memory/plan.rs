//! What goes wrong on a [`super::MemoryDisk`], and when.

/// A plan of faults. The default is a disk without faults whose crashes cut at a place drawn from seed 0.
///
/// Writes and syncs are counted from 1 since the disk was made, across restarts (a synced write counts as one
/// write and one sync).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashPlan {
    /// Draws the cut points of [`Survival::Drawn`].
    pub seed: u64,
    /// What a crash keeps of the sets that were not synced.
    pub survival: Survival,
    /// Lose power in the middle of this call, which then answers `Crashed`.
    pub crash_at: Option<CrashPoint>,
    /// Fail the write with this number; the store then takes no more writes until it is opened again.
    pub fail_at_write: Option<(u64, Fault)>,
    /// A device that lies: syncs answer `Ok` and make nothing durable. For tests that must turn red.
    pub lying_sync: bool,
    /// Size of the device: a write that would take more key and value bytes fails with `DiskFull`.
    pub capacity_bytes: Option<u64>,
}

/// What a crash keeps of the suffix that was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Survival {
    /// A prefix whose length is drawn from the seed: nothing, something or everything.
    #[default]
    Drawn,
    /// Nothing: the harshest loss of power.
    Nothing,
    /// Everything: the process died, the machine did not.
    Everything,
}

/// The call in which power is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The n-th write; its set is not synced yet, so it survives or not as the cut falls.
    Write(u64),
    /// The n-th sync, before it made anything durable.
    Sync(u64),
}

/// How an injected write failure looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `StorageError::DiskFull`.
    DiskFull,
    /// `StorageError::Io`.
    InputOutput,
}
