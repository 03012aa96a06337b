//! Locks with a hash on one chain: every guard in the order of its code, deadlines to the block, undo, load and proof.

use ledger::proofs::{Fact, LockProof, Proof, ProofFault, ProofFile, SetChain};
use ledger::records::lock::{expired_hash, expiry_id};
use ledger::records::{
    ChainParams, LockKind, LockState, MovementKind, Operation, Record, Rejection, Tier, WalletStatus,
};
use ledger::rules::lock::{LOCK_TTL_MS_MAX, LOCK_TTL_MS_MIN};
use ledger::state::expiries::EXPIRIES_PER_BLOCK_MAX;
use ledger::state::head::GRACE_HEIGHTS;
use ledger::state::shares::{LOCKS_PER_BLOCK_MAX, Share};
use ledger::state::{ChainState, StateReader as _, Undo};
use ledger::values::hash::sha256;
use ledger::values::{Amount, Canonical as _, LockId, Sequential, TimestampMs, WalletId};

use crate::network::{Became, CHAIN, Network, Signer, spec};

const SECRET: [u8; 32] = [5; 32];
const GRACE: u64 = GRACE_HEIGHTS as u64;

/// Customers 0 (1,000.00, tier One), 1 (tier Four, empty), 2 (tier One, empty); 9 is not opened.
fn town() -> Network {
    let mut network = Network::new();
    network.open(0..1, Tier::One);
    network.open(1..2, Tier::Four);
    network.open(2..3, Tier::One);
    network.fund(&network.customer(0).wallet, 100_000);
    network
}

fn lock_of(network: &Network, payee: u64, fen: u64, ttl_ms: u64) -> Operation {
    Operation::Lock {
        payee: network.customer(payee).wallet,
        amount: Amount::from_fen(fen),
        hash: sha256(&SECRET),
        deadline: TimestampMs(network.next_timestamp().0 + ttl_ms),
    }
}

/// Makes a lock; answers its name.
fn locked(network: &mut Network, payee: u64, fen: u64, ttl_ms: u64) -> LockId {
    let operation = lock_of(network, payee, fen, ttl_ms);
    assert_eq!(network.act(&network.customer(0), operation), Became::Applied);
    LockId::of(network.heights.last().unwrap().2.outcomes[0].id)
}

fn record(network: &Network, id: LockId) -> Record {
    network.records.find(&[id.into()]).unwrap().remove(0).unwrap().1
}

fn state(network: &Network, id: LockId) -> LockState {
    let Record::Lock(lock) = record(network, id) else { panic!("no lock") };
    lock.state
}

fn idle(network: &mut Network, blocks: u64) {
    for _ in 0..blocks {
        network.run(Vec::new());
    }
}

fn row(network: &mut Network, name: &str, signer: &Signer, operation: Operation, expected: Became) {
    let (supply, records, pending) =
        (network.state.head().supply.clone(), network.state.head().records, network.state.expiries().len());
    let balances = |network: &Network| [0, 1].map(|n| network.balance(&network.customer(n).wallet));
    let before = balances(network);
    assert_eq!(network.act(signer, operation), expected, "{name}");
    if expected != Became::Applied {
        assert_eq!(balances(network), before, "{name}");
        let head = network.state.head();
        assert_eq!((&head.supply, head.records, network.state.expiries().len()), (&supply, records, pending));
        assert!(network.heights.last().unwrap().2.history.is_empty(), "{name}");
    }
}

