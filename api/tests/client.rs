//! The client against a scripted server on loopback: refusals, retries, bounds, waiting, and the auditors'
//! feed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::bulk::{BulkAnswer, decode_body, encode_answers};
use api::client::LOOKS_BEFORE_WAITING_AGAIN;
use api::client::error::ClientError;
use api::feed::{ContentsPageWriter, FeedPage, FeedPageWriter, PageError, decode_batches, decode_bundles};
use api::transaction::WaitFor;
use api::{
    ApiError, Client, ClientConfig, ErrorCode, FeeHistory, FeeQuery, OperationName, SimulateRequest,
    SubmitStatus, Token, TransactionState, TransactionStatus, WhyName, Would,
};
use ledger::proofs::{CertifiedResult, FinalityProof};
use ledger::records::{
    Batch, BatchContent, Block, BlockBody, BlockHeader, Bundle, Claim, FeeBid, HeightResult, Nonce,
    Operation, Outcome, Policy, Receipt, SupplyTerms, Transaction, TransactionContent,
};
use ledger::values::{
    Amount, AppendTree, BatchDigest, BlockDigest, BundleDigest, Canonical as _, ChainId, Epoch, FeeRate,
    GenesisHash, Height, OutboxRoot, OutcomesRoot, ResultHash, SecretKey, StateRoot, TimestampMs,
    TransactionHash, TransactionId, ValidatorIndex, View, WalletId,
};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const GENESIS: GenesisHash = GenesisHash([1; 32]);

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    head: String,
    body: Vec<u8>,
}

/// Answers each request with the next of its answers, one connection each, and keeps what it saw.
#[derive(Clone)]
struct Script {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Script {
    async fn start(answers: Vec<(u16, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&script.seen);
        tokio::spawn(async move {
            let mut answers: VecDeque<_> = answers.into();
            while let Some((status, body)) = answers.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                seen.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                // The client may hang up early when an answer is too large.
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            }
        });
        script
    }

    fn client(&self) -> Client {
        let mut config = ClientConfig::new(&format!("http://{}", self.address));
        config.timeout = Duration::from_secs(5);
        config.token = Token::new("secret-token");
        Client::new(&config).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Seen { head, body: bytes[end + 4..end + 4 + length].to_vec() };
        }
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn transaction(sequence: u64) -> Transaction {
    let secret = SecretKey::from_seed([7; 32]);
    let content = TransactionContent {
        network: [1; 4],
        chain: ChainId(0),
        wallet: WalletId([1; 32]),
        nonce: Nonce { lane: 0, sequence },
        valid_until: TimestampMs(1_000),
        fee: FeeBid::default(),
        policy: Policy::single(secret.public_key()),
        operation: Operation::Redeem { amount: Amount::from_fen(1) },
    };
    content.signed_by(GENESIS, &secret)
}

fn status(state: TransactionState) -> (u16, Vec<u8>) {
    let id = TransactionId([2; 32]);
    let outcome = Outcome { id, transaction: TransactionHash([0; 32]), index: 0, code: 0, fee: Amount::ZERO };
    (
        200,
        json(&match state {
            TransactionState::Certified => TransactionStatus::executed(ChainId(0), Height(1), &outcome, true),
            TransactionState::Final => TransactionStatus::executed(ChainId(0), Height(1), &outcome, false),
            other => TransactionStatus::without_position(id, other, None),
        }),
    )
}

#[tokio::test]
async fn a_submission_is_repeated_while_the_node_is_busy_only() {
    let busy = ApiError::from(ErrorCode::PoolFull).retry_after_ms(1);
    let accepted = br#"{"status":"accepted"}"#.to_vec();
    let script = Script::start(vec![
        (429, json(&busy)),
        (503, json(&ApiError::from(ErrorCode::NotReady))),
        (202, accepted),
    ])
    .await;
    let answer = script.client().submit(&transaction(1)).await.unwrap();
    assert_eq!(answer.status, SubmitStatus::Accepted);
    let seen = script.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| request.body == seen[0].body));
    assert!(
        seen[0].head.starts_with("post /v1/transactions http/1.1")
            && seen[0].head.contains("authorization: bearer secret-token")
    );

    let poor = ApiError::from(ledger::records::Rejection::InsufficientFunds);
    let script = Script::start(vec![(422, json(&poor)), (422, json(&poor))]).await;
    let refused = script.client().submit(&transaction(1)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(error) if error == poor));
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test]
async fn bulk_answers_come_in_order_and_must_be_complete() {
    let answers = [
        BulkAnswer { status: SubmitStatus::Accepted, code: 0 },
        BulkAnswer { status: SubmitStatus::Refused, code: 11_010 },
    ];
    let script =
        Script::start(vec![(200, encode_answers(&answers)), (200, encode_answers(&answers[..1]))]).await;
    let transactions = [transaction(1), transaction(2)];
    assert_eq!(script.client().submit_bulk(&transactions).await.unwrap(), answers);
    let body = script.seen()[0].body.clone();
    assert_eq!(decode_body(&body).unwrap(), [transactions[0].encode(), transactions[1].encode()]);
    assert!(matches!(script.client().submit_bulk(&transactions).await, Err(ClientError::Bulk(_))));
}

