//! What the estimator says on markets whose answer is plain, and that it answers on any market at all.

use fees::{Ask, Backlog, BlockFacts, Estimates, Market, Waiting, Why, estimate};
use ledger::records::FeeParams;
use ledger::rules::base_fee::next_base_fee;
use ledger::values::{Amount, FeeRate};
use proptest::collection::vec;
use proptest::prelude::*;

const TARGET: u64 = 1_048_576;
const BLOCK_MAX: u64 = 8 * TARGET;
const PAYMENT: Ask = Ask { weight: 700, confidence_permille: 950, within_ms: 2_000 };

fn rate(micro_fen: u64) -> FeeRate {
    FeeRate::from_micro_fen(micro_fen)
}

/// A market after blocks of these weights, by the governed rule from `base_fee` on.
fn market(base_fee: u64, weights: &[u64], waiting: Vec<Waiting>) -> Market {
    let params = FeeParams::default();
    let mut base_fee = rate(base_fee);
    let mut blocks = Vec::new();
    for (number, weight) in weights.iter().enumerate() {
        blocks.push(BlockFacts { timestamp_ms: number as u64 * 50, weight: *weight, base_fee });
        base_fee = next_base_fee(&params, base_fee, *weight);
    }
    Market {
        params,
        block_weight_max: BLOCK_MAX,
        pace_ms: 50,
        base_fee,
        blocks,
        backlog: Backlog { waiting },
        finality_ms: vec![180, 200, 220, 240, 260],
    }
}

fn all(estimates: Estimates) -> [fees::Estimate; 3] {
    [estimates.economy, estimates.normal, estimates.urgent]
}

#[test]
fn without_congestion_a_payment_costs_nothing_and_is_told_its_time() {
    let estimates = estimate(&market(0, &[TARGET / 4; 100], vec![]), &PAYMENT);
    for estimate in all(estimates) {
        assert_eq!((estimate.tip, estimate.expected_fee), (Amount::ZERO, Amount::ZERO));
        assert_eq!(estimate.why, Why::Free);
        assert!(estimate.probability_permille >= 950);
        assert!((180..=260).contains(&estimate.final_ms_p50), "{estimate:?}");
        assert!((estimate.final_ms_p50..=2_000).contains(&estimate.final_ms_p95), "{estimate:?}");
    }
}

#[test]
fn a_rising_base_fee_is_met_by_headroom_and_paid_in_the_next_block() {
    let market = market(5_000, &[TARGET + TARGET / 4; 60], vec![]);
    let normal = estimate(&market, &PAYMENT).normal;
    assert_eq!(normal.expected_fee, market.base_fee.due(700));
    assert_eq!(normal.tip, Amount::ZERO);
    assert!(normal.fee_max > market.base_fee.due(2 * 700), "{normal:?}");
    assert_eq!(normal.why, Why::Rising);
}

#[test]
fn a_falling_base_fee_is_waited_for_by_all_but_the_urgent() {
    let market = market(2_000_000, &[TARGET / 10; 60], vec![]);
    let market = Market { base_fee: rate(100_000), ..market };
    let estimates = estimate(&market, &PAYMENT);
    let now = market.base_fee.due(700);
    assert_eq!(estimates.normal.why, Why::Falling);
    assert!(estimates.normal.fee_max < now, "{estimates:?}");
    assert!(estimates.normal.probability_permille >= 950);
    assert!(estimates.economy.expected_fee <= estimates.normal.expected_fee);
    assert!(estimates.urgent.fee_max > now);
    assert!(estimates.urgent.final_ms_p50 < estimates.normal.final_ms_p50);
}

#[test]
fn a_backlog_with_tips_is_beaten_only_where_it_does_not_clear_in_time() {
    let waiting = |blocks: u64| {
        vec![Waiting { tip_rate: rate(3_000), fee_rate: rate(10_000_000), weight: blocks * BLOCK_MAX }]
    };
    // One block of it, quiet otherwise: gone before it costs anything.
    let soon = estimate(&market(0, &[TARGET / 2; 100], waiting(1)), &PAYMENT).normal;
    assert_eq!(soon.tip, Amount::ZERO, "{soon:?}");
    assert!(soon.probability_permille >= 950);
    // A hundred blocks of it: not in two seconds.
    let never = estimate(&market(0, &[TARGET / 2; 100], waiting(100)), &PAYMENT).normal;
    // 3,000 millionths of a fen on a weight of 700 are 2.1 fen.
    assert_eq!(never.tip, Amount::from_fen(3), "{never:?}");
    assert_eq!(never.why, Why::Backlog);
    assert!(never.probability_permille >= 950);
}

