//! Submitting, and waiting for what was submitted.

use std::time::{Duration, Instant};

use api::bulk::{BULK_BYTES_MAX, BULK_CONTENT_TYPE, decode_answers, encode_body};
use api::fees::{SimulateRequest, Simulation, Would};
use api::transaction::{SubmitAnswer, SubmitRequest, SubmitStatus, TransactionState, TransactionStatus};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use ledger::records::operation::PAYMENTS_MAX;
use ledger::records::transaction::TRANSACTION_BYTES_MAX;
use ledger::records::{FeeBid, Nonce, NotExecuted, Operation, Payment, Transaction};
use ledger::values::{Amount, Canonical as _, TimestampMs, WalletId};

use super::bank::Bank;
use super::fees::{crowd, crowded, crowded_exempt};
use super::{Answer, get, post, post_to, send};
use crate::admission::wall_clock;
use crate::departed::Reason;
use crate::handle::{HaltCode, Voting};
use crate::http::submit::JSON_BYTES_MAX;

const JSON: &str = "application/json";

fn body(transaction: &Transaction) -> Vec<u8> {
    serde_json::to_vec(&SubmitRequest::new(transaction)).unwrap()
}

async fn submit(bank: &Bank, transaction: &Transaction) -> Answer {
    post(&bank.router(), JSON, body(transaction)).await
}

/// A submission that reaches the pool.
async fn accepted(bank: &mut Bank, transaction: &Transaction) -> Answer {
    let router = bank.router();
    let (answer, pooled) = tokio::join!(post(&router, JSON, body(transaction)), bank.pool());
    assert_eq!(pooled, std::slice::from_ref(transaction));
    answer
}

/// What bids less than weight costs now waits for a lower base fee; what else is wrong with it is told at once.
#[tokio::test]
async fn a_bid_below_the_base_fee_waits() {
    let mut bank = crowded();
    let story = bank.story();
    crowd(&mut bank);
    let payment = bank.pay(&story.one, &story.two, 5);
    assert!(payment.content.fee.fee_max.is_zero());
    let answer = accepted(&mut bank, &payment).await;
    assert_eq!(answer.json::<SubmitAnswer>().status, SubmitStatus::Accepted);
    let too_much = bank.pay(&story.one, &story.two, 4_999_999);
    assert_eq!(submit(&bank, &too_much).await.error().code, 11_205);
}

/// Nobody pays the base fee of an exempt wallet: it is charged to the quota of the bank that seals it, which is to be the wallet's own.
#[tokio::test]
async fn an_exempt_wallet_is_sent_to_its_own_bank_while_weight_has_a_price() {
    let mut bank = crowded_exempt();
    let story = bank.story();
    let (own, other) = (bank.bank(), bank.other_bank());
    let opened = bank.open_by(&other, &[50]);
    let guest = bank.customer(50);
    let gift = bank.pay(&own, &guest, 100);
    bank.execute(vec![opened, gift], false);
    let free = bank.pay(&guest, &story.two, 5);
    assert_eq!(accepted(&mut bank, &free).await.json::<SubmitAnswer>().status, SubmitStatus::Accepted);

    crowd(&mut bank);
    let payment = bank.pay(&guest, &story.two, 5);
    let error = submit(&bank, &payment).await.error();
    assert_eq!((error.code, error.field.as_deref()), (1_107, Some("wallet")), "{error}");
    assert!(error.message.contains("operator 2"), "{error}");
    let request = serde_json::to_vec(&SimulateRequest::signed(&payment)).unwrap();
    let tried: Simulation = post_to(&bank.router(), api::path::SIMULATE, JSON, request).await.json();
    assert_eq!((tried.would, tried.refusal.map(|error| error.code)), (Would::Applied, Some(1_107)));
    let own = bank.pay(&story.one, &story.two, 5);
    assert_eq!(accepted(&mut bank, &own).await.json::<SubmitAnswer>().status, SubmitStatus::Accepted);
}

