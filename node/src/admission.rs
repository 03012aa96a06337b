//! The only door for transactions.
//!
//! Checks run from cheap to dear: size and decoding, network and chain, already known, a place in the budget of what is under way
//! (`budget.rs`), signatures, a trial execution on the last executed state (a forecast, not a promise), a place in the pool. Whatever
//! is refused changes nothing and is told why, with the stable code, the field and the mend. Posting again what was taken in is
//! harmless and answers the same, but that what has its outcome may be told to come back while the budget is used up.
//!
//! One thread checks. What was posted while it was busy is checked together: one look at the state, one group of
//! signatures. So the price of a check falls as the load rises.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chain::{Archive, RecordCache, RecordReader};
use ledger::records::{NotExecuted, Rejection, Transaction};
use ledger::rules::{
    ChainRules, Forecast, Forecasted, TransactionFault, check_transaction, forecast, forecast_each,
    transaction_weight,
};
use ledger::values::{
    Amount, Canonical, CodecError, FeeRate, Height, OperatorId, Strategy, TimestampMs, TransactionId,
};
use mempool::{Balance, PoolRefusal, Pooled, highest_base_fee};
use storage::{Store, Table};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::budget::{Budget, Haste, Place, UsedUp};
use crate::departed::{Departed, Reason, WithoutOutcome};
use crate::gather::gather;
use crate::handle::Submitted;
use crate::verifier::Verifier;
use crate::workers;

/// Transactions that were taken in and have no outcome yet: above this the node takes no more.
pub(crate) const PENDING_MAX: usize = 200_000;
/// Submissions that may wait for the check; more are told to come back.
pub(crate) const CHECKS_WAITING_MAX: usize = 64;
/// Transactions in them: less than a second of checking where signatures are good, and much less where the budget is used up.
pub(crate) const TRANSACTIONS_WAITING_MAX: usize = 16_384;
/// Bad signatures of one group that are found by bisection.
const BISECTIONS_MAX: usize = 4;
/// How often at most those under way are compared with the price of weight.
const REPRICE_EVERY: Duration = Duration::from_secs(1);
/// When a refused client may come back.
const RETRY_AFTER_MS: u64 = 200;

/// Why a transaction was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are no canonical transaction, or a count or range is wrong.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// It breaks a rule that needs no state: wrong network or chain, a bad signature.
    #[error("{0}")]
    Stateless(#[from] TransactionFault),
    /// It would consume no nonce now.
    #[error("{reason}")]
    NotExecuted {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: NotExecuted,
    },
    /// It would be rejected now.
    #[error("{reason}")]
    Rejected {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: Rejection,
    },
    /// Its tier owes no base fee, which is above zero now: the wallet's own bank answers for it, not this one.
    #[error("this wallet's base fee is for operator {operator}, whose nodes take it in")]
    ExemptElsewhere {
        /// Its id.
        id: TransactionId,
        /// The wallet's operator.
        operator: OperatorId,
    },
    /// There is no place for it.
    #[error("{reason}")]
    Pool {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: PoolRefusal,
    },
    /// What is under way here, or waits to be checked, takes all the time there is.
    #[error("the node has taken in as much as it can pass on in time")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The node cannot take transactions now: it is stopping, or its store fails.
    #[error("the node takes no transactions now")]
    Unavailable {
        /// When to try again.
        retry_after_ms: u64,
    },
}

/// Transactions on their way to the chain's pool, and where its answers go.
pub(crate) struct Submission {
    pub(crate) pooled: Vec<Pooled>,
    pub(crate) answers: oneshot::Sender<Vec<Result<(), PoolRefusal>>>,
}

/// The door of one chain.
pub struct Admission {
    inner: Arc<Inner>,
    /// `None` once the door is closing.
    to_check: Option<SyncSender<Unchecked>>,
    thread: Option<JoinHandle<()>>,
    /// Places for transactions that wait for the check.
    line: Arc<Semaphore>,
}

/// The thread holds the store open: whoever opens it again must find it closed.
impl Drop for Admission {
    fn drop(&mut self) {
        self.to_check = None;
        // A panic in it has been told before.
        let _panicked = self.thread.take().map(JoinHandle::join).is_some_and(|ended| ended.is_err());
    }
}

