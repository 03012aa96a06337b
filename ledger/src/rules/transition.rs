//! The execution of a block: read top to bottom, this is the order of things.
//!
//! 1. the block is the next one of this chain;
//! 2. ids, hashes and policies of all transactions are computed (in parallel where the strategy allows);
//! 3. every record that they can touch is read at once;
//! 4. transactions run one after the other on the working copy, in the order of the batches, then the receipts of the bundles, then
//!    the deadlines that have passed; then wallets move to a child, and last, operators pay what they owe;
//! 5. changed records are hashed and both trees brought up to date, once per record;
//! 6. the new head, state root and result follow, and the invariants are checked.
//!
//! On an error the state is as before.

use std::borrow::Borrow;
use std::sync::Arc;

use super::admission::{Circumstances, Party, admit};
use super::apply::{Acting, Working, apply};
use super::base_fee::next_base_fee;
use super::chain_rules::ChainRules;
use super::expire::expire;
use super::fee::{charge, leave_unpaid};
use super::govern::Checked;
use super::invariants::{InvariantFault, check_height};
use super::moving::{MOVES_PER_BLOCK_MAX, Plan, begin_moving, move_wallets, report_start};
use super::quota::{self, has_debtor, settle};
use super::receive::{check_next, learn_sets, receive};
use super::registry_changes::{calm, is_urgent_in_vain, may_schedule, schedule};
use super::weight::weight_of;
use crate::proofs::outcomes_root;
use crate::records::outcome::APPLIED;
use crate::records::{
    Batch, Block, Bundle, Change, HeightResult, NotExecuted, Operation, Outcome, Receipt, Record, Registry,
    Rejection, Transaction, TransactionContent,
};
use crate::state::chain_state::{FEE_POOL_SLOT, SUSPENSE_SLOT, leaves_of};
use crate::state::expiries::Pending;
use crate::state::operator_quota::quotas_at;
use crate::state::overlay::{Overlay, Place, Pots};
use crate::state::pins::Ground;
use crate::state::shares::Shares;
use crate::state::summing_tree::SumNode;
use crate::state::{
    ChainState, Execution, PassedOver, ReadFault, ReceivedReceipt, Skipped, StateHead, StateReader,
    StateWrites, Undo,
};
use crate::values::{
    Amount, BlockDigest, ChainId, FeeRate, Height, LockId, OperatorId, PolicyHash, RecordId, Sequential,
    Slot, StateRoot, Strategy, TransactionHash, TransactionId, WalletId,
};

pub(super) const TRANSACTIONS_PER_CHUNK: usize = 512;

/// A block could not be executed: the caller or this program is broken, never the input of a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionFault {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadFault),
    /// The block is not the next of this chain.
    #[error(
        "block {height} on {parent} of chain {chain} does not follow the executed head {head_height} {head}"
    )]
    NotNext {
        /// The block's chain.
        chain: ChainId,
        /// Its height.
        height: Height,
        /// Its parent.
        parent: BlockDigest,
        /// The executed height.
        head_height: Height,
        /// The executed block.
        head: BlockDigest,
    },
    /// The batches are not those that the body orders.
    #[error("the block orders {ordered} batches, {given} were given")]
    Batches {
        /// In the body.
        ordered: usize,
        /// Given.
        given: usize,
    },
    /// The bundles are not those that the body orders.
    #[error("the block orders {ordered} bundles, {given} were given")]
    Bundles {
        /// In the body.
        ordered: usize,
        /// Given.
        given: usize,
    },
    /// More than 2³² transactions.
    #[error("the block orders too many transactions")]
    TooManyTransactions,
    /// A new wallet is in the id tree already, or the sum of the tree does not fit.
    #[error("the state trees do not accept the writes of height {height}")]
    Trees {
        /// The height.
        height: Height,
    },
    /// An invariant does not hold.
    #[error("height {height}: {fault}")]
    Invariant {
        /// The height.
        height: Height,
        /// Which one.
        fault: InvariantFault,
    },
    /// Taking a height back did not lead to the state that was.
    #[error("undo led to state root {reached}, expected {expected}")]
    Undo {
        /// Root after the undo.
        reached: StateRoot,
        /// Root in the undo record.
        expected: StateRoot,
    },
}

