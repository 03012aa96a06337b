//! `jiaozi exchange`: money of one currency for money of another, both or neither.
//!
//! Who offers locks the money on its own chain; the chain of the other currency decides. Nobody has to trust the other side: what is
//! accepted is paid there in the same moment, and what is not comes back by itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::lock::{LockMoment, LockRole, LockStateName, LockView};
use clap::{Args, Subcommand};
use ledger::proofs::{Fact, ProofFile};
use ledger::records::{Asked, GenesisSpec, Operation, Record, Registry};
use ledger::rules::lock::{LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN};
use ledger::values::{
    Amount, Canonical as _, ChainId, Currency, LockId, Money, TimestampMs, TransactionId, WalletId,
};
use serde::Serialize;

use super::lock_view::{
    Acted, ShowArguments, arrived, decided, find, hosted, money, records, require, show, terms,
};
use super::pay::payee;
use super::transaction::{prepare, refuse_existing};
use crate::amount::WrittenAmount;
use crate::clock;
use crate::failure::{Answer, Failure};
use crate::home::home;
use crate::keystore::Keystore;
use crate::output::{Output, Show, facts};
use crate::send::{SendOptions, Sent, WAIT_SECONDS, Wait, wall_clock_ms};
use crate::sender::Sender;

/// Shortest and longest time that an offer or a lock stays open: what the ledger allows, with room for the way to a block and for clocks that
/// differ.
pub(super) const OPEN_FOR_SECONDS_MIN: u64 = LOCK_TTL_MS_MIN / 1_000 + 5;
pub(super) const OPEN_FOR_SECONDS_MAX: u64 = LOCK_TTL_MS_MAX / 1_000 - 3_600;
const _: () = assert!(OPEN_FOR_SECONDS_MIN < OPEN_FOR_SECONDS_MAX);
/// After its deadline an offer is undone by its chain, 32 blocks later, and its lock by a receipt.
const DECIDED_AFTER: Duration = Duration::from_secs(120);

/// Arguments of `jiaozi exchange`.
#[derive(Debug, Args)]
pub struct ExchangeArguments {
    #[command(subcommand)]
    command: ExchangeCommand,
}

#[derive(Debug, Subcommand)]
enum ExchangeCommand {
    /// Offer money of one currency for money of another.
    #[command(after_help = "Examples:\n  \
        jiaozi exchange offer --from alice --to jz1… --amount 100 --ask \"110 HKD\" --ask-from jz1… --ask-to alice-hkd\n  \
        jiaozi exchange offer --from alice --to bob --amount 100 --ask 110HKD --ask-from bob-hkd --ask-to alice-hkd \\\n    \
        --open-for 600 --wait certified\n\n\
        The amount is locked at once. It goes to --to when --ask-from accepts, which pays --ask-to in the same moment; declined,\n\
        withdrawn or not accepted in time, it comes back. The command waits for that and fails (exit 1) unless it is settled;\n\
        with --wait certified it ends when the money is locked. The other side needs the id that is printed.")]
    Offer(OfferArguments),
    /// Accept an offer and pay what it asks for.
    #[command(after_help = "Examples:\n  \
        jiaozi exchange accept jzl1… --from bob-hkd\n  \
        jiaozi exchange accept jzl1… --from bob-hkd --to jz1… --yes\n\n\
        Shows what would be paid and received. Without --yes nothing is signed, and nothing where the wallet that receives is neither in\n\
        the keystore nor named. With a genesis file (--genesis, JIAOZI_GENESIS) the node must prove what it shows.")]
    Accept(AcceptArguments),
    /// Decline an offer, as who was asked to pay.
    #[command(after_help = "Examples:\n  jiaozi exchange decline jzl1… --from bob-hkd")]
    Decline(DecideArguments),
    /// Withdraw an offer, as who made it; it may be accepted before the word arrives.
    #[command(after_help = "Examples:\n  jiaozi exchange withdraw jzl1… --from alice")]
    Withdraw(DecideArguments),
    /// An exchange as the chains of the node have it; exit 1 if they have none.
    #[command(
        after_help = "Examples:\n  jiaozi exchange show jzl1…\n  jiaozi exchange show jzl1… --chain 1 --proof offer.proof"
    )]
    Show(ShowArguments),
}

