//! `GET /v1/transactions/{id}/proof` and `GET /v1/wallets/{id}/proof`: proof files, which a stranger checks with the genesis
//! file alone.
//!
//! ```text
//! transaction ─ outcome ─ path ─ outcomes root ─┐
//! wallet ─ path in the summing tree ─ state root ┼─ result of h ─ links ─ claim in a later block ─ certificate on it
//! no wallet ─ path in the id tree ─ state root ──┘
//! ```
//!
//! A file carries the changes of validator set from genesis up to the epoch of its certificate.
//!
//! The trees are those of the executed height, which no certificate covers yet. So the executor says what the wallet is
//! now, and the answer waits until that height is certified, at most [`PROOF_WAIT_MS`].
//!
//! The block that claims is the first one with a certificate of its own whose claim reaches the height. Consensus may
//! skip certificates, and claims may have stood still: it is found all the same, by halves.

use std::sync::Arc;
use std::time::Duration;

use api::bulk::BULK_CONTENT_TYPE;
use api::code::ErrorCode;
use api::error::ApiError;
use api::wallet::WalletQuery;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chain::{Archive, Located, RowFault};
use ledger::proofs::{CertifiedResult, OutcomeProof, Proof, ProofFile, ReceiptProof, outcome_path};
use ledger::values::{
    Canonical as _, ChainId, GenesisHash, Height, RecordId, Sequential, TransactionId, WalletId,
};
use storage::{Reader, Table};
use tokio::time::Instant;

use super::edge::Edge;
use super::finding::find_wallet;
use super::health::{not_heard, sees_quorum};
use super::parameters::{Ask, Place};
use super::refusal::{NOT_READY_RETRY_MS, Refusal};
use crate::handle::{ChainHandle, Status};

/// How long the proof of a wallet waits for a certificate over the height that it was asked at: an idle network certifies
/// a height some three blocks of 450 ms later, and clients give an exchange 10 s.
pub(crate) const PROOF_WAIT_MS: u64 = 5_000;

