//! `GET /v1/transactions/{id}/proof`: the proof file of an outcome, which a stranger checks with the genesis file alone.
//!
//! ```text
//! transaction ─ outcome ─ path ─ outcomes root ─ result of h ─ links ─ claim in a later block ─ certificate on it
//! ```
//!
//! The block that claims is the first one with a certificate of its own whose claim reaches the height. Consensus may
//! skip certificates, so a few blocks are looked through, at most [`CLAIMS_LOOKED_THROUGH`].

use api::bulk::BULK_CONTENT_TYPE;
use api::code::ErrorCode;
use api::error::ApiError;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chain::{Archive, Located, RowFault};
use ledger::proofs::certified::LINKS_MAX;
use ledger::proofs::{CertifiedResult, FinalityProof, OutcomeProof, Proof, ProofFile, outcome_path};
use ledger::records::{Block, HeightResult};
use ledger::values::{Canonical as _, Height, Sequential, TransactionId};
use storage::{Reader, Table};

use super::edge::Edge;
use super::parameters::Place;
use super::refusal::Refusal;

/// Certificates looked through for a claim that reaches a height; claims lag by a few blocks.
pub(crate) const CLAIMS_LOOKED_THROUGH: usize = 256;

/// Proves what a transaction became.
#[utoipa::path(
    get,
    path = api::path::TRANSACTION_PROOF,
    tag = "transactions",
    params(("id" = String, Path, description = "transaction id, 64 hexadecimal digits")),
    responses(
        (status = 200, description = "canonical bytes of a proof file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", description = "refused; 1409 until the outcome is certified", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn transaction(State(edge): State<Edge>, place: Place) -> Result<Response, Refusal> {
    let id: TransactionId = place.get("id")?;
    let genesis = edge.genesis();
    for chain in edge.chains() {
        let proof = edge
            .read(chain, move |archive| {
                let Some(located) = archive.locate(id)? else { return Ok(None) };
                let proof = outcome_proof(archive, located)?.ok_or(ErrorCode::NotCertified)?;
                Ok(Some(ProofFile { genesis, proof: Proof::Outcome(proof) }.encode()))
            })
            .await?;
        if let Some(proof) = proof {
            return Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], proof).into_response());
        }
    }
    Err(ErrorCode::TransactionUnknown.into())
}

/// The proof of an outcome; `None` while no certificate that is stored here covers it.
fn outcome_proof<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    located: Located,
) -> Result<Option<OutcomeProof>, RowFault> {
    let Located { height, outcome, leaf, outcomes } = located;
    let position = leaf as u64;
    let Some(certified) = certified_result(archive, height)? else { return Ok(None) };
    let missing = |table| RowFault::Missing { table };
    let path = outcome_path(&outcomes, position, &Sequential).ok_or(missing(Table::Outcomes))?;
    let transaction = archive.transaction(height, outcome.index)?.ok_or(missing(Table::Batches))?;
    Ok(Some(OutcomeProof { transaction, outcome, position, path, certified }))
}

/// The result of a height with a certificate that covers it.
pub(crate) fn certified_result<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    height: Height,
) -> Result<Option<CertifiedResult>, RowFault> {
    let Some((block, certificate)) = claiming_block(archive, height)? else { return Ok(None) };
    let Some(result) = archive.result(height)? else { return Ok(None) };
    let finality = FinalityProof::decode(&certificate)
        .map_err(|fault| RowFault::Damaged { table: Table::Certificates, fault })?;
    let mut links = Vec::new();
    let mut above = height.next();
    while above <= block.header.claim.height && links.len() < LINKS_MAX {
        let content = archive.result(above)?.as_ref().map(HeightResult::content_hash);
        links.push(content.ok_or(RowFault::Missing { table: Table::Results })?);
        above = above.next();
    }
    let complete = above > block.header.claim.height;
    Ok(complete.then_some(CertifiedResult { result, links, header: block.header, finality }))
}

/// The first block with a certificate of its own that claims `height` or more.
fn claiming_block<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    height: Height,
) -> Result<Option<(Block, Vec<u8>)>, RowFault> {
    let mut from = height.next();
    for _ in 0..CLAIMS_LOOKED_THROUGH {
        let Some((at, certificate)) = archive.certified_from(from)? else { return Ok(None) };
        // A certificate may be stored before its block is final here.
        let Some(block) = archive.block_at(at)? else { return Ok(None) };
        if block.header.claim.height >= height {
            return Ok(Some((block, certificate)));
        }
        from = at.next();
    }
    Ok(None)
}
