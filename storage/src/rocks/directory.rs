//! Whose directory is this? Claims, locks and refusals, before RocksDB touches anything.
//!
//! | what is in the directory | opening for writing | opening for reading |
//! | --- | --- | --- |
//! | nothing, or it does not exist | claimed, then created | `Missing` |
//! | no `STORE`, something else | `NotOurs` | `NotOurs` |
//! | `STORE` that does not check | `Corruption` | `Corruption` |
//! | `STORE` of another network, chain or schema | `Foreign` | `Foreign` |
//! | `STORE` of ours, held by another process | `Locked` | `Locked` |
//! | `STORE` of ours, no database files (a crash while creating) | created | `Missing` |
//! | `STORE` of ours, data files but no `CURRENT` | `Corruption` | `Corruption` |
//! | `STORE` of ours, `CURRENT` | logs checked, then opened | logs checked, then opened |
//!
//! The lock is an advisory lock on `STORE`: exclusive for a writer, shared for readers of a stopped node,
//! released by the kernel when the process ends, however it ends. RocksDB's own `LOCK` stands behind it, but
//! is taken too late (recovery has begun) and knows no readers.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use crate::error::StorageError;
use crate::identity::Identity;

/// The claim file.
const CLAIM: &str = "STORE";
/// The claim while it is being written; a crash may leave it behind.
const CLAIM_DRAFT: &str = "STORE.new";
/// A claim is about 120 bytes; a file that is larger is not read whole.
const CLAIM_BYTES_MAX: u64 = 4096;

/// What is in a directory of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// Nothing yet: RocksDB is to create a database.
    Empty,
    /// A database: RocksDB is to open it and must not create one.
    Database,
}

/// A held claim; dropping it releases the directory.
#[derive(Debug)]
pub(super) struct Claim {
    _locked: File,
}

/// Says whose database `path` holds, without opening it or waiting for its owner.
///
/// # Errors
/// [`StorageError::Missing`] for a directory that is empty or not there, [`StorageError::NotOurs`] for one
/// with other contents, [`StorageError::Corruption`] when the claim does not check.
pub fn read_identity(path: &Path) -> Result<Identity, StorageError> {
    if let Some(identity) = read_claim(path)? {
        return Ok(identity);
    }
    match some_entry(path) {
        Ok(Some(entry)) => Err(StorageError::NotOurs { path: path.to_owned(), entry }),
        Ok(None) | Err(StorageError::Io { kind: io::ErrorKind::NotFound, .. }) => {
            Err(StorageError::Missing { path: path.to_owned() })
        }
        Err(other) => Err(other),
    }
}

