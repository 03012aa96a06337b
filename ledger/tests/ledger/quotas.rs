//! What nobody pays is charged to the operator that sealed it: free up to its quota of the day, then out of its own wallet, then owed;
//! and who owes is barred.

use std::sync::Arc;

use ledger::proofs::{Difference, HeightRecord, Replay};
use ledger::records::{
    Batch, Block, ChainParams, Change, FeeParams, MovementKind, Nonce, Operation, Payment, Registry,
    Rejection, Tier, Transaction, WalletStatus,
};
use ledger::rules::block_validity::{check_contents, check_sealers};
use ledger::rules::{BlockFault, ChainRules, apply_change, transaction_weight};
use ledger::state::{Execution, OperatorQuota, StateHead, Undo};
use ledger::values::{
    Amount, BatchDigest, Canonical as _, ChainId, CodecError, Epoch, FeeRate, OperatorId, Sequential,
    TimestampMs, ValidatorIndex,
};
use proptest::prelude::*;

use crate::governance::{approved, proposal};
use crate::network::{Became, CHAIN, NO_BUNDLES, Network, Signer, became, pay, schedules, spec};

/// One fen per unit of weight: what is due is the weight.
const RATE: FeeRate = FeeRate::from_micro_fen(1_000_000);
/// Validator 1 seals for bank 2.
const SEALER: ValidatorIndex = ValidatorIndex(1);
const BANK: OperatorId = OperatorId(2);
/// The first moment of a day in UTC+8, after the beginning of the tests' network.
const MIDNIGHT: u64 = 1_700_064_000_000;

/// Two customers with money, one exempt with money; nothing was charged yet.
fn town(quota: u64) -> Network {
    let fees = FeeParams {
        weight_target: 10_000,
        step_denominator: 1_024,
        step_min: RATE,
        rate_max: FeeRate::from_micro_fen(1_000_000_000),
        quota: Amount::from_fen(quota),
    };
    let mut params = ChainParams { fees, ..ChainParams::default() };
    params.tiers[Tier::Two as usize].is_fee_exempt = true;
    let mut network = Network::with_params(params);
    network.base_fee = Some(FeeRate::ZERO);
    network.open(0..2, Tier::One);
    network.open(2..3, Tier::Two);
    for customer in 0..3 {
        network.fund(&network.customer(customer).wallet, 50_000);
    }
    network
}

/// A payment to customer 1 of one fen, for which at most so much may be charged.
fn payment(network: &Network, payer: &Signer, nonce: Nonce, fee_max: u64) -> Transaction {
    let mut content = network.content(payer, nonce.sequence, pay(&[(network.customer(1).wallet, 1)]));
    content.nonce = nonce;
    content.fee.fee_max = Amount::from_fen(fee_max);
    content.signed_by(network.genesis, &payer.key)
}

/// Transactions that no wallet knows the signer of: not executed, each about as heavy as a payment.
fn strangers(network: &Network, count: u64) -> Vec<Transaction> {
    let stranger = network.customer(99);
    (1..=count).map(|sequence| payment(network, &stranger, Nonce { lane: 0, sequence }, 0)).collect()
}

fn weight(transactions: &[Transaction]) -> u64 {
    transactions.iter().map(transaction_weight).sum()
}

/// Runs a block of one batch of validator 1.
fn run_sealed(network: &mut Network, base_fee: FeeRate, transactions: Vec<Transaction>) -> Execution {
    network.base_fee = Some(base_fee);
    let batch = network.seal_by(SEALER, transactions);
    network.run_batches(vec![batch], Vec::new())
}

fn quota(network: &Network, operator: OperatorId) -> Option<OperatorQuota> {
    network.state.head().quotas.iter().find(|quota| quota.operator == operator).copied()
}

/// What bank 2 has used today, and what it owes.
fn account(network: &Network) -> (u64, u64) {
    quota(network, BANK).map_or((0, 0), |quota| (quota.used.fen(), quota.debt.fen()))
}

