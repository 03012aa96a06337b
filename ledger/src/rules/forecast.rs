//! A forecast: what a transaction would become and cost if it were executed now, alone. Not a promise: others may come
//! first.

use super::admission::Circumstances;
use super::apply::Working;
use super::chain_rules::ChainRules;
use super::govern::Checked;
use super::transition::{Prepared, TRANSACTIONS_PER_CHUNK, read_pots, run};
use crate::records::{NotExecuted, Rejection, Transaction};
use crate::state::overlay::Overlay;
use crate::state::shares::Shares;
use crate::state::{ChainState, ReadFault, StateHead, StateReader};
use crate::values::{Amount, OperatorId, RecordId, Sequential, Strategy, TimestampMs};

/// What a transaction would become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    /// Applied.
    Applied,
    /// Executed, without another effect than a used nonce.
    Rejected(Rejection),
    /// Not executed.
    NotExecuted(NotExecuted),
}

/// What a transaction would become and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecasted {
    /// What it would become.
    pub becomes: Forecast,
    /// What would be charged, base fee and tip, at the base fee of the next block; zero where it would not be executed.
    pub fee: Amount,
    /// Its weight.
    pub weight: u64,
    /// The operator of the signer's wallet; none where that does not exist.
    pub operator: Option<OperatorId>,
    /// Whether that wallet's tier owes no base fee.
    pub is_exempt: bool,
    /// What the payer of the fee has before: the sponsor where there is one, else the signer; zero where it does not exist.
    pub payer_balance: Amount,
}

/// Runs `transaction` at `now` on a throw-away copy of the records that `reader` holds, which are those after
/// `head`.
///
/// # Errors
/// [`ReadFault`] when the store fails.
pub fn forecast(
    rules: &ChainRules,
    head: &StateHead,
    reader: &impl StateReader,
    transaction: &Transaction,
    now: TimestampMs,
) -> Result<Forecasted, ReadFault> {
    let forecasts = forecast_each(rules, head, reader, &[transaction], now, &Sequential)?;
    forecasts.first().copied().ok_or(ReadFault::Store)
}

/// [`forecast`] for each of many, every one as if it were alone; the records of all are read at once.
///
/// # Errors
/// [`ReadFault`] when the store fails.
pub fn forecast_each<'a>(
    rules: &ChainRules,
    head: &StateHead,
    reader: &impl StateReader,
    transactions: &[&'a Transaction],
    now: TimestampMs,
    strategy: &impl Strategy,
) -> Result<Vec<Forecasted>, ReadFault> {
    let prepare = |transaction: &&'a Transaction| {
        let prepared = Prepared::new(rules, transaction, None);
        let mut ids = Vec::new();
        prepared.touched(transaction, &mut ids);
        ids.sort_unstable();
        ids.dedup();
        (*transaction, prepared, ids)
    };
    let prepared = strategy.map(transactions, TRANSACTIONS_PER_CHUNK, prepare);
    let mut ids: Vec<RecordId> = prepared.iter().flat_map(|(_, _, ids)| ids.iter().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = reader.find(&ids)?;
    if found.len() != ids.len() {
        return Err(ReadFault::Store);
    }
    // A reader may be ahead of the head by a height; slots beyond it are real then.
    let last = found.iter().flatten().map(|(slot, _)| slot.0.saturating_add(1)).max().unwrap_or(0);
    let next_slot = head.records.max(last);
    let at = Circumstances { now, base_fee: head.base_fee };
    let touches_fee_pool = |(transaction, prepared, _): &(&Transaction, Prepared, Vec<RecordId>)| {
        prepared.touches_fee_pool(transaction, at.base_fee)
    };
    let pots = read_pots(reader, prepared.iter().any(touches_fee_pool), false)?;
    let one = |(transaction, prepared, touched): &(&Transaction, Prepared, Vec<RecordId>)| {
        let record = |id: &RecordId| found.get(ids.binary_search(id).ok()?)?.clone();
        let overlay = Overlay::new(touched, touched.iter().map(record).collect(), next_slot, pots)?;
        let (supply, outboxes) = (head.supply.clone(), head.outboxes.clone());
        let mut working = Working {
            rules,
            height: head.height.next(),
            now,
            registry: None,
            approvals: Checked::default(),
            overlay,
            names: None,
            supply,
            outboxes,
            sent: Vec::new(),
            unsent: None,
            moving: head.moving,
            reserved: 0,
            history: Vec::new(),
            overdue_before: head.overdue_before(),
            open: Shares::default(),
            made: Shares::default(),
            quotas: Vec::new(),
        };
        let signer = working.overlay.find(&transaction.content.wallet);
        let signer = signer.and_then(|place| working.overlay.wallet(place));
        let (operator, weight) = (signer.map(|wallet| wallet.operator), prepared.weight);
        let is_exempt = signer.is_some_and(|wallet| rules.params.tier(wallet.tier).is_fee_exempt);
        let payer = working.overlay.find(&transaction.content.payer());
        let payer = payer.and_then(|place| working.overlay.wallet(place));
        let payer_balance = payer.map_or(Amount::ZERO, |wallet| wallet.balance);
        let (becomes, fee) = match run(&mut working, transaction, prepared, 0, at) {
            Err(reason) => (Forecast::NotExecuted(reason), Amount::ZERO),
            Ok(outcome) => (outcome.rejection().map_or(Forecast::Applied, Forecast::Rejected), outcome.fee),
        };
        Ok(Forecasted { becomes, fee, weight, operator, is_exempt, payer_balance })
    };
    strategy.map(&prepared, TRANSACTIONS_PER_CHUNK, one).into_iter().collect()
}

impl ChainState {
    /// See [`forecast`].
    ///
    /// # Errors
    /// [`ReadFault`] when the store fails.
    pub fn forecast(
        &self,
        reader: &impl StateReader,
        transaction: &Transaction,
        now: TimestampMs,
    ) -> Result<Forecasted, ReadFault> {
        forecast(self.rules(), self.head(), reader, transaction, now)
    }
}
