//! Every refusal of a payment over REST: one row per case, with the stable code, the field and a mend; nothing changes.
//!
//! The same rows go in one by one as JSON and all together in one binary body: both say the same.

use std::time::Duration;

use api::ClientError;
use api::bulk::encode_body;
use api::error::ApiError;
use api::transaction::{SubmitRequest, SubmitStatus};
use api::wallet::LaneView;
use genesis::dev::{Localnet, OperatorSecrets};
use ledger::records::transaction::TRANSACTION_BYTES_MAX;
use ledger::records::{
    Approval, Asked, Change, Operation, Payment, Policy, Proposal, Sponsor, Transaction, TransactionContent,
};
use ledger::values::{
    Amount, Canonical as _, ChainId, Currency, GenesisHash, LockId, NodeIndex, SecretKey, TimestampMs,
    WalletId,
};
use system::{Cluster, Payer};

const WAIT: Duration = Duration::from_secs(30);

/// A payment that must not be taken in.
struct Row {
    case: &'static str,
    bytes: Vec<u8>,
    code: u32,
    name: &'static str,
    field: Option<&'static str>,
}

fn row(case: &'static str, bytes: Vec<u8>, code: u32, name: &'static str, field: &'static str) -> Row {
    Row { case, bytes, code, name, field: Some(field) }
}

/// What must not change. (The state root does with every block: it holds their timestamps.)
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    balances_fen: Vec<u64>,
    lanes: Vec<Vec<LaneView>>,
    records: u64,
    holdings_fen: u64,
}

async fn picture(client: &api::Client, wallets: &[WalletId]) -> Picture {
    let (mut balances_fen, mut lanes) = (Vec::new(), Vec::new());
    for wallet in wallets {
        let view = client.wallet(*wallet, None).await.unwrap();
        balances_fen.push(view.balance_fen);
        lanes.push(view.lanes);
    }
    let progress = client.chains().await.unwrap().chains[0].progress.clone().unwrap();
    Picture { balances_fen, lanes, records: progress.records, holdings_fen: progress.supply.holdings_fen }
}

fn pay(to: WalletId, fen: u64) -> Operation {
    Operation::Pay { payments: vec![Payment { payee: to, amount: Amount::from_fen(fen) }] }
}

/// A good payment of the bank with the next nonce, changed before it is signed.
fn changed(bank: &Payer, payee: WalletId, change: impl FnOnce(&mut TransactionContent)) -> Transaction {
    let mut content = bank.sign(2, pay(payee, 10)).content;
    change(&mut content);
    content.signed_by(bank.genesis, &bank.key)
}

/// `used` is a nonce that an executed transaction of the bank holds; the next one is free.
fn rows(bank: &Payer, payee: WalletId) -> Vec<Row> {
    let mut rows = encoding_rows(bank, payee);
    rows.extend(envelope_rows(bank, payee));
    rows.extend(payment_rows(bank, payee));
    rows.extend(lock_rows(bank, payee));
    rows
}

