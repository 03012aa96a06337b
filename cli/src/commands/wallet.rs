//! `jiaozi wallet`: making wallets, having them opened, looking at them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::NetworkView;
use clap::{Args, Subcommand, ValueEnum};
use ledger::records::operation::OPENINGS_MAX;
use ledger::records::registry::{ROOT_CHAIN, operator_salt};
use ledger::records::{GenesisSpec, Operation, OperatorRecord, Policy, Tier, WalletOpening};
use ledger::values::{
    ChainId, Currency, GenesisHash, NodeIndex, OpeningRequest, OperatorId, PublicKey, WalletId,
};
use serde::Serialize;
use wallet::seed::Words;
use wallet::{KdfParams, KeyFile, KeyKind, Secret, WalletSeed};
use zeroize::Zeroizing;

use super::transaction::{prepare, refuse_existing};
use super::wallet_view::{HistoryArguments, LookArguments, ShowArguments, history, look};
use crate::connection::NodeOptions;
use crate::failure::{Answer, Exit, Failure};
use crate::home::{CurrencyOption, home, no_such_currency};
use crate::keystore::{Keystore, KeystoreOptions, NewWallet, WalletEntry};
use crate::output::{Output, Show, facts, is_terminal, table};
use crate::secret::{PassphraseOptions, prompt_words, read_file, write_private};
use crate::send::{SendOptions, Sent};
use crate::sender::Sender;

/// Arguments of `jiaozi wallet`.
#[derive(Debug, Args)]
pub struct WalletArguments {
    #[command(subcommand)]
    command: WalletCommand,
}

#[derive(Debug, Subcommand)]
enum WalletCommand {
    /// Make a wallet: a seed, its words, and what an operator needs to open it.
    #[command(after_help = "Examples:\n  \
        jiaozi wallet new alice\n  \
        jiaozi wallet new alice --mnemonic-file alice.words --passphrase-file alice.passphrase\n  \
        jiaozi wallet new alice-hkd --seed-of alice --currency HKD\n  \
        jiaozi wallet new treasury --seed-of alice --threshold 2 --key 8c1f… --key 02aa…\n\n\
        The words are shown once on a terminal, or written to --mnemonic-file (0600): write them on paper. A wallet exists\n\
        on the chain only when an operator has opened it: jiaozi wallet open.\n\n\
        A wallet of several people: each makes a wallet of their own, they exchange the keys that `wallet new` printed, and\n\
        each makes the shared wallet with --seed-of their own. All get the same id.")]
    New(NewArguments),
    /// Make a wallet again from its words.
    #[command(after_help = "Examples:\n  \
        jiaozi wallet recover alice\n  \
        jiaozi wallet recover alice --mnemonic-file alice.words\n\n\
        Without --mnemonic-file the words are asked for.")]
    Recover(NewArguments),
    /// Take the wallet of an operator into the keystore, from the key file of its genesis ceremony.
    #[command(after_help = "Examples:\n  \
        jiaozi wallet import bank-1 --key-file keys/wallet.key --operator 1 --genesis genesis.json\n\n\
        The key must be one of the operator's wallet. A wallet of several keys acts through: jiaozi tx prepare, tx sign,\n\
        tx submit.")]
    Import(ImportArguments),
    /// List the wallets of the keystore.
    #[command(after_help = "Examples:\n  jiaozi wallet list\n  jiaozi wallet list --json")]
    List(KeystoreOptions),
    /// A wallet as the keystore and the chain know it; with --proof, fetch the proof of it or of its absence.
    #[command(after_help = "Examples:\n  \
        jiaozi wallet show alice\n  \
        jiaozi wallet show jz1…\n  \
        jiaozi wallet show alice --proof alice.proof\n  \
        jiaozi audit verify-proof alice.proof --genesis genesis.json")]
    Show(ShowArguments),
    /// How much a wallet holds.
    #[command(after_help = "Examples:\n  jiaozi wallet balance alice\n  jiaozi wallet balance jz1… --json")]
    Balance(LookArguments),
    /// What happened to a wallet, newest first.
    #[command(
        after_help = "Examples:\n  jiaozi wallet history alice --limit 20\n  jiaozi wallet history alice --before 12.0.3"
    )]
    History(HistoryArguments),
    /// Open wallets as an operator.
    #[command(after_help = "Examples:\n  \
        jiaozi wallet open --operator bank-1 alice bob\n  \
        jiaozi wallet open --operator bank-1 --tier two jzo1…\n  \
        jiaozi wallet open --operator bank-1 alice --out open.json\n\n\
        A wallet is named by its name in the keystore, or by what `wallet new` printed for the operator: a text that starts\n\
        with jzo1. An operator whose wallet has several keys writes the transaction into a file with --out; its signers then\n\
        use: jiaozi tx sign, tx submit.")]
    Open(OpenArguments),
}

