//! Makes a backup: of a running node from a checkpoint that it makes itself, of a stopped one from its files.
//!
//! Every file is read whole and stored under its SHA-256, so what an earlier backup in the same directory holds is not stored again: RocksDB's
//! tables and blobs never change once written. What is copied is not judged here; [`super::verify()`] does that.

use std::path::Path;

use chain::{Archive, RowFault};
use genesis::GenesisFile;
use ledger::values::ChainId;
use storage::{RocksOptions, RocksReader, StorageError, Table, database_files};

use super::depot::Depot;
use super::manifest::{ChainManifest, Manifest};
use super::{BackupError, Watch};
use crate::checkpoint::Checkpoint;
use crate::config::NodeConfig;
use crate::settings::{identity, store_directory};
use crate::start_error::StartError;

/// What is to be made.
#[derive(Debug)]
pub struct Order<'a> {
    /// Whose databases.
    pub config: &'a NodeConfig,
    /// The directory of backups.
    pub to: &'a Path,
    /// The backup's name; names sort by time.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub created_ms: u64,
    /// How many backups are kept; all without it.
    pub keep: Option<usize>,
}

/// What was made.
#[derive(Debug)]
pub struct Created {
    /// The backup.
    pub manifest: Manifest,
    /// Whether the node ran meanwhile.
    pub was_running: bool,
    /// Files that no earlier backup had.
    pub new_files: u64,
    /// Older backups that were removed.
    pub removed: Vec<String>,
    /// Bytes that went with them.
    pub freed_bytes: u64,
}

/// Makes a backup.
///
/// # Errors
/// [`BackupError`]; without a manifest nothing was made.
pub fn create(order: Order<'_>, watch: &Watch<'_>) -> Result<Created, BackupError> {
    let Order { config, to, name, created_ms, keep } = order;
    let depot = Depot::open_to_write(to)?;
    if depot.has(&name) {
        return Err(BackupError::Named { directory: to.to_owned(), name });
    }
    let spec = GenesisFile::load(&config.node.genesis).and_then(|file| file.spec());
    let spec = spec.map_err(StartError::from)?;
    let mut hosted: Vec<u32> = config.node.chains.clone();
    hosted.sort_unstable();
    let mut opened = Vec::new();
    let mut is_running = false;
    for chain in &hosted {
        let path = store_directory(config, ChainId(*chain));
        match RocksReader::open(&path, Some(&identity(&spec, ChainId(*chain))), RocksOptions::default()) {
            Ok(reader) => opened.push((*chain, path, reader)),
            Err(StorageError::Missing { .. }) => {}
            Err(StorageError::Locked { .. }) => is_running = true,
            Err(fault) => return Err(fault.into()),
        }
    }
    // Removed when everything is copied.
    let mut _checkpoint = None;
    if is_running {
        opened.clear();
        let checkpoint = Checkpoint::order(&config.node.data_directory)?;
        for chain in &hosted {
            let path = checkpoint.chain(*chain);
            let reader =
                RocksReader::open(&path, Some(&identity(&spec, ChainId(*chain))), RocksOptions::default());
            match reader {
                Ok(reader) => opened.push((*chain, path, reader)),
                // It waits for its origin.
                Err(StorageError::Missing { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        _checkpoint = Some(checkpoint);
    }
    let mut sum = Sum::default();
    let mut chains = Vec::new();
    for (chain, path, reader) in &opened {
        chains.extend(store_chain(&depot, *chain, path, reader, &mut sum, watch)?);
    }
    if chains.is_empty() {
        return Err(BackupError::Nothing { directory: config.node.data_directory.clone() });
    }
    let genesis = sum.add(depot.put(&config.node.genesis, "genesis.json", watch)?);
    let manifest = Manifest::new((name, created_ms), spec.hash().to_string(), genesis, chains, sum.new_bytes);
    depot.seal(&manifest)?;
    let (removed, freed_bytes) = keep.map_or(Ok((Vec::new(), 0)), |keep| depot.retain(keep))?;
    Ok(Created { manifest, was_running: is_running, new_files: sum.new_files, removed, freed_bytes })
}

/// What was not there before.
#[derive(Default)]
struct Sum {
    new_files: u64,
    new_bytes: u64,
}

impl Sum {
    fn add(&mut self, put: super::depot::Put) -> super::StoredFile {
        if put.is_new {
            self.new_files = self.new_files.saturating_add(1);
            self.new_bytes = self.new_bytes.saturating_add(put.file.bytes);
        }
        put.file
    }
}

/// Stores a database; `None` where it holds no chain yet.
fn store_chain(
    depot: &Depot,
    chain: u32,
    path: &Path,
    reader: &RocksReader,
    sum: &mut Sum,
    watch: &Watch<'_>,
) -> Result<Option<ChainManifest>, BackupError> {
    let archive = Archive::new(reader);
    let unread = |fault: RowFault| match fault {
        RowFault::Storage(fault) => BackupError::Storage(fault),
        fault => BackupError::Storage(StorageError::Corruption {
            table: Some(Table::Meta),
            file: None,
            detail: fault.to_string(),
        }),
    };
    let Some(head) = archive.head().map_err(unread)? else { return Ok(None) };
    let certified = archive.newest_certified().map_err(unread)?;
    let mut files = Vec::new();
    for name in database_files(path)? {
        files.push(sum.add(depot.put(&path.join(&name), &name, watch)?));
    }
    Ok(Some(ChainManifest {
        chain,
        height: head.height.0,
        block: head.block.to_string(),
        result: head.result.to_string(),
        state: head.state.to_string(),
        certified_height: certified.map_or(0, |height| height.0.min(head.height.0)),
        records: head.records,
        files,
    }))
}
