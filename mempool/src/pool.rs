//! Takes transactions in within bounds, and gives them out by turns of operators, best bid first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use fees::{Backlog, Tally, Waiting};
use ledger::records::{Nonce, Transaction};
use ledger::values::{FeeRate, Height, OperatorId, TimestampMs, TransactionId, WalletId};

use crate::bid::{Bid, Rank, replaces};
use crate::funds::{Balance, Funds, Promise};
use crate::held::Held;
use crate::queue::{Queue, Waits};

/// Most transactions that wait.
pub const POOL_TRANSACTIONS_MAX: usize = 100_000;
/// Most encoded bytes that wait: about 130,000 single payments, so the count is usually met first.
pub const POOL_BYTES_MAX: usize = 32 << 20;
/// Most places that one wallet takes: as many as its nonce window lets execute.
pub const WALLET_TRANSACTIONS_MAX: usize = 128;
/// Most places that the customers of one operator take.
pub const OPERATOR_TRANSACTIONS_MAX: usize = POOL_TRANSACTIONS_MAX / 2;
/// Weight that an operator may take in one turn, and so the most by which it delays another, but for one transaction: about 200 payments.
pub const QUANTUM_WEIGHT: u64 = 131_072;
/// Most transactions that make room for one.
pub const EVICTIONS_MAX: usize = 64;

/// A transaction that was admitted: decoded, signature checked, trial-executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooled {
    /// Its id.
    pub id: TransactionId,
    /// The transaction.
    pub transaction: Transaction,
    /// Length of its encoding.
    pub bytes: usize,
    /// Its weight.
    pub weight: u64,
    /// The operator of the wallet that signed it.
    pub operator: OperatorId,
    /// Whether the wallet's tier owes no base fee.
    pub is_exempt: bool,
    /// What the payer of its fee had when it was tried.
    pub balance: Balance,
    /// The base fee at which it was tried.
    pub base_fee: FeeRate,
}

/// Why a transaction found no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolRefusal {
    /// It is waiting already: nothing to do.
    #[error("the transaction is waiting already")]
    Known,
    /// Another transaction of the wallet holds the nonce, and bids about as much.
    #[error(
        "another transaction with this nonce is waiting; only a bid that is a tenth higher takes its place"
    )]
    NonceTaken {
        /// The one that holds it.
        holder: TransactionId,
    },
    /// The payer has promised to what waits what this one would cost now.
    #[error("what waits may cost its payer {payer} so much that the fee is not covered as well")]
    FeePromised {
        /// Who would pay.
        payer: WalletId,
    },
    /// The wallet has its share of places.
    #[error("the wallet has {WALLET_TRANSACTIONS_MAX} transactions waiting")]
    WalletFull,
    /// The operator's customers have their share of places, and bid more.
    #[error(
        "the customers of this operator have {OPERATOR_TRANSACTIONS_MAX} transactions waiting, all with higher bids"
    )]
    OperatorFull,
    /// No place for a bid like this.
    #[error("the pool is full of higher bids")]
    Full,
}

/// How much is taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeLimits {
    /// Most transactions.
    pub count_max: usize,
    /// Most encoded bytes.
    pub bytes_max: usize,
    /// Most weight.
    pub weight_max: u64,
    /// What cannot pay this base fee stays.
    pub base_fee: FeeRate,
    /// Where there is a base fee, what is valid no longer than this stays: it may find its block too late.
    pub valid_after: TimestampMs,
}

/// What is remembered of a transaction that was taken, until it was executed or is given back.
#[derive(Debug, Clone, Copy)]
struct Taken {
    wallet: WalletId,
    nonce: Nonce,
    bytes: usize,
    weight: u64,
    operator: OperatorId,
    is_exempt: bool,
    balance: Balance,
    base_fee: FeeRate,
    promise: Promise,
}

/// A transaction that waits.
#[derive(Debug)]
struct Place {
    rank: Rank,
    promise: Promise,
    pooled: Pooled,
}

/// The transactions that wait.
///
/// What is only looked up lies in hash tables with random keys, because clients choose what is looked up; what is walked over lies in order, so
/// that equal inputs give equal outputs.
#[derive(Debug, Default)]
pub struct Pool {
    waiting: HashMap<TransactionId, Place>,
    operators: BTreeMap<OperatorId, Queue>,
    /// When each that waits can no longer execute: one place for each.
    expiries: BTreeSet<(TimestampMs, TransactionId)>,
    /// Who holds each nonce: what waits, and what was taken.
    nonces: HashMap<(WalletId, Nonce), TransactionId>,
    /// Bounded by the batches that the taker may have under way.
    taken: HashMap<TransactionId, Taken>,
    /// What payers owe for both, at most.
    funds: Funds,
    /// Nonces that batches hold which may still be executed.
    held: Held,
    tally: Tally,
    wallets: HashMap<WalletId, usize>,
    bytes: usize,
    weight: u64,
    next_arrival: u64,
    /// Whose turn is next, and whether it has begun.
    turn: (OperatorId, bool),
}

