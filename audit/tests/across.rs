//! Two shards with a payment, a refund and money under way: honest they fit, and every forgery between them is named.

mod support;

use audit::{Across, AuditError, Difference, Finding, Pair, Place, Value, compare_across};
use ledger::records::{Counter, Receipt};
use ledger::rules::BundleFault;
use ledger::values::{Amount, Canonical as _, ChainId, Height};
use storage::{MemoryStore, Reader as _, Table, key};
use support::Forge;
use support::verdicts::{delete, difference, put, replay_feed, replay_store, stored};

const ZERO: ChainId = ChainId(0);
const ONE: ChainId = ChainId(1);
const WALLETS: usize = 3;

/// Chain 0 pays 7 yuan to a wallet of chain 1 and 3 yuan to nobody there; these come back. Then it pays 2.50 yuan that stay
/// under way. The first bundle is ordered twice.
fn town() -> [Forge; 2] {
    let [mut zero, mut one] = Forge::shards(WALLETS);
    let (payee, nobody, second) = (one.wallets[0].1, one.nobody(), one.wallets[1].1);
    let payments = vec![zero.payment_to(0, payee, 700), zero.payment_to(1, nobody, 300)];
    zero.make_block(payments);
    zero.make_block(Vec::new());
    let credits = zero.bundle(ONE, 0);
    one.order_bundles(vec![credits.clone()]);
    one.order_bundles(vec![credits]);
    zero.order_bundles(vec![one.bundle(ZERO, 0)]);
    let late = zero.payment_to(0, second, 250);
    zero.make_block(vec![late]);
    [zero, one]
}

/// Replays both from their feeds and compares them.
fn across(zero: &Forge, one: &Forge) -> Result<Across, AuditError> {
    let reports = [replay_feed(zero).unwrap(), replay_feed(one).unwrap()];
    compare_across(&zero.network.spec, &reports)
}

/// Changes a stored chain, replays it and gives what is found.
fn tampered(forge: &Forge, change: impl FnOnce(&MemoryStore)) -> Difference {
    let store = stored(forge);
    change(&store);
    let found = difference(replay_store(forge, &store));
    assert_eq!(found.chain, forge.chain);
    found
}

fn raised(receipt: Receipt) -> Receipt {
    let Receipt::Credit { transaction, part, payer, payee, amount, origin } = receipt else {
        panic!("{receipt:?}")
    };
    let amount = amount.plus(Amount::from_fen(1)).unwrap();
    Receipt::Credit { transaction, part, payer, payee, amount, origin }
}

const fn fen(count: u64, total: u128) -> Counter {
    Counter { count, total }
}

#[test]
fn chains_that_exchanged_receipts_pass_and_are_summed() {
    let [zero, one] = town();
    let reports = [replay_store(&zero, &stored(&zero)).unwrap(), replay_store(&one, &stored(&one)).unwrap()];
    let tallies = reports.each_ref().map(|report| {
        let tally = report.tally;
        (tally.bundles, tally.receipts, tally.refused, tally.refunds, tally.sent)
    });
    assert_eq!(tallies, [(1, 1, 0, 1, 3), (2, 2, 1, 0, 1)]);
    let rows = reports.each_ref().map(|report| {
        let rows = report.stored.unwrap();
        (rows.receipts, rows.outboxes, rows.refunds)
    });
    assert_eq!(rows, [(3, 2, 1), (1, 1, 0)]);
    for (report, forge) in reports.iter().zip([&zero, &one]) {
        let (tally, rows) = (report.tally, report.stored.unwrap());
        assert_eq!(report.state, forge.state_root());
        assert_eq!(rows.transactions, tally.applied + tally.rejected + tally.receipts);
    }

    let found = compare_across(&zero.network.spec, &reports).unwrap();
    let ends = [(ZERO, reports[0].height), (ONE, reports[1].height)];
    assert_eq!(found.cut.into_iter().collect::<Vec<_>>(), ends);
    let there = Pair { source: ZERO, destination: ONE, sent: fen(3, 1_250), received: fen(2, 1_000) };
    let back = Pair { source: ONE, destination: ZERO, sent: fen(1, 300), received: fen(1, 300) };
    assert_eq!(found.pairs, [there, back]);
    let [supply] = found.currencies.as_slice() else { panic!("{:?}", found.currencies) };
    assert_eq!((supply.chains.as_slice(), supply.missing.len()), ([ZERO, ONE].as_slice(), 0));
    assert_eq!(supply.under_way, 250);
    assert_eq!(supply.issued, 2 * WALLETS as u128 * u128::from(support::FUNDS.fen()));
    assert_eq!(supply.holdings + 250, supply.issued - supply.redeemed);
    // A feed shows the same.
    assert_eq!(replay_feed(&one).unwrap().journal, reports[1].journal);
}

