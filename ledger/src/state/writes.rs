//! What a height makes: its result, what it writes, and how to take it back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::head::StateHead;
use crate::records::{HeightResult, HistoryEntry, NotExecuted, Outcome, Receipt, Record, Registry};
use crate::values::codec::{Canonical, CodecError};
use crate::values::{ChainId, Epoch, LockId, RecordId, ResultHash, Slot, TransactionId};

/// Records that a height writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateWrites {
    /// Each changed or new record once, ascending by slot.
    pub records: Vec<(Slot, Record)>,
    /// Names of new wallets, locks and offers, ascending by slot.
    pub opened: Vec<(RecordId, Slot)>,
}

/// A transaction that consumed no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Position among all transactions that the block orders.
    pub index: u32,
    /// The transaction.
    pub id: TransactionId,
    /// Why.
    pub reason: NotExecuted,
}

/// A receipt that a height sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentReceipt {
    /// To which chain.
    pub destination: ChainId,
    /// Its number among all sent there.
    pub sequence: u64,
    /// What it says.
    pub receipt: Receipt,
}

/// A receipt that a height executed. Its outcome is among the height's outcomes, after those of the transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedReceipt {
    /// From which chain.
    pub source: ChainId,
    /// Its number among all that come from there.
    pub sequence: u64,
    /// What it says.
    pub receipt: Receipt,
    /// 0 for applied, else the code of the [`crate::records::Rejection`]; then a refund was sent. Of a credit or a refund that was
    /// sent on because its wallet is elsewhere: that of [`crate::records::Rejection::SentOn`].
    pub code: u16,
    /// The place among the receipts to another chain under which it was sent on.
    pub sent_on: Option<(ChainId, u64)>,
}

/// Why a bundle was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassedOver {
    /// All its receipts came already, or earlier ones are missing. Two leaders may bring the same receipts: harmless.
    #[error("the bundle begins at receipt {first}, the next one is {next}")]
    NotNext {
        /// Number of its first receipt.
        first: u64,
        /// The next one.
        next: u64,
    },
    /// It carries more money than can exist: a quorum of its source has certified what its rules do not allow.
    #[error("the bundle carries more money than can exist")]
    Unbacked {},
    /// Its source's set has changed, and this chain knows: the validators that certified it may have left (PROTOCOL rule 2).
    #[error("the bundle is certified by epoch {epoch}, epoch {newest} is known")]
    StaleEpoch {
        /// The epoch of its certificate.
        epoch: Epoch,
        /// The newest that the registry has.
        newest: Epoch,
    },
    /// This chain is a child that takes receipts from its parent and the root chain only until it knows all its wallets (PROTOCOL rule
    /// 25).
    #[error("this chain is being filled; receipts of other chains wait")]
    Filling {},
    /// No wallet is at home at its source (yet): that is a child of which only the root chain takes anything, or one that was removed.
    #[error("no wallet is at home at the bundle's source")]
    NotHome {},
}

/// What executing a height made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The result.
    pub result: HeightResult,
    /// Its hash, which blocks claim.
    pub result_hash: ResultHash,
    /// The head after it.
    pub head: StateHead,
    /// Outcomes in execution order: the leaves under the outcomes root.
    pub outcomes: Vec<Outcome>,
    /// Transactions without an outcome, in order.
    pub skipped: Vec<Skipped>,
    /// Receipts sent to other chains, in order.
    pub sent: Vec<SentReceipt>,
    /// Receipts from other chains, in execution order.
    pub received: Vec<ReceivedReceipt>,
    /// Locks and offers that ended because their deadline had passed, in execution order: their outcomes come last.
    pub expired: Vec<LockId>,
    /// Bundles of the body that were not executed: their positions, and why.
    pub passed_over: Vec<(u32, PassedOver)>,
    /// What to write.
    pub writes: StateWrites,
    /// The registry after it, where it changed: rules and state root have it from the next height on.
    pub registry: Option<Arc<Registry>>,
    /// What wallets' owners will read, in execution order.
    pub history: Vec<HistoryEntry>,
    /// How to take it back.
    pub undo: Undo,
}

/// Takes a height back exactly; kept until the height is certified (PROTOCOL rule 14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The head before the height.
    pub head: StateHead,
    /// The registry before it, where it changed.
    pub registry: Option<Arc<Registry>>,
    /// Changed records as they were, ascending by slot.
    pub records: Vec<(Slot, Record)>,
    /// Names that did not exist before, ascending by slot.
    pub opened: Vec<(RecordId, Slot)>,
}

