//! `jiaozi localnet`: a network of real nodes on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use api::{ChainPlace, ChainReady, NotReady};
use clap::{Args, Subcommand};
use genesis::{ChainList, GenesisFile};
use ledger::records::ChainParams;
use ledger::records::params::WEIGHT_TARGET_MIN;
use ledger::values::quorum::VALIDATORS_MIN;
use ledger::values::{Amount, Currency};
use serde::Serialize;

use super::status::not_ready_name;
use crate::connection::NodeOptions;
use crate::failure::{Answer, Failure};
use crate::localnet::create::{BANKS_MAX, create};
use crate::localnet::demo::{DEMO_WALLETS_MAX, Funded, fund};
use crate::localnet::layout::{BankEntry, Layout, Manifest};
use crate::localnet::ports::is_taken;
use crate::localnet::process::{Found, NodeCommand, Stopped};
use crate::localnet::ready::{Seen, Watch};
use crate::localnet::reshard::reshard;
use crate::output::{Output, Show, facts, table};
use crate::progress::Progress;

/// Arguments of `jiaozi localnet`.
#[derive(Debug, Args)]
pub struct LocalnetArguments {
    #[command(subcommand)]
    command: LocalnetCommand,
}

#[derive(Debug, Subcommand)]
enum LocalnetCommand {
    /// Start a network, or start again one that was stopped.
    #[command(after_help = "Examples:\n  \
        jiaozi localnet up\n  \
        jiaozi localnet up --banks 7 --wallets 100 --directory /tmp/net\n  \
        jiaozi localnet up --chains CNY:2,HKD:1\n  \
        jiaozi localnet up --weight-target 50000\n  \
        source localnet/env.sh\n\n\
        Writes genesis, encrypted keys and a configuration per bank into the directory, starts one process per bank on free\n\
        loopback ports, and waits until all are ready. The wallets of the central bank and the banks are in its keystore. Every\n\
        bank runs every chain; ids ascend as --chains names them, chain 0 first.")]
    Up(UpArguments),
    /// What the nodes of a network do.
    #[command(
        after_help = "Examples:\n  jiaozi localnet status\n  jiaozi localnet status --directory /tmp/net --json"
    )]
    Status(DirectoryArguments),
    /// Stop all nodes of a network; its data stays.
    #[command(after_help = "Examples:\n  jiaozi localnet down\n  jiaozi localnet down --directory /tmp/net")]
    Down(DirectoryArguments),
    /// Double the shards of a currency while the network runs: keys, proposals, approvals, a restart of one bank after the other.
    #[command(after_help = "Examples:\n  \
        jiaozi localnet reshard --currency CNY\n  \
        jiaozi localnet reshard --currency CNY --directory /tmp/net --json\n\n\
        Does for all banks what operators do on a real network with `node add-chain`, `gov propose add-chain` and `gov propose\n\
        reshard`, and waits until every wallet is at home. Payments may go on meanwhile. What ended in between is taken up.")]
    Reshard(ReshardArguments),
}

#[derive(Debug, Args)]
struct UpArguments {
    /// Banks of a new network, each with a node; an existing network keeps its own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(VALIDATORS_MIN as i64..=BANKS_MAX as i64))]
    banks: Option<u16>,
    /// Currencies of a new network and the number of shards of each, CNY:1 if not given; an existing network keeps its own.
    #[arg(long, value_name = "CODE:SHARDS,…")]
    chains: Option<ChainList>,
    /// Weight of a block above which the base fee of a new network's chains rises: with a small one a few payments a second are
    /// congestion; an existing network keeps its own.
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u64).range(WEIGHT_TARGET_MIN..=WEIGHT_TARGET_MAX))]
    weight_target: Option<u64>,
    /// Wallets to open on every chain and fund with 1000 of its currency each: wallet-1, wallet-2, …; in a network of several
    /// chains named after currency and shard: cny-0-1, cny-0-2, …, hkd-0-1, …
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=DEMO_WALLETS_MAX as i64))]
    wallets: u32,
    /// How long to wait until all nodes are ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    #[command(flatten)]
    directory: DirectoryArguments,
}

/// Most weight that a target can be: that of a block, which a localnet leaves as it is.
const WEIGHT_TARGET_MAX: u64 = 8 * 1_024 * 1_024;

impl UpArguments {
    /// The parameters of a new network's chains.
    fn params(&self) -> ChainParams {
        let mut params = ChainParams::default();
        params.fees.weight_target = self.weight_target.unwrap_or(params.fees.weight_target);
        params
    }
}

