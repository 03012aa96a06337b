//! The proof file: a few kilobytes that a stranger checks offline with the genesis file alone: the changes of validator sets
//! since genesis travel with it, and of a chain that operators added the origin.

use wincode::{SchemaRead, SchemaWrite};

use super::certified::{CertifiedResult, ProofFault};
use super::outcomes::{OUTCOME_PATH_MAX, verify_outcome};
use super::sets::SetChain;
use crate::records::receipt::receipt_id;
use crate::records::wallet::Record;
use crate::records::{GenesisSpec, Outcome, Receipt, SupplyTerms, Transaction, WalletRecord};
use crate::state::StateParts;
use crate::state::id_tree::{ID_BITS, IdAnswer, IdPath};
use crate::state::summing_tree::{DEPTH_MAX, SumNode, verify_path};
use crate::values::codec::{check_count, check_range};
use crate::values::{
    Canonical, ChainId, CodecError, GenesisHash, Hash, Height, Slot, TransactionId, WalletId,
};

/// What a transaction became.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OutcomeProof {
    /// The transaction with its signatures.
    pub transaction: Transaction,
    /// What it became.
    pub outcome: Outcome,
    /// Its place among the outcomes of its height.
    pub position: u64,
    /// Siblings from the bottom of the outcomes tree.
    pub path: Vec<Hash>,
    /// The result of its height.
    pub certified: CertifiedResult,
}

/// What became of a receipt where it arrived: a credit was made or refused, or a refund was made.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ReceiptProof {
    /// The chain that sent it; it arrived on the chain of the result.
    pub source: ChainId,
    /// Its number among all sent from there.
    pub sequence: u64,
    /// What it says.
    pub receipt: Receipt,
    /// What became of it.
    pub outcome: Outcome,
    /// Its place among the outcomes of its height.
    pub position: u64,
    /// Siblings from the bottom of the outcomes tree.
    pub path: Vec<Hash>,
    /// The result of its height.
    pub certified: CertifiedResult,
}

/// What a wallet held and was after a height.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct BalanceProof {
    /// The wallet's record.
    pub wallet: WalletRecord,
    /// Its slot.
    pub slot: Slot,
    /// Siblings from the bottom of the summing tree.
    pub path: Vec<SumNode>,
    /// What the state root commits to.
    pub parts: StateParts,
    /// The result of the height.
    pub certified: CertifiedResult,
}

/// What a lock or an offer was after a height.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct LockProof {
    /// The record: [`Record::Lock`] or [`Record::Offer`].
    pub record: Record,
    /// Its slot.
    pub slot: Slot,
    /// Siblings from the bottom of the summing tree.
    pub path: Vec<SumNode>,
    /// What the state root commits to.
    pub parts: StateParts,
    /// The result of the height.
    pub certified: CertifiedResult,
}

/// That a wallet did not exist after a height.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct AbsenceProof {
    /// The wallet.
    pub wallet: WalletId,
    /// Where its id leads.
    pub path: IdPath,
    /// What the state root commits to.
    pub parts: StateParts,
    /// The result of the height.
    pub certified: CertifiedResult,
}

/// What is proved.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Proof {
    /// What a transaction became.
    Outcome(OutcomeProof),
    /// What a wallet held and was.
    Balance(BalanceProof),
    /// That a wallet did not exist.
    Absence(AbsenceProof),
    /// How much money there was: the terms of the supply equation.
    Supply(CertifiedResult),
    /// What became of a receipt.
    Receipt(ReceiptProof),
    /// What a lock or an offer was.
    Lock(LockProof),
}

/// A proof with the network that it is about.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ProofFile {
    /// The network.
    pub genesis: GenesisHash,
    /// The origin of its chain where the genesis spec does not name it, and the changes of set up to the epoch of its certificate.
    pub sets: SetChain,
    /// The proof.
    pub proof: Proof,
}

/// What a valid proof file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The chain.
    pub chain: ChainId,
    /// The height after which it holds.
    pub height: Height,
    /// The fact.
    pub fact: Fact,
}

/// A proven fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A transaction had this outcome.
    Outcome {
        /// The transaction.
        id: TransactionId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A receipt had this outcome.
    Receipt {
        /// The chain that sent it.
        source: ChainId,
        /// Its number among all sent from there.
        sequence: u64,
        /// What it says.
        receipt: Receipt,
        /// Its outcome.
        outcome: Outcome,
    },
    /// A wallet was like this.
    Wallet {
        /// Its record.
        wallet: WalletRecord,
    },
    /// A wallet did not exist.
    NoWallet {
        /// The wallet.
        wallet: WalletId,
    },
    /// The supply was this.
    Supply {
        /// The terms.
        terms: SupplyTerms,
    },
    /// A lock or an offer was like this.
    Lock {
        /// Its record.
        record: Record,
    },
}

impl Proof {
    /// The result that the proof stands on.
    #[must_use]
    pub const fn certified(&self) -> &CertifiedResult {
        match self {
            Self::Outcome(OutcomeProof { certified, .. })
            | Self::Balance(BalanceProof { certified, .. })
            | Self::Absence(AbsenceProof { certified, .. })
            | Self::Receipt(ReceiptProof { certified, .. })
            | Self::Lock(LockProof { certified, .. })
            | Self::Supply(certified) => certified,
        }
    }
}