impl Undo {
    /// The bytes to store: each part with its length as u64 before it. Local to a node, never signed or sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut part = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        part(&self.head.encode());
        part(&self.registry.as_ref().map_or(Vec::new(), |registry| registry.encode()));
        for (slot, record) in &self.records {
            part(&[slot.0.to_le_bytes().as_slice(), &record.encode()].concat());
        }
        part(&[]);
        for (id, slot) in &self.opened {
            part(&[slot.0.to_le_bytes().as_slice(), &id.0].concat());
        }
        bytes
    }

    /// Whether the height whose stored bytes these are has written the record at `slot`, or opened it. Nothing is decoded but slots.
    ///
    /// # Errors
    /// [`CodecError`] when they are not what [`Self::encode`] wrote.
    pub fn touches(bytes: &[u8], slot: Slot) -> Result<bool, CodecError> {
        Ok(!Self::touched(bytes, &BTreeSet::from([slot]))?.is_empty())
    }

    /// Which of the records at these slots the height has written, or opened: one pass, however many they are.
    ///
    /// # Errors
    /// As [`Self::touches`].
    pub fn touched(mut bytes: &[u8], slots: &BTreeSet<Slot>) -> Result<BTreeSet<Slot>, CodecError> {
        // The head and the registry.
        for _ in 0..2 {
            part(&mut bytes)?.ok_or(MALFORMED)?;
        }
        let (mut found, mut is_ended) = (BTreeSet::new(), false);
        while let Some(entry) = part(&mut bytes)? {
            if entry.is_empty() && !is_ended {
                is_ended = true;
                continue;
            }
            let (written, _) = entry.split_first_chunk::<8>().ok_or(MALFORMED)?;
            let slot = Slot(u64::from_le_bytes(*written));
            if slots.contains(&slot) && found.insert(slot) && found.len() == slots.len() {
                return Ok(found);
            }
        }
        if is_ended { Ok(found) } else { Err(MALFORMED) }
    }

    /// Reads the stored bytes.
    ///
    /// # Errors
    /// [`CodecError`] when they are not what [`Self::encode`] wrote.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, CodecError> {
        let mut part = || part(&mut bytes);
        let head = StateHead::decode(part()?.ok_or(MALFORMED)?)?;
        let registry = match part()?.ok_or(MALFORMED)? {
            [] => None,
            bytes => Some(Arc::new(Registry::decode(bytes)?)),
        };
        let mut records = Vec::new();
        loop {
            let entry = part()?.ok_or(MALFORMED)?;
            if entry.is_empty() {
                break;
            }
            let (slot, record) = entry.split_first_chunk::<8>().ok_or(MALFORMED)?;
            records.push((Slot(u64::from_le_bytes(*slot)), Record::decode(record)?));
        }
        let mut opened = Vec::new();
        while let Some(entry) = part()? {
            let (slot, id) = entry.split_first_chunk::<8>().ok_or(MALFORMED)?;
            opened.push((RecordId(id.try_into().map_err(|_| MALFORMED)?), Slot(u64::from_le_bytes(*slot))));
        }
        Ok(Self { head, registry, records, opened })
    }
}

/// The next part, without the length before it; `None` at the end.
fn part<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, CodecError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(MALFORMED)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| MALFORMED)?;
    let (part, rest) = rest.split_at_checked(length).ok_or(MALFORMED)?;
    *bytes = rest;
    Ok(Some(part))
}

const MALFORMED: CodecError = CodecError::Malformed { value: "undo record" };

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored bytes: parts with their lengths.
    fn stored(parts: &[&[u8]]) -> Vec<u8> {
        let with_length = |part: &&[u8]| [(part.len() as u64).to_le_bytes().as_slice(), *part].concat();
        parts.iter().flat_map(with_length).collect()
    }

    #[test]
    fn slots_are_found_without_the_records_around_them() {
        let (nine, five) = ([9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3], [5, 0, 0, 0, 0, 0, 0, 0, 7]);
        let bytes = stored(&[b"head", b"", &nine, b"", &five]);
        for (slot, is_touched) in [(9, true), (5, true), (4, false), (0, false)] {
            assert_eq!(Undo::touches(&bytes, Slot(slot)), Ok(is_touched), "{slot}");
        }
        let nothing = stored(&[b"head", b"registry", b""]);
        assert_eq!(Undo::touches(&nothing, Slot(0)), Ok(false));
        let damaged = [
            stored(&[b"head"]),
            stored(&[b"head", b""]),
            stored(&[b"head", b"", b"short", b""]),
            stored(&[b"head", b"", b"", b""]),
            bytes[..bytes.len() - 1].to_vec(),
        ];
        for bytes in damaged {
            assert_eq!(Undo::touches(&bytes, Slot(1)), Err(MALFORMED), "{bytes:?}");
        }
    }
}
