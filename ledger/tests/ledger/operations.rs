//! Operations, one row per guard. Every row reads: who signs, what is asked, what it becomes; and a row that
//! is not applied changes nothing but the signer's nonce.

use ledger::records::wallet::{TIERS, WalletStatus};
use ledger::records::{ChainParams, Operation, Rejection, Tier};
use ledger::values::{Amount, ChainId, WalletId};

use crate::network::{Became, Network, Signer, pay};

const APPLIED: Became = Became::Applied;

const fn rejected(rejection: Rejection) -> Became {
    Became::Rejected(rejection)
}

/// Customers 0 (tier One, 1,000.00), 1 (tier Four, empty), 2 (tier Three, 100.00), 3 (frozen), 4 (closed), 5
/// (moved), 6 (tier Two, 60,000.00); 9 is not opened. Bank 1 holds 500.00.
fn town() -> Network {
    let mut network = Network::new();
    network.open(0..1, Tier::One);
    network.open(1..2, Tier::Four);
    network.open(2..3, Tier::Three);
    network.open(3..6, Tier::One);
    network.open(6..7, Tier::Two);
    for (customer, fen) in [(0, 100_000), (2, 10_000), (3, 5_000)] {
        network.fund(&network.customer(customer).wallet, fen);
    }
    network.fund(&network.customer(6).wallet, 3_000_000);
    network.fund(&network.customer(6).wallet, 3_000_000);
    network.fund(&network.operator(1).wallet, 50_000);
    network.plant(&network.customer(3).wallet, |wallet| wallet.status = WalletStatus::Frozen);
    network.plant(&network.customer(4).wallet, |wallet| wallet.status = WalletStatus::Closed);
    network
        .plant(&network.customer(5).wallet, |wallet| wallet.status = WalletStatus::Moved { to: ChainId(9) });
    network
}

/// Runs one row; an operation that is not applied must leave every balance and the supply alone.
fn row(network: &mut Network, name: &str, signer: &Signer, operation: Operation, expected: Became) {
    let before: Vec<u64> =
        (0..7).map(|customer| network.balance(&network.customer(customer).wallet)).collect();
    let (supply, records) = (network.state.head().supply.clone(), network.state.head().records);
    let sequence = network.next_sequence(&signer.wallet);
    assert_eq!(network.act(signer, operation), expected, "{name}");
    let used = network.next_sequence(&signer.wallet) == sequence + 1;
    assert!(used, "{name}: an executed transaction uses its nonce");
    if expected != APPLIED {
        let after: Vec<u64> =
            (0..7).map(|customer| network.balance(&network.customer(customer).wallet)).collect();
        assert_eq!(after, before, "{name}: a rejected transaction moves no money");
        assert_eq!(network.state.head().supply, supply, "{name}");
        assert_eq!(network.state.head().records, records, "{name}");
        assert!(network.heights.last().unwrap().2.history.is_empty(), "{name}: no history");
    }
}

