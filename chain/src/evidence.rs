//! What proves that a validator broke the rules, kept for auditors.
//!
//! Rules:
//! - Of each epoch, validator and kind the first [`EVIDENCE_PER_KIND_MAX`] records are kept, counted over restarts: more of
//!   the same prove nothing more. So whoever misbehaves a lot fills its own share, pushes out nobody's, and then writes
//!   nothing; what is not kept is reported, to be counted. An index is another bank's in another epoch.
//! - The same content is kept once per epoch, validator and kind.
//! - Nothing is deleted, and all shares of one epoch together fit [`EVIDENCE_MAX`].

use std::collections::BTreeMap;
use std::ops::Bound;

use ledger::records::batch::BATCH_BYTES_MAX;
use ledger::values::quorum::VALIDATORS_MAX;
use ledger::values::{Epoch, Hash, Hasher, ValidatorIndex};
use storage::{Page, Reader, Table, key};

use crate::config::{EVIDENCE_MAX, EVIDENCE_PER_KIND_MAX};
use crate::rows::RowFault;

/// What a validator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Misdeed {
    /// It signed two votes that exclude each other.
    ContradictingVotes,
    /// It sealed a batch with a bad signature in it.
    SealedBadSignature,
    /// It sent a batch that breaks a rule which needs no state.
    InvalidBatch,
    /// It sent bytes that are no batch.
    MalformedBatch,
}

impl Misdeed {
    const ALL: [Self; 4] =
        [Self::ContradictingVotes, Self::SealedBadSignature, Self::InvalidBatch, Self::MalformedBatch];

    /// Its name in records, metrics and the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ContradictingVotes => "contradicting_votes",
            Self::SealedBadSignature => "sealed_bad_signature",
            Self::InvalidBatch => "invalid_batch",
            Self::MalformedBatch => "malformed_batch",
        }
    }
}

const _: () = assert!(VALIDATORS_MAX * Misdeed::ALL.len() * EVIDENCE_PER_KIND_MAX <= EVIDENCE_MAX);

/// A record: `epoch u64 LE, validator u16 LE, length of the kind u8, kind, bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Whose set the validator belongs to.
    pub epoch: Epoch,
    /// Whose.
    pub validator: ValidatorIndex,
    /// What, by name.
    pub kind: String,
    /// The proof, at most as long as a batch.
    pub bytes: Vec<u8>,
}

impl EvidenceRow {
    fn encode(epoch: Epoch, validator: ValidatorIndex, misdeed: Misdeed, bytes: &[u8]) -> Vec<u8> {
        let kind = misdeed.name();
        let mut row = Vec::with_capacity(bytes.len().saturating_add(kind.len()).saturating_add(HEAD_BYTES));
        row.extend_from_slice(&epoch.0.to_le_bytes());
        row.extend_from_slice(&validator.0.to_le_bytes());
        row.push(u8::try_from(kind.len()).unwrap_or(u8::MAX));
        row.extend_from_slice(kind.as_bytes());
        row.extend_from_slice(bytes);
        row
    }

    /// Reads a stored record; `None` when it is none.
    #[must_use]
    pub fn decode(row: &[u8]) -> Option<Self> {
        let (epoch, rest) = row.split_first_chunk::<8>()?;
        let (validator, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first()?;
        let (kind, bytes) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            epoch: Epoch(u64::from_le_bytes(*epoch)),
            validator: ValidatorIndex(u16::from_le_bytes(*validator)),
            kind: String::from_utf8_lossy(kind).into_owned(),
            bytes: bytes.to_vec(),
        })
    }
}

/// Bytes of a record before its kind.
const HEAD_BYTES: usize = 8 + 2 + 1;

/// What is kept already.
#[derive(Debug, Default)]
pub struct EvidenceLog {
    kept: BTreeMap<(Epoch, ValidatorIndex, Misdeed), Vec<Hash>>,
    next: u64,
}

