//! Execution of blocks: the line before which nothing is written, nonces, order within a block, undo,
//! strategies, faults.

use ledger::records::wallet::{Lane, WalletStatus};
use ledger::records::{
    MovementKind, Nonce, NotExecuted, Operation, Policy, Record, Tier, Transaction, WalletRecord,
};
use ledger::rules::admission::{Circumstances, Party, admit, check_nonce};
use ledger::rules::{ExecutionFault, InvariantFault, invariants};
use ledger::state::{ChainState, LoadFault, Outbox, ReadFault, StateReader, Undo};
use ledger::values::{
    Amount, AppendTree, Canonical as _, ChainId, FeeRate, Hash, Height, RecordId, Sequential, Slot, Strategy,
    TimestampMs, WalletId,
};

use crate::network::{Became, CHAIN, NO_BUNDLES, Network, Signer, became, pay};

const HOUR_MS: u64 = 3_600_000;

fn town() -> Network {
    let mut network = Network::new();
    network.open(0..4, Tier::One);
    network.fund(&network.customer(0).wallet, 1_000);
    network
}

/// Everything that the line of PROTOCOL rule 7 can say, one row per guard: the change made to a good
/// transaction, and what it becomes. Nothing is written, not even the nonce.
#[test]
fn not_executed_row_by_row() {
    type Change = fn(&Network, Transaction) -> Transaction;
    let resign = |network: &Network, transaction: Transaction| {
        transaction.content.signed_by(network.genesis, &network.customer(0).key)
    };
    let rows: Vec<(&str, Change, fn(&Network) -> NotExecuted)> = vec![
        (
            "network",
            |_, mut t| {
                t.content.network = [9; 4];
                t
            },
            |_| NotExecuted::WrongNetwork {},
        ),
        (
            "chain",
            |_, mut t| {
                t.content.chain = ChainId(3);
                t
            },
            |_| NotExecuted::WrongChain { chain: ChainId(3) },
        ),
        (
            "expired by a millisecond",
            |n, mut t| {
                t.content.valid_until = TimestampMs(n.next_timestamp().0 - 1);
                t
            },
            |n| NotExecuted::Expired { valid_until: TimestampMs(n.next_timestamp().0 - 1) },
        ),
        (
            "a millisecond too far ahead",
            |n, mut t| {
                t.content.valid_until = TimestampMs(n.next_timestamp().0 + HOUR_MS + 1);
                t
            },
            |n| NotExecuted::ValidUntilTooFar {
                valid_until: TimestampMs(n.next_timestamp().0 + HOUR_MS + 1),
                latest: TimestampMs(n.next_timestamp().0 + HOUR_MS),
            },
        ),
        (
            "wallet",
            |n, mut t| {
                t.content.wallet = n.customer(9).wallet;
                t
            },
            |_| NotExecuted::WalletUnknown {},
        ),
        (
            "policy",
            |n, mut t| {
                t.content.policy = Policy::single(n.customer(1).key.public_key());
                t
            },
            |_| NotExecuted::PolicyMismatch {},
        ),
        (
            "closed",
            |n, mut t| {
                t.content.wallet = n.customer(2).wallet;
                t.content.policy = Policy::single(n.customer(2).key.public_key());
                t
            },
            |_| NotExecuted::WalletClosed {},
        ),
        (
            "moved",
            |n, mut t| {
                t.content.wallet = n.customer(3).wallet;
                t.content.policy = Policy::single(n.customer(3).key.public_key());
                t
            },
            |_| NotExecuted::WalletMoved { to: ChainId(7) },
        ),
        (
            "lane",
            |_, mut t| {
                t.content.nonce.lane = 4;
                t
            },
            |_| NotExecuted::LaneNotAllowed { lanes: 4 },
        ),
        (
            "used",
            |_, mut t| {
                t.content.nonce.sequence = 200;
                t
            },
            |n| NotExecuted::NonceUsed { lane: n.wallet(&n.customer(0).wallet).unwrap().lanes[0] },
        ),
        (
            "too old",
            |_, mut t| {
                t.content.nonce.sequence = 72;
                t
            },
            |n| NotExecuted::NonceTooOld { lane: n.wallet(&n.customer(0).wallet).unwrap().lanes[0] },
        ),
        (
            "too far ahead",
            |_, mut t| {
                t.content.nonce.sequence = 329;
                t
            },
            |n| NotExecuted::NonceTooFarAhead { lane: n.wallet(&n.customer(0).wallet).unwrap().lanes[0] },
        ),
    ];
    let mut network = town();
    network.plant(&network.customer(2).wallet, |wallet| wallet.status = WalletStatus::Closed);
    network
        .plant(&network.customer(3).wallet, |wallet| wallet.status = WalletStatus::Moved { to: ChainId(7) });
    let payer = network.customer(0);
    let payment = pay(&[(network.customer(1).wallet, 1)]);
    for sequence in [128, 200] {
        let transaction = network.transaction(&payer, sequence, payment.clone());
        assert_eq!(network.run_one(transaction), Became::Applied);
    }
    for (name, change, expected) in rows {
        let expected = expected(&network);
        let good = network.transaction(&payer, 201, payment.clone());
        let bad = resign(&network, change(&network, good));
        let before = network.state.clone();
        let became = network.run_one(bad);
        assert_eq!(became, Became::Skipped(expected), "{name}");
        let execution = &network.heights.last().unwrap().2;
        assert!(execution.writes.records.is_empty() && execution.outcomes.is_empty(), "{name}");
        assert_eq!((execution.result.executed, execution.result.skipped), (0, 1), "{name}");
        assert_eq!(network.state.parts().tree, before.parts().tree, "{name}");
    }
    for (sequence, valid_for_ms) in [(73, 0), (328, HOUR_MS)] {
        let mut good = network.content(&payer, sequence, payment.clone());
        good.valid_until = TimestampMs(network.next_timestamp().0 + valid_for_ms);
        let good = good.signed_by(network.genesis, &payer.key);
        assert_eq!(network.run_one(good), Became::Applied, "the edges themselves are good: {sequence}");
    }
}

