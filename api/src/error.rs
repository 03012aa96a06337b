//! A refusal as the API answers it: what happened, which field, what to do next.
//!
//! The numbers are in [`crate::code`]. A refusal that comes from the ledger keeps the ledger's number
//! visible: [`LEDGER_CODES`] + that number, so 11205 is rejection 205, `insufficient_funds`.

use ledger::records::wallet::Lane;
use ledger::records::{NotExecuted, Operation, Rejection};
use ledger::rules::TransactionFault;
use ledger::values::{Amount, ChainId, CodecError, OperatorId, TimestampMs, TransactionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code::{ErrorCode, LEDGER_CODES};

/// The body of every answer with an HTTP status of 400 and above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message} (code {code} {name}{}). Mend: {mend}", at_field(.field.as_deref()))]
pub struct ApiError {
    /// The stable number.
    #[schema(example = 11205)]
    pub code: u32,
    /// The stable name for programs.
    #[schema(example = "insufficient_funds")]
    pub name: String,
    /// What happened, for people.
    pub message: String,
    /// The field of the request that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do next.
    pub mend: String,
    /// Whether the same can succeed later.
    pub is_transient: bool,
    /// When to try again, if the node knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self {
            code: code.code(),
            name: code.name().to_owned(),
            message: code.message().to_owned(),
            field: None,
            mend: code.mend().to_owned(),
            is_transient: code.is_transient(),
            retry_after_ms: None,
        }
    }
}

impl ApiError {
    /// The same, about `field`.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same, saying what exactly happened.
    #[must_use]
    pub fn because(mut self, detail: impl std::fmt::Display) -> Self {
        self.message = format!("{}: {detail}", self.message);
        self
    }

    /// The same, saying when to try again.
    #[must_use]
    pub fn retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// Another transaction holds the nonce.
    #[must_use]
    pub fn nonce_waiting(holder: TransactionId) -> Self {
        Self::from(ErrorCode::NonceWaiting).at("nonce").because(format_args!("transaction {holder}"))
    }

    /// The base fee of an exempt wallet is for this operator, not for the one that was asked.
    #[must_use]
    pub fn exempt_elsewhere(operator: OperatorId) -> Self {
        Self::from(ErrorCode::ExemptElsewhere).at("wallet").because(format_args!("operator {operator}"))
    }

    /// The same, with the field as this operation calls it: some codes are shared by operations, and the code alone names
    /// the amount or the payee of any.
    #[must_use]
    pub fn in_operation(mut self, operation: &Operation) -> Self {
        let path = match (self.field.as_deref(), operation) {
            (Some(ANY_AMOUNT), Operation::Pay { .. }) => Some("operation.payments.amount"),
            (Some(ANY_PAYEE), Operation::Pay { .. }) => Some("operation.payments.payee"),
            (Some(ANY_PAYEE), Operation::Issue { .. }) => Some("operation.to"),
            // It tells other chains, as a payment does.
            (Some(ANY_PAYEE), Operation::Govern { .. }) => Some("operation.proposal.changes"),
            (Some(ANY_PAYEE), Operation::Decline { .. }) => Some("operation.offer"),
            (Some(ANY_PAYEE), Operation::Withdraw { .. }) => Some("operation.lock"),
            _ => None,
        };
        if let Some(path) = path {
            self.field = Some(path.to_owned());
        }
        self
    }

    /// Whether the wallet is on another chain than the transaction was signed for: sign anew for that one.
    #[must_use]
    pub fn is_wallet_moved(&self) -> bool {
        self.ledger_code() == Some(NotExecuted::WalletMoved { to: ChainId(0) }.code())
    }

