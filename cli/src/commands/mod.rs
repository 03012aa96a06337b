//! One file per command group.

pub mod archive;
pub mod audit;
pub mod backup;
mod doctor;
pub mod exchange;
pub mod fee;
pub mod genesis;
pub mod gov;
mod gov_fate;
mod gov_propose;
mod gov_view;
pub mod localnet;
pub mod lock;
mod lock_list;
mod lock_view;
pub mod money;
pub mod node;
pub(crate) mod node_chain;
mod node_disk;
mod node_verify;
pub mod pay;
mod replay;
mod replayed;
pub mod status;
mod support_bundle;
pub mod token;
pub mod transaction;
pub mod wallet;
mod wallet_view;

use clap::CommandFactory as _;

use crate::arguments::{Arguments, Command};
use crate::failure::Answer;
use crate::output::Output;

/// Runs a command.
///
/// # Errors
/// [`crate::failure::Failure`].
pub fn run(command: Command, output: Output) -> Answer {
    match command {
        Command::Node(arguments) => node::run(arguments, output),
        Command::Localnet(arguments) => localnet::run(arguments, output),
        Command::Wallet(arguments) => wallet::run(arguments, output),
        Command::Pay(arguments) => pay::run(&arguments, output),
        Command::Issue(arguments) => money::issue(&arguments, output),
        Command::Redeem(arguments) => money::redeem(&arguments, output),
        Command::Exchange(arguments) => exchange::run(arguments, output),
        Command::Lock(arguments) => lock::run(arguments, output),
        Command::Fee(arguments) => fee::run(arguments, output),
        Command::Tx(arguments) => transaction::run(arguments, output),
        Command::Backup(arguments) => backup::run(arguments, output),
        Command::Archive(arguments) => archive::run(&arguments, output),
        Command::Audit(arguments) => audit::run(arguments, output),
        Command::Genesis(arguments) => genesis::run(arguments, output),
        Command::Gov(arguments) => gov::run(arguments, output),
        Command::Token(arguments) => token::run(arguments, output),
        Command::Chain(arguments) => status::chain(arguments, output),
        Command::Network(arguments) => status::network(arguments, output),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "jiaozi", &mut std::io::stdout());
            Ok(())
        }
    }
}