impl Pool {
    /// Transactions waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Encoded bytes waiting.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Weight waiting.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Whether the transaction is waiting.
    #[must_use]
    pub fn contains(&self, id: &TransactionId) -> bool {
        self.waiting.contains_key(id)
    }

    /// What waits, as the fee estimator sees it. Kept up to date as transactions come and go: its cost does not grow with the pool.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.tally.backlog()
    }

    /// Takes in a transaction. Answers which others left for it: one with the same nonce that bid less, or the lowest bids of a full pool.
    ///
    /// Where its payer has promised the most of its fee to what waits, it waits for a base fee that the rest can pay.
    ///
    /// # Errors
    /// [`PoolRefusal`]; the pool is unchanged.
    pub fn insert(&mut self, pooled: Pooled) -> Result<Vec<TransactionId>, PoolRefusal> {
        let content = &pooled.transaction.content;
        if self.contains(&pooled.id) || self.taken.contains_key(&pooled.id) {
            return Err(PoolRefusal::Known);
        }
        let holder = self.nonces.get(&(content.wallet, content.nonce));
        let instead = holder.and_then(|holder| self.waiting.get(holder)).map(|place| &place.promise);
        let (fee_max, tip) = (content.fee.fee_max, content.fee.tip);
        let most = if pooled.is_exempt { tip.min(fee_max) } else { fee_max };
        let funds = self.funds.left(content, pooled.balance, instead).min(most);
        let is_covered = || {
            let now = pooled.base_fee.due(pooled.weight).plus(tip);
            funds == most || pooled.base_fee.is_zero() || now.is_some_and(|now| now <= funds)
        };
        if !pooled.is_exempt && !is_covered() {
            return Err(PoolRefusal::FeePromised { payer: content.payer() });
        }
        let promise = Promise::new(content, funds);
        self.place(pooled, promise)
    }

    /// Finds a place for it.
    fn place(&mut self, pooled: Pooled, promise: Promise) -> Result<Vec<TransactionId>, PoolRefusal> {
        let content = &pooled.transaction.content;
        let bid = Bid::new(&content.fee, promise.fee, pooled.weight, pooled.is_exempt);
        let leaves = match self.nonces.get(&(content.wallet, content.nonce)) {
            Some(holder) => vec![self.replaced(*holder, &pooled)?],
            None if self.places(&content.wallet) >= WALLET_TRANSACTIONS_MAX => {
                return Err(PoolRefusal::WalletFull);
            }
            None => self.evicted(&pooled, bid)?,
        };
        for id in &leaves {
            self.remove(id);
        }
        self.add(pooled, bid, promise);
        Ok(leaves)
    }

    fn places(&self, wallet: &WalletId) -> usize {
        self.wallets.get(wallet).copied().unwrap_or(0)
    }

    /// The holder of the nonce, where it waits and has to give way. It frees its own place, so only bytes can be wanting.
    fn replaced(&self, holder: TransactionId, new: &Pooled) -> Result<TransactionId, PoolRefusal> {
        let old = self.waiting.get(&holder).map(|place| &place.pooled);
        match old {
            Some(old) if replaces(&new.transaction.content.fee, &old.transaction.content.fee) => {
                let bytes = self.bytes.saturating_sub(old.bytes).saturating_add(new.bytes);
                if bytes <= POOL_BYTES_MAX { Ok(holder) } else { Err(PoolRefusal::Full) }
            }
            _ => Err(PoolRefusal::NonceTaken { holder }),
        }
    }

    /// Which transactions leave so that a new one finds a place: none while there is room.
    fn evicted(&self, new: &Pooled, bid: Bid) -> Result<Vec<TransactionId>, PoolRefusal> {
        let own = self.operators.get(&new.operator);
        if own.is_some_and(|own| own.len() >= OPERATOR_TRANSACTIONS_MAX) {
            let lowest = own.and_then(|own| own.lowest().next()).filter(|(rank, _)| rank.bid.0 < bid);
            let (_, lowest) = lowest.ok_or(PoolRefusal::OperatorFull)?;
            let bytes = self.bytes.saturating_sub(lowest.bytes).saturating_add(new.bytes);
            return if bytes <= POOL_BYTES_MAX {
                Ok(vec![lowest.id])
            } else {
                Err(PoolRefusal::OperatorFull)
            };
        }
        let mut bytes = self.bytes.saturating_add(new.bytes);
        let mut count = self.len() + 1;
        if bytes <= POOL_BYTES_MAX && count <= POOL_TRANSACTIONS_MAX {
            return Ok(Vec::new());
        }
        // The operator with the most weight gives way to others, and to higher bids of its own customers.
        let heaviest =
            self.operators.iter().max_by_key(|(operator, queue)| (queue.weight(), Reverse(**operator)));
        let (heaviest, queue) = heaviest.ok_or(PoolRefusal::Full)?;
        let mut leaves = Vec::new();
        for (rank, lowest) in queue.lowest().take(EVICTIONS_MAX) {
            if *heaviest == new.operator && rank.bid.0 >= bid {
                break;
            }
            leaves.push(lowest.id);
            bytes = bytes.saturating_sub(lowest.bytes);
            count -= 1;
            if bytes <= POOL_BYTES_MAX && count <= POOL_TRANSACTIONS_MAX {
                return Ok(leaves);
            }
        }
        Err(PoolRefusal::Full)
    }

    fn add(&mut self, pooled: Pooled, bid: Bid, promise: Promise) {
        let content = &pooled.transaction.content;
        let (wallet, nonce, id) = (content.wallet, content.nonce, pooled.id);
        let rank = Rank { bid: Reverse(bid), arrival: self.next_arrival };
        self.next_arrival += 1;
        *self.wallets.entry(wallet).or_default() += 1;
        self.nonces.insert((wallet, nonce), id);
        self.bytes += pooled.bytes;
        self.weight = self.weight.saturating_add(pooled.weight);
        self.tally.add(waiting(rank, pooled.weight));
        self.funds.promise(&promise);
        let is_held = self.held.contains(wallet, nonce);
        let valid_until = content.valid_until;
        let waits = Waits { id, weight: pooled.weight, bytes: pooled.bytes, valid_until, is_held };
        self.operators.entry(pooled.operator).or_default().insert(rank, waits);
        self.expiries.insert((valid_until, id));
        self.waiting.insert(id, Place { rank, promise, pooled });
    }

    /// Takes out the best transactions within the limits, operators by turns. Stops at the first that does not fit: its operator goes on the
    /// next time. Each keeps its nonce until [`Self::settle`] or [`Self::give_back`] is told of it.
    pub fn take(&mut self, limits: TakeLimits) -> Vec<Pooled> {
        let mut taken = Vec::new();
        let (mut bytes, mut weight) = (0_usize, 0_u64);
        let (first, has_begun) = self.turn;
        let mut turns: VecDeque<(OperatorId, Option<Rank>)> = self
            .operators
            .range(first..)
            .chain(self.operators.range(..first))
            .map(|(id, _)| (*id, None))
            .collect();
        let mut is_resumed = has_begun && self.operators.contains_key(&first);
        while let Some((operator, mut last)) = turns.pop_front() {
            let Some(queue) = self.operators.get_mut(&operator) else { continue };
            if !std::mem::take(&mut is_resumed) {
                queue.credit = queue.credit.saturating_add(QUANTUM_WEIGHT);
            }
            while let Some(queue) = self.operators.get_mut(&operator) {
                let Some((rank, waits)) = queue.next(last, (limits.base_fee, limits.valid_after)) else {
                    queue.credit = 0;
                    break;
                };
                if waits.weight > queue.credit {
                    turns.push_back((operator, last));
                    break;
                }
                let next_bytes = bytes.saturating_add(waits.bytes);
                let next_weight = weight.saturating_add(waits.weight);
                if taken.len() >= limits.count_max
                    || next_bytes > limits.bytes_max
                    || next_weight > limits.weight_max
                {
                    self.turn = (operator, true);
                    return taken;
                }
                queue.credit = queue.credit.saturating_sub(waits.weight);
                (bytes, weight, last) = (next_bytes, next_weight, Some(rank));
                taken.extend(self.take_one(&waits.id));
            }
        }
        self.turn.1 = false;
        taken
    }

    fn take_one(&mut self, id: &TransactionId) -> Option<Pooled> {
        let Place { promise, pooled, .. } = self.leave(id)?;
        let Pooled { bytes, weight, operator, is_exempt, balance, base_fee, .. } = pooled;
        let (wallet, nonce) = (pooled.transaction.content.wallet, pooled.transaction.content.nonce);
        // Its nonce stays taken: another version of it would only be charged to whoever seals it.
        self.nonces.insert((wallet, nonce), *id);
        self.taken.insert(
            *id,
            Taken { wallet, nonce, bytes, weight, operator, is_exempt, balance, base_fee, promise },
        );
        Some(pooled)
    }

    /// The block of this height held a transaction, executed or not: it waits no longer, and its nonce is nobody's.
    pub fn settle(&mut self, id: &TransactionId, height: Height) {
        let taken = self.taken.remove(id).map(|taken| {
            self.nonces.remove(&(taken.wallet, taken.nonce));
            taken.promise
        });
        let promise = taken.or_else(|| Some(self.leave(id)?.promise));
        if let Some(promise) = promise {
            self.funds.keep(&promise, height);
        }
    }

    /// A transaction that was taken waits again, in the turns of its operator as before. Answers which others left for it; `None` where it was
    /// settled meanwhile.
    ///
    /// # Errors
    /// [`PoolRefusal`]: no place for it; it is settled.
    pub fn give_back(
        &mut self,
        id: TransactionId,
        transaction: Transaction,
    ) -> Option<Result<Vec<TransactionId>, PoolRefusal>> {
        let Taken { wallet, nonce, bytes, weight, operator, is_exempt, balance, base_fee, promise } =
            self.taken.remove(&id)?;
        self.nonces.remove(&(wallet, nonce));
        self.funds.release(&promise);
        let pooled = Pooled { id, transaction, bytes, weight, operator, is_exempt, balance, base_fee };
        // It was covered when it came, so its promise stays what it was.
        Some(self.place(pooled, promise))
    }

    /// Takes out one transaction that waits.
    pub fn remove(&mut self, id: &TransactionId) -> Option<Pooled> {
        let Place { promise, pooled, .. } = self.leave(id)?;
        self.funds.release(&promise);
        Some(pooled)
    }

    /// Takes out what waits; its payer's promise stays.
    fn leave(&mut self, id: &TransactionId) -> Option<Place> {
        let place = self.waiting.remove(id)?;
        let Place { rank, pooled, .. } = &place;
        let (wallet, nonce) = (pooled.transaction.content.wallet, pooled.transaction.content.nonce);
        self.expiries.remove(&(pooled.transaction.content.valid_until, *id));
        self.nonces.remove(&(wallet, nonce));
        if let Some(places) = self.wallets.get_mut(&wallet) {
            *places -= 1;
            if *places == 0 {
                self.wallets.remove(&wallet);
            }
        }
        if let Some(queue) = self.operators.get_mut(&pooled.operator) {
            queue.remove(rank);
            if queue.is_empty() {
                self.operators.remove(&pooled.operator);
            }
        }
        self.tally.remove(waiting(*rank, pooled.weight));
        self.bytes -= pooled.bytes;
        self.weight = self.weight.saturating_sub(pooled.weight);
        Some(place)
    }

    /// A valid batch holds these nonces, whoever sealed it: while weight has a price, what waits with one of them is not sealed. One of the
    /// two would be executed, the other charged to its sealer.
    pub fn hold(&mut self, nonces: impl IntoIterator<Item = (WalletId, Nonce)>) {
        for (wallet, nonce) in nonces {
            if self.held.add(wallet, nonce) {
                self.mark(wallet, nonce, true);
            }
        }
    }

    /// A batch that held these nonces was executed, or never will be; the opposite of [`Self::hold`], once for each.
    pub fn free(&mut self, nonces: impl IntoIterator<Item = (WalletId, Nonce)>) {
        for (wallet, nonce) in nonces {
            if self.held.remove(wallet, nonce) {
                self.mark(wallet, nonce, false);
            }
        }
    }

    /// No batch holds any nonce, as far as anybody wants to know.
    pub fn free_all(&mut self) {
        for (wallet, nonce) in self.held.clear() {
            self.mark(wallet, nonce, false);
        }
    }

    fn mark(&mut self, wallet: WalletId, nonce: Nonce, is_held: bool) {
        let place = self.waiting_with(wallet, nonce).and_then(|id| self.waiting.get(&id));
        if let Some(Place { rank, pooled, .. }) = place
            && let Some(queue) = self.operators.get_mut(&pooled.operator)
        {
            queue.mark(rank, is_held);
        }
    }

    /// The transaction that waits with this nonce.
    #[must_use]
    pub fn waiting_with(&self, wallet: WalletId, nonce: Nonce) -> Option<TransactionId> {
        self.nonces.get(&(wallet, nonce)).copied().filter(|id| self.contains(id))
    }

    /// Drops what can no longer execute and says what it was, the first to expire first. Takes time in proportion to what it drops.
    pub fn expire(&mut self, now: TimestampMs) -> Vec<TransactionId> {
        let expired = self.expiries.iter().take_while(|(valid_until, _)| *valid_until < now);
        let expired: Vec<_> = expired.map(|(_, id)| *id).collect();
        for id in &expired {
            self.remove(id);
        }
        expired
    }
}

