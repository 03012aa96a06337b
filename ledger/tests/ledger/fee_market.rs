//! Charging: who pays, who gets it, and what a forecast says of it. One row per way that a bid can go.

use ledger::proofs::replay::{HeightRecord, Replay};
use ledger::records::{
    ChainParams, FeeBid, FeeParams, MovementKind, NotExecuted, Operation, Policy, Rejection, Sponsor, Tier,
    Transaction, TransactionContent, WalletStatus,
};
use ledger::rules::block_validity::check_parent;
use ledger::rules::{BlockFault, Forecast, ParentFacts, content_weight, next_base_fee, transaction_weight};
use ledger::values::hash::sha256;
use ledger::values::{Amount, ChainId, FeeRate, OperatorId, Sequential, TimestampMs, WalletId};

use crate::network::{Became, CHAIN, NO_BUNDLES, Network, Signer, became, pay};

/// One fen per unit of weight: what is due is the weight.
pub(crate) const ONE_FEN: FeeRate = FeeRate::from_micro_fen(1_000_000);
pub(crate) const QUORUM: [u16; 3] = [1, 2, 4];
/// What the customers have, in fen. The third is poor, the fifth has less than the payment and its fee, the sixth owes no base fee.
pub(crate) const PURSES: [u64; 6] = [100_000, 100_000, 5, 100_000, 1_100, 100_000];
const SPONSOR: u64 = 3;
const POOR: u64 = 2;
pub(crate) const EXEMPT: u64 = 5;
/// What every row pays.
const PAID: u64 = 1_000;

pub(crate) fn fen(fen: u64) -> Amount {
    Amount::from_fen(fen)
}

/// A town that costs one fen per unit of weight from now on.
pub(crate) fn town() -> Network {
    let mut params = ChainParams::default();
    params.tiers[4].is_fee_exempt = true;
    let mut network = Network::with_params(params);
    network.open(0..5, Tier::One);
    network.open(5..6, Tier::Four);
    for (number, balance) in (0..).zip(PURSES) {
        network.fund(&network.customer(number).wallet, balance);
    }
    network.base_fee = Some(ONE_FEN);
    network
}

/// What a transaction became, what its outcome says was charged, and by how much everybody's money changed, in fen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charged {
    became: Became,
    fee: u64,
    signer: i128,
    sponsor: i128,
    operator: i128,
    pool: i128,
}

const NOTHING: Charged =
    Charged { became: Became::Applied, fee: 0, signer: 0, sponsor: 0, operator: 0, pool: 0 };

fn applied(fee: u64) -> Charged {
    let (due, paid) = (i128::from(fee), i128::from(PAID));
    Charged { fee, signer: -paid - due, pool: due, ..NOTHING }
}

fn rejected(rejection: Rejection) -> Charged {
    Charged { became: Became::Rejected(rejection), ..NOTHING }
}

fn skipped(reason: NotExecuted) -> Charged {
    Charged { became: Became::Skipped(reason), ..NOTHING }
}

/// Signed by its customer and, where it has a sponsor, by that one.
pub(crate) fn signed(
    network: &Network,
    content: TransactionContent,
    signer: &Signer,
    sponsor: &Signer,
) -> Transaction {
    let sign = |_: &Sponsor| content.sign_as_sponsor(network.genesis, 0, &sponsor.key);
    let sponsor_signatures = content.fee.sponsor.iter().map(sign).collect();
    Transaction { sponsor_signatures, ..content.clone().signed_by(network.genesis, &signer.key) }
}

pub(crate) fn sponsor_of(network: &Network, number: u64) -> Sponsor {
    let signer = network.customer(number);
    Sponsor { wallet: signer.wallet, policy: Policy::single(signer.key.public_key()) }
}

/// What is bid: `due` is what the transaction weighs, once it is known.
pub(crate) type Bid = fn(&Network, &mut TransactionContent, u64);

