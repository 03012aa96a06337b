//! `GET /v1/chains/{chain}/feed`, `/batches` and `/bundles`: everything an auditor needs to replay a chain, in bounded
//! binary pages.
//!
//! The pages carry inputs and certificates. Results are added for comparison only: an auditor recomputes them. A page
//! ends when it is full; the framing and its bounds are `api::feed`'s.

use api::bulk::BULK_CONTENT_TYPE;
use api::code::ErrorCode;
use api::error::ApiError;
use api::feed::{ContentsPageWriter, DigestsQuery, FEED_BLOCKS_MAX, FeedPageWriter, FeedQuery};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chain::{Archive, RowFault};
use ledger::values::{BatchDigest, BundleDigest, Canonical as _, ChainId, Height};
use storage::Reader;

use super::edge::Edge;
use super::parameters::{Ask, Place, limit};
use super::refusal::{Refusal, pruned};

/// Blocks of a page when the query does not say.
const FEED_BLOCKS_DEFAULT: u32 = FEED_BLOCKS_MAX as u32;

/// Gives final blocks with certificates and results from a height on.
#[utoipa::path(
    get,
    path = api::path::FEED,
    tag = "audit",
    params(("chain" = u32, Path, description = "chain id"), FeedQuery),
    responses(
        (status = 200, description = "a feed page; without blocks when `from` is above the final height",
            content(("application/octet-stream"))),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn feed(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<FeedQuery>,
) -> Result<Response, Refusal> {
    let chain = edge.chain(place.get::<ChainId>("chain")?)?;
    let blocks = limit(query.limit, FEED_BLOCKS_DEFAULT, FEED_BLOCKS_DEFAULT)?;
    if query.from == 0 {
        return Err(Refusal::parameter("from", "heights of blocks start at 1"));
    }
    let status = chain.now().chain;
    let from = Height(query.from);
    if let Some(lowest) = chain.held.lowest_whole().filter(|lowest| from < *lowest) {
        return Err(pruned("from", lowest));
    }
    let writer = FeedPageWriter::new(chain.chain(), from, status.final_height, status.certified_height);
    let page = edge.read(chain, move |archive| Ok(fill(archive, writer, from, blocks)?)).await?;
    Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], page).into_response())
}

fn fill<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    mut writer: FeedPageWriter,
    from: Height,
    blocks: usize,
) -> Result<Vec<u8>, RowFault> {
    let mut height = from;
    for _ in 0..blocks {
        let Some(block) = archive.block_at(height)? else { break };
        let certificate = archive.certificate(height)?;
        let result = archive.result(height)?.map(|result| result.encode());
        if !writer.push(&block.encode(), certificate.as_deref(), result.as_deref()) {
            break;
        }
        height = height.next();
    }
    Ok(writer.finish())
}

/// Gives batches by digest: as many of those asked for as fit a page, in order.
#[utoipa::path(
    get,
    path = api::path::BATCHES,
    tag = "audit",
    params(("chain" = u32, Path, description = "chain id"), DigestsQuery),
    responses(
        (status = 200, description = "a batch page", content(("application/octet-stream"))),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn batches(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<DigestsQuery>,
) -> Result<Response, Refusal> {
    let chain = edge.chain(place.get::<ChainId>("chain")?)?;
    let digests = query.parse::<BatchDigest>()?;
    let read = edge.read(chain, move |archive| {
        let mut writer = ContentsPageWriter::batches();
        for digest in digests {
            let bytes = archive.batch_bytes(digest)?.ok_or_else(|| {
                Refusal::from(ApiError::from(ErrorCode::BatchUnknown).at("digests").because(digest))
            })?;
            if !writer.push(&bytes) {
                break;
            }
        }
        Ok(writer.finish())
    });
    Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], read.await?).into_response())
}

/// Gives bundles by digest: as many of those asked for as fit a page, in order.
#[utoipa::path(
    get,
    path = api::path::BUNDLES,
    tag = "audit",
    params(("chain" = u32, Path, description = "chain id"), DigestsQuery),
    responses(
        (status = 200, description = "a bundle page", content(("application/octet-stream"))),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn bundles(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<DigestsQuery>,
) -> Result<Response, Refusal> {
    let chain = edge.chain(place.get::<ChainId>("chain")?)?;
    let digests = query.parse::<BundleDigest>()?;
    let read = edge.read(chain, move |archive| {
        let mut writer = ContentsPageWriter::bundles();
        for digest in digests {
            let bundle = archive.bundle(digest)?.ok_or_else(|| {
                Refusal::from(ApiError::from(ErrorCode::BundleUnknown).at("digests").because(digest))
            })?;
            if !writer.push(&bundle.encode()) {
                break;
            }
        }
        Ok(writer.finish())
    });
    Ok(([(header::CONTENT_TYPE, BULK_CONTENT_TYPE)], read.await?).into_response())
}
