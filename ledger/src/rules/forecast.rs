//! A forecast: what a transaction would become if it were executed now, alone. Not a promise: others may come
//! first.

use super::admission::Circumstances;
use super::apply::Working;
use super::chain_rules::ChainRules;
use super::govern::Checked;
use super::transition::{Prepared, TRANSACTIONS_PER_CHUNK, run};
use crate::records::{NotExecuted, Rejection, Transaction};
use crate::state::overlay::Overlay;
use crate::state::shares::Shares;
use crate::state::{ChainState, ReadFault, StateHead, StateReader};
use crate::values::{RecordId, Sequential, Strategy, TimestampMs};

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
) -> Result<Forecast, ReadFault> {
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
) -> Result<Vec<Forecast>, ReadFault> {
    let prepare = |transaction: &&'a Transaction| {
        let prepared = Prepared::new(rules, transaction);
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
    let one = |(transaction, prepared, touched): &(&Transaction, Prepared, Vec<RecordId>)| {
        let record = |id: &RecordId| found.get(ids.binary_search(id).ok()?)?.clone();
        let overlay = Overlay::new(touched, touched.iter().map(record).collect(), next_slot, None)?;
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
        };
        Ok(match run(&mut working, transaction, prepared, 0, at) {
            Err(reason) => Forecast::NotExecuted(reason),
            Ok(outcome) => outcome.rejection().map_or(Forecast::Applied, Forecast::Rejected),
        })
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
    ) -> Result<Forecast, ReadFault> {
        forecast(self.rules(), self.head(), reader, transaction, now)
    }
}
