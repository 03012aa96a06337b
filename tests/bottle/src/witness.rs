//! What was ever called final, and what was seen on the way. It survives every crash: a client's memory is no part of the
//! network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chain::ChainStatus;
use ledger::records::Outcome;
use ledger::values::{BlockDigest, Epoch, Height, NodeIndex, TransactionId, ValidatorIndex, View};
use storage::{MemoryDisk, Store};

use crate::outcome::Held;
use crate::properties::{self, Property, Sighting, Verdict, Violation};

/// Violations kept of one property; a broken run repeats itself.
const VIOLATIONS_PER_PROPERTY_MAX: usize = 4;

/// What did not hold, a few of each property.
#[derive(Default)]
pub(crate) struct Noted(Vec<(u64, Violation)>);

impl Noted {
    /// Keeps a violation, with the time it was seen.
    pub(crate) fn note(&mut self, at_ms: u64, verdict: Verdict) {
        let Err(violation) = verdict else { return };
        let same = self.0.iter().filter(|(_, known)| known.property == violation.property).count();
        if same < VIOLATIONS_PER_PROPERTY_MAX {
            self.0.push((at_ms, violation));
        }
    }

    pub(crate) fn all(&self) -> &[(u64, Violation)] {
        &self.0
    }
}

/// A witness of one chain, which nodes and world share.
pub(crate) type Shared = Arc<Stand>;

/// Where the witness stands.
#[derive(Default)]
pub(crate) struct Stand(Mutex<Witness>);

impl Stand {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Witness> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything seen so far.
#[derive(Default)]
pub(crate) struct Witness {
    genesis: BlockDigest,
    heights: BTreeMap<Height, Sighting>,
    outcomes: BTreeMap<TransactionId, (Height, Outcome)>,
    views: BTreeMap<(Epoch, View), BlockDigest>,
    /// When each height was first called final.
    pub(crate) final_ms: Vec<u64>,
    /// The highest height that each node called final.
    pub(crate) called_final: BTreeMap<u16, Height>,
    pub(crate) certified: BTreeMap<u16, Height>,
    pub(crate) distrusted: BTreeSet<(u16, u16)>,
    pub(crate) reasons: BTreeSet<&'static str>,
    pub(crate) evidence: BTreeSet<(u16, u16, &'static str)>,
    pub(crate) halted: BTreeSet<u16>,
    /// Nodes that have fetched a snapshot and must start anew.
    pub(crate) joined: BTreeSet<u16>,
    /// Nodes on whose disk a bit has changed: what they cannot read they need not have.
    pub(crate) damaged: BTreeSet<u16>,
    /// What a node took in and has not seen certified yet, and since when.
    taken: BTreeMap<(u16, TransactionId), u64>,
    /// Of each node: how many of those it saw certified, and the longest time that one took.
    pub(crate) waits: BTreeMap<u16, (u64, u64)>,
    /// Most that each node held, since somebody was turned.
    pub(crate) held: BTreeMap<u16, Held>,
    pub(crate) votes: u64,
    /// Most inputs that a node took together.
    pub(crate) inputs_max: usize,
    noted: Noted,
}

impl Witness {
    pub(crate) fn begin(&mut self, genesis: BlockDigest) {
        self.genesis = genesis;
    }

    /// A node called a height final.
    pub(crate) fn height_final(&mut self, at_ms: u64, node: u16, store: &dyn Store, height: Height) {
        let highest = self.called_final.entry(node).or_insert(height);
        *highest = height.max(*highest);
        let is_damaged = self.damaged.contains(&node);
        let Some(seen) = Sighting::read(node, store, height) else {
            if is_damaged {
                return;
            }
            let detail = format!("node {node} calls height {height} final and has not stored it");
            return self.note(at_ms, Err(Violation { property: Property::NothingFinalIsLost, detail }));
        };
        if !is_damaged {
            self.note(at_ms, properties::supply_equation(node, &seen.result, store));
        }
        if let Some(first) = self.heights.get(&height) {
            let verdicts = [properties::agreement(first, &seen), properties::results_equal(first, &seen)];
            return verdicts.into_iter().for_each(|verdict| self.note(at_ms, verdict));
        }
        let below = match height.0.checked_sub(1) {
            Some(0) | None => Some(self.genesis),
            Some(below) => self.heights.get(&Height(below)).map(|below| below.digest),
        };
        if let Some(below) = below {
            self.note(at_ms, properties::no_fork(below, &seen));
        }
        self.note(at_ms, properties::exactly_once(&self.outcomes, &seen));
        self.outcomes.extend(seen.outcomes.iter().map(|outcome| (outcome.id, (height, *outcome))));
        self.final_ms.push(at_ms);
        self.heights.insert(height, seen);
    }