#[derive(Debug, Args)]
struct NewArguments {
    /// The wallet's name in the keystore.
    name: String,
    /// File for the words (`new` writes it, `recover` reads it); readable by its owner only.
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    /// Sign for the new wallet with the key of this wallet instead of a new seed: for wallets of several people.
    #[arg(long, value_name = "NAME")]
    seed_of: Option<String>,
    /// Public key of somebody else who may sign; the wallet's own key is added.
    #[arg(long, value_name = "KEY")]
    key: Vec<PublicKey>,
    /// Signatures needed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threshold: u8,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    keystore: KeystoreOptions,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

/// The network that a wallet is of.
#[derive(Debug, Clone, Args)]
struct NetworkOptions {
    /// Genesis file of the network; without it the node is asked.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: Option<PathBuf>,
    #[command(flatten)]
    currency: CurrencyOption,
    #[command(flatten)]
    node: NodeOptions,
}

#[derive(Debug, Args)]
struct ImportArguments {
    /// The wallet's name in the keystore.
    name: String,
    /// The key file.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Id of the operator (see: jiaozi genesis show).
    #[arg(long, value_name = "ID")]
    operator: u16,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    keystore: KeystoreOptions,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Debug, Args)]
struct OpenArguments {
    /// Wallets to open.
    #[arg(required = true, value_name = "WALLET")]
    wallets: Vec<String>,
    /// The operator's wallet, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// The limits that the wallets live under.
    #[arg(long, value_name = "TIER", default_value = "two")]
    tier: TierChoice,
    /// Write the transaction into this new file, for several people to sign, instead of signing and submitting it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    send: SendOptions,
}

/// A tier that an operator may open wallets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TierChoice {
    /// Identified in person.
    One,
    /// Identified remotely.
    Two,
    /// Identified, without a bank account.
    Three,
    /// Anonymous.
    Four,
}