fn waiting(rank: Rank, weight: u64) -> Waiting {
    Waiting { tip_rate: rank.bid.0.tip, fee_rate: rank.bid.0.ceiling, weight }
}

#[cfg(test)]
mod tests {
    use ledger::records::{FeeBid, Operation, Policy, TransactionContent};
    use ledger::values::{Amount, ChainId, PublicKey};
    use proptest::prelude::*;

    use super::*;

    const WEIGHT: u64 = 1_000;

    /// Whose, which, what it bids.
    #[derive(Debug, Clone, Copy)]
    struct Made {
        operator: u16,
        wallet: u8,
        sequence: u64,
        fee_max: u64,
        tip: u64,
    }

    const PLAIN: Made = Made { operator: 1, wallet: 1, sequence: 1, fee_max: 0, tip: 0 };

    fn pooled(made: Made) -> Pooled {
        let operator = OperatorId(made.operator);
        let mut wallet = [made.wallet; 32];
        wallet[..2].copy_from_slice(&made.operator.to_le_bytes());
        let content = TransactionContent {
            network: [0; 4],
            chain: ChainId(0),
            wallet: WalletId(wallet),
            nonce: Nonce { lane: 0, sequence: made.sequence },
            valid_until: TimestampMs(10),
            fee: FeeBid {
                fee_max: Amount::from_fen(made.fee_max),
                tip: Amount::from_fen(made.tip),
                operator,
                sponsor: None,
            },
            policy: Policy::single(PublicKey([1; 32])),
            operation: Operation::Redeem { amount: Amount::from_fen(made.sequence) },
        };
        let id = content.id(ledger::values::GenesisHash::default());
        let transaction = Transaction { content, signatures: Vec::new(), sponsor_signatures: Vec::new() };
        let balance = Balance { amount: Amount::from_fen(u64::MAX), after: Height(0) };
        let (weight, base_fee) = (WEIGHT, FeeRate::ZERO);
        Pooled { id, transaction, bytes: 200, weight, operator, is_exempt: false, balance, base_fee }
    }

