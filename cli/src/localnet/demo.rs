//! Wallets to play with: opened by the first bank, funded with newly issued money.

use std::time::Duration;

use api::{ClientError, ErrorCode};
use ledger::records::operation::{OPENINGS_MAX, PAYMENTS_MAX};
use ledger::records::{Operation, Payment, Policy, Tier, Transaction, WalletOpening};
use ledger::values::{Amount, SecretKey, TransactionId, WalletId};
use wallet::seed::Words;
use wallet::{KdfParams, KeyFile, Passphrase, Secret, WalletSeed};

use super::create::CENTRAL_BANK;
use super::layout::{BankEntry, Layout};
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::keystore::{Keystore, NewWallet, WALLETS_MAX};
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
    let node = NodeOptions { node: bank.url(), token_file: None, ca_file: None, chain: 0 };
    let connection = node.connect()?;
    let terms = connection.terms(None)?;
    let operator = keystore.find(BANK)?;
    let is_resumed = keystore.seed_path(SEED_FILE).exists();
    let seed = demo_seed(&keystore, &passphrase)?;
    let mut new = Vec::new();
    for number in (1..=count).filter(|number| !keystore.has(&format!("wallet-{number}"))) {
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let policy = Policy::single(seed.key(0, index).public_key());
        new.push(NewWallet {
            name: format!("wallet-{number}"),
            genesis: terms.genesis,
            currency: terms.currency,
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
    let ids: Vec<WalletId> = new.iter().map(wallet_id).collect();
    let found = if is_resumed { balances(&connection, &ids)? } else { vec![None; opened] };
    let missing = |balance: &Option<u64>| balance.is_none();
    let unfunded: Vec<WalletId> = ids
        .iter()
        .zip(&found)
        .filter(|(_, held)| held.is_none_or(|held| held == 0))
        .map(|(id, _)| *id)
        .collect();
    let steps = found.iter().filter(|held| missing(held)).count() + unfunded.len();
    let bar = Progress::new("opening wallets", Some(steps as u64), output.is_json());
    let (bank_key, central) = (keystore.secret(&operator, &passphrase)?, keystore.find(CENTRAL_BANK)?);
    let central_key = keystore.secret(&central, &passphrase)?;
    let bank_wallet = operator.wallet_id()?;
    let sender = Sender::new(connection, terms, keystore.clone(), operator.clone());
    let openings: Vec<WalletOpening> = new
        .iter()
        .zip(&found)
        .filter(|(_, held)| missing(held))
        .map(|(new, _)| WalletOpening { policy: new.policy.hash(), salt: new.salt, tier: Tier::Two })
        .collect();
    let opens = openings.chunks(OPENINGS_MAX).map(|group| Operation::OpenWallets { wallets: group.to_vec() });
    send_all(&sender, &bank_key, opens, &bar, OPENINGS_MAX)?;
    if !unfunded.is_empty() {
        let amount = Amount::from_fen(FUNDS.fen().saturating_mul(unfunded.len() as u64));
        let (issue, sender) = (Operation::Issue { to: bank_wallet, amount }, sender.of(central));
        send_all(&sender, &central_key, std::iter::once(issue), &bar, 0)?;
        let sender = sender.of(operator);
        let payees: Vec<Payment> =
            unfunded.iter().map(|payee| Payment { payee: *payee, amount: FUNDS }).collect();
        bar.say("funding wallets".to_owned());
        let pays = payees.chunks(PAYMENTS_MAX).map(|group| Operation::Pay { payments: group.to_vec() });
        send_all(&sender, &bank_key, pays, &bar, PAYMENTS_MAX)?;
    }
    for new in new {
        keystore.add(new)?;
    }
    Ok(opened)
}

/// The id that a wallet has on the chain.
fn wallet_id(new: &NewWallet) -> WalletId {
    WalletId::derive(new.genesis, new.currency, new.policy.hash(), &new.salt)
}

/// What wallets hold, in fen; `None` of those that the chain does not have.
fn balances(connection: &Connection, ids: &[WalletId]) -> Answer<Vec<Option<u64>>> {
    let unknown = ErrorCode::WalletUnknown.code();
    let look = |id: &WalletId| {
        let (client, chain) = (&connection.client, connection.chain);
        let look = async {
            match client.wallet(*id, Some(chain)).await {
                Ok(view) => Ok(Some(view.balance_fen)),
                Err(ClientError::Refused(error)) if error.code == unknown => Ok(None),
                Err(error) => Err(error),
            }
        };
        connection.wait(look)
    };
    ids.iter().map(look).collect()
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
            sender.keystore.nonces(transaction.content.wallet).resolve(transaction.content.nonce)?;
            bar.advance(step as u64);
        }
    }
    Ok(())
}
