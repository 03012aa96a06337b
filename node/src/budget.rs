//! How much the door takes in before anything dear is spent on it: a budget of weight that is under way.
//!
//! Above what the network carries, every signature that is checked in vain takes time from those that count. So a transaction is
//! given a place here, by its weight and its bid, after it is decoded and before its signatures are looked at, or it is told to come
//! back. A place is held until the transaction has an outcome, leaves without one, or is refused.
//!
//! 1. The budget is what leaves in [`WAIT`], or in four blocks where those take longer, at the pace of the last seconds, and at least [`LEAST_WEIGHT`]: so what is taken in
//!    waits about that long at most, however much is offered, and an idle node takes a whole bulk body at once.
//! 2. Who bids a tip may use all of it, who bids none three quarters: under overload there is room for who is in a hurry.
//! 3. Who bids less than weight costs now waits for a lower price in the pool, whose bounds are for that. It holds nothing here, and comes in
//!    only while there is room for others without a tip. So does, once the price has risen above its bid, what came in before: or a few that bid today's
//!    price would keep everybody else out until they expire. An exempt wallet's transaction waits for no price and holds its weight.
//! 4. A transaction comes in while the budget is not used up, whatever it weighs: so the heaviest is not kept out for ever, and
//!    the budget is exceeded by one transaction at most.
//! 5. Who is refused is told when a tenth of the budget will be free, at the same pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger::records::FeeBid;
use ledger::values::FeeRate;
use mempool::highest_base_fee;

/// How long what is taken in may wait for its outcome, at the pace of the last seconds, where blocks come often.
const WAIT: Duration = Duration::from_secs(2);
/// Blocks that it may wait at least: what is sealed now is executed some blocks later.
const WAIT_BLOCKS: u32 = 4;
/// The least budget: without a tip, more than 4,096 payments to one payee each.
const LEAST_WEIGHT: u64 = 6_000_000;
/// Of four parts of the budget, how many are for who bids no tip.
const PARTS_WITHOUT_TIP: u64 = 3;
/// What leaves is counted for this part of the wait before it says how fast.
const LOOKS_PER_WAIT: u32 = 2;
/// After so many looks' time without one, what was known of the pace is of no use.
const FORGET_LOOKS: u32 = 5;
/// When a client may come back, at the earliest and at the latest.
const RETRY_MS: (u64, u64) = (100, 10_000);
/// And where nothing leaves now.
const RETRY_STUCK_MS: u64 = 2_000;

/// What a bid asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// It pays to be first.
    Tip,
    /// It pays what weight costs.
    Usual,
    /// It waits until weight costs less.
    LowerPrice,
}

impl Haste {
    /// Of a transaction of this weight, while weight costs `base_fee`.
    pub(crate) fn of(fee: &FeeBid, weight: u64, base_fee: FeeRate) -> Self {
        if !base_fee.is_zero() && highest_base_fee(fee, weight) < base_fee {
            Self::LowerPrice
        } else if fee.tip.is_zero() {
            Self::Usual
        } else {
            Self::Tip
        }
    }
}

/// No place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp {
    /// When to try again.
    pub(crate) retry_after_ms: u64,
}

/// The weight under way, and how fast it leaves.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicU64,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    /// Weight that left with an outcome each second, lately.
    weight_per_second: u64,
    /// What has left since the last look.
    left: u64,
    /// How long what is taken in may wait.
    wait: Duration,
    looked: Instant,
}

/// A transaction's part of the budget, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    budget: Arc<Budget>,
    weight: u64,
    held: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
    }
}

impl Place {
    /// What the transaction weighs.
    pub(crate) const fn weight(&self) -> u64 {
        self.weight
    }

    /// It waits for a lower price from now on, and holds nothing.
    pub(crate) fn release(&mut self) {
        self.budget.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }

    /// It waits for no price, whatever it bids.
    pub(crate) fn hold(&mut self) {
        self.budget.held.fetch_add(self.weight.saturating_sub(self.held), Ordering::Relaxed);
        self.held = self.held.max(self.weight);
    }
}