    fn limits(count_max: usize) -> TakeLimits {
        let (base_fee, valid_after) = (FeeRate::ZERO, TimestampMs(0));
        TakeLimits { count_max, bytes_max: usize::MAX, weight_max: u64::MAX, base_fee, valid_after }
    }

    fn sequences(taken: &[Pooled]) -> Vec<u64> {
        taken.iter().map(|pooled| pooled.transaction.content.nonce.sequence).collect()
    }

    #[test]
    fn leaves_by_bid_then_in_the_order_of_arrival() {
        let mut pool = Pool::default();
        let bids = [(3, 0, 0), (1, 0, 0), (2, 0, 0), (4, 9, 0), (5, 9, 3), (6, 3, 3)];
        for (sequence, fee_max, tip) in bids {
            pool.insert(pooled(Made { sequence, fee_max, tip, ..PLAIN })).unwrap();
        }
        assert_eq!(sequences(&pool.take(limits(4))), [5, 6, 4, 3]);
        assert_eq!((pool.len(), pool.bytes(), pool.weight()), (2, 400, 2 * WEIGHT));
    }

    #[test]
    fn stops_before_bytes_or_weight_run_over() {
        let mut pool = Pool::default();
        for sequence in 1..=8 {
            pool.insert(pooled(Made { sequence, ..PLAIN })).unwrap();
        }
        assert_eq!(pool.take(TakeLimits { bytes_max: 599, ..limits(5) }).len(), 2);
        assert_eq!(pool.take(TakeLimits { weight_max: 3 * WEIGHT + 999, ..limits(5) }).len(), 3);
        assert_eq!(sequences(&pool.take(limits(9))), [6, 7, 8]);
    }

