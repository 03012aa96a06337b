//! The base fee: how it moves from block to block.

use ledger::records::{ChainParams, FeeParams};
use ledger::rules::{blocks_to_zero_max, next_base_fee};
use ledger::values::{Amount, FeeRate};
use proptest::prelude::*;

const fn rate(micro_fen: u64) -> FeeRate {
    FeeRate::from_micro_fen(micro_fen)
}

/// Target 1,000,000, an eighth a step, at least 100.
fn params() -> FeeParams {
    FeeParams { weight_target: 1_000_000, ..FeeParams::default() }
}

#[test]
fn steps_row_by_row() {
    let rows: &[(&str, u64, u64, u64)] = &[
        ("at rest", 0, 0, 0),
        ("at rest with all the room used", 0, 1_000_000, 0),
        ("one unit too many", 0, 1_000_001, 100),
        ("twice the target: two steps", 0, 2_000_000, 200),
        ("almost three times", 0, 2_999_999, 200),
        ("eight times", 50, 8_000_000, 850),
        ("an eighth", 80_000, 2_000_000, 90_000),
        ("no more than an eighth", 80_000, 60_000_000, 90_000),
        ("half of an eighth", 80_000, 1_500_000, 85_000),
        ("at least the least step", 80_000, 1_000_001, 80_100),
        ("at most the ceiling", 9_999_950, 1_000_001, 10_000_000),
        ("at the ceiling", 10_000_000, 2_000_000, 10_000_000),
        ("an empty block: twice as fast down", 80_000, 0, 60_000),
        ("half of that", 80_000, 500_000, 70_000),
        ("at the target a quarter of a step", 80_000, 1_000_000, 77_500),
        ("the least step down", 1_000, 1_000_000, 900),
        ("to zero", 100, 1_000_000, 0),
        ("not below", 99, 0, 0),
        ("above a ceiling that was lowered", 90_000_000, 60_000_000, 10_000_000),
        ("the same below the target", 90_000_000, 999_999, 10_000_000),
    ];
    for (name, before, weight, after) in rows {
        assert_eq!(next_base_fee(&params(), rate(*before), *weight), rate(*after), "{name}");
    }
}

#[test]
fn what_a_rate_makes_due() {
    let rows = [(0, 700, 0), (1_428, 700, 0), (1_429, 700, 1), (10_000_000, 700, 7_000), (3, 0, 0)];
    for (micro_fen, weight, fen) in rows {
        assert_eq!(rate(micro_fen).due(weight), Amount::from_fen(fen), "{micro_fen} × {weight}");
    }
    assert_eq!(rate(u64::MAX).due(u64::MAX), Amount::from_fen(u64::MAX), "saturates");
    assert_eq!(FeeRate::of_bid(Amount::from_fen(5), 0), rate(u64::MAX));
    assert_eq!(FeeRate::of_bid(Amount::from_fen(u64::MAX), 1), rate(u64::MAX));
    assert_eq!(
        FeeRate::of_bid(Amount::ZERO, 700),
        rate(1_428),
        "a bid of nothing is worth what rounds to nothing"
    );
    assert_eq!(rate(250).to_string(), "250 µfen");
}

#[test]
fn the_default_market_is_within_its_bounds() {
    let params = ChainParams::default();
    assert_eq!(params.check(), Ok(()));
    assert!(!params.tiers.iter().any(|tier| tier.is_fee_exempt));
    assert_eq!(blocks_to_zero_max(&params.fees), blocks_to_zero_max(&FeeParams::default()));
}

/// Any parameters that genesis and governance accept.
fn markets() -> impl Strategy<Value = FeeParams> {
    let ranges = (10_000_u64..8_000_000, 2_u64..=1_024, 1_u64..=1_000_000, 0_u64..=1_000_000_000);
    ranges.prop_map(|(weight_target, step_denominator, step_min, above)| FeeParams {
        weight_target,
        step_denominator,
        step_min: rate(step_min),
        rate_max: rate((step_min + above).min(1_000_000_000)),
        quota: Amount::ZERO,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_step_is_bounded(params in markets(), start in 0_u64..=1_000_000_000, weight in 0_u64..16_000_000) {
        prop_assert_eq!(params.check(8 * 1_024 * 1_024), Ok(()));
        let before = start.min(params.rate_max.micro_fen());
        let after = next_base_fee(&params, rate(before), weight).micro_fen();
        let (step_min, part) = (params.step_min.micro_fen(), before / params.step_denominator);
        prop_assert!(after <= params.rate_max.micro_fen());
        if weight > params.weight_target {
            prop_assert!(after > before || after == params.rate_max.micro_fen(), "rises strictly to the ceiling");
            let times = weight / params.weight_target;
            prop_assert!(after - before <= part.max(step_min * times));
        } else {
            prop_assert!(after < before || after == 0, "falls strictly to zero, and stays there");
            prop_assert!(before - after <= (2 * before / params.step_denominator + 1).max(step_min));
        }
    }

    /// A heavier parent never makes a lower base fee.
    #[test]
    fn more_weight_is_never_cheaper(params in markets(), start in 0_u64..=1_000_000_000, weight in 0_u64..16_000_000, more in 0_u64..16_000_000) {
        let before = rate(start.min(params.rate_max.micro_fen()));
        prop_assert!(next_base_fee(&params, before, weight) <= next_base_fee(&params, before, weight + more));
    }

    #[test]
    fn overload_reaches_the_ceiling_and_room_brings_back_zero(params in markets(), weights in prop::collection::vec(0_u64..=1_000, 1..8)) {
        let bound = blocks_to_zero_max(&params);
        let (mut base_fee, mut blocks) = (params.rate_max, 0_u64);
        // Every block at the target is the slowest way down; any mixture below it is quicker.
        for permille in std::iter::once(&1_000).chain(&weights) {
            while !base_fee.is_zero() {
                base_fee = next_base_fee(&params, base_fee, params.weight_target / 1_000 * permille);
                blocks += 1;
                prop_assert!(blocks <= bound, "{blocks} blocks, {bound} were promised");
            }
            prop_assert!(next_base_fee(&params, base_fee, params.weight_target).is_zero());
            (base_fee, blocks) = (params.rate_max, 0);
        }
        // And all of them in turn.
        for permille in weights.iter().cycle() {
            if base_fee.is_zero() {
                break;
            }
            base_fee = next_base_fee(&params, base_fee, params.weight_target / 1_000 * permille);
            blocks += 1;
            prop_assert!(blocks <= bound, "{blocks} blocks of a mixture, {bound} were promised");
        }
        let mut base_fee = FeeRate::ZERO;
        let rises = bound.saturating_mul(4).saturating_add(8);
        for _ in 0..rises {
            base_fee = next_base_fee(&params, base_fee, 2 * params.weight_target);
        }
        prop_assert_eq!(base_fee, params.rate_max);
    }

    #[test]
    fn a_bid_is_worth_the_highest_rate_that_it_covers(fen in 0_u64..1_000_000_000, weight in 1_u64..3_000_000) {
        let (fee, worth) = (Amount::from_fen(fen), FeeRate::of_bid(Amount::from_fen(fen), weight));
        prop_assert!(worth.due(weight) <= fee);
        prop_assert!(rate(worth.micro_fen() + 1).due(weight) > fee);
    }
}
