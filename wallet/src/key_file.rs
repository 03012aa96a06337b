//! One secret at rest: a JSON file with the secret under ChaCha20-Poly1305 (RFC 8439), its key from a
//! passphrase by Argon2id.
//!
//! What stands around the secret (format, kind, label, public keys, cost, salt) is authenticated with it: a
//! changed file does not open. Every sealing draws a new salt and nonce. Files have mode 0600 and are never
//! overwritten by accident.

use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ledger::values::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files::{self, FileError};
use crate::kdf::{KdfError, KdfParams};
use crate::node_keys::NodeKeys;
use crate::passphrase::Passphrase;
use crate::seed::WalletSeed;

/// Version of the file.
pub const FORMAT: u32 = 1;
/// Most bytes of a file: a node with keys for 256 chains.
pub const KEY_FILE_BYTES_MAX: u64 = 128 * 1_024;
/// Most bytes of a label.
pub const LABEL_BYTES_MAX: usize = 64;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The seed of wallets.
    WalletSeed,
    /// An operator's cold key.
    OperatorKey,
    /// A node's network key.
    NetworkKey,
    /// A validator's consensus key.
    ConsensusKey,
    /// All keys of a node.
    NodeKeys,
}

impl KeyKind {
    const fn name(self) -> &'static str {
        match self {
            Self::WalletSeed => "wallet_seed",
            Self::OperatorKey => "operator_key",
            Self::NetworkKey => "network_key",
            Self::ConsensusKey => "consensus_key",
            Self::NodeKeys => "node_keys",
        }
    }
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A secret outside its file. Its `Debug` shows nothing.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The seed of wallets.
    WalletSeed(WalletSeed),
    /// An operator's cold key.
    OperatorKey(SecretKey),
    /// A node's network key.
    NetworkKey(SecretKey),
    /// A validator's consensus key.
    ConsensusKey(SecretKey),
    /// All keys of a node.
    NodeKeys(NodeKeys),
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    format: u32,
    kind: KeyKind,
    label: String,
    public_keys: Vec<PublicEntry>,
    kdf: KdfEntry,
    cipher: CipherEntry,
    ciphertext: String,
}

/// A public key that belongs to the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicEntry {
    /// What it is for, such as `network`, `consensus/0` or `account 0 key 0`.
    pub role: String,
    /// The key, hexadecimal.
    pub key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KdfEntry {
    name: KdfName,
    params: KdfParams,
    salt: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KdfName {
    Argon2id,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CipherEntry {
    name: CipherName,
    nonce: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CipherName {
    Chacha20Poly1305,
}

/// Why a key file cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not such a file.
    #[error("{path}: not a key file: {source}. Mend: name the right file, or restore it from a copy")]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: serde_json::Error,
    },
    /// A field cannot be read.
    #[error("the key file's {field} is malformed. Mend: restore the file from a copy")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// Another version wrote it.
    #[error(
        "the key file has format {format}; this version reads {FORMAT}. Mend: use the version that wrote it"
    )]
    Format {
        /// Found.
        format: u32,
    },
    /// The cost is out of bounds.
    #[error(
        "the key file asks for too much or too little work: {0}. \
         Mend: restore the file from a copy; it may be hostile"
    )]
    Kdf(#[from] KdfError),
    /// Wrong passphrase, or a changed file: they cannot be told apart.
    #[error(
        "the passphrase does not open the key file. \
         Mend: check the passphrase; if it is right, the file was changed"
    )]
    Passphrase,
    /// The secret does not make the public keys that stand beside it.
    #[error("the key file holds another secret than its public keys say. Mend: restore the file from a copy")]
    Mismatch,
    /// Another kind than is needed.
    #[error("the key file holds a {found}; a {expected} is needed. Mend: name the right file")]
    Kind {
        /// In the file.
        found: KeyKind,
        /// Needed.
        expected: KeyKind,
    },
    /// Too long, or with control characters.
    #[error(
        "a label has at most {LABEL_BYTES_MAX} bytes and no control characters. Mend: choose a shorter one"
    )]
    Label,
    /// Encryption failed, which no input can cause.
    #[error("the secret could not be encrypted")]
    Encryption,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}. Mend: check /dev/urandom, then try again")]
    Randomness(getrandom::Error),
}

