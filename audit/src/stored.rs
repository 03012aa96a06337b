//! The fourth stage, for a database: what it stores for each height against what the replay computed.
//!
//! Rows are compared as bytes, in bulk; only where they differ are they decoded, to name the field and both values.
//! Missing rows show here; rows that nothing computed show in the counts at the end ([`crate::stored_state`]).

use std::sync::Arc;

use ledger::records::{HeightResult, HistoryEntry, Outcome};
use ledger::values::{Canonical, ChainId, CodecError, Hash, Height, Strategy as _, WalletId};
use storage::{Reader, Table, key};

use crate::cores::Cores;
use crate::difference::{Difference, Finding, Place, Value};
use crate::error::AuditError;
use crate::execute::ExecutedBlock;
use crate::report::StoredRows;

/// Keys of one bulk read: enough to make it cheap, few enough to share a page among cores.
const KEYS_PER_READ: usize = 2_048;

/// Compares a database's rows with the replay's.
pub(crate) struct StoredHeights<'a> {
    reader: &'a dyn Reader,
    chain: ChainId,
    cores: Arc<Cores>,
    rows: StoredRows,
}

/// A row as the replay computes it, and what it is about.
struct Expected {
    height: Height,
    key: Vec<u8>,
    value: Vec<u8>,
    subject: Subject,
}

/// What a row says.
enum Subject {
    Digest,
    Result(Box<HeightResult>),
    Outcomes(Vec<Outcome>),
    Transaction(ledger::values::TransactionId),
    History(WalletId, HistoryEntry),
}

impl<'a> StoredHeights<'a> {
    pub(crate) fn new(reader: &'a dyn Reader, chain: ChainId, cores: Arc<Cores>) -> Self {
        Self { reader, chain, cores, rows: StoredRows::default() }
    }

    /// Rows compared so far.
    pub(crate) const fn rows(&self) -> StoredRows {
        self.rows
    }

    /// Compares what is stored for height 0.
    pub(crate) fn compare_genesis(&mut self, result: &HeightResult) -> Result<(), AuditError> {
        let row = key::height(0).to_vec();
        let order = Expected {
            height: Height(0),
            key: row.clone(),
            value: result.block.0.to_vec(),
            subject: Subject::Digest,
        };
        self.compare(Table::Heights, vec![order])?;
        let subject = Subject::Result(Box::new(result.clone()));
        self.compare(
            Table::Results,
            vec![Expected { height: Height(0), key: row, value: result.encode(), subject }],
        )?;
        self.rows.results = self.rows.results.saturating_add(1);
        Ok(())
    }

    /// Compares what is stored for these heights.
    pub(crate) fn compare_page(&mut self, page: Vec<ExecutedBlock>) -> Result<(), AuditError> {
        let (mut order, mut results, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut transactions, mut history) = (Vec::new(), Vec::new());
        for block in page {
            let height = block.result.height;
            let row = || key::height(height.0).to_vec();
            order.push(Expected {
                height,
                key: row(),
                value: block.digest.0.to_vec(),
                subject: Subject::Digest,
            });
            for outcome in &block.outcomes {
                let value = key::position(height.0, outcome.index).to_vec();
                let subject = Subject::Transaction(outcome.id);
                transactions.push(Expected { height, key: outcome.id.0.to_vec(), value, subject });
            }
            let value = encode_outcomes(&block.outcomes);
            outcomes.push(Expected { height, key: row(), value, subject: Subject::Outcomes(block.outcomes) });
            for (wallet, entry) in block.history {
                let place = key::history(entry.slot.0, height.0, entry.index, entry.part).to_vec();
                let value = entry.movement.encode();
                history.push(Expected {
                    height,
                    key: place,
                    value,
                    subject: Subject::History(wallet, entry),
                });
            }
            let value = block.result.encode();
            results.push(Expected {
                height,
                key: row(),
                value,
                subject: Subject::Result(Box::new(block.result)),
            });
        }
        let rows = &mut self.rows;
        rows.results = rows.results.saturating_add(results.len() as u64);
        rows.outcomes = rows.outcomes.saturating_add(outcomes.len() as u64);
        rows.transactions = rows.transactions.saturating_add(transactions.len() as u64);
        rows.history = rows.history.saturating_add(history.len() as u64);
        // Results last: where an outcome was changed, its row names the transaction and the result only a root.
        for (table, expected) in [
            (Table::Heights, order),
            (Table::Outcomes, outcomes),
            (Table::Transactions, transactions),
            (Table::History, history),
            (Table::Results, results),
        ] {
            self.compare(table, expected)?;
        }
        Ok(())
    }

    /// Compares rows of one table; the first difference by height, then by place.
    fn compare(&self, table: Table, expected: Vec<Expected>) -> Result<(), AuditError> {
        let chunks: Vec<&[Expected]> = expected.chunks(KEYS_PER_READ).collect();
        let compared = self.cores.map(&chunks, 1, |chunk| -> Result<(), AuditError> {
            let keys: Vec<&[u8]> = chunk.iter().map(|expected| expected.key.as_slice()).collect();
            let stored = self.reader.multi_get(table, &keys)?;
            let differs =
                |(expected, stored): &(&Expected, Option<Vec<u8>>)| stored.as_ref() != Some(&expected.value);
            match chunk.iter().zip(stored).find(differs) {
                None => Ok(()),
                Some((expected, stored)) => {
                    let finding = expected.explain(table, stored.as_deref());
                    Err(Difference { chain: self.chain, height: expected.height, finding }.into())
                }
            }
        });
        compared.into_iter().collect()
    }
}