#[derive(Debug, Args)]
struct ReshardArguments {
    /// The currency.
    #[arg(long, value_name = "CODE")]
    currency: Currency,
    /// How long to wait for each step.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    #[command(flatten)]
    directory: DirectoryArguments,
}

#[derive(Debug, Args)]
struct DirectoryArguments {
    /// The network's directory.
    #[arg(long, value_name = "DIR", default_value = "localnet")]
    directory: PathBuf,
}

/// A network that runs.
#[derive(Debug, Serialize)]
struct Up {
    directory: PathBuf,
    genesis_hash: String,
    genesis: PathBuf,
    keystore: PathBuf,
    passphrase_file: PathBuf,
    environment: PathBuf,
    chains: Vec<ChainUp>,
    banks: Vec<BankUp>,
    /// Opened and funded now, by chain.
    wallets: Vec<Funded>,
}

/// A chain of the registry: of genesis, or added since.
#[derive(Debug, Serialize)]
struct ChainUp {
    chain: u32,
    currency: String,
    shard: u16,
    /// Of one that was added: the chain whose wallets it takes half of.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    /// Whether wallets are at home there.
    is_home: bool,
}

impl From<&ChainPlace> for ChainUp {
    fn from(place: &ChainPlace) -> Self {
        let ChainPlace { chain, shard, parent, is_home, .. } = *place;
        Self { chain, currency: place.currency.clone(), shard, parent, is_home }
    }
}

impl ChainUp {
    fn text(&self) -> String {
        let Self { chain, currency, shard, .. } = self;
        let child = self.parent.map(|parent| format!(", child of chain {parent}")).unwrap_or_default();
        let empty = if self.is_home { "" } else { ", no wallets yet" };
        format!("{chain} ({currency} shard {shard}{child}{empty})")
    }
}

#[derive(Debug, Serialize)]
struct BankUp {
    name: String,
    url: String,
    pid: u32,
    started_now: bool,
}

impl Show for Up {
    fn text(&self) -> String {
        let rows =
            self.banks.iter().map(|bank| vec![bank.name.clone(), bank.url.clone(), bank.pid.to_string()]);
        let mut lines =
            vec![("directory", self.directory.display().to_string()), ("genesis", self.genesis_hash.clone())];
        if self.chains.len() > 1 {
            lines.push(("chains", self.chains.iter().map(ChainUp::text).collect::<Vec<_>>().join(", ")));
        }
        for funded in &self.wallets {
            let funds = Amount::from_fen(funded.funds_fen);
            let text = format!("{} opened and funded with {funds} {} each", funded.opened, funded.currency);
            let names = format!(": {} to {}", funded.first, funded.last);
            lines.push(("wallets", if self.chains.len() > 1 { text + &names } else { text }));
        }
        lines.push(("next", format!("source {}", self.environment.display())));
        format!("{}\n\n{}", table(&["bank", "REST", "process"], rows, &[2]), facts(&lines))
    }
}

/// What the nodes do.
#[derive(Debug, Serialize)]
struct Status {
    genesis_hash: String,
    banks: Vec<BankStatus>,
}

#[derive(Debug, Serialize)]
struct BankStatus {
    name: String,
    url: String,
    pid: Option<u32>,
    /// A process that the pid file names and that is not recognized as the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    stranger_pid: Option<u32>,
    answers: bool,
    is_ready: bool,
    /// Of every chain that the node hosts; none while it does not answer.
    chains: Vec<ChainStatus>,
    /// Chains on which the node has a validator and that it does not host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_hosted: Vec<u32>,
    connected: Option<usize>,
}

#[derive(Debug, Serialize)]
struct ChainStatus {
    chain: u32,
    is_ready: bool,
    reason: Option<&'static str>,
    height: u64,
    certified_height: u64,
    validators: u32,
    validators_heard: u32,
}

impl From<&ChainReady> for ChainStatus {
    fn from(ready: &ChainReady) -> Self {
        Self {
            chain: ready.chain,
            is_ready: ready.is_ready,
            reason: ready.reason.map(not_ready_name),
            height: ready.height,
            certified_height: ready.certified_height,
            validators: ready.validators,
            validators_heard: ready.validators_heard,
        }
    }
}

impl ChainStatus {
    fn waits_for_origin(&self) -> bool {
        self.reason == Some(not_ready_name(NotReady::WaitingForOrigin))
    }