#[test]
fn lock_row_by_row() {
    let mut params = ChainParams::default();
    params.tiers[1].payment_max = Amount::from_fen(90_000);
    let mut network = Network::with_params(params);
    network.open(0..1, Tier::One);
    network.open(1..2, Tier::Four);
    network.open(2..3, Tier::One);
    network.fund(&network.customer(0).wallet, 80_000);
    network.plant(&network.customer(2).wallet, |wallet| wallet.status = WalletStatus::Frozen);
    let payer = network.customer(0);
    let ttl = LOCK_TTL_MS_MIN;
    let rejected = Became::Rejected;
    let rows: [(&str, u64, u64, u64, Became); 13] = [
        ("nothing goes before itself", 0, 0, 0, rejected(Rejection::AmountZero)),
        ("itself goes before the limit", 0, 90_001, 0, rejected(Rejection::PayeeIsPayer)),
        ("the limit goes before funds", 9, 90_001, 0, rejected(Rejection::PaymentAboveTierLimit)),
        ("funds go before the payee", 9, 80_001, 0, rejected(Rejection::InsufficientFunds)),
        ("nobody goes before the deadline", 9, 1, 0, rejected(Rejection::PayeeUnknown)),
        ("frozen goes before the deadline", 2, 1, 0, rejected(Rejection::PayeeNotActive)),
        ("no time at all", 1, 1, 0, rejected(Rejection::DeadlineTooNear)),
        ("a millisecond too near", 1, 1, ttl - 1, rejected(Rejection::DeadlineTooNear)),
        ("a millisecond too far", 1, 1, LOCK_TTL_MS_MAX + 1, rejected(Rejection::DeadlineTooFar)),
        ("less than a lock holds", 1, 99, ttl, rejected(Rejection::LockAmountTooSmall)),
        ("the nearest", 1, 100, ttl, Became::Applied),
        ("the farthest", 1, 100, LOCK_TTL_MS_MAX, Became::Applied),
        ("all the rest", 1, 79_800, ttl, Became::Applied),
    ];
    for (name, payee, fen, ttl_ms, expected) in rows {
        let operation = lock_of(&network, payee, fen, ttl_ms);
        row(&mut network, name, &payer, operation, expected);
    }
    assert_eq!(network.balance(&payer.wallet), 0);
    assert_eq!(network.state.head().supply.holdings, Amount::from_fen(80_000), "locks count");
    assert_eq!(network.state.expiries().len(), 3);
}

#[test]
fn a_slow_chain_asks_for_a_later_deadline() {
    let params = ChainParams { block_pace_ms: 1_000, ..ChainParams::default() };
    let mut network = Network::with_params(params);
    network.open(0..2, Tier::One);
    network.fund(&network.customer(0).wallet, 100);
    let grace_ms = 1_000 * GRACE;
    let near = lock_of(&network, 1, 1, grace_ms - 1);
    assert_eq!(network.act(&network.customer(0), near), Became::Rejected(Rejection::DeadlineTooNear));
    locked(&mut network, 1, 100, grace_ms);
}

#[test]
fn claim_row_by_row() {
    let mut network = town();
    let (payer, payee) = (network.customer(0), network.customer(1));
    let rejected = Became::Rejected;
    let first = locked(&mut network, 1, 600, LOCK_TTL_MS_MIN);
    let large = locked(&mut network, 1, 10_000, LOCK_TTL_MS_MAX);
    let claim = |lock, preimage| Operation::Claim { lock, preimage };
    let wallet = LockId(payee.wallet.0);
    let rows = [
        ("no such lock", &payee, claim(LockId([1; 32]), SECRET), rejected(Rejection::LockUnknown)),
        ("the name of a wallet", &payee, claim(wallet, SECRET), rejected(Rejection::LockUnknown)),
        ("the payer", &payer, claim(first, [0; 32]), rejected(Rejection::SignerNotLockPayee)),
        ("a wrong secret", &payee, claim(first, [0; 32]), rejected(Rejection::PreimageWrong)),
        ("the secret", &payee, claim(first, SECRET), Became::Applied),
        ("again", &payee, claim(first, [0; 32]), rejected(Rejection::LockNotOpen)),
        ("withdrawn", &payer, Operation::Withdraw { lock: large }, rejected(Rejection::LockKindOther)),
        ("as an offer", &payer, Operation::Decline { offer: large }, rejected(Rejection::OfferUnknown)),
    ];
    for (name, signer, operation, expected) in rows {
        row(&mut network, name, signer, operation, expected);
    }
    assert_eq!(network.balance(&payee.wallet), 600);
    assert_eq!(state(&network, first), LockState::Settled { preimage: Some(SECRET) });
    assert_eq!(record(&network, first).value(), Amount::ZERO);
    // Whoever fills the wallet, whose tier holds 10,000.00, does not keep it from what the secret gives.
    network.fund(&payee.wallet, 999_400);
    row(&mut network, "a full purse", &payee, claim(large, SECRET), Became::Applied);
    assert_eq!(network.balance(&payee.wallet), 1_010_000);
    let movement = network.heights.last().unwrap().2.history[0].movement;
    assert_eq!((movement.kind, movement.counterparty), (MovementKind::Settled, payer.wallet));
}

