//! [`Load`]: customers who pay one another while faults happen, and write down all that they are told.
//!
//! Each customer pays from one wallet of its own, one payment after the other, at any bank that answers, by turns. A payment is sent again,
//! the same bytes, until some bank shows it under a certificate. On the way a customer also does what must do no harm: every few payments
//! it signs a rival (the same nonce, another amount) and sends both to two banks at once, sends what is certified once more, and reads
//! balances.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness fails loudly")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::transaction::{TransactionQuery, WaitFor};
use api::{Client, SubmitStatus, TransactionState};
use ledger::records::{Nonce, Transaction};
use ledger::values::{ChainId, TransactionId, WalletId};
use tokio::task::JoinHandle;

use crate::history::{Answer, Fate, History, Reading, Said, Submission};
use crate::{Payer, pay};

/// Longest time until a payment is certified, whatever happens meanwhile.
const WAIT: Duration = Duration::from_secs(120);
/// How long a bank is asked to wait with its answer.
const PATIENCE_MS: u64 = 400;
/// Pause between two payments of a customer, and between two tries of one.
const REST: Duration = Duration::from_millis(20);
/// Every so many payments one has a rival; every so many, what is certified is sent again; every so many, a balance is read.
const RIVAL_EVERY: u64 = 7;
const REPEAT_EVERY: u64 = 5;
const READ_EVERY: u64 = 2;
/// How long a payment is valid. Longer than [`WAIT`], so that none expires.
const VALID_MS: u64 = 600_000;
const ROOT: ChainId = ChainId(0);

/// Customers while they pay.
pub struct Load {
    shared: Arc<Shared>,
    customers: Vec<JoinHandle<()>>,
}

/// What all customers know.
struct Shared {
    started: Instant,
    history: Mutex<History>,
    certified: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// Starts one customer for each wallet; they pay one another. `opening` is an empty history with the height that it begins after and the
    /// balances there. `clock_ms` is what the network's clocks are ahead of this machine's.
    #[must_use]
    pub fn start(banks: &[Client], wallets: Vec<Payer>, opening: History, clock_ms: u64) -> Self {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            history: Mutex::new(opening),
            certified: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let payees: Vec<WalletId> = wallets.iter().map(|payer| payer.wallet).collect();
        let start = |(number, payer): (usize, Payer)| {
            let customer = Customer {
                payer,
                sequence: 0,
                banks: banks.to_vec(),
                payees: payees.clone(),
                turn: number,
                clock_ms,
                shared: Arc::clone(&shared),
            };
            tokio::spawn(customer.run())
        };
        let customers = wallets.into_iter().enumerate().map(start).collect();
        Self { shared, customers }
    }

    /// Payments that are certified.
    #[must_use]
    pub fn certified(&self) -> u64 {
        self.shared.certified.load(Ordering::Relaxed)
    }

    /// Waits until so many more payments are certified.
    ///
    /// # Panics
    /// When a customer has given up, or it takes too long: this is a test.
    pub async fn goes_on(&self, more: u64, when: &str) {
        let (end, wanted) = (Instant::now() + WAIT, self.certified() + more);
        while self.certified() < wanted {
            assert!(!self.customers.iter().any(JoinHandle::is_finished), "payments failed {when}");
            assert!(Instant::now() < end, "payments stand still {when}");
            tokio::time::sleep(REST).await;
        }
    }

    /// Stops when each customer has its last payment certified; gives all that they saw.
    ///
    /// # Panics
    /// When a customer has given up: this is a test.
    pub async fn stop(self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        for customer in self.customers {
            customer.await.unwrap();
        }
        self.shared.history.lock().unwrap().clone()
    }
}

/// One customer.
struct Customer {
    payer: Payer,
    /// The nonce that it has used last, in lane 0.
    sequence: u64,
    banks: Vec<Client>,
    payees: Vec<WalletId>,
    /// The bank that is asked next, and the payee that is paid next.
    turn: usize,
    clock_ms: u64,
    shared: Arc<Shared>,
}

