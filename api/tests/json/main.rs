//! The JSON of every type of the contract, written out: a change here is a change for every client.

use api::evidence::{EvidencePage, EvidenceQuery, EvidenceView};
use api::transaction::{TransactionQuery, WaitFor};
use api::*;
use ledger::records::{
    Asked, Birth, Claim, Counter, FeeBid, Growth, HeightResult, Lane, LockKind, LockRecord, LockState,
    Movement, MovementKind, Nonce, OfferRecord, OfferState, Operation, Outcome, PairCounters, Payment,
    Policy, Rejection, Sponsor, SupplyTerms, Tier, Transaction, TransactionContent, ValidatorRecord,
    WalletOpening, WalletRecord, WalletStatus,
};
use ledger::records::{Block, BlockBody, BlockHeader};
use ledger::values::{
    Amount, BatchDigest, BlockDigest, BundleDigest, ChainId, Currency, Epoch, FeeRate, GenesisHash, Height,
    LockId, Money, NodeIndex, OperatorId, OutboxRoot, OutcomesRoot, PolicyHash, PublicKey, ResultHash,
    SecretKey, StateRoot, TimestampMs, TransactionHash, TransactionId, ValidatorIndex, View, WalletId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod fees;
mod locks;
mod why;

const GENESIS: GenesisHash = GenesisHash([1; 32]);
const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const TWO: &str = "0202020202020202020202020202020202020202020202020202020202020202";
const THREE: &str = "0303030303030303030303030303030303030303030303030303030303030303";

/// The value has this JSON, and reading it gives the value back.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, expected: Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
    assert_eq!(&serde_json::from_value::<T>(expected).unwrap(), value);
}

fn wallet(byte: u8) -> (WalletId, String) {
    (WalletId([byte; 32]), WalletId([byte; 32]).to_string())
}

fn transaction(operation: Operation) -> Transaction {
    let secret = SecretKey::from_seed([7; 32]);
    let content = TransactionContent {
        network: [1; 4],
        chain: ChainId(0),
        wallet: wallet(1).0,
        nonce: Nonce { lane: 1, sequence: 9 },
        valid_until: TimestampMs(1_000),
        fee: FeeBid {
            fee_max: Amount::from_fen(3),
            tip: Amount::ZERO,
            operator: OperatorId(2),
            sponsor: None,
        },
        policy: Policy::single(secret.public_key()),
        operation,
    };
    content.signed_by(GENESIS, &secret)
}

fn supply() -> SupplyTerms {
    let (issued, redeemed) = (Amount::from_fen(100), Amount::from_fen(40));
    let sent = Counter { count: 2, total: u128::from(u64::MAX) + 5 };
    let pair = PairCounters { chain: ChainId(1), sent, received: Counter::default() };
    SupplyTerms { issued, redeemed, holdings: Amount::from_fen(60), pairs: vec![pair] }
}

fn supply_json() -> Value {
    json!({
        "issued_fen": 100, "redeemed_fen": 40, "holdings_fen": 60,
        "pairs": [{
            "chain": 1, "sent": { "count": 2, "total_fen": "18446744073709551620" },
            "received": { "count": 0, "total_fen": "0" },
        }],
    })
}

#[test]
fn refusals() {
    check(
        &ApiError::from(Rejection::InsufficientFunds),
        json!({
            "code": 11_205, "name": "insufficient_funds", "field": "operation.amount", "is_transient": true,
            "message": "the balance does not cover the payments and the fee", "mend": "fund the wallet, then sign anew",
        }),
    );
    check(
        &ApiError::from(ErrorCode::PoolFull).retry_after_ms(250),
        json!({
            "code": 1_302, "name": "pool_full", "is_transient": true, "retry_after_ms": 250,
            "message": "the node has as many transactions waiting as it can hold",
            "mend": "send again after retry_after_ms, or to another bank",
        }),
    );
}

