//! Which heights this node holds of a chain: all, or those from some height on, because it joined by a snapshot or prunes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chain::{Archive, RowFault};
use ledger::values::Height;
use storage::Reader;

/// The lowest heights that are here. Cheap to clone; all clones see what is pruned.
#[derive(Debug, Clone, Default)]
pub struct Held {
    joined_at: Option<Height>,
    /// 0: nothing was pruned.
    pruned_below: Arc<AtomicU64>,
}

impl Held {
    /// What the store says.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn read<R: Reader + ?Sized>(archive: &Archive<'_, R>) -> Result<Self, RowFault> {
        let held = Self { joined_at: archive.joined_at()?, pruned_below: Arc::default() };
        held.prune(archive.pruned_below()?.unwrap_or_default());
        Ok(held)
    }

    /// The height of the snapshot by which this node joined; `None` where it replayed.
    pub(crate) const fn joined_at(&self) -> Option<Height> {
        self.joined_at
    }

    /// From now on nothing below this height is here.
    pub(crate) fn prune(&self, below: Height) {
        self.pruned_below.store(below.0, Ordering::Release);
    }

    /// The height below which this node has pruned by its policy; `None` where it has not.
    #[must_use]
    pub fn pruned_below(&self) -> Option<Height> {
        Some(Height(self.pruned_below.load(Ordering::Acquire))).filter(|below| below.0 > 0)
    }

    /// The lowest height whose block is here; `None` where all are.
    #[must_use]
    pub fn lowest_block(&self) -> Option<Height> {
        self.joined_at.max(self.pruned_below())
    }

    /// The lowest height of which everything is here; `None` where all is. Of the height of a snapshot by which the node joined, only the block
    /// is.
    #[must_use]
    pub fn lowest_whole(&self) -> Option<Height> {
        self.joined_at.map(Height::next).max(self.pruned_below())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_of_joined_and_pruned_counts() {
        let all = Held::default();
        assert_eq!((all.pruned_below(), all.lowest_block(), all.lowest_whole()), (None, None, None));
        let joined = Held { joined_at: Some(Height(9)), ..Held::default() };
        assert_eq!((joined.lowest_block(), joined.lowest_whole()), (Some(Height(9)), Some(Height(10))));
        let seen = joined.clone();
        joined.prune(Height(20));
        assert_eq!(seen.pruned_below(), Some(Height(20)), "clones see it");
        assert_eq!((seen.lowest_block(), seen.lowest_whole()), (Some(Height(20)), Some(Height(20))));
    }
}
