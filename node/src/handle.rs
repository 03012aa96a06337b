//! What the edges of a node (REST, metrics) see of a chain: its status, its stored data, and the door for transactions.

use std::collections::BTreeSet;
use std::sync::Arc;

use chain::ChainStatus;
use fees::Market;
use ledger::records::{ChainSpec, Registry};
use ledger::rules::ChainRules;
use ledger::values::{ChainId, GenesisHash, Height, NodeIndex, TransactionId, ValidatorIndex};
use storage::Store;
use tokio::sync::watch;

use crate::admission::{Admission, Refused};
use crate::held::Held;
use crate::market::MarketBoard;
use crate::questions::WalletQuestions;

/// A chain that this node hosts. Cheap to clone.
#[derive(Clone)]
pub struct ChainHandle {
    /// The network.
    pub genesis: GenesisHash,
    /// The chain as genesis describes it.
    pub spec: Arc<ChainSpec>,
    /// Its store. Reads block: use them on a blocking thread.
    pub store: Arc<dyn Store>,
    /// The newest status.
    pub status: watch::Receiver<Status>,
    /// The rules of the next height: parameters, and the registry as the chain has it now.
    pub rules: watch::Receiver<ChainRules>,
    /// The only door for transactions.
    pub admission: Arc<Admission>,
    /// Questions about wallets to the executor.
    pub wallets: WalletQuestions,
    /// What the fee estimator is told.
    pub market: MarketBoard,
    /// Which heights this node holds.
    pub held: Held,
}

/// What happened to a submitted transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// Taken in: it waits to be sealed.
    Accepted {
        /// Its id.
        id: TransactionId,
    },
    /// Posted before: waiting, ordered or executed. Nothing to do.
    Known {
        /// Its id.
        id: TransactionId,
    },
    /// Not taken in.
    Refused(Refused),
}

impl ChainHandle {
    /// The registry as the chain has it now.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.rules.borrow().registry)
    }

    /// How the chain is now: a copy. Whoever borrowed the status twice, with the driver waiting in between to write it, would wait for ever.
    #[must_use]
    pub fn now(&self) -> Status {
        *self.status.borrow()
    }

    /// The nodes of validators that this node does not hear, ascending.
    pub(crate) fn silent(&self) -> Vec<NodeIndex> {
        let (registry, status) = (self.registry(), self.now().chain);
        let seats = registry.validators(self.chain(), status.epoch).iter().zip((0_u16..).map(ValidatorIndex));
        let silent = seats.filter(|(_, seat)| status.silent.contains(*seat));
        let nodes: BTreeSet<NodeIndex> = silent.map(|(validator, _)| validator.node).collect();
        nodes.into_iter().collect()
    }

    /// The fee market now: a copy.
    #[must_use]
    pub fn market(&self) -> Market {
        let params = self.rules.borrow().params.clone();
        self.market.market(&params)
    }

    /// The chain's id.
    #[must_use]
    pub fn chain(&self) -> ChainId {
        self.spec.chain
    }
}

/// A chain's status and that of its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The chain.
    pub chain: ChainStatus,
    /// Whether this node votes here, and if not, why.
    pub voting: Voting,
    /// Free bytes on the data device when last looked.
    pub disk_free_bytes: u64,
    /// The halt that ended the chain, if it ended.
    pub halt: Option<HaltCode>,
    /// The divergence that is not passed, if there is one.
    pub divergence: Option<OpenDivergence>,
}

/// A result that differed from the certified one: its height was taken back, and the second execution is not certified yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenDivergence {
    /// The height whose result differed.
    pub height: Height,
    /// The number of its report in the chain's directory: `divergence-NUMBER`.
    pub report: u32,
}

/// Whether a node votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voting {
    /// It does.
    Yes,
    /// It has no validator on this chain.
    Observer,
    /// Its journal is new: it follows until it cannot contradict an earlier vote (PROTOCOL rule 26).
    Rejoining,
    /// The disk is below its reserve.
    DiskReserve,
    /// The chain has stopped.
    Halted,
}

/// Why a chain stopped for good; numbered for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u16)]
pub enum HaltCode {
    /// A quorum certified another result than this node computed, and executing once more did not help.
    #[error(
        "1: a quorum certified another result than this node computed, also when it executed once more; keep the data directory with its report for the auditors and rejoin with an empty one"
    )]
    Diverged = 1,
    /// The store failed.
    #[error("2: the store failed; check the disk and its log, then start again")]
    Store = 2,
    /// A block that a quorum ordered could not be executed.
    #[error("3: a final block could not be executed; keep the data directory and call the maintainers")]
    Execution = 3,
    /// The consensus engine ended.
    #[error(
        "4: the consensus engine ended, most likely because its journal could not be written; check the disk, then start again"
    )]
    Engine = 4,
    /// A thread of the node panicked, or the chain's own task did.
    #[error(
        "5: a thread of the node panicked, which the line before names; keep the log for the maintainers, then start again, and call them if it happens once more"
    )]
    Thread = 5,
}
