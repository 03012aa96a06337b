//! `jiaozi lock`: money under a hash, for exchanges with other ledgers: whoever shows the preimage in time gets it, else it comes
//! back by itself.
//!
//! The preimage is never on the command line. It is not sent before the lock was looked at and its hash is that of the preimage:
//! sent, it is public.

use std::path::PathBuf;

use api::lock::{LockRole, LockStateName, LockView};
use clap::{Args, Subcommand};
use ledger::records::Operation;
use ledger::values::{Amount, LockId, Money, TimestampMs};

use super::exchange::{ActOptions, OPEN_FOR_SECONDS_MAX, OPEN_FOR_SECONDS_MIN, lock_of, result};
use super::lock_view::{ShowArguments, find, lines, show};
use super::pay::payee;
use super::transaction::prepare;
use crate::amount::WrittenAmount;
use crate::clock;
use crate::failure::{Answer, Exit, Failure};
use crate::home::home;
use crate::output::{Output, facts};
use crate::preimage::Preimage;
use crate::send::{Sender, wall_clock_ms};

/// Arguments of `jiaozi lock`.
#[derive(Debug, Args)]
pub struct LockArguments {
    #[command(subcommand)]
    command: LockCommand,
}

#[derive(Debug, Subcommand)]
enum LockCommand {
    /// Lock money for a wallet that shows a preimage in time.
    #[command(after_help = "Examples:\n  \
        jiaozi lock create --from alice --to jz1… --amount 5 --preimage-file alice.preimage --open-for 7200\n  \
        jiaozi lock create --from bob --to jz1… --amount 5 --hash 66687aad… --open-for 3600\n\n\
        With --preimage-file a new preimage is made and written into that new file (0600); its hash is printed. With --hash it is\n\
        somebody else's. The hash is the plain SHA-256 of 32 bytes, so other ledgers can hold the same lock. Who knows the preimage\n\
        locks first and longest; who gets to know it by a claim needs time to claim in turn: see docs/operations.md.")]
    Create(CreateArguments),
    /// Claim a lock with its preimage, which is public from then on.
    #[command(after_help = "Examples:\n  \
        jiaozi lock claim jzl1… --to bob --preimage-file alice.preimage\n  \
        jiaozi lock claim jzl1… --to bob\n\n\
        Without --preimage-file the preimage is asked for, without echo. It is not sent where it does not fit the lock.")]
    Claim(ClaimArguments),
    /// A lock as the chains of the node have it; exit 1 if they have none.
    #[command(
        after_help = "Examples:\n  jiaozi lock show jzl1…\n  jiaozi lock show jzl1… --proof lock.proof"
    )]
    Show(ShowArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// The wallet that locks, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// The wallet that may claim: its id, or its name in the keystore. It is at home on the same chain.
    #[arg(long, value_name = "WALLET")]
    to: String,
    /// How much, such as 12.34 or "12.34 HKD".
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    amount: WrittenAmount,
    /// New file for a new preimage; readable by its owner only.
    #[arg(long, value_name = "FILE", required_unless_present = "hash")]
    preimage_file: Option<PathBuf>,
    /// SHA-256 of a preimage that somebody else has, 64 hexadecimal digits.
    #[arg(long, value_name = "HASH", value_parser = hash, conflicts_with = "preimage_file")]
    hash: Option<[u8; 32]>,
    /// How long it can be claimed.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(OPEN_FOR_SECONDS_MIN..=OPEN_FOR_SECONDS_MAX))]
    open_for: u64,
    #[command(flatten)]
    act: ActOptions,
}

#[derive(Debug, Args)]
struct ClaimArguments {
    /// The lock: a text that starts with jzl1.
    id: LockId,
    /// The wallet that it is for, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    to: String,
    /// File with the preimage; its group and others may have no rights to it.
    #[arg(long, value_name = "FILE")]
    preimage_file: Option<PathBuf>,
    #[command(flatten)]
    act: ActOptions,
}

/// A hash on the command line.
fn hash(text: &str) -> Result<[u8; 32], String> {
    const_hex::decode_to_array(text).map_err(|_| "a hash is 64 hexadecimal digits (32 bytes)".to_owned())
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: LockArguments, output: Output) -> Answer {
    match arguments.command {
        LockCommand::Create(arguments) => create(&arguments, output),
        LockCommand::Claim(arguments) => claim(&arguments, output),
        LockCommand::Show(arguments) => show(&arguments, output),
    }
}

