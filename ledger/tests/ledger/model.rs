//! Random histories against a small independent model: who has what, which nonces are used, what each
//! transaction becomes. The model knows nothing of trees, overlays or encodings.

use std::collections::{BTreeMap, BTreeSet};

use ledger::records::{Operation, Payment, Policy, Tier, Transaction};
use ledger::values::{Amount, Sequential, TimestampMs, WalletId};
use proptest::prelude::*;

use crate::network::{Became, NO_BUNDLES, Network, Signer, became, pay};

const CUSTOMERS: u64 = 6;

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Pay { from: u64, to: Vec<(u64, u64)>, lane: u16, jump: i64 },
    Open { by: u64, customers: Vec<u64>, tier: usize },
    Issue { by: u64, to: u64, fen: u64 },
    Redeem { by: u64, fen: u64 },
    Replay { back: usize },
    WrongPolicy { from: u64 },
    Late { from: u64 },
}

fn steps() -> impl Strategy<Value = Step> {
    let who = || 0..CUSTOMERS + 3;
    let to = prop::collection::vec((who(), prop_oneof![4 => 0_u64..600, 1 => 1_900_u64..300_000]), 1..4);
    prop_oneof![
        8 => (who(), to, 0_u16..3, prop_oneof![8 => Just(0_i64), 1 => -130_i64..140]).prop_map(|(from, to, lane, jump)| Step::Pay { from, to, lane, jump }),
        2 => (who(), prop::collection::vec(0..CUSTOMERS, 1..4), 0_usize..5).prop_map(|(by, customers, tier)| Step::Open { by, customers, tier }),
        3 => (who(), who(), prop_oneof![Just(0_u64), 1_u64..5_000, Just(u64::MAX)]).prop_map(|(by, to, fen)| Step::Issue { by, to, fen }),
        1 => (who(), 0_u64..3_000).prop_map(|(by, fen)| Step::Redeem { by, fen }),
        2 => (0_usize..20).prop_map(|back| Step::Replay { back }),
        1 => who().prop_map(|from| Step::WrongPolicy { from }),
        1 => who().prop_map(|from| Step::Late { from }),
    ]
}

/// What the model knows of a wallet.
#[derive(Debug, Clone)]
struct Purse {
    fen: u64,
    tier: usize,
    operator: Option<u16>,
    used: BTreeMap<u16, BTreeSet<u64>>,
}

/// Payment limit, balance limit and lanes per tier: operators, then tiers One to Four.
const LIMITS: [(u64, u64, u16); 5] = [
    (u64::MAX, u64::MAX, 16),
    (u64::MAX, u64::MAX, 4),
    (5_000_000, 50_000_000, 2),
    (500_000, 2_000_000, 2),
    (200_000, 1_000_000, 2),
];

struct Model {
    purses: BTreeMap<WalletId, Purse>,
    issued: u64,
    redeemed: u64,
}

/// Code of an applied, rejected (100 and above) or skipped (below 100) transaction.
type Code = u16;

impl Model {
    fn judge(
        &mut self,
        transaction: &Transaction,
        openings: &[WalletId],
        now: TimestampMs,
        own_policy: bool,
    ) -> Code {
        let content = &transaction.content;
        if content.valid_until < now {
            return 3;
        }
        let Some(purse) = self.purses.get(&content.wallet) else { return 5 };
        if !own_policy {
            return 6;
        }
        if content.nonce.lane >= LIMITS[purse.tier].2 {
            return 9;
        }
        let used = purse.used.get(&content.nonce.lane).cloned().unwrap_or_default();
        let (sequence, highest) = (content.nonce.sequence, used.last().copied().unwrap_or(0));
        if sequence > highest + 128 {
            return 12;
        }
        if highest >= sequence + 128 {
            return 11;
        }
        if used.contains(&sequence) {
            return 10;
        }
        let purse = self.purses.get_mut(&content.wallet).unwrap();
        purse.used.entry(content.nonce.lane).or_default().insert(sequence);
        let (signer, purse) = (content.wallet, purse.clone());
        match &content.operation {
            Operation::Pay { payments } => self.pay(signer, &purse, payments),
            Operation::OpenWallets { wallets } => {
                let tiers: Vec<usize> = wallets.iter().map(|opening| opening.tier as usize).collect();
                self.open(&purse, openings, &tiers)
            }
            Operation::Issue { to, amount } => self.issue(&purse, *to, amount.fen()),
            Operation::Redeem { amount } => self.redeem(signer, &purse, amount.fen()),
            other => panic!("not among the model's steps (exchange.rs has those): {other:?}"),
        }
    }