/// Names of the files that make the database in `path`, ascending: the claim, RocksDB's lists and settings, its logs,
/// tables and blobs. Not its lock, not what it tells people. They belong together while nobody writes: in a checkpoint,
/// or while a [`crate::RocksReader`] is open.
///
/// # Errors
/// [`StorageError::Io`] when the directory cannot be listed.
pub fn database_files(path: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| StorageError::io(path, &error))? {
        let entry = entry.map_err(|error| StorageError::io(path, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_of_database(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_of_database(name: &str) -> bool {
    let is_data = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "sst" || extension == "blob" || extension == "log");
    let is_list = name.starts_with("MANIFEST-")
        || name.starts_with("OPTIONS-") && !name.ends_with(".dbtmp")
        || matches!(name, "CURRENT" | "IDENTITY");
    is_data || is_list || name == CLAIM
}

/// Claims `path` for writing the database of `identity`.
pub(super) fn claim(path: &Path, identity: &Identity) -> Result<(Claim, Contents), StorageError> {
    fs::create_dir_all(path).map_err(|error| StorageError::io(path, &error))?;
    match read_claim(path)? {
        Some(found) => same(path, identity, found)?,
        None => match some_entry(path)? {
            Some(entry) => return Err(StorageError::NotOurs { path: path.to_owned(), entry }),
            None => write_claim(path, identity)?,
        },
    }
    let claim = lock(path, true)?;
    Ok((claim, contents(path)?))
}

/// Joins the readers of `path`, whose writer must not be running; checks it against `expected` when given.
pub(super) fn join(path: &Path, expected: Option<&Identity>) -> Result<(Claim, Identity), StorageError> {
    let identity = inspect(path, expected)?;
    Ok((lock(path, false)?, identity))
}

/// Checks the claim and that there is a database, without a lock: for following a live node.
pub(super) fn inspect(path: &Path, expected: Option<&Identity>) -> Result<Identity, StorageError> {
    let found = read_identity(path)?;
    if let Some(expected) = expected {
        same(path, expected, found)?;
    }
    match contents(path)? {
        Contents::Database => Ok(found),
        Contents::Empty => Err(StorageError::Missing { path: path.to_owned() }),
    }
}

/// Writes the claim, durably, as the last step of making it visible: draft, sync, rename, sync the directory.
pub(super) fn write_claim(path: &Path, identity: &Identity) -> Result<(), StorageError> {
    let draft = path.join(CLAIM_DRAFT);
    let write = || -> io::Result<()> {
        let mut file = File::create(&draft)?;
        file.write_all(&identity.encode())?;
        file.sync_all()?;
        fs::rename(&draft, path.join(CLAIM))?;
        File::open(path)?.sync_all()
    };
    write().map_err(|error| StorageError::io(&draft, &error))
}

fn same(path: &Path, expected: &Identity, found: Identity) -> Result<(), StorageError> {
    if found == *expected {
        return Ok(());
    }
    Err(StorageError::Foreign { path: path.to_owned(), expected: *expected, found })
}

fn read_claim(path: &Path) -> Result<Option<Identity>, StorageError> {
    let file = path.join(CLAIM);
    match fs::metadata(&file) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(StorageError::io(&file, &error)),
        Ok(metadata) if metadata.len() > CLAIM_BYTES_MAX || !metadata.is_file() => {
            return Err(bad_claim(&file));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(&file).map_err(|error| StorageError::io(&file, &error))?;
    Identity::decode(&bytes).map(Some).ok_or_else(|| bad_claim(&file))
}

fn bad_claim(file: &Path) -> StorageError {
    let detail = "the claim file does not match its checksum".to_owned();
    StorageError::Corruption { table: None, file: Some(file.to_owned()), detail }
}

/// The name of something in the directory, leaving out what a crashed claim left and what file systems put
/// there.
fn some_entry(path: &Path) -> Result<Option<String>, StorageError> {
    if path.is_file() {
        return Ok(Some(path.display().to_string()));
    }
    for entry in fs::read_dir(path).map_err(|error| StorageError::io(path, &error))? {
        let entry = entry.map_err(|error| StorageError::io(path, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != CLAIM_DRAFT && name != "lost+found" {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn lock(path: &Path, exclusive: bool) -> Result<Claim, StorageError> {
    let claim = path.join(CLAIM);
    let file = File::open(&claim).map_err(|error| StorageError::io(&claim, &error))?;
    let locked = if exclusive { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => Ok(Claim { _locked: file }),
        Err(TryLockError::WouldBlock) => Err(StorageError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StorageError::io(&claim, &error)),
    }
}

/// `CURRENT` is RocksDB's root. Without it, RocksDB would start afresh beside the data, so its loss must not
/// pass.
fn contents(path: &Path) -> Result<Contents, StorageError> {
    let current = path.join("CURRENT");
    if current.exists() {
        return Ok(Contents::Database);
    }
    for entry in fs::read_dir(path).map_err(|error| StorageError::io(path, &error))? {
        let entry = entry.map_err(|error| StorageError::io(path, &error))?;
        let name = entry.path();
        // RocksDB writes `CURRENT` before the first of these.
        if name
            .extension()
            .is_some_and(|extension| extension == "sst" || extension == "blob" || extension == "log")
        {
            let detail = "it is missing although the directory holds data".to_owned();
            return Err(StorageError::Corruption { table: None, file: Some(current), detail });
        }
    }
    Ok(Contents::Empty)
}
