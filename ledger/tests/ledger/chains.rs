//! Chains that talk: three shards of one currency and a chain of another, driven by random schedules over pure ledgers. After
//! every block: the supply equation holds on each chain and over the cut; every receipt was executed once, in its order; every
//! wallet has what a small model says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::proofs::{
    Fact, HeightRecord, Proof, ProofFile, ReceiptProof, Replay, SetChain, SetLink, outcome_path,
};
use ledger::records::bundle::BUNDLE_RECEIPTS_MAX;
use ledger::records::receipt::receipt_id;
use ledger::records::{
    Bundle, ChainSpec, GenesisSpec, Operation, Pending, Receipt, Rejection, Tier, WalletOpening, WalletStatus,
};
use ledger::rules::block_validity::{check_body, check_contents, check_header, check_parent};
use ledger::rules::{BundleFacts, BundleFault, check_batch, check_bundle};
use ledger::state::{Execution, Outbox, PassedOver, Undo};
use ledger::values::append_tree::subtrees;
use ledger::values::{
    Amount, AppendTree, Canonical as _, ChainId, Currency, Epoch, Hash, Sequential, WalletId,
};
use proptest::prelude::*;

use crate::network::{Became, Network, Signer, became, pay, spec};

pub(crate) const SHARDS: u32 = 3;
/// The chain of the other currency.
pub(crate) const FOREIGN: ChainId = ChainId(SHARDS);
pub(crate) const CUSTOMERS: u64 = 12;

/// Shards of one currency, and after them a chain of another.
pub(crate) fn chains_spec(shards: u32) -> GenesisSpec {
    let mut spec = spec();
    let first = spec.chains[0].clone();
    spec.chains = (0..shards)
        .map(|shard| ChainSpec { chain: ChainId(shard), shard: shard as u16, ..first.clone() })
        .chain([ChainSpec { chain: ChainId(shards), currency: Currency(*b"HKD"), shard: 0, ..first.clone() }])
        .collect();
    spec
}

/// What a source has sent to a destination: every receipt, and the tree before each.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) receipts: Vec<Receipt>,
    trees: Vec<AppendTree>,
    totals: Vec<u128>,
}