    fn pay(&mut self, payer: WalletId, purse: &Purse, payments: &[Payment]) -> Code {
        let total: u128 = payments.iter().map(|payment| u128::from(payment.amount.fen())).sum();
        if payments.iter().any(|payment| payment.amount.fen() == 0) {
            return 201;
        }
        if payments.iter().any(|payment| payment.payee == payer) {
            return 202;
        }
        if payments.iter().any(|payment| payment.amount.fen() > LIMITS[purse.tier].0) {
            return 203;
        }
        if total > u128::from(u64::MAX) {
            return 204;
        }
        if total > u128::from(purse.fen) {
            return 205;
        }
        let mut after = self.purses.clone();
        after.get_mut(&payer).unwrap().fen -= total as u64;
        if payments.iter().any(|payment| !after.contains_key(&payment.payee)) {
            return 206;
        }
        for payment in payments {
            let payee = after.get_mut(&payment.payee).unwrap();
            payee.fen += payment.amount.fen();
            if payee.fen > LIMITS[payee.tier].1 {
                return 208;
            }
        }
        self.purses = after;
        0
    }

    fn open(&mut self, purse: &Purse, ids: &[WalletId], tiers: &[usize]) -> Code {
        if purse.operator.is_none() {
            return 301;
        }
        if tiers.contains(&0) {
            return 302;
        }
        let distinct: BTreeSet<_> = ids.iter().collect();
        if distinct.len() < ids.len() || ids.iter().any(|id| self.purses.contains_key(id)) {
            return 303;
        }
        for (id, tier) in ids.iter().zip(tiers) {
            self.purses.insert(*id, Purse { fen: 0, tier: *tier, operator: None, used: BTreeMap::new() });
        }
        0
    }

    fn issue(&mut self, purse: &Purse, to: WalletId, fen: u64) -> Code {
        if fen == 0 {
            return 201;
        }
        let Some(payee) = self.purses.get(&to) else { return 206 };
        if payee.fen.checked_add(fen).is_none_or(|after| after > LIMITS[payee.tier].1) {
            return 208;
        }
        if purse.operator != Some(0) {
            return 401;
        }
        if payee.operator.is_none() {
            return 402;
        }
        let Some(issued) = self.issued.checked_add(fen).filter(|issued| *issued <= 1 << 55) else {
            return 403;
        };
        self.issued = issued;
        self.purses.get_mut(&to).unwrap().fen += fen;
        0
    }

    fn redeem(&mut self, signer: WalletId, purse: &Purse, fen: u64) -> Code {
        if fen == 0 {
            return 201;
        }
        if fen > purse.fen {
            return 205;
        }
        if purse.operator.is_none() {
            return 301;
        }
        self.redeemed += fen;
        self.purses.get_mut(&signer).unwrap().fen -= fen;
        0
    }
}

/// Operators come after the customers: who 6 is the central bank, 7 bank 1, 8 bank 2.
fn signer(network: &Network, who: u64) -> Signer {
    if who < CUSTOMERS { network.customer(who) } else { network.operator((who - CUSTOMERS) as u16) }
}

/// A transaction for the step, the wallets it would open, and whether it carries the wallet's own policy.
fn make(network: &Network, model: &Model, step: &Step, earlier: &[Made]) -> Option<Made> {
    let next = |signer: &Signer, lane: u16| {
        let used = model.purses.get(&signer.wallet).and_then(|purse| purse.used.get(&lane));
        used.and_then(|used| used.last().copied()).unwrap_or(0) + 1
    };
    let content = |who: u64, lane: u16, operation| {
        let signer = signer(network, who);
        let mut content = network.content(&signer, next(&signer, lane), operation);
        content.nonce.lane = lane;
        (signer, content)
    };
    let mut openings = Vec::new();
    let ((signer, mut content), mut own_policy) = match step {
        Step::Replay { back } => return earlier.iter().rev().nth(*back).cloned(),
        Step::Pay { from, to, lane, .. } => {
            let payments: Vec<_> = to.iter().map(|(who, fen)| (signer(network, *who).wallet, *fen)).collect();
            (content(*from, *lane, pay(&payments)), true)
        }
        Step::Open { by, customers, tier } => {
            let tiers = [Tier::Operator, Tier::One, Tier::Two, Tier::Three, Tier::Four];
            let wallets = customers.iter().map(|number| network.opening(*number, tiers[*tier])).collect();
            openings = customers.iter().map(|number| network.customer(*number).wallet).collect();
            (content(*by, 0, Operation::OpenWallets { wallets }), true)
        }
        Step::Issue { by, to, fen } => {
            let (to, amount) = (signer(network, *to).wallet, Amount::from_fen(*fen));
            (content(*by, 0, Operation::Issue { to, amount }), true)
        }
        Step::Redeem { by, fen } => {
            (content(*by, 0, Operation::Redeem { amount: Amount::from_fen(*fen) }), true)
        }
        Step::WrongPolicy { from } => (content(*from, 0, pay(&[(signer(network, 7).wallet, 1)])), false),
        Step::Late { from } => {
            let (signer, mut content) = content(*from, 0, pay(&[(network.operator(1).wallet, 1)]));
            content.valid_until = TimestampMs(network.next_timestamp().0 - 1);
            ((signer, content), true)
        }
    };
    if let Step::Pay { jump, .. } = step {
        content.nonce.sequence = content.nonce.sequence.saturating_add_signed(*jump).max(1);
    }
    if !own_policy {
        content.policy = Policy::single(network.customer(99).key.public_key());
        own_policy = false;
    }
    let transaction = content.signed_by(network.genesis, &signer.key);
    Some(Made { transaction, openings, own_policy })
}

