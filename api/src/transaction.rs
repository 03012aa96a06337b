//! Transactions: submitting them and asking what became of them.
//!
//! A transaction travels as the hexadecimal text of its canonical bytes, because those bytes are what was
//! signed; answers echo it in a structured form for people and programs that only look.

use ledger::records::outcome::APPLIED;
use ledger::records::{Asked, Operation, Outcome, Rejection, Tier, Transaction};
use ledger::values::{
    Canonical as _, ChainId, Currency, GenesisHash, Height, LockId, PolicyHash, PublicKey, TransactionId,
    WalletId,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
use crate::governance::ProposalView;
use crate::leg::{HopView, LegView};
use crate::lock::{LockRole, LockView};
use crate::text::{as_hex, as_text, as_text_list, as_text_option};
use crate::wallet::TierName;

/// Body of `POST /v1/transactions` as JSON: one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The canonical bytes of the signed transaction, hexadecimal, at most 10240 bytes.
    pub transaction: String,
}

impl SubmitRequest {
    /// The request for a transaction.
    #[must_use]
    pub fn new(transaction: &Transaction) -> Self {
        Self { transaction: const_hex::encode(transaction.encode()) }
    }

    /// The bytes, not yet decoded as a transaction.
    ///
    /// # Errors
    /// [`ApiError`] 1101 when the text is not hexadecimal.
    pub fn bytes(&self) -> Result<Vec<u8>, ApiError> {
        const_hex::decode(&self.transaction)
            .map_err(|_| ApiError::from(crate::code::ErrorCode::TransactionNotHex).at("transaction"))
    }
}

/// What the node made of a submitted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmitStatus {
    /// Taken in: it waits to be ordered.
    Accepted,
    /// It was posted before; nothing to do.
    AlreadyKnown,
    /// Not taken in. A single submission answers this with an HTTP status of 400 or above and an [`ApiError`]
    /// as the body.
    Refused,
}

/// Answer to a submitted transaction. Posting the same transaction again is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitAnswer {
    /// The transaction's id; missing when the bytes were no transaction.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<TransactionId>,
    /// What the node made of it.
    pub status: SubmitStatus,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// What the node understood; in answers to single submissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionView>,
}

/// Answer to a submission: one as JSON is answered with one, a binary body with one for each of its transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SubmitAnswers {
    /// To a JSON body.
    One(Box<SubmitAnswer>),
    /// To a binary body, in its order.
    Many(Vec<SubmitAnswer>),
}

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    /// Not known here: never received, or forgotten.
    Unknown,
    /// Received; not yet ordered.
    Pending,
    /// Left the pool or was ordered without being executed: its nonce is unused. `error` says why.
    NotExecuted,
    /// Its position cannot change; the outcome is what this node computed.
    Final,
    /// The outcome is under a quorum's certificate.
    Certified,
    /// Its `valid_until` has passed without an outcome: it can never be executed.
    Expired,
}

impl TransactionState {
    /// Whether nothing about it will change any more. `NotExecuted` may still change while `valid_until` lies
    /// ahead.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Certified | Self::Expired)
    }
}

/// Query of `GET /v1/transactions/{id}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TransactionQuery {
    /// Answer only when the transaction is there, or when time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub wait: Option<WaitFor>,
    /// How long to wait at most, in milliseconds; lowered to what the node allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Its position cannot change.
    Final,
    /// Its outcome is under a certificate.
    Certified,
    /// That, and every payee on another chain is credited, or the payer refunded, and an exchange that it offers is decided, all
    /// under a certificate. A leg whose end is on a chain that the node does not host is not waited for: its `ask` says where it is.
    Settled,
}

/// Answer of `GET /v1/transactions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionStatus {
    /// The transaction.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub id: TransactionId,
    /// Where it stands.
    pub status: TransactionState,
    /// The chain it is on; missing when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
    /// That chain's currency; missing when unknown.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "CNY")]
    pub currency: Option<Currency>,
    /// The block that ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Its position among the transactions of that block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// What execution made of it; from `final` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// Whether the outcome is under a certificate. Until then it is this node's word only.
    pub is_certified: bool,
    /// What was charged, in fen, base fee and tip; from `final` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_fen: Option<u64>,
    /// Path of the proof on this node; from `certified` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Why it was not executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// The transaction, if it is at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionView>,
    /// Its payees on other chains, from `final` on. The others are paid when the transaction is applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegView>,
    /// Of a receipt whose wallet is on another chain: where it was sent on to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_on: Option<HopView>,
    /// The lock that it made, or the lock or offer that it is about, as this chain has it; from `final` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Box<LockView>>,
}