/// All chains of a network, and what is between them.
pub(crate) struct World {
    pub(crate) chains: Vec<Network>,
    pub(crate) lines: BTreeMap<(ChainId, ChainId), Line>,
    /// Per chain and height: its outboxes.
    outboxes: Vec<Vec<Vec<Outbox>>>,
    /// Receipts executed, by id: each once.
    executed: BTreeSet<(ChainId, ChainId, u64)>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(chains_spec(SHARDS))
    }

    /// All chains of a network.
    pub(crate) fn of(spec: GenesisSpec) -> Self {
        let chains: Vec<Network> =
            spec.chains.iter().map(|chain| Network::of(spec.clone(), chain.chain)).collect();
        let outboxes = chains.iter().map(|_| vec![Vec::new()]).collect();
        Self { chains, lines: BTreeMap::new(), outboxes, executed: BTreeSet::new() }
    }

    /// With customers at home, each with 1,000 yuan, all of tier three (10,000 yuan at most in a payment of 5,000).
    pub(crate) fn town() -> Self {
        let mut world = Self::new();
        for customer in 0..CUSTOMERS {
            let (home, signer) = world.customer(customer);
            let opening = world.chains[home].opening(customer, Tier::Three);
            let bank = world.chains[home].operator(1);
            assert_eq!(
                world.act(home, &bank, Operation::OpenWallets { wallets: vec![opening] }),
                Became::Applied
            );
            world.fund(home, &signer.wallet, 100_000);
        }
        world
    }

    /// A customer of the currency of the shards, and where it is at home.
    pub(crate) fn customer(&self, number: u64) -> (usize, Signer) {
        let signer = self.chains[0].customer(number);
        (self.chains[0].state.rules().home(&signer.wallet).0 as usize, signer)
    }

    /// Starts the chain that the root chain's newest block has added; its place is its id.
    pub(crate) fn start_child(&mut self) {
        let (spec, root) = (self.chains[0].spec.clone(), &self.chains[0].state.rules().registry);
        let chain = ChainId(self.chains.len() as u32);
        let registry = root.of_child(chain).unwrap();
        self.chains.push(Network::begun(spec, Arc::new(registry), chain));
        self.outboxes.push(vec![Vec::new()]);
    }

    pub(crate) fn fund(&mut self, chain: usize, wallet: &WalletId, fen: u64) {
        let (central, bank) = (self.chains[chain].operator(0), self.chains[chain].operator(1));
        let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(fen) };
        assert_eq!(self.act(chain, &central, issue), Became::Applied);
        assert_eq!(self.act(chain, &bank, pay(&[(*wallet, fen)])), Became::Applied);
    }

    pub(crate) fn act(&mut self, chain: usize, signer: &Signer, operation: Operation) -> Became {
        let network = &self.chains[chain];
        let transaction = network.transaction(signer, network.next_sequence(&signer.wallet), operation);
        let execution = self.run(chain, vec![transaction], Vec::new());
        became(&execution, 0)
    }

    /// One block of one chain; what it sent is kept, what it executed is checked.
    pub(crate) fn run(
        &mut self,
        chain: usize,
        transactions: Vec<ledger::records::Transaction>,
        bundles: Vec<Bundle>,
    ) -> Execution {
        let id = ChainId(chain as u32);
        let (rules, parent) = (self.chains[chain].state.rules().clone(), self.chains[chain].parent);
        let facts: Vec<BundleFacts> = bundles
            .iter()
            .map(|bundle| check_bundle(&rules, &Bundle::decode(&bundle.encode()).unwrap()).unwrap())
            .collect();
        let execution = self.chains[chain].run_with(transactions, bundles);
        // By the state that the block claims, which is the one below it.
        let network = &self.chains[chain];
        let (block, batches, _) = network.heights.last().unwrap();
        check_header(&rules, &block.header).unwrap();
        check_parent(&rules, &block.header, &parent).unwrap();
        check_body(&block.header, &block.body).unwrap();
        assert!(batches.iter().all(|batch| check_batch(&rules, batch).is_ok()));
        let batches = network.facts(network.height().0);
        check_contents(&block.header, &block.body, &batches, &facts).unwrap();
        for sent in &execution.sent {
            let line = self.lines.entry((id, sent.destination)).or_default();
            assert_eq!(sent.sequence, line.receipts.len() as u64, "numbered without a gap");
            let mut tree = line.trees.last().cloned().unwrap_or_default();
            if let Some(last) = line.receipts.last() {
                let before = line.totals.last().copied().unwrap();
                assert!(tree.append("jiaozi/receipts", ledger::state::outbox::receipt_leaf(last, before)));
            }
            let total = line.totals.last().copied().unwrap_or(0)
                + line.receipts.last().map_or(0, |last| u128::from(last.value().fen()));
            line.trees.push(tree);
            line.totals.push(total);
            line.receipts.push(sent.receipt.clone());
        }
        for received in &execution.received {
            assert!(self.executed.insert((received.source, id, received.sequence)), "executed once");
            assert_eq!(
                self.lines[&(received.source, id)].receipts[received.sequence as usize],
                received.receipt
            );
            let name = receipt_id(self.chains[chain].genesis, received.source, id, received.sequence);
            let outcome = execution.outcomes.iter().find(|outcome| outcome.id == name).unwrap();
            assert_eq!((outcome.code, outcome.transaction), (received.code, received.receipt.hash()));
        }
        self.outboxes[chain].push(execution.head.outboxes.clone());
        self.check();
        execution
    }

    /// Takes note of a block that a chain has executed outside of [`Self::run`], and that has sent nothing.
    pub(crate) fn skip(&mut self, chain: usize) {
        let outboxes = self.chains[chain].state.head().outboxes.clone();
        self.outboxes[chain].push(outboxes);
        self.check();
    }

    /// Receipts `first..` of a line, as proved by a result of the source that is `back` heights old; at most `most` of them.
    pub(crate) fn bundle(
        &self,
        source: usize,
        destination: ChainId,
        first: u64,
        back: u64,
        most: usize,
    ) -> Option<Bundle> {
        let network = &self.chains[source];
        // The block after a height claims it.
        let by = network.height().0.checked_sub(back)?;
        let height = by.checked_sub(1)?;
        let certified = network.certified(height, by);
        let sent = certified.result.supply.pair(destination).sent.count as usize;
        let sets = self.links(source, destination, certified.header.epoch)?;
        let line = self.lines.get(&(ChainId(source as u32), destination));
        if line.is_none_or(|line| line.receipts.len().min(sent) as u64 <= first) {
            let pending = Pending { before: &AppendTree::default(), total_before: 0, receipts: &[] };
            return Bundle::prove(destination, pending, &[], certified, sets);
        }
        let line = line?;
        let first = first as usize;
        let before = line.trees.get(first).filter(|_| first < sent)?;
        let pending =
            Pending { before, total_before: line.totals[first], receipts: &line.receipts[first..sent] };
        let outboxes = &self.outboxes[source][height as usize];
        let mut bundle = Bundle::prove(destination, pending, outboxes, certified.clone(), sets.clone())?;
        // The same bundle where what it leaves out is read by and by, and none where not all of that is there.
        let taken = first + bundle.receipts.len();
        let paged = |until: usize| {
            let pending = Pending { receipts: &line.receipts[first..taken], ..pending };
            let more = line.receipts[taken..until].iter().cloned().map(Ok::<_, ()>);
            Bundle::prove_paged(destination, pending, more, outboxes, certified.clone(), sets.clone())
                .unwrap()
        };
        assert_eq!(paged(sent).as_ref(), Some(&bundle));
        if taken < sent {
            assert_eq!(paged(sent - 1), None);
        }
        // Cut shorter, as a bundle of more than the bound is.
        if most < bundle.receipts.len() {
            bundle.receipts.truncate(most);
            let from = before.count + most as u64;
            bundle.after = subtrees(from, sent as u64)
                .into_iter()
                .map(|(at, level)| {
                    let mut tree = AppendTree::default();
                    for place in at as usize..(at + (1 << level)) as usize {
                        let leaf =
                            ledger::state::outbox::receipt_leaf(&line.receipts[place], line.totals[place]);
                        assert!(tree.append("jiaozi/receipts", leaf));
                    }
                    tree.peaks[0]
                })
                .collect();
        }
        Some(bundle)
    }

    /// The changes of the source's set from what the destination knows up to this epoch; `None` where it knows of a later one.
    fn links(&self, source: usize, destination: ChainId, until: Epoch) -> Option<Vec<SetLink>> {
        let registry = &self.chains[destination.0 as usize].state.rules().registry;
        let known = registry.newest_epoch(ChainId(source as u32))?.epoch;
        let links = self.chains[source].set_links();
        (known <= until).then(|| links[known.0 as usize..until.0 as usize].to_vec())
    }

    pub(crate) fn next(&self, source: usize, destination: usize) -> u64 {
        let head = self.chains[destination].state.head();
        head.supply.pair(ChainId(source as u32)).received.count
    }

    /// Brings everything that is under way home.
    pub(crate) fn settle(&mut self) {
        for _round in 0..4 {
            for source in 0..self.chains.len() {
                self.run(source, Vec::new(), Vec::new());
                self.run(source, Vec::new(), Vec::new());
                for destination in 0..self.chains.len() {
                    let first = self.next(source, destination);
                    if source == destination {
                        continue;
                    }
                    let bundle = self.bundle(source, ChainId(destination as u32), first, 0, usize::MAX);
                    if let Some(bundle) = bundle {
                        let execution = self.run(destination, Vec::new(), vec![bundle]);
                        assert!(execution.passed_over.is_empty());
                    }
                }
            }
        }
    }

    /// Money over the cut of all chains: what is held and what is under way is what was issued.
    fn check(&self) {
        for currency in [Currency(*b"CNY"), Currency(*b"HKD")] {
            let of = |network: &&Network| network.state.rules().currency == currency;
            let (mut held, mut issued) = (0_i128, 0_i128);
            for network in self.chains.iter().filter(of) {
                let supply = &network.state.head().supply;
                held += i128::from(supply.holdings.fen());
                issued += i128::from(supply.issued.fen()) - i128::from(supply.redeemed.fen());
                for pair in &supply.pairs {
                    let other = &self.chains[pair.chain.0 as usize].state.head().supply.pair(network.chain);
                    assert!(other.received.count <= pair.sent.count);
                    assert!(pair.received.count <= other.sent.count);
                    held += (pair.sent.total - other.received.total) as i128;
                }
            }
            assert_eq!(held, issued, "{currency}");
        }
    }
}

