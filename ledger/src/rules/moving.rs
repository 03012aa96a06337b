//! Wallets move from a chain to its child (PROTOCOL rule 25): in slot order, some with each block, after everything else that the block
//! does. Where a wallet is while they do, [`super::whereabouts`] says.
//!
//! | of a wallet that belongs to the child | what the child is sent | what stays here |
//! | --- | --- | --- |
//! | no open lock or offer names it | move: the whole record | a tombstone that names the child |
//! | one does | keep | the wallet, as it was; it moves in a block after the last of them has ended |
//! | this chain's own parent keeps it | keep | the place that is kept free, as it was |
//!
//! After the last slot the child is sent the end. Children follow one another in the order of their ids: where one is to be filled while
//! wallets still move to another (whose validators have said too early that it has them all), it waits, and no wallet is passed by.
//!
//! What a lock or an offer held when the block began counts: a wallet that the block itself sets free is kept, and moves with the next.

use super::apply::{BLOCK_SENT_MAX, Working};
use super::chain_rules::ChainRules;
use super::receive::code_of;
use crate::records::registry::ROOT_CHAIN;
use crate::records::{
    Birth, ChainRecord, Growth, MovementKind, Receipt, Record, Registry, Rejection, Tier, WalletRecord,
    WalletStatus,
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
    follow_on(working.rules, moving.to, working.overlay.next_slot())
}

fn move_wallet(working: &mut Working<'_>, place: Place, to: ChainId, index: u32) {
    let Some(wallet) = working.overlay.wallet_mut(place) else { return };
    let before = wallet.clone();
    (wallet.status, wallet.balance) = (WalletStatus::Moved { to }, Amount::ZERO);
    let (id, amount) = (before.id, before.balance);
    working.note((index, 0), place, MovementKind::MovedOut, id, amount);
    working.send(to, Receipt::Move { wallet: before });
}

/// How a chain that moves so, or not at all, goes on where its registry changes so, in a state of so many records. None: as before.
pub(super) fn begin_moving(
    (chain, moving): (ChainId, Option<Moving>),
    before: &Registry,
    after: &Registry,
    records: u64,
) -> Option<Moving> {
    let is_new = |child: &ChainId| !is_filled_by(before, *child, chain) && is_filled_by(after, *child, chain);
    let to = after.chains.iter().map(|record| record.chain).find(is_new)?;
    // One that is moved to already comes first, and this one after it.
    if moving.is_some() { None } else { Some(from_first_slot(to, records)) }
}

/// Where a chain goes on that has passed all wallets of `child`: to the next of its children that wallets are at home on.
fn follow_on(rules: &ChainRules, child: ChainId, records: u64) -> Option<Moving> {
    let is_next = |record: &&ChainRecord| {
        record.chain > child && record.parent() == Some(rules.chain) && record.is_home()
    };
    rules.registry.chains.iter().find(is_next).map(|record| from_first_slot(record.chain, records))
}

const fn from_first_slot(to: ChainId, records: u64) -> Moving {
    Moving { to, next: SUSPENSE_SLOT.0.saturating_add(1), until: records }
}

fn is_filled_by(registry: &Registry, child: ChainId, parent: ChainId) -> bool {
    registry.chain(child).is_some_and(|record| record.parent() == Some(parent) && record.is_home())
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
    /// Whether what moves last in a block may send one receipt more.
    fn has_last_room(&self, destination: ChainId) -> bool {
        self.sent.len() < BLOCK_SENT_MAX && self.supply.pair(destination).sent.count < u64::MAX
    }
}
