//! `POST /v1/transactions`: one as JSON, or many as a binary body with one answer each.
//!
//! Nothing is decided here: bytes go to the chain's admission, answers come back. A chain that takes no transactions
//! (halted, disk reserve, observer) says so before any signature is checked. Of a bulk body each transaction is judged
//! for itself; broken framing refuses the whole, and so does a node that is overloaded and looked at none of it.

use api::bulk::{BULK_BYTES_MAX, BULK_CONTENT_TYPE, BulkAnswer, decode_body, encode_answers};
use api::code::ErrorCode;
use api::error::ApiError;
use api::transaction::{SubmitAnswer, SubmitAnswers, SubmitRequest, SubmitStatus, TransactionView};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ledger::records::Transaction;
use ledger::records::transaction::{TRANSACTION_BYTES_MAX, network_tag};
use ledger::values::{Canonical as _, ChainId, GenesisHash, TransactionId};

use super::edge::Edge;
use super::health::not_begun;
use super::refusal::{Refusal, set_retry_after};
use crate::admission::Refused;
use crate::handle::{ChainHandle, Submitted};

/// Most bytes of a JSON body: the largest transaction as hexadecimal digits, and room for names and spaces.
pub(crate) const JSON_BYTES_MAX: usize = 2 * TRANSACTION_BYTES_MAX + 1_024;
const _: () = assert!(JSON_BYTES_MAX <= BULK_BYTES_MAX);

/// Submits transactions.
///
/// One as JSON, or many as a binary body with one answer each. Posting again is harmless.
#[utoipa::path(
    post,
    path = api::path::TRANSACTIONS,
    tag = "transactions",
    request_body(
        description = "`application/json`: one transaction; at most 21504 bytes. `application/octet-stream`: 1 to 4096 transactions, at most \
                       4194304 bytes together, or what the node's `[rest.limits] body_bytes` allows if that is less. Each is its length in \
                       bytes (u32, little-endian) and then its canonical bytes, at most 10240; nothing stands between or after them. A body \
                       that is not framed so is refused as a whole (1003, 1005).",
        content((SubmitRequest = "application/json"), ("application/octet-stream"))
    ),
    responses(
        (
            status = 200,
            description = "JSON body: the transaction was known already. Binary body: one answer for each transaction, in the order of the \
                           body: a JSON array, or, asked for with `Accept: application/octet-stream`, 5 bytes each: the status (u8: 0 \
                           accepted, 1 already known, 2 refused) and the error code (u32, little-endian; 0 unless refused). What is wrong \
                           with one transaction refuses that one only.",
            content((SubmitAnswers = "application/json"), ("application/octet-stream"))
        ),
        (status = 202, description = "JSON body: taken in", body = SubmitAnswer),
        (status = "4XX", description = "refused: the one transaction of a JSON body, or a whole binary body", body = ApiError),
        (
            status = 429,
            description = "the node is overloaded, or has no place for this one: nothing was taken in. The header `Retry-After` says in \
                           seconds when to send it again, `retry_after_ms` of the body more exactly. Where a part of a binary body was taken in, \
                           status 200 has the header, and the others' answers the code 1306.",
            body = ApiError
        ),
        (status = "5XX", description = "this node takes no transactions now", body = ApiError),
    )
)]
pub(crate) async fn submit(State(edge): State<Edge>, request: Request) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    match content_type(&headers) {
        Some("application/json") => one(&edge, &body(request, JSON_BYTES_MAX).await?).await,
        Some(BULK_CONTENT_TYPE) => {
            let bytes_max = usize::try_from(edge.parts().limits.body_bytes).unwrap_or(usize::MAX);
            many(&edge, &headers, &body(request, bytes_max.min(BULK_BYTES_MAX)).await?).await
        }
        _ => Err(ApiError::from(ErrorCode::UnsupportedMediaType).at("Content-Type").into()),
    }
}

