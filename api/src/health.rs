//! Whether a node lives, and whether it serves.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /healthz`: the process runs. Always with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always true: a dead process does not answer.
    pub is_alive: bool,
    /// Version of this node's software.
    pub version: String,
}

/// Answer of `GET /readyz`: with HTTP status 200 when ready, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether every chain of this node is ready that wallets are at home on. A child that still waits for its first wallets does not
    /// count beside others.
    pub is_ready: bool,
    /// The chains that the node's configuration names.
    pub chains: Vec<ChainReady>,
    /// Chains on which this node has a validator and that its configuration does not name: there its vote is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_hosted: Vec<u32>,
}

/// Whether one chain of a node serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainReady {
    /// The chain.
    pub chain: u32,
    /// Whether it takes transactions and answers from a state near the network's.
    pub is_ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NotReady>,
    /// Highest height that is executed here.
    pub height: u64,
    /// Highest height under a quorum's certificate.
    pub certified_height: u64,
    /// Highest height that some honest validator announced.
    pub announced_height: u64,
    /// Validators of the running epoch.
    pub validators: u32,
    /// How many of them this node has heard a moment ago, its own included.
    pub validators_heard: u32,
    /// The nodes of those that it has not, once it has listened for long enough: they are down, out of reach, or do not host the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_nodes: Vec<u16>,
    /// Those of them to which a link is up: their processes run, and do not run this chain. They do not host it, or it has stopped there. The
    /// others are down or out of reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_running_nodes: Vec<u16>,
    /// How far it is with fetching a snapshot, while that is why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<JoiningView>,
    /// Whether this node votes.
    pub is_voting: bool,
    /// What stopped the chain for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltView>,
}

/// Why a chain is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotReady {
    /// The node is starting.
    Starting,
    /// It is behind and catching up.
    CatchingUp,
    /// A child that no wallet is at home on yet: too few of its validators host it.
    WaitingForValidators,
    /// A child that cannot begin here: nothing that this node has says yet what it begins with.
    WaitingForOrigin,
    /// It sees too few other validators.
    TooFewPeers,
    /// Its disk is below its reserve.
    DiskReserve,
    /// It has no state yet: it fetches a snapshot.
    Joining,
    /// It started without its journal: it follows, and votes once it cannot contradict an earlier vote.
    Rejoining,
    /// It stopped and needs its operator.
    Halted,
}

/// How far a node is with fetching the state of a certified height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoiningView {
    /// The height; 0 while the node looks for another snapshot.
    pub height: u64,
    /// Chunks of the state.
    pub chunks: u64,
    /// Those that are here.
    pub chunks_fetched: u64,
    /// Chunks that peers gave and that were no part of it, since the node's start.
    #[serde(default)]
    pub chunks_refused: u64,
    /// Bytes of the chunks that were taken since then.
    #[serde(default)]
    pub bytes: u64,
    /// Peers that offer it.
    #[serde(default)]
    pub sources: u64,
}

/// What stopped a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HaltView {
    /// The stable number.
    pub code: u16,
    /// What happened and what to do.
    pub message: String,
}