#[derive(Debug, Args)]
struct OfferArguments {
    /// The wallet that gives, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// The wallet that gets it, in the same currency: its id, or its name in the keystore.
    #[arg(long, value_name = "WALLET")]
    to: String,
    /// How much is given, such as 100 or "100 CNY".
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    amount: WrittenAmount,
    #[command(flatten)]
    ask: AskOptions,
    /// How long the offer stays open.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(OPEN_FOR_SECONDS_MIN..=OPEN_FOR_SECONDS_MAX))]
    open_for: u64,
    #[command(flatten)]
    act: ActOptions,
}

/// What is asked for in return.
#[derive(Debug, Args)]
struct AskOptions {
    /// How much is asked in return, with its currency, such as "110 HKD".
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    ask: WrittenAmount,
    /// The wallet that is to pay it: its id, or its name in the keystore. It accepts or declines.
    #[arg(long, value_name = "WALLET")]
    ask_from: String,
    /// The wallet that is to get it: its id, or its name in the keystore.
    #[arg(long, value_name = "WALLET")]
    ask_to: String,
    /// The chain where it is to be paid, where operators' own wallets do not tell it.
    #[arg(long, value_name = "ID")]
    ask_chain: Option<u32>,
}

#[derive(Debug, Args)]
struct AcceptArguments {
    /// The exchange: a text that starts with jzl1.
    id: LockId,
    /// The wallet that was asked to pay, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// The wallet that is to receive: its id, or its name in the keystore. It may be left out where the keystore has it.
    #[arg(long, value_name = "WALLET")]
    to: Option<String>,
    /// Sign what is shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    act: ActOptions,
}

#[derive(Debug, Args)]
struct DecideArguments {
    /// The exchange: a text that starts with jzl1.
    id: LockId,
    /// The wallet that signs, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    #[command(flatten)]
    act: ActOptions,
}

/// How an operation about a lock is signed and sent.
#[derive(Debug, Args)]
pub(super) struct ActOptions {
    /// Write the transaction into this new file, for several people to sign, instead of signing and submitting it.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) send: SendOptions,
}

impl ActOptions {
    /// Refuses a file that is there already, before anything else is done.
    pub(super) fn check(&self) -> Answer {
        self.out.as_deref().map_or(Ok(()), refuse_existing)
    }

    /// Signs, submits, and waits for the certificate, or for what else was asked that does not depend on anybody's decision.
    pub(super) fn send(&self, sender: &Sender, operation: Operation, output: Output) -> Answer<Sent> {
        let mut send = self.send.clone();
        if send.wait.wait == Wait::Settled {
            send.wait.wait = Wait::Certified;
        }
        send.send(sender, operation, output)
    }

    /// Until when the decision is waited for, that comes at `at` at the latest; `None` where it is not.
    fn decision(&self, at: Duration) -> Option<Instant> {
        let seconds = self.send.wait.timeout.map(Duration::from_secs);
        (self.send.wait.wait == Wait::Settled).then(|| Instant::now() + seconds.unwrap_or(at))
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]; exit 1 where the exchange ends otherwise than the command wants.
pub fn run(arguments: ExchangeArguments, output: Output) -> Answer {
    match arguments.command {
        ExchangeCommand::Offer(arguments) => offer(&arguments, output),
        ExchangeCommand::Accept(arguments) => accept(&arguments, output),
        ExchangeCommand::Decline(arguments) => decline(&arguments, output),
        ExchangeCommand::Withdraw(arguments) => withdraw(&arguments, output),
        ExchangeCommand::Show(arguments) => show(&arguments, output),
    }
}

impl AskOptions {
    /// The currency, which must be written.
    fn currency(&self) -> Answer<Currency> {
        self.ask.currency.ok_or_else(|| {
            Failure::usage("currency_missing", "what is asked has no currency")
                .at("--ask")
                .mend("write it with its currency: --ask \"110 HKD\"")
        })
    }

