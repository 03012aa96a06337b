//! `market bound`: how little could be overpaid by whoever knows everything but the arrivals to come.
//!
//! At each question the market itself goes on several times from where it is, with other chance: the knower sees the true queue, the
//! true demand and even how long a burst lasts and how high it is. It takes the cheapest bid, on average, that all but some of these
//! futures include in time; its fate is then read from the blocks as they really were made. Only its not knowing chance
//! separates it from hindsight. On tuning seeds: nothing here may look at the scored ones.

use fees::{Ask, estimate};
use ledger::values::{Amount, FeeRate};

use crate::demand::{FAMILIES, Family};
use crate::hindsight::{fate, least};
use crate::score::{CONFIDENCE_PERMILLE, Tally, promise};
use crate::world::{ASK_WITHIN_MS, BLOCKS, Made, PACE_MS, Question, World};

/// Two tuning seeds: a block of eight targets, and one of two.
const BOUND_SEEDS: [u64; 2] = [11, 12];
/// Times that the market goes on from a question.
const FUTURES: u64 = 16;
/// Of these, how many the bid may miss.
const MISSES: [usize; 4] = [0, 1, 2, 4];
/// Of the questions asked, every so many is played.
const QUESTIONS_EVERY: u64 = 16;

/// Prints, by family and by asked time, what the knower keeps and overpays for each number of misses that it allows itself.
pub(crate) fn bound() {
    println!("| who | demand | asked | promised % | kept % | over, median % | over, p90 % |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    let answers: Vec<_> =
        FAMILIES.iter().flat_map(|family| BOUND_SEEDS.iter().flat_map(|seed| play(*family, *seed))).collect();
    let knowers = MISSES.map(|misses| Who::Knower { misses });
    for who in [Who::Ours].into_iter().chain(knowers) {
        let row = |name: &str, is_chosen: &dyn Fn(&Answer) -> bool| {
            let mut tally = Tally::default();
            let chosen = answers.iter().filter(|answer| answer.who == who && is_chosen(answer));
            chosen.for_each(|answer| tally.add(&answer.tally));
            println!(
                "| {} | {name} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
                who.name(),
                tally.asked,
                tally.promised_percent(),
                tally.kept_percent(),
                tally.over_percent(0.5),
                tally.over_percent(0.9)
            );
        };
        for family in FAMILIES {
            row(family.name(), &|answer| answer.family == family);
        }
        for within_ms in ASK_WITHIN_MS {
            row(&format!("all, {} s", within_ms / 1_000), &|answer| answer.within_ms == within_ms);
        }
        row("**all**", &|_| true);
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Our estimator, normal, where it promises.
    Ours,
    /// Whoever knows all but chance, and allows itself so many misses of [`FUTURES`].
    Knower { misses: usize },
}

impl Who {
    fn name(self) -> String {
        match self {
            Self::Ours => "ours, normal".to_owned(),
            Self::Knower { misses } => format!("knower, {misses} misses of {FUTURES}"),
        }
    }
}

struct Answer {
    family: Family,
    within_ms: u64,
    who: Who,
    tally: Tally,
}

fn play(family: Family, seed: u64) -> Vec<Answer> {
    let mut world = World::new(family, seed);
    let mut asked = Vec::new();
    let mut count = 0;
    for _ in 0..BLOCKS {
        world.step(|world, question| {
            count += 1;
            if count % QUESTIONS_EVERY == 0 {
                // A late leader is not known to be late.
                let latest_ms = world.made.last().map_or(0, |made| made.at_ms) + PACE_MS;
                let known = Question { at_ms: question.at_ms.min(latest_ms), ..*question };
                let futures: Vec<_> = (0..FUTURES).map(|chance| future(world, &known, chance)).collect();
                asked.push((*question, Who::Ours, ours(world, question)));
                for misses in MISSES {
                    asked.push((*question, Who::Knower { misses }, cheapest(&futures, &known, misses)));
                }
            }
        });
    }
    let tallied = |(question, who, bid): (Question, Who, Option<(Amount, Amount)>)| {
        let mut tally = Tally { asked: 1, ..Tally::default() };
        if let Some((fee_max, tip)) = bid {
            tally.promised = 1;
            let fate = fate(&world.made, &question, fee_max, tip);
            let in_time = fate.filter(|fate| fate.took_ms <= question.within_ms);
            if let (Some(fate), Some(best)) = (in_time, least(&world.made, &question)) {
                tally.kept = 1;
                let was_dear = !due(world.made[question.block as usize].base_fee, &question).is_zero();
                if was_dear || best > 0 || fate.charged > 0 {
                    // Who pays a part of its tip may pay less than the least, which counts whole tips.
                    let over = fate.charged.saturating_sub(best);
                    tally.over_permille.push(over * 1_000 / best.max(1));
                }
            }
        }
        Answer { family, within_ms: question.within_ms, who, tally }
    };
    asked.into_iter().map(tallied).collect()
}

fn ours(world: &World, question: &Question) -> Option<(Amount, Amount)> {
    let Question { at_ms, weight, within_ms, .. } = *question;
    let ask = Ask { weight, confidence_permille: CONFIDENCE_PERMILLE, within_ms };
    promise(&estimate(&world.market(at_ms), &ask).normal)
}

fn due(rate: u64, question: &Question) -> Amount {
    FeeRate::from_micro_fen(rate).due(question.weight)
}

/// The blocks of one way that the market goes on, until the asked time is over.
fn future(world: &World, question: &Question, chance: u64) -> Vec<Made> {
    let mut future = world.fork(chance.wrapping_add(u64::from(question.block) << 8));
    while future.made.last().is_none_or(|made| made.at_ms <= question.at_ms + question.within_ms) {
        future.step(|_, _| {});
    }
    future.made
}

/// The cheapest bid, on average, that all but so many futures include in time; nothing if none is.
fn cheapest(futures: &[Vec<Made>], question: &Question, misses: usize) -> Option<(Amount, Amount)> {
    let block = question.block as usize;
    let ahead = || futures.iter().flat_map(|made| &made[block..]);
    let mut tips: Vec<u64> = ahead().filter_map(|made| made.margin).map(|(tip_rate, _)| tip_rate).collect();
    tips.push(0);
    let mut limits: Vec<u64> = ahead().map(|made| made.base_fee).collect();
    let tips = thinned(&mut tips, 12);
    let limits = thinned(&mut limits, 32);
    let mut best: Option<(u64, Amount, Amount)> = None;
    for tip_rate in tips {
        let tip = (u128::from(tip_rate) * u128::from(question.weight)).div_ceil(1_000_000);
        let tip = Amount::from_fen(u64::try_from(tip).unwrap_or(u64::MAX));
        // The last: whatever the base fee becomes.
        for limit in limits.iter().copied().chain([10_000_000]) {
            let fee_max = Amount::from_fen(due(limit, question).fen().saturating_add(tip.fen()));
            let fates = futures.iter().filter_map(|made| fate(made, question, fee_max, tip));
            let charged: Vec<u64> =
                fates.filter(|fate| fate.took_ms <= question.within_ms).map(|fate| fate.charged).collect();
            if charged.is_empty() || charged.len() + misses < futures.len() {
                continue;
            }
            let mean = charged.iter().sum::<u64>() * 1_000 / charged.len() as u64;
            if best.is_none_or(|(least, ..)| mean < least) {
                best = Some((mean, fee_max, tip));
            }
        }
    }
    best.map(|(_, fee_max, tip)| (fee_max, tip))
}

/// At most so many of them, evenly chosen from the lowest to the highest.
fn thinned(values: &mut Vec<u64>, count: usize) -> Vec<u64> {
    values.sort_unstable();
    values.dedup();
    let last = values.len() - 1;
    let mut kept: Vec<u64> = (0..count).map(|place| values[last * place / (count - 1)]).collect();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knower_waits_for_what_enough_futures_come_down_to() {
        let made = |base_fees: &[u64]| -> Vec<Made> {
            let block = |(base_fee, number): (&u64, u64)| Made {
                at_ms: number * 50,
                certified_ms: number * 50 + 100,
                base_fee: *base_fee,
                weight: 0,
                margin: None,
                tip_p60: 0,
            };
            base_fees.iter().zip(1..).map(block).collect()
        };
        let futures = [made(&[9_000, 5_000]), made(&[9_000, 3_000]), made(&[9_000, 3_000])];
        let question = Question { at_ms: 0, block: 0, weight: 1_000, within_ms: 1_000 };
        let ceiling = |misses| cheapest(&futures, &question, misses).map(|(fee_max, _)| fee_max.fen());
        assert_eq!([0, 1].map(ceiling), [Some(5), Some(3)]);
        let late = Question { within_ms: 100, ..question };
        assert_eq!(cheapest(&futures, &late, 0), None);
    }
}
