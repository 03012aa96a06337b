//! Faults that are there to be found: a run with one of them must turn red, so a green run means something.
//!
//! All of them sit in this driver, between the chain and what performs its effects; production crates know nothing of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chain::{Archive, FinalBlock};
use ledger::records::{Block, Bundle, Operation, Payment, Receipt, Record};
use ledger::values::{Amount, Canonical as _, ChainId, GenesisHash, Height};
use storage::{Durability, Store, Table, WriteSet, key};

use crate::plan::{Plan, Plant};

/// What is planted. Clones share what has happened.
#[derive(Clone)]
pub(crate) struct Planted {
    pub(crate) loses_writes: bool,
    fork: Option<(u16, u64)>,
    double_credit: Option<(u16, u64)>,
    was_credited: Arc<AtomicBool>,
    wrong_execution: Option<(u16, u64)>,
    wrong_times: Arc<AtomicU8>,
    /// Whether the node's state is wrong now; nobody believes what it says until it started again.
    is_wrong: Arc<AtomicBool>,
    receipts: Option<WrongReceipt>,
    nodes: u16,
    genesis: GenesisHash,
}

/// What all nodes do wrong with a receipt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// The first one of a bundle of several is left out.
    Lost,
    /// The last one is executed twice.
    LastTwice,
    /// One that moves a wallet is executed twice.
    MoveTwice,
    /// A credit that was sent on is executed twice.
    SentOnTwice,
}

/// A receipt that all nodes execute wrongly, in the same block.
#[derive(Clone)]
struct WrongReceipt {
    chain: ChainId,
    from: u64,
    wrong: Wrong,
    /// The height at which it happens: the node that executes it first says.
    height: Arc<Mutex<Option<u64>>>,
}

impl Planted {
    pub(crate) fn new(plan: &Plan, genesis: GenesisHash) -> Self {
        let mut planted = Self {
            loses_writes: false,
            fork: None,
            double_credit: None,
            was_credited: Arc::default(),
            wrong_execution: None,
            wrong_times: Arc::default(),
            is_wrong: Arc::default(),
            receipts: None,
            nodes: plan.nodes,
            genesis,
        };
        for plant in &plan.plants {
            match *plant {
                Plant::Fork { node, height } => planted.fork = Some((node, height)),
                Plant::LostWrites => planted.loses_writes = true,
                Plant::DoubleCredit { node, height } => planted.double_credit = Some((node, height)),
                Plant::WrongExecution { node, height, times } => {
                    planted.wrong_execution = Some((node, height));
                    planted.wrong_times.store(times, Ordering::Relaxed);
                }
                Plant::ReceiptTwice { chain, height } => {
                    planted.receipts = Some(WrongReceipt::new(chain, height, Wrong::LastTwice));
                }
                Plant::ReceiptLost { chain, height } => {
                    planted.receipts = Some(WrongReceipt::new(chain, height, Wrong::Lost));
                }
                Plant::MoveTwice { chain } => {
                    planted.receipts = Some(WrongReceipt::new(chain, 0, Wrong::MoveTwice));
                }
                Plant::SentOnTwice { chain } => {
                    planted.receipts = Some(WrongReceipt::new(chain, 0, Wrong::SentOnTwice));
                }
            }
        }
        planted
    }

    /// All nodes of the network.
    pub(crate) const fn nodes(&self) -> std::ops::Range<u16> {
        0..self.nodes
    }

    /// Whether what the node says of its state is known to be wrong.
    pub(crate) fn is_wrong(&self, node: u16) -> bool {
        self.wrong_execution.is_some_and(|(planted, _)| planted == node)
            && self.is_wrong.load(Ordering::Relaxed)
    }

    /// The node started again: it took back what was wrong.
    pub(crate) fn started(&self, node: u16) {
        if self.is_wrong(node) {
            self.is_wrong.store(false, Ordering::Relaxed);
        }
    }

    /// Makes the first payment of the block larger, where that is planted.
    fn execute_wrongly(&self, node: u16, next: &mut FinalBlock) {
        let height = next.block.header.height.0;
        let times = self.wrong_times.load(Ordering::Relaxed);
        let is_planted =
            self.wrong_execution.is_some_and(|(planted, from)| planted == node && height >= from);
        // A state that is wrong already stays wrong; the next time comes after the node started again.
        if !is_planted || times == 0 || self.is_wrong(node) {
            return;
        }
        for batch in &mut next.batches {
            let mut flipped = (**batch).clone();
            let payment = flipped.content.transactions.iter_mut().find_map(|transaction| {
                match &mut transaction.content.operation {
                    Operation::Pay { payments } => payments.first_mut(),
                    _ => None,
                }
            });
            if let Some(payment) = payment
                && let Some(amount) = payment.amount.plus(Amount::from_fen(1))
            {
                payment.amount = amount;
                *batch = Arc::new(flipped);
                self.wrong_times.store(times - 1, Ordering::Relaxed);
                self.is_wrong.store(true, Ordering::Relaxed);
                return;
            }
        }
    }