/// Runs the payment of a customer with this bid; what is tipped is for operator 2.
pub(crate) fn charge(network: &mut Network, from: u64, bid: Bid) -> (Charged, u64) {
    let (signer, payee) = (network.customer(from), network.customer(1).wallet);
    let mut content = network.content(&signer, 1, pay(&[(payee, PAID)]));
    content.fee.operator = OperatorId(2);
    bid(network, &mut content, 0);
    let weight = content_weight(&content);
    bid(network, &mut content, weight);
    assert_eq!(content_weight(&content), weight, "the bid has one shape");
    let sponsor = if content.fee.sponsor == Some(sponsor_of(network, POOR)) { POOR } else { SPONSOR };
    let sponsor = network.customer(sponsor);
    let transaction = signed(network, content, &signer, &sponsor);
    let operator = network.operator(2).wallet;
    let money = |network: &Network| {
        let of = |wallet: &WalletId| i128::from(network.balance(wallet));
        [of(&signer.wallet), of(&sponsor.wallet), of(&operator), i128::from(network.fee_pool())]
    };
    let before = money(network);
    let execution = network.run(vec![transaction]);
    let after = money(network);
    let [signer, sponsor, operator, pool] = [0, 1, 2, 3].map(|place| after[place] - before[place]);
    let fee = execution.outcomes.first().map_or(0, |outcome| outcome.fee.fen());
    (Charged { became: became(&execution, 0), fee, signer, sponsor, operator, pool }, weight)
}