impl TransactionStatus {
    /// Whether nothing of it is under way any more: its outcome is certified, and so is the end of every leg and of an exchange.
    /// (A hash lock is not under way: it waits for whoever has the preimage.)
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_decided() && self.legs.iter().all(LegView::is_over)
    }

    /// Whether waiting at the node that gave this ends: settled, but for legs whose end is on chains that it does not host.
    #[must_use]
    pub fn is_settled_here(&self) -> bool {
        self.is_decided() && self.legs.iter().all(|leg| leg.is_over() || leg.ask.is_some())
    }

    /// Whether it is certified, and the exchange that it offers decided.
    fn is_decided(&self) -> bool {
        let is_undecided = |lock: &LockView| lock.role == LockRole::ExchangeLock && !lock.is_over();
        self.is_certified && !self.lock.as_deref().is_some_and(is_undecided)
    }

    /// Whether it is dead because its wallet is on another chain now. That never changes: it is bound to the chain that it was signed for,
    /// where the wallet's nonces are closed for good.
    #[must_use]
    pub fn is_dead_of_move(&self) -> bool {
        self.status == TransactionState::NotExecuted
            && self.error.as_ref().is_some_and(ApiError::is_wallet_moved)
    }

    /// A status without a position.
    #[must_use]
    pub const fn without_position(
        id: TransactionId,
        status: TransactionState,
        chain: Option<ChainId>,
    ) -> Self {
        let chain = match chain {
            Some(chain) => Some(chain.0),
            None => None,
        };
        Self {
            id,
            status,
            chain,
            currency: None,
            height: None,
            index: None,
            outcome: None,
            is_certified: false,
            fee_fen: None,
            proof: None,
            error: None,
            transaction: None,
            legs: Vec::new(),
            sent_on: None,
            lock: None,
        }
    }

    /// The status of an executed transaction.
    #[must_use]
    pub fn executed(chain: ChainId, height: Height, outcome: &Outcome, is_certified: bool) -> Self {
        let status = if is_certified { TransactionState::Certified } else { TransactionState::Final };
        Self {
            height: Some(height.0),
            index: Some(outcome.index),
            outcome: Some(OutcomeView::from_code(outcome.code)),
            is_certified,
            fee_fen: Some(outcome.fee.fen()),
            proof: is_certified.then(|| crate::path::transaction_proof(outcome.id)),
            ..Self::without_position(outcome.id, status, Some(chain))
        }
    }
}

/// What execution made of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeView {
    /// Whether it did what it asked for.
    pub is_applied: bool,
    /// 0 for applied, else the ledger's rejection code.
    #[schema(example = 205)]
    pub code: u16,
    /// `applied`, or the rejection's name.
    #[schema(example = "insufficient_funds")]
    pub name: String,
    /// What happened, for people.
    pub message: String,
    /// What to do next; missing when applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl OutcomeView {
    /// The view of an outcome code. A code of a later format is shown as such.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        let (name, message, mend) = match Rejection::from_code(code) {
            _ if code == APPLIED => ("applied".to_owned(), "applied".to_owned(), None),
            Some(reason) => (reason.name(), reason.to_string(), Some(reason.mend().to_owned())),
            None => (
                "unknown".to_owned(),
                "a code of a later format".to_owned(),
                Some("use a newer version".to_owned()),
            ),
        };
        Self { is_applied: code == APPLIED, code, name, message, mend }
    }
}

