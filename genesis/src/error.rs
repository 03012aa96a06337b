//! What can go wrong with genesis and ceremony files: the file system ([`FileError`]), one field
//! ([`FieldError`]), or the ceremony's own rules ([`GenesisError`]). Every message says where and what to do
//! next.

use std::path::PathBuf;

use ledger::values::{ChainId, CodecError, GenesisHash, Hash, PublicKey};

/// A file cannot be read or written, or is not the JSON it should be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error(
        "{path}: cannot {action}: {source}. Mend: check that the path exists and that you may {action} it"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Larger than any such file can be.
    #[error(
        "{path}: larger than {bytes_max} bytes. Mend: this is not a file of the ceremony; name the right one"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// Not JSON of the expected shape.
    #[error("{path}: {source}. Mend: correct the named line; fields are never unknown, missing or doubled")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// The file would be overwritten.
    #[error("{path}: exists already. Mend: move it away first; ceremony files are never overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A folder holds more files than a network has operators.
    #[error("{path}: more than {files_max} files. Mend: keep one file per operator there")]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// The bound.
        files_max: usize,
    },
}

/// One field of a file does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Path of the field in the file, such as `operators[2].operator_key`.
    pub field: String,
    /// What is wrong.
    pub problem: FieldProblem,
}

/// What is wrong with a field, and the mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// Not a key.
    #[error("not a public key. Mend: write it as 64 hexadecimal digits")]
    Key,
    /// Not a signature.
    #[error("not a signature. Mend: write it as 128 hexadecimal digits")]
    Signature,
    /// Not a hash.
    #[error("not a hash. Mend: write it as 64 hexadecimal digits")]
    Hash,
    /// Not a currency.
    #[error("not a currency. Mend: write three capital letters, such as CNY")]
    Currency,
    /// A tier is missing, doubled or out of order.
    #[error(
        "tiers are listed once each in the order operator, one, two, three, four. Mend: restore that order"
    )]
    TierOrder,
    /// Not `host:port`.
    #[error("not an address for peers. Mend: write host:port, such as bank.example:7000 or 10.0.0.1:7000")]
    Address,
    /// Used before.
    #[error("appears twice. Mend: every operator and node has keys of its own; generate new ones")]
    Doubled,
    /// The node belongs to somebody else.
    #[error("names a node of another operator. Mend: a validator runs on a node of its own operator")]
    ForeignNode,
    /// Chain ids have a gap.
    #[error("chain ids count from 0 without gaps. Mend: renumber the chains")]
    ChainOrder,
    /// Unknown file format.
    #[error("this version reads format 1. Mend: use the version that wrote the file")]
    Format,
    /// Empty, too long or with control characters.
    #[error("a name has 1 to 64 bytes and no control characters. Mend: choose another")]
    Name,
}

impl FieldProblem {
    /// This problem in the field `field`.
    pub(crate) fn at(self, field: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), problem: self }
    }
}

/// Why a genesis or a ceremony step is refused.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The file system or JSON.
    #[error(transparent)]
    File(#[from] FileError),
    /// A field.
    #[error("the file is invalid at {0}")]
    Field(#[from] FieldError),
    /// The ledger's own check of the spec.
    #[error(
        "the genesis spec is invalid: {0}. \
         Mend: correct that field, or ask its contributor for a new contribution"
    )]
    Spec(#[from] CodecError),
    /// A contribution was made for another template.
    #[error(
        "the contribution of {operator} was signed for template {found}, not {expected}. \
         Mend: send them this template and ask for a new contribution"
    )]
    OtherTemplate {
        /// Name in the contribution.
        operator: String,
        /// Template hash in it.
        found: Hash,
        /// Template hash of this ceremony.
        expected: Hash,
    },
    /// The operator key did not sign this contribution.
    #[error("the contribution of {operator} was changed after it was signed. Mend: ask them for it again")]
    ContributionSignature {
        /// Name in the contribution.
        operator: String,
    },
    /// A network or consensus key did not sign its offer.
    #[error(
        "{operator} offers the key {key} without a valid proof of possession. \
         Mend: they must sign the offer on the machine that holds the key"
    )]
    Possession {
        /// Name in the contribution.
        operator: String,
        /// The key.
        key: PublicKey,
    },
    /// Two contributions claim the same thing.
    #[error(
        "{first} and {second} both contribute the same {what}. \
         Mend: they must agree who keeps it; the other contributes anew"
    )]
    Conflict {
        /// Name in one contribution.
        first: String,
        /// Name in the other.
        second: String,
        /// What they share.
        what: Shared,
    },
    /// A contribution names a chain that the template does not have.
    #[error(
        "{operator} contributes a validator for chain {chain}, which the template does not have. \
         Mend: contribute anew"
    )]
    UnknownChain {
        /// Name in the contribution.
        operator: String,
        /// The chain.
        chain: ChainId,
    },
    /// No contribution of a central bank, or several.
    #[error(
        "there are {count} contributions with the role central_bank. \
         Mend: exactly one operator issues the money"
    )]
    CentralBanks {
        /// How many.
        count: usize,
    },
    /// The genesis file is not what the contributions make.
    #[error(
        "genesis.json has hash {found}, but the contributions make {expected}. \
         Mend: do not approve; merge the contributions again and compare with the other operators"
    )]
    OtherGenesis {
        /// Hash of the file.
        found: GenesisHash,
        /// Hash of what the contributions make.
        expected: GenesisHash,
    },
    /// An approval is for another genesis.
    #[error(
        "the approval of {operator} is for genesis {found}, not {expected}. \
         Mend: ask them to verify and approve again"
    )]
    OtherApproval {
        /// Name in the approval.
        operator: String,
        /// Genesis hash in it.
        found: GenesisHash,
        /// Genesis hash of this ceremony.
        expected: GenesisHash,
    },
    /// The operator key did not sign this approval.
    #[error("the approval of {operator} has no valid signature. Mend: ask them to approve again")]
    ApprovalSignature {
        /// Name in the approval.
        operator: String,
    },
    /// A key that is no operator's approved or tries to.
    #[error(
        "the key {key} belongs to no operator of this genesis. \
         Mend: sign with the operator key that contributed"
    )]
    UnknownOperator {
        /// The key.
        key: PublicKey,
    },
    /// Not everyone has approved.
    #[error("no approval yet from: {}. Mend: ask them to verify the hash and approve", .missing.join(", "))]
    MissingApprovals {
        /// Names of the operators.
        missing: Vec<String>,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}. Mend: check /dev/urandom, then try again")]
    Randomness(getrandom::Error),
}

/// What two contributions share although each must have its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shared {
    /// The name for people.
    #[error("name")]
    Name,
    /// The cold key.
    #[error("operator key {0}")]
    OperatorKey(PublicKey),
    /// Where peers reach a node.
    #[error("peer address")]
    Address,
    /// A node's key.
    #[error("network key {0}")]
    NetworkKey(PublicKey),
    /// A validator's key.
    #[error("consensus key {0}")]
    ConsensusKey(PublicKey),
}
