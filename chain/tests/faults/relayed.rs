//! Receipts between two shards: what one has certified, the other executes once, whoever brings it.

use bytes::Bytes;
use chain::config::{BUNDLES_PER_SOURCE_MAX, BUNDLES_UNDER_CHECK_MAX};
use chain::frame::BundleDigests;
use chain::rows::ProposalRow;
use chain::{
    Answer, Archive, Effect, Frame, Input, Pace, Question, Turn, next_bundle, next_bundle_within, reached,
    sent_counts,
};
use ledger::records::receipt::receipt_id;
use ledger::records::{
    Block, Bundle, Change, Operation, Payment, Policy, Rejection, Tier, Transaction, WalletOpening,
};
use ledger::rules::{ParentFacts, check_bundle};
use ledger::values::{
    Amount, Canonical as _, ChainId, Currency, Epoch, Height, NodeIndex, SecretKey, View, WalletId,
};
use storage::{Table, key};

use crate::rig::{Bank, FAULTY, HONEST};

const HERE: ChainId = ChainId(0);
const THERE: ChainId = ChainId(1);

/// Two shards of one network, each as one honest bank sees it.
pub(crate) struct Shards {
    here: Bank,
    pub(crate) there: Bank,
    tip_here: ParentFacts,
    pub(crate) tip_there: ParentFacts,
    sequence: u64,
}

/// A block of these transactions becomes final on `bank`.
pub(crate) fn run(
    bank: &mut Bank,
    tip: &mut ParentFacts,
    sequence: &mut u64,
    transactions: Vec<Transaction>,
) {
    *sequence += 1;
    bank.now.wall.0 += 50;
    bank.now.elapsed_ms += 50;
    let mut batches = Vec::new();
    if !transactions.is_empty() {
        let (digest, batch) = bank.sealed(FAULTY, *sequence, transactions);
        bank.batch(FAULTY, &batch);
        batches.push((digest, batch.weight()));
    }
    let mut block = bank.block(tip, &batches);
    let claimable = bank.executor.state().head();
    block.header.claim = ledger::records::Claim { height: claimable.height, result: claimable.result };
    bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
    bank.finalize(&block);
    assert_eq!(bank.chain.status().executed_height, block.header.height);
    *tip = bank.facts(&block);
}

impl Shards {
    /// The bank's wallet on the first shard holds 1,000 fen.
    pub(crate) fn new() -> Self {
        let (here, there) = (Bank::shard(0), Bank::shard(1));
        let (tip_here, tip_there) = (here.genesis_facts, there.genesis_facts);
        let mut shards = Self { here, there, tip_here, tip_there, sequence: 0 };
        let issue = shards.here.issue(1, 1_000);
        shards.run_here(vec![issue]);
        shards
    }

    fn run_here(&mut self, transactions: Vec<Transaction>) {
        run(&mut self.here, &mut self.tip_here, &mut self.sequence, transactions);
    }

    fn run_there(&mut self, transactions: Vec<Transaction>) {
        run(&mut self.there, &mut self.tip_there, &mut self.sequence, transactions);
    }

    /// A wallet that is at home on the second shard, opened there or not.
    pub(crate) fn payee(&mut self, open: bool) -> WalletId {
        let policy = Policy::single(SecretKey::from_seed([77; 32]).public_key()).hash();
        let two = std::num::NonZeroU16::new(2).unwrap();
        let id = |salt: u8| WalletId::derive(self.here.genesis(), Currency(*b"CNY"), policy, &[salt; 16]);
        let salt = (0..=u8::MAX).find(|salt| id(*salt).shard(two) == 1).unwrap();
        let wallet = id(salt);
        if open {
            let opening = WalletOpening { policy, salt: [salt; 16], tier: Tier::One };
            let content = self.there.unsigned(1, 1, Operation::OpenWallets { wallets: vec![opening] });
            let opened = self.there.sign(1, content);
            self.run_there(vec![opened]);
        }
        wallet
    }

    /// Pays from the first shard, and lets the result be certified.
    pub(crate) fn pay(&mut self, nonce: u64, payee: WalletId, fen: u64) {
        let payments = vec![Payment { payee, amount: Amount::from_fen(fen) }];
        let content = self.here.unsigned(1, nonce, Operation::Pay { payments });
        let payment = self.here.sign(1, content);
        self.run_here(vec![payment]);
        self.run_here(Vec::new());
    }

