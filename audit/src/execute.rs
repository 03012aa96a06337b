//! The third stage: the production ledger executes every block again, and every result that a block claims is compared
//! with the one computed here. Receipts of other chains must stand on those that were executed before them.
//!
//! A block is valid by the registry of the state at the height that it claims, and that state is here: so here is the last word on
//! who may propose, seal and certify it. Sets of validators follow one another as the replayed registry schedules them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::records::outcome::APPLIED;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{
    Bundle, Claim, EpochRecord, GenesisSpec, HeightResult, HistoryEntry, Operation, Outcome, Receipt, Record,
    Registry,
};
use ledger::rules::ChainRules;
use ledger::state::outbox::{RECEIPTS_TAG, receipt_leaf};
use ledger::state::{
    ChainState, Execution, GenesisFault, Outbox, PassedOver, ReceivedReceipt, SentReceipt, StateHead,
};
use ledger::values::{AppendTree, BlockDigest, Canonical as _, ChainId, Epoch, Height, ResultHash, WalletId};

use crate::cores::Cores;
use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::fees::check_fees;
use crate::journal::Arrival;
use crate::records::Records;
use crate::report::{Child, Tally};
use crate::settled::check_settled;
use crate::verify::{NewestRules, VerifiedBlock};

/// Results kept because no block has claimed them yet: 40 MB. Blocks with batches lag 32 at most; only an idle chain whose
/// leaders claim nothing could come near.
pub const UNCLAIMED_RESULTS_MAX: u64 = 1_000_000;

/// What a height made, for the comparison with what is stored.
#[derive(Debug)]
pub(crate) struct ExecutedBlock {
    pub(crate) digest: BlockDigest,
    pub(crate) claim: Claim,
    pub(crate) is_certified: bool,
    pub(crate) result: HeightResult,
    pub(crate) outcomes: Vec<Outcome>,
    /// Movements with the wallets they belong to.
    pub(crate) history: Vec<(WalletId, HistoryEntry)>,
    pub(crate) sent: Vec<SentReceipt>,
    /// What was sent to every chain so far, where this height sent something.
    pub(crate) outboxes: Option<Vec<Outbox>>,
    pub(crate) received: Vec<ReceivedReceipt>,
    /// The registry after it, where this height changed it.
    pub(crate) registry: Option<Arc<Registry>>,
    /// The chains that this height of the root chain added, and the parts of the state after it, encoded: what their origins are made of.
    pub(crate) origins: Option<(Vec<ChainId>, Vec<u8>)>,
    /// Where the executed bundles came from.
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) tally: Tally,
}

/// State and records of the replay, all made from genesis.
pub(crate) struct Executor {
    state: ChainState,
    records: Records,
    results: BTreeMap<Height, ResultHash>,
    /// Over the receipts that were executed, by the chain that sent them.
    arrived: BTreeMap<ChainId, AppendTree>,
    /// The rules after each height that changed the registry, from the last claimed one on.
    rules: BTreeMap<Height, ChainRules>,
    /// For the stage before.
    newest: Arc<NewestRules>,
    /// Every epoch of the chain so far.
    epochs: BTreeMap<Epoch, EpochRecord>,
    cores: Arc<Cores>,
}

impl Executor {
    /// The state of height 0, and its result, of the chain of `rules`, which are those of its beginning. `newest` is told of every change
    /// of the rules.
    pub(crate) fn begin(
        spec: &GenesisSpec,
        rules: &ChainRules,
        newest: Arc<NewestRules>,
        cores: Arc<Cores>,
    ) -> Result<(Self, HeightResult), AuditError> {
        spec.check().map_err(GenesisFault::from)?;
        let registry = Arc::clone(&rules.registry);
        let (state, writes, result) =
            ChainState::begin(rules.genesis, registry, rules.chain, spec.timestamp)?;
        let mut records = Records::default();
        records.apply(writes);
        let results = BTreeMap::from([(Height(0), state.head().result)]);
        let (arrived, rules, epochs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut executor = Self { state, records, results, arrived, rules, newest, epochs, cores };
        executor.note_rules(Height(0));
        Ok((executor, result))
    }

    /// Every epoch so far, ascending: the sets that certified this chain, and one that may be scheduled.
    pub(crate) fn epochs(&self) -> Vec<EpochRecord> {
        self.epochs.values().cloned().collect()
    }

    /// The registry of the next height.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.state.rules().registry
    }

