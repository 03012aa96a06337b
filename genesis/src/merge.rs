//! Merging contributions into a genesis. The order in which they come does not matter.
//!
//! Operators: the central bank first, then the banks by name. Nodes: by operator, then in the order of the
//! contribution. Validators: by consensus key. Names, operator keys, peer addresses, network keys and consensus
//! keys occur once in a network; who doubles one is named.

use std::collections::BTreeMap;

use ledger::records::{GenesisSpec, NodeRecord, OperatorRole, ValidatorRecord};
use ledger::values::codec::check_count;
use ledger::values::{Canonical as _, NodeIndex, OperatorId, PublicKey};

use crate::contribution::Contribution;
use crate::error::{GenesisError, Shared};
use crate::file::GenesisFile;
use crate::template::Template;

/// Verifies all contributions and makes the genesis file.
///
/// # Errors
/// [`GenesisError`] naming the contribution that is invalid, or the two that conflict.
pub fn merge(template: &Template, contributions: &[Contribution]) -> Result<GenesisFile, GenesisError> {
    check_count("contributions", contributions.len(), 1, ledger::records::genesis::OPERATORS_MAX)?;
    let mut parts = contributions.iter().map(|one| one.verify(template)).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_cached_key(place);
    let central =
        parts.iter().flat_map(|part| &part.operators).filter(|one| one.role == OperatorRole::CentralBank);
    let count = central.count();
    if count != 1 {
        return Err(GenesisError::CentralBanks { count });
    }
    refuse_shared(&parts)?;
    let mut spec = template.spec()?;
    for part in parts {
        add(&mut spec, part);
    }
    for chain in &mut spec.chains {
        chain.validators.sort_unstable_by_key(|validator| validator.consensus_key);
    }
    spec.check()?;
    Ok(GenesisFile::from_spec(&spec))
}

/// Where an operator's part stands.
fn place(part: &GenesisSpec) -> (bool, String, PublicKey) {
    part.operators.first().map_or_else(Default::default, |operator| {
        (operator.role != OperatorRole::CentralBank, operator.name.clone(), operator.key)
    })
}

/// Appends a part, renumbering its operator and nodes. Counts fit 16 bits: both are bounded by
/// `OPERATORS_MAX` operators of `NODES_PER_OPERATOR_MAX` nodes, and the final check refuses more than
/// that.
fn add(spec: &mut GenesisSpec, part: GenesisSpec) {
    let operator = OperatorId(u16::try_from(spec.operators.len()).unwrap_or(u16::MAX));
    let first_node = u16::try_from(spec.nodes.len()).unwrap_or(u16::MAX);
    spec.operators.extend(part.operators);
    spec.nodes.extend(part.nodes.into_iter().map(|node| NodeRecord { operator, ..node }));
    for (chain, from) in spec.chains.iter_mut().zip(part.chains) {
        chain.validators.extend(from.validators.into_iter().map(|validator| ValidatorRecord {
            operator,
            node: NodeIndex(first_node.saturating_add(validator.node.0)),
            ..validator
        }));
    }
}

/// Each name, key and address belongs to one contribution, and to one place in it.
fn refuse_shared(parts: &[GenesisSpec]) -> Result<(), GenesisError> {
    let mut names = BTreeMap::new();
    let mut keys = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for part in parts {
        let Some(operator) = part.operators.first() else { continue };
        let owner = operator.name.as_str();
        claim(&mut names, operator.name.clone(), owner, Shared::Name)?;
        claim(&mut keys, operator.key, owner, Shared::OperatorKey(operator.key))?;
        for node in &part.nodes {
            // Host names are the same in any case.
            claim(&mut addresses, node.address.to_ascii_lowercase(), owner, Shared::Address)?;
            claim(&mut keys, node.network_key, owner, Shared::NetworkKey(node.network_key))?;
        }
        for validator in part.chains.iter().flat_map(|chain| &chain.validators) {
            claim(&mut keys, validator.consensus_key, owner, Shared::ConsensusKey(validator.consensus_key))?;
        }
    }
    Ok(())
}

fn claim<'a, T: Ord>(
    claimed: &mut BTreeMap<T, &'a str>,
    thing: T,
    owner: &'a str,
    what: Shared,
) -> Result<(), GenesisError> {
    match claimed.insert(thing, owner) {
        None => Ok(()),
        Some(first) => {
            Err(GenesisError::Conflict { first: first.to_owned(), second: owner.to_owned(), what })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::{central_bank, contribution, contribution_with, template};

    fn everybody() -> Vec<Contribution> {
        std::iter::once(central_bank()).chain((1..=5).map(contribution)).collect()
    }

    #[test]
    fn the_central_bank_is_operator_0_and_banks_follow_by_name() {
        let spec = merge(&template(), &everybody()).unwrap().spec().unwrap();
        let names: Vec<_> = spec.operators.iter().map(|operator| operator.name.as_str()).collect();
        assert_eq!(names, ["people's bank", "bank-1", "bank-2", "bank-3", "bank-4", "bank-5"]);
        assert_eq!(spec.nodes.len(), 5);
        assert!(spec.chains.iter().all(|chain| chain.validators.len() == 5));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn order_does_not_matter(shuffled in Just(everybody()).prop_shuffle()) {
            let expected = merge(&template(), &everybody()).unwrap();
            let merged = merge(&template(), &shuffled).unwrap();
            prop_assert_eq!(merged.hash().unwrap(), expected.hash().unwrap());
            prop_assert_eq!(merged, expected);
        }
    }

    #[test]
    fn conflicts_name_both_operators_and_what_they_share() {
        let cases = [
            (
                contribution_with(9, |keys| keys.name = "bank-1".into()),
                "bank-1 and bank-1 both contribute the same name",
            ),
            (
                contribution_with(9, |keys| keys.operator = 1),
                "bank-1 and bank-9 both contribute the same operator key",
            ),
            (
                contribution_with(9, |keys| keys.address = 1),
                "bank-1 and bank-9 both contribute the same peer address",
            ),
            (
                contribution_with(9, |keys| keys.network = 1),
                "bank-1 and bank-9 both contribute the same network key",
            ),
            (
                contribution_with(9, |keys| keys.consensus = 1),
                "bank-1 and bank-9 both contribute the same consensus key",
            ),
        ];
        for (intruder, expected) in cases {
            let mut all = everybody();
            all.push(intruder);
            let message = merge(&template(), &all).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn exactly_one_central_bank_and_four_validators() {
        let banks: Vec<_> = (1..=4).map(contribution).collect();
        assert!(matches!(merge(&template(), &banks), Err(GenesisError::CentralBanks { count: 0 })));
        let few: Vec<_> = std::iter::once(central_bank()).chain((1..=3).map(contribution)).collect();
        assert!(matches!(merge(&template(), &few), Err(GenesisError::Spec(_))));
    }

    #[test]
    fn one_tampered_contribution_stops_the_merge() {
        let mut all = everybody();
        all[3].nodes[0].address = "evil.example:1".into();
        assert!(
            matches!(merge(&template(), &all), Err(GenesisError::ContributionSignature { operator }) if operator == "bank-3")
        );
    }
}
