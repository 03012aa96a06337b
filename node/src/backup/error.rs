//! Why a backup was not made, is not sound, or is not put back: each with a stable code, what it is about, and its mend.

use std::path::{Path, PathBuf};

use storage::StorageError;

use crate::database::DatabaseFault;
use crate::start_error::StartError;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}. Mend: check that the path exists, that there is room and that you may use it", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The configuration or what it names.
    #[error(transparent)]
    Start(Box<StartError>),
    /// A database that is to be copied.
    #[error("{0}. Mend: {mend}", mend = .0.mend())]
    Storage(#[from] StorageError),
    /// Another backup is at work in the same place.
    #[error("another backup is at work in {}. Mend: wait until it is done", .directory.display())]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// The node that has the databases open makes no checkpoint.
    #[error(
        "the node that uses the data directory made no checkpoint within {seconds} s. Mend: look at its log; it must be of this version and use this data directory"
    )]
    NodeSilent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The node says why it makes none.
    #[error(
        "the node made no checkpoint: {reason}. Mend: see what it says; free space where the disk is the reason"
    )]
    NodeRefused {
        /// What it says.
        reason: String,
    },
    /// There is nothing to copy.
    #[error(
        "{} holds no database of a hosted chain. Mend: name the configuration of a node that has run", .directory.display()
    )]
    Nothing {
        /// The data directory.
        directory: PathBuf,
    },
    /// Not a manifest that this program wrote.
    #[error("{}: {reason}. Mend: use another backup; do not change manifests", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No such backup.
    #[error("{} holds no backup{}. Mend: `jiaozi backup list` shows what there is", .directory.display(), .name.as_ref().map(|name| format!(" named {name}")).unwrap_or_default())]
    None {
        /// The directory.
        directory: PathBuf,
        /// The name that was asked for.
        name: Option<String>,
    },
    /// A backup has this name already.
    #[error("{} holds a backup named {name} already. Mend: wait a second, then try again", .directory.display())]
    Named {
        /// The directory.
        directory: PathBuf,
        /// The name.
        name: String,
    },
    /// A file of the backup is not what its manifest says.
    #[error(
        "{}, which is {name} of chain {chain} in backup {backup}: {reason}. Mend: use another backup, or let the node rejoin with an empty data directory", .path.display()
    )]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// Its name in the database; `genesis.json` belongs to no chain.
        name: String,
        /// Whose database.
        chain: u32,
        /// Which backup.
        backup: String,
        /// What is wrong.
        reason: String,
    },
    /// The files are what the manifest says, and hold something else than a sound database.
    #[error(
        "chain {chain} of backup {backup}: {fault}. Mend: use another backup, or let the node rejoin with an empty data directory"
    )]
    Unsound {
        /// The chain.
        chain: u32,
        /// Which backup.
        backup: String,
        /// What is wrong.
        fault: Box<DatabaseFault>,
    },
    /// Made of another network.
    #[error(
        "backup {backup} is of network {found}, this node is of {expected}. Mend: name a backup of this network, or the configuration of that one"
    )]
    OtherNetwork {
        /// Which backup.
        backup: String,
        /// Its network.
        found: String,
        /// The network of the configuration.
        expected: String,
    },
    /// None of its chains is hosted.
    #[error(
        "backup {backup} has none of the chains that [node] chains lists. Mend: name a backup of this node"
    )]
    NoChain {
        /// Which backup.
        backup: String,
    },
    /// There is data already.
    #[error(
        "[node] data_directory: {} is not empty: it has {entry}. Mend: stop the node, set the directory aside under another name, and restore into an empty one", .directory.display()
    )]
    NotEmpty {
        /// The data directory.
        directory: PathBuf,
        /// Something in it.
        entry: String,
    },
}

impl BackupError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A stable name for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "file",
            Self::Start(_) => "node_config",
            Self::Storage(_) => "database",
            Self::Busy { .. } => "backup_busy",
            Self::NodeSilent { .. } => "node_silent",
            Self::NodeRefused { .. } => "node_refused",
            Self::Nothing { .. } => "no_database",
            Self::Manifest { .. } => "manifest",
            Self::None { .. } => "no_backup",
            Self::Named { .. } => "backup_exists",
            Self::Damaged { .. } => "backup_damaged",
            Self::Unsound { .. } => "backup_unsound",
            Self::OtherNetwork { .. } => "other_network",
            Self::NoChain { .. } => "no_chain",
            Self::NotEmpty { .. } => "not_empty",
        }
    }

    /// The field of the configuration that it is about, if it is about one.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Start(fault) => fault.field(),
            Self::NotEmpty { .. } | Self::Nothing { .. } => Some("node.data_directory"),
            Self::NoChain { .. } => Some("node.chains"),
            Self::OtherNetwork { .. } => Some("node.genesis"),
            _ => None,
        }
    }
}

impl From<StartError> for BackupError {
    fn from(fault: StartError) -> Self {
        Self::Start(Box::new(fault))
    }
}