#[tokio::test]
async fn one_is_taken_in_and_known_ever_after() {
    let mut bank = Bank::new();
    bank.story();
    let (one, two) = (bank.customer(1), bank.customer(2));
    let payment = bank.pay(&one, &two, 5);
    let id = payment.id(bank.genesis);
    let answer = accepted(&mut bank, &payment).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let first: SubmitAnswer = answer.json();
    assert_eq!((first.id, first.status, first.error), (Some(id), SubmitStatus::Accepted, None));
    assert_eq!(first.transaction.unwrap().bytes, payment.encode());
    let pending: TransactionStatus = get(&bank.router(), &api::path::transaction(id)).await.json();
    assert_eq!((pending.status, pending.chain, pending.height), (TransactionState::Pending, Some(0), None));

    let again = submit(&bank, &payment).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json::<SubmitAnswer>().status, SubmitStatus::AlreadyKnown);
    bank.execute(vec![payment.clone()], true);
    let after = submit(&bank, &payment).await;
    assert_eq!((after.status, after.json::<SubmitAnswer>().id), (StatusCode::OK, Some(id)));
    let page = bank.edge.parts().metrics.encode().unwrap();
    for line in
        ["jiaozi_chain_accepted_transactions_total{chain=\"0\"} 1", "known_transactions_total{chain=\"0\"} 2"]
    {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_transaction_is_named() {
    let mut bank = Bank::new();
    bank.story();
    let (one, two) = (bank.customer(1), bank.customer(2));
    let good = bank.pay(&one, &two, 5);
    let change = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = good.clone();
        change(&mut transaction);
        transaction
    };
    let resign = |bank: &Bank, operation: Operation, sequence: u64, valid_until: u64| {
        bank.sign_at(&one, Nonce { lane: 0, sequence }, TimestampMs(valid_until), operation)
    };
    let pay = |payee: WalletId, fen: u64| Operation::Pay {
        payments: vec![Payment { payee, amount: Amount::from_fen(fen) }],
    };
    let soon = wall_clock().0 + 60_000;
    let cases = [
        ("wrong network", change(&|t| t.content.network = [0; 4]), "wrong_network"),
        ("wrong chain", change(&|t| t.content.chain = ledger::values::ChainId(9)), "wrong_chain"),
        ("forged", change(&|t| t.content.valid_until.0 += 1), "signature_invalid"),
        ("expired", resign(&bank, pay(two.id, 5), 9, 1_000), "expired"),
        ("too far", resign(&bank, pay(two.id, 5), 9, soon + 7_200_000), "valid_until_too_far"),
        ("replayed nonce", resign(&bank, pay(two.id, 5), 1, soon), "nonce_used"),
        ("gap", resign(&bank, pay(two.id, 5), 500, soon), "nonce_too_far_ahead"),
        ("zero", resign(&bank, pay(two.id, 0), 9, soon), "amount_zero"),
        ("self", resign(&bank, pay(one.id, 5), 9, soon), "payee_is_payer"),
        ("underfunded", resign(&bank, pay(two.id, 4_999_999), 9, soon), "insufficient_funds"),
        ("unknown payee", resign(&bank, pay(WalletId([9; 32]), 5), 9, soon), "payee_unknown"),
        (
            "unknown payer",
            bank.sign_at(
                &bank.customer(77),
                Nonce { lane: 0, sequence: 1 },
                TimestampMs(soon),
                pay(two.id, 5),
            ),
            "wallet_unknown",
        ),
    ];
    for (case, transaction, name) in cases {
        let answer = submit(&bank, &transaction).await;
        let error = answer.error();
        assert_eq!((error.name.as_str(), answer.status.as_u16()), (name, 422), "{case}: {error}");
        assert!(error.code > api::code::LEDGER_CODES && error.field.is_some(), "{case}: {error}");
    }
    assert!(bank.submissions.try_recv().is_err(), "nothing of it reached the pool");
}

