//! Who comes in, and how many, and for how long.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use super::super::server::HEAD_BYTES_MAX;
use super::bank::Bank;
use super::{Answer, get, method_of, send};
use crate::config::{RestLimits, RestSection, TokenEntry};
use crate::http::guard::Door;
use crate::http::{RestServer, routes};
use crate::tokens::{NewToken, Scope, Tokens, new_token};

const SCOPES: [Scope; 4] = [Scope::Submit, Scope::Read, Scope::Audit, Scope::Metrics];

/// One token per scope.
fn tokens() -> (Tokens, Vec<(Scope, NewToken)>) {
    let secrets: Vec<_> = SCOPES.into_iter().map(|scope| (scope, new_token().unwrap())).collect();
    let entry = |(scope, token): &(Scope, NewToken)| TokenEntry {
        name: scope.to_string(),
        sha256: token.sha256.clone(),
        scopes: vec![*scope],
    };
    (Tokens::new(&secrets.iter().map(entry).collect::<Vec<_>>()), secrets)
}

async fn ask(bank: &Bank, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method_of(path)).uri(path);
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    send(&bank.router(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn each_route_opens_for_its_scope_only() {
    let (tokens, secrets) = tokens();
    let bank = Bank::with(tokens, RestLimits::default());
    for route in routes() {
        let path = route.path.replace("{chain}", "0").replace("{height}", "1").replace("{id}", "0");
        if route.path == api::path::SIMULATE {
            // It takes nothing in: who prepares what others sign needs no more than who reads.
            assert!(matches!(route.door, Door::Scope(Scope::Read)), "{path}");
        }
        let scope = match route.door {
            Door::Open => {
                assert!(ask(&bank, &path, None).await.status.is_success(), "{path}");
                continue;
            }
            Door::Scope(scope) | Door::Waiting(scope) => scope,
        };
        let none = ask(&bank, &path, None).await;
        assert_eq!((none.status, none.error().code), (StatusCode::UNAUTHORIZED, 1_201), "{path}");
        assert_eq!(none.headers["www-authenticate"], "Bearer");
        for wrong in ["Bearer jzt_00", "Bearer", "Basic abc", "bearer  "] {
            assert_eq!(
                ask(&bank, &path, Some(wrong)).await.status,
                StatusCode::UNAUTHORIZED,
                "{path} {wrong}"
            );
        }
        for (held, token) in &secrets {
            let answer = ask(&bank, &path, Some(&format!("Bearer {}", *token.token))).await;
            if *held == scope {
                assert!(!matches!(answer.status.as_u16(), 401 | 403), "{path} {held}");
            } else {
                let error = answer.error();
                assert_eq!((answer.status, error.code), (StatusCode::FORBIDDEN, 1_203), "{path} {held}");
                assert!(error.message.contains(&scope.to_string()), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn when_all_places_are_taken_clients_are_told_to_come_back() {
    let limits = RestLimits { concurrent_requests: 2, concurrent_waits: 1, ..RestLimits::default() };
    let bank = Bank::with(Tokens::default(), limits);
    let router = bank.router();
    let held = Arc::clone(bank.edge.requests()).acquire_many_owned(2).await.unwrap();
    let busy = get(&router, api::path::CHAINS).await;
    assert_eq!((busy.status, busy.error().code), (StatusCode::TOO_MANY_REQUESTS, 1_303));
    assert_eq!(busy.headers["retry-after"], "1");
    assert!(
        get(&router, api::path::HEALTH).await.status.is_success(),
        "health answers when all else is full"
    );
    drop(held);
    assert!(get(&router, api::path::CHAINS).await.status.is_success());

    let held = Arc::clone(bank.edge.waits()).acquire_owned().await.unwrap();
    let path = format!("/v1/transactions/{}?wait=final", "0".repeat(64));
    assert_eq!(get(&router, &path).await.error().code, 1_303);
    drop(held);
    let path = format!("{path}&timeout_ms=1");
    assert_eq!(get(&router, &path).await.error().code, 1_402);
}

/// A node on a socket, with limits.
fn listen(bank: &Bank, limits: RestLimits) -> RestServer {
    let rest =
        RestSection { listen: SocketAddr::from(([127, 0, 0, 1], 0)), limits, ..RestSection::default() };
    RestServer::start(&bank.edge, &rest).unwrap()
}

/// Sends raw bytes and reads until the other side closes, for ten seconds at most.
async fn raw(address: SocketAddr, bytes: Vec<u8>) -> (String, Duration) {
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        let started = Instant::now();
        // The other side may close while we still write: that is an answer too.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_on_its_socket_and_stops() {
    let bank = Bank::new();
    let server = listen(&bank, RestLimits::default());
    let address = server.address();
    let (answer, _) =
        raw(address, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"is_alive\":true"), "{answer}");
    server.stop().await;
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = RestLimits { request_timeout_ms: 300, ..RestLimits::default() };
    let bank = Bank::with(Tokens::default(), limits);
    let server = listen(&bank, limits);
    let head = "POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let slow = format!("{head}content-length: 100\r\n\r\n{{").into_bytes();
    let (answer, took) = raw(server.address(), slow).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":1007"), "{answer}");
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(8), "{took:?}");

    let huge = format!("{head}connection: close\r\ncontent-length: 99999999\r\n\r\n").into_bytes();
    let (answer, _) = raw(server.address(), huge).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":1003"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_connections_are_bounded() {
    let limits = RestLimits { connections: 2, ..RestLimits::default() };
    let bank = Bank::with(Tokens::default(), limits);
    let server = listen(&bank, limits);
    let long =
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(64 << 10)).into_bytes();
    let (answer, _) = raw(server.address(), long).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    // A head that is not too large to be read whole is refused in words; one that is, by the number alone.
    let fields = |count: usize| (0..count).map(|field| format!("x{field}: y\r\n")).collect::<String>();
    let long = format!("x: {}\r\n", "y".repeat(HEAD_BYTES_MAX));
    for (head, in_words) in [(fields(65), true), (long, true), (fields(200), false)] {
        let request = format!("GET /healthz HTTP/1.1\r\nconnection: close\r\n{head}\r\n").into_bytes();
        let (answer, _) = raw(server.address(), request).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert_eq!(answer.contains("\"code\":1008") && answer.contains("\"mend\""), in_words, "{answer}");
    }
    let request = format!("GET /healthz HTTP/1.1\r\nconnection: close\r\n{}\r\n", fields(60)).into_bytes();
    let (answer, _) = raw(server.address(), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let open = |_| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).map(|()| (stream, first))
    };
    let held: Vec<_> = tokio::task::block_in_place(|| (0..2).map(open).collect::<Result<_, _>>().unwrap());
    assert!(held.iter().all(|(_, first)| first == b"HTTP/1.1 200"));
    let refused = tokio::task::block_in_place(|| open(3));
    assert!(refused.is_err(), "the third connection is closed");
    drop(held);
    server.stop().await;
}
