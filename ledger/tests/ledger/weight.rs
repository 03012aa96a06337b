//! What things weigh: one row per part of the table.

use ledger::records::batch::{BATCH_TRANSACTIONS_MAX, BATCH_WEIGHT_MAX};
use ledger::records::{
    Batch, Change, FeeParams, Operation, Policy, PolicySignature, Sponsor, Tier, Transaction,
};
use ledger::rules::lock::LOCK_TTL_MS_MAX;
use ledger::rules::weight::{
    BATCH_HEADER_WEIGHT, CHANGE_WEIGHT, LONE_SIGNATURE_WEIGHT, RECEIPT_WEIGHT, RECORD_WEIGHT,
    SIGNATURE_WEIGHT, TRANSACTION_WEIGHT,
};
use ledger::rules::{
    BatchFacts, BatchFault, batch_weight, bundle_weight, check_batch, content_weight, transaction_weight,
};
use ledger::values::{Amount, Canonical as _, ChainId, LockId, OperatorId, SecretKey, TimestampMs, WalletId};

use crate::chains::{CUSTOMERS, World};
use crate::exchange::{offer, town};
use crate::governance::{approved, fifth_bank, proposal};
use crate::network::{CHAIN, Network, customer_key, pay};
use crate::samples::{asked, sponsored, two_of_three};

/// Name, transaction, signatures, records.
fn table() -> Vec<(&'static str, Transaction, u64, u64)> {
    let network = Network::new();
    let (bank, customer) = (network.operator(1), network.customer(0));
    let of = |operation| network.transaction(&bank, 1, operation);
    let openings = |count: u64| Operation::OpenWallets {
        wallets: (0..count).map(|number| network.opening(number, Tier::One)).collect(),
    };
    let (payee, amount, deadline) = (customer.wallet, Amount::from_fen(1), TimestampMs(1));
    let (lock, chain, operator) = (LockId([1; 32]), ChainId(1), OperatorId(1));
    let exchange = Operation::Exchange { payee, amount, chain, asked: asked(), deadline };
    let accept = Operation::Accept { offer: lock, payee, amount, receives: amount, source: chain, to: payee };
    let changes = vec![
        Change::SpendFees { chain: CHAIN, operator, amount },
        Change::RetireOperator { operator },
        Change::AddOperator(fifth_bank()),
    ];
    let govern = approved(network.genesis, proposal(&network, changes), &[1, 2, 4]);
    let mut tipped = network.content(&bank, 1, pay(&[(payee, 1)]));
    tipped.fee.fee_max = amount;
    let bid_without_tip = tipped.clone().signed_by(network.genesis, &bank.key);
    tipped.fee.tip = amount;
    let tipped = tipped.signed_by(network.genesis, &bank.key);
    vec![
        ("pay", of(pay(&[(payee, 1)])), 1, 2),
        ("pay 64", of(pay(&[(payee, 1); 64])), 1, 65),
        ("open", of(openings(1)), 1, 2),
        ("open 64", of(openings(64)), 1, 65),
        ("issue", of(Operation::Issue { to: payee, amount }), 1, 1),
        ("redeem", of(Operation::Redeem { amount }), 1, 1),
        ("lock", of(Operation::Lock { payee, amount, hash: [1; 32], deadline }), 1, 3),
        ("claim", of(Operation::Claim { lock, preimage: [1; 32] }), 1, 2),
        ("exchange", of(exchange), 1, 3),
        ("accept", of(accept), 1, 3),
        ("decline", of(Operation::Decline { offer: lock }), 1, 2),
        ("withdraw", of(Operation::Withdraw { lock }), 1, 2),
        ("govern", of(govern), 1, 3),
        ("two of three", two_of_three(&network), 2, 3),
        ("sponsored by two of three, with a tip", sponsored(&network), 1 + 2, 4),
        ("a bid", bid_without_tip, 1, 2),
        ("a tip", tipped, 1, 3),
    ]
}

#[test]
fn transactions_row_by_row() {
    for (name, transaction, signatures, records) in table() {
        // The only proposal of the table has three approvals and three changes.
        let is_govern = matches!(transaction.content.operation, Operation::Govern { .. });
        let govern = if is_govern { 3 * LONE_SIGNATURE_WEIGHT + 3 * CHANGE_WEIGHT } else { 0 };
        let expected = TRANSACTION_WEIGHT
            + transaction.encode().len() as u64
            + SIGNATURE_WEIGHT * signatures
            + RECORD_WEIGHT * records
            + govern;
        assert_eq!(transaction_weight(&transaction), expected, "{name}");
        assert_eq!(content_weight(&transaction.content), expected, "{name}, before it is signed");
    }
}