/// What can be known of a transaction without state.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) id: TransactionId,
    pub(super) hash: TransactionHash,
    pub(super) policy: PolicyHash,
    pub(super) weight: u64,
    /// Hash of the sponsor's policy, where there is a sponsor.
    pub(super) sponsor_policy: Option<PolicyHash>,
    /// The own wallet of the operator that its tip is for, where there is a tip.
    pub(super) tip_wallet: Option<WalletId>,
    /// The operator whose validator sealed its batch; none in a forecast.
    pub(super) sealer: Option<OperatorId>,
    /// Wallets that it would open, in order.
    pub(super) openings: Vec<WalletId>,
    /// Whether it would spend the fee pool.
    is_spending: bool,
    /// Own wallets of operators that it would give fees to.
    spent_to: Vec<WalletId>,
}

impl Prepared {
    pub(super) fn new(rules: &ChainRules, transaction: &Transaction, sealer: Option<OperatorId>) -> Self {
        let summary = transaction.summary(rules.genesis);
        let TransactionContent { fee, policy, operation, .. } = &transaction.content;
        let own_wallet = |operator| rules.own_wallet(operator);
        let openings = match operation {
            Operation::OpenWallets { wallets } => wallets
                .iter()
                .map(|opening| WalletId::derive(rules.genesis, rules.currency, opening.policy, &opening.salt))
                .collect(),
            _ => Vec::new(),
        };
        let changes = match operation {
            Operation::Govern { proposal, .. } => proposal.changes.as_slice(),
            _ => &[],
        };
        let spent_to = changes.iter().filter_map(|change| own_wallet(spends(rules, change)?));
        Self {
            id: summary.id,
            hash: summary.hash,
            policy: policy.hash(),
            weight: weight_of(transaction, u64::try_from(summary.bytes).unwrap_or(u64::MAX)),
            sponsor_policy: fee.sponsor.as_ref().map(|sponsor| sponsor.policy.hash()),
            tip_wallet: if fee.tip.is_zero() { None } else { own_wallet(fee.operator) },
            sealer,
            openings,
            is_spending: changes.iter().any(|change| spends(rules, change).is_some()),
            spent_to: spent_to.collect(),
        }
    }

    /// Whether it may touch the fee pool, at this base fee.
    pub(super) fn touches_fee_pool(&self, transaction: &Transaction, base_fee: FeeRate) -> bool {
        !base_fee.is_zero() || !transaction.content.fee.tip.is_zero() || self.is_spending
    }

    /// Every record that the transaction can touch.
    pub(super) fn touched(&self, transaction: &Transaction, ids: &mut Vec<RecordId>) {
        ids.push(transaction.content.wallet.into());
        ids.extend(transaction.content.fee.sponsor.iter().map(|sponsor| RecordId::from(sponsor.wallet)));
        ids.extend(self.tip_wallet.iter().chain(&self.spent_to).map(|id| RecordId::from(*id)));
        ids.extend(self.openings.iter().map(|id| RecordId::from(*id)));
        match &transaction.content.operation {
            Operation::Pay { payments } => {
                ids.extend(payments.iter().map(|payment| RecordId::from(payment.payee)))
            }
            Operation::Issue { to, .. } => ids.push((*to).into()),
            Operation::Lock { payee, .. } | Operation::Exchange { payee, .. } => {
                ids.extend([RecordId::from(LockId::of(self.id)), (*payee).into()]);
            }
            Operation::Accept { offer, payee, .. } => ids.extend([RecordId::from(*offer), (*payee).into()]),
            Operation::Claim { lock, .. } | Operation::Withdraw { lock } => ids.push((*lock).into()),
            Operation::Decline { offer } => ids.push((*offer).into()),
            Operation::OpenWallets { .. } | Operation::Redeem { .. } | Operation::Govern { .. } => {}
        }
    }
}

