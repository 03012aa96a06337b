//! Bundles on disk: those of final blocks stay, those of proposals that lost leave.

use chain::{Archive, Frame};
use ledger::values::Canonical as _;
use storage::Table;

use crate::relayed::{Shards, proposed_bundles, relayed};
use crate::rig::FAULTY;

/// A block that is final may name a bundle that brought nothing: whoever catches up needs it.
#[test]
fn a_bundle_that_a_final_block_names_stays_on_disk() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    for nonce in 1..=3 {
        shards.pay(nonce, payee, nonce);
    }
    let (gap, all) = (shards.bundle(1).unwrap(), shards.bundle(0).unwrap());
    shards.there.give(relayed(&gap));
    shards.order(std::slice::from_ref(&gap));
    assert_eq!(shards.balance_there(payee), 0, "passed over");
    shards.there.give(relayed(&gap));
    shards.there.give(relayed(&all));
    shards.order(std::slice::from_ref(&all));
    assert_eq!(shards.balance_there(payee), 6);
    assert_eq!(shards.there.chain.status().bundles, 0);
    let archive = Archive::new(shards.there.store.as_ref());
    for bundle in [gap, all] {
        assert_eq!(archive.bundle(bundle.digest(shards.there.genesis())).unwrap(), Some(bundle));
    }
}

/// A proposal that lost leaves nothing behind, also where power is lost between the vote and the block that won.
#[test]
fn bundles_of_a_proposal_that_lost_leave_the_disk() {
    for loses_power in [false, true] {
        let mut shards = Shards::new();
        let payee = shards.payee(true);
        shards.pay(1, payee, 300);
        let bundle = shards.bundle(0).unwrap();
        let there = &mut shards.there;
        there.give(relayed(&bundle));
        let lost = there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&bundle));
        let won = there.block(&shards.tip_there, &[]);
        assert_eq!(there.verdict(&lost), Some(true));
        assert_eq!(proposed_bundles(there), [bundle.encode()]);
        if loses_power {
            there.lose_power();
        }
        there.frame(FAULTY, &Frame::Block(Box::new(won.clone())));
        there.finalize(&won);
        assert_eq!(there.chain.status().executed_height, won.header.height);
        let left = (there.rows(Table::Proposals), there.rows(Table::Bundles));
        assert_eq!(left, (Vec::new(), Vec::new()), "loses power: {loses_power}");
        let digest = lost.header.digest(there.genesis());
        assert_eq!(Archive::new(there.store.as_ref()).block(digest).unwrap(), None);
        shards.tip_there = shards.there.facts(&won);

        // What lost once may win later: from then on it stays.
        shards.there.give(relayed(&bundle));
        shards.order(std::slice::from_ref(&bundle));
        assert_eq!((shards.balance_there(payee), shards.there.rows(Table::Bundles).len()), (300, 1));
    }
}

/// One bundle in a block that lost and in an open one above the one that won: what goes with the first is not what the second needs.
#[test]
fn a_bundle_of_a_proposal_that_lost_stays_with_an_open_one() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    shards.pay(1, payee, 300);
    let bundle = shards.bundle(0).unwrap();
    let there = &mut shards.there;
    there.give(relayed(&bundle));
    let lost = there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&bundle));
    let won = there.block(&shards.tip_there, &[]);
    let open = there.block_of_bundles(&there.facts(&won), std::slice::from_ref(&bundle));
    for block in [&lost, &won, &open] {
        assert_eq!(there.verdict(block), Some(true));
    }
    assert_eq!(proposed_bundles(there), [bundle.encode(), bundle.encode()]);
    there.finalize(&won);
    assert_eq!(proposed_bundles(there), [bundle.encode()]);
    there.lose_power();
    there.finalize(&open);
    assert_eq!(shards.balance_there(payee), 300);
    assert_eq!(shards.there.rows(Table::Bundles).len(), 1);
}
