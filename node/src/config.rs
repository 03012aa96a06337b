//! `node.toml`: what one node needs to know that the others need not agree on.
//!
//! Rules: a section per concern, units in the names, unknown fields refused, every default a named constant. Relative
//! paths start at the folder of the file. [`NodeConfig::load`] reads, [`NodeConfig::validate`] checks what types cannot,
//! and both name section and field. `docs/node.toml` shows every field; a test reads it.
//!
//! What must be equal on every node (currency, tiers, pace) is no configuration: it is in the genesis file.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use chain::config::{
    SNAPSHOT_BEHIND_BLOCKS, SNAPSHOT_BEHIND_BLOCKS_BOUNDS, SNAPSHOT_EVERY_MS, SNAPSHOT_EVERY_MS_BOUNDS,
};
use serde::{Deserialize, Serialize};

use crate::relay::RELAY_LANES;
use crate::settings::LANES_PER_CHAIN;
use crate::tokens::{Scope, TOKEN_HASH_BYTES, TOKENS_MAX};

/// REST listens here unless told otherwise: loopback only.
pub const REST_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Block cache of all databases together.
pub const CACHE_BYTES: u64 = 128 << 20;
/// Write buffers of all databases together.
pub const WRITE_BUFFER_BYTES: u64 = 64 << 20;
/// Free disk below which the node stops voting.
pub const DISK_RESERVE_BYTES: u64 = 2 << 30;
/// Heights behind the newest announced result above which the node is not ready.
pub const READY_LAG_HEIGHTS: u64 = 64;
/// Requests in work at one time.
pub const CONCURRENT_REQUESTS: u32 = 256;
/// Clients that may wait for an outcome at one time.
pub const CONCURRENT_WAITS: u32 = 1_024;
/// Open connections.
pub const CONNECTIONS: u32 = 1_536;
/// Body of a bulk submission: about 16,000 single payments.
pub const BODY_BYTES: u64 = 4 << 20;
/// How long a request may take, its body included.
pub const REQUEST_TIMEOUT_MS: u64 = 15_000;
/// How long a client may wait for an outcome.
pub const WAIT_MS: u64 = 30_000;

/// Most chains of one node: as many as the network has lanes for. A bank with more spreads them over several nodes.
pub const CHAINS_HOSTED_MAX: usize = (network::limits::LANES_MAX - RELAY_LANES) / LANES_PER_CHAIN;
const _: () = assert!(CHAINS_HOSTED_MAX >= 8, "a node can host eight chains");
/// Most bytes of the file.
pub const CONFIG_BYTES_MAX: u64 = 256 << 10;
/// Bounds of `[rest.limits] body_bytes`: one JSON transaction fits, and a request stays small beside the machine.
pub const BODY_BYTES_BOUNDS: (u64, u64) = (32 << 10, 64 << 20);
/// Bounds of every count of requests, waits and connections.
pub const CONCURRENCY_BOUNDS: (u64, u64) = (1, 65_536);
/// Bounds of every time of a request.
pub const TIMEOUT_MS_BOUNDS: (u64, u64) = (100, 300_000);
/// Bounds of `[storage] cache_bytes` and `write_buffer_bytes`.
pub const MEMORY_BYTES_BOUNDS: (u64, u64) = (8 << 20, 64 << 30);
/// Bounds of `[storage] disk_reserve_bytes`: above the largest write of a block, so no write fails before voting stops.
pub const DISK_RESERVE_BYTES_BOUNDS: (u64, u64) = (64 << 20, 1 << 40);
/// Most of `[storage] disk_budget_bytes`; the least is twice the reserve.
pub const DISK_BUDGET_BYTES_MAX: u64 = 1 << 50;
/// Bounds of `[history] keep_blocks`.
pub const KEEP_BLOCKS_BOUNDS: (u64, u64) = (128, 1 << 40);
/// Bounds of the times of `[consensus]`.
pub const CONSENSUS_MS_BOUNDS: (u64, u64) = (1, 600_000);

