//! Locks and offers: money that waits for a secret, or for what another chain decides (PROTOCOL rule 24).
//!
//! ```text
//! hash lock    Open ── claimed with the preimage ──► Settled        exchange   chain A            chain B (decides)
//!                └──── deadline passed ────────────► Returned                  lock Open ──────►  offer Open
//!                                                                              Settled   ◄─────   Accepted
//!                                                                              Returned  ◄─────   Cancelled
//! ```
//!
//! Both are leaves of the state that stay for ever; a lock is worth its amount while it is open, an offer nothing.

use wincode::{SchemaRead, SchemaWrite};

use super::wallet::Record;
use crate::values::{
    Amount, Canonical as _, ChainId, GenesisHash, Hasher, LockId, TimestampMs, TransactionHash,
    TransactionId, WalletId,
};

/// Money taken from the payer that the payee has not got yet.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct LockRecord {
    /// Its name.
    pub id: LockId,
    /// Who gave the money, and gets it back.
    pub payer: WalletId,
    /// Who gets it when the lock is settled.
    pub payee: WalletId,
    /// How much; not zero.
    pub amount: Amount,
    /// Until when it may be settled. That of an exchange is judged by the deciding chain alone.
    pub deadline: TimestampMs,
    /// What settles it.
    pub kind: LockKind,
    /// What became of it.
    pub state: LockState,
}

/// What settles a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum LockKind {
    /// A preimage of a hash.
    Hash {
        /// Bare SHA-256 of the preimage, so that other ledgers can hold the same lock.
        hash: [u8; 32],
    },
    /// The decision of another chain.
    Exchange {
        /// The chain that decides.
        chain: ChainId,
        /// What has to be paid there.
        asked: Asked,
    },
}

/// The other half of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Asked {
    /// Who has to pay.
    pub payer: WalletId,
    /// Whom.
    pub payee: WalletId,
    /// How much; not zero.
    pub amount: Amount,
}

/// What became of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum LockState {
    /// It holds the money.
    Open,
    /// The payee has the money.
    Settled {
        /// What the payee showed, where a hash was asked for.
        preimage: Option<[u8; 32]>,
    },
    /// The payer has it back.
    Returned {
        /// Why: the code of a [`super::Rejection`].
        code: u16,
    },
}

/// An exchange as the chain that decides it knows it.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OfferRecord {
    /// The name of its lock.
    pub id: LockId,
    /// The chain that holds the lock.
    pub source: ChainId,
    /// Who offers: the lock's payer.
    pub payer: WalletId,
    /// The lock's payee.
    pub payee: WalletId,
    /// What the lock holds.
    pub amount: Amount,
    /// What has to be paid here.
    pub asked: Asked,
    /// Until when.
    pub deadline: TimestampMs,
    /// What was decided.
    pub state: OfferState,
}

/// What was decided about an offer. Never changes once it is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum OfferState {
    /// Nothing yet.
    Open,
    /// What was asked was paid, so the lock is settled.
    Accepted,
    /// It was not, so the lock's money goes back.
    Cancelled {
        /// Why: the code of a [`super::Rejection`].
        code: u16,
    },
}

impl LockRecord {
    /// What it holds.
    #[must_use]
    pub const fn value(&self) -> Amount {
        match self.state {
            LockState::Open => self.amount,
            LockState::Settled { .. } | LockState::Returned { .. } => Amount::ZERO,
        }
    }
}

/// The id under which the outcome of a deadline that passed is found: of the lock's name and the chain that watched its deadline.
#[must_use]
pub fn expiry_id(genesis: GenesisHash, chain: ChainId, lock: LockId) -> TransactionId {
    let place = Hasher::new("jiaozi/expiry").bytes(&genesis.0).number(u64::from(chain.0));
    place.bytes(&lock.0).finish().into()
}

/// What the outcome of a deadline that passed commits to: the bytes of the record after it.
#[must_use]
pub fn expired_hash(record: &Record) -> TransactionHash {
    Hasher::new("jiaozi/expired-record").bytes(&record.encode()).finish().into()
}