#[test]
fn submission() {
    check(&SubmitRequest { transaction: "00ff".into() }, json!({ "transaction": "00ff" }));
    assert_eq!(SubmitRequest { transaction: "00ff".into() }.bytes().unwrap(), [0, 255]);
    assert_eq!(SubmitRequest { transaction: "0g".into() }.bytes().unwrap_err().code, 1_101);
    let surprise = json!({ "transaction": "00", "surprise": 1 });
    assert!(serde_json::from_value::<SubmitRequest>(surprise).unwrap_err().to_string().contains("surprise"));
    let accepted = SubmitAnswer {
        id: Some(TransactionId([2; 32])),
        status: SubmitStatus::Accepted,
        error: None,
        transaction: None,
    };
    check(&accepted, json!({ "id": TWO, "status": "accepted" }));
    check(
        &SubmitAnswer { id: None, status: SubmitStatus::AlreadyKnown, ..accepted },
        json!({ "status": "already_known" }),
    );
}

#[test]
fn transactions() {
    let payment = Payment { payee: wallet(2).0, amount: Amount::from_fen(5) };
    let pay = transaction(Operation::Pay { payments: vec![payment] });
    let view = TransactionView::new(&pay, GENESIS, Currency(*b"HKD"));
    let bytes = SubmitRequest::new(&pay).transaction;
    check(
        &view,
        json!({
            "id": pay.id(GENESIS).to_string(), "chain": 0, "currency": "HKD", "wallet": wallet(1).1, "lane": 1, "sequence": 9,
            "valid_until_ms": 1_000, "fee_max_fen": 3, "tip_fen": 0, "tip_operator": 2, "sponsor": null, "threshold": 1,
            "keys": [SecretKey::from_seed([7; 32]).public_key().to_string()], "signed_by": [0],
            "operation": { "kind": "pay", "payments": [{ "payee": wallet(2).1, "amount_fen": 5 }] }, "bytes": bytes,
        }),
    );
    let mut sponsored = pay;
    let sponsor = Sponsor { wallet: wallet(3).0, policy: sponsored.content.policy.clone() };
    sponsored.content.fee =
        FeeBid { tip: Amount::from_fen(1), sponsor: Some(sponsor), ..sponsored.content.fee };
    let view = TransactionView::new(&sponsored, GENESIS, Currency(*b"HKD"));
    assert_eq!((view.fee_max_fen, view.tip_fen, view.sponsor), (3, 1, Some(wallet(3).0)));
    assert_eq!(serde_json::to_value(&view).unwrap()["sponsor"], wallet(3).1);
    let opening = WalletOpening { policy: PolicyHash([1; 32]), salt: [3; 16], tier: Tier::Three };
    check(
        &OperationView::new(&Operation::OpenWallets { wallets: vec![opening] }),
        json!({
            "kind": "open_wallets",
            "wallets": [{ "policy": ONE, "salt": "03030303030303030303030303030303", "tier": "three" }],
        }),
    );
    let amount = Amount::from_fen(u64::MAX);
    check(
        &OperationView::new(&Operation::Issue { to: wallet(2).0, amount }),
        json!({ "kind": "issue", "to": wallet(2).1, "amount_fen": u64::MAX }),
    );
    check(
        &OperationView::new(&Operation::Redeem { amount }),
        json!({ "kind": "redeem", "amount_fen": u64::MAX }),
    );
}