impl Secret {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match self {
            Self::WalletSeed(_) => KeyKind::WalletSeed,
            Self::OperatorKey(_) => KeyKind::OperatorKey,
            Self::NetworkKey(_) => KeyKind::NetworkKey,
            Self::ConsensusKey(_) => KeyKind::ConsensusKey,
            Self::NodeKeys(_) => KeyKind::NodeKeys,
        }
    }

    /// Public keys that belong to it, with what they are for.
    #[must_use]
    pub fn public_keys(&self) -> Vec<(String, PublicKey)> {
        match self {
            Self::WalletSeed(seed) => vec![("account 0 key 0".to_owned(), seed.key(0, 0).public_key())],
            Self::OperatorKey(key) => vec![("operator".to_owned(), key.public_key())],
            Self::NetworkKey(key) => vec![("network".to_owned(), key.public_key())],
            Self::ConsensusKey(key) => vec![("consensus".to_owned(), key.public_key())],
            Self::NodeKeys(keys) => keys.public_keys(),
        }
    }

    fn plaintext(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::WalletSeed(seed) => Zeroizing::new(seed.entropy().to_vec()),
            Self::OperatorKey(key) | Self::NetworkKey(key) | Self::ConsensusKey(key) => {
                Zeroizing::new(key.seed().to_vec())
            }
            Self::NodeKeys(keys) => keys.to_bytes(),
        }
    }

    fn from_plaintext(kind: KeyKind, bytes: &[u8]) -> Option<Self> {
        let key = || <[u8; 32]>::try_from(bytes).ok().map(SecretKey::from_seed);
        Some(match kind {
            KeyKind::WalletSeed => Self::WalletSeed(WalletSeed::from_entropy(bytes).ok()?),
            KeyKind::OperatorKey => Self::OperatorKey(key()?),
            KeyKind::NetworkKey => Self::NetworkKey(key()?),
            KeyKind::ConsensusKey => Self::ConsensusKey(key()?),
            KeyKind::NodeKeys => Self::NodeKeys(NodeKeys::from_bytes(bytes)?),
        })
    }
}

impl KeyFile {
    /// Encrypts a secret.
    ///
    /// # Errors
    /// [`KeyFileError`] when the label or the cost is out of bounds.
    pub fn seal(
        secret: &Secret,
        label: &str,
        passphrase: &Passphrase,
        params: KdfParams,
    ) -> Result<Self, KeyFileError> {
        if label.len() > LABEL_BYTES_MAX || label.chars().any(char::is_control) {
            return Err(KeyFileError::Label);
        }
        let (salt, nonce) = (random::<16>()?, random::<12>()?);
        let mut file = Self {
            format: FORMAT,
            kind: secret.kind(),
            label: label.to_owned(),
            public_keys: public_entries(secret),
            kdf: KdfEntry { name: KdfName::Argon2id, params, salt: const_hex::encode(salt) },
            cipher: CipherEntry { name: CipherName::Chacha20Poly1305, nonce: const_hex::encode(nonce) },
            ciphertext: String::new(),
        };
        let key = params.derive(passphrase, &salt)?;
        let (plaintext, header) = (secret.plaintext(), file.header());
        let sealed = cipher(&key).encrypt(&Nonce::from(nonce), Payload { msg: &plaintext, aad: &header });
        file.ciphertext = const_hex::encode(sealed.map_err(|_| KeyFileError::Encryption)?);
        Ok(file)
    }

