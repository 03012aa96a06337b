//! A contribution: what one operator brings to a network, signed with its cold key.
//!
//! - Each node key and each consensus key signs a *possession* for this template and this operator key, so
//!   nobody can contribute somebody else's key or replay an old offer. Proofs are made where the keys live
//!   ([`NodeOffer::prove`]); the cold key signs the whole on another machine ([`Contribution::sign`]).
//! - The signed payload is the tagged hash of the template hash and of a genesis spec that holds this
//!   operator alone: one encoding, already specified, and every field is covered. Proofs are not covered;
//!   they prove themselves.

use std::path::Path;

use ledger::records::genesis::OPERATORS_MAX;
use ledger::records::{GenesisSpec, NodeRecord, OperatorRecord, OperatorRole, Policy, ValidatorRecord};
use ledger::values::codec::check_count;
use ledger::values::{
    Canonical as _, CeremonyPurpose, ChainId, Hash, Hasher, NodeIndex, OperatorId, PublicKey, SecretKey,
    sign_ceremony, verify_ceremony,
};
use serde::{Deserialize, Serialize};

use crate::error::{FieldProblem, GenesisError};
use crate::file::{FORMAT, PolicyEntry, RoleEntry, indexed};
use crate::template::Template;
use crate::{folder, text};

/// Most bytes of a contribution file.
pub const CONTRIBUTION_FILE_BYTES_MAX: u64 = 1_024 * 1_024;
/// Most nodes of one operator.
pub const NODES_PER_OPERATOR_MAX: usize = 64;
const _: () = assert!(NODES_PER_OPERATOR_MAX <= OPERATORS_MAX);

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// [`FORMAT`].
    pub format: u32,
    /// Hash of the template it is for.
    pub template_hash: String,
    /// The operator's name for people.
    pub name: String,
    /// What the operator is.
    pub role: RoleEntry,
    /// Its cold key, hex.
    pub operator_key: String,
    /// Who signs for its hot wallet.
    pub wallet_policy: PolicyEntry,
    /// Its nodes.
    pub nodes: Vec<NodeOffer>,
    /// The cold key's signature over all above, hex.
    pub signature: String,
}

/// A node with its keys and their proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeOffer {
    /// Its libp2p key, hex.
    pub network_key: String,
    /// `host:port` for peers.
    pub address: String,
    /// The network key's proof of possession, hex.
    pub possession: String,
    /// The validators it runs.
    pub validators: Vec<ValidatorOffer>,
}

/// A consensus key with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorOffer {
    /// The chain it votes on.
    pub chain: u32,
    /// The key, hex.
    pub consensus_key: String,
    /// Its proof of possession, hex.
    pub possession: String,
}

/// What a contribution's cold key vouches for besides its nodes.
#[derive(Debug, Clone)]
pub struct OperatorOffer {
    /// The operator's name for people.
    pub name: String,
    /// What it is.
    pub role: OperatorRole,
    /// Who signs for its hot wallet.
    pub wallet_policy: Policy,
}

/// What a key proves possession for.
#[derive(Debug, Clone, Copy)]
enum KeyUse {
    Network,
    Consensus(ChainId),
}

impl NodeOffer {
    /// Proves possession of a node's keys. Run where the keys live.
    ///
    /// # Errors
    /// [`GenesisError`] when the address or the template is invalid.
    pub fn prove(
        template: &Template,
        operator_key: PublicKey,
        address: &str,
        network_key: &SecretKey,
        consensus_keys: &[(ChainId, &SecretKey)],
    ) -> Result<Self, GenesisError> {
        text::check_address("address", address)?;
        let template_hash = template.hash()?;
        let prove = |key: &SecretKey, key_use| {
            let payload = possession_hash(template_hash, operator_key, key.public_key(), key_use);
            text::signature_text(sign_ceremony(key, CeremonyPurpose::Possession, &payload))
        };
        let validators = consensus_keys.iter().map(|(chain, key)| ValidatorOffer {
            chain: chain.0,
            consensus_key: key.public_key().to_string(),
            possession: prove(key, KeyUse::Consensus(*chain)),
        });
        Ok(Self {
            network_key: network_key.public_key().to_string(),
            address: address.to_owned(),
            possession: prove(network_key, KeyUse::Network),
            validators: validators.collect(),
        })
    }

    /// Reads an offer that was made on a node's machine.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        Ok(folder::read_json(path, CONTRIBUTION_FILE_BYTES_MAX)?)
    }

    /// Writes the offer for the cold key's machine; an existing file is not overwritten.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn save(&self, path: &Path) -> Result<(), GenesisError> {
        Ok(folder::write_json(path, self)?)
    }
}

