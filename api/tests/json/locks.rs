//! Locks and offers.

use super::*;

#[test]
fn operations_about_locks() {
    let (five, deadline) = (Amount::from_fen(5), TimestampMs(9_000));
    let (lock, lock_text) = (LockId([9; 32]), LockId([9; 32]).to_string());
    let (payee, payee_text) = wallet(2);
    let check = |operation: Operation, expected: Value| check(&OperationView::new(&operation), expected);
    check(
        Operation::Lock { payee, amount: five, hash: [1; 32], deadline },
        json!({ "kind": "lock", "payee": payee_text, "amount_fen": 5, "hash": ONE, "deadline_ms": 9_000 }),
    );
    check(
        Operation::Claim { lock, preimage: [2; 32] },
        json!({ "kind": "claim", "lock": lock_text, "preimage": TWO }),
    );
    let asked = Asked { payer: wallet(3).0, payee: wallet(4).0, amount: Amount::from_fen(6) };
    check(
        Operation::Exchange { payee, amount: five, chain: ChainId(1), asked, deadline },
        json!({
            "kind": "exchange", "payee": payee_text, "amount_fen": 5, "chain": 1, "deadline_ms": 9_000,
            "asked": { "payer": wallet(3).1, "payee": wallet(4).1, "amount_fen": 6 },
        }),
    );
    check(
        Operation::Accept {
            offer: lock,
            payee,
            amount: five,
            receives: Amount::from_fen(7),
            source: ChainId(1),
            to: wallet(3).0,
        },
        json!({
            "kind": "accept", "offer": lock_text, "payee": payee_text, "amount_fen": 5, "receives_fen": 7, "source": 1,
            "to": wallet(3).1,
        }),
    );
    check(Operation::Decline { offer: lock }, json!({ "kind": "decline", "offer": lock_text }));
    check(Operation::Withdraw { lock }, json!({ "kind": "withdraw", "lock": lock_text }));
    assert!(lock_text.starts_with("jzl1"));
}

fn currency_of(chain: ChainId) -> Option<Currency> {
    Some(if chain == ChainId(0) { Currency(*b"CNY") } else { Currency(*b"HKD") })
}

fn lock_moment(chain: u32, is_certified: bool) -> LockMoment {
    LockMoment { chain: ChainId(chain), height: Height(7), timestamp: TimestampMs(1_000), is_certified }
}

fn exchange_lock(state: LockState) -> LockRecord {
    let asked = Asked { payer: wallet(2).0, payee: wallet(1).0, amount: Amount::from_fen(11_000) };
    LockRecord {
        id: LockId([9; 32]),
        payer: wallet(1).0,
        payee: wallet(2).0,
        amount: Amount::from_fen(10_005),
        deadline: TimestampMs(9_000),
        kind: LockKind::Exchange { chain: ChainId(1), asked },
        state,
    }
}

#[test]
fn locks() {
    let id = LockId([9; 32]).to_string();
    let side = |chain: u32, payer: u8, payee: u8, fen: u64, amount: &str, currency: &str| {
        json!({
            "chain": chain, "payer": wallet(payer).1, "payee": wallet(payee).1, "amount_fen": fen, "amount": amount,
            "currency": currency,
        })
    };
    let (given, wanted) = (side(0, 1, 2, 10_005, "100.05", "CNY"), side(1, 2, 1, 11_000, "110.00", "HKD"));
    let open = exchange_lock(LockState::Open);
    check(
        &LockView::of_lock(lock_moment(0, false), &open, currency_of).unwrap(),
        json!({
            "id": id, "chain": 0, "height": 7, "timestamp_ms": 1_000, "role": "exchange_lock", "state": "open",
            "is_certified": false, "locked": given, "asked": wanted, "deadline_ms": 9_000,
        }),
    );
    let only_own = |chain: ChainId| currency_of(chain).filter(|_| chain == ChainId(0));
    assert_eq!(LockView::of_lock(lock_moment(0, false), &open, only_own), None, "no currency is guessed");
    let LockKind::Exchange { asked, .. } = open.kind else { panic!("not an exchange") };
    let offer = OfferRecord {
        id: open.id,
        source: ChainId(0),
        payer: open.payer,
        payee: open.payee,
        amount: open.amount,
        asked,
        deadline: open.deadline,
        state: OfferState::Cancelled { code: Rejection::OfferDeclined.code() },
    };
    check(
        &LockView::of_offer(lock_moment(1, true), &offer, currency_of).unwrap(),
        json!({
            "id": id, "chain": 1, "height": 7, "timestamp_ms": 1_000, "role": "offer", "state": "cancelled",
            "is_certified": true, "locked": given, "asked": wanted, "deadline_ms": 9_000,
            "decision": {
                "is_settled": false, "code": 530, "name": "offer_declined",
                "message": "the asked payer declined the offer",
            },
        }),
    );
    let claimed = LockRecord {
        kind: LockKind::Hash { hash: [1; 32] },
        state: LockState::Settled { preimage: Some([2; 32]) },
        ..open
    };
    check(
        &LockView::of_lock(lock_moment(0, true), &claimed, currency_of).unwrap(),
        json!({
            "id": id, "chain": 0, "height": 7, "timestamp_ms": 1_000, "role": "hash_lock", "state": "settled",
            "is_certified": true, "locked": given, "deadline_ms": 9_000, "hash": ONE, "preimage": TWO,
            "decision": { "is_settled": true, "code": 0, "name": "settled", "message": "settled" },
        }),
    );
}

/// A transaction is settled when nothing of it is under way: an exchange that it offers is decided, under a certificate.
#[test]
fn an_offer_is_settled_when_it_is_decided() {
    let outcome = Outcome {
        id: TransactionId([2; 32]),
        transaction: TransactionHash([1; 32]),
        index: 0,
        code: 0,
        fee: Amount::ZERO,
    };
    let is_settled = |lock: &LockRecord, is_certified: bool| {
        let mut status = TransactionStatus::executed(ChainId(0), Height(9), &outcome, true);
        let view = LockView::of_lock(lock_moment(0, is_certified), lock, currency_of).unwrap();
        status.lock = Some(Box::new(view));
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["lock"]["locked"]["amount"], "100.05");
        assert_eq!(serde_json::from_value::<TransactionStatus>(json).unwrap(), status);
        status.is_settled()
    };
    let returned = LockState::Returned { code: Rejection::OfferExpired.code() };
    assert!(!is_settled(&exchange_lock(LockState::Open), true));
    assert!(!is_settled(&exchange_lock(returned), false));
    assert!(is_settled(&exchange_lock(returned), true));
    assert!(is_settled(&exchange_lock(LockState::Settled { preimage: None }), true));
    // A hash lock waits for whoever has the preimage: it is not under way.
    let hash = LockRecord { kind: LockKind::Hash { hash: [1; 32] }, ..exchange_lock(LockState::Open) };
    assert!(is_settled(&hash, true));
}

/// A leg that was sent on, and one whose end the node does not see.
#[test]
fn the_locks_of_a_wallet() {
    let open = exchange_lock(LockState::Open);
    let lock = LockView::of_lock(lock_moment(0, true), &open, currency_of).unwrap();
    let page = LocksPage { wallet: wallet(1).0, chain: 0, locks: vec![lock.clone()], next: Some(7) };
    check(
        &page,
        json!({ "wallet": wallet(1).1, "chain": 0, "locks": [serde_json::to_value(&lock).unwrap()], "next": 7 }),
    );
    check(&LocksQuery { chain: None, from: Some(7), limit: Some(2) }, json!({ "from": 7, "limit": 2 }));
}
