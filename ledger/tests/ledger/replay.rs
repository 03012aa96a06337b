//! Replay: a good history passes, and each kind of lie is named where it is told.

use ledger::proofs::{Difference, HeightRecord, Replay};
use ledger::records::{Batch, Block, Claim, Record, Tier};
use ledger::rules::{BatchFault, BlockFault};
use ledger::values::{Amount, BatchDigest, FeeRate, Height, ResultHash, Sequential, Slot};

use crate::network::{CHAIN, NO_BUNDLES, Network, consensus_keys, pay};

fn history() -> Network {
    let mut network = Network::new();
    network.open(0..3, Tier::One);
    network.fund(&network.customer(0).wallet, 1_000);
    let payer = network.customer(0);
    let pays = (1..=4).map(|n| network.transaction(&payer, n, pay(&[(network.customer(1).wallet, n * 100)])));
    let pays = pays.collect();
    network.run(pays);
    network.run(Vec::new());
    network
}

fn replayed(network: &Network) -> Replay {
    let mut replay = Replay::new(&network.spec, CHAIN, [1; 32]).unwrap();
    for ((block, batches, execution), bundles) in network.heights.iter().zip(&network.bundles) {
        let (result, outcomes) = (Some(&execution.result), Some(execution.outcomes.as_slice()));
        let again =
            replay.step(HeightRecord { block, batches, bundles, result, outcomes }, &Sequential).unwrap();
        assert_eq!(again, *execution);
    }
    replay
}

#[test]
fn a_good_history_replays_to_the_same_state() {
    let network = history();
    let replay = replayed(&network);
    assert_eq!(replay.state().parts(), network.state.parts());
    assert_eq!(replay.records(), &network.records);
    let stored = || network.records.iter().map(|(slot, record)| (slot, record.clone()));
    assert_eq!(replay.compare_records(stored()), Ok(()));
}

#[test]
fn a_rewritten_balance_is_named_with_both_values() {
    let network = history();
    let replay = replayed(&network);
    let slot = network.state.slot(&network.customer(1).wallet).unwrap();
    let stored: Vec<(Slot, Record)> =
        network.records.iter().map(|(slot, record)| (slot, record.clone())).collect();
    let mut richer = stored.clone();
    let Record::Wallet(wallet) = &mut richer[slot.0 as usize].1 else { panic!() };
    wallet.balance = Amount::from_fen(999_999);
    match *replay.compare_records(richer).unwrap_err() {
        Difference::Record {
            height, slot: named, stored: Some(stored), computed: Some(computed), ..
        } => {
            assert_eq!((height, named), (network.height(), slot));
            assert_eq!((stored.value().fen(), computed.value().fen()), (999_999, 1_000));
        }
        other => panic!("{other}"),
    }
    let missing = stored[..stored.len() - 1].to_vec();
    assert!(matches!(*replay.compare_records(missing).unwrap_err(), Difference::Record { stored: None, .. }));
    let extra = [stored, vec![(Slot(99), Record::Suspense { balance: Amount::ZERO })]].concat();
    assert!(matches!(*replay.compare_records(extra).unwrap_err(), Difference::Record { computed: None, .. }));
}

/// Replays up to a height, then steps to a changed version of it.
fn lie(height: usize, change: impl FnOnce(&mut Block, &mut Vec<Batch>)) -> Difference {
    let network = history();
    let mut replay = Replay::new(&network.spec, CHAIN, [1; 32]).unwrap();
    let record =
        |block, batches| HeightRecord { block, batches, bundles: NO_BUNDLES, result: None, outcomes: None };
    for (block, batches, _) in &network.heights[..height - 1] {
        replay.step(record(block, batches), &Sequential).unwrap();
    }
    let (mut block, mut batches, _) = network.heights[height - 1].clone();
    change(&mut block, &mut batches);
    *replay.step(record(&block, &batches), &Sequential).unwrap_err()
}

/// Makes header and body fit changed batches, sealed anew by their sealer.
fn refit(block: &mut Block, batches: &mut [Batch]) {
    let genesis = Network::new().genesis;
    for (batch, digest) in batches.iter_mut().zip(&mut block.body.batches) {
        (*digest, *batch) = batch.content.clone().seal(genesis, &consensus_keys()[0]);
    }
    block.header.body = block.body.hash();
    block.header.weight = batches.iter().map(Batch::weight).sum();
}