/// What was posted together, and where the verdicts go.
struct Unchecked {
    transactions: Vec<Bytes>,
    checked: oneshot::Sender<Vec<Checked>>,
    /// Held until it is checked, also where the client has gone away.
    _places: OwnedSemaphorePermit,
}

struct Inner {
    /// Those of the newest executed height.
    rules: RwLock<ChainRules>,
    /// Whose node this is: who answers for what it seals and nobody pays.
    operator: Option<OperatorId>,
    store: Arc<dyn Store>,
    cache: Arc<RecordCache>,
    submissions: mpsc::Sender<Submission>,
    pending: Mutex<BTreeMap<TransactionId, Pending>>,
    budget: Arc<Budget>,
    departed: Mutex<Departed>,
    priced: Mutex<Priced>,
    verifier: Verifier,
    /// Why the thread is gone, if it panicked.
    panicked: OnceLock<String>,
}

/// What was taken in and has no outcome yet.
struct Pending {
    valid_until: TimestampMs,
    /// The highest base fee that it can pay; none where it owes none.
    ceiling: Option<FeeRate>,
    place: Place,
}

/// When those under way were last compared with the price of weight.
#[derive(Debug, Default)]
struct Priced {
    base_fee: FeeRate,
    at: Option<Instant>,
}

/// What decodes, is for this chain, is not known, and has a place in the budget.
struct Decoded {
    pooled: Pooled,
    place: Place,
}

/// What transactions would become by the newest executed state.
struct Tried {
    /// Its height.
    after: Height,
    /// The base fee of the next one.
    base_fee: FeeRate,
    /// One each.
    forecasts: Vec<Forecasted>,
}

/// A transaction after the checks: on its way to the pool, or answered.
enum Checked {
    Passed(Box<Decoded>),
    Answered(Submitted),
}

