//! Wallets move from a chain to its child (PROTOCOL rule 25): in slot order, some with each block, after everything else that the block
//! does. And where a wallet is while they do.
//!
//! | of a wallet that belongs to the child | what the child is sent | what stays here |
//! | --- | --- | --- |
//! | no open lock or offer names it | move: the whole record | a tombstone that names the child |
//! | one does | keep | the wallet, as it was; it moves in a block after the last of them has ended |
//! | this chain's own parent keeps it | keep | the place that is kept free, as it was |
//!
//! After the last slot the child is sent the end. What a lock or an offer held when the block began counts: a wallet that the block
//! itself sets free is kept, and moves with the next.

use super::apply::{BLOCK_SENT_MAX, Working};
use super::chain_rules::ChainRules;
use super::receive::code_of;
use crate::records::registry::ROOT_CHAIN;
use crate::records::{
    Birth, Growth, MovementKind, Receipt, Record, Registry, Rejection, Tier, WalletRecord, WalletStatus,
};
use crate::rules::growth;
use crate::state::chain_state::SUSPENSE_SLOT;
use crate::state::overlay::Place;
use crate::state::pins::is_here;
use crate::state::{ChainState, Moving, ReadFault, StateReader};
use crate::values::{Amount, ChainId, OperatorId, PolicyHash, RecordId, Slot, WalletId};

/// Most slots that one block looks at.
pub const SCAN_PER_BLOCK_MAX: u64 = 2_048;
/// Most wallets that one block moves or keeps.
pub const MOVES_PER_BLOCK_MAX: usize = 512;
/// Payments have most of a block's room, whatever moves.
const _: () = assert!(MOVES_PER_BLOCK_MAX <= BLOCK_SENT_MAX / 8);

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

/// What a block may move: known before it runs, so that the records are read with all others.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Kept for a lock that is over, in slot order.
    free: Vec<WalletId>,
    /// The child's among the slots that are looked at, and whether something pins them.
    seen: Vec<(Slot, WalletId, bool)>,
    /// One above the last slot that is looked at.
    end: u64,
}

impl Plan {
    /// Whether nothing moves.
    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty() && self.end == 0
    }

    /// Names of all records that it may touch.
    pub(super) fn touched(&self, ids: &mut Vec<RecordId>) {
        let seen = self.seen.iter().map(|(_, wallet, _)| wallet);
        ids.extend(self.free.iter().chain(seen).map(|wallet| RecordId::from(*wallet)));
    }
}

impl ChainState {
    /// What the next block may move.
    pub(super) fn plan_moves(&self, reader: &impl StateReader) -> Result<Plan, ReadFault> {
        let free = self.pins.free().take(MOVES_PER_BLOCK_MAX).collect();
        let Some(moving) = self.head.moving else { return Ok(Plan { free, ..Plan::default() }) };
        let end = moving.until.min(moving.next.saturating_add(SCAN_PER_BLOCK_MAX));
        let slots: Vec<Slot> = (moving.next..end).map(Slot).collect();
        let mut seen = Vec::new();
        for (slot, record) in slots.iter().zip(reader.records(&slots)?) {
            let Record::Wallet(wallet) = record.ok_or(ReadFault::Slot { slot: *slot })? else { continue };
            if self.rules.child_of(&wallet.id) == Some(moving.to) {
                seen.push((*slot, wallet.id, self.pins.is_pinned(&wallet.id)));
            }
        }
        Ok(Plan { free, seen, end })
    }
}

