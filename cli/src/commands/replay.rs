//! `jiaozi audit replay`: whole chains again, one after another, and what passed between them.
//!
//! Chains go by id, so the root chain is first and a parent comes before its children. What a chain begins with that genesis does not name
//! comes from the root chain's replay; where that was not replayed, and as a check where it was, from the chain's origin, which is proved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use api::{ClientError, ErrorCode};
use audit::{
    ArchiveSource, AuditError, Child, DatabaseSource, FeedSource, Replay, Report, Source, StoredRows,
    THREADS_MAX, beginning, compare_across, stored_origin,
};
use clap::Args;
use ledger::records::GenesisSpec;
use ledger::values::{ChainId, GenesisHash};
use storage::{Identity, RocksOptions, RocksReader, VerifyReport, read_identity};

use super::audit::load_spec;
use super::replayed::Replayed;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::progress::Progress;

/// Folders searched below `--data` for a database.
const SEARCH_DEPTH: usize = 3;
/// Folders looked into in all.
const SEARCH_FOLDERS_MAX: usize = 1_000;
/// Folders searched above `--data` for the genesis file.
const GENESIS_PARENTS: usize = 4;

/// Arguments of `jiaozi audit replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// A stopped node's data directory, or a copy of it, instead of a node: not together with --node.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Archives of the first heights (`jiaozi archive create`): they are replayed first, and then what the node has above them.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    archive: Option<PathBuf>,
    /// The node's address: https anywhere, http on this machine only.
    #[arg(long, value_name = "URL", env = "JIAOZI_NODE", default_value = "http://127.0.0.1:8080")]
    node: String,
    /// File with the client token, where the node asks for one.
    #[arg(long, value_name = "FILE", env = "JIAOZI_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the only certificate authority to trust.
    #[arg(long, value_name = "FILE", env = "JIAOZI_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The only chain to replay. Without it, all that are there, and then what passed between them.
    #[arg(long, value_name = "ID")]
    chain: Option<u32>,
    /// The genesis file: the only thing that is trusted. Without it, one above --data is taken and named.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: Option<PathBuf>,
    /// Threads; 0 for one per core.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=THREADS_MAX as i64))]
    threads: u16,
}

/// Which chain is to be replayed.
#[derive(Clone, Copy)]
struct Place<'a> {
    spec: &'a GenesisSpec,
    chain: ChainId,
    /// Where operators added it and the root chain was replayed.
    child: Option<&'a Child>,
}

/// A chain that was replayed.
pub(super) struct ReplayedChain {
    /// What was found.
    pub(super) report: Report,
    /// The check of every byte of a data directory, and the compared rows.
    pub(super) stored: Option<(VerifyReport, StoredRows)>,
}

