//! From an operation to a certified outcome: the nonce is reserved on disk, the fee bid, the transaction signed and submitted, and
//! its outcome waited for.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::leg::{LegState, LegView};
use api::transaction::WaitFor;
use api::{ApiError, SubmitStatus, TransactionState, TransactionStatus};
use clap::{Args, ValueEnum};
use ledger::records::{Operation, Transaction};
use ledger::values::{Amount, ChainId, Currency, GenesisHash, Money, TransactionId, WalletId};
use serde::Serialize;
use wallet::{NonceError, PartialError};

use crate::connection::{Connection, NodeOptions, Terms};
use crate::failure::{Answer, Exit, Failure};
use crate::fee::FeeOption;
use crate::home::{CurrencyOption, currency_of, home, no_such_currency};
use crate::keystore::KeystoreOptions;
use crate::output::{Output, Show, facts};
use crate::secret::PassphraseOptions;
use crate::sender::{Sender, is_moved};

/// Longest life that a command gives a transaction.
const VALID_FOR_SECONDS_MAX: u64 = 86_400;

/// How long is waited where nobody says.
pub const WAIT_SECONDS: u64 = 30;

/// Who sends, through which node, and what is waited for.
#[derive(Debug, Clone, Args)]
pub struct SendOptions {
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    #[command(flatten)]
    pub(crate) currency: CurrencyOption,
    #[command(flatten)]
    pub(crate) keystore: KeystoreOptions,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseOptions,
    /// Genesis file of the network that is meant; the node must be of it.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    pub(crate) genesis: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wait: WaitOptions,
    /// How long the transaction may wait to be executed.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=VALID_FOR_SECONDS_MAX))]
    pub(crate) valid_for: u64,
    /// Nonce lane; payments in different lanes do not wait for each other.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) lane: u16,
    #[command(flatten)]
    pub(crate) fee: FeeOption,
}

/// What is waited for.
#[derive(Debug, Clone, Args)]
pub struct WaitOptions {
    /// What to wait for. A final outcome is the node's word, a certified one is proved; settled is a payment whose payees on
    /// other chains have their money too, or an exchange that is decided.
    #[arg(long, value_name = "WHAT", default_value = "settled")]
    pub(crate) wait: Wait,
    /// How long to wait: 30 seconds unless said, and until its deadline for the answer to an offer.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    #[command(flatten)]
    pub(crate) legs: LegOptions,
}

/// Who is asked for payees on chains that the node does not host.
#[derive(Debug, Clone, Default, Args)]
pub struct LegOptions {
    /// Another node, which is asked where the money for payees is whose chains the first node does not host.
    #[arg(long, value_name = "URL")]
    pub(crate) legs_node: Option<String>,
    /// File with the client token for that node: it is not shown the token of the first one.
    #[arg(long, value_name = "FILE", requires = "legs_node")]
    pub(crate) legs_token_file: Option<PathBuf>,
}

impl LegOptions {
    /// Asks the other node, if one is named, for what the first one does not see; again and again until that is over, or it is `until`.
    /// One that does not answer is asked again too. At least one look is waited for, `LEGS_LOOK_MAX` long.
    ///
    /// # Errors
    /// [`Failure`] when that node cannot be used; it says what is known of the payment all the same.
    pub fn follow(&self, connection: &Connection, status: &mut TransactionStatus, until: Instant) -> Answer {
        let Some(node) = &self.legs_node else { return Ok(()) };
        let is_open =
            |status: &TransactionStatus| status.legs.iter().any(|leg| leg.ask.is_some() && !leg.is_over());
        if !is_open(status) {
            return Ok(());
        }
        let other =
            connection.other(node, self.legs_token_file.as_deref()).map_err(|fault| unseen(status, fault))?;
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(LEGS_LOOK_MAX);
            let looked = connection.within(left, other.follow_legs(status));
            let is_last = Instant::now() + LEGS_PAUSE > until;
            match looked {
                Err(failure) if is_last || failure.exit != Exit::Unreachable => {
                    return Err(unseen(status, failure));
                }
                Ok(()) if is_last || !is_open(status) => return Ok(()),
                Ok(()) | Err(_) => std::thread::sleep(LEGS_PAUSE),
            }
        }
    }
}

