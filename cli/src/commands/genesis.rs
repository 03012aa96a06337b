//! `jiaozi genesis`: the ceremony in which operators agree on a network.
//!
//! Everything happens over a folder that the operators pass around; no machine ever sees all keys.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use genesis::governance::params;
use genesis::{
    Ceremony, ChainList, Contribution, GenesisError, GenesisFile, NodeOffer, OperatorOffer, Template,
};
use ledger::records::{ChainParams, OperatorRole, Policy};
use ledger::values::{ChainId, PublicKey, SecretKey, TimestampMs};
use serde::Serialize;
use wallet::seed::Words;
use wallet::{KdfParams, KeyFile, KeyFileError, KeyKind, Passphrase, Secret, WalletSeed};

use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, Show, facts};
use crate::secret::PassphraseOptions;
use crate::send::wall_clock_ms;

/// Arguments of `jiaozi genesis`.
#[derive(Debug, Args)]
pub struct GenesisArguments {
    #[command(subcommand)]
    command: GenesisCommand,
}

#[derive(Debug, Subcommand)]
enum GenesisCommand {
    /// Start a ceremony: write the template that everybody contributes to.
    #[command(after_help = "Examples:\n  \
        jiaozi genesis new ceremony --network pilot\n  \
        jiaozi genesis new ceremony --network pilot --chains CNY:2,HKD:1 --block-pace-ms 100\n  \
        jiaozi genesis new ceremony --network pilot --param weight_target=500000 --param tiers.four.is_fee_exempt=true")]
    New(NewArguments),
    /// Contribute as an operator: make keys that do not exist yet, and sign an offer with them.
    #[command(after_help = "Examples:\n  \
        jiaozi genesis contribute ceremony --name \"Bank of Two\" --role bank --keys keys --address bank2.example:7000\n  \
        jiaozi genesis contribute ceremony --name \"Bank of Two\" --role bank --keys keys \\\n    \
        --address a.bank2.example:7000=0,1 --address b.bank2.example:7000=2\n  \
        jiaozi genesis contribute ceremony --name \"Central Bank\" --role central-bank --keys keys\n  \
        jiaozi genesis contribute joining --name \"Bank of Six\" --role bank --keys keys --address bank6.example:7000 \\\n    \
        --genesis genesis.json\n\n\
        The folder of keys gets operator.key (cold: keep it off the node), wallet.key, network.key and a consensus key per\n\
        chain, all encrypted under one passphrase. A bank may spread its chains over several nodes: one --address each, with\n\
        the chains after =; the second node's key is network-2.key. A bank's node votes only if it was told, once and before\n\
        the network's first start, that it never voted: jiaozi node init --config node.toml")]
    Contribute(ContributeArguments),
    /// Put all contributions together into genesis.json.
    #[command(after_help = "Examples:\n  jiaozi genesis merge ceremony")]
    Merge(FolderArguments),
    /// Approve genesis.json with the cold operator key, after rebuilding it from the contributions.
    #[command(after_help = "Examples:\n  jiaozi genesis approve ceremony --keys keys\n\n\
        When all have approved, `jiaozi genesis verify` says so. Then each bank prepares its node, once and before the\n\
        network's first start: jiaozi node init --config node.toml")]
    Approve(ApproveArguments),
    /// Show a genesis file for people who compare it.
    #[command(
        after_help = "Examples:\n  jiaozi genesis show genesis.json\n  jiaozi genesis show ceremony --json"
    )]
    Show(ShowArguments),
    /// Rebuild genesis.json from the contributions, compare it, and check every approval.
    #[command(after_help = "Examples:\n  jiaozi genesis verify ceremony\n\n\
        Exit code 1 when something differs or an approval is missing. Next, each bank: jiaozi node init, then node run.")]
    Verify(FolderArguments),
}

