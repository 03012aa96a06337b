//! How the chain's values lie in the store: what `storage::table` calls opaque.

use ledger::proofs::OrderedSecond;
use ledger::proofs::snapshot::MANIFEST_BYTES_MAX;
use ledger::records::block::{BLOCK_BUNDLES_MAX, BLOCK_BUNDLES_WEIGHT_MAX};
use ledger::records::result::PAIRS_MAX;
use ledger::records::{Movement, Outcome, Receipt};
use ledger::state::Outbox;
use ledger::values::codec::check_count;
use ledger::values::{Canonical, ChainId, CodecError, Epoch, Height};
use wincode::len::BincodeLen;
use wincode::{SchemaRead, SchemaWrite, containers};

/// Meta row of the state head.
pub const HEAD: &[u8] = b"head";
/// Meta row of the last divergence ([`crate::rollback::Divergence`]).
pub const DIVERGENCE: &[u8] = b"divergence";
/// Meta row of a chain that genesis does not name: the [`ledger::proofs::ChainOrigin`] that it began with.
pub const ORIGIN: &[u8] = b"origin";

/// Meta row of a join that was begun: the [`ledger::proofs::SnapshotManifest`] whose chunks are being written.
pub const JOINING: &[u8] = b"joining";
/// Meta row of a node that joined by a snapshot ([`JoinedRow`]).
pub const JOINED: &[u8] = b"joined";

/// Meta row of a node that prunes: the height below which it has, as `storage::key::height` writes it.
pub const PRUNED: &[u8] = b"pruned";

/// Meta row of a change of set that a snapshot brought, or whose block was pruned: the [`ledger::proofs::SetChain`] of that one link.
#[must_use]
pub fn set_link(epoch: Epoch) -> Vec<u8> {
    format!("set-link/{epoch}").into_bytes()
}

/// Meta row of the root chain for a chain that was added: the [`ledger::state::StateParts`] of the height that added it, of which the
/// origin is made.
#[must_use]
pub fn origin_parts(chain: ChainId) -> Vec<u8> {
    format!("origin-parts/{chain}").into_bytes()
}

/// Most outcomes of a block: every transaction of the heaviest block, at the least size of a transaction.
pub const OUTCOMES_MAX: usize = 512 * 1_024;

/// Bytes of so many outcomes in memory. Without it `wincode` bounds every list at 4 MiB, written or read: at 52,428 outcomes.
const OUTCOMES_MEMORY_MAX: usize = OUTCOMES_MAX * size_of::<Outcome>();

/// Outcomes of one block, in execution order.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct Outcomes {
    /// The outcomes.
    #[wincode(with = "containers::Vec<Outcome, BincodeLen<OUTCOMES_MEMORY_MAX>>")]
    pub outcomes: Vec<Outcome>,
}

impl Canonical for Outcomes {
    const NAME: &'static str = "outcomes of a block";
    const BYTES_MAX: usize = 8 + 78 * OUTCOMES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("outcomes", self.outcomes.len(), 0, OUTCOMES_MAX)
    }
}

/// What a block that is not executed has on disk beside itself and its batches. Its bundles become rows of their own when it is executed, and
/// go with this one where it lost: so no bundle outlives the blocks that could make it final.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct ProposalRow {
    /// Its bundles, encoded, in its order.
    pub bundles: Vec<Vec<u8>>,
}

impl Canonical for ProposalRow {
    const NAME: &'static str = "bundles of a proposal";
    // A byte of a bundle has at least one unit of weight.
    const BYTES_MAX: usize = 8 + 8 * BLOCK_BUNDLES_MAX + BLOCK_BUNDLES_WEIGHT_MAX as usize;

    fn check(&self) -> Result<(), CodecError> {
        check_count("bundles", self.bundles.len(), 0, BLOCK_BUNDLES_MAX)
    }
}

const _: () = assert!(ProposalRow::BYTES_MAX < storage::VALUE_BYTES_MAX);

/// A receipt that was sent.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SentRow {
    /// The height that sent it.
    pub height: Height,
    /// The receipt.
    pub receipt: Receipt,
}

impl Canonical for SentRow {
    const NAME: &'static str = "sent receipt";
    const BYTES_MAX: usize = 8 + Receipt::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.receipt.check()
    }
}

/// Where a node joined by a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct JoinedRow {
    /// The height: the lowest one that the node holds.
    pub height: Height,
    /// Digests up to there that may not be ordered again: their batches are not held.
    pub ordered: Vec<OrderedSecond>,
}

impl Canonical for JoinedRow {
    const NAME: &'static str = "joined";
    const BYTES_MAX: usize = 8 + MANIFEST_BYTES_MAX;
}

/// What was sent to every chain, after a height.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct Outboxes {
    /// Ascending by chain.
    pub outboxes: Vec<Outbox>,
}

impl Canonical for Outboxes {
    const NAME: &'static str = "outboxes";
    const BYTES_MAX: usize = 8 + Outbox::BYTES_MAX * PAIRS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("outboxes", self.outboxes.len(), 0, PAIRS_MAX)?;
        self.outboxes.iter().try_for_each(|outbox| outbox.tree.check("outboxes.tree.peaks"))
    }
}

/// Reads a value or names the row that is damaged.
pub(crate) fn decode<T: Canonical>(table: storage::Table, bytes: &[u8]) -> Result<T, RowFault> {
    T::decode(bytes).map_err(|fault| RowFault::Damaged { table, fault })
}

/// The store failed or holds something else than what was written.
#[derive(Debug, thiserror::Error)]
pub enum RowFault {
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::StorageError),
    /// A row does not decode.
    #[error("a row of table {table} is damaged: {fault}")]
    Damaged {
        /// The table.
        table: storage::Table,
        /// What is wrong with it.
        fault: CodecError,
    },
    /// A row that another one points to is missing.
    #[error("a row of table {table} is missing although another row points to it")]
    Missing {
        /// The table.
        table: storage::Table,
    },
}

impl RowFault {
    /// What the operator can do about it.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Storage(fault) => fault.mend(),
            Self::Damaged { .. } | Self::Missing { .. } => {
                "check the device, set the directory aside, and let the node rejoin with an empty one"
            }
        }
    }
}

/// One line of a wallet's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRow {
    /// The block.
    pub height: Height,
    /// Position of the transaction in it.
    pub index: u32,
    /// Position of the payment in the transaction.
    pub part: u16,
    /// What happened.
    pub movement: Movement,
}

#[cfg(test)]
mod tests {
    use ledger::values::{Amount, TransactionHash, TransactionId};

    use super::*;

    /// A block of 64 Mi weight orders more than 90,000 transactions; writing its row must not end the executor of every node.
    #[test]
    fn the_outcomes_of_the_fullest_block_have_a_row() {
        let (id, transaction) = (TransactionId([1; 32]), TransactionHash([2; 32]));
        let outcome = Outcome { id, transaction, index: 3, code: 4, fee: Amount::from_fen(5) };
        let full = Outcomes { outcomes: vec![outcome; OUTCOMES_MAX] };
        let row = full.encode();
        assert_eq!(row.len(), Outcomes::BYTES_MAX);
        assert_eq!(Outcomes::decode(&row), Ok(full));
        let one_more = [row.as_slice(), &outcome.encode()].concat();
        assert!(matches!(Outcomes::decode(&one_more), Err(CodecError::TooLong { .. })));
    }
}