    /// It has not begun, and nobody's money depends on it: that alone keeps no bank from being ready.
    fn waits(&self) -> bool {
        self.waits_for_origin() || self.reason == Some(not_ready_name(NotReady::WaitingForValidators))
    }
}

impl BankStatus {
    fn new(bank: &BankEntry, found: &Found, seen: Option<&Seen>) -> Self {
        let chains = seen.map(|seen| seen.ready.chains.iter().map(ChainStatus::from).collect::<Vec<_>>());
        Self {
            name: bank.name.clone(),
            url: bank.url(),
            pid: found.node().map(|node| node.pid),
            stranger_pid: found.stranger(),
            answers: seen.is_some(),
            is_ready: seen.is_some_and(|seen| seen.ready.is_ready),
            chains: chains.unwrap_or_default(),
            not_hosted: seen.map(|seen| seen.ready.not_hosted.clone()).unwrap_or_default(),
            connected: seen.map(Seen::connected),
        }
    }

    fn state(&self) -> String {
        if let Some(pid) = self.stranger_pid {
            return format!("unknown: process {pid} is not recognized");
        }
        let mut chains: Vec<&ChainStatus> = self.chains.iter().collect();
        chains.sort_by_key(|chain| chain.waits());
        let reason = chains.into_iter().find_map(|chain| chain.reason);
        match (self.pid, self.answers, self.is_ready, reason) {
            (None, ..) => "stopped".to_owned(),
            (Some(_), false, ..) => "starting".to_owned(),
            (Some(_), true, true, _) => "ready".to_owned(),
            (Some(_), true, false, Some(reason)) => format!("not ready: {reason}"),
            (Some(_), true, false, None) => "not ready".to_owned(),
        }
    }
}

impl Show for Status {
    fn text(&self) -> String {
        // The height on each chain, in the order of their ids.
        let heights = |bank: &BankStatus, height: fn(&ChainStatus) -> u64| {
            let heights: Vec<String> = bank.chains.iter().map(|chain| height(chain).to_string()).collect();
            if heights.is_empty() { "-".to_owned() } else { heights.join(" / ") }
        };
        let rows = self.banks.iter().map(|bank| {
            vec![
                bank.name.clone(),
                bank.state(),
                heights(bank, |chain| chain.height),
                heights(bank, |chain| chain.certified_height),
                bank.connected.map_or_else(
                    || "-".to_owned(),
                    |connected| format!("{connected} of {}", self.banks.len()),
                ),
                bank.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                bank.url.clone(),
            ]
        });
        let header = ["bank", "state", "height", "certified", "connected", "process", "REST"];
        let mut text = table(&header, rows, &[2, 3, 5]);
        let missed = missed(&self.banks);
        if !missed.is_empty() {
            text.push_str(&format!("\n\n{}", missed.join("\n")));
        }
        text
    }
}

/// The chains that not every bank runs which should, a line each.
fn missed(banks: &[BankStatus]) -> Vec<String> {
    let waiting = banks.iter().flat_map(|bank| &bank.chains).filter(|chain| chain.waits());
    let not_hosted = banks.iter().flat_map(|bank| &bank.not_hosted).copied();
    let chains: BTreeSet<u32> = waiting.map(|chain| chain.chain).chain(not_hosted).collect();
    chains.into_iter().map(|chain| missed_on(banks, chain)).collect()
}

