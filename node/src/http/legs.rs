//! The legs of a payment that go to other chains, put together from the payer's chain and, where this node hosts them, the payees'
//! chains. A receipt that was sent on, because its wallet is on another chain by now, is followed to the last chain, where its outcome
//! is, and so is a refund. Where the next chain is not hosted here, the leg says so and who hosts it: there the receipt is asked for
//! under its id (`GET /v1/transactions/{id}`), whose answer says in turn where it was sent on.

use api::client::HOPS_MAX;
use api::leg::{HopView, LegState, LegView};
use api::transaction::OutcomeView;
use chain::Leg;
use ledger::records::Rejection;
use ledger::records::receipt::receipt_id;
use ledger::values::{ChainId, Currency, Height, Money, TransactionId};

use super::edge::Edge;
use super::refusal::Refusal;

/// How far a receipt was followed.
struct Way {
    /// Where it was sent on to, in order; at most [`HOPS_MAX`].
    hops: Vec<HopView>,
    end: End,
}

/// Where the followed way ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The last chain is here and has executed it.
    Executed { code: u16, is_certified: bool },
    /// The last chain is here and it has not arrived.
    UnderWay,
    /// The last chain is not hosted here.
    Elsewhere(ChainId),
}

impl Way {
    /// The id under which the last chain files its outcome.
    fn last(&self, first: TransactionId) -> TransactionId {
        self.hops.last().map_or(first, |hop| hop.receipt)
    }

    fn elsewhere(&self) -> Option<ChainId> {
        match self.end {
            End::Elsewhere(chain) => Some(chain),
            End::Executed { .. } | End::UnderWay => None,
        }
    }
}

/// Where each payee on another chain stands. Reads the payer's chain, then for each leg the chains on its way.
pub(crate) async fn legs(
    edge: &Edge,
    source: ChainId,
    id: TransactionId,
    height: Height,
) -> Result<Vec<LegView>, Refusal> {
    let chain = edge.chain(source)?;
    let legs = edge.read(chain, move |archive| Ok(archive.legs(id, height)?)).await?;
    let is_debit_certified = chain.now().chain.certified_height >= height;
    let mut views = Vec::with_capacity(legs.len());
    for leg in legs {
        views.push(view(edge, (source, chain.spec.currency), leg, is_debit_certified).await?);
    }
    Ok(views)
}

/// Where a receipt was sent on by the chain that executed it at a height; `None` where it was not.
pub(crate) async fn sent_on(
    edge: &Edge,
    at: ChainId,
    receipt: TransactionId,
    height: Height,
) -> Result<Option<HopView>, Refusal> {
    let genesis = edge.genesis();
    let found =
        edge.read(edge.chain(at)?, move |archive| Ok(archive.sent_on(genesis, receipt, height)?)).await?;
    Ok(found.map(|(to, sequence)| HopView { chain: to.0, receipt: receipt_id(genesis, at, to, sequence) }))
}

async fn view(
    edge: &Edge,
    (source, currency): (ChainId, Currency),
    leg: Leg,
    is_debit_certified: bool,
) -> Result<LegView, Refusal> {
    let genesis = edge.genesis();
    let receipt = leg.credit_id(genesis, source);
    let refund = leg.refund_id(genesis, source);
    let there = follow(edge, leg.destination, receipt).await?;
    let back = match refund {
        Some(refund) => Some((refund, follow(edge, source, refund).await?)),
        None => None,
    };
    let refusal = match there.end {
        End::Executed { code, .. } if code != 0 => Some(OutcomeView::from_code(code)),
        _ => None,
    };
    // What came back is the leg's end, or will be: then it is what is followed.
    let (followed, first, done) = match &back {
        Some((refund, back)) => (back, *refund, LegState::Refunded),
        None => (&there, receipt, LegState::Credited),
    };
    let (status, is_certified) = match followed.end {
        // A refund is never refused, so its code is none, or that of a wallet that nobody has: money that the chain keeps.
        End::Executed { code, is_certified } if code == 0 || done == LegState::Refunded => {
            (done, is_certified)
        }
        _ => (LegState::Debited, is_debit_certified),
    };
    let is_over = is_certified && status != LegState::Debited;
    let proof = is_over.then(|| api::path::transaction_proof(followed.last(first)));
    let ask = followed.elsewhere().map(|chain| edge.hosts(chain));
    let money = Money { amount: leg.amount, currency };
    Ok(LegView {
        status,
        is_certified,
        sent_on: there.hops,
        refund,
        refund_sent_on: back.map(|(_, back)| back.hops).unwrap_or_default(),
        refusal,
        ask,
        proof,
        ..LegView::debited(leg.part, leg.payee, money, leg.destination, receipt)
    })
}

/// Follows a receipt from the chain that it was sent to first.
async fn follow(edge: &Edge, first: ChainId, receipt: TransactionId) -> Result<Way, Refusal> {
    let (mut at, mut id, mut hops) = (first, receipt, Vec::new());
    loop {
        let Some(chain) = edge.hosted(at) else { return Ok(Way { hops, end: End::Elsewhere(at) }) };
        let certified = chain.now().chain.certified_height;
        let located = edge.read(chain, move |archive| Ok(archive.locate(id)?)).await?;
        let Some(located) = located else { return Ok(Way { hops, end: End::UnderWay }) };
        let (code, height) = (located.outcome.code, located.height);
        let hop = match code == Rejection::SentOn.code() && hops.len() < HOPS_MAX {
            true => sent_on(edge, at, id, height).await?,
            false => None,
        };
        let Some(hop) = hop else {
            let is_sent_on = code == Rejection::SentOn.code();
            let is_certified = height <= certified;
            let end = if is_sent_on { End::UnderWay } else { End::Executed { code, is_certified } };
            return Ok(Way { hops, end });
        };
        (at, id) = (ChainId(hop.chain), hop.receipt);
        hops.push(hop);
    }
}
