//! `jiaozi node add-chain`: a node's part in a chain that operators add. First its key, which a proposal names; then, once the
//! proposal was applied, the chain's place in `node.toml`.
//!
//! A chain is hosted only with what it begins with, its origin: in a file, in chain 0's database, or asked of a node, which keeps it beside the
//! chain's data. So the start that follows finds it.
//!
//! The text of `node.toml` is the operator's: lines are added to it, comments and order stay. What comes out must say what was
//! meant, or nothing is written.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use api::NetworkView;
use clap::Args;
use ledger::values::ChainId;
use node::config::ConsensusKeyEntry;
use node::{FirstKey, FirstKeyError, NodeConfig, OriginPlace, StartError};
use serde::Serialize;

use super::gov::is_not_here_yet;
use super::node::{load, refusal, rotation_refusal};
use super::transaction::refuse_existing;
use crate::connection::NodeOptions;
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts};

/// Arguments of `jiaozi node add-chain`.
#[derive(Debug, Args)]
pub(super) struct AddChainArguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The chain that is to be added: the next free id.
    #[arg(long, value_name = "ID")]
    chain: u32,
    /// New file for what the proposal needs to know: public, signed by the node; chain-ID-node-N.json unless said.
    #[arg(long, value_name = "FILE", conflicts_with = "host")]
    out: Option<PathBuf>,
    /// The node that is asked whether the id is one of the next free ones, and with --host what the chain begins with: this one itself
    /// unless said.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// The chain was added: write it and its key into the configuration, for the next start.
    #[arg(long)]
    host: bool,
    /// File with the client token, where that node asks for one.
    #[arg(long, value_name = "FILE", env = "JIAOZI_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the only certificate authority to trust.
    #[arg(long, value_name = "FILE", env = "JIAOZI_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// What `node add-chain` made.
#[derive(Debug, Serialize)]
struct Offered {
    chain: u32,
    node: u16,
    key: String,
    keystore: PathBuf,
    /// False where it was made before.
    is_new: bool,
    offer: PathBuf,
    /// What is to be known of the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Show for Offered {
    fn text(&self) -> String {
        let made = if self.is_new { "" } else { " (made before)" };
        let offer = self.offer.display();
        let mut lines = vec![
            ("chain", self.chain.to_string()),
            ("node", self.node.to_string()),
            ("key", self.key.clone()),
            ("keystore", format!("{}{made}", self.keystore.display())),
            ("offer", offer.to_string()),
        ];
        lines.extend(self.note.clone().map(|note| ("note", note)));
        lines.push(("next", format!("send {offer} to whoever proposes the chain; it holds nothing secret")));
        facts(&lines)
    }
}

/// What `node add-chain --host` wrote.
#[derive(Debug, Serialize)]
struct Hosted {
    chain: u32,
    config: PathBuf,
    keystore: PathBuf,
}

impl Show for Hosted {
    fn text(&self) -> String {
        facts(&[
            ("chain", self.chain.to_string()),
            ("config", self.config.display().to_string()),
            ("keystore", self.keystore.display().to_string()),
            ("next", "restart the node; what the chain begins with is there".to_owned()),
        ])
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: there is such a chain already, a file cannot be opened or written, or `node.toml` cannot be continued.
pub(super) fn add_chain(arguments: &AddChainArguments, output: Output) -> Answer {
    let chain = ChainId(arguments.chain);
    if arguments.host {
        let keystore = host_chain(&arguments.config, chain, |config| origin(arguments, config, chain))?;
        return output.result(&Hosted { chain: chain.0, config: arguments.config.clone(), keystore });
    }
    let config = load(&arguments.config)?;
    // A key is not made for a number that no chain can get, nor where the offer cannot be written.
    let note = compared(&config, arguments, chain)?;
    arguments.out.as_deref().map_or(Ok(()), refuse_existing)?;
    let made = first_key(&config, chain)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("chain-{}-node-{}.json", made.chain, made.offer.node)));
    refuse_existing(&out)?;
    made.offer.save(&out).map_err(|fault| super::genesis::failure(fault).at("--out"))?;
    output.result(&Offered {
        chain: made.chain.0,
        node: made.offer.node,
        key: made.key.to_string(),
        keystore: made.path,
        is_new: made.is_new,
        offer: out,
        note,
    })
}