/// Freezing stops what leaves a wallet: what was locked for it before comes in, as its secret is public; and stays.
#[test]
fn a_frozen_payee_claims_and_does_nothing_else() {
    let mut network = town();
    let payee = network.customer(1);
    let lock = locked(&mut network, 1, 600, LOCK_TTL_MS_MIN);
    network.plant(&payee.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    let claim = |preimage| Operation::Claim { lock, preimage };
    let frozen = Became::Rejected(Rejection::WalletFrozen);
    let rows = [
        ("a wrong secret", claim([0; 32]), Became::Rejected(Rejection::PreimageWrong)),
        ("another operation", Operation::Withdraw { lock }, frozen),
        ("the secret", claim(SECRET), Became::Applied),
        ("again", claim(SECRET), Became::Rejected(Rejection::LockNotOpen)),
        ("spending it", lock_of(&network, 0, 600, LOCK_TTL_MS_MIN), frozen),
    ];
    for (name, operation, expected) in rows {
        row(&mut network, name, &payee, operation, expected);
    }
    assert_eq!(network.balance(&payee.wallet), 600);
    let (_, wallet) = network.records.wallets(&[payee.wallet]).unwrap().remove(0).unwrap();
    assert_eq!(wallet.status, WalletStatus::Frozen, "still");
}

#[test]
fn an_exchange_needs_a_chain_of_another_currency() {
    let mut network = town();
    let payer = network.customer(0);
    let asked = |amount, payee: u64| ledger::records::Asked {
        payer: WalletId([1; 32]),
        payee: WalletId([payee as u8; 32]),
        amount: Amount::from_fen(amount),
    };
    let exchange = |network: &Network, chain, asked| Operation::Exchange {
        payee: network.customer(1).wallet,
        amount: Amount::from_fen(1),
        chain: ledger::values::ChainId(chain),
        asked,
        deadline: network.next_timestamp(),
    };
    let rows = [
        ("nothing asked", 7, asked(0, 1), Rejection::AmountZero),
        ("asked for itself", 7, asked(1, 1), Rejection::PayeeIsPayer),
        ("no such chain", 7, asked(1, 2), Rejection::ChainUnknown),
        ("the same chain", CHAIN.0, asked(1, 2), Rejection::SameCurrency),
    ];
    for (name, chain, asked, expected) in rows {
        let operation = exchange(&network, chain, asked);
        row(&mut network, name, &payer, operation, Became::Rejected(expected));
    }
}

/// A lock is expired at height h exactly when the header of h − 32 was past its deadline; then it is for every guard, and the ledger
/// gives the money back in the same block.
#[test]
fn a_deadline_has_passed_when_the_block_32_heights_ago_was_past_it() {
    let mut network = town();
    idle(&mut network, GRACE);
    let (payer, payee) = (network.customer(0), network.customer(1));
    let first = locked(&mut network, 1, 100, LOCK_TTL_MS_MIN + 1_000);
    let Record::Lock(lock) = record(&network, first) else { panic!() };
    let same = Operation::Lock {
        payee: payee.wallet,
        amount: Amount::from_fen(200),
        hash: sha256(&SECRET),
        deadline: lock.deadline,
    };
    assert_eq!(network.act(&payer, same), Became::Applied);
    let second = LockId::of(network.heights.last().unwrap().2.outcomes[0].id);
    // A block exactly at the deadline, then one a millisecond past it: height `past`.
    network.parent.timestamp = TimestampMs(lock.deadline.0 - 50);
    network.run(Vec::new());
    network.parent.timestamp = TimestampMs(lock.deadline.0 + 1 - 50);
    network.run(Vec::new());
    let past = network.height().0;
    idle(&mut network, GRACE - 2);
    assert_eq!(network.height().0, past + GRACE - 2);
    let claim = |lock| Operation::Claim { lock, preimage: SECRET };
    assert_eq!(network.act(&payee, claim(first)), Became::Applied, "the last block that takes it");
    assert_eq!(network.state.head().overdue_before(), Some(TimestampMs(lock.deadline.0 + 1)));
    let balance = network.balance(&payer.wallet);
    let transaction = network.transaction(&payee, network.next_sequence(&payee.wallet), claim(second));
    let forecast = network.state.forecast(&network.records, &transaction, network.next_timestamp()).unwrap();
    assert_eq!(forecast.becomes, ledger::rules::Forecast::Rejected(Rejection::LockExpired));
    let execution = network.run(vec![transaction]);
    assert_eq!(execution.head.height.0, past + GRACE);
    let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [Rejection::LockExpired.code(), 0]);
    assert_eq!(execution.expired, [second]);
    let expiry = execution.outcomes[1];
    assert_eq!(expiry.id, expiry_id(network.genesis, CHAIN, second));
    assert_eq!((expiry.index, expiry.transaction), (1, expired_hash(&record(&network, second))));
    assert_eq!(state(&network, second), LockState::Returned { code: Rejection::LockExpired.code() });
    assert_eq!(network.balance(&payer.wallet), balance + 200);
    let entry = execution.history.last().unwrap();
    assert_eq!((entry.movement.kind, entry.movement.counterparty), (MovementKind::Returned, payee.wallet));
    assert!(network.state.expiries().is_empty());
    assert_eq!(network.act(&payee, claim(second)), Became::Rejected(Rejection::LockNotOpen));
}