#[derive(Debug, Args)]
struct NewArguments {
    /// The ceremony's folder.
    folder: PathBuf,
    /// The network's name for people.
    #[arg(long, value_name = "NAME")]
    network: String,
    /// Currencies and the number of shards of each; chain ids ascend in this order, and the first is the root chain.
    #[arg(long, value_name = "CODE:SHARDS,…", default_value_t = ChainList::default())]
    chains: ChainList,
    /// Timestamp of height 0 in milliseconds since 1970 UTC; now if not given.
    #[arg(long, value_name = "MS")]
    timestamp_ms: Option<u64>,
    /// Least time between blocks.
    #[arg(long, value_name = "MS")]
    block_pace_ms: Option<u64>,
    /// Most weight of a block.
    #[arg(long, value_name = "WEIGHT")]
    block_weight_max: Option<u64>,
    /// Any other parameter of the chains, as `gov propose set-param` names them: weight_target=500000; again for each.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<WrittenParam>,
}

/// A parameter and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WrittenParam {
    name: String,
    value: String,
}

impl FromStr for WrittenParam {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("a parameter is written as NAME=VALUE")?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[derive(Debug, Args)]
struct ContributeArguments {
    /// The ceremony's folder.
    folder: PathBuf,
    /// The operator's name for people.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What the operator is.
    #[arg(long, value_name = "ROLE")]
    role: RoleChoice,
    /// Folder of the operator's keys; what is missing is made.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Where peers reach the bank's node, host:port; of several nodes each, with the chains on which it votes, host:port=0,2.
    #[arg(long, value_name = "ADDRESS[=CHAINS]", required_if_eq("role", "bank"))]
    address: Vec<NodePlace>,
    /// Public key of somebody else who signs for the operator's own wallet.
    #[arg(long, value_name = "KEY")]
    wallet_key: Vec<PublicKey>,
    /// Signatures that the operator's own wallet needs.
    #[arg(long, value_name = "N", default_value_t = 1)]
    wallet_threshold: u8,
    /// Genesis file of a network that runs already, to join it: its template is written into the folder first. The operators
    /// propose it with `jiaozi gov propose add-operator`.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Debug, Args)]
struct FolderArguments {
    /// The ceremony's folder.
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct ApproveArguments {
    /// The ceremony's folder.
    folder: PathBuf,
    /// Folder with operator.key.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// A genesis file, or a ceremony's folder.
    path: PathBuf,
}

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleChoice {
    /// Issues the money; runs no node.
    CentralBank,
    /// Opens wallets and runs validators.
    Bank,
}

/// Where peers reach a node, and the chains on which it votes; without any, all that no other node has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NodePlace {
    address: String,
    chains: Option<Vec<u32>>,
}

impl FromStr for NodePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, chains)) = text.split_once('=') else {
            return Ok(Self { address: text.to_owned(), chains: None });
        };
        let chains: Result<Vec<u32>, _> = chains.split(',').map(str::parse).collect();
        let chains =
            chains.map_err(|_| "chains are numbers with commas, such as host:7000=0,2".to_owned())?;
        Ok(Self { address: address.to_owned(), chains: Some(chains) })
    }
}

/// The chains of each node.
fn shares(places: &[NodePlace], chains: impl Iterator<Item = u32>) -> Answer<Vec<Vec<ChainId>>> {
    let wrong = |message: &str| {
        Failure::usage("node_chains", message).at("--address").mend(
            "name each chain of the template at one address; one address may do without, and gets the others",
        )
    };
    let mut left: Vec<u32> = chains.collect();
    for chain in places.iter().filter_map(|place| place.chains.as_ref()).flatten() {
        let Some(at) = left.iter().position(|left| left == chain) else {
            return Err(wrong(&format!("chain {chain} is named twice, or the template has none")));
        };
        left.remove(at);
    }
    if places.iter().filter(|place| place.chains.is_none()).count() > 1 {
        return Err(wrong("two addresses without chains"));
    }
    let share = |place: &NodePlace| -> Vec<ChainId> {
        place.chains.as_ref().unwrap_or(&left).iter().copied().map(ChainId).collect()
    };
    Ok(places.iter().map(share).collect())
}

/// A step of the ceremony that wrote a file.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_key: Option<String>,
}

impl Show for Step {
    fn text(&self) -> String {
        let mut lines = vec![(self.step, self.file.display().to_string())];
        lines.extend(self.genesis_hash.clone().map(|hash| ("genesis", hash)));
        lines.extend(self.operator_key.clone().map(|key| ("operator key", key)));
        facts(&lines)
    }
}

