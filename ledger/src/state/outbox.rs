//! What a chain has sent to another chain: an append-only tree of its receipts. The outbox root, which results certify and the
//! state root holds, is over the outboxes of all chains (PROTOCOL rule 22).

use wincode::{SchemaRead, SchemaWrite};

use crate::records::{PairCounters, Receipt};
use crate::values::{AppendTree, Canonical as _, ChainId, Hash, Hasher, Merkle, OutboxRoot, Sequential};

/// Tag of the tree over the receipts for one chain.
pub const RECEIPTS_TAG: &str = "jiaozi/receipts";
const OUTBOXES: Merkle = Merkle { tag: "jiaozi/outbox" };

/// The receipts sent to one other chain.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Outbox {
    /// The other chain.
    pub chain: ChainId,
    /// The tree over them.
    pub tree: AppendTree,
}

impl Outbox {
    /// Most bytes of its encoding.
    pub const BYTES_MAX: usize = 4 + AppendTree::BYTES_MAX;

    /// The leaf under the outbox root; `total` is what the receipts add up to, in fen.
    #[must_use]
    pub fn leaf(&self, total: u128) -> Hash {
        let receipts = self.tree.root(RECEIPTS_TAG);
        let fields =
            Hasher::new("jiaozi/outbox-of").number(u64::from(self.chain.0)).bytes(&total.to_le_bytes());
        OUTBOXES.leaf(&fields.bytes(&receipts.0).finish().0)
    }
}

/// The leaf of a receipt; `total_before` is what all receipts before it add up to, in fen, so that a bundle proves that too.
#[must_use]
pub fn receipt_leaf(receipt: &Receipt, total_before: u128) -> Hash {
    AppendTree::leaf(RECEIPTS_TAG, &[total_before.to_le_bytes().as_slice(), &receipt.encode()].concat())
}

/// One leaf for each pair of chains, in the order of the pairs; a chain that was sent nothing has an empty outbox.
fn leaves(outboxes: &[Outbox], pairs: &[PairCounters]) -> Vec<Hash> {
    let leaf = |pair: &PairCounters| {
        let sent = outboxes.iter().find(|outbox| outbox.chain == pair.chain);
        let empty = || Outbox { chain: pair.chain, tree: AppendTree::default() };
        sent.cloned().unwrap_or_else(empty).leaf(pair.sent.total)
    };
    pairs.iter().map(leaf).collect()
}

/// The root over the outboxes of a chain with these pair counters.
#[must_use]
pub fn outbox_root(outboxes: &[Outbox], pairs: &[PairCounters]) -> OutboxRoot {
    OUTBOXES.root(leaves(outboxes, pairs), &Sequential).into()
}

/// The path from the outbox for `chain`; `None` where there is none.
#[must_use]
pub fn outbox_path(outboxes: &[Outbox], pairs: &[PairCounters], chain: ChainId) -> Option<Vec<Hash>> {
    let position = pairs.iter().position(|pair| pair.chain == chain)?;
    OUTBOXES.path(leaves(outboxes, pairs), position as u64, &Sequential)
}

/// Whether `outbox` is under `root`, among the outboxes of these pairs.
#[must_use]
pub fn verify_outbox(root: OutboxRoot, pairs: &[PairCounters], outbox: &Outbox, path: &[Hash]) -> bool {
    let Some(position) = pairs.iter().position(|pair| pair.chain == outbox.chain) else { return false };
    let total = pairs.get(position).map_or(0, |pair| pair.sent.total);
    OUTBOXES.verify(Hash(root.0), pairs.len() as u64, position as u64, outbox.leaf(total), path)
}
