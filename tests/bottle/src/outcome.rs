//! What a run says at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ledger::values::TransactionId;

use crate::kinds::{Fired, FiredKinds};
use crate::properties::{Property, Violation};

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The plan's seed.
    pub seed: u64,
    /// Digest over heights, results and state roots of all chains of all nodes.
    pub digest: String,
    /// Digest over everything that happened, step by step, in the last world.
    pub trace: String,
    /// The nodes at the end: of each its chains, by id.
    pub nodes: Vec<NodeState>,
    /// What happened.
    pub report: Report,
    /// What did not hold, with the virtual time in milliseconds at which it was seen. Empty in a green run.
    pub violations: Vec<(u64, Violation)>,
}

/// A chain of a node at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The node's index.
    pub index: u16,
    /// The chain.
    pub chain: u32,
    /// Whether it runs.
    pub is_up: bool,
    /// The highest height it called final.
    pub final_height: u64,
    /// The highest height whose result it saw certified.
    pub certified_height: u64,
    /// The height its store stands at.
    pub stored_height: u64,
    /// The base fee of the block after it, in millionths of a fen.
    pub base_fee_micro_fen: u64,
    /// The state root there, in hex.
    pub state: String,
}

/// What happened on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Virtual time.
    pub virtual_ms: u64,
    /// Transactions signed by clients.
    pub signed: u64,
    /// Of those, final as applied.
    pub applied: u64,
    /// Of those, final as rejected.
    pub rejected: u64,
    /// Of those, without an outcome although their clients still hope.
    pub unresolved: u64,
    /// What each node said to these.
    pub open: Vec<(TransactionId, Vec<(u16, String)>)>,
    /// What they were charged, in fen.
    pub fees: u64,
    /// The highest base fee of a final block, in millionths of a fen.
    pub base_fee_max_micro_fen: u64,
    /// Transactions posted once more.
    pub replays: u64,
    /// Wallets whose owners went after them to another chain.
    pub followed: u64,
    /// Changes of validators and chains that were applied.
    pub governed: u64,
    /// The epoch of the newest final block of chain 0.
    pub epoch: u64,
    /// Answers of the nodes' doors, by name.
    pub answers: BTreeMap<String, u64>,
    /// Yes votes checked for durability.
    pub votes: u64,
    /// Outcome proofs that convinced.
    pub proofs: u64,
    /// Most inputs that a node took together in one step.
    pub inputs_max: usize,
    /// Frames that arrived.
    pub frames_delivered: u64,
    /// Frames that did not.
    pub frames_lost: u64,
    /// Sets of writes that crashes took back.
    pub writes_lost: u64,
    /// Heights that became final, of all chains together.
    pub heights: u64,
    /// What went wrong, by kind.
    pub fired: FiredKinds,
    /// Longest time from a moment at which a quorum could talk again to the next final height.
    pub longest_healing_ms: u64,
    /// Starts that a damaged disk refused.
    pub starts_refused: u64,
    /// Who distrusted whom.
    pub distrusted: BTreeSet<(u16, u16)>,
    /// Why.
    pub distrust_reasons: BTreeSet<&'static str>,
    /// What the nodes that were turned are, and how many misdeeds each of them did.
    pub turned: BTreeMap<u16, (&'static str, u64)>,
    /// What every node keeps against validators: who, against whose seat on which chain, of which kind.
    pub evidence: BTreeSet<(u16, u32, u16, String)>,
    /// Transactions that nodes took in which were never turned, and saw certified.
    pub honest_certified: u64,
    /// The longest time that one of them took, from the answer to its client to the certificate there.
    pub honest_wait_ms: u64,
    /// Most that such a node held of each, once somebody was turned.
    pub held: Held,
    /// The weight of the heaviest final block.
    pub weight_max: u64,
    /// The length of the longest batch in a final block.
    pub batch_bytes_max: usize,
    /// Longest time without a new final height, after the first one.
    pub longest_stall_ms: u64,
    /// Height at which each chain of each node that started again stood then, in order.
    pub restarts: Vec<(u16, u64)>,
    /// Nodes that started from a snapshot, and its height: once for each such start.
    pub joined: BTreeSet<(u16, u64)>,
    /// The highest final height of its chain when the last one started again.
    pub top_at_last_restart: u64,
    /// Times at which nodes lost power because they had sent a receipt.
    pub crashed_after_sending_ms: Vec<u64>,
    /// Receipts that were under way each time all nodes lost power.
    pub under_way_at_power_cuts: Vec<usize>,
    /// Wallets that were on their way when all nodes lost power because of that.
    pub moving_at_power_cut: u64,
    /// How often it was looked where every wallet is.
    pub looks: u64,
    /// Whether all children are grown.
    pub grown: bool,
    /// Wallets on children at the end.
    pub wallets_at_children: u64,
    /// What passed between the chains.
    pub passed: Passed,
}

/// What a chain of a node held in memory at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Batches.
    pub batches: usize,
    /// Bundles.
    pub bundles: usize,
    /// Questions of the engine without an answer.
    pub questions: usize,
    /// Final blocks that are not executed.
    pub final_waiting: usize,
    /// Things asked of peers.
    pub fetches: usize,
    /// Batches whose signatures were checked, in all.
    pub checks: u64,
}