/// What a body is said to be.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// Reads a body; the router's own limit (the largest of all) has bounded it before.
pub(crate) async fn body(request: Request, bytes_max: usize) -> Result<Bytes, Refusal> {
    let too_large = || -> Refusal {
        let detail = format_args!("at most {bytes_max} bytes").to_string();
        ApiError::from(ErrorCode::BodyTooLarge).at("body").because(detail).into()
    };
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|announced: usize| announced > bytes_max) {
        return Err(too_large());
    }
    match Bytes::from_request(request, &()).await {
        Ok(body) if body.len() <= bytes_max => Ok(body),
        Ok(_) | Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_))) => {
            Err(too_large())
        }
        Err(reason) => Err(ApiError::from(ErrorCode::RequestTimeout).because(reason.body_text()).into()),
    }
}

async fn one(edge: &Edge, body: &[u8]) -> Result<Response, Refusal> {
    let request: SubmitRequest = serde_json::from_slice(body)
        .map_err(|reason| ApiError::from(ErrorCode::MalformedJson).at("body").because(reason))?;
    let bytes = request.bytes()?;
    let transaction = Transaction::decode(&bytes).ok();
    let answer = judge(edge, vec![bytes.into()]).await.into_iter().next();
    // One answer for each transaction is admission's promise.
    let mut answer = answer.ok_or(ErrorCode::Internal)?;
    if let Some(error) = answer.error {
        return Err(match &transaction {
            Some(transaction) => error.in_operation(&transaction.content.operation),
            None => error,
        }
        .into());
    }
    answer.transaction = transaction.and_then(|found| {
        let currency = edge.registry().currency(found.content.chain)?;
        Some(TransactionView::new(&found, edge.genesis(), currency))
    });
    let status = if answer.status == SubmitStatus::Accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(SubmitAnswers::One(Box::new(answer)))).into_response())
}

async fn many(edge: &Edge, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
    let transactions = decode_body(body).map_err(ApiError::from)?;
    let mut answers = judge(edge, transactions.iter().map(|bytes| body.slice_ref(bytes)).collect()).await;
    let mut overloaded = answers.iter().filter_map(|answer| answer.error.as_ref().filter(is_overloaded));
    let retry_after_ms = overloaded.clone().filter_map(|error| error.retry_after_ms).max();
    if overloaded.clone().count() == answers.len()
        && let Some(error) = overloaded.next_back()
    {
        return Err(error.clone().into());
    }
    let wants_binary = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(BULK_CONTENT_TYPE));
    let mut response = if wants_binary {
        let answers: Vec<BulkAnswer> = answers.iter().map(BulkAnswer::from).collect();
        ([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], encode_answers(&answers)).into_response()
    } else {
        for (answer, bytes) in answers.iter_mut().zip(&transactions) {
            let refused = answer.error.as_ref().and_then(|_| Transaction::decode(bytes).ok());
            if let Some(refused) = refused {
                let error = answer.error.take();
                answer.error = error.map(|error| error.in_operation(&refused.content.operation));
            }
        }
        Json(SubmitAnswers::Many(answers)).into_response()
    };
    if let Some(retry_after_ms) = retry_after_ms {
        set_retry_after(&mut response, retry_after_ms);
    }
    Ok(response)
}

fn is_overloaded(error: &&ApiError) -> bool {
    error.code == ErrorCode::Overloaded.code()
}

/// Transactions of one body for one chain, and their places in the body.
struct Part<'a> {
    chain: &'a ChainHandle,
    places: Vec<usize>,
    transactions: Vec<Bytes>,
}