const _: () =
    assert!(CONCURRENT_REQUESTS + CONCURRENT_WAITS < CONNECTIONS, "room to be told that there is no room");

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Who the node is and what it hosts.
    pub node: NodeSection,
    /// Where its keys are.
    pub keys: KeysSection,
    /// Peers.
    #[serde(default)]
    pub network: NetworkSection,
    /// Clients.
    #[serde(default)]
    pub rest: RestSection,
    /// Disk and its cache.
    #[serde(default)]
    pub storage: StorageSection,
    /// States for nodes that join.
    #[serde(default)]
    pub snapshots: SnapshotsSection,
    /// How much of the past it keeps.
    #[serde(default)]
    pub history: HistorySection,
    /// What it says.
    #[serde(default)]
    pub log: LogSection,
    /// Timings of the consensus engine.
    #[serde(default)]
    pub consensus: ConsensusSection,
}

/// `[node]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// The genesis file. The node finds its place in it by its network key; see `node_index`.
    pub genesis: PathBuf,
    /// Databases and journals; one folder per chain below it.
    pub data_directory: PathBuf,
    /// The chains it hosts.
    #[serde(default = "root_chain")]
    pub chains: Vec<u32>,
    /// Origins of chains that were added after genesis: what such a chain begins with at its first start here, unless this node hosts
    /// chain 0 too, which knows it.
    #[serde(default)]
    pub origins: Vec<PathBuf>,
    /// The node's index in the registry: needed where genesis does not have its network key, because it was added or got a new key
    /// later.
    #[serde(default)]
    pub node_index: Option<u16>,
    /// How an empty data directory is filled.
    #[serde(default)]
    pub join: JoinBy,
}

/// How a node comes to the state of a chain that has run without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinBy {
    /// It executes every block from the chain's beginning on, and holds all of them.
    #[default]
    Replay,
    /// It fetches the state of a certified height from its peers where they are far ahead, and holds what is from there on.
    Snapshot,
}

fn root_chain() -> Vec<u32> {
    vec![0]
}

/// `[keys]`: encrypted keystore files. Exactly one source of the passphrase is given; the passphrase itself never is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// Keystore of the network key.
    pub network_key: PathBuf,
    /// Keystores of the consensus keys, one per chain on which the node votes; without one it follows the chain. A next key lies beside
    /// it, as `NAME.next.EXTENSION`: the chain's set says which of both votes.
    #[serde(default)]
    pub consensus_keys: Vec<ConsensusKeyEntry>,
    /// A file with the passphrase, readable by the node's user only.
    #[serde(default)]
    pub passphrase_file: Option<PathBuf>,
    /// Name of a service credential with the passphrase: a file in the folder `$CREDENTIALS_DIRECTORY`.
    #[serde(default)]
    pub passphrase_credential: Option<String>,
}

/// One entry of `[keys] consensus_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsensusKeyEntry {
    /// The chain.
    pub chain: u32,
    /// The keystore.
    pub keystore: PathBuf,
}

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Where peers reach the node, `host:port`, when that is not the registry's address: behind address translation.
    #[serde(default)]
    pub listen: Option<String>,
}

/// `[rest]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestSection {
    /// Where clients reach the node. Beyond loopback TLS and a token are needed.
    #[serde(default = "rest_listen")]
    pub listen: SocketAddr,
    /// Certificate and key; then TLS 1.3 is spoken and nothing else.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Clients that may come in. None, on loopback only: everyone on this machine may do everything.
    #[serde(default)]
    pub tokens: Vec<TokenEntry>,
    /// Bounds.
    #[serde(default)]
    pub limits: RestLimits,
}

fn rest_listen() -> SocketAddr {
    REST_LISTEN
}

impl Default for RestSection {
    fn default() -> Self {
        Self { listen: REST_LISTEN, tls: None, tokens: Vec::new(), limits: RestLimits::default() }
    }
}

/// `[rest] tls`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, then the certificates that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// One entry of `[rest] tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// Whose it is; shown in logs instead of the token.
    pub name: String,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
    /// What it opens.
    pub scopes: Vec<Scope>,
}

/// `[rest.limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestLimits {
    /// Largest request body.
    pub body_bytes: u64,
    /// Requests in work at one time; above it, clients are told to come back.
    pub concurrent_requests: u32,
    /// Clients that wait for an outcome at one time.
    pub concurrent_waits: u32,
    /// Open connections; above it, new ones are closed.
    pub connections: u32,
    /// How long a request may take, its body included.
    pub request_timeout_ms: u64,
    /// How long a client may ask to wait for an outcome.
    pub wait_ms: u64,
    /// Heights behind above which `/readyz` says no.
    pub ready_lag_heights: u64,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES,
            concurrent_requests: CONCURRENT_REQUESTS,
            concurrent_waits: CONCURRENT_WAITS,
            connections: CONNECTIONS,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            wait_ms: WAIT_MS,
            ready_lag_heights: READY_LAG_HEIGHTS,
        }
    }
}