impl Contribution {
    /// Signs a contribution with the cold key. It is checked as everybody will check it.
    ///
    /// # Errors
    /// [`GenesisError`] naming the field or proof that is wrong.
    pub fn sign(
        template: &Template,
        offer: OperatorOffer,
        nodes: Vec<NodeOffer>,
        operator_key: &SecretKey,
    ) -> Result<Self, GenesisError> {
        let mut contribution = Self {
            format: FORMAT,
            template_hash: template.hash()?.to_string(),
            name: offer.name,
            role: offer.role.into(),
            operator_key: operator_key.public_key().to_string(),
            wallet_policy: PolicyEntry::from_policy(&offer.wallet_policy),
            nodes,
            signature: String::new(),
        };
        let payload = contribution.payload(template)?;
        let signature = sign_ceremony(operator_key, CeremonyPurpose::Contribution, &payload);
        contribution.signature = text::signature_text(signature);
        contribution.verify(template)?;
        Ok(contribution)
    }

    /// Reads a contribution; [`Self::verify`] is the caller's next step.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        Ok(folder::read_json(path, CONTRIBUTION_FILE_BYTES_MAX)?)
    }

    /// Checks fields, template, signature and every proof of possession; answers this operator's part of the
    /// spec.
    ///
    /// # Errors
    /// [`GenesisError`] naming what is wrong and whose it is.
    pub fn verify(&self, template: &Template) -> Result<GenesisSpec, GenesisError> {
        if self.format != FORMAT {
            return Err(FieldProblem::Format.at("format").into());
        }
        let (found, expected) = (text::hash("template_hash", &self.template_hash)?, template.hash()?);
        if found != expected {
            return Err(GenesisError::OtherTemplate { operator: self.name.clone(), found, expected });
        }
        let part = self.part(template)?;
        let key = text::key("operator_key", &self.operator_key)?;
        let signature = text::signature("signature", &self.signature)?;
        if !verify_ceremony(key, CeremonyPurpose::Contribution, &part_hash(expected, &part), signature) {
            return Err(GenesisError::ContributionSignature { operator: self.name.clone() });
        }
        self.verify_possession(expected, key)?;
        Ok(part)
    }

    /// The cold key.
    pub(crate) fn key(&self) -> Result<PublicKey, GenesisError> {
        Ok(text::key("operator_key", &self.operator_key)?)
    }

    fn payload(&self, template: &Template) -> Result<Hash, GenesisError> {
        Ok(part_hash(template.hash()?, &self.part(template)?))
    }

    /// A spec with this operator alone: operator 0 and its nodes from 0.
    fn part(&self, template: &Template) -> Result<GenesisSpec, GenesisError> {
        text::check_name("name", &self.name)?;
        check_count("nodes", self.nodes.len(), 0, NODES_PER_OPERATOR_MAX)?;
        let wallet_policy = self.wallet_policy.policy("wallet_policy")?;
        wallet_policy.check()?;
        let mut part = template.spec()?;
        part.operators.push(OperatorRecord {
            name: self.name.clone(),
            role: self.role.into(),
            key: self.key()?,
            wallet_policy,
        });
        part.nodes = indexed(&self.nodes, |place, node| {
            text::check_address(&format!("nodes[{place}].address"), &node.address)?;
            let network_key = text::key(&format!("nodes[{place}].network_key"), &node.network_key)?;
            Ok(NodeRecord { operator: OperatorId(0), network_key, address: node.address.clone() })
        })?;
        for (index, node) in (0_u16..).zip(&self.nodes) {
            for (seat, validator) in node.validators.iter().enumerate() {
                let field = format!("nodes[{index}].validators[{seat}].consensus_key");
                let consensus_key = text::key(&field, &validator.consensus_key)?;
                let chain = ChainId(validator.chain);
                let spec = part.chains.iter_mut().find(|spec| spec.chain == chain);
                let spec =
                    spec.ok_or_else(|| GenesisError::UnknownChain { operator: self.name.clone(), chain })?;
                spec.validators.push(ValidatorRecord {
                    operator: OperatorId(0),
                    node: NodeIndex(index),
                    consensus_key,
                });
            }
        }
        Ok(part)
    }

    fn verify_possession(&self, template_hash: Hash, operator_key: PublicKey) -> Result<(), GenesisError> {
        let check = |field: &str, key: PublicKey, key_use, proof: &str| {
            let payload = possession_hash(template_hash, operator_key, key, key_use);
            let signature = text::signature(field, proof)?;
            if verify_ceremony(key, CeremonyPurpose::Possession, &payload, signature) {
                return Ok(());
            }
            Err(GenesisError::Possession { operator: self.name.clone(), key })
        };
        for (place, node) in self.nodes.iter().enumerate() {
            let field = format!("nodes[{place}].possession");
            check(&field, text::key(&field, &node.network_key)?, KeyUse::Network, &node.possession)?;
            for (seat, validator) in node.validators.iter().enumerate() {
                let field = format!("nodes[{place}].validators[{seat}].possession");
                let key = text::key(&field, &validator.consensus_key)?;
                check(&field, key, KeyUse::Consensus(ChainId(validator.chain)), &validator.possession)?;
            }
        }
        Ok(())
    }
}

