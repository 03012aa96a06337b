//! Log lines that others can provoke as often as they like: written the first time, and then whenever the count has doubled.
//!
//! So a flood of a million leaves some twenty lines, the last of which tells its size; metrics count every one. What is
//! remembered is bounded: `who` is in the registry, and `what` is one of this program's own words.

use std::collections::BTreeMap;

/// How often each did what.
#[derive(Debug, Default)]
pub(crate) struct Rarely {
    seen: BTreeMap<(u16, &'static str), u64>,
}

impl Rarely {
    /// Counts; answers how often it happened since the start, where that is worth a line.
    pub(crate) fn count(&mut self, who: u16, what: &'static str) -> Option<u64> {
        let times = self.seen.entry((who, what)).or_default();
        *times = times.saturating_add(1);
        times.is_power_of_two().then_some(*times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_few_lines_and_the_next_offender_its_first() {
        let mut rarely = Rarely::default();
        let lines: Vec<u64> = (0..1_000_000).filter_map(|_| rarely.count(1, "noise")).collect();
        assert_eq!(lines.len(), 20);
        assert_eq!((lines[..4].to_vec(), lines[19]), (vec![1, 2, 4, 8], 1 << 19));
        assert_eq!(rarely.count(2, "noise"), Some(1), "another peer");
        assert_eq!(rarely.count(1, "lies"), Some(1), "another fault");
    }
}