#[test]
fn the_fee_due_is_compared_with_fee_max() {
    let network = town();
    let payer = network.customer(0);
    let mut content = network.content(&payer, 1, pay(&[(network.customer(1).wallet, 1)]));
    let wallet = network.wallet(&payer.wallet);
    let at = Circumstances { now: network.next_timestamp(), base_fee: FeeRate::from_micro_fen(3_000_000) };
    for (fee_max, expected) in
        [(299, Err(NotExecuted::FeeMaxTooLow { due: Amount::from_fen(300) })), (300, Ok(()))]
    {
        content.fee.fee_max = Amount::from_fen(fee_max);
        let rules = network.state.rules();
        let signer = Party { policy: content.policy.hash(), wallet: wallet.as_ref() };
        assert_eq!(admit(rules, &content, signer, None, 100, at), expected);
    }
}

#[test]
fn codes_of_not_executed_are_in_order() {
    let codes: Vec<u16> = NotExecuted::ALL.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, (1..=16).collect::<Vec<u16>>());
    let reason = NotExecuted::NonceTooFarAhead { lane: Lane::default() };
    assert_eq!(
        (reason.code(), reason.name().as_str(), reason.is_transient()),
        (12, "nonce_too_far_ahead", true)
    );
    assert!(!NotExecuted::PolicyMismatch {}.is_transient());
}

/// The lane against a model that remembers every used sequence.
#[test]
fn a_lane_is_a_window_of_128() {
    let mut wallet = WalletRecord {
        id: WalletId([1; 32]),
        policy: Policy::single(Network::new().customer(0).key.public_key()).hash(),
        operator: ledger::values::OperatorId(1),
        tier: Tier::One,
        status: WalletStatus::Active,
        balance: Amount::ZERO,
        lanes: Vec::new(),
    };
    let mut used = std::collections::BTreeSet::new();
    let mut random = 1_u64;
    for _ in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let highest = used.last().copied().unwrap_or(0_u64);
        let sequence = (highest + 140).saturating_sub((random >> 33) % 290);
        let is_open = sequence > 0
            && !used.contains(&sequence)
            && if sequence > highest { sequence - highest <= 128 } else { highest - sequence <= 127 };
        let nonce = Nonce { lane: 2, sequence };
        assert_eq!(check_nonce(&wallet, nonce, 3).is_ok(), is_open, "{sequence} at {highest}");
        let first_open =
            (highest.saturating_sub(127).max(1)..).find(|sequence| !used.contains(sequence)).unwrap();
        assert_eq!(wallet.lanes.get(2).copied().unwrap_or_default().first_open(), first_open);
        assert_eq!(wallet.use_nonce(nonce, 3), is_open);
        if is_open {
            used.insert(sequence);
        }
        let record = Record::Wallet(wallet.clone());
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
    assert!(used.len() > 5_000);
}

