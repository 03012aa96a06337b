//! Money of one currency for money of another over real processes: an exchange that is accepted, one declined, one withdrawn, one
//! whose deadline passes while a bank is dead; a hash lock that is claimed and one that comes back. Balances are exact on both
//! chains, and the auditor finds both in order.

use std::time::{Duration, Instant};

use api::lock::{LockRole, LockStateName, LockView};
use api::transaction::{TransactionStatus, WaitFor};
use genesis::dev::{LocalnetPlan, OperatorSecrets};
use ledger::records::{Asked, Operation, Policy, Rejection, Tier, Transaction, WalletOpening};
use ledger::values::hash::sha256;
use ledger::values::{
    Amount, ChainId, Currency, GenesisHash, LockId, SecretKey, TimestampMs, TransactionId, WalletId,
};
use system::{Cluster, Payer, pay};

const WAIT: Duration = Duration::from_secs(60);
/// The chains by id; the first holds the locks, the second decides.
const CURRENCIES: [Currency; 2] = [Currency(*b"CNY"), Currency(*b"HKD")];
const HERE: usize = 0;
const THERE: usize = 1;
/// What everybody holds at first, in each currency.
const FUNDS_FEN: u64 = 10_000;
/// Beyond the least that the ledger takes (10 s), with room for the way into a block.
const SOON_MS: u64 = 20_000;
const LATER_MS: u64 = 600_000;
const PREIMAGE: [u8; 32] = [7; 32];
const TICKS_MAX: u64 = 100;

/// One key with a wallet on each chain, and its nonces.
struct Party {
    genesis: GenesisHash,
    key: SecretKey,
    wallets: [WalletId; 2],
    used: [u64; 2],
}

impl Party {
    fn operator(cluster: &Cluster, operator: &OperatorSecrets) -> Self {
        let own =
            |currency| Payer::operator_in(currency, &cluster.localnet, operator.id, &operator.wallet_key);
        let wallets = CURRENCIES.map(|currency| own(currency).wallet);
        let genesis = cluster.localnet.spec.hash();
        Self { genesis, key: operator.wallet_key.clone(), wallets, used: [0; 2] }
    }

    fn customer(genesis: GenesisHash, number: u8) -> Self {
        let key = SecretKey::from_seed([number; 32]);
        let policy = Policy::single(key.public_key()).hash();
        let wallets = CURRENCIES.map(|currency| WalletId::derive(genesis, currency, policy, &[0; 16]));
        Self { genesis, key, wallets, used: [0; 2] }
    }

    fn opening(&self) -> WalletOpening {
        WalletOpening { policy: Policy::single(self.key.public_key()).hash(), salt: [0; 16], tier: Tier::One }
    }

    fn sign(&mut self, chain: usize, operation: Operation) -> Transaction {
        self.used[chain] += 1;
        let payer = Payer { genesis: self.genesis, wallet: self.wallets[chain], key: self.key.clone() };
        payer.sign_on(chain_id(chain), self.used[chain], operation)
    }
}

