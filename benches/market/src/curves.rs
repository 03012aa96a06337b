//! `market curves`: the base fee of our rule beside that of EIP-1559, on the same demand, as SVG.
//!
//! Both markets get the same bidders, who bid the same and leave as late; both blocks hold as much and aim at as much. Only the rule
//! differs. EIP-1559's starts at [`EIP_1559_FLOOR`], since from zero it never rises.

use std::fs;
use std::path::Path;

use ledger::records::FeeParams;
use ledger::rules::base_fee::next_base_fee;
use ledger::values::FeeRate;

use crate::demand::{Demand, Family};
use crate::plot::{Line, plot};
use crate::queue::Queue;
use crate::world::PACE_MS;

const FAMILIES: [Family; 4] = [Family::Flat, Family::Spike, Family::Wave, Family::Attack];
/// The seed that is drawn; neither tuned nor scored on.
const SEED: u64 = 501;
const BLOCKS: u32 = 1_200;
/// Where EIP-1559's rule stands still: an eighth of a rate below 8 rounds to nothing, and it rises by at least one. Here it starts at our
/// least step, which costs nobody a fen, and does not fall below.
const EIP_1559_FLOOR: u64 = 100;

/// Writes one plot per family into a directory.
pub(crate) fn curves(directory: &Path) {
    fs::create_dir_all(directory).expect("the directory can be made");
    for family in FAMILIES {
        let ours = run(family, |params, parent, weight| {
            next_base_fee(params, FeeRate::from_micro_fen(parent), weight).micro_fen()
        });
        let theirs = run(family, eip_1559);
        let (ours_mean, theirs_mean) = (mean_weight(&ours), mean_weight(&theirs));
        println!(
            "{}: weight per block, in targets: ours {ours_mean:.2}, EIP-1559 {theirs_mean:.2}; blocks at zero: ours {} of {BLOCKS}",
            family.name(),
            ours.iter().filter(|block| block.base_fee == 0).count()
        );
        let rates = |blocks: &[Block]| blocks.iter().map(|block| block.base_fee as f64).collect();
        let load = ours.iter().map(|block| block.weight as f64).collect();
        let lines = [
            Line { name: "ours", colour: "#0b62a4", values: rates(&ours) },
            Line { name: "EIP-1559", colour: "#c0392b", values: rates(&theirs) },
        ];
        let seconds = f64::from(BLOCKS) * PACE_MS as f64 / 1_000.0;
        let svg = plot(family.name(), seconds, &lines, load, FeeParams::default().weight_target as f64);
        let path = directory.join(format!("{}.svg", family.name()));
        fs::write(&path, svg).expect("the plot can be written");
        println!("wrote {}", path.display());
    }
}

struct Block {
    base_fee: u64,
    weight: u64,
}

fn run(family: Family, next: impl Fn(&FeeParams, u64, u64) -> u64) -> Vec<Block> {
    let params = FeeParams::default();
    let weight_max = 8 * params.weight_target;
    let rate_max = params.rate_max.micro_fen();
    let mut demand = Demand::new(family, SEED, params.weight_target, weight_max, rate_max);
    let mut queue = Queue::default();
    // The rule itself says where it starts: ours at zero, the other at its floor.
    let mut base_fee = next(&params, 0, 0);
    (0..BLOCKS)
        .map(|number| {
            queue.add(&demand.arrivals(number, base_fee));
            let weight = queue.take(number, base_fee, weight_max).weight;
            let block = Block { base_fee, weight };
            base_fee = next(&params, base_fee, weight);
            block
        })
        .collect()
}

/// EIP-1559 with our target and denominator: symmetric, at the target at rest. Its blocks hold two targets, so a heavier one counts as
/// two.
fn eip_1559(params: &FeeParams, parent: u64, weight: u64) -> u64 {
    let (target, denominator) = (params.weight_target, params.step_denominator);
    let step = |part: u64| (u128::from(parent) * u128::from(part) / u128::from(target * denominator)) as u64;
    let next = if weight > target {
        parent + step((weight - target).min(target)).max(1)
    } else {
        parent - step(target - weight)
    };
    next.clamp(EIP_1559_FLOOR, params.rate_max.micro_fen())
}

fn mean_weight(blocks: &[Block]) -> f64 {
    let total: u64 = blocks.iter().map(|block| block.weight).sum();
    total as f64 / blocks.len() as f64 / FeeParams::default().weight_target as f64
}
