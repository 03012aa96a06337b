//! A look at everything that a start refuses and that can be known without one: `jiaozi node check`.
//!
//! Rules: parts are judged by the functions that a start calls, in its order; the fault of one does not hide the next, and
//! what needs a part that cannot be read is left out. Nothing is written and nobody is connected to: addresses are taken for
//! a moment and given back, databases are read as a reader of a stopped node does.
//!
//! Whether the node votes is judged by what the chain began with, the genesis file or its origin: what governance changed since then is in the
//! databases, and the start reads it.
//!
//! A node that runs with this configuration holds its databases and its addresses. That is no fault of the configuration, so
//! it is said and passes; an address that somebody else holds does not.

use std::io;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use genesis::GenesisFile;
use ledger::records::GenesisSpec;
use ledger::rules::ChainRules;
use ledger::values::{ChainId, Height, NodeIndex, SecretKey};
use network::NetworkError;
use rustix::fs::{Access, access};
use storage::{RocksReader, StorageError};

use crate::config::{KeysSection, NodeConfig};
use crate::disk::{DiskBudget, DiskWatch};
use crate::engine;
use crate::http::{RestError, bind};
use crate::keys::{Keys, consensus_entries, consensus_key, network_key, passphrase, passphrase_field};
use crate::origins::{FirstRegistry, first_registry};
use crate::settings::{
    chain_config, chain_directory, identity, network_settings, own_place, store_directory, store_options,
};
use crate::start_error::StartError;
use crate::tls::TlsServer;

/// One thing that was looked at.
#[derive(Debug)]
pub struct Look {
    /// Its field in the configuration, such as `keys.network_key`.
    pub field: &'static str,
    /// What was found, or why it cannot be used.
    pub found: Result<String, CheckError>,
}

/// Why a configuration cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A start refuses it.
    #[error(transparent)]
    Start(Box<StartError>),
    /// The node's user may not write where its data belongs.
    #[error(
        "[node] data_directory: {path} cannot be written: {fault}. Mend: give the directory to the node's user, or name another"
    )]
    NotWritable {
        /// The directory, or the nearest one above it that exists.
        path: PathBuf,
        /// What the system says.
        fault: io::Error,
    },
    /// A chain was added after genesis, as the configuration says, and nothing that can be read says with what it begins.
    #[error(
        "[node] chains: genesis has no chain {chain}, and its origin could not be looked up: the node that runs holds the database of chain 0. Mend: fetch it from that node (`jiaozi gov origin --chain {chain} --out FILE`) and name the file in [node] origins; or stop the node, then check again"
    )]
    OriginUnseen {
        /// The chain.
        chain: u32,
    },
    /// The node would start and not vote.
    #[error(
        "[storage] disk_reserve_bytes: {free_bytes} bytes are free, {reserve_bytes} are reserved: the node would not vote. Mend: free space on the device of the data directory, or raise [storage] disk_budget_bytes where it has one"
    )]
    BelowReserve {
        /// Free on the device.
        free_bytes: u64,
        /// The reserve.
        reserve_bytes: u64,
    },
}

impl CheckError {
    fn field(&self) -> Option<&'static str> {
        match self {
            Self::Start(fault) => fault.field(),
            Self::NotWritable { .. } => Some(DATA_DIRECTORY),
            Self::OriginUnseen { .. } => Some(CHAINS),
            Self::BelowReserve { .. } => Some(RESERVE),
        }
    }
}

impl From<StartError> for CheckError {
    fn from(fault: StartError) -> Self {
        Self::Start(Box::new(fault))
    }
}

const DATA_DIRECTORY: &str = "node.data_directory";
const CHAINS: &str = "node.chains";
const RESERVE: &str = "storage.disk_reserve_bytes";

/// Looks at everything that `config` names; the configuration itself has been checked when it was loaded.
#[must_use]
pub fn check(config: &NodeConfig) -> Vec<Look> {
    look(config).0
}

