//! `jiaozi tx`: transactions that several people sign, and looking transactions up.

use std::path::{Path, PathBuf};
use std::time::Instant;

use api::{ApiError, ErrorCode, OperationView, TransactionState, TransactionStatus};
use clap::{Args, Subcommand};
use ledger::records::{Operation, Payment, TransactionContent};
use ledger::values::{Amount, Currency, Money, TransactionId};
use serde::Serialize;
use wallet::PartialTransaction;
use wallet::files::FileError;
use wallet::partial::{PARTIAL_BYTES_MAX, Signer};

use super::lock_view;
use super::pay::{Payees, SponsorOptions};
use crate::amount::WrittenAmount;
use crate::connection::NodeOptions;
use crate::failure::{Answer, Failure};
use crate::fee::{Priced, Trial, is_for_fee};
use crate::keystore::{KeystoreOptions, WalletEntry};
use crate::output::{Output, Show, facts, save_proof};
use crate::secret::PassphraseOptions;
use crate::send::{
    LegOptions, SendOptions, WaitOptions, charged, leg_line, outcome, sent, state_name, submit, wait,
};
use crate::sender::Sender;

/// Arguments of `jiaozi tx`.
#[derive(Debug, Args)]
pub struct TransactionArguments {
    #[command(subcommand)]
    command: TransactionCommand,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "parsed once")]
enum TransactionCommand {
    /// Where a transaction stands; exit 1 if the node does not know it. With --proof, fetch the proof of its outcome.
    #[command(after_help = "Examples:\n  \
        jiaozi tx show 5f0c…\n  \
        jiaozi tx show 5f0c… --proof payment.proof\n  \
        jiaozi audit verify-proof payment.proof --genesis genesis.json")]
    Show(ShowArguments),
    /// Wait until a transaction is certified; exit 1 if it was rejected or has expired.
    #[command(
        after_help = "Examples:\n  jiaozi tx wait 5f0c…\n  jiaozi tx wait 5f0c… --wait final --timeout 5"
    )]
    Wait(WaitArguments),
    /// Write a payment to a file, for several people to sign; or new money, or money taken out of circulation.
    #[command(after_help = "Examples:\n  \
        jiaozi tx prepare --from treasury --to jz1… --amount 500 --out payment.json\n  \
        jiaozi tx sign payment.json --with treasury\n  \
        jiaozi tx submit payment.json\n  \
        jiaozi tx prepare --from central-bank --issue --to bank-1 --amount 1000000 --out issue.json\n  \
        jiaozi tx prepare --from bank-1 --redeem 5000 --out redeem.json")]
    Prepare(PrepareArguments),
    /// Add the signature of one of your wallets' keys to a file: of the wallet that acts, or of the sponsor that pays its fee.
    #[command(after_help = "Examples:\n  \
        jiaozi tx sign payment.json --with treasury\n  \
        jiaozi tx sign payment.json --with treasury --yes --passphrase-file secret\n\n\
        Shows what would be signed. Without --yes nothing is signed.")]
    Sign(SignArguments),
    /// Submit a completely signed file and wait.
    #[command(
        after_help = "Examples:\n  jiaozi tx submit payment.json\n  jiaozi tx submit alice.json bob.json --wait none\n\n\
        Several files of one transaction are merged: each may hold other signatures."
    )]
    Submit(SubmitArguments),
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// The transaction's id.
    id: TransactionId,
    /// New file for the proof.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    legs: LegOptions,
}

#[derive(Debug, Args)]
struct WaitArguments {
    /// The transaction's id.
    id: TransactionId,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    wait: WaitOptions,
}

#[derive(Debug, Args)]
struct PrepareArguments {
    /// The paying wallet, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    #[command(flatten)]
    payees: Payees,
    /// Put the amount as new money into the one wallet named with --to, instead of paying it (central bank).
    #[arg(long)]
    issue: bool,
    /// Take this much out of circulation, instead of paying (operators).
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    #[arg(conflicts_with_all = ["to", "amount", "issue"])]
    redeem: Option<WrittenAmount>,
    /// New file for the transaction.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    sponsor: SponsorOptions,
    #[command(flatten)]
    send: SendOptions,
}

