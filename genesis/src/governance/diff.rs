//! What separates two registries, for people who decide about it: additions `+`, removals `-`, changes `~`, with names.
//!
//! It compares the registries themselves, not the changes that lead from one to the other: so what is shown is what will be. Only money
//! that a proposal pays out stands in no registry: it is told from the changes ([`spendings`]).

use ledger::records::{ChainRecord, Change, OperatorRecord, OperatorRole, Registry, ValidatorRecord};
use ledger::values::{Money, NodeIndex, OperatorId, faults_max, quorum};
use serde::Serialize;

use super::growth::homes;
use super::params;

/// A part of the registry with what changes in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Which part.
    pub title: String,
    /// What changes, a line each; lines that belong to the one above are indented.
    pub lines: Vec<String>,
}

/// What changes from `before` to `after`; parts without a change are left out.
#[must_use]
pub fn differences(before: &Registry, after: &Registry) -> Vec<Section> {
    let mut sections = vec![
        Section { title: "operators".to_owned(), lines: operators(before, after) },
        Section { title: "nodes".to_owned(), lines: nodes(before, after) },
    ];
    for chain in &after.chains {
        let earlier = before.chains.iter().find(|earlier| earlier.chain == chain.chain);
        let lines = match earlier {
            Some(earlier) => {
                let mut lines = growth_lines(before, after, earlier, chain);
                lines.extend(chain_lines(after, earlier, chain));
                lines
            }
            None => new_chain(after, chain),
        };
        sections.push(Section { title: chain_name(chain), lines });
    }
    sections.retain(|section| !section.lines.is_empty());
    sections
}

/// What changes pay out of the fees that chains have collected; no section where they do not. `registry` tells the names: the one after
/// the changes.
#[must_use]
pub fn spendings(registry: &Registry, changes: &[Change]) -> Vec<Section> {
    let spending = |change: &Change| {
        let Change::SpendFees { chain, operator, amount } = change else { return None };
        let chain = registry.chain(*chain)?;
        let most = Money { amount: *amount, currency: chain.currency };
        Some(format!("- {}: up to {most}, to {}", chain_name(chain), operator_name(registry, *operator)))
    };
    let lines: Vec<String> = changes.iter().filter_map(spending).collect();
    if lines.is_empty() { Vec::new() } else { vec![Section { title: "collected fees".to_owned(), lines }] }
}

/// The sections as text, a line each.
#[must_use]
pub fn lines(sections: &[Section]) -> Vec<String> {
    let of_section = |section: &Section| {
        let lines = section.lines.iter().map(|line| format!("  {line}"));
        std::iter::once(section.title.clone()).chain(lines).collect::<Vec<_>>()
    };
    sections.iter().flat_map(of_section).collect()
}

/// A chain with its place in the network.
#[must_use]
pub fn chain_name(chain: &ChainRecord) -> String {
    format!("chain {} ({} shard {})", chain.chain, chain.currency, chain.shard)
}

/// An operator by name and id.
#[must_use]
pub fn operator_name(registry: &Registry, id: OperatorId) -> String {
    let name = registry.operators.get(usize::from(id.0)).map_or("?", |operator| operator.name.as_str());
    format!("{name} (operator {id})")
}

fn operators(before: &Registry, after: &Registry) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, operator) in (0_u16..).zip(&after.operators) {
        let id = OperatorId(place);
        let is_retired = |registry: &Registry| registry.retired_operators.contains(&id);
        match before.operators.get(usize::from(place)) {
            None => lines.extend(new_operator(id, operator)),
            Some(earlier) => {
                let named = operator_name(after, id);
                if earlier.key != operator.key {
                    lines.push(format!("~ {named}: its operator key"));
                    lines.push(format!("    from {}", earlier.key));
                    lines.push(format!("    to   {}", operator.key));
                }
                // No change does that; if one ever does, it is not hidden here.
                if (OperatorRecord { key: operator.key, ..earlier.clone() }) != *operator {
                    lines.push(format!("~ {named}: its name, role or wallet"));
                }
            }
        }
        if is_retired(after) && !is_retired(before) {
            lines.push(format!("- {}: it approves nothing any more", operator_name(after, id)));
        }
    }
    lines
}

fn new_operator(id: OperatorId, operator: &OperatorRecord) -> Vec<String> {
    let role = match operator.role {
        OperatorRole::CentralBank => "central bank",
        OperatorRole::Bank => "bank",
    };
    let policy = &operator.wallet_policy;
    let mut lines = vec![
        format!("+ {} (operator {id}), {role}", operator.name),
        format!("    operator key {}", operator.key),
        format!("    its own wallet needs {} of {} keys", policy.threshold, policy.keys.len()),
    ];
    lines.extend(policy.keys.iter().map(|key| format!("      {key}")));
    lines
}

