//! The command line as a whole.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::audit::AuditArguments;
use crate::commands::genesis::GenesisArguments;
use crate::commands::localnet::LocalnetArguments;
use crate::commands::money::{IssueArguments, RedeemArguments};
use crate::commands::node::NodeArguments;
use crate::commands::pay::PayArguments;
use crate::commands::status::{ChainArguments, NetworkArguments};
use crate::commands::token::TokenArguments;
use crate::commands::transaction::TransactionArguments;
use crate::commands::wallet::WalletArguments;

/// A permissioned ledger for digital currency: run a bank's node, pay, and audit.
#[derive(Debug, Parser)]
#[command(
    name = "jiaozi",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Examples:\n  \
        jiaozi localnet up --wallets 2         start four banks on this machine\n  \
        source localnet/env.sh                 point the commands below at them\n  \
        jiaozi pay --from wallet-1 --to jz1… --amount 12.34\n  \
        jiaozi audit replay --data localnet/bank-1/data\n  \
        jiaozi localnet down\n\n\
        Exit codes: 0 done, 1 refused or check failed, 2 wrong command line or file, 3 cannot be reached."
)]
pub struct Arguments {
    /// Print one JSON object instead of text; failures too, on standard error.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command group.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a bank's node.
    Node(NodeArguments),
    /// A network of real nodes on this machine, to try things out.
    Localnet(LocalnetArguments),
    /// Wallets: make, list, open, look at.
    Wallet(WalletArguments),
    /// Pay from a wallet.
    Pay(PayArguments),
    /// Put new money into an operator's wallet (central bank).
    Issue(IssueArguments),
    /// Take money out of circulation (operators).
    Redeem(RedeemArguments),
    /// Transactions: prepare, sign, submit, look up.
    Tx(TransactionArguments),
    /// Check a chain or a proof without trusting anybody.
    Audit(AuditArguments),
    /// The ceremony in which operators agree on a network.
    Genesis(GenesisArguments),
    /// Client tokens for a node's REST interface.
    Token(TokenArguments),
    /// How far a chain is.
    Chain(ChainArguments),
    /// Who takes part.
    Network(NetworkArguments),
    /// Write completions for a shell to standard output.
    #[command(after_help = "Examples:\n  \
        jiaozi completions bash > ~/.local/share/bash-completion/completions/jiaozi\n  \
        jiaozi completions fish > ~/.config/fish/completions/jiaozi.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Every command that does something shows examples in its help.
    #[test]
    fn every_command_has_examples_and_a_description() {
        fn check(command: &clap::Command, path: &str, leaves: &mut usize) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no description");
            let below: Vec<_> =
                command.get_subcommands().filter(|below| below.get_name() != "help").collect();
            if below.is_empty() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:") && help.contains("jiaozi "), "{path} has no examples");
                *leaves += 1;
            }
            below.into_iter().for_each(|below| check(below, &path, leaves));
        }
        let mut leaves = 0;
        check(&Arguments::command(), "", &mut leaves);
        assert!(leaves > 25, "{leaves}");
    }

    /// No option can carry a secret itself.
    #[test]
    fn no_option_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let secret = ["passphrase", "mnemonic", "password", "secret", "token"]
                    .iter()
                    .any(|word| name.contains(word));
                assert!(
                    !secret || name.ends_with("_file") || name.ends_with("_fd"),
                    "{} {name}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn typical_lines_parse() {
        const ID: &str = "5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c";
        for line in [
            "jiaozi node run --config node.toml",
            "jiaozi node check --config node.toml --json",
            "jiaozi localnet up --banks 7 --wallets 10 --directory /tmp/net",
            "jiaozi localnet status",
            "jiaozi localnet down",
            "jiaozi wallet new alice",
            "jiaozi wallet new alice --mnemonic-file words",
            "jiaozi wallet list --json",
            "jiaozi wallet balance alice",
            "jiaozi wallet history alice --limit 5",
            "jiaozi wallet open --operator bank-1 alice bob --tier two",
            "jiaozi wallet open --operator bank-1 alice --out open.json",
            "jiaozi pay --from alice --to jz1x --amount 12.34 --to jz1y --amount 1 --wait final",
            "jiaozi issue --to bank-1 --amount 1000000",
            "jiaozi redeem --from bank-1 --amount 5",
            "jiaozi tx show ID --proof payment.proof",
            "jiaozi tx wait ID",
            "jiaozi tx prepare --from alice --to jz1x --amount 3 --out payment.json",
            "jiaozi tx prepare --from central-bank --issue --to bank-1 --amount 3 --out issue.json",
            "jiaozi tx prepare --from bank-1 --redeem 3 --out redeem.json",
            "jiaozi tx sign payment.json --with alice",
            "jiaozi tx submit payment.json",
            "jiaozi audit replay --data data --threads 2",
            "jiaozi audit replay --node http://127.0.0.1:1 --genesis genesis.json",
            "jiaozi audit verify-proof payment.proof --genesis genesis.json",
            "jiaozi genesis new ceremony --network test",
            "jiaozi genesis show genesis.json",
            "jiaozi token new --name shop --scopes submit,read",
            "jiaozi chain status --chain 0",
            "jiaozi network status",
            "jiaozi completions bash",
        ] {
            parse(&line.replace("ID", ID)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn a_negative_amount_is_told_so() {
        for line in [
            "jiaozi pay --from alice --to jz1x --amount -1",
            "jiaozi issue --to bank-1 --amount -1.50",
            "jiaozi redeem --from bank-1 --amount -1",
            "jiaozi tx prepare --from bank-1 --redeem -1 --out redeem.json",
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains("an amount is not negative"), "{error}");
        }
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        for line in [
            "jiaozi",
            "jiaozi pay --from alice --to jz1x",
            "jiaozi pay --from alice --to jz1x --amount 1.234",
            "jiaozi pay --from alice --to jz1x --amount -1",
            "jiaozi tx prepare --from alice --out payment.json",
            "jiaozi tx prepare --from alice --redeem 3 --to jz1x --amount 3 --out payment.json",
            "jiaozi localnet up --banks three",
            "jiaozi localnet up --banks 3",
            "jiaozi tx show 00",
            "jiaozi token new --name x --scopes everything",
            "jiaozi audit verify-proof",
            "jiaozi nonsense",
        ] {
            if let Ok(arguments) = parse(line) {
                panic!("{line}: {arguments:?}");
            }
        }
    }
}