    /// Who is to pay and who is to be paid.
    fn parties(&self, keystore: &Keystore) -> Answer<(WalletId, WalletId)> {
        let currency = Some(self.currency()?);
        let payer = payee(&self.ask_from, keystore, currency).map_err(|failure| failure.at("--ask-from"))?;
        let to = payee(&self.ask_to, keystore, currency).map_err(|failure| failure.at("--ask-to"))?;
        Ok((payer, to))
    }

    /// The chain that decides, and what is asked there.
    fn asked(&self, sender: &Sender) -> Answer<(ChainId, Asked)> {
        let currency = self.currency()?;
        if currency == sender.terms.currency {
            return Err(Failure::usage("same_currency", format_args!("both amounts are in {currency}"))
                .at("--ask")
                .mend("an exchange is between two currencies; within one: jiaozi pay"));
        }
        let (payer, to) = self.parties(&sender.keystore)?;
        let chain = home(&sender.network, currency, payer, self.ask_chain).map_err(at_ask_chain)?;
        // Both are at home on the deciding chain: it pays one from the other in one step.
        home(&sender.network, currency, to, Some(chain.0)).map_err(|failure| {
            failure.at("--ask-to").mend(format!("name a wallet of chain {chain}, where the payer is"))
        })?;
        let amount = self.ask.in_currency(currency).map_err(|failure| failure.at("--ask"))?;
        Ok((chain, Asked { payer, payee: to, amount }))
    }
}

/// The option that says the chain is another one here.
fn at_ask_chain(failure: Failure) -> Failure {
    match failure.field.as_deref() {
        Some("--chain") => failure.at("--ask-chain").mend("say which with --ask-chain"),
        _ => failure.at("--ask"),
    }
}

fn offer(arguments: &OfferArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let send = &arguments.act.send;
    let keystore = send.keystore.open()?;
    // A wrong name is told before a node is asked.
    payee(&arguments.to, &keystore, None)?;
    arguments.ask.parties(&keystore)?;
    let sender = send.sender_in(&arguments.from, arguments.amount.currency)?;
    let currency = sender.terms.currency;
    let amount = arguments.amount.in_currency(currency)?;
    let to = payee(&arguments.to, &keystore, Some(currency))?;
    home(&sender.network, currency, to, Some(sender.terms.chain.0)).map_err(|failure| {
        let mend = format!("name a wallet of chain {}, where the giving one is", sender.terms.chain);
        failure.at("--to").mend(mend)
    })?;
    let (chain, asked) = arguments.ask.asked(&sender)?;
    let deadline = TimestampMs(wall_clock_ms().saturating_add(arguments.open_for.saturating_mul(1_000)));
    let operation = Operation::Exchange { payee: to, amount, chain, asked, deadline };
    if let Some(out) = &arguments.act.out {
        return prepare(&sender, operation, out, output);
    }
    let from = sender.entry.wallet_id()?;
    let ask_currency = arguments.ask.currency()?;
    let side = |money: Money, payer: WalletId, payee: WalletId, chain: ChainId| {
        format!("{money} from {payer} to {payee} on chain {chain}")
    };
    output.note(&facts(&[
        ("gives", side(Money { amount, currency }, from, to, sender.terms.chain)),
        (
            "asks",
            side(Money { amount: asked.amount, currency: ask_currency }, asked.payer, asked.payee, chain),
        ),
        ("deadline", clock::told(deadline)),
    ]));
    let open_for = Duration::from_secs(arguments.open_for);
    let sent = arguments.act.send(&sender, operation, output)?;
    let id = lock_of(&sent)?;
    output.note(&format!("locked {id}\nthe other side answers with: jiaozi exchange accept {id}"));
    if let Some(until) = arguments.act.decision(open_for + DECIDED_AFTER) {
        let chain = sent.chain.unwrap_or(sender.terms.chain);
        let lock = decided(&sender.connection, chain, id, until, output)?;
        require(&lock, true)?;
    }
    result(&sender, sent, id, output)
}

/// The lock that a transaction makes.
pub(super) fn lock_of(sent: &Sent) -> Answer<LockId> {
    sent.id
        .parse::<TransactionId>()
        .map(LockId::of)
        .map_err(|fault| Failure::refused("transaction_id", fault))
}

/// Shows what was sent, and what the node's chains have of the exchange now.
pub(super) fn result(sender: &Sender, sent: Sent, id: LockId, output: Output) -> Answer {
    // Not waited for, it may not be there yet; and what was done is told in any case.
    let records = records(&sender.connection, id, None).unwrap_or_default();
    output.result(&Acted { sent, lock: id.to_string(), records })
}

/// The offer under an id on the chain of the wallet that acts, which must be the one that it asks, and open. It may still be on its way:
/// then it is waited for.
fn own_offer(sender: &Sender, id: LockId, act: &ActOptions, output: Output) -> Answer<LockView> {
    let chain = sender.terms.chain;
    let seconds = act.send.wait.timeout.unwrap_or(WAIT_SECONDS);
    let offer =
        arrived(&sender.connection, chain, id, Instant::now() + Duration::from_secs(seconds), output)?;
    if offer.role != LockRole::Offer {
        return Err(Failure::refused("not_an_offer", format_args!("{id} is no offer on chain {chain}"))
            .at("ID")
            .mend("an offer is accepted or declined on the chain of what it asks for; see: jiaozi exchange show"));
    }
    let asked = offer.asked.as_ref().map(|asked| asked.payer);
    let own = sender.entry.wallet_id()?;
    if asked != Some(own) {
        let asked = asked.map(|asked| asked.to_string()).unwrap_or_default();
        return Err(Failure::refused("not_asked", format_args!("the offer asks {asked}, not {own}"))
            .at("--from")
            .mend("sign with the wallet that is asked"));
    }
    if offer.state != LockStateName::Open {
        return Err(over(&offer));
    }
    if let Some(path) = &act.send.genesis {
        let proof = sender.connection.wait(sender.connection.client.lock_proof(chain, id))?;
        let spec = super::audit::load_spec(path)?;
        let registry = proved_registry(sender, &spec, chain, &offer)?;
        let currency = |chain: ChainId| {
            let added = || registry.as_ref().and_then(|registry| registry.currency(chain));
            spec.currency(chain).or_else(added)
        };
        check_shown(&proof, &spec, chain, &offer, currency)?;
    }
    Ok(offer)
}

/// The registry of a chain with its proof checked, where an offer names a chain that genesis does not: it tells that one's currency.
fn proved_registry(
    sender: &Sender,
    spec: &GenesisSpec,
    chain: ChainId,
    offer: &LockView,
) -> Answer<Option<Registry>> {
    let mut named = [Some(&offer.locked), offer.asked.as_ref()].into_iter().flatten();
    if named.all(|side| spec.currency(ChainId(side.chain)).is_some()) {
        return Ok(None);
    }
    Ok(Some(super::gov::registry(&sender.connection, spec, chain)?.registry))
}

/// Refuses what a node shows of an offer where the proof says something else, or is one of another chain than that which is signed for.
fn check_shown(
    proof: &[u8],
    spec: &GenesisSpec,
    signed_for: ChainId,
    shown: &LockView,
    currency: impl Fn(ChainId) -> Option<Currency>,
) -> Answer {
    let lie = |why: &dyn std::fmt::Display| {
        Failure::refused(
            "offer_unproved",
            format_args!("the node does not prove the offer that it shows: {why}"),
        )
        .at("--node")
        .mend("sign nothing; ask another bank's node")
    };
    let file = ProofFile::decode(proof).map_err(|fault| lie(&fault))?;
    let proven = file.verify(spec).map_err(|fault| lie(&fault))?;
    let (chain, height) = (proven.chain, proven.height);
    if chain != signed_for {
        return Err(lie(&format_args!("it proves something of chain {chain}, not of chain {signed_for}")));
    }
    let Fact::Lock { record: Record::Offer(offer) } = proven.fact else {
        return Err(lie(&"it proves something else"));
    };
    let moment = LockMoment { chain, height, timestamp: TimestampMs(shown.timestamp_ms), is_certified: true };
    let proven = LockView::of_offer(moment, &offer, currency)
        .ok_or_else(|| lie(&"the offer names a chain that nothing proved tells the currency of"))?;
    let is_same = (proven.id, proven.chain, proven.deadline_ms) == (shown.id, shown.chain, shown.deadline_ms)
        && (&proven.locked, &proven.asked) == (&shown.locked, &shown.asked);
    if is_same { Ok(()) } else { Err(lie(&"the offer of this id says something else")) }
}

/// The wallet that gets what an offer gives: one that is named, else one of the keystore.
fn receiver(named: Option<&str>, keystore: &Keystore, offer: &LockView) -> Answer<WalletId> {
    let (to, currency) = (offer.locked.payee, offer.locked.currency);
    if let Some(named) = named {
        let named = payee(named, keystore, Some(currency)).map_err(|failure| failure.at("--to"))?;
        return if named == to {
            Ok(to)
        } else {
            let message = format!("the offer gives its money to {to}, not to {named}");
            Err(Failure::refused("receiver_other", message)
                .at("--to")
                .mend("sign nothing; decline the offer"))
        };
    }
    for entry in keystore.list()? {
        let entry = if entry.operator.is_some() { entry.in_currency(currency)? } else { entry };
        if entry.wallet_id()? == to {
            return Ok(to);
        }
    }
    let message = format!("the offer gives its money to {to}, which is no wallet of this keystore");
    Err(Failure::refused("receiver_unknown", message)
        .at("--to")
        .mend("decline the offer, or name that wallet with --to if it is the one that you want to be paid"))
}

/// Why nothing can be decided any more.
fn over(record: &LockView) -> Failure {
    let why = record.decision.as_ref().map(|decision| decision.message.clone()).unwrap_or_default();
    Failure::refused("decided", format_args!("{} was decided before: {why}", record.id))
        .at("ID")
        .mend("look at both sides with: jiaozi exchange show")
}

fn accept(arguments: &AcceptArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let sender = arguments.act.send.sender(&arguments.from)?;
    let id = arguments.id;
    let offer = own_offer(&sender, id, &arguments.act, output)?;
    let Some(asked) = offer.asked.clone() else { return Err(over(&offer)) };
    let (amount, receives) = (Amount::from_fen(asked.amount_fen), Amount::from_fen(offer.locked.amount_fen));
    let to = receiver(arguments.to.as_deref(), &sender.keystore, &offer)?;
    let source = ChainId(offer.locked.chain);
    let operation = Operation::Accept { offer: id, payee: asked.payee, amount, receives, source, to };
    if let Some(out) = &arguments.act.out {
        return prepare(&sender, operation, out, output);
    }
    if !arguments.yes {
        output.result(&Terms(offer))?;
        return Err(Failure::usage("not_signed", "nothing was signed")
            .at("--yes")
            .mend("look at the offer above; if it is what you want, repeat the command with --yes"));
    }
    output.note(&Terms(offer).text());
    let sent = arguments.act.send(&sender, operation, output)?;
    // That it is accepted is certain here; the lock follows where a node carries the word.
    if let Some(until) = arguments.act.decision(Duration::from_secs(WAIT_SECONDS))
        && hosted(&sender.connection)?.contains(&source)
    {
        require(&decided(&sender.connection, source, id, until, output)?, true)?;
    }
    result(&sender, sent, id, output)
}

/// What an offer gives and asks, before it is signed.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Terms(LockView);

impl Show for Terms {
    fn text(&self) -> String {
        let locked = &self.0.locked;
        let (given, to, chain) = (money(locked), locked.payee, locked.chain);
        format!("{}\nyou receive {given} to {to} on chain {chain}", facts(&terms(&self.0)))
    }
}

fn decline(arguments: &DecideArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let sender = arguments.act.send.sender(&arguments.from)?;
    own_offer(&sender, arguments.id, &arguments.act, output)?;
    let operation = Operation::Decline { offer: arguments.id };
    if let Some(out) = &arguments.act.out {
        return prepare(&sender, operation, out, output);
    }
    let sent = arguments.act.send(&sender, operation, output)?;
    result(&sender, sent, arguments.id, output)
}

fn withdraw(arguments: &DecideArguments, output: Output) -> Answer {
    arguments.act.check()?;
    let sender = arguments.act.send.sender(&arguments.from)?;
    let id = arguments.id;
    let lock = find(&sender.connection, id, Some(sender.terms.chain))?;
    if let Some(over_already) = lock.iter().find(|record| record.state != LockStateName::Open) {
        return Err(over(over_already));
    }
    let operation = Operation::Withdraw { lock: id };
    if let Some(out) = &arguments.act.out {
        return prepare(&sender, operation, out, output);
    }
    let sent = arguments.act.send(&sender, operation, output)?;
    if let Some(until) = arguments.act.decision(Duration::from_secs(WAIT_SECONDS)) {
        require(&decided(&sender.connection, sender.terms.chain, id, until, output)?, false)?;
    }
    result(&sender, sent, id, output)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::{OfferRecord, OfferState};
    use ledger::values::Height;

    use super::*;
    use crate::failure::Exit;
    use crate::keystore::KeystoreOptions;

    #[test]
    fn an_offer_that_is_shown_without_proof_is_not_signed() {
        let spec = localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap().spec;
        let (here, there) = (WalletId([1; 32]), WalletId([2; 32]));
        let offer = OfferRecord {
            id: LockId([9; 32]),
            source: ChainId(0),
            payer: here,
            payee: there,
            amount: Amount::from_fen(5),
            asked: Asked { payer: there, payee: here, amount: Amount::from_fen(6) },
            deadline: TimestampMs(1_000),
            state: OfferState::Open,
        };
        let (chain, height, timestamp) = (ChainId(1), Height(7), TimestampMs(1));
        let moment = LockMoment { chain, height, timestamp, is_certified: true };
        let shown = LockView::of_offer(moment, &offer, |_| Some(Currency(*b"CNY"))).unwrap();
        let failure = check_shown(&[7; 40], &spec, chain, &shown, |chain| spec.currency(chain)).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("offer_unproved", Exit::Refused));
        assert!(failure.mend.starts_with("sign nothing"), "{failure:?}");
        assert_eq!(require(&shown, true), Ok(()), "nothing is decided");
        assert_eq!(over(&shown).code, "decided");
    }

