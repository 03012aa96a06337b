//! How many locks and offers a chain takes. Each kind, and each chain that offers come from, has a share of its own: whoever uses one up
//! shuts nobody out of another.

use std::collections::BTreeMap;

use crate::records::genesis::CHAINS_MAX;
use crate::values::ChainId;

/// Most open hash locks of a chain: bounds memory (some 100 bytes each).
pub const LOCKS_OPEN_MAX: usize = 1 << 19;
/// Most open offers of a chain, in equal shares for all chains of the network.
pub const OFFERS_OPEN_MAX: usize = 1 << 19;
/// Most new locks of a block, and most new offers of a block from one chain. Their records stay for ever.
pub const LOCKS_PER_BLOCK_MAX: usize = 256;
const _: () = assert!(OFFERS_OPEN_MAX / CHAINS_MAX >= LOCKS_PER_BLOCK_MAX);

/// What shares a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Locks that customers of this chain make.
    Locks,
    /// Offers that come from one other chain.
    Offers(ChainId),
}

/// A count for each share; none is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(BTreeMap<Share, usize>);

impl Share {
    /// Most that may be open, in a network of so many chains.
    #[must_use]
    pub const fn open_max(self, chains: usize) -> usize {
        match self {
            Self::Locks => LOCKS_OPEN_MAX,
            Self::Offers(_) => match OFFERS_OPEN_MAX.checked_div(chains) {
                Some(share) => share,
                None => OFFERS_OPEN_MAX,
            },
        }
    }
}

impl Shares {
    /// How many of a share.
    #[must_use]
    pub fn count(&self, share: Share) -> usize {
        self.0.get(&share).copied().unwrap_or(0)
    }

    /// One more.
    pub(crate) fn add(&mut self, share: Share) {
        let count = self.0.entry(share).or_default();
        *count = count.saturating_add(1);
    }

    /// One less.
    pub(crate) fn remove(&mut self, share: Share) {
        match self.0.get_mut(&share) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => {
                self.0.remove(&share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_apart_and_the_last_one_leaves_nothing() {
        let [one, two] = [1, 2].map(|chain| Share::Offers(ChainId(chain)));
        let mut shares = Shares::default();
        for share in [one, Share::Locks, one] {
            shares.add(share);
        }
        assert_eq!([one, two, Share::Locks].map(|share| shares.count(share)), [2, 0, 1]);
        for share in [one, one, Share::Locks, two] {
            shares.remove(share);
        }
        assert_eq!(shares, Shares::default());
    }

    #[test]
    fn all_shares_together_are_bounded() {
        assert_eq!(Share::Locks.open_max(3), LOCKS_OPEN_MAX);
        let offers = Share::Offers(ChainId(1));
        for chains in [1, 3, CHAINS_MAX] {
            assert!(offers.open_max(chains) * chains <= OFFERS_OPEN_MAX);
            assert!(offers.open_max(chains) >= LOCKS_PER_BLOCK_MAX);
        }
    }
}
