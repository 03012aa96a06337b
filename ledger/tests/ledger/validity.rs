//! Validity of batches and blocks, one row per fault.

use ledger::records::batch::BATCH_LIFE_MS_MAX;
use ledger::records::block::{BLOCK_BUNDLES_WEIGHT_MAX, CLAIM_LAG_MAX};
use ledger::records::{Batch, BatchContent, Block, Claim, Tier};
use ledger::rules::block_validity::{check_body, check_contents, check_header, check_parent};
use ledger::rules::{
    BatchFacts, BatchFault, BlockFault, BundleFacts, ParentFacts, TransactionFault, check_batch,
};
use ledger::values::{
    BatchDigest, BlockDigest, BodyHash, BundleDigest, ChainId, Epoch, FeeRate, Height, ResultHash,
    TimestampMs, ValidatorIndex, View,
};

use crate::network::{Network, consensus_keys, pay};

fn town() -> Network {
    let mut network = Network::new();
    network.open(0..2, Tier::One);
    network.fund(&network.customer(0).wallet, 100);
    network
}

#[test]
fn batches_row_by_row() {
    let mut network = town();
    let payer = network.customer(0);
    let good = network.transaction(&payer, 1, pay(&[(network.customer(1).wallet, 1)]));
    let (digest, batch) = network.seal(vec![good.clone(), good]);
    let rules = network.state.rules().clone();
    assert_eq!(check_batch(&rules, &batch), Ok(digest));
    type Change = fn(&mut BatchContent);
    let at = |index, fault| BatchFault::Transaction { index, fault };
    let rows: Vec<(&str, Change, BatchFault)> = vec![
        ("chain", |b| b.chain = ChainId(1), BatchFault::WrongChain { chain: ChainId(1) }),
        (
            "epoch",
            |b| b.epoch = Epoch(1),
            BatchFault::SealerUnknown { epoch: Epoch(1), sealer: ValidatorIndex(0) },
        ),
        (
            "sealer",
            |b| b.sealer = ValidatorIndex(4),
            BatchFault::SealerUnknown { epoch: Epoch(0), sealer: ValidatorIndex(4) },
        ),
        (
            "another sealer's seal",
            |b| b.sealer = ValidatorIndex(1),
            BatchFault::SealInvalid { sealer: ValidatorIndex(1) },
        ),
        ("network", |b| b.transactions[1].content.network[0] ^= 1, at(1, TransactionFault::WrongNetwork)),
        (
            "a transaction's chain",
            |b| b.transactions[0].content.chain = ChainId(2),
            at(0, TransactionFault::WrongChain { chain: ChainId(2) }),
        ),
    ];
    for (name, change, expected) in rows {
        let mut content = batch.content.clone();
        change(&mut content);
        let (_, resealed) = content.seal(network.genesis, &consensus_keys()[0]);
        assert_eq!(check_batch(&rules, &resealed), Err(expected), "{name}");
    }
    let changed = |change: fn(&mut Batch)| {
        let mut batch = batch.clone();
        change(&mut batch);
        check_batch(&rules, &batch)
    };
    let unsealed = Err(BatchFault::SealInvalid { sealer: ValidatorIndex(0) });
    assert_eq!(changed(|batch| batch.signature.0[3] ^= 1), unsealed);
    assert_eq!(changed(|batch| batch.content.sequence += 1), unsealed);
    assert!(matches!(changed(|batch| batch.content.transactions.clear()), Err(BatchFault::Malformed(_))));
    assert!(matches!(
        changed(|batch| batch.content.transactions[0].signatures.clear()),
        Err(BatchFault::Malformed(_))
    ));
}

