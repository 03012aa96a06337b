//! How an epoch ends: what may stand in its last blocks, what becomes of what nobody ordered, and what is said of it too late.

use bytes::Bytes;
use chain::frame::FinalBlocks;
use chain::{Answer, Archive, Frame, Input, Question, Report, Request, SetLinks, Snapshots, Ticket, Turn};
use ledger::records::block::{CLAIM_LAG_MAX, SET_CHANGE_MARGIN};
use ledger::records::{Block, Change, Claim, Operation, Payment, Transaction};
use ledger::rules::ParentFacts;
use ledger::values::{Amount, Canonical as _, ChainId, Epoch, Height, NodeIndex, SecretKey, View};
use storage::{Identity, MemoryStore, Table};

use crate::rig::{Bank, FAULTY, HONEST, Seen};

const ROOT: ChainId = ChainId(0);
const FIRST: Epoch = Epoch(0);
const SECOND: Epoch = Epoch(1);

/// A bank whose consensus key is about to be replaced, and the tip of its chain.
struct Town {
    bank: Bank,
    tip: ParentFacts,
    sequence: u64,
}

impl Town {
    /// The bank has its next key; nothing is scheduled.
    fn new() -> Self {
        let mut bank = Bank::new();
        bank.keys.push(next_key());
        bank.restart();
        let tip = bank.genesis_facts;
        Self { bank, tip, sequence: 0 }
    }

    /// A change of set is scheduled; answers the last height of the epoch.
    fn scheduled(&mut self) -> Height {
        let old = self.bank.keys[0].public_key();
        let change = Change::ReplaceConsensusKey { chain: ROOT, old, new: next_key().public_key() };
        let govern = self.bank.govern(1, vec![change]);
        let at = self.run(vec![govern]).header.height;
        let last = self.bank.chain.status().last_height.unwrap();
        assert_eq!(last.0, at.0 + SET_CHANGE_MARGIN);
        last
    }

    /// What this bank has computed for the newest height.
    fn newest(&self) -> Claim {
        let head = self.bank.executor.state().head();
        Claim { height: head.height, result: head.result }
    }

    /// A block of the faulty bank on the tip that orders these and claims the newest height.
    fn block(&mut self, transactions: Vec<Transaction>) -> Block {
        self.sequence += 1;
        self.bank.now.wall.0 += 50;
        self.bank.now.elapsed_ms += 50;
        let mut batches = Vec::new();
        if !transactions.is_empty() {
            let (digest, batch) = self.bank.sealed(2, self.sequence, transactions);
            self.bank.batch(2, &batch);
            batches.push((digest, batch.weight()));
        }
        let mut block = self.bank.block(&self.tip, &batches);
        block.header.claim = self.newest();
        block
    }

    /// The next block is voted for, final and executed.
    fn run(&mut self, transactions: Vec<Transaction>) -> Block {
        let block = self.block(transactions);
        assert_eq!(self.bank.verdict(&block), Some(true), "{:?}", block.header);
        self.finalize(&block);
        block
    }

    fn finalize(&mut self, block: &Block) -> Seen {
        let seen = self.bank.finalize(block);
        assert_eq!(self.bank.chain.status().executed_height, block.header.height);
        self.tip = self.bank.facts(block);
        seen
    }

    /// Empty blocks up to a height.
    fn run_to(&mut self, height: Height) {
        while self.tip.height < height {
            self.run(Vec::new());
        }
    }

    /// The honest bank's turn after a block.
    fn turn(&self, parent: &ParentFacts) -> Turn {
        Turn { view: View(parent.view.0 + 1), leader: self.bank.seat(HONEST), parent: parent.digest }
    }

    fn pay(&self, nonce: u64) -> Transaction {
        let payments = vec![Payment { payee: self.bank.operator(2).0, amount: Amount::from_fen(nonce) }];
        self.bank.sign(1, self.bank.unsigned(1, nonce, Operation::Pay { payments }))
    }
}

