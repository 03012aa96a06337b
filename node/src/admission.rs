//! The only door for transactions.
//!
//! Checks run from cheap to dear: size, decoding, network and chain, already known, signatures (together for everything
//! that arrived together), a trial execution on the last executed state (a forecast, not a promise), a place in the pool.
//! Whatever is refused changes nothing and is told why, with the stable code, the field and the mend.

use ledger::records::{NotExecuted, Rejection};
use ledger::rules::TransactionFault;
use ledger::values::{CodecError, TransactionId};
use mempool::PoolRefusal;

/// Why a transaction was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are no canonical transaction, or a count or range is wrong.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// It breaks a rule that needs no state: wrong network or chain, tip before the fee market, a bad signature.
    #[error("{fault}")]
    Stateless {
        /// Which rule.
        fault: TransactionFault,
    },
    /// It would consume no nonce now.
    #[error("{reason}")]
    NotExecuted {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: NotExecuted,
    },
    /// It would be rejected now.
    #[error("{reason}")]
    Rejected {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: Rejection,
    },
    /// There is no place for it.
    #[error("{reason}")]
    Pool {
        /// Its id.
        id: TransactionId,
        /// Why.
        reason: PoolRefusal,
    },
    /// The node cannot take transactions now: it is behind, out of disk, halted or overloaded.
    #[error("the node takes no transactions now")]
    Unavailable {
        /// When to try again.
        retry_after_ms: u64,
    },
}
