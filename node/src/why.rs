//! Why a node does not do its work: from what was looked at to findings, each with what its operator can do next.
//!
//! A function of its argument and of nothing else. Rules: one finding for one thing, with the names and numbers that an operator needs on the
//! telephone; what follows from another finding comes after it (the order of [`FindingCode`]); *stuck* is said only of what does not go on
//! by itself or without somebody else; what is only late is a warning.

use api::health::JoiningView;
use api::why::{AbsentValidator, ChainFacts, Finding, FindingCode, Severity, Why, WhyFacts};
use chain::rollback::REPORT;
use ledger::values::ChainId;

use crate::handle::{HaltCode, OpenDivergence, Voting};

/// An idle chain makes about two blocks a second; without one for so long it stands.
const STANDS_MS: u64 = 10_000;
/// Certificates follow execution by one or two heights; at 32 blocks carry no more payments.
const UNCERTIFIED_HEIGHTS: u64 = 16;
/// A clock that is off by less is the time service's own affair.
const CLOCK_MS: u64 = 2_000;
/// Receipts that wait for less are on their way.
const RECEIPTS_MS: u64 = 30_000;
/// A certificate is told of so long before its end.
const CERTIFICATE_MS: u64 = 30 * 86_400_000;
/// And a disk so many hours before it reaches its reserve.
const DISK_HOURS: u64 = 7 * 24;
/// Validators that a finding names; the facts list all.
const NAMED_MAX: usize = 4;

/// What was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    /// Without chains: those are below.
    pub(crate) facts: WhyFacts,
    pub(crate) chains: Vec<LookedChain>,
    /// Chains of the configuration that cannot begin yet.
    pub(crate) awaited: Vec<ChainId>,
    /// Chains that miss this node's vote, with what mends it.
    pub(crate) not_hosted: Vec<(ChainId, String)>,
    /// Heights behind above which the node is not ready.
    pub(crate) lag_heights_max: u64,
}

/// A hosted chain.
#[derive(Debug, Clone)]
pub(crate) struct LookedChain {
    pub(crate) facts: ChainFacts,
    pub(crate) voting: Voting,
    pub(crate) halt: Option<HaltCode>,
    /// The divergence that is not passed.
    pub(crate) divergence: Option<OpenDivergence>,
    /// Whether wallets are at home there.
    pub(crate) is_home: bool,
    /// Whether this node has a seat in the set that operators want.
    pub(crate) is_wanted: bool,
    /// Whether this node's operator owes there.
    pub(crate) is_barred: bool,
    pub(crate) pace_ms: u64,
    pub(crate) drift_ms: u64,
    pub(crate) closing_per_1000_s: u64,
    /// The key of this node's seat, where the node does not have it.
    pub(crate) missing_key: Option<String>,
    pub(crate) unused_keys: Vec<UnusedKey>,
}

/// A key of this node that is in no set.
#[derive(Debug, Clone)]
pub(crate) struct UnusedKey {
    pub(crate) file: String,
    /// Whether it lies there to be the next one.
    pub(crate) is_next: bool,
    /// Whether another key of this node is in the running set.
    pub(crate) is_replaced: bool,
}

impl Looked {
    /// The answer.
    pub(crate) fn why(self) -> Why {
        let findings = self.findings();
        let chains = self.chains.into_iter().map(|chain| chain.facts).collect();
        Why::new(findings, WhyFacts { chains, ..self.facts })
    }

    fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        self.of_node(&mut found);
        for chain in &self.chains {
            self.of_chain(chain, &mut found);
        }
        found
    }

    /// What is about the whole node.
    fn of_node(&self, found: &mut Vec<Finding>) {
        let (disk, now_ms) = (&self.facts.disk, self.facts.now_ms);
        let reserve = mebibytes(disk.reserve_bytes);
        let has_stopped = self.chains.iter().any(|chain| chain.voting == Voting::DiskReserve);
        let free = disk.free_bytes.map_or_else(|| "little".to_owned(), mebibytes);
        if has_stopped {
            let what = format!(
                "{free} are free and {reserve} reserved: this node does not vote and takes no payments"
            );
            found.push(stuck(
                FindingCode::DiskReserve,
                None,
                what,
                "df -h; free space on the device of the data directory: it resumes by itself at 110 % of the reserve",
            ));
        } else if let Some(hours) = disk.hours_left.filter(|hours| *hours < DISK_HOURS) {
            let left = duration(hours.saturating_mul(3_600_000));
            let what = format!("free space ({free}) falls and reaches the reserve of {reserve} in {left}");
            found.push(warning(
                FindingCode::DiskFilling,
                None,
                what,
                "df -h; enlarge the device of the data directory before then",
            ));
        }
        if let Some(expires_ms) = self.facts.certificate_expires_ms {
            let left_ms = expires_ms.saturating_sub(now_ms);
            let next = "put a new certificate where [rest] tls names it, then restart the node";
            if left_ms == 0 {
                let what = format!(
                    "the certificate of the REST address ended {} ago: clients refuse it",
                    duration(now_ms.saturating_sub(expires_ms))
                );
                found.push(stuck(FindingCode::CertificateExpired, None, what, next));
            } else if left_ms < CERTIFICATE_MS {
                let what = format!("the certificate of the REST address ends in {}", duration(left_ms));
                found.push(warning(FindingCode::CertificateExpires, None, what, next));
            }
        }
        self.of_clock(found);
        for chain in &self.awaited {
            found.push(warning(
                FindingCode::WaitingForOrigin,
                Some(chain.0),
                "nothing here says yet what this chain begins with".to_owned(),
                "nothing, if chain 0 is to add it: it begins by itself; else name its file in [node] origins",
            ));
        }
        for (chain, mend) in &self.not_hosted {
            found.push(warning(
                FindingCode::NotHosted,
                Some(chain.0),
                "this node has a validator there and does not host the chain: its vote is missing".to_owned(),
                format!("{mend}; then restart the node"),
            ));
        }
    }

    /// One machine has one clock: the chain on which it differs most tells.
    fn of_clock(&self, found: &mut Vec<Finding>) {
        let off = |chain: &&LookedChain| chain.facts.clock_ahead_ms.map_or(0, i64::unsigned_abs);
        let Some(chain) = self.chains.iter().max_by_key(off) else { return };
        let Some(ahead_ms) = chain.facts.clock_ahead_ms.filter(|ahead| ahead.unsigned_abs() >= CLOCK_MS)
        else {
            return;
        };
        let (side, costs) = if ahead_ms > 0 {
            ("ahead of", "the others refuse its proposals, and it takes payments for expired that are not")
        } else {
            ("behind", "it does not vote for the others' proposals in time")
        };
        let what = format!(
            "this machine's clock is about {} {side} the newest blocks, {} ms are allowed: {costs}",
            duration(ahead_ms.unsigned_abs()),
            chain.drift_ms
        );
        let next = "timedatectl status; start the time service and let it set the clock (chronyc makestep)";
        found.push(stuck(FindingCode::ClockSkew, None, what, next));
    }

    fn of_chain(&self, chain: &LookedChain, found: &mut Vec<Finding>) {
        let id = Some(chain.facts.chain);
        if let Some(code) = chain.halt {
            let next = "do what it says; the codes are explained in docs/operations.md, section Halts";
            found.push(stuck(FindingCode::Halted, id, format!("halted with code {code}"), next));
        } else if chain.voting == Voting::Halted {
            let next = "journalctl -u jiaozi -n 50: the last lines say why";
            found.push(stuck(FindingCode::Halted, id, "the chain has stopped".to_owned(), next));
        }
        // One more has halted the chain: that is told above, and has a report of its own.
        let open = chain.divergence.filter(|_| chain.halt.is_none());
        if let Some(OpenDivergence { height, report }) = open {
            let what = format!(
                "its result of height {height} was not the one that a quorum certified: the height was taken back and is executed once more"
            );
            let next = format!(
                "nothing, if this finding goes by itself within a minute; a second time halts the chain. Then, or in any case soon: read chain-{}/divergence-{report}/{REPORT} in the data directory and test this machine's memory (docs/operations.md, section A wrong result)",
                chain.facts.chain
            );
            found.push(warning(FindingCode::Diverged, id, what, next));
        }
        if !chain.facts.is_answering && chain.halt.is_none() {
            let what = "the task that runs this chain does not answer: what is told of it below is old";
            found.push(stuck(
                FindingCode::TaskSilent,
                id,
                what.to_owned(),
                "journalctl -u jiaozi -n 50; is the disk slow (iostat -x 1) or the machine frozen? else restart the node and keep the log",
            ));
        }
        of_keys(chain, found);
        if chain.is_barred {
            found.push(warning(
                FindingCode::OperatorBarred,
                id,
                "this bank owes for what its validators sealed: its batches are not ordered for a fee"
                    .to_owned(),
                format!(
                    "fund the bank's own wallet on chain {}: jiaozi chain status --chain {}",
                    chain.facts.chain, chain.facts.chain
                ),
            ));
        }
        self.of_validators(chain, found);
        self.of_progress(chain, found);
        for line in chain.facts.receipts.iter().filter(|line| line.age_ms >= RECEIPTS_MS) {
            found.push(self.receipts(chain, line.destination, line.count, line.age_ms));
        }
    }

    /// Who is not heard, and whether the others are enough.
    fn of_validators(&self, chain: &LookedChain, found: &mut Vec<Finding>) {
        let ChainFacts { chain: id, validators, quorum, heard, absent, .. } = &chain.facts;
        let lacking = quorum.saturating_sub(*heard);
        let since_ms = absent.iter().map(|one| one.since_ms).min();
        let names = names(absent, self.facts.now_ms);
        if lacking > 0 && absent.is_empty() {
            let what =
                format!("{heard} of {validators} validators were heard so far, {quorum} decide: it listens");
            let next = "wait ten seconds, then ask again";
            found.push(warning(FindingCode::NoQuorum, Some(*id), what, next));
        } else if lacking > 0 && !chain.is_home {
            let what = format!(
                "no wallet is at home here yet; {heard} of {validators} validators are heard, {quorum} decide. Not heard: {names}"
            );
            let next = "nothing is late; ask their operators whether they host it: jiaozi node add-chain --host, then a restart";
            found
                .push(Finding { since_ms, ..note(FindingCode::WaitingForValidators, Some(*id), what, next) });
        } else if lacking > 0 {
            let are = if lacking == 1 { "is" } else { "are" };
            let what = format!(
                "{heard} of {validators} validators are heard, {quorum} decide: {lacking} more {are} needed. Not heard: {names}"
            );
            found.push(Finding { since_ms, ..stuck(FindingCode::NoQuorum, Some(*id), what, reach(absent)) });
        } else if !absent.is_empty() {
            let spare = heard.saturating_sub(*quorum);
            let what = format!(
                "{heard} of {validators} validators are heard, {quorum} decide: {spare} more may fail. Not heard: {names}"
            );
            let finding = warning(FindingCode::ValidatorsAbsent, Some(*id), what, reach(absent));
            found.push(Finding { since_ms, ..finding });
        }
    }

    /// How far it is, and whether it goes on.
    fn of_progress(&self, chain: &LookedChain, found: &mut Vec<Finding>) {
        let facts = &chain.facts;
        let (id, now_ms) = (Some(facts.chain), self.facts.now_ms);
        let behind = facts.announced_height.map_or(0, |announced| announced.saturating_sub(facts.height));
        match chain.voting {
            Voting::Rejoining => found.push(warning(
                FindingCode::Rejoining,
                id,
                "it started without its journal: it follows, and votes once it cannot contradict an earlier vote".to_owned(),
                "wait, and do not restart: it votes by itself about 20 s after it has caught up",
            )),
            Voting::Observer if chain.is_wanted && chain.missing_key.is_none() => found.push(note(
                FindingCode::Observer,
                id,
                "this node follows: its seat is in the set of the next epoch".to_owned(),
                "nothing: it votes once that epoch begins (jiaozi gov status)",
            )),
            Voting::Observer if chain.missing_key.is_none() => found.push(note(
                FindingCode::Observer,
                id,
                "this node follows: it has no seat on this chain".to_owned(),
                "nothing, if that is what you want",
            )),
            _ => {}
        }
        if let Some(joining) = &facts.joining {
            // It has no state: how far it is says this alone.
            found.push(joining_finding(id, joining));
            return;
        }
        if let Some(below) = facts.pruned_below {
            let what = format!(
                "it stands at height {} and needs the next block; the banks that answer have pruned what is below {below}",
                facts.height
            );
            let next = format!(
                "stop the node, move chain-{} out of its data directory, set [node] join = \"snapshot\", start it (docs/operations.md, section Archives and pruning); or restore a newer backup; or start a bank that keeps all history",
                facts.chain
            );
            found.push(stuck(FindingCode::PrunedEverywhere, id, what, next));
            return;
        }
        let stood_ms = facts.height_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        let is_begun = chain.is_home || facts.height > 0;
        if stood_ms >= STANDS_MS.max(chain.pace_ms.saturating_mul(10)) && is_begun && chain.halt.is_none() {
            let what = match behind {
                0 => format!("no block for {}: it stands at height {}", duration(stood_ms), facts.height),
                _ => format!(
                    "no block for {}: it stands at height {}, the others are {behind} ahead",
                    duration(stood_ms),
                    facts.height
                ),
            };
            let next = "mend what stands above; alone, ask another bank: jiaozi node doctor, at its node";
            let finding = stuck(FindingCode::StandsStill, id, what, next);
            found.push(Finding { since_ms: facts.height_since_ms, ..finding });
        } else if behind > self.lag_heights_max {
            let pace = tenths(facts.blocks_per_1000_s);
            let left = match behind.saturating_mul(1_000_000).checked_div(chain.closing_per_1000_s) {
                Some(left_ms) => format!("there in {}", duration(left_ms)),
                None => "not nearer yet".to_owned(),
            };
            let what = format!("{behind} heights behind the others, {pace} blocks a second, {left}");
            found.push(warning(FindingCode::CatchingUp, id, what, "wait; look again in a minute"));
        }
        let uncertified = facts.height.saturating_sub(facts.certified_height);
        if uncertified > UNCERTIFIED_HEIGHTS && behind <= self.lag_heights_max {
            let what = format!(
                "{uncertified} executed heights have no certificate: fewer than a quorum compute the same results in time"
            );
            let next = "ask the other banks what jiaozi node doctor says at theirs; compare versions";
            found.push(stuck(FindingCode::NotCertified, id, what, next));
        }
    }

    /// Receipts that do not arrive, and which chain is to blame as far as this node sees.
    fn receipts(&self, chain: &LookedChain, destination: u32, count: u64, age_ms: u64) -> Finding {
        let there = self.chains.iter().find(|other| other.facts.chain == destination);
        let now_ms = self.facts.now_ms;
        let stands = |other: &LookedChain| {
            other.facts.heard < other.facts.quorum
                || other.facts.height_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= STANDS_MS)
        };
        let (blame, next) = match there {
            Some(there) if stands(there) => {
                (format!("chain {destination} stands"), format!("mend chain {destination}: see its findings"))
            }
            Some(_) => (
                format!("chain {destination} goes on here"),
                "journalctl -u jiaozi -n 50: look for relay; the other banks' nodes carry them too"
                    .to_owned(),
            ),
            None => (
                format!("chain {destination} is not hosted here"),
                format!("ask a bank that hosts it: jiaozi chain status --chain {destination} --node URL"),
            ),
        };
        let what = format!(
            "{count} receipts wait for chain {destination}, none arrived there for {}: {blame}",
            duration(age_ms)
        );
        let since_ms = Some(now_ms.saturating_sub(age_ms));
        Finding { since_ms, ..stuck(FindingCode::ReceiptsWaiting, Some(chain.facts.chain), what, next) }
    }
}

