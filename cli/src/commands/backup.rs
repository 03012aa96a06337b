//! `jiaozi backup`: copies of a node's databases, while it runs or not.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use api::{ClientError, ErrorCode};
use clap::{Args, Subcommand};
use ledger::values::{ChainId, Height, TimestampMs};
use node::backup::{self, BackupError, Manifest, Order, Restored, Restoring, Verified};
use serde::Serialize;

use super::node::load;
use crate::clock;
use crate::connection::NodeOptions;
use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, Show, facts, grouped, table};
use crate::progress::Progress;

/// Arguments of `jiaozi backup`.
#[derive(Debug, Args)]
pub struct BackupArguments {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Copy the databases of a node, while it runs or while it is stopped.
    #[command(
        after_help = "A running node makes a checkpoint and goes on; it is asked through its data directory, so run this on its\n\
        machine, as its user. What an earlier backup in the directory holds is not stored again. Keys, node.toml and\n\
        the journals of consensus are not in it: keep keys and node.toml apart.\n\n\
        Examples:\n  \
        jiaozi backup create --config /etc/jiaozi/node.toml --to /backup/jiaozi\n  \
        jiaozi backup create --config node.toml --to /backup/jiaozi --keep 14"
    )]
    Create(CreateArguments),
    /// Show the backups of a directory.
    #[command(after_help = "Examples:\n  jiaozi backup list /backup/jiaozi")]
    List(ListArguments),
    /// Check backups: every file against its checksum, every row, and the state roots again from the records.
    #[command(
        after_help = "Nothing is written into the directory. Exit code 1 names the file or record that is damaged.\n\n\
        Examples:\n  \
        jiaozi backup verify /backup/jiaozi\n  \
        jiaozi backup verify /backup/jiaozi --backup 20261123T024005Z"
    )]
    Verify(VerifyArguments),
    /// Put a backup into an empty data directory.
    #[command(
        after_help = "Checked while it is copied. With --node the backup's block is compared with that node's before anything is in its place.\n\
        The restored node follows, catches up, and votes again only by a proof of passage. Do not run `node init`.\n\n\
        Examples:\n  \
        jiaozi backup restore --from /backup/jiaozi --config node.toml --node https://other-bank.example\n  \
        jiaozi backup restore --from /backup/jiaozi --backup 20261123T024005Z --config node.toml"
    )]
    Restore(RestoreArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The directory of backups; made where there is none.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Afterwards remove all but the newest so many backups, and the files that only they had.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// The directory of backups.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The directory of backups.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The only backup to check. Without it, all.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
}

#[derive(Debug, Args)]
struct RestoreArguments {
    /// The directory of backups.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Which backup. Without it, the newest.
    #[arg(long, value_name = "NAME")]
    backup: Option<String>,
    /// The configuration of the node, whose data directory is empty.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Another bank's node to compare the backup with: https anywhere, http on this machine only.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// File with the client token, where that node asks for one.
    #[arg(long, value_name = "FILE", env = "JIAOZI_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the only certificate authority to trust.
    #[arg(long, value_name = "FILE", env = "JIAOZI_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: BackupArguments, output: Output) -> Answer {
    match arguments.command {
        BackupCommand::Create(arguments) => create(&arguments, output),
        BackupCommand::List(arguments) => list(&arguments, output),
        BackupCommand::Verify(arguments) => verify(&arguments, output),
        BackupCommand::Restore(arguments) => restore(&arguments, output),
    }
}

/// What `backup create` made.
#[derive(Debug, Serialize)]
struct Created {
    backup: String,
    directory: PathBuf,
    network: String,
    chains: Vec<ChainLine>,
    was_running: bool,
    files: u64,
    new_files: u64,
    bytes: u64,
    new_bytes: u64,
    has_secret_keys: bool,
    removed: Vec<String>,
    freed_bytes: u64,
}

/// A chain in a backup.
#[derive(Debug, Serialize)]
struct ChainLine {
    chain: u32,
    height: u64,
    state_root: String,
}

