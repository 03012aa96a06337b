//! The only door for transactions.
//!
//! Checks run from cheap to dear: size and decoding, network and chain, already known, signatures (together for all that
//! arrived together), a trial execution on the last executed state (a forecast, not a promise), a place in the pool.
//! Whatever is refused changes nothing and is told why, with the stable code, the field and the mend. Posting again what
//! was taken in is harmless and answers the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use chain::{Archive, RecordReader};
use ledger::records::{NotExecuted, Rejection, Transaction};
use ledger::rules::{ChainRules, Forecast, TransactionFault, check_signatures, check_transaction, forecast};
use ledger::values::{Canonical, CodecError, KeyCache, Sequential, Strategy, TimestampMs, TransactionId};
use mempool::{PoolRefusal, Pooled};
use storage::{Store, Table};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::departed::{Departed, WithoutOutcome};
use crate::handle::Submitted;
use crate::strategy::Parallel;

/// Transactions that were taken in and have no outcome yet: above this the node takes no more.
pub(crate) const PENDING_MAX: usize = 200_000;
/// Submissions that are checked at one time; more wait in line.
pub(crate) const CHECKS_AT_ONCE: usize = 2;
/// Submissions that may wait in line; more are told to come back.
pub(crate) const CHECKS_WAITING_MAX: usize = 64;
/// Bad signatures of one submission that are found by bisection.
const BISECTIONS_MAX: usize = 4;
/// When a refused client may come back.
const RETRY_AFTER_MS: u64 = 200;

/// Why a transaction was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are no canonical transaction, or a count or range is wrong.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// It breaks a rule that needs no state: wrong network or chain, a tip before the fee market, a bad signature.
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
    /// There is no place for it.
    #[error("{reason}")]
    Pool {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: PoolRefusal,
    },
    /// The node cannot take transactions now: it is stopping, its store fails, or too many wait.
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
    line: Semaphore,
}

struct Inner {
    rules: ChainRules,
    store: Arc<dyn Store>,
    submissions: mpsc::Sender<Submission>,
    pending: Mutex<BTreeMap<TransactionId, TimestampMs>>,
    departed: Mutex<Departed>,
    keys: Mutex<KeyCache>,
    secret: [u8; 32],
    strategy: Parallel,
    checks: Semaphore,
}

/// A transaction after the checks: on its way to the pool, or answered.
enum Checked {
    Passed(Box<Pooled>),
    Answered(Submitted),
}

impl Admission {
    pub(crate) fn new(
        rules: ChainRules,
        store: Arc<dyn Store>,
        submissions: mpsc::Sender<Submission>,
        secret: [u8; 32],
        strategy: Parallel,
    ) -> Self {
        let inner = Inner {
            rules,
            store,
            submissions,
            pending: Mutex::default(),
            departed: Mutex::default(),
            keys: Mutex::default(),
            secret,
            strategy,
            checks: Semaphore::new(CHECKS_AT_ONCE),
        };
        Self { inner: Arc::new(inner), line: Semaphore::new(CHECKS_WAITING_MAX) }
    }