    #[test]
    fn what_an_offer_gives_goes_to_a_wallet_that_is_meant() {
        let directory = tempfile::tempdir().unwrap();
        let keystore = KeystoreOptions { keystore: Some(directory.path().to_owned()) }.open().unwrap();
        let (to, other) = (WalletId([2; 32]), WalletId([3; 32]));
        let offer = OfferRecord {
            id: LockId([9; 32]),
            source: ChainId(0),
            payer: WalletId([1; 32]),
            payee: to,
            amount: Amount::from_fen(500),
            asked: Asked { payer: other, payee: WalletId([4; 32]), amount: Amount::from_fen(6) },
            deadline: TimestampMs(1_000),
            state: OfferState::Open,
        };
        let moment = LockMoment {
            chain: ChainId(1),
            height: Height(7),
            timestamp: TimestampMs(1),
            is_certified: true,
        };
        let shown = LockView::of_offer(moment, &offer, |_| Some(Currency(*b"CNY"))).unwrap();
        let failure = receiver(None, &keystore, &shown).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.field.as_deref()), ("receiver_unknown", Some("--to")));
        let failure = receiver(Some(&other.to_string()), &keystore, &shown).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("receiver_other", Exit::Refused));
        assert_eq!(receiver(Some(&to.to_string()), &keystore, &shown), Ok(to));
        let text = Terms(shown).text();
        assert!(text.ends_with(&format!("\nyou receive 5.00 CNY to {to} on chain 0")), "{text}");
    }

    #[test]
    fn the_chain_of_what_is_asked_has_an_option_of_its_own() {
        let failure = at_ask_chain(Failure::usage("chain_needed", "of several").at("--chain"));
        assert_eq!(
            (failure.field.as_deref(), failure.mend.contains("--ask-chain")),
            (Some("--ask-chain"), true)
        );
        let failure = at_ask_chain(Failure::usage("currency_unknown", "no USD").at("--currency"));
        assert_eq!(failure.field.as_deref(), Some("--ask"));
    }
}