    /// Decrypts the secret. Takes as long as the file's cost says, within bounds.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<Secret, KeyFileError> {
        if self.format != FORMAT {
            return Err(KeyFileError::Format { format: self.format });
        }
        let salt = bytes::<16>("kdf.salt", &self.kdf.salt)?;
        let nonce = bytes::<12>("cipher.nonce", &self.cipher.nonce)?;
        let ciphertext =
            const_hex::decode(&self.ciphertext).map_err(|_| KeyFileError::Field { field: "ciphertext" })?;
        let key = self.kdf.params.derive(passphrase, &salt)?;
        let opened =
            cipher(&key).decrypt(&Nonce::from(nonce), Payload { msg: &ciphertext, aad: &self.header() });
        let plaintext = Zeroizing::new(opened.map_err(|_| KeyFileError::Passphrase)?);
        let secret = Secret::from_plaintext(self.kind, &plaintext).ok_or(KeyFileError::Mismatch)?;
        if public_entries(&secret) == self.public_keys { Ok(secret) } else { Err(KeyFileError::Mismatch) }
    }

    /// Reads a file, refusing one that others may read.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = files::read_private(path, KEY_FILE_BYTES_MAX, files::CLOSED_TO_ALL)?;
        serde_json::from_slice(&bytes).map_err(|source| KeyFileError::Json { path: path.to_owned(), source })
    }

    /// Writes a new file of mode 0600.
    ///
    /// # Errors
    /// [`KeyFileError`], also when the file exists.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        Ok(files::create_private(path, &self.json(path)?)?)
    }

    /// Replaces an existing file, such as after a change of passphrase.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn replace(&self, path: &Path) -> Result<(), KeyFileError> {
        Ok(files::replace_private(path, &self.json(path)?)?)
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The label for people.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The public keys beside the secret. Before the file is opened they are only what the file says.
    #[must_use]
    pub fn public_keys(&self) -> &[PublicEntry] {
        &self.public_keys
    }

    /// Refuses a file of another kind before any passphrase is asked for.
    ///
    /// # Errors
    /// [`KeyFileError::Kind`].
    pub const fn require(&self, expected: KeyKind) -> Result<(), KeyFileError> {
        if self.kind as u8 == expected as u8 {
            Ok(())
        } else {
            Err(KeyFileError::Kind { found: self.kind, expected })
        }
    }

    fn json(&self, path: &Path) -> Result<Vec<u8>, KeyFileError> {
        let json = serde_json::to_vec_pretty(self);
        let mut json = json.map_err(|source| KeyFileError::Json { path: path.to_owned(), source })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Everything but the ciphertext and the nonce, each part with its length, so that no two headers have
    /// one encoding.
    fn header(&self) -> Vec<u8> {
        let KdfParams { memory_kib, passes, lanes } = self.kdf.params;
        let numbers = [self.format, memory_kib, passes, lanes].map(u32::to_le_bytes).concat();
        let mut header = Vec::new();
        let mut part = |bytes: &[u8]| {
            header.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            header.extend_from_slice(bytes);
        };
        part(b"jiaozi/key-file");
        part(&numbers);
        part(self.kind.name().as_bytes());
        part(self.label.as_bytes());
        part(self.kdf.salt.as_bytes());
        for entry in &self.public_keys {
            part(entry.role.as_bytes());
            part(entry.key.as_bytes());
        }
        header
    }
}

fn public_entries(secret: &Secret) -> Vec<PublicEntry> {
    secret.public_keys().into_iter().map(|(role, key)| PublicEntry { role, key: key.to_string() }).collect()
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> ChaCha20Poly1305 {
    // By reference, so that no copy of the key stays behind.
    ChaCha20Poly1305::new(<&Key>::from(&**key))
}

fn random<const N: usize>() -> Result<[u8; N], KeyFileError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeyFileError::Randomness)?;
    Ok(bytes)
}

