//! What operators look at: health, readiness, the network, metrics, and the document that describes it all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::bulk::{BULK_ANSWER_BYTES, BULK_BYTES_MAX, BULK_CONTENT_TYPE, BULK_TRANSACTIONS_MAX};
use api::health::{Health, NotReady, Ready};
use api::network::NetworkView;
use api::why::{FindingCode, Severity, Verdict, Why};
use api::{ChainsView, ErrorCode};
use axum::http::{Method, StatusCode};
use chain::{JoinProgress, SeatSet};
use ledger::records::transaction::TRANSACTION_BYTES_MAX;
use ledger::values::{Epoch, Height, ValidatorIndex, WalletId};

use super::bank::{Bank, CHAIN};
use super::{get, method_of, post_to, refusal};
use crate::handle::{HaltCode, Status, Voting};
use crate::http::routes;
use crate::http::submit::JSON_BYTES_MAX;

/// A change of the status, and why the node is then not ready.
type Case<'a> = (&'a dyn Fn(&mut Status), Option<NotReady>);

#[tokio::test]
async fn readiness_names_its_reason() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    let ready = get(&router, api::path::READY).await;
    let view: Ready = ready.json();
    assert!(ready.status == StatusCode::OK && view.is_ready && view.chains[0].is_voting);
    assert_eq!((view.chains[0].height, view.chains[0].certified_height), (4, 3));

    let cases: [Case<'_>; 7] = [
        (&|status| status.chain.highest_announced = Some(Height(4 + 64)), None),
        (&|status| status.chain.highest_announced = Some(Height(4 + 65)), Some(NotReady::CatchingUp)),
        (&|status| status.chain.highest_announced = None, Some(NotReady::CatchingUp)),
        (&|status| status.voting = Voting::Observer, None),
        (&|status| status.voting = Voting::Rejoining, Some(NotReady::Rejoining)),
        (&|status| status.voting = Voting::DiskReserve, Some(NotReady::DiskReserve)),
        (&|status| status.halt = Some(HaltCode::Diverged), Some(NotReady::Halted)),
    ];
    let healthy = *bank.status.borrow();
    for (change, reason) in cases {
        bank.status.send_modify(|status| {
            *status = healthy;
            change(status);
        });
        let answer = get(&router, api::path::READY).await;
        let view: Ready = answer.json();
        assert_eq!((view.chains[0].reason, view.is_ready), (reason, reason.is_none()));
        assert_eq!(answer.status == StatusCode::OK, reason.is_none());
    }
    let view: Ready = get(&router, api::path::READY).await.json();
    assert_eq!(view.chains[0].halt.as_ref().unwrap().code, 1);

    bank.status.send_modify(|status| *status = healthy);
    bank.connections.send_replace(vec![2, 3]);
    assert!(get(&router, api::path::READY).await.json::<Ready>().is_ready, "three of four are a quorum");
    bank.connections.send_replace(vec![2]);
    let view: Ready = get(&router, api::path::READY).await.json();
    assert_eq!(view.chains[0].reason, Some(NotReady::TooFewPeers));
    assert!(get(&router, api::path::HEALTH).await.json::<Health>().is_alive);
}

#[tokio::test]
async fn a_chain_without_a_state_answers_nothing_from_its_database() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    let joining =
        JoinProgress { height: Height(900), chunks: 12, fetched: 5, refused: 1, bytes: 4_096, sources: 2 };
    bank.status.send_modify(|status| status.chain.joining = Some(joining));
    let view: Ready = get(&router, api::path::READY).await.json();
    assert_eq!((view.is_ready, view.chains[0].reason), (false, Some(NotReady::Joining)));
    let shown = view.chains[0].joining.unwrap();
    assert_eq!((shown.height, shown.chunks, shown.chunks_fetched, shown.chunks_refused), (900, 12, 5, 1));
    assert_eq!((shown.bytes, shown.sources), (4_096, 2));
    let (wallet, block) = (api::path::wallet(WalletId([1; 32])), format!("/v1/chains/{CHAIN}/blocks/1"));
    let (proof, registry) = (format!("{wallet}/proof"), format!("/v1/chains/{CHAIN}/registry"));
    for path in [wallet, proof, registry, block] {
        assert_eq!(refusal(&router, &path).await.0, ErrorCode::NotReady.code(), "{path}");
    }
    // What is known of the chain without its state is shown all the same.
    let chains: ChainsView = get(&router, api::path::CHAINS).await.json();
    assert!(chains.chains.iter().all(|chain| chain.progress.is_none()), "{chains:?}");
    let why: Why = get(&router, api::path::WHY).await.json();
    assert_eq!(why.facts.chains[0].joining, Some(shown));
    assert!(why.findings.iter().any(|finding| finding.code == FindingCode::Joining), "{why:?}");
}

