//! A chain that is added after genesis: it begins with its origin, takes half of the wallets of its parent while payments go on, over
//! restarts and losses of power, and who comes late finds it all.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::Bytes;
use chain::{Archive, Executor, ExecutorFault, Frame, Input, Request, Snapshots, next_bundle, reached, rows};
use ledger::proofs::ChainOrigin;
use ledger::records::receipt::receipt_id;
use ledger::records::{
    Birth, Change, Claim, Growth, Operation, Payment, Policy, Record, Rejection, Tier, Transaction,
    TransactionContent, ValidatorRecord, WalletOpening, WalletRecord, WalletStatus,
};
use ledger::rules::ParentFacts;
use ledger::values::{
    Amount, Canonical as _, ChainId, Currency, Epoch, Height, SecretKey, Sequential, WalletId,
};
use storage::{Identity, MemoryStore, Store, Table};

use crate::relayed::run;
use crate::rig::{Bank, FAULTY, child_keys};

const PARENT: ChainId = ChainId(0);
const CHILD: ChainId = ChainId(1);
const CNY: Currency = Currency(*b"CNY");
const ISSUED: u64 = 1_000_000;
/// Openings, and payments, of one transaction.
const GROUP: usize = 64;
/// What each wallet is paid at first.
const FIRST_FEN: u64 = 10;

/// A chain as one honest bank sees it, and its tip.
struct Town {
    bank: Bank,
    tip: ParentFacts,
    sequence: u64,
    /// Transactions of operator 1 so far.
    nonce: u64,
}

impl Town {
    fn new(bank: Bank) -> Self {
        let tip = bank.genesis_facts;
        Self { bank, tip, sequence: 0, nonce: 0 }
    }

    fn run(&mut self, transactions: Vec<Transaction>) {
        run(&mut self.bank, &mut self.tip, &mut self.sequence, transactions);
    }

    fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    fn govern(&mut self, change: Change) {
        let nonce = self.next_nonce();
        let govern = self.bank.govern(nonce, vec![change]);
        self.run(vec![govern]);
    }

    fn pay(&mut self, payees: &[WalletId], fen: u64) -> Transaction {
        let pay = |payee: &WalletId| Payment { payee: *payee, amount: Amount::from_fen(fen) };
        let payments = payees.iter().map(pay).collect();
        let nonce = self.next_nonce();
        self.bank.sign(1, self.bank.unsigned(1, nonce, Operation::Pay { payments }))
    }

    /// Opens wallets that hold a little each.
    fn people(&mut self, groups: usize) -> Vec<WalletId> {
        let issue = self.bank.issue(1, ISSUED);
        self.run(vec![issue]);
        let policy = Policy::single(SecretKey::from_seed([77; 32]).public_key()).hash();
        let salts: Vec<[u8; 16]> = (0..(groups * GROUP) as u128).map(u128::to_be_bytes).collect();
        for part in salts.chunks(GROUP) {
            let opening = |salt: &[u8; 16]| WalletOpening { policy, salt: *salt, tier: Tier::One };
            let wallets = part.iter().map(opening).collect();
            let nonce = self.next_nonce();
            let content = self.bank.unsigned(1, nonce, Operation::OpenWallets { wallets });
            let opened = self.bank.sign(1, content);
            self.run(vec![opened]);
        }
        let genesis = self.bank.genesis();
        let ids: Vec<WalletId> =
            salts.iter().map(|salt| WalletId::derive(genesis, CNY, policy, salt)).collect();
        for part in ids.chunks(GROUP) {
            let paid = self.pay(part, FIRST_FEN);
            self.run(vec![paid]);
        }
        ids
    }

    /// Operators add a child of chain 0 with a validator of every bank, and a certificate covers that.
    fn add_child(&mut self, child: ChainId) {
        let banks = &self.bank.localnet.banks;
        let seat = |(bank, key): (&genesis::dev::BankSecrets, &SecretKey)| ValidatorRecord {
            operator: bank.operator.id,
            node: bank.node,
            consensus_key: key.public_key(),
        };
        let mut validators: Vec<ValidatorRecord> = banks.iter().zip(&child_keys(child)).map(seat).collect();
        validators.sort_unstable_by_key(|validator| validator.consensus_key);
        self.govern(Change::AddChain { parent: PARENT, validators });
        self.run(Vec::new());
    }

    fn growth(&self, chain: ChainId) -> Growth {
        match self.bank.executor.state().rules().registry.chain(chain).unwrap().birth {
            Birth::Child { growth, .. } => growth,
            Birth::Genesis => panic!("chain {chain} is no child"),
        }
    }

    fn is_moving(&self) -> bool {
        self.bank.executor.state().head().moving.is_some()
    }

