//! Four banks in one process: everything real but the process borders.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness fails loudly")]

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use genesis::GenesisFile;
use genesis::dev::{Localnet, LocalnetPlan, localnet};
use genesis::governance::SeatOffer;
use ledger::records::transaction::network_tag;
use ledger::records::{
    ChainParams, FeeBid, NodeRecord, Nonce, Operation, OperatorRecord, OperatorRole, Policy, Transaction,
    TransactionContent, ValidatorRecord,
};
use ledger::values::{
    ChainId, Currency, GenesisHash, NodeIndex, OperatorId, SecretKey, TimestampMs, WalletId,
};
use node::config::{ConsensusKeyEntry, JoinBy, KeysSection, NodeSection};
use node::{Node, NodeConfig};
use wallet::{KdfParams, KeyFile, Passphrase, Secret};

use crate::proxy::Door;

/// The banks of a small network.
pub struct Cluster {
    /// What the network starts with, secrets included.
    pub localnet: Localnet,
    /// Files of all banks.
    pub directory: PathBuf,
    nodes: Vec<Option<Running>>,
    rest_ports: Vec<u16>,
    /// The chains that each bank's node hosts.
    hosted: Vec<Vec<u32>>,
    /// Where the nodes of banks listen that came after genesis.
    joined: BTreeMap<usize, String>,
    /// Where nodes listen that are reached through something else at the registry's address.
    apart: BTreeMap<usize, String>,
    /// What banks' processes get into their environment.
    environment: BTreeMap<usize, Vec<(String, String)>>,
}

/// A bank that genesis does not have: what is proposed of it, and its secrets.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// The bank.
    pub operator: OperatorRecord,
    /// Its cold key.
    pub operator_key: SecretKey,
    /// Its node; the operator's id is the one that it will get.
    pub node: NodeRecord,
    /// Its validator on chain 0.
    pub validator: ValidatorRecord,
}

/// A bank's node while it runs.
enum Running {
    /// In this process.
    Inside(Box<Node>),
    /// A process of its own.
    Process(Child),
}

/// A wallet that pays.
#[derive(Debug, Clone)]
pub struct Payer {
    /// The network.
    pub genesis: GenesisHash,
    /// The wallet.
    pub wallet: WalletId,
    /// Its one key.
    pub key: SecretKey,
}

impl Payer {
    /// The own wallet of an operator on chain 0.
    #[must_use]
    pub fn operator(localnet: &Localnet, id: OperatorId, key: &SecretKey) -> Self {
        Self::operator_in(Currency(*b"CNY"), localnet, id, key)
    }

    /// The own wallet of an operator in a currency.
    #[must_use]
    pub fn operator_in(currency: Currency, localnet: &Localnet, id: OperatorId, key: &SecretKey) -> Self {
        let genesis = localnet.spec.hash();
        let registry = ledger::records::Registry::from_genesis(&localnet.spec);
        let wallet = registry.operator_wallet(genesis, currency, id).unwrap_or_default();
        Self { genesis, wallet, key: key.clone() }
    }

    /// Signs an operation on chain 0.
    #[must_use]
    pub fn sign(&self, sequence: u64, operation: Operation) -> Transaction {
        self.sign_on(ChainId(0), sequence, operation)
    }

    /// Signs an operation on a chain.
    #[must_use]
    pub fn sign_on(&self, chain: ChainId, sequence: u64, operation: Operation) -> Transaction {
        self.sign_for(chain, sequence, operation, VALID_MS)
    }

    /// Signs an operation that is valid for so many milliseconds from now on, by this machine's clock.
    #[must_use]
    pub fn sign_for(
        &self,
        chain: ChainId,
        sequence: u64,
        operation: Operation,
        valid_ms: u64,
    ) -> Transaction {
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain,
            wallet: self.wallet,
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(now_ms() + valid_ms),
            fee: FeeBid::default(),
            policy: Policy::single(self.key.public_key()),
            operation,
        };
        content.signed_by(self.genesis, &self.key)
    }
}

/// How long what is signed is valid.
const VALID_MS: u64 = 600_000;