/// The same, and whether a process has the node's databases.
pub(crate) fn look(config: &NodeConfig) -> (Vec<Look>, bool) {
    let mut report = Report::default();
    report.note::<(), CheckError>("log.level", Ok(((), config.log.level.clone())));
    let (network_key, consensus_keys) = report.keys(&config.keys);
    // Kept until the end: an address that is named twice can be taken once.
    let mut _for_peers = None;
    if let Some(spec) = report.genesis(&config.node.genesis) {
        let place = network_key.as_ref().and_then(|key| report.place(config, &spec, key));
        let own = network_key
            .zip(place)
            .map(|(network, node)| Own { keys: Keys { network, consensus: consensus_keys }, node });
        for id in config.node.chains.iter().copied().map(ChainId) {
            report.chain(config, &spec, own.as_ref(), id);
        }
        _for_peers = own.and_then(|own| report.network(config, &spec, &own));
    }
    let _for_clients = report.rest(config);
    report.disk(config);
    (report.looks, report.is_running)
}

/// Who the node is.
struct Own {
    keys: Keys,
    node: NodeIndex,
}

#[derive(Default)]
struct Report {
    looks: Vec<Look>,
    /// A database is in use, so this node runs.
    is_running: bool,
}

impl Report {
    /// Notes what was found, or why not; hands on what others need.
    fn note<T, E: Into<CheckError>>(
        &mut self,
        field: &'static str,
        looked: Result<(T, String), E>,
    ) -> Option<T> {
        let (field, value, found) = match looked {
            Ok((value, found)) => (field, Some(value), Ok(found)),
            Err(fault) => {
                let fault: CheckError = fault.into();
                (fault.field().unwrap_or(field), None, Err(fault))
            }
        };
        self.looks.push(Look { field, found });
        value
    }

    /// The keys that could be opened.
    fn keys(&mut self, section: &KeysSection) -> (Option<SecretKey>, Vec<(ChainId, SecretKey)>) {
        let passphrase = passphrase(section).map(|passphrase| (passphrase, "read".to_owned()));
        let Some(passphrase) = self.note(passphrase_field(section), passphrase.map_err(StartError::from))
        else {
            return (None, Vec::new());
        };
        let opened = |path: &Path| format!("{} opened", path.display());
        let network = network_key(section, &passphrase).map(|key| (key, opened(&section.network_key)));
        let network = self.note("keys.network_key", network.map_err(StartError::from));
        let mut consensus = Vec::new();
        for entry in &consensus_entries(section) {
            let found = format!("chain {}: {}", entry.chain, opened(&entry.keystore));
            let key = consensus_key(entry, &passphrase).map(|key| (key, found));
            consensus.extend(self.note("keys.consensus_keys", key.map_err(StartError::from)));
        }
        (network, consensus)
    }

    fn genesis(&mut self, path: &Path) -> Option<GenesisSpec> {
        let spec = GenesisFile::load(path).and_then(|file| file.spec());
        let spec = spec.map(|spec| {
            let found = format!("network {}, genesis {}", spec.network, spec.hash());
            (spec, found)
        });
        self.note("node.genesis", spec.map_err(StartError::from))
    }

    fn place(
        &mut self,
        config: &NodeConfig,
        spec: &GenesisSpec,
        network_key: &SecretKey,
    ) -> Option<NodeIndex> {
        let place = own_place(config, spec, network_key);
        let place = place.map(|node| (node, format!("node {} of {}", node.0, spec.nodes.len())));
        self.note("keys.network_key", place)
    }

    /// A hosted chain: that it exists, this node's part in it, its timings, its database.
    fn chain(&mut self, config: &NodeConfig, spec: &GenesisSpec, own: Option<&Own>, id: ChainId) {
        let rules = match ChainRules::at_genesis(spec, id) {
            Some(rules) => Some(rules),
            None => match rules_of_added(config, spec, id) {
                Ok(rules) => rules,
                Err(missing) => {
                    self.note::<(), CheckError>(CHAINS, Err(missing));
                    return;
                }
            },
        };
        if rules.is_none() {
            let running = format!("chain {}: added after genesis; it has begun, the node runs it", id.0);
            self.note::<(), CheckError>(CHAINS, Ok(((), running)));
        }
        // Without its keys nobody knows the node's part in the chain.
        if let (Some(own), Some(rules)) = (own, rules) {
            let currency = rules.currency;
            let keys = own.keys.consensus(id);
            let chain = chain_config(rules, Height(0), own.node, keys).map(|chain| {
                let part = if chain.own_validator.is_some() { "votes" } else { "follows, without a vote" };
                (chain, format!("chain {} ({currency}): {part}", id.0))
            });
            if let Some(chain) = self.note(CHAINS, chain) {
                let timings = engine::check(&chain, &config.consensus).map_err(StartError::from);
                self.note("consensus", timings.map(|()| ((), format!("chain {}: timings fit", id.0))));
            }
        }
        self.database(config, spec, id);
    }