#[test]
fn transactions_of_a_block_run_in_order() {
    let mut network = town();
    let (bank, payer) = (network.operator(1), network.customer(0));
    let new = network.customer(50);
    let open = Operation::OpenWallets { wallets: vec![network.opening(50, Tier::One)] };
    let sequence = network.next_sequence(&bank.wallet);
    let to_new = pay(&[(new.wallet, 600)]);
    let block = vec![
        network.transaction(&payer, 1, to_new.clone()),
        network.transaction(&bank, sequence, open.clone()),
        network.transaction(&payer, 2, to_new.clone()),
        network.transaction(&payer, 3, to_new),
        network.transaction(&new, 1, pay(&[(payer.wallet, 250)])),
        network.transaction(&bank, sequence + 1, open),
        network.transaction(&new, 1, pay(&[(payer.wallet, 1)])),
    ];
    let copy = block[2].clone();
    let execution = network.run([block, vec![copy]].concat());
    use ledger::records::Rejection::{InsufficientFunds, PayeeUnknown, WalletExists};
    let lane = Lane { highest: 1, used: 1 };
    let expected = [
        Became::Rejected(PayeeUnknown),
        Became::Applied,
        Became::Applied,
        Became::Rejected(InsufficientFunds),
        Became::Applied,
        Became::Rejected(WalletExists),
        Became::Skipped(NotExecuted::NonceUsed { lane }),
        Became::Skipped(NotExecuted::NonceUsed { lane: Lane { highest: 3, used: 7 } }),
    ];
    for (index, expected) in (0..).zip(expected) {
        assert_eq!(became(&execution, index), expected, "transaction {index}");
    }
    assert_eq!((network.balance(&payer.wallet), network.balance(&new.wallet)), (650, 350));
    assert_eq!((execution.result.executed, execution.result.skipped), (6, 2));
    // Payer, bank and the new wallet: one write each, however often they were touched.
    assert_eq!(execution.writes.records.len(), 3);
    assert_eq!(execution.writes.opened, vec![(new.wallet.into(), network.state.slot(&new.wallet).unwrap())]);
    let kinds: Vec<_> = execution.history.iter().map(|entry| (entry.index, entry.movement.kind)).collect();
    use MovementKind::{Opened, Paid, Received};
    assert_eq!(kinds, [(1, Opened), (2, Paid), (2, Received), (4, Paid), (4, Received)]);
    assert_eq!(execution.history[2].movement.counterparty, payer.wallet);
    assert_eq!(execution.history[2].slot, network.state.slot(&new.wallet).unwrap());
}

#[test]
fn history_tells_issue_and_redeem_and_numbers_parts() {
    let mut network = town();
    let (central, bank, payer) = (network.operator(0), network.operator(1), network.customer(0));
    let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(5) };
    let redeem = Operation::Redeem { amount: Amount::from_fen(3) };
    let twice = pay(&[(bank.wallet, 1), (bank.wallet, 2)]);
    let block = vec![
        network.transaction(&central, network.next_sequence(&central.wallet), issue),
        network.transaction(&bank, network.next_sequence(&bank.wallet), redeem),
        network.transaction(&payer, 1, twice),
    ];
    let execution = network.run(block);
    let told: Vec<_> = execution
        .history
        .iter()
        .map(|entry| {
            (entry.movement.kind, entry.part, entry.movement.counterparty, entry.movement.amount.fen())
        })
        .collect();
    let expected = [
        (MovementKind::Issued, 0, central.wallet, 5),
        (MovementKind::Redeemed, 0, bank.wallet, 3),
        (MovementKind::Paid, 0, bank.wallet, 1),
        (MovementKind::Received, 0, payer.wallet, 1),
        (MovementKind::Paid, 1, bank.wallet, 2),
        (MovementKind::Received, 1, payer.wallet, 2),
    ];
    assert_eq!(told, expected);
}

