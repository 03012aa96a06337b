//! Whose batch comes next: sealers have turns by weight, so that what one bank's customers send keeps no other bank's batches out of a block.
//!
//! Each turn goes to the sealer that has the least weight in the block so far; among equals the first one changes from height to height. So a
//! sealer whose batches wait has, in every block, at least the weight of any other sealer less one batch, or has nothing left. A sealer's own
//! batches keep their order.
//!
//! A batch takes a place in the block and the weight of its header, which nobody is charged for. So here it counts at least as much as a place
//! is worth, the block's weight by its places: who seals many small batches uses up its own share with them.

use std::collections::{BTreeMap, VecDeque};

use ledger::records::block::BLOCK_BATCHES_MAX;
use ledger::values::{Height, ValidatorIndex};

use crate::batches::Known;

/// The batches that wait, by sealer.
pub(crate) struct Turns<'a> {
    sealers: BTreeMap<ValidatorIndex, Sealer<'a>>,
    /// The sealer that comes first among equals.
    first: u16,
    /// The least that a batch counts.
    place_weight: u64,
}

struct Sealer<'a> {
    /// What its batches in the block count so far.
    weight: u64,
    waiting: VecDeque<&'a Known>,
}

impl<'a> Turns<'a> {
    /// `waiting` are the batches that a block of `height` may order, oldest first, of `sealers` validators, up to `weight_max`.
    pub(crate) fn new(
        height: Height,
        sealers: usize,
        weight_max: u64,
        waiting: impl Iterator<Item = &'a Known>,
    ) -> Self {
        let places = u64::try_from(BLOCK_BATCHES_MAX).unwrap_or(u64::MAX);
        let place_weight = weight_max.checked_div(places).unwrap_or(0);
        let mut turns = Self { sealers: BTreeMap::new(), first: first(height, sealers), place_weight };
        for known in waiting {
            let none = Sealer { weight: 0, waiting: VecDeque::new() };
            turns.sealers.entry(known.batch.content.sealer).or_insert(none).waiting.push_back(known);
        }
        turns
    }

    /// The next batch whose weight is at most `weight_left`; a sealer whose next one is heavier has no more turns.
    pub(crate) fn next(&mut self, weight_left: u64) -> Option<&'a Known> {
        loop {
            let first = self.first;
            let (sealer, turn) = self
                .sealers
                .iter_mut()
                .min_by_key(|(sealer, turn)| (turn.weight, sealer.0 < first, **sealer))?;
            match turn.waiting.pop_front() {
                Some(known) if known.facts.weight <= weight_left => {
                    turn.weight = turn.weight.saturating_add(known.facts.weight.max(self.place_weight));
                    return Some(known);
                }
                _ => {
                    let sealer = *sealer;
                    self.sealers.remove(&sealer);
                }
            }
        }
    }
}

/// Every sealer is first once in so many heights.
fn first(height: Height, sealers: usize) -> u16 {
    let sealers = u64::try_from(sealers).unwrap_or(u64::MAX);
    height.0.checked_rem(sealers).and_then(|first| u16::try_from(first).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use ledger::records::{Batch, BatchContent};
    use ledger::rules::BatchFacts;
    use ledger::values::{BatchDigest, ChainId, Epoch, Signature, TimestampMs};

    use super::*;
    use crate::batches::Voters;

    fn batch(sealer: u16, sequence: u64, weight: u64) -> Known {
        let (epoch, expires) = (Epoch(0), TimestampMs(1));
        let sealer = ValidatorIndex(sealer);
        let content =
            BatchContent { chain: ChainId(0), epoch, sealer, sequence, expires, transactions: Vec::new() };
        let batch = Batch { content, signature: Signature([0; 64]) };
        let facts = BatchFacts { weight, ..BatchFacts::of(BatchDigest([0; 32]), &batch) };
        Known {
            batch: Arc::new(batch),
            facts,
            bytes: Bytes::new(),
            valid: true,
            acknowledged_by: Voters::default(),
            arrival: sequence,
            arrived_ms: 0,
            is_final: false,
            was_fresh: true,
        }
    }

    /// Sealer and sequence of what a block takes.
    fn fill(height: u64, weight_max: u64, waiting: &[Known]) -> Vec<(u16, u64)> {
        let mut turns = Turns::new(Height(height), 4, weight_max, waiting.iter());
        let (mut left, mut taken) = (weight_max, Vec::new());
        while taken.len() < BLOCK_BATCHES_MAX
            && let Some(known) = turns.next(left)
        {
            left -= known.facts.weight;
            taken.push((known.batch.content.sealer.0, known.batch.content.sequence));
        }
        taken
    }

    #[test]
    fn a_flood_of_one_sealer_keeps_no_other_out() {
        let mut waiting: Vec<Known> = (0..50).map(|sequence| batch(0, sequence, 10)).collect();
        waiting.extend([batch(2, 100, 10), batch(3, 101, 10), batch(2, 102, 10)]);
        assert_eq!(
            fill(4, 70, &waiting),
            [(0, 0), (2, 100), (3, 101), (0, 1), (2, 102), (0, 2), (0, 3)],
            "turns by weight, the rest to whoever waits"
        );
        // Room for one batch alone: everybody has it in turn.
        let firsts: Vec<u16> = (4..8).map(|height| fill(height, 10, &waiting)[0].0).collect();
        assert_eq!(firsts, [0, 2, 2, 3]);
    }

    #[test]
    fn what_does_not_fit_ends_its_sealers_turns_only() {
        let waiting = [batch(0, 0, 60), batch(0, 1, 5), batch(1, 2, 10), batch(1, 3, 10)];
        assert_eq!(fill(4, 50, &waiting), [(1, 2), (1, 3)], "the order of a sealer's batches stays");
        assert_eq!(fill(4, 0, &waiting), []);
    }

    /// 256 places of 1,000: by weight alone the sealer of small batches would have ten places for each one of the other's.
    #[test]
    fn small_batches_use_up_a_sealers_own_share() {
        const WEIGHT_MAX: u64 = 256_000;
        let places = |waiting: &[Known]| {
            let taken = fill(4, WEIGHT_MAX, waiting);
            let of = |sealer: u16| taken.iter().filter(|(found, _)| *found == sealer).count();
            (of(0), of(2))
        };
        let sealed = |sealer: u16, weight: u64| (0..300).map(move |sequence| batch(sealer, sequence, weight));
        let small_and = |weight: u64| sealed(0, 100).chain(sealed(2, weight)).collect::<Vec<_>>();
        assert_eq!(places(&small_and(1_000)), (128, 128), "a place each in turn");
        assert_eq!(places(&small_and(100)), (128, 128));
        // Four places' worth in each batch: the small ones have four places for it, and no more.
        let (small, large) = places(&small_and(4_000));
        assert!(small <= 4 * (large + 1) && large >= 50, "{small} {large}");
        // Alone it has what there is.
        assert_eq!(places(&sealed(0, 100).collect::<Vec<_>>()), (256, 0));
    }
}
