//! `jiaozi node doctor`: why a node is stuck and what to do next, on one screen.
//!
//! A node that answers tells by itself (`GET /v1/why`). One that does not is looked at from outside, by its configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::why::{ChainFacts, DiskFacts, Finding, Severity, Verdict, Why, WhyFacts, sort};
use clap::Args;
use ledger::values::TimestampMs;
use node::NodeConfig;
use serde::Serialize;

use super::node::{Part, load};
use crate::clock::utc;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, Show, grouped};

/// How long the node has to answer. A chain that does not keeps it for a second.
const ANSWER: Duration = Duration::from_secs(5);
/// Columns of a screen.
const COLUMNS: usize = 100;
/// Lines of it, without the three of a failure.
const LINES: usize = 21;
/// Chains that are shown where there are more findings to show.
const CHAINS_SHOWN: usize = 4;
/// Where a node listens unless it is told otherwise.
const NODE: &str = "http://127.0.0.1:8080";

/// Arguments of `jiaozi node doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    pub(super) at: NodeAt,
    /// Show everything, however long.
    #[arg(long)]
    all: bool,
}

/// Which node: by its address, by its configuration, or both.
#[derive(Debug, Args)]
pub(super) struct NodeAt {
    /// The node's address; without it the one that its configuration says, or this machine's port 8080.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// The node's configuration: to look from outside where it does not answer.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File with the client token, where the node asks for one.
    #[arg(long, value_name = "FILE", env = "JIAOZI_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// PEM file of the only certificate authority to trust.
    #[arg(long, value_name = "FILE", env = "JIAOZI_CA_FILE")]
    ca_file: Option<PathBuf>,
}

impl NodeAt {
    /// The one of a configuration.
    pub(super) fn of(
        config: &Path,
        node: Option<String>,
        token_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Self {
        Self { node, config: Some(config.to_owned()), token_file, ca_file }
    }

    pub(super) fn config(&self) -> Answer<Option<NodeConfig>> {
        self.config.as_deref().map(load).transpose()
    }

    /// A connection, and its address.
    pub(super) fn connect(&self, config: Option<&NodeConfig>) -> Answer<(Connection, String)> {
        let of_config = |config: &NodeConfig| {
            let scheme = if config.rest.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", node::reachable(config.rest.listen))
        };
        let node = self.node.clone().or_else(|| config.map(of_config)).unwrap_or_else(|| NODE.to_owned());
        let (token_file, ca_file) = (self.token_file.clone(), self.ca_file.clone());
        let connection = NodeOptions { node: node.clone(), token_file, ca_file, chain: None }.connect()?;
        Ok((connection, node))
    }
}

/// What is wrong with a node.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    /// The node's address.
    node: String,
    /// Whether it answered; else it was looked at from outside.
    is_answering: bool,
    verdict: Verdict,
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<WhyFacts>,
    /// What was looked at from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    looked_at: Vec<Part>,
    #[serde(skip)]
    lines_max: usize,
}

/// Asks the node, or looks from outside.
///
/// # Errors
/// [`Failure`]: the node refuses to tell; it does not answer and no configuration says where to look.
pub(super) fn diagnose(at: &NodeAt) -> Answer<Diagnosis> {
    let config = at.config()?;
    let (connection, node) = at.connect(config.as_ref())?;
    judge(connection.within(ANSWER, connection.client.why()), config.as_ref(), node)
}