fn barred(network: &Network) -> Vec<OperatorId> {
    network.state.rules().registry.chain(network.chain).unwrap().barred.clone()
}

/// New money for an operator's own wallet, in a block without a base fee.
fn issue(network: &mut Network, operator: OperatorId, fen: u64) {
    network.base_fee = Some(FeeRate::ZERO);
    let (to, amount) = (network.operator(operator.0).wallet, Amount::from_fen(fen));
    assert_eq!(network.act(&network.operator(0), Operation::Issue { to, amount }), Became::Applied);
}

#[test]
fn what_nobody_pays_is_charged_to_the_operator_that_sealed_it() {
    let mut network = town(1_000_000);
    let (payer, payee, exempt) = (network.customer(0), network.customer(1), network.customer(2));
    let at = |lane, sequence| Nonce { lane, sequence };
    let paid = payment(&network, &payer, at(0, 1), 5_000);
    let free = payment(&network, &exempt, at(0, 1), 0);
    let above = payment(&network, &payer, at(0, 2), 60_000);
    let unpaid = {
        // Base fee and tip are more than it has.
        let mut content = above.content;
        content.fee.tip = Amount::from_fen(55_000);
        content.signed_by(network.genesis, &payer.key)
    };
    let low = payment(&network, &payer, at(1, 1), 1);
    let transactions = vec![paid.clone(), paid.clone(), free.clone(), unpaid.clone(), low.clone()];
    let before = (network.balance(&payer.wallet), network.balance(&exempt.wallet), network.fee_pool());
    let execution = run_sealed(&mut network, RATE, transactions);
    assert_eq!(became(&execution, 0), Became::Applied);
    assert!(matches!(became(&execution, 1), Became::Skipped(_)), "a duplicate");
    assert_eq!(became(&execution, 2), Became::Applied);
    assert_eq!(became(&execution, 3), Became::Rejected(Rejection::FeeUnpaid));
    assert!(matches!(became(&execution, 4), Became::Skipped(_)), "not executed");
    let charged = weight(&[paid.clone(), free, unpaid, low]);
    assert_eq!(account(&network), (charged, 0));
    assert_eq!(network.state.head().quotas.len(), 1, "and nobody else");
    let fee = weight(&[paid]);
    let after = (network.balance(&payer.wallet), network.balance(&exempt.wallet), network.fee_pool());
    assert_eq!(after, (before.0 - 1 - fee, before.1 - 1, before.2 + fee), "the payer alone has paid");
    // A frozen signer pays nothing either.
    network.plant(&payee.wallet, |wallet| wallet.status = WalletStatus::Frozen);
    let frozen = payment(&network, &payee, at(0, 1), 5_000);
    let execution = run_sealed(&mut network, RATE, vec![frozen.clone()]);
    assert_eq!(became(&execution, 0), Became::Rejected(Rejection::WalletFrozen));
    assert_eq!(account(&network), (charged + weight(&[frozen]), 0));
    assert!(execution.registry.is_none());
}

#[test]
fn without_a_base_fee_nothing_is_charged() {
    let mut network = town(0);
    let transactions = strangers(&network, 20);
    let execution = run_sealed(&mut network, FeeRate::ZERO, transactions);
    assert_eq!(execution.skipped.len(), 20);
    assert_eq!(network.state.head().quotas, []);
    assert_eq!(barred(&network), []);
}

#[test]
fn each_sealer_answers_for_its_own_batches() {
    let mut network = town(1_000_000);
    network.base_fee = Some(RATE);
    let (one, three) = (strangers(&network, 1), strangers(&network, 3));
    let due = (weight(&one), weight(&three));
    let batches = vec![network.seal_by(ValidatorIndex(0), one), network.seal_by(ValidatorIndex(3), three)];
    network.run_batches(batches, Vec::new());
    let used: Vec<(u16, u64)> =
        network.state.head().quotas.iter().map(|quota| (quota.operator.0, quota.used.fen())).collect();
    assert_eq!(used, [(1, due.0), (4, due.1)]);
}

