//! Four banks under sustained load answer their operators all the time. A thread that waits for ever, such as for a lock that it holds itself,
//! soon holds all threads that answer: so every bank is asked whether it lives, and what it shows of its state, by many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::transaction::SubmitStatus;
use api::{Client, ClientConfig};
use ledger::records::{Nonce, Transaction};
use ledger::values::{ChainId, WalletId};
use system::{Cluster, Payer, pay};
use tokio::task::JoinHandle;

/// Longest answer, also beside compilers: whoever waits for ever never answers.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Pause between two questions of one who asks.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Who ask each bank for its state at the same time.
const WATCHERS: usize = 2;
/// Fewest answers that each bank must have given meanwhile: the load lasts at least four seconds.
const ANSWERS_MIN: u64 = 20;
/// Payments of each bank: in every lane of its wallet so many, below the window of nonces.
const PER_LANE: u64 = 100;
const LANES: u16 = 4;
/// Payments that a bank sends at a time, and the pause between two times.
const AT_ONCE: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time for everything that was sent.
const WAIT: Duration = Duration::from_secs(120);
const ROOT: ChainId = ChainId(0);

/// What is asked of a bank.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Alive,
    State,
}

/// Asks a bank again and again until `stop`; gives how often it answered, and the longest time that it took.
fn watch(client: Client, bank: usize, asked: Asked, stop: Arc<AtomicBool>) -> JoinHandle<(u64, Duration)> {
    tokio::spawn(async move {
        let (mut answers, mut longest) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let started = Instant::now();
            match asked {
                Asked::Alive => assert!(client.health().await.unwrap().is_alive, "bank {bank}"),
                Asked::State => {
                    let ready = client.ready().await.unwrap_or_else(|fault| panic!("bank {bank}: {fault}"));
                    assert!(!ready.chains.is_empty(), "bank {bank}");
                    let metrics = client.metrics().await;
                    metrics.unwrap_or_else(|fault| panic!("bank {bank}: {fault}"));
                    let chain = client.chain(ROOT).await;
                    chain.unwrap_or_else(|fault| panic!("bank {bank}: {fault}"));
                }
            }
            answers += 1;
            longest = longest.max(started.elapsed());
            tokio::time::sleep(ASK_AGAIN).await;
        }
        (answers, longest)
    })
}

/// One fen each, in turns through the lanes.
fn payments(payer: &Payer, to: WalletId) -> Vec<Transaction> {
    let places = (1..=PER_LANE).flat_map(|sequence| (0..LANES).map(move |lane| Nonce { lane, sequence }));
    let signed = |nonce: Nonce| {
        let mut content = payer.sign(nonce.sequence, pay(&[(to, 1)])).content;
        content.nonce = nonce;
        content.signed_by(payer.genesis, &payer.key)
    };
    places.map(signed).collect()
}

/// Sends a bank's payments some at a time; what finds no place yet is sent again.
async fn load(client: Client, payments: Vec<Transaction>) {
    let end = Instant::now() + WAIT;
    for some in payments.chunks(AT_ONCE) {
        loop {
            let answers = client.submit_bulk(some).await.unwrap();
            let refused = answers.iter().find(|answer| answer.status == SubmitStatus::Refused);
            let Some(refused) = refused.and_then(api::bulk::BulkAnswer::error) else { break };
            assert!(refused.is_transient && Instant::now() < end, "{refused}");
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_under_load_answer_all_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    cluster.spawn_ready(0..4).await;
    let operators = cluster.localnet.banks.iter().map(|bank| &bank.operator);
    let banks: Vec<Payer> = operators
        .map(|operator| Payer::operator(&cluster.localnet, operator.id, &operator.wallet_key))
        .collect();
    let total = PER_LANE * u64::from(LANES);
    cluster.issue_first(ROOT, banks[0].wallet, 4 * total).await;
    let shares: Vec<(WalletId, u64)> = banks[1..].iter().map(|bank| (bank.wallet, total)).collect();
    // A lane of its own: the four others are for the load.
    let mut first = banks[0].sign(1, pay(&shares)).content;
    first.nonce.lane = LANES;
    cluster.certify(0, &first.signed_by(banks[0].genesis, &banks[0].key)).await;

    let stop = Arc::<AtomicBool>::default();
    let mut watches = Vec::new();
    for bank in 0..4 {
        let config = ClientConfig { timeout: ANSWER_MAX, ..ClientConfig::new(&cluster.url(bank)) };
        let client = Client::new(&config).unwrap();
        let asked = std::iter::repeat_n(Asked::State, WATCHERS).chain([Asked::Alive]);
        watches
            .extend(asked.map(|asked| (bank, asked, watch(client.clone(), bank, asked, Arc::clone(&stop)))));
    }
    // Everybody pays the next one, so that all wallets are written all the time.
    let all: Vec<Vec<Transaction>> =
        (0..4).map(|bank| payments(&banks[bank], banks[(bank + 1) % 4].wallet)).collect();
    let loads: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(bank, payments)| tokio::spawn(load(cluster.client(bank), payments.clone())))
        .collect();
    for load in loads {
        load.await.unwrap_or_else(|fault| panic!("{fault}\n{}", cluster.logs()));
    }
    let (client, genesis) = (cluster.client(3), banks[0].genesis);
    for payment in all.iter().flatten() {
        let status = client.wait_certified(payment.id(genesis), WAIT).await;
        let status = status.unwrap_or_else(|fault| panic!("{fault}\n{}", cluster.logs()));
        assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
    }
    stop.store(true, Ordering::Relaxed);
    for (bank, asked, watch) in watches {
        let watched = watch.await;
        let (answers, longest) = watched.unwrap_or_else(|fault| panic!("{fault}\n{}", cluster.logs()));
        println!("bank {bank}, {asked:?}: {answers} answers, the longest took {longest:?}");
        assert!(answers >= ANSWERS_MIN, "bank {bank}, {asked:?}: {answers} answers");
    }
    for bank in &banks {
        // Each has paid and was paid as much.
        assert_eq!(client.wallet(bank.wallet, None).await.unwrap().balance_fen, total);
    }
    cluster.terminate_all().await;
}
