//! Why a replay ended without a verdict, or with a bad one.
//!
//! [`AuditError::Different`] and corrupt storage are verdicts: what was audited is refused. Everything else says that the
//! auditor could not look.

use ledger::state::GenesisFault;
use ledger::values::{ChainId, Height};
use storage::StorageError;

use crate::archive_error::ArchiveError;
use crate::difference::Difference;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// What was read is not what the rules make of genesis and the ordered transactions.
    #[error(transparent)]
    Different(#[from] Box<Difference>),
    /// The database could not be read, or its bytes are damaged ([`StorageError::Corruption`]).
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The node's feed could not be read.
    #[error("the node's feed could not be read: {0}")]
    Feed(#[from] api::ClientError),
    /// An archive cannot be read, or not believed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The genesis file does not describe this chain.
    #[error(transparent)]
    Genesis(#[from] GenesisFault),
    /// The network has no such chain.
    #[error("the network has no chain {chain}")]
    ChainUnknown {
        /// The chain asked for.
        chain: ChainId,
    },
    /// The database does not begin with the chain: its node pruned what is below, or joined by a snapshot and never had it.
    #[error(
        "the database of chain {chain} holds heights from {lowest} on: its node joined by a snapshot, or what is below is pruned"
    )]
    Pruned {
        /// The chain.
        chain: ChainId,
        /// The lowest height that is there.
        lowest: Height,
    },
    /// No threads could be started.
    #[error("no threads for the replay: {0}")]
    Threads(std::io::Error),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
    /// A stage of the replay ended without an answer: a defect of this program.
    #[error("a stage of the replay ended without an answer; this is a defect of the program")]
    Stage,
}

impl AuditError {
    /// Whether this is a verdict (the audited thing is refused) rather than a failure to look.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        match self {
            Self::Different(_) | Self::Storage(StorageError::Corruption { .. }) => true,
            Self::Archive(fault) => fault.is_verdict(),
            _ => false,
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Different(_) => {
                "keep this copy as evidence, and replay another operator's copy to see which one is forged"
            }
            Self::Storage(fault) => storage_mend(fault),
            Self::Feed(_) => "check the node's address and token, then try again",
            Self::Archive(fault) => fault.mend(),
            Self::Genesis(_) | Self::ChainUnknown { .. } => {
                "name the genesis file of the network that is audited"
            }
            Self::Pruned { .. } => {
                "replay a bank that has everything (--node URL, or its data directory), or archives of what is below and a node for the rest: --archive DIR --node URL"
            }
            Self::Threads(_) => "try again with fewer threads",
            Self::Randomness(_) => "check /dev/urandom, then try again",
            Self::Stage => "report it with the command that led here",
        }
    }
}

/// What an auditor can do about a data directory. [`StorageError::mend`] speaks to the operator of a node.
const fn storage_mend(fault: &StorageError) -> &'static str {
    match fault {
        StorageError::Foreign { .. } => "name the data directory of the chain and network that are audited",
        StorageError::NotOurs { .. } | StorageError::Missing { .. } => {
            "name a node's data directory; it has a file named STORE"
        }
        StorageError::Locked { .. } => "have the node stopped, or replay through its feed",
        StorageError::Corruption { .. } => {
            "take a new copy; if that is damaged too, keep it as evidence and audit another operator's"
        }
        StorageError::DiskFull => "free space on the device, then try again",
        StorageError::Io { .. } => "check that the path exists and that you may read it, then try again",
        _ => fault.mend(),
    }
}

impl From<Difference> for AuditError {
    fn from(difference: Difference) -> Self {
        Self::Different(Box::new(difference))
    }
}
