//! The first consensus key of a chain that is about to be added: made beside the other keys, before a proposal names it, and offered
//! under the node's own signature.
//!
//! ```text
//! consensus-0.key        votes on chain 0
//! consensus-2.key        will vote on chain 2, once operators have added it and `node.toml` hosts it
//! ```
//!
//! A key is never overwritten: asked once more, the same one is offered again.

use std::path::{Path, PathBuf};

use genesis::GenesisFile;
use genesis::governance::SeatOffer;
use ledger::values::{ChainId, PublicKey, SecretKey};
use wallet::{KdfParams, KeyFile, KeyFileError, Secret};

use crate::config::{ConsensusKeyEntry, NodeConfig};
use crate::keys;
use crate::next_key::NextKeyError;
use crate::settings::own_place;
use crate::start_error::StartError;

/// The key of a chain to come, and what the operators need to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstKey {
    /// The chain.
    pub chain: ChainId,
    /// The key that will vote.
    pub key: PublicKey,
    /// Its file.
    pub path: PathBuf,
    /// For the proposal that adds the chain.
    pub offer: SeatOffer,
    /// Whether it was made now.
    pub is_new: bool,
}

/// Why there is no first key.
#[derive(Debug, thiserror::Error)]
pub enum FirstKeyError {
    /// The genesis file or the node's place.
    #[error(transparent)]
    Node(#[from] StartError),
    /// The node votes there with a key already.
    #[error(
        "[keys] consensus_keys: there is one for chain {chain} already. \
         Mend: name the chain that is to be added; for another key, use rotate-consensus-key"
    )]
    HasKey {
        /// The chain.
        chain: ChainId,
    },
    /// Genesis has the chain.
    #[error(
        "the genesis file has chain {chain}. Mend: name the chain that is to be added; see jiaozi chain list"
    )]
    OfGenesis {
        /// The chain.
        chain: ChainId,
    },
    /// A key file, or no randomness.
    #[error(transparent)]
    Key(#[from] NextKeyError),
}

/// Makes the consensus key of a chain to come, or offers the one that was made before.
///
/// # Errors
/// [`FirstKeyError`]; nothing is written then.
pub fn first_consensus_key(config: &NodeConfig, chain: ChainId) -> Result<FirstKey, FirstKeyError> {
    if config.keys.consensus_keys.iter().any(|entry| entry.chain == chain.0) {
        return Err(FirstKeyError::HasKey { chain });
    }
    let spec = GenesisFile::load(&config.node.genesis).and_then(|file| file.spec());
    let spec = spec.map_err(StartError::from)?;
    if spec.chain(chain).is_some() {
        return Err(FirstKeyError::OfGenesis { chain });
    }
    let passphrase = keys::passphrase(&config.keys).map_err(NextKeyError::from)?;
    let network_key = keys::network_key(&config.keys, &passphrase).map_err(NextKeyError::from)?;
    let node = own_place(config, &spec, &network_key)?;
    let path = first_keystore(config, chain);
    let fault = |fault: KeyFileError| NextKeyError::File { path: path.clone(), fault: Box::new(fault) };
    let is_new = !path.exists();
    let key = if is_new {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(NextKeyError::Randomness)?;
        let key = SecretKey::from_seed(*seed);
        let (secret, label) = (Secret::ConsensusKey(key.clone()), format!("chain {chain}"));
        let file = KeyFile::seal(&secret, &label, &passphrase, KdfParams::default()).map_err(fault)?;
        file.save(&path).map_err(fault)?;
        key
    } else {
        let entry = ConsensusKeyEntry { chain: chain.0, keystore: path.clone() };
        keys::consensus_key(&entry, &passphrase).map_err(NextKeyError::from)?.1
    };
    let offer = SeatOffer::prove(spec.hash(), chain, node, &network_key, &key);
    Ok(FirstKey { chain, key: key.public_key(), path, offer, is_new })
}

/// Whether a key was made for a chain to come.
#[must_use]
pub fn has_first_key(config: &NodeConfig, chain: ChainId) -> bool {
    first_keystore(config, chain).exists()
}

/// Beside the first consensus key, or the network key of a node that only follows, with its extension.
fn first_keystore(config: &NodeConfig, chain: ChainId) -> PathBuf {
    let keystores = config.keys.consensus_keys.iter().map(|entry| entry.keystore.as_path());
    let beside: &Path = keystores.chain([config.keys.network_key.as_path()]).next().unwrap_or(Path::new(""));
    let mut path = beside.with_file_name(format!("consensus-{chain}"));
    if let Some(extension) = beside.extension() {
        path.set_extension(extension);
    }
    path
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::Registry;
    use ledger::values::NodeIndex;
    use wallet::Passphrase;

    use super::*;

    #[test]
    fn a_chain_to_come_gets_one_key_which_is_offered_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let network = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap();
        GenesisFile::from_spec(&network.spec).save(&at("genesis.json")).unwrap();
        let passphrase = Passphrase::generate().unwrap();
        passphrase.save(&at("passphrase")).unwrap();
        let bank = &network.banks[1];
        for (secret, name) in [
            (Secret::NetworkKey(bank.network_key.clone()), "network.json"),
            (Secret::ConsensusKey(bank.validators[0].2.clone()), "consensus-0.json"),
        ] {
            KeyFile::seal(&secret, name, &passphrase, KdfParams::FAST).unwrap().save(&at(name)).unwrap();
        }
        let text = "[node]\ngenesis = \"genesis.json\"\ndata_directory = \"data\"\n\
            [keys]\nnetwork_key = \"network.json\"\npassphrase_file = \"passphrase\"\n\
            consensus_keys = [{ chain = 0, keystore = \"consensus-0.json\" }]\n";
        std::fs::write(at("node.toml"), text).unwrap();
        let config = NodeConfig::load(&at("node.toml")).unwrap();
        assert!(!has_first_key(&config, ChainId(1)));
        let made = first_consensus_key(&config, ChainId(1)).unwrap();
        assert!(has_first_key(&config, ChainId(1)));
        assert_eq!((made.path.clone(), made.is_new), (at("consensus-1.json"), true));
        let registry = Registry::from_genesis(&network.spec);
        let seat = made.offer.verify(network.spec.hash(), &registry, ChainId(1)).unwrap();
        assert_eq!((seat.consensus_key, seat.node), (made.key, NodeIndex(1)));
        let again = first_consensus_key(&config, ChainId(1)).unwrap();
        assert_eq!(again, FirstKey { is_new: false, ..made });
        assert!(matches!(first_consensus_key(&config, ChainId(0)), Err(FirstKeyError::HasKey { .. })));
        let mut follower = config;
        follower.keys.consensus_keys.clear();
        assert!(matches!(first_consensus_key(&follower, ChainId(0)), Err(FirstKeyError::OfGenesis { .. })));
        assert_eq!(first_keystore(&follower, ChainId(5)), at("consensus-5.json"));
    }
}
