//! Chains on which this node has a validator and that its configuration does not name.
//!
//! Such a chain runs without this node's vote, and nothing else would say so: the chains that are here are well. So the log warns of each
//! at once and then every [`REMIND_MS`], and `/readyz` and the metrics show them all the time. The registry is the newest that a
//! chain of this node has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::records::{ChainRecord, Registry, ValidatorRecord};
use ledger::rules::ChainRules;
use ledger::values::{ChainId, NodeIndex};
use tokio::sync::watch;
use tokio::time::Instant;

/// Pause between two looks at the registry.
const LOOK_MS: u64 = 5_000;
/// Pause between two warnings of one chain.
const REMIND_MS: u64 = 600_000;
const _: () = assert!(REMIND_MS >= 60_000, "one line in some minutes at most for each chain of the registry");

/// The chains on which a node has a seat, now or in the set that operators want, and that are neither `named` nor removed; ascending.
pub(crate) fn unhosted(
    registry: &Registry,
    own_node: NodeIndex,
    is_named: impl Fn(ChainId) -> bool,
) -> Vec<ChainId> {
    let has_seat = |set: &[ValidatorRecord]| set.iter().any(|seat| seat.node == own_node);
    let is_missed = |record: &&ChainRecord| {
        let runs = record.epochs.last().is_some_and(|epoch| has_seat(&epoch.validators));
        !record.is_removed() && (runs || has_seat(&record.wanted)) && !is_named(record.chain)
    };
    registry.chains.iter().filter(is_missed).map(|record| record.chain).collect()
}

/// Warns of them, until it is aborted.
pub(crate) async fn follow(own_node: NodeIndex, named: Vec<u32>, rules: Vec<watch::Receiver<ChainRules>>) {
    let (started, mut reminders) = (Instant::now(), Reminders::default());
    loop {
        let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        warn(own_node, &named, &rules, &mut reminders, now_ms);
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

fn warn(
    own_node: NodeIndex,
    named: &[u32],
    rules: &[watch::Receiver<ChainRules>],
    reminders: &mut Reminders,
    now_ms: u64,
) {
    let registries = rules.iter().map(|rules| Arc::clone(&rules.borrow().registry));
    let Some(registry) = registries.max_by_key(|registry| registry.version) else { return };
    let missed = unhosted(&registry, own_node, |chain| named.contains(&chain.0));
    for chain in reminders.due(&missed, now_ms) {
        tracing::warn!(
            chain = chain.0,
            "a validator of this chain is this node's, and the node does not host the chain: its vote is missing there. Mend: {}, then restart the node",
            mend(&registry, chain)
        );
    }
}

/// What the operator does before the restart.
pub(crate) fn mend(registry: &Registry, chain: ChainId) -> String {
    match registry.chain(chain).and_then(ChainRecord::parent) {
        Some(_) => format!("jiaozi node add-chain --config node.toml --chain {chain} --host"),
        None => format!("add {chain} to [node] chains, with its key in [keys] consensus_keys"),
    }
}

/// When each chain was warned of.
#[derive(Debug, Default)]
struct Reminders(BTreeMap<ChainId, u64>);

impl Reminders {
    /// Those that are to be warned of now. One that is hosted meanwhile is forgotten.
    fn due(&mut self, missed: &[ChainId], now_ms: u64) -> Vec<ChainId> {
        self.0.retain(|chain, _| missed.contains(chain));
        let is_due =
            |chain: &&ChainId| self.0.get(chain).is_none_or(|last| now_ms.saturating_sub(*last) >= REMIND_MS);
        let due: Vec<ChainId> = missed.iter().filter(is_due).copied().collect();
        self.0.extend(due.iter().map(|chain| (*chain, now_ms)));
        due
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::{Birth, Growth};
    use ledger::values::{Currency, Height};

    use super::*;

    #[test]
    fn a_seat_on_a_chain_that_is_not_named_is_found_with_its_mend() {
        let mut plan = LocalnetPlan::new(4);
        plan.chains.push((Currency(*b"CNY"), 1));
        let mut registry = Registry::from_genesis(&localnet(&plan, &[1; 32]).unwrap().spec);
        let found = |registry: &Registry, node, named: &[u32]| {
            unhosted(registry, NodeIndex(node), |chain| named.contains(&chain.0))
        };
        assert_eq!(found(&registry, 1, &[0]), [ChainId(1)]);
        assert!(found(&registry, 1, &[0, 1]).is_empty() && found(&registry, 9, &[0]).is_empty());
        assert!(mend(&registry, ChainId(1)).starts_with("add 1 to [node] chains"));
        // It leaves: its vote counts to the end of the epoch; it joins: it will count.
        let child = &mut registry.chains[1];
        child.wanted.retain(|seat| seat.node != NodeIndex(1));
        child.epochs[0].validators.retain(|seat| seat.node != NodeIndex(2));
        for (node, missed) in [(1, true), (2, true), (3, true), (4, false)] {
            assert_eq!(!found(&registry, node, &[0]).is_empty(), missed, "{node}");
        }
        let child = &mut registry.chains[1];
        child.epochs[0].validators.retain(|seat| seat.node != NodeIndex(1));
        child.birth = Birth::Child { parent: ChainId(0), height: Height(5), growth: Growth::Added };
        assert!(found(&registry, 1, &[0]).is_empty());
        assert_eq!(mend(&registry, ChainId(1)), "jiaozi node add-chain --config node.toml --chain 1 --host");
        assert!(!found(&registry, 3, &[0]).is_empty());
        registry.chains[1].birth =
            Birth::Child { parent: ChainId(0), height: Height(5), growth: Growth::Removed };
        assert!(found(&registry, 3, &[0]).is_empty(), "given up: nobody is missed there");
    }

    #[test]
    fn each_chain_is_warned_of_at_once_and_then_rarely() {
        let (one, two) = (ChainId(1), ChainId(2));
        let mut reminders = Reminders::default();
        assert_eq!(reminders.due(&[one], 0), [one]);
        let lines = (1..=1_000).map(|look| reminders.due(&[one, two], look * LOOK_MS));
        let lines: Vec<ChainId> = lines.flatten().collect();
        let expected = usize::try_from(1_000 * LOOK_MS / REMIND_MS).unwrap();
        assert_eq!(lines.iter().filter(|chain| **chain == one).count(), expected);
        assert_eq!(lines.iter().filter(|chain| **chain == two).count(), expected + 1, "the first at once");
        let now_ms = 1_001 * LOOK_MS;
        assert!(reminders.due(&[one], now_ms).is_empty());
        assert_eq!(reminders.due(&[two], now_ms), [two], "hosted for a while, then missed again");
    }
}
