//! `market tune`: sweeps over the estimator's numbers, on seeds that are never scored.

use fees::Tuning;

use crate::score::{Method, Tally, play};

/// Seeds for tuning. Others than those of the table.
const TUNING_SEEDS: [u64; 4] = [11, 12, 13, 14];

/// Prints what the defaults come to, and each number changed alone.
pub(crate) fn tune() {
    let base = Tuning::default();
    row("default", &base);
    for recent in [4, 16] {
        row(&format!("recent {recent}"), &Tuning { recent, ..base });
    }
    for ahead in [16, 96] {
        row(&format!("ahead {ahead}"), &Tuning { ahead, ..base });
    }
    for elasticity_permille in [0, 40, 160] {
        row(&format!("elasticity {elasticity_permille}"), &Tuning { elasticity_permille, ..base });
    }
    for misses_permille in [0, 1_000, 2_000] {
        row(&format!("misses {misses_permille}"), &Tuning { misses_permille, ..base });
    }
    for ceiling_extra_permille in [0, 50, 100] {
        row(&format!("extra {ceiling_extra_permille}"), &Tuning { ceiling_extra_permille, ..base });
    }
    for overload_permille in [0, 2_000] {
        row(&format!("overload {overload_permille}"), &Tuning { overload_permille, ..base });
    }
    for window_permille in [700, 950] {
        row(&format!("window {window_permille}"), &Tuning { window_permille, ..base });
    }
}

fn row(name: &str, tuning: &Tuning) {
    let table = play(&TUNING_SEEDS, tuning, false);
    let cells: Vec<String> = table
        .iter()
        .filter(|((_, method), _)| *method == Method::Normal)
        .map(|((family, _), tally)| format!("{} {}", family.name(), cell(tally)))
        .collect();
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