    /// Remembers the rules after a height, and what they say of the chain's epochs.
    fn note_rules(&mut self, height: Height) {
        let rules = self.state.rules().clone();
        let record = rules.registry.chain(rules.chain);
        let epochs = record.map_or(&[] as &[EpochRecord], |record| record.epochs.as_slice());
        self.epochs.extend(epochs.iter().map(|epoch| (epoch.epoch, epoch.clone())));
        self.newest.set(rules.clone());
        self.rules.insert(height, rules);
    }

    /// The rules of the state at a height: claims never go back, so earlier ones are forgotten.
    fn rules_at(&mut self, claimed: Height) -> &ChainRules {
        if let Some(first) = self.rules.range(..=claimed).next_back().map(|(height, _)| *height) {
            self.rules = self.rules.split_off(&first);
        }
        self.rules.values().next().unwrap_or_else(|| self.state.rules())
    }

    pub(crate) const fn head(&self) -> &StateHead {
        self.state.head()
    }

    pub(crate) const fn records(&self) -> &Records {
        &self.records
    }

    /// Executes the next block.
    pub(crate) fn execute(&mut self, verified: VerifiedBlock) -> Result<ExecutedBlock, AuditError> {
        let (chain, height) = (verified.block.header.chain, verified.block.header.height);
        let found = |finding| AuditError::from(Difference { chain, height, finding });
        let claim = verified.block.header.claim;
        let cores = Arc::clone(&self.cores);
        verified.judge_by(self.rules_at(claim.height), &cores).map_err(|finding| found(*finding))?;
        self.check_claim(height, claim).map_err(|finding| found(*finding))?;
        let (batches, bundles) = (&verified.batches, &verified.bundles);
        let rules = self.state.rules().clone();
        let executed =
            self.state.execute(&self.records, &verified.block, batches, bundles, self.cores.as_ref());
        let execution = executed.map_err(|fault| found(Finding::Execution(Box::new(fault))))?;
        let arrivals = self.arrive(height, bundles, &execution.passed_over);
        let arrivals = arrivals.map_err(|finding| found(*finding))?;
        let is_sibling = |chain| rules.currency_of(chain) == Some(rules.currency);
        let settled = check_settled(chain, &is_sibling, &execution.received, &execution.sent);
        settled.map_err(|finding| found(*finding))?;
        check_fees(verified.block.header.base_fee, verified.transactions(), &execution.outcomes)
            .map_err(|finding| found(*finding))?;
        let tally = tally(&verified, &execution);
        if execution.registry.is_some() {
            self.note_rules(height);
        }
        self.results.insert(height, execution.result_hash);
        self.records.apply(execution.writes);
        let history = execution.history.into_iter().filter_map(|entry| match self.records.get(entry.slot) {
            Some(Record::Wallet(wallet)) => Some((wallet.id, entry)),
            _ => None,
        });
        Ok(ExecutedBlock {
            digest: verified.digest,
            claim,
            is_certified: verified.is_certified(),
            history: history.collect(),
            result: execution.result,
            outcomes: execution.outcomes,
            outboxes: (!execution.sent.is_empty()).then_some(execution.head.outboxes),
            sent: execution.sent,
            received: execution.received,
            origins: self.origins(height, execution.registry.as_deref()),
            registry: execution.registry,
            arrivals,
            tally,
        })
    }

    /// What the origins of chains are made of that `height` has added; `changed` is the registry after it, where it changed.
    fn origins(&self, height: Height, changed: Option<&Registry>) -> Option<(Vec<ChainId>, Vec<u8>)> {
        let registry = changed.filter(|_| self.state.rules().chain == ROOT_CHAIN)?;
        let added: Vec<ChainId> = Child::added(registry, height).map(|child| child.chain).collect();
        (!added.is_empty()).then(|| (added, self.state.parts().encode()))
    }