#[tokio::test]
async fn readiness_counts_the_validators_of_the_running_epoch() {
    let bank = Bank::new();
    let router = bank.router();
    let mut rules = bank.rules.borrow().clone();
    let mut registry = (*rules.registry).clone();
    let mut next = registry.chains[0].epochs[0].clone();
    next.epoch = Epoch(1);
    next.first_height = Height(101);
    next.validators.retain(|validator| [0, 2].contains(&validator.node.0));
    registry.chains[0].epochs[0].last_height = Some(Height(100));
    registry.chains[0].epochs.push(next);
    rules.registry = Arc::new(registry);
    bank.rules.send_replace(rules);
    bank.connections.send_replace(vec![2]);
    let view: Ready = get(&router, api::path::READY).await.json();
    assert_eq!(view.chains[0].reason, Some(NotReady::TooFewPeers), "the next set does not decide yet");
    bank.status.send_modify(|status| status.chain.epoch = Epoch(1));
    assert!(get(&router, api::path::READY).await.json::<Ready>().is_ready, "both of two");
    bank.connections.send_replace(vec![1, 3]);
    let view: Ready = get(&router, api::path::READY).await.json();
    assert_eq!(view.chains[0].reason, Some(NotReady::TooFewPeers), "who left is no part of a quorum");
}

#[tokio::test]
async fn a_chain_whose_task_does_not_answer_is_told_and_keeps_nobody_waiting() {
    let mut bank = Bank::new();
    bank.story();
    let (router, started) = (bank.router(), std::time::Instant::now());
    let why: Why = get(&router, api::path::WHY).await.json();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let codes = |why: &Why| {
        let stuck = why.findings.iter().filter(|finding| finding.severity == Severity::Stuck);
        stuck.map(|finding| finding.code).collect::<Vec<_>>()
    };
    // The harness gives the node no keys.
    assert_eq!(codes(&why), [FindingCode::TaskSilent, FindingCode::KeyMissing]);
    assert_eq!((why.verdict, why.facts.chains[0].is_answering), (Verdict::Stuck, false));
    assert_eq!((why.facts.chains[0].height, why.facts.chains[0].certified_height), (4, 3));

    let (status, submissions) = (&bank.status, &mut bank.submissions);
    let answers = async {
        while let Some(asked) = submissions.recv().await {
            let _gone = asked.answers.send(Vec::new()).is_err();
        }
    };
    let asked = async {
        let answered: Why = get(&router, api::path::WHY).await.json();
        status.send_modify(|status| {
            status.chain.heard = 2;
            status.chain.silent = SeatSet::default().with(ValidatorIndex(1)).with(ValidatorIndex(3));
        });
        let alone: Why = get(&router, api::path::WHY).await.json();
        (answered, alone)
    };
    let (answered, alone) = tokio::select! {
        both = asked => both,
        () = answers => panic!("the door closed"),
    };
    assert_eq!(codes(&answered), [FindingCode::KeyMissing]);
    assert_eq!(codes(&alone), [FindingCode::KeyMissing, FindingCode::NoQuorum]);
    let absent = &alone.facts.chains[0].absent;
    assert_eq!((absent.len(), alone.facts.chains[0].heard, alone.facts.chains[0].quorum), (2, 2, 3));
    for one in absent {
        assert!(alone.findings[1].what.contains(&one.operator), "{:?}", alone.findings);
    }
}

#[tokio::test]
async fn the_network_shows_who_is_connected() {
    let bank = Bank::new();
    bank.connections.send_replace(vec![2]);
    let view: NetworkView = get(&bank.router(), api::path::NETWORK).await.json();
    assert_eq!((view.genesis_hash, view.node, view.operators.len()), (bank.genesis, 0, 5));
    let connected: Vec<_> = view.nodes.iter().map(|node| node.is_connected).collect();
    assert_eq!(connected, [true, false, true, false]);
}