#[test]
fn beyond_the_quota_the_own_wallet_pays() {
    let mut network = town(10_000);
    issue(&mut network, BANK, 100_000);
    let own = network.operator(BANK.0).wallet;
    let first = strangers(&network, 5);
    let mut due = weight(&first);
    assert!(due < 10_000);
    run_sealed(&mut network, RATE, first);
    assert_eq!((account(&network), network.balance(&own)), ((due, 0), 100_000), "free so far");
    let more = strangers(&network, 20);
    due += weight(&more);
    let pool = network.fee_pool();
    let execution = run_sealed(&mut network, RATE, more);
    let paid = due - 10_000;
    assert_eq!(account(&network), (10_000, 0));
    assert_eq!((network.balance(&own), network.fee_pool() - pool), (100_000 - paid, paid));
    let slot = network.state.slot(&own).unwrap();
    let movements: Vec<_> = execution.history.iter().filter(|entry| entry.slot == slot).collect();
    assert_eq!(movements.len(), 1, "once, whatever the number of transactions");
    let movement = movements[0].movement;
    assert_eq!((movement.kind, movement.counterparty), (MovementKind::FeePaid, own));
    assert_eq!(movement.amount.fen(), paid);
    assert!(execution.registry.is_none() && barred(&network).is_empty());
}

/// Bank 2 has 100 fen and is charged for so many strangers beyond a quota of 1,000; answers its debt.
fn owing(network: &mut Network, count: u64) -> u64 {
    issue(network, BANK, 100);
    let transactions = strangers(network, count);
    let due = weight(&transactions);
    run_sealed(network, RATE, transactions);
    assert_eq!(account(network), (1_000, due - 1_100));
    assert_eq!(network.balance(&network.operator(BANK.0).wallet), 0);
    due - 1_100
}

#[test]
fn who_owes_is_barred_until_its_wallet_has_paid() {
    let mut network = town(1_000);
    let before = network.state.rules().clone();
    let debt = owing(&mut network, 10);
    assert!(network.heights.last().unwrap().2.registry.is_some());
    assert_eq!(barred(&network), [BANK]);
    let after = network.state.rules().clone();
    // By the rules of the state that a block claims.
    network.base_fee = Some(RATE);
    let (mine, other) = (strangers(&network, 1), strangers(&network, 2));
    let (mine, other) = (network.seal_by(SEALER, mine), network.seal_by(ValidatorIndex(2), other));
    let check = |rules: &ChainRules, batches: &[(BatchDigest, Batch)], base_fee: FeeRate| {
        let mut block = network.block(batches);
        block.header.base_fee = base_fee;
        let facts: Vec<_> =
            batches.iter().map(|(digest, batch)| ledger::rules::BatchFacts::of(*digest, batch)).collect();
        check_contents(&block.header, &block.body, &facts, &[]).unwrap();
        check_sealers(rules, &block.header, &facts)
    };
    let fault = BlockFault::SealerBarred { digest: mine.0, operator: BANK };
    assert_eq!(fault.code(), 637);
    let both = [other.clone(), mine];
    assert_eq!(check(&after, &both, RATE), Err(fault));
    assert_eq!(check(&before, &both, RATE), Ok(()), "the claimed state did not know yet");
    assert_eq!(check(&after, &[other], RATE), Ok(()), "others are not barred");
    assert_eq!(check(&after, &both, FeeRate::ZERO), Ok(()), "without a base fee nobody is");
    assert!(after.is_barred(Epoch(0), SEALER) && !before.is_barred(Epoch(0), SEALER));
    assert!(!after.is_barred(Epoch(0), ValidatorIndex(2)) && !after.is_barred(Epoch(7), SEALER));
    assert!(!after.may_order(Epoch(0), SEALER, RATE) && after.may_order(Epoch(0), SEALER, FeeRate::ZERO));
    // What was on its way is charged too; the registry stays.
    let late = strangers(&network, 1);
    let debt = debt + weight(&late);
    let execution = run_sealed(&mut network, RATE, late);
    assert!(execution.registry.is_none());
    assert_eq!((account(&network).1, barred(&network)), (debt, vec![BANK]));
    // Part of it is taken at once, and is not enough.
    issue(&mut network, BANK, 300);
    let own = network.operator(BANK.0).wallet;
    assert_eq!((account(&network), network.balance(&own)), ((1_000, debt - 300), 0));
    assert_eq!(barred(&network), [BANK]);
    assert!(network.heights.last().unwrap().2.registry.is_none());
    // The rest ends the bar.
    issue(&mut network, BANK, debt);
    assert_eq!((account(&network), network.balance(&own)), ((1_000, 0), 300));
    assert_eq!(barred(&network), []);
    assert_eq!(*network.state.rules(), before, "as if nothing had been");
}