/// A genesis file.
#[derive(Debug, Serialize)]
struct Shown {
    genesis_hash: String,
    genesis: GenesisFile,
    #[serde(skip)]
    text: String,
}

impl Show for Shown {
    fn text(&self) -> String {
        self.text.trim_end().to_owned()
    }
}

/// What a verification found.
#[derive(Debug, Serialize)]
struct Verified {
    genesis_hash: String,
    operators: usize,
    missing: Vec<String>,
}

impl Show for Verified {
    fn text(&self) -> String {
        facts(&[
            ("verdict", "the contributions make this genesis, and every operator approved it".to_owned()),
            ("genesis", self.genesis_hash.clone()),
            ("operators", self.operators.to_string()),
        ])
    }
}

/// A refusal of the ceremony.
#[must_use]
pub fn failure(fault: GenesisError) -> Failure {
    let (exit, code) = match &fault {
        GenesisError::File(_) => (Exit::Usage, "genesis_file"),
        GenesisError::Field(_) | GenesisError::Spec(_) => (Exit::Usage, "genesis_field"),
        GenesisError::Randomness(_) => (Exit::Unreachable, "randomness"),
        GenesisError::MissingApprovals { .. } => (Exit::Refused, "approvals_missing"),
        GenesisError::OtherGenesis { .. } | GenesisError::OtherApproval { .. } => {
            (Exit::Refused, "genesis_differs")
        }
        GenesisError::Conflict { .. } | GenesisError::CentralBanks { .. } => {
            (Exit::Refused, "contributions_conflict")
        }
        _ => (Exit::Refused, "ceremony"),
    };
    Failure::new(exit, code, fault)
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: GenesisArguments, output: Output) -> Answer {
    match arguments.command {
        GenesisCommand::New(arguments) => new(&arguments, output),
        GenesisCommand::Contribute(arguments) => contribute(&arguments, output),
        GenesisCommand::Merge(FolderArguments { folder }) => {
            let genesis = Ceremony::at(&folder).merge().map_err(failure)?;
            let genesis_hash = Some(genesis.hash().map_err(failure)?.to_string());
            output.result(&Step {
                step: "merged",
                file: folder.join("genesis.json"),
                genesis_hash,
                operator_key: None,
            })
        }
        GenesisCommand::Approve(arguments) => {
            let passphrase = arguments.passphrase.read()?;
            let key = load_key(&arguments.keys.join(OPERATOR_FILE), KeyKind::OperatorKey, &passphrase)?;
            let ceremony = Ceremony::at(&arguments.folder);
            let file = ceremony.approve(&key).map_err(failure)?;
            let genesis_hash = ceremony.genesis().and_then(|genesis| genesis.hash()).map_err(failure)?;
            let operator_key = Some(key.public_key().to_string());
            output.result(&Step {
                step: "approved",
                file,
                genesis_hash: Some(genesis_hash.to_string()),
                operator_key,
            })
        }
        GenesisCommand::Show(ShowArguments { path }) => {
            let path = if path.is_dir() { path.join("genesis.json") } else { path };
            let file = GenesisFile::load(&path).map_err(failure)?;
            let spec = file.spec().map_err(failure)?;
            output.result(&Shown {
                genesis_hash: spec.hash().to_string(),
                text: genesis::show(&spec),
                genesis: file,
            })
        }
        GenesisCommand::Verify(FolderArguments { folder }) => {
            let verification = Ceremony::at(&folder).verify().map_err(failure)?;
            let operators = verification.operators;
            let genesis_hash = verification.require_all().map_err(failure)?.to_string();
            output.result(&Verified { genesis_hash, operators, missing: Vec::new() })
        }
    }
}