/// The node of the legs is of no use: nothing is wrong with the payment, which must not look as if it were to be made again.
fn unseen(status: &TransactionStatus, failure: Failure) -> Failure {
    let id = status.id;
    let message = format!(
        "transaction {id} is {}; where its payees' money is was not seen: {}",
        state_name(status.status),
        failure.message
    );
    let mend =
        format!("do not send it again; look with `jiaozi tx show {id} --legs-node URL`; {}", failure.mend);
    Failure { message, ..failure }.at("--legs-node").mend(mend)
}

/// Longest wait for one look at legs on the other node where no time is left.
const LEGS_LOOK_MAX: Duration = Duration::from_secs(10);
/// Pause between two looks at legs on the other node.
const LEGS_PAUSE: Duration = Duration::from_millis(300);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// Certified, and so is the credit, or the refund, of every payee on another chain, and the decision of an exchange.
    Settled,
    /// The outcome is under a quorum's certificate.
    Certified,
    /// The position cannot change any more.
    Final,
    /// Only that the node took it in.
    None,
}

/// A transaction as it was sent, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// The wallet that acted.
    pub wallet: String,
    /// Where it stands.
    pub status: TransactionState,
    /// The block that ordered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// What execution made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What was charged, in fen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_fen: Option<u64>,
    /// Payments whose payees are at home on other chains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<LegView>,
    /// That the wallet had moved, and this was signed for the chain where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_anew: Option<SignedAnew>,
    /// The chain that it is on, where that is known.
    #[serde(skip)]
    pub chain: Option<ChainId>,
    /// What the fee is in, where that is known.
    #[serde(skip)]
    pub currency: Option<Currency>,
}

/// A wallet had moved to another chain while its transaction was signed or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedAnew {
    /// The chain that it has left.
    pub from: u32,
    /// The chain that was signed for instead.
    pub to: u32,
    /// The transaction that was signed first and can never be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<String>,
}

impl SignedAnew {
    /// In words.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let Self { from, to, dead } = self;
        let mut lines =
            vec![("signed anew", format!("for chain {to}: the wallet has moved there from chain {from}"))];
        lines.extend(dead.as_ref().map(|dead| {
            let why = format!("can never be executed: chain {from} has closed the wallet's nonces for good");
            ("dead", format!("{dead} {why} (proof: jiaozi wallet show --chain {from} --proof FILE)"))
        }));
        lines
    }
}

impl Show for Sent {
    fn text(&self) -> String {
        let height = self.height.map(|height| format!(" at height {height}")).unwrap_or_default();
        let status = match self.status {
            TransactionState::Pending | TransactionState::Unknown => "accepted; not waited for".to_owned(),
            status => format!("{}{height}", state_name(status)),
        };
        let mut lines =
            vec![("transaction", self.id.clone()), ("wallet", self.wallet.clone()), ("status", status)];
        lines.extend(self.outcome.clone().map(|outcome| ("outcome", outcome)));
        lines.extend(charged(self.fee_fen, self.currency).map(|fee| ("fee", fee)));
        lines.extend(self.legs.iter().map(leg_line));
        lines.extend(self.signed_anew.iter().flat_map(SignedAnew::lines));
        facts(&lines)
    }
}

/// What was charged, in words; nothing of what was free.
#[must_use]
pub fn charged(fee_fen: Option<u64>, currency: Option<Currency>) -> Option<String> {
    let fee = fee_fen.filter(|fee| *fee > 0).map(Amount::from_fen)?;
    Some(currency.map_or_else(|| fee.to_string(), |currency| Money { amount: fee, currency }.to_string()))
}

