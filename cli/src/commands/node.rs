//! `jiaozi node`: running a bank's node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ledger::values::ChainId;
use node::config::NodeConfig;
use node::{Look, NextKeyError, StartError};
use serde::Serialize;

use super::doctor::{self, DoctorArguments};
use super::node_chain::{AddChainArguments, add_chain};
use super::node_disk::{ForecastArguments, forecast};
use super::node_verify::{VerifyArguments, verify};
use super::support_bundle::{self, BundleArguments};
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts};

/// Arguments of `jiaozi node`.
#[derive(Debug, Args)]
pub struct NodeArguments {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Prepare the data directory of a validator that never voted: once, before the network's first start.
    #[command(
        after_help = "A wiped node must not be initialised: run it, and it rejoins by itself.\n\nExamples:\n  jiaozi node init --config /etc/jiaozi/node.toml"
    )]
    Init(ConfigArguments),
    /// Run the node until it is told to stop (SIGTERM or Ctrl-C).
    #[command(after_help = "Examples:\n  jiaozi node run --config /etc/jiaozi/node.toml")]
    Run(ConfigArguments),
    /// Check a configuration and everything it names, without starting anything.
    #[command(
        after_help = "Looks at keys and passphrase, genesis, certificate, addresses, data directory and disk, and tells all \
                      faults at once. The node may be running.\n\nExamples:\n  jiaozi node check --config node.toml"
    )]
    Check(ConfigArguments),
    /// Say why the node is stuck and what to do next, on one screen.
    #[command(after_help = "Examples:\n  \
        jiaozi node doctor\n  \
        jiaozi node doctor --config /etc/jiaozi/node.toml --all\n  \
        jiaozi node doctor --node https://bank.example --token-file token --json\n\n\
        A node that does not answer is looked at from outside, by its configuration. Exit 0: nothing is stuck; 1: something is.")]
    Doctor(DoctorArguments),
    /// Write what maintainers need to see of a node into one file, without its secrets.
    #[command(after_help = "Examples:\n  \
        jiaozi node support-bundle --config node.toml --to support.tar\n  \
        journalctl -u jiaozi > node.log && jiaozi node support-bundle --config node.toml --log node.log --to support.tar\n\n\
        It has what the node tells, the configuration without tokens and comments, names and sizes of files, and the end of the log.\n\
        It has no file of the data directory, no key, no passphrase and no token.")]
    SupportBundle(BundleArguments),
    /// Check the databases of a stopped node: every byte, the state from its records, and the whole chain again from genesis.
    #[command(
        after_help = "What is found names file, table, height or wallet; exit code 1. --quick leaves the replay from genesis out.\n\
        --repair sets the data of a damaged chain aside, under a new name, so that the node rejoins: nothing is removed.\n\n\
        Examples:\n  \
        jiaozi node verify --config node.toml\n  \
        jiaozi node verify --config node.toml --quick\n  \
        jiaozi node verify --config node.toml --repair"
    )]
    Verify(VerifyArguments),
    /// Tell how many days the disk lasts, from what the last hours wrote.
    #[command(after_help = "The node may be running.\n\n\
        Examples:\n  \
        jiaozi node disk-forecast --config node.toml\n  \
        jiaozi node disk-forecast --config node.toml --payments-per-second 1000")]
    DiskForecast(ForecastArguments),
    /// Make the next consensus key of a chain, beside the current one: the first step of a rotation.
    #[command(after_help = "Examples:\n  \
        jiaozi node rotate-consensus-key --config node.toml --chain 0\n  \
        jiaozi gov prove-key --key keys/consensus-0.next.key --operator 2 --chain 0\n  \
        jiaozi gov propose rotate-consensus-key --chain 0 --key OLD --new-key NEW --possession SIGNATURE --out proposal.json\n\n\
        The key lies in FILE.next.key under the passphrase of the current one. Asked once more, the same key is told again.\n\
        Restart the node before the proposal is applied: it votes with the key that the epoch's validators have.")]
    RotateConsensusKey(RotateArguments),
    /// Make the consensus key of a chain that is to be added, and the file that the proposal needs; with --host, host the chain.
    #[command(after_help = "Examples:\n  \
        jiaozi node add-chain --config node.toml --chain 2\n  \
        jiaozi gov propose add-chain 0 --validator chain-2-node-*.json --out add.json\n  \
        jiaozi node add-chain --config node.toml --chain 2 --host\n\n\
        The key lies beside the others (consensus-2.key), under their passphrase. The file is public; the node signs it. Run it\n\
        with --host once the proposal was applied, then restart the node: it begins the chain with what the root chain certified.")]
    AddChain(AddChainArguments),
}

#[derive(Debug, Args)]
struct RotateArguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The chain on which the key is to vote.
    #[arg(long, value_name = "ID")]
    chain: u32,
}

/// What `node rotate-consensus-key` made.
#[derive(Debug, Serialize)]
struct Rotated {
    chain: u32,
    key: String,
    new_key: String,
    file: PathBuf,
    /// False where it was made before.
    is_new: bool,
}