#[tokio::test]
async fn waiting_ends_with_the_certificate_the_expiry_or_the_timeout() {
    let id = TransactionId([2; 32]);
    let walk = [
        TransactionState::Unknown,
        TransactionState::Pending,
        TransactionState::Final,
        TransactionState::Certified,
    ];
    let script = Script::start(walk.map(status).to_vec()).await;
    let answer = script.client().wait_certified(id, Duration::from_secs(5)).await.unwrap();
    assert!(answer.is_certified && script.seen().len() == 4);
    assert!(script.seen().iter().all(|request| request.head.contains("?wait=certified&timeout_ms=")));

    // A node that lets nobody else wait is asked again without.
    let busy = (429, json(&ApiError::from(ErrorCode::TooManyRequests)));
    let script = Script::start(vec![busy, status(TransactionState::Certified)]).await;
    assert!(script.client().wait_certified(id, Duration::from_secs(5)).await.unwrap().is_certified);
    assert!(!script.seen()[1].head.contains("wait="));

    // It does not go on looking for ever: later it asks for a place to wait again.
    let busy = (429, json(&ApiError::from(ErrorCode::TooManyRequests)));
    let looks = LOOKS_BEFORE_WAITING_AGAIN as usize;
    let mut answers = vec![status(TransactionState::Pending); looks + 1];
    answers.insert(0, busy);
    answers.push(status(TransactionState::Certified));
    let script = Script::start(answers).await;
    assert!(script.client().wait_certified(id, Duration::from_secs(30)).await.unwrap().is_certified);
    let waits: Vec<bool> = script.seen().iter().map(|request| request.head.contains("wait=")).collect();
    assert_eq!(waits.iter().filter(|waits| !**waits).count(), looks);
    assert!(waits[0] && waits[looks + 1] && waits[looks + 2]);

    let script = Script::start(vec![status(TransactionState::Final); 2]).await;
    let answer = script.client().wait_for(id, WaitFor::Final, Duration::from_secs(5)).await.unwrap();
    assert_eq!((answer.status, script.seen().len()), (TransactionState::Final, 1));

    let script = Script::start(vec![status(TransactionState::Expired)]).await;
    let answer = script.client().wait_certified(id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.status, TransactionState::Expired);

    let script = Script::start(vec![status(TransactionState::Pending); 50]).await;
    let late = script.client().wait_certified(id, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(late, ClientError::NotCertified { status: TransactionState::Pending, .. }), "{late}");
}

