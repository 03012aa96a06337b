//! What is estimated and what blocks cost.

use api::chain::{BlockView, ChainView};
use api::fees::{FeeEstimates, FeeHistory, OperationName};
use ledger::records::params::{STEP_MIN_MAX, WEIGHT_TARGET_MIN};
use ledger::records::{ChainParams, FeeBid, FeeParams, Operation, Payment};
use ledger::rules::{content_weight, next_base_fee};
use ledger::values::{Amount, ChainId, Currency, FeeRate};

use super::bank::{Bank, CHAIN, edge_over, network_of, network_with};
use super::{get, refusal};
use crate::config::RestLimits;
use crate::http::router;
use crate::tokens::Tokens;

const CNY: Currency = Currency(*b"CNY");

/// A chain where weight costs a fen per unit after the first block of more than 20,000 units.
pub(super) fn crowded() -> Bank {
    let fees =
        FeeParams { weight_target: 2 * WEIGHT_TARGET_MIN, step_min: STEP_MIN_MAX, ..FeeParams::default() };
    crowded_with(ChainParams { fees, ..ChainParams::default() })
}

/// The same where wallets of the second tier owe no base fee.
pub(super) fn crowded_exempt() -> Bank {
    let mut params = crowded().rules.borrow().params.clone();
    params.tiers[2].is_fee_exempt = true;
    crowded_with(params)
}

fn crowded_with(params: ChainParams) -> Bank {
    Bank::on(CHAIN, &network_with(&[(CNY, 0)], params), Tokens::default(), RestLimits::default())
}

/// A block of more than 20,000 units: 128 wallets are opened, of the customers from 100 on.
pub(super) fn crowd(bank: &mut Bank) {
    let numbers: Vec<u8> = (100..=227).collect();
    let openings: Vec<_> = numbers.chunks(64).map(|numbers| bank.open(numbers)).collect();
    bank.execute(openings, false);
}

#[tokio::test]
async fn an_estimate_is_for_a_weight_or_for_a_typical_transaction() {
    let mut bank = Bank::new();
    bank.story();
    let router = bank.router();
    let usual: FeeEstimates = get(&router, api::path::FEE_ESTIMATE).await.json();
    assert_eq!((usual.chain, usual.height, usual.base_fee_micro_fen), (0, 4, 0));
    assert_eq!(usual.cross_chain, None);
    let (one, two) = (bank.customer(1), bank.customer(2));
    let payments = vec![Payment { payee: two.id, amount: Amount::from_fen(5) }];
    let bid = FeeBid { fee_max: Amount::from_fen(9), tip: Amount::from_fen(1), ..FeeBid::default() };
    let weight = content_weight(&bank.content(&one, bid, Operation::Pay { payments }));
    assert_eq!(usual.weight, weight, "a payment to one payee, with a tip, unless said otherwise");
    let of = async |query: &str| -> FeeEstimates {
        get(&router, &format!("{}?{query}", api::path::FEE_ESTIMATE)).await.json()
    };
    assert_eq!(of(&format!("chain=0&weight={weight}&confidence=0.95&within_s=2")).await, usual);
    assert_eq!(of("operation=pay").await, usual);
    assert!(of("operation=pay&payments=3").await.weight > weight);
    assert!(of("operation=open_wallets&wallets=10").await.weight > of("operation=open_wallets").await.weight);
    for operation in OperationName::ALL {
        assert!(of(&format!("operation={}", operation.name())).await.weight > 0);
    }
    for bid in [&usual.economy, &usual.normal, &usual.urgent] {
        assert!((0.0..=1.0).contains(&bid.probability) && bid.final_s_p50 <= bid.final_s_p95, "{bid:?}");
        assert!(bid.tip_fen <= bid.fee_max_fen && bid.expected_fee_fen <= bid.fee_max_fen, "{bid:?}");
        assert!(!bid.explanation.is_empty());
    }
}

#[tokio::test]
async fn an_estimate_knows_the_base_fee_of_the_next_block() {
    let mut bank = crowded();
    let router = bank.router();
    let of = async || -> FeeEstimates { get(&router, api::path::FEE_ESTIMATE).await.json() };
    assert_eq!((of().await.height, of().await.base_fee_micro_fen), (0, 0));
    crowd(&mut bank);
    let dear = of().await;
    assert_eq!((dear.height, dear.base_fee_micro_fen), (1, STEP_MIN_MAX.micro_fen()));
    assert!(dear.urgent.fee_max_fen >= dear.weight, "a fen per unit at least: {dear:?}");
}

