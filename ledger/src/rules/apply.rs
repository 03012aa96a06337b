//! What every operation has in common. The transaction's nonce is already consumed and its fee charged: whatever happens here is
//! terminal.

use std::sync::Arc;

use super::chain_rules::ChainRules;
use super::{
    accept, claim, decline, exchange, govern, issue, lock, offers, open_wallets, pay, redeem, withdraw,
};
use crate::records::{
    HistoryEntry, LockState, Movement, MovementKind, OfferState, Operation, Receipt, Record, Registry,
    Rejection, SupplyTerms, WalletRecord, WalletStatus,
};
use crate::state::id_tree::IdTree;
use crate::state::outbox::{RECEIPTS_TAG, receipt_leaf};
use crate::state::overlay::{Overlay, Place};
use crate::state::shares::{LOCKS_PER_BLOCK_MAX, Share, Shares};
use crate::state::{Moving, Outbox, SentReceipt};
use crate::values::{Amount, AppendTree, ChainId, Height, TimestampMs, TransactionId, WalletId};

/// Most payments to other chains that one block makes: whoever proves a receipt reads all that its block has sent to the same chain.
/// Refunds are not counted; the receipts that a block executes bound them.
pub const BLOCK_SENT_MAX: usize = 8_192;

/// A chain's state while a block is executed.
#[derive(Debug)]
pub struct Working<'a> {
    /// The chain's rules, for the whole block.
    pub rules: &'a ChainRules,
    /// The height that is executed.
    pub height: Height,
    /// The registry of the next height, where the block has changed it.
    pub registry: Option<Arc<Registry>>,
    /// Approvals whose signatures were checked, and the operators whose proposal then failed.
    pub approvals: govern::Checked,
    /// The touched records.
    pub overlay: Overlay,
    /// The names of all records before the block; none in a forecast.
    pub names: Option<&'a IdTree>,
    /// The supply terms; holdings follow from the tree at the end.
    pub supply: SupplyTerms,
    /// What was sent to other chains.
    pub outboxes: Vec<Outbox>,
    /// Receipts sent by this block.
    pub sent: Vec<SentReceipt>,
    /// A chain to which a receipt could not be sent: the block is not executed then.
    pub unsent: Option<ChainId>,
    /// How far the chain's wallets had moved to a child before the block, where they do.
    pub moving: Option<Moving>,
    /// Receipts that the block leaves room for, for wallets that move.
    pub reserved: usize,
    /// What wallets' owners will read.
    pub history: Vec<HistoryEntry>,
    /// The block's timestamp.
    pub now: TimestampMs,
    /// Deadlines before this moment have passed ([`crate::state::StateHead::overdue_before`]).
    pub overdue_before: Option<TimestampMs>,
    /// Open deadlines before the block, and those that it has added.
    pub open: Shares,
    /// Locks and offers that it has made.
    pub made: Shares,
}

/// The transaction that is applied, as its operation sees it.
#[derive(Debug, Clone, Copy)]
pub struct Acting<'a> {
    /// The transaction.
    pub id: TransactionId,
    /// Place of the wallet that acts and pays.
    pub signer: Place,
    /// The wallet before the operation: its nonce is used, its fee paid.
    pub wallet: &'a WalletRecord,
    /// Position among all transactions of the block.
    pub index: u32,
    /// Ids of the wallets that an `OpenWallets` would open, in order.
    pub openings: &'a [WalletId],
}

/// Applies one operation: guards, then writes. On a rejection nothing has changed.
///
/// # Errors
/// The first guard that does not hold, in the order of the codes.
pub fn apply(working: &mut Working<'_>, acting: Acting<'_>, operation: &Operation) -> Result<(), Rejection> {
    if is_stopped(acting.wallet, operation) {
        return Err(Rejection::WalletFrozen);
    }
    match operation {
        Operation::Pay { payments } => pay::pay(working, acting, payments),
        Operation::OpenWallets { wallets } => open_wallets::open_wallets(working, acting, wallets),
        Operation::Issue { to, amount } => issue::issue(working, acting, to, *amount),
        Operation::Redeem { amount } => redeem::redeem(working, acting, *amount),
        Operation::Lock { payee, amount, hash, deadline } => {
            lock::lock(working, acting, (*payee, *amount), *hash, *deadline)
        }
        Operation::Claim { lock, preimage } => claim::claim(working, acting, *lock, *preimage),
        Operation::Exchange { payee, amount, chain, asked, deadline } => {
            exchange::exchange(working, acting, (*payee, *amount), (*chain, *asked), *deadline)
        }
        Operation::Accept { offer, payee, amount, receives, source, to } => {
            accept::accept(working, acting, *offer, (*payee, *amount), (*source, *to, *receives))
        }
        Operation::Decline { offer } => decline::decline(working, acting, *offer),
        Operation::Withdraw { lock } => withdraw::withdraw(working, acting, *lock),
        Operation::Govern { proposal, approvals } => govern::govern(working, acting, proposal, approvals),
    }
}

/// Whether the wallet is frozen and the operation would take something out of it. A claim only brings in what was locked for it, and its
/// preimage is public by now.
pub(super) fn is_stopped(wallet: &WalletRecord, operation: &Operation) -> bool {
    wallet.status == WalletStatus::Frozen && !matches!(operation, Operation::Claim { .. })
}

