//! What a chain that genesis does not name begins with here: its origin, from a file of `[node] origins`, from the one that
//! `node add-chain --host` kept beside the chain's data, or from this node's own chain 0.
//!
//! All are proofs that a quorum of chain 0 added the chain, so it does not matter who made the file. An origin is looked for at the first start of the
//! chain on this node only: from then on its database has it, and the file may go.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain::Archive;
use genesis::GenesisFile;
use ledger::proofs::ChainOrigin;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{Birth, GenesisSpec, Registry};
use ledger::values::{Canonical as _, ChainId, CodecError, Height};
use storage::{Reader, RocksReader, StorageError};

use crate::config::NodeConfig;
use crate::settings::{chain_directory, identity, store_directory, store_options};
use crate::start_error::{StartError, system};

/// Largest file that is read.
const ORIGIN_BYTES_MAX: u64 = ChainOrigin::BYTES_MAX as u64;

/// Why a file of `[node] origins` is none.
#[derive(Debug, thiserror::Error)]
pub enum OriginFileFault {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is larger than any origin.
    #[error("has {bytes} bytes, an origin has at most {ORIGIN_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It holds something else.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl OriginFileFault {
    /// Whether there is no such file, or none yet.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io(fault) if fault.kind() == io::ErrorKind::NotFound)
    }
}

/// The files in which the origin of a chain may be.
#[derive(Debug, Clone)]
pub(crate) struct OriginFiles {
    named: Vec<PathBuf>,
    kept: PathBuf,
}

impl OriginFiles {
    pub(crate) fn of(config: &NodeConfig, chain: ChainId) -> Self {
        let kept = chain_directory(config, chain).join(KEPT);
        Self { named: config.node.origins.clone(), kept }
    }
}

/// The file of an origin beside the data of its chain.
const KEPT: &str = "origin";

/// The origin of a chain, not verified yet. `root` is this node's chain 0, if it hosts that. A file that is gone, or not there yet, is no
/// fault while there is another way: that of a chain that has begun may go.
///
/// # Errors
/// [`StartError::OriginFile`], [`StartError::NoSuchChain`], [`StartError::OriginNotYet`], and what a store says.
pub(crate) fn origin_of(
    files: &OriginFiles,
    root: Option<&dyn Reader>,
    chain: ChainId,
) -> Result<ChainOrigin, StartError> {
    let mut missing = None;
    for path in files.named.iter().chain([&files.kept]) {
        match read(path) {
            Ok(origin) if is_of(&origin, chain) => return Ok(origin),
            Ok(_) => {}
            Err(fault) if fault.is_missing() => {
                // Nobody was told to put the kept one there.
                missing = missing.or((*path != files.kept).then(|| (path.clone(), fault)));
            }
            Err(fault) => return Err(StartError::OriginFile { path: path.clone(), fault }),
        }
    }
    match (root, missing) {
        (Some(root), _) => {
            Archive::new(root).origin(chain)?.ok_or(StartError::OriginNotYet { chain: chain.0 })
        }
        (None, Some((path, fault))) => Err(StartError::OriginFile { path, fault }),
        (None, None) => Err(StartError::NoSuchChain { chain: chain.0 }),
    }
}

/// What a chain that genesis does not name begins with, as far as it can be looked up without a start.
#[derive(Debug)]
pub(crate) enum FirstRegistry {
    /// This, which is proved.
    Proved(Arc<Registry>),
    /// The node that runs holds the chain's database: the chain has begun.
    Runs,
    /// The node that runs holds the database of chain 0, and no file has the origin.
    Unseen,
}