    /// The HTTP status to answer with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        const UNPROCESSABLE: u16 = 422;
        ErrorCode::from_code(self.code).map_or(UNPROCESSABLE, ErrorCode::http_status)
    }

    /// The number in the ledger's tables, if the ledger refused.
    #[must_use]
    pub fn ledger_code(&self) -> Option<u16> {
        self.code.checked_sub(LEDGER_CODES).and_then(|code| u16::try_from(code).ok())
    }

    /// What is known from a code alone, as compact bulk answers carry it: without the values of the case.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        if let Some(known) = ErrorCode::from_code(code) {
            return Some(known.into());
        }
        let ledger = u16::try_from(code.checked_sub(LEDGER_CODES)?).ok()?;
        let mut error =
            match (Rejection::from_code(ledger), example_not_executed(ledger), example_fault(ledger)) {
                (Some(reason), ..) => return Some(reason.into()),
                (_, Some(reason), _) => Self::from(reason),
                (_, _, Some(fault)) => Self::from(&fault),
                _ => return None,
            };
        // The example's values are not the case's, so only the name speaks.
        error.message = error.name.replace('_', " ");
        Some(error)
    }

    /// Every refusal there is, by ascending code, as [`Self::from_code`] knows it.
    #[must_use]
    pub fn every() -> Vec<Self> {
        let own = ErrorCode::ALL.iter().map(|code| code.code());
        let not_executed = NotExecuted::ALL.iter().map(|(code, _)| *code);
        let rejections = Rejection::ALL.iter().map(|reason| reason.code());
        let ledger = not_executed.chain(FAULTS).chain(rejections);
        let ledger = ledger.map(|code| LEDGER_CODES.saturating_add(u32::from(code)));
        own.chain(ledger).filter_map(Self::from_code).collect()
    }

    fn ledger(code: u16, name: String, message: String, mend: &'static str, is_transient: bool) -> Self {
        Self {
            code: LEDGER_CODES.saturating_add(u32::from(code)),
            name,
            message,
            field: ledger_field(code).map(str::to_owned),
            mend: mend.to_owned(),
            is_transient,
            retry_after_ms: None,
        }
    }
}

impl From<NotExecuted> for ApiError {
    fn from(reason: NotExecuted) -> Self {
        Self::ledger(reason.code(), reason.name(), reason.to_string(), reason.mend(), reason.is_transient())
    }
}

impl From<Rejection> for ApiError {
    fn from(reason: Rejection) -> Self {
        Self::ledger(reason.code(), reason.name(), reason.to_string(), reason.mend(), reason.is_transient())
    }
}

impl From<&TransactionFault> for ApiError {
    fn from(fault: &TransactionFault) -> Self {
        let name = match fault {
            TransactionFault::Malformed(codec) => return codec.into(),
            TransactionFault::WrongNetwork => "wrong_network",
            TransactionFault::WrongChain { .. } => "wrong_chain",
            TransactionFault::SignatureInvalid => "signature_invalid",
        };
        Self::ledger(fault.code(), name.to_owned(), fault.to_string(), fault.mend(), false)
    }
}

/// A transaction that does not decode. Size, layout and ranges are told apart.
impl From<&CodecError> for ApiError {
    fn from(error: &CodecError) -> Self {
        match error {
            CodecError::TooLong { .. } => {
                Self::from(ErrorCode::TransactionTooLarge).at("transaction").because(error)
            }
            CodecError::Malformed { .. } => Self::from(ErrorCode::TransactionNotCanonical).at("transaction"),
            CodecError::Count { field, .. }
            | CodecError::Range { field, .. }
            | CodecError::NotAscending { field } => {
                Self::from(ErrorCode::TransactionFieldOutOfRange).at(*field).because(error)
            }
        }
    }
}

fn at_field(field: Option<&str>) -> String {
    field.map(|field| format!(", field {field}")).unwrap_or_default()
}

/// The amount and the payee of whichever operation: see [`ApiError::in_operation`].
const ANY_AMOUNT: &str = "operation.amount";
const ANY_PAYEE: &str = "operation.payee";

/// The field of a transaction that a ledger code is about, by its path in the record that was signed.
const fn ledger_field(code: u16) -> Option<&'static str> {
    Some(match code {
        1 | 52 => "network",
        2 | 53 => "chain",
        3 | 4 => "valid_until",
        5 | 7 | 8 | 101 => "wallet",
        6 => "policy",
        9 => "nonce.lane",
        10..=12 => "nonce.sequence",
        13 => "fee.fee_max",
        14 | 16 => "fee.sponsor.wallet",
        15 => "fee.sponsor.policy",
        55 => "signatures",
        102 => "fee",
        201 | 203 | 205 | 403 => ANY_AMOUNT,
        204 => "operation.payments.amount",
        202 | 206..=211 => ANY_PAYEE,
        301 | 305 | 401 | 519 | 520 | 524 | 526 | 531 => "wallet",
        302 => "operation.wallets.tier",
        303 | 304 | 306 => "operation.wallets.salt",
        307 => "operation.wallets",
        402 => "operation.to",
        511 | 512 => "operation.chain",
        513 | 514 => "operation.deadline",
        515 | 516 | 534 => "operation",
        517 | 518 | 521 | 522 => "operation.lock",
        523 => "operation.preimage",
        525 | 527..=529 => "operation.offer",
        530 | 532 => "operation.asked.payer",
        533 => "operation.amount",
        801 => "chain",
        802 => "operation.proposal.valid_until",
        803 | 804 => "operation.proposal.version",
        805 | 806 | 808 => "operation.approvals",
        807 => "operation.proposal",
        811..=830 => "operation.proposal.changes",
        _ => return None,
    })
}

