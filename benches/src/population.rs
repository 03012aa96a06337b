//! Wallets for a load: one key each, opened by the banks, funded by them, with payments signed before the clock starts.

use std::time::Duration;

use ledger::records::transaction::network_tag;
use ledger::records::wallet::{NONCE_WINDOW, Tier};
use ledger::records::{
    FeeBid, Nonce, Operation, Payment, Policy, Transaction, TransactionContent, WalletOpening,
};
use ledger::values::{
    Amount, Canonical, ChainId, Currency, GenesisHash, Hasher, SecretKey, TimestampMs, WalletId,
};
use rayon::prelude::*;
use system::{Cluster, Payer};

/// Wallets or payees of one set-up transaction.
const GROUP: usize = 64;
/// Lanes that set-up uses of an operator's wallet.
const LANES: u64 = 16;
/// What each wallet starts with.
const START_FEN: u64 = 1_000_000;

/// All wallets of a load.
pub(crate) struct Population {
    genesis: GenesisHash,
    pub(crate) wallets: Vec<(WalletId, SecretKey)>,
}

fn key(index: usize) -> SecretKey {
    SecretKey::from_seed(Hasher::new("jiaozi/bench-wallet").number(index as u64).finish().0)
}

fn salt(index: usize) -> [u8; 16] {
    (index as u128).to_le_bytes()
}

pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn sign(
    genesis: GenesisHash,
    wallet: WalletId,
    key: &SecretKey,
    nonce: Nonce,
    operation: Operation,
) -> Transaction {
    let content = TransactionContent {
        network: network_tag(genesis),
        chain: ChainId(0),
        wallet,
        nonce,
        valid_until: TimestampMs(now_ms() + 3_000_000),
        fee: FeeBid::default(),
        policy: Policy::single(key.public_key()),
        operation,
    };
    content.signed_by(genesis, key)
}

impl Population {
    pub(crate) fn new(genesis: GenesisHash, count: usize) -> Self {
        let wallet = |index| {
            let key = key(index);
            let policy = Policy::single(key.public_key()).hash();
            (WalletId::derive(genesis, Currency(*b"CNY"), policy, &salt(index)), key)
        };
        Self { genesis, wallets: (0..count).into_par_iter().map(wallet).collect() }
    }

    /// Issues money, opens every wallet and funds it; each bank does its share.
    pub(crate) async fn set_up(&self, cluster: &Cluster) {
        let localnet = &cluster.localnet;
        let central = Payer::operator(localnet, localnet.central_bank.id, &localnet.central_bank.wallet_key);
        let banks: Vec<Payer> = localnet
            .banks
            .iter()
            .map(|bank| Payer::operator(localnet, bank.operator.id, &bank.operator.wallet_key))
            .collect();
        let total = Amount::from_fen(START_FEN * self.wallets.len() as u64);
        let issues = banks.iter().zip(1..).map(|(bank, sequence)| {
            let nonce = Nonce { lane: 0, sequence };
            sign(
                self.genesis,
                central.wallet,
                &central.key,
                nonce,
                Operation::Issue { to: bank.wallet, amount: total },
            )
        });
        settle(cluster, 0, issues.collect()).await;
        let groups: Vec<(usize, Vec<usize>)> = (0..self.wallets.len())
            .collect::<Vec<_>>()
            .chunks(GROUP)
            .map(<[usize]>::to_vec)
            .enumerate()
            .collect();
        let open = |indexes: &[usize]| Operation::OpenWallets {
            wallets: indexes
                .iter()
                .map(|index| WalletOpening {
                    policy: Policy::single(self.wallets[*index].1.public_key()).hash(),
                    salt: salt(*index),
                    tier: Tier::One,
                })
                .collect(),
        };
        let fund = |indexes: &[usize]| Operation::Pay {
            payments: indexes
                .iter()
                .map(|index| Payment { payee: self.wallets[*index].0, amount: Amount::from_fen(START_FEN) })
                .collect(),
        };
        let per_bank = groups.len().div_ceil(banks.len()) as u64;
        self.by_banks(cluster, &banks, &groups, 0, open).await;
        self.by_banks(cluster, &banks, &groups, per_bank, fund).await;
    }

    /// Every bank signs its share of the groups and waits for them, a nonce window at a time.
    async fn by_banks(
        &self,
        cluster: &Cluster,
        banks: &[Payer],
        groups: &[(usize, Vec<usize>)],
        used: u64,
        operation: impl Fn(&[usize]) -> Operation + Sync,
    ) {
        let wave = usize::try_from(LANES * NONCE_WINDOW / 2).unwrap();
        for (bank, payer) in banks.iter().enumerate() {
            let own: Vec<_> = groups.iter().filter(|(group, _)| group % banks.len() == bank).collect();
            let signed: Vec<Transaction> = own
                .par_iter()
                .enumerate()
                .map(|(position, (_, indexes))| {
                    let place = used + position as u64;
                    let nonce =
                        Nonce { lane: u16::try_from(place % LANES).unwrap(), sequence: place / LANES + 1 };
                    sign(self.genesis, payer.wallet, &payer.key, nonce, operation(indexes))
                })
                .collect();
            for part in signed.chunks(wave.min(128)) {
                settle(cluster, bank, part.to_vec()).await;
            }
        }
    }

    /// Pre-signed payments, one payee each, payer and payee uniform over all wallets.
    pub(crate) fn payments(&self, count: usize, seed: u64) -> Vec<(Vec<u8>, ledger::values::TransactionId)> {
        let mut sequences = vec![0_u64; self.wallets.len()];
        let draw = |step: usize, what: u64| {
            let hash =
                Hasher::new("jiaozi/bench-draw").number(seed).number(step as u64).number(what).finish();
            usize::try_from(u64::from_le_bytes(hash.0[..8].try_into().unwrap()) % self.wallets.len() as u64)
                .unwrap()
        };
        let plan: Vec<(usize, usize, u64)> = (0..count)
            .map(|step| {
                let payer = draw(step, 0);
                let payee = (payer + 1 + draw(step, 1) % (self.wallets.len() - 1)) % self.wallets.len();
                sequences[payer] += 1;
                (payer, payee, sequences[payer])
            })
            .collect();
        plan.into_par_iter()
            .map(|(payer, payee, sequence)| {
                let (wallet, key) = &self.wallets[payer];
                let payment =
                    Payment { payee: self.wallets[payee].0, amount: Amount::from_fen(1 + sequence) };
                let nonce = Nonce { lane: 0, sequence };
                let signed =
                    sign(self.genesis, *wallet, key, nonce, Operation::Pay { payments: vec![payment] });
                (signed.encode(), signed.id(self.genesis))
            })
            .collect()
    }
}

/// Submits and waits until every one is certified.
async fn settle(cluster: &Cluster, bank: usize, transactions: Vec<Transaction>) {
    let client = cluster.client(bank);
    let genesis = cluster.localnet.spec.hash();
    let ids: Vec<_> = transactions.iter().map(|transaction| transaction.id(genesis)).collect();
    let mut rest = transactions;
    for _attempt in 0..600 {
        let answers = client.submit_bulk(&rest).await.unwrap();
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
            for id in ids.iter().rev().take(1) {
                client.wait_certified(*id, Duration::from_secs(60)).await.unwrap();
            }
            for id in &ids {
                let status = client.wait_certified(*id, Duration::from_secs(60)).await.unwrap();
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