    fn wallet(&self, id: WalletId) -> Option<WalletRecord> {
        match Archive::new(self.bank.store.as_ref()).wallet(id).unwrap() {
            Some((_, Record::Wallet(wallet))) => Some(wallet),
            Some((_, other)) => panic!("{other:?}"),
            None => None,
        }
    }

    fn holdings(&self) -> u64 {
        self.bank.executor.state().head().supply.holdings.fen()
    }
}

/// All that `from` has certified for `to` is ordered and executed there; answers how many receipts.
fn carry(from: &Town, to: &mut Town) -> usize {
    let (source, destination) = (from.bank.rules.chain, to.bank.rules.chain);
    let mut carried = 0;
    loop {
        let known = reached(to.bank.store.as_ref()).unwrap();
        let (_, known) = known.into_iter().find(|(chain, _)| *chain == source).unwrap();
        let certified = from.bank.chain.status().certified_height;
        let store = from.bank.store.as_ref();
        let Some(bundle) = next_bundle(store, destination, known.count, certified, known.epoch).unwrap()
        else {
            return carried;
        };
        carried += bundle.receipts.len();
        let bank = &mut to.bank;
        bank.give(Input::Relayed { bundle: Bytes::from(bundle.encode()) });
        bank.now.wall.0 += 50;
        bank.now.elapsed_ms += 50;
        let mut block = bank.block_of_bundles(&to.tip, &[bundle]);
        let head = bank.executor.state().head();
        block.header.claim = Claim { height: head.height, result: head.result };
        bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
        bank.finalize(&block);
        assert_eq!(bank.chain.status().executed_height, block.header.height);
        to.tip = bank.facts(&block);
    }
}

/// A parent with wallets, and its child, which has reported that it runs.
fn family(groups: usize) -> (Town, Town, Vec<WalletId>) {
    let mut parent = Town::new(Bank::new());
    let people = parent.people(groups);
    parent.add_child(CHILD);
    assert_eq!(parent.growth(CHILD), Growth::Added);
    let mut child = Town::new(Bank::child(&parent.bank, CHILD));
    child.run(Vec::new());
    child.run(Vec::new());
    assert_eq!(carry(&child, &mut parent), 1, "it reports that it runs");
    assert_eq!(parent.growth(CHILD), Growth::Ready);
    (parent, child, people)
}

#[test]
fn a_chain_that_genesis_does_not_name_begins_with_its_origin() {
    let mut parent = Town::new(Bank::new());
    let origin = |town: &Town, chain| Archive::new(town.bank.store.as_ref()).origin(chain).unwrap();
    assert_eq!((origin(&parent, PARENT), origin(&parent, CHILD)), (None, None));
    parent.run(Vec::new());
    parent.add_child(CHILD);
    let spec = parent.bank.localnet.spec.clone();
    let first: ChainOrigin = origin(&parent, CHILD).unwrap();
    let registry = first.verify(&spec, CHILD).unwrap();
    assert_eq!(first.certified.result.height, Height(2));

    let identity = Identity { schema_version: 1, genesis: spec.hash().0, chain: CHILD.0 };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::fresh(&identity));
    let open = |origin: Option<&ChainOrigin>| {
        Executor::open_with(&spec, CHILD, origin, Arc::clone(&store), Sequential).map(drop)
    };
    assert!(matches!(open(None), Err(ExecutorFault::NoOrigin { chain }) if chain == CHILD));
    let mut forged = first.clone();
    forged.registry.version += 1;
    assert!(matches!(open(Some(&forged)), Err(ExecutorFault::Origin(_))));
    assert_eq!(store.get(Table::Meta, rows::HEAD).unwrap(), None, "nothing was begun");
    open(Some(&first)).unwrap();
    open(None).unwrap();
    let archive = Archive::new(store.as_ref());
    assert_eq!(archive.own_origin().unwrap().as_ref(), Some(&first));
    assert_eq!(archive.origin(CHILD).unwrap().as_ref(), Some(&first));
    assert_eq!(archive.origin(PARENT).unwrap(), None, "genesis names it");
    assert_eq!(archive.registry_at(Height(0)).unwrap().as_ref(), Some(&*registry));

    // Whoever has the genesis file alone can check what the child certifies.
    let mut child = Town::new(Bank::child(&parent.bank, CHILD));
    child.run(Vec::new());
    child.run(Vec::new());
    let archive = Archive::new(child.bank.store.as_ref());
    let certified = archive.certified_result(Height(1)).unwrap().unwrap();
    let sets = archive.set_chain(Epoch(0)).unwrap().unwrap();
    assert_eq!(certified.verify(&spec, &sets), Ok(()));
    child.bank.restart();
    child.run(Vec::new());
    // Chain 0 goes on, and the origin stays what it was.
    parent.run(Vec::new());
    let later = origin(&parent, CHILD).unwrap();
    assert_eq!((&later.registry, &later.parts), (&first.registry, &first.parts));
}