    /// What the relay makes of the first shard's store.
    pub(crate) fn bundle(&self, first: u64) -> Option<Bundle> {
        let certified = self.here.chain.status().certified_height;
        let known = known_epoch(&self.there, HERE);
        next_bundle(self.here.store.as_ref(), THERE, first, certified, known).unwrap()
    }

    /// The second shard finalizes a block of these bundles.
    pub(crate) fn order(&mut self, bundles: &[Bundle]) {
        self.there.now.wall.0 += 50;
        let block = self.there.block_of_bundles(&self.tip_there, bundles);
        self.there.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
        self.there.finalize(&block);
        assert_eq!(self.there.chain.status().executed_height, block.header.height);
        self.tip_there = self.there.facts(&block);
    }

    /// What the honest bank proposes on the second shard when it is its turn.
    fn proposed(&mut self) -> Block {
        self.there.pass(1_000);
        let turn = own_turn(&self.there, &self.tip_there);
        let (ticket, seen) = self.there.ask(Question::Propose { turn });
        let Some(Answer::Proposal(digest)) = seen.answer(ticket) else { panic!() };
        Archive::new(self.there.store.as_ref()).block(digest).unwrap().unwrap()
    }

    pub(crate) fn balance_there(&self, wallet: WalletId) -> u64 {
        let found = Archive::new(self.there.store.as_ref()).wallet(wallet).unwrap();
        found.map_or(0, |(_, record)| record.value().fen())
    }
}

/// The newest epoch of a source that a bank's chain knows.
fn known_epoch(bank: &Bank, source: ChainId) -> Epoch {
    let all = reached(bank.store.as_ref()).unwrap();
    all.into_iter().find(|(chain, _)| *chain == source).unwrap().1.epoch
}

/// The turn of the honest bank after `tip`.
pub(crate) fn own_turn(bank: &Bank, tip: &ParentFacts) -> Turn {
    Turn { view: View(tip.view.0 + 1), leader: bank.seat(HONEST), parent: tip.digest }
}

/// The bundles on disk of blocks that are not executed.
pub(crate) fn proposed_bundles(bank: &Bank) -> Vec<Vec<u8>> {
    let rows = bank.rows(Table::Proposals).into_iter();
    rows.flat_map(|(_, row)| ProposalRow::decode(&row).unwrap().bundles).collect()
}

pub(crate) fn relayed(bundle: &Bundle) -> Input {
    Input::Relayed { bundle: Bytes::from(bundle.encode()) }
}

#[test]
fn a_relayed_bundle_is_proposed_durable_and_executed_once() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    assert!(shards.bundle(0).is_none(), "nothing was sent");
    shards.pay(1, payee, 300);
    assert_eq!(sent_counts(shards.here.store.as_ref(), Height(3)).unwrap(), [(THERE, 1)]);
    let bundle = shards.bundle(0).unwrap();
    assert!(shards.bundle(1).is_none(), "nothing more was sent");
    let there = &mut shards.there;
    there.give(relayed(&bundle));
    // Twice, and by a peer too: one bundle.
    there.give(relayed(&bundle));
    there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    assert_eq!(there.chain.status().bundles, 1);

    there.hold_disk = true;
    there.pass(1_000);
    let turn = own_turn(there, &shards.tip_there);
    let (ticket, seen) = there.ask(Question::Propose { turn });
    assert_eq!(seen.answer(ticket), None, "not on disk yet");
    let Some(Answer::Proposal(digest)) = there.release().answer(ticket) else { panic!() };
    let seen = there.give(Input::Disseminate { digest, to: None });
    let brings = |frame: &Frame| matches!(frame, Frame::Bundle(bytes) if **bytes == bundle.encode());
    assert_eq!(
        seen.sent.iter().filter(|(_, frame)| brings(frame)).count(),
        3,
        "with the block, to every peer"
    );
    assert_eq!(proposed_bundles(there), [bundle.encode()]);
    let block = Archive::new(there.store.as_ref()).block(digest).unwrap().unwrap();
    there.finalize(&block);
    let stored = Archive::new(there.store.as_ref()).bundle(bundle.digest(there.genesis())).unwrap();
    assert_eq!(stored.as_ref(), Some(&bundle));
    shards.tip_there = shards.there.facts(&block);
    assert_eq!(shards.balance_there(payee), 300);
    let id = receipt_id(shards.here.genesis(), HERE, THERE, 0);
    let located = Archive::new(shards.there.store.as_ref()).locate(id).unwrap().unwrap();
    assert!(located.outcome.is_applied());

    // The same receipts again change nothing, and nothing of them is kept.
    shards.there.give(relayed(&bundle));
    assert_eq!(shards.there.chain.status().bundles, 0);
    let height = shards.there.chain.status().executed_height;
    shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    shards.run_there(Vec::new());
    assert_eq!(shards.there.chain.status().executed_height, height.next());
    assert_eq!(shards.balance_there(payee), 300);
}

