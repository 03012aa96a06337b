//! PROTOCOL rule 14: a wrong execution at one bank is seen, taken back and done again; a second one halts.
//!
//! The wrong execution is planted in the rig: a bank whose memory flips executes another amount than its batch says.
//! A twin without the plant says what is right.

use std::collections::BTreeMap;

use chain::rollback::{Divergence, ROLLBACKS_MAX, Stage, Verdict};
use chain::{Archive, Executor, ExecutorFault, Report};
use ledger::records::{Block, Claim, Operation, Record, Tier, WalletOpening};
use ledger::values::hash::sha256;
use ledger::values::{
    Amount, Canonical as _, ChainId, Height, LockId, OperatorId, PolicyHash, Sequential, TimestampMs,
};
use storage::{Durability, Table, WriteSet, key};

use crate::rig::{Bank, FAULTY, Seen};

/// Everything that heights leave behind, except what is stored before a vote, and undo records, which are dropped later.
fn dump(bank: &Bank) -> BTreeMap<&'static str, Vec<(Vec<u8>, Vec<u8>)>> {
    let left_out = [Table::Batches, Table::Blocks, Table::Proposals, Table::Meta, Table::Undo];
    let tables = Table::ALL.into_iter().filter(|table| !left_out.contains(table));
    tables.map(|table| (table.name(), bank.rows(table))).collect()
}

fn head(bank: &Bank) -> ledger::state::StateHead {
    Archive::new(bank.store.as_ref()).head().unwrap().unwrap()
}

fn claim(bank: &Bank, height: u64) -> Claim {
    let result = Archive::new(bank.store.as_ref()).result(Height(height)).unwrap().unwrap();
    Claim { height: Height(height), result: result.hash(bank.genesis()) }
}

/// Three blocks of work: an issue; a payment and a lock; new wallets, a payment and the claim of the lock. The batches are the
/// same for every bank.
struct Story {
    blocks: Vec<(Block, ledger::records::Batch)>,
    /// A last, empty block that claims the right result of height 2.
    last: Block,
    right: Vec<Claim>,
}

impl Story {
    /// Told by a twin that executes rightly.
    fn new() -> Self {
        let mut twin = Bank::new();
        let opening = WalletOpening { policy: PolicyHash([3; 32]), salt: [1; 16], tier: Tier::Two };
        let open = twin.unsigned(1, 2, Operation::OpenWallets { wallets: vec![opening] });
        let (amount, preimage) = (Amount::from_fen(100), [8; 32]);
        let deadline = TimestampMs(twin.now.wall.0 + 86_400_000);
        let lock = Operation::Lock { payee: twin.operator(2).0, amount, hash: sha256(&preimage), deadline };
        let lock = twin.sign(1, twin.unsigned(1, 4, lock));
        let claimed = Operation::Claim { lock: LockId::of(lock.id(twin.genesis())), preimage };
        let claimed = twin.sign(2, twin.unsigned(2, 1, claimed));
        let work = [
            vec![twin.issue(1, 200)],
            vec![twin.pay(1, 10), lock],
            vec![twin.sign(1, open), twin.pay(3, 20), claimed],
        ];
        let (mut blocks, mut right) = (Vec::new(), vec![claim(&twin, 0)]);
        let mut parent = twin.genesis_facts;
        for (height, transactions) in (1..).zip(work) {
            let (digest, batch) = twin.sealed(2, height, transactions);
            let mut block = twin.block(&parent, &[(digest, batch.weight())]);
            block.header.claim = right[usize::from(height > 1)];
            execute(&mut twin, &block, &batch);
            parent = twin.facts(&block);
            let outcomes = Archive::new(twin.store.as_ref()).outcomes(Height(height)).unwrap().unwrap();
            assert!(outcomes.iter().all(|outcome| outcome.is_applied()), "{outcomes:?}");
            right.push(claim(&twin, height));
            blocks.push((block, batch));
        }
        let mut last = twin.block(&parent, &[]);
        last.header.claim = right[2];
        Self { blocks, last, right }
    }

    /// Up to the height where the wrong result is known, and one beyond.
    fn tell(&self, bank: &mut Bank) {
        for (block, batch) in &self.blocks {
            let seen = execute(bank, block, batch);
            assert_eq!(diverged(&seen), None);
        }
    }

