//! Batches: transactions sealed and signed by one validator; the unit that is spread, verified once and
//! ordered by digest.
//!
//! Validity is stateless within an epoch (PROTOCOL rule 6): exact decoding, caps, network and chain, a sealer
//! of this epoch's set, the sealer's signature and every transaction's signatures. Anything else is decided
//! by execution.

use wincode::{SchemaRead, SchemaWrite};

use super::transaction::{TRANSACTION_BYTES_MAX, Transaction};
use crate::rules::weight::batch_weight;
use crate::values::codec::check_count;
use crate::values::{
    BatchDigest, Canonical, ChainId, CodecError, Epoch, GenesisHash, Hasher, PublicKey, SecretKey, Signature,
    SignedMessage, TimestampMs, ValidatorIndex, verify,
};

/// Most transactions of a batch: about half a megabyte of single payments.
pub const BATCH_TRANSACTIONS_MAX: usize = 2_048;
/// Most bytes of an encoded batch. A sealer stops before either bound; one transaction always fits.
pub const BATCH_BYTES_MAX: usize = 768 * 1_024;
/// A batch expires at most this long after the block that orders it, so the window of ordered digests is
/// bounded. A sealer stays well below it, as blocks may lag behind its clock.
pub const BATCH_LIFE_MS_MAX: u64 = 60_000;
const _: () = assert!(TRANSACTION_BYTES_MAX * 2 < BATCH_BYTES_MAX);
/// Most weight of a batch ([`crate::rules::weight`]): as many single payments as a batch may hold fit. A sealer stops before it.
pub const BATCH_WEIGHT_MAX: u64 = 2 * 1_024 * 1_024;

/// What the sealer signs.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct BatchContent {
    /// The chain whose pool it comes from.
    pub chain: ChainId,
    /// The epoch whose registry judges it.
    pub epoch: Epoch,
    /// Who sealed it.
    pub sealer: ValidatorIndex,
    /// Counts the sealer's batches, so that two batches never share a digest.
    pub sequence: u64,
    /// A block with a later timestamp must not order it (PROTOCOL rule 10).
    pub expires: TimestampMs,
    /// The transactions, in the order they execute.
    pub transactions: Vec<Transaction>,
}

/// A sealed batch.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Batch {
    /// What was sealed.
    pub content: BatchContent,
    /// The sealer's signature over the digest.
    pub signature: Signature,
}

const SEAL_TAG: &[u8] = b"jiaozi/batch-signature";

fn seal_message(digest: BatchDigest) -> Vec<u8> {
    [SEAL_TAG, &digest.0].concat()
}

impl BatchContent {
    /// The digest: what blocks order.
    #[must_use]
    pub fn digest(&self, genesis: GenesisHash) -> BatchDigest {
        Hasher::new("jiaozi/batch").bytes(&genesis.0).bytes(&self.encode()).finish().into()
    }

    /// Seals with the validator's consensus key.
    #[must_use]
    pub fn seal(self, genesis: GenesisHash, key: &SecretKey) -> (BatchDigest, Batch) {
        let digest = self.digest(genesis);
        let signature = key.sign(&seal_message(digest));
        (digest, Batch { content: self, signature })
    }
}

impl Batch {
    /// What it adds to a block's weight.
    #[must_use]
    pub fn weight(&self) -> u64 {
        batch_weight(self)
    }

    /// Whether the sealer's signature is valid under `key` for a batch with this `digest`.
    #[must_use]
    pub fn is_sealed_by(&self, digest: BatchDigest, key: PublicKey) -> bool {
        let message = seal_message(digest);
        verify(&SignedMessage { public_key: key, message: &message, signature: self.signature })
    }
}

impl Canonical for BatchContent {
    const NAME: &'static str = "batch";
    const BYTES_MAX: usize = BATCH_BYTES_MAX - 64;

    fn check(&self) -> Result<(), CodecError> {
        check_count("batch.transactions", self.transactions.len(), 1, BATCH_TRANSACTIONS_MAX)?;
        self.transactions.iter().try_for_each(Canonical::check)
    }
}

impl Canonical for Batch {
    const NAME: &'static str = "batch";
    const BYTES_MAX: usize = BATCH_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.content.check()
    }
}