/// Compares the id of a chain to come with those that a node knows; gives what is to be known of it.
fn compared(config: &NodeConfig, arguments: &AddChainArguments, chain: ChainId) -> Answer<Option<String>> {
    let asked = arguments.node.as_deref();
    let scheme = if config.rest.tls.is_some() { "https" } else { "http" };
    let own = || format!("{scheme}://{}", config.rest.listen);
    let node = asked.map_or_else(own, str::to_owned);
    let (token_file, ca_file) = (arguments.token_file.clone(), arguments.ca_file.clone());
    let options = NodeOptions { node, token_file, ca_file, chain: None };
    // A faulty genesis file is told by whoever makes the key.
    let genesis = genesis::GenesisFile::load(&config.node.genesis).and_then(|file| file.hash()).ok();
    match (options.connect().and_then(|connection| connection.network(genesis)), asked) {
        (Ok(network), _) => judged(&network, chain),
        (Err(failure), Some(_)) => Err(failure.at("--node")),
        (Err(failure), None) => Ok(Some(format!(
            "the id was not compared with those of the network ({}): see `jiaozi chain list`",
            failure.message
        ))),
    }
}

/// One proposal adds a child for each chain at most.
fn judged(network: &NetworkView, chain: ChainId) -> Answer<Option<String>> {
    if network.chain(chain).is_some() {
        return Ok(Some(
            "the network has the chain: its validators take in the key by `gov propose add-validator`, not by add-chain".to_owned(),
        ));
    }
    let next =
        network.chains.iter().map(|place| place.chain).max().map_or(0, |newest| newest.saturating_add(1));
    let added = usize::try_from(chain.0.saturating_sub(next)).unwrap_or(usize::MAX);
    if added < network.chains.len() {
        return Ok(None);
    }
    let message = format!(
        "the next chain that is added has the id {next}; {chain} cannot be the id of one of the next"
    );
    Err(Failure::refused("chain_number", message).at("--chain").mend(format!(
        "name {next}, or the ids after it without a gap where one proposal adds several chains"
    )))
}

/// The consensus key of a chain that is to be added, and the node's offer of it; made now, or before.
///
/// # Errors
/// [`Failure`]: there is such a chain already, or a file cannot be opened or written.
pub(crate) fn first_key(config: &NodeConfig, chain: ChainId) -> Answer<FirstKey> {
    node::first_consensus_key(config, chain).map_err(|fault| first_refusal(&fault))
}

/// What the chain begins with, of a node, where a start would not find it by itself.
fn origin(arguments: &AddChainArguments, config: &NodeConfig, chain: ChainId) -> Answer<Option<Vec<u8>>> {
    let asks = arguments.node.is_some();
    match node::find_origin(config, chain) {
        Ok(OriginPlace::Here) => Ok(None),
        Ok(OriginPlace::WithRunningNode) => asked(arguments, config, chain).map(Some),
        Err(StartError::OriginNotYet { .. } | StartError::NoSuchChain { .. }) if asks => {
            asked(arguments, config, chain).map(Some)
        }
        Err(fault @ (StartError::OriginNotYet { .. } | StartError::NoSuchChain { .. })) => {
            let message = format!("nothing here says what chain {chain} begins with");
            Err(Failure::refused("origin_missing", message).at(fault.field().unwrap_or("--host")).mend(format!(
                "once the height of chain 0 that adds the chain is certified, name a node that hosts chain 0 with --node; or fetch it there, \
                 jiaozi gov origin --chain {chain} --out FILE, and name the file in [node] origins"
            )))
        }
        Err(fault) => Err(refusal("origin", &fault)),
    }
}

fn asked(arguments: &AddChainArguments, config: &NodeConfig, chain: ChainId) -> Answer<Vec<u8>> {
    let own = || config.rest.tls.is_none().then(|| format!("http://{}", config.rest.listen));
    let node = arguments.node.clone().or_else(own).ok_or_else(|| {
        Failure::usage(
            "node_url",
            "the node that runs holds chain 0, and its certificate's name is not known here",
        )
        .at("--node")
        .mend("name the node with --node, as clients do")
    })?;
    let (token_file, ca_file) = (arguments.token_file.clone(), arguments.ca_file.clone());
    let connection = NodeOptions { node: node.clone(), token_file, ca_file, chain: None }.connect()?;
    connection.wait(connection.client.origin(chain)).map_err(|failure| not_yet(failure, &node, chain))
}

