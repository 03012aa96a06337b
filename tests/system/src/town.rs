//! [`Town`]: four banks as processes, customers who pay all the time, and the verdict at the end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness fails loudly")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use api::{Client, ClientConfig};
use ledger::records::{Operation, Policy, Tier, WalletOpening};
use ledger::values::{Amount, ChainId, Currency, SecretKey, WalletId};
use serde::Serialize;

use crate::cluster::now_ms;
use crate::history::{ChainCopy, History, Violation};
use crate::{Cluster, Load, Payer, Pulse, jiaozi_binary, pay};

/// Longest wait for a bank to be ready, or to be where another one is.
const WAIT: Duration = Duration::from_secs(120);
/// Longest answer to a customer: a bank that is stopped gives none.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Customers, and what each begins with, in fen: more than they pay in any run.
const CUSTOMERS: u8 = 12;
const START_FEN: u64 = 100_000;
/// Payments that must be certified before anything goes wrong, and after everything went right again.
const BEFORE: u64 = 20;
const AFTER: u64 = 30;
const ROOT: ChainId = ChainId(0);
const CNY: Currency = Currency(*b"CNY");

/// A network under load.
pub struct Town {
    /// Its banks.
    pub cluster: Cluster,
    /// Its customers.
    pub load: Load,
    /// Its blocks.
    pub pulse: Pulse,
    started: Instant,
}

/// What came of a scenario. Times in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Its name.
    pub scenario: &'static str,
    /// Length, from the first payment to the verdict.
    pub seconds: f64,
    /// Payments that were applied.
    pub payments: u64,
    /// Answers of banks about payments that were recorded.
    pub answers: u64,
    /// Balances that were read.
    pub readings: u64,
    /// Answers `final` or `certified` that some copy does not have.
    pub lost: u64,
    /// Transactions and nonces that were executed twice.
    pub double: u64,
    /// All that the copies say against the history; the first twenty.
    pub violations: Vec<String>,
    /// The longest time between two final blocks while enough banks for a quorum ran and reached one another.
    pub longest_stall_ms: u64,
    /// From the first time that a payment was sent until the first answer that it is final; half are faster.
    pub final_p50_ms: u64,
    /// The same of 99 in 100.
    pub final_p99_ms: u64,
    /// The same of all.
    pub final_max_ms: u64,
    /// What else the scenario measured.
    #[serde(flatten)]
    pub more: BTreeMap<&'static str, u64>,
}

/// Violations that are told.
const VIOLATIONS_MAX: usize = 20;

impl Town {
    /// Starts every bank, opens and funds wallets, and lets the customers pay.
    ///
    /// # Panics
    /// When a step fails: this is a test.
    pub async fn start(mut cluster: Cluster) -> Self {
        cluster.spawn_ready(0..cluster.nodes()).await;
        let clock_ms = clock_ms(&cluster).await;
        let customers = populate(&cluster, clock_ms).await;
        let opening = opening(&cluster, &customers).await;
        let banks: Vec<Client> = (0..cluster.nodes()).map(|bank| outside(&cluster, bank)).collect();
        let (pulse, started) = (Pulse::start(&banks), Instant::now());
        let load = Load::start(&banks, customers, opening, clock_ms);
        load.goes_on(BEFORE, "before anything went wrong").await;
        let _before = pulse.take_longest();
        Self { cluster, load, pulse, started }
    }

    /// Starts banks again and waits until they serve.
    ///
    /// # Panics
    /// When one does not: this is a test.
    pub async fn start_again(&mut self, banks: &[usize]) {
        for bank in banks {
            self.cluster.spawn(*bank, &jiaozi_binary());
        }
        for bank in banks {
            self.cluster.wait_ready(*bank, WAIT).await;
        }
    }

    /// Waits until all banks serve and payments go on, ends the load, and judges what was recorded against every bank's copy.
    /// `stall` is the longest that the scenario has taken from the pulse.
    ///
    /// # Panics
    /// When a bank or the payments do not come back: this is a test.
    pub async fn judge(
        mut self,
        scenario: &'static str,
        stall: Duration,
        more: BTreeMap<&'static str, u64>,
    ) -> Figures {
        for bank in 0..self.cluster.nodes() {
            self.cluster.wait_ready(bank, WAIT).await;
        }
        self.load.goes_on(AFTER, "after everything went right again").await;
        let stall = stall.max(self.pulse.take_longest());
        let history = self.load.stop().await;
        let copies = copies(&self.cluster, history.from, self.pulse.height()).await;
        let found = history.judge(&copies);
        if !found.is_empty() {
            eprintln!("{scenario}: {found:#?}\n{}", self.cluster.logs());
        }
        self.cluster.terminate_all().await;
        let count =
            |is: fn(&Violation) -> bool| found.iter().filter(|violation| is(violation)).count() as u64;
        let mut finality = history.finality();
        finality.sort_unstable();
        let at = |percent: usize| finality.get(finality.len().saturating_sub(1) * percent / 100);
        let at = |percent: usize| at(percent).map_or(0, |time| millis(*time));
        Figures {
            scenario,
            seconds: self.started.elapsed().as_secs_f64(),
            payments: history.applied(&copies[0]),
            answers: history.answers(),
            readings: history.readings.len() as u64,
            lost: count(Violation::is_loss),
            double: count(Violation::is_double),
            violations: found.iter().take(VIOLATIONS_MAX).map(ToString::to_string).collect(),
            longest_stall_ms: millis(stall),
            final_p50_ms: at(50),
            final_p99_ms: at(99),
            final_max_ms: at(100),
            more,
        }
    }
}

