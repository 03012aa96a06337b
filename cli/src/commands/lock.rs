//! `jiaozi lock`: money under a hash, for exchanges with other ledgers: whoever shows the preimage in time gets it, else it comes
//! back by itself.
//!
//! The preimage is never on the command line. Sent, it is public, also where the claim comes to nothing: so it is not read before the
//! lock is proved by the genesis file, is open for a while yet, and has the hash of the preimage before anything is sent.

use std::path::{Path, PathBuf};

use api::lock::{LockRole, LockStateName, LockView};
use clap::{Args, Subcommand};
use ledger::proofs::{Fact, ProofFile};
use ledger::records::{GenesisSpec, LockKind, LockRecord, LockState, Operation, Record};
use ledger::rules::lock::LOCK_TTL_MS_MIN;
use ledger::values::{Amount, Canonical as _, ChainId, LockId, Money, TimestampMs};

use super::exchange::{ActOptions, OPEN_FOR_SECONDS_MAX, OPEN_FOR_SECONDS_MIN, lock_of, result};
use super::lock_list::{ListArguments, list};
use super::lock_view::{ShowArguments, find, lines, show};
use super::pay::payee;
use super::transaction::prepare;
use crate::amount::WrittenAmount;
use crate::clock;
use crate::failure::{Answer, Failure};
use crate::home::home;
use crate::output::{Output, facts};
use crate::preimage::Preimage;
use crate::send::wall_clock_ms;
use crate::sender::Sender;

/// A claim is not sent any nearer to the deadline.
const CLAIM_MARGIN_MS: u64 = 60_000;
const _: () = assert!(CLAIM_MARGIN_MS >= LOCK_TTL_MS_MIN, "longer than the way into a block");

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
        Without --preimage-file the preimage is asked for, without echo. It is not sent where it does not fit the lock, where the node does\n\
        not prove the lock to the genesis file (--genesis, JIAOZI_GENESIS), nor in the last minute before the deadline: a claim that\n\
        comes to nothing gives the preimage away.")]
    Claim(ClaimArguments),
    /// A lock as the chains of the node have it; exit 1 if they have none.
    #[command(
        after_help = "Examples:\n  jiaozi lock show jzl1…\n  jiaozi lock show jzl1… --proof lock.proof"
    )]
    Show(ShowArguments),
    /// The open locks and offers that name a wallet, oldest first.
    #[command(after_help = "Examples:\n  \
        jiaozi lock list --wallet alice\n  \
        jiaozi lock list --wallet jz1… --limit 500\n\n\
        What the wallet has locked, what is locked for it, and the offers that ask it to pay or would pay it.")]
    List(ListArguments),
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
    /// Believe the node without a proof, and need no genesis file: a node that lies gets the preimage.
    #[arg(long)]
    trust_node: bool,
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
        LockCommand::List(arguments) => list(&arguments, output),
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
    let sent = arguments.act.send(&sender, operation, output).inspect_err(|_| {
        // A node's word that nothing was locked is no proof: without this file the money would be lost to whom it is for.
        if let Some((path, _)) = &made {
            output.note(&kept(path));
        }
    })?;
    let id = lock_of(&sent)?;
    result(&sender, sent, id, output)
}

/// Where the only copy of a preimage is.
fn kept(path: &Path) -> String {
    format!("the preimage is kept in {}: delete it when it is certain that nothing is locked", path.display())
}

fn claim(arguments: &ClaimArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let spec = trusted(arguments)?;
    let sender =
        arguments.act.send.sender(&arguments.to).map_err(|failure| match failure.field.as_deref() {
            Some("--from") => failure.at("--to"),
            _ => failure,
        })?;
    let id = arguments.id;
    let lock = claimable(&sender, id)?;
    if let Some(spec) = &spec {
        let proof = sender.connection.wait(sender.connection.client.lock_proof(sender.terms.chain, id))?;
        check_proved(&proof, spec, sender.terms.chain, &lock)?;
    }
    in_time(&lock, wall_clock_ms())?;
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

/// What the lock is proved with; `None` where the node is to be believed.
fn trusted(arguments: &ClaimArguments) -> Answer<Option<GenesisSpec>> {
    if arguments.trust_node {
        return Ok(None);
    }
    let path = arguments.act.send.genesis.as_deref().ok_or_else(|| {
        Failure::usage(
            "genesis_missing",
            "without a genesis file nothing proves the lock that the node shows",
        )
        .at("--genesis")
        .mend("name it with --genesis or JIAOZI_GENESIS, or believe the node with --trust-node")
    })?;
    super::audit::load_spec(path).map(Some)
}

/// Refuses a lock that the node shows and does not prove, on the chain that is signed for.
fn check_proved(proof: &[u8], spec: &GenesisSpec, chain: ChainId, shown: &LockView) -> Answer {
    let lie = |why: &dyn std::fmt::Display| {
        let message =
            format!("the node does not prove the lock that it shows: {why}; the preimage was not read");
        Failure::refused("lock_unproved", message).at("--node").mend("claim at another bank's node")
    };
    let file = ProofFile::decode(proof).map_err(|fault| lie(&fault))?;
    let proven = file.verify(spec).map_err(|fault| lie(&fault))?;
    let Fact::Lock { record: Record::Lock(lock) } = proven.fact else {
        return Err(lie(&"it proves something else"));
    };
    is_as_shown(proven.chain, &lock, chain, shown).map_err(|why| lie(&why))
}

/// Whether a proved lock is the one that is shown, on that chain, and open; else what is wrong with it.
fn is_as_shown(
    proved_on: ChainId,
    lock: &LockRecord,
    chain: ChainId,
    shown: &LockView,
) -> Result<(), &'static str> {
    let LockKind::Hash { hash } = &lock.kind else { return Err("it is the lock of an exchange") };
    if proved_on != chain || shown.chain != chain.0 {
        return Err("it is on another chain");
    }
    if lock.state != LockState::Open {
        return Err("it holds nothing any more");
    }
    let is_same = (lock.id, lock.deadline.0) == (shown.id, shown.deadline_ms)
        && (lock.payee, lock.amount.fen()) == (shown.locked.payee, shown.locked.amount_fen)
        && shown.hash == Some(const_hex::encode(hash));
    if is_same { Ok(()) } else { Err("the lock of this id says something else") }
}