#[test]
fn a_debt_is_taken_by_a_block_that_does_not_touch_the_wallet() {
    let mut network = town(1_000);
    issue(&mut network, BANK, 90_000);
    let own = network.operator(BANK.0).wallet;
    network.plant(&own, |wallet| wallet.status = WalletStatus::Frozen);
    let transactions = strangers(&network, 10);
    let due = weight(&transactions);
    run_sealed(&mut network, RATE, transactions);
    assert_eq!((account(&network), network.balance(&own)), ((1_000, due - 1_000), 90_000));
    assert_eq!(barred(&network), [BANK], "a frozen wallet pays nothing");
    network.plant(&own, |wallet| wallet.status = WalletStatus::Active);
    network.base_fee = Some(FeeRate::ZERO);
    network.run(Vec::new());
    assert_eq!((account(&network), network.balance(&own)), ((1_000, 0), 90_000 - (due - 1_000)));
    assert_eq!(barred(&network), []);
}

#[test]
fn the_council_pays_a_debt_out_of_the_pool() {
    let mut network = town(1_000);
    let debt = owing(&mut network, 10);
    let pool = network.fee_pool();
    assert_eq!(pool, 100);
    network.base_fee = Some(FeeRate::ZERO);
    let spend = Change::SpendFees { chain: CHAIN, operator: BANK, amount: Amount::from_fen(60) };
    let operation = approved(network.genesis, proposal(&network, vec![spend]), &[1, 2, 4]);
    assert_eq!(network.act(&network.operator(1), operation), Became::Applied);
    // Given to its wallet, and taken from there by the same block.
    assert_eq!((network.fee_pool(), account(&network)), (pool, (1_000, debt - 60)));
    assert_eq!(network.balance(&network.operator(BANK.0).wallet), 0);
    let slot = network.state.slot(&network.operator(BANK.0).wallet).unwrap();
    let history = &network.heights.last().unwrap().2.history;
    let kinds: Vec<_> =
        history.iter().filter(|entry| entry.slot == slot).map(|entry| entry.movement.kind).collect();
    assert_eq!(kinds, [MovementKind::FeesSpent, MovementKind::FeePaid]);
    assert_eq!(barred(&network), [BANK]);
    // A block in which a proposal and the end of a bar change the registry keeps both.
    let spend = Change::SpendFees { chain: CHAIN, operator: OperatorId(3), amount: Amount::from_fen(1) };
    let (bank, central_bank) = (network.operator(1), network.operator(0));
    let operation = approved(network.genesis, proposal(&network, vec![spend]), &[1, 2, 4]);
    let decided = network.transaction(&bank, network.next_sequence(&bank.wallet), operation);
    let (to, amount) = (network.operator(BANK.0).wallet, Amount::from_fen(debt));
    let sequence = network.next_sequence(&central_bank.wallet);
    let issued = network.transaction(&central_bank, sequence, Operation::Issue { to, amount });
    let execution = network.run(vec![decided, issued]);
    assert_eq!((became(&execution, 0), became(&execution, 1)), (Became::Applied, Became::Applied));
    assert_eq!((network.state.rules().registry.version, barred(&network)), (2, vec![]));
}

