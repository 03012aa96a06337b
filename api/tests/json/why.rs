//! Why a node is stuck.

use super::*;

#[test]
fn why_a_node_is_stuck() {
    let absent = AbsentValidator {
        node: 2,
        operator: "Bank C".into(),
        address: "c.example:7700".into(),
        since_ms: 900,
        is_connected: true,
    };
    let chain = ChainFacts {
        chain: 0,
        currency: "CNY".into(),
        is_answering: true,
        is_voting: true,
        height: 7,
        height_since_ms: Some(800),
        certified_height: 6,
        announced_height: Some(7),
        blocks_per_1000_s: 1_900,
        validators: 4,
        quorum: 3,
        heard: 2,
        absent: vec![absent],
        clock_ahead_ms: Some(-40),
        receipts: vec![WaitingReceipts { destination: 1, count: 3, age_ms: 31_000 }],
        pruned_below: None,
        joining: None,
    };
    let facts = WhyFacts {
        node: 0,
        operator: "Bank A".into(),
        version: "0.1.0".into(),
        now_ms: 1_000,
        watched_ms: 600,
        connected_peers: 2,
        disk: DiskFacts { free_bytes: Some(9), reserve_bytes: 5, hours_left: Some(80) },
        certificate_expires_ms: Some(5_000),
        chains: vec![chain],
    };
    let finding = |code, severity, chain, since_ms| Finding {
        code,
        severity,
        chain,
        what: "what".into(),
        since_ms,
        next: "next".into(),
    };
    // Given in another order.
    let findings = vec![
        finding(FindingCode::KeyUnused, Severity::Note, None, None),
        finding(FindingCode::StandsStill, Severity::Stuck, Some(0), None),
        finding(FindingCode::DiskFilling, Severity::Warning, None, None),
        finding(FindingCode::NoQuorum, Severity::Stuck, Some(0), Some(900)),
    ];
    check(
        &Why::new(findings, facts),
        json!({
            "verdict": "stuck",
            "findings": [
                { "code": "no_quorum", "severity": "stuck", "chain": 0, "what": "what", "since_ms": 900, "next": "next" },
                { "code": "stands_still", "severity": "stuck", "chain": 0, "what": "what", "next": "next" },
                { "code": "disk_filling", "severity": "warning", "what": "what", "next": "next" },
                { "code": "key_unused", "severity": "note", "what": "what", "next": "next" },
            ],
            "facts": {
                "node": 0, "operator": "Bank A", "version": "0.1.0", "now_ms": 1_000, "watched_ms": 600,
                "connected_peers": 2, "disk": { "free_bytes": 9, "reserve_bytes": 5, "hours_left": 80 },
                "certificate_expires_ms": 5_000,
                "chains": [{
                    "chain": 0, "currency": "CNY", "is_answering": true, "is_voting": true, "height": 7,
                    "height_since_ms": 800, "certified_height": 6, "announced_height": 7,
                    "blocks_per_1000_s": 1_900, "validators": 4, "quorum": 3, "heard": 2,
                    "absent": [{
                        "node": 2, "operator": "Bank C", "address": "c.example:7700", "since_ms": 900,
                        "is_connected": true,
                    }],
                    "clock_ahead_ms": -40,
                    "receipts": [{ "destination": 1, "count": 3, "age_ms": 31_000 }],
                }],
            },
        }),
    );
}