#[test]
fn a_payment_reaches_a_wallet_of_another_shard() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    assert_eq!(world.act(home, &payer, pay(&[(payee.wallet, 700)])), Became::Applied);
    assert_eq!(world.chains[home].balance(&payer.wallet), 99_300);
    let transaction = world.chains[home].heights.last().unwrap().2.outcomes[0].id;
    world.settle();
    assert_eq!(world.chains[away].balance(&payee.wallet), 100_700);
    let line = &world.lines[&(ChainId(home as u32), ChainId(away as u32))];
    let (payer, payee, amount) = (payer.wallet, payee.wallet, Amount::from_fen(700));
    assert_eq!(line.receipts, [Receipt::Credit { transaction, part: 0, payer, payee, amount, origin: None }]);
}

#[test]
fn what_cannot_be_credited_comes_back() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let others: Vec<(usize, Signer)> =
        (1..CUSTOMERS).map(|n| world.customer(n)).filter(|(there, _)| *there != home).collect();
    let (away, frozen) = others[0].clone();
    world.chains[away].plant(&frozen.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    let (capped_at, capped) = others[1].clone();
    world.fund(capped_at, &capped.wallet, 1_900_000);
    let unknown = (CUSTOMERS..).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap().1;
    let payees = [(frozen.wallet, 1_000), (capped.wallet, 2_000), (unknown.wallet, 3_000)];
    assert_eq!(world.act(home, &payer, pay(&payees)), Became::Applied);
    assert_eq!(world.chains[home].balance(&payer.wallet), 94_000);
    // The payer is frozen too, and rises above its tier's limit: a refund is never refused.
    world.fund(home, &payer.wallet, 1_905_000);
    world.chains[home].plant(&payer.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    world.settle();
    assert_eq!(world.chains[home].balance(&payer.wallet), 94_000 + 1_905_000 + 6_000);
    let codes: Vec<u16> = world
        .lines
        .values()
        .flat_map(|line| &line.receipts)
        .filter_map(|receipt| match receipt {
            Receipt::Refund { code, .. } => Some(*code),
            _ => None,
        })
        .collect();
    for reason in [Rejection::PayeeNotActive, Rejection::PayeeBalanceAboveTierLimit, Rejection::PayeeUnknown]
    {
        assert_eq!(codes.iter().filter(|code| **code == reason.code()).count(), 1, "{reason}");
    }
}

#[test]
fn what_became_of_a_receipt_is_proved_to_a_stranger() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    world.act(home, &payer, pay(&[(payee.wallet, 100), (payee.wallet, 200)]));
    world.run(home, Vec::new(), Vec::new());
    let bundle = world.bundle(home, ChainId(away as u32), 0, 0, usize::MAX).unwrap();
    let execution = world.run(away, Vec::new(), vec![bundle]);
    world.run(away, Vec::new(), Vec::new());
    let network = &world.chains[away];
    let by = network.height().0;
    let proof = ReceiptProof {
        source: ChainId(home as u32),
        sequence: 1,
        receipt: execution.received[1].receipt.clone(),
        outcome: execution.outcomes[1],
        position: 1,
        path: outcome_path(&execution.outcomes, 1, &Sequential).unwrap(),
        certified: network.certified(by - 1, by),
    };
    let learn = |proof: &ReceiptProof| {
        let file = ProofFile {
            genesis: network.genesis,
            sets: SetChain::default(),
            proof: Proof::Receipt(proof.clone()),
        };
        ProofFile::decode(&file.encode()).unwrap().verify(&network.spec).map(|proven| proven.fact)
    };
    let Fact::Receipt { source, sequence, receipt, outcome } = learn(&proof).unwrap() else { panic!() };
    assert_eq!((source.0 as usize, sequence, receipt.value().fen()), (home, 1, 200));
    assert!(outcome.is_applied());
    let forgeries: [&dyn Fn(&mut ReceiptProof); 4] = [
        &|proof| proof.sequence = 0,
        &|proof| proof.source = FOREIGN,
        &|proof| proof.receipt = raised(&proof.receipt),
        &|proof| proof.position = 0,
    ];
    for forge in forgeries {
        let mut forged = proof.clone();
        forge(&mut forged);
        assert!(learn(&forged).is_err());
    }
}

