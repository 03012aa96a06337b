//! Four banks in one process: everything real but the process borders.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a harness fails loudly")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use genesis::GenesisFile;
use genesis::dev::{Localnet, LocalnetPlan, localnet};
use ledger::records::transaction::network_tag;
use ledger::records::{FeeBid, Nonce, Operation, Policy, Transaction, TransactionContent};
use ledger::values::{ChainId, Currency, GenesisHash, OperatorId, SecretKey, TimestampMs, WalletId};
use node::config::{ConsensusKeyEntry, KeysSection, NodeSection};
use node::{Node, NodeConfig};
use wallet::{KdfParams, KeyFile, Passphrase, Secret};

/// The banks of a small network.
pub struct Cluster {
    /// What the network starts with, secrets included.
    pub localnet: Localnet,
    /// Files of all banks.
    pub directory: PathBuf,
    nodes: Vec<Option<Node>>,
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
        let genesis = localnet.spec.hash();
        let registry = ledger::records::Registry::from_genesis(&localnet.spec);
        let wallet = registry.operator_wallet(genesis, Currency(*b"CNY"), id).unwrap_or_default();
        Self { genesis, wallet, key: key.clone() }
    }

    /// Signs an operation.
    #[must_use]
    pub fn sign(&self, sequence: u64, operation: Operation) -> Transaction {
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain: ChainId(0),
            wallet: self.wallet,
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(now_ms() + 600_000),
            fee: FeeBid::default(),
            policy: Policy::single(self.key.public_key()),
            operation,
        };
        content.signed_by(self.genesis, &self.key)
    }
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Free ports on loopback: bound together, so no two are equal, and released at once.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).filter_map(|_| TcpListener::bind("127.0.0.1:0").ok()).collect();
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).map(|address| address.port()).collect()
}

impl Cluster {
    /// Writes the files of `banks` banks below `directory`; starts nothing.
    ///
    /// # Panics
    /// When a file cannot be written: this is a test.
    #[must_use]
    pub fn create(directory: &Path, banks: usize) -> Self {
        let addresses = free_ports(banks).into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let plan = LocalnetPlan { addresses, ..LocalnetPlan::new(banks) };
        let localnet = localnet(&plan, &[7; 32]).unwrap();
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
            seal(Secret::ConsensusKey(bank.validators[0].2.clone()), "consensus.json");
        }
        let nodes = (0..banks).map(|_| None).collect();
        Self { localnet, directory: directory.to_owned(), nodes }
    }

    fn config(&self, index: usize) -> NodeConfig {
        let folder = self.directory.join(format!("bank-{index}"));
        let mut config = NodeConfig {
            node: NodeSection {
                genesis: self.directory.join("genesis.json"),
                data_directory: folder.join("data"),
                chains: vec![0],
            },
            keys: KeysSection {
                network_key: folder.join("network.json"),
                consensus_keys: vec![ConsensusKeyEntry { chain: 0, keystore: folder.join("consensus.json") }],
                passphrase_file: Some(self.directory.join("passphrase")),
                passphrase_credential: None,
            },
            network: Default::default(),
            rest: Default::default(),
            storage: Default::default(),
            log: Default::default(),
            consensus: Default::default(),
        };
        config.rest.listen = "127.0.0.1:0".parse().unwrap();
        config.storage.disk_reserve_bytes = 64 << 20;
        config
    }

    /// Starts one bank's node.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(&mut self, index: usize) {
        let node = Node::start(&self.config(index)).await.unwrap();
        self.nodes[index] = Some(node);
    }

    /// Starts every bank's node together: each waits for a quorum of the others.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start_all(&mut self) {
        let configs: Vec<_> = (0..self.nodes.len()).map(|index| self.config(index)).collect();
        let started = futures::future::join_all(configs.iter().map(Node::start)).await;
        for (slot, node) in self.nodes.iter_mut().zip(started) {
            *slot = Some(node.unwrap());
        }
    }

    /// Stops one bank's node.
    pub async fn stop(&mut self, index: usize) {
        if let Some(node) = self.nodes[index].take() {
            node.stop().await;
        }
    }

    /// Stops all.
    pub async fn stop_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.stop(index).await;
        }
    }

    /// A client of one bank's REST.
    ///
    /// # Panics
    /// When the node does not run.
    #[must_use]
    pub fn client(&self, index: usize) -> api::Client {
        let address = self.nodes[index].as_ref().unwrap().rest_address();
        api::Client::new(&api::ClientConfig::new(&format!("http://{address}"))).unwrap()
    }
}