/// The operator to which a change gives fees of this chain. (Where the block admits it, its own wallet is opened unread.)
fn spends(rules: &ChainRules, change: &Change) -> Option<OperatorId> {
    match change {
        Change::SpendFees { chain, operator, .. } if *chain == rules.chain => Some(*operator),
        _ => None,
    }
}

/// Runs one transaction on the working copy: the line of PROTOCOL rule 7, then the fee, then the operation.
pub(super) fn run(
    working: &mut Working<'_>,
    transaction: &Transaction,
    prepared: &Prepared,
    index: u32,
    at: Circumstances,
) -> Result<Outcome, NotExecuted> {
    let content = &transaction.content;
    let signer = working.overlay.find(&content.wallet);
    let sponsor = content.fee.sponsor.as_ref().and_then(|sponsor| working.overlay.find(&sponsor.wallet));
    let party = |policy, place: Option<Place>| {
        let wallet = place.and_then(|place| working.overlay.wallet(place));
        Party { policy, wallet }
    };
    let sponsored = prepared.sponsor_policy.map(|policy| party(policy, sponsor));
    let signing = party(prepared.policy, signer);
    if let Err(reason) = admit(working.rules, content, signing, sponsored, prepared.weight, at) {
        leave_unpaid(working, prepared.sealer, at.base_fee.due(prepared.weight));
        return Err(reason);
    }
    let unknown = NotExecuted::WalletUnknown {};
    let signer = signer.ok_or(unknown)?;
    let record = working.overlay.wallet_mut(signer).ok_or(unknown)?;
    let lanes = working.rules.params.tier(record.tier).lanes;
    // `admit` has found the nonce open.
    let _is_open = record.use_nonce(content.nonce, lanes);
    let outcome = |code, fee| Outcome { id: prepared.id, transaction: prepared.hash, index, code, fee };
    let places = (signer, sponsor.unwrap_or(signer));
    let fee = match charge(working, content, prepared, places, index, at) {
        Ok(fee) => fee,
        Err(rejection) => return Ok(outcome(rejection.code(), Amount::ZERO)),
    };
    let wallet = working.overlay.wallet(signer).cloned().ok_or(unknown)?;
    let acting = Acting { id: prepared.id, signer, wallet: &wallet, index, openings: &prepared.openings };
    let became = apply(working, acting, &content.operation);
    Ok(outcome(became.map_or_else(Rejection::code, |()| APPLIED), fee))
}

/// A transaction with the operator whose validator sealed its batch.
#[derive(Clone, Copy)]
struct Ordered<'a> {
    transaction: &'a Transaction,
    sealer: Option<OperatorId>,
}

/// The transactions of a block, in order.
fn ordered<'a>(rules: &ChainRules, batches: &'a [impl Borrow<Batch>]) -> Vec<Ordered<'a>> {
    let of_batch = |batch: &'a Batch| {
        let content = &batch.content;
        let validator = rules.registry.validator(rules.chain, content.epoch, content.sealer);
        let sealer = validator.map(|validator| validator.operator);
        content.transactions.iter().map(move |transaction| Ordered { transaction, sealer })
    };
    batches.iter().flat_map(|batch| of_batch(batch.borrow())).collect()
}

/// What the transactions and receipts of a block made.
#[derive(Default)]
struct Ran {
    outcomes: Vec<Outcome>,
    skipped: Vec<Skipped>,
    received: Vec<ReceivedReceipt>,
    expired: Vec<LockId>,
    passed_over: Vec<(u32, PassedOver)>,
}