impl Admission {
    /// Starts the thread that checks; it ends with the door. `operator` is whose node this is.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn new(
        (rules, operator): (ChainRules, Option<OperatorId>),
        store: Arc<dyn Store>,
        cache: Arc<RecordCache>,
        submissions: mpsc::Sender<Submission>,
        verifier: Verifier,
    ) -> std::io::Result<Self> {
        let (pending, departed, priced) = (Mutex::default(), Mutex::default(), Mutex::default());
        let budget = Budget::new(Instant::now());
        budget.set_block_pace(block_pace(&rules));
        let panicked = OnceLock::new();
        let inner = Arc::new(Inner {
            rules: RwLock::new(rules),
            operator,
            store,
            cache,
            submissions,
            pending,
            budget: Arc::new(budget),
            departed,
            priced,
            verifier,
            panicked,
        });
        let (to_check, unchecked) = sync_channel(CHECKS_WAITING_MAX);
        let (checking, told) = (Arc::clone(&inner), Arc::clone(&inner));
        let panicked = move |cause| {
            let _told_before = told.panicked.set(cause).is_err();
        };
        let thread = workers::spawn("admission", panicked, move || checking.check_all(&unchecked))?;
        let line = Arc::new(Semaphore::new(TRANSACTIONS_WAITING_MAX));
        Ok(Self { inner, to_check: Some(to_check), thread: Some(thread), line })
    }

    /// An executed height has changed the rules.
    pub(crate) fn set_rules(&self, rules: ChainRules) {
        self.inner.budget.set_block_pace(block_pace(&rules));
        *self.inner.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The operator that a wallet of an exempt tier is sent to, where that is not this node's. See [`Refused::ExemptElsewhere`].
    pub(crate) fn exempt_elsewhere(&self, forecasted: &Forecasted, next: Height) -> Option<OperatorId> {
        self.inner.exempt_elsewhere(forecasted, next)
    }

    /// Checks canonical transaction bytes and takes them in; one answer each, in order.
    pub async fn submit(&self, transactions: Vec<Bytes>) -> Vec<Submitted> {
        let count = transactions.len();
        let refuse_all = || (0..count).map(|_| unavailable()).collect::<Vec<_>>();
        let (checked, verdicts) = oneshot::channel();
        let wanted = u32::try_from(count).unwrap_or(u32::MAX);
        let Ok(places) = Arc::clone(&self.line).try_acquire_many_owned(wanted) else {
            return self.come_back(count);
        };
        let unchecked = Unchecked { transactions, checked, _places: places };
        match self.to_check.as_ref().map(|line| line.try_send(unchecked)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => return self.come_back(count),
            Some(Err(TrySendError::Disconnected(_))) | None => return refuse_all(),
        }
        let Ok(checked) = verdicts.await else { return refuse_all() };
        // On a task of its own: a client that goes away must not leave transactions half taken in.
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.pool(checked).await }).await.unwrap_or_else(|_| refuse_all())
    }

    /// So many find no place in the line.
    fn come_back(&self, count: usize) -> Vec<Submitted> {
        let used_up = self.inner.budget.used_up(Instant::now());
        (0..count).map(|_| overloaded(used_up)).collect()
    }

    /// Whether the chain's own task answers within `limit`: it is offered nothing.
    pub(crate) async fn is_answered(&self, limit: Duration) -> bool {
        let (answers, answered) = oneshot::channel();
        let nothing = Submission { pooled: Vec::new(), answers };
        let asked = async { self.inner.submissions.send(nothing).await.is_ok() && answered.await.is_ok() };
        tokio::time::timeout(limit, asked).await.unwrap_or(false)
    }

    /// Why the thread that checks is gone; nothing is taken in any more, and the chain's driver halts.
    pub(crate) fn panicked(&self) -> Option<&str> {
        self.inner.panicked.get().map(String::as_str)
    }

    /// What is known here of a transaction that was taken in and has no outcome, or had none when it left.
    pub(crate) fn without_outcome(&self, id: &TransactionId) -> Option<WithoutOutcome> {
        let pending = self.inner.pending().get(id).map(|pending| pending.valid_until);
        let waits = |valid_until| WithoutOutcome { valid_until, is_pending: true, reason: None };
        pending.map(waits).or_else(|| self.inner.departed().get(id))
    }

    /// Transactions taken in that have no outcome yet.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.inner.pending().len()
    }

    /// These ran out of time, or left for the given reason: they are pending no more, and remembered for a while.
    pub(crate) fn depart<'a>(&self, ids: impl IntoIterator<Item = (&'a TransactionId, Option<Reason>)>) {
        let (mut pending, mut departed) = (self.inner.pending(), self.inner.departed());
        for (id, reason) in ids {
            if let Some(left) = pending.remove(id) {
                departed.insert(*id, left.valid_until, reason);
            }
        }
    }

    /// These have an outcome: they are pending no more.
    pub(crate) fn settle<'a>(&self, ids: impl IntoIterator<Item = &'a TransactionId>) {
        let mut weight = 0_u64;
        {
            let mut pending = self.inner.pending();
            for settled in ids.into_iter().filter_map(|id| pending.remove(id)) {
                weight = weight.saturating_add(settled.place.weight());
            }
        }
        let now = Instant::now();
        self.inner.budget.left(weight, now);
        self.inner.reprice(now);
    }

    /// Lets go of what ran out of time.
    pub(crate) fn expire(&self, now: TimestampMs) {
        let (mut pending, mut departed) = (self.inner.pending(), self.inner.departed());
        for (id, left) in pending.extract_if(.., |_, pending| pending.valid_until < now) {
            departed.insert(id, left.valid_until, None);
        }
    }
}

impl Inner {
    fn pending(&self) -> MutexGuard<'_, BTreeMap<TransactionId, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> ChainRules {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Locked after `pending` where both are.
    fn departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A height was executed: what cannot pay the base fee any more gives its place in the budget back. It stays in the pool and waits for a
    /// lower one. A walk over all, so at most one a second, and only where weight costs more than at the last one.
    fn reprice(&self, now: Instant) {
        // A store that fails here fails in the executor too, which halts.
        let Some(head) = Archive::new(self.store.as_ref()).head().ok().flatten() else { return };
        let mut priced = self.priced.lock().unwrap_or_else(PoisonError::into_inner);
        if head.base_fee <= priced.base_fee {
            priced.base_fee = head.base_fee;
            return;
        }
        if priced.at.is_some_and(|at| now.saturating_duration_since(at) < REPRICE_EVERY) {
            return;
        }
        *priced = Priced { base_fee: head.base_fee, at: Some(now) };
        let mut pending = self.pending();
        let outpriced =
            |pending: &&mut Pending| pending.ceiling.is_some_and(|ceiling| ceiling < head.base_fee);
        pending.values_mut().filter(outpriced).for_each(|pending| pending.place.release());
    }