#[tokio::test]
async fn fees_are_asked_for_and_transactions_tried_out() {
    let estimate = serde_json::json!({
        "fee_max_fen": 9, "tip_fen": 0, "expected_fee_fen": 0, "probability": 0.99, "final_s_p50": 0.3,
        "final_s_p95": 0.9, "why": "free", "explanation": "Blocks have room.", "later": "ignored",
    });
    let estimates = serde_json::json!({
        "chain": 1, "weight": 700, "height": 5, "base_fee_micro_fen": 0, "economy": &estimate, "normal": &estimate,
        "urgent": &estimate, "cross_chain": null,
    });
    let history = FeeHistory {
        chain: 1,
        blocks: Vec::new(),
        weight_target: 5,
        weight_max: 9,
        next_base_fee_micro_fen: 3,
    };
    let simulation = serde_json::json!({
        "chain": 0, "id": TransactionId([2; 32]).to_string(), "weight": 700, "would": "applied", "fee_fen": 0,
        "refusal": null, "limits": null, "expected": { "final_s_p50": 0.3, "final_s_p95": 0.9 },
    });
    let forged = ApiError::from(&ledger::rules::TransactionFault::SignatureInvalid);
    let script = Script::start(vec![
        (200, json(&estimates)),
        (200, json(&estimates)),
        (200, json(&history)),
        (200, json(&simulation)),
        (200, json(&simulation)),
        (422, json(&forged)),
    ])
    .await;
    let client = script.client();
    let answer = client.fee_estimate(ChainId(1), 700).await.unwrap();
    assert_eq!((answer.weight, answer.normal.fee_max_fen, answer.normal.why), (700, 9, WhyName::Free));
    let query = FeeQuery {
        operation: Some(OperationName::Pay),
        payments: Some(3),
        confidence: Some(0.9),
        within_s: Some(1.5),
        ..FeeQuery::default()
    };
    client.fee_estimate_with(&query).await.unwrap();
    assert_eq!(client.fee_history(ChainId(1), Some(Height(7)), Some(2)).await.unwrap(), history);
    let signed = transaction(1);
    assert_eq!(client.simulate(&signed).await.unwrap().would, Would::Applied);
    assert_eq!(client.simulate_content(&signed.content).await.unwrap().weight, 700);
    let refused = client.simulate(&signed).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(error) if error == forged));
    let seen = script.seen();
    for (request, line) in seen.iter().zip([
        "get /v1/fees/estimate?chain=1&weight=700 http",
        "get /v1/fees/estimate?operation=pay&payments=3&confidence=0.9&within_s=1.5 http",
        "get /v1/chains/1/fees/history?from=7&limit=2 http",
        "post /v1/transactions/simulate http",
    ]) {
        assert!(request.head.starts_with(line), "{}", request.head);
    }
    let read = |place: usize| serde_json::from_slice::<SimulateRequest>(&seen[place].body).unwrap();
    assert_eq!(
        (read(3), read(4)),
        (SimulateRequest::signed(&signed), SimulateRequest::unsigned(&signed.content))
    );
}

#[tokio::test]
async fn hostile_answers_are_bounded_and_named() {
    let script = Script::start(vec![
        (200, vec![b' '; api::client::JSON_BYTES_MAX + 1]),
        (200, b"not json".to_vec()),
        (502, b"<html>".to_vec()),
        (302, Vec::new()),
    ])
    .await;
    let client = script.client();
    assert!(matches!(client.network().await, Err(ClientError::AnswerTooLarge { .. })));
    assert!(matches!(client.network().await, Err(ClientError::Json { .. })));
    assert!(matches!(client.network().await, Err(ClientError::Status { status: 502, .. })));
    assert!(matches!(client.network().await, Err(ClientError::Status { status: 302, .. })));
    // The script has ended: nobody listens.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = client.network().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }) && error.is_transient(), "{error}");
}

fn batch(sequence: u64) -> (BatchDigest, Batch) {
    let content = BatchContent {
        chain: ChainId(0),
        epoch: Epoch(0),
        sealer: ValidatorIndex(0),
        sequence,
        expires: TimestampMs(9),
        transactions: vec![transaction(sequence)],
    };
    content.seal(GENESIS, &SecretKey::from_seed([8; 32]))
}

/// A bundle of one receipt; nothing certifies it.
fn bundle(transaction: u8) -> (BundleDigest, Bundle) {
    let receipt = Receipt::Credit {
        transaction: TransactionId([transaction; 32]),
        part: 0,
        payer: WalletId([1; 32]),
        payee: WalletId([2; 32]),
        amount: Amount::from_fen(5),
        origin: None,
    };
    let result = HeightResult {
        chain: ChainId(1),
        height: Height(0),
        block: BlockDigest([3; 32]),
        previous: ResultHash([0; 32]),
        state: StateRoot([4; 32]),
        outcomes: OutcomesRoot([5; 32]),
        outbox: OutboxRoot([6; 32]),
        next_set: ledger::values::Hash::default(),
        executed: 0,
        skipped: 0,
        supply: SupplyTerms::default(),
    };
    let finality = FinalityProof {
        chain: ChainId(1),
        epoch: Epoch(0),
        view: View(1),
        parent_view: View(0),
        digest: BlockDigest([7; 32]),
        bytes: vec![1],
    };
    let certified = CertifiedResult { result, links: Vec::new(), header: block(1, &[]).header, finality };
    let bundle = Bundle {
        destination: ChainId(0),
        before: AppendTree::default(),
        total_before: 0,
        receipts: vec![receipt],
        after: Vec::new(),
        path: Vec::new(),
        sets: Vec::new(),
        certified,
    };
    (bundle.digest(GENESIS), bundle)
}