/// Every kind of change, as programs read it.
#[test]
fn changes_of_the_registry() {
    use ledger::records::{
        Approval, ChainParams, Change, NodeRecord, OperatorRecord, OperatorRole, Proposal,
    };
    use ledger::values::Signature;
    let (one, two) = (PublicKey([1; 32]), PublicKey([2; 32]));
    let (operator, node, chain) = (OperatorId(3), NodeIndex(4), ChainId(5));
    let record = OperatorRecord {
        name: "Ember".into(),
        role: OperatorRole::Bank,
        key: one,
        wallet_policy: Policy::single(two),
    };
    let validator = ValidatorRecord { operator, node, consensus_key: one };
    let address = "a:1".to_owned();
    let mut params =
        ChainParams { tiers: ChainParams::default().tiers[1..3].to_vec(), ..ChainParams::default() };
    params.tiers[1].is_fee_exempt = true;
    let changes = vec![
        Change::AddOperator(record),
        Change::RetireOperator { operator },
        Change::ReplaceOperatorKey { operator, key: two },
        Change::AddNode(NodeRecord { operator, network_key: one, address: address.clone() }),
        Change::MoveNode { node, address },
        Change::ReplaceNetworkKey { node, key: two },
        Change::RetireNode { node },
        Change::AddValidator { chain, validator },
        Change::RemoveValidator { chain, consensus_key: one },
        Change::ReplaceConsensusKey { chain, old: one, new: two },
        Change::SetParams { chain, params },
        Change::AddChain { parent: chain, validators: vec![validator] },
        Change::Reshard { currency: Currency(*b"CNY") },
        Change::RemoveChain { chain },
        Change::SpendFees { chain, operator, amount: Amount::from_fen(500) },
    ];
    let valid_until = TimestampMs(9);
    let proposal = Proposal { version: 7, valid_until, is_urgent: true, reason: "join".into(), changes };
    let approvals = vec![Approval { operator, signature: Signature([0; 64]) }];
    check(
        &OperationView::new(&Operation::Govern { proposal, approvals }),
        json!({
            "kind": "govern", "approved_by": [3],
            "proposal": {
                "version": 7, "valid_until_ms": 9, "is_urgent": true, "reason": "join",
                "changes": [
                    {
                        "change": "add_operator", "name": "Ember", "role": "bank", "operator_key": ONE,
                        "wallet_threshold": 1, "wallet_keys": [TWO],
                    },
                    { "change": "retire_operator", "operator": 3 },
                    { "change": "replace_operator_key", "operator": 3, "key": TWO },
                    { "change": "add_node", "operator": 3, "network_key": ONE, "address": "a:1" },
                    { "change": "move_node", "node": 4, "address": "a:1" },
                    { "change": "replace_network_key", "node": 4, "key": TWO },
                    { "change": "retire_node", "node": 4 },
                    { "change": "add_validator", "chain": 5, "operator": 3, "node": 4, "consensus_key": ONE },
                    { "change": "remove_validator", "chain": 5, "consensus_key": ONE },
                    { "change": "replace_consensus_key", "chain": 5, "old": ONE, "new": TWO },
                    {
                        "change": "set_params", "chain": 5,
                        "params": {
                            "block_weight_max": 8_388_608, "block_pace_ms": 50, "transaction_ttl_ms_max": 3_600_000,
                            "clock_drift_ms_max": 500,
                            "fees": {
                                "weight_target": 1_048_576, "step_denominator": 8, "step_min_micro_fen": 100,
                                "rate_max_micro_fen": 10_000_000, "quota_fen": 1_000_000,
                            },
                            "tiers": [
                                { "lanes": 4 },
                                {
                                    "lanes": 2, "payment_max_fen": 5_000_000, "balance_max_fen": 50_000_000,
                                    "is_fee_exempt": true,
                                },
                            ],
                        },
                    },
                    {
                        "change": "add_chain", "parent": 5,
                        "validators": [{ "operator": 3, "node": 4, "consensus_key": ONE }],
                    },
                    { "change": "reshard", "currency": "CNY" },
                    { "change": "remove_chain", "chain": 5 },
                    { "change": "spend_fees", "chain": 5, "operator": 3, "amount_fen": 500 },
                ],
            },
        }),
    );
}

/// What locks and exchanges ask for, out and in again.
#[test]
fn versions_of_the_registry() {
    let open = VersionView { version: 3, registry_version: 3, applied: None };
    check(&open, json!({ "version": 3, "registry_version": 3 }));
    let applied = AppliedView {
        height: 9,
        is_certified: true,
        proposal: Some(ONE.to_owned()),
        transaction: Some(TransactionId([2; 32])),
    };
    check(
        &VersionView { registry_version: 4, applied: Some(applied), ..open },
        json!({
            "version": 3, "registry_version": 4,
            "applied": { "height": 9, "is_certified": true, "proposal": ONE, "transaction": TWO },
        }),
    );
}