    fn check_all(&self, unchecked: &Receiver<Unchecked>) {
        while let Ok(first) = unchecked.recv() {
            let mut group = gather(first, unchecked, |one| one.transactions.len());
            // Whoever went away needs no verdict.
            group.retain(|one| !one.checked.is_closed());
            let transactions: Vec<&[u8]> =
                group.iter().flat_map(|one| one.transactions.iter().map(Bytes::as_ref)).collect();
            let mut checked = self.check(&transactions).into_iter();
            for Unchecked { transactions, checked: answer, .. } in group {
                // A client that went away has put nothing into the pool: its verdicts are of no use to anybody.
                let _gone = answer.send(checked.by_ref().take(transactions.len()).collect()).is_err();
            }
        }
    }

    fn check(&self, transactions: &[&[u8]]) -> Vec<Checked> {
        let decoded = self.decode(transactions);
        let good: Vec<(usize, &Transaction)> = decoded
            .iter()
            .enumerate()
            .filter_map(|(position, decoded)| Some((position, &decoded.as_ref().ok()?.pooled.transaction)))
            .collect();
        let bad_signatures = self.bad_signatures(&good);
        let signed: Vec<&Transaction> = good
            .iter()
            .filter(|(position, _)| !bad_signatures.contains(position))
            .map(|(_, transaction)| *transaction)
            .collect();
        let tried = self.forecasts(&signed);
        let mut forecasts =
            tried.iter().flat_map(|tried| tried.forecasts.iter().map(move |one| (tried, one)));
        let finish = |(position, decoded): (usize, Result<Decoded, Submitted>)| match decoded {
            Err(answer) => Checked::Answered(answer),
            Ok(_) if bad_signatures.contains(&position) => {
                Checked::Answered(Submitted::Refused(TransactionFault::SignatureInvalid.into()))
            }
            Ok(decoded) => match forecasts.next() {
                Some((tried, forecast)) => self.judge(decoded, tried, forecast),
                None => Checked::Answered(unavailable()),
            },
        };
        decoded.into_iter().enumerate().map(finish).collect()
    }

    /// Decodes each, and answers for those that are wrong by themselves, known already, or too many now.
    fn decode(&self, transactions: &[&[u8]]) -> Vec<Result<Decoded, Submitted>> {
        let (rules, now) = (self.rules(), Instant::now());
        // A store that fails here fails in the forecast too, which refuses.
        let head = Archive::new(self.store.as_ref()).head().ok().flatten();
        let base_fee = head.map_or(FeeRate::ZERO, |head| head.base_fee);
        let one = |bytes: &&[u8]| {
            let refused = |refused: Refused| Submitted::Refused(refused);
            let transaction = Transaction::decode(bytes).map_err(|fault| refused(fault.into()))?;
            check_transaction(&rules, &transaction).map_err(|fault| refused(fault.into()))?;
            let id = transaction.id(rules.genesis);
            if self.pending().contains_key(&id) {
                return Err(Submitted::Known { id });
            }
            let (weight, fee) = (transaction_weight(&transaction), &transaction.content.fee);
            let place = self.budget.take(weight, Haste::of(fee, weight, base_fee), now);
            let place = place.map_err(overloaded)?;
            // What else there is to say follows from the forecast.
            let (operator, bytes) = (fee.operator, bytes.len());
            let balance = Balance { amount: Amount::ZERO, after: Height(0) };
            let (is_exempt, base_fee) = (false, FeeRate::ZERO);
            let pooled = Pooled { id, transaction, bytes, weight, operator, is_exempt, balance, base_fee };
            Ok(Decoded { pooled, place })
        };
        let mut decoded: Vec<Result<Decoded, Submitted>> = transactions.iter().map(one).collect();
        let ids: Vec<TransactionId> = decoded.iter().flatten().map(|decoded| decoded.pooled.id).collect();
        let mut known = self.are_known(&ids).into_iter();
        for one in &mut decoded {
            if let Ok(Decoded { pooled: Pooled { id, .. }, .. }) = *one
                && known.next() == Some(true)
            {
                *one = Err(Submitted::Known { id });
            }
        }
        decoded
    }

