//! The demonstration's flood: customers of one bank pay about twice as much as a chain's target takes, while customers of another bank pay
//! urgently. The base fee rises, the urgent payments are in time, and the base fee returns to zero.

use std::time::{Duration, Instant};

use api::transaction::WaitFor;
use api::{Client, SubmitStatus};
use genesis::governance::Draft;
use ledger::records::{FeeBid, Transaction};
use ledger::rules::transaction_weight;
use ledger::values::{Amount, Canonical as _, ChainId, FeeRate, Height};
use system::Cluster;
use system::growing::{govern, registry};

use crate::open_loop::OpenLoop;
use crate::population::{Population, Signed};
use crate::standing::{Standing, drain};

/// Whose customers flood the chain, and whose pay urgently; each bank takes its own customers' payments.
const FLOODING: usize = 0;
const URGENT: usize = 1;
/// Payments of a block that weigh as much as the target.
const TARGET_PAYMENTS: u64 = 64;
/// Payments of the flood, and how many a second: with some eight blocks a second twice what the target takes.
const FLOOD: usize = 6_000;
const FLOOD_PER_SECOND: u64 = 1_000;
/// What a payment of the flood may cost, so that the flood ends by itself where it does not want to pay more.
const FLOOD_FEE_MAX: Amount = Amount::from_fen(50);
/// Urgent payments, and the pause between two of them.
const PAYMENTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(150);
/// Bids of one urgent payment until it is taken in.
const BIDS_MAX: usize = 20;
/// Within this time 95 of 100 urgent payments are to be certified; the demonstration says whether they were.
pub(crate) const URGENT_GOAL: Duration = Duration::from_secs(2);
/// And within this one they must be, on the slowest machine: all banks, the flood and the payers share it.
const URGENT_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for anything else.
const WAIT: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What happened.
pub(crate) struct Flooded {
    pub(crate) chain: ChainId,
    /// The target, in weight.
    pub(crate) target: u64,
    /// Payments of the flood that were taken in.
    pub(crate) accepted: u64,
    /// The highest base fee, and what it made of a payment.
    pub(crate) highest: FeeRate,
    pub(crate) highest_due: Amount,
    /// The heights of the flood, until the base fee was zero again.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// How long urgent payments took to be certified, ascending, and the most that one of them cost.
    pub(crate) urgent: Vec<Duration>,
    pub(crate) urgent_fee_max: Amount,
    /// From the end of the flood until the base fee was zero.
    pub(crate) to_zero: Duration,
}

impl Flooded {
    pub(crate) const fn offered() -> usize {
        FLOOD
    }

    pub(crate) const fn per_second() -> u64 {
        FLOOD_PER_SECOND
    }

    /// The time within which 95 of 100 urgent payments were certified.
    pub(crate) fn p95(&self) -> Duration {
        self.urgent[(self.urgent.len() * 95).div_ceil(100) - 1]
    }
}

/// Floods a chain under a small target.
pub(crate) async fn flood(cluster: &Cluster, population: &mut Population, chain: ChainId) -> Flooded {
    let banks = cluster.localnet.banks.len();
    let flooding = population.customers(chain, FLOODING, banks);
    let paying = population.customers(chain, URGENT, banks);
    let fee = FeeBid { fee_max: FLOOD_FEE_MAX, ..FeeBid::default() };
    let payments = population.payments_among(&flooding, FLOOD, &fee);
    let weight = transaction_weight(&Transaction::decode(&payments[0].bytes).unwrap());
    let target = TARGET_PAYMENTS * weight;
    set_target(cluster, chain, target).await;

    let from = Standing::of(cluster, 0).await.height(chain);
    let open_loop = OpenLoop { cluster, banks: &[FLOODING], rate: FLOOD_PER_SECOND, payments: &payments };
    let (accepted, (mut urgent, urgent_fee_max)) =
        tokio::join!(open_loop.post(Instant::now()), pay_urgently(cluster, population, &paying, weight));
    let ended = Instant::now();
    drain(cluster, WAIT).await;
    let to_zero = wait_for_zero(cluster, chain, ended).await;
    let to = Standing::of(cluster, 0).await.height(chain);

    let highest = highest(&cluster.client(0), chain, from, to).await;
    let highest_due = highest.due(weight);
    assert!(highest_due > Amount::ZERO, "the flood must cost something: {highest} a unit of weight");
    urgent.sort_unstable();
    let done =
        Flooded { chain, target, accepted, highest, highest_due, from, to, urgent, urgent_fee_max, to_zero };
    let p95 = done.p95();
    assert!(p95 < URGENT_WITHIN, "95 of 100 urgent payments took up to {p95:?}, all: {:?}", done.urgent);
    done
}