/// A strategy that works backwards and in pieces: order of work must not show.
struct Backwards;

impl Strategy for Backwards {
    fn map<T: Sync, R: Send, W: Fn(&T) -> R + Sync>(&self, items: &[T], _: usize, work: W) -> Vec<R> {
        let mut results: Vec<R> = items.iter().rev().map(work).collect();
        results.reverse();
        results
    }
}

#[test]
fn the_strategy_does_not_show_in_the_bytes() {
    let mut network = town();
    let payer = network.customer(0);
    let pays =
        (1..=40).map(|n| network.transaction(&payer, n, pay(&[(network.customer(n % 3 + 1).wallet, n)])));
    let pays = pays.collect::<Vec<_>>();
    let mut other = network.state.clone();
    let records = network.records.clone();
    let execution = network.run(pays);
    let (block, batches, _) = network.heights.last().unwrap();
    assert_eq!(other.execute(&records, block, batches, NO_BUNDLES, &Backwards).unwrap(), execution);
}

#[test]
fn undo_takes_a_height_back_exactly() {
    let mut network = town();
    let before = (network.state.parts(), network.state.head().clone(), network.records.clone());
    let bank = network.operator(1);
    let wallets = (100..164).map(|number| network.opening(number, Tier::Two)).collect();
    let open = Operation::OpenWallets { wallets };
    let sequence = network.next_sequence(&bank.wallet);
    let payer = network.customer(0);
    let block = vec![
        network.transaction(&bank, sequence, open),
        network.transaction(&payer, 1, pay(&[(network.customer(120).wallet, 5)])),
    ];
    let execution = network.run(block);
    let undo = Undo::decode(&execution.undo.encode()).unwrap();
    assert_eq!(undo, execution.undo);
    assert!(Undo::decode(&execution.undo.encode()[1..]).is_err());
    network.state.undo(&undo).unwrap();
    network.records.undo(&undo);
    assert_eq!((network.state.parts(), network.state.head().clone(), network.records.clone()), before);
    let (block, batches, _) = network.heights.last().unwrap();
    let again = network.state.execute(&network.records, block, batches, NO_BUNDLES, &Sequential).unwrap();
    assert_eq!(again, execution);
    assert!(matches!(network.state.undo(&network.heights[0].2.undo), Err(ExecutionFault::Undo { .. })));
}

#[test]
fn load_rebuilds_the_state_and_refuses_any_other() {
    let mut network = town();
    network.run(Vec::new());
    let records: Vec<(Slot, Record)> =
        network.records.iter().map(|(slot, record)| (slot, record.clone())).collect();
    let head = network.state.head().clone();
    let load = |head, records| {
        let registry = network.state.rules().registry.clone();
        ChainState::load(&network.spec, registry, head, records, &Sequential)
    };
    let loaded = load(head.clone(), records.clone()).unwrap();
    assert_eq!(loaded.parts(), network.state.parts());
    let mut changed = records.clone();
    if let Record::Wallet(wallet) = &mut changed[3].1 {
        wallet.balance = Amount::from_fen(wallet.balance.fen() + 1);
    }
    assert!(matches!(load(head.clone(), changed), Err(LoadFault::Root { .. })));
    let mut gap = records.clone();
    gap.remove(4);
    assert_eq!(load(head.clone(), gap).unwrap_err(), LoadFault::Slot { expected: Slot(4), found: Slot(5) });
    let short = records[..records.len() - 1].to_vec();
    assert!(matches!(load(head.clone(), short), Err(LoadFault::Count { .. })));
    let mut twice = records.clone();
    twice[4].1 = twice[3].1.clone();
    assert_eq!(load(head.clone(), twice).unwrap_err(), LoadFault::IdTwice);
    let mut chain = head;
    chain.chain = ChainId(5);
    assert_eq!(load(chain, records).unwrap_err(), LoadFault::ChainUnknown { chain: ChainId(5) });
}

/// A store that fails in one way or another.
struct Broken<'a> {
    good: &'a dyn Fn(&[Slot]) -> Result<Vec<Option<Record>>, ReadFault>,
}