/// A row: a change to a good block and the fault that it makes; `None` keeps it valid.
type Row = (&'static str, fn(&mut Block), Option<BlockFault>);

fn check(
    network: &Network,
    parent: &ParentFacts,
    block: &Block,
    facts: &[BatchFacts],
) -> Result<(), BlockFault> {
    check_header(network.state.rules(), &block.header)?;
    check_parent(network.state.rules(), &block.header, parent)?;
    check_body(&block.header, &block.body)?;
    check_contents(&block.header, &block.body, facts, &[])
}

#[test]
fn blocks_row_by_row() {
    let mut network = town();
    let transaction = network.transaction(&network.customer(0), 1, pay(&[(network.customer(1).wallet, 1)]));
    let parent = network.parent;
    network.run(vec![transaction]);
    let facts = network.facts(network.height().0);
    let good = network.heights.last().unwrap().0.clone();
    assert_eq!(check(&network, &parent, &good, &facts), Ok(()));
    let (height, digest, digest_in_body) = (good.header.height, parent.digest, facts[0].digest);
    let claimed = good.header.claim;
    let rows: Vec<Row> = vec![
        ("chain", |b| b.header.chain = ChainId(1), Some(BlockFault::WrongChain { chain: ChainId(1) })),
        ("epoch", |b| b.header.epoch = Epoch(1), Some(BlockFault::EpochNotOpen { epoch: Epoch(1), height })),
        (
            "proposer",
            |b| b.header.proposer = ValidatorIndex(4),
            Some(BlockFault::ProposerUnknown { epoch: Epoch(0), proposer: ValidatorIndex(4) }),
        ),
        ("another proposer", |b| b.header.proposer = ValidatorIndex(3), None),
        (
            "base fee",
            |b| b.header.base_fee = FeeRate::from_micro_fen(1),
            Some(BlockFault::BaseFee { found: FeeRate::from_micro_fen(1), expected: FeeRate::ZERO }),
        ),
        (
            "too heavy",
            |b| b.header.weight = 8 * 1_024 * 1_024 + 1,
            Some(BlockFault::TooHeavy { weight: 8 * 1_024 * 1_024 + 1, weight_max: 8 * 1_024 * 1_024 }),
        ),
        (
            "claims itself",
            |b| b.header.claim.height = b.header.height,
            Some(BlockFault::ClaimNotBelow { height, claimed: height }),
        ),
        (
            "height",
            |b| {
                b.header.height = b.header.height.next();
            },
            Some(BlockFault::HeightNotNext { height: height.next(), parent: Height(height.0 - 1) }),
        ),
        (
            "parent",
            |b| b.header.parent = BlockDigest([3; 32]),
            Some(BlockFault::ParentDigest { named: BlockDigest([3; 32]), parent: digest }),
        ),
        (
            "same view",
            |b| b.header.view.0 -= 1,
            Some(BlockFault::ViewNotLater { view: parent.view, parent: parent.view }),
        ),
        ("a later view", |b| b.header.view.0 += 5, None),
        (
            "same time",
            |b| b.header.timestamp.0 -= 50,
            Some(BlockFault::TimestampNotLater { timestamp: parent.timestamp, parent: parent.timestamp }),
        ),
        ("a millisecond later", |b| b.header.timestamp.0 -= 49, None),
        (
            "body",
            |b| b.header.body = BodyHash([1; 32]),
            Some(BlockFault::Body { committed: BodyHash([1; 32]), body: good.body.hash() }),
        ),
        (
            "weight",
            |b| b.header.weight += 1,
            Some(BlockFault::Weight { claimed: good.header.weight + 1, counted: good.header.weight }),
        ),
        (
            "bundles",
            |b| {
                b.body.bundles = vec![BundleDigest::default(); 2];
                b.header.body = b.body.hash();
            },
            Some(BlockFault::BundleTwice { digest: BundleDigest::default() }),
        ),
        (
            "twice",
            |b| {
                let digest = b.body.batches[0];
                b.body.batches.push(digest);
                b.header.body = b.body.hash();
            },
            Some(BlockFault::DigestTwice { digest: digest_in_body }),
        ),
        (
            "another batch",
            |b| {
                b.body.batches[0] = BatchDigest([2; 32]);
                b.header.body = b.body.hash();
            },
            Some(BlockFault::BatchMismatch { position: 0 }),
        ),
    ];
    for (name, change, expected) in rows {
        let mut block = good.clone();
        change(&mut block);
        assert_eq!(check(&network, &parent, &block, &facts).err(), expected, "{name}");
    }
    let with_parent = |change: fn(&mut ParentFacts)| {
        let mut parent = parent;
        change(&mut parent);
        check(&network, &parent, &good, &facts)
    };
    assert_eq!(with_parent(|parent| parent.claim = Claim { height: Height(0), ..parent.claim }), Ok(()));
    assert!(matches!(with_parent(|p| p.claim.height = Height(99)), Err(BlockFault::ClaimBack { .. })));
    assert!(matches!(with_parent(|p| p.epoch = Epoch(1)), Err(BlockFault::EpochBack { .. })));
    let fork = |parent: &mut ParentFacts| {
        parent.claim = Claim { height: Height(parent.height.0), result: ResultHash([9; 32]) }
    };
    assert_eq!(
        with_parent(fork),
        Err(BlockFault::ClaimBack {
            claim: claimed,
            parent: Claim { height: claimed.height, result: ResultHash([9; 32]) }
        })
    );
    assert!(matches!(check(&network, &parent, &good, &[]), Err(BlockFault::Malformed(_))));
    expiries(&network, &parent, &good, facts[0]);
}

fn expiries(network: &Network, parent: &ParentFacts, good: &Block, batch: BatchFacts) {
    let now = good.header.timestamp.0;
    let expiry = |expires| {
        let facts = BatchFacts { expires: TimestampMs(expires), ..batch };
        check(network, parent, good, &[facts])
    };
    for (expires, is_valid) in
        [(now - 1, false), (now, true), (now + BATCH_LIFE_MS_MAX, true), (now + BATCH_LIFE_MS_MAX + 1, false)]
    {
        assert_eq!(expiry(expires).is_ok(), is_valid, "{expires}");
    }
    let other_epoch = BatchFacts { epoch: Epoch(1), ..batch };
    assert!(matches!(check(network, parent, good, &[other_epoch]), Err(BlockFault::BatchEpoch { .. })));
}

/// Bundles have room of their own: they are not in the header's weight, and take no room from batches.
#[test]
fn bundles_are_weighed_apart() {
    let mut network = town();
    let transaction = network.transaction(&network.customer(0), 1, pay(&[(network.customer(1).wallet, 1)]));
    network.run(vec![transaction]);
    let batches = network.facts(network.height().0);
    let mut block = network.heights.last().unwrap().0.clone();
    let weight = block.header.weight;
    assert_eq!(weight, batches[0].weight);
    let of = |number: u8, weight| BundleFacts {
        digest: BundleDigest([number; 32]),
        weight,
        source: ChainId(1),
        first: 0,
        receipts: 1,
        judged_by: Epoch(0),
    };
    block.body.bundles = vec![of(1, 0).digest, of(2, 0).digest];
    block.header.body = block.body.hash();
    let max = BLOCK_BUNDLES_WEIGHT_MAX;
    let too_heavy = |weight| Err(BlockFault::BundlesTooHeavy { weight });
    let rows = [
        ("as heavy as may be", weight, [max - 1, 1], Ok(())),
        ("one unit more", weight, [max, 1], too_heavy(max + 1)),
        ("saturates", weight, [u64::MAX, u64::MAX], too_heavy(u64::MAX)),
        (
            "counted into the header",
            weight + 700,
            [300, 400],
            Err(BlockFault::Weight { claimed: weight + 700, counted: weight }),
        ),
    ];
    for (name, claimed, [first, second], expected) in rows {
        block.header.weight = claimed;
        let bundles = [of(1, first), of(2, second)];
        assert_eq!(check_contents(&block.header, &block.body, &batches, &bundles), expected, "{name}");
    }
    assert_eq!(BlockFault::BundlesTooHeavy { weight: 0 }.code(), 638);
}

#[test]
fn batches_wait_for_claims() {
    let network = town();
    let digest = BatchDigest([1; 32]);
    let mut block = network.block(&[]);
    block.header.height = Height(100);
    for (lag, with_batch, is_valid) in
        [(CLAIM_LAG_MAX, true, true), (CLAIM_LAG_MAX + 1, true, false), (CLAIM_LAG_MAX + 1, false, true)]
    {
        block.body.batches = if with_batch { vec![digest] } else { Vec::new() };
        block.header.body = block.body.hash();
        block.header.claim.height = Height(100 - lag);
        assert_eq!(
            check_body(&block.header, &block.body).is_ok(),
            is_valid,
            "lag {lag}, batches {with_batch}"
        );
    }
}

#[test]
fn the_parent_of_height_one_is_genesis() {
    let network = Network::new();
    let block = network.block(&[]);
    assert_eq!(block.header.height, Height(1));
    assert_eq!(check(&network, &network.parent, &block, &[]), Ok(()));
    assert_eq!(network.parent.view, View(0));
}

#[test]
fn fault_codes_do_not_collide() {
    let codes = [51, 52, 53, 55];
    let faults = [
        TransactionFault::WrongNetwork,
        TransactionFault::WrongChain { chain: ChainId(1) },
        TransactionFault::SignatureInvalid,
    ];
    for (fault, code) in faults.iter().zip(&codes[1..]) {
        assert_eq!(fault.code(), *code);
        assert!(!fault.mend().is_empty());
        assert_eq!(BatchFault::Transaction { index: 0, fault: *fault }.code(), *code);
    }
}
