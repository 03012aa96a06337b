//! What a proposal's file brings for every key that the proposal brings into the registry: so each bank that approves sees for itself
//! that the key is held by whom it is meant for, without trust in whoever made the file.
//!
//! - A bank that joins: its contribution, as in the ceremony of genesis. It covers its nodes and validators, too.
//! - A validator of a chain that is added: its node's offer.
//! - Every other key: its possession ([`super::possession`]).
//!
//! The ledger does not ask for them: they would make proposals larger than a transaction may be, and the council answers for what it
//! approves.

use ledger::records::{Change, GenesisSpec, Proposal, Registry, ValidatorRecord};
use ledger::rules::apply_proposed;
use ledger::values::{GenesisHash, OperatorId, PublicKey};
use serde::{Deserialize, Serialize};

use super::error::GovernanceError;
use super::growth::next_chain;
use super::possession::{KeyRole, is_proved};
use super::seat::SeatOffer;
use crate::contribution::Contribution;
use crate::template::Template;
use crate::text;

/// The proofs of a proposal's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyProofs {
    /// Of banks that join.
    pub contributions: Vec<Contribution>,
    /// Of validators of chains that are added.
    pub seats: Vec<SeatOffer>,
    /// Of every other key.
    pub possessions: Vec<Possession>,
}

/// A key's own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Possession {
    /// The key, hex.
    pub key: String,
    /// Its signature ([`super::possession::prove`]), hex.
    pub signature: String,
}

impl KeyProofs {
    /// Whether every key that the proposal brings into the registry is proved.
    ///
    /// # Errors
    /// [`GovernanceError`] naming the change and the first key that is not, or the contribution that is not valid.
    pub fn check(
        &self,
        spec: &GenesisSpec,
        registry: &Registry,
        proposal: &Proposal,
    ) -> Result<(), GovernanceError> {
        let (genesis, template) = (spec.hash(), Template::of(spec));
        let mut joining = Vec::new();
        for contribution in &self.contributions {
            joining.push(contribution.verify(&template)?);
        }
        let mut before = registry.clone();
        for (number, change) in (1_usize..).zip(&proposal.changes) {
            if let Some(key) = self.unproved(genesis, &joining, &before, change) {
                return Err(GovernanceError::KeyUnproved { number, key });
            }
            before = apply_proposed(&before, change, proposal.is_urgent)
                .map_err(|fault| GovernanceError::Change { number, fault })?;
        }
        Ok(())
    }

    /// The first key of a change that is not proved.
    fn unproved(
        &self,
        genesis: GenesisHash,
        joining: &[GenesisSpec],
        registry: &Registry,
        change: &Change,
    ) -> Option<PublicKey> {
        let (operator, role, key) = match change {
            Change::AddOperator(record) => {
                let is_joining = joining.iter().any(|part| part.operators.contains(record));
                return (!is_joining).then_some(record.key);
            }
            Change::AddChain { validators, .. } => {
                let chain = next_chain(registry);
                let offered: Vec<ValidatorRecord> =
                    self.seats.iter().filter_map(|seat| seat.verify(genesis, registry, chain).ok()).collect();
                let missing = validators.iter().find(|validator| !offered.contains(validator));
                return missing.map(|validator| validator.consensus_key);
            }
            Change::ReplaceOperatorKey { operator, key } => (*operator, KeyRole::Operator, *key),
            Change::AddNode(record) => (record.operator, KeyRole::Network, record.network_key),
            // What the change names and the registry does not have is refused where it is applied.
            Change::ReplaceNetworkKey { node, key } => {
                (registry.node(*node)?.operator, KeyRole::Network, *key)
            }
            Change::AddValidator { chain, validator } => {
                (validator.operator, KeyRole::Consensus(*chain), validator.consensus_key)
            }
            Change::ReplaceConsensusKey { chain, old, new } => {
                let wanted = &registry.chain(*chain)?.wanted;
                let seat = wanted.iter().find(|validator| validator.consensus_key == *old)?;
                (seat.operator, KeyRole::Consensus(*chain), *new)
            }
            Change::RetireOperator { .. }
            | Change::MoveNode { .. }
            | Change::RetireNode { .. }
            | Change::RemoveValidator { .. }
            | Change::SetParams { .. }
            | Change::Reshard { .. }
            | Change::RemoveChain { .. }
            | Change::SpendFees { .. } => return None,
        };
        let is_held = self.is_held(genesis, operator, (role, key))
            || contributed(joining, registry, operator, (role, key));
        (!is_held).then_some(key)
    }

    /// Whether a possession proves the key.
    fn is_held(&self, genesis: GenesisHash, operator: OperatorId, (role, key): (KeyRole, PublicKey)) -> bool {
        let named = key.to_string();
        let mut of_key = self.possessions.iter().filter(|possession| possession.key == named);
        of_key.any(|possession| {
            text::signature("possession", &possession.signature)
                .is_ok_and(|signature| is_proved(genesis, operator, (role, key), signature))
        })
    }
}

/// Whether the operator has contributed the key for this.
fn contributed(
    joining: &[GenesisSpec],
    registry: &Registry,
    operator: OperatorId,
    (role, key): (KeyRole, PublicKey),
) -> bool {
    let Some(record) = registry.operator(operator) else { return false };
    let mut parts = joining.iter().filter(|part| part.operators.contains(record));
    parts.any(|part| match role {
        KeyRole::Operator => false,
        KeyRole::Network => part.nodes.iter().any(|node| node.network_key == key),
        KeyRole::Consensus(chain) => part
            .chain(chain)
            .is_some_and(|spec| spec.validators.iter().any(|validator| validator.consensus_key == key)),
    })
}

