//! The head of a chain's state: the small record that is stored with every height, enough (with the records)
//! to go on.

use wincode::{SchemaRead, SchemaWrite};

use super::operator_quota::{OperatorQuota, check_quotas};
use super::outbox::Outbox;
use crate::records::SupplyTerms;
use crate::records::batch::BATCH_LIFE_MS_MAX;
use crate::records::genesis::OPERATORS_MAX;
use crate::records::result::PAIRS_MAX;
use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::{
    BatchDigest, BlockDigest, Canonical, ChainId, CodecError, FeeRate, Hash, Hasher, Height, ResultHash,
    StateRoot, TimestampMs,
};

/// Ordered digests are gathered by the second in which they expire.
pub const ORDERED_BUCKET_MS: u64 = 1_000;
/// Buckets that can be unexpired at once: the life of a batch, and one begun second at either end.
pub const ORDERED_BUCKETS_MAX: usize = (BATCH_LIFE_MS_MAX / ORDERED_BUCKET_MS) as usize + 2;

/// The digests of one second of expiry, as a hash chain in the order in which they were ordered. The window
/// of ordered digests (PROTOCOL rules 10, 20) is committed to in this form, so it costs the same at any load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OrderedBucket {
    /// `expires / ORDERED_BUCKET_MS` of its batches.
    pub second: u64,
    /// Batches in it.
    pub count: u64,
    /// Hash chain over their digests.
    pub chain: Hash,
}

impl OrderedBucket {
    /// One without batches.
    #[must_use]
    pub const fn empty(second: u64) -> Self {
        Self { second, count: 0, chain: Hash([0; 32]) }
    }

    /// With one more batch.
    #[must_use]
    pub fn with(self, digest: BatchDigest) -> Self {
        let chain = Hasher::new("jiaozi/ordered-digest").bytes(&self.chain.0).bytes(&digest.0).finish();
        Self { count: self.count.saturating_add(1), chain, ..self }
    }
}

/// A deadline has passed at a height only when it had passed this many heights before: a chain that stood still, or went on with a
/// clock that ran ahead, leaves time to act (PROTOCOL rule 24).
pub const GRACE_HEIGHTS: usize = 32;
/// Timestamps of the last blocks that the head holds.
pub const RECENT_MAX: usize = GRACE_HEIGHTS + 1;

/// Where a chain's state stands.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct StateHead {
    /// The chain.
    pub chain: ChainId,
    /// The last executed height.
    pub height: Height,
    /// The block there; the digest that stands for genesis at height 0.
    pub block: BlockDigest,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its result.
    pub result: ResultHash,
    /// Root of the state.
    pub state: StateRoot,
    /// Records, which is also the next free slot.
    pub records: u64,
    /// The supply equation's terms.
    pub supply: SupplyTerms,
    /// What was sent to other chains, ascending by chain.
    pub outboxes: Vec<Outbox>,
    /// The base fee of the next block, as the parameters of this state make it. A header is judged by those of the state that it
    /// claims: the two differ for some blocks after parameters have changed.
    pub base_fee: FeeRate,
    /// What operators have left unpaid, ascending by operator.
    pub quotas: Vec<OperatorQuota>,
    /// The timestamp of the first block of the running epoch; genesis's before height 1.
    pub epoch_started: TimestampMs,
    /// Unexpired ordered digests, ascending by second.
    pub ordered: Vec<OrderedBucket>,
    /// Timestamps of the last [`RECENT_MAX`] heights, the newest last; genesis counts as a height.
    pub recent: Vec<TimestampMs>,
    /// Where the chain is while its wallets move to its newest child; none before its first and after the last one was passed.
    pub moving: Option<Moving>,
}

/// How far a parent has come in moving wallets to a child, in slot order (PROTOCOL rule 25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Moving {
    /// The child.
    pub to: ChainId,
    /// The next slot to look at.
    pub next: u64,
    /// One above the last: the records that there were when it began. Wallets opened later are at home here.
    pub until: u64,
}

impl StateHead {
    /// Adds a batch to the window.
    pub(crate) fn order(&mut self, digest: BatchDigest, expires: TimestampMs) {
        let second = expires.0 / ORDERED_BUCKET_MS;
        let place = match self.ordered.binary_search_by_key(&second, |bucket| bucket.second) {
            Ok(place) => place,
            Err(place) => {
                self.ordered.insert(place, OrderedBucket::empty(second));
                place
            }
        };
        if let Some(bucket) = self.ordered.get_mut(place) {
            *bucket = bucket.with(digest);
        }
    }

    /// Deadlines before this moment have passed for the next block; none have where it is younger than [`GRACE_HEIGHTS`].
    #[must_use]
    pub fn overdue_before(&self) -> Option<TimestampMs> {
        // The last one is one height below the next block.
        self.recent.len().checked_sub(GRACE_HEIGHTS).and_then(|place| self.recent.get(place)).copied()
    }

    /// Takes in the timestamp of an executed height.
    pub(crate) fn note_timestamp(&mut self, timestamp: TimestampMs) {
        self.timestamp = timestamp;
        self.recent.push(timestamp);
        let surplus = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..surplus);
    }

    /// Drops the buckets whose last batch expired before `now`.
    pub(crate) fn forget_expired(&mut self, now: TimestampMs) {
        let second = now.0 / ORDERED_BUCKET_MS;
        self.ordered.retain(|bucket| bucket.second >= second);
    }
}

const SUPPLY_BYTES_MAX: usize = <SupplyTerms as Canonical>::BYTES_MAX;
const OUTBOXES_BYTES_MAX: usize = 8 + Outbox::BYTES_MAX * PAIRS_MAX;
const QUOTAS_BYTES_MAX: usize = 8 + OperatorQuota::BYTES * OPERATORS_MAX;

impl Canonical for StateHead {
    const NAME: &'static str = "state head";
    const BYTES_MAX: usize = 4
        + 8
        + 32
        + 8
        + 32
        + 32
        + 8
        + SUPPLY_BYTES_MAX
        + OUTBOXES_BYTES_MAX
        + 8
        + QUOTAS_BYTES_MAX
        + 8
        + 8
        + 48 * ORDERED_BUCKETS_MAX
        + 8
        + 8 * RECENT_MAX
        + 1
        + 20;

    fn check(&self) -> Result<(), CodecError> {
        self.supply.check()?;
        check_count("head.outboxes", self.outboxes.len(), 0, PAIRS_MAX)?;
        check_ascending("head.outboxes", self.outboxes.iter().map(|outbox| outbox.chain))?;
        for outbox in &self.outboxes {
            outbox.tree.check("head.outboxes.tree.peaks")?;
        }
        check_quotas(&self.quotas)?;
        check_count("head.ordered", self.ordered.len(), 0, ORDERED_BUCKETS_MAX)?;
        check_ascending("head.ordered", self.ordered.iter().map(|bucket| bucket.second))?;
        check_count("head.recent", self.recent.len(), 1, RECENT_MAX)?;
        let Some(moving) = self.moving else { return Ok(()) };
        check_range("head.moving.until", moving.until, 0, self.records)?;
        check_range("head.moving.next", moving.next, 0, moving.until)
    }
}
