//! Why a node does not do its work: findings with a stable code, a severity and what to do next, and the facts behind them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::JoiningView;

/// Most findings of an answer; those that are left out are the least grave.
pub const FINDINGS_MAX: usize = 64;

/// Answer of `GET /v1/why`, always with HTTP status 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// The gravest severity, in a word.
    pub verdict: Verdict,
    /// What is wrong: the gravest first, and a cause before what follows from it. At most 64.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub facts: WhyFacts,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to do.
    Healthy,
    /// It works, and somebody should look.
    Attention,
    /// Some of its work does not go on.
    Stuck,
}

/// How grave a finding is; the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Some of the node's work does not go on until this is mended.
    Stuck,
    /// It goes on, and this costs something, or will stop it.
    Warning,
    /// Good to know.
    Note,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Which.
    pub code: FindingCode,
    /// How grave it is.
    pub severity: Severity,
    /// On which chain; without one it is about the whole node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
    /// What it is, in one sentence with names and numbers.
    pub what: String,
    /// Since when, as far as this node knows, on its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// What its operator can do next; a command where there is one.
    pub next: String,
}

/// What can be found. Causes come before what follows from them: findings of one severity are in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// Looked at from outside: no process runs this node.
    NotRunning,
    /// Looked at from outside: a process has the node's data and does not answer.
    NotAnswering,
    /// Looked at from outside: a start would refuse the configuration or what it names.
    Configuration,
    /// The node computed another result than a quorum certified, and kept a report.
    Diverged,
    /// A chain stopped for good.
    Halted,
    /// The task that runs a chain does not answer.
    TaskSilent,
    /// Free disk is below the reserve.
    DiskReserve,
    /// The machine's clock differs from those of the others.
    ClockSkew,
    /// This node's seat is listed with a consensus key that it does not have.
    KeyMissing,
    /// The certificate of the REST address is not valid any more.
    CertificateExpired,
    /// Fewer validators than a quorum are heard.
    NoQuorum,
    /// The node has no state yet: it fetches a snapshot.
    Joining,
    /// The node started without its journal, and votes once it cannot contradict an earlier vote.
    Rejoining,
    /// It is behind, and no peer that answers has the blocks that it needs next: they prune.
    PrunedEverywhere,
    /// It is behind and catches up.
    CatchingUp,
    /// No block became final for a while.
    StandsStill,
    /// Blocks are executed and their results not certified.
    NotCertified,
    /// Receipts wait for another chain, and none arrives there.
    ReceiptsWaiting,
    /// Some validators are not heard; the others are a quorum.
    ValidatorsAbsent,
    /// Free disk will reach the reserve soon.
    DiskFilling,
    /// The certificate of the REST address ends soon.
    CertificateExpires,
    /// This node's operator owes for what its validators sealed: its batches are not ordered for a fee.
    OperatorBarred,
    /// This node has a validator on a chain and does not host it.
    NotHosted,
    /// A chain of the configuration of which nothing here says yet what it begins with.
    WaitingForOrigin,
    /// A child that no wallet is at home on yet: too few of its validators host it.
    WaitingForValidators,
    /// A consensus key of this node that is in no set of its chain.
    KeyUnused,
    /// This node has no vote on a chain that it follows.
    Observer,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyFacts {
    /// The node's index.
    pub node: u16,
    /// Its operator's name.
    #[schema(example = "Bank A")]
    pub operator: String,
    /// Version of its software.
    pub version: String,
    /// Its clock.
    pub now_ms: u64,
    /// How long it has watched itself: what came before it does not know.
    pub watched_ms: u64,
    /// Links that are up.
    pub connected_peers: u32,
    /// Room for data.
    pub disk: DiskFacts,
    /// When the certificate of the REST address ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_ms: Option<u64>,
    /// The chains that it hosts.
    pub chains: Vec<ChainFacts>,
}

/// The data device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskFacts {
    /// Free now, once it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Below this the node does not vote.
    pub reserve_bytes: u64,
    /// Hours until the reserve is reached, as free space fell in the last day; missing while it does not fall, or for the first hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours_left: Option<u64>,
}

/// A chain that the node hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainFacts {
    /// The chain.
    pub chain: u32,
    /// Its currency.
    #[schema(example = "CNY")]
    pub currency: String,
    /// Whether its task answered within a second.
    pub is_answering: bool,
    /// Whether this node votes.
    pub is_voting: bool,
    /// Highest height that is executed here.
    pub height: u64,
    /// Since when it is that height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_since_ms: Option<u64>,
    /// Highest height under a quorum's certificate.
    pub certified_height: u64,
    /// Highest height that some honest validator announced, once enough were heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_height: Option<u64>,
    /// Blocks executed in the last half minute, for each thousand seconds.
    pub blocks_per_1000_s: u64,
    /// Validators of the running epoch.
    pub validators: u32,
    /// How many of them decide.
    pub quorum: u32,
    /// How many of them this node has heard a moment ago, its own included.
    pub heard: u32,
    /// Those that it has not, once it has listened for long enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<AbsentValidator>,
    /// How far this machine's clock is ahead of the newest blocks' timestamps beyond what a block takes; negative: behind. Missing while no
    /// fresh block tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Receipts of this chain that wait for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<WaitingReceipts>,
    /// How far the node is with fetching a snapshot, while it has no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<JoiningView>,
    /// Where the node is behind and its peers have pruned the block that it needs next: the lowest height that one of them holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_below: Option<u64>,
}

/// A validator that is not heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AbsentValidator {
    /// Its node.
    pub node: u16,
    /// Its operator's name.
    #[schema(example = "Bank B")]
    pub operator: String,
    /// Where its node listens for peers.
    #[schema(example = "node.bank-b.example:7700")]
    pub address: String,
    /// Since when it is not heard, on this node's clock.
    pub since_ms: u64,
    /// Whether a link to it is up all the same: it hangs, or does not host the chain.
    pub is_connected: bool,
}

/// Receipts on their way to another chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingReceipts {
    /// Where they go.
    pub destination: u32,
    /// How many are certified here and not executed there, as far as this node knows.
    pub count: u64,
    /// For how long none of them was executed there.
    pub age_ms: u64,
}

impl Why {
    /// Of findings in any order: puts them in theirs and judges. Keeps [`FINDINGS_MAX`].
    #[must_use]
    pub fn new(mut findings: Vec<Finding>, facts: WhyFacts) -> Self {
        let verdict = sort(&mut findings);
        findings.truncate(FINDINGS_MAX);
        Self { verdict, findings, facts }
    }
}

/// The gravest first, then causes before what follows from them, then by chain; answers the verdict.
pub fn sort(findings: &mut [Finding]) -> Verdict {
    findings.sort_by_key(|finding| (finding.severity, finding.code, finding.chain));
    match findings.first().map(|finding| finding.severity) {
        Some(Severity::Stuck) => Verdict::Stuck,
        Some(Severity::Warning) => Verdict::Attention,
        Some(Severity::Note) | None => Verdict::Healthy,
    }
}