fn block(height: u64, batches: &[BatchDigest]) -> Block {
    block_with(height, batches, &[])
}

fn block_with(height: u64, batches: &[BatchDigest], bundles: &[BundleDigest]) -> Block {
    let body = BlockBody { batches: batches.to_vec(), bundles: bundles.to_vec() };
    let header = BlockHeader {
        chain: ChainId(0),
        epoch: Epoch(0),
        view: View(height),
        height: Height(height),
        parent: BlockDigest([0; 32]),
        timestamp: TimestampMs(height),
        proposer: ValidatorIndex(0),
        weight: 0,
        base_fee: FeeRate::ZERO,
        claim: Claim { height: Height(0), result: ResultHash([0; 32]) },
        body: body.hash(),
    };
    Block { header, body }
}

fn feed_page(from: u64, blocks: &[Block], certificate: Option<&[u8]>) -> Vec<u8> {
    let mut writer = FeedPageWriter::new(ChainId(0), Height(from), Height(3), Height(2));
    for block in blocks {
        assert!(writer.push(&block.encode(), certificate, None));
    }
    writer.finish()
}

fn batch_page(batches: &[Batch]) -> Vec<u8> {
    let mut writer = ContentsPageWriter::batches();
    for batch in batches {
        assert!(writer.push(&batch.encode()));
    }
    writer.finish()
}

fn bundle_page(bundles: &[Bundle]) -> Vec<u8> {
    let mut writer = ContentsPageWriter::bundles();
    for bundle in bundles {
        assert!(writer.push(&bundle.encode()));
    }
    writer.finish()
}

#[tokio::test]
async fn the_feed_gives_blocks_in_order_each_with_its_batches() {
    let (batches, blocks): (Vec<_>, Vec<_>) = {
        let all: Vec<_> = (1..=3).map(batch).collect();
        let digests: Vec<_> = all.iter().map(|(digest, _)| *digest).collect();
        (all, vec![block(1, &digests[..2]), block(2, &[]), block(3, &digests[2..])])
    };
    let sealed: Vec<Batch> = batches.iter().map(|(_, batch)| batch.clone()).collect();
    let script = Script::start(vec![
        (200, feed_page(1, &blocks, Some(b"certificate"))),
        // A prefix of what was asked for: the reader asks again for the rest.
        (200, batch_page(&sealed[..1])),
        (200, batch_page(&sealed[1..])),
        (200, feed_page(4, &[], None)),
    ])
    .await;
    let mut feed = script.client().feed(ChainId(0), Height(1));
    for (place, expected) in [&sealed[..2], &[], &sealed[2..]].into_iter().enumerate() {
        let block = feed.next().await.unwrap().unwrap();
        assert_eq!((&block.block, block.batches.as_slice()), (&blocks[place], expected));
        assert_eq!(block.certificate.as_deref(), Some(b"certificate".as_slice()));
    }
    assert_eq!(feed.next().await.unwrap(), None);
    assert_eq!((feed.final_height(), feed.certified_height()), (Height(3), Height(2)));
    let seen = script.seen();
    assert!(seen[0].head.starts_with("get /v1/chains/0/feed?from=1&limit=256"));
    let asked = |request: &Seen| {
        batches.iter().filter(|(digest, _)| request.head.contains(&digest.to_string())).count()
    };
    assert_eq!((asked(&seen[1]), asked(&seen[2])), (3, 2));
}

