//! `GET /v1/fees/estimate`: what a transaction should bid. `GET /v1/chains/{chain}/fees/history`: what blocks have weighed and cost.
//!
//! An estimate is made of this node's view of the chain's market: recent blocks, what waits in its own pool, how long payments took.

use api::code::ErrorCode;
use api::error::ApiError;
use api::fees::{
    CONFIDENCE_DEFAULT, CONFIDENCE_MAX, CONFIDENCE_MIN, CrossChainView, FEE_BLOCKS_DEFAULT, FEE_BLOCKS_MAX,
    FeeBlock, FeeEstimates, FeeHistory, FeeHistoryQuery, FeeQuery, WITHIN_S_DEFAULT, WITHIN_S_MAX,
    WITHIN_S_MIN,
};
use axum::Json;
use axum::extract::State;
use chain::{Archive, RowFault};
use fees::Estimate;
use ledger::rules::weight::RECEIPT_WEIGHT;
use ledger::values::{ChainId, Height};
use storage::{Reader, Table};

use super::edge::Edge;
use super::estimates::{estimated, seconds, view};
use super::parameters::{Ask, Place, limit};
use super::refusal::Refusal;
use super::typical::weight_of;
use crate::handle::ChainHandle;

/// Says what a transaction should bid.
///
/// For a weight, or for a typical transaction of an operation: what the ledger's rule gives to sample content of that shape. With `to_chain`
/// it says also when a payee on that chain has the money. A forecast, not a promise.
#[utoipa::path(
    get,
    path = api::path::FEE_ESTIMATE,
    tag = "fees",
    params(FeeQuery),
    responses(
        (status = 200, description = "three bids: economy, normal, urgent", body = FeeEstimates),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn estimate(
    State(edge): State<Edge>,
    Ask(query): Ask<FeeQuery>,
) -> Result<Json<FeeEstimates>, Refusal> {
    let chain = edge.chain(ChainId(query.chain.unwrap_or(0)))?;
    let weight = weight_of(&query)?;
    let ask = ask(&query, weight)?;
    let destination = match query.to_chain {
        Some(to_chain) => Some(destination(&edge, chain, ChainId(to_chain))?),
        None => None,
    };
    let found = estimated(&edge, chain, ask).await?;
    let cross_chain = match destination {
        Some(to_chain) => Some(leg(&edge, to_chain, ask, &found.estimates.normal).await?),
        None => None,
    };
    Ok(Json(FeeEstimates {
        chain: chain.chain().0,
        weight,
        height: found.height.0,
        base_fee_micro_fen: found.base_fee.micro_fen(),
        economy: view(&found.estimates.economy),
        normal: view(&found.estimates.normal),
        urgent: view(&found.estimates.urgent),
        cross_chain,
    }))
}

/// What a client without wishes of its own asks about a weight.
pub(crate) fn usual(weight: u64) -> fees::Ask {
    let (confidence_permille, within_ms) =
        (thousandths(CONFIDENCE_DEFAULT) as u16, thousandths(WITHIN_S_DEFAULT));
    fees::Ask { weight, confidence_permille, within_ms }
}

fn ask(query: &FeeQuery, weight: u64) -> Result<fees::Ask, Refusal> {
    let within = |field: &str, asked: Option<f64>, default: f64, min: f64, max: f64| {
        let value = asked.unwrap_or(default);
        // What is no number is in no range.
        if (min..=max).contains(&value) {
            return Ok(thousandths(value));
        }
        Err(Refusal::parameter(field, format_args!("{value}; {min} to {max} are allowed")))
    };
    let confidence =
        within("confidence", query.confidence, CONFIDENCE_DEFAULT, CONFIDENCE_MIN, CONFIDENCE_MAX)?;
    let within_ms = within("within_s", query.within_s, WITHIN_S_DEFAULT, WITHIN_S_MIN, WITHIN_S_MAX)?;
    Ok(fees::Ask { weight, confidence_permille: confidence as u16, within_ms })
}

/// Rounded, of a number within the bounds above.
fn thousandths(value: f64) -> u64 {
    (value * 1_000.0).round() as u64
}

/// The chain of a payee: another one of the same currency.
fn destination(edge: &Edge, from: &ChainHandle, to_chain: ChainId) -> Result<ChainId, Refusal> {
    const FIELD: &str = "to_chain";
    let registry = edge.registry();
    let Some(record) = registry.chain(to_chain) else {
        return Err(ApiError::from(ErrorCode::ChainUnknown).at(FIELD).because(to_chain).into());
    };
    if to_chain == from.chain() {
        return Err(Refusal::parameter(FIELD, "it is the payer's chain"));
    }
    if record.currency != from.spec.currency {
        let detail =
            format_args!("chain {to_chain} is of {}, a payment stays in its currency", record.currency);
        return Err(Refusal::parameter(FIELD, detail));
    }
    Ok(to_chain)
}

/// The way on of a payment with this bid. A receipt bids nothing, is charged nothing and waits for no room, so it takes there what
/// something urgent takes. Both times are added, which is too much for 19 of 20 rather than too little.
async fn leg(
    edge: &Edge,
    to_chain: ChainId,
    ask: fees::Ask,
    payment: &Estimate,
) -> Result<CrossChainView, Refusal> {
    let there = match edge.hosted(to_chain) {
        Some(chain) => {
            let receipt = fees::Ask { weight: RECEIPT_WEIGHT, ..ask };
            Some(estimated(edge, chain, receipt).await?.estimates.urgent)
        }
        None => None,
    };
    let sum = |here: u64, there: Option<u64>| there.map(|there| seconds(here.saturating_add(there)));
    Ok(CrossChainView {
        to_chain: to_chain.0,
        fee_fen: 0,
        credited_s_p50: sum(payment.final_ms_p50, there.map(|urgent| urgent.final_ms_p50)),
        credited_s_p95: sum(payment.final_ms_p95, there.map(|urgent| urgent.final_ms_p95)),
    })
}

/// Shows what a chain's blocks weighed and cost: from a height on, or the newest.
#[utoipa::path(
    get,
    path = api::path::FEE_HISTORY,
    tag = "fees",
    params(("chain" = u32, Path, description = "chain id"), FeeHistoryQuery),
    responses(
        (status = 200, description = "blocks by ascending height, and what the next one will cost", body = FeeHistory),
        (status = "4XX", description = "refused; 1408 where the node no longer has the block at `from`", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn history(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<FeeHistoryQuery>,
) -> Result<Json<FeeHistory>, Refusal> {
    let chain = edge.chain(place.get::<ChainId>("chain")?)?;
    let blocks = limit(query.limit, FEE_BLOCKS_DEFAULT, FEE_BLOCKS_MAX)?;
    if query.from == Some(0) {
        return Err(Refusal::parameter("from", "heights of blocks start at 1"));
    }
    let id = chain.chain();
    let read = edge.read(chain, move |archive| {
        let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let registry = archive.registry_at(head.height)?;
        let registry = registry.ok_or(RowFault::Missing { table: Table::Registries })?;
        let record = registry.chain(id).ok_or(RowFault::Missing { table: Table::Registries })?;
        let blocks = page(archive, query.from, head.height, blocks as u64)?;
        Ok(FeeHistory {
            chain: id.0,
            blocks,
            weight_target: record.params.fees.weight_target,
            weight_max: record.params.block_weight_max,
            next_base_fee_micro_fen: head.base_fee.micro_fen(),
        })
    });
    read.await.map(Json)
}

/// `count` blocks from a height on, or the newest ones that are there, up to `newest`.
fn page<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    from: Option<u64>,
    newest: Height,
    count: u64,
) -> Result<Vec<FeeBlock>, Refusal> {
    let first = from.unwrap_or(newest.0.saturating_add(1).saturating_sub(count).max(1));
    let last = newest.0.min(first.saturating_add(count).saturating_sub(1));
    let mut blocks = Vec::new();
    for height in (first..=last).map(Height) {
        match archive.block_at(height)? {
            Some(block) => blocks.push(FeeBlock {
                height: height.0,
                timestamp_ms: block.header.timestamp.0,
                weight: block.header.weight,
                base_fee_micro_fen: block.header.base_fee.micro_fen(),
            }),
            // The newest begin with the first one that is still there.
            None if from.is_none() && blocks.is_empty() => {}
            None => return Err(ApiError::from(ErrorCode::Pruned).at("from").because(height).into()),
        }
    }
    Ok(blocks)
}
