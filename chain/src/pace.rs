//! When a relay gives a destination its next bundles, and which: without a clock of its own, for every driver.
//!
//! - What is under way is bounded; more follows as the destination executes.
//! - What does not move for a while is given once more, to other nodes, and then after twice the time: others may have brought other bundles,
//!   a link may have lost its own, or the destination stands still.
//! - What is under way stays of use until its last receipt was executed, wherever others' bundles end: the destination skips what came
//!   before. So whoever brings small bundles in between delays nothing.
//! - Relays of one source on several nodes take ranks. The first gives at once; each of the others only when nothing has moved for its rank's
//!   time, and then for a while in place of those before it. So usually one relay works, any may be dead, and two at a time are harmless.

use std::collections::VecDeque;

use ledger::records::Bundle;
use ledger::values::{ChainId, Epoch, Height};
use storage::Reader;

use crate::relay::next_bundle;
use crate::rows::RowFault;

/// How long a destination may take to execute what it was given, before it is given again.
pub const PATIENCE_MS: u64 = 1_000;
/// The longest such time.
pub const PATIENCE_MS_MAX: u64 = 8_000;
/// How much longer each rank waits before it gives.
pub const STAGGER_MS: u64 = 2_000;
/// Ranks above it wait no longer.
const RANK_MAX: u64 = 8;
/// How long a relay that found nothing moving goes on in place of those before it.
const STANDS_IN_MS: u64 = 10_000;
/// Bundles that are made for a destination before the others have their turn.
const BUNDLES_PER_ROUND: usize = 4;
const _: () = assert!(STAGGER_MS > PATIENCE_MS, "the first has a second try before the next one begins");
const _: () = assert!(STANDS_IN_MS > STAGGER_MS, "who stands in works most of the time");

/// What one destination was given.
#[derive(Debug, Clone)]
pub struct Pace {
    rank: u64,
    under_way_max: usize,
    /// Receipts that are certified at the source.
    sent: u64,
    /// Receipts that the destination has executed, as far as it is known.
    received: u64,
    /// Receipts that it was given.
    given: u64,
    /// Where each bundle that is under way ends.
    under_way: VecDeque<u64>,
    /// Since when nothing moves.
    moved_ms: u64,
    /// When what is under way was last given anew.
    again_ms: u64,
    patience_ms: u64,
    stands_in_since_ms: Option<u64>,
    /// How often something was given anew.
    attempts: usize,
}

impl Pace {
    /// Nothing was given yet. `rank` among the relays of the source, 0 first; so many bundles may be under way. `now_ms` is on any
    /// monotonic clock, the same at every call.
    #[must_use]
    pub fn new(rank: usize, under_way_max: usize, now_ms: u64) -> Self {
        Self {
            rank: bounded(rank),
            under_way_max,
            sent: 0,
            received: 0,
            given: 0,
            under_way: VecDeque::new(),
            moved_ms: now_ms,
            again_ms: now_ms,
            patience_ms: PATIENCE_MS,
            stands_in_since_ms: None,
            attempts: 0,
        }
    }

    /// The set of the source or of the destination has changed, and the places with it.
    pub fn set_rank(&mut self, rank: usize) {
        self.rank = bounded(rank);
    }

    /// So much is certified, and so much has been executed, as far as it is known.
    pub fn saw(&mut self, now_ms: u64, sent: u64, received: u64) {
        let waited = self.is_waiting();
        self.sent = self.sent.max(sent);
        if received > self.received {
            self.received = received;
            self.rests(now_ms);
            // Where another's bundle ended inside one of these, that one goes on from there.
            while self.under_way.front().is_some_and(|until| *until <= received) {
                self.under_way.pop_front();
            }
            if received > self.given {
                // Somebody else brings them.
                self.given = received;
                self.stands_in_since_ms = None;
            }
        } else if !waited {
            self.rests(now_ms);
        }
        let is_stuck = now_ms.saturating_sub(self.again_ms) > self.patience_ms;
        if is_stuck && self.given > self.received {
            self.given = self.received;
            self.under_way.clear();
            self.again_ms = now_ms;
            self.patience_ms = self.patience_ms.saturating_mul(2).min(PATIENCE_MS_MAX);
            self.attempts = self.attempts.wrapping_add(1);
        }
    }

    /// The destination, whose own store says so, has executed fewer receipts than it had: it took heights back. All after them is given anew.
    pub fn fell_back(&mut self, now_ms: u64, received: u64) {
        if received < self.received {
            (self.received, self.given) = (received, received);
            self.under_way.clear();
            self.rests(now_ms);
        }
    }

