//! What a transaction asks for.

use wincode::{SchemaRead, SchemaWrite};

use super::change::{Approval, GOVERN_BYTES_MAX, Proposal, check_govern};
use super::lock::Asked;
use super::wallet::Tier;
use crate::values::codec::check_count;
use crate::values::id::WalletSalt;
use crate::values::{Amount, Canonical, ChainId, CodecError, LockId, PolicyHash, TimestampMs, WalletId};

/// Most payments of one `Pay`.
pub const PAYMENTS_MAX: usize = 64;
/// Most wallets of one `OpenWallets`.
pub const OPENINGS_MAX: usize = 64;

/// One payee, one amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Payment {
    /// Who is paid: another wallet than the payer.
    pub payee: WalletId,
    /// How much; not zero.
    pub amount: Amount,
}

/// One wallet to open. Its id follows from these fields ([`WalletId::derive`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct WalletOpening {
    /// Hash of the policy that will rule the wallet.
    pub policy: PolicyHash,
    /// Distinguishes wallets of one policy.
    pub salt: WalletSalt,
    /// The limits it lives under.
    pub tier: Tier,
}

/// What a transaction asks for. New operations are appended: the order fixes the encoding.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Operation {
    /// Pays 1 to [`PAYMENTS_MAX`] payees, all or none.
    Pay {
        /// The payments, applied in order.
        payments: Vec<Payment>,
    },
    /// Opens 1 to [`OPENINGS_MAX`] wallets, all or none; signed by an operator's wallet, which becomes their
    /// operator.
    OpenWallets {
        /// The wallets, in order of their slots.
        wallets: Vec<WalletOpening>,
    },
    /// Puts new money into an operator's wallet; signed by the central bank's wallet.
    Issue {
        /// An operator's own wallet.
        to: WalletId,
        /// How much; not zero.
        amount: Amount,
    },
    /// Takes money out of circulation, from the signing operator's wallet.
    Redeem {
        /// How much; not zero.
        amount: Amount,
    },
    /// Locks money of the signer for whoever shows a secret in time; else it comes back.
    Lock {
        /// Who gets it: a wallet of this chain.
        payee: WalletId,
        /// How much; not zero.
        amount: Amount,
        /// SHA-256 of the secret.
        hash: [u8; 32],
        /// Until when.
        deadline: TimestampMs,
    },
    /// Settles a lock with its secret; signed by its payee.
    Claim {
        /// The lock.
        lock: LockId,
        /// The secret.
        preimage: [u8; 32],
    },
    /// Locks money of the signer until another chain has decided whether what is asked in exchange was paid there.
    Exchange {
        /// Who gets it: a wallet of this chain.
        payee: WalletId,
        /// How much; not zero.
        amount: Amount,
        /// The chain that decides: of another currency.
        chain: ChainId,
        /// What has to be paid there.
        asked: Asked,
        /// Until when.
        deadline: TimestampMs,
    },
    /// Pays what an offer asks for, so that its lock is settled; signed by the payer that it names. Repeats what the offer says, so
    /// that it is what was signed.
    Accept {
        /// The offer.
        offer: LockId,
        /// Whom the signer pays.
        payee: WalletId,
        /// How much.
        amount: Amount,
        /// What the lock holds for it.
        receives: Amount,
        /// The chain that holds the lock, and so which money it is.
        source: ChainId,
        /// Who gets the lock's money there.
        to: WalletId,
    },
    /// Cancels an offer; signed by the payer that it names.
    Decline {
        /// The offer.
        offer: LockId,
    },
    /// Asks the chain that decides an exchange to cancel it; signed by its lock's payer. Until that chain has answered, nothing changes.
    Withdraw {
        /// The lock.
        lock: LockId,
    },
    /// Changes the registry, on the root chain; signed by any operator's wallet, approved by a quorum of the council.
    Govern {
        /// The changes.
        proposal: Proposal,
        /// Ascending by operator, each once; at least a quorum of the council.
        approvals: Vec<Approval>,
    },
}

impl Operation {
    /// What leaves the signer's wallet where it is applied; a sum that does not fit stays at the most that an [`Amount`] holds.
    #[must_use]
    pub fn spends(&self) -> Amount {
        match self {
            Self::Pay { payments } => payments.iter().fold(Amount::ZERO, |sum, payment| {
                sum.plus(payment.amount).unwrap_or(Amount::from_fen(u64::MAX))
            }),
            Self::Redeem { amount }
            | Self::Lock { amount, .. }
            | Self::Exchange { amount, .. }
            | Self::Accept { amount, .. } => *amount,
            Self::OpenWallets { .. }
            | Self::Issue { .. }
            | Self::Claim { .. }
            | Self::Decline { .. }
            | Self::Withdraw { .. }
            | Self::Govern { .. } => Amount::ZERO,
        }
    }
}

impl Canonical for Operation {
    const NAME: &'static str = "operation";
    const BYTES_MAX: usize = 4 + GOVERN_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Pay { payments } => check_count("operation.payments", payments.len(), 1, PAYMENTS_MAX),
            Self::OpenWallets { wallets } => check_count("operation.wallets", wallets.len(), 1, OPENINGS_MAX),
            Self::Issue { .. }
            | Self::Redeem { .. }
            | Self::Lock { .. }
            | Self::Claim { .. }
            | Self::Exchange { .. }
            | Self::Accept { .. }
            | Self::Decline { .. }
            | Self::Withdraw { .. } => Ok(()),
            Self::Govern { proposal, approvals } => check_govern(proposal, approvals),
        }
    }
}

/// The bound above holds for the two lists, and for what has none.
const _: () = assert!((32 + 8) * PAYMENTS_MAX <= (32 + 16 + 4) * OPENINGS_MAX);
const _: () = assert!(4 + 32 + 8 + 4 + 72 + 8 <= GOVERN_BYTES_MAX);
const _: () = assert!(8 + (32 + 16 + 4) * OPENINGS_MAX <= GOVERN_BYTES_MAX);