#[test]
fn nothing_expires_before_there_are_32_heights() {
    let mut network = town();
    let lock = locked(&mut network, 1, 100, LOCK_TTL_MS_MIN);
    let made = network.height().0;
    network.parent.timestamp.0 += LOCK_TTL_MS_MAX;
    while network.height().0 < GRACE - 1 {
        network.run(Vec::new());
        assert_eq!(state(&network, lock), LockState::Open);
    }
    idle(&mut network, made + 1);
    assert_eq!(network.height().0, made + GRACE);
    assert_eq!(state(&network, lock), LockState::Open);
    idle(&mut network, 1);
    assert_ne!(state(&network, lock), LockState::Open);
}

/// A frozen payer gets its money back; more deadlines than a block ends are ended in order by the next ones.
#[test]
fn many_deadlines_end_in_order_and_are_never_refused() {
    let mut network = town();
    let payer = network.customer(0);
    network.fund(&payer.wallet, 100_000);
    let many = EXPIRIES_PER_BLOCK_MAX as u64 + 3;
    let mut sequence = network.next_sequence(&payer.wallet);
    let mut made = 0;
    while made < many {
        let transactions: Vec<_> = (0..100.min(many - made))
            .map(|place| {
                let operation = lock_of(&network, 1, 100, LOCK_TTL_MS_MIN + (place * 7919) % 100);
                let transaction = network.transaction(&payer, sequence, operation);
                sequence += 1;
                transaction
            })
            .collect();
        made += transactions.len() as u64;
        let execution = network.run(transactions);
        assert!(execution.outcomes.iter().all(|outcome| outcome.is_applied()), "{:?}", execution.skipped);
    }
    network.plant(&payer.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    network.parent.timestamp.0 += LOCK_TTL_MS_MIN + 1_000_000;
    network.run(Vec::new());
    idle(&mut network, GRACE - 1);
    assert_eq!(network.state.expiries().len() as u64, many);
    let first = network.run(Vec::new());
    assert_eq!((first.expired.len(), network.state.expiries().len()), (EXPIRIES_PER_BLOCK_MAX, 3));
    let deadline = |id: &LockId| match record(&network, *id) {
        Record::Lock(lock) => (lock.deadline, lock.id),
        _ => panic!("no lock"),
    };
    let order: Vec<_> = first.expired.iter().map(deadline).collect();
    assert!(order.is_sorted());
    network.run(Vec::new());
    assert_eq!(network.balance(&payer.wallet), 200_000);
}

/// Locks stay in the state for ever, so a block makes only so many.
#[test]
fn a_block_makes_no_more_locks_than_its_bound() {
    let mut network = town();
    let payer = network.customer(0);
    let from = network.next_sequence(&payer.wallet);
    let lock = lock_of(&network, 1, 100, LOCK_TTL_MS_MAX);
    let transactions = (from..=from + LOCKS_PER_BLOCK_MAX as u64)
        .map(|sequence| network.transaction(&payer, sequence, lock.clone()))
        .collect();
    let execution = network.run(transactions);
    let (last, others) = execution.outcomes.split_last().unwrap();
    assert_eq!(last.rejection(), Some(Rejection::TooManyOpen));
    assert!(others.iter().all(|outcome| outcome.is_applied()));
    assert_eq!(network.state.expiries().shares().count(Share::Locks), LOCKS_PER_BLOCK_MAX);
    assert_eq!(network.act(&payer, lock), Became::Applied, "the next block has room");
}

#[test]
fn undo_and_load_bring_the_deadlines_back() {
    let mut network = town();
    let kept = locked(&mut network, 1, 101, LOCK_TTL_MS_MAX);
    let claimed = locked(&mut network, 1, 102, LOCK_TTL_MS_MAX);
    let before = (network.state.parts(), network.state.head().clone(), network.state.expiries().clone());
    let records = network.records.clone();
    let (payer, payee) = (network.customer(0), network.customer(1));
    let claim = Operation::Claim { lock: claimed, preimage: SECRET };
    let transactions = vec![
        network.transaction(&payee, 1, claim),
        network.transaction(
            &payer,
            network.next_sequence(&payer.wallet),
            lock_of(&network, 1, 103, LOCK_TTL_MS_MAX),
        ),
    ];
    let execution = network.run(transactions);
    assert_eq!(network.state.expiries().len(), 2);
    assert_ne!(*network.state.expiries(), before.2);
    let stored = network.records.iter().map(|(slot, record)| (slot, record.clone()));
    let (registry, head) = (network.state.rules().registry.clone(), network.state.head().clone());
    let loaded = ChainState::load(&spec(), registry, head, stored, &Sequential).unwrap();
    assert_eq!(loaded.expiries(), network.state.expiries());
    let undo = Undo::decode(&execution.undo.encode()).unwrap();
    assert_eq!(undo, execution.undo);
    network.state.undo(&undo).unwrap();
    network.records.undo(&undo);
    let after = (network.state.parts(), network.state.head().clone(), network.state.expiries().clone());
    assert_eq!(after, before);
    assert_eq!(network.records, records);
    assert_eq!(state(&network, kept), LockState::Open);
}

#[test]
fn an_undone_expiry_is_due_again() {
    let mut network = town();
    let lock = locked(&mut network, 1, 100, LOCK_TTL_MS_MIN);
    network.parent.timestamp.0 += LOCK_TTL_MS_MAX;
    idle(&mut network, GRACE);
    let before = network.state.expiries().clone();
    let execution = network.run(Vec::new());
    assert_eq!(execution.expired, [lock]);
    network.state.undo(&execution.undo).unwrap();
    network.records.undo(&execution.undo);
    assert_eq!(*network.state.expiries(), before);
    let block = network.heights.last().unwrap().0.clone();
    let none: [ledger::records::Batch; 0] = [];
    let again =
        network.state.execute(&network.records, &block, &none, crate::network::NO_BUNDLES, &Sequential);
    assert_eq!(again.unwrap(), execution);
}

#[test]
fn a_lock_is_proved_to_a_stranger() {
    let mut network = town();
    let lock = locked(&mut network, 1, 177, LOCK_TTL_MS_MAX);
    let path = network.state.record_path(lock).unwrap();
    network.run(Vec::new());
    let height = network.height().0;
    let proof = LockProof {
        record: record(&network, lock),
        slot: path.slot,
        path: path.path,
        parts: path.parts,
        certified: network.certified(height - 1, height),
    };
    let learn = |proof: &LockProof| {
        let file = ProofFile {
            genesis: network.genesis,
            sets: SetChain::default(),
            proof: Proof::Lock(proof.clone()),
        };
        ProofFile::decode(&file.encode()).unwrap().verify(&network.spec).map(|proven| proven.fact)
    };
    let Fact::Lock { record: Record::Lock(proven) } = learn(&proof).unwrap() else { panic!() };
    assert_eq!((proven.id, proven.amount.fen(), proven.state), (lock, 177, LockState::Open));
    assert!(matches!(proven.kind, LockKind::Hash { hash } if hash == sha256(&SECRET)));
    let mut forged = proof.clone();
    let Record::Lock(record) = &mut forged.record else { panic!() };
    record.state = LockState::Settled { preimage: None };
    assert_eq!(learn(&forged), Err(ProofFault::Record));
    let wallet = network.wallet(&network.customer(0).wallet).unwrap();
    let file = ProofFile {
        genesis: network.genesis,
        sets: SetChain::default(),
        proof: Proof::Lock(LockProof { record: Record::Wallet(wallet), ..proof }),
    };
    assert!(ProofFile::decode(&file.encode()).is_err(), "a wallet is proved as a balance");
}

#[test]
fn lock_ids_have_one_text() {
    let id = LockId([7; 32]);
    let text = id.to_string();
    assert!(text.starts_with("jzl1"));
    assert_eq!(text.parse(), Ok(id));
    assert!(text.to_uppercase().parse::<LockId>().is_err());
    assert!(WalletId([7; 32]).to_string().parse::<LockId>().is_err());
    assert!(text.parse::<WalletId>().is_err());
}

/// SHA-256 of "abc", from FIPS 180-2: other ledgers compute the same.
#[test]
fn the_hash_of_a_lock_is_plain_sha256() {
    let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(ledger::values::Hash(sha256(b"abc")).to_string(), hex);
}