    /// Whether each is pending or executed.
    fn are_known(&self, ids: &[TransactionId]) -> Vec<bool> {
        if ids.is_empty() {
            return Vec::new();
        }
        let keys: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
        // A store that fails here fails in the forecast too, which refuses.
        let executed = self.store.multi_get(Table::Transactions, &keys).unwrap_or_default();
        let mut executed = executed.into_iter().map(|row| row.is_some());
        let pending = self.pending();
        ids.iter().map(|id| executed.next() == Some(true) || pending.contains_key(id)).collect()
    }

    /// Positions with a bad signature. All are checked together; a failure is found by bisection and taken out, and
    /// after [`BISECTIONS_MAX`] of them the rest is checked one by one: garbage costs its length, never its square.
    fn bad_signatures(&self, transactions: &[(usize, &Transaction)]) -> Vec<usize> {
        let mut bad = Vec::new();
        let mut rest = transactions;
        for _failure in 0..BISECTIONS_MAX {
            let plain: Vec<&Transaction> = rest.iter().map(|(_, transaction)| *transaction).collect();
            let Some(position) = self.verifier.first_bad(&plain) else { return bad };
            let Some((failed, after)) = rest.get(position..).and_then(<[_]>::split_first) else { return bad };
            bad.push(failed.0);
            rest = after;
        }
        let singly = self.verifier.strategy.map(rest, 1, |(position, transaction)| {
            (*position, self.verifier.first_bad(&[*transaction]).is_none())
        });
        bad.extend(singly.into_iter().filter(|(_, is_valid)| !is_valid).map(|(position, _)| position));
        bad
    }

    /// What each would become, now or once it can pay the base fee; `None` when the store fails.
    fn forecasts(&self, transactions: &[&Transaction]) -> Option<Tried> {
        let head = Archive::new(self.store.as_ref()).head().ok()??;
        let reader = RecordReader { store: self.store.as_ref(), cache: &self.cache };
        // The next block is later than the last one and about as late as our clock.
        let now = TimestampMs(wall_clock().0.max(head.timestamp.0.saturating_add(1)));
        let (rules, strategy) = (self.rules(), &self.verifier.strategy);
        let mut forecasts = forecast_each(&rules, &head, &reader, transactions, now, strategy).ok()?;
        // Whoever bids less than weight costs now waits until it costs less, and is judged by the most that it can pay: who has not that
        // much would leave the fee to its bank.
        let (after, base_fee) = (head.height, head.base_fee);
        let mut then = head;
        for (transaction, forecasted) in transactions.iter().zip(&mut forecasts) {
            if matches!(forecasted.becomes, Forecast::NotExecuted(NotExecuted::FeeMaxTooLow { .. })) {
                then.base_fee = highest_base_fee(&transaction.content.fee, forecasted.weight);
                *forecasted = forecast(&rules, &then, &reader, transaction, now).ok()?;
            }
        }
        Some(Tried { after, base_fee, forecasts })
    }

    /// The wallet's operator, where its tier is exempt and that operator has a validator in the epoch of the next height: it answers for it.
    /// (Whose bank can seal nothing here is taken in by any other, which answers for it then.)
    fn exempt_elsewhere(&self, forecasted: &Forecasted, next: Height) -> Option<OperatorId> {
        let operator = forecasted.operator.filter(|_| forecasted.is_exempt)?;
        if self.operator.is_none_or(|own| own == operator) {
            return None;
        }
        let rules = self.rules();
        let validators = rules.registry.validators(rules.chain, rules.epoch_at(next)?.epoch);
        validators.iter().any(|validator| validator.operator == operator).then_some(operator)
    }