#[test]
fn batches_and_bundles_weigh_what_their_parts_do() {
    let mut network = Network::new();
    let transactions: Vec<Transaction> =
        table().into_iter().map(|(_, transaction, ..)| transaction).collect();
    let parts: u64 = transactions.iter().map(transaction_weight).sum();
    let (digest, batch) = network.seal(transactions);
    assert_eq!(batch_weight(&batch), BATCH_HEADER_WEIGHT + parts);
    assert_eq!(batch.weight(), batch_weight(&batch));
    assert_eq!(BatchFacts::of(digest, &batch).weight, batch.weight());
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    world.act(home, &payer, pay(&[(payee.wallet, 1), (payee.wallet, 2)]));
    world.run(home, Vec::new(), Vec::new());
    let bundle = world.bundle(home, ChainId(away as u32), 0, 0, usize::MAX).unwrap();
    let (bytes, votes) = (bundle.encode().len() as u64, 3 * LONE_SIGNATURE_WEIGHT);
    assert_eq!(bundle_weight(&bundle), bytes + votes + RECEIPT_WEIGHT * 2);
    assert_eq!(bundle.receipts.len(), 2);
    let mut world = town();
    let deal = offer(&mut world, true, 0, 0, (700, 300), LOCK_TTL_MS_MAX).unwrap();
    world.run(deal.source, Vec::new(), Vec::new());
    let bundle = world.bundle(deal.source, ChainId(deal.decider as u32), 0, 0, usize::MAX).unwrap();
    let bytes = bundle.encode().len() as u64;
    assert_eq!(
        bundle_weight(&bundle),
        bytes + votes + RECEIPT_WEIGHT * 2,
        "an offer makes a record and its name"
    );
    assert_eq!(bundle.receipts.len(), 1);
}

/// Why bundles are not in a header's weight: what fans out weighs more where it arrives than where it was paid for.
#[test]
fn a_payment_to_many_weighs_more_where_it_arrives() {
    let mut world = World::town();
    let (home, payer) = world.customer(0);
    let (away, payee) = (1..CUSTOMERS).map(|n| world.customer(n)).find(|(there, _)| *there != home).unwrap();
    let network = &world.chains[home];
    let sequence = network.next_sequence(&payer.wallet);
    let one = network.transaction(&payer, sequence, pay(&[(payee.wallet, 1)]));
    let many = network.transaction(&payer, sequence, pay(&[(payee.wallet, 1); 64]));
    assert_eq!((transaction_weight(&one), transaction_weight(&many)), (941, 14_801));
    let at_ceiling = FeeParams::default().rate_max.due(transaction_weight(&one));
    assert_eq!(at_ceiling, Amount::from_fen(9_410), "what one payment costs at most");
    world.run(home, vec![many], Vec::new());
    world.run(home, Vec::new(), Vec::new());
    let bundle = world.bundle(home, ChainId(away as u32), 0, 0, usize::MAX).unwrap();
    assert_eq!(bundle.receipts.len(), 64);
    let credits: Vec<u64> =
        bundle.receipts.iter().map(|credit| credit.encode().len() as u64 + RECEIPT_WEIGHT).collect();
    assert_eq!((credits[0], credits.iter().sum::<u64>()), (291, 18_624));
    assert!(bundle_weight(&bundle) > 18_624, "and its proof besides");
}

/// As many single payments as a batch may hold fit; heavier ones do not, though they are short of every other bound.
#[test]
fn a_batch_has_a_greatest_weight() {
    let mut network = Network::new();
    let payment = network.transaction(&network.customer(0), 1, pay(&[(network.customer(1).wallet, 1)]));
    let weight = transaction_weight(&payment);
    assert!(BATCH_HEADER_WEIGHT + weight * BATCH_TRANSACTIONS_MAX as u64 <= BATCH_WEIGHT_MAX);
    let keys: Vec<SecretKey> = (0..16).map(customer_key).collect();
    let policy = Policy::new(16, keys.iter().map(SecretKey::public_key).collect()).unwrap();
    let mut heavy = payment;
    heavy.content.fee.sponsor = Some(Sponsor { wallet: WalletId([5; 32]), policy: policy.clone() });
    let signature = heavy.signatures[0].signature;
    heavy.sponsor_signatures = (0..16).map(|key| PolicySignature { key, signature }).collect();
    heavy.content.policy = policy;
    heavy.signatures.clone_from(&heavy.sponsor_signatures);
    let most = (BATCH_WEIGHT_MAX - BATCH_HEADER_WEIGHT) / transaction_weight(&heavy);
    let rules = network.state.rules().clone();
    let mut sealed = |count: u64| network.seal(vec![heavy.clone(); count as usize]);
    let (digest, batch) = sealed(most);
    assert_eq!(check_batch(&rules, &batch), Ok(digest));
    let (_, batch) = sealed(most + 1);
    assert!(Batch::decode(&batch.encode()).is_ok(), "short enough");
    let fault = BatchFault::TooHeavy { weight: batch.weight() };
    assert_eq!(check_batch(&rules, &batch), Err(fault));
    assert_eq!(fault.code(), 506);
}