/// Looks up what a chain begins with that genesis does not name: in its own database, in files, in the database of chain 0.
///
/// # Errors
/// As [`origin_of`], and [`StartError::OriginUnproved`].
pub(crate) fn first_registry(
    config: &NodeConfig,
    spec: &GenesisSpec,
    chain: ChainId,
) -> Result<FirstRegistry, StartError> {
    let open = |chain: ChainId| {
        let (path, identity) = (store_directory(config, chain), identity(spec, chain));
        RocksReader::open(&path, Some(&identity), store_options(config))
    };
    let begun = match open(chain) {
        Ok(own) => Archive::new(&own).registry_at(Height(0))?,
        Err(StorageError::Locked { .. }) => return Ok(FirstRegistry::Runs),
        // What is wrong with it is told where databases are looked at.
        Err(_) => None,
    };
    if let Some(registry) = begun {
        return Ok(FirstRegistry::Proved(Arc::new(registry)));
    }
    let is_hosted = config.node.chains.contains(&ROOT_CHAIN.0);
    let (root, is_held) = match is_hosted.then(|| open(ROOT_CHAIN)) {
        Some(Ok(root)) => (Some(root), false),
        Some(Err(StorageError::Locked { .. })) => (None, true),
        // Of a chain 0 that was not started yet nothing is known yet.
        Some(Err(StorageError::Missing { .. })) => return not_yet(config, spec, chain),
        _ => (None, false),
    };
    let root = root.as_ref().map(|root| root as &dyn Reader);
    match origin_of(&OriginFiles::of(config, chain), root, chain) {
        Ok(origin) => proved(&origin, spec, chain).map(FirstRegistry::Proved),
        Err(StartError::NoSuchChain { .. }) if is_held => Ok(FirstRegistry::Unseen),
        Err(fault) if is_held && fault.waits_for_origin() => Ok(FirstRegistry::Unseen),
        Err(fault) => Err(fault),
    }
}

/// The same at a node whose chain 0 has no database yet: files alone say it.
fn not_yet(config: &NodeConfig, spec: &GenesisSpec, chain: ChainId) -> Result<FirstRegistry, StartError> {
    match origin_of(&OriginFiles::of(config, chain), None, chain) {
        Ok(origin) => proved(&origin, spec, chain).map(FirstRegistry::Proved),
        Err(StartError::NoSuchChain { chain }) => Err(StartError::OriginNotYet { chain }),
        Err(fault) => Err(fault),
    }
}

/// The registry that a chain begins with, by the genesis file alone.
pub(crate) fn proved(
    origin: &ChainOrigin,
    spec: &GenesisSpec,
    chain: ChainId,
) -> Result<Arc<Registry>, StartError> {
    origin.verify(spec, chain).map_err(|fault| StartError::OriginUnproved { chain: chain.0, fault })
}

/// Where the origin of a chain is that a node is to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginPlace {
    /// At hand and proved, or the chain has begun here and needs none.
    Here,
    /// Perhaps in the database of chain 0, which the node that runs holds: that node must be asked.
    WithRunningNode,
}

/// Whether a start would find the origin of a chain that genesis does not name, before the configuration names the chain.
///
/// # Errors
/// Why there is none: [`StartError::OriginNotYet`], [`StartError::NoSuchChain`], or a file or database that cannot be used.
pub fn find_origin(config: &NodeConfig, chain: ChainId) -> Result<OriginPlace, StartError> {
    let spec = GenesisFile::load(&config.node.genesis)?.spec()?;
    if spec.chain(chain).is_some() {
        return Ok(OriginPlace::Here);
    }
    Ok(match first_registry(config, &spec, chain)? {
        FirstRegistry::Proved(_) | FirstRegistry::Runs => OriginPlace::Here,
        FirstRegistry::Unseen => OriginPlace::WithRunningNode,
    })
}

