//! Wallets at rest: a folder with one public entry per wallet, encrypted seeds, and the nonces in use.
//!
//! ```text
//! NAME.wallet.json     public: network, id, policy, salt, and which key of which seed is its own
//! NAME.key             an encrypted seed ([`wallet::KeyFile`]); several wallets may share one
//! nonces/chain-N/      which nonces are in use on a chain ([`wallet::NonceBook`])
//! ```
//!
//! A wallet's id depends on the network, so an entry belongs to one network and commands refuse it elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;
use ledger::records::Policy;
use ledger::values::id::WalletSalt;
use ledger::values::{ChainId, Currency, GenesisHash, PublicKey, SecretKey, WalletId};
use serde::{Deserialize, Serialize};
use wallet::{KeyFile, KeyFileError, KeyKind, NonceBook, Passphrase, Secret};

use crate::failure::{Answer, Exit, Failure};

/// Version of the entries.
const FORMAT: u32 = 1;
/// Most bytes of an entry: 16 keys.
const ENTRY_BYTES_MAX: u64 = 16 << 10;
/// Most wallets of a keystore.
pub const WALLETS_MAX: usize = 100_000;
/// Most bytes of a wallet's name.
pub const NAME_BYTES_MAX: usize = 48;
const ENTRY_SUFFIX: &str = ".wallet.json";

/// Where the keystore is.
#[derive(Debug, Clone, Args)]
pub struct KeystoreOptions {
    /// Folder of wallets; without it ~/.local/share/jiaozi.
    #[arg(long, value_name = "DIR", env = "JIAOZI_HOME")]
    pub keystore: Option<PathBuf>,
}

/// A folder of wallets.
#[derive(Debug, Clone)]
pub struct Keystore {
    folder: PathBuf,
}

/// A wallet's public entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletEntry {
    format: u32,
    /// Its name here.
    pub name: String,
    /// The network it is of.
    pub genesis_hash: String,
    /// The currency it holds.
    pub currency: String,
    /// Its id.
    pub id: String,
    /// Signatures needed.
    pub threshold: u8,
    /// Keys of its policy, hexadecimal, ascending.
    pub keys: Vec<String>,
    /// Salt of its id, hexadecimal.
    pub salt: String,
    /// The operator whose own wallet it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<u16>,
    /// Key file with the seed, in this folder.
    pub seed: String,
    /// Index of its own key under the seed.
    pub index: u32,
}

/// What an entry is made of.
#[derive(Debug, Clone)]
pub struct NewWallet {
    /// Its name.
    pub name: String,
    /// The network.
    pub genesis: GenesisHash,
    /// The currency.
    pub currency: Currency,
    /// Who signs.
    pub policy: Policy,
    /// Salt of its id.
    pub salt: WalletSalt,
    /// The operator whose own wallet it is.
    pub operator: Option<u16>,
    /// Key file with the seed, in this folder.
    pub seed: String,
    /// Index of its own key under the seed.
    pub index: u32,
}

impl KeystoreOptions {
    /// The keystore. It need not exist yet.
    ///
    /// # Errors
    /// [`Failure`] when no folder was named and there is no home.
    pub fn open(&self) -> Answer<Keystore> {
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/jiaozi"));
        let folder = self.keystore.clone().or_else(home).ok_or_else(|| {
            Failure::usage("keystore_missing", "there is no home folder to look for wallets in")
                .at("--keystore")
                .mend("name a folder with --keystore or JIAOZI_HOME")
        })?;
        Ok(Keystore::at(folder))
    }
}

impl Keystore {
    /// The keystore in `folder`.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file of a seed.
    #[must_use]
    pub fn seed_path(&self, seed: &str) -> PathBuf {
        self.folder.join(seed)
    }

    /// Nonces of a wallet on a chain: an operator's own wallet is on several, with lanes of its own on each.
    #[must_use]
    pub fn nonces(&self, chain: ChainId, wallet: WalletId) -> NonceBook {
        NonceBook::at(&self.folder.join("nonces").join(format!("chain-{chain}")), wallet)
    }

