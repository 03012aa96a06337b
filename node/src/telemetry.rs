//! What a node tells the people who run it: log lines, and the metrics that `/metrics` shows.
//!
//! Rules: one struct per concern; a metric's doc comment is its help text; the unit is the last word of its name; totals
//! and states, never rates (whoever draws the graph divides); labels are few and come from enums or the genesis file,
//! never from what a peer or client sends, so the number of series is bounded.
//!
//! The drivers call methods of [`ChainMetrics`]; its fields are moved here only, so the compiler names one that nothing
//! moves. Nothing here blocks or fails.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chain::{JoinProgress, Moved, Report};
use fees::Market;
use ledger::values::{ChainId, FeeRate, Height};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use storage::StoreStatistics;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogSection};
use crate::handle::{HaltCode, Status, Submitted, Voting};

/// Every metric name starts with it.
pub const METRICS_PREFIX: &str = "jiaozi";

/// A gauge of something countable.
type Level = Gauge<u64, AtomicU64>;

/// Declares the metrics of one concern, one series per chain: the registered families and a chain's own handles.
macro_rules! chain_metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $metric:ident = $make:expr;)*) => {
        #[derive(Clone)]
        struct ChainFamilies {
            $($name: Family<ChainLabel, $metric, fn() -> $metric>,)*
        }

        impl ChainFamilies {
            fn register(registry: &mut Registry) -> Self {
                $(let $name = Family::<ChainLabel, $metric, fn() -> $metric>::new_with_constructor($make);
                registry.register(stringify!($name), help(concat!($($help),+)), $name.clone());)*
                Self { $($name,)* }
            }

            fn of(&self, chain: ChainId, families: &LabelledFamilies) -> ChainMetrics {
                let label = ChainLabel { chain: chain.0 };
                ChainMetrics {
                    chain,
                    labelled: families.clone(),
                    $($name: self.$name.get_or_create_owned(&label),)*
                }
            }
        }

        /// The metrics of one chain. Cheap to clone; clones count together.
        #[derive(Clone)]
        pub struct ChainMetrics {
            chain: ChainId,
            labelled: LabelledFamilies,
            $($(#[doc = $help])+ $name: $metric,)*
        }
    };
}

/// `/// text.` as a help text, without the stop that the encoder adds.
fn help(doc: &str) -> String {
    doc.trim().trim_end_matches('.').to_owned()
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS_BUCKETS)
}

/// From half a millisecond to ten seconds: below, nobody waits; above, something is broken.
const SECONDS_BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

