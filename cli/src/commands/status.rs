//! `jiaozi chain` and `jiaozi network`: what a node sees.

use api::{ChainReady, ChainView, ChainsView, NetworkView, NotReady, RoleName};
use clap::{Args, Subcommand};
use ledger::values::Amount;
use serde::Serialize;

use crate::connection::NodeOptions;
use crate::failure::Answer;
use crate::output::{Output, Show, facts, grouped, table};

/// Arguments of `jiaozi chain`.
#[derive(Debug, Args)]
pub struct ChainArguments {
    #[command(subcommand)]
    command: ChainCommand,
}

#[derive(Debug, Subcommand)]
enum ChainCommand {
    /// How far a chain is, and how much money is on it.
    #[command(
        after_help = "Examples:\n  jiaozi chain status\n  jiaozi chain status --node https://bank.example --chain 0 --json"
    )]
    Status(NodeOptions),
    /// All chains of the network, and how far the node is on those that it hosts.
    #[command(
        after_help = "Examples:\n  jiaozi chain list\n  jiaozi chain list --node https://bank.example --json"
    )]
    List(NodeOptions),
}

/// Arguments of `jiaozi network`.
#[derive(Debug, Args)]
pub struct NetworkArguments {
    #[command(subcommand)]
    command: NetworkCommand,
}

#[derive(Debug, Subcommand)]
enum NetworkCommand {
    /// Who takes part, and whom the node is connected to.
    #[command(after_help = "Examples:\n  jiaozi network status\n  jiaozi network status --json")]
    Status(NodeOptions),
}

#[derive(Debug, Serialize)]
struct ChainStatus {
    chain: ChainView,
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<ChainReady>,
}

