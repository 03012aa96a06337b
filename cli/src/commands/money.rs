//! `jiaozi issue` and `jiaozi redeem`: money in and out of circulation.

use clap::Args;
use ledger::records::Operation;

use super::pay::payee;
use crate::amount::WrittenAmount;
use crate::failure::Answer;
use crate::output::Output;
use crate::send::SendOptions;

/// Arguments of `jiaozi issue`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    jiaozi issue --to bank-1 --amount 1000000\n  \
    jiaozi issue --from central-bank --to jz1… --amount 250000.50\n  \
    jiaozi issue --to bank-1 --amount \"1000000 HKD\"\n  \
    jiaozi issue --to bank-1 --amount 1000000 --chain 1\n\n\
    Money is issued to operators' own wallets; operators pay it on. They are on every chain of a currency, so where a currency\n\
    has several, the chain must be named.")]
pub struct IssueArguments {
    /// The central bank's wallet, by its name in the keystore.
    #[arg(long, value_name = "NAME", default_value = "central-bank")]
    from: String,
    /// An operator's own wallet: its id, or its name in the keystore.
    #[arg(long, value_name = "WALLET")]
    to: String,
    /// How much, such as 12.34 or "12.34 HKD".
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    amount: WrittenAmount,
    #[command(flatten)]
    send: SendOptions,
}

/// Arguments of `jiaozi redeem`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    jiaozi redeem --from bank-1 --amount 5000\n  \
    jiaozi redeem --from bank-1 --amount 5000 --chain 1")]
pub struct RedeemArguments {
    /// The operator's wallet, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// How much, such as 12.34 or "12.34 HKD".
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    amount: WrittenAmount,
    #[command(flatten)]
    send: SendOptions,
}

/// Runs `jiaozi issue`.
///
/// # Errors
/// [`crate::failure::Failure`].
pub fn issue(arguments: &IssueArguments, output: Output) -> Answer {
    let keystore = arguments.send.keystore.open()?;
    // A wrong name is told before a node is asked.
    payee(&arguments.to, &keystore, None)?;
    let sender = arguments.send.sender_in(&arguments.from, arguments.amount.currency)?;
    let to = payee(&arguments.to, &keystore, Some(sender.terms.currency))?;
    let operation = Operation::Issue { to, amount: arguments.amount.in_currency(sender.terms.currency)? };
    output.result(&arguments.send.send(&sender, operation, output)?)
}

/// Runs `jiaozi redeem`.
///
/// # Errors
/// [`crate::failure::Failure`].
pub fn redeem(arguments: &RedeemArguments, output: Output) -> Answer {
    let sender = arguments.send.sender_in(&arguments.from, arguments.amount.currency)?;
    let operation = Operation::Redeem { amount: arguments.amount.in_currency(sender.terms.currency)? };
    output.result(&arguments.send.send(&sender, operation, output)?)
}