impl Budget {
    /// Nothing is under way.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            held: AtomicU64::new(0),
            pace: Mutex::new(Pace { weight_per_second: 0, left: 0, wait: WAIT, looked: now }),
        }
    }

    /// Blocks come this often at most.
    pub(crate) fn set_block_pace(&self, block_pace: Duration) {
        self.pace().wait = WAIT.max(block_pace.saturating_mul(WAIT_BLOCKS));
    }

    /// A place for a transaction.
    ///
    /// # Errors
    /// [`UsedUp`].
    pub(crate) fn take(self: &Arc<Self>, weight: u64, haste: Haste, now: Instant) -> Result<Place, UsedUp> {
        let (pace, budget) = self.pace_at(now);
        let share = if haste == Haste::Tip { budget } else { budget / 4 * PARTS_WITHOUT_TIP };
        let under_way = self.held.load(Ordering::Relaxed);
        if under_way >= share {
            return Err(UsedUp { retry_after_ms: retry_after_ms(under_way, share, pace) });
        }
        let held = if haste == Haste::LowerPrice { 0 } else { weight };
        self.held.fetch_add(held, Ordering::Relaxed);
        Ok(Place { budget: Arc::clone(self), weight, held })
    }

    /// When to come back, for whom no place was looked for.
    pub(crate) fn used_up(&self, now: Instant) -> UsedUp {
        let (pace, budget) = self.pace_at(now);
        let under_way = self.held.load(Ordering::Relaxed);
        UsedUp { retry_after_ms: retry_after_ms(under_way, budget / 4 * PARTS_WITHOUT_TIP, pace) }
    }

    /// So much has left with an outcome.
    pub(crate) fn left(&self, weight: u64, now: Instant) {
        let mut pace = self.pace();
        pace.left = pace.left.saturating_add(weight);
        pace.look(now);
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Weight that leaves each second, and the budget at that pace.
    fn pace_at(&self, now: Instant) -> (u64, u64) {
        let mut pace = self.pace();
        pace.look(now);
        (pace.weight_per_second, pace.budget())
    }
}

impl Pace {
    fn look(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.looked);
        let look = self.wait / LOOKS_PER_WAIT;
        if passed < look {
            return;
        }
        let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let seen = self.left.saturating_mul(1_000) / passed_ms;
        // Outcomes come by whole blocks, so one look alone says too little.
        self.weight_per_second =
            if passed >= look * FORGET_LOOKS { seen } else { self.weight_per_second.midpoint(seen) };
        (self.left, self.looked) = (0, now);
    }

    /// What may be under way.
    fn budget(&self) -> u64 {
        let wait_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
        (self.weight_per_second.saturating_mul(wait_ms) / 1_000).max(LEAST_WEIGHT)
    }
}

/// The time until a tenth of the share is free.
fn retry_after_ms(under_way: u64, share: u64, weight_per_second: u64) -> u64 {
    let too_much = under_way.saturating_sub(share / 10 * 9);
    let wait_ms = too_much.saturating_mul(1_000).checked_div(weight_per_second);
    wait_ms.unwrap_or(RETRY_STUCK_MS).clamp(RETRY_MS.0, RETRY_MS.1)
}

#[cfg(test)]
mod tests {
    use ledger::values::Amount;

    use super::*;

    const WEIGHT: u64 = 1_000;

    /// Takes places of [`WEIGHT`] until there is none.
    fn take_all(budget: &Arc<Budget>, haste: Haste, now: Instant) -> (Vec<Place>, UsedUp) {
        let mut places = Vec::new();
        loop {
            match budget.take(WEIGHT, haste, now) {
                Ok(place) => places.push(place),
                Err(used_up) => return (places, used_up),
            }
        }
    }

    fn leave(budget: &Budget, places: Vec<Place>, now: Instant) {
        budget.left(places.iter().map(Place::weight).sum(), now);
    }

