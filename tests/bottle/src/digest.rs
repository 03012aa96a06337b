//! One digest over all roots of all nodes: equal plans give equal digests.

use std::fmt::Write as _;

use chain::Archive;
use ledger::values::{ChainId, GenesisHash, Hasher, Height};
use storage::Store;

/// Digest over the heights, results and state roots of all chains of the nodes, in order of their indexes, as 64 hex digits.
pub(crate) fn digest<'a>(
    genesis: GenesisHash,
    nodes: impl IntoIterator<Item = (u16, ChainId, &'a dyn Store)>,
) -> String {
    let mut hasher = Hasher::new("jiaozi/bottle").bytes(&genesis.0);
    for (index, chain, store) in nodes {
        hasher = hasher.number(u64::from(index)).number(u64::from(chain.0));
        let archive = Archive::new(store);
        let mut height = Height(0);
        while let Ok(Some(result)) = archive.result(height) {
            hasher = hasher.number(height.0).bytes(&result.hash(genesis).0).bytes(&result.state.0);
            height = height.next();
        }
    }
    hasher.finish().0.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