#[derive(Debug, Args)]
struct SignArguments {
    /// The file.
    file: PathBuf,
    /// The wallet whose key signs, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    with: String,
    /// Sign what is shown.
    #[arg(long)]
    yes: bool,
    /// Genesis file of the network that is meant: it tells the currency of the chain, where the wallet is not your own.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: Option<PathBuf>,
    #[command(flatten)]
    keystore: KeystoreOptions,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Debug, Args)]
struct SubmitArguments {
    /// Files of one transaction.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    wait: WaitOptions,
}

/// A transaction's status, and where its proof went.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    status: TransactionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_file: Option<PathBuf>,
}

impl Show for Shown {
    fn text(&self) -> String {
        let status = &self.status;
        let mut lines =
            vec![("transaction", status.id.to_string()), ("status", state_name(status.status).to_owned())];
        if let (Some(height), Some(index)) = (status.height, status.index) {
            // The root chain goes without saying.
            let chain = status.chain.filter(|chain| *chain != 0);
            let chain = chain.map(|chain| format!("chain {chain}, ")).unwrap_or_default();
            lines.push(("position", format!("{chain}height {height}, index {index}")));
        }
        if let Some(outcome) = &status.outcome {
            let text = if outcome.is_applied {
                "applied".to_owned()
            } else {
                format!("rejected: {} ({} {})", outcome.message, outcome.code, outcome.name)
            };
            lines.push(("outcome", text));
        }
        if let Some(error) = &status.error {
            lines.push(("reason", format!("{} ({} {})", error.message, error.code, error.name)));
        }
        if let Some(transaction) = &status.transaction {
            lines.push(("from", transaction.wallet.to_string()));
            lines.extend(operation_lines(&transaction.operation, Some(transaction.currency)));
            lines.extend(transaction.sponsor.map(|sponsor| ("sponsor", sponsor.to_string())));
        }
        lines.extend(charged(status.fee_fen, status.currency).map(|fee| ("fee", fee)));
        lines.extend(status.legs.iter().map(leg_line));
        if let Some(lock) = &status.lock {
            lines.extend(lock_view::lines(std::slice::from_ref(lock.as_ref())));
        }
        if let Some(file) = &self.proof_file {
            lines.push(("proof", file.display().to_string()));
        }
        facts(&lines)
    }
}

/// A file of a transaction that is being signed.
#[derive(Debug, Serialize)]
pub(super) struct Prepared {
    id: String,
    wallet: String,
    chain: u32,
    /// Of the chain, where anything at hand tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    operation: OperationView,
    valid_until_ms: u64,
    /// Most that may be charged, tip included, in fen.
    fee_max_fen: u64,
    tip_fen: u64,
    tip_operator: u16,
    signed: usize,
    missing: usize,
    /// The wallet that pays the fee, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    sponsor: Option<Sponsoring>,
    /// Why the node would refuse it now, if it would: a person is told beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Failure>,
    file: PathBuf,
}

/// A sponsor, and how many of its signatures there are.
#[derive(Debug, Serialize)]
struct Sponsoring {
    wallet: String,
    signed: usize,
    missing: usize,
}

impl Prepared {
    pub(super) fn new(partial: &PartialTransaction, currency: Option<Currency>, file: &Path) -> Self {
        let content: &TransactionContent = partial.content();
        Self {
            id: partial.id().to_string(),
            wallet: content.wallet.to_string(),
            chain: content.chain.0,
            currency: currency.map(|currency| currency.to_string()),
            operation: OperationView::new(&content.operation),
            valid_until_ms: content.valid_until.0,
            fee_max_fen: content.fee.fee_max.fen(),
            tip_fen: content.fee.tip.fen(),
            tip_operator: content.fee.operator.0,
            signed: partial.signed_by(Signer::Wallet).count(),
            missing: partial.missing(Signer::Wallet),
            sponsor: content.fee.sponsor.as_ref().map(|sponsor| Sponsoring {
                wallet: sponsor.wallet.to_string(),
                signed: partial.signed_by(Signer::Sponsor).count(),
                missing: partial.missing(Signer::Sponsor),
            }),
            refusal: None,
            file: file.to_owned(),
        }
    }
}

