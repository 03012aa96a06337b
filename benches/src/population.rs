//! Wallets for a load: one key each, spread evenly over all chains, opened by the banks, funded by them, with payments signed
//! before the clock starts.

use std::num::NonZeroU16;
use std::time::Duration;

use api::Client;
use ledger::records::transaction::network_tag;
use ledger::records::wallet::{NONCE_WINDOW, Tier};
use ledger::records::{
    Asked, FeeBid, GenesisSpec, Nonce, Operation, Payment, Policy, Transaction, TransactionContent,
    WalletOpening,
};
use ledger::values::{
    Amount, Canonical, ChainId, Currency, GenesisHash, Hasher, LockId, SecretKey, TimestampMs, TransactionId,
    WalletId,
};
use rayon::prelude::*;
use system::{Cluster, Payer, Purse};
use tokio::task::JoinSet;

/// Wallets or payees of one set-up transaction.
const GROUP: usize = 64;
/// Lanes that set-up uses of an operator's wallet.
const LANES: u64 = 16;
/// Transactions that one bank has on their way on one chain during set-up.
const WAVE: usize = 128;
const _: () = assert!(WAVE as u64 <= LANES * NONCE_WINDOW / 2);
/// What anybody bids where the fee is not the matter: more than a payment can cost under the default parameters.
const FEE_MAX: Amount = Amount::from_fen(10_000);
/// What each wallet starts with.
const START_FEN: u64 = 1_000_000;
/// Longest wait for a set-up transaction.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// A payment, signed and encoded.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: TransactionId,
    /// The payer's chain.
    pub(crate) chain: ChainId,
    /// The payee's chain.
    pub(crate) destination: ChainId,
}

impl Signed {
    /// Whether the payee is at home on another chain.
    pub(crate) fn is_cross(&self) -> bool {
        self.chain != self.destination
    }
}

/// An exchange that both sides have signed. Who accepts signs what it will see: the offer's name follows from the transaction.
pub(crate) struct Trade {
    pub(crate) offer: Signed,
    pub(crate) accept: Signed,
    pub(crate) lock: LockId,
    /// The chain that decides.
    pub(crate) decides: ChainId,
}

/// A chain of the network.
struct Place {
    chain: ChainId,
    currency: Currency,
    shard: u16,
    shards: NonZeroU16,
    /// Its wallets, by index.
    wallets: Vec<usize>,
    /// Positions of the other chains of its currency.
    siblings: Vec<usize>,
}

struct Wallet {
    id: WalletId,
    key: SecretKey,
    salt: [u8; 16],
    /// Position of its chain.
    place: usize,
    /// Payments that it has signed.
    sequence: u64,
}

/// All wallets of a load.
pub(crate) struct Population {
    genesis: GenesisHash,
    places: Vec<Place>,
    wallets: Vec<Wallet>,
    /// So many wallets of each chain are paid by everybody; all of them where it is `None`.
    pub(crate) merchants: Option<usize>,
}

fn key(index: usize) -> SecretKey {
    SecretKey::from_seed(Hasher::new("jiaozi/bench-wallet").number(index as u64).finish().0)
}

pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Who signs, and where.
struct Signer<'a> {
    genesis: GenesisHash,
    chain: ChainId,
    wallet: WalletId,
    key: &'a SecretKey,
}

/// A bid that no base fee outruns.
fn plenty() -> FeeBid {
    FeeBid { fee_max: FEE_MAX, ..FeeBid::default() }
}

impl Signer<'_> {
    fn sign(&self, nonce: Nonce, operation: Operation) -> Transaction {
        self.sign_for(nonce, operation, plenty())
    }

    fn sign_for(&self, nonce: Nonce, operation: Operation, fee: FeeBid) -> Transaction {
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain: self.chain,
            wallet: self.wallet,
            nonce,
            valid_until: TimestampMs(now_ms() + 3_000_000),
            fee,
            policy: Policy::single(self.key.public_key()),
            operation,
        };
        content.signed_by(self.genesis, self.key)
    }
}

impl Place {
    /// A wallet of `policy` that is at home here; `number` tells wallets of one policy apart.
    fn home(&self, genesis: GenesisHash, policy: &Policy, number: u64) -> (WalletId, [u8; 16]) {
        let id = |salt: &[u8; 16]| WalletId::derive(genesis, self.currency, policy.hash(), salt);
        let salts = (0_u128..).map(|attempt| ((attempt << 64) | u128::from(number)).to_le_bytes());
        let mut fitting = salts.filter(|salt| id(salt).shard(self.shards) == self.shard);
        let salt = fitting.next().unwrap();
        (id(&salt), salt)
    }
}