/// A value of each reason that is not executed, to read its name and mend from.
fn example_not_executed(code: u16) -> Option<NotExecuted> {
    let (valid_until, chain, lane) = (TimestampMs(0), ChainId(0), Lane::default());
    Some(match code {
        1 => NotExecuted::WrongNetwork {},
        2 => NotExecuted::WrongChain { chain },
        3 => NotExecuted::Expired { valid_until },
        4 => NotExecuted::ValidUntilTooFar { valid_until, latest: valid_until },
        5 => NotExecuted::WalletUnknown {},
        6 => NotExecuted::PolicyMismatch {},
        7 => NotExecuted::WalletClosed {},
        8 => NotExecuted::WalletMoved { to: chain },
        9 => NotExecuted::LaneNotAllowed { lanes: 0 },
        10 => NotExecuted::NonceUsed { lane },
        11 => NotExecuted::NonceTooOld { lane },
        12 => NotExecuted::NonceTooFarAhead { lane },
        13 => NotExecuted::FeeMaxTooLow { due: Amount::ZERO },
        14 => NotExecuted::SponsorUnknown {},
        15 => NotExecuted::SponsorPolicyMismatch {},
        16 => NotExecuted::SponsorNotActive {},
        _ => return None,
    })
}

/// Codes of [`TransactionFault`]; 51, a transaction that does not decode, has codes of the API's own. 54 was a tip before the fee market.
const FAULTS: [u16; 3] = [52, 53, 55];

