//! Is a database of a chain sound? Every byte against its checksum, both trees over its records against the head, the head against the order
//! of blocks and the results. Nothing is written. What is not sound can be set aside.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use chain::{Archive, ExecutorFault, RowFault, check_state};
use ledger::proofs::SetChain;
use ledger::records::GenesisSpec;
use ledger::state::StateHead;
use ledger::values::ChainId;
use storage::{Reader, RocksOptions, RocksReader, StorageError, VerifyReport};

use crate::config::NodeConfig;
use crate::settings::{chain_directory, identity, store_directory};
use crate::start_error::{StartError, system};
use crate::strategy::Parallel;

/// Why a database is not sound, or cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseFault {
    /// Its files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its records.
    #[error(transparent)]
    State(#[from] ExecutorFault),
    /// A row.
    #[error(transparent)]
    Rows(#[from] RowFault),
    /// It holds no chain.
    #[error("the database holds no chain: it has no head")]
    Empty,
    /// What it says of its last height does not fit together.
    #[error("height {height}: {field} is {found} in table {table} and {expected} in the head")]
    Tip {
        /// The last executed height.
        height: u64,
        /// What differs.
        field: &'static str,
        /// Where it lies.
        table: storage::Table,
        /// As the table has it.
        found: String,
        /// As the head has it.
        expected: String,
    },
    /// No threads.
    #[error("the system gave no threads: {0}")]
    Threads(String),
}

impl DatabaseFault {
    /// Whether the database is damaged, rather than in use, missing or of another chain.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Storage(fault) | Self::Rows(RowFault::Storage(fault)) => {
                matches!(fault, StorageError::Corruption { .. })
            }
            Self::State(_) | Self::Rows(_) | Self::Empty | Self::Tip { .. } => true,
            Self::Threads(_) => false,
        }
    }

    /// Whether there is nothing yet.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Missing { .. }))
    }

    /// Whether a process has it open.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Locked { .. }))
    }
}

/// What was found sound.
#[derive(Debug)]
pub struct SoundDatabase {
    /// Where the chain stands.
    pub head: StateHead,
    /// Rows and bytes that were read.
    pub report: VerifyReport,
}

/// Checks a database of `chain` that nobody has open.
///
/// # Errors
/// [`DatabaseFault`]: the first thing that is wrong, with table and file where they are known.
pub fn check_database(
    path: &Path,
    spec: &GenesisSpec,
    chain: ChainId,
) -> Result<SoundDatabase, DatabaseFault> {
    let reader = RocksReader::open(path, Some(&identity(spec, chain)), RocksOptions::default())?;
    let report = reader.verify_all()?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let strategy = Parallel::new(threads).map_err(|fault| DatabaseFault::Threads(fault.to_string()))?;
    let head = check_state(spec, &reader, &strategy)?.ok_or(DatabaseFault::Empty)?;
    let archive = Archive::new(&reader);
    let differs = |field, table, found: Option<String>, expected: String| {
        let found = found.unwrap_or_else(|| "missing".to_owned());
        if found == expected {
            return Ok(());
        }
        Err(DatabaseFault::Tip { height: head.height.0, field, table, found, expected })
    };
    let block = archive.digest(head.height)?.map(|digest| digest.to_string());
    differs("the block", storage::Table::Heights, block, head.block.to_string())?;
    let result = archive.result(head.height)?.map(|result| result.hash(spec.hash()).to_string());
    differs("the result", storage::Table::Results, result, head.result.to_string())?;
    Ok(SoundDatabase { head, report })
}

/// Every change of set that a database of a chain proves, up to the epoch of its newest block; `None` where it has no such proof yet.
///
/// # Errors
/// [`DatabaseFault`].
pub fn stored_sets(reader: &dyn Reader) -> Result<Option<SetChain>, DatabaseFault> {
    let archive = Archive::new(reader);
    let head = archive.head()?.ok_or(DatabaseFault::Empty)?;
    let epoch = archive.block_at(head.height)?.map(|block| block.header.epoch).unwrap_or_default();
    Ok(archive.set_chain(epoch)?)
}

/// In the name of what was set aside: nobody takes it for a node's data.
pub const SET_ASIDE: &str = ".damaged-";

/// Renames what a stopped node keeps of a chain, database and journals, so that it rejoins from an empty directory; nothing is removed.
/// `stamp` goes into the new name. Answers it.
///
/// # Errors
/// [`StartError`], also where a node has the database open.
pub fn set_aside(config: &NodeConfig, chain: ChainId, stamp: &str) -> Result<PathBuf, StartError> {
    let from = chain_directory(config, chain);
    let claim = File::open(store_directory(config, chain).join("STORE")).ok();
    // A claim that is missing is damage too, and then no node has the database open.
    if let Some(Err(TryLockError::WouldBlock)) = claim.as_ref().map(File::try_lock) {
        return Err(StorageError::Locked { path: from }.into());
    }
    let to = from.with_file_name(format!("chain-{chain}{SET_ASIDE}{stamp}"));
    if to.exists() {
        return Err(system("new name for the data", &format_args!("{} is there already", to.display())));
    }
    std::fs::rename(&from, &to)
        .and_then(|()| File::open(&config.node.data_directory)?.sync_all())
        .map_err(|fault| system("new name for the data", &fault))?;
    Ok(to)
}