    #[test]
    fn an_idle_node_takes_a_whole_body_and_keeps_room_for_tips() {
        let now = Instant::now();
        let budget = Arc::new(Budget::new(now));
        let (usual, used_up) = take_all(&budget, Haste::Usual, now);
        assert_eq!(usual.len(), 4_500);
        assert_eq!(used_up.retry_after_ms, RETRY_STUCK_MS, "nothing has left yet");
        assert!(budget.take(WEIGHT, Haste::LowerPrice, now).is_err());
        let (tips, _) = take_all(&budget, Haste::Tip, now);
        assert_eq!(tips.len(), 1_500);
        drop(usual);
        assert!(budget.take(WEIGHT, Haste::Usual, now).is_ok(), "what left makes room");
        drop(tips);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_waits_for_a_lower_price_holds_nothing() {
        let now = Instant::now();
        let budget = Arc::new(Budget::new(now));
        let waiting: Vec<Place> =
            (0..10_000).map(|_| budget.take(WEIGHT, Haste::LowerPrice, now).unwrap()).collect();
        assert_eq!(take_all(&budget, Haste::Usual, now).0.len(), 4_500);
        drop(waiting);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_heaviest_comes_in_while_there_is_room_at_all() {
        let now = Instant::now();
        let budget = Arc::new(Budget::new(now));
        let heavy = budget.take(10 * LEAST_WEIGHT, Haste::Usual, now).unwrap();
        assert!(budget.take(1, Haste::Tip, now).is_err());
        drop(heavy);
        assert!(budget.take(1, Haste::Usual, now).is_ok());
    }

    /// A thousand times as much as leaves is offered, for a minute: what is taken in waits as long as was promised.
    #[test]
    fn what_is_taken_in_waits_for_two_seconds_however_much_is_offered() {
        const LEAVES_IN_A_TICK: usize = 1_000;
        let tick = Duration::from_millis(100);
        let mut now = Instant::now();
        let budget = Arc::new(Budget::new(now));
        let mut under_way: std::collections::VecDeque<Place> = std::collections::VecDeque::new();
        for step in 0..600 {
            let (taken, used_up) = take_all(&budget, Haste::Usual, now);
            under_way.extend(taken);
            if step > 100 {
                // 10,000 leave in a second: three quarters of two seconds.
                let expected = 14_000..=16_000;
                assert!(expected.contains(&under_way.len()), "{} at step {step}", under_way.len());
                assert!((100..=300).contains(&used_up.retry_after_ms), "{used_up:?}");
            }
            now += tick;
            let places: Vec<Place> = under_way.drain(..LEAVES_IN_A_TICK.min(under_way.len())).collect();
            assert_eq!(places.len(), LEAVES_IN_A_TICK, "it never runs dry");
            leave(&budget, places, now);
        }
        // Nothing leaves any more: the budget shrinks to the least, and who comes is told to wait longer.
        for _second in 0..20 {
            now += WAIT / LOOKS_PER_WAIT;
            assert!(budget.take(WEIGHT, Haste::Tip, now).is_err());
        }
        assert_eq!(budget.used_up(now).retry_after_ms, RETRY_MS.1);
        now += WAIT / LOOKS_PER_WAIT * FORGET_LOOKS;
        assert_eq!(budget.used_up(now).retry_after_ms, RETRY_STUCK_MS);
        drop(under_way);
        assert_eq!(take_all(&budget, Haste::Usual, now).0.len(), 4_500);
    }

    #[test]
    fn who_is_outpriced_holds_nothing_and_who_waits_for_no_price_holds_its_weight() {
        let now = Instant::now();
        let budget = Arc::new(Budget::new(now));
        let mut place = budget.take(WEIGHT, Haste::Usual, now).unwrap();
        let held = |budget: &Budget| budget.held.load(Ordering::Relaxed);
        place.release();
        place.release();
        assert_eq!(held(&budget), 0);
        let mut exempt = budget.take(WEIGHT, Haste::LowerPrice, now).unwrap();
        assert_eq!(held(&budget), 0);
        exempt.hold();
        exempt.hold();
        assert_eq!(held(&budget), WEIGHT);
        drop((place, exempt));
        assert_eq!(held(&budget), 0);
    }

    /// With ten seconds between blocks what leaves is counted over blocks, not between them, and may wait for some of them.
    #[test]
    fn slow_blocks_lengthen_the_wait() {
        const BLOCK: Duration = Duration::from_secs(10);
        let mut now = Instant::now();
        let budget = Arc::new(Budget::new(now));
        budget.set_block_pace(BLOCK);
        for _block in 0..20 {
            now += BLOCK;
            budget.left(10_000 * WEIGHT, now);
            for _look in 0..9 {
                let (pace, whole) = budget.pace_at(now + BLOCK / 2);
                assert!(whole >= LEAST_WEIGHT && pace <= 1_000 * WEIGHT, "{pace} {whole}");
            }
        }
        let (pace, whole) = budget.pace_at(now);
        assert!((900 * WEIGHT..=1_000 * WEIGHT).contains(&pace), "{pace}");
        assert!((36_000 * WEIGHT..=40_000 * WEIGHT).contains(&whole), "{whole}");
    }

    #[test]
    fn a_bid_says_how_urgent_it_is() {
        let bid = |fee_max: u64, tip: u64| FeeBid {
            fee_max: Amount::from_fen(fee_max),
            tip: Amount::from_fen(tip),
            ..FeeBid::default()
        };
        let price = FeeRate::of_bid(Amount::from_fen(10), WEIGHT);
        assert_eq!(Haste::of(&bid(0, 0), WEIGHT, FeeRate::ZERO), Haste::Usual);
        assert_eq!(Haste::of(&bid(1, 1), WEIGHT, FeeRate::ZERO), Haste::Tip);
        assert_eq!(Haste::of(&bid(9, 0), WEIGHT, price), Haste::LowerPrice);
        assert_eq!(Haste::of(&bid(10, 0), WEIGHT, price), Haste::Usual);
        assert_eq!(Haste::of(&bid(11, 1), WEIGHT, price), Haste::Tip);
        assert_eq!(Haste::of(&bid(11, 5), WEIGHT, price), Haste::LowerPrice, "the tip pays no base fee");
    }
}