/// A node that has no origin yet will have it: it says when.
fn not_yet(failure: Failure, node: &str, chain: ChainId) -> Failure {
    if !is_not_here_yet(&failure) {
        return failure.at("--node");
    }
    let message = format!("{node} does not show yet what chain {chain} begins with: {}", failure.message);
    Failure::refused("origin_not_yet", message).at("--node").mend(
        "it comes from chain 0, once the height that adds the chain is executed and certified there; run the command again in a moment",
    )
}

/// Writes a chain that was added, and its key, into a node's configuration; gives the keystore. `origin` gives what the chain begins with
/// where a start would not find it by itself.
///
/// # Errors
/// [`Failure`]: the chain has no key yet, or is hosted, there is no origin, or the configuration cannot be continued.
pub(crate) fn host_chain(
    path: &Path,
    chain: ChainId,
    origin: impl FnOnce(&NodeConfig) -> Answer<Option<Vec<u8>>>,
) -> Answer<PathBuf> {
    let config = load(path)?;
    // One that was made now would be taken for the right one the next time.
    let is_hosted = config.keys.consensus_keys.iter().any(|entry| entry.chain == chain.0);
    if !is_hosted && !node::has_first_key(&config, chain) {
        let message = "there is no key for the chain: no proposal can have named one of this node";
        return Err(Failure::refused("chain_without_key", message)
            .at("--host")
            .mend("offer one first: the same command without --host; a key that is lost is restored from its backup"));
    }
    let made = first_key(&config, chain)?;
    let text = std::fs::read_to_string(path).map_err(|fault| Failure::io("read", path, &fault))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let keystore = made.path.strip_prefix(folder).unwrap_or(&made.path);
    let text = continued(&text, chain.0, keystore).ok_or_else(|| by_hand(path, chain.0, keystore))?;
    let origin = origin(&config)?;
    match node::init_chain(&config, chain) {
        // An earlier run that ended here, or a chain that was hosted once: what is there stays.
        Ok(()) | Err(StartError::Initialised { .. }) => {}
        Err(fault) => return Err(refusal("node_init", &fault)),
    }
    if let Some(bytes) = origin {
        node::keep_origin(&config, chain, &bytes).map_err(|fault| refusal("origin", &fault))?;
    }
    replace(path, &text).map_err(|fault| Failure::io("write", path, &fault))?;
    Ok(made.path)
}

/// Puts another text in a file's place, all of it or nothing, whatever ends in between: with the same owner and mode, and behind the
/// same link if it is one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let before = std::fs::metadata(&path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_like(&temporary, text, &before).and_then(|()| std::fs::rename(&temporary, &path));
    if let Err(fault) = written {
        // What is half written must not be taken for a configuration; the fault is what is told.
        let _gone = std::fs::remove_file(&temporary).is_ok();
        return Err(fault);
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    std::fs::File::open(folder)?.sync_all()
}

/// A new file, on disk, with the mode and the owner of another one.
fn write_like(path: &Path, text: &str, like: &std::fs::Metadata) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())?;
    file.sync_all()
}

fn first_refusal(fault: &FirstKeyError) -> Failure {
    match fault {
        FirstKeyError::Node(fault) => refusal("node", fault),
        FirstKeyError::HasKey { .. } | FirstKeyError::OfGenesis { .. } => {
            Failure::refused("chain_there", fault).at("--chain")
        }
        FirstKeyError::Key(fault) => rotation_refusal(fault),
    }
}

fn by_hand(config: &Path, chain: u32, keystore: &Path) -> Failure {
    let message = format!("{} is written in a way that cannot be continued", config.display());
    Failure::refused("node_config", message).at("--config").mend(format!(
        "add by hand: {chain} to [node] chains, and {{ chain = {chain}, keystore = {} }} to [keys] consensus_keys; then run: \
         jiaozi node check",
        quoted(keystore)
    ))
}

/// The text of a configuration with one more chain and its key; `None` where what comes out would not say that.
fn continued(text: &str, chain: u32, keystore: &Path) -> Option<String> {
    let mut meant = NodeConfig::parse(text).ok()?;
    if !meant.node.chains.contains(&chain) {
        meant.node.chains.push(chain);
    }
    meant.keys.consensus_keys.push(ConsensusKeyEntry { chain, keystore: keystore.to_owned() });
    let has_chain = NodeConfig::parse(text).is_ok_and(|config| config.node.chains.contains(&chain));
    let text = if has_chain { text.to_owned() } else { with_chain(text, chain)? };
    let text = with_key(&text, chain, keystore)?;
    (NodeConfig::parse(&text).ok()? == meant).then_some(text)
}