/// Whoever has not executed yet that the chain was added does not blame who brings its receipts.
#[test]
fn a_bundle_of_a_chain_that_is_not_known_yet_is_nobodys_fault() {
    let mut parent = Town::new(Bank::new());
    parent.add_child(CHILD);
    let mut child = Town::new(Bank::child(&parent.bank, CHILD));
    child.run(Vec::new());
    child.run(Vec::new());
    let store = child.bank.store.as_ref();
    let bundle = next_bundle(store, PARENT, 0, Height(1), Epoch(0)).unwrap().unwrap();
    let frame = Frame::Bundle(Bytes::from(bundle.encode()));
    let mut behind = Bank::new();
    assert!(!behind.frame(FAULTY, &frame).distrusts(FAULTY));
    assert_eq!(behind.chain.status().bundles, 0, "nothing of it is kept");
    assert!(!parent.bank.frame(FAULTY, &frame).distrusts(FAULTY));
    assert_eq!(parent.bank.chain.status().bundles, 1);
}

/// A child that does not know its wallets yet takes receipts of the root chain, and of its parent once they are on their way: what others
/// bring is not even checked, or this forged one would be found out.
#[test]
fn what_a_child_does_not_take_yet_costs_it_nothing() {
    let (child, sibling) = (ChainId(2), ChainId(1));
    let mut root = Town::new(Bank::shard(0));
    root.add_child(child);
    let mut sibling = Town::new(Bank::shard(sibling.0));
    let issue = sibling.bank.issue(1, 1_000);
    sibling.run(vec![issue]);
    let two = NonZeroU16::new(2).unwrap();
    let payee = (0..=u8::MAX).map(|byte| WalletId([byte; 32])).find(|id| id.shard(two) == 0).unwrap();
    let payment = sibling.pay(&[payee], 5);
    sibling.run(vec![payment]);
    sibling.run(Vec::new());
    let certified = sibling.bank.chain.status().certified_height;
    let store = sibling.bank.store.as_ref();
    let mut bundle = next_bundle(store, PARENT, 0, certified, Epoch(0)).unwrap().unwrap();
    bundle.destination = child;
    let frame = Frame::Bundle(Bytes::from(bundle.encode()));
    let mut child = Bank::child(&root.bank, child);
    assert!(!child.frame(FAULTY, &frame).distrusts(FAULTY));
    assert_eq!(child.chain.status().bundles, 0);
    assert!(root.bank.frame(FAULTY, &frame).distrusts(FAULTY), "whoever takes its receipts checks them");
}

#[test]
fn wallets_move_while_payments_go_on_and_banks_start_anew() {
    let (mut parent, mut child, people) = family(36);
    parent.govern(Change::Reshard { currency: CNY });
    assert!(parent.is_moving() && parent.growth(CHILD) == Growth::Filling);
    let mut paid: BTreeMap<WalletId, u64> = people.iter().map(|id| (*id, FIRST_FEN)).collect();
    let mut rounds = 0;
    while parent.is_moving() {
        // Some of them are gone already, some are on their way, some stay.
        let payees: Vec<WalletId> = people.iter().skip(rounds).step_by(97).copied().collect();
        let payment = parent.pay(&payees, 3);
        match rounds % 3 {
            0 => parent.bank.restart(),
            1 => parent.bank.hold_disk = true,
            _ => child.bank.restart(),
        }
        parent.run(vec![payment]);
        if rounds % 3 == 1 {
            parent.bank.lose_power();
        }
        payees.iter().for_each(|payee| *paid.get_mut(payee).unwrap() += 3);
        carry(&parent, &mut child);
        rounds += 1;
        assert!(rounds < 50, "it does not end: {:?}", parent.bank.executor.state().head().moving);
    }
    assert!(rounds > 2, "several blocks move them");
    assert_eq!(child.growth(CHILD), Growth::Filling, "the end is not certified yet");
    parent.run(Vec::new());
    carry(&parent, &mut child);
    assert_eq!(child.growth(CHILD), Growth::Grown);
    child.run(Vec::new());
    child.run(Vec::new());
    carry(&child, &mut parent);
    assert_eq!(parent.growth(CHILD), Growth::Grown);

    assert_eq!(parent.holdings() + child.holdings(), ISSUED, "nothing is lost or made");
    let rules = child.bank.executor.state().rules().clone();
    let mut moved = 0;
    for (id, fen) in paid {
        let old = parent.wallet(id).unwrap();
        if rules.home(&id) == PARENT {
            assert_eq!((old.status, old.balance.fen()), (WalletStatus::Active, fen));
            assert_eq!(child.wallet(id), None);
            continue;
        }
        moved += 1;
        let new = child.wallet(id).unwrap();
        assert_eq!((old.status, old.balance), (WalletStatus::Moved { to: CHILD }, Amount::ZERO));
        assert_eq!((new.status, new.balance.fen()), (WalletStatus::Active, fen));
    }
    assert!(moved > people.len() / 3 && moved < people.len() * 2 / 3, "{moved} of {}", people.len());

    // One that comes late finds the way from the origin on.
    let mut late = Bank::child(&parent.bank, CHILD);
    late.now = child.bank.now;
    catch_up(&mut late, &child.bank);
    assert_eq!(late.executor.state().head(), child.bank.executor.state().head());
}