    /// From now on it waits anew.
    fn rests(&mut self, now_ms: u64) {
        (self.moved_ms, self.again_ms, self.patience_ms) = (now_ms, now_ms, PATIENCE_MS);
    }

    /// The receipt to go on from and how many bundles may follow; `None` while nothing waits, enough is under way, or it is another's turn.
    fn turn(&mut self, now_ms: u64) -> Option<(u64, usize)> {
        let room = self.under_way_max.saturating_sub(self.under_way.len());
        if self.given >= self.sent || room == 0 || !self.is_own_turn(now_ms) {
            return None;
        }
        Some((self.given, room))
    }

    /// The bundles that may be given now, in order, each with the receipt after its last one; say [`Pace::gave`] of those that left and have
    /// receipts. None follows one that brings changes of set.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn next_bundles<R: Reader + ?Sized>(
        &mut self,
        source: &R,
        destination: ChainId,
        certified: Height,
        known: Epoch,
        now_ms: u64,
    ) -> Result<Vec<(u64, Bundle)>, RowFault> {
        let mut bundles = Vec::new();
        let Some((mut at, room)) = self.turn(now_ms) else { return Ok(bundles) };
        while at < self.sent && bundles.len() < room.min(BUNDLES_PER_ROUND) {
            let Some(bundle) = next_bundle(source, destination, at, certified, known)? else { break };
            at = at.saturating_add(bundle.receipts.len() as u64);
            // Another one would bring the same changes of set: it follows when these are executed.
            let is_last = !bundle.sets.is_empty() || bundle.receipts.is_empty();
            bundles.push((at, bundle));
            if is_last {
                break;
            }
        }
        Ok(bundles)
    }

    fn is_own_turn(&mut self, now_ms: u64) -> bool {
        if self.rank == 0 {
            return true;
        }
        let stands_in = |since: u64| now_ms.saturating_sub(since) < STANDS_IN_MS;
        if self.stands_in_since_ms.is_some_and(stands_in) {
            return true;
        }
        let is_idle = self.age_ms(now_ms) >= self.rank.saturating_mul(STAGGER_MS);
        self.stands_in_since_ms = is_idle.then_some(now_ms);
        is_idle
    }

    /// A bundle that ends before this receipt left.
    pub fn gave(&mut self, now_ms: u64, until: u64) {
        if self.under_way.is_empty() {
            self.again_ms = now_ms;
        }
        self.given = until;
        self.under_way.push_back(until);
    }

    /// Receipts that the destination has executed, as far as it is known.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Certified receipts that the destination has not executed, as far as it is known.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// Whether any are.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting() > 0
    }

    /// How long nothing has moved while receipts wait.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        if self.is_waiting() { now_ms.saturating_sub(self.moved_ms) } else { 0 }
    }

    /// Whether it gives, or would: others only watch.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.rank == 0 || self.stands_in_since_ms.is_some()
    }

    /// How often something was given anew.
    #[must_use]
    pub const fn attempts(&self) -> usize {
        self.attempts
    }
}