/// `[node] chains` is an array; without it the node hosts the root chain.
fn with_chain(text: &str, chain: u32) -> Option<String> {
    with_element(text, "[node]", "chains", &chain.to_string())
        .or_else(|| after_line(text, "[node]", &format!("chains = [0, {chain}]")))
}

/// `[keys] consensus_keys` is an array, or a table for each key, or missing.
fn with_key(text: &str, chain: u32, keystore: &Path) -> Option<String> {
    const TABLE: &str = "[[keys.consensus_keys]]";
    let keystore = quoted(keystore);
    if let Some(last) = line_starts(text).filter(|start| is_header(text, *start, TABLE)).last() {
        let end = line_starts(text)
            .find(|start| *start > last && text[*start..].starts_with('['))
            .unwrap_or(text.len());
        let (before, after) = text.split_at(end);
        let gap = if after.is_empty() { "" } else { "\n" };
        let before = before.trim_end();
        return Some(format!("{before}\n\n{TABLE}\nchain = {chain}\nkeystore = {keystore}\n{gap}{after}"));
    }
    let element = format!("{{ chain = {chain}, keystore = {keystore} }}");
    with_element(text, "[keys]", "consensus_keys", &element)
        .or_else(|| after_line(text, "[keys]", &format!("consensus_keys = [{element}]")))
}

/// One more element at the end of an array of a section.
fn with_element(text: &str, section: &str, field: &str, element: &str) -> Option<String> {
    let begins = |start: usize| {
        let rest = text[start..].strip_prefix(field);
        rest.is_some_and(|rest| rest.trim_start_matches(' ').starts_with('='))
    };
    let section = section_of(text, section)?;
    let start = line_starts(text).find(|start| section.contains(start) && begins(*start))?;
    let open = start + text[start..].find('[')?;
    let close = open + closing(&text[open..])?;
    let last = text[..close].trim_end().len();
    let gap = match text[..last].chars().next_back()? {
        '[' => "",
        ',' => " ",
        _ => ", ",
    };
    Some(format!("{}{gap}{element}{}", &text[..last], &text[last..]))
}

/// Where the bracket closes that the text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' if depth == 1 => return Some(place),
            ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// A line below the header of a section.
fn after_line(text: &str, header: &str, line: &str) -> Option<String> {
    let start = section_of(text, header)?.start;
    let (before, after) = text.split_at(start);
    Some(format!("{before}{line}\n{after}"))
}

/// From below the header to the next one.
fn section_of(text: &str, header: &str) -> Option<std::ops::Range<usize>> {
    let line = line_starts(text).find(|start| is_header(text, *start, header))?;
    let start = line + text[line..].find('\n')? + 1;
    let end = line_starts(text).find(|next| *next >= start && text[*next..].starts_with('['));
    Some(start..end.unwrap_or(text.len()))
}

fn is_header(text: &str, start: usize, header: &str) -> bool {
    text[start..].lines().next().is_some_and(|line| line.trim_end() == header)
}

/// Where lines begin.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(place, _)| place + 1))
}