/// Moves what the plan allows and the block has room for; `index` is the position after all that the block executes. Gives how far the
/// chain has come.
pub(super) fn move_wallets(working: &mut Working<'_>, plan: &Plan, index: u32) -> Option<Moving> {
    let mut left = MOVES_PER_BLOCK_MAX;
    for wallet in &plan.free {
        let Some(child) = working.rules.child_of(wallet).filter(|child| working.has_last_room(*child)) else {
            break;
        };
        left = left.saturating_sub(1);
        let place = working.overlay.find(wallet);
        let is_wallet_here = |place: &Place| working.overlay.wallet(*place).is_some_and(is_here);
        if let Some(place) = place.filter(is_wallet_here) {
            move_wallet(working, place, child, index);
        }
    }
    let mut moving = working.moving?;
    for (slot, wallet, is_pinned) in &plan.seen {
        if left == 0 || !working.has_last_room(moving.to) {
            moving.next = slot.0;
            return Some(moving);
        }
        let Some(place) = working.overlay.find(wallet) else { continue };
        match working.overlay.wallet(place).map(|wallet| wallet.status) {
            // Its place is kept free for what the own parent keeps.
            Some(WalletStatus::Moved { to }) if working.rules.parent() != Some(to) => continue,
            Some(WalletStatus::Moved { .. }) => working.send(moving.to, Receipt::Keep { wallet: *wallet }),
            Some(_) if *is_pinned => working.send(moving.to, Receipt::Keep { wallet: *wallet }),
            Some(_) => move_wallet(working, place, moving.to, index),
            None => continue,
        }
        left = left.saturating_sub(1);
    }
    moving.next = plan.end;
    if moving.next < moving.until || !working.has_last_room(moving.to) {
        return Some(moving);
    }
    working.send(moving.to, Receipt::End {});
    None
}

fn move_wallet(working: &mut Working<'_>, place: Place, to: ChainId, index: u32) {
    let Some(wallet) = working.overlay.wallet_mut(place) else { return };
    let before = wallet.clone();
    (wallet.status, wallet.balance) = (WalletStatus::Moved { to }, Amount::ZERO);
    let (id, amount) = (before.id, before.balance);
    working.note((index, 0), place, MovementKind::MovedOut, id, amount);
    working.send(to, Receipt::Move { wallet: before });
}

/// The chain to which the wallets of `chain` begin to move where its registry changes so, in a state of so many records.
pub(super) fn begin_moving(
    chain: ChainId,
    before: &Registry,
    after: &Registry,
    records: u64,
) -> Option<Moving> {
    let is_filling = |registry: &Registry, child: ChainId| {
        let birth = registry.chain(child).map(|record| record.birth);
        matches!(birth, Some(Birth::Child { parent, growth: Growth::Filling, .. }) if parent == chain)
    };
    let mut chains = after.chains.iter().map(|record| record.chain);
    let to = chains.find(|child| is_filling(after, *child) && !is_filling(before, *child))?;
    Some(Moving { to, next: SUSPENSE_SLOT.0.saturating_add(1), until: records })
}

/// A child's first block tells the root chain that it runs.
pub(super) fn report_start(working: &mut Working<'_>) {
    if working.height.0 == 1 && working.rules.parent().is_some() {
        working.send(ROOT_CHAIN, Receipt::Report { is_filled: false });
    }
}

/// Takes in a wallet of the parent. Never loses its money: what cannot be opened is suspense.
pub(super) fn receive_move(
    working: &mut Working<'_>,
    source: ChainId,
    moved: &WalletRecord,
    index: u32,
) -> u16 {
    let became = open_moved(working, source, moved);
    match became {
        Ok(place) => working.note((index, 0), place, MovementKind::MovedIn, moved.id, moved.balance),
        Err(_) => working.overlay.add_to_suspense(moved.balance),
    }
    code_of(became.map(|_| ()))
}

fn open_moved(working: &mut Working<'_>, source: ChainId, moved: &WalletRecord) -> Result<Place, Rejection> {
    if working.rules.parent() != Some(source) {
        return Err(Rejection::WalletElsewhere);
    }
    if !is_here(moved) {
        return Err(Rejection::PayeeMoved);
    }
    // Governance alone opens them, on every chain: one that came so could issue money.
    if moved.tier == Tier::Operator {
        return Err(Rejection::TierNotAllowed);
    }
    let Some(place) = working.overlay.find(&moved.id) else {
        return working.overlay.open(Record::Wallet(moved.clone())).ok_or(Rejection::WalletExists);
    };
    match working.overlay.wallet_mut(place) {
        Some(kept) if kept.status == (WalletStatus::Moved { to: source }) => kept.clone_from(moved),
        _ => return Err(Rejection::WalletExists),
    }
    Ok(place)
}

