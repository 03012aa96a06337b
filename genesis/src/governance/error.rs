//! Why a proposal cannot be made, read, approved or applied. Every message ends with the mend.

use ledger::proofs::RegistryFault;
use ledger::records::change::CHANGES_MAX;
use ledger::rules::ChangeFault;
use ledger::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN};
use ledger::values::{ChainId, CodecError, Currency, GenesisHash, Hash, NodeIndex, PublicKey};

use super::file::PROPOSAL_FILE_BYTES_MAX;
use super::params::ParamError;
use crate::error::{FieldError, GenesisError};

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// Larger than any such file.
    #[error(
        "the file has {bytes} bytes; at most {PROPOSAL_FILE_BYTES_MAX} are allowed. Mend: name the right file"
    )]
    TooLarge {
        /// Found.
        bytes: usize,
    },
    /// Not such a file.
    #[error("not a proposal: {0}. Mend: ask its sender for it again")]
    Json(#[from] serde_json::Error),
    /// A field cannot be read.
    #[error("the file's {field} is malformed. Mend: ask its sender for it again")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// A text in it cannot be read.
    #[error(transparent)]
    Text(#[from] FieldError),
    /// The bytes are no proposal or no registry.
    #[error("the file's content is malformed: {0}. Mend: ask its sender for it again")]
    Content(#[from] CodecError),
    /// What stands there for people is not what the bytes say.
    #[error(
        "the file's words do not say what its bytes do. Mend: do not approve; tell the other operators who sent it"
    )]
    OtherWords,
    /// For another network.
    #[error(
        "the proposal is for network {found}, the genesis file is of {expected}. Mend: name the right genesis file"
    )]
    OtherNetwork {
        /// In the file.
        found: GenesisHash,
        /// Of the genesis file.
        expected: GenesisHash,
    },
    /// The registry is not proved.
    #[error("the registry is not proved: {0}. Mend: do not rely on it; ask another node")]
    Proof(#[from] RegistryFault),
    /// The registry is another chain's.
    #[error("the registry is that of chain {chain}. Mend: proposals change that of the root chain, 0")]
    NotRoot {
        /// Whose.
        chain: ChainId,
    },
    /// A change does not fit the registry.
    #[error("change {number} does not fit: {fault}. Mend: {}", .fault.mend())]
    Change {
        /// Its place, from 1.
        number: usize,
        /// Why.
        fault: ChangeFault,
    },
    /// The registry has changed since.
    #[error(
        "the proposal changes version {version} of the registry, which has version {known}. Mend: propose anew"
    )]
    Stale {
        /// Of the proposal.
        version: u64,
        /// Of the registry.
        known: u64,
    },
    /// More changes than a proposal holds.
    #[error("a proposal has at most {CHANGES_MAX} changes. Mend: propose the rest once this one is applied")]
    TooManyChanges,
    /// A contribution without an operator.
    #[error("the contribution is not of one operator. Mend: ask for a new one")]
    NotOneOperator,
    /// No such operator.
    #[error("there is no operator {text}. Mend: see `jiaozi gov show`")]
    OperatorUnknown {
        /// What was asked for.
        text: String,
    },
    /// A name of several operators.
    #[error("several operators are called {name}. Mend: name it by its number")]
    OperatorAmbiguous {
        /// The name.
        name: String,
    },
    /// No such node.
    #[error("there is no node {node}. Mend: see `jiaozi gov show`")]
    NodeUnknown {
        /// What was asked for.
        node: NodeIndex,
    },
    /// No such chain.
    #[error("the network has no chain {chain}. Mend: see `jiaozi chain list`")]
    ChainUnknown {
        /// What was asked for.
        chain: ChainId,
    },
    /// An operator without a validator there.
    #[error("{name} has no validator on chain {chain}. Mend: see `jiaozi gov show`")]
    NoValidator {
        /// The chain.
        chain: ChainId,
        /// The operator.
        name: String,
    },
    /// An operator with several validators there.
    #[error("{name} has several validators on chain {chain}. Mend: name the one that is meant by its key")]
    SeveralValidators {
        /// The chain.
        chain: ChainId,
        /// The operator.
        name: String,
    },
    /// A validator for a chain of another network.
    #[error(
        "node {node} offers a validator for network {found}. Mend: ask its operator to make the file for this network"
    )]
    SeatOfOtherNetwork {
        /// Whose.
        node: NodeIndex,
        /// In the file.
        found: GenesisHash,
    },
    /// A validator for another chain than the one that is added.
    #[error(
        "node {node} offers a validator for chain {found}, the chain to be added is {expected}. \
         Mend: ask its operator for: jiaozi node add-chain --chain {expected}"
    )]
    SeatOfOtherChain {
        /// Whose.
        node: NodeIndex,
        /// In the file.
        found: ChainId,
        /// The next free id.
        expected: ChainId,
    },
    /// A validator that its keys did not offer.
    #[error(
        "the offer of node {node} is not signed by the key {key}. Mend: do not use it; ask the node's operator for it again"
    )]
    SeatSignature {
        /// Whose.
        node: NodeIndex,
        /// The key that should have signed.
        key: PublicKey,
    },
    /// As many validators as no chain has.
    #[error(
        "{count} validators are offered, and a chain has {VALIDATORS_MIN} to {VALIDATORS_MAX}. \
         Mend: name one file of `jiaozi node add-chain` for each node that is to run a validator of it"
    )]
    OffersCount {
        /// How many.
        count: usize,
    },
    /// Two validators on one node, or one file twice.
    #[error(
        "node {node} offers two validators: a node runs one on each chain. Mend: name each node's file once"
    )]
    OfferTwice {
        /// Whose.
        node: NodeIndex,
    },
    /// A currency without a chain.
    #[error("the network has no {currency}. Mend: name one of: {}", .known.join(", "))]
    CurrencyUnknown {
        /// What was asked for.
        currency: Currency,
        /// Those of the network.
        known: Vec<String>,
    },
    /// A key that nobody has shown to hold.
    #[error(
        "change {number} brings in the key {key}, and nothing proves that it is held by whom it is meant for. \
         Mend: `jiaozi gov prove-key` where the key lives, then --possession"
    )]
    KeyUnproved {
        /// The change's place, from 1.
        number: usize,
        /// The key.
        key: PublicKey,
    },
    /// A parameter.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A contribution.
    #[error(transparent)]
    Contribution(#[from] GenesisError),
    /// Two files of two proposals.
    #[error("the files are of the proposals {found} and {expected}. Mend: name files of one proposal")]
    OtherProposal {
        /// Of the other file.
        found: Hash,
        /// Of this one.
        expected: Hash,
    },
    /// The key cannot approve.
    #[error(
        "the key {key} belongs to no operator that runs a validator of the root chain. \
         Mend: approve with the cold key of one that does"
    )]
    NotInCouncil {
        /// The key.
        key: PublicKey,
    },
    /// An approval of somebody who cannot approve.
    #[error(
        "{name} cannot approve: it runs no validator of the root chain. Mend: ask the sender for a file without it"
    )]
    Stranger {
        /// Who.
        name: String,
    },
    /// An approval is not valid.
    #[error("the approval of {name} is not valid. Mend: ask them to approve again")]
    Signature {
        /// Whose.
        name: String,
    },
    /// Too few approvals.
    #[error("{} missing. Mend: ask, of those who have not approved, as many: {}", approvals(.missing), .names.join(", "))]
    Incomplete {
        /// How many.
        missing: usize,
        /// Who could.
        names: Vec<String>,
    },
}

fn approvals(missing: &usize) -> String {
    if *missing == 1 { "1 approval is".to_owned() } else { format!("{missing} approvals are") }
}