    /// A node's engine finalized a block.
    pub(crate) fn finalized(&mut self, at_ms: u64, epoch: Epoch, view: View, digest: BlockDigest) {
        let first = *self.views.entry((epoch, view)).or_insert(digest);
        self.note(at_ms, properties::one_block_a_view(view.0, first, digest));
    }

    /// A node answered the engine with yes.
    pub(crate) fn voted(
        &mut self,
        at_ms: u64,
        node: u16,
        disk: &MemoryDisk,
        store: &dyn Store,
        digest: BlockDigest,
    ) {
        self.votes += 1;
        self.note(at_ms, properties::durable_before_vote(node, disk, store, digest));
    }

    /// A node took this many inputs together.
    pub(crate) fn stepped(&mut self, inputs: usize) {
        self.inputs_max = self.inputs_max.max(inputs);
    }

    /// A node starts from what its disk holds.
    pub(crate) fn started(&mut self, at_ms: u64, node: u16, found: Height) {
        self.halted.remove(&node);
        // What it took in before and did not seal is gone; its clients post again.
        self.taken.retain(|(by, _), _| *by != node);
        if let Some(called_final) = self.called_final.get(&node) {
            self.note(at_ms, properties::starts_where_it_stood(node, *called_final, found));
        }
    }

    /// A node takes back what it called final above this height: it diverged (PROTOCOL rule 14), or was wiped.
    pub(crate) fn takes_back(&mut self, node: u16, back_to: Height) {
        self.called_final.insert(node, back_to);
    }

    pub(crate) fn halted(&mut self, at_ms: u64, node: u16, cause: &str) {
        self.halted.insert(node);
        // It read what is damaged: that is what it must do then.
        if self.damaged.contains(&node) {
            return;
        }
        self.note(at_ms, Err(properties::keeps_running(node, cause)));
    }

    pub(crate) fn certified(&mut self, at_ms: u64, node: u16, height: Height) {
        let highest = self.certified.entry(node).or_default();
        let below = *highest;
        *highest = height.max(*highest);
        for seen in self.heights.range(below.next()..=height.max(below.next())).map(|(_, seen)| seen) {
            for outcome in &seen.outcomes {
                let Some(since_ms) = self.taken.remove(&(node, outcome.id)) else { continue };
                let (count, longest_ms) = self.waits.entry(node).or_default();
                *count += 1;
                *longest_ms = at_ms.saturating_sub(since_ms).max(*longest_ms);
            }
        }
    }

    /// A node took in a client's transaction.
    pub(crate) fn took_in(&mut self, at_ms: u64, node: u16, id: TransactionId) {
        self.taken.entry((node, id)).or_insert(at_ms);
    }

    /// What a node holds in memory now.
    pub(crate) fn held(&mut self, node: u16, status: &ChainStatus) {
        let held = self.held.entry(node).or_default();
        held.batches = held.batches.max(status.batches);
        held.bundles = held.bundles.max(status.bundles);
        held.questions = held.questions.max(status.open_questions);
        held.final_waiting = held.final_waiting.max(status.final_waiting);
        held.fetches = held.fetches.max(status.fetches);
    }

    /// A node has a batch's signatures checked.
    pub(crate) fn checks(&mut self, node: u16) {
        self.held.entry(node).or_default().checks += 1;
    }

    pub(crate) fn distrusted(&mut self, by: u16, node: NodeIndex, reason: &'static str) {
        self.distrusted.insert((by, node.0));
        self.reasons.insert(reason);
    }

    pub(crate) fn evidence(&mut self, by: u16, validator: ValidatorIndex, kind: &'static str) {
        self.evidence.insert((by, validator.0, kind));
    }

    pub(crate) fn note(&mut self, at_ms: u64, verdict: Verdict) {
        self.noted.note(at_ms, verdict);
    }

    /// Where a transaction was executed, if any node called that final.
    pub(crate) fn outcome(&self, id: &TransactionId) -> Option<&(Height, Outcome)> {
        self.outcomes.get(id)
    }

    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&TransactionId, &(Height, Outcome))> {
        self.outcomes.iter()
    }

    pub(crate) fn heights(&self) -> impl Iterator<Item = &Sighting> {
        self.heights.values()
    }

    /// The highest height that any node called final.
    pub(crate) fn top(&self) -> Height {
        self.heights.last_key_value().map_or(Height(0), |(height, _)| *height)
    }

    pub(crate) fn violations(&self) -> &[(u64, Violation)] {
        self.noted.all()
    }
}
