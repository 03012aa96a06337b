//! Legs: the payments of a transaction whose payees are on other chains.

use ledger::values::{ChainId, Currency, Money, TransactionId, WalletId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::{as_text, as_text_option};
use crate::transaction::OutcomeView;

/// Where the money for a payee on another chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// It has left the payer and is under way: to the payee, or back where `refusal` says why.
    Debited,
    /// The payee has it.
    Credited,
    /// The payer has it back.
    Refunded,
}

/// A payee on another chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LegView {
    /// Position of the payment in the transaction.
    pub part: u16,
    /// The payee.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub payee: WalletId,
    /// How much, in fen.
    pub amount_fen: u64,
    /// Of which currency.
    #[serde(with = "as_text")]
    #[schema(value_type = String, example = "CNY")]
    pub currency: Currency,
    /// The chain that it was sent to first.
    pub chain: u32,
    /// Where the money is, as far as this node sees: see `ask`.
    pub status: LegState,
    /// Whether that is under a certificate.
    pub is_certified: bool,
    /// The id of the receipt: `GET /v1/transactions/{id}` finds it on that chain.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub receipt: TransactionId,
    /// Where the receipt was sent on to, one chain after another, because the payee's wallet is elsewhere by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent_on: Vec<HopView>,
    /// The id of the receipt that came back to the payer's chain.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refund: Option<TransactionId>,
    /// Where the refund was sent on to, because the payer's wallet is elsewhere by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refund_sent_on: Vec<HopView>,
    /// Why the payee's chain sent it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<OutcomeView>,
    /// Who hosts the chain where this goes on, where this node does not: it sees no credit there, and the end of this leg only if it comes
    /// back. Ask one of those for the last receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// Path of the proof of the credit or of the refund, at the last chain; once that is certified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A chain that a receipt was sent on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HopView {
    /// The chain.
    pub chain: u32,
    /// The receipt's id there.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub receipt: TransactionId,
}

impl LegView {
    /// A leg that was just debited: nothing is known of it beyond the payer's chain.
    #[must_use]
    pub const fn debited(
        part: u16,
        payee: WalletId,
        money: Money,
        chain: ChainId,
        receipt: TransactionId,
    ) -> Self {
        Self {
            part,
            payee,
            amount_fen: money.amount.fen(),
            currency: money.currency,
            chain: chain.0,
            status: LegState::Debited,
            is_certified: false,
            receipt,
            sent_on: Vec::new(),
            refund: None,
            refund_sent_on: Vec::new(),
            refusal: None,
            ask: None,
            proof: None,
        }
    }

    /// Whether nothing of it is under way any more, under a certificate.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_certified && self.status != LegState::Debited
    }

    /// The receipt that is under way, or was the last: the chain that it is on, and its id there. `None` where the refund has come back
    /// to the payer's chain and stayed.
    #[must_use]
    pub fn last(&self) -> Option<HopView> {
        match self.refund {
            Some(_) => self.refund_sent_on.last().copied(),
            None => {
                let first = HopView { chain: self.chain, receipt: self.receipt };
                Some(self.sent_on.last().copied().unwrap_or(first))
            }
        }
    }
}