impl ChainState {
    /// Executes the next block. `batches` and `bundles` are those that its body orders, in that order, already checked with
    /// [`super::check_batch`], [`super::check_bundle`] and [`super::block_validity`]; `reader` reads records as of the head.
    ///
    /// # Errors
    /// [`ExecutionFault`]; nothing has changed then.
    pub fn execute(
        &mut self,
        reader: &impl StateReader,
        block: &Block,
        batches: &[impl Borrow<Batch>],
        bundles: &[impl Borrow<Bundle>],
        strategy: &impl Strategy,
    ) -> Result<Execution, ExecutionFault> {
        self.check_next(block, batches.len(), bundles.len())?;
        let rules = self.rules.clone();
        let ordered = ordered(&rules, batches);
        let prepare = |one: &Ordered<'_>| Prepared::new(&rules, one.transaction, one.sealer);
        let prepared = strategy.map(&ordered, TRANSACTIONS_PER_CHUNK, prepare);
        let transactions: Vec<&Transaction> = ordered.iter().map(|one| one.transaction).collect();
        let at = Circumstances { now: block.header.timestamp, base_fee: block.header.base_fee };
        let bundles: Vec<&Bundle> = bundles.iter().map(Borrow::borrow).collect();
        let overdue_before = self.head.overdue_before();
        let due = self.expiries.due(overdue_before);
        let plan = self.plan_moves(reader)?;
        let overlay =
            self.read_touched(reader, (&transactions, &prepared, at), (&bundles, &due, &plan), strategy)?;
        let mut working = Working {
            rules: &rules,
            height: block.header.height,
            now: block.header.timestamp,
            registry: None,
            approvals: Checked::default(),
            overlay,
            names: Some(&self.ids),
            supply: self.head.supply.clone(),
            outboxes: self.head.outboxes.clone(),
            sent: Vec::new(),
            unsent: None,
            moving: self.head.moving,
            reserved: if plan.is_empty() { 0 } else { MOVES_PER_BLOCK_MAX },
            history: Vec::new(),
            overdue_before,
            open: self.expiries.shares().clone(),
            made: Shares::default(),
            quotas: quotas_at(&self.head.quotas, block.header.timestamp),
        };
        report_start(&mut working);
        let mut ran = run_all(&mut working, &transactions, &prepared, at)?;
        let index = receive_all(&mut working, &mut ran, transactions.len(), &bundles)?;
        let index = expire_all(&mut working, &mut ran, index, &due)?;
        let moving = move_wallets(&mut working, &plan, index);
        settle(&mut working, index);
        if let Some(chain) = working.unsent {
            let fault = InvariantFault::Unsent { chain };
            return Err(ExecutionFault::Invariant { height: block.header.height, fault });
        }
        let Working { overlay, supply, outboxes, sent, history, registry, quotas, .. } = working;
        let records = overlay.next_slot();
        let changes = overlay.into_changes();
        let mut head = StateHead { supply, outboxes, quotas, records, moving, ..self.head.clone() };
        head.note_timestamp(block.header.timestamp);
        head.height = block.header.height;
        head.block = block.header.digest(rules.genesis);
        head.forget_expired(block.header.timestamp);
        let registry = self.next_registry(&mut head, registry);
        if let Some(registry) = &registry
            && let Some(moving) = begin_moving((head.chain, head.moving), &rules.registry, registry, records)
        {
            head.moving = Some(moving);
        }
        let undo = Undo {
            head: self.head.clone(),
            registry: registry.as_ref().map(|_| Arc::clone(&rules.registry)),
            records: changes.before,
            opened: changes.opened.clone(),
        };
        for (digest, batch) in block.body.batches.iter().zip(batches) {
            head.order(*digest, batch.borrow().content.expires);
        }
        let writes = StateWrites { records: changes.records, opened: changes.opened };
        let leaves_before = self.leaves_at(&undo.records);
        if let Some(registry) = &registry {
            self.use_registry(registry);
        }
        head.base_fee = next_base_fee(&self.rules.params.fees, block.header.base_fee, block.header.weight);
        let ordered = transactions.len().saturating_add(ran.received.len()).saturating_add(ran.expired.len());
        let (head, result) = match self.finish(head, &writes, &ran, ordered, strategy) {
            Ok(finished) => finished,
            Err(fault) => {
                let restored = self.restore_trees(&undo, &leaves_before);
                return Err(restored.err().unwrap_or(fault));
            }
        };
        self.expiries.apply(&writes, &undo);
        let ground = Ground { rules: &self.rules, moving: self.head.moving };
        self.pins.apply(&writes, &undo, ground, &self.ids);
        let Ran { outcomes, skipped, received, expired, passed_over } = ran;
        let result_hash = head.result;
        Ok(Execution {
            result,
            result_hash,
            head,
            outcomes,
            skipped,
            sent,
            received,
            expired,
            passed_over,
            writes,
            registry,
            history,
            undo,
        })
    }