fn chain_id(chain: usize) -> ChainId {
    ChainId(u32::try_from(chain).unwrap())
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Four banks that all host a CNY chain and an HKD chain; two customers with money in both.
struct Town {
    cluster: Cluster,
    central: Party,
    bank: Party,
    alice: Party,
    bob: Party,
    /// Payments of one fen that keep the chains going.
    ticks: [u64; 2],
    _directory: tempfile::TempDir,
}

impl Town {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = LocalnetPlan::new(4);
        plan.chains = CURRENCIES.map(|currency| (currency, 0)).to_vec();
        let mut cluster = Cluster::create_of(directory.path(), plan, |_| vec![0, 1]);
        cluster.spawn_ready(0..4).await;
        let genesis = cluster.localnet.spec.hash();
        let central = Party::operator(&cluster, &cluster.localnet.central_bank);
        let bank = Party::operator(&cluster, &cluster.localnet.banks[0].operator);
        let (alice, bob) = (Party::customer(genesis, 10), Party::customer(genesis, 11));
        let mut town = Self { cluster, central, bank, alice, bob, ticks: [0; 2], _directory: directory };
        for chain in [HERE, THERE] {
            let (to, amount) = (town.bank.wallets[chain], Amount::from_fen(100_000));
            let issue = town.central.sign(chain, Operation::Issue { to, amount });
            town.cluster.certify(0, &issue).await;
            let wallets = vec![town.alice.opening(), town.bob.opening()];
            let open = town.bank.sign(chain, Operation::OpenWallets { wallets });
            town.cluster.certify(1, &open).await;
            let gifts =
                [town.alice.wallets[chain], town.bob.wallets[chain]].map(|wallet| (wallet, FUNDS_FEN));
            let gift = town.bank.sign(chain, pay(&gifts));
            town.cluster.certify(2, &gift).await;
        }
        town
    }

    /// Alice offers CNY to Bob for HKD; answers when her money is locked under a certificate.
    async fn offer(&mut self, gives: u64, asks: u64, open_for_ms: u64) -> LockId {
        let asked = Asked {
            payer: self.bob.wallets[THERE],
            payee: self.alice.wallets[THERE],
            amount: Amount::from_fen(asks),
        };
        let (payee, amount) = (self.bob.wallets[HERE], Amount::from_fen(gives));
        let deadline = TimestampMs(now_ms() + open_for_ms);
        let operation = Operation::Exchange { payee, amount, chain: chain_id(THERE), asked, deadline };
        let offer = self.alice.sign(HERE, operation);
        LockId::of(self.cluster.certify(0, &offer).await)
    }

    /// Alice locks CNY for Bob under the hash of [`PREIMAGE`].
    async fn lock(&mut self, gives: u64, open_for_ms: u64) -> LockId {
        let (payee, amount) = (self.bob.wallets[HERE], Amount::from_fen(gives));
        let deadline = TimestampMs(now_ms() + open_for_ms);
        let operation = Operation::Lock { payee, amount, hash: sha256(&PREIMAGE), deadline };
        let lock = self.alice.sign(HERE, operation);
        LockId::of(self.cluster.certify(1, &lock).await)
    }

    /// What a node has under an id, once it is there and as it is wanted; small payments keep both chains going.
    async fn watch(
        &mut self,
        node: usize,
        (chain, id): (usize, LockId),
        is_wanted: impl Fn(&LockView) -> bool,
    ) -> LockView {
        let (client, end) = (self.cluster.client(node), Instant::now() + WAIT);
        loop {
            if let Ok(found) = client.lock(chain_id(chain), id).await
                && is_wanted(&found)
            {
                return found;
            }
            assert!(Instant::now() < end, "{id} on chain {chain} at node {node}\n{}", self.cluster.logs());
            self.tick().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The decision of an exchange, as both chains have it.
    async fn decided(&mut self, id: LockId) -> (LockView, LockView) {
        let lock = self.watch(1, (HERE, id), LockView::is_over).await;
        let offer = self.watch(2, (THERE, id), LockView::is_over).await;
        assert_eq!((lock.role, offer.role), (LockRole::ExchangeLock, LockRole::Offer));
        assert_eq!((&lock.locked, &lock.asked), (&offer.locked, &offer.asked), "one exchange");
        (lock, offer)
    }

    /// One fen from the bank to the central bank on each chain; no more than a nonce window holds, should a chain stand still.
    async fn tick(&mut self) {
        for chain in [HERE, THERE] {
            if self.ticks[chain] >= TICKS_MAX {
                continue;
            }
            let payee = self.central.wallets[chain];
            let payment = self.bank.sign(chain, pay(&[(payee, 1)]));
            self.cluster.client(0).submit(&payment).await.unwrap();
            self.ticks[chain] += 1;
        }
    }

    /// A node has exactly this balance once all small payments are executed.
    async fn holds(&self, node: usize, (chain, wallet): (usize, WalletId), fen: u64) {
        let (client, end) = (self.cluster.client(node), Instant::now() + WAIT);
        loop {
            let held = client.wallet(wallet, Some(chain_id(chain))).await.unwrap().balance_fen;
            if held == fen {
                return;
            }
            assert!(Instant::now() < end, "node {node}, chain {chain}: {held} fen, not {fen}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Bob answers an offer when it has arrived.
    async fn answer(&mut self, id: LockId, operation: Operation) -> TransactionId {
        let arrived = self.watch(2, (THERE, id), |offer| offer.is_certified).await;
        assert_eq!((arrived.role, arrived.state), (LockRole::Offer, LockStateName::Open));
        let answer = self.bob.sign(THERE, operation);
        self.cluster.certify(2, &answer).await
    }
}

fn code(view: &LockView) -> Option<u16> {
    view.decision.as_ref().map(|decision| decision.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_or_neither_also_when_a_deadline_passes_with_a_bank_dead() {
    let mut town = Town::new().await;
    // Nobody answers these two; what happens meanwhile is more than time enough.
    let ignored = town.offer(500, 550, SOON_MS).await;
    let unclaimed = town.lock(140, SOON_MS).await;

    let accepted = town.offer(1_000, 1_100, LATER_MS).await;
    let (payee, amount) = (town.alice.wallets[THERE], Amount::from_fen(1_100));
    let receives = Amount::from_fen(1_000);
    let (source, to) = (chain_id(HERE), town.bob.wallets[HERE]);
    let accept = Operation::Accept { offer: accepted, payee, amount, receives, source, to };
    town.answer(accepted, accept).await;
    let (lock, offer) = town.decided(accepted).await;
    assert_eq!((lock.state, offer.state), (LockStateName::Settled, LockStateName::Accepted));
    assert_eq!((lock.locked.currency, lock.asked.unwrap().currency), (CURRENCIES[HERE], CURRENCIES[THERE]));

    let declined = town.offer(2_000, 2_200, LATER_MS).await;
    town.answer(declined, Operation::Decline { offer: declined }).await;
    let (lock, offer) = town.decided(declined).await;
    assert_eq!((lock.state, offer.state), (LockStateName::Returned, LockStateName::Cancelled));
    let reason = Some(Rejection::OfferDeclined.code());
    assert_eq!((code(&lock), code(&offer)), (reason, reason));

    town.cluster.kill(3);
    let withdrawn = town.offer(300, 330, LATER_MS).await;
    let withdraw = town.alice.sign(HERE, Operation::Withdraw { lock: withdrawn });
    town.cluster.certify(1, &withdraw).await;
    let (lock, offer) = town.decided(withdrawn).await;
    let reason = Some(Rejection::OfferWithdrawn.code());
    assert_eq!((lock.state, code(&lock), code(&offer)), (LockStateName::Returned, reason, reason));

    let claimed = town.lock(700, LATER_MS).await;
    let claim = town.bob.sign(HERE, Operation::Claim { lock: claimed, preimage: PREIMAGE });
    town.cluster.certify(2, &claim).await;
    let lock = town.watch(0, (HERE, claimed), LockView::is_over).await;
    assert_eq!((lock.state, lock.role), (LockStateName::Settled, LockRole::HashLock));
    assert!(lock.preimage.is_some(), "whoever waits for it elsewhere reads it here");

    let (lock, offer) = town.decided(ignored).await;
    let reason = Some(Rejection::OfferExpired.code());
    assert_eq!((lock.state, code(&lock), code(&offer)), (LockStateName::Returned, reason, reason));
    let lock = town.watch(1, (HERE, unclaimed), LockView::is_over).await;
    assert_eq!((lock.state, code(&lock)), (LockStateName::Returned, Some(Rejection::LockExpired.code())));

    // The transaction that locked says how it ended, to whoever waits for that.
    let waited = town.cluster.client(2);
    let made: TransactionStatus =
        waited.wait_for(made_by(&town, ignored).await, WaitFor::Settled, WAIT).await.unwrap();
    assert!(made.is_settled() && made.lock.is_some_and(|lock| lock.state == LockStateName::Returned));
    everything_adds_up(&mut town).await;
}

/// The transaction that made a lock, by its maker's history.
async fn made_by(town: &Town, id: LockId) -> TransactionId {
    let query = api::HistoryQuery { chain: Some(0), before: None, limit: Some(100) };
    let page = town.cluster.client(2).history(town.alice.wallets[HERE], query).await.unwrap();
    page.entries.iter().find(|entry| entry.lock == Some(id)).and_then(|entry| entry.transaction).unwrap()
}

async fn everything_adds_up(town: &mut Town) {
    // What was exchanged and claimed, and nothing else.
    let expected = [
        (town.alice.wallets, [FUNDS_FEN - 1_000 - 700, FUNDS_FEN + 1_100]),
        (town.bob.wallets, [FUNDS_FEN + 1_000 + 700, FUNDS_FEN - 1_100]),
        (town.central.wallets, town.ticks),
    ];
    for chain in [HERE, THERE] {
        let payee = town.central.wallets[chain];
        let last = town.bank.sign(chain, pay(&[(payee, 1)]));
        let id = town.cluster.certify(0, &last).await;
        for node in 0..3 {
            town.cluster.client(node).wait_certified(id, WAIT).await.unwrap();
            for (wallets, balances) in &expected {
                let one_more = u64::from(wallets[chain] == payee);
                town.holds(node, (chain, wallets[chain]), balances[chain] + one_more).await;
            }
        }
    }
    town.cluster.terminate_all().await;
    let replayed = town.cluster.audit(0);
    assert!(replayed.starts_with("verdict") && replayed.contains("equal: "), "{replayed}");
    assert!(!replayed.contains("not replayed"), "both chains: {replayed}");
    for currency in CURRENCIES {
        assert!(replayed.contains(&currency.to_string()), "{currency}: {replayed}");
    }
}
