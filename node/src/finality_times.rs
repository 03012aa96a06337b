//! How long payments take from the door to their certificate.
//!
//! A few at a time are followed: under load a node takes in more than it can look for in every block. At most one is begun every
//! [`TIMED_EVERY_MS`], so [`TIMED_MAX`] of them reach back some 25 s. Only what takes longer, or never executes, makes room for the next.
//! (Whoever follows whatever comes and gives the oldest up measures the quickest alone as soon as many are under way, and then none.)

use std::collections::{BTreeMap, VecDeque};

use ledger::values::{Height, TransactionId};

/// Time from one that is followed to the next. No multiple of a pace: they come at all moments between two blocks.
const TIMED_EVERY_MS: u64 = 97;
/// Transactions that are followed at once.
const TIMED_MAX: usize = 256;

/// Those that are followed.
#[derive(Debug, Default)]
pub(crate) struct FinalityTimes {
    /// Taken in, and when.
    waiting: BTreeMap<TransactionId, u64>,
    /// Executed: at which height, and when they were taken in. Heights ascend.
    executed: VecDeque<(Height, u64)>,
    next_ms: u64,
}

impl FinalityTimes {
    /// A transaction came in.
    pub(crate) fn took_in(&mut self, id: TransactionId, now_ms: u64) {
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms.saturating_add(TIMED_EVERY_MS);
        if self.waiting.len() >= TIMED_MAX {
            // It may never execute.
            let oldest = self.waiting.iter().min_by_key(|(_, since_ms)| **since_ms);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.waiting.remove(&oldest);
            }
        }
        self.waiting.insert(id, now_ms);
    }

    /// A height was executed with these.
    pub(crate) fn executed(&mut self, height: Height, transactions: &[TransactionId]) {
        for id in transactions {
            if self.waiting.is_empty() {
                return;
            }
            if let Some(since_ms) = self.waiting.remove(id)
                && self.executed.len() < TIMED_MAX
            {
                self.executed.push_back((height, since_ms));
            }
        }
    }

    /// A height is certified, and all below it: how long what they hold took.
    pub(crate) fn certified(&mut self, height: Height, now_ms: u64) -> Vec<u64> {
        let count = self.executed.iter().take_while(|(executed, _)| *executed <= height).count();
        self.executed.drain(..count).map(|(_, since_ms)| now_ms.saturating_sub(since_ms)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TransactionId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        TransactionId(bytes)
    }

    #[test]
    fn payments_are_timed_from_the_door_to_the_certificate() {
        let mut times = FinalityTimes::default();
        for (number, now_ms) in [(1, 100), (2, 200), (3, 220), (4, 300)] {
            times.took_in(id(number), now_ms);
        }
        times.executed(Height(5), &[id(2), id(3), id(9)]);
        times.executed(Height(6), &[id(1)]);
        assert!(times.certified(Height(4), 400).is_empty());
        assert_eq!(times.certified(Height(5), 450), [250], "the third came too soon after the second");
        assert_eq!(times.certified(Height(9), 600), [500]);
        assert_eq!(times.waiting.keys().copied().collect::<Vec<_>>(), [id(4)]);
    }

    /// Several thousand a second, each on its way for three seconds: all samples say three seconds.
    #[test]
    fn a_load_hides_no_slow_payment() {
        let (mut times, mut samples) = (FinalityTimes::default(), Vec::new());
        let of_block = |block: u64| (block * 200..(block + 1) * 200).map(id).collect::<Vec<_>>();
        for block in 0..400 {
            let now_ms = block * 50;
            for (transaction, place) in of_block(block).into_iter().zip(0..) {
                times.took_in(transaction, now_ms + place / 4);
            }
            if let Some(block) = block.checked_sub(60) {
                times.executed(Height(block), &of_block(block));
                samples.extend(times.certified(Height(block), now_ms));
            }
        }
        assert!(samples.len() > 150, "{}", samples.len());
        assert!(samples.iter().all(|took_ms| (2_950..=3_000).contains(took_ms)), "{samples:?}");
    }

    /// A thousand in a second wait for a lower base fee. Then others come, and are executed at once.
    #[test]
    fn what_waits_for_a_price_hides_no_other() {
        let (mut times, mut samples) = (FinalityTimes::default(), Vec::new());
        for number in 0..1_000 {
            times.took_in(id(number), number);
        }
        for number in 1_000..1_100 {
            let now_ms = (number - 989) * 100;
            times.took_in(id(number), now_ms);
            times.executed(Height(number), &[id(number)]);
            samples.extend(times.certified(Height(number), now_ms + 30));
        }
        assert_eq!(samples, vec![30; 100]);
    }

    #[test]
    fn what_never_executes_or_is_never_certified_takes_no_room_for_ever() {
        let mut times = FinalityTimes::default();
        for number in 0..2 * TIMED_MAX as u64 {
            times.took_in(id(number), number * TIMED_EVERY_MS);
            assert!(times.waiting.len() <= TIMED_MAX);
        }
        assert!(!times.waiting.contains_key(&id(0)), "the oldest is given up");
        for number in 0..4 * TIMED_MAX as u64 {
            times.took_in(id(number), (number + 1_000) * TIMED_EVERY_MS);
            times.executed(Height(number), &[id(number)]);
            assert!(times.executed.len() <= TIMED_MAX);
        }
        assert_eq!(times.certified(Height(u64::MAX), u64::MAX).len(), TIMED_MAX);
        assert!(times.executed.is_empty());
    }
}
