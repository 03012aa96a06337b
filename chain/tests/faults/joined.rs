//! Joining by a snapshot: an empty bank fetches the state of a certified height from three peers, of which some lie, vanish or have
//! nothing, loses power in the middle, and goes on by final blocks as if it had executed everything.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chain::config::{JOIN_PATIENCE_MS, JOIN_REPEAT_MS, PIECE_BYTES_MAX, SNAPSHOT_BEHIND_BLOCKS};
use chain::frame::{ManifestPiece, Offer, Offers};
use chain::{Archive, Frame, Recovered, Report, Request, SnapshotRequest, Snapshots};
use ledger::proofs::SnapshotChunk;
use ledger::proofs::snapshot::MANIFEST_BYTES_MAX;
use ledger::records::{Batch, Claim, Operation, Record, Tier, WalletOpening};
use ledger::rules::ParentFacts;
use ledger::values::{Amount, Height, NodeIndex, PolicyHash, StateRoot};
use storage::{Durability, Table, WriteSet, key};

use crate::rig::{Bank, FAULTY, Seen};

/// Wallets beside those of genesis: three chunks of records.
const WALLETS: u64 = 2_112;

/// A bank that has executed everything, and what it keeps for others.
struct Town {
    bank: Bank,
    snapshots: Arc<Snapshots>,
    parent: ParentFacts,
    sequence: u64,
}

impl Town {
    /// Far ahead of an empty bank: wallets, money, and blocks up to the last one, whose claim certifies the snapshot below it.
    fn new() -> Self {
        let bank = Bank::new();
        let parent = bank.genesis_facts;
        let mut town = Self { bank, snapshots: Arc::new(Snapshots::new(1)), parent, sequence: 0 };
        while town.parent.height.0 < SNAPSHOT_BEHIND_BLOCKS {
            town.run(Vec::new());
        }
        let openings: Vec<WalletOpening> = (0..WALLETS)
            .map(|number| {
                let mut policy = [7; 32];
                policy[..8].copy_from_slice(&number.to_le_bytes());
                WalletOpening { policy: PolicyHash(policy), salt: [1; 16], tier: Tier::Two }
            })
            .collect();
        let open = (1..).zip(openings.chunks(64)).map(|(sequence, wallets)| {
            let operation = Operation::OpenWallets { wallets: wallets.to_vec() };
            town.bank.sign(1, town.bank.unsigned(1, sequence, operation))
        });
        let opened: Vec<_> = open.collect();
        town.sequence = opened.len() as u64;
        town.run(opened);
        town.bank.executor.keep_snapshots(Arc::clone(&town.snapshots)).unwrap();
        let issued = town.bank.issue(1, 1_000);
        town.run(vec![issued]);
        town.run(Vec::new());
        town
    }

    fn claim(&self) -> Claim {
        let head = self.bank.executor.state().head();
        Claim { height: head.height, result: head.result }
    }

    /// One more block, which claims the result of the one before.
    fn run(&mut self, transactions: Vec<ledger::records::Transaction>) {
        let bank = &mut self.bank;
        let mut batches: Vec<(ledger::values::BatchDigest, Batch)> = Vec::new();
        if !transactions.is_empty() {
            batches.push(bank.sealed(2, self.parent.height.0 + 1, transactions));
            bank.batch(2, &batches[0].1);
        }
        let named: Vec<_> = batches.iter().map(|(digest, batch)| (*digest, batch.weight())).collect();
        let mut block = bank.block(&self.parent, &named);
        let head = bank.executor.state().head();
        block.header.claim = Claim { height: head.height, result: head.result };
        bank.frame(FAULTY, &Frame::Block(Box::new(block.clone())));
        bank.finalize(&block);
        self.parent = bank.facts(&block);
        assert_eq!(bank.executor.state().head().height, self.parent.height);
        let outcomes = Archive::new(bank.store.as_ref()).outcomes(self.parent.height).unwrap().unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.is_applied()), "{outcomes:?}");
    }

    fn pay(&mut self) {
        self.sequence += 1;
        let payment = self.bank.pay(self.sequence, 10);
        self.run(vec![payment]);
    }

    /// What an honest peer with this town's data answers.
    fn answer(&self, frame: &Frame) -> Vec<Frame> {
        let request = match frame {
            Frame::RequestOffers => Request::Snapshot(SnapshotRequest::Offers),
            Frame::RequestPiece(wanted) => Request::Snapshot(SnapshotRequest::Piece(*wanted)),
            Frame::RequestChunks(wanted) => Request::Snapshot(SnapshotRequest::Chunks(wanted.clone())),
            Frame::RequestBlocks(from) => Request::Blocks(*from),
            Frame::RequestBatches(digests) => Request::Batches(digests.batches.clone()),
            _ => return Vec::new(),
        };
        Archive::new(self.bank.store.as_ref()).serve(&request, &self.snapshots).unwrap()
    }
}

