//! The state root: one hash over every part of a chain's state (PROTOCOL rule 20).

use wincode::{SchemaRead, SchemaWrite};

use super::head::StateHead;
use super::outbox::outbox_root;
use super::summing_tree::SumNode;
use crate::values::{Canonical, Hash, Hasher, OutboxRoot, RegistryHash, StateRoot};

/// What the state root commits to, all of fixed width. A proof of one part carries the hashes of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct StateParts {
    /// Records in the summing tree, which is also the next free slot.
    pub records: u64,
    /// Sum and root of the summing tree.
    pub tree: SumNode,
    /// Root of the id tree.
    pub ids: Hash,
    /// Hash of the registry.
    pub registry: RegistryHash,
    /// Hash of the supply terms with the counters of every pair of chains.
    pub supply: Hash,
    /// Root over what was sent to other chains.
    pub outbox: OutboxRoot,
    /// Hash of the timestamps that decide what a later height does: when the running epoch began, and the recent ones, by which
    /// deadlines pass. The deadlines themselves are in the leaves.
    pub expiries: Hash,
    /// Hash of the fee state.
    pub fees: Hash,
    /// Hash of the window of ordered digests.
    pub ordered: Hash,
    /// Hash of how far wallets have moved to a child.
    pub moving: Hash,
}

impl StateParts {
    /// The parts of a state with this head and these roots.
    #[must_use]
    pub fn new(head: &StateHead, tree: SumNode, ids: Hash, registry: RegistryHash) -> Self {
        let mut ordered = Hasher::new("jiaozi/ordered").number(head.ordered.len() as u64);
        for bucket in &head.ordered {
            ordered = ordered.number(bucket.second).number(bucket.count).bytes(&bucket.chain.0);
        }
        let mut expiries = Hasher::new("jiaozi/expiries").number(head.epoch_started.0);
        expiries = expiries.number(head.recent.len() as u64);
        for timestamp in &head.recent {
            expiries = expiries.number(timestamp.0);
        }
        let mut moving = Hasher::new("jiaozi/moving").number(u64::from(head.moving.is_some()));
        if let Some(at) = head.moving {
            moving = moving.number(u64::from(at.to.0)).number(at.next).number(at.until);
        }
        Self {
            records: head.records,
            tree,
            ids,
            registry,
            supply: Hasher::new("jiaozi/supply").bytes(&head.supply.encode()).finish(),
            outbox: outbox_root(&head.outboxes, &head.supply.pairs),
            expiries: expiries.finish(),
            fees: Hasher::new("jiaozi/fees").number(head.base_fee.micro_fen()).finish(),
            ordered: ordered.finish(),
            moving: moving.finish(),
        }
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> StateRoot {
        Hasher::new("jiaozi/state").bytes(&self.encode()).finish().into()
    }
}

impl Canonical for StateParts {
    const NAME: &'static str = "state parts";
    const BYTES_MAX: usize = 8 + 40 + 32 * 8;
}