/// A payer pays somebody whom nobody knows, and moves in the same block: the money comes back to the parent, and goes on to the payer.
#[test]
fn a_refund_goes_on_to_a_payer_that_has_moved_and_answers_one_credit_only() {
    let (mut parent, mut child, people) = family(1);
    let two = NonZeroU16::new(2).unwrap();
    let payer = *people.iter().find(|id| id.shard(two) == 1).unwrap();
    let nobody = (0..=u8::MAX).map(|byte| WalletId([byte; 32])).find(|id| id.shard(two) == 1).unwrap();
    parent.govern(Change::Reshard { currency: CNY });
    let (genesis, key) = (parent.bank.genesis(), SecretKey::from_seed([77; 32]));
    let payments = vec![Payment { payee: nobody, amount: Amount::from_fen(4) }];
    let content = TransactionContent {
        wallet: payer,
        policy: Policy::single(key.public_key()),
        ..parent.bank.unsigned(1, 1, Operation::Pay { payments })
    };
    let payment = content.signed_by(genesis, &key);
    let id = payment.id(genesis);
    parent.run(vec![payment]);
    let paid_at = parent.tip.height;
    assert_eq!(parent.wallet(payer).unwrap().status, WalletStatus::Moved { to: CHILD });
    while parent.is_moving() {
        parent.run(Vec::new());
    }
    for _ in 0..2 {
        parent.run(Vec::new());
        carry(&parent, &mut child);
        child.run(Vec::new());
        child.run(Vec::new());
        carry(&child, &mut parent);
        parent.run(Vec::new());
    }
    assert_eq!(child.wallet(payer).unwrap().balance.fen(), FIRST_FEN);
    assert_eq!(parent.holdings() + child.holdings(), ISSUED);

    let archive = Archive::new(parent.bank.store.as_ref());
    let legs = archive.legs(id, paid_at).unwrap();
    assert_eq!((legs.len(), legs[0].destination, legs[0].payee), (1, CHILD, nobody));
    assert_eq!(legs[0].refund.map(|(from, _)| from), Some(CHILD));
    let refund = legs[0].refund_id(genesis, PARENT).unwrap();
    let located = archive.locate(refund).unwrap().unwrap();
    assert_eq!(located.outcome.rejection(), Some(Rejection::SentOn));
    let (to, sequence) = archive.sent_on(genesis, refund, located.height).unwrap().unwrap();
    assert_eq!(to, CHILD);
    let there = Archive::new(child.bank.store.as_ref());
    let arrived = there.locate(receipt_id(genesis, PARENT, CHILD, sequence)).unwrap().unwrap();
    assert!(arrived.outcome.is_applied());
    assert_eq!(there.sent_on(genesis, arrived.outcome.id, arrived.height).unwrap(), None, "it is there");
    assert!(child.bank.rows(Table::Refunds).is_empty(), "it answers no credit of the child");
}

/// Final blocks of `from`, page by page, with what they order.
fn catch_up(late: &mut Bank, from: &Bank) {
    let archive = Archive::new(from.store.as_ref());
    let end = from.chain.status().executed_height;
    while late.chain.status().executed_height < end {
        let next = late.chain.status().executed_height.next();
        let frames = archive.serve(&Request::Blocks(next), &Snapshots::new(0)).unwrap();
        let Some(Frame::FinalBlocks(page)) = frames.into_iter().next() else { panic!("no page from {next}") };
        late.frame(2, &Frame::FinalBlocks(page.clone()));
        for block in page.blocks {
            for digest in &block.body.batches {
                let bytes = archive.batch_bytes(*digest).unwrap().unwrap();
                late.frame(2, &Frame::Batch(Bytes::from(bytes)));
            }
            for digest in &block.body.bundles {
                let bundle = archive.bundle(*digest).unwrap().unwrap();
                late.frame(2, &Frame::Bundle(Bytes::from(bundle.encode())));
            }
        }
        assert!(late.chain.status().executed_height >= next, "it stands still at {next}");
    }
}