/// Keeps the canonical bytes of an origin beside the data of its chain, for the start, once they are proved with the genesis file.
///
/// # Errors
/// [`StartError::OriginFile`], [`StartError::OriginUnproved`], or what the system says.
pub fn keep_origin(config: &NodeConfig, chain: ChainId, bytes: &[u8]) -> Result<(), StartError> {
    let path = OriginFiles::of(config, chain).kept;
    let unfit = |fault: OriginFileFault| StartError::OriginFile { path: path.clone(), fault };
    let origin = ChainOrigin::decode(bytes).map_err(|fault| unfit(fault.into()))?;
    let spec = GenesisFile::load(&config.node.genesis)?.spec()?;
    proved(&origin, &spec, chain)?;
    write(&path, bytes).map_err(|fault| system("place for an origin", &fault))
}

/// All of the file or nothing, whatever ends in between.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

fn read(path: &Path) -> Result<ChainOrigin, OriginFileFault> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > ORIGIN_BYTES_MAX {
        return Err(OriginFileFault::TooLarge { bytes });
    }
    Ok(ChainOrigin::decode(&std::fs::read(path)?)?)
}

/// Whether it is of the height that added the chain.
fn is_of(origin: &ChainOrigin, chain: ChainId) -> bool {
    let birth = origin.registry.chain(chain).map(|record| record.birth);
    matches!(birth, Some(Birth::Child { height, .. }) if height == origin.certified.result.height)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::Sequential;
    use storage::{Identity, MemoryStore, Store};

    use super::*;

    #[test]
    fn a_chain_without_an_origin_is_refused_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let spec = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap().spec;
        let identity = Identity { schema_version: 1, genesis: spec.hash().0, chain: 0 };
        let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(MemoryStore::fresh(&identity));
        chain::Executor::open(&spec, ChainId(0), std::sync::Arc::clone(&store), Sequential).unwrap();
        let kept = folder.path().join("kept");
        let told = |files: &[PathBuf], root: Option<&dyn Reader>| {
            let files = OriginFiles { named: files.to_vec(), kept: kept.clone() };
            let fault = origin_of(&files, root, ChainId(7)).unwrap_err();
            (fault.field(), fault.to_string())
        };
        let (field, text) = told(&[], None);
        assert!(field == Some("node.chains") && text.contains("no chain 7"), "{text}");
        assert!(
            text.contains("jiaozi gov origin --chain 7 --out") && text.contains("[node] origins"),
            "{text}"
        );
        let (field, text) = told(&[], Some(store.as_ref()));
        assert!(field == Some("node.chains") && text.contains("not executed and certified"), "{text}");
        assert!(text.contains("[node] origins"), "{text}");
        let path = folder.path().join("chain-7.origin");
        let (field, text) = told(std::slice::from_ref(&path), None);
        assert!(field == Some("node.origins") && text.contains("chain-7.origin"), "{text}");
        let (field, text) = told(std::slice::from_ref(&path), Some(store.as_ref()));
        assert!(field == Some("node.chains") && text.contains("not executed and certified"), "{text}");
        std::fs::write(&path, b"no origin").unwrap();
        let (field, text) = told(&[path], Some(store.as_ref()));
        assert!(field == Some("node.origins") && text.contains(". Mend: "), "{text}");
        std::fs::write(&kept, b"no origin").unwrap();
        let (field, text) = told(&[], Some(store.as_ref()));
        assert!(field == Some("node.origins") && text.contains("kept"), "{text}");
    }

    #[test]
    fn what_may_come_is_waited_for_and_what_is_wrong_is_not() {
        let missing = || OriginFileFault::Io(io::ErrorKind::NotFound.into());
        let of_file = |fault| StartError::OriginFile { path: PathBuf::from("chain-7.origin"), fault };
        assert!(StartError::OriginNotYet { chain: 7 }.waits_for_origin());
        assert!(of_file(missing()).waits_for_origin());
        assert!(!of_file(OriginFileFault::TooLarge { bytes: 9 }).waits_for_origin());
        assert!(!of_file(OriginFileFault::Io(io::ErrorKind::PermissionDenied.into())).waits_for_origin());
        assert!(!StartError::NoSuchChain { chain: 7 }.waits_for_origin(), "the configuration must change");
    }
}
