//! What is tried out is what happens: the same verdict, fee and balance, and nothing is taken in.

use api::fees::{SimulateRequest, Simulation, Would};
use api::transaction::TransactionStatus;
use api::wallet::WalletView;
use axum::Router;
use ledger::records::{FeeBid, Operation, Payment, Sponsor, Transaction, TransactionContent};
use ledger::rules::transaction_weight;
use ledger::values::hash::sha256;
use ledger::values::{Amount, ChainId, LockId, OperatorId, Signature, TimestampMs, WalletId};

use super::bank::{Bank, Holder};
use super::fees::{crowd, crowded};
use super::{get, post_to};
use crate::http::submit::JSON_BYTES_MAX;

const JSON: &str = "application/json";

async fn ask(router: &Router, request: &SimulateRequest) -> super::Answer {
    post_to(router, api::path::SIMULATE, JSON, serde_json::to_vec(request).unwrap()).await
}

async fn of_content(router: &Router, content: &TransactionContent) -> Simulation {
    ask(router, &SimulateRequest::unsigned(content)).await.json()
}

async fn of_signed(router: &Router, transaction: &Transaction) -> Simulation {
    ask(router, &SimulateRequest::signed(transaction)).await.json()
}

async fn wallet(router: &Router, holder: &Holder) -> WalletView {
    get(router, &format!("{}?chain=0", api::path::wallet(holder.id))).await.json()
}

fn bid(fee_max: u64, tip: u64) -> FeeBid {
    FeeBid {
        fee_max: Amount::from_fen(fee_max),
        tip: Amount::from_fen(tip),
        operator: OperatorId(2),
        sponsor: None,
    }
}

fn pay(to: &Holder, fen: u64) -> Operation {
    Operation::Pay { payments: vec![Payment { payee: to.id, amount: Amount::from_fen(fen) }] }
}

/// Tries content out unsigned and signed, executes it, and compares. It is applied or rejected.
async fn comes_true(bank: &mut Bank, holder: &Holder, content: TransactionContent) -> Simulation {
    let router = bank.router();
    let before = wallet(&router, holder).await;
    let told = of_content(&router, &content).await;
    let signed = content.signed_by(bank.genesis, &holder.secret);
    assert_eq!(of_signed(&router, &signed).await, told, "signed or not");
    assert_eq!((told.id, told.weight), (signed.id(bank.genesis), transaction_weight(&signed)));
    let limits = told.limits.unwrap();
    assert_eq!(limits.balance_fen, before.balance_fen);
    assert_eq!(usize::from(limits.lanes), before.lanes.len());
    assert_eq!(limits.next_sequence, before.lanes[0].next);
    assert!(told.expected.final_s_p50 > 0.0 && told.expected.final_s_p95 >= told.expected.final_s_p50);
    bank.execute(vec![signed], false);
    let status: TransactionStatus = get(&router, &api::path::transaction(told.id)).await.json();
    let after = wallet(&router, holder).await;
    assert_eq!(after.balance_fen, limits.balance_after_fen, "{told:?}");
    let outcome = status.outcome.unwrap();
    assert_eq!(outcome.is_applied, told.would == Would::Applied, "{told:?}");
    assert_eq!(
        told.refusal.as_ref().map_or(0, |error| error.code),
        match outcome.code {
            0 => 0,
            code => api::code::LEDGER_CODES + u32::from(code),
        }
    );
    assert_eq!(status.fee_fen, Some(told.fee_fen));
    told
}

