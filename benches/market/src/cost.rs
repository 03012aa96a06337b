//! `market cost`: what one call of the estimator takes, on the dearest market it may be shown.

use std::time::Instant;

use fees::{
    Ask, BACKLOG_BUCKETS_MAX, BLOCKS_MAX, Backlog, BlockFacts, FINALITY_MAX, Market, Waiting, estimate,
};
use ledger::records::FeeParams;
use ledger::values::FeeRate;

use crate::random::Random;

const CALLS: u32 = 2_000;

/// Prints the median and the 99th percentile of the calls for short and long questions, on calm and on crowded markets.
pub(crate) fn cost() {
    println!("| market | asked time | median, µs | p99, µs |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, weight) in [("calm", 900_000u64), ("full blocks, long backlog", 8 * 1_048_576)] {
        for within_ms in [1_000, 2_000, 15_000, 60_000] {
            let market = market(weight);
            let ask = Ask { weight: 700, confidence_permille: 950, within_ms };
            let mut took_ns: Vec<u128> = Vec::new();
            let mut answers = 0u64;
            for _ in 0..CALLS {
                let began = Instant::now();
                answers += estimate(&market, &ask).normal.fee_max.fen();
                took_ns.push(began.elapsed().as_nanos());
            }
            // What was computed is looked at, so that it is computed.
            assert!(answers < u64::MAX);
            took_ns.sort_unstable();
            let median = took_ns[took_ns.len() / 2] / 1_000;
            let p99 = took_ns[took_ns.len() * 99 / 100] / 1_000;
            println!("| {name} | {} s | {median} | {p99} |", within_ms / 1_000);
        }
    }
}

/// As many blocks, buckets and times as the estimator looks at.
fn market(weight: u64) -> Market {
    let mut random = Random::new(1, 7);
    let params = FeeParams::default();
    let is_crowded = weight > params.weight_target;
    let base_fee = if is_crowded { 50_000 } else { 0 };
    let blocks = (0..BLOCKS_MAX as u64)
        .map(|number| BlockFacts {
            timestamp_ms: number * 55,
            weight: if is_crowded {
                weight - random.whole(0, 1_000)
            } else {
                random.whole(weight / 2, weight)
            },
            base_fee: FeeRate::from_micro_fen(base_fee),
        })
        .collect();
    let waiting = (0..BACKLOG_BUCKETS_MAX as u64)
        .map(|number| Waiting {
            tip_rate: FeeRate::from_micro_fen(number * 97),
            fee_rate: FeeRate::from_micro_fen(random.whole(50_000, 10_000_000)),
            weight: if is_crowded { 1_000_000 } else { 100 },
        })
        .collect();
    Market {
        params,
        block_weight_max: 8 * 1_048_576,
        pace_ms: 50,
        base_fee: FeeRate::from_micro_fen(base_fee),
        blocks,
        backlog: Backlog { waiting },
        finality_ms: (0..FINALITY_MAX).map(|_| random.whole(150, 400)).collect(),
    }
}