#[test]
fn a_quota_is_of_one_day_in_utc_plus_eight_and_a_debt_is_of_all() {
    let mut network = town(5_000);
    let transactions = strangers(&network, 10);
    let due = weight(&transactions);
    run_sealed(&mut network, RATE, transactions);
    let debt = due - 5_000;
    let quota_of = |network: &Network| quota(network, BANK).unwrap();
    assert_eq!(account(&network), (5_000, debt));
    let day = quota_of(&network).day;
    // A millisecond before midnight.
    network.parent.timestamp = TimestampMs(MIDNIGHT - 51);
    let transactions = strangers(&network, 1);
    let debt = debt + weight(&transactions);
    run_sealed(&mut network, RATE, transactions);
    assert_eq!((account(&network), quota_of(&network).day), ((5_000, debt), day));
    network.parent.timestamp = TimestampMs(MIDNIGHT - 50);
    let transactions = strangers(&network, 1);
    let used = weight(&transactions);
    run_sealed(&mut network, RATE, transactions);
    assert_eq!((account(&network), quota_of(&network).day), ((used, debt), day + 1));
    assert_eq!(barred(&network), [BANK], "the quota of a new day covers no debt");
    issue(&mut network, BANK, debt);
    assert_eq!((account(&network), barred(&network)), ((used, 0), vec![]));
    // The account is forgotten with its day.
    network.parent.timestamp = TimestampMs(MIDNIGHT + 86_400_000);
    network.run(Vec::new());
    assert_eq!(network.state.head().quotas, []);
}

#[test]
fn undo_takes_charges_debts_and_bars_back_exactly() {
    let mut network = town(1_000);
    issue(&mut network, BANK, 100);
    let seen = |network: &Network| {
        let state = &network.state;
        (state.parts(), state.head().clone(), state.rules().clone(), network.records.clone())
    };
    let mut before = vec![seen(&network)];
    let first = network.heights.len();
    let transactions = strangers(&network, 10);
    run_sealed(&mut network, RATE, transactions);
    before.push(seen(&network));
    network.parent.timestamp = TimestampMs(MIDNIGHT);
    let debt = account(&network).1;
    issue(&mut network, BANK, debt + 7);
    let reached = seen(&network);
    for (height, before) in network.heights[first..].iter().zip(&before).rev() {
        let undo = Undo::decode(&height.2.undo.encode()).unwrap();
        assert_eq!(undo, height.2.undo);
        network.state.undo(&undo).unwrap();
        network.records.undo(&undo);
        let state = &network.state;
        let found = (state.parts(), state.head().clone(), state.rules().clone(), network.records.clone());
        assert_eq!(found, *before);
    }
    for (block, batches, execution) in network.heights[first..].iter() {
        let again = network.state.execute(&network.records, block, batches, NO_BUNDLES, &Sequential).unwrap();
        assert_eq!(again, *execution);
        network.records.apply(&again.writes);
    }
    assert_eq!(seen(&network), reached);
}

/// A chain that makes its own base fee: validator 1 floods it until its bank owes, it empties, and the bank is paid by its own batch.
fn flooded() -> Network {
    let mut network = town(1_000);
    network.base_fee = None;
    for _ in 0..2 {
        let transactions = strangers(&network, 20);
        let batch = network.seal_by(SEALER, transactions);
        network.run_batches(vec![batch], Vec::new());
    }
    assert_eq!(barred(&network), [BANK]);
    network
}

fn record<'a>(block: &'a Block, batches: &'a [Batch]) -> HeightRecord<'a> {
    HeightRecord { block, batches, bundles: NO_BUNDLES, result: None, outcomes: None }
}

