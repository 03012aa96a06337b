//! The node's own keys: read from encrypted key files at start, with a passphrase from a file or a service credential.

use std::path::{Path, PathBuf};

use ledger::values::{ChainId, SecretKey};
use wallet::{KeyFile, KeyFileError, KeyKind, Passphrase, PassphraseError, Secret};

use crate::config::{ConsensusKeyEntry, KeysSection};

/// The keys a node works with. Zeroed when dropped.
pub(crate) struct Keys {
    pub(crate) network: SecretKey,
    /// A chain may have several, one of which its set names.
    pub(crate) consensus: Vec<(ChainId, SecretKey)>,
}

/// Why a node has no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The passphrase cannot be read.
    #[error("[keys] {}: {fault}", short(.field))]
    Passphrase {
        /// Where it was to come from.
        field: &'static str,
        /// Why.
        fault: PassphraseError,
    },
    /// A key file cannot be opened.
    #[error("[keys] {} {path}: {fault}", short(.field))]
    KeyFile {
        /// Which key.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        fault: Box<KeyFileError>,
    },
    /// A credential is named, but the service manager gave none.
    #[error(
        "[keys] passphrase_credential: $CREDENTIALS_DIRECTORY is not set. Mend: start the node by the service manager that holds the credential, or name a passphrase_file"
    )]
    NoCredentials,
}

impl KeysError {
    /// The field of the configuration that it is about.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match *self {
            Self::Passphrase { field, .. } | Self::KeyFile { field, .. } => field,
            Self::NoCredentials => CREDENTIAL,
        }
    }
}

impl Keys {
    pub(crate) fn load(section: &KeysSection) -> Result<Self, KeysError> {
        let passphrase = passphrase(section)?;
        let network = network_key(section, &passphrase)?;
        let consensus = consensus_entries(section)
            .iter()
            .map(|entry| consensus_key(entry, &passphrase))
            .collect::<Result<_, KeysError>>()?;
        Ok(Self { network, consensus })
    }

    /// The keys that may vote on a chain: the epoch's set says which one does.
    pub(crate) fn consensus(&self, chain: ChainId) -> Vec<SecretKey> {
        self.consensus.iter().filter(|(id, _)| *id == chain).map(|(_, key)| key.clone()).collect()
    }
}

/// The keystores of the configuration, each followed by the next one that lies beside it: while a key is replaced, both are there.
pub(crate) fn consensus_entries(section: &KeysSection) -> Vec<ConsensusKeyEntry> {
    let with_next = |entry: &ConsensusKeyEntry| {
        let next = ConsensusKeyEntry { chain: entry.chain, keystore: next_keystore(&entry.keystore) };
        let next = Some(next).filter(|next| next.keystore.exists());
        std::iter::once(entry.clone()).chain(next)
    };
    section.consensus_keys.iter().flat_map(with_next).collect()
}

/// Where the next key lies: `consensus-0.next.json` beside `consensus-0.json`.
pub(crate) fn next_keystore(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(".next");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Fields of the configuration.
const PASSPHRASE_FILE: &str = "keys.passphrase_file";
const CREDENTIAL: &str = "keys.passphrase_credential";
const NETWORK_KEY: &str = "keys.network_key";
const CONSENSUS_KEYS: &str = "keys.consensus_keys";

/// A field within its section.
fn short(field: &str) -> &str {
    field.trim_start_matches("keys.")
}

/// Where the passphrase comes from.
pub(crate) const fn passphrase_field(section: &KeysSection) -> &'static str {
    if section.passphrase_file.is_some() { PASSPHRASE_FILE } else { CREDENTIAL }
}

/// What opens every key file of the node.
pub(crate) fn passphrase(section: &KeysSection) -> Result<Passphrase, KeysError> {
    let (field, path) = (passphrase_field(section), passphrase_path(section)?);
    Passphrase::load(&path).map_err(|fault| KeysError::Passphrase { field, fault })
}

/// The key that names the node to its peers.
pub(crate) fn network_key(section: &KeysSection, passphrase: &Passphrase) -> Result<SecretKey, KeysError> {
    open(NETWORK_KEY, &section.network_key, KeyKind::NetworkKey, passphrase)
}

/// A key that votes, and its chain.
pub(crate) fn consensus_key(
    entry: &ConsensusKeyEntry,
    passphrase: &Passphrase,
) -> Result<(ChainId, SecretKey), KeysError> {
    let key = open(CONSENSUS_KEYS, &entry.keystore, KeyKind::ConsensusKey, passphrase)?;
    Ok((ChainId(entry.chain), key))
}

fn passphrase_path(section: &KeysSection) -> Result<PathBuf, KeysError> {
    match (&section.passphrase_file, &section.passphrase_credential) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(name)) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(KeysError::NoCredentials)?;
            Ok(PathBuf::from(folder).join(name))
        }
        (None, None) => Err(KeysError::NoCredentials),
    }
}

fn open(
    field: &'static str,
    path: &Path,
    kind: KeyKind,
    passphrase: &Passphrase,
) -> Result<SecretKey, KeysError> {
    let fault = |fault| KeysError::KeyFile { field, path: path.to_owned(), fault: Box::new(fault) };
    let file = KeyFile::load(path).map_err(fault)?;
    let secret = file.open(passphrase).map_err(fault)?;
    match secret {
        Secret::NetworkKey(key) if kind == KeyKind::NetworkKey => Ok(key),
        Secret::ConsensusKey(key) if kind == KeyKind::ConsensusKey => Ok(key),
        other => Err(fault(KeyFileError::Kind { found: other.kind(), expected: kind })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_key_lies_beside_the_one_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(next_keystore(&at("consensus-0.json")), at("consensus-0.next.json"));
        assert_eq!(next_keystore(&at("consensus-0")), at("consensus-0.next"));
        let section = KeysSection {
            network_key: at("network.json"),
            consensus_keys: vec![ConsensusKeyEntry { chain: 0, keystore: at("consensus-0.json") }],
            passphrase_file: None,
            passphrase_credential: None,
        };
        assert_eq!(consensus_entries(&section).len(), 1);
        std::fs::write(at("consensus-0.next.json"), "").unwrap();
        let entries = consensus_entries(&section);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].chain, entries[1].keystore.clone()), (0, at("consensus-0.next.json")));
    }
}