#[derive(Debug, Clone)]
struct Made {
    transaction: Transaction,
    openings: Vec<WalletId>,
    own_policy: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_ledger_does_what_the_model_says(blocks in prop::collection::vec(prop::collection::vec(steps(), 1..14), 1..9)) {
        let mut network = Network::new();
        let operator = |id: u16| Purse { fen: 0, tier: 0, operator: Some(id), used: BTreeMap::new() };
        let purses = (0..5).map(|id| (network.operator(id).wallet, operator(id))).collect();
        let mut model = Model { purses, issued: 0, redeemed: 0 };
        let mut earlier: Vec<Made> = Vec::new();
        // Every history starts with money and four customers.
        let start = [
            Step::Issue { by: 6, to: 7, fen: 100_000 },
            Step::Open { by: 7, customers: vec![0, 1], tier: 1 },
            Step::Open { by: 8, customers: vec![2], tier: 3 },
            Step::Open { by: 8, customers: vec![3], tier: 4 },
            Step::Pay { from: 7, to: vec![(0, 30_000), (2, 500)], lane: 1, jump: 0 },
        ];
        let opening: Vec<Vec<Step>> = start.into_iter().map(|step| vec![step]).collect();
        for steps in opening.into_iter().chain(blocks) {
            let now = network.next_timestamp();
            let (mut transactions, mut expected) = (Vec::new(), Vec::new());
            for step in &steps {
                let Some(made) = make(&network, &model, step, &earlier) else { continue };
                expected.push(model.judge(&made.transaction, &made.openings, now, made.own_policy));
                transactions.push(made.transaction.clone());
                earlier.push(made);
            }
            let before = (network.state.parts(), network.state.head().clone(), network.records.clone());
            let execution = network.run(transactions);
            for (index, expected) in (0..).zip(&expected) {
                let code = match became(&execution, index) {
                    Became::Applied => 0,
                    Became::Rejected(rejection) => rejection.code(),
                    Became::Skipped(reason) => reason.code(),
                };
                prop_assert_eq!(code, *expected, "transaction {} of {:?}", index, steps);
            }
            compare(&network, &model)?;
            undo_and_redo(&mut network, before);
        }
    }
}

/// Balances, nonces, supply and the set of wallets agree.
fn compare(network: &Network, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(network.state.head().records, model.purses.len() as u64 + 2);
    let supply = &network.state.head().supply;
    prop_assert_eq!((supply.issued.fen(), supply.redeemed.fen()), (model.issued, model.redeemed));
    prop_assert_eq!(supply.holdings.fen(), model.purses.values().map(|purse| purse.fen).sum::<u64>());
    for (id, purse) in &model.purses {
        let wallet = network.wallet(id).unwrap();
        prop_assert_eq!(wallet.balance.fen(), purse.fen);
        for (lane, used) in &purse.used {
            let found = wallet.lanes[usize::from(*lane)];
            let highest = used.last().copied().unwrap();
            prop_assert_eq!(found.highest, highest);
            let bits = (0..128)
                .filter(|back| used.contains(&highest.wrapping_sub(*back)))
                .fold(0, |bits, back| bits | 1 << back);
            prop_assert_eq!(found.used, bits);
        }
    }
    Ok(())
}

/// Undo leads back exactly, and executing once more gives the same.
pub(crate) fn undo_and_redo(
    network: &mut Network,
    before: (ledger::state::StateParts, ledger::state::StateHead, ledger::state::MemoryReader),
) {
    let (block, batches, execution) = network.heights.last().unwrap().clone();
    network.state.undo(&execution.undo).unwrap();
    network.records.undo(&execution.undo);
    assert_eq!((network.state.parts(), network.state.head().clone(), network.records.clone()), before);
    let again = network.state.execute(&network.records, &block, &batches, NO_BUNDLES, &Sequential).unwrap();
    assert_eq!(again, execution);
    network.records.apply(&again.writes);
}
