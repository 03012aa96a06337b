//! Wallets to play with: opened by the first bank on the shards where they are at home, funded with newly issued money.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{ClientError, ErrorCode};
use ledger::records::operation::{OPENINGS_MAX, PAYMENTS_MAX};
use ledger::records::{Operation, Payment, Policy, Tier, Transaction, WalletOpening};
use ledger::values::{Amount, ChainId, SecretKey, TransactionId, WalletId};
use wallet::seed::Words;
use wallet::{KdfParams, KeyFile, Passphrase, Secret, WalletSeed};

use super::create::CENTRAL_BANK;
use super::layout::{BankEntry, Layout};
use crate::connection::{Connection, NodeOptions, Terms};
use crate::failure::{Answer, Failure};
use crate::home::home;
use crate::keystore::{Keystore, NewWallet, WALLETS_MAX, WalletEntry};
use crate::output::Output;
use crate::progress::Progress;
use crate::send::{Sender, Wait, WaitOptions, outcome};

/// Most wallets opened at once.
pub const DEMO_WALLETS_MAX: usize = 10_000;
const _: () = assert!(DEMO_WALLETS_MAX < WALLETS_MAX);
/// What every wallet is funded with.
pub const FUNDS: Amount = Amount::from_fen(100_000);
/// How long one transaction may take to be certified.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(60);
/// Transactions on their way at once: below the window of a nonce lane.
const IN_FLIGHT: usize = 64;
const SEED_FILE: &str = "demo.key";
const BANK: &str = "bank-1";

/// Opens and funds `wallet-1` to `wallet-COUNT`, as far as they do not exist; gives the number of new ones.
///
/// A wallet gets into the keystore last. So a run that ended in between is taken up by the next one: it opens what the
/// chain does not have, and funds what holds nothing.
///
/// # Errors
/// [`Failure`] when the network refuses or does not answer.
pub fn fund(layout: &Layout, bank: &BankEntry, count: usize, output: Output) -> Answer<usize> {
    let keystore = Keystore::at(layout.wallets());
    let passphrase =
        Passphrase::load(&layout.passphrase()).map_err(|fault| Failure::usage("passphrase", fault))?;
    let node = NodeOptions { node: bank.url(), token_file: None, ca_file: None, chain: None };
    let connection = node.connect()?;
    let network = connection.network(None)?;
    let operator = keystore.find(BANK)?;
    let (genesis, currency) = (network.genesis_hash, operator.currency()?);
    let is_resumed = keystore.seed_path(SEED_FILE).exists();
    let seed = demo_seed(&keystore, &passphrase)?;
    let mut new = Vec::new();
    for number in (1..=count).filter(|number| !keystore.has(&format!("wallet-{number}"))) {
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let policy = Policy::single(seed.key(0, index).public_key());
        new.push(NewWallet {
            name: format!("wallet-{number}"),
            genesis,
            currency,
            policy,
            salt: [0; 16],
            operator: None,
            seed: SEED_FILE.to_owned(),
            index,
        });
    }
    let opened = new.len();
    if opened == 0 {
        return Ok(0);
    }
    let mut tasks: BTreeMap<ChainId, Tasks> = BTreeMap::new();
    for new in &new {
        let id = WalletId::derive(genesis, currency, new.policy.hash(), &new.salt);
        let chain = home(&network, currency, id, None)?;
        let held = if is_resumed { balance(&connection, chain, id)? } else { None };
        let tasks = tasks.entry(chain).or_default();
        if held.is_none() {
            let opening = WalletOpening { policy: new.policy.hash(), salt: new.salt, tier: Tier::Two };
            tasks.openings.push(opening);
        }
        if held.is_none_or(|held| held == 0) {
            tasks.payments.push(Payment { payee: id, amount: FUNDS });
        }
    }
    let steps: usize = tasks.values().map(|tasks| tasks.openings.len() + tasks.payments.len()).sum();
    let bar = Progress::new("opening and funding wallets", Some(steps as u64), output.is_json());
    let central = keystore.find(CENTRAL_BANK)?;
    let bank = Party { key: keystore.secret(&operator, &passphrase)?, entry: operator.clone() };
    let central = Party { key: keystore.secret(&central, &passphrase)?, entry: central };
    let terms = Terms { genesis, chain: ChainId(0), currency };
    let mut sender = Sender::new(connection, network, terms, keystore.clone(), operator);
    for (chain, tasks) in tasks {
        sender = tasks.send(sender.on(chain), &bank, &central, &bar)?;
    }
    for new in new {
        keystore.add(new)?;
    }
    Ok(opened)
}