/// A transaction as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionView {
    /// Its id.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub id: TransactionId,
    /// The chain it is for.
    pub chain: u32,
    /// That chain's currency, which its amounts are in.
    #[serde(with = "as_text")]
    #[schema(value_type = String, example = "CNY")]
    pub currency: Currency,
    /// The wallet that acts, and pays unless there is a sponsor.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub wallet: WalletId,
    /// Nonce lane.
    pub lane: u16,
    /// Sequence in the lane.
    pub sequence: u64,
    /// Last block timestamp at which it may execute.
    pub valid_until_ms: u64,
    /// Most that may be charged, in fen.
    pub fee_max_fen: u64,
    /// Extra for the operator, in fen; part of `fee_max_fen`.
    pub tip_fen: u64,
    /// The operator that earns the tip, in its own wallet on the chain.
    pub tip_operator: u16,
    /// The wallet that pays base fee and tip, where that is not `wallet`.
    #[serde(default, with = "as_text_option")]
    #[schema(value_type = Option<String>)]
    pub sponsor: Option<WalletId>,
    /// Signatures needed by the policy it carries.
    pub threshold: u8,
    /// Keys of that policy.
    #[serde(with = "as_text_list")]
    #[schema(value_type = Vec<String>)]
    pub keys: Vec<PublicKey>,
    /// Positions of the keys that signed.
    pub signed_by: Vec<u8>,
    /// What it asks for.
    pub operation: OperationView,
    /// The canonical bytes with signatures, hexadecimal.
    #[serde(with = "as_hex")]
    #[schema(value_type = String)]
    pub bytes: Vec<u8>,
}

impl TransactionView {
    /// The view of a transaction for a chain of `currency`.
    #[must_use]
    pub fn new(transaction: &Transaction, genesis: GenesisHash, currency: Currency) -> Self {
        let content = &transaction.content;
        Self {
            id: transaction.id(genesis),
            chain: content.chain.0,
            currency,
            wallet: content.wallet,
            lane: content.nonce.lane,
            sequence: content.nonce.sequence,
            valid_until_ms: content.valid_until.0,
            fee_max_fen: content.fee.fee_max.fen(),
            tip_fen: content.fee.tip.fen(),
            tip_operator: content.fee.operator.0,
            sponsor: content.fee.sponsor.as_ref().map(|sponsor| sponsor.wallet),
            threshold: content.policy.threshold,
            keys: content.policy.keys.clone(),
            signed_by: transaction.signatures.iter().map(|signature| signature.key).collect(),
            operation: OperationView::new(&content.operation),
            bytes: transaction.encode(),
        }
    }
}

/// What a transaction asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OperationView {
    /// Pays, all or none.
    Pay {
        /// The payments in order.
        payments: Vec<PaymentView>,
    },
    /// Opens wallets, all or none.
    OpenWallets {
        /// The wallets in order.
        wallets: Vec<WalletOpeningView>,
    },
    /// Puts new money into an operator's wallet.
    Issue {
        /// The wallet.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        to: WalletId,
        /// How much, in fen.
        amount_fen: u64,
    },
    /// Takes money out of circulation.
    Redeem {
        /// How much, in fen.
        amount_fen: u64,
    },
    /// Locks money for whoever shows a preimage in time; else it comes back by itself.
    Lock {
        /// Who may claim it.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        payee: WalletId,
        /// How much, in fen.
        amount_fen: u64,
        /// SHA-256 of the preimage, hexadecimal.
        #[serde(with = "as_hex")]
        #[schema(value_type = String)]
        hash: Vec<u8>,
        /// The last block timestamp at which it can be claimed.
        deadline_ms: u64,
    },
    /// Claims the money of a hash lock.
    Claim {
        /// The lock.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        lock: LockId,
        /// What was hashed, hexadecimal.
        #[serde(with = "as_hex")]
        #[schema(value_type = String)]
        preimage: Vec<u8>,
    },
    /// Locks money and offers it for money of another currency.
    Exchange {
        /// Who gets the locked money.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        payee: WalletId,
        /// How much is locked, in fen.
        amount_fen: u64,
        /// The chain of the other currency, which decides.
        chain: u32,
        /// What is asked for there.
        asked: AskedView,
        /// The last block timestamp of the deciding chain at which it can be accepted.
        deadline_ms: u64,
    },
    /// Accepts an offer and pays what it asks for.
    Accept {
        /// The offer.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        offer: LockId,
        /// Who is paid here.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        payee: WalletId,
        /// How much is paid here, in fen.
        amount_fen: u64,
        /// How much the lock on the other chain gives, in fen of its currency.
        receives_fen: u64,
        /// The chain of that lock.
        source: u32,
        /// Who gets its money there.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        to: WalletId,
    },
    /// Declines an offer, as who was asked to pay.
    Decline {
        /// The offer.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        offer: LockId,
    },
    /// Asks the deciding chain to cancel an offer, as who made it.
    Withdraw {
        /// The lock.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        lock: LockId,
    },
    /// Changes the registry, on the root chain.
    Govern {
        /// The changes.
        proposal: ProposalView,
        /// The operators that approve, by id.
        approved_by: Vec<u16>,
    },
}

