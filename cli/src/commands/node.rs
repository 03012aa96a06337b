//! `jiaozi node`: running a bank's node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use node::config::NodeConfig;
use serde::Serialize;

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
    /// Check a configuration and the genesis file that it names, without starting anything.
    #[command(after_help = "Examples:\n  jiaozi node check --config node.toml")]
    Check(ConfigArguments),
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

/// What `node check` found.
#[derive(Debug, Serialize)]
struct Checked {
    genesis_hash: String,
    network: String,
    chains: Vec<u32>,
    data_directory: PathBuf,
    rest_listen: String,
}

impl Show for Checked {
    fn text(&self) -> String {
        let chains: Vec<String> = self.chains.iter().map(ToString::to_string).collect();
        facts(&[
            ("network", self.network.clone()),
            ("genesis", self.genesis_hash.clone()),
            ("chains", chains.join(", ")),
            ("data", self.data_directory.display().to_string()),
            ("REST", self.rest_listen.clone()),
            ("verdict", "the configuration can be used".to_owned()),
        ])
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
            node::init(&config).map_err(|fault| Failure::refused("node_init", fault))?;
            output.result(&Initialised { data_directory: config.node.data_directory })
        }
        NodeCommand::Run(ConfigArguments { config }) => {
            let halt = node::run(&load(&config)?).map_err(|fault| Failure::refused("node_start", fault))?;
            halt.map_or(Ok(()), |halt| {
                Err(Failure::refused("node_halted", halt).mend("the message says what to do"))
            })
        }
        NodeCommand::Check(ConfigArguments { config }) => {
            let config = load(&config)?;
            let file = genesis::GenesisFile::load(&config.node.genesis).map_err(super::genesis::failure)?;
            output.result(&Checked {
                genesis_hash: file.hash().map_err(super::genesis::failure)?.to_string(),
                network: file.network,
                chains: config.node.chains.clone(),
                data_directory: config.node.data_directory.clone(),
                rest_listen: config.rest.listen.to_string(),
            })
        }
    }
}

fn load(path: &std::path::Path) -> Answer<NodeConfig> {
    NodeConfig::load(path).map_err(|fault| Failure::usage("node_config", fault).at("--config"))
}
