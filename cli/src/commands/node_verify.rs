//! `jiaozi node verify`: is what a stopped node keeps what it should be?
//!
//! First every chain by itself: every byte against its checksum, the state root again from the records, the last height against order and
//! result. Then, unless `--quick` was asked for, the whole network's chains again from genesis, with every stored row compared: blocks,
//! batches, outcomes, indexes, history. A node that joined by a snapshot has nothing to execute from genesis on, which is said. What is damaged is named, and with `--repair` set aside.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use ledger::values::{ChainId, TimestampMs};
use node::config::NodeConfig;
use node::{DatabaseFault, SoundDatabase, check_database, set_aside};
use serde::Serialize;

use super::audit::{PRUNED, load_spec};
use super::node::{load, refusal};
use super::replay::replay_data;
use crate::clock;
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts, grouped};
use crate::progress::Progress;

/// Arguments of `jiaozi node verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The node's configuration. The node must not be running.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check bytes and state only, without executing the chain again.
    #[arg(long)]
    quick: bool,
    /// Set the data of a damaged chain aside, so that the node rejoins with an empty directory.
    #[arg(long)]
    repair: bool,
}

/// What `node verify` found.
#[derive(Debug, Serialize)]
struct Looked {
    is_sound: bool,
    chains: Vec<ChainLooked>,
    /// Whether everything was executed again from genesis.
    is_replayed: bool,
    /// Why it could not be, though it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_replayed: Option<String>,
}

/// What was found of a chain.
#[derive(Debug, Serialize)]
struct ChainLooked {
    chain: u32,
    #[serde(flatten)]
    found: Found,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "found")]
enum Found {
    /// Nothing is there yet.
    Nothing,
    /// Sound as far as it was looked at.
    Sound { height: u64, rows: u64, bytes: u64, state_root: String },
    /// Damaged, and where it was set aside.
    Damaged {
        fault: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        set_aside: Option<PathBuf>,
    },
}

impl Show for Looked {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for ChainLooked { chain, found } in &self.chains {
            lines.push(("chain", chain.to_string()));
            match found {
                Found::Nothing => lines.push(("rows", "none yet".to_owned())),
                Found::Sound { height, rows, bytes, state_root } => {
                    let (rows, bytes, height) = (grouped(*rows), grouped(*bytes), grouped(*height));
                    lines.push(("rows", format!("{rows} rows of {bytes} bytes match their checksums")));
                    lines.push(("state", format!("{state_root} at height {height}, computed again")));
                }
                Found::Damaged { fault, set_aside } => {
                    lines.push(("damage", fault.clone()));
                    if let Some(path) = set_aside {
                        lines.push(("set aside", path.display().to_string()));
                    }
                }
            }
        }
        let verdict = match (self.is_sound, self.is_replayed) {
            (true, true) => "sound: everything executed again from genesis, every stored row is as computed",
            (true, false) => "sound as far as it was looked at: nothing was executed again (--quick)",
            (false, _) => "damaged",
        };
        match &self.not_replayed {
            Some(reason) if self.is_sound => lines.push((
                "verdict",
                format!("sound as far as it can be looked at, nothing was executed again: {reason}"),
            )),
            _ => lines.push(("verdict", verdict.to_owned())),
        }
        facts(&lines)
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit 1 for damage.
pub(super) fn verify(arguments: &VerifyArguments, output: Output) -> Answer {
    let config = load(&arguments.config)?;
    let spec = load_spec(&config.node.genesis)?;
    let bar = Progress::new("checking every byte", None, output.is_json());
    let mut looked = Looked { is_sound: true, chains: Vec::new(), is_replayed: false, not_replayed: None };
    for chain in config.node.chains.iter().copied() {
        bar.say(format!("checking every byte of chain {chain}"));
        let path = config.node.data_directory.join(format!("chain-{chain}")).join("store");
        let found = match check_database(&path, &spec, ChainId(chain)) {
            Ok(SoundDatabase { head, report }) => Found::Sound {
                height: head.height.0,
                rows: report.rows,
                bytes: report.bytes,
                state_root: head.state.to_string(),
            },
            Err(fault) if fault.is_missing() => Found::Nothing,
            Err(fault) if fault.is_damage() => {
                damaged(&config, chain, fault.to_string(), arguments, &mut looked)?
            }
            Err(fault) => return Err(not_looked_at(&fault)),
        };
        looked.chains.push(ChainLooked { chain, found });
    }
    drop(bar);
    let is_begun = looked.chains.iter().any(|chain| matches!(chain.found, Found::Sound { .. }));
    if looked.is_sound && is_begun && !arguments.quick {
        match replay_data(&config.node.data_directory, &config.node.genesis, output) {
            Ok(_) => looked.is_replayed = true,
            Err(failure) if failure.code == PRUNED => looked.not_replayed = Some(failure.message),
            // A verdict names its chain; everything else says that nobody could look.
            Err(failure) => match chain_of(&failure.message) {
                Some(chain) => {
                    let found = damaged(&config, chain, failure.message, arguments, &mut looked)?;
                    if let Some(line) = looked.chains.iter_mut().find(|line| line.chain == chain) {
                        line.found = found;
                    }
                }
                None => return Err(failure),
            },
        }
    }
    let (is_sound, count) = (
        looked.is_sound,
        looked.chains.iter().filter(|chain| matches!(chain.found, Found::Damaged { .. })).count(),
    );
    output.result(&looked)?;
    if is_sound {
        return Ok(());
    }
    let mend = if arguments.repair {
        "start the node: it rejoins and fetches what was set aside from the others; or restore a backup of the whole node"
    } else {
        "check the device; run it again with --repair to set the damaged data aside, or restore a backup"
    };
    Err(Failure::refused("damaged", format_args!("the data of {count} chain(s) is damaged")).mend(mend))
}

/// Notes damage, and sets the chain's data aside where that was asked for.
fn damaged(
    config: &NodeConfig,
    chain: u32,
    fault: String,
    arguments: &VerifyArguments,
    looked: &mut Looked,
) -> Answer<Found> {
    looked.is_sound = false;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let stamp = clock::stamp(TimestampMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
    let set_aside = arguments
        .repair
        .then(|| set_aside(config, ChainId(chain), &stamp).map_err(|fault| refusal("set_aside", &fault)))
        .transpose()?;
    Ok(Found::Damaged { fault, set_aside })
}

fn not_looked_at(fault: &DatabaseFault) -> Failure {
    let failure = Failure::new(
        if fault.is_in_use() { crate::failure::Exit::Unreachable } else { crate::failure::Exit::Refused },
        "database",
        fault,
    );
    let mend = if fault.is_in_use() {
        "stop the node first; a running one is checked by a backup: `jiaozi backup create`, then `verify`"
    } else {
        "name the configuration of the node whose data this is"
    };
    failure.at("--config").mend(mend)
}

/// The chain that a difference begins with: `chain 3, height 7: …`.
fn chain_of(message: &str) -> Option<u32> {
    message.strip_prefix("chain ")?.split_once(", height ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_chain() {
        assert_eq!(chain_of("chain 3, height 7: the block is invalid"), Some(3));
        assert_eq!(chain_of("no database of a chain"), None);
    }
}