#[test]
fn a_voter_waits_for_a_bundle_and_asks_for_it() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    shards.pay(1, payee, 300);
    let bundle = shards.bundle(0).unwrap();
    let there = &mut shards.there;
    let block = there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&bundle));
    let (ticket, seen) = there.may_vote_for(&block);
    assert_eq!(seen.answer(ticket), None);
    let digest = bundle.digest(there.genesis());
    let seen = there.pass(100);
    let asks = |frame: &Frame| matches!(frame, Frame::RequestBundles(found) if found.bundles == [digest]);
    assert!(seen.sent.iter().any(|(_, frame)| asks(frame)));
    there.hold_disk = true;
    let seen = there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    assert_eq!(seen.answer(ticket), None, "not on disk yet");
    assert_eq!(there.release().answer(ticket), Some(Answer::Verdict(true)));
    assert_eq!(proposed_bundles(there), [bundle.encode()], "durable before the vote");

    // Power is lost here: the block goes on from disk.
    there.restart();
    there.finalize(&block);
    assert_eq!(there.rows(Table::Bundles), [(digest.0.to_vec(), bundle.encode())]);
    assert!(proposed_bundles(there).is_empty());
    assert_eq!(shards.balance_there(payee), 300);
    let request = BundleDigests { bundles: vec![digest] };
    let seen = shards.there.frame(2, &Frame::RequestBundles(request));
    assert_eq!(seen.served.len(), 1, "others may ask for it");
}

#[test]
fn a_forged_bundle_is_never_voted_for() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    shards.pay(1, payee, 300);
    let mut forged = shards.bundle(0).unwrap();
    forged.certified.result.executed += 1;
    let there = &mut shards.there;
    let seen = there.frame(FAULTY, &Frame::Bundle(Bytes::from(forged.encode())));
    assert!(seen.distrusts(FAULTY));
    assert_eq!(there.chain.status().bundles, 0);
    let block = there.block_of_bundles(&shards.tip_there, &[forged]);
    assert_eq!(there.verdict(&block), Some(false));
    let seen = there.frame(2, &Frame::Bundle(Bytes::from_static(b"nonsense")));
    assert!(seen.distrusts(2));
    assert!(there.rows(Table::Bundles).is_empty());
}

#[test]
fn a_refused_credit_comes_back_and_is_found() {
    let mut shards = Shards::new();
    let nobody = shards.payee(false);
    shards.pay(1, nobody, 300);
    assert_eq!(shards.here.balance(1), 700);
    let bundle = shards.bundle(0).unwrap();
    shards.there.give(relayed(&bundle));
    shards.order(&[bundle]);
    shards.run_there(Vec::new());
    let id = receipt_id(shards.here.genesis(), HERE, THERE, 0);
    let located = Archive::new(shards.there.store.as_ref()).locate(id).unwrap().unwrap();
    assert_eq!(located.outcome.rejection(), Some(Rejection::PayeeUnknown));
    let certified = shards.there.chain.status().certified_height;
    let known = known_epoch(&shards.here, THERE);
    let back = next_bundle(shards.there.store.as_ref(), HERE, 0, certified, known).unwrap().unwrap();
    shards.here.give(relayed(&back));
    shards.here.now.wall.0 += 50;
    let block = shards.here.block_of_bundles(&shards.tip_here, &[back]);
    shards.here.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
    shards.here.finalize(&block);
    assert_eq!(shards.here.balance(1), 1_000);
    let archive = Archive::new(shards.here.store.as_ref());
    let paid = archive.outcomes(Height(2)).unwrap().unwrap()[0].id;
    let legs = archive.legs(paid, Height(2)).unwrap();
    assert_eq!(legs.len(), 1);
    let (leg, genesis) = (legs[0], shards.here.genesis());
    assert_eq!((leg.part, leg.destination, leg.sequence, leg.payee), (0, THERE, 0, nobody));
    assert_eq!((leg.credit_id(genesis, HERE), leg.refund), (id, Some((THERE, 0))));
    let refund = archive.locate(leg.refund_id(genesis, HERE).unwrap()).unwrap().unwrap();
    assert!(refund.outcome.is_applied());
    assert_eq!(
        shards.here.rows(Table::Refunds),
        [(key::receipt(THERE.0, 0).to_vec(), key::receipt(THERE.0, 0).to_vec())]
    );
}