impl Customer {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.sequence += 1;
            let certified = self.pay().await;
            self.shared.certified.fetch_add(1, Ordering::Relaxed);
            if self.sequence.is_multiple_of(REPEAT_EVERY) {
                let bank = self.next_bank();
                self.submit(bank, &certified).await;
            }
            if self.sequence.is_multiple_of(READ_EVERY) {
                self.read().await;
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Pays some fen to somebody else; returns what was certified.
    async fn pay(&mut self) -> Transaction {
        let fen = 1 + self.sequence % 3;
        let mut signed = vec![self.sign(fen)];
        if self.sequence.is_multiple_of(RIVAL_EVERY) {
            signed.push(self.sign(fen + 3));
        }
        let end = Instant::now() + WAIT;
        loop {
            // Rivals go to two banks at the same time, and again if need be.
            let banks: Vec<usize> = signed.iter().map(|_| self.next_bank()).collect();
            let sends = signed.iter().zip(&banks).map(|(transaction, bank)| self.submit(*bank, transaction));
            let taken = futures::future::join_all(sends).await;
            let patience_ms = PATIENCE_MS / signed.len() as u64;
            for (place, transaction) in signed.iter().enumerate() {
                // Who did not take it may know it all the same.
                let patience_ms = if taken[place] { patience_ms } else { 1 };
                let told = self.ask(banks[place], transaction, WaitFor::Final, patience_ms).await;
                if matches!(told, Said::Final(_) | Said::Certified(_)) {
                    return self.certify(transaction, end).await;
                }
            }
            assert!(Instant::now() < end, "a payment of {} is not final: {:?}", self.payer.wallet, signed);
            tokio::time::sleep(REST).await;
        }
    }

    /// Asks one bank after the other for something final until one shows it certified. A bank that is behind may not know it yet, and one
    /// that was wiped of its pool has nothing to send again: what is final is in the chain.
    async fn certify(&mut self, transaction: &Transaction, end: Instant) -> Transaction {
        loop {
            let bank = self.next_bank();
            let said = self.ask(bank, transaction, WaitFor::Certified, PATIENCE_MS).await;
            if matches!(said, Said::Certified(_)) {
                return transaction.clone();
            }
            assert!(Instant::now() < end, "a payment of {} is not certified", self.payer.wallet);
            tokio::time::sleep(REST).await;
        }
    }

    fn next_bank(&mut self) -> usize {
        self.turn += 1;
        self.turn % self.banks.len()
    }

    /// Signs a payment to the next payee and notes it.
    fn sign(&mut self, fen: u64) -> Transaction {
        let (own, payees) = (self.payer.wallet, self.payees.len());
        let mut others = (0..payees).map(|step| self.payees[(self.turn * 7 + step) % payees]);
        let payee = others.find(|payee| *payee != own).unwrap();
        let valid_ms = self.clock_ms + VALID_MS;
        let signed = self.payer.sign_for(ROOT, self.sequence, pay(&[(payee, fen)]), valid_ms);
        let nonce = Nonce { lane: 0, sequence: self.sequence };
        let submission = Submission { payer: own, payee, fen, nonce, answers: Vec::new() };
        self.shared.history.lock().unwrap().submissions.insert(self.id(&signed), submission);
        signed
    }

    fn id(&self, transaction: &Transaction) -> TransactionId {
        transaction.id(self.payer.genesis)
    }

    /// Sends a transaction to a bank, once, and notes the answer; gives whether it was taken in.
    async fn submit(&self, bank: usize, transaction: &Transaction) -> bool {
        let asked = self.shared.started.elapsed();
        // In bulk, because a single submission is repeated by the client: then an answer would be one of several.
        let answers = self.banks[bank].submit_bulk(std::slice::from_ref(transaction)).await;
        let said = match answers.ok().and_then(|answers| answers.first().copied()) {
            None => Said::Nothing,
            Some(answer) if answer.status == SubmitStatus::Refused => Said::Refused(answer.code),
            Some(_) => Said::Accepted,
        };
        self.note(bank, transaction, asked, said);
        said == Said::Accepted
    }

    /// Asks a bank what became of a transaction, and notes an answer with a place.
    async fn ask(&self, bank: usize, transaction: &Transaction, wait: WaitFor, timeout_ms: u64) -> Said {
        let asked = self.shared.started.elapsed();
        let query = TransactionQuery { wait: Some(wait), timeout_ms: Some(timeout_ms) };
        let Ok(status) = self.banks[bank].transaction_with(self.id(transaction), query).await else {
            return Said::Nothing;
        };
        let fate = match (status.height, status.index, status.outcome) {
            (Some(height), Some(index), Some(outcome)) => Fate { height, index, code: outcome.code },
            _ => return Said::Nothing,
        };
        let said = match status.status {
            TransactionState::Final => Said::Final(fate),
            TransactionState::Certified => Said::Certified(fate),
            _ => return Said::Nothing,
        };
        self.note(bank, transaction, asked, said);
        said
    }

    fn note(&self, bank: usize, transaction: &Transaction, asked: Duration, said: Said) {
        let answer = Answer { bank, asked, answered: self.shared.started.elapsed(), said };
        let id = self.id(transaction);
        if let Some(submission) = self.shared.history.lock().unwrap().submissions.get_mut(&id) {
            submission.answers.push(answer);
        }
    }

    /// Reads the balance of somebody at a bank.
    async fn read(&mut self) {
        let bank = self.next_bank();
        let wallet = self.payees[self.turn % self.payees.len()];
        if let Ok(view) = self.banks[bank].wallet(wallet, Some(ROOT)).await {
            let reading = Reading { bank, wallet, height: view.height, fen: view.balance_fen };
            self.shared.history.lock().unwrap().readings.push(reading);
        }
    }
}