#[test]
fn pay_row_by_row() {
    let mut network = town();
    let payer = network.customer(0);
    let [to_four, to_three, frozen, closed, moved, rich, unknown] =
        [1, 2, 3, 4, 5, 6, 9].map(|customer| network.customer(customer).wallet);
    let bank = network.operator(1).wallet;
    let (three_payer, rich_payer) = (network.customer(2), network.customer(6));
    let rows: Vec<(&str, &Signer, Vec<(WalletId, u64)>, Became)> = vec![
        ("one payee", &payer, vec![(to_four, 100)], APPLIED),
        ("the same payee twice", &payer, vec![(to_four, 100), (to_four, 200)], APPLIED),
        ("several payees", &payer, vec![(to_four, 1), (to_three, 2), (bank, 3)], APPLIED),
        ("nothing", &payer, vec![(to_four, 0)], rejected(Rejection::AmountZero)),
        ("nothing, second", &payer, vec![(to_four, 1), (to_three, 0)], rejected(Rejection::AmountZero)),
        ("itself", &payer, vec![(payer.wallet, 1)], rejected(Rejection::PayeeIsPayer)),
        ("itself, second", &payer, vec![(to_four, 1), (payer.wallet, 1)], rejected(Rejection::PayeeIsPayer)),
        (
            "itself goes before funds",
            &payer,
            vec![(payer.wallet, u64::MAX)],
            rejected(Rejection::PayeeIsPayer),
        ),
        ("a payment of its tier's limit", &rich_payer, vec![(bank, 5_000_000)], APPLIED),
        (
            "above its tier's limit",
            &rich_payer,
            vec![(bank, 5_000_001)],
            rejected(Rejection::PaymentAboveTierLimit),
        ),
        (
            "tier Three's limit",
            &three_payer,
            vec![(bank, 500_001)],
            rejected(Rejection::PaymentAboveTierLimit),
        ),
        ("overflow", &payer, vec![(bank, u64::MAX), (bank, 1)], rejected(Rejection::TotalOverflow)),
        ("one fen too much", &payer, vec![(bank, 99_595)], rejected(Rejection::InsufficientFunds)),
        (
            "too much in sum",
            &payer,
            vec![(bank, 99_000), (bank, 595)],
            rejected(Rejection::InsufficientFunds),
        ),
        (
            "funds go before the payee",
            &payer,
            vec![(unknown, 100_000)],
            rejected(Rejection::InsufficientFunds),
        ),
        ("nobody", &payer, vec![(unknown, 1)], rejected(Rejection::PayeeUnknown)),
        ("nobody, second", &payer, vec![(to_four, 1), (unknown, 1)], rejected(Rejection::PayeeUnknown)),
        ("frozen", &payer, vec![(frozen, 1)], rejected(Rejection::PayeeNotActive)),
        ("closed", &payer, vec![(closed, 1)], rejected(Rejection::PayeeNotActive)),
        ("moved: paid where it is", &payer, vec![(to_four, 1), (moved, 1)], APPLIED),
        ("an almost full purse", &rich_payer, vec![(to_four, 999_598)], APPLIED),
        ("fuller", &payer, vec![(to_four, 2)], rejected(Rejection::PayeeBalanceAboveTierLimit)),
        (
            "fuller in two",
            &payer,
            vec![(to_four, 1), (to_four, 1)],
            rejected(Rejection::PayeeBalanceAboveTierLimit),
        ),
        ("everything", &payer, vec![(bank, 99_592)], APPLIED),
        ("an empty wallet", &payer, vec![(rich, 1)], rejected(Rejection::InsufficientFunds)),
    ];
    let rows: Vec<_> =
        rows.into_iter().map(|(name, signer, to, became)| (name, signer.clone(), to, became)).collect();
    for (name, signer, payments, expected) in rows {
        row(&mut network, name, &signer, pay(&payments), expected);
    }
    let frozen = network.customer(3);
    row(&mut network, "a frozen payer", &frozen, pay(&[(bank, 0)]), rejected(Rejection::WalletFrozen));
    assert_eq!(network.balance(&payer.wallet), 0);
    assert_eq!(network.balance(&to_four), 402 + 999_598);
    assert_eq!(network.balance(&to_three), 10_002);
}

#[test]
fn a_pay_of_64_payees_is_all_or_none() {
    let mut network = Network::new();
    network.open(0..65, Tier::One);
    let payer = network.customer(64);
    network.fund(&payer.wallet, 64 * 10);
    let all: Vec<_> = (0..64).map(|customer| (network.customer(customer).wallet, 10)).collect();
    let mut last_unknown = all.clone();
    last_unknown[63].0 = network.customer(99).wallet;
    assert_eq!(network.act(&payer, pay(&last_unknown)), rejected(Rejection::PayeeUnknown));
    assert!(all.iter().all(|(payee, _)| network.balance(payee) == 0));
    assert_eq!(network.act(&payer, pay(&all)), APPLIED);
    assert!(all.iter().all(|(payee, _)| network.balance(payee) == 10));
    assert_eq!(network.balance(&payer.wallet), 0);
}

#[test]
fn open_wallets_row_by_row() {
    let mut network = town();
    let (bank, customer) = (network.operator(2), network.customer(0));
    let open = |wallets: &[(u64, Tier)]| {
        let wallets = wallets.iter().map(|(number, tier)| Network::new().opening(*number, *tier)).collect();
        Operation::OpenWallets { wallets }
    };
    let mut other_salt = Network::new().opening(20, Tier::Four);
    other_salt.salt = [8; 16];
    let other_salt = Operation::OpenWallets { wallets: vec![other_salt] };
    let rows = [
        ("a customer signs", &customer, open(&[(20, Tier::Four)]), rejected(Rejection::SignerNotOperator)),
        ("an operator's tier", &bank, open(&[(20, Tier::Operator)]), rejected(Rejection::TierNotAllowed)),
        (
            "every customer tier",
            &bank,
            open(&[(20, Tier::One), (21, Tier::Two), (22, Tier::Three), (23, Tier::Four)]),
            APPLIED,
        ),
        ("again", &bank, open(&[(20, Tier::One)]), rejected(Rejection::WalletExists)),
        ("again in another tier", &bank, open(&[(20, Tier::Two)]), rejected(Rejection::WalletExists)),
        (
            "one of two exists",
            &bank,
            open(&[(24, Tier::One), (21, Tier::One)]),
            rejected(Rejection::WalletExists),
        ),
        ("twice in one", &bank, open(&[(24, Tier::One), (24, Tier::Two)]), rejected(Rejection::WalletExists)),
        ("another salt", &bank, other_salt, APPLIED),
    ];
    for (name, signer, operation, expected) in rows {
        row(&mut network, name, signer, operation, expected);
    }
    let opened = network.wallet(&network.customer(22).wallet).unwrap();
    assert_eq!((opened.tier, opened.operator.0, opened.balance), (Tier::Three, 2, Amount::ZERO));
    assert_eq!(opened.policy, network.opening(22, Tier::Three).policy);
    assert!(network.wallet(&network.customer(24).wallet).is_none());
}

