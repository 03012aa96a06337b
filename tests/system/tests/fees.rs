//! A fee market over real processes. One bank's customers flood the network: a place costs more from block to block, the payments of another
//! bank's customers become final all the same, for what they bid and no more, and after the flood a place costs nothing again. All
//! banks show the same prices, and the auditor comes to the same result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::transaction::TransactionStatus;
use api::{Client, ErrorCode};
use ledger::records::{
    ChainParams, FeeBid, FeeParams, Nonce, Operation, Policy, Sponsor, Tier, Transaction, WalletOpening,
};
use ledger::rules::{next_base_fee, transaction_weight};
use ledger::values::{Amount, ChainId, Currency, FeeRate, GenesisHash, Height, SecretKey, WalletId};
use system::{Cluster, Payer, pay};
use tokio::task::JoinHandle;

const ROOT: ChainId = ChainId(0);
const CNY: Currency = Currency(*b"CNY");
/// Longest wait for what must happen, also beside compilers.
const WAIT: Duration = Duration::from_secs(120);
/// No payment of the other bank's customers waits longer for its certificate, whatever the flood.
const PAYMENT_MAX: Duration = Duration::from_secs(15);

/// Blocks of some ten payments, and steps that can be seen: one fen and a half for a payment.
const TARGET: u64 = 10_000;
const STEP_MIN: FeeRate = FeeRate::from_micro_fen(2_000);
const RATE_MAX: FeeRate = FeeRate::from_micro_fen(200_000);
/// The flood goes on until a place costs as much.
const RISEN: FeeRate = FeeRate::from_micro_fen(20_000);

/// The bank whose customers flood, and the one whose customers only pay.
const LOUD: usize = 0;
const QUIET: usize = 2;
/// Customers that flood, and what each may spend.
const FLOODERS: u64 = 6;
const FLOODER_FEN: u64 = 2_000_000;
/// Payees of one transaction of theirs.
const PAYEES: usize = 32;
/// Lanes of a customer's wallet.
const LANES: u16 = 4;
/// Pause between two waves of the flood, one transaction of each customer: each wave is twice the target.
const WAVE: Duration = Duration::from_millis(70);
/// What flooders bid, and who only pays: more than they ever owe.
const FLOOD_BID: Amount = Amount::from_fen(5_000);
const BID: Amount = Amount::from_fen(500);
/// What each customer of the quiet bank has.
const QUIET_FEN: u64 = 100_000;

/// More than a payment ever costs, at the highest price.
const ONE_FEE_FEN: u64 = 500;

/// Four banks as processes, and the customers of two of them.
struct Town {
    cluster: Cluster,
    banks: Vec<Payer>,
    flooders: Vec<Payer>,
    /// Two that pay each other, one that has too little for fees, and one that has enough for one.
    quiet: Vec<Payer>,
    _directory: tempfile::TempDir,
}