#[tokio::test]
async fn questions_out_of_bounds_name_their_field() {
    let router = Bank::new().router();
    for (query, code, field) in [
        ("chain=9", 1_404, "chain"),
        ("chain=1", 1_405, "chain"),
        ("chain=x", 1_002, "chain"),
        ("weight=0", 1_002, "weight"),
        ("weight=99999999", 1_002, "weight"),
        ("weight=700&operation=pay", 1_002, "operation"),
        ("weight=700&payments=2", 1_002, "payments"),
        ("operation=govern", 1_002, "operation"),
        ("operation=pay&payments=65", 1_002, "payments"),
        ("operation=issue&payments=1", 1_002, "payments"),
        ("operation=open_wallets&wallets=0", 1_002, "wallets"),
        ("confidence=0.4", 1_002, "confidence"),
        ("confidence=1", 1_002, "confidence"),
        ("confidence=NaN", 1_002, "confidence"),
        ("within_s=0", 1_002, "within_s"),
        ("within_s=inf", 1_002, "within_s"),
        ("within_s=3600.1", 1_002, "within_s"),
        ("to_chain=0", 1_002, "to_chain"),
        ("to_chain=1", 1_002, "to_chain"),
        ("to_chain=9", 1_404, "to_chain"),
        ("wieght=700", 1_002, "wieght"),
    ] {
        let path = format!("{}?{query}", api::path::FEE_ESTIMATE);
        assert_eq!(refusal(&router, &path).await, (code, Some(field.to_owned())), "{query}");
    }
}

#[tokio::test]
async fn a_payee_on_another_chain_is_credited_later_and_for_nothing() {
    let network = network_of(&[(CNY, 0), (CNY, 1)]);
    let on = |chain| Bank::on(ChainId(chain), &network, Tokens::default(), RestLimits::default());
    let (zero, one) = (on(0), on(1));
    let path = format!("{}?to_chain=1", api::path::FEE_ESTIMATE);
    let both: FeeEstimates = get(&router(&edge_over(&[&zero, &one])), &path).await.json();
    let leg = both.cross_chain.unwrap();
    assert_eq!((leg.to_chain, leg.fee_fen), (1, 0));
    assert!(leg.credited_s_p50.is_some_and(|seconds| seconds > both.normal.final_s_p50), "{leg:?}");
    assert!(leg.credited_s_p95.is_some_and(|seconds| seconds > both.normal.final_s_p95), "{leg:?}");
    // Of a chain that is elsewhere nothing was measured.
    let alone: FeeEstimates = get(&zero.router(), &path).await.json();
    let leg = alone.cross_chain.unwrap();
    assert_eq!((leg.to_chain, leg.credited_s_p50, leg.credited_s_p95), (1, None, None));
}

#[tokio::test]
async fn a_history_shows_what_blocks_weighed_and_cost() {
    let mut bank = crowded();
    bank.story();
    crowd(&mut bank);
    bank.execute(Vec::new(), false);
    let router = bank.router();
    let path = api::path::fee_history(CHAIN);
    let whole: FeeHistory = get(&router, &path).await.json();
    assert_eq!(whole.blocks.iter().map(|block| block.height).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!((whole.weight_target, whole.weight_max), (2 * WEIGHT_TARGET_MIN, 8_388_608));
    // Each base fee follows from the block before by the rule.
    let params = bank.rules.borrow().params.fees;
    let mut due = FeeRate::ZERO;
    for block in &whole.blocks {
        assert_eq!(block.base_fee_micro_fen, due.micro_fen(), "{block:?}");
        due = next_base_fee(&params, due, block.weight);
        let shown: BlockView = get(&router, &format!("/v1/chains/0/blocks/{}", block.height)).await.json();
        assert_eq!((shown.weight, shown.base_fee_micro_fen), (block.weight, block.base_fee_micro_fen));
        assert_eq!(shown.timestamp_ms, block.timestamp_ms);
    }
    assert!(whole.blocks[5].base_fee_micro_fen > 0, "{whole:?}");
    assert_eq!(whole.next_base_fee_micro_fen, due.micro_fen());
    let chain: ChainView = get(&router, "/v1/chains/0").await.json();
    assert_eq!(chain.progress.unwrap().base_fee_micro_fen, due.micro_fen());

    for (query, heights) in
        [("limit=2", 5..=6), ("from=2&limit=3", 2..=4), ("from=5", 5..=6), ("from=6&limit=1024", 6..=6)]
    {
        let page: FeeHistory = get(&router, &format!("{path}?{query}")).await.json();
        let shown: Vec<u64> = page.blocks.iter().map(|block| block.height).collect();
        assert_eq!(shown, heights.collect::<Vec<u64>>(), "{query}");
        assert_eq!(page.next_base_fee_micro_fen, due.micro_fen());
    }
    let above: FeeHistory = get(&router, &format!("{path}?from=7")).await.json();
    assert!(above.blocks.is_empty());
    for (query, field) in
        [("from=0", "from"), ("limit=0", "limit"), ("limit=1025", "limit"), ("until=4", "until")]
    {
        assert_eq!(
            refusal(&router, &format!("{path}?{query}")).await,
            (1_002, Some(field.to_owned())),
            "{query}"
        );
    }
    assert_eq!(
        refusal(&router, &api::path::fee_history(ChainId(9))).await,
        (1_404, Some("chain".to_owned()))
    );
}