fn example_fault(code: u16) -> Option<TransactionFault> {
    Some(match code {
        52 => TransactionFault::WrongNetwork,
        53 => TransactionFault::WrongChain { chain: ChainId(0) },
        55 => TransactionFault::SignatureInvalid,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_fit_their_ranges() {
        let codes: BTreeSet<u32> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        let names: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!((codes.len(), names.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(code.code()), Some(*code));
            assert!((400..600).contains(&code.http_status()) && (1_001..1_600).contains(&code.code()));
            assert!(!code.mend().is_empty() && !code.message().is_empty());
            let throttled = (1_300..1_400).contains(&code.code());
            assert_eq!(throttled, code.http_status() == 429, "{code:?}");
        }
    }

    /// Fails when the ledger adds a reason that this crate does not know.
    #[test]
    fn every_ledger_code_is_known_with_field_and_mend() {
        let not_executed = NotExecuted::ALL.iter().map(|(code, _)| *code);
        let rejections = Rejection::ALL.iter().map(|reason| reason.code());
        let all: Vec<u16> = not_executed.chain(rejections).chain(FAULTS).collect();
        let codes: Vec<u32> = ApiError::every().iter().map(|error| error.code).collect();
        assert_eq!(codes.len(), ErrorCode::ALL.len() + all.len());
        assert!(codes.is_sorted(), "{codes:?}");
        for code in all {
            let error =
                ApiError::from_code(LEDGER_CODES + u32::from(code)).unwrap_or_else(|| panic!("{code}"));
            assert_eq!(error.ledger_code(), Some(code));
            assert!(error.field.is_some() && !error.mend.is_empty() && !error.name.is_empty(), "{code}");
            assert_eq!(error.http_status(), 422);
        }
        for (code, name) in NotExecuted::ALL {
            let flat = name.to_ascii_lowercase();
            assert_eq!(
                ApiError::from_code(LEDGER_CODES + u32::from(*code)).unwrap().name.replace('_', ""),
                flat
            );
        }
        assert_eq!(ApiError::from_code(12_345), None);
        assert_eq!(ApiError::from_code(0), None);
    }

    /// Every rejection that an operation can meet names a field that the operation's transaction has.
    #[test]
    fn rejections_name_fields_of_their_operation() {
        let (to, amount) = (ledger::values::WalletId([1; 32]), Amount::from_fen(1));
        let envelope =
            ["wallet", "policy", "nonce.lane", "nonce.sequence", "valid_until", "fee", "fee.fee_max"];
        let proposal = ledger::records::Proposal {
            version: 0,
            valid_until: TimestampMs(1),
            is_urgent: false,
            reason: String::new(),
            changes: Vec::new(),
        };
        let (chain, deadline, lock) = (ChainId(1), TimestampMs(1), ledger::values::LockId([9; 32]));
        let asked = ledger::records::Asked { payer: to, payee: to, amount };
        let cases: [(Operation, &[u16], &[&str]); 11] = [
            (
                Operation::Govern { proposal, approvals: Vec::new() },
                &[
                    102, 209, 301, 801, 802, 803, 804, 805, 806, 807, 808, 811, 812, 813, 814, 815, 816, 817,
                    818, 819, 820, 821, 822, 823, 824, 825, 826, 827, 828, 829, 830,
                ],
                &[
                    "chain",
                    "operation.proposal",
                    "operation.proposal.valid_until",
                    "operation.proposal.version",
                    "operation.proposal.changes",
                    "operation.approvals",
                ],
            ),
            (
                Operation::Pay { payments: Vec::new() },
                // 211 is what a chain says of the receipt of a payee that has moved.
                &[101, 102, 201, 202, 203, 204, 205, 206, 207, 208, 209, 211],
                &["operation.payments", "operation.payments.payee", "operation.payments.amount"],
            ),
            (
                Operation::OpenWallets { wallets: Vec::new() },
                &[101, 301, 302, 303, 304, 305, 306, 307],
                &["operation.wallets", "operation.wallets.tier", "operation.wallets.salt"],
            ),
            (
                Operation::Issue { to, amount },
                &[101, 201, 206, 207, 208, 210, 401, 402, 403],
                &["operation.to", "operation.amount"],
            ),
            (Operation::Redeem { amount }, &[101, 201, 205, 301, 403], &["operation.amount"]),
            (
                Operation::Lock { payee: to, amount, hash: [1; 32], deadline },
                &[101, 201, 202, 203, 205, 206, 207, 210, 513, 514, 515, 516, 533, 534],
                &["operation", "operation.payee", "operation.amount", "operation.deadline"],
            ),
            (
                Operation::Claim { lock, preimage: [1; 32] },
                // A freeze does not refuse it.
                &[517, 518, 519, 521, 522, 523, 524],
                &["operation.lock", "operation.preimage"],
            ),
            (
                Operation::Exchange { payee: to, amount, chain, asked, deadline },
                // 530 to 532 are what the deciding chain may answer.
                &[
                    101, 201, 202, 203, 205, 206, 207, 209, 210, 511, 512, 513, 514, 515, 516, 530, 531, 532,
                    533, 534,
                ],
                &[
                    "operation",
                    "operation.payee",
                    "operation.amount",
                    "operation.chain",
                    "operation.asked.payer",
                    "operation.deadline",
                ],
            ),
            (
                Operation::Accept { offer: lock, payee: to, amount, receives: amount, source: chain, to },
                &[101, 201, 202, 203, 205, 206, 207, 208, 209, 525, 526, 527, 528, 529],
                &["operation.offer", "operation.payee", "operation.amount"],
            ),
            (Operation::Decline { offer: lock }, &[101, 209, 525, 526, 528], &["operation.offer"]),
            (Operation::Withdraw { lock }, &[101, 209, 517, 518, 520, 521], &["operation.lock"]),
        ];
        let mut seen = BTreeSet::new();
        for (operation, codes, fields) in cases {
            for code in codes {
                let reason = Rejection::from_code(*code).unwrap();
                let field = ApiError::from(reason).in_operation(&operation).field.unwrap();
                let is_there = envelope.contains(&field.as_str()) || fields.contains(&field.as_str());
                assert!(is_there, "{reason:?} of {operation:?} names {field}");
                seen.insert(*code);
            }
        }
        assert_eq!(seen.len(), Rejection::ALL.len(), "every rejection belongs to an operation");
    }

    #[test]
    fn a_refusal_says_what_where_and_what_next() {
        let error = ApiError::from(Rejection::InsufficientFunds);
        assert_eq!(error.code, 11_205);
        assert_eq!(
            error.to_string(),
            "the balance does not cover the payments and the fee (code 11205 insufficient_funds, field \
             operation.amount). Mend: fund the wallet, then sign anew"
        );
    }

    #[test]
    fn decoding_faults_are_told_apart() {
        let codes = [
            CodecError::TooLong { value: "transaction", bytes: 11_000, bytes_max: 10_240 },
            CodecError::Malformed { value: "transaction" },
            CodecError::Count { field: "signatures", count: 2, min: 1, max: 1 },
        ]
        .map(|error| ApiError::from(&error).code);
        assert_eq!(codes, [1_102, 1_103, 1_104]);
        let field = ApiError::from(&CodecError::NotAscending { field: "policy.keys" }).field;
        assert_eq!(field.as_deref(), Some("policy.keys"));
    }
}