#[tokio::test]
async fn the_feed_gives_each_block_its_bundles() {
    let all: Vec<_> = (1..=3).map(bundle).collect();
    let digests: Vec<_> = all.iter().map(|(digest, _)| *digest).collect();
    let bundles: Vec<Bundle> = all.into_iter().map(|(_, bundle)| bundle).collect();
    let blocks = [block_with(1, &[], &digests[..2]), block(2, &[]), block_with(3, &[], &digests[2..])];
    let script = Script::start(vec![
        (200, feed_page(1, &blocks, None)),
        (200, bundle_page(&bundles[..1])),
        (200, bundle_page(&bundles[1..])),
    ])
    .await;
    let mut feed = script.client().feed(ChainId(0), Height(1));
    for (place, expected) in [&bundles[..2], &[], &bundles[2..]].into_iter().enumerate() {
        let found = feed.next().await.unwrap().unwrap();
        assert_eq!((&found.block, found.bundles.as_slice()), (&blocks[place], expected));
        assert!(found.batches.is_empty());
    }
    let seen = script.seen();
    assert!(seen[1].head.starts_with("get /v1/chains/0/bundles?digests="));
    let asked =
        |request: &Seen| digests.iter().filter(|digest| request.head.contains(&digest.to_string())).count();
    assert_eq!((asked(&seen[1]), asked(&seen[2])), (3, 2));
}

#[tokio::test]
async fn a_feed_about_something_else_is_refused() {
    let script = Script::start(vec![
        (200, feed_page(1, &[block(2, &[])], None)),
        (200, feed_page(2, &[block(2, &[])], None)),
        (200, b"JZF1".to_vec()),
        (200, feed_page(1, &[block(1, &[BatchDigest([9; 32])])], None)),
        (200, batch_page(&[])),
        (200, batch_page(&[batch(1).1])),
        (200, feed_page(2, &[block_with(2, &[], &[BundleDigest([9; 32])])], None)),
        (200, batch_page(&[batch(1).1])),
        (200, bundle_page(&[bundle(1).1, bundle(2).1])),
    ])
    .await;
    let mut feed = script.client().feed(ChainId(0), Height(1));
    assert!(matches!(feed.next().await, Err(ClientError::OtherPage { .. })), "another height");
    assert!(matches!(feed.next().await, Err(ClientError::OtherPage { .. })), "another start");
    assert!(matches!(feed.next().await, Err(ClientError::Page { .. })), "cut off");
    assert!(matches!(feed.next().await, Err(ClientError::OtherPage { .. })), "no batch");
    assert_eq!(feed.next().await.unwrap().unwrap().batches, [batch(1).1]);
    assert!(matches!(feed.next().await, Err(ClientError::Page { .. })), "batches for bundles");
    assert!(matches!(feed.next().await, Err(ClientError::OtherPage { .. })), "more than was asked for");
}

#[test]
fn pages_are_exact() {
    let page = feed_page(1, &[block(1, &[]), block(2, &[])], Some(b"c"));
    let decoded = FeedPage::decode(&page).unwrap();
    assert_eq!(
        (decoded.entries.len(), decoded.from, decoded.entries[1].block.header.height),
        (2, Height(1), Height(2))
    );
    let longer = [page.as_slice(), &[0]].concat();
    assert!(matches!(FeedPage::decode(&longer), Err(PageError::Framing { entry: 2 })));
    for length in 0..page.len() {
        assert!(FeedPage::decode(&page[..length]).is_err(), "{length}");
    }
    let batches = batch_page(&[batch(1).1]);
    assert!(matches!(FeedPage::decode(&batches), Err(PageError::Magic)));
    assert_eq!(decode_batches(&batches).unwrap(), [batch(1).1]);
    let bundles = bundle_page(&[bundle(1).1, bundle(2).1]);
    assert_eq!(decode_bundles(&bundles).unwrap(), [bundle(1).1, bundle(2).1]);
    assert!(matches!(decode_bundles(&batches), Err(PageError::Magic)));
    assert!(matches!(decode_batches(&bundles), Err(PageError::Magic)));
    let mut none = bundle(1).1;
    none.receipts.clear();
    assert!(matches!(decode_bundles(&bundle_page(&[none])), Err(PageError::Entry { entry: 1, .. })));
    let mut many = batches;
    many[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode_batches(&many), Err(PageError::Framing { entry: 0 })));
    assert!(matches!(
        decode_batches(&vec![0; api::feed::PAGE_BYTES_MAX + 1]),
        Err(PageError::TooLarge { .. })
    ));
}