impl Show for Prepared {
    fn text(&self) -> String {
        let mut lines = vec![("transaction", self.id.clone()), ("from", self.wallet.clone())];
        let currency = self.currency.as_deref().and_then(|currency| currency.parse().ok());
        lines.extend(operation_lines(&self.operation, currency));
        lines.push(("fee", self.fee(currency)));
        let counted = |signed: usize, missing: usize| format!("{signed} there, {missing} missing");
        lines.push(("signatures", counted(self.signed, self.missing)));
        if let Some(Sponsoring { wallet, signed, missing }) = &self.sponsor {
            lines.push(("sponsor", format!("{wallet} pays the fee; {}", counted(*signed, *missing))));
        }
        lines.push(("file", self.file.display().to_string()));
        facts(&lines)
    }
}

impl Prepared {
    /// What it may cost, in words.
    fn fee(&self, currency: Option<Currency>) -> String {
        let most = money_in(currency, self.fee_max_fen);
        match self.tip_fen {
            0 => format!("at most {most}"),
            tip => format!(
                "at most {most}, {} of it for operator {}",
                money_in(currency, tip),
                self.tip_operator
            ),
        }
    }
}

/// An amount in the currency of a chain, as far as that is known.
fn money_in(currency: Option<Currency>, fen: u64) -> String {
    match currency {
        Some(currency) => Money::from_fen(fen, currency).to_string(),
        None => format!("{} (in its chain's currency)", Amount::from_fen(fen)),
    }
}

/// What a transaction asks for, with amounts in the currency of its chain.
pub(super) fn operation_lines(
    operation: &OperationView,
    currency: Option<Currency>,
) -> Vec<(&'static str, String)> {
    let money = |fen: u64| money_in(currency, fen);
    match operation {
        OperationView::Pay { payments } => payments
            .iter()
            .map(|payment| ("pays", format!("{} to {}", money(payment.amount_fen), payment.payee)))
            .collect(),
        OperationView::OpenWallets { wallets } => vec![("opens", format!("{} wallets", wallets.len()))],
        OperationView::Issue { to, amount_fen } => {
            vec![("issues", format!("{} to {to}", money(*amount_fen)))]
        }
        OperationView::Redeem { amount_fen } => vec![("redeems", money(*amount_fen))],
        OperationView::Govern { proposal, approved_by } => {
            let operators: Vec<String> = approved_by.iter().map(ToString::to_string).collect();
            let (changes, version) = (proposal.changes.len(), proposal.version);
            vec![
                ("changes", format!("the registry of version {version}, in {changes} points")),
                ("approved", format!("by the operators {}", operators.join(", "))),
            ]
        }
        OperationView::Lock { .. }
        | OperationView::Claim { .. }
        | OperationView::Exchange { .. }
        | OperationView::Accept { .. }
        | OperationView::Decline { .. }
        | OperationView::Withdraw { .. } => lock_view::operation_lines(operation, &money),
    }
}