/// Proves what a transaction became.
#[utoipa::path(
    get,
    path = api::path::TRANSACTION_PROOF,
    tag = "transactions",
    params(("id" = String, Path, description = "transaction id, 64 hexadecimal digits")),
    responses(
        (status = 200, description = "canonical bytes of a proof file", content(("application/octet-stream"))),
        (status = "4XX", description = "refused; 1409 until the outcome is certified", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn transaction(State(edge): State<Edge>, place: Place) -> Result<Response, Refusal> {
    let id: TransactionId = place.get("id")?;
    let hosted: Vec<&ChainHandle> = edge.chains().iter().collect();
    let genesis = edge.genesis();
    let found = edge.find(&hosted, move |archive, at| {
        let Some(located) = archive.locate(id)? else { return Ok(None) };
        let height = located.height;
        let Some(proof) = outcome_proof(archive, genesis, located)? else {
            return Ok(Some((at.chain(), Err(height))));
        };
        let sets = archive.set_chain(proof.certified().header.epoch)?;
        Ok(Some((at.chain(), sets.map(|sets| ProofFile { genesis, sets, proof }).ok_or(height))))
    });
    match found.await? {
        Some((_, Ok(file))) => Ok(answer(&file)),
        Some((chain, Err(height))) => Err(not_certified(&edge, edge.chain(chain)?, height)),
        None => Err(super::transactions::unknown(&edge)),
    }
}

/// Proves what a wallet is, or that there is none.
///
/// Without `chain` it is proved where it is at home; its absence on the first chain of this node where it would be. An operator's own
/// wallet is at home on every shard of its currency, so its chain must be named.
#[utoipa::path(
    get,
    path = api::path::WALLET_PROOF,
    tag = "wallets",
    params(("id" = String, Path, description = "wallet id, bech32m text starting with jz1"), WalletQuery),
    responses(
        (status = 200, description = "canonical bytes of a proof file", content(("application/octet-stream"))),
        (status = "4XX", description = "refused; 1409 when no certificate covers it in time", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn wallet(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<WalletQuery>,
) -> Result<Response, Refusal> {
    let id: WalletId = place.get("id")?;
    let _place = Arc::clone(edge.waits()).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let patience = Duration::from_millis(PROOF_WAIT_MS.min(edge.parts().limits.wait_ms));
    let until = Instant::now() + patience;
    let named = query.chain.map(ChainId);
    let found = match named {
        Some(chain) => Some(chain),
        None => find_wallet(&edge, id, None, move |_, at, _, _| Ok(at.chain())).await?,
    };
    let chain = match found {
        Some(chain) => edge.chain(chain)?,
        None => {
            let mut homes = edge.wallet_homes(&id, None)?.into_iter().filter_map(|home| edge.hosted(home));
            homes.next().ok_or_else(|| edge.no_wallet(&id, None))?
        }
    };
    of_record(&edge, chain, id.into(), until).await
}

/// Proves what a chain has under a name, or that it has nothing: asks the executor, then waits for a certificate.
pub(super) async fn of_record(
    edge: &Edge,
    chain: &ChainHandle,
    id: RecordId,
    until: Instant,
) -> Result<Response, Refusal> {
    Refusal::without_state(&chain.now())?;
    let record = chain.wallets.ask(id).await?;
    let height = record.height;
    let certified = certificate_over(edge, chain, height, until).await?;
    let epoch = certified.header.epoch;
    let sets = edge.read(chain, move |archive| Ok(archive.set_chain(epoch)?)).await?;
    let sets = sets.ok_or_else(|| not_certified(edge, chain, height))?;
    Ok(answer(&ProofFile { genesis: edge.genesis(), sets, proof: record.certify(certified) }))
}

/// Waits until a certificate covers the height.
pub(super) async fn certificate_over(
    edge: &Edge,
    chain: &ChainHandle,
    height: Height,
    until: Instant,
) -> Result<CertifiedResult, Refusal> {
    let mut status = chain.status.clone();
    let mut seen = Height(0);
    loop {
        let is_newer =
            |status: &Status| status.chain.certified_height >= height && status.chain.executed_height > seen;
        let newer = tokio::time::timeout_at(until, status.wait_for(is_newer)).await;
        match newer.map(|waited| waited.map(|status| status.chain.executed_height)) {
            Ok(Ok(executed)) => seen = executed,
            // The chain's driver ended.
            Ok(Err(_)) => return Err(Refusal::stopping()),
            Err(_) => return Err(not_certified(edge, chain, height)),
        }
        // The block that claims may have no certificate of its own: then a later one has.
        let found = edge.read(chain, move |archive| Ok(archive.certified_result(height)?));
        if let Some(found) = found.await? {
            return Ok(found);
        }
    }
}

/// No certificate covers a height: why, and what helps.
pub(super) fn not_certified(edge: &Edge, chain: &ChainHandle, height: Height) -> Refusal {
    let certified = chain.now().chain.certified_height;
    let (cause, mend) = if sees_quorum(edge, chain) {
        (
            "no quorum has certified it yet",
            "ask again in a moment; if it goes on, look at /readyz of several banks",
        )
    } else {
        (
            "this node sees fewer validators than a quorum, so results are not being certified",
            "ask another bank's node, or this one again when its /readyz no longer says too_few_peers",
        )
    };
    let error = ApiError::from(ErrorCode::NotCertified).because(format_args!(
        "height {height}: {cause}; results are certified up to height {certified}{}",
        not_heard(edge, chain)
    ));
    ApiError { mend: mend.to_owned(), ..error }.retry_after_ms(NOT_READY_RETRY_MS).into()
}

fn answer(file: &ProofFile) -> Response {
    ([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], file.encode()).into_response()
}

/// The proof of the outcome of a transaction or of a receipt; `None` while no certificate that is stored here covers it.
fn outcome_proof<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    genesis: GenesisHash,
    located: Located,
) -> Result<Option<Proof>, Refusal> {
    let Located { height, outcome, leaf, outcomes } = located;
    let position = leaf as u64;
    let Some(certified) = archive.certified_result(height)? else { return Ok(None) };
    let missing = |table| RowFault::Missing { table };
    let path = outcome_path(&outcomes, position, &Sequential).ok_or(missing(Table::Outcomes))?;
    if let Some((source, sequence, receipt)) = archive.receipt(genesis, outcome.id, height)? {
        let proof = ReceiptProof { source, sequence, receipt, outcome, position, path, certified };
        return Ok(Some(Proof::Receipt(proof)));
    }
    // Of what has an outcome, a deadline that passed is neither: what it made of the record is proved by the record.
    let transaction = archive.transaction(height, outcome.index)?.ok_or(ErrorCode::ProvedByRecord)?;
    Ok(Some(Proof::Outcome(OutcomeProof { transaction, outcome, position, path, certified })))
}
