//! A look at a node that does not answer, by its configuration: does it run, does it listen, would it start, did it leave a report behind.
//!
//! Like `check`, it writes nothing and connects to nobody but the node's own REST address.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use api::why::{Finding, FindingCode, Severity};
use chain::rollback::REPORT;
use ledger::values::ChainId;

use crate::check::{CheckError, Look, look};
use crate::config::NodeConfig;
use crate::settings::chain_directory;

/// How long the REST address has to accept a connection.
const CONNECT_MS: u64 = 2_000;
/// Reports that are told of; the folder has them all.
const REPORTS_MAX: usize = 8;

/// What was found.
#[derive(Debug)]
pub struct Outside {
    /// What is wrong, in no order.
    pub findings: Vec<Finding>,
    /// Everything that was looked at, as `check` does.
    pub looks: Vec<Look>,
}

/// Looks from outside at a node that did not answer.
#[must_use]
pub fn look_outside(config: &NodeConfig) -> Outside {
    let (looks, is_running) = look(config);
    let connected =
        TcpStream::connect_timeout(&reachable(config.rest.listen), Duration::from_millis(CONNECT_MS));
    let mut findings = vec![of_process(config, is_running, connected.is_ok())];
    let faults = looks.iter().filter_map(|look| look.found.as_ref().err().map(|fault| (look.field, fault)));
    findings.extend(faults.map(|(field, fault)| of_fault(field, fault)));
    findings.extend(reports(config).into_iter().map(|(chain, report)| Finding {
        code: FindingCode::Diverged,
        severity: Severity::Warning,
        chain: Some(chain.0),
        what: format!("it once computed another result than the quorum; the report is {}", report.display()),
        since_ms: None,
        next: "read it and docs/operations.md, section A wrong result, before you start the node".to_owned(),
    }));
    Outside { findings, looks }
}

/// Where this machine reaches an address that is listened at.
#[must_use]
pub fn reachable(mut listen: std::net::SocketAddr) -> std::net::SocketAddr {
    if listen.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match listen.ip() {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        listen.set_ip(loopback);
    }
    listen
}

fn of_process(config: &NodeConfig, is_running: bool, is_listening: bool) -> Finding {
    let listen = config.rest.listen;
    let (code, what, next) = match (is_running, is_listening) {
        (true, true) => (
            FindingCode::NotAnswering,
            format!(
                "a process has the node's databases, and {listen} takes connections and does not answer: it hangs or is stopped"
            ),
            "journalctl -u jiaozi -n 50; ps -o pid,stat,args -C jiaozi (T: stopped, D: waits for the disk); else restart it and keep the log",
        ),
        (true, false) => (
            FindingCode::NotAnswering,
            format!(
                "a process has the node's databases and does not listen at {listen} yet: it starts or ends"
            ),
            "journalctl -u jiaozi -n 50; a start reads its state and waits ten seconds for peers",
        ),
        (false, true) => (
            FindingCode::NotRunning,
            format!("no process has the node's databases, and somebody else listens at {listen}"),
            "ss -ltnp: end the other program or change [rest] listen; then systemctl start jiaozi",
        ),
        (false, false) => (
            FindingCode::NotRunning,
            format!("no process has the node's databases, and nobody listens at {listen}"),
            "journalctl -u jiaozi -n 50: why did it end? then systemctl start jiaozi",
        ),
    };
    Finding { code, severity: Severity::Stuck, chain: None, what, since_ms: None, next: next.to_owned() }
}

/// What a start would refuse.
fn of_fault(field: &str, fault: &CheckError) -> Finding {
    let text = fault.to_string();
    let (what, next) =
        text.rsplit_once(". Mend: ").unwrap_or((&text, "jiaozi node check --config node.toml"));
    let code = match fault {
        CheckError::BelowReserve { .. } => FindingCode::DiskReserve,
        _ => FindingCode::Configuration,
    };
    Finding {
        code,
        severity: Severity::Stuck,
        chain: None,
        what: format!("{field}: {what}"),
        since_ms: None,
        next: next.to_owned(),
    }
}

/// The newest reports of divergences of each chain, at most [`REPORTS_MAX`].
fn reports(config: &NodeConfig) -> Vec<(ChainId, PathBuf)> {
    let of_chain = |id: &u32| {
        let chain = ChainId(*id);
        let entries = fs::read_dir(chain_directory(config, chain)).into_iter().flatten().flatten();
        let reports = entries.map(|entry| entry.path().join(REPORT)).filter(|report| report.is_file());
        reports.max().map(|report| (chain, report))
    };
    config.node.chains.iter().filter_map(of_chain).take(REPORTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &std::path::Path, listen: &str) -> NodeConfig {
        let text = format!(
            "[node]\ngenesis = \"g\"\ndata_directory = {:?}\n[keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\"\n\
             [rest]\nlisten = {listen:?}\n",
            folder.join("data")
        );
        NodeConfig::parse(&text).unwrap()
    }

    #[test]
    fn what_holds_the_data_and_what_listens_tell_whether_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "127.0.0.1:8080");
        for (is_running, is_listening, code, word) in [
            (true, true, FindingCode::NotAnswering, "hangs"),
            (true, false, FindingCode::NotAnswering, "starts or ends"),
            (false, true, FindingCode::NotRunning, "somebody else"),
            (false, false, FindingCode::NotRunning, "nobody listens"),
        ] {
            let found = of_process(&config, is_running, is_listening);
            assert!(found.code == code && found.what.contains(word), "{found:?}");
        }
    }

    #[test]
    fn faults_of_the_configuration_and_reports_are_found_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = config(folder.path(), &free.to_string());
        let report = folder.path().join("data/chain-0/divergence-1").join(REPORT);
        fs::create_dir_all(report.parent().unwrap()).unwrap();
        fs::write(&report, "differs").unwrap();
        let found = look_outside(&config).findings;
        let of = |code| found.iter().filter(|found| found.code == code).collect::<Vec<_>>();
        assert_eq!(of(FindingCode::NotRunning).len(), 1, "{found:?}");
        let faults = of(FindingCode::Configuration);
        assert!(faults.iter().any(|fault| fault.what.starts_with("node.genesis")), "{found:?}");
        assert!(faults.iter().any(|fault| fault.what.starts_with("keys.passphrase_file")), "{found:?}");
        assert!(of(FindingCode::Diverged)[0].what.contains(&report.display().to_string()), "{found:?}");
    }

    #[test]
    fn an_address_for_all_is_reached_on_this_machine() {
        for (listen, expected) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
