//! What transactions cost: what one should bid, what blocks have cost, and what one would become and cost now.
//!
//! - Prices of weight are millionths of a fen per unit; what is charged is integer fen. Times that are expected are seconds, as numbers
//!   with a fraction, and so are probabilities.
//! - An estimate is this node's forecast, not a promise. `fee_max_fen` is never exceeded and not what is charged; the tip is charged.
//! - A simulation changes nothing and takes nothing in: another transaction may come first.

use ledger::records::{Transaction, TransactionContent};
use ledger::values::{Canonical as _, TransactionId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::code::ErrorCode;
use crate::error::ApiError;
use crate::text::as_text;

/// How sure a bid must be, when the query does not say.
pub const CONFIDENCE_DEFAULT: f64 = 0.95;
/// Least sure that may be asked for.
pub const CONFIDENCE_MIN: f64 = 0.5;
/// Surest that may be asked for: recent blocks say no more than this.
pub const CONFIDENCE_MAX: f64 = 0.999;
/// In how many seconds a transaction must be final, when the query does not say.
pub const WITHIN_S_DEFAULT: f64 = 2.0;
/// Shortest time that may be asked for, in seconds.
pub const WITHIN_S_MIN: f64 = 0.1;
/// Longest time that may be asked for, in seconds.
pub const WITHIN_S_MAX: f64 = 3_600.0;

/// Query of `GET /v1/fees/estimate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeeQuery {
    /// The chain that the transaction is for; 0 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
    /// Its weight, from 1 to that of a whole batch; a simulation says it exactly. Not together with `operation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    /// Instead of its weight, what it does: then the weight is that of a typical one, signed with one key, without a sponsor, with a tip.
    /// Without either, `pay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub operation: Option<OperationName>,
    /// Of `pay`: how many payees, 1 to 64; 1 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<u32>,
    /// Of `open_wallets`: how many wallets, 1 to 64; 1 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallets: Option<u32>,
    /// The chain of a payee, where that is another one: then the answer says when the money is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_chain: Option<u32>,
    /// How sure it must be that the transaction is final in time, 0.5 to 0.999; 0.95 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// In how many seconds it must be final, 0.1 to 3600; 2 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_s: Option<f64>,
}

/// What a transaction does, as far as it says its weight. Proposals differ too much: a simulation says the weight of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationName {
    /// Pays.
    Pay,
    /// Opens wallets.
    OpenWallets,
    /// Issues money.
    Issue,
    /// Redeems money.
    Redeem,
    /// Locks money under a hash.
    Lock,
    /// Claims a lock.
    Claim,
    /// Offers an exchange.
    Exchange,
    /// Accepts an offer.
    Accept,
    /// Declines an offer.
    Decline,
    /// Withdraws an offer.
    Withdraw,
}

impl OperationName {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Pay,
        Self::OpenWallets,
        Self::Issue,
        Self::Redeem,
        Self::Lock,
        Self::Claim,
        Self::Exchange,
        Self::Accept,
        Self::Decline,
        Self::Withdraw,
    ];

    /// Its word in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::OpenWallets => "open_wallets",
            Self::Issue => "issue",
            Self::Redeem => "redeem",
            Self::Lock => "lock",
            Self::Claim => "claim",
            Self::Exchange => "exchange",
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Withdraw => "withdraw",
        }
    }
}

/// Answer of `GET /v1/fees/estimate`: three bids for one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeeEstimates {
    /// The chain.
    pub chain: u32,
    /// The weight that they are for.
    pub weight: u64,
    /// The height that this node had executed when it estimated, at least.
    pub height: u64,
    /// Fee per unit of weight in the next block, in millionths of a fen.
    pub base_fee_micro_fen: u64,
    /// No tip and the lowest ceiling that is likely to do; may take longer than was asked, and says how likely not.
    pub economy: EstimateView,
    /// The least that is expected to be final in the asked time with the asked confidence.
    pub normal: EstimateView,
    /// For the next block, whatever the base fee does.
    pub urgent: EstimateView,
    /// The way on to the payee's chain; null where `to_chain` was not asked for.
    #[serde(default)]
    pub cross_chain: Option<CrossChainView>,
}