impl ProofFile {
    /// Checks everything with the genesis spec alone and says what is proved.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self, spec: &GenesisSpec) -> Result<Proven, ProofFault> {
        let expected = spec.hash();
        if self.genesis != expected {
            return Err(ProofFault::WrongNetwork { found: self.genesis, expected });
        }
        let certified = self.proof.certified();
        certified.verify(spec, &self.sets)?;
        let fact = match &self.proof {
            Proof::Outcome(proof) => proof.fact(expected)?,
            Proof::Balance(proof) => proof.fact()?,
            Proof::Absence(proof) => proof.fact()?,
            Proof::Supply(certified) => Fact::Supply { terms: certified.result.supply.clone() },
            Proof::Receipt(proof) => proof.fact(expected)?,
            Proof::Lock(proof) => proof.fact()?,
        };
        Ok(Proven { chain: certified.result.chain, height: certified.result.height, fact })
    }
}

impl OutcomeProof {
    fn fact(&self, genesis: GenesisHash) -> Result<Fact, ProofFault> {
        let summary = self.transaction.summary(genesis);
        if summary.id != self.outcome.id || summary.hash != self.outcome.transaction {
            return Err(ProofFault::Transaction);
        }
        let result = &self.certified.result;
        let count = u64::from(result.executed);
        if !verify_outcome(result.outcomes, count, self.position, &self.outcome, &self.path) {
            return Err(ProofFault::Outcome);
        }
        Ok(Fact::Outcome { id: summary.id, outcome: self.outcome })
    }
}

impl ReceiptProof {
    fn fact(&self, genesis: GenesisHash) -> Result<Fact, ProofFault> {
        let result = &self.certified.result;
        let id = receipt_id(genesis, self.source, result.chain, self.sequence);
        if id != self.outcome.id || self.receipt.hash() != self.outcome.transaction {
            return Err(ProofFault::Transaction);
        }
        let count = u64::from(result.executed);
        if !verify_outcome(result.outcomes, count, self.position, &self.outcome, &self.path) {
            return Err(ProofFault::Outcome);
        }
        let (source, sequence) = (self.source, self.sequence);
        Ok(Fact::Receipt { source, sequence, receipt: self.receipt.clone(), outcome: self.outcome })
    }
}

impl BalanceProof {
    fn fact(&self) -> Result<Fact, ProofFault> {
        let record = Record::Wallet(self.wallet.clone());
        check_record(&record, self.slot, &self.path, (&self.parts, &self.certified))?;
        Ok(Fact::Wallet { wallet: self.wallet.clone() })
    }
}

impl LockProof {
    fn fact(&self) -> Result<Fact, ProofFault> {
        check_record(&self.record, self.slot, &self.path, (&self.parts, &self.certified))?;
        Ok(Fact::Lock { record: self.record.clone() })
    }
}

/// Whether a record is in its slot under the certified state root.
fn check_record(
    record: &Record,
    slot: Slot,
    path: &[SumNode],
    (parts, certified): (&StateParts, &CertifiedResult),
) -> Result<(), ProofFault> {
    if parts.root() != certified.result.state {
        return Err(ProofFault::State);
    }
    let leaf = SumNode::leaf(slot, record);
    if verify_path(&parts.tree, parts.records, slot, leaf, path) { Ok(()) } else { Err(ProofFault::Record) }
}

impl AbsenceProof {
    fn fact(&self) -> Result<Fact, ProofFault> {
        if self.parts.root() != self.certified.result.state {
            return Err(ProofFault::State);
        }
        match self.path.answer(&self.parts.ids, &self.wallet.into()) {
            Some(IdAnswer::Absent) => Ok(Fact::NoWallet { wallet: self.wallet }),
            Some(IdAnswer::Present(_)) | None => Err(ProofFault::Absence),
        }
    }
}

impl Canonical for ProofFile {
    const NAME: &'static str = "proof file";
    const BYTES_MAX: usize = 32
        + SetChain::BYTES_MAX
        + 4
        + CertifiedResult::BYTES_MAX
        + Transaction::BYTES_MAX
        + Receipt::BYTES_MAX
        + StateParts::BYTES_MAX
        + Record::BYTES_MAX
        + 41
        + 34 * ID_BITS
        + 40 * DEPTH_MAX
        + 256;

    fn check(&self) -> Result<(), CodecError> {
        self.sets.check()?;
        self.proof.certified().check()?;
        match &self.proof {
            Proof::Outcome(proof) => {
                proof.transaction.check()?;
                check_count("path", proof.path.len(), 0, OUTCOME_PATH_MAX)
            }
            Proof::Balance(proof) => {
                Record::Wallet(proof.wallet.clone()).check()?;
                check_count("path", proof.path.len(), 0, DEPTH_MAX)
            }
            Proof::Absence(proof) => check_count("path.steps", proof.path.steps.len(), 0, ID_BITS),
            Proof::Receipt(proof) => {
                proof.receipt.check()?;
                check_count("path", proof.path.len(), 0, OUTCOME_PATH_MAX)
            }
            Proof::Lock(proof) => {
                proof.record.check()?;
                let is_lock = matches!(proof.record, Record::Lock(_) | Record::Offer(_));
                check_range("record (a lock or an offer)", u64::from(is_lock), 1, 1)?;
                check_count("path", proof.path.len(), 0, DEPTH_MAX)
            }
            Proof::Supply(_) => Ok(()),
        }
    }
}
