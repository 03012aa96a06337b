//! The face: [`Reader`] and [`Store`].
//!
//! Both are object-safe; a node holds an `Arc<dyn Store>`, and a function that only reads takes `&dyn
//! Reader`, which a store, a snapshot and a read-only database all are.
//!
//! All calls block (they may wait for the disk) and may be made from any thread. None of them belongs on an
//! async runtime's own threads.

use std::ops::{Bound, ControlFlow};

use crate::error::StorageError;
use crate::table::Table;
use crate::write_set::WriteSet;

/// Most rows in a page, whatever the caller asks.
pub const PAGE_ROWS_MAX: usize = 100_000;

/// Most key and value bytes in a page, whatever the caller asks; a page of one row may be larger.
pub const PAGE_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(PAGE_BYTES_MAX >= crate::write_set::VALUE_BYTES_MAX);

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What [`Reader::for_each`] calls with every key and value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Which part of a table to read, from which end, and how much of it.
///
/// The range is `from..until` in key order for both orders; `order` says from which end to read. To turn the
/// page forward, set `from` to `Bound::Excluded` of the last key; backward, set `until` to the last key.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Lower end.
    pub from: Bound<&'a [u8]>,
    /// Upper end, exclusive; `None` is the end of the table.
    pub until: Option<&'a [u8]>,
    /// From which end to read.
    pub order: Order,
    /// Most rows wanted; lowered to [`PAGE_ROWS_MAX`].
    pub rows: usize,
    /// Most key and value bytes wanted; lowered to [`PAGE_BYTES_MAX`]. The first row always fits.
    pub bytes: usize,
}

impl Page<'static> {
    /// The first `rows` rows of a table.
    #[must_use]
    pub const fn first(rows: usize) -> Self {
        Self { from: Bound::Unbounded, until: None, order: Order::Forward, rows, bytes: PAGE_BYTES_MAX }
    }

    /// The last `rows` rows of a table, last one first.
    #[must_use]
    pub const fn last(rows: usize) -> Self {
        Self { from: Bound::Unbounded, until: None, order: Order::Backward, rows, bytes: PAGE_BYTES_MAX }
    }
}

/// From which end a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Forward,
    /// Largest key first.
    Backward,
}

/// When a write may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives the end of the process, not the loss of power, until the next [`Store::sync`] or synced
    /// write.
    Buffered,
    /// Survives the loss of power once the call answered, and so does everything written before it.
    Synced,
}

/// Reads rows: a store, a snapshot of it, or a read-only database.
///
/// Every call may answer [`StorageError::Corruption`] when bytes on disk are not what was written, and I/O
/// errors.
pub trait Reader: Send + Sync {
    /// The value under `key`.
    ///
    /// # Errors
    /// See [`Reader`].
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// The values under `keys`, in the order asked, all of one moment. Sorted and batched inside: for
    /// thousands of keys it costs about two thirds of as many [`Reader::get`] calls, and less when the disk
    /// must be read.
    ///
    /// # Errors
    /// See [`Reader`].
    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError>;

    /// A page of a range, all of one moment. An empty page means that nothing is left.
    ///
    /// # Errors
    /// See [`Reader`].
    fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError>;

    /// Visits every row in key order at full speed, all of one moment, until `visit` breaks. Reads far ahead
    /// and leaves the cache alone: for loading the state at start and for audits, not for requests.
    ///
    /// # Errors
    /// See [`Reader`].
    fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError>;
}

/// A database that is written by this process.
pub trait Store: Reader + 'static {
    /// Applies `set` as a whole. Sets take effect in the order in which their calls return.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] (nothing happened); after any other error the outcome is unknown until the
    /// store is opened again, and it takes no more writes.
    fn write(&self, set: WriteSet, durability: Durability) -> Result<(), StorageError>;

    /// Makes everything durable that was written before the call. Many buffered writes share one sync.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn sync(&self) -> Result<(), StorageError>;

    /// A consistent view of this moment, for reading several tables. Drop it soon: what is overwritten
    /// meanwhile cannot be cleaned up.
    ///
    /// # Errors
    /// [`StorageError::Crashed`] from a dead memory twin.
    fn snapshot(&self) -> Result<Box<dyn Reader + '_>, StorageError>;

    /// Bytes that the database takes on its device.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the device cannot be asked.
    fn bytes_on_disk(&self) -> Result<u64, StorageError>;

    /// Bytes that are still free on its device.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the device cannot be asked.
    fn free_bytes(&self) -> Result<u64, StorageError>;

    /// Gives the room of deleted rows of a table back to the device, below `until` or everywhere. Writers go on meanwhile; what a
    /// snapshot still shows is kept until it is dropped. Takes as long as it takes. Nothing to do for a store that frees at once.
    ///
    /// # Errors
    /// [`StorageError::Corruption`] when the table is missing.
    fn reclaim(&self, _table: Table, _until: Option<&[u8]>) -> Result<(), StorageError> {
        Ok(())
    }

    /// Counters since the store was opened, and gauges of this moment.
    fn statistics(&self) -> StoreStatistics;
}

/// What a store did since it was opened (`*_bytes`, counts) and holds now (gauges). The memory twin fills in
/// only what it has: write sets, syncs, reads and their bytes, counted since its disk was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Write sets applied.
    pub write_sets: u64,
    /// Key and value bytes of those sets.
    pub write_set_bytes: u64,
    /// Calls that made data durable: synced writes and syncs.
    pub syncs: u64,
    /// Keys asked for by `get` and `multi_get`.
    pub keys_read: u64,
    /// Bytes appended to the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes flushed from memory into table files.
    pub flush_bytes: u64,
    /// Bytes read by compaction.
    pub compaction_read_bytes: u64,
    /// Bytes written by compaction.
    pub compaction_write_bytes: u64,
    /// Bytes written to blob files (by flushes and by garbage collection).
    pub blob_write_bytes: u64,
    /// Blocks found in the cache.
    pub cache_hits: u64,
    /// Blocks read from files.
    pub cache_misses: u64,
    /// Time writers were made to wait for flushes and compactions.
    pub stall_us: u64,
    /// Gauge: bytes that compaction still has to rewrite.
    pub pending_compaction_bytes: u64,
    /// Gauge: bytes in write buffers.
    pub write_buffer_bytes: u64,
    /// Gauge: bytes in the block cache.
    pub cache_bytes: u64,
    /// Gauge: failed flushes and compactions; anything but zero deserves a look.
    pub background_errors: u64,
}
