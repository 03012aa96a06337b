//! Where a wallet is while wallets move, as far as a chain knows: what a payment, a credit, a refund and a lock ask before anything else
//! (PROTOCOL rules 23 and 25).
//!
//! What has a record here is here, or where its tombstone says. What has none is where its home is; at home here it does not exist,
//! unless this chain is a child that has not been told of all its wallets yet: then its parent knows.

use super::apply::Working;
use crate::records::{Rejection, WalletStatus};
use crate::state::overlay::Place;
use crate::state::pins::is_here;
use crate::values::{ChainId, WalletId};

/// Where a wallet is, as far as this chain knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Here.
    Here(Place),
    /// On another chain, or that one knows.
    There(ChainId),
    /// It does not exist.
    Nowhere,
}

impl Working<'_> {
    /// Where to pay a wallet.
    pub(super) fn whereabouts(&self, wallet: &WalletId) -> Whereabouts {
        let place = self.overlay.find(wallet);
        let status = place.and_then(|place| self.overlay.wallet(place)).map(|wallet| wallet.status);
        match (place, status) {
            (_, Some(WalletStatus::Moved { to })) => Whereabouts::There(to),
            (Some(place), _) => Whereabouts::Here(place),
            (None, _) => self.unknown(wallet),
        }
    }

    /// Where a wallet may be that has no record here.
    fn unknown(&self, wallet: &WalletId) -> Whereabouts {
        let home = self.rules.home(wallet);
        if home != self.rules.chain {
            return Whereabouts::There(home);
        }
        let parent = self.rules.parent().filter(|_| self.rules.is_filling());
        parent.map_or(Whereabouts::Nowhere, Whereabouts::There)
    }

    /// Where a credit from `source` belongs. A chain knows all wallets that it has still to move; and nothing goes back to where it came
    /// from.
    pub(super) fn whereabouts_of_credit(&self, source: ChainId, wallet: &WalletId) -> Whereabouts {
        let found = self.whereabouts(wallet);
        let Whereabouts::There(chain) = found else { return found };
        if self.overlay.find(wallet).is_some() {
            return found;
        }
        // What belongs to a child that wallets still move to was opened here; what belongs to an older one may have been opened there.
        let (child, is_whole) = (self.rules.child_of(wallet), !self.rules.is_filling());
        let is_known_here =
            is_whole && self.moving.is_some_and(|moving| child.is_some_and(|child| child >= moving.to));
        if is_known_here || chain == source { Whereabouts::Nowhere } else { found }
    }

    /// Where a refund from `source` belongs: it is given here where the payer is here, or nobody knows it.
    pub(super) fn whereabouts_of_refund(&self, source: ChainId, wallet: &WalletId) -> Whereabouts {
        match self.whereabouts(wallet) {
            Whereabouts::There(chain) if chain == source && self.overlay.find(wallet).is_none() => {
                Whereabouts::Nowhere
            }
            found => found,
        }
    }

    /// The guard of every new lock and offer: a wallet that is at home elsewhere leaves, and is not held up. One that a child does not
    /// know before it is grown may be its parent's: an offer would pin the place that is kept free for it.
    pub(super) fn check_stays(&self, parties: [WalletId; 2]) -> Result<(), Rejection> {
        let stays = |wallet: &WalletId| {
            let record = self.overlay.find(wallet).and_then(|place| self.overlay.wallet(place));
            self.rules.home(wallet) == self.rules.chain && record.map_or(!self.rules.is_filling(), is_here)
        };
        if parties.iter().all(stays) { Ok(()) } else { Err(Rejection::PartyMoving) }
    }
}