impl EvidenceLog {
    /// Reads what the disk holds.
    pub(crate) fn read(store: &dyn Reader) -> Result<Self, RowFault> {
        let mut log = Self::default();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let rows = store.scan(Table::Evidence, Page { from, ..Page::first(EVIDENCE_MAX) })?;
            let Some((place, _)) = rows.last() else { return Ok(log) };
            let sequence = key::number(place).ok_or(RowFault::Missing { table: Table::Evidence })?;
            log.next = sequence.saturating_add(1);
            for (_, row) in &rows {
                let row = EvidenceRow::decode(row).ok_or(RowFault::Missing { table: Table::Evidence })?;
                // A kind of another version has no share here.
                if let Some(misdeed) = Misdeed::ALL.into_iter().find(|misdeed| misdeed.name() == row.kind) {
                    let share = log.kept.entry((row.epoch, row.validator, misdeed)).or_default();
                    share.push(digest(&row.bytes));
                }
            }
            last = Some(place.clone());
        }
    }

    /// The row to write, with its place; `None` where the share is full or holds the same already. The proof is cut to what
    /// a batch may take.
    pub(crate) fn admit(
        &mut self,
        epoch: Epoch,
        validator: ValidatorIndex,
        misdeed: Misdeed,
        proof: &[u8],
    ) -> Option<([u8; 8], Vec<u8>)> {
        let kept = self.kept.entry((epoch, validator, misdeed)).or_default();
        if kept.len() >= EVIDENCE_PER_KIND_MAX {
            return None;
        }
        let bytes = proof.get(..BATCH_BYTES_MAX).unwrap_or(proof);
        let digest = digest(bytes);
        if kept.contains(&digest) {
            return None;
        }
        kept.push(digest);
        let place = key::sequence(self.next);
        self.next = self.next.saturating_add(1);
        Some((place, EvidenceRow::encode(epoch, validator, misdeed, bytes)))
    }
}

fn digest(bytes: &[u8]) -> Hash {
    Hasher::new("jiaozi/evidence").bytes(bytes).finish()
}

#[cfg(test)]
mod tests {
    use storage::{Durability, Identity, MemoryStore, Store as _, WriteSet};

    use super::*;

    #[test]
    fn a_share_is_small_and_without_repeats() {
        let mut log = EvidenceLog::default();
        let (epoch, first, second) = (Epoch(3), ValidatorIndex(1), ValidatorIndex(2));
        let (place, row) = log.admit(epoch, first, Misdeed::InvalidBatch, b"one").unwrap();
        assert_eq!(place, key::sequence(0));
        let kind = "invalid_batch".to_owned();
        let expected = EvidenceRow { epoch, validator: first, kind, bytes: b"one".to_vec() };
        assert_eq!(EvidenceRow::decode(&row), Some(expected));
        assert_eq!(log.admit(epoch, first, Misdeed::InvalidBatch, b"one"), None, "the same");
        let more =
            (0..100_u8).filter_map(|byte| log.admit(epoch, first, Misdeed::InvalidBatch, &[byte])).count();
        assert_eq!(more + 1, EVIDENCE_PER_KIND_MAX);
        assert!(log.admit(epoch, first, Misdeed::ContradictingVotes, b"one").is_some(), "another kind");
        assert!(log.admit(epoch, second, Misdeed::InvalidBatch, b"one").is_some(), "another validator");
        let next = log.admit(Epoch(4), first, Misdeed::InvalidBatch, b"one");
        assert!(next.is_some(), "another epoch, in which the index may be another bank's");
        for cut in 0..row.len().min(HEAD_BYTES + "invalid_batch".len()) {
            assert_eq!(EvidenceRow::decode(&row[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn shares_are_known_again_from_the_disk() {
        let identity = Identity { schema_version: 1, genesis: [1; 32], chain: 0 };
        let store = MemoryStore::fresh(&identity);
        let mut log = EvidenceLog::default();
        let mut set = WriteSet::new();
        for (epoch, proof) in [(0, b"a"), (0, b"b"), (1, b"a")] {
            let (place, row) =
                log.admit(Epoch(epoch), ValidatorIndex(1), Misdeed::InvalidBatch, proof).unwrap();
            set.put(Table::Evidence, place, row);
        }
        store.write(set, Durability::Synced).unwrap();
        let mut log = EvidenceLog::read(&store).unwrap();
        let mut admit = |epoch| log.admit(Epoch(epoch), ValidatorIndex(1), Misdeed::InvalidBatch, b"c");
        assert_eq!(admit(0), None, "the share of epoch 0 is full");
        assert_eq!(admit(1).map(|(place, _)| place), Some(key::sequence(3)));
    }
}