#[test]
fn each_kind_of_lie_is_named() {
    let is_claim = |difference| {
        matches!(difference, Difference::Claim { claimed_height: Height(3), height: Height(4), .. })
    };
    assert!(is_claim(lie(4, |block, _| block.header.claim.result = ResultHash([9; 32]))));
    let far = |block: &mut Block, _: &mut Vec<Batch>| block.header.timestamp.0 = 0;
    assert!(matches!(lie(2, far), Difference::Block { fault: BlockFault::TimestampNotLater { .. }, .. }));
    let other_body = |block: &mut Block, _: &mut Vec<Batch>| block.body.batches[0] = BatchDigest([1; 32]);
    assert!(matches!(lie(4, other_body), Difference::Block { fault: BlockFault::Body { .. }, .. }));
    let stolen = |_: &mut Block, batches: &mut Vec<Batch>| {
        batches[0].content.transactions.remove(2);
    };
    assert!(matches!(
        lie(4, stolen),
        Difference::Batch { batch: 0, fault: BatchFault::SealInvalid { .. }, .. }
    ));
    let resealed = |block: &mut Block, batches: &mut Vec<Batch>| {
        batches[0].content.transactions.remove(2);
        let mut other = block.clone();
        refit(&mut other, batches);
    };
    assert!(matches!(
        lie(4, resealed),
        Difference::Block { fault: BlockFault::BatchMismatch { position: 0 }, .. }
    ));
    let forged = |block: &mut Block, batches: &mut Vec<Batch>| {
        batches[0].content.transactions[2].signatures[0].signature.0[40] ^= 1;
        refit(block, batches);
    };
    assert!(matches!(lie(4, forged), Difference::Signature { index: 2, height: Height(4), .. }));
    let none = |_: &mut Block, batches: &mut Vec<Batch>| batches.clear();
    assert!(matches!(lie(4, none), Difference::Block { fault: BlockFault::Malformed(_), .. }));
    let fee = |block: &mut Block, _: &mut Vec<Batch>| block.header.base_fee = FeeRate::from_micro_fen(1);
    assert!(matches!(lie(4, fee), Difference::Block { fault: BlockFault::BaseFee { .. }, .. }));
}

#[test]
fn stored_outcomes_and_results_are_compared() {
    let network = history();
    let step = |change_outcome: bool, drop: bool, change_result: bool| {
        let mut replay = Replay::new(&network.spec, CHAIN, [1; 32]).unwrap();
        for (block, batches, _) in &network.heights[..3] {
            replay
                .step(
                    HeightRecord { block, batches, bundles: NO_BUNDLES, result: None, outcomes: None },
                    &Sequential,
                )
                .unwrap();
        }
        let (block, batches, execution) = &network.heights[3];
        let (mut result, mut outcomes) = (execution.result.clone(), execution.outcomes.clone());
        if change_outcome {
            outcomes[2].code = 205;
        }
        if drop {
            outcomes.pop();
        }
        if change_result {
            result.state.0[0] ^= 1;
        }
        replay.step(
            HeightRecord {
                block,
                batches,
                bundles: NO_BUNDLES,
                result: Some(&result),
                outcomes: Some(&outcomes),
            },
            &Sequential,
        )
    };
    assert!(step(false, false, false).is_ok());
    match *step(true, false, false).unwrap_err() {
        Difference::Outcome { index: 2, stored: Some(stored), computed: Some(computed), .. } => {
            assert_eq!((stored.code, computed.code), (205, 0));
        }
        other => panic!("{other}"),
    }
    assert!(matches!(
        *step(false, true, false).unwrap_err(),
        Difference::Outcome { index: 3, stored: None, .. }
    ));
    assert!(matches!(*step(false, false, true).unwrap_err(), Difference::Result { .. }));
}

#[test]
fn a_digest_is_ordered_once_until_it_expires() {
    let network = history();
    let mut replay = replayed(&network);
    let (block, batches, _) = &network.heights[3];
    let digest = block.body.batches[0];
    let mut again = network.block(&[(digest, batches[0].clone())]);
    again.header.claim = Claim { height: network.height(), result: network.state.head().result };
    let given = HeightRecord { block: &again, batches, bundles: NO_BUNDLES, result: None, outcomes: None };
    let difference = *replay.step(given, &Sequential).unwrap_err();
    assert!(matches!(difference, Difference::OrderedTwice { batch: 0, .. }), "{difference}");
}