/// Locks, and exchanges in a network that has no other currency.
fn lock_rows(bank: &Payer, payee: WalletId) -> Vec<Row> {
    const DAY_MS: u64 = 86_400_000;
    let signed = |operation| bank.sign(2, operation).encode();
    let fen = Amount::from_fen;
    let now = bank.sign(2, pay(payee, 1)).content.valid_until.0 - 600_000;
    let later = TimestampMs(now + 600_000);
    let lock = |payee, amount, deadline| Operation::Lock { payee, amount, hash: [1; 32], deadline };
    let asked = Asked { payer: WalletId([3; 32]), payee: WalletId([4; 32]), amount: fen(1) };
    let exchange = |chain| {
        let (amount, chain) = (fen(1), ChainId(chain));
        Operation::Exchange { payee, amount, chain, asked, deadline: later }
    };
    let unknown = LockId([9; 32]);
    let (amount, receives, source) = (fen(1), fen(1), ChainId(0));
    let accept = Operation::Accept { offer: unknown, payee, amount, receives, source, to: payee };
    let claim = Operation::Claim { lock: unknown, preimage: [1; 32] };
    let soon = lock(payee, fen(1), TimestampMs(now + 5_000));
    let far = lock(payee, fen(1), TimestampMs(now + 31 * DAY_MS));
    let itself = lock(bank.wallet, fen(1), later);
    vec![
        row(
            "a lock of nothing",
            signed(lock(payee, fen(0), later)),
            11_201,
            "amount_zero",
            "operation.amount",
        ),
        row("a lock for oneself", signed(itself), 11_202, "payee_is_payer", "operation.payee"),
        row(
            "more locked than there is",
            signed(lock(payee, fen(1_001), later)),
            11_205,
            "insufficient_funds",
            "operation.amount",
        ),
        row(
            "less than is locked",
            signed(lock(payee, fen(99), later)),
            11_533,
            "lock_amount_too_small",
            "operation.amount",
        ),
        row("a deadline that is near", signed(soon), 11_513, "deadline_too_near", "operation.deadline"),
        row("a deadline in a month", signed(far), 11_514, "deadline_too_far", "operation.deadline"),
        row("an exchange with no chain", signed(exchange(9)), 11_511, "chain_unknown", "operation.chain"),
        row("an exchange for the same", signed(exchange(0)), 11_512, "same_currency", "operation.chain"),
        row("a claim of no lock", signed(claim), 11_517, "lock_unknown", "operation.lock"),
        row("an acceptance of no offer", signed(accept), 11_525, "offer_unknown", "operation.offer"),
        row(
            "a no to no offer",
            signed(Operation::Decline { offer: unknown }),
            11_525,
            "offer_unknown",
            "operation.offer",
        ),
        row(
            "a withdrawal of no lock",
            signed(Operation::Withdraw { lock: unknown }),
            11_517,
            "lock_unknown",
            "operation.lock",
        ),
    ]
}

/// Proposals that do not stand: too late, of another version, without enough valid approvals, or that do not fit.
fn govern_rows(bank: &Payer, localnet: &Localnet) -> Vec<Row> {
    let valid_until = bank.sign(2, pay(bank.wallet, 1)).content.valid_until;
    let move_node =
        |node| vec![Change::MoveNode { node: NodeIndex(node), address: "bank.example:7000".into() }];
    let proposal =
        |changes| Proposal { version: 0, valid_until, is_urgent: false, reason: "a test".into(), changes };
    let operators: Vec<_> = localnet.banks.iter().map(|bank| &bank.operator).collect();
    let approve = |proposal: &Proposal, count: usize| -> Vec<Approval> {
        let approve =
            |operator: &&OperatorSecrets| proposal.approve(bank.genesis, operator.id, &operator.operator_key);
        operators.iter().take(count).map(approve).collect()
    };
    let signed = |proposal: Proposal, approvals: Vec<Approval>| {
        bank.sign(2, Operation::Govern { proposal, approvals }).encode()
    };
    let approved = |proposal: Proposal| {
        let approvals = approve(&proposal, 3);
        signed(proposal, approvals)
    };
    let good = proposal(move_node(0));
    let late = Proposal { valid_until: TimestampMs(1), ..good.clone() };
    let ahead = Proposal { version: 9, ..good.clone() };
    let central = &localnet.central_bank;
    let mut strangers = approve(&good, 3);
    strangers.insert(0, good.approve(bank.genesis, central.id, &central.operator_key));
    let mut stolen = approve(&good, 3);
    stolen[1].signature = stolen[0].signature;
    let (approvals, changes) = ("operation.approvals", "operation.proposal.changes");
    let retire = proposal(vec![Change::RetireOperator { operator: operators[0].id }]);
    let (until, version) = ("operation.proposal.valid_until", "operation.proposal.version");
    vec![
        row("a proposal that is late", approved(late), 11_802, "proposal_expired", until),
        row("a proposal ahead", approved(ahead), 11_803, "proposal_version_unknown", version),
        row(
            "a stranger approves",
            signed(good.clone(), strangers),
            11_805,
            "approver_not_in_council",
            approvals,
        ),
        row(
            "two approve",
            signed(good.clone(), approve(&good, 2)),
            11_806,
            "approvals_below_quorum",
            approvals,
        ),
        row("a copied approval", signed(good.clone(), stolen), 11_808, "approval_invalid", approvals),
        row("an unknown node", approved(proposal(move_node(9))), 11_815, "change_node_unknown", changes),
        row("three validators", approved(retire), 11_822, "change_too_few_validators", changes),
    ]
}