    fn judge(&self, decoded: Decoded, tried: &Tried, forecasted: &Forecasted) -> Checked {
        let Decoded { pooled, mut place } = decoded;
        let id = pooled.id;
        match forecasted.becomes {
            Forecast::Applied => {
                let elsewhere = self.exempt_elsewhere(forecasted, tried.after.next());
                if let Some(operator) = elsewhere.filter(|_| !tried.base_fee.is_zero()) {
                    return Checked::Answered(Submitted::Refused(Refused::ExemptElsewhere { id, operator }));
                }
                // Another bank's customer is sealed here only while nobody has to answer for it: it counts as one that can pay nothing.
                let (is_exempt, amount) = match elsewhere {
                    Some(_) => (false, Amount::ZERO),
                    None => (forecasted.is_exempt, forecasted.payer_balance),
                };
                if is_exempt {
                    place.hold();
                }
                let pooled = Pooled {
                    weight: forecasted.weight,
                    operator: forecasted.operator.unwrap_or(pooled.operator),
                    is_exempt,
                    balance: Balance { amount, after: tried.after },
                    base_fee: tried.base_fee,
                    ..pooled
                };
                Checked::Passed(Box::new(Decoded { pooled, place }))
            }
            Forecast::Rejected(reason) => {
                Checked::Answered(Submitted::Refused(Refused::Rejected { id, reason }))
            }
            // Executed between the first look and now: then it is known, not refused.
            Forecast::NotExecuted(_) if self.are_known(&[id]) == [true] => {
                Checked::Answered(Submitted::Known { id })
            }
            Forecast::NotExecuted(reason) => {
                Checked::Answered(Submitted::Refused(Refused::NotExecuted { id, reason }))
            }
        }
    }

    /// Offers what passed to the pool and puts the answers back in order.
    async fn pool(&self, checked: Vec<Checked>) -> Vec<Submitted> {
        let mut answers = Vec::with_capacity(checked.len());
        let mut passed = Vec::new();
        for one in checked {
            match one {
                Checked::Answered(answer) => answers.push(Some(answer)),
                Checked::Passed(decoded) => {
                    answers.push(None);
                    passed.push(*decoded);
                }
            }
        }
        let ids: Vec<TransactionId> = passed.iter().map(|decoded| decoded.pooled.id).collect();
        let mut verdicts = self.offer(passed).await.into_iter().zip(ids);
        let fill = |answer: Option<Submitted>| match answer {
            Some(answer) => answer,
            None => match verdicts.next() {
                Some((Some(Ok(())), id)) => Submitted::Accepted { id },
                Some((Some(Err(PoolRefusal::Known)), id)) => Submitted::Known { id },
                Some((Some(Err(reason)), id)) => Submitted::Refused(Refused::Pool { id, reason }),
                Some((None, _)) | None => unavailable(),
            },
        };
        answers.into_iter().map(fill).collect()
    }

    /// The pool's answers; `None` where the chain could not be asked.
    async fn offer(&self, passed: Vec<Decoded>) -> Vec<Option<Result<(), PoolRefusal>>> {
        let count = passed.len();
        if passed.is_empty() {
            return Vec::new();
        }
        let (mut ids, mut offered) = (Vec::with_capacity(count), Vec::with_capacity(count));
        {
            let mut pending = self.pending();
            if pending.len().saturating_add(count) > PENDING_MAX {
                return vec![Some(Err(PoolRefusal::Full)); count];
            }
            // Before the pool answers: the outcome may come first, and must find it here to take it out.
            for Decoded { pooled, place } in passed {
                let valid_until = pooled.transaction.content.valid_until;
                let fee = &pooled.transaction.content.fee;
                let ceiling = (!pooled.is_exempt).then(|| highest_base_fee(fee, pooled.weight));
                ids.push(pooled.id);
                // Sent twice at the same time: the one that is there keeps its place.
                pending.entry(pooled.id).or_insert(Pending { valid_until, ceiling, place });
                offered.push(pooled);
            }
        }
        let (sender, receiver) = oneshot::channel();
        let sent = self.submissions.send(Submission { pooled: offered, answers: sender }).await.is_ok();
        let answers = if sent { receiver.await.ok() } else { None };
        let answers: Vec<_> = match answers {
            Some(answers) => answers.into_iter().map(Some).collect(),
            None => vec![None; count],
        };
        let mut pending = self.pending();
        for (answer, id) in answers.iter().zip(&ids) {
            if !matches!(answer, Some(Ok(()) | Err(PoolRefusal::Known))) {
                pending.remove(id);
            }
        }
        answers
    }
}

fn block_pace(rules: &ChainRules) -> Duration {
    Duration::from_millis(rules.params.block_pace_ms)
}

fn unavailable() -> Submitted {
    Submitted::Refused(Refused::Unavailable { retry_after_ms: RETRY_AFTER_MS })
}

fn overloaded(used_up: UsedUp) -> Submitted {
    Submitted::Refused(Refused::Overloaded { retry_after_ms: used_up.retry_after_ms })
}

/// This machine's clock, in milliseconds since 1970.
pub(crate) fn wall_clock() -> TimestampMs {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