/// An empty bank that would rather not replay.
fn joiner(town: &Town) -> Bank {
    let mut bank = Bank::new();
    bank.now = town.bank.now;
    bank.join_by_snapshot();
    bank
}

/// Lets time pass, and peers answer as `answers` says, until the chain reports what is waited for, or for a minute.
fn run(
    bank: &mut Bank,
    mut answers: impl FnMut(usize, &Frame) -> Vec<Frame>,
    is_it: impl Fn(&Report) -> bool,
) -> Seen {
    let mut all = Seen::default();
    for _tick in 0..600 {
        let mut waiting = VecDeque::from([bank.pass(100)]);
        while let Some(seen) = waiting.pop_front() {
            for (to, frame) in &seen.sent {
                for answer in answers(usize::from(to.0), frame) {
                    waiting.push_back(bank.frame(usize::from(to.0), &answer));
                }
            }
            all.sent.extend(seen.sent);
            all.reports.extend(seen.reports);
        }
        if all.reports.iter().any(&is_it) {
            return all;
        }
    }
    all
}

const fn is_joined(report: &Report) -> bool {
    matches!(report, Report::Joined { .. })
}

fn requested_chunks(seen: &Seen) -> Vec<u64> {
    let indexes = |(_, frame): &(NodeIndex, Frame)| match frame {
        Frame::RequestChunks(wanted) => wanted.indexes.clone(),
        _ => Vec::new(),
    };
    seen.sent.iter().flat_map(indexes).collect()
}

/// The snapshot's height: the last but one.
fn height(town: &Town) -> Height {
    Height(town.parent.height.0 - 1)
}

fn has_state_of(bank: &Bank, town: &Town, at: Height) {
    let archive = Archive::new(bank.store.as_ref());
    let head = bank.executor.state().head();
    let result = Archive::new(town.bank.store.as_ref()).result(at).unwrap().unwrap();
    assert_eq!((head.height, head.state, head.result), (at, result.state, result.hash(town.bank.genesis())));
    assert_eq!(archive.result(at).unwrap(), Some(result));
    assert!(!archive.is_joining().unwrap());
}

/// The chain goes on, the peers tell how far they are, and the bank follows by final blocks up to there.
fn follows(bank: &mut Bank, town: &mut Town) {
    town.run(Vec::new());
    for peer in 1..4 {
        bank.frame(peer, &Frame::Announce(town.claim()));
    }
    let reached = town.parent.height;
    run(bank, |_, frame| town.answer(frame), |report| *report == Report::Final { height: reached });
    assert_eq!(bank.executor.state().head(), town.bank.executor.state().head());
    assert_eq!(bank.rows(Table::Records), town.bank.rows(Table::Records));
    assert_eq!(bank.rows(Table::Slots), town.bank.rows(Table::Slots));
}

#[test]
fn an_empty_bank_joins_and_goes_on_as_if_it_had_executed_everything() {
    let mut town = Town::new();
    let mut bank = joiner(&town);
    let seen = run(&mut bank, |_, frame| town.answer(frame), is_joined);
    let at = height(&town);
    assert_eq!(seen.reports.last(), Some(&Report::Joined { height: at }));
    assert_eq!(requested_chunks(&seen), [0, 1, 2], "each of them once");
    assert!(
        !seen.sent.iter().any(|(_, frame)| matches!(frame, Frame::RequestBlocks(_))),
        "nothing is replayed"
    );
    bank.restart();
    has_state_of(&bank, &town, at);
    let archive = Archive::new(bank.store.as_ref());
    assert_eq!(archive.joined_at().unwrap(), Some(at));
    let genesis = Archive::new(town.bank.store.as_ref()).digest(Height(0)).unwrap();
    assert_eq!(archive.digest(Height(0)).unwrap(), genesis, "the first epoch's engine stands on it");
    // A digest that may not be ordered again is known, though its batch is not here.
    let ordered = |bank: &Bank| -> BTreeSet<_> {
        let recovered = Recovered::read(&bank.rules, bank.store.as_ref()).unwrap();
        recovered.ordered.into_keys().collect()
    };
    assert_eq!(ordered(&bank).len(), 2, "the openings and the issue");
    assert!(ordered(&bank).is_subset(&ordered(&town.bank)));
    town.pay();
    town.pay();
    follows(&mut bank, &mut town);
    assert_eq!(bank.balance(2), 20);
    // After another start too; and what is below the snapshot is not invented.
    bank.restart();
    assert_eq!(ordered(&bank), ordered(&town.bank));
    let archive = Archive::new(bank.store.as_ref());
    let served = |from| archive.serve(&Request::Blocks(Height(from)), &Snapshots::new(0)).unwrap();
    let pruned = vec![Frame::Pruned(at.next())];
    assert_eq!((served(1), served(at.0)), (pruned.clone(), pruned));
    assert_eq!(served(at.0 + 1).len(), 1);
}