    /// All wallets by name.
    ///
    /// # Errors
    /// [`Failure`] when the folder or an entry cannot be read.
    pub fn list(&self) -> Answer<Vec<WalletEntry>> {
        let folder = match std::fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(fault) => return Err(Failure::io("read", &self.folder, &fault)),
        };
        let mut names = Vec::new();
        for entry in folder {
            let name = entry.map_err(|fault| Failure::io("read", &self.folder, &fault))?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(ENTRY_SUFFIX)).map(str::to_owned);
            names.extend(name);
            if names.len() > WALLETS_MAX {
                return Err(Failure::refused(
                    "keystore_full",
                    format_args!("more than {WALLETS_MAX} wallets"),
                )
                .at("--keystore")
                .mend("use several keystores"));
            }
        }
        names.sort_unstable();
        names.iter().map(|name| self.find(name)).collect()
    }

    /// A wallet by name.
    ///
    /// # Errors
    /// [`Failure`] when there is none.
    pub fn find(&self, name: &str) -> Answer<WalletEntry> {
        check_name(name)?;
        let path = self.entry_path(name);
        let unknown = || {
            Failure::usage(
                "wallet_name",
                format_args!("there is no wallet {name} in {}", self.folder.display()),
            )
            .mend("see: jiaozi wallet list")
        };
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Err(unknown()),
            Err(fault) => return Err(Failure::io("read", &path, &fault)),
        };
        let wrong = |reason: &dyn std::fmt::Display| {
            Failure::usage("wallet_entry", format_args!("{}: {reason}", path.display()))
                .mend("restore the file from a copy, or recover the wallet from its words")
        };
        if length > ENTRY_BYTES_MAX {
            return Err(wrong(&"larger than any entry"));
        }
        let text = std::fs::read_to_string(&path).map_err(|fault| Failure::io("read", &path, &fault))?;
        let entry: WalletEntry = serde_json::from_str(&text).map_err(|fault| wrong(&fault))?;
        if entry.format != FORMAT || entry.name != name {
            return Err(wrong(&"of another format or name"));
        }
        entry.check().map_err(|field| wrong(&format_args!("the field {field} is malformed")))?;
        Ok(entry)
    }

    /// Whether there is a wallet of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        check_name(name).is_ok() && self.entry_path(name).exists()
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`Failure`] when the name is taken.
    pub fn add(&self, new: NewWallet) -> Answer<WalletEntry> {
        check_name(&new.name)?;
        let id = WalletId::derive(new.genesis, new.currency, new.policy.hash(), &new.salt);
        let entry = WalletEntry {
            format: FORMAT,
            name: new.name,
            genesis_hash: new.genesis.to_string(),
            currency: new.currency.to_string(),
            id: id.to_string(),
            threshold: new.policy.threshold,
            keys: new.policy.keys.iter().map(ToString::to_string).collect(),
            salt: const_hex::encode(new.salt),
            operator: new.operator,
            seed: new.seed,
            index: new.index,
        };
        let json =
            serde_json::to_string_pretty(&entry).map_err(|fault| Failure::refused("wallet_entry", fault))?;
        let path = self.entry_path(&entry.name);
        wallet::files::create_private(&path, (json + "\n").as_bytes())
            .map_err(|fault| Failure::usage("wallet_entry", fault).at("NAME"))?;
        Ok(entry)
    }

    /// Stores a seed and the wallet under it, or neither.
    ///
    /// # Errors
    /// [`Failure`] when the name is taken.
    pub fn add_with_seed(&self, file: &KeyFile, new: NewWallet) -> Answer<WalletEntry> {
        check_name(&new.name)?;
        let seed = self.seed_path(&new.seed);
        self.save_seed(&new.seed, file)?;
        self.add(new).inspect_err(|_| {
            // What is told is why there is no wallet, not that its seed could not be removed.
            let _ = std::fs::remove_file(&seed);
        })
    }

    /// Encrypts a seed into a new file.
    ///
    /// # Errors
    /// [`Failure`] when the file exists.
    pub fn save_seed(&self, seed: &str, file: &KeyFile) -> Answer {
        Ok(file.save(&self.seed_path(seed))?)
    }

    /// The secret key of a wallet.
    ///
    /// # Errors
    /// [`Failure`] when the seed does not open, or makes another key.
    pub fn secret(&self, entry: &WalletEntry, passphrase: &Passphrase) -> Answer<SecretKey> {
        let path = self.seed_path(&entry.seed);
        let file = KeyFile::load(&path)?;
        file.require(KeyKind::WalletSeed)?;
        let Secret::WalletSeed(seed) = file.open(passphrase)? else {
            return Err(KeyFileError::Mismatch.into());
        };
        let secret = seed.key(0, entry.index);
        if entry.keys.contains(&secret.public_key().to_string()) {
            Ok(secret)
        } else {
            Err(KeyFileError::Mismatch.into())
        }
    }

    fn entry_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{ENTRY_SUFFIX}"))
    }
}