    fn check_next(&self, block: &Block, batches: usize, bundles: usize) -> Result<(), ExecutionFault> {
        let header = &block.header;
        if header.chain != self.rules.chain
            || header.height != self.head.height.next()
            || header.parent != self.head.block
        {
            return Err(ExecutionFault::NotNext {
                chain: header.chain,
                height: header.height,
                parent: header.parent,
                head_height: self.head.height,
                head: self.head.block,
            });
        }
        let body = &block.body;
        if body.batches.len() != batches {
            return Err(ExecutionFault::Batches { ordered: body.batches.len(), given: batches });
        }
        if body.bundles.len() != bundles {
            return Err(ExecutionFault::Bundles { ordered: body.bundles.len(), given: bundles });
        }
        Ok(())
    }

    /// Reads every record that the transactions, receipts and deadlines can touch, in slot order.
    fn read_touched(
        &self,
        reader: &impl StateReader,
        (transactions, prepared, at): (&[&Transaction], &[Prepared], Circumstances),
        (bundles, due, plan): (&[&Bundle], &[Pending], &Plan),
        strategy: &impl Strategy,
    ) -> Result<Overlay, ExecutionFault> {
        let mut ids = Vec::with_capacity(transactions.len().saturating_mul(2));
        let mut takes_fees = has_debtor(&self.head.quotas);
        quota::touched(&self.rules, &self.head.quotas, (prepared, at.base_fee), &mut ids);
        for (transaction, prepared) in transactions.iter().zip(prepared) {
            prepared.touched(transaction, &mut ids);
            takes_fees |= prepared.touches_fee_pool(transaction, at.base_fee);
        }
        let receipts = || bundles.iter().flat_map(|bundle| &bundle.receipts);
        for receipt in receipts() {
            receipt.touched(&mut ids);
            let Receipt::Change { change, .. } = receipt else { continue };
            let Some(operator) = spends(&self.rules, change) else { continue };
            takes_fees = true;
            ids.extend(self.rules.own_wallet(operator).map(RecordId::from));
        }
        for pending in due {
            ids.push(pending.id.into());
            ids.extend(pending.payer.map(RecordId::from));
        }
        plan.touched(&mut ids);
        ids.sort_unstable();
        ids.dedup();
        let slots = strategy.map(&ids, TRANSACTIONS_PER_CHUNK, |id| self.ids.slot(id));
        let mut located: Vec<(Slot, usize)> = slots
            .iter()
            .enumerate()
            .filter_map(|(position, slot)| slot.map(|slot| (slot, position)))
            .collect();
        located.sort_unstable();
        let wanted: Vec<Slot> = located.iter().map(|(slot, _)| *slot).collect();
        let records = reader.records(&wanted)?;
        let mut found = vec![None; ids.len()];
        for ((slot, position), record) in located.iter().zip(records) {
            match (found.get_mut(*position), record) {
                (Some(entry), Some(record)) => *entry = Some((*slot, record)),
                _ => return Err(ReadFault::Slot { slot: *slot }.into()),
            }
        }
        if located.len() != found.iter().flatten().count() {
            return Err(ReadFault::Store.into());
        }
        let gives = |receipt: &Receipt| match receipt {
            Receipt::Refund { .. } | Receipt::Decision { .. } | Receipt::Move { .. } => true,
            Receipt::Credit { origin, .. } => origin.is_some(),
            _ => false,
        };
        let is_suspense = receipts().any(gives) || due.iter().any(|pending| pending.payer.is_some());
        let pots = read_pots(reader, takes_fees, is_suspense)?;
        Ok(Overlay::new(&ids, found, self.head.records, pots)?)
    }

