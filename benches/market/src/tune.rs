//! `market tune`: sweeps over the estimator's numbers, on seeds that are never scored.

use fees::Tuning;

use crate::demand::{FAMILIES, Family};
use crate::score::{Method, Tally, play};
use crate::world::ASK_WITHIN_MS;

/// Seeds for tuning. Others than those of the table.
const TUNING_SEEDS: [u64; 8] = [11, 12, 13, 14, 15, 16, 17, 18];

/// Prints, of each choice, promised %, kept %, and the overpayment's median and 90th percentile in %. First what the defaults come to,
/// then each number changed alone.
pub(crate) fn tune() {
    let base = Tuning::default();
    row("default", &base);
    for recent in [2, 4, 6] {
        row(&format!("recent {recent}"), &Tuning { recent, ..base });
    }
    for alike in [12, 24] {
        row(&format!("alike {alike}"), &Tuning { alike, ..base });
    }
    for rarer in [4, 5, 7] {
        row(&format!("rarer {rarer}"), &Tuning { rarer, ..base });
    }
    for ceiling_extra_permille in [20, 50] {
        row(&format!("extra {ceiling_extra_permille}"), &Tuning { ceiling_extra_permille, ..base });
    }
    for overload_permille in [0, 2_000] {
        row(&format!("overload {overload_permille}"), &Tuning { overload_permille, ..base });
    }
    for window_permille in [800, 1_000] {
        row(&format!("window {window_permille}"), &Tuning { window_permille, ..base });
    }
}

fn row(name: &str, tuning: &Tuning) {
    let table = play(&TUNING_SEEDS, tuning, false);
    let sum = |is_chosen: &dyn Fn(Family, u64) -> bool| {
        let mut sum = Tally::default();
        for ((family, method, within_ms), tally) in &table {
            if *method == Method::Normal && is_chosen(*family, *within_ms) {
                sum.add(tally);
            }
        }
        cell(&sum)
    };
    let mut cells = vec![format!("all {}", sum(&|_, _| true))];
    for within_ms in ASK_WITHIN_MS {
        cells.push(format!("{within_ms} {}", sum(&|_, asked_ms| asked_ms == within_ms)));
    }
    for family in FAMILIES {
        cells.push(format!("{} {}", family.name(), sum(&|of, _| of == family)));
    }
    cells.push(format!("short spike {}", sum(&|of, asked_ms| of == Family::Spike && asked_ms <= 2_000)));
    println!("{name:>16}: {}", cells.join("  "));
}

fn cell(tally: &Tally) -> String {
    format!(
        "{:.0}/{:.1}/{:.0}/{:.0}",
        tally.promised_percent(),
        tally.kept_percent(),
        tally.over_percent(0.5),
        tally.over_percent(0.9)
    )
}
