//! The fourth stage, for a database: what it stores for each height against what the replay computed.
//!
//! Rows are compared as bytes, in bulk; only where they differ are they decoded, to name the field and both values.
//! Missing rows show here; rows that nothing computed show in the counts at the end ([`crate::stored_state`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::records::{HeightResult, HistoryEntry, Outcome, Receipt, Registry};
use ledger::state::{Outbox, SentReceipt};
use ledger::values::{Canonical, ChainId, CodecError, Hash, Height, Strategy as _, WalletId};
use storage::{Reader, Table, key};

use crate::cores::Cores;
use crate::difference::{Difference, Finding, Place, Value};
use crate::error::AuditError;
use crate::execute::ExecutedBlock;
use crate::report::StoredRows;

/// Keys of one bulk read: enough to make it cheap, few enough to share a page among cores.
const KEYS_PER_READ: usize = 2_048;

/// Name of the row of the root chain's table `Meta` that holds what the origin of a chain is made of that operators added.
#[must_use]
pub fn origin_parts_row(chain: ChainId) -> Vec<u8> {
    format!("origin-parts/{chain}").into_bytes()
}

/// Tables whose rows are compared height by height, in this order. Results last: where an outcome was changed, its row names
/// the transaction and the result only a root.
pub(crate) const COMPARED: [Table; 9] = [
    Table::Heights,
    Table::Outcomes,
    Table::Transactions,
    Table::History,
    Table::Receipts,
    Table::Outboxes,
    Table::Refunds,
    Table::Registries,
    Table::Results,
];

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
    Sent(SentReceipt),
    Outboxes,
    Refund { destination: ChainId, sequence: u64, refund: Receipt },
    Registry(Arc<Registry>),
    Origin(ChainId),
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
    pub(crate) fn compare_genesis(
        &mut self,
        result: &HeightResult,
        registry: &Registry,
    ) -> Result<(), AuditError> {
        let height = Height(0);
        let (row, subject) = (key::height(0).to_vec(), Subject::Result(Box::new(result.clone())));
        let mut rows = Rows::default();
        rows.add(Table::Heights, height, row.clone(), result.block.0.to_vec(), Subject::Digest);
        rows.add_registry(height, &Arc::new(registry.clone()));
        rows.add(Table::Results, height, row, result.encode(), subject);
        self.compare_rows(rows)
    }

    /// Compares what is stored for these heights.
    pub(crate) fn compare_page(&mut self, page: Vec<ExecutedBlock>) -> Result<(), AuditError> {
        let mut rows = Rows::default();
        for block in page {
            rows.add_receipts(&block);
            rows.add_block(block);
        }
        self.compare_rows(rows)
    }

    fn compare_rows(&mut self, mut rows: Rows) -> Result<(), AuditError> {
        for table in COMPARED {
            let mut expected = rows.0.remove(&table).unwrap_or_default();
            if table == Table::Refunds {
                expected = self.of_own_credits(expected)?;
            }
            if let Some(count) = self.rows.count_mut(table) {
                *count = count.saturating_add(expected.len() as u64);
            }
            self.compare(table, expected)?;
        }
        self.compare(Table::Meta, rows.0.remove(&Table::Meta).unwrap_or_default())
    }

    /// Keeps the refunds of credits that this chain sent itself: one that passes by, to where its payer has moved, names a credit of the
    /// chain that the payer has left. What was sent was compared before.
    fn of_own_credits(&self, refunds: Vec<Expected>) -> Result<Vec<Expected>, AuditError> {
        let mut own = Vec::with_capacity(refunds.len());
        for expected in refunds {
            let sent = self.reader.get(Table::Receipts, &expected.key)?;
            if expected.is_of(sent_receipt(sent.as_deref())) {
                own.push(expected);
            }
        }
        Ok(own)
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

/// Rows as the replay computes them, by table.
#[derive(Default)]
struct Rows(BTreeMap<Table, Vec<Expected>>);

impl Rows {
    fn add(&mut self, table: Table, height: Height, key: Vec<u8>, value: Vec<u8>, subject: Subject) {
        self.0.entry(table).or_default().push(Expected { height, key, value, subject });
    }

    /// Order, outcomes, index, history and result of a height.
    fn add_block(&mut self, block: ExecutedBlock) {
        let height = block.result.height;
        let row = || key::height(height.0).to_vec();
        self.add(Table::Heights, height, row(), block.digest.0.to_vec(), Subject::Digest);
        for outcome in &block.outcomes {
            let value = key::position(height.0, outcome.index).to_vec();
            let subject = Subject::Transaction(outcome.id);
            self.add(Table::Transactions, height, outcome.id.0.to_vec(), value, subject);
        }
        let value = encode_outcomes(&block.outcomes);
        self.add(Table::Outcomes, height, row(), value, Subject::Outcomes(block.outcomes));
        for (wallet, entry) in block.history {
            let place = key::history(entry.slot.0, height.0, entry.index, entry.part).to_vec();
            let value = entry.movement.encode();
            self.add(Table::History, height, place, value, Subject::History(wallet, entry));
        }
        if let Some(registry) = &block.registry {
            self.add_registry(height, registry);
        }
        if let Some((added, parts)) = block.origins {
            for chain in added {
                let row = origin_parts_row(chain);
                self.add(Table::Meta, height, row, parts.clone(), Subject::Origin(chain));
            }
        }
        let value = block.result.encode();
        self.add(Table::Results, height, row(), value, Subject::Result(Box::new(block.result)));
    }

    /// The registry after a height.
    fn add_registry(&mut self, height: Height, registry: &Arc<Registry>) {
        let (place, value) = (key::height(height.0).to_vec(), registry.encode());
        self.add(Table::Registries, height, place, value, Subject::Registry(Arc::clone(registry)));
    }

    /// Receipts that a height sent, the outboxes after it, and refunds that it received.
    fn add_receipts(&mut self, block: &ExecutedBlock) {
        let height = block.result.height;
        for sent in &block.sent {
            let place = key::receipt(sent.destination.0, sent.sequence).to_vec();
            let value = [height.0.to_le_bytes().as_slice(), &sent.receipt.encode()].concat();
            self.add(Table::Receipts, height, place, value, Subject::Sent(sent.clone()));
        }
        if let Some(outboxes) = &block.outboxes {
            let (place, value) = (key::height(height.0).to_vec(), encode_outboxes(outboxes));
            self.add(Table::Outboxes, height, place, value, Subject::Outboxes);
        }
        for received in &block.received {
            if let Receipt::Refund { chain: destination, credit: sequence, .. } = received.receipt {
                let place = key::receipt(destination.0, sequence).to_vec();
                let value = key::receipt(received.source.0, received.sequence).to_vec();
                let subject = Subject::Refund { destination, sequence, refund: received.receipt.clone() };
                self.add(Table::Refunds, height, place, value, subject);
            }
        }
    }
}

impl Expected {
    /// Whether it is about the refund of this receipt.
    fn is_of(&self, sent: Option<Receipt>) -> bool {
        let Subject::Refund { refund: Receipt::Refund { payer, payee, amount, .. }, .. } = &self.subject
        else {
            return false;
        };
        let Some(Receipt::Credit { payer: by, payee: to, amount: of, origin: None, .. }) = sent else {
            return false;
        };
        (by, to, of) == (*payer, *payee, *amount)
    }

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
            Subject::Sent(sent) => self.explain_sent(sent, stored),
            Subject::Outboxes => self.bytes(Place::Outboxes, "trees", stored),
            Subject::Origin(chain) => self.bytes(Place::Origin(*chain), "parts of the state", stored),
            Subject::Refund { destination, sequence, .. } => {
                let place = Place::Refund { destination: *destination, sequence: *sequence };
                let stored = stored.map_or(Value::Absent, receipt);
                Finding::Value { place, field: "receipt", stored, computed: receipt(&self.value) }
            }
            Subject::Registry(computed) => match stored.map(Registry::decode) {
                None => Finding::RowMissing { table },
                Some(Err(fault)) => Finding::RowDamaged { table, fault },
                Some(Ok(stored)) => explain_registry(&stored, computed),
            },
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

    fn explain_sent(&self, sent: &SentReceipt, stored: Option<&[u8]>) -> Finding {
        let place = Place::Receipt { destination: sent.destination, sequence: sent.sequence };
        match sent_receipt(stored).map(|receipt| receipt.value()) {
            Some(value) if value != sent.receipt.value() => {
                let (stored, computed) = (Value::Money(value), Value::Money(sent.receipt.value()));
                Finding::Value { place, field: "amount", stored, computed }
            }
            _ => self.bytes(place, "row", stored),
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

/// The outboxes after a height as they are stored: their number, then of each the chain, the count of receipts, the number of
/// peaks and the peaks, all little-endian.
fn encode_outboxes(outboxes: &[Outbox]) -> Vec<u8> {
    let mut bytes = (outboxes.len() as u64).to_le_bytes().to_vec();
    for outbox in outboxes {
        bytes.extend_from_slice(&outbox.chain.0.to_le_bytes());
        bytes.extend_from_slice(&outbox.tree.count.to_le_bytes());
        bytes.extend_from_slice(&(outbox.tree.peaks.len() as u64).to_le_bytes());
        outbox.tree.peaks.iter().for_each(|peak| bytes.extend_from_slice(&peak.0));
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

/// The receipt of a row of those that were sent; the height that sent it comes before.
fn sent_receipt(row: Option<&[u8]>) -> Option<Receipt> {
    let (_height, receipt) = row?.split_first_chunk::<8>()?;
    Receipt::decode(receipt).ok()
}

fn receipt(bytes: &[u8]) -> Value {
    match key::split_receipt(bytes) {
        Some((chain, sequence)) => Value::Receipt(ChainId(chain), sequence),
        None => Value::Bytes(bytes.to_vec()),
    }
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
            (Some(left), Some(right)) if left.fee != right.fee => {
                ("fee", Value::Money(left.fee), Value::Money(right.fee))
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

/// The first part of a registry that differs, the most telling one first.
fn explain_registry(stored: &Registry, computed: &Registry) -> Finding {
    let parts = |registry: &Registry| {
        [
            ("version", Value::Number(registry.version)),
            ("operators", Value::Number(registry.operators.len() as u64)),
            ("nodes", Value::Number(registry.nodes.len() as u64)),
            ("chains", Value::Number(registry.chains.len() as u64)),
            ("hash", hash(registry.hash().0)),
        ]
    };
    let pairs = parts(stored).into_iter().zip(parts(computed));
    let different = pairs.into_iter().find(|((_, stored), (_, computed))| stored != computed);
    let ((field, stored), (_, computed)) =
        different.unwrap_or((("encoding", Value::Absent), ("encoding", Value::Absent)));
    Finding::Value { place: Place::Registry, field, stored, computed }
}

/// The first field of a result that differs, the most telling one first.
fn explain_result(stored: &HeightResult, computed: &HeightResult) -> Finding {
    let number = |value: u32| Value::Number(u64::from(value));
    let fields = |result: &HeightResult| {
        [
            ("state root", hash(result.state.0)),
            ("outcomes root", hash(result.outcomes.0)),
            ("outbox root", hash(result.outbox.0)),
            ("next set", hash(result.next_set.0)),
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
