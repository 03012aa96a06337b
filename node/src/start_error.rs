//! Why a node does not start: each reason with the field of the configuration that it is about, and its mend.

use std::path::PathBuf;

use chain::{ExecutorFault, RowFault};
use genesis::GenesisError;
use ledger::proofs::OriginFault;
use network::NetworkError;
use storage::StorageError;

use crate::engine::EngineError;
use crate::http::RestError;
use crate::keys::KeysError;
use crate::origins::OriginFileFault;
use crate::telemetry::LogError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logging.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The genesis file.
    #[error("[node] genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The network key is not in the registry.
    #[error(
        "[keys] network_key: the genesis file knows no node with this key. Mend: use the key that this bank contributed, or the right genesis file; a node that was added later, or has a new key, names its [node] node_index"
    )]
    NotInRegistry,
    /// A chain is hosted that genesis does not name, and nothing here says what it begins with.
    #[error(
        "[node] chains: genesis has no chain {chain}, and nothing here is its origin. Mend: name chains that `jiaozi chain list` shows; for one that was added later fetch its origin (`jiaozi gov origin --chain {chain} --out FILE`) and name the file in [node] origins"
    )]
    NoSuchChain {
        /// The chain.
        chain: u32,
    },
    /// Chain 0 of this node does not know yet what a hosted chain begins with. It will, if operators have added the chain.
    #[error(
        "[node] chains: genesis has no chain {chain}, and this node's chain 0 has not executed and certified the height that adds it. Mend: wait until `jiaozi chain list` shows chain {chain} at this node; or fetch its origin from another node (`jiaozi gov origin --chain {chain} --out FILE`) and name the file in [node] origins"
    )]
    OriginNotYet {
        /// The chain.
        chain: u32,
    },
    /// A file with an origin cannot be used.
    #[error(
        "[node] origins: {path}: {fault}. Mend: fetch it anew, with `jiaozi gov origin --chain ID --out FILE`, and name that file"
    )]
    OriginFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        fault: OriginFileFault,
    },
    /// An origin is not what a quorum of chain 0 has decided.
    #[error(
        "[node] origins: the origin of chain {chain} is not proved: {fault}. Mend: fetch it anew, with `jiaozi gov origin --chain {chain} --out FILE`, and use the genesis file that the network agreed on"
    )]
    OriginUnproved {
        /// The chain.
        chain: u32,
        /// Why not.
        fault: OriginFault,
    },
    /// A consensus key belongs to another node's seat.
    #[error(
        "[keys] consensus_keys: the key for chain {chain} is that of node {node}. Mend: use the key that this bank contributed; two nodes with one key contradict each other"
    )]
    ForeignSeat {
        /// The chain.
        chain: u32,
        /// Whose seat it is.
        node: u16,
    },
    /// The network.
    #[error("[network] {fault}{}. Mend: {}", cause_of(.fault), network_mend(.fault))]
    Network {
        /// What is wrong.
        #[from]
        fault: NetworkError,
    },
    /// A store.
    #[error("[node] data_directory: {0}. Mend: {mend}", mend = .0.mend())]
    Storage(#[from] StorageError),
    /// What a store holds.
    #[error("[node] data_directory: {0}. Mend: {mend}", mend = .0.mend())]
    Rows(#[from] RowFault),
    /// The state in a store.
    #[error("[node] data_directory: {0}. Mend: {mend}", mend = .0.mend())]
    State(#[from] ExecutorFault),
    /// A diverged node has taken its heights back, and the state below them is not the certified one either.
    #[error(
        "[node] data_directory: this node diverged, and below the heights that it took back {fault}. Mend: keep the data directory with the report in {report} for the auditors and rejoin with an empty one"
    )]
    TakenBack {
        /// Where the report lies.
        report: PathBuf,
        /// What is wrong with the state.
        fault: Box<ExecutorFault>,
    },
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// REST.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// There is data already.
    #[error(
        "[node] data_directory: {directory} is not empty. Mend: `init` is for a chain's first start only; to start again, just run the node"
    )]
    Initialised {
        /// The chain's directory.
        directory: PathBuf,
    },
    /// The system gave no thread or no randomness.
    #[error(
        "the system gave no {what}: {cause}. Mend: check the service's limits and that the node's user may use its directories, then start again"
    )]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        cause: String,
    },
}

impl StartError {
    /// Whether a chain cannot begin only because what it begins with is not here yet: a node with other chains runs these and waits.
    pub(crate) fn waits_for_origin(&self) -> bool {
        match self {
            Self::OriginNotYet { .. } => true,
            Self::OriginFile { fault, .. } => fault.is_missing(),
            _ => false,
        }
    }

    /// The field of the configuration that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        Some(match self {
            Self::Log(_) => "log.level",
            Self::Keys(fault) => fault.field(),
            Self::Genesis(_) => "node.genesis",
            Self::NotInRegistry => "keys.network_key",
            Self::NoSuchChain { .. } | Self::OriginNotYet { .. } => "node.chains",
            Self::OriginFile { .. } | Self::OriginUnproved { .. } => "node.origins",
            Self::ForeignSeat { .. } => "keys.consensus_keys",
            Self::Network { fault: NetworkError::Listen { .. } | NetworkError::InvalidAddress { .. } } => {
                "network.listen"
            }
            Self::Network { .. } => "node.genesis",
            Self::Storage(_)
            | Self::Rows(_)
            | Self::State(_)
            | Self::TakenBack { .. }
            | Self::Initialised { .. } => "node.data_directory",
            Self::Engine(EngineError::Config(_)) => "consensus",
            Self::Engine(_) | Self::System { .. } => return None,
            Self::Rest(RestError::Tls(_)) => "rest.tls",
            Self::Rest(RestError::Listen { .. }) => "rest.listen",
        })
    }
}

fn cause_of(fault: &NetworkError) -> String {
    std::error::Error::source(fault).map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// What the operator can do about the network.
const fn network_mend(fault: &NetworkError) -> &'static str {
    match fault {
        NetworkError::Listen { .. } => "set [network] listen to an address of this machine with a free port",
        _ => {
            "use the genesis file that the network agreed on, and the network key that this bank contributed"
        }
    }
}

/// What the system refused, and what it said.
pub(crate) fn system(what: &'static str, cause: &impl ToString) -> StartError {
    StartError::System { what, cause: cause.to_string() }
}
