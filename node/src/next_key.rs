//! The next consensus key of a chain: made beside the current one, under the same passphrase, before a proposal names it.
//!
//! ```text
//! consensus-0.key        votes now
//! consensus-0.next.key   votes from the epoch on whose set has it
//! ```
//!
//! A node that finds both opens both and votes with the one that the epoch's set has. A key is never overwritten: asked once
//! more, the same next key is told again.

use std::path::PathBuf;

use ledger::values::{ChainId, PublicKey, SecretKey};
use wallet::{KdfParams, KeyFile, KeyFileError, KeyKind, Secret};

use crate::config::NodeConfig;
use crate::keys::{self, KeysError};

/// The key that is to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKey {
    /// The chain.
    pub chain: ChainId,
    /// The key that votes now.
    pub current: PublicKey,
    /// The key that is to vote next.
    pub next: PublicKey,
    /// Its file.
    pub path: PathBuf,
    /// Whether it was made now.
    pub is_new: bool,
}

/// Why there is no next key.
#[derive(Debug, thiserror::Error)]
pub enum NextKeyError {
    /// The node votes with no key of its own there.
    #[error(
        "[keys] consensus_keys: there is none for chain {chain}. Mend: name a chain on which this node votes"
    )]
    NoKey {
        /// The chain.
        chain: ChainId,
    },
    /// The current key or the passphrase.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The next key's file.
    #[error("{path}: {fault}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: Box<KeyFileError>,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}. Mend: check /dev/urandom, then try again")]
    Randomness(getrandom::Error),
}

/// Makes the next consensus key of a chain, or tells the one that was made before.
///
/// # Errors
/// [`NextKeyError`]; nothing is written then.
pub fn next_consensus_key(config: &NodeConfig, chain: ChainId) -> Result<NextKey, NextKeyError> {
    let entry = config.keys.consensus_keys.iter().find(|entry| entry.chain == chain.0);
    let entry = entry.ok_or(NextKeyError::NoKey { chain })?;
    let passphrase = keys::passphrase(&config.keys)?;
    let (_, current) = keys::consensus_key(entry, &passphrase)?;
    let path = keys::next_keystore(&entry.keystore);
    let fault = |fault| NextKeyError::File { path: path.clone(), fault: Box::new(fault) };
    let (next, is_new) = if path.exists() {
        let file = KeyFile::load(&path).map_err(fault)?;
        file.require(KeyKind::ConsensusKey).map_err(fault)?;
        match file.open(&passphrase).map_err(fault)? {
            Secret::ConsensusKey(key) => (key.public_key(), false),
            _ => return Err(fault(KeyFileError::Mismatch)),
        }
    } else {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(NextKeyError::Randomness)?;
        let key = SecretKey::from_seed(*seed);
        let (public, secret) = (key.public_key(), Secret::ConsensusKey(key));
        let label = format!("chain {chain}, next");
        let file = KeyFile::seal(&secret, &label, &passphrase, KdfParams::default()).map_err(fault)?;
        file.save(&path).map_err(fault)?;
        (public, true)
    };
    Ok(NextKey { chain, current: current.public_key(), next, path, is_new })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wallet::Passphrase;

    use super::*;
    use crate::config::{ConsensusKeyEntry, KeysSection};

    fn config(folder: &Path) -> NodeConfig {
        let (key, passphrase_file) = (folder.join("consensus-3.key"), folder.join("passphrase"));
        let passphrase = Passphrase::generate().unwrap();
        passphrase.save(&passphrase_file).unwrap();
        let secret = Secret::ConsensusKey(SecretKey::from_seed([3; 32]));
        KeyFile::seal(&secret, "now", &passphrase, KdfParams::FAST).unwrap().save(&key).unwrap();
        let text = "[node]\ngenesis = \"g\"\ndata_directory = \"d\"\n\
            [keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\"\n";
        let path = folder.join("node.toml");
        std::fs::write(&path, text).unwrap();
        let config = NodeConfig::load(&path).unwrap();
        let consensus_keys = vec![ConsensusKeyEntry { chain: 3, keystore: key }];
        let keys = KeysSection { consensus_keys, passphrase_file: Some(passphrase_file), ..config.keys };
        NodeConfig { keys, ..config }
    }

    #[test]
    fn the_next_key_is_made_once_beside_the_current_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let made = next_consensus_key(&config, ChainId(3)).unwrap();
        assert_eq!(made.path, folder.path().join("consensus-3.next.key"));
        assert_eq!(made.current, SecretKey::from_seed([3; 32]).public_key());
        assert!(made.is_new && made.next != made.current);
        let told = next_consensus_key(&config, ChainId(3)).unwrap();
        assert_eq!(told, NextKey { is_new: false, ..made });
        assert!(matches!(
            next_consensus_key(&config, ChainId(0)),
            Err(NextKeyError::NoKey { chain: ChainId(0) })
        ));
    }
}
