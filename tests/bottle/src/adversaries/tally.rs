//! What adversaries did in a run, what is kept against them, and what they cost the others.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chain::{Archive, EvidenceRow};
use ledger::values::{ChainId, Height};
use storage::{Store, Table};

use super::Turned;
use crate::outcome::Report;
use crate::witness::Shared;

/// Adds all of it to the report, from the stores of the nodes that run and what witnesses saw.
pub(crate) fn tally<'a>(
    report: &mut Report,
    turned: &Turned,
    stores: impl Iterator<Item = (u16, ChainId, &'a dyn Store)>,
    witnesses: &BTreeMap<ChainId, Shared>,
) {
    report.turned = turned.deeds();
    for (node, chain, store) in stores {
        let visited = store.for_each(Table::Evidence, &mut |_, row| {
            let of_row = |row: EvidenceRow| (node, chain.0, row.validator.0, row.kind);
            report.evidence.extend(EvidenceRow::decode(row).map(of_row));
            ControlFlow::Continue(())
        });
        // A store that cannot be read halts its driver, which says so.
        let _unread = visited.is_err();
        if turned.is_any() {
            report.batch_bytes_max = report.batch_bytes_max.max(longest_batch(store));
        }
    }
    for witness in witnesses.values() {
        let witness = witness.lock();
        let heaviest = witness.heights().map(|seen| seen.weight).max().unwrap_or(0);
        report.weight_max = report.weight_max.max(heaviest);
        for (_, (count, longest_ms)) in witness.waits.iter().filter(|(node, _)| !turned.is_turned(**node)) {
            report.honest_certified += count;
            report.honest_wait_ms = report.honest_wait_ms.max(*longest_ms);
        }
        for (_, held) in witness.held.iter().filter(|(node, _)| !turned.is_turned(**node)) {
            report.held = report.held.most(*held);
        }
    }
}

/// The length of the longest batch in a stored block.
fn longest_batch(store: &dyn Store) -> usize {
    let archive = Archive::new(store);
    let top = archive.head().ok().flatten().map_or(0, |head| head.height.0);
    let blocks = (1..=top).filter_map(|height| archive.block_at(Height(height)).ok().flatten());
    let batches = blocks.flat_map(|block| block.body.batches);
    let bytes = batches.filter_map(|batch| archive.batch_bytes(batch).ok().flatten());
    bytes.map(|bytes| bytes.len()).max().unwrap_or(0)
}