#[test]
fn legs() {
    let hop = HopView { chain: 2, receipt: TransactionId([2; 32]) };
    let money = Money::from_fen(5, Currency(*b"CNY"));
    let leg = LegView {
        status: LegState::Credited,
        is_certified: true,
        sent_on: vec![hop],
        proof: Some("/p".into()),
        ..LegView::debited(0, wallet(2).0, money, ChainId(1), TransactionId([1; 32]))
    };
    check(
        &leg,
        json!({
            "part": 0, "payee": wallet(2).1, "amount_fen": 5, "currency": "CNY", "chain": 1, "status": "credited",
            "is_certified": true, "receipt": ONE, "sent_on": [{ "chain": 2, "receipt": TWO }], "proof": "/p",
        }),
    );
    assert_eq!((leg.is_over(), leg.last()), (true, Some(hop)));
    let unseen =
        LegView { status: LegState::Debited, sent_on: Vec::new(), ask: Some("them".into()), ..leg.clone() };
    let first = HopView { chain: 1, receipt: TransactionId([1; 32]) };
    assert_eq!((unseen.is_over(), unseen.last()), (false, Some(first)));
    let outcome = Outcome {
        id: TransactionId([2; 32]),
        transaction: TransactionHash([1; 32]),
        index: 0,
        code: 0,
        fee: Amount::ZERO,
    };
    let waiting = LegView { ask: None, ..unseen.clone() };
    for (leg, is_settled, is_settled_here) in
        [(leg, true, true), (unseen, false, true), (waiting, false, false)]
    {
        let mut status = TransactionStatus::executed(ChainId(0), Height(9), &outcome, true);
        status.legs = vec![leg];
        assert_eq!((status.is_settled(), status.is_settled_here()), (is_settled, is_settled_here));
    }
}

#[test]
fn transaction_status() {
    let id = TransactionId([2; 32]);
    check(
        &TransactionStatus::without_position(id, TransactionState::Unknown, None),
        json!({ "id": TWO, "status": "unknown", "is_certified": false }),
    );
    let outcome =
        Outcome { id, transaction: TransactionHash([1; 32]), index: 4, code: 0, fee: Amount::from_fen(1) };
    check(
        &TransactionStatus::executed(ChainId(3), Height(9), &outcome, true),
        json!({
            "id": TWO, "status": "certified", "chain": 3, "height": 9, "index": 4, "is_certified": true, "fee_fen": 1,
            "outcome": { "is_applied": true, "code": 0, "name": "applied", "message": "applied" },
            "proof": format!("/v1/transactions/{TWO}/proof"),
        }),
    );
    let rejected =
        TransactionStatus::executed(ChainId(3), Height(9), &Outcome { code: 206, ..outcome }, false);
    check(
        &rejected,
        json!({
            "id": TWO, "status": "final", "chain": 3, "height": 9, "index": 4, "is_certified": false, "fee_fen": 1,
            "outcome": {
                "is_applied": false, "code": 206, "name": "payee_unknown",
                "message": "a payee's wallet does not exist on this chain",
                "mend": "check the id; have the wallet opened first",
            },
        }),
    );
    let placed = TransactionStatus { currency: Some(Currency(*b"HKD")), ..rejected };
    assert_eq!(serde_json::to_value(&placed).unwrap()["currency"], "HKD");
    assert!(TransactionState::Certified.is_terminal() && !TransactionState::Final.is_terminal());
}

