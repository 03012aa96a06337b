//! The production store.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::properties::{
    BACKGROUND_ERRORS, BLOCK_CACHE_USAGE, CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_PENDING_COMPACTION_BYTES,
    PropName,
};
use rocksdb::statistics::Ticker;
use rocksdb::{BottommostLevelCompaction, Cache, CompactOptions, DB, Options, WriteBatch, WriteOptions};

use super::directory::{self, Claim, Contents};
use super::fault::fault;
use super::log_file;
use super::reader::{VerifyReport, verify_database};
use super::tuning::{self, Access, RocksOptions};
use super::view::{RocksSnapshot, View, Viewed, family};
use crate::disk;
use crate::error::StorageError;
use crate::identity::Identity;
use crate::store::{Durability, Reader, Store, StoreStatistics};
use crate::table::Table;
use crate::write_set::{TableWrites, WriteSet};

/// A RocksDB database in a directory of its own. See `tuning.rs` for how it is set up and `directory.rs` for
/// what it refuses.
pub struct RocksStore {
    // Fields drop in order: the database closes before the claim on its directory is released.
    database: DB,
    /// Kept for its counters, which are shared with the database.
    options: Options,
    settings: RocksOptions,
    path: PathBuf,
    identity: Identity,
    stopped: AtomicBool,
    write_sets: AtomicU64,
    write_set_bytes: AtomicU64,
    syncs: AtomicU64,
    _claim: Claim,
    // The last field: gone when everything above is closed.
    life: Arc<()>,
}

impl RocksStore {
    /// Opens the database of `identity` in `path`, making directory and database if there is nothing yet.
    ///
    /// Recovers from a crash: what was synced is there, and what was not is there up to some write set.
    ///
    /// # Errors
    /// Refusals of the directory ([`StorageError::is_refusal`]), [`StorageError::Corruption`] of the claim,
    /// the MANIFEST, a log or a table, and I/O errors. A refused directory is left as it was.
    pub fn open(path: &Path, identity: &Identity, settings: RocksOptions) -> Result<Self, StorageError> {
        let (claim, contents) = directory::claim(path, identity)?;
        if contents == Contents::Database {
            log_file::check_directory(path)?;
        }
        let cache = Cache::new_lru_cache(settings.cache_bytes);
        let options = tuning::database(&settings, Access::Write { create: contents == Contents::Empty });
        let database = DB::open_cf_descriptors(&options, path, tuning::families(&cache))
            .map_err(|error| fault(path, None, error))?;
        Ok(Self {
            database,
            options,
            settings,
            path: path.to_owned(),
            identity: *identity,
            stopped: AtomicBool::new(false),
            write_sets: AtomicU64::new(0),
            write_set_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            _claim: claim,
            life: Arc::new(()),
        })
    }

    /// Ends when the database is closed and its directory released: a process must not end before, because the database's
    /// threads would outlive what they use.
    #[must_use]
    pub fn life(&self) -> Weak<()> {
        Arc::downgrade(&self.life)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose database this is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes a complete copy of this moment in `target`, which must not exist, without a pause for writers.
    /// Files that never change again are hard-linked when `target` is on the same device, so it is cheap
    /// there.
    ///
    /// # Errors
    /// [`StorageError::NotOurs`] when `target` exists, and I/O errors; an unfinished copy has no `STORE` file
    /// and is never opened.
    pub fn checkpoint(&self, target: &Path) -> Result<(), StorageError> {
        if target.exists() {
            return Err(StorageError::NotOurs {
                path: target.to_owned(),
                entry: target.display().to_string(),
            });
        }
        let checkpoint = Checkpoint::new(&self.database).map_err(|error| fault(target, None, error))?;
        checkpoint.create_checkpoint(target).map_err(|error| fault(target, None, error))?;
        directory::write_claim(target, &self.identity)
    }

    /// Reads every byte of the database again, past the cache, and checks it: logs, MANIFEST, tables, blobs.
    /// Writers go on meanwhile; what they add is not looked at.
    ///
    /// # Errors
    /// [`StorageError::Corruption`] naming the first bad table and file.
    pub fn verify_all(&self) -> Result<VerifyReport, StorageError> {
        let failed = |error| fault(&self.path, None, error);
        // Compaction would delete files under the second reader.
        self.database.disable_file_deletions().map_err(failed)?;
        let report = verify_database(&self.path, &self.settings);
        self.database.enable_file_deletions().map_err(failed)?;
        report
    }

    /// Moves the write buffers into table files, so that the next start has no log to replay. For an orderly
    /// end.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn flush(&self) -> Result<(), StorageError> {
        for table in Table::ALL {
            let flushed = self.database.flush_cf(family(&self.database, table)?);
            self.written(flushed.map_err(|error| fault(&self.path, Some(table), error)))?;
        }
        Ok(())
    }

