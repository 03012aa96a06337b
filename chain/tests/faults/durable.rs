//! What a loss of power may not leave behind: a height without what it stands on.

use chain::{Archive, Frame};
use ledger::records::Batch;
use ledger::values::{Canonical as _, Height};
use storage::{Durability, Table, WriteSet, key};

use crate::rig::{Bank, FAULTY};

/// A bank that follows: the block is final before its batch is here, and nobody asked it to vote.
fn follows_with_a_late_batch(bank: &mut Bank) -> (ledger::values::BatchDigest, Batch) {
    let (digest, batch) = bank.sealed(2, 1, vec![bank.issue(1, 5)]);
    let block = bank.block(&bank.genesis_facts, &[(digest, batch.weight())]);
    bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
    bank.finalize(&block);
    assert_eq!(bank.chain.status().executed_height, Height(0), "the batch is missing");
    bank.batch(2, &batch);
    assert_eq!(bank.chain.status().executed_height, Height(1));
    (digest, batch)
}

#[test]
fn a_height_is_on_disk_with_the_batch_that_still_waits_in_the_line_to_the_disk() {
    let mut bank = Bank::new();
    // The line to the disk stands still; the executor writes beside it, and power is lost.
    bank.hold_disk = true;
    let (digest, batch) = follows_with_a_late_batch(&mut bank);
    let archive = Archive::new(bank.store.as_ref());
    assert_eq!(archive.block_at(Height(1)).unwrap().unwrap().body.batches, [digest]);
    let stored = archive.batch_bytes(digest).unwrap();
    assert_eq!(stored, Some(batch.encode()), "the height is there, its batch is not");
}

#[test]
fn a_batch_that_is_on_disk_already_is_not_written_again() {
    let mut bank = Bank::new();
    let written = |bank: &Bank| bank.store.statistics().write_set_bytes;
    let before = written(&bank);
    let (_, batch) = follows_with_a_late_batch(&mut bank);
    assert_eq!(bank.rows(Table::Batches).len(), 1);
    let once = written(&bank) - before;

    let mut bank = Bank::new();
    bank.hold_disk = true;
    let before = written(&bank);
    follows_with_a_late_batch(&mut bank);
    bank.release();
    let twice = written(&bank) - before;
    assert_eq!(twice - once, 32 + batch.encode().len() as u64, "in the line and with the height");
}

#[test]
fn proposals_that_lost_are_swept_height_by_height_until_none_is_left() {
    let mut bank = Bank::new();
    let mut set = WriteSet::new();
    for number in 0..1_000_u64 {
        let mut digest = [0xAB; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        set.put(Table::Proposals, key::proposal(1, &digest), Vec::new());
    }
    bank.store.write(set, Durability::Synced).unwrap();
    let mut parent = bank.genesis_facts;
    let mut left = Vec::new();
    for _height in 1..=5 {
        let block = bank.block(&parent, &[]);
        bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
        bank.finalize(&block);
        parent = bank.facts(&block);
        left.push(bank.rows(Table::Proposals).len());
    }
    assert_eq!(bank.chain.status().executed_height, Height(5));
    assert!(left[0] > 0, "one height does not sweep them all: {left:?}");
    assert_eq!(left[4], 0, "{left:?}");
}
