//! Why a request is not answered: always an [`ApiError`] with a number, never a bare status.
//!
//! Three kinds, told apart by their codes: the request is wrong (1000 to 1299, 1400s, the ledger's), the node is busy
//! (1300s), the node cannot answer now (1500s). What fails inside the node is logged with its cause; the client learns
//! the number and whether to come back, not the node's paths.

use api::code::ErrorCode;
use api::error::ApiError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chain::RowFault;
use ledger::state::ReadFault;
use ledger::values::Height;
use mempool::PoolRefusal;
use storage::StorageError;

use super::server::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::admission::Refused;
use crate::handle::{Status, Voting};
use crate::questions::Unanswered;
use crate::tokens::Shut;

/// When a client that found no place may come back.
pub(crate) const BUSY_RETRY_MS: u64 = 1_000;
/// When a client of a node that is not ready may come back.
pub(crate) const NOT_READY_RETRY_MS: u64 = 2_000;

/// What is asked for is below the lowest height that this node holds: it joined by a snapshot, or it prunes.
pub(crate) fn pruned(field: &'static str, lowest: Height) -> Refusal {
    let why = format!(
        "this node holds heights from {lowest} on, and the state; a node that keeps all history or an archive has what is below"
    );
    ApiError::from(ErrorCode::Pruned).at(field).because(why).into()
}

/// A refusal on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) Box<ApiError>);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(Box::new(error))
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        ApiError::from(code).into()
    }
}

impl From<RowFault> for Refusal {
    fn from(fault: RowFault) -> Self {
        tracing::error!(%fault, "the store could not be read");
        ErrorCode::Internal.into()
    }
}

impl From<ReadFault> for Refusal {
    fn from(fault: ReadFault) -> Self {
        tracing::error!(%fault, "the state could not be read");
        ErrorCode::Internal.into()
    }
}

impl From<Unanswered> for Refusal {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Full => Self::busy(),
            Unanswered::Stopping => Self::stopping(),
            Unanswered::Rows(fault) => fault.into(),
        }
    }
}

impl From<&Refused> for ApiError {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Codec(error) => error.into(),
            Refused::Stateless(fault) => fault.into(),
            Refused::NotExecuted { reason, .. } => (*reason).into(),
            Refused::Rejected { reason, .. } => (*reason).into(),
            Refused::ExemptElsewhere { operator, .. } => Self::exempt_elsewhere(*operator),
            Refused::Pool { reason, .. } => match reason {
                PoolRefusal::FeePromised { payer } => Self::from(ErrorCode::FeePromised)
                    .at("fee.fee_max")
                    .because(format_args!("payer {payer}"))
                    .retry_after_ms(BUSY_RETRY_MS),
                PoolRefusal::NonceTaken { holder } => Self::nonce_waiting(*holder),
                PoolRefusal::WalletFull => {
                    Self::from(ErrorCode::WalletQueueFull).retry_after_ms(BUSY_RETRY_MS)
                }
                PoolRefusal::OperatorFull => {
                    Self::from(ErrorCode::OperatorQueueFull).retry_after_ms(BUSY_RETRY_MS)
                }
                // Known is answered as known before it comes here.
                PoolRefusal::Known | PoolRefusal::Full => {
                    Self::from(ErrorCode::PoolFull).retry_after_ms(BUSY_RETRY_MS)
                }
            },
            Refused::Overloaded { retry_after_ms } => {
                Self::from(ErrorCode::Overloaded).retry_after_ms(*retry_after_ms)
            }
            Refused::Unavailable { retry_after_ms } => {
                Self::from(ErrorCode::NotReady).retry_after_ms(*retry_after_ms)
            }
        }
    }
}

impl Refusal {
    /// The store failed.
    pub(crate) fn store(error: StorageError) -> Self {
        RowFault::Storage(error).into()
    }