    /// What a node really executes: at the planted height, another block than the final one.
    pub(crate) fn final_block(&self, node: u16, mut next: FinalBlock) -> FinalBlock {
        self.execute_wrongly(node, &mut next);
        if let Some(receipts) = &self.receipts {
            receipts.spoil(&mut next);
        }
        if self.fork != Some((node, next.block.header.height.0)) {
            return next;
        }
        let mut block: Block = (*next.block).clone();
        block.header.timestamp.0 += 1;
        next.digest = block.header.digest(self.genesis);
        next.block = Arc::new(block);
        next
    }

    /// What happens after a block was executed: once, the first payee of a payment is credited again.
    pub(crate) fn executed(&self, node: u16, block: &FinalBlock, store: &dyn Store) {
        let height = block.block.header.height;
        let is_planted =
            self.double_credit.is_some_and(|(planted, from)| planted == node && height.0 >= from);
        if !is_planted || self.was_credited.load(Ordering::Relaxed) {
            return;
        }
        if let Some(payment) = first_applied_payment(block, store, height, self.genesis)
            && credit(store, payment)
        {
            self.was_credited.store(true, Ordering::Relaxed);
        }
    }
}

impl WrongReceipt {
    fn new(chain: u32, from: u64, wrong: Wrong) -> Self {
        Self { chain: ChainId(chain), from, wrong, height: Arc::default() }
    }

    /// What is executed instead of these receipts, where there is anything to do wrong.
    fn spoiled(&self, receipts: &[Receipt]) -> Option<Vec<Receipt>> {
        let again = match self.wrong {
            Wrong::Lost => {
                return receipts.split_first().map(|(_, rest)| rest.to_vec()).filter(|rest| !rest.is_empty());
            }
            Wrong::LastTwice => receipts.last(),
            Wrong::MoveTwice => receipts.iter().find(|receipt| matches!(receipt, Receipt::Move { .. })),
            Wrong::SentOnTwice => {
                receipts.iter().find(|receipt| matches!(receipt, Receipt::Credit { origin: Some(_), .. }))
            }
        };
        Some(receipts.iter().chain([again?]).cloned().collect())
    }

    /// Changes what a node executes, if this is the block.
    fn spoil(&self, next: &mut FinalBlock) {
        let (chain, height) = (next.block.header.chain, next.block.header.height.0);
        if chain != self.chain || height < self.from {
            return;
        }
        let spoiled = next.bundles.iter_mut().find_map(|bundle| {
            let receipts = self.spoiled(&bundle.receipts)?;
            Some((bundle, receipts))
        });
        let Some((bundle, receipts)) = spoiled else { return };
        let mut planted = self.height.lock().unwrap_or_else(PoisonError::into_inner);
        if *planted.get_or_insert(height) == height {
            *bundle = Arc::new(Bundle { receipts, ..Bundle::clone(bundle) });
        }
    }
}

fn first_applied_payment(
    block: &FinalBlock,
    store: &dyn Store,
    height: Height,
    genesis: GenesisHash,
) -> Option<Payment> {
    let outcomes = Archive::new(store).outcomes(height).ok()??;
    let applied: BTreeSet<_> =
        outcomes.iter().filter(|outcome| outcome.is_applied()).map(|outcome| outcome.id).collect();
    let transactions = block.batches.iter().flat_map(|batch| &batch.content.transactions);
    transactions.filter(|transaction| applied.contains(&transaction.id(genesis))).find_map(|transaction| {
        match &transaction.content.operation {
            Operation::Pay { payments } => payments.first().copied(),
            _ => None,
        }
    })
}

fn credit(store: &dyn Store, payment: Payment) -> bool {
    let Ok(Some((slot, Record::Wallet(mut wallet)))) = Archive::new(store).wallet(payment.payee) else {
        return false;
    };
    let Some(balance) = wallet.balance.plus(payment.amount) else { return false };
    wallet.balance = balance;
    let mut set = WriteSet::new();
    set.put(Table::Records, key::slot(slot.0), Record::Wallet(wallet).encode());
    store.write(set, Durability::Synced).is_ok()
}