/// Keeps a place free for a wallet that the parent keeps.
///
/// # Errors
/// Only a dishonest chain sends such.
pub(super) fn receive_keep(
    working: &mut Working<'_>,
    source: ChainId,
    wallet: WalletId,
) -> Result<(), Rejection> {
    if working.rules.parent() != Some(source) {
        return Err(Rejection::WalletElsewhere);
    }
    // Nobody acts by it: what is moved is judged by that alone.
    let kept = WalletRecord {
        id: wallet,
        policy: PolicyHash::default(),
        operator: OperatorId(0),
        tier: Tier::Four,
        status: WalletStatus::Moved { to: source },
        balance: Amount::ZERO,
        lanes: Vec::new(),
    };
    working.overlay.open(Record::Wallet(kept)).map(|_| ()).ok_or(Rejection::WalletExists)
}

/// The parent has told of all wallets that are at home here.
///
/// # Errors
/// Only a dishonest chain sends such.
pub(super) fn receive_end(working: &mut Working<'_>, source: ChainId) -> Result<(), Rejection> {
    if working.rules.parent() != Some(source) {
        return Err(Rejection::WalletElsewhere);
    }
    let own = working.registry().chain(working.rules.chain).map(|record| record.birth);
    if !matches!(own, Some(Birth::Child { growth: Growth::Filling, .. })) {
        return Err(Rejection::ChangeChainNotReady);
    }
    // ---- nothing below this line can fail ----
    growth::grown(working);
    working.send(ROOT_CHAIN, Receipt::Report { is_filled: true });
    Ok(())
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

    /// Where a credit from `source` belongs. A chain whose wallets move knows all of them; and nothing goes back to where it came
    /// from.
    pub(super) fn whereabouts_of_credit(&self, source: ChainId, wallet: &WalletId) -> Whereabouts {
        let found = self.whereabouts(wallet);
        let Whereabouts::There(chain) = found else { return found };
        if self.overlay.find(wallet).is_some() {
            return found;
        }
        let is_known_here = self.moving.is_some() && self.rules.home(wallet) != self.rules.chain;
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

    /// Whether what moves last in a block may send one receipt more.
    fn has_last_room(&self, destination: ChainId) -> bool {
        self.sent.len() < BLOCK_SENT_MAX && self.supply.pair(destination).sent.count < u64::MAX
    }
}

impl ChainRules {
    /// The chain whose wallets this one takes half of; none of a chain of genesis.
    #[must_use]
    pub fn parent(&self) -> Option<ChainId> {
        self.registry.chain(self.chain)?.parent()
    }

    /// Whether this chain may not know all wallets yet that are at home here.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.registry.chain(self.chain).is_some_and(crate::records::ChainRecord::is_filling)
    }

    /// Whether receipts from `source` are executed now. A child hears the root chain alone until wallets are at home there, and then
    /// its parent too, until it knows all its wallets: a bundle of others would be passed over ([`crate::state::PassedOver`]).
    #[must_use]
    pub fn takes_from(&self, source: ChainId) -> bool {
        match self.registry.chain(self.chain).map(|record| record.birth) {
            Some(Birth::Child { growth: Growth::Added | Growth::Ready, .. }) => source == ROOT_CHAIN,
            Some(Birth::Child { parent, growth: Growth::Filling, .. }) => {
                source == ROOT_CHAIN || source == parent
            }
            Some(Birth::Child { growth: Growth::Grown, .. } | Birth::Genesis) | None => true,
        }
    }

    /// Whether wallets have moved from here, or do.
    #[must_use]
    pub fn has_children(&self) -> bool {
        let is_child =
            |record: &crate::records::ChainRecord| record.parent() == Some(self.chain) && record.is_home();
        self.registry.chains.iter().any(is_child)
    }

    /// The child to which a wallet of this chain moves or has moved, though it may be at home on a child of that one by now; none
    /// where it stays.
    #[must_use]
    pub fn child_of(&self, wallet: &WalletId) -> Option<ChainId> {
        if self.home(wallet) == self.chain {
            return None;
        }
        let own = self.registry.chain(self.chain)?.shard;
        let is_its = |record: &&crate::records::ChainRecord| {
            // The shards that there were before.
            let shards = record.shard.saturating_sub(own);
            let doubled = std::num::NonZeroU16::new(shards.saturating_mul(2));
            record.parent() == Some(self.chain)
                && record.is_home()
                && doubled.is_some_and(|shards| wallet.shard(shards) == record.shard)
        };
        self.registry.chains.iter().find(is_its).map(|record| record.chain)
    }
}
