//! Pruning by policy: old heights go, the state and what a start, a peer and a client need stay.

use chain::config::SNAPSHOT_EVERY_MS;
use chain::pruning::{prunable, prune_age_ms, prune_step, sweep_history};
use chain::{Archive, Frame, Recovered, Report, Request, Snapshots, rows};
use ledger::records::{Batch, Change, Claim, Transaction};
use ledger::rules::ParentFacts;
use ledger::values::{Canonical as _, Epoch, Height, NodeIndex, ResultHash, SecretKey, TransactionId};
use storage::{Table, key};

use crate::rig::{Bank, FAULTY, Seen};

/// Between two blocks: nine of them are older than what is never pruned.
const AGE_MS: u64 = prune_age_ms(SNAPSHOT_EVERY_MS);
const PACE_MS: u64 = AGE_MS / 20;
const KEEP_BLOCKS: u64 = 4;

/// A bank whose every block pays once.
struct Town {
    bank: Bank,
    parent: ParentFacts,
    sequence: u64,
    paid: Vec<TransactionId>,
}

impl Town {
    fn new(bank: Bank) -> Self {
        let parent = bank.genesis_facts;
        let mut town = Self { bank, parent, sequence: 0, paid: Vec::new() };
        let issued = town.bank.issue(1, 1_000);
        town.run(vec![issued]);
        town
    }

    /// One more block, some time later, which claims the result of the one before.
    fn run(&mut self, transactions: Vec<Transaction>) {
        self.bank.pass(PACE_MS);
        let bank = &mut self.bank;
        self.paid.extend(transactions.iter().map(|transaction| transaction.id(bank.genesis())));
        let batches: Vec<(_, Batch)> = match transactions.is_empty() {
            true => Vec::new(),
            false => vec![bank.sealed(2, self.parent.height.0 + 1, transactions)],
        };
        if let Some((_, batch)) = batches.first() {
            bank.batch(2, batch);
        }
        let named: Vec<_> = batches.iter().map(|(digest, batch)| (*digest, batch.weight())).collect();
        let mut block = bank.block(&self.parent, &named);
        let head = bank.executor.state().head();
        block.header.claim = Claim { height: head.height, result: head.result };
        bank.frame(FAULTY, &chain::Frame::Block(Box::new(block.clone())));
        bank.finalize(&block);
        self.parent = bank.facts(&block);
        assert_eq!(bank.executor.state().head().height, self.parent.height);
    }

    fn pay(&mut self) {
        self.sequence += 1;
        let payment = self.bank.pay(self.sequence, 1);
        self.run(vec![payment]);
    }

    /// Prunes as far as may be; how far that is.
    fn prune(&self) -> Height {
        let store = self.bank.store.as_ref();
        let until = prunable(store, KEEP_BLOCKS, AGE_MS).unwrap();
        let mut below = None;
        while let Some(reached) = prune_step(store, until).unwrap() {
            below = Some(reached);
        }
        assert_eq!(below.unwrap_or(until), until);
        until
    }
}

fn rows(bank: &Bank, table: Table) -> u64 {
    bank.rows(table).len() as u64
}

#[test]
fn nothing_young_is_pruned_whatever_the_policy() {
    let mut town = Town::new(Bank::new());
    for _ in 0..10 {
        town.pay();
    }
    let store = town.bank.store.as_ref();
    assert_eq!(prunable(store, 1, AGE_MS).unwrap(), Height(1));
    assert_eq!(prune_step(store, Height(1)).unwrap(), None);
    assert_eq!(Archive::new(store).pruned_below().unwrap(), None);
    // Old enough, but the policy keeps them.
    for _ in 0..30 {
        town.pay();
    }
    assert_eq!(prunable(town.bank.store.as_ref(), 1_000, AGE_MS).unwrap(), Height(1));
    assert!(prunable(town.bank.store.as_ref(), 1, AGE_MS).unwrap() > Height(10));
}