chain_metrics! {
    /// Highest block that is final and complete here.
    final_height: Level = Level::default;
    /// Highest block executed here.
    executed_height: Level = Level::default;
    /// Highest height under a quorum certificate.
    certified_height: Level = Level::default;
    /// Height below which this node has pruned, else 0.
    pruned_below_height: Level = Level::default;
    /// Highest result that any validator announced.
    announced_height: Level = Level::default;
    /// Epoch whose validators decide the next height.
    epoch_number: Level = Level::default;
    /// Validators of the epoch.
    epoch_validators: Level = Level::default;
    /// Records that are still to be looked at while wallets move to a child, else 0.
    moving_slots_left: Level = Level::default;
    /// Wallets that moved to a child since the start.
    moved_wallets: Counter = Counter::default;
    /// Wallets at home on a child that stayed for now, because a lock or an offer names them, since the start.
    kept_wallets: Counter = Counter::default;
    /// Last height of the epoch once that is scheduled, else 0.
    closing_height: Level = Level::default;
    /// Epochs that ended since the start.
    ended_epochs: Counter = Counter::default;
    /// Transactions that wait to be sealed.
    pooled_transactions: Level = Level::default;
    /// Bytes of transactions that wait to be sealed.
    pooled_bytes: Level = Level::default;
    /// Weight of transactions that wait to be sealed.
    pooled_weight: Level = Level::default;
    /// Weight of the newest block.
    block_weight: Level = Level::default;
    /// Batches in memory.
    waiting_batches: Level = Level::default;
    /// Questions of the consensus engine without an answer.
    open_questions: Level = Level::default;
    /// Final blocks that are not executed.
    waiting_final_blocks: Level = Level::default;
    /// Things asked of peers.
    open_fetches: Level = Level::default;
    /// Free bytes on the data device.
    disk_free_bytes: Level = Level::default;
    /// Base fee of the next block, in millionths of a fen per unit of weight.
    base_fee_micro_fen: Level = Level::default;
    /// Bytes that the database takes on its device.
    database_bytes: Level = Level::default;
    /// Time to execute a block and to prepare its writes.
    execution_seconds: Histogram = seconds;
    /// Time to make a write durable before a vote or after an execution.
    persist_seconds: Histogram = seconds;
    /// Time to check the signatures of a batch.
    verify_seconds: Histogram = seconds;
    /// Blocks executed since the start.
    executed_blocks: Counter = Counter::default;
    /// Transactions in executed blocks since the start, those without an outcome included.
    ordered_transactions: Counter = Counter::default;
    /// Signatures of transactions checked in batches since the start.
    verified_transactions: Counter = Counter::default;
    /// Batches sealed by this node since the start.
    sealed_batches: Counter = Counter::default;
    /// Submitted transactions that were taken in.
    accepted_transactions: Counter = Counter::default;
    /// Submitted transactions that were known already.
    known_transactions: Counter = Counter::default;
    /// Pooled transactions that ran out of time.
    expired_transactions: Counter = Counter::default;
    /// Pooled transactions that lost their place to higher bids.
    outbid_transactions: Counter = Counter::default;
    /// Misbehaviour of validators recorded since the start.
    evidence_records: Counter = Counter::default;
    /// Times a peer sent something provably wrong.
    distrusted_peers: Counter = Counter::default;
    /// Times the machine's clock was set by more than a second.
    clock_steps: Counter = Counter::default;
    /// Write sets applied to the database.
    database_write_sets: Level = Level::default;
    /// Key and value bytes of the write sets applied.
    database_written_bytes: Level = Level::default;
    /// Calls that made data durable.
    database_syncs: Level = Level::default;
    /// Keys read from the database.
    database_read_keys: Level = Level::default;
    /// Bytes flushed from memory into table files.
    database_flushed_bytes: Level = Level::default;
    /// Bytes written by compaction.
    database_compacted_bytes: Level = Level::default;
    /// Blocks found in the database's cache.
    database_cache_hits: Level = Level::default;
    /// Blocks read from files because they were not in the cache.
    database_cache_misses: Level = Level::default;
    /// Time writers were made to wait for flushes and compactions.
    database_stalled_microseconds: Level = Level::default;
    /// Bytes that compaction still has to rewrite.
    database_pending_compaction_bytes: Level = Level::default;
    /// Failed flushes and compactions; anything but zero deserves a look.
    database_background_errors: Level = Level::default;
    /// Chunks of the snapshot that is being fetched, else 0.
    joining_chunks: Level = Level::default;
    /// Those of them that are here, else 0.
    joining_fetched_chunks: Level = Level::default;
    /// Chunks that were refused because they are no part of it, else 0.
    joining_refused_chunks: Level = Level::default;
    /// Bytes of the chunks that were taken, else 0.
    joining_bytes: Level = Level::default;
    /// Peers that offer the snapshot that is being fetched, else 0.
    joining_sources: Level = Level::default;
    /// Height of the snapshot by which this node joined, 0 where it executed everything.
    joined_height: Level = Level::default;
}