/// `[storage]`: bounds of the databases. Every hosted chain has one; they share the memory equally, each at least 8 MiB of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSection {
    /// Block caches.
    pub cache_bytes: u64,
    /// Write buffers.
    pub write_buffer_bytes: u64,
    /// Below this much free disk the node stops voting; with more it resumes by itself.
    pub disk_reserve_bytes: u64,
    /// The size of the disk that the node may fill, if it may not fill the device: what its data directory takes beyond it counts as a full
    /// disk, and the reserve is kept within it.
    pub disk_budget_bytes: Option<u64>,
}

impl Default for StorageSection {
    fn default() -> Self {
        Self {
            cache_bytes: CACHE_BYTES,
            write_buffer_bytes: WRITE_BUFFER_BYTES,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            disk_budget_bytes: None,
        }
    }
}

/// `[snapshots]`: states of certified heights, kept for nodes that join by one, and fetched where [`JoinBy::Snapshot`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotsSection {
    /// Block time between two. Equal on all nodes, which then keep the same heights: a joining node has as many sources.
    pub every_ms: u64,
    /// How far ahead of an empty database one must be to be fetched; nearer, the blocks are.
    pub behind_blocks: u64,
}

impl Default for SnapshotsSection {
    fn default() -> Self {
        Self { every_ms: SNAPSHOT_EVERY_MS, behind_blocks: SNAPSHOT_BEHIND_BLOCKS }
    }
}

/// `[history]`: what is pruned of blocks that are executed and certified. Without it, nothing is. The state is never pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistorySection {
    /// The newest blocks that are kept; what is below is removed. None: all are kept.
    pub keep_blocks: Option<u64>,
    /// Only what the archives in this directory hold is removed (`jiaozi archive create`), after they were verified.
    pub archive_directory: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is said: a level, or levels per part such as `info,network=debug`.
    pub level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}

/// `[consensus]`: timings; what is not given takes the engine's defaults. They must be about equal on all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsensusSection {
    /// How long a view waits for its leader's proposal.
    pub leader_timeout_ms: Option<u64>,
    /// How long a view may last in all.
    pub certification_timeout_ms: Option<u64>,
    /// Interval at which a vote to skip is repeated.
    pub retry_ms: Option<u64>,
    /// Silence after which a validator's turns are skipped at once.
    pub skip_ms: Option<u64>,
}