#[test]
fn a_replay_agrees_and_a_chain_with_barred_sealers_comes_free_by_itself() {
    let mut network = flooded();
    let replayed = |network: &Network| {
        let mut replay = Replay::new(&network.spec, CHAIN, [1; 32]).unwrap();
        for (block, batches, execution) in &network.heights {
            assert_eq!(replay.step(record(block, batches), &Sequential).unwrap(), *execution);
        }
        assert_eq!(replay.state().parts(), network.state.parts());
        assert_eq!(replay.state().head(), network.state.head());
        assert_eq!(replay.records(), &network.records);
        replay
    };
    let mut replay = replayed(&network);
    assert!(!network.state.head().base_fee.is_zero());
    let transactions = strangers(&network, 1);
    let batch = network.seal_by(SEALER, transactions);
    let (block, batches) = (network.block(std::slice::from_ref(&batch)), vec![batch.1]);
    match *replay.step(record(&block, &batches), &Sequential).unwrap_err() {
        Difference::Block { fault: BlockFault::SealerBarred { digest, operator: BANK }, .. } => {
            assert_eq!(digest, batch.0)
        }
        other => panic!("{other}"),
    }
    let mut empty = 0;
    while !network.state.head().base_fee.is_zero() {
        network.run(Vec::new());
        empty += 1;
    }
    assert!((1..=4).contains(&empty), "{empty}");
    // Its own batch brings the money: nobody else has to seal it.
    let (debt, central_bank) = (account(&network).1, network.operator(0));
    let to = network.operator(BANK.0).wallet;
    let sequence = network.next_sequence(&central_bank.wallet);
    let operation = Operation::Issue { to, amount: Amount::from_fen(debt) };
    let paying = network.transaction(&central_bank, sequence, operation);
    let batch = network.seal_by(SEALER, vec![paying]);
    network.run_batches(vec![batch], Vec::new());
    assert_eq!((account(&network).1, barred(&network)), (0, vec![]));
    replayed(&network);
}

#[test]
fn a_chain_bars_for_itself_alone() {
    let mut registry = Registry::clone(&flooded().state.rules().registry);
    let validators = spec().chains[0].validators.clone();
    registry = apply_change(&registry, &Change::AddChain { parent: CHAIN, validators }).unwrap();
    assert_eq!(registry.chain(CHAIN).unwrap().barred, [BANK]);
    let child = registry.of_child(ChainId(1)).unwrap();
    assert!(child.chains.iter().all(|record| record.barred.is_empty()));
    let rules = ChainRules::new(spec().hash(), Arc::new(registry), ChainId(1)).unwrap();
    assert!(!rules.is_barred(Epoch(0), SEALER));
}