/// The row of outboxes, which is written by hand here and in the audit, is what the ledger's codec makes of a list of them.
#[test]
fn outboxes_are_laid_out_as_in_a_state_head() {
    let [zero, _] = town();
    let head = &zero.blocks.last().unwrap().execution.head;
    let row = support::outbox_row(&head.outboxes);
    assert_eq!(row.len(), 8 + 4 + 8 + 8 + 2 * 32, "one chain, three receipts, two peaks");
    assert!(head.encode().windows(row.len()).any(|part| part == row));
}

#[test]
fn a_bundle_changed_in_the_database_is_named() {
    let [_, one] = town();
    let height = one.blocks.iter().position(|made| !made.bundles.is_empty()).unwrap();
    let (digest, honest) = (one.blocks[height].block.body.bundles[0], one.blocks[height].bundles[0].clone());
    let height = Height(height as u64 + 1);
    let mut forged = honest.clone();
    forged.receipts[0] = raised(forged.receipts[0].clone());
    let found = tampered(&one, |store| put(store, Table::Bundles, &digest.0, &forged.encode()));
    let finding = Finding::Bundle { position: 0, fault: BundleFault::Receipts };
    assert_eq!((found.height, found.finding), (height, finding));

    let mut uncertified = honest.clone();
    uncertified.certified.finality.bytes.push(0);
    let found = tampered(&one, |store| put(store, Table::Bundles, &digest.0, &uncertified.encode()));
    assert!(matches!(found.finding, Finding::Bundle { fault: BundleFault::Certified(_), .. }), "{found}");
    let found = tampered(&one, |store| put(store, Table::Bundles, &digest.0, &honest.encode()[1..]));
    assert!(matches!(found.finding, Finding::Bundle { fault: BundleFault::Malformed(_), .. }), "{found}");
    let found = tampered(&one, |store| delete(store, Table::Bundles, &digest.0));
    assert_eq!((found.height, found.finding), (height, Finding::RowMissing { table: Table::Bundles }));
}

#[test]
fn a_bundle_that_the_block_does_not_order_is_named() {
    let [zero, mut one] = town();
    let made = one.blocks.iter_mut().find(|made| !made.bundles.is_empty()).unwrap();
    // The same receipts, under a later certificate.
    let later = zero.bundle(ONE, 0);
    assert_eq!(later.receipts, made.bundles[0].receipts);
    made.bundles[0] = later;
    let found = difference(replay_feed(&one));
    assert!(matches!(found.finding, Finding::Block(_)), "{found}");
}

#[test]
fn stored_receipts_outboxes_and_refunds_are_compared() {
    let [zero, one] = town();
    let sent = zero.blocks.iter().find(|made| !made.execution.sent.is_empty()).unwrap();
    let (height, first) = (sent.execution.result.height, sent.execution.sent[0].clone());
    let place = key::receipt(ONE.0, 0);
    let row = [height.0.to_le_bytes().as_slice(), &raised(first.receipt).encode()].concat();
    let found = tampered(&zero, |store| put(store, Table::Receipts, &place, &row));
    let money = |fen| Value::Money(Amount::from_fen(fen));
    let expected = Finding::Value {
        place: Place::Receipt { destination: ONE, sequence: 0 },
        field: "amount",
        stored: money(701),
        computed: money(700),
    };
    assert_eq!((found.height, found.finding), (height, expected));

    type Change = fn(&MemoryStore, Height);
    let cases: [(&str, &Forge, Change); 7] = [
        ("receipt 1 for chain 1, row: stored nothing", &zero, |store, _| {
            delete(store, Table::Receipts, &key::receipt(ONE.0, 1));
        }),
        ("table receipts, rows: stored 4, computed 3", &zero, |store, _| {
            put(store, Table::Receipts, &key::receipt(ONE.0, 3), &[0; 40]);
        }),
        ("the outboxes, trees: stored nothing", &zero, |store, height| {
            delete(store, Table::Outboxes, &key::height(height.0));
        }),
        ("table outboxes, rows", &zero, |store, height| {
            put(store, Table::Outboxes, &key::height(height.0 - 1), &[0; 8]);
        }),
        (
            "chain 1, receipt: stored receipt 5 of chain 1, computed receipt 0 of chain 1",
            &zero,
            |store, _| {
                put(store, Table::Refunds, &key::receipt(ONE.0, 1), &key::receipt(ONE.0, 5));
            },
        ),
        ("table refunds, rows: stored 1, computed 0", &one, |store, _| {
            put(store, Table::Refunds, &key::receipt(ZERO.0, 0), &key::receipt(ZERO.0, 0));
        }),
        ("the outcome of transaction", &one, |store, _| {
            let rows = store.scan(Table::Outcomes, storage::Page::last(1)).unwrap();
            let (place, mut bytes) = rows.into_iter().next().unwrap();
            assert_eq!(bytes.len(), 8, "the bundle that came twice changes nothing");
            let before = key::number(&place).unwrap() - 1;
            bytes = store.get(Table::Outcomes, &key::height(before)).unwrap().unwrap();
            let code = bytes.len() - 10;
            bytes[code] ^= 1;
            put(store, Table::Outcomes, &key::height(before), &bytes);
        }),
    ];
    for (expected, forge, change) in cases {
        let found = tampered(forge, |store| change(store, height));
        assert!(found.to_string().contains(expected), "{found} lacks {expected:?}");
    }
}