/// This machine's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Where the search for free ports begins and ends: below the range of outgoing connections, so that nobody's connection sits on a port
/// between its choice and its use.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Free ports on loopback: bound together, so no two are equal, and released at once. Each search of each process begins elsewhere.
fn free_ports(count: usize) -> Vec<u16> {
    static SEARCHES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let searches = SEARCHES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let first = std::process::id().wrapping_mul(7_919).wrapping_add(searches.wrapping_mul(401));
    let first = usize::try_from(first).unwrap() % PORTS.len();
    let held: Vec<TcpListener> = PORTS
        .cycle()
        .skip(first)
        .take(PORTS.len())
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .take(count)
        .collect();
    assert_eq!(held.len(), count, "not enough free ports");
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl Cluster {
    /// Writes the files of `banks` banks below `directory`; starts nothing.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    #[must_use]
    pub fn create(directory: &Path, banks: usize) -> Self {
        Self::create_with(directory, banks, ChainParams::default())
    }

    /// The same with parameters of the chain's own.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    #[must_use]
    pub fn create_with(directory: &Path, banks: usize, params: ChainParams) -> Self {
        Self::create_of(directory, LocalnetPlan { params, ..LocalnetPlan::new(banks) }, |_| vec![0])
    }

    /// The same of any plan, whose addresses are replaced by free ones; `hosted` gives the chains of each bank's node.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    #[must_use]
    pub fn create_of(directory: &Path, plan: LocalnetPlan, hosted: impl Fn(usize) -> Vec<u32>) -> Self {
        Self::create_shaped(directory, plan, hosted, |_| {})
    }

    /// The same of what `shape` makes of the network: whose the nodes are, and which of them vote where.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    #[must_use]
    pub fn create_shaped(
        directory: &Path,
        plan: LocalnetPlan,
        hosted: impl Fn(usize) -> Vec<u32>,
        shape: impl FnOnce(&mut Localnet),
    ) -> Self {
        let banks = plan.addresses.len();
        let addresses = free_ports(banks).into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut localnet = localnet(&LocalnetPlan { addresses, ..plan }, &[7; 32]).unwrap();
        shape(&mut localnet);
        GenesisFile::from_spec(&localnet.spec).save(&directory.join("genesis.json")).unwrap();
        let passphrase = Passphrase::new("only for this test").unwrap();
        passphrase.save(&directory.join("passphrase")).unwrap();
        for (index, bank) in localnet.banks.iter().enumerate() {
            let folder = directory.join(format!("bank-{index}"));
            std::fs::create_dir_all(&folder).unwrap();
            let seal = |secret: Secret, name: &str| {
                let file = KeyFile::seal(&secret, name, &passphrase, KdfParams::FAST).unwrap();
                file.save(&folder.join(name)).unwrap();
            };
            seal(Secret::NetworkKey(bank.network_key.clone()), "network.json");
            for (chain, _, key) in &bank.validators {
                seal(Secret::ConsensusKey(key.clone()), &format!("consensus-{chain}.json"));
            }
        }
        let nodes = (0..banks).map(|_| None).collect();
        let (rest_ports, hosted) = (free_ports(banks), (0..banks).map(hosted).collect());
        let cluster = Self {
            localnet,
            directory: directory.to_owned(),
            nodes,
            rest_ports,
            hosted,
            joined: BTreeMap::new(),
            apart: BTreeMap::new(),
            environment: BTreeMap::new(),
        };
        for index in 0..banks {
            let text = toml::to_string(&cluster.config(index)).unwrap();
            std::fs::write(cluster.directory.join(format!("bank-{index}/node.toml")), text).unwrap();
            node::init(&cluster.config(index)).unwrap();
        }
        cluster
    }

    /// Has every node listen at another address than the registry's, for whatever takes that one: the proxies between them.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    pub fn set_apart(&mut self) -> Vec<Door> {
        let ports = free_ports(self.nodes.len());
        let mut doors = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let own = format!("127.0.0.1:{port}");
            self.apart.insert(index, own.clone());
            let text = toml::to_string(&self.config(index)).unwrap();
            std::fs::write(self.directory.join(format!("bank-{index}/node.toml")), text).unwrap();
            doors.push(Door { public: self.localnet.spec.nodes[index].address.clone(), own });
        }
        doors
    }

    /// Sets what a bank's process has in its environment from its next start on, beside what this one has.
    pub fn set_environment(&mut self, index: usize, variables: Vec<(String, String)>) {
        self.environment.insert(index, variables);
    }

    /// Changes what a bank's node reads at its next start; what rewrites its configuration later forgets it.
    ///
    /// # Panics
    /// When the file cannot be written: this is a test.
    pub fn configure(&self, index: usize, change: impl FnOnce(&mut NodeConfig)) {
        let mut config = self.config(index);
        change(&mut config);
        let path = self.directory.join(format!("bank-{index}/node.toml"));
        std::fs::write(path, toml::to_string(&config).unwrap()).unwrap();
    }

    /// Writes the files of one more bank, which joins chain 0 by governance; starts nothing.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    pub fn add_bank(&mut self) -> Newcomer {
        let index = self.nodes.len();
        let ports = free_ports(2);
        let address = format!("127.0.0.1:{}", ports[0]);
        let key = |number: u8| SecretKey::from_seed([0x80 + number; 32]);
        let (operator_key, wallet_key, network_key, consensus_key) = (key(0), key(1), key(2), key(3));
        std::fs::create_dir_all(self.directory.join(format!("bank-{index}"))).unwrap();
        self.seal(index, Secret::NetworkKey(network_key.clone()), "network.json");
        self.seal(index, Secret::ConsensusKey(consensus_key.clone()), "consensus-0.json");
        self.nodes.push(None);
        self.rest_ports.push(ports[1]);
        self.hosted.push(vec![0]);
        self.joined.insert(index, address.clone());
        let text = toml::to_string(&self.config(index)).unwrap();
        std::fs::write(self.directory.join(format!("bank-{index}/node.toml")), text).unwrap();
        node::init(&self.config(index)).unwrap();
        // The central bank is operator 0.
        let operator = OperatorId(u16::try_from(self.localnet.spec.operators.len()).unwrap());
        let node = NodeIndex(u16::try_from(index).unwrap());
        Newcomer {
            operator: OperatorRecord {
                name: "Fifth Bank".to_owned(),
                role: OperatorRole::Bank,
                key: operator_key.public_key(),
                wallet_policy: Policy::single(wallet_key.public_key()),
            },
            operator_key,
            node: NodeRecord { operator, network_key: network_key.public_key(), address },
            validator: ValidatorRecord { operator, node, consensus_key: consensus_key.public_key() },
        }
    }

    /// Puts a bank's next consensus key for chain 0 beside the one in use.
    ///
    /// # Panics
    /// When the file cannot be written: this is a test.
    pub fn add_next_key(&self, index: usize, key: &SecretKey) {
        self.seal(index, Secret::ConsensusKey(key.clone()), "consensus-0.next.json");
    }

    fn seal(&self, index: usize, secret: Secret, name: &str) {
        let passphrase = Passphrase::load(&self.directory.join("passphrase")).unwrap();
        let file = KeyFile::seal(&secret, name, &passphrase, KdfParams::FAST).unwrap();
        file.save(&self.directory.join(format!("bank-{index}/{name}"))).unwrap();
    }

    /// Starts one bank's node as a process of its own; `jiaozi` is the binary.
    ///
    /// # Panics
    /// When the process does not start.
    pub fn spawn(&mut self, index: usize, jiaozi: &Path) {
        let folder = self.directory.join(format!("bank-{index}"));
        let log = File::options().create(true).append(true).open(folder.join("node.log")).unwrap();
        let child = Command::new(jiaozi)
            .args(["node", "run", "--config"])
            .arg(folder.join("node.toml"))
            .envs(self.environment.get(&index).into_iter().flatten().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.nodes[index] = Some(Running::Process(child));
    }

    /// What a bank's node offers for a chain that is to be added, as its operator asks for it: `jiaozi node add-chain`.
    ///
    /// # Panics
    /// When the program refuses: this is a test.
    #[must_use]
    pub fn offer_chain(&self, index: usize, chain: ChainId, jiaozi: &Path) -> SeatOffer {
        let out = self.directory.join(format!("bank-{index}/offer-{chain}.json"));
        let mut command = self.add_chain(index, chain, jiaozi);
        let made = command.arg("--out").arg(&out).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        SeatOffer::load(&out).unwrap()
    }

    /// Writes a chain that was added into a bank's configuration: `jiaozi node add-chain --host`. The node hosts it from its next start on.
    ///
    /// # Panics
    /// When the program refuses: this is a test.
    pub fn host_chain(&mut self, index: usize, chain: ChainId, jiaozi: &Path) {
        let made = self.add_chain(index, chain, jiaozi).arg("--host").output().unwrap();
        assert!(made.status.success(), "{made:?}");
        self.hosted[index].push(chain.0);
    }

    /// What the program says where it must not host a chain: `jiaozi node add-chain --host`, refused.
    ///
    /// # Panics
    /// When it does not refuse: this is a test.
    #[must_use]
    pub fn refused_to_host(&self, index: usize, chain: ChainId, jiaozi: &Path) -> String {
        let refused = self.add_chain(index, chain, jiaozi).arg("--host").output().unwrap();
        assert!(!refused.status.success(), "{refused:?}");
        String::from_utf8(refused.stderr).unwrap()
    }

    /// Writes a chain into a bank's configuration by hand, whether it can begin or not. Its key must have been offered.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    pub fn name_chain(&mut self, index: usize, chain: ChainId) {
        self.hosted[index].push(chain.0);
        let config = self.config(index);
        let path = self.directory.join(format!("bank-{index}/node.toml"));
        std::fs::write(path, toml::to_string(&config).unwrap()).unwrap();
        node::init_chain(&config, chain).unwrap();
    }

    /// Takes a chain out of a bank's configuration; the next start does without it.
    ///
    /// # Panics
    /// When the file cannot be written: this is a test.
    pub fn drop_chain(&mut self, index: usize, chain: ChainId) {
        self.hosted[index].retain(|hosted| *hosted != chain.0);
        let path = self.directory.join(format!("bank-{index}/node.toml"));
        std::fs::write(path, toml::to_string(&self.config(index)).unwrap()).unwrap();
    }

    fn add_chain(&self, index: usize, chain: ChainId, jiaozi: &Path) -> Command {
        let mut command = Command::new(jiaozi);
        command.args(["node", "add-chain", "--chain", &chain.to_string(), "--config"]);
        command.arg(self.directory.join(format!("bank-{index}/node.toml")));
        command
    }

    /// Stops a bank's process as an operator would (SIGTERM), waits for its end, and starts it again.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn restart(&mut self, index: usize, jiaozi: &Path) {
        if let Some(Running::Process(mut child)) = self.nodes[index].take() {
            ask_to_stop(&child);
            wait_end(&mut child).await;
        }
        self.spawn(index, jiaozi);
    }

    /// Process id of a bank's node, if it is a process.
    #[must_use]
    pub fn process_id(&self, index: usize) -> Option<u32> {
        match self.nodes[index].as_ref()? {
            Running::Process(child) => Some(child.id()),
            Running::Inside(_) => None,
        }
    }

    /// Sends a signal to banks' processes, all at once: `STOP`, `CONT`, `KILL`.
    ///
    /// # Panics
    /// When one of them is no process, or is gone.
    pub fn signal(&self, banks: &[usize], name: &str) {
        let ids = banks.iter().map(|index| self.process_id(*index).unwrap().to_string());
        let sent = Command::new("kill").arg(format!("-{name}")).args(ids).status().unwrap();
        assert!(sent.success(), "{name} to banks {banks:?}");
    }

    /// Kills a bank's process as a loss of power would (SIGKILL).
    pub fn kill(&mut self, index: usize) {
        if let Some(Running::Process(mut child)) = self.nodes[index].take() {
            let _already_gone = child.kill().is_err();
            let _reaped = child.wait().is_err();
        }
    }

    /// Waits until a bank's node says that it is ready.
    ///
    /// # Panics
    /// When it is not within `limit`.
    pub async fn wait_ready(&self, index: usize, limit: Duration) {
        let client = self.client(index);
        let end = Instant::now() + limit;
        while !client.ready().await.is_ok_and(|ready| ready.is_ready) {
            assert!(!self.has_ended(index), "bank {index} has ended: {}", self.log_tail(index));
            assert!(Instant::now() < end, "bank {index} is not ready: {}", self.log_tail(index));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a bank's process ended by itself: what Linux tells of a child that nobody has waited for.
    fn has_ended(&self, index: usize) -> bool {
        let Some(Some(Running::Process(child))) = self.nodes.get(index) else { return false };
        let status = std::fs::read_to_string(format!("/proc/{}/stat", child.id()));
        status.is_ok_and(|status| status.contains(") Z "))
    }

    /// How many nodes there are, also such as do not run.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The end of a node's log.
    #[must_use]
    pub fn log_tail(&self, index: usize) -> String {
        let text = std::fs::read_to_string(self.directory.join(format!("bank-{index}/node.log")))
            .unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Where a bank keeps its databases.
    #[must_use]
    pub fn data_directory(&self, index: usize) -> PathBuf {
        self.directory.join(format!("bank-{index}/data"))
    }

    fn config(&self, index: usize) -> NodeConfig {
        let folder = self.directory.join(format!("bank-{index}"));
        let chains = self.hosted[index].clone();
        let consensus_key = |chain: &u32| ConsensusKeyEntry {
            chain: *chain,
            keystore: folder.join(format!("consensus-{chain}.json")),
        };
        let consensus_keys = chains.iter().map(consensus_key).collect();
        let mut config = NodeConfig {
            node: NodeSection {
                genesis: self.directory.join("genesis.json"),
                data_directory: folder.join("data"),
                chains,
                origins: Vec::new(),
                node_index: self.joined.get(&index).map(|_| u16::try_from(index).unwrap()),
                join: JoinBy::default(),
            },
            keys: KeysSection {
                network_key: folder.join("network.json"),
                consensus_keys,
                passphrase_file: Some(self.directory.join("passphrase")),
                passphrase_credential: None,
            },
            network: Default::default(),
            rest: Default::default(),
            storage: Default::default(),
            snapshots: Default::default(),
            history: Default::default(),
            log: Default::default(),
            consensus: Default::default(),
        };
        config.rest.listen = ([127, 0, 0, 1], self.rest_ports[index]).into();
        config.network.listen = self.joined.get(&index).or(self.apart.get(&index)).cloned();
        config.storage.disk_reserve_bytes = 64 << 20;
        config
    }

    /// Starts one bank's node.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&mut self, index: usize) {
        let node = Node::start(&self.config(index)).await.unwrap();
        self.nodes[index] = Some(Running::Inside(Box::new(node)));
    }

    /// Starts every bank's node together: each waits for a quorum of the others.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start_all(&mut self) {
        let configs: Vec<_> = (0..self.nodes.len()).map(|index| self.config(index)).collect();
        let started = futures::future::join_all(configs.iter().map(Node::start)).await;
        for (slot, node) in self.nodes.iter_mut().zip(started) {
            *slot = Some(Running::Inside(Box::new(node.unwrap())));
        }
    }

    /// Stops one bank's node.
    pub async fn stop(&mut self, index: usize) {
        match self.nodes[index].take() {
            Some(Running::Inside(node)) => node.stop().await,
            Some(running @ Running::Process(_)) => {
                self.nodes[index] = Some(running);
                self.kill(index);
            }
            None => {}
        }
    }

    /// Stops all.
    pub async fn stop_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.stop(index).await;
        }
    }

    /// A client of one bank's REST.
    #[must_use]
    pub fn client(&self, index: usize) -> api::Client {
        api::Client::new(&api::ClientConfig::new(&self.url(index))).unwrap()
    }

    /// Where a bank's REST is.
    #[must_use]
    pub fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.rest_ports[index])
    }

    /// Stops every bank's process as an operator would (SIGTERM) and waits for its end.
    ///
    /// # Panics
    /// When one does not end in time.
    pub async fn terminate_all(&mut self) {
        for node in &self.nodes {
            if let Some(Running::Process(child)) = node {
                ask_to_stop(child);
            }
        }
        for slot in &mut self.nodes {
            match slot.take() {
                Some(Running::Process(mut child)) => wait_end(&mut child).await,
                Some(Running::Inside(node)) => node.stop().await,
                None => {}
            }
        }
    }
}

fn ask_to_stop(child: &Child) {
    let id = child.id().to_string();
    let _already_gone = Command::new("kill").args(["-TERM", &id]).status().is_err();
}

async fn wait_end(child: &mut Child) {
    let end = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "a node does not end within 30 s of SIGTERM");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// No process outlives the test that started it.
impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
    }
}

/// The binary beside this test or bench: `target/debug/jiaozi`.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn jiaozi_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found =
        own.ancestors().skip(1).take(2).map(|folder| folder.join("jiaozi")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("build the workspace first: no jiaozi beside {}", own.display()))
}
