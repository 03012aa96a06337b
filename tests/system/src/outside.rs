//! Clients outside the network: payments of one fen, one after the other, several clients at a time. They know of shards what they are
//! told: where a wallet is, they ask for; what is refused because the wallet has moved, they sign anew for where it is, with the same
//! nonce. A bank that does not answer is passed over for the next one, with the same transaction.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness fails loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::transaction::{TransactionQuery, WaitFor};
use api::{Client, SubmitStatus, TransactionState};
use ledger::records::{Operation, Payment};
use ledger::values::{Amount, ChainId, TransactionId, WalletId};
use tokio::task::JoinHandle;

use crate::Payer;

/// Longest time until a payment is certified, whatever happens meanwhile.
const WAIT: Duration = Duration::from_secs(60);
/// How long a bank is asked to wait with its answer.
const PATIENCE_MS: u64 = 400;
/// Pause between two payments of a client, and between two tries of one.
const REST: Duration = Duration::from_millis(20);

/// A wallet that pays.
#[derive(Debug, Clone)]
pub struct Purse {
    /// Who signs.
    pub payer: Payer,
    /// The last nonce that it has used, in lane 0.
    pub sequence: u64,
    /// Where it is, as far as its client knows.
    pub chain: ChainId,
}

/// What clients have paid.
#[derive(Debug, Default)]
pub struct Paid {
    /// What every wallet has gained or lost, in fen.
    pub gained: BTreeMap<WalletId, i64>,
    /// Payments that are certified.
    pub certified: u64,
    /// Payments that were signed anew because the payer had moved.
    pub signed_anew: u64,
    /// The longest time without a certified payment.
    pub longest: Duration,
    /// The newest certified payment of every chain.
    pub newest: BTreeMap<ChainId, TransactionId>,
    moments: Vec<Instant>,
}

/// Clients while they pay.
pub struct Outside {
    certified: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<(Paid, Vec<Purse>)>>,
}

impl Outside {
    /// Starts `clients` of them, each with its share of the purses, at these banks by turns. Any of the payees is paid.
    #[must_use]
    pub fn start(banks: &[Client], purses: Vec<Purse>, payees: &[WalletId], clients: usize) -> Self {
        let (certified, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut shares: Vec<Vec<Purse>> = vec![Vec::new(); clients];
        for (place, purse) in purses.into_iter().enumerate() {
            shares[place % clients].push(purse);
        }
        let task = |(number, purses)| {
            let client = Outsider {
                banks: banks.to_vec(),
                payees: payees.to_vec(),
                turn: number,
                paid: Paid::default(),
            };
            tokio::spawn(client.run(purses, Arc::clone(&certified), Arc::clone(&stop)))
        };
        let tasks = shares.into_iter().enumerate().map(task).collect();
        Self { certified, stop, tasks }
    }

    /// Waits until so many more payments are certified.
    ///
    /// # Panics
    /// When a client has given up, or it takes too long: this is a test.
    pub async fn goes_on(&self, more: u64, when: &str) {
        let (end, wanted) = (Instant::now() + WAIT, self.certified.load(Ordering::Relaxed) + more);
        while self.certified.load(Ordering::Relaxed) < wanted {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "payments failed {when}");
            assert!(Instant::now() < end, "payments stand still {when}");
            tokio::time::sleep(REST).await;
        }
    }

    /// Stops all clients; gives what they have paid, together, and their purses.
    ///
    /// # Panics
    /// When a client has given up: this is a test.
    pub async fn stop(self) -> (Paid, Vec<Purse>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut all, mut purses) = (Paid::default(), Vec::new());
        for task in self.tasks {
            let (paid, own) = task.await.unwrap();
            for (wallet, gained) in paid.gained {
                *all.gained.entry(wallet).or_default() += gained;
            }
            all.certified += paid.certified;
            all.signed_anew += paid.signed_anew;
            all.newest.extend(paid.newest);
            all.moments.extend(paid.moments);
            purses.extend(own);
        }
        all.moments.sort_unstable();
        all.longest = all.moments.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default();
        (all, purses)
    }
}

/// One client.
struct Outsider {
    banks: Vec<Client>,
    payees: Vec<WalletId>,
    /// The bank that is asked next, and the payee that is paid next.
    turn: usize,
    paid: Paid,
}

impl Outsider {
    async fn run(
        mut self,
        mut purses: Vec<Purse>,
        certified: Arc<AtomicU64>,
        stop: Arc<AtomicBool>,
    ) -> (Paid, Vec<Purse>) {
        for place in (0..purses.len()).cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.pay(&mut purses[place]).await;
            certified.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(REST).await;
        }
        (self.paid, purses)
    }

    /// Pays one fen to somebody else; returns when that is certified.
    async fn pay(&mut self, purse: &mut Purse) {
        purse.sequence += 1;
        let (own, payees) = (purse.payer.wallet, self.payees.len());
        let mut others = (0..payees).map(|step| self.payees[(self.turn * 7 + step) % payees]);
        let payee = others.find(|payee| *payee != own).unwrap();
        let operation = Operation::Pay { payments: vec![Payment { payee, amount: Amount::from_fen(1) }] };
        let genesis = purse.payer.genesis;
        let mut signed = vec![purse.payer.sign_on(purse.chain, purse.sequence, operation.clone())];
        let end = Instant::now() + WAIT;
        loop {
            let bank = self.banks[self.turn % self.banks.len()].clone();
            self.turn += 1;
            let newest = signed.iter().rfind(|transaction| transaction.content.chain == purse.chain).unwrap();
            // A refusal, or a bank that is away: what became of it is asked for all the same.
            let is_taken =
                bank.submit(newest).await.is_ok_and(|answer| answer.status != SubmitStatus::Refused);
            // Whatever was signed before may have been applied before the wallet moved: its nonce moved along, so one of them is.
            for transaction in &signed {
                let timeout_ms = if is_taken { PATIENCE_MS } else { 1 };
                let query = TransactionQuery { wait: Some(WaitFor::Certified), timeout_ms: Some(timeout_ms) };
                let id = transaction.id(genesis);
                let Ok(status) = bank.transaction_with(id, query).await else { continue };
                if status.status != TransactionState::Certified {
                    continue;
                }
                let is_applied = status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied);
                assert!(is_applied, "a payment of {own} was rejected: {status:?}");
                self.note(transaction.content.chain, id, own, payee);
                purse.chain = transaction.content.chain;
                return;
            }
            assert!(Instant::now() < end, "a payment of {own} on chain {} is not certified", purse.chain);
            if let Some(chain) = whereabouts(&bank, own).await.filter(|chain| *chain != purse.chain) {
                purse.chain = chain;
                let is_new = signed.iter().all(|transaction| transaction.content.chain != chain);
                if is_new {
                    self.paid.signed_anew += 1;
                    signed.push(purse.payer.sign_on(chain, purse.sequence, operation.clone()));
                }
            } else {
                tokio::time::sleep(REST).await;
            }
        }
    }

    fn note(&mut self, chain: ChainId, id: TransactionId, payer: WalletId, payee: WalletId) {
        *self.paid.gained.entry(payer).or_default() -= 1;
        *self.paid.gained.entry(payee).or_default() += 1;
        self.paid.newest.insert(chain, id);
        self.paid.certified += 1;
        self.paid.moments.push(Instant::now());
    }
}

/// The chain that a wallet is on, as a bank knows it.
async fn whereabouts(bank: &Client, wallet: WalletId) -> Option<ChainId> {
    let view = bank.wallet(wallet, None).await.ok()?;
    Some(ChainId(view.moved_to.unwrap_or(view.chain)))
}