/// A row: who signs, what was done to the town before, what is bid, and what comes of it where so much is due.
type Row = (&'static str, u64, fn(&mut Network), Bid, fn(u64) -> Charged);

fn signers_rows() -> Vec<Row> {
    vec![
        ("what is due", 0, |_| {}, |_, c, due| c.fee.fee_max = fen(due), applied),
        ("no more than what is due", 0, |_| {}, |_, c, due| c.fee.fee_max = fen(due + 500), applied),
        (
            "one fen too little",
            0,
            |_| {},
            |_, c, due| c.fee.fee_max = fen(due.saturating_sub(1)),
            |due| skipped(NotExecuted::FeeMaxTooLow { due: fen(due) }),
        ),
        (
            "a rejected one costs as much",
            0,
            |_| {},
            |n, c, due| {
                c.operation = pay(&[(n.customer(99).wallet, PAID)]);
                c.fee.fee_max = fen(due);
            },
            |due| Charged {
                fee: due,
                signer: -i128::from(due),
                pool: i128::from(due),
                ..rejected(Rejection::PayeeUnknown)
            },
        ),
        (
            "a tip",
            0,
            |_| {},
            |_, c, due| (c.fee.fee_max, c.fee.tip) = (fen(due + 30), fen(30)),
            |due| Charged { operator: 30, pool: i128::from(due), ..applied(due + 30) },
        ),
        (
            "a tip for which fee_max has no room",
            0,
            |_| {},
            |_, c, due| (c.fee.fee_max, c.fee.tip) = (fen(due + 10), fen(30)),
            |due| Charged { operator: 10, pool: i128::from(due), ..applied(due + 10) },
        ),
        ("no room at all", 0, |_| {}, |_, c, due| (c.fee.fee_max, c.fee.tip) = (fen(due), fen(30)), applied),
        (
            "a tip for nobody",
            0,
            |_| {},
            |_, c, due| {
                (c.fee.fee_max, c.fee.tip, c.fee.operator) = (fen(due + 30), fen(30), OperatorId(99));
            },
            |due| applied(due + 30),
        ),
        (
            "a tip for a frozen wallet",
            0,
            |n| n.plant(&n.operator(2).wallet, |wallet| wallet.status = WalletStatus::Frozen),
            |_, c, due| (c.fee.fee_max, c.fee.tip) = (fen(due + 30), fen(30)),
            |due| applied(due + 30),
        ),
        ("an exempt tier", EXEMPT, |_| {}, |_, _, _| {}, |_| applied(0)),
        (
            "an exempt tier that tips",
            EXEMPT,
            |_| {},
            |_, c, _| (c.fee.fee_max, c.fee.tip) = (fen(7), fen(7)),
            |_| Charged { operator: 7, pool: 0, ..applied(7) },
        ),
        (
            "a frozen wallet",
            0,
            |n| n.plant(&n.customer(0).wallet, |wallet| wallet.status = WalletStatus::Frozen),
            |_, c, due| c.fee.fee_max = fen(due),
            |_| rejected(Rejection::WalletFrozen),
        ),
        (
            "less than the fee",
            POOR,
            |_| {},
            |_, c, due| c.fee.fee_max = fen(due),
            |_| rejected(Rejection::FeeUnpaid),
        ),
        (
            "an exempt tier with less than the tip",
            EXEMPT,
            |_| {},
            |_, c, _| (c.fee.fee_max, c.fee.tip) = (fen(100_001), fen(100_001)),
            |_| rejected(Rejection::FeeUnpaid),
        ),
        (
            "the fee, and less than the payment",
            4,
            |_| {},
            |_, c, due| c.fee.fee_max = fen(due),
            |due| Charged {
                fee: due,
                signer: -i128::from(due),
                pool: i128::from(due),
                ..rejected(Rejection::InsufficientFunds)
            },
        ),
        ("at no base fee", 0, |n| n.base_fee = Some(FeeRate::ZERO), |_, _, _| {}, |_| applied(0)),
        (
            "a tip at no base fee",
            0,
            |n| n.base_fee = Some(FeeRate::ZERO),
            |_, c, _| (c.fee.fee_max, c.fee.tip) = (fen(9), fen(9)),
            |_| Charged { operator: 9, pool: 0, ..applied(9) },
        ),
        (
            "less than a fen is nothing",
            0,
            |n| n.base_fee = Some(FeeRate::from_micro_fen(1_000)),
            |_, _, _| {},
            |_| applied(0),
        ),
    ]
}

fn sponsors_rows() -> Vec<Row> {
    let by: Bid = |n, c, due| {
        c.fee.sponsor = Some(sponsor_of(n, SPONSOR));
        c.fee.fee_max = fen(due);
    };
    vec![
        (
            "a sponsor",
            0,
            |_| {},
            by,
            |due| Charged { signer: -i128::from(PAID), sponsor: -i128::from(due), ..applied(due) },
        ),
        (
            "a sponsor of one who has too little for any fee",
            POOR,
            |_| {},
            |n, c, due| {
                c.operation = pay(&[(n.customer(1).wallet, 5)]);
                c.fee.sponsor = Some(sponsor_of(n, SPONSOR));
                c.fee.fee_max = fen(due);
            },
            |due| Charged { signer: -5, sponsor: -i128::from(due), ..applied(due) },
        ),
        (
            "a sponsor tips",
            0,
            |_| {},
            |n, c, due| {
                c.fee.sponsor = Some(sponsor_of(n, SPONSOR));
                (c.fee.fee_max, c.fee.tip) = (fen(due + 30), fen(30));
            },
            |due| Charged {
                signer: -i128::from(PAID),
                sponsor: -i128::from(due + 30),
                operator: 30,
                pool: i128::from(due),
                ..applied(due + 30)
            },
        ),
        (
            "a sponsor of what is rejected",
            0,
            |_| {},
            |n, c, due| {
                c.operation = pay(&[(n.customer(99).wallet, PAID)]);
                c.fee.sponsor = Some(sponsor_of(n, SPONSOR));
                c.fee.fee_max = fen(due);
            },
            |due| Charged {
                fee: due,
                sponsor: -i128::from(due),
                pool: i128::from(due),
                ..rejected(Rejection::PayeeUnknown)
            },
        ),
        (
            "a sponsor that is paid",
            0,
            |_| {},
            |n, c, due| {
                c.operation = pay(&[(n.customer(SPONSOR).wallet, PAID)]);
                c.fee.sponsor = Some(sponsor_of(n, SPONSOR));
                c.fee.fee_max = fen(due);
            },
            |due| Charged {
                signer: -i128::from(PAID),
                sponsor: i128::from(PAID) - i128::from(due),
                ..applied(due)
            },
        ),
        (
            "a sponsor with less than the fee",
            0,
            |_| {},
            |n, c, due| {
                c.fee.sponsor = Some(sponsor_of(n, POOR));
                c.fee.fee_max = fen(due);
            },
            |_| rejected(Rejection::FeeUnpaid),
        ),
        ("a sponsor of an exempt signer", EXEMPT, |_| {}, by, |_| applied(0)),
        (
            "an unknown sponsor",
            0,
            |_| {},
            |n, c, due| {
                c.fee.sponsor = Some(sponsor_of(n, 99));
                c.fee.fee_max = fen(due);
            },
            |_| skipped(NotExecuted::SponsorUnknown {}),
        ),
        (
            "a sponsor that has moved",
            0,
            |n| n.plant(&n.customer(SPONSOR).wallet, |w| w.status = WalletStatus::Moved { to: ChainId(7) }),
            by,
            |_| skipped(NotExecuted::SponsorUnknown {}),
        ),
        (
            "another policy of the sponsor",
            0,
            |_| {},
            |n, c, due| {
                let policy = sponsor_of(n, 4).policy;
                c.fee.sponsor = Some(Sponsor { policy, ..sponsor_of(n, SPONSOR) });
                c.fee.fee_max = fen(due);
            },
            |_| skipped(NotExecuted::SponsorPolicyMismatch {}),
        ),
        (
            "a frozen sponsor",
            0,
            |n| n.plant(&n.customer(SPONSOR).wallet, |wallet| wallet.status = WalletStatus::Frozen),
            by,
            |_| skipped(NotExecuted::SponsorNotActive {}),
        ),
        (
            "a closed sponsor",
            0,
            |n| n.plant(&n.customer(SPONSOR).wallet, |wallet| wallet.status = WalletStatus::Closed),
            by,
            |_| skipped(NotExecuted::SponsorNotActive {}),
        ),
        (
            "a frozen signer with a sponsor",
            0,
            |n| n.plant(&n.customer(0).wallet, |wallet| wallet.status = WalletStatus::Frozen),
            by,
            |_| rejected(Rejection::WalletFrozen),
        ),
        (
            "the maximal fee comes before the sponsor",
            0,
            |_| {},
            |n, c, _| c.fee.sponsor = Some(sponsor_of(n, 99)),
            |due| skipped(NotExecuted::FeeMaxTooLow { due: fen(due) }),
        ),
    ]
}

#[test]
fn charges_row_by_row() {
    for (name, from, setup, bid, expected) in signers_rows().into_iter().chain(sponsors_rows()) {
        let mut network = town();
        setup(&mut network);
        let (charged, weight) = charge(&mut network, from, bid);
        assert_eq!(charged, expected(weight), "{name}");
        let highest = network.wallet(&network.customer(from).wallet).unwrap().lanes.len();
        let is_skipped = matches!(charged.became, Became::Skipped(_));
        assert_eq!(highest == 0, is_skipped, "{name}: the nonce is used with the fee or not at all");
    }
}

#[test]
fn new_codes_say_what_they_are() {
    let reasons = [
        (NotExecuted::SponsorUnknown {}, 14, true),
        (NotExecuted::SponsorPolicyMismatch {}, 15, false),
        (NotExecuted::SponsorNotActive {}, 16, true),
    ];
    for (reason, code, is_transient) in reasons {
        assert_eq!((reason.code(), reason.is_transient()), (code, is_transient));
    }
    assert_eq!((Rejection::FeeUnpaid.code(), Rejection::FeeUnpaid.is_transient()), (102, true));
}

/// Payer, operator and payee read it in their histories, in places of their own.
#[test]
fn histories_tell_of_fees_and_tips() {
    let mut network = town();
    let (signer, sponsor) = (network.customer(0), network.customer(SPONSOR));
    let (payee, operator) = (network.customer(1).wallet, network.operator(2).wallet);
    let mut content = network.content(&signer, 1, pay(&[(payee, PAID)]));
    let paid_by = Some(sponsor_of(&network, SPONSOR));
    content.fee = FeeBid { fee_max: fen(9_000), tip: fen(30), operator: OperatorId(2), sponsor: paid_by };
    let transaction = signed(&network, content, &signer, &sponsor);
    let due = transaction_weight(&transaction);
    let execution = network.run(vec![transaction]);
    let slot = |wallet: &WalletId| network.state.slot(wallet).unwrap();
    let seen: Vec<_> = execution
        .history
        .iter()
        .map(|e| (e.slot, e.part, e.movement.kind, e.movement.counterparty, e.movement.amount.fen()))
        .collect();
    let expected = [
        (slot(&sponsor.wallet), 65_535, MovementKind::FeePaid, signer.wallet, due + 30),
        (slot(&operator), 65_534, MovementKind::TipReceived, sponsor.wallet, 30),
        (slot(&signer.wallet), 0, MovementKind::Paid, payee, PAID),
        (slot(&payee), 0, MovementKind::Received, signer.wallet, PAID),
    ];
    assert_eq!(seen, expected);
    assert!(execution.history.iter().all(|entry| entry.index == 0));
}

/// An operator that tips itself pays the base fee only; its operation sees what is left.
#[test]
fn a_tip_to_oneself_comes_back() {
    let mut network = town();
    let (bank, payee) = (network.operator(2), network.customer(1).wallet);
    network.base_fee = Some(FeeRate::ZERO);
    let issue = Operation::Issue { to: bank.wallet, amount: fen(5_000) };
    assert_eq!(network.act(&network.operator(0), issue), Became::Applied);
    network.base_fee = Some(ONE_FEN);
    let bid = |network: &Network, sequence, paid| {
        let mut content = network.content(&bank, sequence, pay(&[(payee, paid)]));
        content.fee = FeeBid { fee_max: fen(4_000), tip: fen(100), operator: OperatorId(2), sponsor: None };
        content.signed_by(network.genesis, &bank.key)
    };
    let due = transaction_weight(&bid(&network, 1, 1));
    let all = 5_000 - due;
    let transactions = vec![bid(&network, 1, all + 1), bid(&network, 2, all - due)];
    let execution = network.run(transactions);
    assert_eq!(became(&execution, 0), Became::Rejected(Rejection::InsufficientFunds));
    assert_eq!(became(&execution, 1), Became::Applied);
    assert_eq!((network.balance(&bank.wallet), network.fee_pool()), (0, 2 * due));
}

/// A claim brings in what was locked for the wallet, and its secret is public by then: freezing does not stop it, and takes no fee.
#[test]
fn a_frozen_wallet_claims_for_nothing_or_at_its_sponsors_cost() {
    let secret = [7; 32];
    for is_sponsored in [false, true] {
        let mut network = town();
        let (payer, payee) = (network.customer(0), network.customer(1));
        network.base_fee = Some(FeeRate::ZERO);
        let deadline = TimestampMs(network.next_timestamp().0 + 3_600_000);
        let lock = Operation::Lock { payee: payee.wallet, amount: fen(500), hash: sha256(&secret), deadline };
        let locking = network.transaction(&payer, 1, lock);
        let lock = ledger::values::LockId::of(locking.id(network.genesis));
        assert_eq!(network.run_one(locking), Became::Applied);
        network.plant(&payee.wallet, |wallet| wallet.status = WalletStatus::Frozen);
        network.base_fee = Some(ONE_FEN);
        let mut content = network.content(&payee, 1, Operation::Claim { lock, preimage: secret });
        content.fee.fee_max = fen(9_000);
        content.fee.sponsor = is_sponsored.then(|| sponsor_of(&network, SPONSOR));
        let transaction = signed(&network, content, &payee, &network.customer(SPONSOR));
        let due = if is_sponsored { transaction_weight(&transaction) } else { 0 };
        let execution = network.run(vec![transaction]);
        assert_eq!(became(&execution, 0), Became::Applied);
        assert_eq!((execution.outcomes[0].fee, network.fee_pool()), (fen(due), due));
        assert_eq!(network.balance(&payee.wallet), 100_500);
        assert_eq!(network.balance(&network.customer(SPONSOR).wallet), 100_000 - due);
    }
}

/// A forecast charges what the next block does.
#[test]
fn a_forecast_says_what_it_costs() {
    let mut network = town();
    network.run(Vec::new());
    network.base_fee = None;
    let next = network.state.head().base_fee;
    assert_eq!(next, next_base_fee(&FeeParams::default(), ONE_FEN, 0));
    assert_eq!(next, network.parent.next_base_fee(network.state.rules()));
    let (signer, payee) = (network.customer(0), network.customer(1).wallet);
    let with = |network: &Network, from: &Signer, fee_max: u64, tip: u64, paid: u64| {
        let mut content = network.content(from, 1, pay(&[(payee, paid)]));
        content.fee = FeeBid { fee_max: fen(fee_max), tip: fen(tip), operator: OperatorId(2), sponsor: None };
        content.signed_by(network.genesis, &from.key)
    };
    let poor = network.customer(POOR);
    let rows = [
        with(&network, &signer, 5_000, 40, PAID),
        with(&network, &signer, 5_000, 0, 1_000_000),
        with(&network, &poor, 5_000, 0, 1),
        with(&network, &signer, 0, 0, 1),
    ];
    let forecasts: Vec<_> = rows
        .iter()
        .map(|row| network.state.forecast(&network.records, row, network.next_timestamp()).unwrap())
        .collect();
    let due = next.due(transaction_weight(&rows[0])).fen();
    assert_eq!((forecasts[0].becomes, forecasts[0].fee), (Forecast::Applied, fen(due + 40)));
    assert_eq!(forecasts[1].becomes, Forecast::Rejected(Rejection::InsufficientFunds));
    let due = next.due(transaction_weight(&rows[1]));
    assert!(!due.is_zero() && forecasts[1].fee == due, "a rejection costs as much");
    assert_eq!((forecasts[2].becomes, forecasts[2].fee), (Forecast::Rejected(Rejection::FeeUnpaid), fen(0)));
    assert_eq!(forecasts[3].becomes, Forecast::NotExecuted(NotExecuted::FeeMaxTooLow { due }));
    assert!(forecasts.iter().zip(&rows).all(|(forecast, row)| forecast.weight == transaction_weight(row)));
    assert!(forecasts.iter().all(|forecast| forecast.operator == Some(OperatorId(1))));
    let execution = network.run(vec![rows[0].clone()]);
    assert_eq!(execution.outcomes[0].fee, forecasts[0].fee);
}

/// A header with another base fee than its parent makes, by the parameters of the state that it claims.
#[test]
fn another_base_fee_is_refused() {
    let mut network = town();
    network.base_fee = None;
    network.run(Vec::new());
    let rules = network.state.rules().clone();
    let target = rules.params.fees.weight_target;
    let rate = FeeRate::from_micro_fen;
    let rows = [(80_000, 0, 60_000), (80_000, 2 * target, 90_000), (0, target + 1, 100), (0, target, 0)];
    for (base_fee, weight, expected) in rows {
        let parent = ParentFacts { base_fee: rate(base_fee), weight, ..network.parent };
        let mut header = network.block(&[]).header;
        for found in [expected, expected + 1, base_fee + 7, 0] {
            header.base_fee = rate(found);
            let fault = BlockFault::BaseFee { found: rate(found), expected: rate(expected) };
            let judged = check_parent(&rules, &header, &parent).err();
            assert_eq!(judged, (found != expected).then_some(fault), "{base_fee} at {weight}: {found}");
        }
        assert_eq!(parent.next_base_fee(&rules), rate(expected));
    }
    assert_eq!(BlockFault::BaseFee { found: rate(1), expected: rate(0) }.code(), 605);
    let mut other = rules;
    other.params.fees.step_min = rate(300);
    let parent = ParentFacts { weight: target + 1, ..network.parent };
    let mut header = network.block(&[]).header;
    header.base_fee = rate(300);
    assert_eq!(check_parent(&other, &header, &parent), Ok(()), "the rules that are given decide");
    let genesis = Network::new();
    assert_eq!((genesis.parent.base_fee, genesis.parent.weight), (FeeRate::ZERO, 0));
}

/// Under load the base fee rises and whoever still bids nothing waits; afterwards it falls to zero. A replay with the production
/// checks gives the same at every height.
#[test]
fn a_busy_chain_gets_dearer_and_replays() {
    let mut params = ChainParams::default();
    params.fees.weight_target = 10_000;
    params.fees.step_min = FeeRate::from_micro_fen(5_000);
    let mut network = Network::with_params(params.clone());
    network.open(0..2, Tier::One);
    network.fund(&network.customer(0).wallet, 100_000);
    let (payer, payee) = (network.customer(0), network.customer(1).wallet);
    let payments = |network: &Network, fee_max| {
        let first = network.next_sequence(&payer.wallet);
        let one = |sequence| {
            let mut content = network.content(&payer, sequence, pay(&[(payee, 1)]));
            content.fee.fee_max = fen(fee_max);
            content.signed_by(network.genesis, &payer.key)
        };
        (first..first + 30).map(one).collect::<Vec<_>>()
    };
    let mut rates = Vec::new();
    for _ in 0..4 {
        let transactions = payments(&network, 1_000);
        let execution = network.run(transactions);
        assert_eq!(execution.skipped.len(), 0);
        assert_eq!(execution.head.base_fee, network.parent.next_base_fee(network.state.rules()));
        rates.push(network.parent.base_fee.micro_fen());
    }
    // Each block has more than twice the target: two steps.
    assert_eq!(rates, [0, 10_000, 20_000, 30_000]);
    let pool = network.fee_pool();
    assert!(pool > 0);
    let transactions = payments(&network, 0);
    assert_eq!(network.run(transactions).skipped.len(), 30, "bids of nothing");
    assert_eq!(network.fee_pool(), pool);
    let mut blocks = 0;
    while !network.state.head().base_fee.is_zero() {
        network.run(Vec::new());
        blocks += 1;
    }
    assert!(blocks <= ledger::rules::blocks_to_zero_max(&params.fees));
    let transactions = payments(&network, 0);
    assert_eq!(network.run(transactions).skipped.len(), 0, "free again");
    let mut replay = Replay::new(&network.spec, CHAIN, [1; 32]).unwrap();
    for (block, batches, execution) in &network.heights {
        let (result, outcomes) = (Some(&execution.result), Some(execution.outcomes.as_slice()));
        let record = HeightRecord { block, batches, bundles: NO_BUNDLES, result, outcomes };
        replay.step(record, &Sequential).unwrap();
    }
    assert_eq!(replay.state().parts(), network.state.parts());
}
