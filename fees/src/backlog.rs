//! What waits, as buckets of like bids.

use std::collections::BTreeMap;

use ledger::values::FeeRate;

/// Most buckets that are made, and that are looked at; further ones are passed over.
pub const BACKLOG_BUCKETS_MAX: usize = 256;

/// What waits, in any order; the first [`BACKLOG_BUCKETS_MAX`] buckets count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The buckets.
    pub waiting: Vec<Waiting>,
}

/// Transactions that wait and bid about alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Tip per weight that they bid.
    pub tip_rate: FeeRate,
    /// Base fee per weight that they can pay besides their tip.
    pub fee_rate: FeeRate,
    /// Their weight together.
    pub weight: u64,
}

/// Bits after the leading one that tell rates apart at first: neighbours differ by an eighth at most.
const PRECISION_BITS: u32 = 3;

impl Backlog {
    /// Buckets of single bids (or of other buckets), best bid first: rates that differ by less than an eighth fall together, by
    /// less than a quarter, half or a factor of two where there are too many. A bucket bids what the best of it bids. Where even
    /// that is too many, the lowest are left out.
    #[must_use]
    pub fn of(bids: impl IntoIterator<Item = Waiting>) -> Self {
        let mut buckets = BTreeMap::new();
        for bid in bids {
            put(&mut buckets, bid, PRECISION_BITS);
        }
        for bits in (0..PRECISION_BITS).rev() {
            if buckets.len() <= BACKLOG_BUCKETS_MAX {
                break;
            }
            let finer = std::mem::take(&mut buckets);
            finer.into_values().for_each(|bucket| put(&mut buckets, bucket, bits));
        }
        Self { waiting: buckets.into_values().rev().take(BACKLOG_BUCKETS_MAX).collect() }
    }
}

/// Most buckets of a [`Tally`] before like bids fall together more coarsely: as many as differ by factors of two always fit.
pub const TALLY_BUCKETS_MAX: usize = 65 * 65;

/// A backlog that is kept up to date as bids come and go. A bucket bids what the best of it has bid since it was last empty, so at
/// most an eighth too much (up to a factor of two where there are very many).
#[derive(Debug, Clone)]
pub struct Tally {
    /// Each with the number of its bids.
    buckets: BTreeMap<(u64, u64), (Waiting, usize)>,
    bits: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), bits: PRECISION_BITS }
    }
}

impl Tally {
    /// A bid comes.
    pub fn add(&mut self, bid: Waiting) {
        self.put(bid, 1);
        while self.buckets.len() > TALLY_BUCKETS_MAX && self.bits > 0 {
            self.bits = self.bits.saturating_sub(1);
            for (bucket, count) in std::mem::take(&mut self.buckets).into_values() {
                self.put(bucket, count);
            }
        }
    }

    fn put(&mut self, bid: Waiting, more: usize) {
        let empty = (Waiting { weight: 0, ..bid }, 0);
        let (bucket, count) = self.buckets.entry(self.key(&bid)).or_insert(empty);
        bucket.tip_rate = bucket.tip_rate.max(bid.tip_rate);
        bucket.fee_rate = bucket.fee_rate.max(bid.fee_rate);
        bucket.weight = bucket.weight.saturating_add(bid.weight);
        *count = count.saturating_add(more);
    }

    /// A bid that came goes.
    pub fn remove(&mut self, bid: Waiting) {
        let key = self.key(&bid);
        let Some((bucket, count)) = self.buckets.get_mut(&key) else { return };
        bucket.weight = bucket.weight.saturating_sub(bid.weight);
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.buckets.remove(&key);
        }
        if self.buckets.is_empty() {
            self.bits = PRECISION_BITS;
        }
    }

    /// What waits now.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        Backlog::of(self.buckets.values().map(|(bucket, _)| *bucket))
    }

    fn key(&self, bid: &Waiting) -> (u64, u64) {
        (rounded(bid.tip_rate, self.bits), rounded(bid.fee_rate, self.bits))
    }
}

/// Buckets by what their bids' tips and ceilings round down to.
type Buckets = BTreeMap<(u64, u64), Waiting>;

fn put(buckets: &mut Buckets, bid: Waiting, bits: u32) {
    let key = (rounded(bid.tip_rate, bits), rounded(bid.fee_rate, bits));
    buckets
        .entry(key)
        .and_modify(|bucket| {
            bucket.tip_rate = bucket.tip_rate.max(bid.tip_rate);
            bucket.fee_rate = bucket.fee_rate.max(bid.fee_rate);
            bucket.weight = bucket.weight.saturating_add(bid.weight);
        })
        .or_insert(bid);
}

/// A rate with so many bits after the leading one; what is below is cut off.
fn rounded(rate: FeeRate, bits: u32) -> u64 {
    let rate = rate.micro_fen();
    let cut = rate.checked_ilog2().unwrap_or(0).saturating_sub(bits);
    rate.checked_shr(cut).and_then(|kept| kept.checked_shl(cut)).unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(tip: u64, fee: u64, weight: u64) -> Waiting {
        Waiting { tip_rate: FeeRate::from_micro_fen(tip), fee_rate: FeeRate::from_micro_fen(fee), weight }
    }

    #[test]
    fn like_bids_share_a_bucket_that_bids_what_the_best_of_them_bids() {
        let backlog = Backlog::of([bid(0, 1_000, 5), bid(100, 2_000, 7), bid(0, 1_010, 6), bid(0, 3_000, 1)]);
        assert_eq!(backlog.waiting, [bid(100, 2_000, 7), bid(0, 3_000, 1), bid(0, 1_010, 11)]);
    }

    #[test]
    fn buckets_are_bounded_and_weigh_what_the_bids_weigh() {
        let bids = (0..20_000u64).map(|number| bid((number % 37) * 13, number * number, 3));
        let backlog = Backlog::of(bids);
        assert!(backlog.waiting.len() <= BACKLOG_BUCKETS_MAX);
        assert_eq!(backlog.waiting.iter().map(|bucket| bucket.weight).sum::<u64>(), 60_000);
    }

    #[test]
    fn a_tally_weighs_what_came_and_has_not_gone() {
        // 16 ceilings for every power of two.
        let made = |number: u64| bid(1 << (number % 60), (16 + number % 16) << (number / 60 % 50), number);
        let bids: Vec<Waiting> = (0..30_000).map(made).collect();
        let mut tally = Tally::default();
        for bid in &bids {
            tally.add(*bid);
            assert!(tally.buckets.len() <= TALLY_BUCKETS_MAX);
        }
        assert!(tally.bits < PRECISION_BITS, "made for more buckets than there may be");
        let weigh = |backlog: &Backlog| backlog.waiting.iter().map(|bucket| bucket.weight).sum::<u64>();
        let (gone, left) = bids.split_at(29_990);
        gone.iter().for_each(|bid| tally.remove(*bid));
        assert_eq!(weigh(&tally.backlog()), left.iter().map(|bid| bid.weight).sum::<u64>());
        left.iter().for_each(|bid| tally.remove(*bid));
        assert_eq!((tally.backlog(), tally.bits), (Backlog::default(), PRECISION_BITS));
        // As one that looks at all of them, where the best of each bucket is still there.
        let few = &bids[..200];
        few.iter().for_each(|bid| tally.add(*bid));
        assert_eq!(tally.backlog(), Backlog::of(few.iter().copied()));
    }
}