    fn database(&mut self, config: &NodeConfig, spec: &GenesisSpec, id: ChainId) {
        let directory = chain_directory(config, id);
        let shown = directory.display();
        if let Err(fault) = writable(&directory) {
            self.note::<(), CheckError>(DATA_DIRECTORY, Err(fault));
            return;
        }
        let path = store_directory(config, id);
        let what = match RocksReader::open(&path, Some(&identity(spec, id)), store_options(config)) {
            Ok(_) => Ok("with its database"),
            Err(StorageError::Missing { .. }) => Ok("without a database yet"),
            Err(StorageError::Locked { .. }) => {
                self.is_running = true;
                Ok("in use by the node that runs")
            }
            Err(fault) => Err(StartError::from(fault)),
        };
        self.note(DATA_DIRECTORY, what.map(|what| ((), format!("chain {}: {shown}, {what}", id.0))));
    }

    fn disk(&mut self, config: &NodeConfig) {
        let reserve_bytes = config.storage.disk_reserve_bytes;
        let free = storage::free_bytes(nearest(&config.node.data_directory)).map_err(StartError::from);
        let room = free.map_err(CheckError::from).and_then(|free_bytes| {
            let free_bytes = DiskBudget::of(config).within(free_bytes);
            match DiskWatch::new(reserve_bytes).look(free_bytes) {
                None => Ok(((), format!("{free_bytes} bytes free, {reserve_bytes} reserved"))),
                Some(_) => Err(CheckError::BelowReserve { free_bytes, reserve_bytes }),
            }
        });
        self.note(RESERVE, room);
    }

    /// The registry, and the address for peers. Hands on what was taken.
    fn network(&mut self, config: &NodeConfig, spec: &GenesisSpec, own: &Own) -> Option<TcpListener> {
        let settings = network_settings(config, spec, &own.keys.network, own.node);
        let address = settings.listen.clone();
        let taken = settings.validate().and_then(|()| {
            self.take(listen_first(&address))
                .map_err(|source| NetworkError::Listen { address: address.clone(), source })
        });
        let taken = taken.map(|taken| {
            let found = format!("{address}, {}", free_or_held(taken.as_ref()));
            (taken, found)
        });
        self.note("network.listen", taken.map_err(StartError::from)).flatten()
    }

    /// The address for clients, its certificate, its tokens. Hands on what was taken.
    fn rest(&mut self, config: &NodeConfig) -> Option<TcpListener> {
        let rest = &config.rest;
        let taken = match bind(rest) {
            Err(RestError::Listen { listen, source }) => {
                self.take(Err(source)).map_err(|source| RestError::Listen { listen, source })
            }
            bound => bound.map(Some),
        };
        let taken = taken.map(|taken| {
            let found = format!("{}, {}", rest.listen, free_or_held(taken.as_ref()));
            (taken, found)
        });
        let taken = self.note("rest.listen", taken.map_err(StartError::from)).flatten();
        let tls = match &rest.tls {
            None => Ok("none: plain HTTP, on this machine only".to_owned()),
            Some(files) => TlsServer::load(files)
                .map(|_| format!("{} with its key", files.certificate.display()))
                .map_err(|fault| StartError::from(RestError::from(fault))),
        };
        self.note("rest.tls", tls.map(|found| ((), found)));
        let tokens = match rest.tokens.len() {
            0 => "none: everyone on this machine may do everything".to_owned(),
            count => count.to_string(),
        };
        self.note::<(), CheckError>("rest.tokens", Ok(((), tokens)));
        taken
    }