impl NodeConfig {
    /// Reads and checks a file. Its relative paths are returned as paths from the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`] naming the place and the mend.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let io = |source| ConfigError::Io { path: path.to_owned(), source };
        let bytes = std::fs::metadata(path).map_err(io)?.len();
        if bytes > CONFIG_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned(), bytes });
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let mut config = Self::parse(&text).map_err(|error| error.in_file(path))?;
        config.resolve(path.parent().unwrap_or_else(|| Path::new("")));
        Ok(config)
    }

    /// Reads and checks a text; relative paths stay as they are.
    ///
    /// # Errors
    /// [`ConfigError::Toml`] and [`ConfigError::Field`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|source| ConfigError::Toml {
            path: PathBuf::new(),
            reason: source.to_string().trim_end().to_owned(),
        })?;
        config.validate()?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        let own = [&mut self.node.genesis, &mut self.node.data_directory, &mut self.keys.network_key];
        let consensus = self.keys.consensus_keys.iter_mut().map(|entry| &mut entry.keystore);
        let tls = self.rest.tls.iter_mut().flat_map(|files| [&mut files.certificate, &mut files.key]);
        let own = own.into_iter().chain(&mut self.node.origins);
        let own = own.chain(&mut self.history.archive_directory);
        for path in own.chain(consensus).chain(tls).chain(&mut self.keys.passphrase_file) {
            *path = folder.join(&*path);
        }
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Field`] with section and field.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_chains()?;
        self.validate_rest()?;
        let storage = &self.storage;
        in_range("storage", "cache_bytes", storage.cache_bytes, MEMORY_BYTES_BOUNDS)?;
        in_range("storage", "write_buffer_bytes", storage.write_buffer_bytes, MEMORY_BYTES_BOUNDS)?;
        in_range("storage", "disk_reserve_bytes", storage.disk_reserve_bytes, DISK_RESERVE_BYTES_BOUNDS)?;
        if let Some(budget_bytes) = storage.disk_budget_bytes {
            let least = storage.disk_reserve_bytes.saturating_mul(2);
            in_range("storage", "disk_budget_bytes", budget_bytes, (least, DISK_BUDGET_BYTES_MAX))?;
        }
        let snapshots = &self.snapshots;
        in_range("snapshots", "every_ms", snapshots.every_ms, SNAPSHOT_EVERY_MS_BOUNDS)?;
        in_range("snapshots", "behind_blocks", snapshots.behind_blocks, SNAPSHOT_BEHIND_BLOCKS_BOUNDS)?;
        if let Some(keep_blocks) = self.history.keep_blocks {
            in_range("history", "keep_blocks", keep_blocks, KEEP_BLOCKS_BOUNDS)?;
        } else if self.history.archive_directory.is_some() {
            return Err(fault("history", "archive_directory", FieldProblem::NothingPruned));
        }
        let consensus = &self.consensus;
        let timings = [
            ("leader_timeout_ms", consensus.leader_timeout_ms),
            ("certification_timeout_ms", consensus.certification_timeout_ms),
            ("retry_ms", consensus.retry_ms),
            ("skip_ms", consensus.skip_ms),
        ];
        for (field, timing) in timings {
            if let Some(timing) = timing {
                in_range("consensus", field, timing, CONSENSUS_MS_BOUNDS)?;
            }
        }
        crate::telemetry::check_filter(&self.log.level)
            .map_err(|reason| fault("log", "level", FieldProblem::Filter { reason }))
    }

    fn validate_chains(&self) -> Result<(), ConfigError> {
        let chains: BTreeSet<u32> = self.node.chains.iter().copied().collect();
        if chains.is_empty() {
            return Err(fault("node", "chains", FieldProblem::Empty));
        }
        in_range("node", "chains", chains.len() as u64, (1, CHAINS_HOSTED_MAX as u64))?;
        if chains.len() != self.node.chains.len() {
            return Err(fault("node", "chains", FieldProblem::Doubled));
        }
        in_range("node", "origins", self.node.origins.len() as u64, (0, CHAINS_HOSTED_MAX as u64))?;
        let mut voting = BTreeSet::new();
        for entry in &self.keys.consensus_keys {
            if !chains.contains(&entry.chain) {
                return Err(fault(
                    "keys",
                    "consensus_keys",
                    FieldProblem::ChainNotHosted { chain: entry.chain },
                ));
            }
            if !voting.insert(entry.chain) {
                return Err(fault("keys", "consensus_keys", FieldProblem::Doubled));
            }
        }
        match (&self.keys.passphrase_file, &self.keys.passphrase_credential) {
            (Some(_), None) => Ok(()),
            (None, Some(name)) if !name.is_empty() && !name.contains(['/', '\0']) && name != ".." => Ok(()),
            (None, Some(_)) => Err(fault("keys", "passphrase_credential", FieldProblem::CredentialName)),
            _ => Err(fault("keys", "passphrase_file", FieldProblem::PassphraseSources)),
        }
    }

    fn validate_rest(&self) -> Result<(), ConfigError> {
        let rest = &self.rest;
        if !rest.listen.ip().is_loopback() && (rest.tls.is_none() || rest.tokens.is_empty()) {
            return Err(fault("rest", "listen", FieldProblem::Exposed { listen: rest.listen }));
        }
        if rest.tokens.len() > TOKENS_MAX {
            let count = rest.tokens.len() as u64;
            return in_range("rest", "tokens", count, (0, TOKENS_MAX as u64));
        }
        let mut names = BTreeSet::new();
        for token in &rest.tokens {
            if token.name.is_empty() || !names.insert(&token.name) {
                return Err(fault("rest", "tokens.name", FieldProblem::Doubled));
            }
            let mut hash = [0; TOKEN_HASH_BYTES];
            const_hex::decode_to_slice(&token.sha256, &mut hash)
                .map_err(|_| fault("rest", "tokens.sha256", FieldProblem::TokenHash))?;
            if token.scopes.is_empty() {
                return Err(fault("rest", "tokens.scopes", FieldProblem::Empty));
            }
        }
        let limits = &rest.limits;
        in_range("rest.limits", "body_bytes", limits.body_bytes, BODY_BYTES_BOUNDS)?;
        for (field, count) in [
            ("concurrent_requests", limits.concurrent_requests),
            ("concurrent_waits", limits.concurrent_waits),
            ("connections", limits.connections),
        ] {
            in_range("rest.limits", field, u64::from(count), CONCURRENCY_BOUNDS)?;
        }
        in_range("rest.limits", "request_timeout_ms", limits.request_timeout_ms, TIMEOUT_MS_BOUNDS)?;
        in_range("rest.limits", "wait_ms", limits.wait_ms, TIMEOUT_MS_BOUNDS)?;
        in_range("rest.limits", "ready_lag_heights", limits.ready_lag_heights, (1, u64::MAX))
    }
}

fn fault(section: &'static str, field: &'static str, problem: FieldProblem) -> ConfigError {
    ConfigError::Field(FieldError { path: PathBuf::new(), section, field, problem })
}

fn in_range(
    section: &'static str,
    field: &'static str,
    value: u64,
    (min, max): (u64, u64),
) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(fault(section, field, FieldProblem::Range { value, min, max }))
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The operating system refused.
    #[error("{}: {source}. Mend: check that the path exists and that you may read it", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than any configuration.
    #[error("{}: {bytes} bytes; at most {CONFIG_BYTES_MAX} are read. Mend: name the right file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Not TOML of the expected shape.
    #[error("{}{reason}. Mend: correct the line shown; docs/node.toml shows every field", in_path(.path))]
    Toml {
        /// The file; empty for a text.
        path: PathBuf,
        /// Line, column and reason, as the parser says them.
        reason: String,
    },
    /// A field says something impossible.
    #[error(transparent)]
    Field(FieldError),
}

impl ConfigError {
    /// The field that it is about, such as `rest.limits.wait_ms`, where it is about one.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Field(FieldError { section, field, .. }) => Some(format!("{section}.{field}")),
            Self::Io { .. } | Self::TooLarge { .. } | Self::Toml { .. } => None,
        }
    }

    fn in_file(mut self, file: &Path) -> Self {
        match &mut self {
            Self::Toml { path, .. } | Self::Field(FieldError { path, .. }) => file.clone_into(path),
            Self::Io { .. } | Self::TooLarge { .. } => {}
        }
        self
    }
}

/// The file before what is wrong in it; nothing for a text.
fn in_path(path: &Path) -> String {
    if path.as_os_str().is_empty() { String::new() } else { format!("{}: ", path.display()) }
}

/// A field says something impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}[{section}] {field}: {problem}", in_path(.path))]
pub struct FieldError {
    /// The file; empty for a text.
    pub path: PathBuf,
    /// The section.
    pub section: &'static str,
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What is wrong with a field, and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// A number outside its range.
    #[error("is {value}. Mend: choose {min} to {max}")]
    Range {
        /// The number.
        value: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
    /// Nothing where something must be.
    #[error("is empty. Mend: name at least one")]
    Empty,
    /// Something appears twice, or has no name.
    #[error("has an entry twice or without a name. Mend: give every entry its own")]
    Doubled,
    /// A key for a chain that the node does not host.
    #[error(
        "has a key for chain {chain}, which [node] chains does not list. Mend: add the chain or drop the key"
    )]
    ChainNotHosted {
        /// The chain.
        chain: u32,
    },
    /// Not exactly one source.
    #[error(
        "the passphrase has no source, or two. Mend: give exactly one of passphrase_file and passphrase_credential"
    )]
    PassphraseSources,
    /// Not the name of a file in the credentials folder.
    #[error("is no file name. Mend: name the credential as the service manager does")]
    CredentialName,
    /// Clients beyond this machine, but no encryption or no token.
    #[error(
        "{listen} can be reached from other machines, which needs TLS and at least one token. Mend: set [rest] tls \
         and add an entry to [rest] tokens (`jiaozi token new` makes one), or listen on 127.0.0.1"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// Archives for a node that prunes nothing.
    #[error("says what may be pruned, and nothing is. Mend: set keep_blocks too, or drop it")]
    NothingPruned,
    /// Not a hash.
    #[error("is not a SHA-256 hash. Mend: put the 64 hexadecimal digits that `jiaozi token new` prints")]
    TokenHash,
    /// Not a log filter.
    #[error(
        "{reason}. Mend: write a level such as info, or a level and those of parts, such as info,network=debug"
    )]
    Filter {
        /// Why not.
        reason: crate::telemetry::FilterError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/node.toml");

    /// The least configuration, with `lines` put into a section.
    fn refused(section: &str, lines: &str) -> String {
        let text = format!("{}\n{section}\n{lines}", minimal());
        NodeConfig::parse(&text).unwrap_err().to_string()
    }

    fn minimal() -> &'static str {
        "[node]\ngenesis = \"g\"\ndata_directory = \"d\"\n[keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\""
    }

    #[test]
    fn the_documented_example_is_read_and_shows_the_defaults() {
        let config = NodeConfig::parse(EXAMPLE).unwrap();
        let least = NodeConfig::parse(minimal()).unwrap();
        assert_eq!((&config.rest, &config.storage, &config.log), (&least.rest, &least.storage, &least.log));
        // What the example leaves out as a comment is the default that it names.
        let mut shown = String::new();
        for line in EXAMPLE.lines() {
            let field = line.strip_prefix("# ").filter(|line| line.split_once(" = ").is_some_and(is_field));
            shown.push_str(field.unwrap_or(line));
            shown.push('\n');
        }
        let shown = shown
            .replace("passphrase_credential", "# ")
            .replace("disk_budget_bytes = ", "# ")
            .replace("keep_blocks = ", "# ")
            .replace("archive_directory = ", "# ")
            .replace("listen = \"0.0.0.0:7000\"", "")
            .replace("tls = {", "# ")
            .replace("name = ", "# ")
            .replace("sha256 = ", "# ")
            .replace("scopes = ", "# ");
        let shown = NodeConfig::parse(&shown).unwrap();
        assert_eq!((shown.node.chains, shown.node.origins), (least.node.chains, least.node.origins));
        assert_eq!(shown.history, least.history);
        assert_eq!((shown.rest, shown.storage, shown.log), (least.rest, least.storage, least.log));
        assert_eq!((shown.node.join, shown.snapshots), (least.node.join, least.snapshots));
        assert_eq!(shown.consensus.leader_timeout_ms, Some(consensus::Timing::default().leader_timeout_ms));
        assert_eq!(shown.consensus.skip_ms, Some(consensus::Timing::default().skip_ms));
    }

    fn is_field((name, _): (&str, &str)) -> bool {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
    }

    #[test]
    fn refusals_name_section_field_and_mend() {
        let cases = [
            ("[storage]", "cache_bytes = 1", "[storage] cache_bytes: is 1. Mend: choose"),
            ("[storage]", "disk_reserve_bytes = 0", "[storage] disk_reserve_bytes"),
            (
                "[storage]",
                "disk_budget_bytes = 2147483648",
                "[storage] disk_budget_bytes: is 2147483648. Mend",
            ),
            ("[rest.limits]", "wait_ms = 1", "[rest.limits] wait_ms"),
            ("[rest.limits]", "connections = 0", "[rest.limits] connections"),
            ("[rest.limits]", "body_bytes = 99999999999", "[rest.limits] body_bytes"),
            ("[log]", "level = \"info,network=loud\"", "[log] level: \"loud\" is no level"),
            ("[log]", "level = \"shout\"", "the levels are off, error, warn, info, debug, trace"),
            ("[consensus]", "retry_ms = 0", "[consensus] retry_ms"),
            ("[snapshots]", "every_ms = 999", "[snapshots] every_ms: is 999. Mend: choose"),
            ("[snapshots]", "behind_blocks = 0", "[snapshots] behind_blocks"),
            ("[[rest.tokens]]", "name = \"a\"\nsha256 = \"00\"\nscopes = [\"read\"]", "[rest] tokens.sha256"),
            ("[rest]", "listen = \"here\"", "listen"),
            ("[rest]", "lisen = \"127.0.0.1:1\"", "lisen"),
            ("[surprise]", "", "surprise"),
        ];
        for (section, lines, expected) in cases {
            let message = refused(section, lines);
            assert!(message.contains(expected), "{section} {lines}: {message}");
            assert_eq!(message.matches(". Mend: ").count(), 1, "{section} {lines}: {message}");
        }
        let keys = [
            ("passphrase_credential = \"c\"", "[keys] passphrase_file"),
            ("consensus_keys = [{ chain = 1, keystore = \"k\" }]", "chain 1"),
        ];
        for (line, expected) in keys {
            let message = NodeConfig::parse(&format!("{}\n{line}", minimal())).unwrap_err().to_string();
            assert!(message.contains(expected), "{line}: {message}");
            assert_eq!(message.matches(". Mend: ").count(), 1, "{line}: {message}");
        }
        let chains = minimal().replace("[keys]", "chains = []\n[keys]");
        assert!(NodeConfig::parse(&chains).unwrap_err().to_string().contains("[node] chains: is empty"));
        let origins = format!("origins = {:?}\n[keys]", vec!["o"; CHAINS_HOSTED_MAX + 1]);
        let message = NodeConfig::parse(&minimal().replace("[keys]", &origins)).unwrap_err().to_string();
        assert!(message.contains("[node] origins: is ") && message.contains(". Mend: "), "{message}");
        let many: Vec<usize> = (0..=CHAINS_HOSTED_MAX).collect();
        let chains = minimal().replace("[keys]", &format!("chains = {many:?}\n[keys]"));
        let message = NodeConfig::parse(&chains).unwrap_err().to_string();
        assert!(message.contains(&format!("[node] chains: is {}", many.len())), "{message}");
    }

    #[test]
    fn beyond_loopback_tls_and_a_token_are_needed() {
        let token = "[[rest.tokens]]\nname = \"a\"\nsha256 = \"";
        let token = format!("{token}{}\"\nscopes = [\"read\"]", "0".repeat(64));
        let tls = "tls = { certificate = \"c\", key = \"k\" }";
        for listen in ["0.0.0.0:8080", "10.1.2.3:8080", "[::]:8080", "[2001:db8::1]:8080"] {
            let listen = format!("listen = \"{listen}\"");
            for lines in [listen.clone(), format!("{listen}\n{tls}"), format!("{listen}\n{token}")] {
                let message = refused("[rest]", &lines);
                assert!(
                    message.contains("[rest] listen") && message.contains("jiaozi token new"),
                    "{message}"
                );
            }
            let text = format!("{}\n[rest]\n{listen}\n{tls}\n{token}", minimal());
            assert!(NodeConfig::parse(&text).is_ok());
        }
        for listen in ["127.0.0.1:0", "[::1]:8080", "127.8.8.8:80"] {
            let text = format!("{}\n[rest]\nlisten = \"{listen}\"", minimal());
            assert!(NodeConfig::parse(&text).is_ok(), "{listen}");
        }
    }

    #[test]
    fn paths_start_at_the_folder_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let text = minimal().replace("\"d\"", "\"/var/d\"\norigins = [\"chain-2.origin\", \"/var/o\"]");
        std::fs::write(&path, text).unwrap();
        let config = NodeConfig::load(&path).unwrap();
        assert_eq!(config.node.genesis, folder.path().join("g"));
        assert_eq!(config.node.data_directory, Path::new("/var/d"));
        assert_eq!(config.node.origins, [folder.path().join("chain-2.origin"), PathBuf::from("/var/o")]);
        assert_eq!(config.keys.passphrase_file, Some(folder.path().join("p")));
        std::fs::write(&path, "[node]").unwrap();
        let message = NodeConfig::load(&path).unwrap_err().to_string();
        assert!(message.contains("node.toml: ") && message.contains(". Mend: "), "{message}");
        std::fs::write(&path, format!("{}\n[log]\nlevel = \"shout\"", minimal())).unwrap();
        let fault = NodeConfig::load(&path).unwrap_err();
        assert_eq!(fault.field().as_deref(), Some("log.level"));
        assert!(fault.to_string().contains("node.toml: [log] level: \"shout\""), "{fault}");
        assert!(NodeConfig::load(&folder.path().join("none")).unwrap_err().to_string().contains("Mend"));
    }
}