#[test]
fn outcome_pages_round_trip_and_refuse_a_rest() {
    let outcome = Outcome {
        id: TransactionId([1; 32]),
        transaction: TransactionHash([2; 32]),
        index: 3,
        code: 205,
        fee: Amount::ZERO,
    };
    let page = api::feed::encode_outcomes(&[outcome, outcome]);
    assert_eq!(api::feed::decode_outcomes(&page).unwrap(), [outcome, outcome]);
    assert!(api::feed::decode_outcomes(&page[1..]).is_err());
}

proptest! {
    /// A flipped byte is refused or read as another page; never a panic, never an allocation by a claimed
    /// length.
    #[test]
    fn mutated_pages_never_panic(place in 0_usize..600, value in any::<u8>()) {
        let mut page = feed_page(1, &[block(1, &[BatchDigest([9; 32])]), block(2, &[])], Some(b"certificate"));
        let place = place % page.len();
        page[place] = value;
        let _ = FeedPage::decode(&page);
        let mut batches = batch_page(&[batch(1).1]);
        let place = place % batches.len();
        batches[place] = value;
        let _ = decode_batches(&batches);
        let mut bundles = bundle_page(&[bundle(1).1]);
        let place = place % bundles.len();
        bundles[place] = value;
        let _ = decode_bundles(&bundles);
    }
}

/// The way of a wallet while shards double: chain 2 takes half of the wallets of chain 0.
#[tokio::test]
async fn a_wallet_is_followed_to_where_it_is() {
    let id = WalletId([5; 32]);
    let at = |chain: u32, moved_to: Option<u32>| {
        let status = if moved_to.is_some() { "moved" } else { "active" };
        let mut view = serde_json::json!({
            "id": id.to_string(), "chain": chain, "currency": "CNY", "height": 7, "timestamp_ms": 1, "certified_height": 7,
            "balance_fen": 5, "status": status, "tier": "two", "operator": 1, "policy": "01".repeat(32), "lanes": [],
        });
        view["moved_to"] = serde_json::json!(moved_to);
        (200, json(&view))
    };
    let not_there = |code: ErrorCode| (code.http_status(), json(&ApiError::from(code)));
    let place = |chain: u32, parent: Option<u32>| {
        serde_json::json!({
            "chain": chain, "currency": "CNY", "shard": chain, "nodes": [], "parent": parent, "is_filling": parent.is_some(),
        })
    };
    let network = serde_json::from_value(serde_json::json!({
        "network": "n", "genesis_hash": "01".repeat(32), "version": "0", "node": 0, "operators": [], "nodes": [],
        "chains": [place(0, None), place(2, Some(0))],
    }))
    .unwrap();
    let (unknown, elsewhere) = (ErrorCode::WalletUnknown, ErrorCode::WalletElsewhere);
    for (answers, asked, found) in [
        (vec![at(2, None)], vec![2], Ok(2)),
        (vec![not_there(elsewhere), at(0, None)], vec![2, 0], Ok(0)),
        (vec![at(2, Some(0)), at(0, None)], vec![2, 0], Ok(0)),
        (vec![not_there(unknown), not_there(unknown)], vec![2, 0], Err(1_403)),
        // It has left its parent when it arrives: the second look finds it.
        (vec![not_there(unknown), at(0, Some(2)), at(2, None)], vec![2, 0, 2], Ok(2)),
        // A way that leads on and on is refused after four redirects; looked at once more it is there.
        (
            vec![at(2, Some(3)), at(3, Some(4)), at(4, Some(5)), at(5, Some(6)), at(6, Some(7)), at(2, None)],
            vec![2, 3, 4, 5, 6, 2],
            Ok(2),
        ),
        (vec![at(2, Some(9)), not_there(ErrorCode::ChainElsewhere)], vec![2, 9], Err(1_405)),
    ] {
        let script = Script::start(answers).await;
        let answer = script.client().find_wallet(&network, id, ChainId(2)).await;
        let got = answer.map(|view| view.chain).map_err(|error| match error {
            ClientError::Refused(error) => error.code,
            other => panic!("{other}"),
        });
        assert_eq!(got, found);
        let seen: Vec<bool> = script
            .seen()
            .iter()
            .zip(&asked)
            .map(|(seen, chain)| seen.head.starts_with(&format!("get /v1/wallets/{id}?chain={chain} ")))
            .collect();
        assert_eq!(seen, vec![true; asked.len()], "{:?}", script.seen());
    }
}
