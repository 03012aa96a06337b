//! Payments between two shards of one currency, over real processes: credited or refunded exactly once, with proofs, also when a
//! bank is dead and when all of them are killed while money is under way.

use std::time::Duration;

use api::leg::{LegState, LegView};
use api::transaction::{TransactionState, WaitFor};
use genesis::dev::LocalnetPlan;
use ledger::proofs::{Fact, ProofFile};
use ledger::records::{ChainParams, Operation, Rejection, Tier, Transaction, WalletOpening};
use ledger::values::{Canonical as _, ChainId, Currency, WalletId};
use system::{Cluster, Payer, customer, pay};

const WAIT: Duration = Duration::from_secs(60);
const CNY: Currency = Currency(*b"CNY");
const HERE: ChainId = ChainId(0);
const THERE: ChainId = ChainId(1);

/// Four banks with two shards, as processes; bank 1's own wallet holds 10,000,000 fen on the first.
struct Town {
    cluster: Cluster,
    bank: Payer,
    _directory: tempfile::TempDir,
}

impl Town {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = LocalnetPlan::new(4);
        plan.chains.push((CNY, 1));
        let mut cluster = Cluster::create_of(directory.path(), plan, |_| vec![0, 1]);
        cluster.spawn_ready(0..4).await;
        let bank = &cluster.localnet.banks[0].operator;
        let bank = Payer::operator_in(CNY, &cluster.localnet, bank.id, &bank.wallet_key);
        cluster.issue_first(HERE, bank.wallet, 10_000_000).await;
        Self { cluster, bank, _directory: directory }
    }

    async fn open(&self, sequence: u64, number: u8) -> WalletId {
        let (wallet, opening) = customer(&self.bank, number);
        let open = Operation::OpenWallets { wallets: vec![opening] };
        self.cluster.certify(1, &self.bank.sign_on(THERE, sequence, open)).await;
        wallet
    }

    async fn settled(&self, node: usize, payment: &Transaction) -> Vec<LegView> {
        let id = payment.id(self.bank.genesis);
        let status = self.cluster.client(node).wait_for(id, WaitFor::Settled, WAIT).await;
        let status = status.unwrap_or_else(|fault| panic!("node {node}: {fault}\n{}", self.cluster.logs()));
        assert_eq!(status.status, TransactionState::Certified, "{status:?}");
        status.legs
    }

    async fn balance(&self, node: usize, wallet: WalletId, chain: ChainId) -> u64 {
        self.cluster.client(node).wallet(wallet, Some(chain)).await.unwrap().balance_fen
    }

    /// What the proof that a leg names says to somebody with the genesis file alone.
    async fn proved(&self, leg: &LegView) -> (u64, u16) {
        let id = leg.refund.filter(|_| leg.status == LegState::Refunded).unwrap_or(leg.receipt);
        let bytes = self.cluster.client(2).transaction_proof(id).await.unwrap();
        let proven = ProofFile::decode(&bytes).unwrap().verify(&self.cluster.localnet.spec).unwrap();
        match proven.fact {
            Fact::Receipt { receipt, outcome, .. } => (receipt.value().fen(), outcome.code),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_credited_on_another_shard_or_comes_back_with_proofs() {
    let mut town = Town::new().await;
    let payee = town.open(1, 10).await;
    let (nobody, _) = customer(&town.bank, 11);
    let (full, opening) = customer(&town.bank, 12);
    let open = Operation::OpenWallets { wallets: vec![WalletOpening { tier: Tier::Four, ..opening }] };
    town.cluster.certify(1, &town.bank.sign_on(THERE, 2, open)).await;
    let too_much = ChainParams::default().tier(Tier::Four).balance_max.fen() + 1;
    let payments = [(payee, 300), (nobody, 200), (payee, 5), (full, too_much)];
    let payment = town.bank.sign_on(HERE, 1, pay(&payments));
    town.cluster.certify(3, &payment).await;
    let legs = town.settled(2, &payment).await;
    let seen: Vec<(u16, u64, LegState, Option<u16>)> = legs
        .iter()
        .map(|leg| (leg.part, leg.amount_fen, leg.status, leg.refusal.as_ref().map(|refusal| refusal.code)))
        .collect();
    let unknown = Some(Rejection::PayeeUnknown.code());
    let above_limit = Some(Rejection::PayeeBalanceAboveTierLimit.code());
    assert_eq!(
        seen,
        [
            (0, 300, LegState::Credited, None),
            (1, 200, LegState::Refunded, unknown),
            (2, 5, LegState::Credited, None),
            (3, too_much, LegState::Refunded, above_limit)
        ]
    );
    for leg in &legs {
        assert!(leg.is_certified && leg.proof.is_some(), "{leg:?}");
        assert_eq!(town.proved(leg).await, (leg.amount_fen, 0));
    }
    for node in 0..4 {
        town.settled(node, &payment).await;
        assert_eq!(town.balance(node, town.bank.wallet, HERE).await, 9_999_695, "node {node}");
        assert_eq!(town.balance(node, payee, THERE).await, 305, "node {node}");
        assert_eq!(town.balance(node, full, THERE).await, 0, "node {node}");
    }
    town.cluster.terminate_all().await;
}

/// Below a wallet's nonce window and its places in a pool.
const PAYMENTS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_under_way_is_lost_or_doubled_when_banks_die() {
    let mut town = Town::new().await;
    let payee = town.open(1, 20).await;
    let (nobody, _) = customer(&town.bank, 21);
    // Every third payment comes back.
    let operation = |nonce: u64| pay(&[(if nonce.is_multiple_of(3) { nobody } else { payee }, nonce)]);
    let payments: Vec<Transaction> =
        (1..=PAYMENTS).map(|nonce| town.bank.sign_on(HERE, nonce, operation(nonce))).collect();
    let (first, second) = payments.split_at(payments.len() / 2);

    town.cluster.kill(3);
    for payment in first {
        town.cluster.client(1).submit(payment).await.unwrap();
    }
    town.settled(2, &first[first.len() - 1]).await;

    for payment in second {
        town.cluster.client(2).submit(payment).await.unwrap();
    }
    let last = second[second.len() - 1].id(town.bank.genesis);
    town.cluster.client(2).wait_for(last, WaitFor::Final, WAIT).await.unwrap();
    // Debited, and not yet credited: now all of them are gone at once.
    for node in 0..3 {
        town.cluster.kill(node);
    }
    town.cluster.spawn_ready(0..4).await;

    let mut back = 0;
    for (nonce, payment) in (1..).zip(&payments) {
        let legs = town.settled(3, payment).await;
        let expected = if nonce % 3 == 0 { LegState::Refunded } else { LegState::Credited };
        assert_eq!((legs.len(), legs[0].status, legs[0].amount_fen), (1, expected, nonce));
        back += if nonce % 3 == 0 { nonce } else { 0 };
    }
    let all: u64 = (1..=PAYMENTS).sum();
    for node in 0..4 {
        town.settled(node, &payments[payments.len() - 1]).await;
        assert_eq!(town.balance(node, payee, THERE).await, all - back, "node {node}");
        assert_eq!(town.balance(node, town.bank.wallet, HERE).await, 10_000_000 - all + back, "node {node}");
    }
    town.cluster.terminate_all().await;
}