fn nodes(before: &Registry, after: &Registry) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, node) in (0_u16..).zip(&after.nodes) {
        let index = NodeIndex(place);
        let is_retired = |registry: &Registry| registry.retired_nodes.contains(&index);
        let named = format!("node {index} of {}", operator_name(after, node.operator));
        match before.nodes.get(usize::from(place)) {
            None => {
                lines.push(format!("+ {named}, at {}", node.address));
                lines.push(format!("    network key {}", node.network_key));
            }
            Some(earlier) => {
                if earlier.address != node.address {
                    lines
                        .push(format!("~ {named}: its address from {} to {}", earlier.address, node.address));
                }
                if earlier.network_key != node.network_key {
                    lines.push(format!("~ {named}: its network key"));
                    lines.push(format!("    from {}", earlier.network_key));
                    lines.push(format!("    to   {}", node.network_key));
                }
                if earlier.operator != node.operator {
                    lines.push(format!("~ {named}: before of {}", operator_name(before, earlier.operator)));
                }
            }
        }
        if is_retired(after) && !is_retired(before) {
            lines.push(format!("- {named}, at {}: others let it in no more", node.address));
        }
    }
    lines
}

fn new_chain(after: &Registry, chain: &ChainRecord) -> Vec<String> {
    if chain.is_removed() {
        return vec!["+ the chain, given up with the same proposal".to_owned()];
    }
    let parent = chain.parent().map(|parent| format!(", a child of chain {parent} with its parameters"));
    let mut lines = vec![
        format!("+ the chain{}; no wallet is at home there yet", parent.unwrap_or_default()),
        format!("    {}", set_size(chain.wanted.len())),
    ];
    let named = |validator: &ValidatorRecord| {
        format!("      {}, key {}", validator_name(after, validator), validator.consensus_key)
    };
    lines.extend(chain.wanted.iter().map(named));
    lines
}

/// Wallets get another home; or a child is given up.
fn growth_lines(
    before: &Registry,
    after: &Registry,
    earlier: &ChainRecord,
    chain: &ChainRecord,
) -> Vec<String> {
    if let Some(parent) = chain.parent().filter(|_| chain.is_removed() && !earlier.is_removed()) {
        return vec![format!("- given up before it ever ran; chain {parent} may have another child")];
    }
    let Some(parent) = chain.parent().filter(|_| chain.is_home() && !earlier.is_home()) else {
        return Vec::new();
    };
    let shards = |registry| homes(registry, chain.currency).count();
    let (now, then) = (shards(before), shards(after));
    let currency = chain.currency;
    vec![format!(
        "~ takes half of the wallets of chain {parent}: {currency} has {then} shards then, not {now}"
    )]
}

fn chain_lines(names: &Registry, before: &ChainRecord, after: &ChainRecord) -> Vec<String> {
    let mut lines = Vec::new();
    let pairs = params::values(&before.params).into_iter().zip(params::values(&after.params));
    for ((name, earlier), (_, value)) in pairs {
        if earlier != value {
            lines.push(format!("~ {name}: from {earlier} to {value}"));
        }
    }
    lines.extend(validators(names, &before.wanted, &after.wanted));
    lines
}

/// How one set of validators differs from another, a line each.
#[must_use]
pub fn validators(names: &Registry, before: &[ValidatorRecord], after: &[ValidatorRecord]) -> Vec<String> {
    let missing = |from: &[ValidatorRecord], in_set: &[ValidatorRecord]| -> Vec<ValidatorRecord> {
        from.iter().filter(|validator| !in_set.contains(validator)).copied().collect()
    };
    let (gone, mut come) = (missing(before, after), missing(after, before));
    let place = |validator: &ValidatorRecord| (validator.operator, validator.node);
    let mut lines = Vec::new();
    for validator in gone {
        let named = validator_name(names, &validator);
        match come.iter().position(|other| place(other) == place(&validator)) {
            Some(successor) => {
                let successor = come.remove(successor);
                lines.push(format!("~ {named}: its consensus key"));
                lines.push(format!("    from {}", validator.consensus_key));
                lines.push(format!("    to   {}", successor.consensus_key));
            }
            None => lines.push(format!("- {named}, key {}", validator.consensus_key)),
        }
    }
    for validator in come {
        lines.push(format!("+ {}, key {}", validator_name(names, &validator), validator.consensus_key));
    }
    if before.len() != after.len() {
        lines.push(format!("~ {} become {}", set_size(before.len()), set_size(after.len())));
    }
    lines
}

fn validator_name(names: &Registry, validator: &ValidatorRecord) -> String {
    format!("the validator of {} on node {}", operator_name(names, validator.operator), validator.node)
}

fn set_size(validators: usize) -> String {
    let (votes, faults) = (quorum(validators), faults_max(validators));
    format!("{validators} validators (quorum {votes}, bears {faults} faulty)")
}
