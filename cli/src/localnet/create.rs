//! Everything a new localnet needs, written into its directory; the manifest last, so that a directory with a manifest is
//! complete.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use genesis::dev::{BankSecrets, Localnet, LocalnetPlan, OperatorSecrets, localnet, random_seed};
use genesis::{ChainList, GenesisFile};
use ledger::records::registry::operator_salt;
use ledger::records::{ChainParams, GenesisSpec, Policy};
use ledger::values::{Canonical as _, ChainId, TimestampMs};
use node::config::{
    CHAINS_HOSTED_MAX, ConsensusKeyEntry, ConsensusSection, HistorySection, JoinBy, KeysSection, LogSection,
    NetworkSection, NodeConfig, NodeSection, RestSection, SnapshotsSection, StorageSection,
};
use wallet::seed::Words;
use wallet::{KdfParams, KeyFile, Passphrase, Secret, WalletSeed};

use super::layout::{BankEntry, Layout, Manifest};
use super::ports::free_ports;
use crate::commands::genesis::failure;
use crate::failure::{Answer, Failure};
use crate::keystore::{Keystore, NewWallet};
use crate::send::wall_clock_ms;

/// Most banks of a localnet: all validators that a chain may have.
pub const BANKS_MAX: usize = 100;
/// The central bank's wallet in the keystore.
pub const CENTRAL_BANK: &str = "central-bank";

/// Makes a localnet of `banks` banks, all of which run all of `chains`, under the same parameters.
///
/// # Errors
/// [`Failure`] when the directory holds something else already, or a node cannot host so many chains.
pub fn create(layout: &Layout, banks: usize, chains: &ChainList, params: &ChainParams) -> Answer<Manifest> {
    refuse_foreign(layout)?;
    let places = chains.places();
    if places.len() > CHAINS_HOSTED_MAX {
        let message = format!("{} chains; one node hosts at most {CHAINS_HOSTED_MAX}", places.len());
        return Err(Failure::usage("localnet_chains", message).at("--chains").mend("name fewer shards"));
    }
    let addresses = free_ports(2 * banks)?;
    let (peers, rest) = addresses.split_at(banks);
    let mut plan = LocalnetPlan::new(banks);
    plan.timestamp = TimestampMs(wall_clock_ms());
    plan.chains = places;
    plan.params.clone_from(params);
    plan.addresses = peers.iter().map(ToString::to_string).collect();
    let seed = random_seed().map_err(failure)?;
    let Localnet { mut spec, central_bank, banks } = localnet(&plan, &seed).map_err(failure)?;
    let operators: Vec<&OperatorSecrets> =
        std::iter::once(&central_bank).chain(banks.iter().map(|bank| &bank.operator)).collect();
    let wallets = own_wallets(&mut spec, &operators)?;
    let hash = spec.hash();
    make_folder(&layout.root)?;
    GenesisFile::from_spec(&spec).save(&layout.genesis()).map_err(failure)?;
    let passphrase = Passphrase::generate().map_err(|fault| Failure::unreachable("randomness", fault))?;
    passphrase.save(&layout.passphrase()).map_err(|fault| Failure::usage("passphrase", fault))?;
    let keystore = Keystore::at(layout.wallets());
    for (operator, (name, seed)) in operators.iter().zip(wallets) {
        let policy = Policy::single(seed.key(0, 0).public_key());
        add_wallet(&keystore, &spec, &name, seed, policy, operator.id.0, &passphrase)?;
    }
    let mut entries = Vec::new();
    for (number, (bank, (peers, rest))) in (1..).zip(banks.iter().zip(peers.iter().zip(rest))) {
        let name = format!("bank-{number}");
        write_bank(layout, &name, bank, *rest, &passphrase)?;
        entries.push(BankEntry { name, rest: *rest, peers: *peers });
    }
    write_environment(layout, &entries)?;
    layout.save(hash.to_string(), entries)
}

/// A directory that somebody uses for something else, or that a crash left half made, is not touched.
fn refuse_foreign(layout: &Layout) -> Answer {
    let is_used = match std::fs::read_dir(&layout.root) {
        Ok(mut entries) => entries.next().is_some(),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => false,
        Err(fault) => return Err(Failure::io("read", &layout.root, &fault)),
    };
    if is_used {
        let message = format!("{} is not empty and holds no complete localnet", layout.root.display());
        return Err(Failure::usage("localnet_directory", message)
            .at("--directory")
            .mend("name another directory, or remove this one"));
    }
    Ok(())
}

