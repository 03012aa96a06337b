//! What a replay has to say when everything fits.

use std::sync::Arc;
use std::time::Duration;

use ledger::records::{Birth, EpochRecord, Registry, SupplyTerms};
use ledger::values::{ChainId, GenesisHash, Height, RegistryHash, ResultHash, StateRoot};
use storage::Table;

use crate::journal::Journal;

/// What was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Blocks.
    pub blocks: u64,
    /// Batches.
    pub batches: u64,
    /// Transactions ordered.
    pub transactions: u64,
    /// Transaction signatures verified.
    pub signatures: u64,
    /// Transactions applied.
    pub applied: u64,
    /// Transactions rejected with an outcome.
    pub rejected: u64,
    /// Transactions that consumed no nonce.
    pub skipped: u64,
    /// Payments made by applied transactions, one per payee.
    pub payments: u64,
    /// What transactions were charged, tips included, in fen.
    pub fees: u64,
    /// Certificates verified.
    pub certificates: u64,
    /// Bundles from other chains.
    pub bundles: u64,
    /// Receipts executed.
    pub receipts: u64,
    /// Of these, credits that were refused and sent back.
    pub refused: u64,
    /// Of these, credits and refunds that were sent on because their wallet is on another chain.
    pub sent_on: u64,
    /// Of these, wallets that moved here from the parent.
    pub moved: u64,
    /// Of these, refunds.
    pub refunds: u64,
    /// Receipts sent to other chains.
    pub sent: u64,
}

impl Tally {
    /// Adds another tally.
    pub const fn add(&mut self, other: &Self) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.batches = self.batches.saturating_add(other.batches);
        self.transactions = self.transactions.saturating_add(other.transactions);
        self.signatures = self.signatures.saturating_add(other.signatures);
        self.applied = self.applied.saturating_add(other.applied);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.payments = self.payments.saturating_add(other.payments);
        self.fees = self.fees.saturating_add(other.fees);
        self.certificates = self.certificates.saturating_add(other.certificates);
        self.bundles = self.bundles.saturating_add(other.bundles);
        self.receipts = self.receipts.saturating_add(other.receipts);
        self.refused = self.refused.saturating_add(other.refused);
        self.sent_on = self.sent_on.saturating_add(other.sent_on);
        self.moved = self.moved.saturating_add(other.moved);
        self.refunds = self.refunds.saturating_add(other.refunds);
        self.sent = self.sent.saturating_add(other.sent);
    }
}

/// Where a running replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last compared height.
    pub height: u64,
    /// The height at which the source ends, as far as it knows.
    pub height_end: Option<u64>,
    /// Payments so far.
    pub payments: u64,
}

/// Rows of a database that were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredRows {
    /// Results, one per height from 0.
    pub results: u64,
    /// Outcome lists, one per height from 1.
    pub outcomes: u64,
    /// Places of transactions and of executed receipts.
    pub transactions: u64,
    /// Lines of wallets' histories.
    pub history: u64,
    /// Receipts sent.
    pub receipts: u64,
    /// Outboxes, one row per height that sent something.
    pub outboxes: u64,
    /// Refunds received.
    pub refunds: u64,
    /// Registries: the first one, and one per height that changed it.
    pub registries: u64,
    /// State records.
    pub records: u64,
    /// Places of wallets.
    pub slots: u64,
}

impl StoredRows {
    /// The count of a table whose rows are compared height by height; `None` for every other table.
    pub(crate) const fn count_mut(&mut self, table: Table) -> Option<&mut u64> {
        match table {
            Table::Results => Some(&mut self.results),
            Table::Outcomes => Some(&mut self.outcomes),
            Table::Transactions => Some(&mut self.transactions),
            Table::History => Some(&mut self.history),
            Table::Receipts => Some(&mut self.receipts),
            Table::Outboxes => Some(&mut self.outboxes),
            Table::Refunds => Some(&mut self.refunds),
            Table::Registries => Some(&mut self.registries),
            _ => None,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let blocks = self.results.saturating_add(self.outcomes).saturating_add(self.transactions);
        let receipts = self.receipts.saturating_add(self.outboxes).saturating_add(self.refunds);
        let state = self.history.saturating_add(self.records).saturating_add(self.slots);
        blocks.saturating_add(receipts).saturating_add(state).saturating_add(self.registries)
    }
}

/// A chain that operators added, as the root chain's replay gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The chain.
    pub chain: ChainId,
    /// The root chain's height that added it.
    pub height: Height,
    /// What it begins with.
    pub registry: Arc<Registry>,
}

impl Child {
    /// The chains that the root chain's height `at` added; `registry` is the one after it.
    pub(crate) fn added(registry: &Registry, at: Height) -> impl Iterator<Item = Self> {
        registry.chains.iter().filter_map(move |record| match record.birth {
            Birth::Child { height, .. } if height == at => {
                let (chain, registry) = (record.chain, Arc::new(registry.of_child(record.chain)?));
                Some(Self { chain, height, registry })
            }
            _ => None,
        })
    }
}

/// A replay in which everything fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The network.
    pub genesis: GenesisHash,
    /// The chain.
    pub chain: ChainId,
    /// The last replayed height.
    pub height: Height,
    /// The highest block under a verified certificate; every block below it is covered through its links.
    pub certified_block: Height,
    /// The highest result that such a block claims: results up to it were certified by a quorum and equal the replay's.
    pub certified_result: Height,
    /// State root at `height`.
    pub state: StateRoot,
    /// Result at `height`.
    pub result: ResultHash,
    /// Wallets, operators' own included.
    pub wallets: u64,
    /// Supply at `height`; its equation held at every height.
    pub supply: SupplyTerms,
    /// Version of the registry at `height`: how many proposals were applied.
    pub registry_version: u64,
    /// The registry at `height`.
    pub registry: Arc<Registry>,
    /// Hash of the registry that the chain began with, where operators added it.
    pub beginning: Option<RegistryHash>,
    /// Of the root chain: the chains that operators added, each with what it begins with.
    pub children: Vec<Child>,
    /// Every epoch of the chain, ascending: who decided which heights, each set named by a result that the one before certified.
    pub epochs: Vec<EpochRecord>,
    /// What was replayed.
    pub tally: Tally,
    /// What was compared with a database, where there was one.
    pub stored: Option<StoredRows>,
    /// What the comparison with other chains needs of this one.
    pub journal: Journal,
    /// Threads used.
    pub threads: usize,
    /// Time taken.
    pub elapsed: Duration,
}

impl Report {
    /// Payments replayed per second.
    #[must_use]
    pub fn payments_per_second(&self) -> f64 {
        self.tally.payments as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}