#[test]
fn what_cannot_be_in_time_and_what_is_not_known_is_not_promised() {
    let calm = market(0, &[TARGET / 4; 100], vec![]);
    for estimate in all(estimate(&calm, &Ask { within_ms: 50, ..PAYMENT })) {
        assert!(estimate.probability_permille < 500, "{estimate:?}");
    }
    let new = market(0, &[TARGET / 4; 3], vec![]);
    for estimate in all(estimate(&new, &PAYMENT)) {
        assert!(estimate.probability_permille < 950, "{estimate:?}");
        assert_eq!(estimate.why, Why::NoHistory);
    }
}

#[test]
fn at_the_governed_ceiling_it_says_so() {
    let market = market(9_900_000, &[3 * TARGET; 100], vec![]);
    let normal = estimate(&market, &PAYMENT).normal;
    assert_eq!(normal.why, Why::Ceiling);
    assert_eq!(normal.fee_max, market.params.rate_max.due(700));
}

prop_compose! {
    fn any_market()(
        blocks in vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..300),
        waiting in vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..300),
        finality_ms in vec(any::<u64>(), 0..300),
        numbers in any::<[u64; 6]>(),
    ) -> Market {
        let [weight_target, step, rate_max, block_weight_max, pace_ms, base_fee] = numbers;
        Market {
            params: FeeParams {
                weight_target,
                step_denominator: 2 + step % 1_023,
                step_min: rate(1 + step % 1_000_000),
                rate_max: rate(rate_max),
                quota: Amount::ZERO,
            },
            block_weight_max,
            pace_ms,
            base_fee: rate(base_fee),
            blocks: blocks
                .into_iter()
                .map(|(timestamp_ms, weight, base_fee)| BlockFacts { timestamp_ms, weight, base_fee: rate(base_fee) })
                .collect(),
            backlog: Backlog {
                waiting: waiting
                    .into_iter()
                    .map(|(tip, fee, weight)| Waiting { tip_rate: rate(tip), fee_rate: rate(fee), weight })
                    .collect(),
            },
            finality_ms,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Bids and times come from strangers: no number makes it panic, and the answer is consistent.
    #[test]
    fn any_market_and_question_is_answered(
        market in any_market(),
        weight in any::<u64>(),
        confidence_permille in any::<u16>(),
        within_ms in any::<u64>(),
    ) {
        let ask = Ask { weight, confidence_permille, within_ms };
        let estimates = estimate(&market, &ask);
        prop_assert_eq!(estimates, estimate(&market, &ask));
        for estimate in all(estimates) {
            prop_assert!(estimate.probability_permille <= 1_000);
            prop_assert!(estimate.tip <= estimate.fee_max);
            prop_assert!(estimate.final_ms_p50 <= estimate.final_ms_p95);
        }
    }

    /// A bid is never asked to expect more than its ceiling.
    #[test]
    fn what_is_expected_lies_within_the_bid(
        weights in vec(0..BLOCK_MAX, 40..120),
        base_fee in 0u64..2_000_000,
        waiting in vec((0u64..50_000, 0u64..10_000_000, 1u64..BLOCK_MAX), 0..40),
        within_ms in 300u64..20_000,
    ) {
        let waiting = waiting
            .into_iter()
            .map(|(tip, fee, weight)| Waiting { tip_rate: rate(tip), fee_rate: rate(tip + fee), weight })
            .collect();
        let market = market(base_fee, &weights, waiting);
        for estimate in all(estimate(&market, &Ask { within_ms, ..PAYMENT })) {
            prop_assert!(estimate.expected_fee <= estimate.fee_max, "{:?}", estimate);
        }
    }
}