fn next_key() -> SecretKey {
    SecretKey::from_seed([99; 32])
}

fn ended(seen: &Seen) -> Option<(Epoch, Height)> {
    seen.reports.iter().find_map(|report| match report {
        Report::EpochEnded { epoch, height, .. } => Some((*epoch, *height)),
        _ => None,
    })
}

#[test]
fn an_epoch_ends_where_it_is_scheduled_and_the_next_set_decides() {
    let mut town = Town::new();
    let last = town.scheduled();
    let old_seat = town.bank.chain.config().own_validator.unwrap();
    assert_eq!(
        town.bank.chain.config().validators()[usize::from(old_seat.0)].consensus_key,
        town.bank.keys[0].public_key()
    );
    town.run_to(Height(last.0 - 1));
    let block = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&block), Some(true));
    let seen = town.finalize(&block);
    assert_eq!(ended(&seen), Some((FIRST, last)));

    let status = town.bank.chain.status();
    assert_eq!((status.epoch, status.validators, status.is_validator), (SECOND, 4, true));
    assert_eq!(status.last_height, None);
    let seat = town.bank.chain.config().own_validator.unwrap();
    let validator = town.bank.chain.config().validators()[usize::from(seat.0)];
    assert_eq!(validator.consensus_key, next_key().public_key(), "its next key votes");
    let first = town.run(Vec::new());
    assert_eq!((first.header.epoch, first.header.height), (SECOND, last.next()));
    let ordered = town.pay(2);
    let paid = town.run(vec![ordered]);
    assert_eq!(paid.body.batches.len(), 1);
    town.run(Vec::new());

    // Whoever has the genesis file alone can follow the sets.
    let archive = Archive::new(town.bank.store.as_ref());
    let sets = archive.set_chain(SECOND).unwrap().unwrap();
    let spec = &town.bank.localnet.spec;
    assert_eq!(sets.verify(spec, ROOT).unwrap().newest().epoch, SECOND);
    assert_eq!(archive.set_chain(Epoch(2)).unwrap(), None);
    let known = SetLinks::new(town.bank.genesis());
    let caching = Archive::with_links(town.bank.store.as_ref(), Some(&known));
    assert_eq!(caching.set_chain(SECOND).unwrap().as_ref(), Some(&sets));
    let nothing = MemoryStore::fresh(&Identity { schema_version: 1, genesis: [1; 32], chain: 0 });
    let remembered = Archive::with_links(&nothing, Some(&known)).set_chain(SECOND).unwrap();
    assert_eq!(remembered.map(|sets| sets.links), Some(sets.links.clone()), "read once");
    assert_eq!(caching.set_chain(Epoch(2)).unwrap(), None);
    let certified = archive.certified_result(paid.header.height).unwrap().unwrap();
    assert_eq!((certified.header.epoch, certified.verify(spec, &sets)), (SECOND, Ok(())));
    assert_eq!(town.bank.rows(Table::Registries).len(), 2, "genesis, and the height that scheduled");

    // A start finds the running epoch, the key and the way on.
    town.bank.restart();
    let status = town.bank.chain.status();
    assert_eq!((status.epoch, status.is_validator), (SECOND, true));
    town.run(Vec::new());
}

