//! Many transactions in one request: `POST /v1/transactions` with `Content-Type: application/octet-stream`.
//!
//! ```text
//! body    (length u32 LE, canonical transaction)…      1 to 4096 transactions, at most 4 MiB
//! answer  (status u8, code u32 LE)…                    one per transaction, in order
//! ```
//!
//! The binary answer is sent for `Accept: application/octet-stream`, else a JSON array of [`SubmitAnswer`].
//! Status 0 is accepted, 1 already known, 2 refused; the code is 0 unless refused. Framing errors refuse the
//! whole body; anything wrong with one transaction refuses only that one.

use ledger::records::transaction::TRANSACTION_BYTES_MAX;

use crate::code::ErrorCode;
use crate::error::ApiError;
use crate::transaction::{SubmitAnswer, SubmitStatus};

/// Most transactions of a body.
pub const BULK_TRANSACTIONS_MAX: usize = 4_096;
/// Most bytes of a body.
pub const BULK_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Content type of body and answer.
pub const BULK_CONTENT_TYPE: &str = "application/octet-stream";
/// Bytes of one answer.
pub const BULK_ANSWER_BYTES: usize = 5;
const LENGTH_BYTES: usize = 4;
const _: () = assert!(TRANSACTION_BYTES_MAX + LENGTH_BYTES <= BULK_BYTES_MAX);

/// Why a body or an answer cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    /// Above [`BULK_BYTES_MAX`].
    #[error("the body has {bytes} bytes; at most {BULK_BYTES_MAX} are allowed")]
    TooManyBytes {
        /// Found.
        bytes: usize,
    },
    /// Above [`BULK_TRANSACTIONS_MAX`].
    #[error("the body has more than {BULK_TRANSACTIONS_MAX} transactions")]
    TooManyTransactions,
    /// Nothing to do.
    #[error("the body has no transaction")]
    Empty,
    /// A length runs past the end.
    #[error("transaction {index} is cut off at byte {offset} of the body")]
    Truncated {
        /// Which transaction.
        index: usize,
        /// Where its length stands.
        offset: usize,
    },
    /// An answer of the wrong length or with an unknown status or code.
    #[error("the answer is malformed")]
    Answer,
}

impl From<BulkError> for ApiError {
    fn from(error: BulkError) -> Self {
        let code = match error {
            BulkError::TooManyBytes { .. } | BulkError::TooManyTransactions => ErrorCode::BodyTooLarge,
            _ => ErrorCode::MalformedBulk,
        };
        Self::from(code).at("body").because(error)
    }
}

/// Writes a body.
///
/// # Errors
/// [`BulkError`] when a bound is exceeded or there is nothing to send.
pub fn encode_body<'a>(transactions: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, BulkError> {
    let mut body = Vec::new();
    let mut count = 0_usize;
    for transaction in transactions {
        count += 1;
        if count > BULK_TRANSACTIONS_MAX {
            return Err(BulkError::TooManyTransactions);
        }
        let bytes = body.len() + LENGTH_BYTES + transaction.len();
        let too_many = BulkError::TooManyBytes { bytes };
        if bytes > BULK_BYTES_MAX {
            return Err(too_many);
        }
        let length = u32::try_from(transaction.len()).map_err(|_| too_many)?;
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(transaction);
    }
    if count == 0 { Err(BulkError::Empty) } else { Ok(body) }
}

/// Splits a body into the bytes of its transactions, which may each still be anything.
///
/// # Errors
/// [`BulkError`] when the framing is wrong or a bound is exceeded.
pub fn decode_body(body: &[u8]) -> Result<Vec<&[u8]>, BulkError> {
    if body.len() > BULK_BYTES_MAX {
        return Err(BulkError::TooManyBytes { bytes: body.len() });
    }
    let mut transactions = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        if transactions.len() == BULK_TRANSACTIONS_MAX {
            return Err(BulkError::TooManyTransactions);
        }
        let truncated = BulkError::Truncated { index: transactions.len(), offset: body.len() - rest.len() };
        let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>().ok_or(truncated)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| truncated)?;
        let (transaction, after) = after.split_at_checked(length).ok_or(truncated)?;
        transactions.push(transaction);
        rest = after;
    }
    if transactions.is_empty() { Err(BulkError::Empty) } else { Ok(transactions) }
}

/// One compact answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkAnswer {
    /// What the node made of the transaction.
    pub status: SubmitStatus,
    /// 0, or the refusal's code.
    pub code: u32,
}