/// Gives every operator a hot wallet with words, and sets its policy in the spec.
fn own_wallets(spec: &mut GenesisSpec, operators: &[&OperatorSecrets]) -> Answer<Vec<(String, WalletSeed)>> {
    let mut wallets = Vec::new();
    for (operator, record) in operators.iter().zip(&mut spec.operators) {
        let seed = WalletSeed::generate(Words::TwentyFour)
            .map_err(|fault| Failure::unreachable("randomness", fault))?;
        record.wallet_policy = Policy::single(seed.key(0, 0).public_key());
        let name = if operator.id.0 == 0 { CENTRAL_BANK.to_owned() } else { format!("bank-{}", operator.id) };
        wallets.push((name, seed));
    }
    spec.check().map_err(|fault| Failure::refused("genesis_field", fault))?;
    Ok(wallets)
}

fn add_wallet(
    keystore: &Keystore,
    spec: &GenesisSpec,
    name: &str,
    seed: WalletSeed,
    policy: Policy,
    operator: u16,
    passphrase: &Passphrase,
) -> Answer {
    let chain =
        spec.chain(ChainId(0)).ok_or_else(|| Failure::refused("genesis", "the network has no root chain"))?;
    let file_name = format!("{name}.key");
    keystore.save_seed(
        &file_name,
        &KeyFile::seal(&Secret::WalletSeed(seed), name, passphrase, KdfParams::FAST)?,
    )?;
    let salt = operator_salt(ledger::values::OperatorId(operator));
    let new = NewWallet {
        name: name.to_owned(),
        genesis: spec.hash(),
        currency: chain.currency,
        policy,
        salt,
        operator: Some(operator),
        seed: file_name,
        index: 0,
    };
    keystore.add(new).map(|_| ())
}

fn write_bank(
    layout: &Layout,
    name: &str,
    bank: &BankSecrets,
    rest: SocketAddr,
    passphrase: &Passphrase,
) -> Answer {
    let folder = layout.bank(name);
    let keys = folder.join("keys");
    make_folder(&keys)?;
    let seal = |secret: &Secret, file: &str| -> Answer {
        Ok(KeyFile::seal(secret, name, passphrase, KdfParams::FAST)?.save(&keys.join(file))?)
    };
    seal(&Secret::NetworkKey(bank.network_key.clone()), "network.key")?;
    // On a real network this one lies in a safe; here it approves proposals (`jiaozi gov`).
    seal(&Secret::OperatorKey(bank.operator.operator_key.clone()), "operator.key")?;
    let mut consensus_keys = Vec::new();
    for (chain, _, key) in &bank.validators {
        let file = format!("consensus-{chain}.key");
        seal(&Secret::ConsensusKey(key.clone()), &file)?;
        consensus_keys.push(ConsensusKeyEntry { chain: chain.0, keystore: Path::new("keys").join(file) });
    }
    let chains = bank.validators.iter().map(|(chain, _, _)| chain.0).collect();
    let config = NodeConfig {
        node: NodeSection {
            genesis: PathBuf::from("../genesis.json"),
            data_directory: PathBuf::from("data"),
            chains,
            origins: Vec::new(),
            node_index: None,
            join: JoinBy::default(),
        },
        keys: KeysSection {
            network_key: PathBuf::from("keys/network.key"),
            consensus_keys,
            passphrase_file: Some(PathBuf::from("../passphrase")),
            passphrase_credential: None,
        },
        network: NetworkSection::default(),
        rest: RestSection { listen: rest, ..RestSection::default() },
        storage: StorageSection::default(),
        snapshots: SnapshotsSection::default(),
        history: HistorySection::default(),
        log: LogSection::default(),
        consensus: ConsensusSection::default(),
    };
    let text = toml::to_string(&config).map_err(|fault| Failure::refused("node_config", fault))?;
    let path = layout.config(name);
    std::fs::write(&path, text).map_err(|fault| Failure::io("write", &path, &fault))?;
    // What the node will read must be what was meant.
    let config = NodeConfig::load(&path).map_err(|fault| Failure::refused("node_config", fault))?;
    node::init(&config).map_err(|fault| Failure::refused("node_init", fault))
}

