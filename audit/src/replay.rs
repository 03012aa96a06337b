//! The replay: four stages, each in order, all at work at once.
//!
//! ```text
//! fetch ──pages──▶ verify ──valid blocks──▶ execute ──results──▶ compare
//! source           all cores                own state            database rows, progress
//! ```
//!
//! A fault travels in its place of the stream, so that the first difference by height is the one that is reported, whatever
//! stage finds it. Memory: the replay's records, and at most [`PAGES_WAITING`] pages between two stages.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{GenesisSpec, HeightResult, Registry};
use ledger::rules::{ChainRules, ParentFacts};
use ledger::values::{ChainId, Height};
use storage::Reader;

use crate::cores::Cores;
use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::execute::{ExecutedBlock, Executor};
use crate::journal::Journal;
use crate::report::{Child, Progress, Report, StoredRows, Tally};
use crate::source::{AuditBlock, Source};
use crate::stored::StoredHeights;
use crate::stored_state::StoredState;
use crate::verify::{NewestRules, VerifiedBlock, Verifier};

/// Pages that may wait between two stages.
pub const PAGES_WAITING: usize = 2;

type Step<T> = Result<T, AuditError>;

/// What to replay.
pub struct Replay<'a> {
    /// The network's genesis: the only thing that is trusted.
    pub spec: &'a GenesisSpec,
    /// The chain.
    pub chain: ChainId,
    /// Threads for the work that gains from them; 0 for one per core.
    pub threads: usize,
    /// Called after every page.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// What the last stage saw.
struct Compared {
    tally: Tally,
    certified_block: Height,
    certified_result: Height,
    rows: Option<StoredRows>,
    journal: Journal,
    children: Vec<Child>,
}

impl Replay<'_> {
    /// Replays everything that `source` has of a chain that genesis names and, where `stored` is given, compares what is stored there.
    ///
    /// # Errors
    /// The first [`Difference`] as [`AuditError::Different`], damaged storage, or why the auditor could not look.
    pub fn run(
        &self,
        source: Box<dyn Source + '_>,
        stored: Option<&dyn Reader>,
    ) -> Result<Report, AuditError> {
        let rules = ChainRules::at_genesis(self.spec, self.chain);
        self.run_by(rules.ok_or(AuditError::ChainUnknown { chain: self.chain })?, source, stored)
    }

    /// The same of a chain that operators added. `registry` is what it begins with: [`Child::registry`] of the root chain's replay or,
    /// where that was not replayed, what its verified origin gives ([`crate::beginning()`]).
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_child(
        &self,
        registry: Arc<Registry>,
        source: Box<dyn Source + '_>,
        stored: Option<&dyn Reader>,
    ) -> Result<Report, AuditError> {
        let is_child = registry.chain(self.chain).is_some_and(|record| record.parent().is_some());
        let rules = ChainRules::new(self.spec.hash(), registry, self.chain).filter(|_| is_child);
        self.run_by(rules.ok_or(AuditError::ChainUnknown { chain: self.chain })?, source, stored)
    }

    /// Replays a chain from the rules of its height 0.
    fn run_by(
        &self,
        rules: ChainRules,
        source: Box<dyn Source + '_>,
        stored: Option<&dyn Reader>,
    ) -> Result<Report, AuditError> {
        let started = Instant::now();
        let cores = Arc::new(Cores::new(self.threads)?);
        let threads = cores.threads();
        let genesis = rules.genesis;
        let beginning = self.spec.chain(self.chain).is_none().then(|| rules.registry.hash());
        let newest = Arc::new(NewestRules::new(rules.clone()));
        let (executor, genesis_result) =
            Executor::begin(self.spec, &rules, Arc::clone(&newest), Arc::clone(&cores))?;
        let parent = ParentFacts::genesis(&rules, self.spec.timestamp, executor.head().result);
        let verifier = Verifier::new(newest, parent, Arc::clone(&cores))?;
        let end = source.height_hint();
        let (executor, compared) = std::thread::scope(|scope| {
            let (fetched, to_verify) = sync_channel(PAGES_WAITING);
            let (verified, to_execute) = sync_channel(PAGES_WAITING);
            let (executed, to_compare) = sync_channel(PAGES_WAITING);
            scope.spawn(move || fetch(source, &fetched));
            scope.spawn(move || verify(verifier, &to_verify, &verified));
            let execution = scope.spawn(move || execute(executor, &to_execute, &executed));
            let heights = stored.map(|reader| StoredHeights::new(reader, self.chain, Arc::clone(&cores)));
            let compared = self.compare(heights, (&genesis_result, rules.registry.as_ref()), to_compare, end);
            execution.join().map(|executor| (executor, compared)).map_err(|_| AuditError::Stage)
        })?;
        let compared = compared?;
        let height = executor.head().height;
        if height > Height(0) && compared.certified_block == Height(0) {
            return Err(Difference { chain: self.chain, height, finding: Finding::NoCertificate }.into());
        }
        let (head, records) = (executor.head(), executor.records());
        let rows = match (stored, compared.rows) {
            (Some(reader), Some(rows)) => {
                Some(StoredState { reader, chain: self.chain, head, records }.compare(rows)?)
            }
            _ => None,
        };
        Ok(Report {
            genesis,
            chain: self.chain,
            height,
            certified_block: compared.certified_block,
            certified_result: compared.certified_result,
            state: head.state,
            result: head.result,
            wallets: records.wallets(),
            supply: head.supply.clone(),
            registry_version: executor.registry().version,
            registry: Arc::clone(executor.registry()),
            beginning,
            children: compared.children,
            epochs: executor.epochs(),
            tally: compared.tally,
            stored: rows,
            journal: compared.journal,
            threads,
            elapsed: started.elapsed(),
        })
    }

    /// The last stage, on the caller's thread.
    fn compare(
        &self,
        mut heights: Option<StoredHeights<'_>>,
        (genesis, registry): (&HeightResult, &Registry),
        pages: Receiver<Step<Vec<ExecutedBlock>>>,
        height_end: Option<u64>,
    ) -> Result<Compared, AuditError> {
        if let Some(heights) = &mut heights {
            heights.compare_genesis(genesis, registry)?;
        }
        let (mut tally, mut journal) = (Tally::default(), Journal::default());
        let mut children = Vec::new();
        let parent = registry.chain(self.chain).and_then(|record| record.parent());
        journal.note(genesis, Vec::new());
        journal.note_children(registry);
        let (mut certified_block, mut certified_result) = (Height(0), Height(0));
        for page in pages {
            let mut page = page?;
            let mut height = 0;
            for block in &mut page {
                height = block.result.height.0;
                tally.add(&block.tally);
                journal.note(&block.result, std::mem::take(&mut block.arrivals));
                self.note_moves(&mut journal, parent, block)?;
                if let Some(registry) = &block.registry {
                    journal.note_children(registry);
                    if self.chain == ROOT_CHAIN {
                        children.extend(Child::added(registry, block.result.height));
                    }
                }
                if block.is_certified {
                    tally.certificates = tally.certificates.saturating_add(1);
                    (certified_block, certified_result) = (block.result.height, block.claim.height);
                }
            }
            if let Some(heights) = &mut heights {
                heights.compare_page(page)?;
            }
            (self.progress)(Progress { height, height_end, payments: tally.payments });
        }
        let rows = heights.map(|heights| heights.rows());
        Ok(Compared { tally, certified_block, certified_result, rows, journal, children })
    }

    /// Notes the wallets that a height sent and took.
    fn note_moves(
        &self,
        journal: &mut Journal,
        parent: Option<ChainId>,
        block: &ExecutedBlock,
    ) -> Result<(), AuditError> {
        let height = block.result.height;
        let sent = block.sent.iter().map(|sent| (sent.destination, sent.sequence, &sent.receipt));
        let received = block.received.iter();
        let received = received.map(|received| (received.source, received.sequence, &received.receipt));
        journal
            .note_moves(height, parent, sent, received)
            .map_err(|finding| Difference { chain: self.chain, height, finding: *finding }.into())
    }
}