impl From<TierChoice> for Tier {
    fn from(choice: TierChoice) -> Self {
        match choice {
            TierChoice::One => Self::One,
            TierChoice::Two => Self::Two,
            TierChoice::Three => Self::Three,
            TierChoice::Four => Self::Four,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: WalletArguments, output: Output) -> Answer {
    match arguments.command {
        WalletCommand::New(arguments) if arguments.seed_of.is_some() => share(&arguments, output),
        WalletCommand::New(arguments) => {
            if arguments.mnemonic_file.is_none() && (output.is_json() || !is_terminal()) {
                return Err(Failure::usage(
                    "words_would_leak",
                    "the words would be written into a file or pipe",
                )
                .at("--mnemonic-file")
                .mend("name a new file for them with --mnemonic-file"));
            }
            let seed = WalletSeed::generate(Words::TwentyFour).map_err(seed_failure)?;
            create(&arguments, seed, true, output)
        }
        WalletCommand::Recover(arguments) => {
            if arguments.seed_of.is_some() {
                return Err(Failure::usage("seed_of", "a wallet is recovered from its own words")
                    .at("--seed-of")
                    .mend("recover the other wallet first, then make this one with: jiaozi wallet new --seed-of"));
            }
            let words = match &arguments.mnemonic_file {
                Some(path) => read_file(path, "--mnemonic-file")?,
                None => prompt_words()?,
            };
            let seed = WalletSeed::from_words(&words).map_err(seed_failure)?;
            create(&arguments, seed, false, output)
        }
        WalletCommand::Import(arguments) => import(&arguments, output),
        WalletCommand::List(options) => output.result(&Listed { wallets: options.open()?.list()? }),
        WalletCommand::Show(arguments) => look(&arguments.look, arguments.proof.as_deref(), output, false),
        WalletCommand::Balance(arguments) => look(&arguments, None, output, true),
        WalletCommand::History(arguments) => history(&arguments, output),
        WalletCommand::Open(arguments) => open(&arguments, output),
    }
}

fn seed_failure(fault: wallet::SeedError) -> Failure {
    Failure::usage("mnemonic", fault).at("--mnemonic-file")
}

impl NetworkOptions {
    /// Network and currency (the one named, or that of the chain); offline where a genesis file is given.
    fn terms(&self) -> Answer<(GenesisHash, Currency)> {
        let network = self.network()?;
        let chain = network.chain(self.node.chain_or_root());
        let chain = chain
            .ok_or_else(|| Failure::from(api::ApiError::from(api::ErrorCode::ChainUnknown)).at("--chain"))?;
        let named = self.currency.currency.map_or_else(|| chain.currency.parse::<Currency>(), Ok);
        let currency = named.map_err(|fault| Failure::refused("currency", fault))?;
        if network.shards(currency).is_empty() {
            return Err(no_such_currency(&network, currency));
        }
        Ok((network.genesis_hash, currency))
    }

    /// The network as the genesis file describes it, or the node.
    fn network(&self) -> Answer<NetworkView> {
        match self.spec()? {
            Some(spec) => Ok(NetworkView::new(&spec, NodeIndex(0), env!("CARGO_PKG_VERSION"), |_| false)),
            None => self.node.connect()?.network(None),
        }
    }

    /// What the genesis file says, where one is given.
    fn spec(&self) -> Answer<Option<GenesisSpec>> {
        let Some(path) = &self.genesis else { return Ok(None) };
        let spec = genesis::GenesisFile::load(path).and_then(|file| file.spec());
        spec.map(Some).map_err(|fault| super::genesis::failure(fault).at("--genesis"))
    }
}

fn create(arguments: &NewArguments, seed: WalletSeed, is_new: bool, output: Output) -> Answer {
    crate::keystore::check_name(&arguments.name)?;
    let keystore = arguments.keystore.open()?;
    if keystore.has(&arguments.name) {
        return Err(Failure::usage(
            "wallet_name",
            format_args!("there is a wallet {} already", arguments.name),
        )
        .at("NAME")
        .mend("choose another name"));
    }
    let (genesis, currency) = arguments.network.terms()?;
    let policy = policy(arguments, seed.key(0, 0).public_key())?;
    let passphrase = arguments.passphrase.read_new()?;
    let words = seed.words();
    let file_name = format!("{}.key", arguments.name);
    let file = KeyFile::seal(&Secret::WalletSeed(seed), &arguments.name, &passphrase, KdfParams::default())?;
    let mnemonic_file = arguments.mnemonic_file.clone().filter(|_| is_new);
    // First the words: a wallet whose words nobody has cannot be recovered.
    if is_new {
        hand_out(&words, mnemonic_file.as_deref(), output)?;
    }
    let new = NewWallet {
        name: arguments.name.clone(),
        genesis,
        currency,
        policy,
        salt: [0; 16],
        operator: None,
        seed: file_name,
        index: 0,
    };
    let entry = keystore.add_with_seed(&file, new).inspect_err(|_| {
        // Words of no wallet would be taken for those of one; that they could not be removed is not what failed.
        let _ = mnemonic_file.as_deref().map(std::fs::remove_file);
    })?;
    output.result(&Created::new(entry, mnemonic_file)?)
}

/// Own key and the others' keys.
fn policy(arguments: &NewArguments, own: PublicKey) -> Answer<Policy> {
    let mut keys = arguments.key.clone();
    keys.push(own);
    Policy::new(arguments.threshold, keys).map_err(|fault| {
        Failure::usage("policy", fault)
            .at("--threshold")
            .mend("name each other key once, and a threshold up to their number")
    })
}

/// Makes a wallet under the key of another one. No secret is needed for that.
fn share(arguments: &NewArguments, output: Output) -> Answer {
    let keystore = arguments.keystore.open()?;
    let own = keystore
        .find(arguments.seed_of.as_deref().unwrap_or_default())
        .map_err(|failure| failure.at("--seed-of"))?;
    let [key] = own.policy()?.keys[..] else {
        return Err(Failure::usage("seed_of", format_args!("wallet {} has several keys", own.name))
            .at("--seed-of")
            .mend("name a wallet of your own, with one key"));
    };
    let (genesis, currency) = arguments.network.terms()?;
    own.require_network(genesis).map_err(|failure| failure.at("--seed-of"))?;
    let entry = keystore.add(NewWallet {
        name: arguments.name.clone(),
        genesis,
        currency,
        policy: policy(arguments, key)?,
        salt: [0; 16],
        operator: None,
        seed: own.seed,
        index: own.index,
    })?;
    output.result(&Created::new(entry, None)?)
}

/// Shows the words once, or writes them to a private file.
fn hand_out(words: &Zeroizing<String>, file: Option<&Path>, output: Output) -> Answer {
    match file {
        Some(path) => write_private(path, format!("{}\n", words.as_str()).as_bytes()),
        None => output.line(&format!("words (shown once, write them on paper):\n\n  {}\n", words.as_str())),
    }
}

/// A new wallet.
#[derive(Debug, Serialize)]
struct Created {
    wallet: WalletEntry,
    policy_hash: String,
    /// What an operator needs to open it.
    opening_request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mnemonic_file: Option<PathBuf>,
}

impl Created {
    fn new(wallet: WalletEntry, mnemonic_file: Option<PathBuf>) -> Answer<Self> {
        let request = opening_request(&wallet)?;
        let (policy_hash, opening_request) = (request.policy.to_string(), request.to_string());
        Ok(Self { wallet, policy_hash, opening_request, mnemonic_file })
    }
}

fn opening_request(wallet: &WalletEntry) -> Answer<OpeningRequest> {
    Ok(OpeningRequest { policy: wallet.policy()?.hash(), salt: wallet.wallet_salt()? })
}

impl Show for Created {
    fn text(&self) -> String {
        let mut lines = vec![
            ("wallet", self.wallet.name.clone()),
            ("id", self.wallet.id.clone()),
            ("key", self.wallet.keys.join(" ")),
            ("for the operator", self.opening_request.clone()),
        ];
        if let Some(path) = &self.mnemonic_file {
            lines.push(("words", path.display().to_string()));
        }
        facts(&lines)
    }
}

fn import(arguments: &ImportArguments, output: Output) -> Answer {
    let keystore = arguments.keystore.open()?;
    let (genesis, currency) = arguments.network.terms()?;
    let file = KeyFile::load(&arguments.key_file)?;
    file.require(KeyKind::WalletSeed)?;
    let Secret::WalletSeed(seed) = file.open(&arguments.passphrase.read()?)? else {
        return Err(wallet::KeyFileError::Mismatch.into());
    };
    let policy = operator_policy(arguments, seed.key(0, 0).public_key())?;
    let new = NewWallet {
        name: arguments.name.clone(),
        genesis,
        currency,
        policy,
        salt: operator_salt(OperatorId(arguments.operator)),
        operator: Some(arguments.operator),
        seed: format!("{}.key", arguments.name),
        index: 0,
    };
    let entry = keystore.add_with_seed(&file, new)?;
    output.result(&Created::new(entry, None)?)
}

/// The policy of the operator's own wallet, which the key `own` must be of: another policy would make the id of a wallet
/// that does not exist.
fn operator_policy(arguments: &ImportArguments, own: PublicKey) -> Answer<Policy> {
    let id = arguments.operator;
    let foreign = |name: &str| {
        Failure::usage("other_key", format_args!("the key file is not of the wallet of operator {id}{name}"))
            .at("--key-file")
    };
    let Some(spec) = arguments.network.spec()? else {
        let policy = Policy::single(own);
        if is_registered(arguments, &policy)? {
            return Ok(policy);
        }
        return Err(foreign(", or that wallet has several keys")
            .mend("name the operator's own key file and id; a wallet of several keys needs --genesis"));
    };
    let operator = match spec.operators.get(usize::from(id)) {
        Some(operator) => operator.clone(),
        None => joined_operator(arguments, &spec)?,
    };
    if !operator.wallet_policy.keys.contains(&own) {
        return Err(foreign(&format!(" ({})", operator.name))
            .mend("compare its public key with the wallet's keys in: jiaozi genesis show"));
    }
    Ok(operator.wallet_policy)
}

/// An operator that the genesis file does not know: it may have joined later, which a node proves.
fn joined_operator(arguments: &ImportArguments, spec: &GenesisSpec) -> Answer<OperatorRecord> {
    let id = arguments.operator;
    let unknown = || {
        Failure::usage("operator_unknown", format_args!("the network has no operator {id}"))
            .at("--operator")
            .mend("take the operator's id from: jiaozi genesis show; of one that joined later, name a node with --node")
    };
    let connection = arguments.network.node.connect()?;
    match super::gov::registry(&connection, spec, ROOT_CHAIN) {
        Ok(proof) => proof.registry.operator(OperatorId(id)).cloned().ok_or_else(unknown),
        Err(failure) if failure.exit == Exit::Unreachable => Err(unknown()),
        Err(failure) => Err(failure),
    }
}

/// Whether the network has the operator's own wallets under this policy.
fn is_registered(arguments: &ImportArguments, policy: &Policy) -> Answer<bool> {
    let network = arguments.network.network()?;
    let operator = network.operators.iter().find(|operator| operator.operator == arguments.operator);
    Ok(operator.is_some_and(|operator| operator.wallet_policy == policy.hash()))
}

/// The wallets of a keystore.
#[derive(Debug, Serialize)]
struct Listed {
    wallets: Vec<WalletEntry>,
}

impl Show for Listed {
    fn text(&self) -> String {
        if self.wallets.is_empty() {
            return "no wallets; make one with: jiaozi wallet new NAME".to_owned();
        }
        let rows = self.wallets.iter().map(|wallet| {
            let signers = format!("{} of {}", wallet.threshold, wallet.keys.len());
            vec![wallet.name.clone(), wallet.id.clone(), wallet.currency.clone(), signers]
        });
        table(&["name", "id", "currency", "signatures"], rows, &[])
    }
}

/// Wallets that were opened.
#[derive(Debug, Serialize)]
struct Opened {
    opened: usize,
    transactions: Vec<Sent>,
}

impl Show for Opened {
    fn text(&self) -> String {
        let sent: Vec<String> = self.transactions.iter().map(Show::text).collect();
        format!("{}\n\nopened {} wallets", sent.join("\n\n"), self.opened)
    }
}

fn open(arguments: &OpenArguments, output: Output) -> Answer {
    let keystore = arguments.send.keystore.open()?;
    let requests = arguments.wallets.iter().map(|wallet| requested(&keystore, wallet));
    let requests: Vec<Requested> = requests.collect::<Answer<_>>()?;
    let meant = one_currency(&requests, arguments.send.currency.currency)?;
    if let Some(out) = &arguments.out {
        refuse_existing(out)?;
    }
    let sender = arguments.send.sender_anywhere(&arguments.operator, meant);
    let mut sender = sender.map_err(|failure| failure.at("--operator"))?;
    let openings = openings(&sender, &requests, arguments)?;
    if let Some(out) = &arguments.out {
        return prepare_openings(sender, openings, out, output);
    }
    sender.require_own_signature_alone()?;
    let secret = sender.keystore.secret(&sender.entry, &arguments.send.passphrase.read()?)?;
    let mut transactions = Vec::new();
    for (chain, wallets) in openings {
        sender = sender.on(chain);
        for group in wallets.chunks(OPENINGS_MAX) {
            let operation = Operation::OpenWallets { wallets: group.to_vec() };
            let transaction = sender.sign(operation, &secret, output)?;
            transactions.push(sender.submit(&transaction, &arguments.send.wait, output)?);
        }
    }
    output.result(&Opened { opened: requests.len(), transactions })
}

/// The currency of the wallets to open: one for all, and none where only requests are given, which do not tell.
fn one_currency(requests: &[Requested], named: Option<Currency>) -> Answer<Option<Currency>> {
    let mut meant = named;
    for (_, currency) in requests {
        match (meant, currency) {
            (Some(meant), Some(currency)) if meant != *currency => {
                let message = format!("a wallet of {currency} among those to open in {meant}");
                return Err(Failure::usage("other_currency", message)
                    .at("WALLET")
                    .mend("open the wallets of each currency with a command of their own"));
            }
            _ => meant = meant.or(*currency),
        }
    }
    Ok(meant)
}

/// What to open on each chain: every wallet where it will be at home.
fn openings(
    sender: &Sender,
    requests: &[Requested],
    arguments: &OpenArguments,
) -> Answer<BTreeMap<ChainId, Vec<WalletOpening>>> {
    let mut openings: BTreeMap<ChainId, Vec<WalletOpening>> = BTreeMap::new();
    let currency = sender.terms.currency;
    for (OpeningRequest { policy, salt }, _) in requests {
        let id = WalletId::derive(sender.terms.genesis, currency, *policy, salt);
        let home = home(&sender.network, currency, id, arguments.send.node.chain)?;
        let opening = WalletOpening { policy: *policy, salt: *salt, tier: arguments.tier.into() };
        openings.entry(home).or_default().push(opening);
    }
    Ok(openings)
}

/// One file holds one transaction, so it opens as many wallets as a transaction can, on one chain.
fn prepare_openings(
    sender: Sender,
    mut openings: BTreeMap<ChainId, Vec<WalletOpening>>,
    out: &Path,
    output: Output,
) -> Answer {
    let several = |message: String| {
        Failure::usage("too_many_wallets", message)
            .at("WALLET")
            .mend("write several files, each for a part of the wallets")
    };
    let (Some((chain, wallets)), true) = (openings.pop_first(), openings.is_empty()) else {
        return Err(several(
            "the wallets are at home on several chains; one transaction opens those of one".to_owned(),
        ));
    };
    if wallets.len() > OPENINGS_MAX {
        let count = wallets.len();
        return Err(several(format!("{count} wallets; one transaction opens at most {OPENINGS_MAX}")));
    }
    prepare(&sender.on(chain), Operation::OpenWallets { wallets }, out, output)
}

/// What to open, and in which currency if that is known.
type Requested = (OpeningRequest, Option<Currency>);

/// What to open: a wallet of the keystore by its name, or what a customer handed over.
fn requested(keystore: &Keystore, wallet: &str) -> Answer<Requested> {
    if keystore.has(wallet) {
        let entry = keystore.find(wallet)?;
        return Ok((opening_request(&entry)?, Some(entry.currency()?)));
    }
    wallet.parse().map(|request| (request, None)).map_err(|_| {
        let is_hex = wallet.len() == 64 && wallet.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (code, what) = if wallet.parse::<WalletId>().is_ok() {
            ("opening_wallet_id", "is a wallet's id, which does not say what the wallet is opened with")
        } else if is_hex {
            ("opening_hexadecimal", "is a public key or a bare hash, which cannot be told from each other")
        } else {
            ("wallet_opening", "is no wallet of the keystore and no opening request")
        };
        Failure::usage(code, format_args!("{wallet:?} {what}")).at("WALLET").mend(
            "give a name from `jiaozi wallet list`, or the text that starts with jzo1, which the customer's `wallet new` \
             printed for the operator",
        )
    })
}

#[cfg(test)]
mod tests {
    use ledger::values::PolicyHash;

    use super::*;

    #[test]
    fn what_is_opened_is_a_name_or_a_request_and_other_texts_are_told_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().to_owned());
        let request = OpeningRequest { policy: PolicyHash([2; 32]), salt: [3; 16] };
        assert_eq!(requested(&keystore, &request.to_string()).unwrap(), (request, None));
        let (cny, hkd) = (Currency(*b"CNY"), Currency(*b"HKD"));
        let of = |currency| (request, currency);
        assert_eq!(one_currency(&[of(None)], None).unwrap(), None);
        assert_eq!(one_currency(&[of(None), of(Some(hkd))], None).unwrap(), Some(hkd));
        assert_eq!(one_currency(&[of(Some(cny)), of(Some(hkd))], None).unwrap_err().code, "other_currency");
        assert_eq!(one_currency(&[of(Some(cny))], Some(hkd)).unwrap_err().code, "other_currency");
        for (text, code) in [
            (WalletId([2; 32]).to_string(), "opening_wallet_id"),
            (request.policy.to_string(), "opening_hexadecimal"),
            ("alice".to_owned(), "wallet_opening"),
            (request.to_string().to_uppercase(), "wallet_opening"),
        ] {
            let failure = requested(&keystore, &text).unwrap_err();
            assert_eq!((failure.code.as_str(), failure.field.as_deref()), (code, Some("WALLET")), "{text}");
            assert!(failure.mend.contains("jzo1"), "{failure:?}");
        }
    }
}