    #[test]
    fn what_cannot_pay_the_base_fee_waits_until_it_can() {
        let mut pool = Pool::default();
        for (sequence, fee_max) in [(1, 0), (2, 5), (3, 2)] {
            pool.insert(pooled(Made { sequence, fee_max, ..PLAIN })).unwrap();
        }
        let mut exempt = pooled(Made { sequence: 4, ..PLAIN });
        exempt.is_exempt = true;
        pool.insert(exempt).unwrap();
        let at = |base_fee| TakeLimits { base_fee: FeeRate::from_micro_fen(base_fee), ..limits(9) };
        assert_eq!(sequences(&pool.take(at(5_000))), [4, 2]);
        assert_eq!(sequences(&pool.take(at(3_000))), Vec::<u64>::new());
        assert_eq!(sequences(&pool.take(at(2_000))), [3]);
        assert_eq!(sequences(&pool.take(at(0))), [1]);
    }

    #[test]
    fn a_flood_of_one_operator_delays_another_by_its_turn_only() {
        let mut pool = Pool::default();
        for number in 0..2_000_u64 {
            let (wallet, sequence) = ((number % 100) as u8, number / 100 + 1);
            pool.insert(pooled(Made { operator: 1, wallet, sequence, fee_max: 1_000, tip: 1_000 })).unwrap();
        }
        // However high the flood bids.
        pool.insert(pooled(Made { operator: 2, sequence: 77, ..PLAIN })).unwrap();
        let taken = pool.take(limits(2_001));
        let before = taken.iter().position(|pooled| pooled.operator == OperatorId(2)).unwrap() as u64;
        assert!(before > 0 && before * WEIGHT <= QUANTUM_WEIGHT + WEIGHT, "{before}");
        assert_eq!(taken.len(), 2_001);
    }

    #[test]
    fn turns_go_on_where_a_batch_was_full() {
        let mut pool = Pool::default();
        for operator in [1, 2, 3] {
            for number in 0..900_u64 {
                let (wallet, sequence) = ((number % 50) as u8, number / 50 + 1);
                pool.insert(pooled(Made { operator, wallet, sequence, ..PLAIN })).unwrap();
            }
        }
        let mut counts = BTreeMap::<OperatorId, i64>::new();
        let turn = i64::try_from(QUANTUM_WEIGHT / WEIGHT).unwrap();
        while pool.len() > 700 {
            for pooled in pool.take(limits(37)) {
                *counts.entry(pooled.operator).or_default() += 1;
            }
            let (most, least) = (counts.values().max().unwrap(), counts.values().min().unwrap());
            assert!(counts.len() < 3 || most - least <= turn + 1, "{counts:?}");
        }
        assert_eq!(counts.len(), 3);
    }

