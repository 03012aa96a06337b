//! Plain values: what the records are made of. Nothing here knows a ledger rule.

pub mod amount;
pub mod append_tree;
pub mod ceremony;
pub mod codec;
pub mod fee_rate;
pub mod governance;
pub mod hash;
pub mod id;
pub mod key;
pub mod lock_id;
pub mod merkle;
pub mod money;
pub mod quorum;
pub mod record_id;
pub mod strategy;
pub mod verify;

pub use amount::Amount;
pub use append_tree::AppendTree;
pub use ceremony::{CeremonyPurpose, sign_ceremony, verify_ceremony};
pub use codec::{Canonical, CodecError};
pub use fee_rate::FeeRate;
pub use governance::{sign_governance, verify_governance};
pub use hash::{
    BatchDigest, BlockDigest, BodyHash, BundleDigest, GenesisHash, Hash, Hasher, OutboxRoot, OutcomesRoot,
    PolicyHash, RegistryHash, ResultHash, StateRoot, TransactionHash, TransactionId,
};
pub use id::{
    ChainId, Currency, Epoch, Height, NodeIndex, OpeningRequest, OperatorId, Slot, TimestampMs,
    ValidatorIndex, View, WalletId,
};
pub use key::{PublicKey, SecretKey, Signature};
pub use lock_id::LockId;
pub use merkle::Merkle;
pub use money::Money;
pub use quorum::{faults_max, quorum};
pub use record_id::RecordId;
pub use strategy::{Sequential, Strategy};
pub use verify::{KeyCache, SignedMessage, verify, verify_batch};