fn chain_lines(manifest: &Manifest) -> Vec<ChainLine> {
    let line = |chain: &backup::ChainManifest| ChainLine {
        chain: chain.chain,
        height: chain.height,
        state_root: chain.state.clone(),
    };
    manifest.chains.iter().map(line).collect()
}

/// `0 at height 12, 1 at height 9`.
fn heights(chains: &[ChainLine]) -> String {
    let told = chains.iter().map(|chain| format!("{} at height {}", chain.chain, grouped(chain.height)));
    told.collect::<Vec<_>>().join(", ")
}

fn files(manifest: &Manifest) -> u64 {
    let of_chains = manifest.chains.iter().map(|chain| chain.files.len() as u64).sum::<u64>();
    of_chains.saturating_add(1)
}

impl Show for Created {
    fn text(&self) -> String {
        let how = if self.was_running { "of the running node" } else { "of the stopped node" };
        let mut lines = vec![
            ("backup", format!("{} {how}", self.backup)),
            ("directory", self.directory.display().to_string()),
            ("chains", heights(&self.chains)),
            ("files", format!("{}, {} new", grouped(self.files), grouped(self.new_files))),
            ("bytes", format!("{}, {} new", grouped(self.bytes), grouped(self.new_bytes))),
            ("left out", "keys, node.toml, journals: keep keys and node.toml apart".to_owned()),
        ];
        if !self.removed.is_empty() {
            let removed = self.removed.join(", ");
            lines.push(("removed", format!("{removed}: {} bytes", grouped(self.freed_bytes))));
        }
        let check = format!("jiaozi backup verify {} --backup {}", self.directory.display(), self.backup);
        lines.push(("next", check));
        facts(&lines)
    }
}

fn create(arguments: &CreateArguments, output: Output) -> Answer {
    let config = load(&arguments.config)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = TimestampMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let keep = arguments.keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
    let bar = Progress::new("copying", None, output.is_json());
    let order =
        Order { config: &config, to: &arguments.to, name: clock::stamp(now), created_ms: now.0, keep };
    let created = backup::create(order, &watch(&bar)).map_err(refused)?;
    drop(bar);
    let backup::Created { manifest, was_running, new_files, removed, freed_bytes } = created;
    output.result(&Created {
        backup: manifest.name.clone(),
        directory: arguments.to.clone(),
        network: manifest.network.clone(),
        chains: chain_lines(&manifest),
        was_running,
        files: files(&manifest),
        new_files,
        bytes: manifest.bytes,
        new_bytes: manifest.new_bytes,
        has_secret_keys: manifest.has_secret_keys,
        removed,
        freed_bytes,
    })
}

/// What `backup list` shows.
#[derive(Debug, Serialize)]
struct Listed {
    backups: Vec<BackupLine>,
}

/// A backup in a list.
#[derive(Debug, Serialize)]
struct BackupLine {
    backup: String,
    created_ms: u64,
    network: String,
    program: String,
    chains: Vec<ChainLine>,
    bytes: u64,
    new_bytes: u64,
}

impl Show for Listed {
    fn text(&self) -> String {
        let rows = self.backups.iter().map(|line| {
            vec![
                line.backup.clone(),
                heights(&line.chains),
                grouped(line.bytes),
                grouped(line.new_bytes),
                line.network.chars().take(16).chain(['…']).collect(),
            ]
        });
        table(&["backup", "chains", "bytes", "new", "network"], rows, &[2, 3])
    }
}

fn list(arguments: &ListArguments, output: Output) -> Answer {
    let manifests = backup::list(&arguments.directory).map_err(refused)?;
    let line = |manifest: Manifest| BackupLine {
        chains: chain_lines(&manifest),
        backup: manifest.name,
        created_ms: manifest.created_ms,
        network: manifest.network,
        program: manifest.program,
        bytes: manifest.bytes,
        new_bytes: manifest.new_bytes,
    };
    output.result(&Listed { backups: manifests.into_iter().map(line).collect() })
}