    /// Checks canonical transaction bytes and takes them in; one answer each, in order.
    pub async fn submit(&self, transactions: Vec<Vec<u8>>) -> Vec<Submitted> {
        let unavailable = || Submitted::Refused(Refused::Unavailable { retry_after_ms: RETRY_AFTER_MS });
        let count = transactions.len();
        let refuse_all = || (0..count).map(|_| unavailable()).collect::<Vec<_>>();
        let Ok(_place) = self.line.try_acquire() else { return refuse_all() };
        let Ok(_turn) = self.inner.checks.acquire().await else { return refuse_all() };
        let inner = Arc::clone(&self.inner);
        let Ok(checked) = tokio::task::spawn_blocking(move || inner.check(&transactions)).await else {
            return refuse_all();
        };
        // On a task of its own: a client that goes away must not leave transactions half taken in.
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.pool(checked).await }).await.unwrap_or_else(|_| refuse_all())
    }

    /// What is known here of a transaction that was taken in and has no outcome, or had none when it left.
    pub(crate) fn without_outcome(&self, id: &TransactionId) -> Option<WithoutOutcome> {
        let pending = self.inner.pending().get(id).copied();
        let waits = |valid_until| WithoutOutcome { valid_until, is_pending: true, reason: None };
        pending.map(waits).or_else(|| self.inner.departed().get(id))
    }

    /// Transactions taken in that have no outcome yet.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.inner.pending().len()
    }

    /// These ran out of time, or were ordered and consumed no nonce, for the given reason: they are pending no more, and
    /// remembered for a while.
    pub(crate) fn depart<'a>(&self, ids: impl IntoIterator<Item = (&'a TransactionId, Option<NotExecuted>)>) {
        let (mut pending, mut departed) = (self.inner.pending(), self.inner.departed());
        for (id, reason) in ids {
            if let Some(valid_until) = pending.remove(id) {
                departed.insert(*id, valid_until, reason);
            }
        }
    }

    /// These have an outcome: they are pending no more.
    pub(crate) fn settle<'a>(&self, ids: impl IntoIterator<Item = &'a TransactionId>) {
        let mut pending = self.inner.pending();
        for id in ids {
            pending.remove(id);
        }
    }

    /// Lets go of what ran out of time.
    pub(crate) fn expire(&self, now: TimestampMs) {
        let (mut pending, mut departed) = (self.inner.pending(), self.inner.departed());
        for (id, valid_until) in pending.extract_if(.., |_, valid_until| *valid_until < now) {
            departed.insert(id, valid_until, None);
        }
    }
}