/// All banks approve the target, and the chain hears of it.
async fn set_target(cluster: &Cluster, chain: ChainId, target: u64) {
    let mut draft = Draft::new(registry(cluster, 0).await);
    draft.set_param(chain, "weight_target", &target.to_string()).unwrap();
    govern(cluster, draft, WaitFor::Certified).await;
    let (client, end) = (cluster.client(0), Instant::now() + WAIT);
    while client.fee_history(chain, None, Some(1)).await.unwrap().weight_target != target {
        assert!(Instant::now() < end, "chain {chain} does not hear of its target");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Pays for one customer after the other, each by an urgent estimate of the moment, and takes the time from before the estimate to the
/// certificate. Gives all times, and the most that was charged.
async fn pay_urgently(
    cluster: &Cluster,
    population: &mut Population,
    customers: &[usize],
    weight: u64,
) -> (Vec<Duration>, Amount) {
    let client = cluster.client(URGENT);
    let mut waits = tokio::task::JoinSet::new();
    let mut ticker = tokio::time::interval(PAUSE);
    for turn in 0..PAYMENTS {
        ticker.tick().await;
        let started = Instant::now();
        let payment = taken_in(&client, population, customers, turn, weight).await;
        let client = client.clone();
        waits.spawn(async move {
            let status = client.wait_for(payment.id, WaitFor::Certified, WAIT).await.unwrap();
            let took = started.elapsed();
            assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
            (took, Amount::from_fen(status.fee_fen.unwrap_or_default()))
        });
    }
    let done = waits.join_all().await;
    let most = done.iter().map(|(_, fee)| *fee).max().unwrap();
    (done.into_iter().map(|(took, _)| took).collect(), most)
}

/// A payment that the bank has taken in: one that bids too little by then bids anew under the same nonce.
async fn taken_in(
    client: &Client,
    population: &mut Population,
    customers: &[usize],
    turn: usize,
    weight: u64,
) -> Signed {
    let chain = population.take_nonce(customers[turn % customers.len()]);
    let mut refused = None;
    for _bid in 0..BIDS_MAX {
        let urgent = client.fee_estimate(chain, weight).await.unwrap().urgent;
        let [fee_max, tip] = [urgent.fee_max_fen, urgent.tip_fen].map(Amount::from_fen);
        let fee = FeeBid { fee_max, tip, ..FeeBid::default() };
        let payment = population.payment_among(customers, turn, &fee);
        let transaction = Transaction::decode(&payment.bytes).unwrap();
        match client.submit(&transaction).await {
            Ok(answer) if answer.status != SubmitStatus::Refused => return payment,
            Ok(answer) => refused = answer.error,
            Err(api::ClientError::Refused(error)) => refused = Some(error),
            Err(fault) => panic!("an urgent payment was not taken in: {fault}"),
        }
        // Too little by now, or the node is busy.
        assert!(refused.as_ref().is_some_and(|error| error.is_transient), "{refused:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    panic!("an urgent payment was refused {BIDS_MAX} times: {refused:?}");
}

async fn wait_for_zero(cluster: &Cluster, chain: ChainId, since: Instant) -> Duration {
    let client = cluster.client(0);
    while client.fee_history(chain, None, Some(1)).await.unwrap().next_base_fee_micro_fen != 0 {
        assert!(since.elapsed() < WAIT, "the base fee of chain {chain} does not return to zero");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    since.elapsed()
}

/// The highest base fee of these blocks.
async fn highest(client: &Client, chain: ChainId, from: u64, to: u64) -> FeeRate {
    let limit = u32::try_from(to - from + 1).unwrap().min(1_024);
    let history = client.fee_history(chain, Some(Height(from)), Some(limit)).await.unwrap();
    let rates = history.blocks.iter().map(|block| block.base_fee_micro_fen);
    FeeRate::from_micro_fen(rates.max().unwrap_or_default())
}