#[test]
fn wallets() {
    let record = WalletRecord {
        id: wallet(1).0,
        policy: PolicyHash([2; 32]),
        operator: OperatorId(3),
        tier: Tier::Two,
        status: WalletStatus::Moved { to: ChainId(4) },
        balance: Amount::from_fen(77),
        lanes: vec![Lane { highest: 2, used: 0b11 }],
    };
    let at = WalletMoment { height: Height(9), timestamp_ms: 1_000, certified_height: Height(7) };
    check(
        &WalletView::new((ChainId(0), Currency(*b"HKD")), at, &record, 2),
        json!({
            "id": wallet(1).1, "chain": 0, "currency": "HKD", "height": 9, "timestamp_ms": 1_000, "certified_height": 7, "balance_fen": 77,
            "status": "moved", "moved_to": 4, "tier": "two", "operator": 3, "policy": TWO,
            "lanes": [
                { "lane": 0, "highest": 2, "next": 3, "used": "00000000000000000000000000000003" },
                { "lane": 1, "highest": 0, "next": 1, "used": "00000000000000000000000000000000" },
            ],
        }),
    );
    assert_eq!(LaneView::new(0, record.lanes[0]).state(), record.lanes[0]);
    let before = Cursor { height: Height(9), index: 1, part: 0 };
    check(
        &HistoryQuery { chain: None, before: Some(before), limit: Some(5) },
        json!({ "before": "9.1.0", "limit": 5 }),
    );
    let movement =
        Movement { kind: MovementKind::Received, counterparty: wallet(2).0, amount: Amount::from_fen(5) };
    let between = Between { from: Some(ChainId(4)), to: Some(ChainId(6)) };
    let entry = HistoryEntry::new(before, 1_000, Some(TransactionId([2; 32])), &movement, between);
    let page = HistoryPage {
        wallet: wallet(1).0,
        chain: 0,
        currency: Currency(*b"HKD"),
        certified_height: 7,
        entries: vec![entry],
        next: Some(before),
    };
    check(
        &page,
        json!({
            "wallet": wallet(1).1, "chain": 0, "currency": "HKD", "certified_height": 7, "next": "9.1.0",
            "entries": [{
                "cursor": "9.1.0", "height": 9, "timestamp_ms": 1_000, "transaction": TWO, "kind": "received",
                "counterparty": wallet(2).1, "amount_fen": 5,
            }],
        }),
    );
    let locked = Movement { kind: MovementKind::Locked, ..movement };
    let entry = HistoryEntry::new(before, 1_000, Some(TransactionId([2; 32])), &locked, between);
    assert_eq!(entry.lock, Some(LockId::of(TransactionId([2; 32]))), "the lock that the transaction made");
    assert_eq!(serde_json::to_value(&entry).unwrap()["kind"], "locked");
    for (kind, name, other) in
        [(MovementKind::MovedOut, "moved_out", 6), (MovementKind::MovedIn, "moved_in", 4)]
    {
        let entry = HistoryEntry::new(before, 1_000, None, &Movement { kind, ..movement }, between);
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!((json["kind"].as_str(), entry.lock), (Some(name), None));
        assert_eq!(json["other_chain"], other, "{name}");
    }
    for (kind, name) in [
        (MovementKind::FeePaid, "fee_paid"),
        (MovementKind::TipReceived, "tip_received"),
        (MovementKind::FeesSpent, "fees_spent"),
    ] {
        let entry = HistoryEntry::new(before, 1_000, None, &Movement { kind, ..movement }, between);
        assert_eq!(serde_json::to_value(&entry).unwrap()["kind"], name);
        assert_eq!(entry.other_chain, None, "{name}");
    }
}