fn of_keys(chain: &LookedChain, found: &mut Vec<Finding>) {
    let id = Some(chain.facts.chain);
    if let Some(key) = &chain.missing_key {
        let what = format!(
            "the running set has this node's seat with key {key}, which no file of [keys] holds: it does not vote"
        );
        let next = "name the key's file in [keys] consensus_keys, or lay it beside as NAME.next.key; then restart the node";
        found.push(stuck(FindingCode::KeyMissing, id, what, next));
    }
    for UnusedKey { file, is_next, is_replaced } in &chain.unused_keys {
        let finding = match (is_next, is_replaced) {
            (true, _) => note(
                FindingCode::KeyUnused,
                id,
                format!("{file} is in no set yet"),
                "nothing, while its rotation is under way (jiaozi gov status); else remove the file".to_owned(),
            ),
            (false, true) => warning(
                FindingCode::KeyUnused,
                id,
                format!("{file} was replaced by governance: the key beside it votes"),
                format!("mv {} {file}", next_of(file)),
            ),
            (false, false) => note(
                FindingCode::KeyUnused,
                id,
                format!("{file} is in no set of this chain"),
                "nothing, while the proposal that seats it waits (jiaozi gov status); else remove it from [keys]".to_owned(),
            ),
        };
        found.push(finding);
    }
}

