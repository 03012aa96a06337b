//! A chain with a price: it rises above the target and comes back to nothing, whoever forges it or what was charged is named, and whoever
//! seals what nobody pays for is barred.

mod support;

use audit::{Finding, Place, Value};
use ledger::records::{ChainParams, Change, FeeParams, Outcome, Transaction};
use ledger::rules::BlockFault;
use ledger::values::{Amount, Canonical as _, FeeRate, Height};
use storage::{Reader as _, Table, key};
use support::verdicts::{difference, put, replay_feed, replay_store, stored};
use support::{CHAIN, Forge};

/// So few that what opens and funds them stays below the target.
const WALLETS: usize = 8;
/// About twice the target.
const BUSY: usize = 25;
/// More than any of these transactions ever owes.
const FEE_MAX: Amount = Amount::from_fen(20_000);
const TIP: Amount = Amount::from_fen(3);
/// A tenth of a fen for each unit of weight.
const STEP_MIN: FeeRate = FeeRate::from_micro_fen(100_000);

/// The lowest target, and steps that can be seen.
fn params() -> FeeParams {
    let rate_max = FeeRate::from_micro_fen(1_000_000);
    FeeParams { weight_target: 10_000, step_min: STEP_MIN, rate_max, ..ChainParams::default().fees }
}

/// Five busy blocks, which cost more from one to the next.
fn busy(fees: FeeParams) -> Forge {
    let mut forge = Forge::priced(WALLETS, fees);
    assert!(forge.base_fee().is_zero(), "what opens and funds wallets is free");
    (forge.fee_max, forge.tip) = (FEE_MAX, TIP);
    forge.pay_around(5 * BUSY, BUSY);
    forge
}

fn last(forge: &Forge) -> Height {
    Height(forge.blocks.len() as u64)
}

/// All that was charged so far, in fen.
fn charged(forge: &Forge) -> u64 {
    let outcomes = forge.blocks.iter().flat_map(|made| &made.execution.outcomes);
    outcomes.map(|outcome| outcome.fee.fen()).sum()
}

/// Empty blocks until the next one has no base fee; gives how many.
fn cool(forge: &mut Forge) -> usize {
    let before = forge.blocks.len();
    while !forge.base_fee().is_zero() {
        forge.make_block(Vec::new());
        assert!(forge.blocks.len() < before + 100, "it does not end: {}", forge.base_fee());
    }
    forge.blocks.len() - before
}

#[test]
fn a_price_rises_and_comes_back_and_what_was_paid_is_in_the_pool() {
    let mut forge = busy(params());
    let rates: Vec<FeeRate> = forge.blocks.iter().map(|made| made.block.header.base_fee).collect();
    let (quiet, busy) = rates.split_at(3);
    assert!(quiet.iter().all(|rate| rate.is_zero()), "{rates:?}");
    assert_eq!(busy.len(), 4, "the first busy block was free");
    assert!(busy[0] >= STEP_MIN && busy.is_sorted_by(|below, above| below < above), "{rates:?}");
    assert!(cool(&mut forge) >= busy.len());

    let paid = charged(&forge);
    assert!(paid > 0);
    // Whoever bids names the central bank, which is operator 0, for the tip: a wallet of this chain, so the pool has the rest.
    let tips = forge.blocks.iter().flat_map(|made| &made.execution.outcomes).count() as u64;
    let tips = (tips - free(&forge)) * TIP.fen();
    assert_eq!(forge.fee_pool().fen(), paid - tips);
    let store = stored(&forge);
    let report = replay_store(&forge, &store).unwrap();
    assert_eq!((report.state, report.tally.fees), (forge.state_root(), paid));
    assert_eq!(report.tally.rejected, 0);
    assert_eq!(replay_feed(&forge).unwrap().tally.fees, paid);
}

/// Transactions that bid nothing: those that open and fund wallets.
fn free(forge: &Forge) -> u64 {
    let transactions = forge.blocks.iter().flat_map(|made| &made.batches);
    let transactions = transactions.flat_map(|batch| &batch.content.transactions);
    transactions.filter(|transaction| transaction.content.fee.tip.is_zero()).count() as u64
}

