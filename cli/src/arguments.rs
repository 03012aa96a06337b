//! The command line as a whole.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::commands::archive::ArchiveArguments;
use crate::commands::audit::AuditArguments;
use crate::commands::backup::BackupArguments;
use crate::commands::exchange::ExchangeArguments;
use crate::commands::fee::FeeArguments;
use crate::commands::genesis::GenesisArguments;
use crate::commands::gov::GovArguments;
use crate::commands::localnet::LocalnetArguments;
use crate::commands::lock::LockArguments;
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
    #[command(
        after_help = "Examples:\n  jiaozi node check --config node.toml\n  jiaozi node run --config node.toml"
    )]
    Node(NodeArguments),
    /// A network of real nodes on this machine, to try things out.
    #[command(after_help = "Examples:\n  jiaozi localnet up\n  jiaozi localnet down")]
    Localnet(LocalnetArguments),
    /// Wallets: make, list, open, look at.
    #[command(after_help = "Examples:\n  jiaozi wallet new alice\n  jiaozi wallet balance alice")]
    Wallet(WalletArguments),
    /// Pay from a wallet.
    Pay(PayArguments),
    /// Put new money into an operator's wallet (central bank).
    Issue(IssueArguments),
    /// Take money out of circulation (operators).
    Redeem(RedeemArguments),
    /// Exchange money of one currency for money of another: offer, accept, decline, withdraw.
    #[command(after_help = "Examples:\n  \
            jiaozi exchange offer --from alice --to bob --amount 100 --ask 110HKD --ask-from bob-hkd --ask-to alice-hkd\n  \
            jiaozi exchange accept jzl1… --from bob-hkd --yes")]
    Exchange(ExchangeArguments),
    /// Lock money under a hash, for exchanges with other ledgers: create, claim.
    #[command(after_help = "Examples:\n  \
            jiaozi lock create --from alice --to bob --amount 5 --preimage-file secret.preimage\n  \
            jiaozi lock claim jzl1… --to bob --preimage-file secret.preimage")]
    Lock(LockArguments),
    /// What transactions cost: the estimate, and what the base fee was.
    #[command(after_help = "Examples:\n  jiaozi fee estimate\n  jiaozi fee history --limit 50")]
    Fee(FeeArguments),
    /// Transactions: prepare, sign, submit, look up.
    #[command(
        after_help = "Examples:\n  jiaozi tx show 5f0c…\n  jiaozi tx sign payment.json --with treasury"
    )]
    Tx(TransactionArguments),
    /// Copies of a node's databases: make, check, put back.
    #[command(after_help = "Examples:\n  \
            jiaozi backup create --config node.toml --to /backup/jiaozi\n  \
            jiaozi backup verify /backup/jiaozi")]
    Backup(BackupArguments),
    /// Archives of old heights, which prove themselves: make, check.
    #[command(after_help = "Examples:\n  \
            jiaozi archive create --chain 0 --from 1 --to 100000 --out 1.archive --genesis genesis.json\n  \
            jiaozi archive verify 1.archive --genesis genesis.json")]
    Archive(ArchiveArguments),
    /// Check a chain or a proof without trusting anybody.
    #[command(after_help = "Examples:\n  jiaozi audit replay --data localnet/bank-1/data")]
    Audit(AuditArguments),
    /// The ceremony in which operators agree on a network.
    #[command(
        after_help = "Examples:\n  jiaozi genesis new ceremony --network pilot\n  jiaozi genesis show ceremony"
    )]
    Genesis(GenesisArguments),
    /// How the operators of a running network change it together.
    #[command(
        after_help = "Examples:\n  jiaozi gov show --genesis genesis.json\n  jiaozi gov status --genesis genesis.json"
    )]
    Gov(GovArguments),
    /// Client tokens for a node's REST interface.
    #[command(
        after_help = "Examples:\n  jiaozi token new --name shop --scopes submit,read --token-file shop.token"
    )]
    Token(TokenArguments),
    /// How far a chain is.
    #[command(after_help = "Examples:\n  jiaozi chain status")]
    Chain(ChainArguments),
    /// Who takes part.
    #[command(after_help = "Examples:\n  jiaozi network status")]
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

