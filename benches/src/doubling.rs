//! The shards of CNY double while clients outside pay: what the chains were before and after, and a payment to a wallet that moved.

use std::path::Path;
use std::time::{Duration, Instant};

use api::leg::LegState;
use api::transaction::WaitFor;
use ledger::records::{Growth, Operation, Payment};
use ledger::values::{Amount, ChainId, Currency, TransactionId, WalletId};
use system::growing::{Pair, add_children, double, wait_growth};
use system::{Cluster, Outside, Paid, Purse};

use crate::population::Population;
use crate::standing::drain;

/// Wallets that pay meanwhile, and clients that sign for them.
const PURSES: usize = 64;
const CLIENTS: usize = 8;
/// Payments that must be certified after each step.
const PAYMENTS: u64 = 20;
/// Longest wait for anything.
const WAIT: Duration = Duration::from_secs(90);

/// A chain at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) chain: ChainId,
    records: u64,
    issued_fen: u64,
    holdings_fen: u64,
    pub(crate) state_root: String,
}

/// What happened.
pub(crate) struct Doubled {
    pub(crate) pairs: Vec<Pair>,
    /// The parents before the doubling, the children when they reported that they run.
    pub(crate) before: Vec<Look>,
    /// All of them afterwards, when nothing was under way.
    pub(crate) after: Vec<Look>,
    /// From the proposal that doubles to the last child's report.
    pub(crate) took: Duration,
    pub(crate) paid: Paid,
    /// A receipt for a wallet that moved, and the chain where it was executed.
    pub(crate) credit: (TransactionId, ChainId),
}

impl Doubled {
    /// Wallets that a child was told of.
    pub(crate) fn moved(&self, pair: &Pair) -> u64 {
        let records = |looks: &[Look]| look(looks, pair.child).records;
        records(&self.after) - records(&self.before)
    }

    /// What was issued on all chains, and what they hold.
    pub(crate) fn supply_fen(&self) -> (u64, u64) {
        let sum = |part: fn(&Look) -> u64| self.after.iter().map(part).sum();
        (sum(|look| look.issued_fen), sum(|look| look.holdings_fen))
    }
}

/// One of the looks.
pub(crate) fn look(looks: &[Look], chain: ChainId) -> &Look {
    looks.iter().find(|look| look.chain == chain).unwrap()
}

/// Doubles the shards of a currency under payments.
pub(crate) async fn doubling(
    cluster: &mut Cluster,
    population: &Population,
    currency: Currency,
    jiaozi: &Path,
) -> Doubled {
    let purses = population.purses(currency, PURSES);
    let payees: Vec<WalletId> = purses.iter().map(|purse| purse.payer.wallet).collect();
    let load = Outside::start(&[cluster.client(0), cluster.client(1)], purses, &payees, CLIENTS);
    let pairs = add_children(cluster, currency, jiaozi).await;
    let chains: Vec<ChainId> = pairs.iter().flat_map(|pair| [pair.parent, pair.child]).collect();
    load.goes_on(PAYMENTS, "with children that are ready").await;
    let (before, started) = (looks(cluster, &chains).await, Instant::now());
    double(cluster, currency).await;
    wait_growth(cluster, 0, &pairs, Growth::Grown).await;
    let took = started.elapsed();
    load.goes_on(PAYMENTS, "with twice as many shards").await;
    let (paid, purses) = load.stop().await;
    let credit = payment_to_a_moved_wallet(cluster, &pairs, purses).await;
    drain(cluster, WAIT).await;
    let after = looks(cluster, &chains).await;
    Doubled { pairs, before, after, took, paid, credit }
}

async fn looks(cluster: &Cluster, chains: &[ChainId]) -> Vec<Look> {
    let (client, mut looks) = (cluster.client(0), Vec::new());
    for chain in chains {
        let progress = client.chain(*chain).await.unwrap().progress.unwrap();
        looks.push(Look {
            chain: *chain,
            records: progress.records,
            issued_fen: progress.supply.issued_fen,
            holdings_fen: progress.supply.holdings_fen,
            state_root: progress.state_root.to_string(),
        });
    }
    looks
}

/// Who stayed on a parent pays somebody who has moved to the other one's child.
async fn payment_to_a_moved_wallet(
    cluster: &Cluster,
    pairs: &[Pair],
    mut purses: Vec<Purse>,
) -> (TransactionId, ChainId) {
    let client = cluster.client(1);
    for purse in &mut purses {
        // A client that has not paid since still believes that its wallet is where it was.
        let view = client.wallet(purse.payer.wallet, None).await.unwrap();
        purse.chain = ChainId(view.moved_to.unwrap_or(view.chain));
    }
    let (payer_at, payee_at) = (pairs[0].parent, pairs[pairs.len() - 1].child);
    let on = |chain: ChainId| purses.iter().find(|purse| purse.chain == chain).unwrap();
    let (payer, payee) = (on(payer_at), on(payee_at).payer.wallet);
    let payments = vec![Payment { payee, amount: Amount::from_fen(12_345) }];
    let payment = payer.payer.sign_on(payer_at, payer.sequence + 1, Operation::Pay { payments });
    client.submit(&payment).await.unwrap();
    let status = client.wait_for(payment.id(payer.payer.genesis), WaitFor::Settled, WAIT).await.unwrap();
    let [leg] = status.legs.as_slice() else { panic!("one payee on another shard: {status:?}") };
    assert_eq!((leg.status, leg.chain), (LegState::Credited, payee_at.0), "{status:?}");
    (leg.receipt, payee_at)
}