fn bounded(rank: usize) -> u64 {
    u64::try_from(rank).unwrap_or(u64::MAX).min(RANK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives all that may be given, ten receipts a bundle; answers where it began and how many left.
    fn give(pace: &mut Pace, now_ms: u64) -> Option<(u64, usize)> {
        let (first, room) = pace.turn(now_ms)?;
        let mut left = 0;
        let mut at = first;
        while left < room && at < pace.sent {
            at = (at + 10).min(pace.sent);
            pace.gave(now_ms, at);
            left += 1;
        }
        Some((first, left))
    }

    #[test]
    fn what_is_under_way_is_bounded_and_follows_execution() {
        let mut pace = Pace::new(0, 4, 0);
        assert_eq!(give(&mut pace, 0), None, "nothing waits");
        pace.saw(10, 1_000, 0);
        assert_eq!(give(&mut pace, 10), Some((0, 4)));
        assert_eq!(give(&mut pace, 20), None, "enough is under way");
        pace.saw(300, 1_000, 25);
        assert_eq!(give(&mut pace, 300), Some((40, 2)), "two are done, and one goes on in its middle");
        assert_eq!((pace.waiting(), pace.age_ms(450)), (975, 150));
        pace.saw(400, 1_000, 45);
        assert_eq!(give(&mut pace, 400), Some((60, 2)), "two more of them have been executed");
        // Another relay was faster.
        pace.saw(500, 1_000, 200);
        assert_eq!(give(&mut pace, 500), Some((200, 4)));
        pace.saw(600, 1_000, 1_000);
        assert_eq!((give(&mut pace, 600), pace.waiting(), pace.age_ms(9_000)), (None, 0, 0));
    }

    #[test]
    fn small_bundles_in_between_hold_nothing_up() {
        let mut pace = Pace::new(0, 4, 0);
        // Each time somebody's bundle of one receipt comes first.
        for received in 0..20_u64 {
            let now_ms = received * 100;
            pace.saw(now_ms, 10_000, received);
            let given = match received {
                0 => Some((0, 4)),
                10 => Some((40, 1)),
                _ => None,
            };
            assert_eq!(give(&mut pace, now_ms), given, "round {received}");
        }
        assert_eq!(pace.attempts(), 0, "it never waited for its patience to end");
    }

    #[test]
    fn a_destination_that_took_heights_back_is_given_them_anew() {
        let mut pace = Pace::new(0, 4, 0);
        pace.saw(0, 30, 30);
        assert_eq!(give(&mut pace, 0), None);
        pace.saw(100, 30, 10);
        assert_eq!((pace.received(), give(&mut pace, 100)), (30, None), "what others say never goes back");
        pace.fell_back(200, 40);
        assert_eq!(pace.received(), 30);
        pace.fell_back(300, 10);
        assert_eq!((pace.received(), pace.waiting(), pace.age_ms(300)), (10, 20, 0));
        assert_eq!(give(&mut pace, 300), Some((10, 2)));
    }

    #[test]
    fn what_does_not_move_is_given_again_ever_more_rarely() {
        let mut pace = Pace::new(0, 4, 0);
        let mut given_at = Vec::new();
        for now_ms in (0..60_000).step_by(200) {
            pace.saw(now_ms, 30, 0);
            if let Some(given) = give(&mut pace, now_ms) {
                assert_eq!(given, (0, 3));
                given_at.push(now_ms);
            }
        }
        assert!(given_at.len() <= 12, "{given_at:?}");
        assert_eq!(given_at[..4], [0, 1_200, 3_400, 7_600]);
        assert_eq!(pace.attempts(), given_at.len() - 1);
        assert!(given_at.windows(2).all(|pair| pair[1] - pair[0] <= PATIENCE_MS_MAX + 400), "{given_at:?}");
        // It moves again: patience is short again.
        pace.saw(60_000, 30, 10);
        pace.saw(60_000 + PATIENCE_MS + 1, 30, 10);
        assert_eq!(give(&mut pace, 60_000 + PATIENCE_MS + 1), Some((10, 2)));
    }

    #[test]
    fn the_first_does_it_alone_and_the_next_takes_its_place() {
        let mut ranks: Vec<Pace> = (0..4).map(|rank| Pace::new(rank, 4, 0)).collect();
        let mut received = 0;
        // A bundle a second is sent, and is executed half a second after somebody gave it.
        let mut run = |ranks: &mut Vec<Pace>, from_ms: u64, until_ms: u64, dead: Option<usize>| {
            let mut bundles = [0; 4];
            let mut due: VecDeque<(u64, u64)> = VecDeque::new();
            for now_ms in (from_ms..until_ms).step_by(100) {
                while due.front().is_some_and(|(at, _)| *at <= now_ms) {
                    received = due.pop_front().map_or(received, |(_, until)| received.max(until));
                }
                for (rank, pace) in ranks.iter_mut().enumerate().filter(|(rank, _)| Some(*rank) != dead) {
                    pace.saw(now_ms, 10 * (now_ms / 1_000), received);
                    if let Some((_, left)) = give(pace, now_ms) {
                        bundles[rank] += left;
                        due.push_back((now_ms + 500, pace.given));
                    }
                }
            }
            bundles
        };
        let all_alive = run(&mut ranks, 0, 30_000, None);
        assert!(all_alive[0] >= 29 && all_alive[1..] == [0, 0, 0], "{all_alive:?}");
        let first_dead = run(&mut ranks, 30_000, 90_000, Some(0));
        assert!(first_dead[1] > 30 && first_dead[2..] == [0, 0], "{first_dead:?}");
        let back = run(&mut ranks, 90_000, 150_000, None);
        assert!(back[0] > 30 && back[1] <= 12 && back[2..] == [0, 0], "it steps back: {back:?}");
    }

    #[test]
    fn no_rank_waits_for_ever() {
        let mut last = Pace::new(99, 4, 0);
        last.saw(0, 10, 0);
        assert_eq!(last.turn(RANK_MAX * STAGGER_MS - 1), None);
        assert!(!last.is_active());
        assert_eq!(last.turn(RANK_MAX * STAGGER_MS), Some((0, 4)));
        assert!(last.is_active());
        let mut moved = Pace::new(99, 4, 0);
        moved.saw(0, 10, 0);
        moved.set_rank(0);
        assert_eq!((moved.is_active(), moved.turn(0)), (true, Some((0, 4))), "it is the first now");
    }
}