/// Where the money for a payee on another chain is, in words.
#[must_use]
pub fn leg_line(leg: &LegView) -> (&'static str, String) {
    let payee = leg.payee;
    let chain = leg.sent_on.last().map_or(leg.chain, |hop| hop.chain);
    let amount = Money::from_fen(leg.amount_fen, leg.currency);
    let why = leg.refusal.as_ref().map(|why| format!(": {} ({} {})", why.message, why.code, why.name));
    if let (LegState::Debited, Some(hosts), Some(last)) = (leg.status, &leg.ask, leg.last()) {
        let (what, on) =
            if leg.refund.is_some() { ("comes back", "is") } else { ("not seen here", "goes on") };
        return (what, format!("{amount} for {payee} {on} under {}: {hosts}", last.receipt));
    }
    match (leg.status, &why) {
        (LegState::Debited, None) => {
            ("goes on", format!("to chain {chain}, where {payee} is credited by a receipt"))
        }
        (LegState::Debited, Some(why)) => ("comes back", format!("{amount} from chain {chain}{why}")),
        (LegState::Credited, _) => ("credited", format!("{amount} to {payee} on chain {chain}")),
        (LegState::Refunded, why) => {
            let why = why.as_deref().unwrap_or_default();
            ("refunded", format!("{amount} for {payee} on chain {chain}{why}"))
        }
    }
}

/// A state in words.
#[must_use]
pub const fn state_name(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Unknown => "unknown",
        TransactionState::Pending => "pending",
        TransactionState::NotExecuted => "not executed",
        TransactionState::Final => "final",
        TransactionState::Certified => "certified",
        TransactionState::Expired => "expired",
    }
}

impl SendOptions {
    /// The wallet `name`, ready to act where it is at home. Nothing secret is read yet.
    ///
    /// # Errors
    /// [`Failure`] when there is no such wallet or node, they are of different networks, or the chain must be named.
    pub fn sender(&self, name: &str) -> Answer<Sender> {
        self.sender_in(name, None)
    }

    /// The same where an amount or another wallet says the currency that is `meant`: an operator's own wallet is in all of them.
    ///
    /// # Errors
    /// As [`SendOptions::sender`].
    pub fn sender_in(&self, name: &str, meant: Option<Currency>) -> Answer<Sender> {
        let sender = self.sender_anywhere(name, meant)?;
        let (currency, wallet) = (sender.terms.currency, sender.entry.wallet_id()?);
        let chain = home(&sender.network, currency, wallet, self.node.chain)?;
        sender.on(chain).where_it_is()
    }

    /// The same on the first chain of its currency: an operator's own wallet is on all of them, and the caller chooses with
    /// [`Sender::on`]. `meant` is the currency where the command line names none.
    ///
    /// # Errors
    /// [`Failure`] when there is no such wallet, currency or node, or they are of different networks.
    pub fn sender_anywhere(&self, name: &str, meant: Option<Currency>) -> Answer<Sender> {
        let keystore = self.keystore.open()?;
        let entry = keystore.find(name).map_err(|failure| failure.at("--from"))?;
        let connection = self.node.connect()?;
        let network = connection.network(expected_genesis(self.genesis.as_deref())?)?;
        entry.require_network(network.genesis_hash)?;
        // Everybody else's wallet is in one currency, whatever was meant.
        let named = self.currency.currency.or(meant.filter(|_| entry.operator.is_some()));
        let currency = currency_of(&network, &entry, named, self.node.chain)?;
        let first = network.shards(currency).first().copied();
        let chain = first.ok_or_else(|| no_such_currency(&network, currency))?;
        let terms = Terms { genesis: network.genesis_hash, chain, currency };
        let entry = entry.in_currency(currency)?;
        Ok(Sender {
            valid_for_ms: self.valid_for * 1_000,
            lane: self.lane,
            fee: self.fee.fee,
            ..Sender::new(connection, network, terms, keystore, entry)
        })
    }

