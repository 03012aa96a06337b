//! `GET /v1/proposals/{version}`: whether a version of the registry was changed, at which height of chain 0 and by which proposal. A
//! proposal names the version that it changes, so this tells what became of it: it was applied, another one was, or neither yet.
//!
//! It is this node's word. The outcome of the named transaction, which carries the proposal, has a proof.

use api::error::ApiError;
use api::governance::{AppliedView, VersionView};
use axum::Json;
use axum::extract::State;
use chain::{Archive, RowFault};
use ledger::records::Operation;
use ledger::records::outcome::APPLIED;
use ledger::records::registry::ROOT_CHAIN;
use ledger::values::{GenesisHash, Hash, Height, TransactionId};
use storage::{Reader, Table};

use super::edge::Edge;
use super::parameters::Place;
use super::refusal::Refusal;

/// Tells which proposal changed a version of the registry.
#[utoipa::path(
    get,
    path = api::path::PROPOSAL,
    tag = "chains",
    params(("version" = u64, Path, description = "the version that the proposal changes")),
    responses(
        (status = 200, description = "the proposal that was applied to that version, if one was", body = VersionView),
        (status = "4XX", description = "refused; 1405 where chain 0 is not hosted", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn proposal(State(edge): State<Edge>, place: Place) -> Result<Json<VersionView>, Refusal> {
    let version: u64 = place.get("version")?;
    let chain = edge.chain(ROOT_CHAIN)?;
    let (genesis, certified) = (edge.genesis(), chain.now().chain.certified_height);
    let read = edge.read(chain, move |archive| {
        let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        let registry_version = version_at(archive, head.height)?;
        let applied = match registry_version > version {
            true => Some(applied(archive, genesis, version, head.height)?),
            false => None,
        };
        let applied = applied.map(|(height, found)| AppliedView {
            height: height.0,
            is_certified: height <= certified,
            proposal: found.map(|(proposal, _)| proposal.to_string()),
            transaction: found.map(|(_, transaction)| transaction),
        });
        Ok(VersionView { version, registry_version, applied })
    });
    read.await.map(Json)
}

fn version_at<R: Reader + ?Sized>(archive: &Archive<'_, R>, height: Height) -> Result<u64, RowFault> {
    let registry = archive.registry_at(height)?;
    registry.map(|registry| registry.version).ok_or(RowFault::Missing { table: Table::Registries })
}

/// The height up to `head` that changed a version, which is no longer that of `head`, and what changed it there.
fn applied<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    genesis: GenesisHash,
    version: u64,
    head: Height,
) -> Result<(Height, Option<(Hash, TransactionId)>), RowFault> {
    // Versions only rise, from 0 at height 0: found by halves.
    let (mut before, mut after) = (0, head.0);
    while after.saturating_sub(before) > 1 {
        let middle = before.saturating_add(after.saturating_sub(before) / 2);
        if version_at(archive, Height(middle))? > version {
            after = middle;
        } else {
            before = middle;
        }
    }
    let height = Height(after);
    Ok((height, proposal_of(archive, genesis, version, height)?))
}

/// The proposal of a version that a height applied, and the transaction that carried it. Batch after batch: a block's are never all in
/// memory.
fn proposal_of<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    genesis: GenesisHash,
    version: u64,
    height: Height,
) -> Result<Option<(Hash, TransactionId)>, RowFault> {
    let Some(block) = archive.block_at(height)? else { return Ok(None) };
    let outcomes = archive.outcomes(height)?.unwrap_or_default();
    let is_applied = |index: u32| {
        let place = outcomes.binary_search_by_key(&index, |outcome| outcome.index).ok();
        place.and_then(|place| outcomes.get(place)).is_some_and(|outcome| outcome.code == APPLIED)
    };
    let mut index = 0_u32;
    for digest in block.body.batches {
        let batch = archive.batch(digest)?.ok_or(RowFault::Missing { table: Table::Batches })?;
        for transaction in &batch.content.transactions {
            if let Operation::Govern { proposal, .. } = &transaction.content.operation
                && proposal.version == version
                && is_applied(index)
            {
                return Ok(Some((proposal.hash(genesis), transaction.id(genesis))));
            }
            index = index.saturating_add(1);
        }
    }
    Ok(None)
}
