//! `GET /v1/transactions/{id}`: where a transaction stands, at once or when it got there.
//!
//! A client that waits holds a place of its own kind and no thread. It looks into the store only when a block was
//! executed since the last look and the transaction is not known to be pending; for *certified* it then only compares
//! heights.
//!
//! *Expired* is said of what was taken in here, has no outcome, and can have none: the clock of the last executed block
//! has reached its `valid_until`. The node remembers that for a bounded number of transactions and until it restarts
//! (`departed.rs`); of others it says that it does not know them.

use std::sync::Arc;
use std::time::Duration;

use api::code::ErrorCode;
use api::error::ApiError;
use api::transaction::{TransactionQuery, TransactionState, TransactionStatus, TransactionView, WaitFor};
use axum::Json;
use axum::extract::State;
use chain::RowFault;
use ledger::records::{NotExecuted, Rejection};
use ledger::values::{ChainId, Height, LockId, TimestampMs, TransactionId};
use storage::Table;
use tokio::time::Instant;

use super::edge::Edge;
use super::guard::OnDrop;
use super::legs::{legs, sent_on};
use super::locks;
use super::parameters::{Ask, Place};
use super::refusal::{Refusal, pruned};
use crate::admission::wall_clock;
use crate::departed::{DEPARTED_MAX, Reason, WithoutOutcome};
use crate::handle::ChainHandle;