/// Reads pages until the source ends, fails, or nobody listens any more.
fn fetch(mut source: Box<dyn Source + '_>, to: &SyncSender<Step<Vec<AuditBlock>>>) {
    loop {
        let page = source.next_page();
        let is_empty = page.as_ref().is_ok_and(Vec::is_empty);
        let is_last = is_empty || page.is_err();
        if is_empty || to.send(page).is_err() || is_last {
            return;
        }
    }
}

fn verify(
    mut verifier: Verifier,
    from: &Receiver<Step<Vec<AuditBlock>>>,
    to: &SyncSender<Step<Vec<VerifiedBlock>>>,
) {
    for page in from {
        let (valid, fault) = match page {
            Ok(page) => verifier.verify(page),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        if to.send(Ok(valid)).is_err() {
            return;
        }
        if let Some(fault) = fault {
            // Whoever is gone has found something earlier.
            let _ = to.send(Err(fault));
            return;
        }
    }
}

/// Executes until the stream ends; gives the state back.
fn execute(
    mut executor: Executor,
    from: &Receiver<Step<Vec<VerifiedBlock>>>,
    to: &SyncSender<Step<Vec<ExecutedBlock>>>,
) -> Executor {
    for page in from {
        let mut executed = Vec::new();
        let mut fault = None;
        match page {
            Err(found) => fault = Some(found),
            Ok(blocks) => {
                for block in blocks {
                    match executor.execute(block) {
                        Ok(block) => executed.push(block),
                        Err(found) => {
                            fault = Some(found);
                            break;
                        }
                    }
                }
            }
        }
        if !executed.is_empty() && to.send(Ok(executed)).is_err() {
            break;
        }
        if let Some(fault) = fault {
            // Whoever is gone has found something earlier.
            let _ = to.send(Err(fault));
            break;
        }
    }
    executor
}
