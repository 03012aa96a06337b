//! The memory twin: the same face over ordered maps, on a disk that loses power, fails and fills up on
//! demand.
//!
//! ```text
//! MemoryDisk   what is "on the device": outlives crashes         MemoryStore   a handle, dead after a crash
//!   tables     rows as a running process sees them                        get scan write sync ...
//!   unsynced   how to take back each write set that is not yet durable
//!   damage     rows in which a bit changed
//!   plan       when to crash, fail or lie
//! ```
//!
//! Rules:
//! - A write set goes to the tables at once, and its take-back to `unsynced`. A sync empties `unsynced`.
//! - A crash takes back a suffix of `unsynced`, newest first: what survives is a prefix, as a write-ahead log
//!   leaves it. Where the cut falls is drawn from the plan's seed. A set survives whole or not at all: a torn
//!   last record of a real log is dropped by its checksum.
//! - What survives a crash is durable then. Handles from before the crash answer `Crashed` for ever, so a
//!   task that outlives its simulated machine cannot write.
//! - A row in which a bit changed is never answered: not its bytes, and not that it is missing. Every call that meets it answers
//!   `Corruption`, as the checksums of production's files do.
//! - Nothing here reads a clock, a thread id or a hash order: equal calls give equal answers.

mod damage;
mod disk;
mod plan;
mod store;

pub use disk::{CrashReport, MemoryDisk};
pub use plan::{CrashPlan, CrashPoint, Fault, Survival};
pub use store::MemoryStore;