fn new(arguments: &NewArguments, output: Output) -> Answer {
    let chains = arguments.chains.places();
    let defaults = ChainParams::default();
    let params = ChainParams {
        block_pace_ms: arguments.block_pace_ms.unwrap_or(defaults.block_pace_ms),
        block_weight_max: arguments.block_weight_max.unwrap_or(defaults.block_weight_max),
        ..defaults
    };
    let params = arguments.params.iter().try_fold(params, |mut params, written| {
        params::set(&mut params, &written.name, &written.value)
            .map_err(|fault| Failure::usage("params", fault).at("--param"))?;
        Ok::<_, Failure>(params)
    })?;
    let timestamp = TimestampMs(arguments.timestamp_ms.unwrap_or_else(wall_clock_ms));
    let template = Template::new(arguments.network.clone(), timestamp, &chains, &params).map_err(failure)?;
    let file = Ceremony::at(&arguments.folder).create(&template).map_err(failure)?;
    output.result(&Step { step: "template", file, genesis_hash: None, operator_key: None })
}

/// The cold key in a folder of keys.
pub(crate) const OPERATOR_FILE: &str = "operator.key";
const WALLET_FILE: &str = "wallet.key";

/// The network key of a bank's first node, second, …
fn network_file(number: usize) -> String {
    if number == 1 { "network.key".to_owned() } else { format!("network-{number}.key") }
}

fn consensus_file(chain: ChainId) -> String {
    format!("consensus-{chain}.key")
}

fn contribute(arguments: &ContributeArguments, output: Output) -> Answer {
    let ceremony = Ceremony::at(&arguments.folder);
    if let Some(genesis) = &arguments.genesis {
        let spec = GenesisFile::load(genesis).and_then(|file| file.spec());
        let template = Template::of(&spec.map_err(|fault| failure(fault).at("--genesis"))?);
        match ceremony.template() {
            // A second contribution to the same network.
            Ok(written) if written == template => {}
            _ => drop(ceremony.create(&template).map_err(failure)?),
        }
    }
    let template = ceremony.template().map_err(failure)?;
    let is_new = !arguments.keys.join(OPERATOR_FILE).exists();
    let passphrase = if is_new { arguments.passphrase.read_new()? } else { arguments.passphrase.read()? };
    let ring = KeyRing { folder: &arguments.keys, passphrase: &passphrase, label: &arguments.name };
    let operator_key = ring.key(OPERATOR_FILE, KeyKind::OperatorKey)?;
    let mut keys = arguments.wallet_key.clone();
    keys.push(ring.wallet()?);
    let wallet_policy = Policy::new(arguments.wallet_threshold, keys).map_err(|fault| {
        Failure::usage("policy", fault).at("--wallet-threshold").mend("name each other key once")
    })?;
    let mut nodes = Vec::new();
    let role = match (arguments.role, arguments.address.as_slice()) {
        (RoleChoice::CentralBank, []) => OperatorRole::CentralBank,
        (RoleChoice::CentralBank, _) => {
            return Err(Failure::usage("address", "the central bank runs no node")
                .at("--address")
                .mend("leave it out"));
        }
        (RoleChoice::Bank, places) => {
            let shares = shares(places, template.chains.iter().map(|chain| chain.chain))?;
            for (number, (place, chains)) in (1_usize..).zip(places.iter().zip(shares)) {
                let network_key = ring.key(&network_file(number), KeyKind::NetworkKey)?;
                let consensus = ring.consensus_keys(&chains)?;
                let consensus: Vec<(ChainId, &SecretKey)> =
                    consensus.iter().map(|(chain, key)| (*chain, key)).collect();
                let (public, address) = (operator_key.public_key(), &place.address);
                let offer = NodeOffer::prove(&template, public, address, &network_key, &consensus);
                nodes.push(offer.map_err(failure)?);
            }
            OperatorRole::Bank
        }
    };
    let offer = OperatorOffer { name: arguments.name.clone(), role, wallet_policy };
    let contribution = Contribution::sign(&template, offer, nodes, &operator_key).map_err(failure)?;
    let file = ceremony.contribute(&contribution).map_err(failure)?;
    let operator_key = Some(operator_key.public_key().to_string());
    output.result(&Step { step: "contributed", file, genesis_hash: None, operator_key })
}

/// Keys in a folder, all under one passphrase; what is missing is made.
struct KeyRing<'a> {
    folder: &'a Path,
    passphrase: &'a Passphrase,
    label: &'a str,
}