/// What is to be done on one chain.
#[derive(Default)]
struct Tasks {
    openings: Vec<WalletOpening>,
    payments: Vec<Payment>,
}

/// A wallet that signs.
struct Party {
    entry: WalletEntry,
    key: SecretKey,
}

impl Tasks {
    /// Opens, issues what is needed to the bank's own wallet on this chain, and pays it on. Gives the sender back.
    fn send(&self, sender: Sender, bank: &Party, central: &Party, bar: &Progress) -> Answer<Sender> {
        let sender = sender.of(bank.entry.clone());
        let opens = self.openings.chunks(OPENINGS_MAX);
        let opens = opens.map(|group| Operation::OpenWallets { wallets: group.to_vec() });
        send_all(&sender, &bank.key, opens, bar, OPENINGS_MAX)?;
        if self.payments.is_empty() {
            return Ok(sender);
        }
        let amount = Amount::from_fen(FUNDS.fen().saturating_mul(self.payments.len() as u64));
        let issue = Operation::Issue { to: bank.entry.wallet_id()?, amount };
        let sender = sender.of(central.entry.clone());
        send_all(&sender, &central.key, std::iter::once(issue), bar, 0)?;
        let sender = sender.of(bank.entry.clone());
        let pays = self.payments.chunks(PAYMENTS_MAX);
        let pays = pays.map(|group| Operation::Pay { payments: group.to_vec() });
        send_all(&sender, &bank.key, pays, bar, PAYMENTS_MAX)?;
        Ok(sender)
    }
}

/// What a wallet holds, in fen; `None` of one that the chain does not have.
fn balance(connection: &Connection, chain: ChainId, id: WalletId) -> Answer<Option<u64>> {
    let unknown = ErrorCode::WalletUnknown.code();
    connection.wait(async {
        match connection.client.wallet(id, Some(chain)).await {
            Ok(view) => Ok(Some(view.balance_fen)),
            Err(ClientError::Refused(error)) if error.code == unknown => Ok(None),
            Err(error) => Err(error),
        }
    })
}

/// The seed of all demo wallets.
fn demo_seed(keystore: &Keystore, passphrase: &Passphrase) -> Answer<WalletSeed> {
    if keystore.seed_path(SEED_FILE).exists() {
        return match KeyFile::load(&keystore.seed_path(SEED_FILE))?.open(passphrase)? {
            Secret::WalletSeed(seed) => Ok(seed),
            _ => Err(wallet::KeyFileError::Mismatch.into()),
        };
    }
    let seed =
        WalletSeed::generate(Words::TwentyFour).map_err(|fault| Failure::unreachable("randomness", fault))?;
    let file = KeyFile::seal(&Secret::WalletSeed(seed.clone()), "demo wallets", passphrase, KdfParams::FAST)?;
    keystore.save_seed(SEED_FILE, &file)?;
    Ok(seed)
}

/// Sends operations of one wallet, some at a time, and waits for every certificate.
fn send_all(
    sender: &Sender,
    key: &SecretKey,
    operations: impl Iterator<Item = Operation>,
    bar: &Progress,
    step: usize,
) -> Answer {
    let operations: Vec<Operation> = operations.collect();
    for group in operations.chunks(IN_FLIGHT) {
        let transactions: Vec<Transaction> =
            group.iter().map(|operation| sender.sign(operation.clone(), key)).collect::<Answer<_>>()?;
        let options = WaitOptions { wait: Wait::None, timeout: CERTIFIED_WITHIN.as_secs() };
        for transaction in &transactions {
            sender.submit(transaction, &options, Output::new(true))?;
        }
        for transaction in &transactions {
            let id: TransactionId = transaction.id(sender.terms.genesis);
            let client = &sender.connection.client;
            outcome(&sender.connection.wait(client.wait_certified(id, CERTIFIED_WITHIN))?)?;
            let content = &transaction.content;
            sender.keystore.nonces(content.chain, content.wallet).resolve(content.nonce)?;
            bar.advance(step as u64);
        }
    }
    Ok(())
}