#[test]
fn receipts_keep_their_order_over_many_bundles() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    for nonce in 1..=6 {
        shards.pay(nonce, payee, nonce);
    }
    let bundles: Vec<Bundle> = [0, 2, 5].map(|first| shards.bundle(first).unwrap()).to_vec();
    // The first ends at the last receipt: the others begin inside it, and bring nothing new after it.
    assert_eq!(bundles.iter().map(|bundle| bundle.receipts.len()).collect::<Vec<_>>(), [6, 4, 1]);
    for bundle in bundles.iter().rev() {
        shards.there.give(relayed(bundle));
    }
    assert_eq!(shards.there.chain.status().bundles, 3);
    let block = shards.proposed();
    assert_eq!(block.body.bundles, [bundles[0].digest(shards.there.genesis())]);
    shards.there.finalize(&block);
    assert_eq!(shards.balance_there(payee), 1 + 2 + 3 + 4 + 5 + 6);
    assert_eq!(shards.there.chain.status().bundles, 0, "the others are stale");
    assert_eq!(shards.there.rows(Table::Bundles).len(), 1, "and gone from disk");
}

#[test]
fn what_peers_send_unasked_is_bounded() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    let count = 2 * BUNDLES_PER_SOURCE_MAX as u64;
    for nonce in 1..=count {
        shards.pay(nonce, payee, nonce);
    }
    for first in 0..count {
        let bundle = shards.bundle(first).unwrap();
        shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    }
    assert_eq!(shards.there.chain.status().bundles, BUNDLES_PER_SOURCE_MAX);
    // One that a block names is let in all the same.
    let bundle = shards.bundle(count - 1).unwrap();
    let block = shards.there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&bundle));
    shards.there.may_vote_for(&block);
    shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    assert_eq!(shards.there.chain.status().bundles, BUNDLES_PER_SOURCE_MAX + 1);
}

/// Of bundles that begin at one receipt the longest is enough: whoever brings them in every length fills no room.
#[test]
fn of_bundles_that_begin_together_the_longest_stays() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    let mut bundles = Vec::new();
    for nonce in 1..=4 {
        shards.pay(nonce, payee, nonce);
        bundles.push(shards.bundle(0).unwrap());
    }
    let there = &mut shards.there;
    let frame = |bundle: &Bundle| Frame::Bundle(Bytes::from(bundle.encode()));
    there.frame(FAULTY, &frame(&bundles[0]));
    there.frame(FAULTY, &frame(&bundles[2]));
    assert_eq!(there.chain.status().bundles, 1, "the longer one is in its place");
    there.frame(2, &frame(&bundles[1]));
    assert_eq!(there.chain.status().bundles, 1, "a shorter one is of no use");
    there.give(relayed(&bundles[0]));
    there.give(relayed(&bundles[1]));
    assert_eq!(there.chain.status().bundles, 2, "the own relay has its own place, and its longest there");
    let block = there.block_of_bundles(&shards.tip_there, &bundles[2..3]);
    there.may_vote_for(&block);
    there.frame(2, &frame(&bundles[3]));
    assert_eq!(there.chain.status().bundles, 3, "what a block names stays beside a longer one");
}

