//! Puts a backup back: into an empty data directory only, checked while it is copied and before it is in its place.
//!
//! The restored node has databases and no journal, so it does not vote: it follows, catches up, and votes again by PROTOCOL rule 26
//! ([`crate::standing`]). Until [`Restoring::finish`] nothing is where a node would look for it; dropped before, nothing stays.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use genesis::GenesisFile;
use ledger::values::ChainId;

use super::depot::{Depot, copy};
use super::manifest::Manifest;
use super::verify::{check_chain, damaged, judge};
use super::{BackupError, Watch};
use crate::config::NodeConfig;
use crate::settings::{chain_directory, store_directory};
use crate::start_error::StartError;

/// A chain that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The chain.
    pub chain: u32,
    /// The last executed height.
    pub height: u64,
    /// The block there.
    pub block: String,
    /// Its state root, computed again from what was restored.
    pub state: String,
}

/// A backup that is copied and checked, and not yet in its place.
#[derive(Debug)]
pub struct Restoring {
    /// The backup.
    pub manifest: Manifest,
    /// What is there.
    pub chains: Vec<Restored>,
    /// Chains that the node hosts and the backup does not have: the node fetches them from the others.
    pub missing: Vec<u32>,
    /// Drafts and their places.
    moves: Vec<(PathBuf, PathBuf)>,
    is_finished: bool,
}

impl Restoring {
    /// Copies a backup beside its place, the named one or the newest, and checks every byte and both trees.
    ///
    /// # Errors
    /// [`BackupError`]; nothing stays.
    pub fn begin(
        config: &NodeConfig,
        from: &Path,
        name: Option<&str>,
        watch: &Watch<'_>,
    ) -> Result<Self, BackupError> {
        let depot = Depot::open(from)?;
        let manifest = depot.find(name)?;
        let spec = GenesisFile::load(&config.node.genesis).and_then(|file| file.spec());
        let spec = spec.map_err(StartError::from)?;
        if manifest.network != spec.hash().to_string() {
            let (backup, found) = (manifest.name, manifest.network);
            return Err(BackupError::OtherNetwork { backup, found, expected: spec.hash().to_string() });
        }
        let hosted = &config.node.chains;
        let wanted: Vec<_> =
            manifest.chains.iter().filter(|chain| hosted.contains(&chain.chain)).cloned().collect();
        if wanted.is_empty() {
            return Err(BackupError::NoChain { backup: manifest.name });
        }
        require_empty(&config.node.data_directory)?;
        let has = |chain: &u32| wanted.iter().any(|wanted| wanted.chain == *chain);
        let missing = hosted.iter().copied().filter(|chain| !has(chain)).collect();
        let mut restoring =
            Self { manifest, chains: Vec::new(), missing, moves: Vec::new(), is_finished: false };
        for chain in wanted {
            let id = ChainId(chain.chain);
            let draft = chain_directory(config, id).join("store.restoring");
            fs::create_dir_all(&draft).map_err(|fault| BackupError::io("make", &draft, fault))?;
            restoring.moves.push((draft.clone(), store_directory(config, id)));
            for file in &chain.files {
                let (source, target) = (depot.path(file), draft.join(&file.name));
                let is = copy(&source, Some(&target), &|bytes| watch(&file.name, bytes))
                    .map_err(|fault| BackupError::io("copy to", &target, fault))?;
                judge(file, &is)
                    .map_err(|reason| damaged(&depot, &restoring.manifest.name, chain.chain, file, reason))?;
            }
            watch(&format!("rows of chain {}", chain.chain), 0);
            let sound = check_chain(&draft, &spec, &restoring.manifest, &chain)?;
            restoring.chains.push(Restored {
                chain: chain.chain,
                height: sound.head.height.0,
                block: sound.head.block.to_string(),
                state: sound.head.state.to_string(),
            });
        }
        Ok(restoring)
    }

    /// Puts everything in its place, durably.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn finish(mut self) -> Result<(Manifest, Vec<Restored>), BackupError> {
        for (draft, place) in &self.moves {
            let folder = place.parent().unwrap_or(place);
            let moved = File::open(draft)
                .and_then(|held| held.sync_all())
                .and_then(|()| fs::rename(draft, place))
                .and_then(|()| File::open(folder)?.sync_all());
            moved.map_err(|fault| BackupError::io("write", place, fault))?;
        }
        self.is_finished = true;
        Ok((self.manifest.clone(), std::mem::take(&mut self.chains)))
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        for (draft, place) in &self.moves {
            let _left = fs::remove_dir_all(draft);
            // Only where nothing else came to be in it.
            let _left = place.parent().map(fs::remove_dir);
        }
    }
}

/// Refuses a data directory with anything in it; none is as good as an empty one.
fn require_empty(directory: &Path) -> Result<(), BackupError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(fault) => return Err(BackupError::io("read", directory, fault)),
    };
    for entry in entries {
        let name = entry.map_err(|fault| BackupError::io("read", directory, fault))?.file_name();
        let entry = name.to_string_lossy().into_owned();
        if entry != "lost+found" {
            return Err(BackupError::NotEmpty { directory: directory.to_owned(), entry });
        }
    }
    Ok(())
}