    /// Signs one operation with the wallet's own key, submits it and waits. Where the wallet turns out to have moved, it is signed anew for
    /// the chain where it is, once, and under the same nonce: nonces move with their wallet, so at most one of the two is ever applied,
    /// also where the node that spoke of a move was wrong.
    ///
    /// # Errors
    /// [`Failure`]: refused at submission, rejected by execution, or not certified in time.
    pub fn send(&self, sender: &Sender, operation: Operation, output: Output) -> Answer<Sent> {
        let secret = sender.keystore.secret(&sender.entry, &self.passphrase.read()?)?;
        let (dead, moved) = match sender.sign(operation.clone(), &secret, output) {
            Ok(transaction) => match sender.submit(&transaction, &self.wait, output) {
                Err(failure) if is_moved(&failure) => (Some(transaction), failure),
                done => return done,
            },
            Err(failure) if is_moved(&failure) => (None, failure),
            Err(failure) => return Err(failure),
        };
        let to = sender.moved_to(dead.as_ref(), moved)?;
        let nonce = dead.as_ref().map(|dead| dead.content.nonce);
        let signed_anew = SignedAnew {
            from: sender.terms.chain.0,
            to: to.0,
            dead: dead.map(|dead| dead.id(sender.terms.genesis).to_string()),
        };
        output.note(&facts(&signed_anew.lines()));
        let transaction = sender.sign_on(to, nonce, operation, &secret, output)?;
        let sent = sender.submit(&transaction, &self.wait, output)?;
        Ok(Sent { signed_anew: Some(signed_anew), ..sent })
    }
}

/// The genesis hash of a file.
///
/// # Errors
/// [`Failure`] when the file is no genesis.
pub fn expected_genesis(path: Option<&std::path::Path>) -> Answer<Option<GenesisHash>> {
    let Some(path) = path else { return Ok(None) };
    let hash = genesis::GenesisFile::load(path).and_then(|file| file.hash());
    hash.map(Some).map_err(|fault| crate::commands::genesis::failure(fault).at("--genesis"))
}

/// Submits a transaction and waits as asked.
///
/// # Errors
/// [`Failure`]: refused at submission, rejected by execution, or not there in time.
pub fn submit(
    connection: &Connection,
    transaction: &Transaction,
    id: TransactionId,
    options: &WaitOptions,
    output: Output,
) -> Answer<Sent> {
    let answer = connection.wait(connection.client.submit(transaction))?;
    if answer.status == SubmitStatus::Refused {
        let refusal =
            answer.error.map_or_else(|| Failure::refused("refused", "the node refused it"), Failure::from);
        return Err(refusal);
    }
    let wallet = transaction.content.wallet;
    if options.wait == Wait::None {
        return Ok(sent(
            id,
            Some(wallet),
            TransactionStatus::without_position(id, TransactionState::Pending, None),
        ));
    }
    output.note(&format!("submitted {id}"));
    let status = wait(connection, id, options)?;
    outcome(&status)?;
    Ok(sent(id, Some(wallet), status))
}

/// Waits until a transaction is settled, certified or final.
///
/// # Errors
/// [`Failure`] when it is not there in time.
pub fn wait(connection: &Connection, id: TransactionId, options: &WaitOptions) -> Answer<TransactionStatus> {
    let what = match options.wait {
        Wait::Settled => WaitFor::Settled,
        Wait::Certified => WaitFor::Certified,
        Wait::Final | Wait::None => WaitFor::Final,
    };
    let timeout = Duration::from_secs(options.timeout.unwrap_or(WAIT_SECONDS));
    let until = Instant::now() + timeout;
    let mut status = connection.wait(connection.client.wait_for(id, what, timeout))?;
    if options.wait == Wait::Settled {
        options.legs.follow(connection, &mut status, until)?;
    }
    Ok(status)
}

/// Refuses what was not applied.
///
/// # Errors
/// [`Failure`] with the ledger's code, field and mend.
pub fn outcome(status: &TransactionStatus) -> Answer {
    if let Some(outcome) = &status.outcome {
        if outcome.is_applied {
            return refunded(status);
        }
        let known = ledger::records::Rejection::from_code(outcome.code).map(ApiError::from);
        let failure =
            known.map_or_else(|| Failure::refused(outcome.name.clone(), &outcome.message), Failure::from);
        let fee = charged(status.fee_fen, status.currency);
        let fee = fee.map(|fee| format!("; its fee of {fee} was charged all the same")).unwrap_or_default();
        return Err(Failure { message: format!("rejected: {}{fee}", failure.message), ..failure });
    }
    match (&status.error, status.status) {
        (Some(error), _) => Err(Failure::from(error.clone())),
        (None, TransactionState::Expired) => Err(Failure::refused(
            "expired",
            format_args!("transaction {} expired without an outcome", status.id),
        )
        .mend("it can never be executed; send anew")),
        _ => Ok(()),
    }
}