#[test]
fn the_last_blocks_order_nothing_and_the_last_one_claims_the_one_before() {
    let mut town = Town::new();
    let last = town.scheduled();
    let first_empty = Height(last.0 - CLAIM_LAG_MAX + 1);
    town.run_to(Height(first_empty.0 - 2));
    let payment = town.pay(2);
    assert_eq!(town.run(vec![payment]).header.height.next(), first_empty, "one below may order");
    let payment = town.pay(3);
    let full = town.block(vec![payment]);
    assert_eq!(town.bank.verdict(&full), Some(false), "a batch in the closing window");
    town.run_to(Height(last.0 - 2));
    let stale = town.newest();
    let before_last = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&before_last), Some(true));
    let parent = town.bank.facts(&before_last);
    let mut early = town.bank.block(&parent, &[]);
    early.header.claim = stale;
    assert_eq!(town.bank.verdict(&early), Some(false), "the last block does not claim the one before it");
    town.finalize(&before_last);
    let block = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&block), Some(true));
    let mut above = town.bank.block(&town.bank.facts(&block), &[]);
    above.header.claim = town.newest();
    assert_eq!(town.bank.verdict(&above), Some(false), "a block of the epoch above its last one");
    // Of the next epoch it may not be either, before the last one is executed: nobody asks.
    town.finalize(&block);
    assert_eq!(town.bank.epoch(), SECOND);
    let mut late = town.bank.block(&town.tip, &[]);
    late.header.epoch = FIRST;
    assert_eq!(town.bank.verdict(&late), None, "a block of an epoch that is over is none");
}

#[test]
fn what_was_sealed_and_not_ordered_waits_in_the_pool_again() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(Height(last.0 - CLAIM_LAG_MAX - 4));
    let payment = town.pay(2);
    let id = payment.id(town.bank.genesis());
    let pooled = town.bank.pooled(payment);
    assert_eq!(town.bank.chain.submit(town.bank.now, vec![pooled]), [Ok(())]);
    let seen = town.bank.pass(100);
    assert!(seen.reports.contains(&Report::Sealed { transactions: 1 }), "{:?}", seen.reports);
    assert!(!town.bank.chain.pool().contains(&id));
    town.run_to(Height(last.0 - 1));
    // Nothing is sealed that would only come back.
    let payment = town.pay(3);
    let other = payment.id(town.bank.genesis());
    let pooled = town.bank.pooled(payment);
    assert_eq!(town.bank.chain.submit(town.bank.now, vec![pooled]), [Ok(())]);
    town.bank.pass(100);
    assert!(town.bank.chain.pool().contains(&other));
    let block = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&block), Some(true));
    let seen = town.finalize(&block);
    assert_eq!(ended(&seen), Some((FIRST, last)));
    // Both are sealed anew, by the new key.
    let later = town.bank.pass(100);
    let sealed: usize = seen.reports.iter().chain(&later.reports).map(sealed).sum();
    assert_eq!(sealed, 2);
}

fn sealed(report: &Report) -> usize {
    match report {
        Report::Sealed { transactions } => *transactions,
        _ => 0,
    }
}

#[test]
fn a_parent_is_proposed_again_where_nothing_may_stand_on_it_yet() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(Height(last.0 - 2));
    // The one before the last is notarized, and this bank does not know that it is final.
    let before_last = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&before_last), Some(true));
    let parent = town.bank.facts(&before_last);
    let (ticket, seen) = town.bank.ask(Question::Propose { turn: town.turn(&parent) });
    assert_eq!(seen.answer(ticket), None, "the last block waits for the claim");
    let seen = town.bank.pass(500);
    assert_eq!(seen.answer(ticket), Some(Answer::Proposal(parent.digest)), "the parent comes again");
    let leader = town.bank.seat(FAULTY);
    let turn = Turn { view: View(parent.view.0 + 2), leader, parent: parent.digest };
    let (ticket, seen) = town.bank.ask(Question::Validate { turn, digest: parent.digest });
    assert_eq!(seen.answer(ticket), Some(Answer::Verdict(true)), "and others vote for it");

    // Final and executed, and announced by a quorum: the last block claims it.
    town.finalize(&before_last);
    for bank in [2, 3] {
        let newest = town.newest();
        town.bank.frame(bank, &Frame::Announce(newest));
    }
    let (ticket, mut seen) = town.bank.ask(Question::Propose { turn: town.turn(&town.tip.clone()) });
    if seen.answer(ticket).is_none() {
        seen = town.bank.pass(10);
    }
    let Some(Answer::Proposal(digest)) = seen.answer(ticket) else { panic!("no last block: {seen:?}") };
    let block = Archive::new(town.bank.store.as_ref()).block(digest).unwrap().unwrap();
    assert_eq!((block.header.height, block.header.claim.height.next()), (last, last));

    // It may come again too, and has no children.
    let parent = town.bank.facts(&block);
    let (ticket, seen) = town.bank.ask(Question::Propose { turn: town.turn(&parent) });
    assert_eq!(seen.answer(ticket), None);
    assert_eq!(town.bank.pass(500).answer(ticket), Some(Answer::Proposal(digest)));
}