/// Shell settings; paths are quoted, since the directory is the user's choice.
fn write_environment(layout: &Layout, banks: &[BankEntry]) -> Answer {
    let node = banks.first().map(BankEntry::url).unwrap_or_default();
    let lines: BTreeMap<&str, String> = BTreeMap::from([
        ("JIAOZI_NODE", node),
        ("JIAOZI_HOME", layout.wallets().display().to_string()),
        ("JIAOZI_GENESIS", layout.genesis().display().to_string()),
        ("JIAOZI_PASSPHRASE_FILE", layout.passphrase().display().to_string()),
    ]);
    let quote = |value: &str| format!("'{}'", value.replace('\'', "'\\''"));
    let text: String =
        lines.iter().map(|(name, value)| format!("export {name}={}\n", quote(value))).collect();
    let path = layout.environment();
    std::fs::write(&path, text).map_err(|fault| Failure::io("write", &path, &fault))
}

fn make_folder(path: &Path) -> Answer {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|fault| Failure::io("make", path, &fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_localnet_directory_is_complete_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(&folder.path().join("net's")).unwrap();
        let chains: ChainList = "CNY:2,HKD:1".parse().unwrap();
        let many: ChainList = format!("CNY:{}", CHAINS_HOSTED_MAX + 1).parse().unwrap();
        let mut params = ChainParams::default();
        params.fees.weight_target = 12_345;
        assert_eq!(create(&layout, 4, &many, &params).unwrap_err().code, "localnet_chains");
        let manifest = create(&layout, 4, &chains, &params).unwrap();
        assert_eq!(manifest.banks.len(), 4);
        let genesis = GenesisFile::load(&layout.genesis()).unwrap();
        assert_eq!(genesis.hash().unwrap().to_string(), manifest.genesis_hash);
        let passphrase = Passphrase::load(&layout.passphrase()).unwrap();
        let keystore = Keystore::at(layout.wallets());
        let spec = genesis.spec().unwrap();
        assert!(spec.chains.iter().all(|chain| chain.params == params));
        let registry = ledger::records::Registry::from_genesis(&spec);
        for (id, name) in (0_u16..).zip([CENTRAL_BANK, "bank-1", "bank-2", "bank-3", "bank-4"]) {
            let entry = keystore.find(name).unwrap();
            let currency = spec.chains[0].currency;
            let expected =
                registry.operator_wallet(spec.hash(), currency, ledger::values::OperatorId(id)).unwrap();
            assert_eq!(entry.wallet_id().unwrap(), expected, "{name}");
            keystore.secret(&entry, &passphrase).unwrap();
        }
        for bank in &manifest.banks {
            let config = NodeConfig::load(&layout.config(&bank.name)).unwrap();
            assert_eq!(config.rest.listen, bank.rest);
            KeyFile::load(&config.keys.network_key).unwrap().open(&passphrase).unwrap();
            assert_eq!(config.node.chains, [0, 1, 2]);
            let cold = config.keys.network_key.with_file_name("operator.key");
            let opened = KeyFile::load(&cold).unwrap().open(&passphrase).unwrap();
            let Secret::OperatorKey(cold) = opened else { panic!("no operator key") };
            let operator = spec.operators.iter().find(|operator| operator.name == bank.name).unwrap();
            assert_eq!(operator.key, cold.public_key());
            for (chain, entry) in spec.chains.iter().zip(&config.keys.consensus_keys) {
                assert_eq!(entry.chain, chain.chain.0);
                let opened = KeyFile::load(&entry.keystore).unwrap().open(&passphrase).unwrap();
                let Secret::ConsensusKey(key) = opened else { panic!("no consensus key") };
                let seat =
                    chain.validators.iter().find(|seat| seat.consensus_key == key.public_key()).unwrap();
                assert_eq!(format!("bank-{}", seat.operator), bank.name);
            }
        }
        assert!(std::fs::read_to_string(layout.environment()).unwrap().contains("net'\\''s"));
        assert_eq!(create(&layout, 4, &chains, &params).unwrap_err().code, "localnet_directory");
    }
}