impl PrepareArguments {
    /// What the transaction is to ask for.
    fn operation(&self, currency: Option<Currency>) -> Answer<Operation> {
        if let Some(written) = self.redeem {
            let amount = match currency {
                Some(currency) => written.in_currency(currency).map_err(|failure| failure.at("--redeem"))?,
                None => written.in_any(),
            };
            return Ok(Operation::Redeem { amount });
        }
        let operation = self.payees.operation(&self.send.keystore.open()?, currency)?;
        match operation {
            Operation::Pay { payments } if self.issue => match payments[..] {
                [Payment { payee, amount }] => Ok(Operation::Issue { to: payee, amount }),
                _ => Err(Failure::usage("issue", "new money goes into one wallet")
                    .at("--to")
                    .mend("prepare one transaction for each wallet")),
            },
            operation => Ok(operation),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: TransactionArguments, output: Output) -> Answer {
    match arguments.command {
        TransactionCommand::Show(arguments) => show(&arguments, output),
        TransactionCommand::Wait(arguments) => {
            let connection = arguments.node.connect()?;
            let status = wait(&connection, arguments.id, &arguments.wait)?;
            outcome(&status)?;
            output.result(&sent(arguments.id, None, status))
        }
        TransactionCommand::Prepare(arguments) => {
            refuse_existing(&arguments.out)?;
            // A wrong name is told before a node is asked.
            arguments.operation(None)?;
            let written = arguments.redeem.and_then(|written| written.currency);
            let meant = written.or_else(|| arguments.payees.currency());
            let mut sender = arguments.send.sender_in(&arguments.from, meant)?;
            sender.sponsor = arguments.sponsor.sponsor(&sender)?;
            let operation = arguments.operation(Some(sender.terms.currency))?;
            prepare(&sender, operation, &arguments.out, output)
        }
        TransactionCommand::Sign(arguments) => sign(&arguments, output),
        TransactionCommand::Submit(arguments) => {
            let partial = merged(&arguments.files)?;
            let (id, genesis) = (partial.id(), partial.genesis());
            let connection = arguments.node.connect()?;
            connection.network(Some(genesis)).map_err(|failure| failure.at("--node"))?;
            let transaction = partial.complete()?;
            let sent = submit(&connection, &transaction, id, &arguments.wait, output).map_err(|failure| {
                match is_for_fee(&failure) {
                    true => failure.mend(FEE_IS_SIGNED),
                    false => failure,
                }
            })?;
            output.result(&sent)
        }
    }
}

fn show(arguments: &ShowArguments, output: Output) -> Answer {
    let connection = arguments.node.connect()?;
    let mut status = connection.wait(connection.client.transaction(arguments.id))?;
    // One look at the other node: showing does not wait.
    arguments.legs.follow(&connection, &mut status, Instant::now())?;
    if status.status == TransactionState::Unknown {
        return Err(Failure::from(ApiError::from(ErrorCode::TransactionUnknown)).at("ID"));
    }
    let state = status.status;
    let Some(path) = &arguments.proof else {
        return output.result(&Shown { status, proof_file: None });
    };
    if state != TransactionState::Certified {
        output.result(&Shown { status, proof_file: None })?;
        return Err(no_proof(arguments.id, state));
    }
    save_proof(path, &connection.wait(connection.client.transaction_proof(arguments.id))?)?;
    output.result(&Shown { status, proof_file: Some(path.clone()) })
}

/// Why there is no proof of a transaction, and whether there may be one later.
fn no_proof(id: TransactionId, state: TransactionState) -> Failure {
    let (message, mend) = match state {
        TransactionState::Expired => (
            format!("transaction {id} has expired without an outcome, so there is nothing to prove"),
            "it can never be executed; send anew".to_owned(),
        ),
        _ => (
            format!(
                "transaction {id} is {} and not certified yet, so there is no proof yet",
                state_name(state)
            ),
            format!("wait with: jiaozi tx wait {id}"),
        ),
    };
    let failure = Failure::from(ApiError::from(ErrorCode::NotCertified)).at("--proof");
    Failure { message, mend, ..failure }
}

/// The fee of a file is signed with the rest of it.
const FEE_IS_SIGNED: &str = "submit the same file again when the base fee has fallen (jiaozi fee history); once its valid_until has passed, \
                             prepare it anew with a higher --fee and let everybody sign that: until then both could be applied";

/// Before anything else is done for a file that is to be new.
pub(super) fn refuse_existing(out: &Path) -> Answer {
    if out.exists() {
        return Err(Failure::usage("file_exists", format_args!("{} exists already", out.display()))
            .at("--out")
            .mend("name a new file"));
    }
    Ok(())
}

/// Writes a transaction without signatures into a file.
pub(super) fn prepare(sender: &Sender, operation: Operation, out: &Path, output: Output) -> Answer {
    let Priced { content, refusal } = sender.content(operation, Trial::Told, output)?;
    let partial = PartialTransaction::new(sender.terms.genesis, content);
    save(&partial, out)?;
    output.result(&Prepared { refusal, ..Prepared::new(&partial, Some(sender.terms.currency), out) })
}

fn sign(arguments: &SignArguments, output: Output) -> Answer {
    let mut partial = load(&arguments.file)?;
    let keystore = arguments.keystore.open()?;
    let entry = keystore.find(&arguments.with).map_err(|failure| failure.at("--with"))?;
    entry.require_network(partial.genesis()).map_err(|failure| failure.at("FILE"))?;
    let currency = currency(&partial, &entry, arguments.genesis.as_deref())?;
    if !arguments.yes {
        output.result(&Prepared::new(&partial, currency, &arguments.file))?;
        return Err(Failure::usage("not_signed", "nothing was signed")
            .at("--yes")
            .mend("look at the transaction above; if it is what you want, repeat the command with --yes"));
    }
    let secret = keystore.secret(&entry, &arguments.passphrase.read()?)?;
    partial.sign(&secret)?;
    save(&partial, &arguments.file)?;
    output.result(&Prepared::new(&partial, currency, &arguments.file))
}

/// The currency of what is to be signed: by the genesis file, else by the signer's own wallet. The transaction's file is not asked:
/// its sender could have written anything.
fn currency(
    partial: &PartialTransaction,
    entry: &WalletEntry,
    genesis: Option<&Path>,
) -> Answer<Option<Currency>> {
    let content = partial.content();
    let Some(path) = genesis else {
        // A sponsor's wallet is on the transaction's chain, and a wallet's id is of one currency.
        let sponsor = content.fee.sponsor.as_ref().map(|sponsor| sponsor.wallet);
        let own = entry.wallet_id()?;
        let is_own = own == content.wallet || sponsor == Some(own);
        return if is_own { entry.currency().map(Some) } else { Ok(None) };
    };
    let spec = super::audit::load_spec(path)?;
    if spec.hash() != partial.genesis() {
        let message =
            format!("the transaction is for network {}, the file is of {}", partial.genesis(), spec.hash());
        return Err(Failure::usage("other_network", message)
            .at("--genesis")
            .mend("name the genesis file of the transaction's network, or none"));
    }
    Ok(spec.chain(content.chain).map(|chain| chain.currency))
}

fn merged(files: &[PathBuf]) -> Answer<PartialTransaction> {
    let mut files = files.iter();
    let first = files.next().ok_or_else(|| Failure::usage("files", "no file was named"))?;
    let mut partial = load(first)?;
    for file in files {
        partial.merge(&load(file)?)?;
    }
    Ok(partial)
}

fn load(path: &Path) -> Answer<PartialTransaction> {
    use std::io::Read as _;
    let io = |fault: std::io::Error| Failure::io("read", path, &fault);
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(io)?
        .take(PARTIAL_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(io)?;
    PartialTransaction::from_json(&text).map_err(|fault| Failure::from(fault).at(path.display().to_string()))
}

/// Replaces the file as a whole: an interrupted write must not lose other people's signatures.
pub(super) fn save(partial: &PartialTransaction, path: &Path) -> Answer {
    let json = partial.to_json()? + "\n";
    wallet::files::replace_private(path, json.as_bytes()).map_err(|fault| match &fault {
        FileError::Io { path, action, source } => Failure::io(action, path, source),
        _ => Failure::usage("file", &fault),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_an_operation_carry_their_currency() {
        let issue = OperationView::Issue { to: ledger::values::WalletId([1; 32]), amount_fen: 1_234 };
        let text = |currency| operation_lines(&issue, currency)[0].1.clone();
        assert!(text(Some(Currency(*b"HKD"))).starts_with("12.34 HKD to jz1"));
        assert!(text(None).starts_with("12.34 (in its chain's currency) to jz1"));
    }

    #[test]
    fn a_missing_proof_says_whether_waiting_helps() {
        let id = TransactionId([7; 32]);
        let pending = no_proof(id, TransactionState::Pending);
        assert_eq!(
            (pending.code.as_str(), pending.field.as_deref()),
            ("1409 not_certified", Some("--proof"))
        );
        assert!(
            pending.message.contains("pending") && pending.mend.starts_with("wait with: "),
            "{pending:?}"
        );
        let expired = no_proof(id, TransactionState::Expired);
        assert!(expired.message.contains("expired") && !expired.mend.contains("wait"), "{expired:?}");
    }
}