#[test]
fn a_refund_without_a_payer_is_kept_in_suspense() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let unknown = (CUSTOMERS..).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    world.act(home, &payer, pay(&[(unknown.1.wallet, 500)]));
    world.run(home, Vec::new(), Vec::new());
    let first = world.bundle(home, ChainId(unknown.0 as u32), 0, 0, usize::MAX).unwrap();
    let before = world.chains[unknown.0].state.head().clone();
    world.run(unknown.0, Vec::new(), vec![first]);
    world.run(unknown.0, Vec::new(), Vec::new());
    let mut back = world.bundle(unknown.0, ChainId(home as u32), 0, 0, usize::MAX).unwrap();
    let Receipt::Refund { payer, .. } = &mut back.receipts[0] else { panic!() };
    *payer = WalletId([9; 32]);
    let execution = world.chains[home].run_with(Vec::new(), vec![back]);
    assert_eq!(execution.writes.records[0].1.value(), Amount::from_fen(500));
    assert_eq!(execution.writes.records[0].0.0, 1, "the suspense record's slot");
    let undo = Undo::decode(&execution.undo.encode()).unwrap();
    assert_eq!(undo, execution.undo);
    assert_eq!(before.outboxes, []);
}

#[test]
fn a_bundle_that_is_not_next_changes_nothing() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    for _ in 0..3 {
        world.act(home, &payer, pay(&[(payee.wallet, 100)]));
    }
    world.run(home, Vec::new(), Vec::new());
    let to = ChainId(away as u32);
    let bundle = |first, most| world.bundle(home, to, first, 0, most).unwrap();
    let (first, second, both, ahead) = (bundle(0, 1), bundle(1, 1), bundle(0, 2), bundle(2, 1));
    let execution = world.run(away, Vec::new(), vec![ahead.clone(), first, both, second]);
    let not_next = |position, first, next| (position, PassedOver::NotNext { first, next });
    assert_eq!(execution.passed_over, [not_next(0, 2, 0), not_next(3, 1, 2)]);
    assert_eq!(execution.received.len(), 2);
    let execution = world.run(away, Vec::new(), vec![ahead]);
    assert_eq!((execution.passed_over.len(), execution.received.len()), (0, 1));
    assert_eq!(world.chains[away].balance(&payee.wallet), 100_300);
}