/// Refuses a payment of which something came back: the payee does not have it.
fn refunded(status: &TransactionStatus) -> Answer {
    let back: Vec<&LegView> = status.legs.iter().filter(|leg| leg.refusal.is_some()).collect();
    let Some(first) = back.first().and_then(|leg| leg.refusal.as_ref()) else { return Ok(()) };
    let told: Vec<String> = back
        .iter()
        .map(|leg| {
            let (what, rest) = leg_line(leg);
            format!("{what} {rest}")
        })
        .collect();
    let message = format!("payment {} of {}: {}", back.len(), status.id, told.join("; "));
    let failure = Failure::refused("refunded", message);
    Err(match &first.mend {
        Some(mend) => failure.mend(mend),
        None => failure,
    })
}

/// What is shown of a transaction.
#[must_use]
pub fn sent(id: TransactionId, wallet: Option<WalletId>, status: TransactionStatus) -> Sent {
    let acting = wallet.map(|wallet| wallet.to_string());
    let seen = status.transaction.as_ref().map(|transaction| transaction.wallet.to_string());
    Sent {
        id: id.to_string(),
        wallet: acting.or(seen).unwrap_or_else(|| "unknown".to_owned()),
        status: status.status,
        height: status.height,
        outcome: status.outcome.map(|outcome| match outcome.is_applied {
            true => outcome.name,
            false => format!("{} {}: {}", outcome.code, outcome.name, outcome.message),
        }),
        fee_fen: status.fee_fen,
        legs: status.legs,
        signed_anew: None,
        chain: status.chain.map(ChainId),
        currency: status.currency,
    }
}

/// Milliseconds since 1970 by this machine's clock; a clock before that counts as 0.
#[must_use]
pub fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl From<NonceError> for Failure {
    fn from(fault: NonceError) -> Self {
        let (exit, code) = match &fault {
            NonceError::Busy { .. } => (Exit::Unreachable, "nonces_busy"),
            NonceError::WindowFull { .. } => (Exit::Refused, "nonces_full"),
            NonceError::Used { .. } => (Exit::Refused, "nonce_used"),
            NonceError::Range { .. } => (Exit::Usage, "nonce_range"),
            _ => (Exit::Unreachable, "nonces"),
        };
        Self::new(exit, code, fault)
    }
}

impl From<PartialError> for Failure {
    fn from(fault: PartialError) -> Self {
        let (exit, code) = match &fault {
            PartialError::Incomplete { .. } => (Exit::Refused, "signatures_missing"),
            PartialError::ForeignKey { .. } => (Exit::Refused, "foreign_key"),
            PartialError::Signature { .. } => (Exit::Refused, "signature_invalid"),
            PartialError::OtherId { .. } => (Exit::Refused, "other_transaction"),
            PartialError::Build(_) => (Exit::Usage, "transaction"),
            _ => (Exit::Usage, "transaction_file"),
        };
        Self::new(exit, code, fault)
    }
}

impl From<wallet::BuildError> for Failure {
    fn from(fault: wallet::BuildError) -> Self {
        Self::usage("transaction", fault)
    }
}

#[cfg(test)]
mod tests {
    use api::OutcomeView;
    use ledger::records::NotExecuted;

    use super::*;
    use crate::sender::{executed_before, moved};