impl Inner {
    fn pending(&self) -> MutexGuard<'_, BTreeMap<TransactionId, TimestampMs>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locked after `pending` where both are.
    fn departed(&self) -> MutexGuard<'_, Departed> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, transactions: &[Vec<u8>]) -> Vec<Checked> {
        let decoded = self.decode(transactions);
        let good: Vec<(usize, &Transaction)> = decoded
            .iter()
            .enumerate()
            .filter_map(|(position, decoded)| {
                decoded.as_ref().ok().map(|(_, transaction, _)| (position, transaction))
            })
            .collect();
        let bad_signatures = self.bad_signatures(&good);
        let finish =
            |(position, decoded): (usize, Result<(TransactionId, Transaction, usize), Submitted>)| {
                match decoded {
                    Err(answer) => Checked::Answered(answer),
                    Ok(_) if bad_signatures.contains(&position) => {
                        Checked::Answered(Submitted::Refused(TransactionFault::SignatureInvalid.into()))
                    }
                    Ok((id, transaction, bytes)) => self.forecast(Pooled { id, transaction, bytes }),
                }
            };
        decoded.into_iter().enumerate().map(finish).collect()
    }

    fn decode(
        &self,
        transactions: &[Vec<u8>],
    ) -> Vec<Result<(TransactionId, Transaction, usize), Submitted>> {
        let one = |bytes: &Vec<u8>| {
            let refused = |refused: Refused| Submitted::Refused(refused);
            let transaction = Transaction::decode(bytes).map_err(|fault| refused(fault.into()))?;
            check_transaction(&self.rules, &transaction).map_err(|fault| refused(fault.into()))?;
            let id = transaction.id(self.rules.genesis);
            if self.pending().contains_key(&id) || self.is_executed(&id) {
                return Err(Submitted::Known { id });
            }
            Ok((id, transaction, bytes.len()))
        };
        transactions.iter().map(one).collect()
    }

    fn is_executed(&self, id: &TransactionId) -> bool {
        // A store that fails here fails in the forecast too, which refuses.
        matches!(self.store.get(Table::Transactions, &id.0), Ok(Some(_)))
    }

    /// Positions with a bad signature. All are checked together; a failure is found by bisection and taken out, and
    /// after [`BISECTIONS_MAX`] of them the rest is checked one by one: garbage costs its length, never its square.
    fn bad_signatures(&self, transactions: &[(usize, &Transaction)]) -> Vec<usize> {
        let mut bad = Vec::new();
        let mut rest = transactions;
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for _failure in 0..BISECTIONS_MAX {
            let plain: Vec<&Transaction> = rest.iter().map(|(_, transaction)| *transaction).collect();
            let Err(position) =
                check_signatures(&plain, self.rules.genesis, &self.secret, &mut keys, &self.strategy)
            else {
                return bad;
            };
            let Some((failed, after)) = rest.get(position..).and_then(<[_]>::split_first) else { return bad };
            bad.push(failed.0);
            rest = after;
        }
        drop(keys);
        let singly = self.strategy.map(rest, 1, |(position, transaction)| {
            let mut keys = KeyCache::default();
            let valid =
                check_signatures(&[*transaction], self.rules.genesis, &self.secret, &mut keys, &Sequential);
            (*position, valid.is_ok())
        });
        bad.extend(singly.into_iter().filter(|(_, is_valid)| !is_valid).map(|(position, _)| position));
        bad
    }

    fn forecast(&self, pooled: Pooled) -> Checked {
        let id = pooled.id;
        let unavailable = Submitted::Refused(Refused::Unavailable { retry_after_ms: RETRY_AFTER_MS });
        let Ok(Some(head)) = Archive::new(self.store.as_ref()).head() else {
            return Checked::Answered(unavailable);
        };
        let reader = RecordReader { store: self.store.as_ref() };
        // The next block is later than the last one and about as late as our clock.
        let now = TimestampMs(wall_clock().0.max(head.timestamp.0.saturating_add(1)));
        match forecast(&self.rules, &head, &reader, &pooled.transaction, now) {
            Ok(Forecast::Applied) => Checked::Passed(Box::new(pooled)),
            Ok(Forecast::Rejected(reason)) => {
                Checked::Answered(Submitted::Refused(Refused::Rejected { id, reason }))
            }
            Ok(Forecast::NotExecuted(reason)) => {
                // Executed between the first look and now: then it is known, not refused.
                let known = self.is_executed(&id);
                let answer = if known {
                    Submitted::Known { id }
                } else {
                    Submitted::Refused(Refused::NotExecuted { id, reason })
                };
                Checked::Answered(answer)
            }
            Err(_) => Checked::Answered(unavailable),
        }
    }

    /// Offers what passed to the pool and puts the answers back in order.
    async fn pool(&self, checked: Vec<Checked>) -> Vec<Submitted> {
        let mut answers = Vec::with_capacity(checked.len());
        let mut passed = Vec::new();
        for one in checked {
            match one {
                Checked::Answered(answer) => answers.push(Some(answer)),
                Checked::Passed(pooled) => {
                    answers.push(None);
                    passed.push(*pooled);
                }
            }
        }
        let ids: Vec<TransactionId> = passed.iter().map(|pooled| pooled.id).collect();
        let mut verdicts = self.offer(passed).await.into_iter().zip(ids);
        let unavailable = Submitted::Refused(Refused::Unavailable { retry_after_ms: RETRY_AFTER_MS });
        let fill = |answer: Option<Submitted>| match answer {
            Some(answer) => answer,
            None => match verdicts.next() {
                Some((Some(Ok(())), id)) => Submitted::Accepted { id },
                Some((Some(Err(PoolRefusal::Known)), id)) => Submitted::Known { id },
                Some((Some(Err(reason)), id)) => Submitted::Refused(Refused::Pool { id, reason }),
                Some((None, _)) | None => unavailable.clone(),
            },
        };
        answers.into_iter().map(fill).collect()
    }

    /// The pool's answers; `None` where the chain could not be asked.
    async fn offer(&self, passed: Vec<Pooled>) -> Vec<Option<Result<(), PoolRefusal>>> {
        let count = passed.len();
        if passed.is_empty() {
            return Vec::new();
        }
        {
            let mut pending = self.pending();
            if pending.len().saturating_add(count) > PENDING_MAX {
                return vec![None; count];
            }
            // Before the pool answers: the outcome may come first, and must find it here to take it out.
            pending.extend(passed.iter().map(|pooled| (pooled.id, pooled.transaction.content.valid_until)));
        }
        let ids: Vec<TransactionId> = passed.iter().map(|pooled| pooled.id).collect();
        let (sender, receiver) = oneshot::channel();
        let sent = self.submissions.send(Submission { pooled: passed, answers: sender }).await.is_ok();
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

/// This machine's clock, in milliseconds since 1970.
pub(crate) fn wall_clock() -> TimestampMs {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