/// A bid, and what to expect of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EstimateView {
    /// Bid this at most, in fen: base fee and tip together are never more.
    pub fee_max_fen: u64,
    /// Of it for the operator, in fen.
    pub tip_fen: u64,
    /// What will probably be charged, in fen.
    pub expected_fee_fen: u64,
    /// That it is final in the asked time, 0 to 1. Below the asked confidence nothing is promised.
    #[schema(example = 0.97)]
    pub probability: f64,
    /// Half of such transactions are final after so many seconds.
    #[schema(example = 0.3)]
    pub final_s_p50: f64,
    /// 19 of 20 such transactions are final after so many seconds.
    #[schema(example = 0.9)]
    pub final_s_p95: f64,
    /// Why it costs this.
    pub why: WhyName,
    /// The same for people.
    pub explanation: String,
}

/// Why an estimate is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhyName {
    /// Blocks have room: it costs nothing.
    Free,
    /// The base fee is rising, or steady above zero.
    Rising,
    /// The base fee is falling: to wait is cheaper.
    Falling,
    /// More waits than a block holds: only a tip is in time.
    Backlog,
    /// The base fee may reach the governed ceiling.
    Ceiling,
    /// Too few blocks are known to say how sure it is.
    NoHistory,
}

/// The way of a payment to a payee on another chain, after it is final on the payer's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CrossChainView {
    /// The payee's chain.
    pub to_chain: u32,
    /// What is charged there, in fen.
    pub fee_fen: u64,
    /// Half of payments with the normal bid are credited after about so many seconds, counted from their submission: the times of both
    /// chains together. Null where this node does not host the chain, and so has measured nothing there.
    pub credited_s_p50: Option<f64>,
    /// 19 of 20 are; null as above.
    pub credited_s_p95: Option<f64>,
}

/// Most blocks of a page of fees.
pub const FEE_BLOCKS_MAX: u32 = 1_024;
/// Blocks of such a page when the query does not say.
pub const FEE_BLOCKS_DEFAULT: u32 = 100;
const _: () = assert!(FEE_BLOCKS_DEFAULT <= FEE_BLOCKS_MAX);

/// Query of `GET /v1/chains/{chain}/fees/history`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeeHistoryQuery {
    /// The first height, 1 or above; without it, the newest blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Blocks wanted, 1 to 1024; 100 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /v1/chains/{chain}/fees/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeeHistory {
    /// The chain.
    pub chain: u32,
    /// By ascending height, without gap; none where `from` is above what this node has executed.
    pub blocks: Vec<FeeBlock>,
    /// Weight of a block up to which the base fee falls; above it rises.
    pub weight_target: u64,
    /// Most weight of a block.
    pub weight_max: u64,
    /// Fee per unit of weight in the block after the newest that this node has executed, in millionths of a fen.
    pub next_base_fee_micro_fen: u64,
}

/// What a block weighed and cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeeBlock {
    /// Its height.
    pub height: u64,
    /// Its timestamp.
    pub timestamp_ms: u64,
    /// Its weight.
    pub weight: u64,
    /// Fee per unit of weight, in millionths of a fen.
    pub base_fee_micro_fen: u64,
}

/// Body of `POST /v1/transactions/simulate`: exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateRequest {
    /// The canonical bytes of a signed transaction, hexadecimal, at most 10240 bytes. Its signatures are checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// The canonical bytes of content that nobody has signed yet, hexadecimal. It is tried as if all had signed whom its policies ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// What is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Simulated {
    /// A signed transaction.
    Signed(Box<Transaction>),
    /// Content that nobody has signed yet.
    Unsigned(Box<TransactionContent>),
}

impl Simulated {
    /// The content.
    #[must_use]
    pub fn content(&self) -> &TransactionContent {
        match self {
            Self::Signed(transaction) => &transaction.content,
            Self::Unsigned(content) => content,
        }
    }
}