/// Checks take their time: until one is done, whoever brought many has no more of them checked, and everybody else has.
#[test]
fn what_is_being_checked_is_bounded_for_each_who_brings_it() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    let mut bundles = Vec::new();
    for nonce in 1..=BUNDLES_UNDER_CHECK_MAX as u64 + 4 {
        shards.pay(nonce, payee, nonce);
        bundles.push(shards.bundle(0).unwrap());
    }
    let there = &mut shards.there;
    let (mut under_check, now) = (Vec::new(), there.now);
    let mut checks_of = |there: &mut Bank, from: Option<usize>, bundle: &Bundle| {
        let bytes = Frame::Bundle(Bytes::from(bundle.encode())).encode();
        let input = match from {
            Some(from) => Input::Frame { from: NodeIndex(from as u16), bytes },
            None => relayed(bundle),
        };
        let before = under_check.len();
        for effect in there.chain.step(now, input) {
            if let Effect::CheckBundle { digest, rules, bundle } = effect {
                under_check.push((digest, check_bundle(&rules, &bundle).ok()));
            }
        }
        under_check.len() - before
    };
    let (many, rest) = bundles.split_at(BUNDLES_UNDER_CHECK_MAX);
    assert!(many.iter().all(|bundle| checks_of(there, Some(FAULTY), bundle) == 1));
    assert_eq!(checks_of(there, Some(FAULTY), &rest[0]), 0, "its share is under way");
    assert_eq!(checks_of(there, Some(2), &many[0]), 0, "the same is checked once");
    assert_eq!(checks_of(there, Some(2), &rest[0]), 1, "others have their own");
    assert_eq!(checks_of(there, None, &rest[1]), 1, "and so have the own relays");
    let block = there.block_of_bundles(&shards.tip_there, &rest[2..3]);
    there.frame(3, &Frame::Block(Box::new(block)));
    assert_eq!(checks_of(there, Some(FAULTY), &rest[2]), 1, "a block names it");
    assert_eq!(there.chain.status().bundles, 0, "nothing is believed before it is checked");
    assert_eq!(under_check.len(), BUNDLES_UNDER_CHECK_MAX + 3);
    for (digest, facts) in under_check {
        assert!(facts.is_some());
        there.give(Input::BundleChecked { digest, facts });
    }
    // All begin at one receipt: the longest of the peers', which a block names, and that of the own relays.
    assert_eq!(there.chain.status().bundles, 2);
    there.frame(FAULTY, &Frame::Bundle(Bytes::from(rest[3].encode())));
    let known = there.chain.status().bundles;
    there.give(Input::BundleChecked { digest: rest[3].digest(there.genesis()), facts: None });
    assert_eq!(there.chain.status().bundles, known, "a verdict that nobody waits for changes nothing");
}

/// The first shard has paid 300 fen, and then its validators have changed: what its relay made of that before and after.
fn replaced() -> (Shards, WalletId, Bundle, Bundle) {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    shards.pay(1, payee, 300);
    let old = shards.bundle(0).unwrap();
    let rotated = SecretKey::from_seed([88; 32]);
    let key = shards.here.keys[0].public_key();
    shards.here.keys.push(rotated.clone());
    shards.here.restart();
    let change = Change::ReplaceConsensusKey { chain: HERE, old: key, new: rotated.public_key() };
    let govern = shards.here.govern(2, vec![change]);
    shards.run_here(vec![govern]);
    while shards.here.epoch() == Epoch(0) {
        shards.run_here(Vec::new());
    }
    shards.run_here(Vec::new());
    shards.run_here(Vec::new());
    let new = shards.bundle(0).unwrap();
    (shards, payee, old, new)
}

/// A backlog that reaches over a change of set is brought on by the set that certified it: what the next one certifies has all of it in
/// one piece.
#[test]
fn far_behind_each_set_brings_on_what_it_certified() {
    let (mut shards, payee, _, new) = replaced();
    assert_eq!((new.sets.len(), new.receipts.len()), (1, 2));
    let far = |shards: &Shards, first: u64| {
        let certified = shards.here.chain.status().certified_height;
        let known = known_epoch(&shards.there, HERE);
        next_bundle_within(shards.here.store.as_ref(), THERE, first, certified, known, 0).unwrap().unwrap()
    };
    let made = |bundle: &Bundle| (bundle.sets.len(), bundle.certified.header.epoch, bundle.receipts.len());
    for first in [0, 1] {
        let bundle = far(&shards, first);
        assert_eq!(made(&bundle), (0, Epoch(0), 1), "receipt {first}");
        shards.there.give(relayed(&bundle));
        shards.order(&[bundle]);
    }
    assert_eq!(shards.balance_there(payee), 300);
    let last = far(&shards, 2);
    assert_eq!(made(&last), (1, Epoch(1), 0), "then the change of set");
    // Who knows the next set already gets the whole from it.
    let certified = shards.here.chain.status().certified_height;
    let whole = next_bundle_within(shards.here.store.as_ref(), THERE, 0, certified, Epoch(1), 0).unwrap();
    assert_eq!(made(&whole.unwrap()), (0, Epoch(1), 2));
}