impl KeyRing<'_> {
    fn key(&self, name: &str, kind: KeyKind) -> Answer<SecretKey> {
        let path = self.folder.join(name);
        if path.exists() {
            return load_key(&path, kind, self.passphrase);
        }
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|fault| failure(GenesisError::Randomness(fault)))?;
        let key = SecretKey::from_seed(*seed);
        let secret = match kind {
            KeyKind::OperatorKey => Secret::OperatorKey(key.clone()),
            KeyKind::NetworkKey => Secret::NetworkKey(key.clone()),
            _ => Secret::ConsensusKey(key.clone()),
        };
        self.seal(&secret, &path)?;
        Ok(key)
    }

    fn consensus_keys(&self, chains: &[ChainId]) -> Answer<Vec<(ChainId, SecretKey)>> {
        let key = |chain: &ChainId| Ok((*chain, self.key(&consensus_file(*chain), KeyKind::ConsensusKey)?));
        chains.iter().map(key).collect()
    }

    /// The public key of the operator's own wallet.
    fn wallet(&self) -> Answer<PublicKey> {
        let path = self.folder.join(WALLET_FILE);
        let seed = if path.exists() {
            let file = KeyFile::load(&path)?;
            file.require(KeyKind::WalletSeed)?;
            match file.open(self.passphrase)? {
                Secret::WalletSeed(seed) => seed,
                _ => return Err(KeyFileError::Mismatch.into()),
            }
        } else {
            let seed = WalletSeed::generate(Words::TwentyFour)
                .map_err(|fault| Failure::unreachable("randomness", fault))?;
            self.seal(&Secret::WalletSeed(seed.clone()), &path)?;
            seed
        };
        Ok(seed.key(0, 0).public_key())
    }

    fn seal(&self, secret: &Secret, path: &Path) -> Answer {
        // Labels are for people who look at files; a long name is cut, not refused.
        let label: String = self.label.chars().take(16).collect();
        Ok(KeyFile::seal(secret, &label, self.passphrase, KdfParams::default())?.save(path)?)
    }
}