impl Arguments {
    /// The command line as it was typed, the program's name first.
    ///
    /// # Errors
    /// Help, the version, or what is wrong with it.
    pub fn of_line(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(line)?;
        refuse_two_sources(&command, &matches)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// A replay reads a node or a directory. The node's address may stand in the environment for the other commands, so only one
/// that was typed contradicts a directory; the parser's own conflicts do not tell them apart.
fn refuse_two_sources(command: &clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let replay = matches.subcommand_matches("audit").and_then(|audit| audit.subcommand_matches("replay"));
    let is_typed =
        |replay: &ArgMatches, name: &str| replay.value_source(name) == Some(ValueSource::CommandLine);
    if !replay.is_some_and(|replay| is_typed(replay, "data") && is_typed(replay, "node")) {
        return Ok(());
    }
    let mut error = clap::Error::new(ErrorKind::ArgumentConflict).with_cmd(command);
    let text = |name: &str| ContextValue::String(name.to_owned());
    error.insert(ContextKind::InvalidArg, text("--data <DIR>"));
    error.insert(ContextKind::PriorArg, text("--node <URL>"));
    Err(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::of_line(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_replay_reads_a_node_or_a_directory() {
        let error = parse("jiaozi audit replay --data d --node http://127.0.0.1:1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
        let told = error.to_string();
        assert!(told.contains("--data <DIR>") && told.contains("--node <URL>"), "{told}");
    }

    /// Every field that a failure names is an option or an argument of some command.
    #[test]
    fn failures_name_options_and_arguments_that_exist() {
        fn known(command: &clap::Command, names: &mut BTreeSet<String>) {
            for argument in command.get_arguments() {
                match argument.get_long() {
                    Some(long) => names.extend([format!("--{long}")]),
                    None => names.extend(
                        argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string),
                    ),
                }
            }
            command.get_subcommands().for_each(|below| known(below, names));
        }
        fn named(folder: &Path, names: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    named(&path, names);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let fields = text.split(".at(\"").skip(1).filter_map(|rest| rest.split_once('"'));
                names.extend(fields.map(|(field, _)| field.to_owned()));
            }
        }
        let (mut options, mut fields) = (BTreeSet::new(), BTreeSet::new());
        known(&Arguments::command(), &mut options);
        named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut fields);
        assert!(fields.len() > 15, "{fields:?}");
        let unknown: Vec<_> = fields.difference(&options).collect();
        assert!(unknown.is_empty(), "{unknown:?} of {options:?}");
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
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  jiaozi "), "{path} has no examples");
            *leaves += usize::from(below.is_empty());
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
                let secret = ["passphrase", "mnemonic", "password", "secret", "token", "preimage"]
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
        let lock = ledger::values::LockId([7; 32]).to_string();
        for line in [
            "jiaozi node run --config node.toml",
            "jiaozi node check --config node.toml --json",
            "jiaozi node verify --config node.toml --quick --repair",
            "jiaozi node disk-forecast --config node.toml --payments-per-second 500 --hours 24",
            "jiaozi backup create --config node.toml --to backups --keep 7",
            "jiaozi archive create --from 1 --to 9 --out a.archive --genesis g",
            "jiaozi archive create --data data --chain 1 --from 1 --out a.archive --genesis g",
            "jiaozi archive verify a.archive --genesis g --json",
            "jiaozi audit replay --archive old --node http://127.0.0.1:1 --genesis genesis.json",
            "jiaozi backup list backups --json",
            "jiaozi backup verify backups --backup 20261123T024005Z",
            "jiaozi backup restore --from backups --config node.toml --node http://127.0.0.1:1",
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
            "jiaozi pay --from alice --to jz1x --amount 5 --fee urgent",
            "jiaozi pay --from alice --to jz1x --amount 5 --fee 0.25",
            "jiaozi pay --from alice --to jz1x --amount 5 --sponsor bank-1 --out payment.json",
            "jiaozi pay --from a --to b --amount 5 --sponsor jz1x --sponsor-key ID --sponsor-threshold 1 --out p",
            "jiaozi tx prepare --from alice --to jz1x --amount 3 --sponsor bank-1 --out payment.json --fee economy",
            "jiaozi lock create --from a --to b --amount 5 --preimage-file f --fee 0",
            "jiaozi fee estimate",
            "jiaozi fee estimate --operation open-wallets --wallets 10 --within-s 5 --confidence 0.99 --chain 1",
            "jiaozi fee estimate --weight 700 --json",
            "jiaozi fee history --from 10 --limit 5 --chain 1",
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
            "jiaozi audit replay --data data --chain 1",
            "jiaozi audit replay --node http://127.0.0.1:1 --genesis genesis.json",
            "jiaozi audit verify-proof payment.proof --genesis genesis.json",
            "jiaozi genesis new ceremony --network test",
            "jiaozi genesis show genesis.json",
            "jiaozi token new --name shop --scopes submit,read",
            "jiaozi chain status --chain 0",
            "jiaozi chain list --json",
            "jiaozi localnet up --chains CNY:2,HKD:1",
            "jiaozi localnet up --weight-target 50000",
            "jiaozi genesis new ceremony --network test --param weight_target=500000 --param tiers.four.is_fee_exempt=true",
            "jiaozi genesis new ceremony --network test --chains CNY:4",
            "jiaozi issue --to bank-1 --amount 5 --currency HKD",
            "jiaozi issue --to bank-1 --amount 5HKD --chain 1",
            "jiaozi tx sign payment.json --with alice --genesis genesis.json",
            "jiaozi wallet balance jz1x --currency CNY",
            "jiaozi wallet new alice --currency HKD",
            "jiaozi exchange offer --from a --to b --amount 100 --ask 110HKD --ask-from jz1x --ask-to c",
            "jiaozi exchange offer --from a --to b --amount 1CNY --ask 2HKD --ask-from x --ask-to y --open-for 90 --out f",
            "jiaozi exchange accept LOCK --from bob-hkd --yes",
            "jiaozi exchange accept LOCK --from bob-hkd --to bob --yes",
            "jiaozi exchange decline LOCK --from bob-hkd",
            "jiaozi exchange withdraw LOCK --from alice --timeout 5",
            "jiaozi exchange show LOCK --chain 1",
            "jiaozi lock create --from a --to b --amount 5 --preimage-file f",
            "jiaozi lock create --from a --to b --amount 5 --hash ID --open-for 60",
            "jiaozi lock claim LOCK --to b --preimage-file f",
            "jiaozi lock claim LOCK --to b --preimage-file f --trust-node",
            "jiaozi lock show LOCK --proof lock.proof",
            "jiaozi network status",
            "jiaozi node rotate-consensus-key --config node.toml --chain 0",
            "jiaozi genesis contribute joining --name Ember --role bank --keys keys --address a:1 --genesis g",
            "jiaozi gov propose add-operator --contribution c.json --out p.json --genesis g --reason Joining --urgent",
            "jiaozi gov propose add-operator --contribution c.json --follow-first --out p.json --genesis g",
            "jiaozi gov propose retire-operator Delta --out p.json --genesis g --append",
            "jiaozi gov propose replace-operator-key 3 --new-key ID --possession S --out p.json --genesis g",
            "jiaozi gov propose add-node Birch --network-key ID --possession S --address a:1 --out p.json --genesis g",
            "jiaozi gov propose move-node 2 --address a:1 --out p.json --genesis g --valid-for-hours 24",
            "jiaozi gov propose retire-node 2 --out p.json --genesis g",
            "jiaozi gov propose rotate-network-key 2 --new-key ID --possession S --out p.json --genesis g",
            "jiaozi gov propose add-validator --chain 1 --on-node 2 --new-key ID --possession S --out p.json --genesis g",
            "jiaozi gov propose remove-validator --chain 1 --operator Delta --out p.json --genesis g",
            "jiaozi gov propose rotate-consensus-key --chain 0 --key ID --new-key ID --possession S --out p.json --genesis g",
            "jiaozi gov propose set-param block_pace_ms 100 --chain 0 --out p.json --genesis g",
            "jiaozi gov propose add-chain 0 --validator a.json b.json --append --out p.json --genesis g",
            "jiaozi gov propose reshard CNY --out p.json --genesis g",
            "jiaozi gov propose remove-chain --chain 2 --out p.json --genesis g",
            "jiaozi gov propose spend-fees --chain 0 --operator bank-1 --amount 12.34 --out p.json --genesis g",
            "jiaozi gov origin --chain 2 --out c.origin --genesis g",
            "jiaozi gov prove-key --key k.key --operator 2 --genesis g",
            "jiaozi gov prove-key --key k.key --operator 2 --chain 0 --genesis g --passphrase-fd 3",
            "jiaozi node add-chain --config node.toml --chain 2 --out o.json",
            "jiaozi node add-chain --config node.toml --chain 2 --node https://bank.example",
            "jiaozi node add-chain --config node.toml --chain 2 --host --json",
            "jiaozi localnet reshard --currency CNY --directory net --timeout 60",
            "jiaozi gov diff p.json q.json --genesis g",
            "jiaozi gov approve p.json --keys keys --genesis g --yes --passphrase-fd 3",
            "jiaozi gov apply p.json q.json --from bank-1 --genesis g",
            "jiaozi gov status --genesis g --json",
            "jiaozi gov status p.json --genesis g",
            "jiaozi gov show --chain 1 --genesis g --proof r.proof",
            "jiaozi completions bash",
        ] {
            let line = line.replace("ID", ID).replace("LOCK", &lock);
            parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
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
            "jiaozi pay --from alice --to jz1x --amount 1yuan",
            "jiaozi pay --from alice --to jz1x --amount 1 --fee soon",
            "jiaozi pay --from alice --to jz1x --amount 1 --fee 0.001",
            "jiaozi pay --from alice --to jz1x --amount 1 --sponsor bank-1",
            "jiaozi pay --from alice --to jz1x --amount 1 --out payment.json",
            "jiaozi fee estimate --weight 700 --payments 2",
            "jiaozi fee history --limit 1025",
            "jiaozi localnet up --weight-target 9999",
            "jiaozi genesis new ceremony --network test --param weight_target",
            "jiaozi gov propose spend-fees --chain 0 --operator bank-1 --out p.json --genesis g",
            "jiaozi tx prepare --from alice --out payment.json",
            "jiaozi tx prepare --from alice --redeem 3 --to jz1x --amount 3 --out payment.json",
            "jiaozi localnet up --banks three",
            "jiaozi localnet up --banks 3",
            "jiaozi localnet up --chains CNY",
            "jiaozi localnet up --chains CNY:0",
            "jiaozi genesis new ceremony --network test --chains CNY:257",
            "jiaozi issue --to bank-1 --amount 5 --currency yuan",
            "jiaozi exchange offer --from a --to b --amount 100 --ask-from x --ask-to y",
            "jiaozi exchange offer --from a --to b --amount 100 --ask -1HKD --ask-from x --ask-to y",
            "jiaozi exchange offer --from a --to b --amount 1 --ask 1HKD --ask-from x --ask-to y --open-for 0",
            "jiaozi exchange accept jz1x --from bob",
            "jiaozi lock create --from a --to b --amount 5",
            "jiaozi lock create --from a --to b --amount 5 --hash 00",
            "jiaozi lock create --from a --to b --amount 5 --hash 00 --preimage-file f",
            "jiaozi lock claim 00 --to b",
            "jiaozi tx show 00",
            "jiaozi token new --name x --scopes everything",
            "jiaozi audit replay --data data --threads 1000000",
            "jiaozi audit verify-proof",
            "jiaozi gov propose set-param block_pace_ms 100 --chain 0 --genesis g",
            "jiaozi gov propose remove-validator --chain 1 --out p.json --genesis g",
            "jiaozi gov propose remove-validator --chain 1 --operator A --key ID --out p.json --genesis g",
            "jiaozi gov propose move-node two --address a:1 --out p.json --genesis g",
            "jiaozi gov propose set-param block_pace_ms 1 --chain 0 --out p --genesis g --valid-for-hours 721",
            "jiaozi gov propose add-chain 0 --out p.json --genesis g",
            "jiaozi gov propose add-chain CNY --validator a.json --out p.json --genesis g",
            "jiaozi gov propose reshard yuan --out p.json --genesis g",
            "jiaozi gov propose remove-chain --chain 2 --genesis g",
            "jiaozi node add-chain --config node.toml --chain 2 --host --out o.json",
            "jiaozi localnet reshard",
            "jiaozi gov diff --genesis g",
            "jiaozi backup create --config node.toml",
            "jiaozi backup create --config node.toml --to backups --keep 0",
            "jiaozi backup restore --from backups",
            "jiaozi archive create --from 0 --out a.archive --genesis g",
            "jiaozi audit replay --archive old --data data --genesis g",
            "jiaozi node disk-forecast --config node.toml --hours 0",
            "jiaozi nonsense",
        ] {
            if let Ok(arguments) = parse(line) {
                panic!("{line}: {arguments:?}");
            }
        }
    }
}