#[tokio::test]
async fn every_operation_moves_what_was_told() {
    let mut bank = Bank::new();
    let story = bank.story();
    let (one, two, own, central) = (story.one, story.two, bank.bank(), bank.central_bank());
    let deadline = TimestampMs(bank.network.spec.timestamp.0 + 600_000);
    let (amount, preimage) = (Amount::from_fen(1_205), [7; 32]);
    let lock = Operation::Lock { payee: two.id, amount, hash: sha256(&preimage), deadline };
    let operations = [
        (&one, pay(&two, 45)),
        (&one, lock),
        (&central, Operation::Issue { to: own.id, amount }),
        (&own, Operation::Redeem { amount }),
    ];
    let mut locked = None;
    for (holder, operation) in operations {
        let is_lock = matches!(operation, Operation::Lock { .. });
        let content = bank.content(holder, FeeBid::default(), operation);
        let told = comes_true(&mut bank, holder, content).await;
        assert_eq!((told.would, told.fee_fen, &told.refusal), (Would::Applied, 0, &None), "{told:?}");
        locked = locked.or(is_lock.then(|| LockId::of(told.id)));
    }
    let claim = Operation::Claim { lock: locked.unwrap(), preimage };
    let content = bank.content(&two, FeeBid::default(), claim);
    let told = comes_true(&mut bank, &two, content).await;
    let limits = told.limits.unwrap();
    assert_eq!(limits.balance_after_fen, limits.balance_fen + amount.fen());

    // The tier's limits, as its parameters have them.
    assert_eq!((limits.payment_max_fen, limits.balance_max_fen), (Some(5_000_000), Some(50_000_000)));
    let content = bank.content(&two, FeeBid::default(), pay(&one, 4_999_999));
    let told = comes_true(&mut bank, &two, content).await;
    let refusal = told.refusal.unwrap();
    assert_eq!((told.would, refusal.code), (Would::Rejected, 11_205));
    assert_eq!(refusal.field.as_deref(), Some("operation.payments.amount"));
    assert!(bank.submissions.try_recv().is_err(), "nothing of it reached the pool");
}

#[tokio::test]
async fn what_it_costs_is_what_is_charged() {
    let mut bank = crowded();
    let story = bank.story();
    let (one, two) = (story.one, story.two);
    crowd(&mut bank);
    let router = bank.router();
    // A fen per unit of weight. Nothing is bid: it would wait.
    let content = bank.content(&one, FeeBid::default(), pay(&two, 345));
    let poor = of_content(&router, &content).await;
    let (refusal, limits) = (poor.refusal.unwrap(), poor.limits.unwrap());
    assert_eq!((poor.would, refusal.code), (Would::NotExecuted, 11_013));
    assert_eq!((refusal.field.as_deref(), poor.fee_fen), (Some("fee.fee_max"), 0));
    assert_eq!(limits.balance_after_fen, limits.balance_fen);

    // The same nonce, with a bid.
    let content = TransactionContent { fee: bid(9_000, 10), ..content };
    let before = wallet(&router, &one).await.balance_fen;
    let told = comes_true(&mut bank, &one, content).await;
    assert_eq!((told.would, told.fee_fen), (Would::Applied, told.weight + 10));
    assert_eq!(wallet(&router, &one).await.balance_fen, before - 345 - told.fee_fen);

    // What is rejected costs as well.
    crowd_again(&mut bank);
    let content = bank.content(&one, bid(9_000, 0), pay(&two, 4_999_999));
    let told = comes_true(&mut bank, &one, content).await;
    assert_eq!((told.would, told.refusal.unwrap().code), (Would::Rejected, 11_205));
    assert!(told.fee_fen > 0);
}

/// One more block above the target, at a base fee that has fallen to zero: the wallets of the first crowd are paid a fen each.
fn crowd_again(bank: &mut Bank) {
    let own = bank.bank();
    let payment = |number: u8| Payment { payee: bank.customer(number).id, amount: Amount::from_fen(1) };
    let payments: Vec<Payment> = (100..=163).map(payment).collect();
    let paying = (0..2).map(|_| bank.sign(&own, Operation::Pay { payments: payments.clone() })).collect();
    bank.execute(paying, false);
}