    fn end(&self, bank: &mut Bank) -> Seen {
        bank.frame(FAULTY, &chain::Frame::Block(Box::new(self.last.clone())));
        bank.finalize(&self.last)
    }
}

fn execute(bank: &mut Bank, block: &Block, batch: &ledger::records::Batch) -> Seen {
    bank.batch(2, batch);
    bank.frame(FAULTY, &chain::Frame::Block(Box::new(block.clone())));
    let seen = bank.finalize(block);
    assert_eq!(head(bank).height, block.header.height);
    seen
}

fn diverged(seen: &Seen) -> Option<(Claim, Claim, Height)> {
    seen.reports.iter().find_map(|report| match report {
        Report::Diverged { own, certified, back_to } => Some((*own, *certified, *back_to)),
        _ => None,
    })
}

fn begin(bank: &Bank, seen: &Seen) -> Verdict {
    let (own, certified, back_to) = diverged(seen).expect("it diverged");
    begin_with(bank, own, certified, back_to)
}

fn begin_with(bank: &Bank, own: Claim, certified: Claim, back_to: Height) -> Verdict {
    let verdict = Divergence::judge(bank.store.as_ref(), own, certified, back_to).unwrap();
    if let Verdict::RollBack(divergence) = verdict {
        divergence.begin(bank.store.as_ref()).unwrap();
    }
    verdict
}

#[test]
fn a_wrong_execution_is_taken_back_whole_and_done_again() {
    let story = Story::new();
    let mut bank = Bank::new();
    execute(&mut bank, &story.blocks[0].0, &story.blocks[0].1);
    let (before, head_before) = (dump(&bank), head(&bank));

    let mut bank = Bank::new();
    bank.spoiled = vec![Height(2)];
    story.tell(&mut bank);
    assert_ne!(claim(&bank, 2), story.right[2]);
    let seen = story.end(&mut bank);
    let found = (claim(&bank, 2), story.right[2], Height(1));
    assert_eq!(diverged(&seen), Some(found), "{seen:?}");
    assert_eq!(head(&bank).height, Height(3), "the block that says so is not executed");
    assert!(bank.pass(10_000).sent.is_empty(), "it says nothing more");

    let Verdict::RollBack(divergence) = begin(&bank, &seen) else { panic!("the first one is taken back") };
    let findings = divergence.findings(bank.store.as_ref()).unwrap();
    let names: Vec<&str> = findings.iter().map(|finding| finding.name.as_str()).collect();
    assert_eq!(names, FINDINGS);
    assert_eq!(findings[1].bytes, story.blocks[1].0.encode());
    assert_eq!(findings[2].bytes, story.blocks[1].1.encode(), "the inputs as they were ordered");

    bank.restart();
    assert_eq!(head(&bank), head_before);
    let mut after = dump(&bank);
    after.insert(CERTIFICATES, before[CERTIFICATES].clone());
    assert_eq!(
        after, before,
        "every row of the heights is gone or as it was; certificates of their order stay"
    );
    assert_eq!(bank.divergence.map(|open| open.stage), Some(Stage::TakenBack));
    // The engine says again what is final; the blocks and batches are still here.
    story.end(&mut bank);
    assert_eq!(head(&bank).height, Height(4));
    for height in 1..=3 {
        assert_eq!(claim(&bank, height), story.right[height as usize], "height {height}");
    }
    let mut open = bank.divergence.unwrap();
    assert!(!open.pass(bank.store.as_ref(), Height(1)).unwrap());
    assert!(open.pass(bank.store.as_ref(), Height(2)).unwrap());

    // The whole is what a bank has that never went wrong.
    let mut twin = Bank::new();
    story.tell(&mut twin);
    story.end(&mut twin);
    assert_eq!(dump(&bank), dump(&twin));
    assert_eq!(head(&bank), head(&twin));
}

#[test]
fn a_divergence_is_told_once_however_many_blocks_are_final_at_one_time() {
    let story = Story::new();
    let mut bank = Bank::new();
    bank.spoiled = vec![Height(2)];
    story.tell(&mut bank);
    let mut next = bank.block(&bank.facts(&story.last), &[]);
    next.header.claim = story.right[2];
    for block in [&story.last, &next] {
        bank.frame(FAULTY, &chain::Frame::Block(Box::new(block.clone())));
    }
    let seen = bank.finalize(&next);
    let told = seen.reports.iter().filter(|report| matches!(report, Report::Diverged { .. })).count();
    assert_eq!(told, 1, "{seen:?}");
    assert!(matches!(begin(&bank, &seen), Verdict::RollBack(_)));
}