    /// A read ended without an answer: the node stops, or a defect was met.
    pub(crate) fn stopping() -> Self {
        tracing::error!(
            "a read of the store ended without an answer; the node is stopping, or this is a defect"
        );
        ErrorCode::Internal.into()
    }

    /// The metrics cannot be written as text.
    pub(crate) fn metrics(fault: std::fmt::Error) -> Self {
        tracing::error!(%fault, "a metric holds a number that the format cannot say");
        ErrorCode::Internal.into()
    }

    /// A part of the path or the query cannot be read.
    pub(crate) fn parameter(field: &str, reason: impl std::fmt::Display) -> Self {
        ApiError::from(ErrorCode::MalformedParameter).at(field).because(reason).into()
    }

    /// The door is shut for this client.
    pub(crate) fn shut(shut: Shut) -> Self {
        match shut {
            Shut::Missing => ErrorCode::TokenMissing.into(),
            Shut::Unknown => ErrorCode::TokenUnknown.into(),
            Shut::Scope { needed } => ApiError::from(ErrorCode::ScopeMissing).because(needed).into(),
        }
    }

    /// No place for a request.
    pub(crate) fn busy() -> Self {
        ApiError::from(ErrorCode::TooManyRequests).retry_after_ms(BUSY_RETRY_MS).into()
    }

    /// The head of a request is above the bounds.
    pub(crate) fn head(fields: usize, bytes: usize) -> Self {
        let detail = format_args!(
            "{fields} fields, {bytes} bytes; at most {HEADERS_MAX} fields and {HEAD_BYTES_MAX} bytes are allowed"
        );
        ApiError::from(ErrorCode::HeadTooLarge).at("head").because(detail).into()
    }

    /// The request did not arrive, or was not answered, in time.
    pub(crate) fn too_slow(timeout_ms: u64) -> Self {
        ApiError::from(ErrorCode::RequestTimeout).because(format_args!("{timeout_ms} ms")).into()
    }

    /// Refuses to read from a chain that fetches its state: what its database holds meanwhile is nobody's balance.
    ///
    /// # Errors
    /// `not_ready`.
    pub(crate) fn without_state(status: &Status) -> Result<(), Self> {
        match status.chain.joining {
            None => Ok(()),
            Some(_) => Err(ApiError::from(ErrorCode::NotReady)
                .because("it has no state yet: it fetches one from its peers")
                .retry_after_ms(NOT_READY_RETRY_MS)
                .into()),
        }
    }

    /// Why a chain takes no transactions now, if it takes none.
    pub(crate) fn of_status(status: &Status) -> Option<ApiError> {
        if let Some(halt) = status.halt {
            return Some(ApiError::from(ErrorCode::Halted).because(halt));
        }
        let not_ready = |reason| {
            let error = ApiError::from(ErrorCode::NotReady).because(reason);
            Some(error.retry_after_ms(NOT_READY_RETRY_MS))
        };
        match status.voting {
            Voting::Yes => None,
            Voting::Halted => Some(ErrorCode::Halted.into()),
            Voting::DiskReserve => {
                Some(ApiError::from(ErrorCode::DiskReserve).retry_after_ms(NOT_READY_RETRY_MS))
            }
            Voting::Observer => not_ready("it follows the chain and seals no transactions"),
            Voting::Rejoining => not_ready("it rejoins and seals no transactions yet"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.0;
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_ms = error.retry_after_ms;
        let mut response = (status, Json(error)).into_response();
        if let Some(retry_after_ms) = retry_after_ms {
            set_retry_after(&mut response, retry_after_ms);
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Says when to come back, in whole seconds.
pub(crate) fn set_retry_after(response: &mut Response, retry_after_ms: u64) {
    let seconds = HeaderValue::from(retry_after_ms.div_ceil(1_000));
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
}

/// A path that does not exist.
pub(crate) async fn not_found() -> Refusal {
    ErrorCode::PathUnknown.into()
}

/// A method that the path does not know.
pub(crate) async fn method_not_allowed() -> Refusal {
    ErrorCode::MethodNotAllowed.into()
}