/// What `backup verify` found sound.
#[derive(Debug, Serialize)]
struct Checked {
    directory: PathBuf,
    backups: Vec<BackupChecked>,
}

/// A sound backup.
#[derive(Debug, Serialize)]
struct BackupChecked {
    backup: String,
    files: u64,
    bytes: u64,
    chains: Vec<ChainChecked>,
}

/// A sound database in it.
#[derive(Debug, Serialize)]
struct ChainChecked {
    chain: u32,
    height: u64,
    rows: u64,
    state_root: String,
}

impl BackupChecked {
    fn new(verified: Verified) -> Self {
        let chains = verified.chains.iter().map(|chain| ChainChecked {
            chain: chain.head.chain.0,
            height: chain.head.height.0,
            rows: chain.report.rows,
            state_root: chain.head.state.to_string(),
        });
        Self {
            chains: chains.collect(),
            backup: verified.manifest.name,
            files: verified.files,
            bytes: verified.manifest.bytes,
        }
    }
}

impl Show for Checked {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for checked in &self.backups {
            let (files, bytes) = (grouped(checked.files), grouped(checked.bytes));
            lines.push(("backup", checked.backup.clone()));
            lines.push(("files", format!("{files} match their checksums, {bytes} bytes")));
            for ChainChecked { chain, height, rows, state_root } in &checked.chains {
                let (rows, height) = (grouped(*rows), grouped(*height));
                lines.push(("rows", format!("{rows} of chain {chain} are sound")));
                lines.push(("state", format!("{state_root} at height {height}, computed again")));
            }
        }
        lines.push(("verdict", "can be restored".to_owned()));
        facts(&lines)
    }
}

fn verify(arguments: &VerifyArguments, output: Output) -> Answer {
    let bar = Progress::new("reading", None, output.is_json());
    let mut backups = Vec::new();
    let mut found = |verified| {
        backups.push(BackupChecked::new(verified));
        Ok(())
    };
    backup::verify(&arguments.directory, arguments.backup.as_deref(), &watch(&bar), &mut found)
        .map_err(refused)?;
    drop(bar);
    output.result(&Checked { directory: arguments.directory.clone(), backups })
}

/// What `backup restore` put back.
#[derive(Debug, Serialize)]
struct Put {
    backup: String,
    data_directory: PathBuf,
    chains: Vec<ChainPut>,
    /// Hosted chains that the backup does not have.
    missing: Vec<u32>,
    /// Whether the block of every chain was compared with a node that hosts it.
    compared_with: Option<String>,
}

/// A chain that was put back.
#[derive(Debug, Serialize)]
struct ChainPut {
    chain: u32,
    height: u64,
    state_root: String,
    /// Whether a node of the network has this block at this height, certified.
    is_compared: bool,
}

impl Show for Put {
    fn text(&self) -> String {
        let mut lines =
            vec![("backup", self.backup.clone()), ("data", self.data_directory.display().to_string())];
        for ChainPut { chain, height, state_root, is_compared } in &self.chains {
            let height = grouped(*height);
            lines
                .push(("state", format!("{state_root} of chain {chain} at height {height}, computed again")));
            let compared = match (is_compared, &self.compared_with) {
                (true, Some(node)) => format!("the same block is certified at {node}"),
                (false, Some(node)) => format!("not compared: {node} does not host chain {chain}"),
                (_, None) => {
                    "not compared: no --node was named; the node does it when it catches up".to_owned()
                }
            };
            lines.push(("network", compared));
        }
        for chain in &self.missing {
            lines.push(("missing", format!("chain {chain}: the node fetches it from the others")));
        }
        lines.push(("votes", "not yet: it follows, catches up, and votes by a proof of passage".to_owned()));
        lines.push(("next", "jiaozi node run (never `node init`)".to_owned()));
        facts(&lines)
    }
}