impl BulkAnswer {
    /// The refusal, without the values of the case.
    #[must_use]
    pub fn error(&self) -> Option<ApiError> {
        ApiError::from_code(self.code)
    }
}

impl From<&SubmitAnswer> for BulkAnswer {
    fn from(answer: &SubmitAnswer) -> Self {
        Self { status: answer.status, code: answer.error.as_ref().map_or(0, |error| error.code) }
    }
}

/// Writes compact answers.
#[must_use]
pub fn encode_answers(answers: &[BulkAnswer]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(answers.len() * BULK_ANSWER_BYTES);
    for answer in answers {
        bytes.push(match answer.status {
            SubmitStatus::Accepted => 0,
            SubmitStatus::AlreadyKnown => 1,
            SubmitStatus::Refused => 2,
        });
        bytes.extend_from_slice(&answer.code.to_le_bytes());
    }
    bytes
}

/// Reads the compact answers to `transactions` transactions.
///
/// # Errors
/// [`BulkError::Answer`] when there is not exactly one each.
pub fn decode_answers(bytes: &[u8], transactions: usize) -> Result<Vec<BulkAnswer>, BulkError> {
    let (answers, rest) = bytes.as_chunks::<BULK_ANSWER_BYTES>();
    if !rest.is_empty() || answers.len() != transactions {
        return Err(BulkError::Answer);
    }
    answers.iter().map(decode_answer).collect()
}

fn decode_answer(&[status, a, b, c, d]: &[u8; BULK_ANSWER_BYTES]) -> Result<BulkAnswer, BulkError> {
    let code = u32::from_le_bytes([a, b, c, d]);
    match (status, code) {
        (0, 0) => Ok(BulkAnswer { status: SubmitStatus::Accepted, code }),
        (1, 0) => Ok(BulkAnswer { status: SubmitStatus::AlreadyKnown, code }),
        (2, 1..) => Ok(BulkAnswer { status: SubmitStatus::Refused, code }),
        _ => Err(BulkError::Answer),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bodies_round_trip(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40)) {
            let body = encode_body(parts.iter().map(Vec::as_slice)).unwrap();
            let decoded = decode_body(&body).unwrap();
            prop_assert_eq!(&decoded, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(encode_body(decoded).unwrap(), body);
        }

        #[test]
        fn hostile_bodies_are_refused_or_read_exactly(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(parts) = decode_body(&body) {
                prop_assert_eq!(encode_body(parts).unwrap(), body);
            }
        }

        #[test]
        fn hostile_answers_are_refused_or_read_exactly(bytes in prop::collection::vec(0_u8..3, 0..30)) {
            for transactions in 0..6 {
                if let Ok(answers) = decode_answers(&bytes, transactions) {
                    prop_assert_eq!(encode_answers(&answers), bytes.clone());
                }
            }
        }
    }

    #[test]
    fn bounds_and_cuts_are_named() {
        assert_eq!(decode_body(&[]), Err(BulkError::Empty));
        assert_eq!(decode_body(&[1, 0, 0, 0, 9, 2, 0]), Err(BulkError::Truncated { index: 1, offset: 5 }));
        assert_eq!(decode_body(&[255, 255, 255, 255, 1]), Err(BulkError::Truncated { index: 0, offset: 0 }));
        let empties = vec![0; 4 * (BULK_TRANSACTIONS_MAX + 1)];
        assert_eq!(decode_body(&empties), Err(BulkError::TooManyTransactions));
        assert_eq!(decode_body(&empties[4..]).map(|parts| parts.len()), Ok(BULK_TRANSACTIONS_MAX));
        assert!(matches!(decode_body(&vec![0; BULK_BYTES_MAX + 1]), Err(BulkError::TooManyBytes { .. })));
        let large = vec![0; BULK_BYTES_MAX];
        assert!(matches!(encode_body([large.as_slice()]), Err(BulkError::TooManyBytes { .. })));
        assert_eq!(ApiError::from(BulkError::TooManyTransactions).http_status(), 413);
    }

    #[test]
    fn a_compact_answer_still_names_its_mend() {
        let answers = [
            BulkAnswer { status: SubmitStatus::Accepted, code: 0 },
            BulkAnswer { status: SubmitStatus::Refused, code: 11_010 },
        ];
        let decoded = decode_answers(&encode_answers(&answers), 2).unwrap();
        assert_eq!(decoded, answers);
        let error = decoded[1].error().unwrap();
        assert_eq!((error.name.as_str(), error.message.as_str()), ("nonce_used", "nonce used"));
        assert_eq!(decoded[0].error(), None);
    }
}