    #[test]
    fn refuses_by_the_tightest_bound() {
        let mut pool = Pool::default();
        let first = pooled(PLAIN);
        pool.insert(first.clone()).unwrap();
        assert_eq!(pool.insert(first.clone()), Err(PoolRefusal::Known));
        let mut other = pooled(Made { fee_max: 0, ..PLAIN });
        other.id = TransactionId([9; 32]);
        assert_eq!(pool.insert(other), Err(PoolRefusal::NonceTaken { holder: first.id }));
        for sequence in 2..=WALLET_TRANSACTIONS_MAX as u64 {
            pool.insert(pooled(Made { sequence, ..PLAIN })).unwrap();
        }
        assert_eq!(pool.insert(pooled(Made { sequence: 1_000, ..PLAIN })), Err(PoolRefusal::WalletFull));
        let mut large = pooled(Made { operator: 2, ..PLAIN });
        large.bytes = POOL_BYTES_MAX;
        assert_eq!(pool.insert(large), Err(PoolRefusal::Full));
        assert_eq!(pool.len(), WALLET_TRANSACTIONS_MAX);
    }

    #[test]
    fn a_higher_bid_takes_the_place_of_its_nonce() {
        let mut pool = Pool::default();
        let low = pooled(Made { fee_max: 100, ..PLAIN });
        pool.insert(low.clone()).unwrap();
        let little = pooled(Made { fee_max: 105, ..PLAIN });
        assert_eq!(pool.insert(little), Err(PoolRefusal::NonceTaken { holder: low.id }));
        let high = pooled(Made { fee_max: 110, ..PLAIN });
        assert_eq!(pool.insert(high.clone()), Ok(vec![low.id]));
        let taken = pool.take(limits(9));
        assert_eq!(taken, std::slice::from_ref(&high));
        pool.settle(&high.id, Height(1));
        assert!(pool.is_empty() && pool.nonces.is_empty() && pool.operators.is_empty());
    }

    #[test]
    fn what_was_taken_keeps_its_nonce_until_it_is_settled_or_given_back() {
        let mut pool = Pool::default();
        let mut first = pooled(Made { fee_max: 5, ..PLAIN });
        (first.is_exempt, first.operator) = (true, OperatorId(7));
        pool.insert(first.clone()).unwrap();
        assert_eq!(pool.take(limits(1)), [first.clone()]);
        let other = pooled(Made { fee_max: 500, ..PLAIN });
        assert_eq!(pool.insert(first.clone()), Err(PoolRefusal::Known));
        assert_eq!(pool.insert(other.clone()), Err(PoolRefusal::NonceTaken { holder: first.id }));
        assert_eq!(pool.give_back(first.id, first.transaction.clone()), Some(Ok(Vec::new())));
        assert_eq!(pool.take(limits(1)), [first.clone()], "exempt, and its operator's, as before");
        pool.settle(&first.id, Height(1));
        assert_eq!(pool.give_back(first.id, first.transaction), None, "executed meanwhile");
        assert_eq!(pool.insert(other), Ok(Vec::new()));
        assert!(pool.taken.is_empty());
    }

    #[test]
    fn a_replacement_finds_no_bytes_that_are_not_there() {
        let mut pool = Pool::default();
        let mut large = pooled(Made { operator: 2, ..PLAIN });
        large.bytes = POOL_BYTES_MAX - 300;
        pool.insert(large).unwrap();
        pool.insert(pooled(Made { fee_max: 1, ..PLAIN })).unwrap();
        let mut longer = pooled(Made { fee_max: 9, ..PLAIN });
        longer.bytes = 301;
        assert_eq!(pool.insert(longer.clone()), Err(PoolRefusal::Full));
        longer.bytes = 300;
        assert_eq!(pool.insert(longer).map(|left| left.len()), Ok(1));
        assert_eq!(pool.bytes(), POOL_BYTES_MAX);
    }

    #[test]
    fn a_full_pool_gives_way_to_other_operators_and_to_higher_bids() {
        let mut pool = Pool::default();
        // 32 MiB in transactions of 1 MiB.
        let mut mebibyte = |made: Made| {
            let mut large = pooled(made);
            large.bytes = 1 << 20;
            (large.id, pool.insert(large))
        };
        let mut ids = Vec::new();
        for sequence in 1..=32 {
            let (id, inserted) = mebibyte(Made { sequence, fee_max: 100 + sequence, ..PLAIN });
            assert_eq!(inserted, Ok(Vec::new()));
            ids.push(id);
        }
        assert_eq!(mebibyte(Made { sequence: 50, fee_max: 101, ..PLAIN }).1, Err(PoolRefusal::Full));
        assert_eq!(mebibyte(Made { sequence: 50, fee_max: 103, ..PLAIN }).1, Ok(vec![ids[0]]));
        assert_eq!(mebibyte(Made { operator: 2, fee_max: 0, ..PLAIN }).1, Ok(vec![ids[1]]));
    }

    const PRICE: FeeRate = FeeRate::from_micro_fen(5_000);

    /// Of a wallet that has `balance` and spends its sequence, tried at a base fee of five fen for its weight.
    fn tried(sequence: u64, fee_max: u64, balance: u64, after: u64) -> Pooled {
        let balance = Balance { amount: Amount::from_fen(balance), after: Height(after) };
        Pooled { balance, base_fee: PRICE, ..pooled(Made { sequence, fee_max, ..PLAIN }) }
    }