#[tokio::test]
async fn bodies_that_are_no_transaction_are_refused() {
    let mut bank = Bank::new();
    let transaction = bank.issue(5);
    let router = bank.router();
    let mut longer = transaction.encode();
    longer.push(0);
    let hex = |bytes: &[u8]| format!("{{\"transaction\":\"{}\"}}", const_hex::encode(bytes));
    let cases = [
        (JSON, "{".to_owned(), 1_001, 400),
        (JSON, "{\"transaction\":\"00\",\"fee\":1}".to_owned(), 1_001, 400),
        (JSON, "{\"transaction\":\"xy\"}".to_owned(), 1_101, 400),
        (JSON, hex(&longer), 1_103, 400),
        (JSON, hex(&[0; TRANSACTION_BYTES_MAX + 1]), 1_102, 413),
        (JSON, " ".repeat(JSON_BYTES_MAX + 1), 1_003, 413),
        ("text/plain", hex(&transaction.encode()), 1_004, 415),
        (BULK_CONTENT_TYPE, String::new(), 1_005, 400),
        (BULK_CONTENT_TYPE, "abcdefgh".to_owned(), 1_005, 400),
        (BULK_CONTENT_TYPE, "\0".repeat(BULK_BYTES_MAX + 1), 1_003, 413),
        (BULK_CONTENT_TYPE, "\0".repeat(4 * 4_097), 1_003, 413),
    ];
    for (content_type, body, code, status) in cases {
        let shown = body.get(..body.len().min(60)).unwrap_or_default().to_owned();
        let answer = post(&router, content_type, body).await;
        assert_eq!((answer.error().code, answer.status.as_u16()), (code, status), "{content_type} {shown}");
    }
    let untyped = Request::post(api::path::TRANSACTIONS).body(Body::from(hex(&[0]))).unwrap();
    assert_eq!(send(&router, untyped).await.error().code, 1_004);
}

#[tokio::test]
async fn many_are_answered_one_by_one() {
    let mut bank = Bank::new();
    bank.story();
    let (one, two) = (bank.customer(1), bank.customer(2));
    let (good, poor) = (bank.pay(&one, &two, 5), bank.pay(&two, &one, 4_999_999));
    let known = bank.pay(&one, &two, 6);
    bank.execute(vec![known.clone()], false);
    let encoded = [good.encode(), vec![1, 2, 3], poor.encode(), known.encode(), vec![]];
    let many = encode_body(encoded.iter().map(Vec::as_slice)).unwrap();
    let request = |accept: &str| {
        let request = Request::post(api::path::TRANSACTIONS).header(header::CONTENT_TYPE, BULK_CONTENT_TYPE);
        request.header(header::ACCEPT, accept).body(Body::from(many.clone())).unwrap()
    };
    let router = bank.router();
    let (binary, pooled) = tokio::join!(send(&router, request(BULK_CONTENT_TYPE)), bank.pool());
    assert_eq!(pooled.len(), 1);
    assert_eq!(
        (binary.status, binary.headers["content-type"].as_bytes()),
        (StatusCode::OK, BULK_CONTENT_TYPE.as_bytes())
    );
    let codes: Vec<_> =
        decode_answers(&binary.body, 5).unwrap().iter().map(|answer| (answer.status, answer.code)).collect();
    let refused = SubmitStatus::Refused;
    let expected = [
        (SubmitStatus::Accepted, 0),
        (refused, 1_103),
        (refused, 11_205),
        (SubmitStatus::AlreadyKnown, 0),
        (refused, 1_103),
    ];
    assert_eq!(codes, expected);

    let json: Vec<SubmitAnswer> = send(&router, request("*/*")).await.json();
    assert_eq!(json[0].status, SubmitStatus::AlreadyKnown, "taken in a moment ago");
    assert_eq!(json[2].id, Some(poor.id(bank.genesis)));
    assert!(json[2].error.as_ref().unwrap().mend.contains("fund"));
}