fn places(spec: &GenesisSpec) -> Vec<Place> {
    let mut places = Vec::with_capacity(spec.chains.len());
    for own in &spec.chains {
        let mut siblings = Vec::new();
        for (position, other) in spec.chains.iter().enumerate() {
            if other.currency == own.currency && other.chain != own.chain {
                siblings.push(position);
            }
        }
        let shards = NonZeroU16::new(u16::try_from(siblings.len() + 1).unwrap()).unwrap();
        let (chain, currency, shard) = (own.chain, own.currency, own.shard);
        places.push(Place { chain, currency, shard, shards, wallets: Vec::new(), siblings });
    }
    places
}

impl Population {
    /// `count` wallets, the first at home on the first chain, the next on the next, and so on in turn.
    pub(crate) fn new(spec: &GenesisSpec, count: usize) -> Self {
        let (genesis, mut places) = (spec.hash(), places(spec));
        let wallet = |index: usize| {
            let (place, key) = (index % places.len(), key(index));
            let (id, salt) = places[place].home(genesis, &Policy::single(key.public_key()), index as u64);
            Wallet { id, key, salt, place, sequence: 0 }
        };
        let wallets: Vec<Wallet> = (0..count).into_par_iter().map(wallet).collect();
        for (index, wallet) in wallets.iter().enumerate() {
            places[wallet.place].wallets.push(index);
        }
        Self { genesis, places, wallets, merchants: None }
    }

    /// Issues money, opens every wallet and funds it; each bank does its share, on all chains at the same time.
    pub(crate) async fn set_up(&self, cluster: &Cluster) {
        self.open(cluster).await;
        let fund = |indexes: &[usize]| Operation::Pay {
            payments: indexes
                .iter()
                .map(|index| Payment { payee: self.wallets[*index].id, amount: Amount::from_fen(START_FEN) })
                .collect(),
        };
        self.by_banks(cluster, 1, fund).await;
    }

    /// The same without the funding: the money stays with the banks.
    pub(crate) async fn open(&self, cluster: &Cluster) {
        let localnet = &cluster.localnet;
        let banks = localnet.banks.len();
        let mut issues = JoinSet::new();
        for place in &self.places {
            let central = &localnet.central_bank;
            let central = Payer::operator_in(place.currency, localnet, central.id, &central.wallet_key);
            let total = Amount::from_fen(START_FEN * place.wallets.len() as u64);
            let issue = |(bank, sequence): (usize, u64)| {
                let to = self.bank(cluster, place, bank).wallet;
                let operation = Operation::Issue { to, amount: total };
                self.signer(place, &central).sign(Nonce { lane: 0, sequence }, operation)
            };
            let signed: Vec<Transaction> = (0..banks).zip(1..).map(issue).collect();
            issues.spawn(settle(cluster.client(0), self.genesis, signed));
        }
        issues.join_all().await;
        let open = |indexes: &[usize]| Operation::OpenWallets {
            wallets: indexes.iter().map(|index| self.wallets[*index].opening()).collect(),
        };
        self.by_banks(cluster, 0, open).await;
    }

    fn bank(&self, cluster: &Cluster, place: &Place, bank: usize) -> Payer {
        let operator = &cluster.localnet.banks[bank].operator;
        Payer::operator_in(place.currency, &cluster.localnet, operator.id, &operator.wallet_key)
    }