/// Families with a label beside the chain.
#[derive(Clone, Default)]
struct LabelledFamilies {
    refused: Family<RefusedLabel, Counter>,
    evidence_dropped: Family<KindLabel, Counter>,
    waiting_receipts: Family<PairLabel, Level>,
    relay_age: Family<PairLabel, Level>,
    heard: Family<ChainLabel, Level>,
    not_running: Family<ChainLabel, Level>,
    unreachable: Family<ChainLabel, Level>,
    voting: Family<VotingLabel, Level>,
    halted: Family<HaltLabel, Level>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChainLabel {
    chain: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabel {
    chain: u32,
    code: u32,
}

/// `kind` is one of the words that `chain` has for misdeeds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    chain: u32,
    kind: &'static str,
}

/// From a chain to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PairLabel {
    chain: u32,
    destination: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VotingLabel {
    chain: u32,
    state: VotingState,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HaltLabel {
    chain: u32,
    code: u16,
}

/// [`Voting`] as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are label values")]
enum VotingState {
    yes,
    observer,
    rejoining,
    disk_reserve,
    halted,
}

const VOTING_STATES: [VotingState; 5] = [
    VotingState::yes,
    VotingState::observer,
    VotingState::rejoining,
    VotingState::disk_reserve,
    VotingState::halted,
];

impl From<Voting> for VotingState {
    fn from(voting: Voting) -> Self {
        match voting {
            Voting::Yes => Self::yes,
            Voting::Observer => Self::observer,
            Voting::Rejoining => Self::rejoining,
            Voting::DiskReserve => Self::disk_reserve,
            Voting::Halted => Self::halted,
        }
    }
}

impl ChainMetrics {
    /// Shows how many nodes of validators are not heard: those with a link that is up, and the others.
    pub(crate) fn silent(&self, not_running: usize, unreachable: usize) {
        let label = ChainLabel { chain: self.chain.0 };
        self.labelled.not_running.get_or_create(&label).set(not_running as u64);
        self.labelled.unreachable.get_or_create(&label).set(unreachable as u64);
    }

    /// Shows a new status.
    pub(crate) fn status(&self, status: &Status) {
        let chain = &status.chain;
        self.final_height.set(chain.final_height.0);
        self.executed_height.set(chain.executed_height.0);
        self.certified_height.set(chain.certified_height.0);
        self.announced_height.set(chain.highest_announced.unwrap_or_default().0);
        self.epoch_number.set(chain.epoch.0);
        self.epoch_validators.set(chain.validators as u64);
        let label = ChainLabel { chain: self.chain.0 };
        self.labelled.heard.get_or_create(&label).set(chain.heard as u64);
        self.closing_height.set(chain.last_height.unwrap_or_default().0);
        self.pooled_transactions.set(chain.pooled_transactions as u64);
        self.pooled_bytes.set(chain.pooled_bytes as u64);
        self.waiting_batches.set(chain.batches as u64);
        self.open_questions.set(chain.open_questions as u64);
        self.waiting_final_blocks.set(chain.final_waiting as u64);
        self.open_fetches.set(chain.fetches as u64);
        self.disk_free_bytes.set(status.disk_free_bytes);
        self.joining(chain.joining);
        let now = VotingState::from(status.voting);
        for state in VOTING_STATES {
            let label = VotingLabel { chain: self.chain.0, state };
            self.labelled.voting.get_or_create(&label).set(u64::from(state == now));
        }
        if let Some(code) = status.halt {
            self.halted(code);
        }
    }

    /// Shows how far a join by a snapshot is; nothing while there is none.
    fn joining(&self, joining: Option<JoinProgress>) {
        let of = |read: fn(&JoinProgress) -> u64| joining.as_ref().map_or(0, read);
        self.joining_chunks.set(of(|joining| joining.chunks));
        self.joining_fetched_chunks.set(of(|joining| joining.fetched));
        self.joining_refused_chunks.set(of(|joining| joining.refused));
        self.joining_bytes.set(of(|joining| joining.bytes));
        self.joining_sources.set(of(|joining| joining.sources));
    }

    /// Where the node joined by a snapshot.
    pub(crate) fn joined(&self, height: Option<Height>) {
        self.joined_height.set(height.unwrap_or_default().0);
    }

    /// Shows how far was pruned.
    pub(crate) fn pruned_below(&self, height: Option<Height>) {
        self.pruned_below_height.set(height.unwrap_or_default().0);
    }

    /// Shows what weight costs, and how much waits.
    pub(crate) fn market(&self, market: &Market) {
        self.base_fee(market.base_fee);
        self.block_weight.set(market.blocks.last().map_or(0, |block| block.weight));
        let waiting = market.backlog.waiting.iter().map(|bucket| bucket.weight);
        self.pooled_weight.set(waiting.fold(0, u64::saturating_add));
    }

    /// A block was executed.
    pub(crate) fn executed(&self, took: Duration, transactions: usize) {
        self.execution_seconds.observe(took.as_secs_f64());
        self.executed_blocks.inc();
        self.ordered_transactions.inc_by(transactions as u64);
    }

    /// What weight costs in the next block.
    pub(crate) fn base_fee(&self, base_fee: FeeRate) {
        self.base_fee_micro_fen.set(base_fee.micro_fen());
    }

    /// A block was executed that may have moved wallets to a child.
    pub(crate) fn moved(&self, moved: Moved) {
        self.moving_slots_left.set(moved.slots_left);
        self.moved_wallets.inc_by(moved.wallets);
        self.kept_wallets.inc_by(moved.kept);
    }

    /// The chain has news.
    pub(crate) fn report(&self, report: &Report) {
        match report {
            Report::Sealed { .. } => {
                self.sealed_batches.inc();
            }
            Report::Expired { transactions } => {
                self.expired_transactions.inc_by(transactions.len() as u64);
            }
            Report::Outbid { transactions } => {
                self.outbid_transactions.inc_by(transactions.len() as u64);
            }
            Report::Evidence { .. } => {
                self.evidence_records.inc();
            }
            Report::EvidenceDropped { kind, .. } => {
                let kind = *kind;
                let label = KindLabel { chain: self.chain.0, kind };
                self.labelled.evidence_dropped.get_or_create(&label).inc();
            }
            Report::Distrusted { .. } => {
                self.distrusted_peers.inc();
            }
            Report::EpochEnded { .. } => {
                self.ended_epochs.inc();
            }
            Report::Final { .. }
            | Report::Certified { .. }
            | Report::Joining { .. }
            | Report::Replays { .. }
            | Report::PrunedEverywhere { .. }
            | Report::Joined { .. }
            | Report::Diverged { .. } => {}
        }
    }

    /// So many certified receipts wait for another chain, and for so long none of them was executed there.
    pub(crate) fn relay(&self, destination: ChainId, receipts: u64, age_ms: u64) {
        let label = PairLabel { chain: self.chain.0, destination: destination.0 };
        self.labelled.waiting_receipts.get_or_create(&label).set(receipts);
        self.labelled.relay_age.get_or_create(&label).set(age_ms);
    }

    /// What [`ChainMetrics::relay`] was told last of another chain.
    pub(crate) fn relayed(&self, destination: ChainId) -> Option<(u64, u64)> {
        let label = PairLabel { chain: self.chain.0, destination: destination.0 };
        let receipts = self.labelled.waiting_receipts.get(&label)?.get();
        let age_ms = self.labelled.relay_age.get(&label)?.get();
        Some((receipts, age_ms))
    }

    /// The machine's clock was set.
    pub(crate) fn clock_step(&self) {
        self.clock_steps.inc();
    }

    /// A write became durable.
    pub(crate) fn persisted(&self, took: Duration) {
        self.persist_seconds.observe(took.as_secs_f64());
    }

    /// A batch's signatures were checked.
    pub(crate) fn verified(&self, took: Duration, transactions: usize) {
        self.verify_seconds.observe(took.as_secs_f64());
        self.verified_transactions.inc_by(transactions as u64);
    }

    /// A submitted transaction was answered; `code` is the error code of a refusal.
    pub(crate) fn submitted(&self, answer: &Submitted, code: u32) {
        match answer {
            Submitted::Accepted { .. } => self.accepted_transactions.inc(),
            Submitted::Known { .. } => self.known_transactions.inc(),
            Submitted::Refused(_) => {
                let label = RefusedLabel { chain: self.chain.0, code };
                self.labelled.refused.get_or_create(&label).inc()
            }
        };
    }

    /// The chain stopped for good.
    pub(crate) fn halted(&self, code: HaltCode) {
        let label = HaltLabel { chain: self.chain.0, code: code as u16 };
        self.labelled.halted.get_or_create(&label).set(1);
    }

    /// Shows what the database did and holds.
    pub(crate) fn store(&self, statistics: &StoreStatistics, bytes_on_disk: Option<u64>) {
        self.database_write_sets.set(statistics.write_sets);
        self.database_written_bytes.set(statistics.write_set_bytes);
        self.database_syncs.set(statistics.syncs);
        self.database_read_keys.set(statistics.keys_read);
        self.database_flushed_bytes.set(statistics.flush_bytes);
        self.database_compacted_bytes.set(statistics.compaction_write_bytes);
        self.database_cache_hits.set(statistics.cache_hits);
        self.database_cache_misses.set(statistics.cache_misses);
        self.database_stalled_microseconds.set(statistics.stall_us);
        self.database_pending_compaction_bytes.set(statistics.pending_compaction_bytes);
        self.database_background_errors.set(statistics.background_errors);
        if let Some(bytes) = bytes_on_disk {
            self.database_bytes.set(bytes);
        }
    }
}

/// Declares the metrics of one concern of the whole node.
macro_rules! node_metrics {
    ($(#[doc = $about:literal])+ $struct:ident
        $($(#[doc = $help:literal])+ $name:ident: $metric:ty = $make:expr;)*) => {
        $(#[doc = $about])+
        #[derive(Clone)]
        pub struct $struct {
            $($(#[doc = $help])+ pub $name: $metric,)*
        }

        impl $struct {
            fn register(registry: &mut Registry) -> Self {
                let metrics = Self { $($name: $make,)* };
                $(registry.register(stringify!($name), help(concat!($($help),+)), metrics.$name.clone());)*
                metrics
            }
        }
    };
}

node_metrics! {
    /// The node as a process among others.
    HostMetrics
    /// Peers with an open connection.
    connected_peers: Level = Level::default();
    /// Peers that the registry names.
    registered_peers: Level = Level::default();
}

node_metrics! {
    /// The REST edge.
    RestMetrics
    /// Time to answer a request, waits for an outcome excluded.
    request_seconds: Histogram = seconds();
    /// Requests answered.
    requests: Family<RequestLabel, Counter> = Family::default();
    /// Requests in work.
    open_requests: Gauge = Gauge::default();
    /// Clients that wait for an outcome.
    open_waits: Gauge = Gauge::default();
    /// Open connections.
    open_connections: Gauge = Gauge::default();
    /// Connections closed at once because too many were open.
    refused_connections: Counter = Counter::default();
}

/// Which kind of answer requests got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabel {
    /// The answer.
    pub status: StatusClass,
}

/// The class of an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum StatusClass {
    /// 200 to 299.
    Success,
    /// 400 to 499, without 429.
    ClientError,
    /// 429.
    Busy,
    /// 500 to 599.
    ServerError,
}

/// All metrics of a node.
pub struct Metrics {
    registry: Registry,
    chains: ChainFamilies,
    labelled: LabelledFamilies,
    /// Chains on which this node has a validator and that it does not host.
    pub not_hosted: Gauge<u64, AtomicU64>,
    /// The node among others.
    pub host: HostMetrics,
    /// The REST edge.
    pub rest: RestMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that nothing happened to yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(METRICS_PREFIX);
        let chain = registry.sub_registry_with_prefix("chain");
        let chains = ChainFamilies::register(chain);
        let labelled = LabelledFamilies::default();
        let refused = "Submitted transactions that were refused, by error code";
        chain.register("refused_transactions", refused, labelled.refused.clone());
        let dropped = "Misbehaviour of validators that was seen and not recorded, by kind";
        chain.register("evidence_dropped", dropped, labelled.evidence_dropped.clone());
        let waiting = "Certified receipts that another chain has not executed, as far as this node knows";
        chain.register("waiting_receipts", waiting, labelled.waiting_receipts.clone());
        let age = "Time since another chain last executed receipts while some wait for it";
        chain.register("relay_age_milliseconds", age, labelled.relay_age.clone());
        chain.register("voting_state", "1 for the state the node's vote is in", labelled.voting.clone());
        chain.register("halt_state", "1 for the code that ended the chain", labelled.halted.clone());
        // Of the network's chains, not of the node's.
        let heard = "Validators of the epoch that this node has heard a moment ago, its own included";
        registry.register("validators_heard", heard, labelled.heard.clone());
        let not_running = "Nodes of validators that do not run the chain although a link to them is up";
        registry.register("validators_not_running", not_running, labelled.not_running.clone());
        let unreachable = "Nodes of validators that are not heard and to which no link is up";
        registry.register("validators_unreachable", unreachable, labelled.unreachable.clone());
        let not_hosted = Level::default();
        let missed = "Chains on which this node has a validator and that it does not host";
        registry.register("chains_not_hosted", missed, not_hosted.clone());
        let host = HostMetrics::register(registry.sub_registry_with_prefix("node"));
        let rest = RestMetrics::register(registry.sub_registry_with_prefix("rest"));
        Self { registry, chains, labelled, not_hosted, host, rest }
    }

    /// The metrics of a chain.
    #[must_use]
    pub fn chain(&self, chain: ChainId) -> ChainMetrics {
        self.chains.of(chain, &self.labelled)
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    ///
    /// # Errors
    /// A metric holds what the format cannot say, such as a gauge above 2⁶³ − 1.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Starts logging to standard error, for the whole process.
///
/// # Errors
/// [`LogError`] when the level is no filter or logging has started before.
pub fn start_logging(log: &LogSection) -> Result<(), LogError> {
    let filter = filter(&log.level)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => {
            tracing_subscriber::registry().with(lines.with_ansi(false)).with(filter).try_init()
        }
        LogFormat::Json => {
            tracing_subscriber::registry().with(lines.json().flatten_event(true)).with(filter).try_init()
        }
    };
    started.map_err(|_| LogError::Started)
}

/// Whether `level` says what to log.
///
/// # Errors
/// [`FilterError`].
pub(crate) fn check_filter(level: &str) -> Result<(), FilterError> {
    filter(level).map(drop)
}

/// The levels, from nothing to everything.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// What is logged, by the level of the whole and of parts (module paths). It looks at nothing but the place of a line in the
/// program, so what is not logged costs nothing; parts without a level of their own keep the default of the whole.
fn filter(level: &str) -> Result<Targets, FilterError> {
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    for directive in level.split(',').map(str::trim) {
        targets = match directive.split_once('=') {
            None => targets.with_default(level_of(directive)?),
            Some((part, level)) if is_part(part) => targets.with_target(part, level_of(level)?),
            Some((part, _)) => return Err(FilterError::Part { found: part.to_owned() }),
        };
    }
    Ok(targets)
}

fn level_of(text: &str) -> Result<LevelFilter, FilterError> {
    let found = LEVELS.iter().find(|(name, _)| *name == text);
    found.map(|(_, level)| *level).ok_or_else(|| FilterError::Level { found: text.to_owned() })
}

fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
}

fn level_names() -> String {
    LEVELS.map(|(name, _)| name).join(", ")
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no filter.
    #[error("[log] level: {0}. Mend: write a level such as info")]
    Filter(#[from] FilterError),
    /// It has started before.
    #[error("logging has started before in this process. Mend: start it once")]
    Started,
}

/// A text is no log filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No level.
    #[error("{found:?} is no level; the levels are {}", level_names())]
    Level {
        /// As written.
        found: String,
    },
    /// No part of the program.
    #[error("{found:?} is no part of the program")]
    Part {
        /// As written.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use chain::{ChainStatus, SeatSet};
    use fees::{Backlog, BlockFacts, Waiting};
    use ledger::records::FeeParams;
    use ledger::values::{BlockDigest, Epoch, NodeIndex, TransactionId, ValidatorIndex};

    use super::*;
    use crate::admission::Refused;

    fn status(voting: Voting) -> Status {
        let chain = ChainStatus {
            epoch: Epoch(2),
            last_height: Some(Height(90)),
            validators: 5,
            heard: 5,
            silent: SeatSet::default(),
            is_validator: true,
            final_height: Height(7),
            executed_height: Height(6),
            certified_height: Height(4),
            highest_announced: Some(Height(8)),
            pooled_transactions: 3,
            pooled_bytes: 900,
            batches: 2,
            bundles: 0,
            open_questions: 1,
            final_waiting: 1,
            fetches: 0,
            joining: None,
            pruned_below: None,
            may_vote: true,
            halted: false,
        };
        Status { chain, voting, disk_free_bytes: 1 << 40, halt: None, divergence: None }
    }

    fn market() -> Market {
        let rate = FeeRate::from_micro_fen(250);
        let bucket = Waiting { tip_rate: FeeRate::ZERO, fee_rate: rate, weight: 700 };
        Market {
            params: FeeParams::default(),
            block_weight_max: 8_388_608,
            pace_ms: 50,
            base_fee: rate,
            blocks: vec![BlockFacts { timestamp_ms: 1, weight: 2_000_000, base_fee: FeeRate::ZERO }],
            backlog: Backlog { waiting: vec![bucket, bucket] },
            finality_ms: Vec::new(),
        }
    }

    #[test]
    fn the_page_says_what_happened() {
        let metrics = Metrics::new();
        let (zero, one) = (metrics.chain(ChainId(0)), metrics.chain(ChainId(1)));
        zero.status(&status(Voting::Yes));
        zero.status(&status(Voting::DiskReserve));
        one.status(&status(Voting::Observer));
        zero.market(&market());
        zero.executed(Duration::from_millis(3), 250);
        zero.moved(Moved { wallets: 512, kept: 2, slots_left: 1_000 });
        zero.moved(Moved { wallets: 88, kept: 0, slots_left: 0 });
        zero.submitted(&Submitted::Refused(Refused::Unavailable { retry_after_ms: 1 }), 901);
        one.halted(HaltCode::Diverged);
        metrics.host.connected_peers.set(3);
        metrics.not_hosted.set(2);
        zero.clock_step();
        zero.relay(ChainId(1), 12, 340);
        one.silent(1, 2);
        let page = metrics.encode().unwrap();
        for line in [
            "# HELP jiaozi_chain_final_height Highest block that is final and complete here.",
            "jiaozi_chain_final_height{chain=\"0\"} 7",
            "jiaozi_chain_certified_height{chain=\"1\"} 4",
            "jiaozi_chain_epoch_number{chain=\"1\"} 2",
            "jiaozi_chain_epoch_validators{chain=\"1\"} 5",
            "jiaozi_chain_closing_height{chain=\"0\"} 90",
            "jiaozi_chain_base_fee_micro_fen{chain=\"0\"} 250",
            "jiaozi_chain_block_weight{chain=\"0\"} 2000000",
            "jiaozi_chain_pooled_weight{chain=\"0\"} 1400",
            "jiaozi_validators_heard{chain=\"1\"} 5",
            "jiaozi_validators_not_running{chain=\"1\"} 1",
            "jiaozi_validators_unreachable{chain=\"1\"} 2",
            "jiaozi_chains_not_hosted 2",
            "jiaozi_chain_moving_slots_left{chain=\"0\"} 0",
            "jiaozi_chain_moved_wallets_total{chain=\"0\"} 600",
            "jiaozi_chain_kept_wallets_total{chain=\"0\"} 2",
            "jiaozi_chain_voting_state{chain=\"0\",state=\"yes\"} 0",
            "jiaozi_chain_voting_state{chain=\"0\",state=\"disk_reserve\"} 1",
            "jiaozi_chain_voting_state{chain=\"1\",state=\"observer\"} 1",
            "jiaozi_chain_execution_seconds_bucket{le=\"0.005\",chain=\"0\"} 1",
            "jiaozi_chain_ordered_transactions_total{chain=\"0\"} 250",
            "jiaozi_chain_refused_transactions_total{chain=\"0\",code=\"901\"} 1",
            "jiaozi_chain_halt_state{chain=\"1\",code=\"1\"} 1",
            "jiaozi_chain_disk_free_bytes{chain=\"0\"} 1099511627776",
            "jiaozi_node_connected_peers 3",
            "jiaozi_chain_clock_steps_total{chain=\"0\"} 1",
            "jiaozi_chain_waiting_receipts{chain=\"0\",destination=\"1\"} 12",
            "jiaozi_chain_relay_age_milliseconds{chain=\"0\",destination=\"1\"} 340",
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        let families = page.lines().filter(|line| line.starts_with("# TYPE")).count();
        let names: std::collections::BTreeSet<_> =
            page.lines().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(families, names.len(), "a family is described once");
    }

    /// Everything that the drivers and the edge tell.
    fn everything_happens(metrics: &Metrics, chain: &ChainMetrics) {
        let mut status = status(Voting::Yes);
        (status.chain.fetches, status.halt) = (1, Some(HaltCode::Store));
        let height = Height(9);
        let joining = JoinProgress { height, chunks: 3, fetched: 2, refused: 1, bytes: 900, sources: 2 };
        status.chain.joining = Some(joining);
        chain.status(&status);
        chain.joined(Some(height));
        chain.pruned_below(Some(height));
        let validator = ValidatorIndex(1);
        for report in [
            Report::Sealed { transactions: 3 },
            Report::Expired { transactions: vec![TransactionId([1; 32])] },
            Report::Outbid { transactions: vec![TransactionId([2; 32])] },
            Report::Evidence { validator, kind: "invalid_batch" },
            Report::EvidenceDropped { validator, kind: "invalid_batch" },
            Report::Distrusted { node: NodeIndex(1), reason: "noise" },
            Report::EpochEnded { epoch: Epoch(1), height: Height(5), last: BlockDigest([1; 32]) },
        ] {
            chain.report(&report);
        }
        let took = Duration::from_millis(1);
        chain.market(&market());
        chain.executed(took, 2);
        chain.moved(Moved { wallets: 4, kept: 1, slots_left: 9 });
        chain.persisted(took);
        chain.verified(took, 2);
        chain.clock_step();
        chain.relay(ChainId(1), 3, 40);
        let id = TransactionId([1; 32]);
        let refused = Submitted::Refused(Refused::Unavailable { retry_after_ms: 1 });
        for answer in [Submitted::Accepted { id }, Submitted::Known { id }, refused] {
            chain.submitted(&answer, 901);
        }
        let statistics = StoreStatistics {
            write_sets: 1,
            write_set_bytes: 1,
            syncs: 1,
            keys_read: 1,
            flush_bytes: 1,
            compaction_write_bytes: 1,
            cache_hits: 1,
            cache_misses: 1,
            stall_us: 1,
            pending_compaction_bytes: 1,
            background_errors: 1,
            ..StoreStatistics::default()
        };
        chain.store(&statistics, Some(1));
        metrics.host.connected_peers.set(3);
        metrics.host.registered_peers.set(3);
        metrics.not_hosted.set(1);
        let rest = &metrics.rest;
        rest.request_seconds.observe(0.1);
        rest.requests.get_or_create(&RequestLabel { status: StatusClass::Success }).inc();
        rest.open_requests.inc();
        rest.open_waits.inc();
        rest.open_connections.inc();
        rest.refused_connections.inc();
    }

    #[test]
    fn every_metric_moves() {
        let metrics = Metrics::new();
        everything_happens(&metrics, &metrics.chain(ChainId(0)));
        let page = metrics.encode().unwrap();
        let families: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert!(families.len() > 45, "{page}");
        for family in families {
            let names = ["", "_total", "_count"].map(|end| format!("{family}{end}"));
            let moves = page.lines().any(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap_or_default();
                let name = series.split('{').next().unwrap_or_default();
                names.iter().any(|known| known == name) && value.parse::<f64>().is_ok_and(|value| value > 0.0)
            });
            assert!(moves, "{family} stands still\n{page}");
        }
    }

    #[test]
    fn filters_are_checked_before_logging_starts() {
        for level in ["off", "error", "trace", "info,network=debug", "warn, chain::executor=off"] {
            assert_eq!(check_filter(level), Ok(()), "{level}");
        }
        for (level, wrong) in [
            ("shout", "shout"),
            ("info,network=loud", "loud"),
            ("info,network", "network"),
            ("", ""),
            ("INFO", "INFO"),
        ] {
            assert_eq!(check_filter(level), Err(FilterError::Level { found: wrong.to_owned() }), "{level}");
        }
        assert_eq!(check_filter("info,=debug"), Err(FilterError::Part { found: String::new() }));
        assert_eq!(check_filter("[x]=info"), Err(FilterError::Part { found: "[x]".to_owned() }));
        let told = check_filter("shout").unwrap_err().to_string();
        assert_eq!(told, "\"shout\" is no level; the levels are off, error, warn, info, debug, trace");
    }

    #[test]
    fn a_part_has_its_own_level_and_the_rest_the_default() {
        use tracing::Level;
        let shown = filter("warn,network=debug").unwrap();
        for (target, level, expected) in [
            ("network::driver", Level::DEBUG, true),
            ("network::driver", Level::TRACE, false),
            ("chain", Level::WARN, true),
            ("chain", Level::INFO, false),
        ] {
            assert_eq!(shown.would_enable(target, &level), expected, "{target} {level}");
        }
        let only_a_part = filter("network=debug").unwrap();
        assert!(only_a_part.would_enable("chain", &Level::INFO), "a part alone does not silence the rest");
    }
}