impl StateReader for Broken<'_> {
    fn find(&self, _: &[RecordId]) -> Result<Vec<Option<(Slot, Record)>>, ReadFault> {
        Err(ReadFault::Store)
    }

    fn records(&self, slots: &[Slot]) -> Result<Vec<Option<Record>>, ReadFault> {
        (self.good)(slots)
    }
}

#[test]
fn a_broken_store_stops_execution_and_changes_nothing() {
    let mut network = town();
    let payer = network.customer(0);
    let batch = vec![network.transaction(&payer, 1, pay(&[(network.customer(1).wallet, 1)]))];
    let batch = network.seal(batch);
    let block = network.block(std::slice::from_ref(&batch));
    let before = network.state.parts();
    let fails = |_: &[Slot]| Err(ReadFault::Store);
    let missing = |slots: &[Slot]| Ok(vec![None; slots.len()]);
    let too_few = |_: &[Slot]| Ok(Vec::new());
    let swapped = |slots: &[Slot]| {
        let reversed: Vec<Slot> = slots.iter().rev().copied().collect();
        network.records.records(&reversed)
    };
    let first = network.state.slot(&network.customer(0).wallet).unwrap();
    let readers: [(&dyn Fn(&[Slot]) -> Result<Vec<Option<Record>>, ReadFault>, ReadFault); 4] = [
        (&fails, ReadFault::Store),
        (&missing, ReadFault::Slot { slot: first }),
        (&too_few, ReadFault::Store),
        (
            &swapped,
            ReadFault::Record { id: network.customer(0).wallet.min(network.customer(1).wallet).into() },
        ),
    ];
    let mut state = network.state.clone();
    for (good, expected) in readers {
        let fault =
            state.execute(&Broken { good }, &block, std::slice::from_ref(&batch.1), NO_BUNDLES, &Sequential);
        let fault = fault.unwrap_err();
        assert_eq!(fault, ExecutionFault::Read(expected));
        assert_eq!(state.parts(), before);
    }
    assert!(state.execute(&network.records, &block, &[batch.1], NO_BUNDLES, &Sequential).is_ok());
}

#[test]
fn a_block_that_does_not_follow_is_not_executed() {
    let mut network = town();
    let good = network.block(&[]);
    let mut execute = |block: &ledger::records::Block, batches: &[ledger::records::Batch]| {
        network.state.execute(&network.records, block, batches, NO_BUNDLES, &Sequential)
    };
    let mut wrong = good.clone();
    wrong.header.height = Height(1);
    assert!(matches!(execute(&wrong, &[]), Err(ExecutionFault::NotNext { .. })));
    let mut wrong = good.clone();
    wrong.header.parent.0[0] ^= 1;
    assert!(matches!(execute(&wrong, &[]), Err(ExecutionFault::NotNext { .. })));
    let mut wrong = good.clone();
    wrong.header.chain = ChainId(1);
    assert!(matches!(execute(&wrong, &[]), Err(ExecutionFault::NotNext { .. })));
    let mut wrong = good.clone();
    wrong.body.batches.push(Default::default());
    assert_eq!(execute(&wrong, &[]), Err(ExecutionFault::Batches { ordered: 1, given: 0 }));
    assert!(execute(&good, &[]).is_ok());
}

#[test]
fn money_from_nowhere_breaks_the_supply_equation() {
    let mut network = town();
    let payer = network.customer(0);
    // A bug, or a damaged store: the record says more than the tree has.
    network.plant(&payer.wallet, |wallet| wallet.balance = Amount::from_fen(2_000));
    let batch = vec![network.transaction(&payer, 1, pay(&[(network.customer(1).wallet, 1_500)]))];
    let batch = network.seal(batch);
    let block = network.block(std::slice::from_ref(&batch));
    let before = (network.state.parts(), network.state.head().clone());
    let fault =
        network.state.execute(&network.records, &block, &[batch.1], NO_BUNDLES, &Sequential).unwrap_err();
    assert!(
        matches!(fault, ExecutionFault::Invariant { fault: InvariantFault::Supply { .. }, .. }),
        "{fault:?}"
    );
    assert_eq!((network.state.parts(), network.state.head().clone()), before, "nothing changed");
}

