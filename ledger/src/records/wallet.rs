//! State records: the values of the summing tree's leaves.

use wincode::{SchemaRead, SchemaWrite};

use super::lock::{LockRecord, OfferRecord};
use super::transaction::{LANES_MAX, Nonce, SEQUENCE_MAX};
use crate::values::codec::{check_count, check_range};
use crate::values::{Amount, Canonical, ChainId, CodecError, OperatorId, PolicyHash, RecordId, WalletId};

/// What a wallet may do; each tier's limits are governed parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
pub enum Tier {
    /// An operator's own wallet: opened by genesis or governance, never by `OpenWallets`.
    Operator,
    /// Identified in person: no trading limit.
    One,
    /// Identified remotely.
    Two,
    /// Identified, without a bank account.
    Three,
    /// Anonymous.
    Four,
}

/// Tiers in order; [`super::ChainParams`] has one entry for each.
pub const TIERS: [Tier; 5] = [Tier::Operator, Tier::One, Tier::Two, Tier::Three, Tier::Four];

/// Whether a wallet may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum WalletStatus {
    /// May pay and be paid.
    Active,
    /// May neither pay nor be paid (set by operations of later formats).
    Frozen,
    /// Closed for ever; the record stays as a tombstone.
    Closed,
    /// It is on another chain: moved there by resharding, where the record stays as a tombstone with its frozen nonces; or, on a
    /// child, kept by the parent until the last lock that names it has ended.
    Moved {
        /// Where it is.
        to: ChainId,
    },
}

/// Nonce state of one lane: the highest used sequence, and which of the 127 below it are used.
/// Bit `i` stands for `highest − i`; bit 0 is set once any sequence is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct Lane {
    /// Highest used sequence; 0 before the first.
    pub highest: u64,
    /// Used sequences from `highest` downwards.
    pub used: u128,
}

/// Sequences behind the highest that may still be used, and ahead of it that may be skipped to.
pub const NONCE_WINDOW: u64 = 128;

impl Lane {
    /// Bit 0 is set exactly when a sequence was used, and no bit stands for a sequence below 1.
    #[must_use]
    pub const fn is_consistent(&self) -> bool {
        let below_one = if self.highest < NONCE_WINDOW { self.used >> self.highest != 0 } else { false };
        (self.used & 1 == 1) == (self.highest > 0) && !below_one
    }

    /// The lowest sequence that is still open: what a sender with a gap has to send first.
    #[must_use]
    pub fn first_open(&self) -> u64 {
        let floor = self.highest.saturating_sub(NONCE_WINDOW.saturating_sub(1)).max(1);
        (floor..=self.highest)
            .find(|sequence| self.is_open(*sequence))
            .unwrap_or(self.highest.saturating_add(1))
    }

    /// Whether `sequence` is unused and inside the window: at most 127 below or 128 above the highest.
    #[must_use]
    pub const fn is_open(&self, sequence: u64) -> bool {
        if sequence == 0 || sequence > SEQUENCE_MAX {
            return false;
        }
        match sequence.checked_sub(self.highest) {
            Some(0) => false,
            Some(ahead) => ahead <= NONCE_WINDOW,
            None => {
                let behind = self.highest.saturating_sub(sequence);
                behind < NONCE_WINDOW && self.used & bit(behind) == 0
            }
        }
    }

    /// The lane after `sequence` was used, or `None` where it is not open.
    #[must_use]
    pub const fn used(&self, sequence: u64) -> Option<Self> {
        if !self.is_open(sequence) {
            return None;
        }
        match sequence.checked_sub(self.highest) {
            Some(ahead) => {
                let shifted = if ahead < NONCE_WINDOW { self.used << ahead } else { 0 };
                Some(Self { highest: sequence, used: shifted | 1 })
            }
            None => {
                let behind = self.highest.saturating_sub(sequence);
                Some(Self { highest: self.highest, used: self.used | bit(behind) })
            }
        }
    }
}

const fn bit(distance: u64) -> u128 {
    if distance < NONCE_WINDOW { 1 << distance } else { 0 }
}