#[test]
fn chains_and_blocks() {
    let validator =
        ValidatorRecord { operator: OperatorId(1), node: NodeIndex(0), consensus_key: PublicKey([1; 32]) };
    let record = ledger::records::ChainRecord {
        chain: ChainId(0),
        currency: "CNY".parse().unwrap(),
        shard: 0,
        birth: Birth::Genesis,
        params: ledger::records::ChainParams::default(),
        wanted: vec![validator],
        is_urgent: false,
        epochs: Vec::new(),
        barred: vec![OperatorId(2)],
    };
    let progress = ProgressView {
        epoch: 2,
        epoch_first_height: 5,
        closing_height: Some(70),
        registry_version: 3,
        lowest_height: None,
        pruned_below: None,
        height: 9,
        timestamp_ms: 1_000,
        base_fee_micro_fen: 250,
        certified_height: 7,
        state_root: StateRoot([1; 32]),
        result: ResultHash([2; 32]),
        records: 12,
        supply: SupplyView::from(&supply()),
        pooled_transactions: 3,
        is_voting: true,
    };
    let view = ChainsView { chains: vec![ChainView::of(&record, &record.wanted, Some(progress))] };
    check(
        &view,
        json!({ "chains": [{
        "chain": 0, "currency": "CNY", "shard": 0, "barred_operators": [2],
        "validators": [{ "seat": 0, "operator": 1, "node": 0, "consensus_key": ONE }],
        "progress": {
            "epoch": 2, "epoch_first_height": 5, "closing_height": 70, "registry_version": 3, "height": 9, "timestamp_ms": 1_000, "base_fee_micro_fen": 250,
            "certified_height": 7, "state_root": ONE, "result": TWO,
            "records": 12, "supply": supply_json(), "pooled_transactions": 3, "is_voting": true,
        },
    }] }),
    );
    for (growth, name) in [
        (Growth::Added, "added"),
        (Growth::Ready, "ready"),
        (Growth::Filling, "filling"),
        (Growth::Grown, "grown"),
        (Growth::Removed, "removed"),
    ] {
        let birth = Birth::Child { parent: ChainId(0), height: Height(41), growth };
        let mut child = ledger::records::ChainRecord { chain: ChainId(2), shard: 1, birth, ..record.clone() };
        child.barred.clear();
        check(
            &ChainView::of(&child, &[], None),
            json!({
                "chain": 2, "currency": "CNY", "shard": 1, "validators": [],
                "birth": { "parent": 0, "height": 41, "growth": name },
            }),
        );
    }
    let (block, result) = (block(), result());
    check(
        &BlockView::new(&block, Currency(*b"HKD"), GENESIS, Some(ResultView::new(&result, GENESIS, true))),
        json!({
            "chain": 0, "currency": "HKD", "height": 9, "digest": block.header.digest(GENESIS).to_string(), "parent": ONE, "epoch": 0,
            "view": 11, "proposer": 2, "timestamp_ms": 1_000, "weight": 500, "base_fee_micro_fen": 250, "claimed_height": 7,
            "claimed_result": TWO, "batches": [ONE], "bundles": [TWO],
            "result": {
                "hash": result.hash(GENESIS).to_string(), "state_root": ONE, "outcomes_root": TWO, "outbox_root": THREE, "executed": 4,
                "skipped": 1, "supply": supply_json(), "is_certified": true,
            },
        }),
    );
}

fn block() -> Block {
    let body = BlockBody { batches: vec![BatchDigest([1; 32])], bundles: vec![BundleDigest([2; 32])] };
    let header = BlockHeader {
        chain: ChainId(0),
        epoch: Epoch(0),
        view: View(11),
        height: Height(9),
        parent: BlockDigest([1; 32]),
        timestamp: TimestampMs(1_000),
        proposer: ValidatorIndex(2),
        weight: 500,
        base_fee: FeeRate::from_micro_fen(250),
        claim: Claim { height: Height(7), result: ResultHash([2; 32]) },
        body: body.hash(),
    };
    Block { header, body }
}

fn result() -> HeightResult {
    HeightResult {
        chain: ChainId(0),
        height: Height(9),
        block: BlockDigest([1; 32]),
        previous: ResultHash([2; 32]),
        state: StateRoot([1; 32]),
        outcomes: OutcomesRoot([2; 32]),
        outbox: OutboxRoot([3; 32]),
        next_set: ledger::values::Hash([4; 32]),
        executed: 4,
        skipped: 1,
        supply: supply(),
    }
}

