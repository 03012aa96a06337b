//! Why an archive cannot be written, read or believed.

use std::path::{Path, PathBuf};

use ledger::proofs::{FinalityFault, SetFault};
use ledger::rules::BlockFault;
use ledger::values::{BlockDigest, ChainId, CodecError, GenesisHash, Height};

/// Why there is no archive, or none that can be believed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is something already.
    #[error("{} is there already", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not an archive, or one that was cut off or changed.
    #[error("{}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Of another network.
    #[error("{} is of network {found}, the genesis file is of {expected}", .path.display())]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// Found.
        found: GenesisHash,
        /// Expected.
        expected: GenesisHash,
    },
    /// Its changes of set are not proved.
    #[error("{}: {fault}", .path.display())]
    Sets {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: SetFault,
    },
    /// What it says of a height is not true.
    #[error("{}: chain {chain}, height {height}: {fault}", .path.display())]
    Block {
        /// The file.
        path: PathBuf,
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// What is wrong with it.
        fault: Box<ArchiveFault>,
    },
    /// So many blocks without a certificate, or none at all with one.
    #[error("no block from height {from} on came with a certificate")]
    NoCertificate {
        /// The first of them.
        from: Height,
    },
}

/// What is wrong with an archived height.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFault {
    /// Not the next height of this chain.
    #[error("it is height {found} of chain {chain}")]
    NotNext {
        /// The block's height.
        found: Height,
        /// The block's chain.
        chain: ChainId,
    },
    /// It does not stand on the block before it.
    #[error("it stands on block {parent}, the one before is {before}")]
    Parent {
        /// In its header.
        parent: BlockDigest,
        /// Of the block before.
        before: BlockDigest,
    },
    /// Its body is not the one of its header.
    #[error(transparent)]
    Body(#[from] BlockFault),
    /// A batch, bundle, block, certificate or result does not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Its batches or bundles are not those that it orders.
    #[error("the {what} at place {place} is not the one that the block orders")]
    Contents {
        /// Batch or bundle.
        what: &'static str,
        /// Which.
        place: usize,
    },
    /// The certificate is not valid.
    #[error(transparent)]
    Finality(#[from] FinalityFault),
    /// The certificate is for another block.
    #[error("the certificate is for block {proved}, the block is {digest}")]
    OtherBlock {
        /// Proved.
        proved: BlockDigest,
        /// The block's digest.
        digest: BlockDigest,
    },
    /// A later block claims another result.
    #[error("the block of height {claimed_by} claims another result")]
    Result {
        /// Whose claim it is.
        claimed_by: Height,
    },
    /// The result is of another height, or does not follow the one before.
    #[error("the result is not the one of this height")]
    OtherResult,
}

impl ArchiveError {
    /// A fault of the operating system.
    #[must_use]
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "archive_file",
            Self::Exists { .. } => "archive_exists",
            Self::Damaged { .. } => "archive_damaged",
            Self::OtherNetwork { .. } => "other_network",
            Self::Sets { .. } => "archive_sets",
            Self::Block { .. } => "archive_differs",
            Self::NoCertificate { .. } => "archive_uncertified",
        }
    }

    /// Whether what was looked at is refused, rather than that it could not be looked at.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Sets { .. } | Self::Block { .. })
    }

    /// What to do next.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the path exists and that you may use it",
            Self::Exists { .. } => "name a file that does not exist yet",
            Self::Damaged { .. } => {
                "take another copy of it, or make it again from a node that holds its heights"
            }
            Self::OtherNetwork { .. } => "name the genesis file of its network",
            Self::Sets { .. } | Self::Block { .. } => {
                "do not rely on it; make it again from another operator's node, and compare the two"
            }
            Self::NoCertificate { .. } => "ask for more heights, or ask again when the chain has gone on",
        }
    }
}