fn bytes<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], KeyFileError> {
    let mut bytes = [0; N];
    const_hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyFileError::Field { field })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ledger::values::ChainId;

    use super::*;
    use crate::kdf::MEMORY_KIB_MAX;
    use crate::seed::Words;

    fn passphrase() -> Passphrase {
        Passphrase::new("correct horse").unwrap()
    }

    fn secrets() -> Vec<Secret> {
        let key = |byte| SecretKey::from_seed([byte; 32]);
        let consensus = BTreeMap::from([(ChainId(0), key(5)), (ChainId(7), key(6))]);
        vec![
            Secret::WalletSeed(WalletSeed::generate(Words::TwentyFour).unwrap()),
            Secret::OperatorKey(key(1)),
            Secret::NetworkKey(key(2)),
            Secret::ConsensusKey(key(3)),
            Secret::NodeKeys(NodeKeys { network: key(4), consensus }),
        ]
    }

    #[test]
    fn every_kind_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        for secret in secrets() {
            let path = folder.path().join(secret.kind().name());
            let file = KeyFile::seal(&secret, "my key", &passphrase(), KdfParams::FAST).unwrap();
            file.save(&path).unwrap();
            let loaded = KeyFile::load(&path).unwrap();
            assert_eq!((loaded.kind(), loaded.label()), (secret.kind(), "my key"));
            let opened = loaded.open(&passphrase()).unwrap();
            assert_eq!(opened.plaintext(), secret.plaintext());
            assert!(file.save(&path).is_err(), "never overwritten");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains(&const_hex::encode(&*secret.plaintext())));
        }
    }

    #[test]
    fn a_wrong_passphrase_and_any_change_keep_it_shut() {
        let secret = Secret::OperatorKey(SecretKey::from_seed([9; 32]));
        let file = KeyFile::seal(&secret, "cold", &passphrase(), KdfParams::FAST).unwrap();
        let other = Passphrase::new("battery staple").unwrap();
        assert!(matches!(file.open(&other), Err(KeyFileError::Passphrase)));
        let flip = |text: &mut String| {
            let first = if text.starts_with('0') { "1" } else { "0" };
            text.replace_range(0..1, first);
        };
        let changes: [&dyn Fn(&mut KeyFile); 8] = [
            &|file| file.kind = KeyKind::NetworkKey,
            &|file| file.label.push('x'),
            &|file| flip(&mut file.public_keys[0].key),
            &|file| file.public_keys[0].role.push('x'),
            &|file| flip(&mut file.kdf.salt),
            &|file| file.kdf.params.passes = 2,
            &|file| flip(&mut file.cipher.nonce),
            &|file| flip(&mut file.ciphertext),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = file.clone();
            change(&mut changed);
            assert!(matches!(changed.open(&passphrase()), Err(KeyFileError::Passphrase)), "change {number}");
        }
    }

    #[test]
    fn hostile_files_are_refused_cheaply() {
        let secret = Secret::OperatorKey(SecretKey::from_seed([9; 32]));
        let file = KeyFile::seal(&secret, "cold", &passphrase(), KdfParams::FAST).unwrap();
        let mut greedy = file.clone();
        greedy.kdf.params.memory_kib = MEMORY_KIB_MAX + 1;
        assert!(matches!(greedy.open(&passphrase()), Err(KeyFileError::Kdf(_))));
        let mut later = file.clone();
        later.format = 2;
        assert!(matches!(later.open(&passphrase()), Err(KeyFileError::Format { format: 2 })));
        let mut cut = file.clone();
        cut.kdf.salt.clear();
        assert!(matches!(cut.open(&passphrase()), Err(KeyFileError::Field { field: "kdf.salt" })));
        assert!(matches!(file.require(KeyKind::WalletSeed), Err(KeyFileError::Kind { .. })));
        assert!(matches!(
            KeyFile::seal(&secret, "a\nb", &passphrase(), KdfParams::FAST),
            Err(KeyFileError::Label)
        ));
    }

    #[test]
    fn unknown_fields_are_refused_and_a_passphrase_can_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let secret = Secret::OperatorKey(SecretKey::from_seed([9; 32]));
        KeyFile::seal(&secret, "cold", &passphrase(), KdfParams::FAST).unwrap().save(&path).unwrap();
        let other = Passphrase::new("battery staple").unwrap();
        KeyFile::seal(&secret, "cold", &other, KdfParams::FAST).unwrap().replace(&path).unwrap();
        assert!(KeyFile::load(&path).unwrap().open(&other).is_ok());
        let text = std::fs::read_to_string(&path).unwrap().replacen('{', "{\"surprise\":1,", 1);
        files::replace_private(&path, text.as_bytes()).unwrap();
        assert!(KeyFile::load(&path).unwrap_err().to_string().contains("surprise"));
    }

    #[test]
    fn nothing_is_shown() {
        for secret in secrets() {
            let shown = format!("{secret:?}");
            assert!(shown.contains('…') && !shown.contains("04, 04") && !shown.contains("4, 4"), "{shown}");
        }
    }
}
