//! Finding a wallet, also while shards double (PROTOCOL rule 25): from where it is at home to where it is.
//!
//! | the chain that is looked on | where it goes on |
//! | --- | --- |
//! | has the wallet | it is found |
//! | has its tombstone, or keeps its place free | on the chain that the record names |
//! | does not know it, and is being filled | with the parent, which may not have moved it yet |
//! | does not know it otherwise | there is none |
//!
//! Every chain is looked on once and at most [`REDIRECTS_MAX`] follow the first: a way that leads back is that of a wallet that has
//! left its parent and has not arrived, and is refused with 1415, which a moment mends. A chain that is not hosted here is named
//! (1410). A chain that the client names itself is looked on alone, and shows what it has, a tombstone too.

use api::client::REDIRECTS_MAX;
use api::code::ErrorCode;
use api::error::ApiError;
use chain::{Archive, RowFault};
use ledger::records::{ChainRecord, Record, WalletRecord, WalletStatus};
use ledger::values::{ChainId, Slot, WalletId};
use storage::{Reader, Table};

use super::edge::{Edge, Moment};
use super::refusal::{BUSY_RETRY_MS, Refusal};
use crate::handle::ChainHandle;

/// What is read of a wallet on the chain that has it: asked of one chain after another, each on a thread of its own.
pub(crate) trait Work<T>:
    Fn(&Archive<'_, dyn Reader + '_>, &Moment, Slot, &WalletRecord) -> Result<T, Refusal> + Clone + Send + 'static
{
}

impl<T, W> Work<T> for W where
    W: Fn(&Archive<'_, dyn Reader + '_>, &Moment, Slot, &WalletRecord) -> Result<T, Refusal>
        + Clone
        + Send
        + 'static
{
}

/// What one chain says of a wallet.
enum Said<T> {
    /// It has it.
    Here(T),
    /// It is on that one.
    Moved(ChainId),
    /// There is no record.
    Unknown,
}

/// Where a way ends.
enum End<T> {
    Found(T),
    /// At a chain that is not hosted here. `is_certain`: a record says that the wallet is there; else it may be.
    Elsewhere {
        at: ChainId,
        is_certain: bool,
    },
    Unknown,
    /// Where it came from: the wallet is between two chains.
    OnItsWay,
}

/// Reads of a wallet with `work`, in one moment, on the chain `asked`, or where it is. `None` where no chain here has it.
pub(crate) async fn find_wallet<T, W>(
    edge: &Edge,
    id: WalletId,
    asked: Option<u32>,
    work: W,
) -> Result<Option<T>, Refusal>
where
    T: Send + 'static,
    W: Work<T>,
{
    if let Some(asked) = asked {
        let chain = edge.chain(ChainId(asked))?;
        return match look(edge, chain, id, false, work).await? {
            Said::Here(found) => Ok(Some(found)),
            // Its home it is, but it may not have come yet.
            Said::Unknown | Said::Moved(_) => match filled_from(edge, ChainId(asked)) {
                Some(parent) if edge.wallet_homes(&id, Some(asked))?.contains(&ChainId(asked)) => {
                    Err(edge.wallet_elsewhere(parent))
                }
                _ => Ok(None),
            },
        };
    }
    let mut may_be = None;
    for home in edge.wallet_homes(&id, None)? {
        match follow(edge, home, id, work.clone()).await? {
            End::Found(found) => return Ok(Some(found)),
            End::Elsewhere { at, is_certain: true } => return Err(edge.wallet_elsewhere(at)),
            // An unhosted home is named with all others by whoever tells that there is none here.
            End::Elsewhere { at, .. } if at != home => may_be = Some(at),
            End::Elsewhere { .. } | End::Unknown => {}
            End::OnItsWay => {
                return Err(ApiError::from(ErrorCode::WalletMoving)
                    .at("id")
                    .retry_after_ms(BUSY_RETRY_MS)
                    .into());
            }
        }
    }
    may_be.map_or(Ok(None), |at| Err(edge.wallet_elsewhere(at)))
}

/// Follows a wallet from its home on.
async fn follow<T, W>(edge: &Edge, home: ChainId, id: WalletId, work: W) -> Result<End<T>, Refusal>
where
    T: Send + 'static,
    W: Work<T>,
{
    let mut looked: Vec<ChainId> = Vec::new();
    let (mut at, mut is_certain) = (home, false);
    loop {
        let parent = filled_from(edge, at);
        let said = match edge.hosted(at) {
            Some(_) if looked.contains(&at) || looked.len() > REDIRECTS_MAX => return Ok(End::OnItsWay),
            Some(chain) => {
                looked.push(at);
                look(edge, chain, id, true, work.clone()).await?
            }
            // A home that is being filled elsewhere: its parent, if that is here, knows what it still has.
            None if looked.is_empty() && parent.is_some_and(|parent| edge.hosted(parent).is_some()) => {
                Said::Unknown
            }
            None => return Ok(End::Elsewhere { at, is_certain }),
        };
        (at, is_certain) = match (said, parent) {
            (Said::Here(found), _) => return Ok(End::Found(found)),
            (Said::Moved(to), _) => (to, true),
            (Said::Unknown, Some(parent)) => (parent, false),
            (Said::Unknown, None) => return Ok(End::Unknown),
        };
    }
}

/// The parent of a chain that does not know all of its wallets yet: by the chain itself where it is here, which knows best.
fn filled_from(edge: &Edge, chain: ChainId) -> Option<ChainId> {
    let registry = edge.hosted(chain).map_or_else(|| edge.registry(), ChainHandle::registry);
    registry.chain(chain).filter(|record| record.is_filling()).and_then(ChainRecord::parent)
}

async fn look<T, W>(
    edge: &Edge,
    chain: &ChainHandle,
    id: WalletId,
    follows: bool,
    work: W,
) -> Result<Said<T>, Refusal>
where
    T: Send + 'static,
    W: Work<T>,
{
    let said = edge
        .find(&[chain], move |archive, at| {
            let Some((slot, wallet)) = record(archive, id)? else { return Ok(None) };
            Ok(Some(match wallet.status {
                WalletStatus::Moved { to } if follows => Said::Moved(to),
                _ => Said::Here(work(archive, at, slot, &wallet)?),
            }))
        })
        .await?;
    Ok(said.unwrap_or(Said::Unknown))
}

/// A wallet's slot and record on one chain.
fn record<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    id: WalletId,
) -> Result<Option<(Slot, WalletRecord)>, RowFault> {
    match archive.wallet(id)? {
        None => Ok(None),
        Some((slot, Record::Wallet(wallet))) => Ok(Some((slot, wallet))),
        // The bytes of a lock's id name no wallet.
        Some((_, Record::Lock(_) | Record::Offer(_))) => Ok(None),
        Some(_) => Err(RowFault::Missing { table: Table::Records }),
    }
}