fn encoding_rows(bank: &Payer, payee: WalletId) -> Vec<Row> {
    let good = bank.sign(2, pay(payee, 10)).encode();
    let mut trailing = good.clone();
    trailing.push(0);
    let no_payments =
        changed(bank, payee, |content| content.operation = Operation::Pay { payments: Vec::new() });
    let sequence_zero = changed(bank, payee, |content| content.nonce.sequence = 0);
    let lane_high = changed(bank, payee, |content| content.nonce.lane = 16);
    let cut = good[..good.len() - 1].to_vec();
    vec![
        row("malformed", vec![7; 40], 1_103, "transaction_not_canonical", "transaction"),
        row("cut short", cut, 1_103, "transaction_not_canonical", "transaction"),
        row("with a trailing byte", trailing, 1_103, "transaction_not_canonical", "transaction"),
        row("oversized", vec![0; TRANSACTION_BYTES_MAX + 1], 1_102, "transaction_too_large", "transaction"),
        row(
            "no payments",
            no_payments.encode(),
            1_104,
            "transaction_field_out_of_range",
            "operation.payments",
        ),
        row("sequence 0", sequence_zero.encode(), 1_104, "transaction_field_out_of_range", "nonce.sequence"),
        row("lane 16", lane_high.encode(), 1_104, "transaction_field_out_of_range", "nonce.lane"),
    ]
}