impl Figures {
    /// Whether the copies agree with the history.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// One line.
impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seconds, payments, answers, lost, double, .. } = self;
        write!(
            formatter,
            "{scenario}: {payments} payments in {seconds:.0} s, {answers} answers, {} balances, {lost} lost, {double} double, \
             {} violations; longest stall {} ms; final p50 {} ms, p99 {} ms, at most {} ms",
            self.readings,
            self.violations.len(),
            self.longest_stall_ms,
            self.final_p50_ms,
            self.final_p99_ms,
            self.final_max_ms
        )?;
        self.more.iter().try_for_each(|(name, value)| write!(formatter, "; {name} {value}"))
    }
}

/// Milliseconds of a time.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A client that gives up on a bank that is stopped.
fn outside(cluster: &Cluster, bank: usize) -> Client {
    let config = ClientConfig { timeout: ANSWER_MAX, ..ClientConfig::new(&cluster.url(bank)) };
    Client::new(&config).unwrap()
}

/// What the network's clocks are ahead of this machine's: by the newest block, as the program takes it (`max` of both). Height 0 is as old as
/// the network and tells nothing, so the first block is waited for.
async fn clock_ms(cluster: &Cluster) -> u64 {
    let end = Instant::now() + WAIT;
    loop {
        let progress = cluster.client(0).chain(ROOT).await.unwrap().progress;
        match progress.filter(|progress| progress.height > 0) {
            Some(progress) => return progress.timestamp_ms.saturating_sub(now_ms()),
            None => assert!(Instant::now() < end, "no first block\n{}", cluster.logs()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Issues money to a bank, which opens a wallet for each customer and pays the money to them.
async fn populate(cluster: &Cluster, clock_ms: u64) -> Vec<Payer> {
    let localnet = &cluster.localnet;
    let operator =
        |secrets: &genesis::dev::OperatorSecrets| Payer::operator(localnet, secrets.id, &secrets.wallet_key);
    let (central, bank) = (operator(&localnet.central_bank), operator(&localnet.banks[0].operator));
    let key = |number: u8| SecretKey::from_seed([0x40 + number; 32]);
    let opening = |key: &SecretKey| WalletOpening {
        policy: Policy::single(key.public_key()).hash(),
        salt: [0; 16],
        tier: Tier::One,
    };
    let openings: Vec<WalletOpening> = (0..CUSTOMERS).map(|number| opening(&key(number))).collect();
    let wallet = |opening: &WalletOpening| WalletId::derive(bank.genesis, CNY, opening.policy, &opening.salt);
    let funds: Vec<(WalletId, u64)> = openings.iter().map(|opening| (wallet(opening), START_FEN)).collect();
    let amount = Amount::from_fen(START_FEN * u64::from(CUSTOMERS));
    let valid_ms = clock_ms + millis(WAIT);
    let steps = [
        (&central, 1, Operation::Issue { to: bank.wallet, amount }),
        (&bank, 1, Operation::OpenWallets { wallets: openings }),
        (&bank, 2, pay(&funds)),
    ];
    for (payer, sequence, operation) in steps {
        cluster.certify(0, &payer.sign_for(ROOT, sequence, operation, valid_ms)).await;
    }
    let payer = |(number, (wallet, _)): (u8, &(WalletId, u64))| Payer {
        genesis: bank.genesis,
        wallet: *wallet,
        key: key(number),
    };
    (0..).zip(&funds).map(payer).collect()
}

/// An empty history from now on, and what everybody has.
async fn opening(cluster: &Cluster, customers: &[Payer]) -> History {
    let mut history = History::default();
    for customer in customers {
        let view = cluster.client(0).wallet(customer.wallet, Some(ROOT)).await.unwrap();
        // Nothing moves before the load begins.
        history.from = view.height;
        history.opening.insert(customer.wallet, view.balance_fen);
    }
    history
}

/// All banks' copies of the chain, up to one height that is certified at each of them and that nothing recorded is above.
async fn copies(cluster: &Cluster, from: u64, seen: u64) -> Vec<ChainCopy> {
    // The load has ended: what was answered last stands in a block that some bank has by now.
    let (mut to, end) = (seen, Instant::now() + WAIT);
    for bank in 0..cluster.nodes() {
        let ready = cluster.client(bank).ready().await.unwrap();
        to = to.max(ready.chains[0].height);
    }
    for bank in 0..cluster.nodes() {
        while cluster.client(bank).ready().await.map_or(0, |ready| ready.chains[0].certified_height) < to {
            assert!(Instant::now() < end, "bank {bank} does not certify {to}\n{}", cluster.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let banks = 0..cluster.nodes();
    let clients: Vec<Client> = banks.clone().map(|bank| cluster.client(bank)).collect();
    let reads = banks.map(|bank| ChainCopy::read(&clients[bank], bank, ROOT, (from, to)));
    futures::future::join_all(reads).await
}