/// A path as TOML has it.
fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(chains: &str, keys: &str) -> String {
        format!(
            "# of bank 1\n[node]\ngenesis = \"g\" # the network\n{chains}data_directory = \"d\"\n\n[keys]\nnetwork_key = \"n\"\n\
             passphrase_file = \"p\"\n{keys}\n[log]\nlevel = \"info\"\n"
        )
    }

    #[test]
    fn a_chain_and_its_key_are_added_however_the_file_is_written() {
        let inline = "consensus_keys = [{ chain = 0, keystore = \"keys/consensus-0.key\" }]\n";
        let tables = "[[keys.consensus_keys]]\nchain = 0\nkeystore = \"keys/consensus-0.key\"\n";
        for (chains, keys) in [
            ("chains = [0]\n", inline),
            ("chains = [\n  0,\n]\n", "consensus_keys = [\n  { chain = 0, keystore = \"k\" },\n]\n"),
            ("", inline),
            ("chains = [0, 1]\n", tables),
            ("chains = [0,]\n", ""),
            ("chains = [0]\n", "consensus_keys = []\n"),
            ("chains = [0, 2]\n", tables),
        ] {
            let before = text(chains, keys);
            let parsed = NodeConfig::parse(&before).unwrap();
            let after = continued(&before, 2, Path::new("keys/consensus-2.key"))
                .unwrap_or_else(|| panic!("not continued: {before}"));
            let config = NodeConfig::parse(&after).unwrap();
            assert!(config.node.chains.contains(&2) && config.node.chains.len() >= parsed.node.chains.len());
            let last = config.keys.consensus_keys.last().unwrap();
            assert_eq!((last.chain, last.keystore.as_path()), (2, Path::new("keys/consensus-2.key")));
            assert_eq!(config.keys.consensus_keys.len(), parsed.keys.consensus_keys.len() + 1);
            assert!(after.starts_with("# of bank 1\n") && after.contains("# the network"), "{after}");
        }
    }

    #[test]
    fn what_is_written_by_a_program_is_continued_too() {
        let config = NodeConfig::parse(&text(
            "chains = [0]\n",
            "consensus_keys = [{ chain = 0, keystore = \"k\" }]\n",
        ));
        let written = toml::to_string(&config.unwrap()).unwrap();
        let after = continued(&written, 1, Path::new("keys/a \"b\".key")).unwrap();
        let config = NodeConfig::parse(&after).unwrap();
        assert_eq!(config.node.chains, [0, 1]);
        assert_eq!(config.keys.consensus_keys[1].keystore, Path::new("keys/a \"b\".key"));
    }

    #[test]
    fn a_configuration_is_replaced_in_one_piece_behind_its_link_and_with_its_mode() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real.toml"), folder.path().join("node.toml"));
        std::fs::write(&file, "before").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "after").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
        assert!(replace(&folder.path().join("none.toml"), "x").is_err());
    }

    #[test]
    fn a_node_without_the_origin_says_where_it_will_come_from() {
        let refused = api::ApiError::from(api::ErrorCode::ChainNotHereYet).because("not yet");
        let failure = not_yet(refused.into(), "http://127.0.0.1:1", ChainId(2));
        assert_eq!((failure.code.as_str(), failure.field.as_deref()), ("origin_not_yet", Some("--node")));
        assert!(failure.message.contains("chain 2 begins with") && failure.message.contains("not yet"));
        assert!(failure.mend.contains("it comes from chain 0"), "{failure:?}");
        let other = not_yet(Failure::unreachable("node_unreachable", "nobody"), "n", ChainId(2));
        assert_eq!((other.code.as_str(), other.field.as_deref()), ("node_unreachable", Some("--node")));
    }

    #[test]
    fn an_id_that_no_chain_can_get_is_refused_before_a_key_is_made() {
        let spec = genesis::dev::localnet(&genesis::dev::LocalnetPlan::new(4), &[1; 32]).unwrap().spec;
        let mut network = NetworkView::new(&spec, ledger::values::NodeIndex(0), "0", |_| true);
        let mut second = network.chains[0].clone();
        second.chain = 1;
        network.chains.push(second);
        for (chain, is_noted) in [(0, true), (1, true), (2, false), (3, false)] {
            assert_eq!(judged(&network, ChainId(chain)).unwrap().is_some(), is_noted, "{chain}");
        }
        let refused = judged(&network, ChainId(4)).unwrap_err();
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("chain_number", Some("--chain")));
        assert!(refused.mend.starts_with("name 2, or the ids after it"), "{refused:?}");
    }

    #[test]
    fn what_would_say_something_else_is_not_written() {
        // The comment would swallow what is added.
        let commented = text("chains = [0 # the root\n]\n", "");
        assert!(NodeConfig::parse(&commented).is_ok());
        assert_eq!(continued(&commented, 2, Path::new("k")), None);
        let dotted = "node.genesis = \"g\"\nnode.data_directory = \"d\"\nkeys.network_key = \"n\"\nkeys.passphrase_file = \"p\"\n";
        assert!(NodeConfig::parse(dotted).is_ok());
        assert_eq!(continued(dotted, 2, Path::new("k")), None);
        assert!(by_hand(Path::new("node.toml"), 2, Path::new("k")).mend.contains("keystore = \"k\""));
    }
}