fn envelope_rows(bank: &Payer, payee: WalletId) -> Vec<Row> {
    let stranger = SecretKey::from_seed([99; 32]);
    let mut forged = bank.sign(2, pay(payee, 10));
    forged.signatures = vec![forged.content.sign(bank.genesis, 0, &stranger)];
    let other_genesis = {
        // The first four bytes agree, so only the signature tells the networks apart.
        let mut hash = bank.genesis.0;
        hash[31] ^= 1;
        bank.sign(2, pay(payee, 10)).content.signed_by(GenesisHash(hash), &bank.key)
    };
    let wrong_network = changed(bank, payee, |content| content.network[0] ^= 1);
    let wrong_chain = changed(bank, payee, |content| content.chain = ChainId(9));
    let expired = changed(bank, payee, |content| content.valid_until.0 -= 700_000);
    let too_far =
        changed(bank, payee, |content| content.valid_until = TimestampMs(content.valid_until.0 + 7_200_000));
    let tip = changed(bank, payee, |content| {
        content.fee.fee_max = Amount::from_fen(5);
        content.fee.tip = Amount::from_fen(6);
    });
    let sponsored = |wallet| {
        changed(bank, payee, |content| {
            let policy = Policy::single(stranger.public_key());
            content.fee.sponsor = Some(Sponsor { wallet, policy });
        })
    };
    let signed_with = |sponsored: Transaction, key: &SecretKey| {
        let signature = sponsored.content.sign_as_sponsor(bank.genesis, 0, key);
        Transaction { sponsor_signatures: vec![signature], ..sponsored }
    };
    let stolen = signed_with(sponsored(payee), &bank.key);
    let nobody_sponsors = signed_with(sponsored(WalletId([3; 32])), &stranger);
    let other_sponsor_policy = signed_with(sponsored(payee), &stranger);
    let far_ahead = changed(bank, payee, |content| content.nonce.sequence = 1_000);
    let replayed = changed(bank, payee, |content| content.nonce.sequence = 1);
    let mut unknown = bank.sign(2, pay(payee, 10)).content;
    unknown.policy = Policy::single(stranger.public_key());
    unknown.wallet =
        WalletId::derive(bank.genesis, Currency(*b"CNY"), unknown.policy.hash(), &Default::default());
    let unknown = unknown.signed_by(bank.genesis, &stranger);
    let mut other_policy = bank.sign(2, pay(payee, 10)).content;
    other_policy.policy = Policy::single(stranger.public_key());
    let other_policy = other_policy.signed_by(bank.genesis, &stranger);
    vec![
        row("signed by another key", forged.encode(), 11_055, "signature_invalid", "signatures"),
        row("signed for another genesis", other_genesis.encode(), 11_055, "signature_invalid", "signatures"),
        row("wrong network", wrong_network.encode(), 11_052, "wrong_network", "network"),
        row("wrong chain", wrong_chain.encode(), 11_053, "wrong_chain", "chain"),
        row("expired", expired.encode(), 11_003, "expired", "valid_until"),
        row("valid too long", too_far.encode(), 11_004, "valid_until_too_far", "valid_until"),
        row("a tip above fee_max", tip.encode(), 1_104, "transaction_field_out_of_range", "fee.tip"),
        row(
            "a sponsor that did not sign",
            sponsored(payee).encode(),
            1_104,
            "transaction_field_out_of_range",
            "sponsor_signatures",
        ),
        row("another's signature for a sponsor", stolen.encode(), 11_055, "signature_invalid", "signatures"),
        row("unknown sponsor", nobody_sponsors.encode(), 11_014, "sponsor_unknown", "fee.sponsor.wallet"),
        row(
            "keys that are not the sponsor's",
            other_sponsor_policy.encode(),
            11_015,
            "sponsor_policy_mismatch",
            "fee.sponsor.policy",
        ),
        row("nonce of another transaction", replayed.encode(), 11_010, "nonce_used", "nonce.sequence"),
        row("nonce too far ahead", far_ahead.encode(), 11_012, "nonce_too_far_ahead", "nonce.sequence"),
        row("unknown payer", unknown.encode(), 11_005, "wallet_unknown", "wallet"),
        row("keys that are not the wallet's", other_policy.encode(), 11_006, "policy_mismatch", "policy"),
    ]
}

fn payment_rows(bank: &Payer, payee: WalletId) -> Vec<Row> {
    let signed = |operation| bank.sign(2, operation).encode();
    let nobody = WalletId([3; 32]);
    let two = |fen| {
        let payment = Payment { payee, amount: Amount::from_fen(fen) };
        Operation::Pay { payments: vec![payment; 2] }
    };
    let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1) };
    vec![
        row(
            "underfunded",
            signed(pay(payee, 1_001)),
            11_205,
            "insufficient_funds",
            "operation.payments.amount",
        ),
        row(
            "underfunded together",
            signed(two(600)),
            11_205,
            "insufficient_funds",
            "operation.payments.amount",
        ),
        row("overflowing", signed(two(u64::MAX)), 11_204, "total_overflow", "operation.payments.amount"),
        row("zero", signed(pay(payee, 0)), 11_201, "amount_zero", "operation.payments.amount"),
        row("to itself", signed(pay(bank.wallet, 10)), 11_202, "payee_is_payer", "operation.payments.payee"),
        row("unknown payee", signed(pay(nobody, 10)), 11_206, "payee_unknown", "operation.payments.payee"),
        row("money from a bank", signed(issue), 11_401, "signer_not_central_bank", "wallet"),
    ]
}