    fn signer<'a>(&self, place: &Place, payer: &'a Payer) -> Signer<'a> {
        Signer { genesis: self.genesis, chain: place.chain, wallet: payer.wallet, key: &payer.key }
    }

    /// Every bank signs its share of every chain's groups for one of the `round`s of set-up, sends them a wave at a time, and
    /// waits for them.
    async fn by_banks(
        &self,
        cluster: &Cluster,
        round: u64,
        operation: impl Fn(&[usize]) -> Operation + Sync,
    ) {
        let banks = cluster.localnet.banks.len();
        let mut shares = JoinSet::new();
        for place in &self.places {
            let groups: Vec<&[usize]> = place.wallets.chunks(GROUP).collect();
            let used = round * groups.len().div_ceil(banks) as u64;
            for bank in 0..banks {
                let payer = self.bank(cluster, place, bank);
                let signer = self.signer(place, &payer);
                let own: Vec<&[usize]> = groups.iter().skip(bank).step_by(banks).copied().collect();
                let signed: Vec<Transaction> = own
                    .par_iter()
                    .enumerate()
                    .map(|(position, indexes)| {
                        let number = used + position as u64;
                        let lane = u16::try_from(number % LANES).unwrap();
                        signer.sign(Nonce { lane, sequence: number / LANES + 1 }, operation(indexes))
                    })
                    .collect();
                let (client, genesis) = (cluster.client(bank), self.genesis);
                shares.spawn(async move {
                    for wave in signed.chunks(WAVE) {
                        settle(client.clone(), genesis, wave.to_vec()).await;
                    }
                });
            }
        }
        shares.join_all().await;
    }

    /// Pre-signed payments, one payee each, the payer uniform over all wallets, the payee over those that are paid. Of those whose currency has several chains,
    /// `cross_percent` go to a wallet on another one, which is uniform over them; the others stay on the payer's chain. Goes on
    /// where the last call ended.
    pub(crate) fn payments(&mut self, count: usize, seed: u64, cross_percent: u64) -> Vec<Signed> {
        let draw = |step: usize, what: u64, choices: usize| {
            let hash =
                Hasher::new("jiaozi/bench-draw").number(seed).number(step as u64).number(what).finish();
            let number = u64::from_le_bytes(hash.0[..8].try_into().unwrap());
            usize::try_from(number % choices as u64).unwrap()
        };
        let mut plan = Vec::with_capacity(count);
        for step in 0..count {
            let payer = draw(step, 0, self.wallets.len());
            let place = &self.places[self.wallets[payer].place];
            let is_cross = !place.siblings.is_empty() && (draw(step, 2, 100) as u64) < cross_percent;
            let payee = if is_cross {
                let there = &self.places[place.siblings[draw(step, 3, place.siblings.len())]].wallets;
                there[draw(step, 1, there.len())]
            } else {
                // Never the payer, whose position is its index among the wallets of its chain.
                let (here, own) = (&place.wallets, payer / self.places.len());
                let position = match self.merchants {
                    None => own + 1 + draw(step, 1, here.len() - 1),
                    Some(merchants) => {
                        let merchant = draw(step, 1, merchants.clamp(1, here.len()));
                        merchant + usize::from(merchant == own)
                    }
                };
                here[position % here.len()]
            };
            self.wallets[payer].sequence += 1;
            plan.push((payer, payee, self.wallets[payer].sequence));
        }
        let sign = |(payer, payee, sequence): (usize, usize, u64)| {
            let payee = &self.wallets[payee];
            let destination = self.places[payee.place].chain;
            self.payment(payer, sequence, (payee.id, destination), plenty())
        };
        plan.into_par_iter().map(sign).collect()
    }

    /// The wallets of a chain that one of the banks has opened, by index.
    pub(crate) fn customers(&self, chain: ChainId, bank: usize, banks: usize) -> Vec<usize> {
        let place = self.places.iter().find(|place| place.chain == chain).unwrap();
        place.wallets.chunks(GROUP).skip(bank).step_by(banks).flatten().copied().collect()
    }

    /// Payments among wallets of one chain, by turns, each from one to the next.
    pub(crate) fn payments_among(&mut self, wallets: &[usize], count: usize, fee: &FeeBid) -> Vec<Signed> {
        let take = |turn: usize| {
            let payer = &mut self.wallets[wallets[turn % wallets.len()]];
            payer.sequence += 1;
            (turn, payer.sequence)
        };
        let plan: Vec<(usize, u64)> = (0..count).map(take).collect();
        let sign = |(turn, sequence)| self.payment_of(wallets, turn, sequence, fee);
        plan.into_par_iter().map(sign).collect()
    }

    /// Takes the next nonce of a wallet for [`Population::payment_among`]; answers its chain.
    pub(crate) fn take_nonce(&mut self, wallet: usize) -> ChainId {
        self.wallets[wallet].sequence += 1;
        self.places[self.wallets[wallet].place].chain
    }

    /// The payment of one turn among wallets of one chain, under the nonce that its payer has taken last: as often as it is bid for.
    pub(crate) fn payment_among(&self, wallets: &[usize], turn: usize, fee: &FeeBid) -> Signed {
        let sequence = self.wallets[wallets[turn % wallets.len()]].sequence;
        self.payment_of(wallets, turn, sequence, fee)
    }

    fn payment_of(&self, wallets: &[usize], turn: usize, sequence: u64, fee: &FeeBid) -> Signed {
        let [payer, payee] = [turn, turn + 1].map(|turn| wallets[turn % wallets.len()]);
        let (id, chain) = (self.wallets[payee].id, self.places[self.wallets[payee].place].chain);
        self.payment(payer, sequence, (id, chain), fee.clone())
    }

    /// Wallets of a currency for clients that pay on their own, spread evenly over its chains; the population pays nothing from them any more.
    pub(crate) fn purses(&self, currency: Currency, count: usize) -> Vec<Purse> {
        let is_meant = |wallet: &&Wallet| self.places[wallet.place].currency == currency;
        let purse = |wallet: &Wallet| Purse {
            payer: Payer { genesis: self.genesis, wallet: wallet.id, key: wallet.key.clone() },
            sequence: wallet.sequence,
            chain: self.places[wallet.place].chain,
        };
        self.wallets.iter().filter(is_meant).take(count).map(purse).collect()
    }

    /// A payment to a wallet that does not exist, on another chain of the first wallet's currency.
    pub(crate) fn payment_to_nobody(&mut self) -> Signed {
        let there = &self.places[self.places[0].siblings[0]];
        let nobody = Policy::single(key(usize::MAX).public_key());
        let (payee, destination) = (there.home(self.genesis, &nobody, 0).0, there.chain);
        let payer = self.places[0].wallets[0];
        self.wallets[payer].sequence += 1;
        self.payment(payer, self.wallets[payer].sequence, (payee, destination), plenty())
    }

    /// Money of the first chain for money of the last one, which has another currency: the first wallets there are one person's, the second ones
    /// another's.
    pub(crate) fn trade(&mut self, gives: Amount, asks: Amount) -> Trade {
        let (first, last) = (&self.places[0], &self.places[self.places.len() - 1]);
        let ([giver, getter], [paid, payer]) =
            ([first.wallets[0], first.wallets[1]], [last.wallets[0], last.wallets[1]]);
        let (holds, decides, id) = (first.chain, last.chain, |index: usize| self.wallets[index].id);
        let asked = Asked { payer: id(payer), payee: id(paid), amount: asks };
        let (payee, deadline) = (id(getter), TimestampMs(now_ms() + 600_000));
        let operation = Operation::Exchange { payee, amount: gives, chain: decides, asked, deadline };
        let offer = self.signed(giver, operation);
        let lock = LockId::of(offer.id);
        let operation = Operation::Accept {
            offer: lock,
            payee: asked.payee,
            amount: asks,
            receives: gives,
            source: holds,
            to: payee,
        };
        let accept = self.signed(payer, operation);
        Trade { offer, accept, lock, decides }
    }

    /// Signs what a wallet does on its own chain.
    fn signed(&mut self, wallet: usize, operation: Operation) -> Signed {
        self.wallets[wallet].sequence += 1;
        let Wallet { id: wallet, key, place, sequence, .. } = &self.wallets[wallet];
        let chain = self.places[*place].chain;
        let signer = Signer { genesis: self.genesis, chain, wallet: *wallet, key };
        let signed = signer.sign(Nonce { lane: 0, sequence: *sequence }, operation);
        Signed { bytes: signed.encode(), id: signed.id(self.genesis), chain, destination: chain }
    }

    fn payment(
        &self,
        payer: usize,
        sequence: u64,
        (payee, destination): (WalletId, ChainId),
        fee: FeeBid,
    ) -> Signed {
        let Wallet { id: wallet, key, place, .. } = &self.wallets[payer];
        let chain = self.places[*place].chain;
        let operation =
            Operation::Pay { payments: vec![Payment { payee, amount: Amount::from_fen(1 + sequence) }] };
        let signer = Signer { genesis: self.genesis, chain, wallet: *wallet, key };
        let signed = signer.sign_for(Nonce { lane: 0, sequence }, operation, fee);
        Signed { bytes: signed.encode(), id: signed.id(self.genesis), chain, destination }
    }
}