#[test]
fn what_the_engine_of_an_epoch_that_is_over_says_counts_for_nothing() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(Height(last.0 - 1));
    let block = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&block), Some(true));
    // A question that is open when the epoch ends, and one that comes late.
    let parent = town.bank.facts(&block);
    let (open, _) = town.bank.ask(Question::Propose { turn: town.turn(&parent) });
    town.finalize(&block);
    assert_eq!(town.bank.chain.status().open_questions, 0);
    let late = Ticket(1_000);
    let question = Question::Propose { turn: town.turn(&town.tip.clone()) };
    town.bank.give(Input::Asked { ticket: late, epoch: FIRST, question });
    let seen = town.bank.pass(1_000);
    assert_eq!((seen.answer(open), seen.answer(late.0)), (None, None));
    let first = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&first), Some(true));
    let certificate = Bytes::from(town.bank.certificate(&first).encode());
    let digest = first.header.digest(town.bank.genesis());
    town.bank.give(Input::Finalized { epoch: FIRST, view: first.header.view, digest, certificate });
    assert_eq!(town.bank.chain.status().final_height, last, "the set of another epoch decided nothing");
    town.finalize(&first);
}

/// The page of final blocks that a bank has from a height on.
fn page(bank: &Bank, from: Height) -> FinalBlocks {
    let frames = Archive::new(bank.store.as_ref()).serve(&Request::Blocks(from), &Snapshots::new(0)).unwrap();
    match frames.into_iter().next() {
        Some(Frame::FinalBlocks(page)) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_catches_up_believes_a_set_that_it_has_executed_and_waits_for_the_next_one_only() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(Height(last.0 + 3));
    let old = page(&town.bank, Height(1));
    let ends = old.blocks.last().map(|block| block.header.height);
    assert_eq!(ends, Some(last), "a page ends where the epoch does");
    let new = page(&town.bank, last.next());
    assert_eq!(new.blocks.first().map(|block| block.header.epoch), Some(SECOND));

    let mut late = Bank::new();
    late.now = town.bank.now;
    let seen = late.frame(3, &Frame::FinalBlocks(new.clone()));
    assert!(seen.distrusts(3), "nobody asked for what does not begin above the tip");
    assert_eq!(late.chain.status().final_height, Height(0));
    late.frame(2, &Frame::FinalBlocks(old.clone()));
    assert_eq!((late.chain.status().final_height, late.chain.status().executed_height), (last, Height(0)));
    // What was governed is in a batch that is not here: the set of the next epoch is not executed.
    let mut far = new.clone();
    for block in &mut far.blocks {
        block.header.epoch = Epoch(2);
    }
    assert!(late.frame(3, &Frame::FinalBlocks(far)).distrusts(3), "no epoch is left out");
    let seen = late.frame(2, &Frame::FinalBlocks(new.clone()));
    assert!(!seen.distrusts(2), "its set is not known yet");
    assert_eq!(late.chain.status().final_height, last);
    let digest = old.blocks.iter().find_map(|block| block.body.batches.first()).unwrap();
    late.pass(1_000);
    let batch = Archive::new(town.bank.store.as_ref()).batch(*digest).unwrap().unwrap();
    late.batch(2, &batch);
    let status = late.chain.status();
    assert_eq!((status.executed_height, status.epoch, status.is_validator), (last, SECOND, false));
    late.frame(2, &Frame::FinalBlocks(new));
    assert_eq!(late.chain.status().executed_height, Height(last.0 + 3));
    assert!(
        Archive::new(late.store.as_ref()).set_chain(SECOND).unwrap().is_some(),
        "it can prove the change too"
    );
}

/// The bank itself, as it was after a height of the first epoch.
fn follower(town: &Town, until: Height) -> Bank {
    let old = page(&town.bank, Height(1));
    let archive = Archive::new(town.bank.store.as_ref());
    let mut late = Bank::new();
    late.now = town.bank.now;
    for block in old.blocks.iter().filter(|block| block.header.height <= until) {
        late.frame(2, &Frame::Block(Box::new(block.clone())));
        for digest in &block.body.batches {
            let batch = archive.batch(*digest).unwrap().unwrap();
            late.batch(2, &batch);
        }
        late.finalize(block);
    }
    assert_eq!(late.chain.status().executed_height, until);
    late
}

#[test]
fn a_page_that_runs_over_the_end_of_an_epoch_or_is_signed_by_the_wrong_set_is_not_believed() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(Height(last.0 + 2));
    let (old, new) = (page(&town.bank, Height(1)), page(&town.bank, last.next()));
    let mut over = old.clone();
    over.blocks.extend(new.blocks.clone());
    over.certificate.clone_from(&new.certificate);
    let mut late = follower(&town, Height(last.0 - 2));
    assert!(late.frame(3, &Frame::FinalBlocks(over)).distrusts(3), "no certificate of the last block");
    let mut late = follower(&town, last);
    assert_eq!(late.epoch(), SECOND);
    let mut forged = new.clone();
    forged.certificate.clone_from(&old.certificate);
    assert!(late.frame(3, &Frame::FinalBlocks(forged)).distrusts(3), "the set before signed another block");
    late.frame(2, &Frame::FinalBlocks(new));
    assert_eq!(late.chain.status().executed_height, Height(last.0 + 2));
}

