//! Wallets to play with: opened by the first bank on every chain, funded with newly issued money of its currency.

use std::time::Duration;

use api::network::ChainPlace;
use api::{ClientError, ErrorCode, NetworkView};
use ledger::records::operation::{OPENINGS_MAX, PAYMENTS_MAX};
use ledger::records::{Operation, Payment, Policy, Tier, Transaction, WalletOpening};
use ledger::values::{Amount, ChainId, Currency, SecretKey, TransactionId, WalletId};
use serde::Serialize;
use wallet::seed::Words;
use wallet::{KdfParams, KeyFile, Passphrase, Secret, WalletSeed};

use super::create::CENTRAL_BANK;
use super::layout::{BankEntry, Layout};
use crate::connection::{Connection, NodeOptions, Terms};
use crate::failure::{Answer, Failure};
use crate::keystore::{Keystore, NewWallet, WALLETS_MAX, WalletEntry};
use crate::output::Output;
use crate::progress::Progress;
use crate::send::{Wait, WaitOptions, outcome};
use crate::sender::Sender;

/// Most wallets opened at once, on all chains together.
pub const DEMO_WALLETS_MAX: usize = 10_000;
const _: () = assert!(DEMO_WALLETS_MAX < WALLETS_MAX);
/// What every wallet is funded with.
pub const FUNDS: Amount = Amount::from_fen(100_000);
/// How long one transaction may take to be certified.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(60);
/// Transactions on their way at once: below the window of a nonce lane.
const IN_FLIGHT: usize = 64;
/// Salts tried until a wallet is at home on the chain that it is meant for: far beyond what the most shards need.
const SALTS_MAX: u128 = 65_536;
const SEED_FILE: &str = "demo.key";
const BANK: &str = "bank-1";

/// Wallets of one chain that were opened and funded just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Funded {
    /// The chain.
    pub chain: u32,
    /// Its currency.
    pub currency: String,
    /// How many.
    pub opened: usize,
    /// What each was funded with, in fen.
    pub funds_fen: u64,
    /// Name of the first.
    pub first: String,
    /// Name of the last.
    pub last: String,
}

/// The name of a wallet: `wallet-3` in a network of one chain, else after currency and shard, `hkd-0-3`.
#[must_use]
pub fn name_of(place: &ChainPlace, chains: usize, number: usize) -> String {
    match chains {
        1 => format!("wallet-{number}"),
        _ => format!("{}-{}-{number}", place.currency.to_lowercase(), place.shard),
    }
}

/// Opens and funds wallets 1 to `count` on every chain, as far as they do not exist; gives what is new.
///
/// A wallet gets into the keystore last. So a run that ended in between is taken up by the next one: it opens what the
/// chain does not have, and funds what holds nothing.
///
/// # Errors
/// [`Failure`] when there would be too many, or the network refuses or does not answer.
pub fn fund(layout: &Layout, bank: &BankEntry, count: usize, output: Output) -> Answer<Vec<Funded>> {
    let keystore = Keystore::at(layout.wallets());
    let passphrase =
        Passphrase::load(&layout.passphrase()).map_err(|fault| Failure::usage("passphrase", fault))?;
    let node = NodeOptions { node: bank.url(), token_file: None, ca_file: None, chain: None };
    let connection = node.connect()?;
    let network = connection.network(None)?;
    let chains = network.chains.len();
    if count.saturating_mul(chains) > DEMO_WALLETS_MAX {
        let message =
            format!("{count} wallets on each of {chains} chains; at most {DEMO_WALLETS_MAX} in all");
        return Err(Failure::usage("localnet_wallets", message).at("--wallets").mend("open fewer"));
    }
    let is_resumed = keystore.seed_path(SEED_FILE).exists();
    let seed = demo_seed(&keystore, &passphrase)?;
    let mut tasks = Vec::new();
    for (position, place) in network.chains.iter().enumerate() {
        if !is_home(&network, place)? {
            continue;
        }
        let new = new_wallets(&keystore, &network, place, position, count, &seed)?;
        if !new.is_empty() {
            tasks.push(Tasks::of(&connection, place, new, is_resumed)?);
        }
    }
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let steps: usize = tasks.iter().map(|tasks| tasks.openings.len() + tasks.payments.len()).sum();
    let bar = Progress::new("opening and funding wallets", Some(steps as u64), output.is_json());
    let party = |name: &str| {
        let entry = keystore.find(name)?;
        Ok::<_, Failure>(Party { key: keystore.secret(&entry, &passphrase)?, entry })
    };
    let (bank, central) = (party(BANK)?, party(CENTRAL_BANK)?);
    let currency = bank.entry.currency()?;
    let terms = Terms { genesis: network.genesis_hash, chain: ChainId(0), currency };
    let mut sender = Sender::new(connection, network, terms, keystore.clone(), bank.entry.clone());
    let mut funded = Vec::new();
    for tasks in tasks {
        sender = tasks.send(sender, &bank, &central, &bar)?;
        funded.extend(tasks.funded());
        for new in tasks.wallets {
            keystore.add(new)?;
        }
    }
    Ok(funded)
}