    #[test]
    fn what_waits_and_what_was_taken_promises_its_payers_money_once() {
        let mut pool = Pool::default();
        let refused = Err(PoolRefusal::FeePromised { payer: tried(1, 0, 0, 0).transaction.content.wallet });
        // 40 fen: 10 and what it spends, 10 and 2, 10 and 3 leave 4 for a fee of 5 now.
        for sequence in 1..=3 {
            assert_eq!(pool.insert(tried(sequence, 10, 40, 0)), Ok(Vec::new()));
        }
        assert_eq!(pool.insert(tried(4, 10, 40, 0)), refused);
        let first: Vec<Pooled> = pool.take(TakeLimits { base_fee: PRICE, ..limits(2) });
        assert_eq!(pool.insert(tried(4, 10, 40, 0)), refused, "taken is as promised as waiting");
        // Executed: a balance from before that does not show it.
        pool.settle(&first[0].id, Height(1));
        assert_eq!(pool.insert(tried(4, 10, 40, 0)), refused);
        let mut clone = tried(4, 10, 34, 1);
        assert_eq!(pool.insert(clone.clone()), Ok(Vec::new()), "34 left, 25 promised");
        // What left for another reason has cost nothing.
        assert!(pool.remove(&clone.id).is_some());
        clone.balance.after = Height(2);
        assert_eq!(pool.insert(clone), Ok(Vec::new()));
        let waiting: Vec<TransactionId> = pool.waiting.keys().copied().collect();
        for id in waiting.iter().chain(first.iter().map(|pooled| &pooled.id)) {
            pool.settle(id, Height(3));
        }
        assert!(pool.funds.is_empty() && pool.tally.backlog().waiting.is_empty());
    }

    #[test]
    fn a_payer_is_counted_whoever_signs_and_a_replacement_counts_once() {
        let mut pool = Pool::default();
        let sponsored = |wallet, sequence, fee_max| {
            let mut pooled = Pooled {
                balance: tried(1, 0, 20, 0).balance,
                ..pooled(Made { wallet, sequence, fee_max, ..PLAIN })
            };
            let policy = Policy::single(PublicKey([1; 32]));
            let sponsor = ledger::records::Sponsor { wallet: WalletId([9; 32]), policy };
            pooled.transaction.content.fee.sponsor = Some(sponsor);
            pooled.id = pooled.transaction.content.id(ledger::values::GenesisHash::default());
            Pooled { base_fee: PRICE, ..pooled }
        };
        assert!(pool.insert(sponsored(1, 1, 8)).is_ok() && pool.insert(sponsored(2, 1, 8)).is_ok());
        let refused = Err(PoolRefusal::FeePromised { payer: WalletId([9; 32]) });
        assert_eq!(pool.insert(sponsored(3, 1, 8)), refused);
        // In the place of the first there are 12 left for it.
        let replaced = sponsored(1, 1, 8).id;
        assert_eq!(pool.insert(sponsored(1, 1, 30)), Ok(vec![replaced]));
        let twelve = FeeRate::from_micro_fen(12_000);
        let at = |base_fee| TakeLimits { base_fee, ..limits(9) };
        assert_eq!(pool.take(at(FeeRate::from_micro_fen(13_000))), []);
        assert_eq!(pool.take(at(twelve)).len(), 1, "it bids 30, and waits until 12 are enough");
    }

    #[test]
    fn while_nothing_costs_anything_nobody_is_refused_and_what_is_not_covered_waits_for_that() {
        let mut pool = Pool::default();
        let free = |sequence| Pooled { base_fee: FeeRate::ZERO, ..tried(sequence, 10, 15, 0) };
        for sequence in 1..=4 {
            assert_eq!(pool.insert(free(sequence)), Ok(Vec::new()));
        }
        assert_eq!(sequences(&pool.take(TakeLimits { base_fee: PRICE, ..limits(9) })), [1]);
        assert_eq!(sequences(&pool.take(limits(9))), [2, 3, 4]);
        // One that is exempt owes nothing.
        let mut exempt = tried(5, 10, 0, 0);
        exempt.is_exempt = true;
        assert_eq!(pool.insert(exempt), Ok(Vec::new()));
    }

    #[test]
    fn what_may_come_too_late_is_not_sealed_while_weight_has_a_price() {
        let mut pool = Pool::default();
        pool.insert(tried(1, 10, 99, 0)).unwrap();
        let at = |base_fee, valid_after| TakeLimits {
            base_fee,
            valid_after: TimestampMs(valid_after),
            ..limits(9)
        };
        assert_eq!(pool.take(at(PRICE, 10)), []);
        assert_eq!(sequences(&pool.take(at(PRICE, 9))), [1]);
        pool.insert(tried(2, 10, 99, 0)).unwrap();
        assert_eq!(sequences(&pool.take(at(FeeRate::ZERO, 10))), [2]);
    }

