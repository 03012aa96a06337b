//! `market score`: the table. Seeds for scoring were written down before anything was tuned, and nothing is tuned on them.

use std::collections::BTreeMap;

use fees::{Ask, Estimate, Tuning, estimate_with};
use ledger::values::Amount;

use crate::buckets::Buckets;
use crate::demand::{FAMILIES, Family};
use crate::hindsight::{fate, least};
use crate::percentile;
use crate::world::{ASK_WITHIN_MS, BLOCKS, PACE_MS, Question, World};

/// Seeds of the table. Odd: a block holds eight targets; even: two.
pub(crate) const SCORING_SEEDS: [u64; 8] = [9_001, 9_002, 9_003, 9_004, 9_005, 9_006, 9_007, 9_008];
/// The confidence that is asked for.
pub(crate) const CONFIDENCE_PERMILLE: u16 = 950;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    /// Ours: the least that is in time.
    Normal,
    /// Ours: no tip, may be late.
    Economy,
    /// Ours: the next block.
    Urgent,
    /// Percentile of history.
    Percentile,
    /// Bitcoin Core's buckets.
    Buckets,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Normal => "ours, normal",
            Self::Economy => "ours, economy",
            Self::Urgent => "ours, urgent",
            Self::Percentile => "percentile of history",
            Self::Buckets => "Bitcoin Core's buckets",
        }
    }
}

/// What is known of a method on a family.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Questions.
    pub(crate) asked: u64,
    /// Answered by a promise: at least as sure as asked.
    pub(crate) promised: u64,
    /// Promises that were kept.
    pub(crate) kept: u64,
    /// Of promises kept while the market cost something: charged beyond the least, in thousandths of the least (of a fen, if it
    /// was nothing).
    pub(crate) over_permille: Vec<u64>,
    /// Charged, and the least, in fen, over all promises kept.
    pub(crate) charged: u64,
    pub(crate) least: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.promised += other.promised;
        self.kept += other.kept;
        self.over_permille.extend(&other.over_permille);
        self.charged += other.charged;
        self.least += other.least;
    }

    pub(crate) fn kept_percent(&self) -> f64 {
        self.kept as f64 * 100.0 / self.promised.max(1) as f64
    }

    pub(crate) fn promised_percent(&self) -> f64 {
        self.promised as f64 * 100.0 / self.asked.max(1) as f64
    }

    /// Overpayment at a share of the promises, in percent.
    pub(crate) fn over_percent(&self, share: f64) -> f64 {
        let mut sorted = self.over_permille.clone();
        sorted.sort_unstable();
        let place = (sorted.len() as f64 * share) as usize;
        sorted.get(place).map_or(0.0, |permille| *permille as f64 / 10.0)
    }
}

/// Tallies by family, method and asked time.
pub(crate) type Table = BTreeMap<(Family, Method, u64), Tally>;

/// An answer that waits for the end of the run.
struct Answer {
    question: Question,
    method: Method,
    bid: Option<(Amount, Amount)>,
    was_dear: bool,
}

/// Plays these seeds of all families. `with_others`: also the methods that ours is compared to.
pub(crate) fn play(seeds: &[u64], tuning: &Tuning, with_others: bool) -> Table {
    let mut table = Table::new();
    for family in FAMILIES {
        for seed in seeds {
            for ((method, within_ms), tally) in play_one(family, *seed, tuning, with_others) {
                table.entry((family, method, within_ms)).or_default().add(&tally);
            }
        }
    }
    table
}

/// The bid, if it is a promise: ceiling and tip.
pub(crate) fn promise(estimate: &Estimate) -> Option<(Amount, Amount)> {
    (estimate.probability_permille >= CONFIDENCE_PERMILLE).then_some((estimate.fee_max, estimate.tip))
}

fn play_one(family: Family, seed: u64, tuning: &Tuning, with_others: bool) -> BTreeMap<(Method, u64), Tally> {
    let mut world = World::new(family, seed);
    let mut buckets = Buckets::new();
    let mut answers = Vec::new();
    for block in 0..BLOCKS {
        let taken = world.step(|world, question| {
            let ask = Ask {
                weight: question.weight,
                confidence_permille: CONFIDENCE_PERMILLE,
                within_ms: question.within_ms,
            };
            let market = world.market(question.at_ms);
            let was_dear = !market.base_fee.due(question.weight).is_zero();
            let ours = estimate_with(&market, &ask, tuning);
            let mut bids = vec![
                (Method::Normal, promise(&ours.normal)),
                (Method::Economy, promise(&ours.economy)),
                (Method::Urgent, promise(&ours.urgent)),
            ];
            if with_others {
                let blocks = question.within_ms.saturating_sub(250) / PACE_MS;
                bids.push((Method::Percentile, Some(percentile::bid(world, question.weight))));
                bids.push((Method::Buckets, buckets.bid(world, question.weight, blocks)));
            }
            let question = *question;
            answers.extend(bids.into_iter().map(|(method, bid)| Answer { question, method, bid, was_dear }));
        });
        if with_others {
            buckets.observe(block, &taken);
        }
    }
    let mut tallies: BTreeMap<(Method, u64), Tally> = BTreeMap::new();
    for answer in answers {
        // Where no bid at all could have been in time there is nothing to promise, and nothing to compare to.
        let best = least(&world.made, &answer.question);
        let tally = tallies.entry((answer.method, answer.question.within_ms)).or_default();
        tally.asked += 1;
        let Some((fee_max, tip)) = answer.bid else { continue };
        tally.promised += 1;
        let fate = fate(&world.made, &answer.question, fee_max, tip);
        let in_time = fate.filter(|fate| fate.took_ms <= answer.question.within_ms);
        if let (Some(fate), Some(best)) = (in_time, best) {
            tally.kept += 1;
            tally.charged += fate.charged;
            tally.least += best;
            if answer.was_dear || best > 0 || fate.charged > 0 {
                tally.over_permille.push((fate.charged - best) * 1_000 / best.max(1));
            }
        }
    }
    tallies
}

/// Plays the scoring seeds and prints the table.
pub(crate) fn score() {
    let table = play(&SCORING_SEEDS, &Tuning::default(), true);
    println!(
        "| demand | method | asked | promised % | kept % | over, median % | over, p90 % | charged / least |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for family in FAMILIES {
        print_rows(family.name(), &table, |(of, ..)| *of == family);
    }
    for within_ms in ASK_WITHIN_MS {
        print_rows(&format!("all, {} s", within_ms / 1_000), &table, |(.., asked_ms)| *asked_ms == within_ms);
    }
    print_rows("spike, 1 and 2 s", &table, |(of, _, asked_ms)| *of == Family::Spike && *asked_ms <= 2_000);
    print_rows("**all**", &table, |_| true);
}

/// One row per method over the tallies that are chosen.
fn print_rows(name: &str, table: &Table, is_chosen: impl Fn(&(Family, Method, u64)) -> bool) {
    let mut totals: BTreeMap<Method, Tally> = BTreeMap::new();
    for (key, tally) in table.iter().filter(|(key, _)| is_chosen(key)) {
        totals.entry(key.1).or_default().add(tally);
    }
    for (method, tally) in &totals {
        print_row(name, *method, tally);
    }
}

fn print_row(family: &str, method: Method, tally: &Tally) {
    println!(
        "| {family} | {} | {} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} |",
        method.name(),
        tally.asked,
        tally.promised_percent(),
        tally.kept_percent(),
        tally.over_percent(0.5),
        tally.over_percent(0.9),
        tally.charged as f64 / tally.least.max(1) as f64,
    );
}
