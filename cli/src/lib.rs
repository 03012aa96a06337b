//! # cli: the program `jiaozi`
//!
//! What operators, developers and auditors type. Every command answers for people or, with `--json`, one stable object for
//! programs; results go to standard output, everything else to standard error; exit codes are 0 done, 1 refused or check
//! failed, 2 wrong command line or file, 3 something cannot be reached.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`arguments`] | the command line as a whole |
//! | [`commands`] | one file per command group |
//! | [`localnet`] | a network of real processes on one machine: layout, ports, processes, readiness |
//! | [`keystore`] | wallets at rest: names, public facts, encrypted secrets, nonces |
//! | [`amount`] | amounts as they are written on the command line |
//! | [`connection`] | a node, as commands reach it |
//! | [`home`] | on which chain a wallet is |
//! | [`send`] | from an operation to a certified outcome: nonce, fee, signature, submission, waiting |
//! | [`sender`] | a wallet that acts through a node |
//! | [`fee`] | what a transaction bids: the estimate, tried out and told before anything is signed |
//! | [`clock`] | moments, in the zone of the machine and in UTC |
//! | [`secret`], [`preimage`] | passphrases: typed, from a private file, from a descriptor; preimages of locks; never an argument |
//! | [`failure`] | errors: what, code, field, what to do next, exit code |
//! | [`output`], [`progress`] | how results and long work are shown |
//!
//! # Invariants
//!
//! 1. No secret is ever an argument, an environment variable or a line of output that goes into a file or pipe.
//! 2. Money is decimal on the command line and in text, in the currency of the wallet that acts and shown with it (`12.34 HKD`);
//!    integer fen everywhere else, in JSON beside the code of the currency.
//! 3. A nonce is noted on disk before it is used, and the transaction's id is told before anything is waited for: whoever
//!    is interrupted can look the payment up instead of paying again.
//! 4. No signal is sent to a process that was not recognized by its command line, which names the node's configuration.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod amount;
pub mod arguments;
pub mod clock;
pub mod commands;
pub mod connection;
pub mod failure;
pub mod fee;
pub mod home;
pub mod keystore;
pub mod localnet;
pub mod output;
pub mod preimage;
pub mod progress;
pub mod secret;
pub mod send;
pub mod sender;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Runs the program with these arguments, the program's own name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_json =
        arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let arguments = match Arguments::of_line(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error, is_json),
    };
    let output = Output::new(arguments.json);
    match commands::run(arguments.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Help, the version, or what is wrong with the command line; the latter as an object for programs that asked for one.
fn refuse(error: &clap::Error, is_json: bool) -> ExitCode {
    let is_asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_json && !is_asked {
        Output::new(true).failure(&wrong_line(error));
    } else {
        // Nobody is there to be told that the output is closed.
        let _ = error.print();
    }
    if is_asked { ExitCode::SUCCESS } else { ExitCode::from(Exit::Usage as u8) }
}

/// The first paragraph of what a person would read: the others are usage and tips.
fn wrong_line(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "the command is not complete".to_owned(),
        _ => first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let failure = Failure::usage("command_line", message);
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => {
            failure.at(argument.split_whitespace().next().unwrap_or_default())
        }
        _ => failure,
    }
}