impl Wallet {
    fn opening(&self) -> WalletOpening {
        let policy = Policy::single(self.key.public_key()).hash();
        WalletOpening { policy, salt: self.salt, tier: Tier::One }
    }
}

/// Submits and waits until every one is certified.
async fn settle(client: Client, genesis: GenesisHash, transactions: Vec<Transaction>) {
    let ids: Vec<_> = transactions.iter().map(|transaction| transaction.id(genesis)).collect();
    let mut rest = transactions;
    for _attempt in 0..600 {
        let answers = match client.submit_bulk(&rest).await {
            Ok(answers) => answers,
            Err(error) => {
                assert!(error.is_transient(), "set-up was refused: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let refused: Vec<_> = answers
            .iter()
            .zip(&rest)
            .filter(|(answer, _)| answer.status == api::SubmitStatus::Refused)
            .map(|(answer, transaction)| {
                let error = answer.error();
                assert!(
                    error.as_ref().is_some_and(|error| error.is_transient),
                    "set-up was refused: {error:?}"
                );
                transaction.clone()
            })
            .collect();
        if refused.is_empty() {
            // The last first: then most of the others are there at once.
            for id in ids.iter().rev() {
                let status = client.wait_certified(*id, SETTLED_WITHIN).await.unwrap();
                assert!(
                    status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied),
                    "set-up: {status:?}"
                );
            }
            return;
        }
        rest = refused;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("set-up transactions are refused again and again");
}