/// Whether wallets are at home on a chain: not yet on one that was added just now.
fn is_home(network: &NetworkView, place: &ChainPlace) -> Answer<bool> {
    let currency: Currency = place.currency.parse().map_err(|fault| Failure::refused("currency", fault))?;
    Ok(network.shards(currency).contains(&ChainId(place.chain)))
}

/// The wallets of a chain that the keystore does not have, each at home there. `position` is that of the chain in the network.
fn new_wallets(
    keystore: &Keystore,
    network: &NetworkView,
    place: &ChainPlace,
    position: usize,
    count: usize,
    seed: &WalletSeed,
) -> Answer<Vec<NewWallet>> {
    let (genesis, chain) = (network.genesis_hash, ChainId(place.chain));
    let currency: Currency = place.currency.parse().map_err(|fault| Failure::refused("currency", fault))?;
    let mut new = Vec::new();
    for number in 1..=count {
        let name = name_of(place, network.chains.len(), number);
        if keystore.has(&name) {
            continue;
        }
        // Every wallet has a key of its own, and the same one whenever a run is taken up.
        let index = u32::try_from(position * DEMO_WALLETS_MAX + number).unwrap_or(u32::MAX);
        let policy = Policy::single(seed.key(0, index).public_key());
        let is_home = |salt: &[u8; 16]| {
            network.homes(currency, WalletId::derive(genesis, currency, policy.hash(), salt)) == [chain]
        };
        let salt = (0..SALTS_MAX).map(u128::to_le_bytes).find(is_home).ok_or_else(|| {
            Failure::refused("wallet_home", format_args!("no wallet is at home on chain {chain}"))
        })?;
        let seed = SEED_FILE.to_owned();
        new.push(NewWallet { name, genesis, currency, policy, salt, operator: None, seed, index });
    }
    Ok(new)
}

/// What is to be done on one chain.
struct Tasks {
    chain: ChainId,
    currency: Currency,
    /// All that are new in the keystore; some may be open and funded already.
    wallets: Vec<NewWallet>,
    openings: Vec<WalletOpening>,
    payments: Vec<Payment>,
}

/// A wallet that signs.
struct Party {
    entry: WalletEntry,
    key: SecretKey,
}

impl Party {
    /// Its own wallet in a currency: operators have one in each.
    fn entry_in(&self, currency: Currency) -> Answer<WalletEntry> {
        self.entry.clone().in_currency(currency)
    }
}

impl Tasks {
    /// Opening and funding these wallets; where a run is taken up, what the chain has of them already is left out.
    fn of(
        connection: &Connection,
        place: &ChainPlace,
        wallets: Vec<NewWallet>,
        is_resumed: bool,
    ) -> Answer<Self> {
        let chain = ChainId(place.chain);
        let currency: Currency =
            place.currency.parse().map_err(|fault| Failure::refused("currency", fault))?;
        let (mut openings, mut payments) = (Vec::new(), Vec::new());
        for new in &wallets {
            let policy = new.policy.hash();
            let payee = WalletId::derive(new.genesis, new.currency, policy, &new.salt);
            let held = if is_resumed { balance(connection, chain, payee)? } else { None };
            if held.is_none() {
                openings.push(WalletOpening { policy, salt: new.salt, tier: Tier::Two });
            }
            if held.is_none_or(|held| held == 0) {
                payments.push(Payment { payee, amount: FUNDS });
            }
        }
        Ok(Self { chain, currency, wallets, openings, payments })
    }