#[test]
fn a_chain_is_not_flooded_with_money_that_was_never_issued() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    world.act(home, &payer, pay(&[(payee.wallet, 100)]));
    world.run(home, Vec::new(), Vec::new());
    let mut bundle = world.bundle(home, ChainId(away as u32), 0, 0, 1).unwrap();
    let Receipt::Credit { amount, .. } = &mut bundle.receipts[0] else { panic!() };
    *amount = Amount::from_fen(u64::MAX);
    let state = world.chains[away].state.parts().tree;
    let execution = world.chains[away].run_with(Vec::new(), vec![bundle]);
    assert_eq!(execution.passed_over, [(0, PassedOver::Unbacked {})]);
    assert_eq!(world.chains[away].state.parts().tree, state);
}

#[test]
fn wallets_are_opened_at_home_only() {
    let mut world = World::new();
    let home = world.customer(0).0;
    for chain in 0..SHARDS as usize {
        let bank = world.chains[chain].operator(1);
        let wallets: Vec<WalletOpening> = vec![world.chains[chain].opening(0, Tier::One)];
        let expected =
            if chain == home { Became::Applied } else { Became::Rejected(Rejection::WalletElsewhere) };
        assert_eq!(world.act(chain, &bank, Operation::OpenWallets { wallets }), expected);
    }
}

