//! Locks and offers: what a chain has of them, when that is certified, and what their transactions say of them.

use api::lock::{LockRole, LockStateName, LockView, LocksPage};
use api::transaction::{OperationView, SubmitRequest, TransactionState, TransactionStatus};
use api::wallet::{HistoryPage, MovementName, WalletView};
use axum::Router;
use ledger::proofs::{Fact, ProofFile};
use ledger::records::lock::expiry_id;
use ledger::records::{Asked, LockState, Operation, Record, Rejection, Transaction};
use ledger::state::head::GRACE_HEIGHTS;
use ledger::values::hash::sha256;
use ledger::values::{Amount, Canonical as _, ChainId, LockId, RecordId, TimestampMs, WalletId};

use super::bank::{Bank, CHAIN, Holder};
use super::{get, post, refusal};
use crate::admission::wall_clock;

const PREIMAGE: [u8; 32] = [7; 32];

/// A bank with money in two customers' wallets, and a deadline a minute ahead.
fn funded() -> (Bank, Holder, Holder, TimestampMs) {
    let mut bank = Bank::new();
    let story = bank.story();
    let deadline = TimestampMs(bank.network.spec.timestamp.0 + 60_000);
    (bank, story.one, story.two, deadline)
}

fn lock(bank: &mut Bank, from: &Holder, to: &Holder, deadline: TimestampMs) -> (Transaction, LockId) {
    let (payee, amount, hash) = (to.id, Amount::from_fen(1_205), sha256(&PREIMAGE));
    let transaction = bank.sign(from, Operation::Lock { payee, amount, hash, deadline });
    let id = LockId::of(transaction.id(bank.genesis));
    (transaction, id)
}

async fn view(router: &Router, id: LockId) -> LockView {
    get(router, &api::path::lock(CHAIN, id)).await.json()
}

async fn status(router: &Router, transaction: &Transaction, bank: &Bank) -> TransactionStatus {
    get(router, &api::path::transaction(transaction.id(bank.genesis))).await.json()
}

async fn balance(router: &Router, holder: &Holder) -> u64 {
    let view: WalletView = get(router, &api::path::wallet(holder.id)).await.json();
    view.balance_fen
}

#[tokio::test]
async fn a_lock_is_shown_from_its_first_block_and_certified_with_the_next() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let (made, id) = lock(&mut bank, &one, &two, deadline);
    let before = balance(&router, &one).await;
    let height = bank.execute(vec![made.clone()], false);
    let open = view(&router, id).await;
    assert_eq!((open.id, open.chain, open.height, open.role), (id, 0, height.0, LockRole::HashLock));
    assert_eq!((open.state, open.is_certified, open.decision.is_none()), (LockStateName::Open, false, true));
    assert_eq!((open.locked.payer, open.locked.payee), (one.id, two.id));
    assert_eq!((open.locked.amount_fen, open.locked.amount.as_str()), (1_205, "12.05"));
    assert_eq!((open.locked.currency.to_string(), open.deadline_ms), ("CNY".to_owned(), deadline.0));
    assert_eq!(open.hash, Some(const_hex::encode(sha256(&PREIMAGE))));
    assert_eq!(balance(&router, &one).await, before - 1_205);
    bank.execute(Vec::new(), true);
    assert!(view(&router, id).await.is_certified, "a block claims the result of its height");
    // The money is not under way: it waits for whoever has the preimage.
    let told = status(&router, &made, &bank).await;
    assert!(told.is_settled() && told.lock.as_ref().is_some_and(|lock| lock.id == id), "{told:?}");

    let claim = bank.sign(&two, Operation::Claim { lock: id, preimage: PREIMAGE });
    let had = balance(&router, &two).await;
    bank.execute(vec![claim.clone()], false);
    let claimed = view(&router, id).await;
    assert_eq!((claimed.state, claimed.is_certified), (LockStateName::Settled, false));
    assert_eq!(claimed.preimage, Some(const_hex::encode(PREIMAGE)));
    assert!(claimed.decision.as_ref().is_some_and(|decision| decision.is_settled && decision.code == 0));
    assert_eq!(balance(&router, &two).await, had + 1_205);
    bank.execute(Vec::new(), true);
    assert!(view(&router, id).await.is_over());
    let told = status(&router, &claim, &bank).await;
    assert!(matches!(told.transaction.unwrap().operation, OperationView::Claim { lock, .. } if lock == id));
    assert_eq!(told.lock.map(|lock| (lock.id, lock.state)), Some((id, LockStateName::Settled)));
    let page: HistoryPage = get(&router, &api::path::wallet_history(one.id)).await.json();
    assert_eq!((page.entries[0].kind, page.entries[0].lock), (MovementName::Locked, Some(id)));
    let page: HistoryPage = get(&router, &api::path::wallet_history(two.id)).await.json();
    assert_eq!((page.entries[0].kind, page.entries[0].amount_fen), (MovementName::Settled, 1_205));
}