impl WalletEntry {
    /// Names the first field that cannot be read.
    fn check(&self) -> Result<(), &'static str> {
        let policy = self.policy().map_err(|_| "keys")?;
        let genesis: GenesisHash = self.genesis_hash.parse().map_err(|_| "genesis_hash")?;
        let currency: Currency = self.currency.parse().map_err(|_| "currency")?;
        let salt: WalletSalt = const_hex::decode_to_array(&self.salt).map_err(|_| "salt")?;
        if check_name(self.seed.strip_suffix(".key").unwrap_or_default()).is_err() {
            return Err("seed");
        }
        let id = WalletId::derive(genesis, currency, policy.hash(), &salt);
        if id.to_string() == self.id { Ok(()) } else { Err("id") }
    }

    /// Who signs.
    ///
    /// # Errors
    /// [`Failure`] when the entry is malformed, which reading it refuses.
    pub fn policy(&self) -> Answer<Policy> {
        let keys: Result<Vec<PublicKey>, _> = self.keys.iter().map(|key| key.parse()).collect();
        let keys = keys.map_err(|fault| Failure::usage("wallet_entry", fault))?;
        Policy::new(self.threshold, keys).map_err(|fault| Failure::usage("wallet_entry", fault))
    }

    /// The id.
    ///
    /// # Errors
    /// [`Failure`] when the entry is malformed, which reading it refuses.
    pub fn wallet_id(&self) -> Answer<WalletId> {
        self.id.parse().map_err(|fault| Failure::usage("wallet_entry", fault))
    }

    /// The currency.
    ///
    /// # Errors
    /// [`Failure`] when the entry is malformed, which reading it refuses.
    pub fn currency(&self) -> Answer<Currency> {
        self.currency.parse().map_err(|fault| Failure::usage("wallet_entry", fault))
    }

    /// The wallet of the same policy and salt in another currency. Operators have their own wallets in every currency.
    ///
    /// # Errors
    /// [`Failure`] when the entry is malformed, which reading it refuses.
    pub fn in_currency(self, currency: Currency) -> Answer<Self> {
        if self.currency()? == currency {
            return Ok(self);
        }
        let genesis: GenesisHash =
            self.genesis_hash.parse().map_err(|fault| Failure::usage("wallet_entry", fault))?;
        let id = WalletId::derive(genesis, currency, self.policy()?.hash(), &self.wallet_salt()?);
        Ok(Self { currency: currency.to_string(), id: id.to_string(), ..self })
    }

    /// The salt.
    ///
    /// # Errors
    /// [`Failure`] when the entry is malformed, which reading it refuses.
    pub fn wallet_salt(&self) -> Answer<WalletSalt> {
        const_hex::decode_to_array(&self.salt).map_err(|fault| Failure::usage("wallet_entry", fault))
    }

    /// Refuses a network that the wallet is not of.
    ///
    /// # Errors
    /// [`Failure`] naming both.
    pub fn require_network(&self, genesis: GenesisHash) -> Answer {
        if self.genesis_hash == genesis.to_string() {
            return Ok(());
        }
        let message =
            format!("wallet {} is of network {}, the node is of {genesis}", self.name, self.genesis_hash);
        Err(Failure::usage("other_network", message).at("--node").mend("name a node of the wallet's network"))
    }
}

/// Names become file names: letters, digits, `-` and `_`.
///
/// # Errors
/// [`Failure`] otherwise.
pub fn check_name(name: &str) -> Answer {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Ok(());
    }
    Err(Failure::usage("name", format_args!("{name:?} cannot be the name of a wallet"))
        .at("NAME")
        .mend(format!("use up to {NAME_BYTES_MAX} letters, digits, - and _")))
}

