//! The node's own keys: read from encrypted key files at start, with a passphrase from a file or a service credential.

use std::path::PathBuf;

use ledger::values::{ChainId, SecretKey};
use wallet::{KeyFile, KeyFileError, KeyKind, Passphrase, PassphraseError, Secret};

use crate::config::KeysSection;

/// The keys a node works with. Zeroed when dropped.
pub(crate) struct Keys {
    pub(crate) network: SecretKey,
    pub(crate) consensus: Vec<(ChainId, SecretKey)>,
}

/// Why a node has no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The passphrase cannot be read.
    #[error("[keys] passphrase: {0}")]
    Passphrase(#[from] PassphraseError),
    /// A key file cannot be opened.
    #[error("[keys] {path}: {fault}")]
    KeyFile {
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

impl Keys {
    pub(crate) fn load(section: &KeysSection) -> Result<Self, KeysError> {
        let passphrase = Passphrase::load(&passphrase_path(section)?)?;
        let network = open(&section.network_key, KeyKind::NetworkKey, &passphrase)?;
        let consensus = section
            .consensus_keys
            .iter()
            .map(|entry| {
                let key = open(&entry.keystore, KeyKind::ConsensusKey, &passphrase)?;
                Ok((ChainId(entry.chain), key))
            })
            .collect::<Result<_, KeysError>>()?;
        Ok(Self { network, consensus })
    }

    /// The key that votes on a chain.
    pub(crate) fn consensus(&self, chain: ChainId) -> Option<&SecretKey> {
        self.consensus.iter().find(|(id, _)| *id == chain).map(|(_, key)| key)
    }
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

fn open(path: &PathBuf, kind: KeyKind, passphrase: &Passphrase) -> Result<SecretKey, KeysError> {
    let fault = |fault| KeysError::KeyFile { path: path.clone(), fault: Box::new(fault) };
    let file = KeyFile::load(path).map_err(fault)?;
    let secret = file.open(passphrase).map_err(fault)?;
    match secret {
        Secret::NetworkKey(key) if kind == KeyKind::NetworkKey => Ok(key),
        Secret::ConsensusKey(key) if kind == KeyKind::ConsensusKey => Ok(key),
        other => Err(fault(KeyFileError::Kind { found: other.kind(), expected: kind })),
    }
}