fn missed_on(banks: &[BankStatus], chain: u32) -> String {
    let here =
        |bank: &BankStatus| bank.chains.iter().any(|seen| seen.chain == chain && seen.waits_for_origin());
    let names = |is_meant: &dyn Fn(&BankStatus) -> bool| {
        let meant = banks.iter().filter(|bank| is_meant(bank));
        meant.map(|bank| bank.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let seen = banks.iter().flat_map(|bank| &bank.chains).filter(|seen| seen.chain == chain);
    let mut text = match seen.max_by_key(|seen| seen.validators_heard) {
        Some(seen) => {
            format!("chain {chain}: validators heard {} of {}", seen.validators_heard, seen.validators)
        }
        None => format!("chain {chain}: no bank runs it"),
    };
    let (waiting, missing) = (names(&here), names(&|bank: &BankStatus| bank.not_hosted.contains(&chain)));
    if !waiting.is_empty() {
        text.push_str(&format!("; what it begins with is not known yet to {waiting}"));
    }
    if !missing.is_empty() {
        text.push_str(&format!(
            "; not hosted by {missing}: jiaozi node add-chain --config node.toml --chain {chain} --host, then a restart"
        ));
    }
    text
}

/// How the nodes ended.
#[derive(Debug, Serialize)]
struct Down {
    banks: Vec<BankDown>,
}

#[derive(Debug, Serialize)]
struct BankDown {
    name: String,
    stopped: Stopped,
}

impl Show for Down {
    fn text(&self) -> String {
        let rows = self.banks.iter().map(|bank| {
            let how = match bank.stopped {
                Stopped::NotRunning => "was not running",
                Stopped::Gracefully => "stopped",
                Stopped::Killed => "killed: it did not stop in time",
                Stopped::NotRecognized => "unknown: its process is not recognized and was left alone",
            };
            vec![bank.name.clone(), how.to_owned()]
        });
        table(&["bank", "now"], rows, &[])
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: LocalnetArguments, output: Output) -> Answer {
    match arguments.command {
        LocalnetCommand::Up(arguments) => up(&arguments, output),
        LocalnetCommand::Status(DirectoryArguments { directory }) => status(&Layout::at(&directory)?, output),
        LocalnetCommand::Down(DirectoryArguments { directory }) => {
            let layout = Layout::at(&directory)?;
            let manifest = layout.require()?;
            let (banks, strangers) = stop_all(&layout, &manifest.banks)?;
            output.result(&Down { banks })?;
            refuse_strangers(&strangers)
        }
        LocalnetCommand::Reshard(arguments) => double(&arguments, output),
    }
}

fn double(arguments: &ReshardArguments, output: Output) -> Answer {
    let directory = &arguments.directory.directory;
    let manifest = Layout::at(directory)?.require()?;
    let (layout, _held) = Layout::hold(directory)?;
    let timeout = Duration::from_secs(arguments.timeout);
    output.result(&reshard(&layout, &manifest, arguments.currency, timeout, output)?)
}

fn up(arguments: &UpArguments, output: Output) -> Answer {
    let (layout, _held) = Layout::hold(&arguments.directory.directory)?;
    let manifest = match layout.load()? {
        Some(manifest) => {
            let asked = arguments.banks.map_or(manifest.banks.len(), usize::from);
            if asked != manifest.banks.len() {
                let message =
                    format!("the network in {} has {} banks", layout.root.display(), manifest.banks.len());
                return Err(Failure::usage("localnet_banks", message)
                    .at("--banks")
                    .mend("leave --banks out, or name another directory"));
            }
            manifest
        }
        None => {
            let chains = arguments.chains.clone().unwrap_or_default();
            let params = arguments.params();
            create(&layout, arguments.banks.map_or(VALIDATORS_MIN, usize::from), &chains, &params)?
        }
    };
    require_same(&layout, arguments)?;
    let banks = start_all(&layout, &manifest, Duration::from_secs(arguments.timeout), output)?;
    let first = manifest
        .banks
        .first()
        .ok_or_else(|| Failure::usage("localnet_manifest", "the network has no banks"))?;
    let wallets = match arguments.wallets as usize {
        0 => Vec::new(),
        count => fund(&layout, first, count, output)?,
    };
    let node = NodeOptions { node: first.url(), token_file: None, ca_file: None, chain: None };
    // Operators may have added chains since genesis.
    let chains = node.connect()?.network(None)?.chains.iter().map(ChainUp::from).collect();
    output.result(&Up {
        directory: layout.root.clone(),
        genesis_hash: manifest.genesis_hash,
        genesis: layout.genesis(),
        keystore: layout.wallets(),
        passphrase_file: layout.passphrase(),
        environment: layout.environment(),
        chains,
        banks,
        wallets,
    })
}

/// What an existing network keeps: its chains and their target, if they were asked for.
fn require_same(layout: &Layout, asked: &UpArguments) -> Answer {
    let spec = GenesisFile::load(&layout.genesis()).and_then(|file| file.spec());
    let spec = spec.map_err(super::genesis::failure)?;
    let places: Vec<_> = spec.chains.iter().map(|chain| (chain.currency, chain.shard)).collect();
    if asked.chains.as_ref().is_some_and(|asked| asked.places() != places) {
        let message = format!("the network in {} has other chains", layout.root.display());
        return Err(Failure::usage("localnet_chains", message)
            .at("--chains")
            .mend("leave --chains out, or name another directory"));
    }
    // Operators may have changed it since: genesis says what the network was made with.
    let made_with = spec.chains.first().map(|chain| chain.params.fees.weight_target);
    if asked.weight_target.is_some() && asked.weight_target != made_with {
        let message = format!("the network in {} was made with another weight target", layout.root.display());
        return Err(Failure::usage("localnet_weight_target", message).at("--weight-target").mend(
            "leave --weight-target out, name another directory, or change it: jiaozi gov propose set-param weight_target N --chain 0 --out target.json",
        ));
    }
    Ok(())
}

/// Starts what does not run and waits for all; what was started is stopped again if that fails.
fn start_all(layout: &Layout, manifest: &Manifest, timeout: Duration, output: Output) -> Answer<Vec<BankUp>> {
    let mut running = Vec::new();
    let mut children: Vec<Option<Child>> = Vec::new();
    for bank in &manifest.banks {
        // A pid that meanwhile is somebody else's does not keep a network down; a node that is not recognized still has
        // its port, which is refused below.
        running.push(command(layout, bank)?.find(&layout.pid(&bank.name))?.node().map(|node| node.pid));
    }
    for (bank, pid) in manifest.banks.iter().zip(&running) {
        for address in [bank.rest, bank.peers] {
            if pid.is_none() && is_taken(address) {
                return Err(Failure::unreachable(
                    "port_taken",
                    format_args!("{address} of {} is taken by another process", bank.name),
                )
                .mend("stop what listens there; the port is part of this network's genesis"));
            }
        }
    }
    let started = start_missing(layout, manifest, &running, &mut children);
    let ready = started.and_then(|()| {
        let progress =
            Progress::new("waiting for banks", Some(manifest.banks.len() as u64), output.is_json());
        Watch::new(&manifest.banks)?.wait_ready(layout, &manifest.banks, &mut children, timeout, &progress)
    });
    if let Err(failure) = ready {
        let started: Vec<BankEntry> = manifest
            .banks
            .iter()
            .zip(&running)
            .filter(|(_, pid)| pid.is_none())
            .map(|(bank, _)| bank.clone())
            .collect();
        // The failure to tell is why the network did not start, not what went wrong while it was taken down.
        let _ = stop_all(layout, &started);
        children.iter_mut().flatten().for_each(|child| {
            // It was stopped above; one that cannot be waited for is reaped when this command ends.
            let _ = child.wait();
        });
        return Err(failure);
    }
    let pids =
        running.iter().zip(&children).map(|(pid, child)| child.as_ref().map(Child::id).or(*pid).unwrap_or(0));
    let banks = manifest.banks.iter().zip(pids).zip(&running).map(|((bank, pid), running)| BankUp {
        name: bank.name.clone(),
        url: bank.url(),
        pid,
        started_now: running.is_none(),
    });
    Ok(banks.collect())
}

fn start_missing(
    layout: &Layout,
    manifest: &Manifest,
    running: &[Option<u32>],
    children: &mut Vec<Option<Child>>,
) -> Answer {
    for (bank, pid) in manifest.banks.iter().zip(running) {
        children.push(match pid {
            Some(_) => None,
            None => Some(command(layout, bank)?.start(&layout.log(&bank.name), &layout.pid(&bank.name))?),
        });
    }
    Ok(())
}

fn command(layout: &Layout, bank: &BankEntry) -> Answer<NodeCommand> {
    NodeCommand::new(layout.config(&bank.name))
}

fn status(layout: &Layout, output: Output) -> Answer {
    let manifest = layout.require()?;
    let watch = Watch::new(&manifest.banks)?;
    let (mut banks, mut strangers) = (Vec::new(), Vec::new());
    for (number, bank) in manifest.banks.iter().enumerate() {
        let found = command(layout, bank)?.find(&layout.pid(&bank.name))?;
        strangers.extend(found.stranger().map(|pid| (layout.pid(&bank.name), pid)));
        // Whoever answers on the port of a stopped bank is somebody else.
        let seen = found.node().and_then(|_| watch.look(number));
        banks.push(BankStatus::new(bank, &found, seen.as_ref()));
    }
    output.result(&Status { genesis_hash: manifest.genesis_hash, banks })?;
    refuse_strangers(&strangers)
}

/// A pid file and the process that it names, which is not recognized.
type Stranger = (PathBuf, u32);

/// Asks all nodes to stop, then waits for each. The pid file of a process that is not recognized stays: it may be the only
/// trace of a running node.
fn stop_all(layout: &Layout, banks: &[BankEntry]) -> Answer<(Vec<BankDown>, Vec<Stranger>)> {
    let mut all = Vec::new();
    for bank in banks {
        let found = command(layout, bank)?.find(&layout.pid(&bank.name))?;
        if let Some(node) = found.node() {
            node.ask_to_stop()?;
        }
        all.push((bank, found));
    }
    let (mut down, mut strangers) = (Vec::new(), Vec::new());
    for (bank, found) in all {
        let pid_file = layout.pid(&bank.name);
        let stopped = match &found {
            Found::Nothing => Stopped::NotRunning,
            Found::Node(node) => node.finish()?,
            Found::Stranger { .. } => Stopped::NotRecognized,
        };
        match found.stranger() {
            Some(pid) => strangers.push((pid_file, pid)),
            None => remove(&pid_file)?,
        }
        down.push(BankDown { name: bank.name.clone(), stopped });
    }
    Ok((down, strangers))
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> Answer {
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", path, &fault))
        }
        _ => Ok(()),
    }
}

/// Whoever asked must learn that a node may still run.
fn refuse_strangers(strangers: &[Stranger]) -> Answer {
    if strangers.is_empty() {
        return Ok(());
    }
    let named: Vec<String> =
        strangers.iter().map(|(file, pid)| format!("process {pid} of {}", file.display())).collect();
    let message = format!("not recognized as a node of this network: {}", named.join(", "));
    Err(Failure::refused("process_not_recognized", message).mend(
        "look at each with ps; stop it yourself if it is a node, or remove the pid file if it is something else",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank(name: &str, chains: &[(u32, Option<&'static str>, u32)], not_hosted: &[u32]) -> BankStatus {
        let chain = |(chain, reason, validators_heard): &(u32, Option<&'static str>, u32)| ChainStatus {
            chain: *chain,
            is_ready: reason.is_none(),
            reason: *reason,
            height: 1,
            certified_height: 1,
            validators: 4,
            validators_heard: *validators_heard,
        };
        BankStatus {
            name: name.to_owned(),
            url: "http://127.0.0.1:1".to_owned(),
            pid: Some(1),
            stranger_pid: None,
            answers: true,
            is_ready: true,
            chains: chains.iter().map(chain).collect(),
            not_hosted: not_hosted.to_vec(),
            connected: Some(4),
        }
    }

    #[test]
    fn who_does_not_host_a_chain_is_named_below_the_table() {
        let well = [bank("bank-1", &[(0, None, 3)], &[]), bank("bank-2", &[(0, None, 4)], &[])];
        assert!(missed(&well).is_empty(), "a bank that is down is in the table");
        let waits = Some(not_ready_name(NotReady::WaitingForValidators));
        let origin = Some(not_ready_name(NotReady::WaitingForOrigin));
        let banks = [
            bank("bank-1", &[(0, None, 4), (2, waits, 2)], &[3]),
            bank("bank-2", &[(0, None, 4), (2, waits, 1)], &[3]),
            bank("bank-3", &[(0, None, 4), (2, origin, 0)], &[3]),
            bank("bank-4", &[(0, None, 4)], &[2, 3]),
        ];
        let lines = missed(&banks);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("chain 2: validators heard 2 of 4; what it begins with"), "{lines:?}");
        assert!(lines[0].contains("not known yet to bank-3; not hosted by bank-4: "), "{lines:?}");
        assert!(
            lines[1].starts_with("chain 3: no bank runs it; not hosted by bank-1, bank-2, bank-3, bank-4")
        );
        assert!(lines[1].ends_with("--chain 3 --host, then a restart"), "{lines:?}");
        assert_eq!(banks[0].state(), "ready");
        let unready =
            BankStatus { is_ready: false, ..bank("b", &[(2, waits, 1), (0, Some("rejoining"), 4)], &[]) };
        assert_eq!(unready.state(), "not ready: rejoining", "the reason that counts");
    }

    #[test]
    fn chains_that_were_added_are_listed_as_such() {
        let place = |chain, shard, parent, is_home| ChainPlace {
            chain,
            currency: "CNY".to_owned(),
            shard,
            parent,
            is_home,
            is_filling: false,
            nodes: Vec::new(),
            not_running_nodes: Vec::new(),
        };
        for (place, told) in [
            (place(0, 0, None, true), "0 (CNY shard 0)"),
            (place(1, 1, Some(0), true), "1 (CNY shard 1, child of chain 0)"),
            (place(2, 2, Some(0), false), "2 (CNY shard 2, child of chain 0, no wallets yet)"),
        ] {
            assert_eq!(ChainUp::from(&place).text(), told);
        }
    }
}