#[test]
fn a_registry_and_a_head_are_refused_with_the_field_at_fault() {
    let network = flooded();
    let mut registry = Registry::clone(&network.state.rules().registry);
    let validators = spec().chains[0].validators.clone();
    registry = apply_change(&registry, &Change::AddChain { parent: CHAIN, validators }).unwrap();
    // A child is born at a height that a proposal names.
    if let ledger::records::Birth::Child { height, .. } = &mut registry.chains[1].birth {
        height.0 = 1;
    }
    assert_eq!(Registry::decode(&registry.encode()), Ok(registry.clone()));
    type Spoil = fn(&mut Registry);
    let rows: Vec<(Spoil, &str)> = vec![
        (|r| r.chains[0].barred = vec![OperatorId(2), OperatorId(1)], "registry.chains.barred"),
        (|r| r.chains[0].barred = vec![OperatorId(2), OperatorId(2)], "registry.chains.barred"),
        (|r| r.chains[0].barred = vec![OperatorId(5)], "registry.chains.barred (known operators)"),
        (|r| r.chains[1].barred = vec![OperatorId(1)], "registry.chains.barred (the own chain's alone)"),
        (|r| r.chains[0].barred = (0..1_001).map(OperatorId).collect(), "registry.chains.barred"),
    ];
    for (spoil, field) in rows {
        let mut spoiled = registry.clone();
        spoil(&mut spoiled);
        assert_eq!(field_of(Registry::decode(&spoiled.encode()).unwrap_err()), field);
    }
    let head = network.state.head().clone();
    assert_eq!(StateHead::decode(&head.encode()), Ok(head.clone()));
    let entry = head.quotas[0];
    let empty = OperatorQuota { used: Amount::ZERO, debt: Amount::ZERO, ..entry };
    let many = (0..1_001).map(|id| OperatorQuota { operator: OperatorId(id), ..entry }).collect();
    let rows: Vec<(Vec<OperatorQuota>, &str)> = vec![
        (vec![entry, entry], "head.quotas"),
        (vec![entry, OperatorQuota { operator: OperatorId(0), ..entry }], "head.quotas"),
        (vec![empty], "head.quotas (each has something used or owed)"),
        (many, "head.quotas"),
    ];
    for (quotas, field) in rows {
        let spoiled = StateHead { quotas, ..head.clone() };
        assert_eq!(field_of(StateHead::decode(&spoiled.encode()).unwrap_err()), field);
    }
    // The root commits to every number.
    let root = network.state.parts().fees;
    let fees = |quotas: Vec<OperatorQuota>| {
        let head = StateHead { quotas, ..head.clone() };
        let parts = network.state.parts();
        ledger::state::StateParts::new(&head, parts.tree, parts.ids, parts.registry).fees
    };
    assert_eq!(fees(head.quotas.clone()), root);
    let one = Amount::from_fen(1);
    for other in [
        OperatorQuota { operator: OperatorId(3), ..entry },
        OperatorQuota { day: entry.day + 1, ..entry },
        OperatorQuota { used: one, ..entry },
        OperatorQuota { debt: one, ..entry },
    ] {
        assert_ne!(fees(vec![other]), root, "{other:?}");
    }
}

fn field_of(error: CodecError) -> &'static str {
    match error {
        CodecError::Count { field, .. }
        | CodecError::Range { field, .. }
        | CodecError::NotAscending { field } => field,
        other => panic!("{other}"),
    }
}