#[test]
fn old_heights_go_and_the_bank_starts_serves_and_goes_on() {
    let mut town = Town::new(Bank::new());
    while town.parent.height < Height(40) {
        town.pay();
    }
    let head = town.bank.executor.state().head().clone();
    let (records, slots) = (town.bank.rows(Table::Records), town.bank.rows(Table::Slots));
    let history = rows(&town.bank, Table::History);
    let below = town.prune();
    assert!(below > Height(10) && below < Height(40), "{below}");
    let archive = Archive::new(town.bank.store.as_ref());
    assert_eq!(archive.pruned_below().unwrap(), Some(below));
    // Whole heights are gone, and nothing else.
    let kept = 40 - below.0 + 1;
    for table in [Table::Certificates, Table::Outcomes, Table::Batches, Table::Transactions] {
        assert_eq!(rows(&town.bank, table), kept, "{table}");
    }
    assert_eq!(rows(&town.bank, Table::Results), kept + 1, "and that of height 0");
    assert!(archive.block_at(Height(below.0 - 1)).unwrap().is_none());
    assert!(archive.block_at(below).unwrap().is_some());
    assert_eq!((town.bank.rows(Table::Records), town.bank.rows(Table::Slots)), (records, slots));
    // A transaction that is gone is unknown, one that is not is there.
    assert!(archive.locate(town.paid[2]).unwrap().is_none());
    assert!(archive.locate(*town.paid.last().unwrap()).unwrap().is_some());
    // Peers get what is held whole.
    let served = |from| archive.serve(&Request::Blocks(Height(from)), &Snapshots::new(0)).unwrap();
    let pruned = vec![Frame::Pruned(below)];
    assert_eq!((served(1), served(below.0 - 1)), (pruned.clone(), pruned));
    assert_eq!(served(below.0).len(), 1);
    // History is hidden at once, and swept afterwards.
    let (payer, _) = town.bank.operator(1);
    let (slot, _) = archive.wallet(payer).unwrap().unwrap();
    let shown = archive.history(slot, None, 1_000).unwrap();
    assert!(!shown.is_empty() && shown.iter().all(|row| row.height >= below));
    assert_eq!(rows(&town.bank, Table::History), history);
    let mut after = None;
    loop {
        after = sweep_history(town.bank.store.as_ref(), below, after.as_deref()).unwrap();
        if after.is_none() {
            break;
        }
    }
    let left = town.bank.rows(Table::History);
    assert!((left.len() as u64) < history);
    assert!(left.iter().all(|(place, _)| key::split_history(place).is_some_and(|(_, at, ..)| at >= below.0)));
    assert_eq!(Archive::new(town.bank.store.as_ref()).history(slot, None, 1_000).unwrap(), shown);
    // A second time there is nothing to do.
    assert_eq!(town.prune(), below);
    // The bank starts anew with the same state and the same window of digests, and goes on.
    let window = |bank: &Bank| Recovered::read(&bank.rules, bank.store.as_ref()).unwrap().ordered;
    let before = window(&town.bank);
    town.bank.restart();
    assert_eq!(window(&town.bank), before);
    assert_eq!(town.bank.executor.state().head(), &head);
    town.pay();
    assert_eq!(town.parent.height, Height(41));
    assert!(town.prune() > below);
}

/// Proofs of receipts need blocks, certificates and results: where there are other chains they stay.
#[test]
fn among_other_chains_what_proves_receipts_stays() {
    let mut town = Town::new(Bank::shard(0));
    while town.parent.height < Height(40) {
        town.pay();
    }
    let below = town.prune();
    assert!(below > Height(10));
    let bank = &town.bank;
    for table in [Table::Certificates, Table::Results, Table::Heights] {
        assert!(rows(bank, table) >= 40, "{table}");
    }
    for table in [Table::Outcomes, Table::Batches, Table::Transactions] {
        assert_eq!(rows(bank, table), 40 - below.0 + 1, "{table}");
    }
    let archive = Archive::new(bank.store.as_ref());
    assert!(archive.certified_result(Height(2)).unwrap().is_some());
    let served = archive.serve(&Request::Blocks(Height(1)), &Snapshots::new(0)).unwrap();
    assert_eq!(served, [Frame::Pruned(below)], "but nobody is given blocks without batches");
}

