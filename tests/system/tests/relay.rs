//! Two shards on different nodes: receipts find their way between nodes that host one shard each, over real processes, also when the
//! node that carries them dies and while the destination stands still.

use std::process::Command;
use std::time::{Duration, Instant};

use api::transaction::WaitFor;
use genesis::dev::{Localnet, LocalnetPlan};
use ledger::proofs::{Fact, ProofFile};
use ledger::records::receipt::receipt_id;
use ledger::records::{Operation, Transaction};
use ledger::values::{Canonical as _, ChainId, Currency, OperatorId, WalletId};
use system::{Cluster, Payer, customer, jiaozi_binary, pay};

const WAIT: Duration = Duration::from_secs(60);
const CNY: Currency = Currency(*b"CNY");
const HERE: ChainId = ChainId(0);
const THERE: ChainId = ChainId(1);
/// The nodes of the first shard, and those of the second.
const NODES_HERE: std::ops::Range<usize> = 0..4;
const NODES_THERE: std::ops::Range<usize> = 4..8;
/// The node that carries from the first shard to the second while it lives; the ranks are a unit test's.
const FIRST_CARRIER: usize = 1;

/// Four banks with two nodes each. Bank 1's own wallet holds 100,000 fen on the first shard.
struct Town {
    cluster: Cluster,
    bank: Payer,
    _directory: tempfile::TempDir,
}

/// The first four nodes vote on the first shard, the others on the second; a bank has one of each.
fn two_nodes_each(network: &mut Localnet) {
    let spec = &mut network.spec;
    let operators: Vec<OperatorId> = (0..8).map(|node| spec.nodes[node % 4].operator).collect();
    for (node, operator) in spec.nodes.iter_mut().zip(&operators) {
        node.operator = *operator;
    }
    for (place, chain) in spec.chains.iter_mut().enumerate() {
        chain.validators.retain(|seat| usize::from(seat.node.0) / 4 == place);
        for seat in &mut chain.validators {
            seat.operator = operators[usize::from(seat.node.0)];
        }
    }
    spec.check().unwrap();
}