fn restore(arguments: &RestoreArguments, output: Output) -> Answer {
    let config = load(&arguments.config)?;
    let bar = Progress::new("copying", None, output.is_json());
    let restoring = Restoring::begin(&config, &arguments.from, arguments.backup.as_deref(), &watch(&bar))
        .map_err(refused)?;
    bar.say("comparing".to_owned());
    let mut compared = Vec::new();
    for restored in &restoring.chains {
        compared.push(match &arguments.node {
            Some(node) => is_certified_at(arguments, node, &restoring.manifest, restored)?,
            None => false,
        });
    }
    let missing = restoring.missing.clone();
    let (manifest, chains) = restoring.finish().map_err(refused)?;
    drop(bar);
    let put = |(restored, is_compared): (Restored, bool)| ChainPut {
        chain: restored.chain,
        height: restored.height,
        state_root: restored.state,
        is_compared,
    };
    output.result(&Put {
        backup: manifest.name,
        data_directory: config.node.data_directory,
        chains: chains.into_iter().zip(compared).map(put).collect(),
        missing,
        compared_with: arguments.node.clone(),
    })
}

/// Whether a node has the block of a restored chain, certified; false where it does not host the chain.
fn is_certified_at(
    arguments: &RestoreArguments,
    node: &str,
    manifest: &Manifest,
    restored: &Restored,
) -> Answer<bool> {
    let (token_file, ca_file) = (arguments.token_file.clone(), arguments.ca_file.clone());
    let options = NodeOptions { node: node.to_owned(), token_file, ca_file, chain: None };
    let connection = options.connect()?;
    let network = connection.wait(connection.client.network())?.genesis_hash.to_string();
    if network != manifest.network {
        let message =
            format!("backup {} is of network {}, {node} is of {network}", manifest.name, manifest.network);
        return Err(Failure::refused("other_network", message)
            .at("--node")
            .mend("name a node of the backup's network, or a backup of that one"));
    }
    let (chain, height) = (ChainId(restored.chain), Height(restored.height));
    let found = connection.wait(async {
        match connection.client.chain(chain).await {
            Ok(view) => match view.progress {
                Some(progress) if progress.certified_height >= height.0 => {
                    Ok(Some(Ok(connection.client.block(chain, height).await?.digest.to_string())))
                }
                Some(progress) => Ok(Some(Err(progress.certified_height))),
                None => Ok(None),
            },
            Err(ClientError::Refused(error)) if error.code == ErrorCode::ChainElsewhere.code() => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    match found {
        None => Ok(false),
        Some(Ok(digest)) if digest == restored.block => Ok(true),
        Some(Ok(digest)) => {
            let message = format!(
                "chain {chain} of backup {} has block {} at height {height}, {node} has {digest} there, certified: one of both is a fork",
                manifest.name, restored.block
            );
            Err(Failure::refused("backup_forked", message).at("--node").mend(
                "compare with a third bank; keep the backup for the auditors, and restore an older one",
            ))
        }
        Some(Err(certified)) => {
            let message = format!(
                "chain {chain} of backup {} is at height {height}, {node} has certified {certified}",
                manifest.name
            );
            Err(Failure::refused("node_behind", message)
                .at("--node")
                .mend("name a node that is further, or wait"))
        }
    }
}

/// Shows what is worked on.
fn watch(bar: &Progress) -> impl Fn(&str, u64) + '_ {
    |what, bytes| {
        bar.say(what.to_owned());
        bar.advance(bytes);
    }
}

fn refused(fault: BackupError) -> Failure {
    let exit = match &fault {
        BackupError::Io { source, .. } => Exit::of_file(source),
        BackupError::None { .. } | BackupError::Nothing { .. } => Exit::Usage,
        BackupError::Busy { .. } | BackupError::NodeSilent { .. } | BackupError::NodeRefused { .. } => {
            Exit::Unreachable
        }
        _ => Exit::Refused,
    };
    let failure = Failure::new(exit, fault.code(), &fault);
    match fault.field() {
        Some(field) => failure.at(field),
        None => failure,
    }
}