    #[test]
    fn what_another_batch_holds_is_not_sealed_while_weight_has_a_price() {
        let mut pool = Pool::default();
        let place = |sequence| {
            let content = tried(sequence, 0, 0, 0).transaction.content;
            (content.wallet, content.nonce)
        };
        let priced = TakeLimits { base_fee: PRICE, ..limits(9) };
        let nonces = [place(1), place(2)];
        pool.insert(tried(1, 10, 99, 0)).unwrap();
        // Two batches hold the first, one of them another version of the second, which comes later.
        pool.hold(nonces);
        pool.hold([place(1)]);
        pool.insert(tried(2, 10, 99, 0)).unwrap();
        pool.insert(tried(3, 10, 99, 0)).unwrap();
        assert_eq!(sequences(&pool.take(priced)), [3]);
        pool.free(nonces);
        assert_eq!(sequences(&pool.take(priced)), [2]);
        assert_eq!(sequences(&pool.take(limits(9))), [1], "nobody pays for a duplicate that costs nothing");
        pool.free([place(1)]);
        assert!(!pool.held.contains(place(1).0, place(1).1));
        pool.insert(tried(4, 10, 99, 0)).unwrap();
        pool.hold([place(4)]);
        assert_eq!(pool.take(priced), []);
        pool.free_all();
        assert_eq!(sequences(&pool.take(priced)), [4]);
    }

    #[test]
    fn expiry_frees_the_nonce() {
        let mut pool = Pool::default();
        let old = pooled(PLAIN);
        pool.insert(old.clone()).unwrap();
        assert!(pool.expire(TimestampMs(10)).is_empty());
        assert_eq!(pool.expire(TimestampMs(11)), [old.id]);
        pool.insert(old).unwrap();
    }

    #[test]
    fn the_backlog_weighs_what_waits() {
        let mut pool = Pool::default();
        for (sequence, fee_max, tip) in [(1, 10, 10), (2, 10, 0), (3, 10, 0)] {
            pool.insert(pooled(Made { sequence, fee_max, tip, ..PLAIN })).unwrap();
        }
        let weights: Vec<u64> = pool.backlog().waiting.iter().map(|bucket| bucket.weight).collect();
        assert_eq!(weights, [WEIGHT, 2 * WEIGHT]);
    }

    proptest! {
        /// What expires is what a look at everything that waits finds, in whatever way it came and the others left.
        #[test]
        fn expiry_is_that_of_a_look_at_all(
            steps in prop::collection::vec((0_u8..8, 0_u8..3, 1_u64..40, 1_u64..60), 0..300)
        ) {
            let (mut pool, mut taken) = (Pool::default(), VecDeque::new());
            for (kind, wallet, sequence, moment) in steps {
                let mut candidate = pooled(Made { wallet, sequence, fee_max: moment % 5, ..PLAIN });
                candidate.transaction.content.valid_until = TimestampMs(moment);
                candidate.id = candidate.transaction.content.id(ledger::values::GenesisHash::default());
                match kind {
                    0..=3 => { let _full_or_known = pool.insert(candidate).is_err(); }
                    4 => taken.extend(pool.take(limits(2))),
                    5 => if let Some(Pooled { id, transaction, .. }) = taken.pop_front() {
                        pool.give_back(id, transaction);
                    },
                    6 => pool.settle(&candidate.id, Height(1)),
                    _ => {
                        let now = TimestampMs(moment);
                        let is_late = |place: &Place| place.pooled.transaction.content.valid_until < now;
                        let late = pool.waiting.iter().filter(|(_, place)| is_late(place));
                        let mut late: Vec<_> = late
                            .map(|(id, place)| (place.pooled.transaction.content.valid_until, *id))
                            .collect();
                        late.sort_unstable();
                        let late: Vec<TransactionId> = late.into_iter().map(|(_, id)| id).collect();
                        prop_assert_eq!(pool.expire(now), late);
                    }
                }
                prop_assert_eq!(pool.expiries.len(), pool.waiting.len());
            }
        }

        /// Whatever is done, the indexes agree with the transactions.
        #[test]
        fn indexes_agree(
            steps in prop::collection::vec((0_u8..4, 0_u16..3, 0_u8..2, 1_u64..6, 0_u64..4), 0..200)
        ) {
            let mut pool = Pool::default();
            for (kind, operator, wallet, sequence, fee_max) in steps {
                let candidate = pooled(Made { operator, wallet, sequence, fee_max, tip: fee_max / 2 });
                let before = pool.len();
                match kind {
                    0 | 1 => match pool.insert(candidate) {
                        Ok(left) => prop_assert_eq!(pool.len() + left.len(), before + 1),
                        Err(_) => prop_assert_eq!(pool.len(), before),
                    },
                    2 => pool.settle(&candidate.id, Height(1)),
                    _ => { pool.take(limits(1)); }
                }
                let waiting = pool.waiting.len();
                prop_assert_eq!(pool.bytes, waiting * 200);
                prop_assert_eq!(pool.weight, waiting as u64 * WEIGHT);
                prop_assert_eq!(pool.nonces.len(), waiting + pool.taken.len());
                prop_assert_eq!(pool.wallets.values().sum::<usize>(), waiting);
                prop_assert_eq!(pool.expiries.len(), waiting);
                prop_assert_eq!(pool.operators.values().map(Queue::len).sum::<usize>(), waiting);
                prop_assert_eq!(pool.operators.values().map(Queue::weight).sum::<u64>(), pool.weight);
                prop_assert!(pool.operators.values().all(|queue| !queue.is_empty()));
            }
        }
    }
}