/// A quorum of chain 0 certifies two histories: chain 1 is given a payment that the history which is audited does not have.
#[test]
fn a_received_receipt_that_was_never_sent_is_named_with_both_roots() {
    let [mut zero, mut one] = Forge::shards(WALLETS);
    let mut liar = zero.clone();
    let payees = [one.wallets[0].1, one.wallets[1].1];
    for (forge, payee) in [(&mut zero, payees[0]), (&mut liar, payees[1])] {
        let payment = forge.payment_to(0, payee, 500);
        forge.make_block(vec![payment]);
        forge.make_block(Vec::new());
    }
    one.order_bundles(vec![liar.bundle(ONE, 0)]);
    one.make_block(Vec::new());
    assert!(across(&liar, &one).is_ok());
    let found = difference(across(&zero, &one));
    assert_eq!((found.chain, found.height), (ONE, Height(one.blocks.len() as u64 - 1)));
    let outbox = |forge: &Forge| forge.blocks[forge.blocks.len() - 2].execution.result.outbox;
    let expected = Finding::NotSent {
        source_chain: ZERO,
        first: 0,
        last: 0,
        source_height: Height(zero.blocks.len() as u64 - 1),
        shown: outbox(&liar),
        computed: outbox(&zero),
    };
    assert_eq!(found.finding, expected);
}

/// The same, in the middle: the second bundle stands on another first receipt. The chain that received them shows it alone.
#[test]
fn a_bundle_that_stands_on_other_receipts_is_named() {
    let [mut zero, mut one] = Forge::shards(WALLETS);
    let mut liar = zero.clone();
    let payees = [one.wallets[0].1, one.wallets[1].1];
    for (forge, payee) in [(&mut zero, payees[0]), (&mut liar, payees[1])] {
        let payments = vec![forge.payment_to(0, payee, 500), forge.payment_to(0, payee, 40)];
        forge.make_block(payments);
        forge.make_block(Vec::new());
    }
    let mut first = zero.bundle(ONE, 0);
    let second = liar.bundle(ONE, 1);
    // Only the first receipt of the honest one.
    let total = u128::from(first.receipts[0].value().fen());
    first.after = vec![ledger::state::outbox::receipt_leaf(&first.receipts[1], total)];
    first.receipts.truncate(1);
    one.order_bundles(vec![first]);
    one.order_bundles(vec![second]);
    one.make_block(Vec::new());
    let found = difference(replay_feed(&one));
    assert_eq!((found.chain, found.height), (ONE, Height(one.blocks.len() as u64 - 1)));
    let Finding::OtherReceipts { source_chain, first, shown, computed } = found.finding else {
        panic!("{found}")
    };
    assert_eq!((source_chain, first), (ZERO, 1));
    assert_ne!(shown, computed);
}

/// Chain 0 was read before it sent what chain 1 has executed: the cut lies below that, and nothing is held against anybody.
#[test]
fn a_source_that_was_read_earlier_lowers_the_cut() {
    let [zero, one] = town();
    let mut early = zero.clone();
    let paid = zero.blocks.iter().position(|made| !made.execution.sent.is_empty()).unwrap();
    early.blocks.truncate(paid);
    let found = across(&early, &one).unwrap();
    let executed = one.blocks.iter().position(|made| !made.bundles.is_empty()).unwrap();
    assert_eq!(found.cut[&ZERO], Height(paid as u64));
    assert_eq!(found.cut[&ONE], Height(executed as u64));
    assert!(found.pairs.is_empty());
    assert_eq!(found.currencies[0].under_way, 0);
    // One chain alone is compared with nobody.
    let alone = compare_across(&one.network.spec, &[replay_feed(&one).unwrap()]).unwrap();
    assert_eq!(alone.currencies[0].missing, [ZERO]);
}
