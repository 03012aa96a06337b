//! The signed envelope around an operation.
//!
//! - The **content** is what is signed; the id is its hash under the genesis hash (PROTOCOL rule 5).
//!   Signatures are over the id with their own tag.
//! - The transaction carries the wallet's full policy; execution compares its hash with the wallet's record.
//!   So validity within a batch needs no state (rule 6): exactly `threshold` signatures, each valid under the
//!   key it names.
//! - A **sponsor** is another wallet that pays the fee. It signs the same id, under its own policy: so it agrees to this very
//!   transaction and no other.
//! - `network` is the first four bytes of the genesis hash: enough to tell a wrong network from a wrong
//!   signature. The full hash is in the id.

use wincode::{SchemaRead, SchemaWrite};

use super::operation::Operation;
use super::policy::{POLICY_KEYS_MAX, Policy};
use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::{
    Amount, Canonical, ChainId, CodecError, GenesisHash, Hasher, OperatorId, SecretKey, Signature,
    TimestampMs, TransactionHash, TransactionId, WalletId,
};

/// Most bytes of a transaction with its signatures.
pub const TRANSACTION_BYTES_MAX: usize = 10_240;
/// A sequence number fits 48 bits.
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;
/// Lanes a wallet may ever have; its tier says how many it has.
pub const LANES_MAX: u16 = 16;
const LANE_LAST: u64 = LANES_MAX as u64 - 1;

/// Position of a transaction among those of its wallet (PROTOCOL rule 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
pub struct Nonce {
    /// The lane, below [`LANES_MAX`] and below the tier's number of lanes.
    pub lane: u16,
    /// The sequence in the lane, 1 to [`SEQUENCE_MAX`].
    pub sequence: u64,
}

/// What is offered for inclusion.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct FeeBid {
    /// Never charged more than this, tip included.
    pub fee_max: Amount,
    /// Extra for the operator named below; at most `fee_max`.
    pub tip: Amount,
    /// Operator that earns the tip, in its own wallet on the chain.
    pub operator: OperatorId,
    /// Who pays, where it is not the signer.
    pub sponsor: Option<Sponsor>,
}

/// A wallet that pays another's fee.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Sponsor {
    /// Which: another than the signer's.
    pub wallet: WalletId,
    /// Its current policy.
    pub policy: Policy,
}

/// The signed part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct TransactionContent {
    /// First four bytes of the genesis hash.
    pub network: [u8; 4],
    /// The chain it is for.
    pub chain: ChainId,
    /// The wallet that acts and pays.
    pub wallet: WalletId,
    /// Its position in the wallet.
    pub nonce: Nonce,
    /// Executed only in a block with a timestamp up to this one.
    pub valid_until: TimestampMs,
    /// The fee bid.
    pub fee: FeeBid,
    /// The wallet's current policy.
    pub policy: Policy,
    /// What it asks for.
    pub operation: Operation,
}

/// A signature under one key of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct PolicySignature {
    /// Index of the key in the policy.
    pub key: u8,
    /// Over the transaction id.
    pub signature: Signature,
}

/// A transaction with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Transaction {
    /// What was signed.
    pub content: TransactionContent,
    /// Exactly `threshold` signatures, by ascending key index.
    pub signatures: Vec<PolicySignature>,
    /// Exactly the `threshold` of the sponsor's policy, by ascending key index; none without a sponsor.
    pub sponsor_signatures: Vec<PolicySignature>,
}

impl TransactionContent {
    /// The id: what every signature covers and every index names.
    #[must_use]
    pub fn id(&self, genesis: GenesisHash) -> TransactionId {
        Hasher::new("jiaozi/transaction").bytes(&genesis.0).bytes(&self.encode()).finish().into()
    }

    /// The wallet that pays the fee: the sponsor's where there is one, else the signer's.
    #[must_use]
    pub fn payer(&self) -> WalletId {
        self.fee.sponsor.as_ref().map_or(self.wallet, |sponsor| sponsor.wallet)
    }

    /// Signs with the key at `key` of the policy.
    #[must_use]
    pub fn sign(&self, genesis: GenesisHash, key: u8, secret: &SecretKey) -> PolicySignature {
        PolicySignature { key, signature: secret.sign(&signing_message(self.id(genesis))) }
    }

    /// Signs with the key at `key` of the sponsor's policy: the same id, the same message.
    #[must_use]
    pub fn sign_as_sponsor(&self, genesis: GenesisHash, key: u8, secret: &SecretKey) -> PolicySignature {
        self.sign(genesis, key, secret)
    }

    /// Completes a transaction of a single-key policy without a sponsor.
    #[must_use]
    pub fn signed_by(self, genesis: GenesisHash, secret: &SecretKey) -> Transaction {
        let signature = self.sign(genesis, 0, secret);
        Transaction { content: self, signatures: vec![signature], sponsor_signatures: Vec::new() }
    }
}

/// Encoded length of a [`PolicySignature`].
const SIGNATURE_BYTES: usize = 1 + 64;

