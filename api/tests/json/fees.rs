//! What transactions cost.

use api::fees::Simulated;
use ledger::values::Canonical as _;

use super::*;

fn estimate(probability: f64) -> (EstimateView, Value) {
    let view = EstimateView {
        fee_max_fen: 25,
        tip_fen: 2,
        expected_fee_fen: 18,
        probability,
        final_s_p50: 0.3,
        final_s_p95: 0.9,
        why: WhyName::Rising,
        explanation: "Blocks are full.".into(),
    };
    let json = json!({
        "fee_max_fen": 25, "tip_fen": 2, "expected_fee_fen": 18, "probability": probability, "final_s_p50": 0.3,
        "final_s_p95": 0.9, "why": "rising", "explanation": "Blocks are full.",
    });
    (view, json)
}

#[test]
fn estimates() {
    let ((economy, economy_json), (normal, normal_json), (urgent, urgent_json)) =
        (estimate(0.61), estimate(0.97), estimate(0.999));
    let estimates = FeeEstimates {
        chain: 0,
        weight: 700,
        height: 123,
        base_fee_micro_fen: 250,
        economy,
        normal,
        urgent,
        cross_chain: None,
    };
    let mut expected = json!({
        "chain": 0, "weight": 700, "height": 123, "base_fee_micro_fen": 250, "economy": economy_json,
        "normal": normal_json, "urgent": urgent_json, "cross_chain": null,
    });
    check(&estimates, expected.clone());
    let cross_chain =
        CrossChainView { to_chain: 1, fee_fen: 0, credited_s_p50: Some(0.8), credited_s_p95: None };
    expected["cross_chain"] =
        json!({ "to_chain": 1, "fee_fen": 0, "credited_s_p50": 0.8, "credited_s_p95": null });
    check(&FeeEstimates { cross_chain: Some(cross_chain), ..estimates }, expected);
    for (why, name) in [
        (WhyName::Free, "free"),
        (WhyName::Falling, "falling"),
        (WhyName::Backlog, "backlog"),
        (WhyName::Ceiling, "ceiling"),
        (WhyName::NoHistory, "no_history"),
    ] {
        check(&why, json!(name));
    }
}

#[test]
fn questions_about_fees() {
    check(&FeeQuery::default(), json!({}));
    let query = FeeQuery {
        chain: Some(1),
        operation: Some(OperationName::OpenWallets),
        wallets: Some(10),
        to_chain: Some(2),
        confidence: Some(0.95),
        within_s: Some(0.5),
        ..FeeQuery::default()
    };
    check(
        &query,
        json!({
            "chain": 1, "operation": "open_wallets", "wallets": 10, "to_chain": 2, "confidence": 0.95, "within_s": 0.5,
        }),
    );
    // A proposal has no typical weight.
    assert!(serde_json::from_value::<FeeQuery>(json!({ "operation": "govern" })).is_err());
    assert!(serde_json::from_value::<FeeQuery>(json!({ "wieght": 700 })).is_err());
    for operation in OperationName::ALL {
        check(&operation, json!(operation.name()));
    }
    check(&FeeHistoryQuery { from: Some(7), limit: None }, json!({ "from": 7 }));
}

#[test]
fn histories_of_fees() {
    let block = FeeBlock { height: 1, timestamp_ms: 1_000, weight: 700, base_fee_micro_fen: 0 };
    let history = FeeHistory {
        chain: 0,
        blocks: vec![block],
        weight_target: 1_048_576,
        weight_max: 8_388_608,
        next_base_fee_micro_fen: 100,
    };
    check(
        &history,
        json!({
            "chain": 0, "blocks": [{ "height": 1, "timestamp_ms": 1_000, "weight": 700, "base_fee_micro_fen": 0 }],
            "weight_target": 1_048_576, "weight_max": 8_388_608, "next_base_fee_micro_fen": 100,
        }),
    );
}

#[test]
fn simulations() {
    let expected = ExpectedTimes { final_s_p50: 0.3, final_s_p95: 1.0 };
    let limits = WalletLimits {
        balance_fen: 500,
        balance_after_fen: 488,
        payment_max_fen: Some(5_000_000),
        balance_max_fen: None,
        lanes: 2,
        next_sequence: 9,
    };
    let applied = Simulation {
        chain: 0,
        id: TransactionId([2; 32]),
        weight: 700,
        would: Would::Applied,
        fee_fen: 7,
        refusal: None,
        limits: Some(limits),
        expected,
    };
    let mut json = json!({
        "chain": 0, "id": TWO, "weight": 700, "would": "applied", "fee_fen": 7, "refusal": null,
        "limits": {
            "balance_fen": 500, "balance_after_fen": 488, "payment_max_fen": 5_000_000, "balance_max_fen": null,
            "lanes": 2, "next_sequence": 9,
        },
        "expected": { "final_s_p50": 0.3, "final_s_p95": 1.0 },
    });
    check(&applied, json.clone());
    let refusal = ApiError::from(Rejection::FeeUnpaid);
    assert_eq!((refusal.code, refusal.field.as_deref()), (11_102, Some("fee")));
    json["would"] = json!("rejected");
    json["refusal"] = serde_json::to_value(&refusal).unwrap();
    let rejected = Simulation { would: Would::Rejected, refusal: Some(refusal), ..applied };
    check(&rejected, json.clone());
    json["would"] = json!("not_executed");
    json["limits"] = Value::Null;
    check(&Simulation { would: Would::NotExecuted, limits: None, ..rejected }, json);
}

#[test]
fn a_simulation_is_of_one_thing_and_says_what_is_wrong_with_it() {
    let signed = transaction(Operation::Redeem { amount: Amount::from_fen(5) });
    let request = SimulateRequest::signed(&signed);
    check(&request, json!({ "transaction": SubmitRequest::new(&signed).transaction }));
    assert_eq!(request.read().unwrap(), Simulated::Signed(Box::new(signed.clone())));
    let request = SimulateRequest::unsigned(&signed.content);
    check(&request, json!({ "content": const_hex::encode(signed.content.encode()) }));
    let read = request.read().unwrap();
    assert_eq!(read.content(), &signed.content);
    assert_eq!(read, Simulated::Unsigned(Box::new(signed.content.clone())));

    let both = SimulateRequest { transaction: Some("00".into()), content: Some("00".into()) };
    let (text, long) = (|text: &str| Some(text.to_owned()), const_hex::encode([0; 11_000]));
    let mut low = signed.content;
    low.nonce.sequence = 0;
    let cases = [
        (SimulateRequest::default(), 1_001, "body"),
        (both, 1_001, "body"),
        (SimulateRequest { transaction: text("0g"), content: None }, 1_101, "transaction"),
        (SimulateRequest { transaction: text(&long), content: None }, 1_102, "transaction"),
        (SimulateRequest { transaction: text("00"), content: None }, 1_103, "transaction"),
        (SimulateRequest { transaction: None, content: text("0") }, 1_101, "content"),
        (SimulateRequest { transaction: None, content: text(&long) }, 1_102, "content"),
        (SimulateRequest { transaction: None, content: text("00") }, 1_103, "content"),
        (
            SimulateRequest { transaction: None, content: text(&const_hex::encode(low.encode())) },
            1_104,
            "nonce.sequence",
        ),
    ];
    for (request, code, field) in cases {
        let error = request.read().unwrap_err();
        assert_eq!((error.code, error.field.as_deref()), (code, Some(field)), "{error}");
    }
}