/// A final block waits for a bundle of the set before, while one above it claims the height that knows the next set.
#[test]
fn a_final_block_finds_the_rules_of_its_claim_whatever_is_claimed_above_it() {
    let (mut shards, payee, old, new) = replaced();
    shards.there.give(relayed(&new));
    shards.order(&[new]);
    let there = &mut shards.there;
    let waiting = there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&old));
    let mut above = there.block(&there.facts(&waiting), &[]);
    let head = there.executor.state().head();
    above.header.claim = ledger::records::Claim { height: head.height, result: head.result };
    assert!(waiting.header.claim.height < above.header.claim.height);
    there.frame(FAULTY, &Frame::Block(Box::new(waiting.clone())));
    there.frame(FAULTY, &Frame::Block(Box::new(above.clone())));
    there.finalize(&above);
    let status = there.chain.status();
    assert_eq!((status.final_height, status.certified_height), (above.header.height, head_below(&waiting)));
    assert_eq!(status.executed_height, head_below(&waiting), "the bundle is missing");
    there.frame(FAULTY, &Frame::Bundle(Bytes::from(old.encode())));
    assert_eq!(there.chain.status().executed_height, above.header.height);
    assert_eq!(shards.balance_there(payee), 300, "it brought nothing new");
}

/// The height below a block.
fn head_below(block: &Block) -> Height {
    Height(block.header.height.0 - 1)
}

/// The first shard's validators change; what the old ones have certified is worth nothing where that is known.
#[test]
fn a_certificate_of_a_set_that_was_replaced_moves_nothing() {
    let (mut shards, payee, old, new) = replaced();
    assert_eq!((new.sets.len(), new.certified.header.epoch, new.receipts.len()), (1, Epoch(1), 2));
    let digest = |bundle: &Bundle| bundle.digest(shards.there.genesis());
    let (old_digest, new_digest) = (digest(&old), digest(&new));
    assert_ne!(old_digest, new_digest);

    // While the second shard has not heard of it, both are what a block may order.
    shards.there.give(relayed(&old));
    let stale = shards.there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&old));
    assert_eq!(shards.there.verdict(&stale), Some(true));
    shards.there.give(relayed(&new));
    assert_eq!(shards.there.chain.status().bundles, 2, "a block names the one, the other brings more");
    shards.order(&[new]);
    assert_eq!(shards.balance_there(payee), 300);
    assert_eq!(known_epoch(&shards.there, HERE), Epoch(1));

    // A block that claims that height is judged by what it knows: the old certificate does not stand.
    assert_eq!(shards.there.chain.status().bundles, 0, "the old one has left");
    let seen = shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(old.encode())));
    assert!(!seen.distrusts(FAULTY), "a peer that is behind does nothing wrong");
    assert_eq!(shards.there.chain.status().bundles, 0);
    let next = shards.bundle(2);
    assert!(next.is_none(), "nothing waits, and nothing has changed since");
}

/// The first shard has another set and nothing else to tell; what its relay makes of that.
fn changed_alone() -> (Shards, Bundle) {
    let mut shards = Shards::new();
    let rotated = SecretKey::from_seed([88; 32]);
    let key = shards.here.keys[0].public_key();
    shards.here.keys.push(rotated.clone());
    shards.here.restart();
    let change = Change::ReplaceConsensusKey { chain: HERE, old: key, new: rotated.public_key() };
    let govern = shards.here.govern(1, vec![change]);
    shards.run_here(vec![govern]);
    shards.run_here(Vec::new());
    // The change itself is a receipt.
    let first = shards.bundle(0).unwrap();
    assert_eq!((first.sets.len(), first.receipts.len()), (0, 1));
    shards.there.give(relayed(&first));
    shards.order(&[first]);
    while shards.here.epoch() == Epoch(0) {
        shards.run_here(Vec::new());
    }
    assert!(shards.bundle(1).is_none(), "the new set has certified nothing yet");
    shards.run_here(Vec::new());
    shards.run_here(Vec::new());
    let alone = shards.bundle(1).unwrap();
    assert_eq!((alone.sets.len(), alone.receipts.len()), (1, 0));
    (shards, alone)
}