impl Town {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let defaults = ChainParams::default();
        let fees =
            FeeParams { weight_target: TARGET, step_min: STEP_MIN, rate_max: RATE_MAX, ..defaults.fees };
        let params = ChainParams { fees, ..defaults };
        let mut cluster = Cluster::create_with(directory.path(), 4, params);
        cluster.spawn_ready(0..4).await;
        let operators = cluster.localnet.banks.iter().map(|bank| &bank.operator);
        let banks: Vec<Payer> = operators
            .map(|operator| Payer::operator(&cluster.localnet, operator.id, &operator.wallet_key))
            .collect();
        let mut town =
            Self { cluster, banks, flooders: Vec::new(), quiet: Vec::new(), _directory: directory };
        let central = &town.cluster.localnet.central_bank;
        let central = Payer::operator(&town.cluster.localnet, central.id, &central.wallet_key);
        let money = [(LOUD, FLOODERS * FLOODER_FEN), (QUIET, 10 * QUIET_FEN)];
        for (sequence, (bank, fen)) in (1..).zip(money) {
            let issue = Operation::Issue { to: town.banks[bank].wallet, amount: Amount::from_fen(fen) };
            town.cluster.certify(0, &central.sign(sequence, issue)).await;
        }
        town.flooders = town.open(LOUD, &[FLOODER_FEN; FLOODERS as usize]).await;
        town.quiet = town.open(QUIET, &[QUIET_FEN, QUIET_FEN, 10, 2 * ONE_FEE_FEN]).await;
        town
    }

    /// A bank opens wallets and gives each so much: light enough to cost nothing.
    async fn open(&self, bank: usize, fen: &[u64]) -> Vec<Payer> {
        let payer = &self.banks[bank];
        let customer = |number: usize| {
            let key = SecretKey::from_seed([100 + 20 * bank as u8 + number as u8; 32]);
            let policy = Policy::single(key.public_key()).hash();
            let wallet = WalletId::derive(payer.genesis, CNY, policy, &[0; 16]);
            Payer { genesis: payer.genesis, wallet, key }
        };
        let customers: Vec<Payer> = (0..fen.len()).map(customer).collect();
        let opening = |customer: &Payer| WalletOpening {
            policy: Policy::single(customer.key.public_key()).hash(),
            salt: [0; 16],
            tier: Tier::One,
        };
        let wallets = customers.iter().map(opening).collect();
        self.cluster.certify(bank, &payer.sign(1, Operation::OpenWallets { wallets })).await;
        let gifts: Vec<(WalletId, u64)> =
            customers.iter().map(|customer| customer.wallet).zip(fen.iter().copied()).collect();
        self.cluster.certify(bank, &payer.sign(2, pay(&gifts))).await;
        customers
    }

    /// What a unit of weight costs in the next block, as a bank shows it.
    async fn base_fee(&self, bank: usize) -> FeeRate {
        let history = self.cluster.client(bank).fee_history(ROOT, None, Some(1)).await.unwrap();
        FeeRate::from_micro_fen(history.next_base_fee_micro_fen)
    }

    /// Waits until a bank shows a base fee that is as wanted.
    async fn wait_base_fee(&self, bank: usize, what: &str, is_it: impl Fn(FeeRate) -> bool) -> FeeRate {
        let end = Instant::now() + WAIT;
        loop {
            let rate = self.base_fee(bank).await;
            if is_it(rate) {
                return rate;
            }
            assert!(Instant::now() < end, "bank {bank}: {rate}, never {what}\n{}", self.cluster.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Signs with a bid, on any lane.
fn bid(payer: &Payer, nonce: Nonce, fee_max: Amount, operation: Operation) -> Transaction {
    let mut content = payer.sign(nonce.sequence, operation).content;
    content.nonce = nonce;
    content.fee.fee_max = fee_max;
    content.signed_by(payer.genesis, &payer.key)
}

/// Waves of large payments at one bank until `stop`; gives how many were sent. What finds no place is not sent again.
fn flood(client: Client, flooders: Vec<Payer>, payee: WalletId, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let (mut sent, payments) = (0, pay(&[(payee, 1); PAYEES]));
        let waves = (1..).flat_map(|sequence| (0..LANES).map(move |lane| Nonce { lane, sequence }));
        for nonce in waves {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let wave: Vec<Transaction> =
                flooders.iter().map(|payer| bid(payer, nonce, FLOOD_BID, payments.clone())).collect();
            sent += wave.len();
            // A busy bank may refuse them all.
            let _busy = client.submit_bulk(&wave).await.is_err();
            tokio::time::sleep(WAVE).await;
        }
        sent
    })
}

/// What the customers of the quiet bank have seen.
#[derive(Debug, Default)]
struct Seen {
    payments: u64,
    fees_fen: u64,
    longest: Duration,
}

/// One customer pays the other, one payment after the other, until `stop`.
fn pay_quietly(client: Client, payer: Payer, payee: WalletId, stop: Arc<AtomicBool>) -> JoinHandle<Seen> {
    tokio::spawn(async move {
        let mut seen = Seen::default();
        for sequence in 1.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let payment = bid(&payer, Nonce { lane: 0, sequence }, BID, pay(&[(payee, 1)]));
            let started = Instant::now();
            let status = certified(&client, &payment, payer.genesis).await;
            let (fee, took) = (status.fee_fen.unwrap(), started.elapsed());
            assert!(fee <= RATE_MAX.due(transaction_weight(&payment)).fen(), "{status:?}");
            seen.payments += 1;
            seen.fees_fen += fee;
            seen.longest = seen.longest.max(took);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        seen
    })
}

/// Sends a payment and waits until its bank shows under a certificate that it was applied.
async fn certified(client: &Client, payment: &Transaction, genesis: GenesisHash) -> TransactionStatus {
    client.submit(payment).await.unwrap();
    let status = client.wait_certified(payment.id(genesis), WAIT).await.unwrap();
    assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
    status
}

/// Who has nothing to spare pays; the bank pays what it costs.
async fn the_bank_pays_for_its_customer(town: &Town) {
    let (client, bank) = (town.cluster.client(QUIET), &town.banks[QUIET]);
    let [payee, _, poor, _] = town.quiet.as_slice() else { panic!("four customers") };
    let mut content = poor.sign(1, pay(&[(payee.wallet, 4)])).content;
    let sponsor = Sponsor { wallet: bank.wallet, policy: Policy::single(bank.key.public_key()) };
    content.fee = FeeBid { fee_max: BID, sponsor: Some(sponsor), ..FeeBid::default() };
    let sponsor_signatures = vec![content.sign_as_sponsor(bank.genesis, 0, &bank.key)];
    let payment = Transaction { sponsor_signatures, ..content.signed_by(poor.genesis, &poor.key) };
    let before = client.wallet(bank.wallet, None).await.unwrap().balance_fen;
    let fee = certified(&client, &payment, bank.genesis).await.fee_fen.unwrap();
    let after = client.wallet(bank.wallet, None).await.unwrap().balance_fen;
    assert!(fee > 0 && after + fee == before, "{before} {after} {fee}");
    assert_eq!(client.wallet(poor.wallet, None).await.unwrap().balance_fen, 6);
}

/// Who has money for one fee sends many payments, and the first spends the rest: one is taken in, and none is left to the bank.
async fn a_fee_is_promised_once(town: &Town) {
    let [payee, _, _, payer] = town.quiet.as_slice() else { panic!("four customers") };
    let one = |sequence: u64, fen: u64| {
        bid(payer, Nonce { lane: 0, sequence }, Amount::from_fen(ONE_FEE_FEN), pay(&[(payee.wallet, fen)]))
    };
    let all: Vec<Transaction> = (1..=40).map(|sequence| one(sequence, ONE_FEE_FEN)).collect();
    let client = town.cluster.client(QUIET);
    let answers = client.submit_bulk(&all).await.unwrap();
    let codes: Vec<u32> = answers.iter().map(|answer| answer.code).collect();
    assert_eq!(codes[0], 0);
    assert!(codes[1..].iter().all(|code| *code == ErrorCode::FeePromised.code()), "{codes:?}");
    let status = client.wait_certified(all[0].id(payer.genesis), WAIT).await.unwrap();
    assert!(status.outcome.is_some_and(|outcome| outcome.is_applied));
}

/// An urgent estimate is enough for the next block. (The others may wait for a lower price.)
async fn estimates(town: &Town, bank: usize) -> FeeRate {
    let [payer, payee, ..] = town.quiet.as_slice() else { panic!("four customers") };
    let payment = bid(payer, Nonce { lane: 0, sequence: 1 }, BID, pay(&[(payee.wallet, 1)]));
    let weight = transaction_weight(&payment);
    let estimates = town.cluster.client(bank).fee_estimate(ROOT, weight).await.unwrap();
    let base_fee = FeeRate::from_micro_fen(estimates.base_fee_micro_fen);
    assert!(estimates.urgent.fee_max_fen >= base_fee.due(weight).fen(), "{estimates:?}");
    base_fee
}

/// All banks show the same blocks, and the price of each follows from the one before.
async fn histories_agree(town: &Town) {
    let fees = town.cluster.localnet.spec.chains[0].params.fees;
    let mut histories = Vec::new();
    for bank in 0..4 {
        let client = town.cluster.client(bank);
        let history = client.fee_history(ROOT, Some(Height(1)), Some(1_024)).await.unwrap();
        assert_eq!((history.weight_target, history.next_base_fee_micro_fen), (TARGET, 0), "bank {bank}");
        histories.push(history.blocks);
    }
    let common = histories.iter().map(Vec::len).min().unwrap();
    let first = &histories[0][..common];
    for (bank, blocks) in histories.iter().enumerate() {
        assert_eq!(&blocks[..common], first, "bank {bank}");
    }
    assert_eq!(first[0].base_fee_micro_fen, 0);
    for blocks in first.windows(2) {
        let parent = FeeRate::from_micro_fen(blocks[0].base_fee_micro_fen);
        let next = next_base_fee(&fees, parent, blocks[0].weight);
        assert_eq!(next.micro_fen(), blocks[1].base_fee_micro_fen, "{blocks:?}");
    }
    let highest = first.iter().map(|block| block.base_fee_micro_fen).max().unwrap();
    let paid = first.iter().filter(|block| block.base_fee_micro_fen > 0).count();
    println!("{common} blocks, {paid} of them with a base fee, the highest {highest} µfen");
    assert!(highest >= RISEN.micro_fen());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_costs_the_flooder_and_passes() {
    let mut town = Town::new().await;
    assert!(estimates(&town, QUIET).await.is_zero(), "there is room");
    let stop = Arc::<AtomicBool>::default();
    let [one, other, ..] = town.quiet.as_slice() else { panic!("four customers") };
    let quiet = [(one, other), (other, one)].map(|(payer, payee)| {
        let client = town.cluster.client(QUIET);
        pay_quietly(client, payer.clone(), payee.wallet, Arc::clone(&stop))
    });
    let loud =
        flood(town.cluster.client(LOUD), town.flooders.clone(), town.banks[LOUD].wallet, Arc::clone(&stop));
    town.wait_base_fee(QUIET, "risen", |rate| rate >= RISEN).await;
    assert!(!estimates(&town, 1).await.is_zero());
    the_bank_pays_for_its_customer(&town).await;
    a_fee_is_promised_once(&town).await;
    stop.store(true, Ordering::Relaxed);
    println!("{} transactions of {PAYEES} payments each in the flood", loud.await.unwrap());
    for customer in quiet {
        let seen = customer.await.unwrap_or_else(|fault| panic!("{fault}\n{}", town.cluster.logs()));
        println!("{seen:?}");
        assert!(seen.payments >= 3 && seen.fees_fen > 0, "{seen:?}");
        assert!(seen.longest < PAYMENT_MAX, "{seen:?}\n{}", town.cluster.logs());
    }

    // Nobody pays any more, and the blocks go on until a place costs nothing.
    for bank in 0..4 {
        town.wait_base_fee(bank, "zero again", FeeRate::is_zero).await;
    }
    assert!(estimates(&town, LOUD).await.is_zero());
    histories_agree(&town).await;
    town.cluster.terminate_all().await;
    for bank in [LOUD, QUIET] {
        let verdict = town.cluster.audit(bank);
        assert!(verdict.starts_with("verdict") && verdict.contains("equal: "), "bank {bank}: {verdict}");
    }
}