#[tokio::test]
async fn a_lock_that_nobody_claims_comes_back_and_says_why() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let (made, id) = lock(&mut bank, &one, &two, deadline);
    let before = balance(&router, &one).await;
    bank.execute(vec![made], false);
    // Past the deadline, and then as many heights as the stall grace wants.
    bank.execute_after(60_001, Vec::new(), false);
    for _ in 0..GRACE_HEIGHTS {
        assert_eq!(view(&router, id).await.state, LockStateName::Open);
        bank.execute(Vec::new(), true);
    }
    bank.execute(Vec::new(), true);
    let returned = view(&router, id).await;
    assert_eq!(returned.state, LockStateName::Returned);
    let decision = returned.decision.unwrap();
    assert_eq!((decision.is_settled, decision.code), (false, Rejection::LockExpired.code()));
    assert_eq!(balance(&router, &one).await, before);
    // The expiry has an outcome under an id of its own, like a transaction.
    let path = api::path::transaction(expiry_id(bank.genesis, CHAIN, id));
    let told: TransactionStatus = get(&router, &path).await.json();
    assert!(told.outcome.is_some_and(|outcome| outcome.is_applied) && told.transaction.is_none());
    assert_eq!(refusal(&router, &format!("{path}/proof")).await.0, 1_413, "the record proves it");
}

#[tokio::test]
async fn the_open_locks_of_a_wallet_are_listed_in_pages() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let (first, first_id) = lock(&mut bank, &one, &two, deadline);
    let (second, second_id) = lock(&mut bank, &one, &two, deadline);
    bank.execute(vec![first, second], false);
    let page = async |bank: &Bank, id: WalletId, query: &str| {
        let path = format!("{}{query}", api::path::wallet_locks(id));
        let (answer, ()) = tokio::join!(get(&router, &path), bank.answer_question());
        answer.json::<LocksPage>()
    };
    let ids = |page: &LocksPage| page.locks.iter().map(|lock| lock.id).collect::<Vec<_>>();
    for holder in [&one, &two] {
        let all = page(&bank, holder.id, "").await;
        assert_eq!((all.wallet, all.chain, all.next), (holder.id, 0, None));
        assert_eq!(ids(&all), [first_id, second_id]);
    }
    let half = page(&bank, two.id, "?limit=1").await;
    assert_eq!(ids(&half), [first_id]);
    let rest = page(&bank, two.id, &format!("?limit=1&from={}", half.next.unwrap())).await;
    assert_eq!((ids(&rest), rest.next), (vec![second_id], None));
    let claim = bank.sign(&two, Operation::Claim { lock: first_id, preimage: PREIMAGE });
    bank.execute(vec![claim], false);
    assert_eq!(ids(&page(&bank, two.id, "").await), [second_id], "what is over is not listed");
    let central = bank.central_bank().id;
    assert!(page(&bank, central, "?chain=0").await.locks.is_empty());
    let path = api::path::wallet_locks(WalletId([9; 32]));
    assert_eq!(refusal(&router, &format!("{path}?chain=0")).await.0, 1_403);
    assert_eq!(refusal(&router, &format!("{path}?limit=201")).await.0, 1_002);
}