/// Whose peers have pruned what it needs next is told, once, by more than may lie; a page ends it.
#[test]
fn who_was_away_for_too_long_is_told() {
    let mut town = Town::new(Bank::new());
    town.pay();
    let mut late = Bank::new();
    let ahead = Frame::Announce(Claim { height: Height(900), result: ResultHash([1; 32]) });
    for peer in [2, 3] {
        late.frame(peer, &ahead);
    }
    let told = |seen: &Seen| {
        seen.reports.iter().filter(|report| matches!(report, Report::PrunedEverywhere { .. })).count()
    };
    late.frame(2, &Frame::Pruned(Height(500)));
    late.frame(3, &Frame::Pruned(Height(400)));
    assert_eq!(late.chain.status().pruned_below, None, "who keeps all may not have been asked yet");
    // The third is asked before the two, and nobody says more than that for a while.
    let mut asked = Vec::new();
    for _try in 0..44 {
        let sent = late.pass(250).sent;
        asked.extend(
            sent.iter()
                .filter(|(_, frame)| matches!(frame, Frame::RequestBlocks(Height(1))))
                .map(|(to, _)| *to),
        );
    }
    let of = |node: u16| asked.iter().filter(|to| **to == NodeIndex(node)).count();
    assert!(of(1) > 2 * (of(2) + of(3)) && of(2) + of(3) > 0, "{asked:?}");
    let seen = late.frame(2, &Frame::Pruned(Height(500)));
    assert_eq!((told(&seen), late.chain.status().pruned_below), (1, Some(Height(400))));
    let seen = late.frame(3, &Frame::Pruned(Height(450)));
    assert_eq!((told(&seen), late.chain.status().pruned_below), (0, Some(Height(450))), "once");
    // Somebody keeps all: from then on it is as if nobody had said anything.
    let archive = Archive::new(town.bank.store.as_ref());
    let page = archive.serve(&Request::Blocks(Height(1)), &Snapshots::new(0)).unwrap();
    late.frame(2, &page[0]);
    assert_eq!(late.chain.status().pruned_below, None);
    // One may lie, for ever.
    let next = late.chain.status().final_height.next();
    for _try in 0..44 {
        let seen = late.frame(3, &Frame::Pruned(Height(500)));
        late.pass(250);
        assert_eq!((told(&seen), late.chain.status().pruned_below), (0, None), "above {next}");
    }
    // What it does not need any more nobody needs to have.
    let seen = late.frame(3, &Frame::Pruned(Height(2)));
    assert_eq!((told(&seen), late.chain.status().pruned_below), (0, None));
}

/// Who may certify must stay provable from genesis.
#[test]
fn a_change_of_set_stays_proved_when_its_block_is_gone() {
    let mut town = Town::new(Bank::new());
    let next = SecretKey::from_seed([77; 32]);
    town.bank.keys.push(next.clone());
    town.bank.restart();
    let (old, new) = (town.bank.keys[0].public_key(), next.public_key());
    let change = Change::ReplaceConsensusKey { chain: town.bank.rules.chain, old, new };
    let governed = town.bank.govern(1, vec![change]);
    town.run(vec![governed]);
    while town.bank.epoch() == Epoch(0) {
        town.run(Vec::new());
    }
    for _ in 0..45 {
        town.run(Vec::new());
    }
    let links = |bank: &Bank| Archive::new(bank.store.as_ref()).set_chain(Epoch(1)).unwrap().unwrap();
    let (before, began) = (links(&town.bank), before_epoch(&town.bank));
    assert!(town.prune() > began.next());
    assert!(Archive::new(town.bank.store.as_ref()).block_at(began).unwrap().is_none());
    assert_eq!(links(&town.bank), before);
    assert!(town.bank.store.get(Table::Meta, &rows::set_link(Epoch(1))).unwrap().is_some());
    assert!(before.verify(&town.bank.localnet.spec, town.bank.rules.chain).is_ok());
    assert!(before.encode().len() > 100);
    town.bank.restart();
    town.run(Vec::new());
}

/// The last height of epoch 0.
fn before_epoch(bank: &Bank) -> Height {
    let set = Archive::new(bank.store.as_ref()).epoch(Epoch(1)).unwrap().unwrap();
    Height(set.first_height.0 - 1)
}