/// A joined bank is a source itself, for those that come later.
#[test]
fn a_joined_bank_gives_the_snapshot_on() {
    let mut town = Town::new();
    let mut bank = joiner(&town);
    run(&mut bank, |_, frame| town.answer(frame), is_joined);
    bank.restart();
    let snapshots = Arc::new(Snapshots::new(1));
    bank.executor.keep_snapshots(Arc::clone(&snapshots)).unwrap();
    town.pay();
    follows(&mut bank, &mut town);
    let second = Town { bank, snapshots, parent: town.parent, sequence: town.sequence };
    let mut third = joiner(&second);
    run(&mut third, |_, frame| second.answer(frame), is_joined);
    third.restart();
    has_state_of(&third, &town, height(&second));
    follows(&mut third, &mut town);
}

#[test]
fn a_forged_chunk_costs_that_chunk_and_its_sender_its_trust() {
    let mut town = Town::new();
    let mut bank = joiner(&town);
    let mut forged = 0;
    let lies = |frame: Frame| match frame {
        Frame::Chunk(mut chunk) if chunk.index == 1 => {
            if let Record::Wallet(wallet) = &mut chunk.records[5] {
                wallet.balance = Amount::from_fen(1_000_000);
            }
            Frame::Chunk(chunk)
        }
        frame => frame,
    };
    let answers = |to: usize, frame: &Frame| -> Vec<Frame> {
        let honest = town.answer(frame);
        if to != 1 {
            return honest;
        }
        forged += usize::from(matches!(frame, Frame::RequestChunks(_)));
        honest.into_iter().map(lies).collect()
    };
    let seen = run(&mut bank, answers, is_joined);
    assert!(forged > 0, "the liar was asked");
    assert!(seen.distrusts(1) && !seen.distrusts(2) && !seen.distrusts(3));
    assert_eq!(
        requested_chunks(&seen),
        [0, 1, 2, 1, 2],
        "what it was asked and had not given yet, of another"
    );
    bank.restart();
    has_state_of(&bank, &town, height(&town));
    follows(&mut bank, &mut town);
}

#[test]
fn a_forged_manifest_is_not_begun() {
    let town = Town::new();
    let mut bank = joiner(&town);
    let answers = |to: usize, frame: &Frame| -> Vec<Frame> {
        let forge = |frame: Frame| match frame {
            Frame::ManifestPiece(mut piece) if to == 1 => {
                let middle = piece.bytes.len() / 2;
                piece.bytes[middle] ^= 1;
                Frame::ManifestPiece(piece)
            }
            frame => frame,
        };
        town.answer(frame).into_iter().map(forge).collect()
    };
    let seen = run(&mut bank, answers, is_joined);
    assert!(seen.distrusts(1) && !seen.distrusts(2));
    bank.restart();
    has_state_of(&bank, &town, height(&town));
}

/// Nothing is executed until it is decided whether to join, so who gives the pieces of a long manifest one by one may not hold that up.
#[test]
fn a_manifest_that_trickles_in_is_left() {
    let town = Town::new();
    let mut bank = joiner(&town);
    let height = Height(90_000);
    let far = Offer { height, state: StateRoot([7; 32]), manifest_bytes: MANIFEST_BYTES_MAX as u64 };
    let mut asked = 0_u32;
    let answers = |to: usize, frame: &Frame| match frame {
        Frame::RequestOffers => {
            vec![Frame::Offers(Offers { offers: if to == 1 { vec![far] } else { Vec::new() } })]
        }
        Frame::RequestPiece(wanted) if to == 1 => {
            asked += 1;
            let bytes = vec![0; PIECE_BYTES_MAX];
            let piece = ManifestPiece { height, piece: wanted.piece, bytes };
            if asked.is_multiple_of(2) { vec![Frame::ManifestPiece(piece)] } else { Vec::new() }
        }
        _ => Vec::new(),
    };
    let replays = |report: &Report| matches!(report, Report::Replays { .. });
    let seen = run(&mut bank, answers, replays);
    assert!(seen.reports.iter().any(replays), "it still waits for one source");
    assert!(asked > 10, "it was given {asked} chances");
}

#[test]
fn a_source_that_vanishes_delays_and_no_more() {
    let town = Town::new();
    let mut bank = joiner(&town);
    let answers = |to: usize, frame: &Frame| match frame {
        Frame::RequestChunks(_) if to == 1 => Vec::new(),
        frame => town.answer(frame),
    };
    let seen = run(&mut bank, answers, is_joined);
    assert_eq!(requested_chunks(&seen), [0, 1, 2, 0, 1, 2], "of another");
    assert!(!seen.distrusts(1), "silence is no lie");
    bank.restart();
    has_state_of(&bank, &town, height(&town));
}

