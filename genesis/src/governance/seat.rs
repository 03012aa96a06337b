//! What a node brings to a chain that is about to be added: a validator's public key, for one chain of one network.
//!
//! The new consensus key signs that it is offered, so nobody can offer somebody else's key; the node's network key, which the registry
//! has, signs that the node offers it. Both sign the same: network, chain, node, key. The file holds nothing secret.

use std::path::Path;

use ledger::records::{Registry, ValidatorRecord};
use ledger::values::{
    CeremonyPurpose, ChainId, GenesisHash, Hash, Hasher, NodeIndex, PublicKey, SecretKey, sign_ceremony,
    verify_ceremony,
};
use serde::{Deserialize, Serialize};

use super::error::GovernanceError;
use crate::error::GenesisError;
use crate::file::FORMAT;
use crate::{folder, text};

/// Most bytes of such a file.
pub const SEAT_FILE_BYTES_MAX: u64 = 16 * 1_024;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeatOffer {
    /// [`FORMAT`].
    pub format: u32,
    /// The network.
    pub genesis_hash: String,
    /// The chain that is to be added: the next free id.
    pub chain: u32,
    /// The node that will run the validator.
    pub node: u16,
    /// The key that it will vote with, hex.
    pub consensus_key: String,
    /// That key's signature, hex.
    pub possession: String,
    /// The signature of the node's network key, hex.
    pub signature: String,
}

impl SeatOffer {
    /// The offer of a node; made where both keys live.
    #[must_use]
    pub fn prove(
        genesis: GenesisHash,
        chain: ChainId,
        node: NodeIndex,
        network_key: &SecretKey,
        consensus_key: &SecretKey,
    ) -> Self {
        let key = consensus_key.public_key();
        let payload = payload(genesis, chain, node, key);
        let sign = |secret: &SecretKey| {
            text::signature_text(sign_ceremony(secret, CeremonyPurpose::Possession, &payload))
        };
        Self {
            format: FORMAT,
            genesis_hash: genesis.to_string(),
            chain: chain.0,
            node: node.0,
            consensus_key: key.to_string(),
            possession: sign(consensus_key),
            signature: sign(network_key),
        }
    }

    /// Reads an offer; [`Self::verify`] is the caller's next step.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        Ok(folder::read_json(path, SEAT_FILE_BYTES_MAX)?)
    }

    /// Writes the offer; an existing file is not overwritten.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn save(&self, path: &Path) -> Result<(), GenesisError> {
        Ok(folder::write_json(path, self)?)
    }

    /// The validator that is offered, once everything about it is right: network, chain, a node that the registry has, both signatures.
    ///
    /// # Errors
    /// [`GovernanceError`] naming the node and what is wrong.
    pub fn verify(
        &self,
        genesis: GenesisHash,
        registry: &Registry,
        chain: ChainId,
    ) -> Result<ValidatorRecord, GovernanceError> {
        if self.format != FORMAT {
            return Err(GovernanceError::Field { field: "format" });
        }
        let (node, found) =
            (NodeIndex(self.node), GenesisHash(text::hash("genesis_hash", &self.genesis_hash)?.0));
        if found != genesis {
            return Err(GovernanceError::SeatOfOtherNetwork { node, found });
        }
        if self.chain != chain.0 {
            return Err(GovernanceError::SeatOfOtherChain {
                node,
                found: ChainId(self.chain),
                expected: chain,
            });
        }
        let record = registry.node(node).filter(|_| registry.is_node_active(node));
        let record = record.ok_or(GovernanceError::NodeUnknown { node })?;
        let consensus_key = text::key("consensus_key", &self.consensus_key)?;
        let payload = payload(genesis, chain, node, consensus_key);
        for (key, field, signature) in [
            (consensus_key, "possession", &self.possession),
            (record.network_key, "signature", &self.signature),
        ] {
            let signature = text::signature(field, signature)?;
            if !verify_ceremony(key, CeremonyPurpose::Possession, &payload, signature) {
                return Err(GovernanceError::SeatSignature { node, key });
            }
        }
        Ok(ValidatorRecord { operator: record.operator, node, consensus_key })
    }
}

