//! The legs of a payment that go to other chains, put together from the payer's chain and, where this node hosts them, the payees'
//! chains.

use api::transaction::{LegState, LegView, OutcomeView};
use chain::Leg;
use ledger::records::ChainSpec;
use ledger::values::{ChainId, Height, TransactionId};

use super::edge::Edge;
use super::refusal::Refusal;

/// What a chain says of a receipt.
#[derive(Clone, Copy)]
struct Found {
    code: u16,
    is_certified: bool,
}

/// Where each payee on another chain stands. Reads the payer's chain, then for each leg its destination.
pub(crate) async fn legs(
    edge: &Edge,
    source: ChainId,
    id: TransactionId,
    height: Height,
) -> Result<Vec<LegView>, Refusal> {
    let chain = edge.chain(source)?;
    let legs = edge.read(chain, move |archive| Ok(archive.legs(id, height)?)).await?;
    let is_debit_certified = chain.status.borrow().chain.certified_height >= height;
    let mut views = Vec::with_capacity(legs.len());
    for leg in legs {
        views.push(view(edge, &chain.spec, leg, is_debit_certified).await?);
    }
    Ok(views)
}

async fn view(
    edge: &Edge,
    payer_chain: &ChainSpec,
    leg: Leg,
    is_debit_certified: bool,
) -> Result<LegView, Refusal> {
    let (genesis, source) = (edge.genesis(), payer_chain.chain);
    let receipt = leg.credit_id(genesis, source);
    let refund = leg.refund_id(genesis, source);
    let there = find(edge, leg.destination, receipt).await?;
    let back = match refund {
        Some(refund) => find(edge, source, refund).await?,
        None => None,
    };
    let (status, is_certified, proved) = match (there, back) {
        (_, Some(back)) => (LegState::Refunded, back.is_certified, refund),
        (Some(there), None) if there.code == 0 => (LegState::Credited, there.is_certified, Some(receipt)),
        _ => (LegState::Debited, is_debit_certified, None),
    };
    Ok(LegView {
        part: leg.part,
        payee: leg.payee,
        amount_fen: leg.amount.fen(),
        currency: payer_chain.currency,
        chain: leg.destination.0,
        status,
        is_certified,
        receipt,
        refund,
        refusal: there.filter(|there| there.code != 0).map(|there| OutcomeView::from_code(there.code)),
        proof: proved.filter(|_| is_certified).map(api::path::transaction_proof),
    })
}

/// What a hosted chain made of a receipt; `None` where it did not arrive, or where this node does not host the chain.
async fn find(edge: &Edge, chain: ChainId, receipt: TransactionId) -> Result<Option<Found>, Refusal> {
    let Some(chain) = edge.hosted(chain) else { return Ok(None) };
    let certified = chain.status.borrow().chain.certified_height;
    let located = edge.read(chain, move |archive| Ok(archive.locate(receipt)?)).await?;
    Ok(located.map(|located| Found { code: located.outcome.code, is_certified: located.height <= certified }))
}
