//! Admission at a node: the checks that production's `node::admission` makes, in its order, before the pool.
//!
//! Production makes them on other threads; here they take no virtual time, so a forecast is never older than a step.

use std::collections::BTreeMap;

use chain::{Archive, RecordCache, RecordReader};
use ledger::records::{NotExecuted, Rejection, Transaction};
use ledger::rules::{
    ChainRules, Forecast, Forecasted, TransactionFault, check_signatures, check_transaction, forecast,
};
use ledger::values::{Canonical as _, CodecError, KeyCache, Sequential, TimestampMs, TransactionId};
use mempool::{Balance, PoolRefusal, Pooled};
use storage::{Store, Table};
use tokio::sync::oneshot;

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken in.
    Accepted,
    /// Posted before: waiting, ordered or executed.
    Known,
    /// Not taken in, for a reason that was there first.
    Refused(Refusal),
}

/// Why a transaction was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Codec(CodecError),
    Stateless(TransactionFault),
    NotExecuted(NotExecuted),
    Rejected(Rejection),
    Pool(PoolRefusal),
    Store,
}

impl Refusal {
    /// One word, for the report.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Codec(_) => "codec".into(),
            Self::Stateless(_) => "stateless".into(),
            Self::NotExecuted(reason) => reason.name(),
            Self::Rejected(reason) => reason.name(),
            Self::Pool(PoolRefusal::NonceTaken { .. }) => "pool_nonce_taken".into(),
            Self::Pool(PoolRefusal::Known) => "pool_known".into(),
            Self::Pool(PoolRefusal::FeePromised { .. }) => "pool_fee_promised".into(),
            Self::Pool(PoolRefusal::WalletFull) => "pool_wallet_full".into(),
            Self::Pool(PoolRefusal::OperatorFull) => "pool_operator_full".into(),
            Self::Pool(PoolRefusal::Full) => "pool_full".into(),
            Self::Store => "store".into(),
        }
    }
}

/// A transaction on its way to a node.
pub(crate) struct Submission {
    pub(crate) bytes: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The door of one node; what it remembers ends with the process.
pub(crate) struct Door {
    rules: ChainRules,
    pending: BTreeMap<TransactionId, TimestampMs>,
    keys: KeyCache,
    secret: [u8; 32],
}

impl Door {
    pub(crate) fn new(rules: ChainRules, secret: [u8; 32]) -> Self {
        Self { rules, pending: BTreeMap::new(), keys: KeyCache::default(), secret }
    }

    /// An executed height has changed the rules.
    pub(crate) fn set_rules(&mut self, rules: ChainRules) {
        self.rules = rules;
    }

    /// Checks one transaction; answers what to offer to the pool, or what to tell the client.
    pub(crate) fn check(
        &mut self,
        store: &dyn Store,
        bytes: &[u8],
        wall: TimestampMs,
    ) -> Result<Pooled, Answer> {
        let refused = Answer::Refused;
        let transaction = Transaction::decode(bytes).map_err(|fault| refused(Refusal::Codec(fault)))?;
        check_transaction(&self.rules, &transaction).map_err(|fault| refused(Refusal::Stateless(fault)))?;
        let id = transaction.id(self.rules.genesis);
        if self.pending.contains_key(&id) || is_executed(store, &id) {
            return Err(Answer::Known);
        }
        check_signatures(&[&transaction], self.rules.genesis, &self.secret, &self.keys, &Sequential)
            .map_err(|_| refused(Refusal::Stateless(TransactionFault::SignatureInvalid)))?;
        let Ok(Some(head)) = Archive::new(store).head() else { return Err(refused(Refusal::Store)) };
        let now = TimestampMs(wall.0.max(head.timestamp.0.saturating_add(1)));
        let reader = RecordReader { store, cache: &RecordCache::default() };
        let forecasted = forecast(&self.rules, &head, &reader, &transaction, now);
        let Ok(Forecasted { becomes, weight, operator, is_exempt, payer_balance, .. }) = forecasted else {
            return Err(refused(Refusal::Store));
        };
        match (becomes, operator) {
            (Forecast::Applied, Some(operator)) => {
                let (bytes, base_fee) = (bytes.len(), head.base_fee);
                let balance = Balance { amount: payer_balance, after: head.height };
                Ok(Pooled { id, transaction, bytes, weight, operator, is_exempt, balance, base_fee })
            }
            (Forecast::Rejected(reason), _) => Err(refused(Refusal::Rejected(reason))),
            (Forecast::NotExecuted(reason), _) => Err(refused(Refusal::NotExecuted(reason))),
            // Only a wallet that exists is executed.
            (Forecast::Applied, None) => Err(refused(Refusal::Store)),
        }
    }

    /// The pool's answer to what passed.
    pub(crate) fn pooled(
        &mut self,
        id: TransactionId,
        valid_until: TimestampMs,
        verdict: Option<Result<(), PoolRefusal>>,
    ) -> Answer {
        match verdict {
            Some(Ok(())) => {
                self.pending.insert(id, valid_until);
                Answer::Accepted
            }
            Some(Err(PoolRefusal::Known)) => Answer::Known,
            Some(Err(reason)) => Answer::Refused(Refusal::Pool(reason)),
            None => Answer::Refused(Refusal::Store),
        }
    }

    /// These were ordered, or ran out of time.
    pub(crate) fn settle(&mut self, ids: &[TransactionId]) {
        for id in ids {
            self.pending.remove(id);
        }
    }

    /// Forgets what can no longer execute.
    pub(crate) fn expire(&mut self, block_time: TimestampMs) {
        self.pending.retain(|_, valid_until| *valid_until >= block_time);
    }
}

fn is_executed(store: &dyn Store, id: &TransactionId) -> bool {
    matches!(store.get(Table::Transactions, &id.0), Ok(Some(_)))
}