/// While a change of set waits to be executed, a leader does not order it once more with another certificate.
#[test]
fn a_change_of_set_is_ordered_once() {
    let (mut shards, alone) = changed_alone();
    shards.run_here(Vec::new());
    let again = shards.bundle(1).unwrap();
    assert_ne!(alone.certified, again.certified);
    shards.there.give(relayed(&alone));
    shards.there.give(relayed(&again));
    assert_eq!(shards.there.chain.status().bundles, 2);
    let open = shards.there.block_of_bundles(&shards.tip_there, std::slice::from_ref(&alone));
    shards.there.frame(FAULTY, &Frame::Block(Box::new(open.clone())));
    shards.tip_there = shards.there.facts(&open);
    let above = shards.proposed();
    assert_eq!((above.header.parent, above.body.bundles.len()), (shards.tip_there.digest, 0));
}

/// Nothing is to be sent, and a set has changed: the destination hears of it all the same.
#[test]
fn a_change_of_set_travels_alone() {
    let (mut shards, alone) = changed_alone();
    // Where a relay takes more for certified than this bundle covers, it is made once all the same.
    let mut pace = Pace::new(0, 4, 0);
    pace.saw(0, 2, 1);
    let certified = shards.here.chain.status().certified_height;
    let made = pace.next_bundles(shards.here.store.as_ref(), THERE, certified, Epoch(0), 0).unwrap();
    assert_eq!(made, [(1, alone.clone())]);
    shards.there.give(relayed(&alone));
    let block = shards.proposed();
    assert_eq!(block.body.bundles, [alone.digest(shards.there.genesis())]);
    shards.there.finalize(&block);
    assert_eq!(known_epoch(&shards.there, HERE), Epoch(1));
    assert_eq!(shards.there.chain.status().bundles, 0);
}

/// Eight valid bundles that begin too late fill the room of a source; the one that is next finds a place all the same.
#[test]
fn bundles_that_are_not_next_keep_nobody_out() {
    for is_own in [true, false] {
        let mut shards = Shards::new();
        let payee = shards.payee(true);
        let late_max = BUNDLES_PER_SOURCE_MAX as u64;
        for nonce in 1..=late_max + 1 {
            shards.pay(nonce, payee, nonce);
        }
        for first in 1..=late_max {
            let late = shards.bundle(first).unwrap();
            shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(late.encode())));
        }
        assert_eq!(shards.there.chain.status().bundles, BUNDLES_PER_SOURCE_MAX);
        let next = shards.bundle(0).unwrap();
        if is_own {
            shards.there.give(relayed(&next));
        } else {
            shards.there.frame(2, &Frame::Bundle(Bytes::from(next.encode())));
        }
        let block = shards.proposed();
        assert_eq!(block.body.bundles, [next.digest(shards.there.genesis())], "own: {is_own}");
    }
}

/// Eight valid bundles that begin before the next receipt, and bring that one alone: a longer one finds a place beside them, and is the
/// one that is ordered.
#[test]
fn a_peer_that_brings_much_that_is_next_keeps_nobody_out() {
    let mut shards = Shards::new();
    let payee = shards.payee(true);
    let count = BUNDLES_PER_SOURCE_MAX as u64;
    for nonce in 1..=count {
        shards.pay(nonce, payee, 1);
    }
    let executed = shards.bundle(0).unwrap();
    shards.pay(count + 1, payee, 1);
    let short: Vec<Bundle> = (0..count).map(|first| shards.bundle(first).unwrap()).collect();
    for nonce in count + 2..=count + 4 {
        shards.pay(nonce, payee, 1);
    }
    let long = shards.bundle(count).unwrap();
    shards.there.give(relayed(&executed));
    shards.order(std::slice::from_ref(&executed));
    assert_eq!(shards.balance_there(payee), count);
    for bundle in &short {
        shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    }
    assert_eq!(shards.there.chain.status().bundles, BUNDLES_PER_SOURCE_MAX);
    shards.there.frame(2, &Frame::Bundle(Bytes::from(long.encode())));
    assert_eq!(shards.there.chain.status().bundles, BUNDLES_PER_SOURCE_MAX);
    // Once more does not bring back what left.
    for bundle in &short {
        shards.there.frame(FAULTY, &Frame::Bundle(Bytes::from(bundle.encode())));
    }
    let block = shards.proposed();
    assert_eq!(block.body.bundles, [long.digest(shards.there.genesis())]);
    shards.there.finalize(&block);
    assert_eq!(shards.balance_there(payee), count + 4);
}