    /// Whoever shows receipts shows all that came before them: here the same must have been executed. (Execution itself
    /// compares how many there were, and what they add up to.)
    fn arrive(
        &mut self,
        height: Height,
        bundles: &[Bundle],
        passed_over: &[(u32, PassedOver)],
    ) -> Result<Vec<Arrival>, Box<Finding>> {
        let mut arrivals = Vec::new();
        for (bundle, position) in bundles.iter().zip(0_u32..) {
            let is_passed_over = passed_over.iter().any(|(passed, _)| *passed == position);
            // One without receipts tells of changes of set only.
            if is_passed_over || bundle.receipts.is_empty() {
                continue;
            }
            let (source, first) = (bundle.source(), bundle.before.count);
            let tree = self.arrived.entry(source).or_default();
            let (mut shown, mut total) = (bundle.before.clone(), bundle.total_before);
            let came = tree.count.saturating_sub(first);
            for (receipt, place) in bundle.receipts.iter().zip(0_u64..) {
                if place == came {
                    check_same(source, first, &shown, tree)?;
                }
                // The bundle's own check has appended the same to the same.
                let _fits = shown.append(RECEIPTS_TAG, receipt_leaf(receipt, total));
                total = total.saturating_add(u128::from(receipt.value().fen()));
            }
            *tree = shown;
            let result = &bundle.certified.result;
            // Execution has found the next receipt among them.
            let first = first.saturating_add(came);
            let receipts = (bundle.receipts.len() as u64).saturating_sub(came);
            let (source_height, outbox) = (result.height, result.outbox);
            arrivals.push(Arrival { height, source, first, receipts, source_height, outbox });
        }
        Ok(arrivals)
    }

    /// A claim must be the result computed here; results below it are settled.
    fn check_claim(&mut self, height: Height, claim: Claim) -> Result<(), Box<Finding>> {
        if height.0.saturating_sub(claim.height.0) > UNCLAIMED_RESULTS_MAX {
            return Err(
                Finding::ClaimLag { claimed_height: claim.height, lag_max: UNCLAIMED_RESULTS_MAX }.into()
            );
        }
        // Claims never go back and never reach their own height (checked in the stage before), so the result is here.
        let computed = self.results.get(&claim.height).copied().unwrap_or_default();
        if computed != claim.result {
            return Err(
                Finding::Claim { claimed_height: claim.height, claimed: claim.result, computed }.into()
            );
        }
        self.results = self.results.split_off(&claim.height);
        Ok(())
    }
}

/// Before its next receipt a bundle must show what was executed here.
fn check_same(
    source_chain: ChainId,
    first: u64,
    shown: &AppendTree,
    executed: &AppendTree,
) -> Result<(), Box<Finding>> {
    if shown == executed {
        return Ok(());
    }
    let (shown, computed) = (shown.root(RECEIPTS_TAG), executed.root(RECEIPTS_TAG));
    Err(Finding::OtherReceipts { source_chain, first, shown, computed }.into())
}

fn tally(verified: &VerifiedBlock, execution: &Execution) -> Tally {
    let received = |is_counted: fn(&ReceivedReceipt) -> bool| {
        execution.received.iter().filter(|received| is_counted(received)).count() as u64
    };
    let mut tally = Tally {
        blocks: 1,
        batches: verified.batches.len() as u64,
        skipped: execution.skipped.len() as u64,
        bundles: verified.bundles.len() as u64,
        receipts: execution.received.len() as u64,
        refused: received(|received| received.code != APPLIED && received.sent_on.is_none()),
        sent_on: received(|received| received.sent_on.is_some()),
        moved: received(|received| matches!(received.receipt, Receipt::Move { .. })),
        refunds: received(|received| matches!(received.receipt, Receipt::Refund { .. })),
        sent: execution.sent.len() as u64,
        ..Tally::default()
    };
    let mut outcomes = execution.outcomes.iter().peekable();
    for (transaction, index) in verified.transactions().zip(0_u32..) {
        tally.transactions = tally.transactions.saturating_add(1);
        let signatures = transaction.signatures.len().saturating_add(transaction.sponsor_signatures.len());
        tally.signatures = tally.signatures.saturating_add(signatures as u64);
        let Some(outcome) = outcomes.next_if(|outcome| outcome.index == index) else { continue };
        tally.fees = tally.fees.saturating_add(outcome.fee.fen());
        if !outcome.is_applied() {
            tally.rejected = tally.rejected.saturating_add(1);
            continue;
        }
        tally.applied = tally.applied.saturating_add(1);
        if let Operation::Pay { payments } = &transaction.content.operation {
            tally.payments = tally.payments.saturating_add(payments.len() as u64);
        }
    }
    tally
}