    #[test]
    fn payments_that_leave_the_chain_are_told_and_a_refund_is_a_failure() {
        let id = TransactionId([1; 32]);
        let money = Money::from_fen(250, Currency(*b"HKD"));
        let mut leg = LegView::debited(0, WalletId([2; 32]), money, ChainId(1), TransactionId([3; 32]));
        leg.is_certified = true;
        let told = |leg: &LegView| {
            let mut status = TransactionStatus::without_position(id, TransactionState::Certified, None);
            status.outcome = Some(OutcomeView::from_code(0));
            status.legs = vec![leg.clone()];
            (outcome(&status).err(), sent(id, None, status).text())
        };
        let (failure, text) = told(&leg);
        assert!(failure.is_none() && text.contains("goes on      to chain 1, where jz1"), "{text}");
        leg.ask = Some("chain 1 (HKD shard 0) is hosted by the nodes 2 (bank-3)".to_owned());
        let (failure, text) = told(&leg);
        let asked = format!("under {}: chain 1 (HKD shard 0) is hosted by the nodes 2 (bank-3)", leg.receipt);
        assert!(failure.is_none() && text.contains("not seen here  2.50 HKD for jz1"), "{text}");
        assert!(text.contains(&asked), "{text}");
        leg.ask = None;
        leg.status = LegState::Credited;
        let (failure, text) = told(&leg);
        assert!(failure.is_none() && text.contains("credited     2.50 HKD to jz1"), "{text}");
        leg.status = LegState::Refunded;
        leg.refusal = Some(OutcomeView::from_code(206));
        let failure = told(&leg).0.unwrap();
        assert_eq!((failure.code.as_str(), failure.exit), ("refunded", Exit::Refused));
        assert!(failure.message.contains("2.50 HKD") && failure.message.contains("206"), "{failure:?}");
    }

    #[test]
    fn a_node_of_legs_that_is_of_no_use_does_not_make_a_payment_look_unpaid() {
        let mut status =
            TransactionStatus::without_position(TransactionId([1; 32]), TransactionState::Certified, None);
        let failure = unseen(&status, Failure::unreachable("node_unreachable", "connection refused"));
        assert!(failure.message.contains("is certified") && failure.message.contains("connection refused"));
        assert!(failure.mend.starts_with("do not send it again"), "{failure:?}");
        // Nothing is open, so nobody is asked.
        let options =
            NodeOptions { node: "http://127.0.0.1:1".into(), token_file: None, ca_file: None, chain: None };
        let legs = LegOptions { legs_node: Some("http://127.0.0.1:1".to_owned()), legs_token_file: None };
        assert!(legs.follow(&options.connect().unwrap(), &mut status, Instant::now()).is_ok());
    }

    #[test]
    fn what_a_move_has_killed_is_told_from_other_refusals() {
        assert!(is_moved(&moved(ChainId(2))));
        let mut status =
            TransactionStatus::without_position(TransactionId([1; 32]), TransactionState::NotExecuted, None);
        assert!(!status.is_dead_of_move());
        status.error = Some(NotExecuted::WalletMoved { to: ChainId(2) }.into());
        assert!(status.is_dead_of_move() && is_moved(&outcome(&status).unwrap_err()));
        status.error = Some(NotExecuted::WalletClosed {}.into());
        assert!(!status.is_dead_of_move() && !is_moved(&outcome(&status).unwrap_err()));
        let dead = TransactionId([1; 32]).to_string();
        let signed_anew = SignedAnew { from: 0, to: 2, dead: Some(dead.clone()) };
        let text = facts(&signed_anew.lines());
        assert!(text.contains("for chain 2: the wallet has moved there from chain 0"), "{text}");
        assert!(text.contains(&format!("{dead} can never be executed")), "{text}");
        assert_eq!(executed_before(TransactionId([1; 32])).exit, Exit::Refused);
    }

    #[test]
    fn a_rejection_is_a_refusal_with_the_ledger_s_code() {
        let id = TransactionId([1; 32]);
        let mut status = TransactionStatus::without_position(id, TransactionState::Certified, None);
        status.outcome = Some(OutcomeView::from_code(0));
        assert!(outcome(&status).is_ok());
        status.outcome = Some(OutcomeView::from_code(205));
        let failure = outcome(&status).unwrap_err();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Refused, "11205 insufficient_funds"));
        assert!(failure.message.starts_with("rejected: "));
        // What was charged is told, also where nothing else was done.
        (status.fee_fen, status.currency) = (Some(12), Some(Currency(*b"HKD")));
        let told = outcome(&status).unwrap_err().message;
        assert!(told.ends_with("; its fee of 0.12 HKD was charged all the same"), "{told}");
        status.outcome = Some(OutcomeView::from_code(0));
        assert!(sent(id, None, status).text().contains("fee          0.12 HKD"));
        let expired = TransactionStatus::without_position(id, TransactionState::Expired, None);
        assert_eq!(outcome(&expired).unwrap_err().code, "expired");
    }
}