    /// Compacts every table whole: for measuring sizes, and after pruning much. Takes as long as it takes.
    ///
    /// # Errors
    /// [`StorageError::Corruption`] when a table is missing.
    pub fn compact(&self) -> Result<(), StorageError> {
        for table in Table::ALL {
            self.database.compact_range_cf(family(&self.database, table)?, None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    fn batch(&self, writes: &[(Table, TableWrites)], bytes: usize) -> Result<WriteBatch, StorageError> {
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        for (table, writes) in writes {
            let family = family(&self.database, *table)?;
            for (from, until) in &writes.ranges {
                batch.delete_range_cf(family, from, until);
            }
            for (key, value) in writes.points() {
                match value {
                    Some(value) => batch.put_cf(family, key, value),
                    None => batch.delete_cf(family, key),
                }
            }
        }
        Ok(batch)
    }

    fn writable(&self) -> Result<(), StorageError> {
        if self.stopped.load(Ordering::Acquire) { Err(StorageError::Stopped) } else { Ok(()) }
    }

    /// After a failed write nobody knows what is on the device: the first failure is the last write.
    fn written(&self, result: Result<(), StorageError>) -> Result<(), StorageError> {
        if result.is_err() {
            self.stopped.store(true, Ordering::Release);
        }
        result
    }

    fn gauge(&self, table: Table, name: &PropName) -> u64 {
        family(&self.database, table)
            .ok()
            .and_then(|family| self.database.property_int_value_cf(family, name).ok().flatten())
            .unwrap_or(0)
    }

    fn sum(&self, name: &PropName) -> u64 {
        Table::ALL.into_iter().map(|table| self.gauge(table, name)).fold(0, u64::saturating_add)
    }
}

impl Viewed for RocksStore {
    fn view(&self) -> View<'_> {
        View { database: &self.database, snapshot: None }
    }
}

impl Store for RocksStore {
    fn write(&self, set: WriteSet, durability: Durability) -> Result<(), StorageError> {
        self.writable()?;
        let bytes = set.bytes();
        let batch = self.batch(&set.into_sorted()?, bytes)?;
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        let written = self.database.write_opt(batch, &options);
        self.written(written.map_err(|error| fault(&self.path, None, error)))?;
        self.write_sets.fetch_add(1, Ordering::Relaxed);
        self.write_set_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if durability == Durability::Synced {
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.writable()?;
        let synced = self.database.flush_wal(true);
        self.written(synced.map_err(|error| fault(&self.path, None, error)))?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Reader + '_>, StorageError> {
        Ok(Box::new(RocksSnapshot::new(&self.database)))
    }

    fn bytes_on_disk(&self) -> Result<u64, StorageError> {
        disk::directory_bytes(&self.path)
    }

    fn free_bytes(&self) -> Result<u64, StorageError> {
        disk::free_bytes(&self.path)
    }

    fn reclaim(&self, table: Table, until: Option<&[u8]>) -> Result<(), StorageError> {
        let mut options = CompactOptions::default();
        // The database's own compactions go on beside it: none of them may wait, because writers would wait for them.
        options.set_exclusive_manual_compaction(false);
        // What a snapshot kept at the time of an earlier one lies at the bottom by now.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.database.compact_range_cf_opt(family(&self.database, table)?, None::<&[u8]>, until, &options);
        Ok(())
    }

    fn statistics(&self) -> StoreStatistics {
        let count = |ticker| self.options.get_ticker_count(ticker);
        StoreStatistics {
            write_sets: self.write_sets.load(Ordering::Relaxed),
            write_set_bytes: self.write_set_bytes.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            keys_read: count(Ticker::NumberKeysRead).saturating_add(count(Ticker::NumberMultigetKeysRead)),
            wal_bytes: count(Ticker::WalFileBytes),
            flush_bytes: count(Ticker::FlushWriteBytes),
            compaction_read_bytes: count(Ticker::CompactReadBytes),
            compaction_write_bytes: count(Ticker::CompactWriteBytes),
            blob_write_bytes: count(Ticker::BlobDbBlobFileBytesWritten),
            cache_hits: count(Ticker::BlockCacheHit),
            cache_misses: count(Ticker::BlockCacheMiss),
            stall_us: count(Ticker::StallMicros),
            pending_compaction_bytes: self.sum(ESTIMATE_PENDING_COMPACTION_BYTES),
            write_buffer_bytes: self.sum(CUR_SIZE_ALL_MEM_TABLES),
            cache_bytes: self.gauge(Table::Meta, BLOCK_CACHE_USAGE),
            background_errors: self.gauge(Table::Meta, BACKGROUND_ERRORS),
        }
    }
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RocksStore")
            .field("path", &self.path)
            .field("identity", &self.identity)
            .finish()
    }
}
