//! History: what a height did to a wallet, as its owner reads it. An index, not part of the state root:
//! whoever doubts an entry asks for the proof of the transaction's outcome.

use wincode::{SchemaRead, SchemaWrite};

use crate::values::{Amount, Canonical, Slot, WalletId};

/// What a movement was. New kinds are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum MovementKind {
    /// The wallet paid the counterparty.
    Paid,
    /// The counterparty paid the wallet.
    Received,
    /// The wallet was opened; the counterparty is the opening operator's wallet.
    Opened,
    /// New money came in; the counterparty is the central bank's wallet.
    Issued,
    /// Money was taken out of circulation; the counterparty is the wallet itself.
    Redeemed,
    /// A payment to another chain came back; the counterparty is who should have been paid.
    Refunded,
    /// The wallet's money was locked for the counterparty.
    Locked,
    /// Money that the counterparty had locked came in.
    Settled,
    /// Money that was locked for the counterparty came back.
    Returned,
    /// The wallet moved with this balance to another chain; the counterparty is the wallet itself.
    MovedOut,
    /// The wallet arrived with this balance from another chain; the counterparty is the wallet itself.
    MovedIn,
    /// The wallet paid a fee; the counterparty is the wallet whose transaction it is.
    FeePaid,
    /// The operator's wallet earned a tip; the counterparty is whoever paid it.
    TipReceived,
    /// Operators gave the operator's wallet money of the fee pool; the counterparty is the wallet itself.
    FeesSpent,
}

/// One movement, seen from one wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Movement {
    /// What it was.
    pub kind: MovementKind,
    /// The other wallet.
    pub counterparty: WalletId,
    /// How much; zero for `Opened`.
    pub amount: Amount,
}

impl Canonical for Movement {
    const NAME: &'static str = "movement";
    const BYTES_MAX: usize = 4 + 32 + 8;
}

/// A movement and where it belongs. `(slot, index, part)` is unique within a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The wallet's slot.
    pub slot: Slot,
    /// Position of the transaction among all that the block orders.
    pub index: u32,
    /// Position of the payment, opening or change within the transaction; fee and tip have the last two.
    pub part: u16,
    /// What happened.
    pub movement: Movement,
}