/// Where the next key lies beside a key file.
fn next_of(file: &str) -> String {
    crate::keys::next_keystore(std::path::Path::new(file)).display().to_string()
}

/// The first few with their operators, for the telephone.
fn names(absent: &[AbsentValidator], now_ms: u64) -> String {
    let named = absent.iter().take(NAMED_MAX).map(|one| {
        let link = if one.is_connected { ", up without this chain" } else { "" };
        let silent = duration(now_ms.saturating_sub(one.since_ms));
        format!("{} (node {}, for {silent}{link})", one.operator, one.node)
    });
    let rest = absent.len().saturating_sub(NAMED_MAX);
    let named: Vec<String> = named.collect();
    named.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

/// How the operator finds out about them.
fn reach(absent: &[AbsentValidator]) -> String {
    let Some(first) = absent.iter().find(|one| !one.is_connected) else {
        return "call them: their nodes are up and do not run the chain. Do they host it, has it halted there (jiaozi node doctor, at theirs)?"
            .to_owned();
    };
    let address = first
        .address
        .rsplit_once(':')
        .map_or_else(|| first.address.clone(), |(host, port)| format!("{host} {port}"));
    format!("nc -vz {address}; call them: is the node up (jiaozi node doctor, at theirs)?")
}

fn finding(
    severity: Severity,
    code: FindingCode,
    chain: Option<u32>,
    what: String,
    next: impl Into<String>,
) -> Finding {
    Finding { code, severity, chain, what, since_ms: None, next: next.into() }
}

fn stuck(code: FindingCode, chain: Option<u32>, what: String, next: impl Into<String>) -> Finding {
    finding(Severity::Stuck, code, chain, what, next)
}

fn warning(code: FindingCode, chain: Option<u32>, what: String, next: impl Into<String>) -> Finding {
    finding(Severity::Warning, code, chain, what, next)
}

fn note(code: FindingCode, chain: Option<u32>, what: String, next: impl Into<String>) -> Finding {
    finding(Severity::Note, code, chain, what, next)
}

/// What to do where nobody has a snapshot.
const NO_SOURCES: &str = "wait a minute: every node that runs keeps one a minute of blocks apart; none after that: do the others run, and are their links up?";

/// How far a node is that fetches its state.
fn joining_finding(id: Option<u32>, joining: &JoiningView) -> Finding {
    let JoiningView { height, chunks, chunks_fetched, chunks_refused, bytes, sources } = joining;
    if *height == 0 {
        let what = "this bank has no state yet, and no peer offers one now".to_owned();
        return warning(FindingCode::Joining, id, what, NO_SOURCES);
    }
    let state = format!("{chunks_fetched} of {chunks} parts of the state of height {height}");
    let refused = match chunks_refused {
        0 => String::new(),
        _ => format!("; {chunks_refused} were wrong and were asked of others"),
    };
    if chunks_fetched == chunks {
        let what = format!("this bank's state is here, {state}: the node starts anew with it");
        return warning(FindingCode::Joining, id, what, "wait, and do not restart");
    }
    if *sources == 0 {
        let what = format!("this bank has no state yet, and no peer offers the rest now: {state} are here");
        return warning(FindingCode::Joining, id, what, NO_SOURCES);
    }
    let what = format!(
        "this bank has no state yet and fetches it from {sources} peers: {state}, {}{refused}",
        mebibytes(*bytes)
    );
    warning(FindingCode::Joining, id, what, "wait; a restart goes on where it was")
}

/// For people: the two digits that matter.
fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// A rate for each thousand seconds, for each second.
fn tenths(per_1000_s: u64) -> String {
    format!("{}.{}", per_1000_s / 1_000, per_1000_s / 100 % 10)
}

#[cfg(test)]
pub(crate) mod tests {
    use api::why::{DiskFacts, Verdict, WaitingReceipts};
    use chain::{ChainStatus, SeatSet};
    use ledger::values::{Epoch, Height};

    use super::*;
    use crate::handle::Status;

    const NOW_MS: u64 = 10_000_000;

    /// A chain of four that goes on.
    pub(crate) fn status() -> Status {
        let chain = ChainStatus {
            epoch: Epoch(0),
            last_height: None,
            validators: 4,
            heard: 4,
            silent: SeatSet::default(),
            is_validator: true,
            final_height: Height(0),
            executed_height: Height(0),
            certified_height: Height(0),
            highest_announced: Some(Height(0)),
            pooled_transactions: 0,
            pooled_bytes: 0,
            batches: 0,
            bundles: 0,
            open_questions: 0,
            final_waiting: 0,
            fetches: 0,
            may_vote: true,
            halted: false,
            joining: None,
            pruned_below: None,
        };
        Status { chain, voting: Voting::Yes, disk_free_bytes: 1 << 40, halt: None, divergence: None }
    }

    fn joining(sources: u64) -> JoiningView {
        let (chunks_fetched, chunks_refused) = (400, 1);
        JoiningView { height: 7_200, chunks: 977, chunks_fetched, chunks_refused, bytes: 9 << 20, sources }
    }

    fn chain(id: u32) -> LookedChain {
        let facts = ChainFacts {
            chain: id,
            currency: "CNY".to_owned(),
            is_answering: true,
            is_voting: true,
            height: 900,
            height_since_ms: Some(NOW_MS - 400),
            certified_height: 899,
            announced_height: Some(900),
            blocks_per_1000_s: 2_000,
            validators: 4,
            quorum: 3,
            heard: 4,
            absent: Vec::new(),
            clock_ahead_ms: Some(0),
            receipts: Vec::new(),
            joining: None,
            pruned_below: None,
        };
        LookedChain {
            facts,
            voting: Voting::Yes,
            halt: None,
            divergence: None,
            is_home: true,
            is_wanted: true,
            is_barred: false,
            pace_ms: 50,
            drift_ms: 500,
            closing_per_1000_s: 0,
            missing_key: None,
            unused_keys: Vec::new(),
        }
    }

    fn looked() -> Looked {
        let facts = WhyFacts {
            node: 0,
            operator: "Bank A".to_owned(),
            version: "1.0.0".to_owned(),
            now_ms: NOW_MS,
            watched_ms: 600_000,
            connected_peers: 3,
            disk: DiskFacts { free_bytes: Some(1 << 40), reserve_bytes: 2 << 30, hours_left: None },
            certificate_expires_ms: None,
            chains: Vec::new(),
        };
        let (awaited, not_hosted) = (Vec::new(), Vec::new());
        Looked { facts, chains: vec![chain(0), chain(1)], awaited, not_hosted, lag_heights_max: 64 }
    }

    fn absent(node: u16, operator: &str, is_connected: bool) -> AbsentValidator {
        let address = format!("{}.example:7700", node);
        AbsentValidator {
            node,
            operator: operator.to_owned(),
            address,
            since_ms: NOW_MS - 42_000,
            is_connected,
        }
    }

    /// Chain 0 hears so many of four; the last ones are missing.
    fn hears(looked: &mut Looked, heard: u32) {
        let all = [absent(1, "Bank B", false), absent(2, "Bank C", false), absent(3, "Bank D", true)];
        let facts = &mut looked.chains[0].facts;
        facts.heard = heard;
        facts.absent = all.into_iter().skip(usize::try_from(heard).unwrap() - 1).collect();
    }

    fn stands(looked: &mut Looked) {
        looked.chains[0].facts.height_since_ms = Some(NOW_MS - 30_000);
    }

    type Change = fn(&mut Looked);

    #[test]
    fn each_cause_is_found_and_comes_before_what_follows_from_it() {
        use FindingCode as Code;
        let cases: Vec<(&str, Change, Verdict, Vec<Code>)> = vec![
            ("all is well", |_| {}, Verdict::Healthy, vec![]),
            ("one bank is away", |it| hears(it, 3), Verdict::Attention, vec![Code::ValidatorsAbsent]),
            (
                "two banks are away",
                |it| {
                    hears(it, 2);
                    stands(it);
                },
                Verdict::Stuck,
                vec![Code::NoQuorum, Code::StandsStill],
            ),
            (
                "it has just started",
                |it| {
                    it.chains[0].facts.heard = 1;
                },
                Verdict::Attention,
                vec![Code::NoQuorum],
            ),
            ("it stands and nobody knows why", stands, Verdict::Stuck, vec![Code::StandsStill]),
            (
                "the clock stops it",
                |it| {
                    it.chains[1].facts.clock_ahead_ms = Some(-300_000);
                    stands(it);
                },
                Verdict::Stuck,
                vec![Code::ClockSkew, Code::StandsStill],
            ),
            (
                "a clock that is nearly right",
                |it| it.chains[0].facts.clock_ahead_ms = Some(1_999),
                Verdict::Healthy,
                vec![],
            ),
            (
                "no room",
                |it| {
                    it.facts.disk.free_bytes = Some(1 << 30);
                    it.chains.iter_mut().for_each(|chain| chain.voting = Voting::DiskReserve);
                    stands(it);
                },
                Verdict::Stuck,
                vec![Code::DiskReserve, Code::StandsStill],
            ),
            (
                "room for three days",
                |it| it.facts.disk.hours_left = Some(72),
                Verdict::Attention,
                vec![Code::DiskFilling],
            ),
            ("room for a month", |it| it.facts.disk.hours_left = Some(720), Verdict::Healthy, vec![]),
            (
                "a halt, a task that is gone",
                |it| {
                    it.chains[0].halt = Some(HaltCode::Diverged);
                    it.chains[0].voting = Voting::Halted;
                    it.chains[0].facts.is_answering = false;
                    it.chains[1].facts.is_answering = false;
                    stands(it);
                },
                Verdict::Stuck,
                vec![Code::Halted, Code::TaskSilent],
            ),
            (
                "a wrong result that was taken back",
                |it| it.chains[0].divergence = Some(OpenDivergence { height: Height(901), report: 1 }),
                Verdict::Attention,
                vec![Code::Diverged],
            ),
            (
                "a second one",
                |it| {
                    it.chains[0].divergence = Some(OpenDivergence { height: Height(901), report: 1 });
                    it.chains[0].halt = Some(HaltCode::Diverged);
                },
                Verdict::Stuck,
                vec![Code::Halted],
            ),
            (
                "receipts behind a chain that stands",
                |it| {
                    hears(it, 2);
                    stands(it);
                    let waiting = WaitingReceipts { destination: 0, count: 12, age_ms: 45_000 };
                    it.chains[1].facts.receipts = vec![waiting];
                },
                Verdict::Stuck,
                vec![Code::NoQuorum, Code::StandsStill, Code::ReceiptsWaiting],
            ),
            (
                "receipts on their way",
                |it| {
                    let waiting = WaitingReceipts { destination: 0, count: 12, age_ms: 4_000 };
                    it.chains[1].facts.receipts = vec![waiting];
                },
                Verdict::Healthy,
                vec![],
            ),
            (
                "catching up",
                |it| {
                    it.chains[0].facts.announced_height = Some(5_900);
                    it.chains[0].voting = Voting::Rejoining;
                },
                Verdict::Attention,
                vec![Code::Rejoining, Code::CatchingUp],
            ),
            (
                "behind, and the others have pruned what is next",
                |it| {
                    stands(it);
                    it.chains[0].facts.announced_height = Some(5_900);
                    it.chains[0].facts.pruned_below = Some(2_000);
                },
                Verdict::Stuck,
                vec![Code::PrunedEverywhere],
            ),
            (
                "a join by a snapshot, however long",
                |it| {
                    stands(it);
                    it.chains[0].facts.height = 0;
                    it.chains[0].voting = Voting::Rejoining;
                    it.chains[0].facts.joining = Some(joining(3));
                },
                Verdict::Attention,
                vec![Code::Joining, Code::Rejoining],
            ),
            (
                "a join whose sources are gone",
                |it| it.chains[0].facts.joining = Some(joining(0)),
                Verdict::Attention,
                vec![Code::Joining],
            ),
            (
                "results that nobody shares",
                |it| it.chains[0].facts.certified_height = 880,
                Verdict::Stuck,
                vec![Code::NotCertified],
            ),
            (
                "keys",
                |it| {
                    it.chains[0].voting = Voting::Observer;
                    it.chains[0].missing_key = Some("ab12".to_owned());
                    let unused = |is_next, is_replaced| UnusedKey {
                        file: "keys/consensus-1.key".to_owned(),
                        is_next,
                        is_replaced,
                    };
                    it.chains[1].unused_keys = vec![unused(true, true), unused(false, true)];
                },
                Verdict::Stuck,
                vec![Code::KeyMissing, Code::KeyUnused, Code::KeyUnused],
            ),
            (
                "a certificate in its last month",
                |it| it.facts.certificate_expires_ms = Some(NOW_MS + 86_400_000),
                Verdict::Attention,
                vec![Code::CertificateExpires],
            ),
            (
                "a certificate that ended",
                |it| it.facts.certificate_expires_ms = Some(NOW_MS),
                Verdict::Stuck,
                vec![Code::CertificateExpired],
            ),
            (
                "what a node waits for",
                |it| {
                    it.awaited = vec![ChainId(3)];
                    it.not_hosted = vec![(ChainId(2), "jiaozi node add-chain".to_owned())];
                    it.chains[0].is_barred = true;
                    it.chains[1].voting = Voting::Observer;
                },
                Verdict::Attention,
                vec![Code::OperatorBarred, Code::NotHosted, Code::WaitingForOrigin, Code::Observer],
            ),
            (
                "a child that has not begun",
                |it| {
                    hears(it, 2);
                    it.chains[0].is_home = false;
                    it.chains[0].facts.height = 0;
                    it.chains[0].facts.certified_height = 0;
                    it.chains[0].facts.announced_height = None;
                    stands(it);
                },
                Verdict::Healthy,
                vec![Code::WaitingForValidators],
            ),
        ];
        for (name, change, verdict, expected) in cases {
            let mut looked = looked();
            change(&mut looked);
            let why = looked.why();
            let codes: Vec<Code> = why.findings.iter().map(|finding| finding.code).collect();
            assert_eq!((why.verdict, codes), (verdict, expected), "{name}: {:#?}", why.findings);
            for finding in &why.findings {
                assert!(!finding.what.is_empty() && !finding.next.is_empty(), "{name}: {finding:?}");
            }
        }
    }

    #[test]
    fn what_is_said_has_names_numbers_and_the_next_step() {
        let first = |change: Change| {
            let mut looked = looked();
            change(&mut looked);
            let finding = looked.why().findings.remove(0);
            (finding.what, finding.next, finding.since_ms)
        };
        let (what, next, since_ms) = first(|it| hears(it, 2));
        assert_eq!(
            what,
            "2 of 4 validators are heard, 3 decide: 1 more is needed. Not heard: Bank C (node 2, for 42 s), Bank D \
             (node 3, for 42 s, up without this chain)"
        );
        assert!(next.starts_with("nc -vz 2.example 7700; "), "{next}");
        assert_eq!(since_ms, Some(NOW_MS - 42_000));

        let (what, ..) = first(|it| it.chains[0].facts.clock_ahead_ms = Some(298_000));
        assert!(
            what.contains("clock is about 4 min ahead of the newest blocks, 500 ms are allowed"),
            "{what}"
        );

        let (what, ..) = first(|it| {
            let chain = &mut it.chains[0];
            chain.facts.announced_height = Some(5_900);
            chain.facts.blocks_per_1000_s = 52_340;
            chain.closing_per_1000_s = 50_000;
        });
        assert_eq!(what, "5000 heights behind the others, 52.3 blocks a second, there in 100 s");

        let (what, next, _) = first(|it| {
            let waiting = WaitingReceipts { destination: 7, count: 12, age_ms: 240_000 };
            it.chains[1].facts.receipts = vec![waiting];
        });
        assert_eq!(
            what,
            "12 receipts wait for chain 7, none arrived there for 4 min: chain 7 is not hosted here"
        );
        assert!(next.contains("--chain 7"), "{next}");

        let (what, next, _) = first(|it| {
            let file = "keys/consensus-0.key".to_owned();
            it.chains[0].unused_keys = vec![UnusedKey { file, is_next: false, is_replaced: true }];
        });
        assert!(what.starts_with("keys/consensus-0.key was replaced"), "{what}");
        assert_eq!(next, "mv keys/consensus-0.next.key keys/consensus-0.key");
    }

    #[test]
    fn many_absent_validators_are_a_few_names_and_a_number() {
        let all: Vec<_> = (1..=9).map(|node| absent(node, "Bank", false)).collect();
        assert!(names(&all, NOW_MS).ends_with(" and 5 more"));
    }
}
