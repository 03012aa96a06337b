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
    /// Whether every chain of this node is ready.
    pub is_ready: bool,
    /// The chains.
    pub chains: Vec<ChainReady>,
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
    /// It sees too few other validators.
    TooFewPeers,
    /// Its disk is below its reserve.
    DiskReserve,
    /// It started without its journal: it follows, and votes once it cannot contradict an earlier vote.
    Rejoining,
    /// It stopped and needs its operator.
    Halted,
}

/// What stopped a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HaltView {
    /// The stable number.
    pub code: u16,
    /// What happened and what to do.
    pub message: String,
}
