//! Wallets and their history.

use std::fmt;
use std::str::FromStr;

use ledger::records::{Lane, Movement, MovementKind, Tier, WalletRecord, WalletStatus};
use ledger::values::{ChainId, Currency, Height, LockId, PolicyHash, TransactionId, WalletId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::{as_text, as_text_option};

/// Query of `GET /v1/wallets/{id}` and its proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WalletQuery {
    /// The chain to look on; without it, where the wallet is at home. An operator's own wallet is at home on every shard of its
    /// currency: then it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
}

/// Answer of `GET /v1/wallets/{id}`: the record after one height, all fields of the same height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WalletView {
    /// Its name.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub id: WalletId,
    /// The chain it is on.
    pub chain: u32,
    /// That chain's currency, which its money is in.
    #[serde(with = "as_text")]
    #[schema(value_type = String, example = "CNY")]
    pub currency: Currency,
    /// The height after which it looks like this.
    pub height: u64,
    /// That block's timestamp.
    pub timestamp_ms: u64,
    /// The highest certified height of this node: at or above `height` means that a quorum certified this
    /// record.
    pub certified_height: u64,
    /// Its money, in fen.
    pub balance_fen: u64,
    /// Whether it may act.
    pub status: WalletState,
    /// Its new home, if it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<u32>,
    /// Its limits.
    pub tier: TierName,
    /// The operator that opened it.
    pub operator: u16,
    /// Hash of its current policy.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub policy: PolicyHash,
    /// Its nonce lanes; a lane that was never used has `highest` 0.
    pub lanes: Vec<LaneView>,
}

impl WalletView {
    /// The view of a record on a chain of a currency. `lanes` is the number of lanes that its tier has.
    #[must_use]
    pub fn new(
        (chain, currency): (ChainId, Currency),
        at: WalletMoment,
        record: &WalletRecord,
        lanes: u16,
    ) -> Self {
        let (status, moved_to) = WalletState::of(record.status);
        let lane = |index: u16| record.lanes.get(usize::from(index)).copied().unwrap_or_default();
        Self {
            id: record.id,
            chain: chain.0,
            currency,
            height: at.height.0,
            timestamp_ms: at.timestamp_ms,
            certified_height: at.certified_height.0,
            balance_fen: record.balance.fen(),
            status,
            moved_to,
            tier: record.tier.into(),
            operator: record.operator.0,
            policy: record.policy,
            lanes: (0..lanes).map(|index| LaneView::new(index, lane(index))).collect(),
        }
    }
}

/// When a wallet was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletMoment {
    /// The height of the state it was read from.
    pub height: Height,
    /// That block's timestamp.
    pub timestamp_ms: u64,
    /// The highest certified height.
    pub certified_height: Height,
}

/// Whether a wallet may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalletState {
    /// May pay and be paid.
    Active,
    /// May neither pay nor be paid.
    Frozen,
    /// Closed for ever.
    Closed,
    /// Moved to another chain.
    Moved,
}

impl WalletState {
    /// A record's status, with the chain that it moved to.
    #[must_use]
    pub const fn of(status: WalletStatus) -> (Self, Option<u32>) {
        match status {
            WalletStatus::Active => (Self::Active, None),
            WalletStatus::Frozen => (Self::Frozen, None),
            WalletStatus::Closed => (Self::Closed, None),
            WalletStatus::Moved { to } => (Self::Moved, Some(to.0)),
        }
    }
}

/// A tier by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierName {
    /// An operator's own wallet.
    Operator,
    /// Identified in person.
    One,
    /// Identified remotely.
    Two,
    /// Identified, without a bank account.
    Three,
    /// Anonymous.
    Four,
}

impl From<Tier> for TierName {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Operator => Self::Operator,
            Tier::One => Self::One,
            Tier::Two => Self::Two,
            Tier::Three => Self::Three,
            Tier::Four => Self::Four,
        }
    }
}

impl From<TierName> for Tier {
    fn from(tier: TierName) -> Self {
        match tier {
            TierName::Operator => Self::Operator,
            TierName::One => Self::One,
            TierName::Two => Self::Two,
            TierName::Three => Self::Three,
            TierName::Four => Self::Four,
        }
    }
}

/// A nonce lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaneView {
    /// The lane.
    pub lane: u16,
    /// Highest used sequence; 0 before the first.
    pub highest: u64,
    /// The next sequence for a sender that uses them in order.
    pub next: u64,
    /// Bit `i` from the right says whether `highest - i` is used, as 32 hexadecimal digits.
    #[serde(with = "as_bitmap")]
    #[schema(value_type = String)]
    pub used: u128,
}

impl LaneView {
    /// The view of a lane.
    #[must_use]
    pub const fn new(lane: u16, state: Lane) -> Self {
        Self { lane, highest: state.highest, next: state.highest.saturating_add(1), used: state.used }
    }

    /// The lane as the ledger knows it.
    #[must_use]
    pub const fn state(&self) -> Lane {
        Lane { highest: self.highest, used: self.used }
    }
}

mod as_bitmap {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bits: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{bits:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = if is_hex { u128::from_str_radix(&text, 16).ok() } else { None };
        bits.ok_or_else(|| de::Error::custom("expected 32 hexadecimal digits"))
    }
}

/// A place in a history: height, position of the transaction in the block, part of the transaction. Text:
/// `12.0.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The block.
    pub height: Height,
    /// Position of the transaction among those of the block.
    pub index: u32,
    /// Position of the payment in the transaction.
    pub part: u16,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.height, self.index, self.part)
    }
}