impl Show for ChainStatus {
    fn text(&self) -> String {
        let view = &self.chain;
        let mut lines = vec![
            ("chain", format!("{} ({} shard {})", view.chain, view.currency, view.shard)),
            ("validators", view.validators.len().to_string()),
        ];
        if view.progress.is_none() {
            lines.push(("hosted by nodes", listed(view.validators.iter().map(|validator| validator.node))));
        }
        if let Some(progress) = &view.progress {
            // One way for everybody: the amount, then the currency of the chain.
            let money = |fen| format!("{} {}", Amount::from_fen(fen), view.currency);
            lines.extend([
                ("height", grouped(progress.height)),
                ("certified", grouped(progress.certified_height)),
                ("state root", progress.state_root.to_string()),
                ("records", grouped(progress.records)),
                ("issued", money(progress.supply.issued_fen)),
                ("redeemed", money(progress.supply.redeemed_fen)),
                ("holdings", money(progress.supply.holdings_fen)),
            ]);
            for pair in &progress.supply.pairs {
                let (sent, received) = (pair.sent, pair.received);
                let text =
                    format!("{} receipts sent, {} received", grouped(sent.count), grouped(received.count));
                lines.push(("with a chain", format!("{}: {text}", pair.chain)));
            }
            if progress.registry_version > 0 {
                lines.push(("registry", format!("version {}", progress.registry_version)));
            }
            if progress.epoch > 0 || progress.closing_height.is_some() {
                let first = grouped(progress.epoch_first_height);
                let closing = progress.closing_height.map(|last| format!(" to {}", grouped(last)));
                let text = format!("{}, from height {first}{}", progress.epoch, closing.unwrap_or_default());
                lines.push(("epoch", text));
            }
            if progress.base_fee_micro_fen > 0 {
                let rate = grouped(progress.base_fee_micro_fen);
                lines.push(("base fee", format!("{rate} millionths of a fen a unit of weight")));
            }
            if !view.barred_operators.is_empty() {
                let operators = listed(view.barred_operators.iter().copied());
                lines.push((
                    "in debt",
                    format!("operators {operators}: their batches are not ordered for a fee"),
                ));
            }
            lines.extend([
                ("waiting", grouped(progress.pooled_transactions)),
                ("votes", yes_no(progress.is_voting)),
            ]);
        }
        if let Some(ready) = &self.ready {
            let reason =
                ready.reason.map(|reason| format!(" ({})", not_ready_name(reason))).unwrap_or_default();
            lines.push(("ready", yes_no(ready.is_ready) + &reason));
            if !ready.silent_nodes.is_empty() {
                let (heard, all) = (ready.validators_heard, ready.validators);
                let silent = listed(ready.silent_nodes.iter().copied());
                let up = match ready.not_running_nodes.as_slice() {
                    [] => String::new(),
                    up => format!("; up without this chain: {}", listed(up.iter().copied())),
                };
                lines.push((
                    "heard",
                    format!("{heard} of {all} validators; not heard: the nodes {silent}{up}"),
                ));
            }
            if let Some(halt) = &ready.halt {
                lines.push(("halted", halt.message.clone()));
            }
        }
        facts(&lines)
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ChainList(ChainsView);

impl Show for ChainList {
    fn text(&self) -> String {
        let rows = self.0.chains.iter().map(|chain| {
            let progress = chain.progress.as_ref();
            let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
            vec![
                chain.chain.to_string(),
                chain.currency.clone(),
                chain.shard.to_string(),
                number(progress.map(|progress| progress.height)),
                number(progress.map(|progress| progress.certified_height)),
                progress.map_or_else(|| "hosted elsewhere".to_owned(), |progress| yes_no(progress.is_voting)),
                listed(chain.validators.iter().map(|validator| validator.node)),
            ]
        });
        let header = ["chain", "currency", "shard", "height", "certified", "votes", "nodes"];
        table(&header, rows, &[0, 2, 3, 4])
    }
}

/// Numbers with commas, the first few of many.
fn listed(nodes: impl Iterator<Item = u16>) -> String {
    const LISTED_MAX: usize = 16;
    let nodes: std::collections::BTreeSet<u16> = nodes.collect();
    let named: Vec<String> = nodes.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    named.join(", ") + if nodes.len() > LISTED_MAX { ", …" } else { "" }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct NetworkStatus(NetworkView);

impl Show for NetworkStatus {
    fn text(&self) -> String {
        let view = &self.0;
        let head = facts(&[
            ("network", view.network.clone()),
            ("genesis", view.genesis_hash.to_string()),
            ("asked", format!("node {}, version {}", view.node, view.version)),
        ]);
        let operators = view.operators.iter().map(|operator| {
            let role = match operator.role {
                RoleName::CentralBank => "central bank",
                RoleName::Bank if operator.has_left => "bank, has left",
                RoleName::Bank => "bank",
            };
            vec![operator.operator.to_string(), operator.name.clone(), role.to_owned()]
        });
        let nodes = view.nodes.iter().map(|node| {
            let operator =
                view.operators.get(usize::from(node.operator)).map_or("?", |operator| &operator.name);
            let connected = match (node.node == view.node, node.is_retired) {
                (true, _) => "itself".to_owned(),
                (false, true) => "taken away".to_owned(),
                (false, false) => yes_no(node.is_connected),
            };
            vec![node.node.to_string(), operator.to_owned(), node.address.clone(), connected]
        });
        let operators = table(&["operator", "name", "role"], operators, &[0]);
        let nodes = table(&["node", "operator", "address", "connected"], nodes, &[0]);
        format!("{head}\n\n{operators}\n\n{nodes}")
    }
}

/// Why a chain is not ready, in the words of REST.
pub(super) const fn not_ready_name(reason: NotReady) -> &'static str {
    match reason {
        NotReady::Starting => "starting",
        NotReady::CatchingUp => "catching_up",
        NotReady::WaitingForValidators => "waiting_for_validators",
        NotReady::WaitingForOrigin => "waiting_for_origin",
        NotReady::TooFewPeers => "too_few_peers",
        NotReady::DiskReserve => "disk_reserve",
        NotReady::Joining => "joining",
        NotReady::Rejoining => "rejoining",
        NotReady::Halted => "halted",
    }
}

fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// Runs `jiaozi chain`.
///
/// # Errors
/// [`crate::failure::Failure`].
pub fn chain(arguments: ChainArguments, output: Output) -> Answer {
    let options = match arguments.command {
        ChainCommand::Status(options) => options,
        ChainCommand::List(options) => {
            let connection = options.connect()?;
            return output.result(&ChainList(connection.wait(connection.client.chains())?));
        }
    };
    let (connection, id) = (options.connect()?, options.chain_or_root().0);
    let chains = connection.wait(connection.client.chains())?.chains;
    let unknown =
        || crate::failure::Failure::from(api::ApiError::from(api::ErrorCode::ChainUnknown)).at("--chain");
    let chain = chains.into_iter().find(|view| view.chain == id).ok_or_else(unknown)?;
    let ready = connection.wait(connection.client.ready())?.chains;
    let ready = ready.into_iter().find(|ready| ready.chain == id);
    output.result(&ChainStatus { chain, ready })
}

/// Runs `jiaozi network`.
///
/// # Errors
/// [`crate::failure::Failure`].
pub fn network(arguments: NetworkArguments, output: Output) -> Answer {
    let NetworkCommand::Status(options) = arguments.command;
    let connection = options.connect()?;
    output.result(&NetworkStatus(connection.wait(connection.client.network())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_said_in_the_words_of_rest() {
        for reason in [
            NotReady::Starting,
            NotReady::CatchingUp,
            NotReady::WaitingForValidators,
            NotReady::WaitingForOrigin,
            NotReady::TooFewPeers,
            NotReady::DiskReserve,
            NotReady::Joining,
            NotReady::Rejoining,
            NotReady::Halted,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), not_ready_name(reason));
        }
    }
}
