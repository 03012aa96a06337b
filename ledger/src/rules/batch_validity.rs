//! Validity of a batch: stateless within an epoch (PROTOCOL rule 6), everything but the transactions'
//! signatures, which [`super::signatures`] checks for many batches at once.

use super::chain_rules::ChainRules;
use crate::records::batch::BATCH_WEIGHT_MAX;
use crate::records::transaction::network_tag;
use crate::records::{Batch, Transaction};
use crate::values::{BatchDigest, Canonical, ChainId, CodecError, Epoch, ValidatorIndex};

/// A transaction that no batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionFault {
    /// Not in its canonical form.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// For another network.
    #[error("the transaction is for another network")]
    WrongNetwork,
    /// For another chain.
    #[error("the transaction is for chain {chain}")]
    WrongChain {
        /// The chain it is for.
        chain: ChainId,
    },
    /// A signature is not valid under the key it names.
    #[error("a signature is not valid under the key it names")]
    SignatureInvalid,
}

impl TransactionFault {
    /// The stable code, 51 to 99.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 51,
            Self::WrongNetwork => 52,
            Self::WrongChain { .. } => 53,
            Self::SignatureInvalid => 55,
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "encode it as docs/protocol.md says",
            Self::WrongNetwork => "sign for this network's genesis hash",
            Self::WrongChain { .. } => "submit it to that chain",
            Self::SignatureInvalid => {
                "sign with the keys of the wallet, and the sponsor with its own, over the transaction's id under this genesis \
                 hash"
            }
        }
    }
}

/// Why a batch is invalid: for ever, at every honest validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// Not in its canonical form.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// For another chain.
    #[error("the batch is for chain {chain}")]
    WrongChain {
        /// The chain it is for.
        chain: ChainId,
    },
    /// The registry knows no such validator in that epoch.
    #[error("epoch {epoch} has no validator {sealer}")]
    SealerUnknown {
        /// The epoch.
        epoch: Epoch,
        /// The sealer named.
        sealer: ValidatorIndex,
    },
    /// The seal is not the sealer's.
    #[error("the seal is not valid under the key of validator {sealer}")]
    SealInvalid {
        /// The sealer named.
        sealer: ValidatorIndex,
    },
    /// Heavier than any batch may be.
    #[error("the batch weighs {weight}; {BATCH_WEIGHT_MAX} is allowed")]
    TooHeavy {
        /// Found.
        weight: u64,
    },
    /// A transaction is invalid.
    #[error("transaction {index}: {fault}")]
    Transaction {
        /// Its position in the batch.
        index: u32,
        /// Why.
        fault: TransactionFault,
    },
}

impl BatchFault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 501,
            Self::WrongChain { .. } => 502,
            Self::SealerUnknown { .. } => 503,
            Self::SealInvalid { .. } => 504,
            Self::TooHeavy { .. } => 506,
            Self::Transaction { fault, .. } => fault.code(),
        }
    }
}

/// Checks what a batch needs of a transaction, without its signatures.
///
/// # Errors
/// The first fault.
pub fn check_transaction(rules: &ChainRules, transaction: &Transaction) -> Result<(), TransactionFault> {
    transaction.check()?;
    let content = &transaction.content;
    if content.network != network_tag(rules.genesis) {
        return Err(TransactionFault::WrongNetwork);
    }
    if content.chain != rules.chain {
        return Err(TransactionFault::WrongChain { chain: content.chain });
    }
    Ok(())
}

/// Checks a batch, all but its transactions' signatures, and gives its digest.
///
/// # Errors
/// The first fault.
pub fn check_batch(rules: &ChainRules, batch: &Batch) -> Result<BatchDigest, BatchFault> {
    let content = &batch.content;
    batch.check()?;
    if content.chain != rules.chain {
        return Err(BatchFault::WrongChain { chain: content.chain });
    }
    let weight = batch.weight();
    if weight > BATCH_WEIGHT_MAX {
        return Err(BatchFault::TooHeavy { weight });
    }
    let (epoch, sealer) = (content.epoch, content.sealer);
    let validator = rules.registry.validator(rules.chain, epoch, sealer);
    let validator = validator.ok_or(BatchFault::SealerUnknown { epoch, sealer })?;
    for (transaction, index) in content.transactions.iter().zip(0..=u32::MAX) {
        check_transaction(rules, transaction).map_err(|fault| BatchFault::Transaction { index, fault })?;
    }
    let digest = content.digest(rules.genesis);
    if !batch.is_sealed_by(digest, validator.consensus_key) {
        return Err(BatchFault::SealInvalid { sealer });
    }
    Ok(digest)
}