impl From<KeyFileError> for Failure {
    fn from(fault: KeyFileError) -> Self {
        let (exit, code) = match &fault {
            KeyFileError::Passphrase => (Exit::Refused, "passphrase_wrong"),
            KeyFileError::Randomness(_) => (Exit::Unreachable, "randomness"),
            _ => (Exit::Usage, "key_file"),
        };
        Self::new(exit, code, fault)
    }
}

#[cfg(test)]
mod tests {
    use wallet::{KdfParams, WalletSeed};

    use super::*;

    fn new(name: &str, key: PublicKey) -> NewWallet {
        NewWallet {
            name: name.into(),
            genesis: GenesisHash([1; 32]),
            currency: Currency(*b"CNY"),
            policy: Policy::single(key),
            salt: [0; 16],
            operator: None,
            seed: format!("{name}.key"),
            index: 3,
        }
    }

    #[test]
    fn a_wallet_comes_back_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().join("new"));
        assert_eq!(keystore.list().unwrap(), []);
        let seed = WalletSeed::generate(wallet::seed::Words::Twelve).unwrap();
        let passphrase = Passphrase::generate().unwrap();
        let key = seed.key(0, 3).public_key();
        let file = KeyFile::seal(&Secret::WalletSeed(seed), "alice", &passphrase, KdfParams::FAST).unwrap();
        keystore.save_seed("alice.key", &file).unwrap();
        let entry = keystore.add(new("alice", key)).unwrap();
        assert_eq!(keystore.list().unwrap(), std::slice::from_ref(&entry));
        assert_eq!(keystore.secret(&entry, &passphrase).unwrap().public_key(), key);
        let wrong = keystore.secret(&entry, &Passphrase::generate().unwrap()).unwrap_err();
        assert_eq!((wrong.exit, wrong.code.as_str()), (Exit::Refused, "passphrase_wrong"));
        assert_eq!(keystore.add(new("alice", key)).unwrap_err().code, "wallet_entry", "the name is taken");
        let taken = NewWallet { seed: "other.key".into(), ..new("alice", key) };
        assert_eq!(keystore.add_with_seed(&file, taken).unwrap_err().code, "wallet_entry");
        assert!(!keystore.seed_path("other.key").exists(), "no seed without its wallet");
        assert!(entry.require_network(GenesisHash([1; 32])).is_ok());
        assert_eq!(entry.require_network(GenesisHash([2; 32])).unwrap_err().code, "other_network");
    }

    #[test]
    fn an_entry_knows_the_same_wallet_in_another_currency() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().to_owned());
        let key = SecretKey::from_seed([5; 32]).public_key();
        let entry = keystore.add(new("bank", key)).unwrap();
        let hkd = Currency(*b"HKD");
        let other = entry.clone().in_currency(hkd).unwrap();
        let expected = WalletId::derive(GenesisHash([1; 32]), hkd, Policy::single(key).hash(), &[0; 16]);
        assert_eq!((other.wallet_id().unwrap(), other.currency().unwrap()), (expected, hkd));
        assert_eq!(other.in_currency(Currency(*b"CNY")).unwrap(), entry);
    }

    #[test]
    fn a_changed_entry_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().to_owned());
        let key = SecretKey::from_seed([5; 32]).public_key();
        keystore.add(new("bob", key)).unwrap();
        let path = folder.path().join("bob.wallet.json");
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [
            ("\"salt\": \"00", "\"salt\": \"01"),
            ("\"CNY\"", "\"USD\""),
            ("bob.key", "../bob.key"),
            ("\"name\": \"bob\"", "\"name\": \"eve\""),
            ("\"format\": 1", "\"format\": 2"),
        ] {
            assert!(text.contains(from));
            std::fs::write(&path, text.replace(from, to)).unwrap();
            assert_eq!(keystore.find("bob").unwrap_err().code, "wallet_entry", "{from}");
        }
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        for bad in ["", "..", "a/b", "a.b", "ü", " a", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(check_name(bad).unwrap_err().code, "name", "{bad:?}");
        }
        check_name("bank-1_b").unwrap();
    }
}
