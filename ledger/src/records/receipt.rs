//! Receipts: what one chain tells another. The receipts from one chain to another are numbered from 0 and arrive in that order,
//! each once (PROTOCOL rule 22).
//!
//! A receipt that carries value moves money within one currency. Executed where it arrives, it has an outcome like a
//! transaction, under [`receipt_id`]: so a credit, or its refusal, is proved like a payment.

use wincode::{SchemaRead, SchemaWrite};

use super::change::Change;
use super::lock::Asked;
use super::wallet::{Record, WalletRecord};
use crate::values::{
    Amount, Canonical, ChainId, CodecError, GenesisHash, Hasher, Height, LockId, RecordId, TimestampMs,
    TransactionHash, TransactionId, WalletId,
};

/// What one chain tells another. New kinds are appended.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Receipt {
    /// Money for a wallet, debited already. What cannot be credited comes back as a [`Receipt::Refund`].
    Credit {
        /// The transaction that pays.
        transaction: TransactionId,
        /// Which of its payments.
        part: u16,
        /// Who paid.
        payer: WalletId,
        /// Who is paid.
        payee: WalletId,
        /// How much.
        amount: Amount,
        /// Where it was sent first, once another chain has sent it on because the payee has moved; else none.
        origin: Option<Origin>,
    },
    /// Money that could not be credited. Never refused and never refunded again (PROTOCOL rule 23). Where the payer has moved, it is
    /// sent on as it is.
    Refund {
        /// The chain that the credit was sent to first.
        chain: ChainId,
        /// Number of the credit among the receipts from the payer's chain to that one.
        credit: u64,
        /// Who paid, and is given back.
        payer: WalletId,
        /// Who should have been paid.
        payee: WalletId,
        /// How much.
        amount: Amount,
        /// Why: the code of a [`super::Rejection`].
        code: u16,
    },
    /// Money is locked for an exchange that the receiving chain decides. Carries no money.
    Offer {
        /// The lock.
        lock: LockId,
        /// Its payer.
        payer: WalletId,
        /// Its payee.
        payee: WalletId,
        /// What it holds.
        amount: Amount,
        /// What is asked on the receiving chain.
        asked: Asked,
        /// Until when.
        deadline: TimestampMs,
    },
    /// What was decided about an offer: the lock's chain gives its money to the one or the other.
    Decision {
        /// The lock.
        lock: LockId,
        /// Its payer.
        payer: WalletId,
        /// Its payee.
        payee: WalletId,
        /// Whether the payee gets the money.
        settled: bool,
        /// Zero where it does, else why not: the code of a [`super::Rejection`].
        code: u16,
    },
    /// The payer of a lock asks for its offer to be cancelled.
    Withdrawal {
        /// The lock.
        lock: LockId,
    },
    /// A change of the registry, from the root chain to every other.
    Change {
        /// The registry's version once the proposal that it is part of is applied.
        version: u64,
        /// The root chain's height that decided it.
        height: Height,
        /// Whether the proposal was urgent.
        is_urgent: bool,
        /// The change.
        change: Change,
    },
    /// A wallet moves with its whole record, from a chain to its child (PROTOCOL rule 25).
    Move {
        /// The record, as it was.
        wallet: WalletRecord,
    },
    /// A wallet that is at home on the child stays on the parent for now: a lock or an offer names it. The child keeps its place free, and
    /// points to the parent.
    Keep {
        /// The wallet.
        wallet: WalletId,
    },
    /// The parent has told the child of every wallet that is at home there (PROTOCOL rule 25).
    End {},
    /// A child tells the root chain how far it is.
    Report {
        /// Whether its parent's [`Receipt::End`] has come; before that, that its validators certify blocks.
        is_filled: bool,
    },
}

/// Where a credit was sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Origin {
    /// The payer's chain.
    pub source: ChainId,
    /// The chain that it was sent to first.
    pub destination: ChainId,
    /// Its number among the receipts from the one to the other.
    pub sequence: u64,
}

impl Receipt {
    /// The money it carries.
    #[must_use]
    pub const fn value(&self) -> Amount {
        match self {
            Self::Credit { amount, .. } | Self::Refund { amount, .. } => *amount,
            Self::Move { wallet } => wallet.balance,
            Self::Offer { .. }
            | Self::Decision { .. }
            | Self::Withdrawal { .. }
            | Self::Change { .. }
            | Self::Keep { .. }
            | Self::End {}
            | Self::Report { .. } => Amount::ZERO,
        }
    }

    /// Adds the names of the records that it reads or changes where it arrives.
    pub fn touched(&self, ids: &mut Vec<RecordId>) {
        match self {
            Self::Credit { payee, origin: None, .. } => ids.push((*payee).into()),
            // One that was sent on may come back to the payer's chain, and is refused there.
            Self::Credit { payee, payer, origin: Some(_), .. } => {
                ids.extend([RecordId::from(*payee), (*payer).into()]);
            }
            Self::Refund { payer, .. } => ids.push((*payer).into()),
            Self::Offer { lock, asked, .. } => {
                ids.extend([RecordId::from(*lock), asked.payer.into(), asked.payee.into()]);
            }
            Self::Decision { lock, payer, payee, .. } => {
                ids.extend([RecordId::from(*lock), (*payer).into(), (*payee).into()]);
            }
            Self::Withdrawal { lock } => ids.push((*lock).into()),
            Self::Move { wallet } => ids.push(wallet.id.into()),
            Self::Keep { wallet } => ids.push((*wallet).into()),
            // The wallet of an operator that a change admits does not exist yet.
            Self::Change { .. } | Self::End {} | Self::Report { .. } => {}
        }
    }

    /// Hash of its bytes: what its outcome commits to.
    #[must_use]
    pub fn hash(&self) -> TransactionHash {
        Hasher::new("jiaozi/receipt-bytes").bytes(&self.encode()).finish().into()
    }
}

/// The id under which the outcome of a receipt is found: of its place between two chains, so it can be computed before it
/// arrives.
#[must_use]
pub fn receipt_id(
    genesis: GenesisHash,
    source: ChainId,
    destination: ChainId,
    sequence: u64,
) -> TransactionId {
    let place = Hasher::new("jiaozi/receipt").bytes(&genesis.0).number(u64::from(source.0));
    place.number(u64::from(destination.0)).number(sequence).finish().into()
}

impl Canonical for Receipt {
    const NAME: &'static str = "receipt";
    const BYTES_MAX: usize = 4 + 8 + 8 + 1 + Change::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Change { change, .. } => change.check(),
            Self::Move { wallet } => wallet.check(),
            _ => Ok(()),
        }
    }
}

/// An offer and a wallet, the largest of the other kinds, fit.
const _: () = assert!(<Record as Canonical>::BYTES_MAX <= Receipt::BYTES_MAX);
const _: () = assert!(4 + 32 + 32 + 32 + 8 + (32 + 32 + 8) + 8 <= Receipt::BYTES_MAX);