/// Submits to the chains that the transactions name; answers in the order of `transactions`.
async fn judge(edge: &Edge, transactions: Vec<Bytes>) -> Vec<SubmitAnswer> {
    // Each is replaced below; what no chain would answer is answered with this.
    let mut answers = vec![refused(ErrorCode::NotReady.into()); transactions.len()];
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (place, bytes) in transactions.into_iter().enumerate() {
        let chain = match chain_for(edge, &bytes) {
            Ok(chain) => chain,
            Err(error) => {
                if let Some(slot) = answers.get_mut(place) {
                    *slot = refused(error);
                }
                continue;
            }
        };
        match parts.iter_mut().find(|part| part.chain.chain() == chain.chain()) {
            Some(part) => {
                part.places.push(place);
                part.transactions.push(bytes);
            }
            None => parts.push(Part { chain, places: vec![place], transactions: vec![bytes] }),
        }
    }
    for Part { chain, places, transactions } in parts {
        for (place, answer) in places.into_iter().zip(judge_part(edge, chain, transactions).await) {
            if let Some(slot) = answers.get_mut(place) {
                *slot = answer;
            }
        }
    }
    answers
}

async fn judge_part(edge: &Edge, chain: &ChainHandle, part: Vec<Bytes>) -> Vec<SubmitAnswer> {
    let closed = Refusal::of_status(&chain.now()).or_else(|| not_begun(edge, chain));
    if let Some(error) = closed {
        return part.iter().map(|_| refused(error.clone())).collect();
    }
    let submitted = chain.admission.submit(part).await;
    let metrics = edge.chain_metrics(chain.chain());
    let answer = |submitted: &Submitted| {
        let answer = answer(submitted);
        if let Some(metrics) = metrics {
            metrics.submitted(submitted, answer.error.as_ref().map_or(0, |error| error.code));
        }
        answer
    };
    submitted.iter().map(answer).collect()
}

/// The hosted chain that the bytes name. Bytes that name none of this network go to the first chain, whose admission says what
/// is wrong; one that is hosted elsewhere is refused with who hosts it.
fn chain_for<'a>(edge: &'a Edge, bytes: &[u8]) -> Result<&'a ChainHandle, ApiError> {
    let named = named_chain(edge.genesis(), bytes);
    match named.filter(|chain| edge.registry().chain(*chain).is_some()) {
        Some(chain) => edge.hosted(chain).ok_or_else(|| edge.no_chain(chain)),
        None => edge.chains().first().ok_or_else(|| ErrorCode::NotReady.into()),
    }
}

/// The chain in a transaction's bytes: the second field of its content, after the network. A wrong guess does no harm:
/// admission decodes and decides.
fn named_chain(genesis: GenesisHash, bytes: &[u8]) -> Option<ChainId> {
    let (network, rest) = bytes.split_first_chunk::<4>()?;
    let (chain, _) = rest.split_first_chunk::<4>()?;
    (*network == network_tag(genesis)).then_some(ChainId(u32::from_le_bytes(*chain)))
}

fn answer(submitted: &Submitted) -> SubmitAnswer {
    match submitted {
        Submitted::Accepted { id } => {
            SubmitAnswer { id: Some(*id), status: SubmitStatus::Accepted, error: None, transaction: None }
        }
        Submitted::Known { id } => {
            SubmitAnswer { id: Some(*id), status: SubmitStatus::AlreadyKnown, error: None, transaction: None }
        }
        Submitted::Refused(reason) => SubmitAnswer { id: id_of(reason), ..refused(reason.into()) },
    }
}

const fn id_of(refused: &Refused) -> Option<TransactionId> {
    match refused {
        Refused::NotExecuted { id, .. }
        | Refused::Rejected { id, .. }
        | Refused::ExemptElsewhere { id, .. }
        | Refused::Pool { id, .. } => Some(*id),
        Refused::Codec(_)
        | Refused::Stateless(_)
        | Refused::Overloaded { .. }
        | Refused::Unavailable { .. } => None,
    }
}

const fn refused(error: ApiError) -> SubmitAnswer {
    SubmitAnswer { id: None, status: SubmitStatus::Refused, error: Some(error), transaction: None }
}