/// Refuses a lock that is not certified, or whose deadline is too near for a claim that is sent now.
fn in_time(lock: &LockView, now_ms: u64) -> Answer {
    if !lock.is_certified {
        return Err(Failure::refused("lock_not_certified", "the lock is not certified yet")
            .at("ID")
            .mend("claim again in a moment: what is not certified may not be there in the end"));
    }
    if lock.deadline_ms < now_ms.saturating_add(CLAIM_MARGIN_MS) {
        let deadline = clock::told(TimestampMs(lock.deadline_ms));
        let message = format!(
            "the lock runs out at {deadline}: a claim may come too late, and gives the preimage away"
        );
        return Err(Failure::refused("deadline_near", message).at("ID").mend("do not claim it"));
    }
    Ok(())
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
    use api::lock::LockMoment;
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::{Currency, Height, WalletId};

    use super::*;
    use crate::failure::Exit;

    fn locked() -> (LockRecord, LockView) {
        let lock = LockRecord {
            id: LockId([9; 32]),
            payer: WalletId([1; 32]),
            payee: WalletId([2; 32]),
            amount: Amount::from_fen(500),
            deadline: TimestampMs(1_000_000),
            kind: LockKind::Hash { hash: [7; 32] },
            state: LockState::Open,
        };
        let (chain, height, timestamp) = (ChainId(0), Height(7), TimestampMs(1));
        let moment = LockMoment { chain, height, timestamp, is_certified: true };
        let shown = LockView::of_lock(moment, &lock, |_| Some(Currency(*b"CNY"))).unwrap();
        (lock, shown)
    }

    #[test]
    fn a_lock_is_claimed_only_as_it_is_proved() {
        let (lock, shown) = locked();
        let chain = ChainId(0);
        assert_eq!(is_as_shown(chain, &lock, chain, &shown), Ok(()));
        assert!(is_as_shown(ChainId(1), &lock, chain, &shown).is_err(), "proved on another chain");
        assert!(is_as_shown(ChainId(1), &lock, ChainId(1), &shown).is_err(), "shown of another chain");
        let changes: [fn(&mut LockRecord); 6] = [
            |lock| lock.id = LockId([8; 32]),
            |lock| lock.payee = WalletId([3; 32]),
            |lock| lock.amount = Amount::from_fen(5),
            |lock| lock.deadline = TimestampMs(999_999),
            |lock| lock.kind = LockKind::Hash { hash: [8; 32] },
            |lock| lock.state = LockState::Returned { code: 1 },
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = lock.clone();
            change(&mut other);
            assert!(is_as_shown(chain, &other, chain, &shown).is_err(), "{number}");
        }
        let spec = localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap().spec;
        let failure = check_proved(&[7; 40], &spec, chain, &shown).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("lock_unproved", Exit::Refused));
    }

    #[test]
    fn a_claim_that_may_come_too_late_is_not_sent() {
        let (_, mut shown) = locked();
        assert_eq!(in_time(&shown, 1_000_000 - CLAIM_MARGIN_MS), Ok(()));
        assert_eq!(in_time(&shown, 1_000_001 - CLAIM_MARGIN_MS).unwrap_err().code, "deadline_near");
        shown.is_certified = false;
        assert_eq!(in_time(&shown, 0).unwrap_err().code, "lock_not_certified");
    }

    #[test]
    fn where_a_preimage_is_kept_is_told() {
        assert!(kept(Path::new("swap.preimage")).contains("kept in swap.preimage"));
    }

    #[test]
    fn hashes_are_read_whole_or_not_at_all() {
        assert_eq!(hash(&"ff".repeat(32)), Ok([255; 32]));
        for bad in ["", "ff", "0xff", &"ff".repeat(31), &"gg".repeat(32), &"ff".repeat(33)] {
            assert!(hash(bad).is_err(), "{bad}");
        }
    }
}