    /// Brings the trees up to date and makes head and result.
    fn finish(
        &mut self,
        mut head: StateHead,
        writes: &StateWrites,
        ran: &Ran,
        ordered: usize,
        strategy: &impl Strategy,
    ) -> Result<(StateHead, HeightResult), ExecutionFault> {
        let height = head.height;
        let leaves = leaves_of(&writes.records, strategy);
        self.tree.update(&leaves, strategy).map_err(|_| ExecutionFault::Trees { height })?;
        for (id, slot) in &writes.opened {
            if !self.ids.insert(*id, *slot) {
                return Err(ExecutionFault::Trees { height });
            }
        }
        self.ids.rehash();
        head.supply.holdings = Amount::from_fen(self.tree.root().sum);
        let parts = self.parts_with(&head);
        head.state = parts.root();
        let result = HeightResult {
            chain: head.chain,
            height,
            block: head.block,
            previous: self.head.result,
            state: head.state,
            outcomes: outcomes_root(&ran.outcomes, strategy),
            outbox: parts.outbox,
            next_set: self.rules.registry.next_set(head.chain, height),
            executed: u32::try_from(ran.outcomes.len()).map_err(|_| ExecutionFault::TooManyTransactions)?,
            skipped: u32::try_from(ran.skipped.len()).map_err(|_| ExecutionFault::TooManyTransactions)?,
            supply: head.supply.clone(),
        };
        check_height(&self.head, &head, parts.tree.sum, writes, &result, ordered)
            .map_err(|fault| ExecutionFault::Invariant { height, fault })?;
        head.result = result.hash(self.rules.genesis);
        self.head = head.clone();
        Ok((head, result))
    }

    /// Takes the last executed height back exactly (PROTOCOL rule 14).
    ///
    /// # Errors
    /// [`ExecutionFault::Undo`] when `undo` is not that of the last height; the state is unusable then.
    pub fn undo(&mut self, undo: &Undo) -> Result<(), ExecutionFault> {
        let leaves = leaves_of(&undo.records, &Sequential);
        self.head = undo.head.clone();
        self.expiries.undo(undo);
        self.restore_trees(undo, &leaves)?;
        let ground = Ground { rules: &self.rules, moving: self.head.moving };
        self.pins.undo(undo, ground, &self.ids);
        Ok(())
    }

    /// The registry after the height of `head`: as the block has changed it, and with the next epoch where that is due. Notes in
    /// the head when a new epoch has begun.
    fn next_registry(&self, head: &mut StateHead, changed: Option<Arc<Registry>>) -> Option<Arc<Registry>> {
        let (chain, height, now) = (head.chain, head.height, head.timestamp);
        let before = changed.as_ref().unwrap_or(&self.rules.registry);
        if before.epoch_at(chain, height).is_some_and(|epoch| epoch.first_height == height) {
            head.epoch_started = now;
        }
        if is_urgent_in_vain(before, chain) {
            let mut registry = Registry::clone(before);
            calm(&mut registry, chain);
            return Some(Arc::new(registry));
        }
        if !may_schedule(before, chain, height) {
            return changed;
        }
        let mut registry = Registry::clone(before);
        match schedule(&mut registry, chain, height, (head.epoch_started, now)) {
            true => Some(Arc::new(registry)),
            false => changed,
        }
    }

    /// Goes on with this registry.
    fn use_registry(&mut self, registry: &Arc<Registry>) {
        // A registry never loses a chain.
        if let Some(rules) = ChainRules::new(self.rules.genesis, Arc::clone(registry), self.rules.chain) {
            self.registry = rules.registry.hash();
            self.rules = rules;
        }
    }

    /// The leaves of the slots of these records, as the tree has them now.
    fn leaves_at(&self, records: &[(Slot, Record)]) -> Vec<(Slot, SumNode)> {
        records.iter().filter_map(|(slot, _)| Some((*slot, self.tree.leaf(*slot)?))).collect()
    }