/// One thing that happens in a random history.
#[derive(Debug, Clone)]
enum Step {
    /// A validator seals strangers, payments of the exempt customer, and payments that are paid for.
    Batch { sealer: u16, strangers: u64, exempt: u64, paid: u64 },
    /// Money for a bank's own wallet.
    Fund { bank: u16, fen: u64 },
    /// Time passes, in hours.
    Wait { hours: u64 },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u16, 0..6_u64, 0..3_u64, 0..3_u64)
            .prop_map(|(sealer, strangers, exempt, paid)| Step::Batch { sealer, strangers, exempt, paid }),
        2 => (1..5_u16, 1..9_000_u64).prop_map(|(bank, fen)| Step::Fund { bank, fen }),
        1 => (1..30_u64).prop_map(|hours| Step::Wait { hours }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(schedules(40)))]

    #[test]
    fn what_is_due_is_paid_used_or_owed(
        blocks in prop::collection::vec((prop::collection::vec(steps(), 0..5), 0..3_u64), 1..12),
        quota_max in 0..6_000_u64,
    ) {
        let mut network = town(quota_max);
        let pool_before = network.fee_pool();
        let (mut due, mut used, mut settled, mut paid_by_payers) = (0_u64, 0_u64, 0_u64, 0_u64);
        for (steps, fen_per_weight) in blocks {
            let base_fee = FeeRate::from_micro_fen(fen_per_weight * 1_000_000);
            network.base_fee = Some(base_fee);
            let batches = batches_of(&mut network, &steps);
            let transactions: Vec<Transaction> =
                batches.iter().flat_map(|(_, batch)| batch.content.transactions.clone()).collect();
            let before = (network.state.parts(), network.state.head().clone(), network.records.clone());
            let execution = network.run_batches(batches, Vec::new());
            // What is due, without asking the accounts.
            let fees: u64 = execution.outcomes.iter().map(|outcome| outcome.fee.fen()).sum();
            let all: u64 = transactions.iter().map(|one| base_fee.due(transaction_weight(one)).fen()).sum();
            due += all - fees;
            paid_by_payers += fees;
            let after = network.state.head().clone();
            let own = |operator: u16| network.state.slot(&network.operator(operator).wallet).unwrap();
            let executed = u32::try_from(transactions.len()).unwrap();
            for entry in execution.history.iter().filter(|entry| entry.index >= executed) {
                prop_assert!((1..5).any(|bank| own(bank) == entry.slot));
                prop_assert_eq!(entry.movement.kind, MovementKind::FeePaid);
                settled += entry.movement.amount.fen();
            }
            for quota in &after.quotas {
                prop_assert!(quota.used.fen() <= quota_max);
                let same_day = |known: &&OperatorQuota| known.operator == quota.operator && known.day == quota.day;
                let known = before.1.quotas.iter().find(same_day);
                used += quota.used.fen() - known.map_or(0, |known| known.used.fen());
            }
            let debts: u64 = after.quotas.iter().map(|quota| quota.debt.fen()).sum();
            prop_assert_eq!(due, settled + used + debts);
            prop_assert_eq!(network.fee_pool() - pool_before, paid_by_payers + settled);
            // Exactly who owes is barred, and has nothing left.
            let owing = after.quotas.iter().filter(|quota| !quota.debt.is_zero());
            let owing: Vec<OperatorId> = owing.map(|quota| quota.operator).collect();
            prop_assert_eq!(&barred(&network), &owing);
            for operator in &owing {
                prop_assert_eq!(network.balance(&network.operator(operator.0).wallet), 0);
            }
            let had: Vec<OperatorId> =
                before.1.quotas.iter().filter(|quota| !quota.debt.is_zero()).map(|quota| quota.operator).collect();
            prop_assert_eq!(execution.registry.is_some(), had != owing);
            // And back, and again.
            let (block, batches, execution) = network.heights.last().unwrap().clone();
            network.state.undo(&execution.undo).unwrap();
            network.records.undo(&execution.undo);
            prop_assert_eq!(&(network.state.parts(), network.state.head().clone(), network.records.clone()), &before);
            let again = network.state.execute(&network.records, &block, &batches, NO_BUNDLES, &Sequential).unwrap();
            prop_assert_eq!(&again, &execution);
            network.records.apply(&again.writes);
        }
    }
}

/// The batches of a random block.
fn batches_of(network: &mut Network, steps: &[Step]) -> Vec<(BatchDigest, Batch)> {
    let (payer, exempt, central_bank) = (network.customer(0), network.customer(2), network.operator(0));
    let mut next: Vec<u64> =
        [&payer, &exempt, &central_bank].iter().map(|who| network.next_sequence(&who.wallet)).collect();
    let mut sequence = |who: usize| {
        next[who] += 1;
        Nonce { lane: 0, sequence: next[who] - 1 }
    };
    let mut batches = Vec::new();
    for step in steps {
        match step {
            Step::Batch { sealer, strangers: unknown, exempt: free, paid } => {
                let mut transactions = strangers(network, *unknown);
                transactions.extend((0..*free).map(|_| payment(network, &exempt, sequence(1), 0)));
                transactions.extend((0..*paid).map(|_| payment(network, &payer, sequence(0), 9_000)));
                if !transactions.is_empty() {
                    batches.push(network.seal_by(ValidatorIndex(*sealer), transactions));
                }
            }
            Step::Fund { bank, fen } => {
                // Who pays no fee is charged to its sealer: money comes by a payment that a wallet pays for.
                let payment =
                    Payment { payee: network.operator(*bank).wallet, amount: Amount::from_fen(*fen) };
                let nonce = sequence(0);
                let mut content =
                    network.content(&payer, nonce.sequence, Operation::Pay { payments: vec![payment] });
                content.fee.fee_max = Amount::from_fen(9_000);
                let transaction = content.signed_by(network.genesis, &payer.key);
                batches.push(network.seal_by(ValidatorIndex(0), vec![transaction]));
            }
            Step::Wait { hours } => network.parent.timestamp.0 += hours * 3_600_000,
        }
    }
    batches
}
