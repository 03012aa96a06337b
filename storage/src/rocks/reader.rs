//! A database that is only read: a stopped node's, a checkpoint, or a live node's from outside.

use std::ops::ControlFlow;
use std::path::Path;

use rocksdb::{Cache, DB};

use super::blob_file;
use super::directory::{self, Claim};
use super::fault::fault;
use super::log_file;
use super::tuning::{self, Access, RocksOptions};
use super::view::{View, Viewed};
use crate::error::StorageError;
use crate::identity::Identity;
use crate::store::Reader;
use crate::table::Table;

/// A read-only database. It changes nothing in the directory it reads.
pub struct RocksReader {
    // Fields drop in order: the database closes before the claim is released.
    database: DB,
    identity: Identity,
    settings: RocksOptions,
    _claim: Option<Claim>,
}

/// What a full check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Rows read, in all tables.
    pub rows: u64,
    /// Key and value bytes of those rows.
    pub bytes: u64,
}

impl RocksReader {
    /// Opens the database of a stopped node, or a checkpoint or copy. While it is open, no node can start on
    /// it.
    ///
    /// # Errors
    /// As [`super::RocksStore::open`]; [`StorageError::Locked`] while a node runs on it,
    /// [`StorageError::Missing`] when there is nothing. Without `expected`, any identity is welcome.
    pub fn open(
        path: &Path,
        expected: Option<&Identity>,
        settings: RocksOptions,
    ) -> Result<Self, StorageError> {
        let (claim, identity) = directory::join(path, expected)?;
        log_file::check_directory(path)?;
        Ok(Self { database: open_read_only(path, &settings)?, identity, settings, _claim: Some(claim) })
    }

    /// Follows the database of a live node without disturbing it. `scratch` is a directory of our own for
    /// what RocksDB wants to write. Shows what had reached the log when it was opened or last caught up.
    ///
    /// # Errors
    /// As [`RocksReader::open`], but a running node is no obstacle.
    pub fn follow(
        path: &Path,
        scratch: &Path,
        expected: Option<&Identity>,
        settings: RocksOptions,
    ) -> Result<Self, StorageError> {
        let identity = directory::inspect(path, expected)?;
        let cache = Cache::new_lru_cache(settings.cache_bytes);
        let options = tuning::database(&settings, Access::Follow);
        let database =
            DB::open_cf_descriptors_as_secondary(&options, path, scratch, tuning::families(&cache))
                .map_err(|error| fault(path, None, error))?;
        Ok(Self { database, identity, settings, _claim: None })
    }

    /// Brings a follower up to what the node has written by now. Nothing to do for other readers.
    ///
    /// # Errors
    /// I/O errors and corruption.
    pub fn catch_up(&self) -> Result<(), StorageError> {
        if self._claim.is_some() {
            return Ok(());
        }
        self.database.try_catch_up_with_primary().map_err(|error| fault(self.database.path(), None, error))
    }

    /// Whose database this is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads every byte of the database again and checks it: logs, MANIFEST, tables, blobs.
    ///
    /// # Errors
    /// [`StorageError::Corruption`] naming the first bad table and file.
    pub fn verify_all(&self) -> Result<VerifyReport, StorageError> {
        verify_database(self.database.path(), &self.settings)
    }
}

/// Checks every file through a database of its own, so that no block comes from a cache that was filled
/// before.
pub(super) fn verify_database(path: &Path, settings: &RocksOptions) -> Result<VerifyReport, StorageError> {
    log_file::check_directory(path)?;
    let database = open_read_only(path, settings)?;
    let view = Everything { database: &database };
    let mut report = VerifyReport::default();
    for table in Table::ALL {
        view.for_each(table, &mut |key, value| {
            report.rows += 1;
            report.bytes += (key.len() + value.len()) as u64;
            ControlFlow::Continue(())
        })
        .map_err(|error| name_file(path, error))?;
    }
    Ok(report)
}

fn name_file(path: &Path, error: StorageError) -> StorageError {
    match error {
        StorageError::Corruption { table, file: None, detail } => {
            StorageError::Corruption { table, file: blob_file::first_bad_file(path), detail }
        }
        other => other,
    }
}

fn open_read_only(path: &Path, settings: &RocksOptions) -> Result<DB, StorageError> {
    let cache = Cache::new_lru_cache(settings.cache_bytes);
    let options = tuning::database(settings, Access::Read);
    DB::open_cf_descriptors_read_only(&options, path, tuning::families(&cache), false)
        .map_err(|error| fault(path, None, error))
}

struct Everything<'a> {
    database: &'a DB,
}

impl Viewed for Everything<'_> {
    fn view(&self) -> View<'_> {
        View { database: self.database, snapshot: None }
    }
}

impl Viewed for RocksReader {
    fn view(&self) -> View<'_> {
        View { database: &self.database, snapshot: None }
    }
}

impl std::fmt::Debug for RocksReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RocksReader")
            .field("path", &self.database.path())
            .field("identity", &self.identity)
            .finish()
    }
}