#[tokio::test]
async fn what_a_lock_is_convinces_with_the_genesis_spec_alone() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let (made, id) = lock(&mut bank, &one, &two, deadline);
    let path = api::path::lock_proof(CHAIN, id);
    assert_eq!(refusal(&router, &path).await, (1_412, Some("id".to_owned())));
    bank.execute(vec![made], false);
    let claim = bank.sign(&two, Operation::Claim { lock: id, preimage: PREIMAGE });
    for (claimed, transactions) in [(false, Vec::new()), (true, vec![claim])] {
        let height = bank.execute(transactions, false);
        let asked = tokio::spawn({
            let (router, path) = (router.clone(), path.clone());
            async move { get(&router, &path).await }
        });
        bank.answer_question().await;
        bank.execute(Vec::new(), true);
        let file = ProofFile::decode(&asked.await.unwrap().body).unwrap();
        let proven = file.verify(&bank.network.spec).unwrap();
        assert_eq!((proven.chain, proven.height), (CHAIN, height));
        let lock = match proven.fact {
            Fact::Lock { record: Record::Lock(lock) } => lock,
            other => panic!("{other:?}"),
        };
        assert_eq!((lock.id, lock.payer, lock.payee, lock.amount.fen()), (id, one.id, two.id, 1_205));
        let expected =
            if claimed { LockState::Settled { preimage: Some(PREIMAGE) } } else { LockState::Open };
        assert_eq!(lock.state, expected);
    }
}

#[tokio::test]
async fn an_offer_is_not_settled_while_the_other_chain_has_not_decided() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let asked = Asked { payer: WalletId([8; 32]), payee: WalletId([9; 32]), amount: Amount::from_fen(990) };
    let (payee, amount, chain) = (two.id, Amount::from_fen(1_000), ChainId(1));
    let offer = bank.sign(&one, Operation::Exchange { payee, amount, chain, asked, deadline });
    bank.execute(vec![offer.clone()], false);
    bank.execute(Vec::new(), true);
    let path = api::path::transaction(offer.id(bank.genesis));
    let told: TransactionStatus = get(&router, &format!("{path}?wait=settled&timeout_ms=100")).await.json();
    assert_eq!((told.status, told.is_settled()), (TransactionState::Certified, false));
    let lock = told.lock.unwrap();
    assert_eq!(
        (lock.role, lock.state, lock.is_certified),
        (LockRole::ExchangeLock, LockStateName::Open, true)
    );
    let wanted = lock.asked.unwrap();
    assert_eq!((wanted.chain, wanted.payer, wanted.payee), (1, asked.payer, asked.payee));
    assert_eq!((wanted.amount.as_str(), wanted.currency.to_string()), ("9.90", "USD".to_owned()));
    // Withdrawn, it stays open here until the chain that decides has answered.
    let withdraw = bank.sign(&one, Operation::Withdraw { lock: lock.id });
    bank.execute(vec![withdraw.clone()], false);
    let told = status(&router, &withdraw, &bank).await;
    assert_eq!(
        told.lock.map(|lock| (lock.role, lock.state)),
        Some((LockRole::ExchangeLock, LockStateName::Open))
    );
}