/// Whatever is changed in a bundle, it is refused: by its bytes and the genesis registry alone.
#[test]
fn a_forged_bundle_is_refused() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    for _ in 0..7 {
        world.act(home, &payer, pay(&[(payee.wallet, 100), (payee.wallet, 5)]));
    }
    world.run(home, Vec::new(), Vec::new());
    let good = world.bundle(home, ChainId(away as u32), 3, 0, 4).unwrap();
    let rules = world.chains[away].state.rules().clone();
    let facts = check_bundle(&rules, &good).unwrap();
    assert_eq!((facts.first, facts.receipts, facts.source.0 as usize), (3, 4, home));
    assert!(!good.after.is_empty() && !good.before.peaks.is_empty());
    let sent = good.certified.result.supply.pair(ChainId(away as u32)).sent.count;
    let forgeries: Vec<(&str, Box<dyn Fn(&mut Bundle)>, Option<u16>)> = vec![
        ("amount", Box::new(|b| b.receipts[1] = raised(&b.receipts[1])), Some(707)),
        ("order", Box::new(|b| b.receipts.swap(0, 1)), Some(707)),
        ("left out", Box::new(|b| b.receipts.truncate(3)), Some(707)),
        ("repeated", Box::new(|b| b.receipts.insert(0, b.receipts[0].clone())), Some(707)),
        ("earlier", Box::new(|b| b.before.count -= 1), None),
        ("peaks", Box::new(|b| b.before.peaks[0] = Hash([1; 32])), Some(707)),
        ("total above", Box::new(|b| b.total_before += 1), Some(707)),
        ("total below", Box::new(|b| b.total_before -= 1), Some(707)),
        ("after", Box::new(|b| b.after[0] = Hash([1; 32])), Some(707)),
        ("after missing", Box::new(|b| b.after.truncate(b.after.len() - 1)), Some(707)),
        ("path", Box::new(|b| b.path.push(Hash([1; 32]))), Some(707)),
        ("too many", Box::new(|b| b.receipts.resize(BUNDLE_RECEIPTS_MAX, b.receipts[0].clone())), Some(706)),
        ("none", Box::new(|b| b.receipts.clear()), Some(701)),
        ("result", Box::new(|b| b.certified.result.executed += 1), Some(705)),
        ("outbox", Box::new(|b| b.certified.result.outbox.0[0] ^= 1), Some(707)),
        ("certificate", Box::new(|b| *b.certified.finality.bytes.last_mut().unwrap() ^= 1), Some(705)),
        ("destination", Box::new(|b| b.destination = FOREIGN), Some(702)),
        ("source", Box::new(|b| b.certified.result.chain = ChainId(99)), Some(703)),
        ("itself", Box::new(|b| b.certified.result.chain = b.destination), Some(703)),
        ("another source", Box::new(|b| b.certified.result.chain = FOREIGN), Some(704)),
    ];
    for (name, forge, code) in forgeries {
        let mut forged = good.clone();
        forge(&mut forged);
        let fault = check_bundle(&rules, &forged).expect_err(name);
        assert!(code.is_none_or(|code| code == fault.code()), "{name}: {fault}");
    }
    let until =
        |bundle: &Bundle| check_bundle(&rules, bundle).map(|facts| facts.first + u64::from(facts.receipts));
    assert_eq!(until(&world.bundle(home, ChainId(away as u32), 3, 0, usize::MAX).unwrap()), Ok(sent));
    let other = world.chains[FOREIGN.0 as usize].state.rules();
    assert_eq!(check_bundle(other, &good), Err(BundleFault::WrongChain { chain: ChainId(away as u32) }));
}

fn raised(receipt: &Receipt) -> Receipt {
    match receipt {
        &Receipt::Credit { transaction, part, payer, payee, amount, origin } => {
            let amount = Amount::from_fen(amount.fen() + 1);
            Receipt::Credit { transaction, part, payer, payee, amount, origin }
        }
        other => other.clone(),
    }
}