impl Show for Rotated {
    fn text(&self) -> String {
        let Self { chain, key, new_key, .. } = self;
        let prove =
            format!("jiaozi gov prove-key --key {} --operator OPERATOR --chain {chain}", self.file.display());
        let next = format!(
            "jiaozi gov propose rotate-consensus-key --chain {chain} --key {key} --new-key {new_key} \
             --possession … --out FILE"
        );
        let made = if self.is_new { "" } else { " (made before)" };
        facts(&[
            ("chain", chain.to_string()),
            ("key", key.clone()),
            ("new key", new_key.clone()),
            ("file", format!("{}{made}", self.file.display())),
            ("next", prove),
            ("then", next),
        ])
    }
}

#[derive(Debug, Args)]
struct ConfigArguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What `node init` did.
#[derive(Debug, Serialize)]
struct Initialised {
    data_directory: PathBuf,
}

impl Show for Initialised {
    fn text(&self) -> String {
        facts(&[("data", self.data_directory.display().to_string()), ("next", "jiaozi node run".to_owned())])
    }
}

/// What `node check` found: a line for each thing looked at.
#[derive(Debug, Serialize)]
struct Checked {
    /// Whether a node would start and vote with it.
    can_be_used: bool,
    looked_at: Vec<Part>,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    /// Its field in the configuration.
    field: &'static str,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Failure>,
}

impl Part {
    pub(super) fn new(look: Look) -> Self {
        let Look { field, found } = look;
        match found {
            Ok(found) => Self { field, found: Some(found), fault: None },
            Err(fault) => {
                Self { field, found: None, fault: Some(Failure::refused("node_check", fault).at(field)) }
            }
        }
    }
}

impl Show for Checked {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for part in &self.looked_at {
            match &part.fault {
                None => lines.push((part.field, part.found.clone().unwrap_or_default())),
                Some(fault) => {
                    lines.push((part.field, format!("fault  {}", fault.message)));
                    lines.push(("", format!("next   {}", fault.mend)));
                }
            }
        }
        let verdict = if self.can_be_used { "can be used" } else { "cannot be used" };
        lines.push(("verdict", format!("the configuration {verdict}")));
        facts(&lines)
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: NodeArguments, output: Output) -> Answer {
    match arguments.command {
        NodeCommand::Init(ConfigArguments { config }) => {
            let config = load(&config)?;
            node::init(&config).map_err(|fault| refusal("node_init", &fault))?;
            output.result(&Initialised { data_directory: config.node.data_directory })
        }
        NodeCommand::Run(ConfigArguments { config }) => {
            let halt = node::run(&load(&config)?).map_err(|fault| refusal("node_start", &fault))?;
            halt.map_or(Ok(()), |halt| {
                Err(Failure::refused("node_halted", halt).mend("the message says what to do"))
            })
        }
        NodeCommand::Check(ConfigArguments { config }) => check(&load(&config)?, output),
        NodeCommand::Doctor(arguments) => doctor::run(&arguments, output),
        NodeCommand::SupportBundle(arguments) => support_bundle::run(&arguments, output),
        NodeCommand::Verify(arguments) => verify(&arguments, output),
        NodeCommand::DiskForecast(arguments) => forecast(&arguments, output),
        NodeCommand::AddChain(arguments) => add_chain(&arguments, output),
        NodeCommand::RotateConsensusKey(RotateArguments { config, chain }) => {
            let made = node::next_consensus_key(&load(&config)?, ChainId(chain));
            let made = made.map_err(|fault| rotation_refusal(&fault))?;
            output.result(&Rotated {
                chain,
                key: made.current.to_string(),
                new_key: made.next.to_string(),
                file: made.path,
                is_new: made.is_new,
            })
        }
    }
}

fn check(config: &NodeConfig, output: Output) -> Answer {
    let looked_at: Vec<Part> = node::check(config).into_iter().map(Part::new).collect();
    let faults: Vec<Failure> = looked_at.iter().filter_map(|part| part.fault.clone()).collect();
    let looked_at_count = looked_at.len();
    output.result(&Checked { can_be_used: faults.is_empty(), looked_at })?;
    match faults.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        several => {
            let message = format!("{} of {looked_at_count} parts have a fault", several.len());
            Err(Failure::refused("node_check", message).mend("mend each as its line says, then check again"))
        }
    }
}

pub(super) fn refusal(code: &str, fault: &StartError) -> Failure {
    let failure = Failure::refused(code, fault);
    match fault.field() {
        Some(field) => failure.at(field),
        None => failure,
    }
}

pub(super) fn rotation_refusal(fault: &NextKeyError) -> Failure {
    let failure = Failure::refused("next_key", fault);
    match fault {
        NextKeyError::NoKey { .. } => failure.at("--chain"),
        NextKeyError::Keys(keys) => failure.at(keys.field()),
        NextKeyError::File { .. } | NextKeyError::Randomness(_) => failure,
    }
}

pub(super) fn load(path: &std::path::Path) -> Answer<NodeConfig> {
    NodeConfig::load(path).map_err(|fault| {
        let field = fault.field().unwrap_or_else(|| "--config".to_owned());
        Failure::usage("node_config", fault).at(field)
    })
}