#[tokio::test]
async fn locks_that_are_not_here_are_refused() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let (made, id) = lock(&mut bank, &one, &two, deadline);
    let unknown = api::path::lock(CHAIN, id);
    assert_eq!(refusal(&router, &unknown).await, (1_412, Some("id".to_owned())));
    bank.execute(vec![made], false);
    assert_eq!(get(&router, &unknown).await.status, 200);
    // A wallet's id is no lock's, in either text.
    assert_eq!(
        refusal(&router, &format!("/v1/chains/0/locks/{}", one.id)).await,
        (1_002, Some("id".to_owned()))
    );
    let disguised = api::path::lock(CHAIN, LockId(one.id.0));
    assert_eq!(refusal(&router, &disguised).await.0, 1_412);
    for bytes in [id.0, RecordId::from(id).0] {
        let disguised = format!("{}?chain=0", api::path::wallet(WalletId(bytes)));
        assert_eq!(refusal(&router, &disguised).await.0, 1_403, "and a lock's is no wallet's");
    }
    assert_eq!(refusal(&router, &api::path::lock(ChainId(1), id)).await, (1_405, Some("chain".to_owned())));
    assert_eq!(refusal(&router, &api::path::lock(ChainId(7), id)).await, (1_404, Some("chain".to_owned())));
}

/// The trial execution reads locks: what cannot be is refused at the door, with the field that it is about.
#[tokio::test]
async fn what_cannot_be_claimed_or_locked_is_refused_at_the_door() {
    let (mut bank, one, two, deadline) = funded();
    let router = bank.router();
    let (made, id) = lock(&mut bank, &one, &two, deadline);
    bank.execute(vec![made], false);
    let (payee, amount, hash) = (two.id, Amount::from_fen(100), [1; 32]);
    let now = bank.network.spec.timestamp;
    // The door looks at the clock, which is ahead of the bank's last block.
    let in_an_hour = TimestampMs(wall_clock().0 + 3_600_000);
    let asked = Asked { payer: WalletId([8; 32]), payee: WalletId([9; 32]), amount };
    let exchange = |chain| Operation::Exchange { payee, amount, chain: ChainId(chain), asked, deadline };
    let cases = [
        (
            &two,
            Operation::Claim { lock: id, preimage: [8; 32] },
            Rejection::PreimageWrong,
            "operation.preimage",
        ),
        (
            &two,
            Operation::Claim { lock: LockId([5; 32]), preimage: PREIMAGE },
            Rejection::LockUnknown,
            "operation.lock",
        ),
        (&one, Operation::Claim { lock: id, preimage: PREIMAGE }, Rejection::SignerNotLockPayee, "wallet"),
        (&one, Operation::Withdraw { lock: id }, Rejection::LockKindOther, "operation.lock"),
        (&one, Operation::Decline { offer: id }, Rejection::OfferUnknown, "operation.offer"),
        (
            &one,
            Operation::Lock { payee, amount, hash, deadline: now },
            Rejection::DeadlineTooNear,
            "operation.deadline",
        ),
        (
            &one,
            Operation::Lock { payee, amount: Amount::from_fen(99), hash, deadline: in_an_hour },
            Rejection::LockAmountTooSmall,
            "operation.amount",
        ),
        (&one, exchange(9), Rejection::ChainUnknown, "operation.chain"),
        (&one, exchange(0), Rejection::SameCurrency, "operation.chain"),
    ];
    for (holder, operation, reason, field) in cases {
        let transaction = bank.sign(holder, operation);
        let body = serde_json::to_vec(&SubmitRequest::new(&transaction)).unwrap();
        let error = post(&router, "application/json", body).await.error();
        assert_eq!(error.ledger_code(), Some(reason.code()), "{error}");
        assert_eq!(error.field.as_deref(), Some(field), "{error}");
    }
    // The right preimage from the right wallet passes.
    let claim = bank.sign(&two, Operation::Claim { lock: id, preimage: PREIMAGE });
    let body = serde_json::to_vec(&SubmitRequest::new(&claim)).unwrap();
    let (answer, pooled) = tokio::join!(post(&router, "application/json", body), bank.pool());
    assert_eq!((answer.status.as_u16(), pooled.len()), (202, 1));
}