/// What an exchange asks for on the deciding chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskedView {
    /// Who is to pay.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub payer: WalletId,
    /// Who is to be paid.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub payee: WalletId,
    /// How much, in fen.
    pub amount_fen: u64,
}

impl From<&Asked> for AskedView {
    fn from(asked: &Asked) -> Self {
        Self { payer: asked.payer, payee: asked.payee, amount_fen: asked.amount.fen() }
    }
}

/// One payee, one amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentView {
    /// Who is paid.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub payee: WalletId,
    /// How much, in fen.
    pub amount_fen: u64,
}

/// One wallet to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WalletOpeningView {
    /// Hash of the policy that will rule it.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub policy: PolicyHash,
    /// Distinguishes wallets of one policy, hexadecimal.
    #[serde(with = "as_hex")]
    #[schema(value_type = String)]
    pub salt: Vec<u8>,
    /// Its limits.
    pub tier: TierName,
}

impl OperationView {
    /// The view of an operation.
    #[must_use]
    pub fn new(operation: &Operation) -> Self {
        match operation {
            Operation::Pay { payments } => Self::Pay {
                payments: payments
                    .iter()
                    .map(|payment| PaymentView { payee: payment.payee, amount_fen: payment.amount.fen() })
                    .collect(),
            },
            Operation::OpenWallets { wallets } => Self::OpenWallets {
                wallets: wallets
                    .iter()
                    .map(|opening| opening_view(opening.policy, &opening.salt, opening.tier))
                    .collect(),
            },
            Operation::Issue { to, amount } => Self::Issue { to: *to, amount_fen: amount.fen() },
            Operation::Redeem { amount } => Self::Redeem { amount_fen: amount.fen() },
            Operation::Govern { proposal, approvals } => Self::Govern {
                proposal: ProposalView::from(proposal),
                approved_by: approvals.iter().map(|approval| approval.operator.0).collect(),
            },
            Operation::Lock { payee, amount, hash, deadline } => Self::Lock {
                payee: *payee,
                amount_fen: amount.fen(),
                hash: hash.to_vec(),
                deadline_ms: deadline.0,
            },
            Operation::Claim { lock, preimage } => Self::Claim { lock: *lock, preimage: preimage.to_vec() },
            Operation::Exchange { payee, amount, chain, asked, deadline } => Self::Exchange {
                payee: *payee,
                amount_fen: amount.fen(),
                chain: chain.0,
                asked: asked.into(),
                deadline_ms: deadline.0,
            },
            Operation::Accept { offer, payee, amount, receives, source, to } => Self::Accept {
                offer: *offer,
                payee: *payee,
                amount_fen: amount.fen(),
                receives_fen: receives.fen(),
                source: source.0,
                to: *to,
            },
            Operation::Decline { offer } => Self::Decline { offer: *offer },
            Operation::Withdraw { lock } => Self::Withdraw { lock: *lock },
        }
    }

    /// The lock or offer that it is about, if it is about one that was there before it.
    #[must_use]
    pub const fn names_lock(&self) -> Option<LockId> {
        match self {
            Self::Claim { lock, .. } | Self::Withdraw { lock } => Some(*lock),
            Self::Accept { offer, .. } | Self::Decline { offer } => Some(*offer),
            Self::Pay { .. }
            | Self::OpenWallets { .. }
            | Self::Issue { .. }
            | Self::Redeem { .. }
            | Self::Lock { .. }
            | Self::Exchange { .. }
            | Self::Govern { .. } => None,
        }
    }
}

fn opening_view(policy: PolicyHash, salt: &[u8], tier: Tier) -> WalletOpeningView {
    WalletOpeningView { policy, salt: salt.to_vec(), tier: tier.into() }
}