/// A wallet as the state holds it.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct WalletRecord {
    /// Its name.
    pub id: WalletId,
    /// Hash of its current policy.
    pub policy: PolicyHash,
    /// The operator that opened it.
    pub operator: OperatorId,
    /// Its limits.
    pub tier: Tier,
    /// Whether it may act.
    pub status: WalletStatus,
    /// Its money.
    pub balance: Amount,
    /// Nonce lanes from lane 0; a lane that was never used may be missing at the end.
    pub lanes: Vec<Lane>,
}

impl WalletRecord {
    /// Checks counts and ranges.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), CodecError> {
        check_count("wallet.lanes", self.lanes.len(), 0, usize::from(LANES_MAX))?;
        for lane in &self.lanes {
            check_range("wallet.lanes.highest", lane.highest, 0, SEQUENCE_MAX)?;
            let is_consistent = lane.is_consistent();
            check_range(
                "wallet.lanes.used (bit 0 once used, none below sequence 1)",
                u64::from(is_consistent),
                1,
                1,
            )?;
        }
        // A trailing unused lane would give one nonce state two encodings.
        let last_is_used = self.lanes.last().is_none_or(|lane| lane.highest > 0);
        check_range("wallet.lanes (the last one is used)", u64::from(last_is_used), 1, 1)
    }

    /// Whether `nonce` may be used now, given the tier's number of lanes.
    #[must_use]
    pub fn is_open(&self, nonce: Nonce, lanes: u16) -> bool {
        let lane = self.lanes.get(usize::from(nonce.lane)).copied().unwrap_or_default();
        nonce.lane < lanes && lane.is_open(nonce.sequence)
    }

    /// Marks `nonce` used; false (and unchanged) where it is not open.
    #[must_use]
    pub fn use_nonce(&mut self, nonce: Nonce, lanes: u16) -> bool {
        if !self.is_open(nonce, lanes) {
            return false;
        }
        let index = usize::from(nonce.lane);
        if self.lanes.len() <= index {
            self.lanes.resize(index.saturating_add(1), Lane::default());
        }
        match self.lanes.get_mut(index) {
            Some(lane) => match lane.used(nonce.sequence) {
                Some(next) => {
                    *lane = next;
                    true
                }
                None => false,
            },
            None => false,
        }
    }
}

/// A leaf of the state. New kinds (holds) are appended.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Record {
    /// A wallet.
    Wallet(WalletRecord),
    /// Fees of the network.
    FeePool {
        /// Collected and not yet used.
        balance: Amount,
    },
    /// Money whose owner must be found by operators.
    Suspense {
        /// Held.
        balance: Amount,
    },
    /// A lock.
    Lock(LockRecord),
    /// An offer of another chain; of no value.
    Offer(OfferRecord),
}

impl Record {
    /// The leaf's value in the summing tree.
    #[must_use]
    pub const fn value(&self) -> Amount {
        match self {
            Self::Wallet(wallet) => wallet.balance,
            Self::FeePool { balance } | Self::Suspense { balance } => *balance,
            Self::Lock(lock) => lock.value(),
            Self::Offer(_) => Amount::ZERO,
        }
    }

    /// The name under which the id tree finds it; none for the fee pool and the suspense record.
    #[must_use]
    pub fn id(&self) -> Option<RecordId> {
        match self {
            Self::Wallet(wallet) => Some(wallet.id.into()),
            Self::Lock(lock) => Some(lock.id.into()),
            Self::Offer(offer) => Some(offer.id.into()),
            Self::FeePool { .. } | Self::Suspense { .. } => None,
        }
    }
}

/// The wallet's bound is that of the largest record.
const _: () =
    assert!(4 + 32 * 3 + 8 + 4 + 72 + 8 + 6 < 4 + 32 + 32 + 2 + 4 + 8 + 8 + 8 + 24 * LANES_MAX as usize);

impl Canonical for Record {
    const NAME: &'static str = "record";
    const BYTES_MAX: usize = 4 + 32 + 32 + 2 + 4 + 8 + 8 + 8 + 24 * LANES_MAX as usize;

    fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Wallet(wallet) => wallet.check(),
            _ => Ok(()),
        }
    }
}
