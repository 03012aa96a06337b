//! Real processes: one bank dies, all banks die under load, strangers, foreign and shared databases, open doors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::transaction::{SubmitStatus, TransactionState};
use genesis::GenesisFile;
use genesis::dev::Localnet;
use ledger::records::{Nonce, Operation, Payment, Transaction};
use ledger::values::{Amount, ChainId, GenesisHash, Height, SecretKey, TransactionId, WalletId};
use node::NodeConfig;
use system::{Cluster, Payer, jiaozi_binary};
use wallet::{KdfParams, KeyFile, Passphrase, Secret};

const WAIT: Duration = Duration::from_secs(40);

fn pay(to: WalletId, fen: u64) -> Operation {
    Operation::Pay { payments: vec![Payment { payee: to, amount: Amount::from_fen(fen) }] }
}

fn central(cluster: &Cluster) -> Payer {
    let secrets = &cluster.localnet.central_bank;
    Payer::operator(&cluster.localnet, secrets.id, &secrets.wallet_key)
}

fn bank(cluster: &Cluster, index: usize) -> Payer {
    let secrets = &cluster.localnet.banks[index].operator;
    Payer::operator(&cluster.localnet, secrets.id, &secrets.wallet_key)
}

async fn up(directory: &Path) -> Cluster {
    let mut cluster = Cluster::create(directory, 4);
    let jiaozi = jiaozi_binary();
    for index in 0..4 {
        cluster.spawn(index, &jiaozi);
    }
    for index in 0..4 {
        cluster.wait_ready(index, WAIT).await;
    }
    cluster
}

