//! The keys of a node in one key file: its network key and a consensus key per chain. Always encrypted; the
//! passphrase comes from a file (mode 0600, or a credential of the service manager) that the node's
//! configuration names.

use std::collections::BTreeMap;
use std::path::Path;

use ledger::records::genesis::CHAINS_MAX;
use ledger::values::{ChainId, PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::key_file::{KeyFile, KeyFileError, KeyKind, Secret};
use crate::passphrase::{Passphrase, PassphraseError};

const KEY_BYTES: usize = 32;
const ENTRY_BYTES: usize = 4 + KEY_BYTES;

/// The keys. Zeroed when dropped.
#[derive(Debug, Clone)]
pub struct NodeKeys {
    /// Its libp2p identity.
    pub network: SecretKey,
    /// What it votes and seals with, per chain; at most [`CHAINS_MAX`].
    pub consensus: BTreeMap<ChainId, SecretKey>,
}

/// Why a node has no keys.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeysError {
    /// The passphrase file.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
}

impl NodeKeys {
    /// Opens a key file with the passphrase in another file.
    ///
    /// # Errors
    /// [`NodeKeysError`].
    pub fn load(key_file: &Path, passphrase_file: &Path) -> Result<Self, NodeKeysError> {
        let file = KeyFile::load(key_file)?;
        file.require(KeyKind::NodeKeys)?;
        match file.open(&Passphrase::load(passphrase_file)?)? {
            Secret::NodeKeys(keys) => Ok(keys),
            other => Err(KeyFileError::Kind { found: other.kind(), expected: KeyKind::NodeKeys }.into()),
        }
    }

    /// The public keys, with what they are for.
    #[must_use]
    pub fn public_keys(&self) -> Vec<(String, PublicKey)> {
        let network = ("network".to_owned(), self.network.public_key());
        let consensus =
            self.consensus.iter().map(|(chain, key)| (format!("consensus/{chain}"), key.public_key()));
        std::iter::once(network).chain(consensus).collect()
    }

    /// Network key, then chain and consensus key by ascending chain.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Allocated once: growing would leave copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + ENTRY_BYTES * self.consensus.len()));
        bytes.extend_from_slice(self.network.seed());
        for (chain, key) in &self.consensus {
            bytes.extend_from_slice(&chain.0.to_le_bytes());
            bytes.extend_from_slice(key.seed());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (network, rest) = bytes.split_first_chunk::<KEY_BYTES>()?;
        let (entries, tail) = rest.as_chunks::<ENTRY_BYTES>();
        if !tail.is_empty() || entries.len() > CHAINS_MAX {
            return None;
        }
        let mut consensus = BTreeMap::new();
        for entry in entries {
            let (chain, key) = entry.split_first_chunk::<4>()?;
            let key = SecretKey::from_seed(key.try_into().ok()?);
            consensus.insert(ChainId(u32::from_le_bytes(*chain)), key);
        }
        (consensus.len() == entries.len())
            .then(|| Self { network: SecretKey::from_seed(*network), consensus })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kdf::KdfParams;

    #[test]
    fn a_node_starts_from_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let (key_path, passphrase_path) = (folder.path().join("node.key"), folder.path().join("passphrase"));
        let consensus = BTreeMap::from([(ChainId(3), SecretKey::from_seed([2; 32]))]);
        let keys = NodeKeys { network: SecretKey::from_seed([1; 32]), consensus };
        let passphrase = Passphrase::generate().unwrap();
        passphrase.save(&passphrase_path).unwrap();
        let sealed =
            KeyFile::seal(&Secret::NodeKeys(keys.clone()), "node 0", &passphrase, KdfParams::FAST).unwrap();
        sealed.save(&key_path).unwrap();
        let loaded = NodeKeys::load(&key_path, &passphrase_path).unwrap();
        assert_eq!(loaded.public_keys(), keys.public_keys());
        assert_eq!(sealed.public_keys()[1].role, "consensus/3");
    }

    #[test]
    fn cut_or_doubled_bytes_are_no_keys() {
        let entry = [[0; 4].as_slice(), &[7; 32]].concat();
        let good = [[1; 32].as_slice(), &entry].concat();
        assert!(NodeKeys::from_bytes(&good).is_some());
        assert!(NodeKeys::from_bytes(&good[..67]).is_none());
        assert!(NodeKeys::from_bytes(&[good.as_slice(), &entry].concat()).is_none());
        assert!(NodeKeys::from_bytes(&[]).is_none());
    }
}