/// Binds a key to a network, a chain and a node.
fn payload(genesis: GenesisHash, chain: ChainId, node: NodeIndex, key: PublicKey) -> Hash {
    Hasher::new("jiaozi/seat-offer")
        .bytes(&genesis.0)
        .number(u64::from(chain.0))
        .number(u64::from(node.0))
        .bytes(&key.0)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::{Localnet, LocalnetPlan, localnet};

    fn network() -> (Localnet, Registry) {
        let network = localnet(&LocalnetPlan::new(4), &[6; 32]).unwrap();
        let registry = Registry::from_genesis(&network.spec);
        (network, registry)
    }

    fn key(number: u8) -> SecretKey {
        SecretKey::from_seed([number; 32])
    }

    #[test]
    fn an_offer_survives_its_file_and_tells_the_validator() {
        let (network, registry) = network();
        let (genesis, bank) = (network.spec.hash(), &network.banks[2]);
        let made = SeatOffer::prove(genesis, ChainId(1), NodeIndex(2), &bank.network_key, &key(9));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seat.json");
        made.save(&path).unwrap();
        let loaded = SeatOffer::load(&path).unwrap();
        assert_eq!(loaded, made);
        let seat = loaded.verify(genesis, &registry, ChainId(1)).unwrap();
        let expected = ValidatorRecord {
            operator: bank.operator.id,
            node: NodeIndex(2),
            consensus_key: key(9).public_key(),
        };
        assert_eq!(seat, expected);
        assert!(matches!(made.save(&path), Err(GenesisError::File(_))), "never overwritten");
    }

    #[test]
    fn what_its_keys_did_not_sign_is_refused() {
        let (network, mut registry) = network();
        let genesis = network.spec.hash();
        let offer = |chain, node, network_key: &SecretKey| {
            SeatOffer::prove(genesis, ChainId(chain), NodeIndex(node), network_key, &key(9))
        };
        let own = &network.banks[2].network_key;
        let honest = offer(1, 2, own);
        let verify = |offer: &SeatOffer| offer.verify(genesis, &registry, ChainId(1)).unwrap_err();
        let changed = |change: fn(&mut SeatOffer)| {
            let mut offer = honest.clone();
            change(&mut offer);
            offer
        };
        assert!(matches!(
            verify(&offer(2, 2, own)),
            GovernanceError::SeatOfOtherChain { found: ChainId(2), expected: ChainId(1), .. }
        ));
        let stranger = SeatOffer::prove(GenesisHash([1; 32]), ChainId(1), NodeIndex(2), own, &key(9));
        assert!(matches!(verify(&stranger), GovernanceError::SeatOfOtherNetwork { .. }));
        assert!(matches!(verify(&offer(1, 9, own)), GovernanceError::NodeUnknown { .. }));
        // The network key of another node; another node, another key than was signed.
        assert!(matches!(verify(&offer(1, 1, own)), GovernanceError::SeatSignature { .. }));
        assert!(matches!(verify(&changed(|offer| offer.node = 1)), GovernanceError::SeatSignature { .. }));
        let other = changed(|offer| offer.consensus_key = key(8).public_key().to_string());
        assert!(matches!(verify(&other), GovernanceError::SeatSignature { .. }));
        let swapped = changed(|offer| std::mem::swap(&mut offer.possession, &mut offer.signature));
        assert!(matches!(verify(&swapped), GovernanceError::SeatSignature { .. }));
        assert!(matches!(verify(&changed(|offer| offer.format = 2)), GovernanceError::Field { .. }));
        registry.retired_nodes.push(NodeIndex(2));
        let refused = honest.verify(genesis, &registry, ChainId(1)).unwrap_err();
        assert!(matches!(refused, GovernanceError::NodeUnknown { .. }), "{refused}");
    }
}