#[test]
fn network() {
    let operator = OperatorView {
        operator: 0,
        name: "central-bank".into(),
        role: RoleName::CentralBank,
        operator_key: PublicKey([1; 32]),
        wallet_policy: PolicyHash([3; 32]),
        has_left: true,
    };
    let node = NodeView {
        node: 0,
        operator: 1,
        network_key: PublicKey([2; 32]),
        address: "127.0.0.1:7000".into(),
        is_connected: true,
        is_retired: true,
    };
    let place = ChainPlace {
        chain: 0,
        currency: "CNY".into(),
        shard: 0,
        parent: None,
        is_home: true,
        is_filling: false,
        nodes: vec![0, 2],
        not_running_nodes: Vec::new(),
    };
    let child = ChainPlace {
        chain: 1,
        shard: 1,
        parent: Some(0),
        is_home: false,
        is_filling: true,
        not_running_nodes: vec![2],
        ..place.clone()
    };
    let view = NetworkView {
        network: "localnet".into(),
        genesis_hash: GENESIS,
        version: "0.1.0".into(),
        node: 0,
        registry_version: 3,
        operators: vec![operator],
        nodes: vec![node],
        chains: vec![place, child],
    };
    check(
        &view,
        json!({
            "network": "localnet", "genesis_hash": ONE, "version": "0.1.0", "node": 0, "registry_version": 3,
            "operators": [{
                "operator": 0, "name": "central-bank", "role": "central_bank", "operator_key": ONE, "wallet_policy": THREE,
                "has_left": true,
            }],
            "nodes": [{
                "node": 0, "operator": 1, "network_key": TWO, "address": "127.0.0.1:7000", "is_connected": true,
                "is_retired": true,
            }],
            "chains": [
                { "chain": 0, "currency": "CNY", "shard": 0, "nodes": [0, 2] },
                {
                    "chain": 1, "currency": "CNY", "shard": 1, "parent": 0, "is_home": false, "is_filling": true,
                    "nodes": [0, 2], "not_running_nodes": [2],
                },
            ],
        }),
    );
    // A chain that was only added counts for no home.
    let cny = Currency(*b"CNY");
    assert_eq!(view.shards(cny), [ChainId(0)]);
    assert_eq!(view.homes(cny, wallet(1).0), [ChainId(0)]);
    assert_eq!([0, 1].map(|chain| view.filled_from(ChainId(chain))), [None, Some(ChainId(0))]);
}

#[test]
fn health_and_readiness() {
    check(
        &Health { is_alive: true, version: "0.1.0".into() },
        json!({ "is_alive": true, "version": "0.1.0" }),
    );
    let chain = ChainReady {
        chain: 0,
        is_ready: false,
        reason: Some(NotReady::CatchingUp),
        height: 5,
        certified_height: 4,
        announced_height: 900,
        validators: 4,
        validators_heard: 2,
        silent_nodes: vec![1, 3],
        not_running_nodes: vec![3],
        joining: None,
        is_voting: false,
        halt: Some(HaltView { code: 1, message: "stopped".into() }),
    };
    check(
        &Ready { is_ready: false, chains: vec![chain], not_hosted: vec![2] },
        json!({
            "is_ready": false,
            "chains": [{
                "chain": 0, "is_ready": false, "reason": "catching_up", "height": 5, "certified_height": 4,
                "announced_height": 900, "validators": 4, "validators_heard": 2, "silent_nodes": [1, 3], "not_running_nodes": [3],
                "is_voting": false, "halt": { "code": 1, "message": "stopped" },
            }],
            "not_hosted": [2],
        }),
    );
}

#[test]
fn evidence_and_waiting() {
    let record = EvidenceView {
        sequence: 5,
        seat: 2,
        operator: Some(3),
        kind: "contradicting_votes".into(),
        bytes: vec![0, 255],
    };
    check(
        &EvidencePage { chain: 0, records: vec![record], next: Some(6) },
        json!({
            "chain": 0, "next": 6,
            "records": [{
                "sequence": 5, "seat": 2, "operator": 3, "kind": "contradicting_votes", "bytes": "00ff",
            }],
        }),
    );
    check(&EvidenceQuery { chain: Some(1), from: Some(2), limit: None }, json!({ "chain": 1, "from": 2 }));
    check(
        &TransactionQuery { wait: Some(WaitFor::Certified), timeout_ms: Some(9) },
        json!({ "wait": "certified", "timeout_ms": 9 }),
    );
}

/// Answers may grow: an older client reads what it knows.
#[test]
fn clients_ignore_new_fields_in_answers() {
    let newer = json!({ "is_alive": true, "version": "9.0.0", "mood": "good" });
    assert!(serde_json::from_value::<Health>(newer).unwrap().is_alive);
}

#[test]
fn malformed_ids_are_refused_with_the_reason() {
    let bad = json!({ "id": "0102", "status": "unknown", "is_certified": false });
    let error = serde_json::from_value::<TransactionStatus>(bad).unwrap_err().to_string();
    assert!(error.contains("64 hexadecimal digits"), "{error}");
}
