//! `jiaozi node`: running a bank's node.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use node::config::NodeConfig;
use node::{Look, StartError};
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
    /// Check a configuration and everything it names, without starting anything.
    #[command(
        after_help = "Looks at keys and passphrase, genesis, certificate, addresses, data directory and disk, and tells all \
                      faults at once. The node may be running.\n\nExamples:\n  jiaozi node check --config node.toml"
    )]
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

/// What `node check` found: a line for each thing looked at.
#[derive(Debug, Serialize)]
struct Checked {
    /// Whether a node would start and vote with it.
    can_be_used: bool,
    looked_at: Vec<Part>,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Part {
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
    fn new(look: Look) -> Self {
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

fn refusal(code: &str, fault: &StartError) -> Failure {
    let failure = Failure::refused(code, fault);
    match fault.field() {
        Some(field) => failure.at(field),
        None => failure,
    }
}

fn load(path: &std::path::Path) -> Answer<NodeConfig> {
    NodeConfig::load(path).map_err(|fault| {
        let field = fault.field().unwrap_or_else(|| "--config".to_owned());
        Failure::usage("node_config", fault).at(field)
    })
}