/// Text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is the text that a page gave as next, such as 12.0.3")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('.');
        let mut part =
            || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())).ok_or(CursorError);
        let cursor = Self {
            height: Height(part()?.parse().map_err(|_| CursorError)?),
            index: part()?.parse().map_err(|_| CursorError)?,
            part: part()?.parse().map_err(|_| CursorError)?,
        };
        if parts.next().is_none() { Ok(cursor) } else { Err(CursorError) }
    }
}

/// Most entries of a history page.
pub const HISTORY_PAGE_MAX: u32 = 1_000;
/// Entries of a history page when the query does not say.
pub const HISTORY_PAGE_DEFAULT: u32 = 100;
const _: () = assert!(HISTORY_PAGE_DEFAULT <= HISTORY_PAGE_MAX);

/// Query of `GET /v1/wallets/{id}/history`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// The chain to look on; without it, where the wallet is at home, as for the wallet itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
    /// Only entries before this cursor; without it, from the newest.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub before: Option<Cursor>,
    /// Entries wanted, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /v1/wallets/{id}/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPage {
    /// The wallet.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub wallet: WalletId,
    /// The chain.
    pub chain: u32,
    /// That chain's currency.
    #[serde(with = "as_text")]
    #[schema(value_type = String, example = "CNY")]
    pub currency: Currency,
    /// The highest certified height: entries up to it are certified.
    pub certified_height: u64,
    /// Newest first.
    pub entries: Vec<HistoryEntry>,
    /// `before` of the next page; missing on the last.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}

/// Something that happened to a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// Its place.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub cursor: Cursor,
    /// The block.
    pub height: u64,
    /// That block's timestamp.
    pub timestamp_ms: u64,
    /// The transaction that did it, or the receipt from another chain, if this node still has it.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub transaction: Option<TransactionId>,
    /// The lock that it made.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub lock: Option<LockId>,
    /// What it was.
    pub kind: MovementName,
    /// The other wallet.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub counterparty: WalletId,
    /// The chain that the wallet moved to, or came from; of `moved_out` and `moved_in` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_chain: Option<u32>,
    /// How much, in fen.
    pub amount_fen: u64,
}

impl HistoryEntry {
    /// The view of a movement of a wallet that stands between these chains.
    #[must_use]
    pub fn new(
        cursor: Cursor,
        timestamp_ms: u64,
        transaction: Option<TransactionId>,
        movement: &Movement,
        between: Between,
    ) -> Self {
        let is_lock = movement.kind == MovementKind::Locked;
        let other = match movement.kind {
            MovementKind::MovedOut => between.to,
            MovementKind::MovedIn => between.from,
            _ => None,
        };
        Self {
            cursor,
            height: cursor.height.0,
            timestamp_ms,
            transaction,
            lock: transaction.filter(|_| is_lock).map(LockId::of),
            kind: MovementName::of(movement.kind),
            counterparty: movement.counterparty,
            other_chain: other.map(|chain| chain.0),
            amount_fen: movement.amount.fen(),
        }
    }
}

/// Where a wallet moves to from a chain, and where from it comes there. A wallet moves away from a chain once at most, and comes from
/// that chain's parent alone (PROTOCOL rule 25), so both are known without asking the movement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Between {
    /// The parent of the chain that is looked on.
    pub from: Option<ChainId>,
    /// The chain that the wallet's record there says it has moved to.
    pub to: Option<ChainId>,
}

/// What a movement was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementName {
    /// The wallet paid the counterparty.
    Paid,
    /// The counterparty paid the wallet.
    Received,
    /// The wallet was opened by the counterparty.
    Opened,
    /// New money came in.
    Issued,
    /// Money was taken out of circulation.
    Redeemed,
    /// A payment to the counterparty, on another chain, came back.
    Refunded,
    /// Money was locked for the counterparty.
    Locked,
    /// Money that the counterparty had locked came in.
    Settled,
    /// Money that was locked for the counterparty came back.
    Returned,
    /// The wallet moved to another chain with this balance; the counterparty is the wallet itself.
    MovedOut,
    /// The wallet arrived from another chain with this balance; the counterparty is the wallet itself.
    MovedIn,
    /// The wallet paid a fee, base fee and tip; the counterparty is the wallet whose transaction it is, or the operator's own where the
    /// fee is what that left unpaid.
    FeePaid,
    /// The operator's own wallet earned a tip of the counterparty.
    TipReceived,
    /// Operators gave the operator's own wallet collected fees; the counterparty is the wallet itself.
    FeesSpent,
}

impl MovementName {
    const fn of(kind: MovementKind) -> Self {
        match kind {
            MovementKind::Paid => Self::Paid,
            MovementKind::Received => Self::Received,
            MovementKind::Opened => Self::Opened,
            MovementKind::Issued => Self::Issued,
            MovementKind::Redeemed => Self::Redeemed,
            MovementKind::Refunded => Self::Refunded,
            MovementKind::Locked => Self::Locked,
            MovementKind::Settled => Self::Settled,
            MovementKind::Returned => Self::Returned,
            MovementKind::MovedOut => Self::MovedOut,
            MovementKind::MovedIn => Self::MovedIn,
            MovementKind::FeePaid => Self::FeePaid,
            MovementKind::TipReceived => Self::TipReceived,
            MovementKind::FeesSpent => Self::FeesSpent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_have_one_text() {
        let cursor = Cursor { height: Height(12), index: 0, part: 3 };
        assert_eq!(cursor.to_string(), "12.0.3");
        assert_eq!("12.0.3".parse(), Ok(cursor));
        for bad in ["", "12", "12.0", "12.0.3.4", "+1.0.0", "1.0.65536", "1..0", "1.-1.0"] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }
}