impl Expected {
    /// Names the field that differs and both values.
    fn explain(&self, table: Table, stored: Option<&[u8]>) -> Finding {
        match &self.subject {
            Subject::Digest => self.bytes(Place::Order, "digest", stored),
            Subject::Transaction(id) => {
                let computed = position(&self.value);
                let stored = stored.map_or(Value::Absent, position);
                Finding::Value { place: Place::Transaction(*id), field: "position", stored, computed }
            }
            Subject::History(wallet, entry) => {
                let place = Place::History { wallet: *wallet, index: entry.index, part: entry.part };
                self.bytes(place, "movement", stored)
            }
            Subject::Result(computed) => match stored.map(HeightResult::decode) {
                None => Finding::RowMissing { table },
                Some(Err(fault)) => Finding::RowDamaged { table, fault },
                Some(Ok(stored)) => explain_result(&stored, computed),
            },
            Subject::Outcomes(computed) => match stored.map(decode_outcomes) {
                None => Finding::RowMissing { table },
                Some(Err(fault)) => Finding::RowDamaged { table, fault },
                Some(Ok(stored)) => explain_outcomes(&stored, computed),
            },
        }
    }

    fn bytes(&self, place: Place, field: &'static str, stored: Option<&[u8]>) -> Finding {
        let stored = stored.map_or(Value::Absent, |stored| Value::Bytes(stored.to_vec()));
        Finding::Value { place, field, stored, computed: Value::Bytes(self.value.clone()) }
    }
}

/// A block's outcomes as they are stored: their number, then each, all little-endian.
fn encode_outcomes(outcomes: &[Outcome]) -> Vec<u8> {
    let mut bytes = (outcomes.len() as u64).to_le_bytes().to_vec();
    for outcome in outcomes {
        bytes.extend_from_slice(&outcome.encode());
    }
    bytes
}

fn decode_outcomes(bytes: &[u8]) -> Result<Vec<Outcome>, CodecError> {
    const MALFORMED: CodecError = CodecError::Malformed { value: "outcomes of a block" };
    let (count, rest) = bytes.split_first_chunk::<8>().ok_or(MALFORMED)?;
    let outcomes: Vec<Outcome> =
        rest.chunks(<Outcome as Canonical>::BYTES_MAX).map(Outcome::decode).collect::<Result<_, _>>()?;
    if outcomes.len() as u64 == u64::from_le_bytes(*count) { Ok(outcomes) } else { Err(MALFORMED) }
}

fn position(bytes: &[u8]) -> Value {
    match key::split_position(bytes) {
        Some((height, index)) => Value::Position(Height(height), index),
        None => Value::Bytes(bytes.to_vec()),
    }
}

fn explain_outcomes(stored: &[Outcome], computed: &[Outcome]) -> Finding {
    for place in 0..stored.len().max(computed.len()) {
        let (left, right) = (stored.get(place), computed.get(place));
        if left == right {
            continue;
        }
        let id = right.or(left).map(|outcome| outcome.id).unwrap_or_default();
        let (field, stored, computed) = match (left, right) {
            (Some(left), Some(right)) if left.id != right.id => {
                ("transaction", hash(left.id.0), hash(right.id.0))
            }
            (Some(left), Some(right)) if left.code != right.code => {
                ("code", Value::Number(u64::from(left.code)), Value::Number(u64::from(right.code)))
            }
            _ => ("outcome", encoded(left), encoded(right)),
        };
        return Finding::Value { place: Place::Outcome(id), field, stored, computed };
    }
    let (stored, computed) = (Value::Number(stored.len() as u64), Value::Number(computed.len() as u64));
    Finding::Value { place: Place::Outcomes, field: "encoding", stored, computed }
}

fn encoded(outcome: Option<&Outcome>) -> Value {
    outcome.map_or(Value::Absent, |outcome| Value::Bytes(outcome.encode()))
}

const fn hash(bytes: [u8; 32]) -> Value {
    Value::Hash(Hash(bytes))
}

/// The first field of a result that differs, the most telling one first.
fn explain_result(stored: &HeightResult, computed: &HeightResult) -> Finding {
    let number = |value: u32| Value::Number(u64::from(value));
    let fields = |result: &HeightResult| {
        [
            ("state root", hash(result.state.0)),
            ("outcomes root", hash(result.outcomes.0)),
            ("outbox root", hash(result.outbox.0)),
            ("issued", Value::Money(result.supply.issued)),
            ("redeemed", Value::Money(result.supply.redeemed)),
            ("holdings", Value::Money(result.supply.holdings)),
            ("executed", number(result.executed)),
            ("skipped", number(result.skipped)),
            ("block", hash(result.block.0)),
            ("previous result", hash(result.previous.0)),
            ("encoding", Value::Bytes(result.encode())),
        ]
    };
    let pairs = fields(stored).into_iter().zip(fields(computed));
    let different = pairs.into_iter().find(|((_, stored), (_, computed))| stored != computed);
    let ((field, stored), (_, computed)) =
        different.unwrap_or((("encoding", Value::Absent), ("encoding", Value::Absent)));
    Finding::Value { place: Place::Result, field, stored, computed }
}