/// Says where a transaction stands.
///
/// With `wait` the answer comes when the transaction is there or will never be, at the latest after `timeout_ms` (10
/// seconds unless said): then with the status of that moment.
#[utoipa::path(
    get,
    path = api::path::TRANSACTION,
    tag = "transactions",
    params(("id" = String, Path, description = "transaction id, 64 hexadecimal digits"), TransactionQuery),
    responses(
        (status = 200, description = "where it stands", body = TransactionStatus),
        (status = "4XX", description = "refused; 1402 when this node has not seen it", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn status(
    State(edge): State<Edge>,
    place: Place,
    Ask(query): Ask<TransactionQuery>,
) -> Result<Json<TransactionStatus>, Refusal> {
    let id: TransactionId = place.get("id")?;
    let Some(wait) = query.wait else {
        return known(&edge, look(&edge, id, true).await?);
    };
    let _place = Arc::clone(edge.waits()).try_acquire_owned().map_err(|_| Refusal::busy())?;
    let waits = edge.parts().metrics.rest.open_waits.clone();
    waits.inc();
    let _open = OnDrop(|| {
        waits.dec();
    });
    let patience_ms = query.timeout_ms.unwrap_or(WAIT_DEFAULT_MS).min(edge.parts().limits.wait_ms);
    known(&edge, wait_for(&edge, id, wait, Instant::now() + Duration::from_millis(patience_ms)).await?)
}

fn known(edge: &Edge, status: TransactionStatus) -> Result<Json<TransactionStatus>, Refusal> {
    match status.status {
        TransactionState::Unknown => Err(unknown(edge)),
        _ => Ok(Json(status)),
    }
}

/// Nothing is known of a transaction, which says little: what left without an outcome is forgotten, and where this node joined by a snapshot
/// or prunes it does not know what was executed before.
pub(crate) fn unknown(edge: &Edge) -> Refusal {
    if let Some(lowest) = edge.chains().iter().find_map(|chain| chain.held.lowest_whole()) {
        return pruned("id", lowest);
    }
    let forgotten = format!(
        "it was never received here, or it left without an outcome, as one does whose time ran out; that is remembered until \
         the node restarts, of the last {DEPARTED_MAX}"
    );
    ApiError::from(ErrorCode::TransactionUnknown).at("id").because(forgotten).into()
}

/// How long a client waits that does not say.
pub(crate) const WAIT_DEFAULT_MS: u64 = 10_000;

async fn wait_for(
    edge: &Edge,
    id: TransactionId,
    wait: WaitFor,
    until: Instant,
) -> Result<TransactionStatus, Refusal> {
    loop {
        // Heights before the look: what happens meanwhile is seen by the next wait.
        let seen = Heights::of(edge.chains());
        let found = if is_on_its_way(edge, &id) { None } else { Some(look(edge, id, false).await?) };
        let ends = found.as_ref().is_some_and(|status| match (status.status, wait) {
            (TransactionState::Expired | TransactionState::NotExecuted, _) => true,
            (_, WaitFor::Final) => status.height.is_some(),
            (_, WaitFor::Certified) => status.is_certified,
            (_, WaitFor::Settled) => status.is_settled_here(),
        });
        // A transaction with a position waits for its certificate and needs no further look until then.
        // Where a leg is under way, any chain's next block may end it.
        let positioned = found.as_ref().filter(|status| !status.is_certified);
        let certified_at = positioned.and_then(|status| Some((status.chain?, Height(status.height?))));
        if ends || tokio::time::timeout_at(until, seen.passed(edge.chains(), certified_at)).await.is_err() {
            return match found {
                Some(status) => Ok(status),
                None => look(edge, id, false).await,
            };
        }
    }
}

/// Whether it waits to be ordered and has time left: then the store says nothing about it.
fn is_on_its_way(edge: &Edge, id: &TransactionId) -> bool {
    let now = wall_clock();
    let mut known = edge.chains().iter().filter_map(|chain| chain.admission.without_outcome(id));
    known.any(|known| known.is_pending && known.valid_until > now)
}

/// How far the chains were.
struct Heights(Vec<(Height, Height)>);

impl Heights {
    fn of(chains: &[ChainHandle]) -> Self {
        Self(chains.iter().map(Self::of_chain).collect())
    }

    fn of_chain(chain: &ChainHandle) -> (Height, Height) {
        let status = chain.now();
        (status.chain.executed_height, status.chain.certified_height)
    }

    /// Returns when a block was executed since, on any chain; or, for a transaction with a position, when its chain has
    /// certified that height.
    async fn passed(&self, chains: &[ChainHandle], certified_at: Option<(u32, Height)>) {
        let waits = chains.iter().zip(&self.0).map(|(chain, (executed, _))| {
            let mut status = chain.status.clone();
            let executed = *executed;
            let here = certified_at.filter(|(id, _)| *id == chain.chain().0).map(|(_, height)| height);
            async move {
                let passed = status.wait_for(|status| match here {
                    Some(height) => status.chain.certified_height >= height,
                    None => certified_at.is_none() && status.chain.executed_height > executed,
                });
                if passed.await.is_err() {
                    // The chain's driver ended: nothing will change, so the deadline decides.
                    std::future::pending::<()>().await;
                }
            }
        });
        let mut waits: Vec<_> = waits.map(Box::pin).collect();
        std::future::poll_fn(|cx| {
            let passed = waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready());
            if passed { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// Looks a transaction up on every hosted chain.
async fn look(edge: &Edge, id: TransactionId, with_transaction: bool) -> Result<TransactionStatus, Refusal> {
    // Before the store: what gets its outcome between the two looks is in the store by then.
    let known = edge.chains().iter().find_map(|chain| {
        let known = chain.admission.without_outcome(&id)?;
        Some((chain.chain(), known))
    });
    let genesis = edge.genesis();
    let network = edge.registry();
    let hosted: Vec<&ChainHandle> = edge.chains().iter().collect();
    let found = edge.find(&hosted, move |archive, at| {
        let Some(located) = archive.locate(id)? else {
            let Some((_, known)) = known.filter(|(chain, _)| *chain == at.chain()) else { return Ok(None) };
            let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
            return Ok(Some(no_outcome(id, at.chain(), known, head.timestamp)));
        };
        let is_certified = located.height <= at.certified_height;
        let mut status =
            TransactionStatus::executed(at.chain(), located.height, &located.outcome, is_certified);
        if with_transaction {
            let transaction = archive.transaction(located.height, located.outcome.index)?;
            status.transaction =
                transaction.map(|found| TransactionView::new(&found, genesis, at.spec.currency));
        }
        let named = status.transaction.as_ref().and_then(|found| found.operation.names_lock());
        let lock = locks::view(archive, at, &network, named.unwrap_or_else(|| LockId::of(id)))?;
        status.lock = lock.map(Box::new);
        Ok(Some(status))
    });
    let unknown = || TransactionStatus::without_position(id, TransactionState::Unknown, None);
    let mut status = found.await?.unwrap_or_else(unknown);
    let registry = edge.registry();
    status.currency = status.chain.and_then(|chain| registry.currency(ChainId(chain)));
    if let (Some(chain), Some(height)) = (status.chain, status.height)
        && registry.chains.len() > 1
    {
        let (chain, height) = (ChainId(chain), Height(height));
        if status.outcome.as_ref().is_some_and(|outcome| outcome.code == Rejection::SentOn.code()) {
            status.sent_on = sent_on(edge, chain, id, height).await?;
        }
        status.legs = legs(edge, chain, id, height).await?;
    }
    Ok(status)
}

/// The status of a transaction that was taken in here and has no outcome up to a block of `block_time`.
fn no_outcome(
    id: TransactionId,
    chain: ChainId,
    known: WithoutOutcome,
    block_time: TimestampMs,
) -> TransactionStatus {
    let WithoutOutcome { valid_until, reason, .. } = known;
    let (state, reason) = match reason {
        // Block times rise, so every later block is too late for it.
        _ if block_time >= valid_until => {
            (TransactionState::Expired, Some(Reason::NotExecuted(NotExecuted::Expired { valid_until })))
        }
        Some(reason) => (TransactionState::NotExecuted, Some(reason)),
        None => (TransactionState::Pending, None),
    };
    let status = TransactionStatus::without_position(id, state, Some(chain));
    let error = reason.map(|reason| match reason {
        Reason::NotExecuted(reason) => ApiError::from(reason),
        Reason::Outbid => ApiError::from(ErrorCode::Outbid),
    });
    TransactionStatus { error, ..status }
}