    fn funded(&self) -> Option<Funded> {
        let (first, last) = (self.wallets.first()?, self.wallets.last()?);
        Some(Funded {
            chain: self.chain.0,
            currency: self.currency.to_string(),
            opened: self.wallets.len(),
            funds_fen: FUNDS.fen(),
            first: first.name.clone(),
            last: last.name.clone(),
        })
    }

    /// Opens, issues what is needed to the bank's own wallet on this chain, and pays it on. Gives the sender back.
    fn send(&self, sender: Sender, bank: &Party, central: &Party, bar: &Progress) -> Answer<Sender> {
        let bank_entry = bank.entry_in(self.currency)?;
        let mut sender = sender.on(self.chain).of(bank_entry.clone());
        sender.terms.currency = self.currency;
        let opens = self.openings.chunks(OPENINGS_MAX);
        let opens = opens.map(|group| Operation::OpenWallets { wallets: group.to_vec() });
        send_all(&sender, &bank.key, opens, bar, OPENINGS_MAX)?;
        if self.payments.is_empty() {
            return Ok(sender);
        }
        let amount = Amount::from_fen(FUNDS.fen().saturating_mul(self.payments.len() as u64));
        let issue = Operation::Issue { to: bank_entry.wallet_id()?, amount };
        let sender = sender.of(central.entry_in(self.currency)?);
        send_all(&sender, &central.key, std::iter::once(issue), bar, 0)?;
        let sender = sender.of(bank_entry);
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
        let transactions: Vec<Transaction> = group
            .iter()
            .map(|operation| sender.sign(operation.clone(), key, Output::new(true)))
            .collect::<Answer<_>>()?;
        let options = WaitOptions {
            wait: Wait::None,
            timeout: Some(CERTIFIED_WITHIN.as_secs()),
            legs: crate::send::LegOptions::default(),
        };
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

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::NodeIndex;

    use super::*;

    #[test]
    fn every_chain_gets_wallets_that_are_at_home_there_under_names_that_say_so() {
        let mut plan = LocalnetPlan::new(4);
        plan.chains = vec![(Currency(*b"CNY"), 0), (Currency(*b"CNY"), 1), (Currency(*b"HKD"), 0)];
        let spec = localnet(&plan, &[1; 32]).unwrap().spec;
        let network = NetworkView::new(&spec, NodeIndex(0), "0", |_| false);
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().to_owned());
        let seed = WalletSeed::generate(Words::TwentyFour).unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for (position, place) in network.chains.iter().enumerate() {
            let new = new_wallets(&keystore, &network, place, position, 8, &seed).unwrap();
            let names: Vec<String> = new.iter().map(|new| new.name.clone()).collect();
            let prefix = ["cny-0", "cny-1", "hkd-0"][position];
            assert_eq!(names, (1..=8).map(|number| format!("{prefix}-{number}")).collect::<Vec<_>>());
            for new in &new {
                let id = WalletId::derive(new.genesis, new.currency, new.policy.hash(), &new.salt);
                assert_eq!(network.homes(new.currency, id), [ChainId(place.chain)]);
                assert!(keys.insert(new.index), "a key for each wallet");
            }
        }
        let one = LocalnetPlan::new(4);
        let spec = localnet(&one, &[1; 32]).unwrap().spec;
        let network = NetworkView::new(&spec, NodeIndex(0), "0", |_| false);
        let new = new_wallets(&keystore, &network, &network.chains[0], 0, 1, &seed).unwrap();
        assert_eq!((new[0].name.as_str(), new[0].salt), ("wallet-1", [0; 16]));
    }
}