#[test]
fn issue_row_by_row() {
    let mut params = ChainParams::default();
    params.tiers[0].balance_max = Amount::from_fen(1_000);
    let mut network = Network::with_params(params);
    network.open(0..7, Tier::One);
    let (central, bank, customer) = (network.operator(0), network.operator(1), network.customer(0));
    let unknown = network.customer(9).wallet;
    network.plant(&network.operator(3).wallet, |wallet| wallet.status = WalletStatus::Frozen);
    let issue = |to: WalletId, fen| Operation::Issue { to, amount: Amount::from_fen(fen) };
    let frozen = network.operator(3).wallet;
    let rows = [
        ("to a bank", &central, issue(bank.wallet, 600), APPLIED),
        ("to itself", &central, issue(central.wallet, 1), APPLIED),
        ("nothing", &central, issue(bank.wallet, 0), rejected(Rejection::AmountZero)),
        ("to nobody", &central, issue(unknown, 1), rejected(Rejection::PayeeUnknown)),
        ("to a frozen wallet", &central, issue(frozen, 1), rejected(Rejection::PayeeNotActive)),
        (
            "above the tier",
            &central,
            issue(bank.wallet, 401),
            rejected(Rejection::PayeeBalanceAboveTierLimit),
        ),
        ("to the tier's limit", &central, issue(bank.wallet, 400), APPLIED),
        ("by a bank", &bank, issue(network.operator(2).wallet, 1), rejected(Rejection::SignerNotCentralBank)),
        (
            "by a customer",
            &customer,
            issue(network.operator(2).wallet, 1),
            rejected(Rejection::SignerNotCentralBank),
        ),
        ("to a customer", &central, issue(customer.wallet, 1), rejected(Rejection::PayeeNotOperator)),
    ]
    .map(|(name, signer, operation, expected)| (name, signer.clone(), operation, expected));
    for (name, signer, operation, expected) in rows {
        row(&mut network, name, &signer, operation, expected);
    }
    assert_eq!(network.balance(&bank.wallet), 1_000);
    assert_eq!(network.state.head().supply.issued, Amount::from_fen(1_001));
}

#[test]
fn more_than_a_chain_may_issue_is_never_issued() {
    let mut network = Network::new();
    let (central, bank) = (network.operator(0), network.operator(1));
    let issue = |fen| Operation::Issue { to: bank.wallet, amount: Amount::from_fen(fen) };
    assert_eq!(network.act(&central, issue(u64::MAX)), rejected(Rejection::SupplyOverflow));
    assert_eq!(network.act(&central, issue(1 << 55)), APPLIED);
    assert_eq!(network.act(&central, issue(u64::MAX)), rejected(Rejection::PayeeBalanceAboveTierLimit));
    assert_eq!(network.act(&bank, Operation::Redeem { amount: Amount::from_fen(5) }), APPLIED);
    assert_eq!(network.act(&central, issue(1)), rejected(Rejection::SupplyOverflow));
}

#[test]
fn redeem_row_by_row() {
    let mut network = town();
    let (bank, customer) = (network.operator(1), network.customer(0));
    let redeem = |fen| Operation::Redeem { amount: Amount::from_fen(fen) };
    let rows = [
        ("nothing", &bank, redeem(0), rejected(Rejection::AmountZero)),
        ("too much", &bank, redeem(50_001), rejected(Rejection::InsufficientFunds)),
        ("by a customer", &customer, redeem(1), rejected(Rejection::SignerNotOperator)),
        ("a part", &bank, redeem(1), APPLIED),
        ("the rest", &bank, redeem(49_999), APPLIED),
        ("from an empty wallet", &bank, redeem(1), rejected(Rejection::InsufficientFunds)),
    ];
    for (name, signer, operation, expected) in rows {
        row(&mut network, name, signer, operation, expected);
    }
    let supply = &network.state.head().supply;
    assert_eq!(supply.redeemed, Amount::from_fen(50_000));
    assert_eq!(supply.holdings.fen(), supply.issued.fen() - 50_000);
}

/// Each rejection code, its transience and its text are part of the protocol.
#[test]
fn rejections_are_numbered_in_order() {
    let codes: Vec<u16> = Rejection::ALL.iter().map(|rejection| rejection.code()).collect();
    assert!(codes.is_sorted_by(|left, right| left < right));
    for rejection in Rejection::ALL {
        assert_eq!(Rejection::from_code(rejection.code()), Some(*rejection));
        assert!(!rejection.mend().is_empty());
    }
    assert_eq!(Rejection::InsufficientFunds.name(), "insufficient_funds");
    assert_eq!(Rejection::from_code(0), None);
    assert_eq!(TIERS.len(), ChainParams::default().tiers.len());
}