/// Length of [`signing_message`].
pub const SIGNING_MESSAGE_BYTES: usize = SIGNING_TAG.len() + 32;
const SIGNING_TAG: &[u8; 28] = b"jiaozi/transaction-signature";

/// What a wallet key signs: a tag of its own before the id.
#[must_use]
pub fn signing_message(id: TransactionId) -> [u8; SIGNING_MESSAGE_BYTES] {
    let mut message = [0; SIGNING_MESSAGE_BYTES];
    let (tag, hash) = message.split_at_mut(SIGNING_TAG.len());
    tag.copy_from_slice(SIGNING_TAG);
    hash.copy_from_slice(&id.0);
    message
}

/// The first four bytes of the genesis hash, as transactions carry them.
#[must_use]
pub fn network_tag(genesis: GenesisHash) -> [u8; 4] {
    let [a, b, c, d, ..] = genesis.0;
    [a, b, c, d]
}

/// What is derived from a transaction's bytes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionSummary {
    /// The id.
    pub id: TransactionId,
    /// Hash of the full signed bytes.
    pub hash: TransactionHash,
    /// Length of the full signed bytes.
    pub bytes: usize,
}

impl Transaction {
    /// Id, hash and length from one encoding: the content is a prefix of the full bytes.
    #[must_use]
    pub fn summary(&self, genesis: GenesisHash) -> TransactionSummary {
        let encoded = self.encode();
        let count = self.signatures.len().saturating_add(self.sponsor_signatures.len());
        // Two counts, then the signatures.
        let signatures = SIGNATURE_BYTES.saturating_mul(count).saturating_add(16);
        let (content, _) =
            encoded.split_at_checked(encoded.len().saturating_sub(signatures)).unwrap_or_default();
        TransactionSummary {
            id: Hasher::new("jiaozi/transaction").bytes(&genesis.0).bytes(content).finish().into(),
            hash: Hasher::new("jiaozi/signed-transaction").bytes(&encoded).finish().into(),
            bytes: encoded.len(),
        }
    }

    /// The id (see [`TransactionContent::id`]).
    #[must_use]
    pub fn id(&self, genesis: GenesisHash) -> TransactionId {
        self.content.id(genesis)
    }

    /// Hash of the full signed bytes; an outcome commits to it.
    #[must_use]
    pub fn hash(&self) -> TransactionHash {
        Hasher::new("jiaozi/signed-transaction").bytes(&self.encode()).finish().into()
    }
}

impl Canonical for TransactionContent {
    const NAME: &'static str = "transaction";
    const BYTES_MAX: usize = TRANSACTION_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_range("nonce.lane", u64::from(self.nonce.lane), 0, LANE_LAST)?;
        check_range("nonce.sequence", self.nonce.sequence, 1, SEQUENCE_MAX)?;
        check_range("fee.tip", self.fee.tip.fen(), 0, self.fee.fee_max.fen())?;
        if let Some(sponsor) = &self.fee.sponsor {
            let is_signer = sponsor.wallet == self.wallet;
            check_range("fee.sponsor.wallet (another than the signer's)", u64::from(is_signer), 0, 0)?;
            sponsor.policy.check()?;
        }
        self.policy.check()?;
        self.operation.check()
    }
}

impl Canonical for Transaction {
    const NAME: &'static str = "transaction";
    const BYTES_MAX: usize = TRANSACTION_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.content.check()?;
        check_signatures(("signatures", "signatures.key"), &self.signatures, &self.content.policy)?;
        let fields = ("sponsor_signatures", "sponsor_signatures.key");
        match &self.content.fee.sponsor {
            Some(sponsor) => check_signatures(fields, &self.sponsor_signatures, &sponsor.policy),
            None => check_count(fields.0, self.sponsor_signatures.len(), 0, 0),
        }
    }
}

/// Exactly as many as the policy asks for, in order, of keys that it has.
fn check_signatures(
    (list, key): (&'static str, &'static str),
    signatures: &[PolicySignature],
    policy: &Policy,
) -> Result<(), CodecError> {
    let threshold = usize::from(policy.threshold);
    check_count(list, signatures.len(), threshold, threshold)?;
    check_ascending(list, signatures.iter().map(|signature| signature.key))?;
    let keys = policy.keys.len() as u64;
    let in_policy =
        |signature: &PolicySignature| check_range(key, u64::from(signature.key), 0, keys.saturating_sub(1));
    signatures.iter().try_for_each(in_policy)
}

/// Most bytes of a fee bid with a sponsor.
const FEE_BID_BYTES_MAX: usize = 18 + 1 + 32 + <Policy as Canonical>::BYTES_MAX;

/// The largest transaction fits its bound: header, bid, policy, operation, both lists of signatures.
const _: () = assert!(
    4 + 4
        + 32
        + 10
        + 8
        + FEE_BID_BYTES_MAX
        + <Policy as Canonical>::BYTES_MAX
        + <Operation as Canonical>::BYTES_MAX
        + 2 * (8 + SIGNATURE_BYTES * POLICY_KEYS_MAX)
        <= TRANSACTION_BYTES_MAX
);