/// A quorum of liars asks for another price, or says that a block weighs something else.
#[test]
fn another_base_fee_and_another_weight_are_named() {
    let mut forge = busy(params());
    let (expected, found) = (forge.base_fee(), FeeRate::from_micro_fen(7));
    forge.forced_base_fee = Some(found);
    forge.make_block(Vec::new());
    let named = difference(replay_feed(&forge));
    let finding = Finding::Block(BlockFault::BaseFee { found, expected });
    assert_eq!((named.height, named.finding), (last(&forge), finding));

    let mut forge = busy(params());
    forge.forced_weight = Some(1);
    let payment = forge.payment(0, 1, 5);
    forge.make_block(vec![payment]);
    let counted = forge.blocks.last().unwrap().batches[0].weight();
    let named = difference(replay_feed(&forge));
    let finding = Finding::Block(BlockFault::Weight { claimed: 1, counted });
    assert_eq!((named.height, named.finding), (last(&forge), finding));
}

#[test]
fn a_fee_that_was_changed_in_the_database_is_named() {
    let forge = busy(params());
    let height = last(&forge);
    let store = stored(&forge);
    let row = key::height(height.0);
    let mut bytes = store.get(Table::Outcomes, &row).unwrap().unwrap();
    let length = <Outcome as ledger::values::Canonical>::BYTES_MAX;
    let place = 8 + 2 * length;
    let honest = Outcome::decode(&bytes[place..place + length]).unwrap();
    assert!(!honest.fee.is_zero());
    let forged = Outcome { fee: Amount::ZERO, ..honest };
    bytes[place..place + length].copy_from_slice(&forged.encode());
    put(&store, Table::Outcomes, &row, &bytes);
    let named = difference(replay_store(&forge, &store));
    let (stored, computed) = (Value::Money(Amount::ZERO), Value::Money(honest.fee));
    let finding = Finding::Value { place: Place::Outcome(honest.id), field: "fee", stored, computed };
    assert_eq!((named.height, named.finding), (height, finding));
}

/// Governance changes the steps while there is a price. The stage that judges first may not know of it yet.
#[test]
fn a_price_follows_the_parameters_of_the_height_that_its_block_claims() {
    let mut forge = busy(params());
    let mut params = forge.network.spec.chains[0].params.clone();
    params.fees.step_min = FeeRate::from_micro_fen(130_000);
    // The bank that carries the proposal pays for it.
    let paid = forge.payment_to(0, forge.bank_wallet(), 50_000);
    let govern = forge.govern(vec![Change::SetParams { chain: CHAIN, params }]);
    forge.make_block(vec![paid, govern]);
    let outcomes = &forge.blocks.last().unwrap().execution.outcomes;
    assert!(outcomes.iter().all(Outcome::is_applied), "{outcomes:?}");
    forge.pay_around(2 * BUSY, BUSY);
    cool(&mut forge);
    assert_eq!(replay_store(&forge, &stored(&forge)).unwrap().state, forge.state_root());
}

/// A validator seals the same payment again and again: what nobody pays for is its operator's, and what that cannot pay bars it. A quorum
/// of liars orders its next batch all the same.
#[test]
fn a_batch_of_a_barred_sealer_is_named() {
    let mut forge = busy(FeeParams { quota: Amount::from_fen(1), ..params() });
    let again: Vec<Transaction> = forge.blocks.last().unwrap().batches[0].content.transactions.clone();
    forge.make_block(again);
    let barred = forge.registry().chain(CHAIN).unwrap().barred.clone();
    assert_eq!(barred.len(), 1, "the sealer's operator owes: {barred:?}");
    assert!(replay_store(&forge, &stored(&forge)).is_ok(), "the debt is in the replay too");
    let payment = forge.payment(0, 1, 5);
    forge.make_block(vec![payment]);
    let named = difference(replay_feed(&forge));
    let digest = forge.blocks.last().unwrap().block.body.batches[0];
    let finding = Finding::Block(BlockFault::SealerBarred { digest, operator: barred[0] });
    assert_eq!((named.height, named.finding), (last(&forge), finding));
}