#[tokio::test]
async fn metrics_show_the_moment() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    // As the chain's driver does.
    bank.edge.chain_metrics(CHAIN).unwrap().store(&bank.store.statistics(), bank.store.bytes_on_disk().ok());
    get(&router, "/v1/nowhere").await;
    let answer = get(&router, api::path::METRICS).await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        "jiaozi_chain_executed_height{chain=\"0\"} 4",
        "jiaozi_chain_certified_height{chain=\"0\"} 3",
        "jiaozi_chain_base_fee_micro_fen{chain=\"0\"} 0",
        "jiaozi_node_connected_peers 3",
        "jiaozi_node_registered_peers 3",
        "jiaozi_rest_open_requests 1",
        "jiaozi_rest_requests_total{status=\"ClientError\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let writes = page.lines().find(|line| line.starts_with("jiaozi_chain_database_write_sets{")).unwrap();
    assert!(!writes.ends_with(" 0"), "{writes}");
}

#[tokio::test]
async fn every_route_is_described_and_every_described_route_exists() {
    let answer = get(&Bank::new().router(), api::path::OPENAPI).await;
    let document: serde_json::Value = answer.json();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone()))
        })
        .collect();
    let routed: BTreeSet<(String, String)> = routes()
        .into_iter()
        .map(|route| (route.path.to_owned(), method_of(route.path).as_str().to_ascii_lowercase()))
        .collect();
    assert_eq!(described, routed);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            assert!(operation["summary"].is_string() && operation["responses"]["200"].is_object(), "{path}");
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in [
        "ApiError",
        "SubmitRequest",
        "TransactionStatus",
        "WalletView",
        "BlockView",
        "LockView",
        "EvidencePage",
        "FeeEstimates",
        "FeeHistory",
        "SimulateRequest",
        "Simulation",
    ] {
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(document["components"]["securitySchemes"]["token"].is_object());
}

#[tokio::test]
async fn every_error_code_is_described() {
    let document: serde_json::Value = get(&Bank::new().router(), api::path::OPENAPI).await.json();
    let rows = document["x-error-codes"].as_array().unwrap();
    let described: Vec<u64> = rows.iter().map(|row| row["code"].as_u64().unwrap()).collect();
    let known: Vec<u64> = api::ApiError::every().iter().map(|error| u64::from(error.code)).collect();
    assert_eq!(described, known);
    assert!(
        known.contains(&1_409)
            && known.contains(&11_001)
            && known.contains(&11_055)
            && !known.contains(&11_054)
            && [11_014, 11_015, 11_016, 11_102].iter().all(|code| known.contains(code))
            && known.contains(&11_403)
    );
    for row in rows {
        for field in ["name", "message", "mend"] {
            assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "{row}");
        }
    }
}

/// Content type, framing, bounds and answers of a bulk body, with the numbers that are in force.
#[tokio::test]
async fn the_bulk_body_is_described_as_it_is() {
    let document: serde_json::Value = get(&Bank::new().router(), api::path::OPENAPI).await.json();
    let submit = &document["paths"][api::path::TRANSACTIONS]["post"];
    let body = &submit["requestBody"];
    for content in [&body["content"], &submit["responses"]["200"]["content"]] {
        let types: Vec<&String> = content.as_object().unwrap().keys().collect();
        assert_eq!(types, ["application/json", BULK_CONTENT_TYPE]);
        assert!(content[BULK_CONTENT_TYPE]["schema"].is_null(), "bytes have no JSON schema: {content}");
    }
    let told = body["description"].as_str().unwrap();
    for number in [JSON_BYTES_MAX, BULK_TRANSACTIONS_MAX, BULK_BYTES_MAX, TRANSACTION_BYTES_MAX] {
        assert!(told.contains(&number.to_string()), "{number}: {told}");
    }
    let simulate = &document["paths"][api::path::SIMULATE]["post"]["requestBody"];
    assert!(simulate["description"].as_str().unwrap().contains(&JSON_BYTES_MAX.to_string()), "{simulate}");
    let told = submit["responses"]["200"]["description"].as_str().unwrap();
    assert!(told.contains(&format!("{BULK_ANSWER_BYTES} bytes each")), "{told}");
}

/// What the router does with a described method is what the document says: none answers 405.
#[tokio::test]
async fn described_methods_are_routed() {
    let router = Bank::new().router();
    for route in routes() {
        // The registry of a hosted chain waits for the executor's thread, which is not here.
        let chain = if route.path == api::path::REGISTRY { "7" } else { "0" };
        let path = route.path.replace("{chain}", chain).replace("{height}", "1").replace("{id}", "0");
        let path = path.replace("{version}", "1");
        let answer = if method_of(route.path) == Method::POST {
            post_to(&router, &path, "application/json", "{}").await
        } else {
            get(&router, &path).await
        };
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        if answer.status == StatusCode::NOT_FOUND {
            assert_ne!(answer.error().code, 1_401, "{path}");
        }
    }
}
