//! Locks and offers: money that waits for a preimage, or for the word of another chain.
//!
//! A lock lies on the chain of its money, under an id that follows from the transaction that made it. An exchange has a record
//! on two chains under one id: the *lock* where the money is, and the *offer* where it is decided.

use ledger::records::outcome::APPLIED;
use ledger::records::{Asked, LockKind, LockRecord, LockState, OfferRecord, OfferState};
use ledger::values::{Amount, ChainId, Currency, Height, LockId, TimestampMs, WalletId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::as_text;
use crate::transaction::OutcomeView;

/// Answer of `GET /v1/chains/{chain}/locks/{id}`: the record after one height, all fields of the same height.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockView {
    /// Its name; of an exchange, on both chains.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub id: LockId,
    /// The chain that was asked.
    pub chain: u32,
    /// The height after which it looks like this.
    pub height: u64,
    /// That block's timestamp.
    pub timestamp_ms: u64,
    /// What that chain has under this id.
    pub role: LockRole,
    /// Where it stands.
    pub state: LockStateName,
    /// Whether a quorum has certified that it is in this state.
    pub is_certified: bool,
    /// The money that is locked: where, from whom, for whom.
    pub locked: SideView,
    /// What is asked in return, of an exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<SideView>,
    /// The last block timestamp at which it can be claimed or accepted; 32 more blocks pass before it is undone.
    pub deadline_ms: u64,
    /// SHA-256 of the preimage that claims a hash lock, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The preimage that claimed it, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preimage: Option<String>,
    /// What was decided, and why; missing while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionView>,
}

/// Most locks and offers of a page.
pub const LOCKS_PAGE_MAX: u32 = 200;
/// Locks and offers of a page when the query does not say.
pub const LOCKS_PAGE_DEFAULT: u32 = 50;
const _: () = assert!(LOCKS_PAGE_DEFAULT <= LOCKS_PAGE_MAX);

/// Query of `GET /v1/wallets/{id}/locks`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LocksQuery {
    /// The chain to look on; without it, where the wallet is, as for the wallet itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
    /// Go on from here: what the page before gave as `next`; without it, from the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Locks wanted, 1 to 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /v1/wallets/{id}/locks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LocksPage {
    /// The wallet.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub wallet: WalletId,
    /// The chain.
    pub chain: u32,
    /// Open locks that the wallet made or that are for it, and open offers that ask it to pay or to be paid here; oldest first.
    pub locks: Vec<LockView>,
    /// `from` of the next page, which may be empty and have a next one in turn: a page ends also where enough was looked at. Missing
    /// where there are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What a chain has under a lock's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockRole {
    /// Money for whoever shows a preimage in time.
    HashLock,
    /// Money that the deciding chain has the word over.
    ExchangeLock,
    /// The offer of an exchange, on the chain that decides.
    Offer,
}

/// Where a lock or an offer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockStateName {
    /// Not decided.
    Open,
    /// The lock's payee has the money.
    Settled,
    /// The lock's payer has the money back.
    Returned,
    /// The offer was accepted, and what it asked for was paid.
    Accepted,
    /// The offer can never be accepted.
    Cancelled,
}

/// One side of an exchange, or the money of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SideView {
    /// Where it is paid.
    pub chain: u32,
    /// Who pays.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub payer: WalletId,
    /// Who is paid.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub payee: WalletId,
    /// How much, in fen.
    pub amount_fen: u64,
    /// How much, in decimals: `12.34`.
    #[schema(example = "12.34")]
    pub amount: String,
    /// Of which currency.
    #[serde(with = "as_text")]
    #[schema(value_type = String, example = "CNY")]
    pub currency: Currency,
}

/// What was decided of a lock or an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// Whether the payee of the lock gets the money; else its payer has it back.
    pub is_settled: bool,
    /// 0 when settled, else why not: a code of the ledger.
    pub code: u16,
    /// `settled`, or the code's name.
    pub name: String,
    /// What happened, for people.
    pub message: String,
}

/// When a lock was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockMoment {
    /// The chain.
    pub chain: ChainId,
    /// The height of the state it was read from.
    pub height: Height,
    /// That block's timestamp.
    pub timestamp: TimestampMs,
    /// Whether what was read is under a certificate.
    pub is_certified: bool,
}