#[test]
fn the_last_certificate_of_an_epoch_is_asked_for_although_only_that_height_is_announced() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(Height(last.0 - 1));
    let block = town.block(Vec::new());
    assert_eq!(town.bank.verdict(&block), Some(true));
    let is_asked = |seen: &Seen| {
        seen.sent.iter().any(|(_, frame)| matches!(frame, Frame::RequestBlocks(height) if *height == last))
    };
    let newest = town.newest();
    assert!(!is_asked(&town.bank.frame(2, &Frame::Announce(newest))), "that one is final here");
    // Who has ended the epoch has ended its engine with it; nothing comes above the last block without this bank.
    let executed = Claim { height: last, result: newest.result };
    assert!(is_asked(&town.bank.frame(2, &Frame::Announce(executed))), "one is enough");
}

/// Three of four are up, and one of them has ended the epoch alone: its engine is gone, and two votes finalize nothing.
#[test]
fn who_misses_the_end_of_an_epoch_gets_it_from_the_only_one_that_has_it() {
    let mut town = Town::new();
    let last = town.scheduled();
    town.run_to(last);
    assert_eq!(town.bank.epoch(), SECOND);
    let executed = town.newest();
    for behind in [1, 2] {
        let tip = Height(last.0 - behind);
        let mut late = follower(&town, tip);
        let mut asked = late.frame(2, &Frame::Announce(executed)).sent;
        // The first to be asked may be the dead one, or the other that is late.
        for _attempt in 0..6 {
            asked.extend(late.pass(300).sent);
        }
        let asks = |(to, frame): &(NodeIndex, Frame)| {
            *to == NodeIndex(2) && matches!(frame, Frame::RequestBlocks(from) if *from == tip.next())
        };
        assert!(asked.iter().any(asks), "{behind}: {asked:?}");
        late.frame(2, &Frame::FinalBlocks(page(&town.bank, tip.next())));
        assert_eq!((late.epoch(), late.chain.status().executed_height), (SECOND, last));
    }
}