/// What is under way is bounded by weight before signatures are checked: part of a body finds no place, then whole bodies and single ones
/// are told when to come back, but for a bid with a tip, and what leaves makes room.
#[tokio::test]
async fn an_overloaded_node_says_when_to_come_back() {
    const LANES: u16 = 16;
    const OF_A_LANE: u64 = 40;
    let mut bank = Bank::new();
    let story = bank.story();
    let (own, valid_until) = (bank.bank(), TimestampMs(wall_clock().0 + 60_000));
    let payments = || vec![Payment { payee: story.one.id, amount: Amount::from_fen(1) }; PAYMENTS_MAX];
    let heavy = |lane: u16, sequence: u64| {
        let operation = Operation::Pay { payments: payments() };
        bank.sign_at(&own, Nonce { lane, sequence }, valid_until, operation).encode()
    };
    // Above what the story has used.
    let bodies: Vec<Vec<u8>> = (0..LANES)
        .flat_map(|lane| (11..11 + OF_A_LANE).map(move |number| (lane, number)))
        .map(|(lane, number)| heavy(lane, number))
        .collect();
    let many = encode_body(bodies.iter().map(Vec::as_slice)).unwrap();
    let router = bank.router();
    let bulk = async |body: Vec<u8>| {
        let request = Request::post(api::path::TRANSACTIONS)
            .header(header::CONTENT_TYPE, BULK_CONTENT_TYPE)
            .header(header::ACCEPT, BULK_CONTENT_TYPE);
        send(&router, request.body(Body::from(body)).unwrap()).await
    };

    let (answer, taken) = tokio::join!(bulk(many), bank.pool());
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (StatusCode::OK, true));
    let answers = decode_answers(&answer.body, bodies.len()).unwrap();
    let found = answers.iter().take_while(|answer| answer.status == SubmitStatus::Accepted).count();
    assert!((1..bodies.len()).contains(&found), "{found} of {}", bodies.len());
    assert!(answers[found..].iter().all(|answer| answer.code == 1_306), "{answers:?}");
    assert_eq!(taken.len(), found);

    let rest = encode_body(bodies[found..].iter().map(Vec::as_slice)).unwrap();
    let refused = bulk(rest).await;
    let payment = bank.pay(&story.one, &story.two, 5);
    for answer in [refused, submit(&bank, &payment).await] {
        let error = answer.error();
        assert_eq!((answer.status.as_u16(), error.code, error.is_transient), (429, 1_306, true), "{error}");
        let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert_eq!(Some(seconds), error.retry_after_ms.map(|ms| ms.div_ceil(1_000)));
    }
    let known = bulk(encode_body([bodies[0].as_slice()]).unwrap()).await;
    assert_eq!(decode_answers(&known.body, 1).unwrap()[0].status, SubmitStatus::AlreadyKnown);

    let tip = FeeBid { fee_max: Amount::from_fen(2), tip: Amount::from_fen(2), ..FeeBid::default() };
    let operation =
        Operation::Pay { payments: vec![Payment { payee: story.two.id, amount: Amount::from_fen(5) }] };
    let urgent = bank.content(&story.one, tip, operation).signed_by(bank.genesis, &story.one.secret);
    assert_eq!(accepted(&mut bank, &urgent).await.status, StatusCode::ACCEPTED);

    let ids: Vec<_> = taken.iter().map(|transaction| transaction.id(bank.genesis)).collect();
    bank.admission.settle(&ids);
    assert_eq!(accepted(&mut bank, &payment).await.status, StatusCode::ACCEPTED);
}