impl ReplayArguments {
    fn connect(&self) -> Answer<Connection> {
        let (node, token_file, ca_file) = (self.node.clone(), self.token_file.clone(), self.ca_file.clone());
        NodeOptions { node, token_file, ca_file, chain: self.chain }.connect()
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit 1 for a difference.
pub(super) fn replay(arguments: &ReplayArguments, output: Output) -> Answer {
    output.result(&replay_all(arguments, output)?)
}

fn replay_all(arguments: &ReplayArguments, output: Output) -> Answer<Replayed> {
    let spec = load_spec(&genesis_path(arguments, output)?)?;
    if arguments.data.is_none() {
        require_network(&arguments.connect()?, spec.hash())?;
    }
    let bar = Progress::new("replaying", None, output.is_json());
    let databases = arguments.data.as_deref().map(databases).transpose()?;
    let mut wanted: BTreeSet<ChainId> = match (arguments.chain, &databases) {
        (Some(chain), _) => BTreeSet::from([ChainId(chain)]),
        (None, Some(databases)) => databases.keys().copied().collect(),
        (None, None) => spec.chains.iter().map(|chain| chain.chain).collect(),
    };
    let mut chains: Vec<ReplayedChain> = Vec::new();
    let mut looked: BTreeSet<ChainId> = BTreeSet::new();
    // Each replayed chain names the children that it has heard of, whose ids are above all that there were.
    while let Some(chain) = wanted.pop_first() {
        looked.insert(chain);
        let child = chains.iter().flat_map(|chain| &chain.report.children).find(|child| child.chain == chain);
        let place = Place { spec: &spec, chain, child };
        let replayed = match &databases {
            None => replay_feed(arguments, place, &bar)?,
            Some(databases) => match databases.get(&chain) {
                Some(path) => Some(replay_database(arguments, path, place, &bar)?),
                None => None,
            },
        };
        if let (None, Some(replayed)) = (arguments.chain, &replayed) {
            let known = replayed.report.registry.chains.iter().map(|record| record.chain);
            wanted.extend(known.filter(|known| !looked.contains(known)));
        }
        chains.extend(replayed);
    }
    if chains.is_empty() {
        return Err(nothing_found(arguments));
    }
    let across = compare_across(&spec, chains.iter().map(|chain| &chain.report))?;
    drop(bar);
    Ok(Replayed::new(&spec, &chains, &across))
}

/// Replays the databases of a stopped node, as `audit replay --data` does, and answers what fits.
///
/// # Errors
/// [`AuditError`] as a [`Failure`].
pub(super) fn replay_data(data: &Path, genesis: &Path, output: Output) -> Answer<Replayed> {
    let arguments = ReplayArguments {
        data: Some(data.to_owned()),
        archive: None,
        node: String::new(),
        token_file: None,
        ca_file: None,
        chain: None,
        genesis: Some(genesis.to_owned()),
        threads: 0,
    };
    replay_all(&arguments, output)
}

/// Replays with progress; which chain is said where there are several.
fn run(
    arguments: &ReplayArguments,
    Place { spec, chain, child }: Place<'_>,
    bar: &Progress,
    work: impl FnOnce(&Replay<'_>) -> Result<Report, AuditError>,
) -> Result<Report, AuditError> {
    let of = if spec.chains.len() > 1 || child.is_some() { format!("chain {chain} ") } else { String::new() };
    let progress = |progress: audit::Progress| {
        let end = progress.height_end.map(|end| format!(" of {end}")).unwrap_or_default();
        bar.say(format!("{of}height {}{end}, payments", progress.height));
        bar.set(progress.payments);
    };
    work(&Replay { spec, chain, threads: usize::from(arguments.threads), progress: &progress })
}

/// A chain from a node; `None` where the node does not host it and it was not asked for by name.
fn replay_feed(
    arguments: &ReplayArguments,
    place: Place<'_>,
    bar: &Progress,
) -> Answer<Option<ReplayedChain>> {
    let Place { spec, chain, child } = place;
    let is_added = spec.chain(chain).is_none();
    let shown = if is_added { fetch_origin(&arguments.connect()?, chain)? } else { None };
    let registry = if is_added { beginning(spec, chain, child, shown.as_deref())? } else { None };
    if is_added && registry.is_none() {
        return if arguments.chain.is_none() { Ok(None) } else { Err(no_origin(chain, "--node")) };
    }
    // The source has a runtime of its own, on which a connection of another one would never move.
    let connection = arguments.connect()?;
    let source: Box<dyn Source + '_> = match &arguments.archive {
        None => Box::new(FeedSource::new(&connection.client, chain)?),
        Some(directory) => {
            let client = &connection.client;
            let above = move |from| -> Result<Box<dyn Source + '_>, AuditError> {
                Ok(Box::new(FeedSource::starting_at(client, chain, from)?))
            };
            Box::new(ArchiveSource::new(directory, spec, chain, Box::new(above))?)
        }
    };
    let replayed = run(arguments, place, bar, |replay| match registry {
        None => replay.run(source, None),
        Some(registry) => replay.run_child(registry, source, None),
    });
    match replayed {
        Ok(report) => Ok(Some(ReplayedChain { report, stored: None })),
        Err(AuditError::Feed(ClientError::Refused(refusal)))
            if arguments.chain.is_none() && refusal.code == ErrorCode::ChainElsewhere.code() =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the node shows of how a chain began; `None` where it has nothing to show, or the token opens the feed alone.
fn fetch_origin(connection: &Connection, chain: ChainId) -> Answer<Option<Vec<u8>>> {
    let nothing = [ErrorCode::ChainElsewhere, ErrorCode::ChainNotHereYet, ErrorCode::ScopeMissing];
    connection.wait(async {
        match connection.client.origin(chain).await {
            Ok(origin) => Ok(Some(origin)),
            Err(ClientError::Refused(error)) if nothing.iter().any(|code| code.code() == error.code) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    })
}

/// A chain from its database.
fn replay_database(
    arguments: &ReplayArguments,
    path: &Path,
    place: Place<'_>,
    bar: &Progress,
) -> Answer<ReplayedChain> {
    let Place { spec, chain, child } = place;
    let found = read_identity(path).map_err(AuditError::from)?;
    if found.genesis != spec.hash().0 {
        return Err(other_network("the data directory", GenesisHash(found.genesis), spec.hash()));
    }
    let identity = Identity { genesis: spec.hash().0, ..found };
    let reader =
        RocksReader::open(path, Some(&identity), RocksOptions::default()).map_err(AuditError::from)?;
    bar.say("checking every byte".to_owned());
    let checked = reader.verify_all().map_err(AuditError::from)?;
    bar.say("replaying".to_owned());
    let source = Box::new(DatabaseSource::new(&reader, chain)?);
    let report = if spec.chain(chain).is_some() {
        run(arguments, place, bar, |replay| replay.run(source, Some(&reader)))?
    } else {
        let shown = stored_origin(&reader)?;
        let registry = beginning(spec, chain, child, shown.as_deref())?;
        let registry = registry.ok_or_else(|| no_origin(chain, "--data"))?;
        run(arguments, place, bar, |replay| replay.run_child(registry, source, Some(&reader)))?
    };
    let stored = report.stored.map(|rows| (checked, rows));
    Ok(ReplayedChain { report, stored })
}

fn no_origin(chain: ChainId, option: &'static str) -> Failure {
    let message = format!("genesis does not name chain {chain}, and nothing proves what it began with");
    Failure::usage("no_origin", message)
        .at(option)
        .mend("have chain 0 replayed as well, or name a node or a data directory that has the chain's origin")
}

/// Refuses a node of another network, whose blocks would look forged.
fn require_network(connection: &Connection, expected: GenesisHash) -> Answer {
    let scope_missing = ErrorCode::ScopeMissing.code();
    let found = connection.wait(async {
        match connection.client.network().await {
            Ok(view) => Ok(Some(view.genesis_hash)),
            // A token may open the feed alone; then the first block tells.
            Err(ClientError::Refused(error)) if error.code == scope_missing => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    match found {
        Some(found) if found != expected => Err(other_network("the node", found, expected)),
        _ => Ok(()),
    }
}

fn other_network(what: &str, found: GenesisHash, expected: GenesisHash) -> Failure {
    let message = format!("{what} is of network {found}, the genesis file is of {expected}");
    Failure::usage("other_network", message)
        .at("--genesis")
        .mend("name the genesis file of the network that is to be audited, or another node or data directory")
}

fn nothing_found(arguments: &ReplayArguments) -> Failure {
    let what = arguments.chain.map_or_else(|| "a chain".to_owned(), |chain| format!("chain {chain}"));
    match &arguments.data {
        Some(data) => {
            let message = format!("no database of {what} in or below {}", data.display());
            Failure::usage("no_database", message).at("--data").mend("name a node's data directory")
        }
        None => {
            Failure::refused("no_chain", format_args!("{} hosts no chain of the network", arguments.node))
                .at("--node")
                .mend("name a node that hosts the chains to be audited")
        }
    }
}

fn genesis_path(arguments: &ReplayArguments, output: Output) -> Answer<PathBuf> {
    if let Some(path) = &arguments.genesis {
        return Ok(path.clone());
    }
    let found = arguments.data.as_deref().and_then(|data| {
        let data = std::path::absolute(data).ok()?;
        data.ancestors()
            .take(GENESIS_PARENTS)
            .map(|folder| folder.join("genesis.json"))
            .find(|path| path.is_file())
    });
    let Some(path) = found else {
        return Err(Failure::usage(
            "genesis_missing",
            "an audit trusts the genesis file alone, and none was named",
        )
        .at("--genesis")
        .mend("name the genesis file that your network agreed on"));
    };
    output.note(&format!("trusting the genesis file {}", path.display()));
    Ok(path)
}

/// The databases in or below `data`, by chain; the first one that is found of each. What was set aside as damaged must be named itself.
pub(super) fn databases(data: &Path) -> Answer<BTreeMap<ChainId, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(data.to_owned(), 0)];
    let mut looked = 0;
    while let Some((folder, depth)) = folders.pop() {
        looked += 1;
        if folder.join("STORE").is_file() {
            let identity = read_identity(&folder).map_err(AuditError::from)?;
            found.entry(ChainId(identity.chain)).or_insert(folder);
            continue;
        }
        if depth == SEARCH_DEPTH || looked > SEARCH_FOLDERS_MAX {
            continue;
        }
        let entries =
            std::fs::read_dir(&folder).map_err(|fault| Failure::io("read", &folder, &fault).at("--data"))?;
        let below = entries.flatten().filter(|entry| {
            let is_aside = entry.file_name().to_string_lossy().contains(node::SET_ASIDE);
            !is_aside && entry.file_type().is_ok_and(|kind| kind.is_dir())
        });
        folders.extend(below.map(|entry| (entry.path(), depth + 1)));
    }
    Ok(found)
}