    /// Brings both trees back to what they were at `undo`'s head, where the changed slots had `leaves`.
    fn restore_trees(&mut self, undo: &Undo, leaves: &[(Slot, SumNode)]) -> Result<(), ExecutionFault> {
        if let Some(registry) = &undo.registry {
            self.use_registry(registry);
        }
        for (id, _) in undo.opened.iter().rev() {
            // A height that failed half-way has not added all of them.
            let _was_last = self.ids.remove_last(id);
        }
        self.ids.rehash();
        let trees = self.tree.revert(undo.head.records, leaves, &Sequential);
        let (reached, expected) = (self.parts_with(&undo.head).root(), undo.head.state);
        if trees.is_err() || reached != expected {
            return Err(ExecutionFault::Undo { reached, expected });
        }
        Ok(())
    }
}

/// What the fee pool and the suspense record hold, as far as they may be touched.
pub(super) fn read_pots(
    reader: &impl StateReader,
    takes_fees: bool,
    is_suspense: bool,
) -> Result<Pots, ReadFault> {
    let read = |slot: Slot| Ok(reader.records(&[slot])?.into_iter().next().flatten());
    let mut pots = Pots::default();
    if takes_fees {
        let Some(Record::FeePool { balance }) = read(FEE_POOL_SLOT)? else {
            return Err(ReadFault::Slot { slot: FEE_POOL_SLOT });
        };
        pots.fee_pool = Some(balance);
    }
    if is_suspense {
        let Some(Record::Suspense { balance }) = read(SUSPENSE_SLOT)? else {
            return Err(ReadFault::Slot { slot: SUSPENSE_SLOT });
        };
        pots.suspense = Some(balance);
    }
    Ok(pots)
}

/// Executes the receipts of every bundle from the next one of its pair on; the block's transactions took the first positions. Answers the
/// position after them.
fn receive_all(
    working: &mut Working<'_>,
    ran: &mut Ran,
    transactions: usize,
    bundles: &[&Bundle],
) -> Result<u32, ExecutionFault> {
    let mut index = u32::try_from(transactions).map_err(|_| ExecutionFault::TooManyTransactions)?;
    for (bundle, position) in bundles.iter().zip(0..=u32::MAX) {
        // What its links prove holds whether its receipts are the next ones or not.
        let is_current = learn_sets(working, bundle);
        if bundle.receipts.is_empty() && is_current.is_ok() {
            continue;
        }
        let heard = is_current.and_then(|()| working.rules.check_heard(bundle.source()));
        let next = match heard.and_then(|()| check_next(&working.supply, bundle)) {
            Ok(next) => next,
            Err(reason) => {
                ran.passed_over.push((position, reason));
                continue;
            }
        };
        for receipt in next {
            let (outcome, received) = receive(working, bundle.source(), receipt, index);
            ran.outcomes.push(outcome);
            ran.received.push(received);
            index = index.checked_add(1).ok_or(ExecutionFault::TooManyTransactions)?;
        }
    }
    Ok(index)
}

/// Ends what is overdue and still open; the first position is `index`. Answers the position after them.
fn expire_all(
    working: &mut Working<'_>,
    ran: &mut Ran,
    mut index: u32,
    due: &[Pending],
) -> Result<u32, ExecutionFault> {
    for pending in due {
        if let Some(outcome) = expire(working, pending, index) {
            ran.outcomes.push(outcome);
            ran.expired.push(pending.id);
            index = index.checked_add(1).ok_or(ExecutionFault::TooManyTransactions)?;
        }
    }
    Ok(index)
}

fn run_all(
    working: &mut Working<'_>,
    transactions: &[&Transaction],
    prepared: &[Prepared],
    at: Circumstances,
) -> Result<Ran, ExecutionFault> {
    let mut ran = Ran { outcomes: Vec::with_capacity(transactions.len()), ..Ran::default() };
    for (position, (transaction, prepared)) in transactions.iter().zip(prepared).enumerate() {
        let index = u32::try_from(position).map_err(|_| ExecutionFault::TooManyTransactions)?;
        match run(working, transaction, prepared, index, at) {
            Ok(outcome) => ran.outcomes.push(outcome),
            Err(reason) => ran.skipped.push(Skipped { index, id: prepared.id, reason }),
        }
    }
    Ok(ran)
}