/// What came in while weight was free and bids nothing keeps nobody out once weight has a price: it waits for a lower one.
#[tokio::test]
async fn who_is_outpriced_gives_way() {
    let mut bank = crowded();
    let story = bank.story();
    let (own, valid_until) = (bank.bank(), TimestampMs(wall_clock().0 + 60_000));
    let payments = || vec![Payment { payee: story.one.id, amount: Amount::from_fen(1) }; PAYMENTS_MAX];
    let heavy = |lane: u16, sequence: u64| {
        bank.sign_at(&own, Nonce { lane, sequence }, valid_until, Operation::Pay { payments: payments() })
            .encode()
    };
    let bodies: Vec<Vec<u8>> = (0..16)
        .flat_map(|lane| (11..51).map(move |number| (lane, number)))
        .map(|(lane, number)| heavy(lane, number))
        .collect();
    let many = encode_body(bodies.iter().map(Vec::as_slice)).unwrap();
    let router = bank.router();
    let request = Request::post(api::path::TRANSACTIONS)
        .header(header::CONTENT_TYPE, BULK_CONTENT_TYPE)
        .header(header::ACCEPT, BULK_CONTENT_TYPE)
        .body(Body::from(many))
        .unwrap();
    let (answer, taken) = tokio::join!(send(&router, request), bank.pool());
    assert!(answer.status == StatusCode::OK && !taken.is_empty() && taken.len() < bodies.len());
    let offer = FeeBid { fee_max: Amount::from_fen(10_000), ..FeeBid::default() };
    let operation =
        || Operation::Pay { payments: vec![Payment { payee: story.two.id, amount: Amount::from_fen(5) }] };
    let payment = bank.content(&story.one, offer, operation()).signed_by(bank.genesis, &story.one.secret);
    assert_eq!(submit(&bank, &payment).await.error().code, 1_306, "the door is full");
    crowd(&mut bank);
    assert_eq!(accepted(&mut bank, &payment).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_chain_that_cannot_seal_takes_nothing() {
    let mut bank = Bank::new();
    let issue = bank.issue(5);
    for (voting, halt, code, status, returns) in [
        (Voting::DiskReserve, None, 1_502, 503, true),
        (Voting::Observer, None, 1_501, 503, true),
        (Voting::Rejoining, None, 1_501, 503, true),
        (Voting::Halted, Some(HaltCode::Diverged), 1_503, 503, false),
    ] {
        bank.status.send_modify(|status| (status.voting, status.halt) = (voting, halt));
        let answer = submit(&bank, &issue).await;
        assert_eq!((answer.error().code, answer.status.as_u16()), (code, status), "{voting:?}");
        assert_eq!(answer.headers.contains_key("retry-after"), returns, "{voting:?}");
    }
}

#[tokio::test]
async fn a_client_waits_until_the_outcome_is_certified() {
    let mut bank = Bank::new();
    let issue = bank.issue(500);
    let id = issue.id(bank.genesis);
    accepted(&mut bank, &issue).await;
    let (router, path) = (bank.router(), api::path::transaction(id));
    let until_final = tokio::spawn({
        let (router, path) = (router.clone(), format!("{path}?wait=final&timeout_ms=20000"));
        async move { get(&router, &path).await.json::<TransactionStatus>() }
    });
    let until_certified = tokio::spawn({
        let (router, path) = (router.clone(), format!("{path}?wait=certified&timeout_ms=20000"));
        async move { get(&router, &path).await.json::<TransactionStatus>() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!until_final.is_finished() && !until_certified.is_finished());
    bank.execute(Vec::new(), false);
    bank.execute(vec![issue], false);
    assert_eq!(until_final.await.unwrap().status, TransactionState::Final);
    assert!(!until_certified.is_finished());
    bank.execute(Vec::new(), true);
    let status = until_certified.await.unwrap();
    assert_eq!((status.status, status.height), (TransactionState::Certified, Some(2)));
    let at_once: TransactionStatus = get(&router, &format!("{path}?wait=certified")).await.json();
    assert_eq!(at_once.status, TransactionState::Certified);
}

#[tokio::test]
async fn waiting_ends_when_nothing_will_come() {
    let mut bank = Bank::new();
    let issue = bank.issue(500);
    let (id, router) = (issue.id(bank.genesis), bank.router());
    let path = api::path::transaction(id);
    let started = Instant::now();
    let unknown = get(&router, &format!("{path}?wait=final&timeout_ms=60")).await.error();
    assert_eq!((unknown.code, unknown.is_transient), (1_402, true));
    assert!(unknown.message.contains("until the node restarts"), "what is forgotten is said: {unknown}");
    assert!(unknown.mend.contains("harmless") && unknown.mend.contains("expired"), "{unknown}");
    assert!(started.elapsed() >= Duration::from_millis(60));
    accepted(&mut bank, &issue).await;
    let late: TransactionStatus = get(&router, &format!("{path}?wait=final&timeout_ms=30")).await.json();
    assert_eq!(late.status, TransactionState::Pending);
    // Ordered, but it consumed no nonce: it leaves the pending ones and no outcome comes.
    let waiting = tokio::spawn({
        let (router, path) = (router.clone(), format!("{path}?wait=certified&timeout_ms=20000"));
        async move { get(&router, &path).await.json::<TransactionStatus>() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    bank.admission.depart([(&id, Some(Reason::NotExecuted(NotExecuted::WalletUnknown {})))]);
    bank.execute(Vec::new(), false);
    let status = waiting.await.unwrap();
    let reason = status.error.map(|error| error.name);
    assert_eq!((status.status, reason.as_deref()), (TransactionState::NotExecuted, Some("wallet_unknown")));
}

#[tokio::test]
async fn what_ran_out_of_time_is_expired_once_no_block_can_take_it() {
    let mut bank = Bank::new();
    let (holder, to) = (bank.central_bank(), bank.bank().id);
    let (nonce, amount) = (Nonce { lane: 0, sequence: 1 }, Amount::from_fen(5));
    let valid_until = TimestampMs(wall_clock().0 + 200);
    let issue = bank.sign_at(&holder, nonce, valid_until, Operation::Issue { to, amount });
    let (id, router) = (issue.id(bank.genesis), bank.router());
    let path = api::path::transaction(id);
    accepted(&mut bank, &issue).await;
    let waiting = tokio::spawn({
        let (router, path) = (router.clone(), format!("{path}?wait=certified&timeout_ms=20000"));
        async move { get(&router, &path).await.json::<TransactionStatus>() }
    });
    tokio::time::sleep(Duration::from_millis(250)).await;
    // The node lets go of it, but a block with an earlier time could still come.
    bank.admission.expire(wall_clock());
    let seen: TransactionStatus = get(&router, &path).await.json();
    assert_eq!(seen.status, TransactionState::Pending);
    assert!(!waiting.is_finished());
    bank.execute_after(61_000, Vec::new(), false);
    let expired: TransactionStatus = get(&router, &path).await.json();
    let error = expired.error.clone().unwrap();
    assert_eq!((expired.status, expired.chain, expired.height), (TransactionState::Expired, Some(0), None));
    assert_eq!((error.code, error.mend.as_str()), (11_003, "sign anew with a later valid_until"));
    assert_eq!(waiting.await.unwrap(), expired, "whoever waits is told at once");
    // Sent again it is refused for the same reason.
    assert_eq!(submit(&bank, &issue).await.error().code, 11_003);
}

#[tokio::test]
async fn what_lost_its_place_to_a_higher_bid_is_told() {
    let mut bank = Bank::new();
    let issue = bank.issue(500);
    let (id, router) = (issue.id(bank.genesis), bank.router());
    accepted(&mut bank, &issue).await;
    bank.admission.depart([(&id, Some(Reason::Outbid))]);
    let status: TransactionStatus = get(&router, &api::path::transaction(id)).await.json();
    let error = status.error.unwrap();
    assert_eq!((status.status, error.code), (TransactionState::NotExecuted, 1_106));
    assert!(error.is_transient && error.mend.contains("send it again"), "{error}");
    // And it may be.
    assert_eq!(accepted(&mut bank, &issue).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_was_ordered_in_time_is_never_called_expired() {
    let mut bank = Bank::new();
    let issue = bank.issue(500);
    let (id, router) = (issue.id(bank.genesis), bank.router());
    accepted(&mut bank, &issue).await;
    bank.execute(vec![issue], false);
    bank.execute_after(1_000_000, Vec::new(), true);
    bank.admission.expire(TimestampMs(u64::MAX));
    let status: TransactionStatus = get(&router, &api::path::transaction(id)).await.json();
    assert_eq!(status.status, TransactionState::Certified);
    // A copy of it that a block orders in vain changes nothing.
    bank.admission.depart([(&id, Some(Reason::NotExecuted(NotExecuted::WalletUnknown {})))]);
    let status: TransactionStatus = get(&router, &api::path::transaction(id)).await.json();
    assert_eq!(status.status, TransactionState::Certified);
}