#[test]
fn a_join_goes_on_after_a_loss_of_power() {
    let mut town = Town::new();
    let mut bank = joiner(&town);
    // One chunk comes, then nothing.
    let first = |_: usize, frame: &Frame| -> Vec<Frame> {
        let is_first = |frame: &Frame| match frame {
            Frame::Chunk(chunk) => chunk.index == 1,
            _ => true,
        };
        town.answer(frame).into_iter().filter(is_first).collect()
    };
    let is_begun = |report: &Report| matches!(report, Report::Joining { .. });
    run(&mut bank, first, is_begun);
    bank.lose_power();
    assert!(Archive::new(bank.store.as_ref()).is_joining().unwrap());
    assert_eq!(bank.executor.state().head().height, Height(0), "no state is there");
    let seen = run(&mut bank, |_, frame| town.answer(frame), is_joined);
    assert_eq!(requested_chunks(&seen), [0, 2], "what is there is not fetched again");
    let pieces = seen.sent.iter().filter(|(_, frame)| matches!(frame, Frame::RequestPiece(_)));
    assert_eq!(pieces.count(), 0, "nor the manifest");
    bank.lose_power();
    has_state_of(&bank, &town, height(&town));
    follows(&mut bank, &mut town);
}

/// Every source has gone on to other heights meanwhile: another snapshot is begun, and nothing of the first is taken for its own.
#[test]
fn a_join_that_nobody_can_finish_begins_another() {
    let mut town = Town::new();
    let mut bank = joiner(&town);
    let only = |chunk: &SnapshotChunk| chunk.index == 2;
    let first = |_: usize, frame: &Frame| -> Vec<Frame> {
        let is_it = |frame: &Frame| !matches!(frame, Frame::Chunk(chunk) if !only(chunk));
        town.answer(frame).into_iter().filter(is_it).collect()
    };
    run(&mut bank, first, |report| matches!(report, Report::Joining { .. }));
    for _height in 0..3 {
        town.pay();
    }
    town.run(Vec::new());
    let seen = run(&mut bank, |_, frame| town.answer(frame), is_joined);
    // Until its peers' new offers have come, it asks for what is left of the first.
    assert!(requested_chunks(&seen).ends_with(&[0, 1, 2]), "all of the second");
    bank.restart();
    has_state_of(&bank, &town, height(&town));
    follows(&mut bank, &mut town);
}

/// What the own disk gives back is believed no more than a peer: the state is compared before there is a head.
#[test]
fn what_the_disk_changed_is_found_before_it_is_a_state() {
    let town = Town::new();
    let mut bank = joiner(&town);
    run(&mut bank, |_, frame| town.answer(frame), is_joined);
    let mut set = WriteSet::new();
    let (slot, other) = (key::slot(1_500), bank.store.get(Table::Records, &key::slot(1_501)).unwrap());
    set.put(Table::Records, slot, other.unwrap());
    bank.store.write(set, Durability::Synced).unwrap();
    bank.restart();
    assert_eq!(bank.executor.state().head().height, Height(0));
    assert!(!Archive::new(bank.store.as_ref()).is_joining().unwrap(), "genesis again");
    bank.restart();
    let seen = run(&mut bank, |_, frame| town.answer(frame), is_joined);
    assert_eq!(requested_chunks(&seen), [0, 1, 2]);
    bank.restart();
    has_state_of(&bank, &town, height(&town));
}

#[test]
fn where_nobody_has_a_snapshot_far_ahead_the_bank_replays() {
    let mut town = Town::new();
    town.snapshots = Arc::new(Snapshots::new(1));
    for is_silent in [false, true] {
        let mut bank = joiner(&town);
        for peer in 1..4 {
            bank.frame(peer, &Frame::Announce(town.claim()));
        }
        let began_ms = bank.now.elapsed_ms;
        let is_snapshot = |frame: &Frame| matches!(frame, Frame::RequestOffers);
        let mut asked_ms = None;
        for _tick in 0..200 {
            let seen = bank.pass(100);
            for (to, frame) in &seen.sent {
                if is_snapshot(frame) && !is_silent {
                    town.answer(frame).iter().for_each(|answer| drop(bank.frame(usize::from(to.0), answer)));
                }
                if matches!(frame, Frame::RequestBlocks(_)) {
                    asked_ms.get_or_insert(bank.now.elapsed_ms);
                }
            }
        }
        let waited_ms = asked_ms.unwrap() - began_ms;
        let expected =
            if is_silent { JOIN_PATIENCE_MS..JOIN_PATIENCE_MS + 1_000 } else { 0..2 * JOIN_REPEAT_MS };
        assert!(expected.contains(&waited_ms), "{is_silent}: {waited_ms} ms");
    }
}