impl Town {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = LocalnetPlan::new(8);
        plan.chains.push((CNY, 1));
        let hosted = |node: usize| vec![u32::from(NODES_THERE.contains(&node))];
        let mut cluster = Cluster::create_shaped(directory.path(), plan, hosted, two_nodes_each);
        cluster.spawn_ready(0..8).await;
        let bank = &cluster.localnet.banks[0].operator;
        let bank = Payer::operator_in(CNY, &cluster.localnet, bank.id, &bank.wallet_key);
        cluster.issue_first(HERE, bank.wallet, 100_000).await;
        Self { cluster, bank, _directory: directory }
    }

    async fn open(&self, number: u8) -> WalletId {
        let (wallet, opening) = customer(&self.bank, number);
        let open = Operation::OpenWallets { wallets: vec![opening] };
        self.cluster.certify(4, &self.bank.sign_on(THERE, 1, open)).await;
        wallet
    }

    /// Pays the payee as many fen as the nonce says, for each of these nonces, and waits until all is final.
    async fn pay(&self, node: usize, payee: WalletId, nonces: std::ops::RangeInclusive<u64>) {
        let client = self.cluster.client(node);
        let payments: Vec<Transaction> =
            nonces.map(|nonce| self.bank.sign_on(HERE, nonce, pay(&[(payee, nonce)]))).collect();
        for payment in &payments {
            client.submit(payment).await.unwrap();
        }
        for payment in &payments {
            client.wait_for(payment.id(self.bank.genesis), WaitFor::Final, WAIT).await.unwrap();
        }
    }

    /// Waits until a node sees this balance.
    async fn reaches(&self, node: usize, wallet: WalletId, chain: ChainId, fen: u64) {
        let (client, end) = (self.cluster.client(node), Instant::now() + WAIT);
        loop {
            let seen = client.wallet(wallet, Some(chain)).await.unwrap().balance_fen;
            if seen == fen {
                return;
            }
            assert!(Instant::now() < end, "node {node} sees {seen}, not {fen}\n{}", self.cluster.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What a node's metrics say of the way from the first shard to the second.
    async fn metric(&self, node: usize, name: &str) -> Option<u64> {
        let page = self.cluster.client(node).metrics().await.unwrap();
        let series = format!("jiaozi_chain_{name}{{chain=\"0\",destination=\"1\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
    }

    async fn metric_becomes(&self, node: usize, name: &str, is_it: impl Fn(u64) -> bool) {
        let end = Instant::now() + WAIT;
        while !self.metric(node, name).await.is_some_and(&is_it) {
            assert!(Instant::now() < end, "node {node}: {name}\n{}", self.cluster.logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a signal to all nodes of the second shard.
    fn signal_there(&self, signal: &str) {
        for node in NODES_THERE {
            let id = self.cluster.process_id(node).unwrap().to_string();
            assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_reaches_a_shard_that_no_node_of_its_own_hosts_or_comes_back() {
    let mut town = Town::new().await;
    let payee = town.open(10).await;
    let (nobody, _) = customer(&town.bank, 11);
    let payment = town.bank.sign_on(HERE, 1, pay(&[(payee, 300), (nobody, 200), (payee, 5)]));
    town.cluster.certify(3, &payment).await;
    for node in NODES_THERE {
        town.reaches(node, payee, THERE, 305).await;
    }
    for node in NODES_HERE {
        town.reaches(node, town.bank.wallet, HERE, 99_695).await;
    }
    // The credit is proved by a node that never saw the chain that paid.
    let id = receipt_id(town.bank.genesis, HERE, THERE, 0);
    let there = town.cluster.client(5);
    there.wait_certified(id, WAIT).await.unwrap();
    let proof = ProofFile::decode(&there.transaction_proof(id).await.unwrap()).unwrap();
    match proof.verify(&town.cluster.localnet.spec).unwrap().fact {
        Fact::Receipt { receipt, outcome, .. } => assert_eq!((receipt.value().fen(), outcome.code), (300, 0)),
        other => panic!("{other:?}"),
    }
    for node in NODES_HERE {
        town.metric_becomes(node, "waiting_receipts", |receipts| receipts == 0).await;
    }
    town.cluster.terminate_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_carries_on_and_a_destination_that_stood_still_catches_up() {
    let mut town = Town::new().await;
    let payee = town.open(20).await;
    town.pay(2, payee, 1..=10).await;
    town.cluster.kill(FIRST_CARRIER);
    town.pay(2, payee, 11..=20).await;
    for node in NODES_THERE {
        town.reaches(node, payee, THERE, (1..=20).sum()).await;
    }

    town.metric_becomes(2, "waiting_receipts", |receipts| receipts == 0).await;
    town.signal_there("-STOP");
    town.pay(2, payee, 21..=30).await;
    town.metric_becomes(2, "waiting_receipts", |receipts| receipts >= 10).await;
    town.metric_becomes(2, "relay_age_milliseconds", |age_ms| age_ms > 3_000).await;
    town.signal_there("-CONT");
    for node in NODES_THERE {
        town.reaches(node, payee, THERE, (1..=30).sum()).await;
    }
    town.metric_becomes(2, "waiting_receipts", |receipts| receipts == 0).await;

    // The first is back, and all of it was credited once.
    town.cluster.spawn_ready(FIRST_CARRIER..FIRST_CARRIER + 1).await;
    town.pay(FIRST_CARRIER, payee, 31..=35).await;
    let all: u64 = (1..=35).sum();
    for node in NODES_THERE {
        town.reaches(node, payee, THERE, all).await;
    }
    for node in NODES_HERE {
        town.reaches(node, town.bank.wallet, HERE, 100_000 - all).await;
    }
    town.cluster.terminate_all().await;

    // No node has both chains; an auditor puts one database of each into a folder.
    let both = town.cluster.directory.join("both");
    std::fs::create_dir(&both).unwrap();
    for (node, chain) in [(NODES_HERE.start, HERE), (NODES_THERE.start, THERE)] {
        let name = format!("chain-{chain}");
        std::fs::rename(town.cluster.data_directory(node).join(&name), both.join(&name)).unwrap();
    }
    let mut audit = Command::new(jiaozi_binary());
    audit.args(["audit", "replay", "--json", "--data"]).arg(&both);
    audit.arg("--genesis").arg(town.cluster.directory.join("genesis.json"));
    let audited = audit.env_remove("JIAOZI_NODE").output().unwrap();
    assert!(audited.status.success(), "{audited:?}");
    let told = String::from_utf8(audited.stdout).unwrap();
    assert!(told.contains("\"chain\": 0") && told.contains("\"chain\": 1"), "{told}");
}