#[tokio::test]
async fn a_sponsor_pays_and_signs() {
    let mut bank = crowded();
    let story = bank.story();
    let (one, two, three, own) = (story.one, story.two, bank.customer(3), bank.bank());
    crowd(&mut bank);
    let router = bank.router();
    let sponsor = Sponsor { wallet: own.id, policy: own.policy() };
    let fee = FeeBid { sponsor: Some(sponsor), ..bid(9_000, 0) };
    let content = bank.content(&one, fee, pay(&two, 345));
    let told = of_content(&router, &content).await;
    let limits = told.limits.unwrap();
    assert_eq!((told.would, told.fee_fen), (Would::Applied, told.weight), "{told:?}");
    assert_eq!(limits.balance_after_fen, limits.balance_fen - 345, "the sponsor pays the fee");
    let sponsored = content.sign_as_sponsor(bank.genesis, 0, &own.secret);
    let mut signed = content.signed_by(bank.genesis, &one.secret);
    signed.sponsor_signatures = vec![sponsored];
    assert_eq!(of_signed(&router, &signed).await, told);
    let mut forged = signed.clone();
    forged.sponsor_signatures[0].signature = forged.signatures[0].signature;
    let error = ask(&router, &SimulateRequest::signed(&forged)).await.error();
    assert_eq!((error.code, error.field.as_deref()), (11_055, Some("signatures")));

    // Another's policy, and no wallet.
    let with = |wallet: WalletId, holder: &Holder| {
        let sponsor = Sponsor { wallet, policy: holder.policy() };
        let fee = FeeBid { sponsor: Some(sponsor), ..bid(9_000, 0) };
        TransactionContent { fee, ..signed.content.clone() }
    };
    for (content, code, field) in [
        (with(own.id, &two), 11_015, "fee.sponsor.policy"),
        (with(WalletId([9; 32]), &own), 11_014, "fee.sponsor.wallet"),
    ] {
        let told = of_content(&router, &content).await;
        let refusal = told.refusal.unwrap();
        assert_eq!((told.would, refusal.code), (Would::NotExecuted, code));
        assert_eq!(refusal.field.as_deref(), Some(field));
    }
    // One that has less than the fee.
    let told = of_content(&router, &with(three.id, &three)).await;
    let refusal = told.refusal.unwrap();
    assert_eq!((told.would, told.fee_fen, refusal.code), (Would::Rejected, 0, 11_102));
    assert_eq!(refusal.field.as_deref(), Some("fee"));
}

#[tokio::test]
async fn a_wallet_that_is_not_here_has_no_limits() {
    let mut bank = Bank::new();
    let story = bank.story();
    let stranger = bank.customer(77);
    let content = bank.content(&stranger, FeeBid::default(), pay(&story.two, 5));
    let told = of_content(&bank.router(), &content).await;
    assert_eq!((told.would, told.limits, told.fee_fen), (Would::NotExecuted, None, 0));
    assert_eq!(told.refusal.unwrap().code, 11_005);
}

#[tokio::test]
async fn what_can_be_in_no_batch_is_refused_as_a_submission_is() {
    let mut bank = Bank::new();
    let story = bank.story();
    let router = bank.router();
    let good = bank.pay(&story.one, &story.two, 5);
    let change = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = good.clone();
        change(&mut transaction);
        SimulateRequest::signed(&transaction)
    };
    let empty = SimulateRequest::default();
    let both = SimulateRequest {
        content: SimulateRequest::unsigned(&good.content).content,
        ..SimulateRequest::signed(&good)
    };
    let hex = |text: &str| SimulateRequest { transaction: None, content: Some(text.to_owned()) };
    let low = change(&|transaction| transaction.content.nonce.sequence = 0);
    for (request, code, status, field) in [
        (change(&|found| found.content.network = [0; 4]), 11_052, 422, "network"),
        (change(&|found| found.content.chain = ChainId(9)), 11_053, 422, "chain"),
        (change(&|found| found.content.chain = ChainId(1)), 1_405, 421, "chain"),
        (change(&|found| found.content.valid_until.0 += 1), 11_055, 422, "signatures"),
        (change(&|found| found.signatures[0].signature = Signature([0; 64])), 11_055, 422, "signatures"),
        (empty, 1_001, 400, "body"),
        (both, 1_001, 400, "body"),
        (hex("xy"), 1_101, 400, "content"),
        (hex("00"), 1_103, 400, "content"),
        (low, 1_104, 400, "nonce.sequence"),
    ] {
        let answer = ask(&router, &request).await;
        let error = answer.error();
        assert_eq!((error.code, answer.status.as_u16()), (code, status), "{error}");
        assert_eq!(error.field.as_deref(), Some(field), "{error}");
    }
    for (content_type, body, code) in [
        (JSON, "{".to_owned(), 1_001),
        (JSON, "{\"transaction\":\"00\",\"fee\":1}".to_owned(), 1_001),
        (JSON, " ".repeat(JSON_BYTES_MAX + 1), 1_003),
        ("application/octet-stream", "\0".repeat(8), 1_004),
    ] {
        let answer = post_to(&router, api::path::SIMULATE, content_type, body).await;
        assert_eq!(answer.error().code, code, "{content_type}");
    }
    // Not signed yet, nobody's signature is missing.
    assert_eq!(of_content(&router, &good.content).await.would, Would::Applied);
    assert!(bank.submissions.try_recv().is_err(), "nothing of it reached the pool");
}