    /// An address that is in use is in use by this node, if it runs.
    fn take(&self, bound: io::Result<TcpListener>) -> io::Result<Option<TcpListener>> {
        match bound {
            Err(fault) if self.is_running && fault.kind() == io::ErrorKind::AddrInUse => Ok(None),
            bound => bound.map(Some),
        }
    }
}

/// The rules that a chain began with which genesis does not name, or begins with; `None` while the node runs it, and so holds its database.
fn rules_of_added(
    config: &NodeConfig,
    spec: &GenesisSpec,
    id: ChainId,
) -> Result<Option<ChainRules>, CheckError> {
    let first = match first_registry(config, spec, id)? {
        FirstRegistry::Proved(registry) => registry,
        FirstRegistry::Runs => return Ok(None),
        FirstRegistry::Unseen => return Err(CheckError::OriginUnseen { chain: id.0 }),
    };
    let missing = || StartError::NoSuchChain { chain: id.0 };
    Ok(Some(ChainRules::new(spec.hash(), first, id).ok_or_else(missing)?))
}

const fn free_or_held(taken: Option<&TcpListener>) -> &'static str {
    if taken.is_some() { "free" } else { "in use by the node that runs" }
}

/// As the network does: the first address of a name, alone on its port.
fn listen_first(address: &str) -> io::Result<TcpListener> {
    let first = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    TcpListener::bind(first)
}