fn create(arguments: &CreateArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let send = &arguments.act.send;
    // A wrong name is told before a node is asked.
    payee(&arguments.to, &send.keystore.open()?, None)?;
    let sender = send.sender_in(&arguments.from, arguments.amount.currency)?;
    let currency = sender.terms.currency;
    let amount = arguments.amount.in_currency(currency)?;
    let to = payee(&arguments.to, &sender.keystore, Some(currency))?;
    home(&sender.network, currency, to, Some(sender.terms.chain.0)).map_err(|failure| {
        let mend = format!("name a wallet of chain {}, where the locking one is", sender.terms.chain);
        failure.at("--to").mend(mend)
    })?;
    // Nobody can claim without the preimage, so it is on disk before the money is locked.
    let made = arguments.preimage_file.as_ref().map(|path| Ok::<_, Failure>((path, Preimage::generate()?)));
    let made = made.transpose()?;
    let hash = match (&made, arguments.hash) {
        (Some((path, preimage)), _) => {
            preimage.save(path)?;
            preimage.hash()
        }
        (None, Some(hash)) => hash,
        (None, None) => {
            return Err(Failure::usage("hash_missing", "a lock needs a hash")
                .at("--hash")
                .mend("name a new file with --preimage-file, or somebody else's hash"));
        }
    };
    let deadline = TimestampMs(wall_clock_ms().saturating_add(arguments.open_for.saturating_mul(1_000)));
    let operation = Operation::Lock { payee: to, amount, hash, deadline };
    if let Some(out) = &arguments.act.out {
        return prepare(&sender, operation, out, output);
    }
    output.note(&facts(&[
        ("locks", format!("{} for {to} on chain {}", Money { amount, currency }, sender.terms.chain)),
        ("hash", const_hex::encode(hash)),
        ("deadline", clock::told(deadline)),
    ]));
    let sent = arguments.act.send(&sender, operation, output).inspect_err(|failure| {
        if let (Exit::Refused, Some((path, _))) = (failure.exit, &made) {
            // There is no lock that it would open; that it could not be removed is not what failed.
            let _ = std::fs::remove_file(path);
        }
    })?;
    let id = lock_of(&sent)?;
    result(&sender, sent, id, output)
}

fn claim(arguments: &ClaimArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let sender =
        arguments.act.send.sender(&arguments.to).map_err(|failure| match failure.field.as_deref() {
            Some("--from") => failure.at("--to"),
            _ => failure,
        })?;
    let id = arguments.id;
    let lock = claimable(&sender, id)?;
    let preimage = Preimage::read(arguments.preimage_file.as_deref())?;
    if lock.hash != Some(const_hex::encode(preimage.hash())) {
        return Err(Failure::refused(
            "preimage_other",
            "the preimage is not that of the lock; it was not sent",
        )
        .at("--preimage-file")
        .mend("look at the lock's hash with: jiaozi lock show"));
    }
    output.note(&facts(&lines(std::slice::from_ref(&lock))));
    let operation = Operation::Claim { lock: id, preimage: preimage.bytes() };
    if let Some(out) = &arguments.act.out {
        return prepare(&sender, operation, out, output);
    }
    let sent = arguments.act.send(&sender, operation, output)?;
    result(&sender, sent, id, output)
}

/// The lock, if this wallet can claim it now, as far as the node knows.
fn claimable(sender: &Sender, id: LockId) -> Answer<LockView> {
    let found = find(&sender.connection, id, Some(sender.terms.chain))?;
    let lock = found.into_iter().find(|record| record.role == LockRole::HashLock).ok_or_else(|| {
        Failure::refused("not_a_hash_lock", format_args!("{id} is an exchange, which no preimage settles"))
            .at("ID")
            .mend("see: jiaozi exchange show")
    })?;
    let own = sender.entry.wallet_id()?;
    if lock.locked.payee != own {
        let message = format!("the lock is for {}, not for {own}", lock.locked.payee);
        return Err(Failure::refused("not_the_payee", message)
            .at("--to")
            .mend("claim with the wallet that the lock is for"));
    }
    if lock.state != LockStateName::Open {
        let amount = Amount::from_fen(lock.locked.amount_fen);
        let message = format!("the lock holds nothing any more: {amount} {} left it", lock.locked.currency);
        return Err(Failure::refused("lock_not_open", message)
            .at("ID")
            .mend("look at it with: jiaozi lock show"));
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_whole_or_not_at_all() {
        assert_eq!(hash(&"ff".repeat(32)), Ok([255; 32]));
        for bad in ["", "ff", "0xff", &"ff".repeat(31), &"gg".repeat(32), &"ff".repeat(33)] {
            assert!(hash(bad).is_err(), "{bad}");
        }
    }
}