/// What a node answered that was asked why, or a look from outside where it did not.
///
/// # Errors
/// As [`diagnose`].
pub(super) fn judge(why: Answer<Why>, config: Option<&NodeConfig>, node: String) -> Answer<Diagnosis> {
    match (why, config) {
        (Ok(Why { verdict, findings, facts }), _) => Ok(Diagnosis {
            node,
            is_answering: true,
            verdict,
            findings,
            facts: Some(facts),
            looked_at: Vec::new(),
            lines_max: LINES,
        }),
        (Err(failure), Some(config)) if failure.exit == Exit::Unreachable => {
            let outside = node::look_outside(config);
            let mut findings = outside.findings;
            Ok(Diagnosis {
                node,
                is_answering: false,
                verdict: sort(&mut findings),
                findings,
                facts: None,
                looked_at: outside.looks.into_iter().map(Part::new).collect(),
                lines_max: LINES,
            })
        }
        (Err(failure), None) if failure.exit == Exit::Unreachable => {
            Err(failure
                .mend("on the node's machine: jiaozi node doctor --config node.toml looks from outside"))
        }
        (Err(failure), _) => Err(failure),
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] where something is stuck, and those of [`diagnose`].
pub(super) fn run(arguments: &DoctorArguments, output: Output) -> Answer {
    let mut diagnosis = diagnose(&arguments.at)?;
    if arguments.all {
        diagnosis.lines_max = usize::MAX;
    }
    output.result(&diagnosis)?;
    if diagnosis.verdict != Verdict::Stuck {
        return Ok(());
    }
    let stuck = diagnosis.findings.iter().filter(|finding| finding.severity == Severity::Stuck).count();
    let findings = if stuck == 1 { "finding says" } else { "findings say" };
    let message = format!("{stuck} {findings} that this node's work does not go on");
    Err(Failure::refused("node_stuck", message).mend("do what stands first, then ask again"))
}

impl Show for Diagnosis {
    fn text(&self) -> String {
        let mut lines = vec![self.head()];
        if let Some(facts) = &self.facts {
            let shown = if self.lines_max == usize::MAX { usize::MAX } else { CHAINS_SHOWN };
            lines.extend(facts.chains.iter().take(shown).map(|chain| line(&of_chain(chain, facts.now_ms))));
            match facts.chains.len().saturating_sub(shown) {
                0 => {}
                more => lines.push(format!("          and {more} more chains: --all")),
            }
            lines.push(line(&of_disk(&facts.disk)));
        }
        for (place, finding) in self.findings.iter().enumerate() {
            let block = of_finding(finding);
            let is_last = place + 1 == self.findings.len();
            // A line is kept for what is left out.
            if lines.len() + block.len() + usize::from(!is_last) > self.lines_max {
                lines.push(format!("          and {} more findings: --all", self.findings.len() - place));
                break;
            }
            lines.extend(block);
        }
        lines.join("\n")
    }
}

impl Diagnosis {
    fn head(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Healthy => "healthy",
            Verdict::Attention => "attention",
            Verdict::Stuck => "STUCK",
        };
        let who = match &self.facts {
            Some(facts) => {
                format!("{}, node {}, {}, version {}", facts.operator, facts.node, self.node, facts.version)
            }
            None => format!("{} does not answer; looked at from outside", self.node),
        };
        line(&format!("{verdict:8}  {who}"))
    }
}

fn of_chain(chain: &ChainFacts, now_ms: u64) -> String {
    let stood_s = chain.height_since_ms.map_or(0, |since| now_ms.saturating_sub(since) / 1_000);
    let stands = if stood_s >= 10 { format!(" for {} s", grouped(stood_s)) } else { String::new() };
    let votes = if chain.is_voting { "votes" } else { "does not vote" };
    format!(
        "{:8}  {} height {}{stands}, certified {}, hears {} of {} ({} decide), {votes}",
        format!("chain {}", chain.chain),
        chain.currency,
        grouped(chain.height),
        grouped(chain.certified_height),
        chain.heard,
        chain.validators,
        chain.quorum
    )
}

fn of_disk(disk: &DiskFacts) -> String {
    let mebibytes = |bytes: u64| format!("{} MiB", grouped(bytes >> 20));
    let free = disk
        .free_bytes
        .map_or_else(|| "not known yet".to_owned(), |free| format!("{} free", mebibytes(free)));
    let left = disk.hours_left.map(|hours| format!(", {} days left", hours / 24)).unwrap_or_default();
    format!("disk      {free}, {} reserved{left}", mebibytes(disk.reserve_bytes))
}

/// A finding's lines: what, then what to do.
fn of_finding(finding: &Finding) -> Vec<String> {
    let severity = match finding.severity {
        Severity::Stuck => "STUCK",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let code = serde_json::to_value(finding.code).ok();
    let code = code.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let chain = finding.chain.map(|chain| format!(", chain {chain}")).unwrap_or_default();
    let since =
        finding.since_ms.map(|since| format!(", since {}", utc(TimestampMs(since)))).unwrap_or_default();
    let mut lines = vec![line(&format!("{severity:8}  {code}{chain}{since}"))];
    lines.extend(wrapped("          ", &finding.what));
    lines.extend(wrapped("  next    ", &finding.next));
    lines
}

/// A text in lines of a screen; `first` stands before the first, as many blanks before the others.
fn wrapped(first: &str, text: &str) -> Vec<String> {
    let (mut lines, mut current) = (Vec::new(), first.to_owned());
    let indent = " ".repeat(first.chars().count());
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && current.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut current, indent.clone()));
            is_empty = true;
        }
        if !is_empty {
            current.push(' ');
        }
        current.push_str(word);
        is_empty = false;
    }
    lines.push(current);
    lines
}