/// The path, or the nearest one above it that exists.
fn nearest(path: &Path) -> &Path {
    let found = path.ancestors().find(|above| above.exists());
    found.filter(|found| !found.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

fn writable(directory: &Path) -> Result<(), CheckError> {
    let path = nearest(directory);
    let allowed = if path.is_dir() {
        access(path, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    };
    allowed.map_err(|fault| CheckError::NotWritable { path: path.to_owned(), fault })
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use storage::RocksStore;
    use wallet::{KdfParams, KeyFile, Passphrase, Secret};

    use super::*;

    /// A bank's files, and its configuration; the system chooses the ports.
    fn bank(folder: &Path) -> NodeConfig {
        let network = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap();
        GenesisFile::from_spec(&network.spec).save(&folder.join("genesis.json")).unwrap();
        let passphrase = Passphrase::new("only for this test").unwrap();
        passphrase.save(&folder.join("passphrase")).unwrap();
        let bank = &network.banks[1];
        for (secret, name) in [
            (Secret::NetworkKey(bank.network_key.clone()), "network.key"),
            (Secret::ConsensusKey(bank.validators[0].2.clone()), "consensus.key"),
        ] {
            let file = KeyFile::seal(&secret, name, &passphrase, KdfParams::FAST).unwrap();
            file.save(&folder.join(name)).unwrap();
        }
        let text = "[node]\ngenesis = \"genesis.json\"\ndata_directory = \"data\"\n\
            [keys]\nnetwork_key = \"network.key\"\npassphrase_file = \"passphrase\"\n\
            consensus_keys = [{ chain = 0, keystore = \"consensus.key\" }]\n\
            [network]\nlisten = \"127.0.0.1:0\"\n[rest]\nlisten = \"127.0.0.1:0\"\n\
            [storage]\ndisk_reserve_bytes = 67108864\n";
        let path = folder.join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::load(&path).unwrap()
    }

    fn faults(config: &NodeConfig) -> Vec<(&'static str, String)> {
        let looks = check(config).into_iter();
        looks.filter_map(|look| look.found.err().map(|fault| (look.field, fault.to_string()))).collect()
    }

    #[test]
    fn every_part_is_looked_at_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let config = bank(folder.path());
        let looks = check(&config);
        let fields: Vec<_> = looks.iter().map(|look| look.field).collect();
        let expected = [
            "log.level",
            "keys.passphrase_file",
            "keys.network_key",
            "keys.consensus_keys",
            "node.genesis",
            "keys.network_key",
            "node.chains",
            "consensus",
            "node.data_directory",
            "network.listen",
            "rest.listen",
            "rest.tls",
            "rest.tokens",
            "storage.disk_reserve_bytes",
        ];
        assert_eq!(fields, expected);
        let documented = include_str!("../../docs/node.toml");
        for field in expected {
            let (section, name) = field.split_once('.').unwrap_or((field, ""));
            let is_field =
                documented.contains(&format!("{name} = ")) || documented.contains(&format!("[[{field}]]"));
            assert!(documented.contains(&format!("[{section}]")) && (name.is_empty() || is_field), "{field}");
        }
        let found: Vec<_> = looks.into_iter().map(|look| look.found.unwrap()).collect();
        assert_eq!((found[5].as_str(), found[6].as_str()), ("node 1 of 4", "chain 0 (CNY): votes"));
        assert!(found[8].ends_with("without a database yet"), "{}", found[8]);
        assert!(!config.node.data_directory.exists(), "a look makes nothing");
    }

    #[test]
    fn all_faults_are_told_at_once_with_field_and_mend() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = bank(folder.path());
        config.keys.consensus_keys[0].keystore.clone_from(&config.keys.network_key);
        config.node.chains = vec![0, 7];
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        config.node.data_directory = file.join("data");
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        config.rest.listen = held.local_addr().unwrap();
        config.network.listen = Some("192.0.2.1:1".to_owned());
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made().cert.pem()).unwrap();
        std::fs::write(&key, made().signing_key.serialize_pem()).unwrap();
        config.rest.tls = Some(crate::config::TlsFiles { certificate, key });
        config.storage.disk_reserve_bytes = 1 << 62;
        let faults = faults(&config);
        let fields: Vec<_> = faults.iter().map(|(field, _)| *field).collect();
        let expected = [
            "keys.consensus_keys",
            "node.data_directory",
            "node.origins",
            "network.listen",
            "rest.listen",
            "rest.tls",
            "storage.disk_reserve_bytes",
        ];
        assert_eq!(fields, expected, "{faults:?}");
        assert!(faults.iter().all(|(_, fault)| fault.contains(". Mend: ")), "{faults:?}");
    }

    #[test]
    fn keys_that_are_not_this_banks_are_refused_as_a_start_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = bank(folder.path());
        std::fs::write(config.keys.passphrase_file.as_ref().unwrap(), "another one of these").unwrap();
        let found = faults(&config);
        let fields: Vec<_> = found.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["keys.network_key", "keys.consensus_keys"], "{found:?}");
        config.keys.passphrase_file = Some(folder.path().join("none"));
        assert_eq!(faults(&config)[0].0, "keys.passphrase_file");
        let other = localnet(&LocalnetPlan::new(4), &[6; 32]).unwrap();
        let mut config = bank_in(&folder);
        config.node.genesis = folder.path().join("other.json");
        GenesisFile::from_spec(&other.spec).save(&config.node.genesis).unwrap();
        let found = faults(&config);
        assert_eq!(found[0].0, "keys.network_key");
        assert!(found[0].1.contains("knows no node with this key"), "{found:?}");
    }

    #[test]
    fn a_node_that_comes_to_host_a_chain_prepares_that_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = bank(folder.path());
        let never_voted = |chain: u32| config_directory(folder.path(), chain).join("never-voted").exists();
        crate::init(&config).unwrap();
        assert!(never_voted(0));
        let refused = crate::init(&config).unwrap_err();
        assert!(matches!(refused, StartError::Initialised { .. }), "{refused}");
        // The chain has voted; another one is added.
        std::fs::remove_file(config_directory(folder.path(), 0).join("never-voted")).unwrap();
        std::fs::write(config_directory(folder.path(), 0).join("journal.epoch"), "0\n").unwrap();
        config.node.chains = vec![0, 2];
        crate::init(&config).unwrap();
        assert!(never_voted(2));
        assert!(!never_voted(0), "it is not told that it never voted");
        assert!(matches!(crate::init(&config), Err(StartError::Initialised { .. })));
    }

    fn config_directory(folder: &Path, chain: u32) -> PathBuf {
        folder.join("data").join(format!("chain-{chain}"))
    }

    #[test]
    fn an_origin_that_is_none_is_told_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = bank(folder.path());
        config.node.chains = vec![0, 2];
        let found = faults(&config);
        assert!(
            found[0].0 == "node.chains" && found[0].1.contains("jiaozi gov origin --chain 2"),
            "{found:?}"
        );
        let path = folder.path().join("chain-2.origin");
        std::fs::write(&path, "nonsense").unwrap();
        config.node.origins = vec![path];
        let found = faults(&config);
        assert!(found[0].0 == "node.origins" && found[0].1.contains("chain-2.origin"), "{found:?}");
        let documented = include_str!("../../docs/node.toml");
        assert!(documented.contains("# origins = []"));
    }

    #[test]
    fn a_chain_that_cannot_be_looked_up_while_the_node_runs_is_not_approved() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = bank(folder.path());
        let spec = GenesisFile::load(&config.node.genesis).unwrap().spec().unwrap();
        let open = |config: &NodeConfig, chain: u32| {
            let path = store_directory(config, ChainId(chain));
            std::fs::create_dir_all(&path).unwrap();
            RocksStore::open(&path, &identity(&spec, ChainId(chain)), store_options(config)).unwrap()
        };
        let _root = open(&config, 0);
        assert!(faults(&config).is_empty());
        assert_eq!(crate::find_origin(&config, ChainId(2)).unwrap(), crate::OriginPlace::WithRunningNode);
        config.node.chains = vec![0, 2];
        let found = faults(&config);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == "node.chains" && found[0].1.contains("could not be looked up"), "{found:?}");
        assert!(found[0].1.contains(". Mend: ") && found[0].1.contains("jiaozi gov origin --chain 2"));
        // A file that is named and not there yet says no more.
        config.node.origins = vec![folder.path().join("chain-2.origin")];
        assert!(faults(&config)[0].1.contains("could not be looked up"));
        // One that the node runs has begun.
        config.node.origins.clear();
        let _child = open(&config, 2);
        assert!(faults(&config).is_empty());
        assert_eq!(crate::find_origin(&config, ChainId(2)).unwrap(), crate::OriginPlace::Here);
    }

    #[test]
    fn an_origin_is_kept_only_if_it_is_proved() {
        let folder = tempfile::tempdir().unwrap();
        let config = bank(folder.path());
        let refused = crate::keep_origin(&config, ChainId(2), b"no origin").unwrap_err();
        assert_eq!(refused.field(), Some("node.origins"), "{refused}");
        assert!(!config_directory(folder.path(), 2).exists(), "nothing is written");
    }

    /// The same files again, made anew.
    fn bank_in(folder: &tempfile::TempDir) -> NodeConfig {
        let inner = folder.path().join("again");
        std::fs::create_dir(&inner).unwrap();
        bank(&inner)
    }

    #[test]
    fn what_this_node_holds_while_it_runs_is_no_fault_and_a_foreign_database_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = bank(folder.path());
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        config.rest.listen = held.local_addr().unwrap();
        assert_eq!(faults(&config).len(), 1, "somebody else holds the address");
        let spec = GenesisFile::load(&config.node.genesis).unwrap().spec().unwrap();
        let open = |identity| {
            let path = store_directory(&config, ChainId(0));
            std::fs::create_dir_all(&path).unwrap();
            RocksStore::open(&path, &identity, store_options(&config)).unwrap()
        };
        let running = open(identity(&spec, ChainId(0)));
        let looks = check(&config);
        for field in ["node.data_directory", "rest.listen"] {
            let look = looks.iter().find(|look| look.field == field).unwrap();
            let found = look.found.as_ref().unwrap();
            assert!(found.contains("in use by the node that runs"), "{field}: {found}");
        }
        drop(running);
        drop(held);
        assert!(faults(&config).is_empty());
        std::fs::remove_dir_all(&config.node.data_directory).unwrap();
        drop(open(identity(&spec, ChainId(9))));
        let found = faults(&config);
        assert_eq!(found[0].0, "node.data_directory");
        assert!(found[0].1.contains("chain 9"), "{found:?}");
    }
}