const CERTIFICATES: &str = "certificates";
const FINDINGS: [&str; 7] = [
    "report.txt",
    "height-2.block",
    "height-2.batch-0",
    "height-2.result",
    "height-2.outcomes",
    "height-2.undo",
    "height-2.records.txt",
];

#[test]
fn a_second_wrong_execution_halts() {
    let story = Story::new();
    let mut bank = Bank::new();
    bank.spoiled = vec![Height(2), Height(2)];
    story.tell(&mut bank);
    let seen = story.end(&mut bank);
    assert!(matches!(begin(&bank, &seen), Verdict::RollBack(_)));
    bank.restart();
    let seen = story.end(&mut bank);
    assert!(diverged(&seen).is_some(), "{seen:?}");
    assert!(matches!(begin(&bank, &seen), Verdict::Halt(_)));
    // A start in spite of that changes nothing.
    let before = (dump(&bank), head(&bank));
    bank.restart();
    assert_eq!((dump(&bank), head(&bank)), before);
    let seen = story.end(&mut bank);
    assert!(matches!(begin(&bank, &seen), Verdict::Halt(_)));
}

#[test]
fn a_machine_that_goes_wrong_again_and_again_halts() {
    let bank = Bank::new();
    let (own, certified) = (claim(&bank, 0), claim(&bank, 0));
    for count in 1..=ROLLBACKS_MAX {
        let verdict = begin_with(&bank, own, certified, Height(0));
        assert!(matches!(verdict, Verdict::RollBack(found) if found.count == count));
        let mut open = Divergence::roll_back(bank.store.as_ref()).unwrap().unwrap();
        assert!(open.pass(bank.store.as_ref(), Height(0)).unwrap());
    }
    let verdict = begin_with(&bank, own, certified, Height(0));
    assert!(matches!(verdict, Verdict::Halt(_)));
}

#[test]
fn nothing_is_executed_on_records_that_are_damaged_below_the_certified_height() {
    let story = Story::new();
    let mut bank = Bank::new();
    execute(&mut bank, &story.blocks[0].0, &story.blocks[0].1);
    // The disk says something else than was written: the next execution that reads it goes wrong. Nothing has written
    // this wallet since the start, so it is read from there.
    let place = Archive::new(bank.store.as_ref()).wallet(bank.operator(2).0).unwrap();
    let Some((slot, Record::Wallet(mut wallet))) = place else { panic!("no wallet") };
    wallet.operator = OperatorId(3);
    let mut set = WriteSet::new();
    set.put(Table::Records, key::slot(slot.0), Record::Wallet(wallet).encode());
    bank.store.write(set, Durability::Synced).unwrap();
    for (block, batch) in &story.blocks[1..] {
        execute(&mut bank, block, batch);
    }
    let seen = story.end(&mut bank);
    assert!(matches!(begin(&bank, &seen), Verdict::RollBack(_)));
    Divergence::roll_back(bank.store.as_ref()).unwrap();
    let opened = Executor::open(&bank.localnet.spec, ChainId(0), bank.store.clone(), Sequential);
    assert!(matches!(opened, Err(ExecutorFault::Load(_))), "{:?}", opened.err());
}

#[test]
fn a_wrong_result_is_known_before_the_records_that_take_it_back_are_dropped() {
    // Final blocks that come together: the claim of the last is about a height that is not executed when it comes.
    let story = Story::new();
    let mut bank = Bank::new();
    bank.spoiled = vec![Height(2)];
    for (block, _) in &story.blocks {
        bank.frame(FAULTY, &chain::Frame::Block(Box::new(block.clone())));
    }
    story.end(&mut bank);
    assert_eq!(head(&bank).height, Height(0), "batches are missing");
    let mut last = Seen::default();
    for (_, batch) in &story.blocks {
        last = bank.batch(2, batch);
    }
    let found = (claim(&bank, 2), story.right[2], Height(1));
    assert_eq!(diverged(&last), Some(found), "{last:?}");
    assert_eq!(head(&bank).height, Height(3));
    assert!(matches!(begin(&bank, &last), Verdict::RollBack(_)));
    bank.restart();
    assert_eq!(head(&bank).height, Height(1));
}