/// One line of a screen; what does not fit is cut.
fn line(text: &str) -> String {
    let text = text.trim_end();
    if text.chars().count() <= COLUMNS {
        return text.to_owned();
    }
    text.chars().take(COLUMNS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use api::why::FindingCode;

    use super::*;

    fn finding(severity: Severity, code: FindingCode) -> Finding {
        let what = "2 of 4 validators are heard, 3 decide: 1 more is needed. Not heard: Bank C (node 2, for 42 s), Bank D \
                    (node 3, for 42 s, up without this chain)";
        let next = "nc -vz 127.0.0.1 7702; call them: is the node up (jiaozi node doctor, at theirs)?";
        Finding {
            code,
            severity,
            chain: Some(0),
            what: what.into(),
            since_ms: Some(1_000),
            next: next.into(),
        }
    }

    fn diagnosis(findings: Vec<Finding>) -> Diagnosis {
        let chain = ChainFacts {
            chain: 0,
            currency: "CNY".into(),
            is_answering: true,
            is_voting: true,
            height: 12_345,
            height_since_ms: Some(1_000),
            certified_height: 12_344,
            announced_height: Some(12_345),
            blocks_per_1000_s: 0,
            validators: 4,
            quorum: 3,
            heard: 2,
            absent: Vec::new(),
            clock_ahead_ms: None,
            receipts: Vec::new(),
            joining: None,
            pruned_below: None,
        };
        let facts = WhyFacts {
            node: 0,
            operator: "Bank A".into(),
            version: "0.1.0".into(),
            now_ms: 43_000,
            watched_ms: 43_000,
            connected_peers: 1,
            disk: DiskFacts { free_bytes: Some(5 << 30), reserve_bytes: 2 << 30, hours_left: Some(50) },
            certificate_expires_ms: None,
            chains: vec![chain; 8],
        };
        let node = "http://127.0.0.1:8080".to_owned();
        let (verdict, looked_at) = (Verdict::Stuck, Vec::new());
        Diagnosis {
            node,
            is_answering: true,
            verdict,
            findings,
            facts: Some(facts),
            looked_at,
            lines_max: LINES,
        }
    }

    #[test]
    fn it_fits_on_a_screen_and_the_first_finding_is_whole() {
        let findings = vec![finding(Severity::Stuck, FindingCode::NoQuorum); 30];
        let mut diagnosis = diagnosis(findings);
        let text = diagnosis.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= LINES, "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(lines[0].starts_with("STUCK     Bank A, node 0"), "{text}");
        assert!(
            text.contains("chain 0   CNY height 12,345 for 42 s, certified 12,344, hears 2 of 4"),
            "{text}"
        );
        assert!(text.contains("and 4 more chains: --all"), "{text}");
        assert!(text.contains("STUCK     no_quorum, chain 0, since 1970-01-01 00:00:01 UTC"), "{text}");
        assert!(text.contains("\n  next    nc -vz 127.0.0.1 7702; "), "{text}");
        let shown = lines.iter().filter(|line| line.contains("no_quorum")).count();
        assert!(text.ends_with(&format!("and {} more findings: --all", 30 - shown)), "{text}");
        diagnosis.lines_max = usize::MAX;
        assert_eq!(diagnosis.text().lines().filter(|line| line.contains("no_quorum")).count(), 30);
    }

    #[test]
    fn one_finding_needs_no_more_than_its_lines() {
        let text = diagnosis(vec![finding(Severity::Warning, FindingCode::ValidatorsAbsent)]).text();
        assert!(!text.contains("more findings"), "{text}");
        assert!(text.contains("disk      5,120 MiB free, 2,048 MiB reserved, 2 days left"), "{text}");
    }

    #[test]
    fn long_words_are_kept_whole_and_lines_are_full() {
        let word = "x".repeat(COLUMNS);
        assert_eq!(wrapped("ab", &word), [format!("ab{word}")]);
        assert_eq!(wrapped("> ", "a b"), ["> a b"]);
        let lines = wrapped("> ", &"abc ".repeat(50));
        assert!(lines[0].chars().count() > COLUMNS - 5 && lines[1].starts_with("  abc"), "{lines:?}");
    }
}