#[cfg(test)]
mod tests {
    use ledger::values::{ChainId, NodeIndex, SecretKey, TimestampMs};

    use super::*;
    use crate::governance::possession::prove;
    use crate::governance::{Draft, Terms};
    use crate::test_support::{contribution, draft, network_key, spec};

    fn secret(number: u8) -> SecretKey {
        SecretKey::from_seed([number; 32])
    }

    /// What the file of a draft is judged by.
    fn check(draft: Draft) -> Result<(), GovernanceError> {
        let proofs = draft.proofs().clone();
        check_with(draft, &proofs)
    }

    fn check_with(draft: Draft, proofs: &KeyProofs) -> Result<(), GovernanceError> {
        let terms = Terms { reason: String::new(), valid_until: TimestampMs(9), is_urgent: false };
        let proposal = draft.proposal(terms).unwrap();
        proofs.check(&spec(), &Registry::from_genesis(&spec()), &proposal)
    }

    fn is_unproved(found: &Result<(), GovernanceError>, key: PublicKey) -> bool {
        matches!(found, Err(GovernanceError::KeyUnproved { key: named, .. }) if *named == key)
    }

    /// Each change with a bare key: proved by that key, for that operator and use, and by nothing else.
    #[test]
    fn a_bare_key_proves_itself() {
        let (genesis, key) = (spec().hash(), secret(9));
        let public = key.public_key();
        let old = draft().consensus_key(ChainId(0), OperatorId(2)).unwrap();
        let (two, chain) = (OperatorId(2), KeyRole::Consensus(ChainId(0)));
        let changes: [(KeyRole, &dyn Fn(&mut Draft)); 4] = [
            (KeyRole::Operator, &|draft| draft.replace_operator_key(two, public).unwrap()),
            (KeyRole::Network, &|draft| draft.replace_network_key(NodeIndex(1), public).unwrap()),
            (KeyRole::Network, &|draft| {
                draft.add_node(two, public, "b.example:1").unwrap();
            }),
            (chain, &|draft| draft.replace_consensus_key(ChainId(0), old, public).unwrap()),
        ];
        let others = [
            prove(genesis, OperatorId(1), chain, &key),
            prove(genesis, two, KeyRole::Consensus(ChainId(1)), &key),
            prove(GenesisHash([7; 32]), two, chain, &key),
            prove(genesis, two, chain, &secret(8)),
        ];
        for (role, change) in changes {
            let with = |possession: Option<&str>| {
                let mut draft = draft();
                change(&mut draft);
                if let Some(possession) = possession {
                    draft.prove(public, possession).unwrap();
                }
                check(draft)
            };
            assert!(with(Some(&prove(genesis, two, role, &key))).is_ok(), "{role:?}");
            assert!(is_unproved(&with(None), public), "{role:?}");
            for other in &others {
                assert!(is_unproved(&with(Some(other)), public), "{role:?}");
            }
        }
        let refused = draft().prove(public, "no signature").unwrap_err();
        assert!(refused.to_string().contains("possession"), "{refused}");
    }

    /// A validator on a node that joins with the same proposal.
    #[test]
    fn a_validator_of_a_node_that_was_just_added_proves_itself() {
        let (genesis, two, chain) = (spec().hash(), OperatorId(2), ChainId(1));
        let (network, consensus) = (secret(9), secret(8));
        let mut draft = draft();
        let node = draft.add_node(two, network.public_key(), "b.example:1").unwrap();
        draft.add_validator(chain, node, consensus.public_key()).unwrap();
        draft.prove(network.public_key(), &prove(genesis, two, KeyRole::Network, &network)).unwrap();
        assert!(is_unproved(&check(draft.clone()), consensus.public_key()));
        let possession = prove(genesis, two, KeyRole::Consensus(chain), &consensus);
        draft.prove(consensus.public_key(), &possession).unwrap();
        check(draft).unwrap();
    }

    /// Contributions and offers go with the proposal by themselves; without them it is refused.
    #[test]
    fn who_joins_and_who_starts_a_chain_have_proved_their_keys_before() {
        let mut joining = draft();
        joining.add_operator(&spec(), &contribution(5), false).unwrap();
        check(joining.clone()).unwrap();
        let bank = contribution(5).verify(&Template::of(&spec())).unwrap().operators.remove(0);
        assert!(is_unproved(&check_with(joining.clone(), &KeyProofs::default()), bank.key));
        let others = KeyProofs { contributions: vec![contribution(6)], ..KeyProofs::default() };
        assert!(is_unproved(&check_with(joining, &others), bank.key));
        let offer = |bank: u8| {
            let node = NodeIndex(u16::from(bank) - 1);
            SeatOffer::prove(spec().hash(), ChainId(2), node, &network_key(bank), &secret(0x40 + bank))
        };
        let offers: Vec<SeatOffer> = (1..=4).map(offer).collect();
        let mut growing = draft();
        growing.add_chain(spec().hash(), ChainId(0), &offers).unwrap();
        check(growing.clone()).unwrap();
        let three = KeyProofs { seats: offers[..3].to_vec(), ..KeyProofs::default() };
        assert!(is_unproved(&check_with(growing, &three), secret(0x44).public_key()));
    }
}
