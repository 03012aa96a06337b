//! A registry as text: who takes part, and how every chain is set up.

use ledger::records::{Birth, ChainRecord, EpochRecord, OperatorRole, Registry, ValidatorRecord};
use ledger::values::{NodeIndex, OperatorId, faults_max, quorum};

use super::diff::{chain_name, operator_name};
use super::growth::growth_name;
use super::params;

/// Everything in the registry, one fact a line.
#[must_use]
pub fn show(registry: &Registry) -> String {
    let mut lines = vec![format!("operators ({})", registry.operators.len())];
    for (place, operator) in (0_u16..).zip(&registry.operators) {
        let role = match operator.role {
            OperatorRole::CentralBank => "central bank",
            OperatorRole::Bank => "bank",
        };
        let left = if registry.is_active(OperatorId(place)) { "" } else { ", has left" };
        lines.push(format!("  {place:>3}  {}  ({role}{left})", operator.name));
        lines.push(format!("       operator key {}", operator.key));
        let policy = &operator.wallet_policy;
        lines.push(format!("       its own wallet needs {} of {} keys", policy.threshold, policy.keys.len()));
    }
    lines.push(format!("\nnodes ({})", registry.nodes.len()));
    for (place, node) in (0_u16..).zip(&registry.nodes) {
        let gone = if registry.is_node_active(NodeIndex(place)) { "" } else { "  (taken away)" };
        let operator = operator_name(registry, node.operator);
        lines.push(format!("  {place:>3}  {operator}  {}{gone}", node.address));
        lines.push(format!("       network key {}", node.network_key));
    }
    registry.chains.iter().for_each(|chain| show_chain(&mut lines, registry, chain));
    lines.join("\n")
}

fn show_chain(lines: &mut Vec<String>, registry: &Registry, chain: &ChainRecord) {
    lines.push(format!("\n{}", chain_name(chain)));
    if let Birth::Child { parent, height, growth } = chain.birth {
        let growth = growth_name(growth);
        lines
            .push(format!("  child of chain {parent}, added at height {height} of the root chain: {growth}"));
    }
    for (name, value) in params::values(&chain.params) {
        lines.push(format!("  {name} {value}"));
    }
    if !chain.barred.is_empty() {
        let names: Vec<String> = chain.barred.iter().map(|barred| operator_name(registry, *barred)).collect();
        lines.push(format!("  in debt for fees, so their batches are not ordered: {}", names.join(", ")));
    }
    for epoch in &chain.epochs {
        lines.push(format!("  {}", epoch_name(epoch)));
        show_set(lines, registry, &epoch.validators);
    }
    if chain.epochs.last().is_some_and(|newest| newest.validators != chain.wanted) {
        lines.push("  next, once it is scheduled".to_owned());
        show_set(lines, registry, &chain.wanted);
    }
}

/// An epoch with its heights.
fn epoch_name(epoch: &EpochRecord) -> String {
    let last = epoch.last_height.map(|last| format!(" to {last}")).unwrap_or_default();
    format!("epoch {}, from height {}{last}", epoch.epoch, epoch.first_height)
}

fn show_set(lines: &mut Vec<String>, registry: &Registry, validators: &[ValidatorRecord]) {
    let (votes, faults) = (quorum(validators.len()), faults_max(validators.len()));
    lines.push(format!("    {} validators, quorum {votes}, bears {faults} faulty", validators.len()));
    for validator in validators {
        let operator = operator_name(registry, validator.operator);
        lines.push(format!("      {operator}, node {}, key {}", validator.node, validator.consensus_key));
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::Registry;
    use ledger::values::{ChainId, Epoch, Height};

    use super::*;
    use crate::dev::{LocalnetPlan, localnet};

    #[test]
    fn who_left_and_what_is_scheduled_is_shown() {
        let spec = localnet(&LocalnetPlan::new(4), &[8; 32]).unwrap().spec;
        let mut registry = Registry::from_genesis(&spec);
        let text = show(&registry);
        for key in spec.operators.iter().map(|operator| operator.key) {
            assert!(text.contains(&key.to_string()));
        }
        assert!(
            text.contains("  epoch 0, from height 1\n    4 validators, quorum 3, bears 1 faulty"),
            "{text}"
        );
        assert!(
            !text.contains("in debt") && !text.contains("has left") && !text.contains("next, once"),
            "{text}"
        );
        registry.retired_operators.push(OperatorId(3));
        registry.retired_nodes.push(NodeIndex(2));
        registry.chains[0].barred.push(OperatorId(2));
        registry.chains[0].wanted.pop();
        registry.chains[0].epochs[0].last_height = Some(Height(70));
        let next = EpochRecord {
            epoch: Epoch(1),
            first_height: Height(71),
            last_height: None,
            validators: registry.chains[0].epochs[0].validators.clone(),
        };
        registry.chains[0].epochs.push(next);
        registry.chains[0].birth =
            Birth::Child { parent: ChainId(7), height: Height(33), growth: ledger::records::Growth::Ready };
        let text = show(&registry);
        for part in [
            "bank-3  (bank, has left)",
            "(taken away)",
            "  in debt for fees, so their batches are not ordered: bank-2 (operator 2)",
            "epoch 0, from height 1 to 70",
            "next, once",
            "  child of chain 7, added at height 33 of the root chain: ready",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
