//! One table over many runs: what fired how often, how far the chains came, and what did not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::kinds::{FaultKind, Fired};
use crate::outcome::Outcome;
use crate::properties::Property;

/// Seeds named for each property that did not hold; the others are counted.
const SEEDS_NAMED_MAX: usize = 20;

/// What many runs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Heights that became final, of all chains of all runs.
    pub heights: u64,
    /// Virtual time of all runs.
    pub virtual_ms: u64,
    /// What fired, by kind; every kind has its row.
    pub rows: BTreeMap<FaultKind, Row>,
    /// The longest time from a moment at which a quorum could talk again to the next final height, and its seed.
    pub longest_healing: (u64, u64),
    /// The seeds of runs in which a property did not hold.
    pub violated: BTreeMap<Property, BTreeSet<u64>>,
    /// The seeds of runs that panicked.
    pub panicked: BTreeSet<u64>,
}

/// A kind of fault over many runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Times it fired.
    pub times: u64,
    /// Seeds in which it did.
    pub seeds: u64,
    /// Seeds in which it left some chain without a quorum that was free of it.
    pub hit_seeds: u64,
}

impl Summary {
    /// Before the first run.
    #[must_use]
    pub fn new() -> Self {
        let rows = FaultKind::ALL.into_iter().map(|kind| (kind, Row::default())).collect();
        Self { rows, ..Self::default() }
    }

    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        let report = &outcome.report;
        self.seeds += 1;
        self.heights += report.heights;
        self.virtual_ms += report.virtual_ms;
        for (kind, Fired { times, hit_quorum }) in &report.fired {
            let row = self.rows.entry(*kind).or_default();
            row.times += times;
            row.seeds += u64::from(*times > 0);
            row.hit_seeds += u64::from(*hit_quorum);
        }
        if report.longest_healing_ms > self.longest_healing.0 {
            self.longest_healing = (report.longest_healing_ms, outcome.seed);
        }
        for (_, violation) in &outcome.violations {
            self.violated.entry(violation.property).or_default().insert(outcome.seed);
        }
    }

    /// Adds a run that did not come to its end.
    pub fn add_panic(&mut self, seed: u64) {
        self.seeds += 1;
        self.panicked.insert(seed);
    }

    /// Whether everything held in all runs.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.violated.is_empty() && self.panicked.is_empty()
    }

    /// The same for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let row = |(kind, row): (&FaultKind, &Row)| json!({ "fault": kind.name(), "fired": row.times, "seeds": row.seeds, "quorum_hit_seeds": row.hit_seeds });
        let violated =
            |(property, seeds): (&Property, &BTreeSet<u64>)| (format!("{property:?}"), json!(seeds));
        json!({
            "seeds": self.seeds,
            "heights": self.heights,
            "virtual_ms": self.virtual_ms,
            "faults": self.rows.iter().map(row).collect::<Vec<_>>(),
            "longest_healing_ms": self.longest_healing.0,
            "longest_healing_seed": self.longest_healing.1,
            "violated": self.violated.iter().map(violated).collect::<serde_json::Map<_, _>>(),
            "panicked": self.panicked,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "fault              times fired      seeds  seeds with a quorum hit")?;
        for (kind, Row { times, seeds, hit_seeds }) in &self.rows {
            writeln!(formatter, "{kind:<18} {times:>11} {seeds:>10} {hit_seeds:>24}")?;
        }
        let Self { seeds, heights, virtual_ms, .. } = self;
        writeln!(
            formatter,
            "{seeds} seeds, {heights} final heights, {} s of virtual time",
            virtual_ms / 1_000
        )?;
        let (healing_ms, seed) = self.longest_healing;
        writeln!(formatter, "longest healing {healing_ms} ms (seed {seed})")?;
        for (property, seeds) in &self.violated {
            let named: Vec<&u64> = seeds.iter().take(SEEDS_NAMED_MAX).collect();
            writeln!(formatter, "VIOLATED {property:?} in {} seeds: {named:?}", seeds.len())?;
        }
        if !self.panicked.is_empty() {
            writeln!(formatter, "PANICKED {:?}", self.panicked)?;
        }
        if self.is_green() { writeln!(formatter, "no property was violated") } else { Ok(()) }
    }
}