fn part_hash(template_hash: Hash, part: &GenesisSpec) -> Hash {
    Hasher::new("jiaozi/ceremony-contribution").bytes(&template_hash.0).bytes(&part.encode()).finish()
}

/// Binds a key to a template, an operator and a use.
fn possession_hash(template_hash: Hash, operator_key: PublicKey, key: PublicKey, key_use: KeyUse) -> Hash {
    let hasher = Hasher::new("jiaozi/ceremony-possession")
        .bytes(&template_hash.0)
        .bytes(&operator_key.0)
        .bytes(&key.0);
    match key_use {
        KeyUse::Network => hasher.number(0),
        KeyUse::Consensus(chain) => hasher.number(1).number(u64::from(chain.0)),
    }
    .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{contribution, contribution_of, template};

    #[test]
    fn a_fresh_contribution_verifies_and_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.json");
        let made = contribution(1);
        folder::write_json(&path, &made).unwrap();
        let loaded = Contribution::load(&path).unwrap();
        assert_eq!(loaded, made);
        assert_eq!(loaded.verify(&template()).unwrap().nodes.len(), 1);
    }

    #[test]
    fn any_changed_field_is_refused() {
        let other = contribution(2);
        let changes: [(&str, Box<dyn Fn(&mut Contribution)>); 9] = [
            ("name", Box::new(|c| c.name.push('x'))),
            ("role", Box::new(|c| c.role = RoleEntry::CentralBank)),
            ("policy", Box::new(|c| c.wallet_policy = contribution(2).wallet_policy)),
            ("address", Box::new(|c| c.nodes[0].address = "evil.example:1".into())),
            (
                "network key",
                Box::new(|c| c.nodes[0].network_key = contribution(2).nodes[0].network_key.clone()),
            ),
            ("validator", Box::new(|c| drop(c.nodes[0].validators.pop()))),
            ("node", Box::new(|c| c.nodes.clear())),
            ("signature", Box::new(move |c| c.signature = other.signature.clone())),
            ("operator key", Box::new(|c| c.operator_key = contribution(2).operator_key)),
        ];
        for (what, change) in changes {
            let mut changed = contribution(1);
            change(&mut changed);
            let refusal = changed.verify(&template()).unwrap_err();
            assert!(matches!(refusal, GenesisError::ContributionSignature { .. }), "{what}: {refusal}");
        }
    }

    #[test]
    fn a_contribution_is_for_one_template() {
        let mut other = template();
        other.timestamp_ms += 1;
        assert!(matches!(contribution(1).verify(&other), Err(GenesisError::OtherTemplate { .. })));
    }

    /// The cold key signs, but the node keys are somebody else's: their proofs name another operator key.
    #[test]
    fn stolen_keys_are_refused() {
        let stolen = contribution(2).nodes;
        let refusal = contribution_of(1, stolen).unwrap_err();
        assert!(matches!(refusal, GenesisError::Possession { .. }), "{refusal}");
    }

    #[test]
    fn a_proof_is_for_one_use_and_chain() {
        let mut nodes = contribution(1).nodes;
        nodes[0].validators[0].possession = nodes[0].possession.clone();
        assert!(matches!(contribution_of(1, nodes), Err(GenesisError::Possession { .. })));
        let mut nodes = contribution(1).nodes;
        nodes[0].validators[0].chain = 1;
        nodes[0].validators.truncate(1);
        assert!(matches!(contribution_of(1, nodes), Err(GenesisError::Possession { .. })));
        let mut nodes = contribution(1).nodes;
        nodes[0].validators[0].chain = 9;
        assert!(matches!(contribution_of(1, nodes), Err(GenesisError::UnknownChain { .. })));
    }
}