impl LockView {
    /// The view of a lock; `currency` knows the chains of the network. `None` where it does not know one that the lock is about: an amount
    /// is never shown in a currency that is guessed.
    #[must_use]
    pub fn of_lock(
        at: LockMoment,
        lock: &LockRecord,
        currency: impl Fn(ChainId) -> Option<Currency>,
    ) -> Option<Self> {
        let locked = SideView::new(at.chain, &currency, lock.payer, lock.payee, lock.amount)?;
        let (role, asked, hash) = match &lock.kind {
            LockKind::Hash { hash } => (LockRole::HashLock, None, Some(const_hex::encode(hash))),
            LockKind::Exchange { chain, asked } => {
                (LockRole::ExchangeLock, Some(SideView::asked(*chain, &currency, asked)?), None)
            }
        };
        let (state, preimage, decision) = match &lock.state {
            LockState::Open => (LockStateName::Open, None, None),
            LockState::Settled { preimage } => {
                let preimage = preimage.as_ref().map(const_hex::encode);
                (LockStateName::Settled, preimage, Some(DecisionView::new(APPLIED)))
            }
            LockState::Returned { code } => (LockStateName::Returned, None, Some(DecisionView::new(*code))),
        };
        let view = Self::open(at, lock.id, role, locked, lock.deadline);
        Some(Self { state, asked, hash, preimage, decision, ..view })
    }

    /// The view of an offer; `currency` knows the chains of the network. `None` as for a lock.
    #[must_use]
    pub fn of_offer(
        at: LockMoment,
        offer: &OfferRecord,
        currency: impl Fn(ChainId) -> Option<Currency>,
    ) -> Option<Self> {
        let locked = SideView::new(offer.source, &currency, offer.payer, offer.payee, offer.amount)?;
        let asked = Some(SideView::asked(at.chain, &currency, &offer.asked)?);
        let (state, decision) = match &offer.state {
            OfferState::Open => (LockStateName::Open, None),
            OfferState::Accepted => (LockStateName::Accepted, Some(DecisionView::new(APPLIED))),
            OfferState::Cancelled { code } => (LockStateName::Cancelled, Some(DecisionView::new(*code))),
        };
        let view = Self::open(at, offer.id, LockRole::Offer, locked, offer.deadline);
        Some(Self { state, asked, decision, ..view })
    }

    fn open(at: LockMoment, id: LockId, role: LockRole, locked: SideView, deadline: TimestampMs) -> Self {
        Self {
            id,
            chain: at.chain.0,
            height: at.height.0,
            timestamp_ms: at.timestamp.0,
            role,
            state: LockStateName::Open,
            is_certified: at.is_certified,
            locked,
            asked: None,
            deadline_ms: deadline.0,
            hash: None,
            preimage: None,
            decision: None,
        }
    }

    /// Whether it is decided, under a certificate: nothing of it will ever change.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_certified && !matches!(self.state, LockStateName::Open)
    }
}

impl SideView {
    fn new(
        chain: ChainId,
        currency: &impl Fn(ChainId) -> Option<Currency>,
        payer: WalletId,
        payee: WalletId,
        amount: Amount,
    ) -> Option<Self> {
        let (amount_fen, amount) = (amount.fen(), amount.to_string());
        Some(Self { chain: chain.0, payer, payee, amount_fen, amount, currency: currency(chain)? })
    }

    fn asked(chain: ChainId, currency: &impl Fn(ChainId) -> Option<Currency>, asked: &Asked) -> Option<Self> {
        Self::new(chain, currency, asked.payer, asked.payee, asked.amount)
    }
}

impl DecisionView {
    /// The view of a decision's code. A code of a later format is shown as such.
    #[must_use]
    pub fn new(code: u16) -> Self {
        let OutcomeView { is_applied, name, message, .. } = OutcomeView::from_code(code);
        if is_applied {
            let (name, message) = ("settled".to_owned(), "settled".to_owned());
            return Self { is_settled: true, code, name, message };
        }
        Self { is_settled: false, code, name, message }
    }
}