/// Opens the key of a key file.
///
/// # Errors
/// [`Failure`] when it is of another kind, or the passphrase does not open it.
pub(crate) fn load_key(path: &Path, kind: KeyKind, passphrase: &Passphrase) -> Answer<SecretKey> {
    let file = KeyFile::load(path)?;
    file.require(kind)?;
    match file.open(passphrase)? {
        Secret::OperatorKey(key) | Secret::NetworkKey(key) | Secret::ConsensusKey(key) => Ok(key),
        _ => Err(KeyFileError::Mismatch.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &Path) -> PassphraseOptions {
        let path = folder.join("passphrase");
        if !path.exists() {
            crate::secret::write_private(&path, b"correct horse battery").unwrap();
        }
        PassphraseOptions { passphrase_file: Some(path), passphrase_fd: None }
    }

    fn step(command: GenesisCommand) -> Answer {
        run(GenesisArguments { command }, Output::new(true))
    }

    fn contribution(folder: &Path, number: u16) -> ContributeArguments {
        let is_central = number == 0;
        // The fourth bank has two machines.
        let (first, second) =
            (format!("127.0.0.1:{}", 7_000 + number), format!("127.0.0.1:{}=1", 7_100 + number));
        let places = if number == 4 { vec![first, second] } else { vec![first] };
        ContributeArguments {
            folder: folder.join("ceremony"),
            name: if is_central { "central".into() } else { format!("bank-{number}") },
            role: if is_central { RoleChoice::CentralBank } else { RoleChoice::Bank },
            keys: folder.join(format!("keys-{number}")),
            address: places.iter().filter(|_| !is_central).map(|place| place.parse().unwrap()).collect(),
            wallet_key: Vec::new(),
            wallet_threshold: 1,
            genesis: None,
            passphrase: options(folder),
        }
    }

    #[test]
    fn a_bank_spreads_each_chain_to_one_node() {
        let places =
            |texts: &[&str]| -> Vec<NodePlace> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let shared = |texts: &[&str]| shares(&places(texts), 0..4);
        let ids = |numbers: &[u32]| numbers.iter().copied().map(ChainId).collect::<Vec<_>>();
        assert_eq!(shared(&["a:1"]).unwrap(), [ids(&[0, 1, 2, 3])]);
        assert_eq!(shared(&["a:1=3,0", "b:1", "c:1=1"]).unwrap(), [ids(&[3, 0]), ids(&[2]), ids(&[1])]);
        assert_eq!(shared(&["a:1=0"]).unwrap(), [ids(&[0])], "it need not vote everywhere");
        for wrong in [&["a:1=0", "b:1=0"][..], &["a:1=9"], &["a:1", "b:1"]] {
            assert_eq!(shared(wrong).unwrap_err().code, "node_chains", "{wrong:?}");
        }
        assert!("a:1=x".parse::<NodePlace>().is_err() && "a:1=".parse::<NodePlace>().is_err());
    }

    /// The whole ceremony through the commands, with real encrypted keys.
    #[test]
    fn a_ceremony_from_template_to_verified_genesis() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, ceremony) = (folder.path(), folder.path().join("ceremony"));
        let new = NewArguments {
            folder: ceremony.clone(),
            network: "test".into(),
            chains: "CNY:2,HKD:1".parse().unwrap(),
            timestamp_ms: Some(1),
            block_pace_ms: None,
            block_weight_max: None,
            params: vec!["weight_target=500000".parse().unwrap()],
        };
        step(GenesisCommand::New(new)).unwrap();
        for number in 0..5 {
            step(GenesisCommand::Contribute(contribution(folder, number))).unwrap();
        }
        let at = || FolderArguments { folder: ceremony.clone() };
        step(GenesisCommand::Merge(at())).unwrap();
        let missing = step(GenesisCommand::Verify(at())).unwrap_err();
        assert_eq!((missing.code.as_str(), missing.exit), ("approvals_missing", Exit::Refused));
        for number in 0..5 {
            let keys = folder.join(format!("keys-{number}"));
            step(GenesisCommand::Approve(ApproveArguments {
                folder: ceremony.clone(),
                keys,
                passphrase: options(folder),
            }))
            .unwrap();
        }
        step(GenesisCommand::Verify(at())).unwrap();
        let spec = GenesisFile::load(&ceremony.join("genesis.json")).unwrap().spec().unwrap();
        let places: Vec<_> =
            spec.chains.iter().map(|chain| (chain.currency.to_string(), chain.shard)).collect();
        assert_eq!(places, [("CNY".to_owned(), 0), ("CNY".to_owned(), 1), ("HKD".to_owned(), 0)]);
        assert!(spec.chains.iter().all(|chain| chain.params.fees.weight_target == 500_000));
        assert!(
            spec.chains.iter().all(|chain| chain.validators.len() == 4),
            "every bank votes on every chain"
        );
        assert_eq!((spec.nodes.len(), folder.join("keys-4/network-2.key").exists()), (5, true));
        let node = |chain: usize| {
            let seats = &spec.chains[chain].validators;
            let seat = seats.iter().find(|seat| seat.operator.0 == 4).unwrap();
            spec.nodes[usize::from(seat.node.0)].address.clone()
        };
        assert_eq!([0, 1, 2].map(node), ["127.0.0.1:7004", "127.0.0.1:7104", "127.0.0.1:7004"]);
        step(GenesisCommand::Show(ShowArguments { path: ceremony.clone() })).unwrap();
        // A sixth bank joins later, with the genesis file alone.
        let joining = folder.join("joining");
        let join = || {
            let genesis = Some(ceremony.join("genesis.json"));
            let sixth = ContributeArguments { folder: joining.clone(), genesis, ..contribution(folder, 6) };
            step(GenesisCommand::Contribute(sixth))
        };
        join().unwrap();
        assert_eq!(
            join().unwrap_err().code,
            "genesis_file",
            "the contribution is there, and the template fits"
        );
        let made = std::fs::read_dir(joining.join("contributions")).unwrap().next().unwrap().unwrap().path();
        let part = Contribution::load(&made).unwrap().verify(&Template::of(&spec)).unwrap();
        assert_eq!(part.operators[0].name, "bank-6");
        let twice = step(GenesisCommand::Contribute(contribution(folder, 1))).unwrap_err();
        assert_eq!(twice.code, "genesis_file", "{twice:?}");
    }
}