impl Working<'_> {
    /// Sets a balance that the guards have computed.
    pub(super) fn set_balance(&mut self, place: Place, balance: Amount) {
        if let Some(wallet) = self.overlay.wallet_mut(place) {
            wallet.balance = balance;
        }
    }

    /// The registry as the block has changed it so far.
    pub(super) fn registry(&self) -> &Arc<Registry> {
        self.registry.as_ref().unwrap_or(&self.rules.registry)
    }

    /// Changes the registry from the next height on.
    pub(super) fn set_registry(&mut self, registry: Registry) {
        self.registry = Some(Arc::new(registry));
    }

    /// Whether this block may send `receipts` more in all.
    pub(super) fn has_room_for(&self, receipts: usize) -> bool {
        self.sent.len().saturating_add(receipts) <= BLOCK_SENT_MAX.saturating_sub(self.reserved)
    }

    /// Whether this block may make one more lock or offer.
    pub(super) fn may_make(&self, share: Share) -> bool {
        self.made.count(share) < LOCKS_PER_BLOCK_MAX
    }

    /// Whether one more with a deadline may be open as well.
    pub(super) fn may_open(&self, share: Share) -> bool {
        let open_max = share.open_max(self.rules.registry.chains.len());
        self.may_make(share) && self.open.count(share) < open_max
    }

    /// Whether a deadline has passed.
    pub(super) fn is_overdue(&self, deadline: TimestampMs) -> bool {
        self.overdue_before.is_some_and(|moment| deadline < moment)
    }

    /// Says what became of an open lock.
    pub(super) fn close_lock(&mut self, place: Place, state: LockState) {
        if let Some(Record::Lock(lock)) = self.overlay.record_mut(place) {
            lock.state = state;
        }
    }

    /// Decides an open offer and tells the lock's chain.
    pub(super) fn decide(&mut self, place: Place, state: OfferState) {
        if let Some(Record::Offer(offer)) = self.overlay.record_mut(place) {
            offer.state = state;
            let (source, decision) = (offer.source, offers::decision(offer));
            self.send(source, decision);
        }
    }

    /// Gives money that is never refused: neither cap nor freeze nor closure does (PROTOCOL rule 23). Records are never deleted, and a
    /// lock pins its owner, so it is there. Were it not, the money would follow it as a refund; without any record it would go to the
    /// suspense record.
    pub(super) fn give(
        &mut self,
        at: (u32, usize),
        owner: WalletId,
        kind: MovementKind,
        counterparty: WalletId,
        amount: Amount,
    ) {
        let found = self.overlay.find(&owner).and_then(|place| self.overlay.wallet(place));
        if let Some(WalletStatus::Moved { to }) = found.map(|wallet| wallet.status) {
            let (chain, code) = (self.rules.chain, Rejection::PayeeMoved.code());
            self.send(
                to,
                Receipt::Refund { chain, credit: 0, payer: owner, payee: counterparty, amount, code },
            );
            return;
        }
        let given = |place: Place| Some((place, self.overlay.wallet(place)?.balance.plus(amount)?));
        match self.overlay.find(&owner).and_then(given) {
            Some((place, balance)) => {
                self.set_balance(place, balance);
                self.note(at, place, kind, counterparty, amount);
            }
            None => self.overlay.add_to_suspense(amount),
        }
    }

    /// Whether this block may send `receipts` more, and a chain take them.
    pub(super) fn has_room(&self, destination: ChainId, receipts: usize) -> bool {
        let sent = self.supply.pair(destination).sent;
        self.has_room_for(receipts)
            && u64::try_from(receipts).is_ok_and(|receipts| sent.count.checked_add(receipts).is_some())
    }

    /// Sends a receipt; there is room for it. Were there none, [`Self::unsent`] says so and the block is not executed: a decision or an
    /// offer carries no money, so no equation would miss it.
    pub(super) fn send(&mut self, destination: ChainId, receipt: Receipt) {
        let mut pair = self.supply.pair(destination);
        let sequence = pair.sent.count;
        let place = match self.outboxes.binary_search_by_key(&destination, |outbox| outbox.chain) {
            Ok(place) => place,
            Err(place) => {
                self.outboxes.insert(place, Outbox { chain: destination, tree: AppendTree::default() });
                place
            }
        };
        if let (Some(outbox), Some(sent)) = (self.outboxes.get_mut(place), pair.sent.plus(receipt.value()))
            && outbox.tree.append(RECEIPTS_TAG, receipt_leaf(&receipt, pair.sent.total))
        {
            pair.sent = sent;
            self.supply.set_pair(pair);
            self.sent.push(SentReceipt { destination, sequence, receipt });
        } else {
            self.unsent = Some(destination);
        }
    }

    /// Notes a movement for the owner of the wallet at `place`.
    pub(super) fn note(
        &mut self,
        (index, part): (u32, usize),
        place: Place,
        kind: MovementKind,
        counterparty: WalletId,
        amount: Amount,
    ) {
        let part = u16::try_from(part).unwrap_or(u16::MAX);
        let movement = Movement { kind, counterparty, amount };
        self.history.push(HistoryEntry { slot: self.overlay.slot(place), index, part, movement });
    }
}