impl Held {
    /// The larger of each.
    #[must_use]
    pub(crate) fn most(self, other: Self) -> Self {
        Self {
            batches: self.batches.max(other.batches),
            bundles: self.bundles.max(other.bundles),
            questions: self.questions.max(other.questions),
            final_waiting: self.final_waiting.max(other.final_waiting),
            fetches: self.fetches.max(other.fetches),
            checks: self.checks.max(other.checks),
        }
    }
}

/// What passed between the chains, in receipts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passed {
    /// Payments that were credited where they arrived.
    pub credited: u64,
    /// Payments that were refused there, by the code of the reason.
    pub refused: BTreeMap<u16, u64>,
    /// Refunds that were credited.
    pub refunded: u64,
    /// Credits and refunds that were sent on because their wallet is on another chain.
    pub sent_on: u64,
    /// Wallets that arrived at a child.
    pub moved: u64,
    /// Sent and never executed.
    pub under_way: u64,
    /// Longest time from the final height that sent one to the one that executed it.
    pub longest_ms: u64,
    /// Bundles that each node's relay gave its chains.
    pub bundles_given: BTreeMap<u16, u64>,
}

impl Outcome {
    /// Whether everything held.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.violations.is_empty()
    }

    /// Whether this property failed.
    #[must_use]
    pub fn violates(&self, property: Property) -> bool {
        self.violations.iter().any(|(_, violation)| violation.property == property)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        writeln!(formatter, "seed              {}", self.seed)?;
        writeln!(formatter, "digest            {}", self.digest)?;
        writeln!(formatter, "virtual time      {} ms", report.virtual_ms)?;
        let (signed, applied, rejected) = (report.signed, report.applied, report.rejected);
        let unresolved = report.unresolved;
        writeln!(
            formatter,
            "transactions      {signed} signed, {applied} applied, {rejected} rejected, {unresolved} open"
        )?;
        for (id, told) in &report.open {
            writeln!(formatter, "  open            {id}: {told:?}")?;
        }
        for (answer, count) in &report.answers {
            writeln!(formatter, "  answer          {count:>6} {answer}")?;
        }
        let (fees, base_fee_max) = (report.fees, report.base_fee_max_micro_fen);
        writeln!(formatter, "fees              {fees} fen, base fee {base_fee_max} µfen at most")?;
        writeln!(formatter, "replays           {}", report.replays)?;
        writeln!(formatter, "changes of set    {} applied, epoch {} runs", report.governed, report.epoch)?;
        writeln!(formatter, "yes votes         {} checked for durability", report.votes)?;
        writeln!(formatter, "outcome proofs    {} convinced", report.proofs)?;
        writeln!(formatter, "inputs            at most {} in one step", report.inputs_max)?;
        writeln!(
            formatter,
            "frames            {} delivered, {} lost",
            report.frames_delivered, report.frames_lost
        )?;
        writeln!(formatter, "writes lost       {} sets", report.writes_lost)?;
        writeln!(formatter, "longest stall     {} ms", report.longest_stall_ms)?;
        let (healing_ms, refused) = (report.longest_healing_ms, report.starts_refused);
        writeln!(formatter, "longest healing   {healing_ms} ms, {refused} starts refused by damage")?;
        writeln!(formatter, "heights           {}", report.heights)?;
        for (node, height) in &report.joined {
            writeln!(formatter, "joined            node {node} by the snapshot of height {height}")?;
        }
        for (kind, Fired { times, hit_quorum }) in &report.fired {
            let hit = if *hit_quorum { ", a quorum was hit" } else { "" };
            writeln!(formatter, "  fault           {times:>6} {kind}{hit}")?;
        }
        writeln!(formatter, "distrusted        {:?} {:?}", report.distrusted, report.distrust_reasons)?;
        if !report.turned.is_empty() {
            writeln!(formatter, "turned            {:?}", report.turned)?;
            writeln!(formatter, "evidence          {:?}", report.evidence)?;
            writeln!(
                formatter,
                "honest nodes      {} certified, each within {} ms; {:?}",
                report.honest_certified, report.honest_wait_ms, report.held
            )?;
            writeln!(
                formatter,
                "largest           block of weight {}, batch of {} bytes",
                report.weight_max, report.batch_bytes_max
            )?;
        }
        let Passed { credited, refused, refunded, sent_on, moved, under_way, longest_ms, bundles_given } =
            &report.passed;
        let (grown, there) = (report.grown, report.wallets_at_children);
        writeln!(
            formatter,
            "reshard           {moved} wallets moved, {sent_on} receipts sent on, grown {grown}, {there} wallets on children"
        )?;
        writeln!(
            formatter,
            "receipts          {credited} credited, {refunded} refunded, {under_way} under way, refused {refused:?}"
        )?;
        writeln!(formatter, "longest passage   {longest_ms} ms, bundles given {bundles_given:?}")?;
        writeln!(formatter, "node  chain  up     final  certified  stored  base fee  state")?;
        for node in &self.nodes {
            let NodeState {
                index,
                chain,
                is_up,
                final_height,
                certified_height,
                stored_height,
                base_fee_micro_fen,
                state,
            } = node;
            let state = state.get(..16).unwrap_or(state);
            writeln!(
                formatter,
                "{index:<5} {chain:<6} {is_up:<6} {final_height:<6} {certified_height:<10} {stored_height:<7} {base_fee_micro_fen:<9} {state}"
            )?;
        }
        for (at_ms, Violation { property, detail }) in &self.violations {
            writeln!(formatter, "VIOLATED at {at_ms} ms: {property:?}: {detail}")?;
        }
        if self.is_green() { writeln!(formatter, "green: every property held") } else { Ok(()) }
    }
}