#[test]
fn each_invariant_bites() {
    let mut network = town();
    let payer = network.customer(0);
    let batch = vec![network.transaction(&payer, 1, pay(&[(network.customer(1).wallet, 1)]))];
    let execution = network.run(batch);
    let before = execution.undo.head.clone();
    let check = |change: &dyn Fn(&mut ledger::state::Execution), tree: u64, ordered: usize| {
        let mut execution = execution.clone();
        change(&mut execution);
        let ledger::state::Execution { head, writes, result, .. } = &execution;
        invariants::check_height(&before, head, tree, writes, result, ordered)
    };
    assert_eq!(check(&|_| {}, 1_000, 1), Ok(()));
    assert!(matches!(check(&|_| {}, 999, 1), Err(InvariantFault::Holdings { .. })));
    assert!(matches!(check(&|_| {}, 1_000, 2), Err(InvariantFault::Transactions { ordered: 2, counted: 1 })));
    let more =
        |execution: &mut ledger::state::Execution| execution.head.supply.issued = Amount::from_fen(1_001);
    assert!(matches!(check(&more, 1_000, 1), Err(InvariantFault::Supply { .. })));
    let back = |execution: &mut ledger::state::Execution| {
        execution.head.supply.issued = Amount::from_fen(999);
        execution.head.supply.holdings = Amount::from_fen(999);
    };
    assert_eq!(check(&back, 999, 1), Err(InvariantFault::SupplyWentBack));
    let order = |execution: &mut ledger::state::Execution| execution.writes.records.reverse();
    assert!(matches!(check(&order, 1_000, 1), Err(InvariantFault::WriteOrder { .. })));
    let gap = |execution: &mut ledger::state::Execution| execution.head.records += 1;
    assert!(matches!(check(&gap, 1_000, 1), Err(InvariantFault::WriteOrder { .. })));
    let pair = |execution: &mut ledger::state::Execution| {
        use ledger::records::{Counter, PairCounters};
        let counter = |total| Counter { count: 1, total };
        let pair = PairCounters { chain: ChainId(1), sent: counter(30), received: counter(10) };
        execution.head.supply.pairs = vec![pair];
        execution.head.supply.holdings = Amount::from_fen(980);
    };
    assert_eq!(check(&pair, 980, 1), Ok(()), "holdings + sent - received");
    let outbox = |execution: &mut ledger::state::Execution| {
        execution.head.outboxes =
            vec![Outbox { chain: ChainId(1), tree: AppendTree { count: 1, peaks: vec![Hash([1; 32])] } }];
    };
    let fault = InvariantFault::Outbox { chain: ChainId(1), count: 1, sent: 0 };
    assert_eq!(check(&outbox, 1_000, 1), Err(fault));
}

#[test]
fn the_window_of_ordered_digests_forgets_what_expired() {
    let mut network = town();
    let filled = network.state.head().ordered.clone();
    assert!(!filled.is_empty());
    let count: u64 = filled.iter().map(|bucket| bucket.count).sum();
    assert_eq!(
        count,
        network.heights.iter().filter(|(block, ..)| !block.body.batches.is_empty()).count() as u64
    );
    let ordered = network.state.parts().ordered;
    network.run(Vec::new());
    assert_eq!(network.state.parts().ordered, ordered, "an empty block at once orders and forgets nothing");
    network.parent.timestamp = TimestampMs(network.parent.timestamp.0 + 40_000);
    network.run(Vec::new());
    assert!(network.state.head().ordered.is_empty());
    assert_ne!(network.state.parts().ordered, ordered);
}

#[test]
fn genesis_opens_the_operators_own_wallets() {
    let network = Network::new();
    let head = network.state.head();
    assert_eq!((head.height, head.records, head.chain), (Height(0), 2 + 5, CHAIN));
    let records = network.records.records(&[Slot(0), Slot(1)]).unwrap();
    let none = Amount::ZERO;
    assert_eq!(records, [Some(Record::FeePool { balance: none }), Some(Record::Suspense { balance: none })]);
    for operator in 0..5 {
        let Signer { wallet, .. } = network.operator(operator);
        let record = network.wallet(&wallet).unwrap();
        assert_eq!((record.tier, record.operator.0), (Tier::Operator, operator));
        assert_eq!(network.state.slot(&wallet), Some(Slot(2 + u64::from(operator))));
    }
}