/// A step of a random schedule.
#[derive(Debug, Clone)]
enum Step {
    /// A payment with legs anywhere; above [`CUSTOMERS`] the payee does not exist.
    Pay {
        from: u64,
        to: Vec<(u64, u64)>,
    },
    /// Receipts from one chain to another: `skew` off the next one, by an older result, cut short.
    Relay {
        source: usize,
        destination: usize,
        skew: i64,
        back: u64,
        most: usize,
        copies: usize,
    },
    /// An empty block.
    Idle {
        chain: usize,
    },
    Freeze {
        customer: u64,
        frozen: bool,
    },
}

fn steps() -> impl proptest::strategy::Strategy<Value = Step> {
    let chain = || 0..SHARDS as usize + 1;
    let to = prop::collection::vec((0..CUSTOMERS + 4, 1_u64..60_000), 1..5);
    prop_oneof![
        6 => (0..CUSTOMERS, to).prop_map(|(from, to)| Step::Pay { from, to }),
        6 => (chain(), chain(), prop_oneof![8 => Just(0_i64), 1 => -2_i64..3], 0_u64..3, prop_oneof![Just(usize::MAX), 1_usize..4], 1_usize..3)
            .prop_map(|(source, destination, skew, back, most, copies)| Step::Relay { source, destination, skew, back, most, copies }),
        2 => chain().prop_map(|chain| Step::Idle { chain }),
        1 => (0..CUSTOMERS, any::<bool>()).prop_map(|(customer, frozen)| Step::Freeze { customer, frozen }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::network::schedules(48)))]

    #[test]
    fn money_is_conserved_over_any_schedule(schedule in prop::collection::vec(steps(), 1..60)) {
        let mut world = World::town();
        let mut frozen = false;
        for step in schedule {
            match step {
                Step::Pay { from, to } => {
                    let (home, payer) = world.customer(from);
                    let payees: Vec<(WalletId, u64)> =
                        to.iter().map(|(number, fen)| (world.customer(*number).1.wallet, *fen)).collect();
                    world.act(home, &payer, pay(&payees));
                }
                Step::Relay { source, destination, skew, back, most, copies } => {
                    let next = world.next(source, destination);
                    if source == destination {
                        continue;
                    }
                    let first = next.saturating_add_signed(skew);
                    let bundle = world.bundle(source, ChainId(destination as u32), first, back, most);
                    for copy in 0..copies {
                        let Some(bundle) = bundle.clone() else { break };
                        let next = world.next(source, destination);
                        let until = bundle.before.count + bundle.receipts.len() as u64;
                        let brings = first <= next && next < until;
                        let execution = world.run(destination, Vec::new(), vec![bundle]);
                        prop_assert_eq!(execution.passed_over.is_empty(), brings, "copy {}", copy);
                        prop_assert_eq!(world.next(source, destination), if brings { until } else { next });
                    }
                }
                Step::Idle { chain } => drop(world.run(chain, Vec::new(), Vec::new())),
                Step::Freeze { customer, frozen: status } => {
                    frozen = true;
                    let (home, signer) = world.customer(customer);
                    let status = if status { WalletStatus::Frozen } else { WalletStatus::Active };
                    world.chains[home].plant(&signer.wallet, |wallet| wallet.status = status);
                    // A record behind the rules' back is not in the tree: its next write puts it there.
                }
            }
        }
        world.settle();
        for ((source, destination), line) in &world.lines {
            prop_assert_eq!(world.next(source.0 as usize, destination.0 as usize), line.receipts.len() as u64);
        }
        if !frozen {
            for network in &world.chains {
                let mut replay = Replay::new(&network.spec, network.chain, [1; 32]).unwrap();
                for ((block, batches, execution), bundles) in network.heights.iter().zip(&network.bundles) {
                    let (result, outcomes) = (Some(&execution.result), Some(execution.outcomes.as_slice()));
                    let record = HeightRecord { block, batches, bundles, result, outcomes };
                    prop_assert_eq!(&replay.step(record, &Sequential).unwrap(), execution);
                }
                prop_assert_eq!(replay.records(), &network.records);
            }
        }
    }
}
