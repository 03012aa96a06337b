//! Is a backup what its manifest says, and a sound database?
//!
//! Each content is read once, however many backups name it. Databases are opened through symbolic links in a folder of their own, so nothing is
//! copied and nothing is written into the directory of backups: it may lie on a medium that cannot be written.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use genesis::GenesisFile;
use ledger::records::GenesisSpec;
use ledger::values::ChainId;

use super::depot::{Depot, copy};
use super::manifest::{ChainManifest, Manifest, StoredFile};
use super::{BackupError, Watch};
use crate::database::{SoundDatabase, check_database};
use crate::start_error::StartError;

/// What was found in order, a backup each.
#[derive(Debug)]
pub struct Verified {
    /// The backup.
    pub manifest: Manifest,
    /// Files that match their checksums.
    pub files: u64,
    /// Each chain's database: rows that were read, or nothing where the chain is not in it.
    pub chains: Vec<SoundDatabase>,
}

/// Checks one backup, or all of a directory, the oldest first. `found` is told of each.
///
/// # Errors
/// [`BackupError`]: the first file or record that is not what it should be.
pub fn verify(
    directory: &Path,
    name: Option<&str>,
    watch: &Watch<'_>,
    found: &mut dyn FnMut(Verified) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let depot = Depot::open(directory)?;
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => depot.names()?,
    };
    if names.is_empty() {
        return Err(BackupError::None { directory: directory.to_owned(), name: None });
    }
    let mut read = BTreeMap::new();
    for name in names {
        let manifest = depot.find(Some(&name))?;
        found(verify_one(&depot, manifest, &mut read, watch)?)?;
    }
    Ok(())
}

fn verify_one(
    depot: &Depot,
    manifest: Manifest,
    read: &mut BTreeMap<PathBuf, (String, u64)>,
    watch: &Watch<'_>,
) -> Result<Verified, BackupError> {
    let mut files = 0;
    for (chain, file) in manifest.files() {
        let path = depot.path(file);
        let is = match read.get(&path) {
            Some(is) => is.clone(),
            None => {
                let is = copy(&path, None, &|bytes| watch(&file.name, bytes))
                    .map_err(|fault| damaged(depot, &manifest.name, chain, file, fault.to_string()))?;
                read.insert(path.clone(), is.clone());
                is
            }
        };
        judge(file, &is).map_err(|reason| damaged(depot, &manifest.name, chain, file, reason))?;
        files += 1;
    }
    let spec = genesis_of(depot, &manifest)?;
    let mut chains = Vec::new();
    for chain in &manifest.chains {
        watch(&format!("rows of chain {}", chain.chain), 0);
        let links = Links::of(depot, chain)?;
        chains.push(check_chain(&links.folder, &spec, &manifest, chain)?);
    }
    Ok(Verified { manifest, files, chains })
}

/// Whether what was read is what the manifest says.
pub(super) fn judge(file: &StoredFile, (sha256, bytes): &(String, u64)) -> Result<(), String> {
    if *bytes != file.bytes {
        return Err(format!("it has {bytes} bytes, the manifest says {}", file.bytes));
    }
    if *sha256 != file.sha256 {
        return Err(format!("its SHA-256 is {sha256}: a byte has changed"));
    }
    Ok(())
}

pub(super) fn damaged(
    depot: &Depot,
    backup: &str,
    chain: u32,
    file: &StoredFile,
    reason: String,
) -> BackupError {
    let (path, name, backup) = (depot.path(file), file.name.clone(), backup.to_owned());
    BackupError::Damaged { path, name, chain, backup, reason }
}

/// The genesis of a backup, which must be that of the network that it names.
pub(super) fn genesis_of(depot: &Depot, manifest: &Manifest) -> Result<GenesisSpec, BackupError> {
    let path = depot.path(&manifest.genesis);
    let spec = GenesisFile::load(&path).and_then(|file| file.spec()).map_err(StartError::from)?;
    if spec.hash().to_string() == manifest.network {
        return Ok(spec);
    }
    let (backup, found) = (manifest.name.clone(), manifest.network.clone());
    Err(BackupError::OtherNetwork { backup, found, expected: spec.hash().to_string() })
}

/// Checks the database in a folder against the manifest.
pub(super) fn check_chain(
    folder: &Path,
    spec: &GenesisSpec,
    manifest: &Manifest,
    chain: &ChainManifest,
) -> Result<SoundDatabase, BackupError> {
    let backup = manifest.name.clone();
    let sound = check_database(folder, spec, ChainId(chain.chain)).map_err(|fault| BackupError::Unsound {
        chain: chain.chain,
        backup: backup.clone(),
        fault: Box::new(fault),
    })?;
    let head = &sound.head;
    let is_told = (head.height.0, head.block.to_string(), head.result.to_string(), head.state.to_string())
        == (chain.height, chain.block.clone(), chain.result.clone(), chain.state.clone());
    if is_told {
        return Ok(sound);
    }
    let fault = crate::database::DatabaseFault::Tip {
        height: head.height.0,
        field: "the state root",
        table: storage::Table::Meta,
        found: head.state.to_string(),
        expected: format!("{} at height {} by the manifest, which is not what is", chain.state, chain.height),
    };
    Err(BackupError::Unsound { chain: chain.chain, backup, fault: Box::new(fault) })
}

/// A database made of symbolic links; removed when it is dropped.
struct Links {
    folder: PathBuf,
}

impl Links {
    fn of(depot: &Depot, chain: &ChainManifest) -> Result<Self, BackupError> {
        let mut number = 0_u32;
        let links = loop {
            let name = format!("jiaozi-backup-{}-{}-{number}", std::process::id(), chain.chain);
            let folder = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => break Self { folder },
                Err(fault) if fault.kind() == std::io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1
                }
                Err(fault) => return Err(BackupError::io("make", &folder, fault)),
            }
        };
        for file in &chain.files {
            let path = depot.path(file);
            let target = std::path::absolute(&path).map_err(|fault| BackupError::io("name", &path, fault))?;
            let link = links.folder.join(&file.name);
            symlink(&target, &link).map_err(|fault| BackupError::io("link", &link, fault))?;
        }
        Ok(links)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // Links in the system's folder for what is temporary: nothing is lost if they stay.
        let _left = fs::remove_dir_all(&self.folder);
    }
}