impl SimulateRequest {
    /// The request for a signed transaction.
    #[must_use]
    pub fn signed(transaction: &Transaction) -> Self {
        Self { transaction: Some(const_hex::encode(transaction.encode())), content: None }
    }

    /// The request for content that nobody has signed yet.
    #[must_use]
    pub fn unsigned(content: &TransactionContent) -> Self {
        Self { transaction: None, content: Some(const_hex::encode(content.encode())) }
    }

    /// What it asks about.
    ///
    /// # Errors
    /// [`ApiError`] 1001 when it is not exactly one of the two, 1101 to 1104 when the text is not hexadecimal or the bytes are not
    /// canonical.
    pub fn read(&self) -> Result<Simulated, ApiError> {
        match (&self.transaction, &self.content) {
            (Some(text), None) => {
                let bytes = bytes_of("transaction", text)?;
                let transaction = Transaction::decode(&bytes);
                Ok(Simulated::Signed(Box::new(transaction.map_err(|fault| ApiError::from(&fault))?)))
            }
            (None, Some(text)) => {
                let content = TransactionContent::decode(&bytes_of("content", text)?);
                Ok(Simulated::Unsigned(Box::new(content.map_err(|fault| {
                    let error = ApiError::from(&fault);
                    // What is wrong with the whole is wrong with the field that holds it.
                    if error.field.as_deref() == Some("transaction") { error.at("content") } else { error }
                })?)))
            }
            _ => Err(ApiError::from(ErrorCode::MalformedJson)
                .at("body")
                .because("exactly one of transaction and content is asked for")),
        }
    }
}

fn bytes_of(field: &'static str, text: &str) -> Result<Vec<u8>, ApiError> {
    const_hex::decode(text).map_err(|_| ApiError::from(ErrorCode::TransactionNotHex).at(field))
}

/// Answer of `POST /v1/transactions/simulate`: what the transaction would become if it were executed alone in the next block. What cannot be
/// in a batch at all (wrong network or chain, a bad signature) is refused instead, as a submission is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Simulation {
    /// The chain.
    pub chain: u32,
    /// The transaction's id. It is that of the content, signed or not.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub id: TransactionId,
    /// What it weighs, with all signatures.
    pub weight: u64,
    /// What it would become.
    pub would: Would,
    /// What would be charged, base fee and tip, in fen.
    pub fee_fen: u64,
    /// Why it would not be applied, if it would not, or why this node does not take it in, where only others do.
    #[serde(default)]
    pub refusal: Option<ApiError>,
    /// The signer's wallet; null where it is not on the chain.
    #[serde(default)]
    pub limits: Option<WalletLimits>,
    /// When it would be final with its bid.
    pub expected: ExpectedTimes,
}

/// What a transaction would become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Would {
    /// It does what it asks for.
    Applied,
    /// It uses its nonce, pays its fee and does nothing.
    Rejected,
    /// Nothing happens at all.
    NotExecuted,
}

/// What bounds a wallet now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WalletLimits {
    /// Its money, in fen.
    pub balance_fen: u64,
    /// Its money after the transaction alone, in fen. What a proposal would give it is not counted.
    pub balance_after_fen: u64,
    /// Most that one payment may carry, in fen; null where there is no limit.
    #[serde(default)]
    pub payment_max_fen: Option<u64>,
    /// Most that it may hold after being paid, in fen; null where there is no limit.
    #[serde(default)]
    pub balance_max_fen: Option<u64>,
    /// Nonce lanes.
    pub lanes: u16,
    /// The next sequence in the transaction's lane for a sender that uses them in order.
    pub next_sequence: u64,
}

/// When a transaction would be final: as that one of the three estimates says (`urgent`, `normal`, `economy`) which its bid reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedTimes {
    /// Half of such transactions are after so many seconds.
    pub final_s_p50: f64,
    /// 19 of 20 are.
    pub final_s_p95: f64,
}