fn log_tails(cluster: &Cluster) -> String {
    let tail = |index: usize| {
        let path = cluster.directory.join(format!("bank-{index}/node.log"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("--- bank {index}\n{}", lines[lines.len().saturating_sub(12)..].join("\n"))
    };
    (0..4).map(tail).collect::<Vec<_>>().join("\n")
}

/// Submits and waits for the certificate; answers the height.
async fn certify(cluster: &Cluster, index: usize, transaction: &Transaction, genesis: GenesisHash) -> u64 {
    let client = cluster.client(index);
    let answer = client.submit(transaction).await;
    assert!(answer.is_ok(), "bank {index}: {answer:?}\n{}", log_tails(cluster));
    let status = client.wait_certified(transaction.id(genesis), WAIT).await;
    match status {
        Ok(status) if status.status == TransactionState::Certified => status.height.unwrap(),
        other => panic!("bank {index}: {other:?}\n{}", log_tails(cluster)),
    }
}

/// Waits until every bank executed at least `height` and all report the same state.
async fn wait_same_state(cluster: &Cluster, height: u64) {
    let end = Instant::now() + WAIT;
    loop {
        let mut states = Vec::new();
        for index in 0..4 {
            let progress =
                cluster.client(index).chains().await.ok().and_then(|view| view.chains[0].progress.clone());
            states.push(progress.map(|progress| (progress.height, progress.state_root)));
        }
        let roots: BTreeSet<_> = states.iter().map(|state| state.as_ref().map(|(_, root)| root.0)).collect();
        if roots.len() == 1 && states.iter().all(|state| state.as_ref().is_some_and(|(at, _)| *at >= height))
        {
            return;
        }
        assert!(Instant::now() < end, "not the same state: {states:?}\n{}", log_tails(cluster));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_four_dies_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = up(directory.path()).await;
    let (central, bank) = (central(&cluster), bank(&cluster, 0));
    let issue = central.sign(1, Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1_000) });
    certify(&cluster, 0, &issue, bank.genesis).await;

    cluster.kill(3);
    let mut height = 0;
    for sequence in 1..=5 {
        let payment = bank.sign(sequence, pay(central.wallet, 10));
        height = certify(&cluster, (sequence % 3) as usize, &payment, bank.genesis).await;
    }
    assert!(cluster.client(3).health().await.is_err(), "bank 3 is dead");

    cluster.spawn(3, &jiaozi_binary());
    cluster.wait_ready(3, WAIT).await;
    wait_same_state(&cluster, height).await;
    let last = bank.sign(6, pay(central.wallet, 10));
    certify(&cluster, 3, &last, bank.genesis).await;
    assert_eq!(cluster.client(3).wallet(bank.wallet, None).await.unwrap().balance_fen, 940);
}

/// What a bank answered before the lights went out.
type Answered = Arc<Mutex<BTreeMap<TransactionId, (u64, u32)>>>;

/// Per lane: transactions of each bank's wallet. Below the nonce window, so that any order executes.
const PER_LANE: u64 = 100;
const LANES: u16 = 4;
const AT_ONCE: usize = 10;
/// Below the places that one wallet has in a pool.
const POOL_SHARE: usize = 100;

/// Sends a bank's transactions until the bank is gone; notes what the next bank says is final.
async fn load(
    own: api::Client,
    other: api::Client,
    transactions: Vec<Transaction>,
    genesis: GenesisHash,
    answered: Answered,
) {
    let mut chunks = transactions.chunks(AT_ONCE);
    let mut open: VecDeque<TransactionId> = VecDeque::new();
    loop {
        if let Some(chunk) = chunks.next() {
            if own.submit_bulk(chunk).await.is_err() {
                return;
            }
            open.extend(chunk.iter().map(|transaction| transaction.id(genesis)));
        }
        for _ in 0..AT_ONCE.min(open.len()) {
            let Some(id) = open.pop_front() else { break };
            let Ok(status) = other.transaction(id).await else { return };
            match (status.status, status.height, status.index) {
                (TransactionState::Final | TransactionState::Certified, Some(height), Some(index)) => {
                    answered.lock().unwrap().insert(id, (height, index));
                }
                _ => open.push_back(id),
            }
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

fn signed(payer: &Payer, to: WalletId) -> Vec<Transaction> {
    let mut signed = Vec::new();
    for sequence in 1..=PER_LANE {
        for lane in 0..LANES {
            let mut content = payer.sign(sequence, pay(to, 1)).content;
            content.nonce = Nonce { lane, sequence };
            signed.push(content.signed_by(payer.genesis, &payer.key));
        }
    }
    signed
}

/// Every outcome a bank holds: id, place and code.
async fn outcomes(client: &api::Client) -> Vec<(TransactionId, (u64, u32), u16)> {
    let height = client.chains().await.unwrap().chains[0].progress.as_ref().unwrap().height;
    let mut all = Vec::new();
    for height in 1..=height {
        for outcome in client.outcomes(ChainId(0), Height(height)).await.unwrap() {
            all.push((outcome.id, (height, outcome.index), outcome.code));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn all_four_die_at_once_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = up(directory.path()).await;
    let central = central(&cluster);
    let genesis = central.genesis;
    let banks: Vec<Payer> = (0..4).map(|index| bank(&cluster, index)).collect();
    for (sequence, bank) in (1..).zip(&banks) {
        let issue =
            central.sign(sequence, Operation::Issue { to: bank.wallet, amount: Amount::from_fen(10_000) });
        certify(&cluster, 0, &issue, genesis).await;
    }
    let answered = Answered::default();
    let all: Vec<Vec<Transaction>> = banks.iter().map(|bank| signed(bank, central.wallet)).collect();
    let tasks: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(index, transactions)| {
            let (own, other) = (cluster.client(index), cluster.client((index + 1) % 4));
            tokio::spawn(load(own, other, transactions.clone(), genesis, Arc::clone(&answered)))
        })
        .collect();
    let end = Instant::now() + WAIT;
    while answered.lock().unwrap().len() < 150 {
        assert!(Instant::now() < end, "nothing becomes final under load\n{}", log_tails(&cluster));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill_all(&mut cluster);
    for task in tasks {
        task.await.unwrap();
    }
    let answered = answered.lock().unwrap().clone();
    let total = all.iter().map(Vec::len).sum::<usize>();
    println!("{} of {total} were answered as final before all banks were killed", answered.len());
    assert!(answered.len() < total, "the load was over before the banks were killed");

    for index in 0..4 {
        cluster.spawn(index, &jiaozi_binary());
    }
    for index in 0..4 {
        cluster.wait_ready(index, WAIT).await;
    }
    for index in 0..4 {
        let held: BTreeMap<_, _> =
            outcomes(&cluster.client(index)).await.into_iter().map(|(id, place, _)| (id, place)).collect();
        for (id, place) in &answered {
            assert_eq!(held.get(id), Some(place), "bank {index} lost {id}\n{}", log_tails(&cluster));
        }
    }
    finish_and_compare(&cluster, &banks, &all, genesis).await;
}

/// Sends everything once more: what was lost on the way is executed now, what was executed is known.
async fn finish_and_compare(
    cluster: &Cluster,
    banks: &[Payer],
    all: &[Vec<Transaction>],
    genesis: GenesisHash,
) {
    for (index, transactions) in all.iter().enumerate() {
        for chunk in transactions.chunks(POOL_SHARE) {
            submit_until_taken(cluster, index, chunk).await;
        }
    }
    let mut height = 0;
    for transaction in all.iter().flatten() {
        let status = cluster.client(0).wait_certified(transaction.id(genesis), WAIT).await;
        let status = status.unwrap_or_else(|fault| panic!("{fault}\n{}", log_tails(cluster)));
        assert_eq!(status.status, TransactionState::Certified, "{status:?}");
        height = height.max(status.height.unwrap());
    }
    wait_same_state(cluster, height).await;
    let mut first = None;
    for index in 0..4 {
        let mut held = outcomes(&cluster.client(index)).await;
        held.retain(|(_, (at, _), _)| *at <= height);
        let ids: BTreeSet<_> = held.iter().map(|(id, ..)| *id).collect();
        assert_eq!(ids.len(), held.len(), "bank {index} executed a transaction twice");
        assert!(held.iter().all(|(.., code)| *code == 0), "bank {index} rejected a payment");
        assert!(all.iter().flatten().all(|transaction| ids.contains(&transaction.id(genesis))));
        assert_eq!(first.get_or_insert_with(|| held.clone()), &held, "bank {index} and bank 0 differ");
        for bank in banks {
            let left = cluster.client(index).wallet(bank.wallet, None).await.unwrap().balance_fen;
            assert_eq!(left, 10_000 - PER_LANE * u64::from(LANES), "bank {index}: each payment once");
        }
    }
}

/// A wallet has a bounded share of the pool: what finds no place is sent again.
async fn submit_until_taken(cluster: &Cluster, index: usize, chunk: &[Transaction]) {
    let end = Instant::now() + WAIT;
    loop {
        let answers = cluster.client(index).submit_bulk(chunk).await.unwrap();
        let refused = answers.iter().find(|answer| answer.status == SubmitStatus::Refused);
        let Some(refused) = refused.and_then(api::bulk::BulkAnswer::error) else { return };
        assert!(
            refused.is_transient && Instant::now() < end,
            "bank {index}: {refused}\n{}",
            log_tails(cluster)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// SIGKILL to all four in one go.
fn kill_all(cluster: &mut Cluster) {
    let ids: Vec<String> = (0..4).map(|index| cluster.process_id(index).unwrap().to_string()).collect();
    assert!(Command::new("kill").arg("-9").args(&ids).status().unwrap().success());
    for index in 0..4 {
        cluster.kill(index);
    }
}

// ---- who is not let in -----------------------------------------------------------------------------------------------

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A bank's configuration, changed and written beside the original.
fn reconfigured(
    cluster: &Cluster,
    index: usize,
    name: &str,
    change: impl FnOnce(&mut NodeConfig),
) -> PathBuf {
    let folder = cluster.directory.join(format!("bank-{index}"));
    let mut config = NodeConfig::load(&folder.join("node.toml")).unwrap();
    config.rest.listen.set_port(free_port());
    config.network.listen = Some(format!("127.0.0.1:{}", free_port()));
    change(&mut config);
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    path
}

/// Starts a node as a process that writes to `log`.
fn spawn_node(config: &Path, log: &Path) -> Child {
    let file = File::create(log).unwrap();
    Command::new(jiaozi_binary())
        .args(["node", "run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap()
}

/// Runs a node that should not start; answers its exit status and what it said.
fn run_to_the_end(config: &Path, limit: Duration) -> (ExitStatus, String) {
    let log = config.with_extension("log");
    let mut child = spawn_node(config, &log);
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status, std::fs::read_to_string(&log).unwrap());
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the node did not refuse to start: {}", std::fs::read_to_string(&log).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn assert_refused(case: &str, config: &Path, exit: i32, words: &[&str]) {
    let (status, said) = run_to_the_end(config, Duration::from_secs(20));
    println!("{case}: {status}\n{said}");
    assert_eq!(status.code(), Some(exit), "{case}: {said}");
    for word in words {
        assert!(said.contains(word), "{case} does not say {word:?}: {said}");
    }
}

#[test]
fn databases_and_doors_that_are_refused_at_start() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut cluster = Cluster::create(first.path(), 4);
    cluster.spawn(0, &jiaozi_binary());
    let store = cluster.data_directory(0).join("chain-0/store");
    let end = Instant::now() + WAIT;
    while !store.join("CURRENT").exists() {
        assert!(Instant::now() < end, "bank 0 made no database\n{}", log_tails(&cluster));
        std::thread::sleep(Duration::from_millis(50));
    }
    let shared = reconfigured(&cluster, 0, "shared", |_| {});
    let mend = "next   stop the process that uses it";
    assert_refused("a second process on one database", &shared, 1, &["data_directory", "in use", mend]);

    // The second network has other addresses, so another genesis.
    cluster.kill(0);
    let other = Cluster::create(second.path(), 4);
    assert_ne!(other.localnet.spec.hash(), cluster.localnet.spec.hash());
    let data = cluster.data_directory(0);
    let foreign = reconfigured(&other, 1, "foreign", |config| config.node.data_directory = data);
    let expected = other.localnet.spec.hash().to_string();
    let mend = "next   point the configuration at this chain's own data directory";
    assert_refused("a foreign database", &foreign, 1, &["data_directory", "holds", &expected, mend]);

    // With chain 0, which may come to know it, it would be waited for.
    let chain = reconfigured(&other, 1, "chain", |config| {
        config.node.chains = vec![7];
        config.keys.consensus_keys.clear();
    });
    assert_refused("a chain that does not exist", &chain, 1, &["no chain 7", "next   name chains that"]);
    let taken = reconfigured(&other, 1, "taken", |config| config.network.listen = Some("192.0.2.1:1".into()));
    assert_refused(
        "an address of another machine",
        &taken,
        1,
        &["cannot listen", "next   set [network] listen"],
    );
    let open = reconfigured(&other, 1, "open", |config| config.rest.listen.set_ip([192, 0, 2, 1].into()));
    assert_refused("REST beyond loopback without TLS and token", &open, 2, &["[rest] listen", "192.0.2.1"]);
    let stranger = reconfigured(&other, 1, "stranger", |config| {
        config.node.genesis = first.path().join("genesis.json");
        config.keys.network_key = stranger_key(second.path());
    });
    assert_refused("a network key that is not in the registry", &stranger, 1, &["network_key"]);
}

/// A network key that no registry has, sealed in a file.
fn stranger_key(folder: &Path) -> PathBuf {
    let path = folder.join("stranger-key.json");
    let passphrase = Passphrase::new("only for this test").unwrap();
    let secret = Secret::NetworkKey(SecretKey::from_seed([77; 32]));
    KeyFile::seal(&secret, "stranger", &passphrase, KdfParams::FAST).unwrap().save(&path).unwrap();
    path
}

/// Nodes that believe in another network with our addresses and keys: one has bank 3's very key, one a key of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_connection() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = up(directory.path()).await;
    cluster.kill(3);
    wait_connected(&cluster, 0, 3, false).await;

    let mut same_key = cluster.localnet.clone();
    same_key.spec.network = "another network".to_owned();
    let mut other_key = cluster.localnet.clone();
    other_key.banks[3].network_key = SecretKey::from_seed([77; 32]);
    other_key.spec.nodes[3].network_key = other_key.banks[3].network_key.public_key();
    let mut strangers = Vec::new();
    for (name, believed) in [("same-key", &same_key), ("other-key", &other_key)] {
        assert_ne!(believed.spec.hash(), cluster.localnet.spec.hash());
        strangers.push(Stranger::start(&cluster, &directory.path().join(name), believed));
    }
    // Our own bank 3 is back within a second; five are enough for strangers that dial all the time.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        for index in 0..3 {
            let view = cluster.client(index).network().await.unwrap();
            assert!(
                !view.nodes[3].is_connected,
                "bank {index} took a stranger for bank 3\n{}",
                log_tails(&cluster)
            );
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let said: Vec<String> = strangers.iter_mut().map(Stranger::stop).collect();
    // Whoever notices first closes the connection, so the other may not learn why.
    let banks = (0..3).map(|index| cluster.directory.join(format!("bank-{index}/node.log")));
    let banks: String = banks.map(|log| std::fs::read_to_string(log).unwrap()).collect();
    let is_told = said[0].contains("another network") || banks.contains("another network");
    assert!(is_told, "the handshake tells the networks apart: {}\n{}", said[0], log_tails(&cluster));
    for said in said {
        // With a quorum of connections it would have started at once.
        assert!(said.contains("fewer peers than a quorum") || !said.contains("node started"), "{said}");
    }
    // The others never stopped, and the real bank 3 is let in.
    let (central, bank) = (central(&cluster), bank(&cluster, 0));
    let issue = central.sign(1, Operation::Issue { to: bank.wallet, amount: Amount::from_fen(5) });
    certify(&cluster, 1, &issue, bank.genesis).await;
    cluster.spawn(3, &jiaozi_binary());
    wait_connected(&cluster, 0, 3, true).await;
}

async fn wait_connected(cluster: &Cluster, from: usize, to: usize, wanted: bool) {
    let end = Instant::now() + WAIT;
    while cluster.client(from).network().await.unwrap().nodes[to].is_connected != wanted {
        assert!(Instant::now() < end, "bank {from} to bank {to}: never {wanted}\n{}", log_tails(cluster));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process of a node that is not of our network. Ends when dropped.
struct Stranger {
    child: Child,
    log: PathBuf,
}

impl Stranger {
    /// Node 3 of `other`, which dials our banks 0 to 2.
    fn start(cluster: &Cluster, folder: &Path, other: &Localnet) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        GenesisFile::from_spec(&other.spec).save(&folder.join("genesis.json")).unwrap();
        let passphrase = Passphrase::new("only for this test").unwrap();
        let seal = |secret: Secret, name: &str| {
            KeyFile::seal(&secret, name, &passphrase, KdfParams::FAST)
                .unwrap()
                .save(&folder.join(name))
                .unwrap();
        };
        seal(Secret::NetworkKey(other.banks[3].network_key.clone()), "network.json");
        seal(Secret::ConsensusKey(other.banks[3].validators[0].2.clone()), "consensus.json");
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let config = reconfigured(cluster, 3, &name, |config| {
            config.node.genesis = folder.join("genesis.json");
            config.node.data_directory = folder.join("data");
            config.keys.network_key = folder.join("network.json");
            config.keys.consensus_keys[0].keystore = folder.join("consensus.json");
        });
        let log = folder.join("node.log");
        let child = spawn_node(&config, &log);
        Self { child, log }
    }

    /// Ends it; it must have been running until now. Answers what it said.
    fn stop(&mut self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap();
        assert!(self.child.try_wait().unwrap().is_none(), "the stranger ended by itself: {said}");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        println!("{}:\n{said}", self.log.display());
        said
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _already_gone = self.child.kill().is_err();
        let _reaped = self.child.wait().is_err();
    }
}