fn refusal(case: &str, answer: Result<api::transaction::SubmitAnswer, ClientError>) -> ApiError {
    match answer {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("{case}: not refused but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_payment_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    cluster.start_all().await;
    let central = &cluster.localnet.central_bank;
    let operator = &cluster.localnet.banks[0].operator;
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let bank = Payer::operator(&cluster.localnet, operator.id, &operator.wallet_key);
    let client = cluster.client(1);

    let issue = central.sign(1, Operation::Issue { to: bank.wallet, amount: Amount::from_fen(1_300) });
    client.submit(&issue).await.unwrap();
    client.wait_certified(issue.id(central.genesis), WAIT).await.unwrap();
    let first = bank.sign(1, pay(central.wallet, 300));
    let rival = bank.sign(1, pay(central.wallet, 299));
    let answers = client.submit_bulk(&[first.clone(), rival.clone(), first.clone()]).await.unwrap();
    let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.code)).collect();
    let nonce_waiting = (SubmitStatus::Refused, 1_105);
    assert_eq!(told, [(SubmitStatus::Accepted, 0), nonce_waiting, (SubmitStatus::AlreadyKnown, 0)]);
    client.wait_certified(first.id(bank.genesis), WAIT).await.unwrap();

    let wallets = [bank.wallet, central.wallet];
    let before = picture(&client, &wallets).await;
    assert_eq!(before.balances_fen, [1_000, 300]);
    let mut rows = rows(&bank, central.wallet);
    rows.extend(govern_rows(&bank, &cluster.localnet));
    for row in &rows {
        let request = SubmitRequest { transaction: hex(&row.bytes) };
        let refused = refusal(row.case, client.submit_request(&request).await);
        println!(
            "{:32} {:5} {:32} {:?}: {}",
            row.case, refused.code, refused.name, refused.field, refused.mend
        );
        assert_eq!((refused.code, refused.name.as_str()), (row.code, row.name), "{}: {refused}", row.case);
        assert_eq!(refused.field.as_deref(), row.field, "{}: {refused}", row.case);
        assert!(!refused.mend.is_empty() && !refused.message.is_empty(), "{}: {refused:?}", row.case);
    }
    // All together, as one body: one answer each, with the same codes.
    let body = encode_body(rows.iter().map(|row| row.bytes.as_slice())).unwrap();
    let answers = client.submit_bulk_body(body, rows.len()).await.unwrap();
    for (row, answer) in rows.iter().zip(answers) {
        assert_eq!((answer.status, answer.code), (SubmitStatus::Refused, row.code), "{} in bulk", row.case);
    }
    bodies_that_hold_no_transaction(&client).await;

    // The very same transaction is no fault: it is known, and executed once.
    let again = client.submit(&first).await.unwrap();
    assert_eq!((again.status, again.id), (SubmitStatus::AlreadyKnown, Some(first.id(bank.genesis))));
    assert_eq!(picture(&client, &wallets).await, before);

    // One more good payment pushes everything through: what was refused would be in the state of every bank by now.
    let last = bank.sign(2, pay(central.wallet, 1));
    client.submit(&last).await.unwrap();
    for index in 0..4 {
        let client = cluster.client(index);
        client.wait_certified(last.id(bank.genesis), WAIT).await.unwrap();
        assert_eq!(client.wallet(bank.wallet, None).await.unwrap().balance_fen, 999, "bank {index}");
    }
    cluster.stop_all().await;
}

async fn bodies_that_hold_no_transaction(client: &api::Client) {
    let not_hex = SubmitRequest { transaction: "zz".to_owned() };
    let refused = refusal("not hexadecimal", client.submit_request(&not_hex).await);
    assert_eq!((refused.code, refused.field.as_deref()), (1_101, Some("transaction")));
    let large = SubmitRequest { transaction: "00".repeat(3 * TRANSACTION_BYTES_MAX) };
    let refused = refusal("a body above the limit", client.submit_request(&large).await);
    assert_eq!((refused.code, refused.field.as_deref()), (1_003, Some("body")));
    match client.submit_bulk_body(vec![9, 0, 0, 0, 1], 1).await {
        Err(ClientError::Refused(refused)) => {
            assert_eq!((refused.code, refused.name.as_str()), (1_005, "malformed_bulk"))
        }
        other => panic!("a cut bulk body: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
