//! The validator set in the engine's types, and this node's place in it.
//!
//! The rest of the crate speaks of validators by index; keys are the engine's way of naming peers. An index is
//! the position in the set, which is sorted by key bytes on both sides (checked by `Config::validate`).

use crate::config::{Config, ConfigError, Role};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey};
use commonware_utils::ordered::{Quorum as _, Set};

/// The validators of one epoch.
#[derive(Debug)]
pub(crate) struct Validators {
    set: Set<PublicKey>,
    own: Option<u16>,
}

impl Validators {
    /// Decodes the keys and finds this node's place; returns the signing scheme with it.
    pub(crate) fn from_config(config: &Config) -> Result<(Self, Scheme), ConfigError> {
        let mut keys = Vec::with_capacity(config.validators.len());
        for (index, bytes) in config.validators.iter().enumerate() {
            let key = PublicKey::decode(Copying(bytes)).map_err(|_| ConfigError::ValidatorKey(index))?;
            keys.push(key);
        }
        let set = Set::from_iter_dedup(keys);
        let namespace = &config.namespace;
        let (scheme, own) = match &config.role {
            Role::Voter { secret } => {
                let key =
                    PrivateKey::decode(Copying(secret.expose())).map_err(|_| ConfigError::NotAValidator)?;
                let scheme = Scheme::signer(namespace, set.clone(), key).ok_or(ConfigError::NotAValidator)?;
                let own = own_index(&scheme);
                (scheme, own)
            }
            Role::Observer { index: Some(index) } => {
                let key = set.get(usize::from(*index)).ok_or(ConfigError::ObserverIndex(*index))?;
                let scheme =
                    Scheme::member(namespace, set.clone(), key).ok_or(ConfigError::ObserverIndex(*index))?;
                (scheme, Some(*index))
            }
            Role::Observer { index: None } => (Scheme::verifier(namespace, set.clone()), None),
        };
        Ok((Self { set, own }, scheme))
    }

    /// Own index, if this node is in the set.
    pub(crate) const fn own(&self) -> Option<u16> {
        self.own
    }

    /// Number of validators; at most `VALIDATORS_MAX`.
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    /// Index of a key.
    pub(crate) fn index(&self, key: &PublicKey) -> Option<u16> {
        self.set.index(key).and_then(|participant| u16::try_from(usize::from(participant)).ok())
    }

    /// Key of an index.
    pub(crate) fn key(&self, index: u16) -> Option<&PublicKey> {
        self.set.get(usize::from(index))
    }

    /// Every index but the own one.
    pub(crate) fn others(&self) -> impl Iterator<Item = u16> + '_ {
        let count = u16::try_from(self.len()).unwrap_or(u16::MAX);
        (0..count).filter(|index| Some(*index) != self.own)
    }
}

/// Where a signing scheme stands in its set.
fn own_index(scheme: &Scheme) -> Option<u16> {
    use commonware_cryptography::certificate::Scheme as _;
    scheme.me().and_then(|place| u16::try_from(usize::from(place.index())).ok())
}
